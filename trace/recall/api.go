package recall

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record/document"
)

// View is a recall as its owner's people see it.
type View struct {
	ID string `json:"id" doc:"The recall's identifier, as 88.118.1001/RECALL_2026-01"`
	Recall
	Holders []Standing `json:"holders" doc:"How far each holder is (各持有方进度)"`
}

// HolderView is a holder of a recall with what it was told and what it answered.
type HolderView struct {
	ID string `json:"id"`
	Holder
}

// NoticeView is a notice with its name.
type NoticeView struct {
	Name string `json:"name" doc:"For /api/recall-notices/{name}"`
	Notice
}

// CopyView is a recall below this authority.
type CopyView struct {
	Name string `json:"name"`
	Copy
}

// OpenInput is a recall to be opened.
type OpenInput struct {
	Name string `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9.-]+$" doc:"The recall's name under the prefix; it is called 88.118.1001/Recall_NAME"`
	Order
}

type nameInput struct {
	Name string `path:"name" maxLength:"64"`
}

func (d *Desk) view(v id.ID, r Recall) View {
	out := View{ID: v.String(), Recall: r, Holders: []Standing{}}
	for _, h := range d.of(v) {
		out.Holders = append(out.Holders, standing(&h.Paper))
	}
	return out
}

// page is one page of a shelf, shown.
func page[T, V any](s *document.Shelf[T], in *api.PageInput, show func(id.ID, T) V) *api.Body[api.Page[V]] {
	list, next := s.Page(in.After, in.Limit, nil)
	out := api.Page[V]{Items: []V{}, Next: next}
	for _, p := range list {
		out.Items = append(out.Items, show(p.ID, p.Paper))
	}
	return &api.Body[api.Page[V]]{Body: out}
}

