package registry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

var (
	_ record.Resolver     = (*Registry)(nil)
	_ record.Appender     = (*Registry)(nil)
	_ record.Registrar    = (*Registry)(nil)
	_ record.Lister       = (*Registry)(nil)
	_ record.Feed         = (*Registry)(nil)
	_ record.SecretFinder = (*Registry)(nil)
)

// Resolve is record.Resolver's. A prefix without a suffix is answered with its prefix record. A prefix record that is
// not here is answered with a referral when one above says who keeps it, unless q.NoReferral.
func (r *Registry) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	ans := record.Answer{Source: "store", Primary: r.mayWrite.Load()}
	if !q.ID.IsValid() {
		return ans, problem.New(problem.BadID, "the query names no identifier: give one, as 88.118.1001/ENG-42", "查询中没有标识：请给出，例如 88.118.1001/ENG-42")
	}
	if q.Depth > record.MaxDepth {
		return ans, problem.New(problem.TooDeep, "the question made more than %d hops to get here: look for referrals that lead back", "查询已超过 %d 跳：请检查是否存在循环的转介", record.MaxDepth)
	}
	rec := recordID(q.ID)
	v := &view{r: r, ctx: ctx}
	var buf [128]byte
	key := appendRecordKey(buf[:0], rec)
	b, err := get(ctx, r.store, nil, key)
	if err != nil {
		return ans, err
	}
	if b == nil || !v.answers(rec) {
		return r.absent(v, q, rec, ans)
	}
	s, err := openStored(b)
	if err != nil {
		return ans, err
	}
	vs, err := s.values()
	if err != nil {
		return ans, err
	}

	governed, changed := false, false
	if !(q.By.Operator && !q.Certify) && !r.free(key, s.block) {
		as, gov, err := r.govern(ctx, rec, vs)
		if err != nil {
			return ans, err
		}
		governed, changed = gov, len(as) != len(vs) || len(as) > 0 && &as[0] != &vs[0]
		vs = as
	}

	var out []record.Value
	var hidden []int // places in vs
	if q.All() && s.flags&storedPublic != 0 && !changed {
		out = vs
	} else {
		for i := range vs {
			if !q.Wants(vs[i].Index, vs[i].Type) {
				continue
			}
			switch {
			case vs[i].Perm&record.PublicRead != 0 || q.By.Operator:
				out = append(out, vs[i])
			case q.PublicOnly || vs[i].Perm&record.AdminRead == 0:
				// Not for everybody, or for nobody.
			default:
				hidden = append(hidden, i)
			}
		}
	}
	var seen []int
	switch {
	case len(hidden) == 0:
	case governed:
		asked := q // so that no other question moves to the heap
		if seen, err = r.admit(ctx, &asked, rec, vs, hidden); err != nil {
			return ans, err
		}
	case q.By.IsAnonymous():
		return ans, needAuth("read what is not public in", rec)
	default:
		if err := r.administers(ctx, q.By, rec, vs); err != nil {
			return ans, err
		}
		asked := q
		if err := r.note(ctx, &asked, rec, vs, hidden); err != nil {
			return ans, err
		}
		seen = hidden
	}
	if len(seen) > 0 { // in the order of the record
		out = out[:0:0]
		for i := range vs {
			if q.Wants(vs[i].Index, vs[i].Type) && (vs[i].Perm&record.PublicRead != 0 || slices.Contains(seen, i)) {
				out = append(out, vs[i])
			}
		}
	}
	if len(out) == 0 {
		if governed && !q.By.Operator && len(public(vs)) == 0 {
			return ans, notFound(rec) // that it is there is not for everybody to know
		}
		return ans, problem.New(problem.NoValues, "%s has no value of what was asked for (or none that may be seen): ask for all of it to see what there is",
			"%s 没有所查询的值（或无权查看）：可查询全部值以了解其内容", clip(q.Name()))
	}
	if q.Certify {
		sigs, err := r.proof(rec, s, vs, changed)
		if err == nil && len(seen) > 0 {
			sigs, err = r.proofFor(rec, vs, seen, sigs)
		}
		if err != nil {
			return ans, err
		}
		out = out[:len(out):len(out)]
		for _, sig := range sigs {
			if !has(out, sig.Index) {
				out = append(out, sig)
			}
		}
	}
	ans.Values = out
	return ans, nil
}

