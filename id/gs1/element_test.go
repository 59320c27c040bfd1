package gs1

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/problem"
)

// lines gives the two halves of every line of a file of testdata.
func lines(t testing.TB, name string) (out [][2]string) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if s := sc.Text(); s != "" && s[0] != '#' {
			a, b, ok := strings.Cut(s, "\t")
			if !ok {
				t.Fatalf("%s: no tab in %q", name, s)
			}
			out = append(out, [2]string{strings.ReplaceAll(a, `\x1d`, "\x1d"), b})
		}
	}
	return out
}

func TestGood(t *testing.T) {
	for _, c := range lines(t, "good.txt") {
		e, err := ParseElements(c[0])
		if err != nil || e.String() != c[1] {
			t.Errorf("%q: %s, %v, want %s", c[0], e, err, c[1])
			continue
		}
		if err := e.Check(); err != nil {
			t.Errorf("%s: %v", e, err)
		}
		raw, err := ParseElements(e.Raw())
		if err != nil || !sameFields(raw, e) {
			t.Errorf("%s: raw %q reads as %s, %v", e, e.Raw(), raw, err)
		}
	}
}

func TestBad(t *testing.T) {
	for _, c := range lines(t, "bad.txt") {
		e, err := ParseElements(c[0])
		var p *problem.Error
		if !errors.As(err, &p) {
			t.Errorf("%q: %s, %v, want an error", c[0], e, err)
			continue
		}
		if p.Kind != problem.BadID || !strings.Contains(p.EN, c[1]) || !strings.ContainsFunc(p.ZH, func(r rune) bool { return r > 0x2e80 }) || strings.Contains(p.EN+p.ZH, "%!") {
			t.Errorf("%q: %v %q / %q, want %q", c[0], p.Kind, p.EN, p.ZH, c[1])
		}
	}
}

// sameFields says whether two codes hold the same fields in any order.
func sameFields(a, b Elements) bool {
	order := func(x, y Element) int { return strings.Compare(x.AI, y.AI) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order))
}

func TestRaw(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"(21)A(01)09521234543213(10)B(17)261231", "01095212345432131726123121A\x1d10B"},
		{"(8017)952123456789123454(8019)12", "8017952123456789123454\x1d801912"},
		{"(01)09521234543213", "0109521234543213"},
	} {
		e, err := ParseElements(c.in)
		if err != nil || e.Raw() != c.want {
			t.Errorf("%s: %q, %v, want %q", c.in, e.Raw(), err, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	for name, s := range map[string]string{
		"long":  "(90)" + strings.Repeat("A", maxText),
		"words": strings.Repeat("(91)A", 1600),
		"deep":  strings.Repeat("(", 5000),
		"seps":  strings.Repeat("\x1d", 5000),
		"raw":   strings.Repeat("9", 8000),
		"bytes": "\x00\xff\xfe",
	} {
		if _, err := ParseElements(s); err == nil && name != "words" {
			t.Errorf("%s: taken", name)
		}
		if _, err := ParseLink("https://a/" + s); err == nil {
			t.Errorf("%s: taken as a link", name)
		}
	}
	if _, err := make(Elements, maxElements).add("99", "1"); err == nil {
		t.Error("no end to fields")
	}
}

func TestExplain(t *testing.T) {
	e, err := ParseElements("(01)09521234543213(3103)001950(3922)299(3932)15629900(10)L1(3100)000012")
	if err == nil {
		t.Fatalf("%s is taken, though it has two weights and two prices", e)
	}
	if e, err = ParseElements("(01)09521234543213(3103)001950(3932)15600099(10)L1"); err != nil {
		t.Fatal(err)
	}
	lines := e.Explain()
	if len(lines) != 4 || !lines[0].Key || lines[0].TitleZH != "全球贸易项目代码（GTIN）" || lines[1].Number != "1.95" || lines[1].Title != "NET WEIGHT (kg)" ||
		lines[1].TitleZH != "净重（千克）" || lines[2].Number != "0.99" || lines[3].Number != "" || lines[3].TitleZH != "批号" {
		t.Errorf("%+v", lines)
	}
	for _, c := range [][3]string{{"3100", "000000", "0"}, {"3105", "000001", "0.00001"}, {"3900", "15", "15"}, {"3903", "1", "0.001"}, {"3943", "0500", "0.5"}, {"3103", "x", ""}, {"37", "12", ""}} {
		if got := (Element{c[0], c[1]}).Number(); got != c[2] {
			t.Errorf("(%s)%s is %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
