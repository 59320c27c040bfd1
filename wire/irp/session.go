package irp

import (
	"container/list"
	"context"
	"crypto/rand"
	"io"
	"math/big"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Limits of the table of sessions.
const (
	maxSessionLife  = 24 * time.Hour
	maxSessions     = 8192
	maxPeerSessions = 512 // of one address (IPv6: of one /64)
	replayWindow    = 200 // counters a message may be behind the newest
)

// session is one session on the server's side.
type session struct {
	id     uint32
	peer   netip.Addr
	claims record.Ref // who the setup said it was for; proves nothing

	table   *sessions
	place   *list.Element // in the table's list of anonymous or of authenticated sessions
	expires time.Time     // guarded by the table
	timeout time.Duration

	mu     sync.Mutex
	key    sessionKey // zero between setup and exchange in mode 2
	by     record.Identity
	window counterWindow
}

// sessions is a server's table of sessions: bounded in all and by address. A session ends when no message came in it
// for the time it was set up for, at most a day. A full table drops the one that was silent longest among those that
// nobody has authenticated in, and refuses when there is none. Methods may be called at once from many goroutines.
type sessions struct {
	now  func() time.Time
	rand io.Reader

	mu    sync.Mutex
	byID  map[uint32]*session
	peers map[netip.Addr]int
	order [2]*list.List // of *session: anonymous, authenticated; longest silent first

	exchange exchangeKey
	work     chan struct{} // held while a key is calculated, so that many setups leave time for everybody else
}

// newSessions makes an empty table. now and random may be nil, for the clock and the system's randomness.
func newSessions(now func() time.Time, random io.Reader) *sessions {
	if now == nil {
		now = time.Now
	}
	if random == nil {
		random = rand.Reader
	}
	return &sessions{now: now, rand: random, byID: map[uint32]*session{}, peers: map[netip.Addr]int{},
		order: [2]*list.List{list.New(), list.New()}, work: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// open makes a session as setup asks, for peer, and returns what to answer. find looks up the public key of mode 3 and
// may be nil; its error comes back as it is. Others are of kind BadSessionSetup, BadSessionKey, Busy.
func (t *sessions) open(ctx context.Context, peer netip.AddrPort, setup *Setup, find func(context.Context, record.Ref) ([]byte, error)) (*session, *SetupAnswer, error) {
	s := &session{table: t, peer: network(peer.Addr()), timeout: maxSessionLife}
	if d := time.Duration(setup.Timeout) * time.Second; d > 0 && d < maxSessionLife {
		s.timeout = d
	}
	if setup.User.Name != "" {
		s.claims = setup.User
	}
	if err := t.makeRoom(s.peer); err != nil {
		return nil, nil, err
	}
	key := setup.Key
	if setup.Mode == ModeHandleCipher {
		if find == nil {
			return nil, nil, problem.New(problem.BadSessionSetup,
				"this server does not look session keys up; use Diffie–Hellman (mode 4)",
				"本服务器不查找会话公钥；请使用 Diffie–Hellman（方式 4）")
		}
		var err error
		if key, err = find(ctx, setup.KeyRef); err != nil {
			return nil, nil, err
		}
	}
	select {
	case t.work <- struct{}{}:
		defer func() { <-t.work }()
	case <-ctx.Done():
		return nil, nil, problem.Wrap(ctx.Err(), problem.Busy, "too many sessions are being set up; try again later",
			"正在建立的会话过多；请稍后再试")
	}
	offer := &SetupAnswer{Mode: setup.Mode}
	var err error
	switch setup.Mode {
	case ModeDH:
		s.key, offer.Data, err = answerDH(t.rand, key)
	case ModeClientCipher, ModeHandleCipher:
		s.key, offer.Data, err = sealNewKey(t.rand, key)
	case ModeServerCipher:
		offer.Data, err = t.exchange.public(t.rand)
	default:
		err = problem.New(problem.BadSessionSetup, "session mode %d is none of 1 to 4; use Diffie–Hellman (mode 4)",
			"会话方式 %d 不在 1 至 4 之内；请使用 Diffie–Hellman（方式 4）", uint16(setup.Mode))
	}
	if err != nil {
		return nil, nil, err
	}
	if err := t.add(s); err != nil {
		return nil, nil, err
	}
	return s, offer, nil
}

// makeRoom drops sessions until one more from peer fits, before anything costly is done for it.
func (t *sessions) makeRoom(peer netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked(t.now())
	if t.peers[peer] >= maxPeerSessions && !t.dropIdle(func(s *session) bool { return s.peer == peer }) ||
		len(t.byID) >= maxSessions && !t.dropIdle(func(*session) bool { return true }) {
		return problem.New(problem.Busy, "too many sessions are open; close some, or try again later",
			"打开的会话过多；请关闭一些，或稍后再试")
	}
	return nil
}

// dropIdle drops the longest silent session that nobody authenticated in and that which chooses.
func (t *sessions) dropIdle(which func(*session) bool) bool {
	for e := t.order[0].Front(); e != nil; e = e.Next() {
		if s := e.Value.(*session); which(s) {
			t.drop(s)
			return true
		}
	}
	return false
}

func (t *sessions) add(s *session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, err := randomID(t.rand)
	if err != nil {
		return err
	}
	// Even, so that it is never a challenge's.
	for id &^= 1; id == 0 || t.byID[id] != nil; {
		id = (id + 2) &^ (1 << 31)
	}
	s.id = id
	s.expires = t.now().Add(s.timeout)
	s.place = t.order[0].PushBack(s)
	t.byID[id] = s
	t.peers[s.peer]++
	return nil
}

// get is the session with this id, which from now on counts as just used. The error is of kind SessionTimeout.
func (t *sessions) get(id uint32) (*session, error) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byID[id]
	if s != nil && !now.Before(s.expires) {
		t.drop(s)
		s = nil
	}
	if s == nil {
		return nil, problem.New(problem.SessionTimeout,
			"Invalid session id or session time out. Please try again.", "会话不存在或已超时；请重新建立会话")
	}
	s.expires = now.Add(s.timeout)
	for _, l := range t.order {
		l.MoveToBack(s.place) // a list leaves what is another's alone
	}
	return s, nil
}

// close ends a session and reports whether there was one.
func (t *sessions) close(id uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byID[id]
	if s != nil {
		t.drop(s)
	}
	return s != nil
}

// len is how many sessions are open.
func (t *sessions) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// expireLocked looks at a few of the longest silent. Timeouts differ, so it may leave some that are over; get does not
// return those, and the table's bounds hold regardless.
func (t *sessions) expireLocked(now time.Time) {
	for _, l := range t.order {
		for e, n := l.Front(), 0; e != nil && n < 16; n++ {
			s := e.Value.(*session)
			e = e.Next()
			if !now.Before(s.expires) {
				t.drop(s)
			}
		}
	}
}

func (t *sessions) drop(s *session) {
	for _, l := range t.order {
		l.Remove(s.place)
	}
	delete(t.byID, s.id)
	if t.peers[s.peer]--; t.peers[s.peer] <= 0 {
		delete(t.peers, s.peer)
	}
}

// exchangeKey takes the key that the client made (SESSION_EXCHANGEKEY, mode 2), encrypted to the key that open
// offered. What does not decrypt is not told apart from what does (or the answer would be an oracle): the session then
// has a key that nobody knows. The error is of kind SessionFailed: the session has its key.
func (s *session) exchangeKey(sealed []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key.valid() {
		return problem.New(problem.SessionFailed, "the session has a key already; set up a new one",
			"会话已有密钥；请建立新会话")
	}
	key, err := s.table.exchange.open(s.table.rand, sealed)
	if err != nil {
		return err
	}
	s.key = key
	return nil
}

// identity is who was authenticated in the session; anonymous at first.
func (s *session) identity() record.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by
}

// authenticate says who answered a challenge that was put in the session. If the session was set up for them, every
// message with a good MAC is theirs from then on. The answer itself has no MAC, so that anybody who sees the challenge
// may give one in their own name: a session set up for another, or for nobody, does not become theirs by it.
func (s *session) authenticate(by record.Identity) {
	if by.IsAnonymous() || s.claims.IsZero() || !s.claims.Covers(by.Ref) && !by.Covers(s.claims) {
		return
	}
	s.mu.Lock()
	s.by = by
	s.mu.Unlock()
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[s.id] == s {
		t.order[0].Remove(s.place)
		t.order[1].Remove(s.place)
		s.place = t.order[1].PushBack(s)
	}
}

// open decrypts what stands behind the envelope of an encrypted message. The error is of kind SessionFailed and says
// nothing of how the decryption failed.
func (s *session) open(sealed []byte) ([]byte, error) {
	return s.keyNow().open(sealed)
}

// seal encrypts header, body and credential of a message.
func (s *session) seal(plain []byte) ([]byte, error) {
	return s.keyNow().seal(s.table.rand, plain)
}

// check verifies a message's MAC over signed, and that its counter was not seen before. A message that fails leaves
// no trace. The error is of kind SessionReplay.
func (s *session) check(hashName string, mac, signed []byte, counter uint32) error {
	key := s.keyNow()
	if !key.verify(hashName, signed, mac) {
		return problem.New(problem.SessionReplay,
			"the message's MAC does not hold; set up a new session", "消息的 MAC 不正确；请重新建立会话")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.window.accept(counter) {
		return problem.New(problem.SessionReplay,
			"the message was seen before in its session (counter %d); count up with every message",
			"会话中已收到过该消息（计数 %d）；每条消息的计数须递增", counter)
	}
	return nil
}

// mac is the credential of an answer: the hash's name and the MAC over signed, as version has it.
func (s *session) mac(version Version, signed []byte) (hashName string, mac []byte) {
	return s.keyNow().mac(version, signed)
}

func (s *session) keyNow() sessionKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// counterWindow remembers which counters of the last replayWindow were seen. Zero is never accepted.
type counterWindow struct {
	top  uint32
	seen [4]uint64 // a ring of 256 bits, of which replayWindow are looked at
}

// accept reports whether n is new, and remembers it.
func (w *counterWindow) accept(n uint32) bool {
	switch {
	case n == 0:
		return false
	case n > w.top:
		if n-w.top >= 256 {
			w.seen = [4]uint64{}
		} else {
			for i := w.top + 1; i < n; i++ {
				w.seen[i>>6&3] &^= 1 << (i & 63)
			}
		}
		w.top = n
	case w.top-n >= replayWindow || w.seen[n>>6&3]&(1<<(n&63)) != 0:
		return false
	}
	w.seen[n>>6&3] |= 1 << (n & 63)
	return true
}

// dhGroup is a published Diffie–Hellman group.
type dhGroup struct{ p, g *big.Int }

var two = big.NewInt(2)

// oakley2 is the 1024-bit group that deployed clients use (RFC 2409 §6.2); modp14, of 2048 bits, is ours (RFC 3526 §3).
var (
	oakley2 = dhGroup{hexInt("ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd" +
		"ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5" +
		"ae9f24117c4b1fe649286651ece65381ffffffffffffffff"), two}
	modp14 = dhGroup{hexInt("ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd" +
		"ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5" +
		"ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb" +
		"9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9" +
		"de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff"), two}
)

func hexInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("irp: bad constant")
	}
	return n
}
