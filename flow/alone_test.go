package flow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trace/epcis"
)

// TestOneBox: a bottle that is in an open box is turned away at another one, with the box that has it and what to do; when that one is cancelled it is free.
func TestOneBox(t *testing.T) {
	w := memoryWorld(t, caseProgram(t, "bottle-to-store", "pack-box"))
	const flow = "bottle-to-store/pack-box"
	product := map[string]any{"product": "Baijiu"}
	box := func(n int) string { return fmt.Sprintf("%s/X%011d", home, n) }
	bottle := func(n int) string { return fmt.Sprintf("%s/B%013d", home, n) }
	one := w.wants(Passed, "", "LINE-1", Scan{Flow: flow, Code: box(1), Form: product})
	two := w.wants(Passed, "", "LINE-2", Scan{Flow: flow, Code: box(2), Form: product})
	w.wants(Passed, "", "LINE-1", Scan{Run: one.Run, Code: bottle(1)})
	r := w.wants(Refused, box(1)+" already, which "+home+"/LINE-1 began at 2026-11-22 16:00:00", "LINE-2", Scan{Run: two.Run, Code: bottle(1)})
	if r.Ended || r.Next == nil || r.Next.Step != "bottles" {
		t.Errorf("the box is not where it was: %+v", r)
	}
	w.wants(Warned, "in this box already", "LINE-1", Scan{Run: one.Run, Code: bottle(1)})
	// A box that is held keeps what is in it; one that is cancelled gives it back.
	if _, err := w.engine.Cancel(context.Background(), boss(), one.Run, "the box is torn"); err != nil {
		t.Fatal(err)
	}
	w.wants(Passed, "", "LINE-2", Scan{Run: two.Run, Code: bottle(1)})
	for n := 2; n <= 6; n++ {
		w.wants(Passed, "", "LINE-2", Scan{Run: two.Run, Code: bottle(n)})
	}
	// When the box is closed its event says where the bottle is.
	three := w.wants(Passed, "", "LINE-1", Scan{Flow: flow, Code: box(3), Form: product})
	w.wants(Refused, bottle(1)+" is in "+box(2), "LINE-1", Scan{Run: three.Run, Code: bottle(1)})
}

// TestOneBoxRace: several workers scan the same bottles into boxes of their own at once. In the end every bottle is in one box, whoever was first.
func TestOneBoxRace(t *testing.T) {
	t.Run("", func(t *testing.T) { oneBoxRace(t, memory.New()) })
	t.Run("seen before it is acknowledged", func(t *testing.T) { oneBoxRace(t, late{memory.New()}) })
}

// late is a store whose writes can be read a while before it says that they are done, as on a disk.
type late struct{ store.Store }

func (s late) Apply(ctx context.Context, b *store.Batch) (store.Receipt, error) {
	r, err := s.Store.Apply(ctx, b)
	time.Sleep(time.Millisecond)
	return r, err
}

func oneBoxRace(t *testing.T, st store.Store) {
	w := newWorld(t, st, caseProgram(t, "bottle-to-store", "pack-box"))
	w.start()
	defer func() {
		w.stop()
		st.Close()
	}()
	const flow, workers, bottles = "bottle-to-store/pack-box", 4, 120
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := map[string]int{}
	refused := 0
	for k := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 11))
			who, run, boxes := fmt.Sprintf("LINE-%d", k), "", 0
			// All go the same way through the bottles, a few out of order, so that they meet at each.
			order := make([]int, bottles)
			for i := range order {
				order[i] = i
			}
			for i := 1; i < bottles; i++ {
				if j := i - r.IntN(3); j >= 0 {
					order[i], order[j] = order[j], order[i]
				}
			}
			for _, n := range order {
				if run == "" {
					boxes++
					x, err := w.engine.Scan(context.Background(), caller(who), Scan{Flow: flow, Code: fmt.Sprintf("%s/X%05d%06d", home, k, boxes), Form: map[string]any{"product": "Baijiu"}})
					if err != nil || x.Verdict != Passed {
						t.Errorf("%v %+v", err, x)
						return
					}
					run = x.Run
				}
				code := fmt.Sprintf("%s/B%013d", home, n)
				x, err := w.engine.Scan(context.Background(), caller(who), Scan{Run: run, Code: code})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				switch x.Verdict {
				case Passed:
					accepted[code]++
				case Refused:
					refused++
				default:
					t.Errorf("%s: %s %s", code, x.Verdict, x.Say)
				}
				mu.Unlock()
				if x.Ended {
					run = ""
				}
			}
		})
	}
	wg.Wait()
	w.settled()
	if len(accepted) != bottles || refused != (workers-1)*bottles {
		t.Errorf("%d bottles were taken and %d scans turned away, want %d and %d", len(accepted), refused, bottles, (workers-1)*bottles)
	}
	for code, n := range accepted {
		if n != 1 {
			t.Errorf("%s was taken %d times", code, n)
		}
	}
	packed := map[string]string{}
	for _, e := range w.captured {
		if e.Type != epcis.AggregationEvent {
			continue
		}
		for _, b := range e.EPCs {
			if packed[b] != "" {
				t.Errorf("%s is in %s and in %s", b, packed[b], e.Parent)
			}
			packed[b] = e.Parent
		}
	}
	if len(packed) == 0 {
		t.Error("no box was closed")
	}
}
