package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/problem"
)

// example is a flow with one of everything.
const example = `flow: claim
name: {en: Verify a claim, zh: 索赔验真}
about: part
uses: {days: 730}
vars: {n: 0}
steps:
  - step: scan
    name: {en: Scan the part, zh: 扫描零部件}
    who: [mechanic]
    scan: {as: part, of: [part], owner: any, pattern: '[A-Z0-9-]+'}
    ask:
      - {as: vehicle, id: '=form.vin', of: [vehicle], missing: stop}
      - {as: claims, runs: =part.id, flow: claim, state: ended, last: 3}
      - {as: fitted, events: =part.id, step: installing, last: 1}
    form:
      - {field: vin, label: {en: VIN, zh: 车架号}, type: text, required: true, max: 40}
      - {field: mileage, label: {en: Mileage, zh: 里程}, type: number, unit: km, min: 0, max: 3000000, prefill: =vehicle.mileage}
      - {field: kind, label: {en: Kind, zh: 类型}, type: choice, choices: [{value: a, label: {en: a, zh: 甲}}]}
    decide: [{table: parameters, as: recommended}]
    checks:
      - {when: '!part.found', verdict: refused, say: {en: "{{part.code}} is registered nowhere", zh: "{{part.code}} 未注册"}, to: end}
      - {when: form.mileage > 100000.0, verdict: warned, say: {en: far, zh: 里程较大}}
    set: {n: =vars.n + 1}
    do:
      - event: {type: ObjectEvent, action: OBSERVE, step: inspecting, things: [=part.id], place: =where}
      - change: {id: =part.id, if: {state: fitted}, values: {state: claimed}}
      - message: {to: claims, kind: passed, body: {part: =part.id}}
      - task: {as: check, for: [mechanic], name: {en: Look, zh: 查看}, about: =part.id, due: 24h}
    undo:
      - change: {id: =part.id, values: {state: fitted}}
    again: vars.n < 1
    next: [{when: vars.n > 5, to: scan}, {to: end}]
    end: {verdict: passed, say: {en: done, zh: 完成}}
    after: {wait: 30m, to: end}
`

var environment = Solution{Name: "warranty", Title: Text{"Warranty", "质保"}, Version: "1.0.0", Roles: []string{"mechanic", "desk"}, Systems: []string{"claims"},
	Templates: []string{"part", "vehicle"}, Rules: []string{"claims"}, Tables: map[string]*Table{"parameters": must(ParseTable("tables/parameters.yaml", []byte(`table: parameters
name: {en: Parameters, zh: 参数}
inputs: [{name: kind, is: =part.kind}]
outputs: [pressure]
rows: [{when: {kind: PI}, then: {pressure: 1.2}}]
`)))}}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestExampleCompiles(t *testing.T) {
	d, err := Parse("flows/claim.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Compile(environment); err != nil {
		t.Fatal(err)
	}
}

