package record

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// maxDepth is how deep JSON from outside may be nested.
const maxDepth = 64

// JSONReader takes JSON text (RFC 8259) apart in one pass. The first failure sticks: later reads give zeros, and Err tells.
// Its methods are called where their kind of value must stand. Of a name that stands twice the last value counts.
type JSONReader struct {
	b     []byte
	i     int
	depth int
	err   error
}

// NewJSONReader reads from b, which must not change meanwhile.
func NewJSONReader(b []byte) *JSONReader { return &JSONReader{b: b} }

// Err is the first failure, of kind problem.BadValue, or nil.
func (r *JSONReader) Err() error { return r.err }

// Fail makes the reader fail, unless it has already. Both sentences are formats.
func (r *JSONReader) Fail(en, zh string, args ...any) {
	if r.err == nil {
		r.err = problem.Wrap(problem.New(problem.BadValue, en, zh, args...), problem.BadValue,
			"bad JSON at byte %d", "JSON 第 %d 字节处有误", r.i)
	}
}

// End fails unless nothing but white space is left.
func (r *JSONReader) End() {
	if r.Peek() != 0 || r.err == nil && r.i < len(r.b) {
		r.Fail("something stands behind the value", "值之后还有多余内容")
	}
}

// Peek is the first byte of what comes next: { [ " t f n - or a digit; 0 at the end or after a failure.
func (r *JSONReader) Peek() byte {
	if r.err != nil {
		return 0
	}
	for r.i < len(r.b) {
		switch c := r.b[r.i]; c {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return c
		}
	}
	return 0
}

// Object calls each for every member; each must read the member's value.
func (r *JSONReader) Object(each func(name string)) {
	if r.open('{') {
		r.members(each)
		r.depth--
	}
}

func (r *JSONReader) open(c byte) bool {
	if r.Peek() != c {
		if c == '{' {
			r.Fail("an object expected", "应为对象")
		} else {
			r.Fail("an array expected", "应为数组")
		}
		return false
	}
	r.i++
	if r.depth++; r.depth > maxDepth {
		r.Fail("nested deeper than %d", "嵌套超过 %d 层", maxDepth)
		return false
	}
	return true
}

func (r *JSONReader) members(each func(name string)) {
	if r.Peek() == '}' {
		r.i++
		return
	}
	for r.err == nil {
		name := r.String()
		if r.Peek() != ':' {
			r.Fail("a colon expected behind a name", "名称之后应为冒号")
			return
		}
		r.i++
		each(name)
		switch r.Peek() {
		case ',':
			r.i++
		case '}':
			r.i++
			return
		default:
			r.Fail("a comma or the end of the object expected", "应为逗号或对象结尾")
		}
	}
}

// Array calls each for every element; each must read it.
func (r *JSONReader) Array(each func()) {
	if !r.open('[') {
		return
	}
	defer func() { r.depth-- }()
	if r.Peek() == ']' {
		r.i++
		return
	}
	for r.err == nil {
		each()
		switch r.Peek() {
		case ',':
			r.i++
		case ']':
			r.i++
			return
		default:
			r.Fail("a comma or the end of the array expected", "应为逗号或数组结尾")
		}
	}
}

// String reads a string.
func (r *JSONReader) String() string {
	if r.Peek() != '"' {
		r.Fail("a string expected", "应为字符串")
		return ""
	}
	start := r.i + 1
	for i := start; i < len(r.b); i++ {
		switch c := r.b[i]; {
		case c == '"':
			s := r.b[start:i]
			if !utf8.Valid(s) {
				r.Fail("a text is not UTF-8; convert the file", "文本不是 UTF-8；请先转换编码")
				return ""
			}
			r.i = i + 1
			return string(s)
		case c == '\\':
			return r.escaped(start, i)
		case c < 0x20:
			r.i = i
			r.Fail("a control character in a string; write it as \\u%04x", "字符串中有控制字符；应写成 \\u%04x", c)
			return ""
		}
	}
	r.Fail("a string has no end", "字符串没有结尾")
	return ""
}

