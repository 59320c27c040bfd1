package office_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// own is an enterprise's own node on a real port.
type own struct {
	reg  *registry.Registry
	site *record.Site
	base string
	pin  string
}

// ownNode is a node that answers for prefix, whose identities are looked up in the office's registry; admins rule it.
func (w *world) ownNode(prefix string, key *trust.PrivateKey, admins ...record.Ref) *own {
	w.t.Helper()
	st := memory.New()
	w.t.Cleanup(func() { st.Close() })
	ref := record.Ref{Index: 300, Name: "0.NA/" + prefix}
	reg, err := registry.Open(w.t.Context(), registry.Config{Store: st, Admins: append(admins, ref), Groups: w.reg,
		Keys: []registry.SigningKey{{Prefix: prefix, Ref: ref, Key: key}}})
	if err != nil {
		w.t.Fatal(err)
	}
	if res, err := reg.Write(w.t.Context(), op, []record.Write{{Op: record.Home, ID: id.PrefixRecord(prefix)}}); err != nil || res[0].Err != nil {
		w.t.Fatal(err, res)
	}
	base, site := w.listen(reg, reg, key, keys{w.reg, ref, key})
	return &own{reg: reg, site: site, base: base, pin: key.Public().Fingerprint()}
}

// keys finds a node's own key before its delegation says it.
type keys struct {
	record.Resolver
	ref record.Ref
	key *trust.PrivateKey
}

func (k keys) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	if q.ID.String() == k.ref.Name {
		return record.Answer{Values: []record.Value{{Index: 300, Type: record.TypePubKey, Data: k.key.Public().Data(), Perm: record.DefaultPerm}}, Trust: record.Secure}, nil
	}
	return k.Resolver.Resolve(ctx, q)
}

