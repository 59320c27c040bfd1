package pebble_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/storetest"
)

const childEnv = "FUJIE_STORE_PEBBLE_CHILD"

// child is the process that is killed.
func child(dir string) {
	s, err := pebble.Open(dir, pebble.Options{MemTable: 1 << 20})
	storetest.Child(s, err)
}

// TestKill kills a process that writes, with signal 9, and opens its folder: a hundred times with FUJIE_SOAK=1.
func TestKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "db")
	storetest.Kill(t, storetest.Campaign{
		Start: func() *exec.Cmd {
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), childEnv+"="+dir)
			return cmd
		},
		Open: func() (store.Store, error) { return pebble.Open(dir, pebble.Options{}) },
	})
}
