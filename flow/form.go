package flow

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
)

// FieldView is a field as a screen shows it.
type FieldView struct {
	Field    string       `json:"field"`
	Label    string       `json:"label"`
	Hint     string       `json:"hint,omitempty"`
	Type     string       `json:"type"`
	Unit     string       `json:"unit,omitempty"`
	Min      *float64     `json:"min,omitempty"`
	Max      *float64     `json:"max,omitempty"`
	Required bool         `json:"required,omitempty"`
	Pattern  string       `json:"pattern,omitempty"`
	Choices  []ChoiceView `json:"choices,omitempty"`
	Scan     bool         `json:"scan,omitempty"`
	Value    any          `json:"value,omitempty"`
}

// ChoiceView is one of a field's choices.
type ChoiceView struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

func (f *field) view(lang problem.Lang, value any) FieldView {
	v := FieldView{Field: f.Field.Field, Label: f.Label.In(lang), Hint: f.Hint.In(lang), Type: f.Type, Unit: f.Unit, Min: f.Min, Max: f.Max, Required: f.Required, Pattern: f.Pattern, Scan: f.Scan, Value: value}
	for _, c := range f.Choices {
		v.Choices = append(v.Choices, ChoiceView{c.Value, c.Label.In(lang)})
	}
	return v
}

// blank is the form as it is to be filled in.
func (p *passage) blank(s *step) []FieldView {
	sc := p.scope()
	var out []FieldView
	for i := range s.form {
		f := &s.form[i]
		var v any
		if x, ok := p.run.Form[f.Field.Field]; ok {
			v = x
		} else if f.prefill != nil {
			if x, err := f.prefill.eval(sc); err == nil {
				v = x
			}
		}
		out = append(out, f.view(p.who.Lang, v))
	}
	return out
}

// fill reads what was filled in. missing: a field that is required is not there, and nothing is wrong with the others.
func (p *passage) fill(s *step) (form tree, missing bool, halt *stop) {
	form = tree{}
	for name := range p.in.Form {
		if !slices.ContainsFunc(s.form, func(f field) bool { return f.Field.Field == name }) {
			return nil, false, p.refuse("the form has no field %s", "表单没有字段 %s", clip(name))
		}
	}
	for i := range s.form {
		f := &s.form[i]
		raw, ok := p.in.Form[f.Field.Field]
		if t, isText := raw.(string); isText && strings.TrimSpace(t) == "" {
			ok = false
		}
		if !ok || raw == nil {
			missing = missing || f.Required
			switch f.Type {
			case "number", "integer", "boolean":
			default:
				form[f.Field.Field] = ""
			}
			continue
		}
		v, en, zh := f.read(raw)
		if en != "" {
			return nil, false, &stop{Refused, Text{EN: f.Label.EN + ": " + en, ZH: f.Label.ZH + "：" + zh}, ""}
		}
		form[f.Field.Field] = v
	}
	return form, missing, nil
}

