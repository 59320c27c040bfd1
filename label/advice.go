package label

import (
	"fmt"
	"math"
	"strings"

	"github.com/fujie-id/fujie/problem"
)

// Question is a symbol to get advice on.
type Question struct {
	Symbol  Kind    `json:"symbol" enum:"qr,datamatrix,gs1-datamatrix,code128,gs1-128,pdf417" doc:"The symbology (码制)"`
	Data    string  `json:"data" minLength:"1" maxLength:"7089" doc:"What it holds, or the longest that it will hold"`
	Level   string  `json:"level,omitempty" doc:"Error correction (纠错等级), L M Q H of qr, 0 to 8 of pdf417"`
	Module  float64 `json:"module,omitempty" minimum:"0" maximum:"10" doc:"mm of a module; 0: as large as the box takes"`
	Width   float64 `json:"width,omitempty" minimum:"0" maximum:"500" doc:"mm of its box with the quiet zone; 0: whatever it needs"`
	Height  float64 `json:"height,omitempty" minimum:"0" maximum:"500" doc:"mm of its box"`
	DPI     int     `json:"dpi,omitempty" minimum:"0" maximum:"1200" doc:"Dots per inch of the printer"`
	Damage  string  `json:"damage,omitempty" enum:"clean,normal,rough,harsh" doc:"clean: kept dry and flat; normal; rough: transport, handling, weather; harsh: oil, abrasion, heat, parts of it may be lost"`
	Columns int     `json:"columns,omitempty" minimum:"0" maximum:"30"`
	Oblong  bool    `json:"oblong,omitempty"`
}

// Advice is what there is to say about a symbol before it is printed.
type Advice struct {
	Symbol  Kind    `json:"symbol"`
	Version string  `json:"version,omitempty" doc:"Its size as its standard names it"`
	Level   string  `json:"level,omitempty"`
	Modules [2]int  `json:"modules" doc:"Modules across and down, without the quiet zone"`
	Quiet   int     `json:"quiet" doc:"Modules that must stay light around it (静区)"`
	Module  float64 `json:"module" doc:"mm of a module"`
	Dots    float64 `json:"dots,omitempty" doc:"of the printer a module"`
	Least   float64 `json:"least" doc:"mm that a module should have at least"`
	Width   float64 `json:"width" doc:"mm with its quiet zone"`
	Height  float64 `json:"height" doc:"mm with its quiet zone"`
	Reach   float64 `json:"reach" doc:"cm from which a phone reads it, about"`
	// Levels are what a QR code would be at each level of error correction in the same box.
	Levels   []LevelAdvice `json:"levels,omitempty"`
	Choose   string        `json:"choose,omitempty" doc:"The level that fits and stands the damage that is expected"`
	Warnings []Warning     `json:"warnings" doc:"What may keep it from scanning; none is good"`
}

// LevelAdvice is one level of error correction.
type LevelAdvice struct {
	Level    string  `json:"level"`
	Recovers int     `json:"recovers" doc:"Percent of the symbol that may be lost"`
	Version  string  `json:"version" doc:"Empty: the data do not go in"`
	Modules  int     `json:"modules"`
	Module   float64 `json:"module" doc:"mm of a module in the same box"`
	Fits     bool    `json:"fits" doc:"Its modules are no smaller than they should be"`
}

// Warning is one thing that is not as it should be, with its cure.
type Warning struct {
	Element int    `json:"element,omitempty" doc:"Of the design, from 1"`
	Code    string `json:"code" enum:"module-small,module-dots,does-not-fit,level-low,bars-low,long,not-ascii,case" doc:"For programs"`
	EN      string `json:"en"`
	ZH      string `json:"zh"`
}

// least is the smallest module in mm that common readers of the kind should be asked to read (GS1 General Specifications 5.12, ISO/IEC 18004 7): phones for QR, imagers for Data
// Matrix, lasers for bars.
func (k Kind) least() float64 {
	switch k {
	case QR:
		return 0.33
	case DataMatrix, GS1DataMatrix:
		return 0.254
	case GS1128:
		return 0.25
	case PDF417:
		return 0.17
	}
	return 0.19
}

var recovers = map[string]int{"L": 7, "M": 15, "Q": 25, "H": 30}

