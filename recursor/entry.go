package recursor

import (
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// entry is what is known of one name. It does not change once it is in the cache, but for its counters; the TTLs in its
// values are as they came, since signatures cover them.
type entry struct {
	// What AppendPublic reads comes first, so that it lies together.
	block           []byte // plain as a value block; the Data of plain lie in it
	expires, stored int64  // seconds since 1970
	ready           bool   // block is the answer: there are values, and no other name to follow
	refreshing      atomic.Bool
	hits            atomic.Uint32

	key string // name's canonical form, in one piece of memory with block

	absent bool  // there is no record; values is empty
	gone   error // what is then said, made once
	name   id.ID
	values []record.Value // all that anybody may read, as it came
	plain  []record.Value // the same without the signature that was made for Certify
	zone   *zone          // of a prefix record: where it leads

	trust     record.Trust
	primary   bool // a primary said so
	certified bool // in a message whose signature held
	open      bool // there is nothing beside what anybody may read
	signed    bool // asked for with Certify, so that a signature is there if one can be had
	source    string

	staleUntil int64 // seconds since 1970
}

// seal fills in what follows from the values. added is the index in values of the signature made for Certify, or -1.
func (e *entry) seal(added int) {
	e.plain = make([]record.Value, 0, len(e.values))
	for i := range e.values {
		if i != added {
			e.plain = append(e.plain, e.values[i])
		}
	}
	e.ready = len(e.plain) > 0 && !hasAlias(e.plain)
	size := 4
	for i := range e.plain {
		size += e.plain[i].Size()
	}
	name := e.name.String()
	e.block = append(make([]byte, 0, len(name)+size), name...)
	e.key = unsafe.String(&e.block[0], len(name))
	e.block = record.AppendBlock(e.block, e.plain)[len(name):]
	// Data and types are let go of and read from the block instead, so that nothing is kept twice.
	off := 4
	for i := range e.plain {
		v := &e.plain[i]
		size := v.Size()
		t := off + 18
		d := t + len(v.Type) + 4
		if len(v.Type) > 0 {
			v.Type = unsafe.String(&e.block[t], len(v.Type))
		}
		v.Data = e.block[d : d+len(v.Data) : d+len(v.Data)]
		off += size
	}
	if added < 0 {
		e.values = e.plain
		return
	}
	all := make([]record.Value, 0, len(e.values))
	all = append(all, e.plain[:added]...)
	all = append(all, e.values[added])
	e.values = append(all, e.plain[added:]...)
}

// weight is about how many bytes of memory the entry takes.
func (e *entry) weight(key string) uint32 {
	const node, value = 400, 88 // the entry itself with its place in the table; one record.Value
	n := node + 2*len(key) + len(e.source) + len(e.block) + value*len(e.plain)
	if len(e.values) > len(e.plain) {
		n += value * len(e.values)
		for i := range e.values {
			if e.values[i].Type == record.TypeSignature {
				n += len(e.values[i].Data)
			}
		}
	}
	if e.zone != nil {
		n += 2 * len(e.block)
	}
	return uint32(n)
}

// answer is the part of the entry that q asks for.
func (e *entry) answer(q *record.Query) (record.Answer, error) {
	a := record.Answer{Trust: e.trust, Primary: e.primary, Certified: e.certified, Source: e.source, Expires: time.Unix(e.expires, 0)}
	if e.absent {
		return a, e.gone
	}
	from := e.plain
	if q.Certify || len(e.values) != len(e.plain) && asksSignature(q) {
		from = e.values
	}
	if q.All() {
		a.Values = from
	} else {
		for i := range from {
			if q.Wants(from[i].Index, from[i].Type) || q.Certify && from[i].Type == record.TypeSignature {
				a.Values = append(a.Values, from[i])
			}
		}
	}
	if len(a.Values) == 0 {
		return a, noValues(e.name)
	}
	return a, nil
}

func asksSignature(q *record.Query) bool {
	for _, t := range q.Types {
		if record.MatchType(t, record.TypeSignature) {
			return true
		}
	}
	return false
}

// has reports whether all that q asks for is here, so that nothing hidden is asked for.
func (e *entry) has(q *record.Query) bool {
	if e.absent || e.open {
		return true
	}
	if len(q.Types) > 0 || len(q.Indexes) == 0 {
		return false
	}
	for _, i := range q.Indexes {
		found := false
		for j := range e.values {
			found = found || e.values[j].Index == i
		}
		if !found {
			return false
		}
	}
	return true
}

// hasAlias reports whether the answer may lie under another name.
func hasAlias(values []record.Value) bool {
	for i := range values {
		if handle.Equal(values[i].Type, record.TypeAlias) {
			return true
		}
	}
	return false
}

// life is how many seconds from now values may be kept: the least of their TTLs, and no longer than the cap.
func (r *Recursor) life(values []record.Value, now int64) int64 {
	life := int64(r.c.MaxTTL / time.Second)
	for i := range values {
		life = min(life, values[i].TTL.Left(now))
	}
	return life
}

// staleTime is how long others may keep an answer that is past its time: until it is worth asking again.
const staleTime = 30 * time.Second

func absence(name id.ID) error {
	return problem.New(problem.NotFound, "%s is not registered; check the spelling", "标识 %s 未注册；请检查拼写", name)
}

func noValues(name id.ID) error {
	return problem.New(problem.NoValues, "%s is registered, but has none of the values asked for; ask without index or type to see what it has",
		"标识 %s 已注册，但没有所查询的值；不带索引和类型查询可查看其全部公开值", name)
}

// AppendPublic is record.Appender: an answer from the cache, or from the authoritative part of this node, by one look-up
// in memory.
func (r *Recursor) AppendPublic(dst, name []byte, now int64) ([]byte, int64, bool) {
	if r.local != nil {
		if out, until, ok := r.local.AppendPublic(dst, name, now); ok {
			return out, until, true
		}
	}
	if len(name) > handle.MaxLen {
		return dst, 0, false
	}
	// The folded name is put where the answer will stand, so that it needs no room of its own.
	n := len(dst)
	dst = handle.AppendFold(dst, name)
	key := dst[n:]
	if len(key) == 0 {
		return dst, 0, false
	}
	e, ok := r.answers.GetIfPresent(unsafe.String(&key[0], len(key)))
	dst = dst[:n]
	if !ok || now >= e.expires || !e.ready {
		return dst, 0, false
	}
	r.stats.quick.Add(1)
	r.touch(e, now)
	return append(dst, e.block...), e.expires, true
}
