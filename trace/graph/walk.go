package graph

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Seed is where a walk begins: a thing, and how and when it belongs to the question.
type Seed struct {
	Key  string    `json:"key"`
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Direction: "up", "down", or "" when only the thing's own events are wanted: to know when it was emptied, or what else is of a process.
	Direction string `json:"direction,omitempty"`
	// Carrier: something was in it from From to To, and what else was in it does not matter.
	Carrier bool `json:"carrier,omitempty"`
	Depth   int  `json:"depth,omitempty"` // links from what was asked for
}

// The directions of a Seed.
const (
	Upward   = "up"
	Downward = "down"
)

// WalkQuestion is what one owner of events is asked by another who traces.
type WalkQuestion struct {
	Frontier []Seed    `json:"frontier"`
	From     time.Time `json:"from,omitzero"` // of the whole question
	To       time.Time `json:"to,omitzero"`
	Depth    int       `json:"depth,omitempty"`
	Limit    int       `json:"limit,omitempty"`
	FanOut   int       `json:"fanOut,omitempty"`
	Recall   string    `json:"recall,omitempty"`
}

// Part is what one owner knows: the events of everything that can be reached from the seeds through its own events alone, so that it is asked once for each time
// the goods come into its hands, not once for each link.
type Part struct {
	// Owner, Level and Hash are whoever puts parts together's to fill in, from the answer's envelope: the prefix that answered, and by event ID how much of the
	// event it shows ("trace", "exists"; absent: all of it) and the event's hash.
	Owner string            `json:"owner,omitempty"`
	Level map[string]string `json:"level,omitempty"`
	Hash  map[string]string `json:"hash,omitempty"`

	Events []*epcis.Event    `json:"-"`              // those of Known, in order; a wire writes them as EPCIS does
	Known  []string          `json:"known"`          // keys of which Events has all that this owner shows
	Stop   map[string]string `json:"stop,omitempty"` // by key: why the owner did not answer for it; see Thing.Stop
	Open   []Seed            `json:"open"`           // what was reached, for others who may have events of it too
}

// Walk answers what can be answered from one source alone, in one go. Limits are those of Trace; a deadline of ctx ends it with what was found by then, whose
// unread things are not in Known.
func Walk(ctx context.Context, src Source, q WalkQuestion) (Part, error) {
	if len(q.Frontier) > mostLimit {
		return Part{}, problem.New(problem.TooLarge, "the question has %d seeds; at most %d are answered at once", "问题含 %d 个起点，一次最多答复 %d 个", len(q.Frontier), mostLimit)
	}
	s := newSearch(ctx, ctx, src, Question{From: q.From, To: q.To, Depth: q.Depth, Limit: q.Limit, FanOut: q.FanOut})
	s.lean = true
	var only []int32
	for _, seed := range q.Frontier {
		if seed.Key == "" {
			continue
		}
		if seed.Depth < 0 || seed.Depth > mostDepth {
			return Part{}, problem.New(problem.BadRequest, "the seed %s says it is %d links away; give 0 to %d", "起点 %s 的距离为 %d，应为 0 至 %d", seed.Key, seed.Depth, mostDepth)
		}
		n := s.l.key(seed.Key)
		w := s.b
		if !seed.From.IsZero() {
			w.from = max(w.from, micros(seed.From))
		}
		if !seed.To.IsZero() {
			w.to = min(w.to, micros(seed.To))
		}
		m := down
		switch seed.Direction {
		case Downward:
		case Upward:
			m = up
		case "":
			only = append(only, n)
			continue
		default:
			return Part{}, problem.New(problem.BadRequest, "the seed %s goes %q; a seed goes up, down or nowhere", "起点 %s 的方向 %q 无效，应为 up、down 或空", seed.Key, seed.Direction)
		}
		if seed.Carrier {
			m++
		}
		s.add(visit{node: n, mode: m, w: w, depth: int32(seed.Depth), pred: -1, link: -1})
	}
	if err := s.l.fetch(only); err != nil && !stopped(ctx, err) {
		return Part{}, canceled(err)
	}
	if err := s.run(); err != nil {
		return Part{}, err
	}
	p := Part{Stop: map[string]string{}}
	seen := map[int32]bool{}
	var list []int32
	for _, d := range s.l.nodes {
		if !d.fetched {
			continue
		}
		if d.stop != "" {
			p.Stop[d.key] = d.stop
		}
		p.Known = append(p.Known, d.key)
		for _, i := range d.all {
			if !seen[i] {
				seen[i] = true
				list = append(list, i)
			}
		}
	}
	slices.Sort(p.Known)
	slices.SortFunc(list, func(a, b int32) int {
		switch {
		case a == b:
			return 0
		case s.l.before(a, b):
			return -1
		}
		return 1
	})
	for _, i := range list {
		p.Events = append(p.Events, s.l.events[i].e)
	}
	p.Open = s.seeds()
	return p, nil
}

