// Package recordtest is the kit that everything standing behind the doors of record must pass: the registry that keeps
// records, and every client that reaches one over a wire.
//
// A room calls Run from a test of its own with a function that makes the doors afresh:
//
//	func TestDoors(t *testing.T) {
//		recordtest.Run(t, func(t *testing.T) recordtest.Doors { … })
//	}
package recordtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Doors is one implementation, or one client of one. A nil door is not tested. Wires prove who asks for themselves and
// ignore the Identity that they are given, so what anybody may do is asked through doors of its own.
type Doors struct {
	Resolver  record.Resolver
	Registrar record.Registrar
	Lister    record.Lister
	Feed      record.Feed
	Appender  record.Appender

	// Admin is who may do everything here. A wire's doors above act as Admin.
	Admin record.Identity

	// Prefix is a prefix with at least three segments that the node answers for and under which nothing is registered.
	Prefix string

	// Anybody asks and writes without proof. In-process implementations leave them nil: then the zero Identity is
	// used on the doors above.
	AnybodyResolver  record.Resolver
	AnybodyRegistrar record.Registrar

	// Homes tells that Admin may home and unhome prefixes through Registrar.
	Homes bool
}

// Run tests the doors that open makes. Each part has doors of its own.
func Run(t *testing.T, open func(t *testing.T) Doors) {
	for _, part := range []struct {
		name  string
		needs func(Doors) bool
		test  func(*kit)
	}{
		{"Resolve", writes, (*kit).resolve},
		{"Filters", writes, (*kit).filters},
		{"Restricted", writes, (*kit).restricted},
		{"Create", writes, (*kit).create},
		{"Values", writes, (*kit).values},
		{"Delete", writes, (*kit).delete},
		{"Anybody", writes, (*kit).anybody},
		{"Mint", writes, (*kit).mint},
		{"Batch", writes, (*kit).batch},
		{"Content", writes, (*kit).content},
		{"Home", func(d Doors) bool { return writes(d) && d.Homes }, (*kit).home},
		{"List", func(d Doors) bool { return writes(d) && d.Lister != nil }, (*kit).list},
		{"Feed", func(d Doors) bool { return writes(d) && d.Feed != nil }, (*kit).feed},
		{"Append", func(d Doors) bool { return writes(d) && d.Appender != nil }, (*kit).appender},
		{"Canceled", writes, (*kit).canceled},
		{"Model", writes, (*kit).model},
	} {
		t.Run(part.name, func(t *testing.T) {
			d := open(t)
			if !part.needs(d) {
				t.Skip("this implementation has no such door")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			t.Cleanup(cancel)
			part.test(&kit{T: t, d: d, ctx: ctx})
		})
	}
}

func writes(d Doors) bool { return d.Resolver != nil && d.Registrar != nil }

type kit struct {
	*testing.T
	d   Doors
	ctx context.Context
}

func (k *kit) id(suffix string) id.ID { return id.MustParse(k.d.Prefix + "/" + suffix) }

func text(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), TTL: record.TTL{Seconds: 3600}, Perm: record.DefaultPerm}
}

// write does one write as Admin.
func (k *kit) write(w record.Write) (id.ID, error) {
	k.Helper()
	rs, err := k.d.Registrar.Write(k.ctx, k.d.Admin, []record.Write{w})
	if err != nil {
		k.Fatalf("%v %v: the call failed: %v", w.Op, w.ID, err)
	}
	if len(rs) != 1 {
		k.Fatalf("%v %v: %d results for one write", w.Op, w.ID, len(rs))
	}
	return rs[0].ID, rs[0].Err
}

func (k *kit) must(w record.Write) {
	k.Helper()
	got, err := k.write(w)
	if err != nil {
		k.Fatalf("%v %v: %v", w.Op, w.ID, err)
	}
	if got != w.ID {
		k.Fatalf("%v %v: the result names %v", w.Op, w.ID, got)
	}
}

func (k *kit) refused(kind problem.Kind, w record.Write) {
	k.Helper()
	if _, err := k.write(w); !problem.Is(err, kind) {
		k.Errorf("%v %v: want a problem of kind %v, got %v: %v", w.Op, w.ID, kind, problem.KindOf(err), err)
	}
}

func (k *kit) ask(q record.Query) ([]record.Value, error) {
	a, err := k.d.Resolver.Resolve(k.ctx, q)
	return sorted(a.Values), err
}

