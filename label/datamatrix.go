package label

import (
	"fmt"
	"strings"
)

// dmSize is one size of Data Matrix (ISO/IEC 16022, table 7): rows and columns of the whole symbol, codewords of data and of error correction, blocks they are spread
// over, and data regions down and across.
type dmSize struct{ rows, cols, data, ecc, blocks, down, across int }

var dmSizes = []dmSize{
	{10, 10, 3, 5, 1, 1, 1}, {12, 12, 5, 7, 1, 1, 1}, {8, 18, 5, 7, 1, 1, 1}, {14, 14, 8, 10, 1, 1, 1}, {8, 32, 10, 11, 1, 1, 2}, {16, 16, 12, 12, 1, 1, 1},
	{12, 26, 16, 14, 1, 1, 1}, {18, 18, 18, 14, 1, 1, 1}, {20, 20, 22, 18, 1, 1, 1}, {12, 36, 22, 18, 1, 1, 2}, {22, 22, 30, 20, 1, 1, 1}, {16, 36, 32, 24, 1, 1, 2},
	{24, 24, 36, 24, 1, 1, 1}, {26, 26, 44, 28, 1, 1, 1}, {16, 48, 49, 28, 1, 1, 2}, {32, 32, 62, 36, 1, 2, 2}, {36, 36, 86, 42, 1, 2, 2}, {40, 40, 114, 48, 1, 2, 2},
	{44, 44, 144, 56, 1, 2, 2}, {48, 48, 174, 68, 1, 2, 2}, {52, 52, 204, 84, 2, 2, 2}, {64, 64, 280, 112, 2, 4, 4}, {72, 72, 368, 144, 4, 4, 4}, {80, 80, 456, 192, 4, 4, 4},
	{88, 88, 576, 224, 4, 4, 4}, {96, 96, 696, 272, 4, 4, 4}, {104, 104, 816, 336, 6, 4, 4}, {120, 120, 1050, 408, 6, 6, 6}, {132, 132, 1304, 496, 8, 6, 6}, {144, 144, 1558, 620, 10, 6, 6},
}

// Codewords with a meaning of their own.
const (
	dmPad      = 129
	dmDigits   = 130
	dmC40      = 230
	dmBase256  = 231
	dmFNC1     = 232
	dmUpper    = 235
	dmText     = 239
	dmECI      = 241
	dmUnlatch  = 254
	dmUTF8     = 26 + 1 // ECI 26 as its one codeword
	dmMaxBytes = 1555
)

// encodeDataMatrix makes the smallest symbol that takes the text; fnc1 says where FNC1 stands in place of a byte.
func encodeDataMatrix(text string, fnc1 []bool, o Options) (*Symbol, error) {
	words := dmWords([]byte(text), fnc1)
	for _, z := range dmSizes {
		if z.data < len(words) || z.rows != z.cols && !o.Oblong {
			continue
		}
		all := dmPadded(words, z.data)
		all = append(all, dmCorrection(all, z)...)
		s := newSymbol(DataMatrix, z.cols, z.rows, 1, 1)
		s.Version = fmt.Sprintf("%dx%d", z.rows, z.cols)
		s.drawDataMatrix(all, z)
		return s, nil
	}
	return nil, tooLong(DataMatrix, text, dmMaxBytes)
}

func dmPadded(words []byte, n int) []byte {
	out := append(make([]byte, 0, n+620), words...)
	for len(out) < n {
		c := dmPad
		if len(out) > len(words) { // the pads behind the first are scrambled by their place (5.2.4.3)
			c += 149*(len(out)+1)%253 + 1
			if c > 254 {
				c -= 254
			}
		}
		out = append(out, byte(c))
	}
	return out
}

// The ways to write a character: ASCII, C40 and Text with 0 to 2 values of a triple begun, and bytes.
const (
	dmInASCII = iota
	dmInC40
	dmInText = dmInC40 + 3
	dmIn256  = dmInText + 3
	dmModes  = dmIn256 + 1
)

// dmValues is a character in C40 or Text: values of its sets, with the shift before them (5.2.5, 5.2.6); nil beyond ASCII.
func dmValues(c byte, text bool) []byte {
	if text {
		switch {
		case c >= 'a' && c <= 'z':
			c -= 32
		case c >= 'A' && c <= 'Z':
			return []byte{2, c - 64}
		case c >= '{' && c <= 127:
			return []byte{2, c - 96}
		case c == '`':
			return []byte{2, 0}
		}
	}
	switch {
	case c == ' ':
		return []byte{3}
	case c >= '0' && c <= '9':
		return []byte{c - '0' + 4}
	case c >= 'A' && c <= 'Z':
		return []byte{c - 'A' + 14}
	case c < 32:
		return []byte{0, c}
	case c <= '/':
		return []byte{1, c - 33}
	case c <= '@':
		return []byte{1, c - ':' + 15}
	case c <= '_':
		return []byte{1, c - '[' + 22}
	case c < 128:
		return []byte{2, c - 96}
	}
	return nil
}

