package site_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// home has the first answer for the prefix, wherever changes are taken.
func (w *world) home() {
	w.t.Helper()
	until(w.t, "the prefix is answered for", func() bool {
		for _, p := range w.sites {
			_, s := p.now()
			if write(context.Background(), by{s}, record.Write{Op: record.Home, ID: id.PrefixRecord(prefix)}) == nil {
				return true
			}
		}
		return false
	})
}

// by writes as the node's operator.
type by struct{ *site.Site }

func (b by) Write(ctx context.Context, _ record.Identity, ws []record.Write) ([]record.Result, error) {
	return b.Site.Write(ctx, operator, ws)
}

// begin starts the sites and has the first answer for the prefix.
func (w *world) begin() *web.Client {
	w.t.Helper()
	w.start()
	w.home()
	c := w.sites[0].client()
	w.t.Cleanup(c.Close)
	return c
}

// must writes, as often as it takes: on a slow machine the others may not hold it in time.
func (w *world) must(r record.Registrar, ws ...record.Write) {
	w.t.Helper()
	until(w.t, "it is written", func() bool { return write(context.Background(), r, ws...) == nil })
}

// TestPlanned: people move the primary while changes are made; nothing is lost, nothing is set aside.
func TestPlanned(t *testing.T) {
	w := newWorld(t, []string{"a", "b", "c"}, nil)
	w.begin()
	l := w.load(2)
	defer l.end()
	for _, to := range []string{"b", "c", "a"} {
		before := l.n.Load()
		until(t, "changes are taken", func() bool { return l.n.Load() > before+10 })
		p := w.place(to)
		c := p.client()
		status, body, err := c.Exchange(context.Background(), "POST", "/api/site/promote", []byte("{}"))
		c.Close()
		var st site.State
		if err != nil || status != 200 || json.Unmarshal(body, &st) != nil || st.Role != site.Primary || st.Primary != to {
			t.Fatalf("%d %s %v", status, body, err)
		}
		// On a slow machine another may take over meanwhile.
		until(t, "all follow "+to, func() bool { return w.whole() })
	}
	l.end()
	w.agree("a", "b", "c")
	for _, p := range w.sites {
		l.check(p)
	}
}

// TestManual: nobody takes over by itself; with one site left, people may, at their own risk.
func TestManual(t *testing.T) {
	w := newWorld(t, []string{"a", "b", "c"}, func(c *site.Config) {
		c.Manual, c.Interval, c.Patience, c.Wait = true, 30*time.Millisecond, 500*time.Millisecond, 2*time.Second
	})
	c := w.begin()
	w.must(c, put("88/x", "1"))
	w.agree("a", "b", "c")
	w.sites[0].kill()
	w.sites[2].kill()
	b := w.sites[1]
	_, s := b.now()
	until(t, "b sees it", func() bool {
		st, _ := s.State(context.Background())
		return st.Judgement.Resolution == site.Unavailable && st.Judgement.Registration == site.Unavailable
	})
	if s.Role() != site.Mirror {
		t.Error("b took over by itself")
	}
	bc := b.client()
	defer bc.Close()
	if status, body, err := bc.Exchange(context.Background(), "POST", "/api/site/promote", []byte("{}")); err != nil || status != 503 || !strings.Contains(string(body), "votes") {
		t.Errorf("one vote of three suffices: %d %s %v", status, body, err)
	}
	if status, body, err := bc.Exchange(context.Background(), "POST", "/api/site/promote", []byte(`{"alone":true}`)); err != nil || status != 200 {
		t.Fatalf("%d %s %v", status, body, err)
	}
	if err := write(context.Background(), bc, put("88/alone", "1")); !problem.Is(err, problem.Busy) {
		t.Error("acknowledged though nobody else holds it:", err)
	}
	w.sites[2].start()
	until(t, "changes are taken", func() bool { return write(context.Background(), bc, put("88/y", "1")) == nil })
	w.sites[0].start()
	until(t, "all follow", w.whole)
	w.agree("a", "b", "c")
}

