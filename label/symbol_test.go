package label

import (
	"fmt"
	"image"
	"image/color"
	"strings"
	"testing"

	boombuler "github.com/boombuler/barcode/qr"
	"github.com/makiuchi-d/gozxing"
	zxdm "github.com/makiuchi-d/gozxing/datamatrix"
	"github.com/makiuchi-d/gozxing/oned"
	zxqr "github.com/makiuchi-d/gozxing/qrcode"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
)

// picture is a symbol with its quiet zone, 3 dots a module.
func (s *Symbol) picture() image.Image {
	const m = 3
	rows := s.RowHeight
	if rows == 0 {
		rows = 30
	}
	q := s.Quiet + 2
	im := image.NewGray(image.Rect(0, 0, (s.Width+2*q)*m, (s.Height*rows+2*q)*m))
	for i := range im.Pix {
		im.Pix[i] = 255
	}
	for b := range s.Boxes() {
		for y := (b.Y*rows + q) * m; y < ((b.Y+b.H)*rows+q)*m; y++ {
			for x := (b.X + q) * m; x < (b.X+b.W+q)*m; x++ {
				im.SetGray(x, y, color.Gray{})
			}
		}
	}
	return im
}

// scan reads the one symbol of the kind that is in a picture, by a reader that is not ours; a PDF417 by the one below, since there is no other. GS1 symbols give their data
// with a group separator for each FNC1, behind ]C1 or ]d2.
func scan(k Kind, im image.Image) (string, error) {
	if k == PDF417 {
		return scanPDF417(im)
	}
	src := gozxing.NewLuminanceSourceFromImage(im)
	bits, err := gozxing.NewBinaryBitmap(gozxing.NewHybridBinarizer(src))
	if err != nil {
		return "", err
	}
	hints := map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true}
	var r gozxing.Reader
	switch k {
	case QR:
		r = zxqr.NewQRCodeReader()
		hints[gozxing.DecodeHintType_CHARACTER_SET] = "UTF-8"
	case Code128, GS1128:
		r = oned.NewCode128Reader()
		if k == GS1128 {
			hints[gozxing.DecodeHintType_ASSUME_GS1] = true
		}
	default:
		r = zxdm.NewDataMatrixReader()
	}
	res, err := r.Decode(bits, hints)
	if err != nil && !k.Linear() { // the reader's search for corners is now and then misled by the data; it can read the modules without
		hints[gozxing.DecodeHintType_PURE_BARCODE] = true
		res, err = r.Decode(bits, hints)
	}
	if err != nil {
		return "", err
	}
	text := res.GetText()
	if k == DataMatrix {
		// The reader does not know ECI 26, and takes some bytes for Latin-1: its codewords are right, its text is not.
		return readDataMatrix(res.GetRawBytes())
	}
	if k == GS1DataMatrix {
		text = "]d2" + strings.TrimPrefix(text, "\x1d")
	}
	return text, nil
}

// readDataMatrix reads codewords as ISO/IEC 16022, 5.2 has them.
func readDataMatrix(w []byte) (string, error) {
	var out []byte
	at := func(i int) byte { // base 256 without its scrambling
		return w[i] - byte(149*(i+1)%255+1)
	}
	upper := byte(0)
	for i := 0; i < len(w); i++ {
		switch c := w[i]; {
		case c == 129:
			return string(out), nil
		case c <= 128:
			out, upper = append(out, c-1+upper), 0
		case c < 230:
			out = append(out, '0'+(c-130)/10, '0'+(c-130)%10)
		case c == 235:
			upper = 128
		case c == 241:
			if i++; w[i] != 27 {
				return "", fmt.Errorf("ECI codeword %d", w[i])
			}
		case c == 231:
			i++
			n := int(at(i))
			if n > 249 {
				i++
				n = (n-249)*250 + int(at(i))
			}
			for range n {
				i++
				out = append(out, at(i))
			}
		case c == 230 || c == 239:
			basic := " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			if c == 239 {
				basic = strings.ToLower(basic)
			}
			set := -1
			for i++; w[i] != 254; i += 2 {
				v := int(w[i])*256 + int(w[i+1]) - 1
				for _, x := range [...]int{v / 1600, v / 40 % 40, v % 40} {
					switch {
					case set < 0 && x < 3:
						set = x
						continue
					case set < 0:
						out = append(out, basic[x-3])
					case set == 0:
						out = append(out, byte(x))
					case set == 1:
						out = append(out, "!\"#$%&'()*+,-./:;<=>?@[\\]^_"[x])
					case c == 230:
						out = append(out, byte(96+x))
					case x == 0 || x > 26:
						out = append(out, byte(96+x))
					default:
						out = append(out, byte(64+x))
					}
					set = -1
				}
			}
		default:
			return "", fmt.Errorf("codeword %d at %d", c, i)
		}
	}
	return string(out), nil
}

// scanned is what a reader gives of the data.
func scanned(t testing.TB, k Kind, data string) string {
	if !k.GS1() {
		return data
	}
	raw, err := elements(data)
	if err != nil {
		t.Fatal(err)
	}
	return map[Kind]string{GS1128: "]C1", GS1DataMatrix: "]d2"}[k] + raw
}

