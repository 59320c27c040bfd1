// Package meter tells the node above what it must be told (合规上报), from what really happened: the eleven tables that
// second-level and enterprise nodes hand in, two of monitoring, and the monthly report of service levels. It also keeps
// what the nodes below hand in, and measures neighbours from outside.
//
// What is registered is counted from the registry's Feed, what is resolved by a Recorder that wires call. Counts are
// written down every minute and survive a crash; so do reports, which wait in an outbox until the node above has taken
// them. A report is a JWS by the node's key, so that who keeps it can show it. Days and months are those of Beijing.
//
// Who is trusted: a node's numbers are its own word. What neighbours measure of it from outside stands beside them.
package meter

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trust"
)

// Beijing is the zone whose days and months the tables are of; it has no summer time.
var Beijing = time.FixedZone("Asia/Shanghai", 8*3600)

// Config says of what node the reports are and where they go. Prefix, Store and Feed are needed.
type Config struct {
	Prefix string // the node's own: 88.118
	// Enterprise: the node is an enterprise's, which reports T8 to T11 of its own prefix; else a second-level or national
	// node's, which reports T1 to T5 of itself and T6 to T11 of the enterprises that it hosts.
	Enterprise bool
	// Parent is the prefix of the node above: 88. Empty: nothing is reported.
	Parent string
	Store  store.Store
	Feed   record.Feed
	Lister record.Lister   // counts what is registered; nil: totals are counted from the Feed
	Names  record.Resolver // for T9: what a record says, as anybody may read it; nil: identifiers alone
	// Homed are the prefixes whose records are here; nil: Prefix alone.
	Homed func() []string
	// Key signs reports; nil: nothing is reported.
	Key *trust.PrivateKey
	// Push carries a signed report to the node above: POST /api/reports/{table} there with Statement as its body. A problem.BadValue,
	// BadRequest, TooLarge or Forbidden is a refusal, which is kept and shown; any other error is tried again.
	Push func(ctx context.Context, table string, body Statement) error
	// KeyOf finds the public key of the node of a prefix below; nil: reports from below are refused.
	KeyOf func(ctx context.Context, prefix string) (trust.PublicKey, error)
	// Probe asks a neighbour once, as a stranger would; nil: nobody is measured.
	Probe      func(ctx context.Context, n Neighbour, what Service) error
	Neighbours func(ctx context.Context) ([]Neighbour, error)

	// About is what the node says of itself in its pulse.
	About About
	// Pulse carries a signed pulse to the node above: POST /api/pulses there; nil: none is told. Beat is the time between two, 10 s if 0.
	Pulse func(ctx context.Context, body Statement) error
	Beat  time.Duration
	// Total is how many identifiers there are; nil: not told.
	Total func(ctx context.Context) (int64, error)

	Papers
	Recorder *Recorder // what wires call; one is made if nil

	ProbeEvery time.Duration // 30 s if 0
	Now        func() time.Time
	Log        *slog.Logger
}

// Papers gives what other rooms know. Each may be nil: then its table is not reported.
type Papers struct {
	Operator       func(ctx context.Context) ([]Entity, error)   // T1
	Routes         func(ctx context.Context) ([]Route, error)    // T2
	Metadata       func(ctx context.Context) ([]Metadata, error) // T4
	Apps           func(ctx context.Context) ([]App, error)      // T5
	Enterprises    func(ctx context.Context) ([]Entity, error)   // T6
	EnterpriseWays func(ctx context.Context) ([]Route, error)    // T7
	EnterpriseApps func(ctx context.Context) ([]App, error)      // T10
	EnterpriseMeta func(ctx context.Context) ([]Metadata, error) // T11
	// Effective is how long each prefix approved in the month took until it resolved.
	Effective func(ctx context.Context, from, to time.Time) ([]time.Duration, error)
}

