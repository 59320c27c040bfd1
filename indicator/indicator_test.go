package indicator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/postgres/postgrestest"
	"github.com/fujie-id/fujie/trace/epcis"
)

// world is the three sources.
type world struct {
	events  []Event
	changes []record.Entry
	steps   []Step
	fails   int // so many turns of the next ones fail
}

func (w *world) config(dsn string) Config {
	fail := func() error {
		if w.fails > 0 {
			w.fails--
			return errors.New("the source is away")
		}
		return nil
	}
	return Config{DSN: dsn,
		Events: func(_ context.Context, after uint64, limit int) ([]Event, error) {
			var out []Event
			for _, e := range w.events {
				if e.Seq > after && len(out) < min(limit, 7) {
					out = append(out, e)
				}
			}
			return out, fail()
		},
		Changes: func(_ context.Context, after uint64, limit int) ([]record.Entry, error) {
			var out []record.Entry
			for _, c := range w.changes {
				if c.Seq > after && len(out) < min(limit, 5) {
					out = append(out, c)
				}
			}
			return out, nil
		},
		Steps: func(_ context.Context, after uint64, limit int) ([]Step, error) {
			var out []Step
			for _, s := range w.steps {
				if s.Seq > after && len(out) < min(limit, 3) {
					out = append(out, s)
				}
			}
			return out, nil
		},
		Last: func(context.Context) (uint64, uint64, uint64, error) {
			return uint64(len(w.events)), uint64(len(w.changes)), uint64(len(w.steps)), nil
		},
	}
}

var noon = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC) // noon in UTC+8

func (w *world) event(e epcis.Event) {
	if e.Time.IsZero() {
		e.Time = noon.Add(time.Duration(len(w.events)) * time.Minute)
	}
	e.RecordTime = e.Time
	w.events = append(w.events, Event{Seq: uint64(len(w.events) + 1), Event: &e, Hash: fmt.Sprint("h", len(w.events)), By: "88.1/User_a"})
}

func (w *world) record(name string, values ...record.Value) {
	v := id.MustParse(name)
	w.changes = append(w.changes, record.Entry{Change: record.Change{Seq: uint64(len(w.changes) + 1), Time: noon, Op: record.Create, ID: v}, Values: values})
}

func property(index uint32, name, data string) record.Value {
	return record.Value{Index: index, Type: name, Data: []byte(data)}
}

// sample is a little of everything.
func sample() *world {
	w := &world{}
	w.event(epcis.Event{Type: epcis.AggregationEvent, Action: epcis.Add, ID: "e1", BizStep: "packing", Parent: "88.1/BOX-1", EPCs: []string{"88.1/B1", "hdl:88.1/b2"}, BizLocation: &epcis.Location{ID: "88.1/W1"},
		Transactions: []epcis.Transaction{{Type: "po", ID: "88.1/O1"}}, Destinations: []epcis.Party{{Type: "location", ID: "88.1/SHOP"}},
		Sensors:    []epcis.SensorElement{{Metadata: &epcis.SensorMetadata{DeviceID: "88.1/T"}, Reports: []epcis.SensorReport{{Type: "Temperature", Value: "-18.5", Unit: "CEL"}}}},
		Extensions: []epcis.Field{{Name: "minutes", Value: epcis.Value{Kind: epcis.Number, Text: "14.5"}}, {Name: "nested", Value: epcis.Value{Kind: epcis.Object}}}})
	w.event(epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: "e2", BizStep: "shipping", EPCs: []string{"88.1/BOX-1"}, Quantities: []epcis.Quantity{{Class: "88.1/LOT", Quantity: "12.5", Unit: "KGM"}}})
	w.event(epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: "e2", BizStep: "shipping", EPCs: []string{"88.1/BOX-1"}, Error: &epcis.ErrorDeclaration{Time: noon, Reason: "did_not_occur"}})
	w.record("88.1/BOX-1", record.Value{Index: record.IndexTemplateID, Type: record.TypeTemplateID, Data: []byte("88.1/META_BOX")}, property(2000, "product", "酒 O'Hara \\ \x00"), property(2001, "bottles", "6"),
		record.Value{Index: 300, Type: "HS_SECKEY", Data: []byte("hidden")})
	w.record("88.1/User_a", record.Value{Index: 300, Type: "HS_SECKEY", Data: []byte("hidden")})
	w.record("88.1/GONE", property(2000, "name", "x"))
	w.changes = append(w.changes, record.Entry{Change: record.Change{Seq: 4, Time: noon, Op: record.Delete, ID: id.MustParse("88.1/GONE")}})
	for i, s := range []string{"box", "bottles", "bottles"} {
		w.steps = append(w.steps, Step{Seq: uint64(i + 1), Run: "r1", No: i + 1, Solution: "bottle-to-store", Flow: "pack-box", Step: s, About: "88.1/BOX-1", Verdict: "passed", Who: "88.1/User_a", At: noon.Add(time.Duration(i) * time.Second), Started: noon, State: "open"})
	}
	return w
}

