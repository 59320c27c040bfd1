package label

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
)

func press(t testing.TB, d *Design) *Press {
	t.Helper()
	p, err := NewPress(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var spring = Fields{"id": "88.118.1001/BOTTLE-000123456", "name": "符节山泉天然矿泉水（经典装）", "weight": "0.55", "batch": "B20261123-07",
	"remark": "贮存条件：置于阴凉干燥处。<script>alert('x')</script> \"&\u202e\x07 and more words that go on"}

// things is n bottles.
func things(n int) func(yield func(Fields, error) bool) {
	return func(yield func(Fields, error) bool) {
		for i := range n {
			f := Fields{}
			for k, v := range spring {
				f[k] = v
			}
			f["id"] = fmt.Sprintf("88.118.1001/BOTTLE-%09d", i)
			if !yield(f, nil) {
				return
			}
		}
	}
}

// crop is the part of a picture, in parts of its width and height, on white.
func crop(im image.Image, x0, y0, x1, y1 float64) image.Image {
	b := im.Bounds()
	at := func(x, y float64) image.Point {
		return image.Pt(b.Min.X+int(x*float64(b.Dx())), b.Min.Y+int(y*float64(b.Dy())))
	}
	r := image.Rectangle{at(x0, y0), at(x1, y1)}
	out := image.NewGray(image.Rect(0, 0, r.Dx()+40, r.Dy()+40))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(out, image.Rect(20, 20, 20+r.Dx(), 20+r.Dy()), im, r.Min, draw.Src)
	return out
}

// kinds is a label with every symbol, and where each is.
func kinds(dpi int) *Design {
	return &Design{Width: 100, Height: 100, DPI: dpi, Elements: []Element{
		{Type: Barcode, Symbol: QR, Data: "https://id.example.cn/{id}", X: 2, Y: 2, Width: 30, Height: 30},
		{Type: Barcode, Symbol: DataMatrix, Data: "{id} {name}", X: 40, Y: 2, Width: 24, Height: 24},
		{Type: Barcode, Symbol: GS1DataMatrix, Data: "{gs1}", X: 70, Y: 2, Width: 24, Height: 24},
		{Type: Barcode, Symbol: Code128, Data: "{suffix}", X: 2, Y: 36, Width: 90, Height: 14, Readable: true},
		{Type: Barcode, Symbol: GS1128, Data: "{gs1}", X: 2, Y: 54, Width: 96, Height: 14, Readable: true},
		{Type: Barcode, Symbol: PDF417, Data: "{id} {name}", X: 2, Y: 70, Width: 96, Height: 28},
	}}
}

var kindFields = Fields{"id": "88.118.1001/A-0001", "name": "符节·标签", "gs1": "(01)09521234543213(10)AB12(21)cd34"}

// readKinds reads every symbol of a picture of the label of kinds.
func readKinds(t *testing.T, im image.Image) {
	t.Helper()
	for _, c := range []struct {
		k              Kind
		x0, y0, x1, y1 float64
		data           string
	}{
		{QR, 0, 0, .35, .34, "https://id.example.cn/88.118.1001/A-0001"},
		{DataMatrix, .38, 0, .67, .3, "88.118.1001/A-0001 符节·标签"},
		{GS1DataMatrix, .68, 0, 1, .3, kindFields["gs1"]},
		{Code128, 0, .36, 1, .45, "A-0001"},
		{GS1128, 0, .54, 1, .63, kindFields["gs1"]},
		{PDF417, 0, .69, 1, 1, "88.118.1001/A-0001 符节·标签"},
	} {
		got, err := scan(c.k, crop(im, c.x0, c.y0, c.x1, c.y1))
		if want := scanned(t, c.k, c.data); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", c.k, got, err, want)
		}
	}
}

func TestPNG(t *testing.T) {
	for _, dpi := range []int{203, 300, 600} {
		for _, printer := range []int{0, 203, 300} {
			d, err := press(t, kinds(printer)).Draw(kindFields)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := d.PNG(&b, dpi); err != nil {
				t.Fatal(err)
			}
			im, err := png.Decode(bytes.NewReader(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			t.Log(dpi, printer)
			readKinds(t, im)
			if w := im.Bounds().Dx(); w != dots(100, dpi) {
				t.Errorf("%d wide", w)
			}
			if !bytes.Contains(b.Bytes()[:60], []byte("pHYs")) {
				t.Error("the file does not say its size")
			}
		}
	}
	d, err := press(t, kinds(0)).Draw(kindFields)
	if err != nil {
		t.Fatal(err)
	}
	for _, dpi := range []int{0, 71, 1201} {
		if err := d.PNG(io.Discard, dpi); !problem.Is(err, problem.BadValue) {
			t.Errorf("%d: %v", dpi, err)
		}
	}
}

// pages renders a PDF by poppler.
func pages(t *testing.T, pdf []byte, dpi int) []image.Image {
	t.Helper()
	tool, err := exec.LookPath("pdftoppm")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("pdftoppm is not there: install poppler-utils")
		}
		t.Skip("pdftoppm is not there")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.pdf"), pdf, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "-r", strconv.Itoa(dpi), "-png", filepath.Join(dir, "a.pdf"), filepath.Join(dir, "p")).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v %s", err, out)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "p*.png"))
	var list []image.Image
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		im, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, im)
	}
	return list
}

