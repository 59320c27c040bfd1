package query

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

const ns = "https://ns.example.com/epcis/"

func field(name string, v epcis.Value) epcis.Field {
	return epcis.Field{Space: ns, Prefix: "ex", Name: name, Value: v}
}

func textValue(s string) epcis.Value { return epcis.Value{Kind: epcis.Text, Text: s} }

// extra are extension fields: a number, a list, a time, and a field within fields.
func extra() []epcis.Field {
	return []epcis.Field{
		field("num", epcis.Value{Kind: epcis.Number, Text: "10"}),
		field("when", textValue("2026-03-01T00:00:00Z")),
		field("code", epcis.Value{Kind: epcis.List, Items: []epcis.Value{textValue("007"), textValue("A")}}),
		field("outer", epcis.Value{Kind: epcis.Object, Fields: []epcis.Field{
			field("list", epcis.Value{Kind: epcis.List, Items: []epcis.Value{{Kind: epcis.Object, Fields: []epcis.Field{
				field("deep", epcis.Value{Kind: epcis.Number, Text: "10"})}}}})}}),
	}
}

// whole is an event that has everything.
func whole() *epcis.Event {
	yes := true
	return &epcis.Event{
		Type: epcis.ObjectEvent, ID: "urn:uuid:1", Time: at("2026-02-01T08:00:00+08:00"), RecordTime: at("2026-02-02T00:00:00Z"),
		Error:  &epcis.ErrorDeclaration{Time: at("2026-02-03T00:00:00Z"), Reason: "incorrect_data", Corrections: []string{"urn:uuid:2", "urn:uuid:3"}, Extensions: extra()},
		Action: epcis.Add, Parent: "urn:epc:id:sscc:0614141.1234567890", EPCs: []string{"urn:epc:id:sgtin:0614141.107346.2017", "88.118.1001/ENG-42"},
		InputEPCs: []string{"urn:epc:id:sgtin:0614141.107346.1"}, OutputEPCs: []string{"urn:epc:id:sgtin:0614141.107346.2"},
		Quantities:       []epcis.Quantity{{Class: "urn:epc:class:lgtin:4012345.012345.998877", Quantity: "200", Unit: "KGM"}},
		InputQuantities:  []epcis.Quantity{{Class: "urn:epc:class:lgtin:4012345.012345.in"}},
		OutputQuantities: []epcis.Quantity{{Class: "urn:epc:class:lgtin:4012345.012345.out"}},
		TransformationID: "urn:epc:id:gdti:0614141.06012.1234", BizStep: "shipping", Disposition: "in_transit",
		PersistentDispositions: &epcis.PersistentDisposition{Set: []string{"completeness_verified"}, Unset: []string{"completeness_inferred"}},
		ReadPoint:              &epcis.Location{ID: "urn:epc:id:sgln:0012345.11111.400", Extensions: extra()},
		BizLocation:            &epcis.Location{ID: "urn:epc:id:sgln:0012345.11111.0", Extensions: extra()},
		Transactions:           []epcis.Transaction{{Type: "po", ID: "urn:epc:id:gdti:0614141.00001.1618034"}},
		Sources:                []epcis.Party{{Type: "owning_party", ID: "urn:epc:id:pgln:4023333.00000"}},
		Destinations:           []epcis.Party{{Type: "possessing_party", ID: "urn:epc:id:pgln:0614142.00000"}},
		Sensors: []epcis.SensorElement{{
			Metadata: &epcis.SensorMetadata{Time: at("2026-02-01T00:00:00Z"), Start: at("2026-01-01T00:00:00Z"), End: at("2026-01-02T00:00:00Z"), DeviceID: "urn:epc:id:giai:4000001.111",
				DataProcessingMethod: "https://example.com/253/4012345000054987", BizRules: "https://example.com/253/4012345000054987r", Extensions: extra()},
			Reports: []epcis.SensorReport{{Type: "Temperature", Microorganism: "https://www.ncbi.nlm.nih.gov/taxonomy/1126011", ChemicalSubstance: "https://identifiers.org/inchikey:CZMRCDWAGMRECN",
				Value: "26", StringValue: "SomeString|x", BooleanValue: &yes, HexBinaryValue: "f0f0f0", URIValue: "https://id.gs1.org/8004/401234599999", MinValue: "26", MaxValue: "26",
				MeanValue: "26", SDev: "26", PercRank: "50", PercValue: "26", Unit: "CEL", Extensions: extra()}},
			Extensions: extra()}},
		ILMD: extra(),
		Extensions: append(extra(), epcis.Field{Space: ns, Prefix: "ex", Name: "site", Value: epcis.Value{Kind: epcis.Text, Text: "urn:x:site",
			Attrs: []epcis.Field{{Name: "grade", Value: textValue("A")}}}}),
	}
}

