package trust

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// SignOptions says how SignRecord signs.
type SignOptions struct {
	PublicOnly  bool      // cover exactly what everybody may read, and say so in the claim "scope"
	From, Until time.Time // when the signature holds, in whole seconds
}

type digestClaim struct {
	Index  uint32 `json:"index"`
	Digest string `json:"digest"`
}

type signatureClaims struct {
	Digests struct {
		Alg     string        `json:"alg"`
		Digests []digestClaim `json:"digests"`
	} `json:"digests"`
	Iss   string   `json:"iss"`
	Sub   string   `json:"sub"`
	Exp   *int64   `json:"exp"`
	Nbf   int64    `json:"nbf"`
	Iat   int64    `json:"iat"`
	Scope string   `json:"scope,omitempty"`
	Chain []string `json:"chain,omitempty"`
}

// Signature is an HS_SIGNATURE: its issuer says what the values of the record Name are.
type Signature struct {
	Issuer      record.Ref
	Name        string // the record
	Digest      string // "SHA-256", "SHA-1" or "SM3"
	Public      bool   // it covers exactly what everybody may read
	From, Until time.Time
	Issued      time.Time    // zero when it does not say
	Chain       []record.Ref // where the issuer's certificates may be found, if it says; a hint and no more

	digests map[uint32][]byte
	jws     *jws
}

// DigestValue is the digest by which signatures name a value: over its binary form without index and timestamp
// (handle-protocol §1.13). alg is "SHA-256", "SHA-1" or "SM3"; the result is nil for any other.
func DigestValue(alg string, v *record.Value) []byte {
	b := v.AppendDigested(make([]byte, 0, v.Size()))
	switch alg {
	case "SHA-256":
		h := sha256.Sum256(b)
		return h[:]
	case "SHA-1":
		h := sha1.Sum(b)
		return h[:]
	case "SM3":
		h := sm3.Sum(b)
		return h[:]
	}
	return nil
}

func digestName(s string) string {
	switch strings.ToUpper(s) {
	case "SHA-256", "SHA256":
		return "SHA-256"
	case "SHA-1", "SHA1":
		return "SHA-1"
	case "SM3":
		return "SM3"
	}
	return ""
}

// SignRecord makes the data of an HS_SIGNATURE value over the values of the record name; HS_SIGNATURE values are left
// out. issuer names the value that holds the public half of key. Digests are SHA-256, or SM3 when key is an SM2 key.
// Errors: problem.BadValue.
func SignRecord(key *PrivateKey, issuer record.Ref, name string, values []record.Value, opts SignOptions) ([]byte, error) {
	if key == nil || issuer.IsZero() || name == "" {
		return nil, problem.New(problem.BadValue, "a signature needs a key, an issuer and the record's name", "签名须有密钥、签发者和记录的标识")
	}
	exp := opts.Until.Unix()
	if !opts.Until.After(opts.From) || exp > maxTime {
		return nil, problem.New(problem.BadValue, "a signature from %s until %s holds at no time", "签名有效期 %s 至 %s 不成立", opts.From.UTC().Format(time.RFC3339), opts.Until.UTC().Format(time.RFC3339))
	}
	c := signatureClaims{Iss: refText(issuer), Sub: name, Exp: &exp, Nbf: opts.From.Unix(), Iat: opts.From.Unix()}
	if opts.PublicOnly {
		c.Scope = "public"
	}
	c.Digests.Alg = "SHA-256"
	if key.pub.alg == SM2 {
		c.Digests.Alg = "SM3"
	}
	c.Digests.Digests = make([]digestClaim, 0, len(values))
	for i := range values {
		v := &values[i]
		if isSignature(v) || (opts.PublicOnly && v.Perm&record.PublicRead == 0) {
			continue
		}
		d := DigestValue(c.Digests.Alg, v)
		c.Digests.Digests = append(c.Digests.Digests, digestClaim{v.Index, base64.StdEncoding.EncodeToString(d)})
	}
	return signJWS(key, c)
}

func isSignature(v *record.Value) bool { return strings.EqualFold(v.Type, record.TypeSignature) }

// ParseSignature reads the data of an HS_SIGNATURE value. Nothing in it is to be believed before Verify. The error is
// of kind problem.Bogus.
func ParseSignature(data []byte) (*Signature, error) {
	j, err := parseJWS(data, "HS_SIGNATURE")
	if err != nil {
		return nil, err
	}
	bad := func(cause error, en, zh string, args ...any) (*Signature, error) {
		return nil, problem.Wrap(problem.Wrap(cause, problem.Bogus, en, zh, args...), problem.Bogus, "the HS_SIGNATURE is malformed", "HS_SIGNATURE 格式错误")
	}
	var c signatureClaims
	if err := json.Unmarshal(j.payload, &c); err != nil {
		return bad(err, "its claims are not what is expected", "声明不符合要求")
	}
	s := &Signature{Name: c.Sub, Digest: digestName(c.Digests.Alg), Public: c.Scope == "public", jws: j}
	if s.Issuer, err = record.ParseRef(c.Iss); err != nil || s.Issuer.IsZero() {
		return bad(err, "its issuer %q is no reference", "签发者 %q 不是引用", clip(c.Iss))
	}
	if s.Name == "" {
		return bad(nil, "it does not say which record it is about", "没有写明所签的记录")
	}
	if s.Digest == "" {
		return bad(nil, "its digests are made with %q; SHA-256, SHA-1 and SM3 are known", "摘要算法 %q 未知；可用 SHA-256、SHA-1 和 SM3", clip(c.Digests.Alg))
	}
	if s.From, s.Until, s.Issued, err = times(c.Nbf, c.Exp, c.Iat); err != nil {
		return bad(err, "its dates make no sense", "日期不成立")
	}
	if s.Chain, err = chainRefs(c.Chain); err != nil {
		return bad(err, "its chain makes no sense", "其证书链提示不成立")
	}
	if len(c.Digests.Digests) > record.MaxValues {
		return bad(nil, "it has %d digests, over the limit of %d", "有 %d 个摘要，超过上限 %d", len(c.Digests.Digests), record.MaxValues)
	}
	s.digests = make(map[uint32][]byte, len(c.Digests.Digests))
	for _, d := range c.Digests.Digests {
		b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(d.Digest, "="))
		if err != nil {
			return bad(err, "the digest of value %d is not base64", "值 %d 的摘要不是 base64", d.Index)
		}
		if _, twice := s.digests[d.Index]; twice {
			return bad(nil, "it has two digests for value %d", "值 %d 有两个摘要", d.Index)
		}
		s.digests[d.Index] = b
	}
	return s, nil
}

