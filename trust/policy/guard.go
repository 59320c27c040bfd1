package policy

import (
	"context"
	"slices"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Guard stands before a Registrar: those whom a rule lets edit may, and no rule is written that cannot be read.
type Guard struct {
	Policy *Policy
	Next   record.Registrar
	// Reader reads what is there, past the rules: the registry.
	Reader record.Resolver
}

var _ record.Registrar = (*Guard)(nil)

// Write is record.Registrar's. A write by a grant keeps the types and permissions of the values; it is in the audit trail
// before it is done.
func (g *Guard) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	out := make([]record.Result, len(writes))
	for at := 0; at < len(writes); {
		if err := checkRules(&writes[at]); err != nil && !by.IsAnonymous() {
			out[at] = record.Result{ID: writes[at].ID, Err: err}
			at++
			continue
		}
		end := at + 1
		if granted, ok, err := g.granted(ctx, by, writes[at]); err != nil {
			out[at] = record.Result{ID: writes[at].ID, Err: err}
			at++
			continue
		} else if ok {
			res, err := g.Next.Write(ctx, record.Identity{Ref: by.Ref, Operator: true}, []record.Write{granted})
			if err != nil {
				return nil, err
			}
			out[at] = res[0]
			at++
			continue
		}
		for end < len(writes) && !g.mayNeedGrant(by, &writes[end]) && checkRules(&writes[end]) == nil {
			end++
		}
		res, err := g.Next.Write(ctx, by, writes[at:end])
		if err != nil {
			return nil, err
		}
		copy(out[at:], res)
		for i := at; i < end; i++ {
			if out[i].Err == nil {
				g.wrote(ctx, by, &writes[i])
			}
		}
		at = end
	}
	return out, nil
}

// wrote reads a rule again that was just written. What the operator writes is either this room's own, which knows it and
// waits for this write, or heard of by the feed.
func (g *Guard) wrote(ctx context.Context, by record.Identity, w *record.Write) {
	_, suffix, _ := cut(w.ID.String())
	if !by.Operator && (hasPrefixFold(suffix, policyName) || hasPrefixFold(suffix, requestName) || hasPrefixFold(suffix, "Group_")) {
		if err := g.Policy.Heard(ctx, w.ID); err != nil {
			g.Policy.cfg.Log.Error("a rule that was just written could not be read", "id", w.ID.String(), "err", err)
		}
	}
	if touchesRules(w) {
		g.Policy.ruled(ctx, w.ID)
	}
}

func touchesRules(w *record.Write) bool {
	return w.Op == record.Delete || slices.ContainsFunc(w.Values, func(v record.Value) bool { return v.Type == TypeGrant }) ||
		slices.ContainsFunc(w.Indexes, func(i uint32) bool { return i >= IndexGrant && i <= lastGrant })
}

// checkRules refuses rules that cannot be read: they would close everything they are about.
func checkRules(w *record.Write) error {
	for i := range w.Values {
		v := &w.Values[i]
		switch v.Type {
		case TypeGrant:
			r, err := parseOwn(v.Data)
			if err == nil {
				_, err = r.compile("", true)
			}
			if err == nil && (v.Index < IndexGrant || v.Index > lastGrant) {
				err = badRule("rules stand at the indexes %d to %d", "规则应位于索引 %d 至 %d", IndexGrant, lastGrant)
			}
			if err == nil && v.Perm&^(record.AdminRead|record.AdminWrite) != 0 {
				err = badRule("a rule is for administrators only: give it the permissions 1100", "规则仅限管理员查看：请将权限设为 1100")
			}
			if err != nil {
				return problem.Wrap(err, problem.BadValue, "the rule at index %d of %s cannot be used", "%[2]s 索引 %[1]d 处的规则不可用", v.Index, clip(w.ID.String()))
			}
		case TypePolicy:
			r, err := parsePaper(v.Data)
			if err == nil {
				_, err = r.compile(w.ID.String(), false)
			}
			if err != nil {
				return problem.Wrap(err, problem.BadValue, "the rule %s cannot be used", "规则 %s 不可用", clip(w.ID.String()))
			}
		}
	}
	return nil
}

