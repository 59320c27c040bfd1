package bench_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/jackc/pgx/v5"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/open"
	"github.com/fujie-id/fujie/store/postgres/postgrestest"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
)

// The figures of traceability: `make bench-trace`. Every one is measured beside its peer or ceiling in the same run.

// traceEvents is how many events the histories hold; FUJIE_EVENTS=10000000 is what is published.
func traceEvents() int {
	if n, err := strconv.Atoi(os.Getenv("FUJIE_EVENTS")); err == nil && n > 0 {
		return n
	}
	return 100_000
}

// chainEvents is how many events one group of goods has: raw material in a drum is made into a tank of liquor, that into bottles; bottles go into boxes, boxes
// onto a pallet, the pallet into a lorry; then all of it is taken apart again at the other end, and the bottles are sold.
const (
	chainBoxes   = 4
	chainBottles = 6 // of a box
)

// chain is the events of group g, in the order of time.
func chain(g int, dst []epcis.Event) []epcis.Event {
	t := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(g) * 7 * time.Second)
	prefix := "88.608.24061301/"
	name := func(kind string, k ...int) string {
		b := append([]byte(prefix), kind...)
		b = strconv.AppendInt(b, int64(g), 10)
		for _, i := range k {
			b = strconv.AppendInt(append(b, '-'), int64(i), 10)
		}
		return string(b)
	}
	add := func(typ epcis.EventType, action epcis.Action, step, place string) *epcis.Event {
		t = t.Add(11 * time.Minute)
		dst = append(dst, epcis.Event{Type: typ, Action: action, Time: t, TimeZoneOffset: "+08:00", BizStep: step, Disposition: "in_progress",
			ReadPoint: &epcis.Location{ID: prefix + "GATE-" + place}, BizLocation: &epcis.Location{ID: prefix + place}})
		return &dst[len(dst)-1]
	}
	drum, tank, pallet, lorry := name("D"), name("T"), name("P"), name("L")
	var boxes []string
	var bottles [][]string
	for i := range chainBoxes {
		boxes = append(boxes, name("X", i))
		var six []string
		for j := range chainBottles {
			six = append(six, name("B", i, j))
		}
		bottles = append(bottles, six)
	}
	add(epcis.ObjectEvent, epcis.Add, "commissioning", "FARM").EPCs = []string{drum}
	e := add(epcis.TransformationEvent, "", "creating_class_instance", "DISTILLERY")
	e.InputEPCs, e.OutputEPCs = []string{drum}, []string{tank}
	add(epcis.ObjectEvent, epcis.Observe, "storing", "CELLAR").EPCs = []string{tank}
	e = add(epcis.TransformationEvent, "", "commissioning", "LINE-1")
	e.InputEPCs, e.OutputEPCs = []string{tank}, slices.Concat(bottles...)
	for i, box := range boxes {
		e = add(epcis.AggregationEvent, epcis.Add, "packing", "LINE-1")
		e.Parent, e.EPCs = box, bottles[i]
	}
	e = add(epcis.AggregationEvent, epcis.Add, "packing", "PALLETS")
	e.Parent, e.EPCs = pallet, boxes
	e = add(epcis.AggregationEvent, epcis.Add, "loading", "RAMP-7")
	e.Parent, e.EPCs = lorry, []string{pallet}
	add(epcis.ObjectEvent, epcis.Observe, "shipping", "RAMP-7").EPCs = []string{lorry}
	e = add(epcis.AggregationEvent, epcis.Delete, "unloading", "SHOP-RAMP")
	e.Parent, e.EPCs = lorry, []string{pallet}
	e = add(epcis.AggregationEvent, epcis.Delete, "unpacking", "SHOP-RAMP")
	e.Parent, e.EPCs = pallet, boxes
	for i, box := range boxes {
		e = add(epcis.AggregationEvent, epcis.Delete, "unpacking", "SHELF")
		e.Parent, e.EPCs = box, bottles[i]
	}
	add(epcis.ObjectEvent, epcis.Observe, "retail_selling", "TILL").EPCs = bottles[0]
	return dst
}

