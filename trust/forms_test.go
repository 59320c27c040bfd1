package trust

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"pgregory.net/rapid"
)

var formats = []Format{FormatPEM, FormatHandle, FormatJWK}

func TestConversions(t *testing.T) {
	for _, alg := range Algorithms() {
		k := testKey(t, alg)
		for _, f := range formats {
			for _, pass := range []string{"", "开门 sesame"} {
				if f == FormatJWK && pass != "" {
					if _, err := k.Marshal(f, []byte(pass), nil); !problem.Is(err, problem.Unsupported) {
						t.Errorf("encrypted JWK: %v", err)
					}
					continue
				}
				if f == FormatPEM && pass != "" && alg != Ed25519 {
					continue // a passphrase is made to cost time; OpenSSL reads the others
				}
				b, err := k.Marshal(f, []byte(pass), nil)
				if err != nil {
					t.Fatalf("%s %s: %v", alg, f, err)
				}
				got, err := ParsePrivate(b, []byte(pass))
				if err != nil || !got.Equal(k) || !got.Public().Equal(k.Public()) {
					t.Errorf("%s %s %q: %v", alg, f, pass, err)
				}
				if pass == "" {
					if p, err := ParsePublicAny(b); err != nil || !p.Equal(k.Public()) {
						t.Errorf("%s %s: public half %v", alg, f, err)
					}
					continue
				}
				if _, err := ParsePrivate(b, nil); !problem.Is(err, problem.NeedAuth) {
					t.Errorf("%s %s without passphrase: %v", alg, f, err)
				}
				if _, err := ParsePrivate(b, []byte("wrong")); !problem.Is(err, problem.AuthFailed) && !problem.Is(err, problem.BadValue) {
					t.Errorf("%s %s with the wrong passphrase: %v", alg, f, err)
				}
				if bytes.Contains(b, []byte(handleName(alg))) {
					t.Errorf("%s %s: the encrypted file shows its content", alg, f)
				}
			}
			p, err := ParsePublicAny(k.Public().Marshal(f))
			if err != nil || !p.Equal(k.Public()) {
				t.Errorf("%s %s public: %v", alg, f, err)
			}
		}
	}
}

func handleName(alg Algorithm) string {
	return map[Algorithm]string{Ed25519: ed25519Priv, P256: ecPriv, SM2: sm2Priv, RSA: rsaPrivCRT}[alg]
}

func TestEqualPrivateKeys(t *testing.T) {
	for _, a := range Algorithms() {
		for _, b := range Algorithms() {
			if testKey(t, a).Equal(testKey(t, b)) != (a == b) {
				t.Errorf("%s and %s", a, b)
			}
		}
		if testKey(t, a).Equal(nil) {
			t.Errorf("%s equals none", a)
		}
	}
}

// TestHandleFile looks at the bytes that hdl-keygen would write.
func TestHandleFile(t *testing.T) {
	k := testKey(t, RSA)
	b, err := k.MarshalHandle(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\x00\x00\x00\x01\x00\x00\x00\x0fRSA_PRIVCRT_KEY\x00\x00\x01\x01\x00"; !strings.HasPrefix(string(b), want) {
		t.Errorf("the file begins %x", b[:40])
	}
	if len(b) < 1210 || len(b) > 1217 {
		t.Errorf("the file has %d bytes, a deployed one 1214", len(b))
	}
	// With flags behind the type, as public keys have them.
	flags := append(append(bytes.Clone(b[:23]), 0, 0), b[23:]...)
	if got, err := ParsePrivate(flags, nil); err != nil || !got.Equal(k) {
		t.Errorf("with flags: %v", err)
	}
	// RSA_PRIV_KEY has no more than n and d.
	key := k.key.(*rsa.PrivateKey)
	short := record.AppendString([]byte{0, 0, 0, 1}, rsaPriv)
	short = record.AppendString(record.AppendString(short, append([]byte{0}, key.N.Bytes()...)), key.D.Bytes())
	if got, err := ParsePrivate(short, nil); err != nil || !got.Public().Equal(k.Public()) {
		t.Errorf("n and d: %v", err)
	} else if sig, err := got.Sign(testNonce); err != nil || k.Public().Verify(testNonce, sig) != nil {
		t.Errorf("n and d do not sign: %v", err)
	}
	short[len(short)-1] ^= 4
	if _, err := ParsePrivate(short, nil); !problem.Is(err, problem.BadValue) {
		t.Errorf("wrong d: %v", err)
	}
	dsa := record.AppendString([]byte{0, 0, 0, 1}, dsaPriv)
	for range 4 {
		dsa = record.AppendString(dsa, []byte{1})
	}
	if _, err := ParsePrivate(dsa, nil); !problem.Is(err, problem.Unsupported) {
		t.Errorf("DSA: %v", err)
	}
}

