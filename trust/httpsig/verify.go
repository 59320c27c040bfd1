package httpsig

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Verifier checks signed requests. It is for many goroutines; its fields are not changed once it is used.
type Verifier struct {
	// Key finds the public key that stands in a value. Its errors come back as they are.
	Key func(ctx context.Context, ref record.Ref) (trust.PublicKey, error)
	// Authorities tells whether a host, with its port unless that goes without saying, is us. Nil: nothing is.
	Authorities func(host string) bool

	Now    func() time.Time // time.Now when nil
	Skew   time.Duration    // by how much a signer's clock may differ; 60 s when 0
	Life   time.Duration    // how long a signature may hold; 300 s when 0
	Nonces int              // how many signatures are remembered to refuse repeats; 1<<20 (40 MB) when 0

	// Read reads the body of a request that is signed by somebody; nil: up to 2 MiB of it.
	Read func(r *http.Request) ([]byte, error)

	once  sync.Once
	born  time.Time
	taken replays
}

// MaxBody is what is read of a body unless Verifier.Read says otherwise.
const MaxBody = 2 << 20

// Signed reports whether a request carries a signature, or the rest of one.
func Signed(r *http.Request) bool {
	return len(r.Header[HeaderInput]) > 0 || len(r.Header[HeaderSignature]) > 0
}

// Start is the moment from which on signatures are remembered: what was signed before it is refused. Without it that is
// the first Verify, which refuses what was signed in the second before.
func (v *Verifier) Start() { v.start() }

func (v *Verifier) start() {
	v.once.Do(func() {
		if v.Now == nil {
			v.Now = time.Now
		}
		if v.Skew == 0 {
			v.Skew = time.Minute
		}
		if v.Life == 0 {
			v.Life = 5 * time.Minute
		}
		if v.Nonces == 0 {
			v.Nonces = 1 << 20
		}
		v.taken.max = v.Nonces
		v.born = v.Now().Truncate(time.Second)
	})
}

// Verify checks the signature of a request that came in and returns who made it: keyid, as it is spelled there. The body
// has then been read and compared, and can be read again. Errors: problem.BadCredential when the signature or what it
// covers is not as the profile wants; problem.AuthFailed when it is wrong, for somebody else, or was seen before;
// problem.AuthTimeout when its time is over or to come; problem.AuthError when the key cannot be found; problem.Busy;
// problem.TooLarge for the body.
func (v *Verifier) Verify(r *http.Request) (record.Identity, error) {
	return v.VerifyAs(r, v.Authorities)
}

// VerifyAs is Verify for a node that goes by the names which ours tells.
func (v *Verifier) VerifyAs(r *http.Request, ours func(host string) bool) (record.Identity, error) {
	v.start()
	s, err := parse(r)
	if err != nil {
		return record.Identity{}, err
	}
	now := v.Now()
	until, err := v.times(s, now)
	if err != nil {
		return record.Identity{}, err
	}
	m := received(r)
	if err := s.covers(m); err != nil {
		return record.Identity{}, err
	}
	if ours == nil || !ours(m.authority) {
		return record.Identity{}, problem.New(problem.AuthFailed, "the request is signed for %q, which is no name of this node; ask it by a name of its own, or have its operator name that one",
			"请求是为 %q 签名的，而本节点没有这一名称；请使用本节点的名称，或请其运营者登记该名称", clip(m.authority))
	}
	base, err := m.base(s.list)
	if err != nil {
		return record.Identity{}, err
	}
	key, err := v.Key(r.Context(), s.user)
	if err != nil {
		return record.Identity{}, err
	}
	alg := s.alg
	if alg == "" {
		alg = algorithmOf(key.Algorithm())
	}
	if err := check(key, alg, base, s.sig); err != nil {
		return record.Identity{}, problem.Wrap(err, problem.AuthFailed, "the request is not signed by %s", "请求不是由 %s 签名的", s.user)
	}
	h := sha256.Sum256(s.list.append([]byte(handle.Fold(s.user.Name) + "\n")))
	fresh, err := v.taken.add(handle.Fold(s.user.Name), [16]byte(h[:]), until.Add(v.Skew), now)
	if err != nil {
		return record.Identity{}, err
	}
	if !fresh {
		return record.Identity{}, problem.New(problem.AuthFailed, "this signed request was here before; sign each anew, with a nonce of its own", "该签名请求已经用过；每个请求须重新签名并使用新的 nonce")
	}
	if err := v.body(r); err != nil {
		return record.Identity{}, err
	}
	return record.Identity{Ref: s.user}, nil
}

// signature is one, taken apart.
type signature struct {
	list             *list
	sig              []byte
	user             record.Ref
	alg              string
	created, expires int64 // expires is 0 when it does not say
}

