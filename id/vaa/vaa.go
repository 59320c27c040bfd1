// Package vaa is the grammar of Chinese industrial internet identifiers: country.industry.enterprise/suffix, as in
// 88.118.1001/ENG-42, and the form with the issuing agency code VAA (ISO/IEC 15459) that is printed on goods,
// VAA0881181001/ENG-42. Both name the same object.
//
//	prefix     = country "." industry [ "." enterprise ]
//	country    = 2DIGIT            ; 88, or 86
//	industry   = 3*5DIGIT          ; leading zeros count
//	enterprise = 1*128DIGIT        ; leading zeros count: 0042 is not 42
//	printed    = "VAA" 3DIGIT 3DIGIT enterprise "/" suffix   ; country padded to three digits
//
// A printed code holds an industry of exactly three digits; prefixes with a longer one have no printed form, since
// nothing in the code would say where the industry ends.
package vaa

import (
	"strings"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// Agency is CAICT's issuing agency code under ISO/IEC 15459.
const Agency = "VAA"

// Prefix is the parts of a prefix, as text because leading zeros count. Enterprise is empty in a second-level prefix.
type Prefix struct{ Country, Industry, Enterprise string }

// String is the prefix with dots.
func (p Prefix) String() string {
	if p.Enterprise == "" {
		return p.Country + "." + p.Industry
	}
	return p.Country + "." + p.Industry + "." + p.Enterprise
}

// ParsePrefix reads 88.118 or 88.118.1001. The error is of kind problem.BadID and names the segment and its rule.
func ParsePrefix(s string) (Prefix, error) {
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return Prefix{}, problem.New(problem.BadID,
			"the prefix %q has %d segments; a second-level prefix has two (88.118), an enterprise prefix three (88.118.1001)",
			"前缀 %q 有 %d 段；二级节点前缀为两段（88.118），企业前缀为三段（88.118.1001）", clip(s), len(parts))
	}
	p := Prefix{Country: parts[0], Industry: parts[1]}
	if err := digits("country", "国家代码", p.Country, 2, 2); err != nil {
		return Prefix{}, err
	}
	if err := digits("industry", "行业代码", p.Industry, 3, 5); err != nil {
		return Prefix{}, err
	}
	if len(parts) == 3 {
		p.Enterprise = parts[2]
		if err := digits("enterprise", "企业代码", p.Enterprise, 1, 128); err != nil {
			return Prefix{}, err
		}
	}
	return p, nil
}

func digits(en, zh, s string, least, most int) error {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return problem.New(problem.BadID,
				"the %[1]s code %[3]q has something other than a digit at byte %[4]d",
				"%[2]s %[3]q 在第 %[4]d 字节处不是数字", en, zh, clip(s), i)
		}
	}
	if len(s) < least || len(s) > most {
		return problem.New(problem.BadID,
			"the %[1]s code %[3]q has %[4]d digits; it takes %[5]d to %[6]d",
			"%[2]s %[3]q 有 %[4]d 位数字；应为 %[5]d 至 %[6]d 位", en, zh, clip(s), len(s), least, most)
	}
	return nil
}

// IsPrinted reports whether s begins as a printed code does: VAA and a digit, in either case of letters.
func IsPrinted(s string) bool {
	return len(s) > 3 && strings.EqualFold(s[:3], Agency) && s[3] >= '0' && s[3] <= '9'
}

// ParsePrinted reads a printed code and returns the prefix and suffix it stands for: VAA08810012345678/abc123 is
// prefix 88.100.12345678, suffix abc123. The error is of kind problem.BadID.
func ParsePrinted(s string) (Prefix, string, error) {
	if !IsPrinted(s) {
		return Prefix{}, "", problem.New(problem.BadID,
			"%q does not begin with VAA and digits", "%q 不以 VAA 加数字开头", clip(s))
	}
	head, suffix, ok := strings.Cut(s[3:], "/")
	if !ok || suffix == "" {
		return Prefix{}, "", problem.New(problem.BadID,
			"the printed code %q has no suffix; write VAA, country, industry, enterprise, a slash, then the suffix",
			"VAA 码 %q 没有后缀；应为 VAA、国家、行业、企业代码、斜杠，再加企业内部编码", clip(s))
	}
	if len(head) < 7 {
		return Prefix{}, "", problem.New(problem.BadID,
			"the printed code %q has %d digits behind VAA; it takes three of country, three of industry and at least one of enterprise",
			"VAA 码 %q 在 VAA 之后只有 %d 位；须有三位国家、三位行业和至少一位企业代码", clip(s), len(head))
	}
	if head[0] != '0' {
		return Prefix{}, "", problem.New(problem.BadID,
			"the printed code %q has country %q; it must be a country of two digits padded with a zero, as 088",
			"VAA 码 %q 的国家代码为 %q；应为两位国家代码前补零，例如 088", clip(s), head[:3])
	}
	p := Prefix{Country: head[1:3], Industry: head[3:6], Enterprise: head[6:]}
	if _, err := ParsePrefix(p.String()); err != nil {
		return Prefix{}, "", err
	}
	return p, suffix, nil
}

// Print is the printed code of prefix and suffix. The error, of kind problem.BadID, says why there is none.
func Print(prefix, suffix string) (string, error) {
	p, err := ParsePrefix(prefix)
	if err != nil {
		return "", err
	}
	if p.Enterprise == "" || suffix == "" {
		return "", problem.New(problem.BadID,
			"%q has no printed form: it needs an enterprise code and a suffix",
			"%q 没有 VAA 印刷形式：须有企业代码和后缀", clip(prefix+"/"+suffix))
	}
	if len(p.Industry) != 3 {
		return "", problem.New(problem.BadID,
			"the prefix %q has no printed form: its industry code has %d digits, and the form holds exactly three",
			"前缀 %q 没有 VAA 印刷形式：行业代码有 %d 位，而印刷形式只容三位", clip(prefix), len(p.Industry))
	}
	return Agency + "0" + p.Country + p.Industry + p.Enterprise + "/" + suffix, nil
}

func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	n := 80
	for n > 76 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
