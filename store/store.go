// Package store keeps a node's bytes: records, changes, keys of clients, cursors. You choose the engine by a URL; the
// promises below hold whichever you chose, and storetest proves them for each.
//
// The seam is ordered byte keys. Everything that rests is written once above it. An engine promises:
//
//   - Apply is atomic and durable: when it returns nil, the whole batch survives a crash of the process or the machine;
//     when it returns an error other than ErrUncertain, nothing of the batch was done, and never half of it.
//   - Conditions (Expect) are checked in the same instant as the batch takes effect.
//   - Sequence numbers (Append) start at 1, have no gaps and rise in the order of effect: who has seen number n will
//     never see a smaller one appear later. Wait and Snapshot speak of durable ones only: what they have shown, a
//     crash does not take back.
//   - A Snapshot does not change while it is open. It shows durable batches only. (Get and Range of the Store itself
//     may show a batch in the moment before its Apply returns.)
//   - Range goes in byte order of the keys.
//   - All methods may be called from many goroutines.
package store

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/fujie-id/fujie/problem"
)

// The errors a program decides on. Engines return them as they are or wrapped with the cause: compare with errors.Is.
var (
	// ErrNotFound: the key has no value.
	ErrNotFound error = problem.New(problem.NotFound,
		"the store has nothing under this key",
		"存储中没有该键对应的内容")
	// ErrConflict: an Expect did not hold; nothing was written. Read again and retry.
	ErrConflict error = problem.New(problem.Conflict,
		"the stored value was changed by someone else meanwhile: read it again, then retry",
		"存储的内容已被他人更改：请重新读取后再试")
	// ErrFull: there is no room; nothing was written. Reads go on.
	ErrFull error = problem.New(problem.Full,
		"the store has no space left, so nothing was written: free or add disk space; reading goes on meanwhile",
		"存储空间已满，未写入任何内容：请清理或扩充磁盘空间；其间读取不受影响")
	// ErrUncertain: the engine was lost while it committed (a network engine's connection, say): the batch was done
	// wholly or not at all, and only a read can tell.
	ErrUncertain error = problem.New(problem.Internal,
		"the store was lost while it wrote, so the outcome is unknown: read to learn whether the write took effect, then retry",
		"写入过程中与存储失去联系，结果未知：请先读取以确认写入是否生效，再重试")
	// ErrClosed: the store was closed.
	ErrClosed error = problem.New(problem.Busy,
		"the store is closed: start the node again",
		"存储已关闭：请重新启动节点")
)

// Reader is a consistent way to look: the store itself at this moment, or a Snapshot.
type Reader interface {
	// Get appends the value of key to dst and returns it; ErrNotFound when there is none. With room in dst it
	// allocates nothing in the embedded engines.
	Get(ctx context.Context, dst, key []byte) ([]byte, error)
	// Range calls visit for each key in span, in byte order (from the end when span.Reverse), until the span ends or
	// visit returns an error, which Range returns (nil for Stop). The slices are the engine's: copy what you keep.
	// Writes made meanwhile, by visit too, are not seen.
	Range(ctx context.Context, span Span, visit func(key, value []byte) error) error
}

// Seeker is what a Reader may offer besides: many short ranges for little more than one.
type Seeker interface {
	// Ranges calls visit for the keys of each of n spans, one span after another, as Range does; i is the span's number. span is called once
	// for each; spans go forward, and cost least when they come in byte order. visit's Stop ends the span at hand, any other error ends all of it. All spans are
	// of one instant.
	Ranges(ctx context.Context, n int, span func(i int) Span, visit func(i int, key, value []byte) error) error
}