// seeds are the things that were reached, and those whose events alone were needed, as others are asked for them.
func (s *search) seeds() []Seed {
	var out []Seed
	for n, d := range s.l.nodes {
		if n >= len(s.states) || !s.states[n].found {
			if d.fetched {
				out = append(out, Seed{Key: d.key})
			}
			continue
		}
		if !d.fetched && !s.out {
			continue // a class that is not followed
		}
		st := &s.states[n]
		depth := int(max(st.depth, -st.depth))
		add := func(w span, dir string, carrier bool) {
			out = append(out, Seed{Key: d.key, From: when(w.from), To: when(w.to), Direction: dir, Carrier: carrier, Depth: depth})
		}
		if st.from != never {
			add(span{st.from, never}, Downward, false)
		}
		if st.to != always {
			add(span{always, st.to}, Upward, false)
		}
		for _, w := range st.in[0] {
			add(w, Downward, true)
		}
		for _, w := range st.in[1] {
			add(w, Upward, true)
		}
	}
	slices.SortFunc(out, func(a, b Seed) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Direction, b.Direction), a.From.Compare(b.From), a.To.Compare(b.To))
	})
	return out
}

// Pool is what several owners have answered so far, put together. It is a Source itself, so that every question of this room can be put to it; what a question
// looked for and not every owner was asked about is Open. A Pool may be used by several goroutines, one question at a time.
type Pool struct {
	mu     sync.Mutex
	events map[string][]*epcis.Event // key → events
	sorted map[string]bool
	seen   map[string]*epcis.Event // by ID
	owner  map[string]string       // event ID → who showed it
	level  map[string]string
	hash   map[string]string
	known  map[string]map[string]bool // owner → keys
	stops  map[string]map[string]string
	wanted map[string]bool
	seeds  []Seed
	refs   References
}

// NewPool makes an empty one. refs may be nil.
func NewPool(refs References) *Pool {
	return &Pool{events: map[string][]*epcis.Event{}, sorted: map[string]bool{}, seen: map[string]*epcis.Event{}, owner: map[string]string{}, level: map[string]string{},
		hash: map[string]string{}, known: map[string]map[string]bool{}, stops: map[string]map[string]string{}, wanted: map[string]bool{}, refs: refs}
}

// names are the keys under which an event is found.
func names(e *epcis.Event, yield func(key string)) {
	one := func(raw string) {
		if raw != "" {
			yield(epcis.Key(raw))
		}
	}
	one(e.Parent)
	for _, list := range [3][]string{e.EPCs, e.InputEPCs, e.OutputEPCs} {
		for _, raw := range list {
			one(raw)
		}
	}
	for _, list := range [3][]epcis.Quantity{e.Quantities, e.InputQuantities, e.OutputQuantities} {
		for i := range list {
			one(list[i].Class)
		}
	}
	one(e.TransformationID)
	for _, p := range [2]*epcis.Location{e.ReadPoint, e.BizLocation} {
		if p != nil {
			one(p.ID)
		}
	}
}

// Add takes a part in. Of an event that several owners show, the one that shows most of it stands, and of equals the first.
func (p *Pool) Add(part Part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known[part.Owner]
	if known == nil {
		known = map[string]bool{}
		p.known[part.Owner] = known
	}
	for _, k := range part.Known {
		known[k] = true
	}
	for k, why := range part.Stop {
		if p.stops[k] == nil {
			p.stops[k] = map[string]string{}
		}
		p.stops[k][part.Owner] = why
		known[k] = true // nothing is gained by asking it again
	}
	for _, e := range part.Events {
		if e == nil {
			continue
		}
		id := e.ID
		if e.Error != nil {
			id = "\x00" + id
		}
		if old, ok := p.seen[id]; ok && e.ID != "" {
			if rank(part.Level[e.ID]) <= rank(p.level[e.ID]) || old == e {
				continue
			}
			names(old, func(key string) {
				p.events[key] = slices.DeleteFunc(p.events[key], func(x *epcis.Event) bool { return x == old })
			})
		}
		p.seen[id] = e
		p.owner[e.ID], p.level[e.ID], p.hash[e.ID] = part.Owner, part.Level[e.ID], part.Hash[e.ID]
		names(e, func(key string) {
			if list := p.events[key]; len(list) == 0 || list[len(list)-1] != e {
				p.events[key] = append(list, e)
				p.sorted[key] = false
			}
		})
	}
}

