package rest

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const exSpace = "https://ns.example.com/epcis/"

// own are fields of another namespace: a number, a time, a list, and a field within fields.
const own = `"ex:num":10,"ex:when":"2026-03-01T00:00:00Z","ex:code":["007","A"],"ex:outer":{"ex:list":[{"ex:deep":10}]}`

// asked are the events that every parameter is asked of: one that has nearly everything, those that have what it cannot have, and one that has next to nothing.
var asked = []string{
	`{"type":"ObjectEvent","eventID":"urn:uuid:a","eventTime":"2026-02-01T08:00:00+08:00","eventTimeZoneOffset":"+08:00","action":"ADD","bizStep":"shipping","disposition":"in_transit",` +
		`"errorDeclaration":{"declarationTime":"2026-02-03T00:00:00Z","reason":"incorrect_data","correctiveEventIDs":["urn:uuid:2","urn:uuid:3"],` + own + `},` +
		`"epcList":["urn:epc:id:sgtin:0614141.107346.2017","urn:epc:id:sgtin:0614141.107346.2018"],"quantityList":[{"epcClass":"urn:epc:class:lgtin:4012345.012345.998877","quantity":200,"uom":"KGM"}],` +
		`"persistentDisposition":{"set":["completeness_verified"],"unset":["completeness_inferred"]},` +
		`"readPoint":{"id":"urn:epc:id:sgln:0012345.11111.400",` + own + `},"bizLocation":{"id":"urn:epc:id:sgln:0012345.11111.0",` + own + `},` +
		`"bizTransactionList":[{"type":"po","bizTransaction":"urn:epc:id:gdti:0614141.00001.1618034"}],"sourceList":[{"type":"owning_party","source":"urn:epc:id:pgln:4023333.00000"}],` +
		`"destinationList":[{"type":"possessing_party","destination":"urn:epc:id:pgln:0614142.00000"}],` +
		`"sensorElementList":[{"sensorMetadata":{"time":"2026-02-01T00:00:00Z","startTime":"2026-01-01T00:00:00Z","endTime":"2026-01-02T00:00:00Z","deviceID":"urn:epc:id:giai:4000001.111",` +
		`"dataProcessingMethod":"https://example.com/253/4012345000054987","bizRules":"https://example.com/253/4012345000054987r",` + own + `},` +
		`"sensorReport":[{"type":"Temperature","microorganism":"https://www.ncbi.nlm.nih.gov/taxonomy/1126011","chemicalSubstance":"https://identifiers.org/inchikey:CZMRCDWAGMRECN-UGDNZRGBSA-N","value":26,` +
		`"stringValue":"SomeString","booleanValue":true,"hexBinaryValue":"f0f0f0","uriValue":"https://id.gs1.org/8004/401234599999","minValue":26,"maxValue":26,"meanValue":26,"sDev":26,` +
		`"percRank":50,"percValue":26,"uom":"CEL",` + own + `}],` + own + `}],"ilmd":{` + own + `},` + own + `,"ex:site":{"@grade":"A","#text":"urn:x:site"}}`,
	`{"type":"TransformationEvent","eventID":"urn:uuid:t","eventTime":"2026-02-01T08:00:00+08:00","eventTimeZoneOffset":"+08:00","transformationID":"urn:epc:id:gdti:0614141.06012.1234",` +
		`"inputEPCList":["urn:epc:id:sgtin:0614141.107346.1"],"outputEPCList":["urn:epc:id:sgtin:0614141.107346.2"],"inputQuantityList":[{"epcClass":"urn:epc:class:lgtin:4012345.012345.in"}],` +
		`"outputQuantityList":[{"epcClass":"urn:epc:class:lgtin:4012345.012345.out"}]}`,
	`{"type":"AggregationEvent","eventID":"urn:uuid:p","eventTime":"2026-02-01T08:00:00+08:00","eventTimeZoneOffset":"+08:00","action":"OBSERVE","parentID":"urn:epc:id:sscc:0614141.1234567890","childEPCs":["urn:epc:id:sgtin:0614141.107346.9"]}`,
	`{"type":"TransactionEvent","eventID":"urn:uuid:z","eventTime":"2020-01-01T00:00:00Z","eventTimeZoneOffset":"+00:00","action":"OBSERVE","bizTransactionList":[{"bizTransaction":"urn:x:1"}],"epcList":["urn:x:2"]}`,
}

