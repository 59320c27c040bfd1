package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/fujie-id/fujie/problem"
)

// tileCache keeps full tiles with all their inner hashes, so that a proof is a matter of copying.
type tileCache struct {
	mu    sync.Mutex
	tiles map[tile]*grownTile
}

// grownTile is the 511 hashes of the tree over a tile: 256 of level 0, then 128, …, 1. Of a part of a tile there are
// those that it has.
type grownTile [2*tileWidth - 1]Hash

// maxTiles are 16 MB.
const maxTiles = 1000

func (c *tileCache) get(d *disk, t tile) (*grownTile, error) {
	c.mu.Lock()
	g := c.tiles[t]
	c.mu.Unlock()
	if g != nil {
		return g, nil
	}
	b, err := d.tile(t)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, missing(t)
	}
	g = new(grownTile)
	for i := range t.width {
		copy(g[i][:], b[i*tlog.HashSize:])
	}
	from, n, have := 0, tileWidth, t.width
	for n > 1 {
		for i := range have / 2 {
			g[from+n+i] = nodeHash(g[from+2*i][:], g[from+2*i+1][:])
		}
		from, n, have = from+n, n/2, have/2
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tiles == nil {
		c.tiles = map[tile]*grownTile{}
	}
	if len(c.tiles) >= maxTiles {
		for k := range c.tiles { // any
			delete(c.tiles, k)
			break
		}
	}
	c.tiles[t] = g
	return g, nil
}

func missing(t tile) error {
	return problem.New(problem.Internal, "the ledger's file %s is missing or too short: start the node again, which makes it anew", "账本文件 %s 缺失或不完整：请重新启动节点以重建", t.path())
}

// reader reads hashes of the tree of the last signed size.
func (l *Log) reader() tlog.HashReader { return l.readerAt(l.head.Size) }

func (l *Log) readerAt(size int64) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) {
		out := make([]Hash, len(indexes))
		for i, x := range indexes {
			level, n := tlog.SplitStoredHashIndex(x)
			lv, k := level/tileHeight, level%tileHeight
			t := tile{lv, n >> (tileHeight - k), tileWidth}
			if t.end() > size {
				t.width = width(size, lv)
			}
			g, err := l.tiles.get(l.dir, t)
			if err != nil {
				return nil, err
			}
			from := 0
			for j := range k {
				from += tileWidth >> j
			}
			out[i] = g[from+int(n&(1<<(tileHeight-k)-1))]
		}
		return out, nil
	})
}

// Proof shows that an entry is in a log, to who has the log's public key and trusts its witnesses; nothing else is
// needed to check it, now or in years.
type Proof struct {
	Entry uint64 `json:"entry" doc:"Its number, 1 and up"`
	Leaf  []byte `json:"leaf" doc:"What stands in the log, in base64: the entry itself, or 32 bytes that commit to it"`
	// Line, Nonce and Opened are what is shown of a leaf that is a commitment.
	Line   string   `json:"line,omitempty" doc:"The entry behind a commitment, a JSON object"`
	Nonce  []byte   `json:"nonce,omitempty" doc:"leaf = SHA-256(nonce, line)"`
	Opened []Opened `json:"opened,omitempty" doc:"Sealed values of the entry that this caller may see: member sealed.NAME of the entry = base64url(SHA-256(nonce, value))"`
	// Path is the hashes beside the way from the leaf to the root (RFC 6962 §2.1.1).
	Path       []Hash `json:"path" doc:"RFC 6962 inclusion proof, from the leaf up, each in base64"`
	Checkpoint string `json:"checkpoint" doc:"The signed and co-signed checkpoint (C2SP tlog-checkpoint)"`
}

// Everything opens all of an entry; Nothing, only what the log shows to everybody.
func Everything(string) bool { return true }
func Nothing(string) bool    { return false }

// patience is how long the source may take for an entry that it had.
const patience = 10 * time.Second

// Prove proves entry seq. show says what is opened: the line (asked with ""), and sealed values by their names.
// Errors: problem.NotFound for an entry that there is not; problem.Busy when it is not published yet; problem.Bogus
// when the source no longer has what was logged.
func (l *Log) Prove(ctx context.Context, seq uint64, show func(name string) bool) (*Proof, error) {
	e, err := l.Entry(ctx, seq)
	if err != nil {
		return nil, err
	}
	return l.ProveEntry(e, show)
}

