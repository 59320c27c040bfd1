package irp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"pgregory.net/rapid"

	"encoding/pem"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// vectorLines reads the shared vectors file by line; the test is skipped where it is absent.
func vectorLines(t testing.TB) []string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "irp-vectors", "vectors.txt")
	f, err := os.Open(path)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("shared vectors: %v", err)
		}
		t.Skipf("shared vectors: %v", err)
	}
	defer f.Close()
	var lines []string
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		lines = append(lines, sc.Text())
	}
	return lines
}

// vectorField is what stands behind prefix on its line, up to the next space, as bytes.
func vectorField(t testing.TB, lines []string, prefix string) []byte {
	t.Helper()
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			return unhex(t, word)
		}
	}
	t.Fatalf("no line %q", prefix)
	return nil
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDHKnownAnswer(t *testing.T) {
	lines := vectorLines(t)
	xc := hexInt(strings.Repeat("1", 64))
	xs := hexInt(strings.Repeat("2", 64))
	clientKey := vectorField(t, lines, "client DH_PUB_KEY bytes ")
	if got := dhPublic(xc, oakley2); !bytes.Equal(got, clientKey) {
		t.Fatalf("client public key\n%x, want\n%x", got, clientKey)
	}
	y, g, err := parseDH(clientKey)
	if err != nil {
		t.Fatal(err)
	}
	k, err := agreeDH(xs, y, g, cipherAES)
	if err != nil {
		t.Fatal(err)
	}
	want := vectorField(t, lines, "alg||session key ")
	if !bytes.Equal(want[4:], k.key) || want[3] != byte(k.cipher) {
		t.Fatalf("session key %x, want %x", k.key, want)
	}
	// And the client's way to the same key.
	offer := append([]byte{0, 0, 0, 3}, dhPublic(xs, oakley2)...)
	ck, err := finishDH(xc, oakley2, offer)
	if err != nil || !bytes.Equal(ck.key, k.key) {
		t.Fatalf("client's key %x, %v", ck.key, err)
	}
	plain := vectorField(t, lines, "plain header+body+cred ")
	sealed := vectorField(t, lines, "iv||ciphertext ")
	if got, err := k.open(sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("open: %x, %v", got, err)
	}
	if got, err := k.seal(bytes.NewReader(sealed[:16]), plain); err != nil || !bytes.Equal(got, sealed) {
		t.Fatalf("seal: %x, %v", got, err)
	}
}

func TestMACKnownAnswer(t *testing.T) {
	lines := vectorLines(t)
	at := 0
	for i, l := range lines {
		if strings.HasPrefix(l, "## HS_MAC credential") {
			at = i
		}
	}
	m := decodeWhole(t, unhex(t, strings.Fields(lines[at+1])[1]+strings.Fields(lines[at+2])[1]+strings.Fields(lines[at+3])[1]))
	c, err := DecodeCredential(m.Credential)
	if err != nil {
		t.Fatal(err)
	}
	key := sessionKey{cipherAES, make([]byte, 32)}
	for i := range key.key {
		key.key[i] = byte(i + 1)
	}
	covered, ok := m.AppendCovered(nil, c.Counter)
	if !ok || c.Type != CredentialMAC || !key.verify(c.Algorithm, covered, c.Signature) {
		t.Fatalf("the vector's MAC does not hold: %+v", c)
	}
	name, mac := key.mac(m.Version, covered)
	if name != c.Algorithm || !bytes.Equal(mac, c.Signature) {
		t.Fatalf("%s %x", name, mac)
	}
	covered[len(covered)-1] ^= 1
	if key.verify(c.Algorithm, covered, c.Signature) {
		t.Fatal("a changed message passes")
	}
	if key.verify("none", nil, nil) || (sessionKey{}).verify(macSHA256, nil, nil) {
		t.Fatal("no MAC at all passes")
	}
}

