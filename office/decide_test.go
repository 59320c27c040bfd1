package office_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
)

var (
	boss     = api.Caller{Identity: record.Identity{Ref: aboveRef}, Roles: []api.Role{{Name: api.Operator, Prefix: above}}}
	reviewer = api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 301, Name: "88.118/User_li"}}, Roles: []api.Role{{Name: api.Reviewer, Prefix: above}}}
	nobody   api.Caller
)

// applicant is who holds the key of an application.
func applicant(v id.ID) api.Caller {
	return api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 300, Name: v.String()}}}
}

// apply hands in an application for prefix, of kind.
func (w *world) apply(prefix string, n int, kind office.Kind) office.Paper {
	w.t.Helper()
	f := form(w.t, prefix, n, newKey(w.t))
	if f.Kind = kind; kind == office.Hosted {
		f.Sites = nil
	}
	p, err := w.o.Apply(w.t.Context(), nobody, f, false)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// granted is a prefix in use.
func (w *world) granted(prefix string, n int, kind office.Kind) office.Paper {
	w.t.Helper()
	p, err := w.o.Approve(w.t.Context(), boss, w.apply(prefix, n, kind).ID, "", nil, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// record is the prefix record; nil when there is none.
func (w *world) record(prefix string) map[string][]byte {
	w.t.Helper()
	a, err := w.reg.Resolve(w.t.Context(), record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true})
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m := map[string][]byte{}
	for _, v := range a.Values {
		m[v.Type] = v.Data
	}
	return m
}

func TestFirstSubmittedClaims(t *testing.T) {
	w := newWorld(t)
	const many = 24
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []office.Paper
	drafts := make([]office.Paper, many/2)
	for i := range drafts {
		p, err := w.o.Apply(t.Context(), nobody, form(t, "88.118.7", i, newKey(t)), true)
		if err != nil {
			t.Fatal(err)
		}
		drafts[i] = p
	}
	for i := range many {
		f := form(t, "88.118.7", 100+i, newKey(t))
		wg.Go(func() {
			var p office.Paper
			var err error
			if i < len(drafts) {
				p, err = w.o.Submit(t.Context(), applicant(drafts[i].ID), drafts[i].ID, "")
			} else {
				p, err = w.o.Apply(t.Context(), nobody, f, false)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won = append(won, p)
			case !problem.Is(err, problem.Exists) || !strings.Contains(err.Error(), "88.118.7"):
				t.Errorf("the second is refused with %v", err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 || won[0].Paper.State != office.Submitted {
		t.Fatalf("%d applications claim one prefix", len(won))
	}
	// When it is refused, the next may have it.
	if _, err := w.o.Refuse(t.Context(), reviewer, won[0].ID, "执照过期", ""); err != nil {
		t.Fatal(err)
	}
	next := drafts[0].ID
	if next == won[0].ID {
		next = drafts[1].ID
	}
	if _, err := w.o.Submit(t.Context(), applicant(next), next, ""); err != nil {
		t.Error(err)
	}
}

func TestTwoReviewersApprove(t *testing.T) {
	w := newWorld(t)
	p := w.apply("88.118.7", 1, office.Hosted)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.o.Approve(t.Context(), boss, p.ID, "", nil, ""); err != nil && !problem.Is(err, problem.Busy) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for w.o.Round(t.Context()) {
	}
	got, err := w.o.Get(boss, p.ID)
	if err != nil || got.Paper.State != office.Active {
		t.Fatalf("%v %v", got.Paper.State, err)
	}
	n := 0
	for _, e := range got.Paper.Events {
		if e.What == "approve" || e.What == "delegate" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d events of one approval: %+v", n, got.Paper.Events)
	}
	if err := office.VerifyEvents(p.ID, got.Paper.Events, w.key.Public()); err != nil {
		t.Error(err)
	}
}

// broken fails at its nth write: before it is done, or after, when only the answer is lost.
type broken struct {
	document.Registry
	left  int
	after bool
	mu    sync.Mutex
	dead  bool
}

// heal ends the trouble; or, after so many writes more, begins it.
func (b *broken) heal(left int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead, b.left = false, left
}

func (b *broken) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	gone := problem.New(problem.Internal, "the power failed", "断电")
	b.mu.Lock()
	dead := b.dead
	b.left--
	last := b.left < 0
	b.dead = b.dead || last
	b.mu.Unlock()
	if dead {
		return nil, gone
	}
	if last {
		if b.after {
			if _, err := b.Registry.Write(ctx, by, writes); err != nil {
				return nil, err
			}
		}
		return nil, gone
	}
	return b.Registry.Write(ctx, by, writes)
}

// TestCrash ends the office at each of its writes, and opens it again: what was decided is then done, what was not is not.
func TestCrash(t *testing.T) {
	type deed struct {
		name        string
		kind        office.Kind
		from        office.State
		to          office.State
		do          func(*world, id.ID) error
		has, hasNot string // values of the prefix record at the end
	}
	suspend := func(w *world, v id.ID) error { _, err := w.o.Suspend(t.Context(), boss, v, "欠费", ""); return err }
	deeds := []deed{}
	for _, kind := range []office.Kind{office.SelfHosted, office.Hosted} {
		deeds = append(deeds,
			deed{"approve", kind, office.Submitted, office.Active, func(w *world, v id.ID) error { _, err := w.o.Approve(t.Context(), boss, v, "", nil, ""); return err }, record.TypeSite, office.TypeStatus},
			deed{"suspend", kind, office.Active, office.Suspended, suspend, office.TypeStatus, record.TypeSite},
			deed{"resume", kind, office.Suspended, office.Active, func(w *world, v id.ID) error { _, err := w.o.Resume(t.Context(), boss, v, "", ""); return err }, record.TypeSite, office.TypeStatus},
			deed{"revoke", kind, office.Active, office.Revoked, func(w *world, v id.ID) error { _, err := w.o.Revoke(t.Context(), boss, v, "吊销", ""); return err }, "", record.TypeSite},
		)
	}
	for _, d := range deeds {
		t.Run(d.name+" "+string(d.kind), func(t *testing.T) {
			for _, after := range []bool{false, true} {
				for at := 0; ; at++ {
					w := newWorld(t)
					p := w.apply("88.118.9", 1, d.kind)
					if d.from != office.Submitted {
						if _, err := w.o.Approve(t.Context(), boss, p.ID, "", nil, ""); err != nil {
							t.Fatal(err)
						}
					}
					if d.from == office.Suspended {
						if err := suspend(w, p.ID); err != nil {
							t.Fatal(err)
						}
					}
					b := &broken{Registry: w.reg, left: at, after: after}
					w.door = b
					host := w.cfg.Host
					w.cfg.Host = func(ctx context.Context, prefix string, on bool) error {
						if b.dead {
							return problem.New(problem.Internal, "the power failed", "断电")
						}
						return host(ctx, prefix, on)
					}
					w.open()
					err := d.do(w, p.ID)
					if !b.dead {
						if err != nil {
							t.Fatal(err)
						}
						break // it needed no more writes than that
					}
					if err == nil && d.name != "approve" { // of an approval, the measuring may be what failed
						t.Errorf("crash at write %d was not told", at)
					}
					w.door, w.cfg.Host = w.reg, host
					w.open()
					for range 10 {
						if !w.o.Round(t.Context()) {
							break
						}
					}
					got, err := w.o.Get(boss, p.ID)
					if err != nil || got.Paper.Task != nil {
						t.Fatalf("crash at write %d, after %v: %+v %v", at, after, got.Paper.Task, err)
					}
					decided := at > 0 || after
					want := d.from
					if decided {
						want = d.to
					}
					if got.Paper.State != want {
						t.Fatalf("crash at write %d, after %v: %s, want %s", at, after, got.Paper.State, want)
					}
					if err := office.VerifyEvents(p.ID, got.Paper.Events, w.key.Public()); err != nil {
						t.Error(err)
					}
					if !decided {
						continue
					}
					rec := w.record("88.118.9")
					if d.has != "" && rec[d.has] == nil || rec[d.hasNot] != nil {
						t.Errorf("crash at write %d, after %v: the prefix record is %v", at, after, rec)
					}
					if want := d.kind == office.Hosted && d.to == office.Active; w.reg.Homed("88.118.9") != want {
						t.Errorf("crash at write %d, after %v: homed %v, want %v", at, after, !want, want)
					}
				}
			}
		})
	}
}

func TestLifetime(t *testing.T) {
	at := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	w := newWorld(t, func(w *world) {
		w.now = func() time.Time { return at }
		w.cfg.Term, w.cfg.Quarantine = 365*24*time.Hour, 100*24*time.Hour
	})
	p := w.granted("88.118.55", 1, office.Hosted)
	day := func(n int) { at = at.Add(time.Duration(n) * 24 * time.Hour) }
	rounds := func() {
		for range 5 {
			w.o.Round(t.Context())
		}
	}
	get := func() office.Application {
		g, err := w.o.Get(boss, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		return g.Paper
	}
	notices := len(get().Notices)
	day(340)
	rounds()
	if a := get(); len(a.Notices) != notices+1 || a.State != office.Active {
		t.Errorf("one reminder in the last month, not %d", len(a.Notices)-notices)
	}
	day(20)
	rounds()
	if a := get(); len(a.Notices) != notices+2 {
		t.Errorf("a second one in the last week: %d", len(a.Notices)-notices)
	}
	day(6)
	rounds()
	if a := get(); a.State != office.Suspended || !a.ByTerm || w.record("88.118.55")[office.TypeStatus] == nil || w.reg.Homed("88.118.55") {
		t.Errorf("the term is over: %s", a.State)
	}
	if _, err := w.o.Resume(t.Context(), boss, p.ID, "", ""); !problem.Is(err, problem.Conflict) {
		t.Errorf("resumed without renewal: %v", err)
	}
	if _, err := w.o.Renew(t.Context(), reviewer, p.ID, 0, "续费", ""); err != nil {
		t.Fatal(err)
	}
	if a := get(); a.State != office.Active || a.Until.Sub(at) != 365*24*time.Hour || w.record("88.118.55")[record.TypeSite] == nil {
		t.Errorf("renewed: %s until %s", a.State, a.Until)
	}
	if _, err := w.o.Revoke(t.Context(), reviewer, p.ID, "注销", ""); !problem.Is(err, problem.Forbidden) {
		t.Errorf("a reviewer revokes: %v", err)
	}
	if _, err := w.o.Revoke(t.Context(), boss, p.ID, "", ""); !problem.Is(err, problem.BadValue) {
		t.Errorf("without a reason: %v", err)
	}
	// What the old holder registered is not the new one's.
	left := id.MustParse("88.118.55/OLD-1")
	if res, err := w.reg.Write(t.Context(), op, []record.Write{{Op: record.Create, ID: left, Values: []record.Value{{Index: 1, Type: "URL", Data: []byte("x"), Perm: record.DefaultPerm}}}}); err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	if _, err := w.o.Revoke(t.Context(), boss, p.ID, "企业注销", ""); err != nil {
		t.Fatal(err)
	}
	if w.record("88.118.55") != nil || w.reg.Homed("88.118.55") {
		t.Error("revoked, and still there")
	}
	if _, err := w.o.Apply(t.Context(), nobody, form(t, "88.118.55", 2, newKey(t)), false); !problem.Is(err, problem.Exists) {
		t.Errorf("in quarantine: %v", err)
	}
	day(101)
	q := w.apply("88.118.55", 2, office.Hosted)
	if _, err := w.o.Approve(t.Context(), boss, q.ID, "", nil, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.reg.Resolve(t.Context(), record.Query{ID: left, By: op}); !problem.Is(err, problem.NotFound) {
		t.Errorf("the new holder has the old one's record: %v", err)
	}
	if err := office.VerifyEvents(p.ID, get().Events, w.key.Public()); err != nil {
		t.Error(err)
	}
	// Drafts that nobody submits go away.
	d, err := w.o.Apply(t.Context(), nobody, form(t, "88.118.56", 3, newKey(t)), true)
	if err != nil {
		t.Fatal(err)
	}
	day(31)
	rounds()
	if _, err := w.o.Get(boss, d.ID); !problem.Is(err, problem.NotFound) {
		t.Errorf("an old draft: %v", err)
	}
}

// The holder may have changed its delegation (a key roll, a second site); suspending keeps what it was.
func TestSuspensionKeepsTheDelegation(t *testing.T) {
	w := newWorld(t)
	p := w.granted("88.118.5", 1, office.SelfHosted)
	rec := id.PrefixRecord("88.118.5")
	extra := record.Value{Index: 600, Type: "NOTE", Data: []byte("by the holder"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}
	if res, err := w.reg.Write(t.Context(), op, []record.Write{{Op: record.Add, ID: rec, Values: []record.Value{extra}}}); err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	if _, err := w.o.Suspend(t.Context(), boss, p.ID, "安全事件", ""); err != nil {
		t.Fatal(err)
	}
	got := w.record("88.118.5")
	if got[office.TypeStatus] == nil || got[record.TypeSite] != nil || got[record.TypePubKey] != nil || got[record.TypeAdmin] != nil || !strings.Contains(string(got[office.TypeStatus]), "suspended") {
		t.Errorf("suspended: %v", got)
	}
	if _, err := w.o.Resume(t.Context(), boss, p.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	if got := w.record("88.118.5"); string(got["NOTE"]) != "by the holder" || got[record.TypeSite] == nil || got[record.TypeCert] == nil || got[office.TypeStatus] != nil {
		t.Errorf("resumed: %v", got)
	}
}

func TestWarnings(t *testing.T) {
	w := newWorld(t)
	w.granted("88.118.1001", 0, office.Hosted) // 南京水泵制造有限公司
	for _, c := range []struct {
		name   string
		prefix string
		change func(*office.Form)
		want   string
	}{
		{"leading zeros", "88.118.01001", nil, "look-alike-prefix"},
		{"letters for digits", "88.118.IOO1", nil, "look-alike-prefix"},
		{"the same name in another form", "88.118.2", func(f *office.Form) { f.Organisation.Name = "南京水泵制造（集团）公司" }, "look-alike-name"},
		{"one character", "88.118.2", func(f *office.Form) { f.Organisation.Name = "南京水泵制道有限公司" }, "similar-name"},
		{"another company form", "88.118.2", func(f *office.Form) { f.Organisation.Name = "南京水泵制造 股份有限公司" }, "look-alike-name"},
		{"full width and a space", "88.118.2", func(f *office.Form) { f.Organisation.Name = "南京　水泵制造有限公司" }, "look-alike-name"},
		{"mixed scripts", "88.118.2", func(f *office.Form) { f.Organisation.Name = "Раymеnt Co., Ltd." }, "mixed-scripts"},
		{"the same certificate", "88.118.2", func(f *office.Form) { f.Organisation.CrtCode = creditCode(t, 0) }, "same-certificate"},
		{"a long one", "88.118.123456789012345678901", nil, "long-prefix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := form(t, c.prefix, 3, newKey(t))
			if c.change != nil {
				c.change(&f)
			}
			p, err := w.o.Apply(t.Context(), nobody, f, false)
			if err != nil {
				t.Fatal(err)
			}
			defer w.o.Withdraw(t.Context(), applicant(p.ID), p.ID, "", "")
			var codes []string
			for _, x := range p.Paper.Warnings {
				codes = append(codes, x.Code)
				if x.EN == "" || x.ZH == "" {
					t.Errorf("%s is not said in both languages", x.Code)
				}
			}
			if !strings.Contains(strings.Join(codes, " "), c.want) {
				t.Fatalf("warnings %v, want %s", codes, c.want)
			}
			if _, err := w.o.Approve(t.Context(), boss, p.ID, "", nil, ""); !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("approved without a look: %v", err)
			}
			// Applicants do not see what they are suspected of.
			if v := w.o.View(applicant(p.ID), p); v.Warnings != nil {
				t.Error("the applicant sees the warnings")
			}
		})
	}
	// An honest second one has none.
	p, err := w.o.Apply(t.Context(), nobody, form(t, "88.118.1002", 3, newKey(t)), false)
	if err != nil || len(p.Paper.Warnings) != 0 {
		t.Errorf("%v %v", p.Paper.Warnings, err)
	}
	if p, err = w.o.Approve(t.Context(), boss, p.ID, "", nil, ""); err != nil || p.Paper.State != office.Active {
		t.Error(err)
	}
	// Accepted warnings stand in the event.
	f := form(t, "88.118.01002", 4, newKey(t))
	if p, err = w.o.Apply(t.Context(), nobody, f, false); err != nil {
		t.Fatal(err)
	}
	if p, err = w.o.Approve(t.Context(), boss, p.ID, "同一集团", []string{"look-alike-prefix", "leading-zero"}, ""); err != nil || !strings.Contains(p.Paper.Events[2].Why, "look-alike-prefix") {
		t.Errorf("%+v %v", p.Paper.Events, err)
	}
}

func TestBadForms(t *testing.T) {
	w := newWorld(t, func(w *world) { w.cfg.Reserved = []string{"88", "1-99"} })
	w.granted("88.118.1001", 1, office.SelfHosted)
	for _, c := range []struct {
		name   string
		change func(*office.Form)
		kind   problem.Kind
		say    string
	}{
		{"no prefix", func(f *office.Form) { f.Prefix = "" }, problem.BadValue, "prefix"},
		{"another office's", func(f *office.Form) { f.Prefix = "88.119.5" }, problem.BadValue, "88.118"},
		{"the office's own", func(f *office.Form) { f.Prefix = "88.118" }, problem.BadValue, "88.118"},
		{"two below", func(f *office.Form) { f.Prefix = "88.118.5.6" }, problem.BadValue, "directly"},
		{"a suffix", func(f *office.Form) { f.Prefix = "88.118.5/x" }, problem.BadValue, "prefix"},
		{"full-width digits", func(f *office.Form) { f.Prefix = "88.118.１００" }, problem.BadValue, "characters"},
		{"Arabic digits", func(f *office.Form) { f.Prefix = "88.118.١٢" }, problem.BadValue, "characters"},
		{"zero", func(f *office.Form) { f.Prefix = "88.118.000" }, problem.BadValue, "reserved"},
		{"reserved", func(f *office.Form) { f.Prefix = "88.118.088" }, problem.BadValue, "reserved"},
		{"in a reserved range", func(f *office.Form) { f.Prefix = "88.118.42" }, problem.BadValue, "reserved"},
		{"too long", func(f *office.Form) { f.Prefix = "88.118." + strings.Repeat("7", 60) }, problem.BadValue, "64"},
		{"taken", func(f *office.Form) { f.Prefix = "88.118.1001" }, problem.Exists, "88.118.1001"},
		{"no name", func(f *office.Form) { f.Organisation.Name = " " }, problem.BadValue, "orgName"},
		{"an invisible character", func(f *office.Form) { f.Organisation.Name = "南京\u200b水泵" }, problem.BadValue, "invisible"},
		{"GBK bytes", func(f *office.Form) { f.Organisation.Name = "\xc4\xcf\xbe\xa9" }, problem.BadValue, "GB18030"},
		{"a wrong check character", func(f *office.Form) { f.Organisation.CrtCode = "913201000000000099" }, problem.BadValue, "GB 32100"},
		{"a slash in the code", func(f *office.Form) { f.Organisation.CrtType, f.Organisation.CrtCode = 2, "a/b" }, problem.BadValue, "orgCrtCode"},
		{"no key", func(f *office.Form) { f.Key = nil }, problem.BadValue, "key"},
		{"no site", func(f *office.Form) { f.Sites = nil }, problem.BadValue, "site"},
		{"no address", func(f *office.Form) { f.Sites[0].Servers[0].Address = "0.0.0.0" }, problem.BadValue, "address"},
		{"two primaries", func(f *office.Form) { f.Sites = append(f.Sites, f.Sites[0]) }, problem.BadValue, "primary"},
		{"a protocol", func(f *office.Form) { f.Sites[0].Servers[0].Interfaces[0].Protocol = "gopher" }, problem.BadValue, "gopher"},
		{"no kind", func(f *office.Form) { f.Kind = "rented" }, problem.BadValue, "hosted"},
		{"a mail address", func(f *office.Form) { f.Organisation.Contact.Email = "a b" }, problem.BadValue, "mail"},
		{"a system's address", func(f *office.Form) { f.Organisation.Manage.Systems = []office.System{{Type: 1, Addr: "somewhere"}} }, problem.BadValue, "ipPort"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := form(t, "88.118.777", 2, newKey(t))
			c.change(&f)
			_, err := w.o.Apply(t.Context(), nobody, f, false)
			if !problem.Is(err, c.kind) || !strings.Contains(err.Error()+fmt.Sprint(err), c.say) && !hasRule(err, c.say) {
				t.Errorf("%v", err)
			}
			if zh := problem.Say(err, problem.Chinese); zh == problem.Say(err, problem.English) {
				t.Errorf("not in Chinese: %s", zh)
			}
		})
	}
	if n := len(list(w)); n != 1 {
		t.Errorf("%d papers after refused forms", n)
	}
}

func hasRule(err error, rule string) bool {
	d, ok := err.(api.Detailed)
	if !ok {
		return false
	}
	for _, x := range d.Details(problem.English) {
		if strings.Contains(x.Rule+x.Location, rule) {
			return true
		}
	}
	return false
}

func list(w *world) []office.Paper {
	p, _ := w.o.List(boss, "", 1000, nil, "")
	return p
}

func TestSignedForm(t *testing.T) {
	at := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	w := newWorld(t, func(w *world) { w.now = func() time.Time { return at } })
	key, other := newKey(t), newKey(t)
	f := form(t, "88.118.5", 1, key)
	sign := func(prefix string, when time.Time) string {
		s, err := office.SignForm(&f, prefix, key, when)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := sign(above, at)
	if got, err := w.o.OpenForm(good); err != nil || got.Prefix != "88.118.5" {
		t.Fatal(err)
	}
	forged := f
	forged.Key = other.Public().Data()
	bad, err := office.SignForm(&forged, above, key, at)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"another office": sign("88.119", at), "old": sign(above, at.Add(-time.Hour)), "from the future": sign(above, at.Add(time.Hour)),
		"another's key": bad, "cut": good[:len(good)-4], "changed": strings.Replace(good, ".", ".e", 1), "nothing": "", "dots": "..", "long": strings.Repeat("a", 200<<10),
	} {
		if _, err := w.o.OpenForm(s); !problem.Is(err, problem.AuthFailed) && !problem.Is(err, problem.BadCredential) && !problem.Is(err, problem.BadValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCrowd(t *testing.T) {
	w := newWorld(t, func(w *world) { w.cfg.MaxOpenKey, w.cfg.MaxOpen = 2, 4 })
	key := newKey(t)
	for i := range 2 {
		if _, err := w.o.Apply(t.Context(), nobody, form(t, fmt.Sprintf("88.118.%d", 500+i), i, key), false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.o.Apply(t.Context(), nobody, form(t, "88.118.600", 3, key), false); !problem.Is(err, problem.Busy) {
		t.Errorf("one key, many prefixes: %v", err)
	}
	for i := range 2 {
		w.apply(fmt.Sprintf("88.118.%d", 700+i), 10+i, office.SelfHosted)
	}
	if _, err := w.o.Apply(t.Context(), nobody, form(t, "88.118.800", 4, newKey(t)), false); !problem.Is(err, problem.Busy) {
		t.Errorf("a crowd: %v", err)
	}
}

// TestRandomLife does random things to a few applications by random people: whatever is done, a prefix has one holder at
// most, its record says what the paper says, and the events hold.
func TestRandomLife(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(outer)
		var ids []id.ID
		prefixes := []string{"88.118.5", "88.118.6"}
		keys := 0
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				keys++
				f := form(outer, rapid.SampledFrom(prefixes).Draw(t, "prefix"), keys, newKey(outer))
				if f.Kind = rapid.SampledFrom([]office.Kind{office.SelfHosted, office.Hosted}).Draw(t, "kind"); f.Kind == office.Hosted {
					f.Sites = nil
				}
				p, err := w.o.Apply(outer.Context(), nobody, f, rapid.Bool().Draw(t, "draft"))
				if err == nil {
					ids = append(ids, p.ID)
				} else if !problem.Is(err, problem.Exists) && !problem.Is(err, problem.Busy) {
					t.Fatal(err)
				}
			},
			"act": func(t *rapid.T) {
				if len(ids) == 0 {
					t.Skip()
				}
				v := rapid.SampledFrom(ids).Draw(t, "which")
				who := rapid.SampledFrom([]api.Caller{boss, reviewer, applicant(v), nobody}).Draw(t, "who")
				ctx := outer.Context()
				var err error
				all := []string{"look-alike-prefix", "look-alike-name", "similar-name", "same-certificate", "other-name", "same-key", "long-prefix", "leading-zero", "mixed-scripts"}
				switch rapid.IntRange(0, 8).Draw(t, "what") {
				case 0:
					_, err = w.o.Submit(ctx, who, v, "")
				case 1:
					_, err = w.o.Withdraw(ctx, who, v, "", "")
				case 2:
					_, err = w.o.Review(ctx, who, v, "", "")
				case 3, 4:
					_, err = w.o.Approve(ctx, who, v, "", all, "")
				case 5:
					_, err = w.o.Refuse(ctx, who, v, "no", "")
				case 6:
					_, err = w.o.Suspend(ctx, who, v, "why", "")
				case 7:
					_, err = w.o.Resume(ctx, who, v, "", "")
				case 8:
					_, err = w.o.Revoke(ctx, who, v, "why", "")
				}
				if problem.KindOf(err) == problem.Internal && err != nil {
					t.Fatal(err)
				}
			},
			"restart": func(*rapid.T) { w.open() },
			"": func(t *rapid.T) {
				for _, prefix := range prefixes {
					holders := 0
					state := office.State("")
					kind := office.Kind("")
					for _, p := range list(w) {
						if p.Paper.Prefix == strings.ToUpper(prefix) && (p.Paper.State == office.Submitted || p.Paper.State == office.InReview || p.Paper.State == office.Active || p.Paper.State == office.Suspended) {
							holders++
							state, kind = p.Paper.State, p.Paper.Kind
						}
						if err := office.VerifyEvents(p.ID, p.Paper.Events, w.key.Public()); err != nil {
							t.Fatal(err)
						}
					}
					rec := w.record(prefix)
					switch {
					case holders > 1:
						t.Fatalf("%s has %d holders", prefix, holders)
					case (rec[record.TypeSite] != nil) != (state == office.Active), (rec[office.TypeStatus] != nil) != (state == office.Suspended):
						t.Fatalf("%s is %s and its record says %v", prefix, state, rec)
					case w.reg.Homed(prefix) != (state == office.Active && kind == office.Hosted):
						t.Fatalf("%s is %s %s, homed: %v", prefix, state, kind, w.reg.Homed(prefix))
					}
				}
			},
		})
	})
}

func FuzzOpenForm(f *testing.F) {
	w := newWorld(f)
	key := newKey(f)
	x := form(f, "88.118.5", 1, key)
	s, err := office.SignForm(&x, above, key, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Add("a.e30.b")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := w.o.OpenForm(s)
		if err != nil {
			return
		}
		if _, err := w.o.Apply(t.Context(), nobody, *got, true); problem.KindOf(err) == problem.Internal && err != nil {
			t.Error(err)
		}
	})
}
