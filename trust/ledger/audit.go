package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/fujie-id/fujie/problem"
)

// Fetcher gets the published files of a log. The error is fs.ErrNotExist for one that is not there.
type Fetcher interface {
	Fetch(ctx context.Context, name string, limit int64) ([]byte, error)
}

// At is the log published at a URL.
func At(url string, client *http.Client) Fetcher {
	if client == nil {
		client = http.DefaultClient
	}
	return &webFiles{strings.TrimSuffix(url, "/"), client}
}

type webFiles struct {
	base   string
	client *http.Client
}

func (w *webFiles) Fetch(ctx context.Context, name string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/"+name, nil)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "%s is no address", "%s 不是地址", w.base)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unreachable, "the ledger at %s cannot be reached", "无法访问 %s 处的账本", w.base)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, fs.ErrNotExist
	default:
		return nil, problem.New(problem.Unreachable, "the ledger at %s answered %s for %s", "%[1]s 处的账本对 %[3]s 应答 %[2]s", w.base, resp.Status, name)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, problem.Wrap(err, problem.Unreachable, "the ledger at %s broke off", "%s 处的账本中断了应答", w.base)
	}
	if int64(len(b)) > limit {
		return nil, problem.New(problem.Bogus, "the ledger's file %s is larger than such a file can be", "账本文件 %s 超出应有大小", name)
	}
	return b, nil
}

// In is the log in a folder: a copy of the published files, or a node's own.
func In(dir string) Fetcher {
	if _, err := os.Stat(filepath.Join(dir, "hashes")); err == nil {
		return &ownFiles{newDisk(dir)}
	}
	return dirFiles(dir)
}

type dirFiles string

func (d dirFiles) Fetch(_ context.Context, name string, limit int64) ([]byte, error) {
	b, err := readFile(filepath.Join(string(d), filepath.FromSlash(name)), limit)
	if b == nil && err == nil {
		err = fs.ErrNotExist
	}
	return b, err
}

type ownFiles struct{ disk *disk }

func (o *ownFiles) Fetch(_ context.Context, name string, limit int64) (b []byte, err error) {
	if t, ok := parseTile(name); ok {
		b, err = o.disk.tile(t)
	} else {
		b, err = readFile(o.disk.path(name), limit)
	}
	if b == nil && err == nil {
		err = fs.ErrNotExist
	}
	return b, err
}

// Seen is what an auditor remembers of a log.
type Seen struct {
	Key        Verifier `json:"key"`
	Checkpoint string   `json:"checkpoint"`
}

// Auditor looks at a log from outside. It trusts nothing that it did not compute, but the log's key.
type Auditor struct {
	Files Fetcher
	// Key is the log's. When it is zero, that of Seen is taken; on the first look the one that the log shows.
	Key       Verifier
	Witnesses []Verifier
	Quorum    int   // how many of them must have co-signed
	Seen      *Seen // of the last look; nil on the first
	Full      bool  // look at every entry again, not only at those behind the last look
	// Visit is called for each entry that is looked at, in order; line is nil for one that is a commitment.
	Visit func(seq uint64, line []byte) error

	size int64 // of the log now
}

// Findings are what an auditor saw.
type Findings struct {
	Checkpoint Checkpoint
	By         []Cosignature
	Before     int64 // entries at the last look
	Looked     int64 // entries that were looked at now
	Readable   int64 // of which so many can be read
	Seen       Seen  // to remember
	FirstKey   bool  // the key was taken from the log itself
}

// Fork is two checkpoints that one log cannot have signed in honesty.
type Fork struct {
	A, B string
	Err  error
}

func (f *Fork) Error() string { return f.Err.Error() }
func (f *Fork) Unwrap() error { return f.Err }

