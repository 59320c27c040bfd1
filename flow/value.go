package flow

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// text is how a value reads in a sentence, a property or a message.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatInt(int64(v), 10)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return v.String()
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = text(x)
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v)
}

// native is a CEL value as plain Go: nil, bool, int64, float64, string, time.Time, time.Duration, []any, map[string]any.
func native(v ref.Val) any {
	switch v := v.(type) {
	case types.Null:
		return nil
	case types.Bool:
		return bool(v)
	case types.Int:
		return int64(v)
	case types.Uint:
		return int64(v)
	case types.Double:
		return float64(v)
	case types.String:
		return string(v)
	case types.Bytes:
		return string(v)
	case types.Timestamp:
		return v.Time
	case types.Duration:
		return v.Duration
	case traits.Lister:
		n := int(v.Size().(types.Int))
		out := make([]any, 0, n)
		for it := v.Iterator(); it.HasNext() == types.True; {
			out = append(out, native(it.Next()))
		}
		return out
	case traits.Mapper:
		out := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			k := it.Next()
			out[text(native(k))] = native(v.Get(k))
		}
		return out
	}
	return v.Value()
}

// plain is a value of YAML or JSON as expressions have it.
func plain(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case uint64:
		return int64(v)
	case uint:
		return int64(v)
	case float32:
		return float64(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = plain(x)
		}
		return out
	}
	return v
}

func toNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

// instant reads a time: RFC 3339, or a day, which begins at midnight in the flow's zone.
func instant(v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t, true
		}
		if t, err := time.ParseInLocation(time.DateOnly, v, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// value is a compiled value: nil, literal, expression, template, list or map.
type value struct {
	literal any
	expr    *expr
	parts   []value // of a template: literals and expressions in turn
	list    []value
	fields  map[string]value
}

func (v *value) eval(s scope) (any, error) {
	switch {
	case v == nil:
		return nil, nil
	case v.expr != nil:
		return v.expr.eval(s)
	case v.parts != nil:
		var b strings.Builder
		for i := range v.parts {
			x, err := v.parts[i].eval(s)
			if err != nil {
				return nil, err
			}
			b.WriteString(text(x))
		}
		return b.String(), nil
	case v.list != nil:
		out := make([]any, 0, len(v.list))
		for i := range v.list {
			x, err := v.list[i].eval(s)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	case v.fields != nil:
		out := make(map[string]any, len(v.fields))
		for k := range v.fields {
			f := v.fields[k]
			x, err := f.eval(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			out[k] = x
		}
		return out, nil
	}
	return v.literal, nil
}

// text evaluates to a text.
func (v *value) text(s scope) (string, error) {
	x, err := v.eval(s)
	return text(x), err
}

// texts evaluates to a list of texts without empty ones: one value is a list of one, and lists in it are laid flat.
func (v *value) texts(s scope) ([]string, error) {
	x, err := v.eval(s)
	if err != nil {
		return nil, err
	}
	var out []string
	var add func(x any)
	add = func(x any) {
		if list, ok := x.([]any); ok {
			for _, y := range list {
				add(y)
			}
		} else if t := text(x); t != "" {
			out = append(out, t)
		}
	}
	add(x)
	return out, nil
}
