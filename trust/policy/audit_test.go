package policy

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store/memory"
)

// TestTrailAltered: an entry that is changed, or taken out, shows.
func TestTrailAltered(t *testing.T) {
	for name, alter := range map[string]func(ctx context.Context, a *Audit) error{
		"changed": func(ctx context.Context, a *Audit) error {
			x, err := trail.Get(ctx, a.store, binary.BigEndian.AppendUint64(nil, 2))
			x.Who = "300:88.118.1009/App_x"
			return errors.Join(err, trail.Put(ctx, a.store, x))
		},
		"taken out": func(ctx context.Context, a *Audit) error {
			return trail.Delete(ctx, a.store, binary.BigEndian.AppendUint64(nil, 2))
		},
	} {
		a := &Audit{store: memory.New()}
		for range 4 {
			if _, _, err := a.add(t.Context(), Access{Who: "300:88.118.1002/App_erp", ID: "88.118.1001/X", Action: Read}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := alter(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := a.Check(t.Context()); !problem.Is(err, problem.Bogus) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTrailGoesOn: another program's trail on the same store goes on where this one ended, and who waits is woken.
func TestTrailGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		one, two := &Audit{store: s}, &Audit{store: s}
		got := make(chan uint64)
		go func() {
			list, err := two.Entries(t.Context(), 1, 10)
			if err != nil || len(list) == 0 {
				t.Error(list, err)
				got <- 0
				return
			}
			got <- list[0].Seq
		}()
		for i, a := range []*Audit{one, two, one, two} {
			seq, _, err := a.add(t.Context(), Access{ID: "88.118.1001/X"}, nil)
			if err != nil || seq != uint64(i+1) {
				t.Fatal(seq, err)
			}
		}
		if seq := <-got; seq != 2 {
			t.Error("woken for", seq)
		}
		if err := one.Check(t.Context()); err != nil {
			t.Error(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := one.Entries(ctx, 4, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
