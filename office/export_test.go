package office

import (
	"context"

	"github.com/fujie-id/fujie/id"
)

// Round is one look at every application, with what it began.
func (o *Office) Round(ctx context.Context) bool {
	open := o.round(ctx)
	o.moves.Wait()
	return open
}

// Do does the task of one application.
func (o *Office) Do(ctx context.Context, v id.ID) error { return o.perform(ctx, v) }

var (
	LookAlike = lookAlike
	Skeleton  = skeleton
	Near      = near
	Mixed     = mixed
)

// OpenForm reads a signed form.
func (o *Office) OpenForm(signed string) (*Form, error) { return o.openForm(signed) }
