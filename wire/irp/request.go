package irp

import (
	"context"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// channel is where a message came from and its answer goes.
type channel struct {
	peer   netip.AddrPort
	proto  record.Protocol
	proven bool // the peer's address is its own: it came over a connection

	keep    atomic.Bool // asked for the connection to be kept
	chinese atomic.Bool // speaks the Chinese dialect

	mu    sync.Mutex
	login record.Identity // bound to the connection by operation 2001
}

func (c *channel) identity() record.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.login
}

func (c *channel) bind(by record.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.login = by
}

// emitter takes whole answer messages; more says that another of the same answer follows. The bytes are the caller's
// again when it returns.
type emitter func(msg []byte, more bool) error

// request is one request on the long way.
type request struct {
	*Message // the request itself; after a challenge the one that was challenged
	s        *Server
	whole    context.Context // without the limit on one request's time; for lists, which take as long as they take
	ch       *channel
	emit     emitter

	id       uint32 // to answer under: the request's, or that of the challenge's answer
	speak    Version
	session  *session
	sealed   bool // it came encrypted, and so go the answers
	by       record.Identity
	proved   bool // this is the second run, after a challenge was answered
	chinese  bool
	site     *record.Site
	remember func([]byte) // is told the answer before it goes; nil mostly

	fromPrimary bool // a recursive server's answer came from a primary
	trusted     bool // the chain of the answer's signatures holds
}

// serve answers one whole message in clear or encrypted. It returns an error when nothing more should be expected of
// the channel: the peer does not take its answers.
func (s *Server) serve(ctx context.Context, ch *channel, e Envelope, payload []byte, emit emitter) (err error) {
	r := s.request(ctx, ch, e, emit)
	defer r.guard(&err)
	ctx, cancel := context.WithTimeout(ctx, s.Limits.Request)
	defer cancel()
	if ready, err := r.read(payload); !ready {
		return err
	}
	return r.act(ctx)
}

// request begins to work on a message.
func (s *Server) request(ctx context.Context, ch *channel, e Envelope, emit emitter) *request {
	s.Stats.Slow.Add(1)
	return &request{Message: &Message{Envelope: e}, s: s, whole: ctx, ch: ch, emit: emit, id: e.Request, speak: e.Speak(), site: s.site()}
}

// guard is deferred around the work on a request: one bad message must not take the node down. The fault is kept for
// us to find.
func (r *request) guard(err *error) {
	if p := recover(); p != nil {
		r.s.Stats.Panics.Add(1)
		r.s.Log.Error("a request ran into a fault of this program; please report it", "op", r.Op.String(), "peer", r.ch.peer,
			"fault", p, "stack", string(debug.Stack()))
		*err = r.fail(problem.New(problem.Internal, "a fault of the server", "服务器故障"))
	}
}

// read takes the message apart and finds out whose it is. ready is false when it has answered already, with a refusal.
func (r *request) read(payload []byte) (ready bool, err error) {
	if v := r.Version; v.Major < 2 {
		r.speak = oldest
		return false, r.fail(problem.New(problem.BadRequest, "protocol version %d.%d is not spoken here; use 2.1 to 2.11",
			"不支持协议版本 %d.%d；请使用 2.1 至 2.11", v.Major, v.Minor))
	}
	if !r.speak.AtLeast(2, 0) {
		r.speak = oldest
	}
	if r.Compressed {
		return false, r.fail(problem.New(problem.BadRequest, "compressed messages are not supported; send it uncompressed",
			"不支持压缩消息；请不压缩发送"))
	}
	if payload, err = r.unseal(payload); err != nil {
		return false, r.fail(err)
	}
	if err := r.decode(payload); err != nil {
		r.s.Stats.Malformed.Add(1)
		return false, r.fail(err)
	}
	if r.Op != OpSessionSetup && r.Session != 0 && r.session == nil {
		// The answer to a challenge outside of a session has the challenge's id in the session's place.
		if r.session, err = r.s.sessions.get(r.Session); err != nil && r.Op != OpAnswerChallenge {
			return false, r.fail(err)
		}
	}
	if err := r.identify(); err != nil {
		return false, r.fail(err)
	}
	return true, nil
}

// act does what a request asks for that read has made ready.
func (r *request) act(ctx context.Context) error {
	if r.Op == OpAnswerChallenge {
		return r.answerChallenge(ctx)
	}
	return r.run(ctx)
}

