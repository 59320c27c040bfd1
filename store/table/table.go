// Package table keeps typed rows with declared indexes in any store: grants, sessions, cursors, whatever a room must
// find again by more than its key. A row and its index entries change in one batch, so an index never lies about what
// a snapshot shows.
//
// The keys of table NAME are, with 0 for a zero byte:
//
//	~NAME 0 0 key                    → the encoded row
//	~NAME 0 INDEX 0 value' key       → key; for a unique index the entry ends with value'
//
// where value' is the indexed value with 0 written as 0 0xff, and then 0 1, which keeps the order of values. Nothing
// else in a store has keys that begin with ~.
package table

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// Table is a declaration; it holds no data and is safe for concurrent use. Fill the fields, then call its methods with
// the store or a snapshot of it.
type Table[V any] struct {
	Name    string                  // of lower-case letters, digits, dots and dashes; no other table of the store has it
	Key     func(V) []byte          // the primary key of a row, not empty
	Encode  func(V) ([]byte, error) // nil: JSON
	Decode  func([]byte) (V, error) // the inverse of Encode; must not keep the slice; nil: JSON
	Indexes []Index[V]
}

// Index finds rows by something in them.
type Index[V any] struct {
	Name   string           // as a table's; no other index of the table has it
	Unique bool             // no two rows share a value
	Values func(V) [][]byte // under which a row is found: none, one or several
}

// Row is a row as it was read: what a later Set or Remove expects to find. The zero Row expects none.
type Row[V any] struct {
	Value V
	raw   []byte
}

// Found reports whether the row was there.
func (r Row[V]) Found() bool { return r.raw != nil }

func (t *Table[V]) rowKey(dst, key []byte) []byte {
	dst = append(append(append(dst, '~'), t.Name...), 0, 0)
	return append(dst, key...)
}

func (t *Table[V]) indexKey(dst []byte, index string) []byte {
	dst = append(append(append(dst, '~'), t.Name...), 0)
	return append(append(dst, index...), 0)
}

