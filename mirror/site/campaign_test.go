package site_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// walls stand between sites: what one asks of another fails as when the line between them is down.
type walls struct {
	mu sync.Mutex
	up map[[2]string]bool
}

func (w *walls) set(a, b string, up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up == nil {
		w.up = map[[2]string]bool{}
	}
	w.up[[2]string{a, b}], w.up[[2]string{b, a}] = up, up
}

func (w *walls) between(a, b string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up[[2]string{a, b}] {
		return problem.New(problem.Unreachable, "there is a wall between %s and %s", "%s 与 %s 之间不通", a, b)
	}
	return nil
}

// walled is a Door that a wall may stand before. What is under way when it goes up gets through no more either.
type walled struct {
	site.Door
	w        *walls
	from, to string
}

func (d walled) State(ctx context.Context) (site.State, error) {
	if err := d.w.between(d.from, d.to); err != nil {
		return site.State{}, err
	}
	return d.Door.State(ctx)
}
func (d walled) Vote(ctx context.Context, b site.Ballot) (site.Vote, error) {
	if err := d.w.between(d.from, d.to); err != nil {
		return site.Vote{}, err
	}
	return d.Door.Vote(ctx, b)
}
func (d walled) Lead(ctx context.Context, st site.State) error {
	if err := d.w.between(d.from, d.to); err != nil {
		return err
	}
	return d.Door.Lead(ctx, st)
}
func (d walled) Records(ctx context.Context, ids []id.ID) ([]record.Entry, error) {
	if err := d.w.between(d.from, d.to); err != nil {
		return nil, err
	}
	return d.Door.Records(ctx, ids)
}
func (d walled) Resolution(ctx context.Context) error {
	if err := d.w.between(d.from, d.to); err != nil {
		return err
	}
	return d.Door.Resolution(ctx)
}
func (d walled) Registration(ctx context.Context) error {
	if err := d.w.between(d.from, d.to); err != nil {
		return err
	}
	return d.Door.Registration(ctx)
}
func (d walled) Feed(name string) record.Feed { return walledFeed{d.Door.Feed(name), d} }

type walledFeed struct {
	record.Feed
	d walled
}

func (f walledFeed) Changes(ctx context.Context, by record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	if err := f.d.w.between(f.d.from, f.d.to); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		t := time.NewTicker(5 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				if f.d.w.between(f.d.from, f.d.to) != nil {
					cancel()
					return
				}
			}
		}
	}()
	es, err := f.Feed.Changes(ctx, by, after, limit, values)
	if wall := f.d.w.between(f.d.from, f.d.to); wall != nil {
		return nil, wall
	}
	return es, err
}

// load writes all the time, wherever changes are taken, and remembers what was acknowledged.
type load struct {
	w     *world
	acked sync.Map // name → data
	n     atomic.Int64
	tried atomic.Int64
	stop  context.CancelFunc
	done  sync.WaitGroup
}

func (w *world) load(writers int) *load {
	l := &load{w: w}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	for i := range writers {
		l.done.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			var cs []record.Registrar
			for _, p := range w.sites {
				c := p.client()
				defer c.Close()
				cs = append(cs, c)
			}
			at := 0
			for k := 0; ctx.Err() == nil; k++ {
				var ws []record.Write
				for j := range 1 + rng.IntN(4) {
					ws = append(ws, put(fmt.Sprintf("88/W%d-%d-%d", i, k, j), fmt.Sprint("v", k)))
				}
				l.tried.Add(int64(len(ws)))
				short, cancel := context.WithTimeout(ctx, 3*time.Second)
				err := write(short, cs[at], ws...)
				cancel()
				if err != nil {
					at = (at + 1) % len(cs)
					wait(10 * time.Millisecond)
					continue
				}
				for _, x := range ws {
					l.acked.Store(x.ID.String(), string(x.Values[0].Data))
					l.n.Add(1)
				}
			}
		})
	}
	return l
}

