package label

import (
	"math"
	"strings"

	"github.com/fujie-id/fujie/id/gs1"
	"github.com/fujie-id/fujie/problem"
)

// Drawing is one label of one thing, ready to be written in any form.
type Drawing struct {
	Width, Height float64 // mm
	DPI           int     // of the printer that it keeps to; 0: none
	marks         []mark
}

// mark is one thing drawn, in millimetres.
type mark struct {
	kind       Type
	x, y, w, h float64
	stroke     float64
	filled     bool

	// text: one line, x its left end, y its base line, w its width, size in mm
	text  string
	size  float64
	bold  bool
	align string

	// symbol: x and y its first module, w and h its modules alone
	symbol *Symbol
	data   string
	module float64

	// turn is degrees clockwise of the mark, which is then measured from the corner of a box of its own that stands at left, top and takes wide × high on the label.
	turn                  int
	left, top, wide, high float64

	// image
	image  []byte
	format string
	id     int
}

// Press draws labels of one design: what does not change between them is worked out once. It is safe for concurrent use.
type Press struct {
	design *Design
	face   *typeface
	parts  []part
}

type part struct {
	e     *Element
	expr  expr
	image []byte
	form  string
}

// NewPress checks the design and makes it ready. Errors: Faults of kind problem.BadValue.
func NewPress(d *Design) (*Press, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	face, err := openFace()
	if err != nil {
		return nil, err
	}
	p := &Press{design: d, face: face}
	for i := range d.Elements {
		e := d.Elements[i]
		e.Type = e.kind()
		e.X, e.Y, e.Width, e.Height = d.onGrid(e.X), d.onGrid(e.Y), d.onGrid(e.Width), d.onGrid(e.Height)
		x := part{e: &e}
		switch e.Type {
		case Text:
			x.expr, err = parseExpr(e.Text)
		case Barcode:
			x.expr, err = parseExpr(e.Data)
		case Picture:
			if x.image, x.form, err = e.picture(); err == nil {
				x.image, x.form, err = redraw(x.image, x.form)
			}
		}
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, x)
	}
	return p, nil
}

// Design is what the press draws. It is shared: do not change it.
func (p *Press) Design() *Design { return p.design }

// linkField is the code of GS1 as it stands in a Digital Link behind the host, 01/09521234543213/21/A1: for https://id.example.cn/{gs1path}. It is escaped already.
const linkField = "gs1path"

// Complete adds the fields that follow from the identifier where they are not given: prefix and suffix, and, when it is a code of GS1, be it written as an element string or
// as a Digital Link, gs1, its element string, and gs1path, for Digital Links of one's own.
func Complete(f Fields) Fields {
	out := Fields{}
	for k, v := range f {
		out[k] = v
	}
	name := out["id"]
	set := func(k, v string) {
		if have, ok := out.get(k); (!ok || have == "") && v != "" {
			out[k] = v
		}
	}
	if before, after, ok := strings.Cut(name, "/"); ok && !strings.Contains(before, ":") {
		set("prefix", before)
		set("suffix", after)
	}
	if _, ok := out.get("gs1"); !ok && name != "" {
		var e gs1.Elements
		if link, err := gs1.ParseLink(name); err == nil && strings.Contains(name, "://") {
			e = link.Elements
		} else if x, err := gs1.ParseElements(name); err == nil {
			e = x
		}
		if len(e) > 0 {
			set("gs1", e.String())
		}
	}
	if text, _ := out.get("gs1"); text != "" {
		if e, err := gs1.ParseElements(text); err == nil {
			const stem = "https://x"
			if link, err := e.Link(stem); err == nil {
				set(linkField, strings.TrimPrefix(link.URI(), stem+"/"))
			}
		}
	}
	return out
}

