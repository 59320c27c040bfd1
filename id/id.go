// Package id is what a code is: a small value that can be compared, kept as a map key and printed. Whoever scans or
// types a code gets one of these or a sentence that says what is wrong with it.
//
// The grammars live in the folders below, one each; this room holds the value and the table of schemes. An ID is
// canonical: two spellings of one identifier (letters of either case, the printed VAA form) give equal values. Answers
// echo the spelling that was asked, so keep the text too where it must come back.
package id

import (
	"strings"

	"github.com/fujie-id/fujie/id/gs1"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/id/vaa"
	"github.com/fujie-id/fujie/problem"
)

// ID is an identifier. The zero ID is invalid; == tells whether two are the same object.
//
// What GS1 numbers has its canonical Digital Link as its name, https://id.gs1.org/01/09521234543213/21/a1, and keeps the case of its letters, which in
// serial numbers makes a difference. Its Prefix is the name space, https://id.gs1.org, which nobody delegates and which is no prefix of numbers: no node
// has records under it, whoever resolves such an ID without translating it first hears that there is none, and a rule about prefixes never covers it.
type ID struct {
	name  string // canonical
	slash int    // where the suffix's slash is; len(name) when there is none
}

// scheme is one line of the table: how a spelling is told apart, and how it is read.
type scheme struct {
	name  string
	is    func(s string) bool
	parse func(s string) (ID, error)
}

// schemes are tried in order; the last takes whatever the others leave.
var schemes = []scheme{
	{"vaa", vaa.IsPrinted, parseVAA},
	{"hdl", func(s string) bool { return len(s) > 4 && strings.EqualFold(s[:4], "hdl:") }, func(s string) (ID, error) { return parseHandle(s[4:]) }},
	{"gs1", isGS1, parseGS1},
	{"handle", func(string) bool { return true }, parseHandle},
}

// Parse reads an identifier in any known spelling: 88.118.1001/ENG-42, hdl:88.118.1001/ENG-42,
// VAA0881181001/ENG-42. A prefix alone (88.118) is an ID too, for which IsPrefix is true. So is what GS1 numbers, as an
// element string in brackets, a Digital Link or an EPC: (01)09521234543213(21)a1, https://id.gs1.org/01/09521234543213/21/a1, urn:epc:id:sgtin:9521234.054321.a1. The error is of kind problem.BadID.
func Parse(s string) (ID, error) {
	for _, sc := range schemes {
		if sc.is(s) {
			return sc.parse(s)
		}
	}
	return ID{}, problem.New(problem.BadID, "%q is of no known scheme", "%q 不属于任何已知的编码体系", s)
}

// MustParse is Parse for text known to be good; it panics on an error.
func MustParse(s string) ID {
	v, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return v
}

// ParseHandle reads the form that the Handle protocol carries, and no other spelling.
func ParseHandle(s string) (ID, error) { return parseHandle(s) }

func parseHandle(s string) (ID, error) {
	prefix, _, ok, err := handle.Split(s)
	if err != nil {
		return ID{}, err
	}
	v := ID{name: handle.Fold(s), slash: len(s)}
	if ok {
		v.slash = len(prefix)
	}
	return v, nil
}

func parseVAA(s string) (ID, error) {
	p, suffix, err := vaa.ParsePrinted(s)
	if err != nil {
		return ID{}, err
	}
	return parseHandle(p.String() + "/" + suffix)
}

// gs1Space is the name space of what GS1 numbers; a handle cannot begin so, since its letters are folded.
const gs1Space = "https://id.gs1.org"

// isGS1 tells the spellings of GS1 apart: (01)…, a link on id.gs1.org, and one on another host whose path begins with a key and digits. A
// link that holds its key further behind is no identifier here: it could be any page.
func isGS1(s string) bool {
	switch {
	case strings.HasPrefix(s, "("), strings.HasPrefix(s, "（"):
		open := strings.TrimPrefix(strings.TrimPrefix(s, "("), "（")
		end := strings.IndexAny(open, ")）")
		return end >= 2 && end <= 4 && gs1.Known(open[:end])
	case len(s) > 8 && strings.EqualFold(s[:8], "urn:epc:"):
		return true
	}
	rest := s
	if i := strings.Index(s, "://"); i > 0 && (strings.EqualFold(s[:i], "https") || strings.EqualFold(s[:i], "http")) {
		rest = s[i+3:]
	} else {
		return false
	}
	host, path, ok := strings.Cut(rest, "/")
	if strings.EqualFold(host, gs1Space[len("https://"):]) {
		return ok
	}
	key, value, ok := strings.Cut(path, "/")
	return ok && gs1.IsKey(key) && len(value) >= 4 && strings.Trim(value[:4], "0123456789") == ""
}

