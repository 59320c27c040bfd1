package picture

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/trace/graph"
)

const (
	boxWidth  = 190.0
	boxHeight = 52.0
	colGap    = 110.0
	rowGap    = 16.0
	margin    = 28.0
	headRoom  = 64.0
)

// style is the look of all pictures: quiet lines, text that can be read at arm's length, and the viewer's own light or dark.
const style = `<style>
.g{font:13px system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;fill:#1d2733}
.bg{fill:#fff}.t{font-size:18px;font-weight:600}.s{font-size:11px;fill:#5a6775}.b{fill:#fff;stroke-width:1.5}
.l{fill:none;stroke:#8a97a6;stroke-width:1.4}.e{stroke-dasharray:5 4}.a{stroke-width:3.5}.x{stroke-dasharray:3 3}.k{stroke:#d6dde5;stroke-width:1}.c{fill:#8a97a6}
.land{fill:#eef1ea;stroke:#cfd6c8;stroke-width:.8}.sea{fill:#f4f8fb}
@media(prefers-color-scheme:dark){.g{fill:#e6ebf1}.bg{fill:#14191f}.s{fill:#9aa7b5}.b{fill:#1d242c}.l{stroke:#6b7887}.k{stroke:#2e3843}.c{fill:#6b7887}.land{fill:#222a25;stroke:#38423b}.sea{fill:#161d23}}
</style>`

// SVG draws the graph: upstream left, downstream right, a colour for each owner, the things that were asked about with a thick border, and a dashed one where the
// search did not go on. Each box and line says more when it is pointed at.
func SVG(w io.Writer, a *graph.Answer, o Options) error {
	d := draw(a, o.boxes())
	cols := d.columns()
	high := 0.0
	width := margin
	for _, col := range cols {
		h := 0.0
		for _, b := range col {
			d.boxes[b].w, d.boxes[b].h = boxWidth, boxHeight
			h += boxHeight + rowGap
		}
		high = max(high, h)
		width += boxWidth + colGap
	}
	width = max(width-colGap+margin, 560)
	for k, col := range cols {
		y := headRoom + (high-float64(len(col))*(boxHeight+rowGap))/2
		for _, b := range col {
			d.boxes[b].x, d.boxes[b].y = margin+float64(k)*(boxWidth+colGap), y
			y += boxHeight + rowGap
		}
	}
	names, colour := palette(a)
	legend := float64(len(names)+3)/4*18 + 30
	foot := headRoom + high + 10
	height := foot + legend + float64(len(a.Findings[:min(len(a.Findings), 5)]))*18 + 12

	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">%s<rect class="bg" width="100%%" height="100%%"/><g class="g">`,
		width, height, width, height, text(o.title(a)), style)
	b.WriteString(`<defs><marker id="m" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path class="c" d="M0 0 8 4 0 8z"/></marker></defs>`)
	fmt.Fprintf(b, `<text class="t" x="%.0f" y="32">%s</text><text class="s" x="%.0f" y="50">%s</text>`, margin, text(o.title(a)), margin, text(o.summary(a, d.left)))
	for _, ar := range d.arrows {
		f, t := &d.boxes[ar.from], &d.boxes[ar.to]
		x1, y1, x2, y2 := f.x+f.w, f.y+f.h/2, t.x, t.y+t.h/2
		path := fmt.Sprintf("M%.0f %.1fC%.0f %.1f %.0f %.1f %.0f %.1f", x1, y1, x1+colGap/2, y1, x2-colGap/2, y2, x2-3, y2)
		if t.layer <= f.layer { // a cycle, drawn around
			path = fmt.Sprintf("M%.0f %.1fC%.0f %.1f %.0f %.1f %.0f %.1f", x1, y1, x1+60, y1+60, x2-60, y2+60, x2-3, y2)
		}
		class := "l"
		if ar.ended {
			class += " e"
		}
		label := o.word(wordsOfKind, string(ar.kind))
		fmt.Fprintf(b, `<path class="%s" d="%s" marker-end="url(#m)"><title>%s%s</title></path>`, class, path, text(label), text(times(ar.links)))
		// Only what the layers do not say by themselves is written on a line.
		if ar.kind != graph.Packed && ar.kind != held {
			fmt.Fprintf(b, `<text class="s" x="%.0f" y="%.1f" text-anchor="middle">%s</text>`, (x1+x2)/2, (y1+y2)/2-5, text(label))
		}
	}
	for i := range d.boxes {
		x := &d.boxes[i]
		first := &a.Things[x.things[0]]
		c := colour[owner(first)]
		if c == "" {
			c = "#8a97a6"
		}
		class := "b"
		if x.asked {
			class += " a"
		}
		if first.Stop != "" {
			class += " x"
		}
		title, second := short(cmpOr(first.ID, first.Key)), o.second(first)
		if n := len(x.things); n > 1 {
			title = o.say("%d × %s", "%d × %s", n, clip(title, 20))
		}
		fmt.Fprintf(b, `<g><title>%s</title><rect class="%s" x="%.1f" y="%.1f" width="%.0f" height="%.0f" rx="7" stroke="%s"/><rect x="%.1f" y="%.1f" width="5" height="%.0f" rx="2" fill="%s"/>`,
			o.about(a, x.things), class, x.x, x.y, x.w, x.h, c, x.x+5, x.y+8, x.h-16, c)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f">%s</text><text class="s" x="%.1f" y="%.1f">%s</text></g>`, x.x+18, x.y+22, text(title), x.x+18, x.y+40, text(second))
	}
	y := foot + 8
	for i, n := range names {
		if i > 0 && i%4 == 0 {
			y += 18
		}
		x := margin + float64(i%4)*130
		fmt.Fprintf(b, `<rect x="%.0f" y="%.1f" width="10" height="10" rx="2" fill="%s"/><text class="s" x="%.0f" y="%.1f">%s</text>`, x, y, colour[n], x+15, y+9, text(clip(n, 18)))
	}
	for _, f := range a.Findings[:min(len(a.Findings), 5)] {
		y += 18
		fmt.Fprintf(b, `<text class="s" x="%.0f" y="%.1f">⚠ %s</text>`, margin, y+14, text(o.say("%[1]s", "%[2]s", f.EN, f.ZH)))
	}
	b.WriteString("</g></svg>\n")
	return b.Flush()
}

