package solutions

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
)

// View is a case on the market.
type View struct {
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Case      string            `json:"case,omitempty"`
	Title     string            `json:"title"`
	Summary   string            `json:"summary"`
	Mode      Mode              `json:"mode"`
	Industry  string            `json:"industry"`
	Parties   map[string]string `json:"parties" doc:"Kinds of enterprises in it, with their titles (参与方)"`
	Installed *Installed        `json:"installed,omitempty"`
	Newer     bool              `json:"newer,omitempty" doc:"The market has a newer version than the installed one"`
}

// Detail is a case with what it brings.
type Detail struct {
	View
	Readme string     `json:"readme,omitempty" doc:"Markdown"`
	Roles  []RoleView `json:"roles"`
	// Systems are the business systems that flows send messages to.
	Systems []SystemView      `json:"systems,omitempty" doc:"Business systems that take messages (业务系统)"`
	Brings  map[string]Brings `json:"brings" doc:"By party"`
	Shows   []ShowView        `json:"shows,omitempty" doc:"What parties show one another of their records beside what everybody sees (权限)"`
}

// ShowView is what one party shows others.
type ShowView struct {
	Name     string   `json:"name"`
	Party    string   `json:"party" doc:"Whose records"`
	Template string   `json:"template"`
	Items    []Titled `json:"items" doc:"Properties"`
	To       []string `json:"to" doc:"Parties that see them"`
	Purposes []string `json:"purposes,omitempty" doc:"What they must say that it is for; anything if absent"`
	Rule     string   `json:"rule,omitempty" doc:"The rule that it is here, while it holds"`
}

// RoleView is a role and the group that has who are it.
type RoleView struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Party string `json:"party,omitempty"`
	Group string `json:"group,omitempty" doc:"Whose members have it here"`
}

// SystemView is a business system that takes the case's messages.
type SystemView struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Party string `json:"party,omitempty" doc:"Whose it is; every party's if absent"`
}

// Brings is what a party installs.
type Brings struct {
	Templates  []string `json:"templates,omitempty"`
	Codes      []string `json:"codes,omitempty"`
	Flows      []Titled `json:"flows,omitempty"`
	Indicators []Titled `json:"indicators,omitempty"`
	Pages      []Titled `json:"pages,omitempty"`
}

// Titled is a name with its title.
type Titled struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

// PageView is a screen of an installed case.
type PageView struct {
	Solution string     `json:"solution"`
	Name     string     `json:"name"`
	Title    string     `json:"title"`
	Cards    []CardView `json:"cards"`
}

// CardView is a piece of a screen.
type CardView struct {
	Kind  string `json:"kind" enum:"indicator,flow,runs,tasks,trace,text"`
	Of    string `json:"of,omitempty" doc:"Solution/name of the indicator or flow; the direction of a trace"`
	Title string `json:"title,omitempty"`
	Show  string `json:"show,omitempty"`
	Unit  string `json:"unit,omitempty"`
	Seed  string `json:"seed,omitempty" doc:"What the published case says of the figure"`
	Text  string `json:"text,omitempty"`
	Wide  bool   `json:"wide,omitempty"`
}

const tag = "Solutions 解决方案"

func (d *Desk) view(s *Solution, lang problem.Lang) View {
	v := View{Name: s.Solution, Version: s.Version, Case: s.Case, Title: s.Name.In(lang), Summary: s.Summary.In(lang), Mode: s.Mode, Industry: s.Industry, Parties: map[string]string{}}
	for name, p := range s.Parties {
		v.Parties[name] = p.Name.In(lang)
	}
	if id, err := d.papers.ID(s.Solution); err == nil {
		if p, err := d.papers.Get(id); err == nil {
			v.Installed, v.Newer = &p, p.Digest != s.Digest
		}
	}
	return v
}

// find is a case of the market, or an installed one that is no longer there.
func (d *Desk) find(name string) (*Solution, error) {
	if s, err := Open(name); err == nil {
		return s, nil
	}
	d.mu.RLock()
	r := d.running[name]
	d.mu.RUnlock()
	if r != nil {
		return r.s, nil
	}
	return nil, problem.New(problem.NotFound, "there is no solution %q on the market: GET /api/solutions lists them", "应用市场没有解决方案 %q：GET /api/solutions 列出全部", name)
}

