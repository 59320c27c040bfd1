package epcisxml

import (
	"strings"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// The elements of the kinds of events, beside those that all have.
const (
	inObject = 1 << iota
	inAggregation
	inTransaction
	inTransformation
	inAssociation
	inAll = inObject | inAggregation | inTransaction | inTransformation | inAssociation
)

var kinds = map[epcis.EventType]int{epcis.ObjectEvent: inObject, epcis.AggregationEvent: inAggregation, epcis.TransactionEvent: inTransaction,
	epcis.TransformationEvent: inTransformation, epcis.AssociationEvent: inAssociation}

// elements says which kinds of events have the element, in the extension places of 1.2 or not.
var elements = map[string]int{
	"eventTime": inAll, "recordTime": inAll, "eventTimeZoneOffset": inAll, "eventID": inAll, "errorDeclaration": inAll, "certificationInfo": inAll,
	"action":   inAll &^ inTransformation,
	"parentID": inAggregation | inTransaction | inAssociation, "epcList": inObject | inTransaction, "childEPCs": inAggregation | inAssociation,
	"quantityList": inObject | inTransaction, "childQuantityList": inAggregation | inAssociation,
	"inputEPCList": inTransformation, "outputEPCList": inTransformation, "inputQuantityList": inTransformation, "outputQuantityList": inTransformation,
	"transformationID": inTransformation,
	"bizStep":          inAll, "disposition": inAll, "readPoint": inAll, "bizLocation": inAll, "bizTransactionList": inAll, "sourceList": inAll, "destinationList": inAll,
	"sensorElementList": inAll, "persistentDisposition": inAll, "ilmd": inObject | inTransformation,
}

// fill reads what an event's element holds.
func (p *reader) fill(e *epcis.Event, n *node) {
	seen := map[string]*node{}
	for _, a := range n.attrs {
		switch {
		case a.space == nsSchema || a.space == nsXML:
		case a.space != "":
			e.Extensions = append(e.Extensions, epcis.Field{Space: a.space, Name: a.name, Prefix: a.prefix, Value: epcis.Value{Kind: epcis.Text, Text: a.value}})
		case a.name != "schemaVersion" && a.name != "creationDate":
			p.fault(n, a.name, "attribute", "an event has no attribute %s", "事件没有属性 %s", a.name)
		}
	}
	p.parts(e, n, seen)
	if t, a := seen["eventTime"], seen["action"]; !p.old && t != nil && a != nil && before(a, t) {
		// of the order that the schema gives, writers in the field keep little; only this much is held: when comes first, then what was done
		p.fault(a, "", "order", "action stands before eventTime: put the elements into the order of the schema", "action 位于 eventTime 之前：请按模式规定的顺序排列元素")
	}
}

func before(a, b *node) bool { return a.line < b.line || a.line == b.line && a.column < b.column }

func (p *reader) parts(e *epcis.Event, n *node, seen map[string]*node) {
	for _, k := range n.kids {
		if !standard(k.space) {
			if p.crowded(k, e.Extensions) {
				return
			}
			e.Extensions = addField(e.Extensions, k)
			continue
		}
		if wrapper(k) {
			p.parts(e, k, seen)
			continue
		}
		where, known := elements[k.name]
		if !known {
			p.fault(k, "", "element", "an event has no element %s: give fields of your own a namespace", "事件没有元素 %s：自有字段须带命名空间", k.called())
			continue
		}
		if where&kinds[e.Type] == 0 {
			p.fault(k, "", "element", "%s has no element %s", "%s 没有元素 %s", string(e.Type), k.name)
			continue
		}
		if old := seen[k.name]; old != nil && k.name != "certificationInfo" {
			p.fault(k, "", "twice", "%s stands there twice, first in line %d", "%s 重复出现，首次在第 %d 行", k.name, old.line)
			continue
		}
		seen[k.name] = k
		p.part(e, k)
	}
}

func (p *reader) part(e *epcis.Event, k *node) {
	switch k.name {
	case "eventTime":
		e.Time = p.time(k)
	case "recordTime":
		e.RecordTime = p.time(k)
	case "eventTimeZoneOffset":
		e.TimeZoneOffset = p.leaf(k)
	case "eventID":
		e.ID = p.leaf(k)
	case "errorDeclaration":
		e.Error = p.declaration(k)
	case "certificationInfo":
		if s := p.leaf(k); s != "" {
			e.Certification = append(e.Certification, s)
		}
	case "action":
		switch a := epcis.Action(p.leaf(k)); a {
		case epcis.Add, epcis.Observe, epcis.Delete:
			e.Action = a
		default:
			p.fault(k, "", "action", "the action is %q: it is ADD, OBSERVE or DELETE", "action 为 %q：应为 ADD、OBSERVE 或 DELETE", short(string(a)))
		}
	case "parentID":
		e.Parent = p.leaf(k)
	case "epcList", "childEPCs":
		e.EPCs = p.epcs(k)
	case "inputEPCList":
		e.InputEPCs = p.epcs(k)
	case "outputEPCList":
		e.OutputEPCs = p.epcs(k)
	case "quantityList", "childQuantityList":
		e.Quantities = p.quantities(k)
	case "inputQuantityList":
		e.InputQuantities = p.quantities(k)
	case "outputQuantityList":
		e.OutputQuantities = p.quantities(k)
	case "transformationID":
		e.TransformationID = p.leaf(k)
	case "bizStep":
		e.BizStep = p.word(epcis.BizStep, p.leaf(k))
	case "disposition":
		e.Disposition = p.word(epcis.Disposition, p.leaf(k))
	case "readPoint":
		e.ReadPoint = p.location(k)
	case "bizLocation":
		e.BizLocation = p.location(k)
	case "bizTransactionList":
		p.typed(k, "bizTransaction", epcis.TransactionType, func(kind, id string) { e.Transactions = append(e.Transactions, epcis.Transaction{Type: kind, ID: id}) })
	case "sourceList":
		p.typed(k, "source", epcis.PartyType, func(kind, id string) { e.Sources = append(e.Sources, epcis.Party{Type: kind, ID: id}) })
	case "destinationList":
		p.typed(k, "destination", epcis.PartyType, func(kind, id string) { e.Destinations = append(e.Destinations, epcis.Party{Type: kind, ID: id}) })
	case "persistentDisposition":
		d := &epcis.PersistentDisposition{}
		for _, x := range p.named(k, "set", "unset") {
			if w := p.word(epcis.Disposition, p.leaf(x)); x.name == "set" {
				d.Set = append(d.Set, w)
			} else {
				d.Unset = append(d.Unset, w)
			}
		}
		if d.Set != nil || d.Unset != nil {
			e.PersistentDispositions = d
		}
	case "sensorElementList":
		for _, x := range p.named(k, "sensorElement") {
			e.Sensors = append(e.Sensors, p.sensor(x))
		}
	case "ilmd":
		p.ilmd(e, k)
	}
}

func (p *reader) ilmd(e *epcis.Event, n *node) {
	for _, k := range n.kids {
		switch {
		case wrapper(k):
			p.ilmd(e, k)
		case standard(k.space):
			p.fault(k, "", "element", "the field %s of the master data has no namespace: give it one", "主数据字段 %s 没有命名空间：请补上", k.called())
		default:
			if p.crowded(k, e.ILMD) {
				return
			}
			e.ILMD = addField(e.ILMD, k)
		}
	}
}

// leaf is the text of an element that has no children.
func (p *reader) leaf(n *node) string {
	if len(n.kids) > 0 {
		p.fault(n.kids[0], "", "element", "%s holds a text, not elements", "%s 中应为文本，不能有元素", n.name)
	}
	return n.text
}

// named are the children of the given names, in the extension places too; others are faults.
func (p *reader) named(n *node, names ...string) []*node {
	out := make([]*node, 0, len(n.kids))
next:
	for _, k := range n.kids {
		if standard(k.space) {
			for _, name := range names {
				if k.name == name {
					out = append(out, k)
					continue next
				}
			}
			if wrapper(k) {
				out = append(out, p.named(k, names...)...)
				continue
			}
		}
		p.fault(k, "", "element", "%s has no element %s", "%s 没有元素 %s", n.name, k.called())
	}
	return out
}

// epcs reads a list of identifiers.
func (p *reader) epcs(n *node) []string {
	list := p.named(n, "epc")
	var seen map[string]struct{}
	if n.name == "epcList" && len(list) > 1 {
		// The schema of XML lets an identifier stand twice in it, that of JSON does not. A list without order that names a thing twice (EPCIS 2.0, 7.4.2) says no
		// more than one that names it once, and so it is kept once.
		seen = make(map[string]struct{}, len(list))
	}
	var out []string
	for _, k := range list {
		s := p.leaf(k)
		if s == "" {
			p.fault(k, "", "epc", "the identifier is empty", "标识为空")
			continue
		}
		if seen != nil {
			if _, double := seen[s]; double {
				continue
			}
			seen[s] = struct{}{}
		}
		out = append(out, s)
	}
	return out
}

func (p *reader) quantities(n *node) []epcis.Quantity {
	var out []epcis.Quantity
	for _, k := range p.named(n, "quantityElement") {
		q := epcis.Quantity{}
		for _, x := range p.named(k, "epcClass", "quantity", "uom") {
			switch x.name {
			case "epcClass":
				q.Class = p.leaf(x)
			case "quantity":
				if len(x.attrs) > 0 && x.text == "" {
					continue // xsi:nil
				}
				q.Quantity = p.number(x, "", p.leaf(x))
			case "uom":
				q.Unit = p.leaf(x)
			}
		}
		out = append(out, q)
	}
	return out
}

func (p *reader) typed(n *node, name string, kind epcis.WordKind, add func(kind, id string)) {
	for _, k := range p.named(n, name) {
		t, _ := k.attr("type")
		add(p.word(kind, t), p.leaf(k))
	}
}

func (p *reader) location(n *node) *epcis.Location {
	l := &epcis.Location{}
	p.extended(n, &l.Extensions, func(k *node) bool {
		if k.name == "id" {
			l.ID = p.leaf(k)
			return true
		}
		return false
	})
	return l
}

// extended visits the children of an element that fields of other namespaces may stand in.
func (p *reader) extended(n *node, fields *[]epcis.Field, own func(*node) bool) {
	for _, k := range n.kids {
		switch {
		case !standard(k.space):
			*fields = addField(*fields, k)
		case own(k):
		case wrapper(k):
			p.extended(k, fields, own)
		default:
			p.fault(k, "", "element", "%s has no element %s: give fields of your own a namespace", "%s 没有元素 %s：自有字段须带命名空间", n.name, k.called())
		}
	}
}

func (p *reader) declaration(n *node) *epcis.ErrorDeclaration {
	d := &epcis.ErrorDeclaration{}
	p.extended(n, &d.Extensions, func(k *node) bool {
		switch k.name {
		case "declarationTime":
			d.Time = p.time(k)
		case "reason":
			d.Reason = p.word(epcis.ErrorReason, p.leaf(k))
		case "correctiveEventIDs":
			for _, c := range p.named(k, "correctiveEventID") {
				if s := p.leaf(c); s != "" {
					d.Corrections = append(d.Corrections, s)
				}
			}
		default:
			return false
		}
		return true
	})
	return d
}

func (p *reader) sensor(n *node) epcis.SensorElement {
	s := epcis.SensorElement{}
	p.extended(n, &s.Extensions, func(k *node) bool {
		switch k.name {
		case "sensorMetadata":
			m := &epcis.SensorMetadata{}
			for _, a := range k.attrs {
				if a.space != "" {
					m.Extensions = addAttr(m.Extensions, a)
					continue
				}
				v := strings.TrimSpace(a.value)
				switch a.name {
				case "time":
					m.Time = p.timeOf(k, a.name, v)
				case "startTime":
					m.Start = p.timeOf(k, a.name, v)
				case "endTime":
					m.End = p.timeOf(k, a.name, v)
				case "deviceID":
					m.DeviceID = v
				case "deviceMetadata":
					m.DeviceMetadata = v
				case "rawData":
					m.RawData = v
				case "dataProcessingMethod":
					m.DataProcessingMethod = v
				case "bizRules":
					m.BizRules = v
				default:
					p.fault(k, a.name, "attribute", "sensorMetadata has no attribute %s", "sensorMetadata 没有属性 %s", a.name)
				}
			}
			p.extended(k, &m.Extensions, func(*node) bool { return false })
			s.Metadata = m
		case "sensorReport":
			s.Reports = append(s.Reports, p.report(k))
		default:
			return false
		}
		return true
	})
	return s
}

func (p *reader) report(k *node) epcis.SensorReport {
	var r epcis.SensorReport
	for _, a := range k.attrs {
		if a.space != "" {
			r.Extensions = addAttr(r.Extensions, a)
			continue
		}
		v := strings.TrimSpace(a.value)
		switch a.name {
		case "type":
			r.Type = p.word(epcis.Measurement, v)
		case "exception":
			r.Exception = p.word(epcis.Exception, v)
		case "component":
			r.Component = p.word(epcis.Component, v)
		case "time":
			r.Time = p.timeOf(k, a.name, v)
		case "booleanValue":
			b := v == "true" || v == "1"
			if !b && v != "false" && v != "0" {
				p.fault(k, a.name, "boolean", "booleanValue is %q: it is true or false", "booleanValue 为 %q：应为 true 或 false", short(v))
			}
			r.BooleanValue = &b
		case "deviceID":
			r.DeviceID = v
		case "deviceMetadata":
			r.DeviceMetadata = v
		case "rawData":
			r.RawData = v
		case "dataProcessingMethod":
			r.DataProcessingMethod = v
		case "bizRules":
			r.BizRules = v
		case "microorganism":
			r.Microorganism = v
		case "chemicalSubstance":
			r.ChemicalSubstance = v
		case "coordinateReferenceSystem":
			r.CoordinateReferenceSystem = v
		case "stringValue":
			r.StringValue = a.value
		case "hexBinaryValue":
			r.HexBinaryValue = v
		case "uriValue":
			r.URIValue = v
		case "uom":
			r.Unit = v
		default:
			d := reportNumber(&r, a.name)
			if d == nil {
				p.fault(k, a.name, "attribute", "sensorReport has no attribute %s", "sensorReport 没有属性 %s", a.name)
				continue
			}
			*d = p.number(k, a.name, v)
		}
	}
	p.extended(k, &r.Extensions, func(*node) bool { return false })
	return r
}

// reportNumber is the number of a report that an attribute holds.
func reportNumber(r *epcis.SensorReport, name string) *epcis.Decimal {
	switch name {
	case "value":
		return &r.Value
	case "minValue":
		return &r.MinValue
	case "maxValue":
		return &r.MaxValue
	case "meanValue":
		return &r.MeanValue
	case "sDev":
		return &r.SDev
	case "percRank":
		return &r.PercRank
	case "percValue":
		return &r.PercValue
	}
	return nil
}

func (p *reader) time(n *node) time.Time { return p.timeOf(n, "", p.leaf(n)) }

func (p *reader) timeOf(n *node, attribute, s string) time.Time {
	t, ok := parseTime(s, true)
	if !ok {
		p.fault(n, attribute, "time", "%q is no time with its zone: write it as 2026-01-31T12:00:00.000+08:00", "%q 不是带时区的时间：请按 2026-01-31T12:00:00.000+08:00 填写", short(s))
	}
	return t
}

// number reads a number in digits, as JSON writes them: no INF, no NaN, which mean nothing in an amount.
func (p *reader) number(n *node, attribute, s string) epcis.Decimal {
	s = strings.TrimPrefix(s, "+")
	if !decimal(s) || len(s) > 128 {
		p.fault(n, attribute, "number", "%q is no number: write digits with a point, as 26.5", "%q 不是数字：请用数字和小数点填写，如 26.5", short(s))
		return ""
	}
	if i := strings.IndexByte(s, '.'); i >= 0 { // XML lets a point stand at either end
		if i == 0 || s[i-1] == '-' {
			s = s[:i] + "0" + s[i:]
			i++
		}
		if i+1 == len(s) || s[i+1] < '0' || s[i+1] > '9' {
			s = s[:i] + s[i+1:]
		}
	}
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	for len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' {
		s = s[1:]
	}
	if neg {
		s = "-" + s
	}
	return epcis.Decimal(s)
}

func decimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	digits, point := 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && !point:
			point = true
		case (c == 'e' || c == 'E') && digits > 0:
			x := s[i+1:]
			if x != "" && (x[0] == '+' || x[0] == '-') {
				x = x[1:]
			}
			if x == "" || len(x) > 4 {
				return false
			}
			for j := range len(x) {
				if x[j] < '0' || x[j] > '9' {
					return false
				}
			}
			return true
		default:
			return false
		}
	}
	return digits > 0
}

func addAttr(fields []epcis.Field, a attr) []epcis.Field {
	return append(fields, epcis.Field{Space: a.space, Name: a.name, Prefix: a.prefix, Value: epcis.Value{Kind: epcis.Text, Text: strings.TrimSpace(a.value)}})
}

// addField adds an element of another namespace. One that is repeated becomes a list, as it is in JSON.
func addField(fields []epcis.Field, n *node) []epcis.Field {
	v := valueOf(n, "")
	for i := range fields {
		f := &fields[i]
		if f.Name != n.name || f.Space != n.space {
			continue
		}
		if f.Value.Kind != epcis.List {
			f.Value = epcis.Value{Kind: epcis.List, Items: []epcis.Value{f.Value}}
		}
		f.Value.Items = append(f.Value.Items, v)
		return fields
	}
	return append(fields, epcis.Field{Space: n.space, Name: n.name, Prefix: n.prefix, Value: v})
}

