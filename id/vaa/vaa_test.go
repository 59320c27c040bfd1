package vaa_test

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id/vaa"
	"github.com/fujie-id/fujie/problem"
)

func corpus(t testing.TB, file string, fields int) [][]string {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != fields {
			t.Fatalf("%s: %q has %d fields", file, line, len(f))
		}
		for i := range f {
			if f[i] == "-" {
				f[i] = ""
			}
		}
		all = append(all, f)
	}
	if len(all) < 10 {
		t.Fatalf("%s has %d lines", file, len(all))
	}
	return all
}

func TestGood(t *testing.T) {
	for _, f := range corpus(t, "testdata/good.txt", 5) {
		p, err := vaa.ParsePrefix(f[0])
		if err != nil || p != (vaa.Prefix{Country: f[1], Industry: f[2], Enterprise: f[3]}) || p.String() != f[0] {
			t.Errorf("%s: %+v, %v", f[0], p, err)
			continue
		}
		printed, err := vaa.Print(f[0], "abc")
		if f[4] == "" {
			if !problem.Is(err, problem.BadID) {
				t.Errorf("%s is printed as %s, %v", f[0], printed, err)
			}
			continue
		}
		if err != nil || printed != f[4] {
			t.Errorf("%s is printed as %s, %v", f[0], printed, err)
		}
		for _, spelling := range []string{f[4], "vaa" + f[4][3:], "Vaa" + f[4][3:]} {
			if back, suffix, err := vaa.ParsePrinted(spelling); err != nil || back != p || suffix != "abc" {
				t.Errorf("%s: %+v, %s, %v", spelling, back, suffix, err)
			}
		}
	}
}

func TestBad(t *testing.T) {
	for _, f := range corpus(t, "testdata/bad.txt", 2) {
		if _, err := vaa.ParsePrefix(f[0]); !problem.Is(err, problem.BadID) || !strings.Contains(err.Error(), f[1]) {
			t.Errorf("%q: %v, want %s", f[0], err, f[1])
		} else if problem.Say(err, problem.Chinese) == err.Error() {
			t.Errorf("%q: no Chinese", f[0])
		}
	}
	for _, printed := range []string{"", "VAA", "VA", "VAA/x", "VAAA/x", "XAA0881181/x", "VAA0881181", "VAA0881181/", "VAA088118/x", "VAA1881181/x", "VAA08x1181/x", "VAA0881181.2/x"} {
		if _, _, err := vaa.ParsePrinted(printed); !problem.Is(err, problem.BadID) {
			t.Errorf("%q: %v", printed, err)
		}
	}
	if _, err := vaa.Print("88.118.1", ""); !problem.Is(err, problem.BadID) {
		t.Error("a code without a suffix is printed:", err)
	}
}

func TestPrintAndBack(t *testing.T) {
	digits := func(t *rapid.T, name string, least, most int) string {
		return rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), least, most, -1).Draw(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := vaa.Prefix{Country: digits(t, "country", 2, 2), Industry: digits(t, "industry", 3, 5), Enterprise: digits(t, "enterprise", 1, 128)}
		suffix := rapid.StringN(1, 30, -1).Draw(t, "suffix")
		if back, err := vaa.ParsePrefix(p.String()); err != nil || back != p {
			t.Fatal(back, err)
		}
		printed, err := vaa.Print(p.String(), suffix)
		if len(p.Industry) != 3 {
			// Where the industry ends could not be told: 1021+50 and 102+150 would print the same.
			if err == nil {
				t.Fatalf("%v is printed as %s", p, printed)
			}
			return
		}
		back, s, err2 := vaa.ParsePrinted(printed)
		if err != nil || err2 != nil || back != p || s != suffix {
			t.Fatal(printed, back, s, err, err2)
		}
	})
}

func FuzzPrinted(f *testing.F) {
	for _, line := range corpus(f, "testdata/good.txt", 5) {
		f.Add(line[0])
		f.Add(line[4])
	}
	for _, line := range corpus(f, "testdata/bad.txt", 2) {
		f.Add(line[0])
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := vaa.ParsePrefix(s); err == nil && p.String() != s {
			t.Fatalf("%q is %v", s, p)
		} else if err != nil && (!problem.Is(err, problem.BadID) || utf8.ValidString(s) && !utf8.ValidString(err.Error())) {
			t.Fatalf("%q: %q", s, err)
		}
		p, suffix, err := vaa.ParsePrinted(s)
		if err != nil {
			return
		}
		printed, err := vaa.Print(p.String(), suffix)
		if err != nil || !strings.EqualFold(printed[:3], s[:3]) || printed[3:] != s[3:] {
			t.Fatalf("%q: %s, %v", s, printed, err)
		}
	})
}