func (d *Desk) market() []*Solution {
	names := Builtin()
	d.mu.RLock()
	for name := range d.running {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	d.mu.RUnlock()
	slices.Sort(names)
	var all []*Solution
	for _, name := range names {
		if s, err := d.find(name); err == nil {
			all = append(all, s)
		}
	}
	return all
}

type named struct {
	Name string `path:"name" maxLength:"40"`
}

// Operations adds this room's operations.
func (d *Desk) Operations(a *api.API) {
	for path, schema := range map[string]func() []byte{"GET /api/schemas/solution.json": SheetSchema, "GET /api/schemas/page.json": PageSchema,
		"GET /api/schemas/codes.json": CodesSchema, "GET /api/schemas/template.json": TemplateSchema} {
		a.Mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/schema+json")
			w.Write(schema())
		})
	}
	everyone := []api.RoleName{api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor, api.Regulator}
	reads := func(ctx context.Context) error { return api.From(ctx).Need(d.cfg.Prefix, everyone...) }
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/solutions", OperationID: "list-solutions", Tags: []string{tag}, Summary: "The market of solutions (应用市场)",
		Description: "Every case that can be installed here, and which are."},
		func(ctx context.Context, _ *struct{}) (*api.Body[api.Page[View]], error) {
			if err := reads(ctx); err != nil {
				return nil, err
			}
			out := api.Page[View]{Items: []View{}}
			for _, s := range d.market() {
				out.Items = append(out.Items, d.view(s, api.From(ctx).Lang))
			}
			return &api.Body[api.Page[View]]{Body: out}, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/solutions/{name}", OperationID: "show-solution", Tags: []string{tag}, Summary: "Show a solution"},
		func(ctx context.Context, in *named) (*api.Body[Detail], error) {
			if err := reads(ctx); err != nil {
				return nil, err
			}
			s, err := d.find(in.Name)
			if err != nil {
				return nil, err
			}
			return &api.Body[Detail]{Body: d.detail(s, api.From(ctx).Lang)}, nil
		})
	type install struct {
		Name string `path:"name" maxLength:"40"`
		Body struct {
			Order
			Files map[string]string `json:"files,omitempty" doc:"The folder, name → text, of a case that did not come with the program"`
		}
	}
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/solutions/{name}/install", OperationID: "install-solution", Tags: []string{tag}, MaxBodyBytes: maxAll, Summary: "Install or upgrade a solution (安装)",
		Description: "Can be repeated: what is there stays, and an installation that was cut off goes on. For administrators of the enterprise."},
		func(ctx context.Context, in *install) (*api.Body[View], error) {
			by := api.From(ctx)
			if err := by.Need(d.cfg.Prefix, api.EnterpriseAdmin); err != nil {
				return nil, err
			}
			var s *Solution
			var err error
			if len(in.Body.Files) > 0 {
				if s, err = FromFiles(in.Body.Files); err == nil && s.Solution != in.Name {
					err = problem.New(problem.BadValue, "the files are those of %s, not of %s", "文件属于 %s，而非 %s", s.Solution, in.Name)
				}
			} else {
				s, err = d.find(in.Name)
			}
			if err != nil {
				return nil, err
			}
			if _, err := d.Install(ctx, by, s, in.Body.Order, nil); err != nil {
				return nil, err
			}
			return &api.Body[View]{Body: d.view(s, by.Lang)}, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodDelete, Path: "/api/solutions/{name}", OperationID: "remove-solution", Tags: []string{tag}, DefaultStatus: http.StatusNoContent, Summary: "Remove a solution (移除)",
		Description: "Records, events, templates and code rules stay; groups and labels go. Refused while runs are open, unless force is set."},
		func(ctx context.Context, in *struct {
			Name  string `path:"name" maxLength:"40"`
			Force bool   `query:"force"`
		}) (*struct{}, error) {
			return nil, d.Remove(ctx, api.From(ctx), in.Name, in.Force)
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/solution-pages", OperationID: "list-solution-pages", Tags: []string{tag}, Summary: "The screens of the installed solutions (页面)",
		Description: "Those that the caller's roles show."},
		func(ctx context.Context, _ *struct{}) (*api.Body[api.Page[PageView]], error) {
			if err := reads(ctx); err != nil {
				return nil, err
			}
			return &api.Body[api.Page[PageView]]{Body: api.Page[PageView]{Items: d.pages(ctx, api.From(ctx))}}, nil
		})
}

