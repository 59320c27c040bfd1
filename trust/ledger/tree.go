package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256 of the tree (RFC 6962 §2.1).
type Hash = tlog.Hash

// A tile is 256 hashes of one level; level l+1 has one hash for each full tile of level l (C2SP tlog-tiles).
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	tileBytes  = tileWidth * tlog.HashSize
	maxSize    = 1 << 48 // entries of one log: more than anybody has, and far from where shifts overflow
)

// leafHash is the hash of an entry; buf is scratch.
func leafHash(buf, leaf []byte) (Hash, []byte) {
	buf = append(append(buf[:0], 0), leaf...)
	return sha256.Sum256(buf), buf
}

func nodeHash(left, right []byte) Hash {
	var b [1 + 2*tlog.HashSize]byte
	b[0] = 1
	copy(b[1:], left)
	copy(b[1+tlog.HashSize:], right)
	return sha256.Sum256(b[:])
}

// subtree is the root over the hashes in b, whose number is a power of two.
func subtree(b []byte) (h Hash) {
	if len(b) == tlog.HashSize {
		copy(h[:], b)
		return h
	}
	var scratch [tileBytes / 2]byte
	n := len(b) / tlog.HashSize / 2
	for i := range n {
		x := nodeHash(b[2*i*tlog.HashSize:][:tlog.HashSize], b[(2*i+1)*tlog.HashSize:][:tlog.HashSize])
		copy(scratch[i*tlog.HashSize:], x[:])
	}
	for n /= 2; n > 0; n /= 2 {
		for i := range n {
			x := nodeHash(scratch[2*i*tlog.HashSize:][:tlog.HashSize], scratch[(2*i+1)*tlog.HashSize:][:tlog.HashSize])
			copy(scratch[i*tlog.HashSize:], x[:])
		}
	}
	copy(h[:], scratch[:])
	return h
}

// edge is the right edge of a tree: for each level the hashes of the tile that is not full. It is all that is needed
// to append, and to tell the root.
type edge struct {
	size   int64
	levels [][]byte
}

// push appends the hash of an entry. add is called for it and for each hash of a higher level that it completes.
func (e *edge) push(h Hash, add func(level int, h Hash)) {
	e.size++
	for l := 0; ; l++ {
		if l == len(e.levels) {
			e.levels = append(e.levels, make([]byte, 0, tileBytes))
		}
		if add != nil {
			add(l, h)
		}
		e.levels[l] = append(e.levels[l], h[:]...)
		if len(e.levels[l]) < tileBytes {
			return
		}
		h = subtree(e.levels[l])
		e.levels[l] = e.levels[l][:0]
	}
}

// root is the hash of the tree.
func (e *edge) root() Hash {
	if e.size == 0 {
		return sha256.Sum256(nil)
	}
	var acc Hash
	have := false
	for _, tile := range e.levels {
		width := len(tile) / tlog.HashSize
		for k := range tileHeight {
			if width&(1<<k) == 0 {
				continue
			}
			start := width &^ (1<<(k+1) - 1)
			h := subtree(tile[start*tlog.HashSize:][:tlog.HashSize<<k])
			if have {
				h = nodeHash(h[:], acc[:])
			}
			acc, have = h, true
		}
	}
	return acc
}

// width is how many hashes the incomplete tile of level l has in a tree of this size; 0 when there is none.
func width(size int64, l int) int { return int(size>>(tileHeight*l)) % tileWidth }

// tile names one tile or one bundle of entries.
type tile struct {
	level int // entries: -1
	n     int64
	width int // 1 to 256
}

const entriesLevel = -1

// end is the size of the smallest tree that has all of the tile.
func (t tile) end() int64 {
	l := max(t.level, 0)
	return (t.n*tileWidth + int64(t.width)) << (tileHeight * l)
}

// path is where the tile is, below the log: tile/0/x001/234.p/56.
func (t tile) path() string {
	b := append(make([]byte, 0, 40), "tile/"...)
	if t.level == entriesLevel {
		b = append(b, "entries"...)
	} else {
		b = strconv.AppendInt(b, int64(t.level), 10)
	}
	var parts [8]int64
	i := 0
	for n := t.n; ; i++ {
		parts[i] = n % 1000
		if n /= 1000; n == 0 {
			break
		}
	}
	for ; i >= 0; i-- {
		b = append(b, '/')
		if i > 0 {
			b = append(b, 'x')
		}
		p := parts[i]
		b = append(b, byte('0'+p/100), byte('0'+p/10%10), byte('0'+p%10))
	}
	if t.width < tileWidth {
		b = append(b, ".p/"...)
		b = strconv.AppendInt(b, int64(t.width), 10)
	}
	return string(b)
}

// parseTile reads a path; ok is false for everything that path does not write.
func parseTile(path string) (t tile, ok bool) {
	rest, found := strings.CutPrefix(path, "tile/")
	if !found || len(rest) > 60 {
		return t, false
	}
	level, rest, found := strings.Cut(rest, "/")
	if !found {
		return t, false
	}
	if level == "entries" {
		t.level = entriesLevel
	} else if l, err := strconv.Atoi(level); err != nil || l < 0 || l > 5 {
		return t, false
	} else {
		t.level = l
	}
	t.width = tileWidth
	if head, w, found := strings.Cut(rest, ".p/"); found {
		n, err := strconv.Atoi(w)
		if err != nil || n < 1 || n >= tileWidth {
			return t, false
		}
		t.width, rest = n, head
	}
	for part := range strings.SplitSeq(rest, "/") {
		n, err := strconv.Atoi(strings.TrimPrefix(part, "x"))
		if err != nil || n < 0 || n > 999 || t.n > maxSize/1000 {
			return t, false
		}
		t.n = t.n*1000 + int64(n)
	}
	if t.n > maxSize>>(tileHeight*(max(t.level, 0)+1)) {
		return t, false
	}
	return t, t.path() == path
}

// splitBundle takes a bundle of want entries apart; ok is false when it is none.
func splitBundle(b []byte, want int) (leaves [][]byte, ok bool) {
	leaves = make([][]byte, 0, want)
	for range want {
		if len(b) < 2 {
			return nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return nil, false
		}
		leaves = append(leaves, b[2:2+n:2+n])
		b = b[2+n:]
	}
	return leaves, len(b) == 0
}
