package epcis

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id/gs1"
)

// EPCFormat is how identifiers of GS1 are written (the header GS1-EPC-Format).
type EPCFormat uint8

// The formats. Identifiers that are not GS1's stay as they are in all of them.
const (
	NoPreference      EPCFormat = iota // as they were captured
	AlwaysDigitalLink                  // EPC URNs become canonical Digital Links
	AlwaysURN                          // Digital Links become EPC URNs where the length of the company prefix is known
	NeverTranslate                     // as they were captured
)

// CBVFormat is how words of the CBV are written in XML (the header GS1-CBV-XML-Format). JSON always has bare words.
type CBVFormat uint8

// The formats.
const (
	CBVNoPreference CBVFormat = iota
	CBVWebURI
	CBVURN
	CBVNeverTranslate
)

// Format is how documents are written. The zero Format writes identifiers as they were captured.
type Format struct {
	EPC EPCFormat
	CBV CBVFormat
	// CompanyPrefix tells how many digits the company prefix has with which the 6 to 12 digits given begin; 0 when it does not know. AlwaysURN needs it.
	CompanyPrefix func(digits string) int
}

// Identifier is an identifier in the format; class says that it names a class of things.
func (f Format) Identifier(s string, class bool) string {
	switch f.EPC {
	case AlwaysDigitalLink:
		if strings.HasPrefix(s, "urn:epc:") {
			if link, ok := gs1.Canonical(s); ok {
				return link
			}
		}
	case AlwaysURN:
		if f.CompanyPrefix == nil || strings.HasPrefix(s, "urn:") {
			return s
		}
		link, ok := gs1.Canonical(s)
		if !ok {
			return s
		}
		ai, value, _ := strings.Cut(strings.TrimPrefix(link, "https://id.gs1.org/"), "/")
		if ai == "00" || ai == "01" || ai == "8003" || ai == "8006" { // an indicator stands in front of the company prefix
			value = value[1:]
		}
		n := 0
		for n < len(value) && n < 12 && value[n] >= '0' && value[n] <= '9' {
			n++
		}
		if urn, ok := gs1.URNOf(link, f.CompanyPrefix(value[:n]), class); ok {
			return urn
		}
	}
	return s
}

// Identifiers are the identifiers of single things in the format. A list of the standard holds each text once: things that would come to be written alike stay
// as they were captured.
func (f Format) Identifiers(list []string) []string {
	if f.EPC != AlwaysDigitalLink && f.EPC != AlwaysURN {
		return list
	}
	out := make([]string, len(list))
	if len(list) == 1 {
		out[0] = f.Identifier(list[0], false)
		return out
	}
	times := make(map[string]int, len(list))
	for i, s := range list {
		out[i] = f.Identifier(s, false)
		times[out[i]]++
	}
	for i, s := range list {
		if times[out[i]] > 1 {
			out[i] = s
		}
	}
	return out
}

// contextURL is the standard's context, which stands for all bare names.
const contextURL = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"

// AppendEventJSON appends the event as one object that stands alone, with its @context. Equal events give equal bytes.
func AppendEventJSON(dst []byte, e *Event, f Format) []byte {
	w := &writer{b: dst, f: f}
	w.event(e, true)
	return w.b
}

