package registry

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/pebble"
)

// TestDiskSize: what registrations take on disk, their changes included, is at most one and a half times their encoded
// size (identifier and value block). FUJIE_SOAK says how many are tried.
func TestDiskSize(t *testing.T) {
	n := 50_000
	if s := os.Getenv("FUJIE_SOAK"); s != "" {
		n = 1_000_000
		if _, err := fmt.Sscan(s, &n); err != nil || n < 50_000 {
			n = 1_000_000
		}
	}
	dir := filepath.Join(t.TempDir(), "db")
	s, err := pebble.Open(dir, pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := enterprise(t, Config{Store: s})
	encoded := 0
	order := rand.New(rand.NewPCG(1, 1)).Perm(n)
	for i := 0; i < n; i += 5000 {
		var ws []record.Write
		for _, j := range order[i:min(n, i+5000)] {
			w := product(j)
			encoded += len(w.ID.String()) + len(record.AppendBlock(nil, w.Values))
			ws = append(ws, w)
		}
		must(t, r, admin, ws...)
	}
	// Closed and opened once more, nothing is left in the engine's own journal.
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = pebble.Open(dir, pebble.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	defer s.Close()
	size := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += int(info.Size())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records: %d bytes encoded each, %d on disk, ratio %.2f", n, encoded/n, size/n, float64(size)/float64(encoded))
	if size > encoded*3/2 {
		t.Errorf("%d bytes on disk for %d encoded", size, encoded)
	}
}