// escape appends value so that order is kept and none is the beginning of another.
func escape(dst, value []byte) []byte {
	for _, c := range value {
		if dst = append(dst, c); c == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

func (t *Table[V]) encode(v V) ([]byte, error) {
	if t.Encode == nil {
		return json.Marshal(v)
	}
	raw, err := t.Encode(v)
	if raw == nil {
		raw = []byte{}
	}
	return raw, err
}

func (t *Table[V]) decode(raw []byte) (v V, err error) {
	if t.Decode == nil {
		err = json.Unmarshal(raw, &v)
	} else {
		v, err = t.Decode(raw)
	}
	if err != nil {
		return v, problem.Wrap(err, problem.Internal,
			"a row of table %s cannot be read: it was written by another version of the program, or damaged; restore a backup",
			"表 %s 中有一行无法读取：可能由其他版本写入或已损坏，请从备份恢复", t.Name)
	}
	return v, nil
}

// Load reads the row with the key. An absent one is the zero Row, and no error.
func (t *Table[V]) Load(ctx context.Context, r store.Reader, key []byte) (Row[V], error) {
	raw, err := r.Get(ctx, []byte{}, t.rowKey(nil, key))
	if errors.Is(err, store.ErrNotFound) {
		return Row[V]{}, nil
	}
	if err != nil {
		return Row[V]{}, err
	}
	v, err := t.decode(raw)
	return Row[V]{v, raw}, err
}

// Again is Load of a row that was loaded before: one that is still as it was is not read out of its bytes anew, and shares its value with the one before.
func (t *Table[V]) Again(ctx context.Context, r store.Reader, key []byte, before Row[V]) (Row[V], error) {
	raw, err := r.Get(ctx, []byte{}, t.rowKey(nil, key))
	if errors.Is(err, store.ErrNotFound) {
		return Row[V]{}, nil
	}
	if err != nil {
		return Row[V]{}, err
	}
	if before.Found() && bytes.Equal(raw, before.raw) {
		return before, nil
	}
	v, err := t.decode(raw)
	return Row[V]{v, raw}, err
}

// Get is Load for who needs the row: an absent one is store.ErrNotFound.
func (t *Table[V]) Get(ctx context.Context, r store.Reader, key []byte) (V, error) {
	row, err := t.Load(ctx, r, key)
	if err == nil && !row.Found() {
		err = store.ErrNotFound
	}
	return row.Value, err
}

// Set adds to b what replaces old by v, under the condition that old is still there as it was read and that v's unique
// values are free; Apply says store.ErrConflict otherwise. Both have the same key. A batch may hold Sets and Removes of
// different rows; two of them may not take the same unique value.
func (t *Table[V]) Set(b *store.Batch, old Row[V], v V) error {
	key := t.Key(v)
	if old.Found() && !bytes.Equal(key, t.Key(old.Value)) {
		return problem.New(problem.BadRequest,
			"a row of table %s cannot change its key: remove it and put a new one",
			"表 %s 的行不能更改主键：请删除后重新添加", t.Name)
	}
	raw, err := t.encode(v)
	if err != nil {
		return problem.Wrap(err, problem.BadValue,
			"a row of table %s cannot be written: check its values",
			"表 %s 的一行无法写入：请检查其内容", t.Name)
	}
	row := t.rowKey(nil, key)
	b.Expect(row, old.raw)
	b.Put(row, raw)
	t.index(b, key, old, Row[V]{v, raw})
	return nil
}

// Remove adds to b what removes old, under the condition that it is still there as it was read.
func (t *Table[V]) Remove(b *store.Batch, old Row[V]) {
	if !old.Found() {
		return
	}
	key := t.Key(old.Value)
	row := t.rowKey(nil, key)
	b.Expect(row, old.raw)
	b.Delete(row)
	t.index(b, key, old, Row[V]{})
}

// entries are the row's keys in the index, sorted, each once.
func (t *Table[V]) entries(x *Index[V], key []byte, row Row[V]) [][]byte {
	if !row.Found() {
		return nil
	}
	var out [][]byte
	for _, value := range x.Values(row.Value) {
		entry := escape(t.indexKey(nil, x.Name), value)
		if !x.Unique {
			entry = append(entry, key...)
		}
		out = append(out, entry)
	}
	slices.SortFunc(out, bytes.Compare)
	return slices.CompactFunc(out, bytes.Equal)
}

func (t *Table[V]) index(b *store.Batch, key []byte, old, now Row[V]) {
	for i := range t.Indexes {
		x := &t.Indexes[i]
		was, is := t.entries(x, key, old), t.entries(x, key, now)
		for _, entry := range was {
			if _, stays := slices.BinarySearchFunc(is, entry, bytes.Compare); !stays {
				b.Delete(entry)
			}
		}
		for _, entry := range is {
			if _, stayed := slices.BinarySearchFunc(was, entry, bytes.Compare); stayed {
				continue
			}
			if x.Unique {
				b.Expect(entry, nil)
			}
			b.Put(entry, key)
		}
	}
}

// patience is how often a row may change under a write before the write is given up.
const patience = 1000

// Put writes v, whatever was there. It is problem.Exists when another row has one of its unique values.
func (t *Table[V]) Put(ctx context.Context, s store.Store, v V) error {
	return t.Update(ctx, s, t.Key(v), func(old Row[V]) (V, error) { return v, nil })
}

// Update reads the row with the key, absent or not, and writes what change makes of it. When somebody else writes it
// meanwhile, it begins anew: change may be called several times. An error of change is returned as it is.
func (t *Table[V]) Update(ctx context.Context, s store.Store, key []byte, change func(old Row[V]) (V, error)) error {
	for range patience {
		old, err := t.Load(ctx, s, key)
		if err != nil {
			return err
		}
		v, err := change(old)
		if err != nil {
			return err
		}
		if !bytes.Equal(key, t.Key(v)) {
			return problem.New(problem.BadRequest,
				"a row of table %s cannot change its key: remove it and put a new one",
				"表 %s 的行不能更改主键：请删除后重新添加", t.Name)
		}
		var b store.Batch
		if err := t.Set(&b, old, v); err != nil {
			return err
		}
		if _, err = s.Apply(ctx, &b); !errors.Is(err, store.ErrConflict) {
			return err
		}
		if err := t.taken(ctx, s, key, v); err != nil {
			return err
		}
	}
	return store.ErrConflict
}

// taken looks for another row with one of v's unique values.
func (t *Table[V]) taken(ctx context.Context, r store.Reader, key []byte, v V) error {
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if !x.Unique {
			continue
		}
		for _, entry := range t.entries(x, key, Row[V]{v, []byte{}}) {
			owner, err := r.Get(ctx, nil, entry)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if !bytes.Equal(owner, key) {
				return problem.New(problem.Exists,
					"another row of table %s has this %s: choose a different one",
					"表 %s 中已有另一行使用该 %s：请另选一个", t.Name, x.Name)
			}
		}
	}
	return nil
}

// Delete removes the row with the key; an absent one is no error.
func (t *Table[V]) Delete(ctx context.Context, s store.Store, key []byte) error {
	for range patience {
		old, err := t.Load(ctx, s, key)
		if err != nil || !old.Found() {
			return err
		}
		var b store.Batch
		t.Remove(&b, old)
		if _, err = s.Apply(ctx, &b); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// Range visits the rows whose keys are in span, in their order. store.Stop ends it without an error.
func (t *Table[V]) Range(ctx context.Context, r store.Reader, span store.Span, visit func(V) error) error {
	return r.Range(ctx, within(t.rowKey(nil, nil), span, func(dst, key []byte) []byte { return append(dst, key...) }),
		func(_, raw []byte) error {
			v, err := t.decode(raw)
			if err != nil {
				return err
			}
			return visit(v)
		})
}

// By visits the rows that the index has under a value in span, in the order of values, then of keys. Of a store that is
// written meanwhile, it shows each row as it is when it is visited, if it still has the value; a snapshot has one state.
func (t *Table[V]) By(ctx context.Context, r store.Reader, index string, span store.Span, visit func(V) error) error {
	i := slices.IndexFunc(t.Indexes, func(x Index[V]) bool { return x.Name == index })
	if i < 0 {
		return problem.New(problem.Unsupported,
			"table %s has no index %s: declare it",
			"表 %s 没有索引 %s：请先声明", t.Name, index)
	}
	prefix := t.indexKey(nil, index)
	return r.Range(ctx, within(prefix, span, func(dst, value []byte) []byte {
		dst = escape(dst, value)
		return dst[:len(dst)-1] // before all entries of the value
	}), func(entry, key []byte) error {
		row, err := t.Load(ctx, r, key)
		if err != nil {
			return err
		}
		if _, still := slices.BinarySearchFunc(t.entries(&t.Indexes[i], key, row), entry, bytes.Compare); !still {
			return nil
		}
		return visit(row.Value)
	})
}

// Is is the span of one value, for By.
func Is(value []byte) store.Span {
	return store.Span{From: value, To: append(bytes.Clone(value), 0)}
}

// within moves a span of keys or values under prefix.
func within(prefix []byte, span store.Span, place func(dst, bound []byte) []byte) store.Span {
	out := store.Under(prefix)
	out.Reverse = span.Reverse
	if len(span.From) > 0 {
		out.From = place(bytes.Clone(prefix), span.From)
	}
	if span.To != nil {
		out.To = place(bytes.Clone(prefix), span.To)
	}
	return out
}

// Reindex writes the index entries that are missing, after an index was added to the declaration. It may run while the
// table is in use. It is problem.Exists when two rows share a value of a unique index.
func (t *Table[V]) Reindex(ctx context.Context, s store.Store) error {
	return t.Range(ctx, s, store.Span{}, func(v V) error {
		key := t.Key(v)
		for range patience {
			row, err := t.Load(ctx, s, key)
			if err != nil || !row.Found() {
				return err
			}
			if err := t.taken(ctx, s, key, row.Value); err != nil {
				return err
			}
			var b store.Batch
			b.Expect(t.rowKey(nil, key), row.raw)
			for i := range t.Indexes {
				for _, entry := range t.entries(&t.Indexes[i], key, row) {
					b.Put(entry, key)
				}
			}
			if _, err = s.Apply(ctx, &b); !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return store.ErrConflict
	})
}

// Check says what is wrong with the declaration. Call it where the table is declared, in a test or at start.
func (t *Table[V]) Check() error {
	names := []string{t.Name}
	for _, x := range t.Indexes {
		if slices.Contains(names[1:], x.Name) {
			return fmt.Errorf("table %s: two indexes are called %s", t.Name, x.Name)
		}
		if x.Values == nil {
			return fmt.Errorf("table %s: index %s has no Values", t.Name, x.Name)
		}
		names = append(names, x.Name)
	}
	for _, name := range names {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
			return fmt.Errorf("table %s: %q is no name", t.Name, name)
		}
	}
	if t.Key == nil || (t.Encode == nil) != (t.Decode == nil) {
		return fmt.Errorf("table %s: Key is missing, or one of Encode and Decode", t.Name)
	}
	return nil
}
