package label

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"io"
	"strconv"
)

// SVG writes the label as a picture of its own size in millimetres, which holds nothing from elsewhere and no script. Text is in the viewer's font, and as wide as in print.
func (d *Drawing) SVG(w io.Writer) error {
	b := bufio.NewWriter(w)
	n := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	r := func(v float64) string { return strconv.FormatFloat(float64(int(v*10000+0.5))/10000, 'f', -1, 64) }
	put := func(list ...string) {
		for _, s := range list {
			b.WriteString(s)
		}
	}
	put(`<svg xmlns="http://www.w3.org/2000/svg" width="`, n(d.Width), `mm" height="`, n(d.Height), `mm" viewBox="0 0 `, n(d.Width), ` `, n(d.Height), `"><rect width="100%" height="100%" fill="#fff"/>`)
	for i := range d.marks {
		m := &d.marks[i]
		if turned, ok := map[int][]string{
			90:  {`0 1 -1 0 `, r(m.left + m.wide), ` `, r(m.top)},
			180: {`-1 0 0 -1 `, r(m.left + m.wide), ` `, r(m.top + m.high)},
			270: {`0 -1 1 0 `, r(m.left), ` `, r(m.top + m.high)},
		}[m.turn]; ok {
			put(`<g transform="matrix(`)
			put(turned...)
			put(`)">`)
		}
		switch m.kind {
		case Line:
			put(`<path d="M`, r(m.x), ` `, r(m.y), `l`, r(m.w), ` `, r(m.h), `" fill="none" stroke="#000" stroke-width="`, r(m.stroke), `"/>`)
		case Rect:
			if m.filled {
				put(`<rect x="`, r(m.x), `" y="`, r(m.y), `" width="`, r(m.w), `" height="`, r(m.h), `"/>`)
				break
			}
			put(`<rect x="`, r(m.x+m.stroke/2), `" y="`, r(m.y+m.stroke/2), `" width="`, r(m.w-m.stroke), `" height="`, r(m.h-m.stroke), `" fill="none" stroke="#000" stroke-width="`, r(m.stroke), `"/>`)
		case Text:
			put(`<text x="`, r(m.x), `" y="`, r(m.y), `" font-size="`, r(m.size), `" textLength="`, r(m.w), `" lengthAdjust="spacingAndGlyphs" xml:space="preserve" font-family="WenQuanYi Micro Hei,PingFang SC,Microsoft YaHei,Noto Sans CJK SC,sans-serif"`)
			if m.bold {
				put(` font-weight="bold"`)
			}
			put(`>`, escape(m.text), `</text>`)
		case Picture:
			put(`<image x="`, r(m.x), `" y="`, r(m.y), `" width="`, r(m.w), `" height="`, r(m.h), `" preserveAspectRatio="xMidYMid meet" href="data:image/`, m.format, `;base64,`, base64.StdEncoding.EncodeToString(m.image), `"/>`)
		case Barcode:
			high := m.h / float64(m.symbol.Height)
			put(`<path transform="matrix(`, n(m.module), ` 0 0 `, n(high), ` `, r(m.x), ` `, r(m.y), `)" shape-rendering="crispEdges" d="`)
			for x := range m.symbol.Boxes() {
				put(`M`, itoa(x.X), ` `, itoa(x.Y), `h`, itoa(x.W), `v`, itoa(x.H), `h-`, itoa(x.W), `z`)
			}
			put(`"/>`)
		}
		if m.turn != 0 {
			put(`</g>`)
		}
	}
	put(`</svg>`)
	return b.Flush()
}

// escape is text for XML, attributes included.
func escape(s string) string {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return ""
	}
	return b.String()
}
