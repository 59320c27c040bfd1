package live

import (
	"regexp"
	"strconv"
	"strings"
)

// pattern matches suffixes. It is a regular expression of the linear kind, so that no suffix is slow to match.
type pattern struct {
	re    *regexp.Regexp
	names []string
	head  string // what comes before the first part, folded
}

const (
	maxPattern = 1024
	maxParts   = 16
	maxPart    = 512 // bytes of one part
)

var classes = map[string]string{
	"": `[^/]`, "digits": `[0-9]`, "letters": `[A-Z]`, "alnum": `[0-9A-Z]`, "any": `(?s:.)`,
}

// always are the parts that every rule has.
var always = []string{"id", "prefix", "suffix"}

func parsePattern(s string) (*pattern, error) {
	if s == "" || len(s) > maxPattern {
		return nil, bad("suffix has %d bytes: write a pattern of 1 to %d, as ENG-{no}", "suffix 有 %d 字节：请写 1 至 %d 字节的模式，例如 ENG-{no}", len(s), maxPattern)
	}
	p := &pattern{}
	var re strings.Builder
	re.WriteByte('^')
	rest, first, open := s, true, false
	for rest != "" {
		at := strings.IndexAny(rest, "{}")
		if at < 0 {
			at = len(rest)
		}
		lit := fold(rest[:at])
		if first {
			p.head, first = lit, false
		}
		if lit != "" {
			re.WriteString(regexp.QuoteMeta(lit))
			open = false
		}
		if rest = rest[at:]; rest == "" {
			break
		}
		end := strings.IndexByte(rest, '}')
		if rest[0] == '}' || end < 0 {
			return nil, bad("suffix %q has a brace without its partner", "suffix %q 的大括号不成对", s)
		}
		name, class, _ := strings.Cut(rest[1:end], ":")
		class, length, fixed := strings.Cut(class, ",")
		set, known := classes[class]
		switch {
		case !isName(name):
			return nil, bad("suffix %q has the part %q: a name is of letters a–z, digits and _", "suffix %q 中的部分 %q：名称由小写字母、数字和下划线组成", s, name)
		case contains(always, name) || contains(p.names, name):
			return nil, bad("suffix %q has the part %s twice, or under a name that is taken (id, prefix, suffix)", "suffix %q 中的部分 %s 重复，或与保留名称（id、prefix、suffix）冲突", s, name)
		case !known:
			return nil, bad("suffix %q has the part %s of the unknown kind %q: use digits, letters, alnum or any", "suffix %q 中的部分 %s 类别 %q 未知：可用 digits、letters、alnum、any", s, name, class)
		case len(p.names) == maxParts:
			return nil, bad("suffix %q has more than %d parts", "suffix %q 的部分超过 %d 个", s, maxParts)
		case !fixed && open:
			return nil, bad("suffix %q has two parts side by side, so that nobody knows where one ends: give the first a length, as {no:digits,8}",
				"suffix %q 中两个部分相邻而无法分界：请给前者写明长度，例如 {no:digits,8}", s)
		}
		count := "+?"
		if fixed {
			n, err := strconv.Atoi(length)
			if err != nil || n < 1 || n > 255 {
				return nil, bad("suffix %q has the part %s of length %q: write 1 to 255", "suffix %q 中的部分 %s 长度 %q：应为 1 至 255", s, name, length)
			}
			count = "{" + strconv.Itoa(n) + "}"
		}
		open = !fixed
		re.WriteString("(" + set + count + ")")
		p.names = append(p.names, name)
		rest = rest[end+1:]
	}
	re.WriteString(`\z`)
	var err error
	if p.re, err = regexp.Compile(re.String()); err != nil {
		return nil, bad("suffix %q cannot be used as a pattern: %v", "suffix %q 不能用作模式：%v", s, err)
	}
	return p, nil
}

func isName(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// match returns the parts of a folded suffix, nil when it does not match.
func (p *pattern) match(suffix string) map[string]string {
	if !strings.HasPrefix(suffix, p.head) {
		return nil
	}
	m := p.re.FindStringSubmatch(suffix)
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m)+2)
	for i, name := range p.names {
		if len(m[i+1]) > maxPart {
			return nil
		}
		out[name] = m[i+1]
	}
	return out
}

// has reports whether name is a part of this pattern.
func (p *pattern) has(name string) bool { return contains(p.names, name) || contains(always, name) }

// knows checks that every {part} in text is one of the pattern's.
func (p *pattern) knows(text string) error {
	var err error
	places(text, func(name string) string {
		if !p.has(name) && err == nil {
			err = bad("%q asks for {%s}, which the suffix pattern does not have", "%q 引用了 {%s}，而后缀模式中没有它", text, name)
		}
		return ""
	})
	return err
}

// places replaces each {name} in text. Braces around anything that is no name stay.
func places(text string, with func(name string) string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(text, '{')
		if at < 0 {
			break
		}
		end := strings.IndexByte(text[at:], '}')
		if end < 0 {
			break
		}
		if name := text[at+1 : at+end]; isName(name) {
			b.WriteString(text[:at])
			b.WriteString(with(name))
		} else {
			b.WriteString(text[:at+end+1])
		}
		text = text[at+end+1:]
	}
	b.WriteString(text)
	return b.String()
}

func expand(text string, parts map[string]string) string {
	return places(text, func(name string) string { return parts[name] })
}
