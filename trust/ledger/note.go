package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// The kinds of signature lines (C2SP signed-note, tlog-cosignature).
const (
	algLog     = 0x01 // Ed25519 over the text
	algWitness = 0x04 // Ed25519, cosignature/v1: with the time
)

// maxNote is the bytes of a checkpoint with its signatures, as we read them.
const maxNote = 64 << 10

// Verifier is the public key of a log or of a witness, with its name. In text it is a vkey of the signed-note format,
// NAME+HASH+KEY, as fujie-88.118/changes+1f2e3d4c+Ab…. It is a value; compare with ==.
type Verifier struct {
	name string
	alg  byte
	key  [ed25519.PublicKeySize]byte
}

// validName reports whether a name can stand in a signature line.
func validName(s string) bool {
	return s != "" && len(s) <= 255 && utf8.ValidString(s) && !strings.Contains(s, "+") &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

// newVerifier is the verifier of an Ed25519 key.
func newVerifier(name string, alg byte, key trust.PublicKey) (Verifier, error) {
	v := Verifier{name: name, alg: alg}
	if !validName(name) {
		return v, problem.New(problem.BadValue, "%q cannot name a ledger or a witness: take up to 255 characters without spaces and plus signs", "%q 不能作为账本或见证者名称：不超过 255 字符，不含空格和加号", name)
	}
	if key.Algorithm() != trust.Ed25519 {
		return v, problem.New(problem.BadValue, "ledgers and witnesses sign with Ed25519 keys; this one is %s: make another with fujie key new", "账本与见证者使用 Ed25519 密钥签名；此密钥为 %s：请用 fujie key new 另生成", string(key.Algorithm()))
	}
	block, _ := pem.Decode(key.MarshalPEM())
	if block == nil {
		return v, problem.New(problem.Internal, "the key has no PEM form", "该密钥没有 PEM 格式")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	raw, ok := pub.(ed25519.PublicKey)
	if err != nil || !ok {
		return v, problem.Wrap(err, problem.Internal, "the key cannot be read", "该密钥无法读取")
	}
	copy(v.key[:], raw)
	return v, nil
}

// LogVerifier and WitnessVerifier are what others need to check the signatures of a log with this origin, of a
// witness with this name. The key is an Ed25519 one; problem.BadValue otherwise.
func LogVerifier(origin string, key trust.PublicKey) (Verifier, error) {
	return newVerifier(origin, algLog, key)
}
func WitnessVerifier(name string, key trust.PublicKey) (Verifier, error) {
	return newVerifier(name, algWitness, key)
}

// ParseVerifier reads a vkey. The error is of kind problem.BadValue.
func ParseVerifier(s string) (Verifier, error) {
	bad := problem.New(problem.BadValue, "this is no key of a ledger or a witness; it reads NAME+HASH+KEY, as the log's file vkey shows it", "这不是账本或见证者的密钥；其形式为 名称+哈希+密钥，见账本的 vkey 文件")
	name, rest, ok := strings.Cut(strings.TrimSpace(s), "+")
	hash, b64, ok2 := strings.Cut(rest, "+")
	if !ok || !ok2 || len(s) > 1000 || !validName(name) {
		return Verifier{}, bad
	}
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algLog && raw[0] != algWitness {
		return Verifier{}, bad
	}
	v := Verifier{name: name, alg: raw[0], key: [ed25519.PublicKeySize]byte(raw[1:])}
	if h, err := hex.DecodeString(hash); err != nil || len(h) != 4 || binary.BigEndian.Uint32(h) != v.KeyHash() {
		return Verifier{}, bad
	}
	return v, nil
}

// IsZero reports whether there is no key.
func (v Verifier) IsZero() bool { return v.name == "" }

// Name is the log's origin or the witness's name.
func (v Verifier) Name() string { return v.name }

// IsWitness reports whether it is a witness's.
func (v Verifier) IsWitness() bool { return v.alg == algWitness }

// KeyHash is the short name of the key in signature lines.
func (v Verifier) KeyHash() uint32 {
	b := append([]byte(v.name), '\n', v.alg)
	h := sha256.Sum256(append(b, v.key[:]...))
	return binary.BigEndian.Uint32(h[:])
}

// String is the vkey.
func (v Verifier) String() string {
	if v.IsZero() {
		return ""
	}
	h := binary.BigEndian.AppendUint32(nil, v.KeyHash())
	return v.name + "+" + hex.EncodeToString(h) + "+" + base64.StdEncoding.EncodeToString(append([]byte{v.alg}, v.key[:]...))
}

// MarshalText and UnmarshalText make it a vkey in JSON and YAML.
func (v Verifier) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
func (v *Verifier) UnmarshalText(b []byte) (err error) {
	*v, err = ParseVerifier(string(b))
	return err
}

// Verify checks a signature over the text of a note.
func (v Verifier) Verify(text, sig []byte) bool {
	if v.alg == algWitness {
		if len(sig) != 8+ed25519.SignatureSize {
			return false
		}
		t := binary.BigEndian.Uint64(sig)
		return t < 1<<63 && ed25519.Verify(v.key[:], cosigned(text, int64(t)), sig[8:])
	}
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(v.key[:], text, sig)
}

// cosigned is what a cosignature/v1 covers.
func cosigned(text []byte, t int64) []byte {
	b := strconv.AppendInt([]byte("cosignature/v1\ntime "), t, 10)
	return append(append(b, '\n'), text...)
}

// signer signs notes.
type signer struct {
	Verifier
	key *trust.PrivateKey
	now func() time.Time // of a witness
}

func (s *signer) Sign(text []byte) ([]byte, error) {
	if s.alg != algWitness {
		return s.key.Sign(text)
	}
	t := s.now().Unix()
	sig, err := s.key.Sign(cosigned(text, t))
	return append(binary.BigEndian.AppendUint64(nil, uint64(t)), sig...), err
}

// Checkpoint is the head of a log: how many entries it has and the hash of them all.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   Hash
}

// text is the note's text, which is signed (C2SP tlog-checkpoint).
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// parseCheckpoint reads the text of a note. Extension lines are let pass.
func parseCheckpoint(text string) (c Checkpoint, err error) {
	bad := problem.New(problem.Bogus, "this is no checkpoint of a ledger", "这不是账本的检查点")
	lines := strings.SplitN(text, "\n", 4)
	if len(text) > maxNote || len(lines) != 4 || !validName(lines[0]) {
		return c, bad
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || c.Size > maxSize || strconv.FormatInt(c.Size, 10) != lines[1] {
		return c, bad
	}
	h, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(h) != len(c.Root) || base64.StdEncoding.EncodeToString(h) != lines[2] {
		return c, bad
	}
	copy(c.Root[:], h)
	if ext := lines[3]; ext != "" && (!strings.HasSuffix(ext, "\n") || strings.HasPrefix(ext, "\n") || strings.Contains(ext, "\n\n")) {
		return c, bad
	}
	return c, nil
}

// Cosignature is one witness's word that it saw the log grow up to a checkpoint, and when.
type Cosignature struct {
	Witness string    `json:"witness"`
	Time    time.Time `json:"time"`
}

// openCheckpoint checks a signed note: the log's signature must hold; those of witnesses that are known must hold too.
// The error is of kind problem.Bogus.
func openCheckpoint(msg []byte, log Verifier, witnesses []Verifier) (Checkpoint, []Cosignature, error) {
	bogus := func(cause error) error {
		return problem.Wrap(cause, problem.Bogus, "the checkpoint is not signed by the ledger %s: do not trust it", "检查点没有账本 %s 的有效签名：不可信", log.name)
	}
	if len(msg) > maxNote || !bytes.Contains(msg, []byte("\n\n")) {
		return Checkpoint{}, nil, bogus(nil)
	}
	known := []note.Verifier{log}
	seen := map[string]bool{}
	for _, w := range witnesses {
		// Two equal keys would make the list ambiguous.
		if s := w.String(); !seen[s] && w != log {
			seen[s] = true
			known = append(known, w)
		}
	}
	n, err := note.Open(msg, note.VerifierList(known...))
	if err != nil {
		return Checkpoint{}, nil, bogus(err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if c.Origin != log.name {
		return Checkpoint{}, nil, problem.New(problem.Bogus, "the checkpoint is of the ledger %s, not of %s: ask the right one", "检查点属于账本 %s，而非 %s：请询问正确的账本", c.Origin, log.name)
	}
	signed := false
	var by []Cosignature
	for _, s := range n.Sigs {
		if s.Name == log.name && s.Hash == log.KeyHash() {
			signed = true
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || len(raw) < 12 {
			return Checkpoint{}, nil, bogus(err)
		}
		by = append(by, Cosignature{s.Name, time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC()})
	}
	if !signed {
		return Checkpoint{}, nil, bogus(nil)
	}
	return c, by, nil
}

// unverified is the text of a note whose signatures nobody checked.
func unverified(msg []byte) (string, error) {
	_, err := note.Open(msg, nil)
	var u *note.UnverifiedNoteError
	if !errors.As(err, &u) {
		return "", problem.New(problem.BadRequest, "this is no signed checkpoint", "这不是已签名的检查点")
	}
	return u.Note.Text, nil
}
