// Package memory keeps a node's bytes in memory, for trying things out and for tests: everything is gone when the
// program ends. It can fail on command in the ways the world fails (see Faults), so that what stands on a store can be
// tested against a full disk, a lost connection, a crash at any write and a disk that lies.
package memory

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/internal/await"
)

// Store is an engine in memory. Make it with New.
type Store struct {
	now    atomic.Pointer[state] // what readers see; never changed once it is here
	write  sync.Mutex            // held by the writer
	gate   await.Gate
	last   await.Mark
	stop   chan struct{} // closed by Close and by a crash
	stopOn sync.Once
	faults Faults
}

type state struct {
	tree *btree.BTreeG[pair]
	seq  uint64
}

type pair struct{ key, value []byte }

// New returns an empty store.
func New() *Store {
	return opened(&state{tree: btree.NewBTreeGOptions(func(a, b pair) bool { return bytes.Compare(a.key, b.key) < 0 },
		btree.Options{NoLocks: true})})
}

func opened(st *state) *Store {
	s := &Store{stop: make(chan struct{})}
	s.faults.s = s
	s.faults.durable.Store(st)
	s.now.Store(st)
	s.last.Raise(st.seq)
	return s
}

// Reopen closes the store if it still runs and opens what was durable anew, as a restart of the machine does.
func (s *Store) Reopen() *Store {
	s.faults.Crash()
	return opened(s.faults.durable.Load())
}

// Faults are the store's faults to command.
func (s *Store) Faults() *Faults { return &s.faults }

// Get is store.Reader's.
func (s *Store) Get(ctx context.Context, dst, key []byte) ([]byte, error) {
	if !s.gate.Enter() {
		return dst, store.ErrClosed
	}
	defer s.gate.Leave()
	return s.now.Load().get(ctx, dst, key)
}

// Range is store.Reader's.
func (s *Store) Range(ctx context.Context, span store.Span, visit func(key, value []byte) error) error {
	if !s.gate.Enter() {
		return store.ErrClosed
	}
	defer s.gate.Leave()
	return s.now.Load().visit(ctx, span, visit)
}

// Apply is store.Store's.
func (s *Store) Apply(ctx context.Context, b *store.Batch) (store.Receipt, error) {
	if err := b.Check(); err != nil {
		return store.Receipt{}, err
	}
	if !s.gate.Enter() {
		return store.Receipt{}, store.ErrClosed
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, err
	}
	if err := s.faults.stalled(ctx); err != nil {
		return store.Receipt{}, err
	}
	s.write.Lock()
	defer s.write.Unlock()
	select {
	case <-s.stop:
		return store.Receipt{}, store.ErrClosed
	default:
	}

	before := s.now.Load()
	for i := range b.Ops {
		op := &b.Ops[i]
		if op.Kind != store.OpExpect {
			continue
		}
		got, ok := before.tree.Get(pair{key: op.Key})
		if ok != (op.Value != nil) || !bytes.Equal(got.value, op.Value) {
			return store.Receipt{}, store.ErrConflict
		}
	}
	after, r := before.with(b.Ops)
	return s.faults.commit(b, before, after, r)
}

// with is the state after the steps. st itself stays as it is.
func (st *state) with(ops []store.Op) (*state, store.Receipt) {
	next := &state{tree: st.tree.Copy(), seq: st.seq}
	var r store.Receipt
	for i := range ops {
		op := &ops[i]
		switch op.Kind {
		case store.OpPut:
			next.tree.Set(pair{bytes.Clone(op.Key), clone(op.Value)})
		case store.OpDelete:
			next.tree.Delete(pair{key: op.Key})
		case store.OpAppend:
			next.seq++
			next.tree.Set(pair{store.LogKey(op.Key, next.seq), clone(op.Value)})
			if r.First == 0 {
				r.First = next.seq
			}
			r.Last = next.seq
		}
	}
	return next, r
}

// clone keeps an empty value a value.
func clone(b []byte) []byte { return append([]byte{}, b...) }

// Snapshot is store.Store's.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if !s.gate.Enter() {
		return nil, store.ErrClosed
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &snapshot{s: s, at: s.now.Load()}, nil
}

// Wait is store.Store's.
func (s *Store) Wait(ctx context.Context, after uint64) error {
	if !s.gate.Enter() {
		return store.ErrClosed
	}
	defer s.gate.Leave()
	return s.last.Above(ctx, after, s.stop, store.ErrClosed)
}

// Close is store.Store's. What was stored is gone, but for Reopen.
func (s *Store) Close() error {
	if s.gate.Shut() {
		s.stopOn.Do(func() { close(s.stop) })
	}
	s.gate.Wait()
	return nil
}

type snapshot struct {
	s      *Store
	at     *state
	closed atomic.Bool
}

func (n *snapshot) Sequence() uint64 { return n.at.seq }

func (n *snapshot) Get(ctx context.Context, dst, key []byte) ([]byte, error) {
	if n.closed.Load() || !n.s.gate.Enter() {
		return dst, store.ErrClosed
	}
	defer n.s.gate.Leave()
	return n.at.get(ctx, dst, key)
}

func (n *snapshot) Range(ctx context.Context, span store.Span, visit func(key, value []byte) error) error {
	if n.closed.Load() || !n.s.gate.Enter() {
		return store.ErrClosed
	}
	defer n.s.gate.Leave()
	return n.at.visit(ctx, span, visit)
}

func (n *snapshot) Close() error {
	n.closed.Store(true)
	return nil
}

func (st *state) get(ctx context.Context, dst, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	p, ok := st.tree.Get(pair{key: key})
	if !ok {
		return dst, store.ErrNotFound
	}
	return append(dst, p.value...), nil
}

func (st *state) visit(ctx context.Context, span store.Span, visit func(key, value []byte) error) (err error) {
	each := func(p pair) bool {
		switch {
		case bytes.Compare(p.key, span.From) < 0:
			return false
		case span.To != nil && bytes.Compare(p.key, span.To) >= 0:
			return span.Reverse // the end itself, where a reverse walk begins, is not in the span
		}
		if err = ctx.Err(); err == nil {
			err = visit(p.key, p.value)
		}
		return err == nil
	}
	switch {
	case !span.Reverse:
		st.tree.Ascend(pair{key: span.From}, each)
	case span.To == nil:
		st.tree.Reverse(each)
	default:
		st.tree.Descend(pair{key: span.To}, each)
	}
	if err == store.Stop {
		return nil
	}
	return err
}
