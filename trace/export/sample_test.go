package export

import (
	"context"
	"fmt"
	"iter"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/trace/epcis"
)

var noon = time.Date(2026, 11, 22, 4, 0, 0, 123456000, time.UTC)

// nasty are texts that break what does not escape them.
var nasty = rapid.OneOf(rapid.SampledFrom([]string{"", "'", "''", `\`, `\\`, `\.`, "\n\\.\n", `\N`, "NULL", "a\tb\nc\r\n", `";DROP TABLE events;--`, "');", "酒 🍶", "\x00", "a\x00b", "\xff\xfe", "$$", `\'`, "\u2028\u0085", "\b\f\v", "{}", "\ufffd", " x "}),
	rapid.String(), rapid.SampledFrom([]string{"shipping", "88.118.1001/A-1", "https://id.gs1.org/01/09520000000004/21/7"}))

var numbers = rapid.SampledFrom([]epcis.Decimal{"", "0", "12.50", "-18.5", "1e3", "1e-7", "123456789012345678901234567890.000000001", "9e400", "12a", "-0", "1e308"})

var times = rapid.Custom(func(t *rapid.T) time.Time {
	at := rapid.SampledFrom([]time.Time{noon, time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}).Draw(t, "base")
	return at.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "later"))).In(time.FixedZone("", rapid.IntRange(-14, 14).Draw(t, "zone")*3600))
})

func list[T any](t *rapid.T, label string, one func() T) (out []T) {
	for range rapid.IntRange(0, 3).Draw(t, label) {
		out = append(out, one())
	}
	return out
}

func drawValue(t *rapid.T, depth int) epcis.Value {
	kind := rapid.SampledFrom([]epcis.ValueKind{epcis.Null, epcis.Text, epcis.Number, epcis.Bool, epcis.Object, epcis.List}).Draw(t, "kind")
	v := epcis.Value{Kind: kind}
	switch kind {
	case epcis.Text:
		v.Text = nasty.Draw(t, "text")
	case epcis.Number:
		v.Text = string(numbers.Draw(t, "number"))
	case epcis.Bool:
		v.Text = "true"
	case epcis.Object:
		if depth > 0 {
			v.Fields = list(t, "fields", func() epcis.Field {
				return epcis.Field{Name: nasty.Draw(t, "name"), Value: drawValue(t, depth-1)}
			})
		}
	case epcis.List:
		if depth > 0 {
			v.Items = list(t, "items", func() epcis.Value { return drawValue(t, depth-1) })
		}
	}
	if kind == epcis.Text && depth > 0 {
		v.Attrs = list(t, "attrs", func() epcis.Field {
			return epcis.Field{Name: "@" + nasty.Draw(t, "attr"), Value: epcis.Value{Kind: epcis.Text, Text: "a"}}
		})
	}
	return v
}

// drawEvent draws an event that no validation has seen: the writers rely on nothing.
func drawEvent(t *rapid.T) *epcis.Event {
	s := func(label string) string { return nasty.Draw(t, label) }
	fields := func() []epcis.Field {
		return list(t, "extensions", func() epcis.Field {
			return epcis.Field{Space: s("space"), Name: s("name"), Value: drawValue(t, 2)}
		})
	}
	quantities := func() []epcis.Quantity {
		return list(t, "quantities", func() epcis.Quantity {
			return epcis.Quantity{Class: s("class"), Quantity: numbers.Draw(t, "quantity"), Unit: s("unit")}
		})
	}
	names := func() []string { return list(t, "names", func() string { return s("thing") }) }
	at := times.Draw(t, "time")
	e := &epcis.Event{Type: rapid.SampledFrom([]epcis.EventType{epcis.ObjectEvent, epcis.AggregationEvent, epcis.TransactionEvent, epcis.TransformationEvent, epcis.AssociationEvent}).Draw(t, "type"),
		Action: epcis.Action(s("action")), ID: s("id"), Time: at, TimeZoneOffset: rapid.SampledFrom([]string{"", "+08:00", "-03:30", "Z", "nonsense"}).Draw(t, "offset"),
		Parent: s("parent"), EPCs: names(), Quantities: quantities(), InputEPCs: names(), OutputEPCs: names(), InputQuantities: quantities(), OutputQuantities: quantities(),
		TransformationID: s("transformation"), BizStep: s("step"), Disposition: s("disposition"), Certification: names(),
		Transactions: list(t, "transactions", func() epcis.Transaction { return epcis.Transaction{Type: s("type"), ID: s("order")} }),
		Sources:      list(t, "sources", func() epcis.Party { return epcis.Party{Type: s("type"), ID: s("from")} }),
		Destinations: list(t, "destinations", func() epcis.Party { return epcis.Party{Type: s("type"), ID: s("to")} }),
		ILMD:         fields(), Extensions: fields()}
	if rapid.Bool().Draw(t, "places") {
		e.ReadPoint, e.BizLocation = &epcis.Location{ID: s("place"), Extensions: fields()}, &epcis.Location{ID: s("place")}
		e.PersistentDispositions = &epcis.PersistentDisposition{Set: names(), Unset: names()}
	}
	if rapid.IntRange(0, 3).Draw(t, "error") == 0 {
		e.Error = &epcis.ErrorDeclaration{Reason: s("reason"), Corrections: names(), Extensions: fields()}
		if rapid.Bool().Draw(t, "declared") {
			e.Error.Time = times.Draw(t, "declaration")
		}
	}
	e.Sensors = list(t, "sensors", func() epcis.SensorElement {
		out := epcis.SensorElement{Extensions: fields()}
		if rapid.Bool().Draw(t, "metadata") {
			out.Metadata = &epcis.SensorMetadata{Time: times.Draw(t, "sensed"), DeviceID: s("device"), Extensions: fields()}
		}
		out.Reports = list(t, "reports", func() epcis.SensorReport {
			yes := rapid.Bool().Draw(t, "yes")
			r := epcis.SensorReport{Type: s("type"), Value: numbers.Draw(t, "value"), Unit: s("unit"), StringValue: s("string"), MinValue: numbers.Draw(t, "min"), Extensions: fields()}
			if yes {
				r.BooleanValue = &yes
			}
			return r
		})
		return out
	})
	return e
}

