package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// request is a call of Apply that waits for its turn.
type request struct {
	batch *store.Batch
	size  int
	state atomic.Int32 // waiting, taken by the writer, or withdrawn by the caller
	done  chan outcome
}

const (
	waiting = iota
	taken
	withdrawn
)

type outcome struct {
	r   store.Receipt
	err error
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
	if b.Len() == 0 {
		return store.Receipt{}, nil
	}
	r := &request{batch: b, done: make(chan outcome, 1)}
	for i := range b.Ops {
		r.size += len(b.Ops[i].Key) + len(b.Ops[i].Value) + 64
	}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return store.Receipt{}, ctx.Err()
	}
	select {
	case o := <-r.done:
		return o.r, o.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return store.Receipt{}, ctx.Err()
		}
		o := <-r.done
		return o.r, o.err
	}
}

const (
	sqlLook = "SELECT t.prefix, t.suffix, t.value FROM unnest($1::bytea[], $2::bytea[]) AS k (prefix, suffix) " +
		"JOIN fujie_kv t ON t.prefix = k.prefix AND t.suffix = k.suffix"
	sqlDelete = "DELETE FROM fujie_kv t USING unnest($1::bytea[], $2::bytea[]) AS k (prefix, suffix) " +
		"WHERE t.prefix = k.prefix AND t.suffix = k.suffix"
	sqlPut = "INSERT INTO fujie_kv (prefix, suffix, value) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) " +
		"ON CONFLICT (prefix, suffix) DO UPDATE SET value = EXCLUDED.value"
)

const (
	groupBatches = 512
	groupBytes   = 32 << 20
	copyFrom     = 500 // new rows from which COPY is worth its round trips
)

// writeAll is the writer: it takes what waits and commits it together.
func (s *Store) writeAll(ctx context.Context) {
	var next *request
	take := func(r *request) bool { return r.state.CompareAndSwap(waiting, taken) }
	for {
		var group []*request
		size := 0
		add := func(r *request) {
			if take(r) {
				group = append(group, r)
				size += r.size
			}
		}
		if next == nil {
			select {
			case next = <-s.queue:
			case <-ctx.Done():
				return
			}
		}
		add(next)
		next = nil
	gather:
		for len(group) < groupBatches {
			select {
			case r := <-s.queue:
				if size+r.size > groupBytes {
					next = r
					break gather
				}
				add(r)
			default:
				break gather
			}
		}
		if len(group) > 0 {
			s.commit(ctx, group)
		}
	}
}

// commit does the group in one transaction, each batch wholly or not at all, and tells the callers.
func (s *Store) commit(ctx context.Context, group []*request) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	var outcomes []outcome
	var err error
	mayCopy := true
	for range 4 {
		if outcomes, err = s.tryCommit(ctx, group, mayCopy); err == nil || errors.Is(err, store.ErrUncertain) {
			break
		}
		// Nothing was done; so it can be done again.
		switch {
		case isCode(err, "23505"): // a row that should have been new
			mayCopy = false
		case isCode(err, "40001", "40P01"): // somebody else's turn
		case isLost(err):
			s.own.Reset()
		default:
			s.tell(group, nil, s.explain(late(err)))
			return
		}
	}
	s.tell(group, outcomes, s.explain(late(err)))
}

// tell gives each caller its outcome; err stands for those that have none of their own.
func (s *Store) tell(group []*request, outcomes []outcome, err error) {
	for i, r := range group {
		o := outcome{err: err}
		if i < len(outcomes) && (err == nil || outcomes[i].err != nil) {
			o = outcomes[i]
		}
		r.done <- o
	}
}

// late says in our words that the transaction's own time was up: callers know their own contexts only.
func late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrUncertain) {
		return problem.Wrap(err, problem.Busy,
			"the database did not finish a write in time, so nothing was written: retry, or look for what it waits for",
			"数据库未能及时完成写入，未写入任何内容：请重试，或检查数据库在等待什么")
	}
	return err
}

// cell is what a key holds in the transaction.
type cell struct {
	value []byte // nil: absent
	dirty bool
	fresh bool // was absent before the transaction
}

// tryCommit returns what each batch came to, and an error that is store.ErrUncertain or means that nothing was done.
func (s *Store) tryCommit(ctx context.Context, group []*request, mayCopy bool) (outcomes []outcome, err error) {
	c, err := s.own.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release()
	tx, err := c.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback(context.WithoutCancel(ctx))
		}
	}()

	seq, cells, err := look(ctx, tx, group)
	if err != nil {
		return nil, err
	}
	before := seq
	outcomes = make([]outcome, len(group))
	for i, r := range group {
		outcomes[i] = effect(r.batch.Ops, cells, &seq)
	}
	wrote, err := write(ctx, tx, cells, mayCopy)
	if err != nil {
		return nil, err
	}
	if seq != before {
		var b pgx.Batch
		b.Queue("UPDATE fujie_sequence SET last = $1", int64(seq))
		b.Queue("SELECT pg_notify($1, '')", s.channel)
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return nil, err
		}
		wrote = true
	}
	if !wrote {
		return outcomes, tx.Rollback(ctx)
	}
	if err := tx.Commit(ctx); err != nil {
		if isServerError(err) || errors.Is(err, pgx.ErrTxCommitRollback) {
			return nil, err
		}
		return outcomes, fmt.Errorf("%w: %w", store.ErrUncertain, err)
	}
	s.last.Raise(seq)
	return outcomes, nil
}

