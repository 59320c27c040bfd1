// Package escrow gets a node's data out of the house, and back: a backup is a whole node in one file; an escrow deposit
// 数据托管 is the data of a prefix, encrypted for whoever keeps it and signed by whoever gives it, complete or as what
// changed since the last one (china.md §1.6, annex 4 and the escrow client).
//
// A deposit is made while the node works. It is one stream: JSON Lines, compressed (zstd), encrypted (age, or an SM2
// envelope), cut into volumes, with a signed manifest that names the volumes and their digests and is written last: what
// has no manifest is no deposit. A DIFF goes on from the deposit that its manifest names. Restoring checks the signature
// and every digest before anything of it is taken, and goes on where it was interrupted.
//
// Who is trusted: who holds the recipient's private key reads everything, secret keys included; who holds the place can
// withhold deposits, or the newest ones, but change none; who holds the signing key can make false ones.
package escrow

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Source is where the data is: a node's registry.
type Source interface {
	record.Lister
	record.Feed
	Last(ctx context.Context) (uint64, error)
	Entry(ctx context.Context, v id.ID) (record.Entry, error)
	Homed(prefix string) bool
}

// Kind says what a deposit holds.
type Kind string

const (
	Full Kind = "FULL" // everything
	Diff Kind = "DIFF" // what changed since the deposit before
	Auto Kind = ""     // DIFF where one can go on from the last deposit, else FULL
)

// Config says what is deposited, where, for whom.
type Config struct {
	Source Source
	Place  Place
	Prefix string // 88.118: its records, those of prefixes below it that are kept here, and their prefix records
	Kind   Kind
	To     []Recipient
	Key    *trust.PrivateKey // signs the manifest
	Volume int64             // bytes of a volume; 1 GiB if 0
	Log    string            // the file to which a line about each deposit is added; none if empty

	Progress func(records int64)
	Now      func() time.Time // time.Now if nil
	Rand     io.Reader        // crypto/rand if nil
}

// Manifest says what a deposit is.
type Manifest struct {
	Format    int       `json:"format"` // 1
	Deposit   string    `json:"deposit"`
	Prefix    string    `json:"prefix"`
	Kind      Kind      `json:"kind"`
	Base      string    `json:"base,omitempty"` // the deposit that a DIFF goes on from
	Rev       int       `json:"rev"`            // of the prefix at this place, from 1
	Watermark uint64    `json:"watermark"`      // the number of the last change that is in it for sure
	Mark      string    `json:"mark,omitempty"` // what that change was
	Made      time.Time `json:"made"`
	Records   int64     `json:"records"`
	Gone      int64     `json:"gone,omitempty"` // records that are no more, in a DIFF
	Sealed    []string  `json:"sealed"`         // for whom
	Size      int64     `json:"size"`           // of all volumes
	Volumes   []Volume  `json:"volumes"`
}

// Volume is one file of a deposit.
type Volume struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const (
	manifestFormat = 1
	manifestSuffix = ".manifest.json"
	defaultVolume  = 1 << 30
	maxManifest    = 8 << 20
	pageSize       = 1000
)

var operator = record.Identity{Operator: true}

// A line of the stream is one of
//
//	{"escrow":1,"deposit":"…","prefix":"88.118","kind":"FULL"}   the first
//	{"home":"88.118.1001"}  {"unhome":"88.118.1001"}             the prefix is answered for, or not
//	{"id":"88.118/x","block":"…base64 of the value block…"}      a record
//	{"id":"88.118/y"}                                            it is no more
//	{"end":1234}                                                 the last: how many lines came before
type line struct {
	Escrow  int    `json:"escrow,omitempty"`
	Deposit string `json:"deposit,omitempty"`
	Prefix  string `json:"prefix,omitempty"`
	Kind    Kind   `json:"kind,omitempty"`
	Home    string `json:"home,omitempty"`
	Unhome  string `json:"unhome,omitempty"`
	ID      string `json:"id,omitempty"`
	Block   string `json:"block,omitempty"`
	End     int64  `json:"end,omitempty"`
}

const maxLine = 4 << 20