// wordsOfKind is kindWords by plain names.
var wordsOfKind = func() map[string][2]string {
	m := map[string][2]string{}
	for k, w := range kindWords {
		m[string(k)] = w
	}
	return m
}()

func times(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" × %d", n)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// summary is one line under the title.
func (o Options) summary(a *graph.Answer, left int) string {
	owners := map[string]bool{}
	for i := range a.Things {
		if n := owner(&a.Things[i]); n != "" {
			owners[n] = true
		}
	}
	for i := range a.Events {
		if n := a.Events[i].Owner; n != "" {
			owners[n] = true
		}
	}
	s := o.say("%d things, %d events, %d owners", "%d 个标识，%d 个事件，%d 个所有者", len(a.Things), len(a.Events), len(owners))
	if left > 0 {
		s += o.say("; %d farther things are not drawn", "；另有 %d 个较远的未画出", left)
	}
	if a.Complete {
		return s + o.say("; complete", "；完整")
	}
	var why []string
	seen := map[string]bool{}
	for i := range a.Things {
		if t := &a.Things[i]; t.Stop != "" && !seen[t.Stop] {
			seen[t.Stop] = true
			why = append(why, o.word(stopWords, t.Stop))
		}
	}
	s += o.say("; not complete", "；不完整")
	if len(why) > 0 {
		s += o.say(": ", "：") + strings.Join(why, o.say(", ", "、"))
	}
	return s
}

// second is a box's second line: what it is now.
func (o Options) second(t *graph.Thing) string {
	var parts []string
	if t.Stop != "" {
		return clip(o.word(stopWords, t.Stop), 30)
	}
	if t.Quantity != "" {
		parts = append(parts, strings.TrimSpace(string(t.Quantity)+" "+t.Unit))
	}
	if t.Step != "" {
		parts = append(parts, o.step(t.Step))
	}
	if t.Place != "" {
		parts = append(parts, short(t.Place))
	}
	return clip(strings.Join(parts, " · "), 30)
}

// about is what a box says when it is pointed at, escaped.
func (o Options) about(a *graph.Answer, things []int) string {
	var lines []string
	for k, i := range things {
		if k == 12 {
			lines = append(lines, o.say("and %d more", "另有 %d 个", len(things)-k))
			break
		}
		t := &a.Things[i]
		l := text(clip(cmpOr(t.ID, t.Key), 120))
		if !t.First.IsZero() {
			l += ", " + text(o.time(t.First))
			if t.Last.After(t.First) {
				l += " – " + text(o.time(t.Last))
			}
		}
		if t.Disposition != "" {
			l += ", " + text(t.Disposition)
		}
		lines = append(lines, l)
	}
	return strings.Join(lines, "\n")
}

