package handle_test

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
)

var unescape = strings.NewReplacer(`\\`, `\`, `\0`, "\x00", `\t`, "\t", `\n`, "\n", `\x01`, "\x01", `\x1f`, "\x1f", `\x7f`, "\x7f", `\x80`, "\x80", `\xff`, "\xff")

// corpus is the lines of a file, taken apart at their tabs.
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
		f[0] = unescape.Replace(f[0])
		all = append(all, f)
	}
	if len(all) < 10 {
		t.Fatalf("%s has %d lines", file, len(all))
	}
	return all
}

func TestGood(t *testing.T) {
	for _, f := range corpus(t, "testdata/good.txt", 2) {
		prefix, suffix, ok, err := handle.Split(f[0])
		if err != nil {
			t.Errorf("%s: %v", f[0], err)
			continue
		}
		if whole := prefix + "/" + suffix; ok && whole != f[0] || !ok && prefix != f[0] {
			t.Errorf("%s: %q and %q", f[0], prefix, suffix)
		}
		if handle.Fold(f[0]) != f[1] || !handle.Equal(f[0], f[1]) || string(handle.AppendFold([]byte("x"), f[0])) != "x"+f[1] {
			t.Errorf("%s folds to %s", f[0], handle.Fold(f[0]))
		}
	}
}

func TestBad(t *testing.T) {
	for _, f := range corpus(t, "testdata/bad.txt", 2) {
		if _, _, _, err := handle.Split(f[0]); !problem.Is(err, problem.BadID) || !strings.Contains(err.Error(), f[1]) {
			t.Errorf("%q: %v, want %s", f[0], err, f[1])
		} else if problem.Say(err, problem.Chinese) == err.Error() {
			t.Errorf("%q: no Chinese", f[0])
		}
	}
}

func TestLimit(t *testing.T) {
	if _, _, _, err := handle.Split("a/" + strings.Repeat("x", handle.MaxLen-2)); err != nil {
		t.Error(err)
	}
	if _, _, _, err := handle.Split("a/" + strings.Repeat("x", handle.MaxLen-1)); !problem.Is(err, problem.BadID) {
		t.Error(err)
	}
	// however long the text, what is said of it is short
	if _, _, _, err := handle.Split(strings.Repeat(".", handle.MaxLen)); err == nil || len(err.Error()) > 400 || !utf8.ValidString(err.Error()) {
		t.Error(err)
	}
	if _, _, _, err := handle.Split("." + strings.Repeat("中", 500)); err == nil || !utf8.ValidString(err.Error()) {
		t.Errorf("%q", err)
	}
}

func TestFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if handle.Equal(a, b) != (handle.Fold(a) == handle.Fold(b)) {
			t.Fatal("Equal and Fold disagree")
		}
		if handle.Fold(handle.Fold(a)) != handle.Fold(a) || len(handle.Fold(a)) != len(a) {
			t.Fatal("folding twice is not folding once")
		}
	})
}

func FuzzSplit(f *testing.F) {
	for _, file := range []string{"testdata/good.txt", "testdata/bad.txt"} {
		for _, line := range corpus(f, file, 2) {
			f.Add(line[0])
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		prefix, suffix, ok, err := handle.Split(s)
		if err != nil {
			if !problem.Is(err, problem.BadID) || !utf8.ValidString(err.Error()) || prefix+suffix != "" || ok {
				t.Fatal(prefix, suffix, ok, err)
			}
			return
		}
		if ok && prefix+"/"+suffix != s || !ok && prefix != s || strings.Contains(prefix, "/") || prefix == "" || ok == (suffix == "") {
			t.Fatalf("%q: %q, %q, %v", s, prefix, suffix, ok)
		}
		if _, _, _, err := handle.Split(handle.Fold(s)); err != nil {
			t.Fatal(err)
		}
	})
}
