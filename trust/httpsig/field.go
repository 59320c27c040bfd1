package httpsig

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// What is needed of structured fields (RFC 8941): dictionaries whose members are inner lists of strings, or byte
// sequences, with parameters. Decimals and dates stand nowhere in the headers read here and are refused.

type kind byte

const (
	kindString kind = iota + 1
	kindToken
	kindBytes
	kindInt
	kindBool
)

type value struct {
	kind kind
	s    string
	n    int64 // of an integer; 1 for true
}

type param struct {
	name string
	value
}

// item is a component in a signature's list, or a plain member of a dictionary.
type item struct {
	name   string
	params []param
}

// list is an inner list with its parameters: what a signature covers, and how it was made.
type list struct {
	items  []item
	params []param
}

// member of a dictionary: a list, or else a value.
type member struct {
	label string
	list  *list
	value value
}

// Limits on what is read.
const (
	maxField   = 8 << 10
	maxMembers = 8
	maxItems   = 32
	maxParams  = 16
)

func (l *list) param(name string) (value, bool) { return find(l.params, name) }

func find(ps []param, name string) (value, bool) {
	for _, p := range ps {
		if p.name == name {
			return p.value, true
		}
	}
	return value{}, false
}

// append writes the list as RFC 8941 §4.1 has it: so it stands in the signature base, however it was spaced when it came.
func (l *list) append(b []byte) []byte {
	b = append(b, '(')
	for i := range l.items {
		if i > 0 {
			b = append(b, ' ')
		}
		b = l.items[i].append(b)
	}
	return appendParams(append(b, ')'), l.params)
}

func (it *item) append(b []byte) []byte { return appendParams(appendString(b, it.name), it.params) }

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func appendParams(b []byte, ps []param) []byte {
	for _, p := range ps {
		b = append(append(b, ';'), p.name...)
		if p.kind == kindBool && p.n == 1 {
			continue
		}
		b = append(b, '=')
		switch p.kind {
		case kindString:
			b = appendString(b, p.s)
		case kindToken:
			b = append(b, p.s...)
		case kindBytes:
			b = append(b, ':')
			b = base64.StdEncoding.AppendEncode(b, []byte(p.s))
			b = append(b, ':')
		case kindInt:
			b = strconv.AppendInt(b, p.n, 10)
		case kindBool:
			b = append(b, '?', '0')
		}
	}
	return b
}

// reader takes a field apart; after the first mistake it reads nothing.
type reader struct {
	s   string
	bad bool
}

func (r *reader) fail() { r.bad, r.s = true, "" }

func (r *reader) peek() byte {
	if r.s == "" {
		return 0
	}
	return r.s[0]
}

func (r *reader) eat(c byte) bool {
	if r.peek() != c || r.s == "" {
		return false
	}
	r.s = r.s[1:]
	return true
}

func (r *reader) skip(set string) { r.s = strings.TrimLeft(r.s, set) }

// dictionary reads a whole field. Labels and names of parameters may not come twice: which one counts would be the
// reader's choice, and that is how two readers come to see two things.
func dictionary(lines []string) ([]member, bool) {
	n := 0
	for _, l := range lines {
		n += len(l) + 2
	}
	if n > maxField {
		return nil, false
	}
	r := &reader{s: strings.Join(lines, ", ")}
	r.skip(" ")
	var ms []member
	for r.s != "" {
		m := member{label: r.key()}
		switch {
		case !r.eat('='):
			m.value = value{kind: kindBool, n: 1}
			r.params()
		case r.peek() == '(':
			m.list = r.list()
		default:
			m.value = r.bare()
			r.params()
		}
		for _, old := range ms {
			if old.label == m.label {
				r.fail()
			}
		}
		if ms = append(ms, m); len(ms) > maxMembers {
			r.fail()
		}
		r.skip(" \t")
		if r.s == "" {
			break
		}
		if !r.eat(',') {
			r.fail()
		}
		r.skip(" \t")
		if r.s == "" {
			r.fail() // a comma with nothing behind it
		}
	}
	return ms, !r.bad
}

func (r *reader) key() string {
	n := 0
	for n < len(r.s) {
		c := r.s[n]
		if !('a' <= c && c <= 'z' || c == '*' || n > 0 && ('0' <= c && c <= '9' || c == '_' || c == '-' || c == '.')) {
			break
		}
		n++
	}
	if n == 0 {
		r.fail()
		return ""
	}
	k := r.s[:n]
	r.s = r.s[n:]
	return k
}

func (r *reader) params() []param {
	var ps []param
	for r.eat(';') {
		r.skip(" ")
		p := param{name: r.key(), value: value{kind: kindBool, n: 1}}
		if r.eat('=') {
			p.value = r.bare()
		}
		if _, twice := find(ps, p.name); twice || len(ps) == maxParams {
			r.fail()
		}
		ps = append(ps, p)
	}
	return ps
}

func (r *reader) list() *list {
	l := &list{}
	r.eat('(')
	for {
		r.skip(" ")
		if r.eat(')') {
			break
		}
		if v := r.bare(); v.kind == kindString && len(l.items) < maxItems {
			l.items = append(l.items, item{v.s, r.params()})
		} else {
			r.fail()
		}
		if c := r.peek(); c != ' ' && c != ')' {
			r.fail()
		}
		if r.bad {
			return l
		}
	}
	l.params = r.params()
	return l
}

func (r *reader) bare() value {
	c := r.peek()
	switch {
	case c == '"':
		return value{kind: kindString, s: r.str()}
	case c == ':':
		end := strings.IndexByte(r.s[1:], ':')
		if end < 0 {
			break
		}
		b, err := base64.StdEncoding.DecodeString(r.s[1 : 1+end])
		if err != nil {
			break
		}
		r.s = r.s[end+2:]
		return value{kind: kindBytes, s: string(b)}
	case c == '?':
		if len(r.s) > 1 && (r.s[1] == '0' || r.s[1] == '1') {
			n := int64(r.s[1] - '0')
			r.s = r.s[2:]
			return value{kind: kindBool, n: n}
		}
	case c == '-' || '0' <= c && c <= '9':
		n := 1
		for n < len(r.s) && '0' <= r.s[n] && r.s[n] <= '9' {
			n++
		}
		v, err := strconv.ParseInt(r.s[:n], 10, 64)
		if err != nil || n > 15 && c != '-' || n > 16 || n < len(r.s) && r.s[n] == '.' {
			break
		}
		r.s = r.s[n:]
		return value{kind: kindInt, n: v}
	case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '*':
		n := 1
		for n < len(r.s) && (isTchar(r.s[n]) || r.s[n] == ':' || r.s[n] == '/') {
			n++
		}
		v := value{kind: kindToken, s: r.s[:n]}
		r.s = r.s[n:]
		return v
	}
	r.fail()
	return value{}
}

func isTchar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func (r *reader) str() string {
	var b strings.Builder
	for i := 1; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '"':
			r.s = r.s[i+1:]
			return b.String()
		case c == '\\':
			if i++; i == len(r.s) || r.s[i] != '"' && r.s[i] != '\\' {
				r.fail()
				return ""
			}
			b.WriteByte(r.s[i])
		case c < ' ' || c > '~':
			r.fail()
			return ""
		default:
			b.WriteByte(c)
		}
	}
	r.fail()
	return ""
}
