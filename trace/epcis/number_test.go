package epcis

import "testing"

// TestHashText: how a text of any meaning stands in the prehash.
func TestHashText(t *testing.T) {
	for text, want := range map[string]string{
		"abc": "abc", " abc ": "abc", "12.50": "12.5", "0012": "12", "+1.0": "1", "-0": "0", "1e3": "1000", "0.00001": "1e-05", "0.0001": "0.0001", "1-2": "1-2", "2026-01-01": "2026-01-01",
		"81200000000000000001": "81200000000000000001", "81200000000000000002": "81200000000000000002", "nan": "nan", "1e999": "1e999", "0x1f": "0x1f",
		"urn:epc:id:giai:4012345.ABC": "https://id.gs1.org/8004/4012345ABC", "https://example.com/01/04012345111118/21/9876?x=1": "https://id.gs1.org/01/04012345111118/21/9876",
		"urn:epcglobal:cbv:disp:in_transit": "https://ref.gs1.org/cbv/Disp-in_transit", "gs1:Temperature": "https://gs1.org/voc/Temperature", "https://example.com/a": "https://example.com/a",
	} {
		for _, kind := range []ValueKind{Text, Number} {
			e := Event{Extensions: []Field{{Name: "a", Value: Value{Kind: kind, Text: text}}}}
			if got := string(AppendPrehash(nil, &e)); got != "a="+want {
				t.Errorf("%q is %q, not %q", text, got, want)
			}
		}
	}
	e := Event{Sensors: []SensorElement{{Reports: []SensorReport{{StringValue: "111100001111000011110000"}}}}}
	if got := string(AppendPrehash(nil, &e)); got != "sensorElementListsensorElementsensorReportstringValue=111100001111000003641344" {
		t.Error(got) // as the published hash has it
	}
}