// AppendJSON appends the document: an EPCISQueryDocument when Query is set, else an EPCISDocument. A schema version other than 2.x becomes 2.0, and
// words are bare. Equal documents give equal bytes.
func AppendJSON(dst []byte, d *Document, f Format) []byte {
	w := &writer{b: dst, f: f}
	for i := range d.Events {
		w.reserve(&d.Events[i])
	}
	for i := range d.Events {
		w.collect(&d.Events[i])
	}
	for _, list := range [...][]Field{d.Extensions, d.HeaderExtensions, d.BodyExtensions} {
		w.collectFields(list)
	}
	for prefix, space := range d.Namespaces {
		if builtin[prefix] == space || !w.free(prefix) {
			continue
		}
		if w.declared == nil {
			w.declared = map[string]string{}
		}
		if w.declared[prefix] == "" {
			w.declared[prefix] = space
		}
	}
	w.b = append(w.b, '{')
	w.context(true)
	kind := "EPCISDocument"
	if d.Query != nil {
		kind = "EPCISQueryDocument"
	}
	w.text("type", kind)
	if d.ID != "" {
		w.text("id", d.ID)
	}
	version := d.SchemaVersion
	if !strings.HasPrefix(version, "2.") {
		version = "2.0"
	}
	w.text("schemaVersion", version)
	if !d.Created.IsZero() || d.Query == nil {
		w.name("creationDate")
		w.stamp(d.Created)
	}
	if d.Query == nil {
		w.text("instanceIdentifier", d.Instance)
		w.text("sender", d.Sender)
		w.text("receiver", d.Receiver)
	}
	w.extensions(d.Extensions)
	if masters := d.Query == nil && len(d.Vocabularies) > 0; masters || len(d.HeaderExtensions) > 0 {
		w.name("epcisHeader")
		w.b = append(w.b, '{')
		if masters {
			w.b = append(w.b, `"epcisMasterData":{`...)
			w.vocabularies(d.Vocabularies)
			w.b = append(w.b, '}')
		}
		w.extensions(d.HeaderExtensions)
		w.b = append(w.b, '}')
	}
	w.name("epcisBody")
	w.b = append(w.b, '{')
	if d.Query != nil {
		w.b = append(w.b, `"queryResults":{`...)
		w.name("queryName")
		w.string(d.Query.QueryName)
		w.text("subscriptionID", d.Query.SubscriptionID)
		w.name("resultsBody")
		w.b = append(w.b, '{')
	}
	w.name("eventList")
	w.b = append(w.b, '[')
	for i := range d.Events {
		w.comma()
		w.event(&d.Events[i], false)
	}
	w.b = append(w.b, ']')
	if d.Query != nil {
		if len(d.Vocabularies) > 0 {
			w.vocabularies(d.Vocabularies)
		}
		w.b = append(w.b, "}}"...)
	}
	w.extensions(d.BodyExtensions)
	w.b = append(w.b, "}}"...)
	return w.b
}

// writer builds JSON text.
type writer struct {
	b        []byte
	f        Format
	declared map[string]string // prefix → namespace, as the contexts written so far say
	schemes  map[string]bool   // of words that are URIs: declared as prefixes, they would change what the words mean
}

// comma parts what is written next from what stands before it.
func (w *writer) comma() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) name(s string) {
	w.comma()
	w.b = append(append(append(w.b, '"'), s...), '"', ':')
}

// text writes a field of the standard, whose name needs no escapes; an empty value is absent.
func (w *writer) text(name, value string) {
	if value != "" {
		w.name(name)
		w.string(value)
	}
}

