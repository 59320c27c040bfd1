package flow

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trace/epcis"
)

const (
	home    = "88.118.1001"
	partner = "88.118.1002"
)

// paper is a record of the world.
type paper struct {
	template string
	values   map[string]string
	trust    string
}

// world stands in for a node around an engine: its records, its history, its codes. Its doors fail on command, before or after they have done what was asked.
type world struct {
	t        testing.TB
	store    store.Store
	programs []*Program
	engine   *Engine
	stop     func()

	mu       sync.Mutex
	now      time.Time
	papers   map[string]*paper // by epcis.Key
	captured []epcis.Event
	naming   map[string][]int // by epcis.Key: the events that name it
	byID     map[string]int   // how often an event was given
	done     map[string]int   // writes that took effect, by key
	codes    int
	roles    map[string][]string                                   // of somebody; nil: all
	away     map[string]error                                      // what Resolve says of an identifier
	shows    func(code, purpose string) (map[string]string, Shown) // what other enterprises answer to this one's own questions; nil: nothing more
	fail     func() (before, after error)
	rand     io.Reader
}

type chance struct{ r *rand.Rand }

func (c chance) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(c.r.Uint32())
	}
	return len(b), nil
}

func newWorld(t testing.TB, st store.Store, programs ...*Program) *world {
	w := &world{t: t, store: st, programs: programs, now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), papers: map[string]*paper{}, byID: map[string]int{}, naming: map[string][]int{}, done: map[string]int{}, roles: map[string][]string{}, away: map[string]error{}, rand: chance{rand.New(rand.NewPCG(1, 2))}}
	return w
}

// memoryWorld is a running world on a store in memory.
func memoryWorld(t testing.TB, programs ...*Program) *world {
	st := memory.New()
	w := newWorld(t, st, programs...)
	w.start()
	t.Cleanup(func() {
		w.stop()
		w.store.Close()
	})
	return w
}

func (w *world) config() Config {
	return Config{Store: w.store, Prefix: home, Programs: func() []*Program { return w.programs }, Resolve: w.resolve, Events: w.events, Write: w.write, Capture: w.capture, Take: w.take,
		May: func(_ context.Context, who api.Caller, _, role string) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			list, limited := w.roles[who.Ref.Name]
			return !limited || slices.Contains(list, role)
		}, Now: w.clock, Rand: w.rand}
}

func (w *world) start() {
	w.t.Helper()
	e, err := New(context.Background(), w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { e.Go(ctx); close(over) }()
	w.engine = e
	w.stop = func() { cancel(); <-over }
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
}

func (w *world) put(id, template string, values map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.papers[epcis.Key(id)] = &paper{template, values, "secure"}
}

// get is a property of a record.
func (w *world) get(id, name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.papers[epcis.Key(id)]
	if p == nil {
		return "(no record)"
	}
	return p.values[name]
}

func (w *world) resolve(_ context.Context, _ api.Caller, code, purpose string) (Found, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := epcis.Key(code)
	if err := w.away[key]; err != nil {
		return Found{}, err
	}
	p := w.papers[key]
	if p == nil {
		return Found{}, problem.New(problem.NotFound, "no record", "没有记录")
	}
	owner := prefixOf(code)
	f := Found{ID: code, Found: true, Here: owner == home, Owner: owner, Template: owner + "/META_" + strings.ToUpper(p.template), Trust: p.trust, Values: maps.Clone(p.values)}
	if purpose != "" && !f.Here {
		f.Shown = ShownAnswered
		if w.shows != nil {
			var more map[string]string
			more, f.Shown = w.shows(code, purpose)
			maps.Copy(f.Values, more)
		}
	}
	return f, nil
}

func (w *world) events(_ context.Context, thing, step string, last int) (out []*epcis.Event, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.naming[thing]
	for i := len(list) - 1; i >= 0 && len(out) < last; i-- {
		if e := &w.captured[list[i]]; step == "" || e.BizStep == step {
			out = append(out, e)
		}
	}
	return out, nil
}

// trouble is what a door meets this time.
func (w *world) trouble() (before, after error) {
	if w.fail == nil {
		return nil, nil
	}
	return w.fail()
}

func (w *world) capture(_ context.Context, _ record.Identity, events []epcis.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.trouble()
	if before != nil {
		return before
	}
	for _, e := range events {
		if w.byID[e.ID]++; w.byID[e.ID] == 1 {
			for _, n := range e.Names() {
				w.naming[epcis.Key(n)] = append(w.naming[epcis.Key(n)], len(w.captured))
			}
			w.captured = append(w.captured, e)
		}
	}
	return after
}

func (w *world) write(_ context.Context, _ record.Identity, writes []RecordWrite) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]error, len(writes))
	for i, x := range writes {
		before, after := w.trouble()
		if out[i] = before; before != nil {
			continue
		}
		if out[i] = w.one(x); out[i] == nil {
			out[i] = after
		}
	}
	return out
}

