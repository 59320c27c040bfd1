// Package pebble keeps a node's bytes in a folder on this machine's disk. It is the engine to start with: nothing to
// install, nothing to run beside it, and enough for hundreds of millions of identifiers on one machine.
//
// The folder is a Pebble database (github.com/cockroachdb/pebble). Every key of the seam is a key of it as it is. The
// empty key, which the seam forbids, is the engine's own:
//
//	1 byte   1, the version of this layout
//	8 bytes  the last sequence number given out, big endian
//	8 bytes  the number of batches applied, big endian
//
// Each batch is one Pebble batch that also rewrites the empty key, so that what a reader sees says how far it has come.
// Writers share fsyncs: conditions are checked and sequence numbers given under one lock, in the order of the log; the
// wait for the disk is outside it. Beside the database lies BALLAST, empty space that is given up when the disk is full.
//
// Who can write into the folder can change every record in it; what is signed shows it.
package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/internal/await"
)

// Options are what an operator may tune. The zero Options are good.
type Options struct {
	Cache    int64        // bytes of memory for data read from disk and for what MemTable says; 0: 96 MiB
	MemTable int64        // bytes that gather in memory before they are sorted to disk, up to four times; 0: 16 MiB, at most 1/32 of the disk
	Reserve  int64        // bytes of disk kept back so that a full disk harms nothing; 0: 16 MiB, at most 1/16 of the disk
	Logger   *slog.Logger // where the engine reports a full or failing disk; nil: nowhere
	FS       vfs.FS       // nil: the machine's disk
}

// Store is an engine in a folder. Make it with Open.
type Store struct {
	db    *pebble.DB
	cache *pebble.Cache
	log   *slog.Logger
	disk  *disk
	gate  await.Gate
	stop  chan struct{} // closed by Close

	write   sync.Mutex // held while a batch is checked and takes effect
	seq     uint64     // the last number given out
	batches uint64     // how many took effect

	synced   await.Mark // batches that are durable
	last     await.Mark // the last durable sequence number
	failed   atomic.Bool
	halt     chan struct{} // closed when nothing more becomes durable: by Close and by a failure
	haltOnce sync.Once
	readOnly bool // opened on a disk too full to write

	mu    sync.Mutex
	views map[*snapshot]struct{}
}

var counterKey = []byte{}

const counterLayout = 1

func appendCounter(b []byte, seq, batches uint64) []byte {
	b = append(b, counterLayout)
	b = binary.BigEndian.AppendUint64(b, seq)
	return binary.BigEndian.AppendUint64(b, batches)
}

func readCounter(r pebble.Reader) (seq, batches uint64, err error) {
	v, done, err := r.Get(counterKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer done.Close()
	if len(v) != 17 || v[0] != counterLayout {
		return 0, 0, fmt.Errorf("the counter has an unknown layout %x", v)
	}
	return binary.BigEndian.Uint64(v[1:]), binary.BigEndian.Uint64(v[9:]), nil
}

// Open opens the store in the folder dir and makes both if they are not there. One process at a time can have it open.
func Open(dir string, o Options) (*Store, error) {
	if o.Cache <= 0 {
		o.Cache = 96 << 20
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.Wrap(err, problem.Internal,
			"the folder %s cannot be made: choose another, or let this user write there",
			"无法创建文件夹 %s：请另选位置，或授予当前用户写入权限", dir)
	}
	s := &Store{log: o.Logger, stop: make(chan struct{}), halt: make(chan struct{}), views: map[*snapshot]struct{}{}}
	s.disk, s.readOnly = newDisk(dir, &o, s.stop)
	s.cache = pebble.NewCache(o.Cache)
	po := s.options(o)
	po.FS, po.Logger = s.disk, logger{s}
	if s.readOnly {
		if _, err := o.FS.Stat(o.FS.PathJoin(dir, "LOCK")); err != nil {
			s.cache.Unref()
			return nil, problem.Wrap(store.ErrFull, problem.Full,
				"the disk under %s is too full to make a store: free some space",
				"%s 所在磁盘已满，无法创建存储：请清理空间", dir)
		}
		po.ReadOnly = true
		o.Logger.Error("the disk is full; the store is opened for reading only: free some space, then start again", "folder", dir)
	}
	db, err := pebble.Open(dir, po)
	if err != nil {
		s.cache.Unref()
		return nil, problem.Wrap(err, problem.Internal,
			"the store in %s cannot be opened: see that no other process has it open, and that this user may read and write it",
			"无法打开 %s 中的存储：请确认没有其他进程占用，且当前用户有读写权限", dir)
	}
	s.db = db
	if s.seq, s.batches, err = readCounter(db); err != nil {
		return nil, errors.Join(problem.Wrap(err, problem.Internal,
			"the store in %s was not written by this version of the program: open it with the version that wrote it, or restore a backup",
			"%s 中的存储不是由本版本程序写入的：请用原版本打开，或从备份恢复", dir), db.Close())
	}
	s.synced.Raise(s.batches)
	s.last.Raise(s.seq)
	if !s.readOnly {
		s.disk.opened()
	}
	return s, nil
}

func (s *Store) options(o Options) *pebble.Options {
	po := &pebble.Options{
		Cache:                       s.cache,
		FormatMajorVersion:          format,
		MemTableSize:                uint64(o.MemTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                1000,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	po.Comparer = comparer
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = filter{bloom.FilterPolicy(10)}
		po.Levels[i].BlockSize = blockSize
		po.Levels[i].IndexBlockSize = 256 << 10
	}
	po.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return compression })
	return po
}

