package epcisxml

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/trace/epcis"
)

const shared = "../../../../shared/data/"

// files are the XML files below a folder of the shared data.
func files(t *testing.T, folder string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(shared+folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".xml") {
			out = append(out, path)
		}
		return err
	})
	if err != nil || len(out) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the shared data is missing: %v", err)
		}
		t.Skip("no shared data here")
	}
	return out
}

func read(t *testing.T, text []byte) (*epcis.Document, epcis.Faults) {
	t.Helper()
	d, faults, err := Read(bytes.NewReader(text), epcis.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d, faults
}

// wrong are the documents of the collection that no standard allows although they are not kept among its wrong ones, each with the ends of the places where they are
// refused.
var wrong = map[string][]string{
	// An ObjectEvent "SHALL NOT contain ilmd if action is OBSERVE or DELETE" (EPCIS 1.2 and 2.0, 7.4.2); certificationInfo is a URI (EPCIS 2.0, 7.4.1), not "test certification".
	"1.2/EPCIS/XML/Capture/Documents/ObjectEvent_all_possible_fields.xml": {"/ObjectEvent[1]/certificationInfo", "/ObjectEvent[1]/extension/ilmd"},
}

// TestDocuments: every document of the test collection reads without a fault and reads back the same, field by field, from both versions of XML and through JSON; a wrong
// one gives faults with their places.
func TestDocuments(t *testing.T) {
	root, written := "openepcis-test-resources", t.TempDir()
	for _, path := range files(t, root) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, shared+root+"/"))
		t.Run(name, func(t *testing.T) {
			d, faults := read(t, text)
			places, isWrong := wrong[name]
			if isWrong || strings.Contains(path, "Invalid") || strings.Contains(path, "Queries") {
				if len(faults) == 0 {
					t.Fatal("no fault was found")
				}
				for _, f := range faults {
					if f.Line == 0 || !strings.HasPrefix(f.Path, "/") || f.EN == "" || f.ZH == "" || f.Rule == "" {
						t.Errorf("a fault without its place: %+v", f)
					}
				}
				for i, p := range places {
					if len(faults) != len(places) || !strings.HasSuffix(faults[i].Path, p) {
						t.Errorf("%+v, want %v", faults, places)
						break
					}
				}
				return
			}
			if len(faults) > 0 {
				t.Fatalf("%+v", faults[0])
			}
			if len(d.Events) == 0 && len(d.Vocabularies) == 0 {
				t.Fatal("nothing was read")
			}
			same(t, d, false)
			out, err := Append(nil, d, "2.0", epcis.Format{})
			if err == nil {
				kind := "document-"
				if d.Query != nil {
					kind = "query-"
				}
				err = os.WriteFile(filepath.Join(written, kind+strings.ReplaceAll(name, "/", "-")), out, 0o600)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		if makefile, _ := os.ReadFile("../../../Makefile"); os.Getenv("CI") == "true" && bytes.Contains(makefile, []byte("libxml2-utils:")) {
			t.Fatal(err)
		}
		t.Log("what was written was not held against the schema: ", err)
		return
	}
	for kind, schema := range map[string]string{"document-": "EPCglobal-epcis-2_0.xsd", "query-": "EPCglobal-epcis-query-2_0.xsd"} {
		list, err := filepath.Glob(filepath.Join(written, kind+"*"))
		if err != nil || len(list) == 0 {
			t.Fatal(err, "nothing was written")
		}
		out, err := exec.Command(tool, append([]string{"--nonet", "--noout", "--schema", shared + "epcis-interface/XSD/" + schema}, list...)...).CombinedOutput()
		if err != nil {
			for line := range strings.Lines(string(out)) {
				if !strings.HasSuffix(strings.TrimSpace(line), " validates") {
					t.Error(line)
				}
			}
		}
	}
}

// TestFromJSON: what was captured as JSON goes through XML and comes back the same.
func TestFromJSON(t *testing.T) {
	n := 0
	for _, folder := range []string{"openepcis-test-resources/2.0/EPCIS/JSON/Capture/Documents/*.json", "openepcis-test-resources/2.0/EPCIS/JSON/Capture/Events/*.json",
		"openepcis-test-resources/2.0/EPCIS/JSON/Query/*.json", "epcis-event-hash/tests/examples/*.jsonld", "epcis-event-hash/tests/expected_equal/*.json"} {
		files(t, "openepcis-test-resources") // or there is nothing to do
		list, err := filepath.Glob(shared + folder)
		if err != nil || len(list) == 0 {
			t.Fatal(folder, err)
		}
		for _, path := range list {
			t.Run(strings.TrimPrefix(filepath.ToSlash(path), shared), func(t *testing.T) {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				d, faults, err := epcis.ReadJSON(bytes.NewReader(text), epcis.Limits{})
				if err != nil || len(faults) > 0 || len(d.Events) == 0 {
					t.Fatal(err, faults)
				}
				same(t, d, true)
				n++
			})
		}
	}
	if n < 70 {
		t.Errorf("only %d documents", n)
	}
}

// same writes a document in every form, reads it back, and wants what was written.
func same(t *testing.T, d *epcis.Document, fromJSON bool) {
	t.Helper()
	asJSON := func(d *epcis.Document) *epcis.Document {
		out := epcis.AppendJSON(nil, d, epcis.Format{})
		back, faults, err := epcis.ReadJSON(bytes.NewReader(out), epcis.Limits{})
		if err != nil || len(faults) > 0 {
			t.Fatalf("%v %v\n%s", err, faults, out)
		}
		return back
	}
	equal(t, "JSON", d, asJSON(d))
	for _, version := range []string{"2.0", "1.2"} {
		out, err := Append(nil, d, version, epcis.Format{})
		if err != nil {
			t.Fatal(err)
		}
		back, faults := read(t, out)
		if len(faults) > 0 {
			t.Fatalf("%s: %+v\n%s", version, faults[0], out)
		}
		if fromJSON {
			// JSON has prefixes that need no declaration; XML declares them where they are used first, and around the event when it is written again
			if out, err = Append(nil, back, version, epcis.Format{}); err != nil {
				t.Fatal(err)
			}
			back, _ = read(t, out)
		}
		again, err := Append(nil, back, version, epcis.Format{})
		if err != nil || !bytes.Equal(out, again) {
			t.Errorf("%s: the second writing differs (%v):\n%s\n%s", version, err, out, again)
		}
		equal(t, version, d, back)
		equal(t, version+" and JSON", d, asJSON(back))
		out, err = Append(nil, asJSON(d), version, epcis.Format{})
		if err != nil {
			t.Fatal(err)
		}
		back, faults = read(t, out)
		if len(faults) > 0 {
			t.Fatalf("JSON and %s: %+v\n%s", version, faults[0], out)
		}
		equal(t, "JSON and "+version, d, back)
	}
}

// equal compares the events of two documents, and the fields of other namespaces around them.
func equal(t *testing.T, form string, want, got *epcis.Document) {
	t.Helper()
	if len(want.Events) != len(got.Events) {
		t.Fatalf("%s: %d events of %d", form, len(got.Events), len(want.Events))
	}
	for i := range want.Events {
		a, b := &want.Events[i], &got.Events[i]
		if x, y := plain(*a), plain(*b); !reflect.DeepEqual(x, y) {
			t.Errorf("%s: event %d does not read back equal:\n%s\n%s", form, i, epcis.AppendEventJSON(nil, a, epcis.Format{}), epcis.AppendEventJSON(nil, b, epcis.Format{}))
		}
		if epcis.Hash(a) != epcis.Hash(b) {
			t.Errorf("%s: event %d reads back with another hash:\n%s\n%s", form, i, epcis.AppendPrehash(nil, a), epcis.AppendPrehash(nil, b))
		}
	}
	around := func(d *epcis.Document) [3][]epcis.Field {
		if strings.Contains(form, "2.0") { // whose header has no place for them
			return [3][]epcis.Field{plainFields(slices.Concat(d.HeaderExtensions, d.Extensions)), nil, plainFields(d.BodyExtensions)}
		}
		return [3][]epcis.Field{plainFields(d.Extensions), plainFields(d.HeaderExtensions), plainFields(d.BodyExtensions)}
	}
	if !want.Created.Equal(got.Created) && !want.Created.IsZero() || want.Query == nil && (want.Sender != got.Sender || want.Receiver != got.Receiver || want.Instance != got.Instance) ||
		(want.Query == nil) != (got.Query == nil) || want.Query != nil && *want.Query != *got.Query {
		t.Errorf("%s: the document says other things of itself:\n%+v\n%+v", form, want, got)
	}
	if x, y := plainVocabularies(want.Vocabularies), plainVocabularies(got.Vocabularies); !reflect.DeepEqual(x, y) {
		t.Errorf("%s: the master data does not read back equal:\n%+v\n%+v", form, x, y)
	}
	if x, y := around(want), around(got); !reflect.DeepEqual(x, y) {
		t.Errorf("%s: the document's own fields do not read back equal:\n%+v\n%+v", form, x, y)
	}
}

// TestAround: what stands in the header, beside the events and behind the body is kept at its place in every form that has the place.
func TestAround(t *testing.T) {
	for _, query := range []bool{false, true} {
		open, close := `<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:2" xmlns:a="https://a.example/" xmlns:b="https://b.example/b" schemaVersion="2.0" creationDate="2026-01-01T00:00:00Z">`, "</epcis:EPCISDocument>"
		before, after := "<EPCISBody>", "<a:beside x=\"1\">mixed<b:in/></a:beside></EPCISBody>"
		if query {
			open, close = strings.ReplaceAll(strings.Replace(open, "xsd:2", "xsd:2\" xmlns:q=\"urn:epcglobal:epcis-query:xsd:2", 1), "epcis:EPCISDocument", "q:EPCISQueryDocument"), "</q:EPCISQueryDocument>"
			before, after = "<EPCISBody><q:QueryResults><queryName>n</queryName><resultsBody>", "</resultsBody><a:beside x=\"1\">mixed<b:in/></a:beside></q:QueryResults></EPCISBody>"
		}
		event := `<EventList><ObjectEvent><eventTime>2026-01-01T00:00:00Z</eventTime><eventTimeZoneOffset>+00:00</eventTimeZoneOffset><epcList><epc>urn:x:y</epc></epcList><action>ADD</action>` +
			`<bizStep>a:step</bizStep><a:z/><a:n>012.50</a:n></ObjectEvent></EventList>`
		d, faults := read(t, []byte(open+"<EPCISHeader><a:head>1</a:head><a:head>2</a:head></EPCISHeader>"+before+event+after+"<b:end>e</b:end>"+close))
		if len(faults) > 0 || len(d.Events) != 1 || len(d.HeaderExtensions) != 1 || len(d.BodyExtensions) != 1 || len(d.Extensions) != 1 {
			t.Fatalf("%v %+v", faults, d)
		}
		if d.Events[0].BizStep != "https://a.example/step" || len(d.BodyExtensions[0].Value.Attrs) != 1 || d.BodyExtensions[0].Value.Text != "mixed" {
			t.Errorf("%+v", d)
		}
		same(t, d, false)
	}
}

// TestHashes: the reference vectors of the hash.
func TestHashes(t *testing.T) {
	for _, path := range files(t, "epcis-event-hash/tests/examples") {
		want, err := os.ReadFile(strings.TrimSuffix(path, ".xml") + ".hashes")
		if err != nil {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			d, faults := read(t, text)
			if len(faults) > 0 {
				t.Fatalf("%+v", faults[0])
			}
			var got []string
			for i := range d.Events {
				got = append(got, epcis.HashWithout(&d.Events[i], d.Ignored()))
			}
			lines := strings.Fields(string(want))
			slices.Sort(got)
			slices.Sort(lines)
			if !slices.Equal(got, lines) {
				t.Errorf("got  %v\nwant %v", got, lines)
			}
		})
	}
	for _, path := range files(t, "epcis-event-hash/tests/expected_equal") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d, faults := read(t, text)
		for i := range d.Events {
			if epcis.Hash(&d.Events[i]) != epcis.Hash(&d.Events[0]) {
				t.Errorf("%s: event %d has another hash", filepath.Base(path), i)
			}
		}
		if len(faults) > 0 {
			t.Errorf("%s: %+v", filepath.Base(path), faults[0])
		}
	}
}

