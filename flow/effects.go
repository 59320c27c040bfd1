package flow

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
)

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
		p.queue(act{Write: &RecordWrite{Solution: p.p.sol.Name, ID: name, Template: x.Register.Template, Values: values, Over: x.Register.Over, IfAbsent: x.Register.IfAbsent}, Keys: []string{epcis.Key(name)}}, undo, Done{Kind: "register", What: name})
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
		p.queue(act{Write: &RecordWrite{Solution: p.p.sol.Name, Change: true, ID: name, Values: values, If: only}, Keys: []string{epcis.Key(name)}}, undo, Done{Kind: "change", What: name})
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
		p.effectsDone = append(p.effectsDone, Done{Kind: "message", What: m.To + " " + m.Kind})
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
		p.effectsDone = append(p.effectsDone, Done{Kind: "task", What: name.EN})
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
	p.effectsDone = append(p.effectsDone, Done{Kind: "start", What: name + " " + about})
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
		p.effectsDone = append(p.effectsDone, Done{Kind: "issue", What: strings.Join(codes[:min(3, len(codes))], ", ")})
		return nil
	}
	for _, c := range codes {
		sc := p.scope()
		sc["it"] = c
		values, err := p.props(x.values, sc)
		if err != nil {
			return err
		}
		p.queue(act{Write: &RecordWrite{Solution: p.p.sol.Name, ID: c, Template: x.Issue.Template, Values: values}, Keys: []string{epcis.Key(c)}}, false, Done{Kind: "issue", What: c})
	}
	return nil
}
