package site

import (
	"context"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Verdict is what a probe finds of a service.
type Verdict string

const (
	Unknown     Verdict = "unknown" // not looked often enough yet
	Available   Verdict = "available"
	Unavailable Verdict = "unavailable"
)

// Judgement is what a probe says of the primary of a prefix.
type Judgement struct {
	Probe        string    `json:"probe"`  // who says it
	Prefix       string    `json:"prefix"` // of what
	Target       string    `json:"target"` // of which site
	Term         uint64    `json:"term"`
	Resolution   Verdict   `json:"resolution"`
	Registration Verdict   `json:"registration"`
	At           time.Time `json:"at"`              // of the last probe
	Cause        string    `json:"cause,omitempty"` // why the last probe that failed did
}

// quorumPercent is the share of the probes that must judge a service unavailable (china.md §1.6, annex 4).
const quorumPercent = 51

// judge is this site as a probe, and what neighbours found.
type judge struct {
	name, prefix string
	window       int
	clock        func() time.Time
	neighbours   []*neighbour

	mu      sync.Mutex
	target  string
	term    uint64
	results [2][]bool // resolution, registration: whether it worked, the latest last
	at      time.Time
	cause   string
}

type neighbour struct {
	Peer
	door Door
	busy chan struct{}

	mu    sync.Mutex
	said  Judgement
	heard time.Time
}

func (j *judge) init(cfg Config, dial func(Peer) Door) {
	j.name, j.prefix, j.window, j.clock = cfg.Name, cfg.Prefix, cfg.Window, cfg.Now
	for _, p := range cfg.Neighbours {
		j.neighbours = append(j.neighbours, &neighbour{Peer: p, door: dial(p), busy: make(chan struct{}, 1)})
	}
}

func (j *judge) close() {
	for _, n := range j.neighbours {
		n.door.Close()
	}
}

// aim says whom the next results are about; those of another are forgotten.
func (j *judge) aim(target string, term uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.target != target || j.term != term {
		j.target, j.term, j.results, j.cause = target, term, [2][]bool{}, ""
	}
}

// found notes a result.
func (j *judge) found(target string, term uint64, what int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.target != target || j.term != term {
		return
	}
	j.at = j.clock()
	if err != nil {
		j.cause = err.Error()
	}
	j.results[what] = append(j.results[what], err == nil)
	if n := len(j.results[what]); n > j.window {
		j.results[what] = j.results[what][n-j.window:]
	}
}

func (j *judge) verdict(what int) Verdict {
	ok := j.results[what]
	for _, yes := range ok {
		if yes {
			return Available
		}
	}
	if len(ok) < j.window {
		return Unknown
	}
	return Unavailable
}

// now is the judgement at this moment.
func (j *judge) now() Judgement {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := Judgement{Probe: j.name, Prefix: j.prefix, Target: j.target, Term: j.term, At: j.at, Resolution: j.verdict(0), Registration: j.verdict(1)}
	if v.Resolution == Unavailable || v.Registration == Unavailable {
		v.Cause = j.cause
	}
	return v
}

// working is nil when the outcome of a probe shows that the service works: an answer, or one that tells that there is
// nothing.
func working(err error) error {
	switch problem.KindOf(err) {
	case problem.Unreachable, problem.Canceled, problem.Internal, problem.Busy, problem.ReadOnly, problem.Full, problem.Bogus,
		problem.NotHere, problem.Unsupported:
		return err
	}
	return nil
}

// probe looks at the primary, each interval, until ctx ends. What failed is looked at again after half of one.
func (s *Site) probe(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		begun := time.Now()
		st, _ := s.get()
		s.judge.aim(st.Primary, st.Term)
		for _, o := range s.others {
			if o.Name != st.Primary {
				continue
			}
			for what, f := range []func(context.Context) error{o.door.Resolution, o.door.Registration} {
				wg.Go(func() {
					short, cancel := context.WithTimeout(ctx, s.cfg.Patience*time.Duration(1+what))
					defer cancel()
					err := working(f(short))
					if ctx.Err() != nil {
						return
					}
					s.judge.found(st.Primary, st.Term, what, err)
					if err != nil {
						s.hurry()
						select {
						case s.again <- struct{}{}:
						default:
						}
					}
				})
			}
		}
		for _, n := range s.judge.neighbours {
			select {
			case n.busy <- struct{}{}:
			default:
				continue
			}
			wg.Go(func() {
				defer func() { <-n.busy }()
				n.ask(ctx, s.cfg)
			})
		}
		t := time.NewTimer(s.cfg.Interval)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-s.again:
			t.Reset(max(0, s.cfg.Interval/2-time.Since(begun)))
			select {
			case <-ctx.Done():
			case <-t.C:
			}
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func (n *neighbour) ask(ctx context.Context, cfg Config) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Interval)
	defer cancel()
	v, err := n.door.Judgement(ctx, cfg.Prefix)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		n.said, n.heard = v, cfg.Now()
	}
}

// hurry has the site look at once.
func (s *Site) hurry() {
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// lost reports whether enough probes judge the primary unavailable.
func (s *Site) lost(st state) bool {
	judgements := []Judgement{s.judge.now()}
	fresh := 3 * s.cfg.Interval
	for _, o := range s.others {
		if o.Name == st.Primary {
			continue
		}
		o.mu.Lock()
		if s.cfg.Now().Sub(o.heard) < fresh {
			judgements = append(judgements, o.state.Judgement)
		}
		o.mu.Unlock()
	}
	for _, n := range s.judge.neighbours {
		n.mu.Lock()
		// A neighbour does not know of terms.
		if j := n.said; s.cfg.Now().Sub(n.heard) < fresh {
			j.Term = st.Term
			judgements = append(judgements, j)
		}
		n.mu.Unlock()
	}
	probes := len(s.cfg.Sites) - 1 + len(s.judge.neighbours)
	return judged(judgements, probes, st)
}

// judged is the rule: at least 51 % of all probes judge resolution, or registration, unavailable.
func judged(judgements []Judgement, probes int, st state) bool {
	var resolution, registration int
	for _, j := range judgements {
		if j.Target != st.Primary || j.Term != st.Term {
			continue
		}
		if j.Resolution == Unavailable {
			resolution++
		}
		if j.Registration == Unavailable {
			registration++
		}
	}
	return probes > 0 && max(resolution, registration)*100 >= quorumPercent*probes
}
