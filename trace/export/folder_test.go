package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
)

func truncate(t *testing.T, name string, bytes int) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, info.Size()-int64(bytes)); err != nil {
		t.Fatal(err)
	}
}

func plain(from, to int) (out []Item) {
	for i := from; i <= to; i++ {
		e := &epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: fmt.Sprint("urn:e:", i), Time: noon, RecordTime: noon.Add(time.Duration(i/3) * time.Second), EPCs: []string{"88.118.1001/A-1"}}
		out = append(out, Item{Sequence: uint64(i), Event: e})
	}
	return out
}

// files are all of a folder, hidden ones too, without the lock.
func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && info.Name() != ".lock" {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStopped: an export that breaks off leaves whole parts only, and goes on behind them.
func TestStopped(t *testing.T) {
	for _, form := range []Form{Parquet, PostgreSQL, ClickHouse} {
		dir := t.TempDir()
		broken := errors.New("the wire is cut")
		cut := func(ctx context.Context, after Mark) iter.Seq2[Item, error] {
			return func(yield func(Item, error) bool) {
				for n := range source(plain(1, 7))(ctx, after) {
					if !yield(n, nil) {
						return
					}
				}
				yield(Item{}, broken)
			}
		}
		var last Progress
		o := Options{Form: form, Part: 3, hasty: true, Progress: func(p Progress) { last = p }}
		m, err := Folder(context.Background(), dir, o, cut)
		if !errors.Is(err, broken) || m.Events != 6 || len(m.Parts) != 2 || m.LastSequence != 6 {
			t.Fatalf("%s: %v, %+v", form, err, m)
		}
		for _, f := range files(t, dir) {
			if strings.Contains(f, "000003") || strings.Contains(f, ".part") {
				t.Errorf("%s: %s is left behind", form, f)
			}
		}
		if m, err = Folder(context.Background(), dir, o, source(plain(1, 8))); err != nil || m.Events != 8 || len(m.Parts) != 3 || m.Parts[2].FirstSequence != 7 {
			t.Fatalf("%s: %v, %+v", form, err, m)
		}
		if last.Events != 2 || last.Rows != 4 || last.Bytes == 0 {
			t.Errorf("%s: progress %+v", form, last)
		}
		before := files(t, dir)
		if m, err = Folder(context.Background(), dir, Options{}, source(plain(1, 8))); err != nil || len(m.Parts) != 3 {
			t.Fatalf("%s: %v, %+v", form, err, m)
		}
		if after := files(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: nothing new made %v of %v", form, after, before)
		}
		for _, p := range m.Parts {
			for _, f := range p.Files {
				b, err := os.ReadFile(filepath.Join(dir, f.Name))
				sum := sha256.Sum256(b)
				if err != nil || int64(len(b)) != f.Bytes || hex.EncodeToString(sum[:]) != f.SHA256 {
					t.Errorf("%s: %s is not what the manifest says: %v", form, f.Name, err)
				}
			}
		}
	}
}

// TestCanceled: who stops an export is told how it goes on.
func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	if _, err := Folder(ctx, dir, Options{}, source(plain(1, 3))); !problem.Is(err, problem.Canceled) {
		t.Fatal(err)
	}
	if f := files(t, dir); len(f) > 0 {
		t.Errorf("left behind: %v", f)
	}
}

// TestLeftBehind: files of a part that the manifest does not name, since the machine fell in between, are written again.
func TestLeftBehind(t *testing.T) {
	dir := t.TempDir()
	if _, err := Folder(context.Background(), dir, Options{Part: 3}, source(plain(1, 6))); err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Parts, m.Events, m.LastSequence, m.LastRecordTime, m.LastKeys = m.Parts[:1], 3, 3, m.Parts[0].LastRecorded, nil
	if err := m.save(dir, true); err != nil {
		t.Fatal(err)
	}
	if m, err = Folder(context.Background(), dir, Options{}, source(plain(1, 8))); err != nil || m.Events != 8 || len(m.Parts) != 2 {
		t.Fatalf("%v, %+v", err, m)
	}
	if got, want := readSheets(t, dir), wanted(hashed(plain(1, 8)), show); len(got[0]) != 8 {
		t.Fatalf("%d rows", len(got[0]))
	} else {
		same(t, "events", got[0], want[0])
	}
}

func hashed(items []Item) []Item {
	for i := range items {
		items[i].Hash = epcis.Hash(items[i].Event)
	}
	return items
}

