package node

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/account"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/partner"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/recursor"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/template"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/ledger"
	"github.com/fujie-id/fujie/trust/policy"
	"github.com/fujie-id/fujie/wire/burst"
	"github.com/fujie-id/fujie/wire/irp"
	"github.com/fujie-id/fujie/wire/web"
)

// Node is a running node.
type Node struct {
	cfg Config
	log *slog.Logger
	now func() time.Time

	key       *trust.PrivateKey // the server's
	tlsKey    *trust.PrivateKey // the same, or another when TLS cannot take it
	prefixKey *trust.PrivateKey // nil on a recursive node

	client   *irp.Client
	store    store.Store
	registry *registry.Registry // nil on a recursive node
	recursor *recursor.Recursor // nil when there is no root to ask
	mirror   *mirror.Mirror     // nil unless this node follows another
	sites    *site.Site         // nil unless the prefix has several sites that take over from one another
	top      record.Registrar   // where writes begin their way to the registry

	outside   *outsider                          // asks as a stranger would; nil without a root to ask
	in        *institution                       // nil on a recursive node, and where the configuration says plain
	tracing   *tracing                           // nil where no events are kept
	templates atomic.Pointer[template.Templates] // nil until they are read
	resolver  record.Resolver                    // what the wires ask
	policy    *policy.Policy                     // nil where the configuration says plain
	accessLog *ledger.Log
	changeLog *ledger.Log // nil where there is no ledger
	witness   *ledger.Cosigner
	spans     *spans        // nil: no traces are sent
	business  *business     // nil: no solutions run here
	partners  *partner.Desk // nil: other enterprises are not asked by name
	keys      keyring

	irpAddr, tlsAddr, httpAddr netip.AddrPort
	place                      atomic.Pointer[record.Site] // where it is
	irp                        *irp.Server
	web                        *web.Server

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	closes []func() error // in reverse order
	failed chan error
}

// roles is the table of wirings.
var roles = map[Role]func(context.Context, *Node) error{
	Root:        startRoot,
	National:    startAuthority,
	SecondLevel: startAuthority,
	Enterprise:  startAuthority,
	Recursive:   startRecursive,
}

// Options are what a program that runs a node may choose. The zero value is right for a real one.
type Options struct {
	Log *slog.Logger     // default: none
	Now func() time.Time // default: time.Now
}

// Start starts a node. When it returns nil the node answers; it runs until Close; ctx bounds the start alone.
func Start(ctx context.Context, cfg *Config, opts Options) (*Node, error) {
	c := *cfg
	if err := c.fill(); err != nil {
		return nil, err
	}
	n := newNode(c, opts)
	if err := n.start(ctx); err != nil {
		n.Close()
		return nil, err
	}
	n.log.Info("node answers", "role", c.Role, "prefix", c.Prefix, "irp", n.irpAddr, "http", n.httpAddr)
	return n, nil
}

