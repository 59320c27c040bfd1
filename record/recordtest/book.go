package recordtest

import (
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Book is a small registry in memory for the tests of rooms that stand before one: every door of record, with rights
// reduced to the names in Admins, who may do everything. It is safe for concurrent use.
type Book struct {
	Now    func() time.Time // time.Now when nil
	Admins []record.Ref

	// Fail, when set, is asked before each call of Write. Its error fails the call; with done the writes happen all
	// the same, as when a connection breaks after the commit.
	Fail func() (err error, done bool)

	mu      sync.Mutex
	records map[id.ID][]record.Value
	homed   map[string]bool
	changes []record.Change
	news    chan struct{} // closed and replaced with every change
	minted  int
}

// NewBook is a Book that answers for the prefixes.
func NewBook(admin record.Ref, prefixes ...string) *Book {
	b := &Book{Admins: []record.Ref{admin}, records: map[id.ID][]record.Value{}, homed: map[string]bool{}, news: make(chan struct{})}
	for _, p := range prefixes {
		b.homed[handle.Fold(p)] = true
	}
	return b
}

// Put places a record, past every rule.
func (b *Book) Put(name string, values ...record.Value) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records[id.MustParse(name)] = values
}

func (b *Book) now() time.Time {
	if b.Now != nil {
		return b.Now()
	}
	return time.Now()
}

func (b *Book) admin(by record.Identity) bool {
	if by.Operator {
		return true
	}
	return !by.IsZero() && slices.ContainsFunc(b.Admins, func(r record.Ref) bool { return r.Covers(by.Ref) })
}

func notHere() error {
	return problem.New(problem.NotHere, "That prefix doesn't live here", "该前缀不在此节点")
}

func (b *Book) here(v id.ID) bool {
	return b.homed[v.Prefix()] || v.Prefix() == "0.NA"
}

// Resolve is the door of record.Resolver.
func (b *Book) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	if err := ctx.Err(); err != nil {
		return record.Answer{}, problem.Wrap(err, problem.Canceled, "canceled", "已取消")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := record.Answer{Primary: true, Source: "store"}
	if q.Depth > record.MaxDepth {
		return a, problem.New(problem.TooDeep, "too many hops", "跳数过多")
	}
	if !b.here(q.ID) {
		return a, notHere()
	}
	all, ok := b.records[q.ID]
	if !ok {
		return a, problem.New(problem.NotFound, "no record", "没有记录")
	}
	for _, v := range all {
		switch {
		case !q.Wants(v.Index, v.Type):
		case v.Perm&record.PublicRead != 0, v.Perm&record.AdminRead != 0 && b.admin(q.By):
			a.Values = append(a.Values, v)
		case q.PublicOnly:
		case b.admin(q.By) && q.All(): // nobody may read it, and nobody asked for it by name
		case b.admin(q.By):
			return a, problem.New(problem.Forbidden, "nobody may read value %d", "值 %d 任何人都不可读", v.Index)
		default:
			return record.Answer{}, problem.New(problem.NeedAuth, "say who you are", "需要认证")
		}
	}
	if len(a.Values) == 0 {
		return a, problem.New(problem.NoValues, "no such values", "没有所要的值")
	}
	return a, nil
}

// AppendPublic is the door of record.Appender.
func (b *Book) AppendPublic(dst, name []byte, now int64) ([]byte, int64, bool) {
	v, err := id.ParseHandle(string(name))
	if err != nil {
		return dst, 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all, ok := b.records[v]
	var some []record.Value
	for _, v := range all {
		if v.Perm&record.PublicRead != 0 {
			some = append(some, v)
		}
	}
	if !ok || len(some) == 0 {
		return dst, 0, false
	}
	return record.AppendBlock(dst, some), now + record.DefaultTTL, true
}

// Write is the door of record.Registrar.
func (b *Book) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, problem.Wrap(err, problem.Canceled, "canceled", "已取消")
	}
	if b.Fail != nil {
		if err, done := b.Fail(); err != nil {
			if done {
				b.write(by, writes)
			}
			return nil, err
		}
	}
	return b.write(by, writes), nil
}

func (b *Book) write(by record.Identity, writes []record.Write) []record.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	rs := make([]record.Result, len(writes))
	for i, w := range writes {
		rs[i].ID = w.ID
		if w.Mint {
			b.minted++
			w.ID = id.MustParse(w.ID.String() + strconv.Itoa(b.minted))
		}
		if err := b.one(by, w); err != nil {
			rs[i].Err = err
			continue
		}
		rs[i].ID = w.ID
	}
	return rs
}

