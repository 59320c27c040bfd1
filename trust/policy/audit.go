package policy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// Access is one entry of the audit trail: somebody saw, or changed, what is not public.
type Access struct {
	Seq     uint64    `json:"seq" doc:"1 and up, without gaps"`
	Time    time.Time `json:"time"`
	Who     string    `json:"who" doc:"index:identifier of the key that proved who it was"`
	ID      string    `json:"id" doc:"The record"`
	Indexes []uint32  `json:"indexes" doc:"The values"`
	Action  Action    `json:"action"`
	Purpose string    `json:"purpose,omitempty" doc:"What the asker said that it is for"`
	Grants  []string  `json:"grants,omitempty" doc:"By which grants, as RULE#GRANT"`
	Right   bool      `json:"right,omitempty" doc:"By the administrator's own right, without a grant"`
	// Before is the SHA-256 of the entry before it as it is stored: one that is changed or taken out later breaks the
	// chain. Zeros for the first.
	Before []byte `json:"before"`
}

// Digest is what the next entry has as Before.
func (a Access) Digest() [32]byte {
	b, _ := json.Marshal(a)
	return sha256.Sum256(b)
}

// use is how many answers somebody had by a grant that is counted.
type use struct {
	Key string // grant, a zero byte, folded name of the asker
	N   int64
}

var (
	trail = table.Table[Access]{
		Name: "policy.audit",
		Key:  func(a Access) []byte { return binary.BigEndian.AppendUint64(nil, a.Seq) },
		Indexes: []table.Index[Access]{{Name: "owner", Values: func(a Access) [][]byte {
			prefix, _, _ := cut(handle.Fold(a.ID))
			return [][]byte{append(append([]byte(prefix), 0), binary.BigEndian.AppendUint64(nil, a.Seq)...)}
		}}},
	}
	uses = table.Table[use]{Name: "policy.uses", Key: func(u use) []byte { return []byte(u.Key) }}
)

// Audit is the trail of accesses to what is not public: append-only, numbered, durable when Add returns.
type Audit struct {
	store store.Store

	mu    sync.Mutex
	queue []*entry
	busy  bool
	last  uint64
	hash  [32]byte
	known bool          // last and hash are those of the store
	grown chan struct{} // closed when the trail has grown
}

type entry struct {
	access Access
	count  []counted // grants that are counted
	spent  []string  // those that were used up: then nothing was written
	err    error
	done   chan struct{}
	lead   bool
}

type counted struct {
	key   string
	limit int64
}

const maxTrailGroup = 512

// add writes one access down and counts it. spent are counted grants that have nothing left; then it was not written.
func (t *Audit) add(ctx context.Context, a Access, count []counted) (seq uint64, spent []string, err error) {
	e := &entry{access: a, count: count, done: make(chan struct{})}
	t.mu.Lock()
	t.queue = append(t.queue, e)
	lead := !t.busy
	t.busy = true
	t.mu.Unlock()
	for {
		if lead {
			t.write(context.WithoutCancel(ctx))
		}
		<-e.done
		if !e.lead {
			return e.access.Seq, e.spent, e.err
		}
		// The one before handed the lead on; this entry is still in the queue.
		lead, e.lead, e.done = true, false, make(chan struct{})
	}
}

// write brings what is queued to the store in one batch, and hands the lead on.
func (t *Audit) write(ctx context.Context) {
	t.mu.Lock()
	n := min(len(t.queue), maxTrailGroup)
	group := t.queue[:n:n]
	t.queue = slices.Clone(t.queue[n:])
	t.mu.Unlock()
	err := t.apply(ctx, group)
	t.mu.Lock()
	if len(t.queue) > 0 {
		next := t.queue[0]
		next.lead = true
		close(next.done)
	} else {
		t.busy = false
	}
	if err == nil && t.grown != nil {
		close(t.grown)
		t.grown = nil
	}
	t.mu.Unlock()
	for _, e := range group {
		if err != nil {
			e.err = err
		}
		close(e.done)
	}
}

