package graph

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// RecallQuestion asks for all that has to be called back because of some things or lots.
type RecallQuestion struct {
	Things  []string      `json:"things"` // things and lots
	From    time.Time     `json:"from,omitzero"`
	To      time.Time     `json:"to,omitzero"`
	Depth   int           `json:"depth,omitempty"`
	Limit   int           `json:"limit,omitempty"`
	FanOut  int           `json:"fanOut,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	Recall  string        `json:"recall,omitempty"` // the recall's identifier
}

// Set is what a recall has to reach.
type Set struct {
	Things []Affected `json:"things"` // nearest first
	// Boundary is where it ends: the places at which affected things are now, with how many, and the things at which the search stopped.
	Boundary []Boundary `json:"boundary"`
	Totals   []Total    `json:"totals"`
	Complete bool       `json:"complete"` // nothing is beyond what was asked
	Asked    int        `json:"asked"`    // questions that the source was asked
}

// Affected is one thing of a recall.
type Affected struct {
	ID    string `json:"id"`
	Key   string `json:"key"`
	Class bool   `json:"class,omitempty"`
	Depth int    `json:"depth"`
	// Carrier: affected things were in it, and it is of the set only for as long; it can be emptied and kept.
	Carrier bool `json:"carrier,omitempty"`
	// Ended: it was used up, or taken out of service, and there is nothing of it to bring back.
	Ended       bool          `json:"ended,omitempty"`
	Quantity    epcis.Decimal `json:"quantity,omitempty"` // of a class: how much came into being
	Left        epcis.Decimal `json:"left,omitempty"`     // of a class: how much of that was not used up in processes
	Unit        string        `json:"unit,omitempty"`
	Last        time.Time     `json:"last,omitzero"`
	Place       string        `json:"place,omitempty"` // of its own last event, or that of what it is in when that is later
	Inside      string        `json:"inside,omitempty"`
	Disposition string        `json:"disposition,omitempty"`
	Stop        string        `json:"stop,omitempty"`
}

// Boundary is one place at the edge of a recall, or one thing at which it could not be followed further (Stop).
type Boundary struct {
	Place  string  `json:"place,omitempty"`
	Thing  string  `json:"thing,omitempty"`
	Stop   string  `json:"stop,omitempty"`
	Things int     `json:"things"` // single things that are there
	Totals []Total `json:"totals,omitempty"`
}

// Total is a sum of quantities in one unit; Unit "" counts.
type Total struct {
	Quantity epcis.Decimal `json:"quantity"`
	Unit     string        `json:"unit,omitempty"`
}

// RecallSet finds everything that is affected by the things asked about: what came of them, what was in them, what held any of it. found is called with each step,
// whose Things alone are filled; nil is fine. Errors are those of Trace.
func RecallSet(ctx context.Context, src Source, q RecallQuestion, found func(Step)) (*Set, error) {
	question := Question{Things: q.Things, Down: true, From: q.From, To: q.To, Depth: q.Depth, Limit: pick(q.Limit, 1_000_000, mostLimit), FanOut: q.FanOut,
		Timeout: q.Timeout, Recall: q.Recall}
	if err := checked(question); err != nil {
		return nil, err
	}
	inner := ctx
	if q.Timeout > 0 {
		var done context.CancelFunc
		inner, done = context.WithTimeout(ctx, q.Timeout)
		defer done()
	}
	s := newSearch(ctx, inner, src, question)
	s.lean, s.found = true, found
	s.ask(question)
	if err := s.run(); err != nil {
		return nil, err
	}
	out := &Set{Complete: !s.out, Asked: s.l.asked, Things: make([]Affected, 0, len(s.order)), Boundary: []Boundary{}, Totals: []Total{}}
	type sums struct {
		things int
		total  []unitAmount
	}
	places := map[string]*sums{}
	all := &sums{}
	// By depth, then key, without moving what is large.
	for _, n := range s.sorted() {
		a, single, left := s.affected(n)
		out.Things = append(out.Things, a)
		if a.Stop != "" {
			out.Complete = false
			out.Boundary = append(out.Boundary, Boundary{Thing: a.Key, Stop: a.Stop, Place: a.Place})
		}
		if a.Carrier || a.Ended {
			continue
		}
		at := places[a.Place]
		if at == nil {
			at = &sums{}
			places[a.Place] = at
		}
		for _, x := range [2]*sums{at, all} {
			if single {
				x.things++
			}
			for _, u := range left {
				x.total = put(x.total, u.unit, u.n)
			}
		}
	}
	for p, x := range places {
		out.Boundary = append(out.Boundary, Boundary{Place: p, Things: x.things, Totals: totals(x.total)})
	}
	slices.SortFunc(out.Boundary, func(a, b Boundary) int { return cmp.Or(cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Place, b.Place)) })
	out.Totals = totals(all.total)
	if all.things > 0 {
		out.Totals = append([]Total{{Quantity: amount{small: int64(all.things), set: true}.decimal()}}, out.Totals...)
	}
	return out, nil
}

func totals(list []unitAmount) (out []Total) {
	slices.SortFunc(list, func(a, b unitAmount) int { return cmp.Compare(a.unit, b.unit) })
	for _, u := range list {
		if u.n.sign() != 0 {
			out = append(out, Total{u.n.decimal(), u.unit})
		}
	}
	return out
}

// affected is what a recall says of a thing, and how much of a class is left.
func (s *search) affected(n int32) (a Affected, single bool, left []unitAmount) {
	l := s.l
	d, st := l.nodes[n], &s.states[n]
	a = Affected{ID: l.written(n), Key: d.key, Class: d.class && !d.instance, Depth: int(st.depth), Carrier: st.from == never, Stop: s.stop(n)}
	single = !a.Class
	var placed int64
	for k := len(d.events) - 1; k >= 0; k-- {
		h := &l.events[d.events[k]]
		if a.Last.IsZero() {
			a.Last = h.e.Time
		}
		if a.Place == "" {
			a.Place, placed = place(h.e), h.at
		}
		a.Disposition = cmp.Or(a.Disposition, h.e.Disposition)
		if a.Place != "" && a.Disposition != "" {
			break
		}
	}
	if k := len(d.ends); k > 0 {
		a.Ended = true
		for i := len(d.events) - 1; i >= 0 && l.before(d.ends[k-1].ev, d.events[i]); i-- {
			h := &l.events[d.events[i]]
			if h.role(n)&isOut != 0 || h.e.Type == epcis.ObjectEvent && h.e.Action == epcis.Add && h.role(n)&isKid != 0 {
				a.Ended = false
			}
		}
	}
	if p, _ := l.inside(n, s.b.to); p != nil {
		a.Inside = l.nodes[p.parent].key
		cur, since := p, p.s.from
		for range 64 {
			e := l.nodes[cur.parent].events
			for k := len(e) - 1; k >= 0; k-- {
				h := &l.events[e[k]]
				if h.at < since || h.at <= placed {
					break
				}
				if at := place(h.e); at != "" {
					a.Place, placed = at, h.at
					break
				}
			}
			up, _ := l.inside(cur.parent, s.b.to)
			if up == nil {
				break
			}
			cur, since = up, max(since, up.s.from)
		}
	}
	if a.Class {
		left = slices.Clone(l.made(n, s.b))
		if len(left) > 0 {
			a.Quantity, a.Unit = left[0].n.decimal(), left[0].unit
			for _, i := range d.events {
				h := &l.events[i]
				if !h.transforms || !s.b.has(h.at) {
					continue
				}
				for _, p := range h.ins {
					if p.node != n {
						continue
					}
					if x, ok := parseAmount(p.amount); ok {
						for j := range left {
							if left[j].unit == p.unit {
								left[j].n = left[j].n.plus(x, -1)
							}
						}
					}
				}
			}
			a.Left = left[0].n.decimal()
			a.Ended = left[0].n.sign() <= 0
		}
	}
	return a, single, left
}
