// Package recursor finds the answer for any identifier in the world: give it a code and it walks from the root to the
// node that keeps the record, checks every signature on the way, and remembers what it learnt for the next who asks.
//
// How one look-up goes. The walk begins with the root's sites and key, which the operator configured. At each level of
// the prefix the servers of the level above are asked for the record of the next one:
//
//	88.118.1001/ENG-42
//	  the root                 0.NA/88            where 88 lives, and its key
//	  the national node        0.NA/88.118        where 88.118 lives, and its key
//	  the second-level node    0.NA/88.118.1001   where 88.118.1001 lives, and its key
//	  the enterprise node      88.118.1001/ENG-42 the answer
//
// A level without a record of its own is no obstacle: the same servers are asked for the longer name. Referrals (302,
// 303), services (HS_SERV) and aliases (HS_ALIAS) are followed, MaxDepth in all; who goes in circles is told the circle.
//
// Every answer says what was proved of it: secure, when every signature from the root's key to it holds; unsigned, when
// the parent says (and proves) that some level signs nothing; unchecked, when no root key is configured. An answer
// whose signatures do not hold is called bogus and is neither shown nor kept; the other servers are tried first, so that
// one lying or outdated mirror does not take a name down.
//
// Who is trusted. An attacker on the path or in a mirror can at most keep an answer away, and replay one whose signature
// has not expired. An attacker who can change this process's memory can make it say anything: clients that must not
// depend on that ask with Query.Certify and check the signatures themselves.
package recursor

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Config is what a Recursor needs to know. Ask and Hints are necessary; the zero of everything else means its default.
type Config struct {
	// Ask puts one question to one server.
	Ask record.Asker
	// Hints are the sites of the root service, as they stand in 0.NA/0.NA. Their addresses are the operator's choice
	// and so escape AllowPrivate. The root's own record replaces them as soon as it was fetched and holds.
	Hints []*record.Site
	// Anchors are the root's public keys. Without any nothing can be checked, and every answer is Unchecked.
	Anchors []trust.PublicKey
	// Local is the authoritative part of the same node; it is asked first, and what it does not answer for (NotHere,
	// or a referral) is looked up. May be nil.
	Local record.Resolver

	Now  func() time.Time // default time.Now
	Rand io.Reader        // seeds the choice among servers; default crypto/rand

	// CacheBytes bounds the memory of the answers kept. Default 64 MiB.
	CacheBytes int64
	// MaxTTL caps how long anything is kept. Default 48 h (172800 s), as deployed caches do.
	MaxTTL time.Duration
	// NegativeTTL is how long an absence is kept. Default 1 min. A new registration may stay invisible that long to
	// those who asked before.
	NegativeTTL time.Duration
	// FailureTTL is how long a failure (nobody answers, a bogus answer, a loop) is kept. Default 5 s.
	FailureTTL time.Duration
	// MaxStale is how long behind its expiry an answer may still be given when nobody who knows better can be reached.
	// Default 24 h; negative: never.
	MaxStale time.Duration
	// StaleAfter is how long a client waits before it gets the expired answer while the search goes on. Default 1.8 s.
	StaleAfter time.Duration
	// Skew is by how much other nodes' clocks may differ. Default 5 min.
	Skew time.Duration

	// Timeout bounds one whole look-up. Default 8 s.
	Timeout time.Duration
	// AttemptTimeout bounds one question to one server. Default 3 s. The next server is asked much earlier, when the
	// measured round-trip says that this one is late.
	AttemptTimeout time.Duration
	// MaxUpstream bounds the questions that one client's question may cause. Default 64.
	MaxUpstream int
	// MaxPending bounds the look-ups under way; beyond it clients are told Busy. Default 8192.
	MaxPending int

	// AllowPrivate lets delegations lead to loopback, private and link-local addresses. Leave it off on the internet:
	// else whoever owns a prefix can point this node's questions at machines behind it. On in a closed network and in
	// a country on one machine.
	AllowPrivate bool
	// Refuse are further networks that delegations must not lead to.
	Refuse []netip.Prefix
}

// The defaults of Config.
const (
	DefaultCacheBytes     = 64 << 20
	DefaultMaxTTL         = 172800 * time.Second
	DefaultNegativeTTL    = time.Minute
	DefaultFailureTTL     = 5 * time.Second
	DefaultMaxStale       = 24 * time.Hour
	DefaultStaleAfter     = 1800 * time.Millisecond
	DefaultSkew           = 5 * time.Minute
	DefaultTimeout        = 8 * time.Second
	DefaultAttemptTimeout = 3 * time.Second
	DefaultMaxUpstream    = 64
	DefaultMaxPending     = 8192
)

