package node

import (
	"bytes"
	"context"
	"slices"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// staff are the doors of the node's own interface for those who have a role here: an administrator or a clerk of the enterprise lists,
// registers, edits and deletes its identifiers without standing in the HS_ADMIN value of each. What is no data (keys, administrators,
// sites, the papers of the rooms) and everybody without a role stay with the registry's own rules.
type staff struct {
	*desk
	doors doors
}

// staffed puts the doors of those with roles before d.
func (n *Node) staffed(d doors) doors {
	s := &staff{desk: &desk{n: n, doors: d}, doors: d}
	d.registrar = s
	if d.lister != nil {
		d.lister = s
	}
	if fast, ok := d.resolver.(record.Appender); ok {
		d.resolver = struct {
			record.Resolver
			record.Appender
		}{s, fast}
	} else {
		d.resolver = s
	}
	return d
}

// Resolve implements record.Resolver: an administrator of the enterprise sees what it keeps, unless a policy says otherwise; each look
// is noted as any other.
func (s *staff) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	if q.By.IsAnonymous() || q.By.Operator || q.PublicOnly {
		return s.doors.resolver.Resolve(ctx, q)
	}
	referral := q.NoReferral
	a, err := s.desk.Resolve(ctx, q)
	if !problem.Is(err, problem.NotHere) {
		return a, err
	}
	q.NoReferral = referral
	if a, done, err := s.abroad(ctx, q); done || err != nil {
		return a, err
	}
	if !referral {
		return s.doors.resolver.Resolve(ctx, q)
	}
	return a, err
}

// Write implements record.Registrar.
func (s *staff) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	if by.IsAnonymous() || by.Operator {
		return s.doors.registrar.Write(ctx, by, writes)
	}
	roles := map[string]bool{}
	own := make([]bool, len(writes))
	for i := range writes {
		w := &writes[i]
		if !w.ID.IsValid() || ofRooms(w.ID) {
			continue
		}
		p := w.ID.Prefix()
		has, known := roles[p]
		if !known {
			c, err := s.at(ctx, by, p)
			if err != nil {
				return nil, err
			}
			has = c.Has(p, mayWrite...)
			roles[p] = has
		}
		if has {
			var err error
			if own[i], err = s.data(ctx, w); err != nil {
				return nil, err
			}
		}
	}
	// In their order: later ones see what earlier ones did.
	out := make([]record.Result, 0, len(writes))
	for from := 0; from < len(writes); {
		to := from + 1
		for to < len(writes) && own[to] == own[from] {
			to++
		}
		who := by
		who.Operator = own[from]
		res, err := s.doors.registrar.Write(ctx, who, writes[from:to])
		if err != nil && from > 0 {
			// What came before is done and durable: each of the rest has this error for its own.
			res, err = make([]record.Result, to-from), nil
			for i := range res {
				res[i] = record.Result{ID: writes[from+i].ID, Err: problem.New(problem.Busy, "not written, though what stands before it was: send it again", "未写入，但其之前的内容已写入：请重新发送")}
			}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, res...)
		from = to
	}
	return out, nil
}

// data reports whether w changes nothing but data: whatever else the record holds is the same before and after, and no value is touched
// that administrators must not write.
func (s *staff) data(ctx context.Context, w *record.Write) (bool, error) {
	switch w.Op {
	case record.Create, record.Delete, record.Add, record.Modify, record.Remove:
	default:
		return false, nil
	}
	if slices.ContainsFunc(w.Indexes, func(i uint32) bool { return !property(i) }) {
		return false, nil
	}
	if w.Op == record.Create && !w.Overwrite {
		return !slices.ContainsFunc(w.Values, func(v record.Value) bool { return !property(v.Index) }), nil
	}
	a, err := s.n.registry.Resolve(ctx, record.Query{ID: w.ID, By: operator, NoReferral: true})
	switch problem.KindOf(err) {
	case problem.Internal, problem.Canceled, problem.Busy:
		if err != nil {
			return false, err
		}
	}
	for _, v := range w.Values {
		if !property(v.Index) && !slices.ContainsFunc(a.Values, func(o record.Value) bool { return sameValue(&o, &v) }) {
			return false, nil
		}
	}
	whole := w.Op == record.Delete || w.Op == record.Create
	for i := range a.Values {
		old := &a.Values[i]
		at := slices.IndexFunc(w.Values, func(v record.Value) bool { return v.Index == old.Index })
		switch {
		case !property(old.Index):
			if w.Op == record.Create && at < 0 {
				return false, nil
			}
		case old.Perm&record.AdminWrite != 0:
		case whole && at < 0, slices.Contains(w.Indexes, old.Index), at >= 0 && !sameValue(old, &w.Values[at]):
			return false, nil
		}
	}
	return true, nil
}

// sameValue reports whether two values say the same to the same readers.
func sameValue(a, b *record.Value) bool {
	return a.Index == b.Index && a.Type == b.Type && a.Perm == b.Perm && bytes.Equal(a.Data, b.Data)
}

// Prefixes implements record.Lister: those that the node answers for.
func (s *staff) Prefixes(ctx context.Context, by record.Identity, after string, limit int) ([]string, error) {
	if by.IsAnonymous() || by.Operator {
		return s.doors.lister.Prefixes(ctx, by, after, limit)
	}
	c, err := s.caller(ctx, by)
	if err == nil && c.Has(s.n.cfg.Prefix, api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor) {
		by.Operator = true
	}
	return s.doors.lister.Prefixes(ctx, by, after, limit)
}
