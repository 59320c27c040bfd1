package web

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
)

// Who asks can prove it in these ways (the last four are handle-protocol §3.4), over HTTPS only:
//
//	Signature-Input, Signature                    the request is signed (RFC 9421, see trust/httpsig)
//	Authorization: Bearer                         a token that somebody got who logged in here
//	a cookie                                      such a token that the browser keeps, for this node's own pages
//	Authorization: Basic                          user 301%3A88.118.1001/ADMIN, password its HS_SECKEY
//	a client certificate                          its UID or CN is 300:88.118.1001/ADMIN, its key that value's
//	Authorization: Handle sessionId, signature    an answer to the session's challenge
//	Authorization: Handle sessionId               a session in which that was done before

// passwords and certificates are what a *trust.Checker knows beyond record.Authenticator.
type (
	passwords interface {
		Password(ctx context.Context, user record.Ref, password []byte) (record.Identity, error)
	}
	certificates interface {
		Certificate(ctx context.Context, cert *x509.Certificate) (record.Identity, error)
	}
)

func noAuth() error {
	return problem.New(problem.AuthError, "this node cannot check who asks", "本节点无法验证请求者身份")
}

// overPlain refuses a proof that everybody on the way can read.
func overPlain() error {
	return problem.New(problem.NeedAuth, "prove who you are over HTTPS; the same port takes it", "请通过 HTTPS 证明身份；同一端口即可")
}

// identify finds out who makes a call. A proof that does not hold is an error, never taken for nobody's.
func (s *Server) identify(c *call) (record.Identity, error) {
	h := c.r.Header.Get("Authorization")
	var cert *x509.Certificate
	if c.r.TLS != nil && len(c.r.TLS.PeerCertificates) > 0 {
		cert = c.r.TLS.PeerCertificates[0]
	}
	signed := httpsig.Signed(c.r)
	if h == "" && !signed {
		if by, ok := s.cookie(c.r); ok {
			return by, nil
		}
		if cert == nil {
			return record.Identity{}, nil
		}
	}
	if c.r.TLS == nil {
		return record.Identity{}, overPlain()
	}
	if signed {
		if h != "" {
			return record.Identity{}, problem.New(problem.BadCredential, "the request is signed and has Authorization too; give one proof", "请求既有签名又有 Authorization；请只给出一种身份证明")
		}
		return s.signature(c)
	}
	scheme, rest, _ := strings.Cut(h, " ")
	if s.Bearer != nil && strings.EqualFold(scheme, "Bearer") {
		return s.bearer(c, strings.TrimSpace(rest))
	}
	if s.Auth == nil {
		return record.Identity{}, noAuth()
	}
	if c.r.Method == http.MethodPost && !strings.EqualFold(scheme, "Handle") && crossSite(c.r) {
		// A browser adds passwords and certificates to what any page makes it POST.
		return record.Identity{}, problem.New(problem.Forbidden, "a page of another site cannot use your password or certificate; open a session", "其他网站的页面不能使用您的密码或证书；请使用会话")
	}
	switch {
	case h == "":
		// A browser may send a certificate that has nothing to do with identifiers.
		if trust.CertificateUser(cert).IsZero() {
			return record.Identity{}, nil
		}
		return s.certificate(c, cert)
	case strings.EqualFold(scheme, "Basic"):
		return s.basic(c)
	case strings.EqualFold(scheme, "Handle"):
		p, err := parseAuth(rest)
		if err != nil {
			return record.Identity{}, err
		}
		if p["clientCert"] == "true" {
			if cert == nil {
				return record.Identity{}, problem.New(problem.NeedAuth, "no client certificate came with the connection", "连接没有附带客户端证书")
			}
			return s.certificate(c, cert)
		}
		return s.bySession(c, p)
	}
	return record.Identity{}, problem.New(problem.BadCredential, "the scheme of Authorization is not known; Basic and Handle are", "Authorization 的方式未知；可用 Basic 和 Handle")
}

// cookie finds who logged in here by a browser.
func (s *Server) cookie(r *http.Request) (record.Identity, bool) {
	if s.Cookie == "" || s.Bearer == nil || r.TLS == nil {
		return record.Identity{}, false
	}
	c, err := r.Cookie(s.Cookie)
	if err != nil || c.Value == "" || len(c.Value) > maxToken {
		return record.Identity{}, false
	}
	// Cookies know no ports, and browsers take all ports of a host for one site: what counts is the origin.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return record.Identity{}, false
	}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		if o, err := url.Parse(r.Header.Get("Origin")); err != nil || o.Host != r.Host {
			return record.Identity{}, false
		}
	}
	if origins.Check(r) != nil {
		return record.Identity{}, false
	}
	by, err := s.Bearer(r.Context(), c.Value)
	return by, err == nil
}

