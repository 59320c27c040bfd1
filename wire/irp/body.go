package irp

import (
	"bytes"
	"encoding/binary"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Limits on what bodies may hold, as deployed decoders have them.
const (
	maxName    = handle.MaxLen
	maxArray   = 1 << 20
	maxIndexes = record.MaxValues
	maxTypes   = record.MaxValues
	maxNames   = MaxMessage / 5 // of a list: each takes a length and a byte at least
)

func appendIndexes(dst []byte, indexes []uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(indexes)))
	for _, i := range indexes {
		dst = binary.BigEndian.AppendUint32(dst, i)
	}
	return dst
}

func readIndexes(r *record.Reader) []uint32 {
	n := r.Count(maxIndexes, 4)
	if n == 0 {
		return nil
	}
	indexes := make([]uint32, n)
	for i := range indexes {
		indexes[i] = r.U32()
	}
	return indexes
}

func appendNames(dst []byte, names []string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(names)))
	for _, s := range names {
		dst = record.AppendString(dst, s)
	}
	return dst
}

// Resolution is the body of a resolution request:
//
//	str handle | u32 n, n × u32 index | u32 n, n × str type | in the Chinese dialect: bytes auth
type Resolution struct {
	Name    string
	Indexes []uint32
	Types   []string
	Chinese bool // the fourth field is there
	Auth    []byte
}

// AppendResolution appends the body.
func AppendResolution(dst []byte, b *Resolution) []byte {
	dst = record.AppendString(dst, b.Name)
	dst = appendIndexes(dst, b.Indexes)
	dst = appendNames(dst, b.Types)
	if b.Chinese {
		dst = record.AppendString(dst, b.Auth)
	}
	return dst
}

// DecodeResolution reads the body. Auth is a part of it. What stands behind the known fields is passed over, as
// deployed servers do.
func DecodeResolution(body []byte) (Resolution, error) {
	r := record.NewReader(body)
	b := Resolution{Name: r.String(maxName), Indexes: readIndexes(r)}
	if n := r.Count(maxTypes, 4); n > 0 {
		b.Types = make([]string, n)
		for i := range b.Types {
			b.Types[i] = r.String(record.MaxType)
		}
	}
	if rest := r.Rest(); r.Err() == nil && len(rest) >= 4 {
		b.Auth, _, b.Chinese = cutBytes(rest)
	}
	return b, r.Err()
}

// AppendNamed appends the body of operations that have nothing but a handle.
func AppendNamed(dst []byte, name string) []byte { return record.AppendString(dst, name) }

// DecodeNamed reads the handle that begins every request's body, and returns the rest.
func DecodeNamed(body []byte) (name string, rest []byte, err error) {
	r := record.NewReader(body)
	name = r.String(maxName)
	return name, r.Rest(), r.Err()
}

// AppendValues appends the body of create, add and modify, and of the answer to a resolution: str handle | value block.
func AppendValues(dst []byte, name string, vs []record.Value) []byte {
	return record.AppendBlock(record.AppendString(dst, name), vs)
}

// DecodeValues reads that body. Everything is copied.
func DecodeValues(body []byte) (name string, vs []record.Value, err error) {
	name, rest, err := DecodeNamed(body)
	if err == nil {
		vs, _, err = record.DecodeBlock(rest)
	}
	if err != nil {
		return "", nil, err
	}
	return name, vs, nil
}

// AppendRemoval appends the body of remove: str handle | u32 n, n × u32 index.
func AppendRemoval(dst []byte, name string, indexes []uint32) []byte {
	return appendIndexes(record.AppendString(dst, name), indexes)
}

// DecodeRemoval reads the body of remove.
func DecodeRemoval(body []byte) (name string, indexes []uint32, err error) {
	r := record.NewReader(body)
	name, indexes = r.String(maxName), readIndexes(r)
	return name, indexes, r.Err()
}

// AppendNames appends the body of the answers to lists: u32 n, n × str handle.
func AppendNames(dst []byte, names []string) []byte { return appendNames(dst, names) }

