package policy

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
)

const tagRules = "Permissions (权限)"

// manages is nil when the caller may change the rules of prefix.
func manages(ctx context.Context, prefix string) error {
	return api.From(ctx).Need(prefix, api.EnterpriseAdmin)
}

// reads reports whether the caller may see them, and the audit trail.
func reads(ctx context.Context, prefix string) bool {
	return api.From(ctx).Has(prefix, api.EnterpriseAdmin, api.Auditor)
}

func absent(name string) error {
	return problem.New(problem.NotFound, "%s is not here, or not for you: check its spelling, or log in", "此处没有 %s，或您无权查看：请检查拼写或登录", clip(name))
}

// mine reports whether the caller is whom name names: itself, or its prefix when it is that prefix's key.
func mine(c api.Caller, name string) bool {
	return !c.IsZero() && (handle.Equal(c.Ref.Name, name) || handle.Equal(subject(c.Ref.Name), name))
}

// RequestView is a request for access with its identifier.
type RequestView struct {
	ID string `json:"id"`
	Request
}

// view is the request as the caller sees it: an asker sees the owner's prefix in the place of who decided.
func view(c api.Caller, v id.ID, r Request) RequestView {
	prefix, _, _ := cut(v.String())
	if !c.Has(prefix, api.EnterpriseAdmin, api.Auditor) {
		r.History = append([]Step(nil), r.History...)
		for i := range r.History {
			if by := r.History[i].By; by != r.Key {
				r.History[i].By = prefix
			}
		}
	}
	return RequestView{v.String(), r}
}

