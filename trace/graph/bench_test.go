package graph

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// bulk is groups of goods: a drum made into a tank, that into 24 bottles, these in four boxes on a pallet in a lorry, and out of it again.
func bulk(groups int) (out []*epcis.Event) {
	for g := range groups {
		name := func(kind string) string { return fmt.Sprintf("%s-%d", kind, g) }
		var boxes, all []string
		var in [][]string
		for i := range 4 {
			boxes = append(boxes, fmt.Sprintf("BOX-%d-%d", g, i))
			var six []string
			for j := range 6 {
				six = append(six, fmt.Sprintf("BOTTLE-%d-%d-%d", g, i, j))
			}
			in, all = append(in, six), append(all, six...)
		}
		out = append(out, process(0, []string{name("DRUM")}, []string{name("TANK")}), process(1, []string{name("TANK")}, all))
		for i, b := range boxes {
			out = append(out, pack(2, b, in[i]...))
		}
		out = append(out, pack(3, name("PALLET"), boxes...), pack(4, name("LORRY"), name("PALLET")), see(5, "ROAD", name("LORRY")),
			unpack(6, name("LORRY"), name("PALLET")), unpack(7, name("PALLET"), boxes...))
		for i, b := range boxes {
			out = append(out, unpack(8, b, in[i]...))
		}
	}
	return out
}

// many is a memory without its notes, to be asked by several at once.
type many struct{ *memory }

func (m many) Parallel() int { return 4 }

func (m many) Touching(_ context.Context, thing string, _, _ time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) {
		for _, e := range m.byKey[thing] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func BenchmarkTrace(b *testing.B) {
	src := hold(bulk(100)...)
	b.ReportAllocs()
	for b.Loop() {
		if a, err := Trace(b.Context(), src, Question{Things: things("BOTTLE-50-1-1"), Up: true, Down: true}, nil); err != nil || len(a.Things) != 6 {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecallSet(b *testing.B) {
	const groups = 3300 // about 100,000 things
	src := many{hold(bulk(groups)...)}
	var drums []string
	for g := range groups {
		drums = append(drums, thing(fmt.Sprintf("DRUM-%d", g)))
	}
	b.ReportAllocs()
	for b.Loop() {
		set, err := RecallSet(b.Context(), src, RecallQuestion{Things: drums}, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(set.Things)), "things")
	}
}
