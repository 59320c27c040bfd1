package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// rules is a Governor of few words: types that begin with "secret" are hidden, "open" ones are for everybody, and
// friend sees what is hidden.
type rules struct {
	off, broken atomic.Bool
	friend      record.Ref
	noted       []int
	asked       atomic.Int64
}

func (g *rules) Govern(_ context.Context, _ id.ID, vs []record.Value) ([]record.Value, bool, error) {
	g.asked.Add(1)
	if g.broken.Load() {
		return nil, false, errors.New("broken")
	}
	if g.off.Load() {
		return vs, false, nil
	}
	out, governed := vs, false
	for i := range vs {
		p := vs[i].Perm
		switch {
		case strings.HasPrefix(vs[i].Type, "secret"):
			p &^= record.PublicRead
		case strings.HasPrefix(vs[i].Type, "open"):
			p |= record.PublicRead
		default:
			continue
		}
		governed = true
		if p == vs[i].Perm {
			continue
		}
		if &out[0] == &vs[0] {
			out = slices.Clone(vs)
		}
		out[i].Perm = p
	}
	return out, governed, nil
}

func (g *rules) Admit(_ context.Context, q *record.Query, _ id.ID, _ []record.Value, hidden []int) ([]int, error) {
	if q.By.Same(g.friend) {
		return hidden, nil
	}
	return nil, nil
}

func (g *rules) Note(_ context.Context, _ *record.Query, _ id.ID, _ []record.Value, places []int) error {
	g.noted = append(g.noted, places...)
	return nil
}

var friend = record.Identity{Ref: record.Ref{Index: 300, Name: "88.118.2/App_ERP"}}

func types(vs []record.Value) string {
	var out []string
	for i := range vs {
		out = append(out, vs[i].Type)
	}
	return strings.Join(out, " ")
}

// fast is the types in the ready answer, "-" when there is none.
func fast(t testing.TB, r *Registry, name string) string {
	t.Helper()
	out, _, ok := r.AppendPublic(nil, []byte(name), 0)
	if !ok {
		return "-"
	}
	vs, _, err := record.DecodeBlock(out)
	if err != nil {
		t.Fatal(err)
	}
	return types(vs)
}

