package trust

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/binary"
	"io"
	"math/big"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Handle's private key file (handle-protocol §1.13):
//
//	u32 encryption | payload
//	payload, not encrypted:  str type | fields
//	payload, encryption 4:   bytes salt | u32 iterations | u32 key bits | bytes iv | bytes AES-CBC of the plain payload
//
//	type              fields, each u32 length and bytes; numbers in two's complement
//	RSA_PRIVCRT_KEY   n, e, d, p, q, d mod p-1, d mod q-1, 1/q mod p
//	RSA_PRIV_KEY      n, d
//	DSA_PRIV_KEY      x, p, q, g                             (refused: DSA signs nothing here)
//	ED25519_PRIV_KEY  seed, 32 bytes                         (ours)
//	EC_PRIV_KEY       curve name "P-256", number of 32 bytes (ours)
//	SM2_PRIV_KEY      PKCS #8 PEM text, behind u16 flags and without a length, like its public half
const (
	plainKeyFile  = 1
	aesKeyFile    = 4
	rsaPrivCRT    = "RSA_PRIVCRT_KEY"
	rsaPriv       = "RSA_PRIV_KEY"
	dsaPriv       = "DSA_PRIV_KEY"
	ed25519Priv   = "ED25519_PRIV_KEY"
	ecPriv        = "EC_PRIV_KEY"
	sm2Priv       = "SM2_PRIV_KEY"
	handleKeyIter = 10000
)

// MarshalHandle is the private key as a Handle private key file (admpriv.bin): encrypted when there is a passphrase
// (encryption 4: PBKDF2-HMAC-SHA1, 10000 iterations, AES-128-CBC), else in plain (encryption 1). It is secret: write it
// with mode 0600. A nil rnd means the operating system's randomness.
func (k *PrivateKey) MarshalHandle(passphrase []byte, rnd io.Reader) ([]byte, error) {
	plain, err := k.handlePayload()
	if err != nil {
		return nil, err
	}
	if len(passphrase) == 0 {
		return append([]byte{0, 0, 0, plainKeyFile}, plain...), nil
	}
	var salt, iv [16]byte
	for _, b := range [][]byte{salt[:], iv[:]} {
		if _, err := io.ReadFull(random(rnd), b); err != nil {
			return nil, problem.Wrap(err, problem.Internal, "there is no randomness to encrypt with", "没有可用的随机数来加密")
		}
	}
	block, err := aes.NewCipher(pbkdf2SHA1(passphrase, salt[:], handleKeyIter, 16))
	if err != nil {
		return nil, err
	}
	n := aes.BlockSize - len(plain)%aes.BlockSize
	for range n {
		plain = append(plain, byte(n))
	}
	cipher.NewCBCEncrypter(block, iv[:]).CryptBlocks(plain, plain)
	out := []byte{0, 0, 0, aesKeyFile}
	out = record.AppendString(out, salt[:])
	out = binary.BigEndian.AppendUint32(out, handleKeyIter)
	out = binary.BigEndian.AppendUint32(out, 128)
	out = record.AppendString(out, iv[:])
	return record.AppendString(out, plain), nil
}

func (k *PrivateKey) handlePayload() ([]byte, error) {
	var out []byte
	if key, ok := k.key.(*rsa.PrivateKey); ok {
		if len(key.Primes) != 2 {
			return nil, badKey(nil, "an RSA key with %d primes has no Handle form; make a new key", "含 %d 个素数的 RSA 密钥没有 Handle 格式；请生成新密钥", len(key.Primes))
		}
		out = record.AppendString(out, rsaPrivCRT)
		for _, n := range []*big.Int{key.N, big.NewInt(int64(key.E)), key.D, key.Primes[0], key.Primes[1],
			key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv} {
			b := n.Bytes()
			if len(b) == 0 || b[0] >= 0x80 {
				b = append([]byte{0}, b...)
			}
			out = record.AppendString(out, b)
		}
		return out, nil
	}
	if k.pub.alg == SM2 {
		text, err := k.MarshalPEM()
		if err != nil {
			return nil, err
		}
		out = record.AppendString(out, sm2Priv)
		return append(append(out, 0, 0), text...), nil
	}
	seed, err := k.seed()
	if err != nil {
		return nil, err
	}
	if k.pub.alg == P256 {
		out = record.AppendString(record.AppendString(out, ecPriv), "P-256")
	} else {
		out = record.AppendString(out, ed25519Priv)
	}
	return record.AppendString(out, seed), nil
}