// DecodeNames reads that body.
func DecodeNames(body []byte) ([]string, error) {
	r := record.NewReader(body)
	n := r.Count(maxNames, 4)
	names := make([]string, 0, min(n, 1024))
	for range n {
		names = append(names, r.String(maxName))
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	return names, nil
}

// Challenge is the body of AuthenticationNeeded: request digest | bytes nonce.
type Challenge struct {
	Alg    DigestAlg
	Digest []byte // of the request that is challenged
	Nonce  []byte
}

// AppendChallenge appends the body in the form of version v.
func AppendChallenge(dst []byte, v Version, c *Challenge) []byte {
	return record.AppendString(AppendDigest(dst, v, c.Alg, c.Digest), c.Nonce)
}

// DecodeChallenge reads the body, which must have the request digest. Digest and Nonce are parts of it.
func DecodeChallenge(v Version, body []byte) (Challenge, error) {
	a, digest, rest, err := CutDigest(v, body)
	if err != nil {
		return Challenge{}, err
	}
	r := record.NewReader(rest)
	c := Challenge{a, digest, r.Bytes(256)}
	return c, r.Err()
}

// AppendProof appends the body of a challenge's answer: str type | str handle | u32 index | bytes signed.
func AppendProof(dst []byte, p *record.Proof) []byte {
	dst = record.AppendString(dst, p.Type)
	dst = record.AppendString(dst, p.User.Name)
	dst = binary.BigEndian.AppendUint32(dst, p.User.Index)
	return record.AppendString(dst, p.Signed)
}

// DecodeProof reads the body of a challenge's answer. Signed is copied.
func DecodeProof(body []byte) (record.Proof, error) {
	r := record.NewReader(body)
	p := record.Proof{Type: r.String(64), User: record.Ref{Name: r.String(maxName), Index: r.U32()}}
	p.Signed = bytes.Clone(r.Bytes(maxProof))
	return p, r.Err()
}

// maxProof is the longest answer to a challenge; an RSA signature of 16,384 bits takes 2,048.
const maxProof = 8192

// Verification is the body of VERIFY_CHALLENGE, by which a server has another check a proof made with a secret key:
//
//	str handle | u32 index | bytes nonce | bytes digest | bytes signed
type Verification struct {
	User                  record.Ref
	Nonce, Digest, Signed []byte
}

// AppendVerification appends the body.
func AppendVerification(dst []byte, b *Verification) []byte {
	dst = record.AppendString(dst, b.User.Name)
	dst = binary.BigEndian.AppendUint32(dst, b.User.Index)
	dst = record.AppendString(dst, b.Nonce)
	dst = record.AppendString(dst, b.Digest)
	return record.AppendString(dst, b.Signed)
}

// DecodeVerification reads the body. The byte slices are parts of it.
func DecodeVerification(body []byte) (Verification, error) {
	r := record.NewReader(body)
	b := Verification{User: record.Ref{Name: r.String(maxName), Index: r.U32()}}
	b.Nonce, b.Digest, b.Signed = r.Bytes(256), r.Bytes(256), r.Bytes(maxProof)
	return b, r.Err()
}

// Mode is how a session's key comes about.
type Mode uint16

const (
	ModeClientCipher Mode = 1 // the server makes the key and encrypts it to the client's public key
	ModeServerCipher Mode = 2 // the client makes the key and encrypts it to the server's RSA key
	ModeHandleCipher Mode = 3 // as 1, with a public key that stands in a record
	ModeDH           Mode = 4 // Diffie–Hellman
)

// Setup is the body of a session's request:
//
//	u16 mode | u32 seconds | str handle | u32 index | modes 1, 4: bytes key; mode 3: str handle, u32 index | u16 0
type Setup struct {
	Mode    Mode
	Timeout uint32     // seconds
	User    record.Ref // whose session; an empty name and index 0xffffffff for anybody's
	Key     []byte     // in HS_PUBKEY form
	KeyRef  record.Ref
}

// AppendSetup appends the body. Its length counts the two zero bytes at the end.
func AppendSetup(dst []byte, b *Setup) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(b.Mode))
	dst = binary.BigEndian.AppendUint32(dst, b.Timeout)
	dst = record.AppendString(dst, b.User.Name)
	dst = binary.BigEndian.AppendUint32(dst, b.User.Index)
	switch b.Mode {
	case ModeClientCipher, ModeDH:
		dst = record.AppendString(dst, b.Key)
	case ModeHandleCipher:
		dst = record.AppendString(dst, b.KeyRef.Name)
		dst = binary.BigEndian.AppendUint32(dst, b.KeyRef.Index)
	}
	return append(dst, 0, 0)
}

