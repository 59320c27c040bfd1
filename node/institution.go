package node

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/account"
	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/escrow"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/live"
	"github.com/fujie-id/fujie/meter"
	"github.com/fujie-id/fujie/mint"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/recursor"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// institution is what stands around the registry of a node that answers for a prefix.
type institution struct {
	accounts *account.Accounts
	meter    *meter.Meter
	mint     *mint.Mint
	live     *live.Resolver // nil without rules
	desk     *escrow.Desk
	office   *office.Office // nil at the root, whose few delegations are written by hand
}

// papers is the registry as the offices of this node use it: they read past every rule, and what they write goes the way
// of all writes, to the other sites too.
type papers struct {
	*registry.Registry
	n *Node
}

func (p papers) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	return p.n.Write(ctx, by, writes)
}

// openInstitution opens what stands around the registry: the papers of the office and of its people, templates, rules,
// and the logs. All of it follows one reading of the registry's feed.
func (n *Node) openInstitution(ctx context.Context) (err error) {
	if n.cfg.Plain {
		return nil
	}
	after, err := n.registry.Last(ctx)
	if err != nil {
		return err
	}
	in := &institution{}
	desk := papers{n.registry, n}
	providers, err := n.cfg.providers()
	if err != nil {
		return err
	}
	// Sessions are signed by a key that every library of JSON Web Tokens knows.
	in.accounts, err = account.New(ctx, account.Config{Prefix: n.cfg.Prefix, Hosted: n.hosted, Registry: desk, Key: n.tlsKey,
		Origin: n.cfg.Origin, Providers: providers, Keys: n.keyAt, DigestLogin: n.cfg.SNMS != nil && n.cfg.SNMS.DigestLogin, Now: n.now, Log: n.log})
	if err != nil {
		return err
	}
	if err := n.openOutside(); err != nil {
		return err
	}
	if n.cfg.Role != Root {
		c := office.Config{Prefix: n.cfg.Prefix, Registry: desk, Feed: n.registry, Key: n.prefixKey, Site: n.place.Load, Host: n.host, Push: n.push, Now: n.now, Log: n.log}
		if n.outside != nil {
			c.Check = func(ctx context.Context, prefix string) error {
				a, err := n.outside.Resolve(ctx, record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true, Authoritative: true})
				if err == nil && a.Trust != record.Secure {
					err = problem.New(problem.Bogus, "%s resolves, but its chain of signatures is %s", "%s 可解析，但其签名链为 %s", prefix, a.Trust)
				}
				return err
			}
		}
		if in.office, err = office.New(ctx, c); err != nil {
			return err
		}
		n.top = in.office.Guard(n.top) // no writes under a prefix in the last moments of its move
		n.goes("office", n.whilePrimary(in.office.Run))
	}
	n.goes("accounts", n.whilePrimary(in.accounts.Run))
	in.mint, err = mint.New(ctx, mint.Config{Prefix: n.cfg.Prefix, Hosted: n.hosted, Registry: desk, Dir: filepath.Join(n.cfg.Data, "codes"), Now: n.now, Log: n.log})
	if err != nil {
		return err
	}
	if t := n.templates.Load(); t.Rechecks != nil {
		n.goes("rechecks", n.whilePrimary(t.Rechecks.Run))
	}
	n.goes("mint", n.whilePrimary(in.mint.Run))
	if err := n.openEscrow(in); err != nil {
		return err
	}
	if err := n.openLive(in); err != nil {
		return err
	}
	n.in = in
	if err := n.openLedger(ctx); err != nil {
		return err
	}
	if err := n.openMeter(); err != nil {
		return err
	}
	if err := n.openTracing(ctx); err != nil {
		return err
	}
	if err := n.openPartners(); err != nil {
		return err
	}
	if err := n.openBusiness(ctx); err != nil {
		return err
	}
	n.goes("papers", func(ctx context.Context) error {
		each := func(ctx context.Context, c *record.Change) {
			if err := in.accounts.Heard(ctx, c.ID); err != nil && ctx.Err() == nil {
				n.log.Error("an account could not be read again", "id", c.ID, "err", err)
			}
			n.heardPaper(ctx, c.ID)
			if n.tracing != nil {
				if err := n.tracing.heard(ctx, c.ID); err != nil && ctx.Err() == nil {
					n.log.Error("a paper about events could not be read again", "id", c.ID, "err", err)
				}
			}
			if n.business != nil {
				if err := n.business.desk.Heard(ctx, c.ID); err != nil && ctx.Err() == nil {
					n.log.Error("a paper about solutions could not be read again", "id", c.ID, "err", err)
				}
				if err := n.business.labels.Heard(ctx, c.ID); err != nil && ctx.Err() == nil {
					n.log.Error("a label could not be read again", "id", c.ID, "err", err)
				}
			}
			if err := n.policy.Heard(ctx, c.ID); err != nil && ctx.Err() == nil {
				n.log.Error("a rule could not be read again", "id", c.ID, "err", err)
			}
		}
		if in.office == nil {
			return document.FollowEach(ctx, n.registry, after, each, nil)
		}
		applications, organisations := in.office.Shelves()
		return document.FollowEach(ctx, n.registry, after, each, nil, applications, organisations)
	})
	return nil
}

