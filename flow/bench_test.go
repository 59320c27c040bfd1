package flow

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fujie-id/fujie/store/pebble"
)

// disk is a running world with its store on a disk.
func disk(b *testing.B, programs ...*Program) *world {
	b.Helper()
	st, err := pebble.Open(b.TempDir(), pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, st, programs...)
	w.now = time.Now()
	w.start()
	b.Cleanup(func() {
		w.stop()
		st.Close()
	})
	return w
}

// Lines that pack bottles, each scan sent by itself and waited for: scans a second with everything durable.
func BenchmarkLine(b *testing.B) {
	for _, lines := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			w := disk(b, caseProgram(b, "bottle-to-store", "pack-box"))
			var box, bottle atomic.Int64
			left := atomic.Int64{}
			left.Store(int64(b.N))
			took := make([][]time.Duration, lines)
			b.ResetTimer()
			var wg sync.WaitGroup
			for l := range lines {
				wg.Go(func() {
					for left.Load() > 0 {
						r, err := w.engine.Scan(context.Background(), caller("LINE"), Scan{ID: fmt.Sprint("x", box.Load(), l, left.Load()), Flow: "bottle-to-store/pack-box", Code: fmt.Sprintf("%s/X%011d", home, box.Add(1)), Form: map[string]any{"product": "Baijiu"}})
						if err != nil {
							b.Error(err)
							return
						}
						left.Add(-1)
						for range 6 {
							began := time.Now()
							n := bottle.Add(1)
							if r, err = w.engine.Scan(context.Background(), caller("LINE"), Scan{ID: fmt.Sprint("b", n), Run: r.Run, Code: fmt.Sprintf("%s/B%013d", home, n)}); err != nil || r.Verdict != Passed {
								b.Error(r, err)
								return
							}
							took[l] = append(took[l], time.Since(began))
							left.Add(-1)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			all := slices.Concat(took...)
			slices.Sort(all)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "scans/s")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "ms-p99")
		})
	}
}

// A scanner that sends a thousand scans of twenty boxes at once.
func BenchmarkBatch(b *testing.B) {
	w := disk(b, caseProgram(b, "bottle-to-store", "pack-box"))
	box, bottle := 0, 0
	scans := 0
	for b.Loop() {
		var list []Scan
		for len(list)+7 <= 1000 {
			box++
			name := fmt.Sprint("x", box)
			list = append(list, Scan{ID: name, Flow: "bottle-to-store/pack-box", Code: fmt.Sprintf("%s/X%011d", home, box), Form: map[string]any{"product": "Baijiu"}})
			for range 6 {
				bottle++
				list = append(list, Scan{ID: fmt.Sprint("b", bottle), Run: "@" + name, Code: fmt.Sprintf("%s/B%013d", home, bottle)})
			}
		}
		out, err := w.engine.ScanBatch(context.Background(), caller("LINE"), list)
		if err != nil {
			b.Fatal(err)
		}
		for i := range out {
			if out[i].Error != "" || out[i].Verdict != Passed {
				b.Fatalf("%+v: %+v", list[i], out[i])
			}
		}
		scans += len(list)
	}
	b.ReportMetric(float64(scans)/b.Elapsed().Seconds(), "scans/s")
}

// Steps at a steady 500 a second: how long the slowest of a hundred takes.
func BenchmarkStep(b *testing.B) {
	w := disk(b, caseProgram(b, "order-interception", "parcel"))
	for i := range b.N/5 + 1 {
		w.put(fmt.Sprintf("%s/SO%d", home, i), "order", map[string]string{"state": "normal", "sku": "A", "quantity": "1"})
	}
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	b.ResetTimer()
	began := time.Now()
	for i := range b.N {
		time.Sleep(time.Until(began.Add(time.Duration(i) * 2 * time.Millisecond)))
		wg.Go(func() {
			at := time.Now()
			if _, err := w.engine.Scan(context.Background(), caller("P"), Scan{ID: fmt.Sprint(i), Flow: "order-interception/parcel", Code: fmt.Sprintf("%s/SO%d", home, i%(b.N/5+1))}); err != nil {
				b.Error(err)
			}
			took[i] = time.Since(at)
		})
	}
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
}
