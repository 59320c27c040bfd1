package memory_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKit(t *testing.T) {
	storetest.Test(t, func(testing.TB) store.Store { return memory.New() })
}

func TestGetAllocatesNothing(t *testing.T) {
	s := memory.New()
	defer s.Close()
	var b store.Batch
	b.Put([]byte("key"), []byte("value"))
	if _, err := s.Apply(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	dst, key, ctx := make([]byte, 0, 64), []byte("key"), t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Get(ctx, dst, key); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatal("allocations:", n)
	}
}

// crash runs a load into a crash at its k-th write and says what the kit thinks of what is left.
func crash(ctx context.Context, k int, when memory.When) error {
	s := memory.New()
	load := storetest.Load{Writers: 3, Steps: 20}
	var tally storetest.Tally
	load.Ack = tally.Ack
	s.Faults().CrashAt(k, when)
	if err := load.Run(ctx, s); err == nil {
		return errors.New("the store did not crash")
	}
	s = s.Reopen()
	defer s.Close()
	if err := load.Check(ctx, s, tally.Acked()); err != nil {
		return err
	}
	if err := load.Run(ctx, s); err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	return load.Check(ctx, s, tally.Acked())
}

func TestCrashAtEveryWrite(t *testing.T) {
	for k := 1; k <= 60; k++ {
		for _, when := range []memory.When{memory.Before, memory.After} {
			if err := crash(t.Context(), k, when); err != nil {
				t.Fatalf("crash at write %d, %d: %v", k, when, err)
			}
		}
	}
}

// The kit must notice a store that breaks its promises.
func TestKitNoticesBrokenPromises(t *testing.T) {
	for k := 1; k <= 60; k += 7 {
		if err := crash(t.Context(), k, memory.Torn); err == nil {
			t.Errorf("a batch torn at write %d was not noticed", k)
		}
	}

	load := storetest.Load{Writers: 1, Steps: 5}
	var tally storetest.Tally
	load.Ack = tally.Ack
	s := memory.New()
	s.Faults().Lie(true)
	if err := load.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := load.Check(t.Context(), s, tally.Acked()); err != nil {
		t.Fatal("before the crash:", err)
	}
	s = s.Reopen()
	if err := load.Check(t.Context(), s, tally.Acked()); err == nil {
		t.Error("acknowledged writes were lost and it was not noticed")
	}
	s.Close()

	for steps := 1; steps < 5; steps++ {
		s = memory.New()
		s.Faults().Tear(steps)
		tally = storetest.Tally{}
		load.Steps = 1
		if err := load.Run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := load.Check(t.Context(), s, tally.Acked()); err == nil {
			t.Errorf("a batch of which %d steps were done was not noticed", steps)
		}
		s.Close()
	}

	// One torn batch may be written over before anybody asks; of ten histories most tell.
	noticed := 0
	for seed := range uint64(10) {
		honest, torn := memory.New(), memory.New()
		torn.Faults().Tear(1)
		if err := storetest.Agree(t.Context(), []*storetest.Engine{{Name: "honest", Store: honest}, {Name: "torn", Store: torn}}, seed, 300); err != nil {
			noticed++
		}
		honest.Close()
		torn.Close()
	}
	if noticed < 5 {
		t.Errorf("of ten pairs of stores with different histories, %d were noticed", noticed)
	}
}

func TestAgreesWithItself(t *testing.T) {
	for seed := range uint64(5) {
		a, b := memory.New(), memory.New()
		err := storetest.Agree(t.Context(), []*storetest.Engine{
			{Name: "a", Store: a},
			{Name: "b", Store: b, Reopen: func() (store.Store, error) { b = b.Reopen(); return b, nil }},
		}, seed, 500)
		if err := errors.Join(err, a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFaults(t *testing.T) {
	ctx := t.Context()
	s := memory.New()
	defer s.Close()
	f := s.Faults()
	put := func(v string) error {
		var b store.Batch
		b.Put([]byte("k"), []byte(v))
		b.Append([]byte("log"), nil)
		_, err := s.Apply(ctx, &b)
		return err
	}
	is := func(v string) {
		t.Helper()
		if got, _ := s.Get(ctx, nil, []byte("k")); string(got) != v {
			t.Fatalf("the value is %q, want %q", got, v)
		}
	}
	boom := errors.New("boom")
	f.Refuse(boom)
	if err := put("1"); err != boom {
		t.Fatal(err)
	}
	is("")
	f.Full(true)
	for range 2 {
		if err := put("1"); !errors.Is(err, store.ErrFull) {
			t.Fatal(err)
		}
	}
	is("")
	f.Full(false)
	f.Doubt(false)
	f.Doubt(true)
	if err := put("1"); !errors.Is(err, store.ErrUncertain) {
		t.Fatal(err)
	}
	is("")
	if err := put("2"); !errors.Is(err, store.ErrUncertain) {
		t.Fatal(err)
	}
	is("2")
	if err := put("3"); err != nil || f.Writes() != 2 {
		t.Fatal(err, f.Writes())
	}

	release := f.Stall()
	done := make(chan error, 2)
	stalled, cancel := context.WithCancel(ctx)
	go func() { done <- put("4") }()
	go func() {
		var b store.Batch
		b.Put([]byte("other"), nil)
		_, err := s.Apply(stalled, &b)
		done <- err
	}()
	if err := f.Held(ctx, 2); err != nil {
		t.Fatal(err)
	}
	is("3")
	cancel()
	if err := <-done; err != context.Canceled {
		t.Fatal(err)
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	is("4")

	f.Stall()
	go func() { done <- put("5") }()
	if err := f.Held(ctx, 1); err != nil {
		t.Fatal(err)
	}
	f.Crash()
	if err := <-done; !errors.Is(err, store.ErrClosed) {
		t.Fatal(err)
	}
	again := s.Reopen()
	defer again.Close()
	if got, err := again.Get(ctx, nil, []byte("k")); err != nil || string(got) != "4" {
		t.Fatal(string(got), err)
	}
}
