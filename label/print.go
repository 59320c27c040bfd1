package label

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"iter"
	"strconv"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/fujie-id/fujie/problem"
)

// Run is a print run: which things get labels, and how.
type Run struct {
	// Things are the fields of each thing, in order; an error ends the run.
	Things iter.Seq2[Fields, error]
	// Skip is how many places of the first sheet are used up already.
	Skip int
	// DPI of pictures and label printers; that of the design when 0, and 203 or, for pictures, 300 without one.
	DPI int
	// Made is the time in the file; the zero time says none.
	Made time.Time
	// Progress, if not nil, hears how many labels are drawn, after each.
	Progress func(done int)
	// ZPL is what only label printers mind.
	ZPL ZPL
}

// MaxRun is how many labels a run has at most.
const MaxRun = 10_000

// each draws the labels one after another.
func (p *Press) each(ctx context.Context, r *Run, do func(n int, f Fields, d *Drawing) error) error {
	n := 0
	for f, err := range r.Things {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if n == MaxRun {
			return problem.New(problem.TooLarge, "a run has at most %d labels: print in several runs", "一次最多打印 %d 张标签：请分批打印", MaxRun)
		}
		n++
		with := Fields{"n": itoa(n)}
		for k, v := range f {
			with[k] = v
		}
		d, err := p.Draw(with)
		if err == nil {
			err = do(n, with, d)
		}
		if err != nil {
			return err
		}
		if r.Progress != nil {
			r.Progress(n)
		}
	}
	if n == 0 {
		return problem.New(problem.BadRequest, "nothing was named to print labels for: name at least one identifier", "没有要打印的对象：请至少给出一个标识")
	}
	return nil
}

// PDF writes the run on the sheets of the design, or one label a page. Symbols and lines are vectors. Nothing is written before the last label is drawn, so that a file never
// breaks off. Errors: those of Draw, problem.TooLarge over MaxRun.
func (p *Press) PDF(ctx context.Context, w io.Writer, r Run) error {
	d := p.design
	width, height, rows, columns := d.page()
	f := fpdf.NewCustom(&fpdf.InitType{OrientationStr: "P", UnitStr: "mm", Size: fpdf.SizeType{Wd: width, Ht: height}})
	f.SetCompression(true)
	if !r.Made.IsZero() {
		f.SetCreationDate(r.Made)
		f.SetModificationDate(r.Made)
	}
	f.SetCatalogSort(true)
	f.SetCreator("Fujie 符节", true)
	f.SetMargins(0, 0, 0)
	f.SetAutoPageBreak(false, 0)
	f.AddUTF8FontFromBytes("f", "", p.face.ttf)
	places := rows * columns
	at := max(0, r.Skip) % places
	page := false
	err := p.each(ctx, &r, func(n int, _ Fields, x *Drawing) error {
		if !page || at == places {
			f.AddPage()
			if at == places {
				at = 0
			}
			page = true
		}
		left, top := 0.0, 0.0
		if places > 1 || d.Sheet.Paper != "" && d.Sheet.Paper != "roll" {
			left = d.Sheet.Left + float64(at%columns)*(d.Width+d.Sheet.GapX)
			top = d.Sheet.Top + float64(at/columns)*(d.Height+d.Sheet.GapY)
			if d.Sheet.Marks {
				f.SetDrawColor(170, 170, 170)
				f.SetLineWidth(0.1)
				f.Rect(left, top, d.Width, d.Height, "D")
			}
		}
		at++
		for i := range x.marks {
			x.marks[i].print(f, left, top, height)
		}
		return f.Error()
	})
	if err != nil {
		return err
	}
	if err := f.Output(w); err != nil {
		return problem.Wrap(err, problem.Internal, "the sheets could not be written", "无法写出标签页")
	}
	return nil
}

