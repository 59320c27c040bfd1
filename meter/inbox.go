package meter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trust"
)

// Received is a report from below, as it is kept.
type Received struct {
	Node      string    `json:"node" doc:"Who reported"`
	Table     string    `json:"table"`
	Seq       uint64    `json:"seq" doc:"The node's number of the message"`
	Period    string    `json:"period,omitempty"`
	Made      time.Time `json:"made"`
	Received  time.Time `json:"received"`
	RowCount  int       `json:"rowCount"`
	Gone      []string  `json:"gone,omitempty"`
	Statement string    `json:"statement,omitempty" doc:"The report as it came, signed by the node"`
}

var inbox = table.Table[Received]{
	Name: "meter.inbox", Key: func(r Received) []byte { return inboxKey(r.Node, r.Table, r.Seq) },
}

func inboxKey(node, tableID string, seq uint64) []byte {
	return append(append(append(append([]byte(node), 0), tableID...), 0), seqKey(seq)...)
}

// young is for how far ahead of our clock a report's may be.
const young = 5 * time.Minute

// Receive takes a report from below, be it to this node or forwarded by the node that it is to: its signature, who it is from and to, and the shape of each row are checked before it
// is kept. The same one again is no error and is not kept twice. Errors: problem.Bogus for a signature that does not
// hold, problem.Forbidden for one from a node that is not below, problem.BadValue for its content, problem.Conflict for another one with
// the same number.
func (m *Meter) Receive(ctx context.Context, tableID string, s Statement) (Received, error) {
	var none Received
	if m.cfg.KeyOf == nil {
		return none, problem.New(problem.Unsupported, "this node takes no reports", "本节点不接收上报")
	}
	claimed, err := peek(s.Statement)
	if err != nil {
		return none, err
	}
	if !within(claimed.Node, m.cfg.Prefix) || handle.Fold(claimed.Node) == m.cfg.Prefix {
		return none, problem.New(problem.Forbidden, "%s is not below %s: report to the node above it", "%s 不在 %s 之下：请向其上级节点上报", clip(claimed.Node), m.cfg.Prefix)
	}
	if to := handle.Fold(claimed.To); to != m.cfg.Prefix && (!within(to, m.cfg.Prefix) || !within(claimed.Node, to)) {
		return none, problem.New(problem.Forbidden, "the report is to %s, this is %s", "该上报的接收方为 %s，而本节点为 %s", clip(claimed.To), m.cfg.Prefix)
	}
	key, err := m.cfg.KeyOf(ctx, handle.Fold(claimed.Node))
	if err != nil {
		return none, problem.Wrap(err, problem.AuthError, "the key of %s cannot be found now", "目前无法获取 %s 的公钥", clip(claimed.Node))
	}
	claims, err := trust.OpenStatement([]byte(s.Statement), key)
	if err != nil {
		return none, err
	}
	var r Report
	if err := json.Unmarshal(claims, &r); err != nil {
		return none, problem.New(problem.BadValue, "the report is no JSON of the right shape", "上报内容的 JSON 格式不符")
	}
	r.Node = handle.Fold(r.Node)
	if r.Table != tableID {
		return none, problem.New(problem.BadValue, "the report is of table %q and was sent to %q", "上报内容属于表 %q，却发送到 %q", clip(r.Table), clip(tableID))
	}
	now := m.cfg.Now()
	made := time.Unix(r.Made, 0)
	if r.Seq == 0 || made.After(now.Add(young)) || len(r.Period) > 32 || len(r.Gone) > maxRows {
		return none, problem.New(problem.BadValue, "the report has no number, or is from the future, or is too long: check the node's clock", "上报缺少序号、时间在未来或过长：请检查该节点的时钟")
	}
	rows, err := r.Decode()
	if err != nil {
		return none, err
	}
	got := Received{Node: r.Node, Table: r.Table, Seq: r.Seq, Period: r.Period, Made: made.UTC(), Received: now.UTC(), RowCount: len(rows), Gone: r.Gone, Statement: s.Statement}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, err := inbox.Load(ctx, m.cfg.Store, inbox.Key(got))
	if err != nil {
		return none, err
	}
	if old.Found() {
		was, err := peek(old.Value.Statement)
		if err != nil || !sameReport(was, r) {
			return none, problem.New(problem.Conflict, "%s reported something else under the number %d before", "%s 此前已用序号 %d 上报过不同内容", r.Node, r.Seq)
		}
		got = old.Value
		got.Statement = ""
		return got, nil
	}
	c := m.change(ctx)
	if err := inbox.Set(&c.b, old, got); err != nil {
		return none, err
	}
	if err := c.forward(got); err != nil {
		return none, err
	}
	if err := c.apply(); err != nil {
		return none, err
	}
	m.poke()
	got.Statement = ""
	return got, nil
}

