package epcis

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/problem"
)

// TestFaults: faults are an error of the caller's, in both languages, and an event is told at most 32 of them.
func TestFaults(t *testing.T) {
	var bad []string
	for i := range 100 {
		bad = append(bad, fmt.Sprintf(`"no id %d"`, i))
	}
	_, faults := readText(t, `[{"type":"ObjectEvent","eventTime":"2026-07-22T06:45:00+02:00","eventTimeZoneOffset":"+02:00","action":"ADD","epcList":[`+strings.Join(bad, ",")+`]}]`)
	if len(faults) != 32 {
		t.Errorf("%d faults", len(faults))
	}
	err := faults.Err()
	if !problem.Is(err, problem.BadRequest) || !strings.Contains(problem.Say(err, problem.Chinese), "不是标识") || !strings.Contains(err.Error(), "and 29 more") {
		t.Errorf("%v", err)
	}
	var p *problem.Error
	if errors.As(Faults(nil), &p) || Faults(nil).Err() != nil {
		t.Error("no fault is an error")
	}
}

// TestRules: each broken rule is told, at its place, by its name.
func TestRules(t *testing.T) {
	change := func(f func(*Event)) *Event {
		e := plainEvent()
		f(e)
		return e
	}
	for _, c := range []struct {
		e    *Event
		want string
	}{
		{plainEvent(), ""},
		{change(func(e *Event) { e.Type = "" }), "/type required"},
		{change(func(e *Event) { e.Type = "Event" }), "/type type"},
		{change(func(e *Event) { e.TimeZoneOffset = "+15:00" }), "/eventTimeZoneOffset offset"},
		{change(func(e *Event) { e.TimeZoneOffset = "+14:00" }), ""},
		{change(func(e *Event) { e.ID = "two words" }), "/eventID uri"},
		{change(func(e *Event) { e.Parent = "urn:a:b" }), "/parentID field"},
		{change(func(e *Event) { e.ILMD = []Field{{Name: "a"}} }), "/ilmd ilmd"},
		{change(func(e *Event) { e.EPCs = nil }), "/epcList required"},
		{change(func(e *Event) {
			e.EPCs, e.Sensors = nil, []SensorElement{{Reports: []SensorReport{{Type: "Temperature"}}}}
		}), ""},
		{change(func(e *Event) { e.Sensors = []SensorElement{{}} }), "/sensorElementList/0/sensorReport required"},
		{change(func(e *Event) {
			e.Sensors = []SensorElement{{Reports: []SensorReport{{Type: "Speed", MinValue: "2", MaxValue: "1"}}}}
		}), "/sensorElementList/0/sensorReport/0/minValue range"},
		{change(func(e *Event) {
			e.Sensors = []SensorElement{{Reports: []SensorReport{{Type: "Speed", HexBinaryValue: "xy"}}}}
		}), "/sensorElementList/0/sensorReport/0/hexBinaryValue hexBinary"},
		{change(func(e *Event) {
			e.Sensors = []SensorElement{{Metadata: &SensorMetadata{Start: e.Time, End: e.Time.Add(-1)}, Reports: []SensorReport{{Type: "Speed"}}}}
		}), "/sensorElementList/0/sensorMetadata/endTime time"},
		{change(func(e *Event) { e.Quantities = []Quantity{{Class: "urn:a:b", Quantity: "1.5"}} }), "/quantityList/0/quantity quantity"},
		{change(func(e *Event) { e.Quantities = []Quantity{{Class: "urn:a:b", Quantity: "-1", Unit: "KGM"}} }), "/quantityList/0/quantity quantity"},
		{change(func(e *Event) { e.Quantities = []Quantity{{Class: "urn:a:b", Quantity: "1", Unit: "kg"}} }), "/quantityList/0/uom uom"},
		{change(func(e *Event) { e.Quantities = []Quantity{{Class: "urn:a:b", Unit: "KGM"}} }), "/quantityList/0/quantity required"},
		{change(func(e *Event) { e.Quantities = []Quantity{{Quantity: "1"}} }), "/quantityList/0/epcClass required"},
		{change(func(e *Event) { e.BizStep = "urn:epcglobal:cbv:bizstep:flying" }), "/bizStep word"},
		{change(func(e *Event) { e.ReadPoint.ID = "" }), "/readPoint/id required"},
		{change(func(e *Event) { e.Sources = []Party{{ID: "urn:a:b"}} }), "/sourceList/0/type required"},
		{change(func(e *Event) { e.Destinations = []Party{{Type: "location"}} }), "/destinationList/0/destination required"},
		{change(func(e *Event) { e.Transactions[0].ID = "" }), "/bizTransactionList/0/bizTransaction required"},
		{change(func(e *Event) { e.Error = &ErrorDeclaration{Reason: "bored"} }), "/errorDeclaration/declarationTime required /errorDeclaration/reason word"},
		{change(func(e *Event) { e.PersistentDispositions = &PersistentDisposition{} }), "/persistentDisposition required"},
		{change(func(e *Event) { e.Type = AggregationEvent }), ""},
		{change(func(e *Event) { e.Type, e.Action = AggregationEvent, Add }), "/parentID required"},
		{change(func(e *Event) { e.Type = AssociationEvent }), "/parentID required"},
		{change(func(e *Event) { e.Type, e.Parent, e.EPCs = AssociationEvent, "urn:a:b", nil }), "/childEPCs required"},
		{change(func(e *Event) {
			e.Type, e.Parent, e.EPCs, e.Action = AssociationEvent, "urn:a:b", nil, Delete
		}), ""},
		{change(func(e *Event) { e.Type, e.Transactions = TransactionEvent, nil }), "/bizTransactionList required"},
		{change(func(e *Event) { e.Type = TransformationEvent }), "/action field /epcList field /inputEPCList required /outputEPCList required"},
		{&Event{Type: TransformationEvent, Time: plainEvent().Time, TimeZoneOffset: "+08:00", TransformationID: "urn:a:b", InputEPCs: []string{"urn:a:c"}}, ""},
	} {
		var got []string
		for _, f := range Validate(c.e) {
			got = append(got, f.Path+" "+f.Rule)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q, want %q", s, c.want)
		}
	}
}
