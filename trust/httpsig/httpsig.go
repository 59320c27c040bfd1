// Package httpsig lets a program or a person prove with every HTTP request who they are, to a node that has never heard
// of them: no account there, no password, no call to a central service. Whoever asks is an identifier; the node looks up
// that identifier's public key in the world and checks the signature on the request.
//
// It is HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530), in one profile:
//
//	POST /api/handles/88.118.1001/ENG-42?type=price HTTP/1.1
//	Host: a.example:8443
//	Content-Type: application/json
//	Content-Digest: sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:
//	Signature-Input: fujie=("@method" "@authority" "@path" "@query" "content-type" "content-digest");created=1795360227;
//	  expires=1795360257;nonce="Jx0pC3…";keyid="300:88.118.1002/App_erp";alg="ed25519";tag="fujie"
//	Signature: fujie=:…:
//
// keyid is the value that holds the signer's key, index:identifier; what is not printable ASCII in it, and %, is
// percent-encoded. A signature must cover the method, the authority, path and query (or @target-uri), the digest when
// there is a body, and each of Bound that is there; have created, nonce and tag; and may hold for five minutes at most.
//
//	alg                 key      signature
//	ed25519             ed25519  64 bytes
//	ecdsa-p256-sha256   p256     r and s, 32 bytes each
//	rsa-v1_5-sha256     rsa      as long as the modulus
//	rsa-pss-sha512      rsa      as long as the modulus
//	sm2-sm3             sm2      r and s, 32 bytes each; ours: RFC 9421 has no name for it
//
// Who is trusted: who holds the key. Somebody who gets hold of a signed request can use it nowhere else (the authority is
// signed), not again (the nonce is remembered), not later (it expires), and not changed. What somebody on the way can do
// is take the signature off: then the request is nobody's. Secrecy is TLS's.
package httpsig

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// The headers.
const (
	HeaderInput     = "Signature-Input"
	HeaderSignature = "Signature"
	HeaderDigest    = "Content-Digest"
)

// Tag is the purpose of these signatures; those with another tag are not for us.
const Tag = "fujie"

// Bound are the headers that change what a request means: where one is there, a signature must cover it.
var Bound = []string{"content-type", "content-encoding", "if-match", "idempotency-key", "fujie-purpose"}

// Options says how Sign signs. The zero value is usable.
type Options struct {
	Now       func() time.Time // time.Now when nil
	Rand      io.Reader        // for the nonce; crypto/rand when nil
	Life      time.Duration    // how long the signature holds; 30 s when 0
	Algorithm string           // "rsa-pss-sha512" for RSA keys; empty: what goes with the key
	Headers   []string         // more headers to cover, in lower case; what is not there is passed over
}

// Sign signs a request that a client is about to send, as user, whose key it is (index and identifier). It adds
// Content-Digest when there is a body, Signature-Input and Signature, in the place of what was there. The request must be
// sent as it is: a header of Bound that is added later makes it refused. Errors: problem.BadRequest; problem.Unsupported
// for a key that signs nothing here.
func Sign(r *http.Request, key *trust.PrivateKey, user record.Ref, o Options) error {
	if key == nil || user.IsZero() || user.Index == 0 {
		return problem.New(problem.BadRequest, "to sign a request takes a key and whose it is, as 300:88.118.1002/App_erp", "对请求签名须有密钥及其身份，例如 300:88.118.1002/App_erp")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Life <= 0 {
		o.Life = 30 * time.Second
	}
	alg := o.Algorithm
	if alg == "" {
		alg = algorithmOf(key.Algorithm())
	}
	r.Header.Del(HeaderInput)
	r.Header.Del(HeaderSignature)
	r.Header.Del(HeaderDigest)
	body, err := bodyOf(r)
	if err != nil {
		return err
	}
	l := &list{}
	cover := func(name string) { l.items = append(l.items, item{name: name}) }
	for _, name := range []string{"@method", "@authority", "@path", "@query"} {
		cover(name)
	}
	if len(body) > 0 {
		r.Header.Set(HeaderDigest, digest(body))
		cover("content-digest")
	}
	seen := map[string]bool{"content-digest": true}
	for _, name := range append(append([]string(nil), Bound...), o.Headers...) {
		if name = strings.ToLower(name); !seen[name] && len(r.Header.Values(name)) > 0 {
			seen[name] = true
			cover(name)
		}
	}
	nonce := make([]byte, 18)
	if _, err := io.ReadFull(o.Rand, nonce); err != nil {
		return problem.Wrap(err, problem.Internal, "there is no randomness for a nonce", "没有可用的随机数来生成 nonce")
	}
	now := o.Now().Unix()
	l.params = []param{
		{"created", value{kind: kindInt, n: now}},
		{"expires", value{kind: kindInt, n: now + max(1, int64(o.Life/time.Second))}},
		{"nonce", value{kind: kindString, s: base64.RawURLEncoding.EncodeToString(nonce)}},
		{"keyid", value{kind: kindString, s: escapeRef(user)}},
		{"alg", value{kind: kindString, s: alg}},
		{"tag", value{kind: kindString, s: Tag}},
	}
	b, err := sent(r).base(l)
	if err != nil {
		return err
	}
	sig, err := sign(key, alg, b)
	if err != nil {
		return err
	}
	r.Header.Set(HeaderInput, Tag+"="+string(l.append(nil)))
	r.Header.Set(HeaderSignature, Tag+"=:"+base64.StdEncoding.EncodeToString(sig)+":")
	return nil
}

// bodyOf is the request's body, which stays to be sent.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	from := r.Body
	if r.GetBody != nil {
		again, err := r.GetBody()
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "the body cannot be read for signing it", "无法读取请求体以签名")
		}
		from = again
	}
	b, err := io.ReadAll(from)
	from.Close()
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the body cannot be read for signing it", "无法读取请求体以签名")
	}
	if r.GetBody == nil {
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		r.Body, _ = r.GetBody()
		r.ContentLength = int64(len(b))
	}
	return b, nil
}

// escapeRef writes a reference in printable ASCII.
func escapeRef(r record.Ref) string {
	s := r.String()
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '%' {
			b.WriteByte('%')
			b.WriteByte("0123456789ABCDEF"[c>>4])
			b.WriteByte("0123456789ABCDEF"[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unescapeRef reads it.
func unescapeRef(s string) (record.Ref, error) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return record.Ref{}, badKeyID(s)
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return record.Ref{}, badKeyID(s)
		}
		b = append(b, byte(n))
		i += 2
	}
	ref, err := record.ParseRef(string(b))
	if err != nil || ref.Index == 0 || ref.Name == "" {
		return record.Ref{}, badKeyID(s)
	}
	return ref, nil
}

func badKeyID(s string) error {
	return bad("the keyid %q of the signature names no key; write index:identifier, as 300:88.118.1002/App_erp", "签名的 keyid %q 没有指明密钥；请写成 索引:标识，例如 300:88.118.1002/App_erp", clip(s))
}

func bad(en, zh string, args ...any) error {
	return problem.New(problem.BadCredential, en, zh, args...)
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
