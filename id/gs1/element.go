// Package gs1 reads the codes of GS1 that stand on goods, pallets and places: element strings as a scanner gives them, Digital Links as a phone sees them,
// and EPCs as a reader of tags reports them. Whatever the spelling, one thing gets one name.
package gs1

import (
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// Element is one data field: an application identifier, two to four digits, and its value.
type Element struct{ AI, Value string }

// Elements are the fields of one code, in the order in which they stand.
type Elements []Element

// separator is FNC1 as scanners report it, the ASCII group separator (General Specifications, 7.8.3).
const separator = '\x1d'

// maxText and maxElements bound what is read: a symbol holds fewer.
const (
	maxText     = 8192
	maxElements = 100
)

// Reading is how strictly codes are read. The zero value takes what the standards say now.
type Reading struct {
	Aliases   bool // names of early Digital Links in place of numbers: /gtin/…/ser/…
	ShortGTIN bool // a GTIN in a Digital Link without its leading zeros: 8, 12 or 13 digits
	Unknown   bool // identifiers that are not allocated, with any value of set 82
}

// Value is the value of the first field with that identifier, and whether there is one.
func (e Elements) Value(ai string) (string, bool) {
	for i := range e {
		if e[i].AI == ai {
			return e[i].Value, true
		}
	}
	return "", false
}

// ParseElements reads element strings, as they are printed, (01)09521234543213(21)A1, with an opening bracket inside a value as \(, or as a scanner reports
// them, with FNC1 as the ASCII group separator or ^, and with or without a symbology identifier (]C1, ]e0, ]d2, ]Q3, ]J1). Every value is held against the
// dictionary, and the fields against each other (General Specifications, 3, 4.13 and 7.8). A field that is repeated with the same value is given once. The
// error is of kind problem.BadID.
func ParseElements(s string) (Elements, error) { return Reading{}.ParseElements(s) }

// ParseElements is the function of that name, read in this way.
func (r Reading) ParseElements(s string) (Elements, error) {
	if len(s) > maxText {
		return nil, problem.New(problem.BadID, "element strings of %[1]d bytes: %[2]d is the most; read the code again", "条码数据共 %[1]d 字节，最多 %[2]d 字节；请重新扫描", len(s), maxText)
	}
	if strings.Contains(s, "（") {
		s = strings.NewReplacer("（", "(", "）", ")").Replace(s)
	}
	var e Elements
	var err error
	if strings.HasPrefix(s, "(") {
		e, err = r.bracketed(s)
	} else {
		e, err = r.raw(s)
	}
	if err != nil {
		return nil, err
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return e, nil
}

// add puts a field behind the others, once.
func (e Elements) add(ai, value string) (Elements, error) {
	if v, ok := e.Value(ai); ok {
		if v == value {
			return e, nil
		}
		return nil, problem.New(problem.BadID, "(%[1]s) stands twice with different values, %[2]q and %[3]q; scan one thing at a time",
			"(%[1]s) 出现两次且值不同：%[2]q 与 %[3]q；请一次只扫描一件物品", ai, v, value)
	}
	if len(e) == maxElements {
		return nil, problem.New(problem.BadID, "more than %d fields in one code; read it again", "一个条码中超过 %d 个字段；请重新扫描", maxElements)
	}
	return append(e, Element{ai, value}), nil
}

// bracketed reads (01)…(21)…
func (r Reading) bracketed(s string) (Elements, error) {
	var e Elements
	for at := 0; at < len(s); {
		end := strings.IndexByte(s[at:], ')')
		if end < 0 {
			return nil, problem.New(problem.BadID, "%[2]q: the bracket at character %[1]d is not closed; an application identifier stands as (01)",
				"%[2]q：第 %[1]d 个字符处的括号未闭合；应用标识符应写作 (01)", at+1, clip(s))
		}
		ai := s[at+1 : at+end]
		if !isAI(ai) {
			return nil, problem.New(problem.BadID, "%[1]q at character %[2]d is no application identifier, which has two to four digits; write a bracket inside a value as \\(",
				"第 %[2]d 个字符处的 %[1]q 不是应用标识符（两至四位数字）；值中的左括号应写作 \\(", clip(ai), at+2)
		}
		at += end + 1
		value, next := unbracket(s, at)
		at = next
		value = strings.TrimSpace(value)
		if err := r.checkElement(ai, value); err != nil {
			return nil, err
		}
		var err error
		if e, err = e.add(ai, value); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// unbracket reads a value up to the next bare opening bracket, or the end.
func unbracket(s string, at int) (value string, next int) {
	end := at
	for end < len(s) && s[end] != '(' {
		if s[end] == '\\' && end+1 < len(s) && (s[end+1] == '(' || s[end+1] == ')') {
			end++
		}
		end++
	}
	value = s[at:end]
	if strings.Contains(value, "\\") {
		value = strings.NewReplacer("\\(", "(", "\\)", ")").Replace(value)
	}
	return value, end
}

// raw reads what a scanner reports.
func (r Reading) raw(s string) (Elements, error) {
	s, err := symbology(s)
	if err != nil {
		return nil, err
	}
	if s != "" && isSeparator(s[0]) {
		s = s[1:]
	}
	if s == "" {
		return nil, problem.New(problem.BadID, "an empty code; it begins with an application identifier, as in (01)09521234543213", "条码为空；应以应用标识符开头，例如 (01)09521234543213")
	}
	var e Elements
	for at := 0; at < len(s); {
		var n int
		if at+2 <= len(s) && digits(s[at:at+2]) {
			n = int(lengths[number(s[at:at+2])])
		}
		if n == 0 || at+n > len(s) || !digits(s[at:at+n]) || find(s[at:at+n]) == nil {
			return nil, problem.New(problem.BadID, "%[1]q, at character %[2]d, begins with no application identifier; read the code again, or write it in brackets, as (01)09521234543213(21)A1",
				"第 %[2]d 个字符起的 %[1]q 不以应用标识符开头；请重新扫描，或写成带括号的形式，如 (01)09521234543213(21)A1", clip(s[at:]), at+1)
		}
		ai := s[at : at+n]
		at += n
		end := at
		for end < len(s) && !isSeparator(s[end]) {
			end++
		}
		if f := find(ai); f.flags&predefined != 0 && end-at > f.longest() {
			end = at + f.longest()
		}
		value := s[at:end]
		if err := r.checkElement(ai, value); err != nil {
			return nil, err
		}
		if e, err = e.add(ai, value); err != nil {
			return nil, err
		}
		if at = end; at < len(s) && isSeparator(s[at]) {
			at++
		}
	}
	return e, nil
}

func isSeparator(c byte) bool { return c == separator || c == '^' }

// symbology takes off the identifier that scanners put in front (ISO/IEC 15424). What a plain EAN, UPC or ITF-14 holds is a GTIN.
func symbology(s string) (string, error) {
	if len(s) < 3 || s[0] != ']' {
		return s, nil
	}
	body := s[3:]
	switch s[:3] {
	case "]C1", "]e0", "]d2", "]Q3", "]J1":
		return body, nil
	case "]E0", "]E4", "]I1":
		if n := len(body); digits(body) && (n == 8 || n == 12 || n == 13 || n == 14) {
			return "01" + strings.Repeat("0", 14-n) + body, nil
		}
	}
	return "", problem.New(problem.BadID, "symbology %[1]s does not carry GS1 element strings; ]C1, ]e0, ]d2, ]Q3 and ]J1 do, and ]E0, ]E4, ]I1 a GTIN",
		"码制标识 %[1]s 不承载 GS1 数据；]C1、]e0、]d2、]Q3、]J1 承载，]E0、]E4、]I1 承载 GTIN", strconv.QuoteToASCII(s[:3]))
}

// clip shortens what is put in a sentence.
func clip(s string) string {
	if len(s) > 48 {
		return strings.ToValidUTF8(s[:48], "") + "…"
	}
	return s
}

// String is the code as it is printed for people, in brackets; ParseElements reads it back.
func (e Elements) String() string {
	var b strings.Builder
	for _, f := range e {
		b.WriteByte('(')
		b.WriteString(f.AI)
		b.WriteByte(')')
		b.WriteString(strings.ReplaceAll(f.Value, "(", "\\("))
	}
	return b.String()
}

// Raw is the code as it goes into a symbol, without the leading FNC1 that the symbology marks: fields of known length first, which saves separators, then
// the others with FNC1, the ASCII group separator, behind each but the last (General Specifications, 7.8.6).
func (e Elements) Raw() string { return string(e.appendRaw(nil, separator, true)) }

func (e Elements) appendRaw(dst []byte, sep byte, sort bool) []byte {
	open := false
	put := func(f Element, known bool) {
		if open {
			dst = append(dst, sep)
		}
		dst = append(append(dst, f.AI...), f.Value...)
		open = !known
	}
	for _, f := range e {
		if known := isPredefined(f.AI); known || !sort {
			put(f, known)
		}
	}
	for _, f := range e {
		if sort && !isPredefined(f.AI) {
			put(f, false)
		}
	}
	return dst
}

func isPredefined(ai string) bool {
	f := find(ai)
	return f != nil && f.flags&predefined != 0
}
