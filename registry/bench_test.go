package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/pebble"
)

// product is a registration as enterprises make them: an address, a name, a batch, a maker.
func product(i int) record.Write {
	return record.Write{Op: record.Create, ID: id.MustParse(fmt.Sprintf("88.118.1001/ENG-%08d", i)), Values: []record.Value{
		text(1, "URL", fmt.Sprintf("https://example.com/products/%08d", i)),
		text(2, "DESC", fmt.Sprintf("engine no. %d", i)),
		text(2001, "batch", fmt.Sprintf("2026-11-%02d", i%30)),
	}}
}

func disk(t testing.TB) store.Store {
	t.Helper()
	s, err := pebble.Open(filepath.Join(t.TempDir(), "db"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// BenchmarkRegister is durable registration, 1,000 to a batch, in random order.
func BenchmarkRegister(b *testing.B) {
	r := enterprise(b, Config{Store: disk(b)})
	b.ReportAllocs()
	step := 0
	for b.Loop() {
		b.StopTimer()
		ws := make([]record.Write, 1000)
		for i := range ws {
			ws[i] = product(int(uint32(step*1000+i) * 2654435761 >> 4))
		}
		step++
		b.StartTimer()
		must(b, r, admin, ws...)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/record")
}

// BenchmarkRaw is the same bytes given to the engine at once: what BenchmarkRegister is to be measured by.
func BenchmarkRaw(b *testing.B) {
	s := disk(b)
	r := enterprise(b, Config{Store: memory.New()})
	step := 0
	for b.Loop() {
		b.StopTimer()
		ws := make([]record.Write, 1000)
		for i := range ws {
			ws[i] = product(int(uint32(step*1000+i) * 2654435761 >> 4))
		}
		step++
		c := &call{by: admin}
		r.prepare(c, ws)
		var batch store.Batch
		for i := range c.writes {
			batch.Put(c.writes[i].key, c.writes[i].value)
		}
		b.StartTimer()
		if _, err := s.Apply(context.Background(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/record")
}

// BenchmarkAppendPublic is answers in random order over FUJIE_RECORDS records (100,000 if it is not set).
func BenchmarkAppendPublic(b *testing.B) {
	n := 100_000
	if s := os.Getenv("FUJIE_RECORDS"); s != "" {
		fmt.Sscan(s, &n)
	}
	r := enterprise(b, Config{Store: disk(b), HotBytes: 512 << 20})
	names := make([][]byte, n)
	for i := 0; i < n; i += 5000 {
		var ws []record.Write
		for j := i; j < min(n, i+5000); j++ {
			w := product(j)
			names[j] = []byte(w.ID.String())
			ws = append(ws, w)
		}
		must(b, r, admin, ws...)
	}
	dst := make([]byte, 0, 4096)
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.appendStored(dst, names[rand.IntN(n)], 1)
		}
	})
	for i := range names {
		r.AppendPublic(dst, names[i], 1)
	}
	b.Run("ready", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, ok := r.AppendPublic(dst, names[rand.IntN(n)], 1); !ok {
				b.Fatal("not answered")
			}
		}
	})
}
