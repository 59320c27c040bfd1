package graph

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// ContactQuestion asks who and what met some things: people, goods, vehicles, containers.
type ContactQuestion struct {
	Things []string `json:"things"`
	// Within is how far apart in time two may have been at one place and yet have met. 0: places do not count, only being scanned together and being in the same
	// container.
	Within time.Duration `json:"within,omitempty"`
	From   time.Time     `json:"from,omitzero"`
	To     time.Time     `json:"to,omitzero"`
	// Rounds: 1, or 0, for those who met the things; 2 also for those who met one of these afterwards, and so on, to 10.
	Rounds int `json:"rounds,omitempty"`
	// Alone: only the things themselves count, not what they were made of, carried in, made into.
	Alone   bool          `json:"alone,omitempty"`
	Depth   int           `json:"depth,omitempty"` // links from a thing, as for Trace
	Limit   int           `json:"limit,omitempty"` // contacts; 0: 200,000
	Timeout time.Duration `json:"timeout,omitempty"`
	Recall  string        `json:"recall,omitempty"`
}

// Contact is somebody or something that met a thing.
type Contact struct {
	ID    string `json:"id"`
	Key   string `json:"key"`
	Round int    `json:"round"`
	With  string `json:"with"` // key of whom it met: a thing asked about, or what that was made of, carried in, made into, or a contact of the round before
	// Why: "event": they were scanned together; "container": they were in the same thing, Inside, at the same time; "place": they were at Place within the time
	// asked for; "trace": it is what the thing was made of, carried in or made into.
	Why    string    `json:"why"`
	Place  string    `json:"place,omitempty"`
	Inside string    `json:"inside,omitempty"`
	Events []string  `json:"events,omitempty"` // that say so
	Time   time.Time `json:"time,omitzero"`    // of the meeting
	Gap    Seconds   `json:"gap,omitempty"`    // between the two at a place
}

// Seconds is a duration, as seconds in JSON.
type Seconds float64

// ContactAnswer is all contacts, the nearest round first and then by time.
type ContactAnswer struct {
	Question ContactQuestion `json:"question"`
	Contacts []Contact       `json:"contacts"`
	Things   int             `json:"things"` // how many things were looked at
	Asked    int             `json:"asked"`  // questions that the source was asked
	Complete bool            `json:"complete"`
	// Stops are the things at which it could not be followed further, by key; see Thing.Stop.
	Stops map[string]string `json:"stops,omitempty"`
}

const mostRounds = 10

// Contacts finds everyone and everything that met the things, each once, by its nearest round and its strongest reason: scanned together, in one container, at one
// place. A contact of a later round met one of the round before after that one had met its own: what spreads does not go back in time. found, when not nil, is
// called with the new contacts of each round. Errors are those of Trace.
func Contacts(ctx context.Context, src Source, q ContactQuestion, found func([]Contact)) (*ContactAnswer, error) {
	base := Question{Things: q.Things, Up: true, Down: true, From: q.From, To: q.To, Depth: q.Depth, Timeout: q.Timeout}
	if err := checked(base); err != nil {
		return nil, err
	}
	if q.Rounds < 0 || q.Rounds > mostRounds || q.Within < 0 || q.Limit < 0 {
		return nil, problem.New(problem.BadRequest, "contacts are looked for in 1 to %d rounds, within a time and a limit that are not negative", "接触追溯为 1 至 %d 轮，时间与上限不得为负", mostRounds)
	}
	inner := ctx
	if q.Timeout > 0 {
		var done context.CancelFunc
		inner, done = context.WithTimeout(ctx, q.Timeout)
		defer done()
	}
	c := &contacts{q: q, limit: pick(q.Limit, defaultLimit, mostLimit), best: map[int32]int{}, places: map[int32][]int32{}, stops: map[string]string{}}
	first := newSearch(ctx, inner, src, base)
	c.l = first.l
	var heads []exposed
	for _, t := range q.Things {
		n := c.l.at(t)
		c.best[n] = -1
		heads = append(heads, exposed{n, first.b.from})
	}
	complete, looked := true, 0
	for round := 1; round <= max(q.Rounds, 1) && len(heads) > 0 && complete; round++ {
		s := newSearch(ctx, inner, src, base)
		s.l, s.lean = c.l, true
		for _, h := range heads {
			s.begin(h.node, down, span{h.since, never})
			if round == 1 {
				s.begin(h.node, up, span{always, never})
			}
		}
		if q.Alone {
			s.depth = 0
			var wave []int32
			for _, h := range heads {
				wave = append(wave, h.node)
			}
			if err := c.l.fetch(wave); err != nil && !stopped(ctx, err) {
				return nil, canceled(err)
			} else if err != nil {
				complete = false
			}
		} else if err := s.run(); err != nil {
			return nil, err
		}
		complete = complete && !s.out
		looked += len(s.order)
		start := len(c.list)
		err := c.round(s, round, heads)
		if err != nil && !stopped(ctx, err) {
			return nil, canceled(err)
		}
		complete = complete && err == nil && !c.full
		heads = heads[:0]
		for k := start; k < len(c.list); k++ {
			heads = append(heads, exposed{c.nodes[k], micros(c.list[k].Time)})
		}
		if found != nil && len(c.list) > start {
			found(slices.Clone(c.list[start:]))
		}
	}
	slices.SortFunc(c.list, func(a, b Contact) int {
		return cmp.Or(cmp.Compare(a.Round, b.Round), a.Time.Compare(b.Time), cmp.Compare(a.Key, b.Key))
	})
	if c.list == nil {
		c.list = []Contact{}
	}
	return &ContactAnswer{Question: q, Contacts: c.list, Things: looked, Asked: c.l.asked, Complete: complete && len(c.stops) == 0, Stops: c.stops}, nil
}

