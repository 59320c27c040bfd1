package query

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// What a test costs, about.
const (
	costWord = iota
	costThing
	costSensor
	costField
	costInner
	costMaster
)

func always(*Query, *epcis.Event) bool { return true }

// oneOf is a set of texts.
type oneOf struct {
	list []string
	m    map[string]struct{} // when the list is long
}

func newOneOf(list []string) oneOf {
	o := oneOf{list: list}
	if len(list) > 8 {
		o.m = make(map[string]struct{}, len(list))
		for _, s := range list {
			o.m[s] = struct{}{}
		}
	}
	return o
}

func (o *oneOf) has(s string) bool {
	if o.m != nil {
		_, ok := o.m[s]
		return ok
	}
	for _, t := range o.list {
		if s == t {
			return true
		}
	}
	return false
}

// things is a set of identifiers, whatever their spelling, and of patterns.
type things struct {
	raw, keys oneOf
	prefixes  []string // of keys, sorted, none the beginning of another
}

func newThings(list []string) *things {
	t := &things{raw: newOneOf(list)}
	keys := make([]string, len(list))
	for i, s := range list {
		keys[i] = epcis.Key(s)
	}
	t.keys = newOneOf(keys)
	return t
}

// newPatterns is newThings with the patterns among the values: urn:epc:idpat:… with "*" components, and every text that ends in "*".
func newPatterns(list []string) *things {
	list = slices.Clone(list)
	for i, s := range list {
		// A pattern without "*" is one thing.
		if rest, ok := cutFold(s, "urn:epc:idpat:"); ok && !strings.Contains(rest, "*") {
			list[i] = "urn:epc:id:" + rest
		}
	}
	t := newThings(list)
	var all []string
	for _, s := range list {
		all = append(all, prefixes(s)...)
	}
	slices.Sort(all)
	for _, s := range all {
		if n := len(t.prefixes); n == 0 || !strings.HasPrefix(s, t.prefixes[n-1]) {
			t.prefixes = append(t.prefixes, s)
		}
	}
	return t
}

func (t *things) has(id string) bool {
	if id == "" {
		return false
	}
	if t.raw.has(id) {
		return true
	}
	key := epcis.Key(id)
	if t.keys.has(key) {
		return true
	}
	// None is the beginning of another, so that the last one that is not greater is the only candidate.
	i := sort.SearchStrings(t.prefixes, key)
	return i < len(t.prefixes) && t.prefixes[i] == key || i > 0 && strings.HasPrefix(key, t.prefixes[i-1])
}

func (t *things) any(list []string) bool {
	for _, s := range list {
		if t.has(s) {
			return true
		}
	}
	return false
}

func (t *things) anyClass(list []epcis.Quantity) bool {
	for i := range list {
		if t.has(list[i].Class) {
			return true
		}
	}
	return false
}

// known is a parameter of a fixed name.
type known struct {
	shape   shape
	cost    int
	literal bool // its values are no URIs: no prefix is expanded
	make    func(p *param, v values) error
}

// words is a parameter over a field that holds a word of the CBV or a URI.
func words(k epcis.WordKind, of func(e *epcis.Event) string, bound func(b *Bounds, list []string)) known {
	return known{shape: shapeTexts, make: func(p *param, v values) error {
		list := make([]string, len(v.texts))
		for i, s := range v.texts {
			list[i] = epcis.Word(k, s)
		}
		set := newOneOf(list)
		p.test = func(_ *Query, e *epcis.Event) bool { s := of(e); return s != "" && set.has(s) }
		if bound != nil {
			p.bound = func(_ *Query, b *Bounds) { bound(b, list) }
		}
		return nil
	}}
}

// dispositions is a parameter over a list of dispositions.
func dispositions(of func(p *epcis.PersistentDisposition) []string) known {
	return known{shape: shapeTexts, make: func(p *param, v values) error {
		list := make([]string, len(v.texts))
		for i, s := range v.texts {
			list[i] = epcis.Word(epcis.Disposition, s)
		}
		set := newOneOf(list)
		p.test = func(_ *Query, e *epcis.Event) bool {
			return e.PersistentDispositions != nil && slices.ContainsFunc(of(e.PersistentDispositions), set.has)
		}
		return nil
	}}
}

