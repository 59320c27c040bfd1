package epcis

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const resources = "openepcis-test-resources/2.0/EPCIS/JSON/"

func good(t testing.TB) []string {
	list := files(t, resources+"Capture/Documents/*.json")
	list = append(list, files(t, resources+"Capture/Events/*.json")...)
	list = append(list, files(t, resources+"Query/*.json")...)
	return append(list, files(t, "epcis-event-hash/tests/examples/*.jsonld")...)
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	path := files(t, "epcis-interface/EPCIS-JSON-Schema.json")[0]
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(slurp(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) {
		inner, negative := strings.CutPrefix(s, "^(?!")
		if negative {
			inner = "^(?:" + inner
		}
		re, err := regexp.Compile(inner)
		return lookahead{re, s, negative}, err
	})
	if err := c.AddResource("https://gs1.github.io/EPCIS/EPCIS-JSON-Schema.json", v); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("https://gs1.github.io/EPCIS/EPCIS-JSON-Schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lookahead is a pattern that may begin with a negative look-ahead, which Go's do not have.
type lookahead struct {
	*regexp.Regexp
	text     string
	negative bool
}

func (l lookahead) MatchString(s string) bool { return l.Regexp.MatchString(s) != l.negative }
func (l lookahead) String() string            { return l.text }

// beyond are texts that the schema refuses although the standard, and the corpus of good documents, have them: a persistentDisposition outside
// ObjectEvents, measurements that are younger than the schema, and sensor reports of an exception alone.
var beyond = regexp.MustCompile(`"type":"(Aggregation|Transaction|Transformation|Association)Event".*"persistentDisposition"|"(Molar_concentration|EffectiveDoseRate)"|\{"exception":`)

func conforms(t testing.TB, s *jsonschema.Schema, text []byte) {
	t.Helper()
	if beyond.Match(text) {
		return
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// sameEvent compares two events whose times may have locations of other identity.
func sameEvent(t testing.TB, a, b *Event) {
	t.Helper()
	x, y := AppendEventJSON(nil, a, Format{}), AppendEventJSON(nil, b, Format{})
	if !bytes.Equal(x, y) {
		t.Errorf("another event:\n%s\n%s", x, y)
	}
	if !reflect.DeepEqual(a.Extensions, b.Extensions) || !reflect.DeepEqual(a.ILMD, b.ILMD) || !reflect.DeepEqual(a.Namespaces, b.Namespaces) {
		t.Errorf("other fields:\n%+v\n%+v", a, b)
	}
	if Hash(a) != Hash(b) {
		t.Error("another hash")
	}
}

// TestCorpus: everything that is good is read without fault, and what is written conforms to the schema and reads back as the same, standing alone too,
// with identifiers as they were and as Digital Links.
func TestCorpus(t *testing.T) {
	s := schema(t)
	events := 0
	for _, path := range good(t) {
		t.Run(strings.TrimPrefix(filepath.ToSlash(path), shared), func(t *testing.T) {
			doc, faults := readText(t, slurp(t, path))
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			if len(doc.Events) == 0 {
				t.Fatal("no events")
			}
			text := AppendJSON(nil, doc, Format{})
			conforms(t, s, text)
			back, faults := readText(t, string(text))
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			if again := AppendJSON(nil, back, Format{}); !bytes.Equal(again, text) {
				t.Errorf("written again:\n%s\n%s", text, again)
			}
			links, faults := readText(t, string(AppendJSON(nil, doc, Format{EPC: AlwaysDigitalLink})))
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			for i := range doc.Events {
				events++
				e := &doc.Events[i]
				sameEvent(t, e, &back.Events[i])
				alone := AppendEventJSON(nil, e, Format{})
				conforms(t, s, alone)
				one, err := ParseEventJSON(alone)
				if err != nil {
					t.Fatal(err)
				}
				sameEvent(t, e, one)
				if Hash(&links.Events[i]) != Hash(e) {
					t.Errorf("event %d has another hash as links:\n%s\n%s", i, AppendPrehash(nil, e), AppendPrehash(nil, &links.Events[i]))
				}
				urns := Format{EPC: AlwaysURN, CompanyPrefix: func(string) int { return 7 }}
				back, err := ParseEventJSON(AppendEventJSON(nil, &links.Events[i], urns))
				if err != nil {
					t.Fatal(err)
				}
				if Hash(back) != Hash(e) {
					t.Errorf("event %d has another hash as URNs:\n%s\n%s", i, AppendPrehash(nil, e), AppendPrehash(nil, back))
				}
			}
		})
	}
	if events < 100 {
		t.Errorf("only %d events", events)
	}
}

// TestInvalid: each invalid document names the events and the fields that are wrong in it.
func TestInvalid(t *testing.T) {
	want := map[string][]string{
		"Combination_of_events_with_missing_mandatory_fields.json":   {"/epcisBody/eventList/0/action", "/epcisBody/eventList/1/eventTimeZoneOffset", "/epcisBody/eventList/1/action"},
		"Combination_of_multiple_invalid_fields.json":                {"/epcisBody/eventList/0/bizStep", "/epcisBody/eventList/1/disposition", "/epcisBody/eventList/2/sourceList/0/type", "/epcisBody/eventList/3/ilmd/materialType", "/epcisBody/eventList/4/eventTime", "/epcisBody/eventList/4/action"},
		"Combination_of_non_standard_bizStep_and_disposition.json":   {"/epcisBody/eventList/0/bizStep", "/epcisBody/eventList/1/disposition"},
		"EPCISDocument_without_context.json":                         {"/@context"},
		"ObjectEvent_with_ilmd_field_without_namespace.json":         {"/epcisBody/eventList/0/ilmd/materialType"},
		"ObjectEvent_with_invalid_action.json":                       {"/epcisBody/eventList/0/action"},
		"ObjectEvent_with_invalid_certificationInfo.json":            {"/epcisBody/eventList/0/certificationInfo/0", "/epcisBody/eventList/0/certificationInfo/1"},
		"ObjectEvent_with_invalid_eventTime_format.json":             {"/epcisBody/eventList/0/eventTime"},
		"ObjectEvent_with_non_standard_bizStep.json":                 {"/epcisBody/eventList/0/bizStep"},
		"ObjectEvent_with_non_standard_bizStep_in_second_event.json": {"/epcisBody/eventList/1/bizStep"},
		"ObjectEvent_with_non_standard_disposition.json":             {"/epcisBody/eventList/0/disposition"},
		"ObjectEvent_with_quantity_as_text.json":                     {"/epcisBody/eventList/0/quantityList/0/quantity"},
		"ObjectEvent_with_unknown_field_in_quantityList.json":        {"/epcisBody/eventList/0/quantityList/0/weight"},
		"ObjectEvent_without_action_and_eventTime.json":              {"/epcisBody/eventList/0/eventTime", "/epcisBody/eventList/0/eventTimeZoneOffset", "/epcisBody/eventList/0/action"},
		"ObjectEvent_without_identifier_list.json":                   {"/epcisBody/eventList/0/epcList"},
		"QueryDocument_with_invalid_action.json":                     {"/epcisBody/queryResults/resultsBody/eventList/0/action"},
		"QueryDocument_with_invalid_eventType.json":                  {"/epcisBody/queryResults/resultsBody/eventList/0/type"},
	}
	seen := 0
	for _, path := range append(files(t, resources+"Capture/Invalid/*.json"), files(t, resources+"Query/Invalid/*.json")...) {
		name := filepath.Base(path)
		text := slurp(t, path)
		_, faults := readText(t, text)
		var got []string
		for _, f := range faults {
			got = append(got, f.Path)
			if f.Line < 1 || f.Column < 1 || f.EN == "" || f.ZH == "" || f.Rule == "" || strings.Contains(f.EN+f.ZH, "%!") {
				t.Errorf("%s: a fault without place or sentence: %+v", name, f)
			}
		}
		if w, ok := want[name]; !ok && len(got) == 0 || ok && !slices.Equal(got, w) {
			t.Errorf("%s: faults %q, want %q", name, got, w)
		}
		seen++
	}
	if seen < len(want) {
		t.Errorf("only %d documents", seen)
	}
}

// TestPlace: lines and columns point at the value that is wrong.
func TestPlace(t *testing.T) {
	text := "[\n {\"type\": \"ObjectEvent\",\n  \"action\": \"ADD\", \"日\": 1, \"bizStep\": \"flying\",\n  \"eventTime\": \"2026-07-22T06:45:00Z\", \"eventTimeZoneOffset\": \"+02:00\",\n  \"epcList\": [\"urn:a:b\", \"no id\"]}]"
	_, faults := readText(t, text)
	var got []string
	for _, f := range faults {
		got = append(got, f.place()+" "+f.Rule)
	}
	want := []string{"/0/日 (3:20) field", "/0/epcList/1 (5:26) uri", "/0/bizStep (3:39) word"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestThreeWrong: of 10,000 events with three wrong ones, the faults name these three and the others are read.
func TestThreeWrong(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"@context":["` + contextURL + `"],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-07-22T06:45:00Z","epcisBody":{"eventList":[`)
	for i := range 10_000 {
		if i > 0 {
			b.WriteString(",\n")
		}
		action := "OBSERVE"
		if i == 17 || i == 5000 || i == 9999 {
			action = "WATCH"
		}
		b.WriteString(`{"type":"ObjectEvent","eventTime":"2026-07-22T06:45:00+02:00","eventTimeZoneOffset":"+02:00","action":"` + action + `","epcList":["urn:epc:id:sgtin:4012345.011111.` + string(Decimal(strings.Repeat("7", i%15+1))) + `"]}`)
	}
	b.WriteString("]}}")
	doc, faults := readText(t, b.String())
	if got := faults.Events(); !slices.Equal(got, []int{17, 5000, 9999}) || len(faults) != 3 {
		t.Errorf("faults in %v: %v", got, faults)
	}
	for i, line := range []int{18, 5001, 10000} {
		if faults[i].Line != line {
			t.Errorf("line %d, want %d", faults[i].Line, line)
		}
	}
	if len(doc.Events) != 9997 {
		t.Errorf("%d events", len(doc.Events))
	}
	if !json.Valid(AppendJSON(nil, doc, Format{})) {
		t.Error("no JSON")
	}
}
