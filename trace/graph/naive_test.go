package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/trace/epcis"
)

// The reference: every thing, every mode, every tick, over and over until nothing is added. It shares no code with the search.

const ticks = 14

type naiveSpan struct{ from, to int } // to = ticks: open

type naivePair struct {
	child, parent string
	kind          epcis.EventType
}

type naive struct {
	live   []*epcis.Event
	in     map[naivePair][]naiveSpan
	depth  map[string]int
	member [4]map[string]*[ticks + 1]bool
}

func tickOf(e *epcis.Event) int { return int(e.Time.Sub(epoch).Hours()) }

func newNaive(events []*epcis.Event) *naive {
	n := &naive{in: map[naivePair][]naiveSpan{}}
	wrong := map[string]bool{}
	for _, e := range events {
		if e.Error != nil {
			wrong[e.ID] = true
		}
	}
	for _, e := range events {
		if !wrong[e.ID] {
			n.live = append(n.live, e)
		}
	}
	slices.SortStableFunc(n.live, func(a, b *epcis.Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	pairs := map[naivePair]bool{}
	for _, e := range n.live {
		if e.Type == epcis.AggregationEvent || e.Type == epcis.AssociationEvent {
			for _, c := range e.EPCs {
				pairs[naivePair{c, e.Parent, e.Type}] = true
			}
			for _, q := range e.Quantities {
				pairs[naivePair{q.Class, e.Parent, e.Type}] = true
			}
		}
	}
	for p := range pairs {
		n.in[p] = n.simulate(p)
	}
	return n
}

func (n *naive) simulate(p naivePair) (out []naiveSpan) {
	open, lower, left, counted := false, 0, 0, true
	for _, e := range n.live {
		t := tickOf(e)
		shut := func() {
			if open {
				out[len(out)-1].to = t
			}
			open, lower = false, t
		}
		var q *epcis.Quantity
		for i := range e.Quantities {
			if e.Quantities[i].Class == p.child {
				q = &e.Quantities[i]
			}
		}
		single := slices.Contains(e.EPCs, p.child)
		relates := e.Type == epcis.AggregationEvent || e.Type == epcis.AssociationEvent
		switch {
		case relates && e.Type == p.kind && e.Parent == p.parent && (single || q != nil):
			amount := 0
			if q != nil {
				fmt.Sscan(string(q.Quantity), &amount)
			}
			switch e.Action {
			case epcis.Add:
				if !open {
					out = append(out, naiveSpan{t, ticks})
					open, left, counted = true, 0, true
				}
				left += amount
				counted = counted && (single || q.Quantity != "")
			case epcis.Delete:
				if !open {
					out = append(out, naiveSpan{lower, t})
					lower = t
				} else if single || q.Quantity == "" {
					shut()
				} else if counted {
					if left -= amount; left <= 0 {
						shut()
					}
				}
			default:
				if !open {
					out = append(out, naiveSpan{t, t})
				}
			}
		case slices.Contains(e.InputEPCs, p.child), e.Type == epcis.ObjectEvent && e.Action == epcis.Delete && single:
			shut()
		case slices.Contains(e.OutputEPCs, p.child), e.Type == epcis.ObjectEvent && e.Action == epcis.Add && single, relates && e.Action != epcis.Observe && single:
			lower = max(lower, t)
		}
		gone := slices.Contains(e.InputEPCs, p.parent) || e.Type == epcis.ObjectEvent && e.Action == epcis.Delete && slices.Contains(e.EPCs, p.parent)
		empty := e.Type == p.kind && e.Action == epcis.Delete && e.Parent == p.parent && len(e.EPCs) == 0 && len(e.Quantities) == 0
		if gone || empty {
			shut()
		}
	}
	return out
}

func ins(e *epcis.Event) []string {
	out := slices.Clone(e.InputEPCs)
	for _, q := range e.InputQuantities {
		out = append(out, q.Class)
	}
	return out
}

func outs(e *epcis.Event) []string {
	out := slices.Clone(e.OutputEPCs)
	for _, q := range e.OutputQuantities {
		out = append(out, q.Class)
	}
	return out
}

// close adds all that follows, one link more in each round.
func (n *naive) close(start string, goUp, goDown bool) {
	n.depth = map[string]int{start: 0}
	for m := range n.member {
		n.member[m] = map[string]*[ticks + 1]bool{}
	}
	all := &[ticks + 1]bool{}
	for t := range all {
		all[t] = true
	}
	if goDown {
		n.member[down][start] = all
	}
	if goUp {
		c := *all
		n.member[up][start] = &c
	}
	for round := 1; ; round++ {
		var old [4]map[string]*[ticks + 1]bool
		for m := range n.member {
			old[m] = map[string]*[ticks + 1]bool{}
			for k, v := range n.member[m] {
				c := *v
				old[m][k] = &c
			}
		}
		has := func(m mode, x string, t int) bool { return old[m][x] != nil && old[m][x][t] }
		changed := false
		set := func(m mode, x string, from, to int) {
			if n.member[m][x] == nil {
				n.member[m][x] = &[ticks + 1]bool{}
			}
			for t := from; t <= to; t++ {
				if !n.member[m][x][t] {
					n.member[m][x][t], changed = true, true
				}
			}
			if _, ok := n.depth[x]; !ok {
				n.depth[x] = round
			}
		}
		for _, e := range n.live {
			for _, o := range n.live {
				same := e == o || e.TransformationID != "" && e.TransformationID == o.TransformationID
				if e.Type != epcis.TransformationEvent || o.Type != epcis.TransformationEvent || !same || tickOf(e) > tickOf(o) {
					continue
				}
				for _, in := range ins(e) {
					for _, out := range outs(o) {
						if in == out {
							continue
						}
						if has(down, in, tickOf(e)) || has(downIn, in, tickOf(e)) {
							set(down, out, tickOf(o), ticks)
						}
						if has(up, out, tickOf(o)) || has(upIn, out, tickOf(o)) {
							set(up, in, 0, tickOf(e))
						}
					}
				}
			}
		}
		for p, list := range n.in {
			for _, s := range list {
				for t := s.from; t <= s.to; t++ {
					if has(down, p.child, t) || has(downIn, p.child, t) {
						set(downIn, p.parent, t, t)
					}
					if has(upIn, p.child, t) {
						set(upIn, p.parent, t, t)
					}
					if has(down, p.parent, t) {
						set(down, p.child, t, ticks)
					}
					if has(up, p.parent, t) {
						set(up, p.child, 0, t)
					}
				}
				if s.to < ticks && has(up, p.child, s.to) {
					set(upIn, p.parent, s.from, s.to)
				}
			}
		}
		if !changed {
			return
		}
	}
}

var lots = []string{"https://id.gs1.org/01/09521321000012/10/A", "https://id.gs1.org/01/09521321000012/10/B"}

// histories draws events that contradict each other as much as they like.
func histories(t *rapid.T) []*epcis.Event {
	pool := things("A", "B", "C", "D", "E", "F", "G")
	some := rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 3, rapid.ID[string])
	classes := func(label string) (out []epcis.Quantity) {
		for _, c := range rapid.SliceOfNDistinct(rapid.SampledFrom(lots), 0, 1, rapid.ID[string]).Draw(t, label) {
			out = append(out, epcis.Quantity{Class: c, Quantity: epcis.Decimal(rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "amount"))})
		}
		return out
	}
	var out []*epcis.Event
	for i := range rapid.IntRange(1, 16).Draw(t, "events") {
		e := &epcis.Event{ID: fmt.Sprintf("urn:e:%03d", (i*7)%100), Time: tick(rapid.IntRange(0, ticks-1).Draw(t, "at"))}
		e.Action = rapid.SampledFrom([]epcis.Action{epcis.Add, epcis.Add, epcis.Delete, epcis.Observe}).Draw(t, "action")
		switch rapid.IntRange(0, 6).Draw(t, "type") {
		case 0:
			e.Type = epcis.ObjectEvent
			e.EPCs, e.Quantities = some.Draw(t, "epcs"), classes("classes")
		case 1, 2, 3, 4:
			e.Type = rapid.SampledFrom([]epcis.EventType{epcis.AggregationEvent, epcis.AggregationEvent, epcis.AssociationEvent}).Draw(t, "kind")
			e.Parent = rapid.SampledFrom(pool).Draw(t, "parent")
			e.EPCs = slices.DeleteFunc(some.Draw(t, "children"), func(s string) bool { return s == e.Parent })
			e.Quantities = classes("classes")
		default:
			e.Type, e.Action = epcis.TransformationEvent, ""
			e.InputEPCs, e.OutputEPCs = some.Draw(t, "in"), some.Draw(t, "out")
			e.InputQuantities, e.OutputQuantities = classes("classes in"), classes("classes out")
			if rapid.IntRange(0, 2).Draw(t, "long") == 0 {
				e.TransformationID = "urn:process:1"
			}
		}
		out = append(out, e)
		if rapid.IntRange(0, 9).Draw(t, "wrong") == 0 {
			w := *e
			w.Error = &epcis.ErrorDeclaration{Time: e.Time, Reason: "incorrect_data"}
			out = append(out, &w)
		}
	}
	return out
}

