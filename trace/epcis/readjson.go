package epcis

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// builtin are the prefixes of the standard's own context, which is never fetched.
var builtin = map[string]string{"epcis": epcWeb, "cbv": cbvWeb, "cbvmda": "urn:epcglobal:cbv:mda:", "gs1": vocWeb,
	"rdfs": "http://www.w3.org/2000/01/rdf-schema#", "owl": "http://www.w3.org/2002/07/owl#", "xsd": "http://www.w3.org/2001/XMLSchema#", "dcterms": "http://purl.org/dc/terms/"}

// ReadJSON reads an EPCISDocument, an EPCISQueryDocument, a list of events or one event (EPCIS 2.0, 10). The error says that the text cannot be read at
// all: it is no JSON (problem.BadRequest) or over a limit (problem.TooLarge). Faults name the events that break a rule, and these are not among the
// document's events; the others are good. A fault whose Event is -1 is the document's own.
//
// Contexts are never fetched: the standard's own is built in, prefixes that the text itself declares are taken, and other addresses are passed over.
// Strings of the events share the text's memory.
func ReadJSON(r io.Reader, lim Limits) (doc *Document, faults Faults, err error) {
	lim = lim.Defaulted()
	text, err := io.ReadAll(io.LimitReader(r, lim.Bytes+1))
	if err != nil {
		if problem.KindOf(err) != problem.Internal {
			return nil, nil, err
		}
		return nil, nil, problem.Wrap(err, problem.BadRequest, "the document could not be read to its end", "文档未能读完")
	}
	if int64(len(text)) > lim.Bytes {
		return nil, nil, problem.New(problem.TooLarge, "the document is larger than the limit of %d bytes: send it in parts", "文档超过 %d 字节的上限：请分批发送", lim.Bytes)
	}
	return parseJSON(string(text), lim)
}

// ParseEventJSON reads one event.
func ParseEventJSON(text []byte) (*Event, error) {
	doc, faults, err := parseJSON(string(text), Limits{Bytes: int64(len(text)) + 1, Events: 1}.Defaulted())
	if err == nil {
		err = faults.Err()
	}
	if err == nil && len(doc.Events) != 1 {
		err = problem.New(problem.BadRequest, "one event is expected, not %d", "应为一个事件，而不是 %d 个", len(doc.Events))
	}
	if err != nil {
		return nil, err
	}
	return &doc.Events[0], nil
}

func parseJSON(text string, lim Limits) (doc *Document, faults Faults, err error) {
	p := &reader{scanner: scanner{s: strings.TrimPrefix(text, "\ufeff"), deep: lim.Depth, fields: lim.FieldsPerEvent}, lim: lim, doc: &Document{}, event: -1}
	defer func() {
		if x := recover(); x != nil {
			bad, ok := x.(*problem.Error)
			if !ok {
				panic(x)
			}
			doc, faults, err = nil, nil, bad
		}
	}()
	if !utf8.ValidString(text) {
		at := 0
		for i, r := range text {
			if r == utf8.RuneError {
				if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
					at = i
					break
				}
			}
		}
		p.bad(at, "the text is not UTF-8", "文本不是 UTF-8")
	}
	p.ownContexts = strings.Count(text, `"@context"`)
	p.whole()
	if p.peek() != 0 || p.i < len(p.s) {
		p.bad(p.i, "text follows the end of the document", "文档结束后还有文本")
	}
	return p.doc, p.faults, nil
}

// reader turns JSON into a document.
type reader struct {
	scanner
	lim         Limits
	doc         *Document
	faults      Faults
	event       int // the place of the event that is read; -1: none
	base        string
	ns          map[string]string // prefixes that the text declares, for what is read now
	unknown     []string          // contexts that were passed over
	ownContexts int               // "@context"s that are yet to come
	path        []step            // from the event, or from the document
	used        bool              // the event has fields of other namespaces
	start       int               // where the event begins
	before      int               // how many faults there were before it
}

type step struct {
	name string
	n    int // the item's number, when name is empty
}

