package history_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"net/url"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
)

// plainEvent is event i of a company that makes, packs and ships: of ten events nine are about one thing each, and the tenth puts those nine into a case.
func plainEvent(i int) epcis.Event {
	e := epcis.Event{Type: epcis.ObjectEvent, Time: start.Add(time.Duration(i) * 37 * time.Millisecond), TimeZoneOffset: "+00:00", Action: epcis.Observe,
		BizStep: "commissioning", Disposition: "active", ReadPoint: &epcis.Location{ID: "urn:epc:id:sgln:9506000.13435." + strconv.Itoa(i%7)},
		BizLocation: &epcis.Location{ID: "urn:epc:id:sgln:9506000.13435.0"}}
	if i%10 == 9 {
		e.Type, e.Action, e.BizStep, e.Parent = epcis.AggregationEvent, epcis.Add, "packing", "urn:epc:id:sscc:9506000.0"+fmt.Sprintf("%09d", i)
		for j := i - 9; j < i; j++ {
			e.EPCs = append(e.EPCs, "urn:epc:id:sgtin:9506000.013435."+strconv.Itoa(j))
		}
		return e
	}
	e.EPCs = []string{"urn:epc:id:sgtin:9506000.013435." + strconv.Itoa(i)}
	return e
}

func openPebble(b testing.TB) store.Store {
	s, err := pebble.Open(b.TempDir(), pebble.Options{Cache: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// copier is a store that keeps the batches it applies.
type copier struct {
	store.Store
	batches []store.Batch
}

func (c *copier) Apply(ctx context.Context, b *store.Batch) (store.Receipt, error) {
	var o store.Batch
	for _, op := range b.Ops {
		if op.Kind != store.OpExpect {
			o.Ops = append(o.Ops, store.Op{Kind: op.Kind, Key: append([]byte(nil), op.Key...), Value: append([]byte{}, op.Value...)})
		}
	}
	c.batches = append(c.batches, o)
	return c.Store.Apply(ctx, b)
}

// BenchmarkCapture captures batches of 1,000 events, and puts the same into the engine without this package: Rows as 1,000 keys with the events' bytes, Batches with the index, too.
func BenchmarkCapture(b *testing.B) {
	const size = 1000
	batch := func(n int) []epcis.Event {
		events := make([]epcis.Event, size)
		for i := range events {
			events[i] = plainEvent(n*size + i)
		}
		return events
	}
	rate := func(b *testing.B) { b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "events/s") }
	b.Run("History", func(b *testing.B) {
		h, err := history.Open(b.Context(), history.Config{Store: openPebble(b)})
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; b.Loop(); n++ {
			b.StopTimer()
			events := batch(n)
			b.StartTimer()
			if _, err := h.Capture(b.Context(), history.Ref{Index: 300, Name: "88.118.1001/A"}, events); err != nil {
				b.Fatal(err)
			}
		}
		rate(b)
	})
	c := &copier{Store: openPebble(b)}
	h, err := history.Open(b.Context(), history.Config{Store: c})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 100 {
		if _, err := h.Capture(b.Context(), history.Ref{Index: 300, Name: "88.118.1001/A"}, batch(n)); err != nil {
			b.Fatal(err)
		}
	}
	bytes, ops := 0, 0
	for i := range c.batches {
		for _, op := range c.batches[i].Ops {
			bytes += len(op.Key) + len(op.Value)
			ops++
		}
	}
	b.Logf("an event is %d keys and %d bytes, index and all", ops/100/size, bytes/100/size)
	c.batches = c.batches[1:] // the first is the secret's
	b.Run("Batches", func(b *testing.B) {
		s := openPebble(b)
		n := 0
		for b.Loop() {
			// The keys' last bytes are made anew on every round, so that they are new keys.
			o := c.batches[n%len(c.batches)]
			if n >= len(c.batches) {
				b.StopTimer()
				for i := range o.Ops {
					if k := o.Ops[i].Key; len(k) > 20 {
						k[len(k)-5] = byte(n / len(c.batches))
					}
				}
				b.StartTimer()
			}
			if _, err := s.Apply(b.Context(), &o); err != nil {
				b.Fatal(err)
			}
			n++
		}
		rate(b)
	})
	b.Run("Rows", func(b *testing.B) {
		s := openPebble(b)
		var o store.Batch
		n := uint64(0)
		for b.Loop() {
			o.Reset()
			from := c.batches[n%uint64(len(c.batches))]
			for _, op := range from.Ops {
				if len(op.Key) == 9 && op.Key[2] == 'e' {
					n++
					o.Put(binary.BigEndian.AppendUint64([]byte("r"), n), op.Value)
				}
			}
			n = n/size*size + size
			if _, err := s.Apply(b.Context(), &o); err != nil {
				b.Fatal(err)
			}
		}
		rate(b)
	})
}

// BenchmarkRead asks a history of FUJIE_EVENTS events, 200,000 if it is not set.
func BenchmarkRead(b *testing.B) {
	many := 200000
	if n, err := strconv.Atoi(os.Getenv("FUJIE_EVENTS")); err == nil {
		many = n
	}
	s := openPebble(b)
	h, err := history.Open(b.Context(), history.Config{Store: s})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for n := 0; n < many; n += 1000 {
		events := make([]epcis.Event, 1000)
		for i := range events {
			events[i] = plainEvent(n + i)
		}
		if _, err := h.Capture(b.Context(), history.Ref{}, events); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d events in %v", many, time.Since(began))
	i := 0
	next := func() int {
		i++
		n := (i * 7919 * 104729) % many
		if n%10 == 9 {
			n--
		}
		return n
	}
	thing := func(n int) string { return epcis.Key("urn:epc:id:sgtin:9506000.013435." + strconv.Itoa(n)) }
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, 1024)
		for b.Loop() {
			key := append([]byte("E\x00e\x00\x00"), 0, 0, 0, 0)
			binary.BigEndian.PutUint32(key[5:], uint32(next()+1))
			if _, err := s.Get(b.Context(), dst, key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Touching", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for _, err := range h.Touching(b.Context(), thing(next()), time.Time{}, time.Time{}) {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			if n != 2 {
				b.Fatal(n)
			}
		}
	})
	b.Run("QueryByEPC", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q, err := query.ParseURL(url.Values{"MATCH_anyEPC": {thing(next())}})
			if err != nil {
				b.Fatal(err)
			}
			page, err := h.Query(b.Context(), q, "", 30)
			if err != nil || len(page.Events) != 2 {
				b.Fatal(len(page.Events), err)
			}
		}
	})
	b.Run("QueryByStep", func(b *testing.B) {
		for b.Loop() {
			q, err := query.ParseURL(url.Values{"EQ_bizStep": {"packing"}, "orderBy": {"eventTime"}})
			if err != nil {
				b.Fatal(err)
			}
			page, err := h.Query(b.Context(), q, "", 30)
			if err != nil || len(page.Events) != 30 {
				b.Fatal(len(page.Events), err)
			}
		}
	})
}
