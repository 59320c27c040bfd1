package site_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "88"

var user = record.Ref{Index: 300, Name: "0.NA/" + prefix}

var operator = record.Identity{Operator: true}

// world is the sites of a prefix in this process: each a registry, a web server on a real port, and a Site.
type world struct {
	t     testing.TB
	key   *trust.PrivateKey // of the prefix
	sites []*place
	peers []site.Peer
	near  []site.Peer
	make  func(*site.Config)
	log   *slog.Logger
}

// place is one site: what outlives it, and what runs.
type place struct {
	w      *world
	name   string
	addr   string
	key    *trust.PrivateKey
	store  *memory.Store
	folder string

	mu       sync.Mutex
	registry *registry.Registry
	site     *site.Site
	net      *cuttable
	cancel   context.CancelFunc
	done     sync.WaitGroup
	told     []string // of each change of roles
}

// cuttable is a listener whose connections can be cut off at once, as when the process dies.
type cuttable struct {
	net.Listener
	mu    sync.Mutex
	conns map[net.Conn]bool
	cut   bool
}

type cutConn struct {
	net.Conn
	l *cuttable
}

func (l *cuttable) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		c.Close()
		return nil, net.ErrClosed
	}
	l.conns[c] = true
	return &cutConn{c, l}, nil
}

func (c *cutConn) Close() error {
	c.l.mu.Lock()
	delete(c.l.conns, c.Conn)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

func (l *cuttable) sever() {
	l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		c.Close()
	}
}

