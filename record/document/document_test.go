package document_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
)

type paper struct {
	Title string   `json:"title"`
	Marks []string `json:"marks,omitempty"`
}

var op = record.Identity{Operator: true}

func open(t *testing.T) *registry.Registry {
	t.Helper()
	st := memory.New()
	r, err := registry.Open(t.Context(), registry.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	if _, err := r.Write(t.Context(), op, []record.Write{{Op: record.Home, ID: id.PrefixRecord("88.118")}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func shelf(t *testing.T, r *registry.Registry) *document.Shelf[paper] {
	t.Helper()
	s := &document.Shelf[paper]{Registry: r, Prefix: "88.118", Name: "Paper_", Type: "TEST.PAPER", Index: 1,
		Also: func(v id.ID, p paper) []record.Value {
			return []record.Value{{Index: 2, Type: "DESC", Data: []byte(p.Title), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}}
		}}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestShelf(t *testing.T) {
	r := open(t)
	s := shelf(t, r)
	who := record.Identity{Ref: record.Ref{Index: 300, Name: "88.118/User_li"}}
	for _, n := range []string{"b", "a", "c"} {
		v, err := s.ID(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Create(t.Context(), who, v, paper{Title: n}); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := s.ID("A")
	if err := s.Create(t.Context(), who, a, paper{}); !problem.Is(err, problem.Exists) {
		t.Errorf("a second paper under one identifier: %v", err)
	}
	got, err := s.Change(t.Context(), who, a, func(p *paper) error { p.Marks = append(p.Marks, "x"); return nil })
	if err != nil || len(got.Marks) != 1 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := s.Change(t.Context(), who, a, func(p *paper) error { p.Title = "half"; return errors.New("no") }); err == nil || err.Error() != "no" {
		t.Errorf("a refused change: %v", err)
	}
	if p, err := s.Get(a); err != nil || p.Title != "a" {
		t.Errorf("after a refused change: %v %v", p, err)
	}
	none, _ := s.ID("none")
	if _, err := s.Change(t.Context(), who, none, func(*paper) error { return nil }); !problem.Is(err, problem.NotFound) {
		t.Errorf("change of what is not there: %v", err)
	}

	// Others see what Also says, and not the paper.
	ans, err := r.Resolve(t.Context(), record.Query{ID: a, PublicOnly: true})
	if err != nil || len(ans.Values) != 1 || string(ans.Values[0].Data) != "a" {
		t.Errorf("what everybody sees: %v %v", ans.Values, err)
	}
	// The Change says who.
	log, err := r.Changes(t.Context(), op, 0, 100, false)
	if err != nil || log[len(log)-1].By.Name != who.Name {
		t.Errorf("the last change: %+v %v", log[len(log)-1], err)
	}

	page, next := s.Page("", 2, nil)
	if len(page) != 2 || page[0].Paper.Title != "a" || next != page[1].ID.String() {
		t.Errorf("first page %v, next %q", page, next)
	}
	if page, next = s.Page(next, 2, nil); len(page) != 1 || page[0].Paper.Title != "c" || next != "" {
		t.Errorf("last page %v, next %q", page, next)
	}
	if p, ok := s.Find(func(_ id.ID, p paper) bool { return len(p.Marks) > 0 }); !ok || p.Paper.Title != "a" {
		t.Errorf("find: %v %v", p, ok)
	}
	if err := s.Remove(t.Context(), who, a); err != nil || s.Len() != 2 {
		t.Errorf("remove: %v, %d left", err, s.Len())
	}

	// Another shelf on the same registry, as after a restart, has the same.
	if again := shelf(t, r); again.Len() != 2 {
		t.Errorf("opened again: %d papers", again.Len())
	}
}

func TestConcurrentChanges(t *testing.T) {
	s := shelf(t, open(t))
	v, _ := s.ID("one")
	if err := s.Create(t.Context(), op, v, paper{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := s.Change(t.Context(), op, v, func(p *paper) error { p.Marks = append(p.Marks, fmt.Sprint(i)); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p, _ := s.Get(v); len(p.Marks) != 50 {
		t.Errorf("%d of 50 changes are there", len(p.Marks))
	}
}

func TestFollow(t *testing.T) {
	r := open(t)
	writer, reader := shelf(t, r), shelf(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan id.ID, 100)
	done := make(chan error, 1)
	go func() { done <- document.Follow(ctx, r, 0, func(v id.ID) { heard <- v }, reader) }()
	v, _ := writer.ID("x")
	if err := writer.Create(ctx, op, v, paper{Title: "new"}); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != v {
		t.Errorf("heard of %v", got)
	}
	if p, err := reader.Get(v); err != nil || p.Title != "new" {
		t.Errorf("the follower has %v %v", p, err)
	}
	if err := writer.Remove(ctx, op, v); err != nil {
		t.Fatal(err)
	}
	<-heard
	if _, err := reader.Get(v); !problem.Is(err, problem.NotFound) {
		t.Errorf("the follower still has it: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow returned %v", err)
	}
}

func TestAnotherVersion(t *testing.T) {
	r := open(t)
	s := shelf(t, r)
	v, _ := s.ID("bad")
	res, err := r.Write(t.Context(), op, []record.Write{{Op: record.Create, ID: v, Values: []record.Value{
		{Index: 1, Type: "TEST.PAPER", Data: []byte("{"), Perm: record.AdminRead, TTL: record.TTL{Seconds: 1}}}}})
	if err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	if err := s.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "88.118/PAPER_BAD") {
		t.Errorf("a damaged paper: %v", err)
	}
}
