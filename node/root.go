package node

import (
	"context"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
)

// startRoot wires the root: it keeps the records of the top prefixes, signs its own record with its own key, and is
// its own hint.
func startRoot(ctx context.Context, n *Node) error {
	if err := n.openRegistry(ctx); err != nil {
		return err
	}
	udp, tcp, tlsl, httpl, err := n.listen()
	if err != nil {
		return err
	}
	n.place.Store(n.describe(true))
	if err := n.registry.Bootstrap(ctx, registry.Delegation{Sites: []*record.Site{n.place.Load()}, Keys: anchors(n.prefixKey)}); err != nil {
		return err
	}
	h := n.Hints()
	if err := h.Write(n.cfg.Hints); err != nil {
		return err
	}
	if err := n.openRecursor(h); err != nil {
		return err
	}
	n.keys.world = n.recursor
	if err := n.openPolicy(ctx); err != nil {
		return err
	}
	if err := n.openInstitution(ctx); err != nil {
		return err
	}
	return n.serve(n.authority(), udp, tcp, tlsl, httpl)
}

// Hints is what others must be told of a root node to find it and to check what it says.
func (n *Node) Hints() *Hints {
	return &Hints{Anchors: anchors(n.prefixKey), Sites: []*record.Site{n.place.Load()}}
}
