package graph

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// Step is what was found since the one before, for who shows an answer as it grows. Things, links and events come once each; what the whole answer says of
// them may differ: a thing that is found again nearer, a packing that turns out to have ended.
type Step struct {
	Things []Thing `json:"things,omitempty"`
	Links  []Link  `json:"links,omitempty"`
	Events []Event `json:"events,omitempty"`
	Depth  int     `json:"depth"` // links from what was asked for, that this step went
	Asked  int     `json:"asked"` // questions that the source was asked so far
	Total  int     `json:"total"` // things found so far
	Hops   []Hop   `json:"hops,omitempty"`
}

// Trace follows things to where they came from (Up), to where they went (Down), or both; with neither, both.
//
// It goes by time. Down from a thing: what it was made into from then on; what held it, for as long as it did, and where that went meanwhile; what was in it,
// with it and after. Up: what it was made of; what was in it; and what it, or what it was made of, came in and was taken out of. What else lay in the same box
// is no part of it: Siblings and Contacts tell that.
//
// An event that was declared to be wrong does not count, its corrections do as events of their own; both are named in a Finding. An event that says to take all
// out of a parent ends all packings in it. A thing that was taken out without ever having been put in was in there since the last that is known of it otherwise.
//
// found, when not nil, is called with each step of the search, from this goroutine. Errors: problem.BadRequest for a question without sense; problem.Canceled
// when ctx is canceled; what the source returns. What single things' owners refuse, or cannot answer, is their Stop, and so is "time" when q.Timeout or the
// deadline of ctx has passed.
func Trace(ctx context.Context, src Source, q Question, found func(Step)) (*Answer, error) {
	s, done, err := traced(ctx, src, q, found)
	if err != nil {
		return nil, err
	}
	defer done()
	return s.answer(q), nil
}

func traced(ctx context.Context, src Source, q Question, found func(Step)) (*search, func(), error) {
	if err := checked(q); err != nil {
		return nil, nil, err
	}
	inner, done := ctx, context.CancelFunc(func() {})
	if q.Timeout > 0 {
		inner, done = context.WithTimeout(ctx, q.Timeout)
	}
	s := newSearch(ctx, inner, src, q)
	s.found = found
	s.ask(q)
	if err := s.run(); err != nil {
		done()
		return nil, nil, err
	}
	return s, done, nil
}

// ask begins with what the question names.
func (s *search) ask(q Question) {
	both := q.Up == q.Down
	for _, t := range q.Things {
		n := s.l.at(t)
		if n < 0 {
			continue
		}
		if q.Down || both {
			s.begin(n, down, s.b)
		}
		if q.Up || both {
			s.begin(n, up, s.b)
		}
	}
}

// tell calls found with what the visits from a to b brought.
func (s *search) tell(a, b int) {
	if s.found == nil {
		return
	}
	st := Step{Asked: s.l.asked, Total: len(s.order), Depth: int(s.visits[a].depth)}
	// The things of this level have been read; those that it led to are told with the next.
	for _, v := range s.visits[a:b] {
		if x := &s.states[v.node]; !x.told {
			x.told = true
			st.Things = append(st.Things, s.thing(v.node))
		}
	}
	if s.toldEvent == nil {
		s.toldEvent = map[int32]bool{}
	}
	for _, v := range s.visits[a:b] {
		for _, i := range s.l.nodes[v.node].events {
			if h := &s.l.events[i]; v.w.has(h.at) && !s.toldEvent[i] {
				s.toldEvent[i] = true
				st.Events = append(st.Events, s.event(i, false, nil))
			}
		}
	}
	for _, e := range s.edges[s.toldEdges:] {
		st.Links = append(st.Links, s.link(&e))
	}
	s.toldEdges = len(s.edges)
	s.found(st)
}