// Timeline draws the things as rows and their events in the order of time; between two events that lie far apart the axis is shortened, and says so by its dates.
func Timeline(w io.Writer, a *graph.Answer, o Options) error {
	d := draw(a, o.boxes())
	row := map[string]int{} // key → row
	slices.SortStableFunc(d.boxes, func(x, y box) int {
		p, q := a.Things[x.things[0]].First, a.Things[y.things[0]].First
		return p.Compare(q)
	})
	for r := range d.boxes {
		for _, i := range d.boxes[r].things {
			row[a.Things[i].Key] = r
		}
	}
	events := slices.Clone(a.Events)
	slices.SortStableFunc(events, func(x, y graph.Event) int { return x.Time.Compare(y.Time) })
	const labels, rowHeight = 210.0, 24.0
	// The axis: a gap is as wide as the root of its length, so that minutes and months both show.
	at := map[time.Time]float64{}
	x := 0.0
	var last time.Time
	var ticks []time.Time
	for _, e := range events {
		if _, ok := at[e.Time]; ok {
			continue
		}
		if !last.IsZero() {
			x += min(max(6, 3*math.Sqrt(e.Time.Sub(last).Minutes())), 120)
		}
		at[e.Time] = x
		if len(ticks) == 0 || x-at[ticks[len(ticks)-1]] > 96 {
			ticks = append(ticks, e.Time)
		}
		last = e.Time
	}
	width := max(labels+margin*2+x+70, 560)
	height := headRoom + 30 + float64(len(d.boxes))*rowHeight + 20
	_, colour := palette(a)
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">%s<rect class="bg" width="100%%" height="100%%"/><g class="g">`,
		width, height, width, height, text(o.title(a)), style)
	fmt.Fprintf(b, `<text class="t" x="%.0f" y="32">%s</text><text class="s" x="%.0f" y="50">%s</text>`, margin, text(o.title(a)), margin, text(o.summary(a, d.left)))
	left := margin + labels
	for _, t := range ticks {
		px := left + at[t]
		fmt.Fprintf(b, `<line class="k" x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f"/><text class="s" x="%.1f" y="%.0f">%s</text>`, px, px, headRoom+18, height-12, px, headRoom+12, text(o.day(t)))
	}
	top := headRoom + 30
	for r := range d.boxes {
		y := top + float64(r)*rowHeight
		t := &a.Things[d.boxes[r].things[0]]
		c := colour[owner(t)]
		if c == "" {
			c = "#8a97a6"
		}
		name := short(cmpOr(t.ID, t.Key))
		if n := len(d.boxes[r].things); n > 1 {
			name = fmt.Sprintf("%d × %s", n, clip(name, 20))
		}
		weight := ""
		if d.boxes[r].asked {
			weight = ` font-weight="600"`
		}
		fmt.Fprintf(b, `<text x="%.0f" y="%.1f"%s>%s<title>%s</title></text>`, margin, y+15, weight, text(name), o.about(a, d.boxes[r].things))
		if x1, ok := at[t.First]; ok {
			x2 := at[t.Last]
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="4" rx="2" fill="%s" opacity=".35"/>`, left+x1, y+9, max(4, x2-x1), c)
		}
	}
	for _, e := range events {
		rows := map[int]bool{}
		for _, k := range e.Things {
			if r, ok := row[k]; ok {
				rows[r] = true
			}
		}
		lo, hi := 1<<30, -1
		for r := range rows {
			lo, hi = min(lo, r), max(hi, r)
		}
		if hi < 0 {
			continue
		}
		px := left + at[e.Time]
		if hi > lo {
			fmt.Fprintf(b, `<line class="l" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, px, px, top+float64(lo)*rowHeight+11, top+float64(hi)*rowHeight+11)
		}
		c := colour[e.Owner]
		if c == "" {
			c = "#5a6775"
		}
		said := text(o.time(e.Time) + " " + o.step(e.Step) + " " + e.Disposition + " " + e.Place)
		if e.Declared {
			said += " " + text(o.say("declared to be wrong", "已声明有误"))
		}
		for r := range rows {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4.5" fill="%s"><title>%s</title></circle>`, px, top+float64(r)*rowHeight+11, c, said)
		}
	}
	b.WriteString("</g></svg>\n")
	return b.Flush()
}

func (o Options) day(t time.Time) string {
	if o.Zone != nil {
		t = t.In(o.Zone)
	} else {
		t = t.UTC()
	}
	return t.Format("01-02 15:04")
}