// origins refuses what changes anything and comes from a page of another origin.
var origins = http.NewCrossOriginProtection()

// keyFinder is what a *trust.Checker knows: the public key in a value, wherever that is.
type keyFinder interface {
	Key(ctx context.Context, ref record.Ref) (trust.PublicKey, error)
}

func (s *Server) keyOf(ctx context.Context, ref record.Ref) (trust.PublicKey, error) {
	f, ok := s.Auth.(keyFinder)
	if !ok {
		return trust.PublicKey{}, noAuth()
	}
	return f.Key(ctx, ref)
}

// signature checks a signed request.
func (s *Server) signature(c *call) (record.Identity, error) {
	leave, err := s.weigh(c.r.Context())
	if err != nil {
		return record.Identity{}, err
	}
	defer leave()
	ours := s.Authorities
	if ours == nil {
		ours = func(host string) bool { return s.named(c.r, host) }
	}
	by, err := s.signed.VerifyAs(c.r, ours)
	if err != nil && !problem.Is(err, problem.AuthError) {
		s.Log.Debug("a signed request was refused", "path", c.r.URL.Path, "err", err)
	}
	return by, err
}

// named reports whether host, as in a signed request, is this node: one of the names in its certificate or the addresses
// of its site, with the port that the request came to or that the site tells.
func (s *Server) named(r *http.Request, host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), "443"
	}
	addr, _ := netip.ParseAddr(name)
	local := localAddr(r)
	here, ports := false, map[string]bool{}
	if local.IsValid() {
		ports[strconv.Itoa(int(local.Port()))] = true
		here = addr.IsValid() && addr.Unmap() == local.Addr().Unmap()
	}
	if s.Site != nil {
		if site := s.Site(); site != nil {
			for i := range site.Servers {
				here = here || addr.IsValid() && site.Servers[i].Addr.Unmap() == addr.Unmap()
				for _, f := range site.Servers[i].Interfaces {
					if f.Protocol == record.HTTP || f.Protocol == record.HTTPS {
						ports[strconv.Itoa(int(f.Port))] = true
					}
				}
			}
		}
	}
	if leaf := s.Certificate.Leaf; leaf != nil && !addr.IsValid() {
		for _, n := range leaf.DNSNames {
			// Every machine is called localhost by itself, and so by nobody else.
			if strings.EqualFold(n, name) && (n != "localhost" || local.Addr().IsLoopback()) {
				here = true
			}
		}
	}
	return here && ports[port]
}

// localAddr is the address that a request came to.
func localAddr(r *http.Request) netip.AddrPort {
	a, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if a == nil {
		return netip.AddrPort{}
	}
	p, _ := netip.ParseAddrPort(a.String())
	return p
}

// signedBody reads the body of a signed request. A large one must say how large it is, and only so many are taken at a
// time: they are in memory as a whole before anything of them is believed.
func (s *Server) signedBody(r *http.Request) ([]byte, error) {
	limit := s.Limits.Body
	if r.ContentLength > limit {
		if limit = s.Limits.Bulk; r.ContentLength > limit {
			return nil, problem.New(problem.TooLarge, "the body of a signed request may have %d bytes; send less at a time", "签名请求的正文不得超过 %d 字节；请分批发送", limit)
		}
		if n := r.ContentLength; s.reserved.Add(n) > 4*s.Limits.Bulk {
			s.reserved.Add(-n)
			return nil, problem.New(problem.Busy, "too many large requests are under way; try again in a moment", "大请求过多；请稍后再试")
		} else {
			context.AfterFunc(r.Context(), func() { s.reserved.Add(-n) })
		}
	}
	if r.Body == nil {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the body broke off", "请求体中断")
	}
	if int64(len(b)) > limit {
		return nil, problem.New(problem.TooLarge, "the body of a signed request may have %d bytes, unless Content-Length tells before", "签名请求的正文不得超过 %d 字节，除非以 Content-Length 预先说明", limit)
	}
	return b, nil
}

