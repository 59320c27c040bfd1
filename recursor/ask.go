package recursor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Limits of one round of questions.
const (
	maxTries = 10 // servers and interfaces asked before giving up
	maxOpen  = 3  // of these at the same time
)

// try is one way to ask one server.
type try struct {
	site   *site
	server *record.Server
	at     record.Endpoint
	rest   bool // it failed of late
	lame   bool // it lately said that it does not answer for this
	cost   int
}

// outcome is what a round of questions came to: an entry, a referral, or an error.
type outcome struct {
	entry     *entry
	referral  *record.Referral
	certified bool // the referral came in a signed message
	err       error
}

// tries lists whom to ask about name, best first: the server that the hash picks at each site, sites by the time their
// answer is expected to take, the ways into a server after one another, and those that failed of late last.
func (r *Recursor) tries(sites []*site, zone string, name id.ID, primary bool, now time.Time) (list []try, refused []string) {
	type row struct {
		tries []try
		score time.Duration
		rest  bool
	}
	if primary && slices.ContainsFunc(sites, (*site).isPrimary) {
		sites = slices.DeleteFunc(slices.Clone(sites), func(s *site) bool { return !s.isPrimary() })
	}
	rows := make([]row, 0, len(sites))
	for _, s := range sites {
		v := s.Pick(name.String())
		if v == nil {
			continue
		}
		if !r.mayAsk(v.Addr) {
			refused = append(refused, v.Addr.String())
			continue
		}
		var w row
		for _, e := range v.Endpoints(false) {
			score, rest := r.servers.score(at(e), now)
			lame := r.servers.isLame(at(e), zone, now)
			if len(w.tries) == 0 || w.rest && !(rest || lame) {
				w.score, w.rest = score, rest || lame
			}
			w.tries = append(w.tries, try{site: s, server: v, at: e, rest: rest, lame: lame})
		}
		if len(w.tries) > 0 {
			slices.SortStableFunc(w.tries, func(a, b try) int { return bools(a.rest || a.lame, b.rest || b.lame) })
			rows = append(rows, w)
		}
	}
	r.servers.shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(bools(a.rest, b.rest), cmp.Compare(a.score, b.score))
	})
	if i := r.servers.explore(len(rows)); i > 0 && !rows[i].rest {
		rows[0], rows[i] = rows[i], rows[0]
	}
	// Another way into a site counts as much as the second next site: one whose UDP is blocked costs little so.
	for i, w := range rows {
		for k, t := range w.tries {
			t.cost = i + 2*k
			list = append(list, t)
		}
	}
	slices.SortStableFunc(list, func(a, b try) int {
		return cmp.Or(bools(a.rest || a.lame, b.rest || b.lame), cmp.Compare(a.cost, b.cost))
	})
	seen := make(map[spot]bool, len(list))
	list = slices.DeleteFunc(list, func(t try) bool {
		was := seen[at(t.at)]
		seen[at(t.at)] = true
		return was
	})
	if len(list) > maxTries {
		// One primary at least stays, to ask about new records.
		primary := func(t try) bool { return t.site.isPrimary() }
		if i := slices.IndexFunc(list, primary); i >= maxTries {
			list[maxTries-1] = list[i]
		}
		list = list[:maxTries]
	}
	return list, refused
}

func (s *site) isPrimary() bool { return s.Primary || s.MultiPrimary }

func bools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// reply is what one try brought.
type reply struct {
	try    int
	answer record.Answer
	err    error
	at     time.Time
	took   time.Duration
}

// inquiry is one round of questions under way.
type inquiry struct {
	r       *Recursor
	a       asker
	by      *authority
	name    id.ID
	h       how
	list    []try
	absent  *entry // what a mirror says, until a primary has confirmed it
	bogus   error
	trouble []string // what the others said, for people
	spent   error    // the budget was
	lame    []*record.Server
}

// inquire asks the sites about name until one answer can be believed. A server that is late is not given up at once:
// the next is asked beside it.
func (r *Recursor) inquire(a asker, by *authority, sites []*site, name id.ID, h how) outcome {
	list, refused := r.tries(sites, by.name, name, h.authoritative, r.c.Now())
	q := &inquiry{r: r, a: a, by: by, name: name, h: h, list: list}
	if len(list) == 0 {
		return outcome{err: q.nobody(refused)}
	}
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	replies := make(chan reply, len(list))
	next, open := 0, 0
	late := time.NewTimer(time.Hour)
	defer late.Stop()
	launch := func() bool {
		for next < len(list) && !q.worth(&list[next]) {
			next++
		}
		if next >= len(list) || open >= maxOpen || ctx.Err() != nil {
			return false
		}
		if !a.budget.take() {
			next, q.spent = len(list), a.budget.spent(name)
			return false
		}
		r.wg.Add(1)
		go r.question(ctx, next, list[next].at, q.query(), replies)
		late.Reset(r.servers.patience(at(list[next].at)))
		next++
		open++
		return true
	}
	launch()
	for open > 0 {
		select {
		case <-late.C:
			launch()
		case p := <-replies:
			open--
			if o, done := q.judge(p); done {
				return o
			}
			launch()
		}
	}
	return q.verdict(refused)
}

