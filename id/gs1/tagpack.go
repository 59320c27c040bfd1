package gs1

import (
	"math/bits"
	"strings"
)

// wording is a way of writing a text of varying length (Tag Data Standard, 14.5.6 and table E). Its place in the list is its number on the tag.
type wording struct {
	letters string // those that it can write, in the order of their numbers
	each    int    // bits of each; 0: of all together
}

const (
	decimalLetters = "0123456789"
	base64Letters  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	code40Letters  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-.:0123456789" // from 1; 0 fills up
)

const (
	asNumber = iota
	asUpperHex
	asLowerHex
	asBase64
	asASCII
	asCode40
)

var wordings = [...]wording{
	asNumber:   {letters: decimalLetters},
	asUpperHex: {letters: decimalLetters + "ABCDEF", each: 4},
	asLowerHex: {letters: decimalLetters + "abcdef", each: 4},
	asBase64:   {letters: base64Letters, each: 6},
	asASCII:    {each: 7},
	asCode40:   {letters: code40Letters},
}

// width is how many bits a text of so many characters takes (table B).
func (w *wording) width(way, n int) int {
	switch way {
	case asNumber:
		return widthOf(n)
	case asCode40:
		return (n + 2) / 3 * 16
	}
	return n * w.each
}

// shortest is the way that writes a text in the fewest bits, the first of several; -1 when none can.
func shortestWording(s string) int {
	best, least := -1, 0
	for way := range wordings {
		w := &wordings[way]
		can := true
		for i := 0; i < len(s) && can; i++ {
			if w.letters != "" {
				can = strings.IndexByte(w.letters, s[i]) >= 0
			} else {
				can = s[i] > ' ' && s[i] < 0x7f
			}
		}
		if n := w.width(way, len(s)); can && (best < 0 || n < least) {
			best, least = way, n
		}
	}
	return best
}

// packText writes a text of up to so many characters: which way, how long, and then itself.
func (w *row) packText(s string, most int) bool {
	way := shortestWording(s)
	if len(s) > most || way < 0 {
		return false
	}
	w.small(uint64(way), 3)
	w.small(uint64(len(s)), bits.Len(uint(most)))
	how := &wordings[way]
	switch way {
	case asNumber:
		return w.decimal(s, widthOf(len(s)))
	case asASCII:
		return w.text(s, 7, len(s)*7)
	case asCode40:
		w.packCode40(s)
		return true
	}
	for i := range len(s) {
		w.small(uint64(strings.IndexByte(how.letters, s[i])), how.each)
	}
	return true
}

// unpackText reads it.
func (w *row) unpackText(most int) (string, bool) {
	way, ok := w.takeSmall(3)
	if !ok || way >= len(wordings) {
		return "", false
	}
	n, ok := w.takeSmall(bits.Len(uint(most)))
	if !ok || n > most {
		return "", false
	}
	how := &wordings[way]
	out := make([]byte, 0, n)
	switch way {
	case asNumber:
		if n == 0 {
			return "", true
		}
		return w.takeDecimal(widthOf(n), n)
	case asCode40:
		return w.unpackCode40(n)
	}
	for range n {
		i, ok := w.takeSmall(how.each)
		if !ok {
			return "", false
		}
		if way == asASCII {
			out = append(out, byte(i))
		} else {
			out = append(out, how.letters[i])
		}
	}
	return string(out), true
}

// packCode40 writes three letters in 16 bits (table 14-8).
func (w *row) packCode40(s string) {
	for at := 0; at < len(s); at += 3 {
		var i [3]int
		for k := range 3 {
			if at+k < len(s) {
				i[k] = strings.IndexByte(code40Letters, s[at+k]) + 1
			}
		}
		w.small(uint64(1600*i[0]+40*i[1]+i[2]+1), 16)
	}
}

func (w *row) unpackCode40(n int) (string, bool) {
	out := make([]byte, 0, n)
	for len(out) < n {
		r, ok := w.takeSmall(16)
		if !ok || r == 0 || r > 64000 {
			return "", false
		}
		for k, i := range [3]int{(r - 1) / 1600, (r - 1) / 40 % 40, (r - 1) % 40} {
			switch {
			case i == 0 && (k == 0 || len(out) < n), i != 0 && len(out) == n: // what fills up stands behind the text, and only there
				return "", false
			case i != 0:
				out = append(out, code40Letters[i-1])
			}
		}
	}
	return string(out), true
}

func (w *row) takeSmall(width int) (int, bool) {
	v, ok := w.take(width)
	return int(v), ok
}

// clockBits are the widths of year, month, day, hour, minute and second, which are two digits each (14.5.8 to 14.5.11).
var clockBits = [...]int{7, 4, 5, 5, 6, 6}

// packTime writes YYMMDD, with as much of hhmmss behind it as there is.
func (w *row) packTime(s string) bool {
	if len(s)%2 != 0 || len(s) < 6 || len(s) > 12 {
		return false
	}
	for i := 0; i < len(s); i += 2 {
		if !digits(s[i:i+2]) || !w.small(uint64(number(s[i:i+2])), clockBits[i/2]) {
			return false
		}
	}
	return true
}

