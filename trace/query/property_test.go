package query

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/trace/epcis"
)

var (
	someThings = []string{"urn:epc:id:sgtin:0614141.107346.1", "https://id.gs1.org/01/10614141073464/21/1", "urn:epc:id:sgtin:0614141.107346.12", "88.118.1001/ENG-42", "hdl:88.118.1001/eng-42",
		"88.118.1001/ENG-4", "urn:epc:id:sscc:0614141.1234567890", "urn:x:thing", "urn:epc:id:giai:0614141.a%2Fb"}
	somePatterns = []string{"urn:epc:idpat:sgtin:0614141.107346.*", "urn:epc:idpat:sgtin:0614141.*.*", "88.118.1001/*", "urn:epc:idpat:sscc:0614141.*", "urn:x:*", "urn:epc:idpat:giai:0614141.*"}
	someClasses  = []string{"urn:epc:class:lgtin:4012345.012345.998877", "https://id.gs1.org/01/04012345123456/10/998877", "urn:epc:idpat:sgtin:4012345.012345.*", "88.118.1001/LOT-7"}
	somePlaces   = []string{"urn:epc:id:sgln:0012345.11111.400", "https://id.gs1.org/414/0012345111112/254/400", "urn:epc:id:sgln:0012345.11111.0", "88.118.1001/DOCK"}
	someSteps    = []string{"shipping", "receiving", "https://own.example.com/step"}
	someTypes    = []epcis.EventType{epcis.ObjectEvent, epcis.AggregationEvent, epcis.TransactionEvent, epcis.TransformationEvent, epcis.AssociationEvent}
)

func someEvent(t *rapid.T) *epcis.Event {
	list := func(from []string, name string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(from), 0, 3).Draw(t, name)
	}
	classes := func(name string) (out []epcis.Quantity) {
		for _, s := range list(someClasses, name) {
			out = append(out, epcis.Quantity{Class: s, Quantity: epcis.Decimal(rapid.SampledFrom([]string{"", "1", "2.50", "1000"}).Draw(t, "quantity")),
				Unit: rapid.SampledFrom([]string{"", "KGM", "GRM", "MTR"}).Draw(t, "unit")})
		}
		return out
	}
	e := &epcis.Event{Type: rapid.SampledFrom(someTypes).Draw(t, "type"), ID: rapid.SampledFrom([]string{"urn:uuid:1", "urn:uuid:2", ""}).Draw(t, "id"),
		Time:        time.Unix(rapid.Int64Range(0, 10).Draw(t, "time"), rapid.Int64Range(0, 999999999).Draw(t, "nano")).UTC(),
		EPCs:        list(someThings, "epcs"),
		InputEPCs:   list(someThings, "inputs"),
		OutputEPCs:  list(someThings, "outputs"),
		Quantities:  classes("classes"),
		BizStep:     rapid.SampledFrom(append([]string{""}, someSteps...)).Draw(t, "step"),
		Disposition: rapid.SampledFrom([]string{"", "in_transit", "active"}).Draw(t, "disposition"),
	}
	e.InputQuantities, e.OutputQuantities = classes("inputClasses"), classes("outputClasses")
	e.RecordTime = time.Unix(rapid.Int64Range(0, 10).Draw(t, "recordTime"), 0).UTC()
	if e.Type != epcis.TransformationEvent {
		e.Action = rapid.SampledFrom([]epcis.Action{epcis.Add, epcis.Observe, epcis.Delete}).Draw(t, "action")
	} else {
		e.TransformationID = rapid.SampledFrom([]string{"", "urn:x:t"}).Draw(t, "transformation")
	}
	if rapid.Bool().Draw(t, "parent") {
		e.Parent = rapid.SampledFrom(someThings).Draw(t, "parentID")
	}
	for _, l := range []**epcis.Location{&e.ReadPoint, &e.BizLocation} {
		if rapid.Bool().Draw(t, "place") {
			*l = &epcis.Location{ID: rapid.SampledFrom(somePlaces).Draw(t, "placeID")}
		}
	}
	for _, s := range list(someThings, "transactions") {
		e.Transactions = append(e.Transactions, epcis.Transaction{Type: rapid.SampledFrom([]string{"po", "inv"}).Draw(t, "btt"), ID: s})
	}
	if rapid.Bool().Draw(t, "extended") {
		e.Extensions = []epcis.Field{field("a", textValue(rapid.StringN(1, 5, -1).Draw(t, "text"))), field("b", epcis.Value{Kind: epcis.Object, Fields: []epcis.Field{
			field("c", epcis.Value{Kind: epcis.Number, Text: "12.5"})}})}
	}
	if rapid.Bool().Draw(t, "sensed") {
		e.Sensors = []epcis.SensorElement{{Reports: []epcis.SensorReport{{Type: "Temperature", Value: "21.5", Unit: "CEL"}}}}
	}
	return e
}

