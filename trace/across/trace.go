package across

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/share"
)

// Trace asks a question of this node and of every enterprise that the goods lead to, each once a round, until nobody new is named or a limit is reached. Who refused, was silent
// or lied stands in the answer's Hops, and the answer is complete up to there. found hears of what is found as it is found; what it heard holds unless a later answer says
// otherwise, and the answer has the last word. The evidence holds every answer that was believed, as it was signed. When ctx ends what is known by then is returned with
// its error.
func (a *Across) Trace(ctx context.Context, q graph.Question, found func(graph.Step)) (*graph.Answer, *Evidence, error) {
	answer, s, err := a.gather(ctx, q, found)
	if answer == nil {
		return nil, nil, err
	}
	if err := a.ownEvidence(ctx, s, answer); err != nil {
		return answer, s.evidence, err
	}
	return answer, s.evidence, err
}

// gather asks round after round. With an error the answer is what was known by then, nil if nothing was.
func (a *Across) gather(ctx context.Context, q graph.Question, found func(graph.Step)) (*graph.Answer, *session, error) {
	s := a.session(q)
	src := s.source()
	asking := ctx
	if q.Timeout > 0 {
		var done context.CancelFunc
		asking, done = context.WithTimeout(ctx, q.Timeout)
		defer done()
	}
	var answer *graph.Answer
	for {
		// What is known is told as it grows; without anybody to hear, one look at the end is enough.
		if found != nil || answer == nil {
			next, err := graph.Trace(ctx, src, q, found)
			if err != nil {
				if answer == nil {
					return nil, nil, err
				}
				return s.finish(answer), s, err
			}
			answer = next
		}
		part, err := graph.Walk(ctx, src, graph.WalkQuestion{Frontier: frontier(&q), From: q.From, To: q.To, Depth: q.Depth, Limit: q.Limit, FanOut: q.FanOut, Recall: q.Recall})
		if err != nil {
			return s.finish(answer), s, err
		}
		asks := s.plan(asking, part.Open)
		if len(asks) > 0 && s.round == a.cfg.Limits.Rounds {
			s.cut = true
			break
		}
		if len(asks) == 0 {
			break
		}
		s.round++
		s.ask(asking, asks)
		if asking.Err() != nil {
			s.cut = true
			break
		}
	}
	if s.round > 0 {
		next, err := graph.Trace(ctx, src, q, found)
		if err != nil {
			return s.finish(answer), s, err
		}
		answer = next
	}
	return s.finish(answer), s, ctx.Err()
}

// frontier is where a question begins.
func frontier(q *graph.Question) (out []graph.Seed) {
	both := q.Up == q.Down
	for _, t := range q.Things {
		if q.Up || both {
			out = append(out, graph.Seed{Key: epcis.Key(t), Direction: graph.Upward})
		}
		if q.Down || both {
			out = append(out, graph.Seed{Key: epcis.Key(t), Direction: graph.Downward})
		}
	}
	return out
}

// source is the session's events, and the references of records where they are followed.
func (s *session) source() graph.Source {
	if s.a.cfg.References != nil {
		return graph.WithReferences(s.pool, s.a.cfg.References)
	}
	return s.pool
}

// session is one trace under way.
type session struct {
	a        *Across
	q        graph.Question
	pool     *pool
	evidence *Evidence

	mu       sync.Mutex
	round    int
	cut      bool
	asked    map[asked]bool      // what was asked or walked
	services map[string]*visited // by owner
	via      map[string][]string // introductions, by the prefix that they are for
	proofs   []ownedProof
	hops     []graph.Hop
	stops    map[string]string // thing → why it was not followed on
	answered map[string]string // thing → who walked it
}

// asked is a thing that an owner was asked about.
type asked struct{ owner, thing string }

// visited is an owner that was come by.
type visited struct {
	service service
	err     error
}

type ownedProof struct {
	Proof
	owner string
}

func (a *Across) session(q graph.Question) *session {
	return &session{a: a, q: q, pool: newPool(a.cfg.Source), asked: map[asked]bool{}, services: map[string]*visited{}, via: map[string][]string{},
		stops: map[string]string{}, answered: map[string]string{},
		evidence: &Evidence{Version: 1, Question: q, Asker: a.cfg.User.String(), Made: a.cfg.Now(), Certificates: map[string][]string{}}}
}

// owners are the enterprises that may know of a thing: that of its prefix, and those that an event of it names.
func (s *session) owners(ctx context.Context, thing string) []string {
	seen := map[string]bool{}
	if p := prefixOf(thing); p != "" {
		seen[p] = true
	}
	for e, err := range s.pool.Touching(ctx, thing, s.q.From, s.q.To) {
		if err != nil {
			break
		}
		parties(e, func(p string) { seen[p] = true })
	}
	var out []string
	for p := range seen {
		if !s.a.ours(p) {
			out = append(out, p)
		}
	}
	return out
}