func (p *reader) pointer() string {
	b := []byte(p.base)
	for _, s := range p.path {
		b = append(b, '/')
		if s.name == "" {
			b = strconv.AppendInt(b, int64(s.n), 10)
		} else {
			b = append(b, escapePointer(s.name)...)
		}
	}
	return string(b)
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func escapePointer(s string) string {
	if strings.ContainsAny(s, "~/") {
		return pointerEscapes.Replace(s)
	}
	return s
}

// fault notes what is wrong at a place in the text.
func (p *reader) fault(at int, rule, en, zh string, args ...any) {
	if len(p.faults) > 0 && len(p.faults) >= p.lim.Faults && p.faults[len(p.faults)-1].Event == p.event {
		return // an event that is wrong is named once at least
	}
	if p.event >= 0 && len(p.faults)-p.before >= maxEventFaults {
		return
	}
	line, column := p.locate(at)
	if len(args) > 0 {
		en, zh = fmt.Sprintf(en, args...), fmt.Sprintf(zh, args...)
	}
	p.faults = append(p.faults, Fault{Event: p.event, Path: p.pointer(), Line: line, Column: column, Rule: rule, EN: en, ZH: zh})
}

// maxEventFaults is how many faults of one event are told.
const maxEventFaults = 32

// locate is position, for places in the event that is read.
func (p *reader) locate(at int) (line, column int) {
	if p.event >= 0 && p.mark[0] != p.start && at >= p.start {
		p.position(p.start)
		p.mark = [3]int{p.seen, p.line, p.scanner.start}
	}
	return p.position(at)
}

// in runs f with a name at the end of the path.
func (p *reader) in(name string, f func()) {
	p.path = append(p.path, step{name: name})
	f()
	p.path = p.path[:len(p.path)-1]
}

func (p *reader) wrong(en, zh string) {
	p.fault(p.i, "type", "%[1]s is expected here", "此处应为%[2]s", en, zh)
	p.skip()
}

// text reads a string.
func (p *reader) text() string {
	if p.peek() != '"' {
		p.wrong("text", "文本")
		return ""
	}
	return p.str()
}

// time reads a time stamp.
func (p *reader) time() (t time.Time) {
	if p.peek() != '"' {
		p.wrong("a time in double quotes, 2026-07-22T06:45:00+02:00,", "双引号括起的时间，例如 2026-07-22T06:45:00+02:00")
		return t
	}
	at := p.i
	s := p.str()
	t, ok := ParseTime(s)
	if !ok {
		p.fault(at, "time", "%q is no time with an offset: write 2026-07-22T06:45:00+02:00", "%q 不是带时区偏移的时间：请写成 2026-07-22T06:45:00+02:00", s)
	}
	return t
}

// decimal reads a number.
func (p *reader) decimal() Decimal {
	c := p.peek()
	if c != '-' && (c < '0' || c > '9') {
		p.wrong("a number without quotes", "不加引号的数字")
		return ""
	}
	at := p.i
	d := Decimal(p.number())
	if !d.IsValid() {
		p.fault(at, "decimal", "the number %s is out of range: its power of ten may be up to %d", "数字 %s 超出范围：十的幂次不得超过 %d", d, maxExponent)
	}
	return d
}

// list reads a list.
func (p *reader) list(item func()) {
	if p.peek() != '[' {
		p.wrong("a list", "列表")
		return
	}
	p.path = append(p.path, step{})
	last := len(p.path) - 1
	p.array(func(n int) {
		p.path[last].n = n
		p.peek()
		item()
	})
	p.path = p.path[:last]
}

// texts reads a list of strings.
func (p *reader) texts() (out []string) {
	if p.peek() == '[' {
		out = make([]string, 0, p.items())
	}
	p.list(func() { out = append(out, p.text()) })
	return out
}

// items guesses how many strings the list has that begins here, so that it is made at its size at once.
func (p *reader) items() int {
	end := strings.IndexByte(p.s[p.i:min(len(p.s), p.i+1<<16)], ']')
	if end < 0 {
		return 0
	}
	return strings.Count(p.s[p.i:p.i+end], ",") + 1
}

// record reads an object. Names that field does not take (it returns false and reads nothing) go to extensions; where that is nil they are faults.
func (p *reader) record(field func(name string) bool, extensions *[]Field) {
	if p.peek() != '{' {
		p.wrong("an object", "对象")
		return
	}
	var few [32]string
	seen := few[:0]
	p.object(func(name string, at int) {
		p.path = append(p.path, step{name: name})
		if name == "" {
			p.fault(at, "field", "a field has an empty name", "字段名称为空")
		}
		double := false
		if len(seen) < cap(seen) {
			for _, s := range seen {
				double = double || s == name
			}
			seen = append(seen, name)
		}
		if double {
			p.fault(at, "double", "the field %q stands twice: keep one", "字段 %q 出现两次：请保留一个", name)
		}
		p.peek()
		if !field(name) {
			p.foreign(name, at, extensions)
		}
		p.path = p.path[:len(p.path)-1]
	})
}

// foreign reads a field that the standard does not have.
func (p *reader) foreign(name string, at int, extensions *[]Field) {
	f, ok := p.name(name)
	switch {
	case extensions == nil || f.Prefix == "" && f.Space == "":
		p.fault(at, "field", "there is no field %q here: correct its name, or give an extension a prefix that @context declares", "此处没有字段 %q：请更正名称，扩展字段须带 @context 中声明的前缀", name)
		p.skip()
		return
	case !ok:
		p.undeclared(at, f.Prefix)
		p.skip()
		return
	}
	f.Value = p.value()
	*extensions = append(*extensions, f)
	p.used = true
}

func (p *reader) undeclared(at int, prefix string) {
	if len(p.unknown) > 0 {
		p.fault(at, "namespace", "the prefix %q is declared nowhere (%s is not fetched): declare it in the document's own @context", "前缀 %q 未声明（不会去获取 %s）：请在文档自身的 @context 中声明", prefix, strings.Join(p.unknown, ", "))
		return
	}
	p.fault(at, "namespace", "the prefix %q is declared nowhere: declare it in @context", "前缀 %q 未声明：请在 @context 中声明", prefix)
}

// space is the namespace of a prefix.
func (p *reader) space(prefix string) (string, bool) {
	if s, ok := p.ns[prefix]; ok {
		return s, true
	}
	s, ok := builtin[prefix]
	return s, ok
}

// name takes a field's name apart; ok is false when its prefix is declared nowhere.
func (p *reader) name(s string) (f Field, ok bool) {
	prefix, local, found := strings.Cut(s, ":")
	if !found || prefix == "" || local == "" {
		return Field{Name: s}, true
	}
	if space, ok := p.space(prefix); ok {
		return Field{Space: space, Name: local, Prefix: prefix}, true
	}
	if strings.HasPrefix(local, "//") || prefix == "urn" {
		at := strings.LastIndexAny(s, "/#:") + 1
		if at < len(s) {
			return Field{Space: s[:at], Name: s[at:]}, true
		}
	}
	return Field{Name: local, Prefix: prefix}, false
}

// value reads any value of an extension.
func (p *reader) value() (v Value) {
	switch c := p.peek(); {
	case c == '"':
		v = Value{Kind: Text, Text: p.str()}
	case c == '{':
		v.Kind = Object
		p.object(func(name string, at int) {
			p.path = append(p.path, step{name: name})
			local, attribute := strings.CutPrefix(name, "@")
			f, ok := p.name(local)
			if !ok {
				p.undeclared(at, f.Prefix)
			}
			if f.Value = p.value(); attribute {
				v.Attrs = append(v.Attrs, f)
			} else {
				v.Fields = append(v.Fields, f)
			}
			p.path = p.path[:len(p.path)-1]
		})
		// {"@unit": "KGM", "#text": "5"} is the text 5 with an attribute, as XML has it; beside other fields it is the text among them.
		for i := range v.Fields {
			f := &v.Fields[i]
			if f.Name != "#text" || f.Space != "" || len(f.Value.Attrs) > 0 {
				continue
			}
			if inner := f.Value; inner.Kind == Text || inner.Kind == Number || inner.Kind == Bool {
				if len(v.Fields) == 1 {
					v = Value{Kind: inner.Kind, Text: inner.Text, Attrs: v.Attrs}
				} else {
					v.Text, v.Fields = inner.Text, append(v.Fields[:i:i], v.Fields[i+1:]...)
				}
			}
			break
		}
	case c == '[':
		v.Kind = List
		p.path = append(p.path, step{})
		last := len(p.path) - 1
		p.array(func(n int) {
			p.path[last].n = n
			v.Items = append(v.Items, p.value())
		})
		p.path = p.path[:last]
	case c == '-' || c >= '0' && c <= '9':
		at := p.i
		v = Value{Kind: Number, Text: p.number()}
		if !Decimal(v.Text).IsValid() {
			p.fault(at, "decimal", "the number %s is out of range: its power of ten may be up to %d", "数字 %s 超出范围：十的幂次不得超过 %d", v.Text, maxExponent)
		}
	default:
		if w := p.word(); w != "null" {
			v = Value{Kind: Bool, Text: w}
		}
	}
	return v
}

// fields reads an object all of whose fields are extensions.
func (p *reader) fields() (out []Field) {
	p.record(func(string) bool { return false }, &out)
	return out
}

// context reads a @context and adds what it declares to ns.
func (p *reader) context(ns map[string]string) map[string]string {
	switch p.peek() {
	case '"':
		at := p.i
		switch s := p.str(); {
		case !isURI(s):
			p.fault(at, "context", "the context %q is no address", "上下文 %q 不是地址", s)
		case !strings.Contains(s, "epcis-context"):
			p.unknown = append(p.unknown, s)
		}
	case '{':
		copied := make(map[string]string, len(ns)+4)
		for k, v := range ns {
			copied[k] = v
		}
		p.object(func(name string, at int) {
			if p.peek() != '"' {
				p.skip() // the definition of a term: not needed to read events
				return
			}
			// any text serves as a namespace, as it does in XML
			if s := p.str(); s != "" && s[0] != '@' && !strings.HasPrefix(name, "@") && name != "" && !strings.Contains(name, ":") {
				copied[name] = s
			}
		})
		ns = copied
	case '[':
		p.array(func(int) { ns = p.context(ns) })
	default:
		p.wrong("an address, an object or a list of them", "地址、对象或其列表")
	}
	return ns
}

// heading is what must be known of an object before its fields are read.
type heading struct {
	kind    string
	context int // where its @context is; -1: none
	body    bool
}

func (p *reader) heading() (h heading) {
	h.context = -1
	p.apart(p.i, func() {
		p.object(func(name string, at int) {
			switch p.peek() {
			case '"':
				if s := p.str(); name == "type" {
					h.kind = s
				} else if name == "@context" {
					h.context = at
				}
				return
			}
			if name == "@context" {
				h.context = p.i
			}
			h.body = h.body || name == "epcisBody"
			p.skip()
		})
	})
	return h
}

func (p *reader) takeContext() {
	p.ownContexts--
	p.ns = p.context(p.ns)
}

// whole reads the text.
func (p *reader) whole() {
	switch p.peek() {
	case '[':
		p.eventList()
		return
	case '{':
	default:
		p.bad(p.i, "an EPCIS document, an event or a list of events is expected", "此处应为 EPCIS 文档、事件或事件列表")
	}
	h := p.heading()
	if h.kind != "EPCISDocument" && h.kind != "EPCISQueryDocument" && !h.body {
		p.event = 0
		p.oneEvent()
		return
	}
	if h.kind == "EPCISQueryDocument" {
		p.doc.Query = &QueryResult{}
	} else if h.kind != "EPCISDocument" {
		p.in("type", func() {
			p.fault(p.i, "type", "the document's type is %q: it must be EPCISDocument or EPCISQueryDocument", "文档的 type 为 %q：应为 EPCISDocument 或 EPCISQueryDocument", h.kind)
		})
	}
	start := p.i
	if h.context >= 0 {
		p.apart(h.context, func() {
			if p.peek() == '"' && strings.HasPrefix(p.s[p.i:], `"@context"`) { // the place of a name: the value is behind it
				p.str()
				p.peek()
				p.i++
			}
			p.in("@context", p.takeContext)
		})
		p.doc.Namespaces = p.ns
	}
	var seen struct{ version, created, body, list bool }
	p.record(func(name string) bool {
		switch name {
		case "@context":
			p.skip()
		case "id":
			p.doc.ID = p.text()
		case "type":
			p.text()
		case "schemaVersion":
			at := p.i
			seen.version = true
			if p.doc.SchemaVersion = p.text(); !isVersion(p.doc.SchemaVersion) {
				p.fault(at, "schemaVersion", "the schema version %q is no version: write \"2.0\"", "schemaVersion %q 不是版本号：请写 \"2.0\"", p.doc.SchemaVersion)
			}
		case "creationDate":
			seen.created = true
			p.doc.Created = p.time()
		case "instanceIdentifier":
			p.doc.Instance = p.text()
		case "sender":
			p.doc.Sender = p.text()
		case "receiver":
			p.doc.Receiver = p.text()
		case "epcisHeader":
			p.record(func(name string) bool {
				if name != "epcisMasterData" {
					return false
				}
				p.record(func(name string) bool {
					if name != "vocabularyList" {
						return false
					}
					p.vocabularies()
					return true
				}, nil)
				return true
			}, &p.doc.HeaderExtensions)
		case "epcisBody":
			seen.body = true
			p.record(func(name string) bool {
				switch {
				case name == "eventList" && p.doc.Query == nil:
					seen.list = true
					p.eventList()
				case name == "queryResults" && p.doc.Query != nil:
					p.queryResults(&seen.list)
				default:
					return false
				}
				return true
			}, &p.doc.BodyExtensions)
		default:
			return false
		}
		return true
	}, &p.doc.Extensions)
	p.event = -1
	require := func(ok bool, name string) {
		if !ok {
			p.in(name, func() { p.fault(start, "required", "the document has no %s", "文档缺少 %s", name) })
		}
	}
	require(h.context >= 0, "@context")
	require(seen.body, "epcisBody")
	if seen.body {
		require(seen.list, "eventList")
	}
	if p.doc.Query == nil {
		require(seen.version, "schemaVersion")
		require(seen.created, "creationDate")
	}
}

func isVersion(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !allDigits(part) {
			return false
		}
	}
	return true
}

