package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

func clone(r Run) Run {
	r.Vars, r.Saw, r.Form = maps.Clone(r.Vars), maps.Clone(r.Saw), maps.Clone(r.Form)
	if r.Vars == nil {
		r.Vars = tree{}
	}
	if r.Saw == nil {
		r.Saw = tree{}
	}
	if r.Form == nil {
		r.Form = tree{}
	}
	return r
}

// broken is the stop of a rule that cannot be computed: nothing of the scan is done, and the run waits for somebody who can mend it.
func (p *passage) broken(s *step, what string, err error) *stop {
	p.explain = append(p.explain, Reason{Check: what, Outcome: err.Error()})
	t := said("the rule %[1]s of the step %[2]q cannot be computed: %[3]s", "步骤 %[2]q 的规则 %[1]s 无法计算：%[4]s", what, s.Step.Step, problem.Say(err, problem.English), problem.Say(err, problem.Chinese))
	p.fatal = &t
	return &stop{Stopped, t, ""}
}

// undone takes back all that this scan was to do, and holds the run where it stood.
func (p *passage) undone(was Run) {
	p.run, p.unit, p.undo, p.effectsDone = was, unit{}, nil, nil
	p.run.State, p.run.Stop = Held, ""
	p.verdict, p.said = Stopped, *p.fatal
}

// work does a step's checks, variables and effects, and goes on. A stop undoes what this scan was to do.
func (p *passage) work(s *step) (*stop, error) {
	if p.in.Finish && !s.Auto && s.Finish != nil {
		ok, err := s.finish.holds(p.scope(), true)
		if err != nil {
			return p.broken(s, "finish", err), nil
		}
		if !ok {
			return p.refuse("the step cannot be ended yet", "该步骤还不能结束"), nil
		}
		to := s.Finish.To
		if to == "" {
			to = End
		}
		return p.move(s, to)
	}
	if halt := p.judge(s, len(s.ask), len(s.checks)); halt != nil {
		return halt, nil
	}
	if halt, err := p.set(s); halt != nil || err != nil {
		return halt, err
	}
	if err := p.effects(s, s.do, false); err != nil {
		return p.fault(s, err)
	}
	if err := p.effects(s, s.undo, true); err != nil {
		return p.fault(s, err)
	}
	if s.again != nil {
		stay, err := s.again.holds(p.scope(), false)
		if err != nil {
			return p.broken(s, s.Again, err), nil
		}
		if stay {
			return nil, nil
		}
	}
	sc := p.scope()
	to := End
	for _, w := range s.next {
		ok, err := w.when.holds(sc, true)
		if err != nil {
			return p.broken(s, w.when.src, err), nil
		}
		if ok {
			to = w.to
			break
		}
	}
	return p.move(s, to)
}

// judge looks at what must be known and at the checks, so many of each: the first that holds decides.
func (p *passage) judge(s *step, asks, checks int) *stop {
	for i := range s.ask[:asks] {
		a := &s.ask[i]
		if m, ok := p.run.Saw[a.As].(map[string]any); ok && a.Missing == "stop" && m["found"] != true {
			return p.refuse("%v is registered nowhere", "%v 未注册", m["code"])
		}
	}
	sc := p.scope()
	for i := range s.checks[:checks] {
		c := &s.checks[i]
		ok, err := c.when.holds(sc, false)
		if err != nil {
			return p.broken(s, c.Check.When, err)
		}
		p.explain = append(p.explain, Reason{Check: c.Check.When, Outcome: fmt.Sprint(ok)})
		if !ok {
			continue
		}
		if c.Verdict == Stopped && slices.Contains(p.run.Pardon, c.Check.When) {
			p.explain[len(p.explain)-1] = Reason{c.Check.When, "true, but somebody let it go on", "成立，但已放行"}
			continue
		}
		say, err := c.say.eval(sc)
		if err != nil {
			return p.broken(s, c.Check.When, err)
		}
		if c.Verdict == Warned && c.To == "" {
			p.verdict, p.said = Warned, p.said.and(say)
			continue
		}
		p.rule = c.Check.When
		return &stop{c.Verdict, say, c.To}
	}
	return nil
}

// fault is an effect that could not be made ready: a rule's own error holds the run, a door's error fails the scan.
func (p *passage) fault(s *step, err error) (*stop, error) {
	if k := problem.KindOf(err); k == problem.Unreachable || k == problem.Busy || k == problem.Canceled || k == problem.Full || k == problem.ReadOnly {
		return nil, err
	}
	return p.broken(s, "do", err), nil
}

func (p *passage) set(s *step) (*stop, error) {
	if len(s.set) == 0 {
		return nil, nil
	}
	sc := p.scope()
	now := map[string]any{}
	for _, k := range slices.Sorted(maps.Keys(s.set)) {
		v, err := s.set[k].eval(sc)
		if err != nil {
			return p.broken(s, "set "+k, err), nil
		}
		if list, ok := v.([]any); ok && len(list) > maxList {
			return p.refuse("the list %s has over %d entries", "列表 %s 超过 %d 项", k, maxList), nil
		}
		now[k] = v
	}
	for k, v := range now {
		p.run.Vars[k] = v
	}
	return nil, nil
}

