package registry

import (
	"bytes"
	"context"
	"crypto/sha256"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
)

// maxChanges is how many changes one call gives at most, and maxChangeBytes how much of their values.
const (
	maxChanges     = 10_000
	maxChangeBytes = 8 << 20
)

// Changes is record.Feed's. With values, a record that this node can prove comes with its HS_SIGNATURE even if none is
// stored in it; such a one has the timestamp 0.
func (r *Registry) Changes(ctx context.Context, by record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	if by.IsAnonymous() {
		return nil, problem.New(problem.NeedAuth, "who wants to follow the changes must prove who they are: give a key or a password", "跟踪变更须先验证身份：请提供密钥或口令")
	}
	err := r.settled(ctx, func(g *rights) error {
		boss, err := g.boss(by)
		if boss {
			return nil
		}
		if ok, err2 := g.listed(by.Ref, r.cfg.Followers); ok {
			return nil
		} else if err == nil {
			err = err2
		}
		if err != nil {
			return err
		}
		return problem.New(problem.NotAdmin, "%s may not follow the changes here: have it listed as a follower", "%s 无权跟踪此处的变更：请将其列为跟踪者", clip(by.Ref.String()))
	})
	if err != nil {
		return nil, err
	}
	limit = min(limit, maxChanges)
	if limit <= 0 {
		return nil, nil
	}
	for {
		out, last, err := r.changes(ctx, after, limit, values)
		if err != nil || len(out) > 0 {
			return out, err
		}
		if err := r.store.Wait(ctx, last); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, storeProblem(err)
		}
	}
}