// Advise says whether a symbol will scan at its size, and what to change when not. Errors are those of Encode: data that no symbol takes.
func Advise(q Question) (*Advice, error) {
	o := Options{Level: q.Level, Columns: q.Columns, Oblong: q.Oblong}
	s, err := Encode(q.Symbol, q.Data, o)
	if err != nil {
		return nil, err
	}
	a := &Advice{Symbol: q.Symbol, Version: s.Version, Level: s.Level, Modules: [2]int{s.Width, s.Height * max(1, s.RowHeight)}, Quiet: s.Quiet, Least: q.Symbol.least(), Warnings: []Warning{}}
	warn := func(code, en, zh string, args ...any) {
		e := problem.New(problem.BadValue, en, zh, args...)
		a.Warnings = append(a.Warnings, Warning{0, code, e.EN, e.ZH})
	}
	dot := 0.0
	if q.DPI > 0 {
		dot = 25.4 / float64(q.DPI)
		a.Least = math.Ceil(a.Least/dot-0.02) * dot // the next whole dot
		a.Least = max(a.Least, 2*dot)               // a single dot bleeds or vanishes
	}
	a.Module = q.module(s, dot)
	wide := float64(s.Width + 2*s.Quiet)
	a.Width = wide * a.Module
	a.Height = float64(s.Height*s.RowHeight+2*s.Quiet) * a.Module
	if s.RowHeight == 0 {
		if a.Height = q.Height; a.Height == 0 {
			a.Height = defaultBars
		}
	}
	if dot > 0 {
		a.Dots = a.Module / dot
	}
	round := func(v *float64) { *v = math.Round(*v*1000) / 1000 }

	if q.Width > 0 && a.Width > q.Width+0.01 || q.Height > 0 && a.Height > q.Height+0.01 || a.Module <= 0 {
		warn("does-not-fit", "the symbol needs %.1f × %.1f mm and its box has %.1f × %.1f: enlarge the box, shorten the data or take a smaller module", "条码需要 %.1f × %.1f 毫米，而框为 %.1f × %.1f 毫米：请放大框、缩短数据或减小模块", a.Width, a.Height, q.Width, q.Height)
	}
	if a.Module < a.Least-0.0005 {
		warn("module-small", "a module is %.3[1]f mm and should be at least %.3[2]f: give the symbol %.1[3]f mm of width, shorten its data or lower its error correction", "模块为 %.3[1]f 毫米，至少应为 %.3[2]f 毫米：请将条码宽度放大到 %.1[3]f 毫米、缩短数据或降低纠错等级",
			a.Module, a.Least, wide*a.Least)
	}
	if a.Dots > 0 && math.Abs(a.Dots-math.Round(a.Dots)) > 0.02 {
		warn("module-dots", "a module is %.2[1]f dots of the printer, which prints uneven: take %.3[2]f or %.3[3]f mm", "模块为打印机的 %.2[1]f 点，会印得不均匀：请取 %.3[2]f 或 %.3[3]f 毫米", a.Dots, math.Floor(a.Dots)*dot, math.Ceil(a.Dots)*dot)
	}
	if q.Symbol == QR {
		a.levels(q, dot, warn)
	}
	if q.Symbol == QR && qrMode(q.Data) == "byte" && qrMode(strings.ToUpper(q.Data)) == "alphanumeric" {
		if up, err := Encode(QR, strings.ToUpper(q.Data), Options{Level: s.Level}); err == nil && up.Width < s.Width {
			warn("case", "in capitals the data would need %d modules a side and not %d: write them so where letters of either case mean the same, as in identifiers", "若全部大写，每边只需 %d 个模块而不是 %d 个：在不区分大小写处（如标识）请用大写", up.Width, s.Width)
		}
	}
	if q.Symbol.Linear() {
		if low := max(5, 0.15*float64(s.Width)*a.Module); a.Height < low-0.05 {
			warn("bars-low", "the bars are %.1f mm high and should be at least %.1f, 15 %% of their width: lasers miss them when they are lower", "条高 %.1f 毫米，至少应为 %.1f 毫米（宽度的 15%%）：过低时激光枪难以扫到", a.Height, low)
		}
		if len(q.Data) > 25 && q.Symbol == Code128 {
			warn("long", "%d characters make bars of %.0f mm, longer than many scanners see: use datamatrix or qr", "%d 个字符的条码长 %.0f 毫米，超出许多扫描枪的视野：请改用 datamatrix 或 qr", len(q.Data), a.Width)
		}
	}
	if strings.IndexFunc(q.Data, func(r rune) bool { return r > 126 }) >= 0 && q.Symbol != QR {
		warn("not-ascii", "the data are not ASCII, and some scanners give such characters out wrongly: hold the identifier alone, and show the rest as text", "数据含非 ASCII 字符，部分扫描枪输出会有误：条码中请只放标识，其余用文字显示")
	}
	a.Reach = math.Round(s.reach(a.Module))
	for _, v := range []*float64{&a.Module, &a.Dots, &a.Least, &a.Width, &a.Height} {
		round(v)
	}
	return a, nil
}