// rank orders levels by how much they show.
func rank(level string) int {
	switch level {
	case "":
		return 2
	case "trace":
		return 1
	}
	return 0
}

// Touching is Source's.
func (p *Pool) Touching(ctx context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) {
		p.mu.Lock()
		p.wanted[thing] = true
		if !p.sorted[thing] {
			slices.SortStableFunc(p.events[thing], func(a, b *epcis.Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
			p.sorted[thing] = true
		}
		list := slices.Clone(p.events[thing])
		p.mu.Unlock()
		for _, e := range list {
			if (from.IsZero() || !e.Time.Before(from)) && (to.IsZero() || !e.Time.After(to)) && !yield(e, nil) {
				return
			}
		}
	}
}

// References is Referrer's.
func (p *Pool) References(ctx context.Context, thing string) ([]Reference, error) {
	if p.refs == nil {
		return nil, nil
	}
	return p.refs(ctx, thing)
}

// Trace is the room's Trace over all that was answered so far, with its owners; Open tells what it lacks.
func (p *Pool) Trace(ctx context.Context, q Question, found func(Step)) (*Answer, error) {
	p.mu.Lock()
	clear(p.wanted)
	p.mu.Unlock()
	s, done, err := traced(ctx, p, q, found)
	if err != nil {
		return nil, err
	}
	defer done()
	a := s.answer(q)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seeds = s.seeds()
	of := map[string]string{}
	for i := range a.Events {
		e := &a.Events[i]
		e.Owner, e.Level, e.Hash = p.owner[e.ID], p.level[e.ID], p.hash[e.ID]
		for _, t := range e.Things {
			of[t] = e.Owner // the last one stands
		}
	}
	for i := range a.Things {
		t := &a.Things[i]
		t.Owner = of[t.Key]
		// One owner's silence is told unless the search stopped here for a reason of its own.
		if stops := p.stops[t.Key]; len(stops) > 0 && (t.Stop == "" || t.Stop == "unknown") {
			for _, why := range stops {
				if t.Stop == "" || t.Stop == "unknown" || why < t.Stop {
					t.Stop = why
				}
			}
			a.Complete = false
		}
	}
	return a, nil
}

// Open is what the last question looked for and this owner was not asked yet, as seeds. After another question than Trace they have no direction: whoever is asked
// answers with the things' own events.
func (p *Pool) Open(owner string) []Seed {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known[owner]
	var out []Seed
	listed := map[string]bool{}
	for _, s := range p.seeds {
		listed[s.Key] = true
		if !known[s.Key] {
			out = append(out, s)
		}
	}
	for k := range p.wanted {
		if !known[k] && !listed[k] {
			out = append(out, Seed{Key: k})
		}
	}
	slices.SortStableFunc(out, func(a, b Seed) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Restart forgets what earlier questions looked for; whoever puts another question than Trace to the pool calls it before each try.
func (p *Pool) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.wanted)
	p.seeds = nil
}

// Merge is a Trace over the parts of several owners, and what each of them, by Part.Owner, is still to be asked. Nothing open: the answer is the same as that of one
// source that has all their events.
func Merge(ctx context.Context, q Question, parts ...Part) (a *Answer, open map[string][]Seed, err error) {
	p := NewPool(nil)
	for _, part := range parts {
		p.Add(part)
	}
	if a, err = p.Trace(ctx, q, nil); err != nil {
		return nil, nil, err
	}
	open = map[string][]Seed{}
	for _, part := range parts {
		if _, ok := open[part.Owner]; !ok {
			if seeds := p.Open(part.Owner); len(seeds) > 0 {
				open[part.Owner] = seeds
			}
		}
	}
	return a, open, nil
}