// is checks what Admin sees under v, timestamps aside.
func (k *kit) is(v id.ID, want ...record.Value) {
	k.Helper()
	got, err := k.ask(record.Query{ID: v, By: k.d.Admin})
	if err != nil {
		k.Errorf("%v: %v", v, err)
		return
	}
	if d := diff(want, got); d != "" {
		k.Errorf("%v holds something else (-want +got):\n%s", v, d)
	}
}

func (k *kit) absent(v id.ID) {
	k.Helper()
	if vs, err := k.ask(record.Query{ID: v, By: k.d.Admin}); !problem.Is(err, problem.NotFound) || len(vs) > 0 {
		k.Errorf("%v: want not-found, got %v, %v", v, vs, err)
	}
}

func sorted(vs []record.Value) []record.Value {
	vs = slices.Clone(vs)
	slices.SortFunc(vs, func(a, b record.Value) int { return cmp.Compare(a.Index, b.Index) })
	return vs
}

func diff(want, got []record.Value) string {
	return gocmp.Diff(sorted(want), sorted(got), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(record.Value{}, "Timestamp"))
}

func (k *kit) resolve() {
	v := k.id("Eng-42")
	k.absent(v)
	a, b := text(1, "URL", "http://a"), text(2, "DESC", "first")
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{b, a}})
	k.is(v, a, b)
	k.is(id.MustParse(k.d.Prefix+"/eNG-42"), a, b)
	k.absent(k.id("ENG-43"))
	k.absent(k.id("ENG-4"))

	got, err := k.ask(record.Query{ID: v, As: k.d.Prefix + "/eng-42", PublicOnly: true})
	if err != nil {
		k.Fatal(err)
	}
	for _, v := range got {
		if v.Timestamp == 0 {
			k.Errorf("value %d has no timestamp", v.Index)
		}
	}
	if _, err := k.ask(record.Query{ID: id.MustParse("99.999999999/x"), PublicOnly: true}); !problem.Is(err, problem.NotHere) {
		k.Errorf("a prefix that is not homed: %v", err)
	}
	if _, err := k.ask(record.Query{ID: v, PublicOnly: true, Depth: record.MaxDepth + 1}); err != nil && !problem.Is(err, problem.TooDeep) {
		k.Errorf("too deep: %v", err)
	}
}

func (k *kit) filters() {
	v := k.id("filters")
	all := []record.Value{text(1, "URL", "a"), text(2, "url.sub", "b"), text(3, "EMAIL", "c"), text(4, "URLS", "d")}
	k.must(record.Write{Op: record.Create, ID: v, Values: all})
	for _, c := range []struct {
		indexes []uint32
		types   []string
		want    []uint32
	}{
		{nil, nil, []uint32{1, 2, 3, 4}},
		{[]uint32{3}, nil, []uint32{3}},
		{[]uint32{4, 1, 99}, nil, []uint32{1, 4}},
		{nil, []string{"URL"}, []uint32{1}},
		{nil, []string{"url"}, []uint32{1}},
		{nil, []string{"URL."}, []uint32{1, 2}},
		{nil, []string{"URL.SUB", "email"}, []uint32{2, 3}},
		{[]uint32{4}, []string{"EMAIL"}, []uint32{3, 4}},
		{[]uint32{1}, []string{"URL"}, []uint32{1}},
		{[]uint32{99}, nil, nil},
		{nil, []string{"NONE"}, nil},
	} {
		got, err := k.ask(record.Query{ID: v, Indexes: c.indexes, Types: c.types, PublicOnly: true})
		var indexes []uint32
		for _, v := range got {
			indexes = append(indexes, v.Index)
		}
		if !slices.Equal(indexes, c.want) {
			k.Errorf("indexes %v, types %v: got %v, want %v", c.indexes, c.types, indexes, c.want)
		}
		if (len(c.want) == 0) != problem.Is(err, problem.NoValues) || len(c.want) > 0 && err != nil {
			k.Errorf("indexes %v, types %v: %v", c.indexes, c.types, err)
		}
	}
	if _, err := k.ask(record.Query{ID: k.id("filters-none"), Types: []string{"URL"}, PublicOnly: true}); !problem.Is(err, problem.NotFound) {
		k.Errorf("a filter on what does not exist: %v", err)
	}
}