// bare is an event that has next to nothing.
func bare() *epcis.Event {
	return &epcis.Event{Type: epcis.TransactionEvent, Time: at("2020-01-01T00:00:00Z")}
}

// example is a parameter, a value with which whole matches, and one with which it does not.
type example struct{ name, yes, no string }

// examples has each parameter and each pattern of the interface.
func examples() []example {
	list := []example{
		{"eventType", `["ObjectEvent","AggregationEvent"]`, `["AggregationEvent"]`},
		{"GE_eventTime", `"2026-02-01T00:00:00Z"`, `"2026-02-01T00:00:00.001Z"`},
		{"LT_eventTime", `"2026-02-01T00:00:00.001Z"`, `"2026-02-01T00:00:00Z"`},
		{"GE_recordTime", `"2026-02-02T00:00:00Z"`, `"2026-02-02T00:00:01Z"`},
		{"LT_recordTime", `"2026-02-02T00:00:01Z"`, `"2026-02-02T00:00:00Z"`},
		{"EQ_action", `["ADD","OBSERVE"]`, `["DELETE"]`},
		{"EQ_bizStep", `["https://ref.gs1.org/cbv/BizStep-shipping"]`, `["receiving"]`},
		{"EQ_disposition", `["urn:epcglobal:cbv:disp:in_transit"]`, `["active"]`},
		{"EQ_persistentDisposition_set", `["completeness_verified"]`, `["completeness_inferred"]`},
		{"EQ_persistentDisposition_unset", `["completeness_inferred"]`, `["completeness_verified"]`},
		{"EQ_quantity", `[1,200.0]`, `[201]`},
		{"GT_quantity", `199.9`, `200`}, {"GE_quantity", `200`, `200.1`}, {"LT_quantity", `200.1`, `200`}, {"LE_quantity", `2e2`, `199`},
		{"EQ_readPoint", `["https://id.gs1.org/414/0012345111112/254/400"]`, `["https://id.gs1.org/414/0012345111112"]`},
		{"WD_readPoint", `["urn:epc:id:sgln:0012345.11111.0"]`, `["urn:x:elsewhere"]`},
		{"EQ_bizLocation", `["https://shop.example/414/0012345111112"]`, `["https://id.gs1.org/414/0012345111112/254/400"]`},
		{"WD_bizLocation", `["urn:x:region"]`, `["urn:x:elsewhere"]`},
		{"EQ_transformationID", `["urn:epc:id:gdti:0614141.06012.1234"]`, `["urn:epc:id:gdti:0614141.06012.1235"]`},
		{"MATCH_epc", `["https://id.gs1.org/01/10614141073464/21/2017"]`, `["urn:epc:id:sgtin:0614141.107346.1"]`},
		{"MATCH_parentID", `["https://id.gs1.org/00/106141412345678908"]`, `["urn:epc:id:sgtin:0614141.107346.2017"]`},
		{"MATCH_inputEPC", `["urn:epc:idpat:sgtin:0614141.107346.1"]`, `["urn:epc:id:sgtin:0614141.107346.2"]`},
		{"MATCH_outputEPC", `["urn:epc:id:sgtin:0614141.107346.2"]`, `["urn:epc:id:sgtin:0614141.107346.1"]`},
		{"MATCH_anyEPC", `["hdl:88.118.1001/ENG-42"]`, `["hdl:88.118.1001/ENG-4"]`},
		{"MATCH_epcClass", `["https://id.gs1.org/01/04012345123456/10/998877"]`, `["urn:epc:class:lgtin:4012345.012345.in"]`},
		{"MATCH_inputEPCClass", `["urn:epc:class:lgtin:4012345.012345.in"]`, `["urn:epc:class:lgtin:4012345.012345.out"]`},
		{"MATCH_outputEPCClass", `["urn:epc:class:lgtin:4012345.012345.*"]`, `["urn:epc:class:lgtin:4012345.012345.in"]`},
		{"MATCH_anyEPCClass", `["urn:epc:class:lgtin:4012345.012345.out"]`, `["urn:epc:class:lgtin:4012345.012345.none"]`},
		{"EQ_eventID", `["urn:uuid:1","urn:uuid:9"]`, `["urn:uuid:2"]`},
		{"EXISTS_errorDeclaration", `null`, ``},
		{"GE_errorDeclaration_Time", `"2026-02-03T00:00:00Z"`, `"2026-02-03T00:00:01Z"`},
		{"LT_errorDeclaration_Time", `"2026-02-03T00:00:01Z"`, `"2026-02-03T00:00:00Z"`},
		{"GE_errorDeclarationTime", `"2026-02-03T00:00:00Z"`, `"2026-02-03T00:00:01Z"`},
		{"LT_errorDeclarationTime", `"2026-02-03T00:00:01Z"`, `"2026-02-03T00:00:00Z"`},
		{"EQ_errorReason", `["urn:epcglobal:cbv:er:incorrect_data"]`, `["did_not_occur"]`},
		{"EQ_correctiveEventID", `["urn:uuid:3"]`, `["urn:uuid:1"]`},
		{"EXISTS_sensorElementList", `1`, ``},
		{"GE_time", `"2026-02-01T00:00:00Z"`, `"2026-02-01T00:00:01Z"`}, {"LT_time", `"2026-02-01T00:00:01Z"`, `"2026-02-01T00:00:00Z"`},
		{"GE_startTime", `"2026-01-01T00:00:00Z"`, `"2026-01-01T00:00:01Z"`}, {"LT_startTime", `"2026-01-01T00:00:01Z"`, `"2026-01-01T00:00:00Z"`},
		{"GE_endTime", `"2026-01-02T00:00:00Z"`, `"2026-01-02T00:00:01Z"`}, {"LT_endTime", `"2026-01-02T00:00:01Z"`, `"2026-01-02T00:00:00Z"`},
		{"EQ_type", `["gs1:Temperature"]`, `["Pressure"]`},
		{"EQ_deviceID", `["https://id.gs1.org/8004/4000001111"]`, `["urn:epc:id:giai:4000001.112"]`},
		{"EQ_dataProcessingMethod", `["https://example.com/253/4012345000054987"]`, `["https://example.com/253/4012345000054988"]`},
		{"EQ_microorganism", `["https://www.ncbi.nlm.nih.gov/taxonomy/1126011"]`, `["https://www.ncbi.nlm.nih.gov/taxonomy/1126012"]`},
		{"EQ_chemicalSubstance", `["https://identifiers.org/inchikey:CZMRCDWAGMRECN"]`, `["https://identifiers.org/inchikey:X"]`},
		{"EQ_bizRules", `["https://example.com/253/4012345000054987r"]`, `["https://example.com/x"]`},
		{"EQ_stringValue", `["SomeString|x"]`, `["SomeString"]`},
		{"EQ_booleanValue", `true`, `false`},
		{"EQ_hexBinaryValue", `["F0F0F0"]`, `["F0F0"]`},
		{"EQ_uriValue", `["https://id.gs1.org/8004/401234599999"]`, `["https://id.gs1.org/8004/401234599998"]`},
		{"GE_percRank", `50`, `50.1`}, {"LT_percRank", `50.1`, `50`}, {"GT_percRank", `49`, `50`}, {"LE_percRank", `50`, `49`},
		{"EQ_bizTransaction_po", `["https://id.gs1.org/253/06141410000121618034"]`, `["urn:epc:id:gdti:0614141.00001.1618035"]`},
		{"EQ_source_owning_party", `["https://id.gs1.org/417/4023333000000"]`, `["urn:epc:id:pgln:0614142.00000"]`},
		{"EQ_destination_possessing_party", `["urn:epc:id:pgln:0614142.00000"]`, `["urn:epc:id:pgln:4023333.00000"]`},
		{"HASATTR_ex:site", `["grade"]`, `["size"]`},
		{"EQ_ATTR_readPoint_kind", `["cold"]`, `["warm"]`},
	}
	for _, f := range []string{"value", "minValue", "maxValue", "meanValue", "percValue"} {
		list = append(list, example{"GE_" + f + "_FAH", `78.8`, `78.9`}, example{"LT_" + f + "_FAH", `78.9`, `78.8`},
			example{"GT_" + f + "_KEL", `299.14`, `299.15`}, example{"LE_" + f + "_CEL", `26.0`, `25.9`})
	}
	list = append(list, example{"EQ_value_CEL", `[1,26]`, `[27]`}, example{"EQ_quantity_GRM", `[200000]`, `[200]`},
		example{"GE_sDev_FAH", `46.8`, `46.9`}, example{"LT_sDev_FAH", `46.9`, `46.8`}, example{"GT_sDev_KEL", `25.9`, `26`}, example{"LE_sDev_CEL", `26`, `25`},
		example{"GE_quantity_TNE", `0.2`, `0.21`}, example{"LT_quantity_TNE", `0.21`, `0.2`}, example{"GT_quantity_KGM", `199`, `200`}, example{"LE_quantity_GRM", `200000`, `199999`})
	for _, where := range []string{"", "ILMD_", "ERROR_DECLARATION_", "SENSORELEMENT_", "SENSORMETADATA_", "SENSORREPORT_", "readPoint_", "bizLocation_"} {
		for _, inner := range []string{"", "INNER_"} {
			name := inner + where + "ex:num"
			if inner != "" {
				name = inner + where + "ex:deep"
			}
			list = append(list, example{"EQ_" + name, `["10"]`, `["11"]`}, example{"GT_" + name, `9.5`, `10`}, example{"GE_" + name, `10`, `11`}, example{"LT_" + name, `10.5`, `10`},
				example{"LE_" + name, `10`, `9`}, example{"EXISTS_" + name, `1`, ``})
		}
		list = append(list, example{"EQ_" + where + "ex:when", `"2026-03-01T08:00:00+08:00"`, `"2026-03-01T00:00:00+08:00"`},
			example{"GE_" + where + "ex:when", `"2026-03-01T08:00:00+08:00"`, `"2026-03-01T08:00:01+08:00"`},
			example{"EQ_" + where + "ex:code", `["007"]`, `["7"]`}, example{"EXISTS_" + where + "ex:code", `1`, ``})
	}
	return list
}

