package epcisxml

import (
	"bufio"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// The limits beside those that the caller sets.
const (
	maxToken    = 1 << 20 // bytes of a tag with its attributes, of a text, of a comment
	maxAttrs    = 128     // of an element
	maxBindings = 512     // of prefixes that hold at once
)

// attr is an attribute whose prefix is resolved.
type attr struct{ space, prefix, name, value string }

// node is an element. Those of the frame of a document are read past, those below an event are kept with their children until it is understood.
type node struct {
	space, prefix, name string
	attrs               []attr
	text                string
	buf                 []byte // the text while it is gathered
	kids                []*node
	parent              *node
	nth                 int // among the siblings of this name, counted from 1; 0: see the parent's kids
	line, column        int
	declared            []binding // xmlns of this element
}

type binding struct{ prefix, uri string }

// source counts what the tokenizer takes and stops it at the limits: it would gather a tag of any length otherwise.
type source struct {
	r        *bufio.Reader
	left     int64 // of the document
	token    int   // of the token that is being read
	tooLarge bool  // the document is
	tooLong  bool  // the token is
}

var errLimit = errors.New("over a limit")

func (s *source) ReadByte() (byte, error) {
	if s.left <= 0 {
		s.tooLarge = true
		return 0, errLimit
	}
	if s.token <= 0 {
		s.tooLong = true
		return 0, errLimit
	}
	b, err := s.r.ReadByte()
	if err == nil {
		s.left--
		s.token--
	}
	return b, err
}

func (s *source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// latin1 turns ISO 8859-1 into UTF-8.
type latin1 struct {
	r    io.Reader
	rest []byte
}

func (l *latin1) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		var one [1]byte
		if _, err := io.ReadFull(l.r, one[:]); err != nil {
			return 0, err
		}
		l.rest = []byte(string(rune(one[0])))
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

type scanner struct {
	src   *source
	dec   *xml.Decoder
	depth int
	top   int // the deepest that is allowed
	scope []binding
	marks []int // how long scope was at each open element
	built int   // elements of the tree being kept
	most  int   // of them
}

func newScanner(r io.Reader, lim epcis.Limits) (*scanner, error) {
	lim = lim.Defaulted()
	s := &scanner{src: &source{r: bufio.NewReaderSize(r, 1<<15), left: lim.Bytes, token: maxToken}, top: lim.Depth, most: lim.FieldsPerEvent}
	if b, _ := s.src.r.Peek(3); len(b) == 3 && string(b) == "\ufeff" {
		_, _ = s.src.r.Discard(3)
	} else if len(b) >= 2 && (b[0] == 0xfe && b[1] == 0xff || b[0] == 0xff && b[1] == 0xfe || b[0] == 0) {
		return nil, problem.New(problem.BadRequest, "the document is written in UTF-16: send it in UTF-8", "文档采用 UTF-16 编码：请改用 UTF-8 发送")
	}
	s.dec = xml.NewDecoder(s.src)
	s.dec.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		switch strings.ToLower(charset) {
		case "us-ascii", "ascii", "utf8":
			return input, nil
		case "iso-8859-1", "latin1":
			return &latin1{r: input}, nil
		}
		return nil, problem.New(problem.BadRequest, "the document says that it is written in %q: send it in UTF-8", "文档声明其编码为 %q：请改用 UTF-8 发送", charset)
	}
	return s, nil
}

// broken is an error of the text itself, after which nothing can be read.
func (s *scanner) broken(en, zh string, args ...any) error {
	line, column := s.dec.InputPos()
	args = append(args, line, column)
	n := strconv.Itoa(len(args) - 1)
	m := strconv.Itoa(len(args))
	return problem.New(problem.BadRequest, "line %["+n+"]d, column %["+m+"]d: "+en, "第 %["+n+"]d 行第 %["+m+"]d 列："+zh, args...)
}

func (s *scanner) tooLarge(en, zh string, args ...any) error {
	return problem.New(problem.TooLarge, en, zh, args...)
}

// next is the next token that says something: a start, an end or a text. At the end of the text it is nil.
func (s *scanner) next() (xml.Token, error) {
	for {
		s.src.token = maxToken
		tok, err := s.dec.RawToken()
		switch {
		case err == io.EOF:
			if s.depth > 0 {
				return nil, s.broken("the document ends in the middle of an element: it was cut off, send it again whole", "文档在元素中途结束：传输被截断，请重新完整发送")
			}
			return nil, nil
		case s.src.tooLarge:
			return nil, s.tooLarge("the document is over the limit of its size: split it", "文档大小超过上限：请拆分")
		case s.src.tooLong:
			return nil, s.tooLarge("line %d: one tag, text or comment is longer than %d bytes", "第 %d 行：单个标签、文本或注释超过 %d 字节", s.line(), maxToken)
		case err != nil:
			if p := (*problem.Error)(nil); errors.As(err, &p) {
				return nil, p
			}
			said := err.Error()
			if e := (*xml.SyntaxError)(nil); errors.As(err, &e) {
				said = e.Msg
			} else if !strings.HasPrefix(said, "xml:") {
				return nil, problem.Wrap(err, problem.BadRequest, "the document could not be read to its end", "文档未能读完")
			}
			return nil, s.broken("this is no well-formed XML: %s", "XML 格式不正确：%s", said)
		}
		switch t := tok.(type) {
		case xml.Directive:
			return nil, s.broken("a document type or entity declaration is not allowed here: take it out", "不允许文档类型或实体声明：请去掉")
		case xml.Comment, xml.ProcInst:
			continue
		default:
			return t, nil
		}
	}
}

func (s *scanner) line() int { line, _ := s.dec.InputPos(); return line }

// lookup is the URI that a prefix stands for now.
func (s *scanner) lookup(prefix string) (string, bool) {
	for i := len(s.scope) - 1; i >= 0; i-- {
		if s.scope[i].prefix == prefix {
			return s.scope[i].uri, s.scope[i].uri != "" || prefix == ""
		}
	}
	switch prefix {
	case "":
		return "", true
	case "xml":
		return "http://www.w3.org/XML/1998/namespace", true
	}
	return "", false
}

// open enters an element.
func (s *scanner) open(t xml.StartElement, parent *node) (*node, error) {
	if s.depth++; s.depth > s.top {
		return nil, s.tooLarge("line %d: elements are nested more than %d deep", "第 %d 行：元素嵌套超过 %d 层", s.line(), s.top)
	}
	if len(t.Attr) > maxAttrs {
		return nil, s.tooLarge("line %d: an element has more than %d attributes", "第 %d 行：元素的属性超过 %d 个", s.line(), maxAttrs)
	}
	s.marks = append(s.marks, len(s.scope))
	n := &node{prefix: t.Name.Space, name: t.Name.Local, parent: parent}
	n.line, n.column = s.dec.InputPos()
	count := 0
	for _, a := range t.Attr {
		prefix, is := "", false
		switch {
		case a.Name.Space == "xmlns":
			prefix, is = a.Name.Local, true
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			is = true
		}
		if !is {
			count++
			continue
		}
		if prefix == "xml" || prefix == "xmlns" || prefix != "" && strings.TrimSpace(a.Value) == "" || strings.HasPrefix(strings.TrimSpace(a.Value), "@") {
			return nil, s.broken("the prefix %q cannot be declared so", "前缀 %q 不能这样声明", prefix)
		}
		for _, b := range n.declared {
			if b.prefix == prefix {
				return nil, s.broken("the prefix %q is declared twice", "前缀 %q 重复声明", prefix)
			}
		}
		b := binding{prefix, strings.TrimSpace(a.Value)}
		n.declared = append(n.declared, b)
		if s.scope = append(s.scope, b); len(s.scope) > maxBindings {
			return nil, s.tooLarge("line %d: more than %d prefixes are declared", "第 %d 行：声明的前缀超过 %d 个", s.line(), maxBindings)
		}
	}
	var ok bool
	if n.space, ok = s.lookup(n.prefix); !ok {
		return nil, s.broken("the prefix %q of the element %s is declared nowhere: add xmlns:%[1]s", "元素 %[2]s 的前缀 %[1]q 未声明：请加上 xmlns:%[1]s", n.prefix, n.name)
	}
	if count == 0 {
		return n, nil
	}
	n.attrs = make([]attr, 0, count)
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		x := attr{prefix: a.Name.Space, name: a.Name.Local, value: a.Value}
		if x.prefix != "" { // an attribute without a prefix is in no namespace
			if x.space, ok = s.lookup(x.prefix); !ok {
				return nil, s.broken("the prefix %q of the attribute %s is declared nowhere: add xmlns:%[1]s", "属性 %[2]s 的前缀 %[1]q 未声明：请加上 xmlns:%[1]s", x.prefix, x.name)
			}
		}
		for _, y := range n.attrs {
			if y.name == x.name && y.space == x.space {
				return nil, s.broken("the attribute %s stands there twice", "属性 %s 重复出现", x.name)
			}
		}
		n.attrs = append(n.attrs, x)
	}
	return n, nil
}

