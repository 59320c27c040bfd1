package gs1

import "strings"

// linter is a rule that a component obeys beyond its characters; the names are those of the GS1 Barcode Syntax Dictionary.
type linter uint8

const (
	couponcode linter = iota
	couponposoffer
	csum
	csumalpha
	gcppos1
	gcppos2
	hasnondigit
	hh
	hhmi
	hyphen
	iban
	importeridx
	iso3166
	iso3166999
	iso3166alpha2
	iso4217
	iso5218
	latitude
	longitude
	mediatype
	mi
	nonzero
	nozeroprefix
	packagetype
	pcenc
	pieceoftotal
	posinseqslash
	ss
	winding
	yesno
	yymmd0
	yymmdd
	yyyymmdd
	zero
)

var linterNames = [...]string{"couponcode", "couponposoffer", "csum", "csumalpha", "gcppos1", "gcppos2", "hasnondigit", "hh", "hhmi", "hyphen", "iban",
	"importeridx", "iso3166", "iso3166999", "iso3166alpha2", "iso4217", "iso5218", "latitude", "longitude", "mediatype", "mi", "nonzero", "nozeroprefix",
	"packagetype", "pcenc", "pieceoftotal", "posinseqslash", "ss", "winding", "yesno", "yymmd0", "yymmdd", "yyyymmdd", "zero"}

// String is the rule's name in the dictionary.
func (l linter) String() string { return linterNames[l] }

// fault is what a rule finds wrong: where, counted from 0, and why, with the cure.
type fault struct {
	at     int
	en, zh string
}

func bad(at int, en, zh string) *fault { return &fault{at, en, zh} }

// check holds s, whose characters are those of its component, against the rule.
func (l linter) check(s string) *fault {
	switch l {
	case csum:
		return checkSum(s)
	case csumalpha:
		return checkCharacters(s)
	case gcppos1:
		return companyPrefix(s, 0)
	case gcppos2:
		return companyPrefix(s, 1)
	case couponcode:
		return coupon(s)
	case couponposoffer:
		return offer(s)
	case yymmdd, yymmd0, yyyymmdd:
		return date(s, l == yymmd0)
	case hh, mi, ss, hhmi:
		return clock(l, s)
	case iban:
		return account(s)
	case iso3166, iso3166999:
		if !(l == iso3166999 && s == "999") && (len(s) != 3 || !countryNumbers.has(number(s))) {
			return bad(0, "no country has the number "+s+" in ISO 3166-1", "ISO 3166-1 中没有编号为 "+s+" 的国家或地区")
		}
	case iso3166alpha2:
		if !isCountry(s) {
			return bad(0, s+" is no country code of ISO 3166-1 (two capital letters, CN)", s+" 不是 ISO 3166-1 的国家代码（两个大写字母，如 CN）")
		}
	case iso4217:
		if len(s) != 3 || !currencyNumbers.has(number(s)) {
			return bad(0, "no currency has the number "+s+" in ISO 4217", "ISO 4217 中没有编号为 "+s+" 的货币")
		}
	case packagetype:
		if !contains(packageTypes, s) {
			return bad(0, s+" is no package type of UN/ECE Recommendation 21 and GS1", s+" 不是 UN/ECE 第 21 号建议书或 GS1 的包装类型代码")
		}
	default:
		return l.simple(s)
	}
	return nil
}

