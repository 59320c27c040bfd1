package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
)

var (
	operator = record.Identity{Operator: true}
	admin    = record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.1001/ADMIN"}}
	stranger = record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.7/SOMEBODY"}}
	anybody  = record.Identity{}
)

var day0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func open(t testing.TB, cfg Config) *Registry {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = memory.New()
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return day0 }
	}
	if cfg.HotBytes == 0 {
		cfg.HotBytes = 1 << 20
	}
	r, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), TTL: record.TTL{Seconds: 86400}, Perm: record.DefaultPerm}
}

func adminValue(index uint32, ref record.Ref, p record.AdminPerm) record.Value {
	v := text(index, record.TypeAdmin, "")
	v.Data = record.AppendAdmin(nil, record.Admin{Perms: p, Ref: ref})
	return v
}

func groupValue(index uint32, refs ...record.Ref) record.Value {
	v := text(index, record.TypeVList, "")
	v.Data = record.AppendVList(nil, refs)
	return v
}

func create(name string, vs ...record.Value) record.Write {
	return record.Write{Op: record.Create, ID: id.MustParse(name), Values: vs}
}

func home(prefix string) record.Write {
	return record.Write{Op: record.Home, ID: id.MustParse("0.NA/" + prefix)}
}

// must writes as by and fails the test when a write fails.
func must(t testing.TB, r *Registry, by record.Identity, writes ...record.Write) []record.Result {
	t.Helper()
	res, err := r.Write(context.Background(), by, writes)
	if err != nil {
		t.Fatal(err)
	}
	for i := range res {
		if res[i].Err != nil {
			t.Fatalf("%s %s: %v", writes[i].Op, writes[i].ID, res[i].Err)
		}
	}
	return res
}

// kind is what became of one write.
func kind(t testing.TB, r *Registry, by record.Identity, w record.Write) string {
	t.Helper()
	res, err := r.Write(context.Background(), by, []record.Write{w})
	if err != nil {
		t.Fatal(err)
	}
	return kindOf(res[0].Err)
}

func kindOf(err error) string {
	if err == nil {
		return "ok"
	}
	return problem.KindOf(err).String()
}

// enterprise is a registry that is home to 88.118.1001, with a copy of its prefix record.
func enterprise(t testing.TB, cfg Config) *Registry {
	t.Helper()
	r := open(t, cfg)
	must(t, r, operator, home("88.118.1001"),
		create("0.NA/88.118.1001", adminValue(100, admin.Ref, record.AllPerms)))
	return r
}

func resolve(t testing.TB, r *Registry, q record.Query) ([]record.Value, string) {
	t.Helper()
	a, err := r.Resolve(context.Background(), q)
	return a.Values, kindOf(err)
}

func shape(vs []record.Value) string {
	var b strings.Builder
	for _, v := range vs {
		fmt.Fprintf(&b, "%d %s %s;", v.Index, v.Type, v.Data)
	}
	return b.String()
}