func (g *Guard) mayNeedGrant(by record.Identity, w *record.Write) bool {
	if by.IsAnonymous() || by.Operator {
		return false
	}
	switch w.Op {
	case record.Add, record.Modify, record.Remove:
		return w.ID.IsValid() && w.ID.Prefix() != "0.NA" && !w.ID.IsPrefix()
	}
	return false
}

// granted is the write as it may be done by grants, when they cover all of it.
func (g *Guard) granted(ctx context.Context, by record.Identity, w record.Write) (out record.Write, ok bool, err error) {
	if !g.mayNeedGrant(by, &w) || len(w.Values)+len(w.Indexes) == 0 || len(w.Values) > record.MaxValues || len(w.Indexes) > record.MaxValues {
		return w, false, nil
	}
	p := g.Policy
	a, err := g.Reader.Resolve(ctx, record.Query{ID: w.ID, By: record.Identity{Operator: true}, NoReferral: true})
	if err != nil {
		return w, false, nil // whatever it is, the registry says it
	}
	b, template, paper := p.book(ctx, w.ID, a.Values)
	if paper || b.broken || !b.edits() {
		return w, false, nil
	}
	q := p.ask(ctx, Edit, by, "", w.ID, template)
	access := Access{Time: q.now.UTC(), Who: by.Ref.String(), ID: q.rec, Action: Edit}
	var count []counted
	may := func(v *record.Value) bool {
		if v.Index == record.IndexTemplateID || v.Index == record.IndexTemplate || v.Index >= IndexGrant && v.Index <= lastGrant || sealed(v) {
			return false
		}
		d := b.decide(q, v)
		if !d.allowed || d.by == nil {
			return false
		}
		access.Indexes = append(access.Indexes, v.Index)
		if name := d.source + "#" + d.by.ID; !slices.Contains(access.Grants, name) {
			access.Grants = append(access.Grants, name)
			if d.by.Count > 0 {
				count = append(count, counted{useKey(d.by.ID, q.prefix, q.who.name), d.by.Count})
			}
		}
		return true
	}
	find := func(index uint32) *record.Value {
		for i := range a.Values {
			if a.Values[i].Index == index {
				return &a.Values[i]
			}
		}
		return nil
	}
	w.Values = slices.Clone(w.Values)
	for i := range w.Values {
		v := &w.Values[i]
		old := find(v.Index)
		switch {
		case old != nil:
			if old.Type != v.Type || !may(old) {
				return w, false, nil
			}
			v.Perm = old.Perm
		case w.Op == record.Modify || !may(v):
			return w, false, nil
		default:
			v.Perm = record.DefaultPerm
		}
	}
	for _, index := range w.Indexes {
		if old := find(index); w.Op == record.Remove && (old == nil || !may(old)) {
			return w, false, nil
		}
	}
	_, spent, err := p.Audit.add(ctx, access, count)
	if err != nil || len(spent) > 0 {
		return w, false, err
	}
	return w, true, nil
}

// edits reports whether any rule lets anybody edit.
func (b *book) edits() bool {
	for _, level := range b.at {
		for _, c := range level {
			for i := range c.grants {
				if slices.Contains(c.grants[i].Actions, Edit) {
					return true
				}
			}
		}
	}
	return false
}

// ruled keeps the list of records with rules of their own true, so that their owner can go through them.
func (p *Policy) ruled(ctx context.Context, v id.ID) {
	p.mu.Lock()
	reg := p.reg
	p.mu.Unlock()
	if reg == nil {
		return
	}
	_, err := p.ownRules(ctx, v)
	key := []byte(v.String())
	switch {
	case err == nil:
		err = owned.Put(ctx, p.cfg.Store, ruledRecord{v.String()})
	case problem.Is(err, problem.NotFound):
		err = owned.Delete(ctx, p.cfg.Store, key)
	}
	if err != nil {
		p.cfg.Log.Error("the list of records with rules could not be kept", "id", v.String(), "err", err)
	}
}
