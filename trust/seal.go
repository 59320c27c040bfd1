package trust

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"io"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm4"
	"github.com/fujie-id/fujie/problem"
)

// Seal encrypts a short text, such as a session key (handle-protocol §1.12), so that only the holder of the private
// key reads it: RSA with PKCS #1 v1.5 padding, SM2 as C1‖C3‖C2 with an uncompressed point (GB/T 32918.4). A nil rnd means
// the operating system's randomness. Errors: problem.Unsupported for other kinds of keys; problem.TooLarge.
func (p PublicKey) Seal(text []byte, rnd io.Reader) ([]byte, error) {
	switch k := p.key.(type) {
	case *rsa.PublicKey:
		if len(text) > k.Size()-11 {
			return nil, problem.New(problem.TooLarge, "a text of %d bytes does not fit under an RSA key of %d bits", "%d 字节的内容超过 %d 位 RSA 密钥可加密的长度", len(text), k.N.BitLen())
		}
		//lint:ignore SA1019 the protocol knows no other padding.
		return rsa.EncryptPKCS1v15(random(rnd), k, text)
	case *ecdsa.PublicKey:
		if p.alg != SM2 {
			break
		}
		if len(text) == 0 || len(text) > maxSealed {
			return nil, problem.New(problem.TooLarge, "a text of %d bytes is not encrypted here; 1 to %d are", "不加密 %d 字节的内容；应为 1 至 %d 字节", len(text), maxSealed)
		}
		return sm2.Encrypt(random(rnd), k, text, nil)
	}
	return nil, problem.New(problem.Unsupported, "a key of kind %q encrypts nothing; take an RSA or SM2 key", "%q 密钥不能加密；请用 RSA 或 SM2 密钥", p.alg)
}

const maxSealed = 4096

// Open decrypts what Seal encrypted; SM2 ciphertext may also be in ASN.1 form. It tells nothing about why it fails. That
// it fails must not be told to a stranger when the key is an RSA key: use OpenSession for what strangers send.
// Errors: problem.Unsupported for other kinds of keys; problem.BadSessionKey.
func (k *PrivateKey) Open(sealed []byte) ([]byte, error) {
	failed := problem.New(problem.BadSessionKey, "the encrypted text does not open with this key", "密文无法用该密钥打开")
	switch key := k.key.(type) {
	case *rsa.PrivateKey:
		//lint:ignore SA1019 the protocol knows no other padding; OpenSession keeps strangers from using it as an oracle.
		out, err := rsa.DecryptPKCS1v15(nil, key, sealed)
		if err != nil {
			return nil, failed
		}
		return out, nil
	case *sm2.PrivateKey:
		if len(sealed) > maxSealed+200 {
			return nil, failed
		}
		out, err := sm2.Decrypt(key, sealed)
		if err != nil || len(out) == 0 {
			return nil, failed
		}
		return out, nil
	}
	return nil, problem.New(problem.Unsupported, "a key of kind %q decrypts nothing; take an RSA or SM2 key", "%q 密钥不能解密；请用 RSA 或 SM2 密钥", k.pub.alg)
}

// OpenSession decrypts a session key, u32 cipher and the key, that somebody sealed for us. What an RSA key does not open
// gives a cipher (3, AES) and a key that nobody can know, always the same for the same input: the session then fails at
// its first message, and who sent it learns nothing about the padding, from which signatures could be forged
// (Bleichenbacher's attack). Errors: as Open, for SM2 keys.
func (k *PrivateKey) OpenSession(sealed []byte) ([]byte, error) {
	key, ok := k.key.(*rsa.PrivateKey)
	if !ok {
		return k.Open(sealed)
	}
	secret := sha256.Sum256(key.D.Bytes())
	h := hmac.New(sha256.New, secret[:])
	h.Write([]byte("no session"))
	h.Write(sealed)
	none := h.Sum([]byte{0, 0, 0, 3})
	out, err := k.Open(sealed)
	if err != nil || len(out) < 4+8 || len(out) > 4+64 || out[0]|out[1]|out[2] != 0 || out[3] < 1 || out[3] > 4 {
		return none, nil
	}
	return out, nil
}

// SealSM4 is the session cipher of the Chinese dialect (algorithm code 4): SM4-CBC with PKCS #5 padding under a key of 16
// bytes whose initialisation vector is the key itself. That is weak, and there for those who speak nothing better.
func SealSM4(key, text []byte) ([]byte, error) {
	block, err := sm4.NewCipher(key)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadSessionKey, "an SM4 session key has 16 bytes", "SM4 会话密钥应为 16 字节")
	}
	n := aes.BlockSize - len(text)%aes.BlockSize
	out := make([]byte, len(text)+n)
	copy(out, text)
	for i := len(text); i < len(out); i++ {
		out[i] = byte(n)
	}
	cipher.NewCBCEncrypter(block, key).CryptBlocks(out, out)
	return out, nil
}

// OpenSM4 decrypts what SealSM4 encrypted. Only text whose MAC was checked may be given to it. The error is of kind
// problem.BadSessionKey.
func OpenSM4(key, sealed []byte) ([]byte, error) {
	block, err := sm4.NewCipher(key)
	if err != nil || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, problem.Wrap(err, problem.BadSessionKey, "the SM4 text is malformed", "SM4 密文格式错误")
	}
	out := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, key).CryptBlocks(out, sealed)
	if out = unpad(out, aes.BlockSize); out == nil {
		return nil, problem.New(problem.BadSessionKey, "the SM4 text is malformed", "SM4 密文格式错误")
	}
	return out, nil
}
