package epcis

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id/gs1"
)

// Hash is the name of an event by its contents (CBV 2.0, 8.9): ni:///sha-256;HEX?ver=CBV2.0. It is equal for two events that say the same, whatever their
// form (JSON or XML), their spelling of identifiers and words, the order in their lists, and their own eventID, recordTime and errorDeclaration.
func Hash(e *Event) string { return hashOf(e, nil) }

// HashWithout is Hash when fields of other namespaces are left out, which a document may ask for; see Document.Ignored.
func HashWithout(e *Event, ignored []Field) string { return hashOf(e, ignored) }

var scratch = sync.Pool{New: func() any { return new([]byte) }}

func hashOf(e *Event, ignored []Field) string {
	buf := scratch.Get().(*[]byte)
	*buf = appendPrehash((*buf)[:0], e, ignored)
	sum := sha256.Sum256(*buf)
	if cap(*buf) <= 1<<20 {
		scratch.Put(buf)
	}
	const head, tail = "ni:///sha-256;", "?ver=CBV2.0"
	out := make([]byte, 0, len(head)+2*len(sum)+len(tail))
	return string(append(hex.AppendEncode(append(out, head...), sum[:]), tail...))
}

// AppendPrehash appends the text that Hash hashes.
func AppendPrehash(dst []byte, e *Event) []byte { return appendPrehash(dst, e, nil) }

// Ignored are the fields that the document asks to leave out of hashes: its own field ignoreFields of any namespace, a list of names.
func (d *Document) Ignored() []Field {
	var out []Field
	all := slices.Concat(d.Extensions, d.HeaderExtensions, d.BodyExtensions)
	for i := range all {
		f := &all[i]
		if f.Name != "ignoreFields" {
			continue
		}
		items := f.Value.Items
		if f.Value.Kind == Text {
			items = []Value{f.Value}
		}
		for _, v := range items {
			if prefix, name, ok := strings.Cut(v.Text, ":"); ok && d.Namespaces[prefix] != "" {
				out = append(out, Field{Space: d.Namespaces[prefix], Name: name, Prefix: prefix})
			}
		}
		for _, k := range f.Value.Fields { // the XML form: empty elements
			out = append(out, Field{Space: k.Space, Name: k.Name, Prefix: k.Prefix})
		}
	}
	return out
}

// prehasher builds the text. Lists are written piece by piece behind what is there, sorted, and copied back.
type prehasher struct {
	b       []byte
	ignored []Field
}

type span struct{ from, to int }

// sorted calls each n times, which appends one piece each, and leaves the pieces in the order of their bytes.
func (p *prehasher) sorted(n int, each func(i int)) {
	if n == 1 {
		each(0)
		return
	}
	var few [16]span
	spans := few[:0]
	start := len(p.b)
	for i := range n {
		from := len(p.b)
		each(i)
		spans = append(spans, span{from, len(p.b)})
	}
	p.arrange(start, spans)
}

// arrange puts the pieces that were written behind start in order.
func (p *prehasher) arrange(start int, spans []span) {
	less := func(a, b span) int { return bytes.Compare(p.b[a.from:a.to], p.b[b.from:b.to]) }
	if slices.IsSortedFunc(spans, less) {
		return
	}
	slices.SortFunc(spans, less)
	end := len(p.b)
	for _, s := range spans {
		p.b = append(p.b, p.b[s.from:s.to]...)
	}
	p.b = append(p.b[:start], p.b[end:]...)
}

func (p *prehasher) add(s ...string) {
	for _, x := range s {
		p.b = append(p.b, x...)
	}
}

// field writes name=value; an absent value writes nothing.
func (p *prehasher) field(name, value string) {
	if value = strings.TrimSpace(value); value != "" {
		p.b = append(append(append(p.b, name...), '='), value...)
	}
}