// close leaves an element.
func (s *scanner) close(t xml.EndElement, n *node) error {
	if t.Name.Space != n.prefix || t.Name.Local != n.name {
		return s.broken("%s is closed where %s of line %d is open", "%s 在此关闭，而第 %[3]d 行的 %[2]s 尚未关闭", qualified(t.Name.Space, t.Name.Local), n.called(), n.line)
	}
	s.depth--
	s.scope = s.scope[:s.marks[len(s.marks)-1]]
	s.marks = s.marks[:len(s.marks)-1]
	return nil
}

// frame visits the children of an open element and leaves it. The visitor must read each child to its end: with frame, tree or skip.
func (s *scanner) frame(n *node, visit func(*node) error) error {
	seen := map[string]int{}
	for {
		tok, err := s.next()
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			kid, err := s.open(t, n)
			if err != nil {
				return err
			}
			seen[kid.called()]++
			kid.nth = seen[kid.called()]
			if err := visit(kid); err != nil {
				return err
			}
		case xml.EndElement:
			return s.close(t, n)
		case xml.CharData:
			if blank(t) {
				continue
			}
			return s.broken("%s holds a text where it may hold elements only", "%s 中只能有元素，不能有文本", n.called())
		}
	}
}

// tree reads an open element to its end and keeps all that is in it.
func (s *scanner) tree(n *node) error {
	s.built = 0
	return s.grow(n)
}