// proofFor is what proves an answer with values that are not public: they are not in the signature for everybody, so one
// is made over them and all that is public. Without the key it is sigs.
func (r *Registry) proofFor(rec id.ID, vs []record.Value, seen []int, sigs []record.Value) ([]record.Value, error) {
	k, have := r.keyFor(rec)
	if _, isPrefix := rec.Delegated(); !have || isPrefix {
		return sigs, nil
	}
	var all []record.Value
	for i := range vs {
		if vs[i].Perm&record.PublicRead != 0 || slices.Contains(seen, i) {
			all = append(all, vs[i])
		}
	}
	now := r.cfg.Now()
	data, err := trust.SignRecord(k.Key, k.Ref, rec.String(), all, trust.SignOptions{From: now.Add(-skew), Until: now.Add(r.cfg.SignFor)})
	if err != nil {
		return nil, err
	}
	return []record.Value{{Index: free(all, IndexSignature, IndexSignature+1), Type: record.TypeSignature, Data: data,
		TTL: record.TTL{Seconds: min(record.DefaultTTL, uint32(r.cfg.SignFor/2/time.Second))}, Perm: record.DefaultPerm}}, nil
}

func has(vs []record.Value, index uint32) bool {
	for i := range vs {
		if vs[i].Index == index {
			return true
		}
	}
	return false
}

// absent is the answer for a record that is not here.
func (r *Registry) absent(v *view, q record.Query, rec id.ID, ans record.Answer) (record.Answer, error) {
	home, away, err := v.zone(rec)
	switch {
	case err != nil:
		return ans, err
	case home != "", away != nil && q.NoReferral:
		return ans, notFound(rec)
	case away != nil:
		ans.Referral = away
		return ans, nil
	}
	return ans, notHere(rec)
}

func notFound(rec id.ID) error {
	return problem.New(problem.NotFound, "%s is not registered: check its spelling, or register it", "%s 未注册：请检查拼写，或先注册", clip(rec.String()))
}

func needAuth(to string, rec id.ID) error {
	return problem.New(problem.NeedAuth, "who wants to %s %s must prove who they are: give a key or a password", "操作 %[2]s 须先验证身份：请提供密钥或口令", to, clip(rec.String()))
}

// scratch is what a question needs beside the caller's memory.
type scratch struct {
	key, value []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{make([]byte, 0, 2200), make([]byte, 0, 4096)} }}

const maxScratch = 64 << 10

// AppendPublic is record.Appender's. What is not ready is read from the store and then is.
func (r *Registry) AppendPublic(dst, name []byte, now int64) (out []byte, expires int64, ok bool) {
	var buf [320]byte
	if len(name) <= 256 {
		key, ok := appendAskedKey(buf[:0], name)
		if !ok {
			return dst, 0, false
		}
		if out, expires, ok := r.hot.get(dst, key, now); ok {
			return out, expires, true
		}
	}
	return r.appendStored(dst, name, now)
}

// appendStored answers from the store.
func (r *Registry) appendStored(dst, name []byte, now int64) (out []byte, expires int64, ok bool) {
	sc := scratches.Get().(*scratch)
	defer func() {
		if cap(sc.value) <= maxScratch {
			scratches.Put(sc)
		}
	}()
	if sc.key, ok = appendAskedKey(sc.key[:0], name); !ok {
		return dst, 0, false
	}
	if len(name) > 256 {
		if out, expires, ok := r.hot.get(dst, sc.key, now); ok {
			return out, expires, true
		}
	}
	st := r.hot.stamp(sc.key) // before anything is looked at, see hot
	if !r.answersKey(sc.key) {
		return dst, 0, false
	}
	b, err := r.store.Get(context.Background(), sc.value[:0], sc.key)
	if err != nil {
		return dst, 0, false
	}
	sc.value = b
	s, err := openStored(b)
	if err != nil {
		return dst, 0, false
	}
	if !r.free(sc.key, s.block) {
		if s, ok = r.governed(sc, s); !ok {
			return dst, 0, false
		}
	}
	start := len(dst)
	out, left, ok := s.appendPublic(dst, now)
	if !ok {
		return dst, 0, false
	}
	ttl, end := s.ttl, uint32(0)
	if s.flags&(storedPublic|storedAbsolute) != storedPublic {
		ttl, end = lifetime(out[start:])
	}
	r.hot.put(st, sc.key, out[start:], ttl, end)
	return out, now + left, true
}

