package solutions

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/indicator"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store/postgres/postgrestest"
)

// TestShipped: every case that comes with the program is whole.
func TestShipped(t *testing.T) {
	names := Builtin()
	if len(names) < 5 {
		t.Fatal(names)
	}
	for _, name := range names {
		if _, err := Open(name); err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
	}
}

// shipping is the files of a shipped case, to be changed.
func shipping(t *testing.T, name string) map[string]string {
	t.Helper()
	s, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return maps.Clone(s.Files)
}

// TestFaults: every wrong reference is named with its file, its line where there is one, and what there is instead, in both languages.
func TestFaults(t *testing.T) {
	for what, x := range map[string]struct{ file, old, new, want string }{
		"a key that does not exist":    {"solution.yaml", "mode: product-as-a-service", "moed: x", "solution.yaml:9: "},
		"a mode that does not exist":   {"solution.yaml", "mode: product-as-a-service", "mode: magic", "none of the nine modes"},
		"no version":                   {"solution.yaml", "version: 1.0.0", "version: one", "solution.yaml:3: "},
		"a flow that is not there":     {"solution.yaml", "flows: [make-part]", "flows: [make-parts]", "takes flows/make-parts"},
		"a role that is not there":     {"flows/fit.yaml", "who: [fitter]", "who: [filter]", `flows/fit.yaml:8: there is no role "filter"`},
		"a template that is not there": {"flows/fit.yaml", "template: fitting", "template: fiting", `there is no template "fiting"`},
		"a step that is not there":     {"flows/fit.yaml", "next: part\n  - step: part", "next: parts\n  - step: part", `there is no step "parts"`},
		"an expression":                {"flows/claim.yaml", "fitting.vin != form.vin", "fitting.vin != frm.vin", "undeclared reference to 'frm'"},
		"a system that is not there":   {"flows/claim.yaml", "message: {to: claims", "message: {to: clams", `there is no system "clams"`},
		"no text in one language":      {"flows/claim.yaml", "name: {en: Verify a claim, zh: 索赔验真}", "name: {en: Verify a claim}", "both languages"},
		"an indicator without a name":  {"indicators/claims.sql", "zh: 索赔单与结果", "cn: 索赔单与结果", "indicators/claims.sql"},
		"a page's card":                {"pages/claims.yaml", "indicator: saved", "indicator: savd", "indicators/savd"},
		"a card's picture":             {"pages/claims.yaml", "show: bar", "show: pie", `shows as "pie"`},
		"a code rule":                  {"codes/part.yaml", "kind: serial", "kind: cereal", "codes/part.yaml"},
		"a template's type":            {"templates/part.yaml", "type: date", "type: dete", "templates/part.yaml"},
		"shown by nobody":              {"solution.yaml", "{party: supplier, template: part, items", "{party: suplier, template: part, items", `the party "suplier"`},
		"shown to nobody who is there": {"solution.yaml", "to: [maker], purposes", "to: [makers], purposes", `the party "makers"`},
		"shown to oneself":             {"solution.yaml", "to: [maker], purposes", "to: [supplier], purposes", "sees all of its own"},
		"a kind that it does not have": {"solution.yaml", "{party: supplier, template: part, items", "{party: supplier, template: claim, items", `the template "claim", which supplier does not have`},
		"a property that is not there": {"solution.yaml", "items: [inspection]", "items: [inspections]", `the property "inspections"`},
		"what everybody sees":          {"solution.yaml", "items: [inspection]", "items: [lot]", "only what is granted"},
		"no purpose":                   {"solution.yaml", "purposes: [warranty]", `purposes: [""]`, "is no purpose"},
		"a purpose of one's own":       {"flows/fit.yaml", "of: [vehicle], owner: own}", "of: [vehicle], owner: own, purpose: warranty}", "take purpose out"},
	} {
		files := shipping(t, "warranty-claims")
		changed := strings.Replace(files[x.file], x.old, x.new, 1)
		if changed == files[x.file] {
			t.Errorf("%s: nothing was changed in %s", what, x.file)
			continue
		}
		files[x.file] = changed
		_, err := FromFiles(files)
		if problem.KindOf(err) != problem.BadValue || !strings.Contains(problem.Say(err, problem.English), x.want) {
			t.Errorf("%s: %v, want %q", what, err, x.want)
		}
		if zh := problem.Say(err, problem.Chinese); !strings.ContainsFunc(zh, func(r rune) bool { return r > 0x3000 }) && what != "an expression" && what != "a key that does not exist" {
			t.Errorf("%s: there is no Chinese in %q", what, zh)
		}
	}
	files := shipping(t, "warranty-claims")
	for _, name := range []string{"../outside.yaml", "/etc/passwd", "a\\b", ""} {
		files := maps.Clone(files)
		files[name] = "x"
		if _, err := FromFiles(files); problem.KindOf(err) != problem.BadValue {
			t.Errorf("%q: %v", name, err)
		}
	}
	files["flows/left-over.yaml"] = files["flows/claim.yaml"]
	if _, err := FromFiles(files); err == nil || !strings.Contains(err.Error(), "left-over") {
		t.Errorf("a file that nobody takes: %v", err)
	}
}

// TestAnother makes a sixth case by copying a folder: it needs no program.
func TestAnother(t *testing.T) {
	files := shipping(t, "process-parameters")
	files["solution.yaml"] = strings.Replace(strings.Replace(files["solution.yaml"], "solution: process-parameters", "solution: welding", 1), "case: C13\n", "", 1)
	s, err := FromFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	if s.Solution != "welding" || len(s.Flows) != 2 {
		t.Errorf("%+v", s.Sheet)
	}
	p, err := s.Program("factory", "set-up", map[string]string{"maker": "88.1"})
	if err != nil || p.Name != "welding/set-up" {
		t.Error(p, err)
	}
	if other, err := Open("process-parameters"); err != nil || other.Digest == s.Digest {
		t.Error("two cases have one digest", err)
	}
}

// TestIndicators computes every indicator of every case, and every drill-down, on both engines that can have the tables.
func TestIndicators(t *testing.T) {
	url, err := postgrestest.Start(t).URL()
	if err != nil {
		t.Fatal(err)
	}
	for _, dsn := range []string{filepath.Join(t.TempDir(), "x.sqlite"), url} {
		p, err := indicator.Open(t.Context(), indicator.Config{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		n := 0
		for _, name := range Builtin() {
			s, err := Open(name)
			if err != nil {
				t.Fatal(err)
			}
			for k, x := range s.Indicators {
				n++
				if err := p.Check(t.Context(), x.SQL); err != nil {
					t.Errorf("%s/%s: %v", name, k, err)
				}
				if x.Drill == "" {
					t.Errorf("%s/%s does not lead to the identifiers behind it", name, k)
				} else {
					if _, err := p.Ask(t.Context(), x.Drill, map[string]string{"from": "2026-11-01", "to": "2026-11-30", "day": "2026-11-22", "of": "x"}); err != nil {
						t.Errorf("%s/%s, drill-down: %v", name, k, err)
					}
				}
			}
		}
		if n < 15 {
			t.Errorf("only %d indicators were computed", n)
		}
	}
}