func (c *Config) fill() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	def(&c.CacheBytes, DefaultCacheBytes)
	def(&c.MaxTTL, DefaultMaxTTL)
	def(&c.NegativeTTL, DefaultNegativeTTL)
	def(&c.FailureTTL, DefaultFailureTTL)
	def(&c.StaleAfter, DefaultStaleAfter)
	def(&c.Skew, DefaultSkew)
	def(&c.Timeout, DefaultTimeout)
	def(&c.AttemptTimeout, DefaultAttemptTimeout)
	def(&c.MaxUpstream, DefaultMaxUpstream)
	def(&c.MaxPending, DefaultMaxPending)
	switch {
	case c.MaxStale == 0:
		c.MaxStale = DefaultMaxStale
	case c.MaxStale < 0:
		c.MaxStale = 0
	}
}

func def[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Recursor is a record.Resolver and record.Appender that asks the world. It is for many goroutines.
type Recursor struct {
	c      Config
	local  record.Appender // Local's fast way, if it has one
	hints  *zone
	hinted map[netip.Addr]bool // the addresses that the operator chose

	answers  *otter.Cache[string, *entry]
	failures *otter.Cache[string, *failure]
	servers  servers
	stats    counters

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closed  bool
	flights map[string]*flight
}

var (
	_ record.Resolver = (*Recursor)(nil)
	_ record.Appender = (*Recursor)(nil)
)

// New makes a Recursor. Close it in the end. The error is of kind problem.BadRequest when Ask or Hints are missing.
func New(c Config) (*Recursor, error) {
	if c.Ask == nil {
		return nil, problem.New(problem.BadRequest, "a recursor needs something that asks servers: set Ask",
			"递归解析需要向服务器提问的途径：请设置 Ask")
	}
	hinted := make(map[netip.Addr]bool)
	for _, s := range c.Hints {
		for i := range s.Servers {
			hinted[s.Servers[i].Addr.Unmap()] = true
		}
	}
	if len(hinted) == 0 {
		return nil, problem.New(problem.BadRequest, "a recursor needs the root's servers to begin with: give it the HS_SITE values of 0.NA/0.NA",
			"递归解析须知道根节点的服务器：请提供 0.NA/0.NA 的 HS_SITE 值")
	}
	c.fill()
	r := &Recursor{c: c, hinted: hinted, flights: make(map[string]*flight)}
	r.local, _ = c.Local.(record.Appender)
	r.hints = rootHints(&c)
	var seed [16]byte
	if _, err := io.ReadFull(c.Rand, seed[:]); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the random source gave nothing; check the system's random device",
			"随机源没有输出；请检查系统随机设备")
	}
	var err error
	r.answers, err = otter.New(&otter.Options[string, *entry]{
		MaximumWeight: uint64(c.CacheBytes),
		Weigher:       func(key string, e *entry) uint32 { return e.weight(key) },
	})
	if err == nil {
		r.failures, err = otter.New(&otter.Options[string, *failure]{MaximumSize: maxFailures})
	}
	if err == nil {
		err = r.servers.init(mathrand.New(mathrand.NewPCG(binary.BigEndian.Uint64(seed[:]), binary.BigEndian.Uint64(seed[8:]))))
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the cache could not be made", "无法建立缓存")
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Close ends every look-up under way and waits for it. Later questions fail with problem.Canceled.
func (r *Recursor) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

// Resolve answers from the cache or by asking the world; see record.Resolver. It answers for everything: there are no
// referrals and no NotHere. What is not readable by everybody is not to be had here: NeedAuth for an anonymous asker,
// Forbidden for one who is known, since a proof of identity given to this node cannot be shown to another.
func (r *Recursor) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	r.stats.questions.Add(1)
	if !q.ID.IsValid() {
		return record.Answer{}, problem.New(problem.BadID, "an identifier is empty; write prefix/suffix, as in 88.118.1001/ENG-42",
			"标识为空；请写成 前缀/后缀，例如 88.118.1001/ENG-42")
	}
	if r.c.Local == nil && q.PublicOnly && !q.Authoritative && !q.Trace {
		if a, err, ok := r.quick(&q); ok {
			return a, err
		}
	}
	return r.search(ctx, q)
}

// quick answers from the cache what needs no search: no other name to follow, nothing to fetch.
func (r *Recursor) quick(q *record.Query) (record.Answer, error, bool) {
	e, ok := r.answers.GetIfPresent(q.ID.String())
	now := r.c.Now().Unix()
	if !ok || now >= e.expires || !e.ready && !e.absent || q.Certify && !e.signed || q.Depth > record.MaxDepth {
		return record.Answer{}, nil, false
	}
	r.stats.hits.Add(1)
	if e.absent {
		r.stats.negative.Add(1)
	}
	r.touch(e, now)
	a, err := e.answer(q)
	a.Source, a.Primary = "cache", false
	return a, err, true
}

