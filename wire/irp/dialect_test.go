package irp

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/sm4"
	"github.com/emmansun/gmsm/smx509"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trust"
)

// sdk is a client of the Chinese identifier system as its documents describe the bytes. It shares no code with the
// encoder under test.
type sdk struct {
	t    *testing.T
	conn net.Conn
	next uint32
}

func dialSDK(t *testing.T, to record.Endpoint) *sdk {
	c, err := net.Dial("tcp", to.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &sdk{t: t, conn: c, next: 0x01020304}
}

func be(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case uint8:
			b = append(b, p)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func (s *sdk) header(op, flags uint32, body []byte) []byte {
	return be(op, uint32(0), flags, uint16(0xffff), uint8(0), uint8(0), uint32(0x7fffffff), uint32(len(body)), body)
}

// raw sends what stands behind the envelope and returns the answer's envelope and what stands behind it.
func (s *sdk) raw(flagByte uint8, session uint32, payload []byte) (env, answer []byte) {
	s.t.Helper()
	s.next++
	env = be(uint8(2), uint8(10), flagByte|2, uint8(10), session, s.next, uint32(0), uint32(len(payload)))
	if _, err := s.conn.Write(append(env, payload...)); err != nil {
		s.t.Fatal(err)
	}
	env = make([]byte, 20)
	if _, err := io.ReadFull(s.conn, env); err != nil {
		s.t.Fatal(err)
	}
	answer = make([]byte, binary.BigEndian.Uint32(env[16:]))
	if _, err := io.ReadFull(s.conn, answer); err != nil {
		s.t.Fatal(err)
	}
	if got := binary.BigEndian.Uint32(env[8:]); got != s.next {
		s.t.Fatalf("answer to request %x, sent %x", got, s.next)
	}
	return env, answer
}

// ask sends one request in clear; code, the body behind a request digest if there is one, and the session id.
func (s *sdk) ask(session, op, flags uint32, body []byte) (code uint32, out []byte, session2 uint32) {
	s.t.Helper()
	content := s.header(op, flags, body)
	env, answer := s.raw(0, session, append(content, 0, 0, 0, 0))
	if env[0] != 2 || env[1] != 10 {
		s.t.Errorf("the answer is of version %d.%d", env[0], env[1])
	}
	n := binary.BigEndian.Uint32(answer[20:])
	out = answer[24 : 24+n]
	if binary.BigEndian.Uint32(answer[8:])&0x00800000 != 0 {
		want := sha256.Sum256(content)
		if op != 200 && (out[0] != 3 || !bytes.Equal(out[1:33], want[:])) {
			s.t.Errorf("op %d: request digest %x, want %x", op, out[:33], want)
		}
	}
	return binary.BigEndian.Uint32(answer[4:]), out, binary.BigEndian.Uint32(env[4:])
}

// logIn plays get-site-info, login and answer; the code of the last.
func (s *sdk) logIn(user string, index uint32, key *sm2.PrivateKey) uint32 {
	s.t.Helper()
	if code, body, _ := s.ask(0, 2, 0x19000000, be("/")); code != 1 || len(body) < 10 || body[0] != 0 || body[1] != 1 {
		s.t.Fatalf("site information: %d %x", code, body)
	}
	code, body, session := s.ask(0, 2001, 0x19800000, be(user, index))
	if code != 402 || session == 0 || len(body) != 33+4+16 {
		s.t.Fatalf("login: %d %x", code, body)
	}
	digest, nonce := body[1:33], body[37:]
	m := sm3.Sum(append(bytes.Clone(nonce), digest...))
	sig, err := key.SignWithSM2(rand.Reader, []byte(user), m[:])
	if err != nil {
		s.t.Fatal(err)
	}
	code, _, _ = s.ask(session, 200, 0x19800000, be("HS_PUBKEY", user, index, string(be("SM3", string(sig)))))
	return code
}

// resolution is the dialect's body: no indexes, no types, and no authentication bytes.
func resolution(name string) []byte { return be(name, uint32(0), uint32(0), uint32(0)) }

func sm2PEM(t *testing.T, k *sm2.PrivateKey) string {
	der, err := smx509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestChineseDialect(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const user = "88.118.1001/User"
	// All three forms in which the key may stand in its record.
	people := recordtest.NewBook(record.Ref{Name: user}, bookPrefix)
	people.Put(user,
		value(300, "HS_PUBKEY", be("SM2_PUB_KEY", uint16(0), []byte(sm2PEM(t, key)))),
		value(301, "HS_PUBKEY", []byte(sm2PEM(t, key))),
		value(302, "HS_PUBKEY", be("SM2_PUB_KEY", uint16(0), sm2PEM(t, key))))
	n := serve(t, trust.SM2, func(n *node) {
		n.book.Admins = []record.Ref{{Name: user}}
		n.server.Auth = &trust.Checker{Resolver: people, Secrets: people}
		n.server.SessionKey = func(ctx context.Context, ref record.Ref) ([]byte, error) {
			return []byte(sm2PEM(t, key)), nil
		}
	})
	inside := value(2, "NOTE", []byte("inside"))
	inside.Perm = record.AdminRead
	n.book.Put(bookPrefix+"/X", value(1, "URL", []byte("http://a")), inside)

	for index := range uint32(3) {
		s := dialSDK(t, n.at[record.TCP])
		if code := s.logIn(user, 300+index, key); code != 1 {
			t.Fatalf("key %d: login answered %d", 300+index, code)
		}
		// From here on the connection is the user's, with nothing on the wire to say so.
		for range 3 {
			code, body, _ := s.ask(0, 1, 0x18000000, resolution("88.118.1001/x"))
			if code != 1 || !bytes.HasPrefix(body, be("88.118.1001/x", uint32(2))) || !bytes.Contains(body, []byte("inside")) {
				t.Fatalf("what only the user may read: %d %q", code, body)
			}
		}
		if code, _, _ := s.ask(0, 100, 0x19400000, be("88.118.1001/new", uint32(1), uint32(1), uint32(0), uint8(0), uint32(86400), uint8(0x0e), "URL", "http://b", uint32(0))); code != 1 {
			t.Errorf("create answered %d", code)
		}
		// A second login is challenged again, or the client takes it for a failure.
		if code := s.logIn(user, 300+index, key); code != 1 {
			t.Errorf("second login answered %d", code)
		}
	}

	s := dialSDK(t, n.at[record.TCP])
	if code, _, _ := s.ask(0, 1, 0x18000000, resolution("88.118.1001/x")); code != 402 {
		t.Errorf("without login: %d", code)
	}
	if code, body, _ := s.ask(0, 1, 0x19000004, resolution("88.118.1001/x")); code != 1 || bytes.Contains(body, []byte("inside")) {
		t.Errorf("public, with flag 4: %d %q", code, body)
	}
	// Authentication bytes that are there do not disturb.
	if code, _, _ := s.ask(0, 1, 0x19000000, be("88.118.1001/x", uint32(0), uint32(0), "some token")); code != 1 {
		t.Errorf("with authentication bytes: %d", code)
	}
	stranger, _ := sm2.GenerateKey(rand.Reader)
	if code := s.logIn(user, 300, stranger); code != 403 {
		t.Errorf("login with a wrong key: %d", code)
	}
	if code, _, _ := s.ask(0, 1, 0x18000000, resolution("88.118.1001/x")); code != 402 {
		t.Errorf("after a failed login: %d", code)
	}
}

// A session whose key comes encrypted to the SM2 key in a record: SM4 in CBC mode, with the key as IV.
func TestChineseSession(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := serve(t, trust.SM2, func(n *node) {
		n.server.SessionKey = func(ctx context.Context, ref record.Ref) ([]byte, error) {
			if ref != (record.Ref{Index: 300, Name: "88.118.1001/User"}) {
				t.Errorf("asked for %v", ref)
			}
			return []byte(sm2PEM(t, key)), nil
		}
	})
	n.book.Put(bookPrefix+"/X", value(1, "URL", []byte("http://a")))
	s := dialSDK(t, n.at[record.TCP])
	code, body, session := s.ask(0, 400, 0x59800000, be(uint16(3), uint32(86400), "88.118.1001/User", uint32(300), "88.118.1001/User", uint32(300), uint16(0)))
	if code != 1 || session == 0 {
		t.Fatalf("session: %d %x", code, body)
	}
	body = body[33:]
	size := binary.BigEndian.Uint32(body[2:])
	if body[0] != 0 || body[1] != 3 || int(size) != len(body)-8 {
		t.Fatalf("%x", body)
	}
	plain, err := key.Decrypt(rand.Reader, body[6:6+size], nil)
	if err != nil || len(plain) != 20 || binary.BigEndian.Uint32(plain) != 4 {
		t.Fatalf("session key: %x %v", plain, err)
	}
	k := plain[4:]
	block, err := sm4.NewCipher(k)
	if err != nil {
		t.Fatal(err)
	}
	content := s.header(1, 0x19000000, resolution("88.118.1001/x"))
	// Version 2.10, session, request and counter 1, then header and body.
	mac := hmac.New(sha256.New, k)
	mac.Write(be(uint8(2), uint8(10), uint8(2), uint8(10), session, s.next+1, uint32(1), content))
	sum := mac.Sum(nil)
	cred := be(uint8(0), uint8(0), uint16(0), "", uint32(1), "HS_MAC", uint32(8+11+32), "HMAC-SHA256", string(sum))
	msg := append(content, be(string(cred))...)
	pad := 16 - len(msg)%16
	msg = append(msg, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, k).CryptBlocks(msg, msg)
	env, answer := s.raw(0x40, session, msg)
	if env[2]&0x40 == 0 || len(answer)%16 != 0 {
		t.Fatalf("the answer is in clear: %x %x", env, answer)
	}
	cipher.NewCBCDecrypter(block, k).CryptBlocks(answer, answer)
	if code := binary.BigEndian.Uint32(answer[4:]); code != 1 || !bytes.Contains(answer, []byte("http://a")) {
		t.Fatalf("%d %q", code, answer)
	}
}

// Over a wire that loses the answers, nothing that was confirmed is missing, and nothing is done twice.
func TestLostAnswersToWrites(t *testing.T) {
	n := serve(t, trust.Ed25519)
	for name, o := range map[string]AdminOptions{"session": {}, "each": {NoSession: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lost := map[uint32]bool{}
			a := actUDPRelay(t, n.at[record.UDP], func(answer []byte) bool {
				// The first answer to each request that was done is lost.
				id := binary.BigEndian.Uint32(answer[8:])
				if len(answer) < 44 || binary.BigEndian.Uint32(answer[24:]) != 1 || lost[id] {
					return true
				}
				lost[id] = true
				return binary.BigEndian.Uint32(answer[20:]) != uint32(OpAdd)
			})
			a.at.Key = n.at[record.UDP].Key
			v := idOf(t, name)
			n.book.Put(v.String(), value(1, "URL", nil))
			adm := n.admin1(t, newClient(t), a.at, n.login(), o)
			for i := range uint32(2) {
				rs, err := adm.Write(t.Context(), record.Identity{}, []record.Write{{Op: record.Add, ID: v, Values: []record.Value{value(10+i, "URL", nil)}}})
				// To the answer of a challenge the server repeats what it said; to a message in an authenticated session
				// it can only say that it has seen it.
				if again := name == "each" || i == 0; again && (err != nil || rs[0].Err != nil) || !again && !problem.Is(err, problem.Unreachable) {
					t.Errorf("write %d: %v %v", i, rs, err)
				}
			}
			ans, err := n.book.Resolve(t.Context(), record.Query{ID: v})
			if err != nil || len(ans.Values) != 3 {
				t.Errorf("%+v %v", ans, err)
			}
		})
	}
}
