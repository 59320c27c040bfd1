package flow

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
)

// enqueue puts an effect behind those that wait.
func (e *Engine) enqueue(a *act) {
	e.out.Lock()
	defer e.out.Unlock()
	e.out.queue = append(e.out.queue, a)
	for _, k := range a.Keys {
		e.out.keys[k]++
	}
}

// settle does the effects that a thing waits for, so that whoever looks at it sees what earlier answers promised.
func (e *Engine) settle(ctx context.Context, key string) error {
	for {
		e.out.Lock()
		waits := e.out.keys[key] > 0
		e.out.Unlock()
		if !waits {
			return nil
		}
		_, err := e.some(ctx, key)
		e.out.Lock()
		waits = e.out.keys[key] > 0
		e.out.Unlock()
		if err != nil && waits {
			return problem.Wrap(err, problem.Busy, "earlier work on %s is not done yet: try again in a moment", "%s 的前一步操作尚未完成：请稍后重试", key)
		}
	}
}

const atOnce = 500

// some does the oldest effects that wait, and takes them away. What cannot be done now stays, and everything behind it that touches the same
// things; what can never be done holds its run, with the reason.
// With a key, it does what that thing waits for, and nothing else.
func (e *Engine) some(ctx context.Context, key string) (n int, err error) {
	e.perform.Lock()
	defer e.perform.Unlock()
	e.out.Lock()
	var todo []*act
	if key == "" {
		todo = slices.Clone(e.out.queue[:min(len(e.out.queue), atOnce)])
	} else if e.out.keys[key] > 0 {
		// From the newest back: whatever an effect touches must be as it was when that was decided.
		wanted := map[string]bool{key: true}
		for i := len(e.out.queue) - 1; i >= 0; i-- {
			if a := e.out.queue[i]; anyOf(a.Keys, wanted) {
				todo = append(todo, a)
				for _, k := range a.Keys {
					wanted[k] = true
				}
			}
		}
		slices.Reverse(todo)
	}
	e.out.Unlock()
	if len(todo) == 0 {
		return 0, nil
	}
	failed := make([]error, len(todo))
	for _, round := range rounds(todo) {
		var wg sync.WaitGroup
		for _, some := range round {
			wg.Go(func() { e.doAll(ctx, todo, some, failed) })
		}
		wg.Wait()
	}
	var b store.Batch
	gone := map[*act]bool{}
	blocked := map[string]bool{}
	var later error
	for i, a := range todo {
		// Something before it on the same thing waits: this was done too early, and is done once more behind it.
		if anyOf(a.Keys, blocked) {
			continue
		}
		switch k := problem.KindOf(failed[i]); {
		case failed[i] == nil:
		case k == problem.Unreachable || k == problem.Busy || k == problem.Canceled || k == problem.Internal || k == problem.Full || k == problem.ReadOnly || ctx.Err() != nil:
			for _, k := range a.Keys {
				blocked[k] = true
			}
			later = failed[i]
			continue
		default:
			if err := e.hold(ctx, a, failed[i]); err != nil {
				later = err
				continue
			}
		}
		row, err := outbox.Load(ctx, e.cfg.Store, big(a.Seq))
		if err != nil {
			later = err
			continue
		}
		if row.Found() {
			outbox.Remove(&b, row)
		}
		gone[a] = true
	}
	if len(gone) > 0 {
		if _, err := e.cfg.Store.Apply(context.WithoutCancel(ctx), &b); err != nil {
			return 0, err // done, but not taken away: done again, to the same end
		}
		e.out.Lock()
		kept := e.out.queue[:0]
		for _, a := range e.out.queue {
			if !gone[a] {
				kept = append(kept, a)
				continue
			}
			for _, k := range a.Keys {
				if e.out.keys[k]--; e.out.keys[k] <= 0 {
					delete(e.out.keys, k)
				}
			}
		}
		clear(e.out.queue[len(kept):])
		e.out.queue = kept
		e.out.Unlock()
	}
	return len(gone), later
}