// Every reference is checked when a flow is loaded, and a fault says the file, the line, and what there is instead.
func TestWrongReferences(t *testing.T) {
	for _, c := range []struct{ name, old, new, say string }{
		{"an unknown key", "    who: [mechanic]", "    whom: [mechanic]", "whom"},
		{"an unknown role", "who: [mechanic]", "who: [mechanik]", "mechanik"},
		{"an unknown template", "of: [part]", "of: [prat]", "prat"},
		{"an unknown template asked for", "of: [vehicle]", "of: [car]", "car"},
		{"an unknown binding", "when: '!part.found'", "when: '!prat.found'", "prat"},
		{"an unknown binding in a text", "{{part.code}} is registered", "{{prat.code}} is registered", "prat"},
		{"an expression that is none", "again: vars.n < 1", "again: vars.n <", "vars.n <"},
		{"an unknown function", "set: {n: =vars.n + 1}", "set: {n: =sum(vars.n)}", "sum"},
		{"an unknown step", "to: scan}", "to: skan}", "skan"},
		{"an unknown table", "table: parameters", "table: parameter", "parameter"},
		{"an unknown system", "to: claims, kind", "to: claim, kind", `"claim"`},
		{"an unknown verdict", "verdict: warned", "verdict: warn", "warn"},
		{"an unknown type of field", "type: number", "type: decimal", "decimal"},
		{"an unknown type of event", "type: ObjectEvent", "type: Event", "Event"},
		{"a step that is no word of the standard", "step: inspecting", "step: inspection", "inspection"},
		{"min over max", "min: 0, max: 3000000", "min: 4, max: 3", "min"},
		{"a time that is none", "due: 24h", "due: tomorrow", "tomorrow"},
		{"a wait that is none", "wait: 30m", "wait: soon", "soon"},
		{"a name that means something else", "as: vehicle", "as: form", "form"},
		{"a pattern that is none", "pattern: '[A-Z0-9-]+'", "pattern: '[A-'", "[A-"},
		{"a text in one language", "{en: far, zh: 里程较大}", "{en: far}", "both languages"},
		{"an open brace", "{{part.code}} is registered", "{{part.code is registered", "}}"},
		{"an effect of two kinds", "      - change: {id: =part.id, if: {state: fitted}, values: {state: claimed}}", "      - change: {id: =part.id, values: {state: claimed}}\n        message: {to: claims, kind: x}", "one thing"},
		{"about nothing", "about: part", "about: prat", "part"},
		{"no YAML", "steps:", "steps: [", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := strings.Replace(example, c.old, c.new, 1)
			if src == example {
				t.Fatal("the test changes nothing")
			}
			at := 1 + strings.Count(example[:strings.Index(example, c.old)], "\n")
			d, err := Parse("flows/claim.yaml", []byte(src))
			if err == nil {
				_, err = d.Compile(environment)
			}
			var faults Faults
			if !errors.As(err, &faults) || !problem.Is(err, problem.BadValue) {
				t.Fatalf("%v", err)
			}
			for _, f := range faults {
				if f.File != "flows/claim.yaml" || f.EN == "" || f.ZH == "" {
					t.Errorf("%+v", f)
				}
			}
			f := faults[0]
			if !strings.Contains(f.EN, c.say) {
				t.Errorf("it says %q", f.EN)
			}
			if c.name != "no YAML" && (f.Line < at || f.Line > at+1) {
				t.Errorf("line %d, wanted %d: %s", f.Line, at, f.EN)
			}
		})
	}
}

// casesDir has the folders of the cases.
const casesDir = "../solutions"