func generate(t testing.TB) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newWorld(t testing.TB, names []string, change func(*site.Config)) *world {
	t.Helper()
	w := &world{t: t, key: generate(t), make: change, log: slog.New(slog.DiscardHandler)}
	if testing.Verbose() && os.Getenv("SITE_LOG") != "" {
		w.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for _, n := range names {
		p := &place{w: w, name: n, key: generate(t), store: memory.New(), folder: filepath.Join(t.TempDir(), n)}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.addr = l.Addr().String()
		l.Close()
		w.sites = append(w.sites, p)
		w.peers = append(w.peers, site.Peer{Name: n, URL: "https://" + p.addr, Pin: p.key.Public().Fingerprint()})
	}
	t.Cleanup(func() {
		for _, p := range w.sites {
			p.stop()
		}
	})
	return w
}

func (w *world) start() {
	w.t.Helper()
	for _, p := range w.sites {
		p.start()
	}
}

// book gives the prefix's key to whoever checks a proof.
type book struct{ key trust.PublicKey }

func (b book) Resolve(_ context.Context, q record.Query) (record.Answer, error) {
	if q.ID == id.MustParse(user.Name) {
		return record.Answer{Values: []record.Value{{Index: 300, Type: record.TypePubKey, Data: b.key.Data(), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}}, Trust: record.Secure}, nil
	}
	return record.Answer{}, problem.New(problem.NotFound, "not here", "不在此处")
}

func (p *place) start() {
	t := p.w.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := registry.Open(ctx, registry.Config{Store: p.store, Admins: []record.Ref{user}, Followers: []record.Ref{user}, ReadOnly: true,
		Groups: book{p.w.key.Public()}, HotBytes: 1 << 18,
		Keys: []registry.SigningKey{{Prefix: prefix, Ref: user, Key: p.w.key}}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := site.Config{Prefix: prefix, Name: p.name, Sites: p.w.peers, Neighbours: p.w.near, Hold: 1, User: user, Key: p.w.key, NodeKey: p.key,
		Registry: r, Next: r, Folder: p.folder, Log: p.w.log, Interval: 200 * time.Millisecond, Patience: 5 * time.Second}
	cfg.Changed = func(st site.State) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told = append(p.told, string(st.Role))
	}
	if p.w.make != nil {
		p.w.make(&cfg)
	}
	s, err := site.New(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := trust.SelfSigned(p.key, []string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server := &web.Server{Resolver: r, Registrar: s, Lister: r, Feed: s, Secrets: r, Certificate: cert, Name: p.name,
		Auth: &trust.Checker{Resolver: book{p.w.key.Public()}}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	server.Routes = s.Routes(server.Identify)
	var l net.Listener
	for range 200 { // the port of one that was killed may be taken for a moment
		if l, err = net.Listen("tcp", p.addr); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registry, p.site, p.cancel = r, s, cancel
	p.net = &cuttable{Listener: l, conns: map[net.Conn]bool{}}
	served := p.net
	p.done.Go(func() { server.Serve(ctx, served) })
	p.done.Go(func() {
		if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func (p *place) now() (*registry.Registry, *site.Site) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.registry, p.site
}

// kill ends the site as a crash of its machine does: what was not durable is gone, connections break off.
func (p *place) kill() {
	p.mu.Lock()
	n, cancel := p.net, p.cancel
	p.net, p.cancel = nil, nil
	p.mu.Unlock()
	if n == nil {
		return
	}
	p.store.Faults().Crash()
	n.sever()
	cancel()
	p.done.Wait()
	p.store = p.store.Reopen()
}

func (p *place) stop() { p.kill() }

// client writes to and asks this site as the administrator.
func (p *place) client() *web.Client {
	return &web.Client{Base: "https://" + p.addr, Pin: p.key.Public().Fingerprint(), User: user, Key: p.w.key, Timeout: 5 * time.Second}
}

func (w *world) place(name string) *place {
	for _, p := range w.sites {
		if p.name == name {
			return p
		}
	}
	w.t.Fatal(name)
	return nil
}

// until waits for something to come true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(90 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			t.Fatal("it did not come to this: " + what)
		}
		wait(5 * time.Millisecond)
	}
}

func wait(d time.Duration) { <-time.After(d) }

func put(name, data string) record.Write {
	return record.Write{Op: record.Create, ID: id.MustParse(name), Overwrite: true, Values: []record.Value{{Index: 1, Type: "URL", Data: []byte(data), TTL: record.TTL{Seconds: 60}, Perm: record.DefaultPerm}}}
}

// write is one write's error.
func write(ctx context.Context, r record.Registrar, ws ...record.Write) error {
	rs, err := r.Write(ctx, record.Identity{}, ws)
	for i := range rs {
		if err == nil {
			err = rs[i].Err
		}
	}
	return err
}

// contents is a digest and the number of all records of a registry.
func contents(t testing.TB, r *registry.Registry) (string, int) {
	t.Helper()
	ctx := context.Background()
	h := sha256.New()
	total := 0
	ps, err := r.Prefixes(ctx, operator, "", 1000)
	if err != nil {
		return err.Error(), 0
	}
	fmt.Fprintln(h, ps)
	for _, p := range ps {
		for after := ""; ; {
			ns, err := r.List(ctx, operator, p, after, 1000)
			if err != nil {
				return err.Error(), 0
			}
			if len(ns) == 0 {
				break
			}
			after = ns[len(ns)-1]
			for _, n := range ns {
				e, err := r.Entry(ctx, id.MustParse(n))
				if err != nil {
					return err.Error(), 0
				}
				vs := e.Values
				if k := len(vs); k > 0 && vs[k-1].Type == record.TypeSignature {
					vs = vs[:k-1]
				}
				fmt.Fprintln(h, n, vs)
				total++
			}
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), total
}

// primary is the running site that takes changes, nil while there is none.
func (w *world) primary() *place {
	for _, p := range w.sites {
		p.mu.Lock()
		up, s := p.net != nil, p.site
		p.mu.Unlock()
		if up && s.Role() == site.Primary {
			return p
		}
	}
	return nil
}

// agree waits until all running sites hold the same.
func (w *world) agree(names ...string) {
	w.t.Helper()
	until(w.t, strings.Join(names, ", ")+" hold the same", func() bool {
		var first string
		for i, n := range names {
			r, _ := w.place(n).now()
			d, _ := contents(w.t, r)
			if i == 0 {
				first = d
			} else if d != first {
				return false
			}
		}
		return true
	})
}
