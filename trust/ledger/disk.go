package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/fujie-id/fujie/problem"
)

// segment is how many entries, or hashes of one level, one file holds: 256 tiles.
const segment = tileWidth * tileWidth

// disk is the folder of a log. A tile is a run of bytes in a file that only grows, and part of a tile is the beginning
// of that run: a few files for a million entries, and a few calls for a thousand.
type disk struct {
	root    string
	hashes  [maxLevels]column // by level
	entries column
	offsets column

	// Of the writer:
	at      int64 // bytes in the last file of entries
	pending struct {
		hashes  [][]byte // by level, from position first[level]
		first   []int64
		entries []byte // of one segment
		segment int64
		offsets []byte
		tile    int64 // whose offset is the first
	}
}

// column is a sequence of bytes in files of equal size (or, for entries, of an equal number of entries).
type column struct {
	dir   string
	mu    sync.Mutex
	files map[int64]*os.File
	dirty map[int64]bool
	held  int  // who syncs just now: no file is closed then
	made  bool // a file was, since the last sync
}

const maxFiles = 64 // that a column keeps open

func newDisk(root string) *disk {
	d := &disk{root: root}
	d.entries.dir = filepath.Join(root, "entries")
	d.offsets.dir = filepath.Join(root, "entries", "at")
	for l := range d.hashes {
		d.hashes[l].dir = filepath.Join(root, "hashes", fmt.Sprint(l))
	}
	return d
}

// maxLevels is as many as the largest log has.
const maxLevels = 7

func diskProblem(err error, what string) error {
	kind := problem.Internal
	if errors.Is(err, syscall.ENOSPC) {
		kind = problem.Full
	}
	return problem.Wrap(err, kind, "the ledger cannot use %s: check the folder's rights and free space", "账本无法使用 %s：请检查目录权限与剩余空间", what)
}

// file is the n-th file of the column, made if create says so; nil if there is none. c.mu is held.
func (c *column) file(n int64, create bool) (*os.File, error) {
	if f := c.files[n]; f != nil {
		return f, nil
	}
	name := filepath.Join(c.dir, fmt.Sprintf("%08d", n))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, nil
		}
		if err = os.MkdirAll(c.dir, 0o755); err == nil {
			f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		}
		c.made = true
	}
	if errors.Is(err, fs.ErrPermission) && !create { // an auditor reads only
		f, err = os.Open(name)
	}
	if err != nil {
		return nil, diskProblem(err, name)
	}
	if c.files == nil {
		c.files, c.dirty = map[int64]*os.File{}, map[int64]bool{}
	}
	c.trim()
	c.files[n] = f
	return f, nil
}

// trim closes files when too many are open. A reader that finds its file closed opens it again.
func (c *column) trim() {
	for n, f := range c.files {
		if len(c.files) < maxFiles || c.held > 0 { // one more is about to be opened
			return
		}
		if !c.dirty[n] {
			f.Close()
			delete(c.files, n)
		}
	}
}

func (c *column) write(n, at int64, b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.file(n, true)
	if err != nil {
		return err
	}
	c.dirty[n] = true
	if _, err := f.WriteAt(b, at); err != nil {
		return diskProblem(err, f.Name())
	}
	return nil
}

// read is up to limit bytes; fewer where the file ends.
func (c *column) read(n, at int64, limit int) ([]byte, error) {
	for {
		c.mu.Lock()
		f, err := c.file(n, false)
		c.mu.Unlock()
		if f == nil || err != nil {
			return nil, err
		}
		b := make([]byte, limit)
		k, err := f.ReadAt(b, at)
		switch {
		case errors.Is(err, os.ErrClosed):
			continue // trimmed meanwhile
		case err != nil && err != io.EOF:
			return nil, diskProblem(err, f.Name())
		}
		return b[:k], nil
	}
}