// crossSite reports whether a page of another origin made a browser send the request.
func crossSite(r *http.Request) bool {
	o := r.Header.Get("Origin")
	if o == "" {
		return false
	}
	u, err := url.Parse(o)
	return err != nil || u.Host != r.Host
}

func (s *Server) certificate(c *call, cert *x509.Certificate) (record.Identity, error) {
	a, ok := s.Auth.(certificates)
	if !ok {
		return record.Identity{}, noAuth()
	}
	return a.Certificate(c.r.Context(), cert)
}

// maxToken is how long a token may be, in bytes.
const maxToken = 16 << 10

func (s *Server) bearer(c *call, token string) (record.Identity, error) {
	if token == "" || len(token) > maxToken {
		return record.Identity{}, problem.New(problem.BadCredential, "the token behind Bearer is missing or over %d bytes; log in for one", "Bearer 之后的令牌缺失或超过 %d 字节；请登录获取", maxToken)
	}
	return s.Bearer(c.r.Context(), token)
}

func (s *Server) basic(c *call) (record.Identity, error) {
	user, password, ok := c.r.BasicAuth()
	var by record.Identity
	var err error
	if ok {
		// Clients percent-encode the user, since a colon would end it.
		if u, err := url.PathUnescape(user); err == nil {
			user = u
		}
		var ref record.Ref
		if ref, err = record.ParseRef(user); err == nil {
			by, err = s.password(c.r.Context(), ref, []byte(password))
		}
	}
	if !ok || err != nil {
		if problem.Is(err, problem.AuthError) {
			return by, err
		}
		return by, errBasic
	}
	return by, nil
}

// errBasic is answered with an empty body, as deployed servers do.
var errBasic = problem.New(problem.NeedAuth, "the user or the secret key is wrong", "用户或密钥不对")

func (s *Server) password(ctx context.Context, user record.Ref, password []byte) (record.Identity, error) {
	if a, ok := s.Auth.(passwords); ok {
		return a.Password(ctx, user, password)
	}
	nonce := make([]byte, 16)
	if _, err := io.ReadFull(s.Rand, nonce); err != nil {
		return record.Identity{}, problem.Wrap(err, problem.Internal, "there is no randomness for a challenge", "没有可用的随机数来生成质询")
	}
	digest := sha256.Sum256(nonce)
	proof, err := trust.ProveSecret(password, user, nonce, digest[:], trust.FormPBKDF2)
	if err != nil {
		return record.Identity{}, problem.Wrap(err, problem.AuthFailed, "a user and a secret key are needed", "需要用户和密钥")
	}
	return s.Auth.Authenticate(ctx, proof, nonce, digest[:])
}

// notVerified is what the header and the sessions say of an answer that does not hold.
const notVerified = "Identity not verified"

// bySession takes the session that is named, answering its challenge if a signature comes along.
func (s *Server) bySession(c *call, p map[string]string) (record.Identity, error) {
	now := s.Now()
	key := p["sessionId"]
	nonce, by, state := s.sessions.get(key, now)
	switch state {
	case sessionUnknown:
		return record.Identity{}, problem.New(problem.SessionTimeout, "the session is unknown or over; begin another at /api/sessions", "会话未知或已结束；请在 /api/sessions 新建会话")
	case sessionDeleted:
		return record.Identity{}, problem.New(problem.NeedAuth, "the session was ended; begin another at /api/sessions", "会话已结束；请在 /api/sessions 新建会话")
	}
	if p["signature"] == "" {
		return by, nil // nobody, if it was never proved
	}
	got, err := s.answer(c.r.Context(), p, nonce)
	if err != nil {
		if problem.Is(err, problem.AuthFailed) || problem.Is(err, problem.AuthError) {
			s.Log.Info("a proof of identity failed", "id", p["id"], "err", err)
			return record.Identity{}, &unverified{err}
		}
		return record.Identity{}, err
	}
	s.sessions.prove(key, got, now)
	return got, nil
}

// unverified marks an answer to a challenge that does not hold: it is put once more.
type unverified struct{ error }

func (e *unverified) Unwrap() error { return e.error }

