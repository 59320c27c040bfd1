package flow

import (
	"maps"
	"slices"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store/table"
)

// find finds the flow and the run that a scan belongs to, and locks what it is about. A result is an answer at once.
func (p *passage) find() (unlock func(), res *Result, err error) {
	e := p.e
	if p.in.Run != "" {
		r, err := runs.Load(p.ctx, e.cfg.Store, []byte(p.in.Run))
		if err != nil {
			return nil, nil, err
		}
		if !r.Found() || p.in.Flow != "" && p.in.Flow != r.Value.Flow {
			return nil, nil, problem.New(problem.NotFound, "there is no run %s of this flow: scan from the beginning", "没有流程实例 %s：请从头扫描", p.in.Run)
		}
		if p.p = e.program(r.Value.Flow); p.p == nil {
			return nil, nil, problem.New(problem.NotFound, "the flow %s is not installed any more: its runs rest until it is", "流程 %s 已不再安装：其实例暂停", r.Value.Flow)
		}
		code, err := p.code(p.p.steps[r.Value.Step])
		if err != nil {
			return nil, nil, err
		}
		unlock = e.lock("run "+p.in.Run, "thing "+r.Value.Key, "thing "+code.key)
		if p.old, err = runs.Again(p.ctx, e.cfg.Store, []byte(p.in.Run), r); err != nil {
			unlock()
			return nil, nil, err
		}
		p.run, p.scanned = clone(p.old.Value), code
		return unlock, nil, nil
	}
	var candidates []*Program
	for _, q := range e.cfg.Programs() {
		if p.in.Flow == "" && p.mayDo(q, q.start) || q.Name == p.in.Flow {
			candidates = append(candidates, q)
		}
	}
	if len(candidates) == 0 {
		if p.in.Flow != "" {
			return nil, nil, problem.New(problem.NotFound, "the flow %s is not installed here: GET /api/flows lists those that are", "未安装流程 %s：GET /api/flows 列出可用流程", p.in.Flow)
		}
		return nil, nil, problem.New(problem.Forbidden, "no flow here is open to %s: ask an administrator for a role in a solution", "没有对 %s 开放的流程：请向管理员申请解决方案中的角色", p.who.Ref.Name)
	}
	first := candidates[0].start
	for _, q := range candidates {
		if q.start.private(p.in.Code) {
			first = q.start
			break
		}
	}
	code, err := p.code(first)
	if err != nil {
		return nil, nil, err
	}
	if len(candidates) > 1 {
		if candidates, res, err = p.choose(candidates, code); err != nil || res != nil {
			return nil, res, err
		}
	}
	p.p, p.scanned = candidates[0], code
	unlock = e.lock("thing " + code.key)
	if !p.p.def.Many && code.key != "" {
		// A run about this thing that is not over goes on.
		var open []Run
		if err := runs.By(p.ctx, e.cfg.Store, "about", table.Is(pair(code.key, p.p.Name)), func(r Run) error { open = append(open, r); return nil }); err != nil {
			unlock()
			return nil, nil, err
		}
		if len(open) > 0 {
			unlock()
			unlock = e.lock("thing "+code.key, "run "+open[0].ID)
			if p.old, err = runs.Load(p.ctx, e.cfg.Store, []byte(open[0].ID)); err != nil {
				unlock()
				return nil, nil, err
			}
			if p.run = clone(p.old.Value); p.run.State == Open || p.run.State == Held {
				return unlock, nil, nil
			}
			p.old = table.Row[Run]{}
		}
	}
	p.run = Run{Flow: p.p.Name, Version: p.p.sol.Version, State: Open, Step: p.p.start.Step.Step, Started: p.now, By: p.who.Ref.Name, Vars: maps.Clone(p.p.vars), Saw: tree{}, Form: tree{}}
	if p.run.ID, err = e.name(); err != nil {
		unlock()
		return nil, nil, err
	}
	p.fresh = true
	return unlock, nil, nil
}

// choose narrows flows to those that take what was scanned; what is left is one, or a question.
func (p *passage) choose(all []*Program, code thingFound) ([]*Program, *Result, error) {
	f, err := p.resolve(code.id, "")
	if err != nil {
		return nil, nil, err
	}
	var fits []*Program
	var asks []Choose
	for _, q := range all {
		// A run about it that is under way comes before any that could begin.
		var open string
		if err := runs.By(p.ctx, p.e.cfg.Store, "about", table.Is(pair(code.key, q.Name)), func(r Run) error { open = r.ID; return nil }); err != nil {
			return nil, nil, err
		}
		s := q.start.Scan
		if open == "" && (s == nil || f.Found && (len(s.Of) > 0 && !slices.Contains(s.Of, shortName(f.Template))) || !f.Found && !s.New || s.Owner == "own" && !p.own(code.id) || q.start.pattern != nil && !q.start.pattern.MatchString(suffixOf(code.id))) {
			continue
		}
		fits = append(fits, q)
		asks = append(asks, Choose{q.Name, q.Title.In(p.who.Lang), open})
	}
	switch len(fits) {
	case 1:
		return fits, nil, nil
	case 0:
		t := said("nothing can be done with %s here: it is not registered, or of a kind that no flow takes", "%s 没有可执行的流程：尚未注册，或其类型没有对应流程", p.in.Code)
		return nil, &Result{ID: p.in.ID, Verdict: Refused, Say: t.In(p.who.Lang), Text: t}, nil
	}
	t := said("what is to be done with %s?", "要对 %s 做什么？", p.in.Code)
	return nil, &Result{Verdict: Asking, Say: t.In(p.who.Lang), Text: t, Choices: asks}, nil
}

func (p *passage) mayDo(q *Program, s *step) bool {
	roles := s.Who
	if len(roles) == 0 {
		roles = q.sol.Roles
	}
	return slices.ContainsFunc(roles, func(r string) bool { return p.e.cfg.May(p.ctx, p.who, q.sol.Name, r) })
}

// movedOn says what somebody else did with the run meanwhile.
func (p *passage) movedOn(over bool) error {
	last, err := p.e.newest(p.ctx, p.run.ID)
	if err != nil {
		return err
	}
	en, zh := p.run.Step, p.run.Step
	if s := p.p.steps[p.run.Step]; s != nil {
		en, zh = s.Name.EN, s.Name.ZH
	}
	if over {
		en, zh = "over", "已结束"
	}
	return problem.New(problem.Conflict, "%[1]s did the step %[2]q at %[3]s (%[4]s): the run is now at: %[5]s. Look at it, then scan what is to be done next",
		"%[1]s 已于 %[3]s 完成步骤“%[2]s”（%[6]s）：流程现处于：%[7]s。请查看后再扫描下一步", last.Who, last.Step, last.Received.In(zone).Format(time.DateTime), last.Say.EN, en, last.Say.ZH, zh)
}
