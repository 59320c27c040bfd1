package indicator

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
)

// Figure is an indicator as an installed solution declares it.
type Figure struct {
	Solution string `json:"solution"`
	Name     string `json:"name"`
	Title    string `json:"title"`
	Unit     string `json:"unit,omitempty"`
	Better   string `json:"better,omitempty" enum:"higher,lower"`
	Every    string `json:"every,omitempty" enum:"hour,day,none"`
	Seed     string `json:"seed,omitempty" doc:"What the published case says of the figure (案例公布值)"`
	Drills   bool   `json:"drills" doc:"The identifiers behind it can be asked for"`
	SQL      string `json:"-"`
	Drill    string `json:"-"`
}

// Answer is a figure with its rows.
type Answer struct {
	Figure
	Rows
	From string `json:"from"`
	To   string `json:"to"`
	Lag  Lag    `json:"lag" doc:"How far the tables behind it are behind"`
}

// Door is what the operations need beside the tables.
type Door struct {
	Prefix string
	// Figures are those that a caller sees.
	Figures func(ctx context.Context, who api.Caller) []Figure
}

const tag = "Indicators 指标"

type named struct {
	Solution string `path:"solution" maxLength:"40"`
	Name     string `path:"name" maxLength:"40"`
}

func (d *Door) figure(ctx context.Context, in named) (Figure, error) {
	for _, f := range d.Figures(ctx, api.From(ctx)) {
		if f.Solution == in.Solution && f.Name == in.Name {
			return f, nil
		}
	}
	return Figure{}, problem.New(problem.NotFound, "there is no indicator %s/%s here for you: GET /api/indicators lists them", "没有可查看的指标 %s/%s：GET /api/indicators 列出全部", in.Solution, in.Name)
}

// between is a stretch of days: the last thirty when nothing is said.
func (p *Projection) between(from, to string) (string, string, error) {
	today := p.cfg.Now().In(p.cfg.Zone)
	if to == "" {
		to = today.Format(time.DateOnly)
	}
	if from == "" {
		from = today.AddDate(0, 0, -29).Format(time.DateOnly)
	}
	for _, d := range []string{from, to} {
		if _, err := time.Parse(time.DateOnly, d); err != nil {
			return "", "", problem.New(problem.BadValue, "%.40q is no day: write 2026-11-22", "%.40q 不是日期：请写成 2026-11-22", d)
		}
	}
	if from > to {
		return "", "", problem.New(problem.BadValue, "the days run backwards: %s comes behind %s", "起止日期颠倒：%s 晚于 %s", from, to)
	}
	return from, to, nil
}

// Operations adds this room's operations.
func (p *Projection) Operations(a *api.API, d Door) {
	reads := func(ctx context.Context) error {
		return api.From(ctx).Need(d.Prefix, api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor, api.Regulator)
	}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/indicators", OperationID: "list-indicators", Tags: []string{tag}, Summary: "List indicators (指标)",
		Description: "Those of the installed solutions that the caller may see."},
		func(ctx context.Context, _ *struct{}) (*api.Body[api.Page[Figure]], error) {
			if err := reads(ctx); err != nil {
				return nil, err
			}
			return &api.Body[api.Page[Figure]]{Body: api.Page[Figure]{Items: append([]Figure{}, d.Figures(ctx, api.From(ctx))...)}}, nil
		})
	type asked struct {
		Solution string `path:"solution" maxLength:"40"`
		Name     string `path:"name" maxLength:"40"`
		From     string `query:"from" maxLength:"10" doc:"The first day, 2026-11-22; thirty days ago if absent"`
		To       string `query:"to" maxLength:"10" doc:"The last day; today if absent"`
	}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/indicators/{solution}/{name}", OperationID: "ask-indicator", Tags: []string{tag}, Summary: "Compute an indicator"},
		func(ctx context.Context, in *asked) (*api.Body[Answer], error) {
			if err := reads(ctx); err != nil {
				return nil, err
			}
			f, err := d.figure(ctx, named{in.Solution, in.Name})
			if err != nil {
				return nil, err
			}
			from, to, err := p.between(in.From, in.To)
			if err != nil {
				return nil, err
			}
			p.fresh(ctx)
			rows, err := p.Ask(ctx, f.SQL, map[string]string{"from": from, "to": to})
			if err != nil {
				return nil, err
			}
			lag, err := p.Lag(ctx)
			if err != nil {
				return nil, err
			}
			return &api.Body[Answer]{Body: Answer{Figure: f, Rows: rows, From: from, To: to, Lag: lag}}, nil
		})
	type drilled struct {
		Solution string `path:"solution" maxLength:"40"`
		Name     string `path:"name" maxLength:"40"`
		From     string `query:"from" maxLength:"10"`
		To       string `query:"to" maxLength:"10"`
		Day      string `query:"day" maxLength:"40" doc:"The row's day, hour or week, for drill-downs that ask for it"`
		Of       string `query:"of" maxLength:"200" doc:"The row's other column, for drill-downs that ask for it: a warehouse, a step"`
	}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/indicators/{solution}/{name}/things", OperationID: "drill-indicator", Tags: []string{tag}, Summary: "The identifiers behind an indicator (下钻)"},
		func(ctx context.Context, in *drilled) (*api.Body[Rows], error) {
			if err := reads(ctx); err != nil {
				return nil, err
			}
			f, err := d.figure(ctx, named{in.Solution, in.Name})
			if err != nil {
				return nil, err
			}
			if f.Drill == "" {
				return nil, problem.New(problem.NotFound, "nothing stands behind the indicator %s/%s: its file gives no drill-down", "指标 %s/%s 没有下钻：其文件未给出 drill", in.Solution, in.Name)
			}
			from, to, err := p.between(in.From, in.To)
			if err != nil {
				return nil, err
			}
			p.fresh(ctx)
			rows, err := p.Ask(ctx, f.Drill, map[string]string{"from": from, "to": to, "day": in.Day, "of": in.Of})
			return &api.Body[Rows]{Body: rows}, err
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/projection", OperationID: "show-projection", Tags: []string{tag}, Summary: "How far the tables for indicators are behind"},
		func(ctx context.Context, _ *struct{}) (*api.Body[Lag], error) {
			if err := reads(ctx); err != nil {
				return nil, err
			}
			l, err := p.Lag(ctx)
			return &api.Body[Lag]{Body: l}, err
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/projection/rebuild", OperationID: "rebuild-projection", Tags: []string{tag}, Summary: "Make the tables for indicators anew",
		Description: "They are emptied at once and filled again in the background; GET /api/projection says how far they are. For administrators.", DefaultStatus: http.StatusAccepted},
		func(ctx context.Context, _ *struct{}) (*api.Body[Lag], error) {
			if err := api.From(ctx).Need(d.Prefix, api.EnterpriseAdmin); err != nil {
				return nil, err
			}
			p.work.Lock()
			err := p.clear(ctx)
			p.work.Unlock()
			if err != nil {
				return nil, problem.Wrap(err, problem.Internal, "the tables for indicators cannot be emptied", "无法清空指标库")
			}
			l, err := p.Lag(ctx)
			return &api.Body[Lag]{Body: l}, err
		})
}
