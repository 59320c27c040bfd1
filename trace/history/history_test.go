package history_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/postgres"
	"github.com/fujie-id/fujie/store/postgres/postgrestest"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
)

var _ graph.Source = (*history.History)(nil)

// known is an event as the model has it.
type known struct {
	number  uint64
	event   epcis.Event
	hash    string
	by      history.Ref
	removed bool
	over    bool // superseded
}

// model is a history that only looks things up from end to end.
type model struct {
	events []*known
	held   map[string]bool
}

func sameFault(a, b *epcis.Event) bool {
	return (a.Error == nil) == (b.Error == nil) && (a.Error == nil || a.Error.Reason == b.Error.Reason && a.Error.Time.Equal(b.Error.Time))
}

// capture says what becomes of the events, and what is then known.
func (m *model) capture(by history.Ref, events []epcis.Event, each bool, at time.Time) ([]history.Captured, bool) {
	before := len(m.events)
	var over []*bool
	out := make([]history.Captured, len(events))
	for i, e := range events {
		e.RecordTime = at
		hash := epcis.Hash(&e)
		given := e.ID != ""
		if !given {
			e.ID = hash
		}
		out[i] = history.Captured{ID: e.ID, Hash: hash}
		var plain, standing, same *known
		for j := range m.events {
			k := m.events[j]
			if k.removed {
				continue
			}
			if k.event.ID == e.ID {
				if k.event.Error == nil {
					plain = k
				}
				if standing == nil || k.event.Error != nil || standing.event.Error == nil {
					standing = k
				}
			}
			if k.hash == hash && sameFault(&k.event, &e) && (k.event.ID == e.ID || !given) && (same == nil || k.event.ID == e.ID && same.event.ID != e.ID) {
				same = k
			}
		}
		switch {
		case same != nil:
			out[i].ID, out[i].Sequence, out[i].Duplicate = same.event.ID, same.number, true
			continue
		case standing == nil:
		case e.Error != nil:
			out[i].Corrects = standing.number
			over = append(over, &standing.over)
			if !standing.over {
				standing.over = true
			} else {
				over = over[:len(over)-1]
			}
		case plain != nil:
			if each {
				out[i].Err = problem.New(problem.Exists, "", "")
				continue
			}
			for _, o := range over {
				*o = false
			}
			m.events = m.events[:before]
			return nil, false
		}
		n := uint64(len(m.events) + 1)
		out[i].Sequence = n
		m.events = append(m.events, &known{number: n, event: e, hash: hash, by: by, over: standing != nil && e.Error == nil})
	}
	return out, true
}

func names(e *epcis.Event) []string {
	out := append([]string{e.Parent, e.TransformationID}, e.EPCs...)
	out = append(append(out, e.InputEPCs...), e.OutputEPCs...)
	for _, list := range [][]epcis.Quantity{e.Quantities, e.InputQuantities, e.OutputQuantities} {
		for _, q := range list {
			out = append(out, q.Class)
		}
	}
	if e.ReadPoint != nil {
		out = append(out, e.ReadPoint.ID)
	}
	if e.BizLocation != nil {
		out = append(out, e.BizLocation.ID)
	}
	return out
}

func (m *model) touching(thing string, from, to time.Time) []string {
	var found []*known
	for i := range m.events {
		k := m.events[i]
		if !k.removed && !k.over && slices.ContainsFunc(names(&k.event), func(s string) bool { return s != "" && epcis.Key(s) == thing }) &&
			(from.IsZero() || !k.event.Time.Before(from)) && (to.IsZero() || !k.event.Time.After(to)) {
			found = append(found, k)
		}
	}
	slices.SortStableFunc(found, func(a, b *known) int {
		return cmp.Or(a.event.Time.Compare(b.event.Time), strings.Compare(a.event.ID, b.event.ID))
	})
	var out []string
	for _, k := range found {
		out = append(out, brief(&k.event))
	}
	return out
}

func brief(e *epcis.Event) string {
	return fmt.Sprint(e.ID, " ", e.Time.UTC(), " ", e.RecordTime.UTC(), " ", e.Error != nil)
}

