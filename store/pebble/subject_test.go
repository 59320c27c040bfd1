package pebble

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fujie-id/fujie/store"
)

// What the engine asks of an order with subjects, but that a subject without its first bytes were one: only tables of other stores, put into this one under a
// different prefix, would want that. Order itself: TestSubjectsAreInOrder.
func TestComparer(t *testing.T) {
	var prefixes [][]byte
	for _, name := range []string{"A", "AB", "A\x00\xff", "\xff", ""} {
		prefixes = append(prefixes, []byte("E\x00k"+name+"\x00"), []byte("Espace\x00k"+name+"\x00"))
	}
	for _, p := range prefixes {
		for _, place := range []string{"", "1", "\x00\x00", "\xfe\xff"} {
			if n := comparer.Split(append(bytes.Clone(p), place...)); n != len(p) {
				t.Errorf("%x and %x: %d", p, place, n)
			}
		}
		next := comparer.ImmediateSuccessor(nil, p)
		if comparer.Split(next) != len(next) || bytes.Compare(p, next) >= 0 || bytes.Compare(append(bytes.Clone(p), 0xfe, 0xff), next) >= 0 {
			t.Errorf("after %x comes %x", p, next)
		}
	}
	if next := comparer.ImmediateSuccessor(nil, []byte("a\x00")); !bytes.Equal(next, []byte("a\x00\x00")) {
		t.Errorf("%x", next)
	}
}

// A folder with tables in all levels, some of them of a time in which filters were of whole keys, shows all its keys.
func TestSubjectsOfOldAndNewTables(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	fs, ctx := vfs.NewMem(), context.Background()
	model := map[string]string{}
	key := func() []byte {
		const letters = "\x00\x01Ek\xfe\xff"
		k := []byte([]string{"E\x00k", "E\x00k", "Es\x00k", "E\x00t", ""}[rnd.IntN(5)])
		for range 1 + rnd.IntN(7) {
			k = append(k, letters[rnd.IntN(len(letters))])
		}
		return k
	}
	some := func(apply func(k, v []byte)) {
		for range 300 {
			k, v := key(), fmt.Appendf(nil, "%d", rnd.Uint32())
			if rnd.IntN(5) == 0 {
				v = nil
				delete(model, string(k))
			} else {
				model[string(k)] = string(v)
			}
			apply(k, v)
		}
	}
	// As folders were before.
	opts := (&Store{}).options(Options{FS: fs, MemTable: 1 << 20})
	opts.FS, opts.Comparer = fs, pebble.DefaultComparer
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open("db", opts)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		some(func(k, v []byte) {
			if v == nil {
				err = db.Delete(k, nil)
			} else {
				err = db.Set(k, v, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s, err := Open("db", Options{FS: fs, MemTable: 1 << 20, Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	spans := 0
	check := func() {
		t.Helper()
		var keys []string
		for k := range model {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for range 400 {
			from := key()
			n := store.Subject(from)
			span := store.Span{From: from, To: append(from[:n:n], 0xff)}
			if rnd.IntN(3) == 0 {
				span.To[n] = byte(rnd.IntN(255))
			}
			if bytes.Compare(span.From, span.To) >= 0 {
				continue
			}
			if span.OneSubject() {
				spans++
			}
			var want, alone, among []string
			for _, k := range keys {
				if k >= string(span.From) && k < string(span.To) {
					want = append(want, k+"="+model[k])
				}
			}
			if err := s.Range(ctx, span, func(k, v []byte) error { alone = append(alone, string(k)+"="+string(v)); return nil }); err != nil {
				t.Fatal(err)
			}
			if err := s.Ranges(ctx, 2, func(i int) store.Span {
				if i == 0 {
					return store.Span{From: key()}
				}
				return span
			}, func(i int, k, v []byte) error {
				if i == 0 {
					return store.Stop
				}
				among = append(among, string(k)+"="+string(v))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(alone, want) || !slices.Equal(among, want) {
				t.Fatalf("from %x to %x: %q alone, %q among others, want %q", span.From, span.To, alone, among, want)
			}
			v, err := s.Get(ctx, nil, from)
			if w, there := model[string(from)]; there != (err == nil) || string(v) != w {
				t.Fatalf("Get of %x: %q, %v; want %q", from, v, err, w)
			}
		}
	}
	check()
	for round := range 6 {
		var b store.Batch
		some(func(k, v []byte) {
			if v == nil {
				b.Delete(bytes.Clone(k))
			} else {
				b.Put(bytes.Clone(k), v)
			}
		})
		if _, err := s.Apply(ctx, &b); err != nil {
			t.Fatal(err)
		}
		check()
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		check()
		if round%3 == 2 {
			if err := s.db.Compact(ctx, []byte{0}, []byte{0xff, 0xff, 0xff}, false); err != nil {
				t.Fatal(err)
			}
			check()
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open("db", Options{FS: fs, MemTable: 1 << 20, Cache: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	check()
	if spans < 500 {
		t.Fatalf("%d spans were of one subject", spans)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