// Look audits the log. The error is of kind problem.Bogus when the log was tampered with: it shrank, forked, rewrote or
// lost an entry, or did not get its witnesses; it is a *Fork when two signed checkpoints prove it. problem.Unreachable
// and problem.NotFound say that there was nothing to look at.
func (a *Auditor) Look(ctx context.Context) (*Findings, error) {
	f := &Findings{}
	key := a.Key
	if key.IsZero() && a.Seen != nil {
		key = a.Seen.Key
	}
	if key.IsZero() {
		b, err := a.Files.Fetch(ctx, "vkey", 1000)
		if err != nil {
			return nil, notThere(err)
		}
		if key, err = ParseVerifier(string(b)); err != nil {
			return nil, err
		}
		f.FirstKey = true
	}
	if key.IsWitness() {
		return nil, problem.New(problem.BadValue, "%s is the key of a witness, not of a ledger", "%s 是见证者的密钥，而非账本的密钥", key.Name())
	}
	msg, err := a.Files.Fetch(ctx, "checkpoint", maxNote)
	if err != nil {
		return nil, notThere(err)
	}
	if f.Checkpoint, f.By, err = openCheckpoint(msg, key, a.Witnesses); err != nil {
		return nil, err
	}
	c := f.Checkpoint
	a.size = c.Size
	if len(f.By) < a.Quorum {
		return nil, tooFew(len(f.By), a.Quorum)
	}
	f.Seen = Seen{key, string(msg)}
	var e edge
	if a.Seen != nil {
		last, _, err := openCheckpoint([]byte(a.Seen.Checkpoint), key, nil)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadValue, "what is remembered of the last look is not about this ledger: take another state file", "上次查验的记录不属于本账本：请换用其他状态文件")
		}
		f.Before = last.Size
		switch {
		case c.Size < last.Size:
			return nil, &Fork{a.Seen.Checkpoint, string(msg), problem.New(problem.Bogus, "the ledger %s had %d entries at the last look and has %d now: entries were taken out", "账本 %s 上次有 %d 项，现只有 %d 项：有条目被删除", c.Origin, last.Size, c.Size)}
		case c.Size == last.Size && c.Root != last.Root:
			return nil, &Fork{a.Seen.Checkpoint, string(msg), problem.New(problem.Bogus, "the ledger %s is forked: it signed two different checkpoints of %d entries", "账本 %s 已分叉：对 %d 项签署了两个不同的检查点", c.Origin, c.Size)}
		}
		if e, err = a.edgeAt(ctx, last.Size); err != nil {
			return nil, err
		}
		if e.root() != last.Root {
			return nil, &Fork{a.Seen.Checkpoint, string(msg), problem.New(problem.Bogus, "the first %[2]d entries of the ledger %[1]s are no longer those of the last look: it was rewritten or forked", "账本 %s 的前 %d 项已不同于上次查验：已被改写或分叉", c.Origin, last.Size)}
		}
		if a.Full {
			e = edge{}
		}
	}
	if err := a.replay(ctx, &e, f); err != nil {
		return nil, err
	}
	if e.root() != c.Root {
		err := problem.New(problem.Bogus, "the entries of the ledger %s do not give the root that it signed for %d of them: it was rewritten or forked", "账本 %s 的条目无法得出其为 %d 项签署的根哈希：已被改写或分叉", c.Origin, c.Size)
		if f.Before > 0 && !a.Full {
			return nil, &Fork{a.Seen.Checkpoint, string(msg), err}
		}
		return nil, err
	}
	return f, nil
}

func notThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.NotFound, "there is no ledger there: give its address, as https://id.example.com/ledger/changes, or its folder", "该处没有账本：请给出其地址（如 https://id.example.com/ledger/changes）或目录")
	}
	return err
}

// get is a tile, out of the whole one when the part is not kept any more.
func (a *Auditor) get(ctx context.Context, t tile) ([]byte, error) {
	limit := int64(tileBytes)
	if t.level == entriesLevel {
		limit = maxBundle
	}
	b, err := a.Files.Fetch(ctx, t.path(), limit)
	if errors.Is(err, fs.ErrNotExist) && t.width < tileWidth {
		b, err = a.Files.Fetch(ctx, tile{t.level, t.n, tileWidth}.path(), limit)
		// Or it is still a part, but a larger one.
		if w := width(a.size, max(t.level, 0)); errors.Is(err, fs.ErrNotExist) && w > t.width {
			b, err = a.Files.Fetch(ctx, tile{t.level, t.n, w}.path(), limit)
		}
		b = t.cut(b)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && (b == nil || t.level != entriesLevel && len(b) != t.width*tlog.HashSize) {
		first := t.n<<(tileHeight*(max(t.level, 0)+1)) + 1
		return nil, problem.New(problem.Bogus, "the ledger's file %s is missing or cut off: entries %d to %d cannot be checked", "账本文件 %s 缺失或不完整：第 %d 至 %d 项无法查验", t.path(), first, t.end())
	}
	return b, err
}

// edgeAt is the edge that the log's tiles give for a size.
func (a *Auditor) edgeAt(ctx context.Context, size int64) (edge, error) {
	e := edge{size: size}
	for lv := 0; size>>(tileHeight*lv) > 0; lv++ {
		var b []byte
		if w := width(size, lv); w > 0 {
			var err error
			if b, err = a.get(ctx, tile{lv, size >> (tileHeight * (lv + 1)), w}); err != nil {
				return e, err
			}
		}
		e.levels = append(e.levels, append(make([]byte, 0, tileBytes), b...))
	}
	return e, nil
}

// ahead is how many tiles are fetched at once.
const ahead = 16

// replay goes through the entries behind e, and compares the tiles with what they give.
func (a *Auditor) replay(ctx context.Context, e *edge, f *Findings) error {
	size := f.Checkpoint.Size
	var higher []tileData
	var scratch []byte
	for e.size < size {
		// A window of tiles, each with its bundle.
		first := e.size >> tileHeight
		n := min(ahead, (size-1)>>tileHeight-first+1)
		var bundles, hashes [ahead][]byte
		var errs [ahead]error
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				w := int(min(tileWidth, size-(first+i)*tileWidth))
				if bundles[i], errs[i] = a.get(ctx, tile{entriesLevel, first + i, w}); errs[i] == nil {
					hashes[i], errs[i] = a.get(ctx, tile{0, first + i, w})
				}
			})
		}
		wg.Wait()
		for i := range n {
			if errs[i] != nil {
				return errs[i]
			}
			begin := (first + i) * tileWidth
			w := int(min(tileWidth, size-begin))
			leaves, ok := splitBundle(bundles[i], w)
			if !ok {
				return problem.New(problem.Bogus, "the bundle of entries %d to %d is damaged or does not have so many: an entry is missing", "第 %d 至 %d 项的条目文件已损坏或数目不符：有条目缺失", begin+1, begin+int64(w))
			}
			for j, leaf := range leaves {
				seq := begin + int64(j) + 1
				var h Hash
				h, scratch = leafHash(scratch, leaf)
				if !bytes.Equal(h[:], hashes[i][j*len(h):][:len(h)]) {
					return problem.New(problem.Bogus, "entry %d is not the one in the tree: it, or the tile, was rewritten", "第 %d 项与树中的不符：该项或其哈希块已被改写", seq)
				}
				if seq <= e.size {
					continue // of a tile that was looked at in part
				}
				if err := a.entry(uint64(seq), leaf, f); err != nil {
					return err
				}
				e.push(h, func(level int, h Hash) {
					if level > 0 {
						higher = addHigher(higher, level, e.size>>(tileHeight*level)-1, h)
					}
				})
			}
		}
	}
	// The tiles above must be those that the entries give.
	for i := range higher {
		d := &higher[i]
		got, err := a.get(ctx, tile{d.level, d.n, d.from + len(d.data)/tlog.HashSize})
		if err != nil {
			return err
		}
		if !bytes.Equal(got[d.from*tlog.HashSize:], d.data) {
			return problem.New(problem.Bogus, "the ledger's file %s is not what the entries give: it was rewritten", "账本文件 %s 与条目不符：已被改写", tile{d.level, d.n, tileWidth}.path())
		}
	}
	return nil
}

