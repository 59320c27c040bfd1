package trust

import (
	"bytes"
	"testing"

	"github.com/fujie-id/fujie/problem"
)

// keys makes one key of every kind, once for all tests.
var testKeys = map[Algorithm]*PrivateKey{}

func testKey(t testing.TB, alg Algorithm) *PrivateKey {
	t.Helper()
	if k := testKeys[alg]; k != nil {
		return k
	}
	k, err := Generate(alg, nil)
	if err != nil {
		t.Fatal(err)
	}
	testKeys[alg] = k
	return k
}

func TestSignAndVerify(t *testing.T) {
	msg := []byte("88.118.1001/ENG-42")
	for _, alg := range Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			k := testKey(t, alg)
			pub := k.Public()
			sig, err := k.Sign(msg)
			if err != nil {
				t.Fatal(err)
			}
			if err := pub.Verify(msg, sig); err != nil {
				t.Fatal(err)
			}
			if err := pub.Verify(append(bytes.Clone(msg), 'x'), sig); !problem.Is(err, problem.AuthFailed) {
				t.Errorf("another message: %v", err)
			}
			for i := range sig {
				bad := bytes.Clone(sig)
				bad[i] ^= 1
				if pub.Verify(msg, bad) == nil {
					t.Fatalf("byte %d of the signature changed, and it still holds", i)
				}
				if alg == RSA && i > 4 {
					break
				}
			}
			for _, bad := range [][]byte{nil, {0}, sig[:len(sig)-1], append(bytes.Clone(sig), 0)} {
				if pub.Verify(msg, bad) == nil {
					t.Errorf("signature %x holds", bad)
				}
			}
			if err := pub.VerifyHash("none", msg, sig); !problem.Is(err, problem.AuthFailed) {
				t.Errorf("hash name none: %v", err)
			}
			for _, name := range map[Algorithm][]string{Ed25519: {"EdDSA"}, P256: {"SHA256"}, SM2: {"SM3"}, RSA: {"SHA256", "SHA-256"}}[alg] {
				if err := pub.VerifyHash(name, msg, sig); err != nil {
					t.Errorf("hash name %s: %v", name, err)
				}
			}
			for _, other := range Algorithms() {
				if other != alg && testKey(t, other).Public().Verify(msg, sig) == nil {
					t.Errorf("a %s key takes a %s signature", other, alg)
				}
			}
		})
	}
	if err := (PublicKey{}).Verify(msg, nil); !problem.Is(err, problem.AuthFailed) {
		t.Errorf("zero key: %v", err)
	}
}

func TestSM2Identity(t *testing.T) {
	k := testKey(t, SM2)
	id := []byte("88.118.1001/ADMIN")
	sig, err := k.WithID(id).Sign([]byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Public().WithID(id).Verify([]byte("m"), sig); err != nil {
		t.Error(err)
	}
	if k.Public().Verify([]byte("m"), sig) == nil {
		t.Error("the default identity takes another identity's signature")
	}
}

func TestPublicKeyForms(t *testing.T) {
	for _, alg := range Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			p := testKey(t, alg).Public()
			q, err := ParsePublic(p.Data())
			if err != nil {
				t.Fatal(err)
			}
			if !q.Equal(p) || !bytes.Equal(q.Data(), p.Data()) || q.Algorithm() != alg || q.Fingerprint() != p.Fingerprint() {
				t.Errorf("%v became %v", p, q)
			}
			text := p.MarshalPEM()
			r, err := ParsePublic(text)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Equal(p) || !bytes.Equal(r.Data(), text) {
				t.Errorf("PEM text: %v became %v", p, r)
			}
			for _, other := range Algorithms() {
				if o := testKey(t, other).Public(); (other == alg) != o.Equal(p) {
					t.Errorf("%v equals %v", o, p)
				}
			}
		})
	}
	if !bytes.HasSuffix(testKey(t, RSA).Public().Data(), []byte{0, 0, 0, 0}) || len(testKey(t, RSA).Public().Data()) != 289 {
		t.Errorf("RSA 2048 key takes %d bytes, deployed ones 289", len(testKey(t, RSA).Public().Data()))
	}
}

func TestRefusedKeys(t *testing.T) {
	ed := testKey(t, Ed25519).Public().Data()
	ec := bytes.Clone(testKey(t, P256).Public().Data())
	ec[len(ec)-1] ^= 1
	for name, b := range map[string][]byte{
		"empty":          nil,
		"cut":            ed[:len(ed)-1],
		"off the curve":  ec,
		"unknown type":   []byte("\x00\x00\x00\x03ABC\x00\x00xxxx"),
		"huge length":    []byte("\xff\xff\xff\xffABC"),
		"no key in PEM":  []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		"private in PEM": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"RSA of 8 bits":  []byte("\x00\x00\x00\x0bRSA_PUB_KEY\x00\x00\x00\x00\x00\x01\x03\x00\x00\x00\x01\x77\x00\x00\x00\x00"),
	} {
		if p, err := ParsePublic(b); !problem.Is(err, problem.BadValue) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func FuzzParsePublic(f *testing.F) {
	for _, alg := range Algorithms() {
		f.Add(testKey(f, alg).Public().Data())
		f.Add(testKey(f, alg).Public().MarshalPEM())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePublic(b)
		if err != nil {
			return
		}
		q, err := ParsePublicPEM(p.MarshalPEM())
		if err != nil || !q.Equal(p) {
			t.Fatalf("%v: PEM form gives %v, %v", p, q, err)
		}
		q, err = ParsePublic(q.Data())
		if err != nil || !q.Equal(p) {
			t.Fatalf("%v: HS_PUBKEY form gives %v, %v", p, q, err)
		}
		_ = p.Verify(b, b)
	})
}
