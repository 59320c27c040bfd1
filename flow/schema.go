package flow

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Schema is the JSON Schema (2020-12) of a flow's declaration, for editors: they complete keys, and mark what Parse would refuse.
func Schema() []byte {
	return schemaOf(reflect.TypeFor[Definition](), "A flow (扫码流程): steps that people do by scanning, and what follows from them")
}

// TableSchema is the JSON Schema of a decision table.
func TableSchema() []byte {
	return schemaOf(reflect.TypeFor[Table](), "A decision table (决策表): rows of conditions, and what follows from them")
}

// schemer gathers the types that a schema refers to.
type schemer struct{ defs map[string]any }

func schemaOf(t reflect.Type, title string) []byte {
	s := &schemer{defs: map[string]any{}}
	out := s.object(t)
	out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	out["title"] = title
	out["$defs"] = s.defs
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		panic(err) // maps and texts only: it cannot fail
	}
	return append(b, '\n')
}

// object describes a struct by the tags of its fields: yaml names, doc, enum. What is not omitempty is required.
func (s *schemer) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		p := s.of(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			p["description"] = doc
		}
		if words := f.Tag.Get("enum"); words != "" {
			p["enum"] = strings.Split(words, ",")
		}
		properties[name] = p
		if _, options, _ := strings.Cut(f.Tag.Get("json"), ","); !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func (s *schemer) of(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[Next]():
		return map[string]any{"oneOf": []any{map[string]any{"type": "string"}, map[string]any{"type": "array", "items": s.of(reflect.TypeFor[Way]())}}}
	case t == reflect.TypeFor[Text]():
		return map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
			"en": map[string]any{"type": "string", "description": "English; may hold {{ expressions }}"},
			"zh": map[string]any{"type": "string", "description": "Chinese (中文)"},
		}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		if _, known := s.defs[t.Name()]; !known {
			s.defs[t.Name()] = true // in the making: a type may hold itself
			s.defs[t.Name()] = s.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{} // a value: text, an expression, a number, a list, a map
}
