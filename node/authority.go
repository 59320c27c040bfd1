package node

import (
	"context"
	"os"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/recursor"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/open"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// startAuthority wires a node that answers for a prefix: national, second-level and enterprise nodes differ in their
// prefix and in nothing else. It resolves the identities of those who come to it through the hierarchy, so it needs the root's
// hints; without them it answers all the same, and knows its own administrator only.
func startAuthority(ctx context.Context, n *Node) error {
	if err := n.openRegistry(ctx); err != nil {
		return err
	}
	if err := n.homeAll(ctx); err != nil {
		return err
	}
	udp, tcp, tlsl, httpl, err := n.listen()
	if err != nil {
		return err
	}
	n.place.Store(n.describe(n.cfg.Mirror == nil && n.cfg.Sites.first()))
	hints, err := ReadHints(n.cfg.Hints)
	switch {
	case err == nil:
		if err := n.openRecursor(hints); err != nil {
			return err
		}
		n.keys.world = n.recursor
	case !os.IsNotExist(err) && problem.KindOf(err) != problem.BadRequest:
		return err
	default:
		n.log.Warn("no root hints: only this node's own administrators are known", "err", err)
	}
	if err := n.follow(ctx); err != nil {
		return err
	}
	if err := n.openPolicy(ctx); err != nil {
		return err
	}
	if n.cfg.Sites != nil {
		if err := n.joinSites(ctx, n.top); err != nil {
			return err
		}
		n.top = n.sites
		n.goes("sites", n.sites.Run)
	}
	if err := n.openInstitution(ctx); err != nil {
		return err
	}
	if err := n.serve(n.authority(), udp, tcp, tlsl, httpl); err != nil {
		return err
	}
	return n.beginEvents(ctx)
}

// openRegistry opens the store and the registry on it, with the keys of every prefix that is kept here.
func (n *Node) openRegistry(ctx context.Context) (err error) {
	if n.prefixKey, err = EnsureKey(PrefixKeyPath(n.cfg.Data), n.cfg.Algorithm); err != nil {
		return err
	}
	if n.store, err = open.Open(ctx, n.cfg.Store, n.log); err != nil {
		return err
	}
	n.closes = append(n.closes, n.store.Close)
	var admins []record.Ref
	for _, a := range n.cfg.Admins {
		r, err := record.ParseRef(a)
		if err != nil {
			return err
		}
		admins = append(admins, r)
	}
	if err := n.newPolicy(); err != nil {
		return err
	}
	var governor record.Governor
	if n.policy != nil {
		governor = n.policy
	}
	n.registry, err = registry.Open(ctx, registry.Config{
		Store: n.store, Governor: governor, Admins: admins, Followers: []record.Ref{PrefixKeyRef(n.cfg.Prefix)}, Groups: &n.keys,
		HotBytes: int64(n.cfg.HotMB) << 20, ReadOnly: n.cfg.Mirror != nil, Now: n.now,
	})
	if err != nil {
		return err
	}
	n.keys.add(n.cfg.Prefix, n.prefixKey)
	n.keys.local = n.registry
	n.top = n.registry
	if err := n.sign(ctx); err != nil {
		return err
	}
	n.every(renewEvery, func(ctx context.Context) {
		if _, err := n.registry.Renew(ctx); err != nil {
			n.log.Error("signatures could not be renewed", "err", err)
		}
	})
	return nil
}

// sign gives the registry the node's prefix key for every prefix that is kept here: hosted enterprises are signed for by their
// host, whose key their delegation names.
func (n *Node) sign(ctx context.Context) error {
	keys := []registry.SigningKey{{Prefix: n.cfg.Prefix, Ref: PrefixKeyRef(n.cfg.Prefix), Key: n.prefixKey}}
	for after := ""; ; {
		list, err := n.registry.Prefixes(ctx, operator, after, 1000)
		if err != nil {
			return err
		}
		for _, p := range list {
			if p != n.cfg.Prefix {
				keys = append(keys, registry.SigningKey{Prefix: p, Ref: PrefixKeyRef(p), Key: n.prefixKey})
			}
			after = p
		}
		if len(list) == 0 {
			break
		}
	}
	n.registry.SetKeys(keys)
	return nil
}

// homeAll makes the node answer for the prefixes of its configuration.
func (n *Node) homeAll(ctx context.Context) error {
	if n.cfg.Mirror != nil || !n.cfg.Sites.first() {
		return nil // the node that it follows says what there is to answer for
	}
	var writes []record.Write
	for _, p := range append([]string{n.cfg.Prefix}, n.cfg.Homed...) {
		v, err := id.ParseHandle(p)
		if err != nil {
			return err
		}
		writes = append(writes, record.Write{Op: record.Home, ID: id.PrefixRecord(v.Prefix())})
	}
	res, err := n.Write(ctx, operator, writes)
	for i := range res {
		if err == nil && !problem.Is(res[i].Err, problem.Exists) {
			err = res[i].Err
		}
	}
	return err
}

// Write implements record.Registrar: the registry's, and the keys follow when a prefix comes or goes.
func (n *Node) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	began := n.now()
	res, err := n.top.Write(ctx, by, writes)
	if n.in != nil && n.in.meter != nil && !by.Operator {
		n.in.meter.Recorder().Registered(len(writes), n.now().Sub(began), err == nil)
	}
	if err != nil {
		return nil, err
	}
	for i, w := range writes {
		if (w.Op == record.Home || w.Op == record.Unhome) && res[i].Err == nil {
			return res, n.sign(ctx)
		}
	}
	return res, nil
}

func (n *Node) authority() doors {
	d := doors{resolver: n.registry, registrar: n, lister: n.registry, feed: n.registry, secrets: n.registry}
	if n.sites != nil {
		d.feed = n.sites
	}
	if n.in != nil && n.in.live != nil {
		d.resolver = n.in.live
	}
	return d
}

func (n *Node) openRecursor(h *Hints) (err error) {
	c := recursor.Config{
		Ask: n.client, Hints: h.Sites, Anchors: h.Anchors, Now: n.now,
		CacheBytes: int64(n.cfg.CacheMB) << 20, AllowPrivate: n.cfg.AllowPrivate,
	}
	if n.spans != nil {
		c.Ask = asking{n.client, n.spans}
	}
	if n.registry != nil {
		c.Local = n.registry
	}
	if n.recursor, err = recursor.New(c); err != nil {
		return err
	}
	n.closes = append(n.closes, func() error { n.recursor.Close(); return nil })
	return nil
}

// follow begins to mirror the node that the configuration names.
func (n *Node) follow(ctx context.Context) error {
	m := n.cfg.Mirror
	if m == nil {
		return nil
	}
	feed := &web.Client{Base: m.Of, Pin: m.Key, User: PrefixKeyRef(n.cfg.Prefix), Key: n.prefixKey}
	n.mirror = mirror.New(mirror.Config{Feed: feed, Into: n.registry, Log: n.log, Now: n.now})
	n.goes("mirror", n.mirror.Run)
	return nil
}

func anchors(k *trust.PrivateKey) []trust.PublicKey { return []trust.PublicKey{k.Public()} }
