package label

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
)

func bottle(t testing.TB) *Design {
	t.Helper()
	b, err := os.ReadFile("testdata/bottle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Read("bottle.yaml", b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func logo() string { return logoWith("") }

// logoWith is an image with something behind its end.
func logoWith(tail string) string {
	var b bytes.Buffer
	im := image.NewGray(image.Rect(0, 0, 8, 4))
	png.Encode(&b, im)
	b.WriteString(tail)
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestReadDesign(t *testing.T) {
	d := bottle(t)
	if d.Width != 60 || len(d.Elements) != 7 || d.Name.ZH != "瓶标" || d.Elements[5].Symbol != QR {
		t.Fatalf("%+v", d)
	}
	// The same in JSON.
	j, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read("bottle.json", j)
	if err != nil {
		t.Fatal(err)
	}
	if j2, _ := json.Marshal(again); !bytes.Equal(j, j2) {
		t.Errorf("%s\n%s", j, j2)
	}
}

func TestFaults(t *testing.T) {
	head := "width: 60\nheight: 40\nelements:\n"
	for _, c := range []struct {
		name, in string
		line     int
		en, zh   string
	}{
		{"no YAML", "width: [1", 1, "no YAML", "YAML"},
		{"an unknown key", "width: 60\nheight: 40\ncolour: red\nelements:\n  - {type: line, width: 3}\n", 3, "colour", "colour"},
		{"an unknown key of an element", head + "  - {type: line, width: 3}\n  - {type: line, width: 3, kolor: red}\n", 5, "kolor", "kolor"},
		{"a word for a number", "width: wide\nheight: 40\nelements:\n  - {type: line, width: 3}\n", 1, "correct it", "改正"},
		{"nothing", "", 0, "documents", "文档"},
		{"two labels", head + "  - {type: line, width: 3}\n---\nwidth: 3\n", 0, "2 documents", "2 个文档"},
		{"no elements", "width: 60\nheight: 40\n", 1, "1 to 100 elements", "1 至 100"},
		{"an unknown type", head + "  - type: blob\n", 4, "text, symbol, line", "text"},
		{"an unknown symbol", head + "  - {type: symbol, symbol: aztec, data: x}\n", 4, "choose one of qr", "可选 qr"},
		{"no data", head + "  - {type: line, width: 3}\n  - type: symbol\n    symbol: qr\n", 5, "no data", "没有数据"},
		{"an open bracket", head + "  - type: text\n    x: 1\n    text: 'a {name'\n", 6, "nothing closes", "没有闭合"},
		{"a closed bracket", head + "  - {type: text, text: 'a }'}\n", 4, "not opened", "没有开始"},
		{"a field without a name", head + "  - {type: text, text: 'a {}'}\n", 4, "names no field", "没有给出字段"},
		{"beyond the edge", head + "  - {type: text, text: a, x: 61}\n", 4, "between 0 and 60 mm", "0 与 60"},
		{"too wide", head + "  - {type: box, x: 10, width: 51, height: 3}\n", 4, "width", "width"},
		{"a wrong level", head + "  - {type: symbol, symbol: qr, data: x, level: Z}\n", 4, "L, M, Q or H", "L、M、Q、H"},
		{"a level where none is", head + "  - {type: symbol, symbol: code128, data: x, level: M}\n", 4, "leave it out", "去掉"},
		{"no image", head + "  - {type: image, width: 3, height: 3, image: 'aGVsbG8='}\n", 4, "neither PNG nor JPEG", "PNG"},
		{"no base64", head + "  - {type: image, width: 3, height: 3, image: '%%'}\n", 4, "base64", "base64"},
		{"an image of SVG", head + "  - {type: image, width: 3, height: 3, image: 'data:image/svg+xml;base64,PHN2Zz48L3N2Zz4='}\n", 4, "neither PNG nor JPEG", "PNG"},
		{"a sheet that is too small", head + "  - {type: line, width: 3}\nsheet: {paper: A4, rows: 9, columns: 3}\n", 5, "210.0 × 297.0", "297.0"},
		{"an alias", "width: &a 60\nheight: *a\nelements:\n  - {type: line, width: 3}\n", 1, "anchors", "锚点"},
		{"not a number", "width: .nan\nheight: 40\nelements:\n  - {type: line, width: 3}\n", 1, "not between 5 and 500", "500"},
		{"a bad name", head + "  - {type: line, width: 3}\nlabel: a/b\n", 5, "no name of a label", "不是标签名称"},
		{"not UTF-8", "width: \xff", 0, "UTF-8", "UTF-8"},
		{"too long", strings.Repeat("#", MaxBytes+1), 0, "over the limit", "超过上限"},
		{"a narrow box", head + "  - {type: symbol, symbol: qr, data: x, width: 2, height: 2}\n", 4, "no symbol fits", "放不下"},
		{"deep", strings.Repeat("[", 5000), 0, "too deep", "过深"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read("x.yaml", []byte(c.in))
			var f Faults
			if !errors.As(err, &f) || !problem.Is(err, problem.BadValue) {
				t.Fatalf("%v", err)
			}
			if f[0].File != "x.yaml" || f[0].Line != c.line || !strings.Contains(f[0].EN, c.en) || !strings.Contains(f[0].ZH, c.zh) {
				t.Errorf("%+v", f)
			}
			if c.line > 0 && !strings.HasPrefix(err.Error(), "x.yaml:") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Read("x.yaml", []byte("width: 1\nheight: 900\nelements:\n  - {type: symbol, symbol: x}\n"))
	var f Faults
	if !errors.As(err, &f) || len(f) < 4 {
		t.Errorf("%v", err)
	}
}

func TestExpr(t *testing.T) {
	f := Fields{"id": "88.118.1001/A B/1", "Name": "瓶", "empty": ""}
	for _, c := range []struct {
		in, text, data string
		kind           problem.Kind
	}{
		{"{id}", "88.118.1001/A B/1", "88.118.1001/A B/1", 0},
		{"https://id.example.cn/{id}?x={name}", "https://id.example.cn/88.118.1001/A B/1?x=瓶", "https://id.example.cn/88.118.1001/A%20B/1?x=%E7%93%B6", 0},
		{"{{{name}}}", "{瓶}", "{瓶}", 0},
		{"{missing}", "", "", problem.NoValues},
		{"{missing|–} kg", "– kg", "– kg", 0},
		{"{empty|none}", "none", "none", 0},
		{"{ NAME }", "瓶", "瓶", 0},
	} {
		x, err := parseExpr(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.say(f, false); err != nil || got != c.text {
			t.Errorf("%s: %q %v", c.in, got, err)
		}
		got, err := x.say(f, true)
		if c.kind != 0 {
			if !problem.Is(err, c.kind) || !strings.Contains(err.Error(), "missing") || !strings.Contains(err.Error(), "88.118.1001/A B/1") {
				t.Errorf("%s: %v", c.in, err)
			}
		} else if err != nil || got != c.data {
			t.Errorf("%s: %q %v", c.in, got, err)
		}
	}
}

func TestComplete(t *testing.T) {
	for in, want := range map[string]Fields{
		"88.118.1001/B-1":                         {"prefix": "88.118.1001", "suffix": "B-1"},
		"(01)09521234543213(21)A1":                {"gs1": "(01)09521234543213(21)A1", "gs1path": "01/09521234543213/21/A1"},
		"https://id.gs1.org/01/09521234543213":    {"gs1": "(01)09521234543213", "gs1path": "01/09521234543213"},
		"https://example.com/nothing/of/the/kind": {},
	} {
		got := Complete(Fields{"id": in})
		delete(got, "id")
		if len(got) != len(want) {
			t.Errorf("%s: %v", in, got)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %q", in, k, got[k])
			}
		}
	}
	x, err := parseExpr("https://id.example.cn/{gs1path}")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.say(Complete(Fields{"id": "(01)09521234543213(10)A/1(17)261130"}), true); err != nil || got != "https://id.example.cn/01/09521234543213/10/A%2F1?17=261130" {
		t.Errorf("%q %v", got, err)
	}
	if got := Complete(Fields{"id": "88.1/x", "gs1": "(01)09521234543213", "prefix": "mine"}); got["gs1"] != "(01)09521234543213" || got["prefix"] != "mine" {
		t.Errorf("%v", got)
	}
}

// TestTextFits draws random texts in random boxes: no line is wider than its box, none leaves it below, unless not even the smallest size goes in.
func TestTextFits(t *testing.T) {
	face, err := openFace()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		e := Element{Type: Text, X: rapid.Float64Range(0, 20).Draw(t, "x"), Y: rapid.Float64Range(0, 20).Draw(t, "y"), Width: rapid.Float64Range(8, 30).Draw(t, "width"), Height: rapid.Float64Range(3, 20).Draw(t, "height"),
			Text: rapid.StringMatching(`[A-Za-z0-9 ,/中文节符标签。-]{1,120}`).Draw(t, "text"), Size: rapid.Float64Range(4, 30).Draw(t, "size"), Fit: rapid.SampledFrom([]string{"", "shrink", "wrap", "clip"}).Draw(t, "fit"),
			Align: rapid.SampledFrom([]string{"", "center", "right"}).Draw(t, "align")}
		p, err := NewPress(&Design{Width: 60, Height: 50, Elements: []Element{e}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.Draw(Fields{"id": "x"})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range d.marks {
			if w := face.measure(m.text) * m.size; m.x < e.X-0.01 || m.x+w > e.X+e.Width+0.01 || w-m.w > 0.01 {
				t.Fatalf("%q at %.2f is %.2f wide", m.text, m.x, w)
			}
			if m.y+m.size*descent > e.Y+e.Height+0.01 || m.y-m.size*ascent < e.Y-0.01 {
				t.Fatalf("%q at size %.2f goes from %.2f to %.2f", m.text, m.size, m.y-m.size*ascent, m.y+m.size*descent)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	b, err := os.ReadFile("testdata/bottle.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"width":60,"height":40,"elements":[{"type":"text","text":"{id}"}]}`))
	f.Add([]byte("width: 60\nheight: 40\nelements:\n  - {type: image, width: 3, height: 3, image: " + logo() + "}\n"))
	f.Add([]byte("width: &a 60\nheight: *a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Read("x.yaml", b)
		if err != nil {
			var f Faults
			if !errors.As(err, &f) || len(f) == 0 || f[0].EN == "" || f[0].ZH == "" {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		p, err := NewPress(d)
		if err != nil {
			t.Fatal(err)
		}
		x, err := p.Draw(Fields{"id": "88.118.1001/A1", "gs1": "(01)09521234543213"})
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := x.SVG(&out); err != nil {
			t.Fatal(err)
		}
	})
}