// escaped reads the rest of a string that begins at start and has its first backslash at i.
func (r *JSONReader) escaped(start, i int) string {
	out := append(make([]byte, 0, i-start+64), r.b[start:i]...)
	for i < len(r.b) {
		c := r.b[i]
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				r.Fail("a text is not UTF-8; convert the file", "文本不是 UTF-8；请先转换编码")
				return ""
			}
			r.i = i + 1
			return string(out)
		case c < 0x20:
			r.i = i
			r.Fail("a control character in a string; write it as \\u%04x", "字符串中有控制字符；应写成 \\u%04x", c)
			return ""
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		if i+1 >= len(r.b) {
			break
		}
		switch e := r.b[i+1]; e {
		case '"', '\\', '/':
			out = append(out, e)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			u, ok := r.unit(i)
			if utf16.IsSurrogate(u) {
				low, lowOK := r.unit(i + 6)
				u, ok = utf16.DecodeRune(u, low), ok && lowOK
				i += 6
				ok = ok && u != utf8.RuneError
			}
			if !ok {
				r.i = min(i, len(r.b))
				r.Fail("\\u must be followed by four hexadecimal digits, surrogates in pairs", "\\u 之后应为四位十六进制数字，代理项须成对")
				return ""
			}
			out = utf8.AppendRune(out, u)
			i += 4
		default:
			r.i = i
			r.Fail("an unknown escape in a string", "字符串中有未知的转义")
			return ""
		}
		i += 2
	}
	r.Fail("a string has no end", "字符串没有结尾")
	return ""
}

