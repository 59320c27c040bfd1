package office

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/trust"
)

// Limits of a prefix (china.md §1.1): 64 characters in the deployed interface, labels of 20 in the textbook.
const (
	maxPrefix = 64
	longLabel = 20
)

// checkPrefix finds what makes a prefix one that this office cannot give.
func (o *Office) checkPrefix(f *Faults, prefix string) {
	add := func(rule, en, zh string) { f.add("prefix", rule, en, zh) }
	v, err := id.ParseHandle(prefix)
	label, below := strings.CutPrefix(handle.Fold(prefix), o.cfg.Prefix+".")
	switch {
	case prefix == "":
		add("required", "it is missing", "缺少此项")
	case err != nil || !v.IsPrefix():
		add("shape", "it is no prefix; write it as "+o.cfg.Prefix+".1001", "不是前缀；请写成 "+o.cfg.Prefix+".1001")
	case len(prefix) > maxPrefix:
		add("length", "it is longer than 64 characters", "超过 64 个字符")
	case !below || strings.Contains(label, "."):
		add("place", "this office gives prefixes directly below "+o.cfg.Prefix+", as "+o.cfg.Prefix+".1001", "本机构只发放 "+o.cfg.Prefix+" 的直接下级前缀，例如 "+o.cfg.Prefix+".1001")
	case strings.ContainsFunc(label, func(r rune) bool { return r > 0x7f || !alnum(byte(r)) }):
		add("characters", "its last part has other characters than digits and Latin letters", "最后一段含有数字与拉丁字母以外的字符")
	case strings.Trim(label, "0") == "" || o.reserved(label):
		add("reserved", "this prefix is reserved; propose another one", "该前缀为保留前缀；请另行提出")
	}
}

// reserved reports whether nobody gets the label.
func (o *Office) reserved(label string) bool {
	for _, r := range o.cfg.Reserved {
		from, to, isRange := strings.Cut(r, "-")
		if !isRange {
			if lookAlike(label) == lookAlike(handle.Fold(r)) {
				return true
			}
			continue
		}
		n, e1 := strconv.ParseUint(label, 10, 63)
		a, e2 := strconv.ParseUint(from, 10, 63)
		b, e3 := strconv.ParseUint(to, 10, 63)
		if e1 == nil && e2 == nil && e3 == nil && a <= n && n <= b {
			return true
		}
	}
	return false
}

// lookAlike is what a label looks like to a hasty eye: without leading zeros, letters that are read as digits as these.
func lookAlike(label string) string {
	out := []byte(handle.Fold(label))
	for i, c := range out {
		switch c {
		case 'O', 'Q', 'D':
			out[i] = '0'
		case 'I', 'L':
			out[i] = '1'
		case 'Z':
			out[i] = '2'
		case 'S':
			out[i] = '5'
		case 'B':
			out[i] = '8'
		case 'G':
			out[i] = '6'
		}
	}
	return strings.TrimLeft(string(out), "0")
}

// forms of a company that do not tell one from another, long ones first.
var companyForms = []string{
	"股份有限公司", "有限责任公司", "集团有限公司", "有限公司", "集团公司", "分公司", "公司", "集团",
	"incorporated", "corporation", "limited", "company", "gmbh", "corp", "inc", "ltd", "llc", "co",
}

// twins are characters that look like another one: of Cyrillic and Greek like Latin, of Chinese like each other.
var twins = func() map[rune]rune {
	m := map[rune]rune{}
	pairs := func(from, to string) {
		t := []rune(to)
		for i, r := range []rune(from) {
			m[r] = t[i]
		}
	}
	pairs("абвгеікмнорстухѕјԁһԛԝαβεηικνορτυχω", "a6breikmhopctyxsjdhqwaBenikvoptuxw")
	pairs("己巳末士曰戊戌戍汨壸亳", "已已未土日戊戊戊汩壶毫")
	pairs("〇○零oOl|!", "00000111")
	return m
}()

// skeleton is what a name looks like: two names with one skeleton are easily taken for each other.
func skeleton(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(norm.NFKC.String(name)) {
		if hidden(r) || unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.IsSymbol(r) && r != '|' || unicode.Is(unicode.Mn, r) {
			continue
		}
		if t, ok := twins[r]; ok {
			r = t
		}
		b.WriteRune(unicode.ToLower(r))
	}
	s := b.String()
	for _, f := range companyForms {
		if t := strings.TrimSuffix(s, skeletonOf(f)); t != s && t != "" {
			s = t
			break
		}
	}
	return s
}

