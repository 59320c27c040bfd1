package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
)

// Writes of many callers go to the store in groups: while one group is on its way to the disk, the next is put together
// on top of it. Each group is one batch, so that a thousand registrations cost one sync of the disk, whether one caller
// brings them or a thousand do. A batch is conditional on everything it read; if somebody else wrote to the store
// meanwhile, or the group below failed, it is put together again from what is there.
const (
	maxGroup      = 8192 // writes in one batch
	maxGroupBytes = 16 << 20
	maxTries      = 16 // when somebody else keeps changing what a group needs
)

type writer struct {
	mu    sync.Mutex
	queue []*call
	busy  bool // somebody puts a group together

	disk   sync.Mutex   // held by whose group is on its way
	flight *flight      // that group; under mu
	last   atomic.Int64 // the latest time in the log, milliseconds

	known known         // of who puts a group together
	lost  atomic.Uint64 // groups that did not take effect just as they were built, so that nobody can rest on them
}

// flight is a group on its way, as the next one sees it.
type flight struct {
	cells map[string]*cell
	last  int64
	held  bool // it took effect as it is here; under disk
}

// call is one caller's writes in the queue.
type call struct {
	ctx     context.Context
	by      record.Identity
	writes  []prepared
	mirror  *mirrored // in the place of writes
	results []record.Result
	known   map[string]*away
	missing []id.ID
	size    int
	led     bool          // was told to lead; under mu
	lead    chan struct{} // told to lead
	done    chan struct{} // results or err are there
	err     error
}

// prepared is a write with what can be worked out before its turn.
type prepared struct {
	*record.Write
	rec    id.ID
	key    []byte
	bad    error  // it breaks a rule by itself
	value  []byte // Create: what will be stored
	change []byte // Create: what will be logged, but for the time
	now    time.Time
}

// Write is record.Registrar's.
func (r *Registry) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	r.writing.RLock()
	defer r.writing.RUnlock()
	if !r.mayWrite.Load() {
		return nil, problem.New(problem.ReadOnly, "this node only copies another one: write to the primary", "本节点为镜像，只读：请向主节点写入")
	}
	results := make([]record.Result, 0, len(writes))
	for len(writes) > 0 {
		n, size := 0, 0
		for n < len(writes) && n < maxGroup && size < maxGroupBytes {
			for i := range writes[n].Values {
				size += writes[n].Values[i].Size()
			}
			n++
		}
		c := &call{ctx: ctx, by: by, size: size}
		r.prepare(c, writes[:n])
		if err := r.submit(c); err != nil {
			return nil, err
		}
		results = append(results, c.results...)
		writes = writes[n:]
	}
	return results, nil
}

