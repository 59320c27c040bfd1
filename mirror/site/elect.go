package site

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Ballot asks for a vote.
type Ballot struct {
	Candidate string `json:"candidate"`
	Term      uint64 `json:"term"`    // that would begin
	From      uint64 `json:"from"`    // the term that the candidate is in
	Planned   bool   `json:"planned"` // people ask for it: the primary need not be lost, and steps down
	End       Step   `json:"end"`     // of the candidate's trail
}

// Vote is the answer to a Ballot.
type Vote struct {
	Granted bool   `json:"granted"`
	Term    uint64 `json:"term"` // the highest that the voter knows of or promised
	Reason  string `json:"reason,omitempty"`
	Trail   []Step `json:"trail,omitempty"` // of the voter, who does not move on
	Last    uint64 `json:"last,omitempty"`
}

// vote decides on another site's ballot. What it grants it keeps to, also after a crash.
func (s *Site) vote(ctx context.Context, b Ballot) (Vote, error) {
	if !s.turn.TryLock() {
		st, _ := s.get()
		return Vote{Term: max(st.Term, st.Promised), Reason: "busy with a change of its own"}, nil
	}
	defer s.turn.Unlock()
	st, role := s.get()
	no := func(reason string) (Vote, error) { return Vote{Term: max(st.Term, st.Promised), Reason: reason}, nil }
	again := b.Term == st.Promised && b.Candidate == st.To && b.Term > st.Term
	j := s.judge.now()
	switch {
	case s.ctx == nil:
		return no("not running")
	case b.Term <= st.Term || b.Term <= st.Promised && !again:
		return no("voted for another term already")
	case b.From < st.Term:
		return no("in a later term already")
	case role == Primary && !b.Planned && b.From == st.Term:
		return no("is the primary itself, and lives")
	case !b.Planned && !again && b.From == st.Term && b.Candidate != st.Primary && j.Target == st.Primary && j.Term == st.Term &&
		(j.Resolution != Unavailable && j.Registration != Unavailable):
		return no("does not see the primary down")
	}
	if role == Primary {
		s.cfg.Registry.SetReadOnly(true)
		s.track.reset()
	}
	s.halt()
	trail, last, err := s.trail(ctx)
	if err == nil && end(trail).Term > b.End.Term {
		err = problem.New(problem.Conflict, "holds a later term than the candidate", "持有比候选站点更新的任期")
	}
	if err == nil {
		st, _ = s.get()
		st.Promised, st.To = b.Term, b.Candidate
		err = s.save(ctx, st)
	}
	if err != nil {
		s.back(role)
		if problem.Is(err, problem.Conflict) {
			return no(err.Error())
		}
		return Vote{}, err
	}
	s.become(Fenced)
	s.hurry()
	s.cfg.Log.Info("the site gave its vote", "candidate", b.Candidate, "term", b.Term)
	return Vote{Granted: true, Term: b.Term, Trail: trail, Last: last}, nil
}

// back takes up again what the site did before. The turn is held.
func (s *Site) back(role Role) {
	switch role {
	case Primary:
		s.cfg.Registry.SetReadOnly(false)
	case Mirror:
		s.follow()
	}
}

// needed is how many votes, its own included, begin a term: more than half of the sites, so that no two begin the same
// one, and so many that one of the voters holds whatever Hold sites hold. Of two sites the other alone decides: with
// Hold 1 the lost one can acknowledge nothing without it.
func needed(sites, hold int) int {
	most := sites/2 + 1
	if sites <= 2 {
		most = 1
	}
	if hold == 0 {
		return most
	}
	return max(most, sites-1-hold+1)
}