func TestPDF(t *testing.T) {
	var b bytes.Buffer
	if err := press(t, kinds(0)).PDF(context.Background(), &b, Run{Things: func(yield func(Fields, error) bool) { yield(kindFields, nil) }}); err != nil {
		t.Fatal(err)
	}
	list := pages(t, b.Bytes(), 300)
	if len(list) != 1 {
		t.Fatalf("%d pages", len(list))
	}
	readKinds(t, list[0])
}

func TestSheets(t *testing.T) {
	p := press(t, bottle(t))
	var b bytes.Buffer
	heard := 0
	if err := p.PDF(context.Background(), &b, Run{Things: things(45), Skip: 2, Made: time.Unix(0, 0), Progress: func(n int) { heard = n }}); err != nil {
		t.Fatal(err)
	}
	if heard != 45 {
		t.Errorf("%d labels were heard of", heard)
	}
	list := pages(t, b.Bytes(), 200)
	if len(list) != 3 { // 21 a page, 2 of them used up
		t.Fatalf("%d pages", len(list))
	}
	// The first label stands third in the first row, the last one fifth on the last sheet.
	for _, c := range []struct {
		page, column, row, n int
	}{{0, 2, 0, 0}, {0, 0, 1, 1}, {0, 2, 6, 18}, {1, 0, 0, 19}, {2, 1, 1, 44}} {
		x, y := 15+60*float64(c.column), 8.5+40*float64(c.row)
		cell := crop(list[c.page], (x+36)/210, (y+1)/297, (x+59)/210, (y+24)/297)
		if got, err := scan(QR, cell); err != nil || got != fmt.Sprintf("https://id.example.cn/88.118.1001/BOTTLE-%09d", c.n) {
			t.Errorf("%v: %q %v", c, got, err)
		}
		bars := crop(list[c.page], (x+1)/210, (y+25)/297, (x+59)/210, (y+33)/297)
		if got, err := scan(Code128, bars); err != nil || got != fmt.Sprintf("BOTTLE-%09d", c.n) {
			t.Errorf("%v: %q %v", c, got, err)
		}
	}
	empty := crop(list[0], 15.0/210, 8.5/297, 74.0/210, 48.0/297).(*image.Gray)
	for _, v := range empty.Pix {
		if v < 200 {
			t.Fatal("a place that is used up was printed on")
		}
	}
}

func TestThousand(t *testing.T) {
	p := press(t, bottle(t))
	var b bytes.Buffer
	if err := p.PDF(context.Background(), &b, Run{Things: things(1000)}); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 2<<20 {
		t.Errorf("1000 labels take %d bytes", b.Len())
	}
}

// turnedBack is a picture turned clockwise by what is missing to a full turn.
func turnedBack(im image.Image, turn int) image.Image {
	b := im.Bounds()
	for ; turn < 360; turn += 90 {
		out := image.NewGray(image.Rect(0, 0, b.Dy(), b.Dx()))
		for y := range b.Dy() {
			for x := range b.Dx() {
				out.Set(b.Dy()-1-y, x, im.At(b.Min.X+x, b.Min.Y+y))
			}
		}
		im, b = out, out.Bounds()
	}
	return im
}