// answer is the whole of it, in an order that depends on what was found only, not on how.
func (s *search) answer(q Question) *Answer {
	a := &Answer{Question: q, Complete: !s.out, Things: make([]Thing, 0, len(s.order)), Links: make([]Link, 0, len(s.edges))}
	list := s.sorted()
	for _, n := range list {
		t := s.thing(n)
		if t.Stop != "" {
			a.Complete = false
		}
		a.Things = append(a.Things, t)
	}
	for i := range s.edges {
		a.Links = append(a.Links, s.link(&s.edges[i]))
	}
	slices.SortFunc(a.Links, func(x, y Link) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Event, y.Event),
			cmp.Compare(x.Ended, y.Ended))
	})
	// The events of each thing's time, with those of the answer's things that they name.
	type named struct {
		things []int32
		wrong  bool
	}
	at := map[int32]int{}
	var events []int32
	var names []named
	take := func(n, i int32, wrong bool) {
		h := &s.l.events[i]
		if !s.b.has(h.at) || !s.states[n].has(h.at) {
			return
		}
		k, ok := at[i]
		if !ok {
			k = len(events)
			at[i] = k
			events, names = append(events, i), append(names, named{})
		}
		names[k].things = append(names[k].things, n)
		names[k].wrong = names[k].wrong || wrong
	}
	for _, n := range s.order {
		d := s.l.nodes[n]
		for _, i := range d.events {
			take(n, i, false)
		}
		for _, i := range d.wrong {
			take(n, i, true)
		}
	}
	a.Events = make([]Event, 0, len(events))
	seen := map[string]int{}
	for k, i := range events {
		e := s.event(i, names[k].wrong, names[k].things)
		if names[k].wrong && e.ID != "" {
			// The event and its declaration have one ID; what happened is told once.
			if j, ok := seen[e.ID]; ok {
				old := &a.Events[j]
				things := slices.Concat(old.Things, e.Things)
				slices.Sort(things)
				if s.l.events[i].e.Error == nil {
					*old = e
				}
				old.Things = slices.Compact(things)
				continue
			}
			seen[e.ID] = len(a.Events)
		}
		a.Events = append(a.Events, e)
	}
	slices.SortFunc(a.Events, func(x, y Event) int { return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.ID, y.ID)) })
	a.Findings = s.findings(list)
	return a
}

func (s *search) id(i int32) string {
	if i < 0 {
		return ""
	}
	return s.l.events[i].e.ID
}

func (s *search) link(e *edge) Link {
	k := Link{From: s.l.nodes[e.from].key, To: s.l.nodes[e.to].key, Kind: e.kind, Event: s.id(e.ev), Since: when(e.s.from), Until: when(e.s.to)}
	if e.ended != e.ev {
		k.Ended = s.id(e.ended)
	}
	if e.amount.set {
		k.Quantity, k.Unit = e.amount.decimal(), e.unit
	}
	return k
}

// written is a thing's identifier as its first event wrote it.
func (l *load) written(n int32) string {
	d := l.nodes[n]
	if !d.many && d.raw != "" {
		return d.raw
	}
	for _, i := range d.events {
		e := l.events[i].e
		for _, list := range [4][]string{{e.Parent}, e.EPCs, e.InputEPCs, e.OutputEPCs} {
			for _, raw := range list {
				if l.at(raw) == n {
					return raw
				}
			}
		}
		for _, list := range [3][]epcis.Quantity{e.Quantities, e.InputQuantities, e.OutputQuantities} {
			for _, q := range list {
				if l.at(q.Class) == n {
					return q.Class
				}
			}
		}
	}
	return cmp.Or(d.raw, d.key)
}

// stop is why the search did not go on at n.
func (s *search) stop(n int32) string {
	d, st := s.l.nodes[n], &s.states[n]
	switch {
	case d.stop != "" || st.stop != "":
		return cmp.Or(d.stop, st.stop)
	case d.fetched && len(d.all) == 0:
		return "unknown"
	case !d.fetched && s.follows(&s.visits[st.first]):
		return "time"
	}
	return ""
}

