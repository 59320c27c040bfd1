package solutions

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// validator holds YAML against a schema.
func validator(t *testing.T, schema []byte) func(t *testing.T, text string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, text string) error {
		t.Helper()
		b, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
}

// TestPageSchema: it takes every shipped page, and refuses what Load refuses.
func TestPageSchema(t *testing.T) {
	validate := validator(t, PageSchema())
	for _, name := range Builtin() {
		for file, text := range shipping(t, name) {
			if strings.HasPrefix(file, "pages/") {
				if err := validate(t, text); err != nil {
					t.Errorf("%s/%s: %v", name, file, err)
				}
			}
		}
	}
	const file = "pages/claims.yaml"
	good := shipping(t, "warranty-claims")[file]
	for _, x := range []struct {
		what, old, new string
		fine           bool
	}{
		{"a wide card", "{flow: claim}", "{flow: claim, wide: true}", true},
		{"words on it", "{flow: claim}", "{text: {en: Scan, zh: 扫码}}", true},
		{"one's own tasks", "{flow: claim}", "{tasks: true}", true},
		{"a key that does not exist", "{flow: claim}", "{flow: claim, high: true}", false},
		{"two contents", "{flow: claim}", "{flow: claim, tasks: true}", false},
		{"no content", "{flow: claim}", "{wide: true}", false},
		{"a picture that there is not", "show: line", "show: cake", false},
		{"a trace to the side", "{flow: claim}", "{trace: aside}", false},
		{"no title in Chinese", "name: {en: Claims, zh: 索赔}", "name: {en: Claims}", false},
		{"no title", "name: {en: Claims, zh: 索赔}\n", "", false},
	} {
		t.Run(x.what, func(t *testing.T) {
			text := strings.Replace(good, x.old, x.new, 1)
			if text == good {
				t.Fatal("nothing was changed")
			}
			files := shipping(t, "warranty-claims")
			files[file] = text
			_, err := FromFiles(files)
			if says := validate(t, text); (err == nil) != x.fine || (says == nil) != x.fine {
				t.Errorf("Load says %v, the schema %v", err, says)
			}
		})
	}
}

