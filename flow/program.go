package flow

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Solution is what a flow is compiled against: the names that it may use.
type Solution struct {
	Name       string
	Title      Text
	Version    string
	Uses       map[string]any    // constants, beside the flow's own
	Parties    map[string]string // prefixes of the other enterprises, by party
	PartyNames []string
	Roles      []string
	Systems    []string
	Templates  []string // short names: part
	Rules      []string // code rules
	Tables     map[string]*Table
}

// Program is a flow ready to run. It is immutable and safe for concurrent use.
type Program struct {
	Name  string // solution/flow
	Title Text
	def   *Definition
	sol   Solution
	steps map[string]*step
	start *step
	vars  map[string]any
	uses  map[string]any
	names []string // of all bindings
	end   *ending

	asksRoles bool // who.roles stands in it
}

// step is a compiled step.
type step struct {
	*Step
	at      int
	pattern *regexp.Regexp
	codes   []code
	ask     []ask
	form    []field
	decide  []decide
	checks  []check
	set     map[string]*value
	do      []effect
	undo    []effect
	again   *expr
	next    []way
	finish  *expr
	end     *ending
	wait    time.Duration
	late    []effect
	hint    text2

	earlyAsks, earlyChecks int // how many come before any that needs the form
}

type code struct {
	match *regexp.Regexp
	id    *value
}

type ask struct {
	*Ask
	of *value // what is asked for
}

type field struct {
	*Field
	pattern *regexp.Regexp
	prefill *value
}

type decide struct {
	table *lookup
	as    string
}

type check struct {
	*Check
	when *expr
	say  text2
}

type way struct {
	when *expr
	to   string
}

type ending struct {
	verdict Verdict
	say     text2
}

// text2 is a text in both languages, compiled.
type text2 struct{ en, zh *value }

func (t text2) eval(s scope) (Text, error) {
	en, err := t.en.text(s)
	if err != nil {
		return Text{}, err
	}
	zh, err := t.zh.text(s)
	return Text{EN: en, ZH: zh}, err
}

// effect is a compiled effect.
type effect struct {
	*Effect
	when   *expr
	each   *value
	fields map[string]*value // by place: things, id, …
	values map[string]*value // properties, body, ext
	conds  map[string]*value // of a change: if
	lists  map[string][]map[string]*value
	due    time.Duration
	name   text2
}

// Compile checks every name and expression of the flow and makes it ready. Errors: Faults, all there are.
func (d *Definition) Compile(sol Solution) (*Program, error) {
	c := &compiler{d: d, sol: sol}
	p := &Program{Name: sol.Name + "/" + d.Flow, Title: d.Name, def: d, sol: sol, steps: map[string]*step{}, asksRoles: bytes.Contains(d.src, []byte("who.roles")), uses: map[string]any{}, vars: map[string]any{}}
	for k, v := range sol.Uses {
		p.uses[k] = plain(v)
	}
	for k, v := range d.Uses {
		p.uses[k] = plain(v)
	}
	for k, v := range d.Vars {
		p.vars[k] = plain(v)
	}
	if !nameRule.MatchString(d.Flow) || len(d.Flow) > 40 {
		c.fault("$.flow", "%q is no name of a flow: small letters, digits and dashes", "%q 不能作为流程名：应为小写字母、数字、连字符", d.Flow)
	}
	c.words("$.name", "name", d.Name)
	if len(d.Steps) == 0 || len(d.Steps) > 100 {
		c.fault("$.steps", "a flow has 1 to 100 steps, this one %d", "流程应有 1 至 100 步，本流程有 %d 步", len(d.Steps))
		return nil, c.faults
	}
	p.names = c.bindings()
	var err error
	if c.env, err = newEnv(slices.Clone(p.names)); err != nil {
		c.fault("$.steps", "its names cannot be used: %s", "名称无法使用：%s", err)
		return nil, c.faults
	}
	for i := range d.Steps {
		s := &d.Steps[i]
		at := fmt.Sprintf("$.steps[%d]", i)
		if !nameRule.MatchString(s.Step) || s.Step == End {
			c.fault(at+".step", "%q is no name of a step: small letters, digits and dashes, and not end", "%q 不能作为步骤名：应为小写字母、数字、连字符，且不能是 end", s.Step)
		}
		if p.steps[s.Step] != nil {
			c.fault(at+".step", "there are two steps %s", "有两个步骤 %s", s.Step)
		}
		p.steps[s.Step] = &step{Step: s, at: i}
	}
	p.start = p.steps[d.Steps[0].Step]
	if d.Start != "" {
		if p.start = p.steps[d.Start]; p.start == nil {
			c.fault("$.start", "there is no step %s: there are %s", "没有步骤 %s：现有 %s", d.Start, c.stepNames())
			return nil, c.faults
		}
	}
	if d.About == "" || !slices.Contains(p.names, d.About) {
		c.fault("$.about", "about names the binding that a run is about, one of %v", "about 应为流程所围绕的绑定名，可为 %v", p.names)
	} else if p.start.Scan == nil || p.start.Scan.As != d.About {
		c.fault("$.about", "a run is about what its first step scans: let %s be scanned there", "流程围绕首步所扫描的对象：请在首步扫描 %s", d.About)
	}
	if d.End != nil {
		p.end = c.ending("$.end", d.End)
	}
	for i := range d.Steps {
		c.step(fmt.Sprintf("$.steps[%d]", i), p.steps[d.Steps[i].Step])
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return p, nil
}
