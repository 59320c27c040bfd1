package recursor

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// how says in which manner a name is looked up. Look-ups of one name in different manners do not share their answers.
type how struct {
	authoritative bool // from primaries, past the cache
	hidden        bool // with what is not for everybody: the server then says whether there is such
	certify       bool // with the record's signature, also where nothing would be checked
	fresh         bool // past the cache; for delegations that led nowhere
	depth         int  // hops made before; look-ups at different depths meet different limits
}

func (h how) key(name id.ID) string {
	if h == (how{}) {
		return name.String()
	}
	b := append(make([]byte, 0, len(name.String())+8), name.String()...)
	b = append(b, 0) // no identifier has this character
	for i, set := range [...]bool{h.authoritative, h.hidden, h.certify, h.fresh} {
		if set {
			b = append(b, "ahcf"[i])
		}
	}
	return string(strconv.AppendInt(b, int64(h.depth), 10))
}

// flight is one look-up under way, for as many as wait for it. It goes on when all who waited have left, so that the
// next who asks finds the answer.
type flight struct {
	key    string
	name   id.ID
	budget *budget
	depth  int
	top    bool // a client's, not a part of another look-up
	done   chan struct{}

	waits *flight // the flight that this one waits for; guarded by Recursor.mu

	// Set before done is closed.
	entry *entry
	err   error
	steps steps
}

// budget is how many upstream questions may still be asked on behalf of one client's question.
type budget struct {
	left atomic.Int64
	size int
}

func newBudget(n int) *budget {
	b := &budget{size: n}
	b.left.Store(int64(n))
	return b
}

func (b *budget) take() bool { return b.left.Add(-1) >= 0 }

// errBudget marks the failure of a look-up that ended because somebody's budget was used up.
var errBudget = errors.New("budget used up")

func (b *budget) spent(name id.ID) error {
	return problem.Wrap(errBudget, problem.TooDeep, "looking up %s took more than %d questions to other nodes; the delegations on its way are too tangled, ask their owners to simplify them",
		"解析 %s 需要向其他节点提问超过 %d 次；其途经的委派过于复杂，请联系其所有者简化", name, b.size)
}

// failure is a look-up that ended badly, kept for a little while.
type failure struct {
	err   error
	until time.Time
}

const maxFailures = 1 << 14

// asker is who waits for a flight: a client's search, or another flight.
type asker struct {
	ctx    context.Context
	flight *flight // nil for a client
	budget *budget
	depth  int
	steps  *steps
}

// state says where an entry came from.
type state uint8

const (
	fetched state = iota // just now
	kept                 // the cache, in its time
	stale                // the cache, past its time
)

// lookup finds the entry of name for a client.
func (r *Recursor) lookup(s *search, name id.ID, b *budget, depth int) (e *entry, st state, err error) {
	if name.IsPrefix() {
		name = id.PrefixRecord(name.Prefix())
	}
	a := asker{ctx: s.ctx, budget: b, depth: depth}
	if s.q.Trace {
		a.steps = &s.steps
	}
	h := how{authoritative: s.q.Authoritative, depth: s.q.Depth}
	if !s.q.PublicOnly {
		// Only the node that keeps the record knows whether something hidden was asked for.
		if e := r.cached(name); e == nil || h.authoritative || !e.has(s.q) {
			h.hidden = true
		}
	}
	if s.q.Certify {
		if e := r.cached(name); e != nil && !e.signed || e == nil {
			h.certify = true
		}
	}
	e, st, err = r.get(a, name, h)
	if problem.Is(err, problem.NeedAuth) && !s.q.By.IsAnonymous() {
		err = problem.New(problem.Forbidden, "a value of %s is not public, and only the node that keeps it can show it to you; ask that node directly",
			"%s 有非公开的值，只有保存它的节点能向您出示；请直接向该节点查询", name)
	}
	return e, st, err
}

// cached is the entry of name if it is there and in its time.
func (r *Recursor) cached(name id.ID) *entry {
	e, ok := r.answers.GetIfPresent(name.String())
	if !ok || r.c.Now().Unix() >= e.expires {
		return nil
	}
	return e
}

