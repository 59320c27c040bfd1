package label

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"

	xdraw "golang.org/x/image/draw"

	"github.com/fujie-id/fujie/problem"
)

// Resolutions of pictures, in dots per inch.
const (
	MinDPI = 72
	MaxDPI = 1200

	maxDots = 16 << 20
)

func checkDPI(dpi int, d *Drawing) error {
	if dpi < MinDPI || dpi > MaxDPI {
		return problem.New(problem.BadValue, "%d dots per inch are not between %d and %d: choose 203, 300 or 600", "%d 点每英寸不在 %d 与 %d 之间：请选择 203、300 或 600", dpi, MinDPI, MaxDPI)
	}
	if w, h := dots(d.Width, dpi), dots(d.Height, dpi); w*h > maxDots {
		return problem.New(problem.TooLarge, "a picture of %d × %d dots is over the limit of %d: choose fewer dots per inch", "%d × %d 点的图片超过上限 %d：请降低分辨率", w, h, maxDots)
	}
	return nil
}

// dots is a length in whole dots, at least one.
func dots(mm float64, dpi int) int { return max(1, int(math.Round(mm*float64(dpi)/25.4))) }

// Image draws the label with dpi dots per inch. Modules are whole dots, so that a symbol may be a little smaller or larger than in vectors. Errors: problem.BadValue,
// problem.TooLarge.
func (d *Drawing) Image(dpi int) (image.Image, error) {
	if err := checkDPI(dpi, d); err != nil {
		return nil, err
	}
	frame := image.Rect(0, 0, dots(d.Width, dpi), dots(d.Height, dpi))
	var out draw.Image = image.NewGray(frame)
	for i := range d.marks {
		if d.marks[i].kind == Picture {
			out = image.NewRGBA(frame)
		}
	}
	draw.Draw(out, frame, image.White, image.Point{}, draw.Src)
	for i := range d.marks {
		if err := d.marks[i].paint(out, dpi); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// paintTurned draws the mark upright, and then its dots where they belong.
func (m *mark) paintTurned(out draw.Image, dpi int) error {
	px := func(mm float64) int { return int(math.Round(mm * float64(dpi) / 25.4)) }
	box := image.Rect(px(m.left), px(m.top), px(m.left)+dots(m.wide, dpi), px(m.top)+dots(m.high, dpi))
	w, h := box.Dx(), box.Dy()
	if m.turn != 180 {
		w, h = h, w
	}
	own := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(own, own.Bounds(), image.White, image.Point{}, draw.Src)
	upright := *m
	upright.turn = 0
	if err := upright.paint(own, dpi); err != nil {
		return err
	}
	in := out.Bounds()
	for y := range h {
		for x := range w {
			c := own.RGBAAt(x, y)
			if c == (color.RGBA{255, 255, 255, 255}) {
				continue
			}
			at := box.Min.Add(image.Pt(w-1-x, h-1-y))
			switch m.turn {
			case 90:
				at = box.Min.Add(image.Pt(h-1-y, x))
			case 270:
				at = box.Min.Add(image.Pt(y, w-1-x))
			}
			if at.In(in) {
				out.Set(at.X, at.Y, c)
			}
		}
	}
	return nil
}

func (m *mark) paint(out draw.Image, dpi int) error {
	if m.turn != 0 {
		return m.paintTurned(out, dpi)
	}
	px := func(mm float64) int { return int(math.Round(mm * float64(dpi) / 25.4)) }
	fill := func(x0, y0, x1, y1 int) {
		draw.Draw(out, image.Rect(x0, y0, max(x1, x0+1), max(y1, y0+1)), image.Black, image.Point{}, draw.Src)
	}
	switch m.kind {
	case Rect:
		x0, y0, x1, y1, s := px(m.x), px(m.y), px(m.x+m.w), px(m.y+m.h), max(1, px(m.stroke))
		if m.filled {
			fill(x0, y0, x1, y1)
			break
		}
		fill(x0, y0, x1, y0+s)
		fill(x0, y1-s, x1, y1)
		fill(x0, y0, x0+s, y1)
		fill(x1-s, y0, x1, y1)
	case Line:
		if m.w == 0 || m.h == 0 { // straight
			s := max(1, px(m.stroke))
			x0, y0 := px(m.x-boolTo(m.w == 0, m.stroke/2)), px(m.y-boolTo(m.h == 0, m.stroke/2))
			x1, y1 := x0+s, y0+s
			if m.w > 0 {
				x1 = px(m.x + m.w)
			} else {
				y1 = px(m.y + m.h)
			}
			fill(x0, y0, x1, y1)
			break
		}
		k := float64(dpi) / 25.4
		length := math.Hypot(m.w, m.h)
		dx, dy := -m.h/length*m.stroke/2*k, m.w/length*m.stroke/2*k
		b := out.Bounds()
		v := vector.NewRasterizer(b.Dx(), b.Dy())
		x0, y0, x1, y1 := m.x*k, m.y*k, (m.x+m.w)*k, (m.y+m.h)*k
		x0, y0, x1, y1 = x0-float64(b.Min.X), y0-float64(b.Min.Y), x1-float64(b.Min.X), y1-float64(b.Min.Y)
		v.MoveTo(float32(x0+dx), float32(y0+dy))
		v.LineTo(float32(x1+dx), float32(y1+dy))
		v.LineTo(float32(x1-dx), float32(y1-dy))
		v.LineTo(float32(x0-dx), float32(y0-dy))
		v.ClosePath()
		v.Draw(out, b, image.Black, image.Point{})
	case Text:
		return m.letters(out, dpi)
	case Picture:
		src, _, err := image.Decode(bytes.NewReader(m.image))
		if err != nil {
			return problem.Wrap(err, problem.BadValue, "an image is damaged: export it again", "图片已损坏：请重新导出")
		}
		x, y, w, h := m.inside(src.Bounds().Dx(), src.Bounds().Dy())
		xdraw.CatmullRom.Scale(out, image.Rect(px(x), px(y), px(x+w), px(y+h)), src, src.Bounds(), xdraw.Over, nil)
	case Barcode:
		s := m.symbol
		exact := m.module * float64(dpi) / 25.4
		module := wholeDots(exact)
		row := module * s.RowHeight
		if s.RowHeight == 0 {
			row = max(1, px(m.h))
		}
		x0 := px(m.x) + (px(m.x+m.w)-px(m.x)-module*s.Width)/2
		y0 := px(m.y) + (px(m.y+m.h)-px(m.y)-row*s.Height)/2
		if b := out.Bounds(); exact < 0.95 || !image.Rect(x0, y0, x0+module*s.Width, y0+row*s.Height).In(b) {
			return problem.New(problem.BadValue, "at %d dots per inch a module of %.3f mm is less than a dot, or does not come out whole: choose more dots per inch, or a larger module", "在 %d 点每英寸下 %.3f 毫米的模块不足一点或不成整点：请提高分辨率或放大模块", dpi, m.module)
		}
		for b := range s.Boxes() {
			fill(x0+b.X*module, y0+b.Y*row, x0+(b.X+b.W)*module, y0+(b.Y+b.H)*row)
		}
	}
	return nil
}

// wholeDots is a module in whole dots: as many as go in it, or one more when that is at most a fortieth too much, which the quiet zone bears.
func wholeDots(exact float64) int { return max(1, int(exact*1.025+0.001)) }

func boolTo(b bool, v float64) float64 {
	if b {
		return v
	}
	return 0
}

// inside is the place of a picture of so many pixels in the mark's box, its shape kept.
func (m *mark) inside(w, h int) (x, y, width, height float64) {
	k := min(m.w/float64(w), m.h/float64(h))
	width, height = float64(w)*k, float64(h)*k
	return m.x + (m.w-width)/2, m.y + (m.h-height)/2, width, height
}

// letters draws a line of text.
func (m *mark) letters(out draw.Image, dpi int) error {
	t, err := openFace()
	if err != nil {
		return err
	}
	size := m.size * float64(dpi) / 25.4
	face, err := opentype.NewFace(t.sfnt, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the font cannot be used at this size", "无法使用此字号")
	}
	defer face.Close()
	k := float64(dpi) / 25.4
	at := func(dx float64) fixed.Point26_6 {
		return fixed.Point26_6{X: fixed.Int26_6(math.Round((m.x*k + dx) * 64)), Y: fixed.Int26_6(math.Round(m.y * k * 64))}
	}
	offsets := []float64{0}
	if m.bold {
		offsets = []float64{-size * 0.018, 0, size * 0.018}
	}
	for _, dx := range offsets {
		(&font.Drawer{Dst: out, Src: image.NewUniform(color.Black), Face: face, Dot: at(dx)}).DrawString(m.text)
	}
	return nil
}

// PNG writes the label as a picture with dpi dots per inch, which the file says, so that it prints in its size. Errors as of Image.
func (d *Drawing) PNG(w io.Writer, dpi int) error {
	im, err := d.Image(dpi)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, im); err != nil {
		return problem.Wrap(err, problem.Internal, "the picture could not be made", "无法生成图片")
	}
	// The chunk pHYs goes behind the header, which is 8 bytes of signature and 25 of IHDR.
	const head = 33
	chunk := make([]byte, 21)
	binary.BigEndian.PutUint32(chunk, 9)
	copy(chunk[4:], "pHYs")
	perMetre := uint32(math.Round(float64(dpi) / 0.0254))
	binary.BigEndian.PutUint32(chunk[8:], perMetre)
	binary.BigEndian.PutUint32(chunk[12:], perMetre)
	chunk[16] = 1
	binary.BigEndian.PutUint32(chunk[17:], crc32.ChecksumIEEE(chunk[4:17]))
	all := b.Bytes()
	for _, part := range [][]byte{all[:head], chunk, all[head:]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
