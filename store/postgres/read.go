package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/internal/await"
)

// again repeats a read that a lost connection spoilt: after a restart of the server, every idle connection is dead.
func again(ctx context.Context, pool *pgxpool.Pool, read func() error) error {
	var err error
	for range 3 {
		if err = read(); err == nil || !isLost(err) || ctx.Err() != nil {
			return err
		}
		pool.Reset()
	}
	return err
}

// Get is store.Reader's.
func (s *Store) Get(ctx context.Context, dst, key []byte) ([]byte, error) {
	if !s.gate.Enter() {
		return dst, store.ErrClosed
	}
	defer s.gate.Leave()
	var out []byte
	err := again(ctx, s.reads, func() (err error) {
		out, err = get(ctx, s.reads, dst, key)
		return err
	})
	return out, s.explain(err)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func get(ctx context.Context, q querier, dst, key []byte) ([]byte, error) {
	if len(key) == 0 || len(key) > store.MaxKey {
		return dst, store.ErrNotFound
	}
	prefix, suffix := split(key)
	rows, err := q.Query(ctx, sqlGet, prefix, suffix)
	if err != nil {
		return dst, err
	}
	defer rows.Close()
	found := rows.Next()
	out := dst
	if found {
		out = append(dst, rows.RawValues()[0]...)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return dst, err
	}
	if !found {
		return dst, store.ErrNotFound
	}
	return out, nil
}

// Range is store.Reader's. One that ends within the first page is a single statement; a longer one is a snapshot's.
func (s *Store) Range(ctx context.Context, span store.Span, visit func(key, value []byte) error) error {
	if !s.gate.Enter() {
		return store.ErrClosed
	}
	defer s.gate.Leave()
	var p page
	if err := again(ctx, s.reads, func() error { return p.read(ctx, s.reads, span, firstPage) }); err != nil {
		return s.explain(err)
	}
	if len(p.ends) < firstPage {
		return stopped(p.visit(ctx, visit))
	}
	n, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	return errors.Join(n.Range(ctx, span, visit), n.Close())
}

func stopped(err error) error {
	if err == store.Stop {
		return nil
	}
	return err
}

const (
	firstPage = 32      // rows
	mostRows  = 8192    // of a later page
	pageBytes = 4 << 20 // aimed at in later pages
)

// page is some rows in the order of the walk. Its memory is used again.
type page struct {
	data []byte
	ends [][2]int // of each row's key and value in data
}

func (p *page) row(i int) (key, value []byte) {
	begin := 0
	if i > 0 {
		begin = p.ends[i-1][1]
	}
	return p.data[begin:p.ends[i][0]:p.ends[i][0]], p.data[p.ends[i][0]:p.ends[i][1]:p.ends[i][1]]
}

func (p *page) visit(ctx context.Context, visit func(key, value []byte) error) error {
	for i := range p.ends {
		if i%64 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := visit(p.row(i)); err != nil {
			return err
		}
	}
	return nil
}

// read fills the page with the first rows of span, at most limit.
func (p *page) read(ctx context.Context, q querier, span store.Span, limit int) error {
	p.data, p.ends = p.data[:0], p.ends[:0]
	if err := ctx.Err(); err != nil {
		return err
	}
	if span.To != nil && bytes.Compare(span.From, span.To) >= 0 {
		return nil
	}
	sql, args := walk(span)
	rows, err := q.Query(ctx, sql, append(args, limit)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		p.data = append(append(p.data, raw[0]...), raw[1]...)
		key := len(p.data)
		p.data = append(p.data, raw[2]...)
		p.ends = append(p.ends, [2]int{key, len(p.data)})
	}
	rows.Close()
	return rows.Err()
}

const sqlGet = "SELECT value FROM fujie_kv WHERE prefix = $1 AND suffix = $2"

// The statement of each kind of span, forwards and backwards.
const (
	oneFrom = iota // a span within one prefix names it, so that one partition is read
	oneSpan
	manyFrom
	manySpan
)

var sqlWalk = func() (sql [2][4]string) {
	for i, order := range []string{"ORDER BY prefix, suffix", "ORDER BY prefix DESC, suffix DESC"} {
		for kind, where := range []string{
			oneFrom:  "prefix = $1 AND suffix >= $2 %s LIMIT $3",
			oneSpan:  "prefix = $1 AND suffix >= $2 AND suffix < $3 %s LIMIT $4",
			manyFrom: "(prefix, suffix) >= ($1, $2) %s LIMIT $3",
			manySpan: "(prefix, suffix) >= ($1, $2) AND (prefix, suffix) < ($3, $4) %s LIMIT $5",
		} {
			sql[i][kind] = "SELECT prefix, suffix, value FROM fujie_kv WHERE " + fmt.Sprintf(where, order)
		}
	}
	return sql
}()

// walk is the span's statement and its arguments but the limit.
func walk(span store.Span) (sql string, args []any) {
	kinds := &sqlWalk[0]
	if span.Reverse {
		kinds = &sqlWalk[1]
	}
	fromPrefix, fromSuffix := split(span.From)
	if len(fromSuffix) > 0 && span.To != nil {
		end := append(bytes.Clone(fromPrefix), 1) // behind all keys of the prefix that have a suffix
		switch c := bytes.Compare(span.To, end); {
		case c == 0:
			return kinds[oneFrom], []any{fromPrefix, fromSuffix}
		case c < 0:
			return kinds[oneSpan], []any{fromPrefix, fromSuffix, span.To[len(fromPrefix):]}
		}
	}
	if span.To == nil {
		return kinds[manyFrom], []any{fromPrefix, fromSuffix}
	}
	toPrefix, toSuffix := split(span.To)
	return kinds[manySpan], []any{fromPrefix, fromSuffix, toPrefix, toSuffix}
}

// Snapshot is store.Store's.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if !s.gate.Enter() {
		return nil, store.ErrClosed
	}
	defer s.gate.Leave()
	v := &view{s: s}
	if err := again(ctx, s.views, func() error { return v.begin(ctx) }); err != nil {
		return nil, s.explain(err)
	}
	s.mu.Lock()
	s.open[v] = struct{}{}
	s.mu.Unlock()
	return v, nil
}

