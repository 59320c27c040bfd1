package sim

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/irp"
	"github.com/fujie-id/fujie/wire/web"
)

// Access works on a running country from outside, over its nodes' public interfaces, with the keys in its folder:
// whoever may read the folder is every administrator at once.
type Access struct {
	State *State
	IRP   *irp.Client

	mu      sync.Mutex
	clients map[string]*web.Client
	homes   map[string]*NodeState // prefix → who keeps it, hosted ones included
}

// NewAccess opens the country that runs in a folder.
func NewAccess(s *State) *Access {
	return &Access{State: s, IRP: &irp.Client{}, clients: map[string]*web.Client{}}
}

// Close lets go of connections.
func (a *Access) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.IRP.Close()
	for _, c := range a.clients {
		c.Close()
	}
	a.clients = map[string]*web.Client{}
}

// Client speaks to a node as the administrator of its prefix.
func (a *Access) Client(n *NodeState) (*web.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.clients[n.Name]; c != nil && c.Base == n.HTTPS {
		return c, nil
	}
	c := &web.Client{Base: n.HTTPS, Pin: n.Pin}
	if n.Prefix != "" {
		key, err := readKey(node.PrefixKeyPath(n.Dir))
		if err != nil {
			return nil, err
		}
		c.User, c.Key = node.PrefixKeyRef(n.Prefix), key
	}
	a.clients[n.Name] = c
	return c, nil
}

// PrefixKey is the key of a node's prefix.
func PrefixKey(n *NodeState) (*trust.PrivateKey, error) { return readKey(node.PrefixKeyPath(n.Dir)) }

func readKey(path string) (*trust.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read the key %s", "无法读取密钥 %s", path)
	}
	return trust.ParsePrivatePEM(b, nil)
}

// Keeper is the node that takes writes for v: the one whose prefix it is or who hosts it; for a prefix record, the one above.
func (a *Access) Keeper(ctx context.Context, v id.ID) (*NodeState, error) {
	prefix := v.Prefix()
	if p, ok := v.Delegated(); ok {
		prefix = id.ParentPrefix(p)
		if prefix == "" {
			prefix = id.Root.Prefix()
		}
	}
	a.mu.Lock()
	homes := a.homes
	a.mu.Unlock()
	if n := homes[prefix]; n != nil {
		return n, nil
	}
	// Not known, or hosted since the last look: ask everybody who may host.
	homes = map[string]*NodeState{}
	for i := range a.State.Nodes {
		n := &a.State.Nodes[i]
		if n.Prefix == "" || n.Mirror {
			continue
		}
		homes[n.Prefix] = n
		if n.Role != node.Enterprise {
			continue
		}
		c, err := a.Client(n)
		if err != nil {
			return nil, err
		}
		for after := ""; ; {
			list, err := c.Prefixes(ctx, record.Identity{}, after, 1000)
			if err != nil {
				return nil, err
			}
			for _, p := range list {
				homes[p] = n
				after = p
			}
			if len(list) == 0 {
				break
			}
		}
	}
	a.mu.Lock()
	a.homes = homes
	a.mu.Unlock()
	if n := homes[prefix]; n != nil {
		return n, nil
	}
	return nil, problem.New(problem.NotHere, "no node of this country keeps %s; delegate the prefix first", "本国没有节点管理 %s；请先授权该前缀", prefix)
}

// EnsurePrefix makes a prefix of its own for an enterprise that has no node: hosted under the second level, signed by it, resolvable at
// once. It does nothing when the prefix is there already.
func (a *Access) EnsurePrefix(ctx context.Context, prefix, name string) error {
	parent := id.ParentPrefix(prefix)
	host := a.hostOf(parent)
	if host == nil {
		return problem.New(problem.NotHere, "no node hosts enterprises under %s; add hosting to it in the country's file", "%s 下没有托管节点；请在国家文件中为其加上 hosting", parent)
	}
	c, err := a.Client(host)
	if err != nil {
		return err
	}
	rec := id.PrefixRecord(prefix)
	if err := one(c.Write(ctx, record.Identity{}, []record.Write{{Op: record.Home, ID: rec}})); err != nil && !problem.Is(err, problem.Exists) {
		return err
	}
	site, err := a.site(ctx, host)
	if err != nil {
		return err
	}
	key, err := readKey(node.PrefixKeyPath(host.Dir))
	if err != nil {
		return err
	}
	return a.delegate(ctx, prefix, name, []*record.Site{site}, key.Public())
}

func (a *Access) hostOf(parent string) *NodeState {
	for i := range a.State.Nodes {
		if a.State.Nodes[i].Prefix == parent+"."+hostingCode {
			return &a.State.Nodes[i]
		}
	}
	return nil
}

func (a *Access) site(ctx context.Context, n *NodeState) (*record.Site, error) {
	e, err := endpoint(n)
	if err != nil {
		return nil, err
	}
	return a.IRP.SiteInfo(ctx, e)
}

// delegate makes the record of a prefix at its parent say this, unless it does.
func (a *Access) delegate(ctx context.Context, prefix, title string, sites []*record.Site, key trust.PublicKey) error {
	rec := id.PrefixRecord(prefix)
	keeper, err := a.Keeper(ctx, rec)
	if err != nil {
		return err
	}
	c, err := a.Client(keeper)
	if err != nil {
		return err
	}
	d := registry.Delegation{Prefix: prefix, Sites: sites, Keys: []trust.PublicKey{key}}
	want, err := d.Values()
	if err != nil {
		return err
	}
	if title != "" {
		want = append(want, textValue(500, "DESC", title))
	}
	have, err := c.Resolve(ctx, record.Query{ID: rec, PublicOnly: true, Authoritative: true, NoReferral: true})
	if err == nil && sameValues(want, have.Values) {
		return nil
	}
	return one(c.Write(ctx, record.Identity{}, []record.Write{{Op: record.Create, ID: rec, Values: want, Overwrite: true}}))
}

// sameValues reports whether have is want and what the parent signs onto it.
func sameValues(want, have []record.Value) bool {
	have = slices.DeleteFunc(slices.Clone(have), func(v record.Value) bool { return v.Type == record.TypeCert || v.Type == record.TypeSignature })
	return SameContent(want, have)
}

// SameContent reports whether two lists hold the same values, whatever their order and timestamps.
func SameContent(a, b []record.Value) bool {
	if len(a) != len(b) {
		return false
	}
	byIndex := func(vs []record.Value) []record.Value {
		vs = slices.Clone(vs)
		slices.SortFunc(vs, func(x, y record.Value) int { return int(x.Index) - int(y.Index) })
		return vs
	}
	a, b = byIndex(a), byIndex(b)
	var x, y []byte
	for i := range a {
		x, y = a[i].AppendDigested(x[:0]), b[i].AppendDigested(y[:0])
		if a[i].Index != b[i].Index || !bytes.Equal(x, y) {
			return false
		}
	}
	return true
}

// one is the outcome of a call with one write.
func one(res []record.Result, err error) error {
	if err != nil {
		return err
	}
	return res[0].Err
}

func endpoint(n *NodeState) (record.Endpoint, error) {
	a, err := netip.ParseAddrPort(n.IRP)
	return record.Endpoint{Addr: a, Protocol: record.TCP}, err
}
