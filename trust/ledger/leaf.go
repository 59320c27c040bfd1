package ledger

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/problem"
)

// Entry is one thing that a log keeps for good. It becomes a leaf of the tree:
//
//   - Public, when it is not nil: a JSON object that everybody reads in the published log;
//   - else the commitment to Private, a JSON object: 32 bytes that tell nothing, but fit that object and no other.
//
// For each Sealed value the object gets a member "sealed.NAME" with the commitment to it. A commitment is
// SHA-256(nonce ‖ what is committed to). The nonces, 16 bytes, come from the log's secret file and the entry's number:
// who gets one with what it hides can check it, and learns nothing of other entries.
type Entry struct {
	Seq     uint64 // 1 and up, without gaps: entry n is leaf n-1
	Time    time.Time
	Public  []byte
	Private []byte
	Sealed  []Sealed
	// Owner is the prefix whose administrators may see what the leaf hides.
	Owner string
}

// Sealed is a value that is shown to some only; an entry has up to 7.
type Sealed struct {
	Name  string // a word: letters and digits
	Value []byte
}

// Source is where a log's entries come from. What it once gave under a number it always gives.
//
// Entries returns up to limit entries behind after, oldest first, and waits for the first until ctx is done (then it
// returns ctx's error).
type Source interface {
	Entries(ctx context.Context, after uint64, limit int) ([]Entry, error)
}

// maxLeaf is the bytes of one leaf, by the format of entry bundles.
const maxLeaf = 1<<16 - 1

// blinded is the size of a leaf that is a commitment; a readable one is longer.
const blinded = sha256.Size

// nonceSize is the bytes of a nonce, maxParts how many an entry has: 0 for the object, 1… for the sealed values.
const (
	nonceSize = 16
	maxParts  = 8
)

// secret makes the nonces: for each 256 entries the key stream of AES-256-CTR, whose key is HMAC-SHA-256 of the block's
// number with the secret.
type secret struct {
	key    [32]byte
	origin string
	block  uint64 // whose stream it is, +1
	stream []byte
	single bool // one entry only: no stream is kept
	cipher cipher.Block
	keyed  uint64 // the block whose key it has
}

// nonce is the nonce of a part of entry seq.
func (s *secret) nonce(seq uint64, part int) *[nonceSize]byte {
	first := int(seq&255) * maxParts // in the block's stream, whose counter it is, as a nonce is one block of AES
	if s.single {
		var stream [nonceSize]byte
		s.fill(seq>>8+1, first+part, stream[:])
		return &stream
	}
	if b := seq>>8 + 1; b != s.block {
		if s.stream == nil {
			s.stream = make([]byte, 256*maxParts*nonceSize)
		}
		clear(s.stream)
		s.fill(b, 0, s.stream)
		s.block = b
	}
	return (*[nonceSize]byte)(s.stream[(first+part)*nonceSize:])
}

// fill adds the stream of a block, from a counter on, to dst, which is zero.
func (s *secret) fill(block uint64, counter int, dst []byte) {
	if s.cipher == nil || s.keyed != block {
		m := hmac.New(sha256.New, s.key[:])
		m.Write([]byte("fujie ledger nonces v1\x00" + s.origin + "\x00"))
		m.Write(binary.BigEndian.AppendUint64(nil, block))
		c, err := aes.NewCipher(m.Sum(nil))
		if err != nil {
			panic(err) // 32 bytes are a key
		}
		s.cipher, s.keyed = c, block
	}
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(counter))
	if len(dst) == aes.BlockSize {
		s.cipher.Encrypt(dst, iv[:])
		return
	}
	cipher.NewCTR(s.cipher, iv[:]).XORKeyStream(dst, dst)
}

// commit is the commitment to what; buf is scratch.
func commit(buf []byte, nonce *[nonceSize]byte, what []byte) ([32]byte, []byte) {
	buf = append(append(buf[:0], nonce[:]...), what...)
	return sha256.Sum256(buf), buf
}

// maker makes leaves of entries. It is for one goroutine.
type maker struct {
	secret    secret
	line, buf []byte
}

