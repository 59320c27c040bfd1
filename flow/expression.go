package flow

import (
	"fmt"
	"math"
	"slices"
	"sort"
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