// worth reports whether a try may still help: another way into a server that does not answer for the name does not, and
// once a mirror has called it absent only a primary does.
func (q *inquiry) worth(t *try) bool {
	return !slices.Contains(q.lame, t.server) && (q.absent == nil || t.site.isPrimary())
}

// setLame notes that a server does not answer for what it was asked, over whatever protocol.
func (q *inquiry) setLame(t *try, now time.Time) {
	q.lame = append(q.lame, t.server)
	for _, e := range t.server.Endpoints(false) {
		q.r.servers.setLame(at(e), q.by.name, now)
	}
}

func (q *inquiry) query() record.Query {
	return record.Query{
		ID: q.name, PublicOnly: !q.h.hidden, Authoritative: q.h.authoritative,
		Certify: q.h.certify || q.by.trust == record.Secure, Depth: q.a.depth + 1,
	}
}

// question puts q to one server and measures how long the answer takes.
func (r *Recursor) question(ctx context.Context, n int, e record.Endpoint, q record.Query, replies chan<- reply) {
	defer r.wg.Done()
	ctx, cancel := context.WithTimeout(ctx, r.c.AttemptTimeout)
	defer cancel()
	r.stats.upstream.Add(1)
	began := r.c.Now()
	a, err := r.c.Ask.Ask(ctx, e, q)
	now := r.c.Now()
	took := now.Sub(began)
	switch k := problem.KindOf(err); {
	case err != nil && errors.Is(context.Cause(ctx), context.Canceled):
		// Another server was faster. This one had its time, or had not.
		r.servers.late(at(e), took, now)
	case err != nil && (k == problem.Unreachable || k == problem.Canceled || k == problem.Busy || k == problem.Internal):
		r.stats.unanswered.Add(1)
		r.servers.silent(at(e), now)
	default:
		r.servers.heard(at(e), took, now)
	}
	replies <- reply{n, a, err, began, took}
}

// judge decides what one reply is worth.
func (q *inquiry) judge(p reply) (outcome, bool) {
	r, t := q.r, &q.list[p.try]
	now := r.c.Now()
	st := step{at: p.at, took: p.took, asked: t.at.String(), name: q.name.String(), outcome: outcomeOf(len(p.answer.Values), p.err)}
	defer func() { q.a.steps.add(st) }()
	kind := problem.KindOf(p.err)
	switch f := p.answer.Referral; {
	case f != nil && (p.err == nil || kind == problem.Referral || kind == problem.NotHere || kind == problem.NotFound):
		if q.by.trust == record.Secure && !(p.answer.Certified && t.site.proven) {
			err := problem.New(problem.Bogus, "the referral to %s is not signed by the server, though %s signs all it answers", "转介到 %s 的答复未经服务器签名，而 %s 的答复均应签名", cmp.Or(f.Name, "other servers"), q.by.name)
			st.outcome = "bogus: " + err.EN
			q.reject(t, err)
			return outcome{}, false
		}
		st.outcome = "referred to " + cmp.Or(f.Name, "other servers")
		return outcome{referral: f, certified: p.answer.Certified && t.site.proven}, true
	case p.err == nil && len(p.answer.Values) > 0:
		e, err := q.believe(t, &p.answer, now)
		if err != nil {
			st.outcome = "bogus: " + problem.Say(err, problem.English)
			q.reject(t, err)
			return outcome{}, false
		}
		st.trust = e.trust
		return outcome{entry: e}, true
	case p.err == nil || kind == problem.NotFound || kind == problem.NoValues:
		if q.by.trust == record.Secure && !(p.answer.Certified && t.site.proven) {
			err := problem.New(problem.Bogus, "that %s has no record is not signed by the server, though %s signs all it answers", "服务器称 %s 无记录，但未签名，而 %s 的答复均应签名", q.name, q.by.name)
			st.outcome = "bogus: " + err.EN
			q.reject(t, err)
			return outcome{}, false
		}
		st.trust = q.by.trust
		e := r.none(q.name, kind == problem.NotFound && p.err != nil, t, &p.answer, q.by, now)
		if p.answer.Primary || t.site.isPrimary() || !q.primaryLeft(p.try) {
			return outcome{entry: e}, true
		}
		// A mirror may not have heard of a new record yet.
		q.absent = e
		st.outcome += ", says a mirror"
		return outcome{}, false
	case kind == problem.NeedAuth || kind == problem.Forbidden || kind == problem.NotAdmin:
		if q.h.hidden {
			return outcome{err: problem.Wrap(p.err, problem.NeedAuth, "%s has values that are not public", "%s 有非公开的值", q.name)}, true
		}
	case kind == problem.NotHere:
		st.outcome = "lame: it does not answer for this"
		q.setLame(t, now)
	case kind == problem.StaleSite:
		// It moved on and we have not: the delegation is fetched anew when all the others say so too.
		st.outcome = "its site information is newer than the delegation"
		q.setLame(t, now)
	}
	q.trouble = append(q.trouble, t.at.String()+": "+st.outcome)
	return outcome{}, false
}