// Operations adds this room's operations.
func (d *Desk) Operations(a *api.API) {
	tags := []string{"Recalls 召回"}
	prefix := d.cfg.Prefix
	reads := func(ctx context.Context) error {
		return api.From(ctx).Need(prefix, api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor, api.Regulator)
	}
	writes := func(ctx context.Context) error { return api.From(ctx).Need(prefix, api.EnterpriseAdmin) }
	answers := func(ctx context.Context) error {
		return api.From(ctx).Need(prefix, api.EnterpriseAdmin, api.EnterpriseUser, api.Application)
	}
	one := func(name string) (id.ID, Recall, error) {
		v, err := d.named(name)
		if err != nil {
			return v, Recall{}, err
		}
		r, err := d.recalls.Get(v)
		return v, r, err
	}
	noticeView := func(v id.ID, n Notice) NoticeView {
		return NoticeView{strings.ToLower(strings.TrimPrefix(v.Suffix(), "NOTICE_")), n}
	}
	copyView := func(v id.ID, c Copy) CopyView {
		return CopyView{strings.ToLower(strings.TrimPrefix(v.Suffix(), "RECALLED_")), c}
	}

	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/recalls", OperationID: "open-recall", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Open a recall (召回)",
		Description: "What is affected is searched across all enterprises that had any of it, and the node of each holder is notified; GET shows how far it is. From now on " +
			"others may show more in its name, where they share so. For administrators of the enterprise.",
	}, func(ctx context.Context, in *api.Body[OpenInput]) (*api.Body[View], error) {
		if err := writes(ctx); err != nil {
			return nil, err
		}
		v, err := d.Start(ctx, api.From(ctx).Identity, in.Body.Name, in.Body.Order)
		if err != nil {
			return nil, err
		}
		r, err := d.recalls.Get(v)
		return &api.Body[View]{Body: d.view(v, r)}, err
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/recalls", OperationID: "list-recalls", Tags: tags,
		Summary: "List this enterprise's recalls (召回)", Description: "With how far each holder is.",
	}, func(ctx context.Context, in *api.PageInput) (*api.Body[api.Page[View]], error) {
		if err := reads(ctx); err != nil {
			return nil, err
		}
		return page(d.recalls, in, d.view), nil
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/recalls/{name}", OperationID: "get-recall", Tags: tags,
		Summary: "Read one recall (召回)", Description: "What was found, who was told, and what came back.",
	}, func(ctx context.Context, in *nameInput) (*api.Tagged[View], error) {
		if err := reads(ctx); err != nil {
			return nil, err
		}
		v, r, err := one(in.Name)
		if err != nil {
			return nil, err
		}
		return api.Tag(d.view(v, r)), nil
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/recalls/{name}/holders", OperationID: "list-recall-holders", Tags: tags,
		Summary: "List a recall's holders (持有方)", Description: "Each with the items it holds and every answer it gave.",
	}, func(ctx context.Context, in *struct {
		Name string `path:"name" maxLength:"64"`
		api.PageInput
	}) (*api.Body[api.Page[HolderView]], error) {
		if err := reads(ctx); err != nil {
			return nil, err
		}
		v, _, err := one(in.Name)
		if err != nil {
			return nil, err
		}
		out := api.Page[HolderView]{Items: []HolderView{}}
		for _, h := range d.of(v) {
			if h.ID.String() <= in.After {
				continue
			}
			if len(out.Items) == in.Limit {
				out.Next = out.Items[in.Limit-1].ID
				break
			}
			out.Items = append(out.Items, HolderView{h.ID.String(), h.Paper})
		}
		return &api.Body[api.Page[HolderView]]{Body: out}, nil
	})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/recalls/{name}/search", OperationID: "search-recall-again", Tags: tags,
		Summary: "Search once more (再次查找)", Description: "For what moved meanwhile, and for enterprises that were silent. Holders whose items changed are notified again.",
	}, func(ctx context.Context, in *nameInput) (*api.Body[View], error) {
		if err := writes(ctx); err != nil {
			return nil, err
		}
		v, err := d.named(in.Name)
		if err != nil {
			return nil, err
		}
		r, err := d.SearchAgain(ctx, api.From(ctx).Identity, v)
		if err != nil {
			return nil, err
		}
		return &api.Body[View]{Body: d.view(v, r)}, nil
	})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/recalls/{name}/close", OperationID: "close-recall", Tags: tags,
		Summary: "Close a recall (关闭召回)", Description: "When every holder has accounted for all it has; before that only with the reason why. Holders and the authority are told.",
	}, func(ctx context.Context, in *struct {
		Name string `path:"name" maxLength:"64"`
		Body struct {
			Why string `json:"why,omitempty" maxLength:"2000" doc:"Why it is closed although not everything is accounted for"`
		}
	}) (*api.Body[View], error) {
		if err := writes(ctx); err != nil {
			return nil, err
		}
		v, err := d.named(in.Name)
		if err != nil {
			return nil, err
		}
		r, err := d.Close(ctx, api.From(ctx).Identity, v, in.Body.Why)
		if err != nil {
			return nil, err
		}
		return &api.Body[View]{Body: d.view(v, r)}, nil
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/recall-notices", OperationID: "list-recall-notices", Tags: tags,
		Summary: "List notices of recalls that reached this enterprise (召回通知)", Description: "Of others' recalls, and of its own where it holds goods itself.",
	}, func(ctx context.Context, in *api.PageInput) (*api.Body[api.Page[NoticeView]], error) {
		if err := reads(ctx); err != nil {
			return nil, err
		}
		return page(d.notices, in, noticeView), nil
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/recall-notices/{name}", OperationID: "get-recall-notice", Tags: tags,
		Summary: "Read one notice (召回通知)", Description: "What is called back, what to do with it, and what was answered.",
	}, func(ctx context.Context, in *nameInput) (*api.Tagged[NoticeView], error) {
		if err := reads(ctx); err != nil {
			return nil, err
		}
		v, err := d.notices.ID(in.Name)
		if err != nil {
			return nil, err
		}
		n, err := d.notices.Get(v)
		if err != nil {
			return nil, err
		}
		return api.Tag(noticeView(v, n)), nil
	})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/recall-notices/{name}/answers", OperationID: "answer-recall-notice", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Answer a notice (反馈)", Description: "What was found, how much of it, and what was done with it; as often as need be, the last time with done. The recall's owner hears of each.",
	}, func(ctx context.Context, in *struct {
		Name string `path:"name" maxLength:"64"`
		Body struct {
			Items []Finding `json:"items,omitempty" maxItems:"500"`
			Note  string    `json:"note,omitempty" maxLength:"2000"`
			Done  bool      `json:"done,omitempty" doc:"Nothing more is to come (处置完毕)"`
		}
	}) (*api.Body[NoticeView], error) {
		if err := answers(ctx); err != nil {
			return nil, err
		}
		v, err := d.notices.ID(in.Name)
		if err != nil {
			return nil, err
		}
		n, err := d.Answer(ctx, api.From(ctx).Identity, v, Answer{Items: in.Body.Items, Note: in.Body.Note, Done: in.Body.Done})
		if err != nil {
			return nil, err
		}
		return &api.Body[NoticeView]{Body: noticeView(v, n)}, nil
	})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/recalls-below", OperationID: "list-recalls-below", Tags: tags,
		Summary: "List the recalls of enterprises below this authority (下级企业的召回)", Description: "As their owners told last. For operators, reviewers, auditors and regulators.",
	}, func(ctx context.Context, in *api.PageInput) (*api.Body[api.Page[CopyView]], error) {
		if err := api.From(ctx).Need(prefix, api.Reviewer, api.Auditor, api.Regulator); err != nil {
			return nil, err
		}
		return page(d.copies, in, copyView), nil
	})
}