// comparer is the engine's own order of bytes. It knows besides which keys are about one thing, for the sake of the filters alone: the name is the same, since the
// order is.
var comparer = func() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Split = store.Subject
	c.ImmediateSuccessor = func(dst, subject []byte) []byte {
		if n := len(subject); n > 0 && subject[n-1] == 0 && store.Subject(append(subject[:n:n], 0)) == n {
			return append(append(dst, subject...), 0xff)
		}
		return append(append(dst, subject...), 0)
	}
	return &c
}()

// filter has a name of its own: tables that were written with filters of whole keys are read without them.
type filter struct{ bloom.FilterPolicy }

func (filter) Name() string { return "fujie.subjects.bloom" }

// Measured on ten million records; see the benchmark in this folder.
var (
	blockSize = 8 << 10
	format    = pebble.FormatFlushableIngest

	compression = pebble.DBCompressionFastest
)

// Get is store.Reader's.
func (s *Store) Get(ctx context.Context, dst, key []byte) ([]byte, error) {
	if !s.gate.Enter() {
		return dst, store.ErrClosed
	}
	defer s.gate.Leave()
	return get(ctx, s.db, dst, key)
}

func get(ctx context.Context, r pebble.Reader, dst, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	if len(key) == 0 {
		return dst, store.ErrNotFound
	}
	v, done, err := r.Get(key)
	if err != nil {
		if err == pebble.ErrNotFound || errors.Is(err, pebble.ErrNotFound) {
			return dst, store.ErrNotFound
		}
		return dst, unreadable(err)
	}
	dst = append(dst, v...)
	if err := done.Close(); err != nil {
		return dst, unreadable(err)
	}
	return dst, nil
}

func unreadable(err error) error {
	return problem.Wrap(err, problem.Internal,
		"the store could not read its folder: check the disk, and restore a backup if it is damaged",
		"存储无法读取其文件夹：请检查磁盘，如已损坏请从备份恢复")
}

// Range is store.Reader's.
func (s *Store) Range(ctx context.Context, span store.Span, visit func(key, value []byte) error) error {
	if !s.gate.Enter() {
		return store.ErrClosed
	}
	defer s.gate.Leave()
	return visitAll(ctx, s.db, span, visit)
}

// Ranges is store.Seeker's.
func (s *Store) Ranges(ctx context.Context, n int, span func(i int) store.Span, visit func(i int, key, value []byte) error) error {
	if !s.gate.Enter() {
		return store.ErrClosed
	}
	defer s.gate.Leave()
	return visitEach(ctx, s.db, n, span, visit)
}

