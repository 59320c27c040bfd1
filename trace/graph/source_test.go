package graph

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// memory is a source that holds its events in memory.
type memory struct {
	events []*epcis.Event
	byKey  map[string][]*epcis.Event
	asked  map[string]int
	calls  atomic.Int64
	fail   map[string]error
	after  int // fail with err from this call on
	err    error
}

func hold(events ...*epcis.Event) *memory {
	m := &memory{events: events, byKey: map[string][]*epcis.Event{}, asked: map[string]int{}, fail: map[string]error{}}
	for _, e := range events {
		names(e, func(key string) {
			if list := m.byKey[key]; len(list) == 0 || list[len(list)-1] != e {
				m.byKey[key] = append(list, e)
			}
		})
	}
	for _, list := range m.byKey {
		slices.SortStableFunc(list, func(a, b *epcis.Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	}
	return m
}

func (m *memory) Touching(ctx context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) {
		m.asked[thing]++
		if n := m.calls.Add(1); m.err != nil && int(n) > m.after {
			yield(nil, m.err)
			return
		}
		if err := m.fail[thing]; err != nil {
			yield(nil, err)
			return
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
			return
		}
		for _, e := range m.byKey[thing] {
			if (from.IsZero() || !e.Time.Before(from)) && (to.IsZero() || !e.Time.After(to)) && !yield(e, nil) {
				return
			}
		}
	}
}

// epoch is the first tick of the tests' time.
var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func tick(n int) time.Time { return epoch.Add(time.Duration(n) * time.Hour) }

func thing(s string) string { return "88.610.8001/" + s }

func things(list ...string) (out []string) {
	for _, s := range list {
		out = append(out, thing(s))
	}
	return out
}

var serial atomic.Int64

func event(at int, typ epcis.EventType, action epcis.Action) *epcis.Event {
	return &epcis.Event{Type: typ, Action: action, Time: tick(at), ID: fmt.Sprintf("urn:e:%06d", serial.Add(1))}
}

func pack(at int, parent string, children ...string) *epcis.Event {
	e := event(at, epcis.AggregationEvent, epcis.Add)
	e.Parent, e.EPCs = thing(parent), things(children...)
	return e
}

func unpack(at int, parent string, children ...string) *epcis.Event {
	e := pack(at, parent, children...)
	e.Action = epcis.Delete
	return e
}

func process(at int, in, out []string) *epcis.Event {
	e := event(at, epcis.TransformationEvent, "")
	e.InputEPCs, e.OutputEPCs = things(in...), things(out...)
	return e
}

func see(at int, place string, list ...string) *epcis.Event {
	e := event(at, epcis.ObjectEvent, epcis.Observe)
	e.EPCs = things(list...)
	if place != "" {
		e.BizLocation = &epcis.Location{ID: thing(place)}
	}
	return e
}
