package table_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/table"
)

type grant struct {
	ID, Email string
	Roles     []string
	Until     uint32
}

func grants() *table.Table[grant] {
	return &table.Table[grant]{
		Name: "grant",
		Key:  func(g grant) []byte { return []byte(g.ID) },
		Indexes: []table.Index[grant]{
			{Name: "email", Unique: true, Values: func(g grant) [][]byte {
				if g.Email == "" {
					return nil
				}
				return [][]byte{[]byte(g.Email)}
			}},
			{Name: "role", Values: func(g grant) (out [][]byte) {
				for _, r := range g.Roles {
					out = append(out, []byte(r))
				}
				return out
			}},
			{Name: "until", Values: func(g grant) [][]byte { return [][]byte{binary.BigEndian.AppendUint32(nil, g.Until)} }},
		},
	}
}

func ids(t interface{ Fatal(...any) }, list func(visit func(grant) error) error) string {
	var out []string
	if err := list(func(g grant) error { out = append(out, g.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestTable(t *testing.T) {
	ctx := t.Context()
	s := memory.New()
	defer s.Close()
	g := grants()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	for _, v := range []grant{
		{"b", "b@x", []string{"admin"}, 20}, {"a", "a@x", []string{"admin", "reader", "reader"}, 10}, {"c", "", []string{"reader"}, 300}, {"c\x00d", "", nil, 5},
	} {
		if err := g.Put(ctx, s, v); err != nil {
			t.Fatal(err)
		}
	}
	by := func(index string, span store.Span) string {
		t.Helper()
		return ids(t, func(visit func(grant) error) error { return g.By(ctx, s, index, span, visit) })
	}
	is := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %q, want %q", what, got, want)
		}
	}
	is("all", ids(t, func(v func(grant) error) error { return g.Range(ctx, s, store.Span{}, v) }), "a b c c\x00d")
	is("from b, backwards", ids(t, func(v func(grant) error) error {
		return g.Range(ctx, s, store.Span{From: []byte("b"), Reverse: true}, v)
	}), "c\x00d c b")
	is("admins", by("role", table.Is([]byte("admin"))), "a b")
	is("readers", by("role", table.Is([]byte("reader"))), "a c")
	is("roles under r", by("role", store.Under([]byte("r"))), "a c")
	is("until", by("until", store.Span{}), "c\x00d a b c")
	is("until 20 and later", by("until", store.Span{From: []byte{0, 0, 0, 20}}), "b c")
	is("before 20, backwards", by("until", store.Span{To: []byte{0, 0, 0, 20}, Reverse: true}), "a c\x00d")
	is("by address", by("email", table.Is([]byte("a@x"))), "a")

	if err := g.Put(ctx, s, grant{ID: "d", Email: "a@x"}); !problem.Is(err, problem.Exists) {
		t.Fatal("a second row with a unique value:", err)
	}
	if _, err := g.Get(ctx, s, []byte("d")); !errors.Is(err, store.ErrNotFound) {
		t.Fatal("the refused row is there:", err)
	}
	if err := g.Put(ctx, s, grant{"a", "new@x", []string{"reader"}, 10}); err != nil {
		t.Fatal(err)
	}
	if err := g.Put(ctx, s, grant{ID: "d", Email: "a@x"}); err != nil {
		t.Fatal("a unique value that became free:", err)
	}
	is("admins", by("role", table.Is([]byte("admin"))), "b")
	if err := g.Delete(ctx, s, []byte("b")); err != nil {
		t.Fatal(err)
	}
	if err := g.Delete(ctx, s, []byte("b")); err != nil {
		t.Fatal(err)
	}
	is("admins", by("role", table.Is([]byte("admin"))), "")

	// Compare and swap.
	row, err := g.Load(ctx, s, []byte("a"))
	if err != nil || !row.Found() || row.Value.Email != "new@x" {
		t.Fatal(row, err)
	}
	if err := g.Update(ctx, s, []byte("a"), func(old table.Row[grant]) (grant, error) {
		old.Value.Until++
		return old.Value, nil
	}); err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	if err := g.Set(&b, row, row.Value); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, &b); !errors.Is(err, store.ErrConflict) {
		t.Fatal("a row that changed meanwhile was overwritten:", err)
	}
	b.Reset()
	g.Remove(&b, row)
	if _, err := s.Apply(ctx, &b); !errors.Is(err, store.ErrConflict) {
		t.Fatal("a row that changed meanwhile was removed:", err)
	}
	if err := g.Set(&b, row, grant{ID: "other"}); !problem.Is(err, problem.BadRequest) {
		t.Fatal("a row changed its key:", err)
	}
	if err := g.By(ctx, s, "colour", store.Span{}, nil); !problem.Is(err, problem.Unsupported) {
		t.Fatal("an index that is not declared:", err)
	}
	if err := g.Put(ctx, s, grant{ID: "a", Email: "a@x"}); !problem.Is(err, problem.Exists) {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	for name, breakIt := range map[string]func(*table.Table[grant]){
		"no name":       func(g *table.Table[grant]) { g.Name = "" },
		"a zero byte":   func(g *table.Table[grant]) { g.Name = "a\x00b" },
		"index name":    func(g *table.Table[grant]) { g.Indexes[0].Name = "Role" },
		"same name":     func(g *table.Table[grant]) { g.Indexes[0].Name = "role" },
		"no values":     func(g *table.Table[grant]) { g.Indexes[0].Values = nil },
		"no key":        func(g *table.Table[grant]) { g.Key = nil },
		"half a coding": func(g *table.Table[grant]) { g.Encode = func(grant) ([]byte, error) { return nil, nil } },
	} {
		g := grants()
		breakIt(g)
		if err := g.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDamagedRow(t *testing.T) {
	s := memory.New()
	defer s.Close()
	g := grants()
	var b store.Batch
	b.Put([]byte("~grant\x00\x00x"), []byte("{"))
	if _, err := s.Apply(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Get(t.Context(), s, []byte("x")); !problem.Is(err, problem.Internal) {
		t.Fatal(err)
	}
	if err := g.Put(t.Context(), s, grant{ID: "x"}); !problem.Is(err, problem.Internal) {
		t.Fatal(err)
	}
}

func TestReindex(t *testing.T) {
	ctx := t.Context()
	s := memory.New()
	defer s.Close()
	old := grants()
	old.Indexes = nil
	for i := range 50 {
		if err := old.Put(ctx, s, grant{ID: fmt.Sprint(i), Email: fmt.Sprint(i, "@x"), Roles: []string{"r"}, Until: uint32(i)}); err != nil {
			t.Fatal(err)
		}
	}
	g := grants()
	if got := ids(t, func(v func(grant) error) error { return g.By(ctx, s, "role", store.Span{}, v) }); got != "" {
		t.Fatal(got)
	}
	if err := g.Reindex(ctx, s); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := g.By(ctx, s, "role", table.Is([]byte("r")), func(grant) error { n++; return nil }); err != nil || n != 50 {
		t.Fatal(n, err)
	}
	if err := g.Put(ctx, s, grant{ID: "new", Email: "7@x"}); !problem.Is(err, problem.Exists) {
		t.Fatal("the unique index does not hold after Reindex:", err)
	}
	if err := old.Put(ctx, s, grant{ID: "double", Email: "7@x"}); err != nil {
		t.Fatal(err)
	}
	if err := g.Reindex(ctx, s); !problem.Is(err, problem.Exists) {
		t.Fatal("two rows with one unique value:", err)
	}
}

func TestManyWriters(t *testing.T) {
	ctx := t.Context()
	s := memory.New()
	defer s.Close()
	g := grants()
	var wg sync.WaitGroup
	won := make([]bool, 8)
	for i := range 8 {
		wg.Go(func() {
			for range 25 {
				if err := g.Update(ctx, s, []byte("shared"), func(old table.Row[grant]) (grant, error) {
					return grant{ID: "shared", Until: old.Value.Until + 1}, nil
				}); err != nil {
					t.Error(err)
				}
			}
			err := g.Put(ctx, s, grant{ID: fmt.Sprint(i), Email: "one@x"})
			won[i] = err == nil
			if err != nil && !problem.Is(err, problem.Exists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	v, err := g.Get(ctx, s, []byte("shared"))
	if err != nil || v.Until != 200 {
		t.Fatal(v, err)
	}
	n := 0
	for _, w := range won {
		if w {
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%d rows got the unique address", n)
	}
}

// TestAgainstModel compares all views of a table with a plain map after every random change.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		s := memory.New()
		defer s.Close()
		g := grants()
		rows := map[string]grant{}
		text := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 0xff}), 1, 3, -1)
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			v := grant{ID: text.Draw(rt, "id"), Roles: rapid.SliceOfN(text, 0, 3).Draw(rt, "roles"), Until: uint32(rapid.IntRange(0, 300).Draw(rt, "until"))}
			if rapid.Bool().Draw(rt, "addressed") {
				v.Email = text.Draw(rt, "email")
			}
			if rapid.IntRange(0, 4).Draw(rt, "delete") == 0 {
				if err := g.Delete(ctx, s, []byte(v.ID)); err != nil {
					rt.Fatal(err)
				}
				delete(rows, v.ID)
				continue
			}
			taken := false
			for id, r := range rows {
				taken = taken || id != v.ID && v.Email != "" && r.Email == v.Email
			}
			err := g.Put(ctx, s, v)
			if taken != problem.Is(err, problem.Exists) || (!taken && err != nil) {
				rt.Fatalf("Put %+v: %v, taken: %v", v, err, taken)
			}
			if !taken {
				rows[v.ID] = v
			}
		}
		for i, x := range g.Indexes {
			span := store.Span{Reverse: rapid.Bool().Draw(rt, "reverse")}
			if rapid.Bool().Draw(rt, "from?") {
				span.From = []byte(text.Draw(rt, "from"))
			}
			if rapid.Bool().Draw(rt, "to?") {
				span.To = []byte(text.Draw(rt, "to"))
			}
			type entry struct {
				value []byte
				id    string
			}
			var entries []entry
			for id, r := range rows {
				seen := map[string]bool{}
				for _, value := range g.Indexes[i].Values(r) {
					in := bytes.Compare(value, span.From) >= 0 && (span.To == nil || bytes.Compare(value, span.To) < 0)
					if in && !seen[string(value)] {
						entries = append(entries, entry{value, id})
					}
					seen[string(value)] = true
				}
			}
			sort.Slice(entries, func(a, b int) bool {
				if c := bytes.Compare(entries[a].value, entries[b].value); c != 0 {
					return c < 0
				}
				return entries[a].id < entries[b].id
			})
			if span.Reverse {
				slices.Reverse(entries)
			}
			var want []string
			for _, e := range entries {
				want = append(want, e.id)
			}
			if got := ids(rt, func(v func(grant) error) error { return g.By(ctx, s, x.Name, span, v) }); got != strings.Join(want, " ") {
				rt.Fatalf("index %s, span %q to %q: %q, want %q", x.Name, span.From, span.To, got, want)
			}
		}
		left := 0
		for id := range rows {
			if err := g.Delete(ctx, s, []byte(id)); err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.Range(ctx, store.Span{}, func(k, v []byte) error { left++; return nil }); err != nil || left != 0 {
			rt.Fatalf("%d keys are left of an empty table, %v", left, err)
		}
	})
}

// Again is Load, whatever happened to the row meanwhile.
func TestAgain(t *testing.T) {
	ctx := t.Context()
	s := memory.New()
	defer s.Close()
	g := grants()
	key := []byte("a")
	before, err := g.Load(ctx, s, key)
	if err != nil || before.Found() {
		t.Fatal(before, err)
	}
	for i, change := range []func() error{
		func() error { return nil },
		func() error { return g.Put(ctx, s, grant{"a", "a@x", []string{"admin"}, 10}) },
		func() error { return nil },
		func() error { return g.Put(ctx, s, grant{"a", "a@x", []string{"reader"}, 10}) },
		func() error { return g.Delete(ctx, s, key) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		again, err := g.Again(ctx, s, key, before)
		want, wrong := g.Load(ctx, s, key)
		if err != nil || wrong != nil || again.Found() != want.Found() || !reflect.DeepEqual(again.Value, want.Value) {
			t.Fatalf("%d: %+v, %v; Load says %+v, %v", i, again, err, want, wrong)
		}
		// What was loaded again is good for changing the row under the condition that it stayed.
		if want.Found() {
			var b store.Batch
			v := again.Value
			v.Until++
			if err := g.Set(&b, again, v); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Apply(ctx, &b); err != nil {
				t.Fatal(i, err)
			}
			if want, err = g.Load(ctx, s, key); err != nil {
				t.Fatal(err)
			}
		}
		before = want
	}
}
