package indicator

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
)

// writer writes rows within one transaction; statements are prepared once in it.
type writer struct {
	ctx   context.Context
	p     *Projection
	tx    *sql.Tx
	ready map[string]*sql.Stmt
	err   error
}

// do runs a statement whose places are written ?.
func (w *writer) do(q string, args ...any) {
	if w.err != nil {
		return
	}
	s := w.ready[q]
	if s == nil {
		text := q
		if !w.p.lite {
			text = dollars(q)
		}
		if s, w.err = w.tx.PrepareContext(w.ctx, text); w.err != nil {
			w.err = fmt.Errorf("%s: %w", q, w.err)
			return
		}
		w.ready[q] = s
	}
	if _, err := s.ExecContext(w.ctx, args...); err != nil {
		w.err = fmt.Errorf("%s: %w", q, err)
	}
}

// dollars writes ? places as PostgreSQL has them.
func dollars(q string) string {
	var b strings.Builder
	n := 0
	for i := range len(q) {
		if q[i] == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		} else {
			b.WriteByte(q[i])
		}
	}
	return b.String()
}

// insert puts a row in the place of one with the same key.
func (w *writer) insert(table, columns string, args ...any) {
	q := "INSERT INTO " + table + " (" + columns + ") VALUES (?" + strings.Repeat(", ?", len(args)-1) + ")"
	w.do(q, args...)
}

// clean is text that every engine keeps: valid UTF-8 without NUL.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

const stamp = "2006-01-02T15:04:05.000Z"

func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(stamp)
}

// day, hour and week are what a time is counted by.
func (w *writer) day(t time.Time) string  { return t.In(w.p.cfg.Zone).Format("2006-01-02") }
func (w *writer) hour(t time.Time) string { return t.In(w.p.cfg.Zone).Format("2006-01-02 15") }
func (w *writer) week(t time.Time) string {
	y, n := t.In(w.p.cfg.Zone).ISOWeek()
	return fmt.Sprintf("%04d-W%02d", y, n)
}

