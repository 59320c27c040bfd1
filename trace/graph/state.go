package graph

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// State is what is known of a thing at an instant.
type State struct {
	ID    string    `json:"id"`
	Key   string    `json:"key"`
	At    time.Time `json:"at"`
	Known bool      `json:"known"` // an event before that instant names it
	// Place is where it is, by its own last event that says or by the later one of what it is in: PlaceOf is the key of who was seen there, PlaceSince when.
	Place      string    `json:"place,omitempty"`
	PlaceOf    string    `json:"placeOf,omitempty"`
	PlaceSince time.Time `json:"placeSince,omitzero"`
	// Inside is what it is in, innermost first, and Beside what else it is said to be in, which ought to be empty.
	Inside []string `json:"inside,omitempty"`
	Beside []string `json:"beside,omitempty"`
	// Contents are what is directly in it.
	Contents    []Content `json:"contents,omitempty"`
	Step        string    `json:"step,omitempty"`
	Disposition string    `json:"disposition,omitempty"`
	Persistent  []string  `json:"persistent,omitempty"` // dispositions that were set and not unset
	// Ended says that it was used up or taken out of service, by which event and when.
	Ended   string    `json:"ended,omitempty"`
	EndedAt time.Time `json:"endedAt,omitzero"`
	Event   string    `json:"event,omitempty"` // the last one
	EventAt time.Time `json:"eventAt,omitzero"`
}

// Content is a thing in another.
type Content struct {
	Key      string        `json:"key"`
	Kind     Kind          `json:"kind"`
	Since    time.Time     `json:"since,omitzero"`
	Quantity epcis.Decimal `json:"quantity,omitempty"` // of a class: all that was put in since
	Unit     string        `json:"unit,omitempty"`
}

// StateAt tells where a thing is at an instant, in what, and in what disposition; a zero at is the end of all events. At the moment of an event it has happened.
func StateAt(ctx context.Context, src Source, thing string, at time.Time) (State, error) {
	if thing == "" {
		return State{}, problem.New(problem.BadRequest, "the question names no thing; give its identifier", "问题未指明对象，请给出其标识")
	}
	l := newLoad(ctx, src, time.Time{}, at)
	n := l.at(thing)
	out := State{ID: thing, Key: l.nodes[n].key, At: at}
	if err := l.fetch([]int32{n}); err != nil {
		return State{}, canceled(err)
	}
	if err := failed(l.nodes[n]); err != nil {
		return State{}, err
	}
	d := l.nodes[n]
	moment := l.bounds().to
	if err := l.fetch(slices.Concat(l.parents(n), l.children(n))); err != nil {
		return State{}, canceled(err)
	}
	for _, i := range d.events {
		e := l.events[i].e
		out.Known = true
		out.Step, out.Disposition = cmp.Or(e.BizStep, out.Step), cmp.Or(e.Disposition, out.Disposition)
		out.Event, out.EventAt = e.ID, e.Time
		if p := e.PersistentDispositions; p != nil {
			out.Persistent = slices.DeleteFunc(out.Persistent, func(s string) bool { return slices.Contains(p.Unset, s) })
			for _, s := range p.Set {
				if !slices.Contains(out.Persistent, s) {
					out.Persistent = append(out.Persistent, s)
				}
			}
		}
	}
	if k := len(d.ends); k > 0 {
		end, again := d.ends[k-1], false
		for _, i := range d.events {
			h := &l.events[i]
			again = again || l.before(end.ev, i) && (h.role(n)&isOut != 0 || h.e.Type == epcis.ObjectEvent && h.e.Action == epcis.Add && h.role(n)&isKid != 0)
		}
		if !again {
			out.Ended, out.EndedAt = end.id, when(end.at)
		}
	}
	out.seen(l, n, always)
	cur, since := n, int64(always)
	for range 64 {
		last, all := l.inside(cur, moment)
		if last == nil {
			break
		}
		if cur == n {
			for _, c := range all {
				if c.parent != last.parent {
					out.Beside = append(out.Beside, l.nodes[c.parent].key)
				}
			}
			slices.Sort(out.Beside)
			out.Beside = slices.Compact(out.Beside)
		}
		key := l.nodes[last.parent].key
		if key == out.Key || slices.Contains(out.Inside, key) {
			break // it is in itself, which a trace has a Finding for
		}
		out.Inside = append(out.Inside, key)
		since = max(since, last.s.from)
		cur = last.parent
		if err := l.fetch([]int32{cur}); err != nil {
			return State{}, canceled(err)
		}
		if err := l.fetch(l.parents(cur)); err != nil {
			return State{}, canceled(err)
		}
		out.seen(l, cur, since)
	}
	for _, c := range l.children(n) {
		for _, in := range l.in(c, n) {
			if in.s.from > moment || in.s.to <= moment && in.s.to != never {
				continue
			}
			k := Content{Key: l.nodes[c].key, Kind: in.kind, Since: when(in.s.from)}
			if in.class {
				k.Quantity, k.Unit = l.left(&in, moment)
			}
			out.Contents = append(out.Contents, k)
		}
	}
	slices.SortFunc(out.Contents, func(a, b Content) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Kind, b.Kind)) })
	return out, nil
}