// Make makes a deposit. What it wrote is taken away again when it fails. Errors: problem.Conflict for a DIFF with nothing
// to go on from; those of the place and the source.
func Make(ctx context.Context, cfg Config) (m *Manifest, err error) {
	cfg.fill()
	start := cfg.Now().UTC()
	m = &Manifest{Format: manifestFormat, Prefix: handle.Fold(cfg.Prefix), Kind: cfg.Kind, Made: start}
	defer func() {
		if err2 := cfg.log(m, start, err); err == nil {
			err = err2
		}
		if err != nil {
			m = nil
		}
	}()
	if cfg.Key == nil {
		return m, problem.New(problem.BadRequest, "a deposit needs a key that signs it", "托管须有签名密钥")
	}
	var raw [16]byte
	if _, err := io.ReadFull(cfg.Rand, raw[:]); err != nil {
		return m, problem.Wrap(err, problem.Internal, "there is no randomness to name the deposit by", "没有可用的随机数来标记托管")
	}
	m.Deposit = hex.EncodeToString(raw[:])
	before, err := Deposits(ctx, cfg.Place, m.Prefix, cfg.Key.Public().Fingerprint())
	if err != nil {
		return m, err
	}
	var base *Manifest
	if n := len(before); n > 0 {
		base, m.Rev = before[n-1], before[n-1].Rev
	}
	m.Rev++
	if cfg.Kind != Full {
		goes, err := cfg.goesOn(ctx, base)
		if err != nil {
			return m, err
		}
		switch {
		case goes:
			m.Kind, m.Base = Diff, base.Deposit
		case cfg.Kind == Diff:
			return m, problem.New(problem.Conflict, "there is no deposit of %s that a DIFF can go on from: make a FULL one", "没有可供 DIFF 继续的 %s 托管：请先做 FULL", m.Prefix)
		default:
			m.Kind = Full
		}
	}
	// What is read from here on may be newer than the watermark, never older.
	if m.Watermark, err = cfg.Source.Last(ctx); err != nil {
		return m, err
	}
	if m.Mark, err = markOf(ctx, cfg.Source, m.Watermark); err != nil {
		return m, err
	}
	for _, r := range cfg.To {
		m.Sealed = append(m.Sealed, r.String())
	}
	v := &volumes{ctx: ctx, place: cfg.Place, limit: cfg.Volume, m: m, sum: sha256.New(),
		stem: fmt.Sprintf("%s-%s-%04d-%s-%s", strings.NewReplacer(".", "_", "/", "_").Replace(m.Prefix), start.Format("20060102T150405"), m.Rev, m.Kind, m.Deposit[:8])}
	if err := cfg.write(ctx, m, base, v); err != nil {
		v.abort()
		return m, err
	}
	return m, cfg.sign(ctx, m, v.stem+manifestSuffix)
}

func (cfg *Config) fill() {
	if cfg.Volume <= 0 {
		cfg.Volume = defaultVolume
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
}

// goesOn reports whether the source still has the change that base ended with.
func (cfg *Config) goesOn(ctx context.Context, base *Manifest) (bool, error) {
	if base == nil {
		return false, nil
	}
	last, err := cfg.Source.Last(ctx)
	if err != nil || last < base.Watermark {
		return false, err
	}
	mark, err := markOf(ctx, cfg.Source, base.Watermark)
	return mark == base.Mark, err
}

// markOf tells change n from another one that has its number in another life of the node, or on another node.
func markOf(ctx context.Context, src Source, n uint64) (string, error) {
	if n == 0 {
		return "", nil
	}
	es, err := src.Changes(ctx, operator, n-1, 1, false)
	if err != nil {
		return "", err
	}
	e := &es[0].Change
	b := binary.BigEndian.AppendUint64(nil, e.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixMilli()))
	b = append(append(b, byte(e.Op)), e.Digest[:]...)
	sum := sha256.Sum256(append(b, e.ID.String()...))
	return hex.EncodeToString(sum[:]), nil
}