func checkNaive(t *rapid.T) {
	events := histories(t)
	start := rapid.SampledFrom(append(things("A", "B", "C"), lots[0])).Draw(t, "start")
	goUp, goDown := rapid.Bool().Draw(t, "up"), rapid.Bool().Draw(t, "down")
	a, err := Trace(context.Background(), hold(events...), Question{Things: []string{start}, Up: goUp, Down: goDown}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if goUp == goDown {
		goUp, goDown = true, true
	}
	n := newNaive(events)
	n.close(start, goUp, goDown)
	got := map[string]int{}
	for _, x := range a.Things {
		got[x.Key] = max(x.Depth, -x.Depth)
	}
	if !maps.Equal(got, n.depth) {
		t.Fatalf("the search finds %v, the reference %v", got, n.depth)
	}
	// The events of each thing's time.
	want := map[string]bool{}
	for _, e := range n.live {
		names(e, func(key string) {
			for m := range n.member {
				if w := n.member[m][key]; w != nil && w[tickOf(e)] {
					want[e.ID] = true
				}
			}
		})
	}
	have := map[string]bool{}
	for _, e := range a.Events {
		if !e.Declared {
			have[e.ID] = true
		}
	}
	if !maps.Equal(have, want) {
		t.Fatalf("the search tells of %v, the reference of %v", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want)))
	}
	// A recall set is the same things.
	if goDown && !goUp {
		set, err := RecallSet(context.Background(), hold(events...), RecallQuestion{Things: []string{start}}, nil)
		if err != nil || len(set.Things) != len(a.Things) {
			t.Fatalf("the recall has %d things, the trace %d (%v)", len(set.Things), len(a.Things), err)
		}
	}
}