func TestWriteAndResolve(t *testing.T) {
	r := enterprise(t, Config{})
	must(t, r, admin, create("88.118.1001/eng-42", text(1, "URL", "http://a"), text(2, "DESC", "engine")))
	vs, k := resolve(t, r, record.Query{ID: id.MustParse("88.118.1001/ENG-42")})
	if k != "ok" || shape(vs) != "1 URL http://a;2 DESC engine;" {
		t.Fatal(k, shape(vs))
	}
	if vs[0].Timestamp != uint32(day0.Unix()) {
		t.Fatal("timestamp", vs[0].Timestamp)
	}
	out, expires, ok := r.AppendPublic(nil, []byte("88.118.1001/eng-42"), day0.Unix())
	if !ok || expires != day0.Unix()+86400 {
		t.Fatal(ok, expires)
	}
	if string(out) != string(record.AppendBlock(nil, vs)) {
		t.Fatal("the fast answer differs")
	}
	must(t, r, admin, record.Write{Op: record.Modify, ID: id.MustParse("88.118.1001/ENG-42"), Values: []record.Value{text(1, "URL", "http://b")}})
	out, _, ok = r.AppendPublic(nil, []byte("88.118.1001/eng-42"), day0.Unix())
	if got, _, _ := record.DecodeBlock(out); !ok || shape(got) != "1 URL http://b;2 DESC engine;" {
		t.Fatal("read-your-write", shape(got))
	}
	// A bare prefix is answered with its record.
	if _, k := resolve(t, r, record.Query{ID: id.MustParse("88.118.1001")}); k != "ok" {
		t.Fatal(k)
	}
	if _, _, ok := r.AppendPublic(nil, []byte("88.118.1001"), 0); !ok {
		t.Fatal("bare prefix")
	}
	for name, want := range map[string]string{"88.118.1001/none": "not-found", "99.1/x": "not-here", "88.118/x": "not-here", "0.NA/88.118": "not-here", "0.NA/88.118.1001.5": "not-found"} {
		if _, k := resolve(t, r, record.Query{ID: id.MustParse(name)}); k != want {
			t.Errorf("%s: %s, want %s", name, k, want)
		}
		if _, _, ok := r.AppendPublic(nil, []byte(name), 0); ok {
			t.Errorf("%s is answered", name)
		}
	}
	must(t, r, admin, record.Write{Op: record.Delete, ID: id.MustParse("88.118.1001/ENG-42")})
	if _, _, ok := r.AppendPublic(nil, []byte("88.118.1001/eng-42"), day0.Unix()); ok {
		t.Fatal("deleted, yet answered")
	}
}

func TestFilters(t *testing.T) {
	r := enterprise(t, Config{})
	secret := text(7, "HS_SECKEY", "geheim")
	secret.Perm = record.AdminRead | record.AdminWrite
	nobody := text(8, "X", "y")
	nobody.Perm = record.AdminWrite
	must(t, r, admin, create("88.118.1001/f", text(1, "URL", "a"), text(2, "url.sub", "b"), text(3, "EMAIL", "c"), text(4, "URLX", "d"), secret, nobody))
	for _, c := range []struct {
		indexes []uint32
		types   []string
		by      record.Identity
		public  bool
		want    string
	}{
		{nil, []string{"url"}, anybody, false, "1 "},
		{nil, []string{"URL."}, anybody, false, "1 2 "},
		{[]uint32{3}, []string{"URL"}, anybody, false, "1 3 "},
		{[]uint32{9}, nil, anybody, false, "no-values"},
		{nil, nil, anybody, true, "1 2 3 4 "},
		{nil, nil, anybody, false, "authentication-needed"},
		{[]uint32{7}, nil, anybody, true, "no-values"},
		{[]uint32{7}, nil, anybody, false, "authentication-needed"},
		{[]uint32{7}, nil, admin, false, "7 "},
		{[]uint32{7}, nil, stranger, false, "not-administrator"},
		{nil, nil, admin, false, "1 2 3 4 7 "},
		{[]uint32{8}, nil, admin, false, "no-values"},
		{[]uint32{8}, nil, anybody, false, "no-values"},
		{[]uint32{8}, nil, operator, false, "8 "},
	} {
		vs, k := resolve(t, r, record.Query{ID: id.MustParse("88.118.1001/F"), Indexes: c.indexes, Types: c.types, By: c.by, PublicOnly: c.public})
		if k == "ok" {
			k = ""
			for _, v := range vs {
				k += fmt.Sprint(v.Index, " ")
			}
		}
		if strings.ReplaceAll(c.want, "not-administrator", problem.NotAdmin.String()) != k {
			t.Errorf("%v %v %v public=%v: %q, want %q", c.indexes, c.types, c.by, c.public, k, c.want)
		}
	}
	out, _, ok := r.AppendPublic(nil, []byte("88.118.1001/f"), 0)
	if vs, _, err := record.DecodeBlock(out); !ok || err != nil || len(vs) != 4 {
		t.Fatal("the fast answer shows more or less than what is public", vs, err)
	}
}