// unseal decrypts an encrypted message.
func (r *request) unseal(payload []byte) ([]byte, error) {
	if !r.Encrypted {
		return payload, nil
	}
	if r.Session == 0 {
		return nil, problem.New(problem.SessionFailed, "Invalid session id. Unable to decrypt request message.",
			"没有会话号，无法解密消息；请先建立会话")
	}
	session, err := r.s.sessions.get(r.Session)
	if err != nil {
		return nil, err
	}
	plain, err := session.open(payload)
	if err != nil {
		return nil, err
	}
	r.session, r.sealed = session, true
	return plain, nil
}

// identify finds out whose request it is. A message in a session is its identity's only with a good MAC: without one it
// is anybody's. One with a bad MAC is refused.
func (r *request) identify() error {
	if r.by.IsAnonymous() {
		r.by = r.ch.identity()
	}
	if r.session == nil || len(r.Credential) == 0 {
		return nil
	}
	c, err := DecodeCredential(r.Credential)
	if err != nil {
		return problem.Wrap(err, problem.BadCredential, "the message's credential is malformed", "消息的凭证格式错误")
	}
	if c.Type != CredentialMAC {
		return nil
	}
	covered, ok := r.AppendCovered(nil, c.Counter)
	if !ok {
		return problem.New(problem.BadCredential, "messages of version %d.%d cannot be authenticated; use 2.11",
			"%d.%d 版消息无法认证；请使用 2.11", r.Version.Major, r.Version.Minor)
	}
	if err := r.session.check(c.Algorithm, c.Signature, covered, c.Counter); err != nil {
		return err
	}
	r.proveSession()
	return nil
}

// proveSession lets the request act as whoever was authenticated in its session.
func (r *request) proveSession() {
	if by := r.session.identity(); !by.IsAnonymous() {
		r.by = by
	}
}

// run does what the request asks for, whether it was challenged before or not.
func (r *request) run(ctx context.Context) error {
	if err := r.admissible(); err != nil {
		return r.fail(err)
	}
	switch r.Op {
	case OpResolution:
		return r.resolve(ctx)
	case OpGetSiteInfo:
		return r.siteInfo()
	case OpCreate, OpDelete, OpAdd, OpRemove, OpModify, OpHome, OpUnhome:
		return r.write(ctx)
	case OpList, OpListDerived, OpListHomed:
		return r.list()
	case OpVerifyChallenge:
		return r.verify(ctx)
	case OpSessionSetup:
		return r.sessionSetup(ctx)
	case OpSessionTerminate:
		return r.sessionTerminate()
	case OpSessionExchangeKey:
		return r.sessionExchange()
	case OpLoginSystem:
		return r.loginSystem()
	case OpNextTransaction, OpRetrieveTransaction, OpDumpHandles, OpBackup, OpLogin:
		return r.fail(problem.New(problem.Unsupported, "this server does not offer %q; mirrors follow it by its HTTP feed",
			"本服务器不提供 %q；镜像请使用其 HTTP 变更流", r.Op.String()))
	case 0:
		return r.fail(problem.New(problem.BadRequest, "Unknown opCode in message: 0", "未知操作码：0"))
	}
	// Deployed servers cannot even decode these, and clients expect what they then say.
	return r.emit(undecodable(Failure, "unknown "+r.Op.String()), false)
}

// admissible makes the checks that are the same for all operations.
func (r *request) admissible() error {
	if r.Flags&RecursiveAuth != 0 || r.Op == OpLogin || r.Op == OpLoginSystem {
		r.ch.chinese.Store(true)
	}
	r.chinese = r.ch.chinese.Load()
	if r.Flags&KeepConnection != 0 {
		r.ch.keep.Store(true)
	}
	if r.Recursion > record.MaxDepth {
		return problem.New(problem.TooDeep, "the request went through %d servers, over the limit of %d: a loop of referrals",
			"请求已经过 %d 台服务器，超过上限 %d：引用出现循环", r.Recursion, record.MaxDepth)
	}
	if r.Op.admin() && !r.adminHere() {
		return problem.New(problem.BadRequest, "Received admin request on non-admin interface",
			"该接口不接受管理请求；请使用 TCP 接口")
	}
	if (r.Op == OpResolution || r.Op.admin()) && r.site != nil && stale(r.SiteSerial, r.site.Serial) {
		return problem.New(problem.StaleSite, "the site information with serial %d is out of date; get it again (serial %d)",
			"序号为 %d 的站点信息已过期；请重新获取（序号 %d）", r.SiteSerial, r.site.Serial)
	}
	return nil
}

// undecodable is the answer to what could not be read far enough to answer it properly, in a form that every version
// understands.
func undecodable(code Code, text string) []byte {
	return AppendMessage(nil, &Message{
		Envelope: Envelope{Version: oldest, Suggested: Latest, Request: 0xffffffff},
		Header:   Header{Code: code, SiteSerial: UnknownSite},
		Body:     AppendError(nil, text)})
}

