package across_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/trace/graph"
)

// bottles is ten links over five enterprises: a farm's drum becomes a distillery's tank, that a bottler's bottles; they go into a box, that onto a carrier's pallet, that into its lorry,
// and out of all of them again in a shop.
func bottles(of func(prefix string) *firm) map[string]*firm {
	farm := of("88.1").make(1, "88.1/DRUM").hand(2, "88.1", "88.2", "88.1/DRUM")
	distillery := of("88.2").hand(3, "88.1", "88.2", "88.1/DRUM").cut(5, []string{"88.1/DRUM"}, []string{"88.2/TANK"}).hand(6, "88.2", "88.3", "88.2/TANK")
	bottler := of("88.3").hand(7, "88.2", "88.3", "88.2/TANK").cut(9, []string{"88.2/TANK"}, []string{"88.3/B-1", "88.3/B-2", "88.3/B-3", "88.3/B-4"}).
		pack(10, "88.3/BOX-1", "88.3/B-1", "88.3/B-2").pack(11, "88.3/BOX-2", "88.3/B-3", "88.3/B-4").hand(12, "88.3", "88.4", "88.3/BOX-1", "88.3/BOX-2")
	carrier := of("88.4").hand(13, "88.3", "88.4", "88.3/BOX-1", "88.3/BOX-2").pack(14, "88.4/PALLET", "88.3/BOX-1", "88.3/BOX-2").pack(15, "88.4/LORRY", "88.4/PALLET").
		unpack(20, "88.4/LORRY", "88.4/PALLET").hand(21, "88.4", "88.5", "88.4/PALLET")
	shop := of("88.5").hand(22, "88.4", "88.5", "88.4/PALLET").unpack(23, "88.4/PALLET", "88.3/BOX-1", "88.3/BOX-2").unpack(24, "88.3/BOX-1", "88.3/B-1", "88.3/B-2").
		make(25, "88.5/RECEIPT").add(sold("88.5", 26, "88.3/B-1"))
	return map[string]*firm{"88.1": farm, "88.2": distillery, "88.3": bottler, "88.4": carrier, "88.5": shop, "88.9": of("88.9")}
}

// situation is what is known when a trace begins. The times are round trips, for an asker at an end of the chain or outside it, and for one in its middle.
type situation struct {
	name        string
	knows       []string // what the asker's recursor has
	known       bool     // so do the others', and the asker's key besides
	again       bool     // it is the second trace of the same asker
	end, middle float64
}

// An enterprise that is named for the first time costs five round trips: its delegation; connecting and TLS, while the place of its events is looked for; the question; and meanwhile the
// asker's key, which the other side looks for. One whose delegation is known, as it is for a day, and which knows the asker, costs three.
var situations = []situation{
	{name: "nothing known", end: 17, middle: 13},
	{name: "country known", knows: []string{"0.NA/0.NA", "0.NA/88"}, end: 15, middle: 11},
	{name: "partners known", knows: []string{"0.NA/0.NA", "0.NA/88", "0.NA/88.1", "0.NA/88.2", "0.NA/88.3", "0.NA/88.4", "0.NA/88.5"}, known: true, end: 9, middle: 6},
	{name: "again", again: true, end: 3, middle: 2},
}

// spread opens the enterprises of the chain, each at the distance of a round trip from all others, and gives the one that asks.
func (c *situation) spread(t testing.TB, trip time.Duration, asker string) *firm {
	w := newWorld(t)
	net := &far{trip: trip, listeners: map[string]*farListener{}}
	all := bottles(func(p string) *firm {
		f := w.firm(p)
		f.listener, f.dial = net.listen(), net.dial
		knows := []string{"0.NA/0.NA", "0.NA/88", "0.NA/" + p} // a node has looked for those above it
		if c.known {
			knows = append(slices.Clone(c.knows), "0.NA/"+asker)
		}
		f.resolver = newFarResolver(w, trip, knows...)
		return f
	})
	all[asker].resolver = newFarResolver(w, trip, append(slices.Clone(c.knows), "0.NA/"+asker)...)
	for _, f := range all {
		f.open()
	}
	if c.again {
		all[asker].trace(bottle)
	}
	return all[asker]
}

var bottle = graph.Question{Things: []string{"88.3/B-1"}, Up: true, Down: true}

// TestRounds: a trace of ten links over five enterprises, up and down, takes less than ten round trips when they know of each other. Time is virtual: each way of a packet takes half
// a round trip and nothing else takes any, so that the time that passed tells the round trips, those of finding, connecting, proving and asking all among them.
func TestRounds(t *testing.T) {
	const trip = 100 * time.Millisecond
	for _, c := range situations {
		for _, asker := range []string{"88.1", "88.2", "88.3", "88.4", "88.5", "88.9"} {
			t.Run(c.name+" "+asker, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := c.spread(t, trip, asker)
					began := time.Now()
					a, _ := f.trace(bottle)
					took := time.Since(began).Seconds() / trip.Seconds()
					rounds := 0
					asked := map[string]bool{}
					for _, h := range a.Hops {
						if h.Outcome != "answered" {
							t.Errorf("%+v", h)
						}
						asked[h.Owner] = true
						rounds = max(rounds, h.Round)
					}
					if got := keys(a); got != "88.1/DRUM 88.2/TANK 88.3/B-1 88.3/BOX-1 88.4/LORRY 88.4/PALLET" || !a.Complete || len(asked) < 4 {
						t.Errorf("%s, complete %v, asked %v", got, a.Complete, asked)
					}
					t.Logf("%.1f round trips, %d rounds of questions to %d others", took, rounds, len(asked))
					want := c.end
					if asker == "88.3" {
						want = c.middle
					}
					if took > want+0.01 {
						t.Errorf("%.1f round trips, want %.0f at most", took, want)
					}
				})
			})
		}
	}
}

// BenchmarkRounds is the same with a true delay of 20 ms for each round trip, asked by the shop.
func BenchmarkRounds(b *testing.B) {
	const trip = 20 * time.Millisecond
	for _, c := range situations {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			var all []time.Duration
			for b.Loop() {
				b.StopTimer()
				f := c.spread(b, trip, "88.5")
				b.StartTimer()
				began := time.Now()
				f.trace(bottle)
				all = append(all, time.Since(began))
			}
			slices.Sort(all)
			median := all[len(all)/2]
			b.ReportMetric(float64(median.Microseconds())/1e3, "ms-p50")
			b.ReportMetric(median.Seconds()/trip.Seconds(), "trips")
		})
	}
}