// TestOrderOfChecks follows handle-protocol §1.10, measured at deployed servers.
func TestOrderOfChecks(t *testing.T) {
	r := enterprise(t, Config{})
	must(t, r, admin, create("88.118.1001/old", text(1, "URL", "a")))
	w := func(op record.Op, name string, vs ...record.Value) record.Write {
		return record.Write{Op: op, ID: id.MustParse(name), Values: vs}
	}
	old, missing := "88.118.1001/OLD", "88.118.1001/NEW"
	rem := func(name string, idx ...uint32) record.Write {
		return record.Write{Op: record.Remove, ID: id.MustParse(name), Indexes: idx}
	}
	for _, c := range []struct {
		w                            record.Write
		anonymous, stranger, allowed string
	}{
		{create("77.1/x"), "not-here", "not-here", "not-here"},
		{create(old), "exists", "exists", "exists"},
		{create(old, text(1, "A", ""), text(1, "A", "")), "exists", "exists", "exists"},
		{create(missing, text(1, "A", ""), text(1, "A", "")), "value-exists", "value-exists", "value-exists"},
		{create(missing, text(0, "A", "")), "bad-value", "bad-value", "bad-value"},
		{w(record.Modify, missing, text(1, "A", "")), "not-found", "not-found", "not-found"},
		{create(missing, text(1, "A", "")), "authentication-needed", "not-admin", "ok"},
		{w(record.Delete, "88.118.1001/NONE"), "authentication-needed", "not-found", "not-found"},
		{w(record.Add, old, text(1, "A", "")), "authentication-needed", "not-admin", "value-exists"},
		{w(record.Add, "88.118.1001/NONE", text(1, "A", "")), "authentication-needed", "not-found", "not-found"},
		{rem(old, 9), "authentication-needed", "not-admin", "no-values"},
		{w(record.Modify, old, text(9, "A", "")), "authentication-needed", "not-admin", "no-values"},
		{w(record.Home, "0.NA/88.5"), "authentication-needed", "not-admin", "not-admin"},
	} {
		for _, by := range []struct {
			who  record.Identity
			want string
		}{{anybody, c.anonymous}, {stranger, c.stranger}, {admin, c.allowed}} {
			if got := kind(t, r, by.who, c.w); got != by.want {
				t.Errorf("%s %s by %v: %s, want %s", c.w.Op, c.w.ID, by.who.Ref, got, by.want)
			}
		}
	}
}

