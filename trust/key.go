package trust

import (
	"bytes"
	"crypto"
	//lint:ignore SA1019 deployed Handle servers have DSA keys; signatures by them are checked, none is made.
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"io"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"github.com/fujie-id/fujie/problem"
)

// PublicKey checks signatures. It is a value, immutable; the zero PublicKey checks nothing. Compare with Equal.
type PublicKey struct {
	alg  Algorithm
	key  crypto.PublicKey // ed25519.PublicKey, *ecdsa.PublicKey (P-256 and SM2), *rsa.PublicKey, *dsa.PublicKey
	raw  []byte           // Ed25519: 32 bytes; P-256 and SM2: the uncompressed point, 65 bytes
	data []byte           // HS_PUBKEY form: as it was read, else the one this room writes
	uid  []byte           // SM2: the signer's identity in Z_A; nil is the default one
}

// PrivateKey signs. It is immutable and safe for use by many at once.
type PrivateKey struct {
	pub PublicKey
	key any // ed25519.PrivateKey, *ecdsa.PrivateKey, *sm2.PrivateKey, *rsa.PrivateKey
}

// Generate makes a new key. With a nil rnd it comes from the operating system's randomness; RSA keys always do.
func Generate(alg Algorithm, rnd io.Reader) (*PrivateKey, error) {
	if alg == "" {
		alg = Ed25519
	}
	if alg == RSA {
		k, err := rsa.GenerateKey(rand.Reader, RSABits)
		if err != nil {
			return nil, err
		}
		return newPrivate(k)
	}
	if alg == DSA {
		return nil, problem.New(problem.Unsupported,
			"DSA keys are only checked, never made; take ed25519, p256, sm2 or rsa",
			"DSA 密钥只用于验证，不再生成；请用 ed25519、p256、sm2 或 rsa")
	}
	for {
		seed := make([]byte, 32)
		if _, err := io.ReadFull(random(rnd), seed); err != nil {
			return nil, problem.Wrap(err, problem.Internal, "there is no randomness to make a key from", "没有可用的随机数来生成密钥")
		}
		// A seed at or above the curve's order is no key; the next one is, but for one in 2^32.
		if k, err := fromSeed(alg, seed); err == nil || (alg != P256 && alg != SM2) {
			return k, err
		}
	}
}

// fromSeed makes the key whose secret is these 32 bytes.
func fromSeed(alg Algorithm, seed []byte) (*PrivateKey, error) {
	if len(seed) != 32 {
		return nil, badKey(nil, "a private %s key has 32 bytes, this one has %d", "%s 私钥应为 32 字节，此处为 %d 字节", alg, len(seed))
	}
	switch alg {
	case Ed25519:
		return newPrivate(ed25519.NewKeyFromSeed(seed))
	case P256:
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
		if err != nil {
			return nil, badKey(err, "the number is no private key of P-256", "该数不是 P-256 的私钥")
		}
		return newPrivate(k)
	case SM2:
		k, err := sm2.NewPrivateKey(seed)
		if err != nil {
			return nil, badKey(err, "the number is no private key of SM2", "该数不是 SM2 的私钥")
		}
		return newPrivate(k)
	}
	return nil, problem.New(problem.Unsupported, "no key of kind %q can be made; take ed25519, p256, sm2 or rsa",
		"不能生成 %q 类密钥；请用 ed25519、p256、sm2 或 rsa", clip(string(alg)))
}

// newPrivate takes a key of the standard library or of gmsm.
func newPrivate(key any) (*PrivateKey, error) {
	var pub PublicKey
	var err error
	switch k := key.(type) {
	case ed25519.PrivateKey:
		pub, err = newPublic(k.Public())
	case *sm2.PrivateKey:
		pub, err = newPublic(&k.PublicKey)
	case *ecdsa.PrivateKey:
		if sm2.IsSM2PublicKey(&k.PublicKey) {
			s, err := new(sm2.PrivateKey).FromECPrivateKey(k)
			if err != nil {
				return nil, badKey(err, "the SM2 private key is damaged", "SM2 私钥已损坏")
			}
			return newPrivate(s)
		}
		pub, err = newPublic(&k.PublicKey)
	case *rsa.PrivateKey:
		pub, err = newPublic(&k.PublicKey)
		if err == nil {
			if err = k.Validate(); err != nil {
				return nil, badKey(err, "the RSA private key is damaged", "RSA 私钥已损坏")
			}
			k.Precompute()
		}
	default:
		return nil, badKey(nil, "this kind of private key (%T) is not used here; take ed25519, p256, sm2 or rsa",
			"此处不使用这种私钥（%T）；请用 ed25519、p256、sm2 或 rsa", key)
	}
	if err != nil {
		return nil, err
	}
	return &PrivateKey{pub: pub, key: key}, nil
}

