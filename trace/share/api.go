package share

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record/document"
)

// View is a share with its name.
type View struct {
	Name string `json:"name" doc:"The share's name under the owner's prefix"`
	ID   string `json:"id" doc:"Its identifier, as 88.118.1001/SHARE_PARTNERS"`
	Share
}

type nameInput struct {
	Name string `path:"name" maxLength:"64" doc:"The share's name: letters, digits, dots, dashes and underscores"`
}

type putInput struct {
	Name    string `path:"name" maxLength:"64" doc:"The share's name: letters, digits, dots, dashes and underscores"`
	IfMatch string `header:"If-Match" doc:"The ETag of what was read; the request is refused when somebody changed it meanwhile"`
	Body    Share
}

func (d *Desk) view(p document.Paper[Share]) View {
	return View{p.ID.Suffix()[len(paperName):], p.ID.String(), p.Paper}
}

// Operations adds this room's operations.
func (d *Desk) Operations(a *api.API) {
	tags := []string{"Shares of events 事件共享"}
	writes := func(ctx context.Context) error { return api.From(ctx).Need(d.cfg.Prefix, api.EnterpriseAdmin) }
	reads := func(ctx context.Context) error {
		return api.From(ctx).Need(d.cfg.Prefix, api.EnterpriseAdmin, api.Auditor)
	}
	get := func(name string) (View, error) {
		v, err := d.named(name)
		if err != nil {
			return View{}, err
		}
		s, err := d.papers.Get(v)
		return d.view(document.Paper[Share]{ID: v, Paper: s}), err
	}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/shares", OperationID: "list-shares", Tags: tags,
		Summary:     "List who sees what of this enterprise's events (事件共享)",
		Description: "Each share grants others a level of sight: existence, trace or contents. For administrators and auditors of the enterprise.",
	}, func(ctx context.Context, in *api.PageInput) (*api.Body[api.Page[View]], error) {
		if err := reads(ctx); err != nil {
			return nil, err
		}
		out := api.Page[View]{Items: []View{}}
		if d.papers != nil {
			page, next := d.papers.Page(in.After, in.Limit, nil)
			for _, p := range page {
				out.Items = append(out.Items, d.view(p))
			}
			out.Next = next
		}
		return &api.Body[api.Page[View]]{Body: out}, nil
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/shares/{name}", OperationID: "get-share", Tags: tags,
		Summary: "Read one share (事件共享)", Description: "With its ETag, to change it safely.",
	}, func(ctx context.Context, in *nameInput) (*api.Tagged[View], error) {
		if err := reads(ctx); err != nil {
			return nil, err
		}
		v, err := get(in.Name)
		if err != nil {
			return nil, err
		}
		return api.Tag(v), nil
	})
	api.Do(a, huma.Operation{Method: http.MethodPut, Path: "/api/shares/{name}", OperationID: "put-share", Tags: tags,
		Summary:     "Share events with others (事件共享), or change what is shared",
		Description: "It holds from the next question on. Somebody whom several shares name sees the most that one of them grants; whoever none names sees nothing, not even that there is an event.",
	}, func(ctx context.Context, in *putInput) (*api.Tagged[View], error) {
		if err := writes(ctx); err != nil {
			return nil, err
		}
		if in.IfMatch != "" {
			old, err := get(in.Name)
			if err != nil && !problem.Is(err, problem.NotFound) {
				return nil, err
			}
			if err := api.Match(in.IfMatch, old); err != nil {
				return nil, err
			}
		}
		if _, err := d.Put(ctx, api.From(ctx).Identity, in.Name, in.Body); err != nil {
			return nil, err
		}
		v, err := get(in.Name)
		if err != nil {
			return nil, err
		}
		return api.Tag(v), nil
	})
	api.Do(a, huma.Operation{Method: http.MethodDelete, Path: "/api/shares/{name}", OperationID: "delete-share", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Take a share back (收回共享)", Description: "What was shown before stays where it is.",
	}, func(ctx context.Context, in *nameInput) (*struct{}, error) {
		if err := writes(ctx); err != nil {
			return nil, err
		}
		return nil, d.Remove(ctx, api.From(ctx).Identity, in.Name)
	})
}
