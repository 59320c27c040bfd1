package template_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/template"
)

// stopping is a registry that stops its reader after some records, as when the node is shut down.
type stopping struct {
	document.Registry
	left   int
	cancel context.CancelFunc
}

func (s *stopping) stopAfter(n int, cancel context.CancelFunc) { s.left, s.cancel = n, cancel }

func (s *stopping) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	if s.cancel != nil {
		if s.left--; s.left <= 0 {
			s.cancel()
			return record.Answer{}, ctx.Err()
		}
	}
	return s.Registry.Resolve(ctx, q)
}

// TestRecheck finds exactly the records that a new version would refuse, also when it is cut off twice.
func TestRecheck(t *testing.T) {
	w := open(t)
	v := w.publish(t, pump)
	const all = 3000
	var writes []record.Write
	want := map[string]bool{}
	for i := range all {
		name := fmt.Sprintf("88.118/R-%05d", i)
		mass := "10"
		if i%7 == 0 {
			mass, want[name] = "4000", true
		}
		writes = append(writes, record.Write{Op: record.Create, ID: id.MustParse(name), Values: w.pump(t, fmt.Sprintf("P-%d", i), "mass", json.Number(mass))})
	}
	writes = append(writes, record.Write{Op: record.Create, ID: id.MustParse("88.118/OTHER"), Values: []record.Value{{Index: 2001, Type: "mass", Data: []byte("4000"), Perm: record.DefaultPerm}}})
	res, err := w.g.Write(t.Context(), operator, writes)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range res {
		if x.Err != nil {
			t.Fatal(x.Err)
		}
	}
	next, err := template.Read([]byte(strings.Replace(pump, `maximum: "5000"`, `maximum: "1000"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Revise(t.Context(), operator, v, *next, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Publish(t.Context(), operator, v); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	r := &template.Rechecker{Templates: w.Templates, Dir: dir}
	c, err := r.Begin(t.Context(), operator, "88.118", "88.118/META_PUMP")
	if err != nil || c.Template != "88.118/META_PUMP/2" || c.Total < all {
		t.Fatalf("%+v %v", c, err)
	}
	if _, err := r.Begin(t.Context(), operator, "88.99", "88.118/META_PUMP"); !problem.Is(err, problem.NotHere) {
		t.Errorf("another's prefix: %v", err)
	}
	// Cut off after some records, twice; the last time a piece of a page was in the file already.
	for _, after := range []int{700, 1300} {
		ctx, cancel := context.WithCancel(t.Context())
		w.r2.stopAfter(after, cancel)
		if err := r.Work(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("not cut off: %v", err)
		}
		w.r2.stopAfter(0, nil)
		got, err := r.Get(t.Context(), c.ID)
		if err != nil || got.State != template.Rechecking || got.Seen == 0 || got.Seen >= all {
			t.Fatalf("after the cut: %+v %v", got, err)
		}
		f, err := os.OpenFile(r.Path(c), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(f, `{"id":"88.118/R-000`)
		f.Close()
		r = &template.Rechecker{Templates: w.Templates, Dir: dir}
	}
	if err := r.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := r.Get(t.Context(), c.ID)
	if err != nil || got.State != template.Rechecked || got.Broken != uint64(len(want)) || got.Kept != uint64(all-len(want)) {
		t.Fatalf("at the end: %+v %v", got, err)
	}
	b, err := os.ReadFile(r.Path(c))
	if err != nil || int64(len(b)) != got.Bytes {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	for _, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		var x template.Breach
		if err := json.Unmarshal(line, &x); err != nil || !want[x.ID] || x.Property != "mass" || x.Rule != "maximum" || x.Version != "1" {
			t.Fatalf("%s %v", line, err)
		}
		delete(want, x.ID)
	}
	if len(want) > 0 {
		t.Errorf("%d records were not found", len(want))
	}
}

// TestReferenceAcrossEnterprises checks a reference to another enterprise's record through the hierarchy.
func TestReferenceAcrossEnterprises(t *testing.T) {
	a := open(t)
	a.publish(t, pump)
	if err := a.write(t, record.Create, "88.118/A-1", a.pump(t, "P-1")); err != nil {
		t.Fatal(err)
	}
	if err := a.write(t, record.Create, "88.118/PLAIN", []record.Value{{Index: 1, Type: "URL", Data: []byte("https://x.example/"), Perm: record.DefaultPerm}}); err != nil {
		t.Fatal(err)
	}
	outside := &hierarchy{of: a.r, trust: record.Secure}
	b := openAt(t, "88.200", outside)
	b.publish(t, `
id: 88.200/META_LINE
names: {en: Line}
items:
  - {name: drive, type: reference, target: 88.118/META_PUMP}
`)
	line := func(name, to string) error {
		vs, err := b.Expand(t.Context(), "88.200/META_LINE", map[string]any{"drive": to})
		if err != nil {
			t.Fatal(err)
		}
		return b.write(t, record.Create, name, vs)
	}
	if err := line("88.200/L-1", "88.118/A-1"); err != nil {
		t.Fatal(err)
	}
	broken(t, line("88.200/L-2", "88.118/PLAIN"), "drive", "target")
	broken(t, line("88.200/L-3", "88.118/NONE"), "drive", "target")
	outside.trust = record.Unsigned
	if err := line("88.200/L-4", "88.118/A-1"); !problem.Is(err, problem.Unreachable) {
		t.Errorf("a forged answer was believed: %v", err)
	}
	outside.trust, outside.down = record.Secure, true
	if err := line("88.200/L-5", "88.118/A-1"); !problem.Is(err, problem.Unreachable) {
		t.Errorf("the other is away: %v", err)
	}
	outside.down = false
	// Its template may be used too, and is known for a while when its owner is away.
	vs, err := b.Expand(t.Context(), "88.118/META_PUMP", map[string]any{"serialNumber": "B-1"})
	if err != nil {
		t.Fatal(err)
	}
	outside.down = true
	bad := append([]record.Value(nil), vs...)
	bad[2].Data = []byte("b 1")
	broken(t, b.write(t, record.Create, "88.200/P-2", bad), "serialNumber", "pattern")
}

// hierarchy stands for the way through root and national nodes to another enterprise.
type hierarchy struct {
	of    record.Resolver
	trust record.Trust
	down  bool
}

func (h *hierarchy) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	if h.down {
		return record.Answer{}, problem.New(problem.Unreachable, "it is away", "不可达")
	}
	a, err := h.of.Resolve(ctx, q)
	a.Trust = h.trust
	return a, err
}
