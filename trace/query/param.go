package query

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// kind is what JSON said a value is; a URL says nothing.
type kind uint8

const (
	unsaid kind = iota
	text
	number
	boolean
)

type scalar struct {
	text string
	kind kind
}

// given is the value of a parameter as it was given.
type given struct {
	list  []scalar
	array bool // a JSON array
	null  bool
	loose bool // from a URL
}

// key is the same for equal values.
func (g *given) key() string {
	var b strings.Builder
	for _, s := range g.list {
		b.WriteByte(byte('0' + s.kind))
		b.WriteString(strconv.Quote(s.text))
	}
	return b.String()
}

// json is the value as ParseJSON reads it.
func (g *given) json(sh shape) any {
	one := func(s scalar) any {
		switch {
		case s.kind == boolean || sh == shapeBool:
			return s.text == "true"
		case s.kind == number || sh == shapeNumber || sh == shapeNumbers:
			return json.Number(epcis.Decimal(s.text).Normal())
		}
		return s.text
	}
	if g.null || sh == shapeExists {
		if g.null || g.list[0].text != "0" {
			return 1
		}
		return 0
	}
	if sh == shapeTime || sh == shapeNumber || sh == shapeBool || !g.array && !g.loose && len(g.list) == 1 && sh.any() {
		return one(g.list[0])
	}
	out := make([]any, len(g.list))
	for i, s := range g.list {
		out[i] = one(s)
	}
	if sh == shapeOrder {
		return out[0]
	}
	return out
}

// shape is what values a parameter takes.
type shape uint8

const (
	shapeTexts   shape = iota // a list of texts
	shapeNumbers              // a list of numbers
	shapeNumber
	shapeTime
	shapeExists // 1, true or null; 0 and false ask for nothing
	shapeBool
	shapeField // a list of texts, a number, or a time: an extension field's value
	shapeOrder // a number or a time
)

func (s shape) any() bool { return s == shapeField || s == shapeOrder }

// op is how a value is compared.
type op uint8

const (
	opEQ op = iota
	opGT
	opGE
	opLT
	opLE
	opExists
)

// holds says whether a comparison with that outcome satisfies the operator.
func (o op) holds(c int) bool {
	switch o {
	case opGT:
		return c > 0
	case opGE:
		return c >= 0
	case opLT:
		return c < 0
	case opLE:
		return c <= 0
	}
	return c == 0
}

var ops = map[string]op{"EQ": opEQ, "GT": opGT, "GE": opGE, "LT": opLT, "LE": opLE, "EXISTS": opExists}

// param is one parameter, compiled.
type param struct {
	name  string // as it was given
	given given
	shape shape
	cost  int // parameters of less cost are tried first
	field *fieldName
	head  string // of the name, before the field's own
	tail  string // of the name, behind it

	test  func(q *Query, e *epcis.Event) bool
	bound func(q *Query, b *Bounds) // nil: no index helps
}

func (p *param) equal(o *param) bool {
	if p.name != o.name || p.shape != o.shape || p.given.key() != o.given.key() {
		return false
	}
	return p.field == nil && o.field == nil || p.field != nil && o.field != nil && *p.field == *o.field
}

// written is the name to write; what its prefix means goes to spaces.
func (p *param) written(spaces map[string]string) string {
	f := p.field
	if f == nil || f.prefix == "" || f.space == "" {
		return p.name
	}
	if old, ok := spaces[f.prefix]; ok && old != f.space {
		return p.head + f.full() + p.tail
	}
	spaces[f.prefix] = f.space
	return p.name
}

// refuse is the error for a parameter's value.
func refuse(name, en, zh string) error {
	return problem.New(problem.BadRequest, "parameter %[1]s: %[2]s", "参数 %[1]s：%[3]s", clip(name), en, zh)
}

func clip(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}

// reader gathers parameters into a query.
type reader struct {
	context spaces
	q       Query
	names   map[string]bool
	ordered bool // orderDirection was given
	values  int
}