func (p *reader) queryResults(list *bool) {
	p.record(func(name string) bool {
		switch name {
		case "queryName":
			p.doc.Query.QueryName = p.text()
		case "subscriptionID":
			p.doc.Query.SubscriptionID = p.text()
		case "resultsBody":
			p.record(func(name string) bool {
				switch name {
				case "eventList":
					*list = true
					p.eventList()
				case "vocabularyList":
					p.vocabularies()
				default:
					return false
				}
				return true
			}, &p.doc.BodyExtensions)
		default:
			return false
		}
		return true
	}, &p.doc.BodyExtensions)
}

func (p *reader) vocabularies() {
	p.list(func() {
		var v Vocabulary
		p.record(func(name string) bool {
			switch name {
			case "type":
				v.Type = p.text()
			case "vocabularyElementList":
				p.list(func() { v.Elements = append(v.Elements, p.vocabularyElement()) })
			default:
				return false
			}
			return true
		}, new([]Field))
		p.doc.Vocabularies = append(p.doc.Vocabularies, v)
	})
}

func (p *reader) vocabularyElement() (el VocabularyElement) {
	p.record(func(name string) bool {
		switch name {
		case "id":
			el.ID = p.text()
		case "children":
			el.Children = p.texts()
		case "attributes":
			p.list(func() {
				var a VocabularyAttribute
				p.record(func(name string) bool {
					switch name {
					case "id":
						a.ID = p.text()
					case "attribute":
						a.Value = p.value()
					default:
						return false
					}
					return true
				}, new([]Field))
				el.Attributes = append(el.Attributes, a)
			})
		default:
			return false
		}
		return true
	}, new([]Field))
	return el
}