var chainLength = len(chain(0, nil))

// bottleOf is one bottle of group g.
func bottleOf(g int) string {
	return fmt.Sprintf("88.608.24061301/B%d-%d-%d", g, g%chainBoxes, g%chainBottles)
}

// recording remembers what a store is given, to give the same to the bare engine.
type recording struct {
	store.Store
	batches [][]store.Op
	keep    bool
}

func (r *recording) Apply(ctx context.Context, b *store.Batch) (store.Receipt, error) {
	if r.keep {
		ops := make([]store.Op, len(b.Ops))
		for i, op := range b.Ops {
			ops[i] = store.Op{Kind: op.Kind, Key: bytes.Clone(op.Key), Value: bytes.Clone(op.Value)}
		}
		r.batches = append(r.batches, ops)
	}
	return r.Store.Apply(ctx, b)
}

func openHistory(b *testing.B, dir string) (*history.History, *recording) {
	b.Helper()
	s, err := open.Open(b.Context(), "pebble://"+filepath.ToSlash(dir)+"?cache=256&memtable=64", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	r := &recording{Store: s}
	h, err := history.Open(b.Context(), history.Config{Store: r, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	return h, r
}

// captureAll captures n events in batches of a thousand, and hears of each batch.
func captureAll(b *testing.B, h *history.History, n int, each func(events []epcis.Event)) {
	b.Helper()
	by := record.Ref{}
	var events []epcis.Event
	for g := 0; g*chainLength < n; g++ {
		events = chain(g, events)
		if len(events) < 1000 && (g+1)*chainLength < n {
			continue
		}
		if _, err := h.Capture(b.Context(), by, events); err != nil {
			b.Fatal(err)
		}
		if each != nil {
			each(events)
		}
		events = events[:0:0]
	}
}

// BenchmarkHash is the natural identity of events: how many a second on one core, and what part of it is SHA-256 itself.
func BenchmarkHash(b *testing.B) {
	events := chain(1, nil)
	var pre []byte
	for i := range events {
		pre = epcis.AppendPrehash(pre, &events[i])
	}
	for b.Loop() {
		for i := range events {
			epcis.Hash(&events[i])
		}
	}
	per := float64(b.Elapsed().Nanoseconds()) / float64(b.N*len(events))
	start := time.Now()
	const rounds = 2000
	for range rounds {
		sha256.Sum256(pre)
	}
	bare := float64(time.Since(start).Nanoseconds()) / float64(rounds*len(events))
	b.ReportMetric(1e9/per, "hashes/s")
	b.ReportMetric(per/bare, "x-sha256")
}

// BenchmarkCapture is durable capture in batches of a thousand, beside the engine's own batches of the same bytes.
func BenchmarkCapture(b *testing.B) {
	n := min(traceEvents(), 200_000)
	for b.Loop() {
		b.StopTimer()
		h, r := openHistory(b, b.TempDir())
		r.keep = true
		captureAll(b, h, n, nil) // what is given to the engine
		batches := r.batches
		h2, _ := openHistory(b, b.TempDir())
		var batch [][]epcis.Event
		var events []epcis.Event
		for g := 0; g*chainLength < n; g++ {
			if events = chain(g, events); len(events) >= 1000 || (g+1)*chainLength >= n {
				batch, events = append(batch, events), nil
			}
		}
		runtime.GC()
		start := time.Now()
		for _, events := range batch {
			if _, err := h2.Capture(b.Context(), record.Ref{}, events); err != nil {
				b.Fatal(err)
			}
		}
		ours := time.Since(start)

		db, err := pebble.Open(b.TempDir(), &pebble.Options{MemTableSize: 64 << 20, Logger: quiet{}})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		start = time.Now()
		var seq uint64
		for _, ops := range batches {
			w := db.NewBatch()
			for _, op := range ops {
				switch op.Kind {
				case store.OpPut:
					w.Set(op.Key, op.Value, nil)
				case store.OpDelete:
					w.Delete(op.Key, nil)
				case store.OpAppend:
					seq++
					w.Set(store.LogKey(op.Key, seq), op.Value, nil)
				}
			}
			if err := w.Commit(pebble.Sync); err != nil {
				b.Fatal(err)
			}
		}
		bare := time.Since(start)
		db.Close()
		b.StartTimer()
		b.ReportMetric(float64(n)/ours.Seconds(), "events/s")
		b.ReportMetric(bare.Seconds()/ours.Seconds(), "of-engine")
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// quantile is the q-th part of the durations.
func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// BenchmarkTrace holds a history of FUJIE_EVENTS events and a PostgreSQL with the same relations, indexed, and asks both the same questions in turn.
func BenchmarkTrace(b *testing.B) {
	n := traceEvents()
	ctx := b.Context()
	h, r := openHistory(b, b.TempDir())
	server, err := postgrestest.New("shared_buffers=512MB", "work_mem=64MB", "maintenance_work_mem=512MB", "max_wal_size=8GB", "jit=off", "fsync=off")
	if err != nil {
		if os.Getenv("CI") == "true" {
			b.Fatal(err)
		}
		b.Skip(err)
	}
	b.Cleanup(func() { server.Close() })
	url, err := server.URL()
	if err != nil {
		b.Fatal(err)
	}
	pg, err := pgx.Connect(ctx, url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pg.Close(context.Background()) })
	exec := func(sql string) {
		b.Helper()
		if _, err := pg.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	// Whoever wrote this for PostgreSQL alone would keep one row for each pair of things that an event ties together.
	exec(`create table link (down text not null, up text not null, event bigint not null, at timestamptz not null, kind smallint not null)`)
	seq := int64(0)
	start := time.Now()
	var inPostgres time.Duration
	captureAll(b, h, n, func(events []epcis.Event) {
		began := time.Now()
		var rows [][]any
		for i := range events {
			e := &events[i]
			seq++
			switch e.Type {
			case epcis.TransformationEvent:
				for _, in := range e.InputEPCs {
					for _, out := range e.OutputEPCs {
						rows = append(rows, []any{out, in, seq, e.Time, int16(1)})
					}
				}
			case epcis.AggregationEvent:
				kind := int16(2)
				if e.Action == epcis.Delete {
					kind = 3
				}
				for _, c := range e.EPCs {
					rows = append(rows, []any{e.Parent, c, seq, e.Time, kind})
				}
			}
		}
		if _, err := pg.CopyFrom(ctx, pgx.Identifier{"link"}, []string{"down", "up", "event", "at", "kind"}, pgx.CopyFromRows(rows)); err != nil {
			b.Fatal(err)
		}
		inPostgres += time.Since(began)
	})
	b.Logf("%d events in %s, of it PostgreSQL %s", n, time.Since(start).Round(time.Second), inPostgres.Round(time.Second))
	exec(`create index on link (up, at); create index on link (down, at); analyze link`)
	groups := n / chainLength

	b.Run("hops", func(b *testing.B) {
		// Up and down from one bottle: drum, tank, its siblings' boxes, pallet, lorry; ten links there and back.
		const cte = `with recursive
			up(thing, at) as (select $1::text, 'infinity'::timestamptz union select l.up, l.at from up join link l on l.down = up.thing and l.kind = 1 and l.at <= up.at),
			down(thing, at) as (select $1::text, '-infinity'::timestamptz union select l.down, l.at from down join link l on l.up = down.thing and l.kind in (1, 2) and l.at >= down.at)
			select thing from up union select thing from down`
		r := rand.New(rand.NewPCG(1, 2))
		var ours, theirs []time.Duration
		things, rowsFound := 0, 0
		for b.Loop() {
			bottle := bottleOf(r.IntN(groups))
			t0 := time.Now()
			a, err := graph.Trace(ctx, h, graph.Question{Things: []string{bottle}, Up: true, Down: true}, nil)
			if err != nil {
				b.Fatal(err)
			}
			t1 := time.Now()
			rows, err := pg.Query(ctx, cte, bottle)
			if err != nil {
				b.Fatal(err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				b.Fatal(err)
			}
			t2 := time.Now()
			ours, theirs = append(ours, t1.Sub(t0)), append(theirs, t2.Sub(t1))
			things, rowsFound = len(a.Things), len(found)
			if things < 6 || rowsFound < 6 {
				b.Fatalf("%s: %d things, PostgreSQL %d", bottle, things, rowsFound)
			}
		}
		o, p := quantile(ours, 0.5), quantile(theirs, 0.5)
		b.ReportMetric(float64(o.Microseconds()), "µs-p50")
		b.ReportMetric(float64(quantile(ours, 0.99).Microseconds()), "µs-p99")
		b.ReportMetric(float64(p.Microseconds()), "cte-µs-p50")
		b.ReportMetric(p.Seconds()/o.Seconds(), "x-faster")
		b.ReportMetric(float64(things), "things")
	})

	b.Run("query-by-epc", func(b *testing.B) {
		r2 := rand.New(rand.NewPCG(3, 4))
		var keys [][]byte
		span := store.Span{}
		if err := r.Store.Range(ctx, span, func(k, v []byte) error {
			if r2.IntN(1+n/2000) == 0 {
				keys = append(keys, bytes.Clone(k))
			}
			if len(keys) == 20_000 {
				return store.Stop
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		var ours, bare []time.Duration
		var buf []byte
		i := 0
		for b.Loop() {
			bottle := bottleOf(r2.IntN(groups))
			q, err := query.ParseURL(map[string][]string{"MATCH_epc": {bottle}})
			if err != nil {
				b.Fatal(err)
			}
			t0 := time.Now()
			page, err := h.Query(ctx, q, "", 30)
			if err != nil {
				b.Fatal(err)
			}
			t1 := time.Now()
			if buf, err = r.Store.Get(ctx, buf[:0], keys[i%len(keys)]); err != nil {
				b.Fatal(err)
			}
			t2 := time.Now()
			i++
			ours, bare = append(ours, t1.Sub(t0)), append(bare, t2.Sub(t1))
			if len(page.Events) == 0 {
				b.Fatalf("%s has no events", bottle)
			}
		}
		o, p := quantile(ours, 0.5), quantile(bare, 0.5)
		b.ReportMetric(float64(o.Nanoseconds())/1e3, "µs-p50")
		b.ReportMetric(float64(p.Nanoseconds())/1e3, "get-µs-p50")
		b.ReportMetric(o.Seconds()/p.Seconds(), "x-get")
	})

	b.Run("recall", func(b *testing.B) {
		// A bad lot: drums of many groups at once, until the set has about a hundred thousand things.
		per := 1 + chainBoxes*(chainBottles+1) + 2 // tank, boxes and bottles, pallet, lorry
		many := min(groups, 100_000/per)
		var drums []string
		for g := range many {
			drums = append(drums, fmt.Sprintf("88.608.24061301/D%d", g*(groups/many)))
		}
		const cte = `with recursive down(thing, at) as (select unnest($1::text[]), '-infinity'::timestamptz
			union select l.down, l.at from down join link l on l.up = down.thing and l.kind in (1, 2) and l.at >= down.at)
			select distinct thing from down`
		var ours, theirs time.Duration
		size, other := 0, 0
		for b.Loop() {
			t0 := time.Now()
			set, err := graph.RecallSet(ctx, h, graph.RecallQuestion{Things: drums}, nil)
			if err != nil {
				b.Fatal(err)
			}
			t1 := time.Now()
			rows, err := pg.Query(ctx, cte, drums)
			if err != nil {
				b.Fatal(err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				b.Fatal(err)
			}
			ours, theirs = ours+t1.Sub(t0), theirs+time.Since(t1)
			size, other = len(set.Things), len(found)
		}
		if size != other {
			b.Errorf("the recall set has %d things, PostgreSQL finds %d", size, other)
		}
		b.ReportMetric(ours.Seconds()*1e3/float64(b.N), "ms")
		b.ReportMetric(theirs.Seconds()*1e3/float64(b.N), "cte-ms")
		b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-faster")
		b.ReportMetric(float64(size), "things")
	})
}
