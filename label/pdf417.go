package label

import (
	_ "embed"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// pdfPatterns is the bars and spaces of the 929 codewords in clusters 0, 3 and 6 (ISO/IEC 15438, annex A): two bytes each, the 15 modules between the first, which is
// always dark, and the last, which is always light.
//
//go:embed pdf417.bin
var pdfPatterns []byte

const (
	pdfStart = 0x1fea8
	pdfStop  = 0x3fa29

	pdfText    = 900
	pdfByte    = 901
	pdfNumeric = 902
	pdfByte6   = 924
	pdfECI     = 927
	pdfUTF8    = 26
)

func pdfPattern(cluster, word int) int {
	at := (cluster*929 + word) * 2
	return 1<<16 | int(pdfPatterns[at])<<9 | int(pdfPatterns[at+1])<<1
}

// encodePDF417 makes a symbol that is about three times as wide as high, or as wide as is asked for.
func encodePDF417(data string, o Options) (*Symbol, error) {
	words := pdfWords([]byte(data))
	level := 5
	for i, most := range [...]int{40, 160, 320} { // annex E: recommended minimum
		if len(words) <= most {
			level = i + 2
			break
		}
	}
	if o.Level == "" {
		for level > 0 && len(words)+1+2<<level > 928 {
			level--
		}
	} else {
		var err error
		if level, err = strconv.Atoi(o.Level); err != nil || level < 0 || level > 8 {
			return nil, problem.New(problem.BadValue, "%.20q is no level of error correction of PDF417: choose 0 to 8", "%.20q 不是 PDF417 纠错等级：可选 0 至 8", o.Level)
		}
	}
	ecc := 2 << level
	total := len(words) + 1 + ecc
	if total > 928 {
		return nil, tooLong(PDF417, data, len(data)*(927-ecc)/len(words))
	}
	if o.Columns < 0 || o.Columns > 30 {
		return nil, problem.New(problem.BadValue, "PDF417 has 1 to 30 columns of data, not %d", "PDF417 的数据列数为 1 至 30，不能为 %d", o.Columns)
	}
	cols, rows, off := 0, 0, math.Inf(1)
	for c := 1; c <= 30; c++ {
		if o.Columns != 0 && c != o.Columns {
			continue
		}
		r := max(3, (total+c-1)/c)
		if r > 90 || r*c > 928 {
			continue
		}
		if d := math.Abs(math.Log(float64(17*c+69) / float64(9*r))); d < off {
			cols, rows, off = c, r, d
		}
	}
	if cols == 0 {
		return nil, problem.New(problem.TooLarge, "%d codewords do not fit in %d columns of at most 90 rows: choose another number of columns, or 0", "%d 个码字无法放入 %d 列（每列至多 90 行）：请更改列数或设为 0", total, o.Columns)
	}
	n := rows*cols - ecc
	all := append(make([]int, 0, rows*cols), n)
	all = append(all, words...)
	for len(all) < n {
		all = append(all, pdfText) // the pad
	}
	all = append(all, pdfCorrection(all, ecc)...)

	s := newSymbol(PDF417, 17*cols+69, rows, 3, 2)
	s.Level, s.Version = strconv.Itoa(level), strconv.Itoa(rows)+"x"+strconv.Itoa(cols)
	for y := range rows {
		x := 0
		bits := func(pattern, n int) {
			for i := n - 1; i >= 0; i-- {
				s.set(x, y, pattern>>i&1 == 1)
				x++
			}
		}
		// The indicators at both ends say rows, columns and level, each third of them in turn (5.11.3).
		is := [...]int{(rows - 1) / 3, level*3 + (rows-1)%3, cols - 1}
		cluster, base := y%3, y/3*30
		bits(pdfStart, 17)
		bits(pdfPattern(cluster, base+is[cluster]), 17)
		for _, w := range all[y*cols : (y+1)*cols] {
			bits(pdfPattern(cluster, w), 17)
		}
		bits(pdfPattern(cluster, base+is[(cluster+2)%3]), 17)
		bits(pdfStop, 18)
	}
	return s, nil
}

// pdfCorrection is the Reed–Solomon codewords over GF(929) with the roots 3, 3², … (5.10).
func pdfCorrection(data []int, ecc int) []int {
	generator := make([]int, ecc+1) // lowest power first
	generator[0] = 1
	root := 1
	for i := range ecc {
		root = root * 3 % 929
		for j := i + 1; j > 0; j-- {
			generator[j] = (generator[j-1] + (929-root)*generator[j]) % 929
		}
		generator[0] = (929 - root) * generator[0] % 929
	}
	rest := make([]int, ecc)
	for _, d := range data {
		top := (d + rest[ecc-1]) % 929
		for j := ecc - 1; j > 0; j-- {
			rest[j] = (rest[j-1] + (929-top)*generator[j]) % 929
		}
		rest[0] = (929 - top) * generator[0] % 929
	}
	out := make([]int, ecc)
	for i, r := range rest {
		out[ecc-1-i] = (929 - r) % 929
	}
	return out
}

// pdfWords is the text in codewords: digits, text and bytes, each where they are shortest (5.4).
func pdfWords(text []byte) []int {
	var out []int
	const (
		inText = iota
		inByte
		inNumeric
	)
	kind := func(i int) (int, int) { // of what begins at i, and how long it goes on
		digits := 0
		for i+digits < len(text) && text[i+digits] >= '0' && text[i+digits] <= '9' {
			digits++
		}
		if digits >= 13 {
			return inNumeric, digits
		}
		if pdfIsText(text[i]) {
			n := 0
			for i+n < len(text) && pdfIsText(text[i+n]) {
				if k := digitsAt(text, i+n); k >= 13 {
					break
				}
				n++
			}
			return inText, n
		}
		n := 0
		for i+n < len(text) && !pdfIsText(text[i+n]) {
			n++
		}
		return inByte, n
	}
	for _, c := range text {
		if c > 127 {
			out = append(out, pdfECI, pdfUTF8)
			break
		}
	}
	mode := inText
	for i := 0; i < len(text); {
		k, n := kind(i)
		switch k {
		case inNumeric:
			out = append(out, pdfNumeric)
			for at := i; at < i+n; at += 44 {
				out = append(out, pdfDigits(text[at:min(at+44, i+n)])...)
			}
		case inText:
			if mode != inText {
				out = append(out, pdfText)
			}
			out = append(out, pdfLetters(text[i:i+n])...)
		case inByte:
			// A few letters between bytes are not worth two changes of mode.
			for i+n < len(text) {
				k2, n2 := kind(i + n)
				if k2 == inNumeric || k2 == inText && n2 >= 5 {
					break
				}
				n += n2
			}
			out = append(out, pdfBytes(text[i:i+n])...)
		}
		mode = k
		i += n
	}
	return out
}

func digitsAt(text []byte, i int) int {
	n := 0
	for i+n < len(text) && text[i+n] >= '0' && text[i+n] <= '9' {
		n++
	}
	return n
}

func pdfDigits(digits []byte) []int {
	v, _ := new(big.Int).SetString("1"+string(digits), 10)
	n, r := big.NewInt(900), new(big.Int)
	var out []int
	for v.Sign() > 0 {
		v.DivMod(v, n, r)
		out = append(out, int(r.Int64()))
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

func pdfBytes(text []byte) []int {
	out := []int{pdfByte}
	if len(text)%6 == 0 {
		out[0] = pdfByte6
	}
	for ; len(text) >= 6; text = text[6:] {
		v := int64(0)
		for _, c := range text[:6] {
			v = v<<8 | int64(c)
		}
		var five [5]int
		for i := 4; i >= 0; i-- {
			five[i] = int(v % 900)
			v /= 900
		}
		out = append(out, five[:]...)
	}
	for _, c := range text {
		out = append(out, int(c))
	}
	return out
}

// The four sets of text compaction (table 5).
const (
	pdfMixed = "0123456789&\r\t,:#-.$/+%*=^"
	pdfPunct = ";<>@[\\]_`~!\r\t,:\n-.$/\"|*()?{}'"
)

func pdfIsText(c byte) bool { return c == '\t' || c == '\n' || c == '\r' || c >= ' ' && c < 127 }

// pdfValue is the character's value in a set: 0 capitals, 1 small letters, 2 mixed, 3 punctuation; -1 for none.
func pdfValue(set int, c byte) int {
	switch {
	case set < 3 && c == ' ':
		return 26
	case set == 0 && c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case set == 1 && c >= 'a' && c <= 'z':
		return int(c - 'a')
	case set == 2:
		return strings.IndexByte(pdfMixed, c)
	case set == 3:
		return strings.IndexByte(pdfPunct, c)
	}
	return -1
}

// pdfLatch is the values that change from one set to another for good.
var pdfLatch = [4][4][]int{
	{nil, {27}, {28}, {28, 25}},
	{{28, 28}, nil, {28}, {28, 25}},
	{{28}, {27}, nil, {25}},
	{{29}, {29, 27}, {29, 28}, nil},
}

// pdfLetters finds the fewest values for text of the four sets, beginning with capitals, and puts them in codewords by two.
func pdfLetters(text []byte) []int {
	type step struct{ cost, from, shift int }
	n := len(text)
	const far = 1 << 30
	best := make([][4]step, n+1)
	for set := range 4 {
		best[0][set] = step{len(pdfLatch[0][set]), 0, 0}
	}
	for i := range n {
		var put [4]step // the character written, the set that is on then
		for set := range 4 {
			put[set] = step{far, set, 0}
			if pdfValue(set, text[i]) >= 0 {
				put[set].cost = best[i][set].cost + 1
			}
			if set < 3 && pdfValue(3, text[i]) >= 0 && best[i][set].cost+2 < put[set].cost {
				put[set] = step{best[i][set].cost + 2, set, 29}
			}
			if set == 1 && pdfValue(0, text[i]) >= 0 && best[i][set].cost+2 < put[set].cost {
				put[set] = step{best[i][set].cost + 2, set, 27}
			}
		}
		for to := range 4 {
			best[i+1][to] = step{far, 0, 0}
			for from := range 4 {
				if c := put[from].cost + len(pdfLatch[from][to]); c < best[i+1][to].cost {
					best[i+1][to] = step{c, from, put[from].shift}
				}
			}
		}
	}
	last := 0
	for set := range 4 {
		if best[n][set].cost < best[n][last].cost {
			last = set
		}
	}
	// sets[i] is the set that is on when character i is written.
	sets, after, shifts := make([]int, n), last, make([]int, n)
	for i := n - 1; i >= 0; i-- {
		s := best[i+1][after]
		sets[i], shifts[i] = s.from, s.shift
		after = s.from
	}
	var values []int
	set := 0
	for i, c := range text {
		values = append(values, pdfLatch[set][sets[i]]...)
		set = sets[i]
		switch shifts[i] {
		case 29:
			values = append(values, 29, pdfValue(3, c))
		case 27:
			values = append(values, 27, pdfValue(0, c))
		default:
			values = append(values, pdfValue(set, c))
		}
	}
	if len(values)%2 == 1 {
		values = append(values, 29) // a shift that nothing follows
	}
	out := make([]int, 0, len(values)/2)
	for i := 0; i < len(values); i += 2 {
		out = append(out, values[i]*30+values[i+1])
	}
	return out
}