func TestRights(t *testing.T) {
	r := enterprise(t, Config{Admins: []record.Ref{{Index: 0, Name: "88.118.1001/ROOTS"}}})
	a := record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.1001/A"}}
	b := record.Identity{Ref: record.Ref{Index: 301, Name: "88.118.1001/b"}}
	loop := record.Ref{Index: 200, Name: "88.118.1001/LOOP"}
	must(t, r, admin,
		create("88.118.1001/loop", groupValue(200, loop, record.Ref{Index: 200, Name: "88.118.1001/LOOP2"})),
		create("88.118.1001/loop2", groupValue(200, loop, a.Ref), groupValue(201, b.Ref)),
		create("88.118.1001/r", text(1, "URL", "x"), adminValue(100, loop, record.ModifyValue|record.AddValue), adminValue(101, b.Ref, record.RemoveAdmin|record.RemoveValue)),
		create("88.118.1001/roots", groupValue(1, record.Ref{Index: 0, Name: "88.118.1001/BOSS"})))
	rec := id.MustParse("88.118.1001/r")
	mod := record.Write{Op: record.Modify, ID: rec, Values: []record.Value{text(1, "URL", "y")}}
	if k := kind(t, r, a, mod); k != "ok" {
		t.Error("a member of a group in a group:", k)
	}
	if k := kind(t, r, a, record.Write{Op: record.Delete, ID: rec}); k != "forbidden" {
		t.Error("delete without the permission:", k)
	}
	if k := kind(t, r, b, mod); k != "forbidden" {
		t.Error("only removal:", k)
	}
	if k := kind(t, r, a, record.Write{Op: record.Add, ID: rec, Values: []record.Value{adminValue(102, a.Ref, record.AllPerms)}}); k != "forbidden" {
		t.Error("an administrator more takes ADD_ADMIN:", k)
	}
	if k := kind(t, r, a, record.Write{Op: record.Modify, ID: rec, Values: []record.Value{adminValue(1, a.Ref, record.AllPerms)}}); k != "forbidden" {
		t.Error("a value that becomes an administrator takes ADD_ADMIN:", k)
	}
	if k := kind(t, r, b, record.Write{Op: record.Remove, ID: rec, Indexes: []uint32{100}}); k != "ok" {
		t.Error("REMOVE_ADMIN:", k)
	}
	if k := kind(t, r, a, mod); k != "not-admin" {
		t.Error("no administrator any more:", k)
	}
	boss := record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.1001/Boss"}}
	if k := kind(t, r, boss, record.Write{Op: record.Home, ID: id.MustParse("0.NA/88.9")}); k != "ok" {
		t.Error("an administrator of the node through a group:", k)
	}
	// What anybody may write.
	wiki := text(1, "NOTE", "x")
	wiki.Perm |= record.PublicWrite
	must(t, r, admin, create("88.118.1001/wiki", wiki, text(2, "URL", "u")))
	wiki.Data = []byte("z")
	wid := id.MustParse("88.118.1001/wiki")
	if k := kind(t, r, anybody, record.Write{Op: record.Modify, ID: wid, Values: []record.Value{wiki}}); k != "ok" {
		t.Error("public write:", k)
	}
	wiki.Perm = record.DefaultPerm
	if k := kind(t, r, anybody, record.Write{Op: record.Modify, ID: wid, Values: []record.Value{wiki}}); k != "authentication-needed" {
		t.Error("public write that changes the permissions:", k)
	}
	frozen := text(5, "SERIAL", "1")
	frozen.Perm = record.PublicRead
	must(t, r, admin, record.Write{Op: record.Add, ID: wid, Values: []record.Value{frozen}})
	if k := kind(t, r, admin, record.Write{Op: record.Modify, ID: wid, Values: []record.Value{frozen}}); k != "forbidden" {
		t.Error("a value that nobody may write:", k)
	}
}

type resolverFunc func(context.Context, record.Query) (record.Answer, error)

func (f resolverFunc) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	return f(ctx, q)
}

func TestRightsFromElsewhere(t *testing.T) {
	asked := 0
	down := false
	now := day0
	groups := resolverFunc(func(_ context.Context, q record.Query) (record.Answer, error) {
		asked++
		if down {
			return record.Answer{}, problem.New(problem.Unreachable, "away", "离线")
		}
		switch q.ID.String() {
		case "0.NA/88.118.1001":
			return record.Answer{Values: []record.Value{adminValue(100, record.Ref{Index: 200, Name: "88.118/GROUP"}, record.AddHandle|record.ListHandles)}}, nil
		case "88.118/GROUP":
			return record.Answer{Values: []record.Value{groupValue(200, admin.Ref)}}, nil
		}
		return record.Answer{}, problem.New(problem.NotFound, "no", "无")
	})
	r := open(t, Config{Groups: groups, Now: func() time.Time { return now }})
	must(t, r, operator, home("88.118.1001"))
	var many []record.Write
	for i := range 50 {
		many = append(many, create(fmt.Sprintf("88.118.1001/%d", i), text(1, "URL", "x")))
	}
	must(t, r, admin, many...)
	if asked != 2 {
		t.Errorf("%d questions for 50 writes, want 2", asked)
	}
	if n, err := r.Count(context.Background(), admin, "88.118.1001"); n != 50 || err != nil {
		t.Error(n, err)
	}
	if k := kind(t, r, stranger, create("88.118.1001/s")); k != "not-admin" {
		t.Error(k)
	}
	now = now.Add(time.Hour)
	down = true
	if k := kind(t, r, admin, create("88.118.1001/t")); k != "authentication-error" {
		t.Error("with the prefix's server away:", k)
	}
	if n, _ := r.Count(context.Background(), operator, "88.118.1001"); n != 50 {
		t.Error("a refused write was counted", n)
	}
	down = false
	now = now.Add(time.Minute)
	if k := kind(t, r, admin, create("88.118.1001/t")); k != "ok" {
		t.Error("with the prefix's server back:", k)
	}
}