func (r *request) adminHere() bool {
	switch r.ch.proto {
	case record.UDP:
		return r.s.UDPAdmin
	case record.TCP:
		return !r.s.QueryOnlyTCP
	}
	return !r.s.QueryOnlyHTTP
}

// fail answers with an error; NeedAuth from somebody unknown with a challenge.
func (r *request) fail(err error) error {
	kind := problem.KindOf(err)
	switch {
	case kind == problem.NeedAuth && r.by.IsAnonymous():
		return r.challenge()
	case kind == problem.NeedAuth:
		kind = problem.Forbidden // they said who they are; more proof would not help
	}
	text := problem.Say(err, problem.English)
	switch kind {
	case problem.NotFound, problem.NoValues:
		text = "" // the code says it all
	case problem.Internal:
		// What went wrong inside is for the operator.
		r.s.Log.Error("a request failed", "op", r.Op.String(), "peer", r.ch.peer, "error", err)
		text = "Server error processing request, see server logs"
	default:
		r.s.Log.Debug("a request was refused", "op", r.Op.String(), "peer", r.ch.peer, "error", err)
	}
	return r.reply(CodeOf(kind, r.chinese), AppendError(nil, clipText(text)))
}

// maxErrorText keeps error answers within one UDP packet.
const maxErrorText = 400

