package gs1

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// line writes an entry as the Syntax Dictionary does, with single spaces.
func (e *entry) line() string {
	var b strings.Builder
	b.WriteString(e.from)
	if e.to != e.from {
		b.WriteString("-" + e.to)
	}
	mark := ""
	if e.flags&predefined != 0 {
		mark += "*"
	}
	if e.flags&attribute != 0 {
		mark += "?"
	}
	if mark != "" {
		b.WriteString(" " + mark)
	}
	for _, p := range e.parts {
		s := fmt.Sprintf("%c%d", p.set, p.max)
		if p.min != p.max {
			s = fmt.Sprintf("%c..%d", p.set, p.max)
		}
		if p.optional {
			s = "[" + s + "]"
		}
		for _, l := range p.linters {
			s += "," + l.String()
		}
		b.WriteString(" " + s)
	}
	return b.String()
}

// TestDictionary holds the table against the published dictionary, line by line.
func TestDictionary(t *testing.T) {
	var lines int
	for sc := bufio.NewScanner(bytes.NewReader(shared(t, "gs1-syntax-dictionary.txt"))); sc.Scan(); {
		body, title, _ := strings.Cut(sc.Text(), "#")
		f := strings.Fields(body)
		if len(f) == 0 {
			continue
		}
		if lines == len(dictionary) {
			t.Fatalf("the published dictionary goes on: %s", sc.Text())
		}
		e := &dictionary[lines]
		lines++
		var spec, requires []string
		excludes, qualifiers, key := "", "", false
		for _, w := range f {
			switch name, value, _ := strings.Cut(w, "="); {
			case name == "req":
				requires = append(requires, value)
			case name == "ex":
				if excludes != "" {
					t.Errorf("%s: ex stands twice", f[0])
				}
				excludes = value
			case name == "dlpkey":
				key, qualifiers = true, value
			default:
				spec = append(spec, w)
			}
		}
		if got, want := e.line(), strings.Join(spec, " "); got != want {
			t.Errorf("have %s, published %s", got, want)
		}
		if got, want := strings.Join(e.requires, " "), strings.Join(requires, " "); got != want {
			t.Errorf("%s: requires %q, published %q", f[0], got, want)
		}
		if e.excludes != excludes || e.qualifiers != qualifiers || (e.flags&primary != 0) != key {
			t.Errorf("%s: excludes %q, qualifiers %q, key %v; published %q, %q, %v", f[0], e.excludes, e.qualifiers, e.flags&primary != 0, excludes, qualifiers, key)
		}
		if want := strings.TrimSpace(title); e.title != want {
			t.Errorf("%s: title %q, published %q", f[0], e.title, want)
		}
		for n := number(e.from); n <= number(e.to); n++ {
			if ai := fmt.Sprintf("%0*d", len(e.from), n); find(ai) != e || !Known(ai) || IsKey(ai) != key || Title(ai) != e.title {
				t.Errorf("(%s) is not found", ai)
			}
		}
	}
	if want := 224; lines != want || len(dictionary) != want {
		t.Errorf("%d lines published, %d here, %d expected", lines, len(dictionary), want)
	}
}

// TestTable holds what the code takes for granted, of the table as it is.
func TestTable(t *testing.T) {
	for i := range dictionary {
		e := &dictionary[i]
		if e.flags&predefined != 0 && e.shortest() != e.longest() {
			t.Errorf("%s: length known, but not fixed", e.from)
		}
		for j, p := range e.parts {
			if p.min != p.max && j != len(e.parts)-1 {
				t.Errorf("%s: only the last component varies", e.from)
			}
			if j > 0 && e.parts[j-1].optional && !p.optional {
				t.Errorf("%s: a component that must be there follows one that may be missing", e.from)
			}
		}
		if n := lengths[number(e.from[:2])]; int(n) != len(e.from) {
			t.Errorf("%s: its first digits say %d", e.from, n)
		}
		if TitleZH(e.from) == "" && e.title != "" {
			t.Errorf("%s: no title in Chinese, not even the English one", e.from)
		}
	}
	if len(countryNumbers.list()) != 249 || len(strings.Fields(countries)) != 249 || len(currencyNumbers.list()) != 181 {
		t.Errorf("%d country numbers, %d country codes, %d currencies", len(countryNumbers.list()), len(strings.Fields(countries)), len(currencyNumbers.list()))
	}
	for _, no := range []string{"", "1", "001x", "89", "04", "3106", "8", "99999", "0x"} {
		if Known(no) || IsKey(no) || Title(no) != "" {
			t.Errorf("%q is taken for an application identifier", no)
		}
	}
}

func (n *numbers) list() (all []int) {
	for v := range 1000 {
		if n.has(v) {
			all = append(all, v)
		}
	}
	return all
}
