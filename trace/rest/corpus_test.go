package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/trace/epcis"
)

// corpus visits the files of a public collection of EPCIS documents.
func corpus(t *testing.T, visit func(name string, text []byte)) {
	root := filepath.Join("..", "..", "..", "shared", "data", "openepcis-test-resources")
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".xml") {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			n++
			name, _ := filepath.Rel(root, path)
			visit(filepath.ToSlash(name), text)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skip("the collection is not here")
	}
	if err != nil || n < 150 {
		t.Fatalf("%d files, %v", n, err)
	}
}

// read reads what came, in the form that its name tells.
func read(t *testing.T, text []byte, xml bool) *epcis.Document {
	t.Helper()
	from := epcis.ReadJSON
	if xml {
		from = readXML
	}
	doc, faults, err := from(bytes.NewReader(text), epcis.Limits{})
	if err != nil || len(faults) > 0 {
		t.Fatalf("%v %v\n%.500s", err, faults, text)
	}
	return doc
}

// wrong are the documents of the collection that no standard allows although they are not kept among its wrong ones, each with the places where they are refused.
var wrong = map[string][]string{
	// An ObjectEvent "SHALL NOT contain ilmd if action is OBSERVE or DELETE" (EPCIS 1.2 and 2.0, 7.4.2); certificationInfo is a URI (EPCIS 2.0, 7.4.1), not "test certification".
	"1.2/EPCIS/XML/Capture/Documents/ObjectEvent_all_possible_fields.xml": {"/epcis:EPCISDocument/EPCISBody/EventList/ObjectEvent[1]/certificationInfo", "/epcis:EPCISDocument/EPCISBody/EventList/ObjectEvent[1]/extension/ilmd"},
}

// forms are the forms that an event is asked for in; translated says that identifiers are not the ones that were captured.
var forms = []struct {
	head            []string
	xml, translated bool
}{
	{[]string{"GS1-EPC-Format", "Never_Translates"}, false, false},
	{[]string{"GS1-EPC-Format", "Always_EPC_URN"}, false, true},
	{[]string{"GS1-EPC-Format", "Always_GS1_Digital_Link"}, false, true},
	{[]string{"GS1-EPC-Format", "Never_Translates", "Accept", "application/xml"}, true, false},
	{[]string{"GS1-EPC-Format", "Never_Translates", "GS1-CBV-XML-Format", "Always_URN", "Accept", "application/xml"}, true, false},
	{[]string{"GS1-EPC-Format", "Never_Translates", "GS1-EPCIS-Max", "1.2.0", "Accept", "application/xml"}, true, false},
	{[]string{"GS1-EPC-Format", "Always_EPC_URN", "Accept", "application/xml"}, true, true},
	{[]string{"GS1-EPC-Format", "Always_GS1_Digital_Link", "Accept", "application/xml"}, true, true},
}

// TestCorpus: every good document and event of the collection is captured, and each of its events reads back the same in every form, field by field; every bad one is
// refused with the place.
func TestCorpus(t *testing.T) {
	seen := map[string]int{}
	corpus(t, func(name string, text []byte) {
		t.Run(name, func(t *testing.T) {
			s := open(t, nil) // one for each: files use the same eventIDs for different events
			xml := strings.HasSuffix(name, ".xml")
			media := mediaJSON
			if xml {
				media = mediaXML
			}
			places, isWrong := wrong[name]
			switch {
			case strings.Contains(name, "/Queries/") && xml: // of the SOAP interface, which there is not
				seen["query of SOAP"]++
				if a := ask(t, s, "POST", "/epcis/queries", string(text), "Content-Type", media, "Test-Caller", "88.1/a"); a.StatusCode != 415 {
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
			case strings.Contains(name, "/Queries/"):
				seen["query"]++
				body, _ := json.Marshal(definition{Name: strings.ReplaceAll(name, "/", " "), Query: text})
				want := 201
				if strings.Contains(name, "/Invalid/") {
					want = 400
				}
				if a := ask(t, s, "POST", "/epcis/queries", string(body), "Test-Caller", "88.1/a"); a.StatusCode != want {
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
			case isWrong || strings.Contains(name, "/Invalid/"):
				seen["wrong"]++
				refused(t, s, text, media, places)
			default:
				seen["good"]++
				captured(t, s, name, text, xml)
			}
		})
	})
	t.Log(seen)
	for name := range wrong {
		if _, err := os.Stat(filepath.Join("..", "..", "..", "shared", "data", "openepcis-test-resources", name)); err != nil {
			t.Error(err)
		}
	}
	if seen["good"] < 100 || seen["wrong"] < 25 {
		t.Errorf("the collection is not whole: %v", seen)
	}
}

// refused wants a document to be refused with places, those that are given if any are.
func refused(t *testing.T, s *site, text []byte, media string, places []string) {
	a := ask(t, s, "POST", "/epcis/capture", string(text), "Content-Type", media)
	var d details
	json.Unmarshal([]byte(a.body), &d)
	if a.StatusCode != 400 || d.Type != "epcisException:ValidationException" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for i, p := range d.Errors {
		if p.Path == "" && p.Line == 0 {
			t.Errorf("a fault without a place: %s", a.body)
		}
		if places != nil && (len(d.Errors) != len(places) || p.Path != places[i]) {
			t.Errorf("refused at %s, want %v", p.Path, places)
		}
	}
	if len(d.Errors) < len(places) {
		t.Errorf("%s", a.body)
	}
	if b := ask(t, s, "GET", "/epcis/events", ""); strings.Contains(b.body, "eventTime") {
		t.Errorf("something of it was captured: %s", b.body)
	}
}

// captured wants every event of a document to be captured, and to read back the same in every form.
func captured(t *testing.T, s *site, name string, text []byte, xml bool) {
	media := mediaJSON
	if xml {
		media = mediaXML
	}
	want := read(t, text, xml)
	if strings.Contains(name, "/Events/") {
		if a := ask(t, s, "POST", "/epcis/events", string(text), "Content-Type", media); a.StatusCode != 201 || a.Header.Get("Location") == "" {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	} else if j := s.job(t, string(text), "Content-Type", media); !j.Success || j.Captured+j.Duplicates != len(want.Events) {
		t.Fatalf("%+v", j)
	}
	if len(want.Events)+len(want.Vocabularies) == 0 {
		t.Error("there is nothing in it")
	}
	for i := range want.Events {
		e := &want.Events[i]
		hash := epcis.Hash(e)
		id := or(e.ID, hash)
		for _, form := range forms {
			a := ask(t, s, "GET", "/epcis/events/"+esc(id), "", form.head...)
			if a.StatusCode != 200 {
				t.Fatalf("%s: %d %s", id, a.StatusCode, a.body)
			}
			back := read(t, []byte(a.body), form.xml)
			same := false
			for j := range back.Events {
				b := &back.Events[j]
				if b.RecordTime.IsZero() {
					t.Error("the event has no recordTime")
				}
				b.RecordTime = e.RecordTime
				if e.ID == "" {
					if b.ID != hash {
						t.Errorf("the event without an ID was given %s, not its hash %s", b.ID, hash)
					}
					b.ID = ""
				}
				same = same || epcis.Hash(b) == hash && (form.translated || reflect.DeepEqual(plain(*e), plain(*b)))
			}
			if !same {
				t.Errorf("event %d is another one as %v:\n%s\n%s", i, form.head, epcis.AppendEventJSON(nil, e, epcis.Format{}), a.body)
			}
		}
	}
}