// Ranges reads n spans of r: by its Seeker, or one by one, and then not of one instant unless r is a Snapshot.
func Ranges(ctx context.Context, r Reader, n int, span func(i int) Span, visit func(i int, key, value []byte) error) error {
	if s, ok := r.(Seeker); ok {
		return s.Ranges(ctx, n, span, visit)
	}
	for i := range n {
		s := span(i)
		s.Reverse = false
		if err := r.Range(ctx, s, func(key, value []byte) error { return visit(i, key, value) }); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends a Range without an error.
//
//lint:ignore ST1012 it is an instruction, as fs.SkipDir is
var Stop = errors.New("store: stop")

// Store is an engine.
type Store interface {
	Reader
	// Apply does the batch: atomically, durably, under its conditions. The batch may be used again after Reset.
	Apply(ctx context.Context, b *Batch) (Receipt, error)
	// Snapshot freezes what is there now. Close it soon: engines keep old data for it.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Wait returns nil once the store's last sequence number is greater than after, or ctx's error.
	Wait(ctx context.Context, after uint64) error
	// Close waits for running calls, then lets go of the engine. Later calls return ErrClosed.
	Close() error
}

// Snapshot is a Reader of one instant.
type Snapshot interface {
	Reader
	// Sequence is the last sequence number given out before the instant, 0 when there was none.
	Sequence() uint64
	Close() error
}

// Span is the keys k with From <= k < To; a nil To has no upper end.
type Span struct {
	From, To []byte
	Reverse  bool
}

// Under is the span of all keys that begin with prefix.
func Under(prefix []byte) Span {
	to := append([]byte(nil), prefix...)
	for i := len(to) - 1; i >= 0; i-- {
		if to[i]++; to[i] != 0 {
			return Span{From: prefix, To: to[:i+1]}
		}
	}
	return Span{From: prefix}
}

// Receipt says which sequence numbers a batch's Appends got: First to Last, both 0 when it had none.
type Receipt struct{ First, Last uint64 }

// OpKind is what an Op does.
type OpKind uint8

const (
	OpPut    OpKind = iota + 1
	OpDelete        // of an absent key: no error
	OpExpect        // the key must hold Value (nil: must be absent) before the batch
	OpAppend        // Value is put under Key followed by SequenceSize bytes of the next sequence number, big endian
)

// Op is one step of a batch. Later steps on the same key win.
type Op struct {
	Kind       OpKind
	Key, Value []byte
}

// SequenceSize is how many bytes an Append adds to its key.
const SequenceSize = 8

// The sizes that every engine takes, in bytes. Apply refuses larger ones, and empty keys, with problem.TooLarge and
// problem.BadRequest.
const (
	MaxKey   = 2560      // of a key, with the number that Append adds; a Handle (2048) with room around it
	MaxValue = 16 << 20  // of one value
	MaxBatch = 128 << 20 // of all keys and values of a batch together
)

// Batch is a list of steps that take effect together. The zero Batch is empty and ready. It keeps the slices it is
// given until it is applied or Reset.
type Batch struct{ Ops []Op }

// Put sets key to value.
func (b *Batch) Put(key, value []byte) { b.Ops = append(b.Ops, Op{OpPut, key, value}) }

// Delete removes key.
func (b *Batch) Delete(key []byte) { b.Ops = append(b.Ops, Op{OpDelete, key, nil}) }

// Expect makes the whole batch depend on key holding value, or on its absence when value is nil. An empty value that
// must be there is []byte{}.
func (b *Batch) Expect(key, value []byte) { b.Ops = append(b.Ops, Op{OpExpect, key, value}) }

// Append puts value under log plus the store's next sequence number.
func (b *Batch) Append(log, value []byte) { b.Ops = append(b.Ops, Op{OpAppend, log, value}) }

// Len is the number of steps.
func (b *Batch) Len() int { return len(b.Ops) }

// Check says whether the batch keeps to the limits. Engines call it first.
func (b *Batch) Check() error {
	total := 0
	for i := range b.Ops {
		op := &b.Ops[i]
		key := len(op.Key)
		if op.Kind == OpAppend {
			key += SequenceSize
		}
		switch {
		case op.Kind < OpPut || op.Kind > OpAppend:
			return problem.New(problem.BadRequest,
				"step %d of the batch has unknown kind %d: use Put, Delete, Expect or Append",
				"批次第 %d 步的类型 %d 未知：请使用 Put、Delete、Expect 或 Append", i+1, op.Kind)
		case len(op.Key) == 0:
			return problem.New(problem.BadRequest,
				"step %d of the batch has an empty key: give it at least one byte",
				"批次第 %d 步的键为空：键至少需要一个字节", i+1)
		case key > MaxKey:
			return problem.New(problem.TooLarge,
				"the key in step %d of the batch has %d bytes, more than %d: shorten it",
				"批次第 %d 步的键有 %d 字节，超过上限 %d：请缩短", i+1, key, MaxKey)
		case len(op.Value) > MaxValue:
			return problem.New(problem.TooLarge,
				"the value in step %d of the batch has %d bytes, more than %d: split it",
				"批次第 %d 步的值有 %d 字节，超过上限 %d：请拆分", i+1, len(op.Value), MaxValue)
		}
		if total += key + len(op.Value); total > MaxBatch {
			return problem.New(problem.TooLarge,
				"the batch has more than %d bytes: apply it in parts",
				"批次超过 %d 字节：请分批写入", MaxBatch)
		}
	}
	return nil
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Ops)
	b.Ops = b.Ops[:0]
}

// LogKey is the key under which Append put entry n of log.
func LogKey(log []byte, n uint64) []byte {
	k := make([]byte, len(log)+SequenceSize)
	copy(k, log)
	binary.BigEndian.PutUint64(k[len(log):], n)
	return k
}

// LogNumber is the sequence number at the end of an Append's key.
func LogNumber(key []byte) uint64 {
	return binary.BigEndian.Uint64(key[len(key)-SequenceSize:])
}