// write writes the stream.
func (cfg *Config) write(ctx context.Context, m, base *Manifest, v *volumes) error {
	sealed, err := Seal(v, cfg.To, cfg.Rand)
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(sealed, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20))
	if err != nil {
		return problem.Wrap(err, problem.Internal, "zstd cannot compress", "zstd 无法压缩")
	}
	w := bufio.NewWriterSize(z, 256<<10)
	lines := int64(0)
	put := func(l line) error {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		lines++
		w.Write(b)
		return w.WriteByte('\n')
	}
	entry := func(e *record.Entry) error {
		l := line{ID: e.ID.String()}
		if e.Values != nil {
			l.Block = base64.StdEncoding.EncodeToString(record.AppendBlock(nil, e.Values))
			m.Records++
		} else {
			m.Gone++
		}
		if n := m.Records + m.Gone; cfg.Progress != nil && n%1000 == 0 {
			cfg.Progress(n)
		}
		return put(l)
	}
	err = put(line{Escrow: 1, Deposit: m.Deposit, Prefix: m.Prefix, Kind: m.Kind})
	if err == nil && m.Kind == Diff {
		err = cfg.changed(ctx, m, base.Watermark, put, entry)
	} else if err == nil {
		err = cfg.everything(ctx, m, put, entry)
	}
	if err == nil {
		err = put(line{End: lines})
	}
	for _, f := range []func() error{w.Flush, z.Close, sealed.Close, v.finish} {
		if err == nil {
			err = f()
		}
	}
	var p *problem.Error
	if err != nil && !errors.As(err, &p) {
		err = problem.Wrap(err, problem.Internal, "the deposit could not be written", "无法写出托管")
	}
	return err
}

// within reports whether prefix p is the deposit's or below it.
func within(p, of string) bool {
	return of == id.Root.Prefix() || p == of || strings.HasPrefix(p, of+".")
}

// belongs reports whether a record belongs to the deposit.
func belongs(v id.ID, of string) bool {
	if p, ok := v.Delegated(); ok {
		return within(handle.Fold(p), of)
	}
	return within(v.Prefix(), of)
}

func (cfg *Config) everything(ctx context.Context, m *Manifest, put func(line) error, entry func(*record.Entry) error) error {
	list := func(prefix string) error {
		for after := ""; ; {
			names, err := cfg.Source.List(ctx, operator, prefix, after, pageSize)
			if err != nil || len(names) == 0 {
				return err
			}
			after = names[len(names)-1]
			for _, n := range names {
				v, err := id.ParseHandle(n)
				if err != nil {
					return err
				}
				if !belongs(v, m.Prefix) {
					continue
				}
				e, err := cfg.Source.Entry(ctx, v)
				if err != nil {
					return err
				}
				if e.Values == nil {
					continue // it went meanwhile; a DIFF will not miss it
				}
				if err := entry(&e); err != nil {
					return err
				}
			}
		}
	}
	for after := ""; ; {
		ps, err := cfg.Source.Prefixes(ctx, operator, after, pageSize)
		if err != nil {
			return err
		}
		if len(ps) == 0 {
			break
		}
		after = ps[len(ps)-1]
		for _, p := range ps {
			if !within(p, m.Prefix) {
				continue
			}
			if err := put(line{Home: p}); err != nil {
				return err
			}
			if p == id.Root.Prefix() {
				continue
			}
			if err := list(p); err != nil {
				return err
			}
		}
	}
	return list(id.Root.Prefix())
}

