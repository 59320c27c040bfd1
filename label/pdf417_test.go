package label

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"math/big"
	"math/bits"
	"testing"

	boombuler "github.com/boombuler/barcode/pdf417"
)

// TestPatterns holds the table of codewords against the rules that ISO/IEC 15438, 5.3.1 makes them by: 17 modules, 4 bars and 4 spaces of 1 to 6, cluster
// (b1 - b2 + b3 - b4 + 9) mod 9, and no two alike.
func TestPatterns(t *testing.T) {
	seen := map[int]bool{}
	for cluster := range 3 {
		for w := range 929 {
			p := pdfPattern(cluster, w)
			var widths []int
			for i, last := 16, -1; i >= 0; i-- {
				if b := p >> i & 1; b != last {
					widths, last = append(widths, 0), b
				}
				widths[len(widths)-1]++
			}
			ok := len(widths) == 8 && !seen[p] && p>>16 == 1
			for _, n := range widths {
				ok = ok && n >= 1 && n <= 6
			}
			if !ok || (widths[0]-widths[2]+widths[4]-widths[6]+9)%9 != cluster*3 {
				t.Fatalf("cluster %d codeword %d: %b", cluster*3, w, p)
			}
			seen[p] = true
		}
	}
}

// TestPatternsElsewhere finds the codewords of another encoder's symbols in the table, each in the cluster of its row.
func TestPatternsElsewhere(t *testing.T) {
	code, err := boombuler.Encode("88.118.1001/ABC-12 and some more text 1234567890123456789", 3)
	if err != nil {
		t.Fatal(err)
	}
	b := code.Bounds()
	for y := 0; y < b.Dy(); y += 2 {
		for x := 17; x+17 < b.Dx()-18; x += 17 {
			p := 0
			for i := range 17 {
				r, _, _, _ := code.At(b.Min.X+x+i, b.Min.Y+y).RGBA()
				p = p<<1 | 1
				if r != 0 {
					p--
				}
			}
			found := false
			for w := range 929 {
				found = found || pdfPattern(y/2%3, w) == p
			}
			if !found {
				t.Fatalf("row %d: %b", y/2, p)
			}
		}
	}
}

// scanPDF417 reads a symbol that stands straight: rows by their indicators, Reed–Solomon by its syndromes, then the modes of 5.4. It shares nothing with the encoder but the
// table of patterns.
func scanPDF417(im image.Image) (string, error) {
	b := im.Bounds()
	dark := func(x, y int) bool { r, _, _, _ := im.At(x, y).RGBA(); return r < 0x8000 }
	box := image.Rectangle{Min: image.Pt(1<<30, 1<<30)}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if dark(x, y) {
				box.Min.X, box.Min.Y, box.Max.X, box.Max.Y = min(box.Min.X, x), min(box.Min.Y, y), max(box.Max.X, x+1), max(box.Max.Y, y+1)
			}
		}
	}
	first := 0
	for dark(box.Min.X+first, (box.Min.Y+box.Max.Y)/2) {
		first++
	}
	module := float64(first) / 8 // the start pattern begins with eight
	cols := int((float64(box.Dx())/module-69)/17 + 0.5)
	if cols < 1 || cols > 30 {
		return "", fmt.Errorf("%d dots wide, the first bar %d", box.Dx(), first)
	}
	width := 17*cols + 69
	module = float64(box.Dx()) / float64(width)
	at := map[int][2]int{}
	for c := range 3 {
		for w := range 929 {
			at[pdfPattern(c, w)] = [2]int{c, w}
		}
	}
	var rows [][]int
	last := -1
	rowCount, level := 0, 0
	for y := box.Min.Y; y < box.Max.Y; y++ {
		read := func(i int) ([2]int, bool) {
			p := 0
			for k := range 17 {
				p <<= 1
				if dark(box.Min.X+int((float64(i*17+k)+0.5)*module), y) {
					p |= 1
				}
			}
			w, ok := at[p]
			if bits.OnesCount(uint(p)) == 0 {
				ok = false
			}
			return w, ok
		}
		left, ok := read(1)
		right, ok2 := read(cols + 2)
		if !ok || !ok2 {
			return "", fmt.Errorf("line %d: no indicators", y)
		}
		row := left[1]/30*3 + left[0]
		if right[1]/30*3+right[0] != row {
			return "", fmt.Errorf("line %d: indicators of rows %d", y, row)
		}
		switch left[0] {
		case 0:
			rowCount = rowCount&^0xff0 | left[1]%30<<4
		case 1:
			rowCount, level = rowCount&^0xf|left[1]%30%3, left[1]%30/3
		case 2:
			if left[1]%30 != cols-1 {
				return "", fmt.Errorf("the indicator says %d columns", left[1]%30+1)
			}
		}
		if row == last {
			continue
		}
		if row != last+1 {
			return "", fmt.Errorf("row %d behind %d", row, last)
		}
		last = row
		var words []int
		for i := range cols {
			w, ok := read(2 + i)
			if !ok || w[0] != row%3 {
				return "", fmt.Errorf("row %d: no codeword at %d", row, i)
			}
			words = append(words, w[1])
		}
		rows = append(rows, words)
	}
	if n := rowCount>>4*3 + rowCount&0xf + 1; n != len(rows) {
		return "", fmt.Errorf("%d rows, and the indicators say %d", len(rows), n)
	}
	var all []int
	for _, r := range rows {
		all = append(all, r...)
	}
	ecc := 2 << level
	root := 1
	for range ecc {
		root = root * 3 % 929
		sum := 0
		for _, w := range all {
			sum = (sum*root + w) % 929
		}
		if sum != 0 {
			return "", errors.New("the syndromes are not zero")
		}
	}
	if all[0] != len(all)-ecc {
		return "", fmt.Errorf("%d codewords of data, and the descriptor says %d", len(all)-ecc, all[0])
	}
	return readPDF417(all[1:all[0]])
}