// answer checks the answer to a challenge in the parameters of an Authorization header or of /api/verifications.
func (s *Server) answer(ctx context.Context, p map[string]string, nonce []byte) (record.Identity, error) {
	if s.Auth == nil {
		return record.Identity{}, noAuth()
	}
	user, err := percentRef(p["id"])
	if err != nil {
		return record.Identity{}, err
	}
	proof, cnonce, err := proofOf(p, user)
	if err != nil {
		return record.Identity{}, err
	}
	leave, err := s.weigh(ctx)
	if err != nil {
		return record.Identity{}, err
	}
	defer leave()
	return s.Auth.Authenticate(ctx, proof, nonce, cnonce)
}

// weigh waits for a place to check a proof, so that proofs made to take long to check leave time for questions.
func (s *Server) weigh(ctx context.Context) (leave func(), err error) {
	select {
	case s.proofs <- struct{}{}:
		return func() { <-s.proofs }, nil
	default:
	}
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	select {
	case s.proofs <- struct{}{}:
		return func() { <-s.proofs }, nil
	case <-wait.Done():
		return nil, problem.New(problem.Busy, "too many proofs of identity are being checked; try again in a moment", "正在验证的身份过多；请稍后再试")
	}
}

func percentRef(text string) (record.Ref, error) {
	if u, err := url.PathUnescape(text); err == nil {
		text = u
	}
	ref, err := record.ParseRef(text)
	if err != nil || ref.IsZero() {
		return ref, badCredential("id")
	}
	return ref, nil
}

func badCredential(name string) error {
	return problem.New(problem.BadCredential, "the parameter %s of the proof is missing or malformed", "身份证明的参数 %s 缺失或格式错误", name)
}

// proofOf puts a proof together from its parameters.
func proofOf(p map[string]string, user record.Ref) (proof record.Proof, cnonce []byte, err error) {
	get := func(name string) []byte {
		b, e := unbase64(p[name])
		if err == nil && (e != nil || len(b) == 0) {
			err = badCredential(name)
		}
		return b
	}
	cnonce = get("cnonce")
	sig := get("signature")
	if err != nil {
		return proof, nil, err
	}
	alg := strings.ToUpper(p["alg"])
	if !strings.EqualFold(p["type"], record.TypeSecKey) {
		switch alg {
		case "SHA256", "SHA-256", "":
			alg = "SHA-256"
		case "SHA1", "SHA-1":
			alg = "SHA1"
		case "ED25519":
			alg = "Ed25519"
		}
		return trust.PublicProof(user, alg, sig), cnonce, nil
	}
	form, ok := map[string]trust.SecretForm{
		"SHA1": trust.FormSHA1, "SHA-1": trust.FormSHA1, "SHA256": trust.FormSHA256, "SHA-256": trust.FormSHA256, "MD5": trust.FormMD5,
		"HMAC-SHA1": trust.FormHMACSHA1, "HMAC-SHA256": trust.FormHMACSHA256, "PBKDF2-HMAC-SHA1": trust.FormPBKDF2,
	}[alg]
	if !ok {
		return proof, nil, badCredential("alg")
	}
	var salt []byte
	var iterations, length uint64
	if form == trust.FormPBKDF2 {
		salt = get("salt")
		var e1, e2 error
		iterations, e1 = strconv.ParseUint(p["iterations"], 10, 32)
		length, e2 = strconv.ParseUint(p["length"], 10, 32)
		switch {
		case err != nil:
			return proof, nil, err
		case e1 != nil:
			return proof, nil, badCredential("iterations")
		case e2 != nil:
			return proof, nil, badCredential("length")
		}
	}
	return trust.SecretProof(user, form, salt, uint32(iterations), uint32(length), sig), cnonce, nil
}

func unbase64(s string) ([]byte, error) {
	// In an address a plus that was not encoded has become a space.
	s = strings.TrimRight(strings.NewReplacer(" ", "+", "-", "+", "_", "/").Replace(s), "=")
	return base64.RawStdEncoding.DecodeString(s)
}

// parseAuth reads name="value", name="value"; values may stand without quotes.
func parseAuth(s string) (map[string]string, error) {
	bad := problem.New(problem.BadCredential, `the Authorization header is malformed; write Handle name="value", name="value"`, `Authorization 头格式错误；请写成 Handle 名称="值", 名称="值"`)
	if len(s) > 16<<10 {
		return nil, bad
	}
	m := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return m, nil
		}
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, bad
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			if value, rest, ok = strings.Cut(rest[1:], `"`); !ok {
				return nil, bad
			}
		} else {
			value, rest, _ = strings.Cut(rest, ",")
			value = strings.TrimSpace(value)
		}
		if len(m) == 32 {
			return nil, bad
		}
		m[strings.TrimSpace(name)] = value
		s = rest
	}
}

