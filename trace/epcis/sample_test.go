package epcis

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sample is a random valid event.
func sample(r *rand.Rand) *Event {
	pick := func(kind WordKind) string {
		w := Words(kind)
		if r.IntN(8) == 0 {
			return "https://own.example/words#" + w[r.IntN(len(w))]
		}
		return w[r.IntN(len(w))]
	}
	thing := func() string {
		n := r.IntN(1000)
		switch r.IntN(6) {
		case 0:
			return fmt.Sprintf("urn:epc:id:sgtin:4012345.%06d.S%d", n, r.IntN(1e6))
		case 1:
			return fmt.Sprintf("https://shop.example/01/0401234511%04d/21/S%%2F%d", n, r.IntN(1e6))
		case 2:
			return fmt.Sprintf("88.118.%d/ENG-%d", n, r.IntN(1e6))
		case 3:
			return fmt.Sprintf("hdl:88.118.%d/ENG-%d", n, r.IntN(1e6))
		case 4:
			return fmt.Sprintf("urn:epc:id:sscc:4012345.%010d", r.IntN(1e9))
		}
		return fmt.Sprintf("urn:uuid:%d-%d", n, r.IntN(1e6))
	}
	things := func(least int) []string {
		var out []string
		for n := least + r.IntN(5); n > 0; n-- {
			if s := thing(); !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		return out
	}
	quantities := func() (out []Quantity) {
		for range r.IntN(3) {
			q := Quantity{Class: fmt.Sprintf("urn:epc:class:lgtin:4012345.012345.L%d", r.IntN(100))}
			switch r.IntN(3) {
			case 0:
				q.Quantity = Decimal(fmt.Sprint(r.IntN(1000)))
			case 1:
				q.Quantity, q.Unit = Decimal(fmt.Sprintf("%d.%02d0", r.IntN(100), r.IntN(100))), "KGM"
			}
			out = append(out, q)
		}
		return out
	}
	spaces := map[string]string{"ex": "https://ns.example.com/epcis/", "no-slash": "https://ns.example.org/epcis", "cbvmda": "urn:epcglobal:cbv:mda:"}
	var fields func(depth int) []Field
	value := func(depth int) Value {
		switch k := r.IntN(6); {
		case k == 0:
			return Value{Kind: Number, Text: fmt.Sprintf("%d.50", r.IntN(10))}
		case k == 1:
			return Value{Kind: Bool, Text: "true"}
		case k == 2 && depth > 0:
			return Value{Kind: Object, Fields: fields(depth - 1)}
		case k == 3:
			return Value{Kind: List, Items: []Value{{Kind: Text, Text: text(r)}, {Kind: Text, Text: text(r)}}}
		case k == 4:
			return Value{Kind: Text, Text: text(r), Attrs: []Field{{Name: "unit", Value: Value{Kind: Text, Text: "KGM"}}}}
		}
		return Value{Kind: Text, Text: text(r)}
	}
	fields = func(depth int) []Field {
		var out []Field
		for i := range 1 + r.IntN(3) {
			prefix := []string{"ex", "no-slash", "cbvmda"}[r.IntN(3)]
			out = append(out, Field{Space: spaces[prefix], Name: fmt.Sprintf("f%d", i), Prefix: prefix, Value: value(depth)})
		}
		return out
	}
	maybe := func() []Field {
		if r.IntN(3) == 0 {
			return fields(2)
		}
		return nil
	}
	at := time.Date(2020+r.IntN(10), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000)*1e6, zones[r.IntN(len(zones))])
	e := &Event{Type: []EventType{ObjectEvent, AggregationEvent, TransactionEvent, TransformationEvent, AssociationEvent}[r.IntN(5)], Time: at, TimeZoneOffset: "+08:00"}
	if e.Type != TransformationEvent {
		e.Action = []Action{Add, Observe, Delete}[r.IntN(3)]
		e.EPCs, e.Quantities = things(1), quantities()
	} else {
		e.InputEPCs, e.InputQuantities, e.OutputEPCs, e.OutputQuantities = things(1), quantities(), things(1), quantities()
	}
	if e.Type.hasChildren() {
		e.Parent = thing()
	}
	if r.IntN(2) == 0 {
		e.BizStep, e.Disposition = pick(BizStep), pick(Disposition)
	}
	if e.Type == TransactionEvent || r.IntN(4) == 0 {
		e.Transactions = []Transaction{{Type: pick(TransactionType), ID: "urn:epcglobal:cbv:bt:1:2"}, {ID: thing()}}
	}
	if r.IntN(2) == 0 {
		e.ReadPoint = &Location{ID: "urn:epc:id:sgln:4012345.00005.0", Extensions: maybe()}
		e.Sources = []Party{{pick(PartyType), thing()}}
		e.Destinations = []Party{{pick(PartyType), thing()}, {"location", "https://x.example/414/4012345000054"}}
	}
	if r.IntN(4) == 0 {
		e.PersistentDispositions = &PersistentDisposition{Set: []string{"recalled"}}
		e.Certification = things(1)
		e.Error = &ErrorDeclaration{Time: at, Reason: pick(ErrorReason), Corrections: things(0), Extensions: maybe()}
		e.RecordTime = at
		e.ID = "urn:uuid:1"
	}
	if r.IntN(3) == 0 {
		yes := r.IntN(2) == 0
		e.Sensors = []SensorElement{{Metadata: &SensorMetadata{Time: at, DeviceID: thing(), Extensions: maybe()}, Extensions: maybe(),
			Reports: []SensorReport{{Type: pick(Measurement), Value: "13.20", Unit: "CEL", BooleanValue: &yes, HexBinaryValue: "f0", Component: pick(Component), Extensions: maybe()}, {Type: "Temperature", Exception: "ALARM_CONDITION", MinValue: "-1e-1", MaxValue: "1"}}}}
	}
	if e.Type == TransformationEvent || e.Type == ObjectEvent && e.Action == Add {
		e.ILMD = maybe()
	}
	e.Extensions = maybe()
	p := &reader{}
	e.Namespaces = p.namespaces(e)
	return e
}

