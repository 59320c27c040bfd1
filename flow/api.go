package flow

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
)

// View is a flow that somebody may begin.
type View struct {
	Name     string    `json:"name" doc:"solution/flow"`
	Title    string    `json:"title"`
	Solution string    `json:"solution"`
	Version  string    `json:"version,omitempty"`
	Start    *StepView `json:"start"`
}

// RunView is a run as people see it.
type RunView struct {
	Run     string         `json:"run"`
	Flow    string         `json:"flow"`
	Title   string         `json:"title,omitempty"`
	About   string         `json:"about"`
	State   State          `json:"state" enum:"open,held,ended,cancelled"`
	Step    string         `json:"step,omitempty"`
	Verdict Verdict        `json:"verdict,omitempty"`
	Say     string         `json:"say,omitempty"`
	Steps   int            `json:"steps"`
	Started time.Time      `json:"started"`
	Last    time.Time      `json:"last"`
	By      string         `json:"by,omitempty"`
	Vars    map[string]any `json:"vars,omitempty"`
	Next    *StepView      `json:"next,omitempty"`
	Journal []EntryView    `json:"journal,omitempty" doc:"Only of one run: what was done, oldest first"`
}

// EntryView is a line of the journal.
type EntryView struct {
	Seq      uint64    `json:"seq"`
	No       int       `json:"no,omitempty"`
	Kind     string    `json:"kind" enum:"scan,timer,note,cancel,release,task"`
	Step     string    `json:"step,omitempty"`
	Code     string    `json:"code,omitempty"`
	Verdict  Verdict   `json:"verdict,omitempty"`
	Say      string    `json:"say,omitempty"`
	Who      string    `json:"who,omitempty"`
	Device   string    `json:"device,omitempty"`
	Place    string    `json:"place,omitempty"`
	At       time.Time `json:"at" doc:"By the scanner's clock"`
	Received time.Time `json:"received" doc:"By the node's clock"`
	Explain  []Reason  `json:"explain,omitempty"`
	Effects  []Done    `json:"effects,omitempty"`
}

// TaskView is a task as people see it.
type TaskView struct {
	Task  string    `json:"task"`
	Run   string    `json:"run"`
	Flow  string    `json:"flow"`
	Name  string    `json:"name"`
	About string    `json:"about,omitempty"`
	For   []string  `json:"for"`
	State string    `json:"state" enum:"open,taken,done"`
	By    string    `json:"by,omitempty"`
	Made  time.Time `json:"made"`
	Due   time.Time `json:"due,omitzero"`
	Late  bool      `json:"late,omitempty"`
	Note  string    `json:"note,omitempty"`
}

// MailView is a message in an inbox.
type MailView struct {
	Seq  uint64         `json:"seq" doc:"Give it as after for what comes behind it"`
	Kind string         `json:"kind"`
	Body map[string]any `json:"body"`
	Run  string         `json:"run,omitempty"`
	At   time.Time      `json:"at"`
}

func (e *Engine) runView(r Run, lang problem.Lang) RunView {
	v := RunView{Run: r.ID, Flow: r.Flow, About: r.About, State: r.State, Step: r.Step, Verdict: r.Verdict, Say: r.Say.In(lang), Steps: r.Steps, Started: r.Started, Last: r.Last, By: r.By, Vars: r.Vars}
	if p := e.program(r.Flow); p != nil {
		v.Title = p.Title.In(lang)
		if s := p.steps[r.Step]; s != nil && r.State == Open {
			q := &passage{e: e, p: p, run: clone(r), now: e.cfg.Now()}
			v.Next = q.next(s, lang)
		}
	}
	return v
}

// next is the step that comes, as a screen shows it.
func (p *passage) next(s *step, lang problem.Lang) *StepView {
	hint := ""
	if t, err := s.hint.eval(p.scope()); err == nil {
		hint = t.In(lang)
	}
	v := s.view(lang, hint)
	v.Form = p.prefilled(s)
	return v
}

