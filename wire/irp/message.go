// Package irp speaks the Handle protocol (DO-IRP 2.11, RFC 3650–3652 as deployed), as server and as client: over UDP,
// TCP, TLS and HTTP, to unmodified clients of the Handle System and of the Chinese identifier system.
//
// A message on the wire; all numbers are big endian:
//
//	envelope (20)  u8 major, u8 minor | u8 flags and suggested major | u8 suggested minor
//	               | u32 session | u32 request | u32 sequence | u32 length of what follows
//	header (24)    u32 operation | u32 response code | u32 flags | u16 site serial | u8 recursion count | u8 0
//	               | u32 expiration, seconds since 1970 | u32 length of the body
//	body
//	credential     u32 length | bytes
//
// A UDP packet has at most 512 bytes; a longer message comes as several, each with the envelope (see fragment.go).
// Behind the envelope of an encrypted message stands the rest as one piece of cipher text.
package irp

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

const (
	envelopeSize = 20
	headerSize   = 24

	// MaxMessage is the longest message, in bytes without its envelope, that deployed software takes.
	MaxMessage = 262144
	// MaxPacket is the longest UDP packet, in bytes with the envelope.
	MaxPacket = 512
	// MaxPiece is how much of a message one UDP packet carries.
	MaxPiece = MaxPacket - envelopeSize
)

// Version of the protocol.
type Version struct{ Major, Minor uint8 }

// Latest is the version spoken here, and suggested to others.
var Latest = Version{2, 11}

// oldest stands on the answer to what could not be decoded, since nobody knows what the peer speaks.
var oldest = Version{2, 3}

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor uint8) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Flags say how an operation is to be done. A response repeats its request's.
type Flags uint32

const (
	Authoritative  Flags = 0x80000000 // AT: by a primary
	Certified      Flags = 0x40000000 // CT: sign the answer
	Encrypt        Flags = 0x20000000 // ENC: encrypt the answer (in a session)
	Recursive      Flags = 0x10000000 // REC
	CacheOK        Flags = 0x08000000 // CA
	Continuous     Flags = 0x04000000 // CN: more messages of this answer follow
	KeepConnection Flags = 0x02000000 // KC
	PublicOnly     Flags = 0x01000000 // PO: leave out what is not for everybody
	RequestDigest  Flags = 0x00800000 // RD: repeat the digest of the request
	Overwrite      Flags = 0x00400000 // OVRW
	MintSuffix     Flags = 0x00200000 // MINT
	NoReferral     Flags = 0x00100000 // DNRF
	RecursiveAuth  Flags = 0x00000004 // Chinese dialect: carry the asker's identity to the server referred to
	TrustedQuery   Flags = 0x00000002 // Chinese dialect: tell whether the chain of signatures was checked and holds
	TrustedResult  Flags = 0x00000001 // Chinese dialect: it was, and it does; the server's word, not a proof

	// DefaultFlags is what deployed clients send.
	DefaultFlags = Recursive | CacheOK | PublicOnly
)

// Envelope stands before every packet.
type Envelope struct {
	Version    Version
	Suggested  Version // what the sender would like to speak; as Version when it does not say
	Compressed bool    // never used by anybody; such messages are refused
	Encrypted  bool
	Truncated  bool // one packet of several
	Session    uint32
	Request    uint32
	Sequence   uint32 // of the packet in its message, from 0
	Length     uint32 // of the whole message, without envelope
}

const (
	bitCompressed = 0x80
	bitEncrypted  = 0x40
	bitTruncated  = 0x20
	maskMajor     = 0x1f
)

// DecodeEnvelope reads the first 20 bytes of b. The error is of kind problem.BadRequest: too short, or a length over
// MaxMessage; the envelope then has what could be read.
func DecodeEnvelope(b []byte) (Envelope, error) {
	if len(b) < envelopeSize {
		return Envelope{}, problem.New(problem.BadRequest, "the packet has %d bytes, less than an envelope's %d",
			"数据包只有 %d 字节，不足信封的 %d 字节", len(b), envelopeSize)
	}
	e := Envelope{
		Version:    Version{b[0], b[1]},
		Suggested:  Version{b[2] & maskMajor, b[3]},
		Compressed: b[2]&bitCompressed != 0,
		Encrypted:  b[2]&bitEncrypted != 0,
		Truncated:  b[2]&bitTruncated != 0,
		Session:    binary.BigEndian.Uint32(b[4:]),
		Request:    binary.BigEndian.Uint32(b[8:]),
		Sequence:   binary.BigEndian.Uint32(b[12:]),
		Length:     binary.BigEndian.Uint32(b[16:]),
	}
	if e.Suggested.Major == 0 {
		e.Suggested = e.Version
	}
	if e.Length > MaxMessage {
		return e, problem.New(problem.BadRequest, "the message announces %d bytes, over the limit of %d; send less at a time",
			"消息声明有 %d 字节，超过上限 %d；请分次发送", e.Length, MaxMessage)
	}
	return e, nil
}

