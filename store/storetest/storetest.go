// Package storetest is the kit that every engine must pass before it may keep a customer's records. Test asks each
// promise of the seam; Load and Check prove that a crash loses nothing acknowledged and shows nothing half-applied;
// Agree lets several engines live through one random history and compares what they saw.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// Test asks every promise of the seam. open returns a new, empty store, which Test closes.
func Test(t *testing.T, open func(t testing.TB) store.Store) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"GetPutDelete", getPutDelete},
		{"BatchOrder", batchOrder},
		{"BatchKeepsNothing", batchKeepsNothing},
		{"Expect", expect},
		{"ExpectIncrement", expectIncrement},
		{"ExpectTransfer", expectTransfer},
		{"Snapshot", snapshots},
		{"RangeEdges", rangeEdges},
		{"RangeRandom", rangeRandom},
		{"RangeSeesNoWrites", rangeSeesNoWrites},
		{"Sequence", sequence},
		{"SequenceFollowed", sequenceFollowed},
		{"Wait", wait},
		{"Limits", limits},
		{"LargeBatch", largeBatch},
		{"Context", contexts},
		{"Closed", closed},
		{"CloseUnderLoad", closeUnderLoad},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error("Close:", err)
				}
			})
			c.run(t, s)
		})
	}
}

func bg() context.Context { return context.Background() }

// apply builds and applies a batch that must succeed.
func apply(t testing.TB, s store.Store, build func(b *store.Batch)) store.Receipt {
	t.Helper()
	var b store.Batch
	build(&b)
	r, err := s.Apply(bg(), &b)
	if err != nil {
		t.Fatal("Apply:", err)
	}
	return r
}

func put(t testing.TB, s store.Store, kv ...string) {
	t.Helper()
	apply(t, s, func(b *store.Batch) {
		for i := 0; i < len(kv); i += 2 {
			b.Put([]byte(kv[i]), []byte(kv[i+1]))
		}
	})
}

// want checks the value of a key; absent is "<none>".
func want(t testing.TB, r store.Reader, key, value string) {
	t.Helper()
	got, err := r.Get(bg(), []byte("dst:"), []byte(key))
	switch {
	case errors.Is(err, store.ErrNotFound):
		if value != "<none>" {
			t.Fatalf("Get(%q): not found, want %q", key, value)
		}
		if string(got) != "dst:" {
			t.Fatalf("Get(%q) of an absent key returned %q, want dst as it was", key, got)
		}
	case err != nil:
		t.Fatalf("Get(%q): %v", key, err)
	case string(got) != "dst:"+value:
		t.Fatalf("Get(%q) = %q, want %q after dst", key, got, value)
	}
}

// list is the keys and values of a span as "k=v" strings.
func list(t testing.TB, r store.Reader, span store.Span) []string {
	t.Helper()
	out := []string{}
	if err := r.Range(bg(), span, func(k, v []byte) error {
		out = append(out, string(k)+"="+string(v))
		return nil
	}); err != nil {
		t.Fatal("Range:", err)
	}
	return out
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%s: %d rows, want %d; from row %d on:\n got %q\nwant %q", what, len(got), len(want), i,
				got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
		}
	}
}

func getPutDelete(t *testing.T, s store.Store) {
	want(t, s, "a", "<none>")
	put(t, s, "a", "1", "a\x00b", "2", "\x00", "zero", "\xff\xff", "top", "é中", "utf", "empty", "")
	for k, v := range map[string]string{"a": "1", "a\x00b": "2", "\x00": "zero", "\xff\xff": "top", "é中": "utf", "empty": "",
		"a\x00": "<none>", "A": "<none>", "a\x00b\x00": "<none>", "\xff": "<none>"} {
		want(t, s, k, v)
	}
	put(t, s, "a", "one")
	want(t, s, "a", "one")
	apply(t, s, func(b *store.Batch) { b.Put([]byte("nil"), nil) })
	want(t, s, "nil", "")
	apply(t, s, func(b *store.Batch) { b.Delete([]byte("a")); b.Delete([]byte("never")) })
	want(t, s, "a", "<none>")
	want(t, s, "a\x00b", "2")

	got, err := s.Get(bg(), nil, []byte("a\x00b"))
	if err != nil || string(got) != "2" {
		t.Fatalf("Get with nil dst = %q, %v", got, err)
	}
	if got, err := s.Get(bg(), nil, nil); !errors.Is(err, store.ErrNotFound) || len(got) > 0 {
		t.Fatalf("Get of the empty key = %q, %v, want ErrNotFound", got, err)
	}
	if got, err := s.Get(bg(), nil, bytes.Repeat([]byte("k"), 2*store.MaxKey)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get of an over-long key = %q, %v, want ErrNotFound", got, err)
	}
}

