package template

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Expand makes the values of a record from properties by their English names (or indexes as text): TEMPLATE_ID at 1000, TEMPLATE
// at 1001, each property at its index. name is P/META_X for the newest version, or P/META_X/2. A property is a text, a
// bool, a json.Number, float64 or int, a []any of texts for one of many, or whatever JSON a schema takes; nil is left
// out. What breaks the template is refused as Violations.
func (t *Templates) Expand(ctx context.Context, name string, properties map[string]any) ([]record.Value, error) {
	tpl, err := t.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	return tpl.Expand(properties)
}

// Expand is Templates.Expand for a template at hand.
func (t *Template) Expand(properties map[string]any) ([]record.Value, error) {
	return t.Complete(nil, properties)
}

// Complete is values together with what properties say (nil: nothing), with the template's name and version: the whole of
// a record. Values that contradict them are refused, as is all that breaks the template.
func (t *Template) Complete(values []record.Value, properties map[string]any) ([]record.Value, error) {
	all := []record.Value{t.value(record.IndexTemplateID, record.TypeTemplateID, t.ID), t.value(record.IndexTemplate, record.TypeTemplate, strconv.Itoa(t.Version))}
	bad := Violations{Template: versionName(t)}
	for name, v := range properties {
		if v == nil {
			continue
		}
		it := t.Item(name)
		if n, err := strconv.ParseUint(name, 10, 32); it == nil && err == nil {
			it = t.item(uint32(n))
		}
		if it == nil {
			bad.add(fmt.Sprintf("%.60s", name), 0, "name", fmt.Sprintf("properties.%.60s", name), "the template has no such property: take one that it has", "模板中没有该属性：请使用模板已有的属性")
			continue
		}
		s, err := it.text(v)
		if err != nil {
			bad.add(it.Name, it.Index, "type", "properties."+it.Name, "it cannot be written as text: give a text, a number, true or false, or JSON for a schema", "无法写成文本：请给出文本、数值、true 或 false，schema 类型请给 JSON")
			continue
		}
		all = append(all, t.value(it.Index, it.Name, s))
	}
	given := len(all)
	for _, v := range values {
		// What is said once more is no contradiction in the template's name and version alone.
		i := slices.IndexFunc(all[:given], func(x record.Value) bool { return x.Index == v.Index })
		if i >= 0 && (v.Index == record.IndexTemplateID && handle.Equal(string(v.Data), t.ID) || v.Index == record.IndexTemplate && string(v.Data) == string(all[i].Data)) {
			all[i] = v
			continue
		}
		all = append(all, v)
	}
	slices.SortStableFunc(all, func(x, y record.Value) int { return int(int64(x.Index) - int64(y.Index)) })
	for i := 1; i < len(all); i++ {
		if all[i].Index == all[i-1].Index {
			bad.add(all[i].Type, all[i].Index, "twice", "properties."+all[i].Type, "it is there twice, by two spellings or beside a value: leave one out", "以两种写法重复给出，或与某个值重复：请只保留一处")
		}
	}
	bad.List = append(bad.List, t.Validate(all, nil)...)
	if err := bad.err(); err != nil {
		slices.SortStableFunc(bad.List, func(x, y Violation) int { return int(int64(x.Index) - int64(y.Index)) })
		return nil, err
	}
	return all, record.CheckAll(all)
}

func (t *Template) value(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), TTL: record.TTL{Seconds: record.DefaultTTL}, Perm: record.DefaultPerm}
}

// text is the data of a property.
func (it *Item) text(v any) (string, error) {
	if it.Type == Schema {
		if s, ok := v.(json.RawMessage); ok {
			return string(s), nil
		}
		return marshal(v)
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case []any, []string:
		if it.Many {
			return marshal(v)
		}
	}
	return "", problem.New(problem.BadValue, "a %T is no property", "%T 不能作为属性", v)
}

// marshal is JSON as people write it: < stays <.
func marshal(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return string(bytes.TrimRight(b.Bytes(), "\n")), err
}

// Properties is the other way: what the values say, by English names, in JSON's types. What is not of the template is left out.
func (t *Template) Properties(values []record.Value) map[string]any {
	out := map[string]any{}
	for i := range values {
		it := t.item(values[i].Index)
		if it == nil || !handle.Equal(it.Name, values[i].Type) {
			continue
		}
		s := string(values[i].Data)
		out[it.Name] = s
		switch it.Type {
		case Number:
			if _, ok := decimal(s); ok && json.Valid(values[i].Data) {
				out[it.Name] = json.Number(s)
			}
		case Boolean:
			if s == "true" || s == "false" {
				out[it.Name] = s == "true"
			}
		case Schema:
			if json.Valid(values[i].Data) {
				out[it.Name] = json.RawMessage(s)
			}
		case File, Reference:
			if list, ok := it.texts(s); ok && it.Many {
				out[it.Name] = list
			}
		}
	}
	return out
}
