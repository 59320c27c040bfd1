package node

import (
	"context"
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/template"
	"github.com/fujie-id/fujie/trust/ledger"
	"github.com/fujie-id/fujie/trust/policy"
)

// newPolicy makes the rules about who sees what, before the registry that asks them. Until they were read nothing that
// may have a rule is shown.
func (n *Node) newPolicy() (err error) {
	if n.cfg.Plain {
		return nil
	}
	n.policy, err = policy.New(policy.Config{Prefix: n.cfg.Prefix, Hosted: n.hosted, Store: n.store, Groups: &n.keys, Classes: classes{n}, Elsewhere: n.carry,
		Changed: func(prefix string) { n.registry.Forget(prefix) }, Now: n.now, Log: n.log})
	return err
}

// openPolicy reads the rules, and sets their guard before the registry.
func (n *Node) openPolicy(ctx context.Context) error {
	if n.policy == nil {
		return nil
	}
	if err := n.policy.Open(ctx, papers{n.registry, n}); err != nil {
		return err
	}
	c := template.Config{Prefix: n.cfg.Prefix, Hosted: n.hosted, Registry: papers{n.registry, n}, Store: n.store, Dir: filepath.Join(n.cfg.Data, "rechecks"), Now: n.now, Log: n.log}
	if n.recursor != nil {
		c.World = n.recursor
	}
	t, err := template.New(ctx, c)
	if err != nil {
		return err
	}
	n.templates.Store(t)
	n.policy.Refresh()
	n.top = &template.Guard{Templates: t, Next: n.top, Reader: n.registry, Administers: n.registry.Administers}
	n.top = &policy.Guard{Policy: n.policy, Next: n.top, Reader: n.registry}
	n.every(time.Minute, func(ctx context.Context) {
		if n.sites != nil && n.sites.Role() != "primary" || n.cfg.Mirror != nil {
			return
		}
		if err := n.policy.Sweep(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("grants that are over could not be closed", "err", err)
		}
	})
	return nil
}

// accesses is the audit trail as the entries of a log: what is in it is for the owner of the record alone.
type accesses struct{ trail *policy.Audit }

func (a accesses) Entries(ctx context.Context, after uint64, limit int) ([]ledger.Entry, error) {
	list, err := a.trail.Entries(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	out := make([]ledger.Entry, len(list))
	for i := range list {
		b, err := json.Marshal(list[i])
		if err != nil {
			return nil, err
		}
		out[i] = ledger.Entry{Seq: list[i].Seq, Time: list[i].Time, Private: b}
		if v, err := id.ParseHandle(list[i].ID); err == nil {
			out[i].Owner = v.Prefix()
		}
	}
	return out, nil
}

// classes is what templates say of who sees the properties of their records.
type classes struct{ n *Node }

func (c classes) Class(ctx context.Context, name string) (policy.Class, bool) {
	t := c.n.templates.Load()
	if t == nil {
		return policy.Class{}, false
	}
	all, items, known := t.Class(ctx, name)
	out := policy.Class{Default: policy.Visibility(all), Items: map[string]policy.Visibility{}}
	for item, v := range items {
		out.Items[handle.Fold(item)] = policy.Visibility(v)
	}
	return out, known
}

var _ record.Governor = (*policy.Policy)(nil)