// changes reads from a snapshot, which shows only what no crash takes back. last is the store's last number then.
func (r *Registry) changes(ctx context.Context, after uint64, limit int, values bool) (out []record.Entry, last uint64, err error) {
	s, err := r.store.Snapshot(ctx)
	if err != nil {
		return nil, 0, storeProblem(err)
	}
	defer s.Close()
	// The page where the next change is begins at it or before it.
	span := store.Under(logPrefix)
	begin := store.Span{From: logPrefix, To: store.LogKey(logPrefix, after+2), Reverse: true}
	if after >= 1<<64-2 {
		begin.To = span.To
	}
	err = s.Range(ctx, begin, func(key, _ []byte) error {
		span.From = append([]byte{}, key...)
		return store.Stop
	})
	if err != nil {
		return nil, 0, storeProblem(err)
	}
	size := 0
	err = s.Range(ctx, span, func(key, value []byte) error {
		if len(key) != len(logPrefix)+store.SequenceSize {
			return nil
		}
		_, err := visitPage(store.LogNumber(key), value, after, func(c record.Change) error {
			e := record.Entry{Change: c}
			if values && c.Op != record.Home && c.Op != record.Unhome {
				n, err := r.fill(ctx, s, &e)
				if err != nil {
					return err
				}
				size += n
			}
			out = append(out, e)
			if len(out) >= limit || size >= maxChangeBytes {
				return store.Stop
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, 0, storeProblem(err)
	}
	return out, s.Sequence(), nil
}

// fill puts what the record holds now into e.
func (r *Registry) fill(ctx context.Context, s store.Reader, e *record.Entry) (int, error) {
	b, err := get(ctx, s, nil, appendRecordKey(nil, e.ID))
	if err != nil || b == nil {
		return 0, err
	}
	st, err := openStored(b)
	if err != nil {
		return 0, err
	}
	vs, err := st.values()
	if err != nil {
		return 0, err
	}
	if vs == nil {
		vs = []record.Value{}
	}
	as, _, err := r.govern(ctx, e.ID, vs)
	if err != nil {
		return 0, err
	}
	sigs, err := r.proof(e.ID, st, as, len(as) > 0 && &as[0] != &vs[0])
	if err != nil {
		return 0, err
	}
	for i := range sigs {
		if !has(vs, sigs[i].Index) {
			vs = append(vs, sigs[i])
		}
	}
	e.Values = vs
	return len(b), nil
}

// mirrored is what a mirror brings: entries of another node's feed, and where it stands with them.
type mirrored struct {
	entries []record.Entry
	key     []byte
	cursor  []byte
}

// Copy takes over entries of another node's feed, and keeps cursor under name, in one batch: an interrupted copy goes on
// where it stood, and what is copied twice is there once. What changes is logged here too, with the time and the
// identity of the original. It works when Write is refused. Entries for one record must come in their order.
func (r *Registry) Copy(ctx context.Context, name string, entries []record.Entry, cursor []byte) error {
	for i := range entries {
		if !entries[i].ID.IsValid() {
			return problem.New(problem.BadRequest, "entry %d of the feed names no identifier: ask its sender for it again", "变更流第 %d 项没有标识：请向发送方重新获取", entries[i].Seq)
		}
		vs, _ := unsealed(entries[i].Values)
		if err := record.CheckAll(vs); err != nil {
			return problem.Wrap(err, problem.BadRequest, "entry %d of the feed is no record that is kept here", "变更流第 %d 项不是可保存的记录", entries[i].Seq)
		}
	}
	c := &call{ctx: ctx, by: record.Identity{Operator: true}, mirror: &mirrored{entries, metaKey("cursor " + name), cursor}}
	for i := range entries {
		for j := range entries[i].Values {
			c.size += entries[i].Values[j].Size()
		}
	}
	return r.submit(c)
}

// Cursor is what Copy last kept under name, nil when there was none.
func (r *Registry) Cursor(ctx context.Context, name string) ([]byte, error) {
	return get(ctx, r.store, nil, metaKey("cursor "+name))
}

// copy works the entries out.
func (t *turn) copy(m *mirrored) error {
	for i := range m.entries {
		e := &m.entries[i]
		rec := recordID(e.ID)
		if prefix, ok := rec.Delegated(); ok && (e.Op == record.Home || e.Op == record.Unhome) {
			if t.v.homed(prefix) != (e.Op == record.Home) {
				t.homing(prefix, e.Op == record.Home)
				t.copied(e, rec, [32]byte{})
			}
			continue
		}
		c, err := t.v.cell(appendRecordKey(nil, rec), e.Op == record.Create && e.Values != nil)
		if err != nil {
			return err
		}
		if e.Values == nil {
			if c.now != nil {
				t.tally(c, rec.Prefix(), nil)
				t.write(c, nil)
				t.copied(e, rec, [32]byte{})
			}
			continue
		}
		vs, seal := unsealed(e.Values)
		value := appendStored(nil, vs, seal)
		if c.now != nil && bytes.Equal(c.now, value) {
			continue
		}
		now, err := openStored(value)
		if err != nil {
			return err
		}
		same := false
		if c.now != nil {
			old, err := openStored(c.now)
			same = err == nil && bytes.Equal(old.block, now.block)
		}
		t.tally(c, rec.Prefix(), value)
		t.write(c, value)
		if !same { // a new signature alone is no change
			t.copied(e, rec, sha256.Sum256(now.block))
		}
	}
	c, err := t.v.cell(m.key, false)
	if err != nil {
		return err
	}
	t.write(c, append([]byte{}, m.cursor...))
	return nil
}

func (t *turn) copied(e *record.Entry, rec id.ID, digest [32]byte) {
	op := e.Op
	if e.Values == nil && op != record.Home && op != record.Unhome {
		op = record.Delete
	}
	change := appendChange(nil, &record.Change{Op: op, ID: rec, By: e.By, Digest: digest})
	putTime(change[changeTime:], e.Time.UnixMilli())
	t.g.log = append(t.g.log, change)
}

// unsealed tells a signature that was made for the feed from those that are values of the record.
func unsealed(vs []record.Value) ([]record.Value, *record.Value) {
	if n := len(vs); n > 0 && vs[n-1].Type == record.TypeSignature && vs[n-1].Timestamp == 0 {
		return vs[:n-1], &vs[n-1]
	}
	return vs, nil
}