// look takes the lock that all writers take, then reads the last number and what the conditions ask about.
func look(ctx context.Context, tx pgx.Tx, group []*request) (seq uint64, cells map[string]*cell, err error) {
	cells = map[string]*cell{}
	var prefixes, suffixes [][]byte
	for _, r := range group {
		for i := range r.batch.Ops {
			op := &r.batch.Ops[i]
			if op.Kind != store.OpExpect || cells[string(op.Key)] != nil {
				continue
			}
			cells[string(op.Key)] = &cell{fresh: true}
			p, x := split(op.Key)
			prefixes, suffixes = append(prefixes, p), append(suffixes, x)
		}
	}
	var b pgx.Batch
	b.Queue("SELECT last FROM fujie_sequence FOR UPDATE")
	if len(prefixes) > 0 {
		b.Queue(sqlLook,
			prefixes, suffixes)
	}
	answers := tx.SendBatch(ctx, &b)
	defer func() { err = errors.Join(err, answers.Close()) }()
	if err := answers.QueryRow().Scan(&seq); err != nil {
		return 0, nil, err
	}
	if len(prefixes) == 0 {
		return seq, cells, nil
	}
	rows, err := answers.Query()
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	var key []byte
	for rows.Next() {
		raw := rows.RawValues()
		key = append(append(key[:0], raw[0]...), raw[1]...)
		if c := cells[string(key)]; c != nil {
			c.value, c.fresh = append([]byte{}, raw[2]...), false
		}
	}
	rows.Close()
	return seq, cells, rows.Err()
}

// effect lets a batch take effect in cells if its conditions hold.
func effect(ops []store.Op, cells map[string]*cell, seq *uint64) outcome {
	for i := range ops {
		op := &ops[i]
		if op.Kind != store.OpExpect {
			continue
		}
		c := cells[string(op.Key)]
		if (c.value == nil) != (op.Value == nil) || !bytes.Equal(c.value, op.Value) {
			return outcome{err: store.ErrConflict}
		}
	}
	set := func(key, value []byte, fresh bool) {
		c := cells[string(key)]
		if c == nil {
			c = &cell{fresh: fresh}
			cells[string(key)] = c
		}
		c.value, c.dirty = value, true
	}
	var r store.Receipt
	for i := range ops {
		op := &ops[i]
		value := op.Value
		if value == nil {
			value = []byte{}
		}
		switch op.Kind {
		case store.OpPut:
			set(op.Key, value, false)
		case store.OpDelete:
			set(op.Key, nil, false)
		case store.OpAppend:
			*seq++
			set(store.LogKey(op.Key, *seq), value, true)
			if r.First == 0 {
				r.First = *seq
			}
			r.Last = *seq
		}
	}
	return outcome{r: r}
}

// rows are keys and values as the statements take them.
type rows struct{ prefix, suffix, value [][]byte }

func (r *rows) add(key string, value []byte) {
	p, s := split([]byte(key))
	r.prefix, r.suffix, r.value = append(r.prefix, p), append(r.suffix, s), append(r.value, value)
}

// write writes the cells that changed, in the order of their keys.
func write(ctx context.Context, tx pgx.Tx, cells map[string]*cell, mayCopy bool) (wrote bool, err error) {
	var keys []string
	fresh := 0
	for k, c := range cells {
		if c.dirty {
			keys = append(keys, k)
			if c.fresh && c.value != nil {
				fresh++
			}
		}
	}
	slices.SortFunc(keys, strings.Compare)
	var put, copied, deleted rows
	for _, k := range keys {
		switch c := cells[k]; {
		case c.value == nil && !c.fresh:
			deleted.add(k, nil)
		case c.value == nil:
		case c.fresh && mayCopy && fresh >= copyFrom:
			copied.add(k, c.value)
		default:
			put.add(k, c.value)
		}
	}
	var b pgx.Batch
	if len(deleted.prefix) > 0 {
		b.Queue(sqlDelete,
			deleted.prefix, deleted.suffix)
	}
	if len(put.prefix) > 0 {
		b.Queue(sqlPut,
			put.prefix, put.suffix, put.value)
	}
	if b.Len() > 0 {
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return false, err
		}
	}
	if len(copied.prefix) > 0 {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"fujie_kv"}, []string{"prefix", "suffix", "value"},
			pgx.CopyFromSlice(len(copied.prefix), func(i int) ([]any, error) {
				return []any{copied.prefix[i], copied.suffix[i], copied.value[i]}, nil
			})); err != nil {
			return false, err
		}
	}
	return b.Len() > 0 || len(copied.prefix) > 0, nil
}
