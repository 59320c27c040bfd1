package epcis

import (
	"fmt"
	"strconv"
	"strings"
)

// Validate says which rules of EPCIS 2.0 and CBV 2.0 the event breaks. Paths are JSON pointers from the event. The first 32 faults are told. It neither changes nor keeps e.
func Validate(e *Event) Faults {
	v := judge{e: e}
	v.event()
	return v.faults
}

type judge struct {
	e      *Event
	faults Faults
}

func (v *judge) fault(path, rule, en, zh string, args ...any) {
	if len(v.faults) >= maxEventFaults {
		return
	}
	if len(args) > 0 {
		en, zh = fmt.Sprintf(en, args...), fmt.Sprintf(zh, args...)
	}
	v.faults = append(v.faults, Fault{Path: path, Rule: rule, EN: en, ZH: zh})
}

func (v *judge) required(ok bool, name string) {
	if !ok {
		v.fault("/"+name, "required", "the event has no %s", "事件缺少 %s", name)
	}
}

func (v *judge) absent(ok bool, name string) {
	if !ok {
		v.fault("/"+name, "field", "%[1]s has no %[2]s", "%[1]s 没有 %[2]s 字段", v.e.Type, name)
	}
}

// uri checks an identifier, which may be empty.
func (v *judge) uri(s string, path ...string) {
	if s != "" && !isIdentifier(s) {
		v.fault(strings.Join(path, ""), "uri", "%q is no identifier: write a URI (urn:epc:id:…, https://…) or prefix/name", "%q 不是标识：请写 URI（urn:epc:id:…、https://…）或 前缀/名称", s)
	}
}

func (v *judge) uris(list []string, unique bool, path string) {
	var set map[string]struct{}
	if unique && len(list) > 16 {
		set = make(map[string]struct{}, len(list))
	}
	for i, s := range list {
		if s == "" || !isIdentifier(s) {
			v.fault(path+"/"+strconv.Itoa(i), "uri", "%q is no identifier: write a URI (urn:epc:id:…, https://…) or prefix/name", "%q 不是标识：请写 URI（urn:epc:id:…、https://…）或 前缀/名称", s)
		}
		if !unique {
			continue
		}
		double := false
		if set != nil {
			_, double = set[s]
			set[s] = struct{}{}
		} else {
			for _, other := range list[:i] {
				double = double || other == s
			}
		}
		if double {
			v.fault(path+"/"+strconv.Itoa(i), "unique", "%q stands twice in the list: name it once", "%q 在列表中出现两次：请只写一次", s)
		}
	}
}

// word checks a word of a vocabulary, which may be empty.
func (v *judge) word(kind WordKind, s string, path ...string) {
	switch {
	case s == "" || IsWord(kind, s) || kind == Measurement && isTerm(s):
	case !isURI(s):
		v.fault(strings.Join(path, ""), "word", "%q is no word of the CBV: take one of its words, or write the full URI of your own", "%q 不是 CBV 的词：请用其中的词，或写自有词的完整 URI", s)
	case strings.HasPrefix(s, cbvURN):
		v.fault(strings.Join(path, ""), "word", "the CBV has no word %q: take one of its words, or a URI of your own namespace", "CBV 中没有 %q：请用其中的词，或用自有命名空间的 URI", s)
	default:
		v.uri(s, path...)
	}
}

func (v *judge) decimal(d Decimal, path ...string) {
	if d != "" && !d.IsValid() {
		v.fault(strings.Join(path, ""), "decimal", "%q is no number", "%q 不是数字", string(d))
	}
}