// eventList reads the events; each stands in the document when it has no fault.
func (p *reader) eventList() {
	if p.peek() != '[' {
		p.wrong("a list of events", "事件列表")
		return
	}
	base, path := p.base, p.path
	p.base, p.path = p.pointer(), nil
	p.array(func(n int) {
		if n >= p.lim.Events {
			panic(problem.New(problem.TooLarge, "the document has more than %d events: send it in parts", "文档中的事件多于 %d 个：请分批发送", p.lim.Events))
		}
		p.event = n
		p.path = append(p.path[:0], step{n: n})
		p.scanner.fields = p.lim.FieldsPerEvent
		p.oneEvent()
	})
	p.event, p.base, p.path = -1, base, path
	p.scanner.fields = p.lim.FieldsPerEvent
}

// oneEvent reads an event and judges it.
func (p *reader) oneEvent() {
	p.start, p.before = p.i, len(p.faults)
	if p.peek() != '{' {
		p.wrong("an event", "事件")
		return
	}
	start, before, ns, unknown := p.i, len(p.faults), p.ns, len(p.unknown)
	if p.ownContexts > 0 {
		if h := p.heading(); h.context >= 0 {
			p.apart(h.context, func() {
				if strings.HasPrefix(p.s[p.i:], `"@context"`) {
					p.str()
					p.peek()
					p.i++
				}
				p.in("@context", p.takeContext)
			})
		}
	}
	p.start, p.before = start, before
	p.doc.Events = append(p.doc.Events, Event{})
	e := &p.doc.Events[len(p.doc.Events)-1]
	p.used = false
	p.read(e)
	if p.used {
		e.Namespaces = p.namespaces(e)
	}
	end := p.i
	for _, f := range Validate(e) {
		p.place(f, start, end, before)
	}
	p.i = end
	p.ns, p.unknown = ns, p.unknown[:unknown]
	if len(p.faults) > before {
		*e = Event{}
		p.doc.Events = p.doc.Events[:len(p.doc.Events)-1]
	}
}

