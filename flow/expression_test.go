package flow

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
)

// evaluate works out one expression over a few bindings.
func evaluate(t testing.TB, src string) (any, error) {
	t.Helper()
	env, err := newEnv([]string{"part"})
	if err != nil {
		t.Fatal(err)
	}
	tree, issues := env.Compile(src)
	if issues.Err() != nil {
		t.Fatalf("%s: %v", src, issues.Err())
	}
	p, err := env.Program(tree, cel.CostLimit(costLimit))
	if err != nil {
		t.Fatal(err)
	}
	list := []any{}
	for i := range 5000 {
		list = append(list, int64(i))
	}
	at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	return (&expr{src: src, p: p}).eval(scope{"part": newThing(map[string]any{"id": "88.118.1001/P1", "mileage": "120.5"}), "form": map[string]any{}, "vars": map[string]any{"list": list}, "now": at, "at": at, "device": "", "where": "", "it": nil,
		"match": []any{}, "uses": map[string]any{}, "parties": map[string]any{}, "who": map[string]any{}, "run": map[string]any{}})
}

func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		src  string
		want any
	}{
		{`number(part.mileage) * 2.0`, 241.0},
		{`part.nothing`, ""},
		{`orElse(part.nothing, "x")`, "x"},
		{`coalesce(part.nothing, null, 7)`, int64(7)},
		{`day(at)`, "2026-11-23"}, // in the flow's zone
		{`day(time("2026-01-31") + days(1))`, "2026-02-01"},
		{`text(date("2026-11-22"))`, "2026-11-21T16:00:00Z"},
		{`prefix(part.id) + "|" + suffix(part.id)`, "88.118.1001|P1"},
		{`sameThing("88.118.1001/p1", part.id)`, true},
		{`sameThing("hdl:88.118.1001/P1", part.id)`, true},
		{`convert("25", "Cel", "K")`, 298.15},
		{`convert(212, "[degF]", "Cel")`, 100.0},
		{`convert(1, "MPa", "bar")`, 10.0},
		{`round(2.3456, 2)`, 2.35},
		{`upper("a") + lower("B")`, "Ab"},
		{`"a-b".split("-")[1]`, "b"},
		{`size(vars.list)`, int64(5000)},
	} {
		got, err := evaluate(t, c.src)
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v; wanted %v", c.src, got, err, c.want)
		}
	}
	for _, c := range []struct{ src, say string }{
		{`number("x")`, "no number"}, {`number("NaN")`, "no number"}, {`time("yesterday")`, "no time"}, {`date("2026-13-01")`, "no day"}, {`prefix("%%")`, ""}, {`convert(1, "kg", "m")`, "cannot be told"},
		{`days(1e12)`, "no number of days"}, {`round(1.0, 99)`, "digits"}, {`1 / 0`, "zero"}, {`form.nothing`, "nothing"},
		// An expression that would take for ever is cut off.
		{`vars.list.all(a, vars.list.all(b, vars.list.all(c, a + b + c >= 0)))`, "cost"},
	} {
		if got, err := evaluate(t, c.src); err == nil && c.say != "" || err != nil && !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, %v", c.src, got, err)
		}
	}
}

func TestConvert(t *testing.T) {
	for from := range measures {
		for to := range measures {
			x, ok := convert(12.5, from, to)
			if ok != (measures[from].dimension == measures[to].dimension) {
				t.Fatalf("%s to %s: %v", from, to, ok)
			}
			if !ok {
				continue
			}
			if back, ok := convert(x, to, from); !ok || math.Abs(back-12.5) > 1e-6 {
				t.Errorf("12.5 %s is %v %s is %v %s", from, x, to, back, from)
			}
		}
	}
	for _, c := range []struct {
		from, to string
		want     float64
	}{{"km", "[mi_i]", 7.7671399}, {"kPa", "[psi]", 1.8129717}, {"℃", "K", 285.65}, {"um", "mm", 0.0125}, {"%", "1", 0.125}, {"kW.h", "MJ", 45}} {
		if got, ok := convert(12.5, c.from, c.to); !ok || math.Abs(got-c.want) > 1e-6 {
			t.Errorf("12.5 %s: %v %s, wanted %v", c.from, got, c.to, c.want)
		}
	}
}

func tableProgram(t *testing.T, src string) *lookup {
	t.Helper()
	x, err := ParseTable("t.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	env, err := newEnv([]string{"part"})
	if err != nil {
		t.Fatal(err)
	}
	c := &compiler{d: &Definition{}, env: env}
	out := c.table(x)
	if len(c.faults) > 0 {
		t.Fatal(c.faults)
	}
	return out
}

func TestTables(t *testing.T) {
	head := "table: p\nname: {en: a, zh: b}\ninputs: [{name: kind, is: =part.kind}, {name: n, is: '=number(part.n)'}]\noutputs: [x]\nhit: %s\nrows:\n"
	rows := "  - {when: {kind: a | b, n: 1..5}, then: {x: A}}\n  - {when: {n: '> 4'}, then: {x: B}}\n  - {when: {kind: '!= c'}, then: {x: C}}\n"
	near := "  - {when: {kind: a, n: 10}, then: {x: A}}\n  - {when: {kind: a, n: 20}, then: {x: B}}\n  - {when: {kind: b, n: 16}, then: {x: C}}\n"
	for _, c := range []struct{ hit, rows, kind, n, want string }{
		{"first", rows, "a", "3", "A"}, {"first", rows, "b", "5", "A"}, {"first", rows, "c", "5", "B"}, {"first", rows, "c", "1", ""}, {"first", rows, "d", "1", "C"},
		{"first", rows, "a", "?", "C"}, // what cannot be computed fits no condition on it
		{"collect", rows, "a", "5", "A B C"}, {"collect", rows, "c", "1", ""},
		{"nearest", near, "a", "14.9", "A"}, {"nearest", near, "a", "15.1", "B"}, {"nearest", near, "a", "1000", "B"}, {"nearest", near, "b", "1", "C"}, {"nearest", near, "c", "1", ""}, {"nearest", near, "a", "?", ""},
	} {
		got := tableProgram(t, fmt.Sprintf(head, c.hit)+c.rows).eval(scope{"part": newThing(map[string]any{"kind": c.kind, "n": c.n})})
		var names []string
		switch got := got.(type) {
		case []any:
			for _, r := range got {
				names = append(names, r.(map[string]any)["x"].(string))
			}
		case map[string]any:
			names = append(names, got["x"].(string))
			if got["found"] != (got["x"] != "") {
				t.Errorf("%+v: %v", c, got)
			}
		}
		if strings.Join(names, " ") != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