// drawItems draws what a history would give: numbers that rise, record times that do not fall.
func drawItems(t *rapid.T, most int) []Item {
	var out []Item
	at, sequence := noon, uint64(0)
	for i := range rapid.IntRange(0, most).Draw(t, "events") {
		e := drawEvent(t)
		e.ID = fmt.Sprint(i, e.ID)
		at = at.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "pause")) * time.Millisecond)
		e.RecordTime = at
		sequence += rapid.Uint64Range(1, 3).Draw(t, "gap")
		out = append(out, Item{Sequence: sequence, Event: e, Hash: epcis.Hash(e), By: nasty.Draw(t, "by")})
	}
	return out
}

// source gives the items behind a mark.
func source(items []Item) Source {
	return func(_ context.Context, after Mark) iter.Seq2[Item, error] {
		return func(yield func(Item, error) bool) {
			for _, n := range items {
				if n.Sequence > after.Sequence && !yield(n, nil) {
					return
				}
			}
		}
	}
}

// anonymous gives them as a repository does: without numbers, from the instant of the mark on.
func anonymous(items []Item) Source {
	return func(_ context.Context, after Mark) iter.Seq2[Item, error] {
		return func(yield func(Item, error) bool) {
			for _, n := range items {
				if !n.Event.RecordTime.Before(after.RecordTime) && !yield(Item{Event: n.Event}, nil) {
					return
				}
			}
		}
	}
}

// wanted are the rows of all tables as text, in their order.
func wanted(items []Item, show func(i int, row any) string) (out [5][]string) {
	var r rows
	for i := range items {
		n := items[i]
		r.fill(&n, keyOf(n.Event, n.Hash))
		out[0] = append(out[0], show(0, r.event))
		for _, x := range r.things {
			out[1] = append(out[1], show(1, x))
		}
		for _, x := range r.relations {
			out[2] = append(out[2], show(2, x))
		}
		for _, x := range r.sensors {
			out[3] = append(out[3], show(3, x))
		}
		for _, x := range r.extensions {
			out[4] = append(out[4], show(4, x))
		}
	}
	return out
}

// show is a row as text, each field with its column's name; NULL for what is not there.
func show(_ int, row any) string {
	out := ""
	v := reflect.ValueOf(row)
	for i := range v.NumField() {
		x := "NULL"
		switch f := v.Field(i).Interface().(type) {
		case *float64:
			if f != nil {
				x = fmt.Sprint(math.Float64bits(*f))
			}
		case *int64:
			if f != nil {
				x = fmt.Sprint(*f)
			}
		case *bool:
			if f != nil {
				x = fmt.Sprint(*f)
			}
		default:
			x = fmt.Sprintf("%q", fmt.Sprint(f))
		}
		out += v.Type().Field(i).Name + "=" + x + "|"
	}
	return out
}

// same compares rows and names the first that differs.
func same(t rapid.TB, what string, got, want []string) {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s, row %d:\n%s\nwant\n%s", what, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
}

func folder(t testing.TB) func() string {
	top, n := t.TempDir(), 0
	return func() string {
		n++
		return fmt.Sprintf("%s/%d", top, n)
	}
}