func (c *column) sync() error {
	c.mu.Lock()
	var files []*os.File
	for n := range c.dirty {
		files = append(files, c.files[n])
	}
	clear(c.dirty)
	made := c.made
	c.made = false
	c.held++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.held--
		c.trim()
		c.mu.Unlock()
	}()
	for _, f := range files {
		if err := f.Sync(); err != nil {
			// After a failed sync nobody knows what is on disk: only a new start, which compares, may go on.
			return problem.Wrap(err, problem.Bogus, "the ledger's file %s could not be made durable: check the disk, and start the node again", "账本文件 %s 无法落盘：请检查磁盘后重新启动节点", f.Name())
		}
	}
	if made {
		for _, dir := range []string{c.dir, filepath.Dir(c.dir), filepath.Dir(filepath.Dir(c.dir))} {
			if f, err := os.Open(dir); err == nil {
				f.Sync() // not every system can
				f.Close()
			}
		}
	}
	return nil
}

func (c *column) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.files {
		f.Close()
	}
	c.files, c.dirty = nil, nil
}

// begin says from which size on is written next; at is the bytes in the file of entries before.
func (d *disk) begin(size, at int64) {
	d.at = at
	p := &d.pending
	p.hashes, p.first = nil, nil
	for l := 0; l == 0 || size>>(tileHeight*l) > 0; l++ {
		p.hashes = append(p.hashes, nil)
		p.first = append(p.first, size>>(tileHeight*l))
	}
	p.entries, p.offsets = p.entries[:0], p.offsets[:0]
	p.segment = size / segment
	p.tile = (size + tileWidth - 1) / tileWidth
}

// addHash takes a hash of a level, in order.
func (d *disk) addHash(l int, h Hash) {
	p := &d.pending
	if l == len(p.hashes) {
		p.hashes = append(p.hashes, nil)
		p.first = append(p.first, 0)
	}
	p.hashes[l] = append(p.hashes[l], h[:]...)
}

// addEntry takes leaf n. It writes what is pending when a new file begins.
func (d *disk) addEntry(n int64, leaf []byte) error {
	p := &d.pending
	if n%segment == 0 && n/segment != p.segment {
		if err := d.flush(); err != nil {
			return err
		}
		p.segment, d.at = n/segment, 0
	}
	if n%tileWidth == 0 {
		p.offsets = binary.BigEndian.AppendUint64(p.offsets, uint64(d.at)+uint64(len(p.entries)))
	}
	p.entries = binary.BigEndian.AppendUint16(p.entries, uint16(len(leaf)))
	p.entries = append(p.entries, leaf...)
	return nil
}

// flush writes what is pending. What fails stays pending. It is durable after sync; before, nothing that was signed speaks
// of it.
func (d *disk) flush() error {
	p := &d.pending
	if len(p.entries) > 0 {
		if err := d.entries.write(p.segment, d.at, p.entries); err != nil {
			return err
		}
		d.at += int64(len(p.entries))
		p.entries = p.entries[:0]
	}
	if n := int64(len(p.offsets) / 8); n > 0 {
		if err := splitWrite(&d.offsets, p.tile, 8, p.offsets); err != nil {
			return err
		}
		p.tile += n
		p.offsets = p.offsets[:0]
	}
	for l := range p.hashes {
		n := int64(len(p.hashes[l]) / tlog.HashSize)
		if n == 0 {
			continue
		}
		c := &d.hashes[l]
		if err := splitWrite(c, p.first[l], tlog.HashSize, p.hashes[l]); err != nil {
			return err
		}
		p.first[l] += n
		p.hashes[l] = p.hashes[l][:0]
	}
	return nil
}

// splitWrite writes items of unit bytes from position first on, over as many files as it takes.
func splitWrite(c *column, first int64, unit int, b []byte) error {
	for len(b) > 0 {
		n, at := first/segment, first%segment
		part := min(len(b), int(segment-at)*unit)
		if err := c.write(n, at*int64(unit), b[:part]); err != nil {
			return err
		}
		b, first = b[part:], first+int64(part/unit)
	}
	return nil
}

// sync makes durable what was flushed.
func (d *disk) sync() error {
	for i := range d.hashes {
		if err := d.hashes[i].sync(); err != nil {
			return err
		}
	}
	if err := d.entries.sync(); err != nil {
		return err
	}
	return d.offsets.sync()
}