// all reads the objects of an allOf, as MarshalJSON writes them.
func (r *reader) all(raw json.RawMessage) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || len(list) > MaxParams {
		return refuse("allOf", "it must be a list of objects with further parameters", "须为由参数对象组成的列表")
	}
	for _, one := range list {
		fields, err := members(one)
		if err != nil {
			return err
		}
		layer := reader{context: r.context}
		for _, f := range fields {
			g, err := readGiven(f.name, f.raw)
			if err != nil {
				return err
			}
			if err := layer.add(f.name, g); err != nil {
				return err
			}
			if r.values += len(g.list); r.values > MaxValues {
				return errTooComplex()
			}
		}
		if more := &layer.q; more.OrderBy != "" || layer.ordered || more.PerPage+more.EventCountLimit+more.MaxEventCount > 0 || more.NextPageToken != "" {
			return refuse("allOf", "order, counts and paging stand beside it, not in it", "排序、数量与分页参数应与其并列，不在其中")
		}
		if r.q.params = append(r.q.params, layer.q.params...); len(r.q.params) > MaxParams {
			return errTooComplex()
		}
	}
	return nil
}

// plainName is the one spelling of a parameter that the interface's files spell in two ways.
func plainName(name string) string {
	switch name {
	case "GE_errorDeclaration_Time", "LT_errorDeclaration_Time":
		return name[:len("GE_errorDeclaration")] + "Time"
	case "EQ_persistentDispositionSet":
		return "EQ_persistentDisposition_set"
	case "EQ_persistentDispositionUnset":
		return "EQ_persistentDisposition_unset"
	}
	return name
}

// add reads one parameter.
func (r *reader) add(written string, g given) error {
	name := plainName(written)
	if r.names == nil {
		r.names = map[string]bool{}
	}
	if r.names[name] {
		return refuse(written, "it is given twice, in two spellings", "以两种写法重复给出")
	}
	r.names[name] = true
	if !g.null && len(g.list) == 0 {
		return refuse(written, "it has no value", "没有取值")
	}
	switch name {
	case "orderBy", "orderDirection", "nextPageToken", "eventCountLimit", "maxEventCount", "perPage":
		return r.control(name, g)
	}
	p := &param{name: name, given: g}
	if err := r.compile(p); err != nil {
		return err
	}
	r.q.params = append(r.q.params, p)
	return nil
}

// control reads a parameter that does not say which events.
func (r *reader) control(name string, g given) error {
	if g.null || g.array || len(g.list) != 1 {
		return refuse(name, "it takes one value", "只能有一个取值")
	}
	s := g.list[0]
	switch name {
	case "nextPageToken":
		r.q.NextPageToken = s.text
		return nil
	case "orderDirection":
		if s.text != "ASC" && s.text != "DESC" {
			return refuse(name, strconv.Quote(clip(s.text))+" is neither ASC nor DESC", strconv.Quote(clip(s.text))+" 既不是 ASC 也不是 DESC")
		}
		r.q.Ascending, r.ordered = s.text == "ASC", true
		return nil
	case "orderBy":
		if s.text == "eventTime" || s.text == "recordTime" {
			r.q.OrderBy = s.text
			return nil
		}
		f, ok := r.context.name(s.text)
		if !ok || s.kind == number || s.kind == boolean {
			return refuse(name, strconv.Quote(clip(s.text))+" is neither eventTime, recordTime nor a field of a namespace (prefix:name)",
				strconv.Quote(clip(s.text))+" 不是 eventTime、recordTime，也不是带命名空间的字段（prefix:name）")
		}
		r.q.OrderBy = f.full()
		return nil
	}
	n, err := strconv.Atoi(s.text)
	if err != nil || n < 1 || n > 1<<31-1 || s.kind == text || s.kind == boolean {
		return refuse(name, strconv.Quote(clip(s.text))+" is no whole number from 1 on", strconv.Quote(clip(s.text))+" 不是大于等于 1 的整数")
	}
	switch name {
	case "eventCountLimit":
		r.q.EventCountLimit = n
	case "maxEventCount":
		r.q.MaxEventCount = n
	case "perPage":
		r.q.PerPage = n
	}
	return nil
}

