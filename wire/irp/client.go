package irp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Client puts questions to servers, one server at a time, over UDP, TCP, TLS and HTTP, and changes records on them. The
// zero Client is ready; set fields before first use. Its methods may be called at once from many goroutines. Close
// ends the connections that it keeps.
//
// It believes an answer only from the address it asked, with the random number it sent, and, where the server's key is
// known and a signature was asked for, with that signature over the answer and the digest of the question.
type Client struct {
	// Timeout is how long an exchange may take when its context has no deadline. Default 10 s.
	Timeout time.Duration
	// Attempts is how often a UDP question is sent: waiting 500 ms, 1 s, 1.5 s and so on, or proportionally less when
	// the context ends earlier. Default 3.
	Attempts int
	// Connections is how many TCP connections to one server are kept or opened at most. Default 8.
	Connections int
	// Idle is after how long without use a kept connection is closed. Default 20 s.
	Idle time.Duration
	// TLS makes TCP endpoints be spoken to over TLS, and is used for HTTPS. Without it HTTPS certificates are not
	// checked: what has to be trusted is signed inside (Query.Certify, sessions).
	TLS *tls.Config
	// Iterative leaves out the wish that servers go on asking others; a recursive node sets it for its own questions.
	Iterative bool
	// Chinese speaks the dialect of the Chinese identifier system: one more field behind every resolution request.
	Chinese bool
	// AskTrust asks recursive nodes whether they checked the chain of signatures and found it to hold. Answer.Trust then
	// repeats their word, which is as good as they are.
	AskTrust bool
	// Suggest is the version to speak at most. Default Latest.
	Suggest Version
	// Dial replaces the network's dialer, for "udp" and "tcp".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Now  func() time.Time // default time.Now
	Rand io.Reader        // default crypto/rand

	mu      sync.Mutex
	servers map[serverKey]*server
	keys    map[string]trust.PublicKey
	web     *http.Client
	closed  bool
}

var _ record.Asker = (*Client)(nil)

// Bounds on what a Client remembers.
const (
	maxServers = 4096
	maxKeys    = 1024
)

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) rand() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return rand.Reader
}

func (c *Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 10 * time.Second
}

func (c *Client) connections() int {
	if c.Connections > 0 {
		return c.Connections
	}
	return 8
}

func (c *Client) idle() time.Duration {
	if c.Idle > 0 {
		return c.Idle
	}
	return 20 * time.Second
}

func (c *Client) suggest() Version {
	if c.Suggest != (Version{}) {
		return c.Suggest
	}
	return Latest
}

func (c *Client) dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, to.String())
	}
	if network == "udp" {
		return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)) // nothing that could take time
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to.String())
}

// Close closes the kept connections. Exchanges that are under way fail with kind Unreachable.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	servers, web := c.servers, c.web
	c.servers, c.web = nil, nil
	c.mu.Unlock()
	for _, s := range servers {
		s.close()
	}
	if web != nil {
		web.CloseIdleConnections()
	}
}

// serverKey names what the client keeps for one address.
type serverKey struct {
	addr netip.AddrPort
	tls  bool
}

// server is what the client learned of one address, and its TCP connections to it.
func (c *Client) server(at netip.AddrPort) *server {
	key := serverKey{at, c.TLS != nil}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.servers[key]; s != nil {
		return s
	}
	if c.servers == nil {
		c.servers = map[serverKey]*server{}
	}
	if len(c.servers) >= maxServers {
		for k, s := range c.servers {
			if s.forgettable() {
				delete(c.servers, k)
			}
			if len(c.servers) < maxServers {
				break
			}
		}
	}
	s := &server{client: c, addr: at, wake: make(chan struct{}), dead: c.closed}
	c.servers[key] = s
	return s
}

// key parses a server's public key, which mostly is one parsed before.
func (c *Client) key(data []byte) (trust.PublicKey, error) {
	c.mu.Lock()
	k, ok := c.keys[string(data)]
	c.mu.Unlock()
	if ok {
		return k, nil
	}
	k, err := trust.ParsePublic(data)
	if err != nil {
		return k, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = map[string]trust.PublicKey{}
	}
	c.keys[string(data)] = k
	return k, nil
}