func readPDF417(w []int) (string, error) {
	var out bytes.Buffer
	mode, set, shift := 900, 0, -1
	value := func(v int) error {
		now := set
		if shift >= 0 {
			now, shift = shift, -1
		}
		const mixed, punct = "0123456789&\r\t,:#-.$/+%*=^", ";<>@[\\]_`~!\r\t,:\n-.$/\"|*()?{}'"
		switch {
		case now < 3 && v == 26:
			out.WriteByte(' ')
		case now == 0 && v < 26:
			out.WriteByte(byte('A' + v))
		case now == 1 && v < 26:
			out.WriteByte(byte('a' + v))
		case now == 2 && v < 25:
			out.WriteByte(mixed[v])
		case now == 3 && v < 29:
			out.WriteByte(punct[v])
		case now == 0 && v == 27, now == 2 && v == 27:
			set = 1
		case now == 0 && v == 28, now == 1 && v == 28:
			set = 2
		case now == 2 && v == 28, now == 3 && v == 29:
			set = 0
		case now == 2 && v == 25:
			set = 3
		case now < 3 && v == 29:
			shift = 3
		case now == 1 && v == 27:
			shift = 0
		default:
			return fmt.Errorf("value %d in set %d", v, now)
		}
		return nil
	}
	for i := 0; i < len(w); {
		if c := w[i]; c >= 900 {
			switch c {
			case 900, 901, 902, 924:
				mode, set, shift = c, 0, -1
				i++
			case 927:
				if w[i+1] != 26 {
					return "", fmt.Errorf("ECI %d", w[i+1])
				}
				i += 2
			default:
				return "", fmt.Errorf("codeword %d", c)
			}
			continue
		}
		end := i
		for end < len(w) && w[end] < 900 {
			end++
		}
		part := w[i:end]
		i = end
		switch mode {
		case 900:
			for _, c := range part {
				if err := errors.Join(value(c/30), value(c%30)); err != nil {
					return "", err
				}
			}
		case 902:
			for len(part) > 0 {
				n := min(15, len(part))
				v := new(big.Int)
				for _, c := range part[:n] {
					v.Add(v.Mul(v, big.NewInt(900)), big.NewInt(int64(c)))
				}
				out.WriteString(v.String()[1:])
				part = part[n:]
			}
		default:
			for len(part) > 5 || mode == 924 && len(part) == 5 {
				v := int64(0)
				for _, c := range part[:5] {
					v = v*900 + int64(c)
				}
				for s := 40; s >= 0; s -= 8 {
					out.WriteByte(byte(v >> s))
				}
				part = part[5:]
			}
			for _, c := range part {
				out.WriteByte(byte(c))
			}
		}
	}
	return out.String(), nil
}