// TestRefused: what cannot be exported together, or not at all, is said.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Folder(context.Background(), dir, Options{Form: ClickHouse, Schema: "bi", Of: "88.118.1001"}, source(plain(1, 3))); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Folder(context.Background(), dir, Options{}, source(nil)); !problem.Is(err, problem.Busy) {
		t.Errorf("two at the same time: %v", err)
	}
	unlock()
	timeless, backwards := plain(4, 4), plain(7, 8)
	timeless[0].Event.RecordTime = time.Time{}
	backwards[0].Sequence, backwards[1].Sequence = 0, 0
	backwards[0].Event.RecordTime = backwards[1].Event.RecordTime.Add(time.Hour)
	for what, c := range map[string]struct {
		o    Options
		s    Source
		kind problem.Kind
	}{
		"another form":     {Options{Form: Parquet}, source(nil), problem.BadRequest},
		"another schema":   {Options{Schema: "other"}, source(nil), problem.BadRequest},
		"another's events": {Options{Of: "88.118.1002"}, source(nil), problem.BadRequest},
		"no form":          {Options{Form: "excel"}, source(nil), problem.BadRequest},
		"no schema":        {Options{Schema: `a"; DROP TABLE x`}, source(nil), problem.BadRequest},
		"no recordTime":    {Options{}, source(timeless), problem.Unsupported},
		"times that go back": {Options{}, func(context.Context, Mark) iter.Seq2[Item, error] {
			return source(backwards)(context.Background(), Mark{})
		}, problem.Bogus},
	} {
		if what == "times that go back" {
			backwards[0].Sequence, backwards[1].Sequence = 7, 8
		}
		if _, err := Folder(context.Background(), dir, c.o, c.s); !problem.Is(err, c.kind) {
			t.Errorf("%s: %v", what, err)
		}
	}
	bad := t.TempDir()
	for _, text := range []string{"{", `{"version":2}`, "[]"} {
		if err := os.WriteFile(filepath.Join(bad, manifestName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Folder(context.Background(), bad, Options{}, source(nil)); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestHistory: a history's events, some runs beside it and some through its interface, are exported once each.
func TestHistory(t *testing.T) {
	ctx, now := context.Background(), noon
	s := memory.New()
	defer s.Close()
	h, err := history.Open(ctx, history.Config{Store: s, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	interfaceOf := Repository(func(ctx context.Context, q map[string][]string, visit func(*epcis.Event) error) error {
		from := time.Time{}
		if v := q["GE_recordTime"]; len(v) == 1 {
			if from, err = time.Parse(time.RFC3339Nano, v[0]); err != nil {
				return err
			}
		}
		return h.Each(ctx, func(r history.Recorded) error {
			if r.Event.RecordTime.Before(from) {
				return nil
			}
			return visit(r.Event)
		})
	}, time.Time{})
	declared := map[string]int{}
	for i := range 12 {
		var events []epcis.Event
		for k := range 5 {
			events = append(events, epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: fmt.Sprintf("urn:e:%d-%d", i, k), Time: noon, TimeZoneOffset: "+08:00", EPCs: []string{"88.118.1001/A-1"}})
		}
		if i == 5 { // the first one is declared wrong
			wrong := epcis.Event{Type: epcis.ObjectEvent, Action: epcis.Observe, ID: "urn:e:0-0", Time: noon, TimeZoneOffset: "+08:00", EPCs: []string{"88.118.1001/A-1"}, Error: &epcis.ErrorDeclaration{Time: noon, Reason: "did_not_occur"}}
			events = append(events, wrong)
			declared[wrong.ID]++
		}
		if _, err := h.Capture(ctx, history.Ref{Index: 300, Name: "88.118.1001/User_a"}, events); err != nil {
			t.Fatal(err)
		}
		if i%3 == 2 {
			now = now.Add(time.Second)
		}
		from := History(h, time.Time{})
		if i%4 > 1 {
			from = interfaceOf
		}
		m, err := Folder(ctx, dir, Options{Part: 7, hasty: true}, from)
		if err != nil {
			t.Fatal(err)
		}
		if count, _ := h.Count(ctx); uint64(m.Events) != count {
			t.Fatalf("run %d: %d events of %d", i, m.Events, count)
		}
	}
	keys := map[string]bool{}
	for _, r := range readSheet[Event](t, dir, "events") {
		key, _, _ := strings.Cut(r, "|")
		if keys[key] {
			t.Errorf("%s stands twice", key)
		}
		keys[key] = true
	}
	if len(keys) != 61 || len(declared) != 1 {
		t.Errorf("%d events, want 61", len(keys))
	}
}
