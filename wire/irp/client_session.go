package irp

import (
	"context"
	"crypto/rsa"
	"encoding/pem"
	"io"
	"sync"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// clientSession is one session on the client's side.
type clientSession struct {
	id      uint32
	key     sessionKey
	encrypt bool

	mu      sync.Mutex
	counter uint32
	macs    bool // the server puts MACs on its answers
	proved  bool // somebody was authenticated in it
	// proving is held by the one request that may be challenged: until the session is authenticated there is one at a
	// time, since a challenge in a session has no name but the session's.
	proving chan struct{}
}

// next is the counter of the next message.
func (s *clientSession) next() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counter++
	return s.counter
}

// mustMAC reports whether answers come with MACs; seen notes that one did.
func (s *clientSession) mustMAC(seen bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.macs = s.macs || seen
	return s.macs
}

func (s *clientSession) isProved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proved
}

func (s *clientSession) setProved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proved = true
}

// inSession puts q into a session: its id, its MAC, its cipher.
func (c *Client) inSession(q *question, s *clientSession) error {
	m := q.msg
	m.Session = s.id
	q.session = s
	counter := s.next()
	covered, ok := m.AppendCovered(nil, counter)
	if !ok {
		return problem.New(problem.SessionFailed, "the server speaks version %d.%d, which has no usable sessions", "服务器使用 %d.%d 版协议，没有可用的会话", m.Version.Major, m.Version.Minor)
	}
	cred := Credential{Counter: counter, Type: CredentialMAC}
	cred.Algorithm, cred.Signature = s.key.mac(m.Version, covered)
	m.Credential = AppendCredential(nil, &cred)
	return c.seal(q, s)
}

// seal makes the bytes of q, encrypted if its session is so.
func (c *Client) seal(q *question, s *clientSession) error {
	if s == nil || !s.encrypt {
		q.wire = AppendMessage(nil, q.msg)
		return nil
	}
	sealed, err := s.key.seal(c.rand(), AppendPayload(nil, q.msg))
	if err != nil {
		return err
	}
	q.wire = AppendSealed(nil, q.msg.Envelope, sealed)
	return nil
}

// newSession agrees on a key with the server. Where the server's key is known, its answer must be signed by it, or
// somebody in between could be the one who agrees.
func (c *Client) newSession(ctx context.Context, at record.Endpoint, as record.Ref, mode Mode, encrypt bool) (*clientSession, error) {
	finish, setup, err := c.offer(mode, modp14)
	if err != nil {
		return nil, err
	}
	s, err := c.setUp(ctx, at, as, setup, finish)
	if mode == ModeDH && err != nil && !problem.Is(err, problem.Bogus) && !problem.Is(err, problem.Unreachable) && !problem.Is(err, problem.Canceled) {
		// Some servers know only the group that deployed clients use.
		if finish, setup, err = c.offer(mode, oakley2); err != nil {
			return nil, err
		}
		s, err = c.setUp(ctx, at, as, setup, finish)
	}
	if err != nil {
		return nil, err
	}
	s.encrypt = encrypt
	return s, nil
}

// offer makes our half of a key exchange, and what makes a key of the server's half.
func (c *Client) offer(mode Mode, g dhGroup) (finish func(data []byte) (sessionKey, error), setup Setup, err error) {
	setup = Setup{Mode: mode, Timeout: uint32(maxSessionLife.Seconds())}
	switch mode {
	case ModeDH:
		x, public, err := newDH(c.rand(), g)
		if err != nil {
			return nil, setup, err
		}
		setup.Key = public
		return func(data []byte) (sessionKey, error) { return finishDH(x, g, data) }, setup, nil
	case ModeClientCipher:
		ours, public, err := c.cipherKey()
		if err != nil {
			return nil, setup, err
		}
		setup.Key = public
		return func(data []byte) (sessionKey, error) { return openKey(c.rand(), ours, data) }, setup, nil
	case ModeServerCipher:
		return nil, setup, nil
	}
	return nil, setup, problem.New(problem.BadSessionSetup, "session mode %d is not offered by this client; use Diffie–Hellman (mode 4)",
		"本客户端不提供会话方式 %d；请使用 Diffie–Hellman（方式 4）", uint16(mode))
}

// cipherKey makes a key pair for one session: RSA, or SM2 in the Chinese dialect.
func (c *Client) cipherKey() (ours any, public []byte, err error) {
	if !c.Chinese {
		k, err := rsa.GenerateKey(c.rand(), 2048)
		if err != nil {
			return nil, nil, noRandomness(err)
		}
		return k, rsaPublic(&k.PublicKey), nil
	}
	k, err := sm2.GenerateKey(c.rand())
	if err != nil {
		return nil, nil, noRandomness(err)
	}
	der, err := smx509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		return nil, nil, problem.Wrap(err, problem.Internal, "the new key cannot be written", "无法写出新密钥")
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return k, record.AppendKey(nil, record.KeyData{Type: record.KeySM2, Fields: [][]byte{text}}), nil
}

func (c *Client) setUp(ctx context.Context, at record.Endpoint, as record.Ref, setup Setup, finish func([]byte) (sessionKey, error)) (*clientSession, error) {
	setup.User = as
	if as.IsZero() {
		setup.User.Index = 1<<32 - 1
	}
	q, err := c.ask(at, OpSessionSetup, DefaultFlags|Certified|RequestDigest, 0, AppendSetup(nil, &setup))
	if err != nil {
		return nil, err
	}
	q.safe = true // a session that nobody uses ends by itself
	r, err := c.send(ctx, q)
	if err != nil {
		return nil, err
	}
	if r.Code != Success {
		return nil, c.failure(r)
	}
	if !r.Version.AtLeast(2, 7) {
		return nil, problem.New(problem.Unsupported, "%s speaks version %d.%d, whose messages in sessions nobody can check", "%s 使用 %d.%d 版协议，其会话消息无法核验", at, r.Version.Major, r.Version.Minor)
	}
	if len(at.Key) > 0 && !r.certified {
		return nil, problem.New(problem.Bogus, "%s does not sign its half of the session's key, though its site names a key", "%s 的站点信息列有公钥，却没有为会话密钥签名", at)
	}
	answer, err := DecodeSetupAnswer(r.body)
	if err != nil || answer.Mode != setup.Mode || r.Session == 0 {
		return nil, badSessionKey(err)
	}
	s := &clientSession{id: r.Session, proving: make(chan struct{}, 1)}
	if setup.Mode != ModeServerCipher {
		s.key, err = finish(answer.Data)
		return s, err
	}
	to, err := sealTo(answer.Data)
	if err != nil {
		return nil, err
	}
	s.key = sessionKey{cipherAES, make([]byte, cipherAES.size())}
	if _, err := io.ReadFull(c.rand(), s.key.key); err != nil {
		return nil, noRandomness(err)
	}
	sealed, err := sealKey(c.rand(), to, s.key)
	if err != nil {
		return nil, err
	}
	if q, err = c.ask(at, OpSessionExchangeKey, DefaultFlags, 0, AppendExchange(nil, sealed)); err != nil {
		return nil, err
	}
	q.msg.Session = s.id
	q.wire = AppendMessage(nil, q.msg)
	if r, err = c.send(ctx, q); err != nil {
		return nil, err
	}
	if r.Code != Success {
		return nil, c.failure(r)
	}
	return s, nil
}