// rounds arranges effects so that those of one round can be done at the same time, for each actor in one call: what touches the same record is in order, and events do
// not look at records. The numbers are places in todo.
func rounds(todo []*act) [][][]int {
	type last struct {
		round int
		by    Actor
	}
	type call struct {
		round int
		by    Actor
	}
	touched := map[string]last{}
	calls := map[call]int{}
	var out [][][]int
	for i, a := range todo {
		r := 0
		if a.Write != nil {
			for _, k := range a.Keys {
				if was, ok := touched[k]; ok && was.by == a.By {
					r = max(r, was.round)
				} else if ok {
					r = max(r, was.round+1)
				}
			}
			for _, k := range a.Keys {
				touched[k] = last{r, a.By}
			}
		}
		for len(out) <= r {
			out = append(out, nil)
		}
		at, ok := calls[call{r, a.By}]
		if !ok {
			at = len(out[r])
			calls[call{r, a.By}] = at
			out[r] = append(out[r], nil)
		}
		out[r][at] = append(out[r][at], i)
	}
	return out
}

// doAll does effects of one actor: of todo those at the places some.
func (e *Engine) doAll(ctx context.Context, todo []*act, some []int, failed []error) {
	by := todo[some[0]].By.identity()
	var writes []RecordWrite
	var at []int
	for _, i := range some {
		if a := todo[i]; a.Write != nil {
			writes, at = append(writes, *a.Write), append(at, i)
		}
	}
	if len(writes) > 0 {
		for i, err := range e.cfg.Write(ctx, by, writes) {
			failed[at[i]] = err
		}
	}
	var events []epcis.Event
	at = at[:0]
	for _, i := range some {
		a := todo[i]
		if len(a.Event) == 0 {
			continue
		}
		doc, faults, err := epcis.ReadJSON(bytes.NewReader(a.Event), epcis.Limits{})
		if err == nil && len(faults) > 0 {
			err = problem.New(problem.BadValue, "the event is not valid: %s", "事件不合规范：%s", faults[0].EN)
		}
		if err != nil {
			failed[i] = err
			continue
		}
		events, at = append(events, doc.Events...), append(at, i)
	}
	if len(events) == 0 {
		return
	}
	if err := e.cfg.Capture(ctx, by, events); err != nil {
		if len(events) == 1 {
			failed[at[0]] = err
			return
		}
		for k := range events {
			failed[at[k]] = e.cfg.Capture(ctx, by, events[k:k+1])
		}
	}
}

// hold stops a run of which an effect can never be done, and says why. The effect is kept in the journal's words; nothing of it is tried again.
func (e *Engine) hold(ctx context.Context, a *act, why error) error {
	e.cfg.Log.Warn("an effect of a flow cannot be done", "run", a.Run, "flow", a.Flow, "err", why)
	what := "the event"
	if a.Write != nil {
		what = a.Write.ID
	}
	t := Text{EN: fmt.Sprintf("%s could not be done: %s", what, problem.Say(why, problem.English)), ZH: fmt.Sprintf("%s 未能完成：%s", what, problem.Say(why, problem.Chinese))}
	now := e.cfg.Now()
	err := runs.Update(ctx, e.cfg.Store, []byte(a.Run), func(old table.Row[Run]) (Run, error) {
		r := old.Value
		if !old.Found() {
			r = Run{ID: a.Run, Flow: a.Flow, Started: now}
		}
		if r.State == Open || r.State == Ended {
			r.State, r.Verdict, r.Say, r.Last = Held, Stopped, t, now
		}
		return r, nil
	})
	if err != nil {
		return err
	}
	return e.note(ctx, Entry{Kind: "note", Run: a.Run, No: a.No, Flow: a.Flow, Verdict: Stopped, Say: t, At: now, Received: now, State: Held})
}

// note writes a line of the journal that no scan made. It does not go the way of scans, since it may be called within one.
func (e *Engine) note(ctx context.Context, x Entry) error {
	return e.write(ctx, []*unit{{entry: &x}})
}

// performer does effects as they come.
func (e *Engine) performer(ctx context.Context) {
	pause := time.Millisecond
	for {
		n, err := e.some(ctx, "")
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil:
			e.cfg.Log.Warn("effects of flows wait: they are tried again", "err", err)
			pause = min(max(pause*2, 50*time.Millisecond), 30*time.Second)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		case n > 0:
			pause = time.Millisecond
		default:
			pause = time.Millisecond
			select {
			case <-ctx.Done():
				return
			case <-e.out.wake:
			}
		}
	}
}