// question is one request on its way, and what it takes to know its answer.
type question struct {
	at      record.Endpoint
	msg     *Message
	wire    []byte         // msg as it goes, sealed if the session is so
	session *clientSession // nil outside of sessions
	certify bool           // a signature by at.Key was asked for
	safe    bool           // may be sent again when it got lost half-way
	sent    int            // how often it was
	first   *Message       // for an answer to a challenge: the request it is about
	many    bool           // several messages may answer
}

// response is an answer that is known to be to the question.
type response struct {
	*Message
	body      []byte // behind the request digest
	certified bool   // signed by the server's key, or by the session's, over this answer to this question
}

// ask makes the message of a request outside of sessions.
func (c *Client) ask(at record.Endpoint, op Op, flags Flags, depth uint8, body []byte) (*question, error) {
	id, err := randomID(c.rand())
	if err != nil {
		return nil, err
	}
	v := c.suggest()
	if s := c.server(at.Addr); s.speaks() != (Version{}) {
		v = s.speaks()
	}
	if at.Protocol == record.TCP {
		flags |= KeepConnection
	}
	m := &Message{
		Envelope: Envelope{Version: v, Suggested: v, Request: id},
		Header: Header{Op: op, Flags: flags, SiteSerial: UnknownSite, Recursion: depth,
			Expires: uint32(c.now().Unix() + lifetime)},
		Body: body,
	}
	return &question{at: at, msg: m, wire: AppendMessage(nil, m), certify: flags&Certified != 0}, nil
}

var (
	errOther       = errors.New("irp: an answer to something else")
	errUndecodable = errors.New("irp: the server could not read the request")
)

// take decides whether raw, a whole message, answers q. errOther says that it answers something else. Other errors
// are of kind BadRequest (malformed), Bogus (the signature, MAC or digest does not hold, or it is past its time), or of
// the session's kinds.
func (c *Client) take(q *question, raw []byte) (*response, error) {
	e, err := DecodeEnvelope(raw)
	if err != nil {
		return nil, err
	}
	if e.Request == 1<<32-1 && q.msg.Request != e.Request {
		return nil, errUndecodable
	}
	if e.Request != q.msg.Request {
		return nil, errOther
	}
	if len(raw) != envelopeSize+int(e.Length) {
		return nil, problem.New(problem.BadRequest, "the answer has %d bytes where it announces %d", "应答有 %d 字节，与声明的 %d 不符", len(raw)-envelopeSize, e.Length)
	}
	payload := raw[envelopeSize:]
	if e.Encrypted {
		if q.session == nil {
			return nil, problem.New(problem.BadRequest, "the answer is encrypted outside of a session", "会话之外的应答被加密")
		}
		if payload, err = q.session.key.open(payload); err != nil {
			return nil, err
		}
	} else if q.session != nil && q.session.encrypt {
		// An answer in clear to an encrypted request may come from anybody; but a server that knows nothing of the
		// session cannot do otherwise.
		if m, err := DecodeMessage(e, payload); err != nil || KindOf(m.Code) != problem.SessionTimeout && KindOf(m.Code) != problem.SessionFailed {
			return nil, problem.New(problem.Bogus, "the answer to an encrypted request came in clear", "加密请求的应答是明文")
		}
	}
	m, err := DecodeMessage(e, payload)
	if err != nil {
		return nil, err
	}
	want := q.msg.Op
	if q.first != nil {
		want = q.first.Op
	}
	switch {
	case m.Code == 0:
		return nil, problem.New(problem.BadRequest, "a request came in the place of an answer", "收到的是请求而不是应答")
	case m.Op != want && m.Op != q.msg.Op && m.Code == Success:
		return nil, problem.New(problem.BadRequest, "the answer is to %s, not to %s", "应答针对 %s，而不是 %s", m.Op, want)
	case m.Expires != 0 && int64(m.Expires) < c.now().Unix():
		return nil, problem.New(problem.Bogus, "the answer is past its time; compare the clocks of both machines", "应答已过期；请核对两台机器的时钟")
	}
	r := &response{Message: m, body: m.Body}
	bound := false
	if m.Flags&RequestDigest != 0 && (m.Code != AuthenticationNeeded || q.msg.Flags&RequestDigest != 0) {
		alg, digest, rest, err := CutDigest(m.Version, m.Body)
		if err != nil {
			return nil, err
		}
		if !sameDigest(alg, digest, q.msg) && (q.first == nil || !sameDigest(alg, digest, q.first)) {
			return nil, problem.New(problem.Bogus, "the answer is about another question (its request digest differs)", "应答针对另一个请求（请求摘要不符）")
		}
		bound = true
		if m.Code != AuthenticationNeeded {
			r.body = rest
		}
	}
	return r, c.vouch(q, r, bound)
}

