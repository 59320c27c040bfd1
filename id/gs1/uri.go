package gs1

import "strings"

// escape writes s so that it can stand in a URI: all but unreserved characters (RFC 3986, 2.3) as %XX; in a query a space may be +.
func escape(dst []byte, s string, query bool) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case unreserved(c):
			dst = append(dst, c)
		case c == ' ' && query:
			dst = append(dst, '+')
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

func unreserved(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '.' || c == '_' || c == '~'
}

// unescapeURI undoes it; what is no escape stays as it is, so that a later check can name it.
func unescapeURI(s string, query bool) string {
	if strings.IndexByte(s, '%') < 0 && (!query || strings.IndexByte(s, '+') < 0) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+' && query:
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, hexValue(s[i+1])<<4|hexValue(s[i+2]))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// uriFault is the place of the first character that cannot stand in a URI (RFC 3986, 2), or -1.
func uriFault(s string) int {
	for i := range len(s) {
		if c := s[i]; !unreserved(c) && strings.IndexByte(":/?#[]@!$&'()*+,;=%", c) < 0 {
			return i
		}
	}
	return -1
}

// isHost says whether s is a host name or address with an optional port (RFC 3986, 3.2), without a user and without escapes.
func isHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 3 {
			return false
		}
		for i := 1; i < end; i++ {
			if !isHex(s[i]) && s[i] != ':' && s[i] != '.' {
				return false
			}
		}
		return isPort(s[end+1:])
	}
	name, _, _ := strings.Cut(s, ":")
	if name == "" || !isPort(s[len(name):]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !unreserved(c) || c == '~' {
			return false
		}
	}
	return true
}

func isPort(s string) bool {
	return s == "" || len(s) >= 2 && len(s) <= 6 && s[0] == ':' && digits(s[1:]) && number(s[1:]) <= 65535
}
