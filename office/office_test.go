package office_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
)

var op = record.Identity{Operator: true}

const above = "88.118"

var aboveRef = record.Ref{Index: 300, Name: "0.NA/88.118"}

func newKey(t testing.TB) *trust.PrivateKey { return newKeyOf(t, trust.Ed25519) }

func newKeyOf(t testing.TB, alg trust.Algorithm) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(alg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// world is an office with its registry and its HTTP interface.
type world struct {
	t     testing.TB
	reg   *registry.Registry
	key   *trust.PrivateKey
	cfg   office.Config
	o     *office.Office
	door  document.Registry // what the office writes through
	mu    sync.Mutex
	hosts map[string]bool
	now   func() time.Time
}

func newWorld(t testing.TB, change ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, key: newKey(t), hosts: map[string]bool{}, now: time.Now}
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	var err error
	w.reg, err = registry.Open(t.Context(), registry.Config{Store: st, Keys: []registry.SigningKey{{Prefix: above, Ref: aboveRef, Key: w.key}}, Now: func() time.Time { return w.now() }})
	if err != nil {
		t.Fatal(err)
	}
	res, err := w.reg.Write(t.Context(), op, []record.Write{{Op: record.Home, ID: id.PrefixRecord(above)}})
	if err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	// A copy of the prefix's own record, so that its key is known here.
	d := registry.Delegation{Prefix: above, Sites: []*record.Site{w.site()}, Keys: []trust.PublicKey{w.key.Public()}}
	vs, err := d.Values()
	if err != nil {
		t.Fatal(err)
	}
	if res, err = w.reg.Write(t.Context(), op, []record.Write{{Op: record.Create, ID: id.PrefixRecord(above), Values: vs}}); err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	w.door = w.reg
	w.cfg = office.Config{
		Prefix: above, Feed: w.reg, Key: w.key, Site: w.site, Now: func() time.Time { return w.now() },
		Host: func(ctx context.Context, prefix string, on bool) error {
			o := record.Unhome
			if on {
				o = record.Home
			}
			res, err := w.reg.Write(ctx, op, []record.Write{{Op: o, ID: id.PrefixRecord(prefix)}})
			if err == nil && !problem.Is(res[0].Err, problem.Exists) {
				err = res[0].Err
			}
			w.mu.Lock()
			w.hosts[prefix] = on
			w.mu.Unlock()
			return err
		},
		Check: func(ctx context.Context, prefix string) error {
			_, err := w.reg.Resolve(ctx, record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true, Types: []string{record.TypeSite}})
			return err
		},
	}
	for _, f := range change {
		f(w)
	}
	w.open()
	return w
}

