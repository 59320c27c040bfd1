package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// skew is by how much the clock of who captured an event may differ from that of who says when it happened.
const skew = 5 * time.Minute

// mostFindings is how many findings one answer holds.
const mostFindings = 10_000

// findings are what cannot be, of the things in the list.
func (s *search) findings(list []int32) []Finding {
	l := s.l
	var out []Finding
	told := map[string]bool{}
	add := func(kind string, n int32, at int64, ids []string, en, zh string, args ...any) {
		slices.Sort(ids)
		ids = slices.Compact(ids)
		key := kind + "\x00" + strings.Join(ids, "\x00")
		if kind != "declared-wrong" && kind != "clock" {
			key += "\x00\x00" + l.nodes[n].key
		}
		if told[key] || len(out) >= mostFindings {
			return
		}
		told[key] = true
		out = append(out, Finding{Kind: kind, Thing: l.nodes[n].key, Events: ids, Time: when(at), EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)})
	}
	for _, n := range list {
		d, st := l.nodes[n], &s.states[n]
		name := d.key
		for _, i := range d.wrong {
			h := &l.events[i]
			if h.e.Error == nil || !s.b.has(h.at) || !st.has(h.at) {
				continue
			}
			ids := append([]string{h.e.ID}, h.e.Error.Corrections...)
			if len(ids) > 1 {
				add("declared-wrong", n, h.at, ids, "event %[1]s was declared to be wrong; %[2]s takes its place", "事件 %[1]s 已被声明有误，由 %[2]s 代替", h.e.ID, strings.Join(h.e.Error.Corrections, ", "))
			} else {
				add("declared-wrong", n, h.at, ids, "event %[1]s was declared to be wrong, and nothing takes its place", "事件 %[1]s 已被声明有误，无更正事件", h.e.ID)
			}
		}
		single := d.instance && !(d.class && bare(d.key))
		var ended *cut
		next := 0
		for k, i := range d.events {
			h := &l.events[i]
			if !s.b.has(h.at) {
				continue
			}
			if r := h.e.RecordTime; !r.IsZero() && h.e.Time.Sub(r) > skew && st.has(h.at) {
				add("clock", n, h.at, []string{h.e.ID}, "event %[1]s says that it happened at %[2]s, %[3]s after it was recorded; a clock is wrong",
					"事件 %[1]s 称发生于 %[2]s，比其记录时间晚 %[3]s，时钟有误", h.e.ID, h.e.Time.Format(time.RFC3339), h.e.Time.Sub(r).Round(time.Second))
			}
			if !single {
				continue
			}
			if born := h.transforms && h.role(n)&isOut != 0 || h.e.Type == epcis.ObjectEvent && h.e.Action == epcis.Add && h.role(n)&isKid != 0; born {
				ended = nil
			}
			if ended != nil && h.at > ended.at {
				add("after-end", n, h.at, []string{ended.id, h.e.ID}, "%[1]s was used up or taken out of service by event %[2]s, and yet event %[3]s tells of it later",
					"%[1]s 已在事件 %[2]s 中被耗用或停用，但之后的事件 %[3]s 仍提到它", name, ended.id, h.e.ID)
				ended = nil // once is enough
			}
			for next < len(d.ends) && !l.before(i, d.ends[next].ev) {
				ended = &d.ends[next]
				next++
			}
			// Two places at one moment.
			if k > 0 {
				o := &l.events[d.events[k-1]]
				if o.at == h.at && atPlace(o.e) != "" && atPlace(h.e) != "" && epcis.Key(atPlace(o.e)) != epcis.Key(atPlace(h.e)) {
					add("two-places", n, h.at, []string{o.e.ID, h.e.ID}, "%[1]s was at %[2]s and at %[3]s at the same time: an event is wrong, or there are two with this identifier",
						"%[1]s 同一时刻出现在 %[2]s 与 %[3]s：某事件有误，或存在重复标识", name, atPlace(o.e), atPlace(h.e))
				}
			}
		}
		if single {
			s.misplaced(n, add)
			s.twoParents(n, add)
			s.cycle(n, add)
		}
	}
	slices.SortFunc(out, func(a, b Finding) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Thing, b.Thing), slices.Compare(a.Events, b.Events))
	})
	return out
}

func atPlace(e *epcis.Event) string {
	if e.BizLocation != nil {
		return e.BizLocation.ID
	}
	return ""
}