// listen serves a registry over HTTPS.
func (w *world) listen(reg *registry.Registry, registrar record.Registrar, key *trust.PrivateKey, identities record.Resolver) (base string, site *record.Site) {
	w.t.Helper()
	cert, err := trust.SelfSigned(key, []string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now(), time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	site = &record.Site{Version: 1, Major: 2, Minor: 11, Serial: 1, Primary: true, Hash: record.HashAll, Servers: []record.Server{{ID: 1, Addr: at.Addr(), PublicKey: key.Public().Data(),
		Interfaces: []record.Interface{{Query: true, Admin: true, Protocol: record.HTTP, Port: uint32(at.Port())}}}}}
	s := &web.Server{Resolver: reg, Registrar: registrar, Lister: reg, Feed: reg, Secrets: reg, Auth: &trust.Checker{Resolver: identities},
		Site: func() *record.Site { return site }, Certificate: cert, Name: "node", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	return "https://" + at.String(), site
}

func value(i uint32, data string, perm record.Perm) record.Value {
	return record.Value{Index: i, Type: "NOTE", Data: []byte(data), Perm: perm, TTL: record.TTL{Seconds: 60}}
}

// all is every record under prefix in a registry, whole.
func all(t *testing.T, reg *registry.Registry, prefix string) map[string]string {
	t.Helper()
	names, err := reg.List(t.Context(), op, prefix, "", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, n := range names {
		a, err := reg.Resolve(t.Context(), record.Query{ID: id.MustParse(n), By: op})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range a.Values {
			out[n] += fmt.Sprintf("%d %s %q %s;", v.Index, v.Type, v.Data, v.Perm)
		}
	}
	return out
}

// TestMoveAway moves a hosted prefix to its own node while somebody writes without pause: nothing that was acknowledged
// is missing there, and at each moment whoever the delegation names answers.
func TestMoveAway(t *testing.T) {
	at := atomic.Int64{}
	at.Store(time.Now().UnixNano())
	w := newWorld(t, func(w *world) { w.now = func() time.Time { return time.Unix(0, at.Load()) } })
	const prefix = "88.118.31"
	p := w.granted(prefix, 1, office.Hosted)
	door := w.o.Guard(w.reg)
	put := func(name string, vs ...record.Value) error {
		res, err := door.Write(t.Context(), op, []record.Write{{Op: record.Create, ID: id.MustParse(prefix + "/" + name), Values: vs, Overwrite: true}})
		if err == nil {
			err = res[0].Err
		}
		return err
	}
	for i := range 1200 {
		if err := put(fmt.Sprintf("P-%04d", i), value(1, "open", record.DefaultPerm), value(2, "shut", record.AdminRead|record.AdminWrite), value(3, "hash", 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := put("META_PUMP", value(1, "template", record.DefaultPerm)); err != nil {
		t.Fatal(err)
	}

	key := newKey(t)
	node := w.ownNode(prefix, key)
	ask := office.MoveRequest{To: office.SelfHosted, Sites: []office.Site{office.SiteOf(node.site)}}
	if _, err := w.o.Move(t.Context(), reviewer, p.ID, ask, ""); !problem.Is(err, problem.Forbidden) {
		t.Errorf("a reviewer moves it: %v", err)
	}
	if _, err := w.o.Move(t.Context(), applicant(p.ID), p.ID, ask, ""); err != nil {
		t.Fatal(err)
	}
	// The new node does not let the office in: that is said, and nothing is done.
	w.o.Round(t.Context())
	got, err := w.o.Get(boss, p.ID)
	if err != nil || got.Paper.Task == nil || got.Paper.Task.Error == "" || got.Paper.Kind != office.Hosted {
		t.Fatalf("%+v %v", got.Paper.Task, err)
	}
	if err := put("P-0001", value(1, "still written", record.DefaultPerm)); err != nil {
		t.Errorf("writes are refused though nothing moves: %v", err)
	}
	if _, err := w.o.Move(t.Context(), applicant(p.ID), p.ID, office.MoveRequest{To: office.SelfHosted, Cancel: true}, ""); err != nil {
		t.Fatal(err)
	}

	// Another try, with a node that does; it has something old of its own.
	node = w.ownNode(prefix, key, aboveRef)
	if res, err := node.reg.Write(t.Context(), op, []record.Write{{Op: record.Create, ID: id.MustParse(prefix + "/OLD"), Values: []record.Value{value(1, "x", record.DefaultPerm)}}}); err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	ask.Sites = []office.Site{office.SiteOf(node.site)}
	if _, err := w.o.Move(t.Context(), applicant(p.ID), p.ID, ask, ""); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	acked := map[string]string{}
	var refused atomic.Int64
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name, text := fmt.Sprintf("N-%03d", i%300), fmt.Sprint(i)
			switch err := put(name, value(1, text, record.DefaultPerm)); {
			case err == nil:
				acked[prefix+"/"+name] = text
			case problem.Is(err, problem.Busy):
				refused.Add(1)
				return
			default:
				t.Error(err)
				return
			}
		}
	})
	for range 20 {
		w.o.Round(t.Context())
		if got, err = w.o.Get(boss, p.ID); err != nil || got.Paper.Task == nil {
			break
		}
	}
	close(stop)
	wg.Wait()
	if err != nil || got.Paper.Task != nil || got.Paper.Kind != office.SelfHosted {
		t.Fatalf("%+v %v", got.Paper.Task, err)
	}
	there := all(t, node.reg, prefix)
	if here := all(t, w.reg, prefix); len(here) != len(there) {
		t.Errorf("%d records here, %d there", len(here), len(there))
	} else {
		for n, v := range here {
			if there[n] != v {
				t.Errorf("%s: here %s, there %s", n, v, there[n])
				break
			}
		}
	}
	for n, text := range acked {
		if want := fmt.Sprintf("1 NOTE %q %s;", text, record.DefaultPerm); there[n] != want {
			t.Errorf("%s was acknowledged as %s, there it is %s", n, want, there[n])
		}
	}
	if there[prefix+"/OLD"] != "" {
		t.Error("what only the new node had is still there")
	}
	// The delegation names the new node and its key; the old one answers on, and takes no writes.
	rec, err := w.reg.Resolve(t.Context(), record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true, Types: []string{record.TypePubKey, record.TypeSite}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range rec.Values {
		if v.Index == 300 {
			if k, err := trust.ParsePublic(v.Data); err != nil || string(k.Data()) != string(got.Paper.Key) {
				t.Errorf("the key of the prefix is %v, %v", k, err)
			}
		}
	}
	if _, err := w.reg.Resolve(t.Context(), record.Query{ID: id.MustParse(prefix + "/P-0002"), PublicOnly: true}); err != nil {
		t.Errorf("the old node stopped to answer at once: %v", err)
	}
	if err := put("P-0003", value(1, "lost?", record.DefaultPerm)); !problem.Is(err, problem.Busy) {
		t.Errorf("the old node takes a write that would be lost: %v", err)
	}
	w.open() // also after a restart
	if err := func() error {
		res, err := w.o.Guard(w.reg).Write(t.Context(), op, []record.Write{{Op: record.Create, ID: id.MustParse(prefix + "/P-0003"), Values: []record.Value{value(1, "lost?", record.DefaultPerm)}, Overwrite: true}})
		if err == nil {
			err = res[0].Err
		}
		return err
	}(); !problem.Is(err, problem.Busy) {
		t.Errorf("after a restart the old node takes a write that would be lost: %v", err)
	}
	at.Add(int64(2 * time.Hour))
	w.o.Round(t.Context())
	if w.reg.Homed(prefix) {
		t.Error("the old node answers for ever")
	}
	if err := office.VerifyEvents(p.ID, got.Paper.Events, w.key.Public()); err != nil {
		t.Error(err)
	}
}

// TestMoveHome moves a prefix from its own node to its host: the owner copies.
func TestMoveHome(t *testing.T) {
	w := newWorld(t)
	const prefix = "88.118.32"
	key := newKey(t)
	ref := record.Ref{Index: 300, Name: "0.NA/" + prefix}
	node := w.ownNode(prefix, key)
	f := form(t, prefix, 1, key)
	f.Sites = []office.Site{office.SiteOf(node.site)}
	p, err := w.o.Apply(t.Context(), nobody, f, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.o.Approve(t.Context(), boss, p.ID, "", nil, ""); err != nil {
		t.Fatal(err)
	}
	owner := api.Caller{Identity: record.Identity{Ref: ref}}
	for i := range 700 {
		res, err := node.reg.Write(t.Context(), op, []record.Write{{Op: record.Create, ID: id.MustParse(fmt.Sprintf("%s/Q-%04d", prefix, i)), Values: []record.Value{value(1, "open", record.DefaultPerm), value(2, "shut", record.AdminRead|record.AdminWrite), value(3, "hash", 0)}}})
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	if res, err := node.reg.Write(t.Context(), op, []record.Write{{Op: record.Delete, ID: id.MustParse(prefix + "/Q-0007")}}); err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	host, _ := w.listen(w.reg, w.reg, w.key, w.reg)
	to := &web.Client{Base: host, Pin: w.key.Public().Fingerprint(), User: ref, Key: key}
	from := &web.Client{Base: node.base, Pin: node.pin, User: ref, Key: key}
	t.Cleanup(to.Close)
	t.Cleanup(from.Close)
	// The holder rolled their key since they applied; the new one is theirs at the host too.
	rolled := newKey(t)
	res, err := w.reg.Write(t.Context(), op, []record.Write{{Op: record.Modify, ID: id.PrefixRecord(prefix), Values: []record.Value{{Index: 300, Type: record.TypePubKey, Data: rolled.Public().Data(), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}}}})
	if err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	to.Key = rolled
	ask := office.MoveRequest{To: office.Hosted}
	if _, err := w.o.Move(t.Context(), owner, p.ID, ask, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.o.Move(t.Context(), owner, p.ID, ask, ""); err != nil {
		t.Fatalf("asked again: %v", err)
	}
	frozen := false
	tr := &office.Transfer{Prefix: prefix, From: from, Names: from, To: to, News: 2 * time.Second, Freeze: func(_ context.Context, on bool) error { frozen = on; return nil }}
	n, err := tr.Run(t.Context(), 0)
	if err != nil || n != 699 || !frozen {
		t.Fatalf("%d records, frozen %v, %v", n, frozen, err)
	}
	ask.Finish = true
	for range 2 { // the second time as if the first answer was lost
		got, err := w.o.Move(t.Context(), owner, p.ID, ask, "")
		if err != nil || got.Paper.Kind != office.Hosted || got.Paper.Task != nil {
			// From here on the owner is 310:, so that the second time comes from the operator.
			t.Fatalf("%+v %v", got.Paper.Task, err)
		}
		owner = boss
	}
	here, there := all(t, w.reg, prefix), all(t, node.reg, prefix)
	if len(here) != 699 || len(there) != 699 {
		t.Errorf("%d records here, %d there", len(here), len(there))
	}
	for name, v := range there {
		if here[name] != v {
			t.Errorf("%s: here %s, there %s", name, here[name], v)
			break
		}
	}
	rec, err := w.reg.Resolve(t.Context(), record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true, Types: []string{record.TypePubKey}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range rec.Values {
		want := w.key.Public()
		if v.Index == 310 {
			want = rolled.Public()
		}
		if k, err := trust.ParsePublic(v.Data); err != nil || !k.Equal(want) {
			t.Errorf("the key at %d is %v, %v", v.Index, k, err)
		}
	}
	if !w.reg.Homed(prefix) {
		t.Error("the host does not answer")
	}
}
