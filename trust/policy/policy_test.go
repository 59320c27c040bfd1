package policy_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust/policy"
)

func (w *world) paper(name string, r policy.Rule) {
	w.t.Helper()
	if _, err := w.p.SetPaper(context.Background(), admin, "88.118.1001", name, r); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) own(name string, rules ...policy.Rule) {
	w.t.Helper()
	if err := w.p.SetOwn(context.Background(), admin, id.MustParse(name), rules); err != nil {
		w.t.Fatal(err)
	}
}

func reading(to ...string) policy.Grant {
	return policy.Grant{To: to, Actions: []policy.Action{policy.Read}}
}
func editing(to ...string) policy.Grant {
	return policy.Grant{To: to, Actions: []policy.Action{policy.Edit}}
}

const (
	meta = "88.118.1001/META_ENGINE"
	eng  = "88.118.1001/ENG-42"
)

// TestLevels: the narrower rule wins, at every pair of levels.
func TestLevels(t *testing.T) {
	w := newWorld(t, classes{"88.118.1001/META_ENGINE": {Default: policy.Public, Items: map[string]policy.Visibility{"PRICE": policy.Granted}}})
	w.must(operator, engine(eng), engine("88.118.1001/ENG-43"))
	w.want(w.sees(anybody, eng), "model maker") // the template's own word on a property
	w.paper("eng", policy.Rule{Template: meta, Visibility: policy.Private})
	w.want(w.sees(anybody, eng), "") // 1000 and 1001 are left
	w.paper("model", policy.Rule{Template: meta, Items: []string{"model"}, Visibility: policy.Public})
	w.want(w.sees(anybody, eng), "model")
	w.own(eng, policy.Rule{Visibility: policy.Granted, Grants: []policy.Grant{reading("88.118.1002")}})
	w.want(w.sees(anybody, eng), "")
	w.want(w.sees(partner, eng), "model price maker")
	w.want(w.sees(worker, eng), "model price maker")
	w.want(w.sees(stranger, eng), "")
	w.want(w.sees(anybody, "88.118.1001/ENG-43"), "model")
	w.own(eng, policy.Rule{Visibility: policy.Granted, Grants: []policy.Grant{reading("88.118.1002")}}, policy.Rule{Items: []string{"2001"}, Visibility: policy.Private},
		policy.Rule{Items: []string{"maker"}, Visibility: policy.Public})
	w.want(w.sees(partner, eng), "model maker")
	w.want(w.sees(anybody, eng), "maker")
	if got := w.sees(admin, eng); !strings.HasPrefix(got, "model price maker FUJIE.GRANT") {
		t.Error("an administrator sees", got)
	}
	w.own(eng)
	w.want(w.sees(anybody, eng), "model")
	if err := w.p.RemovePaper(t.Context(), admin, id.MustParse("88.118.1001/Policy_eng")); err != nil {
		t.Fatal(err)
	}
	w.want(w.sees(anybody, eng), "model maker")
	// A rule about all of the prefix is the widest; values of the protocol are under none.
	w.paper("all", policy.Rule{Visibility: policy.Private})
	w.must(operator, create("88.118.1001/X", text(1, "URL", "u"), record.Value{Index: 300, Type: "HS_PUBKEY", Perm: record.DefaultPerm, Data: []byte("k")}))
	w.want(w.sees(anybody, "88.118.1001/X"), "HS_PUBKEY")
	w.want(w.sees(anybody, eng), "model maker")
	// A class does not open what a record has closed by itself.
	closed := text(2000, "model", "D13")
	closed.Perm = record.AdminRead | record.AdminWrite
	w.must(operator, create("88.118.1001/ENG-44", text(1000, record.TypeTemplateID, meta), closed, text(2002, "maker", "w")))
	w.want(w.sees(anybody, "88.118.1001/ENG-44"), "maker")
	w.own("88.118.1001/ENG-44", policy.Rule{Items: []string{"model"}, Visibility: policy.Public})
	w.want(w.sees(anybody, "88.118.1001/ENG-44"), "model maker")
}

