package graph

import (
	"math"
	"time"
)

// Times are microseconds since 1970 here: windows are cut and joined for every link, and a time.Time is three words.
const (
	always = math.MinInt64 // before all events
	never  = math.MaxInt64 // after all events
)

func micros(t time.Time) int64 { return t.UnixMicro() }

func when(us int64) time.Time {
	if us == always || us == never {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// span is a time, both ends inclusive.
type span struct{ from, to int64 }

func (s span) empty() bool         { return s.from > s.to }
func (s span) has(t int64) bool    { return s.from <= t && t <= s.to }
func (s span) and(t span) span     { return span{max(s.from, t.from), min(s.to, t.to)} }
func (s span) within(t span) bool  { return t.from <= s.from && s.to <= t.to }
func (s span) touches(t span) bool { return s.from <= t.to && t.from <= s.to }

// spans are disjoint, in order.
type spans []span

func (w spans) covers(s span) bool {
	for _, t := range w {
		if s.within(t) {
			return true
		}
	}
	return false
}

func (w spans) has(t int64) bool {
	for _, s := range w {
		if s.has(t) {
			return true
		}
	}
	return false
}

// with is w and s together, in w's own room.
func (w spans) with(s span) spans {
	i := 0
	for i < len(w) && w[i].to < s.from {
		i++
	}
	j := i
	for j < len(w) && w[j].from <= s.to {
		s = span{min(s.from, w[j].from), max(s.to, w[j].to)}
		j++
	}
	if i == j {
		w = append(w, span{})
		copy(w[i+1:], w[i:])
		w[i] = s
		return w
	}
	w[i] = s
	return append(w[:i+1], w[j:]...)
}
