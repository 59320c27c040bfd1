package registry

import (
	"context"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
)

// Last is the number of the last change that is here, 0 when there is none. A change that was acknowledged before the
// call has a number that is not greater.
func (r *Registry) Last(ctx context.Context) (uint64, error) {
	b, err := get(ctx, r.store, nil, changesKey)
	return number(b), err
}

// Entry is what a record holds now, in the form that the feed gives it in: secrets included, Values nil when there is
// none. Only a node's own parts may ask; no wire offers it.
func (r *Registry) Entry(ctx context.Context, v id.ID) (record.Entry, error) {
	e := record.Entry{Change: record.Change{Op: record.Create, ID: recordID(v)}}
	if _, err := r.fill(ctx, r.store, &e); err != nil {
		return e, err
	}
	if e.Values == nil {
		e.Op = record.Delete
	}
	return e, nil
}
