package idhub

import (
	"context"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Grants is who may see and edit what. Errors of all: problem.NotFound, BadValue, NeedAuth, Forbidden.
type Grants interface {
	// Class changes what holds for some properties of every record of a template; items are English names.
	Class(ctx context.Context, by record.Identity, template id.ID, g ClassGrant) error
	// Single changes what holds for one record.
	Single(ctx context.Context, by record.Identity, v id.ID, g SingleGrant) error
	// Info is what holds for a template.
	Info(ctx context.Context, by record.Identity, template id.ID) ([]ClassGrant, error)
}

// ClassGrant is what holds for one property of a template, all of them if Item is empty.
type ClassGrant struct {
	Item   string   `json:"item"`
	Edit   bool     `json:"-"` // else reading
	Public bool     `json:"-"`
	Add    []string `json:"handleUsers"`
	Remove []string `json:"removeHandleUsers,omitempty"`

	AuthType int `json:"authType"` // 1 read, 2 edit
	Scope    int `json:"scope"`    // 1 public, 2 those named
}

// SingleGrant is what holds for one record.
type SingleGrant struct {
	Own                       bool // rules of its own; else those of its template
	Public                    bool
	AddReaders, RemoveReaders []string
	AddWriters, RemoveWriters []string
}

const (
	scopePublic = 1
	scopeNamed  = 2
	authRead    = 1
	authEdit    = 2
)

var errGrants = &refusal{codeUnsupported, "本节点不提供授权管理"}

func (s *Server) grantRoutes(closed func(string, func(*call) (any, error))) {
	closed("POST /api/v1/open/classes-grant/item/batch-public", func(c *call) (any, error) {
		if s.Grants == nil {
			return nil, errGrants
		}
		var in struct {
			MetaHandle string   `json:"metaHandle"`
			Scope      int      `json:"scope"`
			Items      []string `json:"items"`
		}
		if err := c.body(&in); err != nil {
			return nil, err
		}
		t, err := parse(in.MetaHandle)
		switch {
		case err != nil:
			return nil, err
		case in.Scope != scopePublic && in.Scope != scopeNamed:
			return nil, bad("scope")
		case len(in.Items) == 0 || len(in.Items) > maxGrants:
			return nil, bad("items")
		}
		for _, item := range in.Items {
			if err := s.Grants.Class(c.r.Context(), c.by, t, ClassGrant{Item: item, Public: in.Scope == scopePublic}); err != nil {
				return nil, metaProblem(err)
			}
		}
		return nil, nil
	})
	closed("POST /api/v1/open/classes-grant/authorization", func(c *call) (any, error) {
		if s.Grants == nil {
			return nil, errGrants
		}
		var in struct {
			MetaHandle string       `json:"metaHandle"`
			AccessList []ClassGrant `json:"accessList"`
		}
		if err := c.body(&in); err != nil {
			return nil, err
		}
		t, err := parse(in.MetaHandle)
		switch {
		case err != nil:
			return nil, err
		case len(in.AccessList) == 0 || len(in.AccessList) > maxGrants:
			return nil, bad("accessList")
		}
		// All are looked at before one is done.
		for i := range in.AccessList {
			g := &in.AccessList[i]
			switch {
			case g.AuthType != authRead && g.AuthType != authEdit:
				return nil, bad("authType")
			case g.Scope != scopePublic && g.Scope != scopeNamed, g.AuthType == authEdit && g.Scope == scopePublic:
				return nil, bad("scope") // editing is never for everybody
			}
			if err := grantees(g.Add, g.Remove); err != nil {
				return nil, err
			}
			g.Edit, g.Public = g.AuthType == authEdit, g.Scope == scopePublic
		}
		for _, g := range in.AccessList {
			if err := s.Grants.Class(c.r.Context(), c.by, t, g); err != nil {
				return nil, metaProblem(err)
			}
		}
		return nil, nil
	})
	closed("GET /api/v1/open/meta/grant/info", func(c *call) (any, error) {
		if s.Grants == nil {
			return nil, errGrants
		}
		t, err := parse(c.r.URL.Query().Get("metaHandle"))
		if err != nil {
			return nil, err
		}
		list, err := s.Grants.Info(c.r.Context(), c.by, t)
		for i := range list {
			g := &list[i]
			g.AuthType, g.Scope = authRead, scopeNamed
			if g.Edit {
				g.AuthType = authEdit
			}
			if g.Public {
				g.Scope = scopePublic
			}
		}
		return list, metaProblem(err)
	})
	closed("POST /api/v1/single-handle/authorization", func(c *call) (any, error) {
		if s.Grants == nil {
			return nil, errGrants
		}
		var in struct {
			Handle        string   `json:"handle"`
			GrantType     int      `json:"grantType"` // 1 as its class, 2 of its own
			ReaderScope   int      `json:"readerScope"`
			Readers       []string `json:"handleUserReaders"`
			Writers       []string `json:"handleUserWriters"`
			RemoveReaders []string `json:"delHandleUserReaders"`
			RemoveWriters []string `json:"delHandleUserWriters"`
		}
		if err := c.body(&in); err != nil {
			return nil, err
		}
		v, err := parse(in.Handle)
		switch {
		case err != nil:
			return nil, err
		case in.GrantType != 1 && in.GrantType != 2:
			return nil, bad("grantType")
		case in.GrantType == 2 && in.ReaderScope != scopePublic && in.ReaderScope != scopeNamed:
			return nil, bad("readerScope")
		}
		if err := grantees(in.Readers, in.Writers, in.RemoveReaders, in.RemoveWriters); err != nil {
			return nil, err
		}
		err = s.Grants.Single(c.r.Context(), c.by, v, SingleGrant{Own: in.GrantType == 2, Public: in.ReaderScope == scopePublic,
			AddReaders: in.Readers, RemoveReaders: in.RemoveReaders, AddWriters: in.Writers, RemoveWriters: in.RemoveWriters})
		if k := problem.KindOf(err); err != nil && (k == problem.NotAdmin || k == problem.Forbidden) {
			return nil, &refusal{codeRights, "无权授权"}
		}
		return nil, err
	})
}

// grantees checks that each is an application or a group.
func grantees(lists ...[]string) error {
	for _, list := range lists {
		if len(list) > maxGrants {
			return bad("handleUsers")
		}
		for _, name := range list {
			v, err := parse(name)
			if err != nil {
				return err
			}
			if s := strings.ToUpper(v.Suffix()); !strings.HasPrefix(s, "APP_") && !strings.HasPrefix(s, "GROUP_") && !strings.HasPrefix(s, "USER_") {
				return &refusal{codeNotApp, "被授权方不是应用身份: " + clip(name)}
			}
		}
	}
	return nil
}