func (d *Desk) detail(s *Solution, lang problem.Lang) Detail {
	x := Detail{View: d.view(s, lang), Readme: s.Readme.In(lang), Roles: []RoleView{}, Brings: map[string]Brings{}}
	for _, k := range slices.Sorted(maps.Keys(s.Systems)) {
		x.Systems = append(x.Systems, SystemView{k, s.Systems[k].Name.In(lang), s.Systems[k].Party})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Permissions)) {
		p := s.Permissions[name]
		v := ShowView{Name: name, Party: p.Party, Template: p.Template, To: p.To, Purposes: p.Purposes}
		for _, item := range p.Items {
			title := item
			for _, y := range s.Templates[p.Template].Items {
				if t := Text(y.Names).In(lang); y.Name == item && t != "" {
					title = t
				}
			}
			v.Items = append(v.Items, Titled{item, title})
		}
		if x.Installed != nil && slices.Contains(x.Installed.Made.Rules, name) {
			v.Rule = d.cfg.Prefix + "/Policy_" + ruleOf(s.Solution, name)
		}
		x.Shows = append(x.Shows, v)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Roles)) {
		r := s.Roles[name]
		v := RoleView{Name: name, Title: r.Name.In(lang), Party: r.Party}
		if x.Installed != nil && (r.Party == "" || r.Party == x.Installed.Party) {
			v.Group = d.GroupOf(s.Solution, name)
		}
		x.Roles = append(x.Roles, v)
	}
	for name, p := range s.Parties {
		b := Brings{Templates: p.Templates, Codes: p.Codes}
		for _, f := range p.Flows {
			t := s.Flows[f].Name
			b.Flows = append(b.Flows, Titled{f, Text{"en": t.EN, "zh": t.ZH}.In(lang)})
		}
		for _, i := range p.Indicators {
			b.Indicators = append(b.Indicators, Titled{i, s.Indicators[i].Name.In(lang)})
		}
		for _, g := range p.Pages {
			b.Pages = append(b.Pages, Titled{g, s.Pages[g].Name.In(lang)})
		}
		x.Brings[name] = b
	}
	return x
}

func (d *Desk) pages(ctx context.Context, who api.Caller) []PageView {
	out := []PageView{}
	d.Each(func(s *Solution, in Installed) {
		for _, name := range s.Parties[in.Party].Pages {
			p := s.Pages[name]
			if len(p.Roles) > 0 && !slices.ContainsFunc(p.Roles, func(r string) bool { return d.May(ctx, who, s.Solution, r) }) {
				continue
			}
			v := PageView{Solution: s.Solution, Name: name, Title: p.Name.In(who.Lang), Cards: []CardView{}}
			for _, c := range p.Cards {
				v.Cards = append(v.Cards, card(s, c, who.Lang))
			}
			out = append(out, v)
		}
	})
	return out
}

func card(s *Solution, c Card, lang problem.Lang) CardView {
	v := CardView{Show: c.Show, Wide: c.Wide}
	of := func(kind, name, title string) { v.Kind, v.Of, v.Title = kind, s.Solution+"/"+name, title }
	flowTitle := func(name string) string {
		t := s.Flows[name].Name
		return Text{"en": t.EN, "zh": t.ZH}.In(lang)
	}
	switch {
	case c.Indicator != "":
		x := s.Indicators[c.Indicator]
		of("indicator", c.Indicator, x.Name.In(lang))
		v.Unit, v.Seed = x.Unit, x.Seed
	case c.Flow != "":
		of("flow", c.Flow, flowTitle(c.Flow))
	case c.Runs != "":
		of("runs", c.Runs, flowTitle(c.Runs))
	case c.Tasks:
		v.Kind = "tasks"
	case c.Trace != "":
		v.Kind, v.Of = "trace", c.Trace
	default:
		v.Kind, v.Text = "text", c.Text.In(lang)
	}
	return v
}
