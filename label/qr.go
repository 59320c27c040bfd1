package label

import (
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// QR codes are made here and not by a library: one that mixes modes needs fewer modules (an address in bytes, then digits or capitals), and a thousand labels are drawn in a
// fraction of the time.

const qrLevels = "LMQH"

// Error correction codewords of a block, and blocks, of versions 1 to 40 at each level (ISO/IEC 18004, table 9).
var (
	qrECC = [4][40]int{
		{7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
		{10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28},
		{13, 22, 18, 26, 18, 24, 18, 22, 20, 24, 28, 26, 24, 20, 30, 24, 28, 28, 26, 30, 28, 30, 30, 30, 30, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
		{17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26, 28, 30, 24, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
	}
	qrBlocks = [4][40]int{
		{1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25},
		{1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49},
		{1, 1, 2, 2, 4, 4, 6, 6, 8, 8, 8, 10, 12, 16, 12, 17, 16, 18, 21, 20, 23, 23, 25, 27, 29, 34, 34, 35, 38, 40, 43, 45, 48, 51, 53, 56, 59, 62, 65, 68},
		{1, 1, 2, 4, 4, 4, 5, 6, 8, 8, 11, 11, 16, 16, 18, 16, 19, 21, 25, 25, 25, 34, 30, 32, 35, 37, 40, 42, 45, 48, 51, 54, 57, 60, 63, 66, 70, 74, 77, 81},
	}
)

// qrCodewords is how many codewords a version has in all.
func qrCodewords(version int) int {
	n := (16*version+128)*version + 64
	if version >= 2 {
		a := version/7 + 2
		n -= (25*a-10)*a - 55
		if version >= 7 {
			n -= 36
		}
	}
	return n / 8
}

// The modes, and the bits of their counts in versions 1 to 9, 10 to 26 and 27 to 40 (7.4.1, 7.4.3).
const (
	qrNumeric = iota
	qrAlpha
	qrByte
)

var (
	qrModeBits  = [3]int{1, 2, 4}
	qrCountBits = [3][3]int{{10, 9, 8}, {12, 11, 16}, {14, 13, 16}}
)

const qrLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

// qrRun is characters that are written in one mode.
type qrRun struct{ mode, from, to int }

// qrRuns splits the text into runs that need the fewest bits in a class of versions, and says how many. Costs are counted in sixths of a bit, since three digits take ten
// bits and two letters eleven.
func qrRuns(text string, class int) (runs []qrRun, bits int) {
	const far = 1 << 40
	type step struct{ from int8 }
	n := len(text)
	var head [3]int
	for m := range 3 {
		head[m] = (4 + qrCountBits[class][m]) * 6
	}
	way := make([][3]step, n) // the mode in which the character before was written
	cost := head
	whole := func(c int) int { return (c + 5) / 6 * 6 }
	for i := range n {
		c := text[i]
		next := [3]int{far, far, cost[qrByte] + 48}
		way[i] = [3]step{{qrNumeric}, {qrAlpha}, {qrByte}}
		if strings.IndexByte(qrLetters, c) >= 0 {
			next[qrAlpha] = cost[qrAlpha] + 33
		}
		if c >= '0' && c <= '9' {
			next[qrNumeric] = cost[qrNumeric] + 20
		}
		// cost[m] is what it takes to have m on before the character; after it, another mode may begin.
		cost = next
		for m := range 3 {
			for from := range 3 {
				if w := whole(next[from]) + head[m]; from != m && w < cost[m] {
					cost[m] = w
					way[i][m] = step{int8(from)}
				}
			}
		}
	}
	mode := 0
	for m := range 3 {
		if whole(cost[m]) < whole(cost[mode]) {
			mode = m
		}
	}
	bits = whole(cost[mode]) / 6
	// way[i][m]: with m on behind character i, the character was written in that mode.
	modes := make([]int, n)
	for i := n - 1; i >= 0; i-- {
		mode = int(way[i][mode].from)
		modes[i] = mode
	}
	for i, m := range modes {
		if len(runs) == 0 || runs[len(runs)-1].mode != m {
			runs = append(runs, qrRun{m, i, i})
		}
		runs[len(runs)-1].to = i + 1
	}
	return runs, bits
}

// bitRow collects bits, the highest first.
type bitRow struct {
	bytes []byte
	n     int
}

func (b *bitRow) add(v, n int) {
	for i := n - 1; i >= 0; i-- {
		if b.n%8 == 0 {
			b.bytes = append(b.bytes, 0)
		}
		b.bytes[b.n/8] |= byte(v >> i & 1 << (7 - b.n%8))
		b.n++
	}
}

// encodeQR makes a QR code of model 2, in the smallest version that takes the data.
func encodeQR(data string, o Options) (*Symbol, error) {
	name := strings.ToUpper(o.Level)
	if name == "" {
		name = "M"
	}
	level := strings.Index(qrLevels, name)
	if level < 0 || len(name) != 1 {
		return nil, problem.New(problem.BadValue, "%.20q is no level of error correction of QR: choose L (7 %%), M (15 %%), Q (25 %%) or H (30 %%)", "%.20q 不是 QR 纠错等级：可选 L（7%%）、M（15%%）、Q（25%%）或 H（30%%）", o.Level)
	}
	for class, last := range [...]int{9, 26, 40} {
		runs, need := qrRuns(data, class)
		for version := [...]int{1, 10, 27}[class]; version <= last; version++ {
			room := qrCodewords(version) - qrECC[level][version-1]*qrBlocks[level][version-1]
			if need > room*8 {
				continue
			}
			var b bitRow
			for _, r := range runs {
				qrWrite(&b, data[r.from:r.to], r.mode, class)
			}
			b.add(0, min(4, room*8-b.n))
			b.add(0, (8-b.n%8)%8)
			for pad := 0xec; b.n < room*8; pad ^= 0xec ^ 0x11 {
				b.add(pad, 8)
			}
			s := newSymbol(QR, version*4+17, version*4+17, 1, 4)
			s.Level, s.Version = name, strconv.Itoa(version)
			s.drawQR(qrCorrected(b.bytes, version, level), version, level)
			return s, nil
		}
	}
	return nil, tooLong(QR, data, qrCapacity(data, name))
}

func qrWrite(b *bitRow, text string, mode, class int) {
	b.add(qrModeBits[mode], 4)
	b.add(len(text), qrCountBits[class][mode])
	switch mode {
	case qrNumeric:
		for len(text) > 0 {
			n := min(3, len(text))
			v, _ := strconv.Atoi(text[:n])
			b.add(v, n*3+1)
			text = text[n:]
		}
	case qrAlpha:
		for ; len(text) >= 2; text = text[2:] {
			b.add(strings.IndexByte(qrLetters, text[0])*45+strings.IndexByte(qrLetters, text[1]), 11)
		}
		if text != "" {
			b.add(strings.IndexByte(qrLetters, text[0]), 6)
		}
	default:
		for _, c := range []byte(text) {
			b.add(int(c), 8)
		}
	}
}

// GF(256) by x⁸+x⁴+x³+x²+1, as annex A has it.
var qrExp, qrLog = func() (exp [510]byte, log [256]int) {
	x := 1
	for i := range 255 {
		exp[i], exp[i+255] = byte(x), byte(x)
		log[x] = i
		if x <<= 1; x > 255 {
			x ^= 0x11d
		}
	}
	return exp, log
}()

func qrMul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return qrExp[qrLog[a]+qrLog[b]]
}

// qrCorrected spreads the data over blocks, corrects each, and interleaves them (7.6).
func qrCorrected(data []byte, version, level int) []byte {
	all, blocks, ecc := qrCodewords(version), qrBlocks[level][version-1], qrECC[level][version-1]
	generator := make([]byte, ecc+1) // highest power first
	generator[0] = 1
	for i := range ecc {
		for j := i + 1; j > 0; j-- {
			generator[j] ^= qrMul(generator[j-1], qrExp[i])
		}
	}
	short := blocks - all%blocks
	size := all/blocks - ecc // of the data of a short block; the others have one more
	parts, tails := make([][]byte, blocks), make([][]byte, blocks)
	for i := range blocks {
		n := size
		if i >= short {
			n++
		}
		parts[i], data = data[:n], data[n:]
		rest := make([]byte, ecc)
		for _, d := range parts[i] {
			top := d ^ rest[0]
			copy(rest, rest[1:])
			rest[ecc-1] = 0
			for j := range rest {
				rest[j] ^= qrMul(top, generator[j+1])
			}
		}
		tails[i] = rest
	}
	out := make([]byte, 0, all)
	for k := range size + 1 {
		for _, p := range parts {
			if k < len(p) {
				out = append(out, p[k])
			}
		}
	}
	for k := range ecc {
		for _, t := range tails {
			out = append(out, t[k])
		}
	}
	return out
}

// drawQR places the patterns and the codewords, tries all masks, and keeps the one with the fewest penalty points (7.3, 7.7 to 7.10).
func (s *Symbol) drawQR(words []byte, version, level int) {
	n := s.Width
	fixed := make([]bool, n*n)
	put := func(x, y int, v bool) { s.dark[y*n+x], fixed[y*n+x] = v, true }
	for i := range n {
		put(6, i, i%2 == 0)
		put(i, 6, i%2 == 0)
	}
	for _, c := range [...][2]int{{3, 3}, {n - 4, 3}, {3, n - 4}} {
		for dy := -4; dy <= 4; dy++ {
			for dx := -4; dx <= 4; dx++ {
				if x, y := c[0]+dx, c[1]+dy; x >= 0 && y >= 0 && x < n && y < n {
					ring := max(dx, -dx, dy, -dy)
					put(x, y, ring != 2 && ring != 4)
				}
			}
		}
	}
	places := qrAlignment(version)
	for i, y := range places {
		for j, x := range places {
			last := len(places) - 1
			if i == 0 && (j == 0 || j == last) || i == last && j == 0 {
				continue // a finder pattern is there
			}
			for dy := -2; dy <= 2; dy++ {
				for dx := -2; dx <= 2; dx++ {
					put(x+dx, y+dy, max(dx, -dx, dy, -dy) != 1)
				}
			}
		}
	}
	if version >= 7 {
		rest := version
		for range 12 {
			rest = rest<<1 ^ rest>>11*0x1f25
		}
		bits := version<<12 | rest
		for i := range 18 {
			a, b := n-11+i%3, i/3
			put(a, b, bits>>i&1 == 1)
			put(b, a, bits>>i&1 == 1)
		}
	}
	format := func(mask int) {
		v := [...]int{1, 0, 3, 2}[level]<<3 | mask
		rest := v
		for range 10 {
			rest = rest<<1 ^ rest>>9*0x537
		}
		bits := (v<<10 | rest) ^ 0x5412
		for i := range 15 {
			dark := bits>>i&1 == 1
			switch {
			case i < 6:
				put(8, i, dark)
			case i < 8:
				put(8, i+1, dark)
			case i == 8:
				put(7, 8, dark)
			default:
				put(14-i, 8, dark)
			}
			if i < 8 {
				put(n-1-i, 8, dark)
			} else {
				put(8, n-15+i, dark)
			}
		}
		put(8, n-8, true)
	}
	format(0)
	bit := 0
	for right := n - 1; right >= 1; right -= 2 {
		if right == 6 {
			right = 5
		}
		up := (right+1)&2 == 0
		for i := range n {
			y := i
			if up {
				y = n - 1 - i
			}
			for x := right; x >= right-1; x-- {
				if !fixed[y*n+x] {
					if bit < len(words)*8 {
						s.dark[y*n+x] = words[bit/8]>>(7-bit%8)&1 == 1
					}
					bit++
				}
			}
		}
	}
	mask := func(m int) {
		for y := range n {
			for x := range n {
				if fixed[y*n+x] {
					continue
				}
				var flip bool
				switch m {
				case 0:
					flip = (x+y)%2 == 0
				case 1:
					flip = y%2 == 0
				case 2:
					flip = x%3 == 0
				case 3:
					flip = (x+y)%3 == 0
				case 4:
					flip = (x/3+y/2)%2 == 0
				case 5:
					flip = x*y%2+x*y%3 == 0
				case 6:
					flip = (x*y%2+x*y%3)%2 == 0
				default:
					flip = ((x+y)%2+x*y%3)%2 == 0
				}
				if flip {
					s.dark[y*n+x] = !s.dark[y*n+x]
				}
			}
		}
	}
	best, fewest := 0, 1<<30
	for m := range 8 {
		mask(m)
		format(m)
		if p := qrPenalty(s.dark, n); p < fewest {
			best, fewest = m, p
		}
		mask(m) // and off again
	}
	mask(best)
	format(best)
}

// qrAlignment is where the alignment patterns' middles are (annex E).
func qrAlignment(version int) []int {
	if version == 1 {
		return nil
	}
	count := version/7 + 2
	step := (version*8 + count*3 + 5) / (count*4 - 4) * 2
	out := make([]int, count)
	for i, at := count-1, version*4+10; i > 0; i, at = i-1, at-step {
		out[i] = at
	}
	out[0] = 6
	return out
}

// qrPenalty counts what makes a symbol hard to read (7.8.3): runs of one colour, blocks, what looks like a finder pattern, and too much of one colour.
func qrPenalty(dark []bool, n int) int {
	points, count := 0, 0
	for _, across := range [...]bool{true, false} {
		for a := range n {
			run, before := 0, false
			last := 0 // the eleven modules before, the newest lowest
			for b := range n {
				at := a*n + b
				if !across {
					at = b*n + a
				}
				v := dark[at]
				if b > 0 && v == before {
					run++
				} else {
					run, before = 1, v
				}
				if run == 5 {
					points += 3
				} else if run > 5 {
					points++
				}
				last = last << 1 & 0x7ff
				if v {
					last |= 1
					if across {
						count++
					}
				}
				if b >= 10 && (last == 0b10111010000 || last == 0b00001011101) {
					points += 40
				}
			}
		}
	}
	for y := range n - 1 {
		for x := range n - 1 {
			v := dark[y*n+x]
			if dark[y*n+x+1] == v && dark[(y+1)*n+x] == v && dark[(y+1)*n+x+1] == v {
				points += 3
			}
		}
	}
	off := count*20 - n*n*10
	if off < 0 {
		off = -off
	}
	return points + off/(n*n)*10
}

// qrCapacity is how many characters of the data's kind the largest QR code takes (table 7, version 40).
func qrCapacity(data, level string) int {
	at := strings.Index(qrLevels, level)
	switch qrMode(data) {
	case "numeric":
		return [...]int{7089, 5596, 3993, 3057}[at]
	case "alphanumeric":
		return [...]int{4296, 3391, 2420, 1852}[at]
	}
	return [...]int{2953, 2331, 1663, 1273}[at]
}

func qrMode(data string) string {
	mode := "numeric"
	for _, c := range []byte(data) {
		switch {
		case c >= '0' && c <= '9':
		case strings.IndexByte(qrLetters, c) >= 0:
			mode = "alphanumeric"
		default:
			return "byte"
		}
	}
	return mode
}
