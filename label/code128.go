package label

import (
	"strings"

	"github.com/fujie-id/fujie/id/gs1"
	"github.com/fujie-id/fujie/problem"
)

const (
	gs          = 0x1d // the ASCII group separator, as which FNC1 is reported
	maxGS1128   = 48   // GS1 General Specifications, 5.4: characters of data
	maxCode128  = 80
	quietCode   = 10 // modules
	code128FNC1 = 102
	code128Stop = 106
)

// elements checks an element string and gives its data as they go into a symbol.
func elements(data string) (string, error) {
	e, err := gs1.ParseElements(data)
	if err != nil {
		return "", err
	}
	return e.Raw(), nil
}

// code128Widths is the bars and spaces of each symbol character (ISO/IEC 15417, table 1); the last is the stop character with its final bar.
const code128Widths = "212222222122222221121223121322131222122213122312132212221213221312231212112232122132122231113222123122123221" +
	"223211221132221231213212223112312131311222321122321221312212322112322211212123212321232121111323131123131321112313132113132311211313" +
	"231113231311112133112331132131113123113321133121313121211331231131213113213311213131311123311321331121312113312311332111314111221411" +
	"431111111224111422121124121421141122141221112214112412122114122411142112142211241211221114413111241112134111111242121142121241114212" +
	"124112124211411212421112421211212141214121412121111143111341131141114113114311411113411311113141114131311141411131211412211214211232" +
	"2331112"

// The code sets.
const (
	setA = iota
	setB
	setC
)

// code128Words finds the shortest row of symbol characters for the text: fnc1 says where FNC1 stands in place of a byte.
func code128Words(text []byte, fnc1 []bool) ([]int, error) {
	n := len(text)
	is := func(i int) bool { return fnc1 != nil && fnc1[i] }
	for i, c := range text {
		if c > 127 && !is(i) {
			return nil, problem.New(problem.BadValue, "Code 128 holds ASCII only, and the data %.40q have other characters: use qr or datamatrix", "Code 128 只能容纳 ASCII 字符，而数据 %.40q 含有其他字符：请改用 qr 或 datamatrix", text)
		}
	}
	digit := func(i int) bool { return i < n && !is(i) && text[i] >= '0' && text[i] <= '9' }
	// value of the character at i in a set; -1 where the set has none.
	value := func(set, i int) int {
		c := int(text[i])
		switch {
		case is(i):
			return code128FNC1
		case set == setC:
			if digit(i) && digit(i+1) {
				return int(text[i]-'0')*10 + int(text[i+1]-'0')
			}
		case c < 32 && set == setA:
			return c + 64
		case c >= 32 && (c < 96 || set == setB):
			return c - 32
		}
		return -1
	}
	// cost[i][set] is the fewest characters from i on when the set is on; how says the way: stay, change to a set, or shift.
	const far = 1 << 30
	const shift = 3
	cost := make([][3]int, n+1)
	how := make([][3]int, n+1)
	for i := n - 1; i >= 0; i-- {
		var stay [3]int
		for set := range 3 {
			stay[set] = far
			if value(set, i) >= 0 {
				step := 1
				if set == setC && !is(i) {
					step = 2
				}
				stay[set] = 1 + cost[i+step][set]
			}
		}
		for set := range 3 {
			cost[i][set], how[i][set] = stay[set], set
			for _, to := range [...]int{setB, setC, setA} {
				if to != set && stay[to]+1 < cost[i][set] {
					cost[i][set], how[i][set] = stay[to]+1, to
				}
			}
			if set != setC && value(1-set, i) >= 0 && !is(i) && cost[i+1][set]+2 < cost[i][set] {
				cost[i][set], how[i][set] = cost[i+1][set]+2, shift
			}
		}
	}
	set := setC
	for _, s := range [...]int{setB, setA} {
		if cost[0][s] < cost[0][set] {
			set = s
		}
	}
	words := []int{103 + set}
	for i := 0; i < n; {
		switch to := how[i][set]; {
		case to == shift:
			words = append(words, 98, value(1-set, i))
			i++
		default:
			if to != set {
				words = append(words, [...]int{101, 100, 99}[to])
				set = to
			}
			words = append(words, value(set, i))
			if set == setC && !is(i) {
				i++
			}
			i++
		}
	}
	return words, nil
}

func encodeCode128(k Kind, text []byte, fnc1 []bool) (*Symbol, error) {
	if len(text) > maxCode128 {
		return nil, tooLong(k, string(text), maxCode128)
	}
	words, err := code128Words(text, fnc1)
	if err != nil {
		return nil, err
	}
	sum := words[0]
	for i, w := range words[1:] {
		sum += (i + 1) * w
	}
	var widths strings.Builder
	for _, w := range words {
		widths.WriteString(code128Widths[w*6 : w*6+6])
	}
	widths.WriteString(code128Widths[sum%103*6 : sum%103*6+6])
	widths.WriteString(code128Widths[code128Stop*6:])
	s := newSymbol(k, (len(words)+1)*11+13, 1, 0, quietCode)
	s.words = words
	x, dark := 0, true
	for _, c := range []byte(widths.String()) {
		for range c - '0' {
			s.set(x, 0, dark)
			x++
		}
		dark = !dark
	}
	return s, nil
}
