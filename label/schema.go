package label

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/problem"
)

// Schema is the JSON Schema (2020-12) of a design's file, for editors that complete and check it.
func Schema() ([]byte, error) {
	defs := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	root := huma.SchemaFromType(defs, reflect.TypeFor[Design]())
	b, err := json.Marshal(root)
	if err == nil {
		var m map[string]any
		if err = json.Unmarshal(b, &m); err == nil {
			m["$schema"], m["title"], m["$defs"] = "https://json-schema.org/draft/2020-12/schema", "Label 标签", defs.Map()
			b, err = json.MarshalIndent(m, "", "  ")
		}
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the schema of labels cannot be written", "无法生成标签模式")
	}
	return b, nil
}