// get finds the entry of name: in the cache, from a look-up under way, or by a new one. When that fails because nobody
// can be reached, or takes longer than StaleAfter, an entry past its time serves.
func (r *Recursor) get(a asker, name id.ID, h how) (*entry, state, error) {
	began := r.c.Now()
	old, _ := r.answers.GetIfPresent(name.String())
	if old != nil && began.Unix() < old.expires && !h.authoritative && !h.hidden && !h.fresh && !(h.certify && !old.signed) {
		r.stats.hits.Add(1)
		if old.absent {
			r.stats.negative.Add(1)
		}
		if a.steps != nil {
			a.steps.add(old.step(began, 0))
		}
		r.touch(old, began.Unix())
		return old, kept, nil
	}
	r.stats.misses.Add(1)
	if h.authoritative || h.hidden || h.fresh || !r.usable(old, began) {
		old = nil
	}
	if f, ok := r.failures.GetIfPresent(h.key(name)); ok && began.Before(f.until) {
		if old != nil && mayStale(f.err) {
			return r.serveStale(a, old)
		}
		a.steps.add(step{at: began, asked: "cache", name: name.String(), outcome: "failed just now: " + problem.Say(f.err, problem.English)})
		return nil, fetched, f.err
	}
	for again := 0; ; again++ {
		f, joined, err := r.begin(a, name, h)
		if err != nil {
			if old != nil && mayStale(err) {
				return r.serveStale(a, old)
			}
			return nil, fetched, err
		}
		if joined {
			r.stats.coalesced.Add(1)
		}
		err = r.wait(a, f, old)
		switch {
		case err == errPatience:
			return r.serveStale(a, old)
		case err != nil:
			return nil, fetched, err
		}
		a.steps.join(f.steps)
		if f.err == nil {
			return f.entry, fetched, nil
		}
		// Somebody else's limits are not ours.
		if joined && again == 0 && a.budget != f.budget && errors.Is(f.err, errBudget) {
			continue
		}
		if old != nil && mayStale(f.err) {
			return r.serveStale(a, old)
		}
		return nil, fetched, f.err
	}
}

// usable reports whether an entry past its time may still be served, should it come to that.
func (r *Recursor) usable(e *entry, now time.Time) bool {
	return e != nil && !e.absent && now.Unix() < e.staleUntil
}

// mayStale reports whether a failure is of the kind that an old answer helps against: nobody could be asked. A bogus
// answer is none: whoever sends those decides when they stop.
func mayStale(err error) bool {
	k := problem.KindOf(err)
	return k == problem.Unreachable || k == problem.Busy
}

func (r *Recursor) serveStale(a asker, e *entry) (*entry, state, error) {
	r.stats.stale.Add(1)
	now := r.c.Now()
	s := e.step(now, 0)
	s.again = true
	s.outcome = "found, " + strconv.FormatInt(max(0, now.Unix()-e.expires), 10) + " s past its time"
	a.steps.add(s)
	return e, stale, nil
}