func parseGS1(s string) (ID, error) {
	link, err := gs1Link(s)
	if err != nil {
		return ID{}, err
	}
	if len(link) > handle.MaxLen {
		return ID{}, problem.New(problem.BadID, "the identifier has %d bytes, over the limit of %d", "标识有 %d 字节，超过上限 %d", len(link), handle.MaxLen)
	}
	return ID{name: link, slash: len(gs1Space)}, nil
}

// gs1Link is the canonical link of any spelling. Check digits are judged here, since a person typed them or a scanner read them.
func gs1Link(s string) (string, error) {
	var l gs1.Link
	var err error
	switch s[0] {
	case 'u', 'U':
		u, err := gs1.ParseURN("urn:epc:" + s[8:])
		if err != nil {
			return "", err
		}
		link, ok := u.Link()
		if !ok {
			return "", problem.New(problem.BadID, "%.100q has no Digital Link, so that nothing can be looked up by it", "%.100q 没有对应的数字链接，无法解析", s)
		}
		return link, nil
	case 'h', 'H':
		l, err = gs1.ParseLink(s)
	default:
		var e gs1.Elements
		if e, err = gs1.ParseElements(s); err == nil {
			l, err = e.Link("")
		}
	}
	if err != nil {
		return "", err
	}
	// One name for one thing: of the qualifiers only the finest counts, a serial number before a lot.
	if c, ok := gs1.Canonical(l.Canonical()); ok {
		return c, nil
	}
	return l.Canonical(), nil
}

// IsGS1 reports whether v is what GS1 numbers, so that String is a Digital Link on id.gs1.org.
func (v ID) IsGS1() bool { return strings.HasPrefix(v.name, gs1Space+"/") }

// IsValid reports whether the ID names anything; only the zero ID does not.
func (v ID) IsValid() bool { return v.name != "" }

// String is the canonical form, with the letters a–z as A–Z but for what GS1 numbers.
func (v ID) String() string { return v.name }

// Prefix is the part before the slash: 88.118.1001.
func (v ID) Prefix() string { return v.name[:v.slash] }

// Suffix is the part behind the slash, empty when there is none.
func (v ID) Suffix() string {
	if v.IsPrefix() {
		return ""
	}
	return v.name[v.slash+1:]
}

// IsPrefix reports whether the ID is a prefix without a suffix.
func (v ID) IsPrefix() bool { return v.slash == len(v.name) }

// nameAuthority is the prefix under which prefixes have their records (RFC 3651 §3.1).
const nameAuthority = "0.NA"

// Root is the record of the root service, 0.NA/0.NA.
var Root = MustParse("0.NA/0.NA")

// PrefixRecord is the identifier of the record that says who answers for prefix: 0.NA/88.118 for 88.118. The prefix
// must be one that Prefix returned or Parse took.
func PrefixRecord(prefix string) ID {
	return ID{name: nameAuthority + "/" + handle.Fold(prefix), slash: len(nameAuthority)}
}

// Delegated is the prefix that a prefix record is about, and whether v is one: 88.118 for 0.NA/88.118. A bare prefix
// is about itself, since clients ask for it in that form too.
func (v ID) Delegated() (prefix string, ok bool) {
	switch {
	case !v.IsValid():
		return "", false
	case v.IsPrefix():
		return v.name, true
	case v.Prefix() == nameAuthority:
		return v.Suffix(), true
	}
	return "", false
}

// ParentPrefix is the prefix that delegates p: 88.118 for 88.118.1001, and 0.NA, the root, for 88. The root's own is
// empty.
func ParentPrefix(p string) string {
	if p == nameAuthority || p == "" {
		return ""
	}
	if strings.EqualFold(p, gs1Space) {
		return nameAuthority
	}
	if i := strings.LastIndexByte(p, '.'); i > 0 && p[:i] != "0" {
		return p[:i]
	}
	return nameAuthority
}

// IsGlobal reports whether the root service itself answers for v: prefixes 0 and 0.x (RFC 3652 §3; prefix records
// begin their way there).
func (v ID) IsGlobal() bool {
	p := v.Prefix()
	return p == "0" || strings.HasPrefix(p, "0.")
}

// Printed is the VAA form printed on goods, when there is one.
func (v ID) Printed() (string, error) { return vaa.Print(v.Prefix(), v.Suffix()) }

// MarshalText is the canonical form; before a handle that looks like another spelling stands hdl:, so that it reads
// back as itself.
func (v ID) MarshalText() ([]byte, error) {
	if vaa.IsPrinted(v.name) || strings.HasPrefix(v.name, "HDL:") || !v.IsGS1() && isGS1(v.name) {
		return []byte("hdl:" + v.name), nil
	}
	return []byte(v.name), nil
}

// UnmarshalText is Parse.
func (v *ID) UnmarshalText(text []byte) error {
	p, err := Parse(string(text))
	if err != nil {
		return err
	}
	*v = p
	return nil
}
