package pebble

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// disk is a file system that never tells Pebble that the disk is full, because Pebble would not survive it. A write
// that finds no room takes the ballast's, and if that is not enough waits until somebody makes room. room refuses new
// batches long before, so that waiting is for what was under way when another program filled the disk.
type disk struct {
	vfs.FS
	dir     string
	reserve int64 // size of the ballast
	margin  int64 // bytes that must stay free for what is written already: memory tables on their way to disk
	log     *slog.Logger
	stop    <-chan struct{} // closed when the store closes
	full    atomic.Bool

	mu      sync.Mutex
	ballast bool  // lies there
	budget  int64 // bytes that may be written before room looks again
}

const (
	reserveDefault  = 16 << 20
	memTableDefault = 16 << 20
	memTableLeast   = 1 << 20

	lookEvery   = 1 << 20 // bytes
	retryEvery  = 50 * time.Millisecond
	giveUpPause = time.Second
)

// newDisk looks at the disk under dir, which exists, and sets what o leaves open accordingly. tooFull says that there is
// no room even to tidy up what is there.
func newDisk(dir string, o *Options, stop <-chan struct{}) (d *disk, tooFull bool) {
	d = &disk{FS: o.FS, dir: dir, log: o.Logger, stop: stop}
	usage, err := o.FS.GetDiskUsage(dir)
	if o.Reserve <= 0 {
		o.Reserve = reserveDefault
		if err == nil {
			o.Reserve = min(o.Reserve, int64(usage.TotalBytes/16))
		}
	}
	if o.MemTable <= 0 {
		o.MemTable = memTableDefault
		if err == nil {
			o.MemTable = max(memTableLeast, min(o.MemTable, int64(usage.TotalBytes/32)))
		}
	}
	d.reserve, d.margin = o.Reserve, o.Reserve+2*o.MemTable
	if _, missing := o.FS.Stat(d.ballastPath()); missing == nil {
		d.ballast = true
		if err == nil && int64(usage.AvailBytes) < d.reserve {
			d.release()
			usage, err = o.FS.GetDiskUsage(dir)
		}
	}
	return d, err == nil && int64(usage.AvailBytes) < o.MemTable
}

func (d *disk) ballastPath() string { return d.PathJoin(d.dir, "BALLAST") }

// opened is called once Pebble runs.
func (d *disk) opened() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.look(0)
}

// room refuses with store.ErrFull what might not find room.
func (d *disk) room(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.budget -= size; d.budget >= 0 && !d.full.Load() {
		return nil
	}
	return d.look(size)
}

// look asks the disk. A batch is written up to three times over: log, table, and table again in a compaction.
func (d *disk) look(size int64) error {
	usage, err := d.GetDiskUsage(d.dir)
	if err != nil { // a file system that does not tell: only a write can
		d.budget = lookEvery
		d.full.Store(false)
		return nil
	}
	free := int64(usage.AvailBytes)
	if !d.ballast && free >= d.reserve+d.margin+3*size && d.keep() {
		free -= d.reserve
	}
	if free < d.margin+3*size {
		if !d.full.Swap(true) {
			d.log.Error("the disk is full; writes are refused, reading goes on", "folder", d.dir, "free", free, "needed", d.margin+3*size)
		}
		return problem.Wrap(store.ErrFull, problem.Full,
			"the disk under %s has %d MiB left, less than the store needs to write safely: free or add space",
			"%s 所在磁盘仅剩 %d MiB，不足以安全写入：请清理或扩充空间", d.dir, free>>20)
	}
	if d.full.Swap(false) {
		d.log.Info("the disk has room again; writes are taken", "folder", d.dir, "free", free)
	}
	d.budget = min(lookEvery, (free-d.margin)/3)
	return nil
}