func (r *Recursor) search(ctx context.Context, q record.Query) (record.Answer, error) {
	s := &search{r: r, ctx: ctx, q: &q, began: r.c.Now()}
	a, err := s.run()
	if q.Trace {
		a.Path = s.path()
	}
	return a, err
}

// search is one client's question on its way: a name, and behind each alias the next.
type search struct {
	r     *Recursor
	ctx   context.Context
	q     *record.Query
	began time.Time
	steps steps
	chain []string // the names so far
}

func (s *search) run() (record.Answer, error) {
	name := s.q.ID
	budget := newBudget(s.r.c.MaxUpstream)
	var sofar record.Answer // what the links of the chain have in common
	for {
		err := s.enter(name)
		if err != nil {
			return sofar, err
		}
		a, values, err := s.link(name, budget)
		if len(s.chain) > 1 {
			a.Trust, a.Stale = min(a.Trust, sofar.Trust), a.Stale || sofar.Stale
			if a.Expires.After(sofar.Expires) {
				a.Expires = sofar.Expires
			}
		}
		next, err2 := s.alias(values, err)
		if err2 != nil || !next.IsValid() {
			return a, first(err2, err)
		}
		name, sofar = next, record.Answer{Trust: a.Trust, Stale: a.Stale, Expires: a.Expires}
	}
}

// link asks for one name. values is where an alias would stand.
func (s *search) link(name id.ID, b *budget) (a record.Answer, values []record.Value, err error) {
	if a, values, err, ok := s.atHome(name); ok {
		return a, values, err
	}
	e, st, err := s.r.lookup(s, name, b, s.q.Depth+len(s.chain)-1)
	if err != nil {
		return record.Answer{}, nil, err
	}
	a, err = e.answer(s.q)
	if st != fetched {
		a.Source, a.Primary = "cache", false
	}
	if a.Stale = st == stale; a.Stale {
		a.Expires = s.r.c.Now().Add(staleTime)
	}
	return a, e.values, err
}

// enter puts name on the chain of this question.
func (s *search) enter(name id.ID) error {
	for _, c := range s.chain {
		if c == name.String() {
			return loop("HS_ALIAS", append(s.chain, c))
		}
	}
	s.chain = append(s.chain, name.String())
	if s.q.Depth+len(s.chain)-1 > record.MaxDepth {
		return tooDeep(s.chain)
	}
	return nil
}

// atHome asks the authoritative part of this node.
func (s *search) atHome(name id.ID) (a record.Answer, values []record.Value, err error, ok bool) {
	if s.r.c.Local == nil {
		return a, nil, nil, false
	}
	q := *s.q
	q.ID, q.NoReferral = name, false // a referral is looked up: told not to refer, it would say that there is nothing
	if name != s.q.ID {
		q.As = ""
	}
	began := s.r.c.Now()
	a, err = s.r.c.Local.Resolve(s.ctx, q)
	if problem.Is(err, problem.NotHere) || problem.Is(err, problem.Referral) || a.Referral != nil {
		return record.Answer{}, nil, nil, false
	}
	values = a.Values
	if problem.Is(err, problem.NoValues) && !q.All() {
		// What was asked for may stand under another name.
		q.Indexes, q.Types = nil, []string{record.TypeAlias}
		if b, err := s.r.c.Local.Resolve(s.ctx, q); err == nil {
			values = b.Values
		}
	}
	now := s.r.c.Now()
	if a.Expires.IsZero() {
		a.Expires = time.Unix(now.Unix()+s.r.life(a.Values, now.Unix()), 0)
	}
	s.steps.add(step{at: began, took: now.Sub(began), asked: "this node", name: name.String(), outcome: outcomeOf(len(a.Values), err), trust: a.Trust})
	return a, values, err, true
}

// alias is where the answer goes on, if the record has another name and nothing under this one was asked for.
func (s *search) alias(values []record.Value, err error) (id.ID, error) {
	if err != nil && !problem.Is(err, problem.NoValues) || !s.q.All() && err == nil {
		return id.ID{}, nil
	}
	for i := range values {
		v := &values[i]
		if !handle.Equal(v.Type, record.TypeAlias) {
			continue
		}
		next, err := id.Parse(string(v.Data))
		if err != nil {
			return id.ID{}, problem.Wrap(err, problem.Unreachable, "the alias in value %d of %s is no identifier; its owner must correct it",
				"%[2]s 的值 %[1]d 中的别名不是标识；请联系其所有者更正", v.Index, s.chain[len(s.chain)-1])
		}
		return next, nil
	}
	return id.ID{}, nil
}
