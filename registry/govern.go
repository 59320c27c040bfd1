package registry

import (
	"bytes"
	"context"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Quick is what a Governor may offer beside its door, so that a record without rules costs next to nothing.
type Quick interface {
	// Free reports, from the value block of the record prefix/suffix (folded) alone, that Govern would return its
	// values as they are, and governed false. False is always a right answer. It allocates nothing and keeps nothing.
	Free(prefix, suffix, block []byte) bool
}

// Noter is what a Governor may offer beside its door: it hears of what administrators see by their own right, which
// nobody had to grant them. Places are durably in the audit trail when it returns.
type Noter interface {
	Note(ctx context.Context, q *record.Query, rec id.ID, values []record.Value, places []int) error
}

// free reports whether the record under key has no rules, without a closer look.
func (r *Registry) free(key, block []byte) bool {
	if r.cfg.Governor == nil {
		return true
	}
	i := bytes.IndexByte(key, 0)
	if string(key[1:i]) == rootPrefix {
		return true // delegations are what everybody goes by: there are no rules about who sees them
	}
	return r.quick != nil && r.quick.Free(key[1:i], key[i+1:], block)
}

// govern is the values with the permissions that hold by the rules, and whether there are rules about the record.
func (r *Registry) govern(ctx context.Context, rec id.ID, vs []record.Value) ([]record.Value, bool, error) {
	if r.cfg.Governor == nil || rec.Prefix() == rootPrefix {
		return vs, false, nil
	}
	out, governed, err := r.cfg.Governor.Govern(ctx, rec, vs)
	if err != nil {
		if c := canceled(err); c != nil {
			return nil, true, c
		}
		return nil, true, problem.Wrap(err, problem.Busy, "the rules about who may see %s cannot be read: try again; its node's log says more", "无法读取 %s 的查看规则：请稍后再试；详见其节点日志", clip(rec.String()))
	}
	return out, governed, nil
}

// admit settles which of the hidden places of a governed record the asker sees: those that the rules grant, and all of
// them for the record's administrators. What remains is absent, whatever the reason.
func (r *Registry) admit(ctx context.Context, q *record.Query, rec id.ID, vs []record.Value, hidden []int) ([]int, error) {
	if q.By.IsAnonymous() {
		return nil, nil
	}
	seen, err := r.cfg.Governor.Admit(ctx, q, rec, vs, hidden)
	if err != nil {
		if c := canceled(err); c != nil {
			return nil, c
		}
		return nil, problem.Wrap(err, problem.Busy, "whether %s may see it cannot be settled now: try again", "暂时无法判定 %s 的查看权限：请稍后再试", clip(q.By.Ref.String()))
	}
	if len(seen) == len(hidden) {
		return seen, nil
	}
	var rest []int
	for _, i := range hidden {
		granted := false
		for _, j := range seen {
			granted = granted || i == j
		}
		if !granted {
			rest = append(rest, i)
		}
	}
	if r.administers(ctx, q.By, rec, vs) != nil {
		return seen, ctx.Err()
	}
	if err := r.note(ctx, q, rec, vs, rest); err != nil {
		return nil, err
	}
	return hidden, nil
}

func (r *Registry) administers(ctx context.Context, by record.Identity, rec id.ID, vs []record.Value) error {
	return r.settled(ctx, func(g *rights) error {
		return g.check(by, rec, vs, demand{record.ReadValue, record.ReadValue}, "READ_VALUE")
	})
}

// note has what an administrator sees of what is not public written down.
func (r *Registry) note(ctx context.Context, q *record.Query, rec id.ID, vs []record.Value, places []int) error {
	n, ok := r.cfg.Governor.(Noter)
	if !ok || len(places) == 0 {
		return nil
	}
	if err := n.Note(ctx, q, rec, vs, places); err != nil {
		return problem.Wrap(err, problem.Busy, "the audit trail cannot be written, so nothing that is not public is shown: try again", "无法写入审计记录，因此不显示非公开内容：请稍后再试")
	}
	return nil
}

// concealed reports whether, by the rules, nobody may know without a grant that the record under key is there.
func (t *turn) concealed(rec id.ID, vs []record.Value) bool {
	if t.g.r.cfg.Governor == nil {
		return false
	}
	out, governed, err := t.g.r.govern(t.g.ctx, rec, vs)
	if err != nil {
		return true
	}
	return governed && len(public(out)) == 0
}

// hide makes the refusal err of a write what it would be if the record were not there, when nobody may know of it.
func (t *turn) hide(err error, rec id.ID, vs []record.Value) error {
	if err != nil && !t.by.Operator && (problem.Is(err, problem.NeedAuth) || problem.Is(err, problem.NotAdmin) || problem.Is(err, problem.Forbidden)) && t.concealed(rec, vs) {
		return notFound(rec)
	}
	return err
}

// taken is the refusal to register what is there already.
func (t *turn) taken(c *cell, rec id.ID) error {
	if t.g.r.cfg.Governor == nil || t.by.Operator {
		return exists(rec)
	}
	vs, err := storedValues(c.now)
	if err != nil {
		return err
	}
	if !t.concealed(rec, vs) {
		return exists(rec)
	}
	if t.by.IsAnonymous() {
		return needAuth("register", rec)
	}
	if err := t.check(t.by, rec, nil, demand{above: record.AddHandle}, "ADD_HANDLE"); err != nil {
		return err
	}
	return exists(rec)
}

// proves reports whether sig, made elsewhere or before, still covers what anybody may read by the rules.
func proves(sig *record.Value, rec id.ID, vs []record.Value) bool {
	s, err := trust.ParseSignature(sig.Data)
	return err == nil && s.CheckValues(rec.String(), public(vs), true) == nil
}

// Forget drops the ready answers of everything under prefix and the prefixes below it ("" means all), as it must be done
// when the rules about them have changed. Answers being made at this moment are not kept either.
func (r *Registry) Forget(prefix string) {
	if prefix == "" {
		r.hot.forgetAll()
		return
	}
	r.hot.forgetUnder([]byte(prefixOf(prefix)))
}

// forgetUnder drops what is kept under the prefix, and whatever is being filled.
func (h *hot) forgetUnder(prefix []byte) {
	for i := range h.stamps {
		h.stamps[i].Add(1)
	}
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for at := 0; at < len(s.index); at++ {
			for x := s.index[at]; x != 0; x = s.index[at] {
				e := s.entry(uint32(x))
				key := e[hotHead : hotHead+int(e[0])+int(e[1])<<8]
				if len(key) <= len(prefix)+1 || !bytes.Equal(key[1:len(prefix)+1], prefix) {
					break
				}
				if c := key[len(prefix)+1]; c != 0 && c != '.' {
					break
				}
				s.drop(at) // what comes into its place is looked at next
			}
		}
		s.mu.Unlock()
	}
}

// Sign makes the signature over what anybody may read of values, as the answer about rec: for answers that are made up
// when they are asked for. Errors: problem.NotHere when this node has no key for the prefix.
func (r *Registry) Sign(_ context.Context, rec id.ID, values []record.Value) (record.Value, error) {
	k, ok := r.keyFor(recordID(rec))
	if !ok {
		return record.Value{}, problem.New(problem.NotHere, "this node has no key that signs for %s: name one in its configuration", "本节点没有可为 %s 签名的密钥：请在配置中指定", clip(rec.Prefix()))
	}
	return r.prove(k, recordID(rec), values, r.cfg.Now())
}