// prepare does what needs no turn: checks, and for new records the bytes and their digest.
func (r *Registry) prepare(c *call, writes []record.Write) {
	now := r.cfg.Now()
	c.writes = make([]prepared, len(writes))
	c.results = make([]record.Result, len(writes))
	var arena []byte
	var vs []record.Value
	cut := func(n, size int) []byte { // what was appended since n
		if size == 0 {
			return []byte{}
		}
		return arena[n : n+size : n+size]
	}
	for i := range writes {
		w := &c.writes[i]
		w.Write, w.now = &writes[i], now
		if !w.ID.IsValid() {
			w.bad = problem.New(problem.BadID, "the write names no identifier: give one, as 88.118.1001/ENG-42", "写入未指明标识：请给出，例如 88.118.1001/ENG-42")
			continue
		}
		if w.bad = w.check(); w.bad != nil && w.Op != record.Create && w.Op != record.Modify {
			w.rec = recordID(w.ID)
			continue
		}
		if w.Mint && w.Op == record.Create {
			if w.ID.Prefix() == rootPrefix {
				w.bad = problem.New(problem.BadID, "a prefix cannot be made up: name the one that is to be delegated", "前缀不能自动生成：请指明要授权的前缀")
				w.rec = recordID(w.ID)
				continue
			}
			if w.rec, w.bad = r.mint(w.ID); w.bad != nil {
				w.rec = recordID(w.ID)
				continue
			}
		} else {
			w.rec = recordID(w.ID)
		}
		if need := 1 + len(w.rec.String()) + 1; cap(arena)-len(arena) < need {
			arena = make([]byte, 0, max(64<<10, need))
		}
		n := len(arena)
		arena = appendRecordKey(arena, w.rec)
		w.key = cut(n, len(arena)-n)
		if w.Op != record.Create || w.bad != nil || w.rec.Prefix() == rootPrefix {
			continue
		}
		vs = append(vs[:0], w.Values...)
		size := storedHeader + 4
		for j := range vs {
			vs[j].Timestamp = uint32(now.Unix())
			size += vs[j].Size()
		}
		size += 64 + len(w.rec.String()) + len(c.by.Name)
		if cap(arena)-len(arena) < size {
			arena = make([]byte, 0, max(256<<10, size))
		}
		n = len(arena)
		arena = appendStored(arena, vs, nil)
		w.value = cut(n, len(arena)-n)
		n = len(arena)
		arena = appendChange(arena, &record.Change{Op: record.Create, ID: w.rec, By: c.by, Digest: sha256.Sum256(w.value[storedHeader:])})
		w.change = cut(n, len(arena)-n)
	}
}

// check is the rules that a write can break by itself.
func (w *prepared) check() error {
	switch w.Op {
	case record.Create, record.Add, record.Modify:
		return record.CheckAll(w.Values)
	case record.Remove:
		if len(w.Indexes) == 0 || len(w.Indexes) > record.MaxValues {
			return problem.New(problem.BadRequest, "a removal names 1 to %d indexes, this one %d", "删除值应指明 1 至 %d 个索引，此处为 %d 个", record.MaxValues, len(w.Indexes))
		}
	case record.Delete, record.Home, record.Unhome:
	default:
		return problem.New(problem.BadRequest, "operation %d is unknown", "操作 %d 未知", uint8(w.Op))
	}
	return nil
}

// submit queues the call, leads a group when it is its turn, and waits for the outcome.
func (r *Registry) submit(c *call) error {
	for range maxGroups + 2 {
		if err := canceled(c.ctx.Err()); err != nil {
			return err
		}
		c.lead, c.done, c.led, c.err, c.missing = make(chan struct{}), make(chan struct{}), false, nil, nil
		w := &r.writer
		w.mu.Lock()
		w.queue = append(w.queue, c)
		if !w.busy {
			w.busy, c.led = true, true
		}
		led := c.led
		w.mu.Unlock()
		if led {
			r.lead()
		} else {
			select {
			case <-c.done:
			case <-c.lead:
				r.lead()
			case <-c.ctx.Done():
				if w.withdraw(c) {
					return canceled(c.ctx.Err())
				}
				select {
				case <-c.done:
				case <-c.lead:
					r.lead()
				}
			}
		}
		<-c.done
		if len(c.missing) == 0 {
			return c.err
		}
		if c.known == nil {
			c.known = map[string]*away{}
		}
		if err := r.ask(c.ctx, c.missing, c.known); err != nil {
			return err
		}
	}
	return errElsewhere
}

// withdraw takes a call out of the queue, unless it is taken already or is to lead.
func (w *writer) withdraw(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.led {
		return false
	}
	for i, q := range w.queue {
		if q == c {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			return true
		}
	}
	return false
}

