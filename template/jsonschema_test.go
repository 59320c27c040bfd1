package template_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/template"
)

// Any template survives the way to JSON Schema and back.
func TestSchemaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := &template.Template{ID: "88.118/META_X", Version: rapid.IntRange(1, 9).Draw(t, "version"), Names: map[string]string{"zh": "泵"}}
		n := rapid.IntRange(1, 8).Draw(t, "items")
		for i := range n {
			it := template.Item{Index: uint32(2000 + 2*i), Name: "p" + string(rune('A'+i)), Required: rapid.Bool().Draw(t, "required"), Disabled: rapid.Bool().Draw(t, "disabled")}
			it.Type = rapid.SampledFrom([]template.Type{template.String, template.Number, template.Date, template.Boolean, template.Enumeration, template.File, template.Reference, template.Schema}).Draw(t, "type")
			switch it.Type {
			case template.String:
				it.Pattern, it.MaxLength = rapid.SampledFrom([]string{"", "[A-Z]+", "a|b"}).Draw(t, "pattern"), rapid.IntRange(0, 60).Draw(t, "length")
			case template.Number:
				it.Unit, it.Minimum = "kg", rapid.SampledFrom([]string{"", "-1.5", "0"}).Draw(t, "minimum")
			case template.Enumeration:
				it.Values = []template.Choice{{Code: "a"}, {Code: "b", Names: map[string]string{"en": "B"}}}
			case template.File, template.Reference:
				it.Many = rapid.Bool().Draw(t, "many")
			case template.Schema:
				it.Schema = json.RawMessage(`{"type":"array","items":{"type":"number"}}`)
			}
			x.Items = append(x.Items, it)
		}
		if err := x.Check(); err != nil {
			t.Fatal(err)
		}
		b, err := x.JSONSchema()
		if err != nil {
			t.Fatal(err)
		}
		back, err := template.FromJSONSchema(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range back.Items { // white space in a raw schema is no difference
			if len(back.Items[i].Schema) > 0 {
				var c bytes.Buffer
				json.Compact(&c, back.Items[i].Schema)
				back.Items[i].Schema = c.Bytes()
			}
		}
		if !reflect.DeepEqual(x, back) {
			t.Fatalf("%+v\n%+v", x, back)
		}
	})
}

// What a template takes, its schema takes too; what the schema refuses, the template refuses.
func TestSchemaAgrees(t *testing.T) {
	x, err := template.Read([]byte(pump))
	if err != nil {
		t.Fatal(err)
	}
	x.Fill()
	x.Version = 1
	b, err := x.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:x", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("urn:x")
	if err != nil {
		t.Fatal(err)
	}
	for text, good := range map[string]bool{
		`{"serialNumber":"A-1","mass":12.5,"tested":true,"curve":[1,2]}`: true,
		`{"serialNumber":"A-1","parts":["88.118/1"],"phase":"three"}`:    true,
		`{"mass":1}`:                                 false,
		`{"serialNumber":"a"}`:                       false,
		`{"serialNumber":"A","mass":5001}`:           false,
		`{"serialNumber":"A","madeOn":"2026-13-01"}`: false,
		`{"serialNumber":"A","curve":"x"}`:           false,
		`{"serialNumber":"A","other":"x"}`:           false,
	} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != good {
			t.Errorf("schema, %s: %v", text, err)
		}
		values, err := x.Expand(v.(map[string]any))
		if (err == nil) != good {
			t.Errorf("template, %s: %v", text, err)
		}
		if good {
			j, err := json.Marshal(x.Properties(values))
			if err != nil {
				t.Fatal(err)
			}
			var a, b any
			json.Unmarshal(j, &a)
			json.Unmarshal([]byte(text), &b)
			if !reflect.DeepEqual(a, b) {
				t.Errorf("%s came back as %s", text, j)
			}
		}
	}
}

// Schemas that others published become templates.
func TestSchemasOfOthers(t *testing.T) {
	files, _ := filepath.Glob("../../shared/data/catenax-semantic-models/*/gen/*-schema.json")
	if len(files) == 0 {
		more, _ := filepath.Glob("../../shared/data/catenax-semantic-models/*/*schema*.json")
		files = more
	}
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("../shared/data/catenax-semantic-models is missing")
		}
		t.Skip("no shared data")
	}
	read := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		x, err := template.FromJSONSchema(b)
		if err != nil {
			t.Logf("%s: %v", filepath.Base(f), err)
			continue
		}
		if len(x.Items) > 0 {
			read++
		}
	}
	if read == 0 {
		t.Errorf("none of %d schemas could be read", len(files))
	}
	t.Logf("%d of %d", read, len(files))
}