// newPublic takes a key of the standard library or of gmsm and checks that it can be trusted to be one.
func newPublic(key any) (PublicKey, error) {
	p := PublicKey{key: key}
	switch k := key.(type) {
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return PublicKey{}, badKey(nil, "an Ed25519 public key has 32 bytes, this one has %d", "Ed25519 公钥应为 32 字节，此处为 %d 字节", len(k))
		}
		p.alg, p.raw = Ed25519, bytes.Clone(k)
		p.key = ed25519.PublicKey(p.raw)
	case *ecdsa.PublicKey:
		switch {
		case k.Curve == elliptic.P256():
			raw, err := k.Bytes()
			if err != nil {
				return PublicKey{}, badKey(err, "the public key is no point of P-256", "该公钥不是 P-256 上的点")
			}
			p.alg, p.raw = P256, raw
		case sm2.IsSM2PublicKey(k):
			e, err := sm2.PublicKeyToECDH(k)
			if err != nil {
				return PublicKey{}, badKey(err, "the public key is no point of the SM2 curve", "该公钥不是 SM2 曲线上的点")
			}
			p.alg, p.raw = SM2, e.Bytes()
		default:
			return PublicKey{}, badKey(nil, "a key on this elliptic curve is not used here; take P-256 or SM2",
				"此处不使用该椭圆曲线的密钥；请用 P-256 或 SM2")
		}
	case *rsa.PublicKey:
		n := k.N.BitLen()
		if n < MinRSA || n > MaxRSA {
			return PublicKey{}, badKey(nil, "an RSA key of %d bits is refused; take %d to %d", "拒绝 %d 位的 RSA 密钥；应为 %d 至 %d 位", n, MinRSA, MaxRSA)
		}
		if k.E < 3 || k.E&1 == 0 || k.E > 1<<31-1 || k.N.Bit(0) == 0 {
			return PublicKey{}, badKey(nil, "the RSA public key is damaged: modulus and exponent must be odd, the exponent 3 to 2147483647",
				"RSA 公钥已损坏：模数与指数须为奇数，指数为 3 至 2147483647")
		}
		p.alg = RSA
	case *dsa.PublicKey:
		n, q := k.P.BitLen(), k.Q.BitLen()
		one := big.NewInt(1)
		if n < MinDSA || n > MaxDSA || q < 160 || q > 256 ||
			k.G.Cmp(one) <= 0 || k.G.Cmp(k.P) >= 0 || k.Y.Cmp(one) <= 0 || k.Y.Cmp(k.P) >= 0 {
			return PublicKey{}, badKey(nil, "the DSA public key (%d/%d bits) is damaged or of a refused size", "DSA 公钥（%d/%d 位）已损坏或长度不被接受", n, q)
		}
		p.alg = DSA
	default:
		return PublicKey{}, badKey(nil, "this kind of public key (%T) is not used here; take ed25519, p256, sm2 or rsa",
			"此处不使用这种公钥（%T）；请用 ed25519、p256、sm2 或 rsa", key)
	}
	p.data = appendPublic(nil, p)
	return p, nil
}

func publicPoint(alg Algorithm, point []byte) (PublicKey, error) {
	var k *ecdsa.PublicKey
	var err error
	if alg == SM2 {
		k, err = sm2.NewPublicKey(point)
	} else {
		k, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	}
	if err != nil {
		return PublicKey{}, badKey(err, "the public key is no point of its curve", "该公钥不是其曲线上的点")
	}
	return newPublic(k)
}

// Public is the key that checks what k signs.
func (k *PrivateKey) Public() PublicKey { return k.pub }

// Algorithm is the kind of key.
func (k *PrivateKey) Algorithm() Algorithm { return k.pub.alg }

// WithID is the same key, signing in the name of an SM2 signer identity other than the default one (GB/T 32918.2
// §5.5). It matters to SM2 keys only. An identity has at most 8191 bytes.
func (k *PrivateKey) WithID(id []byte) *PrivateKey {
	return &PrivateKey{pub: k.pub.WithID(id), key: k.key}
}

// Sign signs the message: Ed25519 gives 64 bytes, P-256 and SM2 an ASN.1 DER SEQUENCE of r and s, RSA PKCS #1 v1.5.
func (k *PrivateKey) Sign(message []byte) ([]byte, error) {
	switch key := k.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, message), nil
	case *ecdsa.PrivateKey:
		h := sha256.Sum256(message)
		return ecdsa.SignASN1(rand.Reader, key, h[:])
	case *sm2.PrivateKey:
		return key.Sign(rand.Reader, message, sm2.NewSM2SignerOption(true, k.pub.uid))
	case *rsa.PrivateKey:
		h := sha256.Sum256(message)
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, h[:])
	}
	return nil, problem.New(problem.Internal, "this key signs nothing", "该密钥不能签名")
}

// Equal reports whether both are the same private key.
func (k *PrivateKey) Equal(o *PrivateKey) bool {
	if k == nil || o == nil || k.pub.alg != o.pub.alg {
		return k == o
	}
	e, ok := k.key.(interface {
		Equal(crypto.PrivateKey) bool
	})
	return ok && e.Equal(o.key)
}

