package label

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"image"
	"image/draw"
	"io"
	"math"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// ZPL is what a run in ZPL II minds.
type ZPL struct {
	// Font is a font on the printer that has Chinese, as E:SIMSUN.TTF; empty: text that its font 0 cannot show is sent as a picture.
	Font string
	// Pictures sends symbols as pictures of their modules, for printers that know a symbology wrongly or not at all. What is printed is then exactly what a preview shows.
	Pictures bool
	// EPC, if not nil, is the memory to write to each label's tag from its PC word on, for printers with an RFID encoder.
	EPC func(f Fields) ([]byte, error)
	// Copies of each label; 1 if 0.
	Copies int
}

// WriteZPL writes the run in ZPL II, one format a label. Symbols are the printer's own (^BQ, ^BX, ^BC, ^B7) where it makes the same symbol, and pictures (^GF) elsewhere: data
// that are not ASCII in Data Matrix and PDF417, whose ECI printers do not write. Data and text are UTF-8 (^CI28), with everything that is not plain in hexadecimal (^FH).
// Errors: those of Draw, problem.BadValue.
func (p *Press) WriteZPL(ctx context.Context, w io.Writer, r Run) error {
	dpi := p.dpi(r, 203)
	if dpi < 150 || dpi > 600 {
		return problem.New(problem.BadValue, "label printers have 150 to 600 dots per inch, not %d: choose 203, 300 or 600", "标签打印机为 150 至 600 点每英寸，不能为 %d：请选择 203、300 或 600", dpi)
	}
	if r.ZPL.Font != "" && !goodFont(r.ZPL.Font) {
		return problem.New(problem.BadValue, "%.40q is no font of a printer: write a drive and a file, as E:SIMSUN.TTF", "%.40q 不是打印机字体：请写驱动器与文件名，如 E:SIMSUN.TTF", r.ZPL.Font)
	}
	if c := r.ZPL.Copies; c < 0 || c > 1000 {
		return problem.New(problem.BadValue, "%d copies are not between 1 and 1000", "份数 %d 不在 1 与 1000 之间", c)
	}
	b := bufio.NewWriter(w)
	kept := map[string]string{}
	err := p.each(ctx, &r, func(_ int, f Fields, d *Drawing) error {
		fmt.Fprintf(b, "^XA\n^CI28\n^PW%d\n^LL%d\n^LH0,0\n", dots(d.Width, dpi), dots(d.Height, dpi))
		for i := range d.marks {
			if err := d.marks[i].zpl(b, d, dpi, r.ZPL, kept); err != nil {
				return err
			}
		}
		if r.ZPL.EPC != nil {
			mem, err := r.ZPL.EPC(f)
			if err != nil {
				return err
			}
			line, err := rfidLine(mem)
			if err != nil {
				return err
			}
			b.WriteString(line)
		}
		fmt.Fprintf(b, "^PQ%d\n^XZ\n", max(1, r.ZPL.Copies))
		return nil
	})
	if err != nil {
		return err
	}
	return b.Flush()
}

