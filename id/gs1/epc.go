package gs1

import (
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// URN is an EPC in its pure identity form, a class, a pattern, or what a tag holds (EPC Tag Data Standard 2.2, 6, 8 and 12):
// urn:epc:id:sgtin:0614141.812345.6789, urn:epc:class:lgtin:4012345.012345.998877, urn:epc:idpat:sgtin:4012345.*.*, urn:epc:raw:96.x30….
type URN struct {
	Kind   string   // id, class, idpat, raw
	Scheme string   // sgtin, sscc, …; of raw: the number of bits
	Fields []string // as they stand, escapes taken off; * in patterns
}

// form is how the fields of a scheme look.
type form struct {
	company   bool   // the first field is a company prefix of 6 to 12 digits
	digits    int    // company prefix and reference together; 0: the reference is text
	text      int    // most characters of the reference that is text
	numbers   bool   // the last field is digits
	last      int    // most characters of the last field; 0: there is none
	first     int    // fewest
	fields    int    // how many there are
	alphabet  string // of a reference that is text: "" is the invariant set of ISO 646
	widths    []int  // digits of fields of a fixed width behind the reference
	kind      string // class, for lgtin
	pattern   bool   // may stand in a pattern with * from some field on
	noLinkYet bool   // has no Digital Link
}

const cpiLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-#/"

var forms = map[string]form{
	"sgtin": {company: true, digits: 13, last: 20, first: 1, fields: 3, pattern: true},
	"lgtin": {company: true, digits: 13, last: 20, first: 1, fields: 3, kind: "class"},
	"sscc":  {company: true, digits: 17, fields: 2, pattern: true},
	"sgln":  {company: true, digits: 12, last: 20, first: 1, fields: 3, pattern: true},
	"pgln":  {company: true, digits: 12, fields: 2, pattern: true},
	"grai":  {company: true, digits: 12, last: 16, first: 1, fields: 3, pattern: true},
	"giai":  {company: true, text: 30, fields: 2, pattern: true},
	"gsrn":  {company: true, digits: 17, fields: 2, pattern: true},
	"gsrnp": {company: true, digits: 17, fields: 2, pattern: true},
	"gdti":  {company: true, digits: 12, last: 17, first: 1, fields: 3, pattern: true},
	"sgcn":  {company: true, digits: 12, last: 12, first: 1, numbers: true, fields: 3, pattern: true},
	"cpi":   {company: true, text: 30, alphabet: cpiLetters, last: 12, first: 1, numbers: true, fields: 3, pattern: true},
	"ginc":  {company: true, text: 30, fields: 2, pattern: true},
	"gsin":  {company: true, digits: 16, fields: 2, pattern: true},
	"itip":  {company: true, digits: 13, widths: []int{2, 2}, last: 20, first: 1, fields: 5, pattern: true},
	"upui":  {company: true, digits: 13, last: 28, first: 1, fields: 3, pattern: true},
	"gid":   {fields: 3, pattern: true, noLinkYet: true},
	"usdod": {fields: 2, pattern: true, noLinkYet: true},
	"adi":   {fields: 3, pattern: true, noLinkYet: true},
	"bic":   {fields: 1, noLinkYet: true},
	"imovn": {fields: 1, noLinkYet: true},
}

// escapedInURN are the characters of the invariant set that stand escaped in a URN (Tag Data Standard, table A-1).
const escapedInURN = "\"%&/<>?#"

// invariant says whether a byte is in the subset of ISO 646 that serials may have (GS1 General Specifications, figure 7.11-1).
func invariant(c byte) bool {
	return c == '!' || c >= '%' && c <= '?' || c == '"' || c >= 'A' && c <= 'Z' || c == '_' || c >= 'a' && c <= 'z'
}

func badURN(s, en, zh string) error {
	return problem.New(problem.BadID, "%.100q is no EPC: %[2]s", "%.100q 不是 EPC：%[3]s", s, en, zh)
}

// ParseURN reads an EPC URN, strictly. A tag's URN (urn:epc:tag:…) is read by ParseTag. Errors: problem.BadID with what is wrong and how it must look.
func ParseURN(s string) (URN, error) {
	rest, ok := strings.CutPrefix(s, "urn:epc:")
	if !ok || len(s) > 300 {
		return URN{}, badURN(s, "it does not begin with urn:epc: or is too long", "应以 urn:epc: 开头且不过长")
	}
	kind, rest, _ := strings.Cut(rest, ":")
	scheme, rest, ok := strings.Cut(rest, ":")
	if kind == "raw" {
		bits, value, ok := strings.Cut(strings.TrimPrefix(s, "urn:epc:raw:"), ".")
		if !ok || !digits(bits) || len(bits) > 4 || len(value) < 2 || value[0] != 'x' || strings.Trim(value[1:], "0123456789ABCDEF") != "" {
			return URN{}, badURN(s, "a raw tag is urn:epc:raw:BITS.xHEX", "原始标签应写成 urn:epc:raw:位数.x十六进制")
		}
		return URN{"raw", bits, []string{value}}, nil
	}
	f, known := forms[scheme]
	if !ok || !known {
		return URN{}, badURN(s, "there is no scheme "+scheme, "没有方案 "+scheme)
	}
	switch kind {
	case "id":
		if f.kind == "class" {
			return URN{}, badURN(s, "a lot is a class: write urn:epc:class:lgtin:", "批次属于类：请写 urn:epc:class:lgtin:")
		}
	case "class":
		if f.kind != "class" {
			return URN{}, badURN(s, "the only class is lgtin", "类只有 lgtin")
		}
	case "idpat":
		if !f.pattern {
			return URN{}, badURN(s, "this scheme has no patterns", "该方案没有模式")
		}
	default:
		return URN{}, badURN(s, "after urn:epc: come id, class, idpat, tag or raw", "urn:epc: 之后应为 id、class、idpat、tag 或 raw")
	}
	u := URN{Kind: kind, Scheme: scheme, Fields: strings.SplitN(rest, ".", f.fields)}
	if len(u.Fields) != f.fields {
		return URN{}, badURN(s, "fields are missing, which points keep apart", "缺少以点分隔的字段")
	}
	star := false
	for i, x := range u.Fields {
		if x == "*" && kind == "idpat" {
			star = true
			continue
		}
		if star {
			return URN{}, badURN(s, "behind a * only * may stand", "* 之后只能是 *")
		}
		v, ok := unescape(x)
		if !ok || v == "" && !(i == 1 && (f.digits == 12 || scheme == "adi")) {
			return URN{}, badURN(s, "a field is empty, or an escape in it is cut short", "字段为空或转义不完整")
		}
		if strings.ContainsAny(x, "\"&/<>?#") || escapeURN(v) != x {
			return URN{}, badURN(s, "the characters \" % & / < > ? # stand as %22 %25 %26 %2F %3C %3E %3F %23, and no others do", "字符 \" % & / < > ? # 应写作 %22 %25 %26 %2F %3C %3E %3F %23，其他字符不转义")
		}
		u.Fields[i] = v
	}
	if kind == "idpat" && !star {
		return URN{}, badURN(s, "a pattern has a * somewhere", "模式中应有 *")
	}
	if en, zh := u.check(f); en != "" {
		return URN{}, badURN(s, en, zh)
	}
	return u, nil
}

// check says what is wrong with the fields.
func (u URN) check(f form) (en, zh string) {
	at := func(i int) (string, bool) {
		if i >= len(u.Fields) || u.Fields[i] == "*" && u.Kind == "idpat" {
			return "", false
		}
		return u.Fields[i], true
	}
	if !f.company {
		return u.checkOther(at)
	}
	company, ok := at(0)
	if !ok {
		return "", ""
	}
	if !digits(company) || len(company) < 6 || len(company) > 12 {
		return "the company prefix has 6 to 12 digits", "厂商识别代码应为 6 至 12 位数字"
	}
	ref, ok := at(1)
	if ok {
		if f.digits > 0 {
			if ref != "" && !digits(ref) || len(company)+len(ref) != f.digits {
				return "company prefix and reference have " + itoa(f.digits) + " digits together", "厂商识别代码与参考代码合计应为 " + itoa(f.digits) + " 位数字"
			}
		} else {
			if len(company)+len(ref) > f.text {
				return "company prefix and reference have at most " + itoa(f.text) + " characters together", "厂商识别代码与参考代码合计至多 " + itoa(f.text) + " 个字符"
			}
			for i := range len(ref) {
				if f.alphabet != "" && strings.IndexByte(f.alphabet, ref[i]) < 0 || !invariant(ref[i]) && ref[i] != '#' {
					return "the reference holds a character that it may not", "参考代码含有不允许的字符"
				}
			}
		}
	}
	for i, w := range f.widths {
		if x, ok := at(2 + i); ok && (len(x) != w || !digits(x)) {
			return "piece and total are two digits each", "组件号与总数各为两位数字"
		}
	}
	if f.last == 0 {
		return "", ""
	}
	serial, ok := at(f.fields - 1)
	if !ok {
		return "", ""
	}
	if len(serial) < f.first || len(serial) > f.last || f.numbers && !digits(serial) {
		return "the last field has " + itoa(f.first) + " to " + itoa(f.last) + " characters", "最后一个字段应为 " + itoa(f.first) + " 至 " + itoa(f.last) + " 个字符"
	}
	for i := range len(serial) {
		if !invariant(serial[i]) {
			return "the last field holds a character that it may not", "最后一个字段含有不允许的字符"
		}
	}
	return "", ""
}

// checkOther is for the schemes that do not begin with a company prefix (Tag Data Standard, 6.3.9 to 6.3.18).
func (u URN) checkOther(at func(int) (string, bool)) (en, zh string) {
	number := func(i int, most uint64) bool {
		x, ok := at(i)
		if !ok {
			return true
		}
		n, fine := toUint(x)
		return fine && n <= most && (x == "0" || x[0] != '0')
	}
	cage := func() bool {
		x, ok := at(0)
		return !ok || (len(x) == 5 || len(x) == 6) && strings.Trim(x, "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ") == ""
	}
	switch u.Scheme {
	case "gid":
		if !number(0, 1<<28-1) || !number(1, 1<<24-1) || !number(2, 1<<36-1) {
			return "its three numbers go to 268435455, 16777215 and 68719476735, without leading zeros", "三个数字上限为 268435455、16777215、68719476735，且无前导零"
		}
	case "usdod":
		if !cage() || !number(1, 1<<36-1) {
			return "it is a CAGE code or DoDAAC and a number up to 68719476735", "应为 CAGE 或 DoDAAC 代码与至多 68719476735 的数字"
		}
	case "adi":
		part, _ := at(1)
		serial, ok := at(2)
		if !cage() || len(part) > 32 || ok && (serial == "" || len(serial) > 30) || strings.Trim(part+serial, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-#/") != "" || strings.Contains(part, "#") || strings.LastIndex(serial, "#") > 0 {
			return "it is a CAGE code or DoDAAC, a part number of up to 32 characters and a serial of up to 30", "应为 CAGE 或 DoDAAC 代码、至多 32 个字符的件号与至多 30 个字符的序列号"
		}
	case "bic":
		x, _ := at(0)
		if len(x) != 11 || strings.Trim(x[:3], letters) != "" || strings.IndexByte("JUZ", x[3]) < 0 || !digits(x[4:]) {
			return "a container is three letters, J, U or Z, and seven digits (ISO 6346)", "集装箱代码为三个字母、J/U/Z 之一与七位数字（ISO 6346）"
		}
	case "imovn":
		if x, _ := at(0); len(x) != 7 || !digits(x) {
			return "a ship's number has seven digits", "船舶识别号为七位数字"
		}
	}
	return "", ""
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func itoa(n int) string {
	if n >= 10 {
		return itoa(n/10) + string(rune('0'+n%10))
	}
	return string(rune('0' + n))
}

func toUint(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 19 || !digits(s) {
		return 0, false
	}
	for i := range len(s) {
		n = n*10 + uint64(s[i]-'0')
	}
	return n, true
}

// String is the URN.
func (u URN) String() string {
	fields := make([]string, len(u.Fields))
	for i, f := range u.Fields {
		if fields[i] = f; u.Kind != "raw" && !(f == "*" && u.Kind == "idpat") {
			fields[i] = escapeURN(f)
		}
	}
	return "urn:epc:" + u.Kind + ":" + u.Scheme + separatorOf(u.Kind) + strings.Join(fields, ".")
}

func separatorOf(kind string) string {
	if kind == "raw" {
		return "."
	}
	return ":"
}

// Link is the canonical Digital Link of what the URN names; of a pattern, that of the class that it covers. ok is false for what has none: a scheme that is not
// of GS1's keys, a raw tag, a pattern over several classes.
func (u URN) Link() (string, bool) {
	if u.Kind == "raw" || forms[u.Scheme].noLinkYet {
		return "", false
	}
	return Canonical(u.String())
}

// Elements are the element strings of what the URN names. Errors: problem.BadID when it has none.
func (u URN) Elements() (Elements, error) {
	link, ok := u.Link()
	if !ok {
		return nil, badURN(u.String(), "it has no element string", "没有对应的单元数据串")
	}
	l, err := ParseLink(link)
	return l.Elements, err
}

// FromElements is the URN of element strings whose company prefix has so many digits (6 to 12): of the instance, or of the class when they name one. Errors:
// problem.BadID when there is none.
func FromElements(e Elements, companyPrefix int) (URN, error) {
	l, err := e.Link("")
	if err != nil {
		return URN{}, err
	}
	link, ok := Canonical(l.Canonical())
	if ok {
		var s string
		if s, ok = URNOf(link, companyPrefix, false); !ok {
			s, ok = URNOf(link, companyPrefix, true)
		}
		if ok {
			return ParseURN(s)
		}
	}
	return URN{}, problem.New(problem.BadID, "%.100s has no EPC with a company prefix of %d digits", "%.100s 没有厂商识别代码为 %d 位的 EPC", e.String(), companyPrefix)
}