// whilePrimary runs f as long as this node takes changes: what f does on one site of a prefix must not be done on another.
func (n *Node) whilePrimary(f func(context.Context) error) func(context.Context) error {
	switch {
	case n.cfg.Mirror != nil:
		return func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	case n.sites == nil:
		return f
	}
	return func(ctx context.Context) error {
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		var end context.CancelFunc
		var done chan error
		for {
			switch on := n.sites.Role() == site.Primary; {
			case on && end == nil:
				var run context.Context
				run, end = context.WithCancel(ctx)
				done = make(chan error, 1)
				go func() { done <- f(run) }()
			case !on && end != nil:
				end()
				<-done
				end, done = nil, nil
			}
			select {
			case <-ctx.Done():
				if end != nil {
					end()
					<-done
				}
				return ctx.Err()
			case err := <-done:
				end()
				return err
			case <-t.C:
			}
		}
	}
}

// heardPaper lets templates and code rules be read again that somebody wrote past their rooms.
func (n *Node) heardPaper(ctx context.Context, v id.ID) {
	t := n.templates.Load()
	if t == nil || !strings.Contains(v.Suffix(), "_") {
		return
	}
	err := t.Heard(ctx, v)
	if err == nil && strings.HasPrefix(v.Suffix(), "META_") {
		n.policy.Refresh()
	}
	if err == nil {
		err = n.in.mint.Heard(ctx, v)
	}
	if err != nil && ctx.Err() == nil {
		n.log.Error("a paper could not be read again", "id", v, "err", err)
	}
}

// openEscrow readies backups and deposits of the running node.
func (n *Node) openEscrow(in *institution) error {
	var admins []record.Ref
	for _, a := range n.cfg.Admins {
		r, err := record.ParseRef(a)
		if err != nil {
			return err
		}
		admins = append(admins, r)
	}
	in.desk = &escrow.Desk{Admins: admins, Log: n.log, Now: n.now}
	// A store that is shared is backed up with its own tools.
	if dir, ok := storeFolder(n.cfg.Store); ok {
		in.desk.Node = escrow.Node{Name: n.cfg.Name, Folder: n.cfg.Data, Skip: []string{dir}, Store: n.store, Now: n.now}
	}
	c := n.cfg.Escrow
	if c == nil {
		return nil
	}
	var to []escrow.Recipient
	for _, text := range c.Recipients {
		r, err := escrow.ParseRecipient(text)
		if err != nil {
			return err
		}
		to = append(to, r)
	}
	place, err := escrow.Folder(c.Folder)
	if err != nil {
		return err
	}
	n.closes = append(n.closes, place.Close)
	in.desk.LogTo = filepath.Join(n.cfg.Data, "escrow.log")
	in.desk.Make = func(ctx context.Context, k escrow.Kind) (*escrow.Manifest, error) {
		return escrow.Make(ctx, escrow.Config{Source: n.registry, Place: place, Prefix: n.cfg.Prefix, Kind: k, To: to, Key: n.prefixKey, Log: in.desk.LogTo})
	}
	n.goes("escrow", in.desk.Run)
	return nil
}

// storeFolder is the folder of an embedded store.
func storeFolder(at string) (dir string, ok bool) {
	u, err := url.Parse(at)
	switch {
	case err != nil || u.Scheme == "":
		return at, true
	case u.Scheme == "pebble":
		return u.Path, true
	}
	return "", false
}

// openLive readies the values that are fetched from their owner's systems.
func (n *Node) openLive(in *institution) (err error) {
	if len(n.cfg.Live.Rules) == 0 {
		return nil
	}
	in.live, err = live.New(live.Config{Next: n.registry, Ready: n.registry, Governor: n.policy, Rights: n.registry.Administers, Sign: n.registry.Sign,
		Secret: secret, Declaration: n.cfg.Live, Now: n.now, Log: n.log})
	if err == nil {
		n.closes = append(n.closes, in.live.Close)
	}
	return err
}

