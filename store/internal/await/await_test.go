package await

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		for range 2 {
			if !g.Enter() {
				t.Fatal("an open gate refused")
			}
		}
		if !g.Shut() || g.Shut() {
			t.Fatal("Shut must report true once")
		}
		if g.Enter() {
			t.Fatal("a shut gate let in")
		}
		waited := false
		go func() { g.Wait(); waited = true }()
		g.Leave()
		synctest.Wait()
		if waited {
			t.Fatal("Wait did not wait for the second call")
		}
		g.Leave()
		synctest.Wait()
		if !waited {
			t.Fatal("Wait waits for nobody")
		}
	})
	var idle Gate
	idle.Shut()
	idle.Wait()
}

func TestGateUnderLoad(t *testing.T) {
	for range 200 {
		var g Gate
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for g.Enter() {
					g.Leave()
				}
			})
		}
		g.Shut()
		g.Wait()
		wg.Wait()
	}
}

func TestMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Mark
		stop, gone := make(chan struct{}), errors.New("gone")
		got := make([]error, 3)
		for i := range got {
			got[i] = errors.New("still waiting")
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { got[0] = m.Above(t.Context(), 4, stop, gone) }()
		go func() { got[1] = m.Above(ctx, 5, stop, gone) }()
		go func() { got[2] = m.Above(t.Context(), 5, stop, gone) }()
		synctest.Wait()
		m.Raise(5)
		m.Raise(3)
		synctest.Wait()
		if got[0] != nil || got[1] == nil || got[2] == nil {
			t.Fatal("after 5:", got)
		}
		cancel()
		synctest.Wait()
		if got[1] != context.Canceled {
			t.Fatal("after cancel:", got[1])
		}
		close(stop)
		synctest.Wait()
		if got[2] != gone {
			t.Fatal("after stop:", got[2])
		}
		if m.Now() != 5 {
			t.Fatal("a mark went down to", m.Now())
		}
	})
}