// anyone is the doors of somebody who proved nothing.
func (k *kit) anyone() (record.Resolver, record.Registrar) {
	r, w := k.d.AnybodyResolver, k.d.AnybodyRegistrar
	if r == nil {
		r = k.d.Resolver
	}
	if w == nil {
		w = k.d.Registrar
	}
	return r, w
}

func (k *kit) restricted() {
	v := k.id("restricted")
	public, private, sealed := text(1, "URL", "a"), text(2, "NOTE", "b"), text(3, "SEALED", "c")
	private.Perm = record.AdminRead | record.AdminWrite
	sealed.Perm = record.AdminWrite
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{public, private, sealed}})
	anyone, _ := k.anyone()
	ask := func(q record.Query) ([]record.Value, error) {
		q.ID = v
		a, err := anyone.Resolve(k.ctx, q)
		return a.Values, err
	}
	if got, err := ask(record.Query{PublicOnly: true}); err != nil || diff([]record.Value{public}, got) != "" {
		k.Errorf("public only: %v, %v", got, err)
	}
	if got, err := ask(record.Query{PublicOnly: true, Indexes: []uint32{2}}); !problem.Is(err, problem.NoValues) || len(got) > 0 {
		k.Errorf("public only, a private index: %v, %v", got, err)
	}
	if got, err := ask(record.Query{}); !problem.Is(err, problem.NeedAuth) || len(got) > 0 {
		k.Errorf("everything, by anybody: %v, %v", got, err)
	}
	if got, err := ask(record.Query{Indexes: []uint32{1}}); err != nil || diff([]record.Value{public}, got) != "" {
		k.Errorf("a public index without public-only: %v, %v", got, err)
	}
	got, err := k.ask(record.Query{ID: v, By: k.d.Admin, Indexes: []uint32{1, 2}})
	if err != nil || diff([]record.Value{public, private}, got) != "" {
		k.Errorf("by the administrator: %v, %v", got, err)
	}
}

func (k *kit) create() {
	v := k.id("new")
	one := text(1, "URL", "a")
	k.refused(problem.ValueExists, record.Write{Op: record.Create, ID: v, Values: []record.Value{one, one}})
	k.refused(problem.BadValue, record.Write{Op: record.Create, ID: v, Values: []record.Value{text(0, "URL", "a")}})
	k.absent(v)
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{one}})
	k.refused(problem.Exists, record.Write{Op: record.Create, ID: v, Values: []record.Value{text(2, "URL", "b")}})
	k.refused(problem.Exists, record.Write{Op: record.Create, ID: k.id("NEW"), Values: []record.Value{text(2, "URL", "b")}})
	k.is(v, one)
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{text(2, "URL", "b")}, Overwrite: true})
	k.is(v, text(2, "URL", "b"))
	k.must(record.Write{Op: record.Create, ID: k.id("fresh"), Values: []record.Value{one}, Overwrite: true})
	k.is(k.id("fresh"), one)
	k.refused(problem.NotHere, record.Write{Op: record.Create, ID: id.MustParse("99.999999999/x"), Values: []record.Value{one}})
}

func (k *kit) values() {
	v := k.id("values")
	one, two, three := text(1, "URL", "a"), text(2, "URL", "b"), text(3, "URL", "c")
	k.refused(problem.NotFound, record.Write{Op: record.Modify, ID: v, Values: []record.Value{one}})
	k.refused(problem.NotFound, record.Write{Op: record.Add, ID: v, Values: []record.Value{one}})
	k.refused(problem.NotFound, record.Write{Op: record.Remove, ID: v, Indexes: []uint32{1}})
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{one}})

	k.must(record.Write{Op: record.Add, ID: v, Values: []record.Value{two, three}})
	k.is(v, one, two, three)
	k.refused(problem.ValueExists, record.Write{Op: record.Add, ID: v, Values: []record.Value{text(9, "X", "9"), text(2, "X", "x")}})
	k.is(v, one, two, three)
	two.Data = []byte("overwritten")
	k.must(record.Write{Op: record.Add, ID: v, Values: []record.Value{two}, Overwrite: true})
	k.is(v, one, two, three)

	three.Data, three.TTL.Seconds = []byte("modified"), 7
	k.must(record.Write{Op: record.Modify, ID: v, Values: []record.Value{three}})
	k.is(v, one, two, three)
	k.refused(problem.NoValues, record.Write{Op: record.Modify, ID: v, Values: []record.Value{text(1, "X", "x"), text(4, "X", "x")}})
	k.is(v, one, two, three)

	k.must(record.Write{Op: record.Remove, ID: v, Indexes: []uint32{2}})
	k.is(v, one, three)
	k.refused(problem.NoValues, record.Write{Op: record.Remove, ID: v, Indexes: []uint32{2}})
	k.is(v, one, three)
}