// AppendEnvelope appends the 20 bytes.
func AppendEnvelope(dst []byte, e *Envelope) []byte {
	bits := e.Suggested.Major & maskMajor
	if e.Compressed {
		bits |= bitCompressed
	}
	if e.Encrypted {
		bits |= bitEncrypted
	}
	if e.Truncated {
		bits |= bitTruncated
	}
	dst = append(dst, e.Version.Major, e.Version.Minor, bits, e.Suggested.Minor)
	dst = binary.BigEndian.AppendUint32(dst, e.Session)
	dst = binary.BigEndian.AppendUint32(dst, e.Request)
	dst = binary.BigEndian.AppendUint32(dst, e.Sequence)
	return binary.BigEndian.AppendUint32(dst, e.Length)
}

// Speak is the version in which to answer the envelope's sender: what it suggests, but not over Latest.
func (e *Envelope) Speak() Version {
	if e.Suggested.AtLeast(Latest.Major, Latest.Minor) {
		return Latest
	}
	return e.Suggested
}

// Header says what a message is about.
type Header struct {
	Op         Op
	Code       Code // 0 in requests
	Flags      Flags
	SiteSerial uint16 // of the sender's site information; UnknownSite when it has none
	Recursion  uint8  // servers that the request went through
	Expires    uint32 // seconds since 1970
}

// UnknownSite is the serial of somebody without site information.
const UnknownSite = 0xffff

// lifetime is how long deployed software says that a message is good, in seconds.
const lifetime = 43200

// AppendHeader appends the 24 bytes.
func AppendHeader(dst []byte, h *Header, bodyLen int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Op))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Code))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Flags))
	dst = binary.BigEndian.AppendUint16(dst, h.SiteSerial)
	dst = append(dst, h.Recursion, 0)
	dst = binary.BigEndian.AppendUint32(dst, h.Expires)
	return binary.BigEndian.AppendUint32(dst, uint32(bodyLen))
}

// Message is one whole message. Encrypted ones are decrypted before they are taken apart.
type Message struct {
	Envelope
	Header
	Body       []byte
	Credential []byte // the credential section without its length; empty when there is none

	content []byte // header and body as they came, which digests and signatures cover
}

// DecodeMessage takes apart what stands behind the envelope, in clear. Body and Credential are parts of b. The error
// is of kind problem.BadRequest. A message that ends with its body, without the length of a credential, is taken.
func DecodeMessage(e Envelope, b []byte) (*Message, error) {
	m := &Message{Envelope: e}
	if err := m.decode(b); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Message) decode(b []byte) error {
	r := record.NewReader(b)
	m.Op, m.Code, m.Flags = Op(r.U32()), Code(r.U32()), Flags(r.U32())
	m.SiteSerial = r.U16()
	m.Recursion = r.U8()
	r.U8()
	m.Expires = r.U32()
	m.Body = r.Bytes(MaxMessage)
	if r.Err() == nil {
		m.content = b[:headerSize+len(m.Body)]
		if r.Len() > 0 {
			m.Credential = r.Bytes(MaxMessage)
		}
	}
	return r.Err()
}

// Content is header and body: as they came, or, in a message made here, as they will go.
func (m *Message) Content() []byte {
	if m.content == nil {
		m.content = append(AppendHeader(make([]byte, 0, headerSize+len(m.Body)), &m.Header, len(m.Body)), m.Body...)
	}
	return m.content
}

// AppendPayload appends what stands behind the envelope: header, body and credential.
func AppendPayload(dst []byte, m *Message) []byte {
	dst = append(dst, m.Content()...)
	return record.AppendString(dst, m.Credential)
}

// AppendMessage appends the whole message in clear, with its envelope's Length set. Change nothing in Header and Body
// after Content was called.
func AppendMessage(dst []byte, m *Message) []byte {
	e := m.Envelope
	e.Length = uint32(headerSize + len(m.Body) + 4 + len(m.Credential))
	return AppendPayload(AppendEnvelope(dst, &e), m)
}

// AppendSealed appends a message whose payload was encrypted.
func AppendSealed(dst []byte, e Envelope, sealed []byte) []byte {
	e.Encrypted, e.Length = true, uint32(len(sealed))
	return append(AppendEnvelope(dst, &e), sealed...)
}