// ownFields are parameters that each hold for the event, from its own fields.
func ownFields(e *epcis.Event) map[string]any {
	own := map[string]any{"eventType": []string{string(e.Type)}, "GE_eventTime": e.Time, "LT_eventTime": e.Time.Add(1), "GE_recordTime": e.RecordTime, "LT_recordTime": e.RecordTime.Add(time.Second)}
	put := func(name, value string) {
		if value != "" {
			own[name] = []string{value, "urn:none"}
		}
	}
	put("EQ_eventID", e.ID)
	put("EQ_bizStep", e.BizStep)
	put("EQ_disposition", e.Disposition)
	put("MATCH_parentID", e.Parent)
	put("EQ_transformationID", e.TransformationID)
	if e.Action != "" {
		own["EQ_action"] = []string{string(e.Action)}
	}
	for name, list := range map[string][]string{"MATCH_epc": e.EPCs, "MATCH_inputEPC": e.InputEPCs, "MATCH_outputEPC": e.OutputEPCs, "MATCH_anyEPC": slices.Concat(e.EPCs, e.InputEPCs, e.OutputEPCs, []string{e.Parent})} {
		for _, s := range list {
			put(name, epcis.Key(s))
		}
	}
	for name, list := range map[string][]epcis.Quantity{"MATCH_epcClass": e.Quantities, "MATCH_inputEPCClass": e.InputQuantities, "MATCH_outputEPCClass": e.OutputQuantities} {
		for _, x := range list {
			put(name, x.Class)
			put("MATCH_anyEPCClass", epcis.Key(x.Class))
			if x.Quantity != "" {
				own["EQ_quantity"] = []json.Number{json.Number(x.Quantity)}
				if x.Unit != "" {
					own["GE_quantity_"+x.Unit] = json.Number(x.Quantity)
				}
			}
		}
	}
	for name, l := range map[string]*epcis.Location{"readPoint": e.ReadPoint, "bizLocation": e.BizLocation} {
		if l != nil {
			put("EQ_"+name, l.ID)
			put("WD_"+name, epcis.Key(l.ID))
		}
	}
	for _, x := range e.Transactions {
		put("EQ_bizTransaction_"+x.Type, x.ID)
	}
	if len(e.Extensions) > 0 {
		own["EQ_"+ns+"a"] = []string{e.Extensions[0].Value.Text}
		own["LE_INNER_"+ns+"c"] = 12.5
	}
	if len(e.Sensors) > 0 {
		own["GE_value_FAH"] = 70.7
	}
	return own
}

// within judges an event by the bounds alone, as an index does.
func within(b *Bounds, e *epcis.Event) bool {
	time := func(i Interval, t time.Time) bool { return !t.Before(i.From) && (i.To.IsZero() || t.Before(i.To)) }
	word := func(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }
	place := func(list []string, l *epcis.Location) bool {
		return len(list) == 0 || l != nil && slices.Contains(list, epcis.Key(l.ID))
	}
	for _, set := range b.Names {
		found := false
		for role, s := range e.Names() {
			if !slices.Contains(set.Roles, role) {
				continue
			}
			key := epcis.Key(s)
			found = found || slices.ContainsFunc(set.Keys, func(k string) bool { return key == k || set.Prefix && strings.HasPrefix(key, k) })
		}
		if !found {
			return false
		}
	}
	return time(b.EventTime, e.Time) && time(b.RecordTime, e.RecordTime) && word(b.EventIDs, e.ID) && word(b.Steps, e.BizStep) && word(b.Dispositions, e.Disposition) &&
		place(b.ReadPoints, e.ReadPoint) && place(b.BizLocations, e.BizLocation) && (len(b.Types) == 0 || slices.Contains(b.Types, e.Type)) &&
		(len(b.Transformations) == 0 || slices.Contains(b.Transformations, epcis.Key(e.TransformationID))) &&
		(len(b.Transactions) == 0 || slices.ContainsFunc(e.Transactions, func(x epcis.Transaction) bool { return slices.Contains(b.Transactions, epcis.Key(x.ID)) }))
}

// some draws a part of a set of parameters.
func some(t *rapid.T, all map[string]any) map[string]any {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	out := map[string]any{}
	for _, name := range names {
		if rapid.IntRange(0, 3).Draw(t, "take "+name) == 0 {
			out[name] = all[name]
		}
	}
	return out
}