// all is every row of every table, for comparing.
func all(t testing.TB, p *Projection) map[string][][]any {
	out := map[string][][]any{}
	for _, tab := range tables {
		key := tab.key
		if key == "" {
			key = "seq"
		}
		r, err := p.Ask(t.Context(), "SELECT * FROM "+tab.name+" ORDER BY "+key, nil)
		if err != nil {
			t.Fatal(tab.name, err)
		}
		out[tab.name] = r.Rows
	}
	return out
}

func engines(t *testing.T, f func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) { f(t, filepath.Join(t.TempDir(), "a?b#c.sqlite")) })
	t.Run("postgres", func(t *testing.T) {
		dsn, err := postgrestest.Start(t).URL()
		if err != nil {
			t.Fatal(err)
		}
		f(t, dsn)
	})
}

func ask(t testing.TB, p *Projection, q string) string {
	t.Helper()
	r, err := p.Ask(t.Context(), q, map[string]string{"from": "2026-11-22", "to": "2026-11-22"})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(r.Rows)
}

// TestTables: each source becomes rows, none of them secret, and both engines answer the same.
func TestTables(t *testing.T) {
	engines(t, func(t *testing.T, dsn string) {
		w := sample()
		p, err := Open(t.Context(), w.config(dsn))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if l, err := p.Lag(t.Context()); err != nil || l.Events != 3 || l.Changes != 4 || l.Steps != 3 {
			t.Fatalf("%+v %v", l, err)
		}
		if err := p.CatchUp(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if l, err := p.Lag(t.Context()); err != nil || l.Events+l.Changes+l.Steps != 0 || l.Entries != 10 {
			t.Fatalf("%+v %v", l, err)
		}
		for q, want := range map[string]string{
			"SELECT type, day, hour, week, corrected FROM events ORDER BY seq":                                                       "[[AggregationEvent 2026-11-22 2026-11-22 12 2026-W47 0] [ObjectEvent 2026-11-22 2026-11-22 12 2026-W47 1] [ObjectEvent 2026-11-22 2026-11-22 12 2026-W47 0]]",
			"SELECT count(*) AS value FROM facts WHERE day BETWEEN :from AND :to":                                                    "[[1]]",
			"SELECT role, thing FROM event_things WHERE seq = 1 ORDER BY no":                                                         "[[parentID 88.1/BOX-1] [childEPC 88.1/B1] [childEPC 88.1/B2]]",
			"SELECT quantity, unit FROM event_things WHERE seq = 2 AND role = 'epcClass'":                                            "[[12.5 KGM]]",
			"SELECT value, device FROM event_sensors":                                                                                "[[-18.5 88.1/T]]",
			"SELECT name, number FROM event_fields":                                                                                  "[[minutes 14.5]]",
			"SELECT id, template FROM records":                                                                                       "[[88.1/BOX-1 88.1/META_BOX]]",
			"SELECT name, value, number FROM record_values WHERE name = 'bottles'":                                                   "[[bottles 6 6]]",
			"SELECT count(*) AS value FROM record_values WHERE value LIKE '%hidden%'":                                                "[[0]]",
			"SELECT run, steps, seconds, state FROM runs":                                                                            "[[r1 3 2 open]]",
			"SELECT value FROM record_values WHERE name = 'product' -- with a comment; and a :place":                                 "[[酒 O'Hara \\ \ufffd]]",
			"WITH x AS (SELECT ':day' AS s) SELECT s FROM x;":                                                                        "[[:day]]",
			"SELECT id FROM event_transactions UNION ALL SELECT id FROM event_parties":                                               "[[88.1/O1] [88.1/SHOP]]",
			"SELECT CAST(sum(steps) AS INTEGER) AS value FROM runs WHERE started_day >= :from AND started_day <= :to AND :from<=:to": "[[3]]",
		} {
			if got := ask(t, p, q); got != want {
				t.Errorf("%s\n got %s\nwant %s", q, got, want)
			}
		}
	})
}

// TestRebuild: whatever came, in whatever turns, with sources that fail and a process that begins again: made anew, the rows are the same.
func TestRebuild(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		w := &world{}
		dsn := filepath.Join(dir, fmt.Sprint(n, ".sqlite"))
		p, err := Open(t.Context(), w.config(dsn))
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { p.Close() }()
		for range rapid.IntRange(1, 25).Draw(rt, "acts") {
			switch rapid.IntRange(0, 6).Draw(rt, "act") {
			case 0, 1:
				e := epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: fmt.Sprint("e", rapid.IntRange(0, 9).Draw(rt, "id")), EPCs: []string{"88.1/" + rapid.StringMatching(`[A-C]`).Draw(rt, "thing")}}
				if rapid.IntRange(0, 3).Draw(rt, "wrong") == 0 {
					e.Error = &epcis.ErrorDeclaration{Time: noon}
				}
				w.event(e)
			case 2:
				w.record("88.1/"+rapid.StringMatching(`[A-C]`).Draw(rt, "record"), property(2000, "name", rapid.String().Draw(rt, "value")))
			case 3:
				w.changes = append(w.changes, record.Entry{Change: record.Change{Seq: uint64(len(w.changes) + 1), Time: noon, Op: record.Delete, ID: id.MustParse("88.1/" + rapid.StringMatching(`[A-C]`).Draw(rt, "gone"))}})
			case 4:
				w.steps = append(w.steps, Step{Seq: uint64(len(w.steps) + 1), Run: rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(rt, "run"), At: noon.Add(time.Duration(len(w.steps)) * time.Second), Started: noon, State: "open"})
			case 5:
				w.fails = rapid.IntRange(0, 1).Draw(rt, "fails")
				_ = p.CatchUp(t.Context(), nil)
			case 6:
				p.Close()
				if p, err = Open(t.Context(), w.config(dsn)); err != nil {
					rt.Fatal(err)
				}
			}
		}
		w.fails = 0
		if err := p.CatchUp(t.Context(), nil); err != nil {
			rt.Fatal(err)
		}
		before := all(t, p)
		told := int64(0)
		if err := p.Rebuild(t.Context(), func(n int64) { told = n }); err != nil {
			rt.Fatal(err)
		}
		if after := all(t, p); !reflect.DeepEqual(before, after) {
			rt.Fatalf("before %v\nafter %v", before, after)
		}
		if want := int64(len(w.events) + len(w.changes) + len(w.steps)); told != want {
			rt.Fatalf("told of %d entries of %d", told, want)
		}
	})
}

