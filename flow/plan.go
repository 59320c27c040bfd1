package flow

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// Plan is a flow as a picture shows it: its steps, the ways between them, and how many runs stand where.
type Plan struct {
	Name     string     `json:"name" doc:"solution/flow"`
	Title    string     `json:"title"`
	Solution string     `json:"solution"`
	Version  string     `json:"version,omitempty"`
	Start    string     `json:"start" doc:"The first step"`
	Begin    bool       `json:"begin" doc:"The caller may begin it"`
	Many     bool       `json:"many,omitempty" doc:"Several runs about one thing may be open at once"`
	Steps    []PlanStep `json:"steps"`
	Open     int        `json:"open" doc:"Runs that are under way"`
	Held     int        `json:"held" doc:"Runs that are stopped until somebody lets them go on"`
	Least    bool       `json:"least,omitempty" doc:"There are more runs than were counted"`
}

// PlanStep is one step of a plan.
type PlanStep struct {
	Step    string       `json:"step"`
	Title   string       `json:"title,omitempty"`
	Who     []string     `json:"who,omitempty" doc:"Roles of the solution; all of them if absent"`
	Auto    bool         `json:"auto,omitempty" doc:"Nobody scans: it is done as soon as the run comes to it"`
	Scans   bool         `json:"scans,omitempty"`
	Of      []string     `json:"of,omitempty" doc:"Templates of what is to be scanned"`
	Fresh   bool         `json:"fresh,omitempty" doc:"A code that nothing is registered under is expected"`
	Form    []string     `json:"form,omitempty" doc:"Labels of the fields"`
	Asks    []string     `json:"asks,omitempty" doc:"What else is looked up, as the flow names it"`
	Checks  []PlanCheck  `json:"checks,omitempty"`
	Effects []PlanEffect `json:"effects,omitempty"`
	Undone  bool         `json:"undone,omitempty" doc:"What it did is undone when the run is cancelled"`
	Ways    []PlanWay    `json:"ways" doc:"Where a run goes from here"`
	Open    int          `json:"open" doc:"Runs that stand here"`
	Held    int          `json:"held" doc:"Runs that are stopped here"`
}

// PlanCheck is a check of a step.
type PlanCheck struct {
	When    string  `json:"when" doc:"The condition (CEL)"`
	Verdict Verdict `json:"verdict"`
	Say     string  `json:"say,omitempty" doc:"What is said then, its values not yet put in"`
}

// PlanEffect is something that a step does.
type PlanEffect struct {
	Kind string `json:"kind" enum:"event,register,change,issue,message,task,divert,start"`
	What string `json:"what"`
	When string `json:"when,omitempty" doc:"Only if this holds (CEL)"`
	Late bool   `json:"late,omitempty" doc:"Done when nobody has scanned in time"`
}

// PlanWay is a way from a step to another, or to end.
type PlanWay struct {
	To   string `json:"to"`
	Kind string `json:"kind" enum:"next,check,again,finish,timer"`
	When string `json:"when,omitempty"`
	Say  string `json:"say,omitempty" doc:"The words on the button, or how long it takes"`
}

// counted is how many runs are counted for plans: those of a day of a large plant, in some milliseconds.
const counted = 20_000

