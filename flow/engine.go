package flow

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Found is what is known of an identifier.
type Found struct {
	ID       string
	Found    bool
	Here     bool // of this enterprise
	Owner    string
	Template string // its identifier, with or without the version; empty without one
	Trust    string // secure, unsigned, unchecked, bogus
	Values   map[string]string
	// Shown is what became of asking its owner in this enterprise's name; empty when nobody was asked so.
	Shown Shown
}

// Shown is what an owner answered whom it knows.
type Shown string

// The answers. Behind all but the first, what anybody may see is all that is known.
const (
	ShownAnswered Shown = "answered"    // with what it shows this enterprise, which may be no more than it shows everybody
	ShownRefused  Shown = "refused"     // it does not take this enterprise for who it is, or shows it nothing
	ShownSilent   Shown = "unreachable" // its node did not answer in time
)

// Config is what an engine needs of the node.
type Config struct {
	Store  store.Store
	Prefix string
	// Programs are the flows that are installed now.
	Programs func() []*Program
	// Resolve looks an identifier up as who may see it. An absent one is no error; problem.BadID is a code that is no identifier; any other error: it cannot be asked now.
	// With a purpose the owner of another enterprise's thing is asked in this enterprise's name, for what it shows partners only; that it does not answer so is no error.
	Resolve func(ctx context.Context, who api.Caller, code, purpose string) (Found, error)
	// Events are the newest events of this enterprise that name a thing, the newest first; step may be empty.
	Events func(ctx context.Context, thing, step string, last int) ([]*epcis.Event, error)
	// Write does record writes in their order and answers each. It may be given one that it did before: that is done too. problem.Conflict: the condition of
	// a change does not hold, or something else is registered there.
	Write func(ctx context.Context, by record.Identity, writes []RecordWrite) []error
	// Capture keeps events, each once however often it is given them.
	Capture func(ctx context.Context, by record.Identity, events []epcis.Event) error
	// Take takes codes of a code rule: whole identifiers.
	Take func(ctx context.Context, by record.Identity, rule string, count int, class string, at time.Time) ([]string, error)
	// May reports whether somebody has a role of a solution.
	May func(ctx context.Context, who api.Caller, solution, role string) bool
	Now func() time.Time
	// Rand makes the names of runs. crypto/rand when nil.
	Rand io.Reader
	Log  *slog.Logger
}

// Limits.
const (
	maxBatch  = 1000 // scans of one batch
	maxAuto   = 20   // steps that do themselves, one behind the other
	maxValue  = 4000 // bytes of a field's value
	maxList   = 5000 // elements of a variable's list
	maxCode   = 2048
	groupSize = 500 // scans in one write
	skew      = 5 * time.Minute
	maxRun    = 512 << 10 // bytes of a run
)

// Engine runs flows. It is safe for concurrent use; Go must run beside it.
type Engine struct {
	cfg     Config
	locks   locks // by thing and run
	commits chan *unit
	life    struct {
		sync.Mutex
		over chan struct{} // closed when Go has ended: nothing is committed until it begins again
	}

	last struct {
		sync.Mutex
		journal, inbox, outbox uint64
		known                  atomic.Bool // changes under the lock
	}

	out struct {
		sync.Mutex
		queue  []*act         // in order
		keys   map[string]int // how many in queue touch a thing
		coming map[string]int // how many that are being written touch it: whoever can read what they are of finds them here, or in keys
		wake   chan struct{}
		gone   chan struct{} // closed when some are done
	}
	perform sync.Mutex // one performer at a time
	names   sync.Mutex

	news struct {
		sync.Mutex
		ch chan struct{} // closed when there is something new in the journal or an inbox
	}
}

// New opens an engine with what is under way. Go does its effects.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, check := range []func() error{runs.Check, journal.Check, tasks.Check, inbox.Check, outbox.Check} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	e := &Engine{cfg: cfg, commits: make(chan *unit, groupSize)}
	e.out.keys, e.out.coming = map[string]int{}, map[string]int{}
	e.out.wake = make(chan struct{}, 1)
	e.out.gone = make(chan struct{})
	e.news.ch = make(chan struct{})
	e.life.over = make(chan struct{})
	if err := e.reload(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// reload reads what waits to be done.
func (e *Engine) reload(ctx context.Context) error {
	e.perform.Lock()
	defer e.perform.Unlock()
	e.last.Lock()
	defer e.last.Unlock()
	e.last.known.Store(false)
	var queue []*act
	if err := outbox.Range(ctx, e.cfg.Store, store.Span{}, func(a act) error {
		queue = append(queue, &a)
		return nil
	}); err != nil {
		return err
	}
	// All at once: whoever looks whether a thing waits for effects never sees a queue that is only half there.
	e.out.Lock()
	defer e.out.Unlock()
	e.out.queue = queue
	clear(e.out.keys)
	for _, a := range queue {
		for _, k := range a.Keys {
			e.out.keys[k]++
		}
	}
	return nil
}

// Go does effects, timers and commits until ctx is done. Scans wait for it to begin. After it has ended it may be called again.
func (e *Engine) Go(ctx context.Context) error {
	if err := e.reload(ctx); err != nil {
		return err
	}
	e.life.Lock()
	select {
	case <-e.life.over:
		e.life.over = make(chan struct{})
	default:
	}
	over := e.life.over
	e.life.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(over)
	wg.Go(func() { e.performer(ctx) })
	wg.Go(func() { e.clock(ctx) })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-e.commits:
			e.group(ctx, u)
		}
	}
}

// locks are as many as there are things and runs at work now.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	sync.Mutex
	wanted int // by so many, who has it among them; guarded by locks.mu
}

// lock takes the locks of things and runs, in one order, and gives back how to let go. Each has a lock of its own: whoever has one waits for the disk meanwhile, and would make others wait
// that have nothing to do with it.
func (e *Engine) lock(keys ...string) func() {
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > 0 && keys[0] == "" {
		keys = keys[1:]
	}
	var room [3]*lock
	mine := room[:0]
	e.locks.mu.Lock()
	if e.locks.held == nil {
		e.locks.held = map[string]*lock{}
	}
	for _, k := range keys {
		l := e.locks.held[k]
		if l == nil {
			l = &lock{}
			e.locks.held[k] = l
		}
		l.wanted++
		mine = append(mine, l)
	}
	e.locks.mu.Unlock()
	for _, l := range mine {
		l.Lock()
	}
	return func() {
		for _, l := range mine {
			l.Unlock()
		}
		e.locks.mu.Lock()
		for i, l := range mine {
			if l.wanted--; l.wanted == 0 {
				delete(e.locks.held, keys[i])
			}
		}
		e.locks.mu.Unlock()
	}
}

// announce wakes those who wait for news.
func (e *Engine) announce() {
	e.news.Lock()
	close(e.news.ch)
	e.news.ch = make(chan struct{})
	e.news.Unlock()
}

func (e *Engine) waiting() <-chan struct{} {
	e.news.Lock()
	defer e.news.Unlock()
	return e.news.ch
}

func (e *Engine) name() (string, error) {
	b := make([]byte, 10)
	e.names.Lock() // a Reader need not be safe for concurrent use
	defer e.names.Unlock()
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		return "", problem.Wrap(err, problem.Internal, "there is no randomness to make a name from", "没有可用的随机数")
	}
	return hex.EncodeToString(b), nil
}

// program finds an installed flow.
func (e *Engine) program(name string) *Program {
	for _, p := range e.cfg.Programs() {
		if p.Name == name {
			return p
		}
	}
	return nil
}