// exposed is a thing and since when it counts.
type exposed struct {
	node  int32
	since int64
}

type contacts struct {
	q      ContactQuestion
	l      *load
	limit  int
	full   bool
	list   []Contact
	nodes  []int32       // of list
	best   map[int32]int // node → index in list; -1: asked about
	places map[int32][]int32
	stops  map[string]string
}

// strength orders reasons.
func strength(why string) int {
	return slices.Index([]string{"trace", "event", "container", "place"}, why)
}

func (c *contacts) add(n int32, k Contact) {
	i, known := c.best[n]
	if known {
		if i < 0 || c.list[i].Round < k.Round {
			return
		}
		old := &c.list[i]
		k.ID, k.Key = old.ID, old.Key
		// What spreads does so from the first meeting on; the reason is the strongest.
		t := old.Time
		if k.Time.Before(t) {
			t = k.Time
		}
		if cmp.Or(cmp.Compare(strength(k.Why), strength(old.Why)), k.Time.Compare(old.Time), cmp.Compare(k.With, old.With)) < 0 {
			*old = k
		}
		old.Time = t
		return
	}
	if len(c.list) >= c.limit {
		c.full = true
		return
	}
	k.ID, k.Key = c.l.written(n), c.l.nodes[n].key
	c.best[n] = len(c.list)
	c.list, c.nodes = append(c.list, k), append(c.nodes, n)
}