func (s *scanner) grow(n *node) error {
	for {
		tok, err := s.next()
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if s.built++; s.built > s.most {
				return s.tooLarge("line %d: one event has more than %d elements: split it", "第 %d 行：单个事件的元素超过 %d 个：请拆分", s.line(), s.most)
			}
			kid, err := s.open(t, n)
			if err != nil {
				return err
			}
			if err := s.grow(kid); err != nil {
				return err
			}
			n.kids = append(n.kids, kid)
		case xml.EndElement:
			if len(n.buf) > 0 {
				n.text, n.buf = strings.TrimSpace(string(n.buf)), nil
			}
			return s.close(t, n)
		case xml.CharData:
			if len(n.buf)+len(t) > maxToken {
				return s.tooLarge("line %d: a text is longer than %d bytes", "第 %d 行：文本超过 %d 字节", s.line(), maxToken)
			}
			if len(n.buf) > 0 || !blank(t) {
				n.buf = append(n.buf, t...)
			}
		}
	}
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

func qualified(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + ":" + name
}

func (n *node) called() string { return qualified(n.prefix, n.name) }

// path is the XPath of the element in its document.
func (n *node) path() string {
	if n.parent == nil {
		return "/" + n.called()
	}
	nth, same := n.nth, n.nth
	if nth == 0 {
		for _, k := range n.parent.kids {
			if k.name == n.name && k.prefix == n.prefix {
				if same++; k == n {
					nth = same
				}
			}
		}
	}
	p := n.parent.path() + "/" + n.called()
	if same > 1 || isEvent(n.name) {
		p += "[" + strconv.Itoa(max(nth, 1)) + "]"
	}
	return p
}

// attr is the value of an attribute without namespace.
func (n *node) attr(name string) (string, bool) {
	for _, a := range n.attrs {
		if a.space == "" && a.name == name {
			return strings.TrimSpace(a.value), true
		}
	}
	return "", false
}