// left is how much of a class is still in something.
func (l *load) left(c *containment, at int64) (epcis.Decimal, string) {
	var sum amount
	for _, i := range l.nodes[c.child].events {
		h := &l.events[i]
		if h.parent != c.parent || h.kind() != c.kind || h.at < c.s.from || h.at > at || h.e.Action == epcis.Observe {
			continue
		}
		for _, p := range h.kids {
			if p.node != c.child || p.unit != c.unit {
				continue
			}
			x, ok := parseAmount(p.amount)
			if !ok {
				return "", ""
			}
			if h.e.Action == epcis.Delete {
				sum = sum.plus(x, -1)
			} else {
				sum = sum.plus(x, 1)
			}
		}
	}
	return sum.decimal(), c.unit
}

// seen takes the place of n's last event that has one, when it is not before since and later than what is known.
func (o *State) seen(l *load, n int32, since int64) {
	d := l.nodes[n]
	for k := len(d.events) - 1; k >= 0; k-- {
		h := &l.events[d.events[k]]
		if h.at < since {
			return
		}
		if p := place(h.e); p != "" {
			if o.Place == "" || h.e.Time.After(o.PlaceSince) {
				o.Place, o.PlaceOf, o.PlaceSince = p, d.key, h.e.Time
			}
			return
		}
	}
}

// failed is the error of a single thing that a question cannot do without.
func failed(d *node) error {
	switch d.stop {
	case "unreachable":
		return problem.New(problem.Unreachable, "who keeps the events of %s could not be reached", "无法联系到保存 %s 事件的一方", d.key)
	case "refused":
		return problem.New(problem.Forbidden, "who keeps the events of %s does not show them", "保存 %s 事件的一方未予公开", d.key)
	case "bogus":
		return problem.New(problem.Bogus, "what was answered about %s does not hold", "关于 %s 的答复未通过验证", d.key)
	}
	return nil
}

// Sibling is a thing that has something in common with another.
type Sibling struct {
	ID  string `json:"id"`
	Key string `json:"key"`
	// Why: "lot": they were commissioned by one event, or are of one lot; "class": one event counts them as the same class of things; "transformation": they came
	// of the same process; "parent": they were in the same thing at the same time.
	Why   string    `json:"why"`
	Of    string    `json:"of,omitempty"` // key of the parent or the class
	Event string    `json:"event"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
}

// Siblings are the things that share a thing's lot, class, process or parent, by key; one that shares several is named for each. limit is how many at most, 0: 200,000;
// more says that there are more.
func Siblings(ctx context.Context, src Source, thing string, from, to time.Time, limit int) (list []Sibling, more bool, err error) {
	if thing == "" {
		return nil, false, problem.New(problem.BadRequest, "the question names no thing; give its identifier", "问题未指明对象，请给出其标识")
	}
	limit = pick(limit, defaultLimit, mostLimit)
	l := newLoad(ctx, src, time.Time{}, to)
	b := l.bounds()
	if !from.IsZero() {
		b.from = micros(from)
	}
	n := l.at(thing)
	if err := l.fetch([]int32{n}); err != nil {
		return nil, false, canceled(err)
	}
	if err := failed(l.nodes[n]); err != nil {
		return nil, false, err
	}
	if err := l.fetch(l.parents(n)); err != nil {
		return nil, false, canceled(err)
	}
	type share struct {
		node, of int32
		why      string
	}
	seen := map[share]bool{}
	add := func(k int32, why string, of int32, ev int32, w span) {
		if k == n || seen[share{k, of, why}] || more {
			return
		}
		if more = len(list) >= limit; more {
			return
		}
		seen[share{k, of, why}] = true
		s := Sibling{ID: l.written(k), Key: l.nodes[k].key, Why: why, Event: l.events[ev].e.ID, Since: when(w.from), Until: when(w.to)}
		if of >= 0 {
			s.Of = l.nodes[of].key
		}
		list = append(list, s)
	}
	for _, i := range l.nodes[n].events {
		h := &l.events[i]
		if !b.has(h.at) {
			continue
		}
		r, w := h.role(n), span{h.at, never}
		switch {
		case h.e.Type == epcis.ObjectEvent && h.e.Action == epcis.Add && r&(isKid|isKidClass) != 0:
			for _, p := range h.kids {
				add(p.node, "lot", -1, i, w)
			}
		case h.transforms && r&(isOut|isOutClass) != 0:
			for _, p := range h.outs {
				add(p.node, "transformation", h.process, i, w)
			}
			if h.process >= 0 {
				if err := l.fetch([]int32{h.process}); err != nil {
					return nil, false, canceled(err)
				}
				for _, j := range l.nodes[h.process].events {
					for _, p := range l.events[j].outs {
						add(p.node, "transformation", h.process, j, span{l.events[j].at, never})
					}
				}
			}
		case r&isKidClass != 0:
			for _, p := range h.kids {
				if p.class && p.node != n {
					add(p.node, "class", n, i, w)
				}
			}
		}
	}
	// What was in the same thing at the same time.
	var kids []int32
	for _, p := range l.parents(n) {
		kids = append(kids, l.children(p)...)
	}
	if err := l.fetch(kids); err != nil {
		return nil, false, canceled(err)
	}
	for _, p := range l.parents(n) {
		for _, mine := range l.in(n, p) {
			if w := mine.s.and(b); w.empty() {
				continue
			}
			for _, k := range l.children(p) {
				for _, c := range l.in(k, p) {
					if w := mine.s.and(c.s).and(b); !w.empty() && k != n {
						add(k, "parent", p, c.first(), w)
					}
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b Sibling) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Why, b.Why), cmp.Compare(a.Of, b.Of))
	})
	return list, more, nil
}