// place adds a fault that Validate found, unless the reading found one at the same place.
func (p *reader) place(f Fault, start, end, before int) {
	if len(p.faults)-before >= maxEventFaults {
		return
	}
	path := p.pointer() + f.Path
	for _, old := range p.faults[before:] {
		if old.Path == path || strings.HasPrefix(old.Path, path+"/") || strings.HasPrefix(path, old.Path+"/") && old.Rule != "field" {
			return
		}
	}
	at := start
	if end-start < 1<<20 { // what is wrong in an event that large stands where the event begins
		at = p.find(f.Path, start)
	}
	if len(p.faults) >= p.lim.Faults && len(p.faults) > before {
		return
	}
	f.Event, f.Path = p.event, path
	f.Line, f.Column = p.locate(at)
	p.faults = append(p.faults, f)
}

// find is where the value stands that a pointer from the event names; of a value that is not there, where the last one on the way stands.
func (p *reader) find(pointer string, start int) int {
	at := start
	p.apart(start, func() {
		for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
			found := -1
			switch p.peek() {
			case '{':
				p.object(func(n string, _ int) {
					p.peek()
					if found < 0 && escapePointer(n) == name {
						found = p.i
					}
					p.skip()
				})
			case '[':
				p.array(func(n int) {
					p.peek()
					if strconv.Itoa(n) == name {
						found = p.i
					}
					p.skip()
				})
			}
			if found < 0 {
				return
			}
			p.i, at = found, found
		}
	})
	return at
}

