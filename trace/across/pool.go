package across

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/share"
)

// pool is the events of one trace: this node's, and what others answered. It is a graph.Source.
type pool struct {
	local graph.Source

	mu     sync.Mutex
	events map[string]*known   // by ID
	byKey  map[string][]*known // others' events
	own    map[string]*epcis.Event
	clash  []clash
}

// known is an event of another enterprise.
type known struct {
	event *epcis.Event
	owner string
	hash  string
	level share.Level
}

// clash is two enterprises that say different things under one ID.
type clash struct {
	id, thing    string
	first, other string
	at           time.Time
}

func newPool(local graph.Source) *pool {
	return &pool{local: local, events: map[string]*known{}, byKey: map[string][]*known{}, own: map[string]*epcis.Event{}}
}

// add takes another's event and reports whether it is new.
func (p *pool) add(k *known) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := k.event.ID
	if name == "" {
		name = k.hash
		k.event.ID = name
	}
	if old := p.events[name]; old != nil {
		switch {
		case old.hash != k.hash:
			thing := ""
			if keys := keysOf(k.event); len(keys) > 0 {
				thing = keys[0]
			}
			p.clash = append(p.clash, clash{name, thing, old.owner, k.owner, k.event.Time})
			return false
		case old.level >= k.level:
			return false
		}
		old.event, old.level, old.owner = k.event, k.level, k.owner // seen better now
		for _, key := range keysOf(k.event) {
			if !slices.Contains(p.byKey[key], old) {
				p.insert(key, old)
			}
		}
		return true
	}
	p.events[name] = k
	for _, key := range keysOf(k.event) {
		p.insert(key, k)
	}
	return true
}

func (p *pool) insert(key string, k *known) {
	l := p.byKey[key]
	at, _ := slices.BinarySearchFunc(l, k.event, func(a *known, b *epcis.Event) int { return before(a.event, b) })
	p.byKey[key] = slices.Insert(l, at, k)
}

func before(a, b *epcis.Event) int {
	if c := a.Time.Compare(b.Time); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// of is the others' events that name a thing.
func (p *pool) of(thing string, from, to time.Time) []*epcis.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*epcis.Event
	for _, k := range p.byKey[thing] {
		if (from.IsZero() || !k.event.Time.Before(from)) && (to.IsZero() || !k.event.Time.After(to)) {
			out = append(out, k.event)
		}
	}
	return out
}

// keep notes an own event that the trace came by.
func (p *pool) keep(e *epcis.Event) {
	p.mu.Lock()
	p.own[e.ID] = e
	p.mu.Unlock()
}

// Touching implements graph.Source: both in one order. What is known of an event from here goes before what another says of it.
func (p *pool) Touching(ctx context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) {
		others := p.of(thing, from, to)
		for e, err := range p.local.Touching(ctx, thing, from, to) {
			if err != nil {
				yield(nil, err)
				return
			}
			for len(others) > 0 {
				c := before(others[0], e)
				if c > 0 {
					break
				}
				if c < 0 && others[0].ID != e.ID && !yield(others[0], nil) {
					return
				}
				others = others[1:]
			}
			p.keep(e)
			if !yield(e, nil) {
				return
			}
		}
		for _, e := range others {
			if p.mine(e.ID) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (p *pool) mine(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.own[id] != nil
}

// whose is what is known of where an event of the answer came from.
func (p *pool) whose(id string) (k *known, own bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.own[id] != nil {
		return nil, true
	}
	return p.events[id], false
}
