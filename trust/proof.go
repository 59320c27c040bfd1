package trust

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/emmansun/gmsm/sm3"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// A proof answers a challenge: the challenger's nonce and the digest of the request that is to be done, one behind the
// other, signed with the private half of an HS_PUBKEY or MACed with an HS_SECKEY (handle-protocol §1.9).
//
//	public key:  str hash name | bytes signature over nonce‖digest
//	             SM2: "SM3" | signature over SM3(nonce‖digest), the signer's identity being the user's handle as it is
//	             spelled in the proof (as Teleinfo's clients do it)
//	secret key:  u8 form | what the form says, below
const (
	pubKeyProof = "HS_PUBKEY"
	secKeyProof = "HS_SECKEY"
)

// SecretForm is how a secret key is used in a proof; the first byte of the answer.
type SecretForm uint8

// The forms. Hashes stand over secret‖nonce‖digest‖secret, HMACs over nonce‖digest.
const (
	FormMD5        SecretForm = 0x01
	FormSHA1       SecretForm = 0x02
	FormSHA256     SecretForm = 0x03
	FormHMACSHA1   SecretForm = 0x12
	FormHMACSHA256 SecretForm = 0x13
	// FormPBKDF2 is bytes salt | u32 iterations | u32 key bits | bytes mac: HMAC-SHA1 with a key that PBKDF2-HMAC-SHA1
	// makes from the secret. Clients of protocol 2.7 and later send it; take it.
	FormPBKDF2 SecretForm = 0x22
)

// Limits on what somebody else may make this machine calculate for one proof. Deployed clients ask for 10000
// iterations, 160 bits and 16 bytes of salt.
const (
	MaxProofIterations = 100_000
	maxProofKeyBits    = 512
	maxProofSalt       = 256
	maxProof           = 4096
	proofIterations    = 10_000
	proofKeyBits       = 160
)

// Prove answers a challenge with a private key. The proof's user is spelled as given: SM2 signatures cover the
// spelling.
func Prove(key *PrivateKey, user record.Ref, nonce, digest []byte) (record.Proof, error) {
	if key == nil || user.IsZero() {
		return record.Proof{}, problem.New(problem.BadValue, "a proof needs a key and a user", "身份证明须有密钥和用户")
	}
	message := challenge(nonce, digest)
	if key.pub.alg == SM2 {
		h := sm3.Sum(message)
		message, key = h[:], key.WithID([]byte(user.Name))
	}
	sig, err := key.Sign(message)
	if err != nil {
		return record.Proof{}, err
	}
	return PublicProof(user, key.pub.HashName(), sig), nil
}

// PublicProof puts a proof by signature together from its parts, as a wire other than IRP has them.
func PublicProof(user record.Ref, hashName string, sig []byte) record.Proof {
	return record.Proof{Type: pubKeyProof, User: user, Signed: record.AppendString(record.AppendString(nil, hashName), sig)}
}

// SecretProof puts a proof by MAC together from its parts, as a wire other than IRP has them. Salt, iterations and
// keyBits matter to FormPBKDF2 only.
func SecretProof(user record.Ref, form SecretForm, salt []byte, iterations, keyBits uint32, mac []byte) record.Proof {
	signed := []byte{byte(form)}
	if form == FormPBKDF2 {
		signed = record.AppendString(signed, salt)
		signed = binary.BigEndian.AppendUint32(signed, iterations)
		signed = binary.BigEndian.AppendUint32(signed, keyBits)
		signed = record.AppendString(signed, mac)
	} else {
		signed = append(signed, mac...)
	}
	return record.Proof{Type: secKeyProof, User: user, Signed: signed}
}

// ProveSecret answers a challenge with a secret key.
func ProveSecret(secret []byte, user record.Ref, nonce, digest []byte, form SecretForm) (record.Proof, error) {
	if len(secret) == 0 || user.IsZero() {
		return record.Proof{}, problem.New(problem.BadValue, "a proof needs a secret key and a user", "身份证明须有密钥和用户")
	}
	var salt []byte
	if form == FormPBKDF2 {
		salt = make([]byte, 16)
		if _, err := rand.Read(salt); err != nil {
			return record.Proof{}, problem.Wrap(err, problem.Internal, "there is no randomness for a proof", "没有可用的随机数来生成身份证明")
		}
	}
	mac := secretMAC(form, secret, salt, proofIterations, proofKeyBits, nonce, digest)
	if mac == nil {
		return record.Proof{}, problem.New(problem.Unsupported, "the form 0x%02x of a secret-key proof is unknown", "密钥证明形式 0x%02x 未知", uint8(form))
	}
	return SecretProof(user, form, salt, proofIterations, proofKeyBits, mac), nil
}

func challenge(nonce, digest []byte) []byte {
	return append(append(make([]byte, 0, len(nonce)+len(digest)), nonce...), digest...)
}