func (m *mark) print(f *fpdf.Fpdf, left, top, page float64) {
	if m.turn != 0 {
		// The library remembers fonts, and would not set one again that is set within the turn.
		if m.kind == Text {
			f.SetFont("f", "", m.size/point)
		}
		n := func(v float64) string { return strconv.FormatFloat(v/point, 'f', 4, 64) }
		x0, y0, x1, y1 := left+m.left, top+m.top, left+m.left+m.wide, top+m.top+m.high
		f.RawWriteStr("q " + map[int]string{
			90:  "0 -1 1 0 " + n(x1-page) + " " + n(page-y0),
			180: "-1 0 0 -1 " + n(x1) + " " + n(2*page-y1),
			270: "0 1 -1 0 " + n(x0+page) + " " + n(page-y1),
		}[m.turn] + " cm")
		upright := *m
		upright.turn = 0
		upright.print(f, 0, 0, page)
		f.RawWriteStr("Q")
		return
	}
	x, y := left+m.x, top+m.y
	switch m.kind {
	case Line:
		f.SetDrawColor(0, 0, 0)
		f.SetLineWidth(m.stroke)
		f.Line(x, y, x+m.w, y+m.h)
	case Rect:
		f.SetDrawColor(0, 0, 0)
		f.SetFillColor(0, 0, 0)
		if m.filled {
			f.Rect(x, y, m.w, m.h, "F")
			break
		}
		f.SetLineWidth(m.stroke)
		f.Rect(x+m.stroke/2, y+m.stroke/2, m.w-m.stroke, m.h-m.stroke, "D")
	case Text:
		f.SetFont("f", "", m.size/point)
		f.SetTextColor(0, 0, 0)
		if m.bold {
			f.SetDrawColor(0, 0, 0)
			f.SetLineWidth(m.size * 0.036)
			f.SetTextRenderingMode(2)
		}
		f.Text(x, y, m.text)
		if m.bold {
			f.SetTextRenderingMode(0)
		}
	case Picture:
		name := "image" + itoa(m.id)
		o := fpdf.ImageOptions{ImageType: m.format}
		info := f.GetImageInfo(name)
		if info == nil {
			info = f.RegisterImageOptionsReader(name, o, bytes.NewReader(m.image))
		}
		if info != nil && f.Ok() {
			x0, y0, w, h := m.inside(max(1, int(info.Width()*1000)), max(1, int(info.Height()*1000)))
			f.ImageOptions(name, left+x0, top+y0, w, h, false, o, 0, "")
		}
	case Barcode:
		// In the symbol's own units, modules and rows, so that every number is whole and short.
		var b bytes.Buffer
		n := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
		row := m.h / float64(m.symbol.Height)
		fmt.Fprintf(&b, "q 0 g %s 0 0 -%s %s %s cm", n(m.module/point), n(row/point), n(x/point), n((page-y)/point))
		for x := range m.symbol.Boxes() {
			fmt.Fprintf(&b, "\n%d %d %d %d re", x.X, x.Y, x.W, x.H)
		}
		b.WriteString("\nf Q")
		f.RawWriteStr(b.String())
	}
}

// Zip writes the run as one archive of pictures, svg or png, named by their number and identifier; for one label too.
func (p *Press) Zip(ctx context.Context, w io.Writer, format string, r Run) error {
	if format != "svg" && format != "png" {
		return problem.New(problem.BadValue, "%.20q is no picture: choose svg or png", "%.20q 不是图片格式：可选 svg 或 png", format)
	}
	z := zip.NewWriter(w)
	err := p.each(ctx, &r, func(n int, f Fields, d *Drawing) error {
		file, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%05d-%s.%s", n, fileName(f["id"]), format), Method: zip.Deflate, Modified: r.Made})
		if err != nil {
			return err
		}
		if format == "svg" {
			return d.SVG(file)
		}
		return d.PNG(file, p.dpi(r, 300))
	})
	if err != nil {
		return err
	}
	return z.Close()
}

func (p *Press) dpi(r Run, otherwise int) int {
	switch {
	case r.DPI > 0:
		return r.DPI
	case p.design.DPI > 0:
		return p.design.DPI
	}
	return otherwise
}

// fileName is an identifier as part of a file's name, which no system minds.
func fileName(s string) string {
	out := make([]byte, 0, len(s))
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-' {
			out = append(out, c)
		} else {
			out = append(out, '_')
		}
		if len(out) == 100 {
			break
		}
	}
	return string(out)
}

// redraw writes an image anew, so that nothing but pixels of it goes into a label.
func redraw(data []byte, format string) ([]byte, string, error) {
	im, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, "", problem.Wrap(err, problem.BadValue, "an image is damaged: export it again", "图片已损坏：请重新导出")
	}
	var b bytes.Buffer
	if format == "jpeg" {
		err = jpeg.Encode(&b, im, &jpeg.Options{Quality: 92})
	} else {
		flat := image.NewNRGBA(im.Bounds())
		for y := im.Bounds().Min.Y; y < im.Bounds().Max.Y; y++ {
			for x := im.Bounds().Min.X; x < im.Bounds().Max.X; x++ {
				flat.Set(x, y, im.At(x, y))
			}
		}
		err = png.Encode(&b, flat)
	}
	if err != nil {
		return nil, "", problem.Wrap(err, problem.Internal, "an image could not be redrawn", "无法重绘图片")
	}
	return b.Bytes(), format, nil
}
