package epcis

import (
	"math"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// scanner reads JSON (RFC 8259) from one text that is held whole. Strings without escapes are parts of that text, so that reading allocates little.
// What is no JSON ends the reading by a panic with *problem.Error, which ReadJSON catches.
type scanner struct {
	s      string
	i      int
	depth  int
	deep   int // the deepest nesting allowed
	fields int // names and items that may still be read
	// where the last line was counted
	seen, line, start int
	mark              [3]int // the same of the event that is read, so that going back costs no more than the event
}

// position is the line and column of a place in the text, from 1. Places are asked for mostly in order, so that the counting goes on from the last one.
func (sc *scanner) position(at int) (line, column int) {
	if at < sc.seen {
		if sc.mark[0] > at {
			sc.mark = [3]int{}
		}
		sc.seen, sc.line, sc.start = sc.mark[0], sc.mark[1], sc.mark[2]
	}
	part := sc.s[sc.seen:at]
	if n := strings.Count(part, "\n"); n > 0 {
		sc.line += n
		sc.start = sc.seen + strings.LastIndexByte(part, '\n') + 1
	}
	sc.seen = at
	return sc.line + 1, utf8.RuneCountInString(sc.s[sc.start:at]) + 1
}

// bad ends the reading: the text is no JSON at the place.
func (sc *scanner) bad(at int, en, zh string) {
	line, column := sc.position(min(at, len(sc.s)))
	panic(problem.New(problem.BadRequest, "line %d, column %d: %[3]s", "第 %d 行第 %d 列：%[4]s", line, column, en, zh))
}

func (sc *scanner) ws() {
	for sc.i < len(sc.s) {
		switch sc.s[sc.i] {
		case ' ', '\n', '\r', '\t':
			sc.i++
		default:
			return
		}
	}
}

// peek is the first byte of the next value; 0 at the end.
func (sc *scanner) peek() byte {
	sc.ws()
	if sc.i < len(sc.s) {
		return sc.s[sc.i]
	}
	return 0
}

func (sc *scanner) down() {
	sc.i++
	if sc.depth++; sc.depth > sc.deep {
		sc.bad(sc.i-1, "nested too deeply", "嵌套过深")
	}
}

func (sc *scanner) spend() {
	if sc.fields--; sc.fields < 0 {
		sc.bad(sc.i, "too many fields", "字段过多")
	}
}

// object reads an object, calling each with every name; each must read the value.
func (sc *scanner) object(each func(name string, at int)) {
	sc.down()
	if sc.peek() == '}' {
		sc.i++
		sc.depth--
		return
	}
	for {
		if sc.peek() != '"' {
			sc.bad(sc.i, "a name in double quotes is expected", "此处应为双引号括起的名称")
		}
		at := sc.i
		name := sc.str()
		if sc.peek() != ':' {
			sc.bad(sc.i, "a colon is expected after the name", "名称之后应为冒号")
		}
		sc.i++
		sc.spend()
		each(name, at)
		switch sc.peek() {
		case ',':
			sc.i++
		case '}':
			sc.i++
			sc.depth--
			return
		default:
			sc.bad(sc.i, "a comma or the end of the object is expected", "此处应为逗号或对象的结尾")
		}
	}
}

// array reads a list, calling each with every item's number; each must read the item.
func (sc *scanner) array(each func(n int)) {
	sc.down()
	if sc.peek() == ']' {
		sc.i++
		sc.depth--
		return
	}
	for n := 0; ; n++ {
		sc.spend()
		each(n)
		switch sc.peek() {
		case ',':
			sc.i++
		case ']':
			sc.i++
			sc.depth--
			return
		default:
			sc.bad(sc.i, "a comma or the end of the list is expected", "此处应为逗号或列表的结尾")
		}
	}
}

// str reads a string; the next byte is its quote.
func (sc *scanner) str() string {
	s := sc.s
	from := sc.i + 1
	for i := from; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			sc.i = i + 1
			return s[from:i]
		case c == '\\':
			return sc.escaped(from, i)
		case c < ' ':
			sc.bad(i, "a control character in a string: write it as an escape", "字符串中有控制字符：请写成转义形式")
		}
	}
	sc.bad(sc.i, "the string does not end", "字符串没有结尾")
	return ""
}