// visitEach goes through the spans with one iterator: where the next one lies ahead of it, it need not seek from the top.
func visitEach(ctx context.Context, r pebble.Reader, n int, span func(i int) store.Span, visit func(i int, key, value []byte) error) (err error) {
	if err := ctx.Err(); err != nil || n == 0 {
		return err
	}
	it, err := r.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: firstKey})
	if err != nil {
		return unreadable(err)
	}
	defer func() {
		if closed := it.Close(); err == nil && closed != nil {
			err = unreadable(closed)
		}
	}()
	steps := 0
	for i := range n {
		at := span(i)
		if at.To != nil && bytes.Compare(at.From, at.To) >= 0 {
			continue
		}
		seek := it.SeekGE
		if at.OneSubject() {
			seek = it.SeekPrefixGE
		}
		for ok := seek(at.From); ok; ok = it.Next() {
			if steps++; steps%64 == 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			key := it.Key()
			if at.To != nil && bytes.Compare(key, at.To) >= 0 {
				break
			}
			v, err := it.ValueAndErr()
			if err != nil {
				return unreadable(err)
			}
			if err := visit(i, key, v); err == store.Stop {
				break
			} else if err != nil {
				return err
			}
		}
		if err := it.Error(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return unreadable(err)
		}
	}
	return nil
}

// firstKey is the least key that the seam allows; it stands after the engine's own.
var firstKey = []byte{0}

func visitAll(ctx context.Context, r pebble.Reader, span store.Span, visit func(key, value []byte) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	o := pebble.IterOptions{LowerBound: span.From, UpperBound: span.To}
	if len(o.LowerBound) == 0 {
		o.LowerBound = firstKey
	}
	if o.UpperBound != nil && bytes.Compare(o.LowerBound, o.UpperBound) >= 0 {
		return nil
	}
	it, err := r.NewIterWithContext(ctx, &o)
	if err != nil {
		return unreadable(err)
	}
	defer func() {
		if closed := it.Close(); err == nil && closed != nil {
			err = unreadable(closed)
		}
		if err == store.Stop {
			err = nil
		}
	}()
	first, next := it.First, it.Next
	switch {
	case span.Reverse:
		first, next = it.Last, it.Prev
	case span.OneSubject():
		first = func() bool { return it.SeekPrefixGE(span.From) }
	}
	n := 0
	for ok := first(); ok; ok = next() {
		if n++; n%64 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return unreadable(err)
		}
		if err := visit(it.Key(), v); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return unreadable(err)
	}
	return nil
}

// Apply is store.Store's.
func (s *Store) Apply(ctx context.Context, b *store.Batch) (store.Receipt, error) {
	if err := b.Check(); err != nil {
		return store.Receipt{}, err
	}
	if !s.gate.Enter() {
		return store.Receipt{}, store.ErrClosed
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, err
	}
	size := 64
	for i := range b.Ops {
		if op := &b.Ops[i]; op.Kind != store.OpExpect {
			size += len(op.Key) + len(op.Value) + store.SequenceSize + 12
		}
	}
	if s.readOnly {
		return store.Receipt{}, store.ErrFull
	}

	pb, batch, r, err := s.effect(b, size)
	if pb == nil || err != nil {
		return store.Receipt{}, err
	}
	if err := pb.SyncWait(); err != nil {
		s.fail()
		s.log.Error("the disk did not take a write; the store takes no more until it is opened again", "error", err)
		return store.Receipt{}, errors.Join(store.ErrUncertain, err)
	}
	_ = pb.Close()
	// The log is synced in order: what came before this batch is durable, too.
	s.synced.Raise(batch)
	s.last.Raise(r.Last)
	return r, nil
}