// clock does what is due: timers of runs, tasks that are late.
func (e *Engine) clock(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := e.Due(ctx); err != nil && ctx.Err() == nil {
				e.cfg.Log.Error("timers of flows cannot be looked at", "err", err)
			}
		}
	}
}

// Due does what is due now. Go calls it every second.
func (e *Engine) Due(ctx context.Context) error {
	now := e.cfg.Now()
	until := store.Span{To: stamp(now.Add(1))}
	var woken []Run
	if err := runs.By(ctx, e.cfg.Store, "wake", until, func(r Run) error { woken = append(woken, r); return nil }); err != nil {
		return err
	}
	for _, r := range woken {
		if err := e.timer(ctx, r.ID, now); err != nil {
			return err
		}
	}
	var late []Task
	if err := tasks.By(ctx, e.cfg.Store, "due", until, func(t Task) error { late = append(late, t); return nil }); err != nil {
		return err
	}
	for _, t := range late {
		if err := tasks.Update(ctx, e.cfg.Store, []byte(t.ID), func(old table.Row[Task]) (Task, error) {
			x := old.Value
			x.Late = true
			for _, r := range x.Escalate {
				if !slices.Contains(x.For, r) {
					x.For = append(x.For, r)
				}
			}
			return x, nil
		}); err != nil {
			return err
		}
		e.announce()
	}
	return nil
}

func anyOf(keys []string, blocked map[string]bool) bool {
	for _, k := range keys {
		if blocked[k] {
			return true
		}
	}
	return false
}

// timer does what a step's timer says.
func (e *Engine) timer(ctx context.Context, name string, now time.Time) error {
	defer e.lock("run " + name)()
	row, err := runs.Load(ctx, e.cfg.Store, []byte(name))
	if err != nil || !row.Found() || row.Value.State != Open || row.Value.Wake.IsZero() || row.Value.Wake.After(now) {
		return err
	}
	p := &passage{e: e, ctx: ctx, who: api.Caller{Identity: record.Identity{Operator: true}}, old: row, run: clone(row.Value), now: now}
	p.run.Wake = time.Time{}
	if p.p = e.program(p.run.Flow); p.p == nil {
		return nil
	}
	s := p.p.steps[p.run.Step]
	if s == nil || !s.timed() {
		return e.commit(ctx, &unit{old: row, run: &p.run})
	}
	p.parties = map[string]any{}
	for k, v := range p.p.sol.Parties {
		p.parties[k] = v
	}
	p.verdict, p.said = Warned, said("nothing happened within %s", "%s 内未处理", s.wait)
	err = p.effects(s, s.late, false)
	if err == nil && s.Step.After.To != "" {
		err = p.goTo(s.Step.After.To, s)
	}
	if err != nil {
		p.unit, p.run.State, p.verdict, p.said = unit{}, Held, Stopped, said("the timer of the step %s cannot be done: %s", "步骤 %s 的定时动作无法执行：%s", s.Step.Step, err)
	}
	p.run.Verdict, p.run.Say, p.run.Last = p.verdict, p.said, now
	p.run.Steps++
	p.unit.old, p.unit.run = row, &p.run
	p.unit.entry = &Entry{Kind: "timer", Run: p.run.ID, No: p.run.Steps, Flow: p.run.Flow, Step: s.Step.Step, About: p.run.Key, Verdict: p.verdict, Say: p.said, At: now, Received: now, Started: p.run.Started, State: p.run.State, Effects: p.effectsDone}
	return e.commit(ctx, &p.unit)
}

// Cancel ends a run before its time, and undoes what its steps say can be undone, the newest first. Errors: problem.NotFound, problem.Forbidden,
// problem.Conflict when it is over.
func (e *Engine) Cancel(ctx context.Context, who api.Caller, name, why string) (*Run, error) {
	return e.administer(ctx, who, name, "cancel", func(r *Run, u *unit) error {
		if r.State != Open && r.State != Held {
			return problem.New(problem.Conflict, "run %s is over", "流程 %s 已结束", name)
		}
		var all []Entry
		if err := journal.By(ctx, e.cfg.Store, "run", ofRun(name), func(x Entry) error { all = append(all, x); return nil }); err != nil {
			return err
		}
		for i := len(all) - 1; i >= 0; i-- {
			for _, a := range all[i].Undo {
				a.No, a.N = r.Steps+1, len(u.acts)
				u.acts = append(u.acts, &a)
			}
		}
		r.State, r.Step, r.Wake, r.Verdict = Cancelled, "", time.Time{}, Stopped
		r.Say = said("cancelled: %s", "已取消：%s", why)
		return nil
	})
}