// describe gives a query the master data of the tests.
func describe(q *Query) *Query {
	q.Descendants = func(id string) []string {
		return map[string][]string{"urn:x:region": {"urn:epc:id:sgln:0012345.11111.0"}, epcis.Key("urn:epc:id:sgln:0012345.11111.0"): {"urn:epc:id:sgln:0012345.11111.400"}}[id]
	}
	q.Attributes = func(id string) []epcis.VocabularyAttribute {
		if strings.HasPrefix(id, "urn:epc:id:sgln:") {
			return []epcis.VocabularyAttribute{{ID: "urn:example:mda#kind", Value: textValue("cold")}}
		}
		return nil
	}
	return q
}

func parse(t testing.TB, text string) *Query {
	t.Helper()
	q, err := ParseJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return describe(q)
}

// urlForm is a JSON value as it stands in a URL; it is not ok when "|" within a value keeps it from standing there.
func urlForm(value string) (string, bool) {
	var v any
	if err := json.Unmarshal([]byte(value), &v); err != nil {
		panic(err)
	}
	list, ok := v.([]any)
	if !ok {
		return strings.Trim(value, `"`), true
	}
	var parts []string
	for _, x := range list {
		b, _ := json.Marshal(x)
		if strings.Contains(string(b), "|") {
			return "", false
		}
		parts = append(parts, strings.Trim(string(b), `"`))
	}
	return strings.Join(parts, "|"), true
}

