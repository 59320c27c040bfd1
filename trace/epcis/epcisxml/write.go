package epcisxml

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

type writer struct {
	b     []byte
	f     epcis.Format
	old   bool
	bound map[string]string // prefix → URI, here
	words map[string]bool   // schemes of words that are URIs, which no prefix may take from them
	err   error
}

// Append writes a document in EPCIS "2.0" or "1.2". The same document gives the same bytes. Errors: problem.BadValue for a text or a name that no XML can hold.
func Append(dst []byte, d *epcis.Document, version string, f epcis.Format) ([]byte, error) {
	w := &writer{b: dst, f: f, bound: map[string]string{}}
	n := "2"
	switch {
	case strings.HasPrefix(version, "1"):
		w.old, n, version = true, "1", "1.2"
	case version == "" || strings.HasPrefix(version, "2"):
		version = "2.0"
	default:
		return dst, problem.New(problem.Unsupported, "EPCIS %s cannot be written: ask for 2.0 or 1.2", "无法写出 EPCIS %s：请使用 2.0 或 1.2", version)
	}
	if d.Created.IsZero() { // a bare event was read; the document that holds it is as old as what it tells
		whole := *d
		for i := range d.Events {
			for _, t := range [...]time.Time{d.Events[i].Time, d.Events[i].RecordTime} {
				if t.After(whole.Created) {
					whole.Created = t
				}
			}
		}
		if whole.Created.IsZero() {
			whole.Created = time.Unix(0, 0).UTC()
		}
		d = &whole
	}
	for i := range d.Events {
		for kind, s := range d.Events[i].Words() {
			if scheme, _, ok := strings.Cut(s, ":"); ok && kind < epcis.Measurement {
				if w.words == nil {
					w.words = map[string]bool{}
				}
				w.words[scheme] = true
			}
		}
	}
	prefix, root, space := "epcis", "epcis:EPCISDocument", "urn:epcglobal:epcis:xsd:"+n
	if d.Query != nil {
		prefix, root, space = "epcisq", "epcisq:EPCISQueryDocument", "urn:epcglobal:epcis-query:xsd:"+n
	}
	w.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<" + root)
	w.declare(prefix, space)
	for _, p := range slices.Sorted(maps.Keys(d.Namespaces)) {
		w.declare(p, d.Namespaces[p])
	}
	w.raw(` schemaVersion="` + version + `" creationDate="` + stamp(d.Created) + `">`)
	w.header(d, version)
	w.raw("<EPCISBody>")
	if d.Query != nil {
		w.raw("<epcisq:QueryResults>")
		w.raw("<queryName>")
		w.text(d.Query.QueryName)
		w.raw("</queryName>")
		w.leaf("subscriptionID", d.Query.SubscriptionID)
		w.raw("<resultsBody>")
	}
	if d.Query != nil && len(d.Events) == 0 && len(d.Vocabularies) > 0 {
		w.vocabularies(d.Vocabularies)
	} else {
		w.raw("<EventList>")
		for i := range d.Events {
			w.event(&d.Events[i])
		}
		w.raw("</EventList>")
	}
	if d.Query != nil {
		w.raw("</resultsBody>")
	}
	w.fields(d.BodyExtensions)
	if d.Query != nil {
		w.raw("</epcisq:QueryResults>")
	}
	w.raw("</EPCISBody>")
	if !w.old { // the schema of 2.0 took away the place that fields of others had in the header of 1.2
		w.fields(d.HeaderExtensions)
	}
	w.fields(d.Extensions)
	w.raw("</" + root + ">\n")
	if w.err != nil {
		return dst, w.err
	}
	return w.b, nil
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.999999999Z07:00") }

// text writes character data; it serves in attributes too.
func (w *writer) text(s string) {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '&':
			w.raw("&amp;")
		case r == '<':
			w.raw("&lt;")
		case r == '>':
			w.raw("&gt;")
		case r == '"':
			w.raw("&quot;")
		case r == '\t' || r == '\n' || r == '\r':
			w.raw("&#" + strconv.Itoa(int(r)) + ";")
		case r < ' ' || r == 0xfffe || r == 0xffff || r == utf8.RuneError && n == 1:
			if w.err == nil {
				w.err = problem.New(problem.BadValue, "XML cannot hold the character %U of %q: ask for JSON", "XML 无法表示 %[2]q 中的字符 %[1]U：请改用 JSON", r, short(s))
			}
			return
		default:
			w.raw(s[i : i+n])
		}
		i += n
	}
}