// TestRoundTrip: any valid event is written and read back as itself, alone and in documents, and its hash heeds neither the spelling of identifiers nor the order of lists.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		e := sample(r)
		if f := Validate(e); len(f) > 0 {
			t.Fatal(f)
		}
		text := AppendEventJSON(nil, e, Format{})
		back, err := ParseEventJSON(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if again := AppendEventJSON(nil, back, Format{}); !bytes.Equal(again, text) {
			t.Fatalf("another event:\n%s\n%s", text, again)
		}
		hash := Hash(e)
		if Hash(back) != hash {
			t.Fatalf("another hash:\n%s\n%s", AppendPrehash(nil, e), AppendPrehash(nil, back))
		}
		links, err := ParseEventJSON(AppendEventJSON(nil, e, Format{EPC: AlwaysDigitalLink}))
		if err != nil || Hash(links) != hash {
			t.Fatalf("as links: %v\n%s", err, text)
		}
		if string(AppendPrehash([]byte("x"), e)) != "x"+string(AppendPrehash(nil, e)) {
			t.Fatal("AppendPrehash does not append")
		}
		for _, list := range [][]string{links.EPCs, links.InputEPCs, links.OutputEPCs} {
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		r.Shuffle(len(links.Extensions), func(i, j int) {
			links.Extensions[i], links.Extensions[j] = links.Extensions[j], links.Extensions[i]
		})
		slices.Reverse(links.Transactions)
		slices.Reverse(links.Destinations)
		links.ID, links.RecordTime, links.Error = "urn:x:y", time.Time{}, nil
		links.Time = links.Time.UTC()
		if Hash(links) != hash {
			t.Fatalf("the order matters:\n%s\n%s", AppendPrehash(nil, e), AppendPrehash(nil, links))
		}
		if links.TimeZoneOffset = "+01:00"; Hash(links) == hash {
			t.Fatal("a change leaves the hash as it is")
		}
		doc := &Document{SchemaVersion: "2.0", Created: e.Time, Events: []Event{*e, *sample(r)}}
		again, faults, err := ReadJSON(bytes.NewReader(AppendJSON(nil, doc, Format{})), Limits{})
		if err != nil || len(faults) > 0 || len(again.Events) != 2 || Hash(&again.Events[0]) != hash || Hash(&again.Events[1]) != Hash(&doc.Events[1]) {
			t.Fatal(err, faults)
		}
	})
}