// moment is a pair of bounds on a time.
func moment(lt bool, any func(e *epcis.Event, f func(time.Time) bool) bool, bound func(b *Bounds) *Interval) known {
	return known{shape: shapeTime, make: func(p *param, v values) error {
		holds := func(t time.Time) bool { return !t.IsZero() && t.Before(v.time) == lt }
		p.test = func(_ *Query, e *epcis.Event) bool { return any(e, holds) }
		if bound != nil {
			p.bound = func(_ *Query, b *Bounds) { bound(b).narrow(lt, v.time) }
		}
		return nil
	}}
}

// match is a MATCH_ parameter.
func match(any func(e *epcis.Event, t *things) bool, roles ...epcis.Role) known {
	return known{shape: shapeTexts, cost: costThing, make: func(p *param, v values) error {
		t := newPatterns(v.texts)
		p.test = func(_ *Query, e *epcis.Event) bool { return any(e, t) }
		set := NameSet{Roles: roles, Keys: t.keys.list, Prefix: len(t.prefixes) > 0}
		if set.Prefix {
			// Whole keys are beginnings of themselves.
			set.Keys = slices.Clone(t.prefixes)
			for _, key := range t.keys.list {
				i := sort.SearchStrings(t.prefixes, key)
				if i < len(t.prefixes) && t.prefixes[i] == key || i > 0 && strings.HasPrefix(key, t.prefixes[i-1]) {
					continue
				}
				set.Keys = append(set.Keys, key)
			}
		}
		p.bound = func(_ *Query, b *Bounds) { b.Names = append(b.Names, set) }
		return nil
	}}
}

// uris is a parameter over identifiers.
func uris(cost int, any func(e *epcis.Event, f func(string) bool) bool, bound func(b *Bounds, keys []string)) known {
	return known{shape: shapeTexts, cost: cost, make: func(p *param, v values) error {
		t := newThings(v.texts)
		p.test = func(_ *Query, e *epcis.Event) bool { return any(e, t.has) }
		if bound != nil {
			p.bound = func(_ *Query, b *Bounds) { bound(b, t.keys.list) }
		}
		return nil
	}}
}

// literals is a parameter over texts that are compared as they are.
func literals(any func(e *epcis.Event, f func(string) bool) bool, fold bool) known {
	return known{shape: shapeTexts, cost: costSensor, literal: true, make: func(p *param, v values) error {
		list := slices.Clone(v.texts)
		if fold {
			for i := range list {
				list[i] = strings.ToUpper(list[i])
			}
		}
		set := newOneOf(list)
		p.test = func(_ *Query, e *epcis.Event) bool {
			return any(e, func(s string) bool {
				if fold {
					s = strings.ToUpper(s)
				}
				return s != "" && set.has(s)
			})
		}
		return nil
	}}
}

// exists is a parameter that asks whether something is there.
func exists(of func(e *epcis.Event) bool) known {
	return known{shape: shapeExists, make: func(p *param, v values) error {
		p.test = always
		if v.yes {
			p.test = func(_ *Query, e *epcis.Event) bool { return of(e) }
		}
		return nil
	}}
}

func eventTime(e *epcis.Event, f func(time.Time) bool) bool  { return f(e.Time) }
func recordTime(e *epcis.Event, f func(time.Time) bool) bool { return f(e.RecordTime) }
func errorTime(e *epcis.Event, f func(time.Time) bool) bool {
	return e.Error != nil && f(e.Error.Time)
}

// metadata reports whether f holds for one of the sensors' metadata.
func metadata(e *epcis.Event, f func(m *epcis.SensorMetadata) bool) bool {
	for i := range e.Sensors {
		if m := e.Sensors[i].Metadata; m != nil && f(m) {
			return true
		}
	}
	return false
}

// reports reports whether f holds for one of the sensors' reports.
func reports(e *epcis.Event, f func(r *epcis.SensorReport) bool) bool {
	for i := range e.Sensors {
		list := e.Sensors[i].Reports
		for j := range list {
			if f(&list[j]) {
				return true
			}
		}
	}
	return false
}

