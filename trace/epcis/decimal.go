package epcis

import (
	"math/big"
	"strconv"
	"strings"
)

// maxExponent bounds the exponents that are computed with: 10^±400 is beyond any measurement and any float64.
const maxExponent = 400

// parts takes a number apart: its sign, its digits without leading and trailing zeros, and the power of ten of the last digit. Zero has no digits.
func (d Decimal) parts() (negative bool, digits string, exponent int, ok bool) {
	s := string(d)
	if s == "" {
		return
	}
	if s[0] == '-' || s[0] == '+' {
		negative = s[0] == '-'
		s = s[1:]
	}
	mantissa := s
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n > maxExponent || n < -maxExponent {
			return
		}
		mantissa, exponent = s[:i], n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole == "" && fraction == "" {
		return
	}
	for _, part := range [...]string{whole, fraction} {
		for i := range len(part) {
			if part[i] < '0' || part[i] > '9' {
				return
			}
		}
	}
	fraction = strings.TrimRight(fraction, "0")
	exponent -= len(fraction)
	if fraction == "" {
		digits = strings.TrimLeft(whole, "0")
	} else if digits = strings.TrimLeft(whole, "0"); digits == "" {
		digits = strings.TrimLeft(fraction, "0")
	} else {
		digits += fraction
	}
	if digits == "" {
		return false, "", 0, true
	}
	if t := strings.TrimRight(digits, "0"); len(t) < len(digits) {
		exponent += len(digits) - len(t)
		digits = t
	}
	return negative, digits, exponent, true
}

// IsValid says whether d is a number: digits with at most one point, and an exponent of at most 400 either way. The empty one is absent, not valid.
func (d Decimal) IsValid() bool {
	_, _, _, ok := d.parts()
	return ok
}

// appendNormal writes the number without exponent, superfluous zeros or plus sign: the one form of its value. What is no number is written as it is.
func (d Decimal) appendNormal(dst []byte) []byte {
	negative, digits, exponent, ok := d.parts()
	switch {
	case !ok:
		return append(dst, d...)
	case digits == "":
		return append(dst, '0')
	}
	if negative {
		dst = append(dst, '-')
	}
	if exponent >= 0 {
		dst = append(dst, digits...)
		for range exponent {
			dst = append(dst, '0')
		}
		return dst
	}
	point := len(digits) + exponent
	if point > 0 {
		dst = append(dst, digits[:point]...)
	} else {
		dst = append(dst, '0')
	}
	dst = append(dst, '.')
	for ; point < 0; point++ {
		dst = append(dst, '0')
	}
	return append(dst, digits[max(len(digits)+exponent, 0):]...)
}

// Normal is the number in the one form of its value: "13.20" is "13.2", "1e3" is "1000".
func (d Decimal) Normal() Decimal { return Decimal(d.appendNormal(nil)) }

// Float is the nearest float64, and whether d is a number at all.
func (d Decimal) Float() (float64, bool) {
	if !d.IsValid() {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(d), 64)
	return f, err == nil
}

// rat is the exact value; zero when d is no number.
func (d Decimal) rat() *big.Rat {
	r := new(big.Rat)
	if d.IsValid() {
		if _, ok := r.SetString(string(d.Normal())); !ok {
			return new(big.Rat)
		}
	}
	return r
}

// Add is the exact sum; an absent number counts as zero.
func (d Decimal) Add(more Decimal) Decimal {
	switch {
	case more == "":
		return d
	case d == "":
		return more
	}
	_, _, a, _ := d.parts()
	_, _, b, _ := more.parts()
	return Decimal(new(big.Rat).Add(d.rat(), more.rat()).FloatString(max(0, -a, -b))).Normal()
}

// Cmp compares the values: -1, 0 or 1. An absent number counts as zero.
func (d Decimal) Cmp(other Decimal) int { return d.rat().Cmp(other.rat()) }

// isJSON says whether d may stand in JSON as it is.
func (d Decimal) isJSON() bool {
	s := strings.TrimPrefix(string(d), "-")
	if s == "" || s[0] < '0' || s[0] > '9' || len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' {
		return false
	}
	if i := strings.IndexByte(s, '.'); i >= 0 && (i+1 == len(s) || s[i+1] < '0' || s[i+1] > '9') {
		return false
	}
	return d.IsValid()
}