// valueOf is what an element holds. One attribute may be left out.
func valueOf(n *node, except string) epcis.Value {
	v := epcis.Value{Kind: epcis.Text, Text: n.text}
	for _, a := range n.attrs {
		if a.space == "" && a.name == except && except != "" {
			continue
		}
		v.Attrs = addAttr(v.Attrs, a)
	}
	if len(n.kids) == 0 {
		return v
	}
	v.Kind = epcis.Object
	if len(n.kids) > 16 { // a long list is not searched again for each of its items
		at := make(map[[2]string]int, len(n.kids))
		for _, k := range n.kids {
			id := [2]string{k.space, k.name}
			i, ok := at[id]
			if !ok {
				at[id] = len(v.Fields)
				v.Fields = append(v.Fields, epcis.Field{Space: k.space, Name: k.name, Prefix: k.prefix, Value: valueOf(k, "")})
				continue
			}
			one := addField(v.Fields[i:i+1], k)
			v.Fields[i] = one[0]
		}
		return v
	}
	for _, k := range n.kids {
		v.Fields = addField(v.Fields, k)
	}
	return v
}

// crowded refuses an element with more fields of different names than anybody has.
func (p *reader) crowded(n *node, fields []epcis.Field) bool {
	if len(fields) < 4096 {
		return false
	}
	p.fault(n, "", "fields", "there are more than 4096 fields of other namespaces in one place", "同一处其他命名空间的字段超过 4096 个")
	return true
}

// word is a word of a vocabulary: bare when it is the standard's, else its URI, its prefix expanded where the document declares it.
func (p *reader) word(kind epcis.WordKind, s string) string {
	w := epcis.Word(kind, s)
	if w != s || kind >= epcis.Measurement { // what sensors say in words of somebody else stays as it is written: the hash has it so
		return w
	}
	if prefix, rest, ok := strings.Cut(s, ":"); ok && !strings.HasPrefix(rest, "//") {
		if uri, ok := p.merged[prefix]; ok {
			return epcis.Word(kind, uri+rest)
		}
	}
	return s
}
