package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// own is the keyword under which a schema carries what JSON Schema has no word for: the property, or the template without its items.
const own = "x-fujie"

const dialect = "https://json-schema.org/draft/2020-12/schema"

// JSONSchema is the template as JSON Schema 2020-12 of a record's properties by English names; FromJSONSchema reads it back
// without a loss.
func (t *Template) JSONSchema() (json.RawMessage, error) {
	props, required := map[string]any{}, []string{}
	for i := range t.Items {
		it := &t.Items[i]
		p := map[string]any{own: it}
		if it.Description != "" {
			p["description"] = it.Description
		}
		p["title"] = it.Title(problem.English)
		switch it.Type {
		case String:
			p["type"], p["maxLength"] = "string", it.longest()
			if it.MinLength > 0 {
				p["minLength"] = it.MinLength
			}
			if it.Pattern != "" {
				p["pattern"] = "^(?:" + it.Pattern + ")$"
			}
		case Number:
			p["type"] = "number"
			if it.Scale != nil && *it.Scale == 0 {
				p["type"] = "integer"
			}
			if it.Minimum != "" {
				p["minimum"] = jsonNumber(it.Minimum)
			}
			if it.Maximum != "" {
				p["maximum"] = jsonNumber(it.Maximum)
			}
		case Boolean:
			p["type"] = "boolean"
		case Date:
			p["type"] = "string"
			switch it.Format {
			case "", "date":
				p["format"] = "date"
			case "date-time":
				p["format"] = "date-time"
			}
		case Enumeration:
			codes := []string{}
			for _, c := range it.Values {
				codes = append(codes, c.Code)
			}
			p["enum"] = codes
		case File, Reference:
			one := map[string]any{"type": "string"}
			if it.Many {
				p["type"], p["items"], p["maxItems"] = "array", one, it.most()
			} else {
				maps.Copy(p, one)
			}
		case Schema:
			p["allOf"] = []json.RawMessage{it.Schema}
		}
		props[it.Name] = p
		if it.Required && !it.Disabled {
			required = append(required, it.Name)
		}
	}
	head := *t
	head.Items = nil
	doc := map[string]any{"$schema": dialect, "type": "object", "properties": props, "additionalProperties": false, own: head}
	if len(required) > 0 {
		doc["required"] = required
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the template cannot be written as JSON Schema", "模板无法写成 JSON Schema")
	}
	return b, nil
}

// jsonNumber is decimal text as JSON takes it.
func jsonNumber(s string) any {
	s = strings.TrimPrefix(s, "+")
	if json.Valid([]byte(s)) {
		return json.Number(s)
	}
	x, _ := decimal(s)
	return json.Number(x.r.FloatString(x.scale))
}

// FromJSONSchema makes a template of a JSON Schema of an object, ours or somebody else's. Of another's: string, number,
// integer, boolean, dates and enumerations of texts become items of those types; every other property one of type schema, with the
// definitions that it may refer to.
func FromJSONSchema(b []byte) (*Template, error) {
	if len(b) > 4*MaxBytes {
		return nil, problem.New(problem.TooLarge, "the schema has %d bytes, over the limit of %d: split it", "该 schema 有 %d 字节，超过上限 %d：请拆分", len(b), 4*MaxBytes)
	}
	if _, err := compileSchema(b); err != nil {
		return nil, problem.Wrap(err, problem.BadValue, "this is no JSON Schema 2020-12: correct what is named", "这不是 JSON Schema 2020-12：请改正所指之处")
	}
	var doc struct {
		Title, Description string
		Properties         map[string]json.RawMessage
		Required           []string
		Own                *Template `json:"x-fujie"`
	}
	if err := json.Unmarshal(b, &doc); err != nil || len(doc.Properties) == 0 {
		return nil, problem.New(problem.BadValue, "the schema describes no object with properties: a template needs some", "该 schema 没有描述带属性的对象：模板须有属性")
	}
	var root map[string]any
	if err := json.Unmarshal(b, &root); err != nil {
		return nil, problem.Wrap(err, problem.BadValue, "the schema is no JSON", "该 schema 不是 JSON")
	}
	t := &Template{}
	if doc.Own != nil {
		*t = *doc.Own
	}
	if len(t.Names) == 0 {
		name := []rune(doc.Title)
		if len(name) == 0 {
			name = []rune("Imported")
		}
		t.Names = map[string]string{"en": string(name[:min(len(name), maxTitle)])}
		t.Description = doc.Description
	}
	t.Items = nil
	for _, name := range slices.Sorted(maps.Keys(doc.Properties)) {
		raw := doc.Properties[name]
		it, err := itemOf(name, raw, root, slices.Contains(doc.Required, name))
		if err != nil {
			return nil, err
		}
		t.Items = append(t.Items, it)
	}
	slices.SortStableFunc(t.Items, func(x, y Item) int {
		switch {
		case x.Index == 0 || y.Index == 0:
			return 0
		}
		return int(int64(x.Index) - int64(y.Index))
	})
	t.Fill()
	return t, t.Check()
}

