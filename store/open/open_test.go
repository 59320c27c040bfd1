package open_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/open"
	"github.com/fujie-id/fujie/store/postgres/postgrestest"
)

func works(t *testing.T, address string) {
	t.Helper()
	s, err := open.Open(t.Context(), address, nil)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	var b store.Batch
	b.Put([]byte("k"), []byte("v"))
	_, applied := s.Apply(t.Context(), &b)
	got, read := s.Get(t.Context(), nil, []byte("k"))
	if err := errors.Join(applied, read, s.Close()); err != nil || string(got) != "v" {
		t.Fatalf("%s: %q, %v", address, got, err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	works(t, "memory:")
	works(t, filepath.Join(dir, "a b"))
	works(t, "pebble://"+filepath.ToSlash(dir)+"/c%20d?cache=8&memtable=2&reserve=1")
	works(t, "pebble:relative/folder")
	works(t, "./here")
	works(t, "plain")
	for _, name := range []string{"a b", "c d", "relative/folder", "here", "plain"} {
		if _, err := os.Stat(filepath.Join(dir, name, "LOCK")); err != nil {
			t.Error(err)
		}
	}
	for _, address := range []string{"", "memory:x", "pebble:", "pebble://host/x", "pebble:///x?cache=a", "pebble:///x?cache=0",
		"pebble:///x?colour=1", "mysql://root:secret@h/x", "http://x", "pebble:///x#y", "postgres://u:secret@h:port/x"} {
		s, err := open.Open(t.Context(), address, nil)
		if !problem.Is(err, problem.BadRequest) || s != nil {
			t.Errorf("%q: %v, %v", address, s, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password: %v", address, err)
		}
	}
}

func TestOpenPostgres(t *testing.T) {
	url, err := postgrestest.Start(t, "fsync=off").URL()
	if err != nil {
		t.Fatal(err)
	}
	works(t, url)
}