func clipText(s string) string {
	if len(s) <= maxErrorText {
		return s
	}
	n := maxErrorText - len("…")
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

func (r *request) reply(code Code, body []byte) error { return r.replyPart(code, body, false) }

// replyPart sends one message of an answer.
func (r *request) replyPart(code Code, body []byte, more bool) error {
	m := r.answer(code)
	if more {
		m.Flags |= Continuous
	}
	if r.Flags&RequestDigest != 0 && r.content != nil {
		m.Flags |= RequestDigest
		alg := DigestAlgOf(r.speak)
		body = append(AppendDigest(nil, r.speak, alg, alg.Digest(r.content)), body...)
	}
	m.Body = body
	return r.sendOut(m, more)
}

// answer is the frame of an answer: the request's flags come back, AT says whether this is a primary.
func (r *request) answer(code Code) *Message {
	m := &Message{
		Envelope: Envelope{Version: r.speak, Suggested: Latest, Session: r.Session, Request: r.id},
		Header: Header{Op: r.Op, Code: code, Flags: r.Flags &^ (Continuous | Authoritative | RequestDigest | TrustedResult),
			SiteSerial: UnknownSite, Recursion: r.Recursion, Expires: uint32(r.s.Now().Unix() + lifetime)},
	}
	if r.trusted && r.Flags&TrustedQuery != 0 {
		m.Flags |= TrustedResult
	}
	if r.site != nil {
		m.SiteSerial = r.site.Serial
		if r.site.Primary && !r.s.Recursive {
			m.Flags |= Authoritative
		}
	}
	if r.fromPrimary {
		m.Flags |= Authoritative
	}
	if code >= ChannelError && !r.chinese {
		m.Code = Failure
	}
	if !r.speak.AtLeast(2, 5) { // there 303 meant a backup, and there were no prefix referrals
		switch code {
		case PrefixReferral:
			m.Code = ServiceReferral
		case ServerBackup:
			m.Code = PrefixReferral
		}
	}
	return m
}

// sendOut vouches for the message as its flags ask, encrypts it if the request came so, and sends it.
func (r *request) sendOut(m *Message, more bool) error {
	if headerSize+len(m.Body)+1024 > MaxMessage {
		r.s.Log.Error("an answer is too long for a message", "op", r.Op.String(), "bytes", len(m.Body))
		m = r.answer(Failure)
		m.Body, more = AppendError(nil, "the answer is too long for one message; ask for fewer values"), false
	}
	if m.Flags&Certified != 0 {
		r.certify(m)
	}
	var out []byte
	if r.session != nil && (r.sealed || m.Flags&Encrypt != 0) && r.session.keyNow().valid() {
		sealed, err := r.session.seal(AppendPayload(nil, m))
		if err != nil {
			return err
		}
		out = AppendSealed(nil, m.Envelope, sealed)
	} else {
		out = AppendMessage(nil, m)
	}
	if r.remember != nil {
		r.remember(out)
	}
	return r.emit(out, more)
}

// certify puts a credential on an answer: the session's MAC within a session, else the server key's signature.
func (r *request) certify(m *Message) {
	c := Credential{Type: CredentialSigned}
	if r.session != nil && r.session.keyNow().valid() && r.Op != OpSessionSetup {
		if in, err := DecodeCredential(r.Credential); err == nil {
			c.Counter = in.Counter
		}
		covered, ok := m.AppendCovered(nil, c.Counter)
		if !ok {
			return
		}
		c.Type = CredentialMAC
		c.Algorithm, c.Signature = r.session.mac(m.Version, covered)
		m.Credential = AppendCredential(nil, &c)
		return
	}
	covered, ok := m.AppendCovered(nil, 0)
	if !ok || r.s.Key == nil {
		return
	}
	sig, err := r.s.Key.Sign(covered)
	if err != nil {
		r.s.Log.Error("an answer could not be signed", "error", err)
		return
	}
	c.Algorithm, c.Signature = r.s.Key.Public().HashName(), sig
	m.Credential = AppendCredential(nil, &c)
}

// challenge asks who it is.
func (r *request) challenge() error {
	if r.s.Auth == nil {
		return r.reply(NotSupported, AppendError(nil, "this server cannot check who you are; ask one that can"))
	}
	alg := DigestAlgOf(r.speak)
	var session uint32
	// Only who has the session's key gets to replace the challenge that is pending in it.
	if r.session != nil && (r.sealed || r.macked()) {
		session = r.session.id
	}
	c, err := r.s.challenges.put(r.ch.peer, r.ch.proven, session, r.id, uint16(r.speak.Major)<<8|uint16(r.speak.Minor),
		alg.Digest(r.Content()), r.Content())
	if err != nil {
		return r.fail(err)
	}
	m := r.answer(AuthenticationNeeded)
	m.Session = c.id
	m.Flags |= RequestDigest
	m.Body = AppendChallenge(nil, r.speak, &Challenge{alg, c.digest, c.nonce[:]})
	return r.sendOut(m, false)
}

// answerChallenge checks the proof and runs the request that was challenged.
func (r *request) answerChallenge(ctx context.Context) error {
	if r.s.Auth == nil {
		return r.fail(problem.New(problem.Unsupported, "this server cannot check who you are; ask one that can",
			"本服务器无法核验身份；请向其他服务器请求"))
	}
	proof, err := DecodeProof(r.Body)
	if err != nil {
		return r.fail(problem.Wrap(err, problem.BadCredential, "the answer to the challenge is malformed", "质询应答格式错误"))
	}
	c, before, err := r.s.challenges.take(r.ch.peer, r.Session, r.Request)
	switch {
	case err != nil:
		return r.fail(err)
	case before != nil:
		return r.emit(before, false)
	case c == nil:
		return nil // the first copy is being worked on
	}
	first := *r
	first.Message = &Message{Envelope: r.Envelope}
	if err := first.decode(c.request); err != nil {
		return r.fail(err)
	}
	// From here on the answers are to the request that was challenged.
	first.Credential = r.Credential
	first.speak = Version{uint8(c.version >> 8), uint8(c.version)}
	if r.ch.proto == record.UDP {
		first.remember = func(answer []byte) { r.s.challenges.done(c, answer, true) }
	} else {
		defer r.s.challenges.done(c, nil, false)
	}
	if c.id&1 == 0 && first.session == nil {
		if first.session, err = r.s.sessions.get(c.id); err != nil {
			return first.fail(err)
		}
	}
	by, err := r.authenticate(ctx, proof, c.nonce[:], c.digest)
	if err != nil {
		if problem.Is(err, problem.NeedAuth) {
			err = problem.Wrap(err, problem.AuthFailed, "the proof does not show who you are", "证明不足以确认身份")
		}
		return first.fail(err)
	}
	first.by, first.proved = by, true
	if c.id&1 == 0 {
		first.session.authenticate(by)
	}
	return first.run(ctx)
}

func (r *request) authenticate(ctx context.Context, proof record.Proof, nonce, digest []byte) (record.Identity, error) {
	select {
	case r.s.proofWork <- struct{}{}:
		defer func() { <-r.s.proofWork }()
	case <-ctx.Done():
		return record.Identity{}, problem.Wrap(ctx.Err(), problem.Busy, "too many proofs are being checked; try again later",
			"正在核验的证明过多；请稍后再试")
	}
	return r.s.Auth.Authenticate(ctx, proof, nonce, digest)
}

// parse reads the handle that a request is about. A prefix alone means its record.
func parse(name string) (id.ID, error) {
	v, err := id.ParseHandle(name)
	if err == nil && v.IsPrefix() {
		v = id.PrefixRecord(v.Prefix())
	}
	return v, err
}
