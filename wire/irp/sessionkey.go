package irp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"sync"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm4"
	"github.com/emmansun/gmsm/smx509"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// cipherID is a session's cipher, as it stands before its key.
type cipherID uint32

const (
	cipherDES  cipherID = 1 // clients of before 2.4
	cipher3DES cipherID = 2
	cipherAES  cipherID = 3 // AES-128
	cipherSM4  cipherID = 4 // the Chinese dialect's
)

const (
	dhKeySize   = 32 // bytes that Diffie–Hellman gives an AES session: the MAC uses all, the cipher the first 16
	minDHBits   = 1024
	maxDHBits   = 2048 // what a group costs the server grows with its cube
	maxRSABits  = 8192
	dhSecretLen = 32 // bytes of a private exponent
)

// size is how many bytes of key the cipher itself takes; 0 for an unknown one.
func (c cipherID) size() int {
	switch c {
	case cipherDES:
		return 8
	case cipher3DES:
		return 24
	case cipherAES, cipherSM4:
		return 16
	}
	return 0
}

// sessionKey is what both sides of a session share.
type sessionKey struct {
	cipher cipherID
	key    []byte // at least cipher.size() bytes
}

func (k sessionKey) valid() bool { return k.cipher.size() > 0 && len(k.key) >= k.cipher.size() }

func (k sessionKey) block() (cipher.Block, error) {
	if !k.valid() {
		return nil, sessionFailed()
	}
	b := k.key[:k.cipher.size()]
	switch k.cipher {
	case cipherDES:
		return des.NewCipher(b)
	case cipher3DES:
		return des.NewTripleDESCipher(b)
	case cipherSM4:
		return sm4.NewCipher(b)
	default:
		return aes.NewCipher(b)
	}
}

// seal encrypts in CBC mode with PKCS #7 padding: IV and ciphertext. With SM4 the IV is the key (so deployed software
// has it), and is therefore not sent.
func (k sessionKey) seal(random io.Reader, plain []byte) ([]byte, error) {
	block, err := k.block()
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	pad := size - len(plain)%size
	out := make([]byte, size, size+len(plain)+pad)
	iv := out
	if k.cipher == cipherSM4 {
		iv, out = k.key[:size], out[:0]
	} else if _, err := io.ReadFull(random, iv); err != nil {
		return nil, noRandomness(err)
	}
	head := len(out)
	out = append(out, plain...)
	out = append(out, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out[head:], out[head:])
	return out, nil
}

// open undoes seal. The error is always the same, of kind SessionFailed, and the padding is checked in constant time.
func (k sessionKey) open(sealed []byte) ([]byte, error) {
	block, err := k.block()
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(sealed) < size || len(sealed)%size != 0 {
		return nil, sessionFailed()
	}
	iv := sealed[:size]
	text := sealed[size:]
	if k.cipher == cipherSM4 {
		// A writer may send the IV all the same; then it is the key, which no ciphertext of it is.
		if subtle.ConstantTimeCompare(iv, k.key[:size]) == 0 {
			iv, text = k.key[:size], sealed
		}
	}
	if len(text) == 0 {
		return nil, sessionFailed()
	}
	plain := make([]byte, len(text))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, text)
	pad := int(plain[len(plain)-1])
	good := subtle.ConstantTimeLessOrEq(1, pad) & subtle.ConstantTimeLessOrEq(pad, size)
	for i := 1; i <= size; i++ {
		in := subtle.ConstantTimeLessOrEq(i, pad)
		same := subtle.ConstantTimeByteEq(plain[len(plain)-i], byte(pad))
		good &= subtle.ConstantTimeSelect(in, same, 1)
	}
	if good != 1 {
		return nil, sessionFailed()
	}
	return plain[:len(plain)-pad], nil
}

func sessionFailed() error {
	return problem.New(problem.SessionFailed,
		"Invalid session id. Unable to decrypt request message.", "会话无效，无法解密消息；请重新建立会话")
}

