package node

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/irp"
)

// Peer is another node, as it is reached and recognised.
type Peer struct {
	// Name is unique among the sites of a prefix.
	Name string `yaml:"name"`
	// URL is its HTTPS address, https://192.0.2.1:8080.
	URL string `yaml:"url"`
	// Key is the fingerprint of the key that it shows in TLS, as `fujie key show` prints it. Danger: without it anybody on
	// the way can answer in its place.
	Key string `yaml:"key"`
	// Signs is the fingerprint of its server key, where that is another one (SM2 nodes show a P-256 key in TLS).
	Signs string `yaml:"signs"`
}

// Sites makes this node one of several sites of its prefix, of which one takes changes and the others take over from it.
// All of them share the prefix key and this list.
type Sites struct {
	// Self is this site's name in All.
	Self string `yaml:"self"`
	// All is every site. The first takes changes at the very beginning; the order is that in which they take over.
	All []Peer `yaml:"all"`
	// Neighbours are nodes elsewhere whose probes count too.
	Neighbours []Peer `yaml:"neighbours"`
	// Hold is how many other sites must hold a change before it is acknowledged. Danger: with 0, the default, a take-over
	// loses what no other site had copied yet.
	Hold int `yaml:"hold"`
	// Interval is the time between two probes of the primary. Default: 1s.
	Interval time.Duration `yaml:"interval"`
	// Wait is how long a change waits to be held by the others. Default: 10s.
	Wait time.Duration `yaml:"wait"`
	// Manual leaves taking over to people: POST /api/site/promote.
	Manual bool `yaml:"manual"`
}

// check says what is wrong with the list.
func (s *Sites) check() error {
	found := false
	for _, p := range s.All {
		found = found || p.Name == s.Self
		if p.Name == "" || p.URL == "" {
			return problem.New(problem.BadRequest, "sites.all: every site has a name and a url", "sites.all：每个站点须有 name 与 url")
		}
	}
	if !found {
		return problem.New(problem.BadRequest, "sites.self is %q, which is not in sites.all", "sites.self 为 %q，但不在 sites.all 中", s.Self)
	}
	if s.Hold < 0 || s.Hold >= len(s.All) {
		return problem.New(problem.BadRequest, "sites.hold is %d; with %d sites it can be 0 to %d", "sites.hold 为 %d；共 %d 个站点时可取 0 到 %d", s.Hold, len(s.All), len(s.All)-1)
	}
	return nil
}

// first reports whether this site is the one that takes changes at the very beginning.
func (s *Sites) first() bool { return s == nil || s.All[0].Name == s.Self }

func peers(list []Peer) []site.Peer {
	var out []site.Peer
	for _, p := range list {
		out = append(out, site.Peer{Name: p.Name, URL: p.URL, Pin: p.Key, Key: p.Signs})
	}
	return out
}

// joinSites makes the node one of its prefix's sites; writes then go through the Site to next.
func (n *Node) joinSites(ctx context.Context, next record.Registrar) (err error) {
	c := n.cfg.Sites
	var admins []record.Ref
	for _, a := range n.cfg.Admins {
		r, err := record.ParseRef(a)
		if err != nil {
			return err
		}
		admins = append(admins, r)
	}
	n.sites, err = site.New(ctx, site.Config{
		Prefix: n.cfg.Prefix, Name: c.Self, Sites: peers(c.All), Neighbours: peers(c.Neighbours),
		Hold: c.Hold, Interval: c.Interval, Wait: c.Wait, Manual: c.Manual,
		User: PrefixKeyRef(n.cfg.Prefix), Key: n.prefixKey, Admins: admins, NodeKey: n.key,
		Registry: n.registry, Next: next, Folder: filepath.Join(n.cfg.Data, "set-aside"),
		Publish: func(ctx context.Context) error {
			return n.atParent(ctx, func(p site.Parent) error { return site.Redelegate(ctx, p, n.cfg.Prefix, n.describe(true)) })
		},
		Named: func(ctx context.Context) (named bool, err error) {
			err = n.atParent(ctx, func(p site.Parent) error {
				named, err = site.NamedPrimary(ctx, p, n.cfg.Prefix, n.place.Load())
				return err
			})
			return named, err
		},
		Changed: func(s site.State) {
			n.log.Warn("the role of this site changed", "role", s.Role, "term", s.Term, "primary", s.Primary)
			if s.Role == site.Primary {
				n.place.Store(n.describe(true))
				if err := n.sign(n.ctx); err != nil && n.ctx.Err() == nil {
					n.log.Error("the keys of the prefixes kept here could not be read", "err", err)
				}
			} else {
				n.place.Store(n.describe(false))
			}
		},
		Now: n.now, Log: n.log,
	})
	return err
}

// atParent does f at who keeps the delegation of this node's prefix, as the holder of the prefix's key.
func (n *Node) atParent(ctx context.Context, f func(site.Parent) error) error {
	if n.recursor == nil {
		return problem.New(problem.Unreachable, "this node knows no root, and so not its parent: give it hints.json", "本节点没有根提示，无法找到上级：请配置 hints.json")
	}
	servers, err := n.client.Find(ctx, n.recursor, id.PrefixRecord(n.cfg.Prefix), true)
	if err != nil {
		return err
	}
	for _, s := range servers {
		var a *irp.Admin
		if a, err = n.client.Admin(ctx, s, irp.Login{As: PrefixKeyRef(n.cfg.Prefix), Key: n.prefixKey}, irp.AdminOptions{NoSession: true}); err != nil {
			continue
		}
		if err = f(a); !problem.Is(err, problem.Unreachable) {
			return err
		}
	}
	return err
}
