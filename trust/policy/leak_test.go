package policy_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust/policy"
)

// What is hidden, and where. Nobody below may find one of these anywhere.
const (
	secretName = "ENG-HIDDEN"
	secretData = "4711-geheim"
	secretType = "costPrice"
)

// TestNothingLeaks puts the same questions to two nodes, of which one has a hidden record and a hidden value in a record
// that everybody sees, and the other has neither. Who may not see them must get the same from both, by every way.
func TestNothingLeaks(t *testing.T) {
	with, without := newWorld(t, nil), newWorld(t, nil)
	for _, w := range []*world{with, without} {
		w.must(operator, create("88.118.1001/ENG-1", text(2000, "model", "D12")))
		w.paper("hide", policy.Rule{Items: []string{secretType}, Visibility: policy.Granted, Grants: []policy.Grant{reading("88.118.1002")}})
	}
	with.must(operator, record.Write{Op: record.Add, ID: id.MustParse("88.118.1001/ENG-1"), Values: []record.Value{text(2001, secretType, secretData)}},
		create("88.118.1001/"+secretName, text(2000, "model", "D99"), text(2001, secretType, secretData)))
	with.own("88.118.1001/"+secretName, policy.Rule{Visibility: policy.Granted, Hidden: true, Grants: []policy.Grant{reading("88.118.1002")}})
	without.must(operator, create("88.118.1001/OTHER", text(1, "x", "y"))) // not to be found by number either

	same := func(what string, ask func(w *world) string) {
		t.Helper()
		a, b := ask(with), ask(without)
		if a != b {
			t.Errorf("%s tells: %q with, %q without", what, a, b)
		}
		for _, s := range []string{secretData, secretType} {
			if strings.Contains(a, s) && !strings.Contains(b, s) {
				t.Errorf("%s shows %s", what, s)
			}
		}
	}
	say := func(err error) string {
		return problem.KindOf(err).String() + " " + problem.Say(err, problem.English) + " " + problem.Say(err, problem.Chinese)
	}
	names := []string{"88.118.1001/" + secretName, "88.118.1001/eng-hidden", "88.118.1001/ENG-1"}
	for _, by := range []record.Identity{anybody, stranger} {
		for _, name := range names {
			for _, q := range []record.Query{
				{}, {PublicOnly: true}, {Certify: true}, {Indexes: []uint32{2001}}, {Indexes: []uint32{2000, 2001}}, {Types: []string{secretType}},
				{Types: []string{"cost."}}, {Indexes: []uint32{1100}}, {Types: []string{"FUJIE."}}, {Purpose: "warranty"}, {Authoritative: true, NoReferral: true}, {Trace: true},
			} {
				q.ID, q.By, q.As = id.MustParse(name), by, name
				same(fmt.Sprintf("a question %+v", q), func(w *world) string {
					a, err := w.r.Resolve(t.Context(), q)
					if err != nil {
						return fmt.Sprintf("%s %d", say(err), len(a.Values))
					}
					return fmt.Sprintf("%x", record.AppendBlock(nil, a.Values))
				})
			}
			for range 2 {
				same("the fast way to "+name, func(w *world) string {
					out, expires, ok := w.r.AppendPublic(nil, []byte(name), 7)
					return fmt.Sprintf("%x %d %v", out, expires, ok)
				})
			}
			for _, op := range []record.Op{record.Create, record.Delete, record.Add, record.Remove, record.Modify} {
				for _, over := range []bool{false, true} {
					write := record.Write{Op: op, ID: id.MustParse(name), Overwrite: over, Values: []record.Value{text(2001, secretType, "x")}}
					if op == record.Remove || op == record.Delete {
						write.Values = nil
					}
					if op == record.Remove {
						write.Indexes = []uint32{2001}
					}
					same(fmt.Sprintf("%s (%v) of %s", op, over, name), func(w *world) string {
						res, err := w.guard.Write(t.Context(), by, []record.Write{write})
						if err != nil {
							return say(err)
						}
						return say(res[0].Err)
					})
				}
			}
		}
		same("a list", func(w *world) string {
			l, err := w.r.List(t.Context(), by, "88.118.1001", "", 100)
			return fmt.Sprint(l, say(err))
		})
		same("a count", func(w *world) string {
			n, err := w.r.Count(t.Context(), by, "88.118.1001")
			return fmt.Sprint(n, say(err))
		})
		same("the changes", func(w *world) string {
			l, err := w.r.Changes(t.Context(), by, 0, 100, true)
			return fmt.Sprint(len(l), say(err))
		})
	}
	for _, caller := range []string{"", "88.118.1009/App_x"} {
		for _, c := range [][2]string{
			{http.MethodGet, "/api/rules?id=88.118.1001/" + secretName}, {http.MethodGet, "/api/rules?id=88.118.1001/ENG-1"},
			{http.MethodGet, "/api/grants?prefix=88.118.1001"}, {http.MethodGet, "/api/policies?prefix=88.118.1001"}, {http.MethodGet, "/api/policies/88.118.1001/hide"},
			{http.MethodGet, "/api/audit?prefix=88.118.1001"}, {http.MethodGet, "/api/notices?prefix=88.118.1001"}, {http.MethodGet, "/api/access-requests?prefix=88.118.1001"},
		} {
			same(c[0]+" "+c[1], func(w *world) string {
				out := ""
				code := w.call(caller, c[0], c[1], nil, &out)
				return fmt.Sprint(code, out)
			})
		}
		same("a grant", func(w *world) string {
			out := ""
			code := w.call(caller, http.MethodPost, "/api/grants", map[string]any{"target": map[string]any{"id": "88.118.1001/" + secretName}, "to": []string{"*"}, "actions": []string{"read"}}, &out)
			return fmt.Sprint(code, out)
		})
		same("a request", func(w *world) string {
			var r policy.RequestView
			code := w.call(caller, http.MethodPost, "/api/access-requests", map[string]any{"target": map[string]any{"id": "88.118.1001/" + secretName}}, &r)
			return fmt.Sprint(code, r.State, r.Target)
		})
	}
	// The partner to whom it was granted sees it: the two nodes are not simply alike.
	with.want(with.sees(partner, "88.118.1001/"+secretName), "model "+secretType)
	with.want(with.sees(partner, "88.118.1001/ENG-1"), "model "+secretType)
	without.want(without.sees(partner, "88.118.1001/"+secretName), "not-found")
}

