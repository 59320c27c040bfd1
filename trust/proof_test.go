package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors reads the shared test vectors; they are not part of this repository.
func vectors(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("../../shared/data/irp-vectors/vectors.txt")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return string(b)
}

// line is what stands behind the first line that begins so.
func line(t testing.TB, text, begin string) string {
	t.Helper()
	for l := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(l, begin); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("the vectors have no line %q", begin)
	return ""
}

var (
	testNonce  = []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	testSecret = []byte("secret-123")
	forms      = []SecretForm{FormMD5, FormSHA1, FormSHA256, FormHMACSHA1, FormHMACSHA256, FormPBKDF2}
)

// TestSecretVectors are MACs that real Handle software made.
func TestSecretVectors(t *testing.T) {
	text := vectors(t)
	digest := unhex(t, line(t, text, "SHA-256 "))
	for form, begin := range map[SecretForm]string{
		FormSHA1:       "SHA1(k,n,d,k) ",
		FormSHA256:     "SHA256(k,n,d,k) ",
		FormHMACSHA1:   "HMAC-SHA1 0x12 ",
		FormHMACSHA256: "HMAC-SHA256 0x13 ",
		FormPBKDF2:     "PBKDF2-HMAC-SHA1 0x22 (salt 01..10, 10000, 160) ",
	} {
		signed := append([]byte{byte(form)}, unhex(t, line(t, text, begin))...)
		if !VerifySecret(testSecret, signed, testNonce, digest) {
			t.Errorf("form 0x%02x: the vector does not hold", uint8(form))
		}
		if VerifySecret([]byte("secret-124"), signed, testNonce, digest) || VerifySecret(nil, signed, testNonce, digest) {
			t.Errorf("form 0x%02x: another secret does", uint8(form))
		}
	}
}

// TestPublicVectorIsWellFormed reads the answer to a challenge out of a capture of a real client.
func TestPublicVectorIsWellFormed(t *testing.T) {
	text := vectors(t)
	msg := unhex(t, strings.Fields(line(t, text, "c3> 358 "))[0])
	r := record.NewReader(msg[44:])
	if typ, user, index := r.String(64), r.String(64), r.U32(); typ != "HS_PUBKEY" || user != "88.111.1/ADMIN" || index != 300 {
		t.Fatalf("%s %s %d", typ, user, index)
	}
	name, sig, err := parsePublicSigned(r.Bytes(4096))
	if err != nil || name != "SHA-256" || len(sig) != 256 {
		t.Errorf("%s, %d bytes, %v", name, len(sig), err)
	}
}

func TestSecretProofs(t *testing.T) {
	user := ref("301:88.111.1/ADMIN")
	digest := bytes.Repeat([]byte{7}, 32)
	for _, form := range forms {
		p, err := ProveSecret(testSecret, user, testNonce, digest, form)
		if err != nil {
			t.Fatal(err)
		}
		if p.Type != "HS_SECKEY" || p.User != user || p.Signed[0] != byte(form) {
			t.Errorf("%+v", p)
		}
		if !VerifySecret(testSecret, p.Signed, testNonce, digest) {
			t.Errorf("form 0x%02x does not hold", uint8(form))
		}
		if VerifySecret(testSecret, p.Signed, testNonce[:15], digest) || VerifySecret(testSecret, p.Signed, testNonce, digest[1:]) {
			t.Errorf("form 0x%02x holds for another challenge", uint8(form))
		}
		for i := range p.Signed {
			bad := bytes.Clone(p.Signed)
			bad[i] ^= 0x40
			if i > 20 && form == FormPBKDF2 && i < 32 {
				continue // iterations: each try costs time
			}
			if VerifySecret(testSecret, bad, testNonce, digest) {
				t.Errorf("form 0x%02x: byte %d changed, and it holds", uint8(form), i)
			}
		}
		if VerifySecret(testSecret, p.Signed[:len(p.Signed)-1], testNonce, digest) || VerifySecret(testSecret, append(p.Signed, 0), testNonce, digest) {
			t.Errorf("form 0x%02x: a shorter or longer answer holds", uint8(form))
		}
	}
	if _, err := ProveSecret(testSecret, user, testNonce, digest, 0x77); !problem.Is(err, problem.Unsupported) {
		t.Error(err)
	}
}