func sameDigest(alg DigestAlg, digest []byte, m *Message) bool {
	return bytes.Equal(alg.Digest(m.Content()), digest)
}

// vouch checks the credential of an answer and notes what it proves.
func (c *Client) vouch(q *question, r *response, bound bool) error {
	if len(r.Credential) == 0 {
		// Who has forgotten the session, or has no time, has no MAC either; that is no more than silence would be.
		if q.session != nil && q.session.mustMAC(false) && r.Code != SessionTimeout && r.Code != TooBusy {
			return problem.New(problem.Bogus, "the answer has no MAC, as others in its session had", "应答缺少本会话中其他应答都有的 MAC")
		}
		return nil
	}
	cred, err := DecodeCredential(r.Credential)
	if err != nil {
		return err
	}
	covered, ok := r.AppendCovered(nil, cred.Counter)
	switch {
	case !ok:
	case cred.Type == CredentialMAC:
		if q.session == nil {
			return nil
		}
		if !q.session.key.verify(cred.Algorithm, covered, cred.Signature) {
			return problem.New(problem.Bogus, "the answer's MAC does not hold", "应答的 MAC 不正确")
		}
		q.session.mustMAC(true)
		r.certified = true
	case q.certify && len(q.at.Key) > 0:
		key, err := c.key(q.at.Key)
		if err != nil {
			return problem.Wrap(err, problem.Bogus, "the key of the server %s cannot be used", "服务器 %s 的公钥无法使用", q.at)
		}
		if err := key.VerifyHash(cred.Algorithm, covered, cred.Signature); err != nil {
			return problem.Wrap(err, problem.Bogus, "the answer of %s is not signed by the key that its site names", "%s 的应答不是由其站点信息所列密钥签名的", q.at)
		}
		// A signature over an answer that does not say what was asked may have been made for another question.
		r.certified = bound
	}
	return nil
}

// send puts a question and returns its answer. The error is of kind Unreachable, Bogus or Canceled, or of those that
// take gives for sessions.
func (c *Client) send(ctx context.Context, q *question) (*response, error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	var r *response
	each := func(got *response) error { r = got; return nil }
	err := c.exchange(ctx, q, each)
	if err == nil && r == nil {
		err = c.noAnswer(ctx, q.at, nil)
	}
	if err != nil {
		return nil, err
	}
	if low := older(q, r); low != (Version{}) && q.session == nil && q.first == nil {
		c.server(q.at.Addr).speak(low)
		again, err := c.ask(q.at, q.msg.Op, q.msg.Flags, q.msg.Recursion, q.msg.Body)
		if err != nil {
			return nil, err
		}
		again.certify, again.safe, again.many = q.certify, q.safe, q.many
		if err := c.exchange(ctx, again, each); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// older is the version to try again with when an old server did not know what to do with a newer message; else zero.
func older(q *question, r *response) Version {
	sent := q.msg.Version
	if (r.Code == ProtocolError || r.Code == Failure || r.Code == NotSupported) && r.Suggested != sent && sent.AtLeast(r.Suggested.Major, r.Suggested.Minor) &&
		r.Suggested.AtLeast(2, 0) {
		return r.Suggested
	}
	return Version{}
}

// limit gives ctx the client's own deadline when it has none.
func (c *Client) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.timeout())
}

