package graph

import (
	"math/big"
	"strings"

	"github.com/fujie-id/fujie/trace/epcis"
)

// amount is an exact sum. Most are small whole numbers or have few places, and stay in a word.
type amount struct {
	small int64 // times ten to the power of -scale
	scale uint8
	big   *big.Rat
	set   bool
}

const maxScale = 9

var tens = [...]int64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// parseAmount reads a number; ok is false for an empty or an unreadable one, which says that there is some.
func parseAmount(d epcis.Decimal) (a amount, ok bool) {
	s := string(d)
	if s == "" || len(s) > 400 {
		return amount{}, false
	}
	neg := false
	t := s
	if t[0] == '-' || t[0] == '+' {
		neg, t = t[0] == '-', t[1:]
	}
	var n int64
	digits, scale, point := 0, 0, false
	for i := 0; i < len(t); i++ {
		switch c := t[i]; {
		case c >= '0' && c <= '9' && digits < 17:
			n = n*10 + int64(c-'0')
			digits++
			if point {
				scale++
			}
		case c == '.' && !point:
			point = true
		default:
			digits = 99
		}
		if digits > 17 || scale > maxScale {
			digits = 99
			break
		}
	}
	if digits > 0 && digits <= 17 {
		if neg {
			n = -n
		}
		return amount{small: n, scale: uint8(scale), set: true}, true
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 5 || strings.ContainsAny(s, "/_xXpP") {
		return amount{}, false // an exponent that would fill the memory
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return amount{}, false
	}
	return amount{big: r, set: true}, true
}

func (a amount) rat() *big.Rat {
	if a.big != nil {
		return a.big
	}
	return big.NewRat(a.small, tens[a.scale])
}

// plus is a and sign times b.
func (a amount) plus(b amount, sign int64) amount {
	if a.big == nil && b.big == nil {
		scale := max(a.scale, b.scale)
		x, xok := scaled(a.small, tens[scale-a.scale])
		y, yok := scaled(b.small, tens[scale-b.scale])
		if sum := x + sign*y; xok && yok && sum < 1<<62 && sum > -1<<62 {
			return amount{small: sum, scale: scale, set: true}
		}
	}
	r := new(big.Rat)
	if sign < 0 {
		r.Sub(a.rat(), b.rat())
	} else {
		r.Add(a.rat(), b.rat())
	}
	return amount{big: r, set: true}
}

func scaled(n, by int64) (int64, bool) {
	p := n * by
	return p, by == 1 || p/by == n && p < 1<<61 && p > -1<<61
}

func (a amount) sign() int {
	if a.big != nil {
		return a.big.Sign()
	}
	switch {
	case a.small < 0:
		return -1
	case a.small > 0:
		return 1
	}
	return 0
}

func (a amount) more(b amount) bool { return a.plus(b, -1).sign() > 0 }

// decimal writes the sum without zeros at its end; empty when nothing was summed.
func (a amount) decimal() epcis.Decimal {
	if !a.set {
		return ""
	}
	r := a.rat()
	places, exact := r.FloatPrec()
	if !exact {
		return ""
	}
	return epcis.Decimal(r.FloatString(places))
}
