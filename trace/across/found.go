package across

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
)

// Found is what has to be called back, and who has it.
type Found struct {
	Set      *graph.Set
	Holders  map[string][]graph.Affected // by prefix: who had each thing last, and to whom it was on its way
	Hops     []graph.Hop
	Evidence *Evidence
	Complete bool
}

// RecallSet finds what has to be called back across all enterprises, and who holds it. Errors are those of Trace.
func (a *Across) RecallSet(ctx context.Context, q graph.RecallQuestion, found func(graph.Step)) (*Found, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 1_000_000
	}
	answer, s, err := a.gather(ctx, graph.Question{Things: q.Things, Down: true, From: q.From, To: q.To, Depth: q.Depth, Limit: limit, FanOut: q.FanOut, Timeout: q.Timeout, Recall: q.Recall}, found)
	if err != nil {
		return nil, err
	}
	out := &Found{Holders: map[string][]graph.Affected{}, Hops: answer.Hops, Evidence: s.evidence}
	if out.Set, err = graph.RecallSet(ctx, s.source(), q, nil); err != nil {
		return nil, err
	}
	for i := range out.Set.Things {
		t := &out.Set.Things[i]
		if t.Stop == "" {
			t.Stop = s.stops[t.Key]
		}
		if t.Carrier || t.Ended {
			continue
		}
		for _, p := range s.holders(ctx, t.Key, t.Inside, q.To) {
			out.Holders[p] = append(out.Holders[p], *t)
		}
	}
	out.Complete = answer.Complete && out.Set.Complete
	out.Set.Complete = out.Complete
	return out, nil
}

// holders are who had a thing last, by its own last event or that of what it is in, and to whom that event sends it.
func (s *session) holders(ctx context.Context, thing, inside string, to time.Time) []string {
	var last *epcis.Event
	for _, key := range []string{thing, inside} {
		if key == "" {
			continue
		}
		for e, err := range s.pool.Touching(ctx, key, time.Time{}, to) {
			if err != nil {
				break
			}
			if last == nil || !e.Time.Before(last.Time) {
				last = e
			}
		}
	}
	if last == nil {
		if p := prefixOf(thing); p != "" {
			return []string{p}
		}
		return nil
	}
	owner := s.a.cfg.Prefix
	if k, own := s.pool.whose(last.ID); !own && k != nil {
		owner = k.owner
	}
	out := []string{owner}
	for i := range last.Destinations {
		if p := prefixOf(epcis.Key(last.Destinations[i].ID)); p != "" && p != owner {
			out = append(out, p)
		}
	}
	return out
}

// Post sends something to another enterprise's node, as this one: body to path at the host of its event service, signed. Errors: problem.Forbidden when it is refused, problem.Unreachable,
// problem.Bogus.
func (a *Across) Post(ctx context.Context, to, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Limits.Ask)
	defer cancel()
	to = handle.Fold(to)
	if prefixOf(to+"/x") == "" || !strings.HasPrefix(path, "/") {
		return nil, problem.New(problem.BadValue, "%q is no prefix", "%q 不是前缀", clip(to))
	}
	at, err := a.service(ctx, to, "")
	if err != nil {
		if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) || problem.Is(err, problem.NotHere) {
			err = problem.Wrap(err, problem.Unreachable, "%s offers no event service", "%s 未提供事件服务", to)
		}
		return nil, err
	}
	answer, _, err := a.exchange(ctx, at, http.MethodPost, path, bytes.Clone(body))
	return answer, err
}