func goodFont(s string) bool {
	if len(s) < 3 || len(s) > 24 || s[1] != ':' {
		return false
	}
	for i, c := range []byte(s) {
		if i != 1 && !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// rfidLine writes a tag's EPC memory from the PC word on, which is word 1 of bank 1.
func rfidLine(mem []byte) (string, error) {
	if len(mem) < 4 || len(mem)%2 != 0 || len(mem) > 64 {
		return "", problem.New(problem.BadValue, "%d bytes are no EPC memory: it has a PC word and 1 to 31 words behind it", "%d 字节不是 EPC 存储区内容：应为 PC 字及其后 1 至 31 字", len(mem))
	}
	return fmt.Sprintf("^RS8\n^RFW,H,1,%d,1^FD%s^FS\n", len(mem), strings.ToUpper(hex.EncodeToString(mem))), nil
}

// fieldData is text for ^FD behind ^FH\: letters, digits and what nobody minds as they are, everything else in hexadecimal.
func fieldData(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(" .,:;/-+*=()!?#%&@<>[]'\"|$_", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%02X`, c)
		}
	}
	return b.String()
}

func (m *mark) zpl(b *bufio.Writer, d *Drawing, dpi int, z ZPL, kept map[string]string) error {
	px := func(mm float64) int { return int(math.Round(mm * float64(dpi) / 25.4)) }
	x, y := px(m.x), px(m.y)
	if m.turn != 0 {
		return m.raster(b, d, dpi, kept)
	}
	switch m.kind {
	case Line:
		s := max(1, px(m.stroke))
		switch {
		case m.h == 0:
			fmt.Fprintf(b, "^FO%d,%d^GB%d,%d,%d^FS\n", x, max(0, y-s/2), max(s, px(m.w)), s, s)
		case m.w == 0:
			fmt.Fprintf(b, "^FO%d,%d^GB%d,%d,%d^FS\n", max(0, x-s/2), y, s, max(s, px(m.h)), s)
		default:
			fmt.Fprintf(b, "^FO%d,%d^GD%d,%d,%d,B,L^FS\n", x, y, max(3, px(m.w)), max(3, px(m.h)), s)
		}
	case Rect:
		s := max(1, px(m.stroke))
		if m.filled {
			s = max(1, min(px(m.w), px(m.h)))
		}
		fmt.Fprintf(b, "^FO%d,%d^GB%d,%d,%d^FS\n", x, y, max(s, px(m.w)), max(s, px(m.h)), s)
	case Text:
		size := max(8, px(m.size))
		plain := strings.IndexFunc(m.text, func(r rune) bool { return r < ' ' || r > '~' && (r < 0xa0 || r > 0xff) }) < 0
		switch {
		case plain && !z.Pictures:
			// Font 0 is narrower than ours, so that a line never goes beyond its place; it is centred in what ours takes when the text is.
			fmt.Fprintf(b, "^FT%d,%d^A0N,%d,%d", x, y, size, size)
		case z.Font != "" && !z.Pictures:
			fmt.Fprintf(b, "^FT%d,%d^A@N,%d,%d,%s", x, y, size, size, z.Font)
		default:
			return m.raster(b, d, dpi, kept)
		}
		text := m.text
		if m.align != "" && m.align != "left" {
			text = strings.ReplaceAll(text, `\`, `\\`)
			fmt.Fprintf(b, "^FB%d,1,0,%s,0", max(1, px(m.w)), map[string]string{"center": "C", "right": "R"}[m.align])
		}
		fmt.Fprintf(b, "^FH\\^FD%s^FS\n", fieldData(text))
	case Picture:
		return m.raster(b, d, dpi, kept)
	case Barcode:
		s := m.symbol
		exact := m.module * float64(dpi) / 25.4
		module := wholeDots(exact)
		if exact < 0.95 {
			return problem.New(problem.BadValue, "at %d dots per inch a module of %.3f mm is less than a dot: choose a larger module, or a finer printer", "在 %d 点每英寸下 %.3f 毫米的模块不足一点：请放大模块或换用更高分辨率的打印机", dpi, m.module)
		}
		// What whole dots leave over is on both sides.
		x += (px(m.x+m.w) - px(m.x) - module*s.Width) / 2
		ascii := strings.IndexFunc(m.data, func(r rune) bool { return r > 126 }) < 0
		switch {
		case z.Pictures:
		case s.Kind == QR && module <= 10:
			// The printer lets a QR code sink by the height of bars, which stays from the label before: one dot, and one dot less.
			y += (px(m.y+m.h) - px(m.y) - module*s.Height) / 2
			fmt.Fprintf(b, "^BY%d,3,1^FO%d,%d^BQN,2,%d^FH\\^FD%sA,%s^FS\n", module, x, max(0, y-1), module, s.Level, fieldData(m.data))
			return nil
		case (s.Kind == DataMatrix || s.Kind == GS1DataMatrix) && ascii && s.Width == s.Height:
			data := m.data
			if s.Kind == GS1DataMatrix {
				raw, err := elements(data)
				if err != nil {
					return err
				}
				data = "_1" + strings.ReplaceAll(strings.ReplaceAll(raw, "_", "__"), string(rune(gs)), "_1")
			} else {
				data = strings.ReplaceAll(data, "_", "__")
			}
			y += (px(m.y+m.h) - px(m.y) - module*s.Height) / 2
			fmt.Fprintf(b, "^FO%d,%d^BXN,%d,200,0,0,,_^FH\\^FD%s^FS\n", x, y, module, fieldData(data))
			return nil
		case s.Kind == PDF417 && ascii && !strings.Contains(m.data, `\`): // which would be a sign of its own there
			cols := (s.Width - 69) / 17
			fmt.Fprintf(b, "^BY%d,3^FO%d,%d^B7N,%d,%s,%d,%d,N^FH\\^FD%s^FS\n", module, x, y, module*s.RowHeight, s.Level, cols, s.Height, fieldData(m.data))
			return nil
		case s.Kind.Linear():
			if data, ok := s.bcData(); ok {
				fmt.Fprintf(b, "^BY%d,3^FO%d,%d^BCN,%d,N,N,N,N^FH\\^FD%s^FS\n", module, x, y, max(1, px(m.h)), data)
				return nil
			}
		}
		return m.raster(b, d, dpi, kept)
	}
	return nil
}

// bcData is the symbol's own characters as ^BC takes them in mode N, so that the printer makes the very same symbol; not where code set A is in use.
func (s *Symbol) bcData() (string, bool) {
	var b strings.Builder
	set := setB
	for i, w := range s.words {
		switch {
		case i == 0:
			set = w - 103
			b.WriteString([...]string{">9", ">:", ">;"}[set])
		case w == code128FNC1:
			b.WriteString(">8")
		case set == setC && w < 100:
			fmt.Fprintf(&b, "%02d", w)
		case w == 99:
			set = setC
			b.WriteString(">5")
		case w == 100:
			set = setB
			b.WriteString(">6")
		case w == '>'-32:
			b.WriteString(">0")
		case w == '^'-32:
			b.WriteString("><")
		case w == '~'-32:
			b.WriteString(">=")
		case w == 127-32:
			b.WriteString(">1")
		case w < 95 && set == setB:
			b.WriteString(fieldData(string(rune(w + 32))))
		default:
			return "", false
		}
		if set == setA {
			return "", false
		}
	}
	return b.String(), true
}

// raster sends the mark as a picture of its dots; kept are those of labels before.
func (m *mark) raster(b *bufio.Writer, d *Drawing, dpi int, kept map[string]string) error {
	if m.kind == Barcode {
		return m.dotted(b, d, dpi)
	}
	// Names and logos are the same on label after label.
	key := fmt.Sprint(m.kind, m.id, m.x, m.y, m.w, m.h, m.stroke, m.filled, m.size, m.bold, m.turn, m.left, m.top, m.wide, m.high, m.text)
	if kept[key] == "" {
		var one strings.Builder
		w := bufio.NewWriter(&one)
		if err := m.dotted(w, d, dpi); err != nil {
			return err
		}
		w.Flush()
		if len(kept) >= 256 {
			clear(kept)
		}
		kept[key] = one.String()
	}
	b.WriteString(kept[key])
	return nil
}

func (m *mark) dotted(b *bufio.Writer, d *Drawing, dpi int) error {
	if err := checkDPI(dpi, d); err != nil {
		return err
	}
	all := image.Rect(0, 0, dots(d.Width, dpi), dots(d.Height, dpi))
	k := float64(dpi) / 25.4
	box := image.Rect(int(m.x*k)-8, int(m.y*k)-8, int((m.x+m.w)*k)+9, int((m.y+m.h)*k)+9)
	if m.kind == Text {
		box = image.Rect(int(m.x*k)-2, int((m.y-m.size)*k)-2, int((m.x+m.w)*k)+3, int((m.y+m.size*0.3)*k)+2)
	}
	if m.turn != 0 {
		box = image.Rect(int(m.left*k)-2, int(m.top*k)-2, int((m.left+m.wide)*k)+3, int((m.top+m.high)*k)+3)
	}
	box = box.Intersect(all)
	if box.Empty() {
		return nil
	}
	canvas := image.NewGray(box)
	draw.Draw(canvas, box, image.White, image.Point{}, draw.Src)
	if err := m.paint(canvas, dpi); err != nil {
		return err
	}
	per := (box.Dx() + 7) / 8
	rows := make([][]byte, box.Dy())
	for y := range rows {
		rows[y] = make([]byte, per)
		for x := range box.Dx() {
			if canvas.Pix[y*canvas.Stride+x] < 128 {
				rows[y][x/8] |= 0x80 >> (x % 8)
			}
		}
	}
	fmt.Fprintf(b, "^FO%d,%d^GFA,%d,%d,%d,", box.Min.X, box.Min.Y, per*len(rows), per*len(rows), per)
	var before string
	for _, row := range rows {
		line := packRow(row)
		if line == before {
			b.WriteByte(':')
			continue
		}
		b.WriteString(line)
		before = line
	}
	b.WriteString("^FS\n")
	return nil
}

// packRow is a row of dots in hexadecimal with runs counted, as ^GF has it: G to Y are 1 to 19 of the next digit, g to z 20 to 400, and a comma ends a row whose rest is light.
func packRow(row []byte) string {
	digits := strings.ToUpper(hex.EncodeToString(row))
	body := strings.TrimRight(digits, "0")
	var b strings.Builder
	for i := 0; i < len(body); {
		n := 1
		for i+n < len(body) && body[i+n] == body[i] {
			n++
		}
		left := n
		if n > 2 {
			for ; left >= 20; left -= min(left/20, 20) * 20 {
				b.WriteByte(byte('g' + min(left/20, 20) - 1))
			}
			if left > 0 {
				b.WriteByte(byte('G' + left - 1))
			}
			b.WriteByte(body[i])
		} else {
			b.WriteString(body[i : i+n])
		}
		i += n
	}
	if len(body) < len(digits) {
		b.WriteByte(',')
	}
	return b.String()
}