func (w *world) one(x RecordWrite) error {
	key := epcis.Key(x.ID)
	old := w.papers[key]
	wanted := func() bool {
		for k, v := range x.Values {
			have, there := old.values[k]
			if v == nil && there || v != nil && have != *v {
				return false
			}
		}
		return true
	}
	values := map[string]string{}
	switch {
	case x.Change:
		if old == nil {
			return problem.New(problem.NotFound, "%s has no record", "%s 没有记录", x.ID)
		}
		if wanted() {
			return nil
		}
		for k, v := range x.If {
			if old.values[k] != v {
				return problem.New(problem.Conflict, "%s is %s, not %s", "%s 为 %s，而非 %s", k, old.values[k], v)
			}
		}
		maps.Copy(values, old.values)
	case old != nil && x.IfAbsent:
		return nil
	case old != nil && !x.Over:
		if wanted() {
			return nil
		}
		return problem.New(problem.Conflict, "%s is registered already", "%s 已注册", x.ID)
	}
	for k, v := range x.Values {
		if v == nil {
			delete(values, k)
		} else {
			values[k] = *v
		}
	}
	template := x.Template
	if x.Change {
		template = old.template
	}
	w.papers[key] = &paper{template, values, "secure"}
	w.done[key]++
	return nil
}

func (w *world) take(_ context.Context, _ record.Identity, rule string, count int, _ string, _ time.Time) (out []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range count {
		w.codes++
		out = append(out, fmt.Sprintf("%s/%s-%06d", home, strings.ToUpper(rule), w.codes))
	}
	return out, nil
}

// caller is somebody of the enterprise.
func caller(name string) api.Caller {
	return api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 300, Name: home + "/" + name}}}
}

func boss() api.Caller {
	c := caller("BOSS")
	c.Roles = []api.Role{{Name: api.EnterpriseAdmin, Prefix: home}}
	return c
}

// scan does a scan that must be taken.
func (w *world) scan(who string, in Scan) *Result {
	w.t.Helper()
	r, err := w.engine.Scan(context.Background(), caller(who), in)
	if err != nil {
		w.t.Fatalf("%+v: %v", in, err)
	}
	return r
}

// wants does a scan that must come to a verdict, and whose words must hold some.
func (w *world) wants(v Verdict, words, who string, in Scan) *Result {
	w.t.Helper()
	r := w.scan(who, in)
	if r.Verdict != v || !strings.Contains(r.Say, words) {
		w.t.Fatalf("%s %+v: %s, %q; wanted %s, %q; %v", in.Code, in.Form, r.Verdict, r.Say, v, words, r.Explain)
	}
	if r.Say != "" && r.Text.ZH == "" {
		w.t.Errorf("%q is not said in Chinese", r.Say)
	}
	return r
}

// settled waits until all effects are done.
func (w *world) settled() {
	w.t.Helper()
	for range 10_000 {
		w.engine.out.Lock()
		n := len(w.engine.out.queue)
		w.engine.out.Unlock()
		if n == 0 {
			return
		}
		if _, err := w.engine.some(context.Background(), ""); err != nil && w.fail == nil {
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("the effects are never done")
}

// mails are all messages to a system.
func (w *world) mails(system string) []Mail {
	w.t.Helper()
	list, err := w.engine.Inbox(context.Background(), system, 0, 100_000, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// entries is the whole journal.
func (w *world) entries() []Entry {
	w.t.Helper()
	list, err := w.engine.After(context.Background(), 0, 1_000_000)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}
