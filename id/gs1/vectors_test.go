package gs1

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shared is a file of the collected facts and vectors, or a skip where they are not.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "gs1-syntax-engine", name))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the shared vectors are not here")
	}
	return b
}

type parseVector struct {
	Valid bool   `json:"valid"`
	URI   string `json:"uri"`
	Data  string `json:"ai_data"`
}

// reading is how the engine that the vectors come from was set for one of them: it takes aliases, short GTINs and unknown identifiers only when told to, and
// the vectors ask the same link of both.
func (v parseVector) reading() Reading {
	alias := strings.Contains(v.URI, "/gtin/") || strings.Contains(v.URI, "/sscc/")
	short := strings.Contains(v.URI, "/01/2112345678900") || strings.Contains(v.URI, "/01/416000336108") || strings.Contains(v.URI, "/01/02345673") ||
		strings.Contains(v.URI, "?01=2112345678900") || strings.Contains(v.URI, "?01=02345673") || strings.Contains(v.URI, "/01/9520123456788")
	unknown := strings.Contains(v.URI, "89=ABC123")
	return Reading{Aliases: alias && v.Valid, ShortGTIN: short && v.Valid, Unknown: unknown && v.Valid}
}

func vectors(t testing.TB) (v struct {
	Parse    []parseVector `json:"parse"`
	Generate [][]any       `json:"generate"`
	Escape   [][3]string   `json:"uri_escape"`
	Unescape [][3]string   `json:"uri_unescape"`
}) {
	t.Helper()
	if err := json.Unmarshal(shared(t, "dl-vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLinkVectors(t *testing.T) {
	v := vectors(t)
	if len(v.Parse) != 118 || len(v.Generate) != 22 || len(v.Escape) != 10 || len(v.Unescape) != 21 {
		t.Fatalf("%d, %d, %d and %d vectors, want 118, 22, 10 and 21", len(v.Parse), len(v.Generate), len(v.Escape), len(v.Unescape))
	}
	for i, c := range v.Parse {
		l, err := c.reading().ParseLink(c.URI)
		if (err == nil) != c.Valid {
			t.Errorf("parse %d, %q: %v, want valid %v", i, c.URI, err, c.Valid)
			continue
		}
		if err != nil {
			continue
		}
		if got := string(l.Elements.appendRaw([]byte("^"), '^', false)); got != c.Data {
			t.Errorf("parse %d, %q: %s, want %s", i, c.URI, got, c.Data)
		}
		// What a link holds is in its own spelling, too.
		again, err := c.reading().ParseLink(l.URI())
		if err != nil || again.URI() != l.URI() {
			t.Errorf("parse %d, %q: written as %q, which reads as %q, %v", i, c.URI, l.URI(), again.URI(), err)
		}
	}
}

func TestGenerateVectors(t *testing.T) {
	for i, c := range vectors(t).Generate {
		valid, stem, text, want := c[0].(bool), "", c[2].(string), c[3].(string)
		if s, ok := c[1].(string); ok {
			stem = s
		}
		got := ""
		r := Reading{Unknown: valid}
		e, err := r.ParseElements(text)
		if err == nil {
			var l Link
			if l, err = r.Link(e, stem); err == nil {
				got = l.URI()
			}
		}
		if (err == nil) != valid || got != want {
			t.Errorf("generate %d, %s: %q, %v, want %q", i, text, got, err, want)
		}
	}
}

func TestEscapeVectors(t *testing.T) {
	v := vectors(t)
	for _, c := range v.Escape {
		if got := string(escape(nil, c[0], false)); got != c[1] {
			t.Errorf("escape %q in a path: %q, want %q", c[0], got, c[1])
		}
		if got := string(escape(nil, c[0], true)); got != c[2] {
			t.Errorf("escape %q in a query: %q, want %q", c[0], got, c[2])
		}
	}
	latin := func(s string) string { // the vectors spell bytes as the characters of the same number
		var b []byte
		for _, r := range s {
			b = append(b, byte(r))
		}
		return string(b)
	}
	for _, c := range v.Unescape {
		if got := unescapeURI(c[0], false); got != latin(c[1]) {
			t.Errorf("unescape %q of a path: %q, want %q", c[0], got, c[1])
		}
		if got := unescapeURI(c[0], true); got != latin(c[2]) {
			t.Errorf("unescape %q of a query: %q, want %q", c[0], got, c[2])
		}
	}
}