// forward puts a report from below into the outbox as it came, with its node's own signature: the nodes above have a right
// to it, and nobody on the way can change it.
func (c *change) forward(r Received) error {
	if c.m.cfg.Parent == "" || c.m.cfg.Push == nil {
		return nil
	}
	var seq uint64
	if err := c.mark("outbox", func(k *mark) { k.Seq++; seq = k.Seq }); err != nil {
		return err
	}
	return c.post(Parcel{Seq: seq, Table: r.Table, Period: r.Period, Rows: r.RowCount + len(r.Gone), Made: r.Made, From: r.Node, Statement: r.Statement})
}

func sameReport(a, b Report) bool {
	a.Node, b.Node = handle.Fold(a.Node), handle.Fold(b.Node)
	return a.Table == b.Table && a.Node == b.Node && a.Made == b.Made && string(a.Rows) == string(b.Rows) && slices.Equal(a.Gone, b.Gone)
}

// peek reads what a statement claims, before anybody has checked it.
func peek(statement string) (r Report, err error) {
	_, rest, _ := strings.Cut(statement, ".")
	body, _, _ := strings.Cut(rest, ".")
	raw, err := decodeBase64(body)
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		return r, problem.New(problem.BadRequest, "the statement is no compact JWS with a report in it", "statement 不是载有上报内容的紧凑 JWS")
	}
	return r, nil
}

// List is what nodes below reported, in the order of node, table, number; node and tableID may be empty. after is the last of
// the page before, as Cursor gives it.
func (m *Meter) List(ctx context.Context, node, tableID, after string, limit int, see func(node string) bool) ([]Received, error) {
	span := store.Span{}
	node = handle.Fold(node)
	if node != "" {
		span = store.Under(append([]byte(node), 0))
		if tableID != "" {
			span = store.Under(append(append(append([]byte(node), 0), tableID...), 0))
		}
	}
	if after != "" {
		key, err := parseCursor(after)
		if err != nil {
			return nil, err
		}
		span.From = append(key, 0)
	}
	out := []Received{}
	err := inbox.Range(ctx, m.cfg.Store, span, func(r Received) error {
		if len(out) == limit {
			return store.Stop
		}
		if tableID != "" && r.Table != tableID || see != nil && !see(r.Node) {
			return nil
		}
		r.Statement = ""
		out = append(out, r)
		return nil
	})
	return out, err
}

// Cursor is the place behind r in a list.
func Cursor(r Received) string { return fmt.Sprintf("%s~%s~%d", r.Node, r.Table, r.Seq) }

func parseCursor(s string) ([]byte, error) {
	f := strings.Split(s, "~")
	var n uint64
	if len(f) == 3 {
		if _, err := fmt.Sscanf(f[2], "%d", &n); err == nil {
			return inboxKey(f[0], f[1], n), nil
		}
	}
	return nil, problem.New(problem.BadRequest, "the cursor %q is none of ours: begin with the first page", "游标 %q 无效：请从第一页开始", clip(s))
}

// Report is one report from below with its rows and its signature; problem.NotFound when there is none.
func (m *Meter) Report(ctx context.Context, node, tableID string, seq uint64) (Received, Report, error) {
	got, err := inbox.Get(ctx, m.cfg.Store, inboxKey(handle.Fold(node), tableID, seq))
	if problem.Is(err, problem.NotFound) {
		return got, Report{}, noReport(node, tableID, seq)
	}
	if err != nil {
		return got, Report{}, err
	}
	r, err := peek(got.Statement)
	return got, r, err
}

func noReport(node, tableID string, seq uint64) error {
	return problem.New(problem.NotFound, "there is no report %d of table %s from %s", "没有来自 %[3]s 的表 %[2]s 第 %[1]d 号上报", seq, clip(tableID), clip(node))
}

// Standing is one node below in one month: what it says of itself, and what was measured from here.
type Standing struct {
	Node     string         `json:"node"`
	Month    string         `json:"month"`
	Reported *SLA           `json:"reported,omitempty" doc:"Its own monthly report; absent when it sent none"`
	Late     bool           `json:"late,omitempty" doc:"It is later than ten working days"`
	Missing  []string       `json:"missing,omitempty" doc:"Numbers of messages that never came, as ranges"`
	Measured []Availability `json:"measured,omitempty" doc:"What this node measured from outside"`
}