// AppendCovered appends the bytes that a credential signs or authenticates, under the rules of the message's version:
// 2.8 and later: the four version bytes, session, request and counter before header and body; 2.7: the same with two
// version bytes; before 2.5: header and body. What 2.5 and 2.6 did cannot be checked by anybody; ok is then false.
func (m *Message) AppendCovered(dst []byte, counter uint32) (out []byte, ok bool) {
	v := m.Version
	switch {
	case v.AtLeast(2, 8):
		dst = append(dst, v.Major, v.Minor, m.Suggested.Major, m.Suggested.Minor)
	case v.AtLeast(2, 7):
		dst = append(dst, v.Major, v.Minor)
	case v.AtLeast(2, 5):
		return dst, false
	default:
		return append(dst, m.Content()...), true
	}
	dst = binary.BigEndian.AppendUint32(dst, m.Session)
	dst = binary.BigEndian.AppendUint32(dst, m.Request)
	dst = binary.BigEndian.AppendUint32(dst, counter)
	return append(dst, m.Content()...), true
}

// Credential is what vouches for a message: a signature or a MAC over AppendCovered.
//
//	u8 0 | u8 0 | u16 0 | str signer | u32 counter | str type | u32 length of the rest | str algorithm | bytes signature
type Credential struct {
	Signer    string // empty: the server, by its HS_SITE; or the session's peer
	Counter   uint32 // of messages in the session
	Type      string // CredentialSigned or CredentialMAC
	Algorithm string // "SHA-256", "HMAC-SHA256", …
	Signature []byte
}

const (
	CredentialSigned = "HS_SIGNED"
	CredentialMAC    = "HS_MAC"
)

// AppendCredential appends the credential section, without its length.
func AppendCredential(dst []byte, c *Credential) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = record.AppendString(dst, c.Signer)
	dst = binary.BigEndian.AppendUint32(dst, c.Counter)
	dst = record.AppendString(dst, c.Type)
	dst = binary.BigEndian.AppendUint32(dst, uint32(8+len(c.Algorithm)+len(c.Signature)))
	dst = record.AppendString(dst, c.Algorithm)
	return record.AppendString(dst, c.Signature)
}

// DecodeCredential reads a credential section. Signature is a part of b.
func DecodeCredential(b []byte) (Credential, error) {
	r := record.NewReader(b)
	if v := r.U8(); v != 0 {
		r.Fail("credential version %d is not 0", "凭证版本 %d 不是 0", v)
	}
	r.Take(3)
	c := Credential{Signer: r.String(maxName), Counter: r.U32(), Type: r.String(64)}
	if n := r.U32(); r.Err() == nil && int64(n) != int64(r.Len()) {
		r.Fail("the signature announces %d bytes, %d are left", "签名声明 %d 字节，实际剩 %d 字节", n, r.Len())
	}
	c.Algorithm = r.String(64)
	c.Signature = r.Bytes(MaxMessage)
	if r.Err() != nil {
		return Credential{}, r.Err()
	}
	return c, nil
}

// DigestAlg names the hash of a request digest.
type DigestAlg uint8

const (
	MD5    DigestAlg = 1
	SHA1   DigestAlg = 2
	SHA256 DigestAlg = 3
)

// Size is the digest's length in bytes; 0 for an unknown algorithm.
func (a DigestAlg) Size() int {
	switch a {
	case MD5:
		return md5.Size
	case SHA1:
		return sha1.Size
	case SHA256:
		return sha256.Size
	}
	return 0
}

// DigestAlgOf is the algorithm that answers of version v use.
func DigestAlgOf(v Version) DigestAlg {
	switch {
	case v.AtLeast(2, 7):
		return SHA256
	case v.AtLeast(2, 1):
		return SHA1
	}
	return MD5
}

// Digest is the hash of a request's header and body. It is nil for an unknown algorithm.
func (a DigestAlg) Digest(content []byte) []byte {
	switch a {
	case MD5:
		s := md5.Sum(content)
		return s[:]
	case SHA1:
		s := sha1.Sum(content)
		return s[:]
	case SHA256:
		s := sha256.Sum256(content)
		return s[:]
	}
	return nil
}

// AppendDigest appends a request digest as it begins the body of an answer of version v: u8 algorithm and the digest;
// before 2.1 u32 length and an MD5 digest.
func AppendDigest(dst []byte, v Version, a DigestAlg, digest []byte) []byte {
	if !v.AtLeast(2, 1) {
		return record.AppendString(dst, digest)
	}
	return append(append(dst, byte(a)), digest...)
}

// CutDigest reads the request digest that begins the body of an answer of version v, and returns the rest.
func CutDigest(v Version, body []byte) (a DigestAlg, digest, rest []byte, err error) {
	r := record.NewReader(body)
	if v.AtLeast(2, 1) {
		a = DigestAlg(r.U8())
		if a.Size() == 0 && r.Err() == nil {
			r.Fail("digest algorithm %d is unknown", "摘要算法 %d 未知", uint8(a))
		}
		digest = r.Take(a.Size())
	} else {
		a = MD5
		digest = r.Bytes(md5.Size)
	}
	return a, digest, r.Rest(), r.Err()
}