// Operations adds this room's operations.
func (p *Policy) Operations(to *api.API) {
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/policies", Summary: "List the rules about classes and records (权限规则)", Tags: []string{tagRules},
		Description: "Every rule of a prefix: who may read and edit, by template, property and identifier, with the same in the Cedar language. For the prefix's administrators and auditors; others get an empty list."},
		func(ctx context.Context, in *struct {
			api.PageInput
			Prefix string `query:"prefix" required:"true" maxLength:"255"`
		}) (*api.Body[api.Page[Stated]], error) {
			out := &api.Body[api.Page[Stated]]{}
			out.Body.Items = []Stated{}
			if !reads(ctx, in.Prefix) {
				return out, nil
			}
			all, err := p.All(ctx, in.Prefix)
			if err != nil {
				return nil, err
			}
			from := 0
			if in.After != "" {
				if from, err = strconv.Atoi(in.After); err != nil || from < 0 {
					return nil, problem.New(problem.BadRequest, "after is no cursor: give next of the page before", "after 不是游标：请使用上一页的 next")
				}
			}
			from = min(from, len(all))
			end := min(len(all), from+in.Limit)
			out.Body.Items = append(out.Body.Items, all[from:end]...)
			if end < len(all) {
				out.Body.Next = strconv.Itoa(end)
			}
			return out, nil
		})
	type Named struct {
		Prefix string `path:"prefix" maxLength:"255"`
		Name   string `path:"name" maxLength:"100"`
	}
	paper := func(in *Named) (id.ID, error) {
		v, err := id.ParseHandle(in.Prefix + "/" + policyName + in.Name)
		if err != nil {
			return v, absent(in.Name)
		}
		return v, nil
	}
	get := func(ctx context.Context, in *Named) (Stated, error) {
		v, err := paper(in)
		if err != nil || !reads(ctx, in.Prefix) {
			return Stated{}, absent(in.Name)
		}
		x, err := p.place(ctx, in.Prefix)
		if err != nil {
			return Stated{}, absent(in.Name)
		}
		r, err := x.policies.Get(v)
		if err != nil {
			return Stated{}, absent(in.Name)
		}
		return Stated{v.String(), 0, r.Rule, r.Rule.Cedar(v.String())}, nil
	}
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/policies/{prefix}/{name}", Summary: "Show a rule about a class", Tags: []string{tagRules}},
		func(ctx context.Context, in *Named) (*api.Tagged[Stated], error) {
			s, err := get(ctx, in)
			if err != nil {
				return nil, err
			}
			return api.Tag(s), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPut, Path: "/api/policies/{prefix}/{name}", Summary: "Make or replace a rule about a class (类级、属性级权限)", Tags: []string{tagRules},
		Description: "The narrower rule wins: identifier before property before template before prefix. It holds from the answer on."},
		func(ctx context.Context, in *struct {
			Named
			IfMatch string `header:"If-Match"`
			Body    Rule
		}) (*api.Tagged[Stated], error) {
			if err := manages(ctx, in.Prefix); err != nil {
				return nil, err
			}
			p.editing.Lock()
			defer p.editing.Unlock()
			if in.IfMatch != "" {
				old, err := get(ctx, &in.Named)
				if err == nil {
					err = api.Match(in.IfMatch, old)
				}
				if err != nil {
					return nil, err
				}
			}
			s, err := p.SetPaper(ctx, api.From(ctx).Identity, in.Prefix, in.Name, in.Body)
			if err != nil {
				return nil, err
			}
			return api.Tag(s), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodDelete, Path: "/api/policies/{prefix}/{name}", Summary: "Take a rule about a class away", Tags: []string{tagRules}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *Named) (*struct{}, error) {
			if err := manages(ctx, in.Prefix); err != nil {
				return nil, err
			}
			v, err := paper(in)
			if err != nil {
				return nil, err
			}
			p.editing.Lock()
			defer p.editing.Unlock()
			return nil, p.RemovePaper(ctx, api.From(ctx).Identity, v)
		})

	type OfRecord struct {
		ID string `query:"id" required:"true" maxLength:"2048" doc:"The record's identifier"`
	}
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/rules", Summary: "Show the rules of one identifier (单标识权限)", Tags: []string{tagRules}},
		func(ctx context.Context, in *OfRecord) (*api.Tagged[[]Stated], error) {
			v, err := id.ParseHandle(in.ID)
			if err != nil || v.IsPrefix() || !reads(ctx, v.Prefix()) {
				return nil, absent(in.ID)
			}
			s, err := p.ownRules(ctx, v)
			if problem.Is(err, problem.NotFound) {
				s, err = []Stated{}, nil
			}
			if err != nil {
				return nil, err
			}
			return api.Tag(s), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPut, Path: "/api/rules", Summary: "Set the rules of one identifier", Tags: []string{tagRules},
		Description: "They replace those that the record has; an empty list takes them all away."},
		func(ctx context.Context, in *struct {
			OfRecord
			IfMatch string `header:"If-Match"`
			Body    []Rule `maxItems:"100"`
		}) (*api.Tagged[[]Stated], error) {
			v, err := id.ParseHandle(in.ID)
			if err != nil {
				return nil, err
			}
			if err := manages(ctx, v.Prefix()); err != nil {
				return nil, err
			}
			p.editing.Lock()
			defer p.editing.Unlock()
			stated := func() ([]Stated, error) {
				s, err := p.ownRules(ctx, v)
				if problem.Is(err, problem.NotFound) {
					s, err = []Stated{}, nil
				}
				return s, err
			}
			if in.IfMatch != "" {
				old, err := stated()
				if err == nil {
					err = api.Match(in.IfMatch, old)
				}
				if err != nil {
					return nil, err
				}
			}
			if err := p.SetOwn(ctx, api.From(ctx).Identity, v, in.Body); err != nil {
				return nil, err
			}
			s, err := stated()
			if err != nil {
				return nil, err
			}
			return api.Tag(s), nil
		})

	p.grantOperations(to)
	p.requestOperations(to)

	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/audit", Summary: "Read the audit trail of a prefix (审计)", Tags: []string{tagRules},
		Description: "Who saw or changed what is not public, the newest first. For the prefix's administrators and auditors; others get an empty list. Nobody can change it: each entry has the digest of the one before, and all are in the node's ledger."},
		func(ctx context.Context, in *struct {
			api.PageInput
			Prefix string `query:"prefix" required:"true" maxLength:"255"`
			ID     string `query:"id" maxLength:"2048" doc:"Of this record only"`
			Who    string `query:"who" maxLength:"2048" doc:"Of this asker only: an identifier"`
		}) (*api.Body[api.Page[Access]], error) {
			out := &api.Body[api.Page[Access]]{}
			out.Body.Items = []Access{}
			if !reads(ctx, in.Prefix) {
				return out, nil
			}
			before := uint64(0)
			if in.After != "" {
				var err error
				if before, err = strconv.ParseUint(in.After, 10, 64); err != nil {
					return nil, problem.New(problem.BadRequest, "after is no cursor: give next of the page before", "after 不是游标：请使用上一页的 next")
				}
			}
			items, err := p.Audit.Of(ctx, in.Prefix, before, in.Limit+1, func(a Access) bool {
				if in.ID != "" && !handle.Equal(a.ID, in.ID) {
					return false
				}
				_, name, _ := strings.Cut(a.Who, ":")
				return in.Who == "" || handle.Equal(name, in.Who)
			})
			if err != nil {
				return nil, err
			}
			if len(items) > in.Limit {
				items = items[:in.Limit]
				out.Body.Next = strconv.FormatUint(items[in.Limit-1].Seq, 10)
			}
			out.Body.Items = append(out.Body.Items, items...)
			return out, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/notices", Summary: "Read what became of one's grants and requests (通知)", Tags: []string{tagRules},
		Description: "For the caller; with prefix, for that prefix's administrators: requests for access to it, and grants to it."},
		func(ctx context.Context, in *struct {
			api.PageInput
			Prefix string `query:"prefix" maxLength:"255"`
		}) (*api.Body[api.Page[Notice]], error) {
			out := &api.Body[api.Page[Notice]]{}
			out.Body.Items = []Notice{}
			c := api.From(ctx)
			to := subject(c.Ref.Name)
			if in.Prefix != "" {
				if !c.Has(in.Prefix, api.EnterpriseAdmin) && !mine(c, in.Prefix) {
					return out, nil
				}
				to = in.Prefix
			}
			if to == "" {
				return out, nil
			}
			after := uint64(0)
			if in.After != "" {
				var err error
				if after, err = strconv.ParseUint(in.After, 10, 64); err != nil {
					return nil, problem.New(problem.BadRequest, "after is no cursor: give next of the page before", "after 不是游标：请使用上一页的 next")
				}
			}
			items, err := p.noticesOf(ctx, to, after, in.Limit+1)
			if err != nil {
				return nil, err
			}
			if len(items) > in.Limit {
				items = items[:in.Limit]
				out.Body.Next = strconv.FormatUint(items[in.Limit-1].Seq, 10)
			}
			out.Body.Items = append(out.Body.Items, items...)
			return out, nil
		})
}

