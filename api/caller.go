package api

import (
	"context"
	"strings"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// RoleName is what somebody is to a prefix.
type RoleName string

// The roles of a registration office (china.md §1.6).
const (
	Operator        RoleName = "operator"         // 运营者: runs the node; everything at its prefix and below
	Reviewer        RoleName = "reviewer"         // 审核员: vets applications
	EnterpriseAdmin RoleName = "enterprise-admin" // 企业管理员: manages one enterprise's prefix
	EnterpriseUser  RoleName = "enterprise-user"  // 企业用户: registers and edits under it
	Application     RoleName = "application"      // 应用: a program of the enterprise
	Auditor         RoleName = "auditor"          // 审计员: reads audit trails and ledgers, changes nothing
	Regulator       RoleName = "regulator"        // 监管: sees reports and states of all below, changes nothing
)

// Role is a role at a prefix; it holds for the prefixes below too.
type Role struct {
	Name   RoleName `json:"name" enum:"operator,reviewer,enterprise-admin,enterprise-user,application,auditor,regulator" doc:"What somebody is to the prefix"`
	Prefix string   `json:"prefix" doc:"The prefix, as 88.118.1001; the role holds for prefixes below it too"`
}

// Caller is who makes a call.
type Caller struct {
	record.Identity
	Roles   []Role
	Lang    problem.Lang
	Purpose string // the header Fujie-Purpose
}

// Has reports whether the caller has one of the roles at prefix or above it. The node's operator has them all.
func (c Caller) Has(prefix string, names ...RoleName) bool {
	if c.Operator {
		return true
	}
	for _, r := range c.Roles {
		if !under(prefix, r.Prefix) {
			continue
		}
		for _, n := range names {
			if r.Name == n || r.Name == Operator {
				return true
			}
		}
	}
	return false
}

// under reports whether prefix is above or below it.
func under(prefix, above string) bool {
	p, a := handle.Fold(prefix), handle.Fold(above)
	return a != "" && (p == a || strings.HasPrefix(p, a+"."))
}

// Need is nil when the caller has one of the roles at prefix; else problem.NeedAuth for nobody, problem.Forbidden for
// somebody.
func (c Caller) Need(prefix string, names ...RoleName) error {
	switch {
	case c.Has(prefix, names...):
		return nil
	case c.IsAnonymous():
		return problem.New(problem.NeedAuth, "log in first, or sign the request: this is not open to everybody", "请先登录或对请求签名：此操作不对所有人开放")
	}
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	return problem.New(problem.Forbidden, "%s needs the role %s at %s: ask its operator for it", "%s 需要在 %[3]s 具有角色 %[2]s：请向其运营者申请",
		c.Ref.Name, strings.Join(list, " / "), prefix)
}

type callerKey struct{}

// From is who makes the call that ctx belongs to; nobody when none was set.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// With is ctx with the caller c.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}
