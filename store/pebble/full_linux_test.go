package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/storetest"
)

// small is a real disk of a few megabytes. Only root can mount one.
func small(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skip("a small disk cannot be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// fill writes values until the store refuses, and returns the keys that were acknowledged.
func fill(t *testing.T, s store.Store, name string, size int) [][]byte {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 1))
	var keys [][]byte
	value := make([]byte, size)
	for i := 0; ; i++ {
		for j := range value {
			value[j] = byte(rnd.Uint32())
		}
		var b store.Batch
		key := fmt.Appendf(nil, "%s/%06d", name, i)
		b.Expect(key, nil)
		b.Put(key, value)
		b.Append([]byte("log"), key)
		if _, err := s.Apply(context.Background(), &b); err != nil {
			if !errors.Is(err, store.ErrFull) || !problem.Is(err, problem.Full) {
				t.Fatal("a full disk is said to be:", err)
			}
			return keys
		}
		keys = append(keys, key)
		if len(keys)*size > 1<<30 {
			t.Fatal("the disk does not fill")
		}
	}
}

func allThere(t *testing.T, s store.Store, keys [][]byte) {
	t.Helper()
	for _, k := range keys {
		if _, err := s.Get(t.Context(), nil, k); err != nil {
			t.Fatalf("%s: %v", k, err)
		}
	}
	n := 0
	view, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	if err := view.Range(t.Context(), store.Under([]byte("log")), func(k, v []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	if n != len(keys) || view.Sequence() != uint64(n) {
		t.Fatalf("%d writes were acknowledged, the log has %d, the sequence is %d", len(keys), n, view.Sequence())
	}
}

func TestFullDisk(t *testing.T) {
	disk := small(t, 48)
	dir := filepath.Join(disk, "db")
	s := open(t, dir, pebble.Options{Logger: logTo(t)})
	defer func() { s.Close() }()
	keys := fill(t, s, "a", 20000)
	t.Logf("%d values of 20 kB on a disk of 48 MiB", len(keys))
	if len(keys) < 500 {
		t.Error("the store refuses too early")
	}
	for range 20 {
		var b store.Batch
		b.Put([]byte("more"), make([]byte, 100))
		if _, err := s.Apply(t.Context(), &b); err == nil {
			// A log that is needed no more was removed meanwhile: there is room again, until that is full too.
			keys = append(keys, fill(t, s, "b"+strconv.Itoa(len(keys))+"-", 20000)...)
		} else if !errors.Is(err, store.ErrFull) {
			t.Fatal("a write on a full disk:", err)
		}
	}
	allThere(t, s, keys)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, pebble.Options{Logger: logTo(t)})
	allThere(t, s, keys)
}

// TestDiskFilledByOthers fills the disk under a store that writes at full speed, to the last byte, then makes room.
func TestDiskFilledByOthers(t *testing.T) {
	disk := small(t, 96)
	dir := filepath.Join(disk, "db")
	s := open(t, dir, pebble.Options{Logger: logTo(t)})
	defer func() { s.Close() }()

	var tally storetest.Tally
	var refused atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	load := storetest.Load{Writers: 4, Ack: tally.Ack, Big: 30000}
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			err := load.Run(ctx, s)
			if err != nil && !errors.Is(err, store.ErrFull) {
				ended <- err
				return
			}
			if err != nil {
				refused.Add(1)
			}
		}
		ended <- nil
	}()
	eventually(t, func() bool { return tally.Total() > 200 })

	hog, err := os.Create(filepath.Join(disk, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(hog.Name()) // or Close waits for writes that wait for room
	block := bytes.Repeat([]byte("x"), 64<<10)
	full := func() {
		for {
			if _, err := hog.Write(block); err != nil {
				if n := len(block); n > 1 {
					block = block[:n/2]
					continue
				}
				break
			}
		}
	}
	full()
	// Writes are refused; or, when the disk was filled between two looks at it, one of them waits in the middle for room, and the others behind it.
	done, still := tally.Total(), 0
	eventually(t, func() bool {
		full()
		if n := tally.Total(); n != done {
			done, still = n, 0
		}
		still++
		return refused.Load() > 3 || still > 60
	})
	full()
	// Reading goes on: points, ranges, snapshots.
	for range 3 {
		acked := tally.Acked()
		heads, err := storetest.Heads(t.Context(), s, 4)
		if err != nil {
			t.Fatal(err)
		}
		for w, n := range heads {
			if n < acked[w] {
				t.Fatal("lost")
			}
		}
	}
	if err := hog.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(hog.Name()); err != nil {
		t.Fatal(err)
	}
	before := tally.Total()
	eventually(t, func() bool { return tally.Total() > before+100 })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		heads, err := storetest.Heads(t.Context(), s, 4)
		if err != nil {
			t.Fatal(err)
		}
		acked := tally.Acked()
		for w := range acked {
			// A cancelled step may have been done.
			if heads[w] == acked[w]+1 {
				acked[w]++
			}
		}
		if err := load.Check(t.Context(), s, acked); err != nil {
			t.Fatal(err)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, pebble.Options{Logger: logTo(t)})
	check()
}

// TestOpenOnFullDisk opens a store for reading where not even a log can be started.
func TestOpenOnFullDisk(t *testing.T) {
	disk := small(t, 48)
	dir := filepath.Join(disk, "db")
	s := open(t, dir, pebble.Options{})
	keys := fill(t, s, "a", 100000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(dir, "BALLAST"))
	hog, err := os.Create(filepath.Join(disk, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	defer hog.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = hog.Write(make([]byte, size))
		}
	}
	s = open(t, dir, pebble.Options{Logger: logTo(t)})
	allThere(t, s, keys)
	var b store.Batch
	b.Put([]byte("k"), nil)
	if _, err := s.Apply(t.Context(), &b); !errors.Is(err, store.ErrFull) {
		t.Fatal("a write on a full disk:", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(hog.Name()); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, pebble.Options{Logger: logTo(t)})
	defer s.Close()
	if len(keys) == 0 {
		t.Fatal("nothing was written")
	}
	b.Reset()
	b.Delete(keys[0])
	if _, err := s.Apply(t.Context(), &b); err != nil && !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, held func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !held() {
		select {
		case <-deadline:
			t.Fatal("waited for a minute in vain")
		case <-tick.C:
		}
	}
}

// noRoom is a disk that is full when it is told to be, for those who cannot mount a small one.
type noRoom struct {
	vfs.FS
	full *atomic.Bool
}

type noRoomFile struct {
	vfs.File
	full *atomic.Bool
}

func (n noRoom) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{}, errors.New("this disk does not tell")
}
func (n noRoom) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if n.full.Load() && filepath.Base(name) != "BALLAST" {
		return nil, syscall.ENOSPC
	}
	f, err := n.FS.Create(name, c)
	return noRoomFile{f, n.full}, err
}
func (f noRoomFile) Write(p []byte) (int, error) {
	if f.full.Load() {
		n := len(p) / 2 // some of it went through
		k, err := f.File.Write(p[:n])
		return k, errors.Join(err, syscall.ENOSPC)
	}
	return f.File.Write(p)
}

