package pebble_test

import (
	"errors"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/storetest"
)

// badSync is a disk whose fsyncs of the log fail when they are told to.
type badSync struct {
	vfs.FS
	bad *atomic.Bool
}

type badSyncFile struct {
	vfs.File
	bad *atomic.Bool
}

func (b badSync) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := b.FS.Create(name, c)
	if err == nil && filepath.Ext(name) == ".log" {
		f = badSyncFile{f, b.bad}
	}
	return f, err
}

func (f badSyncFile) err() error {
	if f.bad.Load() {
		return syscall.EIO
	}
	return nil
}
func (f badSyncFile) Sync() error     { return errors.Join(f.err(), f.File.Sync()) }
func (f badSyncFile) SyncData() error { return errors.Join(f.err(), f.File.SyncData()) }

// TestFailedSync: after an fsync that failed, nobody is told that anything is durable, and reading goes on.
func TestFailedSync(t *testing.T) {
	var bad atomic.Bool
	mem := vfs.NewCrashableMem()
	s, err := pebble.Open("db", quick(badSync{mem, &bad}))
	if err != nil {
		t.Fatal(err)
	}
	var tally storetest.Tally
	load := storetest.Load{Writers: 3, Steps: 20, Ack: tally.Ack}
	if err := load.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	bad.Store(true)
	var b store.Batch
	b.Put([]byte("other"), nil)
	if _, err := s.Apply(t.Context(), &b); !errors.Is(err, store.ErrUncertain) {
		t.Error("a write whose fsync failed:", err)
	}
	bad.Store(false)
	if _, err := s.Apply(t.Context(), &b); !problem.Is(err, problem.ReadOnly) {
		t.Error("a write after a failed fsync:", err)
	}
	if _, err := s.Get(t.Context(), nil, []byte("copy/0")); err != nil {
		t.Error("a read after a failed fsync:", err)
	}
	// It might show what a crash takes back.
	if n, err := s.Snapshot(t.Context()); !problem.Is(err, problem.ReadOnly) {
		t.Error("a snapshot after a failed fsync:", n, err)
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Log("closing after a failed fsync:", err)
	}
	s, err = pebble.Open("db", quick(crashed))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := load.Check(t.Context(), s, tally.Acked()); err != nil {
		t.Fatal(err)
	}
}