// effect checks the batch and lets it take effect, but does not wait for the disk. The Pebble batch is nil when there
// is nothing to wait for.
func (s *Store) effect(b *store.Batch, size int) (pb *pebble.Batch, batch uint64, r store.Receipt, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	if s.failed.Load() {
		return nil, 0, r, errFailed
	}
	writes, conditions := false, 0
	for i := range b.Ops {
		if b.Ops[i].Kind == store.OpExpect {
			conditions++
		} else {
			writes = true
		}
	}
	if ok, err := s.hold(b.Ops, conditions); err != nil {
		return nil, 0, r, err
	} else if !ok {
		return nil, 0, r, store.ErrConflict
	}
	if !writes {
		return nil, 0, r, nil
	}
	if err := s.disk.room(int64(size)); err != nil {
		return nil, 0, r, err
	}

	pb = s.db.NewBatchWithSize(size)
	seq := s.seq
	var logged []byte
	for i := range b.Ops {
		op := &b.Ops[i]
		switch op.Kind {
		case store.OpPut:
			err = pb.Set(op.Key, op.Value, nil)
		case store.OpDelete:
			err = pb.Delete(op.Key, nil)
		case store.OpAppend:
			seq++
			logged = binary.BigEndian.AppendUint64(append(logged[:0], op.Key...), seq)
			err = pb.Set(logged, op.Value, nil)
		}
		if err != nil {
			return nil, 0, r, errors.Join(err, pb.Close())
		}
	}
	if seq > s.seq {
		r = store.Receipt{First: s.seq + 1, Last: seq}
	}
	batch = s.batches + 1
	if err := pb.Set(counterKey, appendCounter(logged[:0], seq, batch), nil); err != nil {
		return nil, 0, store.Receipt{}, errors.Join(err, pb.Close())
	}
	if err := s.db.ApplyNoSyncWait(pb, pebble.Sync); err != nil {
		return nil, 0, store.Receipt{}, errors.Join(unreadable(err), pb.Close())
	}
	s.seq, s.batches = seq, batch
	return pb, batch, r, nil
}

var errFailed error = problem.New(problem.ReadOnly,
	"the disk failed under a write, so the store takes no more: check the disk, then start the node again",
	"磁盘在写入时发生故障，存储已停止写入：请检查磁盘后重新启动节点")

func (s *Store) fail() {
	s.failed.Store(true)
	s.haltOnce.Do(func() { close(s.halt) })
}

// hold reports whether the batch's conditions, so many, hold.
func (s *Store) hold(ops []store.Op, conditions int) (bool, error) {
	if conditions >= sweepFrom {
		return s.holdSwept(ops, conditions)
	}
	for i := range ops {
		if op := &ops[i]; op.Kind == store.OpExpect {
			if ok, err := s.holds(op); err != nil || !ok {
				return false, err
			}
		}
	}
	return true, nil
}

// sweepFrom is the number of conditions from which one sweep of an iterator is faster than point reads.
const sweepFrom = 8

// holdSwept asks about the keys in their order with one iterator, which has most tables open already when the next key
// comes, and which, other than a point read, asks the filters of the last level: bulk registration expects new keys.
func (s *Store) holdSwept(ops []store.Op, conditions int) (ok bool, err error) {
	expect := make([]*store.Op, 0, conditions)
	for i := range ops {
		if ops[i].Kind == store.OpExpect {
			expect = append(expect, &ops[i])
		}
	}
	slices.SortFunc(expect, func(a, b *store.Op) int { return bytes.Compare(a.Key, b.Key) })
	it, err := s.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return false, unreadable(err)
	}
	defer func() {
		if closed := it.Close(); err == nil && closed != nil {
			ok, err = false, unreadable(closed)
		}
	}()
	for _, op := range expect {
		there := it.SeekPrefixGE(op.Key) && bytes.Equal(it.Key(), op.Key)
		if !there {
			if err := it.Error(); err != nil {
				return false, unreadable(err)
			}
			if op.Value != nil {
				return false, nil
			}
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return false, unreadable(err)
		}
		if op.Value == nil || !bytes.Equal(v, op.Value) {
			return false, nil
		}
	}
	return true, nil
}

func (s *Store) holds(op *store.Op) (bool, error) {
	v, done, err := s.db.Get(op.Key)
	if errors.Is(err, pebble.ErrNotFound) {
		return op.Value == nil, nil
	}
	if err != nil {
		return false, unreadable(err)
	}
	same := op.Value != nil && bytes.Equal(v, op.Value)
	if err := done.Close(); err != nil {
		return false, unreadable(err)
	}
	return same, nil
}

// Wait is store.Store's.
func (s *Store) Wait(ctx context.Context, after uint64) error {
	if !s.gate.Enter() {
		return store.ErrClosed
	}
	defer s.gate.Leave()
	return s.last.Above(ctx, after, s.stop, store.ErrClosed)
}

