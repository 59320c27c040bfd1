package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/pebble"
)

// model is what a registry must be like: maps, and the rules in their simplest form.
type model struct {
	records map[string][]record.Value
	homes   map[string]bool
	changes int
}

func newModel() *model {
	return &model{records: map[string][]record.Value{}, homes: map[string]bool{}}
}

func (m *model) clone() *model {
	c := newModel()
	for k, v := range m.records {
		c.records[k] = slices.Clone(v)
	}
	for k, v := range m.homes {
		c.homes[k] = v
	}
	c.changes = m.changes
	return c
}

// write does what the operator's write does, and says what becomes of it.
func (m *model) write(w record.Write) string {
	name := w.ID.String()
	if w.Op == record.Home || w.Op == record.Unhome {
		p, _ := w.ID.Delegated()
		if m.homes[p] != (w.Op == record.Home) {
			m.changes++
		}
		if w.Op == record.Home {
			m.homes[p] = true
		} else {
			delete(m.homes, p)
		}
		return "ok"
	}
	if !m.homes[w.ID.Prefix()] {
		return "not-here"
	}
	old, there := m.records[name]
	if w.Op == record.Create && there && !w.Overwrite {
		return "exists"
	}
	for i := range w.Values {
		for j := range i {
			if w.Values[i].Index == w.Values[j].Index {
				return "value-exists"
			}
		}
	}
	if w.Op != record.Create && !there {
		return "not-found"
	}
	at := func(vs []record.Value, i uint32) int {
		return slices.IndexFunc(vs, func(v record.Value) bool { return v.Index == i })
	}
	next := slices.Clone(old)
	switch w.Op {
	case record.Create:
		next = slices.Clone(w.Values)
	case record.Delete:
		delete(m.records, name)
		m.changes++
		return "ok"
	case record.Add:
		for _, v := range w.Values {
			if k := at(next, v.Index); k < 0 {
				next = append(next, v)
			} else if w.Overwrite {
				next[k] = v
			} else {
				return "value-exists"
			}
		}
	case record.Modify:
		for _, v := range w.Values {
			k := at(next, v.Index)
			if k < 0 {
				return "no-values"
			}
			next[k] = v
		}
		if len(w.Values) == 0 {
			return "ok"
		}
	case record.Remove:
		for _, i := range w.Indexes {
			k := at(next, i)
			if k < 0 {
				return "no-values"
			}
			next = slices.Delete(next, k, k+1)
		}
	}
	m.records[name] = next
	m.changes++
	return "ok"
}

// agrees compares a registry with the model, through every door.
func (m *model) agrees(t interface{ Fatalf(string, ...any) }, r *Registry, names []string) {
	ctx := context.Background()
	counts := map[string]int64{}
	for _, name := range names {
		v := id.MustParse(name)
		want, there := m.records[v.String()]
		if there {
			counts[v.Prefix()]++
		}
		a, err := r.Resolve(ctx, record.Query{ID: v, By: operator})
		out, _, ok := r.AppendPublic(nil, []byte(name), day0.Unix())
		var open []record.Value
		for _, x := range want {
			if x.Perm&record.PublicRead != 0 {
				open = append(open, x)
			}
		}
		switch k := kindOf(err); {
		case !m.homes[v.Prefix()]:
			if k != "not-here" || ok {
				t.Fatalf("%s: %s, want not-here; fast %v", name, k, ok)
			}
		case !there:
			if k != "not-found" || ok {
				t.Fatalf("%s: %s, want not-found; fast %v", name, k, ok)
			}
		case len(want) == 0:
			if k != "no-values" || ok {
				t.Fatalf("%s: %s, want no-values; fast %v", name, k, ok)
			}
		default:
			if k != "ok" || shape(a.Values) != shape(want) {
				t.Fatalf("%s: %s %s, want %s", name, k, shape(a.Values), shape(want))
			}
			if ok != (len(open) > 0) {
				t.Fatalf("%s: fast %v with %d public values", name, ok, len(open))
			}
			if ok {
				if vs, _, err := record.DecodeBlock(out); err != nil || shape(vs) != shape(open) {
					t.Fatalf("%s: fast %s, want %s (%v)", name, shape(vs), shape(open), err)
				}
			}
		}
	}
	for p := range m.homes {
		if n, err := r.Count(ctx, operator, p); err != nil || n != counts[p] {
			t.Fatalf("%s: %d counted, want %d (%v)", p, n, counts[p], err)
		}
		ns, err := r.List(ctx, operator, p, "", 1000)
		if err != nil || int64(len(ns)) != counts[p] || !slices.IsSorted(ns) {
			t.Fatalf("%s: listed %v, want %d (%v)", p, ns, counts[p], err)
		}
	}
	// The feed alone tells the same story.
	if m.changes == 0 {
		return
	}
	es, err := r.Changes(ctx, operator, 0, 10000, true)
	if err != nil || len(es) != m.changes {
		t.Fatalf("%d changes, want %d (%v)", len(es), m.changes, err)
	}
	last := map[string]record.Entry{}
	for _, e := range es {
		if e.Op != record.Home && e.Op != record.Unhome {
			last[e.ID.String()] = e
		}
	}
	for name, e := range last {
		want, there := m.records[name]
		if there != (e.Values != nil) || shape(e.Values) != shape(want) {
			t.Fatalf("%s in the feed: %s, want %s", name, shape(e.Values), shape(want))
		}
		if there && e.Digest != sha256.Sum256(record.AppendBlock(nil, e.Values)) {
			t.Fatalf("%s: the last digest is not the record's", name)
		}
	}
}

