package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUnder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytesOf := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 4)
		prefix, key := bytesOf.Draw(t, "prefix"), bytesOf.Draw(t, "key")
		span := store.Under(prefix)
		in := bytes.Compare(key, span.From) >= 0 && (span.To == nil || bytes.Compare(key, span.To) < 0)
		if in != bytes.HasPrefix(key, prefix) {
			t.Fatalf("%q under %q: %v", key, prefix, in)
		}
	})
}

func TestLogKey(t *testing.T) {
	k := store.LogKey([]byte("log"), 258)
	if string(k) != "log\x00\x00\x00\x00\x00\x00\x01\x02" || store.LogNumber(k) != 258 {
		t.Fatalf("%q", k)
	}
}

func TestErrorsSpeakBothLanguages(t *testing.T) {
	for _, err := range []error{store.ErrNotFound, store.ErrConflict, store.ErrFull, store.ErrUncertain, store.ErrClosed} {
		if problem.Say(err, problem.Chinese) == problem.Say(err, problem.English) {
			t.Error(err)
		}
		if !errors.Is(fmt.Errorf("wrapped: %w", err), err) || errors.Is(err, store.Stop) {
			t.Error(err)
		}
	}
	if errors.Is(store.ErrFull, store.ErrNotFound) {
		t.Error("errors are confused")
	}
}

func TestReadAhead(t *testing.T) {
	ctx := t.Context()
	s := memory.New()
	defer s.Close()
	value := make([]byte, 5000)
	const n = 3000
	var b store.Batch
	for i := range n {
		b.Put(fmt.Appendf(nil, "k%05d", i), value[:i%5000])
	}
	if _, err := s.Apply(ctx, &b); err != nil {
		t.Fatal(err)
	}
	for _, reverse := range []bool{false, true} {
		i := 0
		if err := store.ReadAhead(ctx, s, store.Span{Reverse: reverse}, func(k, v []byte) error {
			want := i
			if reverse {
				want = n - 1 - i
			}
			if i++; string(k) != fmt.Sprintf("k%05d", want) || len(v) != want%5000 {
				return fmt.Errorf("%q with %d bytes in the place of %d", k, len(v), want)
			}
			return nil
		}); err != nil || i != n {
			t.Fatal(i, err)
		}
	}
	boom := errors.New("boom")
	for _, at := range []int{1, 2, 700, 2999} {
		for _, end := range []error{boom, store.Stop} {
			i := 0
			err := store.ReadAhead(ctx, s, store.Span{}, func(k, v []byte) error {
				if i++; i == at {
					return end
				}
				return nil
			})
			if i != at || (end == boom) != (err == boom) || (end == store.Stop) != (err == nil) {
				t.Fatal(i, err)
			}
		}
	}
	gone, cancel := context.WithCancel(ctx)
	i := 0
	if err := store.ReadAhead(gone, s, store.Span{}, func(k, v []byte) error {
		if i++; i == 10 {
			cancel()
		}
		return nil
	}); !errors.Is(err, context.Canceled) || i != 10 {
		t.Fatal(i, err)
	}
	if err := store.ReadAhead(ctx, s, store.Span{From: []byte("z")}, func(k, v []byte) error { return boom }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := store.ReadAhead(ctx, s, store.Span{}, func(k, v []byte) error { return boom }); !errors.Is(err, store.ErrClosed) {
		t.Fatal(err)
	}
}