// query is the events that match, in order, at most limit.
func (m *model) query(q *query.Query) []uint64 {
	var found []*known
	for i := range m.events {
		if k := m.events[i]; !k.removed && q.Match(&k.event) {
			found = append(found, k)
		}
	}
	slices.SortStableFunc(found, func(a, b *known) int {
		c := cmp.Compare(a.number, b.number)
		if q.OrderBy == priority {
			if q.Less(&a.event, &b.event) {
				return -1
			}
			if q.Less(&b.event, &a.event) {
				return 1
			}
		}
		if q.OrderBy == "eventTime" {
			c = cmp.Or(cmp.Compare(a.event.Time.UnixMilli(), b.event.Time.UnixMilli()), c)
		}
		if q.OrderBy != "" && !q.Ascending {
			c = -c
		}
		return c
	})
	if q.EventCountLimit > 0 && len(found) > q.EventCountLimit {
		found = found[:q.EventCountLimit]
	}
	var out []uint64
	for _, k := range found {
		out = append(out, k.number)
	}
	return out
}

const base = "https://id.gs1.org/"

// priority is an extension field that queries order by.
const priority = "https://example.com/#priority"

var (
	things = func() (out []string) {
		for i := range 12 {
			out = append(out, fmt.Sprintf(base+"01/09506000134352/21/%d", i))
		}
		return append(out, "88.118.1001/ENG-1", "88.118.1001/ENG-2", "urn:x:"+strings.Repeat("long", 100), "x:\x01")
	}()
	places = []string{base + "414/9506000134352", base + "414/9506000134369", "88.118.1001/DOCK", base + "01/09506000134352/21/3"}
	steps  = []string{"", "shipping", "receiving", "packing", "https://example.com/step"}
	start  = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
)

func pick(rnd *rand.Rand, list []string, n int) (out []string) {
	for range n {
		out = append(out, list[rnd.IntN(len(list))])
	}
	return out
}

// someEvent is an event out of a small world, where many have to do with each other.
func someEvent(rnd *rand.Rand) epcis.Event {
	e := epcis.Event{Type: epcis.ObjectEvent, Time: start.Add(time.Duration(rnd.IntN(200)) * 700 * time.Microsecond), TimeZoneOffset: "+00:00", Action: epcis.Observe,
		BizStep: steps[rnd.IntN(len(steps))], Disposition: steps[rnd.IntN(2)]}
	switch rnd.IntN(5) {
	case 0:
		e.Type, e.Parent = epcis.AggregationEvent, things[rnd.IntN(len(things))]
		e.EPCs = pick(rnd, things, 1+rnd.IntN(20))
	case 1:
		e.Type, e.Action, e.TransformationID = epcis.TransformationEvent, "", "urn:t:1"
		e.InputEPCs, e.OutputEPCs = pick(rnd, things, 1), pick(rnd, things, 1)
		e.InputQuantities = []epcis.Quantity{{Class: things[0], Quantity: "1.5", Unit: "KGM"}}
	default:
		e.EPCs = pick(rnd, things, 1+rnd.IntN(2))
	}
	if rnd.IntN(2) == 0 {
		e.ReadPoint = &epcis.Location{ID: places[rnd.IntN(len(places))]}
	}
	if rnd.IntN(2) == 0 {
		e.BizLocation = &epcis.Location{ID: places[rnd.IntN(len(places))]}
	}
	if rnd.IntN(4) == 0 {
		e.Transactions = []epcis.Transaction{{Type: "po", ID: "urn:po:" + fmt.Sprint(rnd.IntN(3))}}
	}
	if rnd.IntN(2) == 0 {
		e.Namespaces = map[string]string{"ex": "https://example.com/"}
		e.Extensions = []epcis.Field{{Space: "https://example.com/", Name: "priority", Prefix: "ex", Value: epcis.Value{Kind: epcis.Number, Text: fmt.Sprint(rnd.IntN(9))}}}
	}
	if rnd.IntN(3) > 0 {
		e.ID = fmt.Sprintf("urn:uuid:00000000-0000-4000-8000-%012d", rnd.IntN(400))
	}
	return e
}

