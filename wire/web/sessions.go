package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/fujie-id/fujie/record"
)

// sessions are the conversations in which somebody proved, or may prove, who they are.
//
// A session that nobody has proved anything in takes no memory here: its key carries its own end and a MAC by this
// server, and its nonce follows from the key. So nobody can fill the server by asking for challenges.
//
//	key   = base64url( u64 end | 16 bytes like no others | 16 bytes of HMAC over both )
//	nonce = 16 bytes of HMAC over "nonce" and the key
type sessions struct {
	secret [32]byte
	life   time.Duration
	max    int

	mu    sync.Mutex
	count uint64
	open  map[string]*session
}

// session is one that was proved, or one that was ended and must not come back.
type session struct {
	by      record.Identity
	used    time.Time
	deleted bool
}

// challengeLife is how long a fresh session waits for its proof.
const challengeLife = 5 * time.Minute

type sessionState int

const (
	sessionUnknown sessionState = iota
	sessionFresh
	sessionProved
	sessionDeleted
)

func (s *sessions) init(max int, life time.Duration, rnd io.Reader) {
	s.max, s.life, s.open = max, life, map[string]*session{}
	if _, err := io.ReadFull(rnd, s.secret[:]); err != nil {
		s.max = 0 // without randomness there are no sessions
	}
}

func (s *sessions) mac(label string, b []byte) []byte {
	h := hmac.New(sha256.New, s.secret[:])
	io.WriteString(h, label)
	h.Write(b)
	return h.Sum(nil)[:16]
}

// fresh makes a session; the key is empty when there is no randomness for one.
func (s *sessions) fresh(now time.Time) (key string, nonce []byte) {
	if s.max == 0 {
		return "", nil
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(now.Add(challengeLife).UnixMilli()))
	s.mu.Lock()
	b = append(b, s.next()...)
	s.mu.Unlock()
	b = append(b, s.mac("session", b)...)
	return base64.RawURLEncoding.EncodeToString(b), s.mac("nonce", b)
}

// next is 16 bytes that were never there before and that nobody can guess without the secret.
func (s *sessions) next() []byte {
	s.count++
	return s.mac("next", binary.BigEndian.AppendUint64(nil, s.count))
}

// get is the nonce of a session and who was proved in it.
func (s *sessions) get(key string, now time.Time) (nonce []byte, by record.Identity, state sessionState) {
	b, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil || len(b) != 8+16+16 || s.max == 0 || !hmac.Equal(s.mac("session", b[:24]), b[24:]) {
		return nil, by, sessionUnknown
	}
	nonce = s.mac("nonce", b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.open[key]; v != nil {
		switch {
		case now.Sub(v.used) > s.life:
			delete(s.open, key)
			return nil, by, sessionUnknown
		case v.deleted:
			return nil, by, sessionDeleted
		}
		v.used = now
		return nonce, v.by, sessionProved
	}
	if end := int64(binary.BigEndian.Uint64(b)); now.UnixMilli() > end {
		return nil, by, sessionUnknown
	}
	return nonce, by, sessionFresh
}

// prove notes who was proved in a session.
func (s *sessions) prove(key string, by record.Identity, now time.Time) {
	s.put(key, &session{by: by, used: now}, now)
}

// end makes a session useless.
func (s *sessions) end(key string, now time.Time) {
	s.put(key, &session{used: now, deleted: true}, now)
}

func (s *sessions) put(key string, v *session, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[key]; !ok && len(s.open) >= s.max {
		s.sweep(now)
	}
	s.open[key] = v
}

// sweep drops what is over, and if nothing is, whoever was away longest among a handful.
func (s *sessions) sweep(now time.Time) {
	var oldest string
	var at time.Time
	n := 0
	for k, v := range s.open {
		if now.Sub(v.used) > s.life {
			delete(s.open, k)
			continue
		}
		if n++; n <= 64 && (oldest == "" || v.used.Before(at)) {
			oldest, at = k, v.used
		}
	}
	if len(s.open) >= s.max {
		delete(s.open, oldest)
	}
}
