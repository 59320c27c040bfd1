package intake

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/vaa"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Map says how the lines of a foreign file become records: which enterprise a line belongs to, how its identifier is
// built, which field becomes which typed value. A field is a column's name, or a path into a JSON document:
// identifiers.0.deviceId is deviceId of the first of identifiers.
type Map struct {
	// Enterprise makes a prefix for each enterprise named in the data. Leave it out when Identifier holds the prefix.
	Enterprise *MapEnterprise `yaml:"enterprise"`
	// Identifier is text with fields in braces: the suffix when Enterprise is given ("{identifiers.0.deviceId}"), else the whole
	// identifier ("88.118.1001/{件号}"). A line without one of the fields is refused.
	Identifier string `yaml:"identifier"`
	// Template is the template that the records follow, if any.
	Template string     `yaml:"template"`
	Values   []MapValue `yaml:"values"`

	parts []part // of Identifier
}

// MapEnterprise says how a line names its enterprise.
type MapEnterprise struct {
	Under string `yaml:"under"` // the second-level prefix that delegates, as "88.118"
	Field string `yaml:"field"` // holds the enterprise's name; a line without it is refused
	// Digits is how long the enterprise code is, 6 to 18, default 8. The code is taken from a hash of the name (letters of either
	// case and runs of spaces are the same), so that the same enterprise always gets the same prefix.
	Digits int `yaml:"digits"`
}

// MapValue says which field becomes which value.
type MapValue struct {
	Index    uint32 `yaml:"index"`
	Type     string `yaml:"type"`
	Field    string `yaml:"field"`
	As       string `yaml:"as"`       // string (default), number, boolean, date (yyyy-mm-dd), list (texts joined by "; "), json
	Required bool   `yaml:"required"` // refuse a line without it
	Max      int    `yaml:"max"`      // characters, default 4000; a line with more is refused, and named in the report
	TTL      uint32 `yaml:"ttl"`      // seconds, default 86400
}

type part struct{ text, field string }

// LoadMap reads a map file, strictly: an unknown key is an error that names its line.
func LoadMap(path string) (*Map, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read the map %s", "无法读取映射文件 %s", path)
	}
	m, err := ParseMap(b)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the map %s is wrong", "映射文件 %s 有误", path)
	}
	return m, nil
}

// ParseMap reads a map.
func ParseMap(b []byte) (*Map, error) {
	var m Map
	if err := yaml.UnmarshalWithOptions(b, &m, yaml.Strict()); err != nil {
		return nil, problem.New(problem.BadRequest, "%s", "%s", yaml.FormatError(err, false, false))
	}
	if e := m.Enterprise; e != nil {
		if e.Digits == 0 {
			e.Digits = 8
		}
		if _, err := vaa.ParsePrefix(e.Under); err != nil {
			return nil, err
		}
		if e.Field == "" || e.Digits < 6 || e.Digits > 18 {
			return nil, problem.New(problem.BadRequest, "enterprise needs a field, and digits between 6 and 18",
				"enterprise 须有 field，且 digits 在 6 至 18 之间")
		}
	}
	rest := m.Identifier
	for rest != "" {
		text, tail, open := strings.Cut(rest, "{")
		m.parts = append(m.parts, part{text: text})
		if !open {
			break
		}
		field, after, ok := strings.Cut(tail, "}")
		if !ok || strings.TrimSpace(field) == "" {
			return nil, problem.New(problem.BadRequest, "identifier %q has a brace that names no field", "identifier %q 中的花括号没有给出字段名", m.Identifier)
		}
		m.parts = append(m.parts, part{field: strings.TrimSpace(field)})
		rest = after
	}
	if len(m.parts) == 0 {
		return nil, problem.New(problem.BadRequest, "the map has no identifier; add one, as identifier: '88.118.1001/{number}'",
			"映射中没有 identifier；请加上，例如 identifier: '88.118.1001/{件号}'")
	}
	seen := map[uint32]bool{}
	for i := range m.Values {
		v := &m.Values[i]
		if v.Field == "" {
			v.Field = v.Type
		}
		if v.Type == "" {
			v.Type = v.Field
		}
		if v.Max == 0 {
			v.Max = 4000
		}
		if v.TTL == 0 {
			v.TTL = record.DefaultTTL
		}
		switch v.As {
		case "", "string", "number", "boolean", "date", "list", "json":
		default:
			return nil, problem.New(problem.BadRequest, "value %d: %q is no kind of value; take string, number, boolean, date, list or json",
				"值 %d：不认识 %q；可用 string、number、boolean、date、list、json", v.Index, v.As)
		}
		if v.Index == 0 || v.Type == "" || seen[v.Index] {
			return nil, problem.New(problem.BadRequest, "value %d (%s): each value needs a field and an index of its own",
				"值 %d（%s）：每个值须有 field 和不重复的 index", v.Index, v.Type)
		}
		seen[v.Index] = true
	}
	return &m, nil
}

