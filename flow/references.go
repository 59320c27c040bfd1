package flow

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/fujie-id/fujie/trace/epcis"
)

func (c *compiler) step(at string, s *step) {
	d := s.Step
	if !s.Auto {
		c.words(at+".name", "the step "+d.Step, d.Name)
	}
	for i, r := range d.Who {
		c.known(fmt.Sprintf("%s.who[%d]", at, i), "role", "角色", r, c.sol.Roles)
	}
	s.hint = c.text(at+".hint", d.Hint)
	if s.Auto && (d.Scan != nil || len(d.Form) > 0 || d.Finish != nil || d.Again != "") {
		c.fault(at+".auto", "the step %s does itself: it has no scan, form, again or finish", "步骤 %s 自动执行：不能有 scan、form、again 或 finish", d.Step)
	}
	if d.Scan != nil {
		for i, t := range d.Scan.Of {
			c.known(fmt.Sprintf("%s.scan.of[%d]", at, i), "template", "模板", t, c.sol.Templates)
		}
		if !slices.Contains([]string{"", "any", "own"}, d.Scan.Owner) {
			c.fault(at+".scan.owner", "owner is %q: write any or own", "owner 为 %q：应为 any 或 own", d.Scan.Owner)
		}
		c.purpose(at+".scan.purpose", d.Scan.Purpose)
		if d.Scan.Purpose != "" && d.Scan.Owner == "own" {
			c.fault(at+".scan.purpose", "of its own things this enterprise sees everything: take purpose out, or write owner: any", "本企业自有标识全部可见：请去掉 purpose，或写 owner: any")
		}
		s.pattern = c.pattern(at+".scan.pattern", d.Scan.Pattern)
		for i, r := range d.Scan.Codes {
			p := fmt.Sprintf("%s.scan.codes[%d]", at, i)
			s.codes = append(s.codes, code{c.pattern(p+".match", r.Match), c.value(p+".id", r.ID)})
		}
	}
	for i := range d.Ask {
		a, p := &d.Ask[i], fmt.Sprintf("%s.ask[%d]", at, i)
		kinds, of := 0, ""
		for _, x := range []string{a.ID, a.Events, a.Runs} {
			if x != "" {
				kinds++
				of = x
			}
		}
		if kinds != 1 {
			c.fault(p, "%s asks for %d things: give one of id, events, runs", "%s 有 %d 个查询对象：应为 id、events、runs 之一", a.As, kinds)
		}
		for k, t := range a.Of {
			c.known(fmt.Sprintf("%s.of[%d]", p, k), "template", "模板", t, c.sol.Templates)
		}
		c.purpose(p+".purpose", a.Purpose)
		if a.Purpose != "" && a.ID == "" {
			c.fault(p+".purpose", "purpose goes with id: events and runs are this enterprise's own", "purpose 只用于 id：events 与 runs 是本企业自己的数据")
		}
		if a.Missing != "" && a.Missing != "null" && a.Missing != "stop" {
			c.fault(p+".missing", "missing is %q: write null or stop", "missing 为 %q：应为 null 或 stop", a.Missing)
		}
		if a.Last < 0 || a.Last > 100 {
			c.fault(p+".last", "last is %d: at most 100 can be asked for", "last 为 %d：至多 100", a.Last)
		}
		s.ask = append(s.ask, ask{a, c.value(p, of)})
	}
	seen := map[string]bool{}
	for i := range d.Form {
		f, p := &d.Form[i], fmt.Sprintf("%s.form[%d]", at, i)
		if !bindRule.MatchString(f.Field) || seen[f.Field] {
			c.fault(p+".field", "%q is no name of a field, or stands twice", "字段名 %q 不合规则或重复", f.Field)
		}
		seen[f.Field] = true
		c.words(p+".label", "the field "+f.Field, f.Label)
		if !slices.Contains([]string{"text", "number", "integer", "date", "datetime", "choice", "boolean", "id"}, f.Type) {
			c.fault(p+".type", "%q is no type of a field: text, number, integer, date, datetime, choice, boolean, id", "%q 不是字段类型：应为 text、number、integer、date、datetime、choice、boolean、id", f.Type)
		}
		if (f.Type == "choice") != (len(f.Choices) > 0) {
			c.fault(p, "a field of type choice has choices, and no other has", "choice 类型的字段须有 choices，其他类型不能有")
		}
		if f.Min != nil && f.Max != nil && *f.Min > *f.Max {
			c.fault(p+".min", "min is over max", "min 大于 max")
		}
		s.form = append(s.form, field{f, c.pattern(p+".pattern", f.Pattern), c.some(p+".prefill", f.Prefill)})
	}
	for i, x := range d.Decide {
		p := fmt.Sprintf("%s.decide[%d]", at, i)
		t := c.sol.Tables[x.Table]
		if t == nil {
			c.known(p+".table", "table", "决策表", x.Table, slices.Sorted(maps.Keys(c.sol.Tables)))
			continue
		}
		s.decide = append(s.decide, decide{c.table(t), x.As})
	}
	for i := range d.Checks {
		x, p := &d.Checks[i], fmt.Sprintf("%s.checks[%d]", at, i)
		if !slices.Contains([]Verdict{Refused, Stopped, Diverted, Warned}, x.Verdict) {
			c.fault(p+".verdict", "%q is no verdict of a check: refused, stopped, diverted, warned", "%q 不是检查的判定：应为 refused、stopped、diverted、warned", x.Verdict)
		}
		if x.When == "" {
			c.fault(p, "the check has no condition: give when", "检查缺少条件：请给出 when")
		}
		c.words(p+".say", "the check", x.Say)
		if x.To != "" {
			c.to(p+".to", x.To)
		} else if x.Verdict == Diverted {
			c.fault(p, "a check that diverts says where to: give to", "分流的检查须用 to 指明去向")
		}
		s.checks = append(s.checks, check{x, c.cond(p+".when", x.When), c.text(p+".say", x.Say)})
	}
	s.early()
	if len(d.Set) > 0 {
		s.set = map[string]*value{}
		for k, v := range d.Set {
			if !bindRule.MatchString(k) {
				c.fault(at+".set", "%q is no name of a variable", "%q 不能作为变量名", k)
			}
			s.set[k] = c.value(at+".set."+k, v)
		}
	}
	s.do = c.effects(at+".do", d.Do)
	s.undo = c.effects(at+".undo", d.Undo)
	s.again = c.cond(at+".again", d.Again)
	if len(d.Next) == 0 && d.End == nil && c.d.End == nil {
		c.fault(at, "the step %s leads nowhere: give next, or end", "步骤 %s 没有去向：请给出 next 或 end", d.Step)
	}
	for i, w := range d.Next {
		p := at + ".next"
		if len(d.Next) > 1 || w.When != "" {
			p = fmt.Sprintf("%s.next[%d]", at, i)
		}
		c.to(p, w.To)
		s.next = append(s.next, way{c.cond(p+".when", w.When), w.To})
	}
	if d.Finish != nil {
		c.words(at+".finish.name", "finish", d.Finish.Name)
		s.finish = c.cond(at+".finish.when", d.Finish.When)
		if d.Finish.To != "" {
			c.to(at+".finish.to", d.Finish.To)
		}
	}
	if d.End != nil {
		s.end = c.ending(at+".end", d.End)
	}
	if d.After != nil {
		s.wait = c.duration(at+".after.wait", d.After.Wait)
		s.late = c.effects(at+".after.do", d.After.Do)
		if d.After.To != "" {
			c.to(at+".after.to", d.After.To)
		}
	}
}