// isUnit says whether s looks like a code of UN/CEFACT Recommendation 20.
func isUnit(s string) bool {
	if len(s) < 2 || len(s) > 3 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func (v *judge) quantities(list []Quantity, path string) {
	for i := range list {
		q := &list[i]
		at := func() string { return path + "/" + strconv.Itoa(i) }
		if q.Class == "" {
			v.fault(at()+"/epcClass", "required", "the quantity has no epcClass", "数量缺少 epcClass")
		} else if !isIdentifier(q.Class) {
			v.uri(q.Class, at(), "/epcClass")
		}
		switch {
		case q.Quantity == "":
			if q.Unit != "" {
				v.fault(at()+"/quantity", "required", "a unit without a quantity", "有单位而无数量")
			}
		case !q.Quantity.IsValid():
			v.decimal(q.Quantity, at(), "/quantity")
		case q.Quantity[0] == '-':
			v.fault(at()+"/quantity", "quantity", "the quantity %s is negative", "数量 %s 为负数", string(q.Quantity))
		case q.Unit == "" && !q.Quantity.isWhole():
			v.fault(at()+"/quantity", "quantity", "the quantity %s has no unit and is no whole number: give its uom", "数量 %s 没有单位又非整数：请给出 uom", string(q.Quantity))
		}
		if q.Unit != "" && !isUnit(q.Unit) {
			v.fault(at()+"/uom", "uom", "%q is no unit code: two or three capitals or digits of UN/CEFACT Recommendation 20, KGM", "%q 不是计量单位代码：应为 UN/CEFACT 第 20 号建议书的两三位大写字母或数字，如 KGM", q.Unit)
		}
	}
}

func (d Decimal) isWhole() bool {
	_, _, exponent, ok := d.parts()
	return ok && exponent >= 0
}

func (v *judge) location(l *Location, path string) {
	switch {
	case l == nil:
	case l.ID == "":
		v.fault(path+"/id", "required", "the place has no id", "位置缺少 id")
	default:
		v.uri(l.ID, path, "/id")
	}
}

func (v *judge) parties(list []Party, path, name string) {
	for i := range list {
		p := &list[i]
		at := func() string { return path + "/" + strconv.Itoa(i) }
		if p.Type == "" {
			v.fault(at()+"/type", "required", "the %[1]s has no type: owning_party, possessing_party or location", "%[1]s 缺少 type：owning_party、possessing_party 或 location", name)
		} else if !IsWord(PartyType, p.Type) {
			v.word(PartyType, p.Type, at(), "/type")
		}
		if p.ID == "" {
			v.fault(at()+"/"+name, "required", "the %[1]s has no identifier", "%[1]s 缺少标识", name)
		} else if !isIdentifier(p.ID) {
			v.uri(p.ID, at(), "/", name)
		}
	}
}

// isOffset says whether s is ±hh:mm of at most 14 hours.
func isOffset(s string) bool {
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' || !allDigits(s[1:3]) || !allDigits(s[4:]) || s[4] > '5' {
		return false
	}
	return s[1:3] < "14" || s[1:] == "14:00"
}

