package picture

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/graph"
)

// font is WenQuanYi Micro Hei with the characters of GBK, Latin, Greek and Cyrillic; FONT.txt says whose it is.
//
//go:embed font.ttf.gz
var font []byte

var openFont = sync.OnceValues(func() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(font))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
})

// Signature is one owner's word under its part of the answer, as a report prints it.
type Signature struct {
	Owner  string    `json:"owner"` // prefix
	By     string    `json:"by"`    // the key's place: 300:0.NA/88.118.1001
	Key    string    `json:"key"`   // its fingerprint
	Time   time.Time `json:"time"`
	Digest string    `json:"digest"` // of what was signed
	Holds  bool      `json:"holds"`  // it was verified from the root's key down
}

const (
	pdfThings = 2000
	pdfEvents = 4000
)

// PDF writes a report for printing: what was asked, what was found, every event in the order of time, what looks wrong, who answered, and the chain of signatures.
// made is the time on the first page.
func PDF(w io.Writer, a *graph.Answer, chain []Signature, made time.Time, o Options) error {
	ttf, err := openFont()
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the report's font cannot be read", "无法读取报告字体")
	}
	p := fpdf.New("P", "mm", "A4", "")
	p.SetCompression(true)
	p.SetCreationDate(made)
	p.SetModificationDate(made)
	p.SetTitle(o.title(a), true)
	p.SetCreator("Fujie 符节", true)
	p.AddUTF8FontFromBytes("f", "", ttf)
	p.SetMargins(16, 16, 16)
	p.SetAutoPageBreak(true, 18)
	p.AliasNbPages("{pages}")
	p.SetFooterFunc(func() {
		p.SetY(-13)
		p.SetFont("f", "", 8)
		p.SetTextColor(110, 120, 130)
		p.CellFormat(0, 5, o.say("Fujie · %[1]s · page %[2]d of {pages}", "符节 · %[1]s · 第 %[2]d 页，共 {pages} 页", o.time(made), p.PageNo()), "", 0, "C", false, 0, "")
	})
	p.AddPage()
	write := func(size float64, grey int, s string) {
		p.SetFont("f", "", size)
		p.SetTextColor(grey, grey, grey)
		p.MultiCell(0, size*0.5, inFont(s), "", "L", false)
	}
	head := func(s string) {
		p.Ln(4)
		write(13, 30, s)
		p.Ln(1)
	}
	table := func(widths []float64, heads []string, rows [][]string) {
		line := func(cells []string, grey int) {
			p.SetFont("f", "", 8)
			p.SetTextColor(grey, grey, grey)
			lines := 1
			split := make([][]string, len(cells))
			for i, c := range cells {
				split[i] = p.SplitText(inFont(c), widths[i]-1)
				lines = max(lines, len(split[i]))
			}
			lines = min(lines, 6)
			h := float64(lines)*3.8 + 1
			if _, page := p.GetPageSize(); p.GetY()+h > page-18 {
				p.AddPage()
			}
			x, y := p.GetX(), p.GetY()
			for i := range cells {
				for k, s := range split[i][:min(len(split[i]), lines)] {
					p.SetXY(x, y+float64(k)*3.8)
					p.CellFormat(widths[i], 3.8, s, "", 0, "L", false, 0, "")
				}
				x += widths[i]
			}
			p.SetDrawColor(214, 221, 229)
			p.Line(16, y+h-0.4, 194, y+h-0.4)
			p.SetXY(16, y+h)
		}
		line(heads, 110)
		for _, r := range rows {
			line(r, 30)
		}
	}

	write(20, 20, o.title(a))
	p.Ln(1)
	write(10, 110, o.summary(a, 0))
	write(10, 110, o.say("Times are of %s", "时间均为 %s", o.zone()))
	q := a.Question
	if !q.From.IsZero() || !q.To.IsZero() {
		write(10, 110, o.say("Between %s and %s", "时间范围：%s 至 %s", o.time(q.From), o.time(q.To)))
	}

	if len(a.Findings) > 0 {
		head(o.say("What looks wrong", "异常"))
		for _, f := range a.Findings[:min(len(a.Findings), 100)] {
			write(9, 30, o.say("%[1]s  %[2]s", "%[1]s  %[3]s", o.time(f.Time), f.EN, f.ZH))
		}
	}

	head(o.say("Things", "标识"))
	var rows [][]string
	things := slices.Clone(a.Things)
	slices.SortStableFunc(things, func(x, y graph.Thing) int { return x.Depth - y.Depth })
	for i := range things[:min(len(things), pdfThings)] {
		t := &things[i]
		state := o.step(t.Step)
		if t.Stop != "" {
			state = o.word(stopWords, t.Stop)
		}
		rows = append(rows, []string{clip(cmpOr(t.ID, t.Key), 80), owner(t), o.stamp(t.First), o.stamp(t.Last), strings.TrimSpace(string(t.Quantity) + " " + t.Unit), state})
	}
	table([]float64{58, 28, 27, 27, 16, 22}, []string{o.say("Identifier", "标识"), o.say("Owner", "所有者"), o.say("First event", "首次事件"), o.say("Last event", "末次事件"), o.say("Quantity", "数量"), o.say("State", "状态")}, rows)
	if n := len(a.Things) - pdfThings; n > 0 {
		write(9, 110, o.say("%d more things are in the answer's JSON", "另有 %d 个标识，见 JSON 结果", n))
	}

	head(o.say("Events", "事件"))
	rows = rows[:0]
	events := slices.Clone(a.Events)
	slices.SortStableFunc(events, func(x, y graph.Event) int { return x.Time.Compare(y.Time) })
	for i := range events[:min(len(events), pdfEvents)] {
		e := &events[i]
		var names []string
		for _, k := range e.Things[:min(len(e.Things), 4)] {
			names = append(names, short(k))
		}
		if n := len(e.Things) - 4; n > 0 {
			names = append(names, o.say("and %d more", "等 %d 个", n))
		}
		step := o.step(e.Step)
		if step == "" {
			step = string(e.Type)
		}
		if e.Declared {
			step += o.say(" (declared wrong)", "（已声明有误）")
		}
		rows = append(rows, []string{o.stamp(e.Time), step, short(cmpOr(e.Place, e.ReadPoint)), strings.Join(names, ", "), e.Owner})
	}
	table([]float64{30, 28, 32, 60, 28}, []string{o.say("Time", "时间"), o.say("Step", "环节"), o.say("Place", "地点"), o.say("Things", "标识"), o.say("Owner", "所有者")}, rows)
	if n := len(a.Events) - pdfEvents; n > 0 {
		write(9, 110, o.say("%d more events are in the answer's JSON", "另有 %d 个事件，见 JSON 结果", n))
	}

	if len(a.Hops) > 0 {
		head(o.say("Who answered", "应答方"))
		rows = rows[:0]
		for _, h := range a.Hops {
			said := o.say("%[1]s", "%[2]s", h.EN, h.ZH)
			rows = append(rows, []string{h.Owner, o.word(outcomeWords, h.Outcome), o.say("%d things, %d events", "%d 个标识，%d 个事件", h.Things, h.Events), clip(said, 160)})
		}
		table([]float64{36, 28, 44, 70}, []string{o.say("Owner", "所有者"), o.say("Outcome", "结果"), o.say("Found", "发现"), o.say("Remark", "说明")}, rows)
	}

	head(o.say("Chain of signatures", "签名链"))
	if len(chain) == 0 {
		write(9, 110, o.say("Everything here is from the asker's own events; nobody else's signature is needed.", "全部内容出自查询方自己的事件，无需他方签名。"))
	}
	rows = rows[:0]
	for _, s := range chain {
		verdict := o.say("does not hold", "不成立")
		if s.Holds {
			verdict = o.say("holds", "成立")
		}
		rows = append(rows, []string{s.Owner, s.By, s.Key, o.stamp(s.Time), s.Digest, verdict})
	}
	if len(rows) > 0 {
		table([]float64{24, 32, 38, 26, 40, 18}, []string{o.say("Owner", "所有者"), o.say("Key of", "密钥"), o.say("Fingerprint", "指纹"), o.say("Signed", "签署"), o.say("Digest", "摘要"), o.say("Verdict", "核验")}, rows)
	}
	if err := p.Output(w); err != nil {
		return problem.Wrap(err, problem.Internal, "the report could not be made", "无法生成报告")
	}
	return nil
}

// inFont is s with what the font cannot show, which is all beyond the first plane, as a dot.
func inFont(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0xffff {
			return '·'
		}
		return r
	}, printable(s))
}

// Font is the TrueType font of the reports, with Latin, Greek, Cyrillic and the Chinese of GBK, for other rooms that print. It is shared: do not change it.
func Font() ([]byte, error) {
	ttf, err := openFont()
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the font cannot be read", "无法读取字体")
	}
	return ttf, nil
}