// TestSheetSchema: the schema takes every shipped solution.yaml, and refuses what Load refuses.
func TestSheetSchema(t *testing.T) {
	validate := validator(t, SheetSchema())
	for _, name := range Builtin() {
		if err := validate(t, shipping(t, name)["solution.yaml"]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const whole = "warranty-claims"
	good := shipping(t, whole)["solution.yaml"]
	for _, x := range []struct {
		what, old, new string
		fine           bool // both take it
	}{
		{"a comment more", "version: 1.0.0", "version: 1.0.0 # the first", true},
		{"a version in quotes", "version: 1.0.0", `version: "1.0.0"`, true},
		{"no case", "case: C9\n", "", true},
		{"an empty case", "case: C9\n", "case:\n", true},
		{"constants", "industry: automotive", "industry: automotive\nuses: {days: 730, words: [a, b]}", true},
		{"empty constants", "industry: automotive", "industry: automotive\nuses:", true},
		{"no systems", "\nsystems:\n  claims: {party: maker, name: {en: Claims settlement, zh: 索赔结算系统}}", "\nsystems:", false}, // a flow sends to it; see below
		{"a key that does not exist", "industry: automotive", "industry: automotive\nindustrie: cars", false},
		{"a party's key that does not exist", "    labels: [part]", "    label: [part]", false},
		{"a role's key that does not exist", "part-worker: {party: supplier", "part-worker: {party: supplier, of: x", false},
		{"a name with capitals", "solution: warranty-claims", "solution: Warranty", false},
		{"a name that is too long", "solution: warranty-claims", "solution: " + strings.Repeat("a", 41), false},
		{"a name of a role with a blank", "  fitter:", "  the fitter:", false},
		{"no name", "solution: warranty-claims\n", "", false},
		{"no version", "version: 1.0.0\n", "", false},
		{"a version of two numbers", "version: 1.0.0", `version: "1.0"`, false},
		{"a version with a zero before it", "version: 1.0.0", "version: 1.02.0", false},
		{"no mode", "mode: product-as-a-service\n", "", false},
		{"a mode that does not exist", "mode: product-as-a-service", "mode: magic", false},
		{"no industry", "industry: automotive\n", "", false},
		{"an empty industry", "industry: automotive", `industry: ""`, false},
		{"a title in one language", "name: {en: Warranty claims verified, zh: 索赔验真}", "name: {en: Warranty claims verified}", false},
		{"a title in a third language", "name: {en: Warranty claims verified, zh: 索赔验真}", "name: {en: Warranty claims verified, zh: 索赔验真, fr: Garantie}", false},
		{"an empty title", "name: {en: Warranty claims verified, zh: 索赔验真}", `name: {en: "  ", zh: 索赔验真}`, false},
		{"no title", "name: {en: Warranty claims verified, zh: 索赔验真}\n", "", false},
		{"a role without words", "fitter: {party: maker, name: {en: Fitter on the line, zh: 装配工}}", "fitter: {party: maker}", false},
		{"a list that is a text", "    flows: [make-part]", "    flows: make-part", false},
		{"shown for any purpose", ", purposes: [warranty]", "", true},
		{"no permissions", "\npermissions:\n  inspection: {party: supplier, template: part, items: [inspection], to: [maker], purposes: [warranty]}", "", true},
		{"empty permissions", "\npermissions:\n  inspection: {party: supplier, template: part, items: [inspection], to: [maker], purposes: [warranty]}", "\npermissions:", true},
		{"shown to nobody", "to: [maker], ", "to: [], ", false},
		{"a permission without items", "items: [inspection], ", "", false},
		{"a permission's key that does not exist", "purposes: [warranty]", "purpose: warranty", false},
		{"a purpose without words", "purposes: [warranty]", `purposes: [""]`, false},
		{"a party that is a list", "  supplier:\n", "  other: [x]\n  supplier:\n", false},
	} {
		t.Run(x.what, func(t *testing.T) {
			text := strings.Replace(good, x.old, x.new, 1)
			if text == good {
				t.Fatal("nothing was changed")
			}
			files := shipping(t, whole)
			files["solution.yaml"] = text
			_, err := FromFiles(files)
			says := validate(t, text)
			if x.what == "no systems" {
				// It is good by itself, and not beside a flow that sends to it: only Load sees both.
				if err == nil || says != nil {
					t.Errorf("Load says %v, the schema %v", err, says)
				}
				return
			}
			if (err == nil) != x.fine || (says == nil) != x.fine {
				t.Errorf("Load says %v, the schema %v", err, says)
			}
		})
	}
}

// variant is a file with one thing changed, and whether both Load and the schema take it.
type variant struct {
	what, old, new string
	fine           bool
}

// agree holds a schema of the files of a folder against Load: it takes all that are shipped, and judges each variant of one as Load does.
func agree(t *testing.T, schema []byte, dir, solution, file string, list []variant) {
	t.Helper()
	validate := validator(t, schema)
	seen := 0
	for _, name := range Builtin() {
		for file, text := range shipping(t, name) {
			if strings.HasPrefix(file, dir) {
				seen++
				if err := validate(t, text); err != nil {
					t.Errorf("%s/%s: %v", name, file, err)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d files are shipped in %s", seen, dir)
	}
	good := shipping(t, solution)[file]
	for _, x := range list {
		t.Run(x.what, func(t *testing.T) {
			text := strings.Replace(good, x.old, x.new, 1)
			if text == good {
				t.Fatal("nothing was changed")
			}
			files := shipping(t, solution)
			files[file] = text
			_, err := FromFiles(files)
			if says := validate(t, text); (err == nil) != x.fine || (says == nil) != x.fine {
				t.Errorf("Load says %v, the schema %v\n%s", err, says, text)
			}
		})
	}
}

// TestCodesSchema: it takes every shipped code rule, and refuses what Load refuses.
func TestCodesSchema(t *testing.T) {
	const parts = "{kind: text, text: B}, {kind: random, width: 12}, {kind: check, scheme: mod37-36}"
	agree(t, CodesSchema(), "codes/", "bottle-to-store", "codes/bottle.yaml", []variant{
		{"a date", parts, parts + ", {kind: date, layout: YYMM}", true},
		{"a date as it comes", parts, parts + ", {kind: date}", true},
		{"a class", parts, "{kind: class, width: 3}, " + parts, true},
		{"a serial without a width", parts, "{kind: text, text: B}, {kind: serial}", true},
		{"a serial of base 32", parts, "{kind: serial, width: 12, base: 32}", true},
		{"digits that cannot be guessed", parts, "{kind: random, width: 18, base: 10}", true},
		{"no title", "title: 瓶码 Bottles\n", "", true},
		{"a key that does not exist", "title:", "titel:", false},
		{"a part's key that does not exist", "width: 12", "widht: 12", false},
		{"a kind that does not exist", "kind: random", "kind: chance", false},
		{"no kind", "kind: text, ", "", false},
		{"a constant without text", ", text: B", "", false},
		{"a constant with a comma", "text: B", `text: "B,C"`, false},
		{"a constant that is too long", "text: B", "text: " + strings.Repeat("B", 65), false},
		{"a class without a width", parts, "{kind: class}, " + parts, false},
		{"a serial of base 32 that is too wide", parts, "{kind: serial, width: 13, base: 32}", false},
		{"a serial that is too wide", parts, "{kind: serial, width: 19}", false},
		{"too few that cannot be guessed", "width: 12", "width: 7", false},
		{"too many of base 32", "width: 12", "width: 13", false},
		{"a base that does not exist", "width: 12", "width: 12, base: 16", false},
		{"a date that does not exist", parts, parts + ", {kind: date, layout: DDMM}", false},
		{"a check that does not exist", "mod37-36", "mod7", false},
		{"a check without its way", ", scheme: mod37-36", "", false},
		{"nothing that differs", "{kind: random, width: 12}, ", "", false},
		{"two that differ", parts, parts + ", {kind: serial, width: 3}", false},
		{"no parts", "parts: [" + parts + "]", "parts: []", false},
		{"no name", "name: bottles\n", "", false},
		{"a name with a blank", "name: bottles", "name: the bottles", false},
	})
}

// TestTemplateSchema: it takes every shipped template, and refuses what Load refuses.
func TestTemplateSchema(t *testing.T) {
	const first = "{name: product, names: {en: Product, zh: 产品}, type: string, required: true, maxLength: 60}"
	item := func(x string) string { return first + "\n  - " + x }
	agree(t, TemplateSchema(), "templates/", "bottle-to-store", "templates/bottle.yaml", []variant{
		{"an index", "{name: product,", "{index: 2100, name: product,", true},
		{"a pattern", "maxLength: 60", `maxLength: 60, minLength: 2, pattern: "[A-Z]+"`, true},
		{"a number's bounds", "unit: mL", `unit: mL, minimum: "0", maximum: "1.5e3", precision: 6, scale: 2`, true},
		{"a choice", first, item("{name: grade, type: enumeration, values: [{code: A}, {code: B, names: {zh: 乙}}]}"), true},
		{"files", first, item("{name: papers, type: file, many: true, max: 3, media: [pdf, png]}"), true},
		{"a reference", first, item("{name: box, type: reference, target: 88.608/META_BOX}"), true},
		{"a schema", first, item("{name: test, type: schema, schema: {type: object}}"), true},
		{"a yes or no", first, item("{name: sealed, type: boolean, visibility: private, disabled: true}"), true},
		{"a key that does not exist", "visibility:", "visible:", false},
		{"an item's key that does not exist", "maxLength: 60", "maxlenght: 60", false},
		{"an index below 2000", "{name: product,", "{index: 7, name: product,", false},
		{"a type that does not exist", "type: string", "type: text", false},
		{"no type", ", type: string", "", false},
		{"no name", "{name: product, ", "{", false},
		{"a name with a blank", "name: product", "name: the product", false},
		{"a name of the system's", "name: product", "name: HS_product", false},
		{"a length of a number", "unit: mL", "maxLength: 7", false},
		{"a unit of a text", "maxLength: 60", "unit: kg", false},
		{"a length that is too long", "maxLength: 60", "maxLength: 60001", false},
		{"a bound that is no number", "unit: mL", "minimum: low", false},
		{"too many digits", "unit: mL", "precision: 39", false},
		{"a date's form that does not exist", "type: date}", "type: date, format: week}", false},
		{"a choice of nothing", first, item("{name: grade, type: enumeration}"), false},
		{"a choice without a code", first, item("{name: grade, type: enumeration, values: [{names: {en: A}}]}"), false},
		{"several that are one", first, item("{name: papers, type: file, max: 3}"), false},
		{"more than there may be", first, item("{name: papers, type: file, many: true, max: 51}"), false},
		{"unique and many", first, item("{name: box, type: reference, many: true, unique: true}"), false},
		{"an ending that is none", first, item("{name: papers, type: file, media: [.PDF]}"), false},
		{"a schema without one", first, item("{name: test, type: schema}"), false},
		{"an industry that does not exist", "industry: C1512", "industry: Z1", false},
		{"a visibility that does not exist", "visibility: public", "visibility: some", false},
		{"no names", "names: {en: Bottle, zh: 瓶}\n", "", false},
		{"a name in no language", "names: {en: Bottle, zh: 瓶}", "names: {English: Bottle}", false},
		{"an empty name", "names: {en: Bottle, zh: 瓶}", `names: {en: ""}`, false},
		{"another's id", "id: META_BOTTLE", "id: bottle", false},
		{"no properties", "items:\n", "items: []\nother:\n", false},
	})
}
