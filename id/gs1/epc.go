package gs1

import (
	"slices"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// URN is an EPC in its pure identity form, a class, a pattern, or what a tag holds (EPC Tag Data Standard 2.3, 6, 8 and 12):
// urn:epc:id:sgtin:0614141.812345.6789, urn:epc:class:lgtin:4012345.012345.998877, urn:epc:idpat:sgtin:4012345.*.*, urn:epc:raw:96.x30….
type URN struct {
	Kind   string   // id, class, idpat, raw
	Scheme string   // sgtin, sscc, …; of raw: the number of bits
	Fields []string // with the escapes taken off; * in patterns; of raw: the bits as x and hexadecimal digits, with the family of ISO/IEC 15961 in front if there is one
}

// form is how the fields of a scheme look (6.3). Those of GS1's keys begin with a company prefix and a reference.
type form struct {
	fields  int    // how many there are
	digits  int    // of company prefix and reference together; 0: the reference is text
	text    int    // most characters of both, where the reference is text
	part    bool   // that text is a part number: capitals, digits, -, # and /
	pieces  bool   // behind the reference stand the number of the piece and of all, two digits each
	serial  int    // most characters of the last field; 0: there is none
	numbers bool   // it is digits
	plain   bool   // and begins with 0 only if it is 0
	kind    string // class, where it is no instance
	pattern bool   // may stand in a pattern, with * from some field on
	other   bool   // does not begin with a company prefix, and has no Digital Link
}

var forms = map[string]form{
	"sgtin": {fields: 3, digits: 13, serial: 20, pattern: true},
	"lgtin": {fields: 3, digits: 13, serial: 20, kind: "class"},
	"sscc":  {fields: 2, digits: 17, pattern: true},
	"sgln":  {fields: 3, digits: 12, serial: 20, pattern: true},
	"pgln":  {fields: 2, digits: 12, pattern: true},
	"grai":  {fields: 3, digits: 12, serial: 16, pattern: true},
	"giai":  {fields: 2, text: 30, pattern: true},
	"gsrn":  {fields: 2, digits: 17, pattern: true},
	"gsrnp": {fields: 2, digits: 17, pattern: true},
	"gdti":  {fields: 3, digits: 12, serial: 17, pattern: true},
	"sgcn":  {fields: 3, digits: 12, serial: 12, numbers: true, pattern: true},
	"cpi":   {fields: 3, text: 30, part: true, serial: 12, numbers: true, plain: true, pattern: true},
	"ginc":  {fields: 2, text: 30, pattern: true},
	"gsin":  {fields: 2, digits: 16, pattern: true},
	"itip":  {fields: 5, digits: 13, pieces: true, serial: 20, pattern: true},
	"upui":  {fields: 3, digits: 13, serial: 28, pattern: true},
	"gid":   {fields: 3, pattern: true, other: true},
	"usdod": {fields: 2, pattern: true, other: true},
	"adi":   {fields: 3, pattern: true, other: true},
	"bic":   {fields: 1, other: true},
	"imovn": {fields: 1, other: true},
}

// schemeNames are the schemes, for sentences.
const schemeNames = "sgtin, sscc, sgln, grai, giai, gsrn, gsrnp, gdti, cpi, sgcn, ginc, gsin, itip, upui, pgln, gid, usdod, adi, bic, imovn"

// invariant says whether a byte is in the subset of ISO 646 that serials may have (GS1 General Specifications, figure 7.11-1).
func invariant(c byte) bool {
	return c == '!' || c >= '%' && c <= '?' || c == '"' || c >= 'A' && c <= 'Z' || c == '_' || c >= 'a' && c <= 'z'
}

// badURN says what is wrong with an EPC, the first character being 1.
func badURN(s string, at int, en, zh string) error {
	return problem.New(problem.BadID, "%[1]q is no EPC, character %[2]d: %[3]s", "%[1]q 不是 EPC，第 %[2]d 个字符：%[4]s", clip(s), at+1, en, zh)
}

// ParseURN reads an EPC URN, strictly: urn:epc:id:…, urn:epc:class:lgtin:…, urn:epc:idpat:…, urn:epc:raw:…, and urn:epc:tag:…, of which it gives the EPC
// (ParseTag gives all). The error, of kind problem.BadID, says where it is wrong and how it must look.
func ParseURN(s string) (URN, error) {
	const space = "urn:epc:"
	if !strings.HasPrefix(s, space) {
		return URN{}, badURN(s, 0, "it does not begin with urn:epc:, in small letters", "应以小写的 urn:epc: 开头")
	}
	if len(s) > 400 {
		return URN{}, badURN(s, 400, "400 characters are the most", "最多 400 个字符")
	}
	kind, rest, _ := strings.Cut(s[len(space):], ":")
	at := len(space) + len(kind) + 1
	switch kind {
	case "raw":
		return parseRaw(s, rest, at)
	case "tag":
		t, err := ParseTag(s)
		return t.URN, err
	case "id", "class", "idpat":
	default:
		return URN{}, badURN(s, len(space), "id, class, idpat, tag or raw belongs behind urn:epc:", "urn:epc: 之后应为 id、class、idpat、tag 或 raw")
	}
	scheme, rest, ok := strings.Cut(rest, ":")
	f, known := forms[scheme]
	switch {
	case !known:
		return URN{}, badURN(s, at, "there is no such scheme; there are "+schemeNames, "没有这种方案；可用的有 "+schemeNames)
	case kind == "id" && f.kind != "":
		return URN{}, badURN(s, len(space), "a lot is a class of things: write urn:epc:class:lgtin:", "批次是一类物品：请写 urn:epc:class:lgtin:")
	case kind == "class" && f.kind == "":
		return URN{}, badURN(s, at, "the only class is lgtin; a class of "+scheme+" is a pattern, urn:epc:idpat:"+scheme+": with * at its end", "类只有 lgtin；"+scheme+" 的类应写作末尾为 * 的模式 urn:epc:idpat:"+scheme+":")
	case kind == "idpat" && !f.pattern:
		return URN{}, badURN(s, at, "there are no patterns of "+scheme+"; name the thing itself", scheme+" 没有模式；请写具体标识")
	}
	if at += len(scheme) + 1; !ok {
		return URN{}, badURN(s, at-1, "its fields are missing; they stand behind a colon", "缺少字段；字段写在冒号之后")
	}
	u := URN{Kind: kind, Scheme: scheme, Fields: strings.SplitN(rest, ".", f.fields)}
	if n := len(u.Fields); n != f.fields {
		return URN{}, badURN(s, len(s), "it has "+strconv.Itoa(n)+" fields and needs "+strconv.Itoa(f.fields)+", with a point between them", "有 "+strconv.Itoa(n)+" 个字段，应为 "+strconv.Itoa(f.fields)+" 个，以点分隔")
	}
	starts, star := make([]int, f.fields), false
	for i, x := range u.Fields {
		starts[i] = at
		if u.Fields[i] = x; kind == "idpat" && (x == "*" || star) {
			if x != "*" {
				return URN{}, badURN(s, at, "behind a * only * can stand", "* 之后只能是 *")
			}
			star = true
		} else if fault := unescapeURN(&u.Fields[i]); fault != nil {
			return URN{}, badURN(s, at+fault.at, fault.en, fault.zh)
		}
		at += len(x) + 1
	}
	if kind == "idpat" && !star {
		return URN{}, badURN(s, len(s), "a pattern has * in its last field; what has none is urn:epc:id:", "模式的最后一个字段应为 *；没有 * 时应写作 urn:epc:id:")
	}
	if fault := u.check(f); fault != nil {
		return URN{}, badURN(s, starts[fault.at], fault.en, fault.zh)
	}
	return u, nil
}

// parseRaw reads what a tag holds that is no EPC: 96.x3074…, or with the application family of ISO/IEC 15961 in front, 96.xA1.x3074… (12.2).
func parseRaw(s, rest string, at int) (URN, error) {
	f := strings.Split(rest, ".")
	n := toUint(f[0])
	good := (len(f) == 2 || len(f) == 3) && n > 0 && n <= maxTagBits && f[0][0] != '0'
	for i := 1; i < len(f) && good; i++ {
		want := 2
		if i == len(f)-1 {
			want = (int(n) + 3) / 4
		}
		good = len(f[i]) == want+1 && f[i][0] == 'x' && strings.Trim(f[i][1:], "0123456789ABCDEF") == ""
	}
	if !good {
		return URN{}, badURN(s, at, "a tag as it is, is written as its number of bits, .x and a hexadecimal digit for every four of them: 96.x followed by 24", "原始标签写作位数、.x 以及每四位一个十六进制数字：如 96.x 后接 24 个")
	}
	return URN{"raw", f[0], f[1:]}, nil
}

// unescapeURN takes the escapes off a field, which stand where they must and nowhere else: one thing has one URN.
func unescapeURN(field *string) *fault {
	x := *field
	for i := range len(x) {
		if strings.IndexByte("\"&/<>?#", x[i]) >= 0 {
			return bad(i, "\" % & / < > ? # stand as %22 %25 %26 %2F %3C %3E %3F %23", "\" % & / < > ? # 应写作 %22 %25 %26 %2F %3C %3E %3F %23")
		}
	}
	v, ok := unescape(x)
	if !ok {
		return bad(strings.IndexByte(x, '%'), "an escape is % and two hexadecimal digits", "转义应为 % 加两位十六进制数字")
	}
	if escapeURN(v) != x {
		return bad(strings.IndexByte(x, '%'), "only \" % & / < > ? # stand escaped, with capital letters: %2F", "只有 \" % & / < > ? # 需转义，且用大写：%2F")
	}
	*field = v
	return nil
}

// check finds the first fault of the fields; at is the place of the field, from 0.
func (u URN) check(f form) *fault {
	if len(u.Fields) != f.fields {
		return bad(0, "it needs "+strconv.Itoa(f.fields)+" fields", "应有 "+strconv.Itoa(f.fields)+" 个字段")
	}
	some := len(u.Fields) // those before a star
	for u.Kind == "idpat" && some > 0 && u.Fields[some-1] == "*" {
		some--
	}
	if f.other {
		return u.checkOther(some)
	}
	if some == 0 {
		return nil
	}
	company := u.Fields[0]
	if !digits(company) || len(company) < 6 || len(company) > 12 {
		return bad(0, "a company prefix has 6 to 12 digits", "厂商识别代码应为 6 至 12 位数字")
	}
	if some > 1 {
		if fault := f.checkReference(company, u.Fields[1]); fault != nil {
			return fault
		}
	}
	for i := 2; f.pieces && i < min(some, 4); i++ {
		if len(u.Fields[i]) != 2 || !digits(u.Fields[i]) {
			return bad(i, "the number of the piece, and of all pieces, are two digits each: 01.02", "组件号与组件总数各为两位数字：01.02")
		}
	}
	if some < f.fields || f.serial == 0 {
		return nil
	}
	last := f.fields - 1
	switch serial := u.Fields[last]; {
	case f.numbers && !digits(serial):
		return bad(last, "its serial number is digits, one to "+strconv.Itoa(f.serial), "序列号应为 1 至 "+strconv.Itoa(f.serial)+" 位数字")
	case f.plain && serial[0] == '0' && serial != "0":
		return bad(last, "its serial number does not begin with 0; take the zeros away", "序列号不得以 0 开头；请去掉前导零")
	case serial == "" || len(serial) > f.serial:
		return bad(last, "its serial number has "+strconv.Itoa(len(serial))+" characters and may have 1 to "+strconv.Itoa(f.serial), "序列号有 "+strconv.Itoa(len(serial))+" 个字符，应为 1 至 "+strconv.Itoa(f.serial)+" 个")
	default:
		return checkText(last, serial, false)
	}
}

// checkReference is about the second field, behind the company prefix.
func (f form) checkReference(company, reference string) *fault {
	if f.digits == 0 {
		if n := f.text - len(company); reference == "" || len(reference) > n {
			return bad(1, "behind a company prefix of "+strconv.Itoa(len(company))+" digits stand 1 to "+strconv.Itoa(n)+" characters", "在 "+strconv.Itoa(len(company))+" 位厂商识别代码之后应有 1 至 "+strconv.Itoa(n)+" 个字符")
		}
		return checkText(1, reference, f.part)
	}
	if n := f.digits - len(company); len(reference) != n || n > 0 && !digits(reference) {
		return bad(1, "behind a company prefix of "+strconv.Itoa(len(company))+" digits stand "+strconv.Itoa(n)+" digits, without the check digit, and with the indicator first", "在 "+strconv.Itoa(len(company))+" 位厂商识别代码之后应有 "+strconv.Itoa(n)+" 位数字：指示符在前，不含校验位")
	}
	return nil
}

// checkText is about the characters of a field: those of a serial number, or of a part number.
func checkText(field int, s string, part bool) *fault {
	for i := range len(s) {
		switch c := s[i]; {
		case part && (c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '#' || c == '/'):
		case part:
			return bad(field, "a part number is capital letters, digits, -, %23 and %2F", "零部件号应为大写字母、数字、-、%23 和 %2F")
		case !invariant(c):
			return bad(field, "its characters are letters, digits and ! \" % & ' ( ) * + , - . / : ; < = > ? _, and no spaces", "字符应为字母、数字及 ! \" % & ' ( ) * + , - . / : ; < = > ? _，不含空格")
		}
	}
	return nil
}

// checkOther is for the schemes that do not begin with a company prefix (6.3.12 to 6.3.20).
func (u URN) checkOther(some int) *fault {
	for i := range some {
		x := u.Fields[i]
		switch u.Scheme {
		case "gid":
			if most := [...]uint64{1<<28 - 1, 1<<24 - 1, 1<<36 - 1}[i]; !isUpTo(x, most) {
				return bad(i, "it is a number up to "+strconv.FormatUint(most, 10)+", without zeros in front", "应为不大于 "+strconv.FormatUint(most, 10)+" 的数字，且无前导零")
			}
		case "usdod", "adi":
			if fault := checkDefence(u.Scheme, i, x); fault != nil {
				return fault
			}
		case "bic":
			if len(x) != 11 || strings.Trim(x[:3], capitals) != "" || strings.IndexByte("JUZ", x[3]) < 0 || !digits(x[4:]) {
				return bad(0, "a container is three capital letters, then J, U or Z, and seven digits (ISO 6346): CSQU3054383", "集装箱号应为三个大写字母、J/U/Z 之一与七位数字（ISO 6346）：CSQU3054383")
			}
			if want := containerCheck(x); x[10] != want {
				return bad(0, "its check digit is "+x[10:]+" where "+string(want)+" belongs; read it again", "校验位为 "+x[10:]+"，应为 "+string(want)+"；请重新读取")
			}
		case "imovn":
			if len(x) != 7 || !digits(x) {
				return bad(0, "a ship has seven digits, without IMO in front", "船舶识别号应为七位数字，前面不写 IMO")
			}
			sum := 0
			for k := range 6 {
				sum += int(x[k]-'0') * (7 - k)
			}
			if want := byte('0' + sum%10); x[6] != want {
				return bad(0, "its check digit is "+x[6:]+" where "+string(want)+" belongs; read it again", "校验位为 "+x[6:]+"，应为 "+string(want)+"；请重新读取")
			}
		}
	}
	return nil
}

const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// checkDefence is about fields of usdod and adi: who, what, and which.
func checkDefence(scheme string, i int, x string) *fault {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
	switch {
	case i == 0:
		if len(x) < 5 || len(x) > 6 || strings.Trim(x, letters) != "" {
			return bad(0, "it begins with a CAGE code of five, or a DoDAAC of six, capital letters and digits, without I and O", "应以五位 CAGE 代码或六位 DoDAAC 代码开头：大写字母与数字，不含 I 和 O")
		}
	case scheme == "usdod":
		if !isUpTo(x, 1<<36-1) {
			return bad(1, "its serial number goes up to 68719476735, without zeros in front", "序列号不大于 68719476735，且无前导零")
		}
	case i == 1:
		if len(x) > 32 || strings.Contains(x, "#") || checkText(1, x, true) != nil {
			return bad(1, "a part number is up to 32 capital letters, digits, - and %2F", "件号应为至多 32 个大写字母、数字、- 和 %2F")
		}
	default:
		if n := strings.TrimPrefix(x, "#"); n == "" || len(x) > 30 || strings.Contains(n, "#") || checkText(2, n, true) != nil {
			return bad(2, "a serial number is up to 30 capital letters, digits, - and %2F, with %23 in front where it counts what a maker made in a part", "序列号应为至多 30 个大写字母、数字、- 和 %2F；可在最前面加 %23")
		}
	}
	return nil
}

// containerCheck is the check digit of a container (ISO 6346, annex A): letters count from 10 on without the multiples of 11.
func containerCheck(x string) byte {
	sum := 0
	for i := range 10 {
		v := int(x[i] - '0')
		if x[i] >= 'A' {
			v = int(x[i]-'A') + 10
			v += (v - 1) / 10 // 11, 22 and 33 are left out
		}
		sum += v << i
	}
	return byte('0' + sum%11%10)
}

// isUpTo says whether s is a number up to most, without zeros in front.
func isUpTo(s string, most uint64) bool { return isPlainNumber(s) && len(s) < 19 && toUint(s) <= most }

// isPlainNumber says whether s is a number without zeros in front.
func isPlainNumber(s string) bool { return digits(s) && (s == "0" || s[0] != '0') }

// toUint is the number that digits are; zero where they are none, or too many.
func toUint(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// String is the URN.
func (u URN) String() string {
	fields := make([]string, len(u.Fields))
	for i, f := range u.Fields {
		if fields[i] = f; u.Kind != "raw" && !(f == "*" && u.Kind == "idpat") {
			fields[i] = escapeURN(f)
		}
	}
	separator := ":"
	if u.Kind == "raw" {
		separator = "."
	}
	return "urn:epc:" + u.Kind + ":" + u.Scheme + separator + strings.Join(fields, ".")
}

// Covers says whether u, a pattern, means v as well: the same scheme, and the same fields up to its first *. What is no pattern covers itself.
func (u URN) Covers(v URN) bool {
	if u.Kind != "idpat" {
		return u.Kind == v.Kind && u.Scheme == v.Scheme && slices.Equal(u.Fields, v.Fields)
	}
	if u.Scheme != v.Scheme || v.Kind != "id" && v.Kind != "idpat" || len(u.Fields) != len(v.Fields) {
		return false
	}
	for i, f := range u.Fields {
		if f == "*" {
			return true
		}
		if f != v.Fields[i] {
			return false
		}
	}
	return true
}

// Link is the canonical Digital Link of what the URN names; of a pattern, that of the class that it covers. ok is false for what has none: a scheme that is not
// of GS1's keys, a raw tag, a pattern over several classes.
func (u URN) Link() (string, bool) {
	if u.Kind == "raw" || forms[u.Scheme].other {
		return "", false
	}
	return Canonical(u.String())
}

// Elements are the element strings of what the URN names. Errors: problem.BadID when it has none.
func (u URN) Elements() (Elements, error) {
	link, ok := u.Link()
	if !ok {
		return nil, problem.New(problem.BadID, "%q has no element string: only what has a key of GS1 has one, and no pattern over several classes", "%q 没有对应的单元数据串：仅 GS1 标识有，跨多类的模式没有", clip(u.String()))
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
	return URN{}, problem.New(problem.BadID, "%[1]s has no EPC with a company prefix of %[2]d digits: it needs a key such as (01) with (21), or (00), and a prefix of 6 to 12 digits that it begins with",
		"%[1]s 没有厂商识别代码为 %[2]d 位的 EPC：需有 (01) 加 (21) 或 (00) 等标识，且以 6 至 12 位厂商识别代码开头", clip(e.String()), companyPrefix)
}