// finish checks what only the whole query shows.
func (r *reader) finish() (*Query, error) {
	q := &r.q
	if q.EventCountLimit > 0 && q.MaxEventCount > 0 {
		return nil, refuse("eventCountLimit", "it excludes maxEventCount: give one of the two", "与 maxEventCount 互斥：请只给出其中之一")
	}
	if q.EventCountLimit > 0 && q.OrderBy == "" {
		return nil, refuse("eventCountLimit", "the first events of which order? Give orderBy too", "需同时给出 orderBy，以说明按何种次序取前若干条")
	}
	if err := q.limits(); err != nil {
		return nil, err
	}
	q.sort()
	return q, nil
}

var (
	typedList = regexp.MustCompile(`^EQ_(bizTransaction|source|destination)_(.+)$`)
	measured  = regexp.MustCompile(`^(EQ|GT|GE|LT|LE)_(value|minValue|maxValue|meanValue|sDev|percValue|quantity)_([A-Z0-9]{2,4})$`)
	extended  = regexp.MustCompile(`^(EQ|GT|GE|LT|LE|EXISTS)_(INNER_)?(ILMD_|ERROR_DECLARATION_|SENSORELEMENT_|SENSORMETADATA_|SENSORREPORT_|readPoint_|bizLocation_)?(.+)$`)
	attribute = regexp.MustCompile(`^(?:EQ_ATTR|EQATTR)_(.+_.+)$`)
)

// isList reports whether a URL separates the values of a parameter by "|".
func isList(name string) bool {
	if f, ok := fixed[plainName(name)]; ok {
		return f.shape == shapeTexts || f.shape == shapeNumbers
	}
	return strings.HasPrefix(name, "EQ_") || strings.HasPrefix(name, "EQATTR_") || strings.HasPrefix(name, "HASATTR_")
}

// compile finds what a parameter means.
func (r *reader) compile(p *param) error {
	if f, ok := fixed[p.name]; ok {
		p.shape, p.cost = f.shape, f.cost
		v, err := r.check(p)
		if err != nil {
			return err
		}
		return f.make(p, v)
	}
	if m := typedList.FindStringSubmatch(p.name); m != nil {
		return r.compileTyped(p, m[1], m[2])
	}
	if m := measured.FindStringSubmatch(p.name); m != nil {
		return r.compileMeasured(p, ops[m[1]], m[2], m[3])
	}
	if name, ok := strings.CutPrefix(p.name, "HASATTR_"); ok {
		return r.compileHasAttribute(p, name)
	}
	if m := attribute.FindStringSubmatch(p.name); m != nil {
		return r.compileAttribute(p, m[1])
	}
	if m := extended.FindStringSubmatch(p.name); m != nil {
		if f, ok := r.context.name(m[4]); ok {
			p.head = p.name[:len(p.name)-len(m[4])]
			return r.compileField(p, ops[m[1]], m[2] != "", scopes[m[3]], f)
		}
	}
	return errUnknown(p.name)
}

// errUnknown names a parameter that there is not, and the nearest that there is.
func errUnknown(name string) error {
	best, least := "", 4
	for known := range fixed {
		if d := distance(name, known, least+1); d < least || d == least && best != "" && known < best {
			best, least = known, d
		}
	}
	if best != "" {
		return refuse(name, "there is no such parameter; is "+best+" meant?", "没有这个参数；是否指 "+best+"？")
	}
	return refuse(name, "there is no such parameter; a field of a namespace is written EQ_prefix:name", "没有这个参数；带命名空间的字段写作 EQ_prefix:name")
}

