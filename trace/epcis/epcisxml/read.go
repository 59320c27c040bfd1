// Package epcisxml is the XML form of EPCIS: it reads documents, query results and single events of EPCIS 1.2 and 2.0 and writes both, over the events of
// the folder above.
//
// A document of ten thousand events with three wrong ones gives the good ones and says of each wrong one where it stands (line, column, XPath), which rule
// it breaks and what to do. Nothing outside the document is ever fetched; document types and entities are refused, and size, depth and length have limits.
package epcisxml

import (
	"encoding/xml"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// The namespaces of the standard.
const (
	nsEPCIS1  = "urn:epcglobal:epcis:xsd:1"
	nsEPCIS2  = "urn:epcglobal:epcis:xsd:2"
	nsQuery1  = "urn:epcglobal:epcis-query:xsd:1"
	nsQuery2  = "urn:epcglobal:epcis-query:xsd:2"
	nsMaster1 = "urn:epcglobal:epcis-masterdata:xsd:1"
	nsMaster2 = "urn:epcglobal:epcis-masterdata:xsd:2"
	nsHeader  = "http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader"
	nsSchema  = "http://www.w3.org/2001/XMLSchema-instance"
	nsXML     = "http://www.w3.org/XML/1998/namespace"
)

// standard reports whether names of the namespace are the standard's own.
func standard(space string) bool {
	switch space {
	case "", nsEPCIS1, nsEPCIS2, nsQuery1, nsQuery2, nsMaster1, nsMaster2, "urn:epcglobal:xsd:1":
		return true
	}
	return false
}

func isEvent(name string) bool {
	switch epcis.EventType(name) {
	case epcis.ObjectEvent, epcis.AggregationEvent, epcis.TransactionEvent, epcis.TransformationEvent, epcis.AssociationEvent:
		return true
	}
	return false
}

// maxFaults is how many faults are told of one event, or of the document around them.
const maxFaults = 20

type reader struct {
	*scanner
	lim    epcis.Limits
	doc    *epcis.Document
	faults epcis.Faults
	old    bool              // the document is of 1.x
	at     int               // the event that is being read; -1: the document
	said   int               // faults of it
	spaces map[string]string // prefixes that hold around the events
	events int
	merged map[string]string // namespaces of the event being read
}

// Read reads an EPCISDocument or EPCISQueryDocument of EPCIS 1.2 or 2.0, or one bare event. The document holds the events that are good; faults name the
// events that are not by their position in the text, counted from 0, and Event is -1 for what is wrong outside them. Errors: problem.BadRequest when the
// text is no such document, problem.TooLarge when it is over a limit.
func Read(r io.Reader, lim epcis.Limits) (*epcis.Document, epcis.Faults, error) {
	s, err := newScanner(r, lim)
	if err != nil {
		return nil, nil, err
	}
	p := &reader{scanner: s, lim: lim.Defaulted(), doc: &epcis.Document{}, at: -1}
	var root *node
	for root == nil {
		tok, err := p.next()
		if err != nil {
			return nil, nil, err
		}
		switch t := tok.(type) {
		case nil:
			return nil, nil, problem.New(problem.BadRequest, "the document is empty: send an EPCISDocument", "文档为空：请发送 EPCISDocument")
		case xml.StartElement:
			if root, err = p.open(t, nil); err != nil {
				return nil, nil, err
			}
		case xml.EndElement:
			return nil, nil, p.broken("an element is closed that was never opened", "关闭了从未打开的元素")
		case xml.CharData:
			if !blank(t) {
				return nil, nil, p.broken("this is no XML: a document begins with <", "这不是 XML：文档应以 < 开头")
			}
		}
	}
	if err := p.root(root); err != nil {
		return nil, nil, err
	}
	for {
		switch tok, err := p.next(); t := tok.(type) {
		case nil:
			return p.doc, p.faults, err
		case xml.CharData:
			if blank(t) {
				continue
			}
			return nil, nil, p.broken("there is a text behind the end of the document", "文档结束之后还有文本")
		default:
			return nil, nil, p.broken("there is an element behind the end of the document", "文档结束之后还有元素")
		}
	}
}

func (p *reader) root(n *node) error {
	switch {
	case n.name == "EPCISDocument" && (n.space == nsEPCIS1 || n.space == nsEPCIS2):
		p.old = n.space == nsEPCIS1
	case n.name == "EPCISQueryDocument" && (n.space == nsQuery1 || n.space == nsQuery2):
		p.old = n.space == nsQuery1
		p.doc.Query = &epcis.QueryResult{}
	case isEvent(n.name) && standard(n.space):
		p.namespaces()
		p.old = n.space == nsEPCIS1
		p.version(n, false)
		return p.event(n)
	default:
		return problem.New(problem.BadRequest, "the document's first element is {%s}%s: it must be an EPCISDocument of %s or %s, an EPCISQueryDocument or one event",
			"文档的首个元素是 {%s}%s：应为 %s 或 %s 的 EPCISDocument、EPCISQueryDocument 或单个事件", n.space, n.name, nsEPCIS2, nsEPCIS1)
	}
	p.version(n, true)
	p.namespaces()
	return p.frame(n, p.outer)
}

// version reads the attributes of the root.
func (p *reader) version(n *node, need bool) {
	v, ok := n.attr("schemaVersion")
	switch major, _, _ := strings.Cut(v, "."); {
	case !ok && need:
		p.fault(n, "schemaVersion", "schemaVersion", "the document does not say its schemaVersion: write 2.0 or 1.2", "文档未写明 schemaVersion：请填 2.0 或 1.2")
	case ok && major != "1" && major != "2":
		p.fault(n, "schemaVersion", "schemaVersion", "schemaVersion %q is unknown: 1.2 and 2.0 are understood", "schemaVersion %q 未知：支持 1.2 和 2.0", short(v))
	}
	p.doc.SchemaVersion = v
	if v == "" {
		p.doc.SchemaVersion = "2.0"
		if p.old {
			p.doc.SchemaVersion = "1.2"
		}
	}
	p.old = strings.HasPrefix(p.doc.SchemaVersion, "1")
	c, ok := n.attr("creationDate")
	if !ok {
		if need && p.doc.Query == nil {
			p.fault(n, "creationDate", "creationDate", "the document does not say its creationDate: write it as 2026-01-31T12:00:00Z", "文档未写明 creationDate：请按 2026-01-31T12:00:00Z 填写")
		}
		return
	}
	t, ok := parseTime(c, true)
	if !ok {
		if t, ok = parseTime(c+"Z", true); !ok { // xsd:dateTime lets the zone away
			p.fault(n, "creationDate", "creationDate", "the creationDate %q is no time: write it as 2026-01-31T12:00:00Z", "creationDate %q 不是时间：请按 2026-01-31T12:00:00Z 填写", short(c))
			return
		}
	}
	p.doc.Created = t
}

// namespaces takes the prefixes that hold now as the document's.
func (p *reader) namespaces() {
	p.spaces = p.inScope()
	p.doc.Namespaces = p.spaces
}

// ofSchema is the namespace of the types of XML Schema for the prefixes that it is known by. They stand in values, xsi:type="xsd:integer"; where one does, the
// writer declares it.
func ofSchema(prefix string) string {
	if prefix == "xsd" || prefix == "xs" {
		return "http://www.w3.org/2001/XMLSchema"
	}
	return ""
}

// inScope are the prefixes that hold now and are not the standard's own.
func (p *reader) inScope() map[string]string {
	var m map[string]string
	for _, b := range p.scope {
		if m == nil {
			m = map[string]string{}
		}
		if b.prefix == "" || standard(b.uri) || b.uri == nsHeader || b.uri == nsSchema || ofSchema(b.prefix) == b.uri {
			delete(m, b.prefix)
			continue
		}
		m[b.prefix] = b.uri
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// outer reads what stands around the list of events.
func (p *reader) outer(n *node) error {
	if !standard(n.space) {
		if err := p.tree(n); err != nil {
			return err
		}
		at := n.parent
		for at.parent != nil && at.name == "extension" {
			at = at.parent
		}
		if at.parent == nil {
			p.doc.Extensions = addField(p.doc.Extensions, n)
		} else {
			p.doc.BodyExtensions = addField(p.doc.BodyExtensions, n)
		}
		return nil
	}
	switch n.name {
	case "EPCISBody", "resultsBody", "QueryResults", "extension":
		return p.frame(n, p.outer)
	case "EPCISHeader":
		return p.frame(n, p.header)
	case "EventList":
		return p.frame(n, p.list)
	case "VocabularyList":
		return p.vocabularies(n)
	case "queryName", "subscriptionID":
		if err := p.tree(n); err != nil {
			return err
		}
		if p.doc.Query == nil {
			p.doc.Query = &epcis.QueryResult{}
		}
		if n.name == "queryName" {
			p.doc.Query.QueryName = n.text
		} else {
			p.doc.Query.SubscriptionID = n.text
		}
		return nil
	}
	if err := p.tree(n); err != nil {
		return err
	}
	if isEvent(n.name) {
		p.fault(n, "", "element", "an event stands outside EventList: put it into EPCISBody/EventList", "事件位于 EventList 之外：请放入 EPCISBody/EventList")
		return nil
	}
	p.fault(n, "", "element", "%s is no part of a document of events", "%s 不属于事件文档", n.called())
	return nil
}

func (p *reader) header(n *node) error {
	switch {
	case n.space == nsHeader && n.name == "StandardBusinessDocumentHeader":
		if err := p.tree(n); err != nil {
			return err
		}
		p.doc.Sender = n.find("Sender", "Identifier")
		p.doc.Receiver = n.find("Receiver", "Identifier")
		p.doc.Instance = n.find("DocumentIdentification", "InstanceIdentifier")
		return nil
	case standard(n.space):
		switch n.name {
		case "extension", "EPCISMasterData":
			return p.frame(n, p.header)
		case "VocabularyList":
			return p.vocabularies(n)
		}
	}
	if err := p.tree(n); err != nil {
		return err
	}
	if standard(n.space) {
		p.fault(n, "", "element", "%s is no part of a header", "%s 不属于文档头", n.called())
		return nil
	}
	p.doc.HeaderExtensions = addField(p.doc.HeaderExtensions, n)
	return nil
}

// find is the text below n by the names of elements.
func (n *node) find(names ...string) string {
	for _, name := range names {
		var next *node
		for _, k := range n.kids {
			if k.name == name {
				next = k
				break
			}
		}
		if next == nil {
			return ""
		}
		n = next
	}
	return n.text
}

func (p *reader) vocabularies(n *node) error {
	return p.frame(n, func(v *node) error {
		if err := p.tree(v); err != nil {
			return err
		}
		if v.name != "Vocabulary" {
			p.fault(v, "", "element", "%s is no part of a list of vocabularies", "%s 不属于词汇列表", v.called())
			return nil
		}
		out := epcis.Vocabulary{}
		if out.Type, _ = v.attr("type"); out.Type == "" {
			p.fault(v, "type", "vocabulary", "the vocabulary does not say its type: write one as urn:epcglobal:epcis:vtype:Location", "词汇未写明 type：请按 urn:epcglobal:epcis:vtype:Location 填写")
			return nil
		}
		for _, list := range v.kids {
			if list.name != "VocabularyElementList" {
				continue
			}
			for _, e := range list.kids {
				el := epcis.VocabularyElement{}
				if el.ID, _ = e.attr("id"); el.ID == "" {
					p.fault(e, "id", "vocabulary", "the element of the vocabulary has no id: give it one", "词汇元素没有 id：请补上")
					continue
				}
				for _, a := range e.kids {
					switch a.name {
					case "attribute":
						at := epcis.VocabularyAttribute{}
						if at.ID, _ = a.attr("id"); at.ID == "" {
							p.fault(a, "id", "vocabulary", "the attribute has no id: give it one", "属性没有 id：请补上")
							continue
						}
						at.Value = valueOf(a, "id")
						el.Attributes = append(el.Attributes, at)
					case "children":
						for _, c := range a.kids {
							if c.text != "" {
								el.Children = append(el.Children, c.text)
							}
						}
					}
				}
				out.Elements = append(out.Elements, el)
			}
		}
		p.doc.Vocabularies = append(p.doc.Vocabularies, out)
		return nil
	})
}

// list reads one child of the list of events.
func (p *reader) list(n *node) error {
	if n.name == "extension" && standard(n.space) {
		return p.frame(n, p.list) // 1.2 keeps what came after 1.0 one and two deep
	}
	return p.event(n)
}

// event reads one event.
func (p *reader) event(n *node) error {
	top := p.lim.Events
	if p.events >= top {
		return p.tooLarge("the document has more than %d events: split it", "文档的事件超过 %d 个：请拆分", top)
	}
	p.at, p.said = p.events, 0
	p.events++
	around := p.spaces
	if len(n.declared) > 0 {
		around = p.inScope()
	}
	if err := p.tree(n); err != nil {
		return err
	}
	before := len(p.faults)
	if !isEvent(n.name) || !standard(n.space) {
		p.fault(n, "", "type", "%s is no kind of event: there are ObjectEvent, AggregationEvent, TransactionEvent, TransformationEvent and AssociationEvent",
			"%s 不是事件类型：可用 ObjectEvent、AggregationEvent、TransactionEvent、TransformationEvent、AssociationEvent", n.called())
		p.at = -1
		return nil
	}
	e := epcis.Event{Type: epcis.EventType(n.name)}
	p.merged = maps.Clone(around)
	p.fill(&e, n)
	p.inner(n)
	if len(p.merged) > 0 {
		e.Namespaces = p.merged
	}
	if len(p.faults) == before {
		for _, f := range epcis.Validate(&e) {
			if p.said++; p.said > maxFaults {
				break
			}
			at, path := locate(n, f.Path)
			f.Event, f.Path, f.Line, f.Column = p.at, path, at.line, at.column
			p.faults = append(p.faults, f)
		}
	}
	p.at, p.said = -1, 0
	if len(p.faults) == before {
		p.doc.Events = append(p.doc.Events, e)
	}
	return nil
}

// inner adds the prefixes that were declared inside the event.
func (p *reader) inner(n *node) {
	for _, k := range n.kids {
		for _, b := range k.declared {
			if b.prefix == "" || standard(b.uri) || b.uri == nsSchema || ofSchema(b.prefix) == b.uri {
				continue
			}
			if _, taken := p.merged[b.prefix]; !taken {
				if p.merged == nil {
					p.merged = map[string]string{}
				}
				p.merged[b.prefix] = b.uri
			}
		}
		p.inner(k)
	}
}

// fault notes what is wrong with an element, or with its attribute if one is named.
func (p *reader) fault(n *node, attribute, rule, en, zh string, args ...any) {
	if p.said++; p.said > maxFaults {
		return
	}
	e := problem.New(problem.BadRequest, en, zh, args...)
	path := n.path()
	if attribute != "" {
		path += "/@" + attribute
	}
	p.faults = append(p.faults, epcis.Fault{Event: p.at, Path: path, Line: n.line, Column: n.column, Rule: rule, EN: e.EN, ZH: e.ZH})
}

// short cuts a text that is shown.
func short(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// locate finds the element that a JSON pointer of the event's JSON form means.
func locate(event *node, pointer string) (*node, string) {
	n, suffix := event, ""
	for seg := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if seg == "" {
			continue
		}
		if i, err := strconv.Atoi(seg); err == nil {
			if i < len(n.kids) && strings.HasSuffix(n.name, "List") || n.name == "childEPCs" && i < len(n.kids) {
				n = n.kids[i]
				continue
			}
			if n.parent == nil {
				break
			}
			for _, k := range n.parent.kids { // a repeated element
				if k.name == n.name {
					if i--; i < 0 {
						n = k
						break
					}
				}
			}
			continue
		}
		_, local, ok := strings.Cut(seg, ":")
		if !ok {
			local = seg
		}
		if k := n.child(local); k != nil {
			n = k
			continue
		}
		if _, ok := n.attr(local); ok {
			suffix = "/@" + local
		}
		break
	}
	return n, n.path() + suffix
}

// child finds a child by its local name, in the extension places too.
func (n *node) child(name string) *node {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	for _, k := range n.kids {
		if wrapper(k) {
			if c := k.child(name); c != nil {
				return c
			}
		}
	}
	return nil
}

func wrapper(n *node) bool {
	return (n.name == "extension" || n.name == "baseExtension") && standard(n.space)
}

// parseTime reads xsd:dateTimeStamp. Writers of 1.2 leave the seconds out at times.
func parseTime(s string, old bool) (time.Time, bool) {
	if old && len(s) > 16 && s[16] != ':' {
		s = s[:16] + ":00" + s[16:]
	}
	if len(s) < 20 || len(s) > 64 || s[10] != 'T' || s[19] == ',' {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, false
	}
	if _, off := t.Zone(); off > 14*3600 || off < -14*3600 {
		return time.Time{}, false
	}
	if t.IsZero() {
		return time.Time{}, false
	}
	return t, true
}