func decodeWhole(t testing.TB, b []byte) *Message {
	t.Helper()
	e, err := DecodeEnvelope(b)
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeMessage(e, b[envelopeSize:])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The session that was captured between a real client and a real server is taken apart, put together again to the
// same bytes, and holds together: digests are those of its requests, the counter and session id go on.
func TestCapturedSessionReplays(t *testing.T) {
	msgs := map[string]*Message{}
	for _, l := range vectorLines(t) {
		f := strings.Fields(l)
		if len(f) == 3 && len(f[0]) == 3 && f[0][0] == 'c' {
			b := unhex(t, f[2])
			m := decodeWhole(t, b)
			msgs[f[0]] = m
			if again := AppendMessage(nil, &Message{Envelope: m.Envelope, Header: m.Header, Body: m.Body, Credential: m.Credential}); !bytes.Equal(again, b) {
				t.Errorf("%s written again:\n%x, was\n%x", f[0], again, b)
			}
		}
	}
	if len(msgs) != 8 {
		t.Fatalf("%d messages", len(msgs))
	}

	setup, err := DecodeSetup(msgs["c1>"].Body)
	if err != nil || setup.Mode != ModeDH || setup.User != (record.Ref{Index: 300, Name: "88.111.1/ADMIN"}) || setup.Timeout != 86400 {
		t.Fatalf("%+v, %v", setup, err)
	}
	if again := AppendSetup(nil, &setup); !bytes.Equal(again, msgs["c1>"].Body) {
		t.Fatalf("setup %x", again)
	}
	alg, digest, rest, err := CutDigest(msgs["c1<"].Version, msgs["c1<"].Body)
	if err != nil || !bytes.Equal(digest, alg.Digest(msgs["c1>"].Content())) {
		t.Fatalf("setup digest %v", err)
	}
	answer, err := DecodeSetupAnswer(rest)
	if err != nil || answer.Mode != ModeDH {
		t.Fatal(err)
	}
	// Whoever had been the client would have come to a key.
	x, _, err := newDH(rand.Reader, oakley2)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := finishDH(x, oakley2, answer.Data); err != nil || k.cipher != cipherAES || len(k.key) != 32 {
		t.Fatalf("%+v, %v", k, err)
	}
	// And our server takes what that client sent.
	table := newSessions(nil, nil)
	if s, offer, err := table.open(t.Context(), peerA, &setup, nil); err != nil || !s.key.valid() || len(offer.Data) < 200 || s.claims != setup.User {
		t.Fatal(err)
	}

	ch, err := DecodeChallenge(msgs["c2<"].Version, msgs["c2<"].Body)
	if err != nil || !bytes.Equal(ch.Digest, ch.Alg.Digest(msgs["c2>"].Content())) || len(ch.Nonce) != nonceSize {
		t.Fatalf("challenge %+v %v", ch, err)
	}
	var w counterWindow
	for _, name := range []string{"c2>", "c4>"} {
		c, err := DecodeCredential(msgs[name].Credential)
		if err != nil || c.Type != CredentialMAC || c.Algorithm != macSHA256 || !w.accept(c.Counter) || msgs[name].Session != msgs["c1<"].Session {
			t.Fatalf("%s %+v %v", name, c, err)
		}
	}
	if c, err := DecodeCredential(msgs["c1<"].Credential); err != nil || c.Type != CredentialSigned || len(c.Signature) != 256 {
		t.Fatalf("%+v %v", c, err)
	}
	if p, err := DecodeProof(msgs["c3>"].Body); err != nil || p.Type != "HS_PUBKEY" || msgs["c3<"].Op != OpCreate {
		t.Fatalf("%+v %v", p, err)
	}
}

func TestDHGroups(t *testing.T) {
	for name, g := range map[string]dhGroup{"oakley 2": oakley2, "modp 14": modp14} {
		t.Run(name, func(t *testing.T) {
			x, pub, err := newDH(rand.Reader, g)
			if err != nil {
				t.Fatal(err)
			}
			server, offer, err := answerDH(rand.Reader, pub)
			if err != nil {
				t.Fatal(err)
			}
			client, err := finishDH(x, g, offer)
			if err != nil || !bytes.Equal(client.key, server.key) {
				t.Fatalf("%x and %x: %v", client.key, server.key, err)
			}
		})
	}
	dh := func(y, p, g *big.Int) []byte {
		return record.AppendKey(nil, record.KeyData{Type: record.KeyDH, Fields: [][]byte{y.Bytes(), p.Bytes(), g.Bytes()}})
	}
	one := big.NewInt(1)
	top := new(big.Int).Sub(oakley2.p, one)
	for name, key := range map[string][]byte{
		"nothing":    nil,
		"small":      dh(big.NewInt(4), big.NewInt(23), two),
		"huge":       dh(big.NewInt(4), new(big.Int).Lsh(one, 5000), two),
		"composite":  dh(big.NewInt(4), new(big.Int).Add(new(big.Int).Lsh(one, 1100), one), two),
		"y is 1":     dh(one, oakley2.p, two),
		"y is p-1":   dh(top, oakley2.p, two),
		"y is p":     dh(oakley2.p, oakley2.p, two),
		"g is 1":     dh(big.NewInt(4), oakley2.p, one),
		"an RSA key": rsaPublic(&rsa.PublicKey{N: oakley2.p, E: 3}),
	} {
		if _, _, err := answerDH(rand.Reader, key); !problem.Is(err, problem.BadSessionKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x, _, _ := newDH(rand.Reader, modp14)
	if _, err := finishDH(x, modp14, append([]byte{0, 0, 0, 3}, dhPublic(x, oakley2)...)); err == nil {
		t.Error("an answer in another group is taken")
	}
}

func TestSealAndOpen(t *testing.T) {
	for _, c := range []cipherID{cipherDES, cipher3DES, cipherAES, cipherSM4} {
		key := make([]byte, 32)
		rand.Read(key)
		k := sessionKey{c, key[:max(c.size(), 24)]}
		rapid.Check(t, func(t *rapid.T) {
			plain := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "plain")
			sealed, err := k.seal(rand.Reader, plain)
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.open(sealed)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%d: %x became %x, %v", c, plain, got, err)
			}
			if cut := rapid.IntRange(0, len(sealed)-1).Draw(t, "cut"); cut%8 != 0 {
				if _, err := k.open(sealed[:cut]); !problem.Is(err, problem.SessionFailed) {
					t.Fatalf("cut to %d of %d: %v", cut, len(sealed), err)
				}
			}
		})
	}
	// SM4's IV is the key and is not sent; one that is sent all the same is passed over.
	k := sessionKey{cipherSM4, []byte("0123456789abcdef")}
	sealed, err := k.seal(rand.Reader, []byte("some message"))
	if err != nil || len(sealed) != 16 || bytes.Contains(sealed, k.key) {
		t.Fatalf("%x %v", sealed, err)
	}
	if got, err := k.open(append(bytes.Clone(k.key), sealed...)); err != nil || string(got) != "some message" {
		t.Fatalf("%q %v", got, err)
	}
	for _, bad := range []sessionKey{{}, {cipherAES, make([]byte, 15)}, {9, make([]byte, 32)}} {
		if _, err := bad.seal(rand.Reader, nil); err == nil {
			t.Errorf("%+v seals", bad)
		}
		if _, err := bad.open(make([]byte, 32)); err == nil {
			t.Errorf("%+v opens", bad)
		}
	}
}

func TestOldMAC(t *testing.T) {
	k := sessionKey{cipherDES, []byte("12345678")}
	for _, v := range []Version{{2, 3}, {2, 6}} {
		name, mac := k.mac(v, []byte("m"))
		if name != "SHA1" || hex.EncodeToString(mac) != "d7a600a8e10475a90aae254024bd2c2bc04d098c" || !k.verify("SHA-1", []byte("m"), mac) {
			t.Errorf("%v: %s %x", v, name, mac)
		}
	}
}

func TestSentKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sm2Key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := smx509.MarshalPKIXPublicKey(&sm2Key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, c := range map[string]struct {
		public []byte
		ours   any
		want   cipherID
	}{
		"RSA":     {rsaPublic(&rsaKey.PublicKey), rsaKey, cipherAES},
		"SM2":     {record.AppendKey(nil, record.KeyData{Type: record.KeySM2, Fields: [][]byte{text}}), sm2Key, cipherSM4},
		"SM2 PEM": {text, sm2Key, cipherSM4},
	} {
		for _, mode := range []Mode{ModeClientCipher, ModeHandleCipher} {
			table := newSessions(nil, nil)
			s, offer, err := table.open(t.Context(), peerA, &Setup{Mode: mode, Key: c.public, KeyRef: record.Ref{Index: 300, Name: "1/2"}},
				func(context.Context, record.Ref) ([]byte, error) { return c.public, nil })
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			k, err := openKey(rand.Reader, c.ours, offer.Data)
			if err != nil || k.cipher != c.want || !bytes.Equal(k.key, s.key.key) {
				t.Fatalf("%s: %+v %v", name, k, err)
			}
		}
	}
	for name, bad := range map[string][]byte{"nothing": nil, "text": []byte("-----BEGIN PUBLIC KEY-----\nxx"), "even": rsaPublic(&rsa.PublicKey{N: big.NewInt(1 << 40), E: 3})} {
		if _, _, err := sealNewKey(rand.Reader, bad); !problem.Is(err, problem.BadSessionKey) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Mode 2: the client makes the key.
	table := newSessions(nil, nil)
	s, offer, err := table.open(t.Context(), peerA, &Setup{Mode: ModeServerCipher}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.seal([]byte("x")); err == nil {
		t.Error("a session without a key encrypts")
	}
	to, err := sealTo(offer.Data)
	if err != nil {
		t.Fatal(err)
	}
	k := sessionKey{cipherAES, []byte("0123456789abcdef0123456789abcdef")}
	sealed, err := sealKey(rand.Reader, to, k)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.exchangeKey(sealed); err != nil || !bytes.Equal(s.key.key, k.key) {
		t.Fatalf("%v %+v", err, s.key)
	}
	if err := s.exchangeKey(sealed); !problem.Is(err, problem.SessionFailed) {
		t.Errorf("a second key: %v", err)
	}
	other, _, _ := table.open(t.Context(), peerA, &Setup{Mode: ModeServerCipher}, nil)
	if err := other.exchangeKey([]byte("rubbish")); err != nil || !other.key.valid() {
		t.Errorf("rubbish must not be told apart: %v", err)
	}
}

func TestCounterWindow(t *testing.T) {
	// The window must agree with a plain set.
	rapid.Check(t, func(t *rapid.T) {
		var w counterWindow
		seen := map[uint32]bool{}
		top := uint32(0)
		for range rapid.IntRange(1, 400).Draw(t, "messages") {
			lo := uint32(0)
			if top > 300 {
				lo = top - 300
			}
			n := rapid.Uint32Range(lo, top+rapid.SampledFrom([]uint32{2, 3, 300}).Draw(t, "step")).Draw(t, "n")
			want := n != 0 && !seen[n] && (n > top || top-n < replayWindow)
			if got := w.accept(n); got != want {
				t.Fatalf("counter %d behind %d: %v, want %v", n, top, got, want)
			}
			if want {
				seen[n] = true
				top = max(top, n)
			}
		}
	})
	var w counterWindow
	if !w.accept(1<<32-1) || w.accept(1<<32-1) || w.accept(5) || !w.accept(1<<32-2) {
		t.Error("the window's upper end")
	}
}

var (
	peerA = netip.MustParseAddrPort("192.0.2.1:1000")
	peerB = netip.MustParseAddrPort("192.0.2.2:1000")
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestSessionsEnd(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	table := newSessions(c.now, nil)
	open := func(peer netip.AddrPort, seconds uint32) *session {
		t.Helper()
		s, _, err := table.open(t.Context(), peer, &Setup{Mode: ModeServerCipher, Timeout: seconds, User: record.Ref{Index: 300, Name: "1/2"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.id&1 != 0 || s.id == 0 {
			t.Fatalf("session id %d", s.id)
		}
		return s
	}
	s := open(peerA, 60)
	c.t = c.t.Add(50 * time.Second)
	if got, err := table.get(s.id); err != nil || got != s {
		t.Fatal(err)
	}
	c.t = c.t.Add(59 * time.Second)
	if _, err := table.get(s.id); err != nil {
		t.Fatalf("used 59 s ago: %v", err)
	}
	c.t = c.t.Add(60 * time.Second)
	if _, err := table.get(s.id); !problem.Is(err, problem.SessionTimeout) {
		t.Fatalf("60 s of silence: %v", err)
	}
	long := open(peerA, 1<<31)
	c.t = c.t.Add(maxSessionLife)
	if _, err := table.get(long.id); err == nil {
		t.Fatal("a session outlives the limit")
	}
	s = open(peerA, 0)
	if !table.close(s.id) || table.close(s.id) || table.len() != 0 {
		t.Fatal("close")
	}

	// Too many from one address: the oldest nobody authenticated in goes; authenticated ones stay.
	kept := open(peerA, 0)
	kept.authenticate(record.Identity{Ref: record.Ref{Index: 300, Name: "1/2"}})
	first := open(peerA, 0)
	elsewhere := open(peerB, 0)
	for range maxPeerSessions - 2 {
		open(peerA, 0)
	}
	open(peerA, 0)
	if _, err := table.get(first.id); err == nil {
		t.Error("the oldest session stayed")
	}
	for _, s := range []*session{kept, elsewhere} {
		if _, err := table.get(s.id); err != nil {
			t.Error(err)
		}
	}
	for _, s := range table.byID {
		s.authenticate(record.Identity{Ref: record.Ref{Index: 300, Name: "1/2"}})
	}
	if _, _, err := table.open(t.Context(), peerA, &Setup{Mode: ModeServerCipher}, nil); !problem.Is(err, problem.Busy) {
		t.Errorf("a full table: %v", err)
	}
	if _, _, err := table.open(t.Context(), peerB, &Setup{Mode: 7}, nil); !problem.Is(err, problem.BadSessionSetup) {
		t.Errorf("mode 7: %v", err)
	}
	no := errors.New("no such key")
	if _, _, err := table.open(t.Context(), peerB, &Setup{Mode: ModeHandleCipher}, func(context.Context, record.Ref) ([]byte, error) { return nil, no }); !errors.Is(err, no) {
		t.Errorf("mode 3: %v", err)
	}
}

func TestSessionCheck(t *testing.T) {
	table := newSessions(nil, nil)
	_, pub, _ := newDH(rand.Reader, modp14)
	s, _, err := table.open(t.Context(), peerA, &Setup{Mode: ModeDH, Key: pub}, nil)
	if err != nil {
		t.Fatal(err)
	}
	name, mac := s.mac(Latest, []byte("covered"))
	if err := s.check(name, []byte("wrong"), []byte("covered"), 1); !problem.Is(err, problem.SessionReplay) {
		t.Fatalf("wrong MAC: %v", err)
	}
	if err := s.check(name, mac, []byte("covered"), 1); err != nil {
		t.Fatalf("a wrong MAC spent the counter: %v", err)
	}
	if err := s.check(name, mac, []byte("covered"), 1); !problem.Is(err, problem.SessionReplay) {
		t.Fatalf("replay: %v", err)
	}
	if !s.identity().IsAnonymous() {
		t.Fatal("authenticated by nobody")
	}
	sealed, err := s.seal([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.open(sealed); err != nil || string(got) != "hello" {
		t.Fatal(err)
	}
}

func TestSessionIsItsOwners(t *testing.T) {
	table := newSessions(nil, nil)
	owner := record.Ref{Index: 300, Name: "88.1/Admin"}
	for name, c := range map[string]struct {
		claims, by record.Ref
		theirs     bool
	}{
		"the same":        {owner, record.Ref{Index: 300, Name: "88.1/ADMIN"}, true},
		"any index":       {record.Ref{Name: owner.Name}, owner, true},
		"proof by name":   {owner, record.Ref{Name: owner.Name}, true},
		"another index":   {owner, record.Ref{Index: 301, Name: owner.Name}, false},
		"somebody else":   {owner, record.Ref{Index: 300, Name: "88.1/other"}, false},
		"nobody's":        {record.Ref{}, owner, false},
		"nobody anywhere": {record.Ref{}, record.Ref{}, false},
	} {
		s, _, err := table.open(t.Context(), peerA, &Setup{Mode: ModeServerCipher, User: c.claims}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.authenticate(record.Identity{Ref: c.by})
		if got := !s.identity().IsAnonymous(); got != c.theirs {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzSessionSetup(f *testing.F) {
	f.Add([]byte{0, 4, 0, 1, 81, 128, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0})
	f.Add(AppendSetup(nil, &Setup{Mode: ModeDH, Key: dhPublic(big.NewInt(77), oakley2)}))
	f.Add(AppendSetup(nil, &Setup{Mode: ModeHandleCipher, KeyRef: record.Ref{Index: 1, Name: "a/b"}}))
	table := newSessions(nil, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSetup(b)
		if err != nil {
			return
		}
		if s.Mode == ModeServerCipher {
			return // nothing from outside but the mode; making the RSA key would be all that is measured
		}
		if s, _, err := table.open(t.Context(), peerA, &s, nil); err == nil && !s.key.valid() {
			t.Fatal("a session without a key")
		}
	})
}

func FuzzSealedMessage(f *testing.F) {
	for _, c := range []cipherID{cipherDES, cipher3DES, cipherAES, cipherSM4} {
		k := sessionKey{c, make([]byte, 32)}
		b, _ := k.seal(bytes.NewReader(make([]byte, 16)), []byte("some message"))
		f.Add(uint8(c), b)
	}
	f.Fuzz(func(t *testing.T, c uint8, b []byte) {
		k := sessionKey{cipherID(c), make([]byte, 32)}
		plain, err := k.open(b)
		if err == nil && len(plain) >= len(b) {
			t.Fatalf("%d bytes out of %d", len(plain), len(b))
		}
	})
}