func (k *kit) delete() {
	v := k.id("gone")
	k.refused(problem.NotFound, record.Write{Op: record.Delete, ID: v})
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{text(1, "URL", "a")}})
	k.must(record.Write{Op: record.Delete, ID: v})
	k.absent(v)
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{text(2, "URL", "b")}})
	k.is(v, text(2, "URL", "b"))
}

func (k *kit) anybody() {
	v, other := k.id("anybody"), k.id("other")
	one := text(1, "URL", "a")
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{one}})
	_, anyone := k.anyone()
	for _, c := range []struct {
		kind problem.Kind
		w    record.Write
	}{
		{problem.NeedAuth, record.Write{Op: record.Create, ID: other, Values: []record.Value{one}}},
		{problem.NeedAuth, record.Write{Op: record.Delete, ID: v}},
		{problem.NeedAuth, record.Write{Op: record.Delete, ID: other}},
		{problem.NeedAuth, record.Write{Op: record.Add, ID: v, Values: []record.Value{one}}},
		{problem.NeedAuth, record.Write{Op: record.Remove, ID: v, Indexes: []uint32{9}}},
		{problem.NeedAuth, record.Write{Op: record.Modify, ID: v, Values: []record.Value{one}}},
		// what needs no identity is said before anybody is asked for one
		{problem.Exists, record.Write{Op: record.Create, ID: v, Values: []record.Value{one}}},
		{problem.ValueExists, record.Write{Op: record.Create, ID: other, Values: []record.Value{one, one}}},
		{problem.BadValue, record.Write{Op: record.Create, ID: other, Values: []record.Value{text(0, "X", "")}}},
		{problem.NotFound, record.Write{Op: record.Modify, ID: other, Values: []record.Value{one}}},
		{problem.NotHere, record.Write{Op: record.Create, ID: id.MustParse("99.999999999/x"), Values: []record.Value{one}}},
	} {
		rs, err := anyone.Write(k.ctx, record.Identity{}, []record.Write{c.w})
		if err != nil || len(rs) != 1 {
			k.Errorf("%v %v: %v, %v", c.w.Op, c.w.ID, rs, err)
		} else if !problem.Is(rs[0].Err, c.kind) {
			k.Errorf("%v %v by anybody: want %v, got %v: %v", c.w.Op, c.w.ID, c.kind, problem.KindOf(rs[0].Err), rs[0].Err)
		}
	}
	k.is(v, one)
	k.absent(other)
}

func (k *kit) mint() {
	seen := map[id.ID]bool{}
	for range 5 {
		base := k.id("mint-")
		got, err := k.write(record.Write{Op: record.Create, ID: base, Mint: true, Values: []record.Value{text(1, "URL", "a")}})
		if err != nil {
			k.Fatal(err)
		}
		if seen[got] || got == base || !strings.HasPrefix(got.String(), base.String()) {
			k.Fatalf("minted %v behind %v", got, base)
		}
		seen[got] = true
		k.is(got, text(1, "URL", "a"))
	}
}