func TestSM2HandleFileLayouts(t *testing.T) {
	k := testKey(t, SM2)
	text := mustPEM(t, k)
	head := record.AppendString([]byte{0, 0, 0, 1}, sm2Priv)
	for name, rest := range map[string][]byte{
		"flags":            append([]byte{0, 0}, text...),
		"bare":             text,
		"length":           record.AppendString(nil, text),
		"flags and length": append([]byte{0, 0}, record.AppendString(nil, text)...),
	} {
		if got, err := ParsePrivate(append(bytes.Clone(head), rest...), nil); err != nil || !got.Equal(k) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOldHandleEncryption(t *testing.T) {
	k := testKey(t, RSA)
	plain, err := k.handlePayload()
	if err != nil {
		t.Fatal(err)
	}
	n := 8 - len(plain)%8
	plain = append(plain, bytes.Repeat([]byte{byte(n)}, n)...)
	pass := []byte("a passphrase of some length")
	sum := md5.Sum(pass)
	iv := []byte("initvect")
	seal := func(enc byte, key []byte, layout func(iv, sealed []byte) []byte) []byte {
		var block cipher.Block
		if enc == 3 {
			block, err = des.NewTripleDESCipher(key)
		} else {
			block, err = des.NewCipher(key)
		}
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, len(plain))
		if enc == 0 {
			for i := 0; i < len(out); i += 8 {
				block.Encrypt(out[i:], plain[i:])
			}
		} else {
			cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plain)
		}
		return append([]byte{0, 0, 0, enc}, layout(iv, out)...)
	}
	bare := func(_, s []byte) []byte { return s }
	ivFirst := func(iv, s []byte) []byte { return append(bytes.Clone(iv), s...) }
	lengths := func(iv, s []byte) []byte { return record.AppendString(record.AppendString(nil, iv), s) }
	for name, b := range map[string][]byte{
		"DES-ECB":        seal(0, pass[:8], bare),
		"DES-ECB, MD5":   seal(0, sum[:8], bare),
		"DES-CBC":        seal(2, pass[:8], ivFirst),
		"DES-CBC, MD5":   seal(2, sum[:8], lengths),
		"DESede":         seal(3, pass[:24], ivFirst),
		"DESede, MD5":    seal(3, append(bytes.Clone(sum[:]), sum[:8]...), lengths),
		"DESede, length": seal(3, pass[:24], func(iv, s []byte) []byte { return record.AppendString(nil, ivFirst(iv, s)) }),
	} {
		if got, err := ParsePrivate(b, pass); err != nil || !got.Equal(k) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ParsePrivate(b, []byte("wrong")); !problem.Is(err, problem.AuthFailed) {
			t.Errorf("%s, wrong passphrase: %v", name, err)
		}
		if _, err := ParsePrivate(b, nil); !problem.Is(err, problem.NeedAuth) {
			t.Errorf("%s, no passphrase: %v", name, err)
		}
	}
}

// TestAESHandleFileByHand builds encryption 4 from the description, so that writing and reading cannot agree on a
// mistake; PBKDF2 itself is held against RFC 6070.
func TestAESHandleFileByHand(t *testing.T) {
	if got := pbkdf2SHA1([]byte("password"), []byte("salt"), 4096, 20); !bytes.Equal(got, unhex(t, "4b007901b765489abead49d926f721d065a429c1")) {
		t.Errorf("PBKDF2: %x", got)
	}
	if got := pbkdf2SHA1([]byte("passwordPASSWORDpassword"), []byte("saltSALTsaltSALTsaltSALTsaltSALTsalt"), 4096, 25); !bytes.Equal(got, unhex(t, "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038")) {
		t.Errorf("PBKDF2: %x", got)
	}
	k := testKey(t, Ed25519)
	plain := record.AppendString(record.AppendString(nil, "ED25519_PRIV_KEY"), mustSeed(t, k))
	n := 16 - len(plain)%16
	plain = append(plain, bytes.Repeat([]byte{byte(n)}, n)...)
	block, err := aes.NewCipher(pbkdf2SHA1([]byte("pw"), testNonce, 777, 32))
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCBCEncrypter(block, testNonce).CryptBlocks(plain, plain)
	b := record.AppendString([]byte{0, 0, 0, 4}, testNonce)
	b = binary.BigEndian.AppendUint32(b, 777)
	b = binary.BigEndian.AppendUint32(b, 256)
	b = record.AppendString(record.AppendString(b, testNonce), plain)
	if got, err := ParsePrivate(b, []byte("pw")); err != nil || !got.Equal(k) {
		t.Error(err)
	}
	binary.BigEndian.PutUint32(b[24:], 1<<31)
	if _, err := ParsePrivate(b, []byte("pw")); !problem.Is(err, problem.BadValue) {
		t.Errorf("2^31 iterations: %v", err)
	}
}