// promote tries to begin a new term with this site as the primary. planned: people ask for it. alone: without enough
// votes, too, at the risk of losing what was acknowledged.
func (s *Site) promote(ctx context.Context, planned, alone bool) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	st, role := s.get()
	if s.ctx == nil {
		return problem.New(problem.Busy, "the site does not run: start its node", "站点未运行：请启动其节点")
	}
	term := max(st.Term, st.Promised) + 1
	for _, o := range s.others {
		o.mu.Lock()
		term = max(term, o.state.Term+1, o.state.Promised+1)
		o.mu.Unlock()
	}
	if role == Primary {
		// Its vote was asked for by somebody who did not win: it begins a new term itself.
		s.cfg.Registry.SetReadOnly(true)
		s.track.reset()
	}
	s.halt()
	mine, _, err := s.trail(ctx)
	if err != nil {
		s.back(role)
		return err
	}
	if end(mine).Partial {
		s.back(role)
		return problem.New(problem.Conflict, "this site is still copying everything: it cannot take over", "本站点仍在全量复制：无法接管")
	}
	st, _ = s.get()
	st.Promised, st.To = term, s.cfg.Name
	if err := s.save(ctx, st); err != nil {
		s.back(role)
		return err
	}
	s.become(Fenced)
	b := Ballot{Candidate: s.cfg.Name, Term: term, From: st.Term, Planned: planned, End: end(mine)}
	votes := make([]Vote, len(s.others))
	short, cancel := context.WithTimeout(ctx, max(s.cfg.Interval, time.Second))
	var wg sync.WaitGroup
	for i, o := range s.others {
		wg.Go(func() {
			v, err := o.door.Vote(short, b)
			if err != nil {
				v = Vote{Reason: err.Error()}
			}
			votes[i] = v
		})
	}
	wg.Wait()
	cancel()
	granted, best, reasons := 1, -1, ""
	for i, v := range votes {
		if !v.Granted {
			reasons += " " + s.others[i].Name + ": " + v.Reason + ";"
			continue
		}
		granted++
		if e := end(v.Trail); !e.Partial && ahead(e, end(mine)) && (best < 0 || ahead(e, end(votes[best].Trail))) {
			best = i
		}
	}
	if need := needed(len(s.cfg.Sites), s.cfg.Hold); granted < need && !alone {
		return problem.New(problem.Busy, "%d of %d votes that a take-over needs were given:%s", "接管需 %[2]d 票，仅得 %[1]d 票：%[3]s", granted, need, reasons)
	}
	if best >= 0 {
		if mine, err = s.fetch(ctx, s.others[best], mine, votes[best]); err != nil {
			return err
		}
	}
	last, err := s.cfg.Registry.Last(ctx)
	if err != nil {
		return err
	}
	if len(mine) > 0 {
		mine[len(mine)-1].Own = last
	}
	if err := s.save(ctx, state{Term: term, Primary: s.cfg.Name, Promised: term, To: s.cfg.Name, Trail: mine}); err != nil {
		return err
	}
	s.track.reset()
	s.cfg.Registry.SetReadOnly(false)
	s.become(Primary)
	s.stumble(nil)
	s.cfg.Log.Warn("this site took over", "term", term, "votes", granted, "from", st.Primary)
	for _, o := range s.others {
		s.lead(o)
	}
	s.hurry()
	return nil
}

// fetch copies what a voter holds and this site does not. It returns this site's trail then.
func (s *Site) fetch(ctx context.Context, from *other, mine []Step, v Vote) ([]Step, error) {
	theirs := end(v.Trail)
	p := join(mine, end(mine).Own, v.Trail)
	if p.anew {
		return nil, problem.New(problem.Conflict, "%s holds what cannot be joined to what is here: it must take over", "%s 所持内容无法与本站点衔接：应由其接管", from.Name)
	}
	feed := from.door.Feed("")
	for after := p.from; after < v.Last; {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		es, err := feed.Changes(short, operator, after, 2000, true)
		cancel()
		if err != nil {
			return nil, problem.Wrap(err, problem.KindOf(err), "what only %s holds cannot be fetched", "无法取得仅 %s 持有的内容", from.Name)
		}
		// Not a change more than the voter counted, or this site's numbers would say too much.
		if i := slices.IndexFunc(es, func(e record.Entry) bool { return e.Seq > v.Last }); i >= 0 {
			es = es[:i]
		}
		if len(es) == 0 || es[len(es)-1].Seq <= after {
			break
		}
		if err := s.cfg.Registry.Copy(ctx, noteName+" fetch", es, []byte{1}); err != nil {
			return nil, err
		}
		after = es[len(es)-1].Seq
	}
	s.cfg.Log.Info("fetched what another site held", "from", from.Name, "changes", v.Last-p.from)
	// What is held now is what the voter held. Of terms before, this site's own numbers hold.
	trail := slices.DeleteFunc(slices.Clone(mine), func(t Step) bool { return t.Term >= theirs.Term })
	return append(trail, Step{Term: theirs.Term, Seq: theirs.Seq, Mark: theirs.Mark, Loose: theirs.Loose || end(mine).Loose}), nil
}

// lead tells another site who the primary is.
func (s *Site) lead(o *other) {
	s.wg.Go(func() {
		s.mu.Lock()
		ctx := s.ctx
		s.mu.Unlock()
		if ctx == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, max(s.cfg.Interval, time.Second))
		defer cancel()
		st, err := s.State(ctx)
		if err != nil || st.Role != Primary {
			return
		}
		if err := o.door.Lead(ctx, st); err != nil {
			s.cfg.Log.Debug("a site could not be told of the primary", "peer", o.Name, "err", err)
		}
	})
}