// ParsePrivateHandle reads a Handle private key file, with any of its encryptions (0 DES-ECB, 1 none, 2 DES-CBC,
// 3 DESede-CBC, 4 PBKDF2 and AES-CBC). Errors: problem.BadValue; problem.NeedAuth when a passphrase is needed and none is
// given; problem.AuthFailed when it does not open the key; problem.Unsupported for a DSA key.
func ParsePrivateHandle(b, passphrase []byte) (*PrivateKey, error) {
	if len(b) > MaxKeyLen {
		return nil, badKey(nil, "the key file takes %d bytes, over the limit of %d", "密钥文件有 %d 字节，超过上限 %d", len(b), MaxKeyLen)
	}
	if len(b) < 4 {
		return nil, badKey(nil, "this is no Handle private key file", "这不是 Handle 私钥文件")
	}
	enc, body := binary.BigEndian.Uint32(b), b[4:]
	if enc == plainKeyFile {
		return parseHandlePayload(body)
	}
	if enc > aesKeyFile {
		return nil, badKey(nil, "this is no Handle private key file: encryption %d is unknown", "这不是 Handle 私钥文件：加密方式 %d 未知", enc)
	}
	if len(passphrase) == 0 {
		return nil, needPassphrase()
	}
	if enc == aesKeyFile {
		plain, err := openAES(body, passphrase)
		if err != nil {
			return nil, err
		}
		return parseHandlePayload(plain)
	}
	return openDES(enc, body, passphrase)
}

func openAES(body, passphrase []byte) ([]byte, error) {
	r := record.NewReader(body)
	salt := r.Bytes(1024)
	iter, bits := r.U32(), r.U32()
	iv, sealed := r.Bytes(aes.BlockSize), r.Bytes(MaxKeyLen)
	if r.Err() != nil || len(iv) != aes.BlockSize || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, badKey(r.Err(), "the encrypted Handle private key file is damaged", "加密的 Handle 私钥文件已损坏")
	}
	if bits != 128 && bits != 192 && bits != 256 {
		return nil, badKey(nil, "the Handle private key file asks for an AES key of %d bits", "Handle 私钥文件要求 %d 位的 AES 密钥", bits)
	}
	if iter == 0 || iter > maxIterations {
		return nil, tooMuchWork()
	}
	block, err := aes.NewCipher(pbkdf2SHA1(passphrase, salt, int(iter), int(bits/8)))
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	if plain = unpad(plain, aes.BlockSize); plain == nil {
		return nil, wrongPassphrase()
	}
	return plain, nil
}

// unpad takes PKCS #5 padding off; nil when there is none. What it says is no secret: the file and the passphrase are
// in the same hands.
func unpad(b []byte, size int) []byte {
	if len(b) == 0 || len(b)%size != 0 {
		return nil
	}
	n := int(b[len(b)-1])
	if n == 0 || n > size {
		return nil
	}
	for _, c := range b[len(b)-n:] {
		if int(c) != n {
			return nil
		}
	}
	return b[:len(b)-n]
}

// openDES opens files of the years before AES. Their writers differ in how the passphrase becomes a key and where the
// initialisation vector stands, and the file does not say; so each way is tried, and the one that gives a key is right.
func openDES(enc uint32, body, passphrase []byte) (*PrivateKey, error) {
	sum5, sum1 := md5.Sum(passphrase), sha1.Sum(passphrase)
	size := 8
	if enc == 3 {
		size = 24
	}
	var keys [][]byte
	padded := append(append([]byte(nil), passphrase...), make([]byte, size)...)
	for _, k := range [][]byte{padded, sum5[:], sum1[:], append(sum5[:], sum5[:8]...)} {
		if len(k) >= size {
			keys = append(keys, k[:size])
		}
	}
	// The ciphertext may have a length before it, and so may the vector; without a vector it is zeros.
	type text struct{ iv, sealed []byte }
	var zero [8]byte
	texts := []text{{zero[:], body}}
	if len(body) > 8 {
		texts = append(texts, text{body[:8], body[8:]})
	}
	if s, rest, ok := handleString(body); ok {
		if len(rest) == 0 {
			texts = append(texts, text{zero[:], s})
			if len(s) > 8 {
				texts = append(texts, text{s[:8], s[8:]})
			}
		} else if t, rest, ok := handleString(rest); ok && len(rest) == 0 && len(s) == 8 {
			texts = append(texts, text{s, t})
		}
		if len(s) == 8 && len(rest) > 0 {
			texts = append(texts, text{s, rest})
		}
	}
	var denied error
	for _, k := range keys {
		var block cipher.Block
		var err error
		if enc == 3 {
			block, err = des.NewTripleDESCipher(k)
		} else {
			block, err = des.NewCipher(k)
		}
		if err != nil {
			return nil, err
		}
		for _, t := range texts {
			if len(t.sealed) == 0 || len(t.sealed)%8 != 0 {
				continue
			}
			plain := make([]byte, len(t.sealed))
			if enc == 0 {
				for i := 0; i < len(plain); i += 8 {
					block.Decrypt(plain[i:], t.sealed[i:])
				}
			} else {
				cipher.NewCBCDecrypter(block, t.iv).CryptBlocks(plain, t.sealed)
			}
			if plain = unpad(plain, 8); plain == nil {
				continue
			}
			key, err := parseHandlePayload(plain)
			if err == nil {
				return key, nil
			}
			if problem.Is(err, problem.Unsupported) {
				denied = err // it opened, and is a DSA key
			}
		}
	}
	if denied != nil {
		return nil, denied
	}
	return nil, wrongPassphrase()
}

