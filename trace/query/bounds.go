package query

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// Interval is a span of time; a zero end is open.
type Interval struct {
	From time.Time // inclusive
	To   time.Time // exclusive
}

func (i *Interval) narrow(to bool, t time.Time) {
	if to {
		if i.To.IsZero() || t.Before(i.To) {
			i.To = t
		}
	} else if t.After(i.From) {
		i.From = t
	}
}

// NameSet says that an event must name one of the keys in one of the roles.
type NameSet struct {
	Roles  []epcis.Role
	Keys   []string // by epcis.Key
	Prefix bool     // the keys are beginnings of keys: the query has patterns
}

// Bounds is what an index can use of a query. Every event that matches is within them; not every event within them matches. An empty list, and an open
// interval, bounds nothing; the parts hold together.
type Bounds struct {
	Types                 []epcis.EventType
	EventTime, RecordTime Interval
	EventIDs              []string
	Names                 []NameSet
	Steps                 []string // as in epcis.Event
	Dispositions          []string // as in epcis.Event
	ReadPoints            []string // by epcis.Key, as the next four
	BizLocations          []string
	Transactions          []string // one of the event's business transactions, of whatever type
	Transformations       []string // the transformationID
	// Whether the places come of a WD_ parameter: those below them are among them as far as Query.Descendants knows.
	ReadPointsBelow, BizLocationsBelow bool
}

// Bounds is what an index can use of the query. It asks Descendants anew.
func (q *Query) Bounds() Bounds {
	var b Bounds
	for _, p := range q.params {
		if p.bound != nil {
			p.bound(q, &b)
		}
	}
	return b
}

// restrict narrows a list of alternatives of a field that has one value. Alternatives that exclude each other are left wide: Match finds nothing in them.
func restrict[T comparable](have *[]T, list []T) {
	if len(*have) == 0 {
		*have = list
		return
	}
	var out []T
	for _, s := range *have {
		if slices.Contains(list, s) {
			out = append(out, s)
		}
	}
	if len(out) > 0 {
		*have = out
	}
}

// restrictMany narrows a list of alternatives of a field that has many values: the shorter list of the two is as good as both.
func restrictMany(have *[]string, list []string) {
	if len(*have) == 0 || len(list) < len(*have) {
		*have = list
	}
}

// refreshAfter is how many events are judged by one answer of Descendants.
const refreshAfter = 10000

// descent is what is below the places of a WD_ parameter.
type descent struct {
	roots []string // keys
	known atomic.Pointer[oneOf]
	used  atomic.Uint32
}

// ask is the keys of the roots and of all that is below them.
func (d *descent) ask(q *Query) *oneOf {
	list := slices.Clone(d.roots)
	if q.Descendants != nil {
		seen := map[string]bool{}
		for _, s := range list {
			seen[s] = true
		}
		for _, root := range d.roots {
			for _, id := range q.Descendants(root) {
				if key := epcis.Key(id); !seen[key] {
					seen[key] = true
					list = append(list, key)
				}
			}
		}
	}
	set := newOneOf(list)
	d.known.Store(&set)
	d.used.Store(0)
	return &set
}

func (d *descent) has(q *Query, key string) bool {
	set := d.known.Load()
	if set == nil || d.used.Add(1) > refreshAfter {
		set = d.ask(q)
	}
	return set.has(key)
}
