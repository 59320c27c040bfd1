package account

import (
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Wrong log-ins make the next one wait: the first five do not, then 1 s, 2 s, 4 s, up to 15 minutes. It counts by the
// name that was tried, whether there is such an account or not, so that waiting tells nothing; log-in by passkey or
// elsewhere is not held up, so that a stranger cannot lock somebody out for good. Counts are in memory: they are for
// guessing over a network.
const (
	freeTries = 5
	maxWait   = 15 * time.Minute
	forget    = time.Hour
	maxTried  = 20_000
)

type tried struct {
	wrong int
	until time.Time // no sooner
	last  time.Time
}

type tries struct {
	now   func() time.Time
	mu    sync.Mutex
	names map[string]tried
}

// begin counts an attempt as wrong until good says otherwise, so that many at once do not get through together.
func (t *tries) begin(name string) error {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.names[name]
	if now.Before(x.until) {
		return problem.New(problem.Busy, "too many wrong attempts: try again in %d s", "错误次数过多：请在 %d 秒后重试", int((x.until.Sub(now)+time.Second-1)/time.Second))
	}
	if now.Sub(x.last) > forget {
		x = tried{}
	}
	x.wrong++
	x.last = now
	if over := x.wrong - freeTries; over >= 0 {
		x.until = now.Add(min(maxWait, time.Second<<min(over, 20)))
	}
	if t.names == nil {
		t.names = map[string]tried{}
	}
	t.names[name] = x
	t.trim(now)
	return nil
}

// good forgets what was wrong before.
func (t *tries) good(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.names, name)
}

// trim bounds the memory: what is over first, then those that wait least.
func (t *tries) trim(now time.Time) {
	if len(t.names) <= maxTried {
		return
	}
	for n, x := range t.names {
		if now.Sub(x.last) > forget {
			delete(t.names, n)
		}
	}
	for n, x := range t.names {
		if len(t.names) <= maxTried*3/4 {
			return
		}
		if x.wrong < freeTries {
			delete(t.names, n)
		}
	}
	for n := range t.names {
		if len(t.names) <= maxTried*3/4 {
			return
		}
		delete(t.names, n)
	}
}

// pending keeps what a log-in of several steps must remember between two of them, under a random code that is good
// once. A restart forgets it: the person begins anew.
type pending struct {
	now   func() time.Time
	mu    sync.Mutex
	steps map[string]step
}

const maxPending = 20_000

type step struct {
	kind  string // what the next step is: "totp", "oidc", "passkey", "ticket", …
	until time.Time
	value any
}

func (p *pending) put(code, kind string, life time.Duration, value any) error {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps == nil {
		p.steps = map[string]step{}
	}
	if len(p.steps) >= maxPending {
		for c, s := range p.steps {
			if !now.Before(s.until) {
				delete(p.steps, c)
			}
		}
		if len(p.steps) >= maxPending {
			return problem.New(problem.Busy, "too many log in at once: try again in a moment", "同时登录的人过多：请稍后再试")
		}
	}
	p.steps[code] = step{kind, now.Add(life), value}
	return nil
}

// take is what was put under code; it is gone afterwards.
func (p *pending) take(code, kind string) (any, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.steps[code]
	if !ok || s.kind != kind {
		return nil, false
	}
	delete(p.steps, code)
	return s.value, p.now().Before(s.until)
}

// peek is take that leaves it there.
func (p *pending) peek(code, kind string) (any, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.steps[code]
	if !ok || s.kind != kind || !p.now().Before(s.until) {
		return nil, false
	}
	return s.value, true
}
