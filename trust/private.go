package trust

import (
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"

	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs8"
	"github.com/emmansun/gmsm/smx509"
	"github.com/fujie-id/fujie/problem"
)

func noDSA() error {
	return problem.New(problem.Unsupported,
		"DSA keys are only checked here, they sign nothing; make a new key with fujie key new",
		"DSA 密钥在此只用于验证，不能签名；请用 fujie key new 生成新密钥")
}

// rsaPrivate makes an RSA key from its numbers. Without p and q they are found again from the exponents; without e,
// the usual public exponents are tried.
func rsaPrivate(n, e, d, p, q []byte) (*PrivateKey, error) {
	if max(len(n), len(d), len(p), len(q)) > MaxRSA/8+8 {
		return nil, badKey(nil, "the RSA private key is too large; take %d to %d bits", "RSA 私钥过大；应为 %d 至 %d 位", MinRSA, MaxRSA)
	}
	if len(e) == 0 {
		for _, e := range [][]byte{{1, 0, 1}, {3}, {17}} {
			if k, err := rsaPrivate(n, e, d, p, q); err == nil {
				return k, nil
			}
		}
		return nil, badKey(nil, "the RSA private key does not say its public exponent, and it is not 65537, 3 or 17",
			"RSA 私钥没有给出公钥指数，且不是 65537、3 或 17")
	}
	pub, err := rsaPublic(n, e)
	if err != nil {
		return nil, err
	}
	k := &rsa.PrivateKey{PublicKey: *pub.key.(*rsa.PublicKey), D: new(big.Int).SetBytes(d)}
	if len(p) > 0 && len(q) > 0 {
		k.Primes = []*big.Int{new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)}
	} else if k.Primes = factor(k.N, k.E, k.D); k.Primes == nil {
		return nil, badKey(nil, "the RSA private key is damaged: its exponents do not belong to its modulus", "RSA 私钥已损坏：指数与模数不匹配")
	}
	return newPrivate(k)
}

// factor finds the two primes of n from e·d ≡ 1 (Miller's method: a root of 1 other than ±1 gives a factor).
func factor(n *big.Int, e int, d *big.Int) []*big.Int {
	one := big.NewInt(1)
	if d.Sign() <= 0 || d.Cmp(n) >= 0 {
		return nil
	}
	t := new(big.Int).Mul(d, big.NewInt(int64(e)))
	t.Sub(t, one)
	if t.Sign() <= 0 || t.Bit(0) != 0 {
		return nil
	}
	s := t.TrailingZeroBits()
	t.Rsh(t, s)
	last := new(big.Int).Sub(n, one)
	for g := int64(2); g < 12; g++ {
		x := new(big.Int).Exp(big.NewInt(g), t, n)
		for range s {
			y := new(big.Int).Mul(x, x)
			y.Mod(y, n)
			if y.Cmp(one) == 0 && x.Cmp(one) != 0 && x.Cmp(last) != 0 {
				p := new(big.Int).GCD(nil, nil, x.Sub(x, one), n)
				return []*big.Int{p, new(big.Int).Div(n, p)}
			}
			x = y
		}
	}
	return nil
}

// MarshalPEM is the private key as PKCS #8 PEM text ("PRIVATE KEY"). It is secret: write it with mode 0600.
func (k *PrivateKey) MarshalPEM() ([]byte, error) {
	der, err := smx509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, badKey(err, "the private key has no PKCS #8 form", "该私钥无法写成 PKCS #8 格式")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Work of the key derivation that guards a passphrase: what is written, and the most that is read.
const (
	writeIterations = 210_000
	maxIterations   = 10_000_000
	maxScryptBytes  = 256 << 20
)

// MarshalEncryptedPEM is the private key as encrypted PKCS #8 PEM text ("ENCRYPTED PRIVATE KEY"; PBES2 with PBKDF2,
// HMAC-SHA256 and AES-256-CBC). A nil rnd means the operating system's randomness.
func (k *PrivateKey) MarshalEncryptedPEM(passphrase []byte, rnd io.Reader) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, badKey(nil, "the passphrase is empty", "口令为空")
	}
	der, err := smx509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, badKey(err, "the private key has no PKCS #8 form", "该私钥无法写成 PKCS #8 格式")
	}
	enc := pkcs.NewPBESEncrypter(pkcs.AES256CBC, pkcs.NewPBKDF2Opts(pkcs.SHA256, 16, writeIterations))
	alg, sealed, err := enc.Encrypt(random(rnd), passphrase, der)
	if err != nil {
		return nil, badKey(err, "the private key could not be encrypted", "私钥无法加密")
	}
	out, err := asn1.Marshal(encryptedInfo{*alg, sealed})
	if err != nil {
		return nil, badKey(err, "the private key could not be encrypted", "私钥无法加密")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: out}), nil
}

type encryptedInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// ParsePrivatePEM reads a private key from PEM text: PRIVATE KEY (PKCS #8), ENCRYPTED PRIVATE KEY, EC PRIVATE KEY
// (SEC 1), RSA PRIVATE KEY (PKCS #1) or SM2 PRIVATE KEY. The first block of one of these types counts. Errors:
// problem.BadValue; problem.NeedAuth when a passphrase is needed and none is given; problem.AuthFailed when it does not
// open the key.
func ParsePrivatePEM(text, passphrase []byte) (*PrivateKey, error) {
	if len(text) > MaxKeyLen {
		return nil, badKey(nil, "the key text takes %d bytes, over the limit of %d", "密钥文本有 %d 字节，超过上限 %d", len(text), MaxKeyLen)
	}
	seen := ""
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = smx509.ParsePKCS8PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			if len(passphrase) == 0 {
				return nil, needPassphrase()
			}
			return openPKCS8(block.Bytes, passphrase)
		case "EC PRIVATE KEY", "SM2 PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, oldEncryption()
			}
			key, err = smx509.ParseTypedECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, oldEncryption()
			}
			key, err = smx509.ParsePKCS1PrivateKey(block.Bytes)
		case "DSA PRIVATE KEY":
			return nil, noDSA()
		default:
			seen = block.Type
			continue
		}
		if err != nil {
			return nil, badKey(err, "the %s block is damaged or of a kind that is not used here", "%s 文本块已损坏，或其种类不在此使用", block.Type)
		}
		return newPrivate(key)
	}
	if seen != "" {
		return nil, badKey(nil, "the PEM text holds a %s where a PRIVATE KEY is wanted", "PEM 文本中是 %s，此处需要 PRIVATE KEY", clip(seen))
	}
	return nil, badKey(nil, "this is no PEM text with a PRIVATE KEY block", "这不是含有 PRIVATE KEY 文本块的 PEM 文本")
}

func needPassphrase() error {
	return problem.New(problem.NeedAuth, "the private key is encrypted; give its passphrase", "私钥已加密；请给出口令")
}

func wrongPassphrase() error {
	return problem.New(problem.AuthFailed, "the passphrase does not open the private key", "口令无法打开该私钥")
}

func oldEncryption() error {
	return problem.New(problem.Unsupported,
		"the private key is encrypted in OpenSSL's old way; convert it with: openssl pkcs8 -topk8 -in FILE",
		"私钥使用 OpenSSL 旧式加密；请用 openssl pkcs8 -topk8 -in FILE 转换")
}

func openPKCS8(der, passphrase []byte) (*PrivateKey, error) {
	if err := checkWork(der); err != nil {
		return nil, err
	}
	key, _, err := pkcs8.ParsePrivateKey(der, passphrase)
	if err != nil {
		return nil, wrongPassphrase()
	}
	return newPrivate(key)
}

// checkWork refuses an encrypted key whose parameters would keep this machine busy for hours or fill its memory.
func checkWork(der []byte) error {
	var info encryptedInfo
	damaged := badKey(nil, "the ENCRYPTED PRIVATE KEY block is damaged", "ENCRYPTED PRIVATE KEY 文本块已损坏")
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return damaged
	}
	var scheme struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	params := info.Algorithm.Parameters.FullBytes
	var pbes1 struct {
		Salt       []byte
		Iterations *big.Int
	}
	if _, err := asn1.Unmarshal(params, &pbes1); err == nil {
		return checkIterations(pbes1.Iterations)
	}
	if _, err := asn1.Unmarshal(params, &scheme); err != nil {
		return damaged
	}
	kdf := scheme.KDF.Parameters.FullBytes
	var scrypt struct {
		Salt    []byte
		N, R, P *big.Int
		KeyLen  int `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(kdf, &scrypt); err == nil {
		limit := big.NewInt(maxScryptBytes / 128)
		for _, n := range []*big.Int{scrypt.N, scrypt.R, scrypt.P} {
			if n.Sign() <= 0 || n.Cmp(limit) > 0 {
				return tooMuchWork()
			}
		}
		work := new(big.Int).Mul(scrypt.N, scrypt.R)
		if work.Mul(work, scrypt.P).Cmp(limit) > 0 {
			return tooMuchWork()
		}
		return nil
	}
	var pbkdf2 struct {
		Salt       []byte
		Iterations *big.Int
		KeyLen     int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(kdf, &pbkdf2); err != nil {
		return damaged
	}
	return checkIterations(pbkdf2.Iterations)
}

func checkIterations(n *big.Int) error {
	if n == nil || n.Sign() <= 0 || n.Cmp(big.NewInt(maxIterations)) > 0 {
		return tooMuchWork()
	}
	return nil
}

func tooMuchWork() error {
	return badKey(nil, "the encrypted private key asks for more work than is done for a passphrase here", "加密私钥要求的口令计算量超过上限")
}
