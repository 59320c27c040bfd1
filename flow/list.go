package flow

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
)

// place is where a page ends: the time and name of its last row.
type place struct {
	at   time.Time
	name string
}

func (p place) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.at.UnixNano(), 36) + " " + p.name))
}

func readCursor(s string) (p place, err error) {
	if s == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	at, name, ok := strings.Cut(string(b), " ")
	n, wrong := strconv.ParseInt(at, 36, 64)
	if err != nil || !ok || wrong != nil || len(s) > 200 {
		return p, problem.New(problem.BadRequest, "the cursor is none that this list gave: begin without one", "游标无效：请从第一页开始")
	}
	return place{time.Unix(0, n).UTC(), name}, nil
}

// sees reports whether somebody sees the work of a solution: who has one of its roles, and the enterprise's administrators and auditors.
func (e *Engine) sees(ctx context.Context, who api.Caller, solution string) bool {
	if who.IsAnonymous() {
		return false
	}
	if who.Has(e.cfg.Prefix, api.EnterpriseAdmin, api.Auditor) {
		return true
	}
	for _, p := range e.cfg.Programs() {
		if p.sol.Name == solution && slices.ContainsFunc(p.sol.Roles, func(r string) bool { return e.cfg.May(ctx, who, solution, r) }) {
			return true
		}
	}
	return false
}

func noRun(name string) error {
	return problem.New(problem.NotFound, "there is no run %s: GET /api/flow-runs lists those that you may see", "没有流程实例 %s：GET /api/flow-runs 列出可查看的实例", clip(name))
}

// Filter says which runs are wanted; empty fields say nothing.
type Filter struct {
	Flow  string // solution/flow
	About string // an identifier
	State State
}