// TestNeighbour: of two sites, a neighbour's judgement is needed for 51 %, and one by another key does not count.
func TestNeighbour(t *testing.T) {
	w := newWorld(t, []string{"a", "b"}, nil)
	key := generate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	watcher := &site.Watcher{Name: "n", Targets: []site.Watched{{Prefix: prefix, Sites: w.peers}}, NodeKey: key, Interval: 100 * time.Millisecond, Patience: time.Second}
	cert, err := trust.SelfSigned(key, []string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server := &web.Server{Resolver: recordtest.NewBook(user, "0.NA"), Certificate: cert, Routes: watcher.Routes, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(ctx, l) })
	wg.Go(func() { watcher.Run(ctx) })
	defer wg.Wait()
	defer cancel()

	w.near = []site.Peer{{Name: "n", URL: "https://" + l.Addr().String(), Pin: key.Public().Fingerprint(), Key: "SHA256:of-somebody-else"}}
	c := w.begin()
	w.must(c, put("88/x", "1"))
	said := func() site.Judgement {
		j, ok := watcher.Judgement(prefix)
		if !ok {
			t.Fatal("it does not look at the prefix")
		}
		return j
	}
	until(t, "the neighbour sees the primary", func() bool {
		j := said()
		return j.Target == "a" && j.Resolution == site.Available && j.Registration == site.Available
	})
	w.sites[0].kill()
	_, s := w.sites[1].now()
	until(t, "both see it", func() bool {
		st, err := s.State(ctx)
		return err == nil && st.Judgement.Resolution == site.Unavailable && said().Resolution == site.Unavailable
	})
	wait(3 * 200 * time.Millisecond)
	if s.Role() == site.Primary {
		t.Fatal("one of two probes sufficed, or a judgement by another key counted")
	}
	w.sites[1].kill()
	w.near[0].Key = ""
	w.sites[1].start()
	_, s = w.sites[1].now()
	until(t, "b takes over", func() bool { return s.Role() == site.Primary })
	until(t, "the neighbour looks at the new primary", func() bool { return said().Target == "b" && said().Resolution == site.Available })
	if _, ok := watcher.Judgement("99"); ok {
		t.Error("it judges what it does not look at")
	}
}

// TestStrangers: whoever is neither a site nor an administrator finds nothing.
func TestStrangers(t *testing.T) {
	w := newWorld(t, []string{"a"}, func(c *site.Config) { c.Hold = 0 })
	c := w.begin()
	anybody := &web.Client{Base: c.Base, Pin: c.Pin}
	defer anybody.Close()
	for _, x := range []struct {
		method, path, body string
		nobody, admin      int
	}{
		{"GET", "/api/probes", "", 200, 200},
		{"POST", "/api/probes", "{}", 405, 405},
		{"GET", "/api/site-state", "", 401, 200},
		{"POST", "/api/site/vote", `{"term":9}`, 401, 200},
		{"POST", "/api/site/vote", `{`, 401, 400},
		{"POST", "/api/site/records", `{"ids":["88/x"]}`, 401, 200},
		{"POST", "/api/site/records", `{"ids":["/"]}`, 401, 400},
		{"POST", "/api/site/records", `{"ids":[` + strings.Repeat(`"88/x",`, 100) + `"88/x"]}`, 401, 413},
		{"POST", "/api/site/lead", `{"site":"z","term":7,"role":"primary"}`, 401, 400},
	} {
		var body []byte
		if x.body != "" {
			body = []byte(x.body)
		}
		status, b, err := anybody.Exchange(context.Background(), x.method, x.path, body)
		if err != nil || status != x.nobody {
			t.Errorf("nobody: %s %s: %d %s %v", x.method, x.path, status, b, err)
		}
		if status, b, err := c.Exchange(context.Background(), x.method, x.path, body); err != nil || status != x.admin {
			t.Errorf("an administrator: %s %s: %d %s %v", x.method, x.path, status, b, err)
		}
	}
	if _, s := w.sites[0].now(); s.Role() != site.Primary {
		t.Error("the only site is no primary any more")
	}
}