// TestReference: the search agrees with brute force on any history.
func TestReference(t *testing.T) { rapid.Check(t, checkNaive) }

// TestOwners: events that several owners have, and the questions that each is asked, give the answer of one source that has them all.
func TestOwners(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := histories(t)
		k := rapid.IntRange(1, 4).Draw(t, "owners")
		parts := make([][]*epcis.Event, k)
		for _, e := range events {
			i := rapid.IntRange(0, k-1).Draw(t, "owner")
			parts[i] = append(parts[i], e)
			if rapid.IntRange(0, 5).Draw(t, "two") == 0 {
				parts[(i+1)%k] = append(parts[(i+1)%k], e) // both captured it
			}
		}
		q := Question{Things: []string{rapid.SampledFrom(append(things("A", "B", "C"), lots[0])).Draw(t, "start")}, Up: rapid.Bool().Draw(t, "up"),
			Down: rapid.Bool().Draw(t, "down"), Depth: rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "depth")}
		if rapid.Bool().Draw(t, "bounded") {
			q.From, q.To = tick(rapid.IntRange(0, 6).Draw(t, "from")), tick(rapid.IntRange(7, ticks).Draw(t, "to"))
		}
		ctx := context.Background()
		want, err := Trace(ctx, hold(events...), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		pool := NewPool(nil)
		var got *Answer
		for round := 0; ; round++ {
			if got, err = pool.Trace(ctx, q, nil); err != nil {
				t.Fatal(err)
			}
			asked := false
			for i := range parts {
				name := fmt.Sprint("88.", i)
				seeds := pool.Open(name)
				if len(seeds) == 0 {
					continue
				}
				asked = true
				p, err := Walk(ctx, hold(parts[i]...), WalkQuestion{Frontier: seeds, From: q.From, To: q.To, Depth: q.Depth})
				if err != nil {
					t.Fatal(err)
				}
				p.Owner = name
				pool.Add(p)
			}
			if !asked {
				break
			}
			if round > 40 {
				t.Fatal("it does not end")
			}
		}
		for i := range got.Events {
			got.Events[i].Owner = ""
		}
		for i := range got.Things {
			got.Things[i].Owner = ""
		}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(got)
		if string(a) != string(b) {
			t.Fatalf("one source:\n%s\n%d owners:\n%s", a, k, b)
		}
	})
}

// TestSums: amounts are exact, whatever they are made of.
func TestSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sum, want := amount{}, new(big.Rat)
		for range rapid.IntRange(1, 12).Draw(t, "terms") {
			s := rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,12})?(e[0-9])?`).Draw(t, "term")
			a, ok := parseAmount(epcis.Decimal(s))
			r, _ := new(big.Rat).SetString(s)
			if !ok || a.rat().Cmp(r) != 0 {
				t.Fatalf("%s is read as %v", s, a)
			}
			sign := rapid.SampledFrom([]int64{1, -1}).Draw(t, "sign")
			sum = sum.plus(a, sign)
			want.Add(want, r.Mul(r, big.NewRat(sign, 1)))
		}
		if got, ok := new(big.Rat).SetString(string(sum.decimal())); !ok || got.Cmp(want) != 0 || sum.sign() != want.Sign() {
			t.Fatalf("%s, want %s", sum.decimal(), want)
		}
	})
}
