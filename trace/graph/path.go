package graph

import (
	"context"

	"github.com/fujie-id/fujie/problem"
)

// Path is the shortest way by which one thing became part of another, was carried by it, or came from it: its things and links in order, first to last. q says
// within what time and limits; its Things, Up and Down do not matter. When there is no way down from the first, the way up is looked for, and the depths of the
// answer are negative then. An answer without things: there is none, for all that could be asked (Complete) or as far as it could be.
func Path(ctx context.Context, src Source, from, to string, q Question) (*Answer, error) {
	q.Things = []string{from}
	if from == "" || to == "" {
		return nil, problem.New(problem.BadRequest, "a path needs two things; give the identifiers of both", "路径需要两个对象，请给出两者的标识")
	}
	if err := checked(q); err != nil {
		return nil, err
	}
	inner := ctx
	if q.Timeout > 0 {
		var done context.CancelFunc
		inner, done = context.WithTimeout(ctx, q.Timeout)
		defer done()
	}
	out := &Answer{Question: q, Complete: true, Things: []Thing{}, Links: []Link{}, Events: []Event{}}
	for _, m := range [2]mode{down, up} {
		s := newSearch(ctx, inner, src, q)
		first, last := s.l.at(from), s.l.at(to)
		s.target = last
		s.begin(first, m, s.b)
		if first == last {
			s.hit = 0
			if err := s.l.fetch([]int32{first}); err != nil {
				return nil, canceled(err)
			}
		} else if err := s.run(); err != nil {
			return nil, err
		}
		if s.hit < 0 {
			for _, n := range s.order {
				out.Complete = out.Complete && s.thing(n).Stop == ""
			}
			out.Complete = out.Complete && !s.out
			continue
		}
		way := s.path(s.hit)
		var wave []int32
		for _, v := range way {
			wave = append(wave, v.node)
		}
		if err := s.l.fetch(wave); err != nil {
			return nil, canceled(err)
		}
		named := map[int32]bool{}
		for _, v := range way {
			st := s.at(v.node)
			st.depth = v.depth
			if m == up {
				st.depth = -v.depth
			}
			t := s.thing(v.node)
			t.Stop = ""
			out.Things = append(out.Things, t)
			if v.link >= 0 {
				e := &s.edges[v.link]
				out.Links = append(out.Links, s.link(e))
				for _, i := range [2]int32{e.ev, e.ended} {
					if i >= 0 && !named[i] {
						named[i] = true
						out.Events = append(out.Events, s.event(i, false, inEvent(&s.l.events[i], way)))
					}
				}
			}
		}
		out.Complete = true
		return out, nil
	}
	return out, nil
}

// inEvent is the things of a path that an event names.
func inEvent(h *happening, way []visit) (list []int32) {
	for _, v := range way {
		if h.parent == v.node || h.role(v.node) != 0 || h.process == v.node {
			list = append(list, v.node)
		}
	}
	return list
}
