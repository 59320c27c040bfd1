// Package share is an owner's word on who sees what of its events: everything, identifiers and times only, that there is an event and nothing else, so many
// hops from the thing asked about, or only in a recall.
package share

// Level is how much of an event somebody sees. Each shows all that the ones before it show.
type Level uint8

// The levels.
const (
	Nothing  Level = iota
	Exists         // that there is an event at this time, and its hash: a proof of existence
	Trace          // identifiers, times, types, actions: what a trace needs and no contents
	Contents       // all of it
)