func batchOrder(t *testing.T, s store.Store) {
	apply(t, s, func(b *store.Batch) {
		b.Put([]byte("x"), []byte("1"))
		b.Put([]byte("x"), []byte("2"))
		b.Delete([]byte("y"))
		b.Put([]byte("y"), []byte("3"))
		b.Put([]byte("z"), []byte("4"))
		b.Delete([]byte("z"))
	})
	same(t, "later steps win", list(t, s, store.Span{}), []string{"x=2", "y=3"})
	var b store.Batch
	if r, err := s.Apply(bg(), &b); err != nil || r != (store.Receipt{}) {
		t.Fatal("an empty batch:", r, err)
	}
	b.Expect([]byte("x"), []byte("2"))
	if r, err := s.Apply(bg(), &b); err != nil || r != (store.Receipt{}) {
		t.Fatal("a batch of conditions only:", r, err)
	}
	b.Expect([]byte("y"), nil)
	if _, err := s.Apply(bg(), &b); !errors.Is(err, store.ErrConflict) {
		t.Fatal("a failing batch of conditions only:", err)
	}
}

func batchKeepsNothing(t *testing.T, s store.Store) {
	key, value, log := []byte("key"), []byte("value"), []byte("log")
	var b store.Batch
	b.Put(key, value)
	b.Append(log, value)
	if _, err := s.Apply(bg(), &b); err != nil {
		t.Fatal(err)
	}
	copy(key, "XXX")
	copy(value, "XXXXX")
	copy(log, "XXX")
	want(t, s, "key", "value")
	want(t, s, "log\x00\x00\x00\x00\x00\x00\x00\x01", "value")
	b.Reset()
	b.Put([]byte("second"), []byte("2"))
	if _, err := s.Apply(bg(), &b); err != nil || b.Len() != 1 {
		t.Fatal("a batch used again:", err, b.Len())
	}
	if _, err := s.Apply(bg(), &b); err != nil {
		t.Fatal("the same batch applied again:", err)
	}
	want(t, s, "second", "2")
	want(t, s, "XXX", "<none>")
}