func (w *writer) leaf(name, s string) {
	if s != "" {
		w.raw("<" + name + ">")
		w.text(s)
		w.raw("</" + name + ">")
	}
}

func (w *writer) attr(name, s string) {
	if s != "" {
		w.raw(" " + name + `="`)
		w.text(s)
		w.raw(`"`)
	}
}

func (w *writer) time(name string, t time.Time) {
	if !t.IsZero() {
		w.leaf(name, stamp(t))
	}
}

func (w *writer) timeAttr(name string, t time.Time) {
	if !t.IsZero() {
		w.attr(name, stamp(t))
	}
}

// declare binds a prefix on the element that is open.
func (w *writer) declare(prefix, uri string) {
	if prefix == "" || uri == "" || !isName(prefix) || strings.HasPrefix(strings.ToLower(prefix), "xml") || w.bound[prefix] != "" || w.words[prefix] {
		return
	}
	w.bound[prefix] = uri
	w.attr("xmlns:"+prefix, uri)
}

func isName(s string) bool {
	for i, r := range s {
		if !(r == '_' || unicode.IsLetter(r) || i > 0 && (r == '-' || r == '.' || unicode.IsDigit(r))) {
			return false
		}
	}
	return s != ""
}

func (w *writer) word(kind epcis.WordKind, s string) string {
	if w.f.CBV == epcis.CBVURN || w.old && w.f.CBV != epcis.CBVWebURI {
		return epcis.WordURN(kind, s)
	}
	return epcis.WordURI(kind, s)
}

func (w *writer) header(d *epcis.Document, version string) {
	partners := d.Sender != "" || d.Receiver != "" || d.Instance != ""
	masters := len(d.Vocabularies) > 0 && (d.Query == nil || len(d.Events) > 0)
	if !partners && !masters && (!w.old || len(d.HeaderExtensions) == 0) {
		return
	}
	w.raw("<EPCISHeader>")
	if partners {
		w.raw(`<sbdh:StandardBusinessDocumentHeader xmlns:sbdh="` + nsHeader + `"><sbdh:HeaderVersion>1.0</sbdh:HeaderVersion><sbdh:Sender><sbdh:Identifier>`)
		w.text(d.Sender)
		w.raw("</sbdh:Identifier></sbdh:Sender><sbdh:Receiver><sbdh:Identifier>")
		w.text(d.Receiver)
		w.raw("</sbdh:Identifier></sbdh:Receiver><sbdh:DocumentIdentification><sbdh:Standard>EPCglobal</sbdh:Standard><sbdh:TypeVersion>" + version +
			"</sbdh:TypeVersion><sbdh:InstanceIdentifier>")
		w.text(d.Instance)
		w.raw("</sbdh:InstanceIdentifier><sbdh:Type>Events</sbdh:Type><sbdh:CreationDateAndTime>" + stamp(d.Created) +
			"</sbdh:CreationDateAndTime></sbdh:DocumentIdentification></sbdh:StandardBusinessDocumentHeader>")
	}
	if masters {
		w.raw("<extension><EPCISMasterData>")
		w.vocabularies(d.Vocabularies)
		w.raw("</EPCISMasterData></extension>")
	}
	if w.old {
		w.fields(d.HeaderExtensions)
	}
	w.raw("</EPCISHeader>")
}

func (w *writer) vocabularies(list []epcis.Vocabulary) {
	w.raw("<VocabularyList>")
	for _, v := range list {
		w.raw("<Vocabulary")
		w.attr("type", v.Type)
		w.raw("><VocabularyElementList>")
		for _, e := range v.Elements {
			w.raw("<VocabularyElement")
			w.attr("id", e.ID)
			w.raw(">")
			for _, a := range e.Attributes {
				values := []epcis.Value{a.Value}
				if a.Value.Kind == epcis.List {
					values = a.Value.Items
				}
				for i := range values {
					w.raw("<attribute")
					w.attr("id", a.ID)
					w.value(&values[i], "attribute")
				}
			}
			w.ids("children", "id", e.Children)
			w.raw("</VocabularyElement>")
		}
		w.raw("</VocabularyElementList></Vocabulary>")
	}
	w.raw("</VocabularyList>")
}

func (w *writer) ids(list, item string, ids []string) {
	if len(ids) == 0 {
		return
	}
	w.raw("<" + list + ">")
	for _, s := range ids {
		w.leaf(item, s)
	}
	w.raw("</" + list + ">")
}