// namespaces are the prefixes that the event's fields use, those of the standard's own context aside.
func (p *reader) namespaces(e *Event) map[string]string {
	var m map[string]string
	var walk func(fields []Field)
	var value func(v *Value)
	value = func(v *Value) {
		walk(v.Fields)
		walk(v.Attrs)
		for i := range v.Items {
			value(&v.Items[i])
		}
	}
	walk = func(fields []Field) {
		for i := range fields {
			f := &fields[i]
			if f.Prefix != "" && f.Space != "" && builtin[f.Prefix] != f.Space {
				if m == nil {
					m = make(map[string]string, 2)
				}
				m[f.Prefix] = f.Space
			}
			value(&f.Value)
		}
	}
	e.eachFields(walk)
	return m
}

// eachFields calls f with every list of extension fields of the event.
func (e *Event) eachFields(f func([]Field)) {
	f(e.Extensions)
	f(e.ILMD)
	if e.ReadPoint != nil {
		f(e.ReadPoint.Extensions)
	}
	if e.BizLocation != nil {
		f(e.BizLocation.Extensions)
	}
	if e.Error != nil {
		f(e.Error.Extensions)
	}
	for i := range e.Sensors {
		s := &e.Sensors[i]
		f(s.Extensions)
		if s.Metadata != nil {
			f(s.Metadata.Extensions)
		}
		for j := range s.Reports {
			f(s.Reports[j].Extensions)
		}
	}
}

// vocabulary reads a word, expanding a prefix that the text declares.
func (p *reader) vocabulary(kind WordKind) string {
	s := p.text()
	if w := Word(kind, s); w != s || strings.IndexByte(s, ':') < 0 {
		return w
	}
	if prefix, local, ok := strings.Cut(s, ":"); ok && !strings.HasPrefix(local, "//") {
		if space, ok := p.ns[prefix]; ok {
			return Word(kind, space+local)
		}
	}
	return s
}