// challenge invites whoever asks to say who they are.
func (c *call) challenge(failed string) {
	head := c.w.Header()
	if !strings.EqualFold(c.r.Header.Get("X-Requested-With"), "XMLHttpRequest") {
		head.Add("WWW-Authenticate", `Basic realm="handle"`) // which makes a browser ask
	}
	key, nonce := c.s.sessions.fresh(c.s.Now())
	if key == "" {
		return
	}
	v := `Handle sessionId="` + key + `", nonce="` + base64.StdEncoding.EncodeToString(nonce) + `"`
	if failed != "" {
		v += `, error="` + failed + `"`
	}
	head.Add("WWW-Authenticate", v)
}

// session is /api/sessions.
func (s *Server) session(c *call, tail string) error {
	if c.r.TLS == nil {
		c.w.Header().Set(headProblem, problem.NeedAuth.String())
		c.w.WriteHeader(http.StatusForbidden)
		return nil
	}
	c.w.Header().Set("Cache-Control", "no-store")
	switch {
	case tail == "" && c.r.Method == http.MethodPost:
		return s.openSession(c)
	case tail == "this" && (c.r.Method == http.MethodGet || c.r.Method == http.MethodPut || c.r.Method == http.MethodDelete):
		return s.thisSession(c)
	}
	c.w.Header().Set("Allow", "POST")
	c.begin(protocolError, "POST opens a session here; GET, PUT and DELETE are for /api/sessions/this", "")
	c.done(http.StatusMethodNotAllowed)
	return nil
}

func (s *Server) openSession(c *call) error {
	b, err := c.body(16 << 10)
	if err != nil {
		return err
	}
	cnonce := c.query.Get("cnonce")
	if len(b) > 0 {
		r := record.NewJSONReader(b)
		r.Object(func(name string) {
			if name == "cnonce" {
				cnonce = r.Text()
			} else {
				r.Skip()
			}
		})
		if r.End(); r.Err() != nil {
			return problem.Wrap(r.Err(), problem.BadRequest, "the request for a session is malformed", "会话请求格式错误")
		}
	}
	p, err := parseAuth(strings.TrimPrefix(c.r.Header.Get("Authorization"), "Handle "))
	if err == nil && p["cnonce"] != "" && cnonce == "" {
		cnonce = p["cnonce"]
	}
	key, nonce := s.sessions.fresh(s.Now())
	if key == "" {
		return problem.New(problem.Internal, "there is no randomness for a session", "没有可用的随机数来生成会话")
	}
	c.w.Header().Set("Location", "/api/sessions/this")
	c.sessionBody(key, nonce)
	if n, err := unbase64(cnonce); err == nil && len(n) > 0 && len(n) <= 256 {
		if sig, alg := s.sign(append(append([]byte{}, nonce...), n...)); sig != nil {
			c.out = append(c.out, `,"serverAlg":`...)
			c.out = record.AppendJSONString(c.out, alg)
			c.out = append(c.out, `,"serverSignature":"`...)
			c.out = base64.StdEncoding.AppendEncode(c.out, sig)
			c.out = append(c.out, '"')
		}
	}
	c.done(http.StatusCreated)
	return nil
}

// sign signs with the server's key; nil when it has none.
func (s *Server) sign(message []byte) (sig []byte, alg string) {
	k, ok := s.Certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, ""
	}
	var err error
	switch k.Public().(type) {
	case ed25519.PublicKey:
		sig, err = k.Sign(s.Rand, message, crypto.Hash(0))
		alg = "Ed25519"
	case *rsa.PublicKey, *ecdsa.PublicKey:
		h := sha256.Sum256(message)
		sig, err = k.Sign(s.Rand, h[:], crypto.SHA256)
		alg = "SHA-256"
	}
	if err != nil {
		s.Log.Error("the server's key does not sign", "err", err)
		return nil, ""
	}
	return sig, alg
}

func (c *call) sessionBody(key string, nonce []byte) {
	c.out = append(c.out[:0], `{"sessionId":`...)
	c.out = record.AppendJSONString(c.out, key)
	c.out = append(c.out, `,"nonce":"`...)
	c.out = base64.StdEncoding.AppendEncode(c.out, nonce)
	c.out = append(c.out, '"')
}