func sensorTime(e *epcis.Event, f func(time.Time) bool) bool {
	return metadata(e, func(m *epcis.SensorMetadata) bool { return f(m.Time) }) || reports(e, func(r *epcis.SensorReport) bool { return f(r.Time) })
}

func startTime(e *epcis.Event, f func(time.Time) bool) bool {
	return metadata(e, func(m *epcis.SensorMetadata) bool { return f(m.Start) })
}

func endTime(e *epcis.Event, f func(time.Time) bool) bool {
	return metadata(e, func(m *epcis.SensorMetadata) bool { return f(m.End) })
}

// both is a field that metadata and reports have.
func both(m func(*epcis.SensorMetadata) string, r func(*epcis.SensorReport) string) func(e *epcis.Event, f func(string) bool) bool {
	return func(e *epcis.Event, f func(string) bool) bool {
		return metadata(e, func(x *epcis.SensorMetadata) bool { return f(m(x)) }) || reports(e, func(x *epcis.SensorReport) bool { return f(r(x)) })
	}
}

// reported is a field of reports.
func reported(of func(*epcis.SensorReport) string) func(e *epcis.Event, f func(string) bool) bool {
	return func(e *epcis.Event, f func(string) bool) bool {
		return reports(e, func(r *epcis.SensorReport) bool { return f(of(r)) })
	}
}

// quantities reports whether f holds for one of the event's quantities.
func quantities(e *epcis.Event, f func(*epcis.Quantity) bool) bool {
	for _, list := range [...][]epcis.Quantity{e.Quantities, e.InputQuantities, e.OutputQuantities} {
		for i := range list {
			if f(&list[i]) {
				return true
			}
		}
	}
	return false
}

// amount is a comparison of a number that has no unit in the parameter's name.
func amount(o op, any func(e *epcis.Event, f func(epcis.Decimal) bool) bool) known {
	k := known{shape: shapeNumber, cost: costThing}
	if o == opEQ {
		k.shape = shapeNumbers
	}
	k.make = func(p *param, v values) error {
		holds := func(d epcis.Decimal) bool {
			return d.IsValid() && slices.ContainsFunc(v.numbers, func(n epcis.Decimal) bool { return o.holds(compareNumbers(d, n)) })
		}
		p.test = func(_ *Query, e *epcis.Event) bool { return any(e, holds) }
		return nil
	}
	return k
}

func quantity(e *epcis.Event, f func(epcis.Decimal) bool) bool {
	return quantities(e, func(q *epcis.Quantity) bool { return f(q.Quantity) })
}

func percRank(e *epcis.Event, f func(epcis.Decimal) bool) bool {
	return reports(e, func(r *epcis.SensorReport) bool { return f(r.PercRank) })
}

// place is EQ_ or WD_ of a place.
func place(below bool, of func(e *epcis.Event) *epcis.Location, bound func(b *Bounds) (keys *[]string, below *bool)) known {
	return known{shape: shapeTexts, cost: costThing, make: func(p *param, v values) error {
		t := newThings(v.texts)
		if !below {
			p.test = func(_ *Query, e *epcis.Event) bool { l := of(e); return l != nil && t.has(l.ID) }
			p.bound = func(_ *Query, b *Bounds) { keys, _ := bound(b); restrict(keys, t.keys.list) }
			return nil
		}
		d := &descent{roots: t.keys.list}
		p.test = func(q *Query, e *epcis.Event) bool {
			l := of(e)
			return l != nil && l.ID != "" && (t.has(l.ID) || q.Descendants != nil && d.has(q, epcis.Key(l.ID)))
		}
		p.bound = func(q *Query, b *Bounds) {
			keys, below := bound(b)
			*below = true
			restrict(keys, d.ask(q).list)
		}
		return nil
	}}
}

func readPoint(e *epcis.Event) *epcis.Location   { return e.ReadPoint }
func bizLocation(e *epcis.Event) *epcis.Location { return e.BizLocation }
func boundReadPoint(b *Bounds) (*[]string, *bool) {
	return &b.ReadPoints, &b.ReadPointsBelow
}
func boundBizLocation(b *Bounds) (*[]string, *bool) {
	return &b.BizLocations, &b.BizLocationsBelow
}

