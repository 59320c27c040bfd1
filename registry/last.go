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

// Entry is what a record holds now: every value, secrets included, and the signature that came with it if it is a copy;
// Values is nil when there is none. No signature is made and no rule is asked. Only a node's own parts may ask; no wire
// offers it.
func (r *Registry) Entry(ctx context.Context, v id.ID) (record.Entry, error) {
	e := record.Entry{Change: record.Change{Op: record.Delete, ID: recordID(v)}}
	b, err := get(ctx, r.store, nil, appendRecordKey(nil, e.ID))
	if err != nil || b == nil {
		return e, err
	}
	s, err := openStored(b)
	if err != nil {
		return e, err
	}
	vs, err := s.values()
	if err != nil {
		return e, err
	}
	if seal, ok := s.sealed(); ok && !has(vs, seal.Index) {
		vs = append(vs, seal)
	}
	if vs == nil {
		vs = []record.Value{}
	}
	e.Op, e.Values = record.Create, vs
	return e, nil
}