// round finds the contacts of everything in s.
func (c *contacts) round(s *search, round int, heads []exposed) error {
	l := c.l
	within := c.q.Within
	order := slices.Clone(s.order)
	for _, n := range order {
		d := l.nodes[n]
		if why := cmp.Or(d.stop, s.states[n].stop); why != "" {
			c.stops[d.key] = why
		}
		if s.states[n].depth != 0 {
			k := Contact{Round: round, With: l.nodes[s.origin(n)].key, Why: "trace"}
			if t, ok := s.since(n); ok {
				k.Time = when(t)
			}
			c.add(n, k)
		}
	}
	type presence struct {
		place int32
		n, ev int32
	}
	var there []presence
	for _, n := range order {
		st, d := s.states[n], l.nodes[n]
		for _, i := range d.events {
			h := &l.events[i]
			if !s.b.has(h.at) || !st.has(h.at) {
				continue
			}
			together := Contact{Round: round, With: d.key, Why: "event", Place: place(h.e), Events: []string{h.e.ID}, Time: when(h.at)}
			h.each(func(p participant) bool {
				if p.node != n {
					c.add(p.node, together)
				}
				return true
			})
			if within > 0 {
				if p := l.at(place(h.e)); p >= 0 {
					there = append(there, presence{p, n, i})
				}
			}
		}
		// What was in it while it was of the answer.
		kids := l.children(n)
		if err := l.fetch(kids); err != nil {
			return err
		}
		for _, k := range kids {
			for _, in := range l.in(k, n) {
				for _, w := range s.windows(n) {
					if w = w.and(in.s).and(s.b); !w.empty() {
						c.add(k, Contact{Round: round, With: d.key, Why: "container", Inside: d.key, Events: c.proof(&in), Time: when(w.from)})
					}
				}
			}
		}
	}
	// At a place. The place's events are read once, for the time between the first and the last that anything was there.
	slices.SortFunc(there, func(a, b presence) int {
		return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(l.events[a.ev].at, l.events[b.ev].at))
	})
	for len(there) > 0 {
		n := 1
		for n < len(there) && there[n].place == there[0].place && l.events[there[n].ev].at-l.events[there[n-1].ev].at <= 2*within.Microseconds() {
			n++
		}
		group := there[:n]
		there = there[n:]
		from, to := l.events[group[0].ev].at, l.events[group[n-1].ev].at
		here := l.nodes[group[0].place].key
		var near []int32
		for e, err := range l.src.Touching(l.ctx, here, time.UnixMicro(shift(from, -within)).UTC(), time.UnixMicro(shift(to, within)).UTC()) {
			if err != nil {
				return err
			}
			near = append(near, l.event(e, 0)) // declarations too, since they say what does not count
		}
		l.asked++
		low := 0
		for _, i := range near {
			h := &l.events[i]
			if !s.b.has(h.at) || l.at(place(h.e)) != group[0].place || c.declared(i) {
				continue
			}
			h = &l.events[i]
			for low < len(group) && l.events[group[low].ev].at < shift(h.at, -within) {
				low++
			}
			// The nearest in time is the one it met.
			best := -1
			for k := low; k < len(group) && l.events[group[k].ev].at <= shift(h.at, within); k++ {
				if best < 0 || gap(l.events[group[k].ev].at, h.at) < gap(l.events[group[best].ev].at, h.at) {
					best = k
				}
			}
			if best < 0 {
				continue
			}
			mine := group[best]
			mineAt := l.events[mine.ev].at
			k := Contact{Round: round, With: l.nodes[mine.n].key, Why: "place", Place: place(h.e), Time: when(max(h.at, mineAt)), Gap: Seconds(float64(gap(mineAt, h.at)) / 1e6)}
			k.Events = []string{l.events[mine.ev].e.ID}
			if mine.ev != i {
				k.Events = append(k.Events, h.e.ID)
			}
			h.each(func(p participant) bool {
				c.add(p.node, k)
				return true
			})
		}
	}
	return nil
}

// declared says whether an event is, or is known to be the subject of, a declaration of error.
func (c *contacts) declared(i int32) bool {
	e := c.l.events[i].e
	_, wrong := c.l.byID["\x00"+e.ID]
	return wrong || e.Error != nil
}

func (c *contacts) proof(in *containment) (out []string) {
	for _, i := range [2]int32{in.begin, in.end} {
		if i >= 0 {
			out = append(out, c.l.events[i].e.ID)
		}
	}
	return slices.Compact(out)
}

func gap(a, b int64) int64 { return max(a-b, b-a) }

// origin is the thing asked for that n was found from.
func (s *search) origin(n int32) int32 {
	i := s.states[n].first
	for s.visits[i].pred >= 0 {
		i = s.visits[i].pred
	}
	return s.visits[i].node
}

// windows are the times for which a thing belongs to the answer.
func (s *search) windows(n int32) spans {
	st := &s.states[n]
	var out spans
	if st.from != never {
		out = out.with(span{st.from, never})
	}
	if st.to != always {
		out = out.with(span{always, st.to})
	}
	for _, list := range st.in {
		for _, w := range list {
			out = out.with(w)
		}
	}
	return out
}

// since is the first time of a thing's events that belongs to the answer.
func (s *search) since(n int32) (int64, bool) {
	for _, i := range s.l.nodes[n].events {
		if at := s.l.events[i].at; s.b.has(at) && s.states[n].has(at) {
			return at, true
		}
	}
	return 0, false
}
