package epcis

import (
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/gs1"
)

// Key is the one form of an identifier in which two spellings of it are equal: the canonical Digital Link of the most fine-grained level for anything of
// GS1, https://id.gs1.org/01/04012345111118/21/9876; the bare canonical text for ours, 88.118.1001/ENG-42, however it is written (bare, hdl:, as a web
// address on any host); and the text itself for anything else.
func Key(s string) string {
	if c, ok := gs1.Canonical(s); ok {
		return c
	}
	switch {
	case len(s) > 4 && strings.EqualFold(s[:4], "hdl:"):
		if v, err := id.Parse(s); err == nil {
			return v.String()
		}
	case strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://"):
		_, path, ok := strings.Cut(s[strings.Index(s, "//")+2:], "/")
		if !ok || !isOurs(path) {
			return s
		}
		if i := strings.IndexAny(path, "?#"); i >= 0 {
			path = path[:i]
		}
		if text, ok := unescape(path); ok {
			if v, err := id.ParseHandle(text); err == nil {
				return v.String()
			}
		}
	case !isURI(s):
		if v, err := id.Parse(s); err == nil && !v.IsPrefix() {
			return v.String()
		}
	}
	return s
}

// isOurs says whether a path begins with a prefix of at least two numbers and a slash: 88.118.1001/…
func isOurs(path string) bool {
	dots := 0
	for i := range len(path) {
		switch c := path[i]; {
		case c >= '0' && c <= '9':
		case c == '.' && i > 0 && path[i-1] != '.':
			dots++
		case c == '/':
			return dots > 0 && path[i-1] != '.' && i+1 < len(path)
		default:
			return false
		}
	}
	return false
}

// isURI says whether s begins with a scheme (RFC 3986, 3.1) and holds no character that a URI cannot.
func isURI(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		case c == ':' && i > 0:
			return i+1 < len(s)
		default:
			return false
		}
	}
	return false
}

// isIdentifier says whether s may stand where the standard wants a URI: a URI without white space or control characters, or an identifier of ours.
func isIdentifier(s string) bool {
	uri := isURI(s)
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c == 0x7f {
			return false
		}
		if uri && (c == '<' || c == '>' || c == '"' || c == '{' || c == '}' || c == '|' || c == '\\' || c == '^' || c == '`') {
			return false
		}
	}
	if uri {
		return true
	}
	v, err := id.Parse(s)
	return err == nil && !v.IsPrefix()
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// unescape decodes %XX; ok is false when an escape is cut short.
func unescape(s string) (string, bool) {
	at := strings.IndexByte(s, '%')
	if at < 0 {
		return s, true
	}
	out := append(make([]byte, 0, len(s)), s[:at]...)
	for i := at; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		a, b := nibble(s[i+1]), nibble(s[i+2])
		if a > 15 || b > 15 {
			return "", false
		}
		out = append(out, a<<4|b)
		i += 2
	}
	return string(out), true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
