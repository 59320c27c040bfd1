package office_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun: what could not be done when it was decided is done soon after, without anybody asking; and how soon the
// prefix resolved is measured from the decision.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *broken
		var resolves atomic.Pointer[time.Time]
		w := newWorld(t, func(w *world) {
			b = &broken{Registry: w.reg, left: 1 << 30}
			w.door = b
			check := w.cfg.Check
			w.cfg.Check = func(ctx context.Context, prefix string) error {
				if at := resolves.Load(); at != nil && time.Now().Before(*at) {
					return problem.New(problem.Unreachable, "not yet", "尚未")
				}
				return check(ctx, prefix)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.o.Run(ctx) }()
		p := w.apply("88.118.5", 1, office.Hosted)
		start := time.Now()
		at := start.Add(7 * time.Second)
		resolves.Store(&at)
		b.heal(1) // the decision is written, the delegation is not
		if _, err := w.o.Approve(t.Context(), boss, p.ID, "", nil, ""); !problem.Is(err, problem.Internal) {
			t.Fatalf("with a disk that fails: %v", err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got, err := w.o.Get(boss, p.ID); err != nil || got.Paper.State != office.Approved || got.Paper.Task == nil {
			t.Fatalf("while the disk fails: %s %v", got.Paper.State, err)
		}
		b.heal(1 << 30)
		time.Sleep(time.Minute)
		synctest.Wait()
		got, err := w.o.Get(boss, p.ID)
		if err != nil || got.Paper.State != office.Active || got.Paper.Task != nil {
			t.Fatalf("when the disk is back: %s %v", got.Paper.State, err)
		}
		if s := got.Paper.Timing.Seconds; s < 7 || s > 50 {
			t.Errorf("approved → resolvable is said to take %v s", s)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestGuard: only what is under the prefix that moves is refused, each in its place.
func TestGuard(t *testing.T) {
	w := newWorld(t)
	door := w.o.Guard(w.reg)
	for _, p := range []string{"88.118.5", "88.118.6"} {
		if res, err := w.reg.Write(t.Context(), op, []record.Write{{Op: record.Home, ID: id.PrefixRecord(p)}}); err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	write := func(n int) []record.Result {
		var ws []record.Write
		for i := range 6 {
			ws = append(ws, record.Write{Op: record.Create, Overwrite: true, ID: id.MustParse(fmt.Sprintf("88.118.%d/R-%d-%d", 5+i%2, n, i)), Values: []record.Value{value(1, "x", record.DefaultPerm)}})
		}
		res, err := door.Write(t.Context(), op, ws)
		if err != nil {
			t.Fatal(err)
		}
		for i := range res {
			if res[i].ID != ws[i].ID {
				t.Errorf("result %d is of %s", i, res[i].ID)
			}
		}
		return res
	}
	w.o.Freeze("88.118.5", time.Hour)
	for i, r := range write(1) {
		if refused := problem.Is(r.Err, problem.Busy); refused != (i%2 == 0) || !refused && r.Err != nil {
			t.Errorf("write %d: %v", i, r.Err)
		}
	}
	w.o.Freeze("88.118.5", 0)
	for i, r := range write(2) {
		if r.Err != nil {
			t.Errorf("write %d after the thaw: %v", i, r.Err)
		}
	}
}