func (cfg *Config) changed(ctx context.Context, m *Manifest, after uint64, put func(line) error, entry func(*record.Entry) error) error {
	seen := map[id.ID]bool{}
	for after < m.Watermark {
		es, err := cfg.Source.Changes(ctx, operator, after, pageSize, false)
		if err != nil {
			return err
		}
		for i := range es {
			after = es[i].Seq
			v := es[i].ID
			if after > m.Watermark || !belongs(v, m.Prefix) {
				continue
			}
			if es[i].Op == record.Home || es[i].Op == record.Unhome {
				p, _ := v.Delegated()
				l := line{Unhome: p}
				if cfg.Source.Homed(p) {
					l = line{Home: p}
				}
				if err := put(l); err != nil {
					return err
				}
				continue
			}
			if seen[v] {
				continue
			}
			seen[v] = true
			e, err := cfg.Source.Entry(ctx, v)
			if err == nil {
				err = entry(&e)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// volumes cuts a stream into files.
type volumes struct {
	ctx   context.Context
	place Place
	stem  string
	limit int64
	m     *Manifest

	f    File
	name string
	n    int64
	sum  hash.Hash
}

func (v *volumes) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		if v.f != nil && v.n >= v.limit {
			if err := v.end(); err != nil {
				return 0, err
			}
		}
		if v.f == nil {
			var err error
			v.name = fmt.Sprintf("%s.%03d", v.stem, len(v.m.Volumes)+1)
			if v.f, err = v.place.Create(v.ctx, v.name); err != nil {
				return 0, err
			}
			v.n = 0
			v.sum.Reset()
		}
		part := b[:min(int64(len(b)), v.limit-v.n)]
		if err := v.ctx.Err(); err != nil {
			return 0, problem.Wrap(err, problem.Canceled, "the deposit was given up", "托管已放弃")
		}
		if _, err := v.f.Write(part); err != nil {
			return 0, err
		}
		v.sum.Write(part)
		v.n += int64(len(part))
		b = b[len(part):]
	}
	return total, nil
}

func (v *volumes) end() error {
	f := v.f
	v.f = nil
	if err := f.Close(); err != nil {
		return err
	}
	v.m.Volumes = append(v.m.Volumes, Volume{v.name, v.n, hex.EncodeToString(v.sum.Sum(nil))})
	v.m.Size += v.n
	return nil
}

func (v *volumes) finish() error {
	if v.f == nil {
		return nil
	}
	return v.end()
}

func (v *volumes) abort() {
	if v.f != nil {
		v.f.Abort()
	}
}

// signed is a manifest as it lies at its place: the signature is over the bytes of Manifest as they stand.
type signed struct {
	Manifest  json.RawMessage `json:"manifest"`
	Key       json.RawMessage `json:"key"`
	Signature string          `json:"signature"`
}

func (cfg *Config) sign(ctx context.Context, m *Manifest, name string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the manifest cannot be written", "无法写出清单")
	}
	sig, err := cfg.Key.Sign(b)
	if err != nil {
		return err
	}
	out, err := json.Marshal(signed{b, cfg.Key.Public().MarshalJWK(), base64.StdEncoding.EncodeToString(sig)})
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the manifest cannot be written", "无法写出清单")
	}
	f, err := cfg.Place.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(out, '\n')); err != nil {
		f.Abort()
		return err
	}
	return f.Close()
}

// ParseManifest reads a manifest and checks its signature, by the key with that fingerprint. Errors: problem.Bogus,
// problem.BadRequest.
func ParseManifest(b []byte, signer string) (*Manifest, error) {
	var s signed
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the manifest is no JSON", "清单不是 JSON")
	}
	key, err := trust.ParsePublicJWK(s.Key)
	if err != nil {
		return nil, problem.Wrap(err, problem.Bogus, "the manifest does not say who signed it", "清单未说明签名者")
	}
	if key.Fingerprint() != signer {
		return nil, problem.New(problem.Bogus, "the manifest is signed by %s, not by %s: if that is right, name its key", "清单由 %s 签名，而非 %s：如属实，请指明其密钥", key.Fingerprint(), signer)
	}
	sig, err := base64.StdEncoding.DecodeString(s.Signature)
	if err == nil {
		err = key.Verify(s.Manifest, sig)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Bogus, "the signature of the manifest does not hold: it was changed", "清单签名无效：内容被更改")
	}
	var m Manifest
	if err := json.Unmarshal(s.Manifest, &m); err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the manifest is not of the form that is known", "清单格式无法识别")
	}
	if m.Format != manifestFormat || m.Deposit == "" || m.Kind != Full && m.Kind != Diff {
		return nil, problem.New(problem.Unsupported, "the manifest has format %d, this program reads %d: use a newer one", "清单格式为 %d，本程序读取 %d：请使用更新的程序", m.Format, manifestFormat)
	}
	for _, v := range m.Volumes {
		if err := good(v.Name); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// Deposits is the manifests of a prefix at a place that are signed by the key with that fingerprint, oldest first. Others
// are passed over: the place may be shared.
func Deposits(ctx context.Context, p Place, prefix, signer string) ([]*Manifest, error) {
	names, err := p.Names(ctx)
	if err != nil {
		return nil, err
	}
	var out []*Manifest
	for _, name := range names {
		if !strings.HasSuffix(name, manifestSuffix) {
			continue
		}
		f, err := p.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(f, maxManifest))
		f.Close()
		if err != nil {
			return nil, problem.Wrap(err, problem.Unreachable, "%s cannot be read", "无法读取 %s", name)
		}
		m, err := ParseManifest(b, signer)
		if err != nil || m.Prefix != handle.Fold(prefix) {
			continue
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *Manifest) int {
		if a.Rev != b.Rev {
			return a.Rev - b.Rev
		}
		return a.Made.Compare(b.Made)
	})
	return out, nil
}
