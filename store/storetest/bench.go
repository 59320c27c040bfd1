package storetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fujie-id/fujie/store"
)

// Bench measures an engine: batches of a thousand new records, single durable writes by one and by sixteen writers, and
// point reads. open returns a new, empty store.
func Bench(b *testing.B, open func(testing.TB) store.Store) {
	value := make([]byte, 200)
	for i := range value {
		value[i] = byte(i * 7)
	}
	key := func(i uint64) []byte {
		return fmt.Appendf(nil, "r88.118.%d\x00%016x", 1000+i%100, i*0x9e3779b97f4a7c15)
	}
	var n atomic.Uint64
	write := func(s store.Store, records int) error {
		var batch store.Batch
		for range records {
			i := n.Add(1)
			k := key(i)
			batch.Expect(k, nil)
			batch.Put(k, binary.BigEndian.AppendUint64(value[:len(value):len(value)], i))
			batch.Append([]byte("log\x00"), k)
		}
		_, err := s.Apply(context.Background(), &batch)
		return err
	}
	s := open(b)
	defer s.Close()
	b.Run("Load1000", func(b *testing.B) {
		for b.Loop() {
			if err := write(s, 1000); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("Write1", func(b *testing.B) {
		for b.Loop() {
			if err := write(s, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Write16", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if err := write(s, 1); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		last, i := n.Load(), uint64(0)
		keys := make([][]byte, 1000)
		for j := range keys {
			keys[j] = key(1 + uint64(j)*7919%last)
		}
		dst := make([]byte, 0, 1024)
		for b.Loop() {
			if _, err := s.Get(context.Background(), dst, keys[i%1000]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("ReadAhead", func(b *testing.B) {
		rows := 0
		for b.Loop() {
			if err := store.ReadAhead(context.Background(), s, store.Under([]byte("r")), func(k, v []byte) error { rows++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	})
}
