package gs1

import "strings"

// flags say how an identifier's field is carried.
type flags uint8

const (
	predefined flags = 1 << iota // its length is known from the first two digits: no separator behind it (General Specifications, 7.8.5)
	attribute                    // may stand in the query of a Digital Link
	primary                      // may begin the path of a Digital Link
)

// part is a component of a value: so many characters of a set, and what must hold for them.
type part struct {
	set      byte // 'N' digits, 'X' character set 82, 'Y' character set 39, 'Z' base64url
	min, max int  // characters; only the last component has max > min
	optional bool // may be missing, with all behind it
	linters  []linter
}

// entry is an identifier, or a run of identifiers that differ in the last digit: the place of a decimal point, mostly.
type entry struct {
	from, to   string
	flags      flags
	parts      []part
	requires   []string // each: one of "01+21,02,35nn" must be there too (n: any digit)
	excludes   string   // none of "01,394n" may be there too
	qualifiers string   // of a primary: those that may follow, in order: "22,10,21|235"
	title      string   // the standard's data title
}

// index finds the entry of an identifier by its number: from 0 for two digits, 100 for three, 1100 for four. Zero is none; else the place plus one.
var index [11100]uint8

// lengths is how many digits an identifier has by its first two; zero where none is allocated.
var lengths [100]uint8

func init() {
	for i := range dictionary {
		e := &dictionary[i]
		from, to := place(e.from), place(e.to)
		for p := from; p <= to; p++ {
			index[p] = uint8(i + 1)
		}
		for p := number(e.from[:2]); p <= number(e.to[:2]); p++ {
			lengths[p] = uint8(len(e.from))
		}
	}
}

// number is the number that a few digits make.
func number(s string) int {
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// place is where an identifier stands in index; ai is two to four digits.
func place(ai string) int {
	switch len(ai) {
	case 2:
		return number(ai)
	case 3:
		return 100 + number(ai)
	}
	return 1100 + number(ai)
}

// isAI says whether s has the form of an identifier.
func isAI(s string) bool { return len(s) >= 2 && len(s) <= 4 && digits(s) }

// digits says whether s is all digits, and at least one.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// find is the entry of an identifier, or nil.
func find(ai string) *entry {
	if !isAI(ai) {
		return nil
	}
	if i := index[place(ai)]; i != 0 {
		return &dictionary[i-1]
	}
	return nil
}

// longest is how many characters a value may have.
func (e *entry) longest() int {
	n := 0
	for i := range e.parts {
		n += e.parts[i].max
	}
	return n
}

// shortest is how many characters a value must have.
func (e *entry) shortest() int {
	n := 0
	for i := range e.parts {
		if !e.parts[i].optional {
			n += e.parts[i].min
		}
	}
	return n
}

// names says whether pattern, as it stands in requires and excludes (01, 394n, 35nn), means ai.
func names(pattern, ai string) bool {
	if len(pattern) != len(ai) {
		return false
	}
	for i := range len(ai) {
		if pattern[i] != ai[i] && pattern[i] != 'n' {
			return false
		}
	}
	return true
}

// takes says whether a key may be followed by these qualifiers, in this order; each alternative is a subsequence of a list.
func (e *entry) takes(qualifiers []string) bool {
	if len(qualifiers) == 0 {
		return true
	}
	for list := range strings.SplitSeq(e.qualifiers, "|") {
		n := 0
		for q := range strings.SplitSeq(list, ",") {
			if n < len(qualifiers) && qualifiers[n] == q {
				n++
			}
		}
		if n == len(qualifiers) {
			return true
		}
	}
	return false
}

// Known says whether the General Specifications allocate an application identifier.
func Known(ai string) bool { return find(ai) != nil }

// IsKey says whether an identifier names a thing, so that a Digital Link can begin with it: 01, 00, 8004 …
func IsKey(ai string) bool {
	e := find(ai)
	return e != nil && e.flags&primary != 0
}