func number(s string) any {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || len(s) > 40 {
		return nil
	}
	return f
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func location(l *epcis.Location) string {
	if l == nil {
		return ""
	}
	return clean(epcis.Key(l.ID))
}

func (w *writer) event(x *Event) {
	e := x.Event
	seq := int64(x.Seq)
	parent := ""
	if e.Parent != "" {
		parent = clean(epcis.Key(e.Parent))
	}
	w.insert("events", "seq, event_id, hash, type, action, event_time, day, hour, week, record_time, biz_step, disposition, read_point, biz_location, parent, captured_by, corrected, declares",
		seq, clean(e.ID), clean(x.Hash), string(e.Type), string(e.Action), utc(e.Time), w.day(e.Time), w.hour(e.Time), w.week(e.Time), utc(e.RecordTime), clean(e.BizStep), clean(e.Disposition),
		location(e.ReadPoint), location(e.BizLocation), parent, clean(x.By), 0, flag(e.Error != nil))
	if e.Error != nil {
		w.do("UPDATE events SET corrected = 1 WHERE event_id = ? AND declares = 0", clean(e.ID))
	} else if e.ID != "" {
		// The declaration may have come before what it is about.
		w.do("UPDATE events SET corrected = 1 WHERE seq = ? AND EXISTS (SELECT 1 FROM events d WHERE d.event_id = ? AND d.declares = 1)", seq, clean(e.ID))
	}
	no := 0
	thing := func(role epcis.Role, s string, q *epcis.Quantity) {
		var amount any
		unit := ""
		if q != nil {
			if f, ok := q.Quantity.Float(); ok {
				amount = f
			}
			unit = clean(q.Unit)
		}
		no++
		w.insert("event_things", "seq, role, no, thing, quantity, unit", seq, role.String(), no, clean(epcis.Key(s)), amount, unit)
	}
	if e.Parent != "" {
		thing(epcis.RoleParent, e.Parent, nil)
	}
	own, class := epcis.RoleEPC, epcis.RoleEPCClass
	if e.Type == epcis.AggregationEvent || e.Type == epcis.AssociationEvent {
		own, class = epcis.RoleChild, epcis.RoleChildClass
	}
	for _, list := range []struct {
		role epcis.Role
		of   []string
	}{{own, e.EPCs}, {epcis.RoleInput, e.InputEPCs}, {epcis.RoleOutput, e.OutputEPCs}} {
		for _, s := range list.of {
			thing(list.role, s, nil)
		}
	}
	for _, list := range []struct {
		role epcis.Role
		of   []epcis.Quantity
	}{{class, e.Quantities}, {epcis.RoleInputClass, e.InputQuantities}, {epcis.RoleOutputClass, e.OutputQuantities}} {
		for i := range list.of {
			thing(list.role, list.of[i].Class, &list.of[i])
		}
	}
	for i, t := range e.Transactions {
		w.insert("event_transactions", "seq, no, type, id", seq, i+1, clean(t.Type), clean(epcis.Key(t.ID)))
	}
	for _, side := range []struct {
		name string
		of   []epcis.Party
	}{{"source", e.Sources}, {"destination", e.Destinations}} {
		for i, s := range side.of {
			w.insert("event_parties", "seq, side, no, type, id", seq, side.name, i+1, clean(s.Type), clean(epcis.Key(s.ID)))
		}
	}
	n := 0
	for i := range e.Sensors {
		el := &e.Sensors[i]
		for j := range el.Reports {
			r := &el.Reports[j]
			at, device := r.Time, r.DeviceID
			if m := el.Metadata; m != nil {
				if at.IsZero() {
					at = m.Time
				}
				if device == "" {
					device = m.DeviceID
				}
			}
			if at.IsZero() {
				at = e.Time
			}
			var value any
			if f, ok := r.Value.Float(); ok {
				value = f
			}
			n++
			w.insert("event_sensors", "seq, no, type, time, value, unit, device", seq, n, clean(r.Type), utc(at), value, clean(r.Unit), clean(device))
		}
	}
	seen := map[string]bool{}
	for _, f := range e.Extensions {
		if name := clean(f.Name); !seen[name] && (f.Value.Kind == epcis.Text || f.Value.Kind == epcis.Number || f.Value.Kind == epcis.Bool) {
			seen[name] = true
			w.insert("event_fields", "seq, name, text, number", seq, name, clean(f.Value.Text), number(f.Value.Text))
		}
	}
}

// firstProperty is the index from which on a record holds properties; nothing below it is taken in, keys and papers least of all.
const firstProperty = 2000

func (w *writer) change(x *record.Entry) {
	id := x.ID.String()
	w.do("DELETE FROM record_values WHERE id = ?", id)
	if x.Values == nil {
		w.do("DELETE FROM records WHERE id = ?", id)
		return
	}
	template, thing := "", false
	for i := range x.Values {
		v := &x.Values[i]
		if v.Index == record.IndexTemplateID {
			template = clean(string(v.Data))
		}
		thing = thing || v.Index >= firstProperty
	}
	// Papers of the office, keys and delegations are no things.
	if template == "" && !thing {
		w.do("DELETE FROM records WHERE id = ?", id)
		return
	}
	w.do("INSERT INTO records (id, prefix, template, registered_time, registered_day, changed_time) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET template = excluded.template, changed_time = excluded.changed_time",
		id, x.ID.Prefix(), template, utc(x.Time), w.day(x.Time), utc(x.Time))
	seen := map[string]bool{}
	for i := range x.Values {
		v := &x.Values[i]
		if name := clean(v.Type); v.Index >= firstProperty && !seen[name] && len(v.Data) <= 4000 && utf8.Valid(v.Data) {
			seen[name] = true
			w.insert("record_values", "id, name, value, number", id, name, clean(string(v.Data)), number(string(v.Data)))
		}
	}
}

func (w *writer) step(x *Step) {
	ms := float64(x.Took) / float64(time.Millisecond)
	w.insert("run_steps", "seq, run, no, solution, flow, step, verdict, say, about, code, who, device, place, at, day, hour, week, took_ms",
		int64(x.Seq), clean(x.Run), x.No, clean(x.Solution), clean(x.Flow), clean(x.Step), clean(x.Verdict), clean(x.Say), clean(x.About), clean(x.Code), clean(x.Who), clean(x.Device), clean(x.Place),
		utc(x.At), w.day(x.At), w.hour(x.At), w.week(x.At), ms)
	if x.Run == "" {
		return // turned away before a run began
	}
	seconds := x.At.Sub(x.Started).Seconds()
	if x.Started.IsZero() {
		x.Started, seconds = x.At, 0
	}
	w.do("INSERT INTO runs (run, solution, flow, about, state, verdict, started_time, started_day, last_time, seconds, steps) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (run) DO UPDATE SET "+
		"state = excluded.state, verdict = excluded.verdict, about = excluded.about, last_time = excluded.last_time, seconds = excluded.seconds, steps = runs.steps + 1",
		clean(x.Run), clean(x.Solution), clean(x.Flow), clean(x.About), clean(x.State), clean(x.Verdict), utc(x.Started), w.day(x.Started), utc(x.At), seconds)
}

// turn takes in at most one batch of each source; n is how many entries that were.
func (p *Projection) turn(ctx context.Context) (n int, err error) {
	p.work.Lock()
	defer p.work.Unlock()
	at, err := p.progress(ctx, p.db)
	if err != nil {
		return 0, err
	}
	// Read first, then write: the sources are not waited for inside a transaction.
	var events []Event
	var changes []record.Entry
	var steps []Step
	if p.cfg.Events != nil {
		if events, err = p.cfg.Events(ctx, at["events"], batch); err != nil {
			return 0, err
		}
	}
	if p.cfg.Changes != nil {
		if changes, err = p.cfg.Changes(ctx, at["changes"], batch); err != nil {
			return 0, err
		}
	}
	if p.cfg.Steps != nil {
		if steps, err = p.cfg.Steps(ctx, at["steps"], batch); err != nil {
			return 0, err
		}
	}
	n = len(events) + len(changes) + len(steps)
	if n == 0 {
		return 0, nil
	}
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	w := &writer{ctx: ctx, p: p, tx: tx, ready: map[string]*sql.Stmt{}}
	// Rows and the place in their source are written together, so a crash neither loses nor doubles any.
	reached := func(source string, seq uint64) {
		w.do("INSERT INTO progress (source, seq) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET seq = excluded.seq", source, int64(seq))
	}
	for i := range events {
		w.event(&events[i])
	}
	if len(events) > 0 {
		reached("events", events[len(events)-1].Seq)
	}
	for i := range changes {
		w.change(&changes[i])
	}
	if len(changes) > 0 {
		reached("changes", changes[len(changes)-1].Seq)
	}
	for i := range steps {
		w.step(&steps[i])
	}
	if len(steps) > 0 {
		reached("steps", steps[len(steps)-1].Seq)
	}
	if w.err != nil {
		return 0, w.err
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	p.rows.Add(int64(n))
	return n, nil
}
