package escrow

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"github.com/emmansun/gmsm/sm4"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// What is sealed is either an age file (age-encryption.org/v1, X25519) or an SM2 envelope (GB/T 35276 in spirit: a digital
// envelope whose content key is wrapped under SM2, content under SM4-GCM):
//
//	"fujie sealed 1\n" | u32 length, header as JSON | chunks
//
// The header holds the SM4 key, sealed for each recipient (C1‖C3‖C2, GB/T 32918.4). Chunk i is SM4-GCM of up to 64 KiB,
// with the nonce u88 i ‖ u8 last and the SHA-256 of all before the chunks as its additional data, so that no chunk can be
// left out, repeated, moved or cut off unnoticed. The key is never used twice.
const (
	sm2Magic  = "fujie sealed 1\n"
	sealChunk = 64 << 10
	maxHeader = 1 << 20
)

// Recipient is for whom something is sealed: one of the two.
type Recipient struct {
	age age.Recipient
	sm2 trust.PublicKey
	say string
}

// String is the age key as it was given, or the fingerprint of the SM2 key.
func (r Recipient) String() string { return r.say }

// ParseRecipient reads an age public key (age1…) or the PEM of an SM2 public key.
func ParseRecipient(s string) (Recipient, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "age1") {
		r, err := age.ParseX25519Recipient(s)
		if err != nil {
			return Recipient{}, problem.Wrap(err, problem.BadRequest, "%q is no age public key: age-keygen -y prints one", "%q 不是 age 公钥：可用 age-keygen -y 输出", s)
		}
		return Recipient{age: r, say: s}, nil
	}
	k, err := trust.ParsePublicPEM([]byte(s))
	if err != nil {
		return Recipient{}, problem.Wrap(err, problem.BadRequest, "the recipient is neither an age public key (age1…) nor the PEM of an SM2 public key", "接收方既不是 age 公钥（age1…），也不是 SM2 公钥 PEM")
	}
	return RecipientOf(k)
}

// RecipientOf is the holder of an SM2 key.
func RecipientOf(k trust.PublicKey) (Recipient, error) {
	if k.Algorithm() != trust.SM2 {
		return Recipient{}, problem.New(problem.Unsupported, "nothing is sealed for a key of kind %q: take an age or an SM2 key", "不支持以 %q 密钥加密：请用 age 或 SM2 密钥", k.Algorithm())
	}
	return Recipient{sm2: k, say: k.Fingerprint()}, nil
}

// Identity opens what was sealed for its recipient.
type Identity struct {
	age age.Identity
	sm2 *trust.PrivateKey
}

// ParseIdentities reads age secret keys, one a line (AGE-SECRET-KEY-1…), or the PEM of an SM2 private key.
func ParseIdentities(b []byte) ([]Identity, error) {
	if bytes.Contains(b, []byte("AGE-SECRET-KEY-")) {
		ids, err := age.ParseIdentities(bytes.NewReader(b))
		if err != nil {
			return nil, problem.New(problem.BadRequest, "the file holds no age secret keys that can be read", "文件中没有可读取的 age 私钥")
		}
		out := make([]Identity, len(ids))
		for i := range ids {
			out[i].age = ids[i]
		}
		return out, nil
	}
	k, err := trust.ParsePrivatePEM(b, nil)
	if err != nil || k.Algorithm() != trust.SM2 {
		return nil, problem.New(problem.BadRequest, "the file holds neither age secret keys nor the PEM of an SM2 private key", "文件中既没有 age 私钥，也没有 SM2 私钥 PEM")
	}
	return []Identity{{sm2: k}}, nil
}

// Seal encrypts what is written, for the recipients, who must be all of one kind. The sealed text is complete when the
// writer was closed without an error. A nil rnd means the operating system's randomness; age always takes that.
func Seal(w io.Writer, to []Recipient, rnd io.Reader) (io.WriteCloser, error) {
	if len(to) == 0 {
		return nil, problem.New(problem.BadRequest, "nobody is named for whom to encrypt: give a recipient", "未指明加密接收方：请给出")
	}
	var ages []age.Recipient
	var keys []trust.PublicKey
	for _, r := range to {
		if r.age != nil {
			ages = append(ages, r.age)
		} else {
			keys = append(keys, r.sm2)
		}
	}
	switch {
	case len(ages) > 0 && len(keys) > 0:
		return nil, problem.New(problem.BadRequest, "the recipients are of two kinds: give age keys only, or SM2 keys only", "接收方混用两种密钥：请只用 age 密钥或只用 SM2 密钥")
	case len(ages) > 0:
		out, err := age.Encrypt(w, ages...)
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, "age cannot encrypt this", "age 无法加密")
		}
		return out, nil
	}
	if rnd == nil {
		rnd = rand.Reader
	}
	key := make([]byte, 16)
	if _, err := io.ReadFull(rnd, key); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "there is no randomness for a key", "没有可用的随机数生成密钥")
	}
	h := sealHeader{Alg: sealAlg, Chunk: sealChunk}
	for _, k := range keys {
		c, err := k.Seal(key, rnd)
		if err != nil {
			return nil, err
		}
		h.Keys = append(h.Keys, sealedKey{k.Fingerprint(), base64.StdEncoding.EncodeToString(c)})
	}
	hb, err := json.Marshal(h)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the header cannot be written", "无法写入头部")
	}
	head := binary.BigEndian.AppendUint32([]byte(sm2Magic), uint32(len(hb)))
	head = append(head, hb...)
	if _, err := w.Write(head); err != nil {
		return nil, err
	}
	g, err := gcm(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(head)
	return &sealer{w: w, gcm: g, aad: sum[:], buf: make([]byte, 0, sealChunk)}, nil
}

