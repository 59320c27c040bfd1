package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/trace/epcis"
)

func readSheet[T any](t rapid.TB, dir, table string) (out []string) {
	files, err := filepath.Glob(filepath.Join(dir, table, "*.parquet")) // sorted
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		list, err := parquet.ReadFile[T](f)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			out = append(out, show(0, x))
		}
	}
	return out
}

func readSheets(t rapid.TB, dir string) [5][]string {
	return [5][]string{readSheet[Event](t, dir, "events"), readSheet[Thing](t, dir, "event_things"), readSheet[Relation](t, dir, "event_relations"), readSheet[Sensor](t, dir, "event_sensors"), readSheet[Extension](t, dir, "event_extensions")}
}

// TestParquetReadsBack: whatever events say, in whatever runs and parts they are exported, the files hold their rows, each once.
func TestParquetReadsBack(t *testing.T) {
	next := folder(t)
	rapid.Check(t, func(t *rapid.T) {
		dir, items := next(), drawItems(t, 6)
		defer os.RemoveAll(dir)
		o := Options{hasty: true, Form: Parquet, Part: rapid.Int64Range(1, 4).Draw(t, "part")}
		for at := 0; at < len(items); {
			at = rapid.IntRange(at+1, len(items)).Draw(t, "until")
			from := source(items[:at])
			if rapid.Bool().Draw(t, "repository") {
				from = anonymous(items[:at])
			}
			m, err := Folder(context.Background(), dir, o, from)
			if err != nil {
				t.Fatal(err)
			}
			if m.Events != int64(at) {
				t.Fatalf("%d events, want %d", m.Events, at)
			}
		}
		got, want := readSheets(t, dir), wanted(items, show)
		for i := range want {
			// What a repository gives does not say these.
			for _, s := range [][]string{got[i], want[i]} {
				for j := range s {
					if i == 0 {
						head, tail, _ := strings.Cut(s[j], "Sequence=")
						_, tail, _ = strings.Cut(tail, "|")
						tail, _, _ = strings.Cut(tail, "CapturedBy=")
						s[j] = head + tail
					}
				}
			}
			same(t, tables[i].name, got[i], want[i])
		}
	})
}

// TestParquetGroups: row groups end before they fill the memory.
func TestParquetGroups(t *testing.T) {
	dir := t.TempDir()
	var items []Item
	for i := range 130 {
		e := &epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: fmt.Sprint("urn:e:", i), Time: noon, RecordTime: noon}
		for k := range 1000 {
			e.EPCs = append(e.EPCs, fmt.Sprintf("88.118.1001/G-%d-%d", i, k))
		}
		items = append(items, Item{Sequence: uint64(i + 1), Event: e})
	}
	if _, err := Folder(context.Background(), dir, Options{}, source(items)); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "event_things", "000001.parquet")
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	groups := p.RowGroups()
	if p.NumRows() != 130_000 || len(groups) < 2 {
		t.Fatalf("%d rows in %d groups", p.NumRows(), len(groups))
	}
	for _, g := range groups {
		if g.NumRows() > groupRows {
			t.Errorf("a group has %d rows", g.NumRows())
		}
	}
	if c := p.Metadata().RowGroups[0].Columns[0].MetaData.Codec.String(); c != "ZSTD" {
		t.Errorf("compressed by %s", c)
	}
}