// engine is a store that can be stopped and opened again.
type engine struct {
	name  string
	open  func(t testing.TB) store.Store // a new, empty one
	again func(s store.Store) (store.Store, error)
}

func engines(t testing.TB) []engine {
	dirs := map[store.Store]string{}
	all := []engine{
		{"memory", func(testing.TB) store.Store { return memory.New() },
			func(s store.Store) (store.Store, error) { return s.(*memory.Store).Reopen(), nil }},
		{"pebble", func(t testing.TB) store.Store {
			dir := t.TempDir()
			s, err := pebble.Open(dir, pebble.Options{})
			if err != nil {
				t.Fatal(err)
			}
			dirs[s] = dir
			return s
		}, func(s store.Store) (store.Store, error) {
			if err := s.Close(); err != nil {
				return nil, err
			}
			o, err := pebble.Open(dirs[s], pebble.Options{})
			dirs[o] = dirs[s]
			return o, err
		}},
	}
	return all
}

func overPostgres(t *testing.T) engine {
	server := postgrestest.Start(t, "fsync=off")
	return engine{"postgres", func(t testing.TB) store.Store {
		url, err := server.URL()
		if err != nil {
			t.Fatal(err)
		}
		s, err := postgres.Open(t.Context(), url, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, nil}
}

// player plays one random history on a store and on the model.
type player struct {
	t     *testing.T
	rnd   *rand.Rand
	eng   engine
	s     store.Store
	h     *history.History
	m     model
	now   time.Time
	past  []epcis.Event // what was captured, to be captured again
	rules []history.Rule
}

func (p *player) openHistory() {
	h, err := history.Open(p.t.Context(), history.Config{Store: p.s, Now: func() time.Time { return p.now }, Rules: p.rules})
	if err != nil {
		p.t.Fatal(err)
	}
	p.h = h
}

func (p *player) some() []epcis.Event {
	var out []epcis.Event
	for range 1 + p.rnd.IntN(1+p.rnd.IntN(30)) {
		e := someEvent(p.rnd)
		if len(p.past) > 0 && p.rnd.IntN(6) == 0 {
			e = p.past[p.rnd.IntN(len(p.past))]
			if p.rnd.IntN(2) == 0 {
				e.Error = &epcis.ErrorDeclaration{Time: start, Reason: []string{"did_not_occur", "incorrect_data"}[p.rnd.IntN(2)]}
			}
		} else if p.rnd.IntN(12) == 0 {
			e.Error = &epcis.ErrorDeclaration{Time: start, Reason: "did_not_occur"}
		}
		e.RecordTime = time.Time{}
		out = append(out, e)
	}
	return out
}

func (p *player) capture() {
	events := p.some()
	each := p.rnd.IntN(2) == 0
	by := history.Ref{Index: uint32(p.rnd.IntN(3)), Name: "88.118.1001/A"}
	p.now = p.now.Add(time.Duration(p.rnd.IntN(3000)-500) * time.Millisecond)
	if last := len(p.m.events); last > 0 && p.now.Before(p.m.events[last-1].event.RecordTime) {
		p.now = p.m.events[last-1].event.RecordTime // the clock went back: record times do not
	}
	p.now = p.now.Truncate(time.Millisecond)
	given := slices.Clone(events)
	run := p.h.Capture
	if each {
		run = p.h.CaptureEach
	}
	want, ok := p.m.capture(by, given, each, p.now)
	got, err := run(p.t.Context(), by, events)
	if !ok {
		if !problem.Is(err, problem.Exists) {
			p.t.Fatalf("an ID was taken, and Capture said %v", err)
		}
		return
	}
	if err != nil {
		p.t.Fatal(err)
	}
	for i := range got {
		if (got[i].Err != nil) != (want[i].Err != nil) || got[i].Err != nil && !problem.Is(got[i].Err, problem.Exists) {
			p.t.Fatalf("event %d: %v, want %v", i, got[i].Err, want[i].Err)
		}
		got[i].Err, want[i].Err = nil, nil
		if got[i] != want[i] {
			p.t.Fatalf("event %d of %d: captured as\n%+v, want\n%+v", i, len(got), got[i], want[i])
		}
		if got[i].Sequence > 0 && (events[i].ID != got[i].ID || events[i].RecordTime.IsZero()) {
			p.t.Fatalf("event %d was not given its ID and record time: %+v", i, events[i])
		}
	}
	p.past = append(p.past, given...)
}

// someQuery is a query with a few parameters.
func (p *player) someQuery() *query.Query {
	v := url.Values{}
	rnd := p.rnd
	at := func() string {
		return start.Add(time.Duration(rnd.IntN(140)) * time.Millisecond).Format(time.RFC3339Nano)
	}
	word := func(list []string) string {
		a, b := list[rnd.IntN(len(list))], list[rnd.IntN(len(list))]
		if rnd.IntN(2) == 0 || strings.Contains(a+b, "\x01") || a == "" || b == "" {
			return cmp.Or(a, list[1])
		}
		return a + "|" + b
	}
	for range rnd.IntN(4) {
		switch rnd.IntN(15) {
		case 9:
			v.Set("MATCH_parentID", word(things[:14]))
		case 10:
			v.Set("MATCH_epc", word(things[:14]))
		case 11:
			v.Set("MATCH_outputEPC", word(things[:14]))
		case 12:
			v.Set("MATCH_anyEPC", "urn:epc:idpat:sgtin:9506000.013435.*")
		case 13:
			v.Set("EQ_transformationID", "urn:t:1")
		case 14:
			v.Set("EQ_bizTransaction_po", "urn:po:1|urn:po:2")
		case 0:
			v.Set("EQ_bizStep", word(steps))
		case 1:
			v.Set("EQ_disposition", "shipping")
		case 2:
			v.Set("eventType", []string{"ObjectEvent", "AggregationEvent", "TransformationEvent"}[rnd.IntN(3)])
		case 3:
			v.Set("EQ_bizLocation", word(places))
		case 4:
			v.Set("EQ_readPoint", word(places))
		case 5:
			v.Set("GE_eventTime", at())
		case 6:
			v.Set("LT_eventTime", at())
		case 7:
			v.Set("MATCH_anyEPC", word(things[:14]))
		case 8:
			if len(p.m.events) > 0 {
				k := p.m.events[rnd.IntN(len(p.m.events))]
				v.Set([]string{"GE_recordTime", "LT_recordTime"}[rnd.IntN(2)], k.event.RecordTime.Format(time.RFC3339Nano))
				if rnd.IntN(2) == 0 {
					v = url.Values{"EQ_eventID": {k.event.ID}}
				}
			}
		}
	}
	switch rnd.IntN(4) {
	case 0:
		v.Set("orderBy", "eventTime")
	case 1:
		v.Set("orderBy", "recordTime")
	}
	if v.Has("orderBy") {
		v.Set("orderDirection", []string{"ASC", "DESC"}[rnd.IntN(2)])
	}
	if rnd.IntN(4) == 0 && v.Has("orderBy") {
		v.Set("eventCountLimit", fmt.Sprint(1+rnd.IntN(60)))
	}
	q, err := query.ParseURL(v)
	if err != nil {
		p.t.Fatal(v, err)
	}
	if q.OrderBy == "eventTime" && rnd.IntN(2) == 0 {
		q.OrderBy = priority
	}
	return q
}

// page asks a query page by page, with captures between the pages.
func (p *player) page() {
	q := p.someQuery()
	want := p.m.query(q)
	var got []uint64
	cursor := ""
	limit := 1 + p.rnd.IntN(25)
	for {
		page, err := p.h.Query(p.t.Context(), q, cursor, limit)
		if err != nil {
			p.t.Fatal(err)
		}
		if len(page.Events) > limit || page.Next != "" && len(page.Events) < limit {
			p.t.Fatalf("a page of %d at most has %d events, and the next is %q", limit, len(page.Events), page.Next)
		}
		got = append(got, page.Sequences...)
		for i, n := range page.Sequences {
			if !reflect.DeepEqual(page.Events[i], &p.m.events[n-1].event) {
				p.t.Fatalf("event %d reads\n%+v, want\n%+v", n, page.Events[i], p.m.events[n-1].event)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
		if p.rnd.IntN(3) == 0 {
			p.capture()
		}
	}
	if !slices.Equal(got, want) {
		why, _ := p.h.Explain(p.t.Context(), q)
		b, _ := q.MarshalJSON()
		p.t.Fatalf("%s (%s): got\n%v, want\n%v", b, why.EN, got, want)
	}
}

func (p *player) touch() {
	thing := epcis.Key(append(slices.Clone(things), append(places, "urn:t:1", "nothing")...)[p.rnd.IntN(len(things)+len(places)+2)])
	var from, to time.Time
	if p.rnd.IntN(2) == 0 {
		from = start.Add(time.Duration(p.rnd.IntN(200)) * 700 * time.Microsecond)
	}
	if p.rnd.IntN(2) == 0 {
		to = start.Add(time.Duration(p.rnd.IntN(200)) * 700 * time.Microsecond)
	}
	if p.rnd.IntN(3) == 0 {
		var several []string
		for range 1 + p.rnd.IntN(6) {
			several = append(several, epcis.Key(append(slices.Clone(things), append(places, "urn:t:1", "nothing")...)[p.rnd.IntN(len(things)+len(places)+2)]))
		}
		p.touchMany(several, from, to)
	}
	most := 1 << 30
	if p.rnd.IntN(4) == 0 {
		most = 1 + p.rnd.IntN(3)
	}
	var got []string
	for e, err := range p.h.Touching(p.t.Context(), thing, from, to) {
		if err != nil {
			p.t.Fatal(err)
		}
		if got = append(got, brief(e)); len(got) == most {
			break
		}
	}
	want := p.m.touching(thing, from, to)
	if want = want[:min(most, len(want))]; !slices.Equal(got, want) {
		for _, s := range slices.Concat(got, want) {
			if slices.Contains(got, s) != slices.Contains(want, s) {
				p.t.Logf("got it: %v; %s", slices.Contains(got, s), s)
				for _, k := range p.m.events {
					if strings.HasPrefix(s, k.event.ID+" ") {
						p.t.Log(k)
					}
				}
			}
		}
		p.t.Fatalf("touching %.60q from %v to %v: got %d events, want %d, or in another order", thing, from, to, len(got), len(want))
	}
}

// touchMany asks for several things at once, some of them twice, and remembers what it was given.
func (p *player) touchMany(things []string, from, to time.Time) {
	got := make([][]string, len(things))
	read := map[uint64]*epcis.Event{}
	if err := p.h.TouchingMany(p.t.Context(), things, from, to, func(n uint64) *epcis.Event { return read[n] }, func(i int, n uint64, e *epcis.Event) {
		if old := read[n]; old != nil && old != e {
			p.t.Fatalf("event %d is another one the second time", n)
		}
		read[n] = e
		got[i] = append(got[i], brief(e))
	}); err != nil {
		p.t.Fatal(err)
	}
	for i, thing := range things {
		if want := p.m.touching(thing, from, to); !slices.Equal(got[i], want) {
			p.t.Fatalf("touching %.60q, one of %d, from %v to %v: got %d events, want %d, or in another order", thing, len(things), from, to, len(got[i]), len(want))
		}
	}
}

func (p *player) look() {
	ctx := p.t.Context()
	last, err := p.h.Last(ctx)
	if err != nil || int(last) != len(p.m.events) {
		p.t.Fatal(last, len(p.m.events), err)
	}
	if last == 0 {
		return
	}
	k := p.m.events[p.rnd.IntN(len(p.m.events))]
	for _, id := range []string{k.event.ID, k.hash} {
		var best *known
		byID := false
		for i := range p.m.events {
			o := p.m.events[i]
			if is := o.event.ID == id; !o.removed && (is || o.hash == id) && (best == nil || is && !byID || is == byID && (o.event.Error != nil || best.event.Error == nil)) {
				best, byID = o, is
			}
		}
		got, err := p.h.Lookup(ctx, id)
		if best == nil {
			if !problem.Is(err, problem.NotFound) {
				p.t.Fatalf("%s was removed, and Lookup says %v", id, err)
			}
			continue
		}
		if err != nil || got.Sequence != best.number || got.By != best.by || got.Hash != best.hash || !reflect.DeepEqual(*got.Event, best.event) {
			p.t.Fatalf("%s: got %+v, %v; want %+v", id, got, err, best)
		}
	}
	from := p.rnd.Uint64N(last + 1)
	some, err := p.h.After(ctx, from, 7)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, o := range p.m.events[from:] {
		if o.removed {
			continue
		}
		if len(some) == 0 {
			break
		}
		if some[0].Sequence != o.number || !reflect.DeepEqual(*some[0].Event, o.event) {
			p.t.Fatalf("after %d: got %+v, want %+v", from, some[0], o)
		}
		some = some[1:]
	}
	if len(some) > 0 {
		p.t.Fatalf("after %d: %d events too many", from, len(some))
	}
}

func (p *player) values() {
	kinds := map[history.ValueKind]func(e *epcis.Event) []string{
		history.EPCs: func(e *epcis.Event) []string {
			c := *e
			c.ReadPoint, c.BizLocation, c.TransformationID = nil, nil, ""
			return names(&c)
		},
		history.BizSteps:     func(e *epcis.Event) []string { return []string{e.BizStep} },
		history.Dispositions: func(e *epcis.Event) []string { return []string{e.Disposition} },
		history.EventTypes:   func(e *epcis.Event) []string { return []string{string(e.Type)} },
		history.ReadPoints: func(e *epcis.Event) []string {
			if e.ReadPoint == nil {
				return nil
			}
			return []string{e.ReadPoint.ID}
		},
		history.BizLocations: func(e *epcis.Event) []string {
			if e.BizLocation == nil {
				return nil
			}
			return []string{e.BizLocation.ID}
		},
	}
	for kind, of := range kinds {
		want := map[string]bool{}
		for i := range p.m.events {
			if p.m.events[i].removed {
				continue
			}
			for _, s := range of(&p.m.events[i].event) {
				if s != "" {
					want[epcis.Key(s)] = true
				}
			}
		}
		limit, after := 1+p.rnd.IntN(5), ""
		for pages := 0; ; pages++ {
			got, next, err := p.h.Values(p.t.Context(), kind, after, limit)
			if err != nil || pages > 100 {
				p.t.Fatal(kind, pages, err)
			}
			for _, s := range got {
				if !want[s] {
					p.t.Fatalf("%s: %q is there twice, or should not be", kind, s)
				}
				delete(want, s)
			}
			if after = next; next == "" {
				break
			}
		}
		if len(want) > 0 {
			p.t.Fatalf("%s: missing %v", kind, want)
		}
	}
}

// sweep lets the rules remove what is old.
func (p *player) sweep() {
	ctx := p.t.Context()
	if p.rnd.IntN(2) == 0 {
		thing := epcis.Key(things[p.rnd.IntN(len(things))])
		if err := p.h.Hold(ctx, "recall 1", []string{thing}); err != nil {
			p.t.Fatal(err)
		}
		p.m.held[thing] = true
	} else {
		if err := p.h.Release(ctx, "recall 1"); err != nil {
			p.t.Fatal(err)
		}
		clear(p.m.held)
	}
	removed, held := 0, 0
	for i := range p.m.events {
		k := p.m.events[i]
		if k.removed || !slices.ContainsFunc(p.rules, func(r history.Rule) bool {
			return p.now.Sub(k.event.RecordTime) >= r.After && (r.Steps == nil || slices.Contains(r.Steps, k.event.BizStep))
		}) {
			continue
		}
		if slices.ContainsFunc(names(&k.event), func(s string) bool { return s != "" && p.m.held[epcis.Key(s)] }) {
			held++
			continue
		}
		k.removed = true
		removed++
	}
	got, err := p.h.Run(ctx)
	if err != nil || got.Removed != removed || got.Held != held {
		p.t.Fatalf("%+v, %v; want %d removed and %d held", got, err, removed, held)
	}
	left := uint64(0)
	for i := range p.m.events {
		if !p.m.events[i].removed {
			left++
		}
	}
	if n, err := p.h.Count(ctx); err != nil || n != left {
		p.t.Fatal(n, left, err)
	}
}

// crash crashes a memory store in a capture: it is there as a whole, or not at all.
func (p *player) crash() {
	s, ok := p.s.(*memory.Store)
	if !ok {
		return
	}
	events := p.some()
	by := history.Ref{Name: "crash"}
	p.now = p.now.Add(time.Second)
	s.Faults().CrashAt(1, []memory.When{memory.Before, memory.After}[p.rnd.IntN(2)])
	got, err := p.h.Capture(p.t.Context(), by, slices.Clone(events))
	p.s = s.Reopen()
	p.openHistory()
	before := len(p.m.events)
	over := make([]bool, before)
	for i, k := range p.m.events {
		over[i] = k.over
	}
	want, good := p.m.capture(by, events, false, p.now)
	if !good {
		if !problem.Is(err, problem.Exists) {
			p.t.Fatal(err)
		}
		return
	}
	if len(p.m.events) == before {
		if err != nil || !reflect.DeepEqual(got, want) {
			p.t.Fatal(err, got, want)
		}
		return
	}
	if !errors.Is(err, store.ErrUncertain) {
		p.t.Fatal(err)
	}
	last, err := p.h.Last(p.t.Context())
	if err != nil || int(last) != before && int(last) != len(p.m.events) {
		p.t.Fatalf("after a crash there are %d events, not %d or %d: %v", last, before, len(p.m.events), err)
	}
	if int(last) == before {
		for i := range over {
			p.m.events[i].over = over[i]
		}
	}
	p.m.events = p.m.events[:last]
}

func play(t *testing.T, eng engine, seed uint64, steps int) {
	p := &player{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), eng: eng, s: eng.open(t), now: start.Add(time.Hour), m: model{held: map[string]bool{}}}
	p.rules = []history.Rule{{Name: "old", After: 90 * time.Second}, {Name: "packed", After: 20 * time.Second, Steps: []string{"packing"}}}
	defer func() {
		if err := p.s.Close(); err != nil {
			t.Error(err)
		}
	}()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	p.openHistory()
	for range steps {
		switch k := p.rnd.IntN(100); {
		case k < 35:
			p.capture()
		case k < 60:
			p.page()
		case k < 75:
			p.touch()
		case k < 88:
			p.look()
		case k < 92:
			p.values()
		case k < 94:
			p.crash()
		case k < 96:
			p.sweep()
		case k == 99 && eng.again != nil:
			s, err := eng.again(p.s)
			if err != nil {
				t.Fatal(err)
			}
			p.s = s
			p.openHistory()
		}
	}
}

func soak(n int) int {
	if os.Getenv("FUJIE_SOAK") == "1" {
		return n * 50
	}
	return n
}

// TestModel plays random histories and compares every answer with that of a model.
func TestModel(t *testing.T) {
	for _, eng := range engines(t) {
		t.Run(eng.name, func(t *testing.T) {
			t.Parallel()
			runs := soak(30)
			if eng.name == "pebble" {
				runs = soak(4)
			}
			for seed := range uint64(runs) {
				play(t, eng, seed, 100)
			}
		})
	}
}

func TestModelPostgres(t *testing.T) {
	play(t, overPostgres(t), 1, soak(40))
}

func TestContextEnds(t *testing.T) {
	h, err := history.Open(t.Context(), history.Config{Store: memory.New()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Capture(ctx, history.Ref{}, []epcis.Event{someEvent(rand.New(rand.NewPCG(1, 1)))}); err == nil {
		t.Fatal("a capture that was called off is no error")
	}
	if n, err := h.Last(t.Context()); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := h.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
