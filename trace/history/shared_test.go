package history_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
)

// TestPublishedEvents captures every JSON document of a published collection and reads each event back as it was.
func TestPublishedEvents(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "openepcis-test-resources")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	captured, files := 0, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		doc, _, err := epcis.ReadJSON(f, epcis.Limits{})
		if err != nil || doc == nil || len(doc.Events) == 0 {
			return nil // what cannot be read, that package tests
		}
		files++
		h := open(t, memory.New()) // one for each file: some of them have the same IDs
		got, err := h.CaptureEach(t.Context(), history.Ref{}, doc.Events)
		if err != nil {
			return err
		}
		for i := range got {
			if got[i].Err != nil || got[i].Duplicate {
				continue
			}
			r, err := h.Versions(t.Context(), got[i].ID)
			if err != nil || len(r) == 0 {
				t.Errorf("%s: event %d: %v", path, i, err)
				continue
			}
			captured++
			found := false
			for _, v := range r {
				found = found || v.Sequence == got[i].Sequence && reflect.DeepEqual(*v.Event, doc.Events[i])
			}
			if !found {
				t.Errorf("%s: event %d reads\n%+v, want\n%+v", path, i, *r[0].Event, doc.Events[i])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if captured < 100 {
		t.Fatalf("only %d events of %d files were captured", captured, files)
	}
	t.Logf("%d events of %d files", captured, files)
}
