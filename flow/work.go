package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
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
			p.explain[len(p.explain)-1].Outcome = "true, but somebody let it go on"
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
	if off := p.offset(); off != "" {
		p.explain = append(p.explain, Reason{Check: "clock", Outcome: off})
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

// prefilled is the form of the step that comes, with what is known of it already.
func (p *passage) prefilled(s *step) (out []FieldView) {
	sc := p.scope()
	for i := range s.form {
		f := &s.form[i]
		var v any
		if f.prefill != nil {
			if x, err := f.prefill.eval(sc); err == nil {
				v = x
			}
		}
		out = append(out, f.view(p.who.Lang, v))
	}
	return out
}

// effects makes effects ready: everything in them is worked out now, so that what is done later depends on nothing else.
func (p *passage) effects(s *step, list []effect, undo bool) error {
	for i := range list {
		x := &list[i]
		ok, err := x.when.holds(p.scope(), true)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if x.each == nil {
			if err := p.effect(x, p.scope(), undo); err != nil {
				return err
			}
			continue
		}
		all, err := x.each.eval(p.scope())
		if err != nil {
			return err
		}
		items, ok := all.([]any)
		if !ok {
			return fmt.Errorf("each is %s: it must be a list", text(all))
		}
		for _, it := range items {
			sc := p.scope()
			sc["it"] = it
			if err := p.effect(x, sc, undo); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *passage) props(m map[string]*value, sc scope) (map[string]*string, error) {
	out := map[string]*string{}
	for k, v := range m {
		x, err := v.eval(sc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		if x == nil {
			out[k] = nil
			continue
		}
		t := text(x)
		if d, isTime := x.(time.Time); isTime {
			t = d.UTC().Format(time.RFC3339)
		}
		out[k] = &t
	}
	return out, nil
}

func (p *passage) queue(a act, undo bool, what Done) {
	a.Run, a.Flow, a.No, a.By = p.run.ID, p.p.Name, p.run.Steps+1, p.actor()
	if undo {
		a.N = len(p.undo)
		p.undo = append(p.undo, a)
		return
	}
	a.N = len(p.unit.acts)
	p.unit.acts = append(p.unit.acts, &a)
	p.effectsDone = append(p.effectsDone, what)
}

func identifier(what, s string) (string, error) {
	v, err := id.Parse(s)
	if err != nil || v.IsPrefix() {
		return "", fmt.Errorf("%s is %q, which is no identifier", what, clip(s))
	}
	return v.String(), nil
}

func (p *passage) effect(x *effect, sc scope, undo bool) error {
	field := func(name string) (string, error) { return x.fields[name].text(sc) }
	switch {
	case x.Register != nil:
		name, err := field("id")
		if err == nil {
			name, err = identifier("the identifier to register", name)
		}
		if err != nil {
			return err
		}
		values, err := p.props(x.values, sc)
		if err != nil {
			return err
		}
		for k, v := range values {
			if v == nil || *v == "" {
				delete(values, k) // a property without a value is none
			}
		}
		p.queue(act{Write: &RecordWrite{Solution: p.p.sol.Name, ID: name, Template: x.Register.Template, Values: values, Over: x.Register.Over, IfAbsent: x.Register.IfAbsent}, Keys: []string{epcis.Key(name)}}, undo, Done{"register", name})
	case x.Change != nil:
		name, err := field("id")
		if err == nil {
			name, err = identifier("the identifier to change", name)
		}
		if err != nil {
			return err
		}
		values, err := p.props(x.values, sc)
		if err != nil {
			return err
		}
		conds, err := p.props(x.conds, sc)
		if err != nil {
			return err
		}
		only := map[string]string{}
		for k, v := range conds {
			if v != nil {
				only[k] = *v
			}
		}
		p.queue(act{Write: &RecordWrite{Solution: p.p.sol.Name, Change: true, ID: name, Values: values, If: only}, Keys: []string{epcis.Key(name)}}, undo, Done{"change", name})
	case x.Issue != nil:
		return p.issue(x, sc, undo)
	case x.Message != nil, x.Divert != nil:
		m := Mail{Run: p.run.ID, At: p.now, Body: tree{}}
		if x.Message != nil {
			m.To, m.Kind = p.p.sol.Name+"/"+x.Message.To, x.Message.Kind
			for k, v := range x.values {
				b, err := v.eval(sc)
				if err != nil {
					return fmt.Errorf("%s: %w", k, err)
				}
				m.Body[k] = b
			}
		} else {
			m.To, m.Kind = p.p.sol.Name+"/"+x.Divert.To, "divert"
			thing, err := field("thing")
			if err != nil {
				return err
			}
			why, err := field("why")
			if err != nil {
				return err
			}
			m.Body["thing"], m.Body["exit"], m.Body["why"] = thing, x.Divert.Exit, why
		}
		if undo {
			return fmt.Errorf("a message cannot be undone: send another one")
		}
		p.unit.mails = append(p.unit.mails, m)
		p.effectsDone = append(p.effectsDone, Done{"message", m.To + " " + m.Kind})
	case x.Task != nil:
		if undo {
			return fmt.Errorf("a task cannot be undone")
		}
		name, err := x.name.eval(sc)
		if err != nil {
			return err
		}
		about, err := field("about")
		if err != nil {
			return err
		}
		t := Task{Run: p.run.ID, Flow: p.p.Name, Name: name, About: about, For: x.Task.For, Escalate: x.Task.Escalate, State: "open", Made: p.now}
		if t.ID, err = p.e.name(); err != nil {
			return err
		}
		if x.due > 0 {
			t.Due = p.now.Add(x.due)
		}
		p.unit.tasks = append(p.unit.tasks, t)
		p.effectsDone = append(p.effectsDone, Done{"task", name.EN})
	case x.Start != nil:
		return p.begin(x, sc, undo)
	case x.Event != nil:
		return p.event(x, sc, undo)
	}
	return nil
}

// begin makes the run of another flow that a step starts.
func (p *passage) begin(x *effect, sc scope, undo bool) error {
	if undo {
		return fmt.Errorf("a run that was started cannot be undone: cancel it")
	}
	about, err := x.fields["about"].text(sc)
	if err == nil {
		about, err = identifier("what the run is about", about)
	}
	if err != nil {
		return err
	}
	name := x.Start.Flow
	if !strings.Contains(name, "/") {
		name = p.p.sol.Name + "/" + name
	}
	q := p.e.program(name)
	if q == nil {
		return fmt.Errorf("the flow %s is not installed here", name)
	}
	key, open := epcis.Key(about), ""
	if err := runs.By(p.ctx, p.e.cfg.Store, "about", table.Is(pair(key, name)), func(r Run) error { open = r.ID; return store.Stop }); err != nil {
		return err
	}
	p.effectsDone = append(p.effectsDone, Done{"start", name + " " + about})
	if open != "" {
		return nil
	}
	r := Run{Flow: name, Version: q.sol.Version, About: about, Key: key, State: Open, Step: q.start.Step.Step, Started: p.now, Last: p.now, By: p.who.Ref.Name, Vars: maps.Clone(q.vars), Saw: tree{}, Form: tree{}}
	if r.ID, err = p.e.name(); err != nil {
		return err
	}
	if q.start.timed() {
		r.Wake = p.now.Add(q.start.wait)
	}
	p.unit.begun = append(p.unit.begun, r)
	return nil
}

// issue takes codes now, so that what follows can name them; their records are made with the other effects. Codes of a step that is
// then not done are never used again, and harm nobody.
func (p *passage) issue(x *effect, sc scope, undo bool) error {
	if undo {
		return fmt.Errorf("codes cannot be taken back")
	}
	count := 1
	if v := x.fields["count"]; v != nil {
		n, err := v.eval(sc)
		if err != nil {
			return err
		}
		f, ok := toNumber(n)
		if !ok || f < 1 || f > maxList || f != float64(int(f)) {
			return fmt.Errorf("%s codes cannot be issued: at least 1, at most %d", text(n), maxList)
		}
		count = int(f)
	}
	class, err := x.fields["class"].text(sc)
	if err != nil {
		return err
	}
	var codes []string
	if p.in.DryRun {
		for i := range count {
			codes = append(codes, fmt.Sprintf("%s/%s-%d", p.e.cfg.Prefix, strings.ToUpper(x.Issue.Rule), i+1))
		}
	} else if codes, err = p.e.cfg.Take(p.ctx, p.actor().identity(), x.Issue.Rule, count, class, p.now); err != nil {
		return err
	}
	if x.fields["count"] == nil {
		p.run.Vars[x.Issue.As] = codes[0]
	} else {
		list := make([]any, len(codes))
		for i := range codes {
			list[i] = codes[i]
		}
		p.run.Vars[x.Issue.As] = list
	}
	if x.Issue.Template == "" {
		p.effectsDone = append(p.effectsDone, Done{"issue", strings.Join(codes[:min(3, len(codes))], ", ")})
		return nil
	}
	for _, c := range codes {
		sc := p.scope()
		sc["it"] = c
		values, err := p.props(x.values, sc)
		if err != nil {
			return err
		}
		p.queue(act{Write: &RecordWrite{Solution: p.p.sol.Name, ID: c, Template: x.Issue.Template, Values: values}, Keys: []string{epcis.Key(c)}}, false, Done{"issue", c})
	}
	return nil
}
