package label

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestSchema(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("label.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("label.json")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("testdata/bottle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	j, err := yaml.YAMLToJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	var good, bad any
	if err := json.Unmarshal(j, &good); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(good); err != nil {
		t.Errorf("%v", err)
	}
	// What is shipped is good; a variant is good by the schema when it is good by Read.
	shipped, err := filepath.Glob("../solutions/*/labels/*.yaml")
	if err != nil || len(shipped) < 5 {
		t.Fatal(shipped, err)
	}
	valid := func(text string) error {
		t.Helper()
		j, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(j, &v); err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	for _, name := range shipped {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(string(b)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const first = "{symbol: qr, data: '{id}', x: 1, y: 1, width: 15}"
	const label = "name: {en: Bottle, zh: 瓶标}\nwidth: 20\nheight: 20\nelements:\n  - " + first + "\n"
	for _, x := range []struct {
		what, old, new string
		fine           bool
	}{
		{"a symbol with its level", "width: 15}", "width: 15, level: H}", true},
		{"a text", first, "{text: 'No. {id}', size: 4, align: center, fit: wrap}", true},
		{"a sheet", "width: 20", "sheet: {paper: A4, rows: 3, columns: 7}\nwidth: 20", true},
		{"a line", first, first + "\n  - {type: line, x: 1, y: 1, width: 5, stroke: 0.5}", true},
		{"a key that does not exist", "width: 20", "wide: 20", false},
		{"an element's key that does not exist", "x: 1,", "z: 1,", false},
		{"a label that is too wide", "width: 20", "width: 501", false},
		{"a symbol that does not exist", "symbol: qr", "symbol: aztec", false},
		{"a level that does not exist", "width: 15}", "width: 15, level: Z}", false},
		{"a turn by half", "width: 15}", "width: 15, turn: 45}", false},
		{"a paper that does not exist", "width: 20", "sheet: {paper: A9}\nwidth: 20", false},
		{"no elements", "elements:\n  - " + first, "elements: []", false},
	} {
		text := strings.Replace(label, x.old, x.new, 1)
		if text == label {
			t.Fatal(x.what, ": nothing was changed")
		}
		_, err := Read("label.yaml", []byte(text))
		if says := valid(text); (err == nil) != x.fine || (says == nil) != x.fine {
			t.Errorf("%s: Read says %v, the schema %v", x.what, err, says)
		}
	}
	if err := json.Unmarshal(bytes.Replace(j, []byte(`"width"`), []byte(`"widht"`), 1), &bad); err != nil {
		t.Fatal(err)
	}
	if s.Validate(bad) == nil {
		t.Error("a key that does not exist is good")
	}
}
