package office

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record/document"
)

// View is an application as callers see it.
type View struct {
	ID        string    `json:"id" doc:"Its identifier, as 88.118/APPLY_000001"`
	State     State     `json:"state" enum:"draft,submitted,in-review,approved,refused,withdrawn,active,suspended,revoked" doc:"Where it stands"`
	Applicant string    `json:"applicant" doc:"Whose application it is"`
	Form      Form      `json:"form"`
	Warnings  []Warning `json:"warnings,omitempty" doc:"What a reviewer must look at (警示); shown to reviewers only"`
	Events    []Event   `json:"events" doc:"Everything that happened to it, each signed by the office's key"`
	Notices   []Notice  `json:"notices,omitempty" doc:"What the applicant is to know (通知)"`
	Pending   string    `json:"pending,omitempty" doc:"What was decided and is being done: approve, suspend, resume, revoke, move"`
	Trouble   string    `json:"trouble,omitempty" doc:"Why that is not done yet; it is tried again"`
	Until     time.Time `json:"until,omitzero" doc:"The end of its term (有效期至)"`
	FreeAgain time.Time `json:"freeAgain,omitzero" doc:"Revoked: until when nobody gets the prefix"`
	Timing    Timing    `json:"timing,omitzero" doc:"How soon the prefix resolved (注册生效时长)"`
	Move      *Move     `json:"move,omitempty" doc:"How far its move is, or how the last one went (迁移进度)"`
}

// View is p as c sees it.
func (o *Office) View(c api.Caller, p Paper) View {
	a := &p.Paper
	v := View{ID: p.ID.String(), State: a.State, Applicant: a.Applicant, Form: a.Form, Events: a.Events, Notices: a.Notices,
		Until: a.Until, FreeAgain: a.FreeAgain, Timing: a.Timing}
	if a.Task != nil {
		v.Pending, v.Trouble = a.Task.What, a.Task.Error
	}
	if v.Move = a.LastMoved; a.Task != nil && a.Task.Move != nil {
		v.Move = a.Task.Move
	}
	if c.Has(o.cfg.Prefix, api.Reviewer, api.Auditor, api.Regulator) {
		v.Warnings = a.Warnings
	}
	return v
}

// HolderView is an organisation as callers see it.
type HolderView struct {
	ID           string       `json:"id" doc:"Its identifier, as 88.118/ORG_91320100MA1ABCDE1X"`
	Organisation Organisation `json:"organisation"`
	Prefixes     []string     `json:"prefixes"`
	Since        time.Time    `json:"since"`
	Changed      time.Time    `json:"changed"`
}

// PrefixView is a prefix that this office gave.
type PrefixView struct {
	Prefix       string    `json:"prefix"`
	State        State     `json:"state" enum:"approved,active,suspended"`
	Kind         Kind      `json:"kind" enum:"self-hosted,hosted"`
	OrgName      string    `json:"orgName"`
	Organisation string    `json:"organisation" doc:"The identifier of its holder"`
	Application  string    `json:"application" doc:"The identifier of its file"`
	Until        time.Time `json:"until"`
	Timing       Timing    `json:"timing,omitzero"`
}

// Info is what everybody may know of an office.
type Info struct {
	Prefix string `json:"prefix" doc:"Below which it gives prefixes: 88.118"`
	Key    []byte `json:"key" doc:"Its public key, base64 of HS_PUBKEY data; it signs every step of an application"`
	Ref    string `json:"ref" doc:"Where the key stands: 300:0.NA/88.118"`
	Hosts  bool   `json:"hosts" doc:"It takes hosted prefixes (托管)"`
	TermS  int64  `json:"termSeconds" doc:"How long a prefix is given for"`
}

// Info says whose office it is.
func (o *Office) Info() Info {
	return Info{Prefix: o.cfg.Prefix, Key: o.cfg.Key.Public().Data(), Ref: o.ref().String(), Hosts: o.cfg.Host != nil && o.cfg.Site != nil, TermS: int64(o.cfg.Term / time.Second)}
}

