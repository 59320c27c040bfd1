package label

import (
	"bytes"
	"encoding/base64"
	"image"
	_ "image/jpeg" // images in designs
	_ "image/png"  // images in designs
	"math"
	"strings"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// Name is a name in both languages.
type Name struct {
	EN string `json:"en" yaml:"en" maxLength:"200"`
	ZH string `json:"zh" yaml:"zh" maxLength:"200"`
}

// Type is what an element draws.
type Type string

// The types of elements.
const (
	Text    Type = "text"
	Barcode Type = "symbol"
	Line    Type = "line"
	Rect    Type = "box"
	Picture Type = "image"
)

// Design declares a label. Lengths are millimetres from its upper left corner.
type Design struct {
	Label    string    `json:"label,omitempty" yaml:"label" maxLength:"64" doc:"Its name in a file: letters, digits, dots, dashes and underscores (标签)"`
	Name     Name      `json:"name,omitzero" yaml:"name" doc:"What people call it"`
	Template string    `json:"template,omitempty" yaml:"template" maxLength:"200" doc:"The template (元数据模板) whose properties it shows, for the designer"`
	Width    float64   `json:"width" yaml:"width" minimum:"5" maximum:"500" doc:"mm"`
	Height   float64   `json:"height" yaml:"height" minimum:"5" maximum:"500" doc:"mm"`
	Grid     float64   `json:"grid,omitempty" yaml:"grid" minimum:"0" maximum:"10" doc:"mm: places and sizes go to the nearest multiple; 0: as they are"`
	DPI      int       `json:"dpi,omitempty" yaml:"dpi" minimum:"0" maximum:"1200" doc:"Dots per inch of the label printer, 203, 300 or 600: modules become whole dots; 0: no dots to keep to"`
	Damage   string    `json:"damage,omitempty" yaml:"damage" enum:"clean,normal,rough,harsh" doc:"What the label will go through; advice on error correction follows from it; normal if empty"`
	Elements []Element `json:"elements" yaml:"elements" minItems:"1" maxItems:"100"`
	Sheet    Sheet     `json:"sheet,omitzero" yaml:"sheet" doc:"How labels stand on paper; absent: one a page, as on a roll"`
}

// Element is one thing on a label. Which fields mean something depends on its type.
type Element struct {
	Type   Type    `json:"type,omitempty" yaml:"type" enum:"text,symbol,line,box,image" doc:"May be left out where there is a text, a symbol or an image"`
	X      float64 `json:"x,omitempty" yaml:"x" doc:"mm from the left"`
	Y      float64 `json:"y,omitempty" yaml:"y" doc:"mm from above"`
	Width  float64 `json:"width,omitempty" yaml:"width" doc:"mm; of a line: how far it goes right; 0 of a text: up to the label's edge; 0 of a symbol: what it needs"`
	Height float64 `json:"height,omitempty" yaml:"height" doc:"mm; of a line: how far it goes down; 0 of a text: its one line; 0 of a symbol: what it needs, of bars 10"`

	Turn int `json:"turn,omitempty" yaml:"turn" enum:"0,90,180,270" doc:"Degrees clockwise; x, y, width and height are those of its box as it stands on the label"`

	Text  string  `json:"text,omitempty" yaml:"text" maxLength:"1000" doc:"text: with {fields} of the thing: {id}, {prefix}, {suffix}, {gs1}, {gs1path}, {n}, properties of its template; {weight|–} says what stands where there is none; {{ is a bracket"`
	Size  float64 `json:"size,omitempty" yaml:"size" minimum:"0" maximum:"300" doc:"text: points; 9 if 0"`
	Bold  bool    `json:"bold,omitempty" yaml:"bold" doc:"text"`
	Align string  `json:"align,omitempty" yaml:"align" enum:"left,center,right" doc:"text: left if empty"`
	Fit   string  `json:"fit,omitempty" yaml:"fit" enum:"shrink,wrap,clip" doc:"text that is too wide: shrink (if empty), wrap to as many lines as the height takes and shrink then, or clip"`

	Symbol   Kind    `json:"symbol,omitempty" yaml:"symbol" enum:"qr,datamatrix,gs1-datamatrix,code128,gs1-128,pdf417" doc:"symbol: the symbology (码制)"`
	Data     string  `json:"data,omitempty" yaml:"data" maxLength:"4000" doc:"symbol: as text has it, {id}, https://id.example.cn/{id}, {gs1} or https://id.example.cn/{gs1path}; a field without a value is an error"`
	Level    string  `json:"level,omitempty" yaml:"level" enum:"L,M,Q,H,0,1,2,3,4,5,6,7,8" doc:"symbol: error correction (纠错等级) L M Q H of qr, 0 to 8 of pdf417"`
	Module   float64 `json:"module,omitempty" yaml:"module" minimum:"0" maximum:"10" doc:"symbol: mm of a module; 0: as large as the box takes, or 0.375 without a box"`
	Columns  int     `json:"columns,omitempty" yaml:"columns" minimum:"0" maximum:"30" doc:"symbol: data columns of pdf417; 0: by itself"`
	Oblong   bool    `json:"oblong,omitempty" yaml:"oblong" doc:"symbol: datamatrix may be a rectangle"`
	Readable bool    `json:"readable,omitempty" yaml:"readable" doc:"symbol: its data stand below it for people"`

	Stroke float64 `json:"stroke,omitempty" yaml:"stroke" minimum:"0" maximum:"20" doc:"line, box: mm; 0.25 if 0"`
	Filled bool    `json:"filled,omitempty" yaml:"filled" doc:"box: black all over"`

	Image string `json:"image,omitempty" yaml:"image" maxLength:"100000" doc:"image: PNG or JPEG in base64, or as a data: address; at most 64 KiB"`
}

// kind is the element's type, said or not.
func (e *Element) kind() Type {
	switch {
	case e.Type != "":
		return e.Type
	case e.Symbol != "":
		return Barcode
	case e.Text != "":
		return Text
	case e.Image != "":
		return Picture
	}
	return ""
}

// Sheet is how labels stand on paper.
type Sheet struct {
	Paper   string  `json:"paper,omitempty" yaml:"paper" enum:"roll,A3,A4,A5,letter" doc:"roll (卷标) if empty: one label a page"`
	Rows    int     `json:"rows,omitempty" yaml:"rows" minimum:"0" maximum:"100" doc:"0: as many as there is room for"`
	Columns int     `json:"columns,omitempty" yaml:"columns" minimum:"0" maximum:"100" doc:"0: as many as there is room for"`
	Top     float64 `json:"top,omitempty" yaml:"top" minimum:"0" maximum:"400" doc:"mm from the paper's edge to the first row"`
	Left    float64 `json:"left,omitempty" yaml:"left" minimum:"0" maximum:"400" doc:"mm from the paper's edge to the first column"`
	GapX    float64 `json:"gapX,omitempty" yaml:"gapX" minimum:"0" maximum:"200" doc:"mm between columns"`
	GapY    float64 `json:"gapY,omitempty" yaml:"gapY" minimum:"0" maximum:"200" doc:"mm between rows"`
	Marks   bool    `json:"marks,omitempty" yaml:"marks" doc:"Thin lines where to cut"`
}

const (
	maxElements = 100
	maxImage    = 64 << 10
	maxPixels   = 1 << 20

	defaultSize   = 9.0   // points
	defaultModule = 0.375 // mm: three dots at 203 dpi
	defaultBars   = 10.0  // mm
	defaultStroke = 0.25
	point         = 25.4 / 72 // mm
)

var papers = map[string][2]float64{"A3": {297, 420}, "A4": {210, 297}, "A5": {148, 210}, "letter": {215.9, 279.4}}

// page is the paper's size, and rows and columns on it.
func (d *Design) page() (width, height float64, rows, columns int) {
	size, ok := papers[d.Sheet.Paper]
	if !ok {
		return d.Width, d.Height, 1, 1
	}
	s := d.Sheet
	rows, columns = s.Rows, s.Columns
	fits := func(room, step, gap float64) int { return max(1, int((room+gap)/(step+gap)+1e-6)) }
	if rows == 0 {
		rows = fits(size[1]-2*s.Top, d.Height, s.GapY)
	}
	if columns == 0 {
		columns = fits(size[0]-2*s.Left, d.Width, s.GapX)
	}
	return size[0], size[1], rows, columns
}

// fault is one thing that is wrong: where, as a path of YAML ($.elements[2].data), and what.
type fault struct{ path, en, zh string }

// Check says everything that is wrong with a design, in one error of kind problem.BadValue; nil when it is good.
func (d *Design) Check() error {
	list := d.faults()
	if len(list) == 0 {
		return nil
	}
	var f Faults
	for _, x := range list {
		f = append(f, Fault{EN: x.path[2:] + ": " + x.en, ZH: x.path[2:] + "：" + x.zh})
	}
	return f
}

func (d *Design) faults() (list []fault) {
	bad := func(path, en, zh string, args ...any) {
		e := problem.New(problem.BadValue, en, zh, args...)
		list = append(list, fault{path, e.EN, e.ZH})
	}
	number := func(path string, v, least, most float64, unit string) {
		if !(v >= least && v <= most) { // not a number is neither
			bad(path, "%g is not between %g and %g%s: correct it", "%g 不在 %g 与 %g%s 之间：请改正", v, least, most, unit)
		}
	}
	one := func(path, v string, of ...string) {
		for _, o := range of {
			if v == o {
				return
			}
		}
		names := strings.Join(of, ", ")
		bad(path, "%.40q is not known here: choose one of %s", "%.40q 不可用：可选 %s", v, strings.TrimPrefix(names, ", "))
	}
	text := func(path, v string, most int) {
		if utf8.RuneCountInString(v) > most || !utf8.ValidString(v) {
			bad(path, "the text is longer than %d characters, or no UTF-8: shorten it", "文本超过 %d 个字符或不是 UTF-8：请缩短", most)
		}
	}
	number("$.width", d.Width, 5, 500, " mm")
	number("$.height", d.Height, 5, 500, " mm")
	number("$.grid", d.Grid, 0, 10, " mm")
	number("$.dpi", float64(d.DPI), 0, 1200, "")
	one("$.damage", d.Damage, "", "clean", "normal", "rough", "harsh")
	text("$.name", d.Name.EN, 200)
	text("$.name", d.Name.ZH, 200)
	text("$.template", d.Template, 200)
	if d.Label != "" && !goodName(d.Label) {
		bad("$.label", "%.80q is no name of a label: 1 to 64 letters, digits, dots, dashes and underscores", "%.80q 不是标签名称：应为 1 至 64 个字母、数字、点、横线或下划线", d.Label)
	}
	s := d.Sheet
	one("$.sheet.paper", s.Paper, "", "roll", "A3", "A4", "A5", "letter")
	number("$.sheet.rows", float64(s.Rows), 0, 100, "")
	number("$.sheet.columns", float64(s.Columns), 0, 100, "")
	number("$.sheet.top", s.Top, 0, 400, " mm")
	number("$.sheet.left", s.Left, 0, 400, " mm")
	number("$.sheet.gapX", s.GapX, 0, 200, " mm")
	number("$.sheet.gapY", s.GapY, 0, 200, " mm")
	if len(d.Elements) == 0 || len(d.Elements) > maxElements {
		bad("$.elements", "a label has 1 to %d elements, not %d", "标签应有 1 至 %d 个元素，而不是 %d 个", maxElements, len(d.Elements))
		return list
	}
	if len(list) == 0 {
		w, h, rows, columns := d.page()
		if wide, high := s.Left+float64(columns)*(d.Width+s.GapX)-s.GapX, s.Top+float64(rows)*(d.Height+s.GapY)-s.GapY; wide > w+0.01 || high > h+0.01 {
			bad("$.sheet", "%[1]d rows and %[2]d columns of labels need %.1[3]f × %.1[4]f mm, and the paper has %.1[5]f × %.1[6]f: take fewer, or smaller gaps", "%[1]d 行 %[2]d 列标签需要 %.1[3]f × %.1[4]f 毫米，而纸张为 %.1[5]f × %.1[6]f：请减少行列或间距",
				rows, columns, wide, high, w, h)
		}
	}
	for i := range d.Elements {
		e := &d.Elements[i]
		at := func(field string) string { return "$.elements[" + itoa(i) + "]" + field }
		number(at(".x"), e.X, 0, max(0, d.Width), " mm")
		number(at(".y"), e.Y, 0, max(0, d.Height), " mm")
		number(at(".width"), e.Width, 0, max(0, d.Width-e.X+0.001), " mm")
		number(at(".height"), e.Height, 0, max(0, d.Height-e.Y+0.001), " mm")
		number(at(".size"), e.Size, 0, 300, " points")
		number(at(".stroke"), e.Stroke, 0, 20, " mm")
		number(at(".module"), e.Module, 0, 10, " mm")
		number(at(".columns"), float64(e.Columns), 0, 30, "")
		if e.Turn != 0 && e.Turn != 90 && e.Turn != 180 && e.Turn != 270 {
			bad(at(".turn"), "%d degrees are not offered: choose 0, 90, 180 or 270", "不支持 %d 度：可选 0、90、180、270", e.Turn)
		} else if e.Turn != 0 && (e.Width == 0 || e.Height == 0) {
			bad(at(".width"), "what is turned needs a width and a height", "旋转的元素需要 width 和 height")
		}
		one(at(".align"), e.Align, "", "left", "center", "right")
		one(at(".fit"), e.Fit, "", "shrink", "wrap", "clip")
		switch e.kind() {
		case Text:
			text(at(".text"), e.Text, 1000)
			if e.Text == "" {
				bad(at(".text"), "the text says nothing: write something, or {id}", "文本为空：请填写内容或 {id}")
			} else if _, err := parseExpr(e.Text); err != nil {
				bad(at(".text"), "%[1]s", "%[2]s", problem.Say(err, problem.English), problem.Say(err, problem.Chinese))
			}
		case Barcode:
			d.symbolFaults(e, at, bad, text)
		case Line:
			if e.Width == 0 && e.Height == 0 {
				bad(at(".width"), "a line goes somewhere: give it a width or a height", "线条需要长度：请给出 width 或 height")
			}
		case Rect:
			if e.Width == 0 || e.Height == 0 {
				bad(at(".width"), "a box needs a width and a height", "方框需要 width 和 height")
			}
		case Picture:
			if e.Width == 0 || e.Height == 0 {
				bad(at(".width"), "an image needs a width and a height", "图片需要 width 和 height")
			}
			if _, _, err := e.picture(); err != nil {
				bad(at(".image"), "%[1]s", "%[2]s", problem.Say(err, problem.English), problem.Say(err, problem.Chinese))
			}
		default:
			one(at(".type"), string(e.kind()), "text", "symbol", "line", "box", "image")
		}
	}
	return list
}

func (d *Design) symbolFaults(e *Element, at func(string) string, bad func(path, en, zh string, args ...any), text func(string, string, int)) {
	known := false
	for _, k := range Kinds {
		known = known || k == e.Symbol
	}
	if !known {
		err := unknownKind(string(e.Symbol))
		bad(at(".symbol"), "%[1]s", "%[2]s", problem.Say(err, problem.English), problem.Say(err, problem.Chinese))
	}
	text(at(".data"), e.Data, 4000)
	if e.Data == "" {
		bad(at(".data"), "the symbol has no data: write {id}, https://id.example.cn/{id} or {gs1}", "条码没有数据：请填写 {id}、https://id.example.cn/{id} 或 {gs1}")
	} else if _, err := parseExpr(e.Data); err != nil {
		bad(at(".data"), "%[1]s", "%[2]s", problem.Say(err, problem.English), problem.Say(err, problem.Chinese))
	}
	switch {
	case e.Level == "":
	case e.Symbol == QR:
		if len(e.Level) != 1 || !strings.Contains(qrLevels, strings.ToUpper(e.Level)) {
			bad(at(".level"), "%.20q is no level of error correction of qr: choose L, M, Q or H", "%.20q 不是 qr 的纠错等级：可选 L、M、Q、H", e.Level)
		}
	case e.Symbol == PDF417:
		if len(e.Level) != 1 || e.Level < "0" || e.Level > "8" {
			bad(at(".level"), "%.20q is no level of error correction of pdf417: choose 0 to 8", "%.20q 不是 pdf417 的纠错等级：可选 0 至 8", e.Level)
		}
	default:
		bad(at(".level"), "%s has no levels of error correction to choose from: leave it out", "%s 的纠错等级不可选择：请去掉此项", e.Symbol)
	}
	if e.Width > 0 && e.Width < 3 || e.Height > 0 && e.Height < 2 {
		bad(at(".width"), "no symbol fits in a box of %g × %g mm: make it larger, or leave it out", "%g × %g 毫米的框放不下任何条码：请放大或去掉", e.Width, e.Height)
	}
}

func goodName(name string) bool {
	ok := name != "" && len(name) <= 64
	for _, c := range []byte(name) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '.' || c == '_')
	}
	return ok
}

