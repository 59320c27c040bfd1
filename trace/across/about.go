package across

import (
	"context"

	"github.com/fujie-id/fujie/trace/graph"
)

// About is a Source that has asked already, of everybody whom a trace of q leads to, what they have: an item keeps its identifier while it goes from hand to hand in boxes, and those
// who had it are found by the boxes' events, not by its own. What else is asked of it afterwards is asked as of Source.
func (a *Across) About(ctx context.Context, q graph.Question) (*Source, error) {
	_, s, err := a.gather(ctx, q, nil)
	if err != nil {
		return nil, err
	}
	return &Source{s: s}, nil
}