// Runs lists runs that somebody may see, the last one that moved first, and the cursor of the next page.
func (e *Engine) Runs(ctx context.Context, who api.Caller, f Filter, after string, limit int) ([]Run, string, error) {
	from, err := readCursor(after)
	if err != nil {
		return nil, "", err
	}
	var all []Run
	seen := map[string]bool{}
	for _, p := range e.cfg.Programs() {
		if f.Flow != "" && p.Name != f.Flow || seen[p.Name] || !e.sees(ctx, who, p.sol.Name) {
			continue
		}
		seen[p.Name] = true
		found := 0
		visit := func(r Run) error {
			if f.State != "" && r.State != f.State || f.About != "" && r.Key != epcis.Key(f.About) {
				return nil
			}
			if after != "" && (r.Last.After(from.at) || r.Last.Equal(from.at) && r.ID >= from.name) {
				return nil
			}
			if all = append(all, r); f.About == "" {
				if found++; found > limit {
					return store.Stop
				}
			}
			return nil
		}
		if f.About != "" {
			err = runs.By(ctx, e.cfg.Store, "thing", table.Is(pair(epcis.Key(f.About), p.Name)), visit)
		} else {
			span := store.Span{From: append([]byte(p.Name), 0), To: append([]byte(p.Name), 1), Reverse: true}
			if after != "" {
				span.To = append(append(append([]byte(p.Name), 0), stamp(from.at)...), 0)
			}
			err = runs.By(ctx, e.cfg.Store, "flow", span, visit)
		}
		if err != nil {
			return nil, "", err
		}
	}
	slices.SortFunc(all, func(a, b Run) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	if len(all) <= limit {
		return all, "", nil
	}
	return all[:limit], place{all[limit-1].Last, all[limit-1].ID}.cursor(), nil
}

// Run is one run with its journal, oldest line first, at most 1,000 of the newest. Errors: problem.NotFound, for those who may not see it too.
func (e *Engine) Run(ctx context.Context, who api.Caller, name string) (Run, []Entry, error) {
	row, err := runs.Load(ctx, e.cfg.Store, []byte(name))
	if err != nil {
		return Run{}, nil, err
	}
	if !row.Found() || !e.sees(ctx, who, solutionOf(row.Value.Flow)) {
		return Run{}, nil, noRun(name)
	}
	span := ofRun(name)
	span.Reverse = true
	var list []Entry
	err = journal.By(ctx, e.cfg.Store, "run", span, func(x Entry) error {
		if list = append(list, x); len(list) == 1000 {
			return store.Stop
		}
		return nil
	})
	slices.Reverse(list)
	return row.Value, list, err
}

// newest is the last line of a run's journal; the zero Entry when there is none.
func (e *Engine) newest(ctx context.Context, run string) (out Entry, err error) {
	span := ofRun(run)
	span.Reverse = true
	err = journal.By(ctx, e.cfg.Store, "run", span, func(x Entry) error { out = x; return store.Stop })
	return out, err
}

// mine reports whether a task is for somebody.
func (e *Engine) mine(ctx context.Context, who api.Caller, t Task) bool {
	if who.IsAnonymous() {
		return false
	}
	return who.Has(e.cfg.Prefix, api.EnterpriseAdmin) || t.By == who.Ref.Name && t.By != "" ||
		slices.ContainsFunc(t.For, func(r string) bool { return e.cfg.May(ctx, who, solutionOf(t.Flow), r) })
}

// Tasks lists the tasks that are for somebody, the oldest first, and the cursor of the next page. state is open, taken, done, or empty for open and taken.
func (e *Engine) Tasks(ctx context.Context, who api.Caller, state, after string, limit int) ([]Task, string, error) {
	from, err := readCursor(after)
	if err != nil {
		return nil, "", err
	}
	states := []string{state}
	if state == "" {
		states = []string{"open", "taken"}
	}
	var all []Task
	for _, s := range states {
		span := store.Span{From: append([]byte(s), 0), To: append([]byte(s), 1)}
		if after != "" {
			span.From = append(append([]byte(s), 0), stamp(from.at)...)
		}
		found := 0
		if err := tasks.By(ctx, e.cfg.Store, "state", span, func(t Task) error {
			if after != "" && t.Made.Equal(from.at) && t.ID <= from.name || !e.mine(ctx, who, t) {
				return nil
			}
			all = append(all, t)
			if found++; found > limit {
				return store.Stop
			}
			return nil
		}); err != nil {
			return nil, "", err
		}
	}
	slices.SortFunc(all, func(a, b Task) int {
		if c := a.Made.Compare(b.Made); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	if len(all) <= limit {
		return all, "", nil
	}
	return all[:limit], place{all[limit-1].Made, all[limit-1].ID}.cursor(), nil
}

// Handle changes a task: take (it is the caller's), done, or give-back. Errors: problem.NotFound for a task that is not for the caller;
// problem.Conflict when somebody else has it, or it is done.
func (e *Engine) Handle(ctx context.Context, who api.Caller, name, what, note string) (Task, error) {
	if len(note) > maxValue {
		return Task{}, problem.New(problem.TooLarge, "the note has over %d bytes: shorten it", "备注超过 %d 字节：请缩短", maxValue)
	}
	defer e.lock("task " + name)()
	row, err := tasks.Load(ctx, e.cfg.Store, []byte(name))
	if err != nil {
		return Task{}, err
	}
	t := row.Value
	if !row.Found() || !e.mine(ctx, who, t) {
		return Task{}, problem.New(problem.NotFound, "there is no task %s: GET /api/flow-tasks lists yours", "没有任务 %s：GET /api/flow-tasks 列出您的任务", clip(name))
	}
	me := who.Ref.Name
	switch {
	case t.State == "done":
		return t, problem.New(problem.Conflict, "%s has done this task already", "%s 已完成该任务", t.By)
	case t.State == "taken" && t.By != me && !who.Has(e.cfg.Prefix, api.EnterpriseAdmin):
		return t, problem.New(problem.Conflict, "%s has taken this task", "%s 已领取该任务", t.By)
	}
	switch what {
	case "take":
		t.State, t.By = "taken", me
	case "done":
		t.State, t.By = "done", me
	case "give-back":
		t.State, t.By = "open", ""
	default:
		return t, problem.New(problem.BadRequest, "a task can be taken (take), done (done) or given back (give-back)", "任务操作只能是 take、done、give-back")
	}
	if note != "" {
		t.Note = note
	}
	now := e.cfg.Now()
	say := said("task %q: %s", "任务“%[1]s”：%[2]s", t.Name.EN, what)
	say.ZH = fmt.Sprintf("任务“%s”：%s", t.Name.ZH, map[string]string{"take": "领取", "done": "完成", "give-back": "退回"}[what])
	entry := &Entry{Kind: "task", Run: t.Run, Flow: t.Flow, About: epcis.Key(t.About), Verdict: Passed, Say: say, Who: me, At: now, Received: now}
	return t, e.commit(ctx, &unit{tasks: []Task{t}, was: []table.Row[Task]{row}, entry: entry})
}