// NewApplication is the body of POST /api/prefix-applications.
type NewApplication struct {
	Form   *Form  `json:"form,omitempty" doc:"The form, of a caller who has an account here"`
	Signed string `json:"signed,omitempty" maxLength:"131072" doc:"In its place, of everybody else: a compact JWS of {\"aud\": the office's prefix, \"iat\": seconds since 1970, \"form\": the form} by the key that the form names"`
	Draft  bool   `json:"draft,omitempty" doc:"Keep it as a draft; nothing is claimed before it is submitted"`
}

// Reason is the body of what is done to an application.
type Reason struct {
	Reason string   `json:"reason,omitempty" maxLength:"500" doc:"Why (理由); refusing, suspending and revoking need it"`
	Accept []string `json:"accept,omitempty" maxItems:"50" doc:"Approving: the codes of the warnings that you looked at and accept"`
	Days   int      `json:"days,omitempty" minimum:"0" maximum:"7400" doc:"Renewing: for how many days; 0 is the office's term"`
}

// FreezeRequest is the body of POST /api/freezes.
type FreezeRequest struct {
	Prefix  string `json:"prefix" maxLength:"64"`
	Seconds int    `json:"seconds" minimum:"0" maximum:"864000" doc:"For how long; 0 lets writes in again"`
}

// ApplicationPath is the application in a path.
type ApplicationPath struct {
	Application string `path:"application" maxLength:"64" doc:"The number of the application, or its suffix: 1, Apply_000001"`
}

type actInput struct {
	ApplicationPath
	IfMatch string  `header:"If-Match" doc:"The ETag that you read; refused with 412 when somebody changed it since"`
	Body    *Reason `required:"false"`
}

// id reads the application's number.
func (o *Office) id(s string) (id.ID, error) {
	if rest, ok := strings.CutPrefix(handle.Fold(s), "APPLY_"); ok {
		s = rest
	}
	if s == "" || len(s) > 12 || strings.Trim(s, "0123456789") != "" {
		return id.ID{}, problem.New(problem.NotFound, "%.20q is no application; give its number", "%.20q 不是申请；请给出其编号", s)
	}
	for len(s) < 6 {
		s = "0" + s
	}
	return o.apps.ID(s)
}