// TestOtherPrefixes: two events that mean different things by one prefix, and one that means something else than the standard's context, keep their meanings in one document.
func TestOtherPrefixes(t *testing.T) {
	var events []Event
	for i, space := range []string{"https://a.example/", "https://b.example/x", "urn:epcglobal:cbv:mda:", "https://c.example/"} {
		e := Event{Type: ObjectEvent, Time: time.Unix(1e9, 0), TimeZoneOffset: "+00:00", Action: Observe, EPCs: []string{"urn:a:b"},
			Extensions: []Field{{Space: space, Name: "f", Prefix: []string{"ex", "cbvmda"}[i/2], Value: Value{Kind: Text, Text: "v"}}}}
		events = append(events, e)
	}
	events[0].Extensions = append(events[0].Extensions, Field{Space: "https://free.example/#", Name: "whole", Value: Value{Kind: Object}})
	back, faults := readText(t, string(AppendJSON(nil, &Document{Events: events, Created: events[0].Time}, Format{})))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for i := range events {
		if Hash(&back.Events[i]) != Hash(&events[i]) {
			t.Errorf("%s became %s", AppendPrehash(nil, &events[i]), AppendPrehash(nil, &back.Events[i]))
		}
	}
}

// TestUnreadable: what is no document is an error that says where, not a panic; limits hold.
func TestUnreadable(t *testing.T) {
	for _, s := range []string{"", "x", "{", "[", `"x"`, "[{}] x", `{"a":}`, `{"a":1,}`, `{"a" 1}`, "[1 2]", `{"a":"\x"}`, `{"a":"\u12"}`, "{\"a\":\"\n\"}", `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":tru}`, "\xff", strings.Repeat("[", 100), `{"a":` + strings.Repeat("[", 100), "{\"a\":\"\xff\"}", `{"`} {
		if doc, _, err := ReadJSON(strings.NewReader(s), Limits{}); err == nil || doc != nil {
			t.Errorf("%q is read", s)
		}
	}
	one := `{"type":"ObjectEvent","eventTime":"2026-07-22T06:45:00+02:00","eventTimeZoneOffset":"+02:00","action":"ADD","epcList":["urn:a:b"]}`
	for _, lim := range []Limits{{Bytes: 10}, {Events: 1}, {FieldsPerEvent: 3}, {Depth: 2}} {
		if _, _, err := ReadJSON(strings.NewReader("["+one+","+one+"]"), lim); err == nil {
			t.Errorf("%+v does not hold", lim)
		}
	}
	for _, s := range []string{`{}`, `[1]`, `[null]`, `{"type":"EPCISDocument"}`, `{"type":"EPCISDocument","epcisBody":{"eventList":{}}}`, `{"epcisBody":{}}`, `{"type":1}`,
		strings.Replace(one, `"ADD"`, `null`, 1), strings.Replace(one, `"ADD"`, `"ADD","action":"ADD"`, 1), strings.Replace(one, `"ADD"`, `"ADD","ex:f":1`, 1),
		strings.Replace(one, `"ADD"`, `"ADD","@context":["https://own.example/ctx.jsonld"],"ex:f":1`, 1), strings.Replace(one, `"urn:a:b"`, `"urn:a:b","urn:a:b"`, 1)} {
		doc, faults, err := ReadJSON(strings.NewReader(s), Limits{})
		if err != nil || len(faults) == 0 || len(doc.Events) > 0 || faults.Err() == nil {
			t.Errorf("%s: %v, %v", s, err, faults)
		}
	}
	if _, faults := readText(t, strings.Replace(one, `"ADD"`, `"ADD","@context":["https://own.example/ctx.jsonld"],"ex:f":1`, 1)); !strings.Contains(faults.Error(), "own.example") {
		t.Errorf("the context that was not fetched is not named: %v", faults)
	}
}