func (s *Signature) what() string { return "HS_SIGNATURE of " + clip(s.Name) }

// Verify checks that issuer signed it and that it holds at now. The error is of kind problem.Bogus.
func (s *Signature) Verify(issuer PublicKey, now time.Time) error {
	if err := s.jws.check(issuer, s.what()); err != nil {
		return err
	}
	return checkTimes(s.From, s.Until, now, s.what())
}

// Has reports whether the signature covers a value with this index: one that was asked for and did not come was then
// withheld.
func (s *Signature) Has(index uint32) bool {
	_, ok := s.digests[index]
	return ok
}

// Indexes are those of the values that the signature covers, in order.
func (s *Signature) Indexes() []uint32 { return slices.Sorted(maps.Keys(s.digests)) }

// CheckValues compares the values of the record name with what was signed. Every value must be covered, but for
// HS_SIGNATURE values, which nobody needs to believe. With complete, values claim to be all that everybody may read:
// then one that was signed and is missing shows too, if the signature says that it covers exactly those. The error is
// of kind problem.Bogus and names the value.
func (s *Signature) CheckValues(name string, values []record.Value, complete bool) error {
	if !handle.Equal(s.Name, name) {
		return problem.New(problem.Bogus, "the signature is about %s, not about %s", "签名针对的是 %s，而不是 %s", clip(s.Name), clip(name))
	}
	var seen map[uint32]bool
	if complete && s.Public {
		seen = make(map[uint32]bool, len(values))
	}
	for i := range values {
		v := &values[i]
		want, ok := s.digests[v.Index]
		if !ok {
			if isSignature(v) {
				continue
			}
			return problem.New(problem.Bogus, "value %d (%s) of %s is not covered by the signature", "%[3]s 的值 %[1]d（%[2]s）不在签名范围内", v.Index, clip(v.Type), clip(name))
		}
		if subtle.ConstantTimeCompare(want, DigestValue(s.Digest, v)) != 1 {
			return problem.New(problem.Bogus, "value %d (%s) of %s is not what was signed", "%[3]s 的值 %[1]d（%[2]s）与所签内容不符", v.Index, clip(v.Type), clip(name))
		}
		if seen != nil {
			seen[v.Index] = true
		}
	}
	if seen != nil && len(seen) != len(s.digests) {
		for index := range s.digests {
			if !seen[index] {
				return problem.New(problem.Bogus, "value %d of %s was signed, but is missing", "%[2]s 的值 %[1]d 已签名，却未返回", index, clip(name))
			}
		}
	}
	return nil
}

// VerifyRecord checks an HS_SIGNATURE by key over values, as Signature.Verify and CheckValues do.
func VerifyRecord(data []byte, key PublicKey, name string, values []record.Value, complete bool, now time.Time) error {
	s, err := ParseSignature(data)
	if err != nil {
		return err
	}
	if err := s.Verify(key, now); err != nil {
		return err
	}
	return s.CheckValues(name, values, complete)
}

// VerifyRecord checks an HS_SIGNATURE by the certificate's subject: that c lets it sign this record, that it names it
// as its issuer, and all that Signature.Verify and CheckValues check. c must have been checked before. The error is of
// kind problem.Bogus.
func (c *Cert) VerifyRecord(data []byte, name string, values []record.Value, complete bool, now time.Time) (*Signature, error) {
	s, err := ParseSignature(data)
	if err != nil {
		return nil, err
	}
	if !sameSigner(s.Issuer, c.Subject) {
		return nil, problem.New(problem.Bogus, "the %s is issued by %s, not by %s", "%s 由 %s 签发，而不是 %s", s.what(), s.Issuer, c.Subject)
	}
	if !c.Covers(name) {
		return nil, problem.New(problem.Bogus, "%s may not sign %s; its certificate allows: %s", "%s 无权为 %s 签名；其证书允许：%s", c.Subject, clip(name), permText(c.Perms))
	}
	if err := s.Verify(c.Key, now); err != nil {
		return nil, err
	}
	if err := s.CheckValues(name, values, complete); err != nil {
		return nil, err
	}
	return s, nil
}

func permText(perms []Permission) string {
	if len(perms) == 0 {
		return "-"
	}
	out := make([]string, len(perms))
	for i, p := range perms {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}
