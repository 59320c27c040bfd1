package site

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Watched is a prefix whose primary a neighbour probes.
type Watched struct {
	Prefix string
	Sites  []Peer // of the prefix, as they list themselves
}

// Watcher is a probe that is no site of what it looks at: a node elsewhere, which the sites name among their Neighbours.
// Who the primary is, it hears from the sites. Fill the exported fields, mount Routes, and Run it.
type Watcher struct {
	Name    string
	Targets []Watched
	NodeKey *trust.PrivateKey // signs the judgements, which do not count without

	// Interval, Patience and Window are as in Config.
	Interval, Patience time.Duration
	Window             int

	Dial func(prefix string, p Peer) Door // over HTTPS if nil
	Now  func() time.Time                 // time.Now if nil

	once   sync.Once
	judges []*judge
}

func (w *Watcher) start() {
	w.once.Do(func() {
		if w.Interval <= 0 {
			w.Interval = time.Second
		}
		if w.Patience <= 0 {
			w.Patience = w.Interval / 2
		}
		if w.Window <= 0 {
			w.Window = 2
		}
		if w.Now == nil {
			w.Now = time.Now
		}
		if w.Dial == nil {
			w.Dial = func(prefix string, p Peer) Door {
				return Dial(record.Ref{Index: 300, Name: id.PrefixRecord(prefix).String()}, nil, p)
			}
		}
		for _, t := range w.Targets {
			j := &judge{}
			j.init(Config{Name: w.Name, Prefix: t.Prefix, Window: w.Window, Now: w.Now}, nil)
			w.judges = append(w.judges, j)
		}
	})
}

// Run probes until ctx ends, whose error it returns.
func (w *Watcher) Run(ctx context.Context) error {
	w.start()
	var wg sync.WaitGroup
	for i := range w.Targets {
		wg.Go(func() { w.watch(ctx, &w.Targets[i], w.judges[i]) })
	}
	wg.Wait()
	return ctx.Err()
}

func (w *Watcher) watch(ctx context.Context, t *Watched, j *judge) {
	doors := make([]Door, len(t.Sites))
	for i, p := range t.Sites {
		doors[i] = w.Dial(t.Prefix, p)
		defer doors[i].Close()
	}
	tick := time.NewTicker(w.Interval)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	var primary string
	var term uint64
	for {
		// Who is the primary: the site of the latest term that any of them speaks of.
		said := make([]Judgement, len(doors))
		var asked sync.WaitGroup
		short, cancel := context.WithTimeout(ctx, w.Patience)
		for i, d := range doors {
			asked.Go(func() { said[i], _ = d.Judgement(short, t.Prefix) })
		}
		asked.Wait()
		cancel()
		for _, s := range said {
			if s.Term > term && slices.ContainsFunc(t.Sites, func(p Peer) bool { return p.Name == s.Target }) {
				primary, term = s.Target, s.Term
			}
		}
		j.aim(primary, term)
		for i, p := range t.Sites {
			if p.Name != primary {
				continue
			}
			for what, f := range []func(context.Context) error{doors[i].Resolution, doors[i].Registration} {
				wg.Go(func() {
					short, cancel := context.WithTimeout(ctx, w.Patience*time.Duration(1+what))
					defer cancel()
					if err := working(f(short)); ctx.Err() == nil {
						j.found(primary, term, what, err)
					}
				})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Judgement is what the watcher holds of a prefix; ok is false when it does not look at it.
func (w *Watcher) Judgement(prefix string) (j Judgement, ok bool) {
	w.start()
	for i, t := range w.Targets {
		if strings.EqualFold(t.Prefix, prefix) {
			return w.judges[i].now(), true
		}
	}
	return j, false
}

// Routes gives the handler of /api/probes?prefix=…, nil for other paths. It is open to everybody.
func (w *Watcher) Routes(path string) http.Handler {
	if path != pathProbes {
		return nil
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "no-store")
		prefix := r.URL.Query().Get("prefix")
		j, ok := w.Judgement(prefix)
		if !ok {
			refuse(rw, r, http.StatusNotFound, problem.New(problem.NotFound, "nobody here probes %q: give a prefix that is looked at", "此处未探测 %q：请给出被探测的前缀", prefix))
			return
		}
		e, err := envelope(j, w.NodeKey)
		answer(rw, r, e, err)
	})
}