func parseHandlePayload(b []byte) (*PrivateKey, error) {
	typ, rest, ok := handleString(b)
	if !ok || len(typ) > 64 {
		return nil, badKey(nil, "this is no Handle private key file: it has no key type", "这不是 Handle 私钥文件：没有密钥类型")
	}
	damaged := func() (*PrivateKey, error) {
		return nil, badKey(nil, "the Handle private key file (%s) is damaged", "Handle 私钥文件（%s）已损坏", clip(string(typ)))
	}
	// Some writers put two bytes of flags behind the type. No field is empty, so four zero bytes are flags and the
	// upper half of a length.
	if len(rest) > 4 && binary.BigEndian.Uint32(rest) == 0 {
		rest = rest[2:]
	}
	if string(typ) == sm2Priv {
		// Flags, a length, both or neither may stand before the text.
		i := bytes.Index(rest, []byte("-----BEGIN "))
		if i < 0 || i > 6 {
			return damaged()
		}
		k, err := ParsePrivatePEM(rest[i:], nil)
		if err == nil && k.pub.alg != SM2 {
			return damaged()
		}
		return k, err
	}
	var f [8][]byte
	n := 0
	for ; n < len(f) && len(rest) > 0; n++ {
		if f[n], rest, ok = handleString(rest); !ok {
			return damaged()
		}
	}
	switch {
	case string(typ) == rsaPrivCRT && n == 8:
		return rsaPrivate(f[0], f[1], f[2], f[3], f[4])
	case string(typ) == rsaPriv && n >= 2:
		return rsaPrivate(f[0], nil, f[1], nil, nil)
	case string(typ) == dsaPriv:
		return nil, noDSA()
	case string(typ) == ed25519Priv && n == 1 && len(rest) == 0:
		return fromSeed(Ed25519, f[0])
	case string(typ) == ecPriv && n == 2 && len(rest) == 0 && string(f[0]) == "P-256":
		return fromSeed(P256, f[1])
	case string(typ) == rsaPrivCRT, string(typ) == ed25519Priv, string(typ) == ecPriv:
		return damaged()
	}
	return nil, badKey(nil, "a private key of type %q is not used here", "此处不使用 %q 类私钥", clip(string(typ)))
}

// pbkdf2SHA1 is PBKDF2 with HMAC-SHA1 (RFC 8018 §5.2), which the deployed files and proofs are made with. The standard
// library's refuses the short salts and keys of some of them under FIPS rules.
func pbkdf2SHA1(secret, salt []byte, iterations, size int) []byte {
	mac := hmac.New(sha1.New, secret)
	var out, u []byte
	for block := uint32(1); len(out) < size; block++ {
		mac.Reset()
		mac.Write(salt)
		mac.Write(binary.BigEndian.AppendUint32(nil, block))
		u = mac.Sum(u[:0])
		t := append([]byte(nil), u...)
		for range iterations - 1 {
			mac.Reset()
			mac.Write(u)
			u = mac.Sum(u[:0])
			for i := range t {
				t[i] ^= u[i]
			}
		}
		out = append(out, t...)
	}
	return out[:size]
}

// handleString reads u32 length and that many bytes.
func handleString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}