// TestGrants: to whom, when, for what, how often, for money.
func TestGrants(t *testing.T) {
	at := func(d time.Duration) *time.Time { x := day0.Add(d); return &x }
	group := func(name string, members ...string) record.Write {
		var refs []record.Ref
		for _, m := range members {
			refs = append(refs, record.Ref{Index: 300, Name: m})
		}
		return create(name, record.Value{Index: 200, Type: record.TypeVList, Data: record.AppendVList(nil, refs), Perm: record.AdminRead})
	}
	g := func(change func(*policy.Grant), to ...string) policy.Grant {
		x := reading(to...)
		change(&x)
		return x
	}
	for _, c := range []struct {
		name    string
		grants  []policy.Grant
		by      record.Identity
		purpose string
		later   time.Duration
		want    bool
	}{
		{"by name", []policy.Grant{reading("88.118.1002/app_ERP")}, partner, "", 0, true},
		{"another", []policy.Grant{reading("88.118.1002/App_erp")}, worker, "", 0, false},
		{"by prefix", []policy.Grant{reading("88.118.1002")}, worker, "", 0, true},
		{"by the prefix above", []policy.Grant{reading("88.118")}, worker, "", 0, true},
		{"a prefix that only begins alike", []policy.Grant{reading("88.118.100")}, worker, "", 0, false},
		{"a prefix's own key", []policy.Grant{reading("88.118.1002")}, who("0.NA/88.118.1002"), "", 0, true},
		{"everybody who is somebody", []policy.Grant{reading("*")}, stranger, "", 0, true},
		{"nobody in particular", []policy.Grant{reading("*")}, anybody, "", 0, false},
		{"by group", []policy.Grant{reading("88.118.1001/Group_friends")}, partner, "", 0, true},
		{"by a group in a group", []policy.Grant{reading("88.118.1001/Group_outer")}, partner, "", 0, true},
		{"not in the group", []policy.Grant{reading("88.118.1001/Group_friends")}, stranger, "", 0, false},
		{"no such group", []policy.Grant{reading("88.118.1001/Group_none")}, partner, "", 0, false},
		{"refused", []policy.Grant{reading("88.118.1002"), g(func(g *policy.Grant) { g.Refuse = true }, "88.118.1002/User_li")}, worker, "", 0, false},
		{"refused to another", []policy.Grant{reading("88.118.1002"), g(func(g *policy.Grant) { g.Refuse = true }, "88.118.1002/User_li")}, partner, "", 0, true},
		{"right purpose", []policy.Grant{g(func(g *policy.Grant) { g.Purposes = []string{"warranty"} }, "*")}, partner, "warranty", 0, true},
		{"wrong purpose", []policy.Grant{g(func(g *policy.Grant) { g.Purposes = []string{"warranty"} }, "*")}, partner, "resale", 0, false},
		{"too early", []policy.Grant{g(func(g *policy.Grant) { g.From = at(time.Hour) }, "*")}, partner, "", 0, false},
		{"begun", []policy.Grant{g(func(g *policy.Grant) { g.From = at(time.Hour) }, "*")}, partner, "", time.Hour, true},
		{"not over", []policy.Grant{g(func(g *policy.Grant) { g.Until = at(time.Hour) }, "*")}, partner, "", time.Hour - 1, true},
		{"over", []policy.Grant{g(func(g *policy.Grant) { g.Until = at(time.Hour) }, "*")}, partner, "", time.Hour, false},
		{"Cedar, in office hours", []policy.Grant{g(func(g *policy.Grant) { g.When = "context.hour >= 8 && context.hour < 18 && context.weekday == 7" }, "*")}, partner, "", 0, true},
		{"Cedar, at night", []policy.Grant{g(func(g *policy.Grant) { g.When = "context.hour >= 8 && context.hour < 18" }, "*")}, partner, "", 12 * time.Hour, false},
		{"Cedar, of a prefix", []policy.Grant{g(func(g *policy.Grant) { g.When = `principal in Prefix::"88.118.1002" && resource.item == "PRICE"` }, "*")}, partner, "", 0, true},
		{"Cedar, another template", []policy.Grant{g(func(g *policy.Grant) { g.When = `resource in Template::"88.118.1001/META_OTHER"` }, "*")}, partner, "", 0, false},
		{"Cedar, fails", []policy.Grant{g(func(g *policy.Grant) {
			g.When = `if context.purpose == "x" then context.hour + 9223372036854775807 > 0 else true`
		}, "*")}, partner, "x", 0, false},
		{"unpaid", []policy.Grant{g(func(g *policy.Grant) { g.Paid = true }, "*")}, partner, "", 0, false},
		{"paid", []policy.Grant{g(func(g *policy.Grant) { g.Paid, g.Receipts = true, []policy.Receipt{{Who: "88.118.1002"}} }, "*")}, partner, "", 0, true},
		{"paid until yesterday", []policy.Grant{g(func(g *policy.Grant) { g.Paid, g.Receipts = true, []policy.Receipt{{Who: "88.118.1002", Until: at(0)}} }, "*")}, partner, "", 0, false},
		{"editing is not reading", []policy.Grant{editing("88.118.1002")}, partner, "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(operator, engine(eng), group("88.118.1001/Group_friends", "88.118.1002/App_ERP"), group("88.118.1001/Group_outer", "88.118.1001/GROUP_FRIENDS"))
			rule := policy.Rule{Items: []string{"price"}, Visibility: policy.Granted, Grants: c.grants}
			if err := w.p.SetOwn(t.Context(), admin, id.MustParse(eng), []policy.Rule{rule}); err != nil {
				t.Fatal(err)
			}
			w.sleep(c.later)
			want := "model maker"
			if c.want {
				want = "model price maker"
			}
			w.want(w.sees(c.by, eng, c.purpose), want)
		})
	}
}