// end stops the load and waits until every writer has stopped.
func (l *load) end() { l.stop(); l.done.Wait() }

// check counts what was acknowledged and is not there.
func (l *load) check(p *place) {
	l.w.t.Helper()
	r, _ := p.now()
	lost := 0
	l.acked.Range(func(name, data any) bool {
		a, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse(name.(string)), By: operator})
		if err != nil || string(a.Values[0].Data) != data.(string) {
			if lost++; lost < 10 {
				l.w.t.Errorf("%s was acknowledged and is not on %s: %v", name, p.name, err)
			}
		}
		return true
	})
	if lost > 0 {
		l.w.t.Errorf("%d of %d acknowledged changes are lost on %s", lost, l.n.Load(), p.name)
	}
}

// TestCampaign kills sites and cuts lines at random while changes are made, at most one site lost at a time, and looks for
// acknowledged changes that are gone.
func TestCampaign(t *testing.T) {
	rounds, seed := 5, uint64(1)
	if os.Getenv("FUJIE_SOAK") == "1" {
		rounds, seed = 200, uint64(time.Now().UnixNano())
	}
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var ws walls
	names := []string{"beijing", "wuhan", "guiyang"}
	w := newWorld(t, names, func(c *site.Config) {
		c.Interval, c.Patience, c.Wait = 60*time.Millisecond, 2*time.Second, 2*time.Second
		c.Dial = func(p site.Peer) site.Door {
			return walled{site.Dial(user, c.Key, p), &ws, c.Name, p.Name}
		}
	})
	w.start()
	w.home()
	l := w.load(3)
	defer l.end()
	for round := range rounds {
		before := l.n.Load()
		until(t, "changes are taken", func() bool { return l.n.Load() > before+20 })
		p := w.primary()
		if p == nil {
			continue
		}
		what := rng.IntN(4)
		switch what {
		case 0, 1: // the primary dies
			p.kill()
		case 2: // another site dies
			for p.name == w.primaryName() {
				p = w.sites[rng.IntN(len(w.sites))]
			}
			p.kill()
		case 3: // the primary lives on alone
			for _, n := range names {
				if n != p.name {
					ws.set(p.name, n, true)
				}
			}
		}
		at := l.n.Load()
		since := time.Now()
		until(t, fmt.Sprintf("changes are taken again in round %d (%d, %s)", round, what, p.name), func() bool { return l.n.Load() > at+10 })
		t.Logf("round %d: %s %s: %d changes in all; taken again after %v", round, p.name,
			[]string{"killed", "killed", "killed", "cut off"}[what], l.n.Load(), time.Since(since).Round(time.Millisecond))
		if what == 3 {
			for _, n := range names {
				ws.set(p.name, n, false)
			}
		} else {
			p.start()
		}
		// All must hold the same line again before the next is lost, or two would be.
		until(t, "all sites follow", func() bool { return w.whole() })
	}
	l.end()
	until(t, "one primary", func() bool { return w.primary() != nil })
	w.agree(names...)
	for _, p := range w.sites {
		l.check(p)
	}
	t.Logf("%d of %d changes acknowledged", l.n.Load(), l.tried.Load())
	if l.n.Load() == 0 {
		t.Error("nothing was written")
	}
}

func (w *world) primaryName() string {
	if p := w.primary(); p != nil {
		return p.name
	}
	return ""
}

// whole reports whether there is one primary that all others follow.
func (w *world) whole() bool {
	p := w.primary()
	if p == nil {
		return false
	}
	_, s := p.now()
	st, err := s.State(context.Background())
	if err != nil {
		return false
	}
	n := 0
	for _, f := range st.Followers {
		if f.Living {
			n++
		}
	}
	for _, o := range w.sites {
		_, s := o.now()
		if o != p && s.Role() != site.Mirror {
			return false
		}
	}
	return n == len(w.sites)-1
}