func TestTurned(t *testing.T) {
	for _, turn := range []int{90, 180, 270} {
		e := Element{Type: Barcode, Symbol: PDF417, Data: "{id} {name}", X: 10, Y: 20, Width: 25, Height: 60, Turn: turn, Readable: true}
		bars := Element{Type: Barcode, Symbol: Code128, Data: "{suffix}", X: 60, Y: 20, Width: 20, Height: 60, Turn: turn}
		if turn == 180 {
			e.Width, e.Height, bars.Width, bars.Height, bars.X, bars.Y = e.Height, e.Width, bars.Height, bars.Width, 10, 60
		}
		design := &Design{Width: 100, Height: 100, DPI: 300, Elements: []Element{e, bars, {Type: Text, Text: "{name}", X: 5, Y: 84, Width: 30, Height: 12, Turn: turn, Bold: true}, {Type: Text, Text: "{name}", X: 50, Y: 90}}}
		p := press(t, design)
		d, err := p.Draw(kindFields)
		if err != nil {
			t.Fatal(err)
		}
		one := func(yield func(Fields, error) bool) { yield(kindFields, nil) }
		seen := map[string]image.Image{}
		if seen["png"], err = d.Image(300); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := p.WriteZPL(context.Background(), &b, Run{Things: one}); err != nil {
			t.Fatal(err)
		}
		seen["zpl"] = dotsOf(t, b.String(), 1181, 1181)
		b.Reset()
		if err := p.PDF(context.Background(), &b, Run{Things: one}); err != nil {
			t.Fatal(err)
		}
		seen["pdf"] = pages(t, b.Bytes(), 300)[0]
		for form, im := range seen {
			// The part above its words, which stand at its foot however it is turned.
			x0, y0, x1, y1 := e.X, e.Y, e.X+e.Width, e.Y+e.Height
			switch turn {
			case 90:
				x0 += 3.5
			case 180:
				y0 += 3.5
			default:
				x1 -= 3.5
			}
			if got, err := scan(PDF417, turnedBack(crop(im, x0/100, y0/100, x1/100, y1/100), turn)); err != nil || got != "88.118.1001/A-0001 符节·标签" {
				t.Errorf("%s turned by %d: %q %v", form, turn, got, err)
			}
			if got, err := scan(Code128, turnedBack(crop(im, bars.X/100, bars.Y/100, (bars.X+bars.Width)/100, (bars.Y+bars.Height)/100), turn)); err != nil || got != "A-0001" {
				t.Errorf("%s turned by %d: %q %v", form, turn, got, err)
			}
		}
		// What is turned looks the same in print and on the screen, text included.
		if off := differ(seen["png"], seen["pdf"]); off > 0.02 {
			t.Errorf("turned by %d, %.1f %% of the dots differ between PDF and PNG", turn, off*100)
		}
	}
}

// differ is the part of dots that are clearly dark in one picture and light in the other, edges aside.
func differ(a, b image.Image) float64 {
	n, off := 0, 0
	dark := func(im image.Image, x, y int) bool {
		r, _, _, _ := im.At(im.Bounds().Min.X+x, im.Bounds().Min.Y+y).RGBA()
		return r < 0x8000
	}
	near := func(im image.Image, x, y int, v bool) bool {
		for dy := -2; dy <= 2; dy++ {
			for dx := -2; dx <= 2; dx++ {
				if dark(im, x+dx, y+dy) == v {
					return true
				}
			}
		}
		return false
	}
	for y := 3; y < min(a.Bounds().Dy(), b.Bounds().Dy())-3; y++ {
		for x := 3; x < min(a.Bounds().Dx(), b.Bounds().Dx())-3; x++ {
			if v := dark(a, x, y); v {
				n++
				if !near(b, x, y, true) {
					off++
				}
			}
		}
	}
	return float64(off) / float64(max(1, n))
}

