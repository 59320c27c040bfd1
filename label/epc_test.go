package label

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
)

func TestEPC(t *testing.T) {
	for _, c := range []struct {
		name string
		afi  byte
		hex  string
	}{
		// 0x06, then 8 8 . 1 / A B at six bits: 111000 111000 101110 110001 101111 000001 000010, and zero bits to the word.
		{"88.1/ab", 0xa1, "21a106e38bb1bc108000"},
		{"中", 0, "110008e4b8ad"},
	} {
		got, err := EPC(c.name, c.afi)
		if err != nil || hex.EncodeToString(got) != c.hex {
			t.Errorf("%s: %x %v, want %s", c.name, got, err, c.hex)
		}
	}
	for name, kind := range map[string]problem.Kind{"": problem.BadValue, "\xff": problem.BadValue, "a\x00": problem.BadValue, "88.118/" + strings.Repeat("A", 80): problem.TooLarge} {
		if _, err := EPC(name, 0); !problem.Is(err, kind) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	for in, kind := range map[string]problem.Kind{"": problem.BadValue, "2100": problem.BadValue, "210006e3": problem.BadValue, "30003008000000000000": problem.Unsupported, "0900ffff": problem.Unsupported, "09000600": problem.BadValue, "090008ff": problem.BadValue} {
		b, _ := hex.DecodeString(in)
		if m, err := ParseEPC(b); !problem.Is(err, kind) {
			t.Errorf("%s: %+v %v", in, m, err)
		}
	}
}

func TestEPCThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, err := id.Parse("88.118." + rapid.StringMatching(`[0-9]{1,4}`).Draw(t, "prefix") + "/" + rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9._/@ -]{1,30}x`), rapid.StringOfN(rapid.RuneFrom([]rune("符节a1@")), 1, 8, 30)).Draw(t, "suffix"))
		if err != nil {
			t.Skip()
		}
		afi := rapid.Byte().Draw(t, "afi")
		mem, err := EPC(v.String(), afi)
		if err != nil {
			t.Fatal(err)
		}
		if len(mem)%2 != 0 {
			t.Fatalf("%x", mem)
		}
		m, err := ParseEPC(append(mem, 0xde, 0xad)) // a tag's bank goes on
		if err != nil || m.ID != v.String() || m.AFI != afi {
			t.Fatalf("%+v %v", m, err)
		}
	})
}

func FuzzParseEPC(f *testing.F) {
	for _, s := range []string{"88.118.1001/BOX-1", "中文"} {
		b, err := EPC(s, 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseEPC(b)
		if err != nil {
			return
		}
		again, err := EPC(m.ID, m.AFI)
		if err != nil {
			return // octets that need fewer bits as written
		}
		if n, err := ParseEPC(again); err != nil || n.ID != m.ID {
			t.Fatalf("%x: %+v, then %+v %v", b, m, n, err)
		}
	})
}

func TestAdvice(t *testing.T) {
	has := func(a *Advice, code string) bool {
		for _, w := range a.Warnings {
			if w.Code == code && w.EN != "" && w.ZH != "" && !strings.Contains(w.EN+w.ZH, "%!") {
				return true
			}
		}
		return false
	}
	url := "https://id.example.cn/88.118.1001/bottle-000123456"
	for _, c := range []struct {
		name string
		q    Question
		code string // empty: no warning at all
	}{
		{"a good QR code", Question{Symbol: QR, Data: "HTTPS://ID.EXAMPLE.CN/88.118.1001/BOTTLE-000123456", Width: 25, Height: 25, DPI: 300}, ""},
		{"too small", Question{Symbol: QR, Data: url, Width: 8, DPI: 203}, "module-small"},
		{"no whole dots", Question{Symbol: QR, Data: url, Module: 0.4, DPI: 203}, "module-dots"},
		{"does not fit", Question{Symbol: QR, Data: url, Module: 1, Width: 20}, "does-not-fit"},
		{"too little correction", Question{Symbol: QR, Data: url, Level: "L", Width: 30, Damage: "harsh"}, "level-low"},
		{"capitals are shorter", Question{Symbol: QR, Data: url, Width: 30}, "case"},
		{"low bars", Question{Symbol: Code128, Data: "ABC-12345678", Width: 60, Height: 3}, "bars-low"},
		{"long bars", Question{Symbol: Code128, Data: strings.Repeat("A", 30), Module: 0.25}, "long"},
		{"Chinese in Data Matrix", Question{Symbol: DataMatrix, Data: "中文", Width: 20}, "not-ascii"},
		{"good bars", Question{Symbol: Code128, Data: "ABC123", Module: 0.25, Height: 12, DPI: 203}, ""},
		{"a good Data Matrix", Question{Symbol: DataMatrix, Data: "88.118.1001/A-1", Width: 12, Height: 12, DPI: 300}, ""},
	} {
		a, err := Advise(c.q)
		if err != nil {
			t.Fatal(err)
		}
		if c.code == "" && len(a.Warnings) > 0 || c.code != "" && !has(a, c.code) {
			t.Errorf("%s: %v", c.name, a.Warnings)
		}
	}
	// What is chosen fits, and stands the damage when that fits.
	a, err := Advise(Question{Symbol: QR, Data: url, Width: 30, Damage: "harsh"})
	if err != nil || a.Choose != "H" || len(a.Levels) != 4 || a.Levels[0].Modules > a.Levels[3].Modules {
		t.Errorf("%+v %v", a, err)
	}
	if a, err = Advise(Question{Symbol: QR, Data: url, Width: 14.5, Damage: "harsh"}); err != nil || a.Choose == "H" || a.Choose == "" {
		t.Errorf("%+v %v", a, err)
	}
	if _, err = Advise(Question{Symbol: Code128, Data: "中"}); !problem.Is(err, problem.BadValue) {
		t.Errorf("%v", err)
	}
	// Of a design, for one thing.
	list, err := press(t, bottle(t)).Advise(spring)
	if err != nil || len(list) != 2 || list[0].Symbol != QR || !has(&list[0], "level-low") || list[0].Warnings[0].Element != 6 {
		t.Errorf("%+v %v", list, err)
	}
}

// TestAdviceIsTrue holds what advice says of a module against what is drawn.
func TestAdviceIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &Design{Width: 80, Height: 80, DPI: rapid.SampledFrom([]int{0, 203, 300}).Draw(t, "dpi"), Elements: []Element{{Type: Barcode, Symbol: rapid.SampledFrom([]Kind{QR, DataMatrix, PDF417}).Draw(t, "kind"), Data: "{id}",
			Width: float64(rapid.IntRange(30, 80).Draw(t, "width")), Height: float64(rapid.IntRange(0, 1).Draw(t, "some")) * 40}}}
		f := Fields{"id": rapid.StringMatching(`[A-Z0-9]{1,40}`).Draw(t, "id")}
		p, err := NewPress(d)
		if err != nil {
			t.Fatal(err)
		}
		x, err := p.Draw(f)
		if err != nil {
			t.Skip()
		}
		a, err := p.Advise(f)
		if err != nil {
			t.Fatal(err)
		}
		if m := x.marks[0]; m.module-a[0].Module > 0.001 || a[0].Module-m.module > 0.001 {
			t.Fatalf("drawn with %.4f mm, and %.4f are said", m.module, a[0].Module)
		}
	})
}

func TestNoSecretsOfImages(t *testing.T) {
	// What stands behind the end of an image is not carried into labels.
	design := &Design{Width: 20, Height: 20, Elements: []Element{{Type: Picture, Width: 10, Height: 10, Image: "data:image/png;base64," + logoWith("<script>")}}}
	d, err := press(t, design).Draw(Fields{"id": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(d.marks[0].image, []byte("<script>")) {
		t.Error("the image goes in as it came")
	}
}
