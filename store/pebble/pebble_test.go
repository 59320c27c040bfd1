package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// quick are options for small tests in memory.
func quick(fs vfs.FS) pebble.Options {
	return pebble.Options{FS: fs, MemTable: 1 << 20, Cache: 1 << 20}
}

func open(t testing.TB, dir string, o pebble.Options) *pebble.Store {
	t.Helper()
	s, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKitOnDisk(t *testing.T) {
	storetest.Test(t, func(t testing.TB) store.Store { return open(t, t.TempDir(), pebble.Options{}) })
}

func TestKitInMemory(t *testing.T) {
	storetest.Test(t, func(t testing.TB) store.Store { return open(t, "db", quick(vfs.NewMem())) })
}

func TestGetAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("the race detector allocates; the plain run counts")
	}
	s := open(t, t.TempDir(), pebble.Options{})
	defer s.Close()
	load := storetest.Load{Writers: 1, Steps: 200}
	ctx := t.Context()
	if err := load.Run(ctx, s); err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	key := []byte("the key")
	b.Put(key, []byte("value"))
	if _, err := s.Apply(ctx, &b); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 64)
	check := func(where string) {
		if n := testing.AllocsPerRun(500, func() {
			if _, err := s.Get(ctx, dst, key); err != nil {
				t.Fatal(err)
			}
		}); n >= 1 {
			t.Errorf("%s: allocations for each Get: %v", where, n)
		}
	}
	check("in memory")
	s.Flush()
	check("in a table")
}

func TestAgreesWithMemory(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seeds from %d", seed)
	for i := range uint64(8) {
		fs := vfs.NewCrashableMem()
		m, p := memory.New(), open(t, "db", quick(fs))
		err := storetest.Agree(t.Context(), []*storetest.Engine{
			{Name: "memory", Store: m},
			{Name: "pebble", Store: p, Reopen: func() (store.Store, error) {
				// As after a loss of power: what was not synced is gone.
				crashed := fs.CrashClone(vfs.CrashCloneCfg{})
				if err := p.Close(); err != nil {
					return nil, err
				}
				fs = crashed
				var err error
				p, err = pebble.Open("db", quick(fs))
				return p, err
			}},
		}, seed+i, 1500)
		if err := errors.Join(err, m.Close(), p.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// hooked calls before before everything that changes the disk.
type hooked struct {
	vfs.FS
	before func()
}

type hookedFile struct {
	vfs.File
	before func()
}

func (h *hooked) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &hookedFile{f, h.before}, nil
}
func (h *hooked) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	h.before()
	return h.file(h.FS.Create(name, c))
}
func (h *hooked) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	h.before()
	return h.file(h.FS.ReuseForWrite(old, name, c))
}
func (h *hooked) OpenDir(name string) (vfs.File, error)      { return h.file(h.FS.OpenDir(name)) }
func (h *hooked) Remove(name string) error                   { h.before(); return h.FS.Remove(name) }
func (h *hooked) Rename(old, name string) error              { h.before(); return h.FS.Rename(old, name) }
func (h *hooked) Unwrap() vfs.FS                             { return h.FS }
func (f *hookedFile) Write(p []byte) (int, error)            { f.before(); return f.File.Write(p) }
func (f *hookedFile) Sync() error                            { f.before(); return f.File.Sync() }
func (f *hookedFile) SyncData() error                        { f.before(); return f.File.SyncData() }
func (f *hookedFile) SyncTo(n int64) (full bool, err error)  { f.before(); return f.File.SyncTo(n) }
func (f *hookedFile) WriteAt(p []byte, o int64) (int, error) { f.before(); return f.File.WriteAt(p, o) }

// TestCrashAtEveryWrite takes the state of the disk, as a loss of power would leave it, before everything the engine
// does to the disk, then opens each.
func TestCrashAtEveryWrite(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))

	type crash struct {
		fs    *vfs.MemFS
		acked map[int]int
	}
	var (
		mu      sync.Mutex
		crashes []crash
		tally   storetest.Tally
		steps   int
	)
	mem := vfs.NewCrashableMem()
	const most = 400
	fs := &hooked{mem, func() {
		mu.Lock()
		defer mu.Unlock()
		if steps++; len(crashes) == most || steps%3 != int(seed%3) {
			return
		}
		// Acknowledged before the clone is made: it must hold these.
		acked := tally.Acked()
		crashes = append(crashes, crash{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 25 * rnd.IntN(5), RNG: rnd}), acked})
	}}
	o := quick(fs)
	o.MemTable = 128 << 10
	load := storetest.Load{Writers: 3, Steps: 60, Ack: tally.Ack}
	for range 3 {
		s := open(t, "db", o)
		if err := load.Run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d writes to the disk, %d crashes", steps, len(crashes))
	if len(crashes) < 100 {
		t.Fatal("too few crashes to mean anything")
	}
	for i, c := range crashes {
		o := quick(c.fs)
		s := open(t, "db", o)
		err := load.Check(t.Context(), s, c.acked)
		if i%20 == 0 && err == nil {
			var after storetest.Tally
			more := storetest.Load{Writers: 3, Steps: 3, Ack: after.Ack}
			if err = more.Run(t.Context(), s); err == nil {
				err = more.Check(t.Context(), s, after.Acked())
			}
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatalf("crash %d of %d: %v", i, len(crashes), err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pebble.Options{})
	defer s.Close()
	if _, err := pebble.Open(dir, pebble.Options{}); err == nil || problem.Say(err, problem.Chinese) == err.Error() {
		t.Fatal("a folder in use was opened again:", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Open(file, pebble.Options{}); err == nil {
		t.Fatal("a file was opened as a folder")
	}
}

// A snapshot never shows what a crash could take back.
func TestSnapshotIsDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	hold := make(chan struct{})
	var held sync.Once
	reached := make(chan struct{})
	var on bool
	var mu sync.Mutex
	fs := &hooked{mem, func() {}}
	s := open(t, "db", quick(&syncHold{hooked: fs, hold: func() {
		mu.Lock()
		yes := on
		mu.Unlock()
		if yes {
			held.Do(func() { close(reached) })
			<-hold
		}
	}}))
	defer s.Close()
	mu.Lock()
	on = true
	mu.Unlock()
	applied := make(chan error, 1)
	go func() {
		var b store.Batch
		b.Append([]byte("log"), []byte("x"))
		_, err := s.Apply(context.Background(), &b)
		applied <- err
	}()
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if n, err := s.Snapshot(ctx); err == nil {
		t.Error("a snapshot shows number", n.Sequence(), "before it is durable")
		n.Close()
	}
	if err := s.Wait(ctx, 0); err == nil {
		t.Error("Wait told of a number before it was durable")
	}
	close(hold)
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	n, err := s.Snapshot(t.Context())
	if err != nil || n.Sequence() != 1 {
		t.Fatal(err)
	}
	n.Close()
}

// syncHold holds syncs of the log.
type syncHold struct {
	*hooked
	hold func()
}

type syncHoldFile struct {
	vfs.File
	hold func()
}

func (h *syncHold) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := h.hooked.Create(name, c)
	if err == nil && filepath.Ext(name) == ".log" {
		f = &syncHoldFile{f, h.hold}
	}
	return f, err
}
func (f *syncHoldFile) Sync() error     { f.hold(); return f.File.Sync() }
func (f *syncHoldFile) SyncData() error { f.hold(); return f.File.SyncData() }

var _ = fmt.Sprint