// believe checks the values that came.
func (q *inquiry) believe(t *try, an *record.Answer, now time.Time) (*entry, error) {
	// What a careless server shows to everybody is not ours to spread.
	hidden := func(v record.Value) bool { return v.Perm&record.PublicRead == 0 }
	careless := slices.ContainsFunc(an.Values, hidden)
	if careless {
		an.Values = slices.DeleteFunc(slices.Clone(an.Values), hidden)
	}
	if len(an.Values) == 0 {
		return nil, problem.New(problem.Bogus, "nothing that came of %s is public", "%s 返回的内容均非公开", q.name)
	}
	if err := sane(q.name, an.Values); err != nil {
		return nil, err
	}
	p, err := q.r.prove(q.by, q.name, an.Values, now)
	if err != nil {
		return nil, err
	}
	e, err := q.r.make(q.name, q.h, t, an, q.by, p, now)
	if err != nil {
		return nil, err
	}
	e.open = e.open && !careless
	return e, nil
}

// sane is what must hold of any record, whoever signed it. It asks for less than registries do, since others' are older.
func sane(name id.ID, values []record.Value) error {
	size := 4
	seen := make(map[uint32]bool, len(values))
	for i := range values {
		v := &values[i]
		size += v.Size()
		if seen[v.Index] {
			return problem.New(problem.Bogus, "the record %s has two values with index %d", "记录 %s 有两个索引为 %d 的值", name, v.Index)
		}
		seen[v.Index] = true
	}
	if len(values) > record.MaxValues || size > record.MaxBlock {
		return problem.New(problem.Bogus, "the record %s has %d values in %d bytes, more than one message carries", "记录 %s 有 %d 个值、%d 字节，超过一条消息可承载的量", name, len(values), size)
	}
	return nil
}

func (q *inquiry) reject(t *try, err error) {
	q.r.stats.rejected.Add(1)
	q.bogus = first(q.bogus, problem.Wrap(err, problem.Bogus, "the answer of %s about %s is bogus and is not shown", "%s 关于 %s 的答复不可信，不予显示", t.at, q.name))
}

// primaryLeft reports whether a primary that does not rest stands behind the n-th try.
func (q *inquiry) primaryLeft(n int) bool {
	return slices.ContainsFunc(q.list, func(t try) bool { return t.site.isPrimary() && !t.rest && !t.lame && at(t.at) != at(q.list[n].at) })
}

// verdict is what the round came to when no single reply decided it.
func (q *inquiry) verdict(refused []string) outcome {
	switch {
	case q.absent != nil:
		return outcome{entry: q.absent}
	case q.bogus != nil:
		return outcome{err: q.bogus}
	case q.spent != nil:
		return outcome{err: q.spent}
	case q.a.ctx.Err() != nil:
		return outcome{err: problem.New(problem.Unreachable, "time was up before a server of %s answered about %s; try again later", "%s 的服务器未能及时答复 %s；请稍后再试", q.by.name, q.name)}
	}
	return outcome{err: q.nobody(refused)}
}

func (q *inquiry) nobody(refused []string) error {
	switch {
	case len(q.trouble) == 0 && len(refused) > 0:
		return problem.New(problem.Unreachable, "%s delegates to %s, where this node does not ask: private and loopback addresses are refused unless the configuration allows them",
			"%s 委派到 %s，本节点不向此类地址提问：除非配置允许，否则拒绝私有地址和环回地址", q.by.name, strings.Join(refused, ", "))
	case len(q.trouble) == 0:
		return problem.New(problem.Unreachable, "no server of %s takes questions about %s; its HS_SITE values need a server with a query interface", "%s 没有可查询 %s 的服务器；其 HS_SITE 值须含有提供查询接口的服务器", q.by.name, q.name)
	}
	return problem.New(problem.Unreachable, "none of the servers of %s gave an answer about %s (%s); try again later or tell their operator",
		"%s 的服务器均未答复 %s（%s）；请稍后再试或联系其运营者", q.by.name, q.name, strings.Join(q.trouble[:min(3, len(q.trouble))], "; "))
}
