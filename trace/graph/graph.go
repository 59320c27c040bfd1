// Package graph answers where a thing came from and where it all went: through packing and unpacking, processing, assembly and the references of records, in
// the order of time and with quantities; where it is now, what it met, what has to be called back.
package graph

import (
	"context"
	"iter"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// Source is where the events are: this node's history, or those of all enterprises together.
type Source interface {
	// Touching yields the events that name thing in any role, in the order of event time, then of ID, from and to inclusive; a zero time is no bound.
	// Thing is as epcis.Key gives it. The events hold what relates things (type, ID, times, action, parent, EPCs, quantities, inputs, outputs, transformation,
	// step, dispositions, places, transactions, parties, error declaration), and may lack sensors, ILMD and extensions. They belong to the source: read only.
	// An error ends the sequence. One event may be yielded for several things.
	//
	// A transformationID is a thing in this sense, and so is a place, of which it yields the events that were there.
	Touching(ctx context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error]
}

// Parallel is what a Source may offer besides: how many questions at the same time serve it best, since it is remote or has cores to spare. Touching is
// then called from as many goroutines.
type Parallel interface{ Parallel() int }

// Many is what a Source may offer besides: the events of many things at once.
type Many interface {
	// TouchingMany calls visit with each event of each thing, one thing after another in the order of the list, and of one thing as Touching yields
	// them; i is the thing's place in the list. Keys that come in byte order cost least. number tells the source's events from one another, from 1. known is
	// called before an event is read: what it returns, unless nil, is the event of that number as visit was given it before.
	// It is called from as many goroutines as Parallel says, each with its own known.
	TouchingMany(ctx context.Context, things []string, from, to time.Time, known func(number uint64) *epcis.Event, visit func(i int, number uint64, e *epcis.Event)) error
}

// Reference says that a record of From names To. A package whose record names the container that it came in: To is where From came from. With Downstream set
// it is the other way about: To is what From went into.
type Reference struct {
	From, To   string    // keys
	Since      time.Time // zero: always
	Downstream bool
}

// References yields the references of a thing's own record, and, as far as they are known, those of other records to it.
type References func(ctx context.Context, thing string) ([]Reference, error)

// Referrer is what a Source may offer besides: the references of records, which are followed as events are.
type Referrer interface {
	References(ctx context.Context, thing string) ([]Reference, error)
}

// WithReferences is src that follows references too.
func WithReferences(src Source, refs References) Source {
	r := referring{src, refs}
	if m, ok := src.(Many); ok {
		return &referringMany{r, m}
	}
	return &r
}

type referringMany struct {
	referring
	Many
}

type referring struct {
	Source
	refs References
}

func (r *referring) References(ctx context.Context, thing string) ([]Reference, error) {
	return r.refs(ctx, thing)
}

func (r *referring) Parallel() int {
	if p, ok := r.Source.(Parallel); ok {
		return p.Parallel()
	}
	return 1
}

// Answer is the graph that a question found: things, and the events that tie them together.
type Answer struct {
	Question Question  `json:"question"`
	Things   []Thing   `json:"things"`
	Links    []Link    `json:"links"`
	Events   []Event   `json:"events"`
	Findings []Finding `json:"findings,omitempty"`
	Hops     []Hop     `json:"hops,omitempty"`
	// Complete: every branch was followed to its end; otherwise the things at which it stopped have a Stop.
	Complete bool `json:"complete"`
}

// Question is what was asked.
type Question struct {
	Things []string  `json:"things"`
	Up     bool      `json:"up,omitempty"`
	Down   bool      `json:"down,omitempty"`
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Depth  int       `json:"depth,omitempty"` // links from the things asked for; 0: 100
	Limit  int       `json:"limit,omitempty"` // things in the answer; 0: 200,000
	// FanOut is how many things may follow from one; 0: 100,000.
	FanOut int `json:"fanOut,omitempty"`
	// Timeout is how long the search may take; what it has not followed by then has the Stop "time". 0: as long as its context lasts.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Recall: asked for a recall, which some owners answer more to.
	Recall string `json:"recall,omitempty"`
}

// Thing is a node of the graph.
type Thing struct {
	ID    string `json:"id"`  // as the first event wrote it
	Key   string `json:"key"` // as epcis.Key gives it
	Class bool   `json:"class,omitempty"`
	Depth int    `json:"depth"` // links from the nearest thing asked for; negative upstream
	// Quantity of a class that was traced, and its unit.
	Quantity epcis.Decimal `json:"quantity,omitempty"`
	Unit     string        `json:"unit,omitempty"`
	Owner    string        `json:"owner,omitempty"` // the prefix of who answered for it
	// Stop says why the search did not go on here: "depth", "limit", "fan-out", "time", "refused", "unreachable", "unknown",
	// "bogus", or "class" for a class of trade items without a lot, which is followed only when it was asked for.
	Stop string `json:"stop,omitempty"`
	// First and Last are the times of its first and last event; Place, Step, Disposition those of the last one that says any.
	First       time.Time `json:"first,omitzero"`
	Last        time.Time `json:"last,omitzero"`
	Place       string    `json:"place,omitempty"`
	Step        string    `json:"step,omitempty"`
	Disposition string    `json:"disposition,omitempty"`
	Inside      string    `json:"inside,omitempty"` // Key of the thing that it is in at the end of the time asked for
}

// Kind is how two things hang together.
type Kind string

// The kinds of links. Each goes downstream: from what was earlier or smaller to what holds it or came of it.
const (
	Packed      Kind = "packed"      // From was put into To (aggregation)
	Assembled   Kind = "assembled"   // From was fixed to To (association)
	Transformed Kind = "transformed" // From was used up, To came of it
	Unpacked    Kind = "unpacked"    // From was taken out of To; From and To as for Packed
	Referred    Kind = "referred"    // a record of From names To
)

// Link is an edge, with the time it held.
type Link struct {
	From     string        `json:"from"` // keys
	To       string        `json:"to"`
	Kind     Kind          `json:"kind"`
	Event    string        `json:"event"` // that began it
	Ended    string        `json:"ended,omitempty"`
	Since    time.Time     `json:"since"`
	Until    time.Time     `json:"until,omitzero"`
	Quantity epcis.Decimal `json:"quantity,omitempty"` // of From
	Unit     string        `json:"unit,omitempty"`
}

// Event is one event of the answer, in short. Its contents are asked for by its ID.
type Event struct {
	ID          string          `json:"id"`
	Hash        string          `json:"hash,omitempty"`
	Type        epcis.EventType `json:"type,omitempty"`
	Action      epcis.Action    `json:"action,omitempty"`
	Time        time.Time       `json:"time"`
	Recorded    time.Time       `json:"recorded,omitzero"`
	Step        string          `json:"step,omitempty"`
	Disposition string          `json:"disposition,omitempty"`
	Place       string          `json:"place,omitempty"`     // bizLocation, or else readPoint
	ReadPoint   string          `json:"readPoint,omitempty"` //
	From        []string        `json:"from,omitempty"`      // parties of the source list
	To          []string        `json:"to,omitempty"`        // parties of the destination list
	Things      []string        `json:"things,omitempty"`    // keys of the answer's things in it
	Owner       string          `json:"owner,omitempty"`     // the prefix of who answered with it
	Level       string          `json:"level,omitempty"`     // how much of it the owner shows: "", "trace" or "exists"
	Declared    bool            `json:"declared,omitempty"`  // declared to be wrong
	// Point is where it was, when the event or the place's master data says so: longitude, latitude.
	Point *[2]float64 `json:"point,omitempty"`
}

// Finding is something in the events that cannot be.
type Finding struct {
	Kind   string    `json:"kind"` // "two-places", "cycle", "two-parents", "after-end", "declared-wrong", "clock"
	Thing  string    `json:"thing"`
	Events []string  `json:"events"`
	Time   time.Time `json:"time"`
	EN     string    `json:"en"`
	ZH     string    `json:"zh"`
}

// Hop is one enterprise's part of an answer that was put together from several.
type Hop struct {
	Owner   string        `json:"owner"` // prefix
	URL     string        `json:"url,omitempty"`
	Outcome string        `json:"outcome"` // "answered", "partial", "refused", "unreachable", "bogus"
	Things  int           `json:"things,omitempty"`
	Events  int           `json:"events,omitempty"`
	Round   int           `json:"round"`
	Took    time.Duration `json:"took"` // nanoseconds
	EN      string        `json:"en,omitempty"`
	ZH      string        `json:"zh,omitempty"`
}