// EnterpriseCode is the code of digits digits that an enterprise's name gets.
func EnterpriseCode(name string, digits int) string {
	sum := sha256.Sum256([]byte(strings.ToUpper(strings.Join(strings.Fields(name), " "))))
	n := uint64(1)
	for range digits {
		n *= 10
	}
	return fmt.Sprintf("%0*d", digits, binary.BigEndian.Uint64(sum[:8])%n)
}

func (m *Map) item(doc any) Item {
	var it Item
	it.Template = m.Template
	var name strings.Builder
	if e := m.Enterprise; e != nil {
		company, ok := text(lookup(doc, e.Field))
		if !ok {
			it.Err = missing(e.Field)
			return it
		}
		it.Enterprise = &Enterprise{Prefix: e.Under + "." + EnterpriseCode(company, e.Digits), Name: company}
		name.WriteString(it.Enterprise.Prefix + "/")
	}
	for _, p := range m.parts {
		name.WriteString(p.text)
		if p.field != "" {
			v, ok := text(lookup(doc, p.field))
			if !ok {
				it.Err = missing(p.field)
				return it
			}
			name.WriteString(v)
		}
	}
	it.As = name.String()
	if it.ID, it.Err = id.Parse(it.As); it.Err != nil {
		return it
	}
	for i := range m.Values {
		v := &m.Values[i]
		s, ok, err := v.render(lookup(doc, v.Field))
		switch {
		case err != nil:
			it.Err = err
			return it
		case !ok && v.Required:
			it.Err = missing(v.Field)
			return it
		case !ok:
			continue
		}
		if n := utf8.RuneCountInString(s); n > v.Max {
			it.Err = problem.New(problem.TooLarge, "field %s has %d characters, over the limit of %d; shorten it, or raise max in the map",
				"字段 %s 有 %d 个字符，超过上限 %d；请缩短，或在映射中调大 max", v.Field, n, v.Max)
			return it
		}
		val := value(v.Index, v.Type, s)
		val.TTL.Seconds = v.TTL
		it.Values = append(it.Values, val)
	}
	it.Err = record.CheckAll(it.Values)
	return it
}

func missing(field string) error {
	return problem.New(problem.BadValue, "the field %s is missing or empty", "缺少字段 %s，或其值为空", field)
}

// lookup follows a path; nil when it leads nowhere. A name with a dot in it is tried as a whole first, since CSV headers may hold one.
func lookup(doc any, path string) any {
	for {
		switch d := doc.(type) {
		case map[string]any:
			if v, ok := d[path]; ok {
				return v
			}
			head, rest, ok := strings.Cut(path, ".")
			if !ok {
				return nil
			}
			doc, path = d[head], rest
		case []any:
			head, rest, more := strings.Cut(path, ".")
			i, err := strconv.Atoi(head)
			if err != nil || i < 0 || i >= len(d) {
				return nil
			}
			if doc, path = d[i], rest; !more {
				return doc
			}
		default:
			return nil
		}
	}
}

// text is a scalar as text, and whether there is any.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		s := strings.TrimSpace(v)
		return s, s != ""
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func (v *MapValue) render(field any) (string, bool, error) {
	bad := func(s string) error {
		return problem.New(problem.BadValue, "field %s: %.60q is no %s", "字段 %s：%.60q 不是 %s", v.Field, s, v.As)
	}
	switch v.As {
	case "list":
		items, ok := field.([]any)
		if !ok {
			s, ok := text(field)
			return s, ok, nil
		}
		var out []string
		for _, i := range items {
			if s, ok := text(i); ok {
				out = append(out, s)
			}
		}
		return strings.Join(out, "; "), len(out) > 0, nil
	case "json":
		if field == nil {
			return "", false, nil
		}
		b, err := json.Marshal(field)
		return string(b), err == nil, err
	}
	s, ok := text(field)
	if !ok {
		return "", false, nil
	}
	switch v.As {
	case "number":
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return "", false, bad(s)
		}
	case "boolean":
		b, err := strconv.ParseBool(strings.ToLower(s))
		if err != nil {
			return "", false, bad(s)
		}
		s = strconv.FormatBool(b)
	case "date":
		if _, err := time.Parse(time.DateOnly, s); err != nil {
			return "", false, bad(s)
		}
	}
	return s, true, nil
}