// uri writes an identifier in its canonical form.
func (p *prehasher) uri(name, value string) {
	value = strings.TrimSpace(value)
	if c, ok := gs1.Canonical(value); ok {
		value = c
	} else if value != "" {
		value = Key(value)
	}
	p.field(name, value)
}

func (p *prehasher) decimal(name string, d Decimal) {
	if d != "" {
		p.b = d.appendNormal(append(append(p.b, name...), '='))
	}
}

// time writes UTC with milliseconds, rounded half up.
func (p *prehasher) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	t = t.UTC()
	ms := (t.Nanosecond() + 500_000) / 1_000_000
	t = t.Add(time.Duration(ms)*time.Millisecond - time.Duration(t.Nanosecond()))
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	ms = t.Nanosecond() / 1_000_000
	p.b = append(append(p.b, name...), '=')
	two := func(n int, after byte) { p.b = append(p.b, byte('0'+n/10), byte('0'+n%10), after) }
	p.b = append(p.b, byte('0'+year/1000%10), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-')
	two(int(month), '-')
	two(day, 'T')
	two(hour, ':')
	two(minute, ':')
	two(second, '.')
	p.b = append(p.b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

func (p *prehasher) epcs(list string, names []string) {
	if len(names) > 0 {
		p.add(list)
		p.sorted(len(names), func(i int) { p.uri("epc", names[i]) })
	}
}

func (p *prehasher) quantities(list string, q []Quantity) {
	if len(q) > 0 {
		p.add(list)
		p.sorted(len(q), func(i int) {
			p.add("quantityElement")
			p.uri("epcClass", q[i].Class)
			p.decimal("quantity", q[i].Quantity)
			p.text("uom", q[i].Unit, false)
		})
	}
}

func (p *prehasher) parties(list, name string, parties []Party) {
	if len(parties) > 0 {
		p.add(list)
		p.sorted(len(parties), func(i int) {
			p.field("type", WordURI(PartyType, parties[i].Type))
			p.uri(name, parties[i].ID)
		})
	}
}

func (p *prehasher) location(name string, l *Location) {
	if l != nil {
		p.add(name)
		p.uri("id", l.ID)
		p.extensions(l.Extensions, false)
	}
}

func appendPrehash(dst []byte, e *Event, ignored []Field) []byte {
	p := &prehasher{b: dst, ignored: ignored}
	p.field("eventType", string(e.Type))
	p.time("eventTime", e.Time)
	p.field("eventTimeZoneOffset", e.TimeZoneOffset)
	p.sorted(len(e.Certification), func(i int) { p.uri("certificationInfo", e.Certification[i]) })
	children := e.Type.hasChildren()
	if !children {
		p.epcs("epcList", e.EPCs)
	}
	p.uri("parentID", e.Parent)
	p.epcs("inputEPCList", e.InputEPCs)
	if children {
		p.epcs("childEPCs", e.EPCs)
		p.quantities("childQuantityList", e.Quantities)
	} else {
		p.quantities("quantityList", e.Quantities)
	}
	p.quantities("inputQuantityList", e.InputQuantities)
	p.epcs("outputEPCList", e.OutputEPCs)
	p.quantities("outputQuantityList", e.OutputQuantities)
	p.field("action", string(e.Action))
	p.uri("transformationID", e.TransformationID)
	p.field("bizStep", WordURI(BizStep, e.BizStep))
	p.field("disposition", WordURI(Disposition, e.Disposition))
	if d := e.PersistentDispositions; d != nil {
		p.add("persistentDisposition")
		p.sorted(len(d.Set), func(i int) { p.field("set", WordURI(Disposition, d.Set[i])) })
		p.sorted(len(d.Unset), func(i int) { p.field("unset", WordURI(Disposition, d.Unset[i])) })
	}
	p.location("readPoint", e.ReadPoint)
	p.location("bizLocation", e.BizLocation)
	if len(e.Sensors) > 0 {
		p.add("sensorElementList")
		p.sorted(len(e.Sensors), func(i int) { p.sensor(&e.Sensors[i]) })
	}
	// What follows stands in the order of its texts, as in the published hashes, whatever the table of 8.9 says: SensorDataExamples has its eleventh so.
	if t := e.Transactions; len(t) > 0 {
		p.add("bizTransactionList")
		p.sorted(len(t), func(i int) {
			p.field("type", WordURI(TransactionType, t[i].Type))
			p.uri("bizTransaction", t[i].ID)
		})
	}
	p.parties("destinationList", "destination", e.Destinations)
	if len(e.ILMD) > 0 {
		p.add("ilmd")
		p.extensions(e.ILMD, true)
	}
	p.rules(e.Sensors)
	p.parties("sourceList", "source", e.Sources)
	p.extensions(e.Extensions, true)
	return p.b
}

// rules writes the bizRules of sensor reports, for which the table of 8.9 has no place among the fields of a report: they come behind, in their parents.
func (p *prehasher) rules(list []SensorElement) {
	has := func(s *SensorElement) bool {
		return slices.ContainsFunc(s.Reports, func(r SensorReport) bool { return r.BizRules != "" })
	}
	start := len(p.b)
	p.sorted(len(list), func(i int) {
		s := &list[i]
		if !has(s) {
			return
		}
		p.add("sensorElement")
		p.sorted(len(s.Reports), func(j int) {
			if s.Reports[j].BizRules != "" {
				p.add("sensorReport")
				p.uri("bizRules", s.Reports[j].BizRules)
			}
		})
	})
	if len(p.b) > start {
		p.b = slices.Insert(p.b, start, []byte("sensorElementList")...)
	}
}

func (p *prehasher) sensor(s *SensorElement) {
	p.add("sensorElement")
	if m := s.Metadata; m != nil {
		p.add("sensorMetadata")
		p.time("time", m.Time)
		p.time("startTime", m.Start)
		p.time("endTime", m.End)
		p.uri("deviceID", m.DeviceID)
		p.uri("deviceMetadata", m.DeviceMetadata)
		p.uri("rawData", m.RawData)
		p.uri("dataProcessingMethod", m.DataProcessingMethod)
		p.uri("bizRules", m.BizRules)
		p.extensions(m.Extensions, false)
	}
	p.sorted(len(s.Reports), func(i int) {
		r := &s.Reports[i]
		p.add("sensorReport")
		p.field("type", WordURI(Measurement, r.Type))
		p.field("exception", WordURI(Exception, r.Exception))
		p.uri("deviceID", r.DeviceID)
		p.uri("deviceMetadata", r.DeviceMetadata)
		p.uri("rawData", r.RawData)
		p.uri("dataProcessingMethod", r.DataProcessingMethod)
		p.time("time", r.Time)
		p.uri("microorganism", r.Microorganism)
		p.uri("chemicalSubstance", r.ChemicalSubstance)
		p.decimal("value", r.Value)
		p.field("component", WordURI(Component, r.Component))
		p.text("stringValue", r.StringValue, true)
		if r.BooleanValue != nil {
			if *r.BooleanValue {
				p.add("booleanValue=true")
			} else {
				p.add("booleanValue=false")
			}
		}
		p.text("hexBinaryValue", r.HexBinaryValue, false)
		p.uri("uriValue", r.URIValue)
		p.decimal("minValue", r.MinValue)
		p.decimal("maxValue", r.MaxValue)
		p.decimal("meanValue", r.MeanValue)
		p.decimal("sDev", r.SDev)
		p.decimal("percRank", r.PercRank)
		p.decimal("percValue", r.PercValue)
		p.text("uom", r.Unit, false)
		p.uri("coordinateReferenceSystem", r.CoordinateReferenceSystem)
		p.extensions(r.Extensions, false)
	})
	p.extensions(s.Extensions, false)
}

// extensions write fields of other namespaces in the order of their texts. Each item of a list is a piece of its own, as if the field were repeated.
func (p *prehasher) extensions(fields []Field, top bool) {
	if len(fields) == 0 {
		return
	}
	var few [16]span
	start := len(p.b)
	p.arrange(start, p.pieces(fields, few[:0], top))
}

func (p *prehasher) pieces(fields []Field, spans []span, top bool) []span {
	for i := range fields {
		f := &fields[i]
		if top && slices.ContainsFunc(p.ignored, func(x Field) bool { return x.Name == f.Name && x.Space == f.Space }) {
			continue
		}
		if f.Name == "comment" && f.Space == builtin["rdfs"] { // a comment is no part of what happened
			continue
		}
		spans = p.piece(f, &f.Value, spans)
	}
	return spans
}

func (p *prehasher) piece(f *Field, v *Value, spans []span) []span {
	if v.Kind == List {
		for i := range v.Items {
			spans = p.piece(f, &v.Items[i], spans)
		}
		return spans
	}
	from := len(p.b)
	if f.Space != "" {
		p.add("{", f.Space, "}")
	}
	switch v.Kind {
	case Text, Number, Bool, Object:
		p.text(f.Name, v.Text, false)
		if strings.TrimSpace(v.Text) == "" {
			p.add(f.Name)
		}
	default:
		p.add(f.Name)
	}
	if len(v.Attrs)+len(v.Fields) > 0 { // attributes and elements stand among each other
		var few [16]span
		start := len(p.b)
		p.arrange(start, p.pieces(v.Attrs, p.pieces(v.Fields, few[:0], false), false))
	}
	return append(spans, span{from, len(p.b)})
}

// text writes a text of any meaning: a name of GS1 in its canonical form, a word of the CBV as its web URI, a number as number does.
func (p *prehasher) text(name, s string, rounded bool) {
	if s = strings.TrimSpace(s); s == "" {
		return
	}
	p.add(name, "=")
	if p.number(s, rounded) {
		return
	}
	if strings.IndexByte(s, ':') > 0 {
		if c, ok := gs1.Canonical(s); ok {
			s = c
		} else {
			s = webWords(s)
		}
	}
	p.add(s)
}

// webWords replaces the URNs and compact names of words in a text.
func webWords(s string) string {
	for _, kind := range [...]WordKind{BizStep, Disposition, TransactionType, PartyType, ErrorReason} {
		if strings.Contains(s, cbvURN) {
			s = strings.ReplaceAll(s, vocabularies[kind].urn, vocabularies[kind].web)
		}
	}
	if after, ok := strings.CutPrefix(s, "gs1:"); ok {
		return vocWeb + after
	}
	if after, ok := strings.CutPrefix(s, "cbv:"); ok {
		return cbvWeb + after
	}
	return s
}

// number writes a text that is a number in the one form of its value, and says whether it is one. XML does not tell texts from numbers, so that no text is
// told from the number that it spells: 0012.50 is 12.5. The published hashes take numbers as float64, which rounds what has more than 15 digits; rounded
// asks for that where they have it so. Elsewhere the digits stay, since two events must not become one by it.
func (p *prehasher) number(s string, rounded bool) bool {
	if c := s[0]; c > '9' || c < '+' || len(s) > 512 {
		return false
	}
	_, digits, exponent, ok := Decimal(s).parts()
	if !ok {
		return false
	}
	if len(digits) > 15 && rounded {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return false
		}
		format := byte('g')
		if f == math.Trunc(f) {
			format = 'f'
			p.b = strconv.AppendFloat(p.b, f, format, 0, 64)
			return true
		}
		p.b = strconv.AppendFloat(p.b, f, format, -1, 64)
		return true
	}
	if small := len(digits) + exponent; digits != "" && small < -3 && len(digits) <= 15 { // 0.00001 is 1e-05, as there
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			p.b = strconv.AppendFloat(p.b, f, 'e', -1, 64)
			return true
		}
	}
	p.b = Decimal(s).appendNormal(p.b)
	return true
}