// plan is who is asked next, and about what: each owner once about each thing, since an answer has all that the owner shows of it.
func (s *session) plan(ctx context.Context, open []graph.Seed) map[string][]graph.Seed {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]graph.Seed{}
	now := map[asked]bool{}
	for key, seeds := range groups(open) {
		// Of a thing whose events alone would help, only those are asked who are asked anyway.
		aside := seeds[0].Direction == "" && len(seeds) == 1
		for _, owner := range s.owners(ctx, key) {
			k := asked{owner, key}
			if s.asked[k] {
				continue
			}
			v := s.services[owner]
			switch {
			case v != nil && v.err != nil:
				s.stop(key, v.err)
				continue
			case v == nil && aside:
				continue
			case v == nil && len(s.services) >= s.a.cfg.Limits.Owners:
				s.cut = true
				s.stops[key] = "limit"
				continue
			case len(out[owner])+len(seeds) > s.a.cfg.Limits.Seeds:
				continue // in the next round
			case v == nil:
				s.services[owner] = &visited{}
			}
			now[k] = true
			out[owner] = append(out[owner], seeds...)
		}
	}
	maps.Copy(s.asked, now)
	return out
}

// groups is seeds by thing, which stand together in open.
func groups(open []graph.Seed) iter.Seq2[string, []graph.Seed] {
	return func(yield func(string, []graph.Seed) bool) {
		for i := 0; i < len(open); {
			j := i + 1
			for j < len(open) && open[j].Key == open[i].Key {
				j++
			}
			if !yield(open[i].Key, open[i:j]) {
				return
			}
			i = j
		}
	}
}

// stop notes why a thing was not followed on.
func (s *session) stop(thing string, err error) {
	if s.stops[thing] == "" {
		s.stops[thing] = outcome(err)
	}
}

// outcome is a failed question in the words of graph.Hop.
func outcome(err error) string {
	switch problem.KindOf(err) {
	case problem.Forbidden, problem.NeedAuth, problem.NotFound, problem.AuthFailed, problem.NotAdmin:
		return "refused"
	case problem.Bogus, problem.BadValue:
		return "bogus"
	}
	return "unreachable"
}

// ask asks all at once, and reports whether anything new was learnt.
func (s *session) ask(ctx context.Context, asks map[string][]graph.Seed) bool {
	slots := make(chan struct{}, s.a.cfg.Limits.Parallel)
	var wg sync.WaitGroup
	var mu sync.Mutex
	news := false
	for _, owner := range slices.Sorted(maps.Keys(asks)) {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			n := s.askOne(ctx, owner, asks[owner])
			mu.Lock()
			news = news || n
			mu.Unlock()
		})
	}
	wg.Wait()
	return news
}

// askOne asks an owner about things and takes in the answer.
func (s *session) askOne(ctx context.Context, owner string, seeds []graph.Seed) (news bool) {
	a := s.a
	began := a.cfg.Now()
	hop := graph.Hop{Owner: owner, Round: s.round}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Limits.Ask)
	defer cancel()
	s.mu.Lock()
	at := *s.services[owner]
	via := slices.Clone(s.via[owner])
	s.mu.Unlock()
	var err error
	if at.service.base == "" {
		thing := ""
		if slices.ContainsFunc(s.q.Things, func(t string) bool { return epcis.Key(t) == seeds[0].Key }) {
			thing = seeds[0].Key
		}
		at.service, err = a.service(ctx, owner, thing)
		if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) || problem.Is(err, problem.NotHere) {
			err = problem.Wrap(err, problem.Unreachable, "%s offers no event service", "%s 未提供事件服务", owner)
		}
	}
	hop.URL = at.service.base
	var got *answered
	if err == nil {
		got, err = a.put(ctx, at.service, Request{Owner: owner, Seeds: seeds, Depth: s.q.Depth, FanOut: s.q.FanOut, Limit: s.q.Limit, From: s.q.From, To: s.q.To, Recall: s.q.Recall, Via: via})
	}
	hop.Took = a.cfg.Now().Sub(began)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.hops = append(s.hops, hop) }()
	v := s.services[owner]
	v.service = at.service
	if err != nil {
		v.err = err
		hop.Outcome, hop.EN, hop.ZH = outcome(err), problem.Say(err, problem.English), problem.Say(err, problem.Chinese)
		for _, seed := range seeds {
			s.stop(seed.Key, err)
		}
		return false
	}
	hop.Outcome, hop.Events, hop.Things = "answered", len(got.events)+len(got.body.Proofs), len(got.body.Walked)
	if got.body.Partial {
		hop.Outcome, s.cut = "partial", true
		hop.EN, hop.ZH = "a limit of the enterprise was reached before the end", "在到达终点之前已达到该企业的上限"
	}
	for _, k := range got.events {
		k.owner = owner
		news = s.pool.add(k) || news
	}
	for _, p := range got.body.Proofs {
		s.proofs = append(s.proofs, ownedProof{p, owner})
	}
	for _, seed := range seeds {
		delete(s.stops, seed.Key)
	}
	for _, w := range got.body.Walked {
		s.answered[w] = owner
		s.asked[asked{owner, w}] = true
	}
	for to, j := range got.body.Introductions {
		if len(s.via[to]) < 8 {
			s.via[to] = append(s.via[to], j)
		}
	}
	s.evidence.Answers = append(s.evidence.Answers, got.signed)
	maps.Copy(s.evidence.Certificates, got.certificates)
	return news || len(got.body.Proofs) > 0
}