// fixed are the parameters of fixed names.
var fixed = map[string]known{
	"eventType": {shape: shapeTexts, make: func(p *param, v values) error {
		list := make([]epcis.EventType, len(v.texts))
		for i, s := range v.texts {
			switch t := epcis.EventType(s); {
			case t == epcis.ObjectEvent, t == epcis.AggregationEvent, t == epcis.TransactionEvent, t == epcis.TransformationEvent, t == epcis.AssociationEvent,
				strings.ContainsRune(s, ':'):
				list[i] = t
			default:
				return refuse(p.name, clip(s)+" is no type of event; a type of one's own is a URI", clip(s)+" 不是事件类型；自定义类型须为 URI")
			}
		}
		p.test = func(_ *Query, e *epcis.Event) bool { return slices.Contains(list, e.Type) }
		p.bound = func(_ *Query, b *Bounds) { restrict(&b.Types, list) }
		return nil
	}},
	"EQ_action": {shape: shapeTexts, make: func(p *param, v values) error {
		for _, s := range v.texts {
			if a := epcis.Action(s); a != epcis.Add && a != epcis.Observe && a != epcis.Delete {
				return refuse(p.name, clip(s)+" is neither ADD, OBSERVE nor DELETE", clip(s)+" 不是 ADD、OBSERVE 或 DELETE")
			}
		}
		p.test = func(_ *Query, e *epcis.Event) bool { return slices.Contains(v.texts, string(e.Action)) }
		return nil
	}},
	"GE_eventTime":  moment(false, eventTime, func(b *Bounds) *Interval { return &b.EventTime }),
	"LT_eventTime":  moment(true, eventTime, func(b *Bounds) *Interval { return &b.EventTime }),
	"GE_recordTime": moment(false, recordTime, func(b *Bounds) *Interval { return &b.RecordTime }),
	"LT_recordTime": moment(true, recordTime, func(b *Bounds) *Interval { return &b.RecordTime }),
	"EQ_bizStep": words(epcis.BizStep, func(e *epcis.Event) string { return e.BizStep },
		func(b *Bounds, list []string) { restrict(&b.Steps, list) }),
	"EQ_disposition": words(epcis.Disposition, func(e *epcis.Event) string { return e.Disposition },
		func(b *Bounds, list []string) { restrict(&b.Dispositions, list) }),
	"EQ_persistentDisposition_set":   dispositions(func(p *epcis.PersistentDisposition) []string { return p.Set }),
	"EQ_persistentDisposition_unset": dispositions(func(p *epcis.PersistentDisposition) []string { return p.Unset }),
	"EQ_readPoint":                   place(false, readPoint, boundReadPoint),
	"WD_readPoint":                   place(true, readPoint, boundReadPoint),
	"EQ_bizLocation":                 place(false, bizLocation, boundBizLocation),
	"WD_bizLocation":                 place(true, bizLocation, boundBizLocation),
	"EQ_transformationID": uris(costThing, func(e *epcis.Event, f func(string) bool) bool { return f(e.TransformationID) },
		func(b *Bounds, keys []string) { restrict(&b.Transformations, keys) }),

	"MATCH_epc":       match(func(e *epcis.Event, t *things) bool { return t.any(e.EPCs) }, epcis.RoleEPC, epcis.RoleChild),
	"MATCH_parentID":  match(func(e *epcis.Event, t *things) bool { return t.has(e.Parent) }, epcis.RoleParent),
	"MATCH_inputEPC":  match(func(e *epcis.Event, t *things) bool { return t.any(e.InputEPCs) }, epcis.RoleInput),
	"MATCH_outputEPC": match(func(e *epcis.Event, t *things) bool { return t.any(e.OutputEPCs) }, epcis.RoleOutput),
	"MATCH_anyEPC": match(func(e *epcis.Event, t *things) bool {
		return t.has(e.Parent) || t.any(e.EPCs) || t.any(e.InputEPCs) || t.any(e.OutputEPCs)
	}, epcis.RoleEPC, epcis.RoleParent, epcis.RoleChild, epcis.RoleInput, epcis.RoleOutput),
	"MATCH_epcClass":       match(func(e *epcis.Event, t *things) bool { return t.anyClass(e.Quantities) }, epcis.RoleEPCClass, epcis.RoleChildClass),
	"MATCH_inputEPCClass":  match(func(e *epcis.Event, t *things) bool { return t.anyClass(e.InputQuantities) }, epcis.RoleInputClass),
	"MATCH_outputEPCClass": match(func(e *epcis.Event, t *things) bool { return t.anyClass(e.OutputQuantities) }, epcis.RoleOutputClass),
	"MATCH_anyEPCClass": match(func(e *epcis.Event, t *things) bool {
		return t.anyClass(e.Quantities) || t.anyClass(e.InputQuantities) || t.anyClass(e.OutputQuantities)
	}, epcis.RoleEPCClass, epcis.RoleChildClass, epcis.RoleInputClass, epcis.RoleOutputClass),

	"EQ_quantity": amount(opEQ, quantity),
	"GT_quantity": amount(opGT, quantity),
	"GE_quantity": amount(opGE, quantity),
	"LT_quantity": amount(opLT, quantity),
	"LE_quantity": amount(opLE, quantity),

	"EQ_eventID": {shape: shapeTexts, make: func(p *param, v values) error {
		set := newOneOf(v.texts)
		p.test = func(_ *Query, e *epcis.Event) bool { return e.ID != "" && set.has(e.ID) }
		p.bound = func(_ *Query, b *Bounds) { restrict(&b.EventIDs, v.texts) }
		return nil
	}},
	"EXISTS_errorDeclaration": exists(func(e *epcis.Event) bool { return e.Error != nil }),
	"GE_errorDeclarationTime": moment(false, errorTime, nil),
	"LT_errorDeclarationTime": moment(true, errorTime, nil),
	"EQ_errorReason": words(epcis.ErrorReason, func(e *epcis.Event) string {
		if e.Error == nil {
			return ""
		}
		return e.Error.Reason
	}, nil),
	"EQ_correctiveEventID": {shape: shapeTexts, make: func(p *param, v values) error {
		set := newOneOf(v.texts)
		p.test = func(_ *Query, e *epcis.Event) bool {
			return e.Error != nil && slices.ContainsFunc(e.Error.Corrections, set.has)
		}
		return nil
	}},

	"EXISTS_sensorElementList": exists(func(e *epcis.Event) bool { return len(e.Sensors) > 0 }),
	"GE_time":                  moment(false, sensorTime, nil),
	"LT_time":                  moment(true, sensorTime, nil),
	"GE_startTime":             moment(false, startTime, nil),
	"LT_startTime":             moment(true, startTime, nil),
	"GE_endTime":               moment(false, endTime, nil),
	"LT_endTime":               moment(true, endTime, nil),
	"EQ_type": {shape: shapeTexts, cost: costSensor, make: func(p *param, v values) error {
		list := make([]string, len(v.texts))
		for i, s := range v.texts {
			list[i] = epcis.Word(epcis.Measurement, s)
		}
		set := newOneOf(list)
		p.test = func(_ *Query, e *epcis.Event) bool {
			return reports(e, func(r *epcis.SensorReport) bool { return r.Type != "" && set.has(r.Type) })
		}
		return nil
	}},
	"EQ_deviceID": uris(costSensor, both(func(m *epcis.SensorMetadata) string { return m.DeviceID }, func(r *epcis.SensorReport) string { return r.DeviceID }), nil),
	"EQ_dataProcessingMethod": uris(costSensor, both(func(m *epcis.SensorMetadata) string { return m.DataProcessingMethod },
		func(r *epcis.SensorReport) string { return r.DataProcessingMethod }), nil),
	"EQ_bizRules":          uris(costSensor, both(func(m *epcis.SensorMetadata) string { return m.BizRules }, func(r *epcis.SensorReport) string { return r.BizRules }), nil),
	"EQ_microorganism":     uris(costSensor, reported(func(r *epcis.SensorReport) string { return r.Microorganism }), nil),
	"EQ_chemicalSubstance": uris(costSensor, reported(func(r *epcis.SensorReport) string { return r.ChemicalSubstance }), nil),
	"EQ_uriValue":          uris(costSensor, reported(func(r *epcis.SensorReport) string { return r.URIValue }), nil),
	"EQ_stringValue":       literals(reported(func(r *epcis.SensorReport) string { return r.StringValue }), false),
	"EQ_hexBinaryValue":    literals(reported(func(r *epcis.SensorReport) string { return r.HexBinaryValue }), true),
	"EQ_booleanValue": {shape: shapeBool, cost: costSensor, make: func(p *param, v values) error {
		p.test = func(_ *Query, e *epcis.Event) bool {
			return reports(e, func(r *epcis.SensorReport) bool { return r.BooleanValue != nil && *r.BooleanValue == v.yes })
		}
		return nil
	}},
	"EQ_percRank": amount(opEQ, percRank),
	"GT_percRank": amount(opGT, percRank),
	"GE_percRank": amount(opGE, percRank),
	"LT_percRank": amount(opLT, percRank),
	"LE_percRank": amount(opLE, percRank),
}

