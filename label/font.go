package label

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/picture"
)

// The font's lines: how far letters go above and below the base line, in parts of its size.
const (
	ascent     = 0.86
	descent    = 0.2
	lineHeight = 1.15
)

type typeface struct {
	ttf   []byte
	sfnt  *sfnt.Font
	width []uint16 // of each character of the first plane, in thousandths of the size
}

var openFace = sync.OnceValues(func() (*typeface, error) {
	ttf, err := picture.Font()
	if err != nil {
		return nil, err
	}
	f, err := sfnt.Parse(ttf)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the font cannot be read", "无法读取字体")
	}
	t := &typeface{ttf: ttf, sfnt: f, width: make([]uint16, 1<<16)}
	var b sfnt.Buffer
	for r := rune(' '); r < 1<<16; r++ {
		g, err := f.GlyphIndex(&b, r)
		if err != nil || g == 0 {
			continue
		}
		if a, err := f.GlyphAdvance(&b, g, fixed.I(1000), 0); err == nil {
			t.width[r] = uint16(a.Round())
		}
	}
	return t, nil
})

// clean is s as the font can show it: white space as a space, what it has no letter for as a square, nothing that hides or turns text.
func (t *typeface) clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Mn, unicode.Me):
			return -1
		case r > 0xffff || t.width[r] == 0:
			return '□'
		}
		return r
	}, s)
}

// measure is the width of a line in parts of the size.
func (t *typeface) measure(s string) float64 {
	n := 0
	for _, r := range s {
		if r <= 0xffff {
			n += int(t.width[r])
		}
	}
	return float64(n) / 1000
}

// clip is as much of s as fits, with … when that is not all.
func (t *typeface) clip(s string, width float64) string {
	if t.measure(s) <= width {
		return s
	}
	end := "…"
	if t.measure(end) > width {
		end = ""
	}
	room := width - t.measure(end)
	n := 0.0
	for i, r := range s {
		if n += float64(t.width[r&0xffff]) / 1000; n > room {
			return strings.TrimRight(s[:i], " ") + end
		}
	}
	return s
}

// wrap breaks s into lines no wider than width: at spaces, before and behind Chinese characters, behind / and -, and anywhere in a word that is too long.
func (t *typeface) wrap(s string, width float64) (lines []string) {
	for para := range strings.SplitSeq(s, "\n") {
		line, used := "", 0.0
		for _, w := range words(para) {
			n := t.measure(w)
			if used+t.measure(strings.TrimRight(w, " ")) > width && line != "" {
				lines, line, used = append(lines, strings.TrimRight(line, " ")), "", 0
			}
			for _, r := range w {
				a := float64(t.width[r&0xffff]) / 1000
				if n > width && used+a > width && line != "" && r != ' ' {
					lines, line, used = append(lines, strings.TrimRight(line, " ")), "", 0
				}
				line, used = line+string(r), used+a
			}
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

// words is a line in pieces between which it may break; spaces are at the ends of pieces.
func words(s string) (out []string) {
	start := 0
	var before rune
	for i, r := range s {
		if i > start {
			wide := func(r rune) bool {
				return r >= 0x2e80 && !strings.ContainsRune("，。、；：？！）》」』】…", r)
			}
			if before == ' ' && r != ' ' || before == '/' || before == '-' || wide(r) || wide(before) && r != ' ' && !strings.ContainsRune("，。、；：？！）》」』】…,.;:?!)", r) {
				out = append(out, s[start:i])
				start = i
			}
		}
		before = r
	}
	return append(out, s[start:])
}