// lead puts the calls in the queue together, hands on to the next leader, and brings the group to the disk.
func (r *Registry) lead() {
	w := &r.writer
	w.mu.Lock()
	var calls []*call
	writes, size := 0, 0
	for len(w.queue) > 0 && (len(calls) == 0 || writes+len(w.queue[0].writes) <= maxGroup && size+w.queue[0].size <= maxGroupBytes) {
		c := w.queue[0]
		writes, size = writes+len(c.writes), size+c.size
		calls, w.queue = append(calls, c), w.queue[1:]
	}
	below := w.flight
	w.mu.Unlock()

	// What is done for many must not end with the patience of one.
	ctx := context.WithoutCancel(calls[0].ctx)
	g := &group{r: r, ctx: ctx, calls: calls}
	err := g.build(below)

	w.disk.Lock()
	if below != nil && !below.held {
		err = g.build(nil)
	}
	f := &flight{cells: g.view.cells, last: g.last}
	w.mu.Lock()
	w.flight = f
	if len(w.queue) > 0 {
		next := w.queue[0]
		next.led = true
		close(next.lead)
	} else {
		w.busy = false
	}
	w.mu.Unlock()
	if err == nil {
		err = g.apply()
	}
	if f.held = err == nil && g.tries == 0; !f.held {
		w.lost.Add(1)
	}
	w.last.Store(max(w.last.Load(), g.last))
	w.mu.Lock()
	if w.flight == f {
		w.flight = nil
	}
	w.mu.Unlock()
	g.finish(err)
	w.disk.Unlock()

	for _, c := range g.calls {
		if err != nil && len(c.missing) == 0 {
			c.err = err
		}
		close(c.done)
	}
}

// group is writes that become one batch.
type group struct {
	r     *Registry
	ctx   context.Context
	calls []*call
	view  *view
	batch store.Batch
	order []*cell // the keys to write, as they were first written
	log   [][]byte
	count map[string]int64 // prefix → how many records more
	first uint64           // the number of the first change
	last  int64            // the latest time in the log, milliseconds
	tries int
}

// build works the calls out, on top of below or, when that is nil, of the store alone.
func (g *group) build(below *flight) error {
	g.view = &view{r: g.r, ctx: g.ctx, cells: map[string]*cell{}, sharp: g.tries > 0}
	g.last = g.r.writer.last.Load()
	if below != nil {
		g.view.below = below.cells
		g.last = max(g.last, below.last)
	}
	g.order, g.log, g.count = g.order[:0], g.log[:0], map[string]int64{}
	// The number of the last change is looked at before anything else: if it is still the same when the batch takes
	// effect, so is all that was looked at behind it, for every change moves it on.
	changes, err := g.view.cell(changesKey, false)
	if err != nil {
		return err
	}
	if g.tries == 0 { // else somebody may be at it already
		k := &g.r.writer.known
		if lost := g.r.writer.lost.Load(); k.lost != lost || k.at != number(changes.now) {
			k.forget(number(changes.now))
			k.lost = lost
		}
		g.view.known = k
	}
	for _, c := range g.calls {
		c.missing = nil
		if err := g.take(c); err != nil {
			return err
		}
	}
	if err := g.total(changes); err != nil {
		return err
	}
	g.batch.Reset()
	// In the order of the keys: the store then looks them up and files them with far fewer steps.
	slices.SortFunc(g.order, func(a, b *cell) int { return bytes.Compare(a.key, b.key) })
	for _, c := range g.order {
		if c.now != nil && string(c.now) == string(c.was) && c.was != nil {
			continue
		}
		if c.assumed || c == changes || len(g.log) == 0 {
			g.batch.Expect(c.key, c.was)
		}
		if c.now != nil {
			g.batch.Put(c.key, c.now)
		} else {
			g.batch.Delete(c.key)
		}
	}
	if len(g.log) > 0 {
		ps, counts := pages(g.log)
		for i, p := range ps {
			g.batch.Put(store.LogKey(logPrefix, g.first), p)
			g.first += uint64(counts[i])
		}
		g.batch.Append(wakePrefix, nil)
	}
	return nil
}