// Draw draws the label of one thing. Errors name the element: problem.NoValues for a field that a symbol needs and the thing lacks, problem.TooLarge for a symbol that does
// not fit in its box, and those of Encode.
func (p *Press) Draw(f Fields) (*Drawing, error) {
	f = Complete(f)
	d := &Drawing{Width: p.design.Width, Height: p.design.Height, DPI: p.design.DPI}
	for i, x := range p.parts {
		if err := p.place(d, x, i, f); err != nil {
			return nil, problem.Wrap(err, problem.KindOf(err), "element %d of the label of %.100s", "%[2]s 标签的第 %[1]d 个元素", i+1, f["id"])
		}
	}
	return d, nil
}

// place draws an element, turned if it is to be.
func (p *Press) place(d *Drawing, x part, i int, f Fields) error {
	e := *x.e
	if e.Turn == 0 {
		return p.draw(d, x, i, f)
	}
	left, top, wide, high := e.X, e.Y, e.Width, e.Height
	e.X, e.Y = 0, 0
	if e.Turn != 180 {
		e.Width, e.Height = high, wide
	}
	x.e = &e
	own := &Drawing{Width: e.Width, Height: e.Height}
	if err := p.draw(own, x, i, f); err != nil {
		return err
	}
	for _, m := range own.marks {
		m.turn, m.left, m.top, m.wide, m.high = e.Turn, left, top, wide, high
		d.marks = append(d.marks, m)
	}
	return nil
}

func (p *Press) draw(d *Drawing, x part, i int, f Fields) error {
	e := x.e
	stroke := e.Stroke
	if stroke == 0 {
		stroke = defaultStroke
	}
	switch e.Type {
	case Line:
		d.marks = append(d.marks, mark{kind: Line, x: e.X, y: e.Y, w: e.Width, h: e.Height, stroke: stroke})
	case Rect:
		d.marks = append(d.marks, mark{kind: Rect, x: e.X, y: e.Y, w: e.Width, h: e.Height, stroke: min(stroke, e.Width/2, e.Height/2), filled: e.Filled})
	case Picture:
		d.marks = append(d.marks, mark{kind: Picture, x: e.X, y: e.Y, w: e.Width, h: e.Height, image: x.image, format: x.form, id: i})
	case Text:
		s, err := x.expr.say(f, false)
		if err != nil {
			return err
		}
		p.write(d, e, s)
	case Barcode:
		data, err := x.expr.say(f, true)
		if err != nil {
			return err
		}
		return p.code(d, e, data)
	}
	return nil
}

// write sets text in its box.
func (p *Press) write(d *Drawing, e *Element, s string) {
	s = p.face.clean(s)
	size := e.Size
	if size == 0 {
		size = defaultSize
	}
	size *= point
	width, height := e.Width, e.Height
	if width == 0 {
		width = d.Width - e.X
	}
	if strings.TrimSpace(s) == "" || width <= 0 {
		return
	}
	if height > 0 { // one line at least fits
		size = min(size, height/(ascent+descent))
	}
	for _, r := range s { // and one letter
		if w := p.face.measure(string(r)); w > 0 {
			size = min(size, width/w)
		}
	}
	least := min(size, max(size/2, 4*point))
	var lines []string
	if e.Fit == "wrap" {
		for {
			lines = p.face.wrap(s, width/size)
			room := int((height-size*(ascent+descent))/(size*lineHeight)+1e-9) + 1
			if height == 0 {
				room = int((d.Height-e.Y-size*(ascent+descent))/(size*lineHeight)+1e-9) + 1
			}
			room = max(1, room)
			if len(lines) <= room {
				break
			}
			if size <= least*1.0001 {
				lines = lines[:room]
				lines[room-1] = p.face.clip(lines[room-1]+"……", width/size)
				break
			}
			size = max(least, size*0.93)
		}
	} else {
		s = strings.Join(strings.Fields(strings.ReplaceAll(s, "\n", " ")), " ")
		if e.Fit != "clip" {
			if w := p.face.measure(s); w*size > width {
				size = max(least, width/w)
			}
		}
		lines = []string{p.face.clip(s, width/size+1e-9)}
	}
	y := e.Y + size*ascent
	if height > 0 { // in the middle of its box
		y += max(0, (height-size*(ascent+descent)-float64(len(lines)-1)*size*lineHeight)/2)
	}
	for _, line := range lines {
		w := p.face.measure(line) * size
		left := e.X
		switch e.Align {
		case "center":
			left += (width - w) / 2
		case "right":
			left += width - w
		}
		if line != "" {
			d.marks = append(d.marks, mark{kind: Text, x: max(0, left), y: y, w: w, text: line, size: size, bold: e.Bold, align: e.Align})
		}
		y += size * lineHeight
	}
}

