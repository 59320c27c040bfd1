package mint

import "strings"

// Alphabets of ISO 7064: a character's place is its value.
const (
	digits = "0123456789"
	alnum  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// Scheme computes the check characters of a text.
type Scheme string

// The schemes. Letters and digits that a scheme's alphabet does not have (dots, dashes, slashes) are passed over.
const (
	Mod11_2  Scheme = "mod11-2"  // ISO 7064 pure, digits; one character, 0–9 or X
	Mod37_2  Scheme = "mod37-2"  // ISO 7064 pure, letters and digits; one character, with *
	Mod97_10 Scheme = "mod97-10" // ISO 7064 pure, letters as two digits; two digits
	Mod11_10 Scheme = "mod11-10" // ISO 7064 hybrid 11,10, digits; one digit
	Mod37_36 Scheme = "mod37-36" // ISO 7064 hybrid 37,36, letters and digits; one of them
	GS1      Scheme = "gs1"      // GS1 General Specifications 7.9, digits; one digit
	Luhn     Scheme = "luhn"     // ISO/IEC 7812-1 annex B, digits; one digit
)

func (s Scheme) width() int {
	switch s {
	case Mod97_10:
		return 2
	case Mod11_2, Mod37_2, Mod11_10, Mod37_36, GS1, Luhn:
		return 1
	}
	return 0
}

// append puts the check characters of text behind dst. Letters a–z count as A–Z.
func (s Scheme) append(dst []byte, text []byte) []byte {
	switch s {
	case Mod11_2:
		p := 0
		for _, c := range text {
			if v := value(c); v >= 0 && v < 10 {
				p = (p + v) * 2 % 11
			}
		}
		return append(dst, "0123456789X"[(12-p)%11])
	case Mod37_2:
		p := 0
		for _, c := range text {
			if v := value(c); v >= 0 {
				p = (p + v) * 2 % 37
			}
		}
		return append(dst, (alnum + "*")[(38-p)%37])
	case Mod97_10:
		p := 0
		for _, c := range text {
			switch v := value(c); {
			case v >= 10:
				p = (p*100 + v) % 97
			case v >= 0:
				p = (p*10 + v) % 97
			}
		}
		n := 98 - p*100%97
		return append(dst, digits[n/10], digits[n%10])
	case Mod11_10, Mod37_36:
		m, set := 10, digits
		if s == Mod37_36 {
			m, set = 36, alnum
		}
		p := m
		for _, c := range text {
			v := value(c)
			if v < 0 || v >= m {
				continue
			}
			if p = (p + v) % m; p == 0 {
				p = m
			}
			p = p * 2 % (m + 1)
		}
		return append(dst, set[(m+1-p)%m])
	case GS1, Luhn:
		sum, odd := 0, true
		for i := len(text) - 1; i >= 0; i-- {
			v := value(text[i])
			if v < 0 || v > 9 {
				continue
			}
			if odd {
				if s == GS1 {
					v *= 3
				} else if v *= 2; v > 9 {
					v -= 9
				}
			}
			sum, odd = sum+v, !odd
		}
		return append(dst, digits[(10-sum%10)%10])
	}
	return dst
}

func value(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 10
	}
	return -1
}

// Check is the check characters of text by the scheme; empty for a scheme that there is not.
func (s Scheme) Check(text string) string { return string(s.append(nil, []byte(text))) }

// Verify reports whether text ends in its check characters.
func (s Scheme) Verify(text string) bool {
	n := s.width()
	return n > 0 && len(text) > n && strings.EqualFold(s.Check(text[:len(text)-n]), text[len(text)-n:])
}