func caseEnvironment(t testing.TB, dir string) Solution {
	t.Helper()
	var s struct {
		Solution string                    `yaml:"solution"`
		Version  string                    `yaml:"version"`
		Uses     map[string]any            `yaml:"uses"`
		Roles    map[string]map[string]any `yaml:"roles"`
		Systems  map[string]map[string]any `yaml:"systems"`
		Parties  map[string]map[string]any `yaml:"parties"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "solution.yaml"))
	if err == nil {
		err = yaml.Unmarshal(b, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := Solution{Name: s.Solution, Version: s.Version, Uses: s.Uses, Parties: map[string]string{}, Tables: map[string]*Table{}}
	for r := range s.Roles {
		out.Roles = append(out.Roles, r)
	}
	for x := range s.Systems {
		out.Systems = append(out.Systems, x)
	}
	for p := range s.Parties {
		out.PartyNames = append(out.PartyNames, p)
		out.Parties[p] = "88.118.1002"
	}
	files := func(sub string) []string {
		list, err := filepath.Glob(filepath.Join(dir, sub, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, f := range files("templates") {
		out.Templates = append(out.Templates, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	for _, f := range files("codes") {
		var c struct {
			Name string `yaml:"name"`
		}
		b, err := os.ReadFile(f)
		if err == nil {
			err = yaml.Unmarshal(b, &c)
		}
		if err != nil {
			t.Fatal(err)
		}
		out.Rules = append(out.Rules, c.Name)
	}
	for _, f := range files("tables") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		x, err := ParseTable(f, b)
		if err != nil {
			t.Fatal(err)
		}
		out.Tables[x.Table] = x
	}
	return out
}

// caseProgram compiles one flow of a case.
func caseProgram(t testing.TB, name, flow string) *Program {
	t.Helper()
	dir := filepath.Join(casesDir, name)
	b, err := os.ReadFile(filepath.Join(dir, "flows", flow+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(flow+".yaml", b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Compile(caseEnvironment(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The flows of all cases compile, and are valid by the schema that editors are given.
func TestCases(t *testing.T) {
	flows, err := filepath.Glob(filepath.Join(casesDir, "*", "flows", "*.yaml"))
	if err != nil || len(flows) < 10 {
		t.Fatalf("%d flows, %v", len(flows), err)
	}
	var schema, tableSchema map[string]any
	if err := errors.Join(json.Unmarshal(Schema(), &schema), json.Unmarshal(TableSchema(), &tableSchema)); err != nil {
		t.Fatal(err)
	}
	for _, f := range flows {
		caseProgram(t, filepath.Base(filepath.Dir(filepath.Dir(f))), strings.TrimSuffix(filepath.Base(f), ".yaml"))
		checkFile(t, schema, f)
	}
	tables, _ := filepath.Glob(filepath.Join(casesDir, "*", "tables", "*.yaml"))
	for _, f := range tables {
		checkFile(t, tableSchema, f)
	}
	var doc any
	if err := yaml.Unmarshal([]byte(strings.Replace(example, "who:", "whom:", 1)), &doc); err != nil {
		t.Fatal(err)
	}
	if bad := valid(schema, schema, doc, "$"); !strings.Contains(bad, "whom") {
		t.Errorf("the schema takes an unknown key: %q", bad)
	}
}

func checkFile(t *testing.T, schema map[string]any, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	var doc any
	if err == nil {
		err = yaml.Unmarshal(b, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	if bad := valid(schema, schema, doc, "$"); bad != "" {
		t.Errorf("%s: %s", file, bad)
	}
}

// valid looks a document over by the part of JSON Schema that Schema uses; it gives the first thing that is wrong.
func valid(root, s map[string]any, v any, at string) string {
	if r, ok := s["$ref"].(string); ok {
		return valid(root, root["$defs"].(map[string]any)[strings.TrimPrefix(r, "#/$defs/")].(map[string]any), v, at)
	}
	if one, ok := s["oneOf"].([]any); ok {
		for _, x := range one {
			if valid(root, x.(map[string]any), v, at) == "" {
				return ""
			}
		}
		return at + " fits none of the forms"
	}
	if words, ok := s["enum"].([]any); ok && !slices.Contains(words, v) {
		return fmt.Sprintf("%s: %v is none of %v", at, v, words)
	}
	kind, _ := s["type"].(string)
	switch v := v.(type) {
	case map[string]any:
		if kind != "" && kind != "object" {
			return at + " is an object"
		}
		properties, _ := s["properties"].(map[string]any)
		for k, x := range v {
			p, known := properties[k].(map[string]any)
			if !known {
				more, open := s["additionalProperties"].(map[string]any)
				if !open && kind == "object" {
					return at + ": unknown key " + k
				}
				p = more
			}
			if bad := valid(root, p, x, at+"."+k); bad != "" {
				return bad
			}
		}
		for _, k := range asList(s["required"]) {
			if _, there := v[k.(string)]; !there {
				return at + " lacks " + k.(string)
			}
		}
	case []any:
		if kind != "" && kind != "array" {
			return at + " is a list"
		}
		items, _ := s["items"].(map[string]any)
		for i, x := range v {
			if bad := valid(root, items, x, fmt.Sprintf("%s[%d]", at, i)); bad != "" {
				return bad
			}
		}
	case string:
		if kind != "" && kind != "string" {
			return fmt.Sprintf("%s is text, not %s", at, kind)
		}
	case bool:
		if kind != "" && kind != "boolean" {
			return at + " is a truth value"
		}
	}
	return ""
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("flow: a\nsteps: [{step: b, next: [{to: end}]}]"))
	f.Add([]byte("flow: a\nname: {en: '{{', zh: }"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse("f.yaml", b)
		if err == nil {
			_, err = d.Compile(environment)
		}
		if err != nil && !problem.Is(err, problem.BadValue) {
			t.Errorf("%v", err)
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("table: p\nname: {en: a, zh: b}\ninputs: [{name: k, is: =part.kind}]\noutputs: [x]\nrows: [{when: {k: '1..2 | > 5 | != a'}, then: {x: 1}}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ParseTable("t.yaml", b); err != nil && !problem.Is(err, problem.BadValue) {
			t.Errorf("%v", err)
		}
	})
}
