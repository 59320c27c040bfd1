package store_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/store"
)

// What engines expect of subjects, or else their filters hide keys.
func TestSubjectsAreInOrder(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) []byte {
		tail := rapid.SliceOfN(rapid.SampledFrom([]byte("\x00\x00\x01Ek\xfe\xff")), 0, 8).Draw(t, "tail")
		return append([]byte(rapid.SampledFrom([]string{"", "E", "E\x00", "E\x00k", "E\x00k", "Es\x00k"}).Draw(t, "head")), tail...)
	})
	shared, spans := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		if rapid.Bool().Draw(t, "neighbours") {
			b = append(a[:store.Subject(a):store.Subject(a)], gen.Draw(t, "place")...)
		}
		if bytes.Compare(a, b) > 0 {
			a, b = b, a
		}
		x, y := a[:store.Subject(a)], b[:store.Subject(b)]
		if len(x) < len(a) {
			shared++
		}
		if store.Subject(x) != len(x) {
			t.Fatalf("the subject %x of %x has a subject of its own", x, a)
		}
		if bytes.Compare(x, y) > 0 {
			t.Fatalf("%x stands before %x, and its subject %x behind %x", a, b, x, y)
		}
		span := store.Span{From: a, To: b}
		if k := gen.Draw(t, "k"); span.OneSubject() && bytes.Compare(a, k) <= 0 && bytes.Compare(k, b) < 0 {
			spans++
			if !bytes.Equal(k[:store.Subject(k)], x) {
				t.Fatalf("%x stands in the span %x to %x of one subject, and has another", k, a, b)
			}
		}
		if span.OneSubject() {
			for _, k := range [][]byte{append(bytes.Clone(a), 0), append(bytes.Clone(a), 0xff), append(bytes.Clone(x), 0xfe)} {
				if bytes.Compare(a, k) <= 0 && bytes.Compare(k, b) < 0 && !bytes.Equal(k[:store.Subject(k)], x) {
					t.Fatalf("%x stands in the span %x to %x of one subject, and has another", k, a, b)
				}
			}
		}
	})
	if shared == 0 {
		t.Fatal("no key shared its subject")
	}
}

func TestSubjects(t *testing.T) {
	for _, c := range []struct {
		key string
		n   int
	}{
		{"", 0}, {"E", 1}, {"E\x00k", 3}, {"a\x00", 2}, {"E\x00k\x00", 4}, {"E\x00kA\x00123456", 5}, {"Espace\x00kA\x00123456", 10}, {"E\x00tA\x00123456", 11},
		{"E\x00kA\x00\xff\x00B", 7}, {"E\x00kA\x00\xffB", 7}, {"E\x00kA", 4}, {"F\x00kA\x00123456", 11},
	} {
		if n := store.Subject([]byte(c.key)); n != c.n {
			t.Errorf("%q: %d, want %d", c.key, n, c.n)
		}
	}
	for _, c := range []struct {
		from, to string
		one      bool
	}{
		{"E\x00kA\x00", "E\x00kA\x00\xff", true}, {"E\x00kA\x001", "E\x00kA\x002", true}, {"E\x00kA\x00", "E\x00kA\x00\xff\x00", false}, {"E\x00kA\x00", "E\x00kA\x01", false},
		{"E\x00kA\x00", "E\x00kA\x00", false}, {"a\x00", "a\x00\x01", false}, {"E\x00kA", "E\x00kA\x001", false}, {"", "", false},
	} {
		s := store.Span{From: []byte(c.from), To: []byte(c.to)}
		if s.OneSubject() != c.one {
			t.Errorf("%q to %q: %v", c.from, c.to, !c.one)
		}
	}
}