func must(t rapid.TB, v map[string]any) *Query {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParseJSON(raw)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return q
}

// TestOwnQuery: a query of an event's own fields matches it, whichever are taken, also when it was written and read, or put together of two; and its bounds
// hold the event.
func TestOwnQuery(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := someEvent(t)
		own := ownFields(e)
		all := must(t, own)
		a, b := must(t, some(t, own)), must(t, some(t, own))
		both, err := a.And(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []*Query{all, a, both} {
			raw, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseJSON(raw)
			if err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			bounds := q.Bounds()
			if !q.Match(e) || !again.Match(e) || !within(&bounds, e) {
				t.Fatalf("%s does not find its event: %v %v %v", raw, q.Match(e), again.Match(e), within(&bounds, e))
			}
		}
	})
}

// TestBounds: bounds never leave out an event that matches, patterns and queries put together included; and And is the conjunction.
func TestBounds(t *testing.T) {
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		e, other := someEvent(t), someEvent(t)
		same := rapid.Bool().Draw(t, "of the event itself") // or else few of the queries match
		if same {
			other = e
		}
		own := ownFields(other)
		for _, name := range []string{"MATCH_epc", "MATCH_anyEPC"} {
			if rapid.Bool().Draw(t, "pattern") {
				own[name] = []string{rapid.SampledFrom(somePatterns).Draw(t, "of things"), rapid.SampledFrom(someThings).Draw(t, "or")}
			}
		}
		if !same {
			own["MATCH_anyEPCClass"] = []string{"urn:epc:class:lgtin:4012345.012345.*"}
		}
		a, b := must(t, some(t, own)), must(t, some(t, ownFields(e)))
		both, err := a.And(b)
		if err != nil {
			t.Fatal(err)
		}
		if both.Match(e) != (a.Match(e) && b.Match(e)) {
			t.Fatal("And is not the conjunction")
		}
		for _, q := range []*Query{a, both} {
			if bounds := q.Bounds(); q.Match(e) {
				matched++
				if !within(&bounds, e) {
					t.Fatalf("%+v leaves out %+v", bounds, e)
				}
			}
		}
		if a.Less(e, other) && a.Less(other, e) || a.Less(e, e) {
			t.Fatal("the order is none")
		}
	})
	t.Log(matched, "queries matched")
	if matched == 0 {
		t.Error("no query matched: the test shows nothing")
	}
}

// FuzzParseJSON: whatever is parsed can be written, and reads the same; nothing panics.
func FuzzParseJSON(f *testing.F) {
	for _, x := range examples() {
		f.Add(`{"@context":{"ex":"` + ns + `"},"` + x.name + `":` + x.yes + `}`)
	}
	f.Add(`{"orderBy":"ex:a","allOf":[{"EQ_action":["ADD"]}],"EQ_action":["DELETE"],"perPage":3}`)
	e := whole()
	f.Fuzz(func(t *testing.T, text string) {
		q, err := ParseJSON([]byte(text))
		if err != nil {
			return
		}
		q.Bounds()
		raw, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseJSON(raw)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if again.Match(e) != q.Match(e) {
			t.Errorf("%s and %s differ", text, raw)
		}
		if b, err := json.Marshal(again); err != nil || string(b) != string(raw) {
			t.Errorf("%s is written again as %s (%v)", raw, b, err)
		}
	})
}

// FuzzParseURL is FuzzParseJSON for URLs.
func FuzzParseURL(f *testing.F) {
	for _, x := range examples() {
		if form, ok := urlForm(x.yes); ok {
			f.Add(url.Values{x.name: {form}}.Encode())
		}
	}
	f.Add("orderBy=ex:a&orderDirection=ASC&perPage=7&EQ_bizStep=a|b")
	e := whole()
	f.Fuzz(func(t *testing.T, text string) {
		v, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		q, err := ParseURL(v)
		if err != nil {
			return
		}
		q.Bounds()
		raw, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		if q2, err := ParseJSON(raw); err != nil {
			t.Fatalf("%q: %s: %v", text, raw, err)
		} else if q.Match(e) != q2.Match(e) {
			t.Errorf("%q and %s differ", text, raw)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	e := whole()
	q, err := ParseURL(url.Values{"EQ_bizStep": {"shipping"}, "MATCH_anyEPC": {"88.118.1001/ENG-42"}, "GE_eventTime": {"2026-01-01T00:00:00Z"}, "GE_value_FAH": {"70"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !q.Match(e) {
			b.Fatal("no match")
		}
	}
}