func (d *disk) close() {
	for i := range d.hashes {
		d.hashes[i].close()
	}
	d.entries.close()
	d.offsets.close()
}

// maxBundle is the bytes of the largest bundle of entries.
const maxBundle = tileWidth * (2 + maxLeaf)

// tile is a tile's bytes; nil when there are not enough.
func (d *disk) tile(t tile) ([]byte, error) {
	if t.level != entriesLevel {
		first := t.n * tileWidth
		b, err := d.hashes[t.level].read(first/segment, first%segment*tlog.HashSize, t.width*tlog.HashSize)
		return t.cut(b), err
	}
	at, err := d.offset(t.n)
	if at < 0 || err != nil {
		return nil, err
	}
	// Most entries are commitments; when that is too little, it is read as long as it can be.
	for _, limit := range []int{t.width * 64, t.width * 1024, maxBundle} {
		b, err := d.entries.read(t.n/tileWidth, at, limit)
		if err != nil {
			return nil, err
		}
		if whole := t.cut(b); whole != nil {
			return whole, nil
		}
		if len(b) < limit {
			return nil, nil
		}
	}
	return nil, nil
}

// offset is where the bundle of tile n begins in its file; negative when that is not known.
func (d *disk) offset(n int64) (int64, error) {
	b, err := d.offsets.read(n/segment, n%segment*8, 8)
	if err != nil || len(b) < 8 {
		return -1, err
	}
	return int64(binary.BigEndian.Uint64(b) & (1<<62 - 1)), nil
}

// cut is the tile's bytes out of b, which may hold more than it; nil when it holds less.
func (t tile) cut(b []byte) []byte {
	if t.level == entriesLevel {
		end := 0
		for range t.width {
			if len(b) < end+2 {
				return nil
			}
			if end += 2 + int(b[end])<<8 + int(b[end+1]); end > len(b) {
				return nil
			}
		}
		return b[:end]
	}
	if len(b) < t.width*tlog.HashSize {
		return nil
	}
	return b[:t.width*tlog.HashSize]
}

// readFile is a whole file of at most limit bytes; nil when there is none.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskProblem(err, path)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = problem.New(problem.TooLarge, "the file has more than %d bytes", "文件超过 %d 字节", limit)
	}
	if err != nil {
		return nil, diskProblem(err, path)
	}
	return b, nil
}

// path is where a file of the log lies; read and write are for its small files, write at once and durably.
func (d *disk) path(name string) string              { return filepath.Join(d.root, name) }
func (d *disk) read(name string) ([]byte, error)     { return readFile(d.path(name), maxNote) }
func (d *disk) write(name string, data []byte) error { return replaceFile(d.path(name), data, 0o644) }

func replaceFile(path string, data []byte, mode fs.FileMode) error {
	fail := func(err error) error { return diskProblem(err, path) }
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(data); err == nil {
		if err = f.Chmod(mode); err == nil {
			err = f.Sync()
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fail(err)
	}
	if f, err := os.Open(filepath.Dir(path)); err == nil {
		f.Sync()
		f.Close()
	}
	return nil
}

// ensureSecret reads the secret, or makes one, unless there must be one.
func ensureSecret(path string, rnd io.Reader, must bool) (key [32]byte, err error) {
	b, err := os.ReadFile(path)
	switch {
	case err == nil && len(b) == len(key):
		return [32]byte(b), nil
	case err == nil || must && errors.Is(err, fs.ErrNotExist):
		return key, problem.New(problem.Internal, "the ledger's secret in %s is missing or damaged: restore it from a backup; without it nothing can be appended", "账本的密钥文件 %s 缺失或损坏：请从备份恢复，否则无法追加", path)
	case !errors.Is(err, fs.ErrNotExist):
		return key, diskProblem(err, path)
	}
	if rnd == nil {
		rnd = rand.Reader
	}
	if _, err := io.ReadFull(rnd, key[:]); err != nil {
		return key, problem.Wrap(err, problem.Internal, "there is no randomness for the ledger's secret", "没有可用的随机数来生成账本密钥")
	}
	return key, replaceFile(path, key[:], 0o600)
}
