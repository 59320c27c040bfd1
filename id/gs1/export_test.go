package gs1

import "fmt"

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
