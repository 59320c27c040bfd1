package office

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// gates refuse writes under prefixes that are on their way to another node, for the last moments of the move. Closing
// one waits for the writes that are under way, so that what comes behind is everything.
type gates struct {
	mu     sync.Mutex
	closed map[string]time.Time // folded prefix → until when
	under  *sync.WaitGroup      // the writes that began since a gate was closed last

	closing sync.Mutex // one at a time, so that there are no older writes than those of under when the next begins
}

// forever is until the move is over.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// enter is called before a write: what is closed, and what to call behind it. A write that begins within another one
// does not wait for it.
func (g *gates) enter() (closed map[string]time.Time, leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.under == nil {
		g.under = &sync.WaitGroup{}
	}
	g.under.Add(1)
	return g.closed, g.under.Done
}

// change puts another set of closed gates in the place of the old one, which writers may be looking at. mu is held.
func (g *gates) change(f func(closed map[string]time.Time)) {
	next := make(map[string]time.Time, len(g.closed)+1)
	maps.Copy(next, g.closed)
	f(next)
	g.closed = next
}

// close refuses writes under prefix until then.
func (g *gates) close(prefix string, until time.Time) {
	g.closing.Lock()
	defer g.closing.Unlock()
	g.mu.Lock()
	g.change(func(m map[string]time.Time) { m[prefix] = until })
	old := g.under
	g.under = nil
	g.mu.Unlock()
	if old != nil {
		old.Wait()
	}
}

// open lets writes in again.
func (g *gates) open(prefix string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.change(func(m map[string]time.Time) { delete(m, prefix) })
}

// shut reports whether writes under prefix are refused for good.
func (g *gates) shut(prefix string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed[prefix].Equal(forever)
}

// Guard is next, but for writes under prefixes that are being moved away: they are refused with problem.Busy until the
// move is done, after which resolution says where to write. The node puts it before its registry, behind nothing of the office's own.
func (o *Office) Guard(next record.Registrar) record.Registrar { return &guard{o, next} }

type guard struct {
	o    *Office
	next record.Registrar
}

// Write is record.Registrar's.
func (g *guard) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	closed, leave := g.o.gates.enter()
	defer leave()
	if len(closed) == 0 {
		return g.next.Write(ctx, by, writes)
	}
	now := g.o.cfg.Now()
	refused := 0
	shut := make([]bool, len(writes))
	for i := range writes {
		if !writes[i].ID.IsValid() {
			continue
		}
		if until, ok := closed[writes[i].ID.Prefix()]; ok && now.Before(until) {
			shut[i] = true
			refused++
		}
	}
	if refused == 0 {
		return g.next.Write(ctx, by, writes)
	}
	pass := make([]record.Write, 0, len(writes)-refused)
	for i := range writes {
		if !shut[i] {
			pass = append(pass, writes[i])
		}
	}
	var done []record.Result
	if len(pass) > 0 {
		var err error
		if done, err = g.next.Write(ctx, by, pass); err != nil {
			return nil, err
		}
	}
	out := make([]record.Result, len(writes))
	for i := range writes {
		if shut[i] {
			out[i] = record.Result{ID: writes[i].ID, Err: problem.New(problem.Busy, "the records under %s are being moved to another node; write again in a moment, to the node that its prefix record then names",
				"%s 下的记录正在迁移到另一节点；请稍后向其前缀记录所指的节点写入", writes[i].ID.Prefix())}
			continue
		}
		out[i], done = done[0], done[1:]
	}
	return out, nil
}

// Freeze refuses writes under prefix, which is the office's own or one below it, for a time; 0 lets them in again.
func (o *Office) Freeze(prefix string, d time.Duration) {
	if d <= 0 {
		o.gates.open(prefix)
		return
	}
	o.gates.close(prefix, o.cfg.Now().Add(d))
}