// Meter is the reporter of one node. Make it with New, start it with Run.
type Meter struct {
	cfg  Config
	rec  *Recorder
	wake chan struct{} // the outbox has something
	mu   sync.Mutex    // of writes to the tables: one at a time

	qpsMu    sync.Mutex
	qps      float64
	qpsAt    uint32
	asked    uint64
	flushed  time.Time
	lastSeen time.Time
	left     backlog

	probing probing
	pulsing pulsing
	began   time.Time
}

// New gets ready. Nothing is counted from the Feed or reported until Run.
func New(cfg Config) (*Meter, error) {
	cfg.Prefix, cfg.Parent = handle.Fold(cfg.Prefix), handle.Fold(cfg.Parent)
	if cfg.Prefix == "" || cfg.Store == nil || cfg.Feed == nil {
		return nil, problem.New(problem.BadRequest, "a meter needs a prefix, a store and a feed", "计量上报须有前缀、存储与变更流")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Recorder == nil {
		cfg.Recorder = NewRecorder()
	}
	if cfg.ProbeEvery <= 0 {
		cfg.ProbeEvery = 30 * time.Second
	}
	if cfg.Homed == nil {
		own := []string{cfg.Prefix}
		cfg.Homed = func() []string { return own }
	}
	m := &Meter{cfg: cfg, rec: cfg.Recorder, wake: make(chan struct{}, 1), began: cfg.Now()}
	m.rec.SetPrefixes(cfg.Homed())
	m.clock(cfg.Now())
	return m, nil
}

// Recorder is what wires call.
func (m *Meter) Recorder() *Recorder { return m.rec }

// operator reads the Feed as the node itself.
var operator = record.Identity{Operator: true}

// Run counts and reports until ctx is done, and writes down what it counted before it returns.
func (m *Meter) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { m.follow(ctx) })
	wg.Go(func() { m.deliver(ctx) })
	wg.Go(func() { m.pulse(ctx) })
	if m.cfg.Probe != nil && m.cfg.Neighbours != nil {
		wg.Go(func() { m.probe(ctx) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	m.flushed = m.cfg.Now()
	m.lastSeen = m.flushed
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			m.grumble(m.flush(last))
			cancel()
			return
		case <-tick.C:
			m.second(ctx)
		}
	}
}

func (m *Meter) grumble(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		m.cfg.Log.Error("meter: " + err.Error())
	}
}

func (m *Meter) clock(now time.Time) {
	now = now.In(Beijing)
	m.rec.second.Store(int64(now.Hour()*3600 + now.Minute()*60 + now.Second()))
}

// second is what is done each second: the highest rate is looked for, and each minute, at each midnight and hour counts
// are written and what is due is reported.
func (m *Meter) second(ctx context.Context) {
	now := m.cfg.Now()
	m.clock(now)
	m.qpsMu.Lock()
	n := m.rec.requests()
	if d := now.Sub(m.lastSeen); !m.lastSeen.IsZero() && d > 0 && n >= m.asked {
		if qps := float64(n-m.asked) / d.Seconds(); qps > m.qps {
			m.qps, m.qpsAt = qps, uint32(m.rec.second.Load())
		}
	}
	m.asked, m.lastSeen = n, now
	m.qpsMu.Unlock()
	if dayOf(now) != dayOf(m.flushed) || now.Sub(m.flushed) >= time.Minute {
		m.grumble(m.flush(ctx))
		m.grumble(m.report(ctx, false))
	} else if now.Second()%10 == 0 {
		m.grumble(m.report(ctx, true))
	}
}

func dayOf(t time.Time) string   { return t.In(Beijing).Format(time.DateOnly) }
func monthOf(t time.Time) string { return t.In(Beijing).Format("2006-01") }