func entryView(x Entry, lang problem.Lang) EntryView {
	return EntryView{x.Seq, x.No, x.Kind, x.Step, x.Code, x.Verdict, x.Say.In(lang), x.Who, x.Device, x.Place, x.At, x.Received, x.Explain, x.Effects}
}

func taskView(t Task, lang problem.Lang) TaskView {
	return TaskView{t.ID, t.Run, t.Flow, t.Name.In(lang), t.About, t.For, t.State, t.By, t.Made, t.Due, t.Late, t.Note}
}

// system finds the inbox that a name means: solution/system, or a system's name when only one solution has it. Only who may read it finds it.
func (e *Engine) system(ctx context.Context, name string) (string, error) {
	who := api.From(ctx)
	if err := who.Need(e.cfg.Prefix, api.EnterpriseAdmin, api.Application); err != nil {
		return "", err
	}
	var all []string
	for _, p := range e.cfg.Programs() {
		for _, s := range p.sol.Systems {
			full := p.sol.Name + "/" + s
			if (full == name || s == name) && !slices.Contains(all, full) {
				all = append(all, full)
			}
		}
	}
	switch len(all) {
	case 1:
		return all[0], nil
	case 0:
		return "", problem.New(problem.NotFound, "no installed solution has a system %s", "没有已安装的解决方案使用系统 %s", clip(name))
	}
	return "", problem.New(problem.BadRequest, "several solutions have a system %s: say which, as in %s", "多个解决方案都有系统 %s：请写明，例如 %s", clip(name), all[0])
}

const (
	tag     = "Flows 扫码流程"
	maxWait = 20 * time.Second
)

type runPath struct {
	Run string `path:"run" maxLength:"40"`
}

type whyInput struct {
	Run  string `path:"run" maxLength:"40"`
	Body struct {
		Why string `json:"why,omitempty" maxLength:"1000" doc:"Kept in the journal"`
	}
}

// followed is how long the answer to a single scan waits for its effects. Batches do not wait: a line's next scan does not need them.
const followed = 2 * time.Second

// settled are effects of which none waits any more.
func settled(list []Done) []Done {
	list = slices.Clone(list)
	for i := range list {
		list[i].State = "done"
	}
	return list
}

// waits are the scans of a run, by their numbers, of which some effect is not done yet.
func (e *Engine) waits(run string) map[int]bool {
	out := map[int]bool{}
	e.out.Lock()
	defer e.out.Unlock()
	for _, a := range e.out.queue {
		if a.Run == run {
			out[a.No] = true
		}
	}
	return out
}

