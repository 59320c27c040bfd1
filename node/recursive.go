package node

import "context"

// startRecursive wires a recursive node: it keeps nothing but what it learnt, and takes no writes.
func startRecursive(ctx context.Context, n *Node) error {
	hints, err := ReadHints(n.cfg.Hints)
	if err != nil {
		return err
	}
	if err := n.openRecursor(hints); err != nil {
		return err
	}
	n.keys.world = n.recursor
	udp, tcp, tlsl, httpl, err := n.listen()
	if err != nil {
		return err
	}
	n.place.Store(n.describe(false))
	return n.serve(doors{resolver: n.recursor}, udp, tcp, tlsl, httpl)
}
