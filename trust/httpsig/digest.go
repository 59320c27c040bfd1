package httpsig

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"

	"github.com/fujie-id/fujie/problem"
)

// digest is the Content-Digest of a body (RFC 9530).
func digest(body []byte) string {
	h := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(h[:]) + ":"
}

// checkDigest compares a body with its Content-Digest: every digest of a kind that is known must be right, and one must be.
func checkDigest(lines []string, body []byte) error {
	ms, ok := dictionary(lines)
	if !ok {
		return bad("the header Content-Digest is malformed; write sha-256=:base64:", "请求头 Content-Digest 格式错误；请写成 sha-256=:base64:")
	}
	known := false
	for _, m := range ms {
		var want []byte
		switch m.label {
		case "sha-256":
			h := sha256.Sum256(body)
			want = h[:]
		case "sha-512":
			h := sha512.Sum512(body)
			want = h[:]
		default:
			continue
		}
		if m.value.kind != kindBytes || subtle.ConstantTimeCompare(want, []byte(m.value.s)) != 1 {
			return problem.New(problem.AuthFailed, "the body is not the one that was signed: its %s digest differs", "请求体不是所签的内容：%s 摘要不符", m.label)
		}
		known = true
	}
	if !known {
		return bad("the header Content-Digest has no digest that is known here; add one by sha-256 or sha-512", "请求头 Content-Digest 中没有可识别的摘要；请加上 sha-256 或 sha-512")
	}
	return nil
}