// Day is what is known of one prefix on one day; of the node as a whole under the prefix "".
type Day struct {
	Day       string `json:"day"`
	Prefix    string `json:"prefix"`
	Creates   int64  `json:"creates,omitempty"`
	Deletes   int64  `json:"deletes,omitempty"`
	Delegated int64  `json:"delegated,omitempty"` // prefixes right below it that got a record
	Revoked   int64  `json:"revoked,omitempty"`
	Total     int64  `json:"total,omitempty"` // registered at the end of the day
	Asked
	Others uint64 `json:"others,omitempty"`

	Resolve, Register Latencies
	MaxQPS            float64 `json:"maxQps,omitempty"`
	MaxQPSAt          uint32  `json:"maxQpsAt,omitempty"`
	UpSeconds         float64 `json:"upSeconds,omitempty"`
}

var days = table.Table[Day]{Name: "meter.days", Key: func(d Day) []byte { return dayKey(d.Day, d.Prefix) }}

func dayKey(day, prefix string) []byte { return append(append([]byte(day), ' '), prefix...) }

// mark is how far something has got.
type mark struct {
	Name string `json:"name"`
	Seq  uint64 `json:"seq,omitempty"`
	Text string `json:"text,omitempty"`
}

var marks = table.Table[mark]{Name: "meter.marks", Key: func(m mark) []byte { return []byte(m.Name) }}

// change is several rows changed in one batch. The Meter's mutex is held while there is one.
type change struct {
	m     *Meter
	ctx   context.Context
	days  map[string]*edit[Day]
	marks map[string]*edit[mark]
	below map[string]*edit[delegation]
	b     store.Batch
}

type edit[T any] struct {
	old   table.Row[T]
	now   T
	empty bool // the row goes
}

func (m *Meter) change(ctx context.Context) *change {
	return &change{m: m, ctx: ctx, days: map[string]*edit[Day]{}, marks: map[string]*edit[mark]{}, below: map[string]*edit[delegation]{}}
}

// editOf is the row as this change has it so far.
func editOf[T any](c *change, t *table.Table[T], rows map[string]*edit[T], key []byte) (*edit[T], error) {
	if e := rows[string(key)]; e != nil {
		return e, nil
	}
	old, err := t.Load(c.ctx, c.m.cfg.Store, key)
	if err != nil {
		return nil, err
	}
	e := &edit[T]{old: old, now: old.Value, empty: !old.Found()}
	rows[string(key)] = e
	return e, nil
}