// plans are the flows of the solutions in which somebody has a role.
func (e *Engine) plans(ctx context.Context, who api.Caller) ([]Plan, error) {
	out := []Plan{}
	at := map[string]int{}
	q := &passage{e: e, ctx: ctx, who: who, now: e.cfg.Now()}
	for _, p := range e.cfg.Programs() {
		if _, twice := at[p.Name]; twice || !e.sees(ctx, who, p.sol.Name) {
			continue
		}
		at[p.Name] = len(out)
		v := Plan{Name: p.Name, Title: p.Title.In(who.Lang), Solution: p.sol.Name, Version: p.sol.Version, Start: p.start.Step.Step, Begin: q.mayDo(p, p.start), Many: p.def.Many}
		for i := range p.def.Steps {
			v.Steps = append(v.Steps, planStep(&p.def.Steps[i], who.Lang))
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		return out, nil
	}
	n := 0
	err := runs.By(ctx, e.cfg.Store, "about", store.Span{}, func(r Run) error {
		i, ok := at[r.Flow]
		if !ok {
			return nil
		}
		if n++; n > counted {
			for i := range out {
				out[i].Least = true
			}
			return store.Stop
		}
		v := &out[i]
		s := slices.IndexFunc(v.Steps, func(s PlanStep) bool { return s.Step == r.Step })
		if r.State == Held {
			if v.Held++; s >= 0 {
				v.Steps[s].Held++
			}
		} else if v.Open++; s >= 0 {
			v.Steps[s].Open++
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Plan) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

func planStep(s *Step, lang problem.Lang) PlanStep {
	v := PlanStep{Step: s.Step, Title: s.Name.In(lang), Who: s.Who, Auto: s.Auto, Scans: s.Scan != nil, Undone: len(s.Undo) > 0, Ways: []PlanWay{}}
	if s.Scan != nil {
		v.Of, v.Fresh = s.Scan.Of, s.Scan.New
	}
	for _, f := range s.Form {
		v.Form = append(v.Form, f.Label.In(lang))
	}
	for _, a := range s.Ask {
		v.Asks = append(v.Asks, a.As)
	}
	way := func(to, kind, when, say string) { v.Ways = append(v.Ways, PlanWay{to, kind, when, say}) }
	if s.Again != "" {
		way(s.Step, "again", s.Again, "")
	}
	sure := false
	for _, w := range s.Next {
		way(w.To, "next", w.When, "")
		sure = sure || w.When == ""
	}
	if !sure {
		way(End, "next", "", "")
	}
	if s.Finish != nil {
		to := s.Finish.To
		if to == "" {
			to = End
		}
		way(to, "finish", s.Finish.When, s.Finish.Name.In(lang))
	}
	for _, c := range s.Checks {
		v.Checks = append(v.Checks, PlanCheck{c.When, c.Verdict, c.Say.In(lang)})
		if c.To != "" && c.To != s.Step {
			way(c.To, "check", c.When, c.Say.In(lang))
		}
	}
	v.Effects = planEffects(v.Effects, s.Do, false, lang)
	if s.After != nil {
		v.Effects = planEffects(v.Effects, s.After.Do, true, lang)
		to := s.After.To
		if to == "" {
			to = s.Step
		}
		way(to, "timer", "", s.After.Wait)
	}
	return v
}

func planEffects(out []PlanEffect, list []Effect, late bool, lang problem.Lang) []PlanEffect {
	for _, x := range list {
		v := PlanEffect{When: x.When, Late: late}
		switch {
		case x.Event != nil:
			v.Kind, v.What = "event", x.Event.Type
			if s, ok := x.Event.Step.(string); ok {
				v.What = s
			}
		case x.Register != nil:
			v.Kind, v.What = "register", x.Register.Template
		case x.Change != nil:
			v.Kind, v.What = "change", strings.Join(sorted(x.Change.Values), ", ")
		case x.Issue != nil:
			v.Kind, v.What = "issue", x.Issue.Rule
		case x.Message != nil:
			v.Kind, v.What = "message", fmt.Sprintf("%s: %s", x.Message.To, x.Message.Kind)
		case x.Task != nil:
			v.Kind, v.What = "task", x.Task.Name.In(lang)
			if v.When == "" {
				v.When = x.Task.When
			}
		case x.Divert != nil:
			v.Kind, v.What = "divert", x.Divert.Exit
		case x.Start != nil:
			v.Kind, v.What = "start", x.Start.Flow
		}
		out = append(out, v)
	}
	return out
}

// registerPlans adds the operation.
func (e *Engine) registerPlans(a *api.API, tags []string) {
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/flow-plans", OperationID: "list-flow-plans", Tags: tags, Summary: "What the flows are made of (流程图)",
		Description: "Of each flow of the solutions in which the caller has a role: its steps, what each checks and does, the ways between them, and how many runs stand where."},
		func(ctx context.Context, _ *struct{}) (*api.Body[api.Page[Plan]], error) {
			who := api.From(ctx)
			if who.IsAnonymous() {
				return nil, who.Need(e.cfg.Prefix)
			}
			list, err := e.plans(ctx, who)
			return &api.Body[api.Page[Plan]]{Body: api.Page[Plan]{Items: list}}, err
		})
}