// move brings the run to a step, and does that at once when it does itself.
func (p *passage) move(from *step, to string) (*stop, error) {
	p.run.Wake, p.run.Pardon = time.Time{}, nil
	if to == End {
		p.run.State, p.run.Step = Ended, ""
		end := from.end
		if end == nil {
			end = p.p.end
		}
		if end == nil {
			return nil, nil
		}
		say, err := end.say.eval(p.scope())
		if err != nil {
			return p.broken(from, "end", err), nil
		}
		if p.verdict != Warned || end.verdict != Passed {
			p.verdict = end.verdict
		}
		p.said = p.said.and(say)
		return nil, nil
	}
	s := p.p.steps[to]
	p.run.Step = to
	if s.timed() {
		p.run.Wake = p.now.Add(s.wait)
	}
	if !s.Auto {
		return nil, nil
	}
	p.autos++
	if p.autos > maxAuto {
		return p.broken(s, "next", fmt.Errorf("over %d steps did themselves one behind the other", maxAuto)), nil
	}
	if err := p.asks(s); err != nil {
		return nil, err
	}
	halt, err := p.work(s)
	if halt != nil && halt.to != "" && halt.verdict != Stopped {
		p.verdict, p.said = halt.verdict, halt.say
		if halt.to == End {
			p.run.State, p.run.Step = Ended, ""
			return nil, err
		}
		return p.move(s, halt.to)
	}
	return halt, err
}

// and is one text behind the other, on a line of its own.
func (t Text) and(more Text) Text {
	join := func(a, b string) string {
		if a == "" || b == "" || a == b {
			return a + strings.TrimPrefix(b, a)
		}
		return a + "\n" + b
	}
	return Text{EN: join(t.EN, more.EN), ZH: join(t.ZH, more.ZH)}
}

// timed reports whether the step has a timer.
func (s *step) timed() bool { return s.Step.After != nil }

// goTo is where a stop leads.
func (p *passage) goTo(to string, from *step) error {
	switch {
	case to == "" || to == from.Step.Step:
		if p.fresh {
			p.run.ID = "" // it never began
		}
		return nil
	case to == End:
		p.run.State, p.run.Step = Ended, ""
		return nil
	}
	halt, err := p.move(from, to)
	if halt != nil {
		p.verdict, p.said = halt.verdict, halt.say
		p.run.State = Held
	}
	return err
}

// finish writes down what became of the scan, and answers.
func (p *passage) finish(s *step, began time.Time) (*Result, error) {
	if p.verdict == "" {
		p.verdict = Passed
	}
	if p.verdict == Stopped && p.run.State == Open {
		p.run.State = Held
	}
	p.run.Verdict, p.run.Say, p.run.Last = p.verdict, p.said, p.now
	p.run.Steps++
	if p.fresh && s.timed() && p.run.Step == s.Step.Step && p.run.State == Open {
		p.run.Wake = p.now.Add(s.wait)
	}
	if off := p.offset(); off != (Text{}) {
		p.explain = append(p.explain, Reason{"clock", off.EN, off.ZH})
	}
	for i := range p.effectsDone {
		x := &p.effectsDone[i]
		if x.State = "queued"; x.Kind == "message" || x.Kind == "task" || x.Kind == "start" {
			x.State = "done"
		}
	}
	res := p.answer(s, p.verdict, p.said, nil)
	if p.in.DryRun {
		return res, nil
	}
	if p.run.ID != "" {
		if b, err := json.Marshal(p.run); err != nil {
			return nil, problem.Wrap(err, problem.Internal, "the run cannot be kept", "流程实例无法保存")
		} else if len(b) > maxRun {
			return nil, problem.New(problem.TooLarge, "the run has grown over %d bytes: let the flow keep less in its variables", "流程实例超过 %d 字节：请减少流程变量", maxRun)
		}
		p.unit.old, p.unit.run = p.old, &p.run
	}
	now := p.e.cfg.Now()
	p.unit.entry = &Entry{Scan: p.in.ID, Kind: "scan", Run: p.run.ID, No: p.run.Steps, Flow: p.p.Name, Step: s.Step.Step, About: p.run.Key, Code: p.in.Code, Verdict: p.verdict, Say: p.said,
		Who: p.who.Ref.Name, Device: p.in.Device, Place: p.in.Where, At: p.at(), Received: p.now, Micros: now.Sub(began).Microseconds(), Started: p.run.Started, State: p.run.State,
		Explain: p.explain, Undo: p.undo, Effects: p.effectsDone}
	if p.run.ID == "" {
		p.unit.acts, p.unit.mails, p.unit.tasks, p.unit.begun = nil, nil, nil, nil
		p.unit.entry.No, p.unit.entry.State = 0, ""
	}
	if p.in.ID != "" {
		kept := *res
		kept.ID = strings.TrimPrefix(p.in.ID, p.who.Ref.Name+" ")
		p.unit.entry.Result = &kept
	}
	if err := p.e.commit(p.ctx, &p.unit); err != nil {
		return nil, err
	}
	return res, nil
}

// answer is what the scanner is told.
func (p *passage) answer(s *step, v Verdict, t Text, form []FieldView) *Result {
	lang := p.who.Lang
	r := &Result{ID: strings.TrimPrefix(p.in.ID, p.who.Ref.Name+" "), Run: p.run.ID, Flow: p.p.Name, Verdict: v, Say: t.In(lang), Text: t, Form: form, State: p.run.State, Explain: p.explain, Effects: p.effectsDone}
	if s != nil {
		r.Step = s.Step.Step
	}
	if v == Asking && p.fresh {
		r.Run = "" // it begins when the form comes
	}
	r.Ended = p.run.State == Ended || p.run.State == Cancelled
	if next := p.p.steps[p.run.Step]; next != nil && p.run.ID != "" && p.run.State == Open {
		hint := ""
		if t, err := next.hint.eval(p.scope()); err == nil {
			hint = t.In(lang)
		}
		r.Next = next.view(lang, hint)
		if next != s {
			r.Next.Form = p.prefilled(next)
		}
	}
	return r
}