// Register adds the office's operations to the interface.
func (o *Office) Register(a *api.API) {
	tag := []string{"office"}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/office", Tags: tag, Summary: "Whose office this is (登记机构)"},
		func(ctx context.Context, _ *struct{}) (*api.Body[Info], error) {
			return &api.Body[Info]{Body: o.Info()}, nil
		})

	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/prefix-applications", Tags: tag, DefaultStatus: http.StatusCreated,
		Summary:     "Apply for a prefix (前缀申请)",
		Description: "Of two applications for one prefix the first that is submitted claims it; the other is refused with 409. Who has no account signs the form with the key that it names, and is from then on 300: and the application's identifier."},
		func(ctx context.Context, in *struct{ Body NewApplication }) (*api.Tagged[View], error) {
			c, f := api.From(ctx), in.Body.Form
			switch {
			case (f == nil) == (in.Body.Signed == ""):
				return nil, problem.New(problem.BadRequest, "send a form, or a signed one, and not both", "请提交表单或已签名的表单，二者择一")
			case f == nil:
				var err error
				if f, err = o.openForm(in.Body.Signed); err != nil {
					return nil, err
				}
				c.Identity, c.Roles = noOne, nil
			case c.IsAnonymous():
				return nil, problem.New(problem.NeedAuth, "log in first, or send the form signed by the key that it names", "请先登录，或提交由表单所列密钥签名的申请")
			}
			p, err := o.Apply(ctx, c, *f, in.Body.Draft)
			if err != nil {
				return nil, err
			}
			return api.Tag(o.View(c, p)), nil
		})

	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/prefix-applications", Tags: tag, Summary: "List applications",
		Description: "Reviewers, auditors and regulators see all of the office's; others their own."},
		func(ctx context.Context, in *struct {
			api.PageInput
			State  []State `query:"state,explode" doc:"Only those in these states"`
			Prefix string  `query:"prefix" maxLength:"64" doc:"Only those for this prefix"`
		}) (*api.Body[api.Page[View]], error) {
			c := api.From(ctx)
			list, next := o.List(c, in.After, in.Limit, in.State, in.Prefix)
			out := &api.Body[api.Page[View]]{Body: api.Page[View]{Items: []View{}, Next: next}}
			for _, p := range list {
				out.Body.Items = append(out.Body.Items, o.View(c, p))
			}
			return out, nil
		})

	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/prefix-applications/{application}", Tags: tag, Summary: "One application"},
		func(ctx context.Context, in *ApplicationPath) (*api.Tagged[View], error) {
			v, err := o.id(in.Application)
			if err != nil {
				return nil, err
			}
			c := api.From(ctx)
			p, err := o.Get(c, v)
			if err != nil {
				return nil, err
			}
			return api.Tag(o.View(c, p)), nil
		})

	api.Do(a, huma.Operation{Method: http.MethodPut, Path: "/api/prefix-applications/{application}", Tags: tag, Summary: "Correct an application",
		Description: "A draft, one that is not in review yet, or one that was refused."},
		func(ctx context.Context, in *struct {
			ApplicationPath
			IfMatch string `header:"If-Match"`
			Body    Form
		}) (*api.Tagged[View], error) {
			v, err := o.id(in.Application)
			if err != nil {
				return nil, err
			}
			c := api.From(ctx)
			p, err := o.Correct(ctx, c, v, in.Body, in.IfMatch)
			if err != nil {
				return nil, err
			}
			return api.Tag(o.View(c, p)), nil
		})

	act := func(what, summary, description string, do func(ctx context.Context, c api.Caller, v id.ID, r Reason, ifMatch string) (Paper, error)) {
		api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/prefix-applications/{application}/" + what, Tags: tag, Summary: summary, Description: description,
			Errors: []int{400, 401, 403, 404, 409, 412, 503}},
			func(ctx context.Context, in *actInput) (*api.Tagged[View], error) {
				v, err := o.id(in.Application)
				if err != nil {
					return nil, err
				}
				var r Reason
				if in.Body != nil {
					r = *in.Body
				}
				c := api.From(ctx)
				p, err := do(ctx, c, v, r, in.IfMatch)
				if err != nil {
					return nil, err
				}
				return api.Tag(o.View(c, p)), nil
			})
	}
	act("submit", "Submit a draft (提交)", "From then on it claims its prefix.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Submit(ctx, c, v, m)
	})
	act("withdraw", "Withdraw an application (撤回)", "Its claim ends.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Withdraw(ctx, c, v, r.Reason, m)
	})
	act("review", "Take an application into review (受理)", "A reviewer's. The applicant cannot change it any more.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Review(ctx, c, v, r.Reason, m)
	})
	act("approve", "Approve an application (批准)", "A reviewer's. The prefix is delegated at once; timing says how soon it resolved. Warnings must be accepted by their codes.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Approve(ctx, c, v, r.Reason, r.Accept, m)
	})
	act("refuse", "Refuse an application (驳回)", "A reviewer's, with a reason. The prefix is free again.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Refuse(ctx, c, v, r.Reason, m)
	})
	act("suspend", "Suspend a prefix (停用)", "The operator's, with a reason. Resolution says that it is suspended; nothing is deleted.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Suspend(ctx, c, v, r.Reason, m)
	})
	act("resume", "Resume a suspended prefix (恢复)", "The operator's.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Resume(ctx, c, v, r.Reason, m)
	})
	act("revoke", "Revoke a prefix (注销)", "The operator's, with a reason. Nobody gets it before its quarantine is over.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Revoke(ctx, c, v, r.Reason, m)
	})
	act("renew", "Renew a prefix (续期)", "A reviewer's.", func(ctx context.Context, c api.Caller, v id.ID, r Reason, m string) (Paper, error) {
		return o.Renew(ctx, c, v, time.Duration(r.Days)*24*time.Hour, r.Reason, m)
	})

	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/prefix-applications/{application}/move", Tags: tag, Summary: "Move a prefix between its host and its own node (迁移)",
		Description: "The owner's or the operator's. To self-hosted, this node copies everything to the new one, which lists the office among its administrators, and goes on answering for the delegation's TTL. To hosted, the owner copies and then says finish. It resolves throughout."},
		func(ctx context.Context, in *struct {
			ApplicationPath
			IfMatch string `header:"If-Match"`
			Body    MoveRequest
		}) (*api.Tagged[View], error) {
			v, err := o.id(in.Application)
			if err != nil {
				return nil, err
			}
			c := api.From(ctx)
			p, err := o.Move(ctx, c, v, in.Body, in.IfMatch)
			if err != nil {
				return nil, err
			}
			return api.Tag(o.View(c, p)), nil
		})

	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/freezes", Tags: tag, DefaultStatus: http.StatusNoContent, Summary: "Refuse writes under a prefix for a time (冻结)",
		Description: "For the last step of a move away from this node. The operator's."},
		func(ctx context.Context, in *struct{ Body FreezeRequest }) (*struct{}, error) {
			p := handle.Fold(in.Body.Prefix)
			if p != o.cfg.Prefix && !strings.HasPrefix(p, o.cfg.Prefix+".") {
				return nil, problem.New(problem.NotHere, "this node does not keep %.64q", "本节点不存放 %.64q", in.Body.Prefix)
			}
			if err := api.From(ctx).Need(o.cfg.Prefix, api.Operator); err != nil {
				return nil, err
			}
			o.Freeze(p, time.Duration(in.Body.Seconds)*time.Second)
			return nil, nil
		})

	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/prefixes-managed", Tags: tag, Summary: "List the prefixes that this office gave (前缀)",
		Description: "Those who work here, auditors and regulators see all; holders their own."},
		func(ctx context.Context, in *struct{ api.PageInput }) (*api.Body[api.Page[PrefixView]], error) {
			c := api.From(ctx)
			list, next := o.List(c, in.After, in.Limit, []State{Approved, Active, Suspended}, "")
			out := &api.Body[api.Page[PrefixView]]{Body: api.Page[PrefixView]{Items: []PrefixView{}, Next: next}}
			for _, p := range list {
				h, err := o.holder(&p.Paper.Organisation)
				if err != nil {
					return nil, err
				}
				out.Body.Items = append(out.Body.Items, PrefixView{Prefix: p.Paper.Prefix, State: p.Paper.State, Kind: p.Paper.Kind, OrgName: p.Paper.Organisation.Name,
					Organisation: h.String(), Application: p.ID.String(), Until: p.Paper.Until, Timing: p.Paper.Timing})
			}
			return out, nil
		})

	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/organisations", Tags: tag, Summary: "List organisations that have prefixes (单位)"},
		func(ctx context.Context, in *struct{ api.PageInput }) (*api.Body[api.Page[HolderView]], error) {
			c := api.From(ctx)
			list, next := o.orgs.Page(in.After, in.Limit, func(_ id.ID, h Holder) bool { return o.maySeeHolder(c, &h) })
			out := &api.Body[api.Page[HolderView]]{Body: api.Page[HolderView]{Items: []HolderView{}, Next: next}}
			for _, p := range list {
				out.Body.Items = append(out.Body.Items, holderView(p))
			}
			return out, nil
		})

	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/organisations/{code}", Tags: tag, Summary: "One organisation"},
		func(ctx context.Context, in *struct {
			Code string `path:"code" maxLength:"64" doc:"Its certificate number, or the suffix of its identifier"`
		}) (*api.Tagged[HolderView], error) {
			code := handle.Fold(in.Code)
			code = strings.TrimPrefix(code, "ORG_")
			v, err := o.orgs.ID(code)
			if err != nil {
				return nil, err
			}
			h, err := o.orgs.Get(v)
			if err != nil {
				return nil, err
			}
			if !o.maySeeHolder(api.From(ctx), &h) {
				return nil, problem.New(problem.NotFound, "%s is not here: check its spelling, or list what there is", "此处没有 %s：请检查拼写，或列出已有的", v)
			}
			return api.Tag(holderView(document.Paper[Holder]{ID: v, Paper: h})), nil
		})
}

func holderView(p document.Paper[Holder]) HolderView {
	return HolderView{ID: p.ID.String(), Organisation: p.Paper.Organisation, Prefixes: slices.Clone(p.Paper.Prefixes), Since: p.Paper.Since, Changed: p.Paper.Changed}
}

func (o *Office) maySeeHolder(c api.Caller, h *Holder) bool {
	if c.Has(o.cfg.Prefix, api.Reviewer, api.Auditor, api.Regulator) {
		return true
	}
	for _, p := range h.Prefixes {
		if c.Has(p, api.EnterpriseAdmin) || handle.Equal(c.Ref.Name, id.PrefixRecord(p).String()) {
			return true
		}
	}
	return false
}
