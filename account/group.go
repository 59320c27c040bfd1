package account

import (
	"context"
	"slices"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Group is a group's account, as its record keeps it. Members are identifiers, of this prefix or any other: those of
// users and programs, and whole prefixes.
type Group struct {
	Title   string     `json:"title,omitempty"`
	Roles   []api.Role `json:"roles,omitempty"` // what every member is
	Members []string   `json:"members,omitempty"`
	Private bool       `json:"private,omitempty"` // who is in it is for the prefix's administrators only
	Made    time.Time  `json:"made"`
}

const maxMembers = 2000

func groupValues(v id.ID, g Group) []record.Value {
	refs := make([]record.Ref, len(g.Members))
	for i, m := range g.Members {
		refs[i] = record.Ref{Name: m} // any key of theirs
	}
	perm := record.DefaultPerm
	if g.Private {
		perm = record.AdminRead | record.AdminWrite
	}
	return []record.Value{admin(v), {Index: indexVList, Type: record.TypeVList, Data: record.AppendVList(nil, refs), Perm: perm, TTL: record.TTL{Seconds: keyTTL}}}
}

// checkMembers gives the members without those that stand twice.
func checkMembers(members []string) ([]string, error) {
	if len(members) > maxMembers {
		return nil, problem.New(problem.TooLarge, "a group takes at most %d members: make several", "一个群组最多 %d 个成员：请分为多个", maxMembers)
	}
	var out []string
	for _, m := range members {
		if _, err := id.ParseHandle(m); err != nil {
			return nil, problem.Wrap(err, problem.BadValue, "%.80q is no member: write a user's or program's identifier, or a prefix", "%.80q 不能作成员：请写用户或应用的标识，或前缀", m)
		}
		if _, k, _, ok := split(m); ok && k == groupName {
			return nil, problem.New(problem.BadValue, "%s is a group: a group has users, programs and prefixes as members", "%s 是群组：群组的成员应为用户、应用或前缀", m)
		}
		if !slices.ContainsFunc(out, func(o string) bool { return handle.Equal(o, m) }) {
			out = append(out, m)
		}
	}
	return out, nil
}

// has reports whether name, or the prefix it is under, is a member.
func (g Group) has(name string) bool {
	for _, m := range g.Members {
		if handle.Equal(m, name) {
			return true
		}
		if prefix, _, _, ok := split(name); ok && handle.Equal(m, prefix) {
			return true
		}
	}
	return false
}

// CreateGroup makes the group g (but for Made) on behalf of by. Errors as of CreateUser.
func (a *Accounts) CreateGroup(ctx context.Context, by api.Caller, prefix, name string, g Group) (v id.ID, err error) {
	p, err := a.place(ctx, prefix)
	if err != nil {
		return v, err
	}
	if err := checkName(name); err != nil {
		return v, err
	}
	if err := checkTitle(g.Title); err != nil {
		return v, err
	}
	if g.Members, err = checkMembers(g.Members); err != nil {
		return v, err
	}
	if err := mayGive(by, prefix, g.Roles); err != nil {
		return v, err
	}
	if v, err = p.groups.ID(name); err != nil {
		return v, err
	}
	g.Made = a.cfg.Now()
	return v, p.groups.Create(ctx, by.Identity, v, g)
}

func (a *Accounts) changeGroup(ctx context.Context, by record.Identity, v id.ID, change func(*Group) error) (Group, error) {
	prefix, k, _, ok := split(v.String())
	if !ok || k != groupName {
		return Group{}, problem.New(problem.NotFound, "%s is no group: write PREFIX/Group_NAME", "%s 不是群组：请写成 前缀/Group_名称", v)
	}
	p, err := a.place(ctx, prefix)
	if err != nil {
		return Group{}, err
	}
	return p.groups.Change(ctx, by, v, change)
}

// InGroup reports whether an account, named by its identifier, is in a group of a prefix that is read here; a member is named
// itself, or by its prefix.
func (a *Accounts) InGroup(group, name string) bool {
	for _, p := range a.opened() {
		v, err := id.ParseHandle(group)
		if err != nil || !handle.Equal(v.Prefix(), p.prefix) {
			continue
		}
		g, err := p.groups.Get(v)
		return err == nil && g.has(name)
	}
	return false
}

// RemoveGroup takes a group away on behalf of by. Errors: problem.NotFound; as of CreateGroup.
func (a *Accounts) RemoveGroup(ctx context.Context, by api.Caller, v id.ID) error {
	p, err := a.place(ctx, v.Prefix())
	if err != nil {
		return err
	}
	g, err := p.groups.Get(v)
	if err != nil {
		return err
	}
	if err := mayGive(by, v.Prefix(), g.Roles); err != nil {
		return err
	}
	return p.groups.Remove(ctx, by.Identity, v)
}
