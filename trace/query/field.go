package query

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/trace/epcis"
)

// spaces are namespaces, prefix → URI.
type spaces map[string]string

// context is the namespaces that are known without being said, and the given ones.
func context(given map[string]string) spaces {
	s := spaces{"cbvmda": "urn:epcglobal:cbv:mda:", "gs1": "https://gs1.org/voc/"}
	maps.Copy(s, given)
	return s
}

// read takes the prefixes of a JSON-LD context. URLs of contexts are passed over: nothing is fetched.
func (s spaces) read(raw json.RawMessage, depth int) error {
	bad := refuse("@context", "it must be a URL, an object of prefixes, or a list of those", "须为 URL、前缀对象或它们的列表")
	switch raw[0] {
	case '"':
		return nil
	case '{':
		var m map[string]any
		if json.Unmarshal(raw, &m) != nil || len(m) > MaxParams {
			return bad
		}
		for prefix, v := range m {
			if o, ok := v.(map[string]any); ok {
				v = o["@id"]
			}
			if uri, ok := v.(string); ok && !strings.HasPrefix(prefix, "@") {
				s[prefix] = uri
			}
		}
		return nil
	case '[':
		var list []json.RawMessage
		if depth > 0 || json.Unmarshal(raw, &list) != nil || len(list) > MaxParams {
			return bad
		}
		for _, one := range list {
			if err := s.read(one, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return bad
}

// expand writes a compact URI in full, when its prefix is a namespace.
func (s spaces) expand(text string) string {
	prefix, rest, ok := strings.Cut(text, ":")
	if !ok || strings.HasPrefix(rest, "//") {
		return text
	}
	if space := s[prefix]; space != "" && prefix != "gs1" {
		return space + rest
	}
	return text
}

// fieldName is the name of an extension field, or of an attribute.
type fieldName struct {
	prefix string // as it was given; empty for a full name
	space  string // the namespace; empty: the prefix itself is compared with the one that the event was written with
	local  string
	plain  string // space without the separator at its end
}

var curie = regexp.MustCompile(`^([\pL_][\pL\pN_.-]*):([\pL\pN_][\pL\pN_.-]*)$`)

// trimSpace takes from a namespace the separator before names: with and without one it is the same namespace.
func trimSpace(s string) string { return strings.TrimRight(s, "#/:") }

// name reads prefix:name or a full name, "https://ns.example.com/epcis/#batch", "urn:example:ns:batch".
func (s spaces) name(text string) (f fieldName, ok bool) {
	if len(text) > 1024 || strings.ContainsAny(text, " \t\r\n\x00") {
		return f, false
	}
	if strings.Contains(text, "://") || strings.HasPrefix(text, "urn:") {
		i := strings.LastIndexByte(text, '#')
		if i < 0 {
			i = strings.LastIndexAny(text, "/:")
		}
		f = fieldName{space: text[:i+1], local: text[i+1:], plain: trimSpace(text[:i+1])}
		return f, f.local != "" && strings.ContainsAny(f.plain, ":/")
	}
	m := curie.FindStringSubmatch(text)
	if m == nil {
		return f, false
	}
	f = fieldName{prefix: m[1], space: s[m[1]], local: m[2]}
	f.plain = trimSpace(f.space)
	return f, true
}

// full is the name with its namespace, where that is known.
func (f *fieldName) full() string {
	switch {
	case f.space == "":
		return f.prefix + ":" + f.local
	case f.plain == f.space:
		return f.space + "#" + f.local
	}
	return f.space + f.local
}

// is reports whether it is the field's name.
func (f *fieldName) is(field *epcis.Field) bool {
	if field.Name != f.local {
		return false
	}
	if f.space == "" {
		return field.Prefix == f.prefix
	}
	return trimSpace(field.Space) == f.plain
}

// scope is a part of the event where extension fields are.
type scope uint8

const (
	inEvent scope = iota
	inILMD
	inError
	inSensorElement
	inSensorMetadata
	inSensorReport
	inReadPoint
	inBizLocation
)

var scopes = map[string]scope{"": inEvent, "ILMD_": inILMD, "ERROR_DECLARATION_": inError, "SENSORELEMENT_": inSensorElement, "SENSORMETADATA_": inSensorMetadata,
	"SENSORREPORT_": inSensorReport, "readPoint_": inReadPoint, "bizLocation_": inBizLocation}

// any reports whether f holds for one of the lists of fields of the scope.
func (s scope) any(e *epcis.Event, f func([]epcis.Field) bool) bool {
	switch s {
	case inEvent:
		return f(e.Extensions)
	case inILMD:
		return f(e.ILMD)
	case inError:
		return e.Error != nil && f(e.Error.Extensions)
	case inReadPoint:
		return e.ReadPoint != nil && f(e.ReadPoint.Extensions)
	case inBizLocation:
		return e.BizLocation != nil && f(e.BizLocation.Extensions)
	}
	for i := range e.Sensors {
		switch el := &e.Sensors[i]; s {
		case inSensorElement:
			if f(el.Extensions) {
				return true
			}
		case inSensorMetadata:
			if el.Metadata != nil && f(el.Metadata.Extensions) {
				return true
			}
		case inSensorReport:
			for j := range el.Reports {
				if f(el.Reports[j].Extensions) {
					return true
				}
			}
		}
	}
	return false
}

// compileField is {EQ,GT,GE,LT,LE,EXISTS}_[INNER_][scope_]prefix:name.
func (r *reader) compileField(p *param, o op, inner bool, where scope, name fieldName) error {
	p.cost, p.field = costField, &name
	var holds func(*epcis.Value) bool
	if o == opExists {
		p.shape = shapeExists
		v, err := r.check(p)
		if err != nil {
			return err
		}
		if !v.yes {
			p.test = always
			return nil
		}
		holds = func(*epcis.Value) bool { return true }
	} else {
		terms, err := r.terms(p, o)
		if err != nil {
			return err
		}
		holds = func(v *epcis.Value) bool { return terms.hold(v, o) }
	}
	f := p.field
	if inner {
		p.cost = costInner
		p.test = func(_ *Query, e *epcis.Event) bool {
			return where.any(e, func(list []epcis.Field) bool {
				for i := range list {
					if below(&list[i].Value, f, holds) {
						return true
					}
				}
				return false
			})
		}
		return nil
	}
	p.test = func(_ *Query, e *epcis.Event) bool {
		return where.any(e, func(list []epcis.Field) bool {
			for i := range list {
				if f.is(&list[i]) && holds(&list[i].Value) {
					return true
				}
			}
			return false
		})
	}
	return nil
}

// below reports whether a field of that name, at any depth within v, holds.
func below(v *epcis.Value, name *fieldName, holds func(*epcis.Value) bool) bool {
	for i := range v.Fields {
		f := &v.Fields[i]
		if name.is(f) && holds(&f.Value) || below(&f.Value, name, holds) {
			return true
		}
	}
	for i := range v.Items {
		if below(&v.Items[i], name, holds) {
			return true
		}
	}
	return false
}

// term is a value that an extension field is compared with.
type term struct {
	text   string
	number epcis.Decimal // empty: it is none
	loose  bool          // a number although text says it too: from a URL, or a JSON number
	time   time.Time
	timed  bool
}

type terms []term

// terms reads the values of a parameter for an extension field.
func (r *reader) terms(p *param, o op) (list terms, err error) {
	p.shape = shapeOrder
	if o == opEQ {
		p.shape = shapeField
	}
	g := &p.given
	if g.null {
		return nil, refuse(p.name, "null is no value of it", "取值不能为 null")
	}
	if o != opEQ && (g.array || len(g.list) != 1) {
		return nil, refuse(p.name, "it takes one number or time, not a list", "只能有一个数字或时间，不能是列表")
	}
	for i, s := range g.list {
		if len(s.text) > 4096 {
			return nil, refuse(p.name, "a value is longer than 4096 bytes", "有一个取值超过 4096 字节")
		}
		if s.kind == text || s.kind == unsaid {
			s.text = r.context.expand(s.text)
			g.list[i] = s
		}
		t := term{text: s.text, loose: s.kind == number || s.kind == unsaid}
		if s.kind == number && len(s.text) <= maxDigits && epcis.Decimal(s.text).IsValid() || s.kind != boolean && isPlainNumber(s.text) {
			t.number = epcis.Decimal(s.text)
		}
		if s.kind == text || s.kind == unsaid {
			t.time, t.timed = parseTime(s.text)
		}
		if o != opEQ && !t.timed && (t.number == "" || !t.loose) || s.kind == number && t.number == "" {
			return nil, refuse(p.name, "its value must be a number or a time with an offset", "取值须为数字或带时区的时间")
		}
		if o != opEQ && t.timed {
			g.list[i] = scalar{t.time.Format(time.RFC3339Nano), text}
		} else if o != opEQ {
			g.list[i].kind = number
		}
		list = append(list, t)
	}
	if o == opEQ {
		slices.SortFunc(g.list, func(a, b scalar) int { return strings.Compare(a.text, b.text) })
	}
	return list, nil
}

// isPlainNumber reports whether a text is a number and nothing else: "007" and "1e3" may be codes.
func isPlainNumber(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 40 || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
		return false
	}
	whole, part, point := strings.Cut(digits, ".")
	return isDigits(whole) && (!point || isDigits(part))
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// hold reports whether the value of a field satisfies one of the terms.
func (l terms) hold(v *epcis.Value, o op) bool {
	switch v.Kind {
	case epcis.List:
		for i := range v.Items {
			if l.hold(&v.Items[i], o) {
				return true
			}
		}
		return false
	case epcis.Null, epcis.Object:
		return false
	}
	for i := range l {
		t := &l[i]
		if o == opEQ && v.Text == t.text {
			return true
		}
		if t.number != "" && (v.Kind == epcis.Number && epcis.Decimal(v.Text).IsValid() || v.Kind == epcis.Text && t.loose && isPlainNumber(v.Text)) {
			if o.holds(compareNumbers(epcis.Decimal(v.Text), t.number)) {
				return true
			}
		}
		if t.timed && v.Kind == epcis.Text {
			if at, ok := parseTime(v.Text); ok && o.holds(at.Compare(t.time)) {
				return true
			}
		}
	}
	return false
}

// standardFields are the fields of events whose values are vocabulary elements, with their values.
var standardFields = map[string]func(e *epcis.Event, f func(string) bool) bool{
	"bizStep":     func(e *epcis.Event, f func(string) bool) bool { return e.BizStep != "" && f(e.BizStep) },
	"disposition": func(e *epcis.Event, f func(string) bool) bool { return e.Disposition != "" && f(e.Disposition) },
	"readPoint":   func(e *epcis.Event, f func(string) bool) bool { return e.ReadPoint != nil && f(e.ReadPoint.ID) },
	"bizLocation": func(e *epcis.Event, f func(string) bool) bool { return e.BizLocation != nil && f(e.BizLocation.ID) },
	"parentID":    func(e *epcis.Event, f func(string) bool) bool { return e.Parent != "" && f(e.Parent) },
	"bizTransaction": func(e *epcis.Event, f func(string) bool) bool {
		return slices.ContainsFunc(e.Transactions, func(t epcis.Transaction) bool { return f(t.ID) })
	},
	"source": func(e *epcis.Event, f func(string) bool) bool {
		return slices.ContainsFunc(e.Sources, func(p epcis.Party) bool { return f(p.ID) })
	},
	"destination": func(e *epcis.Event, f func(string) bool) bool {
		return slices.ContainsFunc(e.Destinations, func(p epcis.Party) bool { return f(p.ID) })
	},
	"epc":      func(e *epcis.Event, f func(string) bool) bool { return anyName(e, false, f) },
	"epcClass": func(e *epcis.Event, f func(string) bool) bool { return anyName(e, true, f) },
}

func anyName(e *epcis.Event, class bool, f func(string) bool) bool {
	for role, s := range e.Names() {
		if role.IsClass() == class && f(s) {
			return true
		}
	}
	return false
}

// attributeIs reports whether an attribute's full name is the wanted one, or ends in it behind a separator.
func attributeIs(id, want string) bool {
	return id == want || len(id) > len(want) && strings.HasSuffix(id, want) && strings.IndexByte("#/:", id[len(id)-len(want)-1]) >= 0
}

// attributes reports whether a field of the event has an attribute of the name whose value holds: one that stands at the field, or one of the master data
// of the thing that the field names.
func attributes(q *Query, e *epcis.Event, field *fieldName, attr string, holds func(*epcis.Value) bool) bool {
	master := func(id string) bool {
		if q.Attributes == nil {
			return false
		}
		for _, a := range q.Attributes(id) {
			if attributeIs(a.ID, attr) && holds(&a.Value) {
				return true
			}
		}
		return false
	}
	bare := field.prefix == "" && field.space == ""
	if bare {
		if f := standardFields[field.local]; f != nil && f(e, master) {
			return true
		}
	}
	for i := range e.Extensions {
		x := &e.Extensions[i]
		if !(bare && x.Name == field.local || !bare && field.is(x)) {
			continue
		}
		list := x.Value.Items
		if x.Value.Kind != epcis.List {
			list = []epcis.Value{x.Value}
		}
		for j := range list {
			v := &list[j]
			for k := range v.Attrs {
				a := &v.Attrs[k]
				if (attributeIs(a.Space+a.Name, attr) || attributeIs(a.Space+"#"+a.Name, attr) || a.Prefix != "" && a.Prefix+":"+a.Name == attr || a.Name == attr) && holds(&a.Value) {
					return true
				}
			}
			if v.Kind == epcis.Text && master(v.Text) {
				return true
			}
		}
	}
	return false
}

// compileHasAttribute is HASATTR_field: one of the attributes is there.
func (r *reader) compileHasAttribute(p *param, text string) error {
	field, ok := r.context.name(text)
	if _, standard := standardFields[text]; !ok && !standard {
		return errUnknown(p.name)
	} else if !ok {
		field = fieldName{local: text}
	} else {
		p.field, p.head = &field, "HASATTR_"
	}
	p.cost, p.shape = costMaster, shapeTexts
	v, err := r.check(p)
	if err != nil {
		return err
	}
	p.test = func(q *Query, e *epcis.Event) bool {
		return slices.ContainsFunc(v.texts, func(attr string) bool {
			return attributes(q, e, &field, attr, func(*epcis.Value) bool { return true })
		})
	}
	return nil
}

// compileAttribute is EQ_ATTR_field_attribute: the attribute has one of the values. Both names may have underscores, so that each way to part them is tried.
func (r *reader) compileAttribute(p *param, text string) error {
	type way struct {
		field fieldName
		attr  string
	}
	var ways []way
	for i := 1; i < len(text)-1 && len(ways) < 16; i++ {
		if text[i] != '_' {
			continue
		}
		field, ok := r.context.name(text[:i])
		if !ok && isWordText(text[:i]) {
			field, ok = fieldName{local: text[:i]}, true
		}
		if attr := r.context.expand(text[i+1:]); ok && !strings.ContainsAny(attr, " \t\r\n\x00") {
			ways = append(ways, way{field, attr})
		}
	}
	if len(ways) == 0 || len(text) > 1024 {
		return errUnknown(p.name)
	}
	if f := &ways[0].field; f.space != "" && f.prefix != "" {
		named := *f
		p.field, p.head = &named, p.name[:len(p.name)-len(text)]
		p.tail = text[len(f.prefix)+1+len(f.local):]
	}
	terms, err := r.terms(p, opEQ)
	if err != nil {
		return err
	}
	p.cost = costMaster
	p.test = func(q *Query, e *epcis.Event) bool {
		for i := range ways {
			if attributes(q, e, &ways[i].field, ways[i].attr, func(v *epcis.Value) bool { return terms.hold(v, opEQ) }) {
				return true
			}
		}
		return false
	}
	return nil
}

func isWordText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != ""
}