// parse finds the one signature of ours.
func parse(r *http.Request) (*signature, error) {
	inputs, ok := dictionary(r.Header[HeaderInput])
	if !ok || len(inputs) == 0 {
		return nil, bad(`the header Signature-Input is missing, malformed or too long; it reads as fujie=("@method" …);created=…`, `请求头 Signature-Input 缺失、格式错误或过长；应形如 fujie=("@method" …);created=…`)
	}
	sigs, ok := dictionary(r.Header[HeaderSignature])
	if !ok {
		return nil, bad("the header Signature is malformed or too long; it reads as fujie=:base64:", "请求头 Signature 格式错误或过长；应形如 fujie=:base64:")
	}
	var in *member
	for i := range inputs {
		if inputs[i].list == nil {
			return nil, bad("the header Signature-Input does not say what %s covers", "请求头 Signature-Input 没有说明 %s 覆盖什么", inputs[i].label)
		}
		if tag, _ := inputs[i].list.param("tag"); tag.kind == kindString && tag.s == Tag {
			if in != nil {
				return nil, bad(`two signatures have tag="fujie"; send one`, `有两个 tag="fujie" 的签名；请只发送一个`)
			}
			in = &inputs[i]
		}
	}
	if in == nil {
		return nil, bad(`no signature has tag="fujie"; add it`, `没有 tag="fujie" 的签名；请加上该参数`)
	}
	s := &signature{list: in.list}
	for i := range sigs {
		if sigs[i].label == in.label && sigs[i].value.kind == kindBytes {
			s.sig = []byte(sigs[i].value.s)
		}
	}
	if len(s.sig) == 0 {
		return nil, bad("the header Signature has nothing for %s", "请求头 Signature 中没有 %s 的签名", in.label)
	}
	var err error
	if id, _ := in.list.param("keyid"); id.kind != kindString {
		return nil, badKeyID("")
	} else if s.user, err = unescapeRef(id.s); err != nil {
		return nil, err
	}
	if a, ok := in.list.param("alg"); ok {
		if s.alg = a.s; a.kind != kindString || !slices.Contains([]string{algEd25519, algP256, algRSA, algRSAPSS, algSM2}, a.s) {
			return nil, bad("the signature's alg %q is not known here; take ed25519, ecdsa-p256-sha256, rsa-v1_5-sha256, rsa-pss-sha512 or sm2-sm3", "签名算法 %q 未知；请用 ed25519、ecdsa-p256-sha256、rsa-v1_5-sha256、rsa-pss-sha512 或 sm2-sm3", clip(a.s))
		}
	}
	if n, _ := in.list.param("nonce"); n.kind != kindString || len(n.s) < 8 || len(n.s) > 256 {
		return nil, bad("the signature needs a nonce of 8 to 256 characters, another for every request", "签名须有 8 至 256 个字符的 nonce，每个请求各不相同")
	}
	c, _ := in.list.param("created")
	if s.created = c.n; c.kind != kindInt || c.n <= 0 || c.n > 1<<40 {
		return nil, bad("the signature does not say when it was created, in seconds since 1970", "签名没有写明 created（自 1970 年起的秒数）")
	}
	if e, ok := in.list.param("expires"); ok {
		if s.expires = e.n; e.kind != kindInt || e.n < s.created || e.n > 1<<40 {
			return nil, bad("the signature expires before it was created, or says so in no number", "签名的 expires 早于 created，或不是数字")
		}
	}
	return s, nil
}

// times is until when the signature holds, or what is wrong with its times.
func (v *Verifier) times(s *signature, now time.Time) (until time.Time, err error) {
	created := time.Unix(s.created, 0)
	until = created.Add(v.Life)
	if s.expires > 0 {
		e := time.Unix(s.expires, 0)
		if e.After(until) {
			return until, bad("the signature holds for longer than %d seconds; sign for less", "签名有效期超过 %d 秒；请缩短", int(v.Life/time.Second))
		}
		until = e
	}
	off := func(en, zh string) error {
		return problem.New(problem.AuthTimeout, en, zh, created.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	switch {
	case created.After(now.Add(v.Skew)):
		return until, off("the request was signed at %s, here it is only %s; set the signer's clock", "请求签名时间为 %s，而此处时间仅为 %s；请校准签名方的时钟")
	case !now.Before(until.Add(v.Skew)):
		return until, off("the request was signed at %s and its time is over, here it is %s; sign it anew, and see that the clock is right", "请求签名时间为 %s，已过有效期，此处时间为 %s；请重新签名，并检查时钟")
	case created.Before(v.born):
		// What was taken before this process began is not remembered.
		return until, off("the request was signed at %s, before this node started (it is %s); sign it anew", "请求签名时间为 %s，早于本节点启动（此处时间为 %s）；请重新签名")
	}
	return until, nil
}

// covers reports what is left out of the signature that must be in it.
func (s *signature) covers(m *message) error {
	has := func(name string) bool {
		return slices.ContainsFunc(s.list.items, func(it item) bool { return it.name == name && len(it.params) == 0 })
	}
	missing := func(name string) error {
		return bad("the signature does not cover %s; what is not signed could have been changed on the way", "签名没有覆盖 %s；未签名的部分可能在途中被改动", name)
	}
	switch {
	case !has("@method"):
		return missing("@method")
	case has("@target-uri"):
	case !has("@authority"):
		return missing("@authority")
	case has("@request-target"):
	case !has("@path"):
		return missing("@path")
	case !has("@query") && m.query != "?":
		return missing("@query")
	}
	if m.length != 0 && !has("content-digest") {
		return missing("content-digest")
	}
	if len(m.header[HeaderDigest]) == 0 && m.length != 0 {
		return missing("content-digest")
	}
	for _, name := range Bound {
		if len(m.header.Values(name)) > 0 && !has(name) {
			return missing(name)
		}
	}
	return nil
}

// body compares the body with its digest, which is signed.
func (v *Verifier) body(r *http.Request) error {
	lines := r.Header[HeaderDigest]
	if len(lines) == 0 {
		return nil // and no body: covers saw to that
	}
	var b []byte
	var err error
	if v.Read != nil {
		b, err = v.Read(r)
	} else {
		b, err = readUpTo(r.Body, MaxBody)
	}
	if err != nil {
		return err
	}
	if r.Body != nil {
		r.Body.Close()
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	return checkDigest(lines, b)
}

func readUpTo(from io.Reader, limit int64) ([]byte, error) {
	if from == nil {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the body broke off", "请求体中断")
	}
	if int64(len(b)) > limit {
		return nil, problem.New(problem.TooLarge, "the body of a signed request may have %d bytes; send less at a time", "签名请求的正文不得超过 %d 字节；请分批发送", limit)
	}
	return b, nil
}
