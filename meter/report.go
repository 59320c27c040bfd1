package meter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// told is a row that the node above was told, so that it is told again only when it changed.
type told struct {
	Table  string `json:"table"`
	Key    string `json:"key"`
	Digest []byte `json:"digest"`
}

var tolds = table.Table[told]{Name: "meter.told", Key: func(t told) []byte { return toldKey(t.Table, t.Key) }}

func toldKey(tableID, key string) []byte { return append(append([]byte(tableID), 0), key...) }

// grace is how long after midnight a day is counted as over: what was counted in its last minute is then written down.
const grace = 90 * time.Second

// report puts what is due into the outbox; with soon, only what is due at once. One table that cannot be made does not keep
// the others.
func (m *Meter) report(ctx context.Context, soon bool) error {
	if m.cfg.Key == nil || m.cfg.Parent == "" {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.cfg.Now()
	var errs []error
	note := func(tableID string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("table %s: %w", tableID, err))
		}
	}
	e := m.cfg.Enterprise
	if !e {
		note("T1", stateTable(ctx, m, "T1", "", m.cfg.Operator))
		note("T2", stateTable(ctx, m, "T2", "", m.cfg.Routes))
	}
	note("T11", stateTable(ctx, m, "T11", "", m.cfg.EnterpriseMeta))
	if !soon {
		hour := now.In(Beijing).Format("2006-01-02T15")
		month := monthOf(now)
		day := dayOf(now)
		if !e {
			note("T4", stateTable(ctx, m, "T4", day, m.cfg.Metadata))
			note("T5", stateTable(ctx, m, "T5", month, m.cfg.Apps))
			note("T6", stateTable(ctx, m, "T6", hour, m.cfg.Enterprises))
			note("T7", stateTable(ctx, m, "T7", hour, m.cfg.EnterpriseWays))
		}
		note("T10", stateTable(ctx, m, "T10", month, m.cfg.EnterpriseApps))
		note("daily", m.closeDays(ctx, now.Add(-grace)))
		note("SLA", m.closeMonths(ctx, now.Add(-grace)))
	}
	m.poke()
	return errors.Join(errs...)
}

// stateTable reports the rows that changed since they were last told, and which are gone. period says when it is due
// again; empty: whenever something changed.
func stateTable[T Row](ctx context.Context, m *Meter, tableID, period string, get func(context.Context) ([]T, error)) error {
	if get == nil {
		return nil
	}
	c := m.change(ctx)
	if period != "" {
		done, err := marks.Load(ctx, m.cfg.Store, []byte(tableID))
		if err != nil || done.Value.Text == period {
			return err
		}
		if err := c.mark(tableID, func(k *mark) { k.Text = period }); err != nil {
			return err
		}
	}
	list, err := get(ctx)
	if err != nil {
		return err
	}
	before := map[string]string{}
	err = tolds.Range(ctx, m.cfg.Store, store.Under([]byte(tableID+"\x00")), func(t told) error {
		before[t.Key] = string(t.Digest)
		return nil
	})
	if err != nil {
		return err
	}
	now := map[string]Row{}
	for _, r := range list {
		now[r.key()] = r
	}
	var rows []Row
	var gone []string
	flush := func() error {
		if len(rows)+len(gone) == 0 {
			return nil
		}
		if err := c.enqueue(tableID, period, rows, gone); err != nil {
			return err
		}
		if err := c.apply(); err != nil {
			return err
		}
		c, rows, gone = m.change(ctx), nil, nil
		return nil
	}
	tell := func(key string, digest string) error {
		old, err := tolds.Load(ctx, m.cfg.Store, toldKey(tableID, key))
		if err != nil {
			return err
		}
		if digest == "" {
			tolds.Remove(&c.b, old)
			return nil
		}
		return tolds.Set(&c.b, old, told{tableID, key, []byte(digest)})
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		d := digestOf(now[key])
		if before[key] == d {
			continue
		}
		if rows = append(rows, now[key]); len(rows) == maxRows {
			if err := errors.Join(tell(key, d), flush()); err != nil {
				return err
			}
		} else if err := tell(key, d); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, there := now[key]; there {
			continue
		}
		if gone = append(gone, key); len(gone) == maxRows {
			if err := errors.Join(tell(key, ""), flush()); err != nil {
				return err
			}
		} else if err := tell(key, ""); err != nil {
			return err
		}
	}
	if len(rows)+len(gone) == 0 {
		return c.apply() // nothing changed; the period is done
	}
	return flush()
}