func (w *writer) epcs(list string, ids []string) {
	w.ids(list, "epc", w.f.Identifiers(ids))
}

func (w *writer) instance(s string) string { return w.f.Identifier(s, false) }

// fields writes fields of other namespaces. One whose prefix is not bound here binds it for itself.
func (w *writer) fields(fields []epcis.Field) {
	for i := range fields {
		f := &fields[i]
		if f.Value.Kind == epcis.List {
			for j := range f.Value.Items {
				w.field(f, &f.Value.Items[j])
			}
			continue
		}
		w.field(f, &f.Value)
	}
}

func (w *writer) field(f *epcis.Field, v *epcis.Value) {
	if v.Kind == epcis.List {
		for i := range v.Items {
			w.field(f, &v.Items[i])
		}
		return
	}
	outside := w.bound
	w.bound = maps.Clone(outside)
	name, xmlns := w.qualify(f)
	w.raw("<" + name)
	w.raw(xmlns)
	w.value(v, name)
	w.bound = outside
}

// qualify is the name of a field with its prefix, and the declaration that it needs.
func (w *writer) qualify(f *epcis.Field) (name, xmlns string) {
	if !isName(f.Name) && w.err == nil {
		w.err = problem.New(problem.BadValue, "the field %q has a name that XML cannot hold: ask for JSON", "字段名 %q 无法用 XML 表示：请改用 JSON", short(f.Name))
	}
	if f.Space == "" {
		return f.Name, ""
	}
	if f.Space == nsXML {
		return "xml:" + f.Name, ""
	}
	prefix := f.Prefix
	if prefix == "" || !isName(prefix) || strings.HasPrefix(strings.ToLower(prefix), "xml") {
		prefix = "ns"
	}
	for i := 1; w.words[prefix] || w.bound[prefix] != "" && w.bound[prefix] != f.Space; i++ {
		prefix = "ns" + strconv.Itoa(i)
	}
	if w.bound[prefix] == f.Space {
		return prefix + ":" + f.Name, ""
	}
	start := len(w.b)
	w.declare(prefix, f.Space)
	xmlns = string(w.b[start:])
	w.b = w.b[:start]
	return prefix + ":" + f.Name, xmlns
}

func (w *writer) attrs(list []epcis.Field) {
	for i := range list {
		if k := list[i].Value.Kind; (k == epcis.List || k == epcis.Object || len(list[i].Value.Attrs) > 0) && w.err == nil {
			w.err = problem.New(problem.BadValue, "the attribute %q holds a list or an object, which no attribute of XML can: ask for JSON", "属性 %q 的值是列表或对象，XML 属性无法表示：请改用 JSON", short(list[i].Name))
		}
		name, xmlns := w.qualify(&list[i])
		w.raw(xmlns)
		if list[i].Space == nsSchema && list[i].Name == "type" { // its value is a name with a prefix too
			if prefix, _, ok := strings.Cut(list[i].Value.Text, ":"); ok {
				w.declare(prefix, ofSchema(prefix))
			}
		}
		w.raw(" " + name + `="`)
		w.text(list[i].Value.Text)
		w.raw(`"`)
	}
}

// value ends the tag that is open and writes what is in the element, and its end.
func (w *writer) value(v *epcis.Value, name string) {
	w.attrs(v.Attrs)
	w.raw(">")
	w.text(v.Text)
	if v.Kind == epcis.Object {
		w.fields(v.Fields)
	}
	w.raw("</" + name + ">")
}