// finish puts into the graph who said what, and what is missing.
func (s *session) finish(answer *graph.Answer) *graph.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix := s.a.cfg.Prefix
	owns := map[string]string{}
	for i := range answer.Events {
		e := &answer.Events[i]
		k, own := s.pool.whose(e.ID)
		switch {
		case own || k == nil:
			e.Owner = prefix
		default:
			e.Owner, e.Hash = k.owner, k.hash
			if k.level < share.Contents {
				e.Level = k.level.String()
			}
		}
		for _, t := range e.Things {
			if owns[t] == "" || e.Owner == prefixOf(t) {
				owns[t] = e.Owner
			}
		}
	}
	seen := map[string]bool{}
	for _, p := range s.proofs {
		if seen[p.Hash+p.Thing] {
			continue
		}
		seen[p.Hash+p.Thing] = true
		answer.Events = append(answer.Events, graph.Event{ID: p.Hash, Hash: p.Hash, Time: p.Time, Things: []string{p.Thing}, Owner: p.owner, Level: share.Exists.String()})
	}
	for i := range answer.Things {
		t := &answer.Things[i]
		if t.Owner = cmp.Or(owns[t.Key], s.answered[t.Key]); t.Stop == "" && s.stops[t.Key] != "" {
			t.Stop = s.stops[t.Key]
		}
		if t.Stop != "" {
			answer.Complete = false
		}
	}
	for _, c := range s.pool.clash {
		answer.Findings = append(answer.Findings, graph.Finding{Kind: "two-versions", Thing: c.thing, Events: []string{c.id}, Time: c.at,
			EN: c.first + " and " + c.other + " tell different things under one event ID; what " + c.first + " said is shown", ZH: c.first + " 与 " + c.other + " 以同一事件标识给出不同内容；此处显示 " + c.first + " 的说法"})
	}
	if s.cut {
		answer.Complete = false
	}
	for _, h := range s.hops {
		if h.Outcome != "answered" {
			answer.Complete = false
		}
	}
	answer.Hops = slices.Clone(s.hops)
	slices.SortStableFunc(answer.Hops, func(x, y graph.Hop) int { return cmp.Or(x.Round-y.Round, cmp.Compare(x.Owner, y.Owner)) })
	slices.SortFunc(s.evidence.Answers, func(x, y Signed) int {
		return cmp.Or(cmp.Compare(x.Owner, y.Owner), cmp.Compare(x.Statement, y.Statement))
	})
	return answer
}

// Source is every enterprise's events as one: what is asked of it is asked here first and then, of those who may know, as the goods lead to them. What was asked once is remembered as
// long as the Source is used; begin another for another question. recall is as in graph.Question.
func (a *Across) Source(recall string) *Source {
	return &Source{s: a.session(graph.Question{Recall: recall})}
}

// Source is a graph.Source over all enterprises.
type Source struct{ s *session }

// Hops are the enterprises asked so far.
func (src *Source) Hops() []graph.Hop {
	src.s.mu.Lock()
	defer src.s.mu.Unlock()
	return slices.Clone(src.s.hops)
}

// Parallel says that many things may be asked about at the same time.
func (src *Source) Parallel() int { return src.s.a.cfg.Limits.Parallel }

// References are those of records, where they are followed.
func (src *Source) References(ctx context.Context, thing string) ([]graph.Reference, error) {
	if refs := src.s.a.cfg.References; refs != nil {
		return refs(ctx, thing)
	}
	return nil, nil
}

// Touching implements graph.Source. Enterprises that do not answer leave their events out; Hops says which.
func (src *Source) Touching(ctx context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) {
		s := src.s
		for range s.a.cfg.Limits.Rounds {
			asks := map[string][]graph.Seed{}
			owners := s.owners(ctx, thing)
			s.mu.Lock()
			for _, owner := range owners {
				k := asked{owner, thing}
				if s.asked[k] || s.services[owner] == nil && len(s.services) >= s.a.cfg.Limits.Owners || s.services[owner] != nil && s.services[owner].err != nil {
					continue
				}
				if s.services[owner] == nil {
					s.services[owner] = &visited{}
				}
				s.asked[k] = true
				asks[owner] = []graph.Seed{{Key: thing}}
			}
			s.mu.Unlock()
			if len(asks) == 0 || ctx.Err() != nil {
				break
			}
			var wg sync.WaitGroup
			for owner, seeds := range asks {
				wg.Go(func() { s.askOne(ctx, owner, seeds) })
			}
			wg.Wait()
		}
		for e, err := range s.pool.Touching(ctx, thing, from, to) {
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