func (p *reader) words(kind WordKind) (out []string) {
	p.list(func() { out = append(out, p.vocabulary(kind)) })
	return out
}

// eventTypes are the kinds of events with the fields that each may have besides those of all.
var eventTypes = map[EventType]string{
	ObjectEvent:         " epcList quantityList action bizStep disposition persistentDisposition readPoint bizLocation bizTransactionList sourceList destinationList sensorElementList ilmd ",
	AggregationEvent:    " parentID childEPCs childQuantityList action bizStep disposition persistentDisposition readPoint bizLocation bizTransactionList sourceList destinationList sensorElementList ",
	TransactionEvent:    " bizTransactionList parentID epcList quantityList action bizStep disposition persistentDisposition readPoint bizLocation sourceList destinationList sensorElementList ",
	TransformationEvent: " inputEPCList inputQuantityList outputEPCList outputQuantityList transformationID bizStep disposition persistentDisposition readPoint bizLocation bizTransactionList sourceList destinationList sensorElementList ilmd ",
	AssociationEvent:    " parentID childEPCs childQuantityList action bizStep disposition persistentDisposition readPoint bizLocation bizTransactionList sourceList destinationList sensorElementList ",
}

// read fills an event.
func (p *reader) read(e *Event) {
	var foreign [2]string // the lists that the kind of event must have names for
	start := p.i
	p.record(func(name string) bool {
		switch name {
		case "@context":
			p.skip()
		case "type":
			e.Type = EventType(p.text())
		case "eventTime":
			e.Time = p.time()
		case "recordTime":
			e.RecordTime = p.time()
		case "eventTimeZoneOffset":
			e.TimeZoneOffset = p.text()
		case "eventID":
			e.ID = p.text()
		case "certificationInfo":
			if p.peek() == '[' {
				e.Certification = p.texts()
			} else {
				e.Certification = []string{p.text()}
			}
		case "errorDeclaration":
			e.Error = p.declaration()
		case "action":
			e.Action = Action(p.text())
		case "parentID":
			e.Parent = p.text()
		case "epcList", "childEPCs":
			foreign[0] = name
			e.EPCs = p.texts()
		case "quantityList", "childQuantityList":
			foreign[1] = name
			e.Quantities = p.quantities()
		case "inputEPCList":
			e.InputEPCs = p.texts()
		case "outputEPCList":
			e.OutputEPCs = p.texts()
		case "inputQuantityList":
			e.InputQuantities = p.quantities()
		case "outputQuantityList":
			e.OutputQuantities = p.quantities()
		case "transformationID":
			e.TransformationID = p.text()
		case "bizStep":
			e.BizStep = p.vocabulary(BizStep)
		case "disposition":
			e.Disposition = p.vocabulary(Disposition)
		case "persistentDisposition":
			d := &PersistentDisposition{}
			p.record(func(name string) bool {
				switch name {
				case "set":
					d.Set = p.words(Disposition)
				case "unset":
					d.Unset = p.words(Disposition)
				default:
					return false
				}
				return true
			}, nil)
			e.PersistentDispositions = d
		case "readPoint":
			e.ReadPoint = p.location()
		case "bizLocation":
			e.BizLocation = p.location()
		case "bizTransactionList":
			p.list(func() {
				var t Transaction
				p.record(func(name string) bool {
					switch name {
					case "type":
						t.Type = p.vocabulary(TransactionType)
					case "bizTransaction":
						t.ID = p.text()
					default:
						return false
					}
					return true
				}, nil)
				e.Transactions = append(e.Transactions, t)
			})
		case "sourceList":
			e.Sources = p.parties("source")
		case "destinationList":
			e.Destinations = p.parties("destination")
		case "sensorElementList":
			p.list(func() { e.Sensors = append(e.Sensors, p.sensor()) })
		case "ilmd":
			e.ILMD = p.fields()
			if e.ILMD == nil {
				e.ILMD = []Field{}
			}
		default:
			return false
		}
		return true
	}, &e.Extensions)
	own, ok := eventTypes[e.Type]
	if !ok {
		return
	}
	for _, name := range foreign {
		if name != "" && !strings.Contains(own, " "+name+" ") {
			p.in(name, func() { p.fault(start, "field", "%s has no %s", "%s 没有 %s 字段", e.Type, name) })
		}
	}
	if e.ILMD != nil && len(e.ILMD) == 0 {
		e.ILMD = nil
	}
}