// TestLogsNothing: what this room writes into a log names no value, also when a rule cannot be read.
func TestLogsNothing(t *testing.T) {
	var log bytes.Buffer
	p, err := policy.New(policy.Config{Prefix: "88.118.1001", Store: memory.New(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil)
	if err := p.Open(t.Context(), guarded{w.r, w.guard}); err != nil {
		t.Fatal(err)
	}
	vs := []record.Value{text(2001, secretType, secretData), text(1100, policy.TypeGrant, `{"to":"`+secretData+`"}`)}
	out, governed, err := p.Govern(t.Context(), id.MustParse("88.118.1001/X"), vs)
	if err != nil || !governed || out[0].Perm&record.PublicRead != 0 {
		t.Error(out, governed, err)
	}
	if s := log.String(); s == "" || strings.Contains(s, secretData) {
		t.Errorf("the log: %q", s)
	}
}

// TestNeverMore: whatever the rules, nobody sees what no level gives them; and public is what the fast way says.
func TestNeverMore(t *testing.T) {
	names := []string{"88.118.1002/App_erp", "88.118.1002", "88.118.1003", "*"}
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(quiet{outer, t}, nil)
		w.must(operator, engine(eng))
		grants := func(label string) (out []policy.Grant) {
			for range rapid.IntRange(0, 2).Draw(t, label) {
				out = append(out, policy.Grant{To: []string{rapid.SampledFrom(names).Draw(t, "to")}, Actions: []policy.Action{policy.Read}, Refuse: rapid.Bool().Draw(t, "refuse")})
			}
			return out
		}
		draw := func(label string) policy.Rule {
			r := policy.Rule{Visibility: rapid.SampledFrom([]policy.Visibility{"", policy.Public, policy.Granted, policy.Private}).Draw(t, label)}
			if r.Visibility != policy.Private {
				r.Grants = grants(label + " grants")
			}
			return r
		}
		// The price alone; the levels from the narrowest on.
		levels := []policy.Rule{draw("identifier item"), draw("identifier"), draw("item"), draw("template"), draw("prefix")}
		levels[0].Items, levels[2].Items = []string{"price"}, []string{"price"}
		levels[2].Template, levels[3].Template = meta, meta
		w.own(eng, levels[0], levels[1])
		for i, name := range []string{"item", "template", "prefix"} {
			w.paper(name, levels[i+2])
		}
		for _, by := range []record.Identity{anybody, partner, stranger} {
			// The rule in its shortest form.
			want := true // the value's own permission
			var word policy.Visibility
			floor := len(levels)
			for i, l := range levels {
				if l.Visibility != "" {
					word, floor = l.Visibility, i
					break
				}
			}
			switch word {
			case policy.Private:
				want = false
			case policy.Granted:
				want = false
				for i := 0; i <= floor && !by.IsAnonymous(); i++ {
					yes, no := false, false
					for _, g := range levels[i].Grants {
						if g.To[0] == "*" || strings.EqualFold(g.To[0], by.Ref.Name) || strings.HasPrefix(by.Ref.Name, g.To[0]+"/") {
							yes, no = yes || !g.Refuse, no || g.Refuse
						}
					}
					if yes || no {
						want = !no
						break
					}
				}
			}
			if got := slices.Contains(strings.Fields(w.sees(by, eng)), "price"); got != want {
				t.Fatalf("%q sees the price: %v, want %v by %+v", by.Ref, got, want, levels)
			}
		}
	})
}