// Snapshot is store.Store's.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if !s.gate.Enter() {
		return nil, store.ErrClosed
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := &snapshot{s: s, at: s.db.NewSnapshot()}
	seq, batches, err := readCounter(n.at)
	if err != nil {
		return nil, errors.Join(unreadable(err), n.at.Close())
	}
	n.seq = seq
	// It may show batches whose writers still wait for the disk: wait with them.
	if batches > 0 {
		if err := s.synced.Above(ctx, batches-1, s.halt, store.ErrClosed); err != nil {
			if s.failed.Load() {
				err = errFailed
			}
			return nil, errors.Join(err, n.at.Close())
		}
	}
	s.mu.Lock()
	s.views[n] = struct{}{}
	s.mu.Unlock()
	return n, nil
}

type snapshot struct {
	s    *Store
	at   *pebble.Snapshot
	seq  uint64
	gate await.Gate
}

func (n *snapshot) enter() bool {
	if !n.s.gate.Enter() {
		return false
	}
	if !n.gate.Enter() {
		n.s.gate.Leave()
		return false
	}
	return true
}

func (n *snapshot) leave() {
	n.gate.Leave()
	n.s.gate.Leave()
}

func (n *snapshot) Sequence() uint64 { return n.seq }

func (n *snapshot) Get(ctx context.Context, dst, key []byte) ([]byte, error) {
	if !n.enter() {
		return dst, store.ErrClosed
	}
	defer n.leave()
	return get(ctx, n.at, dst, key)
}

func (n *snapshot) Range(ctx context.Context, span store.Span, visit func(key, value []byte) error) error {
	if !n.enter() {
		return store.ErrClosed
	}
	defer n.leave()
	return visitAll(ctx, n.at, span, visit)
}

// Ranges is store.Seeker's.
func (n *snapshot) Ranges(ctx context.Context, count int, span func(i int) store.Span, visit func(i int, key, value []byte) error) error {
	if !n.enter() {
		return store.ErrClosed
	}
	defer n.leave()
	return visitEach(ctx, n.at, count, span, visit)
}

func (n *snapshot) Close() error {
	if !n.gate.Shut() {
		return nil
	}
	n.gate.Wait()
	n.s.mu.Lock()
	delete(n.s.views, n)
	n.s.mu.Unlock()
	return n.at.Close()
}

// patience is how long Close waits for a full disk before it leaves the rest to the next Open.
const patience = 5 * time.Second

// Close is store.Store's.
func (s *Store) Close() error {
	if !s.gate.Shut() {
		return nil
	}
	close(s.stop)
	s.haltOnce.Do(func() { close(s.halt) })
	s.gate.Wait()
	s.mu.Lock()
	var open []io.Closer
	for n := range s.views {
		open = append(open, n)
	}
	s.mu.Unlock()
	var errs error
	for _, n := range open {
		errs = errors.Join(errs, n.Close())
	}
	done := make(chan error, 1)
	go func() {
		var err error
		if !s.readOnly && !s.failed.Load() && !s.disk.full.Load() {
			// The next Open has then no log to replay.
			err = s.db.Flush()
		}
		err = errors.Join(err, s.db.Close())
		s.cache.Unref()
		done <- err
	}()
	var late <-chan time.Time
	if s.disk.full.Load() {
		late = time.After(patience)
	}
	select {
	case err := <-done:
		return errors.Join(errs, err)
	case <-late:
		return errors.Join(errs, problem.Wrap(store.ErrFull, problem.Full,
			"the disk is too full to close the store tidily; nothing acknowledged is lost",
			"磁盘已满，存储无法正常关闭；已确认的数据不会丢失"))
	}
}

// logger passes on what Pebble says. Pebble calls Fatalf when the disk fails in a way after which it can promise nothing
// (a lost fsync, a damaged table), and expects that the call does not return.
type logger struct{ s *Store }

func (l logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.s.log.Warn("store", "pebble", fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.s.fail()
	l.s.log.Error("the disk failed under the store; acknowledged writes are safe once it works again", "pebble", text)
	panic("store: the disk failed: " + text)
}
