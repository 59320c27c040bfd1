package template_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/template"
)

// A template that is kept in a file comes back as it was, whatever its words look like in YAML.
func TestTextRoundTrip(t *testing.T) {
	hard := rapid.SampledFrom([]string{"", "yes", "no", "null", "~", "1.50", "-0", "0x1F", "1e3", "2026-11-23", "12:30:45", "- a", "a: b", "# c", " led", "trailed ", "a\nb", "a\n", "\ttab", "'", `"`, `\`, "{a}", "[b]", "&x", "*x", "!t", "%", "@", "`", "|", ">", "?", ":", "符节 ⌀", "<<", "true", "\u0085", "\u2028"})
	text := rapid.OneOf(hard, rapid.StringMatching(`[ -~]{0,12}`))
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		x := &template.Template{ID: "88.118/META_X", Version: rapid.IntRange(0, 9).Draw(t, "version"), Names: map[string]string{"zh": text.Draw(t, "zh"), "en": text.Draw(t, "en")}, Description: text.Draw(t, "description"), Standard: text.Draw(t, "standard")}
		for range rapid.IntRange(1, 4).Draw(t, "items") {
			it := template.Item{Index: uint32(rapid.IntRange(2000, 9000).Draw(t, "index")), Name: text.Draw(t, "name"), Type: template.Number, Minimum: rapid.SampledFrom([]string{"", "1.50", "-1", "0", "1e3"}).Draw(t, "minimum"), Unit: text.Draw(t, "unit"), Pattern: text.Draw(t, "pattern"), Required: rapid.Bool().Draw(t, "required")}
			if rapid.Bool().Draw(t, "values") {
				it.Values = []template.Choice{{Code: text.Draw(t, "code"), Names: map[string]string{"zh": text.Draw(t, "of the code")}}}
			}
			if rapid.Bool().Draw(t, "schema") {
				it.Schema = json.RawMessage(`{"type":"object","properties":{"a":{"const":"1.0"},"b":{"maximum":12.5}}}`)
			}
			x.Items = append(x.Items, it)
		}
		y, err := x.Text()
		if err != nil {
			t.Fatal(err)
		}
		back, err := template.Read([]byte(y))
		if err != nil {
			t.Fatalf("%v\n%s", err, y)
		}
		want, _ := json.Marshal(x)
		got, _ := json.Marshal(back)
		var a, b any
		if json.Unmarshal(want, &a) != nil || json.Unmarshal(got, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%s\n%s\n%s", want, got, y)
		}
		if !strings.HasPrefix(y, "{") {
			plain++
		}
	})
	if plain < 10 {
		t.Fatalf("%d of a hundred were YAML for people", plain)
	}
}

func TestTextsThatAreNone(t *testing.T) {
	for text, says := range map[string]string{"names: {zh: a\nitems: []": "[2:", "names: {zh: a}\nitems: []\ncolour: red": "colour", "names: {zh: a}\nitems: 7": "items", "- a": "", strings.Repeat("#", template.MaxBytes+1): "limit"} {
		_, err := template.Read([]byte(text))
		if err == nil {
			t.Errorf("%.30q was read", text)
			continue
		}
		if kind := problem.KindOf(err); kind != problem.BadValue && kind != problem.TooLarge {
			t.Errorf("%.30q: %v is %v", text, err, kind)
		}
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%.30q: %v does not say %q", text, err, says)
		}
	}
}
