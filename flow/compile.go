package flow

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
)

// compiler gathers faults.
type compiler struct {
	d      *Definition
	sol    Solution
	env    *cel.Env
	faults Faults
}

func (c *compiler) fault(path, en, zh string, args ...any) {
	if len(c.faults) < 50 {
		c.faults = append(c.faults, Fault{File: c.d.file, Line: line(c.d.src, path), EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)})
	}
}

func (c *compiler) stepNames() string {
	var names []string
	for i := range c.d.Steps {
		names = append(names, c.d.Steps[i].Step)
	}
	return strings.Join(names, ", ")
}

// words wants text in both languages.
func (c *compiler) words(path, what string, t Text) {
	if strings.TrimSpace(t.EN) == "" || strings.TrimSpace(t.ZH) == "" {
		c.fault(path, "%s needs text in both languages: {en: …, zh: …}", "%s 须有两种语言的文字：{en: …, zh: …}", what)
	}
}

// bindings are the names that the flow's steps bind.
func (c *compiler) bindings() (names []string) {
	add := func(path, name string) {
		switch {
		case !bindRule.MatchString(name) || len(name) > 40:
			c.fault(path, "%q cannot be a name in expressions: a small letter, then letters and digits", "%q 不能作为表达式中的名称：应以小写字母开头，后接字母与数字", name)
		case taken[name]:
			c.fault(path, "%q means something else in expressions: take another name", "%q 在表达式中另有含义：请换一个名称", name)
		case !slices.Contains(names, name):
			names = append(names, name)
		}
	}
	for i := range c.d.Steps {
		s := &c.d.Steps[i]
		if s.Scan != nil {
			add(fmt.Sprintf("$.steps[%d].scan.as", i), s.Scan.As)
		}
		for k := range s.Ask {
			add(fmt.Sprintf("$.steps[%d].ask[%d].as", i, k), s.Ask[k].As)
		}
		for k := range s.Decide {
			add(fmt.Sprintf("$.steps[%d].decide[%d].as", i, k), s.Decide[k].As)
		}
	}
	slices.Sort(names)
	return names
}

func (c *compiler) expr(path, src string) *expr {
	src = strings.TrimSpace(src)
	if len(src) > 4000 {
		c.fault(path, "the expression has over 4000 bytes", "表达式超过 4000 字节")
		return nil
	}
	tree, issues := c.env.Compile(src)
	if issues.Err() != nil {
		say := strings.Join(strings.Fields(strings.ReplaceAll(issues.Err().Error(), "<input>:", "")), " ")
		c.fault(path, "the expression %q is wrong: %s", "表达式 %q 有误：%s", src, say)
		return nil
	}
	p, err := c.env.Program(tree, cel.CostLimit(costLimit))
	if err != nil {
		c.fault(path, "the expression %q cannot be used: %s", "表达式 %q 无法使用：%s", src, err)
		return nil
	}
	return &expr{src: src, p: p}
}

// cond is a condition; nil when there is none.
func (c *compiler) cond(path, src string) *expr {
	if src == "" {
		return nil
	}
	return c.expr(path, src)
}

// value compiles any value of a declaration.
func (c *compiler) value(path string, v any) *value {
	switch v := v.(type) {
	case nil:
		return &value{}
	case string:
		if src, ok := strings.CutPrefix(v, "="); ok {
			if x := c.expr(path, src); x != nil {
				return &value{expr: x}
			}
			return &value{}
		}
		return c.template(path, v)
	case []any:
		out := &value{list: []value{}}
		for i := range v {
			out.list = append(out.list, *c.value(fmt.Sprintf("%s[%d]", path, i), v[i]))
		}
		return out
	case map[string]any:
		out := &value{fields: map[string]value{}}
		for k := range v {
			out.fields[k] = *c.value(path+"."+k, v[k])
		}
		return out
	}
	return &value{literal: plain(v)}
}

// template compiles literal text with {{ expressions }}.
func (c *compiler) template(path, s string) *value {
	if !strings.Contains(s, "{{") {
		return &value{literal: s}
	}
	out := &value{parts: []value{}}
	for {
		before, rest, ok := strings.Cut(s, "{{")
		if before != "" {
			out.parts = append(out.parts, value{literal: before})
		}
		if !ok {
			return out
		}
		src, after, ok := strings.Cut(rest, "}}")
		if !ok {
			c.fault(path, "in %q a {{ has no }}", "%q 中的 {{ 缺少 }}", s)
			return &value{}
		}
		if x := c.expr(path, src); x != nil {
			out.parts = append(out.parts, value{expr: x})
		}
		s = after
	}
}

func (c *compiler) text(path string, t Text) text2 {
	return text2{c.template(path, t.EN), c.template(path, t.ZH)}
}

// some is value, or nil when nothing is given.
func (c *compiler) some(path string, v any) *value {
	if v == nil {
		return nil
	}
	return c.value(path, v)
}

func (c *compiler) ending(path string, e *Ending) *ending {
	v := e.Verdict
	if v == "" {
		v = Passed
	}
	if !slices.Contains([]Verdict{Passed, Refused, Diverted, Warned, Stopped}, v) {
		c.fault(path, "%q is no verdict: passed, refused, diverted, warned, stopped", "%q 不是判定：应为 passed、refused、diverted、warned、stopped", v)
	}
	return &ending{v, c.text(path+".say", e.Say)}
}

// known looks a name up in a list, and says what there is when it is not in it.
func (c *compiler) known(path, what, whatZH, name string, list []string) {
	if !slices.Contains(list, name) {
		c.fault(path, "there is no %s %q: there are %v", "没有%s %q：现有 %v", what, name, list)
		c.faults[len(c.faults)-1].ZH = fmt.Sprintf("没有%s %q：现有 %v", whatZH, name, list)
	}
}

func (c *compiler) to(path, name string) {
	if name == End {
		return
	}
	for i := range c.d.Steps {
		if c.d.Steps[i].Step == name {
			return
		}
	}
	c.fault(path, "there is no step %q: there are %s, end", "没有步骤 %q：现有 %s、end", name, c.stepNames())
}

func (c *compiler) pattern(path, src string) *regexp.Regexp {
	if src == "" {
		return nil
	}
	re, err := regexp.Compile(`^(?:` + src + `)$`)
	if err != nil || len(src) > 500 {
		c.fault(path, "%q is no regular expression (RE2) of at most 500 bytes", "%q 不是至多 500 字节的正则表达式（RE2）", src)
		return nil
	}
	return re
}

func (c *compiler) duration(path, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > 10*365*24*time.Hour {
		c.fault(path, "%q is no time to wait: write 30m, 24h", "%q 不是时长：请写成 30m、24h", s)
	}
	return d
}