// governed is the stored record as it would be stored if its permissions were those that the rules say.
func (r *Registry) governed(sc *scratch, s stored) (stored, bool) {
	rec, err := idOf(sc.key)
	if err != nil {
		return s, false
	}
	vs, err := s.values()
	if err != nil {
		return s, false
	}
	as, _, err := r.govern(context.Background(), rec, vs)
	if err != nil {
		return s, false
	}
	if len(as) == len(vs) && (len(as) == 0 || &as[0] == &vs[0]) {
		return s, true
	}
	sc.value = appendStored(nil, as, nil)
	s, err = openStored(sc.value)
	return s, err == nil
}

// lifetime is the shortest relative TTL and the earliest fixed end of life (0: none) in a block.
func lifetime(block []byte) (ttl, end uint32) {
	ttl = 1<<32 - 1
	for b := block[4:]; len(b) > 0; {
		size, _, t := measure(b)
		if size == 0 {
			break
		}
		switch {
		case !t.Absolute:
			ttl = min(ttl, t.Seconds)
		case end == 0 || t.Seconds < end:
			end = max(1, t.Seconds)
		}
		b = b[size:]
	}
	return ttl, end
}

// answersKey is view.answers for the key of a record that is there.
func (r *Registry) answersKey(key []byte) bool {
	prefix, suffix := key[1:], []byte(nil)
	for i, c := range key {
		if c == 0 {
			prefix, suffix = key[1:i], key[i+1:]
			break
		}
	}
	if homed(r, prefix) {
		return true
	}
	if string(prefix) != rootPrefix {
		return false
	}
	for p := suffix; ; {
		if homed(r, p) {
			return true
		}
		i := len(p) - 1
		for i >= 0 && p[i] != '.' {
			i--
		}
		if i <= 0 {
			return false
		}
		p = p[:i]
	}
}

// signedBy reports whether sig says that it is by ref.
func signedBy(sig *record.Value, ref record.Ref) bool {
	s, err := trust.ParseSignature(sig.Data)
	return err == nil && handle.Equal(s.Issuer.Name, ref.Name)
}

// proof is what proves the record: the signatures of who answers for it that are stored in it; else the one that came with it from another node; else
// one made now, if this node has the key. It is kept ready beside the digest of what it proves. changed says that vs are
// not what is stored, but what the rules make of it: then an older proof is looked at before it is given.
func (r *Registry) proof(rec id.ID, s stored, vs []record.Value, changed bool) ([]record.Value, error) {
	now := r.cfg.Now()
	key, have := r.keyFor(rec)
	var sigs []record.Value
	for i := range vs {
		// A signature that its owner put there beside ours, by another key, proves nothing to who follows the chain.
		if vs[i].Type == record.TypeSignature && vs[i].Perm&record.PublicRead != 0 && (!have || signedBy(&vs[i], key.Ref)) && (!changed || proves(&vs[i], rec, vs)) {
			sigs = append(sigs, vs[i])
		}
	}
	if len(sigs) > 0 {
		return sigs, nil
	}
	if sig, ok := s.sealed(); ok && (!have || proofHolds(&sig, now)) && (!changed && r.cfg.Governor == nil || proves(&sig, rec, vs)) {
		return []record.Value{sig}, nil
	}
	if !have {
		return nil, nil
	}
	var buf [128]byte
	at := appendRecordKey(buf[:0], rec)
	at[0] = hotProof
	digest := sha256.Sum256(s.block)
	if changed {
		digest = sha256.Sum256(record.AppendBlock(nil, vs))
	}
	const head = 8 + 8 + len(digest)
	st := r.hot.stamp(at)
	if b, _, ok := r.hot.get(nil, at, 0); ok && len(b) > head && [8]byte(b[8:]) == key.mark && [32]byte(b[16:]) == digest &&
		int64(binary.BigEndian.Uint64(b)) > now.Unix() {
		if sig, rest, err := record.DecodeValue(b[head:]); err == nil && len(rest) == 0 {
			return []record.Value{sig}, nil
		}
	}
	if changed {
		vs = public(vs) // the index at which the signature stands must not tell of what is hidden
	}
	sig, err := r.prove(key, rec, vs, now)
	if err != nil {
		return nil, err
	}
	// Half of its life is for those who keep it.
	b := binary.BigEndian.AppendUint64(make([]byte, 0, head+sig.Size()), uint64(now.Add(r.cfg.SignFor/2).Unix()))
	b = append(append(b, key.mark[:]...), digest[:]...)
	r.hot.put(st, at, record.AppendValue(b, &sig), 0, 0)
	return []record.Value{sig}, nil
}

// hotProof stands in the place of tagRecord in the keys of signatures kept ready.
const hotProof = 's'
