package node

import (
	"context"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/trace/history"
)

// Offline is a node's records while the node does not run, for the operator who sits at its folder: everything is
// allowed. A running node holds its store, and Open then says so.
type Offline struct {
	*registry.Registry
	n *Node
}

// Open opens the records of a node that does not run.
func Open(ctx context.Context, cfg *Config) (*Offline, error) {
	c := *cfg
	if err := c.fill(); err != nil {
		return nil, err
	}
	n := newNode(c, Options{})
	n.cfg.Mirror = nil
	if err := n.openRegistry(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return &Offline{n.registry, n}, nil
}

// Home makes the node answer for the prefixes of its configuration, as its start does.
func (o *Offline) Home(ctx context.Context) error {
	if o.n.cfg.Role == Root {
		return nil
	}
	return o.n.homeAll(ctx)
}

var operator = record.Identity{Operator: true}

// Resolve, Write, List, Count and Prefixes are the registry's, as its operator.
func (o *Offline) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	q.By = operator
	return o.Registry.Resolve(ctx, q)
}

func (o *Offline) Write(ctx context.Context, _ record.Identity, writes []record.Write) ([]record.Result, error) {
	return o.n.Write(ctx, operator, writes)
}

func (o *Offline) List(ctx context.Context, _ record.Identity, prefix, after string, limit int) ([]string, error) {
	return o.Registry.List(ctx, operator, prefix, after, limit)
}

func (o *Offline) Count(ctx context.Context, _ record.Identity, prefix string) (int64, error) {
	return o.Registry.Count(ctx, operator, prefix)
}

func (o *Offline) Prefixes(ctx context.Context, _ record.Identity, after string, limit int) ([]string, error) {
	return o.Registry.Prefixes(ctx, operator, after, limit)
}

// Close lets go of the store.
func (o *Offline) Close() error { return o.n.Close() }

// Events are the events of the node.
func (o *Offline) Events(ctx context.Context) (*history.History, error) {
	return history.Open(ctx, history.Config{Store: o.n.store, Now: o.n.now, Log: o.n.log})
}