// secretMAC is nil for an unknown form.
func secretMAC(form SecretForm, secret, salt []byte, iterations, keyBits uint32, nonce, digest []byte) []byte {
	var h hash.Hash
	hashed := false
	switch form {
	case FormMD5:
		h, hashed = md5.New(), true
	case FormSHA1:
		h, hashed = sha1.New(), true
	case FormSHA256:
		h, hashed = sha256.New(), true
	case FormHMACSHA1:
		h = hmac.New(sha1.New, secret)
	case FormHMACSHA256:
		h = hmac.New(sha256.New, secret)
	case FormPBKDF2:
		h = hmac.New(sha1.New, pbkdf2SHA1(secret, salt, int(iterations), int(keyBits/8)))
	default:
		return nil
	}
	if hashed {
		h.Write(secret)
	}
	h.Write(nonce)
	h.Write(digest)
	if hashed {
		h.Write(secret)
	}
	return h.Sum(nil)
}

// secretSigned is the answer of a secret-key proof, taken apart and within limits.
type secretSigned struct {
	form       SecretForm
	salt       []byte
	iterations uint32
	keyBits    uint32
	mac        []byte
}

func parseSecretSigned(signed []byte) (s secretSigned, err error) {
	bad := func(en, zh string, args ...any) (secretSigned, error) {
		return s, problem.New(problem.BadCredential, en, zh, args...)
	}
	if len(signed) == 0 || len(signed) > maxProof {
		return bad("the proof takes %d bytes; 1 to %d are expected", "身份证明有 %d 字节；应为 1 至 %d", len(signed), maxProof)
	}
	s.form = SecretForm(signed[0])
	size := 0
	switch s.form {
	case FormMD5:
		size = md5.Size
	case FormSHA1, FormHMACSHA1, FormPBKDF2:
		size = sha1.Size
	case FormSHA256, FormHMACSHA256:
		size = sha256.Size
	default:
		return bad("the form 0x%02x of a secret-key proof is unknown", "密钥证明形式 0x%02x 未知", signed[0])
	}
	s.mac = signed[1:]
	if s.form == FormPBKDF2 {
		r := record.NewReader(signed[1:])
		s.salt = r.Bytes(maxProofSalt)
		s.iterations, s.keyBits = r.U32(), r.U32()
		s.mac = r.Bytes(maxProof)
		if r.Err() != nil || r.Len() != 0 {
			return s, problem.Wrap(r.Err(), problem.BadCredential, "the proof is malformed", "身份证明格式错误")
		}
		if s.iterations == 0 || s.iterations > MaxProofIterations || s.keyBits == 0 || s.keyBits > maxProofKeyBits || s.keyBits%8 != 0 {
			return bad("the proof asks for %d iterations and %d bits; at most %d and %d are calculated, in whole bytes", "身份证明要求 %d 次迭代、%d 位；最多计算 %d 次、%d 位，且须为整字节", s.iterations, s.keyBits, MaxProofIterations, maxProofKeyBits)
		}
	}
	if len(s.mac) != size {
		return bad("the proof's MAC has %d bytes, its form has %d", "身份证明的 MAC 有 %d 字节，该形式应为 %d 字节", len(s.mac), size)
	}
	return s, nil
}

func (s *secretSigned) check(secret, nonce, digest []byte) bool {
	want := secretMAC(s.form, secret, s.salt, s.iterations, s.keyBits, nonce, digest)
	return len(secret) > 0 && hmac.Equal(want, s.mac)
}

// VerifySecret checks the answer to a challenge (Proof.Signed) against a secret key, in constant time. What is
// malformed or over the limits on iterations and sizes is false.
func VerifySecret(secret, signed, nonce, digest []byte) bool {
	s, err := parseSecretSigned(signed)
	return err == nil && s.check(secret, nonce, digest)
}

// VerifyPublic checks the answer to a challenge (Proof.Signed) against a public key. Errors: problem.BadCredential for a
// malformed answer; problem.AuthFailed.
func VerifyPublic(key PublicKey, user record.Ref, signed, nonce, digest []byte) error {
	name, sig, err := parsePublicSigned(signed)
	if err != nil {
		return err
	}
	return verifyPublic(key, user, name, sig, nonce, digest)
}

func parsePublicSigned(signed []byte) (name string, sig []byte, err error) {
	r := record.NewReader(signed)
	name, sig = r.String(64), r.Bytes(maxProof)
	if r.Err() != nil || r.Len() != 0 {
		return "", nil, problem.Wrap(r.Err(), problem.BadCredential, "the proof is malformed", "身份证明格式错误")
	}
	return name, sig, nil
}

func verifyPublic(key PublicKey, user record.Ref, name string, sig, nonce, digest []byte) error {
	message := challenge(nonce, digest)
	if key.alg == SM2 {
		h := sm3.Sum(message)
		message, key = h[:], key.WithID([]byte(user.Name))
		// Clients write the signature as DER or as r and s of 32 bytes each.
		if _, _, der := splitDER(sig); !der {
			if s, ok := derFromRaw(sig); ok {
				sig = s
			}
		}
	}
	return key.VerifyHash(name, message, sig)
}
