package ledger

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/fujie-id/fujie/problem"
)

// disk is the folder of a log.
type disk struct {
	root string

	mu      sync.Mutex
	dir     string   // that exists: the folder of the last tile
	written []string // since the last sync
}

func diskProblem(err error, what string) error {
	kind := problem.Internal
	if isFull(err) {
		kind = problem.Full
	}
	return problem.Wrap(err, kind, "the ledger cannot use %s: check the folder's rights and free space", "账本无法使用 %s：请检查目录权限与剩余空间", what)
}

// path is where a file of the log lies.
func (d *disk) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// read is a whole file of at most limit bytes; nil when there is none.
func (d *disk) read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskProblem(err, d.path(name))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = problem.New(problem.TooLarge, "the file is too large", "文件过大")
	}
	if err != nil {
		return nil, diskProblem(err, d.path(name))
	}
	return b, nil
}

// maxBundle is the bytes of the largest bundle of entries.
const maxBundle = tileWidth * (2 + maxLeaf)

// tile is a tile's bytes, from the whole tile if the part is gone; nil when there is none of the right size.
func (d *disk) tile(t tile) ([]byte, error) {
	b, err := d.read(t.path(), maxBundle)
	if b == nil && err == nil && t.width < tileWidth {
		b, err = d.read(tile{t.level, t.n, tileWidth}.path(), maxBundle)
	}
	if b == nil || err != nil {
		return nil, err
	}
	return t.cut(b), nil
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
	if len(b) < t.width*32 {
		return nil
	}
	return b[:t.width*32]
}

// put writes a tile. It is durable after sync; before, nothing that was signed speaks of it.
func (d *disk) put(t tile, data []byte) error {
	name := d.path(t.path())
	dir := filepath.Dir(name)
	d.mu.Lock()
	known := d.dir == dir
	d.mu.Unlock()
	err := fs.ErrNotExist
	if known {
		err = os.WriteFile(name, data, 0o644)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o755); err == nil {
			err = os.WriteFile(name, data, 0o644)
		}
	}
	if err != nil {
		return diskProblem(err, name)
	}
	d.mu.Lock()
	d.dir = dir
	d.written = append(d.written, name)
	d.mu.Unlock()
	return nil
}

// removeParts removes what was served of a tile before it was full.
func (d *disk) removeParts(t tile) {
	os.RemoveAll(d.path(t.path()) + ".p")
}

// sync makes durable what was put.
func (d *disk) sync() error {
	d.mu.Lock()
	names := d.written
	d.written = nil
	d.mu.Unlock()
	if err := syncFiles(d.root, names); err != nil {
		d.mu.Lock()
		d.written = append(names, d.written...)
		d.mu.Unlock()
		return diskProblem(err, d.root)
	}
	return nil
}

// syncEach syncs files and their folders one by one.
func syncEach(names []string) error {
	dirs := map[string]bool{}
	for _, n := range names {
		f, err := os.Open(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a part that is gone again
		}
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return err
		}
		dirs[filepath.Dir(n)] = true
	}
	for n := range dirs {
		if f, err := os.Open(n); err == nil {
			f.Sync() // not every system can
			f.Close()
		}
	}
	return nil
}

// write replaces a file at once and durably.
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