// compileTyped is EQ_bizTransaction_T, EQ_source_T, EQ_destination_T.
func (r *reader) compileTyped(p *param, field, t string) error {
	p.shape, p.cost = shapeTexts, costThing
	if len(t) > 1024 || strings.ContainsAny(t, " \t\r\n\x00") {
		return errUnknown(p.name)
	}
	if !isWordText(t) && !strings.ContainsRune(t, ':') {
		return errUnknown(p.name)
	}
	if f, ok := r.context.name(t); ok && f.prefix != "" && f.prefix != "cbv" && f.space != "" {
		p.field, p.head = &f, p.name[:len(p.name)-len(t)]
	}
	v, err := r.check(p)
	if err != nil {
		return err
	}
	t = r.context.expand(t)
	set := newThings(v.texts)
	if field == "bizTransaction" {
		t = epcis.Word(epcis.TransactionType, t)
		p.test = func(_ *Query, e *epcis.Event) bool {
			return slices.ContainsFunc(e.Transactions, func(x epcis.Transaction) bool { return x.Type == t && set.has(x.ID) })
		}
		p.bound = func(_ *Query, b *Bounds) { restrictMany(&b.Transactions, set.keys.list) }
		return nil
	}
	t = epcis.Word(epcis.PartyType, t)
	p.test = func(_ *Query, e *epcis.Event) bool {
		list := e.Sources
		if field == "destination" {
			list = e.Destinations
		}
		return slices.ContainsFunc(list, func(x epcis.Party) bool { return x.Type == t && set.has(x.ID) })
	}
	return nil
}