func (c *compiler) effects(at string, list []Effect) (out []effect) {
	for i := range list {
		e, p := &list[i], fmt.Sprintf("%s[%d]", at, i)
		x := effect{Effect: e, when: c.cond(p+".when", e.When), each: c.some(p+".each", e.Each), fields: map[string]*value{}}
		put := func(name, path string, v any) {
			if v != nil {
				x.fields[name] = c.value(path, v)
			}
		}
		props := func(path string, m map[string]any) map[string]*value {
			if m == nil {
				return nil
			}
			vs := map[string]*value{}
			for k, v := range m {
				vs[k] = c.value(path+"."+k, v)
			}
			return vs
		}
		kinds := 0
		if v := e.Event; v != nil {
			kinds++
			p := p + ".event"
			if !slices.Contains([]string{"ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent"}, v.Type) {
				c.fault(p+".type", "%q is no type of an event: ObjectEvent, AggregationEvent, TransactionEvent, TransformationEvent, AssociationEvent", "%q 不是事件类型：应为 ObjectEvent、AggregationEvent、TransactionEvent、TransformationEvent、AssociationEvent", v.Type)
			}
			for _, f := range []struct {
				name string
				v    any
			}{{"action", v.Action}, {"step", v.Step}, {"disposition", v.Disposition}, {"things", v.Things}, {"parent", v.Parent}, {"children", v.Children}, {"inputs", v.Inputs}, {"outputs", v.Outputs}, {"place", v.Place}, {"readPoint", v.ReadPoint}} {
				put(f.name, p+"."+f.name, f.v)
			}
			// A word that is no word of the standard would hold the run when somebody scans; it is said now. What is computed can only be looked at then.
			word := func(at string, kind epcis.WordKind, v any) {
				if w, ok := v.(string); ok && w != "" && !strings.Contains(w, ":") && !strings.HasPrefix(w, "=") && !strings.Contains(w, "{{") && !epcis.IsWord(kind, w) {
					c.fault(at, "%q is no word of the standard (CBV 2.0): there are %s; or write a full URI of your own", "%q 不是标准词汇（CBV 2.0）：可用 %s；或写出自有词汇的完整 URI", w, strings.Join(epcis.Words(kind), ", "))
				}
			}
			word(p+".step", epcis.BizStep, v.Step)
			word(p+".disposition", epcis.Disposition, v.Disposition)
			for k, t := range v.Transactions {
				word(fmt.Sprintf("%s.transactions[%d].type", p, k), epcis.TransactionType, t.Type)
			}
			for k, t := range slices.Concat(v.Sources, v.Destinations) {
				at := fmt.Sprintf("%s.sources[%d].type", p, k)
				if k >= len(v.Sources) {
					at = fmt.Sprintf("%s.destinations[%d].type", p, k-len(v.Sources))
				}
				word(at, epcis.PartyType, t.Type)
			}
			for k, r := range v.Sensors {
				word(fmt.Sprintf("%s.sensors[%d].type", p, k), epcis.Measurement, r.Type)
			}
			x.values = props(p+".ext", v.Ext)
			x.lists = map[string][]map[string]*value{}
			for _, l := range []struct {
				name string
				of   []Typed
			}{{"transactions", v.Transactions}, {"sources", v.Sources}, {"destinations", v.Destinations}} {
				for k, t := range l.of {
					q := fmt.Sprintf("%s.%s[%d]", p, l.name, k)
					x.lists[l.name] = append(x.lists[l.name], map[string]*value{"type": {literal: t.Type}, "id": c.value(q+".id", t.ID)})
				}
			}
			for k, q := range v.Quantities {
				at := fmt.Sprintf("%s.quantities[%d]", p, k)
				x.lists["quantities"] = append(x.lists["quantities"], map[string]*value{"class": c.value(at+".class", q.Class), "quantity": c.some(at+".quantity", q.Quantity), "unit": c.some(at+".unit", q.Unit)})
			}
			for k, r := range v.Sensors {
				at := fmt.Sprintf("%s.sensors[%d]", p, k)
				x.lists["sensors"] = append(x.lists["sensors"], map[string]*value{"type": {literal: r.Type}, "unit": {literal: r.Unit}, "value": c.value(at+".value", r.Value), "time": c.some(at+".time", r.Time), "device": c.some(at+".device", r.Device)})
			}
		}
		if v := e.Register; v != nil {
			kinds++
			c.known(p+".register.template", "template", "模板", v.Template, c.sol.Templates)
			put("id", p+".register.id", v.ID)
			x.values = props(p+".register.values", v.Values)
		}
		if v := e.Change; v != nil {
			kinds++
			put("id", p+".change.id", v.ID)
			x.values = props(p+".change.values", v.Values)
			x.conds = props(p+".change.if", v.If)
		}
		if v := e.Issue; v != nil {
			kinds++
			c.known(p+".issue.rule", "code rule", "编码规则", v.Rule, c.sol.Rules)
			if v.Template != "" {
				c.known(p+".issue.template", "template", "模板", v.Template, c.sol.Templates)
			}
			if !bindRule.MatchString(v.As) {
				c.fault(p+".issue.as", "as names the variable that has the codes", "as 应为存放编码的变量名")
			}
			put("count", p+".issue.count", v.Count)
			put("class", p+".issue.class", v.Class)
			x.values = props(p+".issue.values", v.Values)
		}
		if v := e.Message; v != nil {
			kinds++
			c.known(p+".message.to", "system", "系统", v.To, c.sol.Systems)
			x.values = props(p+".message.body", v.Body)
		}
		if v := e.Divert; v != nil {
			kinds++
			c.known(p+".divert.to", "system", "系统", v.To, c.sol.Systems)
			put("thing", p+".divert.thing", v.Thing)
			put("why", p+".divert.why", v.Why)
		}
		if v := e.Task; v != nil {
			kinds++
			if v.When != "" {
				x.when = c.cond(p+".task.when", v.When)
			}
			for k, r := range slices.Concat(v.For, v.Escalate) {
				c.known(fmt.Sprintf("%s.task.for[%d]", p, k), "role", "角色", r, c.sol.Roles)
			}
			if len(v.For) == 0 {
				c.fault(p+".task", "the task is for nobody: give for", "任务没有对象：请给出 for")
			}
			c.words(p+".task.name", "the task", v.Name)
			x.name = c.text(p+".task.name", v.Name)
			put("about", p+".task.about", v.About)
			if v.Due != "" {
				x.due = c.duration(p+".task.due", v.Due)
			}
		}
		if v := e.Start; v != nil {
			kinds++
			if name := strings.TrimPrefix(v.Flow, c.sol.Name+"/"); !nameRule.MatchString(name) && strings.Count(v.Flow, "/") != 1 {
				c.fault(p+".start.flow", "%q is no name of a flow", "%q 不是流程名", v.Flow)
			}
			if v.About == nil {
				c.fault(p+".start", "the run is about nothing: give about", "未写明流程的对象：请给出 about")
			}
			put("about", p+".start.about", v.About)
		}
		if kinds != 1 {
			c.fault(p, "an effect does one thing: event, register, change, issue, message, task, divert or start; this one names %d", "一个动作只能是 event、register、change、issue、message、task、divert、start 之一；此处有 %d 个", kinds)
		}
		out = append(out, x)
	}
	return out
}

