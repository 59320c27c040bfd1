package flow

import (
	"context"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
)

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