func (v *judge) event() {
	e := v.e
	_, standard := eventTypes[e.Type]
	switch {
	case e.Type == "":
		v.fault("/type", "required", "the event has no type", "事件缺少 type")
	case !standard && !isURI(string(e.Type)):
		v.fault("/type", "type", "%q is no kind of event: ObjectEvent, AggregationEvent, TransactionEvent, TransformationEvent, AssociationEvent, or a URI of your own", "%q 不是事件类型：应为 ObjectEvent、AggregationEvent、TransactionEvent、TransformationEvent、AssociationEvent，或自有类型的 URI", string(e.Type))
	}
	v.required(!e.Time.IsZero(), "eventTime")
	if e.TimeZoneOffset == "" {
		v.required(false, "eventTimeZoneOffset")
	} else if !isOffset(e.TimeZoneOffset) {
		v.fault("/eventTimeZoneOffset", "offset", "%q is no offset: write +08:00", "%q 不是时区偏移：请写 +08:00", e.TimeZoneOffset)
	}
	v.uri(e.ID, "/eventID")
	if len(e.Certification) == 1 {
		v.uri(e.Certification[0], "/certificationInfo")
	} else {
		v.uris(e.Certification, false, "/certificationInfo")
	}
	if d := e.Error; d != nil {
		if d.Time.IsZero() {
			v.fault("/errorDeclaration/declarationTime", "required", "the error declaration has no declarationTime", "错误声明缺少 declarationTime")
		}
		v.word(ErrorReason, d.Reason, "/errorDeclaration/reason")
		v.uris(d.Corrections, false, "/errorDeclaration/correctiveEventIDs")
	}
	switch {
	case e.Type == TransformationEvent:
		v.absent(e.Action == "", "action")
	case e.Action == "":
		if standard {
			v.required(false, "action")
		}
	case e.Action != Add && e.Action != Observe && e.Action != Delete:
		v.fault("/action", "action", "%q is no action: ADD, OBSERVE or DELETE", "%q 不是 action：应为 ADD、OBSERVE 或 DELETE", string(e.Action))
	}
	children := e.Type.hasChildren()
	epcs, quantities := "/epcList", "/quantityList"
	if children {
		epcs, quantities = "/childEPCs", "/childQuantityList"
	}
	v.uri(e.Parent, "/parentID")
	v.uris(e.EPCs, !children, epcs)
	v.quantities(e.Quantities, quantities)
	v.uris(e.InputEPCs, false, "/inputEPCList")
	v.uris(e.OutputEPCs, false, "/outputEPCList")
	v.quantities(e.InputQuantities, "/inputQuantityList")
	v.quantities(e.OutputQuantities, "/outputQuantityList")
	v.uri(e.TransformationID, "/transformationID")
	if standard {
		v.kind()
	}
	v.word(BizStep, e.BizStep, "/bizStep")
	v.word(Disposition, e.Disposition, "/disposition")
	if d := e.PersistentDispositions; d != nil {
		if len(d.Set)+len(d.Unset) == 0 {
			v.fault("/persistentDisposition", "required", "a persistentDisposition sets or unsets one disposition at least", "persistentDisposition 至少要设置或取消一个状态")
		}
		for i, s := range d.Set {
			v.word(Disposition, s, "/persistentDisposition/set/", strconv.Itoa(i))
		}
		for i, s := range d.Unset {
			v.word(Disposition, s, "/persistentDisposition/unset/", strconv.Itoa(i))
		}
	}
	v.location(e.ReadPoint, "/readPoint")
	v.location(e.BizLocation, "/bizLocation")
	for i := range e.Transactions {
		t := &e.Transactions[i]
		at := "/bizTransactionList/" + strconv.Itoa(i)
		v.word(TransactionType, t.Type, at, "/type")
		if t.ID == "" {
			v.fault(at+"/bizTransaction", "required", "the business transaction has no identifier", "业务单据缺少标识")
		}
		v.uri(t.ID, at, "/bizTransaction")
	}
	v.parties(e.Sources, "/sourceList", "source")
	v.parties(e.Destinations, "/destinationList", "destination")
	for i := range e.Sensors {
		v.sensor(&e.Sensors[i], "/sensorElementList/"+strconv.Itoa(i))
	}
}

// kind judges what only some kinds of events have.
func (v *judge) kind() {
	e := v.e
	transformation := e.Type == TransformationEvent
	if transformation {
		v.absent(len(e.EPCs) == 0, "epcList")
		v.absent(len(e.Quantities) == 0, "quantityList")
		in, out := len(e.InputEPCs)+len(e.InputQuantities) > 0, len(e.OutputEPCs)+len(e.OutputQuantities) > 0
		if e.TransformationID != "" {
			if !in && !out {
				v.fault("/inputEPCList", "required", "the transformation has neither inputs nor outputs", "转化事件既无投入也无产出")
			}
		} else {
			if !in {
				v.fault("/inputEPCList", "required", "the transformation has no inputs: give inputEPCList or inputQuantityList, or a transformationID that joins it to others", "转化事件没有投入：请给出 inputEPCList 或 inputQuantityList，或用 transformationID 与其他事件相连")
			}
			if !out {
				v.fault("/outputEPCList", "required", "the transformation has no outputs: give outputEPCList or outputQuantityList, or a transformationID that joins it to others", "转化事件没有产出：请给出 outputEPCList 或 outputQuantityList，或用 transformationID 与其他事件相连")
			}
		}
	} else {
		v.absent(len(e.InputEPCs) == 0, "inputEPCList")
		v.absent(len(e.OutputEPCs) == 0, "outputEPCList")
		v.absent(len(e.InputQuantities) == 0, "inputQuantityList")
		v.absent(len(e.OutputQuantities) == 0, "outputQuantityList")
		v.absent(e.TransformationID == "", "transformationID")
	}
	things := len(e.EPCs)+len(e.Quantities) > 0
	switch e.Type {
	case ObjectEvent:
		v.absent(e.Parent == "", "parentID")
		if !things && (len(e.Sensors) == 0 || e.ReadPoint == nil) {
			v.fault("/epcList", "required", "the event names nothing: give epcList or quantityList, or sensors and a readPoint", "事件未指明任何对象：请给出 epcList 或 quantityList，或传感器数据与 readPoint")
		}
		if len(e.ILMD) > 0 && e.Action != Add {
			v.fault("/ilmd", "ilmd", "ilmd goes with the action ADD only", "ilmd 只能与 action ADD 同用")
		}
	case AggregationEvent, AssociationEvent:
		if e.Parent == "" && (e.Type == AssociationEvent || e.Action == Add || e.Action == Delete) {
			v.required(false, "parentID")
		}
		if !things && e.Action != Delete {
			v.fault("/childEPCs", "required", "the event has no children: give childEPCs or childQuantityList", "事件没有子对象：请给出 childEPCs 或 childQuantityList")
		}
	case TransactionEvent:
		v.required(len(e.Transactions) > 0, "bizTransactionList")
		if !things && e.Parent == "" && e.Action != Delete {
			v.fault("/epcList", "required", "the event names nothing: give epcList or quantityList", "事件未指明任何对象：请给出 epcList 或 quantityList")
		}
	case TransformationEvent:
		v.absent(e.Parent == "", "parentID")
	}
	if e.Type != ObjectEvent && !transformation {
		v.absent(len(e.ILMD) == 0, "ilmd")
	}
}

