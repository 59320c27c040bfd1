package live

import (
	"fmt"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct{ pattern, suffix, want string }{
		{"ENG-{no}", "ENG-42", "map[no:42]"},
		{"eng-{no}", "ENG-42", "map[no:42]"},
		{"ENG-{no}", "ENG-", ""},
		{"ENG-{no}", "ENG-4/2", ""},
		{"ENG-{no:any}", "ENG-4/2", "map[no:4/2]"},
		{"ENG-{no:digits}", "ENG-4A", ""},
		{"{class:letters}{no:digits}", "AB1234", ""},
		{"{class:letters}{no:digits,4}", "AB1234", "map[class:AB no:1234]"},
		{"{class:letters,2}{no:digits,4}", "AB1234", "map[class:AB no:1234]"},
		{"{class:letters,2}{no:digits,4}", "ABC123", ""},
		{"{line}.{no}", "A.B.C", "map[line:A no:B.C]"},
		{"件-{no:alnum}", "件-7B", "map[no:7B]"},
		{"A.B{x}", "AXB1", ""},
		{"A$", "A$", "map[]"},
		{"X-{no:any}", "X-a\nb", "map[no:a\nb]"},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			if c.want != "" {
				t.Errorf("%s: %v", c.pattern, err)
			}
			continue
		}
		got := p.match(c.suffix)
		if s := fmt.Sprint(got); s != c.want && !(got == nil && c.want == "") {
			t.Errorf("%s on %s: %s, want %s", c.pattern, c.suffix, s, c.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	p, err := parsePattern("{no}-{line}")
	if err != nil {
		t.Fatal(err)
	}
	pg, my := style{numbered: true}, style{backslash: true}
	for _, c := range []struct {
		st          style
		query, want string
	}{
		{pg, "SELECT a FROM t WHERE b = {no} AND c = {line} AND d = {no};", "SELECT a FROM t WHERE b = $1 AND c = $2 AND d = $1 [no line]"},
		{my, "select a from t where b = {no} and c = {line} and d = {no}", "select a from t where b = ? and c = ? and d = ? [no line no]"},
		{pg, "SELECT d #>> '{a,b}' FROM t WHERE b = {no}", "SELECT d #>> '{a,b}' FROM t WHERE b = $1 [no]"},
		{pg, "SELECT d ? 'k' FROM t -- what's this\nWHERE b = {suffix}", "SELECT d ? 'k' FROM t -- what's this\nWHERE b = $1 [suffix]"},
		{pg, "SELECT ';' /* ; */ FROM t", "SELECT ';' /* ; */ FROM t []"},
		{my, `SELECT 'it\'s ;' FROM t`, `SELECT 'it\'s ;' FROM t []`},
		{pg, "SELECT 'it''s {x}' FROM t", "SELECT 'it''s {x}' FROM t []"},
		{pg, "SELECT '{no}'", ""}, {pg, "SELECT \"{no}\"", ""}, {pg, "SELECT 1; SELECT 2", ""}, {pg, "SELECT $1", ""}, {my, "SELECT ?", ""},
		{pg, "SELECT 'open", ""}, {pg, "SELECT {", ""}, {pg, "SELECT {other}", ""}, {pg, "", ""}, {pg, "UPDATE t SET a = 1", ""}, {pg, "SELECTED", ""}, {pg, "/* x */ SELECT 1", ""},
	} {
		got, order, err := c.st.places(c.query, p)
		if s := got + " " + fmt.Sprint(order); err == nil && s != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %s, %v", c.query, s, err)
		}
	}
}

// FuzzPattern: no pattern and no suffix makes it panic; what matches is put together again from its parts, and the fast way knows of it.
func FuzzPattern(f *testing.F) {
	f.Add("ENG-{no:digits}", "ENG-42")
	f.Add("{a:letters,2}{b:any}", "AB/\n")
	f.Add("$.^{x}[", "$.^1[")
	f.Fuzz(func(t *testing.T, pat, suffix string) {
		p, err := parsePattern(pat)
		if err != nil {
			return
		}
		suffix = fold(suffix)
		m := p.match(suffix)
		if m == nil {
			return
		}
		if !startsFolded([]byte(suffix), p.head) {
			t.Errorf("%q matches %q, and the fast way does not see it", pat, suffix)
		}
		var b strings.Builder
		rest := pat
		for rest != "" {
			at := strings.IndexByte(rest, '{')
			if at < 0 {
				b.WriteString(fold(rest))
				break
			}
			end := strings.IndexByte(rest, '}')
			name, _, _ := strings.Cut(rest[at+1:end], ":")
			b.WriteString(fold(rest[:at]) + m[name])
			rest = rest[end+1:]
		}
		if b.String() != suffix {
			t.Errorf("%q on %q: the parts %q make %q", pat, suffix, m, b.String())
		}
	})
}

// FuzzPlaces: no query makes it panic, and no part's text ever stands in the result.
func FuzzPlaces(f *testing.F) {
	f.Add("SELECT a FROM t WHERE b = {no}", true)
	f.Add("WITH x AS (SELECT '{a}') SELECT `b`, \"c\" FROM x WHERE b = {id} -- {", false)
	p, err := parsePattern("{no}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string, numbered bool) {
		got, order, err := style{numbered: numbered, backslash: !numbered}.places(query, p)
		if err == nil && (strings.Contains(got, "{no}") || len(order) > strings.Count(query, "{")) {
			t.Errorf("%q became %q with %v", query, got, order)
		}
	})
}

func TestRedact(t *testing.T) {
	cfg := &Config{Secret: func(ref string) (string, error) {
		return map[string]string{"env:URL": "postgres://u:pa55@h/db", "env:T": "tok"}[ref], nil
	}}
	l := &lane{cfg: cfg, hide: []string{"env:URL", "env:T"}}
	if got := l.redact("dial postgres://u:pa55@h/db with tok, then pa55"); strings.Contains(got, "pa55") || strings.Contains(got, "tok") {
		t.Error(got)
	}
}
