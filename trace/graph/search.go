package graph

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// mode is how a thing hangs together with what was asked.
type mode uint8

const (
	// down: it holds the matter that was asked about, all of it from a moment on; what comes of it, and what was in it, does too.
	down mode = iota
	// downIn: something was in it for a while, and went where it went; what else was in it has nothing to do with that.
	downIn
	// up: what was asked about came of it, or of a part of it, up to a moment.
	up
	// upIn: something that it came of was in it for a while.
	upIn
)

// visit is a thing and a time for which it belongs to the answer.
type visit struct {
	node  int32
	mode  mode
	w     span
	depth int32
	pred  int32 // the visit that led here; -1: asked for
	link  int32
}

// state is what the search knows of a thing.
type state struct {
	found bool
	first int32 // its first visit
	depth int32 // links to it, negative upstream
	from  int64 // down: since when
	to    int64 // up: till when
	in    [2]spans
	fan   int32
	stop  string
	told  bool
}

func (s *state) window(m mode) spans {
	switch m {
	case downIn:
		return s.in[0]
	case upIn:
		return s.in[1]
	}
	return nil
}

// has says whether the thing belongs to the answer at t.
func (s *state) has(t int64) bool {
	return t >= s.from || t <= s.to || s.in[0].has(t) || s.in[1].has(t)
}

// edge is a Link in numbers.
type edge struct {
	from, to  int32
	kind      Kind
	ev, ended int32
	s         span
	amount    amount
	unit      string
}

type edgeKey struct {
	from, to, ev, ended int32
	kind                Kind
}

// search is one question under way.
type search struct {
	l      *load
	outer  context.Context
	b      span
	depth  int32
	limit  int
	fan    int32
	lean   bool // neither links nor events
	states []state
	visits []visit
	order  []int32 // things as they were found
	edges  []edge
	known  map[edgeKey]int32
	start  int
	target int32 // stop when it is found; -1
	hit    int32 // the visit that found it
	out    bool  // time is up

	found     func(Step)
	toldEdges int
	toldEvent map[int32]bool
}

// limits of a question that sets none.
const (
	defaultDepth  = 100
	defaultLimit  = 200_000
	defaultFanOut = 100_000
	mostDepth     = 10_000
	mostLimit     = 10_000_000
)

func pick(v, usual, most int) int {
	if v <= 0 {
		return usual
	}
	return min(v, most)
}

func newSearch(outer, ctx context.Context, src Source, q Question) *search {
	l := newLoad(ctx, src, time.Time{}, q.To)
	s := &search{l: l, outer: outer, depth: int32(pick(q.Depth, defaultDepth, mostDepth)), limit: pick(q.Limit, defaultLimit, mostLimit),
		fan: int32(pick(q.FanOut, defaultFanOut, mostLimit)), target: -1, hit: -1, known: map[edgeKey]int32{}}
	s.b = l.bounds()
	if !q.From.IsZero() {
		s.b.from = micros(q.From)
	}
	return s
}

func checked(q Question) error {
	if len(q.Things) == 0 {
		return problem.New(problem.BadRequest, "the question names no thing; give the identifier of at least one", "问题未指明任何对象，请至少给出一个标识")
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		return problem.New(problem.BadRequest, "the time asked for ends (%s) before it begins (%s); exchange the two", "所问时间的终点（%s）早于起点（%s），请对调",
			q.To.Format(time.RFC3339), q.From.Format(time.RFC3339))
	}
	if q.Depth < 0 || q.Limit < 0 || q.FanOut < 0 || q.Timeout < 0 {
		return problem.New(problem.BadRequest, "a limit of the question is negative; leave it out or give a positive one", "问题的某项限制为负数，请省略或给出正数")
	}
	return nil
}

// at is the state of a thing.
func (s *search) at(n int32) *state {
	for int(n) >= len(s.states) {
		if cap(s.states) < len(s.l.nodes) {
			s.states = slices.Grow(s.states, len(s.l.nodes)-len(s.states)+64)
		}
		s.states = append(s.states, state{from: never, to: always})
	}
	return &s.states[n]
}

// add takes a visit up, unless all of it was there before. It reports whether the thing is in the answer.
func (s *search) add(v visit) bool {
	v.w = v.w.and(s.b)
	if v.w.empty() {
		return false
	}
	st := s.at(v.node)
	fresh := !st.found
	switch v.mode {
	case down:
		if !fresh && st.from <= v.w.from {
			return true
		}
	case up:
		if !fresh && st.to >= v.w.to {
			return true
		}
	default:
		if st.window(v.mode).covers(v.w) {
			return true
		}
	}
	if fresh && len(s.order) >= s.limit {
		if v.pred >= 0 {
			s.at(s.visits[v.pred].node).stop = "limit"
		}
		return false
	}
	switch v.mode {
	case down:
		st.from = min(st.from, v.w.from)
	case up:
		st.to = max(st.to, v.w.to)
	case downIn:
		st.in[0] = st.in[0].with(v.w)
	case upIn:
		st.in[1] = st.in[1].with(v.w)
	}
	if fresh {
		st.found, st.first = true, int32(len(s.visits))
		st.depth = v.depth
		if v.mode >= up {
			st.depth = -v.depth
		}
		s.order = append(s.order, v.node)
	} else if d := v.depth; v.mode < up && st.depth < 0 && d <= -st.depth {
		st.depth = d
	}
	s.visits = append(s.visits, v)
	if v.node == s.target && s.hit < 0 && v.pred >= 0 {
		s.hit = int32(len(s.visits) - 1)
	}
	return true
}