func applyEdits[T any](c *change, t *table.Table[T], rows map[string]*edit[T]) error {
	for _, e := range rows {
		if e.empty {
			t.Remove(&c.b, e.old)
		} else if err := t.Set(&c.b, e.old, e.now); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) day(day, prefix string) (*Day, error) {
	key := dayKey(day, prefix)
	fresh := c.days[string(key)] == nil
	e, err := editOf(c, &days, c.days, key)
	if err != nil {
		return nil, err
	}
	if fresh {
		e.now.Day, e.now.Prefix, e.empty = day, prefix, false
		// What was read stays as it was.
		e.now.Sources = maps.Clone(e.now.Sources)
		e.now.Resolve.Buckets = slices.Clone(e.now.Resolve.Buckets)
		e.now.Register.Buckets = slices.Clone(e.now.Register.Buckets)
	}
	return &e.now, nil
}

func (c *change) mark(name string, set func(*mark)) error {
	e, err := editOf(c, &marks, c.marks, []byte(name))
	if err != nil {
		return err
	}
	e.now.Name, e.empty = name, false
	set(&e.now)
	return nil
}

func (c *change) apply() error {
	if err := errors.Join(applyEdits(c, &days, c.days), applyEdits(c, &marks, c.marks), applyEdits(c, &delegations, c.below)); err != nil {
		return err
	}
	if len(c.b.Ops) == 0 {
		return nil
	}
	_, err := c.m.cfg.Store.Apply(c.ctx, &c.b)
	return err
}

// applyOnce is apply for what must not be added twice: when the store cannot say whether it was done, it is looked up.
func (c *change) applyOnce() error {
	var n uint64
	if err := c.mark("flush", func(k *mark) { k.Seq++; n = k.Seq }); err != nil {
		return err
	}
	err := c.apply()
	if errors.Is(err, store.ErrUncertain) {
		if at, again := marks.Load(c.ctx, c.m.cfg.Store, []byte("flush")); again == nil && at.Value.Seq == n {
			return nil
		}
	}
	return err
}

// delegation is a prefix record that is there, so that one written anew is not counted again.
type delegation struct {
	Prefix string `json:"prefix"`
}

var delegations = table.Table[delegation]{Name: "meter.delegations", Key: func(d delegation) []byte { return []byte(d.Prefix) }}

// maxSources are kept of one prefix and day; the others are counted together.
const maxSources = 1000

// backlog is what was counted and is not written down yet.
type backlog struct {
	taken
	day   string
	up    float64
	qps   float64
	qpsAt uint32
	some  bool
}

// flushAtOnce is how many prefixes are written in one batch.
const flushAtOnce = 200

// flush writes down what was counted since the last flush. What cannot be written now is kept for the next one.
func (m *Meter) flush(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rec.SetPrefixes(m.cfg.Homed())
	now := m.cfg.Now()
	got := m.rec.take()
	m.qpsMu.Lock()
	qps, at := m.qps, m.qpsAt
	m.qps, m.asked = 0, m.rec.requests()
	m.qpsMu.Unlock()
	b := &m.left
	if !b.some {
		*b = backlog{day: dayOf(m.flushed), some: true}
		b.Prefixes = map[string]*Asked{}
	}
	b.up += max(0, min(now.Sub(m.flushed).Seconds(), 2*time.Minute.Seconds())) // a clock that jumped is no uptime
	m.flushed = now
	b.Resolve.merge(got.Resolve)
	b.Register.merge(got.Register)
	b.Others += got.Others
	if qps > b.qps {
		b.qps, b.qpsAt = qps, at
	}
	for name, a := range got.Prefixes {
		if b.Prefixes[name] == nil {
			b.Prefixes[name] = &Asked{}
		}
		b.Others += a.addTo(b.Prefixes[name], maxSources)
	}

	c := m.change(ctx)
	whole, err := c.day(b.day, "")
	if err != nil {
		return err
	}
	whole.Resolve.merge(b.Resolve)
	whole.Register.merge(b.Register)
	whole.UpSeconds += b.up
	whole.Others += b.Others
	if b.qps > whole.MaxQPS {
		whole.MaxQPS, whole.MaxQPSAt = b.qps, b.qpsAt
	}
	if a := b.Prefixes[""]; a != nil {
		whole.Others += a.addTo(&whole.Asked, maxSources)
	}
	if err := c.applyOnce(); err != nil {
		return err
	}
	delete(b.Prefixes, "")
	*b = backlog{taken: taken{Prefixes: b.Prefixes}, day: b.day, some: true}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(b.Prefixes)), flushAtOnce) {
		c := m.change(ctx)
		for _, name := range chunk {
			d, err := c.day(b.day, name)
			if err != nil {
				return err
			}
			d.Others += b.Prefixes[name].addTo(&d.Asked, maxSources)
		}
		if err := c.applyOnce(); err != nil {
			return err
		}
		for _, name := range chunk {
			delete(b.Prefixes, name)
		}
	}
	b.some = false
	return nil
}

// addTo adds a to into, of whose sources there are at most limit; it returns how many questions came from the others.
func (a *Asked) addTo(into *Asked, limit int) (others uint64) {
	into.Requests += a.Requests
	into.Successes += a.Successes
	for ip, n := range a.Sources {
		if into.Sources == nil {
			into.Sources = map[string]uint64{}
		}
		if _, known := into.Sources[ip]; !known && len(into.Sources) >= limit {
			others += n
			continue
		}
		into.Sources[ip] += n
	}
	return others
}

const cursorFeed = "feed"