func (w *row) unpackTime(n int) (string, bool) {
	out := make([]byte, 0, n)
	for i := range n / 2 {
		v, ok := w.takeSmall(clockBits[i])
		if !ok || v > 99 {
			return "", false
		}
		out = append(out, byte('0'+v/10), byte('0'+v%10))
	}
	return string(out), true
}

// precisions are the numbers of digits of a time with as much of it as is there, by the two bits in front.
var precisions = [...]int{8, 10, 12, 6}

// pack writes the value of a field, or a part of it.
func (w *row) pack(p packing, s string) bool {
	switch p.way {
	case 'N':
		for i := range len(s) {
			w.small(uint64(s[i]-'0'), 4)
		}
		return len(s) == p.n && digits(s)
	case 'I':
		return len(s) == p.n && digits(s) && w.decimal(s, widthOf(p.n))
	case 'V':
		if len(s) > p.n || !digits(s) {
			return false
		}
		w.small(uint64(len(s)), bits.Len(uint(p.n)))
		return w.decimal(s, widthOf(len(s)))
	case 'A':
		return w.packText(s, p.n)
	case 'T':
		n := 0
		for ; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
			w.small(uint64(s[n]-'0'), 4)
		}
		if n == 0 || len(s) > p.n {
			return false
		}
		if n == len(s) {
			return w.small(15, 4)
		}
		return w.small(14, 4) && w.packText(s[n:], p.n)
	case 'C':
		for i := range len(s) {
			w.small(uint64(s[i]-'A'), 6)
		}
		return len(s) == 2
	case 'D', 'M':
		return len(s) == p.n && w.packTime(s)
	case 'P':
		for i, n := range precisions {
			if len(s) == n {
				return w.small(uint64(i), 2) && w.packTime(s)
			}
		}
		return false
	case 'R':
		if len(s) == 12 {
			return w.small(1, 1) && w.packTime(s[:6]) && w.packTime(s[6:])
		}
		return len(s) == 6 && w.small(0, 1) && w.packTime(s)
	case 'B':
		return len(s) == 1 && w.decimal(s, 1)
	case '-':
		return s == "" && w.small(0, 1) || s == "-" && w.small(1, 1)
	}
	return len(s) == 3 && s[1] == '/' && w.small(uint64(s[0]-'0'), 4) && w.small(uint64(s[2]-'0'), 4) // S
}

// unpack reads what pack writes. What it reads is held against the dictionary afterwards, which knows the characters and the dates.
func (w *row) unpack(p packing) (s string, ok bool) {
	switch p.way {
	case 'N':
		out := make([]byte, p.n)
		for i := range out {
			v, ok := w.takeSmall(4)
			if !ok || v > 9 {
				return "", false
			}
			out[i] = byte('0' + v)
		}
		return string(out), true
	case 'I':
		return w.takeDecimal(widthOf(p.n), p.n)
	case 'V':
		n, ok := w.takeSmall(bits.Len(uint(p.n)))
		if !ok || n == 0 || n > p.n {
			return "", false
		}
		return w.takeDecimal(widthOf(n), n)
	case 'A':
		return w.unpackText(p.n)
	case 'T':
		var out []byte
		for len(out) <= p.n {
			v, ok := w.takeSmall(4)
			switch {
			case !ok || v > 9 && (v < 14 || len(out) == 0):
				return "", false
			case v == 15:
				return string(out), true
			case v == 14:
				s, ok = w.unpackText(p.n)
				return string(out) + s, ok
			}
			out = append(out, byte('0'+v))
		}
		return "", false
	case 'C':
		a, _ := w.takeSmall(6)
		b, ok := w.takeSmall(6)
		return string([]byte{'A' + byte(a), 'A' + byte(b)}), ok && a < 26 && b < 26
	case 'D', 'M':
		return w.unpackTime(p.n)
	case 'P':
		i, ok := w.takeSmall(2)
		if !ok {
			return "", false
		}
		return w.unpackTime(precisions[i])
	case 'R':
		two, ok := w.takeSmall(1)
		if !ok {
			return "", false
		}
		a, ok := w.unpackTime(6)
		if !ok || two == 0 {
			return a, ok
		}
		b, ok := w.unpackTime(6)
		return a + b, ok
	case 'B':
		return w.takeDecimal(1, 1)
	case '-':
		minus, ok := w.takeSmall(1)
		return "-"[:minus&1], ok
	}
	a, _ := w.takeSmall(4) // S
	b, ok := w.takeSmall(4)
	return string([]byte{'0' + byte(a), '/', '0' + byte(b)}), ok && a < 10 && b < 10
}

// packValue writes the value of a field in its one or two parts. The first of two has a fixed length.
func (w *row) packValue(ai, value string) bool {
	parts := packings[ai]
	switch {
	case len(parts) == 1:
		return w.pack(parts[0], value)
	case len(parts) == 2 && len(value) >= parts[0].n:
		return w.pack(parts[0], value[:parts[0].n]) && w.pack(parts[1], value[parts[0].n:])
	}
	return false
}

func (w *row) unpackValue(ai string) (string, bool) {
	parts := packings[ai]
	value := ""
	for _, p := range parts {
		s, ok := w.unpack(p)
		if !ok {
			return "", false
		}
		value += s
	}
	return value, value != ""
}