// open opens the office, as after a restart.
func (w *world) open() {
	w.t.Helper()
	w.cfg.Registry = w.door
	o, err := office.New(w.t.Context(), w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.o = o
}

func (w *world) site() *record.Site { return siteAt("192.0.2.1", w.key.Public()) }

func siteAt(addr string, key trust.PublicKey) *record.Site {
	return &record.Site{Version: 1, Major: 2, Minor: 11, Serial: 1, Primary: true, Hash: record.HashAll, Servers: []record.Server{{ID: 1, Addr: netip.MustParseAddr(addr), PublicKey: key.Data(),
		Interfaces: []record.Interface{{Query: true, Admin: true, Protocol: record.TCP, Port: 2641}}}}}
}

// serve is the office over HTTPS; who comes with a client certificate is known by the key in their record.
func (w *world) serve() (base string) {
	w.t.Helper()
	st := memory.New()
	w.t.Cleanup(func() { st.Close() })
	checker := &httpsig.Verifier{Authorities: func(string) bool { return true }, Now: w.cfg.Now, Key: func(ctx context.Context, ref record.Ref) (trust.PublicKey, error) {
		v, err := id.ParseHandle(ref.Name)
		if err != nil {
			return trust.PublicKey{}, err
		}
		a, err := w.reg.Resolve(ctx, record.Query{ID: v, Indexes: []uint32{ref.Index}, PublicOnly: true})
		if err != nil || len(a.Values) == 0 {
			return trust.PublicKey{}, problem.Wrap(err, problem.AuthError, "there is no key %s", "没有密钥 %s", ref)
		}
		return trust.ParsePublic(a.Values[0].Data)
	}}
	a := api.New(api.Config{Title: "Office", Version: "1", Store: st, Now: w.cfg.Now, Identify: func(r *http.Request) (api.Caller, error) {
		var c api.Caller
		if !httpsig.Signed(r) {
			return c, nil
		}
		by, err := checker.Verify(r)
		if err != nil {
			return c, err
		}
		c.Identity = by
		if by.Ref.Same(aboveRef) {
			c.Roles = []api.Role{{Name: api.Operator, Prefix: above}}
		}
		return c, nil
	}})
	w.o.Register(a)
	s := httptest.NewUnstartedServer(a.Handler())
	s.TLS = &tls.Config{}
	cert, err := trust.SelfSigned(w.key, []string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now(), time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	s.TLS.Certificates = []tls.Certificate{cert}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return s.URL
}

func (w *world) client(base string, user record.Ref, key *trust.PrivateKey) *office.Client {
	c := &office.Client{Base: base, Pin: w.key.Public().Fingerprint(), User: user, Key: key}
	w.t.Cleanup(c.Close)
	return c
}

// TestKinds: applicants sign with any kind of key.
func TestKinds(t *testing.T) {
	w := newWorld(t)
	base := w.serve()
	for i, alg := range []trust.Algorithm{trust.P256, trust.SM2, trust.RSA} {
		key := newKeyOf(t, alg)
		nobody := w.client(base, record.Ref{}, nil)
		v, err := nobody.Apply(t.Context(), form(t, fmt.Sprintf("88.118.%d", 2001+i), i, key), key, true)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		mine := nobody.As(v.ID, key)
		if v, err = mine.Act(t.Context(), v.ID, "submit", office.Reason{}); err != nil || v.State != office.Submitted {
			t.Errorf("%s: %v", alg, err)
		}
		// Another's key proves nothing.
		if _, _, err := nobody.As(v.ID, newKeyOf(t, trust.Ed25519)).Get(t.Context(), v.ID); !problem.Is(err, problem.AuthFailed) {
			t.Errorf("%s: another's key: %v", alg, err)
		}
		mine.Close()
	}
}

// creditCode is a unified social credit code whose check character holds.
func creditCode(t testing.TB, n int) string {
	t.Helper()
	const alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
	head := []byte("91320100000000000")
	for i := len(head) - 1; n > 0; i-- {
		head[i] = byte('0' + n%10)
		n /= 10
	}
	for i := range alphabet {
		if s := string(head) + alphabet[i:i+1]; office.CreditCode(s) {
			return s
		}
	}
	t.Fatal("no check character")
	return ""
}

func form(t testing.TB, prefix string, n int, key *trust.PrivateKey) office.Form {
	f := office.Form{Prefix: prefix, Kind: office.SelfHosted, Key: key.Public().Data(), Sites: []office.Site{office.SiteOf(siteAt("192.0.2.7", key.Public()))},
		Organisation: office.Organisation{Name: names[n%len(names)], Nature: 2, CrtType: 1, CrtCode: creditCode(t, n), Contact: office.Person{Name: "王工", Phone: "025-12345678", Email: "wang@example.com"}}}
	return f
}

var names = []string{"南京水泵制造有限公司", "苏州精密轴承股份有限公司", "常州变压器厂", "Nantong Cable Co., Ltd.", "无锡纺织机械集团"}

func TestApplyApprove(t *testing.T) {
	for _, kind := range []office.Kind{office.SelfHosted, office.Hosted} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			base := w.serve()
			key := newKey(t)
			f := form(t, "88.118.1001", 1, key)
			f.Kind = kind
			if kind == office.Hosted {
				f.Sites = nil
			}
			nobody := w.client(base, record.Ref{}, nil)
			v, err := nobody.Apply(t.Context(), f, key, false)
			if err != nil {
				t.Fatal(err)
			}
			if v.State != office.Submitted || v.Pending != "" {
				t.Fatalf("after applying: %+v", v)
			}
			// The applicant, by the key in the application's record, sees it; others do not.
			mine := nobody.As(v.ID, key)
			got, tag, err := mine.Get(t.Context(), v.ID)
			if err != nil || got.State != office.Submitted || tag == "" || got.Warnings != nil {
				t.Fatalf("the applicant sees %+v, %v", got, err)
			}
			if _, _, err := nobody.Get(t.Context(), v.ID); !problem.Is(err, problem.NotFound) {
				t.Errorf("a stranger sees it: %v", err)
			}
			if _, err := mine.Act(t.Context(), v.ID, "approve", office.Reason{}); !problem.Is(err, problem.Forbidden) {
				t.Errorf("the applicant approves: %v", err)
			}
			boss := w.client(base, aboveRef, w.key)
			done, err := boss.Act(t.Context(), v.ID, "approve", office.Reason{Reason: "证照齐全"})
			if err != nil {
				t.Fatal(err)
			}
			if done.State != office.Active || done.Pending != "" || done.Timing.Resolvable.IsZero() || done.Until.IsZero() {
				t.Fatalf("after the approval: %+v", done)
			}
			rec, err := w.reg.Resolve(t.Context(), record.Query{ID: id.PrefixRecord("88.118.1001"), PublicOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			want := key.Public()
			if kind == office.Hosted {
				want = w.key.Public()
			}
			types := map[string]int{}
			for _, x := range rec.Values {
				types[x.Type]++
				if x.Index == 300 {
					if k, err := trust.ParsePublic(x.Data); err != nil || !k.Equal(want) {
						t.Errorf("the key of the prefix: %v, %v", k, err)
					}
				}
			}
			for _, typ := range []string{record.TypeSite, record.TypeSitePrefix, record.TypeAdmin, record.TypePubKey, record.TypeCert, record.TypeSignature} {
				if types[typ] == 0 {
					t.Errorf("no %s in the delegation: %v", typ, types)
				}
			}
			if w.hosts["88.118.1001"] != (kind == office.Hosted) {
				t.Errorf("hosted: %v", w.hosts)
			}
			// The events are signed, and none can be left out.
			p, err := id.ParseHandle(done.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := office.VerifyEvents(p, done.Events, w.key.Public()); err != nil {
				t.Error(err)
			}
			short := append([]office.Event{}, done.Events[:1]...)
			if err := office.VerifyEvents(p, append(short, done.Events[2:]...), w.key.Public()); !problem.Is(err, problem.Bogus) {
				t.Errorf("an event was left out: %v", err)
			}
			// The key of the prefix is the applicant's identity now, and sees the application too.
			holder := w.client(base, office.HolderRef("88.118.1001", kind), key)
			list, err := holder.List(t.Context(), "", 10, nil, "")
			if err != nil || len(list.Items) != 1 {
				t.Errorf("the holder sees %v, %v", list, err)
			}
		})
	}
}