// TestGreedyProofs are parameters with which somebody would keep a server busy.
func TestGreedyProofs(t *testing.T) {
	user := ref("301:88.111.1/ADMIN")
	mac := make([]byte, 20)
	for name, p := range map[string]record.Proof{
		"iterations":    SecretProof(user, FormPBKDF2, testNonce, MaxProofIterations+1, 160, mac),
		"2^32-1":        SecretProof(user, FormPBKDF2, testNonce, 1<<32-1, 160, mac),
		"no iterations": SecretProof(user, FormPBKDF2, testNonce, 0, 160, mac),
		"key bits":      SecretProof(user, FormPBKDF2, testNonce, 10, 1<<31, mac),
		"no key bits":   SecretProof(user, FormPBKDF2, testNonce, 10, 0, mac),
		"odd key bits":  SecretProof(user, FormPBKDF2, testNonce, 10, 161, mac),
		"salt":          SecretProof(user, FormPBKDF2, make([]byte, 1000), 10, 160, mac),
		"short mac":     SecretProof(user, FormPBKDF2, testNonce, 10, 160, mac[1:]),
		"empty mac":     SecretProof(user, FormHMACSHA1, nil, 0, 0, nil),
		"form":          SecretProof(user, 0x55, nil, 0, 0, mac),
		"nothing":       {Type: "HS_SECKEY", User: user},
		"huge":          {Type: "HS_SECKEY", User: user, Signed: make([]byte, 1<<20)},
		"type":          {Type: "HS_MAGIC", User: user, Signed: []byte{1}},
		"nobody":        {Type: "HS_SECKEY", Signed: []byte{1}},
		"public key":    {Type: "HS_PUBKEY", User: user, Signed: []byte{0, 0, 0, 1}},
	} {
		c := &Checker{}
		if _, err := c.Authenticate(context.Background(), p, testNonce, nil); !problem.Is(err, problem.BadCredential) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPublicProofs(t *testing.T) {
	user := ref("300:88.111.1/Admin")
	digest := bytes.Repeat([]byte{9}, 32)
	for _, alg := range Algorithms() {
		k := testKey(t, alg)
		p, err := Prove(k, user, testNonce, digest)
		if err != nil {
			t.Fatal(err)
		}
		if p.Type != "HS_PUBKEY" {
			t.Errorf("%s: type %s", alg, p.Type)
		}
		if err := VerifyPublic(k.Public(), user, p.Signed, testNonce, digest); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if err := VerifyPublic(k.Public(), user, p.Signed, testNonce, digest[1:]); !problem.Is(err, problem.AuthFailed) {
			t.Errorf("%s: %v", alg, err)
		}
		if err := VerifyPublic(testKey(t, other(alg)).Public(), user, p.Signed, testNonce, digest); !problem.Is(err, problem.AuthFailed) {
			t.Errorf("%s: %v", alg, err)
		}
		if err := VerifyPublic(k.Public(), user, append(p.Signed, 0), testNonce, digest); !problem.Is(err, problem.BadCredential) {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// TestSM2Dialect checks that proofs by SM2 keys are what Teleinfo's clients make: the user's handle is the signer's
// identity, and what is signed is a hash of nonce and digest, which signing hashes once more.
func TestSM2Dialect(t *testing.T) {
	k := testKey(t, SM2)
	user := ref("300:88.111.1/admin")
	digest := bytes.Repeat([]byte{9}, 32)
	m := sm3.Sum(append(bytes.Clone(testNonce), digest...))
	p, err := Prove(k, user, testNonce, digest)
	if err != nil {
		t.Fatal(err)
	}
	name, sig, err := parsePublicSigned(p.Signed)
	if err != nil || name != "SM3" {
		t.Fatal(name, err)
	}
	priv := k.key.(*sm2.PrivateKey)
	if !sm2.VerifyASN1WithSM2(&priv.PublicKey, []byte("88.111.1/admin"), m[:], sig) {
		t.Error("our proof is not what their server checks")
	}
	theirs, err := priv.Sign(rng{}, m[:], sm2.NewSM2SignerOption(true, []byte("88.111.1/admin")))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := rawFromDER(theirs)
	for _, sig := range [][]byte{theirs, raw} {
		if err := VerifyPublic(k.Public(), user, PublicProof(user, "SM3", sig).Signed, testNonce, digest); err != nil {
			t.Error(err)
		}
	}
	// Another spelling is another identity.
	if VerifyPublic(k.Public(), ref("300:88.111.1/ADMIN"), p.Signed, testNonce, digest) == nil {
		t.Error("the identity does not matter")
	}
}

type rng struct{}

func (rng) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return len(b), nil
}

// phone book: a Resolver and SecretFinder over a few records.
type book map[string][]record.Value

func (b book) Resolve(_ context.Context, q record.Query) (record.Answer, error) {
	vs, ok := b[q.ID.String()]
	if !ok {
		return record.Answer{}, problem.New(problem.NotFound, "no", "无")
	}
	var a record.Answer
	for _, v := range vs {
		if q.Wants(v.Index, v.Type) && v.Perm&record.PublicRead != 0 {
			a.Values = append(a.Values, v)
		}
	}
	return a, nil
}

func (b book) Secrets(_ context.Context, ref record.Ref) (keys [][]byte, held bool, err error) {
	vs, ok := b[strings.ToUpper(ref.Name)]
	for _, v := range vs {
		if v.Type == "HS_SECKEY" && (ref.Index == 0 || ref.Index == v.Index) {
			keys = append(keys, v.Data)
		}
	}
	return keys, ok, nil
}

func TestChecker(t *testing.T) {
	ctx := context.Background()
	ed, sm := testKey(t, Ed25519), testKey(t, SM2)
	b := book{"88.118/ADMIN": {
		{Index: 300, Type: "HS_PUBKEY", Data: ed.Public().Data(), Perm: record.DefaultPerm},
		{Index: 301, Type: "HS_SECKEY", Data: testSecret, Perm: record.AdminWrite},
		{Index: 302, Type: "HS_PUBKEY", Data: sm.Public().MarshalPEM(), Perm: record.DefaultPerm},
		{Index: 303, Type: "URL", Data: ed.Public().Data(), Perm: record.DefaultPerm},
		{Index: 304, Type: "HS_PUBKEY", Data: []byte("rubbish"), Perm: record.DefaultPerm},
		{Index: 305, Type: "HS_SECKEY", Data: nil, Perm: record.AdminWrite},
	}}
	remote := map[string]bool{}
	c := &Checker{Resolver: b, Secrets: b, Remote: func(_ context.Context, user record.Ref, nonce, digest, signed []byte) (bool, error) {
		remote[user.String()] = true
		if user.Name == "88.1/AWAY" {
			return false, errors.New("no route")
		}
		return VerifySecret(testSecret, signed, nonce, digest), nil
	}}
	digest := bytes.Repeat([]byte{1}, 32)
	pub := func(k *PrivateKey, user string) record.Proof {
		p, err := Prove(k, ref(user), testNonce, digest)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	sec := func(secret, user string) record.Proof {
		p, err := ProveSecret([]byte(secret), ref(user), testNonce, digest, FormHMACSHA256)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tc := range []struct {
		name  string
		proof record.Proof
		who   string
		kind  problem.Kind
	}{
		{"key", pub(ed, "300:88.118/ADMIN"), "300:88.118/ADMIN", 0},
		{"key, other spelling", pub(ed, "300:88.118/admin"), "300:88.118/admin", 0},
		{"PEM key", pub(sm, "302:88.118/admin"), "302:88.118/admin", 0},
		{"any index", pub(ed, "0:88.118/ADMIN"), "300:88.118/ADMIN", 0},
		{"any index, second key", pub(sm, "88.118/ADMIN"), "302:88.118/ADMIN", 0},
		{"wrong key", pub(ed, "302:88.118/ADMIN"), "", problem.AuthFailed},
		{"wrong type", pub(ed, "303:88.118/ADMIN"), "", problem.AuthError},
		{"rubbish key", pub(ed, "304:88.118/ADMIN"), "", problem.AuthFailed},
		{"no value", pub(ed, "299:88.118/ADMIN"), "", problem.AuthError},
		{"no record", pub(ed, "300:88.118/NOBODY"), "", problem.AuthError},
		{"no identifier", pub(ed, "300:/"), "", problem.BadCredential},
		{"secret", sec("secret-123", "301:88.118/ADMIN"), "301:88.118/ADMIN", 0},
		{"any secret", sec("secret-123", "88.118/ADMIN"), "0:88.118/ADMIN", 0},
		{"wrong secret", sec("secret-124", "301:88.118/ADMIN"), "", problem.AuthFailed},
		{"empty secret", record.Proof{Type: "HS_SECKEY", User: ref("305:88.118/ADMIN"), Signed: append([]byte{byte(FormHMACSHA256)}, secretMAC(FormHMACSHA256, nil, nil, 0, 0, testNonce, digest)...)}, "", problem.AuthFailed},
		{"public key as secret", sec(string(ed.Public().Data()), "300:88.118/ADMIN"), "", problem.AuthFailed},
		{"elsewhere", sec("secret-123", "301:88.1/OTHER"), "301:88.1/OTHER", 0},
		{"elsewhere, wrong", sec("nonsense", "301:88.1/OTHER"), "", problem.AuthFailed},
		{"away", sec("secret-123", "301:88.1/AWAY"), "", problem.AuthError},
	} {
		who, err := c.Authenticate(ctx, tc.proof, testNonce, digest)
		if tc.who == "" && !problem.Is(err, tc.kind) {
			t.Errorf("%s: %v, %v", tc.name, who, err)
		}
		if tc.who != "" && (err != nil || who.String() != tc.who || who.Operator) {
			t.Errorf("%s: %v, %v", tc.name, who, err)
		}
	}
	if remote["301:88.118/ADMIN"] || !remote["301:88.1/OTHER"] {
		t.Errorf("asked elsewhere for %v", remote)
	}

	for _, tc := range []struct {
		user, password string
		kind           problem.Kind
	}{
		{"301:88.118/ADMIN", "secret-123", 0},
		{"301:88.118/ADMIN", "secret-12", problem.AuthFailed},
		{"300:88.118/ADMIN", "secret-123", problem.AuthFailed},
		{"305:88.118/ADMIN", "", problem.BadCredential},
		{"301:88.1/OTHER", "secret-123", 0},
		{"301:88.1/OTHER", "wrong", problem.AuthFailed},
		{"301:88.1/AWAY", "secret-123", problem.AuthError},
	} {
		who, err := c.Password(ctx, ref(tc.user), []byte(tc.password))
		if tc.kind == 0 && (err != nil || who.String() != tc.user) || tc.kind != 0 && !problem.Is(err, tc.kind) {
			t.Errorf("password %q of %s: %v, %v", tc.password, tc.user, who, err)
		}
	}

	if ok, err := c.VerifyHere(ctx, ref("301:88.118/ADMIN"), testNonce, digest, sec("secret-123", "1:x/y").Signed); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := c.VerifyHere(ctx, ref("301:88.1/OTHER"), testNonce, digest, sec("secret-123", "1:x/y").Signed); ok || !problem.Is(err, problem.NotHere) {
		t.Error(ok, err)
	}

	cert, err := ClientCertificate(ed, ref("300:88.118/ADMIN"), now, day90.Sub(now))
	if err != nil {
		t.Fatal(err)
	}
	if who, err := c.Certificate(ctx, cert.Leaf); err != nil || who.String() != "300:88.118/ADMIN" {
		t.Error(who, err)
	}
	for user, kind := range map[string]problem.Kind{"302:88.118/ADMIN": problem.AuthFailed, "300:88.118/NOBODY": problem.AuthError, "localhost": problem.BadCredential} {
		cert, err := ClientCertificate(ed, ref(user), now, day90.Sub(now))
		if err != nil {
			t.Fatal(err)
		}
		if who, err := c.Certificate(ctx, cert.Leaf); !problem.Is(err, kind) {
			t.Errorf("certificate of %s: %v, %v", user, who, err)
		}
	}
	if _, err := c.Certificate(ctx, &x509.Certificate{}); !problem.Is(err, problem.BadCredential) {
		t.Error(err)
	}
}

func TestProofProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nonce := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "nonce")
		digest := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "digest")
		secret := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "secret")
		form := rapid.SampledFrom(forms[:5]).Draw(t, "form")
		user := record.Ref{Index: rapid.Uint32().Draw(t, "index"), Name: rapid.StringN(1, 20, 60).Draw(t, "name")}
		p, err := ProveSecret(secret, user, nonce, digest, form)
		if err != nil || !VerifySecret(secret, p.Signed, nonce, digest) {
			t.Fatal(err)
		}
		k := testKeys[rapid.SampledFrom([]Algorithm{Ed25519, P256, SM2}).Draw(t, "alg")]
		if k == nil {
			return
		}
		p, err = Prove(k, user, nonce, digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyPublic(k.Public(), user, p.Signed, nonce, digest); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzProof(f *testing.F) {
	for _, form := range forms {
		p, _ := ProveSecret(testSecret, ref("1:a/b"), testNonce, nil, form)
		f.Add(p.Signed)
	}
	for _, alg := range Algorithms() {
		p, _ := Prove(testKey(f, alg), ref("1:a/b"), testNonce, nil)
		f.Add(p.Signed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		if len(b) > 30 && b[0] == byte(FormPBKDF2) {
			// Work within the limit is allowed, but would make this slow.
			if n := binary.BigEndian.Uint32(b[1:]); n < 1000 && len(b) > int(n)+9 {
				binary.BigEndian.PutUint16(b[5+n:], 0)
			}
		}
		if VerifySecret([]byte("another secret"), b, testNonce, []byte("another challenge")) {
			t.Fatal("made up a proof")
		}
		for _, alg := range Algorithms() {
			if VerifyPublic(testKey(t, alg).Public(), ref("1:a/b"), b, testNonce, []byte("another challenge")) == nil {
				t.Fatal("made up a signature")
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range Algorithms() {
		k := testKey(b, alg)
		b.Run(string(alg), func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Sign(testNonce); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range Algorithms() {
		k := testKey(b, alg)
		sig, err := k.Sign(testNonce)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			for b.Loop() {
				if err := k.Public().Verify(testNonce, sig); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