func (p *reader) quantities() (out []Quantity) {
	p.list(func() {
		var q Quantity
		p.record(func(name string) bool {
			switch name {
			case "epcClass":
				q.Class = p.text()
			case "quantity":
				q.Quantity = p.decimal()
			case "uom":
				q.Unit = p.text()
			default:
				return false
			}
			return true
		}, nil)
		out = append(out, q)
	})
	return out
}

func (p *reader) parties(field string) (out []Party) {
	p.list(func() {
		var s Party
		p.record(func(name string) bool {
			switch name {
			case "type":
				s.Type = p.vocabulary(PartyType)
			case field:
				s.ID = p.text()
			default:
				return false
			}
			return true
		}, nil)
		out = append(out, s)
	})
	return out
}

func (p *reader) location() *Location {
	l := &Location{}
	p.record(func(name string) bool {
		if name != "id" {
			return false
		}
		l.ID = p.text()
		return true
	}, &l.Extensions)
	return l
}

func (p *reader) declaration() *ErrorDeclaration {
	d := &ErrorDeclaration{}
	p.record(func(name string) bool {
		switch name {
		case "declarationTime":
			d.Time = p.time()
		case "reason":
			d.Reason = p.vocabulary(ErrorReason)
		case "correctiveEventIDs":
			d.Corrections = p.texts()
		default:
			return false
		}
		return true
	}, &d.Extensions)
	return d
}

func (p *reader) sensor() (s SensorElement) {
	p.record(func(name string) bool {
		switch name {
		case "sensorMetadata":
			s.Metadata = p.metadata()
		case "sensorReport":
			p.list(func() { s.Reports = append(s.Reports, p.report()) })
		default:
			return false
		}
		return true
	}, &s.Extensions)
	return s
}

func (p *reader) metadata() *SensorMetadata {
	m := &SensorMetadata{}
	p.record(func(name string) bool {
		switch name {
		case "time":
			m.Time = p.time()
		case "startTime":
			m.Start = p.time()
		case "endTime":
			m.End = p.time()
		case "deviceID":
			m.DeviceID = p.text()
		case "deviceMetadata":
			m.DeviceMetadata = p.text()
		case "rawData":
			m.RawData = p.text()
		case "dataProcessingMethod":
			m.DataProcessingMethod = p.text()
		case "bizRules":
			m.BizRules = p.text()
		default:
			return false
		}
		return true
	}, &m.Extensions)
	return m
}

func (p *reader) report() (r SensorReport) {
	p.record(func(name string) bool {
		switch name {
		case "type":
			r.Type = p.vocabulary(Measurement)
		case "exception":
			r.Exception = p.vocabulary(Exception)
		case "deviceID":
			r.DeviceID = p.text()
		case "deviceMetadata":
			r.DeviceMetadata = p.text()
		case "rawData":
			r.RawData = p.text()
		case "dataProcessingMethod":
			r.DataProcessingMethod = p.text()
		case "bizRules":
			r.BizRules = p.text()
		case "time":
			r.Time = p.time()
		case "microorganism":
			r.Microorganism = p.text()
		case "chemicalSubstance":
			r.ChemicalSubstance = p.text()
		case "coordinateReferenceSystem":
			r.CoordinateReferenceSystem = p.text()
		case "value":
			r.Value = p.decimal()
		case "component":
			r.Component = p.vocabulary(Component)
		case "stringValue":
			r.StringValue = p.text()
		case "booleanValue":
			if c := p.peek(); c != 't' && c != 'f' {
				p.wrong("true or false", " true 或 false")
				break
			}
			b := p.word() == "true"
			r.BooleanValue = &b
		case "hexBinaryValue":
			r.HexBinaryValue = p.text()
		case "uriValue":
			r.URIValue = p.text()
		case "minValue":
			r.MinValue = p.decimal()
		case "maxValue":
			r.MaxValue = p.decimal()
		case "meanValue":
			r.MeanValue = p.decimal()
		case "sDev":
			r.SDev = p.decimal()
		case "percRank":
			r.PercRank = p.decimal()
		case "percValue":
			r.PercValue = p.decimal()
		case "uom":
			r.Unit = p.text()
		default:
			return false
		}
		return true
	}, &r.Extensions)
	return r
}