func newNode(c Config, opts Options) *Node {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	n := &Node{cfg: c, log: opts.Log.With("node", c.Name), now: opts.Now, failed: make(chan error, 1)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

func (n *Node) start(ctx context.Context) (err error) {
	if n.key, n.tlsKey, err = EnsureServerKeys(n.cfg.Data, n.cfg.Algorithm); err != nil {
		return err
	}
	n.client = &irp.Client{Iterative: true, Now: n.now}
	n.closes = append(n.closes, func() error { n.client.Close(); return nil })
	if err := n.openSpans(ctx); err != nil {
		return err
	}
	return roles[n.cfg.Role](ctx, n)
}

// Close stops answering, finishes what is under way, and lets go of everything.
func (n *Node) Close() error {
	n.cancel()
	n.wg.Wait()
	var errs []error
	for i := len(n.closes) - 1; i >= 0; i-- {
		// The wires close their sockets themselves when they end.
		if err := n.closes[i](); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	n.closes = nil
	return errors.Join(errs...)
}

// Failed delivers an error when the node cannot go on.
func (n *Node) Failed() <-chan error { return n.failed }

// Name, Config, IRP, HTTP, Site and Key say who and where the node is.
func (n *Node) Name() string         { return n.cfg.Name }
func (n *Node) Config() Config       { return n.cfg }
func (n *Node) IRP() netip.AddrPort  { return n.irpAddr }
func (n *Node) HTTP() netip.AddrPort { return n.httpAddr }
func (n *Node) Site() *record.Site   { return n.place.Load() }
func (n *Node) Key() trust.PublicKey { return n.key.Public() }

// TLSKey is the key that HTTPS and TLS connections show.
func (n *Node) TLSKey() trust.PublicKey { return n.tlsKey.Public() }

// PrefixKey is the key that signs for the node's prefix; zero on a recursive node.
func (n *Node) PrefixKey() trust.PublicKey {
	if n.prefixKey == nil {
		return trust.PublicKey{}
	}
	return n.prefixKey.Public()
}

// goes runs f until the node closes; an error before that ends the node.
func (n *Node) goes(what string, f func(ctx context.Context) error) {
	n.wg.Go(func() {
		err := f(n.ctx)
		if err == nil || n.ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
			return
		}
		n.log.Error("node part failed", "part", what, "err", err)
		select {
		case n.failed <- problem.Wrap(err, problem.Internal, "%s of node %s failed", "节点 %[2]s 的 %[1]s 出错", what, n.cfg.Name):
		default:
		}
	})
}

// every runs f again and again until the node closes.
func (n *Node) every(d time.Duration, f func(ctx context.Context)) {
	n.wg.Go(func() {
		t := time.NewTicker(d)
		defer t.Stop()
		for {
			select {
			case <-n.ctx.Done():
				return
			case <-t.C:
				f(n.ctx)
			}
		}
	})
}

// doors are what a role offers on its wires.
type doors struct {
	resolver  record.Resolver
	registrar record.Registrar
	lister    record.Lister
	feed      record.Feed
	secrets   record.SecretFinder
}

// listen opens the node's ports, so that its addresses are known before anything is served.
func (n *Node) listen() (udp []*burst.Conn, tcp, tlsl, httpl net.Listener, err error) {
	defer func() {
		if err != nil {
			err = problem.Wrap(err, problem.Unreachable, "node %s cannot listen; choose another address in its configuration", "节点 %s 无法监听；请在配置中换一个地址", n.cfg.Name)
		}
	}()
	keep := func(l net.Listener) net.Listener { n.closes = append(n.closes, l.Close); return l }
	sockets := n.cfg.Sockets
	if sockets <= 0 {
		sockets = min(8, runtime.GOMAXPROCS(0))
	}
	if a := n.cfg.Listen.IRP; a != "" {
		// A free port for TCP may be taken for UDP; with port 0 another one is tried.
		for try := 0; ; try++ {
			if tcp, err = net.Listen("tcp", a); err != nil {
				return nil, nil, nil, nil, err
			}
			n.irpAddr = addrPort(tcp.Addr())
			if udp, err = burst.ListenN(n.irpAddr, sockets, burst.Options{}); err == nil {
				break
			}
			tcp.Close()
			if !strings.HasSuffix(a, ":0") || try == 20 {
				return nil, nil, nil, nil, err
			}
		}
		keep(tcp)
		for _, c := range udp {
			n.closes = append(n.closes, c.Close)
		}
	}
	if a := n.cfg.Listen.TLS; a != "" {
		if tlsl, err = net.Listen("tcp", a); err != nil {
			return nil, nil, nil, nil, err
		}
		n.tlsAddr = addrPort(keep(tlsl).Addr())
	}
	if a := n.cfg.Listen.HTTP; a != "" {
		if httpl, err = net.Listen("tcp", a); err != nil {
			return nil, nil, nil, nil, err
		}
		n.httpAddr = addrPort(keep(httpl).Addr())
	}
	return udp, tcp, tlsl, httpl, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	p, _ := netip.ParseAddrPort(a.String())
	return p
}

// describe makes the node's HS_SITE from where it listens.
func (n *Node) describe(primary bool) *record.Site {
	ip := n.irpAddr.Addr()
	if !ip.IsValid() {
		ip = n.httpAddr.Addr()
	}
	if n.cfg.Public != "" {
		ip = netip.MustParseAddr(n.cfg.Public)
	}
	admin := primary && n.cfg.Role != Recursive
	s := &record.Site{Version: 1, Major: irp.Latest.Major, Minor: irp.Latest.Minor, Serial: 1, Primary: primary, Hash: record.HashAll,
		Attributes: []record.Attribute{{Name: "desc", Value: n.cfg.Name}}}
	srv := record.Server{ID: 1, Addr: ip, PublicKey: n.key.Public().Data()}
	if n.irpAddr.IsValid() {
		port := uint32(n.irpAddr.Port())
		srv.Interfaces = append(srv.Interfaces,
			record.Interface{Query: true, Protocol: record.UDP, Port: port},
			record.Interface{Query: true, Admin: admin, Protocol: record.TCP, Port: port})
	}
	if n.httpAddr.IsValid() {
		srv.Interfaces = append(srv.Interfaces, record.Interface{Query: true, Admin: admin, Protocol: record.HTTP, Port: uint32(n.httpAddr.Port())})
	}
	s.Servers = []record.Server{srv}
	return s
}

// serve puts the doors on the wires.
func (n *Node) serve(d doors, udp []*burst.Conn, tcp, tlsl, httpl net.Listener) error {
	auth := &trust.Checker{Resolver: &n.keys, Secrets: d.secrets, Remote: n.verifyRemote}
	site := func() *record.Site { return n.place.Load() }
	cert, err := trust.SelfSigned(n.tlsKey, []string{n.cfg.Name, "localhost"}, addrs(n.place.Load()), n.now(), certLife)
	if err != nil {
		return err
	}
	n.irp = &irp.Server{
		Resolver: d.resolver, Registrar: d.registrar, Lister: d.lister, Secrets: d.secrets, Auth: auth,
		Site: site, Key: n.key, Recursive: n.registry == nil, Limits: irp.Limits{RateBytes: n.cfg.RateBytes}, Log: n.log, Now: n.now,
	}
	w := d
	if n.in != nil && d.registrar != nil {
		w = n.staffed(d)
	}
	n.web = &web.Server{
		Resolver: w.resolver, Registrar: w.registrar, Lister: w.lister, Feed: d.feed, Secrets: d.secrets, Auth: auth,
		Site: site, Tunnel: n.irp.Tunnel(), Certificate: cert, Name: n.cfg.Name, Log: n.log, Now: n.now,
	}
	n.irp.Answered, n.web.Answered = n.answered(), n.answered()
	if n.in != nil {
		n.web.Bearer, n.web.Cookie = n.in.accounts.Bearer, account.SessionCookie(n.cfg.Prefix)
	}
	n.web.Routes = n.routes()
	if n.spans != nil {
		n.web.Around = n.spans.around
	}
	n.resolver = d.resolver
	for _, c := range udp {
		n.goes("IRP over UDP", func(ctx context.Context) error { return n.irp.ServeUDP(ctx, c) })
	}
	if tcp != nil {
		n.goes("IRP over TCP", func(ctx context.Context) error { return n.irp.ServeTCP(ctx, tcp) })
	}
	if tlsl != nil {
		l := tls.NewListener(tlsl, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		n.goes("IRP over TLS", func(ctx context.Context) error { return n.irp.ServeTCP(ctx, l) })
	}
	if httpl != nil {
		n.goes("HTTP", func(ctx context.Context) error { return n.web.Serve(ctx, httpl) })
	}
	n.debug()
	n.metrics()
	return nil
}

const certLife = 10 * 365 * 24 * time.Hour

func addrs(s *record.Site) []netip.Addr {
	var out []netip.Addr
	for _, srv := range s.Servers {
		out = append(out, srv.Addr)
	}
	return out
}

// verifyRemote asks the server that keeps user's secret key whether signed answers the challenge.
func (n *Node) verifyRemote(ctx context.Context, user record.Ref, nonce, digest, signed []byte) (bool, error) {
	if n.recursor == nil {
		return false, problem.New(problem.AuthError, "the secret key of %s is kept elsewhere, and this node knows no root to find it by",
			"%s 的口令存放在别处，而本节点没有根提示，无法找到", user.Name)
	}
	name, err := id.ParseHandle(user.Name)
	if err != nil {
		return false, err
	}
	servers, err := n.client.Find(ctx, n.recursor, name, false)
	if err != nil {
		return false, err
	}
	for _, s := range servers {
		var ok bool
		if ok, err = n.client.VerifyRemote(ctx, s, user, nonce, digest, signed); err == nil {
			return ok, nil
		}
	}
	return false, err
}