func TestMint(t *testing.T) {
	r := enterprise(t, Config{})
	res := must(t, r, admin, record.Write{Op: record.Create, ID: id.MustParse("88.118.1001"), Mint: true, Values: []record.Value{text(1, "URL", "x")}},
		record.Write{Op: record.Create, ID: id.MustParse("88.118.1001/part-"), Mint: true})
	if s := res[0].ID.Suffix(); len(s) != 26 {
		t.Fatal(res[0].ID)
	}
	if !strings.HasPrefix(res[1].ID.Suffix(), "PART-") {
		t.Fatal(res[1].ID)
	}
	if vs, k := resolve(t, r, record.Query{ID: res[0].ID}); k != "ok" || len(vs) != 1 {
		t.Fatal(k)
	}
	if k := kind(t, r, operator, record.Write{Op: record.Create, ID: id.MustParse("0.NA/88.118.1001"), Mint: true}); k != "bad-identifier" {
		t.Fatal(k)
	}
}

type same byte

func (s same) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s)
	}
	return len(b), nil
}

type sequence struct{ n byte }

func (s *sequence) Read(b []byte) (int, error) {
	s.n++
	return same(s.n / 2).Read(b)
}

func TestMintTaken(t *testing.T) {
	r := enterprise(t, Config{Rand: &sequence{}})
	seen := map[string]bool{}
	for range 10 {
		w := record.Write{Op: record.Create, ID: id.MustParse("88.118.1001"), Mint: true}
		res := must(t, r, admin, w, w)
		for _, x := range res {
			if seen[x.ID.String()] {
				t.Fatal("made up twice", x.ID)
			}
			seen[x.ID.String()] = true
		}
	}
}

func TestReferral(t *testing.T) {
	r := open(t, Config{})
	site := &record.Site{Version: 1, Major: 2, Minor: 11, Primary: true}
	d := Delegation{Prefix: "88.118", Sites: []*record.Site{site}, Admins: []record.Admin{{Perms: record.AllPerms, Ref: admin.Ref}}}
	vs, err := d.Values()
	if err != nil {
		t.Fatal(err)
	}
	must(t, r, operator, home("88"), create("0.NA/88.118", vs...), create("0.NA/88.5", text(1, "DESC", "nobody's")))
	a, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse("0.NA/88.118.1001.3")})
	if err != nil || a.Referral == nil || !a.Referral.Prefix || len(a.Referral.Values) != 1 || a.Referral.Values[0].Type != record.TypeSitePrefix {
		t.Fatal(a, err)
	}
	if _, k := resolve(t, r, record.Query{ID: id.MustParse("0.NA/88.118.1001"), NoReferral: true}); k != "not-found" {
		t.Fatal(k)
	}
	if _, k := resolve(t, r, record.Query{ID: id.MustParse("0.NA/88.5.1")}); k != "not-found" {
		t.Fatal(k)
	}
	if _, k := resolve(t, r, record.Query{ID: id.MustParse("0.NA/88")}); k != "not-here" {
		t.Fatal(k)
	}
	if _, k := resolve(t, r, record.Query{ID: id.MustParse("88.118/x")}); k != "not-here" {
		t.Fatal(k)
	}
	if k := kind(t, r, operator, create("0.NA/88.118.1001")); k != "not-here" {
		t.Fatal("a record that lives elsewhere:", k)
	}
	// Unhomed, nothing is answered, not even what was ready.
	if _, _, ok := r.AppendPublic(nil, []byte("0.NA/88.118"), 0); !ok {
		t.Fatal("not answered")
	}
	must(t, r, operator, record.Write{Op: record.Unhome, ID: id.MustParse("0.NA/88")})
	if _, _, ok := r.AppendPublic(nil, []byte("0.NA/88.118"), 0); ok {
		t.Fatal("answered after the prefix went")
	}
}