func mustSeed(t *testing.T, k *PrivateKey) []byte {
	t.Helper()
	b, err := k.seed()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGreedyPEM is encrypted keys that would cost hours or all memory to open.
func TestGreedyPEM(t *testing.T) {
	b, err := testKey(t, Ed25519).MarshalEncryptedPEM([]byte("pw"), nil)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	// 210000 as an INTEGER is 02 03 03 34 50.
	greedy := bytes.Replace(block.Bytes, []byte{2, 3, 3, 0x34, 0x50}, []byte{2, 3, 1, 0, 0}, 1)
	if _, err := ParsePrivatePEM(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: greedy}), []byte("pw")); err == nil {
		t.Error("other iterations open the key")
	}
	oid := func(s ...int) asn1.ObjectIdentifier { return s }
	type alg struct {
		OID    asn1.ObjectIdentifier
		Params any
	}
	type scrypt struct {
		Salt    []byte
		N, R, P int
	}
	type pbkdf2 struct {
		Salt []byte
		N    *big.Int
	}
	for name, kdf := range map[string]alg{
		"scrypt N":   {oid(1, 3, 6, 1, 4, 1, 11591, 4, 11), scrypt{testNonce, 1 << 30, 8, 1}},
		"scrypt p":   {oid(1, 3, 6, 1, 4, 1, 11591, 4, 11), scrypt{testNonce, 1 << 14, 8, 1 << 20}},
		"scrypt < 0": {oid(1, 3, 6, 1, 4, 1, 11591, 4, 11), scrypt{testNonce, -1, 8, 1}},
		"pbkdf2":     {oid(1, 2, 840, 113549, 1, 5, 12), pbkdf2{testNonce, new(big.Int).Lsh(big.NewInt(1), 62)}},
		"pbkdf2 0":   {oid(1, 2, 840, 113549, 1, 5, 12), pbkdf2{testNonce, new(big.Int)}},
	} {
		der, err := asn1.Marshal(struct {
			Alg struct {
				OID    asn1.ObjectIdentifier
				Params struct{ KDF, Cipher alg }
			}
			Data []byte
		}{Alg: struct {
			OID    asn1.ObjectIdentifier
			Params struct{ KDF, Cipher alg }
		}{oid(1, 2, 840, 113549, 1, 5, 13), struct{ KDF, Cipher alg }{kdf, alg{oid(2, 16, 840, 1, 101, 3, 4, 1, 42), testNonce}}}, Data: make([]byte, 64)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePrivatePEM(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), []byte("pw")); !problem.Is(err, problem.BadValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrivateFormsRefused(t *testing.T) {
	ed := testKey(t, Ed25519)
	pub := ed.Public()
	for name, b := range map[string][]byte{
		"empty":           nil,
		"public PEM":      pub.MarshalPEM(),
		"public JWK":      pub.MarshalJWK(),
		"public handle":   pub.Data(),
		"short":           {0, 0, 0},
		"unknown enc":     {0, 0, 0, 9, 1, 2, 3},
		"no payload":      {0, 0, 0, 1},
		"damaged PEM":     []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"JSON":            []byte("{}"),
		"broken JSON":     []byte("{"),
		"halves differ":   []byte(`{"kty":"OKP","crv":"Ed25519","x":"` + b64url.EncodeToString(pub.raw) + `","d":"` + b64url.EncodeToString(make([]byte, 32)) + `"}`),
		"JWK off curve":   []byte(`{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ","d":"AQ"}`),
		"JWK long":        []byte(`{"kty":"EC","crv":"SM2","x":"` + strings.Repeat("A", 100) + `","y":"AQ","d":"AQ"}`),
		"ed25519 cut":     record.AppendString(record.AppendString([]byte{0, 0, 0, 1}, ed25519Priv), make([]byte, 31)),
		"P-256 zero":      record.AppendString(record.AppendString(record.AppendString([]byte{0, 0, 0, 1}, ecPriv), "P-256"), make([]byte, 32)),
		"SM2 not SM2":     append(append(record.AppendString([]byte{0, 0, 0, 1}, sm2Priv), 0, 0), mustPEM(t, ed)...),
		"old PEM cipher":  []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
		"huge":            make([]byte, MaxKeyLen+1),
		"huge PEM":        append([]byte("-----BEGIN PRIVATE KEY-----\n"), make([]byte, MaxKeyLen)...),
		"a certificate":   []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"DSA private PEM": []byte("-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n"),
	} {
		k, err := ParsePrivate(b, nil)
		if k := problem.KindOf(err); err == nil || (k != problem.BadValue && k != problem.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
		if k != nil {
			t.Errorf("%s gives a key", name)
		}
	}
}

func mustPEM(t testing.TB, k *PrivateKey) []byte {
	t.Helper()
	b, err := k.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFiles(t *testing.T) {
	k := testKey(t, SM2)
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := k.WriteFile(name, FormatPEM, []byte("pw")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got, err := ReadFile(name, []byte("pw")); err != nil || !got.Equal(k) {
		t.Error(err)
	}
	if err := k.WriteFile(name, FormatPEM, nil); !problem.Is(err, problem.Exists) {
		t.Errorf("a key was written over: %v", err)
	}
	if _, err := ReadFile(name, nil); !problem.Is(err, problem.NeedAuth) || !strings.Contains(err.Error(), name) {
		t.Error(err)
	}
	if _, err := ReadFile(name+"x", nil); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	for s, want := range map[string]Algorithm{"": Ed25519, "Ed25519": Ed25519, "P-256": P256, "sm2": SM2, "RS256": RSA, "dsa": DSA} {
		if got, err := ParseAlgorithm(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	if _, err := ParseAlgorithm("secp256k1"); !problem.Is(err, problem.BadValue) {
		t.Error(err)
	}
	for s, want := range map[string]Format{"": FormatPEM, "PEM": FormatPEM, "handle": FormatHandle, "bin": FormatHandle, "jwk": FormatJWK} {
		if got, err := ParseFormat(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	if _, err := ParseFormat("der"); !problem.Is(err, problem.BadValue) {
		t.Error(err)
	}
	if _, err := Generate(DSA, nil); !problem.Is(err, problem.Unsupported) {
		t.Error(err)
	}
	if _, err := Generate("x", nil); !problem.Is(err, problem.Unsupported) {
		t.Error(err)
	}
}

// TestGenerateFromGivenRandomness: the same randomness gives the same key, and no randomness an error.
func TestGenerateFromGivenRandomness(t *testing.T) {
	for _, alg := range []Algorithm{Ed25519, P256, SM2} {
		seed := bytes.Repeat([]byte{0x5a}, 32)
		a, err := Generate(alg, bytes.NewReader(seed))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Generate(alg, bytes.NewReader(seed))
		if err != nil || !a.Equal(b) {
			t.Errorf("%s: %v", alg, err)
		}
		if _, err := Generate(alg, bytes.NewReader(seed[1:])); !problem.Is(err, problem.Internal) {
			t.Errorf("%s: %v", alg, err)
		}
	}
	// A number at or above the order of the curve is passed over.
	big := append(bytes.Repeat([]byte{0xff}, 32), bytes.Repeat([]byte{1}, 32)...)
	for _, alg := range []Algorithm{P256, SM2} {
		k, err := Generate(alg, bytes.NewReader(big))
		if err != nil || !bytes.Equal(mustSeed(t, k), big[32:]) {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestFormsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alg := rapid.SampledFrom([]Algorithm{Ed25519, P256, SM2}).Draw(t, "alg")
		k, err := Generate(alg, bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "seed")))
		if err != nil {
			t.Skip(err)
		}
		for _, f := range formats {
			b, err := k.Marshal(f, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParsePrivate(b, nil)
			if err != nil || !got.Equal(k) {
				t.Fatalf("%s %s: %v", alg, f, err)
			}
			p, err := ParsePublicAny(k.Public().Marshal(f))
			if err != nil || !p.Equal(k.Public()) {
				t.Fatalf("%s %s public: %v", alg, f, err)
			}
		}
	})
}

func FuzzParsePrivate(f *testing.F) {
	for _, alg := range Algorithms() {
		for _, format := range formats {
			b, err := testKey(f, alg).Marshal(format, nil, nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add([]byte("\x00\x00\x00\x02abcdefghijklmnop"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var pass []byte
		// Key derivation may take its time, within limits; the parsing around it is what is tried here.
		if !bytes.Contains(b, []byte("ENCRYPTED")) && (len(b) < 4 || b[3] != aesKeyFile) {
			pass = []byte("passphrase")
		}
		k, err := ParsePrivate(b, pass)
		if err != nil {
			if problem.KindOf(err) == problem.Internal {
				t.Fatal(err)
			}
			return
		}
		sig, err := k.Sign(testNonce)
		if err != nil {
			return // an RSA key may be too odd to sign with
		}
		if err := k.Public().Verify(testNonce, sig); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzJWK(f *testing.F) {
	for _, alg := range Algorithms() {
		f.Add(testKey(f, alg).Public().MarshalJWK())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePublicJWK(b)
		if err != nil {
			return
		}
		if q, err := ParsePublicJWK(p.MarshalJWK()); err != nil || !q.Equal(p) {
			t.Fatal(q, err)
		}
	})
}

func TestSeal(t *testing.T) {
	text := []byte("\x00\x00\x00\x03 a session key of 32 bytes ......")
	for _, alg := range []Algorithm{RSA, SM2} {
		k := testKey(t, alg)
		sealed, err := k.Public().Seal(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Open(sealed); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %q, %v", alg, got, err)
		}
		if alg == SM2 && (len(sealed) != 65+32+len(text) || sealed[0] != 4) {
			t.Errorf("SM2 text of %d bytes begins with %x", len(sealed), sealed[0])
		}
		for _, bad := range [][]byte{nil, {4}, sealed[:len(sealed)-1], bytes.Repeat([]byte{4}, 200), make([]byte, 1<<16)} {
			if _, err := k.Open(bad); !problem.Is(err, problem.BadSessionKey) {
				t.Errorf("%s opens %d bytes: %v", alg, len(bad), err)
			}
		}
		if _, err := k.Public().Seal(make([]byte, 5000), nil); !problem.Is(err, problem.TooLarge) {
			t.Errorf("%s: %v", alg, err)
		}
	}
	// A stranger must not see whether an RSA text had the right padding.
	k := testKey(t, RSA)
	sealed, err := k.Public().Seal(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.OpenSession(sealed); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%q, %v", got, err)
	}
	odd, err := k.Public().Seal([]byte("no session key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, {1}, sealed[1:], make([]byte, 256), odd} {
		a, err := k.OpenSession(bad)
		b, _ := k.OpenSession(bad)
		if err != nil || len(a) != 36 || !bytes.Equal(a, b) {
			t.Errorf("%d bytes give %x, %x, %v", len(bad), a, b, err)
		}
	}
	if a, err := testKey(t, SM2).OpenSession(sealed); !problem.Is(err, problem.BadSessionKey) {
		t.Errorf("%x, %v", a, err)
	}
	for _, alg := range []Algorithm{Ed25519, P256} {
		if _, err := testKey(t, alg).Public().Seal(text, nil); !problem.Is(err, problem.Unsupported) {
			t.Errorf("%s: %v", alg, err)
		}
		if _, err := testKey(t, alg).Open(text); !problem.Is(err, problem.Unsupported) {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestSM4(t *testing.T) {
	key := unhex(t, "0123456789abcdeffedcba9876543210")
	for n := range 40 {
		text := bytes.Repeat([]byte{'x'}, n)
		sealed, err := SealSM4(key, text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenSM4(key, sealed); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes: %q, %v", n, got, err)
		}
	}
	// GB/T 32907 example 1 without its padding: with the vector equal to the key, encrypting zeros is encrypting the key.
	sealed, err := SealSM4(key, make([]byte, 16))
	if err != nil || !bytes.Equal(sealed[:16], unhex(t, "681edf34d206965e86b3e94f536e4246")) {
		t.Errorf("%x, %v", sealed, err)
	}
	for _, bad := range [][]byte{nil, {1}, make([]byte, 15), make([]byte, 16)} {
		if _, err := OpenSM4(key, bad); !problem.Is(err, problem.BadSessionKey) {
			t.Errorf("%x: %v", bad, err)
		}
	}
	if _, err := SealSM4(key[1:], nil); !problem.Is(err, problem.BadSessionKey) {
		t.Error(err)
	}
}