type adder func(kind string, n int32, at int64, ids []string, en, zh string, args ...any)

// misplaced finds a thing that was seen elsewhere while what it was in stayed where it was.
func (s *search) misplaced(n int32, add adder) {
	l := s.l
	d := l.nodes[n]
	for _, p := range d.holds {
		if !s.at(p).found {
			continue
		}
		for _, c := range l.in(n, p) {
			var before, after *happening
			next := 0
			evs := l.nodes[p].events
			for _, i := range d.events {
				h := &l.events[i]
				if h.at <= c.s.from || h.at >= c.s.to || h.parent == p || atPlace(h.e) == "" || h.role(p) != 0 {
					continue
				}
				for next < len(evs) && l.events[evs[next]].at < h.at {
					if e := &l.events[evs[next]]; e.at >= c.s.from && atPlace(e.e) != "" {
						before = e
					}
					next++
				}
				after = nil
				for k := next; k < len(evs); k++ {
					if e := &l.events[evs[k]]; e.at > c.s.to {
						break
					} else if e.at >= h.at && atPlace(e.e) != "" && e.e != h.e {
						after = e
						break
					}
				}
				if before == nil || after == nil {
					continue
				}
				stay := epcis.Key(atPlace(before.e))
				if stay == epcis.Key(atPlace(after.e)) && stay != epcis.Key(atPlace(h.e)) {
					add("two-places", n, h.at, []string{before.e.ID, h.e.ID, after.e.ID}, "%[1]s was seen at %[2]s while it was in %[3]s, which stayed at %[4]s",
						"%[1]s 在 %[3]s 内而后者停留于 %[4]s 期间，却出现在 %[2]s", d.key, atPlace(h.e), l.nodes[p].key, atPlace(before.e))
				}
			}
		}
	}
}

// twoParents finds a thing that was packed into two others at once, neither of which was in the other.
func (s *search) twoParents(n int32, add adder) {
	l := s.l
	var all []containment
	for _, p := range l.nodes[n].holds {
		if s.at(p).found {
			for _, c := range l.in(n, p) {
				if c.kind == Packed && !c.class && c.s.from < c.s.to {
					all = append(all, c)
				}
			}
		}
	}
	if len(all) < 2 || len(all) > 1000 {
		return
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			both := a.s.and(b.s)
			if a.parent == b.parent || both.from >= both.to || s.nested(a.parent, b.parent, both) || s.nested(b.parent, a.parent, both) {
				continue
			}
			x, y := a, b
			if l.nodes[y.parent].key < l.nodes[x.parent].key {
				x, y = y, x
			}
			add("two-parents", n, both.from, []string{s.id(x.first()), s.id(y.first())}, "%[1]s was in %[2]s and in %[3]s at the same time, and neither was in the other",
				"%[1]s 同时在 %[2]s 与 %[3]s 中，而两者互不包含", l.nodes[n].key, l.nodes[x.parent].key, l.nodes[y.parent].key)
		}
	}
}

// nested says whether inner was in outer for some of the time.
func (s *search) nested(inner, outer int32, w span) bool {
	left := 2000
	return s.climb(inner, w, 0, &left, func(c containment, w span) bool { return c.parent == outer })
}

// climb goes through what holds n within w, until found says so.
func (s *search) climb(n int32, w span, depth int, left *int, found func(c containment, w span) bool) bool {
	if depth > 64 || !s.at(n).found {
		return false
	}
	for _, p := range s.l.parents(n) {
		for _, c := range s.l.in(n, p) {
			if *left--; *left < 0 {
				return false
			}
			if o := c.s.and(w); o.from < o.to {
				if found(c, o) || s.climb(p, o, depth+1, left, found) {
					return true
				}
			}
		}
	}
	return false
}

// cycle finds a thing that is in itself.
func (s *search) cycle(n int32, add adder) {
	left := 2000
	s.climb(n, span{always, never}, 0, &left, func(c containment, w span) bool {
		if c.parent != n {
			return false
		}
		add("cycle", n, w.from, []string{s.id(c.first())}, "%[1]s was put into %[2]s, which was in %[1]s at that time", "%[1]s 被放入 %[2]s，而后者当时就在 %[1]s 之中",
			s.l.nodes[n].key, s.l.nodes[c.child].key)
		return true
	})
}
