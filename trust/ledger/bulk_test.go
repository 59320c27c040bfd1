package ledger_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/ledger"
)

// product is a registration as enterprises make them.
func product(i int) record.Write {
	v := func(index uint32, typ, data string) record.Value {
		return record.Value{Index: index, Type: typ, Data: []byte(data), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: record.DefaultTTL}}
	}
	return record.Write{Op: record.Create, ID: id.MustParse(fmt.Sprintf("88.118.1001/ENG-%08d", i)), Values: []record.Value{
		v(1, "URL", fmt.Sprintf("https://example.com/products/%08d", i)), v(2, "DESC", fmt.Sprintf("engine no. %d", i)), v(2001, "batch", fmt.Sprintf("2026-11-%02d", i%30)),
	}}
}

var admin = record.Identity{Operator: true}

// node is a registry on pebble with a key that logs are signed by.
func node(t testing.TB, dir string) (*registry.Registry, *trust.PrivateKey) {
	t.Helper()
	s, err := pebble.Open(filepath.Join(dir, "store"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r, err := registry.Open(t.Context(), registry.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, r, []record.Write{{Op: record.Home, ID: id.PrefixRecord("88.118.1001")}})
	return r, key
}

func write(t testing.TB, r *registry.Registry, ws []record.Write) {
	t.Helper()
	rs, err := r.Write(t.Context(), admin, ws)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rs {
		if rs[i].Err != nil {
			t.Fatal(rs[i].Err)
		}
	}
}

// BenchmarkBulk registers the same products with and without a ledger that follows, in turns, and reports what the ledger
// costs: registration's own time, and the time until the ledger has published all of it.
func BenchmarkBulk(b *testing.B) {
	n, turns := 200_000, 3
	if s := os.Getenv("FUJIE_RECORDS"); s != "" {
		fmt.Sscan(s, &n)
	}
	run := func(dir string, with bool) (wrote, published time.Duration) {
		r, key := node(b, dir)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		done := make(chan error, 1)
		var l *ledger.Log
		if with {
			var err error
			l, err = ledger.Open(ctx, ledger.Config{Dir: filepath.Join(dir, "ledger", "changes"), Origin: "bench", Key: key, Source: ledger.Changes(r), ID: ledger.EntryID})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go func() { done <- l.Run(ctx) }()
		}
		batches := make([][]record.Write, 0, n/1000)
		for i := 0; i < n; i += 1000 {
			ws := make([]record.Write, 1000)
			for j := range ws {
				ws[j] = product(int(uint32(i+j) * 2654435761 >> 4))
			}
			batches = append(batches, ws)
		}
		start := time.Now()
		for _, ws := range batches {
			write(b, r, ws)
		}
		wrote = time.Since(start)
		if with {
			if err := l.Wait(ctx, uint64(n)+1); err != nil {
				b.Fatal(err)
			}
			published = time.Since(start)
			cancel()
			<-done
		}
		return wrote, published
	}
	var alone, with, until time.Duration
	for b.Loop() {
		for range turns {
			w, _ := run(b.TempDir(), false)
			alone += w
			w, p := run(b.TempDir(), true)
			with, until = with+w, until+p
		}
	}
	rate := func(d time.Duration) float64 { return float64(n*turns*b.N) / d.Seconds() }
	b.ReportMetric(rate(alone), "alone/s")
	b.ReportMetric(rate(with), "with-ledger/s")
	b.ReportMetric(rate(until), "published/s")
	b.ReportMetric(with.Seconds()/alone.Seconds(), "cost-ratio")
}
