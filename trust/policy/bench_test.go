package policy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/trust/policy"
)

// BenchmarkPublic is look-ups while all is public, with the rules over without them in the same run: ready answers, such
// as are made from the store, and the long way. Records keep to a template. "over" is the time with rules over the time
// without, the two taking turns; medians, so that the machine's other work does not count.
func BenchmarkPublic(b *testing.B) {
	const n = 20_000
	s, err := pebble.Open(filepath.Join(b.TempDir(), "db"), pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	p, err := policy.New(policy.Config{Prefix: "88.118.1001", Store: s, Classes: classes{"88.118.1001/META_ENGINE": {Default: policy.Public}}})
	if err != nil {
		b.Fatal(err)
	}
	open := func(g record.Governor, hot int64) *registry.Registry {
		r, err := registry.Open(b.Context(), registry.Config{Store: s, Governor: g, HotBytes: hot})
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	plain, ruled := [2]*registry.Registry{open(nil, 0), open(nil, 64<<20)}, [2]*registry.Registry{open(p, 0), open(p, 64<<20)}
	names := make([][]byte, n)
	writes := []record.Write{{Op: record.Home, ID: id.MustParse("0.NA/88.118.1001")}}
	for i := range names {
		w := engine(fmt.Sprintf("88.118.1001/ENG-%08d", i))
		names[i] = []byte(w.ID.String())
		writes = append(writes, w)
	}
	if _, err := plain[0].Write(b.Context(), operator, writes); err != nil {
		b.Fatal(err)
	}
	for _, r := range []*registry.Registry{plain[1], ruled[0], ruled[1]} { // opened before the prefix was here
		if _, err := r.Write(b.Context(), operator, writes[:1]); err != nil {
			b.Fatal(err)
		}
	}
	plain[1], ruled[0], ruled[1] = open(nil, 64<<20), open(p, 0), open(p, 64<<20)
	if err := p.Open(b.Context(), guarded{ruled[1], nil}); err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	fast := func(r *registry.Registry, name []byte) {
		if _, _, ok := r.AppendPublic(dst, name, 1); !ok {
			b.Fatal("not answered")
		}
	}
	long := func(r *registry.Registry, name []byte) {
		v, _ := id.ParseHandle(string(name))
		if _, err := r.Resolve(context.Background(), record.Query{ID: v}); err != nil {
			b.Fatal(err)
		}
	}
	for _, way := range []struct {
		name string
		hot  int
		ask  func(*registry.Registry, []byte)
	}{{"ready", 1, fast}, {"store", 0, fast}, {"long", 0, long}} {
		for i := range names {
			way.ask(plain[way.hot], names[i])
			way.ask(ruled[way.hot], names[i])
		}
		b.Run(way.name, func(b *testing.B) {
			const turn = 64
			var took [2][]time.Duration // without, with
			var ask [turn][]byte
			for i := 0; b.Loop(); i++ {
				for j := range ask {
					ask[j] = names[rand.IntN(n)]
					way.ask(plain[way.hot], ask[j]) // so that neither is the first to bring it near
					way.ask(ruled[way.hot], ask[j])
				}
				for k := range 2 {
					k ^= i & 1
					r := plain[way.hot]
					if k == 1 {
						r = ruled[way.hot]
					}
					t := time.Now()
					for _, name := range ask {
						way.ask(r, name)
					}
					took[k] = append(took[k], time.Since(t))
				}
			}
			for k := range took { // the machine's other work makes single turns long
				slices.Sort(took[k])
			}
			without, with := took[0][len(took[0])/2], took[1][len(took[1])/2]
			b.ReportMetric(float64(with)/float64(without), "over")
			b.ReportMetric(float64(with.Nanoseconds())/turn, "ns/with")
		})
	}
}

// BenchmarkGranted is a look-up by somebody to whom a value was granted: the decision and the entry in the trail.
func BenchmarkGranted(b *testing.B) {
	w := newWorld(b, nil)
	w.must(operator, engine(eng))
	x := reading("88.118.1002")
	x.When = `context.hour >= 8 && context.purpose == "warranty"`
	w.own(eng, policy.Rule{Items: []string{"price"}, Visibility: policy.Granted, Grants: []policy.Grant{x}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.r.Resolve(b.Context(), record.Query{ID: id.MustParse(eng), By: partner, Purpose: "warranty"}); err != nil {
			b.Fatal(err)
		}
	}
}