// take works one call out. When other nodes must be asked first, nothing of it stays.
func (g *group) take(c *call) error {
	order, log := len(g.order), len(g.log)
	var undo map[*cell]cell
	if g.r.cfg.Groups != nil && !c.by.Operator && c.mirror == nil {
		undo = make(map[*cell]cell)
	}
	t := &turn{g: g, by: c.by, undo: undo, count: map[string]int64{}, rights: rights{v: g.view, known: c.known, now: g.r.cfg.Now()}}
	if c.mirror != nil {
		if err := t.copy(c.mirror); err != nil {
			return err
		}
		t.settle()
		return nil
	}
	for i := range c.writes {
		w := &c.writes[i]
		err := t.do(w)
		if err != nil && problem.Is(err, problem.Internal) && !errors.Is(err, errElsewhere) {
			return err // the store failed, not the write
		}
		c.results[i] = record.Result{ID: w.ID, Err: err}
		if err == nil && w.Mint {
			c.results[i].ID = w.rec
		}
	}
	if c.missing = t.rights.missing; len(c.missing) > 0 {
		for k, was := range undo {
			*k = was
		}
		g.order, g.log = g.order[:order], g.log[:log]
		return nil
	}
	t.settle()
	return nil
}

// total brings the counts up to date, that of the changes too.
func (g *group) total(c *cell) error {
	if len(g.log) > 0 {
		n := number(c.now)
		g.first = n + 1
		c.now, c.dirty = binary.BigEndian.AppendUint64(nil, n+uint64(len(g.log))), true
		g.order = append(g.order, c)
		if g.view.known != nil {
			g.view.known.at = n + uint64(len(g.log))
		}
	}
	for prefix, more := range g.count {
		if more == 0 {
			continue
		}
		c, err := g.view.cell(countKey(prefix), false)
		if err != nil {
			return err
		}
		n := int64(number(c.now))
		c.now, c.dirty = binary.BigEndian.AppendUint64(nil, uint64(max(0, n+more))), true
		g.order = append(g.order, c)
	}
	return nil
}

// number is a count as it is stored, 0 when there is none.
func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// apply brings the batch to the store, again from what is there when somebody else was quicker.
func (g *group) apply() error {
	for {
		if g.batch.Len() == 0 {
			return nil
		}
		_, err := g.r.store.Apply(g.ctx, &g.batch)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, store.ErrConflict):
			return writeProblem(err)
		}
		g.wake()
		if g.tries++; g.tries > maxTries {
			return problem.Wrap(err, problem.Busy, "too many others write to the same records: try again", "同时写入相同记录者过多：请稍后再试")
		}
		if g.tries > 1 {
			if err := g.r.readHomes(g.ctx); err != nil {
				return err
			}
		}
		if err := g.build(nil); err != nil {
			return err
		}
	}
}

// wake drops ready answers that another writer may have made old.
func (g *group) wake() {
	for _, c := range g.order {
		g.r.hot.forget(c.key)
	}
}

// finish lets readers see what was written before anybody is told.
func (g *group) finish(err error) {
	homes := false
	for _, c := range g.order {
		switch c.key[0] {
		case tagRecord:
			g.r.hot.forget(c.key)
		case tagHomed:
			homes = true
		}
	}
	if !homes {
		return
	}
	if err != nil {
		if problem.Is(err, problem.Internal) {
			// Nobody knows what became of it.
			_ = g.r.readHomes(g.ctx)
			g.r.hot.forgetAll()
		}
		return
	}
	g.r.homesMu.Lock()
	for _, c := range g.order {
		if c.key[0] != tagHomed {
			continue
		}
		if c.now != nil {
			g.r.homes[string(c.key[1:])] = struct{}{}
		} else {
			delete(g.r.homes, string(c.key[1:]))
		}
	}
	g.r.homesMu.Unlock()
	g.r.hot.forgetAll()
}

func writeProblem(err error) error {
	if errors.Is(err, store.ErrUncertain) {
		return problem.Wrap(err, problem.Internal, "the store was lost while it wrote: write the same again", "写入过程中与存储失去联系：请重新写入相同内容")
	}
	return storeProblem(err)
}
