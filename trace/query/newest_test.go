package query

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Newest is the query that its JSON would be.
func TestNewest(t *testing.T) {
	for _, thing := range []string{"88.118.1001/ENG-42", "urn:epc:id:sgtin:0614141.107346.2018", "https://id.gs1.org/01/09521234543213/21/7", `a|b"c`, "\x00"} {
		for _, step := range []string{"", "packing", "https://ref.gs1.org/cbv/BizStep-packing", "a|b"} {
			ask := map[string]any{"MATCH_anyEPC": []string{thing}, "orderBy": "eventTime", "orderDirection": "DESC", "eventCountLimit": 3}
			if step != "" {
				ask["EQ_bizStep"] = []string{step}
			}
			raw, err := json.Marshal(ask)
			if err != nil {
				t.Fatal(err)
			}
			want, wrong := ParseJSON(raw)
			got, err := Newest(thing, step, 3)
			if (err == nil) != (wrong == nil) {
				t.Fatalf("%q, %q: %v, by JSON %v", thing, step, err, wrong)
			}
			if err != nil {
				continue
			}
			if len(got.params) != len(want.params) {
				t.Fatalf("%q, %q: %d parameters, by JSON %d", thing, step, len(got.params), len(want.params))
			}
			for i := range got.params {
				if !got.params[i].equal(want.params[i]) {
					t.Errorf("%q, %q: parameter %d differs", thing, step, i)
				}
			}
			g, w := *got, *want
			g.params, w.params = nil, nil
			if fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w) {
				t.Errorf("%+v, by JSON %+v", g, w)
			}
		}
	}
}