// IsZero reports whether there is no key.
func (p PublicKey) IsZero() bool { return p.alg == "" }

// Algorithm is the kind of key; empty for the zero PublicKey.
func (p PublicKey) Algorithm() Algorithm { return p.alg }

// WithID is the same key, for signatures made by an SM2 signer with that identity.
func (p PublicKey) WithID(id []byte) PublicKey {
	p.uid = bytes.Clone(id)
	return p
}

// Equal reports whether both are the same key, whatever the form each was read from.
func (p PublicKey) Equal(o PublicKey) bool {
	if p.alg != o.alg || p.alg == "" {
		return p.alg == o.alg
	}
	switch k := p.key.(type) {
	case *rsa.PublicKey:
		return k.Equal(o.key)
	case *dsa.PublicKey:
		l := o.key.(*dsa.PublicKey)
		return k.P.Cmp(l.P) == 0 && k.Q.Cmp(l.Q) == 0 && k.G.Cmp(l.G) == 0 && k.Y.Cmp(l.Y) == 0
	}
	return bytes.Equal(p.raw, o.raw)
}

// Data is the key as the data of an HS_PUBKEY value: the bytes that ParsePublic read, or those this room writes. The
// caller does not change it.
func (p PublicKey) Data() []byte { return p.data }

// HashName is the word that stands beside signatures by this key in answers to challenges and in signed messages
// (handle-protocol §1.9, §1.11).
func (p PublicKey) HashName() string {
	switch p.alg {
	case Ed25519:
		return "Ed25519"
	case P256, RSA:
		return "SHA-256"
	case SM2:
		return "SM3"
	case DSA:
		return "SHA1"
	}
	return ""
}

// Fingerprint names the key for people: "SHA256:" and the unpadded base64 of the SHA-256 of its SubjectPublicKeyInfo,
// so that `openssl pkey -pubin -outform der | sha256sum` gives the same bytes.
func (p PublicKey) Fingerprint() string {
	if p.IsZero() {
		return ""
	}
	h := sha256.Sum256(p.spki())
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(h[:])
}

// String is the kind and the fingerprint.
func (p PublicKey) String() string {
	if p.IsZero() {
		return "none"
	}
	return string(p.alg) + " " + p.Fingerprint()
}

// Verify checks a signature in the form that Sign gives. The error is of kind problem.AuthFailed.
func (p PublicKey) Verify(message, sig []byte) error { return p.VerifyHash(p.HashName(), message, sig) }

// VerifyHash is Verify where the signer named the hash, as deployed software does: RSA and DSA signatures may then be
// over SHA-1 or SHA-256. The hyphen may be missing ("SHA256" in Handle's HTTP API). A name that does not go with the kind
// of key is refused.
func (p PublicKey) VerifyHash(name string, message, sig []byte) error {
	ok := false
	switch k := p.key.(type) {
	case ed25519.PublicKey:
		if name != "Ed25519" && name != "EdDSA" {
			return wrongHash(p.alg, name)
		}
		ok = ed25519.Verify(k, message, sig)
	case *ecdsa.PublicKey:
		if name != p.HashName() && (p.alg != P256 || name != "SHA256") {
			return wrongHash(p.alg, name)
		}
		if p.alg == SM2 {
			ok = sm2.VerifyASN1WithSM2(k, p.uid, message, sig)
		} else {
			h := sha256.Sum256(message)
			ok = ecdsa.VerifyASN1(k, h[:], sig)
		}
	case *rsa.PublicKey:
		switch name {
		case "SHA-256", "SHA256":
			h := sha256.Sum256(message)
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, h[:], sig) == nil
		case "SHA1", "SHA-1":
			h := sha1.Sum(message)
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA1, h[:], sig) == nil
		default:
			return wrongHash(p.alg, name)
		}
	case *dsa.PublicKey:
		var h hash.Hash
		switch name {
		case "SHA1", "SHA-1":
			h = sha1.New()
		case "SHA-256", "SHA256":
			h = sha256.New()
		default:
			return wrongHash(p.alg, name)
		}
		h.Write(message)
		if r, s, fits := splitDER(sig); fits {
			d := h.Sum(nil)
			// FIPS 186-4 §4.6: the leftmost bits of the hash, as many as q has.
			if n := (k.Q.BitLen() + 7) / 8; len(d) > n {
				d = d[:n]
			}
			ok = dsa.Verify(k, d, r, s)
		}
	default:
		return problem.New(problem.AuthFailed, "there is no key to check the signature with", "没有可用来验证签名的公钥")
	}
	if !ok {
		return problem.New(problem.AuthFailed, "the signature is not by the key %s", "签名不是由密钥 %s 所签", p)
	}
	return nil
}

func wrongHash(alg Algorithm, name string) error {
	return problem.New(problem.AuthFailed, "a signature by a key of kind %s does not go with the hash %q", "%s 密钥的签名不能使用摘要算法 %q", alg, clip(name))
}