// dmStep is how a way of writing was come to: from which state, how many characters before.
type dmStep struct {
	cost int
	from int8
	back int8
}

// dmWords finds the fewest codewords for the text, which is in ECI 26 when it is not ASCII.
func dmWords(text []byte, fnc1 []bool) []byte {
	n := len(text)
	is := func(i int) bool { return fnc1 != nil && fnc1[i] }
	const far = 1 << 30
	best := make([][dmModes]dmStep, n+1)
	for i := range best {
		for m := range best[i] {
			best[i][m].cost = far
		}
	}
	best[0][dmInASCII] = dmStep{}
	better := func(i, m, cost, from, back int) {
		if cost < best[i][m].cost {
			best[i][m] = dmStep{cost, int8(from), int8(back)}
		}
	}
	for i := 0; ; i++ {
		b := &best[i]
		// Changes of mode go by way of ASCII.
		for _, m := range [...]int{dmInC40, dmInText} {
			better(i, dmInASCII, b[m].cost+1, m, 0)
		}
		better(i, dmInASCII, b[dmIn256].cost, dmIn256, 0)
		if i == n {
			break
		}
		for _, m := range [...]int{dmInC40, dmInText} {
			better(i, m, b[dmInASCII].cost+1, dmInASCII, 0)
		}
		c, digit := text[i], func(j int) bool { return j < n && !is(j) && text[j] >= '0' && text[j] <= '9' }
		switch {
		case is(i) || c < 128:
			better(i+1, dmInASCII, b[dmInASCII].cost+1, dmInASCII, 1)
		default:
			better(i+1, dmInASCII, b[dmInASCII].cost+2, dmInASCII, 1)
		}
		if digit(i) && digit(i+1) {
			better(i+2, dmInASCII, b[dmInASCII].cost+1, dmInASCII, 2)
		}
		if is(i) {
			continue
		}
		better(i+1, dmIn256, b[dmInASCII].cost+3, dmInASCII, 1)
		better(i+1, dmIn256, b[dmIn256].cost+1, dmIn256, 1)
		for k, m := range [...]int{dmInC40, dmInText} {
			v := len(dmValues(c, k == 1))
			for phase := range 3 {
				if v > 0 && b[m+phase].cost < far {
					better(i+1, m+(phase+v)%3, b[m+phase].cost+2*((phase+v)/3), m+phase, 1)
				}
			}
		}
	}
	// Back along the best way, then forth to write it.
	type leg struct{ from, mode, at, back int }
	var way []leg
	for i, m := n, dmInASCII; i > 0 || m != dmInASCII; {
		s := best[i][m]
		way = append(way, leg{int(s.from), m, i - int(s.back), int(s.back)})
		i, m = i-int(s.back), int(s.from)
	}
	var out []byte
	if strings.IndexFunc(string(text), func(r rune) bool { return r > 127 }) >= 0 {
		out = append(out, dmECI, dmUTF8)
	}
	var values, bytes []byte
	for k := len(way) - 1; k >= 0; k-- {
		w := way[k]
		group := func(m int) int { return (m + 2) / 3 }
		switch {
		case w.back == 0 && w.mode == dmInC40:
			out = append(out, dmC40)
		case w.back == 0 && w.mode == dmInText:
			out = append(out, dmText)
		case w.back == 0 && group(w.from) != 3:
			out = append(out, dmUnlatch)
		case w.back == 0:
			out = dmBytes(out, bytes)
			bytes = nil
		case w.mode == dmInASCII && w.back == 2:
			out = append(out, dmDigits+(text[w.at]-'0')*10+text[w.at+1]-'0')
		case w.mode == dmInASCII && is(w.at):
			out = append(out, dmFNC1)
		case w.mode == dmInASCII && text[w.at] > 127:
			out = append(out, dmUpper, text[w.at]-127)
		case w.mode == dmInASCII:
			out = append(out, text[w.at]+1)
		case w.mode == dmIn256:
			bytes = append(bytes, text[w.at])
		default:
			values = append(values, dmValues(text[w.at], w.mode >= dmInText)...)
			for ; len(values) >= 3; values = values[3:] {
				v := int(values[0])*1600 + int(values[1])*40 + int(values[2]) + 1
				out = append(out, byte(v>>8), byte(v))
			}
		}
	}
	return out
}

// dmBytes writes bytes in base 256: the latch, their number, and they, each scrambled by its place (5.2.9).
func dmBytes(out, bytes []byte) []byte {
	out = append(out, dmBase256)
	scramble := func(b byte) {
		out = append(out, byte(int(b)+149*(len(out)+1)%255+1))
	}
	if n := len(bytes); n < 250 {
		scramble(byte(n))
	} else {
		scramble(byte(n/250 + 249))
		scramble(byte(n % 250))
	}
	for _, b := range bytes {
		scramble(b)
	}
	return out
}