// early finds how much of the step can be judged before its form is filled in.
func (s *step) early() {
	late := map[string]bool{"form": true}
	s.earlyAsks = len(s.Ask)
	for i, a := range s.Ask {
		if mentions(a.ID+a.Events+a.Runs, late) {
			late[a.As], s.earlyAsks = true, min(s.earlyAsks, i)
		}
	}
	for _, d := range s.decide {
		for _, in := range d.table.Inputs {
			late[d.as] = late[d.as] || mentions(fmt.Sprint(in.Is), late)
		}
	}
	for _, c := range s.Checks {
		if mentions(c.When+c.Say.EN+c.Say.ZH, late) {
			return
		}
		s.earlyChecks++
	}
}

var words = regexp.MustCompile(`\.?[A-Za-z_][A-Za-z0-9_]*`)

// mentions reports whether an expression, or a text that holds some, speaks of one of the names.
func mentions(src string, names map[string]bool) bool {
	return slices.ContainsFunc(words.FindAllString(src, -1), func(w string) bool { return names[w] })
}

// maxPurpose is how long a purpose may be: as long as one in a rule of trust/policy.
const maxPurpose = 100

// purpose checks what another enterprise is told that the data is for.
func (c *compiler) purpose(at, text string) {
	if len(text) > maxPurpose || strings.TrimSpace(text) != text || strings.ContainsFunc(text, unicode.IsControl) {
		c.fault(at, "%q is no purpose: a word or two, up to %d bytes, as warranty", "%q 不能作为用途：请写一两个词，至多 %d 字节，如 warranty", clip(text), maxPurpose)
	}
}