func (k *kit) batch() {
	const n = 300
	var ws []record.Write
	for i := range n {
		ws = append(ws, record.Write{Op: record.Create, ID: k.id("batch-" + strconv.Itoa(i)), Values: []record.Value{text(1, "N", strconv.Itoa(i))}})
	}
	ws = append(ws,
		record.Write{Op: record.Create, ID: k.id("batch-7"), Values: []record.Value{text(1, "N", "again")}},
		record.Write{Op: record.Add, ID: k.id("batch-8"), Values: []record.Value{text(2, "N", "more")}},
		record.Write{Op: record.Delete, ID: k.id("batch-9")},
		record.Write{Op: record.Delete, ID: k.id("batch-9")},
	)
	rs, err := k.d.Registrar.Write(k.ctx, k.d.Admin, ws)
	if err != nil || len(rs) != len(ws) {
		k.Fatalf("%d results, %v", len(rs), err)
	}
	for i := range n {
		if rs[i].Err != nil || rs[i].ID != ws[i].ID {
			k.Fatalf("write %d: %v", i, rs[i])
		}
	}
	for i, want := range []problem.Kind{problem.Exists, 0, 0, problem.NotFound} {
		if err := rs[n+i].Err; want == 0 && err != nil || want != 0 && !problem.Is(err, want) {
			k.Errorf("write %d: %v", n+i, err)
		}
	}
	k.is(k.id("batch-7"), text(1, "N", "7"))
	k.is(k.id("batch-8"), text(1, "N", "8"), text(2, "N", "more"))
	k.absent(k.id("batch-9"))
	if rs, err := k.d.Registrar.Write(k.ctx, k.d.Admin, nil); err != nil || len(rs) != 0 {
		k.Errorf("no writes: %v, %v", rs, err)
	}
}

// content checks that what is in a value comes back as it went.
func (k *kit) content() {
	v := k.id("内容 é/%2F?#x:y\"<&>")
	all := []record.Value{
		{Index: 1, Type: "类型", Data: []byte("发动机缸体\u2028\"\\"), TTL: record.TTL{Seconds: 0}, Perm: 0x0f},
		{Index: 2, Type: "BIN", Data: []byte{0, 1, 0xfe, 0xff}, TTL: record.TTL{Absolute: true, Seconds: 4000000000}, Perm: record.DefaultPerm},
		{Index: 3, Type: "EMPTY", TTL: record.TTL{Seconds: 1<<32 - 1}, Perm: record.AdminRead | record.PublicRead},
		{Index: 1<<31 - 1, Type: "REFS", Data: []byte("x"), TTL: record.TTL{Seconds: 60}, Perm: record.DefaultPerm,
			Refs: []record.Ref{{Index: 300, Name: "88.111.1/Admin"}, {Index: 0, Name: "a/b"}}},
		{Index: 5, Type: "LONG", Data: bytes.Repeat([]byte("0123456789"), 5000), TTL: record.TTL{Seconds: 60}, Perm: record.DefaultPerm},
		{Index: 6, Type: record.TypeVList, Data: record.AppendVList(nil, []record.Ref{{Index: 1, Name: "a/b"}}), TTL: record.TTL{Seconds: 60}, Perm: record.DefaultPerm},
	}
	k.must(record.Write{Op: record.Create, ID: v, Values: all})
	k.is(v, all...)
	long := k.id(strings.Repeat("x", 900))
	k.must(record.Write{Op: record.Create, ID: long, Values: all[:1]})
	k.is(long, all[0])
	k.refused(problem.TooLarge, record.Write{Op: record.Create, ID: k.id("large"), Values: []record.Value{text(1, "X", strings.Repeat("x", record.MaxBlock))}})
	k.absent(k.id("large"))
}

func (k *kit) home() {
	prefix := k.d.Prefix + ".7"
	v := id.MustParse(prefix + "/x")
	w := record.Write{Op: record.Create, ID: v, Values: []record.Value{text(1, "URL", "a")}}
	k.refused(problem.NotHere, w)
	k.must(record.Write{Op: record.Home, ID: id.PrefixRecord(prefix)})
	k.absent(v)
	k.must(w)
	k.is(v, w.Values...)
	if k.d.Lister != nil {
		all, err := k.d.Lister.Prefixes(k.ctx, k.d.Admin, "", 1000)
		if err != nil || !slices.Contains(all, prefix) || !slices.Contains(all, k.d.Prefix) {
			k.Errorf("prefixes: %v, %v", all, err)
		}
	}
	k.must(record.Write{Op: record.Unhome, ID: id.PrefixRecord(prefix)})
	if _, err := k.ask(record.Query{ID: v, PublicOnly: true}); !problem.Is(err, problem.NotHere) {
		k.Errorf("a prefix that was unhomed: %v", err)
	}
}