// watch asks the others how they do, and acts on it, until ctx ends.
func (s *Site) watch(ctx context.Context) {
	asked := false
	var since time.Time // when the primary was found to be lost
	var next time.Time  // when this site may try to take over again
	var stuck int       // rounds in which others promised a later term than this primary's
	for ctx.Err() == nil {
		s.ask(ctx)
		if !asked {
			asked = true
			s.settle(ctx)
			close(s.ready)
		}
		st, role := s.get()
		quick := role == Fenced
		leader, promised := s.heard()
		now := s.cfg.Now()
		switch {
		case leader.Term > st.Term && leader.Term >= st.Promised:
			s.stumble(s.adopt(ctx, leader))
		case role == Primary:
			for _, o := range s.others {
				o.mu.Lock()
				behind := now.Sub(o.heard) < 2*s.cfg.Interval && (o.state.Term < st.Term || o.state.Role == Fenced && o.state.Promised <= st.Term)
				o.mu.Unlock()
				if behind {
					s.lead(o)
					quick = true
				}
			}
			if promised > st.Term {
				if stuck++; stuck > 2 && now.After(next) {
					stuck, next = 0, s.later(now)
					s.stumble(s.promote(ctx, false, false))
				}
			} else {
				stuck = 0
			}
			if s.cfg.Hold == 0 {
				s.renounce(ctx)
			}
		case s.lost(st) && !s.cfg.Manual:
			quick = true
			if since.IsZero() {
				since = now
			}
			if now.After(next) && now.Sub(since) >= s.patience(st) {
				if err := s.promote(ctx, false, false); err != nil {
					s.stumble(err)
					next = s.later(s.cfg.Now())
				}
				since = time.Time{}
			}
		default:
			since = time.Time{}
			if role == Mirror {
				s.stumble(nil)
			}
		}
		wait := s.cfg.Interval
		if _, role := s.get(); quick || role == Fenced { // it is waited for
			wait = max(s.cfg.Interval/10, 5*time.Millisecond)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-s.nudge:
		}
		t.Stop()
	}
}

// later is when to try again: half to one and a half intervals on, so that two do not try in step.
func (s *Site) later(now time.Time) time.Time {
	r := rand.Uint64()
	if s.cfg.Rand != nil {
		var b [8]byte
		if _, err := s.cfg.Rand.Read(b[:]); err == nil {
			r = uint64(b[0])<<8 | uint64(b[1])
		}
	}
	return now.Add(s.cfg.Interval/2 + time.Duration(r%1024)*s.cfg.Interval/1024)
}

// patience is how long this site leaves the taking over to those before it: none when none of them lives.
func (s *Site) patience(st state) time.Duration {
	n := 0
	for _, p := range s.cfg.Sites[:s.me] {
		for _, o := range s.others {
			if o.Name != p.Name || o.Name == st.Primary {
				continue
			}
			o.mu.Lock()
			if o.err == nil && !end(o.state.Trail).Partial {
				n++
			}
			o.mu.Unlock()
		}
	}
	return time.Duration(n) * s.cfg.Interval
}

// ask asks every other site for its state, and waits for the answers, not for long.
func (s *Site) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	var wg sync.WaitGroup
	for _, o := range s.others {
		wg.Go(func() {
			st, err := o.door.State(ctx)
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.err = err; err == nil {
				o.state, o.heard = st, s.cfg.Now()
			}
		})
	}
	wg.Wait()
}

// heard is the primary of the latest term among the others, and the latest term that any of them promised.
func (s *Site) heard() (leader State, promised uint64) {
	for _, o := range s.others {
		o.mu.Lock()
		if o.err == nil {
			promised = max(promised, o.state.Promised, o.state.Term)
			if o.state.Role == Primary && o.state.Term > leader.Term {
				leader = o.state
			}
		}
		o.mu.Unlock()
	}
	return leader, promised
}

// settle is the first look around of a site that was the primary when it last ran: with nobody needed to hold its
// changes, it must not begin to acknowledge before it has seen that it still is.
func (s *Site) settle(ctx context.Context) {
	st, role := s.get()
	if role != Primary {
		return
	}
	if leader, _ := s.heard(); leader.Term > st.Term {
		return // it is adopted right away
	}
	if s.cfg.Hold == 0 {
		s.renounce(ctx)
	}
}

// renounce stops a primary that nobody needs to hold changes for, once the delegation names another.
func (s *Site) renounce(ctx context.Context) {
	if s.cfg.Named == nil {
		return
	}
	s.mu.Lock()
	published := s.published
	s.mu.Unlock()
	st, _ := s.get()
	if st.Term > 1 && !published {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Interval)
	defer cancel()
	named, err := s.cfg.Named(ctx)
	if err != nil || named {
		return
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if now, role := s.get(); role != Primary || now.Term != st.Term {
		return
	}
	s.cfg.Registry.SetReadOnly(true)
	s.track.reset()
	s.become(Fenced)
	s.stumble(problem.New(problem.ReadOnly, "the delegation of %s names another primary: this one takes no changes until it has found it", "%s 的授权已指向其他主站点：本站点停止接受更改，待联系到新的主站点", s.cfg.Prefix))
}

// publish has the delegation name this site while it is the primary.
func (s *Site) publish(ctx context.Context) {
	t := time.NewTicker(max(s.cfg.Interval/4, 10*time.Millisecond))
	defer t.Stop()
	done := uint64(1) // the first term's primary is named from the beginning
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		st, role := s.get()
		if role != Primary || st.Term <= done && st.Term != 1 || s.cfg.Now().Before(next) {
			continue
		}
		if st.Term > done && s.cfg.Publish != nil {
			short, cancel := context.WithTimeout(ctx, 5*time.Second)
			err := s.cfg.Publish(short)
			cancel()
			if err != nil {
				s.cfg.Log.Warn("the delegation does not name this primary yet", "err", err)
				next = s.cfg.Now().Add(s.cfg.Interval)
				continue
			}
		}
		done = st.Term
		s.mu.Lock()
		s.published = true
		s.mu.Unlock()
	}
}

var _ record.Feed = told{}