// Entry is entry seq as the source has it. The errors are Prove's.
func (l *Log) Entry(ctx context.Context, seq uint64) (*Entry, error) {
	size := uint64(l.Published().Size)
	switch {
	case seq == 0 || seq > size && seq > uint64(l.Size()):
		return nil, problem.New(problem.NotFound, "the ledger %s has no entry %d", "账本 %s 没有第 %d 项", l.cfg.Origin, seq)
	case seq > size:
		return nil, problem.New(problem.Busy, "entry %[2]d of the ledger %[1]s is not published yet: ask again in a second", "账本 %s 的第 %d 项尚未公布：请稍后再问", l.cfg.Origin, seq)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, err := l.cfg.Source.Entries(ctx, seq-1, 1)
	if err != nil {
		return nil, err
	}
	if len(list) != 1 || list[0].Seq != seq {
		return nil, l.gone(seq)
	}
	return &list[0], nil
}

func (l *Log) gone(seq uint64) error {
	return problem.New(problem.Bogus, "the store no longer has entry %[2]d as the ledger %[1]s has it: it was altered", "存储中的第 %[2]d 项与账本 %[1]s 不符：已被更改", l.cfg.Origin, seq)
}

// ProveEntry proves an entry that Entry gave.
func (l *Log) ProveEntry(e *Entry, show func(name string) bool) (*Proof, error) {
	l.shown.RLock()
	msg, c := l.checkpt, l.published
	l.shown.RUnlock()
	if e.Seq > uint64(c.Size) {
		return nil, problem.New(problem.Busy, "entry %d is not published yet: ask again in a second", "第 %d 项尚未公布：请稍后再问", e.Seq)
	}
	m := maker{secret: secret{key: l.maker.secret.key, origin: l.cfg.Origin, single: true}}
	leaf, line, err := m.leaf(e)
	if err != nil {
		return nil, err
	}
	r := l.readerAt(c.Size)
	index := int64(e.Seq - 1)
	had, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return nil, err
	}
	if h, _ := leafHash(nil, leaf); h != had[0] {
		return nil, l.gone(e.Seq)
	}
	p := &Proof{Entry: e.Seq, Leaf: bytes.Clone(leaf), Checkpoint: string(msg)}
	if p.Path, err = tlog.ProveRecord(c.Size, index, r); err != nil {
		return nil, err
	}
	if e.Public == nil {
		if !show("") {
			return p, nil
		}
		p.Line, p.Nonce = string(line), bytes.Clone(m.secret.nonce(e.Seq, 0)[:])
	}
	for i := range e.Sealed {
		if show(e.Sealed[i].Name) {
			p.Opened = append(p.Opened, Opened{e.Sealed[i].Name, bytes.Clone(e.Sealed[i].Value), bytes.Clone(m.secret.nonce(e.Seq, i+1)[:])})
		}
	}
	return p, nil
}

// Verified is what a proof proves.
type Verified struct {
	Checkpoint Checkpoint
	By         []Cosignature
	// Members is the entry, if it is readable or was shown.
	Members map[string]json.RawMessage
}

// Verify checks all of a proof: that the log signed, and at least quorum of the witnesses; that the entry is in it;
// that what is shown is what was logged. The error is of kind problem.Bogus.
func (p *Proof) Verify(log Verifier, witnesses []Verifier, quorum int) (*Verified, error) {
	c, by, err := openCheckpoint([]byte(p.Checkpoint), log, witnesses)
	if err != nil {
		return nil, err
	}
	if len(by) < quorum {
		return nil, tooFew(len(by), quorum)
	}
	members, err := p.VerifyIn(c)
	if err != nil {
		return nil, err
	}
	return &Verified{c, by, members}, nil
}

func tooFew(have, want int) error {
	return problem.New(problem.Bogus, "only %d of the %d witnesses that are asked for have co-signed the checkpoint", "检查点仅有 %d 个见证者联署，要求 %d 个", have, want)
}