func (k *kit) list() {
	if n, err := k.d.Lister.Count(k.ctx, k.d.Admin, k.d.Prefix); err != nil || n != 0 {
		k.Fatalf("%d names before anything is registered, %v", n, err)
	}
	if got, err := k.d.Lister.List(k.ctx, k.d.Admin, k.d.Prefix, "", 10); err != nil || len(got) != 0 {
		k.Fatalf("%v, %v", got, err)
	}
	const n = 120 // more than one message of the Handle protocol holds
	var want []string
	var ws []record.Write
	for i := range n {
		v := k.id(fmt.Sprintf("n-%03d", i*7%n))
		want = append(want, v.String())
		ws = append(ws, record.Write{Op: record.Create, ID: v, Values: []record.Value{text(1, "N", "x")}})
	}
	slices.Sort(want)
	if _, err := k.d.Registrar.Write(k.ctx, k.d.Admin, ws); err != nil {
		k.Fatal(err)
	}
	got, err := k.d.Lister.List(k.ctx, k.d.Admin, k.d.Prefix, "", n+1)
	if err != nil || !slices.Equal(got, want) {
		k.Errorf("%d names, %v\n%v", len(got), err, got)
	}
	var paged []string
	for after := ""; ; {
		page, err := k.d.Lister.List(k.ctx, k.d.Admin, k.d.Prefix, after, 50)
		if err != nil || len(page) > 50 {
			k.Fatal(len(page), err)
		}
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		after = page[len(page)-1]
	}
	if !slices.Equal(paged, want) {
		k.Errorf("by pages: %v", paged)
	}
	if got, err := k.d.Lister.List(k.ctx, k.d.Admin, k.d.Prefix, strings.ToLower(want[n-2]), 10); err != nil || !slices.Equal(got, want[n-1:]) {
		k.Errorf("behind the last but one: %v, %v", got, err)
	}
	if c, err := k.d.Lister.Count(k.ctx, k.d.Admin, k.d.Prefix); err != nil || c != n {
		k.Errorf("counted %d, %v", c, err)
	}
	if _, err := k.d.Lister.List(k.ctx, k.d.Admin, "99.999999999", "", 10); !problem.Is(err, problem.NotHere) {
		k.Errorf("a list of a prefix that is not homed: %v", err)
	}
	all, err := k.d.Lister.Prefixes(k.ctx, k.d.Admin, "", 1000)
	if err != nil || !slices.Contains(all, k.d.Prefix) {
		k.Errorf("prefixes: %v, %v", all, err)
	}
}

func (k *kit) feed() {
	now := func(after uint64, limit int) []record.Entry {
		k.Helper()
		ctx, cancel := context.WithTimeout(k.ctx, 20*time.Second)
		defer cancel()
		es, err := k.d.Feed.Changes(ctx, k.d.Admin, after, limit, true)
		if err != nil {
			k.Fatal(err)
		}
		return es
	}
	start := k.last()
	v, w := k.id("feed"), k.id("other")
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{text(1, "URL", "a")}})
	k.must(record.Write{Op: record.Add, ID: v, Values: []record.Value{text(2, "X", "b")}})
	k.must(record.Write{Op: record.Create, ID: w, Values: []record.Value{text(1, "URL", "c")}})
	k.must(record.Write{Op: record.Delete, ID: w})
	k.refused(problem.NotFound, record.Write{Op: record.Delete, ID: w})

	var es []record.Entry
	for at := start; len(es) < 4; at = es[len(es)-1].Seq {
		es = append(es, now(at, 2)...)
	}
	want := []struct {
		op record.Op
		id id.ID
	}{{record.Create, v}, {record.Add, v}, {record.Create, w}, {record.Delete, w}}
	if len(es) != len(want) {
		k.Fatalf("%d changes", len(es))
	}
	for i, e := range es {
		if e.Op != want[i].op || e.ID != want[i].id {
			k.Errorf("change %d is %v %v, want %v %v", i, e.Op, e.ID, want[i].op, want[i].id)
		}
		if i > 0 && e.Seq <= es[i-1].Seq || e.Seq <= start {
			k.Errorf("change %d has number %d", i, e.Seq)
		}
		if e.Time.IsZero() || e.Time != e.Time.Truncate(time.Millisecond) {
			k.Errorf("change %d was at %v", i, e.Time)
		}
	}
	full := []record.Value{text(1, "URL", "a"), text(2, "X", "b")}
	if d := diff(full, es[1].Values); d != "" {
		k.Errorf("change 1 comes with something else:\n%s", d)
	}
	if es[1].Digest != sha256.Sum256(record.AppendBlock(nil, es[1].Values)) {
		k.Error("the digest is not that of the value block")
	}
	if es[3].Values != nil || es[3].Digest != [32]byte{} {
		k.Errorf("a deleted record has %v, %x", es[3].Values, es[3].Digest)
	}
	bare, err := k.d.Feed.Changes(k.ctx, k.d.Admin, start, 10, false)
	if err != nil || len(bare) != 4 || bare[1].Values != nil {
		k.Errorf("without values: %v, %v", bare, err)
	}

	// who asks for what has not happened yet waits for it
	last := es[3].Seq
	got := make(chan []record.Entry, 1)
	failed := make(chan error, 1)
	go func() {
		es, err := k.d.Feed.Changes(k.ctx, k.d.Admin, last, 10, true)
		if err != nil {
			failed <- err
		}
		got <- es
	}()
	k.must(record.Write{Op: record.Create, ID: w, Values: []record.Value{text(1, "URL", "d")}})
	if es := <-got; len(es) != 1 || es[0].ID != w || es[0].Op != record.Create {
		k.Errorf("waited for a change and got %v", es)
		select {
		case err := <-failed:
			k.Error(err)
		default:
		}
	}
	ctx, cancel := context.WithTimeout(k.ctx, 50*time.Millisecond)
	defer cancel()
	if es, err := k.d.Feed.Changes(ctx, k.d.Admin, last+1000, 10, true); err == nil || ctx.Err() == nil || len(es) > 0 {
		k.Errorf("nothing happened, yet %v, %v", es, err)
	}
}