const sealAlg = "SM2+SM4-GCM"

type sealHeader struct {
	Alg   string      `json:"alg"`
	Chunk int         `json:"chunk"`
	Keys  []sealedKey `json:"keys"`
}

type sealedKey struct {
	For    string `json:"for"`
	Sealed string `json:"sealed"`
}

func gcm(key []byte) (cipher.AEAD, error) {
	b, err := sm4.NewCipher(key)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "SM4 does not take the key", "SM4 不接受该密钥")
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "SM4-GCM is not there", "SM4-GCM 不可用")
	}
	return g, nil
}

func nonce(i uint64, last bool) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[3:], i)
	if last {
		n[11] = 1
	}
	return n
}

type sealer struct {
	w    io.Writer
	gcm  cipher.AEAD
	aad  []byte
	buf  []byte
	out  []byte
	n    uint64
	done bool
}

func (s *sealer) Write(b []byte) (int, error) {
	if s.done {
		return 0, errors.New("escrow: written after its end")
	}
	total := len(b)
	for len(b) > 0 {
		if len(s.buf) == sealChunk { // a full chunk is not known to be the last before more comes
			if err := s.chunk(false); err != nil {
				return 0, err
			}
		}
		n := min(len(b), sealChunk-len(s.buf))
		s.buf = append(s.buf, b[:n]...)
		b = b[n:]
	}
	return total, nil
}

func (s *sealer) chunk(last bool) error {
	s.out = s.gcm.Seal(s.out[:0], nonce(s.n, last), s.buf, s.aad)
	s.n++
	s.buf = s.buf[:0]
	_, err := s.w.Write(s.out)
	return err
}

func (s *sealer) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	return s.chunk(true)
}

// Open decrypts what Seal made. The error of a Read is problem.BadRequest when something was changed or cut off; what was
// read before is good, but not known to be all before io.EOF. Errors: problem.Forbidden when none of the identities opens
// it; problem.BadRequest.
func Open(r io.Reader, ids []Identity) (io.Reader, error) {
	in := bufio.NewReaderSize(r, sealChunk+64)
	start, _ := in.Peek(len(sm2Magic))
	switch {
	case string(start) == sm2Magic:
		return openSM2(in, ids)
	case bytes.HasPrefix([]byte("age-encryption."), start) && len(start) > 0:
		var ages []age.Identity
		for _, id := range ids {
			if id.age != nil {
				ages = append(ages, id.age)
			}
		}
		if len(ages) == 0 {
			return nil, notFor()
		}
		out, err := age.Decrypt(in, ages...)
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			return nil, notFor()
		}
		if err != nil {
			return nil, damaged(err)
		}
		return ageReader{out}, nil
	}
	return nil, problem.New(problem.BadRequest, "this is not sealed in a form that is known: neither age nor an SM2 envelope", "加密格式无法识别：既不是 age，也不是 SM2 信封")
}

type ageReader struct{ r io.Reader }

func (a ageReader) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}

func notFor() error {
	return problem.New(problem.Forbidden, "it was encrypted for somebody else: give the private key of one of its recipients", "该内容不是为此密钥加密的：请提供其接收方之一的私钥")
}

func damaged(err error) error {
	return problem.Wrap(err, problem.BadRequest, "the encrypted text was changed or cut off: take a good copy", "密文被更改或不完整：请换用完好的副本")
}

func openSM2(in *bufio.Reader, ids []Identity) (io.Reader, error) {
	head := make([]byte, len(sm2Magic)+4)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, damaged(err)
	}
	n := binary.BigEndian.Uint32(head[len(sm2Magic):])
	if n > maxHeader {
		return nil, damaged(nil)
	}
	hb := make([]byte, n)
	if _, err := io.ReadFull(in, hb); err != nil {
		return nil, damaged(err)
	}
	var h sealHeader
	if err := json.Unmarshal(hb, &h); err != nil || h.Alg != sealAlg || h.Chunk != sealChunk {
		return nil, damaged(err)
	}
	for _, k := range h.Keys {
		for _, id := range ids {
			if id.sm2 == nil || id.sm2.Public().Fingerprint() != k.For {
				continue
			}
			c, err := base64.StdEncoding.DecodeString(k.Sealed)
			if err != nil {
				return nil, damaged(err)
			}
			key, err := id.sm2.Open(c)
			if err != nil || len(key) != 16 {
				return nil, damaged(err)
			}
			g, err := gcm(key)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(append(head, hb...))
			return &opener{r: in, gcm: g, aad: sum[:], in: make([]byte, sealChunk+g.Overhead())}, nil
		}
	}
	return nil, notFor()
}

type opener struct {
	r    *bufio.Reader
	gcm  cipher.AEAD
	aad  []byte
	in   []byte
	out  []byte
	left []byte
	n    uint64
	err  error
}

func (o *opener) Read(b []byte) (int, error) {
	for len(o.left) == 0 {
		if o.err != nil {
			return 0, o.err
		}
		n, err := io.ReadFull(o.r, o.in)
		if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
			o.err = err
			return 0, err
		}
		_, more := o.r.Peek(1)
		last := err != nil || more == io.EOF
		o.out, err = o.gcm.Open(o.out[:0], nonce(o.n, last), o.in[:n], o.aad)
		o.n++
		if err != nil {
			o.err = damaged(nil)
			return 0, o.err
		}
		if o.left = o.out; last {
			o.err = io.EOF
		}
	}
	n := copy(b, o.left)
	o.left = o.left[n:]
	return n, nil
}