// parameter is a name with a value that finds an event and one that does not. Without the second, the event with next to nothing is the one that is not found.
type parameter struct{ name, yes, no string }

// parameters has each name of the interface, and one name of each of its patterns.
func parameters() []parameter {
	place, time := "urn:epc:id:sgln:0012345.11111.", "T00:00:00Z"
	list := []parameter{
		{"eventType", `["ObjectEvent","AssociationEvent"]`, `["AggregationEvent"]`},
		{"GE_eventTime", `"2026-02-01` + time + `"`, `"2026-02-01T00:00:00.001Z"`}, {"LT_eventTime", `"2026-02-01T00:00:00.001Z"`, `"2026-02-01` + time + `"`},
		{"GE_recordTime", `"2026-11-01T08:00:00Z"`, `"2026-11-01T08:00:01Z"`}, {"LT_recordTime", `"2026-11-01T08:00:01Z"`, `"2026-11-01T08:00:00Z"`},
		{"EQ_action", `["ADD","DELETE"]`, `["DELETE"]`}, {"EQ_bizStep", `["shipping"]`, `["receiving"]`}, {"EQ_disposition", `["in_transit"]`, `["active"]`},
		{"EQ_persistentDisposition_set", `["completeness_verified"]`, `["completeness_inferred"]`}, {"EQ_persistentDisposition_unset", `["completeness_inferred"]`, `["completeness_verified"]`},
		{"EQ_quantity", `[200]`, `[201]`}, {"GT_quantity", `199.9`, `200`}, {"GE_quantity", `200`, `200.1`}, {"LT_quantity", `200.1`, `200`}, {"LE_quantity", `200`, `199`},
		{"EQ_readPoint", `["https://id.gs1.org/414/0012345111112/254/400"]`, `["https://id.gs1.org/414/0012345111112"]`}, {"WD_readPoint", `["` + place + `0"]`, `["urn:x:elsewhere"]`},
		{"EQ_bizLocation", `["https://shop.example/414/0012345111112"]`, `["` + place + `400"]`}, {"WD_bizLocation", `["urn:x:region"]`, `["` + place + `400"]`},
		{"EQ_transformationID", `["urn:epc:id:gdti:0614141.06012.1234"]`, `["urn:epc:id:gdti:0614141.06012.1235"]`},
		{"MATCH_epc", `["https://id.gs1.org/01/10614141073464/21/2017"]`, `["urn:epc:id:sgtin:0614141.107346.1"]`}, {"MATCH_parentID", `["urn:epc:id:sscc:0614141.1234567890"]`, `["urn:epc:id:sgtin:0614141.107346.9"]`},
		{"MATCH_inputEPC", `["urn:epc:id:sgtin:0614141.107346.1"]`, `["urn:epc:id:sgtin:0614141.107346.2"]`}, {"MATCH_outputEPC", `["urn:epc:id:sgtin:0614141.107346.2"]`, `["urn:epc:id:sgtin:0614141.107346.1"]`},
		{"MATCH_anyEPC", `["urn:epc:idpat:sgtin:0614141.107346.*"]`, `["urn:epc:id:sgtin:0614141.107346.3"]`},
		{"MATCH_epcClass", `["urn:epc:class:lgtin:4012345.012345.998877"]`, `["urn:epc:class:lgtin:4012345.012345.in"]`},
		{"MATCH_inputEPCClass", `["urn:epc:class:lgtin:4012345.012345.in"]`, `["urn:epc:class:lgtin:4012345.012345.out"]`},
		{"MATCH_outputEPCClass", `["urn:epc:class:lgtin:4012345.012345.out"]`, `["urn:epc:class:lgtin:4012345.012345.in"]`},
		{"MATCH_anyEPCClass", `["urn:epc:class:lgtin:4012345.012345.998877"]`, `["urn:epc:class:lgtin:4012345.012345.none"]`},
		{"EQ_eventID", `["urn:uuid:a","urn:uuid:9"]`, `["urn:uuid:2"]`}, {"EXISTS_errorDeclaration", `null`, ``},
		{"GE_errorDeclaration_Time", `"2026-02-03` + time + `"`, `"2026-02-03T00:00:01Z"`}, {"LT_errorDeclaration_Time", `"2026-02-03T00:00:01Z"`, `"2026-02-03` + time + `"`},
		{"EQ_errorReason", `["incorrect_data"]`, `["did_not_occur"]`}, {"EQ_correctiveEventID", `["urn:uuid:3"]`, `["urn:uuid:a"]`}, {"EXISTS_sensorElementList", `null`, ``},
		{"EQ_type", `["gs1:Temperature"]`, `["Pressure"]`}, {"EQ_deviceID", `["https://id.gs1.org/8004/4000001111"]`, `["urn:epc:id:giai:4000001.112"]`},
		{"EQ_dataProcessingMethod", `["https://example.com/253/4012345000054987"]`, `["https://example.com/253/4012345000054994"]`},
		{"EQ_microorganism", `["https://www.ncbi.nlm.nih.gov/taxonomy/1126011"]`, `["https://www.ncbi.nlm.nih.gov/taxonomy/1126012"]`},
		{"EQ_chemicalSubstance", `["https://identifiers.org/inchikey:CZMRCDWAGMRECN-UGDNZRGBSA-N"]`, `["https://identifiers.org/inchikey:X"]`},
		{"EQ_bizRules", `["https://example.com/253/4012345000054987r"]`, `["https://example.com/x"]`}, {"EQ_stringValue", `["SomeString"]`, `["Some"]`}, {"EQ_booleanValue", `true`, `false`},
		{"EQ_hexBinaryValue", `["f0f0f0"]`, `["f0f0"]`}, {"EQ_uriValue", `["https://id.gs1.org/8004/401234599999"]`, `["https://id.gs1.org/8004/401234599998"]`},
		{"EQ_bizTransaction_po", `["urn:epc:id:gdti:0614141.00001.1618034"]`, `["urn:epc:id:gdti:0614141.00001.1618035"]`},
		{"EQ_source_owning_party", `["urn:epc:id:pgln:4023333.00000"]`, `["urn:epc:id:pgln:0614142.00000"]`},
		{"EQ_destination_possessing_party", `["urn:epc:id:pgln:0614142.00000"]`, `["urn:epc:id:pgln:4023333.00000"]`},
		{"HASATTR_ex:site", `["grade"]`, `["size"]`}, {"EQ_ATTR_readPoint_kind", `["cold"]`, `["warm"]`}, {"EQ_value_CEL", `[1,26]`, `[27]`}, {"EQ_quantity_GRM", `[200000]`, `[200]`},
		{"GE_percRank", `50`, `50.1`}, {"LT_percRank", `50.1`, `50`}, {"GT_percRank", `49`, `50`}, {"LE_percRank", `50`, `49`},
		{"GE_sDev_FAH", `46.8`, `46.9`}, {"LT_sDev_FAH", `46.9`, `46.8`}, {"GT_sDev_KEL", `25.9`, `26`}, {"LE_sDev_CEL", `26`, `25`},
		{"GE_quantity_TNE", `0.2`, `0.21`}, {"LT_quantity_TNE", `0.21`, `0.2`}, {"GT_quantity_KGM", `199`, `200`}, {"LE_quantity_GRM", `200000`, `199999`},
	}
	for name, at := range map[string]string{"time": "2026-02-01", "startTime": "2026-01-01", "endTime": "2026-01-02"} {
		list = append(list, parameter{"GE_" + name, `"` + at + `T00:00:00Z"`, `"` + at + `T00:00:01Z"`}, parameter{"LT_" + name, `"` + at + `T00:00:01Z"`, `"` + at + `T00:00:00Z"`})
	}
	for _, f := range []string{"value", "minValue", "maxValue", "meanValue", "percValue"} {
		list = append(list, parameter{"GE_" + f + "_FAH", `78.8`, `78.9`}, parameter{"LT_" + f + "_FAH", `78.9`, `78.8`}, parameter{"GT_" + f + "_KEL", `299.14`, `299.15`}, parameter{"LE_" + f + "_CEL", `26.0`, `25.9`})
	}
	for _, where := range []string{"", "ILMD_", "ERROR_DECLARATION_", "SENSORELEMENT_", "SENSORMETADATA_", "SENSORREPORT_", "readPoint_", "bizLocation_"} {
		for _, name := range []string{where + "ex:num", "INNER_" + where + "ex:deep"} {
			list = append(list, parameter{"EQ_" + name, `["10"]`, `["11"]`})
			if !strings.HasSuffix(where, "int_") && !strings.HasSuffix(where, "Location_") {
				list = append(list, parameter{"GT_" + name, `9.5`, `10`}, parameter{"GE_" + name, `10`, `11`}, parameter{"LT_" + name, `10.5`, `10`}, parameter{"LE_" + name, `10`, `9`}, parameter{"EXISTS_" + name, `null`, ``})
			}
		}
	}
	return list
}