// TestCount: a counted grant gives as many answers as it says, whoever asks at the same time.
func TestCount(t *testing.T) {
	w := newWorld(t, nil)
	w.must(operator, engine(eng))
	x := reading("88.118.1002")
	x.Count = 10
	w.own(eng, policy.Rule{Items: []string{"price"}, Visibility: policy.Granted, Grants: []policy.Grant{x}})
	var all sync.WaitGroup
	var mu sync.Mutex
	saw := map[string]int{}
	for range 8 {
		all.Go(func() {
			for range 5 {
				for _, by := range []record.Identity{partner, worker} {
					s := w.sees(by, eng)
					mu.Lock()
					if strings.Contains(s, "price") {
						saw[by.Ref.Name]++
					}
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if len(saw) != 2 || saw[partner.Ref.Name] != 10 || saw[worker.Ref.Name] != 10 {
		t.Errorf("answers by a grant of 10 each: %v", saw)
	}
	entries, err := w.p.Audit.Entries(t.Context(), 0, 100)
	if err != nil || len(entries) != 20 || w.p.Audit.Check(t.Context()) != nil {
		t.Errorf("%d entries for 20 answers; %v, %v", len(entries), err, w.p.Audit.Check(t.Context()))
	}
}

// TestEditing: who was granted editing edits that and no more, and it is written down.
func TestEditing(t *testing.T) {
	w := newWorld(t, nil)
	w.must(operator, engine(eng))
	w.own(eng, policy.Rule{Items: []string{"price"}, Visibility: policy.Granted, Grants: []policy.Grant{editing("88.118.1002/App_erp")}},
		policy.Rule{Visibility: policy.Granted, Grants: []policy.Grant{reading("88.118.1002")}})
	mod := func(vs ...record.Value) record.Write {
		return record.Write{Op: record.Modify, ID: id.MustParse(eng), Values: vs}
	}
	w.want(w.try(partner, mod(text(2001, "price", "5000"))), "ok")
	w.want(w.try(partner, mod(text(2001, "model", "5000"))), "not-admin")
	w.want(w.try(partner, mod(text(2000, "model", "D13"))), "not-admin")
	w.want(w.try(partner, mod(text(2001, "price", "6000"), text(2000, "model", "D13"))), "not-admin")
	w.want(w.try(worker, mod(text(2001, "price", "1"))), "not-admin")
	w.want(w.try(anybody, mod(text(2001, "price", "1"))), "authentication-needed")
	w.want(w.try(partner, record.Write{Op: record.Delete, ID: id.MustParse(eng)}), "not-admin")
	w.want(w.try(partner, record.Write{Op: record.Remove, ID: id.MustParse(eng), Indexes: []uint32{1100}}), "not-admin")
	w.want(w.try(partner, record.Write{Op: record.Add, ID: id.MustParse(eng), Values: []record.Value{text(2009, "other", "x")}}), "not-admin")
	// What is written by a grant does not become public by it.
	open := text(2001, "price", "7000")
	open.Perm = record.DefaultPerm | record.PublicWrite
	w.want(w.try(partner, mod(open)), "ok")
	a, err := w.r.Resolve(t.Context(), record.Query{ID: id.MustParse(eng), By: operator, Indexes: []uint32{2001}})
	if err != nil || string(a.Values[0].Data) != "7000" || a.Values[0].Perm != record.DefaultPerm {
		t.Error("after the edit:", a.Values, err)
	}
	entries, err := w.p.Audit.Entries(t.Context(), 0, 10)
	if err != nil || len(entries) != 2 || entries[1].Action != policy.Edit || entries[1].Who != partner.Ref.String() {
		t.Error("in the trail:", entries, err)
	}
	changes, err := w.r.Changes(t.Context(), operator, 0, 100, false)
	if err != nil || changes[len(changes)-1].By.Name != partner.Ref.Name {
		t.Error("the change says it was", changes[len(changes)-1].By, err)
	}
}

// TestBadRules: a rule that cannot be used is refused with its place, by every way; one that is there nevertheless
// closes what it is about.
func TestBadRules(t *testing.T) {
	w := newWorld(t, nil)
	w.must(operator, engine(eng))
	long := strings.Repeat("!", 5000) + "true"
	for name, r := range map[string]policy.Rule{
		"visibility":       {Visibility: "secret"},
		"private, granted": {Visibility: policy.Private, Grants: []policy.Grant{reading("88.118.1002")}},
		"hidden item":      {Visibility: policy.Private, Hidden: true, Items: []string{"x"}},
		"protocol":         {Visibility: policy.Private, Items: []string{"hs_pubkey"}},
		"to nobody":        {Grants: []policy.Grant{reading()}},
		"to nonsense":      {Grants: []policy.Grant{reading("/")}},
		"no action":        {Grants: []policy.Grant{{To: []string{"*"}}}},
		"public editing":   {Grants: []policy.Grant{editing("*")}},
		"Cedar":            {Grants: []policy.Grant{{To: []string{"*"}, Actions: []policy.Action{policy.Read}, When: "context.porpose == \"x\""}}},
		"Cedar syntax":     {Grants: []policy.Grant{{To: []string{"*"}, Actions: []policy.Action{policy.Read}, When: "1 +"}}},
		"Cedar, two":       {Grants: []policy.Grant{{To: []string{"*"}, Actions: []policy.Action{policy.Read}, When: "true }; permit(principal, action, resource) when { true"}}},
		"Cedar, deep":      {Grants: []policy.Grant{{To: []string{"*"}, Actions: []policy.Action{policy.Read}, When: long}}},
		"no truth":         {Grants: []policy.Grant{{To: []string{"*"}, Actions: []policy.Action{policy.Read}, When: "context.hour"}}},
	} {
		if err := w.p.SetOwn(t.Context(), admin, id.MustParse(eng), []policy.Rule{r}); !problem.Is(err, problem.BadValue) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.p.SetPaper(t.Context(), admin, "88.118.1001", "bad", r); !problem.Is(err, problem.BadValue) {
			t.Errorf("%s in a paper: %v", name, err)
		}
	}
	rule := record.Value{Index: 1100, Type: policy.TypeGrant, Data: []byte(`{"visiblity":"private"}`), Perm: record.AdminRead | record.AdminWrite}
	add := record.Write{Op: record.Add, ID: id.MustParse(eng), Values: []record.Value{rule}}
	w.want(w.try(admin, add), "bad-value")
	w.want(w.sees(anybody, eng), "model price maker")
	if res, err := w.r.Write(t.Context(), operator, []record.Write{add}); err != nil || res[0].Err != nil {
		t.Fatal(res, err)
	}
	w.want(w.sees(anybody, eng), "not-found")
	w.want(w.sees(partner, eng), "not-found")
	if got := w.sees(admin, eng); !strings.Contains(got, "price") {
		t.Error("the administrator cannot even see it:", got)
	}
}

// TestUnopened: before the rules are read, nothing is shown.
func TestUnopened(t *testing.T) {
	w := newWorld(t, nil)
	w.must(operator, create("88.118.1001/X", text(1, "URL", "u")))
	p, err := policy.New(policy.Config{Prefix: "88.118.1001", Store: memory.New()})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Govern(t.Context(), id.MustParse("88.118.1001/X"), []record.Value{text(1, "URL", "u")}); !problem.Is(err, problem.Busy) {
		t.Error(err)
	}
	if p.Free([]byte("88.118.1001"), []byte("X"), record.AppendBlock(nil, []record.Value{text(1, "URL", "u")})) {
		t.Error("free before anything is known")
	}
}

// TestFreeAgrees: what Free says is free has no rules, whatever the record.
func TestFreeAgrees(t *testing.T) {
	w := newWorld(t, classes{"88.118.1001/META_ENGINE": {Default: policy.Public}, "88.118.1001/META_SECRET": {Default: policy.Private}})
	grant := text(1100, policy.TypeGrant, `{"visibility":"private"}`)
	refs := text(5, "URL", "u")
	refs.Refs = []record.Ref{{Index: 1, Name: "88.118.1001/A"}}
	for _, c := range []struct {
		vs   []record.Value
		free bool
	}{
		{[]record.Value{text(1, "URL", "u"), refs, text(3000, "x", "")}, true},
		{engine(eng).Values, true},
		{[]record.Value{refs, text(1000, record.TypeTemplateID, "88.118.1001/meta_Engine")}, true},
		{[]record.Value{text(1000, record.TypeTemplateID, "88.118.1001/META_SECRET"), text(2000, "x", "")}, false},
		{[]record.Value{text(1, "URL", "u"), refs, grant}, false},
		{[]record.Value{text(1, "FUJIE.ACCOUNT", "{}")}, false},
	} {
		block := record.AppendBlock(nil, c.vs)
		for range 2 {
			out, governed, err := w.p.Govern(t.Context(), id.MustParse("88.118.1001/X"), c.vs)
			free := w.p.Free([]byte("88.118.1001"), []byte("X"), block)
			if err != nil || free && (governed || &out[0] != &c.vs[0]) || free != c.free {
				t.Errorf("%v: free %v, governed %v, %v", c.vs, free, governed, err)
			}
			if n := testing.AllocsPerRun(100, func() { w.p.Free([]byte("88.118.1001"), []byte("X"), block) }); n > 0 {
				t.Errorf("%v allocations", n)
			}
		}
		for i := range block {
			w.p.Free([]byte("88.118.1001"), []byte("X"), block[:i]) // cut short anywhere, it ends
		}
	}
	w.paper("eng", policy.Rule{Template: meta, Visibility: policy.Private})
	if w.p.Free([]byte("88.118.1001"), []byte("X"), record.AppendBlock(nil, engine(eng).Values)) {
		t.Error("free of a rule that was just made")
	}
}
