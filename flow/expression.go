package flow

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/trace/epcis"
)

// costLimit bounds one evaluation: enough for lists of some thousands, far from anything that a node would feel.
const costLimit = 1_000_000

// scope is what an expression sees.
type scope map[string]any

// zone is in what days are told.
var zone = time.FixedZone("+08:00", 8*3600)

// thing is a binding: what is known of an identifier. A property that its record does not have is an empty text.
type thing struct{ traits.Mapper }

func newThing(m map[string]any) ref.Val {
	return thing{types.DefaultTypeAdapter.NativeToValue(m).(traits.Mapper)}
}

func (t thing) Find(key ref.Val) (ref.Val, bool) {
	if v, ok := t.Mapper.Find(key); ok {
		return v, true
	}
	return types.String(""), true
}

func (t thing) Get(key ref.Val) ref.Val {
	v, _ := t.Find(key)
	return v
}

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

func one(name string, result *cel.Type, f func(v any) (any, error)) cel.EnvOption {
	return cel.Function(name, cel.Overload("fujie_"+name, []*cel.Type{cel.DynType}, result, cel.UnaryBinding(func(v ref.Val) ref.Val {
		if types.IsUnknownOrError(v) {
			return v
		}
		out, err := f(native(v))
		if err != nil {
			return types.NewErr("%s: %s", name, err)
		}
		return types.DefaultTypeAdapter.NativeToValue(out)
	})))
}

func two(name string, result *cel.Type, f func(a, b any) (any, error)) cel.EnvOption {
	return cel.Function(name, cel.Overload("fujie_"+name, []*cel.Type{cel.DynType, cel.DynType}, result, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
		if types.IsUnknownOrError(a) {
			return a
		}
		if types.IsUnknownOrError(b) {
			return b
		}
		out, err := f(native(a), native(b))
		if err != nil {
			return types.NewErr("%s: %s", name, err)
		}
		return types.DefaultTypeAdapter.NativeToValue(out)
	})))
}

// helpers are the functions that expressions have beside those of CEL and its text library.
func helpers() []cel.EnvOption {
	part := func(v any, f func(id.ID) string) (any, error) {
		s := text(v)
		if s == "" {
			return "", nil
		}
		x, err := id.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no identifier", s)
		}
		return f(x), nil
	}
	return []cel.EnvOption{
		one("text", cel.StringType, func(v any) (any, error) { return text(v), nil }),
		one("number", cel.DoubleType, func(v any) (any, error) {
			f, ok := toNumber(v)
			if !ok {
				return nil, fmt.Errorf("%q is no number", text(v))
			}
			return f, nil
		}),
		one("time", cel.TimestampType, func(v any) (any, error) {
			t, ok := instant(v)
			if !ok {
				return nil, fmt.Errorf("%q is no time", text(v))
			}
			return t, nil
		}),
		one("day", cel.StringType, func(v any) (any, error) {
			t, ok := instant(v)
			if !ok {
				return nil, fmt.Errorf("%q is no time", text(v))
			}
			return t.In(zone).Format(time.DateOnly), nil
		}),
		one("days", cel.DurationType, func(v any) (any, error) {
			f, ok := toNumber(v)
			if !ok || math.Abs(f) > 100_000 {
				return nil, fmt.Errorf("%q is no number of days", text(v))
			}
			return time.Duration(f * 24 * float64(time.Hour)), nil
		}),
		one("prefix", cel.StringType, func(v any) (any, error) { return part(v, id.ID.Prefix) }),
		one("suffix", cel.StringType, func(v any) (any, error) { return part(v, id.ID.Suffix) }),
		two("sameThing", cel.BoolType, func(a, b any) (any, error) { return epcis.Key(text(a)) == epcis.Key(text(b)), nil }),
		one("date", cel.TimestampType, func(v any) (any, error) {
			t, err := time.ParseInLocation(time.DateOnly, text(v), zone)
			if err != nil {
				return nil, fmt.Errorf("%q is no day: write 2026-11-22", text(v))
			}
			return t, nil
		}),
		one("lower", cel.StringType, func(v any) (any, error) { return strings.ToLower(text(v)), nil }),
		one("upper", cel.StringType, func(v any) (any, error) { return strings.ToUpper(text(v)), nil }),
		cel.Function("convert", cel.Overload("fujie_convert", []*cel.Type{cel.DynType, cel.StringType, cel.StringType}, cel.DoubleType, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			x, ok := toNumber(native(args[0]))
			from, to := text(native(args[1])), text(native(args[2]))
			if !ok {
				return types.NewErr("convert: %q is no number", text(native(args[0])))
			}
			y, ok := convert(x, from, to)
			if !ok {
				return types.NewErr("convert: %q cannot be told in %q", from, to)
			}
			return types.Double(y)
		}))),
		cel.Function("coalesce", coalesce(2), coalesce(3), coalesce(4)),
		two("orElse", cel.DynType, func(a, b any) (any, error) {
			if a == nil || a == "" {
				return b, nil
			}
			return a, nil
		}),
		two("round", cel.DoubleType, func(a, n any) (any, error) {
			x, ok := toNumber(a)
			d, fine := toNumber(n)
			if !ok || !fine || d < 0 || d > 12 {
				return nil, fmt.Errorf("round takes a number and how many digits, 0 to 12")
			}
			p := math.Pow(10, math.Trunc(d))
			return math.Round(x*p) / p, nil
		}),
	}
}

// coalesce is the first of so many values that is not null and no empty text.
func coalesce(n int) cel.FunctionOpt {
	return cel.Overload(fmt.Sprintf("fujie_coalesce_%d", n), slices.Repeat([]*cel.Type{cel.DynType}, n), cel.DynType, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
		for _, v := range args {
			if x := native(v); x != nil && x != "" {
				return v
			}
		}
		return args[len(args)-1]
	}))
}

// newEnv is where the expressions of one flow are compiled: they see its bindings, and what every step has.
func newEnv(bindings []string) (*cel.Env, error) {
	o := []cel.EnvOption{cel.CrossTypeNumericComparisons(true), ext.Strings(), ext.Math(), ext.Lists()}
	for _, name := range []string{"form", "vars", "uses", "parties", "who", "run", "it", "match"} {
		o = append(o, cel.Variable(name, cel.DynType))
	}
	o = append(o, cel.Variable("device", cel.StringType), cel.Variable("where", cel.StringType), cel.Variable("now", cel.TimestampType), cel.Variable("at", cel.TimestampType))
	sort.Strings(bindings)
	for i, name := range bindings {
		if i > 0 && bindings[i-1] == name {
			continue
		}
		o = append(o, cel.Variable(name, cel.DynType))
	}
	return cel.NewEnv(append(o, helpers()...)...)
}

// expr is one compiled expression; the zero one is absent.
type expr struct {
	src string
	p   cel.Program
}

func (x *expr) eval(s scope) (any, error) {
	v, _, err := x.p.Eval(map[string]any(s))
	if err != nil {
		return nil, fmt.Errorf("%s: %s", x.src, strings.TrimPrefix(err.Error(), "no such overload: "))
	}
	return native(v), nil
}

// holds evaluates a condition; an absent one is whole.
func (x *expr) holds(s scope, whole bool) (bool, error) {
	if x == nil || x.p == nil {
		return whole, nil
	}
	v, err := x.eval(s)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%s is %s: a condition is true or false", x.src, text(v))
	}
	return b, nil
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
