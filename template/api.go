package template

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
)

// View is a template as its readers see it.
type View struct {
	ID        string    `json:"id" doc:"88.118/META_PUMP"`
	State     State     `json:"state" enum:"draft,published,withdrawn"`
	Version   int       `json:"version,omitempty" doc:"The newest published"`
	Published *Template `json:"published,omitempty" doc:"The newest published version"`
	Draft     *Template `json:"draft,omitempty" doc:"What is being prepared; for those who manage templates"`
}

// managers are the roles that make templates; readers those that also see drafts and withdrawn ones.
var (
	managers = []api.RoleName{api.EnterpriseAdmin}
	readers  = []api.RoleName{api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Reviewer, api.Auditor}
)

// view is what c may see of a template; problem.NotFound when nothing.
func (t *Templates) view(ctx context.Context, c api.Caller, v id.ID, s Sheet) (View, error) {
	out := View{ID: v.String(), State: s.State, Version: s.Version}
	inside := c.Has(v.Prefix(), readers...)
	if s.State != Published && !inside {
		return out, problem.New(problem.NotFound, "%s is not here: check its spelling, or list what there is", "此处没有 %s：请检查拼写，或列出已有的", v)
	}
	if inside {
		out.Draft = s.Draft
	}
	if s.Version > 0 {
		var err error
		if out.Published, err = t.Version(ctx, v, s.Version); err != nil {
			return out, err
		}
	}
	return out, nil
}

// Place is a template in a path: its prefix and the name behind META_.
type Place struct {
	Prefix string `path:"prefix" maxLength:"64" doc:"88.118.1001"`
	Name   string `path:"name" maxLength:"120" doc:"META_PUMP"`
}

func (p *Place) id() (id.ID, error) {
	v, version, err := split(p.Prefix + "/" + p.Name)
	if err == nil && version != 0 {
		err = problem.New(problem.BadRequest, "%s names a version: leave it out", "%s 带有版本号：请去掉", v)
	}
	return v, err
}

// Derivation is the body of POST /api/templates/derive.
type Derivation struct {
	Base  string `json:"base" doc:"A published template, here or at another enterprise: 88.118/META_PUMP or 88.118/META_PUMP/2"`
	ID    string `json:"id" doc:"The new one's identifier"`
	Items []Item `json:"items,omitempty" doc:"More properties"`
}

// Trial is the body of POST /api/templates/validate.
type Trial struct {
	Template   string         `json:"template" doc:"88.118/META_PUMP or 88.118/META_PUMP/2"`
	Properties map[string]any `json:"properties" doc:"By English names"`
}

// Import is the body of POST /api/templates/import.
type Import struct {
	ID     string          `json:"id" doc:"The new template's identifier"`
	Schema json.RawMessage `json:"schema" doc:"JSON Schema 2020-12 of an object"`
}

// Text is a template as people keep it in a file.
type Text struct {
	Text string `json:"text" maxLength:"1048576" doc:"JSON or YAML"`
}

