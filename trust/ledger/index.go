package ledger

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fujie-id/fujie/problem"
)

// index finds the last entry about an identifier. It is made of files that are written once, each for a run of
// entries, FROM-TO in hexadecimal: sorted pairs of u64 hash of the identifier and u64 number of its last entry in the
// run. Eight files of one size become one, so that there are few. What is behind the last file is in memory, and made
// again from the source at the start: so the index costs a bulk registration a sort and a sequential write.
type index struct {
	dir string
	key [32]byte // of the hash: nobody who does not know it can make two identifiers collide

	mu    sync.RWMutex
	files []indexFile // by FROM; without gaps
	tail  []pair      // behind them
}

type pair struct{ hash, seq uint64 }

type indexFile struct {
	from, to uint64
	f        *os.File
	n        int64
}

const (
	indexRun   = 1 << 16 // entries in memory
	indexMerge = 8
	pairBytes  = 16
)

func (x *index) hash(id []byte) uint64 {
	b := append(append(make([]byte, 0, 128), x.key[:]...), id...)
	h := sha256.Sum256(b)
	return binary.BigEndian.Uint64(h[:])
}

// openIndex reads which files there are and goes through the entries behind them.
func (l *Log) openIndex(ctx context.Context) error {
	x := &index{dir: filepath.Join(l.cfg.Dir, "index")}
	s := l.maker.secret
	x.key = sha256.Sum256(append([]byte("fujie ledger index v1\x00"), s.key[:]...))
	if err := os.MkdirAll(x.dir, 0o700); err != nil {
		return diskProblem(err, x.dir)
	}
	list, err := os.ReadDir(x.dir)
	if err != nil {
		return diskProblem(err, x.dir)
	}
	var files []indexFile
	for _, e := range list {
		var f indexFile
		if n, err := fmt.Sscanf(e.Name(), "%016x-%016x", &f.from, &f.to); err != nil || n != 2 || e.Name() != f.name() {
			os.Remove(filepath.Join(x.dir, e.Name())) // what a crash left
			continue
		}
		files = append(files, f)
	}
	// A run that a larger one holds was merged; its removal was lost.
	slices.SortFunc(files, func(a, b indexFile) int {
		if a.from != b.from {
			return compare(a.from, b.from)
		}
		return compare(b.to, a.to)
	})
	next := uint64(1)
	for _, f := range files {
		path := filepath.Join(x.dir, f.name())
		if f.from != next || f.to > uint64(l.edge.size) {
			os.Remove(path)
			continue
		}
		if f.f, err = os.Open(path); err != nil {
			x.close()
			return diskProblem(err, path)
		}
		info, err := f.f.Stat()
		if err != nil || info.Size()%pairBytes != 0 {
			f.f.Close()
			os.Remove(path)
			break // everything from here is made again
		}
		f.n = info.Size() / pairBytes
		x.files = append(x.files, f)
		next = f.to + 1
	}
	for next <= uint64(l.edge.size) {
		entries, err := l.cfg.Source.Entries(ctx, next-1, int(min(batch, uint64(l.edge.size)-next+1)))
		if err != nil {
			x.close()
			return err
		}
		for i := range entries {
			if entries[i].Seq != next {
				x.close()
				return problem.New(problem.Bogus, "the source of the ledger gives entry %d where %d is due", "账本的来源给出第 %d 项，而应为第 %d 项", entries[i].Seq, next)
			}
			x.add(l.cfg.ID(&entries[i]), next)
			next++
		}
		if err := x.flush(); err != nil {
			x.close()
			return err
		}
	}
	l.index = x
	return nil
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (f *indexFile) name() string { return fmt.Sprintf("%016x-%016x", f.from, f.to) }

func (x *index) close() {
	for i := range x.files {
		x.files[i].f.Close()
	}
	x.files = nil
}

// covered is the last entry that is in a file.
func (x *index) covered() uint64 {
	if n := len(x.files); n > 0 {
		return x.files[n-1].to
	}
	return 0
}

// add notes that entry seq is about id; nil is nothing.
func (x *index) add(id []byte, seq uint64) {
	if seq <= x.covered() {
		return
	}
	p := pair{seq: seq}
	if id != nil {
		p.hash = x.hash(id)
	}
	x.mu.Lock()
	x.tail = append(x.tail, p)
	x.mu.Unlock()
}

// flush writes the tail when it is long enough, and merges files.
func (x *index) flush() error {
	if len(x.tail) < indexRun {
		return nil
	}
	f := indexFile{from: x.tail[0].seq, to: x.tail[len(x.tail)-1].seq}
	sorted := slices.Clone(x.tail)
	slices.SortFunc(sorted, func(a, b pair) int {
		if a.hash != b.hash {
			return compare(a.hash, b.hash)
		}
		return compare(b.seq, a.seq)
	})
	sorted = slices.CompactFunc(sorted, func(a, b pair) bool { return a.hash == b.hash })
	err := x.write(&f, func(put func(pair) error) error {
		for _, p := range sorted {
			if err := put(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.files = append(x.files, f)
	x.tail = nil
	x.mu.Unlock()
	return x.merge()
}

func (x *index) write(f *indexFile, each func(put func(pair) error) error) error {
	path := filepath.Join(x.dir, f.name())
	out, err := os.CreateTemp(x.dir, ".new-*")
	if err != nil {
		return diskProblem(err, path)
	}
	defer os.Remove(out.Name())
	w := bufio.NewWriterSize(out, 1<<18)
	err = each(func(p pair) error {
		f.n++
		b := binary.BigEndian.AppendUint64(w.AvailableBuffer(), p.hash)
		_, err := w.Write(binary.BigEndian.AppendUint64(b, p.seq))
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err == nil {
		f.f, err = os.Open(path)
	}
	if err != nil {
		return diskProblem(err, path)
	}
	return nil
}

// merge makes one file of the last eight as long as they are of one size class.
func (x *index) merge() error {
	for len(x.files) >= indexMerge {
		last := x.files[len(x.files)-indexMerge:]
		class := last[len(last)-1].to - last[len(last)-1].from + 1
		for i := range last {
			if n := last[i].to - last[i].from + 1; n > class*(indexMerge/2) {
				return nil
			}
		}
		merged := indexFile{from: last[0].from, to: last[len(last)-1].to}
		if err := x.write(&merged, func(put func(pair) error) error { return mergePairs(last, put) }); err != nil {
			return err
		}
		old := slices.Clone(last)
		x.mu.Lock()
		x.files = append(x.files[:len(x.files)-indexMerge], merged)
		x.mu.Unlock()
		for i := range old {
			old[i].f.Close()
			os.Remove(filepath.Join(x.dir, old[i].name()))
		}
	}
	return nil
}

// mergePairs gives the pairs of all files in order, of equal hashes the last entry only.
func mergePairs(files []indexFile, put func(pair) error) error {
	type cursor struct {
		r    *bufio.Reader
		p    pair
		done bool
	}
	cs := make([]cursor, len(files))
	next := func(c *cursor) error {
		var b [pairBytes]byte
		_, err := io.ReadFull(c.r, b[:])
		if err == io.EOF {
			c.done = true
			return nil
		}
		c.p = pair{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
		return err
	}
	for i := range cs {
		cs[i].r = bufio.NewReaderSize(io.NewSectionReader(files[i].f, 0, files[i].n*pairBytes), 1<<16)
		if err := next(&cs[i]); err != nil {
			return err
		}
	}
	for {
		var least *cursor
		for i := range cs {
			// A later file's entry comes first among equals.
			if c := &cs[i]; !c.done && (least == nil || c.p.hash <= least.p.hash) {
				least = c
			}
		}
		if least == nil {
			return nil
		}
		p := least.p
		if err := put(p); err != nil {
			return err
		}
		for i := range cs {
			for c := &cs[i]; !c.done && c.p.hash == p.hash; {
				if err := next(c); err != nil {
					return err
				}
			}
		}
	}
}

// find is the last entry about id; 0 when there is none.
func (x *index) find(id []byte) (uint64, error) {
	want := x.hash(id)
	x.mu.RLock()
	defer x.mu.RUnlock()
	for i := len(x.tail) - 1; i >= 0; i-- {
		if x.tail[i].hash == want {
			return x.tail[i].seq, nil
		}
	}
	for i := len(x.files) - 1; i >= 0; i-- {
		f := &x.files[i]
		lo, hi := int64(0), f.n
		var b [pairBytes]byte
		for lo < hi {
			mid := lo + (hi-lo)/2
			if _, err := f.f.ReadAt(b[:], mid*pairBytes); err != nil {
				return 0, diskProblem(err, f.f.Name())
			}
			switch h := binary.BigEndian.Uint64(b[:]); {
			case h == want:
				return binary.BigEndian.Uint64(b[8:]), nil
			case h < want:
				lo = mid + 1
			default:
				hi = mid
			}
		}
	}
	return 0, nil
}

// Last is the number of the last entry about an identifier, by what Config.ID gives; 0 when there is none.
func (l *Log) Last(id []byte) (uint64, error) {
	if l.index == nil {
		return 0, problem.New(problem.Unsupported, "this ledger keeps no index of identifiers", "本账本没有标识索引")
	}
	return l.index.find(id)
}

// Close lets go of the log's files. Run must be over.
func (l *Log) Close() error {
	if l.index != nil {
		l.index.close()
	}
	l.dir.close()
	return nil
}