func TestListAndCount(t *testing.T) {
	r := enterprise(t, Config{})
	ctx := context.Background()
	var want []string
	for i := range 25 {
		must(t, r, admin, create(fmt.Sprintf("88.118.1001/n%02d", i)))
		want = append(want, fmt.Sprintf("88.118.1001/N%02d", i))
	}
	var got []string
	for after := ""; ; {
		part, err := r.List(ctx, admin, "0.na/88.118.1001", after, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			break
		}
		got = append(got, part...)
		after = part[len(part)-1]
	}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Fatal(got)
	}
	for by, want := range map[string]string{"anybody": "authentication-needed", "stranger": "not-admin"} {
		who := anybody
		if by == "stranger" {
			who = stranger
		}
		if _, err := r.List(ctx, who, "88.118.1001", "", 1); kindOf(err) != want {
			t.Error(by, err)
		}
		if _, err := r.Prefixes(ctx, who, "", 1); kindOf(err) != want {
			t.Error(by, err)
		}
	}
	if _, err := r.List(ctx, admin, "77", "", 1); kindOf(err) != "not-here" {
		t.Error(err)
	}
	ps, err := r.Prefixes(ctx, operator, "", 10)
	if err != nil || strings.Join(ps, ",") != "88.118.1001" {
		t.Fatal(ps, err)
	}
	must(t, r, admin, record.Write{Op: record.Delete, ID: id.MustParse("88.118.1001/n03")}, record.Write{Op: record.Create, ID: id.MustParse("88.118.1001/n04"), Overwrite: true})
	if n, err := r.Count(ctx, admin, "88.118.1001"); n != 24 || err != nil {
		t.Fatal(n, err)
	}
}

func TestFeed(t *testing.T) {
	r := enterprise(t, Config{Followers: []record.Ref{stranger.Ref}})
	ctx := context.Background()
	must(t, r, admin, create("88.118.1001/a", text(1, "URL", "x")), create("88.118.1001/b", text(1, "URL", "x")),
		record.Write{Op: record.Add, ID: id.MustParse("88.118.1001/a"), Values: []record.Value{text(2, "URL", "y")}},
		record.Write{Op: record.Delete, ID: id.MustParse("88.118.1001/b")})
	es, err := r.Changes(ctx, stranger, 0, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, e := range es {
		if e.Seq != uint64(i+1) || !e.Time.Equal(day0) {
			t.Errorf("%+v", e.Change)
		}
		got = append(got, fmt.Sprintf("%s %s %d %v", e.Op, e.ID, len(e.Values), e.Digest != [32]byte{}))
	}
	want := "home 0.NA/88.118.1001 0 false|create 0.NA/88.118.1001 1 true|create 88.118.1001/A 2 true|create 88.118.1001/B 0 true|add 88.118.1001/A 2 true|delete 88.118.1001/B 0 false"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
	if es[2].By.Ref != admin.Ref || !es[0].By.Operator {
		t.Error("who did it", es[2].By, es[0].By)
	}
	if _, err := r.Changes(ctx, anybody, 0, 1, true); kindOf(err) != "authentication-needed" {
		t.Error(err)
	}
	// Waiting.
	done := make(chan string, 1)
	go func() {
		es, err := r.Changes(ctx, operator, es[5].Seq, 10, false)
		if err != nil || len(es) != 1 {
			done <- fmt.Sprint(es, err)
			return
		}
		done <- es[0].ID.String()
	}()
	must(t, r, admin, create("88.118.1001/late"))
	if s := <-done; s != "88.118.1001/LATE" {
		t.Error(s)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.Changes(short, operator, 7, 10, false); err == nil {
		t.Error("a call that was given up found something")
	}
}

func TestConcurrentWrites(t *testing.T) {
	r := enterprise(t, Config{})
	var wg sync.WaitGroup
	const workers, each = 8, 60
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("88.118.1001/w%d-%d", w, i)
				res, err := r.Write(context.Background(), admin, []record.Write{create(name, text(1, "URL", name)), create("88.118.1001/contended", text(1, "URL", name))})
				if err != nil || res[0].Err != nil {
					t.Error(err, res)
					return
				}
				out, _, ok := r.AppendPublic(nil, []byte(name), 0)
				if vs, _, _ := record.DecodeBlock(out); !ok || string(vs[0].Data) != name {
					t.Error("not read back", name)
				}
			}
		})
	}
	wg.Wait()
	n, _ := r.Count(context.Background(), operator, "88.118.1001")
	if n != workers*each+1 {
		t.Fatal(n)
	}
	es, _ := r.Changes(context.Background(), operator, 0, 10000, false)
	if len(es) != workers*each+1+2 {
		t.Fatal("changes", len(es))
	}
}