// TestExamples: each parameter finds and leaves out, in JSON, in a URL, and when it was written and read again.
func TestExamples(t *testing.T) {
	const contexts = `{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/query-schema.json",{"ex":"` + ns + `"}],`
	for _, x := range examples() {
		judge := func(value string, e *epcis.Event, want bool) {
			t.Helper()
			raw, err := json.Marshal(x.name)
			if err != nil {
				t.Fatal(err)
			}
			q := parse(t, contexts+string(raw)+":"+value+"}")
			if q.Match(e) != want {
				t.Errorf("%s=%s: %v", x.name, value, !want)
			}
			again, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			q2 := parse(t, string(again))
			if q2.Match(e) != want {
				t.Errorf("%s=%s, written as %s: %v", x.name, value, again, !want)
			}
			if b, err := json.Marshal(q2); err != nil || string(b) != string(again) {
				t.Errorf("%s is written again as %s (%v)", again, b, err)
			}
			if form, ok := urlForm(value); ok {
				u, err := ParseURL(url.Values{x.name: {strings.Replace(form, "null", "", 1)}})
				if err != nil {
					t.Fatal(x.name, err)
				}
				if describe(u).Match(e) != want {
					t.Errorf("URL %s=%s: %v", x.name, form, !want)
				}
			}
		}
		judge(x.yes, whole(), true)
		if strings.HasPrefix(x.name, "LT_eventTime") {
			judge(x.yes, &epcis.Event{Time: at("2030-01-01T00:00:00Z")}, false)
		} else {
			judge(x.yes, bare(), false)
		}
		if x.no != "" {
			judge(x.no, whole(), false)
		} else if strings.HasPrefix(x.name, "EXISTS_") {
			judge("0", bare(), true)
		}
	}
}