// unit is the \uXXXX at i.
func (r *JSONReader) unit(i int) (rune, bool) {
	if i < 0 || i+6 > len(r.b) || r.b[i] != '\\' || r.b[i+1] != 'u' {
		return 0, false
	}
	var u rune
	for _, c := range r.b[i+2 : i+6] {
		switch {
		case '0' <= c && c <= '9':
			u = u<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			u = u<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return u, true
}

// Number reads a number and returns its text.
func (r *JSONReader) Number() string {
	r.Peek()
	start := r.i
	i := r.i
	digits := func() bool {
		from := i
		for i < len(r.b) && '0' <= r.b[i] && r.b[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(cs string) bool {
		if i < len(r.b) && strings.IndexByte(cs, r.b[i]) >= 0 {
			i++
			return true
		}
		return false
	}
	at("-")
	first := i
	ok := digits() && (r.b[first] != '0' || i == first+1)
	if ok && at(".") {
		ok = digits()
	}
	if ok && at("eE") {
		at("+-")
		ok = digits()
	}
	if r.err != nil || !ok {
		r.Fail("a number expected", "应为数字")
		return ""
	}
	r.i = i
	return string(r.b[start:i])
}

// Bool reads true or false.
func (r *JSONReader) Bool() bool {
	switch {
	case r.word("true"):
		return true
	case r.word("false"):
		return false
	}
	r.Fail("true or false expected", "应为 true 或 false")
	return false
}

// Null reports whether null comes next, and reads it if so.
func (r *JSONReader) Null() bool { return r.word("null") }

func (r *JSONReader) word(w string) bool {
	if r.Peek() != w[0] || !strings.HasPrefix(string(r.b[r.i:min(len(r.b), r.i+len(w))]), w) {
		return false
	}
	r.i += len(w)
	return true
}

// Skip reads any value and forgets it.
func (r *JSONReader) Skip() {
	switch r.Peek() {
	case '{':
		r.Object(func(string) { r.Skip() })
	case '[':
		r.Array(r.Skip)
	case '"':
		_ = r.String()
	case 't', 'f':
		r.Bool()
	case 'n':
		if !r.Null() {
			r.Fail("null expected", "应为 null")
		}
	default:
		r.Number()
	}
}

// Text reads a string, or a number or a truth value as its text.
func (r *JSONReader) Text() string {
	switch r.Peek() {
	case 't', 'f':
		return strconv.FormatBool(r.Bool())
	case '"':
		return r.String()
	case '{', '[', 'n', 0:
		r.Fail("a text expected", "应为文本")
		return ""
	}
	return r.Number()
}

// Uint reads a whole number of at most limit, also one in a string, as some clients write them.
func (r *JSONReader) Uint(limit uint64) uint64 {
	s := r.Text()
	n, err := strconv.ParseUint(s, 10, 64)
	if r.err == nil && (err != nil || n > limit) {
		r.Fail("%q is no whole number from 0 to %d", "%q 不是 0 至 %d 的整数", s, limit)
		return 0
	}
	return n
}

// Value reads a value. What is not said is as deployed servers have it: 1110, 86400 seconds. A secret key for which
// nothing is said is readable by administrators only.
func (r *JSONReader) Value() (v Value) {
	v.TTL.Seconds = DefaultTTL
	perm, data := false, false
	r.Object(func(name string) {
		switch name {
		case "index":
			v.Index = uint32(r.Uint(1<<32 - 1))
		case "type":
			v.Type = r.String()
		case "data":
			v.Data, data = r.data(), true
		case "permissions":
			v.Perm, perm = r.perm(), true
		case "ttl":
			v.TTL = r.ttl()
		case "timestamp":
			if !r.Null() {
				v.Timestamp = r.time()
			}
		case "references":
			if !r.Null() {
				v.Refs = r.refs(MaxRefs)
			}
		default:
			r.Skip()
		}
	})
	if r.err == nil && !data {
		r.Fail("value %d has no data; write {\"format\":\"string\",\"value\":\"…\"}", "值 %d 没有数据；请写成 {\"format\":\"string\",\"value\":\"…\"}", v.Index)
	}
	if !perm {
		v.Perm = DefaultPerm
		if fold(v.Type, TypeSecKey) {
			v.Perm = AdminRead | AdminWrite
		}
	}
	return v
}

// Values reads an array of values, or a single one.
func (r *JSONReader) Values() (vs []Value) {
	if r.Peek() == '{' {
		return []Value{r.Value()}
	}
	vs = []Value{}
	r.Array(func() {
		if len(vs) == MaxValues {
			r.Fail("more than %d values", "值超过 %d 个", MaxValues)
			return
		}
		vs = append(vs, r.Value())
	})
	return vs
}

// perm reads the four digits of permissions. Deployed servers want five, of which the first is admin read and the second
// nothing, and of four they ignore the first: of four we take each for what it says, five as they do.
func (r *JSONReader) perm() Perm {
	s := r.String()
	five := len(s) == 5
	var p Perm
	for i := 0; i < len(s); i++ {
		if s[i] != '0' && s[i] != '1' || len(s) > 5 {
			r.Fail("%q are no permissions; write four binary digits: admin read, admin write, public read, public write",
				"%q 不是权限；请写成四位二进制数字：管理员读、管理员写、公众读、公众写", s)
			return 0
		}
		if five && i == 1 {
			continue
		}
		p = p<<1 | Perm(s[i]-'0')
	}
	return p
}

func (r *JSONReader) ttl() TTL {
	if r.Peek() == '"' {
		at := r.i
		if s := r.String(); strings.Contains(s, "-") {
			r.i = at
			return TTL{true, r.time()}
		}
		r.i = at
	}
	return TTL{false, uint32(r.Uint(1<<32 - 1))}
}

func (r *JSONReader) time() uint32 {
	if r.Peek() != '"' {
		return uint32(r.Uint(1<<32 - 1))
	}
	s := r.String()
	t, ok := parseTime(s)
	if r.err == nil && !ok {
		r.Fail("%q is no time; write it as in 2026-11-22T15:10:27Z", "%q 不是时间；请写成 2026-11-22T15:10:27Z", s)
	}
	return t
}

func (r *JSONReader) ref() (ref Ref) {
	r.Object(func(name string) {
		switch name {
		case "handle":
			ref.Name = r.String()
		case "index":
			ref.Index = uint32(r.Uint(1<<32 - 1))
		default:
			r.Skip()
		}
	})
	return ref
}

func (r *JSONReader) refs(limit int) (refs []Ref) {
	r.Array(func() {
		if len(refs) == limit {
			r.Fail("more than %d references", "引用超过 %d 个", limit)
			return
		}
		refs = append(refs, r.ref())
	})
	return refs
}

// data reads the data of a value: {"format":…,"value":…}, or a bare text.
func (r *JSONReader) data() []byte {
	if r.Peek() != '{' {
		return []byte(r.Text())
	}
	format, at := "", -1
	r.Object(func(name string) {
		switch name {
		case "format":
			format = r.String()
		case "value":
			r.Peek()
			at = r.i
			r.Skip()
		default:
			r.Skip()
		}
	})
	if r.err != nil {
		return nil
	}
	if at < 0 {
		r.Fail("data has no value", "数据没有 value")
		return nil
	}
	end, depth := r.i, r.depth
	r.i = at
	b := r.formatted(format)
	if r.err == nil {
		r.i, r.depth = end, depth
	}
	return b
}

func (r *JSONReader) formatted(format string) []byte {
	switch format {
	case "string", "":
		return []byte(r.Text())
	case "base64":
		b, err := unbase64(r.String())
		if r.err == nil && err != nil {
			r.Fail("the data is not base64", "数据不是 base64")
		}
		return b
	case "hex":
		b, err := unhex(r.String())
		if r.err == nil && err != nil {
			r.Fail("the data is not hexadecimal", "数据不是十六进制")
		}
		return b
	case "admin":
		return r.admin()
	case "vlist":
		return AppendVList(nil, r.refs(MaxData/8))
	case "site":
		if s := r.site(); r.err == nil {
			return AppendSite(nil, &s)
		}
		return nil
	case "key":
		if k := r.jwk(); r.err == nil {
			return AppendKey(nil, k)
		}
		return nil
	}
	r.Fail("the data format %q is not known; string, base64, hex, admin, vlist, site and key are",
		"数据格式 %q 未知；可用 string、base64、hex、admin、vlist、site、key", format)
	return nil
}

func (r *JSONReader) admin() []byte {
	var a Admin
	r.Object(func(name string) {
		switch name {
		case "handle":
			a.Name = r.String()
		case "index":
			a.Index = uint32(r.Uint(1<<32 - 1))
		case "permissions":
			p, err := ParseAdminPerm(r.Text())
			if err != nil && r.err == nil {
				r.err = err
			}
			a.Perms = p
		default:
			r.Skip()
		}
	})
	return AppendAdmin(nil, a)
}

// ParseSiteJSON reads the JSON form of a site. The error is of kind problem.BadValue.
func ParseSiteJSON(b []byte) (*Site, error) {
	r := NewJSONReader(b)
	s := r.site()
	r.End()
	if r.err != nil {
		return nil, r.err
	}
	return &s, nil
}

func (r *JSONReader) site() Site {
	s := Site{Version: 1, Major: 2, Minor: 11, Hash: HashAll}
	r.Object(func(name string) {
		switch name {
		case "version":
			s.Version = uint16(r.Uint(1<<16 - 1))
		case "protocolVersion":
			text := r.Text()
			major, minor, ok := strings.Cut(text, ".")
			a, err1 := strconv.ParseUint(major, 10, 8)
			b, err2 := strconv.ParseUint(minor, 10, 8)
			if !ok || err1 != nil || err2 != nil {
				r.Fail("the protocol version %q is not of the form 2.11", "协议版本 %q 不是 2.11 这样的形式", text)
			}
			s.Major, s.Minor = uint8(a), uint8(b)
		case "serialNumber":
			s.Serial = uint16(r.Uint(1<<16 - 1))
		case "primarySite":
			s.Primary = r.Bool()
		case "multiPrimary":
			s.MultiPrimary = r.Bool()
		case "hashOption":
			s.Hash = r.hashOption()
		case "hashFilter":
			if !r.Null() {
				b, err := unbase64(r.String())
				if err != nil {
					r.Fail("the hash filter is not base64", "散列过滤器不是 base64")
				}
				s.HashFilter = b
			}
		case "attributes":
			if !r.Null() {
				r.Array(func() { s.Attributes = append(s.Attributes, r.attribute()) })
			}
		case "servers":
			if !r.Null() {
				r.Array(func() { s.Servers = append(s.Servers, r.server()) })
			}
		default:
			r.Skip()
		}
	})
	return s
}

func (r *JSONReader) hashOption() HashOption {
	text := r.Text()
	for i, name := range hashNames {
		if strings.EqualFold(text, name) || text == strconv.Itoa(i) {
			return HashOption(i)
		}
	}
	r.Fail("the hash option %q is not known; HASH_BY_PREFIX, HASH_BY_SUFFIX and HASH_BY_ALL are",
		"散列选项 %q 未知；可用 HASH_BY_PREFIX、HASH_BY_SUFFIX、HASH_BY_ALL", text)
	return HashAll
}

func (r *JSONReader) attribute() (a Attribute) {
	r.Object(func(name string) {
		switch name {
		case "name":
			a.Name = r.String()
		case "value":
			a.Value = r.Text()
		default:
			r.Skip()
		}
	})
	return a
}

func (r *JSONReader) server() (v Server) {
	r.Object(func(name string) {
		switch name {
		case "serverId":
			v.ID = uint32(r.Uint(1<<32 - 1))
		case "address":
			text := r.String()
			a, err := netip.ParseAddr(text)
			if r.err == nil && (err != nil || a.Zone() != "") {
				r.Fail("%q is no IP address", "%q 不是 IP 地址", text)
			}
			v.Addr = a
		case "publicKey":
			if !r.Null() {
				v.PublicKey = clone(r.data())
			}
		case "interfaces":
			if !r.Null() {
				r.Array(func() { v.Interfaces = append(v.Interfaces, r.iface()) })
			}
		default:
			r.Skip()
		}
	})
	return v
}

func (r *JSONReader) iface() (i Interface) {
	r.Object(func(name string) {
		switch name {
		case "query":
			i.Query = r.Bool()
		case "admin":
			i.Admin = r.Bool()
		case "port":
			i.Port = uint32(r.Uint(1<<32 - 1))
		case "protocol":
			text := r.Text()
			for p, name := range protocolNames {
				if strings.EqualFold(text, name) {
					i.Protocol = Protocol(p)
					return
				}
			}
			n, err := strconv.ParseUint(text, 10, 8)
			if err != nil {
				r.Fail("the protocol %q is not known; UDP, TCP, HTTP and HTTPS are", "协议 %q 未知；可用 UDP、TCP、HTTP、HTTPS", text)
			}
			i.Protocol = Protocol(n)
		default:
			r.Skip()
		}
	})
	return i
}

// ParseValuesJSON reads values: an array, a single object, or {"handle":…,"values":…}. The error is of kind
// problem.BadValue and names the place. That the values keep the rules is for CheckAll to say.
func ParseValuesJSON(b []byte) ([]Value, error) {
	_, vs, err := ParseRecordJSON(b)
	return vs, err
}

// ParseRecordJSON is ParseValuesJSON that tells the handle too, if the text names one.
func ParseRecordJSON(b []byte) (handle string, vs []Value, err error) {
	r := NewJSONReader(b)
	if r.Peek() == '{' && !r.isValue() {
		found := false
		r.Object(func(name string) {
			switch name {
			case "handle":
				handle = r.String()
			case "values":
				vs, found = r.Values(), true
			default:
				r.Skip()
			}
		})
		if r.err == nil && !found {
			r.Fail("the object has neither values nor is it one", "对象中没有 values，本身也不是一个值")
		}
	} else {
		vs = r.Values()
	}
	r.End()
	if r.err != nil {
		return "", nil, r.err
	}
	return handle, vs, nil
}

// isValue reports whether the object that comes next is a single value: it has data.
func (r *JSONReader) isValue() bool {
	ahead := *r
	found := false
	ahead.Object(func(name string) {
		found = found || name == "data"
		ahead.Skip()
	})
	return found && ahead.err == nil
}

// Site reads the JSON form of a site; nil after a failure.
func (r *JSONReader) Site() *Site {
	s := r.site()
	if r.err != nil {
		return nil
	}
	return &s
}
