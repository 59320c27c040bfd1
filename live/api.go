package live

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
)

// State is how a source is doing.
type State struct {
	Name        string    `json:"name" doc:"The source's name in the configuration"`
	State       string    `json:"state" enum:"closed,half-open,open" doc:"Of its circuit: closed, it is asked; open, nobody asks it for a while"`
	Asked       uint64    `json:"asked" doc:"Questions put to it"`
	Failed      uint64    `json:"failed" doc:"Of them, those that it did not answer as its rule says"`
	Refused     uint64    `json:"refused" doc:"Questions not put because its circuit was open"`
	Busy        uint64    `json:"busy" doc:"Questions given up because too many waited"`
	LastMillis  float64   `json:"lastMillis" doc:"How long the last question took, in milliseconds"`
	LastError   string    `json:"lastError,omitempty" doc:"What it did wrong last, without credentials"`
	LastErrorAt time.Time `json:"lastErrorAt,omitzero"`
	LastRule    string    `json:"lastRule,omitempty" doc:"The rule that this was about"`
}

// States are the sources, by name.
func (r *Resolver) States() []State {
	out := []State{}
	for _, name := range slices.Sorted(maps.Keys(r.lanes)) {
		l := r.lanes[name]
		l.mu.Lock()
		out = append(out, l.state)
		l.mu.Unlock()
	}
	return out
}

// API adds the room's operations. prefix is the node's, whose operators may look.
func (r *Resolver) API(a *api.API, prefix string) {
	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/live-sources", OperationID: "list-live-sources", Tags: []string{"Live values"},
		Summary:     "List the systems that live values come from (实时取数的数据源)",
		Description: "How each source is doing: its circuit, counts, the last error. For operators and auditors.",
	}, func(ctx context.Context, in *api.PageInput) (*api.Body[api.Page[State]], error) {
		if err := api.From(ctx).Need(prefix, api.Operator, api.Auditor); err != nil {
			return nil, err
		}
		page := api.Page[State]{Items: []State{}}
		for _, s := range r.States() {
			if s.Name <= in.After {
				continue
			}
			if len(page.Items) == in.Limit {
				page.Next = page.Items[in.Limit-1].Name
				break
			}
			page.Items = append(page.Items, s)
		}
		return &api.Body[api.Page[State]]{Body: page}, nil
	})
}