// skeletonOf is a company form as skeleton writes its characters.
func skeletonOf(form string) string {
	return strings.Map(func(r rune) rune {
		if t, ok := twins[r]; ok {
			return t
		}
		return r
	}, form)
}

// mixed reports whether a word of the name mixes Latin, Cyrillic and Greek letters, which honest names do not.
func mixed(name string) bool {
	scripts := 0
	for _, r := range name + " " {
		switch {
		case unicode.Is(unicode.Latin, r):
			scripts |= 1
		case unicode.Is(unicode.Cyrillic, r):
			scripts |= 2
		case unicode.Is(unicode.Greek, r):
			scripts |= 4
		case !unicode.IsLetter(r) || unicode.Is(unicode.Han, r):
			scripts = 0
		}
		if scripts != 0 && scripts&(scripts-1) != 0 {
			return true
		}
	}
	return false
}

// warnings is what a reviewer must look at before the application v is approved.
func (o *Office) warnings(v id.ID, f *Form, key trust.PublicKey) []Warning {
	var out []Warning
	add := func(code, about, en, zh string) {
		if len(out) < 50 && !slices.ContainsFunc(out, func(w Warning) bool { return w.Code == code && w.About == about }) {
			out = append(out, Warning{code, about, en, zh})
		}
	}
	label := handle.Fold(f.Prefix)[len(o.cfg.Prefix)+1:]
	if len(label) > longLabel {
		add("long-prefix", "", "the last part of the prefix is longer than 20 characters; systems that follow the textbook take no more", "前缀最后一段超过 20 个字符；按教材实现的系统不接受更长的")
	}
	if strings.HasPrefix(label, "0") {
		add("leading-zero", "", "the last part of the prefix begins with a zero, which people and spreadsheets leave out", "前缀最后一段以 0 开头，人和电子表格常会漏掉")
	}
	if f.Organisation.CrtType == 1 && mixed(f.Organisation.Name) || mixed(f.Organisation.Name) {
		add("mixed-scripts", f.Organisation.Name, "the name mixes letters of several scripts that look alike", "名称混用了多种外形相近的文字")
	}
	bones, look := skeleton(f.Organisation.Name), lookAlike(label)
	same := func(code string) bool { return strings.EqualFold(code, f.Organisation.CrtCode) }
	all, _ := o.apps.Page("", o.apps.Len()+1, nil)
	for _, p := range all {
		a := &p.Paper
		if p.ID == v || a.State == Draft || a.State == Withdrawn || a.State == Refused {
			continue
		}
		if l := handle.Fold(a.Prefix)[len(o.cfg.Prefix)+1:]; l != label && lookAlike(l) == look {
			add("look-alike-prefix", a.Prefix, "the prefix is easily taken for "+a.Prefix, "该前缀容易与 "+a.Prefix+" 混淆")
		}
		if a.State == Revoked {
			continue
		}
		switch {
		case same(a.Organisation.CrtCode):
			add("same-certificate", a.Prefix, "an organisation with this certificate number has or asks for "+a.Prefix, "该证件号码的单位已持有或正在申请 "+a.Prefix)
			if skeleton(a.Organisation.Name) != bones {
				add("other-name", a.Organisation.Name, "under this certificate number another name is known", "该证件号码下登记的是另一名称")
			}
		case bones != "" && skeleton(a.Organisation.Name) == bones:
			add("look-alike-name", a.Organisation.Name, "the name is easily taken for that of the holder of "+a.Prefix, "该名称容易与 "+a.Prefix+" 持有者的名称混淆")
		case near(skeleton(a.Organisation.Name), bones):
			add("similar-name", a.Organisation.Name, "the name differs in one character from that of the holder of "+a.Prefix, "该名称与 "+a.Prefix+" 持有者的名称仅一字之差")
		}
		if k, err := trust.ParsePublicAny(a.Key); err == nil && k.Equal(key) {
			add("same-key", a.Prefix, "the key is that of "+a.Prefix, "该公钥与 "+a.Prefix+" 的相同")
		}
	}
	return out
}

// near reports whether two longer names differ in one character.
func near(a, b string) bool {
	x, y := []rune(a), []rune(b)
	if len(x) > len(y) {
		x, y = y, x
	}
	if len(x) < 4 || len(y)-len(x) > 1 {
		return false
	}
	i := 0
	for i < len(x) && x[i] == y[i] {
		i++
	}
	j := 0
	for j < len(x)-i && x[len(x)-1-j] == y[len(y)-1-j] {
		j++
	}
	return i+j >= len(x)-boolInt(len(x) == len(y))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
