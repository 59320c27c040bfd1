// Package label draws and prints codes: a label is designed once (its size, its texts, its symbols), and then comes out
// for one thing or for a roll of ten thousand, as SVG, PNG, PDF sheets or in the language of label printers (ZPL). It says
// beforehand whether a symbol will scan at the size that was chosen, and what to change when it will not.
package label

import (
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// Kind is a symbology.
type Kind string

// The symbologies.
const (
	QR            Kind = "qr"             // ISO/IEC 18004
	DataMatrix    Kind = "datamatrix"     // ISO/IEC 16022, ECC 200
	GS1DataMatrix Kind = "gs1-datamatrix" // the same with FNC1 in first position
	Code128       Kind = "code128"        // ISO/IEC 15417
	GS1128        Kind = "gs1-128"        // the same with FNC1 in first position
	PDF417        Kind = "pdf417"         // ISO/IEC 15438
)

// Kinds is all of them.
var Kinds = []Kind{QR, DataMatrix, GS1DataMatrix, Code128, GS1128, PDF417}

// Linear reports whether the kind is bars of one row, as high as there is room.
func (k Kind) Linear() bool { return k == Code128 || k == GS1128 }

// GS1 reports whether the kind holds GS1 element strings.
func (k Kind) GS1() bool { return k == GS1DataMatrix || k == GS1128 }

// Symbol is modules, dark or light, without their quiet zone.
type Symbol struct {
	Kind          Kind
	Width, Height int // in modules across, in rows down
	// RowHeight is how many modules a row is high: 1 for matrix symbols, 3 for PDF417, 0 for bars, which are as high as there is room.
	RowHeight int
	Quiet     int // modules that must stay light on each side; for bars left and right only
	// Level is the level of error correction: L M Q H of QR, 0 to 8 of PDF417; else empty.
	Level string
	// Version is the symbol's size as its standard names it: 1 to 40 of QR, "24x24" of Data Matrix.
	Version string

	dark  []bool
	words []int // Code 128: the symbol characters without check and stop
}

func newSymbol(k Kind, width, height, rowHeight, quiet int) *Symbol {
	return &Symbol{Kind: k, Width: width, Height: height, RowHeight: rowHeight, Quiet: quiet, dark: make([]bool, width*height)}
}

// At reports whether the module is dark; those beyond the edge are light.
func (s *Symbol) At(x, y int) bool {
	return x >= 0 && y >= 0 && x < s.Width && y < s.Height && s.dark[y*s.Width+x]
}

func (s *Symbol) set(x, y int, v bool) { s.dark[y*s.Width+x] = v }

// Box is dark modules that form a rectangle: x, y, width and height in modules across and rows down.
type Box struct{ X, Y, W, H int }

// Boxes are rectangles that together cover the dark modules once: far fewer than there are modules.
func (s *Symbol) Boxes() iter.Seq[Box] {
	return func(yield func(Box) bool) {
		done := make([]bool, len(s.dark))
		for y := range s.Height {
			for x := 0; x < s.Width; x++ {
				if !s.dark[y*s.Width+x] || done[y*s.Width+x] {
					continue
				}
				w := 1
				for x+w < s.Width && s.dark[y*s.Width+x+w] && !done[y*s.Width+x+w] {
					w++
				}
				h := 1
			down:
				for ; y+h < s.Height; h++ {
					for i := range w {
						if at := (y+h)*s.Width + x + i; !s.dark[at] || done[at] {
							break down
						}
					}
				}
				for j := range h {
					for i := range w {
						done[(y+j)*s.Width+x+i] = true
					}
				}
				if !yield(Box{x, y, w, h}) {
					return
				}
				x += w - 1
			}
		}
	}
}

// Options are what a symbol can be asked for beside its data. The zero value is good.
type Options struct {
	// Level of error correction: L M Q H for QR (M when empty), 0 to 8 for PDF417 (by the amount of data when empty).
	Level string
	// Columns of data of a PDF417 symbol, 1 to 30; 0: so that it is about three times as wide as high.
	Columns int
	// Oblong lets a Data Matrix be a rectangle when that takes the data.
	Oblong bool
}

// MaxData is how many bytes of data are looked at, at most; no symbology holds more.
const MaxData = 7089

// Encode makes a symbol of data. The kinds of GS1 take an element string as it is printed, (01)09521234543213(21)A1, or as a scanner reports it, with the ASCII group
// separator for FNC1. Text that is not ASCII is UTF-8, and Data Matrix and PDF417 say so by ECI 26; in QR it stands as it is, as phones expect. Errors: problem.BadValue,
// problem.TooLarge.
func Encode(k Kind, data string, o Options) (*Symbol, error) {
	switch {
	case data == "":
		return nil, problem.New(problem.BadValue, "a symbol needs data: none came for it", "条码需要数据：此处数据为空")
	case len(data) > MaxData:
		return nil, tooLong(k, data, MaxData)
	case !utf8.ValidString(data):
		return nil, problem.New(problem.BadValue, "the data %.40q are not UTF-8: convert them first", "数据 %.40q 不是 UTF-8：请先转换编码", data)
	}
	switch k {
	case QR:
		return encodeQR(data, o)
	case DataMatrix:
		return encodeDataMatrix(data, nil, o)
	case PDF417:
		return encodePDF417(data, o)
	case Code128:
		return encodeCode128(k, []byte(data), nil)
	case GS1DataMatrix, GS1128:
		raw, err := elements(data)
		if err != nil {
			return nil, err
		}
		fnc1 := make([]bool, 0, len(raw)+1)
		text := append([]byte{0}, raw...)
		fnc1 = append(fnc1, true)
		for _, c := range []byte(raw) {
			fnc1 = append(fnc1, c == gs)
		}
		if k == GS1128 {
			if len(raw) > maxGS1128 {
				return nil, tooLong(k, raw, maxGS1128)
			}
			return encodeCode128(k, text, fnc1)
		}
		s, err := encodeDataMatrix(string(text), fnc1, o)
		if err == nil {
			s.Kind = k
		}
		return s, err
	}
	return nil, unknownKind(string(k))
}

func unknownKind(k string) error {
	var names []string
	for _, k := range Kinds {
		names = append(names, string(k))
	}
	list := strings.Join(names, ", ")
	return problem.New(problem.BadValue, "%.40q is no symbol: choose one of %s", "%.40q 不是条码类型：可选 %s", k, list)
}

func tooLong(k Kind, data string, most int) error {
	return problem.New(problem.TooLarge, "%s takes at most about %d of such characters, and the data have %d: shorten them, or choose another symbol", "%s 最多容纳约 %d 个此类字符，而数据有 %d 个：请缩短数据或换用其他条码",
		k, most, len(data))
}

func (s *Symbol) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", s.Kind, s.Version, s.Level)
	for y := range s.Height {
		for x := range s.Width {
			if s.At(x, y) {
				b.WriteString("██")
			} else {
				b.WriteString("  ")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