// TestParameters: every name and every pattern of the interface's schema is asked for in an address and in a body, finds what it names and nothing else; what it is not given
// rightly is refused by its name. Each answer is held against the interface's text.
func TestParameters(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "epcis-interface", "query-schema.json"))
	if os.IsNotExist(err) && os.Getenv("CI") != "true" {
		t.Skip("the interface's schema is not here")
	}
	var schema struct {
		Definitions map[string]struct {
			Properties, PatternProperties map[string]json.RawMessage
		}
	}
	if err != nil || json.Unmarshal(text, &schema) != nil {
		t.Fatal(err)
	}
	def := schema.Definitions["EPCIS-Query"]
	missing := map[string]*regexp.Regexp{}
	for name := range def.Properties {
		if !slices.Contains([]string{"@context", "orderBy", "orderDirection", "eventCountLimit", "maxEventCount"}, name) { // TestCounts and TestOrder
			missing[name] = regexp.MustCompile("^" + regexp.QuoteMeta(name) + "$")
		}
	}
	for pattern := range def.PatternProperties {
		missing[pattern] = regexp.MustCompile(strings.ReplaceAll(pattern, `\\`, `\`)) // the file escapes its backslashes twice
	}
	if len(def.Properties) != 61 || len(def.PatternProperties) != 108 { // 60 and @context
		t.Fatalf("%d names, %d patterns", len(def.Properties), len(def.PatternProperties))
	}

	s := open(t, nil)
	doc := strings.Replace(documentJSON(asked...), `epcis-context.jsonld"]`, `epcis-context.jsonld",{"ex":"`+exSpace+`"}]`, 1)
	doc = strings.Replace(doc, `"epcisBody"`, `"epcisHeader":{"epcisMasterData":{"vocabularyList":[{"type":"urn:epcglobal:epcis:vtype:ReadPoint","vocabularyElementList":[`+
		`{"id":"urn:epc:id:sgln:0012345.11111.400","attributes":[{"id":"urn:example:mda#kind","attribute":"cold"}]}]},{"type":"urn:epcglobal:epcis:vtype:BusinessLocation","vocabularyElementList":[`+
		`{"id":"urn:epc:id:sgln:0012345.11111.0","children":["urn:epc:id:sgln:0012345.11111.400"]},{"id":"urn:x:region","children":["urn:epc:id:sgln:0012345.11111.0"]}]}]}},"epcisBody"`, 1)
	if j := s.job(t, doc); !j.Success || j.Captured != len(asked) {
		t.Fatalf("%+v", j)
	}
	found := func(a answer) (ids []string) {
		t.Helper()
		var d resultDoc
		if a.StatusCode != 200 || json.Unmarshal([]byte(a.body), &d) != nil {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		for _, e := range d.Body.Results.Body.Events {
			ids = append(ids, strings.TrimPrefix(e.ID, "urn:uuid:"))
		}
		return ids
	}
	queries := 0
	for _, p := range parameters() {
		want := "a"
		switch lower := strings.ToLower(p.name); {
		case strings.HasPrefix(lower, "match_input"), strings.HasPrefix(lower, "match_output"), strings.HasSuffix(lower, "transformationid"):
			want = "t"
		case strings.HasSuffix(lower, "parentid"):
			want = "p"
		}
		each := func(value string) [][]string {
			queries += 2
			form := "" // as it stands in an address
			var v any
			if err := json.Unmarshal([]byte(value), &v); err != nil {
				t.Fatal(p.name, err)
			}
			switch list, _ := v.([]any); {
			case list != nil:
				var parts []string
				for _, x := range list {
					b, _ := json.Marshal(x)
					parts = append(parts, strings.Trim(string(b), `"`))
				}
				form = strings.Join(parts, "|")
			case v != nil:
				form = strings.Trim(value, `"`)
			}
			name, _ := json.Marshal(p.name)
			return [][]string{
				found(ask(t, s, "GET", "/epcis/events?"+url.QueryEscape(p.name)+"="+url.QueryEscape(form), "", "GS1-Extensions", "ex="+exSpace)),
				found(ask(t, s, "POST", "/epcis/queries", `{"query":{"@context":{"ex":"`+exSpace+`"},`+string(name)+`:`+value+`}}`)),
			}
		}
		for i, ids := range each(p.yes) {
			if !slices.Contains(ids, want) {
				t.Errorf("%s=%s (%d) finds %v and not %s", p.name, p.yes, i, ids, want)
			}
			if slices.Contains(ids, "z") && !strings.HasPrefix(p.name, "LT_eventTime") && !strings.HasSuffix(p.name, "recordTime") {
				t.Errorf("%s=%s (%d) finds an event that has nothing of it", p.name, p.yes, i)
			}
		}
		if p.no != "" {
			for i, ids := range each(p.no) {
				if slices.Contains(ids, want) {
					t.Errorf("%s=%s (%d) finds %v", p.name, p.no, i, ids)
				}
			}
		}
		bad := `{"x":1}` // no parameter takes an object
		if a := ask(t, s, "POST", "/epcis/queries", `{"query":{"@context":{"ex":"`+exSpace+`"},"`+p.name+`":`+bad+`}}`); a.StatusCode != 400 || !strings.Contains(a.body, p.name) {
			t.Errorf("%s=%s: %d %s", p.name, bad, a.StatusCode, a.body)
		}
		for name, re := range missing {
			if re.MatchString(p.name) {
				delete(missing, name)
			}
		}
	}
	for name := range missing {
		t.Errorf("nothing asks for %s", name)
	}
	t.Log(queries, "queries")
}

