package gs1

import (
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// Check holds every field against the dictionary, and the fields against each other: what must, and must not, stand together (General Specifications, 4.13).
// The rules bind all codes of one thing together: whoever reads several joins their fields first. The error is of kind problem.BadID.
func (e Elements) Check() error {
	for i, f := range e {
		if err := (Reading{}).checkElement(f.AI, f.Value); err != nil {
			return err
		}
		if v, _ := e[:i].Value(f.AI); v != "" && v != f.Value {
			_, err := e[:i].add(f.AI, f.Value)
			return err
		}
	}
	return e.check()
}

// Check says what is wrong with the value of an application identifier: its length, characters, check digits, dates and so on; nil when it is good. The
// error is of kind problem.BadID and names the place of the fault, the first character being 1.
func (f Element) Check() error { return Reading{}.checkElement(f.AI, f.Value) }

func (r Reading) checkElement(ai, value string) error {
	e := find(ai)
	if e == nil {
		if r.Unknown && mayBeUnknown(ai) {
			if at := outside('X', value); value != "" && len(value) <= 90 && at < 0 {
				return nil
			}
			return problem.New(problem.BadID, "(%[1]s) %[2]q: a value has 1 to 90 characters of GS1 character set 82", "(%[1]s) %[2]q：值须为 1 至 90 个 GS1 字符集 82 中的字符", ai, clip(value))
		}
		return problem.New(problem.BadID, "(%[1]s) is no application identifier of GS1; look it up in the General Specifications, chapter 3",
			"(%[1]s) 不是 GS1 应用标识符；请查阅《GS1 通用规范》第 3 章", clip(ai))
	}
	f := e.check(value)
	if f == nil {
		return nil
	}
	name := e.title
	if name == "" {
		name = "COUPON"
	}
	return problem.New(problem.BadID, "(%[1]s) %[2]s, %[3]q, character %[4]d: %[5]s", "(%[1]s) %[7]s，%[3]q，第 %[4]d 个字符：%[6]s",
		ai, name, clip(value), f.at+1, f.en, f.zh, TitleZH(ai))
}

// mayBeUnknown says whether ai could be allocated one day: its first two digits fix how many it has, where they are in use.
func mayBeUnknown(ai string) bool {
	if !isAI(ai) {
		return false
	}
	n := lengths[number(ai[:2])]
	return n == 0 || int(n) == len(ai)
}

// outside is the place of the first character that a set does not hold, or -1.
func outside(set byte, s string) int {
	for i := range len(s) {
		if !inSet(set, s[i]) {
			return i
		}
	}
	return -1
}

// check finds the first fault of a value.
func (e *entry) check(value string) *fault {
	if f := e.checkLength(value); f != nil {
		return f
	}
	at := 0
	for i := range e.parts {
		p := &e.parts[i]
		rest := value[at:]
		if rest == "" && p.optional {
			return nil
		}
		n := min(p.max, len(rest))
		if n < p.min {
			return bad(len(value), "ends too early; read or type the code again", "过早结束；请重新扫描或输入")
		}
		s := rest[:n]
		if i := outside(p.set, s); i >= 0 {
			en, zh := setNames(p.set)
			return bad(at+i, "only "+en+" may stand here; read or type the code again", "此处只能是"+zh+"；请重新扫描或输入")
		}
		if p.set == 'Z' {
			if body := strings.TrimRight(s, "="); strings.Contains(body, "=") || len(s)-len(body) > 2 {
				return bad(at+strings.IndexByte(s, '='), "= stands only at the end, twice at most", "= 只能出现在末尾，最多两个")
			}
		}
		for _, l := range p.linters {
			if f := l.check(s); f != nil {
				return &fault{at + f.at, f.en, f.zh}
			}
		}
		at += n
	}
	return nil
}

// checkLength says how long a value must be where it is not.
func (e *entry) checkLength(value string) *fault {
	n, least, most := len(value), e.shortest(), e.longest()
	switch {
	case n >= least && n <= most:
		return nil
	case least == 14 && most == 14 && (n == 8 || n == 12 || n == 13):
		zeros := strings.Repeat("0", 14-n)
		return bad(0, "has "+strconv.Itoa(n)+" digits and needs 14; write "+zeros+" in front", "有 "+strconv.Itoa(n)+" 位，应为 14 位；请在前面补 "+zeros)
	case least == most:
		return bad(min(n, most), "has "+strconv.Itoa(n)+" characters and needs "+strconv.Itoa(most)+"; read the code again, with its separators FNC1", "有 "+strconv.Itoa(n)+" 个字符，应为 "+strconv.Itoa(most)+" 个；请连同分隔符 FNC1 重新扫描")
	case n < least:
		return bad(n, "has "+strconv.Itoa(n)+" characters and needs "+strconv.Itoa(least)+" at least; read the code again", "有 "+strconv.Itoa(n)+" 个字符，至少应为 "+strconv.Itoa(least)+" 个；请重新扫描")
	}
	return bad(most, "has "+strconv.Itoa(n)+" characters and may have "+strconv.Itoa(most)+"; read the code again, with its separators FNC1", "有 "+strconv.Itoa(n)+" 个字符，最多 "+strconv.Itoa(most)+" 个；请连同分隔符 FNC1 重新扫描")
}

func setNames(set byte) (en, zh string) {
	switch set {
	case 'N':
		return "a digit", "数字"
	case 'X':
		return "a character of GS1 set 82 (letters, digits, most signs, no space)", " GS1 字符集 82 中的字符（字母、数字及部分符号，无空格）"
	case 'Y':
		return "a capital letter, a digit, #, - or /", "大写字母、数字、#、- 或 /"
	}
	return "a letter, a digit, -, _ or a final =", "字母、数字、-、_ 或末尾的 ="
}

// check holds the fields against each other.
func (e Elements) check() error {
	for _, f := range e {
		d := find(f.AI)
		if d == nil {
			continue
		}
		if d.excludes != "" {
			for p := range strings.SplitSeq(d.excludes, ",") {
				if other := e.matching(p, f.AI); other != "" {
					return problem.New(problem.BadID, "(%[1]s) and (%[2]s) must not be on one thing; take one of them away", "(%[1]s) 与 (%[2]s) 不得用于同一物品；请去掉其一", f.AI, other)
				}
			}
		}
		for _, needs := range d.requires {
			if !e.meets(needs) && !e.qualifies(f.AI) {
				return problem.New(problem.BadID, "(%[1]s) %[2]s needs %[3]s with it; add that field", "(%[1]s) %[5]s 须与 %[4]s 一同出现；请补上该字段",
					f.AI, d.title, alternatives(needs, " or ", " with "), alternatives(needs, " 或 ", " 加 "), TitleZH(f.AI))
			}
		}
	}
	return nil
}

// matching is a field other than not that a pattern means, or none.
func (e Elements) matching(pattern, not string) string {
	for _, f := range e {
		if f.AI != not && names(pattern, f.AI) {
			return f.AI
		}
	}
	return ""
}

// meets says whether one of the alternatives in "01+21,02,35nn" is there.
func (e Elements) meets(needs string) bool {
	for group := range strings.SplitSeq(needs, ",") {
		all := true
		for p := range strings.SplitSeq(group, "+") {
			all = all && e.matching(p, "") != ""
		}
		if all {
			return true
		}
	}
	return false
}

// qualifies says whether a key is there that the field makes finer. The dictionary asks for (01) beside (22), but lists it under (8006) too.
func (e Elements) qualifies(ai string) bool {
	for _, f := range e {
		if d := find(f.AI); d != nil && d.takes([]string{ai}) {
			return true
		}
	}
	return false
}

// alternatives spells "01+21,02" for people: (01) with (21) or (02).
func alternatives(needs, or, with string) string {
	return "(" + strings.NewReplacer(",", ")"+or+"(", "+", ")"+with+"(").Replace(needs) + ")"
}