func (v *judge) sensor(s *SensorElement, path string) {
	if m := s.Metadata; m != nil {
		at := path + "/sensorMetadata"
		v.uri(m.DeviceID, at, "/deviceID")
		v.uri(m.DeviceMetadata, at, "/deviceMetadata")
		v.uri(m.RawData, at, "/rawData")
		v.uri(m.DataProcessingMethod, at, "/dataProcessingMethod")
		v.uri(m.BizRules, at, "/bizRules")
		if !m.Start.IsZero() && !m.End.IsZero() && m.End.Before(m.Start) {
			v.fault(at+"/endTime", "time", "endTime is before startTime", "endTime 早于 startTime")
		}
	}
	if len(s.Reports) == 0 {
		v.fault(path+"/sensorReport", "required", "the sensor element has no sensorReport", "传感器元素缺少 sensorReport")
	}
	for i := range s.Reports {
		r := &s.Reports[i]
		at := path + "/sensorReport/" + strconv.Itoa(i)
		if r.Type == "" && r.Exception == "" {
			v.fault(at+"/type", "required", "the sensor report has no type", "传感器报告缺少 type")
		}
		v.word(Measurement, r.Type, at, "/type")
		v.word(Exception, r.Exception, at, "/exception")
		v.word(Component, r.Component, at, "/component")
		v.uri(r.DeviceID, at, "/deviceID")
		v.uri(r.DeviceMetadata, at, "/deviceMetadata")
		v.uri(r.RawData, at, "/rawData")
		v.uri(r.DataProcessingMethod, at, "/dataProcessingMethod")
		v.uri(r.BizRules, at, "/bizRules")
		v.uri(r.Microorganism, at, "/microorganism")
		v.uri(r.ChemicalSubstance, at, "/chemicalSubstance")
		v.uri(r.CoordinateReferenceSystem, at, "/coordinateReferenceSystem")
		v.uri(r.URIValue, at, "/uriValue")
		for _, d := range [...]struct {
			name string
			d    Decimal
		}{{"/value", r.Value}, {"/minValue", r.MinValue}, {"/maxValue", r.MaxValue}, {"/meanValue", r.MeanValue}, {"/sDev", r.SDev}, {"/percRank", r.PercRank}, {"/percValue", r.PercValue}} {
			v.decimal(d.d, at, d.name)
		}
		for j := range len(r.HexBinaryValue) {
			if nibble(r.HexBinaryValue[j]) > 15 {
				v.fault(at+"/hexBinaryValue", "hexBinary", "%q is not hexadecimal", "%q 不是十六进制", r.HexBinaryValue)
				break
			}
		}
		if r.MinValue.IsValid() && r.MaxValue.IsValid() && r.MinValue.Cmp(r.MaxValue) > 0 {
			v.fault(at+"/minValue", "range", "minValue %s is above maxValue %s", "minValue %s 大于 maxValue %s", string(r.MinValue), string(r.MaxValue))
		}
	}
}