func (s *search) thing(n int32) Thing {
	d, st := s.l.nodes[n], &s.states[n]
	t := Thing{ID: s.l.written(n), Key: d.key, Class: d.class && !d.instance, Depth: int(st.depth), Stop: s.stop(n)}
	for _, i := range d.events {
		h := &s.l.events[i]
		if !s.b.has(h.at) {
			continue
		}
		if t.First.IsZero() {
			t.First = h.e.Time
		}
		t.Last = h.e.Time
		t.Place = cmp.Or(place(h.e), t.Place)
		t.Step = cmp.Or(h.e.BizStep, t.Step)
		t.Disposition = cmp.Or(h.e.Disposition, t.Disposition)
	}
	if p, _ := s.l.inside(n, s.b.to); p != nil {
		t.Inside = s.l.nodes[p.parent].key
	}
	if t.Class {
		made := s.l.made(n, s.b)
		if len(made) > 0 {
			t.Quantity, t.Unit = made[0].n.decimal(), made[0].unit
		}
	}
	return t
}

// place is where an event happened, or where its things are after it.
func place(e *epcis.Event) string {
	if e.BizLocation != nil && e.BizLocation.ID != "" {
		return e.BizLocation.ID
	}
	if e.ReadPoint != nil {
		return e.ReadPoint.ID
	}
	return ""
}

// inside is what n is in at a time: of several, what it was put into last. all says that and the others.
func (l *load) inside(n int32, at int64) (last *containment, all []containment) {
	for _, p := range l.parents(n) {
		for _, c := range l.in(n, p) {
			// At the moment of its end a thing is out.
			if c.s.from > at || c.s.to <= at && c.s.to != never {
				continue
			}
			all = append(all, c)
		}
	}
	for i := range all {
		c := &all[i]
		if last == nil || c.s.from > last.s.from || c.s.from == last.s.from && l.nodes[c.parent].key < l.nodes[last.parent].key {
			last = c
		}
	}
	return last, all
}

// made is how much of a class came into being, by unit: what was commissioned and what came out of processes. Where no event says so, the most that any one
// event saw.
func (l *load) made(n int32, b span) []unitAmount {
	var made, most []unitAmount
	for _, i := range l.nodes[n].events {
		h := &l.events[i]
		if !b.has(h.at) {
			continue
		}
		born := h.e.Type == epcis.ObjectEvent && h.e.Action == epcis.Add
		var here []unitAmount
		for k, list := range [3][]participant{h.kids, h.ins, h.outs} {
			for _, p := range list {
				if p.node != n || !p.class {
					continue
				}
				if x, ok := parseAmount(p.amount); ok {
					here = put(here, p.unit, x)
					if born || k == 2 {
						made = put(made, p.unit, x)
					}
				}
			}
		}
		for _, h := range here {
			known := false
			for j := range most {
				if most[j].unit == h.unit {
					known = true
					if h.n.more(most[j].n) {
						most[j].n = h.n
					}
				}
			}
			if !known {
				most = append(most, h)
			}
		}
	}
	if len(made) > 0 {
		return made
	}
	return most
}

func (s *search) event(i int32, wrong bool, things []int32) Event {
	e := s.l.events[i].e
	out := Event{ID: e.ID, Type: e.Type, Action: e.Action, Time: e.Time, Recorded: e.RecordTime, Step: e.BizStep, Disposition: e.Disposition, Place: place(e),
		From: parties(e.Sources), To: parties(e.Destinations), Declared: wrong || e.Error != nil}
	if e.ReadPoint != nil {
		out.ReadPoint = e.ReadPoint.ID
	}
	out.Point = point(out.ReadPoint, out.Place)
	if things == nil {
		s.l.events[i].each(func(p participant) bool {
			if s.at(p.node).found {
				things = append(things, p.node)
			}
			return true
		})
	}
	for _, n := range things {
		out.Things = append(out.Things, s.l.nodes[n].key)
	}
	slices.Sort(out.Things)
	out.Things = slices.Compact(out.Things)
	return out
}

func parties(list []epcis.Party) (out []string) {
	for _, p := range list {
		if !slices.Contains(out, p.ID) {
			out = append(out, p.ID)
		}
	}
	return out
}

// shift moves a moment.
func shift(us int64, d time.Duration) int64 {
	if us == always || us == never {
		return us
	}
	return us + d.Microseconds()
}
