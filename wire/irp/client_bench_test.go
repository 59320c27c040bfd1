package irp

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// What one question costs the client and the server together, on one machine.
func BenchmarkAsk(b *testing.B) {
	n := serve(b, trust.Ed25519)
	n.book.Put(bookPrefix+"/X", value(1, "URL", []byte("http://www.example.com/")))
	for _, p := range []record.Protocol{record.UDP, record.TCP, record.HTTP} {
		for _, certify := range []bool{false, true} {
			b.Run(fmt.Sprintf("%v/certify=%v", n.at[p].String()[:3], certify), func(b *testing.B) {
				c := newClient(b)
				q := record.Query{ID: id.MustParse(bookPrefix + "/X"), PublicOnly: true, Certify: certify}
				b.ReportAllocs()
				b.SetParallelism(16)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := c.Ask(b.Context(), n.at[p], q); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// One write by a known identity, in and outside of a session.
func BenchmarkWrite(b *testing.B) {
	for name, o := range map[string]AdminOptions{"session": {InFlight: 128}, "encrypted": {Encrypt: true, InFlight: 128}, "each": {NoSession: true, InFlight: 128}} {
		b.Run(name, func(b *testing.B) {
			n := serve(b, trust.Ed25519)
			a := n.admin1(b, newClient(b), n.at[record.TCP], n.login(), o)
			var made atomic.Int64
			b.ReportAllocs()
			for b.Loop() {
				ws := make([]record.Write, 500)
				for i := range ws {
					ws[i] = record.Write{Op: record.Create, ID: id.MustParse(fmt.Sprintf("%s/%d", bookPrefix, made.Add(1))), Values: []record.Value{value(1, "URL", []byte("http://www.example.com/"))}}
				}
				rs, err := a.Write(b.Context(), record.Identity{}, ws)
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range rs {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
			}
			b.ReportMetric(float64(500*b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}