// last is the number of the newest change.
func (k *kit) last() uint64 {
	var at uint64
	for {
		ctx, cancel := context.WithTimeout(k.ctx, 200*time.Millisecond)
		es, err := k.d.Feed.Changes(ctx, k.d.Admin, at, 1000, false)
		cancel()
		if err != nil || len(es) == 0 {
			return at
		}
		at = es[len(es)-1].Seq
	}
}

func (k *kit) appender() {
	v := k.id("Fast")
	public, private := text(1, "URL", "a"), text(2, "NOTE", "b")
	private.Perm = record.AdminRead
	k.must(record.Write{Op: record.Create, ID: v, Values: []record.Value{public, private}})
	k.must(record.Write{Op: record.Create, ID: k.id("closed"), Values: []record.Value{private}})
	now := time.Now().Unix()
	get := func(name string) ([]record.Value, bool) {
		out, expires, ok := k.d.Appender.AppendPublic([]byte("kept"), []byte(name), now)
		if !ok {
			return nil, false
		}
		if !bytes.HasPrefix(out, []byte("kept")) {
			k.Fatalf("%s: what stood before is gone", name)
		}
		if expires < now {
			k.Errorf("%s: expired before it was given", name)
		}
		vs, rest, err := record.DecodeBlock(out[4:])
		if err != nil || len(rest) > 0 {
			k.Fatalf("%s: %v, %d bytes behind", name, err, len(rest))
		}
		return vs, true
	}
	// An implementation may need to be asked the long way first.
	if _, err := k.ask(record.Query{ID: v, PublicOnly: true}); err != nil {
		k.Fatal(err)
	}
	for _, name := range []string{k.d.Prefix + "/Fast", k.d.Prefix + "/FAST", k.d.Prefix + "/fast"} {
		vs, ok := get(name)
		if !ok {
			k.Errorf("%s: not ready", name)
		} else if d := diff([]record.Value{public}, vs); d != "" {
			k.Errorf("%s:\n%s", name, d)
		}
	}
	for _, name := range []string{"", "/", k.d.Prefix, k.d.Prefix + "/", k.d.Prefix + "/none", "99.999999999/x", "\xff", k.d.Prefix + "/\x00", strings.Repeat("x", 5000)} {
		if vs, ok := get(name); ok {
			k.Errorf("%q: %v", name, vs)
		}
	}
	if vs, ok := get(k.d.Prefix + "/closed"); ok && len(vs) > 0 {
		k.Errorf("what nobody may read: %v", vs)
	}
	public.Data = []byte("changed")
	k.must(record.Write{Op: record.Modify, ID: v, Values: []record.Value{public}})
	if vs, ok := get(k.d.Prefix + "/fast"); ok && diff([]record.Value{public}, vs) != "" {
		k.Errorf("after a change: %v", vs)
	}
	k.must(record.Write{Op: record.Delete, ID: v})
	if vs, ok := get(k.d.Prefix + "/fast"); ok {
		k.Errorf("after it was deleted: %v", vs)
	}
}

