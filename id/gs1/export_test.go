package gs1

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
)

// Header is the header of a binary scheme, as eight bits.
func Header(scheme string) string {
	if c := codingOf(scheme); c != nil {
		return fmt.Sprintf("%08b", c.header)
	}
	return ""
}

// Widths are the bits of a scheme's fields, the filter first, with a company prefix of so many digits ("12"); other schemes have one way only.
func Widths(scheme, option string) []int {
	c := codingOf(scheme)
	if c == nil {
		return nil
	}
	switch c.urn {
	case "gid":
		return []int{28, 24, 36}
	case "usdod":
		return []int{4, 48, 36}
	case "adi":
		return []int{6, 36}
	}
	n := 0
	if _, err := fmt.Sscan(option, &n); err != nil || n < 6 || n > 12 {
		return nil
	}
	w := partitions[12-n]
	out := []int{3, w}
	if c.both > 0 {
		out = append(out, c.both-w)
	} else {
		return out // a part number of any length comes next
	}
	out = append(out, c.widths...)
	if c.serial > 0 {
		out = append(out, c.serial)
	}
	return out
}

// Packing is a part of a value on a tag as table F gives it: empty where it says nothing.
type Packing struct {
	Way                    byte
	N, Bits, Which, Length string
}

// Packings are the parts of the value of an application identifier.
func Packings(ai string) (out []Packing) {
	for _, p := range packings[ai] {
		x := Packing{Way: p.way, N: strconv.Itoa(p.n)}
		length := strconv.Itoa(bits.Len(uint(p.n)))
		switch p.way {
		case 'N':
			x.Bits = strconv.Itoa(4 * p.n)
		case 'I':
			x.Bits = strconv.Itoa(widthOf(p.n))
		case 'A', 'T':
			x.Which, x.Length = "3", length
		case 'V':
			x.Length = length
		case 'C':
			x.Bits = "12"
		case 'D':
			x.Bits = "16"
		case 'M':
			x.Bits = "27"
		case 'B', '-':
			x.Bits = "1"
		case 'S':
			x.Bits = "8"
		}
		out = append(out, x)
	}
	return out
}

// AllPackings are the application identifiers that tags hold.
func AllPackings() []string { return slices.Collect(maps.Keys(packings)) }

// Wordings are the bits of a text in each way of writing it.
func Wordings(n int) (out []int) {
	for way := range wordings {
		out = append(out, wordings[way].width(way, n))
	}
	return out
}

// Plus is the header of a '+' scheme, as eight bits, and its fields.
func Plus(name string) (string, []string) {
	c := plusOf(name)
	return fmt.Sprintf("%08b", c.header), c.ais
}

// Dates is how many dates may stand in front.
var Dates = len(prioritised)

// PackUnpack writes a value of an application identifier as it stands on tags, and reads it back; ok is false where it cannot be written.
func PackUnpack(ai, value string) (back string, ok, all bool) {
	w := &row{}
	if !w.packValue(ai, value) {
		return "", false, false
	}
	back, ok = w.unpackValue(ai)
	return back, ok, w.at == len(w.b)
}
