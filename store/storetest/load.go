package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"

	"github.com/fujie-id/fujie/store"
)

// Load is writers that leave a trail which Check can follow after a crash. Each step of each writer is one batch that
// moves its head from n-1 to n under a condition, writes a copy of the head, an item, an entry of the common log, and
// deletes an old item; so the state after n steps is known, and anything else is a step lost, doubled or half done.
type Load struct {
	Writers int
	Steps   int                    // of each writer; 0: until an error or the end of ctx
	Ack     func(writer, step int) // called after a step is durable, from the writer's goroutine; may be nil
	Big     int                    // bytes of every eighth item; 0 for 5,000
}

const kept = 8 // items that a writer leaves standing

func headKey(w int) []byte    { return fmt.Appendf(nil, "load/%d\x00head", w) }
func copyKey(w int) []byte    { return fmt.Appendf(nil, "copy/%d", w) }
func itemKey(w, n int) []byte { return fmt.Appendf(nil, "load/%d\x00item/%08d", w, n) }
func itemsOf(w int) []byte    { return fmt.Appendf(nil, "load/%d\x00item/", w) }

var logKey = []byte("load.log\x00")

func (l *Load) item(w, n int) []byte {
	size := n * 37 % 300
	if n%8 == 0 {
		if size = l.Big; size == 0 {
			size = 5000
		}
	}
	rnd := rand.New(rand.NewPCG(uint64(w), uint64(n)))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rnd.Uint32() >> 3 & 0x3f)
	}
	return b
}

// Run goes on where the store's trail ends. It returns when all writers have ended: nil after Steps or the end of ctx,
// else their errors.
func (l *Load) Run(ctx context.Context, s store.Store) error {
	errs := make([]error, l.Writers)
	var wg sync.WaitGroup
	for w := range l.Writers {
		wg.Go(func() { errs[w] = l.write(ctx, s, w) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (l *Load) write(ctx context.Context, s store.Store, w int) error {
	n, err := head(ctx, s, headKey(w))
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil
		}
		return err
	}
	for end := n + l.Steps; l.Steps == 0 || n < end; {
		n++
		var b store.Batch
		if n == 1 {
			b.Expect(headKey(w), nil)
		} else {
			b.Expect(headKey(w), number(uint64(n-1)))
		}
		b.Put(headKey(w), number(uint64(n)))
		b.Put(itemKey(w, n), l.item(w, n))
		b.Append(logKey, append(number(uint64(w)), number(uint64(n))...))
		if n > kept {
			b.Delete(itemKey(w, n-kept))
		}
		b.Put(copyKey(w), number(uint64(n)))
		if _, err := s.Apply(ctx, &b); err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			return fmt.Errorf("writer %d, step %d: %w", w, n, err)
		}
		if l.Ack != nil {
			l.Ack(w, n)
		}
	}
	return nil
}

func head(ctx context.Context, r store.Reader, key []byte) (int, error) {
	v, err := r.Get(ctx, nil, key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%q holds %x", key, v)
	}
	return int(binary.BigEndian.Uint64(v)), nil
}

// Tally remembers the last acknowledged step of each writer. The zero Tally is ready.
type Tally struct {
	mu   sync.Mutex
	last map[int]int
}

// Ack is for Load.Ack.
func (t *Tally) Ack(writer, step int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[int]int{}
	}
	t.last[writer] = step
}

// Acked is what was acknowledged till now.
func (t *Tally) Acked() map[int]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.last)
}

// Total is how many steps were acknowledged till now.
func (t *Tally) Total() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, last := range t.last {
		n += last
	}
	return n
}

// Check follows the trail in a store that was opened after a crash: every acknowledged step is there, at most one more
// of each writer, and each step is there as a whole.
func (l *Load) Check(ctx context.Context, s store.Store, acked map[int]int) error {
	view, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer view.Close()

	heads := make([]int, l.Writers)
	total := 0
	for w := range heads {
		if heads[w], err = head(ctx, view, headKey(w)); err != nil {
			return err
		}
		twin, err := head(ctx, view, copyKey(w))
		if err != nil {
			return err
		}
		switch n := heads[w]; {
		case n < acked[w]:
			return fmt.Errorf("writer %d: steps %d to %d were acknowledged and are lost", w, n+1, acked[w])
		case n > acked[w]+1:
			return fmt.Errorf("writer %d: step %d is there, but only %d was acknowledged", w, n, acked[w])
		case n != twin:
			return fmt.Errorf("writer %d: a step was half done: its head is %d, its copy %d", w, n, twin)
		}
		total += heads[w]
		n := max(0, heads[w]-kept)
		if err := view.Range(ctx, store.Under(itemsOf(w)), func(k, v []byte) error {
			n++
			if !bytes.Equal(k, itemKey(w, n)) || !bytes.Equal(v, l.item(w, n)) {
				return fmt.Errorf("writer %d: head %d: in the place of item %d stands %q with %d bytes", w, heads[w], n, k, len(v))
			}
			return nil
		}); err != nil {
			return err
		}
		if n != heads[w] {
			return fmt.Errorf("writer %d: a step was half done: its head is %d, its last item %d", w, heads[w], n)
		}
	}

	logged := make([]int, l.Writers)
	number := uint64(0)
	if err := view.Range(ctx, store.Under(logKey), func(k, v []byte) error {
		number++
		if store.LogNumber(k) != number || len(v) != 16 {
			return fmt.Errorf("in the place of log entry %d stands %q with %d bytes", number, k, len(v))
		}
		w, n := int(binary.BigEndian.Uint64(v)), int(binary.BigEndian.Uint64(v[8:]))
		if w >= len(logged) || n != logged[w]+1 {
			return fmt.Errorf("log entry %d says step %d of writer %d", number, n, w)
		}
		logged[w] = n
		return nil
	}); err != nil {
		return err
	}
	for w := range heads {
		if logged[w] != heads[w] {
			return fmt.Errorf("writer %d: a step was half done: its head is %d, the log says %d", w, heads[w], logged[w])
		}
	}
	if view.Sequence() != uint64(total) {
		return fmt.Errorf("the sequence is %d after %d steps", view.Sequence(), total)
	}
	return nil
}

// Heads is the last step of each writer, as the store has it.
func Heads(ctx context.Context, s store.Reader, writers int) ([]int, error) {
	heads := make([]int, writers)
	for w := range heads {
		var err error
		if heads[w], err = head(ctx, s, headKey(w)); err != nil {
			return nil, err
		}
	}
	return heads, nil
}