// tileData is hashes of a tile from position from on.
type tileData struct {
	level int
	n     int64
	from  int
	data  []byte
}

// addHigher adds hash i of a level.
func addHigher(list []tileData, level int, i int64, h Hash) []tileData {
	for k := len(list) - 1; k >= 0; k-- {
		if d := &list[k]; d.level == level {
			if d.n == i/tileWidth {
				d.data = append(d.data, h[:]...)
				return list
			}
			break
		}
	}
	return append(list, tileData{level, i / tileWidth, int(i % tileWidth), bytes.Clone(h[:])})
}

// entry looks at one entry.
func (a *Auditor) entry(seq uint64, leaf []byte, f *Findings) error {
	f.Looked++
	var line []byte
	if len(leaf) != blinded {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(leaf, &members); err != nil {
			return problem.New(problem.Bogus, "entry %d is neither a commitment nor readable", "第 %d 项既不是承诺也不可读", seq)
		}
		if n, ok := seqOf(members); !ok || n != seq {
			return problem.New(problem.Bogus, "where entry %d is due, there is one with the number %s: entries are missing or out of order", "应为第 %d 项处的编号却是 %s：有条目缺失或次序错乱", seq, clip(string(members["seq"])))
		}
		f.Readable++
		line = leaf
	}
	if a.Visit != nil {
		return a.Visit(seq, line)
	}
	return nil
}

// Copy brings a copy of the published files in dir up to date: plain files, as any web server can serve them.
func Copy(ctx context.Context, from Fetcher, dir string) (Checkpoint, error) {
	fetch := func(name string, limit int64) ([]byte, error) {
		b, err := from.Fetch(ctx, name, limit)
		return b, notThere(err)
	}
	key, err := fetch("vkey", 1000)
	if err != nil {
		return Checkpoint{}, err
	}
	v, err := ParseVerifier(string(key))
	if err != nil {
		return Checkpoint{}, err
	}
	msg, err := fetch("checkpoint", maxNote)
	if err != nil {
		return Checkpoint{}, err
	}
	c, _, err := openCheckpoint(msg, v, nil)
	if err != nil {
		return Checkpoint{}, err
	}
	a := Auditor{Files: from, size: c.Size}
	had := int64(0)
	if old, err := readFile(filepath.Join(dir, "checkpoint"), maxNote); err == nil && old != nil {
		if last, _, err := openCheckpoint(old, v, nil); err == nil && last.Size <= c.Size {
			had = last.Size
		}
	}
	for lv := entriesLevel; lv == entriesLevel || c.Size>>(tileHeight*lv) > 0; lv++ {
		h := tileHeight * max(lv, 0)
		for n := had >> h >> tileHeight; n<<tileHeight < c.Size>>h; n++ {
			t := tile{lv, n, int(min(tileWidth, c.Size>>h-n<<tileHeight))}
			b, err := a.get(ctx, t)
			if err != nil {
				return c, err
			}
			path := filepath.Join(dir, filepath.FromSlash(t.path()))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return c, diskProblem(err, path)
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				return c, diskProblem(err, path)
			}
		}
	}
	if err := replaceFile(filepath.Join(dir, "vkey"), key, 0o644); err != nil {
		return c, err
	}
	return c, replaceFile(filepath.Join(dir, "checkpoint"), msg, 0o644)
}