func (b *Book) one(by record.Identity, w record.Write) error {
	if w.Op == record.Home || w.Op == record.Unhome {
		if !b.admin(by) {
			return b.stranger(by)
		}
		prefix, _ := w.ID.Delegated()
		if w.Op == record.Home {
			b.homed[prefix] = true
		} else {
			delete(b.homed, prefix)
		}
		b.note(by, w, nil)
		return nil
	}
	if !b.here(w.ID) {
		return notHere()
	}
	_, exists := b.records[w.ID]
	if w.Op == record.Create && exists && !w.Overwrite {
		return problem.New(problem.Exists, "it exists", "已存在")
	}
	if err := record.CheckAll(w.Values); err != nil {
		return err
	}
	if w.Op == record.Modify && !exists {
		return problem.New(problem.NotFound, "no record", "没有记录")
	}
	if !b.admin(by) {
		return b.stranger(by)
	}
	now := b.now()
	w.Values = slices.Clone(w.Values)
	for i := range w.Values {
		w.Values[i].Timestamp = uint32(now.Unix())
	}
	if kind := apply(b.records, w); kind != 0 {
		return problem.New(kind, "%v", "%v", kind)
	}
	b.note(by, w, b.records[w.ID])
	return nil
}

func (b *Book) stranger(by record.Identity) error {
	if by.IsAnonymous() {
		return problem.New(problem.NeedAuth, "say who you are", "需要认证")
	}
	return problem.New(problem.NotAdmin, "you are no administrator here", "您不是此处的管理员")
}

func (b *Book) note(by record.Identity, w record.Write, values []record.Value) {
	c := record.Change{Seq: uint64(len(b.changes) + 1), Time: b.now().UTC().Truncate(time.Millisecond), Op: w.Op, ID: w.ID, By: by}
	if values != nil {
		c.Digest = sha256.Sum256(record.AppendBlock(nil, values))
	}
	b.changes = append(b.changes, c)
	close(b.news)
	b.news = make(chan struct{})
}

func (b *Book) may(by record.Identity, prefix string) error {
	switch {
	case !b.homed[handle.Fold(prefix)]:
		return notHere()
	case !b.admin(by):
		return b.stranger(by)
	}
	return nil
}

// List is the door of record.Lister.
func (b *Book) List(ctx context.Context, by record.Identity, prefix, after string, limit int) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.may(by, prefix); err != nil {
		return nil, err
	}
	var all []string
	for v := range b.records {
		if v.Prefix() == handle.Fold(prefix) && !v.IsPrefix() && v.String() > handle.Fold(after) {
			all = append(all, v.String())
		}
	}
	slices.Sort(all)
	return all[:min(limit, len(all))], nil
}

// Count is the door of record.Lister.
func (b *Book) Count(ctx context.Context, by record.Identity, prefix string) (int64, error) {
	all, err := b.List(ctx, by, prefix, "", 1<<30)
	return int64(len(all)), err
}

// Prefixes is the door of record.Lister.
func (b *Book) Prefixes(ctx context.Context, by record.Identity, after string, limit int) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.admin(by) {
		return nil, b.stranger(by)
	}
	var all []string
	for p := range b.homed {
		if p > handle.Fold(after) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all[:min(limit, len(all))], nil
}

// Changes is the door of record.Feed.
func (b *Book) Changes(ctx context.Context, by record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	for {
		b.mu.Lock()
		if !b.admin(by) {
			b.mu.Unlock()
			return nil, b.stranger(by)
		}
		if after < uint64(len(b.changes)) {
			es := []record.Entry{}
			for _, c := range b.changes[after:min(len(b.changes), int(after)+limit)] {
				e := record.Entry{Change: c}
				if values && c.Digest != [32]byte{} {
					e.Values = b.records[c.ID]
					e.Digest = sha256.Sum256(record.AppendBlock(nil, e.Values))
				}
				es = append(es, e)
			}
			b.mu.Unlock()
			return es, nil
		}
		news := b.news
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-news:
		}
	}
}

// Secrets is the door of record.SecretFinder.
func (b *Book) Secrets(ctx context.Context, ref record.Ref) (keys [][]byte, held bool, err error) {
	v, err := id.ParseHandle(ref.Name)
	if err != nil {
		return nil, false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, value := range b.records[v] {
		if strings.EqualFold(value.Type, record.TypeSecKey) && (ref.Index == 0 || ref.Index == value.Index) {
			keys = append(keys, value.Data)
		}
	}
	return keys, b.here(v), nil
}