// TestControls: the four names that say how to answer, not what to find, given rightly and wrongly.
func TestControls(t *testing.T) {
	s := open(t, nil)
	var events []string
	for n := range 9 {
		events = append(events, strings.Replace(eventJSON(n, "shipping"), `{"type"`, `{"@context":{"ex":"`+exSpace+`"},"ex:num":`+strconv.Itoa(n*4%9)+`,"ex:name":"n`+strconv.Itoa(n*7%9)+`","type"`, 1))
	}
	s.put(t, events...)
	order := func(by func(n int) int) (out []int) {
		out = make([]int, 9)
		for n := range 9 {
			out[by(n)] = n
		}
		return out
	}
	num, name, plain := order(func(n int) int { return n * 4 % 9 }), order(func(n int) int { return n * 7 % 9 }), order(func(n int) int { return n })
	back := func(list []int) []int { list = slices.Clone(list); slices.Reverse(list); return list }
	for query, want := range map[string][]int{
		"orderBy=eventTime&orderDirection=ASC":                plain,
		"orderBy=eventTime&orderDirection=DESC":               back(plain),
		"orderBy=recordTime&orderDirection=ASC":               plain,
		"orderBy=recordTime":                                  back(plain),
		"orderBy=ex:num&orderDirection=ASC":                   num,
		"orderBy=ex:num":                                      back(num),
		"orderBy=ex:name&orderDirection=ASC":                  name,
		"orderBy=ex:num&orderDirection=ASC&eventCountLimit=4": num[:4],
		"orderBy=ex:name&eventCountLimit=100":                 back(name),
		"maxEventCount=9&orderBy=eventTime":                   back(plain),
	} {
		got, pages := s.walk(t, "GET", "/epcis/events?perPage=2&"+query, "", nil, "GS1-Extensions", "ex="+exSpace)
		if pages != (len(want)+1)/2 || !slices.Equal(got, want) && !strings.Contains(query, "recordTime") { // all were recorded at once
			t.Errorf("%s: %v on %d pages, want %v", query, got, pages, want)
		}
	}
	for _, query := range []string{"orderBy=", "orderBy=bizStep", "orderBy=eventTime&orderDirection=UP", "orderBy=eventTime&orderBy=recordTime", "eventCountLimit=5",
		"orderBy=eventTime&eventCountLimit=0", "orderBy=eventTime&eventCountLimit=-1", "orderBy=eventTime&eventCountLimit=x", "maxEventCount=-1", "maxEventCount=1.5",
		"maxEventCount=5&orderBy=eventTime&eventCountLimit=5", "perPage=0", "perPage=x"} {
		if a := ask(t, s, "GET", "/epcis/events?"+query, ""); a.StatusCode != 400 || !strings.Contains(a.body, "epcisException:Query") {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
		}
	}
	if a := ask(t, s, "GET", "/epcis/events?maxEventCount=8", ""); a.StatusCode != 413 || !strings.Contains(a.body, "QueryTooLargeException") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