// apply is called by one at a time.
func (t *Audit) apply(ctx context.Context, group []*entry) error {
	for range 8 {
		if !t.known {
			if err := t.find(ctx); err != nil {
				return err
			}
		}
		var b store.Batch
		last, hash := t.last, t.hash
		rows := map[string]table.Row[use]{}
		now := map[string]int64{}
		for _, e := range group {
			e.spent = e.spent[:0]
			for _, c := range e.count {
				if _, ok := rows[c.key]; !ok {
					row, err := uses.Load(ctx, t.store, []byte(c.key))
					if err != nil {
						return err
					}
					rows[c.key], now[c.key] = row, row.Value.N
				}
				if now[c.key] >= c.limit {
					grant, _, _ := cutZero(c.key)
					e.spent = append(e.spent, grant)
				}
			}
			if len(e.spent) > 0 {
				continue
			}
			for _, c := range e.count {
				now[c.key]++
			}
			last++
			e.access.Seq, e.access.Before = last, hash[:]
			e.access.Before = slices.Clone(hash[:])
			if err := trail.Set(&b, table.Row[Access]{}, e.access); err != nil {
				return err
			}
			hash = e.access.Digest()
		}
		for key, row := range rows {
			if now[key] != row.Value.N {
				if err := uses.Set(&b, row, use{key, now[key]}); err != nil {
					return err
				}
			}
		}
		if b.Len() == 0 {
			return nil
		}
		_, err := t.store.Apply(ctx, &b)
		if err == nil {
			t.last, t.hash = last, hash
			return nil
		}
		t.known = false
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return problem.New(problem.Busy, "others write to the same audit trail all the time: run one node a store", "另有程序不断写入同一审计记录：一个存储只应运行一个节点")
}

// find reads the end of the trail.
func (t *Audit) find(ctx context.Context) error {
	t.last, t.hash = 0, [32]byte{}
	err := trail.Range(ctx, t.store, store.Span{Reverse: true}, func(a Access) error {
		t.last, t.hash = a.Seq, a.Digest()
		return store.Stop
	})
	t.known = err == nil
	return err
}

// used is how many answers the asker had by a counted grant.
func (t *Audit) used(ctx context.Context, key string) int64 {
	row, err := uses.Load(ctx, t.store, []byte(key))
	if err != nil {
		return 1<<63 - 1 // nothing is left of what cannot be counted
	}
	return row.Value.N
}

// Entries are up to limit entries behind after, oldest first; it waits for the first until ctx is done, whose error it
// then returns.
func (t *Audit) Entries(ctx context.Context, after uint64, limit int) ([]Access, error) {
	limit = min(max(limit, 1), 10_000)
	for {
		t.mu.Lock()
		if t.grown == nil {
			t.grown = make(chan struct{})
		}
		grown := t.grown
		t.mu.Unlock()
		var out []Access
		err := t.durable(ctx, func(s store.Reader) error {
			return trail.Range(ctx, s, store.Span{From: binary.BigEndian.AppendUint64(nil, after+1)}, func(a Access) error {
				if out = append(out, a); len(out) == limit {
					return store.Stop
				}
				return nil
			})
		})
		if err != nil || len(out) > 0 {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-grown:
		}
	}
}

// durable reads what no crash takes back: a log that signed an entry must find it again.
func (t *Audit) durable(ctx context.Context, read func(store.Reader) error) error {
	s, err := t.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return read(s)
}

// Of is up to limit entries about records of one prefix, the newest first, before the number before (0: from the end).
func (t *Audit) Of(ctx context.Context, prefix string, before uint64, limit int, keep func(Access) bool) ([]Access, error) {
	head := append([]byte(handle.Fold(prefix)), 0)
	span := store.Under(head)
	span.Reverse = true
	if before > 0 {
		span.To = binary.BigEndian.AppendUint64(slices.Clone(head), before)
	}
	var out []Access
	err := trail.By(ctx, t.store, "owner", span, func(a Access) error {
		if keep != nil && !keep(a) {
			return nil
		}
		if out = append(out, a); len(out) >= limit {
			return store.Stop
		}
		return nil
	})
	return out, err
}

// Check goes through the whole trail: problem.Bogus names the first entry that was changed, and the first number that is
// missing.
func (t *Audit) Check(ctx context.Context) error {
	next, hash := uint64(1), [32]byte{}
	return trail.Range(ctx, t.store, store.Span{}, func(a Access) error {
		if a.Seq != next || !slices.Equal(a.Before, hash[:]) {
			return problem.New(problem.Bogus, "the audit trail was altered at entry %d, or right before it: compare it with the ledger", "审计记录在第 %d 条或其前一条处被改动：请与账本核对", next)
		}
		next, hash = next+1, a.Digest()
		return nil
	})
}
