package open

import (
	"path/filepath"
	"testing"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, url := range []string{"memory:", "pebble:" + filepath.Join(dir, "a"), "pebble://" + filepath.Join(dir, "b"), filepath.Join(dir, "c")} {
		s, err := Open(t.Context(), url, Options{})
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		var b store.Batch
		b.Put([]byte("k"), []byte("v"))
		if _, err := s.Apply(t.Context(), &b); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"oracle://x", "pebble:", "pebble://"} {
		if _, err := Open(t.Context(), url, Options{}); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%s: got %v, want a bad request", url, err)
		}
	}
	if _, err := Open(t.Context(), "postgres://nobody@127.0.0.1:1/none?connect_timeout=2", Options{}); !problem.Is(err, problem.Unreachable) {
		t.Errorf("a shared store that is not there: %v", err)
	}
}
