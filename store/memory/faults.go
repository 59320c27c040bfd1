package memory

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/fujie-id/fujie/store"
)

// Faults makes a store fail on command. Each method takes effect from the next write on. Refuse, Doubt, Full, Stall and
// CrashAt stay within the seam's promises, so what stands on a store must live with them. Tear and Lie break the
// promises, as a broken disk does: they are there to prove that a test would notice.
type Faults struct {
	s       *Store
	durable atomic.Pointer[state] // what a crash leaves

	mu      sync.Mutex
	refuse  []error
	doubt   []bool
	full    bool
	stall   chan struct{} // closed on release; nil when nothing is stalled
	waiting int           // writes that the stall holds
	held    chan struct{} // closed and renewed when waiting grows
	crashIn int           // writes until the crash; 0 for none
	when    When
	tear    int
	lie     bool
	writes  int
}

// When is the moment of a crash, seen from the write that it hits.
type When uint8

const (
	Before When = iota + 1 // the write is lost
	After                  // the write is durable, but nobody was told
	Torn                   // the first half of its steps is durable: breaks the promise
)

// Refuse lets one write fail with err, undone. Calls add up: one write each.
func (f *Faults) Refuse(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = append(f.refuse, err)
}

// Doubt lets one write end in ErrUncertain, done or not. Calls add up: one write each.
func (f *Faults) Doubt(done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doubt = append(f.doubt, done)
}

// Full lets all writes fail with ErrFull until it is called with false.
func (f *Faults) Full(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = on
}

// Stall holds all writes until release is called.
func (f *Faults) Stall() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := make(chan struct{})
	f.stall = ch
	var once sync.Once
	return func() {
		once.Do(func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.stall == ch {
				f.stall = nil
			}
			close(ch)
		})
	}
}

// Held returns once n writes wait in a stall, or ctx ends.
func (f *Faults) Held(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		if f.waiting >= n {
			f.mu.Unlock()
			return nil
		}
		if f.held == nil {
			f.held = make(chan struct{})
		}
		ch := f.held
		f.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// CrashAt crashes the store in the k-th write from now (1 is the next). That write ends in ErrUncertain, later calls in
// ErrClosed; Reopen opens what was durable.
func (f *Faults) CrashAt(k int, when When) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashIn, f.when = k, when
}

// Crash crashes the store now, between two writes.
func (f *Faults) Crash() {
	f.s.write.Lock()
	f.crash()
	f.s.write.Unlock()
	f.s.gate.Wait()
}

// Lie lets writes be acknowledged without being durable, until it is called with false: a crash loses them. It breaks
// the promise.
func (f *Faults) Lie(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lie = on
}

// Tear lets the next write take effect only in its first steps, yet be acknowledged. It breaks the promise.
func (f *Faults) Tear(steps int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tear = steps
}

// Writes is how many writes took effect since the store was opened.
func (f *Faults) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

func (f *Faults) crash() {
	f.s.gate.Shut()
	f.s.stopOn.Do(func() { close(f.s.stop) })
}

func (f *Faults) stalled(ctx context.Context) error {
	f.mu.Lock()
	ch := f.stall
	if ch == nil {
		f.mu.Unlock()
		return nil
	}
	f.waiting++
	if f.held != nil {
		close(f.held)
		f.held = nil
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.waiting--
		f.mu.Unlock()
	}()
	select {
	case <-ch:
		return nil
	case <-f.s.stop:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commit lets the write take effect in the way that was commanded. The writer's lock is held.
func (f *Faults) commit(b *store.Batch, before, after *state, r store.Receipt) (store.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return store.Receipt{}, store.ErrFull
	}
	if len(f.refuse) > 0 {
		err := f.refuse[0]
		f.refuse = f.refuse[1:]
		return store.Receipt{}, err
	}
	if f.crashIn > 0 {
		if f.crashIn--; f.crashIn == 0 {
			switch f.when {
			case After:
				f.durable.Store(after)
			case Torn:
				torn, _ := before.with(b.Ops[:len(b.Ops)/2])
				f.durable.Store(torn)
			}
			f.crash()
			return store.Receipt{}, store.ErrUncertain
		}
	}
	if f.tear > 0 {
		after, _ = before.with(b.Ops[:min(f.tear, len(b.Ops))])
		f.tear = 0
	}
	uncertain := false
	if len(f.doubt) > 0 {
		done := f.doubt[0]
		f.doubt = f.doubt[1:]
		if !done {
			return store.Receipt{}, store.ErrUncertain
		}
		uncertain = true
	}
	f.writes++
	f.s.now.Store(after)
	if !f.lie {
		f.durable.Store(after)
	}
	f.s.last.Raise(after.seq)
	if uncertain {
		return store.Receipt{}, store.ErrUncertain
	}
	return r, nil
}