func (w *writer) event(e *epcis.Event) {
	name, before, after := string(e.Type), "", ""
	if w.old {
		switch e.Type {
		case epcis.TransformationEvent:
			before, after = "<extension>", "</extension>"
		case epcis.AssociationEvent:
			before, after = "<extension><extension>", "</extension></extension>"
		}
	}
	outside := w.bound
	w.bound = maps.Clone(outside)
	w.raw(before + "<" + name)
	for _, p := range slices.Sorted(maps.Keys(e.Namespaces)) {
		w.declare(p, e.Namespaces[p])
	}
	w.raw(">")
	w.time("eventTime", e.Time)
	w.time("recordTime", e.RecordTime)
	w.leaf("eventTimeZoneOffset", e.TimeZoneOffset)
	if w.old && (e.ID != "" || e.Error != nil) {
		w.raw("<baseExtension>")
	}
	w.leaf("eventID", e.ID)
	if d := e.Error; d != nil {
		w.raw("<errorDeclaration>")
		w.time("declarationTime", d.Time)
		w.leaf("reason", w.word(epcis.ErrorReason, d.Reason))
		w.ids("correctiveEventIDs", "correctiveEventID", d.Corrections)
		w.fields(d.Extensions)
		w.raw("</errorDeclaration>")
	}
	if w.old && (e.ID != "" || e.Error != nil) {
		w.raw("</baseExtension>")
	}
	if !w.old {
		for _, c := range e.Certification {
			w.leaf("certificationInfo", c)
		}
	}
	amounts := "quantityList"
	switch e.Type {
	case epcis.ObjectEvent:
		w.epcList("epcList", e.EPCs)
	case epcis.AggregationEvent:
		amounts = "childQuantityList"
		w.leaf("parentID", w.instance(e.Parent))
		w.epcList("childEPCs", e.EPCs)
	case epcis.AssociationEvent:
		w.leaf("parentID", w.instance(e.Parent))
		w.epcs("childEPCs", e.EPCs)
		w.quantities("childQuantityList", e.Quantities)
	case epcis.TransactionEvent:
		w.transactions(e.Transactions)
		w.leaf("parentID", w.instance(e.Parent))
		w.epcList("epcList", e.EPCs)
	case epcis.TransformationEvent:
		w.epcs("inputEPCList", e.InputEPCs)
		w.quantities("inputQuantityList", e.InputQuantities)
		w.epcs("outputEPCList", e.OutputEPCs)
		w.quantities("outputQuantityList", e.OutputQuantities)
		w.leaf("transformationID", e.TransformationID)
	}
	w.leaf("action", string(e.Action))
	w.leaf("bizStep", w.word(epcis.BizStep, e.BizStep))
	w.leaf("disposition", w.word(epcis.Disposition, e.Disposition))
	w.location("readPoint", e.ReadPoint)
	w.location("bizLocation", e.BizLocation)
	if e.Type != epcis.TransactionEvent {
		w.transactions(e.Transactions)
	}
	flat := !w.old || e.Type == epcis.TransformationEvent || e.Type == epcis.AssociationEvent
	own := e.Type != epcis.TransformationEvent && e.Type != epcis.AssociationEvent
	inner := len(e.Sensors) > 0 || e.PersistentDispositions != nil || len(e.Certification) > 0
	outer := !flat && (len(e.Quantities)+len(e.Sources)+len(e.Destinations)+len(e.ILMD) > 0 || inner)
	if outer {
		w.raw("<extension>")
	}
	if own {
		w.quantities(amounts, e.Quantities)
	}
	w.parties("sourceList", "source", e.Sources)
	w.parties("destinationList", "destination", e.Destinations)
	if w.old {
		w.ilmd(e.ILMD)
	}
	deep := w.old && inner && e.Type != epcis.AssociationEvent
	if deep {
		w.raw("<extension>")
	}
	w.sensors(e.Sensors)
	if d := e.PersistentDispositions; d != nil {
		w.raw("<persistentDisposition>")
		for _, s := range d.Unset {
			w.leaf("unset", w.word(epcis.Disposition, s))
		}
		for _, s := range d.Set {
			w.leaf("set", w.word(epcis.Disposition, s))
		}
		w.raw("</persistentDisposition>")
	}
	if w.old {
		for _, c := range e.Certification {
			w.leaf("certificationInfo", c)
		}
	} else {
		w.ilmd(e.ILMD)
	}
	if deep {
		w.raw("</extension>")
	}
	if outer {
		w.raw("</extension>")
	}
	w.fields(e.Extensions)
	w.raw("</" + name + ">" + after)
	w.bound = outside
}

// epcList is a list that 1.2 asks for even when it is empty.
func (w *writer) epcList(name string, ids []string) {
	if w.old && len(ids) == 0 {
		w.raw("<" + name + "/>")
		return
	}
	w.epcs(name, ids)
}

func (w *writer) ilmd(fields []epcis.Field) {
	if len(fields) > 0 {
		w.raw("<ilmd>")
		w.fields(fields)
		w.raw("</ilmd>")
	}
}

func (w *writer) quantities(name string, list []epcis.Quantity) {
	if len(list) == 0 {
		return
	}
	w.raw("<" + name + ">")
	for _, q := range list {
		w.raw("<quantityElement>")
		w.leaf("epcClass", w.f.Identifier(q.Class, true))
		w.leaf("quantity", string(q.Quantity))
		w.leaf("uom", q.Unit)
		w.raw("</quantityElement>")
	}
	w.raw("</" + name + ">")
}

