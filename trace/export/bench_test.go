package export

import (
	"context"
	"fmt"
	"iter"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// stream gives n events that are made as they are asked for, ten things each.
func stream(n int) Source {
	return func(context.Context, Mark) iter.Seq2[Item, error] {
		return func(yield func(Item, error) bool) {
			for i := range n {
				e := &epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: fmt.Sprintf("urn:uuid:%032x", i), Time: noon.Add(time.Duration(i) * time.Second), TimeZoneOffset: "+08:00",
					RecordTime: noon.Add(time.Duration(i) * time.Millisecond), BizStep: "shipping", BizLocation: &epcis.Location{ID: fmt.Sprint("88.118.1001/PLANT-", i%7)},
					Sensors: []epcis.SensorElement{{Reports: []epcis.SensorReport{{Type: "Temperature", Value: "-18.5", Unit: "CEL"}}}}}
				for k := range 10 {
					e.EPCs = append(e.EPCs, fmt.Sprintf("88.118.1001/G-%d-%d", i, k))
				}
				if !yield(Item{Sequence: uint64(i + 1), Event: e, Hash: "ni:///sha-256;0?ver=CBV2.0"}, nil) {
					return
				}
			}
		}
	}
}

// TestMemory: ten times as many events need no more memory.
func TestMemory(t *testing.T) {
	if os.Getenv("FUJIE_SOAK") != "1" {
		t.Skip("a long export; FUJIE_SOAK=1 runs it")
	}
	for _, form := range []Form{Parquet, PostgreSQL, ClickHouse} {
		peak := func(n int) (most uint64) {
			runtime.GC()
			o := Options{Form: form, Part: 1 << 40, hasty: true, Progress: func(p Progress) {
				if p.Events%20_000 == 0 {
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapInuse)
				}
			}}
			if _, err := Folder(context.Background(), t.TempDir(), o, stream(n)); err != nil {
				t.Fatal(err)
			}
			return most
		}
		few, many := peak(60_000), peak(600_000)
		t.Logf("%s: %d MB for 60,000 events, %d MB for 600,000", form, few>>20, many>>20)
		if many > 2*few+64<<20 {
			t.Errorf("%s: memory grows with the events", form)
		}
	}
}

func BenchmarkFolder(b *testing.B) {
	for _, form := range []Form{Parquet, PostgreSQL, ClickHouse} {
		b.Run(string(form), func(b *testing.B) {
			if _, err := Folder(context.Background(), b.TempDir(), Options{Form: form}, stream(b.N)); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
