package id_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
)

// corpus is the lines of a file, taken apart at their tabs, escapes resolved.
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
			if strings.Contains(f[i], `\`) {
				s, err := strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(f[i], `"`, `\"`), `\0`, `\x00`) + `"`)
				if err != nil {
					t.Fatalf("%s: %q: %v", file, f[i], err)
				}
				f[i] = s
			}
		}
		all = append(all, f)
	}
	if len(all) < 20 {
		t.Fatalf("%s has %d lines", file, len(all))
	}
	return all
}

func TestGood(t *testing.T) {
	for _, f := range corpus(t, "testdata/good.txt", 4) {
		v, err := id.Parse(f[0])
		if err != nil {
			t.Errorf("%q: %v", f[0], err)
			continue
		}
		suffix := f[3]
		if suffix == "-" {
			suffix = ""
		}
		if v.String() != f[1] || v.Prefix() != f[2] || v.Suffix() != suffix || v.IsPrefix() != (suffix == "") || !v.IsValid() {
			t.Errorf("%q: %q of %q and %q", f[0], v, v.Prefix(), v.Suffix())
		}
		if again, err := id.Parse(v.String()); err != nil || again != v {
			t.Errorf("%q: its canonical form is read as %v, %v", f[0], again, err)
		}
	}
}

func TestBad(t *testing.T) {
	for _, f := range corpus(t, "testdata/bad.txt", 2) {
		v, err := id.Parse(f[0])
		if !problem.Is(err, problem.BadID) || !strings.Contains(err.Error(), f[1]) {
			t.Errorf("%q: %v, want %s", f[0], err, f[1])
		}
		if v != (id.ID{}) || v.IsValid() {
			t.Errorf("%q: %v came beside the error", f[0], v)
		}
	}
}

func TestSameThing(t *testing.T) {
	a := id.MustParse("VAA0881181001/eng-42")
	for _, s := range []string{"88.118.1001/ENG-42", "hdl:88.118.1001/Eng-42", "vaa0881181001/ENG-42"} {
		if id.MustParse(s) != a {
			t.Errorf("%s is another thing", s)
		}
	}
	if p, err := a.Printed(); err != nil || p != "VAA0881181001/ENG-42" {
		t.Error(p, err)
	}
	if id.MustParse("88.118.01001/eng-42") == a || id.MustParse("88.1181.001/eng-42") == a {
		t.Error("other prefixes are the same thing")
	}
	if _, err := id.MustParse("88.1021.150/x").Printed(); !problem.Is(err, problem.BadID) {
		t.Error(err)
	}
}

func TestDelegation(t *testing.T) {
	for prefix, parent := range map[string]string{"88.118.1001": "88.118", "88.118": "88", "88": "0.NA", "0.NA": "", "0.X": "0.NA", "0": "0.NA", "": ""} {
		if got := id.ParentPrefix(prefix); got != parent {
			t.Errorf("%s is delegated by %q, want %q", prefix, got, parent)
		}
	}
	v := id.PrefixRecord("88.118.a")
	if v.String() != "0.NA/88.118.A" || v != id.MustParse("0.na/88.118.a") {
		t.Error(v)
	}
	for s, want := range map[string]string{"0.NA/88.118": "88.118", "88.118": "88.118", "88.118/x": "", "0.NA/0.NA": "0.NA"} {
		if got, ok := id.MustParse(s).Delegated(); got != want || ok != (want != "") {
			t.Errorf("%s is about %q, %v", s, got, ok)
		}
	}
	if _, ok := (id.ID{}).Delegated(); ok {
		t.Error("the zero ID is about a prefix")
	}
	for s, want := range map[string]bool{"0.NA/88": true, "0/x": true, "0.X/y": true, "00.1/x": false, "88.0/x": false} {
		if got := id.MustParse(s).IsGlobal(); got != want {
			t.Errorf("%s: global %v", s, got)
		}
	}
}

func TestText(t *testing.T) {
	in := map[id.ID]id.ID{id.MustParse("88.1/a"): id.MustParse("88.1/中")}
	b, err := json.Marshal(in)
	if err != nil || string(b) != `{"88.1/A":"88.1/中"}` {
		t.Fatalf("%s %v", b, err)
	}
	var out map[id.ID]id.ID
	if err := json.Unmarshal(b, &out); err != nil || out[id.MustParse("88.1/A")] != in[id.MustParse("88.1/a")] {
		t.Error(out, err)
	}
	if err := json.Unmarshal([]byte(`{"/":"x"}`), &out); err == nil {
		t.Error("bad text is taken")
	}
	defer func() {
		if recover() == nil {
			t.Error("MustParse takes what is no identifier")
		}
	}()
	id.MustParse("/")
}

func TestParseAny(t *testing.T) {
	segment := rapid.StringMatching(`[0-9]{1,12}`)
	rapid.Check(t, func(t *rapid.T) {
		prefix := strings.Join(rapid.SliceOfN(segment, 1, 5).Draw(t, "prefix"), ".")
		suffix := strings.ReplaceAll(rapid.StringN(1, 60, -1).Draw(t, "suffix"), "\x00", "")
		if suffix == "" {
			return
		}
		v, err := id.Parse(prefix + "/" + suffix)
		if err != nil || v.Prefix() != prefix || v.Suffix() != handle.Fold(suffix) {
			t.Fatal(v, err)
		}
		if up := id.MustParse(handle.Fold(prefix + "/" + suffix)); up != v {
			t.Fatal(up, v)
		}
		if other, err := id.Parse(prefix + "0/" + suffix); err != nil || other == v {
			t.Fatal(other, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, line := range corpus(f, "testdata/good.txt", 4) {
		f.Add(line[0])
	}
	for _, line := range corpus(f, "testdata/bad.txt", 2) {
		f.Add(line[0])
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := id.Parse(s)
		if err != nil {
			if !problem.Is(err, problem.BadID) || !utf8.ValidString(err.Error()) || !utf8.ValidString(problem.Say(err, problem.Chinese)) {
				t.Fatalf("%q: %q", s, err)
			}
			return
		}
		if v.IsGS1() {
			if again, err := id.Parse(v.String()); err != nil || again != v || v.Prefix() != "https://id.gs1.org" || v.IsPrefix() || len(v.String()) > handle.MaxLen {
				t.Fatalf("%q is %q is %q, %v", s, v, again, err)
			}
			return
		}
		if len(v.String()) > handle.MaxLen || v.String() != handle.Fold(v.String()) {
			t.Fatalf("%q is %q", s, v)
		}
		if again, err := id.ParseHandle(v.String()); err != nil || again != v {
			t.Fatalf("%q is %q is %q, %v", s, v, again, err)
		}
		if p, err := v.Printed(); err == nil {
			if back, err := id.Parse(p); err != nil || back != v {
				t.Fatalf("%q is printed as %q, which is %q, %v", v, p, back, err)
			}
		}
	})
}

func TestTextRoundTrip(t *testing.T) {
	for _, s := range []string{"88.118.1001/eng-42", "VAA0881181/x", "88.118", "hdl:VAA0881/y"} {
		v, err := id.ParseHandle(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := v.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got id.ID
		if err := got.UnmarshalText(b); err != nil || got != v {
			t.Errorf("%q goes out as %q and comes back as %v, %v", s, b, got, err)
		}
	}
}

// TestGS1: every spelling of what GS1 numbers is one ID, with the case of its letters, beside handles that look alike.
func TestGS1(t *testing.T) {
	const link = "https://id.gs1.org/01/09521234543213/21/aB%2F1"
	want := id.MustParse(link)
	for _, s := range []string{
		"(01)09521234543213(21)aB/1", "（01）09521234543213（21）aB/1", "(21)aB/1(01)09521234543213(17)261231", "http://id.gs1.org/01/9521234543213/21/aB%2f1?17=261231",
		"HTTPS://ID.GS1.ORG/01/09521234543213/21/aB%2F1", "https://shop.example:8443/01/09521234543213/21/aB%2F1?linkType=all", "https://id.gs1.org/gtin/09521234543213/ser/aB%2F1",
	} {
		v, err := id.Parse(s)
		if err != nil || v != want {
			t.Errorf("%s is %s, %v", s, v, err)
		}
	}
	if want.String() != link || want.Prefix() != "https://id.gs1.org" || want.Suffix() != "01/09521234543213/21/aB%2F1" || want.IsPrefix() || !want.IsGS1() || want.IsGlobal() {
		t.Errorf("%s of %s and %s", want, want.Prefix(), want.Suffix())
	}
	if want == id.MustParse("(01)09521234543213(21)AB/1") {
		t.Error("the case of a serial number is lost")
	}
	if p, ok := want.Delegated(); ok {
		t.Error("it is about the prefix", p)
	}
	if p := id.ParentPrefix(want.Prefix()); p != "0.NA" {
		t.Error("its prefix is delegated by", p)
	}
	if _, err := want.Printed(); !problem.Is(err, problem.BadID) {
		t.Error(err)
	}
	text, err := want.MarshalText()
	var back id.ID
	if err != nil || string(text) != link || back.UnmarshalText(text) != nil || back != want {
		t.Error(string(text), err, back)
	}
	for s, says := range map[string]string{
		"(01)09521234543214": "the check digit is 4 where 3 belongs", "(10)A": "needs (01)", "(99)A": "holds no key", "https://id.gs1.org/88.118.1001/ENG-42": "holds no GS1 key",
		"https://id.gs1.org/": "holds no GS1 key", "https://a/01/09521234543214": "the check digit", "(8004)9521" + strings.Repeat("%", 27): "may have 30",
	} {
		if v, err := id.Parse(s); !problem.Is(err, problem.BadID) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v, want %s", s, v, err, says)
		}
	}
	for _, s := range []string{ // handles, as ever
		"https://fujie.example/88.118.1001/ENG-42", "https://a/01x/09521234543213", "https://a/01/x", "https://a/21/09521234543213", "(89)x/y", "()/y", "(01/y", "01/09521234543213", "ftp://a/01/09521234543213",
	} {
		v, err := id.Parse(s)
		if err != nil || v.IsGS1() || v.String() != handle.Fold(s) {
			t.Errorf("%s: %v, %v", s, v, err)
		}
	}
	for _, s := range []string{"(01)x/y", link, "HTTPS://A/01/09521234543213"} { // handles that look like GS1's, from the wire
		v, err := id.ParseHandle(s)
		if err != nil || v.IsGS1() {
			t.Fatal(v, err)
		}
		text, err := v.MarshalText()
		var back id.ID
		if err != nil || back.UnmarshalText(text) != nil || back != v {
			t.Errorf("%s is written %s, which reads as %s", v, text, back)
		}
	}
}