// quiet is one try of a rapid test, as a testing.TB for what needs one.
type quiet struct {
	testing.TB
	t *rapid.T
}

func (q quiet) Context() context.Context     { return context.Background() }
func (q quiet) Fatal(args ...any)            { q.t.Fatal(args...) }
func (q quiet) Fatalf(f string, args ...any) { q.t.Fatalf(f, args...) }
func (q quiet) Error(args ...any)            { q.t.Error(args...) }
func (q quiet) Errorf(f string, args ...any) { q.t.Errorf(f, args...) }

// FuzzRule: whatever is in a rule or a file of rules, it is refused or used, and nothing else happens.
func FuzzRule(f *testing.F) {
	f.Add([]byte(`{"visibility":"granted","items":["price"],"grants":[{"to":["88.118.1002"],"actions":["read"],"when":"context.hour > 3"}]}`))
	f.Add([]byte(`{"grants":[{"to":["*"],"actions":["read"],"when":"[1,{a:2}].contains(principal)"}]}`))
	f.Add([]byte("rules: [{prefix: 1.2, visibility: private}]\ncases: [{id: 1.2/x, allow: [a]}]"))
	p, err := policy.New(policy.Config{Prefix: "88.118.1001", Store: memory.New()})
	if err != nil {
		f.Fatal(err)
	}
	w := newWorld(f, nil)
	if err := p.Open(f.Context(), guarded{w.r, w.guard}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		vs := []record.Value{text(2001, "price", "1"), {Index: 1100, Type: policy.TypeGrant, Data: data, Perm: record.AdminRead}}
		out, governed, err := p.Govern(t.Context(), id.MustParse("88.118.1001/X"), vs)
		if err != nil || !governed || out[1].Perm&record.PublicRead != 0 {
			t.Fatal(governed, err)
		}
		if _, err := p.Admit(t.Context(), &record.Query{By: partner}, id.MustParse("88.118.1001/X"), out, []int{0, 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Test(data); err != nil && !problem.Is(err, problem.BadRequest) && !problem.Is(err, problem.BadValue) {
			t.Fatal(err)
		}
	})
}