// escaped goes on with a string that has an escape at i.
func (sc *scanner) escaped(from, i int) string {
	s := sc.s
	out := append(make([]byte, 0, i-from+32), s[from:i]...)
	for i < len(s) {
		c := s[i]
		switch {
		case c == '"':
			sc.i = i + 1
			return string(out)
		case c < ' ':
			sc.bad(i, "a control character in a string: write it as an escape", "字符串中有控制字符：请写成转义形式")
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		if i+1 >= len(s) {
			break
		}
		switch e := s[i+1]; e {
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
			r := sc.hex(i + 2)
			i += 4
			if utf16.IsSurrogate(r) {
				if i+3 < len(s) && s[i+2] == '\\' && s[i+3] == 'u' {
					if r = utf16.DecodeRune(r, sc.hex(i+4)); r != utf8.RuneError {
						i += 6
					}
				} else {
					r = utf8.RuneError
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			sc.bad(i, "an escape that JSON does not know", "JSON 中没有这种转义")
		}
		i += 2
	}
	sc.bad(sc.i, "the string does not end", "字符串没有结尾")
	return ""
}

func (sc *scanner) hex(at int) (r rune) {
	if at+4 > len(sc.s) {
		sc.bad(at, "an escape is cut short", "转义不完整")
	}
	for _, c := range []byte(sc.s[at : at+4]) {
		n := nibble(c)
		if n > 15 {
			sc.bad(at, "an escape is not of four hexadecimal digits", "转义不是四位十六进制数字")
		}
		r = r<<4 | rune(n)
	}
	return r
}

// number reads a number as it is written.
func (sc *scanner) number() string {
	s, from, i := sc.s, sc.i, sc.i
	digits := func() bool {
		at := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > at
	}
	if s[i] == '-' {
		i++
	}
	zero := i < len(s) && s[i] == '0'
	at := i
	ok := digits() && !(zero && i > at+1)
	if ok && i < len(s) && s[i] == '.' {
		i++
		ok = digits()
	}
	if ok && i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		ok = digits()
	}
	if !ok {
		sc.bad(from, "not a number of JSON", "不是 JSON 的数字")
	}
	sc.i = i
	return s[from:i]
}

// word reads true, false or null.
func (sc *scanner) word() string {
	for _, w := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(sc.s[sc.i:], w) {
			sc.i += len(w)
			return w
		}
	}
	sc.bad(sc.i, "a value is expected: text in double quotes, a number, true, false, null, an object or a list", "此处应为一个值：双引号文本、数字、true、false、null、对象或列表")
	return ""
}

// skip reads over a value.
func (sc *scanner) skip() {
	switch c := sc.peek(); {
	case c == '"':
		sc.str()
	case c == '{':
		sc.object(func(string, int) { sc.skip() })
	case c == '[':
		sc.array(func(int) { sc.skip() })
	case c == '-' || c >= '0' && c <= '9':
		sc.number()
	default:
		sc.word()
	}
}

// apart runs f on a value elsewhere in the text and comes back.
func (sc *scanner) apart(at int, f func()) {
	i, depth, fields := sc.i, sc.depth, sc.fields
	sc.i, sc.fields = at, math.MaxInt
	f()
	sc.i, sc.depth, sc.fields = i, depth, fields
}

// zones are the fixed offsets by the minute, so that a time that is read costs no memory.
var zones = func() (z [2*14*60 + 1]*time.Location) {
	for i := range z {
		z[i] = time.FixedZone("", (i-14*60)*60)
	}
	return z
}()

// ParseTime reads a dateTimeStamp of XML Schema, which must have an offset: 2005-04-03T20:33:31.116-06:00.
func ParseTime(s string) (time.Time, bool) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	n := func(from, to int) int {
		v := 0
		for ; from < to; from++ {
			c := s[from] - '0'
			if c > 9 {
				return -1
			}
			v = v*10 + int(c)
		}
		return v
	}
	year, month, day, hour, minute, second := n(0, 4), n(5, 7), n(8, 10), n(11, 13), n(14, 16), n(17, 19)
	if year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return time.Time{}, false
	}
	i, nano := 19, 0
	if s[i] == '.' {
		i++
		from, unit := i, 100_000_000
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			nano += int(s[i]-'0') * unit
			unit /= 10
		}
		if i == from {
			return time.Time{}, false
		}
	}
	var zone *time.Location
	switch rest := s[i:]; {
	case rest == "Z":
		zone = time.UTC
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, m := n(i+1, i+3), n(i+4, i+6)
		if h < 0 || m < 0 || m > 59 || h*60+m > 14*60 {
			return time.Time{}, false
		}
		if m += h * 60; rest[0] == '-' {
			m = -m
		}
		if zone = zones[m+14*60]; m == 0 {
			zone = time.UTC
		}
	default:
		return time.Time{}, false
	}
	if day > 28 && day > time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, nano, zone), true
}