var modelNames = []string{"88.1/a", "88.1/b", "88.1/C", "88.1.2/a", "88.1.2/x y", "88.1/é/中", "9/z"}

func drawWrite(t *rapid.T) record.Write {
	w := record.Write{Op: rapid.SampledFrom([]record.Op{record.Create, record.Create, record.Create, record.Delete, record.Add, record.Remove, record.Modify, record.Modify, record.Home, record.Unhome}).Draw(t, "op")}
	if w.Op == record.Home || w.Op == record.Unhome {
		w.ID = id.PrefixRecord(rapid.SampledFrom([]string{"88.1", "88.1.2", "9"}).Draw(t, "prefix"))
		if rapid.IntRange(0, 3).Draw(t, "home") > 0 {
			w.Op = record.Home
		}
		return w
	}
	w.ID = id.MustParse(rapid.SampledFrom(modelNames).Draw(t, "name"))
	w.Overwrite = rapid.Bool().Draw(t, "overwrite")
	if w.Op == record.Delete {
		return w
	}
	if w.Op == record.Remove {
		w.Indexes = []uint32{uint32(rapid.IntRange(1, 4).Draw(t, "index"))}
		return w
	}
	for range rapid.IntRange(0, 3).Draw(t, "values") {
		v := text(uint32(rapid.IntRange(1, 4).Draw(t, "index")), "T", rapid.StringN(0, 20, 40).Draw(t, "data"))
		if rapid.IntRange(0, 3).Draw(t, "hidden") == 0 {
			v.Perm = record.AdminRead | record.AdminWrite
		}
		w.Values = append(w.Values, v)
	}
	return w
}

func TestModelInMemory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := memory.New()
		modelRun(rt, t, s, func(s store.Store) store.Store { return s.(*memory.Store).Reopen() }, s)
	})
}

func TestModelInFolder(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	n := 0
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n > 12 && os.Getenv("FUJIE_SOAK") == "" {
			return // each opens a folder anew several times
		}
		path := filepath.Join(dir, fmt.Sprint(n))
		again := func(s store.Store) store.Store {
			if s != nil {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
			}
			s, err := pebble.Open(path, pebble.Options{})
			if err != nil {
				rt.Fatal(err)
			}
			return s
		}
		s := again(nil)
		s = modelRun(rt, t, s, again, nil)
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

// modelRun plays random writes, restarts and, where the store can do it on command, crashes and refusals.
func modelRun(rt *rapid.T, t0 *testing.T, s store.Store, again func(store.Store) store.Store, faulty *memory.Store) store.Store {
	m := newModel()
	hot := rapid.SampledFrom([]int64{-1, 9 << 10, 1 << 20}).Draw(rt, "hot")
	cfg := func() Config { return Config{Store: s, HotBytes: hot} }
	r := open(t0, cfg())
	restart := func() {
		s = again(s)
		faulty, _ = s.(*memory.Store)
		r = open(t0, cfg())
	}
	rt.Repeat(map[string]func(*rapid.T){
		"": func(t *rapid.T) { m.agrees(t, r, modelNames) },
		"write": func(t *rapid.T) {
			var ws []record.Write
			for range rapid.IntRange(1, 6).Draw(t, "writes") {
				ws = append(ws, drawWrite(t))
			}
			next := m.clone()
			var want []string
			for _, w := range ws {
				want = append(want, next.write(w))
			}
			fault := 0
			if faulty != nil {
				fault = rapid.IntRange(0, 9).Draw(t, "fault")
			}
			switch fault {
			case 1:
				faulty.Faults().Refuse(store.ErrFull)
			case 2:
				faulty.Faults().Doubt(true)
			case 3:
				faulty.Faults().Doubt(false)
			case 4:
				faulty.Faults().CrashAt(1, memory.Before)
			case 5:
				faulty.Faults().CrashAt(1, memory.After)
			}
			res, err := r.Write(context.Background(), operator, ws)
			if err == nil {
				if fault != 0 {
					// There may have been nothing to write, so that the fault is still to come.
					restart()
				}
				var got []string
				for _, x := range res {
					got = append(got, kindOf(x.Err))
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%v: got %v, want %v", ws, got, want)
				}
				m = next
				return
			}
			switch {
			case fault == 0:
				t.Fatal(err)
			case fault == 1 && kindOf(err) != "full":
				t.Fatal(err)
			case fault == 2, fault == 5:
				m = next // done, though nobody could say so
			}
			if fault >= 4 {
				restart()
			}
		},
		"ask": func(t *rapid.T) {
			r.AppendPublic(nil, []byte(rapid.SampledFrom(modelNames).Draw(t, "name")), 0)
		},
		"restart": func(t *rapid.T) { restart() },
		"move": func(t *rapid.T) {
			// Out of this node and into a new one in memory, which must be the same.
			q := open(t0, Config{Store: memory.New()})
			if err := q.Import(context.Background(), bytes.NewReader(export(t0, r)), nil); err != nil {
				t.Fatal(err)
			}
			m.agrees(t, q, modelNames)
		},
		"other": func(t *rapid.T) {
			// Somebody else writes to the same store; here nothing is ready any more after a restart.
			w := drawWrite(t)
			other := open(t0, cfg())
			want := m.write(w)
			res, err := other.Write(context.Background(), operator, []record.Write{w})
			if err != nil {
				t.Fatal(err)
			}
			if got := kindOf(res[0].Err); got != want {
				t.Fatalf("%v: %s, want %s", w, got, want)
			}
			r = open(t0, cfg())
		},
	})
	return s
}