// TestRefused: what must never be taken.
func TestRefused(t *testing.T) {
	head := `<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:2" schemaVersion="2.0" creationDate="2026-01-01T00:00:00Z">`
	for name, text := range map[string]string{
		"nothing": "", "no XML": "hello", "another root": "<a/>", "cut off": head, "doctype": `<!DOCTYPE a [<!ENTITY b "c">]>` + head,
		"entity": head + "<EPCISBody>&b;</EPCISBody></epcis:EPCISDocument>", "wrong end": head + "</a>", "two roots": head + "</epcis:EPCISDocument><a/>",
		"no such prefix": head + "<x:a/></epcis:EPCISDocument>", "deep": head + strings.Repeat("<extension>", 100),
		"long attribute": `<a b="` + strings.Repeat("x", maxToken+10) + `"/>`, "UTF-16": "\xff\xfe<\x00", "charset": `<?xml version="1.0" encoding="koi8-r"?><a/>`,
	} {
		if d, _, err := Read(strings.NewReader(text), epcis.Limits{}); err == nil {
			t.Errorf("%s was taken: %+v", name, d)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:2" xmlns:a="urn:a" xmlns:b="https://b.example/" schemaVersion="2.0" creationDate="2026-01-01T00:00:00.5+08:00"><EPCISHeader><a:h/></EPCISHeader><EPCISBody><EventList>` +
		`<TransformationEvent><eventTime>2026-01-01T00:00:00.123456Z</eventTime><eventTimeZoneOffset>-01:30</eventTimeZoneOffset><eventID>urn:x:1</eventID><errorDeclaration><declarationTime>2026-01-01T00:00:00Z</declarationTime><reason>a:r</reason><a:why b:c="d">e<a:f>1</a:f><a:f>2</a:f></a:why></errorDeclaration><inputEPCList><epc>urn:epc:id:sgtin:4012345.011111.9876</epc></inputEPCList><outputQuantityList><quantityElement><epcClass>urn:epc:class:lgtin:4023333.055555.A</epcClass><quantity>+025.0</quantity><uom>KGM</uom></quantityElement></outputQuantityList><bizStep>b:step</bizStep><readPoint><id>urn:r:1</id><a:p>q</a:p></readPoint><sourceList><source type="urn:epcglobal:cbv:sdt:location">urn:s:1</source></sourceList>` +
		`<sensorElementList><sensorElement><sensorMetadata time="2026-01-01T00:00:00Z" bizRules="urn:b:1" a:m="n"/><sensorReport type="a:T" exception="gs1:ALARM_CONDITION" value="1e3" uom="CEL" booleanValue="1" hexBinaryValue="0f" b:k="7"/><a:more/></sensorElement></sensorElementList><persistentDisposition><set>urn:epcglobal:cbv:disp:damaged</set></persistentDisposition><ilmd><a:l>0012</a:l></ilmd><b:z>urn:epc:id:giai:4000001.111</b:z></TransformationEvent></EventList><a:e/></EPCISBody><a:g/></epcis:EPCISDocument>`))
	f.Add([]byte(`<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:1" xmlns:a="urn:a" schemaVersion="1.2" creationDate="2026-01-01T00:00:00Z"><EPCISBody><EventList>` +
		`<AggregationEvent><eventTime>2026-01-01T00:00:00Z</eventTime><eventTimeZoneOffset>+08:00</eventTimeZoneOffset><parentID>urn:p:1</parentID><childEPCs><epc>urn:x:1</epc><epc>urn:x:1</epc></childEPCs><action>DELETE</action><bizTransactionList><bizTransaction type="urn:epcglobal:cbv:btt:po">urn:t:1</bizTransaction></bizTransactionList><extension><childQuantityList><quantityElement><epcClass>urn:c:1</epcClass></quantityElement></childQuantityList><extension><sensorElementList><sensorElement><sensorReport type="gs1:Temperature" value=".5"/></sensorElement></sensorElementList></extension></extension><a:a b="c"/></AggregationEvent>` +
		`<extension><extension><AssociationEvent><eventTime>2026-01-01T00:00:00Z</eventTime><eventTimeZoneOffset>+08:00</eventTimeZoneOffset><parentID>urn:p:1</parentID><childEPCs><epc>urn:x:1</epc></childEPCs><action>ADD</action></AssociationEvent></extension></extension></EventList></EPCISBody></epcis:EPCISDocument>`))
	f.Add([]byte(`<ObjectEvent><eventTime>2026-01-01T00:00:00Z</eventTime><eventTimeZoneOffset>+00:00</eventTimeZoneOffset><epcList><epc>urn:x:y</epc></epcList><action>ADD</action></ObjectEvent>`))
	f.Add([]byte(`<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:1" schemaVersion="1.2" creationDate="2026-01-01T00:00:00Z"><EPCISBody><EventList><extension/></EventList></EPCISBody></epcis:EPCISDocument>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, _, err := Read(bytes.NewReader(text), epcis.Limits{})
		if err != nil {
			return
		}
		for _, version := range []string{"2.0", "1.2"} {
			out, err := Append(nil, d, version, epcis.Format{})
			if err != nil {
				continue // a text that XML cannot hold came as a character reference
			}
			back, faults, err := Read(bytes.NewReader(out), epcis.Limits{})
			if err != nil || len(faults) > 0 {
				t.Fatalf("what was written cannot be read: %v %v\n%s", err, faults, out)
			}
			equal(t, version, d, back)
		}
		out := epcis.AppendJSON(nil, d, epcis.Format{})
		back, faults, err := epcis.ReadJSON(bytes.NewReader(out), epcis.Limits{})
		if err != nil || len(faults) > 0 {
			t.Fatalf("what was written as JSON cannot be read: %v %v\n%s", err, faults, out)
		}
		equal(t, "JSON", d, back)
	})
}