// whole is a module's width in whole dots of the printer, at least one; rounded down, so that what fits still fits.
func (d *Design) whole(module float64) float64 {
	if d.DPI <= 0 {
		return module
	}
	dot := 25.4 / float64(d.DPI)
	return max(1, math.Floor(module/dot+1e-6)) * dot
}

// code sets a symbol in the middle of its box.
func (p *Press) code(d *Drawing, e *Element, data string) error {
	s, err := Encode(e.Symbol, data, Options{Level: e.Level, Columns: e.Columns, Oblong: e.Oblong})
	if err != nil {
		return err
	}
	wide := float64(s.Width + 2*s.Quiet)
	high := float64(s.Height*s.RowHeight + 2*s.Quiet)
	textHigh := 0.0
	if e.Readable {
		textHigh = 3.2
	}
	module := e.Module
	if module == 0 {
		module = defaultModule
		if e.Width > 0 {
			module = e.Width / wide
		}
		if e.Height > 0 && s.RowHeight > 0 {
			m := (e.Height - textHigh) / high
			if e.Width == 0 || m < module {
				module = m
			}
		}
	} else if dot := 25.4 / float64(max(1, p.design.DPI)); p.design.DPI > 0 {
		module = math.Round(module/dot) * dot // the nearest, as it was asked for
	}
	module = p.design.whole(module)
	w, h := wide*module, high*module
	if s.RowHeight == 0 {
		if h = e.Height - textHigh; e.Height == 0 {
			h = defaultBars
		}
	}
	boxW, boxH := e.Width, e.Height
	if boxW == 0 {
		boxW = w
	}
	if boxH == 0 {
		boxH = h + textHigh
	}
	const slack = 0.01
	if w > boxW+slack || h+textHigh > boxH+slack || module < 0.05 || h < 1 || e.X+boxW > d.Width+slack || e.Y+boxH > d.Height+slack {
		return problem.New(problem.TooLarge, "the %[1]s needs %.1[2]f × %.1[3]f mm at a module of %.3[4]f mm, and there are %.1[5]f × %.1[6]f mm: make its box or the label larger, its data shorter, or choose a smaller module or another symbol",
			"%[1]s 在模块 %.3[4]f 毫米时需要 %.1[2]f × %.1[3]f 毫米，而只有 %.1[5]f × %.1[6]f 毫米：请放大条码框或标签、缩短数据，或减小模块、换用其他条码",
			e.Symbol, w, h+textHigh, module, min(boxW, d.Width-e.X), min(boxH, d.Height-e.Y))
	}
	m := mark{kind: Barcode, symbol: s, data: data, module: module, w: float64(s.Width) * module, h: h - 2*float64(s.Quiet)*module}
	if s.RowHeight == 0 {
		m.h = h
	}
	m.x = e.X + (boxW-m.w)/2
	m.y = e.Y + (boxH-textHigh-m.h)/2
	if p.design.DPI > 0 { // the first module begins on a dot
		dot := 25.4 / float64(p.design.DPI)
		m.x, m.y = math.Round(m.x/dot)*dot, math.Round(m.y/dot)*dot
	}
	d.marks = append(d.marks, m)
	if e.Readable {
		p.write(d, &Element{X: e.X, Y: e.Y + boxH - textHigh + 0.2, Width: boxW, Height: textHigh - 0.2, Size: 8, Align: "center"}, data)
	}
	return nil
}
