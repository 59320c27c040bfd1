package intake_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/intake"
	"github.com/fujie-id/fujie/problem"
)

func TestProperties(t *testing.T) {
	for line, want := range map[string]map[string]any{
		`{"id":"88.1/A","template":"88.1/META_X","properties":{"n":12.50,"s":"x","b":true,"l":["a",{"k":null}]}}`: {"n": json.Number("12.50"), "s": "x", "b": true, "l": []any{"a", map[string]any{"k": nil}}},
		`{"id":"88.1/A","template":"88.1/META_X","properties":{}}`:                                                {},
		`{"id":"88.1/A","template":"88.1/META_X"}`:                                                                nil,
		`{"id":"88.1/A","properties":{"s":"x"}}`:                                                                  nil, // names no template
		`{"id":"88.1/A","template":"88.1/META_X","properties":{"s":"x","s":"y"}}`:                                 nil, // twice
		`{"id":"88.1/A","template":"88.1/META_X","properties":["s"]}`:                                             nil,
	} {
		r, err := intake.NewReader(strings.NewReader(line), "x.jsonl", intake.Options{})
		if err != nil {
			t.Fatal(err)
		}
		it, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		good := want != nil || !strings.Contains(line, "properties")
		if good != (it.Err == nil) {
			t.Errorf("%s: %v", line, it.Err)
		}
		if it.Err != nil && problem.KindOf(it.Err) == problem.Internal {
			t.Errorf("%s: %v", line, it.Err)
		}
		if good && !reflect.DeepEqual(it.Properties, want) {
			t.Errorf("%s: %#v", line, it.Properties)
		}
	}
}
