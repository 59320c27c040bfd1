// Package handle is the grammar of Handle identifiers: a prefix, a slash, a suffix, as in 88.118.1001/ENG-42
// (RFC 3651 §2, RFC 3650; the deployed rules where they differ).
//
//	handle  = prefix [ "/" suffix ]
//	prefix  = segment *( "." segment )
//	segment = 1*( any character but "." "/" NUL and control characters )
//	suffix  = 1*( any character but NUL )
//
// Text is UTF-8. Two handles are the same when they are equal after the letters a–z are made A–Z, in the prefix and in
// the suffix alike; no other character is folded or normalised, so é and É stay different, and so do leading zeros.
package handle

import (
	"strings"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// MaxLen is the longest handle, in bytes of UTF-8, that the deployed protocol carries.
const MaxLen = 2048

// Split checks a handle and returns its parts. ok tells whether there is a slash; "88.118" alone names a prefix.
// The error is of kind problem.BadID and names the rule and the place.
func Split(s string) (prefix, suffix string, ok bool, err error) {
	if s == "" {
		return "", "", false, problem.New(problem.BadID,
			"an identifier is empty; write prefix/suffix, as in 88.118.1001/ENG-42",
			"标识为空；请写成 前缀/后缀，例如 88.118.1001/ENG-42")
	}
	if len(s) > MaxLen {
		return "", "", false, problem.New(problem.BadID,
			"the identifier has %d bytes, over the limit of %d; shorten its suffix",
			"标识有 %d 字节，超过上限 %d；请缩短后缀", len(s), MaxLen)
	}
	if !utf8.ValidString(s) {
		return "", "", false, problem.New(problem.BadID,
			"the identifier %q is not UTF-8; convert it (GBK and GB 18030 files: --encoding gb18030)",
			"标识 %q 不是 UTF-8；请先转换编码（GBK、GB 18030 文件可用 --encoding gb18030）", clip(s))
	}
	prefix, suffix, ok = strings.Cut(s, "/")
	if ok && suffix == "" {
		return "", "", false, problem.New(problem.BadID,
			"the identifier %q ends in its slash; put a suffix behind it",
			"标识 %q 以斜杠结尾；斜杠之后须有后缀", clip(s))
	}
	if i := strings.IndexByte(suffix, 0); i >= 0 {
		return "", "", false, problem.New(problem.BadID,
			"the identifier %q has a NUL character at byte %d; remove it",
			"标识 %q 在第 %d 字节处有空字符；请删除", clip(s), len(prefix)+1+i)
	}
	if err := checkPrefix(prefix); err != nil {
		return "", "", false, err
	}
	return prefix, suffix, ok, nil
}

func checkPrefix(p string) error {
	start := 0
	for i := 0; i <= len(p); i++ {
		if i < len(p) && p[i] != '.' {
			if c := p[i]; c < 0x20 || c == 0x7f {
				return problem.New(problem.BadID,
					"the prefix %q has a control character at byte %d; remove it",
					"前缀 %q 在第 %d 字节处有控制字符；请删除", clip(p), i)
			}
			continue
		}
		if i == start {
			return problem.New(problem.BadID,
				"the prefix %q has an empty segment at byte %d; write segments with single dots between, as in 88.118.1001",
				"前缀 %q 在第 %d 字节处有空段；各段之间用一个点分隔，例如 88.118.1001", clip(p), i)
		}
		start = i + 1
	}
	return nil
}

func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	n := 80
	for n > 76 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// Fold returns s with a–z made A–Z: the form under which handles are stored and compared.
func Fold(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; 'a' <= c && c <= 'z' {
			return string(AppendFold(make([]byte, 0, len(s)), s))
		}
	}
	return s
}

// AppendFold appends the folded form of s to dst.
func AppendFold[T string | []byte](dst []byte, s T) []byte {
	n := len(dst)
	dst = append(dst, s...)
	for i, c := range dst[n:] {
		if 'a' <= c && c <= 'z' {
			dst[n+i] = c - ('a' - 'A')
		}
	}
	return dst
}

// Equal reports whether two handles are the same identifier.
func Equal(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if upper(a[i]) != upper(b[i]) {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}
