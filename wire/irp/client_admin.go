package irp

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Login is who acts on a server: the value that holds their key, and the key.
type Login struct {
	As     record.Ref        // as 300:88.118.1001/ADMIN
	Key    *trust.PrivateKey // of the HS_PUBKEY value there; or
	Secret []byte            // the HS_SECKEY value there
	Form   trust.SecretForm  // how the secret is used; 0: as the server's version likes it best
}

// AdminOptions say how an Admin goes about it. The zero value is good.
type AdminOptions struct {
	// Mode is how a session's key is agreed on. Default ModeDH.
	Mode Mode
	// NoSession proves the identity anew for each request instead of once.
	NoSession bool
	// Encrypt hides requests and answers from those on the way. It needs a session.
	Encrypt bool
	// Channel logs in as the Chinese dialect does: once for one TCP connection, on which everything then goes.
	Channel bool
	// InFlight is how many writes are under way at once. Default 32.
	InFlight int
}

// Admin acts on one server as one identity. It is a record.Registrar, a record.Lister and a record.Resolver; whom these
// are told to act for is not used, the login is. Its methods may be called at once from many goroutines.
type Admin struct {
	c     *Client
	at    record.Endpoint
	login Login
	o     AdminOptions

	mu      sync.Mutex
	session *clientSession
	without bool // the server has no sessions
	pinned  *tcpConn
	setting chan struct{} // held while a session or a connection is set up
}

var (
	_ record.Resolver  = (*Admin)(nil)
	_ record.Registrar = (*Admin)(nil)
	_ record.Lister    = (*Admin)(nil)
)

// Admin readies a login. It sets the session up, so that a server that cannot be reached, or whose signature does not
// hold, is found out here; whether the login is good shows with the first request that needs it. Servers without
// sessions get a proof with every request, unless o.Encrypt needs one.
func (c *Client) Admin(ctx context.Context, at record.Endpoint, login Login, o AdminOptions) (*Admin, error) {
	if login.As.IsZero() || (login.Key == nil) == (len(login.Secret) == 0) {
		return nil, problem.New(problem.BadValue, "a login needs an identity such as 300:88.118.1001/ADMIN and either its key or its secret",
			"登录需要身份（例如 300:88.118.1001/ADMIN）以及其密钥或口令之一")
	}
	if o.InFlight <= 0 {
		o.InFlight = 32
	}
	if o.Mode == 0 {
		o.Mode = ModeDH
	}
	if o.Channel {
		o.NoSession, at.Protocol = true, record.TCP
	}
	a := &Admin{c: c, at: at, login: login, o: o, setting: make(chan struct{}, 1)}
	var err error
	if o.Channel {
		_, err = a.channel(ctx)
	} else {
		_, err = a.ready(ctx)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Close ends the session on the server too. The Admin may still be used; it then sets up another.
func (a *Admin) Close(ctx context.Context) {
	a.mu.Lock()
	s, t := a.session, a.pinned
	a.session, a.pinned = nil, nil
	a.mu.Unlock()
	if t != nil {
		t.fail(errOther)
		<-t.done
	}
	if s == nil {
		return
	}
	if q, err := a.c.ask(a.at, OpSessionTerminate, DefaultFlags|Certified, 0, AppendNamed(nil, "/")); err == nil && a.c.inSession(q, s) == nil {
		// A session that could not be ended ends by itself.
		_, _ = a.c.send(ctx, q)
	}
}

// hold takes a lock that a context can end the wait for.
func hold(ctx context.Context, lock chan struct{}) error {
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return problem.Wrap(ctx.Err(), problem.Canceled, "the request was given up while it waited", "请求在等待时被放弃")
	}
}

// ready is the session to use, set up if need be; nil when there is none to be had.
func (a *Admin) ready(ctx context.Context) (*clientSession, error) {
	if a.o.NoSession {
		return nil, nil
	}
	if err := hold(ctx, a.setting); err != nil {
		return nil, err
	}
	defer func() { <-a.setting }()
	a.mu.Lock()
	s, without := a.session, a.without
	a.mu.Unlock()
	if s != nil || without {
		return s, nil
	}
	s, err := a.c.newSession(ctx, a.at, a.login.As, a.o.Mode, a.o.Encrypt)
	switch problem.KindOf(err) {
	case problem.Unreachable, problem.Bogus, problem.Canceled, problem.Busy:
	default:
		if err != nil && !a.o.Encrypt {
			s, err, without = nil, nil, true
		}
	}
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.session, a.without = s, without
	a.mu.Unlock()
	return s, nil
}

// lost forgets a session that the server no longer knows.
func (a *Admin) lost(s *clientSession) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == s {
		a.session = nil
	}
}

// operation is one request to make.
type operation struct {
	op    Op
	flags Flags
	depth uint8
	body  []byte
	many  bool
}

// do puts one request, proves who we are when asked, and gives the messages of the answer to each. The answer's code is
// for each to look at.
func (a *Admin) do(ctx context.Context, o *operation, each func(*response) error) error {
	if !o.many { // those may take as long as they bring something
		var cancel context.CancelFunc
		ctx, cancel = a.c.limit(ctx)
		defer cancel()
	}
	for try := 0; ; try++ {
		s, err := a.ready(ctx)
		if err != nil {
			return err
		}
		again, err := a.once(ctx, o, s, each)
		if !again || try > 0 {
			return err
		}
		a.lost(s)
	}
}

// once is do with the session s, or nil. again says that the server has forgotten the session.
func (a *Admin) once(ctx context.Context, o *operation, s *clientSession, each func(*response) error) (again bool, err error) {
	flags := o.flags
	if s != nil {
		flags |= Certified // answers then have the session's MAC
	} else if len(a.at.Key) > 0 {
		flags |= Certified | RequestDigest
	}
	q, err := a.c.ask(a.at, o.op, flags, o.depth, o.body)
	if err != nil {
		return false, err
	}
	// It may always be sent again: outside of a session nothing is done before the challenge is answered, in one the
	// counter keeps it from being done twice, and a challenge takes one answer.
	q.safe, q.many = true, o.many
	if s != nil {
		if open := o.op == OpResolution && flags&PublicOnly != 0; !open && !s.isProved() {
			if err := hold(ctx, s.proving); err != nil {
				return false, err
			}
			defer func() { <-s.proving }()
		}
		if err := a.c.inSession(q, s); err != nil {
			return false, err
		}
	}
	var challenged *response
	var refused error
	sent := q
	hear := func(r *response) error {
		switch kind := KindOf(r.Code); {
		case sent.sent > 1 && (s != nil && kind == problem.SessionReplay || sent.first != nil && kind == problem.AuthTimeout):
			// What came first was taken; its answer got lost.
			return problem.New(problem.Unreachable, "the answer of %s was lost; look whether it was done before doing it again", "%s 的应答丢失；重试之前请先查看操作是否已完成", a.at)
		case r.Code == AuthenticationNeeded:
			challenged = r
			return nil
		case s != nil && (kind == problem.SessionTimeout || kind == problem.SessionFailed || kind == problem.SessionReplay):
			again, refused = true, a.c.failure(r)
			return nil
		case s == nil && len(a.at.Key) > 0 && r.Code == Success && !r.certified:
			return problem.New(problem.Bogus, "the answer of %s is not signed, though its site names a key", "%s 的站点信息列有公钥，其应答却没有签名", a.at)
		}
		return each(r)
	}
	if err := a.exchange(ctx, q, hear); err != nil {
		return problem.Is(err, problem.SessionFailed) && s != nil, err
	}
	if challenged == nil {
		return again, refused
	}
	proof, err := a.prove(q, challenged)
	if err != nil {
		return false, err
	}
	q2, err := a.c.answerTo(q, challenged, proof)
	if err != nil {
		return false, err
	}
	challenged, sent = nil, q2
	err = a.exchange(ctx, q2, func(r *response) error {
		if k := KindOf(r.Code); s != nil && k != problem.NeedAuth && k != problem.AuthFailed && k != problem.AuthError && k != problem.AuthTimeout && k != problem.BadCredential {
			s.setProved()
		}
		return hear(r)
	})
	if err == nil && challenged != nil {
		err = problem.New(problem.AuthFailed, "%s asks a second time who it is; check that %s names the key that was given",
			"%s 再次要求身份认证；请确认 %s 与所给密钥一致", a.at, a.login.As)
	}
	if err == nil {
		err = refused
	}
	return again, err
}

// exchange goes over the Admin's own connection when it has one.
func (a *Admin) exchange(ctx context.Context, q *question, each func(*response) error) error {
	if !a.o.Channel {
		return a.c.exchange(ctx, q, each)
	}
	t, err := a.channel(ctx)
	if err != nil {
		return err
	}
	ctx, each, cancel := a.c.patience(ctx, q, each)
	defer cancel()
	return a.c.onChannel(ctx, t, q, each)
}

// prove answers a challenge, but only one that is about our own request: whoever gets us to sign for another acts as us.
func (a *Admin) prove(q *question, r *response) (record.Proof, error) {
	ch, err := DecodeChallenge(r.Version, r.Body)
	if err != nil {
		return record.Proof{}, problem.Wrap(err, problem.Unreachable, "the challenge of %s is malformed", "%s 的质询格式错误", a.at)
	}
	about := q.msg
	if q.first != nil {
		about = q.first
	}
	if want := ch.Alg.Digest(about.Content()); len(want) == 0 || !bytes.Equal(want, ch.Digest) {
		return record.Proof{}, problem.New(problem.Bogus, "%s asks for a signature under a request that was not made here; nothing was signed",
			"%s 要求对并非本机发出的请求签名；未予签名", a.at)
	}
	if len(ch.Nonce) < 8 {
		return record.Proof{}, problem.New(problem.Bogus, "the challenge of %s has a nonce of %d bytes, too short to be signed", "%s 的质询随机数只有 %d 字节，过短，未予签名", a.at, len(ch.Nonce))
	}
	if a.login.Key != nil {
		return trust.Prove(a.login.Key, a.login.As, ch.Nonce, ch.Digest)
	}
	form := a.login.Form
	if form == 0 {
		if form = trust.FormPBKDF2; !r.Version.AtLeast(2, 7) {
			form = trust.FormSHA1
		}
	}
	return trust.ProveSecret(a.login.Secret, a.login.As, ch.Nonce, ch.Digest, form)
}

// answerTo makes the message that carries a proof.
func (c *Client) answerTo(q *question, challenge *response, proof record.Proof) (*question, error) {
	q2, err := c.ask(q.at, OpAnswerChallenge, DefaultFlags, 0, AppendProof(nil, &proof))
	if err != nil {
		return nil, err
	}
	q2.msg.Session = challenge.Session
	q2.session, q2.certify, q2.many, q2.safe = q.session, q.certify, q.many, true
	if q2.first = q.first; q2.first == nil {
		q2.first = q.msg
	}
	return q2, c.seal(q2, q2.session)
}

// channel is the connection that is logged in, made anew when it is gone.
func (a *Admin) channel(ctx context.Context) (*tcpConn, error) {
	if err := hold(ctx, a.setting); err != nil {
		return nil, err
	}
	defer func() { <-a.setting }()
	a.mu.Lock()
	t := a.pinned
	a.mu.Unlock()
	if t != nil {
		t.server.mu.Lock()
		err := t.err
		t.server.mu.Unlock()
		if err == nil {
			return t, nil
		}
	}
	t, err := a.logIn(ctx)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.pinned = t
	a.mu.Unlock()
	return t, nil
}

// logIn opens a connection and logs in on it: site information, login, which must be challenged, answer.
func (a *Admin) logIn(ctx context.Context) (*tcpConn, error) {
	q, err := a.c.ask(a.at, OpGetSiteInfo, DefaultFlags, 0, AppendNamed(nil, "/"))
	if err != nil {
		return nil, err
	}
	w := newWaiter(q)
	t, _, err := a.c.server(a.at.Addr).conn(ctx, w, true, true)
	if err != nil {
		return nil, a.c.noAnswer(ctx, a.at, err)
	}
	t.server.mu.Lock()
	t.pinned = true
	t.server.mu.Unlock()
	if err := a.logInOn(ctx, t, w, q); err != nil {
		t.fail(err)
		<-t.done
		return nil, err
	}
	return t, nil
}

func (a *Admin) logInOn(ctx context.Context, t *tcpConn, w *waiter, q *question) error {
	var r *response
	each := func(got *response) error { r = got; return nil }
	_, _, err := a.c.onConn(ctx, t, w, q, each)
	t.leave(w)
	if err != nil {
		return err
	}
	if r.Code != Success {
		return a.c.failure(r)
	}
	if q, err = a.c.ask(a.at, OpLoginSystem, DefaultFlags|RequestDigest, 0, AppendLogin(nil, a.login.As)); err != nil {
		return err
	}
	if err = a.c.onChannel(ctx, t, q, each); err != nil {
		return err
	}
	if r.Code != AuthenticationNeeded {
		if r.Code == Success {
			return problem.New(problem.AuthError, "%s takes the login without a challenge, so it binds nobody to the connection", "%s 未经质询即接受登录，连接未与身份绑定", a.at)
		}
		return a.c.failure(r)
	}
	proof, err := a.prove(q, r)
	if err != nil {
		return err
	}
	if q, err = a.c.answerTo(q, r, proof); err != nil {
		return err
	}
	if err = a.c.onChannel(ctx, t, q, each); err != nil {
		return err
	}
	if r.Code != Success {
		return a.c.failure(r)
	}
	return nil
}

// onChannel asks on a connection that is ours alone.
func (c *Client) onChannel(ctx context.Context, t *tcpConn, q *question, each func(*response) error) error {
	w := newWaiter(q)
	t.server.mu.Lock()
	err := t.err
	if err == nil {
		t.wait(w)
	}
	t.server.mu.Unlock()
	if err != nil {
		return c.noAnswer(ctx, q.at, err)
	}
	lost, _, err := c.onConn(ctx, t, w, q, each)
	t.leave(w)
	if lost {
		return c.noAnswer(ctx, q.at, err)
	}
	return err
}

// one is do for operations that a single message answers.
func (a *Admin) one(ctx context.Context, o *operation) (*response, error) {
	var r *response
	err := a.do(ctx, o, func(got *response) error { r = got; return nil })
	if err == nil && r == nil {
		err = a.c.noAnswer(ctx, a.at, nil)
	}
	return r, err
}

// Resolve asks the server as the login, who may read what is not for everybody (record.Resolver).
func (a *Admin) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	begin := a.c.now()
	r, err := a.one(ctx, &operation{op: OpResolution, flags: a.c.flags(&q), depth: depth(q.Depth),
		body: AppendResolution(nil, &Resolution{Name: q.Name(), Indexes: q.Indexes, Types: q.Types, Chinese: a.c.Chinese})})
	if err != nil {
		return a.c.traced(record.Answer{Source: a.at.Addr.String()}, &q, a.at, begin, err), err
	}
	ans, err := a.c.answer(r, &q, a.at)
	return a.c.traced(ans, &q, a.at, begin, err), err
}

// Write sends each write as one message (record.Registrar). Consecutive writes to different ordinary records are under
// way together; those to the same record, to prefix records, and home and unhome keep their order. A Result whose error
// is Unreachable or Canceled is uncertain: the server may have done it.
func (a *Admin) Write(ctx context.Context, _ record.Identity, writes []record.Write) ([]record.Result, error) {
	results := make([]record.Result, len(writes))
	slots := make(chan struct{}, a.o.InFlight)
	var wg sync.WaitGroup
	busy := map[id.ID]bool{}
	barrier := func() {
		wg.Wait()
		clear(busy)
	}
	for i := range writes {
		w := &writes[i]
		alone := w.ID.IsGlobal() || w.ID.IsPrefix() && !w.Mint || w.Op == record.Home || w.Op == record.Unhome
		if alone || busy[w.ID] && !w.Mint {
			barrier()
		}
		busy[w.ID] = true
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = a.write(ctx, w)
		})
		if alone {
			barrier()
		}
	}
	wg.Wait()
	if len(results) == 0 {
		return results, nil
	}
	for i := range results {
		switch problem.KindOf(results[i].Err) {
		case problem.Unreachable, problem.Canceled, problem.ReadOnly, problem.Full, problem.Busy:
			if results[i].Err != nil {
				continue
			}
		}
		return results, nil
	}
	return nil, results[0].Err
}

func (a *Admin) write(ctx context.Context, w *record.Write) record.Result {
	res := record.Result{ID: w.ID}
	if err := ctx.Err(); err != nil {
		res.Err = problem.Wrap(err, problem.Canceled, "it was not sent any more", "未再发送")
		return res
	}
	o := &operation{flags: DefaultFlags}
	name := w.ID.String()
	if w.Mint && w.ID.IsPrefix() {
		name += "/"
	}
	switch w.Op {
	case record.Create, record.Add, record.Modify:
		o.op = map[record.Op]Op{record.Create: OpCreate, record.Add: OpAdd, record.Modify: OpModify}[w.Op]
		o.body = AppendValues(nil, name, w.Values)
	case record.Remove:
		o.op, o.body = OpRemove, AppendRemoval(nil, name, w.Indexes)
	case record.Delete:
		o.op, o.body = OpDelete, AppendNamed(nil, name)
	case record.Home:
		o.op, o.body = OpHome, AppendNamed(nil, name)
	case record.Unhome:
		o.op, o.body = OpUnhome, AppendNamed(nil, name)
	default:
		res.Err = problem.New(problem.BadValue, "the write of %s says not what to do", "对 %s 的写入未说明操作", w.ID)
		return res
	}
	if w.Overwrite {
		o.flags |= Overwrite
	}
	if w.Mint {
		o.flags |= MintSuffix
	}
	if err := record.CheckAll(w.Values); problem.Is(err, problem.TooLarge) {
		res.Err = err // the protocol has no word for it
		return res
	}
	if n := headerSize + len(o.body) + 512; n > MaxMessage {
		res.Err = problem.New(problem.TooLarge, "the values of %s take %d bytes, over the limit of %d of one message; send them in several writes",
			"%s 的值共 %d 字节，超过一条消息的上限 %d；请分多次写入", w.ID, len(o.body), MaxMessage)
		return res
	}
	r, err := a.one(ctx, o)
	switch {
	case err != nil:
		res.Err = err
	case r.Code != Success:
		res.Err = a.c.failure(r)
	case w.Mint:
		made, _, err := DecodeNamed(r.body)
		if err == nil {
			res.ID, err = id.ParseHandle(made)
		}
		if err != nil {
			res.Err = problem.Wrap(err, problem.Internal, "%s made an identifier but does not say which", "%s 已生成标识，却没有说明是哪一个", a.at)
		}
	}
	return res
}

// Each gives the names under prefix to f as they come, in the order in which the server has them. It ends when f
// returns an error, with that error.
func (a *Admin) Each(ctx context.Context, prefix string, f func(name string) error) error {
	return a.names(ctx, OpList, id.PrefixRecord(prefix).String(), f)
}

func (a *Admin) names(ctx context.Context, op Op, name string, f func(string) error) error {
	return a.do(ctx, &operation{op: op, flags: DefaultFlags, body: AppendNamed(nil, name), many: true}, func(r *response) error {
		if r.Code != Success {
			return a.c.failure(r)
		}
		names, err := DecodeNames(r.body)
		if err != nil {
			return problem.Wrap(err, problem.Unreachable, "the list of %s is malformed", "%s 的列表格式错误", a.at)
		}
		for _, n := range names {
			if err := f(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// List returns one page of names (record.Lister). The protocol has no pages: the whole list comes each time, and what
// is kept of it is the page. Use Each for all.
func (a *Admin) List(ctx context.Context, _ record.Identity, prefix, after string, limit int) ([]string, error) {
	p := page{after: handle.Fold(after), limit: limit}
	err := a.names(ctx, OpList, id.PrefixRecord(prefix).String(), func(n string) error { p.add(handle.Fold(n)); return nil })
	return p.sorted(), err
}

// Count counts the names under prefix (record.Lister), by listing them.
func (a *Admin) Count(ctx context.Context, _ record.Identity, prefix string) (n int64, err error) {
	err = a.Each(ctx, prefix, func(string) error { n++; return nil })
	return n, err
}

// Prefixes lists the prefixes that the server answers for (record.Lister).
func (a *Admin) Prefixes(ctx context.Context, _ record.Identity, after string, limit int) ([]string, error) {
	p := page{after: handle.Fold(after), limit: limit}
	err := a.names(ctx, OpListHomed, "/", func(n string) error {
		if v, err := id.ParseHandle(n); err == nil {
			if prefix, ok := v.Delegated(); ok {
				p.add(prefix)
			}
		}
		return nil
	})
	return p.sorted(), err
}

// page keeps the limit smallest names behind after, out of names in any order.
type page struct {
	after string
	limit int
	names []string
}

func (p *page) add(name string) {
	if name <= p.after {
		return
	}
	p.names = append(p.names, name)
	if len(p.names) >= 2*p.limit+1024 {
		p.cut()
	}
}

func (p *page) cut() {
	slices.Sort(p.names)
	p.names = slices.Compact(p.names)
	p.names = p.names[:min(len(p.names), max(p.limit, 0))]
}

func (p *page) sorted() []string {
	p.cut()
	return p.names
}