// keep makes the ballast.
func (d *disk) keep() bool {
	f, err := d.FS.Create(d.ballastPath(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return false
	}
	err = errors.Join(f.Preallocate(0, d.reserve), f.Close())
	if err != nil {
		_ = d.FS.Remove(d.ballastPath())
	}
	d.ballast = err == nil
	return d.ballast
}

func (d *disk) release() {
	if d.ballast {
		_ = d.FS.Remove(d.ballastPath())
		d.ballast = false
	}
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// What a write is for decides what want of room does to it.
type purpose uint8

const (
	vital   purpose = iota // the log, the list of tables: takes the ballast, then waits
	flush                  // memory tables: the same, but given up when the store closes; the log still has it
	compact                // tables written anew: given up at once, so that what is written already makes room
)

func purposeOf(c vfs.DiskWriteCategory) purpose {
	switch c {
	case "pebble-memtable-flush":
		return flush
	case "pebble-compaction", "pebble-blob-file-rewrite":
		return compact
	}
	return vital
}

// retry does op until it fails for another reason than want of room, or may be given up.
func (d *disk) retry(p purpose, op func() error) error {
	for {
		err := op()
		if err == nil || !noSpace(err) {
			return err
		}
		if !d.full.Swap(true) {
			d.log.Error("the disk is full; writes are refused, reading goes on", "folder", d.dir, "error", err)
		}
		if p == compact {
			d.pause(giveUpPause) // Pebble tries again at once
			return err
		}
		d.mu.Lock()
		had := d.ballast
		d.release()
		d.mu.Unlock()
		if !had && d.pause(retryEvery) && p == flush {
			return err
		}
	}
}

// pause waits, and reports whether the store is closing. Then it waits less.
func (d *disk) pause(t time.Duration) (closing bool) {
	select {
	case <-d.stop:
		time.Sleep(min(t, retryEvery))
		return true
	case <-time.After(t):
		return false
	}
}

func (d *disk) file(f vfs.File, c vfs.DiskWriteCategory, err error) (vfs.File, error) {
	if err != nil || f == nil {
		return f, err
	}
	return &file{f, d, purposeOf(c)}, nil
}

// Create makes a file. Pebble makes a marker to say which list of tables counts, and syncs the folder after it only: a
// file system that does not keep the order of entries could lose the list and keep the marker.
func (d *disk) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	if strings.HasPrefix(d.PathBase(name), "marker.") {
		if err := d.syncFolder(d.PathDir(name)); err != nil {
			return nil, err
		}
	}
	err = d.retry(purposeOf(c), func() error { f, err = d.FS.Create(name, c); return err })
	return d.file(f, c, err)
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (f vfs.File, err error) {
	err = d.retry(purposeOf(c), func() error { f, err = d.FS.OpenReadWrite(name, c, o...); return err })
	return d.file(f, c, err)
}

func (d *disk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = d.retry(purposeOf(c), func() error { f, err = d.FS.ReuseForWrite(old, name, c); return err })
	return d.file(f, c, err)
}

func (d *disk) syncFolder(name string) error {
	dir, err := d.FS.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d *disk) Link(old, name string) error {
	return d.retry(vital, func() error { return d.FS.Link(old, name) })
}

func (d *disk) Rename(old, name string) error {
	return d.retry(vital, func() error { return d.FS.Rename(old, name) })
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

// file is one that is written. An fsync that finds no room is not tried again: after a failed one nobody knows what is
// on the disk, and Pebble ends the process.
type file struct {
	vfs.File
	d       *disk
	purpose purpose
}

func (f *file) Write(p []byte) (n int, err error) {
	err = f.d.retry(f.purpose, func() error {
		k, err := f.File.Write(p[n:])
		n += k
		return err
	})
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.d.retry(f.purpose, func() error {
		k, err := f.File.WriteAt(p[n:], off+int64(n))
		n += k
		return err
	})
	return n, err
}

// Preallocate only makes writing faster.
func (f *file) Preallocate(off, length int64) error {
	if err := f.File.Preallocate(off, length); !noSpace(err) {
		return err
	}
	return nil
}