// GrantView is a grant and what it is about.
type GrantView struct {
	Grant
	Prefix string `json:"prefix" doc:"Whose it is"`
	Target Target `json:"target"`
}

func (p *Policy) grantOperations(to *api.API) {
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/grants", Summary: "List grants (授权)", Tags: []string{tagRules},
		Description: "The prefix's administrators and auditors see all; others those that name them, or the prefix whose key they hold."},
		func(ctx context.Context, in *struct {
			api.PageInput
			Prefix string `query:"prefix" required:"true" maxLength:"255" doc:"The owner's"`
		}) (*api.Body[api.Page[GrantView]], error) {
			out := &api.Body[api.Page[GrantView]]{}
			out.Body.Items = []GrantView{}
			c := api.From(ctx)
			if c.IsAnonymous() {
				return out, nil
			}
			all, err := p.All(ctx, in.Prefix)
			if err != nil {
				if !reads(ctx, in.Prefix) {
					return out, nil
				}
				return nil, err
			}
			passed := in.After == ""
			owner := reads(ctx, in.Prefix)
			for _, s := range all {
				t := Target{ID: s.Source, Items: s.Items}
				if s.Index == 0 {
					t = Target{Template: s.Template, Prefix: in.Prefix, Items: s.Items}
				}
				for _, g := range s.Grants {
					if !owner {
						to := g.To[:0:0]
						for _, who := range g.To {
							if mine(c, who) {
								to = append(to, who)
							}
						}
						if len(to) == 0 || g.Refuse {
							continue
						}
						g.To, g.By, g.Receipts = to, "", nil
					}
					if !passed {
						passed = g.ID == in.After
						continue
					}
					if len(out.Body.Items) == in.Limit {
						out.Body.Next = out.Body.Items[in.Limit-1].ID
						return out, nil
					}
					out.Body.Items = append(out.Body.Items, GrantView{g, in.Prefix, t})
				}
			}
			return out, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/grants", Summary: "Grant somebody reading or editing", Tags: []string{tagRules}, DefaultStatus: http.StatusCreated,
		Description: "About one identifier or all records of a template, all of it or some properties. Whom it names is told by a notice."},
		func(ctx context.Context, in *struct {
			Body struct {
				Target Target `json:"target"`
				Grant
			}
		}) (*api.Body[GrantView], error) {
			prefix, _, err := in.Body.Target.owner()
			if err != nil {
				return nil, err
			}
			if err := manages(ctx, prefix); err != nil {
				return nil, err
			}
			g, err := p.Add(ctx, api.From(ctx).Identity, in.Body.Target, in.Body.Grant)
			if err != nil {
				return nil, err
			}
			return &api.Body[GrantView]{Body: GrantView{g, prefix, in.Body.Target}}, nil
		})
	type One struct {
		Prefix string `path:"prefix" maxLength:"255"`
		Grant  string `path:"grant" maxLength:"64"`
	}
	api.Do(to, huma.Operation{Method: http.MethodDelete, Path: "/api/grants/{prefix}/{grant}", Summary: "Revoke a grant (撤销授权)", Tags: []string{tagRules}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			One
			Reason string `query:"reason" maxLength:"1000" doc:"Told to whom it named"`
		}) (*struct{}, error) {
			if err := manages(ctx, in.Prefix); err != nil {
				return nil, err
			}
			return nil, p.Revoke(ctx, api.From(ctx).Identity, in.Prefix, in.Grant, in.Reason)
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/grants/{prefix}/{grant}/receipts", Summary: "Say that somebody paid for a grant (付费)", Tags: []string{tagRules}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			One
			Body Receipt
		}) (*struct{}, error) {
			if err := manages(ctx, in.Prefix); err != nil {
				return nil, err
			}
			return nil, p.Pay(ctx, api.From(ctx).Identity, in.Prefix, in.Grant, in.Body)
		})
}