var nasty = map[Kind][]string{
	QR: {"1", "0123456789012345678901234567890123456789", "88.118.1001/ABC-12", "https://id.example.cn/88.118.1001/%E4%B8%AD", "符节·中文标签 é ß ∑ 😀", "A", " ", "\x00\x01\x02 tab\tnl\n", strings.Repeat("A1", 900),
		strings.Repeat("中文", 150), "<script>alert(1)</script>", `"'&<>`},
	DataMatrix: {"1", "12", "123", "88.118.1001/ABC-12", "HELLO WORLD AND MORE CAPITALS", "hello world and more small letters", "MiXeD cAsE 0123456789 x", "\x00\x1f\x7f~`{}|", "符节·中文标签 é ß 😀", "a中b文c",
		strings.Repeat("9", 3000), strings.Repeat("A", 2000), strings.Repeat("a%", 700), strings.Repeat("é", 300), strings.Repeat("\x01", 249), strings.Repeat("中", 84), strings.Repeat("中", 83), "AB1", "AB", "ABC", "ABCD", "aA", "___"},
	GS1DataMatrix: {"(01)09521234543213", "(01)09521234543213(21)A1", "(01)09521234543213(17)261130(10)ABC123(21)a-_/1", "(00)195212345678900006", "(01)09521234543213(10)A(21)B(240)C"},
	Code128:       {"1", "12", "123", "1234567", "Ab12345678", "88.118.1001/ABC-12", "\x00\x01\x1f", "a\x01b", "AB\x01\x02ab\x7f", ">^~>", "00000000", "x00000000", "a1b22c333d4444e55555f666666", strings.Repeat("9", 79), "A\tB"},
	GS1128:        {"(01)09521234543213", "(01)09521234543213(21)A1", "(01)09521234543213(10)AB12(21)cd34", "(01)09521234543213(10)ABC123(21)a-_/1", "(00)195212345678900006"},
	PDF417: {"1", "A", "88.118.1001/ABC-12", "1234567890123456789012345678901234567890123456789012345678901234567890", "abc ABC 123 ;;; [x] {y}\n\t\r", "符节·中文标签 é ß 😀", "a中b文c", "中文中文", "\x00\x01\x02\x03\x04\x05", "\x01\x02",
		"text 12345678901234567890 text中12345678901234567890", strings.Repeat("A", 1500), strings.Repeat("9", 2500), strings.Repeat("a;", 600), strings.Repeat("中", 300), "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
}

func TestReadBack(t *testing.T) {
	for _, k := range Kinds {
		for i, data := range nasty[k] {
			t.Run(fmt.Sprint(k, i), func(t *testing.T) {
				for _, o := range []Options{{}, {Level: map[Kind]string{QR: "H", PDF417: "1"}[k], Oblong: true, Columns: map[Kind]int{PDF417: 12}[k]}} {
					s, err := Encode(k, data, o)
					if problem.Is(err, problem.TooLarge) && o.Level != "" {
						continue
					}
					if err != nil {
						t.Fatalf("%.60q: %v", data, err)
					}
					got, err := scan(k, s.picture())
					if want := scanned(t, k, data); err != nil || got != want {
						t.Errorf("%s %s: %v\n read %.120q\nwrote %.120q", s.Version, s.Level, err, got, want)
					}
				}
			})
		}
	}
}

func TestEverySizeOfDataMatrix(t *testing.T) {
	seen := map[string]bool{}
	for _, z := range dmSizes {
		data := strings.Repeat("12", z.data) // a codeword each, and no size smaller holds them
		s, err := Encode(DataMatrix, data, Options{Oblong: true})
		if err != nil {
			t.Fatal(err)
		}
		got, err := scan(DataMatrix, s.picture())
		if err != nil || got != data {
			t.Errorf("%s: %v %.40q", s.Version, err, got)
		}
		seen[s.Version] = true
	}
	if len(seen) < len(dmSizes)-2 { // 20x20 and 12x36 hold the same
		t.Errorf("only %d sizes came out: %v", len(seen), seen)
	}
}

// TestEveryVersionOfQR fills each of the 160 QR codes and reads it back.
func TestEveryVersionOfQR(t *testing.T) {
	for level, name := range qrLevels {
		for version := 1; version <= 40; version++ {
			room := qrCodewords(version) - qrECC[level][version-1]*qrBlocks[level][version-1]
			n := room - 2
			if version > 9 {
				n--
			}
			data := strings.Repeat("fujie ", 500)[:n]
			s, err := Encode(QR, data, Options{Level: string(name)})
			if err != nil || s.Version != fmt.Sprint(version) {
				t.Fatalf("%d%c: %s %v", version, name, s.Version, err)
			}
			if got, err := scan(QR, s.picture()); err != nil || got != data {
				t.Errorf("%d%c: %v %.40q", version, name, err, got)
			}
		}
	}
}

// TestQRLikeOthers holds our symbols against another encoder's: with the same mode for the whole text they are of the same version, and mixing modes never makes them larger.
func TestQRLikeOthers(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[0-9]{1,400}`), rapid.StringMatching(`[0-9A-Z./:-]{1,300}`), rapid.StringMatching(`[a-z]{1,200}`), rapid.StringMatching(`https://[a-z.]{5,20}/[0-9]{0,30}[A-Z]{0,20}[0-9]{0,20}`))
	smaller := 0
	rapid.Check(t, func(t *rapid.T) {
		data, level := text.Draw(t, "data"), rapid.SampledFrom([]string{"L", "M", "Q", "H"}).Draw(t, "level")
		s, err := Encode(QR, data, Options{Level: level})
		if err != nil {
			t.Fatal(err)
		}
		other, err := boombuler.Encode(data, map[string]boombuler.ErrorCorrectionLevel{"L": boombuler.L, "M": boombuler.M, "Q": boombuler.Q, "H": boombuler.H}[level], boombuler.Auto)
		if err != nil {
			t.Fatal(err)
		}
		runs, _ := qrRuns(data, 0)
		if n := other.Bounds().Dx(); s.Width > n || len(runs) == 1 && s.Width != n {
			t.Fatalf("%d modules, and others make it with %d; %v", s.Width, n, runs)
		} else if s.Width < n {
			smaller++
		}
	})
	if smaller == 0 {
		t.Error("mixing modes never helped")
	}
}

func TestRandomData(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[0-9]{1,60}`), rapid.StringMatching(`[0-9A-Z./:-]{1,60}`), rapid.StringMatching(`[ -~]{1,70}`), rapid.StringOfN(rapid.Rune(), 1, 40, 150),
		rapid.StringMatching(`([a-z]{0,5}[0-9]{0,16}[中文节]{0,2}[;,!]{0,3}){1,4}x`))
	for _, k := range []Kind{QR, DataMatrix, PDF417, Code128} {
		t.Run(string(k), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				data := text.Draw(t, "data")
				if k == Code128 {
					data = rapid.StringMatching(`[\x00-\x7f]{1,40}`).Draw(t, "ascii")
				}
				s, err := Encode(k, data, Options{Oblong: rapid.Bool().Draw(t, "oblong")})
				if err != nil {
					t.Fatal(err)
				}
				got, err := scan(k, s.picture())
				if err != nil || got != data {
					t.Fatalf("%v: read %q", err, got)
				}
			})
		})
	}
}

func TestBoxesCover(t *testing.T) {
	for _, k := range Kinds {
		s, err := Encode(k, nasty[k][0], Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := map[[2]int]int{}
		for b := range s.Boxes() {
			for y := b.Y; y < b.Y+b.H; y++ {
				for x := b.X; x < b.X+b.W; x++ {
					n[[2]int{x, y}]++
				}
			}
		}
		for y := range s.Height {
			for x := range s.Width {
				if (n[[2]int{x, y}] == 1) != s.At(x, y) || n[[2]int{x, y}] > 1 {
					t.Fatalf("%s: module %d,%d is covered %d times and dark is %v", k, x, y, n[[2]int{x, y}], s.At(x, y))
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		k    Kind
		data string
		o    Options
		kind problem.Kind
		say  string
	}{
		{QR, "", Options{}, problem.BadValue, "needs data"},
		{QR, "a\xff", Options{}, problem.BadValue, "UTF-8"},
		{QR, strings.Repeat("中", 1000), Options{Level: "H"}, problem.TooLarge, "1273"},
		{QR, "a", Options{Level: "X"}, problem.BadValue, "L (7 %)"},
		{"aztec", "a", Options{}, problem.BadValue, "choose one of qr"},
		{Code128, "中", Options{}, problem.BadValue, "ASCII only"},
		{Code128, strings.Repeat("a", 81), Options{}, problem.TooLarge, "80"},
		{GS1128, "(01)09521234543214", Options{}, problem.BadID, ""},
		{GS1128, "(01)09521234543213(10)12345678901234567890(21)12345678901234567890", Options{}, problem.TooLarge, "48"},
		{GS1DataMatrix, "88.118/x", Options{}, problem.BadID, ""},
		{DataMatrix, strings.Repeat("9", 3200), Options{}, problem.TooLarge, "1555"},
		{DataMatrix, strings.Repeat("a%", 900), Options{}, problem.TooLarge, "shorten"},
		{PDF417, strings.Repeat("中", 600), Options{}, problem.TooLarge, "shorten"},
		{PDF417, "a", Options{Level: "9"}, problem.BadValue, "0 to 8"},
		{PDF417, "a", Options{Columns: 31}, problem.BadValue, "1 to 30"},
		{PDF417, strings.Repeat("9", 2000), Options{Columns: 1}, problem.TooLarge, "columns"},
		{QR, strings.Repeat("9", 8000), Options{}, problem.TooLarge, ""},
	} {
		_, err := Encode(c.k, c.data, c.o)
		if !problem.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.say) {
			t.Errorf("%s %.20q: %v", c.k, c.data, err)
		}
	}
}