// closeDays reports T3, T8, T9 and M1 of each day that was over at t and is not reported yet.
func (m *Meter) closeDays(ctx context.Context, t time.Time) error {
	done, err := marks.Load(ctx, m.cfg.Store, []byte("days"))
	if err != nil {
		return err
	}
	today := dayOf(t)
	last := done.Value.Text
	var open []string
	err = days.Range(ctx, m.cfg.Store, store.Span{From: []byte(last + "!"), To: []byte(today)}, func(d Day) error {
		if d.Day > last && (len(open) == 0 || open[len(open)-1] != d.Day) {
			open = append(open, d.Day)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, day := range open {
		if err := m.closeDay(ctx, day); err != nil {
			return err
		}
	}
	return nil
}

func (m *Meter) closeDay(ctx context.Context, day string) error {
	if err := m.mainData(ctx, day); err != nil {
		return err
	}
	c := m.change(ctx)
	whole, err := c.day(day, "")
	if err != nil {
		return err
	}
	var below []Row
	for _, prefix := range m.cfg.Homed() {
		prefix = id.PrefixRecord(prefix).Suffix()
		enterprise := m.cfg.Enterprise || prefix != m.cfg.Prefix
		if !enterprise || prefix == "0.NA" {
			continue
		}
		row, err := m.stats(c, day, prefix)
		if err != nil {
			return err
		}
		below = append(below, row)
		if len(below) == maxRows {
			if err := c.enqueue("T8", day, below, nil); err != nil {
				return err
			}
			if err := c.apply(); err != nil { // the day is not marked yet: after a crash these rows come again, and are the same
				return err
			}
			below, c = nil, m.change(ctx)
		}
	}
	if len(below) > 0 {
		if err := m.send(c, "T8", day, below); err != nil {
			return err
		}
		c = m.change(ctx)
	}
	if !m.cfg.Enterprise {
		row, err := m.ownStats(c, day)
		if err != nil {
			return err
		}
		if err := m.send(c, "T3", day, []Row{row}); err != nil {
			return err
		}
		c = m.change(ctx)
	}
	r, g := &whole.Resolve, &whole.Register
	mon := Monitoring{Day: day, Prefix: m.cfg.Prefix, MaxQPS: round(whole.MaxQPS)}
	if r.Count > 0 {
		mon.ResolveAvg, mon.ResolveMax, mon.ResolveMin = round(float64(r.Sum)/float64(r.Count)/1000), millis(r.Max), millis(r.Min)
		mon.ResolveMaxAt, mon.ResolveMinAt = clockText(r.MaxAt), clockText(r.MinAt)
	}
	if whole.MaxQPS > 0 {
		mon.MaxQPSAt = clockText(whole.MaxQPSAt)
	}
	if g.Count > 0 {
		mon.RegisterAvg, mon.RegisterMax, mon.RegisterMin = round(float64(g.Sum)/float64(g.Count)/1000), millis(g.Max), millis(g.Min)
		mon.RegisterMaxAt, mon.RegisterMinAt = clockText(g.MaxAt), clockText(g.MinAt)
	}
	if err := c.enqueue("M1", day, []Row{mon}, nil); err != nil {
		return err
	}
	if err := c.mark("days", func(k *mark) { k.Text = day }); err != nil {
		return err
	}
	return c.apply()
}

func (m *Meter) send(c *change, tableID, day string, rows []Row) error {
	if err := c.enqueue(tableID, day, rows, nil); err != nil {
		return err
	}
	return c.apply()
}

// stats is T8 of one prefix.
func (m *Meter) stats(c *change, day, prefix string) (Row, error) {
	d, err := c.day(day, prefix)
	if err != nil {
		return nil, err
	}
	before, err := m.totalBefore(c.ctx, day, prefix)
	if err != nil {
		return nil, err
	}
	d.Total = max(0, before+d.Creates-d.Deletes)
	made := d.Creates
	if m.cfg.Lister != nil {
		switch n, err := m.cfg.Lister.Count(c.ctx, operator, prefix); {
		case err == nil:
			since, err := m.since(c.ctx, day, prefix)
			if err != nil {
				return nil, err
			}
			// A registration that took an older one's place is none; only the count knows.
			d.Total = max(0, n-since)
			made = max(0, min(made, d.Total-before+d.Deletes))
		case !problem.Is(err, problem.NotHere):
			return nil, err
		}
	}
	row := Stats{Day: day, Prefix: prefix, Registrations: made, Total: d.Total, Requests: d.Requests, Successes: d.Successes}
	row.Sources, row.OtherSources = topSources(d.Sources, maxSources/2)
	row.OtherSources += d.Others
	return row, nil
}

// totalBefore is how much was registered at the end of the last day before day of which something is known.
func (m *Meter) totalBefore(ctx context.Context, day, prefix string) (total int64, err error) {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return 0, err
	}
	for i := 1; i <= 62; i++ {
		row, err := days.Load(ctx, m.cfg.Store, dayKey(at.AddDate(0, 0, -i).Format(time.DateOnly), prefix))
		if err != nil || row.Found() {
			return row.Value.Total, err
		}
	}
	return 0, nil
}

// since is how many more identifiers there are than at the end of day, by what the Feed said of the days after it.
func (m *Meter) since(ctx context.Context, day, prefix string) (n int64, err error) {
	err = days.Range(ctx, m.cfg.Store, store.Span{From: []byte(day + "!")}, func(d Day) error {
		if d.Prefix == prefix {
			n += d.Creates - d.Deletes
		}
		return nil
	})
	return n, err
}

// ownStats is T3: the node as a whole, whose registrations are prefixes.
func (m *Meter) ownStats(c *change, day string) (Row, error) {
	own, err := c.day(day, m.cfg.Prefix)
	if err != nil {
		return nil, err
	}
	total, err := m.delegated(c.ctx, day)
	if err != nil {
		return nil, err
	}
	row := Stats{Day: day, Prefix: m.cfg.Prefix, Registrations: own.Delegated, Total: total}
	all := map[string]uint64{}
	err = days.Range(c.ctx, m.cfg.Store, store.Under([]byte(day+" ")), func(d Day) error {
		row.Requests += d.Requests
		row.Successes += d.Successes
		row.OtherSources += d.Others
		for ip, n := range d.Sources {
			all[ip] += n
		}
		return nil
	})
	var rest uint64
	row.Sources, rest = topSources(all, maxSources/2)
	row.OtherSources += rest
	return row, err
}

// delegated is how many prefixes right below were there at the end of day: those that are there now, without what came and
// went since.
func (m *Meter) delegated(ctx context.Context, day string) (n int64, err error) {
	err = delegations.Range(ctx, m.cfg.Store, store.Span{}, func(d delegation) error {
		if id.ParentPrefix(d.Prefix) == m.cfg.Prefix {
			n++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	err = days.Range(ctx, m.cfg.Store, store.Span{From: []byte(day + "!")}, func(d Day) error {
		if d.Prefix == m.cfg.Prefix {
			n -= d.Delegated - d.Revoked
		}
		return nil
	})
	return max(0, n), err
}

// mainData reports T9: every identifier that was registered, changed or deleted up to the end of day. It goes on where it
// stopped; a message and how far it reaches are written together.
func (m *Meter) mainData(ctx context.Context, day string) error {
	homed := map[string]bool{}
	for _, p := range m.cfg.Homed() {
		p = id.PrefixRecord(p).Suffix()
		homed[p] = m.cfg.Enterprise || p != m.cfg.Prefix
	}
	counted, err := marks.Load(ctx, m.cfg.Store, []byte(cursorFeed))
	if err != nil {
		return err
	}
	for {
		at, err := marks.Load(ctx, m.cfg.Store, []byte("T9"))
		if err != nil || at.Value.Seq >= counted.Value.Seq {
			return err
		}
		entries, err := m.cfg.Feed.Changes(ctx, operator, at.Value.Seq, maxRows/2, false)
		if err != nil {
			return err
		}
		c := m.change(ctx)
		var rows []Row
		place := map[id.ID]int{}
		seq, over := at.Value.Seq, false
		for i := range entries {
			x := &entries[i].Change
			if dayOf(x.Time) > day {
				over = true
				break
			}
			seq = x.Seq
			if _, isPrefix := x.ID.Delegated(); isPrefix || !homed[x.ID.Prefix()] || isPaper(x.ID.Suffix()) {
				continue
			}
			op := 3
			switch x.Op {
			case record.Create:
				op = 1
			case record.Delete:
				op = 2
			case record.Home, record.Unhome:
				continue
			}
			if k, again := place[x.ID]; again {
				// Several changes of one identifier in one message are told as one.
				was := rows[k].(MainData)
				if !(was.Op == 1 && op == 3) {
					was.Op = op
				}
				rows[k] = was
				continue
			}
			place[x.ID] = len(rows)
			rows = append(rows, MainData{Handle: x.ID.String(), Op: op, CreateDate: dayOf(x.Time)})
		}
		for k := range rows {
			if row := rows[k].(MainData); row.Op != 2 {
				if rows[k], err = m.describe(ctx, row); err != nil {
					return err
				}
			}
		}
		if seq == at.Value.Seq {
			return nil
		}
		if err := c.mark("T9", func(k *mark) { k.Seq = seq }); err != nil {
			return err
		}
		if len(rows) > 0 {
			if err := c.enqueue("T9", day, rows, nil); err != nil {
				return err
			}
		}
		if err := c.apply(); err != nil || over {
			return err
		}
	}
}

// describe fills in what anybody may read of the record: values whose types are the columns' names.
func (m *Meter) describe(ctx context.Context, row MainData) (Row, error) {
	if m.cfg.Names == nil {
		return row, nil
	}
	v, err := id.ParseHandle(row.Handle)
	if err != nil {
		return nil, err
	}
	a, err := m.cfg.Names.Resolve(ctx, record.Query{ID: v, PublicOnly: true, NoReferral: true})
	switch {
	case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues), problem.Is(err, problem.NotHere):
		return row, nil
	case err != nil:
		return nil, err
	}
	into := map[string]*string{
		"producttype": &row.ProductType, "brand": &row.Brand, "productname": &row.ProductName, "name": &row.ProductName,
		"manufacturer": &row.Maker, "productiontime": &row.ProducedAt, "expirytime": &row.Expiry, "terminaltype": &row.TerminalType,
		"terminalowner": &row.Owner, "terminalpurpose": &row.Purpose, "serialnumber": &row.Serial, "imei": &row.Serial,
		"accesspermitno": &row.PermitNo, "permitmarkcode": &row.MarkCode, "permitmarkserial": &row.MarkSerial,
	}
	for i := range a.Values {
		v := &a.Values[i]
		if v.Index == record.IndexTemplateID {
			row.MetaCode = string(v.Data)
		} else if at := into[strings.ToLower(v.Type)]; at != nil && len(v.Data) <= 255 {
			*at = string(v.Data)
		}
	}
	return row, nil
}

// closeMonths reports annex 3 of the month before, once.
func (m *Meter) closeMonths(ctx context.Context, t time.Time) error {
	first := time.Date(t.In(Beijing).Year(), t.In(Beijing).Month(), 1, 0, 0, 0, 0, Beijing)
	from := first.AddDate(0, -1, 0)
	month := from.Format("2006-01")
	done, err := marks.Load(ctx, m.cfg.Store, []byte("SLA"))
	if err != nil || done.Value.Text >= month {
		return err
	}
	row, known, err := m.Month(ctx, month)
	if err != nil {
		return err
	}
	c := m.change(ctx)
	if known {
		if err := c.enqueue("SLA", month, []Row{row}, nil); err != nil {
			return err
		}
	}
	if err := c.mark("SLA", func(k *mark) { k.Text = month }); err != nil {
		return err
	}
	return c.apply()
}

// Month is the report of this node's month (2026-11), from what is known up to now. known is false when nothing is.
func (m *Meter) Month(ctx context.Context, month string) (row SLA, known bool, err error) {
	from, err := time.ParseInLocation("2006-01", month, Beijing)
	if err != nil {
		return row, false, problem.New(problem.BadValue, "%q is no month: write it as 2026-11", "%q 不是月份：请写成 2026-11", month)
	}
	to := from.AddDate(0, 1, 0)
	row = SLA{Month: month, Prefix: m.cfg.Prefix}
	var r, g Latencies
	var up float64
	firstDay := ""
	err = days.Range(ctx, m.cfg.Store, store.Under([]byte(month+"-")), func(d Day) error {
		if d.Prefix == "" {
			known = true
			if firstDay == "" {
				firstDay = d.Day
			}
			r.merge(d.Resolve)
			g.merge(d.Register)
			up += d.UpSeconds
		}
		row.Requests += d.Requests
		row.Registrations += uint64(d.Creates)
		return nil
	})
	if err != nil || !known {
		return row, known, err
	}
	// The time that it could have been up: of its first month, from its first day on.
	if at, err := time.ParseInLocation(time.DateOnly, firstDay, Beijing); err == nil && at.After(from) {
		if before, err := m.anyBefore(ctx, firstDay); err != nil {
			return row, known, err
		} else if !before {
			from = at
		}
	}
	if now := m.cfg.Now(); now.Before(to) {
		to = now
	}
	if whole := to.Sub(from).Seconds(); whole > 0 {
		row.Availability = min(100, round(100*up/whole))
	}
	row.UptimeHours = round(up / 3600)
	row.ResolveMs, row.RegisterMs, row.ResolveP99 = mean(&r), mean(&g), millis(r.Quantile(0.99))
	if m.cfg.Effective != nil {
		took, err := m.cfg.Effective(ctx, from, to)
		if err != nil {
			return row, known, err
		}
		var sum time.Duration
		for _, d := range took {
			sum += d
		}
		if len(took) > 0 {
			row.EffectiveHours = sum.Hours() / float64(len(took))
		}
	}
	err = events.Range(ctx, m.cfg.Store, store.Span{}, func(e kept) error {
		if e.State == 1 && e.At.Before(to) && (e.Until.IsZero() || e.Until.After(from)) {
			line := e.At.In(Beijing).Format(time.DateTime) + " " + e.No
			if !e.Until.IsZero() {
				line += " – " + e.Until.In(Beijing).Format(time.DateTime)
			}
			if e.Cause != "" {
				line += " " + e.Cause
			}
			if e.Maintenance {
				row.Maintenance = append(row.Maintenance, line)
			} else {
				row.Emergencies = append(row.Emergencies, line)
			}
		}
		return nil
	})
	return row, known, err
}

func mean(l *Latencies) float64 {
	if l.Count == 0 {
		return 0
	}
	return round(float64(l.Sum) / float64(l.Count) / 1000)
}

func (m *Meter) anyBefore(ctx context.Context, day string) (yes bool, err error) {
	err = days.Range(ctx, m.cfg.Store, store.Span{To: []byte(day)}, func(Day) error {
		yes = true
		return store.Stop
	})
	return yes, err
}

// kept is an event with what came of it.
type kept struct {
	Event
	At          time.Time `json:"at"`
	Until       time.Time `json:"until,omitzero"`
	Maintenance bool      `json:"maintenance,omitempty"`
}

var events = table.Table[kept]{Name: "meter.events", Key: func(e kept) []byte { return []byte(e.No) }}

// Kind of an event, as the tables number it.
type Kind int

const (
	Network Kind = 1 // 网络故障
	System  Kind = 2 // 系统异常
	Attack  Kind = 3 // 安全攻击
	Other   Kind = 4 // 其他
)

// Abnormal reports at once that something is wrong here (异常). maintenance says that it was planned. It returns the
// event's number, for Recovered.
func (m *Meter) Abnormal(ctx context.Context, kind Kind, cause string, maintenance bool) (no string, err error) {
	if kind < Network || kind > Other {
		return "", problem.New(problem.BadValue, "an event is of type 1 to 4, not %d", "事件类型应为 1 至 4，而非 %d", int(kind))
	}
	return m.event(ctx, kept{Event: Event{State: 1, Cause: cause, Type: int(kind)}, Maintenance: maintenance})
}

// Recovered reports at once that what the event said is over (恢复正常). problem.NotFound when there is none, problem.Conflict when it is over already.
func (m *Meter) Recovered(ctx context.Context, no string) (string, error) {
	return m.event(ctx, kept{Event: Event{State: 2, Recovers: no}})
}

func (m *Meter) event(ctx context.Context, e kept) (string, error) {
	if len(e.Cause) > 1000 {
		return "", problem.New(problem.TooLarge, "the cause has %d bytes, over the limit of 1000", "原因有 %d 字节，超过上限 1000", len(e.Cause))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.change(ctx)
	now := m.cfg.Now()
	if e.State == 2 {
		was, err := events.Load(ctx, m.cfg.Store, []byte(e.Recovers))
		if err != nil {
			return "", err
		}
		if !was.Found() || was.Value.State != 1 {
			return "", problem.New(problem.NotFound, "there is no event %q: see /api/incidents", "没有事件 %q：请参见 /api/incidents", e.Recovers)
		}
		if !was.Value.Until.IsZero() {
			return "", problem.New(problem.Conflict, "event %s is over already", "事件 %s 已恢复", e.Recovers)
		}
		over := was.Value
		over.Until = now.UTC()
		e.Type = over.Type
		if err := events.Set(&c.b, was, over); err != nil {
			return "", err
		}
	}
	var n uint64
	if err := c.mark("events", func(k *mark) { k.Seq++; n = k.Seq }); err != nil {
		return "", err
	}
	e.At, e.Prefix = now.UTC(), m.cfg.Prefix
	e.No = fmt.Sprintf("%s-%08d", m.cfg.Prefix, n)
	e.Time = now.In(Beijing).Format(time.DateTime)
	if err := events.Set(&c.b, table.Row[kept]{}, e); err != nil {
		return "", err
	}
	if err := c.enqueue("M2", "", []Row{e.Event}, nil); err != nil {
		return "", err
	}
	if err := c.apply(); err != nil {
		return "", err
	}
	m.poke()
	return e.No, nil
}