const requestsPath = "/api/access-requests"

// RequestName names a request.
type RequestName struct {
	Prefix  string `path:"prefix" maxLength:"255"`
	Request string `path:"request" maxLength:"64"`
}

func (r *RequestName) path(more string) string {
	return requestsPath + "/" + url.PathEscape(r.Prefix) + "/" + url.PathEscape(r.Request) + more
}

// elsewhere reports whether the requests about a prefix are kept by another enterprise's node, which can be asked.
func (p *Policy) elsewhere(ctx context.Context, prefix string) bool {
	if p.cfg.Elsewhere == nil {
		return false
	}
	_, err := p.place(ctx, prefix)
	return problem.Is(err, problem.NotHere)
}

func (p *Policy) requestOperations(to *api.API) {
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/access-requests", Summary: "Ask for access (申请访问)", Tags: []string{tagRules}, DefaultStatus: http.StatusCreated,
		Description: "To one identifier, or to a template's records. For what another enterprise keeps, this node asks that one's in the name of this enterprise, on behalf of its people and programs. It is taken whether there is such a record or not; what becomes of it is told by notices."},
		func(ctx context.Context, in *struct {
			Body struct {
				Target  Target     `json:"target"`
				Actions []Action   `json:"actions,omitempty" enum:"read,edit" doc:"read if absent"`
				Purpose string     `json:"purpose,omitempty" maxLength:"100"`
				Text    string     `json:"text,omitempty" maxLength:"4000" doc:"For the owner"`
				Until   *time.Time `json:"until,omitempty" doc:"How long it is wanted"`
			}
		}) (*api.Body[RequestView], error) {
			c := api.From(ctx)
			if owner, _, err := in.Body.Target.owner(); err == nil && p.elsewhere(ctx, owner) {
				out := &api.Body[RequestView]{}
				return out, p.cfg.Elsewhere(ctx, c, owner, http.MethodPost, requestsPath, in.Body, &out.Body)
			}
			v, r, err := p.Ask(ctx, c.Identity, Request{Target: in.Body.Target, Actions: in.Body.Actions, Purpose: in.Body.Purpose, Text: in.Body.Text, Until: in.Body.Until})
			if err != nil {
				return nil, err
			}
			return &api.Body[RequestView]{Body: view(c, v, r)}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/access-requests", Summary: "List requests for access", Tags: []string{tagRules},
		Description: "To the records of a prefix: all for its administrators and auditors, their own for others. For the prefix of another enterprise: what this one asked of it."},
		func(ctx context.Context, in *struct {
			api.PageInput
			Prefix string `query:"prefix" required:"true" maxLength:"255"`
			State  State  `query:"state" enum:"open,granted,refused,withdrawn,revoked,expired"`
		}) (*api.Body[api.Page[RequestView]], error) {
			out := &api.Body[api.Page[RequestView]]{}
			out.Body.Items = []RequestView{}
			c := api.From(ctx)
			if c.IsAnonymous() {
				return out, nil
			}
			if p.elsewhere(ctx, in.Prefix) {
				q := url.Values{"prefix": {in.Prefix}, "after": {in.After}, "limit": {strconv.Itoa(in.Limit)}, "state": {string(in.State)}}
				maps.DeleteFunc(q, func(_ string, v []string) bool { return v[0] == "" })
				err := p.cfg.Elsewhere(ctx, c, in.Prefix, http.MethodGet, requestsPath+"?"+q.Encode(), nil, &out.Body)
				if problem.Is(err, problem.NotHere) {
					err = nil // not one of ours: there is nothing for them
				}
				return out, err
			}
			x, err := p.place(ctx, in.Prefix)
			if err != nil {
				return out, nil
			}
			owner := reads(ctx, in.Prefix)
			page, next := x.requests.Page(in.After, in.Limit, func(_ id.ID, r Request) bool {
				return (owner || mine(c, r.Asker)) && (in.State == "" || r.State == in.State)
			})
			for _, r := range page {
				out.Body.Items = append(out.Body.Items, view(c, r.ID, r.Paper))
			}
			out.Body.Next = next
			return out, nil
		})
	find := func(ctx context.Context, in *RequestName) (id.ID, Request, error) {
		v, err := id.ParseHandle(in.Prefix + "/" + requestName + in.Request)
		if err != nil {
			return v, Request{}, absent(in.Request)
		}
		x, err := p.place(ctx, in.Prefix)
		if err != nil {
			return v, Request{}, absent(in.Request)
		}
		r, err := x.requests.Get(v)
		if err != nil || !reads(ctx, in.Prefix) && !mine(api.From(ctx), r.Asker) {
			return v, Request{}, absent(in.Request)
		}
		return v, r, nil
	}
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/access-requests/{prefix}/{request}", Summary: "Show a request for access", Tags: []string{tagRules}},
		func(ctx context.Context, in *RequestName) (*api.Tagged[RequestView], error) {
			if p.elsewhere(ctx, in.Prefix) {
				var out RequestView
				err := p.cfg.Elsewhere(ctx, api.From(ctx), in.Prefix, http.MethodGet, in.path(""), nil, &out)
				return api.Tag(out), err
			}
			v, r, err := find(ctx, in)
			if err != nil {
				return nil, err
			}
			return api.Tag(view(api.From(ctx), v, r)), nil
		})
	decide := func(verb, summary string, f func(ctx context.Context, c api.Caller, v id.ID, terms Grant, reason string) (Request, error), asker bool) {
		api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/access-requests/{prefix}/{request}/" + verb, Summary: summary, Tags: []string{tagRules}},
			func(ctx context.Context, in *struct {
				RequestName
				Body struct {
					Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Told to the asker"`
					Terms  *Terms `json:"terms,omitempty" doc:"On what terms it is granted; absent: as asked for"`
				}
			}) (*api.Body[RequestView], error) {
				c := api.From(ctx)
				if asker && p.elsewhere(ctx, in.Prefix) {
					out := &api.Body[RequestView]{}
					return out, p.cfg.Elsewhere(ctx, c, in.Prefix, http.MethodPost, in.path("/"+verb), in.Body, &out.Body)
				}
				v, r, err := find(ctx, &in.RequestName)
				if err != nil {
					return nil, err
				}
				if asker && !mine(c, r.Asker) {
					return nil, absent(in.Request)
				}
				if !asker {
					if err := manages(ctx, in.Prefix); err != nil {
						return nil, err
					}
				}
				var g Grant
				if t := in.Body.Terms; t != nil {
					g = Grant{When: t.When, Purposes: t.Purposes, From: t.From, Until: t.Until, Count: t.Count, Paid: t.Paid}
				}
				if r, err = f(ctx, c, v, g, in.Body.Reason); err != nil {
					return nil, err
				}
				return &api.Body[RequestView]{Body: view(c, v, r)}, nil
			})
	}
	decide("grant", "Grant a request (同意)", func(ctx context.Context, c api.Caller, v id.ID, terms Grant, reason string) (Request, error) {
		return p.Approve(ctx, c.Identity, v, terms, reason)
	}, false)
	decide("refuse", "Refuse a request (拒绝)", func(ctx context.Context, c api.Caller, v id.ID, _ Grant, reason string) (Request, error) {
		return p.Refuse(ctx, c.Identity, v, reason)
	}, false)
	decide("withdraw", "Withdraw one's request (撤回)", func(ctx context.Context, c api.Caller, v id.ID, _ Grant, reason string) (Request, error) {
		return p.move(ctx, c.Identity, v, Withdrawn, reason, "")
	}, true)
}

// Terms are on what terms a request is granted.
type Terms struct {
	When     string     `json:"when,omitempty" maxLength:"8192" doc:"A condition in the Cedar policy language"`
	Purposes []string   `json:"purposes,omitempty" maxItems:"100"`
	From     *time.Time `json:"from,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
	Count    int64      `json:"count,omitempty" minimum:"0"`
	Paid     bool       `json:"paid,omitempty"`
}
