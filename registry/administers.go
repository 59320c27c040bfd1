package registry

import (
	"context"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
)

// Administers is nil when by may read what is not public in the record rec, whether or not it is registered: for answers
// that are made up when they are asked for. Errors: problem.NotAdmin, problem.Forbidden, problem.AuthError.
func (r *Registry) Administers(ctx context.Context, by record.Identity, rec id.ID) error {
	rec = recordID(rec)
	v := &view{r: r, ctx: ctx}
	vs, _, err := v.values(appendRecordKey(nil, rec))
	if err != nil {
		return err
	}
	return r.administers(ctx, by, rec, vs)
}