func TestGovernor(t *testing.T) {
	g := &rules{friend: friend.Ref}
	r := enterprise(t, Config{Governor: g})
	hidden := text(4, "open sesame", "x")
	hidden.Perm = record.AdminRead
	must(t, r, admin,
		create("88.118.1001/MIXED", text(1, "URL", "https://a.example"), text(2, "secret price", "7"), text(3, "secret maker", "m"), hidden),
		create("88.118.1001/DARK", text(2, "secret price", "7")),
		create("88.118.1001/PLAIN", text(1, "URL", "https://a.example")),
	)
	ask := func(by record.Identity, name string, indexes ...uint32) string {
		t.Helper()
		a, err := r.Resolve(t.Context(), record.Query{ID: id.MustParse(name), By: by, Indexes: indexes})
		if err != nil {
			return problem.KindOf(err).String()
		}
		return types(a.Values)
	}
	for _, c := range []struct {
		by      record.Identity
		name    string
		indexes []uint32
		want    string
	}{
		{anybody, "88.118.1001/MIXED", nil, "URL open sesame"},
		{stranger, "88.118.1001/MIXED", nil, "URL open sesame"},
		{friend, "88.118.1001/MIXED", nil, "URL secret price secret maker open sesame"},
		{friend, "88.118.1001/MIXED", []uint32{2}, "secret price"},
		{admin, "88.118.1001/MIXED", nil, "URL secret price secret maker open sesame"},
		{operator, "88.118.1001/MIXED", nil, "URL secret price secret maker open sesame"},
		// What is hidden, and what is not there, look alike.
		{anybody, "88.118.1001/MIXED", []uint32{2}, "no-values"},
		{anybody, "88.118.1001/MIXED", []uint32{9}, "no-values"},
		{stranger, "88.118.1001/MIXED", []uint32{2}, "no-values"},
		{anybody, "88.118.1001/DARK", nil, "not-found"},
		{stranger, "88.118.1001/DARK", nil, "not-found"},
		{stranger, "88.118.1001/NONE", nil, "not-found"},
		{friend, "88.118.1001/DARK", nil, "secret price"},
		{friend, "88.118.1001/DARK", []uint32{9}, "not-found"},
		{anybody, "88.118.1001/PLAIN", nil, "URL"},
	} {
		if got := ask(c.by, c.name, c.indexes...); got != c.want {
			t.Errorf("%s asks %s %v: %s, want %s", c.by.Ref, c.name, c.indexes, got, c.want)
		}
	}
	if !slices.Equal(g.noted, []int{1, 2}) {
		t.Errorf("of what the administrator saw, %v was noted", g.noted)
	}
	// The sentences of what is hidden and of what is not there are the same but for the name.
	_, err1 := r.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.1001/DARK")})
	_, err2 := r.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.1001/NONE")})
	for _, l := range []problem.Lang{problem.English, problem.Chinese} {
		if strings.ReplaceAll(problem.Say(err1, l), "DARK", "NONE") != problem.Say(err2, l) {
			t.Errorf("%q and %q tell a difference", problem.Say(err1, l), problem.Say(err2, l))
		}
	}

	// Ready answers: from the store, then from memory.
	for range 2 {
		for name, want := range map[string]string{"88.118.1001/mixed": "URL open sesame", "88.118.1001/DARK": "-", "88.118.1001/PLAIN": "URL"} {
			if got := fast(t, r, name); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
	n := g.asked.Load()
	fast(t, r, "88.118.1001/MIXED")
	if g.asked.Load() != n {
		t.Error("a ready answer asked for the rules")
	}

	// Rules that cannot be read hide everything; a changed rule shows after Forget.
	g.broken.Store(true)
	if got := ask(anybody, "88.118.1001/MIXED"); got != "busy" {
		t.Error("rules that cannot be read:", got)
	}
	r.Forget("88.118.1001")
	if got := fast(t, r, "88.118.1001/MIXED"); got != "-" {
		t.Error("a ready answer without rules:", got)
	}
	g.broken.Store(false)
	fast(t, r, "88.118.1001/MIXED")
	g.off.Store(true)
	if got := fast(t, r, "88.118.1001/MIXED"); got != "URL open sesame" {
		t.Error("forgotten by itself:", got)
	}
	r.Forget("88.118.1")
	if got := fast(t, r, "88.118.1001/MIXED"); got != "URL open sesame" {
		t.Error("the neighbour's was forgotten:", got)
	}
	r.Forget("88.118")
	if got := fast(t, r, "88.118.1001/MIXED"); got != "URL secret price secret maker" {
		t.Error("after Forget:", got)
	}
	g.off.Store(false)
	r.Forget("")
	if got := fast(t, r, "88.118.1001/MIXED"); got != "URL open sesame" {
		t.Error("after Forget of all:", got)
	}
}

// TestGovernedProof: the signature covers what the rules let everybody see; who sees more gets one over more.
func TestGovernedProof(t *testing.T) {
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &rules{friend: friend.Ref}
	r := enterprise(t, Config{Governor: g, Keys: []SigningKey{{Prefix: "88.118.1001", Ref: record.Ref{Index: 300, Name: "0.NA/88.118.1001"}, Key: key}}})
	open := text(4, "open", "x")
	open.Perm = record.AdminRead
	must(t, r, admin, create("88.118.1001/A", text(1, "URL", "u"), text(2, "secret price", "7"), open))
	check := func(by record.Identity, indexes ...uint32) string {
		t.Helper()
		a, err := r.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.1001/A"), By: by, Certify: true, Indexes: indexes})
		if err != nil {
			t.Fatal(err)
		}
		sig := a.Values[len(a.Values)-1]
		if sig.Type != record.TypeSignature {
			t.Fatal("no signature:", types(a.Values))
		}
		if err := trust.VerifyRecord(sig.Data, key.Public(), "88.118.1001/A", a.Values, len(indexes) == 0, day0); err != nil {
			t.Error(err)
		}
		return types(a.Values)
	}
	for range 2 {
		if got := check(anybody); got != "URL open HS_SIGNATURE" {
			t.Error(got)
		}
	}
	if got := check(friend); got != "URL secret price open HS_SIGNATURE" {
		t.Error(got)
	}
	if got := check(friend, 2); got != "secret price HS_SIGNATURE" {
		t.Error(got)
	}
	must(t, r, admin, create("88.118.1001/B", text(1, "URL", "u"), text(IndexSignature, "secret price", "7")))
	a, err := r.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.1001/B"), Certify: true})
	if err != nil || len(a.Values) != 2 || a.Values[1].Index != IndexSignature {
		t.Error("the signature's index tells of a hidden value:", a.Values, err)
	}
	g.off.Store(true)
	r.Forget("88.118.1001")
	if got := check(anybody, 1, 2); got != "URL secret price HS_SIGNATURE" {
		t.Error(got)
	}
	v, err := r.Sign(t.Context(), id.MustParse("88.118.1001/LIVE"), []record.Value{text(1, "URL", "u")})
	if err != nil || trust.VerifyRecord(v.Data, key.Public(), "88.118.1001/LIVE", []record.Value{text(1, "URL", "u")}, true, day0) != nil {
		t.Error("a made-up answer:", err)
	}
	if _, err := r.Sign(t.Context(), id.MustParse("88.9/LIVE"), nil); !problem.Is(err, problem.NotHere) {
		t.Error("signed for another:", err)
	}
}

// TestGovernedWrites: who may not know that a record is there learns it by no write either.
func TestGovernedWrites(t *testing.T) {
	r := enterprise(t, Config{Governor: &rules{friend: friend.Ref}})
	must(t, r, admin, create("88.118.1001/DARK", text(2, "secret price", "7")), create("88.118.1001/SEEN", text(1, "URL", "u")))
	for _, by := range []record.Identity{anybody, stranger} {
		for _, op := range []record.Op{record.Create, record.Delete, record.Add, record.Remove, record.Modify} {
			try := func(name string) string {
				w := record.Write{Op: op, ID: id.MustParse("88.118.1001/" + name)}
				if op == record.Remove {
					w.Indexes = []uint32{2}
				} else {
					w.Values = []record.Value{text(2, "T", "x")}
				}
				res, err := r.Write(t.Context(), by, []record.Write{w})
				if err != nil {
					t.Fatal(err)
				}
				return strings.ReplaceAll(problem.Say(res[0].Err, problem.English), name, "NAME")
			}
			if dark, none := try("DARK"), try("NONE"); dark != none || dark == "" {
				t.Errorf("%s by %q: %q for what is hidden, %q for what is not there", op, by.Ref, dark, none)
			}
		}
	}
	w := create("88.118.1001/SEEN", text(1, "URL", "u"))
	if res, err := r.Write(t.Context(), anybody, []record.Write{w}); err != nil || !problem.Is(res[0].Err, problem.Exists) {
		t.Error("what everybody sees is there for everybody:", res, err)
	}
	if res, err := r.Write(t.Context(), admin, []record.Write{create("88.118.1001/DARK", text(1, "URL", "u"))}); err != nil || !problem.Is(res[0].Err, problem.Exists) {
		t.Error("its administrator is not told:", res, err)
	}
}
