package recursor

import (
	"context"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Check holds the values of name, as somebody else gave them, against the chain of signatures from the root's key. They
// must be all that everybody may read, with the signature, as an answer to a Query with Certify and without a filter is.
// It returns Secure or Unsigned, or an error of kind problem.Bogus; Unreachable when the chain could not be looked up.
func (r *Recursor) Check(ctx context.Context, name id.ID, values []record.Value) (record.Trust, error) {
	if name.IsPrefix() {
		name = id.PrefixRecord(name.Prefix())
	}
	a := asker{ctx: ctx, budget: newBudget(r.c.MaxUpstream), steps: &steps{}}
	w, none, err := r.route(a, name, how{})
	if err != nil {
		return record.Unchecked, err
	}
	if none != nil {
		return record.Unchecked, problem.New(problem.Bogus, "nobody was given the prefix of %s, so that nobody can answer for it", "%s 的前缀未授权给任何机构，不可能有其答案", name)
	}
	p, err := r.prove(&w.authority, name, values, r.c.Now())
	if err != nil {
		// The delegation known here may be out of date.
		if next, ok := r.again(a, name, how{}, w); ok {
			p, err = r.prove(&next.authority, name, values, r.c.Now())
		}
	}
	if err != nil {
		return record.Unchecked, err
	}
	return p.trust, nil
}
