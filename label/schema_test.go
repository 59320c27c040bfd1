package label

import (
	"bytes"
	"encoding/json"
	"os"
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
	if err := json.Unmarshal(bytes.Replace(j, []byte(`"width"`), []byte(`"widht"`), 1), &bad); err != nil {
		t.Fatal(err)
	}
	if s.Validate(bad) == nil {
		t.Error("a key that does not exist is good")
	}
}