func expect(t *testing.T, s store.Store) {
	put(t, s, "a", "1", "empty", "")
	try := func(ok bool, build func(b *store.Batch)) {
		t.Helper()
		var b store.Batch
		b.Put([]byte("mark"), []byte("done"))
		b.Append([]byte("log"), nil)
		build(&b)
		r, err := s.Apply(bg(), &b)
		if ok != (err == nil) || (!ok && !errors.Is(err, store.ErrConflict)) {
			t.Fatalf("Apply: %v, want success %v", err, ok)
		}
		if !ok {
			want(t, s, "mark", "<none>")
			if r != (store.Receipt{}) {
				t.Fatal("a refused batch has a receipt:", r)
			}
			return
		}
		want(t, s, "mark", "done")
		apply(t, s, func(b *store.Batch) { b.Delete([]byte("mark")) })
	}
	try(true, func(b *store.Batch) { b.Expect([]byte("a"), []byte("1")) })
	try(false, func(b *store.Batch) { b.Expect([]byte("a"), []byte("2")) })
	try(false, func(b *store.Batch) { b.Expect([]byte("a"), []byte("12")) })
	try(false, func(b *store.Batch) { b.Expect([]byte("a"), []byte{}) })
	try(false, func(b *store.Batch) { b.Expect([]byte("a"), nil) })
	try(true, func(b *store.Batch) { b.Expect([]byte("b"), nil) })
	try(false, func(b *store.Batch) { b.Expect([]byte("b"), []byte{}) })
	try(true, func(b *store.Batch) { b.Expect([]byte("empty"), []byte{}) })
	try(false, func(b *store.Batch) { b.Expect([]byte("empty"), nil) })
	// A condition speaks of the time before the batch, wherever it stands in it.
	try(true, func(b *store.Batch) { b.Put([]byte("a"), []byte("2")); b.Expect([]byte("a"), []byte("1")) })
	try(false, func(b *store.Batch) { b.Put([]byte("a"), []byte("3")); b.Expect([]byte("a"), []byte("3")) })
	try(false, func(b *store.Batch) { b.Expect([]byte("a"), []byte("2")); b.Expect([]byte("a"), []byte("1")) })
	want(t, s, "a", "2")
	if r := apply(t, s, func(b *store.Batch) { b.Append([]byte("log"), nil) }); r.First != 5 {
		t.Fatalf("refused batches took sequence numbers: the fifth Append got %d", r.First)
	}
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// change reads key, and writes what f makes of it under the condition that it did not change, till that holds.
func change(s store.Store, key []byte, f func(n uint64) uint64) error {
	for {
		old, err := s.Get(bg(), nil, key)
		var b store.Batch
		n := uint64(0)
		if errors.Is(err, store.ErrNotFound) {
			b.Expect(key, nil)
		} else if err != nil {
			return err
		} else {
			b.Expect(key, old)
			n = binary.BigEndian.Uint64(old)
		}
		b.Put(key, number(f(n)))
		if _, err := s.Apply(bg(), &b); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// together runs n goroutines and fails t with their first error.
func together(t testing.TB, n int, run func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = run(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func expectIncrement(t *testing.T, s store.Store) {
	const writers, each = 8, 25
	together(t, writers, func(int) error {
		for range each {
			if err := change(s, []byte("n"), func(n uint64) uint64 { return n + 1 }); err != nil {
				return err
			}
		}
		return nil
	})
	want(t, s, "n", string(number(writers*each)))
}

// expectTransfer moves money between accounts; the sum that any reader sees never changes.
func expectTransfer(t *testing.T, s store.Store) {
	const accounts, start, movers, moves = 5, 100, 4, 25
	account := func(i int) []byte { return fmt.Appendf(nil, "account/%d", i) }
	apply(t, s, func(b *store.Batch) {
		for i := range accounts {
			b.Put(account(i), number(start))
		}
	})
	ctx, cancel := context.WithCancel(bg())
	defer cancel()
	watch := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			sum := uint64(0)
			if err := s.Range(bg(), store.Under([]byte("account/")), func(_, v []byte) error {
				sum += binary.BigEndian.Uint64(v)
				return nil
			}); err != nil {
				watch <- err
				return
			}
			if sum != accounts*start {
				watch <- fmt.Errorf("a Range saw a half-applied batch: the accounts hold %d, not %d", sum, accounts*start)
				return
			}
		}
		watch <- nil
	}()
	together(t, movers, func(i int) error {
		rnd := rand.New(rand.NewPCG(uint64(i), 1))
		for done := 0; done < moves; {
			from, to := rnd.IntN(accounts), rnd.IntN(accounts)
			if from == to {
				continue
			}
			a, err := s.Get(bg(), nil, account(from))
			if err != nil {
				return err
			}
			c, err := s.Get(bg(), nil, account(to))
			if err != nil {
				return err
			}
			var b store.Batch
			b.Expect(account(from), a)
			b.Expect(account(to), c)
			b.Put(account(from), number(binary.BigEndian.Uint64(a)-1))
			b.Put(account(to), number(binary.BigEndian.Uint64(c)+1))
			if _, err = s.Apply(bg(), &b); err == nil {
				done++
			} else if !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return nil
	})
	cancel()
	if err := <-watch; err != nil {
		t.Fatal(err)
	}
}

func snapshots(t *testing.T, s store.Store) {
	none, err := s.Snapshot(bg())
	if err != nil {
		t.Fatal(err)
	}
	if none.Sequence() != 0 {
		t.Fatal("the sequence of an empty store is", none.Sequence())
	}
	r := apply(t, s, func(b *store.Batch) {
		b.Put([]byte("a"), []byte("1"))
		b.Put([]byte("b"), []byte("1"))
		b.Append([]byte("log"), []byte("1"))
	})
	one, err := s.Snapshot(bg())
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, func(b *store.Batch) {
		b.Put([]byte("a"), []byte("2"))
		b.Delete([]byte("b"))
		b.Put([]byte("c"), []byte("2"))
		b.Append([]byte("log"), []byte("2"))
	})
	if one.Sequence() != r.Last || r.Last != 1 {
		t.Fatalf("the snapshot's sequence is %d, the receipt's %d, want 1", one.Sequence(), r.Last)
	}
	for range 2 {
		same(t, "first snapshot", list(t, none, store.Span{}), []string{})
		same(t, "second snapshot", list(t, one, store.Span{To: []byte("l")}), []string{"a=1", "b=1"})
		same(t, "second snapshot, log", list(t, one, store.Under([]byte("log"))), []string{string(store.LogKey([]byte("log"), 1)) + "=1"})
		want(t, none, "a", "<none>")
		want(t, one, "a", "1")
		want(t, one, "c", "<none>")
		want(t, s, "a", "2")
	}
	// Reads inside a visit, on the snapshot and on the store.
	if err := one.Range(bg(), store.Span{}, func(k, v []byte) error {
		want(t, one, string(k), string(v))
		_ = list(t, one, store.Span{Reverse: true})
		want(t, s, "b", "<none>")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	together(t, 4, func(int) error {
		for range 10 {
			if err := one.Range(bg(), store.Span{}, func(k, v []byte) error { return nil }); err != nil {
				return err
			}
			if _, err := one.Get(bg(), nil, []byte("a")); err != nil {
				return err
			}
		}
		return nil
	})
	for _, n := range []store.Snapshot{none, one} {
		if err := n.Close(); err != nil {
			t.Fatal("closing a snapshot:", err)
		}
		if err := n.Close(); err != nil {
			t.Fatal("closing a snapshot again:", err)
		}
	}
	if _, err := one.Get(bg(), nil, []byte("a")); !errors.Is(err, store.ErrClosed) {
		t.Fatal("Get of a closed snapshot:", err)
	}
	if err := one.Range(bg(), store.Span{}, func(k, v []byte) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Fatal("Range of a closed snapshot:", err)
	}
}

func rangeEdges(t *testing.T, s store.Store) {
	same(t, "an empty store", list(t, s, store.Span{}), []string{})
	same(t, "an empty store, backwards", list(t, s, store.Span{Reverse: true}), []string{})
	keys := []string{"\x00", "\x00\x00", "a", "a\x00", "a\x00\x00", "a\x00b", "a\x01", "ab", "a\xff", "b", "\xfe", "\xff", "\xff\x00", "\xff\xff"}
	for _, k := range keys {
		put(t, s, k, "v")
	}
	r := apply(t, s, func(b *store.Batch) { b.Append([]byte("log"), []byte("v")) })
	if r.First != 1 {
		t.Fatal("first number:", r)
	}
	keys = append(keys, string(store.LogKey([]byte("log"), 1)))
	sort.Strings(keys)

	edge := [][]byte{nil, {}, []byte("zz")}
	for _, k := range keys {
		edge = append(edge, []byte(k))
	}
	for _, from := range edge {
		for _, to := range edge {
			for _, reverse := range []bool{false, true} {
				span := store.Span{From: from, To: to, Reverse: reverse}
				same(t, fmt.Sprintf("%v", span), list(t, s, span), model(keys, span))
			}
		}
	}
	for _, prefix := range []string{"", "a", "a\x00", "\xff", "\xff\xff", "q"} {
		span := store.Under([]byte(prefix))
		same(t, fmt.Sprintf("under %q", prefix), list(t, s, span), model(keys, span))
		n := 0
		for _, k := range keys {
			if len(k) >= len(prefix) && k[:len(prefix)] == prefix {
				n++
			}
		}
		if got := len(list(t, s, span)); got != n {
			t.Fatalf("under %q: %d keys, want %d", prefix, got, n)
		}
	}

	// Many spans at once are each as it is alone, in any order, and Stop ends one of them.
	var spans []store.Span
	for _, from := range edge {
		for _, to := range edge {
			spans = append(spans, store.Span{From: from, To: to})
		}
	}
	view, err := s.Snapshot(bg())
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	for round, r := range []store.Reader{s, view, s} {
		if round == 2 {
			slices.Reverse(spans)
		}
		got := make([][]string, len(spans))
		if err := store.Ranges(bg(), r, len(spans), func(i int) store.Span { return spans[i] }, func(i int, k, v []byte) error {
			got[i] = append(got[i], string(k)+"="+string(v))
			if i%3 == 1 && len(got[i]) == 2 {
				return store.Stop
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for i, span := range spans {
			want := model(keys, span)
			if i%3 == 1 {
				want = want[:min(2, len(want))]
			}
			same(t, fmt.Sprintf("span %d, %v", i, span), append([]string{}, got[i]...), want)
		}
	}
	broken := errors.New("broken")
	last := -1
	if err := store.Ranges(bg(), s, len(spans), func(i int) store.Span { return spans[i] }, func(i int, k, v []byte) error {
		last = i
		return broken
	}); err != broken || last > len(spans)-1 {
		t.Fatal("an error of visit:", err, last)
	}
	over, cancel := context.WithCancel(bg())
	cancel()
	if err := store.Ranges(over, s, len(spans), func(i int) store.Span { return spans[i] }, func(int, []byte, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal("canceled:", err)
	}

	visits, boom := 0, errors.New("boom")
	stop := func(err error) func(k, v []byte) error {
		visits = 0
		return func(k, v []byte) error {
			if visits++; visits == 3 {
				return err
			}
			return nil
		}
	}
	if err := s.Range(bg(), store.Span{}, stop(store.Stop)); err != nil || visits != 3 {
		t.Fatal("Stop:", err, visits)
	}
	if err := s.Range(bg(), store.Span{Reverse: true}, stop(boom)); err != boom || visits != 3 {
		t.Fatal("an error of visit:", err, visits)
	}
}

// model is what a Range over keys, sorted, must show.
func model(keys []string, span store.Span) []string {
	out := []string{}
	for _, k := range keys {
		if k >= string(span.From) && (span.To == nil || k < string(span.To)) {
			out = append(out, k+"=v")
		}
	}
	if span.Reverse {
		slices.Reverse(out)
	}
	return out
}

func rangeRandom(t *testing.T, s store.Store) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	have := map[string]bool{}
	for range 4 {
		apply(t, s, func(b *store.Batch) {
			for range 1200 {
				k := randomKey(rnd)
				b.Put(k, []byte("v"))
				have[string(k)] = true
			}
			for k := range have {
				if rnd.IntN(10) == 0 {
					b.Delete([]byte(k))
					delete(have, k)
				}
			}
		})
	}
	keys := []string{}
	for k := range have {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, reverse := range []bool{false, true} {
		span := store.Span{Reverse: reverse}
		same(t, "everything", list(t, s, span), model(keys, span))
	}
	for range 200 {
		span := store.Span{From: randomKey(rnd), To: randomKey(rnd), Reverse: rnd.IntN(2) == 0}
		switch rnd.IntN(8) {
		case 0:
			span.From = nil
		case 1:
			span.To = nil
		case 2:
			under := store.Under(span.From)
			span.From, span.To = under.From, under.To
		case 3, 4:
			span = OneSubject(rnd)
		}
		same(t, fmt.Sprintf("%v", span), list(t, s, span), model(keys, span))
	}
}

// randomKey is short and made of few letters, zero and 0xff among them, so that keys meet and nest; every third is one of several about the same (store.Subject).
func randomKey(rnd *rand.Rand) []byte {
	const letters = "\x00\x01a.b8\xfe\xff"
	k := make([]byte, 1+rnd.IntN(7))
	for i := range k {
		k[i] = letters[rnd.IntN(len(letters))]
	}
	if rnd.IntN(3) == 0 {
		k = append([]byte("E\x00k"), k...)
	}
	return k
}

// OneSubject is a random span of keys that are about the same.
func OneSubject(rnd *rand.Rand) store.Span {
	for {
		from := randomKey(rnd)
		n := store.Subject(from)
		span := store.Span{From: from, To: append(from[:n:n], 0xff)}
		if rnd.IntN(3) == 0 {
			span.To[n] = byte(rnd.IntN(255))
		}
		if span.OneSubject() {
			return span
		}
	}
}

func rangeSeesNoWrites(t *testing.T, s store.Store) {
	const n = 1500
	apply(t, s, func(b *store.Batch) {
		for i := range n {
			b.Put(fmt.Appendf(nil, "k%05d", i), []byte("v"))
		}
	})
	for _, reverse := range []bool{false, true} {
		visits := 0
		if err := s.Range(bg(), store.Span{Reverse: reverse}, func(k, v []byte) error {
			if string(v) != "v" {
				t.Fatalf("%q holds %q, written during the Range", k, v)
			}
			if visits++; visits%500 == 1 {
				key := bytes.Clone(k)
				apply(t, s, func(b *store.Batch) {
					b.Put(append(key, '+'), []byte("new"))
					b.Put([]byte("k99999"), []byte("new"))
					b.Put([]byte("k00000-"), []byte("new"))
					b.Put([]byte("k00750"), []byte("new"))
					b.Delete([]byte("k01499"))
				})
				want(t, s, "k00750", "new")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if visits != n {
			t.Fatalf("%d visits, want %d", visits, n)
		}
		// As it was, for the second round.
		apply(t, s, func(b *store.Batch) {
			for _, kv := range list(t, s, store.Span{}) {
				if k, isNew := bytes.CutSuffix([]byte(kv), []byte("=new")); isNew {
					b.Delete(k)
				}
			}
			b.Put([]byte("k00750"), []byte("v"))
			b.Put([]byte("k01499"), []byte("v"))
		})
	}
}

func sequence(t *testing.T, s store.Store) {
	r := apply(t, s, func(b *store.Batch) {
		b.Append([]byte("log/"), []byte("one"))
		b.Put([]byte("x"), nil)
		b.Append([]byte("other/"), []byte("two"))
		b.Append([]byte("log/"), []byte("three"))
	})
	if r != (store.Receipt{First: 1, Last: 3}) {
		t.Fatal("receipt:", r)
	}
	if r := apply(t, s, func(b *store.Batch) { b.Put([]byte("y"), nil) }); r != (store.Receipt{}) {
		t.Fatal("receipt of a batch without Append:", r)
	}
	if r := apply(t, s, func(b *store.Batch) { b.Append([]byte("log/"), []byte("four")) }); r != (store.Receipt{First: 4, Last: 4}) {
		t.Fatal("receipt:", r)
	}
	var got []string
	if err := s.Range(bg(), store.Under([]byte("log/")), func(k, v []byte) error {
		got = append(got, fmt.Sprint(store.LogNumber(k), string(v)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	same(t, "log", got, []string{"1one", "3three", "4four"})
	n, err := s.Snapshot(bg())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.Sequence() != 4 {
		t.Fatal("sequence:", n.Sequence())
	}
}

// sequenceFollowed appends from many goroutines while a follower reads what came after its cursor: it must see every
// number once, in order, without a gap.
func sequenceFollowed(t *testing.T, s store.Store) {
	const writers, each, perBatch = 6, 20, 3
	followed := make(chan error, 1)
	go func() {
		cursor := uint64(0)
		for cursor < writers*each*perBatch {
			if err := s.Wait(bg(), cursor); err != nil {
				followed <- err
				return
			}
			err := s.Range(bg(), store.Span{From: store.LogKey([]byte("log"), cursor+1), To: []byte("loh")}, func(k, v []byte) error {
				if n := store.LogNumber(k); n != cursor+1 {
					return fmt.Errorf("after number %d the follower sees %d", cursor, n)
				}
				cursor++
				return nil
			})
			if err != nil {
				followed <- err
				return
			}
		}
		followed <- nil
	}()
	var mu sync.Mutex
	seen := map[uint64]int{}
	together(t, writers, func(w int) error {
		last := uint64(0)
		for range each {
			var b store.Batch
			for range perBatch {
				b.Append([]byte("log"), fmt.Appendf(nil, "%d", w))
			}
			r, err := s.Apply(bg(), &b)
			if err != nil {
				return err
			}
			if r.Last-r.First+1 != perBatch || r.First <= last {
				return fmt.Errorf("receipt %v after %d", r, last)
			}
			last = r.Last
			mu.Lock()
			for n := r.First; n <= r.Last; n++ {
				seen[n] = w
			}
			mu.Unlock()
			// Who was told of a number never has to wait for it.
			if err := s.Wait(bg(), r.Last-1); err != nil {
				return err
			}
			n, err := s.Snapshot(bg())
			if err != nil {
				return err
			}
			if n.Sequence() < r.Last {
				err = fmt.Errorf("a snapshot after number %d says %d", r.Last, n.Sequence())
			}
			if err := errors.Join(err, n.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err := <-followed; err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= writers*each*perBatch; n++ {
		if _, ok := seen[n]; !ok {
			t.Fatal("nobody's receipt has number", n)
		}
		want(t, s, string(store.LogKey([]byte("log"), n)), fmt.Sprint(seen[n]))
	}
}

func wait(t *testing.T, s store.Store) {
	ctx, cancel := context.WithTimeout(bg(), 20*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("Wait on an empty store:", err)
	}
	woken := make(chan error, 3)
	for i := range 3 {
		go func() { woken <- s.Wait(bg(), uint64(i)) }()
	}
	apply(t, s, func(b *store.Batch) { b.Put([]byte("x"), nil) })
	apply(t, s, func(b *store.Batch) { b.Append([]byte("log"), nil) })
	apply(t, s, func(b *store.Batch) { b.Append([]byte("log"), nil); b.Append([]byte("log"), nil) })
	for range 3 {
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Wait(bg(), 2); err != nil {
		t.Fatal(err)
	}
	ctx2, cancel2 := context.WithCancel(bg())
	go func() { woken <- s.Wait(ctx2, 3) }()
	cancel2()
	if err := <-woken; !errors.Is(err, context.Canceled) {
		t.Fatal("Wait after cancel:", err)
	}
}

func limits(t *testing.T, s store.Store) {
	refused := func(kind problem.Kind, build func(b *store.Batch)) {
		t.Helper()
		var b store.Batch
		b.Put([]byte("mark"), nil)
		build(&b)
		if _, err := s.Apply(bg(), &b); !problem.Is(err, kind) {
			t.Fatalf("Apply: %v, want %v", err, kind)
		}
		want(t, s, "mark", "<none>")
	}
	long := bytes.Repeat([]byte("k"), store.MaxKey+1)
	refused(problem.TooLarge, func(b *store.Batch) { b.Put(long, nil) })
	refused(problem.TooLarge, func(b *store.Batch) { b.Delete(long) })
	refused(problem.TooLarge, func(b *store.Batch) { b.Append(long[:store.MaxKey-store.SequenceSize+1], nil) })
	big := make([]byte, store.MaxValue+1)
	refused(problem.TooLarge, func(b *store.Batch) { b.Put([]byte("v"), big) })
	refused(problem.TooLarge, func(b *store.Batch) {
		for i := range store.MaxBatch/store.MaxValue + 1 {
			b.Put(fmt.Appendf(nil, "v%d", i), big[:store.MaxValue])
		}
	})
	refused(problem.BadRequest, func(b *store.Batch) { b.Put(nil, nil) })
	refused(problem.BadRequest, func(b *store.Batch) { b.Append(nil, nil) })
	refused(problem.BadRequest, func(b *store.Batch) { b.Ops = append(b.Ops, store.Op{Key: []byte("k")}) })
	refused(problem.BadRequest, func(b *store.Batch) { b.Ops = append(b.Ops, store.Op{Kind: 99, Key: []byte("k")}) })

	// The largest key, in forms that neither compress nor have a zero byte, and with one.
	rnd := rand.New(rand.NewPCG(1, 1))
	keys := [][]byte{long[:store.MaxKey], make([]byte, store.MaxKey), make([]byte, store.MaxKey)}
	for i := range store.MaxKey {
		keys[1][i] = byte(1 + rnd.IntN(255))
		keys[2][i] = byte(1 + rnd.IntN(255))
	}
	keys[2][store.MaxKey/2] = 0
	log := bytes.Clone(keys[1][:store.MaxKey-store.SequenceSize])
	log[0]++
	value := big[:store.MaxValue]
	for i := range value {
		value[i] = byte(rnd.Uint32())
	}
	apply(t, s, func(b *store.Batch) {
		for _, k := range keys {
			b.Put(k, k)
		}
		b.Append(log, log)
		b.Put([]byte("v"), value)
	})
	for _, k := range append(keys, store.LogKey(log, 1)) {
		got, err := s.Get(bg(), nil, k)
		if err != nil || !bytes.HasPrefix(k, got) {
			t.Fatal("the largest key:", err)
		}
	}
	if got, err := s.Get(bg(), nil, []byte("v")); err != nil || !bytes.Equal(got, value) {
		t.Fatal("the largest value:", err)
	}
	if got := list(t, s, store.Span{}); len(got) != 5 {
		t.Fatal("keys listed:", len(got))
	}
}

// largeBatch is one that engines treat differently from small ones.
func largeBatch(t *testing.T, s store.Store) {
	const n = 20000
	key := func(i int) []byte { return fmt.Appendf(nil, "r88.%d\x00item-%d", i%7, i*7919%n) }
	for round := range 3 { // all new, all there, half there
		value := fmt.Appendf(nil, "value of round %d", round)
		r := apply(t, s, func(b *store.Batch) {
			for i := range n {
				if round == 0 {
					b.Expect(key(i), nil)
				}
				b.Put(key(i), value)
				if i%10 == 0 {
					b.Append([]byte("log\x00"), value)
				}
				if round == 1 && i%2 == 0 {
					b.Delete(key(i))
				}
			}
		})
		if r.Last != uint64(round+1)*n/10 {
			t.Fatal("receipt:", r)
		}
		wanted := n
		if round == 1 {
			wanted = n / 2
		}
		count := 0
		if err := s.Range(bg(), store.Under([]byte("r")), func(k, v []byte) error {
			if count++; !bytes.Equal(v, value) {
				return fmt.Errorf("%q holds %q", k, v)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if count != wanted {
			t.Fatalf("round %d: %d keys, want %d", round, count, wanted)
		}
	}
}

func contexts(t *testing.T, s store.Store) {
	put(t, s, "a", "1", "b", "2")
	ctx, cancel := context.WithCancel(bg())
	cancel()
	var b store.Batch
	b.Put([]byte("a"), []byte("2"))
	if _, err := s.Apply(ctx, &b); !errors.Is(err, context.Canceled) {
		t.Fatal("Apply:", err)
	}
	want(t, s, "a", "1")
	if _, err := s.Snapshot(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal("Snapshot:", err)
	}
	if err := s.Range(ctx, store.Span{}, func(k, v []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal("Range:", err)
	}
	if err := s.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Fatal("Wait:", err)
	}
	want(t, s, "a", "1")
}

func closed(t *testing.T, s store.Store) {
	put(t, s, "a", "1")
	n, err := s.Snapshot(bg())
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- s.Wait(bg(), 1000) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, store.ErrClosed) {
		t.Fatal("Wait while the store was closed:", err)
	}
	var b store.Batch
	b.Put([]byte("a"), []byte("2"))
	_, applied := s.Apply(bg(), &b)
	_, got := s.Get(bg(), nil, []byte("a"))
	_, snapped := s.Snapshot(bg())
	_, frozen := n.Get(bg(), nil, []byte("a"))
	visit := func(k, v []byte) error { return nil }
	for what, err := range map[string]error{
		"Apply": applied, "Get": got, "Snapshot": snapped, "Wait": s.Wait(bg(), 0),
		"Range": s.Range(bg(), store.Span{}, visit), "Snapshot.Get": frozen, "Snapshot.Range": n.Range(bg(), store.Span{}, visit),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s of a closed store: %v", what, err)
		}
	}
	if err := n.Close(); err != nil {
		t.Error("closing a snapshot after its store:", err)
	}
	if err := s.Close(); err != nil {
		t.Error("closing again:", err)
	}
}

func closeUnderLoad(t *testing.T, s store.Store) {
	put(t, s, "a", "1", "b", "1")
	var started sync.WaitGroup
	started.Add(8)
	ended := make(chan error, 8)
	for i := range 8 {
		go func() {
			first := true
			for {
				var err error
				switch i % 4 {
				case 0:
					var b store.Batch
					b.Put(fmt.Appendf(nil, "k%d", i), nil)
					b.Append([]byte("log"), nil)
					_, err = s.Apply(bg(), &b)
				case 1:
					_, err = s.Get(bg(), nil, []byte("a"))
				case 2:
					err = s.Range(bg(), store.Span{}, func(k, v []byte) error {
						_, err := s.Get(bg(), nil, k)
						return err
					})
				case 3:
					var n store.Snapshot
					if n, err = s.Snapshot(bg()); err == nil {
						_, err = n.Get(bg(), nil, []byte("a"))
						err = errors.Join(err, n.Close())
					}
				}
				if first {
					first = false
					started.Done()
				}
				if err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	started.Wait()
	if err := s.Close(); err != nil {
		t.Error("Close:", err)
	}
	for range 8 {
		if err := <-ended; !errors.Is(err, store.ErrClosed) {
			t.Error("a call while the store was closed:", err)
		}
	}
}