// follow counts changes: each once, whatever happens between.
func (m *Meter) follow(ctx context.Context) {
	wait := time.Second
	for ctx.Err() == nil {
		err := m.followOnce(ctx)
		if err == nil {
			wait = time.Second
			continue
		}
		m.grumble(err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			wait = min(2*wait, time.Minute)
		}
	}
}

func (m *Meter) followOnce(ctx context.Context) error {
	at, err := marks.Load(ctx, m.cfg.Store, []byte(cursorFeed))
	if err != nil {
		return err
	}
	entries, err := m.cfg.Feed.Changes(ctx, operator, at.Value.Seq, 1000, false)
	if err != nil || len(entries) == 0 {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.change(ctx)
	for i := range entries {
		if err := c.count(&entries[i].Change); err != nil {
			return err
		}
	}
	if err := c.mark(cursorFeed, func(k *mark) { k.Seq = entries[len(entries)-1].Seq }); err != nil {
		return err
	}
	return c.apply()
}

func (c *change) count(x *record.Change) error {
	day := dayOf(x.Time)
	if p, isPrefix := x.ID.Delegated(); isPrefix {
		d, err := c.day(day, id.ParentPrefix(p))
		if err != nil {
			return err
		}
		e, err := editOf(c, &delegations, c.below, []byte(p))
		if err != nil {
			return err
		}
		switch {
		case x.Op == record.Create && e.empty:
			d.Delegated++
			e.now, e.empty = delegation{p}, false
		case x.Op == record.Delete && !e.empty:
			d.Revoked++
			e.empty = true
		}
		return nil
	}
	d, err := c.day(day, x.ID.Prefix())
	if err != nil {
		return err
	}
	switch x.Op {
	case record.Create:
		d.Creates++
	case record.Delete:
		d.Deletes++
	}
	return nil
}

// enqueue puts a report into the outbox, with whatever else c changes. The mutex is held.
func (c *change) enqueue(tableID, period string, rows []Row, gone []string) error {
	m := c.m
	if m.cfg.Key == nil || m.cfg.Parent == "" {
		return nil
	}
	body, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	if rows == nil {
		body = []byte("[]")
	}
	var seq, place uint64
	if err := c.mark("reports", func(k *mark) { k.Seq++; seq = k.Seq }); err != nil {
		return err
	}
	if err := c.mark("outbox", func(k *mark) { k.Seq++; place = k.Seq }); err != nil {
		return err
	}
	now := m.cfg.Now()
	// It is signed when it leaves, so that one that waited for long bears the key of that day.
	r, err := json.Marshal(Report{Table: tableID, Node: m.cfg.Prefix, To: m.cfg.Parent, Seq: seq, Period: period, Made: now.Unix(), Rows: body, Gone: gone})
	if err != nil {
		return err
	}
	return c.post(Parcel{Seq: place, Table: tableID, Period: period, Rows: len(rows) + len(gone), Made: now.UTC(), Report: r})
}

func (c *change) post(p Parcel) error {
	return outbox.Set(&c.b, table.Row[Parcel]{}, p)
}

// digestOf is of a row's JSON.
func digestOf(r Row) string {
	b, err := json.Marshal(r)
	if err != nil {
		return ""
	}
	h := sha256.Sum256(b)
	return string(h[:16])
}

func round(x float64) float64 { return math.Round(x*1000) / 1000 }

func millis(us uint64) float64 { return round(float64(us) / 1000) }

func clockText(second uint32) string {
	return fmt.Sprintf("%02d:%02d:%02d", second/3600, second/60%60, second%60)
}

func seqKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// isPaper reports whether a suffix is the office's own and no thing's.
func isPaper(suffix string) bool {
	for _, p := range [...]string{"META_", "ORG_", "APPLY_", "USER_", "APP_", "GROUP_", "POLICY_", "REQUEST_", "JOB_"} {
		if strings.HasPrefix(suffix, p) {
			return true
		}
	}
	return false
}