func (w *writer) location(name string, l *epcis.Location) {
	if l != nil {
		w.raw("<" + name + ">")
		w.leaf("id", w.instance(l.ID))
		w.fields(l.Extensions)
		w.raw("</" + name + ">")
	}
}

func (w *writer) typed(name, kind, id string) {
	w.raw("<" + name)
	w.attr("type", kind)
	w.raw(">")
	w.text(w.instance(id))
	w.raw("</" + name + ">")
}

func (w *writer) transactions(list []epcis.Transaction) {
	if len(list) > 0 {
		w.raw("<bizTransactionList>")
		for _, t := range list {
			w.typed("bizTransaction", w.word(epcis.TransactionType, t.Type), t.ID)
		}
		w.raw("</bizTransactionList>")
	}
}

func (w *writer) parties(name, item string, list []epcis.Party) {
	if len(list) > 0 {
		w.raw("<" + name + ">")
		for _, t := range list {
			w.typed(item, w.word(epcis.PartyType, t.Type), t.ID)
		}
		w.raw("</" + name + ">")
	}
}

func (w *writer) sensors(list []epcis.SensorElement) {
	if len(list) == 0 {
		return
	}
	w.raw("<sensorElementList>")
	for i := range list {
		s := &list[i]
		w.raw("<sensorElement>")
		if m := s.Metadata; m != nil {
			w.raw("<sensorMetadata")
			w.timeAttr("time", m.Time)
			w.timeAttr("startTime", m.Start)
			w.timeAttr("endTime", m.End)
			w.attr("deviceID", w.instance(m.DeviceID))
			w.attr("deviceMetadata", m.DeviceMetadata)
			w.attr("rawData", m.RawData)
			w.attr("dataProcessingMethod", m.DataProcessingMethod)
			w.attr("bizRules", m.BizRules)
			w.mixed(m.Extensions, "sensorMetadata")
		}
		for j := range s.Reports {
			w.report(&s.Reports[j])
		}
		w.fields(s.Extensions)
		w.raw("</sensorElement>")
	}
	w.raw("</sensorElementList>")
}

// mixed writes fields of an element that has attributes only: a text as an attribute, what no attribute can hold as an element within.
func (w *writer) mixed(fields []epcis.Field, name string) {
	outside := w.bound
	w.bound = maps.Clone(outside)
	var rest []epcis.Field
	for _, f := range fields {
		if k := f.Value.Kind; k == epcis.List || k == epcis.Object || f.Space == "" || len(f.Value.Attrs) > 0 {
			rest = append(rest, f)
			continue
		}
		w.attrs([]epcis.Field{f})
	}
	w.raw(">")
	w.fields(rest)
	w.raw("</" + name + ">")
	w.bound = outside
}

func (w *writer) report(r *epcis.SensorReport) {
	w.raw("<sensorReport")
	w.attr("type", w.word(epcis.Measurement, r.Type))
	w.attr("exception", w.word(epcis.Exception, r.Exception))
	w.attr("deviceID", w.instance(r.DeviceID))
	w.attr("deviceMetadata", r.DeviceMetadata)
	w.attr("rawData", r.RawData)
	w.attr("dataProcessingMethod", r.DataProcessingMethod)
	w.attr("bizRules", r.BizRules)
	w.timeAttr("time", r.Time)
	w.attr("microorganism", r.Microorganism)
	w.attr("chemicalSubstance", r.ChemicalSubstance)
	w.attr("coordinateReferenceSystem", r.CoordinateReferenceSystem)
	w.attr("value", string(r.Value))
	w.attr("component", w.word(epcis.Component, r.Component))
	w.attr("stringValue", r.StringValue)
	if r.BooleanValue != nil {
		w.attr("booleanValue", strconv.FormatBool(*r.BooleanValue))
	}
	w.attr("hexBinaryValue", r.HexBinaryValue)
	w.attr("uriValue", r.URIValue)
	w.attr("minValue", string(r.MinValue))
	w.attr("maxValue", string(r.MaxValue))
	w.attr("meanValue", string(r.MeanValue))
	w.attr("sDev", string(r.SDev))
	w.attr("percRank", string(r.PercRank))
	w.attr("percValue", string(r.PercValue))
	w.attr("uom", r.Unit)
	w.mixed(r.Extensions, "sensorReport")
}
