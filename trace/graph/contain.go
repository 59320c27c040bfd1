package graph

import (
	"slices"

	"github.com/fujie-id/fujie/trace/epcis"
)

// containment is a time for which a thing was in, or fixed to, another.
type containment struct {
	child, parent int32
	kind          Kind
	s             span
	begin, end    int32 // happenings; -1: none that is known
	amount        amount
	unit          string
	class         bool
}

// first is the event that says so first.
func (c *containment) first() int32 {
	if c.begin >= 0 {
		return c.begin
	}
	return c.end
}

// parents are the things that n was in according to its own events.
func (l *load) parents(n int32) []int32 {
	d := l.nodes[n]
	if d.holds != nil {
		return d.holds
	}
	d.holds = []int32{}
	for _, i := range d.events {
		h := &l.events[i]
		if h.parent >= 0 && h.parent != n && h.kind() != "" && h.role(n)&(isKid|isKidClass) != 0 && !slices.Contains(d.holds, h.parent) {
			d.holds = append(d.holds, h.parent)
		}
	}
	return d.holds
}

// children are the things that were in n according to its own events.
func (l *load) children(n int32) []int32 {
	d := l.nodes[n]
	if d.held != nil {
		return d.held
	}
	out := []int32{}
	var seen map[int32]bool
	for _, i := range d.events {
		h := &l.events[i]
		if h.parent != n || h.kind() == "" {
			continue
		}
		if seen == nil {
			out = make([]int32, 0, len(h.kids))
			seen = make(map[int32]bool, len(h.kids))
		}
		for _, k := range h.kids {
			if k.node != n && !seen[k.node] {
				seen[k.node] = true
				out = append(out, k.node)
			}
		}
	}
	d.held = out
	return out
}

// in is when child was in parent, in the order of time. With both read it is exact; with only the child read it may be longer, never shorter.
func (l *load) in(child, parent int32) []containment {
	c, p := l.nodes[child], l.nodes[parent]
	for i := range c.within {
		if c.within[i].parent == parent {
			return c.within[i].list
		}
	}
	var out []containment
	for _, k := range [2]Kind{Packed, Assembled} {
		out = l.during(out, child, parent, k)
	}
	if c.fetched && p.fetched {
		c.within = append(c.within, inParent{parent, out})
	}
	return out
}

// amounts are how much of a class is in something, by unit.
type unitAmount struct {
	unit string
	n    amount
}

func (l *load) during(out []containment, child, parent int32, kind Kind) []containment {
	c := l.nodes[child]
	any := false
	for _, i := range c.events {
		if h := &l.events[i]; h.parent == parent && h.kind() == kind {
			any = true
			break
		}
	}
	if !any {
		return out
	}
	cuts := l.nodes[parent].emptied[kind.index()]
	first := len(out)
	open := -1             // index in out
	var left []unitAmount  // of a class
	counted := true        // left says all
	lower := int64(always) // the last time at which it cannot have been in parent
	close := func(at int64, ev int32) {
		out[open].s.to, out[open].end = at, ev
		open, lower = -1, at
	}
	cutTo := 0
	// passCuts closes at what emptied the parent before the event (at, id, ev).
	passCuts := func(ev int32) {
		for ; cutTo < len(cuts) && (ev < 0 || l.before(cuts[cutTo].ev, ev)); cutTo++ {
			if open >= 0 {
				close(cuts[cutTo].at, cuts[cutTo].ev)
			}
			lower = max(lower, cuts[cutTo].at)
		}
	}
	for _, i := range c.events {
		h := &l.events[i]
		passCuts(i)
		switch {
		case h.parent == parent && h.kind() == kind && h.role(child)&(isKid|isKidClass) != 0:
			var of *participant
			class := h.role(child)&isKid == 0
			for k := 0; class && of == nil; k++ {
				if h.kids[k].node == child {
					of = &h.kids[k]
				}
			}
			switch h.e.Action {
			case epcis.Delete:
				if open < 0 {
					out = append(out, containment{child: child, parent: parent, kind: kind, s: span{min(lower, h.at), h.at}, begin: -1, end: i, class: class})
					if class {
						if n, ok := parseAmount(of.amount); ok {
							out[len(out)-1].amount, out[len(out)-1].unit = n, of.unit
						}
					}
					lower = h.at
					break
				}
				if class && of.amount != "" {
					if !counted || !take(left, h.kids, child) {
						break // some is still in
					}
				}
				close(h.at, i)
			case epcis.Observe:
				if open < 0 {
					out = append(out, containment{child: child, parent: parent, kind: kind, s: span{h.at, h.at}, begin: i, end: -1, class: class})
				}
			default:
				if open < 0 {
					out = append(out, containment{child: child, parent: parent, kind: kind, s: span{h.at, never}, begin: i, end: -1, class: class})
					open, left, counted = len(out)-1, left[:0], true
				}
				if class {
					for k := range h.kids {
						if h.kids[k].node != child {
							continue
						}
						n, ok := parseAmount(h.kids[k].amount)
						counted = counted && ok
						if !ok {
							continue
						}
						left = put(left, h.kids[k].unit, n)
						o := &out[open]
						if !o.amount.set {
							o.unit = h.kids[k].unit
						}
						if o.unit == h.kids[k].unit {
							o.amount = o.amount.plus(n, 1)
						}
					}
				}
			}
		case h.transforms && h.role(child)&isIn != 0, h.e.Type == epcis.ObjectEvent && h.e.Action == epcis.Delete && h.role(child)&isKid != 0:
			if open >= 0 {
				close(h.at, i)
			}
			lower = max(lower, h.at)
		case h.transforms && h.role(child)&isOut != 0, h.e.Type == epcis.ObjectEvent && h.e.Action == epcis.Add && h.role(child)&isKid != 0:
			lower = max(lower, h.at)
		case h.kind() != "" && h.parent >= 0 && h.parent != child && h.e.Action != epcis.Observe && h.role(child)&isKid != 0:
			lower = max(lower, h.at) // it was put into something else, or taken out of it
		}
	}
	passCuts(-1)
	// One that begins before the one before it has ended, because what it began with is not known, ends that one's gap only.
	for i := first; i < len(out); i++ {
		if out[i].s.empty() {
			out[i].s.from = out[i].s.to
		}
	}
	return out
}

func put(left []unitAmount, unit string, n amount) []unitAmount {
	for i := range left {
		if left[i].unit == unit {
			left[i].n = left[i].n.plus(n, 1)
			return left
		}
	}
	return append(left, unitAmount{unit, n})
}

// take takes the child's amounts in kids away, and says whether nothing is left.
func take(left []unitAmount, kids []participant, child int32) bool {
	for k := range kids {
		if kids[k].node != child {
			continue
		}
		n, ok := parseAmount(kids[k].amount)
		if !ok {
			return true
		}
		found := false
		for i := range left {
			if left[i].unit == kids[k].unit {
				left[i].n = left[i].n.plus(n, -1)
				found = true
			}
		}
		if !found {
			return false // in another unit: nobody can say
		}
	}
	for i := range left {
		if left[i].n.sign() > 0 {
			return false
		}
	}
	return true
}