// Availability is one service of a neighbour over a month.
type Availability struct {
	Service Service `json:"service"`
	Probes  uint64  `json:"probes"`
	Percent float64 `json:"percent" doc:"Of the probes that were answered"`
	MeanMs  float64 `json:"meanMs"`
	P99Ms   float64 `json:"p99Ms"`
	MaxMs   float64 `json:"maxMs"`
}

// Standings are the nodes below that see lets through, of one month.
func (m *Meter) Standings(ctx context.Context, month string, see func(node string) bool) ([]Standing, error) {
	from, err := time.ParseInLocation("2006-01", month, Beijing)
	if err != nil {
		return nil, problem.New(problem.BadValue, "%q is no month: write it as 2026-11", "%q 不是月份：请写成 2026-11", clip(month))
	}
	byNode := map[string]*Standing{}
	at := func(node string) *Standing {
		s := byNode[node]
		if s == nil {
			s = &Standing{Node: node, Month: month}
			byNode[node] = s
		}
		return s
	}
	numbers := map[string][]uint64{}
	err = inbox.Range(ctx, m.cfg.Store, store.Span{}, func(r Received) error {
		if see != nil && !see(r.Node) {
			return nil
		}
		s := at(r.Node)
		numbers[r.Node] = append(numbers[r.Node], r.Seq)
		if r.Table != "SLA" || r.Period != month {
			return nil
		}
		rep, err := peek(r.Statement)
		if err != nil {
			return err
		}
		rows, err := rep.Decode()
		if err != nil {
			return err
		}
		for _, row := range rows {
			if sla, ok := row.(SLA); ok {
				s.Reported, s.Late = &sla, r.Received.After(workingDays(from.AddDate(0, 1, 0), 10))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for node, list := range numbers {
		byNode[node].Missing = gaps(list)
	}
	type sums struct {
		Availability
		answered uint64
		times    Latencies
	}
	total := map[string]map[Service]*sums{}
	err = measured.Range(ctx, m.cfg.Store, store.Under([]byte(month+"-")), func(d Measured) error {
		if see != nil && !see(d.Prefix) {
			return nil
		}
		if total[d.Prefix] == nil {
			total[d.Prefix] = map[Service]*sums{}
		}
		s := total[d.Prefix][d.Service]
		if s == nil {
			s = &sums{Availability: Availability{Service: d.Service}}
			total[d.Prefix][d.Service] = s
		}
		s.Probes += d.Probes
		s.answered += d.Answered
		s.times.merge(d.Times)
		return nil
	})
	for prefix, services := range total {
		for _, what := range []Service{Resolution, Registration} {
			if s := services[what]; s != nil && s.Probes > 0 {
				s.Percent = round(100 * float64(s.answered) / float64(s.Probes))
				s.MeanMs, s.P99Ms, s.MaxMs = mean(&s.times), millis(s.times.Quantile(0.99)), millis(s.times.Max)
				st := at(prefix)
				st.Measured = append(st.Measured, s.Availability)
			}
		}
	}
	deadline := workingDays(from.AddDate(0, 1, 0), 10)
	out := make([]Standing, 0, len(byNode))
	for _, s := range byNode {
		if s.Reported == nil {
			s.Late = m.cfg.Now().After(deadline)
		}
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Standing) int { return strings.Compare(a.Node, b.Node) })
	return out, err
}

// workingDays is the end of the n-th day from t on that is no Saturday or Sunday. Public holidays are not known here.
func workingDays(t time.Time, n int) time.Time {
	for {
		if d := t.Weekday(); d != time.Saturday && d != time.Sunday {
			n--
		}
		t = t.AddDate(0, 0, 1)
		if n == 0 {
			return t
		}
	}
}

// gaps are the numbers between the least and the greatest that are not there.
func gaps(list []uint64) (out []string) {
	slices.Sort(list)
	for i := 1; i < len(list) && len(out) < 100; i++ {
		switch from, to := list[i-1]+1, list[i]-1; {
		case list[i] <= list[i-1]+1:
		case from == to:
			out = append(out, fmt.Sprint(from))
		default:
			out = append(out, fmt.Sprintf("%d-%d", from, to))
		}
	}
	return out
}

func decodeBase64(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }
