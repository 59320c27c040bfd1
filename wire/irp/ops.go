package irp

import (
	"context"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

func unsupported(what, zh string) error {
	return problem.New(problem.Unsupported, "this server does not offer %[1]s", "本服务器不提供%[2]s", what, zh)
}

// resolve answers OpResolution.
func (r *request) resolve(ctx context.Context) error {
	b, err := DecodeResolution(r.Body)
	if err != nil {
		r.s.Stats.Malformed.Add(1)
		return r.fail(err)
	}
	if b.Chinese {
		r.ch.chinese.Store(true)
		r.chinese = true
	}
	if r.s.Resolver == nil {
		return r.fail(unsupported("resolution", "解析"))
	}
	name, err := parse(b.Name)
	if err != nil {
		return r.fail(err)
	}
	q := record.Query{ID: name, As: b.Name, Indexes: b.Indexes, Types: b.Types, By: r.by,
		PublicOnly: r.Flags&PublicOnly != 0, Authoritative: r.Flags&Authoritative != 0,
		Certify: r.Flags&Certified != 0, NoReferral: r.Flags&NoReferral != 0, Depth: int(r.Recursion)}
	began := r.s.Now()
	ans, err := r.s.Resolver.Resolve(ctx, q)
	if r.s.Answered != nil {
		r.s.Answered([]byte(b.Name), r.ch.peer.Addr(), r.s.Now().Sub(began), answered(err))
	}
	r.fromPrimary = r.s.Recursive && ans.Primary && q.Authoritative
	r.trusted = ans.Trust == record.Secure
	switch {
	case err != nil:
		return r.fail(err)
	case ans.Referral != nil:
		code := ServiceReferral
		if ans.Referral.Prefix {
			code = PrefixReferral
		}
		return r.reply(code, AppendReferral(nil, ans.Referral))
	case len(ans.Values) == 0:
		return r.reply(ValuesNotFound, AppendError(nil, ""))
	}
	return r.reply(Success, AppendValues(nil, b.Name, ans.Values))
}

// answered reports whether an outcome is an answer: what is not there, or not for the asker, is one too.
func answered(err error) bool {
	switch problem.KindOf(err) {
	case problem.Unreachable, problem.Bogus, problem.Canceled, problem.Internal, problem.Busy:
		return err == nil
	}
	return true
}

// siteInfo answers OpGetSiteInfo.
func (r *request) siteInfo() error {
	if r.site == nil {
		return r.fail(unsupported("site information", "站点信息"))
	}
	return r.reply(Success, record.AppendSite(nil, r.site))
}

// plan reads the change that the request asks for.
func (r *request) plan() (name string, w record.Write, err error) {
	switch r.Op {
	case OpCreate, OpAdd, OpModify:
		name, w.Values, err = DecodeValues(r.Body)
	case OpRemove:
		name, w.Indexes, err = DecodeRemoval(r.Body)
	default:
		name, _, err = DecodeNamed(r.Body)
	}
	if err != nil {
		r.s.Stats.Malformed.Add(1)
		return name, w, err
	}
	switch r.Op {
	case OpCreate:
		w.Op = record.Create
		w.Mint = r.Flags&MintSuffix != 0
	case OpDelete:
		w.Op = record.Delete
	case OpAdd:
		w.Op = record.Add
	case OpRemove:
		w.Op = record.Remove
	case OpModify:
		w.Op = record.Modify
	case OpHome:
		w.Op = record.Home
	case OpUnhome:
		w.Op = record.Unhome
	}
	w.Overwrite = r.Flags&Overwrite != 0 && (w.Op == record.Create || w.Op == record.Add)
	text := name
	if w.Mint {
		// The suffix may be empty, a beginning or the whole of what the minted one follows.
		text = strings.TrimSuffix(text, "/")
		if w.ID, err = id.ParseHandle(text); err == nil {
			return name, w, nil
		}
	}
	w.ID, err = parse(text)
	return name, w, err
}

// write answers the operations that change something.
func (r *request) write(ctx context.Context) error {
	if r.s.Registrar == nil {
		return r.fail(unsupported("changes", "变更"))
	}
	name, w, err := r.plan()
	if err != nil {
		return r.fail(err)
	}
	results, err := r.s.Registrar.Write(ctx, r.by, []record.Write{w})
	if err == nil && len(results) != 1 {
		err = problem.New(problem.Internal, "one write gave %d results", "一次写入返回了 %d 个结果", len(results))
	}
	if err != nil {
		return r.fail(err)
	}
	return r.written(name, &w, results[0])
}

// written answers with what became of a write.
func (r *request) written(name string, w *record.Write, res record.Result) error {
	if res.Err != nil {
		return r.fail(res.Err)
	}
	if w.Op != record.Create {
		return r.reply(Success, nil)
	}
	if w.Mint {
		name = res.ID.String()
	}
	return r.reply(Success, AppendNamed(nil, name))
}

// namesPerMessage is how many handles one message of a list holds.
const namesPerMessage = 50

// list answers the operations that list names, as many messages as it takes.
func (r *request) list() error {
	if r.s.Lister == nil {
		return r.fail(unsupported("lists", "列表"))
	}
	page, err := r.lister()
	if err != nil {
		return r.fail(err)
	}
	// Every message has its own time: a long list is no long request.
	turn := func(after string) ([]string, error) {
		ctx, cancel := context.WithTimeout(r.whole, r.s.Limits.Request)
		defer cancel()
		return page(ctx, after, namesPerMessage+1)
	}
	names, err := turn("")
	for {
		if err != nil {
			return r.fail(err)
		}
		more, after := len(names) > namesPerMessage, ""
		if more {
			if r.ch.proto == record.UDP {
				return r.fail(problem.New(problem.Unsupported, "the list takes several messages; ask over TCP",
					"列表需多条消息；请使用 TCP"))
			}
			names = names[:namesPerMessage]
			after = names[namesPerMessage-1]
		}
		if r.Op == OpListHomed { // deployed servers name prefixes by their records
			names = slices.Clone(names)
			for i, p := range names {
				names[i] = id.PrefixRecord(p).String()
			}
		}
		if err := r.replyPart(Success, AppendNames(nil, names), more); err != nil || !more {
			return err
		}
		names, err = turn(after)
	}
}

// lister is the way to one page of what the request lists.
func (r *request) lister() (func(ctx context.Context, after string, limit int) ([]string, error), error) {
	l, by := r.s.Lister, r.by
	if r.Op == OpListHomed {
		return func(ctx context.Context, after string, limit int) ([]string, error) {
			return l.Prefixes(ctx, by, after, limit)
		}, nil
	}
	name, _, err := DecodeNamed(r.Body)
	if err != nil {
		r.s.Stats.Malformed.Add(1)
		return nil, err
	}
	v, err := id.ParseHandle(name)
	if err != nil {
		return nil, err
	}
	prefix, ok := v.Delegated()
	if !ok {
		return nil, problem.New(problem.BadID, "%q is no prefix; list by prefix, as in 0.NA/88.118.1001",
			"%q 不是前缀；请按前缀列表，例如 0.NA/88.118.1001", name)
	}
	if r.Op == OpList {
		return func(ctx context.Context, after string, limit int) ([]string, error) {
			return l.List(ctx, by, prefix, after, limit)
		}, nil
	}
	// Prefixes below have their records side by side, under the name authority.
	below := id.PrefixRecord(prefix).String() + "."
	return func(ctx context.Context, after string, limit int) ([]string, error) {
		if after == "" {
			after = below
		}
		names, err := l.List(ctx, by, id.PrefixRecord(prefix).Prefix(), after, limit)
		for i, n := range names {
			if !strings.HasPrefix(n, below) {
				return names[:i], err
			}
		}
		return names, err
	}, nil
}

// verify answers another server's OpVerifyChallenge: whether a proof was made with a secret key that is kept here.
func (r *request) verify(ctx context.Context) error {
	b, err := DecodeVerification(r.Body)
	if err != nil {
		r.s.Stats.Malformed.Add(1)
		return r.fail(err)
	}
	if r.s.Secrets == nil || r.s.Auth == nil {
		return r.fail(unsupported("verification", "核验"))
	}
	_, held, err := r.s.Secrets.Secrets(ctx, b.User)
	if err != nil {
		return r.fail(err)
	}
	if !held {
		return r.fail(problem.New(problem.NotHere, "the record %s is not kept here", "本服务器没有记录 %s", b.User.Name))
	}
	// It is kept here, so that the check asks nobody else.
	_, err = r.authenticate(ctx, record.Proof{Type: record.TypeSecKey, User: b.User, Signed: b.Signed}, b.Nonce, b.Digest)
	switch problem.KindOf(err) {
	case problem.AuthFailed, problem.BadCredential, problem.NotFound, problem.NoValues:
		return r.reply(Success, []byte{0})
	}
	if err != nil {
		return r.fail(err)
	}
	return r.reply(Success, []byte{1})
}

// sessionSetup answers OpSessionSetup.
func (r *request) sessionSetup(ctx context.Context) error {
	b, err := DecodeSetup(r.Body)
	if err != nil {
		r.s.Stats.Malformed.Add(1)
		return r.fail(err)
	}
	session, offer, err := r.s.sessions.open(ctx, r.ch.peer, &b, r.s.SessionKey)
	if err != nil {
		return r.fail(err)
	}
	r.Session = session.id
	return r.reply(Success, AppendSetupAnswer(nil, offer))
}

// sessionTerminate answers OpSessionTerminate. Only who has the session's key may end it.
func (r *request) sessionTerminate() error {
	if r.session == nil {
		return r.fail(problem.New(problem.SessionTimeout, "Can not get session info.", "没有会话可结束"))
	}
	if r.session.keyNow().valid() && !r.macked() {
		return r.fail(problem.New(problem.SessionReplay, "a session is ended by a message with its MAC",
			"结束会话的消息须带有会话的 MAC"))
	}
	r.s.sessions.close(r.session.id)
	return r.reply(Success, nil)
}

// macked reports whether the request came with the MAC of its session; identify has checked it.
func (r *request) macked() bool {
	c, err := DecodeCredential(r.Credential)
	return err == nil && c.Type == CredentialMAC
}

// sessionExchange answers OpSessionExchangeKey.
func (r *request) sessionExchange() error {
	if r.session == nil {
		return r.fail(problem.New(problem.SessionTimeout, "Can not get session info.", "没有会话可交换密钥"))
	}
	sealed, err := DecodeExchange(r.Body)
	if err != nil {
		r.s.Stats.Malformed.Add(1)
		return r.fail(err)
	}
	if err := r.session.exchangeKey(sealed); err != nil {
		return r.fail(err)
	}
	return r.reply(Success, nil)
}

// loginSystem answers the Chinese dialect's OpLoginSystem: who answers its challenge is whom the connection belongs to
// from then on. Clients take anything but a challenge for a failure, so that even who is known gets one.
func (r *request) loginSystem() error {
	if _, err := DecodeLogin(r.Body); err != nil {
		r.s.Stats.Malformed.Add(1)
		return r.fail(err)
	}
	if r.ch.proto != record.TCP {
		return r.fail(problem.New(problem.Unsupported, "a login binds a connection; log in over TCP",
			"登录绑定到连接；请使用 TCP 登录"))
	}
	if !r.proved {
		return r.challenge()
	}
	r.ch.bind(r.by)
	return r.reply(Success, nil)
}