// begin joins the look-up of name that is under way, or starts one.
func (r *Recursor) begin(a asker, name id.ID, h how) (f *flight, joined bool, err error) {
	key := h.key(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[key]; f != nil {
		return f, true, nil
	}
	switch {
	case r.closed:
		return nil, false, problem.New(problem.Canceled, "the node is stopping; ask again later", "节点正在停止；请稍后再查询")
	case a.flight == nil && len(r.flights) >= r.c.MaxPending:
		return nil, false, problem.New(problem.Busy, "%d look-ups are under way, as many as are allowed; ask again in a moment",
			"已有 %d 个解析在进行，达到上限；请稍后再查询", len(r.flights))
	}
	f = &flight{key: key, name: name, budget: a.budget, depth: a.depth, top: a.flight == nil, done: make(chan struct{})}
	r.flights[key] = f
	r.wg.Add(1)
	go r.fly(f, h)
	return f, false, nil
}

// fly does a look-up and tells all who wait.
func (r *Recursor) fly(f *flight, h how) {
	defer r.wg.Done()
	ctx, cancel := context.WithTimeout(r.ctx, r.c.Timeout)
	defer cancel()
	a := asker{ctx: ctx, flight: f, budget: f.budget, depth: f.depth, steps: &f.steps}
	f.entry, f.err = r.fetch(a, f.name, h)
	if f.err == nil {
		if f.entry.absent {
			r.stats.absences.Add(1)
		}
		if f.entry.expires > f.entry.stored {
			r.answers.Set(f.entry.key, f.entry)
		}
		r.failures.Invalidate(f.key)
		r.failures.Invalidate(f.name.String())
	} else {
		r.stats.failures.Add(1)
		if problem.Is(f.err, problem.Bogus) {
			r.stats.bogus.Add(1)
		}
		if r.memorable(f, h) {
			r.failures.Set(f.key, &failure{f.err, r.c.Now().Add(r.c.FailureTTL)})
		}
	}
	r.mu.Lock()
	delete(r.flights, f.key)
	r.mu.Unlock()
	close(f.done)
}

// memorable reports whether a failure tells something of the name and not only of who asked.
func (r *Recursor) memorable(f *flight, h how) bool {
	switch problem.KindOf(f.err) {
	case problem.Unreachable, problem.Bogus:
		return r.ctx.Err() == nil
	case problem.TooDeep:
		return f.depth == 0 && (f.top || !errors.Is(f.err, errBudget))
	}
	return false
}

// errPatience says that the client should have the old answer now.
var errPatience = errors.New("waited long enough")

// wait waits for f. A flight that would so come to wait for itself is told the circle.
func (r *Recursor) wait(a asker, f *flight, old *entry) error {
	if a.flight != nil {
		r.mu.Lock()
		chain := []string{a.flight.name.String()}
		for w := f; w != nil; w = w.waits {
			chain = append(chain, w.name.String())
			if w == a.flight {
				r.mu.Unlock()
				return loop("HS_SERV", chain)
			}
		}
		a.flight.waits = f
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			a.flight.waits = nil
			r.mu.Unlock()
		}()
	}
	var late <-chan time.Time
	if old != nil {
		t := time.NewTimer(r.c.StaleAfter)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-f.done:
		return nil
	case <-late:
		return errPatience
	case <-a.ctx.Done():
	}
	if a.flight != nil {
		return problem.Wrap(a.ctx.Err(), problem.Unreachable, "no answer about %s came in time; try again later", "未能及时得到关于 %s 的答复；请稍后再试", f.name)
	}
	return problem.Wrap(a.ctx.Err(), problem.Canceled, "the question about %s was given up before an answer came", "关于 %s 的查询在得到答复前已被放弃", f.name)
}

// loop names a circle: a → b → a.
func loop(by string, chain []string) error {
	return problem.New(problem.TooDeep, "the look-up goes in a circle (%[1]s): %[2]s; the owner of one of these records must break it",
		"解析陷入循环（%[1]s）：%[2]s；须由其中一条记录的所有者解除", by, arrows(chain))
}

func tooDeep(chain []string) error {
	return problem.New(problem.TooDeep, "the look-up takes more than %d hops: %s; ask the owners to shorten the way",
		"解析超过 %d 跳：%s；请联系所有者缩短路径", record.MaxDepth, arrows(chain))
}

func arrows(chain []string) string {
	// The circle itself tells more than the way into it.
	last := chain[len(chain)-1]
	for i, c := range chain[:len(chain)-1] {
		if c == last {
			chain = chain[i:]
			break
		}
	}
	return strings.Join(chain, " → ")
}

// touch counts a use of e, and has it fetched anew when it is popular and near its end.
func (r *Recursor) touch(e *entry, now int64) {
	if e.expires-now > (e.expires-e.stored)/prefetchShare || e.hits.Add(1) < prefetchHits {
		return
	}
	if e.absent || !e.refreshing.CompareAndSwap(false, true) {
		return
	}
	r.prefetch(e)
}

// An entry is popular when it was used this often in the last tenth of its life.
const (
	prefetchShare = 10
	prefetchHits  = 2
)

func (r *Recursor) prefetch(e *entry) {
	a := asker{ctx: r.ctx, budget: newBudget(r.c.MaxUpstream), steps: new(steps)}
	if _, joined, err := r.begin(a, e.name, how{certify: e.signed}); err == nil && !joined {
		r.stats.prefetches.Add(1)
	}
}