func (s *Server) thisSession(c *call) error {
	scheme, rest, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	p := map[string]string{}
	if strings.EqualFold(scheme, "Handle") {
		var err error
		if p, err = parseAuth(rest); err != nil {
			return err
		}
	}
	key := p["sessionId"]
	if key == "" {
		if c.r.Method == http.MethodGet {
			c.out = append(c.out[:0], `{"authenticated":false`...)
			c.done(http.StatusOK)
			return nil
		}
		return problem.New(problem.BadRequest, `name the session: Authorization: Handle sessionId="…"`, `请指明会话：Authorization: Handle sessionId="…"`)
	}
	nonce, by, state := s.sessions.get(key, s.Now())
	switch state {
	case sessionUnknown:
		c.w.Header().Set(headProblem, problem.SessionTimeout.String())
		c.w.WriteHeader(http.StatusForbidden)
		return nil
	case sessionDeleted:
		return problem.New(problem.NeedAuth, "the session was ended", "会话已结束")
	}
	failed := false
	switch c.r.Method {
	case http.MethodDelete:
		s.sessions.end(key, s.Now())
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPut:
		got, err := s.bySession(c, p)
		if err != nil && !isUnverified(err) {
			return err
		}
		by, failed = got, err != nil || got.IsAnonymous()
	}
	c.sessionBody(key, nonce)
	switch {
	case failed:
		c.challenge(notVerified)
		c.out = append(c.out, `,"error":"`+notVerified+`"`...)
		c.w.Header().Set(headProblem, problem.AuthFailed.String())
		c.done(http.StatusUnauthorized)
		return nil
	case by.IsAnonymous():
		c.out = append(c.out, `,"authenticated":false`...)
	default:
		c.out = append(c.out, `,"authenticated":true,"id":`...)
		c.out = record.AppendJSONString(c.out, by.Ref.String())
	}
	c.done(http.StatusOK)
	return nil
}

func isUnverified(err error) bool {
	_, ok := err.(*unverified)
	return ok
}

// verifier is what a *trust.Checker knows: whether a proof by a secret key kept here is right.
type verifier interface {
	VerifyHere(ctx context.Context, user record.Ref, nonce, digest, signed []byte) (bool, error)
}

// verify checks a proof by a secret key that is kept here, for another server.
func (s *Server) verify(c *call, who string) error {
	if c.r.Method == http.MethodPost {
		if err := c.form(); err != nil {
			return err
		}
	}
	user, err := percentRef(who)
	if err != nil {
		return err
	}
	p := map[string]string{"type": record.TypeSecKey}
	for name := range c.query {
		p[name] = c.query.Get(name)
	}
	nonce, err := unbase64(p["nonce"])
	if err != nil || len(nonce) == 0 {
		return badCredential("nonce")
	}
	proof, cnonce, err := proofOf(p, user)
	if err != nil {
		return err
	}
	ok, err := s.verifyHere(c.r.Context(), proof, nonce, cnonce)
	if err != nil {
		return err
	}
	c.begin(success, "", "")
	c.out = append(c.out, `,"verificationResult":`...)
	c.out = strconv.AppendBool(c.out, ok)
	c.done(http.StatusOK)
	return nil
}

func (s *Server) verifyHere(ctx context.Context, proof record.Proof, nonce, digest []byte) (bool, error) {
	leave, err := s.weigh(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if !strings.EqualFold(proof.Type, record.TypeSecKey) {
		return false, problem.New(problem.Unsupported, "only proofs by HS_SECKEY are verified here; public keys can be resolved by anybody", "此处只验证 HS_SECKEY 证明；公钥可由任何人解析")
	}
	if v, ok := s.Auth.(verifier); ok {
		return v.VerifyHere(ctx, proof.User, nonce, digest, proof.Signed)
	}
	if s.Secrets == nil {
		return false, problem.New(problem.Unsupported, "this node keeps no secret keys", "本节点不保存密钥")
	}
	keys, held, err := s.Secrets.Secrets(ctx, proof.User)
	if err != nil {
		return false, err
	}
	if !held {
		return false, problem.New(problem.NotHere, "That prefix doesn't live here", "该前缀不在此节点")
	}
	ok := false
	for _, k := range keys[:min(len(keys), 8)] {
		ok = trust.VerifySecret(k, proof.Signed, nonce, digest) || ok
	}
	return ok, nil
}