// errSilent is why a long answer is no longer waited for.
var errSilent = errors.New("irp: the rest of the answer does not come")

// patience gives each message of a long answer the client's time, where ctx sets no end to the whole. What the caller
// does with a message is not the server's time.
func (c *Client) patience(ctx context.Context, q *question, each func(*response) error) (context.Context, func(*response) error, func()) {
	if _, ok := ctx.Deadline(); ok || !q.many {
		return ctx, each, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.timeout(), func() { cancel(errSilent) })
	return ctx, func(r *response) error {
		timer.Stop()
		err := each(r)
		timer.Reset(c.timeout())
		return err
	}, func() { timer.Stop(); cancel(nil) }
}

// exchange sends q and gives each message of the answer to each.
func (c *Client) exchange(ctx context.Context, q *question, each func(*response) error) error {
	if ctx.Err() != nil {
		return c.noAnswer(ctx, q.at, ctx.Err())
	}
	ctx, each, cancel := c.patience(ctx, q, each)
	defer cancel()
	switch q.at.Protocol {
	case record.UDP:
		if !q.many {
			return c.overUDP(ctx, q, each)
		}
		// UDP does not say in which order the messages of an answer come, nor whether all did.
		return c.overTCP(ctx, q, each)
	case record.TCP:
		return c.overTCP(ctx, q, each)
	default:
		return c.overHTTP(ctx, q, each)
	}
}

// noAnswer is the error for a server that gave nothing usable; cause may be nil.
func (c *Client) noAnswer(ctx context.Context, at record.Endpoint, cause error) error {
	if problem.Is(cause, problem.Bogus) {
		return cause
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return problem.Wrap(ctx.Err(), problem.Canceled, "the question to %s was given up", "已放弃向 %s 的请求", at)
	}
	return problem.Wrap(cause, problem.Unreachable, "%s gives no usable answer; check its address and that its port is open",
		"%s 没有可用应答；请检查其地址以及端口是否开放", at)
}

// flags of a query.
func (c *Client) flags(q *record.Query) Flags {
	var f Flags
	if !c.Iterative {
		f |= Recursive
	}
	if c.AskTrust {
		f |= TrustedQuery
	}
	if q.Authoritative {
		f |= Authoritative
	} else {
		f |= CacheOK
	}
	if q.Certify {
		f |= Certified | RequestDigest
	}
	if q.PublicOnly {
		f |= PublicOnly
	}
	if q.NoReferral {
		f |= NoReferral
	}
	return f
}

// Ask puts one question to one server (record.Asker). Of q, By is not used: to read as somebody, see Admin.
func (c *Client) Ask(ctx context.Context, at record.Endpoint, q record.Query) (record.Answer, error) {
	begin := c.now()
	body := AppendResolution(make([]byte, 0, 64+len(q.Name())), &Resolution{Name: q.Name(), Indexes: q.Indexes, Types: q.Types, Chinese: c.Chinese})
	m, err := c.ask(at, OpResolution, c.flags(&q), depth(q.Depth), body)
	if err != nil {
		return record.Answer{}, err
	}
	m.safe = true
	r, err := c.send(ctx, m)
	if err != nil {
		return c.traced(record.Answer{Source: at.Addr.String()}, &q, at, begin, err), err
	}
	a, err := c.answer(r, &q, at)
	return c.traced(a, &q, at, begin, err), err
}

func depth(n int) uint8 { return uint8(min(max(n, 0), 255)) }

func (c *Client) traced(a record.Answer, q *record.Query, at record.Endpoint, begin time.Time, err error) record.Answer {
	if !q.Trace {
		return a
	}
	outcome := ""
	switch {
	case err != nil:
		outcome = problem.KindOf(err).String()
	case a.Referral != nil:
		outcome = "referral"
	default:
		outcome = plural(len(a.Values))
	}
	a.Path = append(a.Path, record.Step{Took: c.now().Sub(begin), Asked: at.String(), Name: q.Name(), Outcome: outcome})
	return a
}

