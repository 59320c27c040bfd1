package node

import "context"

// openInstitution opens what stands around the registry: the papers of the office and of its people, templates, rules,
// and the logs. All of it follows one reading of the registry's feed.
func (n *Node) openInstitution(ctx context.Context) error {
	if n.cfg.Plain {
		return nil
	}
	return n.openLedger(ctx)
}
