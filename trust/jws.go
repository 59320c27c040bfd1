package trust

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Compact JWS (RFC 7515 §7.1), by hand because no library knows SM2: base64url header, dot, base64url claims, dot,
// base64url signature. The header is {"alg":"EdDSA"}: the alg of the signer's kind of key and nothing else.

// maxJWS is the longest that is read; a record with more digests would not fit into a message either.
const maxJWS = 256 << 10

// skew is how far clocks may differ when something says from when on it holds.
const skew = 5 * time.Minute

// JWSName is the alg of signatures by this kind of key (RFC 7518 §3.1, RFC 8037 §3.1; DS256 and SM2 are not registered).
func (a Algorithm) jws() string {
	switch a {
	case Ed25519:
		return "EdDSA"
	case P256:
		return "ES256"
	case SM2:
		return "SM2"
	case RSA:
		return "RS256"
	case DSA:
		return "DS256"
	}
	return ""
}

var b64url = base64.RawURLEncoding.Strict()

func signJWS(key *PrivateKey, claims any) ([]byte, error) {
	if key == nil {
		return nil, problem.New(problem.BadValue, "there is no key to sign with", "没有可用于签名的私钥")
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the claims could not be written", "无法写出声明")
	}
	out := b64url.AppendEncode(nil, []byte(`{"alg":"`+key.pub.alg.jws()+`"}`))
	out = append(out, '.')
	out = b64url.AppendEncode(out, payload)
	sig, err := key.WithID(nil).Sign(out)
	if err != nil {
		return nil, err
	}
	if key.pub.alg == P256 || key.pub.alg == SM2 {
		sig, _ = rawFromDER(sig)
	}
	out = append(out, '.')
	return b64url.AppendEncode(out, sig), nil
}

// jws is one taken apart; nothing in it is to be believed before check.
type jws struct {
	alg     string
	payload []byte
	signed  []byte // header and payload with the dot between
	sig     []byte
}

func parseJWS(b []byte, what string) (*jws, error) {
	bad := func(en, zh string, args ...any) (*jws, error) {
		return nil, problem.Wrap(problem.New(problem.Bogus, en, zh, args...), problem.Bogus, "the %s is malformed", "%s 格式错误", what)
	}
	b = bytes.TrimSpace(b)
	if len(b) > maxJWS {
		return bad("it takes %d bytes, over the limit of %d", "有 %d 字节，超过上限 %d", len(b), maxJWS)
	}
	parts := bytes.SplitN(b, []byte("."), 4)
	if len(parts) != 3 {
		return bad("a compact JWS has three parts with dots between", "紧凑 JWS 应为以点分隔的三段")
	}
	j := &jws{signed: b[:len(parts[0])+1+len(parts[1])]}
	header, err := b64url.AppendDecode(nil, parts[0])
	if err != nil {
		return bad("its header is not base64url", "头部不是 base64url")
	}
	if j.payload, err = b64url.AppendDecode(nil, parts[1]); err != nil {
		return bad("its claims are not base64url", "声明不是 base64url")
	}
	if j.sig, err = b64url.AppendDecode(nil, parts[2]); err != nil {
		return bad("its signature is not base64url", "签名不是 base64url")
	}
	var h struct {
		Alg  string          `json:"alg"`
		Crit json.RawMessage `json:"crit"`
		B64  json.RawMessage `json:"b64"`
	}
	if err := json.Unmarshal(header, &h); err != nil || h.Alg == "" {
		return bad("its header names no algorithm", "头部没有写明算法")
	}
	if h.Crit != nil || h.B64 != nil {
		return bad("its header asks for extensions that are not used here", "头部要求使用此处不支持的扩展")
	}
	j.alg = h.Alg
	return j, nil
}

// check verifies the signature. The algorithm is the key's; a header that says another is refused, "none" with it.
func (j *jws) check(key PublicKey, what string) error {
	if key.IsZero() {
		return problem.New(problem.Bogus, "there is no key to check the %s with", "没有可用来验证 %s 的公钥", what)
	}
	if want := key.alg.jws(); j.alg != want {
		return problem.New(problem.Bogus, "the %s says it is signed with %q, its signer's key signs with %q", "%s 声明的签名算法为 %q，而签名者的密钥使用 %q", what, clip(j.alg), want)
	}
	sig, ok := j.sig, true
	if key.alg == P256 || key.alg == SM2 {
		sig, ok = derFromRaw(sig)
	}
	name := key.HashName()
	if key.alg == DSA {
		name = "SHA-256"
	}
	if key.alg == SM2 {
		key.uid = nil
	}
	if !ok || key.VerifyHash(name, j.signed, sig) != nil {
		return problem.New(problem.Bogus, "the signature of the %s is not by the key %s", "%s 的签名不是由密钥 %s 所签", what, key)
	}
	return nil
}

// checkTimes says whether now lies in what is claimed.
func checkTimes(from, until, now time.Time, what string) error {
	if now.Add(skew).Before(from) {
		return problem.New(problem.Bogus, "the %s holds only from %s on", "%s 自 %s 起才有效", what, from.UTC().Format(time.RFC3339))
	}
	if !now.Before(until) {
		return problem.New(problem.Bogus, "the %s expired at %s; its issuer must renew it", "%s 已于 %s 过期；须由签发者更新", what, until.UTC().Format(time.RFC3339))
	}
	return nil
}

// maxTime is the year 9999: what stands behind it is no date.
const maxTime = 253402300799

func claimTime(n int64) (time.Time, bool) {
	return time.Unix(n, 0), n >= 0 && n <= maxTime
}