// GF(256) by x⁸+x⁵+x³+x²+1, as 5.7 has it.
var dmExp, dmLog = func() (exp [510]byte, log [256]int) {
	x := 1
	for i := range 255 {
		exp[i], exp[i+255] = byte(x), byte(x)
		log[x] = i
		if x <<= 1; x > 255 {
			x ^= 0x12d
		}
	}
	return exp, log
}()

func dmMul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return dmExp[dmLog[a]+dmLog[b]]
}

// dmCorrection is the Reed–Solomon codewords that follow the data. The codeword at place p of the whole is of block p modulo the blocks.
func dmCorrection(data []byte, z dmSize) []byte {
	per := z.ecc / z.blocks
	generator := make([]byte, per+1) // highest power first
	generator[0] = 1
	for i := 1; i <= per; i++ {
		for j := i; j > 0; j-- {
			generator[j] ^= dmMul(generator[j-1], dmExp[i])
		}
	}
	out := make([]byte, z.ecc)
	rest := make([]byte, per)
	for b := range z.blocks {
		clear(rest)
		for i := b; i < len(data); i += z.blocks {
			top := data[i] ^ rest[0]
			copy(rest, rest[1:])
			rest[per-1] = 0
			for j := range rest {
				rest[j] ^= dmMul(top, generator[j+1])
			}
		}
		for j, k := ((b-len(data))%z.blocks+z.blocks)%z.blocks, 0; k < per; j, k = j+z.blocks, k+1 {
			out[j] = rest[k]
		}
	}
	return out
}

// drawDataMatrix puts the bits in their places (annex F) and draws the edges of each region around them.
func (s *Symbol) drawDataMatrix(words []byte, z dmSize) {
	rows, cols := z.rows-2*z.down, z.cols-2*z.across
	const free = -1
	places := make([]int, rows*cols) // which bit, 8 times the codeword and 7 minus its weight
	for i := range places {
		places[i] = free
	}
	put := func(r, c, word, bit int) {
		if r < 0 {
			r, c = r+rows, c+4-(rows+4)%8
		}
		if c < 0 {
			r, c = r+4-(cols+4)%8, c+cols
		}
		places[r*cols+c] = word*8 + bit
	}
	next := 0
	shape := func(at ...int) { // eight pairs of row and column, the highest bit first
		for bit := range 8 {
			put(at[2*bit], at[2*bit+1], next, bit)
		}
		next++
	}
	utah := func(r, c int) {
		shape(r-2, c-2, r-2, c-1, r-1, c-2, r-1, c-1, r-1, c, r, c-2, r, c-1, r, c)
	}
	R, C := rows, cols
	for r, c := 4, 0; r < rows || c < cols; {
		switch {
		case r == R && c == 0:
			shape(R-1, 0, R-1, 1, R-1, 2, 0, C-2, 0, C-1, 1, C-1, 2, C-1, 3, C-1)
		case r == R-2 && c == 0 && C%4 != 0:
			shape(R-3, 0, R-2, 0, R-1, 0, 0, C-4, 0, C-3, 0, C-2, 0, C-1, 1, C-1)
		case r == R-2 && c == 0 && C%8 == 4:
			shape(R-3, 0, R-2, 0, R-1, 0, 0, C-2, 0, C-1, 1, C-1, 2, C-1, 3, C-1)
		case r == R+4 && c == 2 && C%8 == 0:
			shape(R-1, 0, R-1, C-1, 0, C-3, 0, C-2, 0, C-1, 1, C-3, 1, C-2, 1, C-1)
		}
		for {
			if r < R && c >= 0 && places[r*C+c] == free {
				utah(r, c)
			}
			if r, c = r-2, c+2; r < 0 || c >= C {
				break
			}
		}
		r, c = r+1, c+3
		for {
			if r >= 0 && c < C && places[r*C+c] == free {
				utah(r, c)
			}
			if r, c = r+2, c-2; r >= R || c < 0 {
				break
			}
		}
		r, c = r+3, c+1
	}
	bit := func(r, c int) bool {
		switch p := places[r*C+c]; {
		case p != free:
			return words[p/8]>>(7-p%8)&1 == 1
		default: // the corner that nothing reaches: dark on the diagonal
			return r-c == R-C
		}
	}
	high, wide := z.rows/z.down, z.cols/z.across
	for y := range z.rows {
		for x := range z.cols {
			ry, rx := y%high, x%wide
			switch {
			case rx == 0 || ry == high-1:
				s.set(x, y, true)
			case ry == 0:
				s.set(x, y, rx%2 == 0)
			case rx == wide-1:
				s.set(x, y, ry%2 == 1)
			default:
				s.set(x, y, bit(y/high*(high-2)+ry-1, x/wide*(wide-2)+rx-1))
			}
		}
	}
}