// Register adds this room's operations.
func (e *Engine) Register(a *api.API) {
	tags := []string{tag}
	e.registerPlans(a, tags)
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/flows", OperationID: "list-flows", Tags: tags, Summary: "The flows that the caller may begin (扫码流程)",
		Description: "With the first step of each: what is to be scanned, and its form."},
		func(ctx context.Context, _ *struct{}) (*api.Body[api.Page[View]], error) {
			who := api.From(ctx)
			if who.IsAnonymous() {
				return nil, who.Need(e.cfg.Prefix)
			}
			out := api.Page[View]{Items: []View{}}
			q := &passage{e: e, ctx: ctx, who: who, now: e.cfg.Now()}
			for _, p := range e.cfg.Programs() {
				if q.mayDo(p, p.start) {
					q.p, q.run = p, Run{Flow: p.Name, Vars: p.vars, Saw: tree{}, Form: tree{}}
					out.Items = append(out.Items, View{p.Name, p.Title.In(who.Lang), p.sol.Name, p.sol.Version, q.next(p.start, who.Lang)})
				}
			}
			slices.SortFunc(out.Items, func(x, y View) int { return strings.Compare(x.Name, y.Name) })
			return &api.Body[api.Page[View]]{Body: out}, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/flow-scans", OperationID: "scan", Tags: tags, Summary: "Scan a code (扫码)",
		Description: "The answer says what is to be done: the verdict and why, a form to fill in, the next step. What it says is durable. Sent again with the same id, it is the same scan. With dryRun, nothing is done: the answer explains what would be."},
		func(ctx context.Context, in *api.Body[Scan]) (*api.Body[Result], error) {
			r, err := e.Scan(ctx, api.From(ctx), in.Body)
			if err != nil {
				return nil, err
			}
			if r.Run != "" && len(r.Effects) > 0 && !in.Body.DryRun && e.Follow(ctx, r.Run, followed) {
				done := *r
				done.Effects = settled(r.Effects)
				r = &done
			}
			return &api.Body[Result]{Body: *r}, nil
		})
	type scans struct {
		Scans []Scan `json:"scans" minItems:"1" maxItems:"1000"`
	}
	type results struct {
		Results []Result `json:"results" doc:"One for each scan, in their order"`
	}
	api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/flow-scan-batches", OperationID: "scan-batch", Tags: tags, MaxBodyBytes: 16 << 20, Summary: "Send up to 1,000 scans at once (批量扫码)",
		Description: "For scanners on a line and phones that were offline. Scans of one run are done in their order; a scan may name the run of an earlier one by its id: run: \"@ID\". One that cannot be taken has an error, and does not hold up the others."},
		func(ctx context.Context, in *api.Body[scans]) (*api.Body[results], error) {
			list, err := e.ScanBatch(ctx, api.From(ctx), in.Body.Scans)
			if err != nil {
				return nil, err
			}
			return &api.Body[results]{Body: results{list}}, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/flow-runs", OperationID: "list-flow-runs", Tags: tags, Summary: "List runs (流程实例)", Description: "Those of the solutions in which the caller has a role, the last one that moved first."},
		func(ctx context.Context, in *struct {
			api.PageInput
			Flow  string `query:"flow" maxLength:"81" doc:"solution/flow"`
			About string `query:"about" maxLength:"2048" doc:"An identifier"`
			State string `query:"state" enum:"open,held,ended,cancelled"`
		}) (*api.Body[api.Page[RunView]], error) {
			who := api.From(ctx)
			if who.IsAnonymous() {
				return nil, who.Need(e.cfg.Prefix)
			}
			list, next, err := e.Runs(ctx, who, Filter{in.Flow, in.About, State(in.State)}, in.After, in.Limit)
			if err != nil {
				return nil, err
			}
			out := &api.Body[api.Page[RunView]]{Body: api.Page[RunView]{Items: []RunView{}, Next: next}}
			for _, r := range list {
				v := e.runView(r, who.Lang)
				v.Vars = nil
				out.Body.Items = append(out.Body.Items, v)
			}
			return out, nil
		})
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/flow-runs/{run}", OperationID: "show-flow-run", Tags: tags, Summary: "Show a run, with its journal"},
		func(ctx context.Context, in *runPath) (*api.Body[RunView], error) {
			who := api.From(ctx)
			r, list, err := e.Run(ctx, who, in.Run)
			if err != nil {
				return nil, err
			}
			v, waits := e.runView(r, who.Lang), e.waits(r.ID)
			for _, x := range list {
				line := entryView(x, who.Lang)
				if !waits[x.No] {
					// What could not be done says so in a line of its own.
					line.Effects = settled(line.Effects)
				}
				v.Journal = append(v.Journal, line)
			}
			return &api.Body[RunView]{Body: v}, nil
		})
	for _, x := range []struct {
		name, summary, about string
		do                   func(context.Context, api.Caller, string, string) (*Run, error)
	}{
		{"cancel", "Cancel a run (取消)", "What its steps say can be undone is undone, the newest first.", e.Cancel},
		{"release", "Let a held run go on (放行)", "The reason is kept in the journal.", e.Release},
	} {
		api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/flow-runs/{run}/" + x.name, OperationID: x.name + "-flow-run", Tags: tags, Summary: x.summary, Description: x.about + " For administrators of the enterprise."},
			func(ctx context.Context, in *whyInput) (*api.Body[RunView], error) {
				r, err := x.do(ctx, api.From(ctx), in.Run, in.Body.Why)
				if err != nil {
					return nil, err
				}
				return &api.Body[RunView]{Body: e.runView(*r, api.From(ctx).Lang)}, nil
			})
	}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/flow-tasks", OperationID: "list-flow-tasks", Tags: tags, Summary: "List the caller's tasks (任务)", Description: "Those for the caller's roles, the oldest first."},
		func(ctx context.Context, in *struct {
			api.PageInput
			State string `query:"state" enum:"open,taken,done" doc:"Open and taken ones if absent"`
		}) (*api.Body[api.Page[TaskView]], error) {
			who := api.From(ctx)
			if who.IsAnonymous() {
				return nil, who.Need(e.cfg.Prefix)
			}
			list, next, err := e.Tasks(ctx, who, in.State, in.After, in.Limit)
			if err != nil {
				return nil, err
			}
			out := &api.Body[api.Page[TaskView]]{Body: api.Page[TaskView]{Items: []TaskView{}, Next: next}}
			for _, t := range list {
				out.Body.Items = append(out.Body.Items, taskView(t, who.Lang))
			}
			return out, nil
		})
	for _, x := range [][2]string{{"take", "Take a task (领取)"}, {"done", "Say that a task is done (完成)"}, {"give-back", "Give a task back (退回)"}} {
		api.Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/flow-tasks/{task}/" + x[0], OperationID: x[0] + "-flow-task", Tags: tags, Summary: x[1]},
			func(ctx context.Context, in *struct {
				Task string `path:"task" maxLength:"60"`
				Body struct {
					Note string `json:"note,omitempty" maxLength:"1000"`
				}
			}) (*api.Body[TaskView], error) {
				t, err := e.Handle(ctx, api.From(ctx), in.Task, x[0], in.Body.Note)
				if err != nil {
					return nil, err
				}
				return &api.Body[TaskView]{Body: taskView(t, api.From(ctx).Lang)}, nil
			})
	}
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/flow-messages", OperationID: "list-flow-messages", Tags: tags, Summary: "A system's inbox (消息)",
		Description: "What flows have for a business system, each message once, in order. Ask again with the seq of the last one that was dealt with; with wait, the answer comes as soon as there is something. For applications and administrators of the enterprise."},
		func(ctx context.Context, in *struct {
			To    string `query:"to" required:"true" maxLength:"81" doc:"solution/system, or the system alone when it is clear"`
			After string `query:"after" maxLength:"20" doc:"The seq of the last message that was dealt with"`
			Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
			Wait  int    `query:"wait" minimum:"0" maximum:"20" doc:"Seconds to wait for the first"`
		}) (*api.Body[api.Page[MailView]], error) {
			name, err := e.system(ctx, in.To)
			if err != nil {
				return nil, err
			}
			var after uint64
			if in.After != "" {
				if after, err = strconv.ParseUint(in.After, 10, 64); err != nil {
					return nil, problem.New(problem.BadRequest, "after is the seq of a message: a number", "after 应为消息的 seq：一个数字")
				}
			}
			list, err := e.Inbox(ctx, name, after, in.Limit, min(time.Duration(in.Wait)*time.Second, maxWait))
			if err != nil {
				return nil, err
			}
			out := &api.Body[api.Page[MailView]]{Body: api.Page[MailView]{Items: []MailView{}, Next: strconv.FormatUint(after, 10)}}
			for _, m := range list {
				out.Body.Items = append(out.Body.Items, MailView{m.Seq, m.Kind, m.Body, m.Run, m.At})
				out.Body.Next = strconv.FormatUint(m.Seq, 10)
			}
			return out, nil
		})
	for path, schema := range map[string]func() []byte{"GET /api/schemas/flow.json": Schema, "GET /api/schemas/decision-table.json": TableSchema} {
		a.Mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/schema+json")
			w.Write(schema())
		})
	}
}
