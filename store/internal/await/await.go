// Package await lets an engine wait for what its goroutines do: for the calls that run to end, for a number to rise.
package await

import (
	"context"
	"sync"
	"sync/atomic"
)

// Gate counts the calls inside and can be shut. The zero Gate is open.
type Gate struct {
	state atomic.Int64 // calls inside, plus shut once it is shut
	once  sync.Once
	empty chan struct{}
	init  sync.Once
}

const shut = -1 << 62

func (g *Gate) done() chan struct{} {
	g.init.Do(func() { g.empty = make(chan struct{}) })
	return g.empty
}

// Enter reports whether the gate was open; if so, the caller calls Leave later. A call inside may Enter again.
func (g *Gate) Enter() bool {
	if g.state.Add(1) > 0 {
		return true
	}
	g.Leave()
	return false
}

// Leave ends what Enter began.
func (g *Gate) Leave() {
	if g.state.Add(-1) == shut {
		g.once.Do(func() { close(g.done()) })
	}
}

// Shut shuts the gate and reports whether it was open till now.
func (g *Gate) Shut() bool {
	for {
		n := g.state.Load()
		if n < 0 {
			return false
		}
		if g.state.CompareAndSwap(n, n+shut) {
			if n == 0 {
				g.once.Do(func() { close(g.done()) })
			}
			return true
		}
	}
}

// Wait returns when the gate is shut and the last call has left.
func (g *Gate) Wait() { <-g.done() }

// Mark is a number that only rises. The zero Mark is 0.
type Mark struct {
	n    atomic.Uint64
	mu   sync.Mutex
	rise chan struct{} // closed when n rises; nil while nobody waits
}

// Now is the number.
func (m *Mark) Now() uint64 { return m.n.Load() }

// Raise sets the number to n if that is higher.
func (m *Mark) Raise(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n <= m.n.Load() {
		return
	}
	m.n.Store(n)
	if m.rise != nil {
		close(m.rise)
		m.rise = nil
	}
}

// Above returns nil once the number is greater than n, ctx's error when ctx ends first, and errStopped when stop does.
func (m *Mark) Above(ctx context.Context, n uint64, stop <-chan struct{}, errStopped error) error {
	for {
		if m.n.Load() > n {
			return nil
		}
		m.mu.Lock()
		if m.n.Load() > n {
			m.mu.Unlock()
			return nil
		}
		if m.rise == nil {
			m.rise = make(chan struct{})
		}
		rise := m.rise
		m.mu.Unlock()
		select {
		case <-rise:
		case <-stop:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