func shared(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../shared/data", path))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return b
}

// TestSchema: no name and no pattern of the interface's schema is without an example.
func TestSchema(t *testing.T) {
	var schema struct {
		Definitions map[string]struct {
			Properties        map[string]json.RawMessage `json:"properties"`
			PatternProperties map[string]json.RawMessage `json:"patternProperties"`
		} `json:"definitions"`
	}
	if err := json.Unmarshal(shared(t, "epcis-interface/query-schema.json"), &schema); err != nil {
		t.Fatal(err)
	}
	def := schema.Definitions["EPCIS-Query"]
	if len(def.Properties) < 60 || len(def.PatternProperties) != 108 {
		t.Fatalf("%d names, %d patterns", len(def.Properties), len(def.PatternProperties))
	}
	list := examples()
	controls := []string{"@context", "orderBy", "orderDirection", "eventCountLimit", "maxEventCount"} // TestControls
	for name := range def.Properties {
		if !slices.Contains(controls, name) && !slices.ContainsFunc(list, func(x example) bool { return x.name == name }) {
			t.Errorf("no example for %s", name)
		}
	}
	for pattern := range def.PatternProperties {
		re, err := regexp.Compile(strings.ReplaceAll(pattern, `\\`, `\`)) // the file escapes its backslashes twice
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list, func(x example) bool { return re.MatchString(x.name) }) {
			t.Errorf("no example for %s", pattern)
		}
	}
}

// TestInterfaceNames: every query parameter that the interface's text names is known.
func TestInterfaceNames(t *testing.T) {
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^\s+name: ((?:EQ|GE|GT|LE|LT|WD|MATCH|EXISTS)_[A-Za-z_]+)$`).FindAllStringSubmatch(string(shared(t, "epcis-interface/openapi.yaml")), -1) {
		if _, ok := fixed[plainName(m[1])]; !ok {
			t.Errorf("%s is not known", m[1])
		}
		n++
	}
	if n < 45 {
		t.Fatalf("only %d names", n)
	}
}

// TestSharedQueries: valid documents parse, invalid ones are refused by the name of the parameter at fault.
func TestSharedQueries(t *testing.T) {
	const dir = "openepcis-test-resources/2.0/EPCIS/JSON/Query/Queries/"
	q := parse(t, string(shared(t, dir+"SimpleEventQuery.json")))
	if q.OrderBy != "eventTime" || q.Ascending || q.EventCountLimit != 100 || len(q.params) != 10 {
		t.Errorf("%+v", q)
	}
	for file, names := range map[string][]string{"Query_with_invalid_values.json": {"GE_eventTime", "EQ_action", "orderDirection"}, "Query_with_unknown_parameter.json": {"GE_eventDate"}} {
		_, err := ParseJSON(shared(t, dir+"Invalid/"+file))
		if !problem.Is(err, problem.BadRequest) || !slices.ContainsFunc(names, func(s string) bool { return strings.Contains(err.Error(), s) }) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestControls: order, counts and paging.
func TestControls(t *testing.T) {
	q := parse(t, `{"orderBy":"eventTime","orderDirection":"ASC","eventCountLimit":3,"perPage":7,"nextPageToken":"x"}`)
	if q.OrderBy != "eventTime" || !q.Ascending || q.EventCountLimit != 3 || q.PerPage != 7 || q.NextPageToken != "x" {
		t.Errorf("%+v", q)
	}
	if q := parse(t, `{"maxEventCount":5,"orderBy":"recordTime"}`); q.MaxEventCount != 5 || q.Ascending {
		t.Errorf("%+v", q)
	}
	u, err := ParseURL(url.Values{"perPage": {"9"}, "maxEventCount": {"4"}, "GE_eventTime": {"2026-01-01T00:00:00 08:00"}})
	if err != nil || u.PerPage != 9 || u.MaxEventCount != 4 {
		t.Errorf("%+v %v", u, err)
	}
}

// TestRefused: what is wrong is refused by name.
func TestRefused(t *testing.T) {
	long := strings.Repeat("9", 500)
	for _, c := range [][2]string{
		{`{"eventCountLimit":1,"maxEventCount":1,"orderBy":"eventTime"}`, "eventCountLimit"}, {`{"eventCountLimit":1}`, "orderBy"},
		{`{"eventCountLimit":0,"orderBy":"eventTime"}`, "eventCountLimit"}, {`{"maxEventCount":"x"}`, "maxEventCount"}, {`{"maxEventCount":1.5}`, "maxEventCount"},
		{`{"orderDirection":"asc"}`, "orderDirection"}, {`{"orderBy":"bizStep"}`, "orderBy"}, {`{"orderBy":["eventTime"]}`, "orderBy"},
		{`{"EQ_action":["SHIPPED"]}`, "EQ_action"}, {`{"EQ_action":"ADD"}`, "EQ_action"}, {`{"EQ_action":[]}`, "EQ_action"}, {`{"EQ_action":[1]}`, "EQ_action"},
		{`{"eventType":["Event"]}`, "eventType"}, {`{"GE_eventTime":"2026-01-01"}`, "GE_eventTime"}, {`{"GE_eventTime":5}`, "GE_eventTime"}, {`{"LT_eventTime":null}`, "LT_eventTime"},
		{`{"EQ_quantity":["5"]}`, "EQ_quantity"}, {`{"GE_quantity":[5]}`, "GE_quantity"}, {`{"GE_quantity":` + long + `}`, "GE_quantity"}, {`{"GE_value_CEL":"x"}`, "GE_value_CEL"},
		{`{"EQ_booleanValue":"true"}`, "EQ_booleanValue"}, {`{"EXISTS_errorDeclaration":"yes"}`, "EXISTS_errorDeclaration"}, {`{"GT_ex:a":"x"}`, "GT_ex:a"},
		{`{"GT_ex:a":[1,2]}`, "GT_ex:a"}, {`{"EQ_ex:a":{"x":1}}`, "EQ_ex:a"}, {`{"EQ_nothing":["x"]}`, "EQ_nothing"}, {`{"EQ_ex:":["x"]}`, "EQ_ex:"}, {`{"":1}`, "parameter"},
		{`{"EQ_bizSteps":["x"]}`, "EQ_bizStep meant"}, {`{"EQ_bizStep":["a"],"EQ_bizStep":["b"]}`, "EQ_bizStep"}, {`{"HASATTR_foo":["x"]}`, "HASATTR_foo"},
		{`{"GE_errorDeclarationTime":"2026-01-01T00:00:00Z","GE_errorDeclaration_Time":"2026-01-01T00:00:00Z"}`, "twice"},
		{`[]`, "JSON object"}, {`{"a":1} x`, "JSON object"}, {``, "JSON object"}, {`{"@context":5}`, "@context"}, {`{"allOf":[{"orderBy":"eventTime"}]}`, "allOf"},
	} {
		q, err := ParseJSON([]byte(c[0]))
		if !problem.Is(err, problem.BadRequest) || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: %v %v", c[0], q, err)
		}
		if err != nil && problem.Say(err, problem.Chinese) == problem.Say(err, problem.English) {
			t.Errorf("%s: %v is not in Chinese", c[0], err)
		}
	}
	for _, v := range []url.Values{{"GE_eventDate": {"2026-01-01T00:00:00Z"}}, {"GE_eventTime": {"a", "b"}}, {"EQ_bizStep": {""}}, {"EQ_bizStep": {"a||b"}}, {"EQ_bizStep": nil}, {"perPage": {"0"}}} {
		if _, err := ParseURL(v); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%v: %v", v, err)
		}
	}
	many := make([]string, MaxValues+1)
	for i := range many {
		many[i] = "x"
	}
	if _, err := ParseURL(url.Values{"EQ_bizStep": many}); !problem.Is(err, problem.TooDeep) {
		t.Errorf("%v", err)
	}
}

// TestNames: how extension fields can be named.
func TestNames(t *testing.T) {
	e := whole()
	for text, want := range map[string]bool{
		`{"EQ_https://ns.example.com/epcis/num":10}`: true, `{"EQ_https://ns.example.com/epcis#num":10}`: true, `{"EQ_https://ns.example.com/epcis/#num":10}`: true,
		`{"EQ_INNER_https://ns.example.com/epcis/deep":10}`: true, `{"EQ_https://other.example.com/num":10}`: false,
		`{"EQ_ex:num":10}`: true, `{"EQ_y:num":10}`: false, `{"@context":{"y":"` + ns + `"},"EQ_y:num":10}`: true, `{"@context":{"ex":"https://other/"},"EQ_ex:num":10}`: false,
		`{"@context":[{"ex":{"@id":"` + ns + `"}}],"EQ_ex:num":10.0}`: true, `{"EQ_ex:deep":10}`: false, `{"EQ_INNER_ex:num":10}`: false,
		`{"EQATTR_ex:site_grade":["A"]}`: true, `{"EQ_ATTR_site_grade":["A"]}`: true, `{"EQ_ATTR_site_grade":["B"]}`: false, `{"HASATTR_readPoint":["kind"]}`: true,
		`{"HASATTR_readPoint":["urn:example:mda#kind"]}`: true, `{"HASATTR_bizLocation":["none"]}`: false, `{"@context":{"y":"urn:y:"},"EQ_bizStep":["y:step"]}`: false,
		`{"EQ_bizTransaction_https://ref.gs1.org/cbv/BTT-po":["urn:epc:id:gdti:0614141.00001.1618034"]}`: true,
	} {
		if parse(t, text).Match(e) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	e.BizStep = "urn:y:step"
	if !parse(t, `{"@context":{"y":"urn:y:"},"EQ_bizStep":["y:step"]}`).Match(e) {
		t.Error("a word's prefix is not expanded")
	}
	q, err := ParseURLIn(url.Values{"EQ_z:num": {"10"}}, map[string]string{"z": ns})
	if err != nil || !q.Match(e) {
		t.Error(err)
	}
}

// TestPatterns: identifiers by pattern.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, id string
		want        bool
	}{
		{"urn:epc:idpat:sgtin:0614141.107346.*", "urn:epc:id:sgtin:0614141.107346.5", true}, {"urn:epc:idpat:sgtin:0614141.107346.*", "https://id.gs1.org/01/10614141073464/21/7", true},
		{"urn:epc:idpat:sgtin:0614141.107346.*", "urn:epc:id:sgtin:0614141.107347.5", false}, {"urn:epc:idpat:sgtin:0614141.*.*", "urn:epc:id:sgtin:0614141.107347.5", true},
		{"urn:epc:idpat:sgtin:0614142.*.*", "urn:epc:id:sgtin:0614141.107347.5", false}, {"urn:epc:idpat:sgtin:*.*.*", "urn:epc:id:sgtin:0614141.107347.5", true},
		{"urn:epc:idpat:sscc:0614141.*", "urn:epc:id:sscc:0614141.1234567890", true}, {"urn:epc:idpat:sscc:0614142.*", "urn:epc:id:sscc:0614141.1234567890", false},
		{"urn:epc:idpat:sgln:0012345.11111.*", "urn:epc:id:sgln:0012345.11111.400", true}, {"urn:epc:idpat:sgln:0012345.*.*", "urn:epc:id:sgln:0012345.11111.0", true},
		{"urn:epc:idpat:grai:0614141.12345.*", "urn:epc:id:grai:0614141.12345.400", true}, {"urn:epc:idpat:giai:0614141.*", "urn:epc:id:giai:0614141.12345400", true},
		{"urn:epc:idpat:gid:95100000.12345.*", "urn:epc:id:gid:95100000.12345.400", true}, {"urn:epc:idpat:gdti:0614141.00001.*", "urn:epc:id:gdti:0614141.00001.16", true},
		{"https://shop.example/01/10614141073464/21/*", "urn:epc:id:sgtin:0614141.107346.5", true}, {"88.118.1001/ENG-*", "88.118.1001/ENG-42", true},
		{"hdl:88.118.1001/ENG-*", "https://node.example/88.118.1001/ENG-42", true}, {"88.118.1001/ENG-*", "88.118.1001/BOX-42", false}, {"urn:x:*", "urn:x:1", true},
		{"urn:epc:idpat:sgtin:bad", "urn:epc:id:sgtin:0614141.107346.5", false},
	} {
		raw, err := json.Marshal(map[string][]string{"MATCH_epc": {c.pattern, "urn:x-y:z"}})
		if err != nil {
			t.Fatal(err)
		}
		q := parse(t, string(raw))
		e := bare()
		e.EPCs = []string{c.id}
		if q.Match(e) != c.want {
			t.Errorf("%s on %s (%s): %v; %v", c.pattern, c.id, epcis.Key(c.id), !c.want, q.Bounds().Names)
		}
	}
}

// TestAnd: both must hold, also when both restrict the same field; the result can be written and read.
func TestAnd(t *testing.T) {
	e := whole()
	a, b := parse(t, `{"MATCH_epc":["urn:epc:id:sgtin:0614141.107346.2017"],"GE_quantity":5,"@context":{"p":"https://a/"},"EXISTS_p:x":0}`),
		parse(t, `{"MATCH_epc":["88.118.1001/ENG-42"],"orderBy":"eventTime","eventCountLimit":3,"@context":{"p":"https://b/"},"EXISTS_p:x":0}`)
	for range 2 {
		both, err := a.And(b)
		if err != nil || !both.Match(e) || both.OrderBy != "eventTime" || both.EventCountLimit != 3 || len(both.Bounds().Names) != 2 {
			t.Fatalf("%+v %v", both, err)
		}
		raw, err := json.Marshal(both)
		if err != nil {
			t.Fatal(err)
		}
		again := parse(t, string(raw))
		for _, q := range []*Query{both, again} {
			one := whole()
			one.EPCs = one.EPCs[:1]
			if q.Match(one) || !q.Match(e) {
				t.Errorf("%s does not hold for both", raw)
			}
		}
		a, b = b, a
		a.OrderBy, b.OrderBy = "eventTime", "eventTime"
	}
	same, err := a.And(a)
	if err != nil || len(same.params) != len(a.params) {
		t.Errorf("%d parameters of %d, %v", len(same.params), len(a.params), err)
	}
}

// TestLess: the order of results.
func TestLess(t *testing.T) {
	event := func(id string, minutes int, v ...epcis.Value) *epcis.Event {
		e := &epcis.Event{ID: id, Time: at("2026-01-01T00:00:00Z").Add(time.Duration(minutes) * time.Minute)}
		for _, x := range v {
			e.Extensions = []epcis.Field{field("key", x)}
		}
		return e
	}
	n := func(s string) epcis.Value { return epcis.Value{Kind: epcis.Number, Text: s} }
	list := []*epcis.Event{event("a", 3, n("9")), event("b", 2, n("10")), event("c", 1, textValue("2026-01-01T00:00:00Z")), event("d", 4, textValue("x")), event("e", 0), event("f", 5)}
	for by, want := range map[string]string{"eventTime ASC": "ecbadf", "eventTime DESC": "fdabce", "ex:key ASC": "abcdef", "ex:key DESC": "dcbaef", "https://ns.example.com/epcis/key ASC": "abcdef"} {
		name, direction, _ := strings.Cut(by, " ")
		q := parse(t, `{"orderBy":"`+name+`","orderDirection":"`+direction+`"}`)
		got := slices.Clone(list)
		slices.SortFunc(got, func(a, b *epcis.Event) int {
			switch {
			case q.Less(a, b):
				return -1
			case q.Less(b, a):
				return 1
			}
			return 0
		})
		var ids string
		for _, e := range got {
			ids += e.ID
		}
		if ids != want {
			t.Errorf("%s: %s, not %s", by, ids, want)
		}
	}
}

// TestUnits: units convert within their dimension only.
func TestUnits(t *testing.T) {
	for _, c := range []struct {
		a, ua, b, ub string
		want         int
		ok           bool
	}{
		{"1", "KGM", "1000", "GRM", 0, true}, {"1", "TNE", "999", "KGM", 1, true}, {"26", "CEL", "78.8", "FAH", 0, true}, {"0", "KEL", "-273.15", "CEL", 0, true},
		{"1", "MTR", "1", "KGM", 0, false}, {"1", "XYZ", "1", "XYZ", 0, true}, {"1", "XYZ", "1", "KGM", 0, false}, {"12", "C62", "1", "DZN", 0, true}, {"1", "INH", "2.54", "CMT", 0, true},
		{"1", "HUR", "3600", "SEC", 0, true}, {"100.00000000000000001", "KGM", "100", "KGM", 1, true}, {"1", "BAR", "101", "KPA", -1, true}, {"x", "KGM", "1", "KGM", 0, false},
	} {
		if got, ok := compareUnits(epcis.Decimal(c.a), c.ua, epcis.Decimal(c.b), c.ub, false); got != c.want || ok != c.ok {
			t.Errorf("%v: %d %v", c, got, ok)
		}
	}
	for code, u := range units {
		if u.factor <= 0 || len(code) > 3 {
			t.Errorf("%s: %+v", code, u)
		}
	}
}

// TestDescendants: what is below a place is asked for once in a while, not for each event.
func TestDescendants(t *testing.T) {
	q, asked := parse(t, `{"WD_bizLocation":["urn:x:a"]}`), 0
	below := []string{"urn:x:b"}
	q.Descendants = func(string) []string { asked++; return below }
	e := bare()
	e.BizLocation = &epcis.Location{ID: "urn:x:b"}
	for range 100 {
		if !q.Match(e) {
			t.Fatal("not below")
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	below = nil
	if b := q.Bounds(); asked != 2 || !b.BizLocationsBelow || !slices.Equal(b.BizLocations, []string{"urn:x:a"}) || q.Match(e) {
		t.Errorf("asked %d times, %+v", asked, b)
	}
}