// VerifyIn is Verify for a checkpoint that was checked before: it makes hashes only.
func (p *Proof) VerifyIn(c Checkpoint) (map[string]json.RawMessage, error) {
	bad := problem.New(problem.Bogus, "the entry is not in the ledger: its path does not lead to the checkpoint's root", "该项不在账本中：其路径无法得到检查点的根哈希")
	if p.Entry == 0 || p.Entry > uint64(c.Size) || len(p.Leaf) > maxLeaf || len(p.Path) > 64 {
		return nil, bad
	}
	h, _ := leafHash(nil, p.Leaf)
	if !climbs(h, int64(p.Entry-1), c.Size, p.Path, c.Root) {
		return nil, bad
	}
	members, err := opens(p.Leaf, p.Line, p.Nonce, p.Opened)
	if err != nil {
		return nil, err
	}
	if members != nil {
		if n, ok := seqOf(members); !ok || n != p.Entry {
			return nil, problem.New(problem.Bogus, "the entry says that it is another one than number %d: do not trust it", "该项自称的编号不是 %d：不可信", p.Entry)
		}
	}
	return members, nil
}

// climbs reports whether the path leads from leaf i of a tree of size n to the root (RFC 9162 §2.1.3.2).
func climbs(h Hash, i, n int64, path []Hash, root Hash) bool {
	last := n - 1
	for _, p := range path {
		if last == 0 {
			return false
		}
		if i&1 == 1 || i == last {
			h = nodeHash(p[:], h[:])
			for i&1 == 0 && i != 0 {
				i, last = i>>1, last>>1
			}
		} else {
			h = nodeHash(h[:], p[:])
		}
		i, last = i>>1, last>>1
	}
	return last == 0 && h == root
}

const proofHeader = "c2sp.org/tlog-proof@v1"

// extra is what the text form carries beside path and checkpoint.
type extra struct {
	Leaf   []byte   `json:"leaf"`
	Line   string   `json:"line,omitempty"`
	Nonce  []byte   `json:"nonce,omitempty"`
	Opened []Opened `json:"opened,omitempty"`
}

// Text is the proof in the format of C2SP tlog-proof; leaf and what is shown are its extra data.
func (p *Proof) Text() string {
	x, err := json.Marshal(extra{p.Leaf, p.Line, p.Nonce, p.Opened})
	if err != nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofHeader, base64.StdEncoding.EncodeToString(x), p.Entry-1)
	for _, h := range p.Path {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n" + p.Checkpoint)
	return b.String()
}

// maxProofText is the bytes of a proof that is read.
const maxProofText = 1 << 20

// ParseProof reads a proof in its JSON or its text form. The error is of kind problem.BadRequest.
func ParseProof(b []byte) (*Proof, error) {
	bad := problem.New(problem.BadRequest, "this is no proof of a ledger, neither in JSON nor in the form of C2SP tlog-proof", "这不是账本证明：既非 JSON，也不是 C2SP tlog-proof 格式")
	if len(b) > maxProofText {
		return nil, bad
	}
	p := &Proof{}
	if t := bytes.TrimSpace(b); len(t) > 0 && t[0] == '{' {
		if json.Unmarshal(t, p) != nil || p.Entry == 0 {
			return nil, bad
		}
		return p, nil
	}
	head, checkpoint, ok := strings.Cut(string(b), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != proofHeader || len(lines) > 3+64 {
		return nil, bad
	}
	x64, ok := strings.CutPrefix(lines[1], "extra ")
	index, ok2 := strings.CutPrefix(lines[2], "index ")
	raw, err := base64.StdEncoding.DecodeString(x64)
	var x extra
	if !ok || !ok2 || err != nil || json.Unmarshal(raw, &x) != nil {
		return nil, bad
	}
	n, err := strconv.ParseUint(index, 10, 63)
	if err != nil || n >= maxSize || strconv.FormatUint(n, 10) != index {
		return nil, bad
	}
	p.Entry, p.Leaf, p.Line, p.Nonce, p.Opened, p.Checkpoint = n+1, x.Leaf, x.Line, x.Nonce, x.Opened, checkpoint
	for _, line := range lines[3:] {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != tlog.HashSize {
			return nil, bad
		}
		p.Path = append(p.Path, Hash(h))
	}
	return p, nil
}

// String is how much of the log there is, for people.
func (c Checkpoint) String() string {
	return c.Origin + " " + strconv.FormatInt(c.Size, 10) + " " + strconv.FormatUint(uint64(binary.BigEndian.Uint32(c.Root[:])), 16)
}
