// Package id is what a code is: a small value that can be compared, kept as a map key and printed. Whoever scans or
// types a code gets one of these or a sentence that says what is wrong with it.
//
// The grammars live in the folders below, one each; this room holds the value and the table of schemes. An ID is
// canonical: two spellings of one identifier (letters of either case, the printed VAA form) give equal values. Answers
// echo the spelling that was asked, so keep the text too where it must come back.
package id

import (
	"strings"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/id/vaa"
	"github.com/fujie-id/fujie/problem"
)

// ID is an identifier. The zero ID is invalid; == tells whether two are the same object.
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
	{"handle", func(string) bool { return true }, parseHandle},
}

// Parse reads an identifier in any known spelling: 88.118.1001/ENG-42, hdl:88.118.1001/ENG-42,
// VAA0881181001/ENG-42. A prefix alone (88.118) is an ID too, for which IsPrefix is true. The error is of kind
// problem.BadID.
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

// IsValid reports whether the ID names anything; only the zero ID does not.
func (v ID) IsValid() bool { return v.name != "" }

// String is the canonical form, with the letters a–z as A–Z.
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
	if vaa.IsPrinted(v.name) || strings.HasPrefix(v.name, "HDL:") {
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