// simple are the rules that need one look.
func (l linter) simple(s string) *fault {
	one := func(of string) *fault {
		if len(s) != 1 || strings.IndexByte(of, s[0]) < 0 {
			list := strings.Join(strings.Split(of, ""), ", ")
			return bad(0, "must be one of "+list, "必须是其中之一："+list)
		}
		return nil
	}
	switch l {
	case hasnondigit:
		if digits(s) {
			return bad(0, "needs a character that is not a digit", "必须含有至少一个非数字字符")
		}
	case hyphen:
		for i := range len(s) {
			if s[i] != '-' {
				return bad(i, "only a minus sign may stand here", "此处只能是减号")
			}
		}
	case importeridx:
		if len(s) != 1 || !inSet('Z', s[0]) || s[0] == '=' {
			return bad(0, "the importer index is a letter, a digit, - or _", "进口商索引须为字母、数字、- 或 _")
		}
	case iso5218:
		return one("0129")
	case winding:
		return one("019")
	case yesno:
		return one("01")
	case latitude:
		if len(s) != 10 || s > "1800000000" {
			return bad(0, "a latitude is ten digits up to 1800000000: (degrees + 90) · 10⁷", "纬度为十位数字，最大 1800000000：（度数 + 90）× 10⁷")
		}
	case longitude:
		if len(s) != 10 || s > "3600000000" {
			return bad(0, "a longitude is ten digits up to 3600000000: (degrees + 360) · 10⁷, less 360 when it is that or more", "经度为十位数字，最大 3600000000")
		}
	case mediatype:
		if n := number(s); len(s) != 2 || n == 0 || n > 10 && n < 80 {
			return bad(0, "a media type is 01 to 10 or 80 to 99", "介质类型须为 01–10 或 80–99")
		}
	case nonzero:
		if strings.Trim(s, "0") == "" {
			return bad(0, "must not be zero", "不得为零")
		}
	case nozeroprefix:
		if len(s) > 1 && s[0] == '0' {
			return bad(0, "must not begin with 0", "不得以 0 开头")
		}
	case zero:
		if i := strings.IndexFunc(s, func(r rune) bool { return r != '0' }); i >= 0 {
			return bad(i, "must be 0", "必须为 0")
		}
	case pcenc:
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				continue
			}
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return bad(i, "behind a % belong two hexadecimal digits; write % itself as %25", "% 之后须有两位十六进制数字；% 本身写作 %25")
			}
			i += 2
		}
	case pieceoftotal:
		if len(s) != 4 || s[:2] == "00" || s[2:] == "00" || s[:2] > s[2:] {
			return bad(0, "says piece and total, two digits each, from 01, and the piece not above the total", "依次为件序号和总件数，各两位，从 01 起，件序号不得大于总数")
		}
	case posinseqslash:
		a, b, ok := strings.Cut(s, "/")
		if !ok || !digits(a) || !digits(b) || len(a) != len(b) || a[0] == '0' || b[0] == '0' || a > b {
			return bad(0, "says place and count, 1/3, from 1, and the place not above the count", "写作 序号/总数（如 1/3），从 1 起，序号不得大于总数")
		}
	}
	return nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// companyPrefix: a GS1 Company Prefix, no shorter than four digits, begins at a place.
func companyPrefix(s string, from int) *fault {
	if len(s) < from+4 {
		return bad(0, "too short: a GS1 Company Prefix has at least four digits", "过短：GS1 厂商识别代码至少四位")
	}
	for i := from; i < from+4; i++ {
		if s[i] < '0' || s[i] > '9' {
			return bad(i, "a GS1 Company Prefix, all digits, belongs here", "此处应为 GS1 厂商识别代码，全为数字")
		}
	}
	return nil
}

// CheckDigit is the digit that belongs behind body, which is all digits: weights 3 and 1 from the right, modulo 10 (General Specifications, 7.9.1).
func CheckDigit(body string) byte {
	sum, weight := 0, 3
	for i := len(body) - 1; i >= 0; i-- {
		sum += weight * int(body[i]-'0')
		weight = 4 - weight
	}
	return byte('0' + (10-sum%10)%10)
}

func checkSum(s string) *fault {
	if len(s) < 2 || !digits(s) {
		return bad(0, "too short for a check digit", "过短，无法含校验位")
	}
	last := len(s) - 1
	if want := CheckDigit(s[:last]); want != s[last] {
		return bad(last, "the check digit is "+s[last:]+" where "+string(want)+" belongs; read or type the code again",
			"校验位为 "+s[last:]+"，应为 "+string(want)+"；请重新扫描或输入")
	}
	return nil
}

// CheckCharacters are the two that belong behind body in a Global Model Number, and whether body can have them: 1 to 23 characters of set 82 (General
// Specifications, 7.9.5).
func CheckCharacters(body string) (string, bool) {
	primes := [...]int{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83}
	if body == "" || len(body) > len(primes) {
		return "", false
	}
	sum := 0
	for i := range len(body) {
		v := strings.IndexByte(set82, body[i])
		if v < 0 {
			return "", false
		}
		sum += v * primes[len(body)-1-i]
	}
	const of = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	sum %= 1021
	return string([]byte{of[sum>>5], of[sum&31]}), true
}

func checkCharacters(s string) *fault {
	if len(s) < 3 {
		return bad(0, "too short for two check characters", "过短，无法含两位校验字符")
	}
	body, last := s[:len(s)-2], s[len(s)-2:]
	want, ok := CheckCharacters(body)
	if !ok {
		return bad(0, "too long, or holds a character outside set 82", "过长，或含有字符集 82 以外的字符")
	}
	if want != last {
		return bad(len(body), "the check characters are "+last+" where "+want+" belong; read or type the code again", "校验字符为 "+last+"，应为 "+want+"；请重新扫描或输入")
	}
	return nil
}