func TestFullDiskAndDoubt(t *testing.T) {
	s := memory.New()
	r := enterprise(t, Config{Store: s})
	must(t, r, admin, create("88.118.1001/a", text(1, "URL", "x")))
	s.Faults().Full(true)
	if _, err := r.Write(context.Background(), admin, []record.Write{create("88.118.1001/b")}); kindOf(err) != "full" {
		t.Fatal(err)
	}
	if _, k := resolve(t, r, record.Query{ID: id.MustParse("88.118.1001/a")}); k != "ok" {
		t.Fatal("no reading when full:", k)
	}
	s.Faults().Full(false)
	s.Faults().Doubt(true)
	_, err := r.Write(context.Background(), admin, []record.Write{create("88.118.1001/b"), home("x")})
	if !errors.Is(err, store.ErrUncertain) {
		t.Fatal(err)
	}
	if _, k := resolve(t, r, record.Query{ID: id.MustParse("88.118.1001/b"), Indexes: []uint32{1}}); k != "no-values" {
		t.Fatal("done, yet not seen:", k)
	}
	must(t, r, admin, create("88.118.1001/c"))
	if n, _ := r.Count(context.Background(), operator, "88.118.1001"); n != 3 {
		t.Fatal(n)
	}
	// Somebody else writes to the same store.
	other := open(t, Config{Store: s})
	must(t, other, operator, create("88.118.1001/d", text(1, "URL", "other")))
	if k := kind(t, r, admin, create("88.118.1001/d")); k != "exists" {
		t.Fatal(k)
	}
	must(t, r, admin, create("88.118.1001/e"))
	must(t, other, operator, create("88.118.1001/f"))
	if n, _ := r.Count(context.Background(), operator, "88.118.1001"); n != 6 {
		t.Fatal(n)
	}
}

func TestAppendPublicAllocatesNothing(t *testing.T) {
	r := enterprise(t, Config{HotBytes: 4 << 20})
	must(t, r, admin, create("88.118.1001/eng-42", text(1, "URL", "http://a"), text(2, "DESC", "engine")))
	name := []byte("88.118.1001/Eng-42")
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, ok := r.AppendPublic(dst, name, 1); !ok {
			t.Fatal("not answered")
		}
	}); n != 0 {
		t.Errorf("a ready answer costs %v allocations", n)
	}
	cold := enterprise(t, Config{HotBytes: -1})
	must(t, cold, admin, create("88.118.1001/eng-42", text(1, "URL", "http://a"), text(2, "DESC", "engine")))
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, ok := cold.AppendPublic(dst, name, 1); !ok {
			t.Fatal("not answered")
		}
	}); n > 1 {
		t.Errorf("an answer from the store costs %v allocations", n)
	}
}
