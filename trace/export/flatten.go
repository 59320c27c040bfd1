package export

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// mostDigits is how long an exact number may be; a longer one is no measurement, and has its nearest double only.
const mostDigits = 1000

// clean is text as every form of an export can hold it.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\u2400")
	}
	return s
}

// text is clean s, counted.
func (r *rows) text(s string) string {
	r.size += len(s) + 8
	return clean(s)
}

// key is the canonical form of an identifier.
func (r *rows) key(s string) string {
	if s == "" {
		return ""
	}
	return r.text(epcis.Key(s))
}

// keyOf names the row of an event: what the event is and, of an error declaration, what it declares, so that both exports of a history and of a repository name it alike.
func keyOf(e *epcis.Event, hash string) string {
	h := sha256.New()
	for _, s := range []string{cmp.Or(e.ID, hash), hash} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	if d := e.Error; d != nil {
		fmt.Fprintf(h, "%d:%d:%s", d.Time.UnixMilli(), len(d.Reason), d.Reason)
		for _, c := range d.Corrections {
			fmt.Fprintf(h, "%d:%s", len(c), c)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func instant(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	u := t.UnixMicro()
	return &u
}

func float(d epcis.Decimal) *float64 {
	if f, ok := d.Float(); ok {
		return &f
	}
	return nil
}

func exact(d epcis.Decimal) string {
	if !d.IsValid() {
		return ""
	}
	if s := string(d.Normal()); len(s) <= mostDigits {
		return s
	}
	return ""
}

// there is t on the clock of its place.
func there(t time.Time, offset string) time.Time {
	if at, err := time.Parse("-07:00", offset); err == nil {
		_, seconds := at.Zone()
		return t.In(time.FixedZone("", seconds))
	}
	return t
}

// days since 1970-01-01 of the date that t shows.
func days(t time.Time) int32 {
	y, m, d := t.Date()
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400) // exact: whole days
}

// fill makes the rows of one event. key is keyOf it.
func (r *rows) fill(n *Item, key string) {
	r.reset()
	e := n.Event
	local := there(e.Time, e.TimeZoneOffset)
	year, week := local.ISOWeek()
	weekday := int32(local.Weekday())
	if weekday == 0 {
		weekday = 7
	}
	r.event = Event{EventKey: key, EventID: r.text(e.ID), Hash: r.text(n.Hash), Type: r.text(string(e.Type)), Action: r.text(string(e.Action)), EventTime: e.Time.UnixMicro(),
		TimeZoneOffset: r.text(e.TimeZoneOffset), LocalTime: local.Format(time.RFC3339Nano), Day: days(local), Hour: int32(local.Hour()), Weekday: weekday, ISOWeek: fmt.Sprintf("%04d-W%02d", year, week),
		RecordTime: instant(e.RecordTime), BizStep: r.text(e.BizStep), Disposition: r.text(e.Disposition), TransformationID: r.text(e.TransformationID), CapturedBy: r.text(n.By)}
	r.size += 256
	if n.Sequence != 0 {
		s := int64(n.Sequence)
		r.event.Sequence = &s
	}
	if e.ReadPoint != nil {
		r.event.ReadPoint = r.key(e.ReadPoint.ID)
		r.fields("readPoint", e.ReadPoint.Extensions)
	}
	if e.BizLocation != nil {
		r.event.BizLocation = r.key(e.BizLocation.ID)
		r.fields("bizLocation", e.BizLocation.Extensions)
	}
	r.allThings(e)
	r.event.Things = int32(len(r.things))
	r.allRelations(e)
	for i := range e.Sensors {
		r.sensor(&e.Sensors[i], i+1)
	}
	r.fields("ilmd", e.ILMD)
	r.fields("event", e.Extensions)
	if d := e.Error; d != nil {
		// A declaration without a time still is one.
		at := d.Time
		if at.IsZero() {
			at = cmp.Or(e.RecordTime, e.Time)
		}
		r.event.ErrorTime, r.event.ErrorReason = instant(at), r.text(d.Reason)
		r.fields("errorDeclaration", d.Extensions)
	}
}

func (r *rows) thing(role epcis.Role, name string, q *epcis.Quantity) {
	t := Thing{EventKey: r.event.EventKey, Position: int32(len(r.things) + 1), Role: role.String(), Thing: r.key(name), AsWritten: r.text(name)}
	r.size += 96
	if q != nil {
		t.Quantity, t.Exact, t.Unit = float(q.Quantity), exact(q.Quantity), r.text(q.Unit)
	}
	r.things = append(r.things, t)
}

func (r *rows) allThings(e *epcis.Event) {
	quantities := [][]epcis.Quantity{e.Quantities, e.InputQuantities, e.OutputQuantities}
	for role, name := range e.Names() {
		if !role.IsClass() {
			r.thing(role, name, nil)
			continue
		}
		for len(quantities[0]) == 0 {
			quantities = quantities[1:]
		}
		// Names gives classes in the order of the lists.
		r.thing(role, name, &quantities[0][0])
		quantities[0] = quantities[0][1:]
	}
}

func (r *rows) relation(kind, typ, other, written string) {
	r.size += 96
	r.relations = append(r.relations, Relation{EventKey: r.event.EventKey, Position: int32(len(r.relations) + 1), Kind: kind, Type: r.text(typ), Other: r.text(other), AsWritten: r.text(written)})
}

func (r *rows) allRelations(e *epcis.Event) {
	for _, t := range e.Transactions {
		r.relation("transaction", t.Type, epcis.Key(t.ID), t.ID)
	}
	for _, p := range e.Sources {
		r.relation("source", p.Type, epcis.Key(p.ID), p.ID)
	}
	for _, p := range e.Destinations {
		r.relation("destination", p.Type, epcis.Key(p.ID), p.ID)
	}
	for _, c := range e.Certification {
		r.relation("certification", "", c, c)
	}
	if e.Error != nil {
		for _, c := range e.Error.Corrections {
			r.relation("correction", "", c, c)
		}
	}
	if p := e.PersistentDispositions; p != nil {
		for _, s := range p.Set {
			r.relation("disposition", "set", s, s)
		}
		for _, s := range p.Unset {
			r.relation("disposition", "unset", s, s)
		}
	}
}

func (r *rows) sensor(s *epcis.SensorElement, element int) {
	place := fmt.Sprintf("sensor[%d]", element)
	m := s.Metadata
	if m == nil {
		m = &epcis.SensorMetadata{}
	}
	r.fields(place+".metadata", m.Extensions)
	reports := s.Reports
	if len(reports) == 0 {
		reports = []epcis.SensorReport{{}}
	}
	for i := range reports {
		p := &reports[i]
		r.size += 256
		at := p.Time
		if at.IsZero() {
			at = m.Time
		}
		r.sensors = append(r.sensors, Sensor{EventKey: r.event.EventKey, Position: int32(len(r.sensors) + 1), Element: int32(element), Type: r.text(p.Type), Exception: r.text(p.Exception),
			Time: instant(at), StartTime: instant(m.Start), EndTime: instant(m.End), Device: r.key(cmp.Or(p.DeviceID, m.DeviceID)), Value: float(p.Value), Exact: exact(p.Value), Unit: r.text(p.Unit),
			Component: r.text(p.Component), StringValue: r.text(p.StringValue), BooleanValue: p.BooleanValue, HexBinaryValue: r.text(p.HexBinaryValue), URIValue: r.text(p.URIValue),
			MinValue: float(p.MinValue), MaxValue: float(p.MaxValue), MeanValue: float(p.MeanValue), StdDev: float(p.SDev), PercRank: float(p.PercRank), PercValue: float(p.PercValue),
			Microorganism: r.text(p.Microorganism), ChemicalSubstance: r.text(p.ChemicalSubstance), Coordinates: r.text(p.CoordinateReferenceSystem),
			DeviceMetadata: r.text(cmp.Or(p.DeviceMetadata, m.DeviceMetadata)), RawData: r.text(cmp.Or(p.RawData, m.RawData)),
			Processing: r.text(cmp.Or(p.DataProcessingMethod, m.DataProcessingMethod)), BizRules: r.text(cmp.Or(p.BizRules, m.BizRules))})
		r.fields(fmt.Sprintf("%s.report[%d]", place, i+1), p.Extensions)
	}
	r.fields(place, s.Extensions)
}

// fields adds the values of fields of other namespaces that stand at a place.
func (r *rows) fields(place string, list []epcis.Field) {
	for i := range list {
		f := &list[i]
		r.values(Extension{EventKey: r.event.EventKey, Place: place, Namespace: r.text(f.Space), Field: r.text(f.Name)}, f.Name, &f.Value)
	}
}

var kindNames = map[epcis.ValueKind]string{epcis.Null: "null", epcis.Text: "text", epcis.Number: "number", epcis.Bool: "bool", epcis.Object: "object", epcis.List: "list"}

// values adds a row for each value at or below one. x has what all of them share.
func (r *rows) values(x Extension, path string, v *epcis.Value) {
	for i := range v.Attrs {
		r.values(x, path+"/@"+strings.TrimPrefix(v.Attrs[i].Name, "@"), &v.Attrs[i].Value)
	}
	switch {
	case v.Kind == epcis.Object && len(v.Fields) > 0:
		for i := range v.Fields {
			r.values(x, path+"/"+v.Fields[i].Name, &v.Fields[i].Value)
		}
		return
	case v.Kind == epcis.List && len(v.Items) > 0:
		for i := range v.Items {
			r.values(x, path+"["+strconv.Itoa(i+1)+"]", &v.Items[i])
		}
		return
	}
	r.size += 128
	x.Position, x.Path, x.Kind, x.Value = int32(len(r.extensions)+1), r.text(path), kindNames[v.Kind], r.text(v.Text)
	if v.Kind == epcis.Number || v.Kind == epcis.Text {
		x.Number = float(epcis.Decimal(v.Text))
	}
	r.extensions = append(r.extensions, x)
}
