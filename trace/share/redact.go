package share

import (
	"github.com/fujie-id/fujie/trace/epcis"
)

// Redact is what somebody sees of e at a level: nil for Nothing; for Exists its time and its hash in the place of its ID; for Trace type, ID, times,
// action, things without amounts, and who and where had it next: places, sources and destinations. Business steps, dispositions, documents, amounts,
// measurements, master data and extensions are contents. For Contents it is e itself. e is not changed.
func Redact(e *epcis.Event, l Level) *epcis.Event {
	switch l {
	case Contents:
		return e
	case Exists:
		return &epcis.Event{ID: epcis.Hash(e), Time: e.Time, TimeZoneOffset: e.TimeZoneOffset}
	case Trace:
		out := &epcis.Event{Type: e.Type, ID: e.ID, Time: e.Time, TimeZoneOffset: e.TimeZoneOffset, RecordTime: e.RecordTime, Action: e.Action,
			Parent: e.Parent, EPCs: e.EPCs, Quantities: classes(e.Quantities), InputEPCs: e.InputEPCs, OutputEPCs: e.OutputEPCs,
			InputQuantities: classes(e.InputQuantities), OutputQuantities: classes(e.OutputQuantities), TransformationID: e.TransformationID,
			ReadPoint: place(e.ReadPoint), BizLocation: place(e.BizLocation), Sources: e.Sources, Destinations: e.Destinations}
		if e.Error != nil { // that it was wrong, not why
			out.Error = &epcis.ErrorDeclaration{Time: e.Error.Time, Corrections: e.Error.Corrections}
		}
		if e.Type == epcis.TransactionEvent { // which is none without a document
			out.Transactions = []epcis.Transaction{{ID: Withheld}}
		}
		return out
	}
	return nil
}

// Withheld stands in the place of what an event must have and somebody may not see.
const Withheld = "urn:fujie:withheld"

func classes(qs []epcis.Quantity) []epcis.Quantity {
	var out []epcis.Quantity
	for _, q := range qs {
		out = append(out, epcis.Quantity{Class: q.Class})
	}
	return out
}

func place(l *epcis.Location) *epcis.Location {
	if l == nil {
		return nil
	}
	return &epcis.Location{ID: l.ID}
}