func FuzzReadJSON(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		f.Add(AppendEventJSON(nil, sample(r), Format{}))
	}
	f.Add(AppendJSON(nil, &Document{Query: &QueryResult{QueryName: "q"}, Events: []Event{*sample(r)}}, Format{}))
	f.Add([]byte(`{"@context":["x:y",{"ex":"urn:z:"}],"type":"EPCISDocument","ex:a":{"@b":1,"#text":"c"},"epcisBody":{"eventList":[{"type":"ObjectEvent","ex:\u00e9":[[null]]}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, faults, err := ReadJSON(bytes.NewReader(b), Limits{Bytes: 1 << 20})
		if err != nil {
			return
		}
		for _, x := range faults {
			if x.EN == "" || x.ZH == "" || x.Rule == "" {
				t.Errorf("a fault without words: %+v", x)
			}
		}
		text := AppendJSON(nil, doc, Format{})
		back, faults, err := ReadJSON(bytes.NewReader(text), Limits{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, x := range faults {
			if x.Event >= 0 {
				t.Errorf("what was written is refused: %+v\n%s", x, text)
			}
		}
		if again := AppendJSON(nil, back, Format{}); !bytes.Equal(again, text) {
			t.Errorf("the second writing differs:\n%s\n%s", text, again)
		}
		if len(back.Events) != len(doc.Events) {
			t.Fatalf("%d events became %d\n%s", len(doc.Events), len(back.Events), text)
		}
		for i := range doc.Events {
			if Hash(&doc.Events[i]) != Hash(&back.Events[i]) {
				t.Errorf("another hash:\n%s\n%s", AppendPrehash(nil, &doc.Events[i]), AppendPrehash(nil, &back.Events[i]))
			}
		}
	})
}

func plainEvent() *Event {
	return &Event{Type: ObjectEvent, Time: time.Date(2026, 7, 22, 6, 45, 0, 0, zones[14*60+480]), TimeZoneOffset: "+08:00", Action: Observe, BizStep: "shipping", Disposition: "in_transit",
		EPCs: []string{"urn:epc:id:sgtin:4012345.011111.1", "urn:epc:id:sgtin:4012345.011111.2", "https://id.gs1.org/01/04012345111118/21/3"}, ReadPoint: &Location{ID: "urn:epc:id:sgln:4012345.00005.0"},
		BizLocation: &Location{ID: "urn:epc:id:sgln:4012345.00005.0"}, Transactions: []Transaction{{"po", "urn:epcglobal:cbv:bt:4012345000009:1"}}}
}

func BenchmarkHash(b *testing.B) {
	e := plainEvent()
	b.ReportAllocs()
	for b.Loop() {
		Hash(e)
	}
}

// BenchmarkReadJSON reads and validates documents of 1,000 plain events.
func BenchmarkReadJSON(b *testing.B) {
	doc := &Document{Created: time.Unix(1e9, 0)}
	for range 1000 {
		doc.Events = append(doc.Events, *plainEvent())
	}
	text := AppendJSON(nil, doc, Format{})
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		got, faults, err := ReadJSON(bytes.NewReader(text), Limits{})
		if err != nil || len(faults) > 0 {
			b.Fatal(err, faults)
		}
		n += len(got.Events)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkAppendJSON(b *testing.B) {
	e := plainEvent()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendEventJSON(dst[:0], e, Format{})
	}
}

func BenchmarkKey(b *testing.B) {
	for b.Loop() {
		Key("urn:epc:id:sgtin:4012345.011111.9876")
	}
}
