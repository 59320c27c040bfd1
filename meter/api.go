package meter

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id/handle"
)

// Detail is one report from below with its rows.
type Detail struct {
	Received
	Rows json.RawMessage `json:"rows" doc:"The rows, with the names of /api/report-tables"`
}

// Live is what is counted of today so far.
type Live struct {
	Day           string  `json:"day"`
	Requests      uint64  `json:"requests"`
	Successes     uint64  `json:"successes"`
	ResolveMeanMs float64 `json:"resolveMeanMs"`
	ResolveP50Ms  float64 `json:"resolveP50Ms"`
	ResolveP99Ms  float64 `json:"resolveP99Ms"`
	MaxQPS        float64 `json:"maxQps"`
	Waiting       int     `json:"waiting" doc:"Reports in the outbox, up to 1000"`
}

// API adds the room's operations.
func (m *Meter) API(a *api.API) {
	const tag = "Reports"
	looker := func(ctx context.Context) error {
		return api.From(ctx).Need(m.cfg.Prefix, api.Operator, api.Auditor, api.Regulator)
	}
	// A node, or its people, see what it reported itself.
	see := func(ctx context.Context) func(node string) bool {
		c := api.From(ctx)
		return func(node string) bool {
			return c.Has(m.cfg.Prefix, api.Operator, api.Auditor, api.Regulator) || c.Has(node, api.Operator, api.Auditor, api.Regulator, api.EnterpriseAdmin) ||
				!c.IsAnonymous() && (handle.Equal(c.Ref.Name, "0.NA/"+node) || within(prefixOf(c.Ref.Name), node))
		}
	}

	type tables struct{}
	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/report-tables", OperationID: "list-report-tables", Tags: []string{tag},
		Summary:     "List the tables that nodes report (同步与监测数据表)",
		Description: "T1 to T11 are the sync tables, M1 and M2 those of monitoring, SLA the monthly report; with the columns' names in JSON and in Chinese.",
	}, func(context.Context, *tables) (*api.Body[api.Page[Table]], error) {
		return &api.Body[api.Page[Table]]{Body: api.Page[Table]{Items: Tables}}, nil
	})

	type post struct {
		Table string `path:"table" maxLength:"8"`
		Body  Statement
	}
	api.Do(a, huma.Operation{
		Method: http.MethodPost, Path: "/api/reports/{table}", OperationID: "post-report", Tags: []string{tag}, DefaultStatus: http.StatusAccepted,
		MaxBodyBytes: 16 << 20,
		Summary:      "Hand in a report to the node above (上报)",
		Description:  "The statement is a compact JWS by the reporting node's key over a Report. The same report again is taken as the same.",
	}, func(ctx context.Context, in *post) (*api.Body[Received], error) {
		got, err := m.Receive(ctx, in.Table, in.Body)
		if err != nil {
			return nil, err
		}
		return &api.Body[Received]{Body: got}, nil
	})

	type list struct {
		api.PageInput
		Node  string `query:"node" doc:"Only from this node"`
		Table string `query:"table" doc:"Only of this table"`
	}
	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/reports", OperationID: "list-reports", Tags: []string{tag},
		Summary: "List the reports of nodes below (下级上报)", Description: "A node below sees its own.",
	}, func(ctx context.Context, in *list) (*api.Body[api.Page[Received]], error) {
		items, err := m.List(ctx, in.Node, in.Table, in.After, in.Limit+1, see(ctx))
		if err != nil {
			return nil, err
		}
		page := api.Page[Received]{Items: items}
		if len(items) > in.Limit {
			page.Items = items[:in.Limit]
			page.Next = Cursor(items[in.Limit-1])
		}
		return &api.Body[api.Page[Received]]{Body: page}, nil
	})

	type one struct {
		Node  string `path:"node"`
		Table string `path:"table"`
		Seq   uint64 `path:"seq"`
	}
	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/reports/{node}/{table}/{seq}", OperationID: "get-report", Tags: []string{tag},
		Summary: "Read one report of a node below, with its rows and signature (上报明细)",
	}, func(ctx context.Context, in *one) (*api.Tagged[Detail], error) {
		if !see(ctx)(in.Node) {
			return nil, noReport(in.Node, in.Table, in.Seq)
		}
		got, r, err := m.Report(ctx, in.Node, in.Table, in.Seq)
		if err != nil {
			return nil, err
		}
		return api.Tag(Detail{got, r.Rows}), nil
	})

	type beat struct{ Body Statement }
	api.Do(a, huma.Operation{
		Method: http.MethodPost, Path: "/api/pulses", OperationID: "post-pulse", Tags: []string{tag}, DefaultStatus: http.StatusNoContent, MaxBodyBytes: 4 << 20,
		Summary:     "Tell the node above how one is now (运行状态)",
		Description: "The statement is a compact JWS by the node's key. Pulses are kept in memory only, the newest of each node.",
	}, func(ctx context.Context, in *beat) (*struct{}, error) { return nil, m.Hear(ctx, in.Body) })

	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/situation", OperationID: "get-situation", Tags: []string{tag},
		Summary:     "How this node and all below it are now (态势)",
		Description: "Sums by region, industry and scheme, the last ten minutes, and what somebody should look at. From the pulses that nodes tell; for operators, auditors and regulators.",
	}, func(ctx context.Context, _ *struct{}) (*api.Body[Situation], error) {
		if err := looker(ctx); err != nil {
			return nil, err
		}
		return &api.Body[Situation]{Body: m.Situation(api.From(ctx).Lang)}, nil
	})

	type below struct {
		api.PageInput
		Region   string `query:"region" maxLength:"6" doc:"Only of this province, 320000"`
		Industry string `query:"industry" maxLength:"80"`
		Silent   bool   `query:"silent" doc:"Only those that are not heard of any more"`
	}
	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/situation/nodes", OperationID: "list-situation-nodes", Tags: []string{tag},
		Summary: "The nodes below, as they were last heard of (节点运行状态)",
	}, func(ctx context.Context, in *below) (*api.Body[api.Page[NodeView]], error) {
		if err := looker(ctx); err != nil {
			return nil, err
		}
		list, next := m.Below(handle.Fold(in.After), in.Limit, func(v *NodeView) bool {
			return (in.Region == "" || province(v.Region) == in.Region) && (in.Industry == "" || v.Industry == in.Industry) && (!in.Silent || v.Silent)
		})
		return &api.Body[api.Page[NodeView]]{Body: api.Page[NodeView]{Items: append([]NodeView{}, list...), Next: next}}, nil
	})

	type monthly struct {
		Month string `query:"month" required:"true" pattern:"^[0-9]{4}-[0-9]{2}$" doc:"As 2026-11, in Beijing"`
	}
	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/service-levels", OperationID: "list-service-levels", Tags: []string{tag},
		Summary:     "The service levels of nodes below in a month (月度服务水平)",
		Description: "What each said of itself, what was measured from here, and which of its messages never came.",
	}, func(ctx context.Context, in *monthly) (*api.Body[api.Page[Standing]], error) {
		items, err := m.Standings(ctx, in.Month, see(ctx))
		if err != nil {
			return nil, err
		}
		return &api.Body[api.Page[Standing]]{Body: api.Page[Standing]{Items: items}}, nil
	})
	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/service-levels/own", OperationID: "get-own-service-level", Tags: []string{tag},
		Summary: "This node's own monthly report, from what is known up to now (本节点月度报告)",
	}, func(ctx context.Context, in *monthly) (*api.Body[SLA], error) {
		if err := looker(ctx); err != nil {
			return nil, err
		}
		row, _, err := m.Month(ctx, in.Month)
		if err != nil {
			return nil, err
		}
		return &api.Body[SLA]{Body: row}, nil
	})

	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/outbox", OperationID: "list-outbox", Tags: []string{tag},
		Summary: "List the reports that the node above has not taken yet (待上报)", Description: "Those that it refused stay, with its reason.",
	}, func(ctx context.Context, in *api.PageInput) (*api.Body[api.Page[Parcel]], error) {
		if err := looker(ctx); err != nil {
			return nil, err
		}
		after, _ := strconv.ParseUint(in.After, 10, 63)
		items, err := m.Outbox(ctx, after, in.Limit+1)
		if err != nil {
			return nil, err
		}
		page := api.Page[Parcel]{Items: items}
		if len(items) > in.Limit {
			page.Items = items[:in.Limit]
			page.Next = strconv.FormatUint(items[in.Limit-1].Seq, 10)
		}
		return &api.Body[api.Page[Parcel]]{Body: page}, nil
	})

	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/meter", OperationID: "get-meter", Tags: []string{tag},
		Summary: "What is counted of today, up to the last minute (当日计量)",
	}, func(ctx context.Context, _ *tables) (*api.Body[Live], error) {
		if err := looker(ctx); err != nil {
			return nil, err
		}
		got, err := m.Today(ctx)
		if err != nil {
			return nil, err
		}
		return &api.Body[Live]{Body: got}, nil
	})

	type seen struct {
		From string `query:"from" pattern:"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$" doc:"A day in Beijing"`
		To   string `query:"to" pattern:"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"`
	}
	api.Do(a, huma.Operation{
		Method: http.MethodGet, Path: "/api/neighbours", OperationID: "list-neighbours", Tags: []string{tag},
		Summary: "What was measured of neighbours from outside, by day (邻居节点拨测)",
	}, func(ctx context.Context, in *seen) (*api.Body[api.Page[Measured]], error) {
		if err := looker(ctx); err != nil {
			return nil, err
		}
		items, err := m.Seen(ctx, in.From, in.To)
		if err != nil {
			return nil, err
		}
		return &api.Body[api.Page[Measured]]{Body: api.Page[Measured]{Items: items}}, nil
	})

	type abnormal struct {
		Body struct {
			Type        int    `json:"type" minimum:"1" maximum:"4" doc:"1 network 网络故障, 2 system 系统异常, 3 attack 安全攻击, 4 other 其他"`
			Cause       string `json:"cause,omitempty" maxLength:"1000"`
			Maintenance bool   `json:"maintenance,omitempty" doc:"It was planned"`
		}
	}
	type number struct {
		EventNo string `json:"eventNo"`
	}
	api.Do(a, huma.Operation{
		Method: http.MethodPost, Path: "/api/incidents", OperationID: "post-incident", Tags: []string{tag}, DefaultStatus: http.StatusCreated,
		Summary: "Report at once that something is wrong here (异常上报)",
	}, func(ctx context.Context, in *abnormal) (*api.Body[number], error) {
		if err := api.From(ctx).Need(m.cfg.Prefix, api.Operator); err != nil {
			return nil, err
		}
		no, err := m.Abnormal(ctx, Kind(in.Body.Type), in.Body.Cause, in.Body.Maintenance)
		if err != nil {
			return nil, err
		}
		return &api.Body[number]{Body: number{no}}, nil
	})
	type recovered struct {
		No string `path:"no"`
	}
	api.Do(a, huma.Operation{
		Method: http.MethodPost, Path: "/api/incidents/{no}/recovered", OperationID: "post-incident-recovered", Tags: []string{tag}, DefaultStatus: http.StatusCreated,
		Summary: "Report that it is right again (恢复上报)",
	}, func(ctx context.Context, in *recovered) (*api.Body[number], error) {
		if err := api.From(ctx).Need(m.cfg.Prefix, api.Operator); err != nil {
			return nil, err
		}
		no, err := m.Recovered(ctx, in.No)
		if err != nil {
			return nil, err
		}
		return &api.Body[number]{Body: number{no}}, nil
	})
}

func prefixOf(name string) string {
	for i := range len(name) {
		if name[i] == '/' {
			return name[:i]
		}
	}
	return name
}

// Today is what is counted of today, up to the last minute.
func (m *Meter) Today(ctx context.Context) (Live, error) {
	day := dayOf(m.cfg.Now())
	row, err := days.Load(ctx, m.cfg.Store, dayKey(day, ""))
	if err != nil {
		return Live{}, err
	}
	d := row.Value
	waiting, err := m.Outbox(ctx, 0, 1000)
	return Live{Day: day, Requests: d.Resolve.Count, Successes: d.Resolve.OK, ResolveMeanMs: mean(&d.Resolve), ResolveP50Ms: millis(d.Resolve.Quantile(0.5)),
		ResolveP99Ms: millis(d.Resolve.Quantile(0.99)), MaxQPS: d.MaxQPS, Waiting: len(waiting)}, err
}