// distance is how many letters differ between two names, or most when that is as much or more.
func distance(a, b string, most int) int {
	if len(a) > 64 || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, last+1, row[j]+1)
		}
	}
	return min(row[len(b)], most)
}

// values are a parameter's values, checked against its shape.
type values struct {
	texts   []string
	numbers []epcis.Decimal
	time    time.Time
	yes     bool
}

func (r *reader) check(p *param) (v values, err error) {
	g := &p.given
	bad := func(s scalar, en, zh string) error {
		return refuse(p.name, strconv.Quote(clip(s.text))+" "+en, strconv.Quote(clip(s.text))+" "+zh)
	}
	if g.null {
		if p.shape != shapeExists {
			return v, refuse(p.name, "null is no value of it", "取值不能为 null")
		}
		v.yes = true
		return v, nil
	}
	list := p.shape == shapeTexts || p.shape == shapeNumbers
	if !g.loose && list && !g.array {
		return v, refuse(p.name, "its value must be a list: [\"…\"]", "取值须为列表：[\"…\"]")
	}
	if !list && (g.array || len(g.list) != 1) {
		return v, refuse(p.name, "it takes one value, not a list", "只能有一个取值，不能是列表")
	}
	for i, s := range g.list {
		switch p.shape {
		case shapeTexts:
			if s.kind == number || s.kind == boolean {
				return v, bad(s, "must be a text", "须为文本")
			}
			if s.text == "" {
				return v, refuse(p.name, "a value is empty", "有一个取值为空")
			}
			if len(s.text) > 4096 {
				return v, refuse(p.name, "a value is longer than 4096 bytes", "有一个取值超过 4096 字节")
			}
			if !fixed[p.name].literal {
				s.text = r.context.expand(s.text)
				g.list[i] = s
			}
			v.texts = append(v.texts, s.text)
		case shapeNumber, shapeNumbers:
			if s.kind == text || s.kind == boolean || len(s.text) > maxDigits || !epcis.Decimal(s.text).IsValid() {
				return v, bad(s, "is no number", "不是数字")
			}
			v.numbers = append(v.numbers, epcis.Decimal(s.text))
		case shapeTime:
			t, ok := parseTime(s.text)
			if !ok || s.kind == number || s.kind == boolean {
				return v, bad(s, "is no time with an offset, such as 2026-01-31T08:00:00+08:00", "不是带时区的时间，例如 2026-01-31T08:00:00+08:00")
			}
			v.time = t
			g.list[i] = scalar{t.Format(time.RFC3339Nano), text}
		case shapeBool:
			if s.kind == text || s.kind == number || s.text != "true" && s.text != "false" {
				return v, bad(s, "is neither true nor false", "既不是 true 也不是 false")
			}
			v.yes = s.text == "true"
		case shapeExists:
			switch t := s.text; {
			case s.kind == text:
				return v, bad(s, "is neither 1, true nor null", "不是 1、true 或 null")
			case t == "false" || t == "0":
				g.list[i] = scalar{"0", number}
			case t == "true" || t == "1" || s.kind == number && !strings.ContainsAny(t, ".eE-") || g.loose && t == "":
				v.yes = true
				g.list[i] = scalar{"1", number}
			default:
				return v, bad(s, "is neither 1, true nor null", "不是 1、true 或 null")
			}
		}
	}
	if list {
		slices.SortFunc(g.list, func(a, b scalar) int { return cmp.Or(strings.Compare(a.text, b.text), int(a.kind)-int(b.kind)) })
		g.list = slices.CompactFunc(g.list, func(a, b scalar) bool { return a.text == b.text })
	}
	return v, nil
}

// parseTime reads a time. A blank before the offset is the "+" of a URL that was not escaped.
func parseTime(s string) (time.Time, bool) {
	if len(s) > 64 {
		return time.Time{}, false
	}
	if n := len(s) - len(" 08:00"); n > 10 && s[n] == ' ' {
		s = s[:n] + "+" + s[n+1:]
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}