func plural(n int) string {
	if n == 1 {
		return "1 value"
	}
	return strconv.Itoa(n) + " values"
}

// answer reads the response to a resolution.
func (c *Client) answer(r *response, q *record.Query, at record.Endpoint) (record.Answer, error) {
	a := record.Answer{Source: at.Addr.String(), Primary: r.Flags&Authoritative != 0, Certified: r.certified}
	bad := func(err error) (record.Answer, error) {
		return a, problem.Wrap(err, problem.Unreachable, "%s gives an answer that is malformed", "%s 的应答格式错误", at)
	}
	switch r.Code {
	case Success:
		name, vs, err := DecodeValues(r.body)
		if err != nil {
			return bad(err)
		}
		if !handle.Equal(name, q.Name()) {
			return a, problem.New(problem.Bogus, "%s answers for %q, which was not asked", "%s 应答了并未询问的 %q", at, clipText(name))
		}
		a.Values = vs
		if c.AskTrust && r.Flags&TrustedResult != 0 {
			a.Trust = record.Secure
		}
		return a, nil
	case ServiceReferral, PrefixReferral:
		if r.Code == PrefixReferral && !r.Version.AtLeast(2, 5) {
			return a, problemOf(ServerBackup, "")
		}
		f, err := DecodeReferral(r.body, r.Code == PrefixReferral)
		if err != nil {
			return bad(err)
		}
		a.Referral = f
		return a, nil
	}
	return a, c.failure(r)
}

// failure is the error that an answer other than success stands for.
func (c *Client) failure(r *response) error {
	if r.Code == AuthenticationNeeded {
		return problem.New(problem.NeedAuth, "the server wants to know who asks; give a key or a secret",
			"服务器要求身份认证；请提供密钥或口令")
	}
	text, err := DecodeError(r.body)
	if err != nil {
		text = "" // some writers put something else there; the code says enough
	}
	return problemOf(r.Code, clipText(text))
}

// SiteInfo asks a server for the site it belongs to (GET_SITE_INFO).
func (c *Client) SiteInfo(ctx context.Context, at record.Endpoint) (*record.Site, error) {
	q, err := c.ask(at, OpGetSiteInfo, DefaultFlags, 0, AppendNamed(nil, "/"))
	if err != nil {
		return nil, err
	}
	q.safe = true
	r, err := c.send(ctx, q)
	if err != nil {
		return nil, err
	}
	if r.Code != Success {
		return nil, c.failure(r)
	}
	return record.DecodeSite(r.body)
}

// VerifyRemote asks a server that keeps user's secret key whether signed proves its holder over nonce and digest
// (VERIFY_CHALLENGE). The answer counts only when it is signed by at.Key, which must be there. Errors: AuthError,
// Unreachable, Bogus.
func (c *Client) VerifyRemote(ctx context.Context, at record.Endpoint, user record.Ref, nonce, digest, signed []byte) (bool, error) {
	if len(at.Key) == 0 {
		return false, problem.New(problem.AuthError, "the server %s, which keeps the key of %s, has no public key in its site information, so its word cannot be checked",
			"保存 %[2]s 密钥的服务器 %[1]s 在站点信息中没有公钥，无法核实其答复", at, user)
	}
	body := AppendVerification(nil, &Verification{User: user, Nonce: nonce, Digest: digest, Signed: signed})
	q, err := c.ask(at, OpVerifyChallenge, DefaultFlags|Certified|RequestDigest, 0, body)
	if err != nil {
		return false, err
	}
	q.safe = true
	r, err := c.send(ctx, q)
	if err != nil {
		return false, err
	}
	if !r.certified {
		return false, problem.New(problem.Bogus, "the answer of %s about the proof of %s is not signed", "%s 对 %s 身份证明的答复没有签名", at, user)
	}
	if r.Code != Success || len(r.body) != 1 {
		return false, problem.Wrap(c.failure(r), problem.AuthError, "the proof of %s could not be checked at %s", "无法在 %[2]s 核验 %[1]s 的身份证明", user, at)
	}
	return r.body[0] == 1, nil
}