// Names of MACs in credentials.
const (
	macSHA256 = "HMAC-SHA256"
	macSHA1   = "SHA1"
)

// mac computes what a message carries: HMAC-SHA256 from version 2.7 on, before that SHA-1 of key, message and key.
func (k sessionKey) mac(version Version, signed []byte) (hashName string, mac []byte) {
	hashName = macSHA256
	if !version.AtLeast(2, 7) {
		hashName = macSHA1
	}
	return hashName, k.macNamed(hashName, signed)
}

func (k sessionKey) macNamed(hashName string, signed []byte) []byte {
	switch hashName {
	case macSHA256:
		h := hmac.New(sha256.New, k.key)
		h.Write(signed)
		return h.Sum(nil)
	case "HMAC-SHA1":
		h := hmac.New(sha1.New, k.key)
		h.Write(signed)
		return h.Sum(nil)
	case macSHA1, "SHA-1":
		h := sha1.New()
		h.Write(k.key)
		h.Write(signed)
		h.Write(k.key)
		return h.Sum(nil)
	}
	return nil
}

// verify reports whether mac is the MAC of signed, in constant time.
func (k sessionKey) verify(hashName string, signed, mac []byte) bool {
	if !k.valid() {
		return false
	}
	want := k.macNamed(hashName, signed)
	return want != nil && hmac.Equal(want, mac)
}

// Diffie–Hellman. Public keys stand in HS_PUBKEY form, "DH_PUB_KEY": y, p, g.

// newDH makes a private exponent and the public key that goes with it.
func newDH(random io.Reader, g dhGroup) (x *big.Int, public []byte, err error) {
	b := make([]byte, dhSecretLen)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, nil, noRandomness(err)
	}
	b[0] |= 0x80
	x = new(big.Int).SetBytes(b)
	return x, dhPublic(x, g), nil
}

func dhPublic(x *big.Int, g dhGroup) []byte {
	y := new(big.Int).Exp(g.g, x, g.p)
	return record.AppendKey(nil, record.KeyData{Type: record.KeyDH, Fields: [][]byte{y.Bytes(), g.p.Bytes(), g.g.Bytes()}})
}

// parseDH reads a public key and refuses what would give a weak or a costly exchange. The error is of kind
// BadSessionKey.
func parseDH(data []byte) (y *big.Int, g dhGroup, err error) {
	k, err := record.DecodeKey(data)
	if err != nil || k.Type != record.KeyDH {
		return nil, g, badSessionKey(err)
	}
	for _, f := range k.Fields {
		if len(f) > maxDHBits/8 {
			return nil, g, problem.New(problem.BadSessionKey,
				"the Diffie–Hellman group is over %d bits; use the 2048-bit group 14 of RFC 3526",
				"Diffie–Hellman 群超过 %d 位；请使用 RFC 3526 的 2048 位 14 号群", maxDHBits)
		}
	}
	y = new(big.Int).SetBytes(k.Fields[0])
	g = dhGroup{new(big.Int).SetBytes(k.Fields[1]), new(big.Int).SetBytes(k.Fields[2])}
	top := new(big.Int).Sub(g.p, big.NewInt(1))
	switch {
	case g.p.BitLen() < minDHBits:
		return nil, g, problem.New(problem.BadSessionKey,
			"the Diffie–Hellman group has %d bits, at least %d are needed; use the 2048-bit group 14 of RFC 3526",
			"Diffie–Hellman 群只有 %d 位，至少需要 %d 位；请使用 RFC 3526 的 2048 位 14 号群", g.p.BitLen(), minDHBits)
	case y.Cmp(two) < 0 || y.Cmp(top) >= 0 || g.g.Cmp(two) < 0 || g.g.Cmp(top) >= 0:
		return nil, g, badSessionKey(nil)
	case g.p.Cmp(oakley2.p) != 0 && g.p.Cmp(modp14.p) != 0 && !g.p.ProbablyPrime(0):
		return nil, g, badSessionKey(nil)
	}
	return y, g, nil
}