// compileMeasured is {EQ,GT,GE,LT,LE}_{value,…,quantity}_UOM.
func (r *reader) compileMeasured(p *param, o op, field, uom string) error {
	p.shape, p.cost = shapeNumber, costSensor
	if o == opEQ {
		p.shape = shapeNumbers
	}
	v, err := r.check(p)
	if err != nil {
		return err
	}
	holds := func(d epcis.Decimal, unit string) bool {
		return d != "" && unit != "" && slices.ContainsFunc(v.numbers, func(n epcis.Decimal) bool {
			c, ok := compareUnits(d, unit, n, uom, field == "sDev")
			return ok && o.holds(c)
		})
	}
	if field == "quantity" {
		p.test = func(_ *Query, e *epcis.Event) bool {
			return quantities(e, func(q *epcis.Quantity) bool { return holds(q.Quantity, q.Unit) })
		}
		return nil
	}
	of := map[string]func(*epcis.SensorReport) epcis.Decimal{
		"value":     func(r *epcis.SensorReport) epcis.Decimal { return r.Value },
		"minValue":  func(r *epcis.SensorReport) epcis.Decimal { return r.MinValue },
		"maxValue":  func(r *epcis.SensorReport) epcis.Decimal { return r.MaxValue },
		"meanValue": func(r *epcis.SensorReport) epcis.Decimal { return r.MeanValue },
		"sDev":      func(r *epcis.SensorReport) epcis.Decimal { return r.SDev },
		"percValue": func(r *epcis.SensorReport) epcis.Decimal { return r.PercValue },
	}[field]
	p.test = func(_ *Query, e *epcis.Event) bool {
		return reports(e, func(r *epcis.SensorReport) bool { return holds(of(r), r.Unit) })
	}
	return nil
}