// TestDiskFullWithoutWarning is the worst case: the disk does not tell its free space and there is no ballast. Writes
// wait, nothing is torn, and all is well when there is room.
func TestDiskFullWithoutWarning(t *testing.T) {
	var full atomic.Bool
	s := open(t, "db", quick(noRoom{vfs.NewMem(), &full}))
	defer s.Close()
	defer full.Store(false) // or Close waits for writes that wait for room
	var tally storetest.Tally
	load := storetest.Load{Writers: 3, Ack: tally.Ack}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- load.Run(ctx, s) }()
	for range 3 {
		before := tally.Total()
		eventually(t, func() bool { return tally.Total() > before+30 && tally.Acked()[0] > 0 })
		full.Store(true)
		if _, err := s.Get(t.Context(), nil, []byte("load/0\x00head")); err != nil {
			t.Fatal(err)
		}
		full.Store(false)
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
	heads, err := storetest.Heads(t.Context(), s, 3)
	if err != nil {
		t.Fatal(err)
	}
	for w, n := range heads {
		if last := tally.Acked()[w]; n > last+1 || n < last {
			t.Fatal(n, last)
		}
		tally.Ack(w, n)
	}
	if err := load.Check(t.Context(), s, tally.Acked()); err != nil {
		t.Fatal(err)
	}
}