// agreeDH is the session key from our exponent and their public number.
func agreeDH(x, y *big.Int, g dhGroup, c cipherID) (sessionKey, error) {
	size := c.size()
	if size == 0 {
		return sessionKey{}, badSessionKey(nil)
	}
	if c == cipherAES {
		size = dhKeySize
	}
	secret := new(big.Int).Exp(y, x, g.p).FillBytes(make([]byte, (g.p.BitLen()+7)/8))
	for len(secret) > size && secret[0] == 0 {
		secret = secret[1:]
	}
	return sessionKey{c, bytes.Clone(secret[:size])}, nil
}

// answerDH is the server's half: u32 cipher and its own public key.
func answerDH(random io.Reader, theirs []byte) (sessionKey, []byte, error) {
	y, g, err := parseDH(theirs)
	if err != nil {
		return sessionKey{}, nil, err
	}
	x, public, err := newDH(random, g)
	if err != nil {
		return sessionKey{}, nil, err
	}
	key, err := agreeDH(x, y, g, cipherAES)
	if err != nil {
		return sessionKey{}, nil, err
	}
	return key, append(binary.BigEndian.AppendUint32(nil, uint32(cipherAES)), public...), nil
}

// finishDH is the client's other half.
func finishDH(x *big.Int, g dhGroup, offer []byte) (sessionKey, error) {
	if len(offer) < 4 {
		return sessionKey{}, badSessionKey(nil)
	}
	y, theirs, err := parseDH(offer[4:])
	if err != nil {
		return sessionKey{}, err
	}
	if theirs.p.Cmp(g.p) != 0 || theirs.g.Cmp(g.g) != 0 {
		return sessionKey{}, badSessionKey(nil)
	}
	return agreeDH(x, y, g, cipherID(binary.BigEndian.Uint32(offer)))
}

func badSessionKey(cause error) error {
	return problem.Wrap(cause, problem.BadSessionKey, "the session's key is of no use; set up a new session",
		"会话密钥不可用；请重新建立会话")
}

// sealNewKey makes a key and encrypts it (u32 cipher, key) to a public key in HS_PUBKEY form: RSA, with PKCS #1 v1.5,
// gets an AES key; SM2 gets an SM4 key. The error is of kind BadSessionKey.
func sealNewKey(random io.Reader, public []byte) (sessionKey, []byte, error) {
	to, err := sealTo(public)
	if err != nil {
		return sessionKey{}, nil, err
	}
	k := sessionKey{cipherAES, make([]byte, cipherAES.size())}
	if _, ok := to.(*ecdsa.PublicKey); ok {
		k.cipher = cipherSM4
	}
	if _, err := io.ReadFull(random, k.key); err != nil {
		return sessionKey{}, nil, noRandomness(err)
	}
	sealed, err := sealKey(random, to, k)
	return k, sealed, err
}

func sealKey(random io.Reader, to any, k sessionKey) ([]byte, error) {
	plain := append(binary.BigEndian.AppendUint32(nil, uint32(k.cipher)), k.key...)
	var sealed []byte
	var err error
	switch to := to.(type) {
	case *rsa.PublicKey:
		//lint:ignore SA1019 deployed clients know no other padding; the key is of one session, and signed for in mode 2
		sealed, err = rsa.EncryptPKCS1v15(random, to, plain)
	case *ecdsa.PublicKey:
		sealed, err = sm2.Encrypt(random, to, plain, nil)
	}
	if err != nil {
		return nil, badSessionKey(err)
	}
	return sealed, nil
}