// TestAskOnlyReads: whatever an indicator's author writes, the tables stay.
func TestAskOnlyReads(t *testing.T) {
	engines(t, func(t *testing.T, dsn string) {
		w := sample()
		p, err := Open(t.Context(), w.config(dsn))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := p.CatchUp(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{
			"DELETE FROM events", "SELECT 1; DELETE FROM events", "WITH x AS (DELETE FROM events RETURNING 1) SELECT * FROM x", "PRAGMA table_info(events)",
			"ATTACH 'x' AS y", "SELECT load_extension('x')", "SELECT pg_read_file('/etc/passwd')", "SELECT 'open", "SELECT /* open", "SELECT $1", "SELECT ?", "SELECT :nobody", "",
			"SELECT * FROM nowhere", "COPY events TO '/tmp/x'", "SELECT 1 /**/ ; SELECT 2",
		} {
			if r, err := p.Ask(t.Context(), q, map[string]string{"from": "", "to": ""}); err == nil {
				t.Errorf("%s was answered: %v", q, r)
			} else if k := problem.KindOf(err); k != problem.BadValue && k != problem.Forbidden {
				t.Errorf("%s: %v %v", q, k, err)
			}
		}
		// The connection itself cannot write either.
		if _, err := p.read.ExecContext(t.Context(), "DELETE FROM events"); err == nil {
			t.Error("the reading connection wrote")
		}
		if got := ask(t, p, "SELECT count(*) AS value FROM events"); got != "[[3]]" {
			t.Error(got)
		}
		if err := p.Check(t.Context(), "SELECT day, count(*) AS value FROM facts WHERE day >= :from GROUP BY day"); err != nil {
			t.Error(err)
		}
		for _, q := range []string{"SELECT day FROM facts", "SELECT nothing AS value FROM facts", "SELECT 1 AS value WHERE :day = ''"} {
			if err := p.Check(t.Context(), q); problem.KindOf(err) != problem.BadValue {
				t.Errorf("%s: %v", q, err)
			}
		}
	})
}

// TestCut: a large answer is cut, and says so.
func TestCut(t *testing.T) {
	p, err := Open(t.Context(), (&world{}).config(filepath.Join(t.TempDir(), "x.sqlite")))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := p.Ask(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i AS value FROM n", nil)
	if err != nil || len(r.Rows) != maxRows || !r.Cut {
		t.Fatal(len(r.Rows), r.Cut, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Ask(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS value FROM n", nil); problem.KindOf(err) != problem.Busy {
		t.Errorf("an endless statement: %v", err)
	}
}

// TestGo follows its sources, and goes on after they were away.
func TestGo(t *testing.T) {
	w := sample()
	w.fails = 1
	c := w.config(filepath.Join(t.TempDir(), "x.sqlite"))
	p, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Go(ctx) }()
	for {
		if l, err := p.Lag(ctx); err != nil {
			t.Fatal(err)
		} else if l.Events+l.Changes+l.Steps == 0 {
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestFresh: who asks right behind a scan finds it counted; tables that are far behind are not waited for.
func TestFresh(t *testing.T) {
	w := sample()
	c := w.config(filepath.Join(t.TempDir(), "x.sqlite"))
	far := uint64(batch)
	last := c.Last
	c.Last = func(ctx context.Context) (uint64, uint64, uint64, error) {
		e, x, s, err := last(ctx)
		return e + far, x, s, err
	}
	p, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	counted := func() string { return ask(t, p, "SELECT count(*) AS value FROM run_steps") }
	if p.fresh(t.Context()); counted() != "[[0]]" {
		t.Errorf("far behind, and waited for: %s", counted())
	}
	far = 0
	if p.fresh(t.Context()); counted() != "[[3]]" {
		t.Errorf("%s scans are counted, want 3", counted())
	}
	// A source that is away does not keep the answer back.
	w.event(epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: "e9", EPCs: []string{"88.1/BOX-1"}})
	w.fails = 1
	if p.fresh(t.Context()); counted() != "[[3]]" {
		t.Error(counted())
	}
}

// TestWrongPlace: a database that cannot be is told when it is opened.
func TestWrongPlace(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte(strings.Repeat("no database ", 400)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dsn := range []string{filepath.Join(dir, "nowhere", "x"), filepath.Join(dir, "x"), "postgres://nobody@127.0.0.1:1/x?connect_timeout=1"} {
		if p, err := Open(t.Context(), Config{DSN: dsn}); problem.KindOf(err) != problem.Internal {
			t.Errorf("%s: %v", dsn, err)
			if p != nil {
				p.Close()
			}
		}
	}
}

func FuzzBound(f *testing.F) {
	f.Add("SELECT count(*) AS value FROM facts WHERE day >= :from AND x = 'it''s' -- :to\n/* :day */;")
	p := &Projection{lite: true}
	f.Fuzz(func(t *testing.T, q string) {
		text, args, err := p.bound(q, map[string]string{"from": "a", "to": "b"})
		if err == nil && (len(args) > 2 || strings.Contains(text, "/*") && !strings.Contains(q, "'") && !strings.Contains(q, `"`)) {
			t.Errorf("%q became %q", q, text)
		}
	})
}