// Register adds the operations on templates to the interface.
func (t *Templates) Register(a *api.API) {
	tag := []string{"templates"}
	show := func(ctx context.Context, v id.ID, err error) (*api.Tagged[View], error) {
		if err != nil {
			return nil, err
		}
		s, err := t.Get(ctx, v)
		if problem.Is(err, problem.NotHere) { // another enterprise's: what it published
			found, err := t.Find(ctx, v.String())
			if err != nil {
				return nil, err
			}
			return api.Tag(View{ID: v.String(), State: Published, Version: found.Version, Published: found}), nil
		}
		if err != nil {
			return nil, err
		}
		x, err := t.view(ctx, api.From(ctx), v, s)
		if err != nil {
			return nil, err
		}
		return api.Tag(x), nil
	}
	may := func(ctx context.Context, name string) (api.Caller, error) {
		c := api.From(ctx)
		v, _, err := split(name)
		if err != nil {
			return c, err
		}
		return c, c.Need(v.Prefix(), managers...)
	}

	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/templates", Tags: tag, DefaultStatus: http.StatusCreated, Summary: "Make a template (元数据模板)", Description: "It is a draft until it is published. Properties without an index get the next free one from 2000 on."},
		func(ctx context.Context, in *struct{ Body Template }) (*api.Tagged[View], error) {
			c, err := may(ctx, in.Body.ID)
			if err != nil {
				return nil, err
			}
			v, err := t.Create(ctx, c.Identity, in.Body)
			return show(ctx, v, err)
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/templates", Tags: tag, Summary: "List templates", Description: "Everybody sees the published ones, those who work under the prefix all."},
		func(ctx context.Context, in *struct {
			api.PageInput
			Prefix string `query:"prefix" required:"true" maxLength:"64"`
		}) (*api.Body[api.Page[View]], error) {
			c := api.From(ctx)
			inside := c.Has(in.Prefix, readers...)
			list, next, err := t.List(ctx, in.Prefix, in.After, in.Limit, func(s Sheet) bool { return inside || s.State == Published })
			if err != nil {
				return nil, err
			}
			out := &api.Body[api.Page[View]]{Body: api.Page[View]{Items: []View{}, Next: next}}
			for _, p := range list {
				x, err := t.view(ctx, c, p.ID, p.Paper)
				if err != nil {
					return nil, err
				}
				out.Body.Items = append(out.Body.Items, x)
			}
			return out, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/templates/{prefix}/{name}", Tags: tag, Summary: "One template"},
		func(ctx context.Context, in *Place) (*api.Tagged[View], error) {
			v, err := in.id()
			return show(ctx, v, err)
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/templates/{prefix}/{name}/versions/{version}", Tags: tag, Summary: "One published version", Description: "It never changes."},
		func(ctx context.Context, in *struct {
			Place
			Version int `path:"version" minimum:"1"`
		}) (*api.Tagged[Template], error) {
			v, err := in.id()
			if err != nil {
				return nil, err
			}
			x, err := t.Version(ctx, v, in.Version)
			if err != nil {
				return nil, err
			}
			return api.Tag(*x), nil
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/templates/{prefix}/{name}/text", Tags: tag, Summary: "One template as YAML, for a file", Description: "The newest published version, an older one, or, with version=0, the draft for who may see it. /api/template-texts reads it."},
		func(ctx context.Context, in *struct {
			Place
			Version int `query:"version" default:"-1" minimum:"-1"`
		}) (*api.Body[Text], error) {
			v, err := in.id()
			if err != nil {
				return nil, err
			}
			tagged, err := show(ctx, v, nil)
			if err != nil {
				return nil, err
			}
			x := tagged.Body.Published
			switch {
			case in.Version == 0 || in.Version < 0 && x == nil:
				x = tagged.Body.Draft
			case in.Version > 0:
				if x, err = t.Version(ctx, v, in.Version); err != nil {
					return nil, err
				}
			}
			if x == nil {
				return nil, problem.New(problem.NotFound, "%s has no such version: list what there is", "%s 没有这一版本：请列出已有的", v)
			}
			text, err := x.Text()
			return &api.Body[Text]{Body: Text{text}}, err
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/template-texts", Tags: tag, Summary: "Read a template's file, JSON or YAML", Description: "Writes nothing. Faults name the line or the key."},
		func(ctx context.Context, in *struct{ Body Text }) (*api.Body[Template], error) {
			if api.From(ctx).IsAnonymous() {
				return nil, problem.New(problem.NeedAuth, "log in to have a file read", "请先登录再读取文件")
			}
			x, err := Read([]byte(in.Body.Text))
			if err != nil {
				return nil, err
			}
			return &api.Body[Template]{Body: *x}, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/templates/{prefix}/{name}/schema", Tags: tag, Summary: "The newest version as JSON Schema 2020-12"},
		func(ctx context.Context, in *Place) (*api.Body[json.RawMessage], error) {
			v, err := in.id()
			if err != nil {
				return nil, err
			}
			x, err := t.Find(ctx, v.String())
			if err != nil {
				return nil, err
			}
			b, err := x.JSONSchema()
			return &api.Body[json.RawMessage]{Body: b}, err
		})
	api.Do(a, huma.Operation{Method: http.MethodPut, Path: "/api/templates/{prefix}/{name}", Tags: tag, Summary: "Revise a template", Description: "The draft of the next version. Properties that it leaves out stay; they are disabled, never removed."},
		func(ctx context.Context, in *struct {
			Place
			IfMatch string `header:"If-Match"`
			Body    Template
		}) (*api.Tagged[View], error) {
			v, err := in.id()
			if err != nil {
				return nil, err
			}
			c, err := may(ctx, v.String())
			if err != nil {
				return nil, err
			}
			_, err = t.Revise(ctx, c.Identity, v, in.Body, func(s Sheet) error {
				x, err := t.view(ctx, c, v, s)
				if err != nil {
					return err
				}
				return api.Match(in.IfMatch, x)
			})
			return show(ctx, v, err)
		})
	for what, op := range map[string]struct {
		summary, description string
		do                   func(ctx context.Context, c api.Caller, v id.ID) error
	}{
		"publish": {"Publish a template (发布)", "Its draft becomes the next version; a withdrawn one without a draft is published again.", func(ctx context.Context, c api.Caller, v id.ID) error {
			_, err := t.Publish(ctx, c.Identity, v)
			return err
		}},
		"withdraw": {"Withdraw a template (撤回)", "It no longer resolves and takes no new records; those that keep to it stay.", func(ctx context.Context, c api.Caller, v id.ID) error {
			_, err := t.Withdraw(ctx, c.Identity, v)
			return err
		}},
	} {
		api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/templates/{prefix}/{name}/" + what, Tags: tag, Summary: op.summary, Description: op.description},
			func(ctx context.Context, in *Place) (*api.Tagged[View], error) {
				v, err := in.id()
				if err != nil {
					return nil, err
				}
				c, err := may(ctx, v.String())
				if err != nil {
					return nil, err
				}
				return show(ctx, v, op.do(ctx, c, v))
			})
	}
	api.Do(a, huma.Operation{Method: http.MethodPut, Path: "/api/templates/{prefix}/{name}/items/{item}/disabled", Tags: tag, Summary: "Disable a property, or enable it (禁用)", Description: "In the draft of the next version."},
		func(ctx context.Context, in *struct {
			Place
			Item string `path:"item" maxLength:"60"`
			Body struct {
				Disabled bool `json:"disabled"`
			}
		}) (*api.Tagged[View], error) {
			v, err := in.id()
			if err != nil {
				return nil, err
			}
			c, err := may(ctx, v.String())
			if err != nil {
				return nil, err
			}
			_, err = t.Disable(ctx, c.Identity, v, in.Item, in.Body.Disabled)
			return show(ctx, v, err)
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/template-derivations", Tags: tag, DefaultStatus: http.StatusCreated, Summary: "Derive a template from a published one (派生)"},
		func(ctx context.Context, in *struct{ Body Derivation }) (*api.Tagged[View], error) {
			c, err := may(ctx, in.Body.ID)
			if err != nil {
				return nil, err
			}
			v, err := t.Derive(ctx, c.Identity, in.Body.Base, in.Body.ID, in.Body.Items)
			return show(ctx, v, err)
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/template-imports", Tags: tag, DefaultStatus: http.StatusCreated, Summary: "Make a template of a JSON Schema 2020-12"},
		func(ctx context.Context, in *struct{ Body Import }) (*api.Tagged[View], error) {
			c, err := may(ctx, in.Body.ID)
			if err != nil {
				return nil, err
			}
			x, err := FromJSONSchema(in.Body.Schema)
			if err != nil {
				return nil, err
			}
			x.ID = in.Body.ID
			v, err := t.Create(ctx, c.Identity, *x)
			return show(ctx, v, err)
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/template-checks", Tags: tag, Summary: "Check properties against a template", Description: "Writes nothing; answers the values that a record would have. What breaks the template is a problem with every property, rule and place."},
		func(ctx context.Context, in *struct{ Body Trial }) (*api.Body[[]Expanded], error) {
			values, err := t.Expand(ctx, in.Body.Template, in.Body.Properties)
			if err != nil {
				return nil, err
			}
			out := &api.Body[[]Expanded]{}
			for _, v := range values {
				out.Body = append(out.Body, Expanded{v.Index, v.Type, string(v.Data)})
			}
			return out, nil
		})
	if t.Rechecks != nil {
		t.Rechecks.register(a)
	}
}

// Expanded is one value of a record to be.
type Expanded struct {
	Index uint32 `json:"index"`
	Type  string `json:"type"`
	Data  string `json:"data"`
}