// begin adds what was asked for.
func (s *search) begin(n int32, m mode, w span) {
	s.add(visit{node: n, mode: m, w: w, pred: -1, link: -1})
}

// run follows everything to its end, or to a limit.
func (s *search) run() error {
	s.start = len(s.visits)
	var wave []int32
	for at := 0; at < len(s.visits); {
		end := len(s.visits)
		level := s.visits[at:end]
		wave = wave[:0]
		for i := range level {
			// Of what was read before, what it needs is read at the same time.
			if !s.follows(&level[i]) {
				continue
			}
			if n := level[i].node; s.l.nodes[n].fetched {
				wave = s.needs(wave, &level[i])
			} else {
				wave = append(wave, n)
			}
		}
		err := s.l.fetch(wave)
		if err == nil {
			wave = wave[:0]
			for i := range level {
				if s.follows(&level[i]) {
					wave = s.needs(wave, &level[i])
				}
			}
			err = s.l.fetch(wave)
		}
		if err != nil {
			if !stopped(s.outer, err) {
				return canceled(err)
			}
			s.out = true
			for i := range level {
				s.at(level[i].node).stop = "time"
			}
			return nil
		}
		deepest := false
		for i := at; i < end; i++ {
			v := s.visits[i]
			if !s.follows(&v) {
				if v.depth > 0 {
					s.at(v.node).stop = "class"
				}
				continue
			}
			if v.depth >= s.depth {
				deepest = true
				continue
			}
			s.expand(int32(i))
			if s.hit >= 0 {
				return nil
			}
		}
		if deepest {
			for i := at; i < end; i++ {
				s.cutShort(s.visits[i])
			}
		}
		s.tell(at, end)
		at = end
	}
	return nil
}

// follows says whether there is any use in following the visit.
func (s *search) follows(v *visit) bool { return v.depth == 0 || !bare(s.l.nodes[v.node].key) }

// needs adds to the list whose events decide what follows from a visit.
func (s *search) needs(list []int32, v *visit) []int32 {
	l := s.l
	add := func(n int32) {
		if n >= 0 && !l.nodes[n].fetched {
			list = append(list, n)
		}
	}
	d := l.nodes[v.node]
	for _, p := range l.parents(v.node) {
		if l.nodes[p].fetched {
			continue
		}
		for _, c := range l.in(v.node, p) {
			if c.s.touches(v.w) {
				add(p)
				break
			}
		}
	}
	for _, i := range d.events {
		if h := &l.events[i]; h.transforms {
			add(h.process)
		}
	}
	if v.mode == down || v.mode == up {
		for _, c := range l.children(v.node) {
			add(c)
		}
	}
	return list
}

// reached is what one thing leads to.
type reached struct {
	node int32
	mode mode
	w    span
	e    edge
}

// next yields what follows from a visit, one link away.
func (s *search) next(v visit, yield func(reached) bool) {
	l, n := s.l, v.node
	d := l.nodes[n]
	downward := v.mode == down || v.mode == downIn
	matter, carrier := down, downIn
	if !downward {
		matter, carrier = up, upIn
	}
	// Through processing.
	for _, i := range d.events {
		h := &l.events[i]
		if !h.transforms || !v.w.has(h.at) {
			continue
		}
		r := h.role(n)
		if downward && r&(isIn|isInClass) == 0 || !downward && r&(isOut|isOutClass) == 0 {
			continue
		}
		if !s.through(h, i, i, n, downward, matter, yield) {
			return
		}
		if h.process < 0 {
			continue
		}
		for _, j := range l.nodes[h.process].events {
			if o := &l.events[j]; j != i && o.transforms && o.process == h.process && (downward && o.at >= h.at || !downward && o.at <= h.at) {
				if !s.through(o, i, j, n, downward, matter, yield) {
					return
				}
			}
		}
	}
	// Into what it was in.
	for _, p := range l.parents(n) {
		for _, c := range l.in(n, p) {
			w := c.s.and(v.w)
			if v.mode == up {
				if !v.w.has(c.s.to) || c.s.to == never {
					continue // it is still in there: it did not come from there
				}
				w = c.s
			}
			if w.empty() {
				continue
			}
			if !yield(reached{p, carrier, w, c.edge()}) {
				return
			}
		}
	}
	// Out of it.
	if v.mode == down || v.mode == up {
		for _, k := range l.children(n) {
			for _, c := range l.in(k, n) {
				w := c.s.and(v.w)
				if w.empty() {
					continue
				}
				if downward {
					w.to = never
				} else {
					w.from = always
				}
				if !yield(reached{k, matter, w, c.edge()}) {
					return
				}
			}
		}
	}
	for _, r := range d.refs {
		w := v.w.and(span{r.since, never})
		if w.empty() {
			continue
		}
		var t reached
		switch {
		case r.from == n && r.downstream == downward:
			t = reached{node: r.to, mode: carrier, w: w}
		case r.to == n && r.downstream != downward && (v.mode == down || v.mode == up):
			t = reached{node: r.from, mode: matter, w: w}
			if downward {
				t.w.to = never
			} else {
				t.w.from = always
			}
		default:
			continue
		}
		t.e = edge{from: r.from, to: r.to, kind: Referred, ev: -1, ended: -1, s: span{r.since, never}}
		if !yield(t) {
			return
		}
	}
}