func TestConfig(t *testing.T) {
	r, err := registry.Open(context.Background(), registry.Config{Store: memory.New()})
	if err != nil {
		t.Fatal(err)
	}
	k := generate(t)
	for _, c := range []struct {
		name  string
		sites []string
		hold  int
		want  string
	}{
		{"x", []string{"a", "b"}, 0, "does not stand"},
		{"a", []string{"a", "a"}, 0, "two sites"},
		{"a", []string{"a", "b"}, 2, "cannot hold"},
		{"a", []string{"a", "b"}, -1, "cannot hold"},
	} {
		cfg := site.Config{Prefix: "88", Name: c.name, Hold: c.hold, Registry: r, Next: r, User: user, Key: k}
		for _, n := range c.sites {
			cfg.Sites = append(cfg.Sites, site.Peer{Name: n, URL: "https://127.0.0.1:1"})
		}
		if _, err := site.New(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestRedelegate(t *testing.T) {
	ctx := context.Background()
	server := func(n byte, primary bool) *record.Site {
		return &record.Site{Version: 1, Primary: primary, Serial: 1, Servers: []record.Server{{ID: 1, Addr: netip.MustParseAddr("192.0.2.1"), PublicKey: generate(t).Public().Data(),
			Interfaces: []record.Interface{{Query: true, Protocol: record.UDP, Port: uint32(n)}, {Query: true, Admin: primary, Protocol: record.TCP, Port: uint32(n)}}}}}
	}
	a, b, c := server(1, true), server(2, false), server(3, false)
	d := registry.Delegation{Prefix: "88", Sites: []*record.Site{a, b}, Keys: nil, Admins: []record.Admin{{Perms: record.AllPerms, Ref: user}}}
	vs, err := d.Values()
	if err != nil {
		t.Fatal(err)
	}
	parent := recordtest.NewBook(user, "0.NA")
	parent.Put("0.NA/88", vs...)
	as := parentAs{parent}
	for _, own := range []*record.Site{b, c, a} {
		for range 2 { // the second time changes nothing
			if err := site.Redelegate(ctx, as, "88", own); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []*record.Site{a, b, c} {
			named, err := site.NamedPrimary(ctx, as, "88", s)
			if err != nil || named != (s == own) {
				t.Errorf("named: %v %v", named, err)
			}
		}
	}
	ans, err := as.Resolve(ctx, record.Query{ID: id.PrefixRecord("88")})
	if err != nil {
		t.Fatal(err)
	}
	sites := 0
	for _, v := range ans.Values {
		if v.Type != record.TypeSite && v.Type != record.TypeSitePrefix {
			continue
		}
		s, err := record.DecodeSite(v.Data)
		if err != nil {
			t.Fatal(err)
		}
		sites++
		for _, i := range s.Servers[0].Interfaces {
			if i.Admin != (s.Primary && i.Protocol == record.TCP) || !i.Query {
				t.Errorf("at %d: %+v of a site that is primary: %v", v.Index, i, s.Primary)
			}
		}
	}
	if sites != 6 {
		t.Errorf("%d sites", sites)
	}
}

// parentAs is a parent asked by the holder of the prefix's key.
type parentAs struct{ *recordtest.Book }

func (p parentAs) Write(ctx context.Context, _ record.Identity, ws []record.Write) ([]record.Result, error) {
	return p.Book.Write(ctx, record.Identity{Ref: user}, ws)
}

// TestLostDisk: a primary that comes back with an older disk does not pass for what it was.
func TestLostDisk(t *testing.T) {
	w := newWorld(t, []string{"a", "b", "c"}, nil)
	c := w.begin()
	for i := range 10 {
		w.must(c, put(fmt.Sprintf("88/x%d", i), "1"))
	}
	w.agree("a", "b", "c")
	a := w.sites[0]
	a.kill()
	a.store = memory.New() // a new disk
	until(t, "another takes over", func() bool { return w.primary() != nil })
	nc := w.primary().client()
	defer nc.Close()
	until(t, "changes are taken", func() bool { return write(context.Background(), nc, put("88/y", "1")) == nil })
	a.start()
	until(t, "all follow", w.whole)
	w.agree("a", "b", "c")
	if es, _ := os.ReadDir(a.folder); len(es) > 0 {
		t.Error("something was set aside:", es)
	}
}

// TestFull: a primary whose disk is full answers and reads, but takes no changes: another takes over.
func TestFull(t *testing.T) {
	w := newWorld(t, []string{"a", "b", "c"}, nil)
	c := w.begin()
	w.must(c, put("88/x", "1"))
	w.agree("a", "b", "c")
	a := w.sites[0]
	a.store.Faults().Full(true)
	if err := write(context.Background(), c, put("88/y", "1")); !problem.Is(err, problem.Full) {
		t.Fatal(err)
	}
	until(t, "another takes over", func() bool { p := w.primary(); return p != nil && p != a })
	nc := w.primary().client()
	defer nc.Close()
	until(t, "changes are taken", func() bool { return write(context.Background(), nc, put("88/y", "1")) == nil })
	a.store.Faults().Full(false)
	until(t, "all follow", w.whole)
	w.agree("a", "b", "c")
}
