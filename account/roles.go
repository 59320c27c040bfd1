package account

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// within reports whether prefix is above or below it.
func within(prefix, above string) bool {
	p, a := handle.Fold(prefix), handle.Fold(above)
	return a != "" && (p == a || strings.HasPrefix(p, a+"."))
}

var roleNames = []api.RoleName{api.Operator, api.Reviewer, api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor, api.Regulator}

// mayGive says whether by may give roles to an account under home: those at home and below, an operator any, an
// enterprise's administrator those of an enterprise.
func mayGive(by api.Caller, home string, roles []api.Role) error {
	if len(roles) > 64 {
		return problem.New(problem.TooLarge, "an account takes at most 64 roles: give them to groups", "一个账户最多 64 个角色：请授予群组")
	}
	if err := by.Need(home, api.Operator, api.EnterpriseAdmin); err != nil {
		return err
	}
	for _, r := range roles {
		if !slices.Contains(roleNames, r.Name) {
			return problem.New(problem.BadValue, "%.40q is no role: take operator, reviewer, enterprise-admin, enterprise-user, application, auditor or regulator",
				"%.40q 不是角色：可用 operator、reviewer、enterprise-admin、enterprise-user、application、auditor、regulator", string(r.Name))
		}
		if !within(r.Prefix, home) {
			return problem.New(problem.BadValue, "an account of %s has roles at %[1]s and below it, not at %[2]s: make an account there", "%s 的账户只能在 %[1]s 及其下级具有角色，不能在 %[2]s：请在那里建立账户", home, r.Prefix)
		}
		switch r.Name {
		case api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor:
			if err := by.Need(r.Prefix, api.Operator, api.EnterpriseAdmin); err != nil {
				return err
			}
		default:
			if err := by.Need(r.Prefix, api.Operator); err != nil {
				return err
			}
		}
	}
	return nil
}

// Roles is what somebody may do at this node: the holder of a prefix's key is operator at the node's own prefix and
// administrator of a hosted one; accounts have their own roles and those of the groups they are in; accounts that are
// kept elsewhere, those of groups here. Nobody known: none. Roles reach no higher than the prefix whose record gives them.
func (a *Accounts) Roles(ctx context.Context, who record.Identity) ([]api.Role, error) {
	if who.IsZero() {
		return nil, nil
	}
	if below, ok := strings.CutPrefix(handle.Fold(who.Name), "0.NA/"); ok {
		// The key of a hosted prefix's administrator stands behind the host's own, which signs for it.
		most := uint32(indexKey + maxPrefixKeys)
		if below != a.prefix {
			most = indexKey + 2*maxPrefixKeys
		}
		if who.Index < indexKey || who.Index >= most {
			return nil, nil
		}
		if _, err := a.place(ctx, below); err != nil {
			return nil, nil
		}
		if below == a.prefix {
			return []api.Role{{Name: api.Operator, Prefix: a.cfg.Prefix}}, nil
		}
		return []api.Role{{Name: api.EnterpriseAdmin, Prefix: below}}, nil
	}
	prefix, k, _, ok := split(who.Name)
	if !ok {
		return nil, nil
	}
	v, err := id.ParseHandle(who.Name)
	if err != nil {
		return nil, nil
	}
	p, err := a.place(ctx, prefix)
	switch {
	case problem.Is(err, problem.NotHere): // an account of elsewhere: what groups give
	case err != nil:
		return nil, err
	case k == userName:
		if u, err := p.users.Get(v); err != nil || u.Disabled {
			return nil, nil
		}
	case k == appName:
		x, err := p.apps.Get(v)
		if err != nil || x.Disabled || !slices.ContainsFunc(x.live(a.cfg.Now()), func(k AppKey) bool { return who.Index == 0 || k.Index == who.Index }) {
			return nil, nil
		}
	}
	return a.given(p, v), nil
}

// given is all the roles that an account has, in use or not: its own, and those of log-in providers and groups. p is
// where it is kept, nil when elsewhere.
func (a *Accounts) given(p *place, v id.ID) []api.Role {
	var roles []api.Role
	add := func(home string, rs []api.Role) {
		for _, r := range rs {
			if within(r.Prefix, home) && !slices.Contains(roles, r) {
				roles = append(roles, r)
			}
		}
	}
	if p != nil {
		if u, err := p.users.Get(v); err == nil {
			add(p.prefix, u.Roles)
			for _, l := range u.Links {
				add(p.prefix, l.Roles)
			}
		}
		if x, err := p.apps.Get(v); err == nil {
			add(p.prefix, x.Roles)
		}
	}
	for _, at := range a.opened() {
		at.groups.Find(func(_ id.ID, g Group) bool {
			if len(g.Roles) > 0 && g.has(v.String()) {
				add(at.prefix, g.Roles)
			}
			return false
		})
	}
	return roles
}

// mayTouch says whether c may change the account v of p: who could give it all the roles that it has. So an
// enterprise's administrator does not get at an operator of the same prefix.
func (a *Accounts) mayTouch(c api.Caller, p *place, v id.ID) error {
	return mayGive(c, p.prefix, a.given(p, v))
}

// opened is the prefixes whose accounts were read.
func (a *Accounts) opened() []*place {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.places))
}

// Caller is who with the roles that they have here.
func (a *Accounts) Caller(ctx context.Context, who record.Identity) (api.Caller, error) {
	roles, err := a.Roles(ctx, who)
	return api.Caller{Identity: who, Roles: roles}, err
}