// through goes through a transformation: n was in it at happening i; h is happening j, on the other side, another event of the same process or the same one.
// The link begins where the input was used and ends where the output came.
func (s *search) through(h *happening, i, j, n int32, downward bool, matter mode, yield func(reached) bool) bool {
	list, w := h.outs, span{h.at, never}
	if !downward {
		list, w = h.ins, span{always, h.at}
	}
	if !downward {
		i, j = j, i
	}
	in, out := &s.l.events[i], &s.l.events[j]
	for k := range list {
		p := &list[k]
		if p.node == n {
			continue
		}
		e := edge{from: n, to: p.node, kind: Transformed, ev: i, ended: -1, s: span{in.at, never}}
		if !downward {
			e.from, e.to = p.node, n
		}
		if i != j {
			e.ended, e.s.to = j, out.at
		}
		if !s.lean {
			for q := range in.ins {
				if in.ins[q].node == e.from && in.ins[q].class {
					if a, ok := parseAmount(in.ins[q].amount); ok && (!e.amount.set || e.unit == in.ins[q].unit) {
						e.amount, e.unit = e.amount.plus(a, 1), in.ins[q].unit
					}
				}
			}
		}
		if !yield(reached{p.node, matter, w, e}) {
			return false
		}
	}
	return true
}

func (c *containment) edge() edge {
	e := edge{from: c.child, to: c.parent, kind: c.kind, ev: c.begin, ended: c.end, s: c.s}
	if c.begin < 0 {
		e.ev = c.end
		if e.kind == Packed {
			e.kind = Unpacked
		}
	}
	if c.class {
		e.amount, e.unit = c.amount, c.unit
	}
	return e
}

// expand adds what follows from visit i.
func (s *search) expand(i int32) {
	v := s.visits[i]
	s.next(v, func(r reached) bool {
		if !s.at(r.node).found {
			st := s.at(v.node)
			if st.fan >= s.fan {
				st.stop = "fan-out"
				return true
			}
			st.fan++
		}
		k := int32(-1)
		if !s.lean && !r.w.and(s.b).empty() {
			k = s.edge(r.e)
		}
		if !s.add(visit{node: r.node, mode: r.mode, w: r.w, depth: v.depth + 1, pred: i, link: k}) {
			if k >= 0 && !s.at(r.node).found && int(k) == len(s.edges)-1 {
				delete(s.known, s.edges[k].key())
				s.edges = s.edges[:k]
			}
		}
		return s.hit < 0
	})
}

func (e *edge) key() edgeKey { return edgeKey{e.from, e.to, e.ev, e.ended, e.kind} }

func (s *search) edge(e edge) int32 {
	key := e.key()
	if k, ok := s.known[key]; ok {
		return k
	}
	s.edges = append(s.edges, e)
	s.known[key] = int32(len(s.edges) - 1)
	return int32(len(s.edges) - 1)
}

// cutShort marks a thing at the greatest depth from which something would follow.
func (s *search) cutShort(v visit) {
	if v.depth < s.depth || !s.follows(&v) {
		return
	}
	s.next(v, func(r reached) bool {
		w := r.w.and(s.b)
		if w.empty() {
			return true
		}
		st := s.at(r.node)
		known := st.found
		switch r.mode {
		case down:
			known = known && st.from <= w.from
		case up:
			known = known && st.to >= w.to
		default:
			known = st.window(r.mode).covers(w)
		}
		if !known {
			s.at(v.node).stop = "depth"
		}
		return known
	})
}

// path is the visits that led to visit i, first to last.
func (s *search) path(i int32) []visit {
	var out []visit
	for ; i >= 0; i = s.visits[i].pred {
		out = append(out, s.visits[i])
	}
	slices.Reverse(out)
	return out
}

// sorted is the things of the answer in the order in which they are given.
func (s *search) sorted() []int32 {
	list := slices.Clone(s.order)
	slices.SortFunc(list, func(a, b int32) int {
		return cmp.Or(cmp.Compare(s.states[a].depth, s.states[b].depth), cmp.Compare(s.l.nodes[a].key, s.l.nodes[b].key))
	})
	return list
}