func TestRunsEnd(t *testing.T) {
	p := press(t, bottle(t))
	ctx, cancel := context.WithCancel(context.Background())
	var b bytes.Buffer
	err := p.PDF(ctx, &b, Run{Things: things(1000), Progress: func(n int) {
		if n == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || b.Len() != 0 {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
	if err := p.PDF(context.Background(), &b, Run{Things: things(0)}); !problem.Is(err, problem.BadRequest) {
		t.Errorf("%v", err)
	}
	lacks := func(yield func(Fields, error) bool) {
		if yield(spring, nil) {
			yield(Fields{"name": "x"}, nil)
		}
	}
	if err := p.PDF(context.Background(), &b, Run{Things: lacks}); !problem.Is(err, problem.NoValues) || !strings.Contains(err.Error(), "element 6") {
		t.Errorf("%v", err)
	}
	if err := p.Zip(context.Background(), &b, "gif", Run{Things: things(1)}); !problem.Is(err, problem.BadValue) {
		t.Errorf("%v", err)
	}
	small := &Design{Width: 20, Height: 20, Elements: []Element{{Type: Barcode, Symbol: QR, Data: "{id}", Module: 1}}}
	if _, err := press(t, small).Draw(spring); !problem.Is(err, problem.TooLarge) || !strings.Contains(problem.Say(err, problem.Chinese), "请放大") {
		t.Errorf("%v", err)
	}
}

func TestSVG(t *testing.T) {
	design := bottle(t)
	design.Elements = append(design.Elements, Element{Type: Picture, X: 1, Y: 30, Width: 8, Height: 4, Image: logo()}, Element{Type: Line, X: 1, Y: 1, Width: 5, Height: 5}, Element{Type: Rect, X: 50, Y: 30, Width: 2, Height: 2, Filled: true})
	f := Fields{}
	for k, v := range spring {
		f[k] = v
	}
	f["name"] = `"/><script>alert(1)</script>`
	d, err := press(t, design).Draw(f)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := d.SVG(&b); err != nil {
		t.Fatal(err)
	}
	// It is XML of a few elements, and text is text.
	text := ""
	x := xml.NewDecoder(bytes.NewReader(b.Bytes()))
	for {
		tok, err := x.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if !strings.Contains(" svg rect path text image ", " "+tok.Name.Local+" ") {
				t.Errorf("element %s", tok.Name.Local)
			}
			for _, a := range tok.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" && !strings.HasPrefix(a.Value, "data:image/png;base64,") {
					t.Errorf("attribute %s=%.40q", a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			text += string(tok) + "\n"
		}
	}
	if !strings.Contains(text, `"/><script>alert(1)`) || strings.ContainsAny(text, "\u202e\x07") {
		t.Errorf("%q", text)
	}
}

func TestZip(t *testing.T) {
	p := press(t, bottle(t))
	for _, format := range []string{"svg", "png"} {
		var b bytes.Buffer
		if err := p.Zip(context.Background(), &b, format, Run{Things: things(3)}); err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil || len(z.File) != 3 || z.File[2].Name != "00003-88.118.1001_BOTTLE-000000002."+format {
			t.Fatalf("%v %v", err, z.File[2].Name)
		}
	}
}

func TestZPL(t *testing.T) {
	run := Run{Things: func(yield func(Fields, error) bool) { yield(kindFields, nil) }, ZPL: ZPL{EPC: func(f Fields) ([]byte, error) { return EPC(f["id"], 0) }}}
	design := kinds(203)
	design.Elements[1].Data = "{id}_~^\\"
	design.Elements[5].Data = "{id}_~^,"
	design.Elements = append(design.Elements, Element{Type: Text, Text: "Net {weight|0.5} kg ^XZ~é", X: 2, Y: 90, Width: 40, Align: "right"}, Element{Type: Text, Text: "{name}", X: 2, Y: 95}, Element{Type: Line, X: 1, Y: 99, Width: 98},
		Element{Type: Rect, X: 1, Y: 1, Width: 98, Height: 98, Stroke: 0.5}, Element{Type: Line, X: 1, Y: 1, Width: 3, Height: 2})
	var b bytes.Buffer
	if err := press(t, design).WriteZPL(context.Background(), &b, run); err != nil {
		t.Fatal(err)
	}
	// Pictures are cut short here; their dots are read back below.
	var lines []string
	for line := range strings.Lines(b.String()) {
		if i := strings.Index(line, "^GFA"); i >= 0 {
			line = line[:i] + "^GFA…\n"
		}
		lines = append(lines, line)
	}
	got := strings.Join(lines, "")
	const golden = "testdata/kinds.zpl"
	if os.Getenv("FUJIE_UPDATE") == "1" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// No data end a field or a label.
	if n := strings.Count(b.String(), "^XZ"); n != 1 {
		t.Errorf("%d labels", n)
	}

	// As pictures every symbol is there as it is seen.
	b.Reset()
	run.ZPL.Pictures = true
	if err := press(t, kinds(203)).WriteZPL(context.Background(), &b, run); err != nil {
		t.Fatal(err)
	}
	readKinds(t, dotsOf(t, b.String(), 799, 799))

	for _, r := range []Run{{Things: things(1), DPI: 100}, {Things: things(1), ZPL: ZPL{Font: "E:A^XZ"}}, {Things: things(1), ZPL: ZPL{Copies: -1}}, {Things: things(1), ZPL: ZPL{EPC: func(Fields) ([]byte, error) { return []byte{1, 2, 3}, nil }}}} {
		if err := press(t, bottle(t)).WriteZPL(context.Background(), io.Discard, r); !problem.Is(err, problem.BadValue) {
			t.Errorf("%v", err)
		}
	}
}

// dotsOf draws the pictures of a label in ZPL.
func dotsOf(t *testing.T, zpl string, w, h int) image.Image {
	t.Helper()
	out := image.NewGray(image.Rect(0, 0, w, h))
	for i := range out.Pix {
		out.Pix[i] = 255
	}
	for line := range strings.Lines(zpl) {
		var x, y, size, size2, per int
		i := strings.Index(line, "^GFA")
		if i < 0 {
			continue
		}
		if n, err := fmt.Sscanf(line, "^FO%d,%d^GFA,%d,%d,%d,", &x, &y, &size, &size2, &per); n != 5 {
			t.Fatalf("%.60s: %v", line, err)
		}
		body := strings.TrimSuffix(strings.SplitN(line, ",", 6)[5], "^FS\n")
		var row, last string
		rows := 0
		flush := func() {
			for k := range row {
				v, err := strconv.ParseUint(row[k:k+1], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				for bit := range 4 {
					if v>>(3-bit)&1 == 1 {
						out.Pix[out.PixOffset(x+k*4+bit, y+rows)] = 0
					}
				}
			}
			last, row = row, ""
			rows++
		}
		count := 0
		for _, c := range []byte(body) {
			switch {
			case c == ':':
				row = last
				flush()
			case c == ',':
				row += strings.Repeat("0", per*2-len(row))
				flush()
			case c >= 'g' && c <= 'z':
				count += int(c-'g'+1) * 20
			case c >= 'G' && c <= 'Y':
				count += int(c - 'G' + 1)
			default:
				row += strings.Repeat(string(c), max(1, count))
				count = 0
				if len(row) == per*2 {
					flush()
				}
			}
		}
		if rows*per != size {
			t.Fatalf("%d rows of %d bytes, and %d are said", rows, per, size)
		}
	}
	return out
}

// TestTogether prints at the same time by one press: the font and the design are shared.
func TestTogether(t *testing.T) {
	p := press(t, bottle(t))
	var wait sync.WaitGroup
	out := make([]bytes.Buffer, 6)
	for i := range out {
		wait.Go(func() {
			run := Run{Things: things(5), Made: time.Unix(0, 0)}
			err := [...]func() error{
				func() error { return p.PDF(context.Background(), &out[i], run) },
				func() error { return p.WriteZPL(context.Background(), &out[i], run) },
				func() error { return p.Zip(context.Background(), &out[i], "png", run) },
			}[i%3]()
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i := range 3 {
		if !bytes.Equal(out[i].Bytes(), out[i+3].Bytes()) {
			t.Errorf("%d: two runs of the same differ", i)
		}
	}
}
