package label

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

func itoa(n int) string { return strconv.Itoa(n) }

// expr is text with fields: literal pieces and fields in turn.
type expr []piece

type piece struct {
	text  string // literal, or what stands where the field has no value
	field string // empty: literal
	or    bool   // text may stand in the field's place
}

// parseExpr reads {field}, {field|other}, {{ and }}.
func parseExpr(s string) (expr, error) {
	var out expr
	var lit strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case (c == '{' || c == '}') && i+1 < len(s) && s[i+1] == c:
			lit.WriteByte(c)
			i++
		case c == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return nil, problem.New(problem.BadValue, "%.60q opens a bracket that nothing closes: write {name}, or {{ for a bracket", "%.60q 的花括号没有闭合：请写成 {name}，或用 {{ 表示花括号", s[i:])
			}
			name, other, or := strings.Cut(s[i+1:i+end], "|")
			name = strings.TrimSpace(name)
			if name == "" || len(name) > 200 || strings.ContainsAny(name, "{\n\r\t") {
				return nil, problem.New(problem.BadValue, "{%.60s} names no field: write {id}, {gs1} or a property of the template", "{%.60s} 没有给出字段：请写 {id}、{gs1} 或模板属性名", s[i+1:i+end])
			}
			if lit.Len() > 0 {
				out = append(out, piece{text: lit.String()})
				lit.Reset()
			}
			out = append(out, piece{text: other, field: name, or: or})
			i += end
		case c == '}':
			return nil, problem.New(problem.BadValue, "%.60q closes a bracket that was not opened: write }} for a bracket", "%.60q 的花括号没有开始：请用 }} 表示花括号", s[max(0, i-20):i+1])
		default:
			lit.WriteByte(c)
		}
	}
	if lit.Len() > 0 {
		out = append(out, piece{text: lit.String()})
	}
	return out, nil
}

// Fields are the values that a label of one thing shows, by name; names are compared without regard to case.
type Fields map[string]string

func (f Fields) get(name string) (string, bool) {
	if v, ok := f[name]; ok {
		return v, true
	}
	for k, v := range f {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

// say is the text with the fields in it. strict: a field without a value is an error, problem.NoValues. In a web address fields are escaped, slashes excepted.
func (x expr) say(f Fields, strict bool) (string, error) {
	var b strings.Builder
	web := strict && len(x) > 0 && x[0].field == "" && (strings.HasPrefix(strings.ToLower(x[0].text), "https://") || strings.HasPrefix(strings.ToLower(x[0].text), "http://"))
	for _, p := range x {
		if p.field == "" {
			b.WriteString(p.text)
			continue
		}
		v, ok := f.get(p.field)
		if !ok || v == "" {
			if strict && !p.or {
				return "", problem.New(problem.NoValues, "%.200s has no %.60s, which its label needs: register the property, or write {%[2]s|…} with what shall stand there", "%.200s 没有标签所需的 %.60s：请登记该属性，或写成 {%[2]s|…} 给出替代内容", f["id"], p.field)
			}
			v = p.text
		}
		if web && !strings.EqualFold(p.field, linkField) {
			v = escapePath(v)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func escapePath(s string) string {
	parts := strings.Split(s, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