// view is a snapshot: a transaction that only reads, on a connection of its own.
type view struct {
	s    *Store
	seq  uint64
	gate await.Gate

	mu sync.Mutex // one statement at a time
	tx pgx.Tx
	c  *pgxpool.Conn
}

func (v *view) begin(ctx context.Context) error {
	c, err := v.s.views.Acquire(ctx)
	if err != nil {
		return err
	}
	tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		err = tx.QueryRow(ctx, "SELECT last FROM fujie_sequence").Scan(&v.seq)
	}
	if err != nil {
		_ = c.Conn().Close(context.WithoutCancel(ctx))
		c.Release()
		return err
	}
	v.tx, v.c = tx, c
	return nil
}

func (v *view) enter() bool {
	if !v.s.gate.Enter() {
		return false
	}
	if !v.gate.Enter() {
		v.s.gate.Leave()
		return false
	}
	return true
}

func (v *view) leave() {
	v.gate.Leave()
	v.s.gate.Leave()
}

func (v *view) Sequence() uint64 { return v.seq }

func (v *view) Get(ctx context.Context, dst, key []byte) ([]byte, error) {
	if !v.enter() {
		return dst, store.ErrClosed
	}
	defer v.leave()
	v.mu.Lock()
	defer v.mu.Unlock()
	out, err := get(ctx, v.tx, dst, key)
	return out, v.s.explain(err)
}

func (v *view) Range(ctx context.Context, span store.Span, visit func(key, value []byte) error) error {
	if !v.enter() {
		return store.ErrClosed
	}
	defer v.leave()
	var p page
	for limit := firstPage; ; {
		v.mu.Lock()
		err := p.read(ctx, v.tx, span, limit)
		v.mu.Unlock()
		if err != nil {
			return v.s.explain(err)
		}
		if err := p.visit(ctx, visit); err != nil {
			return stopped(err)
		}
		if len(p.ends) < limit {
			return nil
		}
		last, _ := p.row(len(p.ends) - 1)
		if span.Reverse {
			span.To = bytes.Clone(last)
		} else {
			span.From = append(bytes.Clone(last), 0)
		}
		each := len(p.data)/len(p.ends) + 1
		limit = max(firstPage, min(mostRows, pageBytes/each, 8*limit))
	}
}

func (v *view) Close() error {
	if !v.gate.Shut() {
		return nil
	}
	v.gate.Wait()
	v.s.mu.Lock()
	delete(v.s.open, v)
	v.s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), v.s.o.Timeout)
	defer cancel()
	_ = v.tx.Rollback(ctx) // a lost connection has ended it already
	v.c.Release()
	return nil
}