func (w *writer) string(s string) {
	const digits = "0123456789abcdef"
	b := append(w.b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	w.b = append(append(b, s[from:]...), '"')
}

func (w *writer) time(name string, t time.Time) {
	if !t.IsZero() {
		w.name(name)
		w.stamp(t)
	}
}

func (w *writer) stamp(t time.Time) {
	layout := "2006-01-02T15:04:05Z07:00"
	if t.Nanosecond() != 0 {
		if layout = "2006-01-02T15:04:05.000Z07:00"; t.Nanosecond()%1_000_000 != 0 {
			layout = "2006-01-02T15:04:05.000000000Z07:00"
		}
	}
	w.b = append(t.AppendFormat(append(w.b, '"'), layout), '"')
}

func (w *writer) decimal(name string, d Decimal) {
	if d != "" {
		w.name(name)
		w.number(d)
	}
}

func (w *writer) number(d Decimal) {
	switch {
	case d.isJSON():
		w.b = append(w.b, d...)
	case d.IsValid():
		w.b = d.appendNormal(w.b)
	default:
		w.string(string(d))
	}
}

func (w *writer) identifier(name, s string, class bool) {
	w.text(name, w.f.Identifier(s, class))
}

func (w *writer) identifiers(name string, list []string) {
	if len(list) == 0 {
		return
	}
	w.name(name)
	w.b = append(w.b, '[')
	for _, s := range w.f.Identifiers(list) {
		w.comma()
		w.string(s)
	}
	w.b = append(w.b, ']')
}

func (w *writer) words(name string, kind WordKind, list []string) {
	if len(list) > 0 {
		w.name(name)
		w.b = append(w.b, '[')
		for _, s := range list {
			w.comma()
			w.string(Word(kind, s))
		}
		w.b = append(w.b, ']')
	}
}

// context writes @context with what is declared.
func (w *writer) context(standard bool) {
	w.name("@context")
	w.b = append(w.b, '[')
	if standard {
		w.string(contextURL)
	}
	if len(w.declared) > 0 {
		w.comma()
		w.b = append(w.b, '{')
		for _, prefix := range slices.Sorted(maps.Keys(w.declared)) {
			w.comma()
			w.string(prefix)
			w.b = append(w.b, ':')
			w.string(w.declared[prefix])
		}
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// collect declares the prefixes that the event's fields use, unless they are declared with another meaning already.
func (w *writer) collect(e *Event) { e.eachFields(w.collectFields) }

func (w *writer) collectFields(fields []Field) {
	for i := range fields {
		f := &fields[i]
		w.declare(f)
		w.collectValue(&f.Value)
	}
}

func (w *writer) collectValue(v *Value) {
	w.collectFields(v.Fields)
	w.collectFields(v.Attrs)
	for i := range v.Items {
		w.collectValue(&v.Items[i])
	}
}

func (w *writer) declare(f *Field) {
	if f.Space == "" || f.Prefix == "" && isAbsolute(f.Space) {
		return
	}
	if p := w.prefix(f); p != "" && (p == f.Prefix || !w.free(f.Prefix) || w.declared[f.Prefix] != "") {
		return // it is declared, or another prefix must serve since its own is taken
	}
	if w.declared == nil {
		w.declared = map[string]string{}
	}
	prefix := f.Prefix
	for n := 1; !w.free(prefix) || w.declared[prefix] != ""; n++ {
		prefix = "ns" + strconv.Itoa(n)
	}
	w.declared[prefix] = f.Space
}

// reserve keeps the schemes of the event's words from being prefixes: a document in XML may say example:x in one namespace and mean this very URI.
func (w *writer) reserve(e *Event) {
	for kind, s := range e.Words() {
		at := strings.IndexByte(s, ':')
		if at <= 0 || strings.HasPrefix(s[at:], "://") {
			continue
		}
		if s = Word(kind, s); strings.IndexByte(s, ':') == at && isPrefix(s[:at]) {
			if w.schemes == nil {
				w.schemes = map[string]bool{}
			}
			w.schemes[s[:at]] = true
		}
	}
}

// free says whether s may be declared as a prefix here.
func (w *writer) free(s string) bool { return isPrefix(s) && !w.schemes[s] }

// isPrefix says whether s may be declared as a prefix: no scheme of common addresses, nor anything with other characters than names have.
func isPrefix(s string) bool {
	if s == "" || s == "urn" || s == "http" || s == "https" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 || c == '_' || i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.')) {
			return false
		}
	}
	return true
}

// isAbsolute says whether a name can be written right behind the namespace and be told apart from it again.
func isAbsolute(space string) bool {
	return (strings.Contains(space, "://") || strings.HasPrefix(space, "urn:")) && strings.IndexByte("/#:", space[len(space)-1]) >= 0
}

// prefix is the declared prefix of a field's namespace; its own if that is declared so.
func (w *writer) prefix(f *Field) string {
	if f.Prefix != "" && (w.declared[f.Prefix] == f.Space || w.declared[f.Prefix] == "" && builtin[f.Prefix] == f.Space) {
		return f.Prefix
	}
	best := ""
	for prefix, space := range w.declared {
		if space == f.Space && (best == "" || prefix < best) {
			best = prefix
		}
	}
	if best == "" && f.Prefix != "" {
		for prefix, space := range builtin {
			if space == f.Space && w.declared[prefix] == "" {
				return prefix
			}
		}
	}
	return best
}

// field writes a field's name and the colon.
func (w *writer) field(f *Field, mark string) {
	w.comma()
	name := f.Name
	if f.Space != "" {
		if prefix := w.prefix(f); prefix != "" && !(f.Prefix == "" && isAbsolute(f.Space)) {
			name = prefix + ":" + name
		} else {
			name = f.Space + name
		}
	}
	w.string(mark + name)
	w.b = append(w.b, ':')
}

func (w *writer) extensions(fields []Field) {
	for i := range fields {
		w.field(&fields[i], "")
		w.value(&fields[i].Value)
	}
}

func (w *writer) value(v *Value) {
	if len(v.Attrs) > 0 || v.Kind == Object {
		w.b = append(w.b, '{')
		for i := range v.Attrs {
			w.field(&v.Attrs[i], "@")
			w.value(&v.Attrs[i].Value)
		}
		if v.Kind == Object {
			if v.Text != "" { // of mixed content, in XML
				w.text("#text", v.Text)
			}
			w.extensions(v.Fields)
		} else {
			w.name("#text")
			plain := *v
			plain.Attrs = nil
			w.value(&plain)
		}
		w.b = append(w.b, '}')
		return
	}
	switch v.Kind {
	case Text:
		w.string(v.Text)
	case Number:
		w.number(Decimal(v.Text))
	case Bool:
		if v.Text == "true" {
			w.b = append(w.b, "true"...)
		} else {
			w.b = append(w.b, "false"...)
		}
	case List:
		w.b = append(w.b, '[')
		for i := range v.Items {
			w.comma()
			w.value(&v.Items[i])
		}
		w.b = append(w.b, ']')
	default:
		w.b = append(w.b, "null"...)
	}
}

func (w *writer) vocabularies(list []Vocabulary) {
	w.name("vocabularyList")
	w.b = append(w.b, '[')
	for i := range list {
		w.comma()
		w.b = append(w.b, '{')
		w.text("type", list[i].Type)
		w.name("vocabularyElementList")
		w.b = append(w.b, '[')
		for j := range list[i].Elements {
			el := &list[i].Elements[j]
			w.comma()
			w.b = append(w.b, '{')
			w.text("id", el.ID)
			if len(el.Attributes) > 0 {
				w.name("attributes")
				w.b = append(w.b, '[')
				for k := range el.Attributes {
					w.comma()
					w.b = append(w.b, '{')
					w.text("id", el.Attributes[k].ID)
					w.name("attribute")
					w.value(&el.Attributes[k].Value)
					w.b = append(w.b, '}')
				}
				w.b = append(w.b, ']')
			}
			if len(el.Children) > 0 {
				w.name("children")
				w.b = append(w.b, '[')
				for _, c := range el.Children {
					w.comma()
					w.string(c)
				}
				w.b = append(w.b, ']')
			}
			w.b = append(w.b, '}')
		}
		w.b = append(w.b, "]}"...)
	}
	w.b = append(w.b, ']')
}

// event writes one event; alone says that no document declares anything for it.
func (w *writer) event(e *Event, alone bool) {
	w.b = append(w.b, '{')
	if alone {
		w.reserve(e)
		w.collect(e)
		w.context(true)
	}
	w.text("type", string(e.Type))
	w.text("eventID", e.ID)
	w.time("eventTime", e.Time)
	w.time("recordTime", e.RecordTime)
	w.text("eventTimeZoneOffset", e.TimeZoneOffset)
	switch len(e.Certification) {
	case 0:
	case 1:
		w.text("certificationInfo", e.Certification[0])
	default:
		w.identifiers("certificationInfo", e.Certification)
	}
	if d := e.Error; d != nil {
		w.name("errorDeclaration")
		w.b = append(w.b, '{')
		w.time("declarationTime", d.Time)
		w.text("reason", Word(ErrorReason, d.Reason))
		w.identifiers("correctiveEventIDs", d.Corrections)
		w.extensions(d.Extensions)
		w.b = append(w.b, '}')
	}
	epcs, quantities := "epcList", "quantityList"
	if e.Type.hasChildren() {
		epcs, quantities = "childEPCs", "childQuantityList"
	}
	w.identifier("parentID", e.Parent, false)
	w.identifiers(epcs, e.EPCs)
	w.quantities(quantities, e.Quantities)
	w.identifiers("inputEPCList", e.InputEPCs)
	w.quantities("inputQuantityList", e.InputQuantities)
	w.identifiers("outputEPCList", e.OutputEPCs)
	w.quantities("outputQuantityList", e.OutputQuantities)
	w.identifier("transformationID", e.TransformationID, false)
	w.text("action", string(e.Action))
	w.text("bizStep", Word(BizStep, e.BizStep))
	w.text("disposition", Word(Disposition, e.Disposition))
	if d := e.PersistentDispositions; d != nil {
		w.name("persistentDisposition")
		w.b = append(w.b, '{')
		w.words("set", Disposition, d.Set)
		w.words("unset", Disposition, d.Unset)
		w.b = append(w.b, '}')
	}
	w.location("readPoint", e.ReadPoint)
	w.location("bizLocation", e.BizLocation)
	if len(e.Transactions) > 0 {
		w.name("bizTransactionList")
		w.b = append(w.b, '[')
		for i := range e.Transactions {
			w.comma()
			w.b = append(w.b, '{')
			w.text("type", Word(TransactionType, e.Transactions[i].Type))
			w.identifier("bizTransaction", e.Transactions[i].ID, false)
			w.b = append(w.b, '}')
		}
		w.b = append(w.b, ']')
	}
	w.parties("sourceList", "source", e.Sources)
	w.parties("destinationList", "destination", e.Destinations)
	if len(e.Sensors) > 0 {
		w.name("sensorElementList")
		w.b = append(w.b, '[')
		for i := range e.Sensors {
			w.comma()
			w.sensor(&e.Sensors[i])
		}
		w.b = append(w.b, ']')
	}
	if len(e.ILMD) > 0 {
		w.name("ilmd")
		w.b = append(w.b, '{')
		w.extensions(e.ILMD)
		w.b = append(w.b, '}')
	}
	w.extensions(e.Extensions)
	w.b = append(w.b, '}')
}

func (w *writer) quantities(name string, list []Quantity) {
	if len(list) == 0 {
		return
	}
	w.name(name)
	w.b = append(w.b, '[')
	for i := range list {
		w.comma()
		w.b = append(w.b, '{')
		w.identifier("epcClass", list[i].Class, true)
		w.decimal("quantity", list[i].Quantity)
		w.text("uom", list[i].Unit)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

func (w *writer) location(name string, l *Location) {
	if l != nil {
		w.name(name)
		w.b = append(w.b, '{')
		w.identifier("id", l.ID, false)
		w.extensions(l.Extensions)
		w.b = append(w.b, '}')
	}
}

func (w *writer) parties(name, field string, list []Party) {
	if len(list) == 0 {
		return
	}
	w.name(name)
	w.b = append(w.b, '[')
	for i := range list {
		w.comma()
		w.b = append(w.b, '{')
		w.text("type", Word(PartyType, list[i].Type))
		w.identifier(field, list[i].ID, false)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

func (w *writer) sensor(s *SensorElement) {
	w.b = append(w.b, '{')
	if m := s.Metadata; m != nil {
		w.name("sensorMetadata")
		w.b = append(w.b, '{')
		w.time("time", m.Time)
		w.time("startTime", m.Start)
		w.time("endTime", m.End)
		w.identifier("deviceID", m.DeviceID, false)
		w.identifier("deviceMetadata", m.DeviceMetadata, false)
		w.identifier("rawData", m.RawData, false)
		w.identifier("dataProcessingMethod", m.DataProcessingMethod, false)
		w.identifier("bizRules", m.BizRules, false)
		w.extensions(m.Extensions)
		w.b = append(w.b, '}')
	}
	w.name("sensorReport")
	w.b = append(w.b, '[')
	for i := range s.Reports {
		r := &s.Reports[i]
		w.comma()
		w.b = append(w.b, '{')
		w.text("type", Word(Measurement, r.Type))
		w.text("exception", Word(Exception, r.Exception))
		w.identifier("deviceID", r.DeviceID, false)
		w.identifier("deviceMetadata", r.DeviceMetadata, false)
		w.identifier("rawData", r.RawData, false)
		w.identifier("dataProcessingMethod", r.DataProcessingMethod, false)
		w.identifier("bizRules", r.BizRules, false)
		w.time("time", r.Time)
		w.text("microorganism", r.Microorganism)
		w.text("chemicalSubstance", r.ChemicalSubstance)
		w.text("coordinateReferenceSystem", r.CoordinateReferenceSystem)
		w.decimal("value", r.Value)
		w.text("component", Word(Component, r.Component))
		w.text("stringValue", r.StringValue)
		if r.BooleanValue != nil {
			w.name("booleanValue")
			w.b = strconv.AppendBool(w.b, *r.BooleanValue)
		}
		w.text("hexBinaryValue", r.HexBinaryValue)
		w.identifier("uriValue", r.URIValue, false)
		w.decimal("minValue", r.MinValue)
		w.decimal("maxValue", r.MaxValue)
		w.decimal("meanValue", r.MeanValue)
		w.decimal("sDev", r.SDev)
		w.decimal("percRank", r.PercRank)
		w.decimal("percValue", r.PercValue)
		w.text("uom", r.Unit)
		w.extensions(r.Extensions)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
	w.extensions(s.Extensions)
	w.b = append(w.b, '}')
}