// sealTo is the key to encrypt to: *rsa.PublicKey, or *ecdsa.PublicKey on the SM2 curve.
func sealTo(public []byte) (any, error) {
	k, err := record.DecodeKey(public)
	if err != nil {
		return nil, badSessionKey(err)
	}
	switch k.Type {
	case record.KeyRSA:
		n, e := new(big.Int).SetBytes(k.Fields[1]), new(big.Int).SetBytes(k.Fields[0])
		if !e.IsInt64() || e.Int64() > 1<<31-1 || n.Bit(0) == 0 {
			return nil, badSessionKey(nil)
		}
		return checkRSA(&rsa.PublicKey{N: n, E: int(e.Int64())})
	case record.KeySM2, record.KeyPEM:
		block, _ := pem.Decode(k.Fields[0])
		if block == nil {
			return nil, badSessionKey(nil)
		}
		pub, err := smx509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, badSessionKey(err)
		}
		switch pub := pub.(type) {
		case *rsa.PublicKey:
			return checkRSA(pub)
		case *ecdsa.PublicKey:
			if sm2.IsSM2PublicKey(pub) {
				return pub, nil
			}
		}
	}
	return nil, problem.New(problem.BadSessionKey,
		"a session key can be sent to an RSA or an SM2 key, not to one of type %s; use Diffie–Hellman (mode 4)",
		"会话密钥只能发往 RSA 或 SM2 公钥，不能发往 %s 类型；请使用 Diffie–Hellman（方式 4）", k.Type)
}

func checkRSA(k *rsa.PublicKey) (any, error) {
	if n := k.N.BitLen(); n < 1024 || n > maxRSABits || k.E < 3 || k.E&1 == 0 {
		return nil, badSessionKey(nil)
	}
	return k, nil
}

// openKey reads u32 cipher and key as they were sealed to one of ours: *rsa.PrivateKey or *sm2.PrivateKey.
func openKey(random io.Reader, ours any, sealed []byte) (sessionKey, error) {
	var plain []byte
	var err error
	switch ours := ours.(type) {
	case *rsa.PrivateKey:
		//lint:ignore SA1019 as in sealKey; exchangeKey.open keeps from telling whether it worked
		plain, err = rsa.DecryptPKCS1v15(random, ours, sealed)
	case *sm2.PrivateKey:
		plain, err = ours.Decrypt(random, sealed, nil)
	}
	if err != nil || len(plain) < 4 || len(plain) > 4+64 {
		return sessionKey{}, badSessionKey(err)
	}
	k := sessionKey{cipherID(binary.BigEndian.Uint32(plain)), plain[4:]}
	if !k.valid() {
		return sessionKey{}, badSessionKey(nil)
	}
	return k, nil
}

// exchangeKey is the key that mode 2's clients encrypt to. It is made when the first asks, lives as long as the
// server, and is vouched for by the signature over the message that offers it.
type exchangeKey struct {
	once sync.Once
	key  *rsa.PrivateKey
	err  error
}

func (e *exchangeKey) make(random io.Reader) (*rsa.PrivateKey, error) {
	e.once.Do(func() { e.key, e.err = rsa.GenerateKey(random, 2048) })
	if e.err != nil {
		return nil, noRandomness(e.err)
	}
	return e.key, nil
}

func (e *exchangeKey) public(random io.Reader) ([]byte, error) {
	k, err := e.make(random)
	if err != nil {
		return nil, err
	}
	return rsaPublic(&k.PublicKey), nil
}

func (e *exchangeKey) open(random io.Reader, sealed []byte) (sessionKey, error) {
	k, err := e.make(random)
	if err != nil {
		return sessionKey{}, err
	}
	got, err := openKey(random, k, sealed)
	if err != nil {
		got = sessionKey{cipherAES, make([]byte, dhKeySize)}
		if _, err := io.ReadFull(random, got.key); err != nil {
			return sessionKey{}, noRandomness(err)
		}
	}
	return got, nil
}

func rsaPublic(k *rsa.PublicKey) []byte {
	return record.AppendKey(nil, record.KeyData{Type: record.KeyRSA,
		Fields: [][]byte{big.NewInt(int64(k.E)).Bytes(), k.N.Bytes()}})
}