var isDay = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// read checks one field's value; en and zh say what is wrong with it.
func (f *field) read(raw any) (v any, en, zh string) {
	if raw, en, zh = f.inUnit(raw); en != "" {
		return nil, en, zh
	}
	t := strings.TrimSpace(text(plain(raw)))
	if len(t) > maxValue || !utf8.ValidString(t) {
		return nil, fmt.Sprintf("it has over %d bytes", maxValue), fmt.Sprintf("超过 %d 字节", maxValue)
	}
	switch f.Type {
	case "number", "integer":
		n, ok := toNumber(t)
		if !ok {
			return nil, fmt.Sprintf("%q is no number", clip(t)), fmt.Sprintf("%q 不是数字", clip(t))
		}
		if f.Min != nil && n < *f.Min || f.Max != nil && n > *f.Max {
			en, zh = bounds(f)
			return nil, fmt.Sprintf("%s %s is out of bounds: %s", t, f.Unit, en), fmt.Sprintf("%s %s 超出范围：%s", t, f.Unit, zh)
		}
		if f.Type == "integer" {
			if n != float64(int64(n)) {
				return nil, fmt.Sprintf("%s is no whole number", t), fmt.Sprintf("%s 不是整数", t)
			}
			return int64(n), "", ""
		}
		return n, "", ""
	case "boolean":
		switch strings.ToLower(t) {
		case "true", "yes", "是":
			return true, "", ""
		case "false", "no", "否":
			return false, "", ""
		}
		return nil, "write true or false", "请填写 true 或 false"
	case "choice":
		for _, c := range f.Choices {
			if c.Value == t {
				return t, "", ""
			}
		}
		return nil, fmt.Sprintf("%q is none of the choices", clip(t)), fmt.Sprintf("%q 不在选项中", clip(t))
	case "date":
		if x, ok := instant(t); !ok || !isDay.MatchString(t) || x.IsZero() {
			return nil, fmt.Sprintf("%q is no day: write 2026-11-22", clip(t)), fmt.Sprintf("%q 不是日期：请写成 2026-11-22", clip(t))
		}
	case "datetime":
		if _, ok := instant(t); !ok {
			return nil, fmt.Sprintf("%q is no time: write 2026-11-22T08:00:00+08:00", clip(t)), fmt.Sprintf("%q 不是时间：请写成 2026-11-22T08:00:00+08:00", clip(t))
		}
	case "id":
		x, err := id.Parse(t)
		if err != nil || x.IsPrefix() && strings.Trim(t, "0123456789.") != "" {
			return nil, fmt.Sprintf("%q is no identifier", clip(t)), fmt.Sprintf("%q 不是标识", clip(t))
		}
		t = x.String()
	}
	n := float64(utf8.RuneCountInString(t))
	if f.Min != nil && n < *f.Min || f.Max != nil && n > *f.Max {
		en, zh = bounds(f)
		return nil, "its length is out of bounds: " + en, "长度超出范围：" + zh
	}
	if f.pattern != nil && !f.pattern.MatchString(t) {
		return nil, fmt.Sprintf("%q does not have the form that is wanted", clip(t)), fmt.Sprintf("%q 不符合要求的格式", clip(t))
	}
	return t, "", ""
}

// inUnit takes a number with another unit, {"value": 72, "unit": "[mi_i]"} or "72 [mi_i]", into the field's.
func (f *field) inUnit(raw any) (v any, en, zh string) {
	if f.Type != "number" && f.Type != "integer" {
		return raw, "", ""
	}
	unit := ""
	switch x := raw.(type) {
	case map[string]any:
		raw, unit = x["value"], text(x["unit"])
	case string:
		raw, unit, _ = strings.Cut(strings.TrimSpace(x), " ")
	}
	if unit = strings.TrimSpace(unit); unit == "" || unit == f.Unit {
		return raw, "", ""
	}
	n, ok := toNumber(plain(raw))
	if !ok {
		return raw, "", "" // what it is instead is said by who reads it
	}
	if n, ok = convert(n, unit, f.Unit); !ok {
		return nil, fmt.Sprintf("%q cannot be told in %q", clip(unit), f.Unit), fmt.Sprintf("%q 无法换算为 %q", clip(unit), f.Unit)
	}
	return n, "", ""
}

func bounds(f *field) (en, zh string) {
	switch {
	case f.Min != nil && f.Max != nil:
		return fmt.Sprintf("from %v to %v", *f.Min, *f.Max), fmt.Sprintf("应在 %v 至 %v 之间", *f.Min, *f.Max)
	case f.Min != nil:
		return fmt.Sprintf("at least %v", *f.Min), fmt.Sprintf("至少 %v", *f.Min)
	}
	return fmt.Sprintf("at most %v", *f.Max), fmt.Sprintf("至多 %v", *f.Max)
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
