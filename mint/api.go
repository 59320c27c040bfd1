package mint

import (
	"context"
	"net/http"
	"os"
	"path/filepath"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
)

// RuleView is a rule without its secret.
type RuleView struct {
	ID string `json:"id"`
	Rule
	Issued uint64 `json:"issued" doc:"How many numbers were given out"`
	Room   uint64 `json:"room" doc:"How many codes the rule has"`
}

// JobView is a job with its identifier.
type JobView struct {
	ID string `json:"id" doc:"88.118.1001/JOB_000001"`
	Job
}

// NewRule is the body of POST /api/code-rules.
type NewRule struct {
	Prefix string `json:"prefix" doc:"Under which the codes are: 88.118.1001"`
	Rule
}

// Question is the body of POST /api/codes/parse.
type Question struct {
	ID   string `json:"id" doc:"The whole identifier"`
	Rule string `json:"rule"`
}

var (
	definers = []api.RoleName{api.EnterpriseAdmin}
	issuers  = []api.RoleName{api.EnterpriseAdmin, api.EnterpriseUser, api.Application}
	seers    = []api.RoleName{api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor}
)

func unseen(what string) error {
	return problem.New(problem.NotFound, "%.100s is not here: check its spelling, or log in", "此处没有 %.100s：请检查拼写，或先登录", what)
}

// Register adds the operations on codes to the interface.
func (m *Mint) Register(a *api.API) {
	tag := []string{"codes"}
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/code-rules", Tags: tag, DefaultStatus: http.StatusCreated, Summary: "Define a code rule (编码规则)", Description: "A rule never changes: codes were printed by it."},
		func(ctx context.Context, in *struct{ Body NewRule }) (*api.Body[RuleView], error) {
			c := api.From(ctx)
			if err := c.Need(in.Body.Prefix, definers...); err != nil {
				return nil, err
			}
			v, err := m.Define(ctx, c.Identity, in.Body.Prefix, in.Body.Rule)
			if err != nil {
				return nil, err
			}
			return &api.Body[RuleView]{Body: RuleView{ID: v.String(), Rule: in.Body.Rule, Room: in.Body.Room()}}, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/code-rules", Tags: tag, Summary: "List code rules"},
		func(ctx context.Context, in *struct {
			api.PageInput
			Prefix string `query:"prefix" required:"true" maxLength:"64"`
		}) (*api.Body[api.Page[RuleView]], error) {
			if err := api.From(ctx).Need(in.Prefix, seers...); err != nil {
				return nil, err
			}
			list, next, err := m.Rules(ctx, in.Prefix, in.After, in.Limit)
			if err != nil {
				return nil, err
			}
			out := &api.Body[api.Page[RuleView]]{Body: api.Page[RuleView]{Items: []RuleView{}, Next: next}}
			for _, p := range list {
				out.Body.Items = append(out.Body.Items, RuleView{p.ID.String(), p.Paper.Rule, p.Paper.Next, p.Paper.Room()})
			}
			return out, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/codes", Tags: tag, DefaultStatus: http.StatusCreated, Summary: "Issue up to 10,000 codes at once (发码)", Description: "They are the caller's, durably, when the answer comes. Send an Idempotency-Key, so that a repeated request does not take others."},
		func(ctx context.Context, in *struct{ Body Order }) (*api.Body[[]string], error) {
			c := api.From(ctx)
			if err := c.Need(in.Body.Prefix, issuers...); err != nil {
				return nil, err
			}
			list, err := m.Take(ctx, c.Identity, in.Body)
			return &api.Body[[]string]{Body: list}, err
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/codes/parse", Tags: tag, Summary: "Take a code apart, and say whether it was issued"},
		func(ctx context.Context, in *struct{ Body Question }) (*api.Body[Parsed], error) {
			v, err := id.ParseHandle(in.Body.ID)
			if err != nil {
				return nil, err
			}
			if err := api.From(ctx).Need(v.Prefix(), seers...); err != nil {
				return nil, err
			}
			p, err := m.Parse(ctx, in.Body.Rule, v)
			return &api.Body[Parsed]{Body: p}, err
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/code-jobs", Tags: tag, DefaultStatus: http.StatusAccepted, Summary: "Issue millions of codes into a file (批量发码)", Description: "The numbers are reserved when the answer comes; the file follows. A job that was cut off goes on by itself."},
		func(ctx context.Context, in *struct{ Body Order }) (*api.Body[JobView], error) {
			c := api.From(ctx)
			if err := c.Need(in.Body.Prefix, issuers...); err != nil {
				return nil, err
			}
			v, j, err := m.Issue(ctx, c.Identity, in.Body)
			return &api.Body[JobView]{Body: JobView{v.String(), j}}, err
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/code-jobs", Tags: tag, Summary: "List jobs"},
		func(ctx context.Context, in *struct {
			api.PageInput
			Prefix string `query:"prefix" required:"true" maxLength:"64"`
		}) (*api.Body[api.Page[JobView]], error) {
			if err := api.From(ctx).Need(in.Prefix, seers...); err != nil {
				return nil, err
			}
			list, next, err := m.Jobs(ctx, in.Prefix, in.After, in.Limit)
			if err != nil {
				return nil, err
			}
			out := &api.Body[api.Page[JobView]]{Body: api.Page[JobView]{Items: []JobView{}, Next: next}}
			for _, p := range list {
				out.Body.Items = append(out.Body.Items, JobView{p.ID.String(), p.Paper})
			}
			return out, nil
		})
	type jobPath struct {
		Prefix string `path:"prefix" maxLength:"64"`
		Job    string `path:"job" maxLength:"64" doc:"JOB_000001"`
	}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/code-jobs/{prefix}/{job}", Tags: tag, Summary: "One job", Description: "Its file is at …/file when it is done."},
		func(ctx context.Context, in *jobPath) (*api.Body[JobView], error) {
			v, j, err := m.seen(ctx, in.Prefix, in.Job)
			return &api.Body[JobView]{Body: JobView{v.String(), j}}, err
		})
	a.Mux.HandleFunc("GET /api/code-jobs/{prefix}/{job}/file", func(w http.ResponseWriter, r *http.Request) {
		v, j, err := m.seen(r.Context(), r.PathValue("prefix"), r.PathValue("job"))
		if err == nil && j.State != Done {
			err = problem.New(problem.NotFound, "the file of %s is not complete yet: ask again", "%s 的文件尚未完成：请稍后再试", v)
		}
		if err != nil {
			a.Refuse(w, r, err)
			return
		}
		path := m.Path(v, j)
		f, err := os.Open(path)
		if err != nil {
			a.Refuse(w, r, problem.Wrap(err, problem.NotFound, "the file of %s is not at this site: ask the one that issued it", "%s 的文件不在本站点：请访问发码的站点", v))
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", map[bool]string{true: "application/gzip", false: map[string]string{"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}[j.Format]}[j.Gzip])
		w.Header().Set("Content-Disposition", `attachment; filename="`+filepath.Base(path)+`"`)
		http.ServeContent(w, r, "", j.Finished, f)
	})
}

// seen is a job that the caller may see.
func (m *Mint) seen(ctx context.Context, prefix, name string) (id.ID, Job, error) {
	v, err := id.ParseHandle(prefix + "/" + name)
	if err != nil || len(name) < 4 || !handle.Equal(name[:4], "JOB_") || !api.From(ctx).Has(prefix, seers...) {
		return v, Job{}, unseen(prefix + "/" + name)
	}
	j, err := m.Job(ctx, v)
	return v, j, err
}