// picture is an element's image, its bytes and what they are: image/png or image/jpeg.
func (e *Element) picture() (data []byte, format string, err error) {
	b64 := e.Image
	if rest, ok := strings.CutPrefix(b64, "data:"); ok {
		_, b64, _ = strings.Cut(rest, ",")
	}
	b64 = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, b64)
	if len(b64) > base64.StdEncoding.EncodedLen(maxImage) {
		return nil, "", problem.New(problem.TooLarge, "the image has more than %d KiB: take a smaller one", "图片超过 %d KiB：请缩小", maxImage>>10)
	}
	data, err = base64.StdEncoding.DecodeString(b64)
	if err != nil {
		return nil, "", problem.New(problem.BadValue, "the image is not in base64: encode a PNG or JPEG file", "图片不是 base64：请编码 PNG 或 JPEG 文件")
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || format != "png" && format != "jpeg" {
		return nil, "", problem.New(problem.BadValue, "the image is neither PNG nor JPEG: convert it", "图片既不是 PNG 也不是 JPEG：请转换格式")
	}
	if c.Width < 1 || c.Height < 1 || c.Width*c.Height > maxPixels || c.Width > maxPixels || c.Height > maxPixels {
		return nil, "", problem.New(problem.TooLarge, "the image has %d × %d pixels, over %d in all: make it smaller", "图片有 %d × %d 像素，超过总数 %d：请缩小", c.Width, c.Height, maxPixels)
	}
	if _, _, err := image.Decode(bytes.NewReader(data)); err != nil {
		return nil, "", problem.New(problem.BadValue, "the image is damaged: export it again", "图片已损坏：请重新导出")
	}
	return data, format, nil
}

// onGrid is v at the nearest multiple of the grid.
func (d *Design) onGrid(v float64) float64 {
	if d.Grid <= 0 {
		return v
	}
	return math.Round(v/d.Grid) * d.Grid
}