// Release lets a run go on that is held: it stands where it stood, and the check that stopped it does not stop this step again. Errors as of Cancel.
func (e *Engine) Release(ctx context.Context, who api.Caller, name, why string) (*Run, error) {
	return e.administer(ctx, who, name, "release", func(r *Run, u *unit) error {
		if r.State != Held {
			return problem.New(problem.Conflict, "run %s is not held", "流程 %s 未被停止", name)
		}
		r.State, r.Verdict = Open, Warned
		if r.Stop != "" {
			r.Pardon, r.Stop = append(r.Pardon, r.Stop), ""
		}
		if r.Step == "" {
			r.State = Ended
		}
		r.Say = said("let go on: %s", "已放行：%s", why)
		return nil
	})
}

func ofRun(name string) store.Span {
	return store.Span{From: append([]byte(name), 0), To: append([]byte(name), 1)}
}

func (e *Engine) administer(ctx context.Context, who api.Caller, name, kind string, change func(*Run, *unit) error) (*Run, error) {
	defer e.lock("run " + name)()
	row, err := runs.Load(ctx, e.cfg.Store, []byte(name))
	if err != nil {
		return nil, err
	}
	if !row.Found() {
		return nil, problem.New(problem.NotFound, "there is no run %s", "没有流程实例 %s", name)
	}
	if err := who.Need(e.cfg.Prefix, api.EnterpriseAdmin); err != nil {
		return nil, err
	}
	r, u, now := clone(row.Value), &unit{old: row}, e.cfg.Now()
	if err := change(&r, u); err != nil {
		return nil, err
	}
	r.Last = now
	r.Steps++
	u.run = &r
	u.entry = &Entry{Kind: kind, Run: name, No: r.Steps, Flow: r.Flow, Step: r.Step, About: r.Key, Verdict: r.Verdict, Say: r.Say, Who: who.Ref.Name, At: now, Received: now, Started: r.Started, State: r.State}
	return &r, e.commit(ctx, u)
}

// After gives the journal's lines behind a number, oldest first, limit at most (0: 1,000).
func (e *Engine) After(ctx context.Context, seq uint64, limit int) (out []Entry, err error) {
	if limit <= 0 {
		limit = 1000
	}
	err = journal.Range(ctx, e.cfg.Store, store.Span{From: big(seq + 1)}, func(x Entry) error {
		if out = append(out, x); len(out) == limit {
			return store.Stop
		}
		return nil
	})
	return out, err
}

// Last is the number of the journal's newest line.
func (e *Engine) Last(ctx context.Context) (n uint64, err error) {
	err = journal.Range(ctx, e.cfg.Store, store.Span{Reverse: true}, func(x Entry) error { n = x.Seq; return store.Stop })
	return n, err
}

// Count is how many runs of a solution's flows are not over.
func (e *Engine) Count(ctx context.Context, solution string) (n int, err error) {
	err = runs.By(ctx, e.cfg.Store, "flow", store.Span{From: []byte(solution + "/"), To: []byte(solution + "0")}, func(r Run) error {
		if r.State == Open || r.State == Held {
			n++
		}
		return nil
	})
	return n, err
}

// Inbox gives a system's messages behind a number, oldest first; when there is none, it waits so long for the first.
func (e *Engine) Inbox(ctx context.Context, system string, after uint64, limit int, wait time.Duration) ([]Mail, error) {
	patience := time.NewTimer(wait)
	defer patience.Stop()
	for {
		news := e.waiting()
		var out []Mail
		from := append(append([]byte(system), 0), big(after+1)...)
		err := inbox.Range(ctx, e.cfg.Store, store.Span{From: from, To: append([]byte(system), 1)}, func(m Mail) error {
			if out = append(out, m); len(out) == limit {
				return store.Stop
			}
			return nil
		})
		if err != nil || len(out) > 0 || wait <= 0 {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-patience.C:
			return nil, nil
		case <-news:
		}
	}
}

func solutionOf(flow string) string {
	s, _, _ := strings.Cut(flow, "/")
	return s
}
