package flow

import (
	"context"
	"slices"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

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