func (k *kit) canceled() {
	v := k.id("canceled")
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	// Either nothing happened and an error says so, or it happened wholly.
	rs, err := k.d.Registrar.Write(ctx, k.d.Admin, []record.Write{{Op: record.Create, ID: v, Values: []record.Value{text(1, "URL", "a")}}})
	if err == nil && len(rs) == 1 && rs[0].Err == nil {
		k.is(v, text(1, "URL", "a"))
	}
	// The doors are of use afterwards.
	k.must(record.Write{Op: record.Create, ID: k.id("after"), Values: []record.Value{text(1, "URL", "a")}})
	k.is(k.id("after"), text(1, "URL", "a"))
}

// model plays random writes against a map that says what should come of them.
func (k *kit) model() {
	round := 0
	rapid.Check(k.T, func(t *rapid.T) {
		round++
		world := map[id.ID][]record.Value{}
		for range rapid.IntRange(1, 12).Draw(t, "writes") {
			w := record.Write{
				Op:        record.Op(rapid.IntRange(int(record.Create), int(record.Modify)).Draw(t, "op")),
				ID:        k.id(fmt.Sprintf("model-%d-%d", round, rapid.IntRange(0, 2).Draw(t, "id"))),
				Overwrite: rapid.Bool().Draw(t, "overwrite"),
			}
			indexes := rapid.SliceOfNDistinct(rapid.Uint32Range(1, 4), 1, 3, rapid.ID).Draw(t, "indexes")
			switch w.Op {
			case record.Remove:
				w.Indexes = indexes
			case record.Create, record.Add, record.Modify:
				for _, i := range indexes {
					w.Values = append(w.Values, text(i, "X", strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "data"))))
				}
			}
			if w.Op != record.Create && w.Op != record.Add {
				w.Overwrite = false
			}
			want := apply(world, w)
			rs, err := k.d.Registrar.Write(k.ctx, k.d.Admin, []record.Write{w})
			if err != nil || len(rs) != 1 {
				t.Fatalf("%+v: %v, %v", w, rs, err)
			}
			if want == 0 && rs[0].Err != nil || want != 0 && !problem.Is(rs[0].Err, want) {
				t.Fatalf("%v %v %v %v: want %v, got %v", w.Op, w.ID, w.Values, w.Indexes, want, rs[0].Err)
			}
			got, err := k.ask(record.Query{ID: w.ID, By: k.d.Admin})
			switch vs, ok := world[w.ID]; {
			case !ok && !problem.Is(err, problem.NotFound):
				t.Fatalf("%v should be absent: %v, %v", w.ID, got, err)
			case ok && len(vs) == 0 && !problem.Is(err, problem.NoValues):
				t.Fatalf("%v should be empty: %v, %v", w.ID, got, err)
			case len(vs) > 0 && (err != nil || diff(vs, got) != ""):
				t.Fatalf("%v: %v\n%s", w.ID, err, diff(vs, got))
			}
		}
	})
}

// apply does w in the world; the kind of its problem, or 0.
func apply(world map[id.ID][]record.Value, w record.Write) problem.Kind {
	old, exists := world[w.ID]
	at := func(i uint32) int { return slices.IndexFunc(old, func(v record.Value) bool { return v.Index == i }) }
	switch w.Op {
	case record.Create:
		if exists && !w.Overwrite {
			return problem.Exists
		}
		world[w.ID] = w.Values
		return 0
	case record.Delete:
		if !exists {
			return problem.NotFound
		}
		delete(world, w.ID)
		return 0
	}
	if !exists {
		return problem.NotFound
	}
	next := slices.Clone(old)
	for _, v := range w.Values {
		switch i := at(v.Index); {
		case i >= 0 && w.Op == record.Add && !w.Overwrite:
			return problem.ValueExists
		case i < 0 && w.Op == record.Modify:
			return problem.NoValues
		case i >= 0:
			next[i] = v
		default:
			next = append(next, v)
		}
	}
	for _, i := range w.Indexes {
		if at(i) < 0 {
			return problem.NoValues
		}
		next = slices.DeleteFunc(next, func(v record.Value) bool { return v.Index == i })
	}
	if next == nil {
		next = []record.Value{}
	}
	world[w.ID] = next
	return 0
}