// secret reads a credential by its reference.
func secret(ref string) (string, error) {
	kind, name, _ := strings.Cut(ref, ":")
	var v string
	switch kind {
	case "env":
		v = os.Getenv(name)
	case "file":
		b, err := os.ReadFile(name)
		if err != nil {
			return "", problem.Wrap(err, problem.BadRequest, "the credential %s cannot be read", "无法读取凭据 %s", ref)
		}
		v = strings.TrimSpace(string(b))
	}
	if v == "" {
		return "", problem.New(problem.BadRequest, "the credential %q is empty; write env:NAME or file:PATH", "凭据 %q 为空；请写成 env:名称 或 file:路径", ref)
	}
	return v, nil
}

// hosted is the prefixes that are kept here beside the node's own.
func (n *Node) hosted() []string {
	var out []string
	for after := ""; ; {
		list, err := n.registry.Prefixes(n.ctx, operator, after, 1000)
		if err != nil || len(list) == 0 {
			return out
		}
		for _, p := range list {
			if after = p; p != n.cfg.Prefix {
				out = append(out, p)
			}
		}
	}
}

// host makes the node answer for a prefix, or stop to.
func (n *Node) host(ctx context.Context, prefix string, on bool) error {
	w := record.Write{Op: record.Home, ID: id.PrefixRecord(prefix)}
	if !on {
		w.Op = record.Unhome
	}
	res, err := n.Write(ctx, operator, []record.Write{w})
	if err != nil {
		return err
	}
	if err := res[0].Err; err != nil && !problem.Is(err, problem.Exists) && !problem.Is(err, problem.NotFound) && !problem.Is(err, problem.NotHere) {
		return err
	}
	return nil
}

// outsider asks as a stranger would, who has just come: from the root down, with nothing remembered, so that what was
// delegated a moment ago is seen and what was known before is not believed.
type outsider struct {
	config recursor.Config
}

// openOutside gets ready to ask from outside.
func (n *Node) openOutside() error {
	if n.recursor == nil {
		return nil
	}
	h, err := ReadHints(n.cfg.Hints)
	if err != nil {
		return err
	}
	n.outside = &outsider{recursor.Config{Ask: n.client, Hints: h.Sites, Anchors: h.Anchors, Now: n.now, CacheBytes: 1 << 16, AllowPrivate: n.cfg.AllowPrivate}}
	return nil
}

// Resolve implements record.Resolver.
func (o *outsider) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	r, err := recursor.New(o.config)
	if err != nil {
		return record.Answer{}, err
	}
	defer r.Close()
	return r.Resolve(ctx, q)
}

// push opens the node at a site, over HTTPS, as the holder of key.
func (n *Node) push(ctx context.Context, s *record.Site, user record.Ref, key *trust.PrivateKey) (office.Target, error) {
	for i := range s.Servers {
		srv := &s.Servers[i]
		pub, err := trust.ParsePublic(srv.PublicKey)
		if err != nil {
			continue
		}
		for _, f := range srv.Interfaces {
			if f.Protocol != record.HTTP && f.Protocol != record.HTTPS || f.Port > 65535 {
				continue
			}
			at := netip.AddrPortFrom(srv.Addr, uint16(f.Port))
			if !n.cfg.AllowPrivate && !at.Addr().IsGlobalUnicast() || !n.cfg.AllowPrivate && at.Addr().IsPrivate() {
				return nil, problem.New(problem.Forbidden, "the site is at the private address %s; allow-private lets this node go there", "站点位于内网地址 %s；配置 allow-private 后方可访问", at)
			}
			return &web.Client{Base: "https://" + net.JoinHostPort(at.Addr().String(), strconv.Itoa(int(at.Port()))), Pin: pub.Fingerprint(), User: user, Key: key}, nil
		}
	}
	return nil, problem.New(problem.BadValue, "the site has no server with a key and HTTP: say both in the application", "站点没有带密钥并提供 HTTP 的服务器：请在申请中写明")
}

// caller says who makes a request to our own interface, and what they may do.
func (n *Node) caller(r *http.Request) (api.Caller, error) {
	who, err := n.web.Identify(r)
	if err != nil {
		return api.Caller{}, err
	}
	return n.in.accounts.Caller(r.Context(), who)
}
