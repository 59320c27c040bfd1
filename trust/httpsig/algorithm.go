package httpsig

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// The names of kinds of signatures.
const (
	algEd25519 = "ed25519"
	algP256    = "ecdsa-p256-sha256"
	algRSA     = "rsa-v1_5-sha256"
	algRSAPSS  = "rsa-pss-sha512"
	algSM2     = "sm2-sm3"
)

// algorithmOf is what a kind of key signs with, if nobody wants another.
func algorithmOf(a trust.Algorithm) string {
	switch a {
	case trust.Ed25519:
		return algEd25519
	case trust.P256:
		return algP256
	case trust.RSA:
		return algRSA
	case trust.SM2:
		return algSM2
	}
	return ""
}

// goesWith reports whether keys of the kind a make signatures called alg.
func goesWith(alg string, a trust.Algorithm) bool {
	return alg != "" && alg == algorithmOf(a) || alg == algRSAPSS && a == trust.RSA
}

func wrongAlg(alg string, a trust.Algorithm) error {
	return problem.New(problem.AuthFailed, "a signature by %q does not go with a key of kind %s", "%[2]s 密钥不能使用签名算法 %[1]q", clip(alg), a)
}

func sign(key *trust.PrivateKey, alg string, base []byte) ([]byte, error) {
	if !goesWith(alg, key.Algorithm()) {
		return nil, problem.New(problem.Unsupported, "a key of kind %s makes no signature by %q", "%s 密钥不能生成 %q 签名", key.Algorithm(), clip(alg))
	}
	if alg == algRSAPSS {
		return signPSS(key, base)
	}
	sig, err := key.Sign(base)
	if err != nil || alg != algP256 && alg != algSM2 {
		return sig, err
	}
	return rawPair(sig)
}

// check is nil when sig is by key over base.
func check(key trust.PublicKey, alg string, base, sig []byte) error {
	switch {
	case !goesWith(alg, key.Algorithm()):
		return wrongAlg(alg, key.Algorithm())
	case alg == algRSAPSS:
		return checkPSS(key, base, sig)
	case alg == algP256 || alg == algSM2:
		der, err := derPair(sig)
		if err != nil {
			return err
		}
		return key.Verify(base, der)
	}
	return key.Verify(base, sig)
}

type pair struct{ R, S *big.Int }

// rawPair turns the DER form of an elliptic-curve signature into r and s of 32 bytes each.
func rawPair(der []byte) ([]byte, error) {
	var p pair
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 || p.R.Sign() < 0 || p.S.Sign() < 0 || p.R.BitLen() > 256 || p.S.BitLen() > 256 {
		return nil, problem.Wrap(err, problem.Internal, "the key made no signature", "密钥没有生成签名")
	}
	out := make([]byte, 64)
	p.R.FillBytes(out[:32])
	p.S.FillBytes(out[32:])
	return out, nil
}

// derPair is the way back.
func derPair(raw []byte) ([]byte, error) {
	if len(raw) != 64 {
		return nil, problem.New(problem.AuthFailed, "a signature of this kind has 64 bytes, this one has %d", "此类签名应为 64 字节，此处为 %d 字节", len(raw))
	}
	der, err := asn1.Marshal(pair{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
	if err != nil {
		return nil, problem.Wrap(err, problem.AuthFailed, "the signature is malformed", "签名格式错误")
	}
	return der, nil
}

var pss = &rsa.PSSOptions{SaltLength: 64, Hash: crypto.SHA512}

func signPSS(key *trust.PrivateKey, base []byte) ([]byte, error) {
	text, err := key.MarshalPEM()
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the RSA key has no usual form", "RSA 密钥格式异常")
	}
	h := sha512.Sum512(base)
	return k.(*rsa.PrivateKey).Sign(rand.Reader, h[:], pss)
}

func checkPSS(key trust.PublicKey, base, sig []byte) error {
	block, _ := pem.Decode(key.MarshalPEM())
	if block == nil {
		return wrongAlg(algRSAPSS, key.Algorithm())
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	pub, ok := k.(*rsa.PublicKey)
	if err != nil || !ok {
		return wrongAlg(algRSAPSS, key.Algorithm())
	}
	h := sha512.Sum512(base)
	if rsa.VerifyPSS(pub, crypto.SHA512, h[:], sig, pss) != nil {
		return problem.New(problem.AuthFailed, "the signature is not by the key %s", "签名不是由密钥 %s 所签", key)
	}
	return nil
}