// leaf is the entry's leaf, which is good until the next call. line is the object with the commitments, which is the
// leaf itself when the entry is public.
func (m *maker) leaf(e *Entry) (leaf, line []byte, err error) {
	text := e.Public
	if text == nil {
		text = e.Private
	}
	if len(text) < 3 || text[0] != '{' || text[len(text)-1] != '}' || text[1] == '}' || len(e.Sealed) >= maxParts {
		return nil, nil, problem.New(problem.Internal, "entry %d of the ledger is no JSON object: this is a fault of the program", "账本第 %d 项不是 JSON 对象：这是程序错误", e.Seq)
	}
	m.line = append(m.line[:0], text...)
	if len(e.Sealed) > 0 {
		m.line = m.line[:len(m.line)-1]
		for i := range e.Sealed {
			nonce := m.secret.nonce(e.Seq, i+1)
			var c [32]byte
			c, m.buf = commit(m.buf, nonce, e.Sealed[i].Value)
			m.line = append(append(append(m.line, `,"sealed.`...), e.Sealed[i].Name...), `":"`...)
			m.line = append(base64.RawURLEncoding.AppendEncode(m.line, c[:]), '"')
		}
		m.line = append(m.line, '}')
	}
	if len(m.line) > maxLeaf {
		return nil, nil, problem.New(problem.TooLarge, "entry %d of the ledger takes %d bytes, over the limit of %d", "账本第 %d 项有 %d 字节，超过上限 %d", e.Seq, len(m.line), maxLeaf)
	}
	if e.Public != nil {
		for len(m.line) <= blinded { // so that nobody takes it for a commitment
			m.line = append(m.line[:len(m.line)-1], " }"...)
		}
		return m.line, m.line, nil
	}
	nonce := m.secret.nonce(e.Seq, 0)
	c, buf := commit(m.buf, nonce, m.line)
	m.buf = append(buf[:0], c[:]...)
	return m.buf, m.line, nil
}

// Opened is a sealed value that is shown: it fits the commitment "sealed.NAME" of the line.
type Opened struct {
	Name  string `json:"name" doc:"Which value of the entry, as by or values"`
	Value []byte `json:"value" doc:"What was sealed, in base64"`
	Nonce []byte `json:"nonce" doc:"16 bytes in base64"`
}

// opens checks that line is the object behind leaf and gives its members.
func opens(leaf []byte, line string, nonce []byte, opened []Opened) (map[string]json.RawMessage, error) {
	bad := func() error {
		return problem.New(problem.Bogus, "what is shown of the entry is not what the ledger committed to: do not trust it", "所出示的内容与账本中的承诺不符：不可信")
	}
	if len(leaf) == blinded {
		if line == "" {
			if len(opened) > 0 {
				return nil, bad()
			}
			return nil, nil
		}
		if len(nonce) != nonceSize {
			return nil, bad()
		}
		c, _ := commit(nil, (*[nonceSize]byte)(nonce), []byte(line))
		if subtle.ConstantTimeCompare(c[:], leaf) != 1 {
			return nil, bad()
		}
	} else {
		if line != "" && line != string(leaf) {
			return nil, bad()
		}
		line = string(leaf)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &members); err != nil || members == nil {
		return nil, bad()
	}
	for i := range opened {
		var want []byte
		var text string
		if json.Unmarshal(members["sealed."+opened[i].Name], &text) != nil || len(opened[i].Nonce) != nonceSize {
			return nil, bad()
		}
		want, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return nil, bad()
		}
		c, _ := commit(nil, (*[nonceSize]byte)(opened[i].Nonce), opened[i].Value)
		if subtle.ConstantTimeCompare(c[:], want) != 1 {
			return nil, bad()
		}
	}
	return members, nil
}

// seqOf is the number that a readable object gives itself.
func seqOf(members map[string]json.RawMessage) (uint64, bool) {
	n, err := strconv.ParseUint(string(members["seq"]), 10, 64)
	return n, err == nil
}

// appendJSON appends s as a JSON string.
func appendJSON(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == '<' || c == '>' || c == '&' {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if enc.Encode(s) != nil {
				return append(dst, `""`...)
			}
			return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// clock writes times, to the millisecond, and remembers the last second that it wrote.
type clock struct {
	second int64
	text   [19]byte
}

func (c *clock) append(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	s := ms / 1000
	if s != c.second || c.text[0] == 0 {
		c.second = s
		time.Unix(s, 0).UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05")
	}
	m := ms % 1000
	dst = append(append(dst, '"'), c.text[:]...)
	return append(dst, '.', byte('0'+m/100), byte('0'+m/10%10), byte('0'+m%10), 'Z', '"')
}