// module is what a module of the symbol has in the question's box, as Draw has it.
func (q Question) module(s *Symbol, dot float64) float64 {
	module := q.Module
	if module == 0 {
		module = defaultModule
		if q.Width > 0 {
			module = q.Width / float64(s.Width+2*s.Quiet)
		}
		if q.Height > 0 && s.RowHeight > 0 {
			if m := q.Height / float64(s.Height*s.RowHeight+2*s.Quiet); q.Width == 0 || m < module {
				module = m
			}
		}
		if dot > 0 {
			module = max(1, math.Floor(module/dot+1e-6)) * dot
		}
	}
	return module
}

// reach is the distance in cm from which a phone's camera reads the symbol: about ten times its side, less the more modules a side has.
func (s *Symbol) reach(module float64) float64 {
	return module * 10 * min(float64(s.Width), 25+float64(max(0, s.Width-25))*0.3) / 10
}

// levels works out what each level would be in the same box, and which to choose.
func (a *Advice) levels(q Question, dot float64, warn func(code, en, zh string, args ...any)) {
	need := map[string]int{"": 1, "clean": 0, "normal": 1, "rough": 2, "harsh": 3}[q.Damage]
	for i, l := range []string{"L", "M", "Q", "H"} {
		x := LevelAdvice{Level: l, Recovers: recovers[l]}
		if s, err := Encode(QR, q.Data, Options{Level: l}); err == nil {
			x.Version, x.Modules = s.Version, s.Width
			m := q.module(s, dot)
			x.Fits = m >= a.Least-0.0005 && (q.Width == 0 || float64(s.Width+8)*m <= q.Width+0.01)
			x.Module = math.Round(m*1000) / 1000
			if x.Fits && (i <= need || a.Choose == "") {
				a.Choose = l
			}
		}
		a.Levels = append(a.Levels, x)
	}
	if recovers[a.Level] < recovers["LMQH"[need:need+1]] {
		want := "LMQH"[need : need+1]
		if a.Choose == want {
			warn("level-low", "level %[1]s stands the loss of %[2]d %% of the symbol; for what this label goes through take %[3]s, which fits", "%[1]s 级只能承受 %[2]d%% 的缺损；按此标签的使用环境请选 %[3]s 级（放得下）", a.Level, recovers[a.Level], want)
		} else {
			warn("level-low", "level %[1]s stands the loss of %[2]d %% of the symbol, and this label needs %[3]s, which does not fit: enlarge the symbol or shorten its data", "%[1]s 级只能承受 %[2]d%% 的缺损，而此标签需要 %[3]s 级，但放不下：请放大条码或缩短数据", a.Level, recovers[a.Level], want)
		}
	}
}

// Advise gives advice on every symbol of the design with the fields of one thing.
func (p *Press) Advise(f Fields) ([]Advice, error) {
	f = Complete(f)
	out := []Advice{}
	for i, x := range p.parts {
		if x.e.Type != Barcode {
			continue
		}
		data, err := x.expr.say(f, true)
		if err != nil {
			return nil, err
		}
		e := *x.e
		if e.Turn == 90 || e.Turn == 270 {
			e.Width, e.Height = e.Height, e.Width
		}
		height := e.Height
		if e.Readable && height > 0 {
			height = max(0, height-3.2)
		}
		a, err := Advise(Question{e.Symbol, data, e.Level, e.Module, e.Width, height, p.design.DPI, p.design.Damage, e.Columns, e.Oblong})
		if err != nil {
			return nil, problem.Wrap(err, problem.KindOf(err), "element %d", "第 %d 个元素", i+1)
		}
		for k := range a.Warnings {
			a.Warnings[k].Element = i + 1
		}
		out = append(out, *a)
	}
	return out, nil
}

func (w Warning) String() string { return fmt.Sprintf("%s: %s", w.Code, w.EN) }