// DecodeSetup reads the body, with the two zero bytes or without. Key is a part of it. The error is of kind
// problem.BadSessionSetup.
func DecodeSetup(body []byte) (Setup, error) {
	r := record.NewReader(body)
	b := Setup{Mode: Mode(r.U16()), Timeout: r.U32(), User: record.Ref{Name: r.String(maxName), Index: r.U32()}}
	switch b.Mode {
	case ModeClientCipher, ModeDH:
		b.Key = r.Bytes(maxKey)
	case ModeServerCipher:
	case ModeHandleCipher:
		b.KeyRef = record.Ref{Name: r.String(maxName), Index: r.U32()}
	default:
		r.Fail("session mode %d is none of 1 to 4", "会话模式 %d 不是 1 至 4 之一", uint16(b.Mode))
	}
	if err := r.Err(); err != nil {
		return Setup{}, problem.Wrap(err, problem.BadSessionSetup, "the session request is malformed", "会话请求格式错误")
	}
	return b, nil
}

// maxKey is the longest public key in a message.
const maxKey = 16384

// SetupAnswer is the body of the answer to a session's request, behind its request digest: u16 mode | bytes data | u16 0.
//
// Data by mode: 4: u32 cipher and the server's DH_PUB_KEY; 1 and 3: the encrypted key; 2: the server's RSA_PUB_KEY.
type SetupAnswer struct {
	Mode Mode
	Data []byte
}

// AppendSetupAnswer appends the body. Its length counts the two zero bytes at the end.
func AppendSetupAnswer(dst []byte, b *SetupAnswer) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(b.Mode))
	dst = record.AppendString(dst, b.Data)
	return append(dst, 0, 0)
}

// DecodeSetupAnswer reads the body behind its request digest. Data is a part of it.
func DecodeSetupAnswer(body []byte) (SetupAnswer, error) {
	r := record.NewReader(body)
	b := SetupAnswer{Mode: Mode(r.U16()), Data: r.Bytes(maxKey)}
	return b, r.Err()
}

// AppendExchange appends the body of a session's key exchange (mode 2): bytes encrypted key.
func AppendExchange(dst, sealed []byte) []byte { return record.AppendString(dst, sealed) }

// DecodeExchange reads that body; the bytes are a part of it.
func DecodeExchange(body []byte) ([]byte, error) {
	r := record.NewReader(body)
	return r.Bytes(maxKey), r.Err()
}

// AppendLogin appends the body of the Chinese dialect's login: str handle | u32 index.
func AppendLogin(dst []byte, user record.Ref) []byte {
	return binary.BigEndian.AppendUint32(record.AppendString(dst, user.Name), user.Index)
}

// DecodeLogin reads that body.
func DecodeLogin(body []byte) (record.Ref, error) {
	r := record.NewReader(body)
	u := record.Ref{Name: r.String(maxName), Index: r.U32()}
	return u, r.Err()
}

// AppendError appends the body of an answer that is no success: str message, which may be empty.
func AppendError(dst []byte, text string) []byte { return record.AppendString(dst, text) }

// DecodeError reads that body. Old servers leave it out; it is then empty. What stands behind the text (the indexes
// that DO-IRP 3 adds) is passed over.
func DecodeError(body []byte) (string, error) {
	if len(body) == 0 {
		return "", nil
	}
	r := record.NewReader(body)
	s := r.String(maxArray)
	return s, r.Err()
}

// AppendReferral appends the body of a referral: str handle, which may be empty | value block if there is one.
func AppendReferral(dst []byte, f *record.Referral) []byte {
	dst = record.AppendString(dst, f.Name)
	if len(f.Values) > 0 {
		dst = record.AppendBlock(dst, f.Values)
	}
	return dst
}

// DecodeReferral reads that body. prefix tells which of the two referrals it was.
func DecodeReferral(body []byte, prefix bool) (*record.Referral, error) {
	f := &record.Referral{Prefix: prefix}
	name, rest, err := DecodeNamed(body)
	if err != nil {
		return nil, err
	}
	f.Name = name
	if len(rest) > 0 {
		if f.Values, _, err = record.DecodeBlock(rest); err != nil {
			return nil, err
		}
	}
	return f, nil
}
