package trust

import (
	//lint:ignore SA1019 deployed Handle servers have DSA keys; signatures by them are checked, none is made.
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
)

// jwk is a JSON Web Key (RFC 7517, 7518, 8037). SM2 keys stand as kty EC with crv SM2, DSA keys as kty DSA with the
// members that Handle.Net gives them.
type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	N   b64    `json:"n,omitempty"`
	E   b64    `json:"e,omitempty"`
	X   b64    `json:"x,omitempty"`
	Y   b64    `json:"y,omitempty"`
	D   b64    `json:"d,omitempty"`
	P   b64    `json:"p,omitempty"`
	Q   b64    `json:"q,omitempty"`
	G   b64    `json:"g,omitempty"`
	Dp  b64    `json:"dp,omitempty"`
	Dq  b64    `json:"dq,omitempty"`
	Qi  b64    `json:"qi,omitempty"`
}

// b64 is base64url without padding, as JSON Web Keys have it; padding is tolerated on reading.
type b64 []byte

func (b b64) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

func (b *b64) UnmarshalText(text []byte) error {
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	out, err := base64.RawURLEncoding.AppendDecode(nil, text)
	*b = out
	return err
}

func (p PublicKey) jwk() jwk {
	switch k := p.key.(type) {
	case ed25519.PublicKey:
		return jwk{Kty: "OKP", Crv: "Ed25519", X: p.raw}
	case *ecdsa.PublicKey:
		crv := "P-256"
		if p.alg == SM2 {
			crv = "SM2"
		}
		return jwk{Kty: "EC", Crv: crv, X: p.raw[1:33], Y: p.raw[33:65]}
	case *rsa.PublicKey:
		return jwk{Kty: "RSA", N: k.N.Bytes(), E: big.NewInt(int64(k.E)).Bytes()}
	case *dsa.PublicKey:
		return jwk{Kty: "DSA", P: k.P.Bytes(), Q: k.Q.Bytes(), G: k.G.Bytes(), Y: k.Y.Bytes()}
	}
	return jwk{}
}

// MarshalJWK is the public key as a JSON Web Key; null for the zero PublicKey.
func (p PublicKey) MarshalJWK() []byte {
	if p.IsZero() {
		return []byte("null")
	}
	b, _ := json.Marshal(p.jwk()) // strings only: nothing in it can fail
	return b
}

// ParsePublicJWK reads a JSON Web Key; of a private one, its public half. The error is of kind problem.BadValue.
func ParsePublicJWK(b []byte) (PublicKey, error) {
	j, err := parseJWK(b)
	if err != nil {
		return PublicKey{}, err
	}
	return j.public()
}

func parseJWK(b []byte) (j jwk, err error) {
	if len(b) > MaxKeyLen {
		return j, badKey(nil, "the key text takes %d bytes, over the limit of %d", "密钥文本有 %d 字节，超过上限 %d", len(b), MaxKeyLen)
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return j, badKey(err, "this is no JSON Web Key", "这不是 JSON Web Key")
	}
	return j, nil
}

func (j *jwk) public() (PublicKey, error) {
	switch j.Kty {
	case "OKP":
		if j.Crv == "Ed25519" {
			return newPublic(ed25519.PublicKey(j.X))
		}
	case "EC":
		if len(j.X) > 32 || len(j.Y) > 32 {
			return PublicKey{}, badKey(nil, "the JSON Web Key has coordinates longer than 32 bytes", "JSON Web Key 的坐标超过 32 字节")
		}
		point := make([]byte, 65)
		point[0] = 4
		copy(point[33-len(j.X):33], j.X)
		copy(point[65-len(j.Y):], j.Y)
		switch j.Crv {
		case "P-256":
			return publicPoint(P256, point)
		case "SM2", "SM2P256V1", "sm2p256v1", "curveSM2":
			return publicPoint(SM2, point)
		}
	case "RSA":
		return rsaPublic(j.N, j.E)
	case "DSA":
		return dsaPublic(j.Q, j.P, j.G, j.Y)
	}
	return PublicKey{}, badKey(nil, "a JSON Web Key with kty %q and crv %q is not used here; take OKP/Ed25519, EC/P-256, EC/SM2 or RSA",
		"此处不使用 kty 为 %q、crv 为 %q 的 JSON Web Key；请用 OKP/Ed25519、EC/P-256、EC/SM2 或 RSA", clip(j.Kty), clip(j.Crv))
}

// MarshalJWK is the private key as a JSON Web Key. It is secret.
func (k *PrivateKey) MarshalJWK() ([]byte, error) {
	j := k.pub.jwk()
	switch key := k.key.(type) {
	case *rsa.PrivateKey:
		if len(key.Primes) != 2 {
			return nil, badKey(nil, "an RSA key with %d primes has no JSON Web Key form here; make a new key", "含 %d 个素数的 RSA 密钥无法写成 JSON Web Key；请生成新密钥", len(key.Primes))
		}
		j.D = key.D.Bytes()
		j.P, j.Q = key.Primes[0].Bytes(), key.Primes[1].Bytes()
		j.Dp, j.Dq, j.Qi = key.Precomputed.Dp.Bytes(), key.Precomputed.Dq.Bytes(), key.Precomputed.Qinv.Bytes()
	default:
		seed, err := k.seed()
		if err != nil {
			return nil, err
		}
		j.D = seed
	}
	return json.Marshal(j)
}

// seed is the 32 secret bytes of every kind but RSA.
func (k *PrivateKey) seed() ([]byte, error) {
	switch key := k.key.(type) {
	case ed25519.PrivateKey:
		return key.Seed(), nil
	case *ecdsa.PrivateKey:
		return key.Bytes()
	case *sm2.PrivateKey:
		e, err := key.ECDH()
		if err != nil {
			return nil, badKey(err, "the SM2 private key is damaged", "SM2 私钥已损坏")
		}
		return e.Bytes(), nil
	}
	return nil, badKey(nil, "a key of kind %s has no short form", "%s 密钥没有短格式", k.pub.alg)
}

// ParsePrivateJWK reads a private JSON Web Key. The error is of kind problem.BadValue.
func ParsePrivateJWK(b []byte) (*PrivateKey, error) {
	j, err := parseJWK(b)
	if err != nil {
		return nil, err
	}
	return j.private()
}

func (j *jwk) private() (*PrivateKey, error) {
	pub, err := j.public()
	if err != nil {
		return nil, err
	}
	if len(j.D) == 0 {
		return nil, badKey(nil, "the JSON Web Key is a public one; a private one has the member d", "该 JSON Web Key 是公钥；私钥应有成员 d")
	}
	var k *PrivateKey
	switch pub.alg {
	case RSA:
		k, err = rsaPrivate(j.N, j.E, j.D, j.P, j.Q)
	case DSA:
		return nil, noDSA()
	default:
		if len(j.D) > 32 {
			return nil, badKey(nil, "a private %s key has 32 bytes, this one has %d", "%s 私钥应为 32 字节，此处为 %d 字节", pub.alg, len(j.D))
		}
		seed := make([]byte, 32)
		copy(seed[32-len(j.D):], j.D)
		k, err = fromSeed(pub.alg, seed)
	}
	if err != nil {
		return nil, err
	}
	if !k.pub.Equal(pub) {
		return nil, badKey(nil, "the private and the public half of the JSON Web Key do not belong together", "JSON Web Key 的私钥与公钥不匹配")
	}
	return k, nil
}