func itemOf(name string, raw json.RawMessage, root map[string]any, required bool) (Item, error) {
	var p struct {
		Own         *Item `json:"x-fujie"`
		Type        any
		Format      string
		Description string
		Title       string
		Enum        []any
		MinLength   int
		MaxLength   int
		Minimum     json.Number
		Maximum     json.Number
	}
	if err := json.Unmarshal(raw, &p); err == nil && p.Own != nil {
		return *p.Own, nil
	}
	it := Item{Name: name, Required: required, Type: Schema}
	if n := []rune(p.Description); len(n) <= 1000 {
		it.Description = p.Description
	}
	if n := []rune(p.Title); len(n) > 0 && len(n) <= maxTitle {
		it.Names = map[string]string{"en": p.Title}
	}
	// A keyword that an item has no word for keeps the whole as a schema, so that nothing is taken for less than it says.
	var words map[string]json.RawMessage
	json.Unmarshal(raw, &words)
	only := func(allowed ...string) bool {
		for w := range words {
			if !slices.Contains(allowed, w) && !slices.Contains([]string{"title", "description", "examples", "$comment", "type", "default"}, w) {
				return false
			}
		}
		return true
	}
	switch {
	case p.Type == "string" && only("minLength", "maxLength") && p.MaxLength <= MaxLongest:
		it.Type, it.MinLength, it.MaxLength = String, p.MinLength, p.MaxLength
		if it.MaxLength == 0 {
			it.MaxLength = max(MaxLength, it.MinLength)
		}
		return it, nil
	case p.Type == "string" && (p.Format == "date" || p.Format == "date-time") && only("format"):
		it.Type, it.Format = Date, p.Format
		return it, nil
	case (p.Type == "number" || p.Type == "integer") && only("minimum", "maximum"):
		it.Type, it.Minimum, it.Maximum = Number, p.Minimum.String(), p.Maximum.String()
		if p.Type == "integer" {
			it.Scale = new(int)
		}
		return it, nil
	case p.Type == "boolean" && only():
		it.Type = Boolean
		return it, nil
	case len(p.Enum) > 0 && only("enum") && !slices.ContainsFunc(p.Enum, func(v any) bool { s, ok := v.(string); return !ok || s == "" || len(s) > maxTitle }):
		it.Type = Enumeration
		for _, v := range p.Enum {
			it.Values = append(it.Values, Choice{Code: v.(string)})
		}
		return it, nil
	}
	if len(words) == 0 { // true, false
		it.Schema = raw
		return it, nil
	}
	b, err := json.Marshal(withDefinitions(words, raw, root))
	if err != nil {
		return it, problem.Wrap(err, problem.BadValue, "the property %.60s cannot be read", "属性 %.60s 无法读取", name)
	}
	it.Schema = b
	if _, err := compileSchema(b); err != nil {
		return it, problem.New(problem.BadValue, "the property %.60s refers to something outside of the schema: put it there", "属性 %.60s 引用了该 schema 以外的内容：请移入其中", fmt.Sprintf("%.60s", name))
	}
	return it, nil
}

// withDefinitions is the words of a property with all that they refer to in the whole schema, each at its place there.
func withDefinitions(words map[string]json.RawMessage, raw json.RawMessage, root map[string]any) map[string]any {
	out := map[string]any{}
	for w, v := range words {
		out[w] = v
	}
	var own any
	if json.Unmarshal(raw, &own) != nil {
		return out
	}
	seen := map[string]bool{}
	var walk func(v any, depth int)
	walk = func(v any, depth int) {
		if depth > 100 {
			return
		}
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x, depth+1)
			}
		case map[string]any:
			for _, x := range v {
				walk(x, depth+1)
			}
			ref, _ := v["$ref"].(string)
			path, ok := strings.CutPrefix(ref, "#/")
			if !ok || seen[ref] {
				return
			}
			seen[ref] = true
			keys := strings.Split(path, "/")
			at, to := any(root), out
			for i, k := range keys {
				k = strings.NewReplacer("~1", "/", "~0", "~").Replace(k)
				m, ok := at.(map[string]any)
				if !ok {
					return
				}
				at = m[k]
				if i == len(keys)-1 {
					if _, taken := to[k]; !taken && at != nil {
						to[k] = at
					}
					break
				}
				next, ok := to[k].(map[string]any)
				if !ok {
					next = map[string]any{}
					to[k] = next
				}
				to = next
			}
			walk(at, depth+1)
		}
	}
	walk(own, 0)
	return out
}
