package gs1

import "strconv"

// sections reads a coupon from the left: digits whose lengths depend on digits before them.
type sections struct {
	s  string
	at int
	f  *fault // the first found
}

// digit takes one digit, which must be among of.
func (r *sections) digit(of, en, zh string) byte {
	if r.f != nil {
		return '0'
	}
	if r.at == len(r.s) {
		r.f = bad(r.at, "ends where "+en+" belongs", "在应有"+zh+"处结束")
		return '0'
	}
	c := r.s[r.at]
	for i := range len(of) {
		if of[i] == c {
			r.at++
			return c
		}
	}
	r.f = bad(r.at, en+" is one of "+of, zh+"须为 "+of+" 之一")
	return '0'
}

// take takes n digits.
func (r *sections) take(n int, en, zh string) string {
	if r.f != nil {
		return ""
	}
	if len(r.s)-r.at < n {
		r.f = bad(r.at, en+" needs "+strconv.Itoa(n)+" digits here", zh+"在此处须有 "+strconv.Itoa(n)+" 位数字")
		return ""
	}
	r.at += n
	return r.s[r.at-n : r.at]
}

// measured takes a length digit and so many digits, plus more.
func (r *sections) measured(of string, more int, en, zh string) {
	c := r.digit(of, "the length of "+en, zh+"的长度")
	r.take(int(c-'0')+more, en, zh)
}

// optional says whether the field that begins with this digit follows.
func (r *sections) optional(c byte) bool {
	if r.f == nil && r.at < len(r.s) && r.s[r.at] == c {
		r.at++
		return true
	}
	return false
}

// purchase is what must be bought: a length and a requirement, its code, and the family.
func (r *sections) purchase() {
	r.measured("12345", 0, "a purchase requirement", "购买要求")
	r.digit("012349", "a purchase requirement code", "购买要求代码")
	r.take(3, "a family code", "品类代码")
}

// company is the prefix of another maker, or 9 for the same.
func (r *sections) company() {
	if c := r.digit("01234569", "the length of a company prefix", "厂商识别代码的长度"); c != '9' {
		r.take(int(c-'0')+6, "a company prefix", "厂商识别代码")
	}
}

func (r *sections) date() string {
	from := r.at
	s := r.take(6, "a date", "日期")
	if r.f == nil {
		if f := date(s, false); f != nil {
			r.f = &fault{from + f.at, f.en, f.zh}
		}
	}
	return s
}

// end is the first fault, or that something is left.
func (r *sections) end() *fault {
	if r.f == nil && r.at < len(r.s) {
		r.f = bad(r.at, "what stands here is no part of the coupon; take it away", "此处内容不属于优惠券，请删去")
	}
	return r.f
}

func digitsOnly(s string) *fault {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return bad(i, "a coupon is all digits", "优惠券代码须全为数字")
		}
	}
	return nil
}

// coupon is AI 8110 (North American Coupon Application Guideline Using GS1 DataBar Expanded Symbols).
func coupon(s string) *fault {
	if f := digitsOnly(s); f != nil {
		return f
	}
	r := &sections{s: s}
	r.measured("0123456", 6, "the company prefix", "厂商识别代码")
	r.take(6, "the offer code", "优惠代码")
	r.measured("12345", 0, "the saving", "优惠金额")
	r.purchase()
	if r.optional('1') {
		r.digit("0123", "the rule for further purchases", "追加购买规则")
		r.purchase()
		r.company()
	}
	if r.optional('2') {
		r.purchase()
		r.company()
	}
	until := ""
	if r.optional('3') {
		until = r.date()
	}
	if r.optional('4') {
		at := r.at
		if from := r.date(); r.f == nil && until != "" && from > until {
			r.f = bad(at, "the coupon begins after it ends; correct one of the dates", "优惠券的开始日期晚于截止日期，请更正")
		}
	}
	if r.optional('5') {
		r.measured("0123456789", 6, "the serial number", "序列号")
	}
	if r.optional('6') {
		r.measured("1234567", 6, "the retailer", "零售商代码")
	}
	if r.optional('9') {
		r.digit("01256", "the saving's code", "优惠代码类别")
		r.digit("012", "the item that the saving is for", "适用商品")
		r.digit("0123456789", "the store coupon flag", "门店优惠券标志")
		r.digit("01", "the multiplying flag", "倍增标志")
	}
	return r.end()
}

// offer is AI 8112 (GS1 AI (8112) Coupon Data Specification).
func offer(s string) *fault {
	if f := digitsOnly(s); f != nil {
		return f
	}
	r := &sections{s: s}
	r.digit("01", "the format", "格式")
	r.measured("0123456", 6, "the funder", "出资方代码")
	r.take(6, "the offer code", "优惠代码")
	r.measured("0123456789", 6, "the serial number", "序列号")
	return r.end()
}

// date is YYMMDD or YYYYMMDD; month says that day 00, the whole month, is one.
func date(s string, month bool) *fault {
	year := len(s) - 4
	if year != 2 && year != 4 || !digits(s) {
		return bad(0, "is no date of two digits each for year, month and day", "不是日期：年、月、日")
	}
	y, m, d := number(s[:year]), number(s[year:year+2]), number(s[year+2:])
	if m < 1 || m > 12 {
		return bad(year, "month "+s[year:year+2]+" does not exist; a date is written year, month, day", "月份 "+s[year:year+2]+" 不存在；日期按年、月、日书写")
	}
	last := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[m-1]
	// Two digits mean a year from 49 before to 50 after now (General Specifications, 7.12); no century but 2000 is near.
	if m == 2 && y%4 == 0 && (year == 2 || y%100 != 0 || y%400 == 0) {
		last = 29
	}
	if d > last || d == 0 && !month {
		return bad(year+2, "day "+s[year+2:]+" does not exist in that month; a date is written year, month, day", "该月没有 "+s[year+2:]+" 日；日期按年、月、日书写")
	}
	return nil
}

// clock is hours, minutes, seconds, or hours with minutes.
func clock(l linter, s string) *fault {
	want := 2
	if l == hhmi {
		want = 4
	}
	if len(s) != want || !digits(s) {
		return bad(0, "is no time", "不是时间")
	}
	if l == hh || l == hhmi {
		if number(s[:2]) > 23 {
			return bad(0, "hour "+s[:2]+" does not exist: 00 to 23", "小时 "+s[:2]+" 不存在：00 至 23")
		}
		s = s[2:]
	}
	if s != "" && number(s) > 59 {
		return bad(want-2, s+" is above 59", s+" 大于 59")
	}
	return nil
}

// account is an International Bank Account Number (ISO 13616-1).
func account(s string) *fault {
	if len(s) <= 10 {
		return bad(0, "too short for an International Bank Account Number", "过短，不是国际银行账号（IBAN）")
	}
	if !isCountry(s[:2]) {
		return bad(0, s[:2]+" is no country code of ISO 3166-1", s[:2]+" 不是 ISO 3166-1 的国家代码")
	}
	sum := 0
	for i := range len(s) {
		at := (i + 4) % len(s)
		switch c := s[at]; {
		case c >= '0' && c <= '9':
			sum = sum*10 + int(c-'0')
		case c >= 'A' && c <= 'Z':
			sum = sum*100 + int(c-'A') + 10
		default:
			return bad(at, "an account number is capital letters and digits", "账号须为大写字母和数字")
		}
		sum %= 97
	}
	if sum != 1 {
		return bad(2, "the check digits "+s[2:4]+" do not fit; read or type the number again", "校验位 "+s[2:4]+" 不符，请重新扫描或输入")
	}
	return nil
}
