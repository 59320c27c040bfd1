package escrow

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Target is where deposits are restored to: a registry that holds nothing yet.
type Target interface {
	Copy(ctx context.Context, name string, entries []record.Entry, cursor []byte) error
	Cursor(ctx context.Context, name string) ([]byte, error)
	Last(ctx context.Context) (uint64, error)
}

// Restoring says what is restored, from where.
type Restoring struct {
	Place  Place
	Prefix string
	Signer string // the fingerprint of the key that signed the deposits
	IDs    []Identity
	Until  string // the deposit to stop at; the last one if empty
	Into   Target

	Progress func(records int64)
	Now      func() time.Time // time.Now if nil
}

// Restored is what was restored.
type Restored struct {
	Deposits []*Manifest
	Records  int64 // that were read, those that a DIFF replaced included
}

// note is how far a restoration is, kept with the records.
type note struct {
	Deposit string `json:"deposit"`
	Lines   int64  `json:"lines"` // of it that are here
	Done    bool   `json:"done,omitempty"`
}

const (
	noteName     = "escrow"
	restoreBatch = 1000
)

// Chain is the deposits that together make the state after the last of them (or after until): a FULL one and every DIFF
// behind it. Errors: problem.NotFound; problem.Conflict when one is missing between.
func Chain(all []*Manifest, until string) ([]*Manifest, error) {
	if until != "" {
		for i, m := range all {
			if m.Deposit == until {
				all = all[:i+1]
				break
			}
			if i == len(all)-1 {
				return nil, problem.New(problem.NotFound, "there is no deposit %s here, or another key signed it", "此处没有托管 %s，或其由其他密钥签名", until)
			}
		}
	}
	if len(all) == 0 {
		return nil, problem.New(problem.NotFound, "there is no deposit of this prefix here that is signed by this key", "此处没有由该密钥签名的该前缀托管")
	}
	by := map[string]*Manifest{}
	for _, m := range all {
		by[m.Deposit] = m
	}
	var chain []*Manifest
	for m := all[len(all)-1]; ; {
		chain = append([]*Manifest{m}, chain...)
		if m.Kind == Full {
			return chain, nil
		}
		base := by[m.Base]
		if base == nil || base.Rev >= m.Rev {
			return nil, problem.New(problem.Conflict, "the deposit %s goes on from %s, which is missing: find it, or stop before (--until)",
				"托管 %s 接续自 %s，而后者缺失：请找回，或恢复到其之前（--until）", m.Deposit, m.Base)
		}
		m = base
	}
}

// Restore brings deposits into an empty registry, or goes on with what an interruption left.
func Restore(ctx context.Context, r Restoring) (*Restored, error) {
	if r.Now == nil {
		r.Now = time.Now
	}
	all, err := Deposits(ctx, r.Place, r.Prefix, r.Signer)
	if err != nil {
		return nil, err
	}
	chain, err := Chain(all, r.Until)
	if err != nil {
		return nil, err
	}
	var at note
	b, err := r.Into.Cursor(ctx, noteName)
	if err != nil {
		return nil, err
	}
	if b != nil {
		if err := json.Unmarshal(b, &at); err != nil {
			return nil, problem.Wrap(err, problem.Internal, "the note how far the restoration is, is damaged: begin with an empty store", "恢复进度标记已损坏：请用空的存储重新开始")
		}
	} else if last, err := r.Into.Last(ctx); err != nil || last > 0 {
		if err == nil {
			err = problem.New(problem.Exists, "the node holds something already: restore into an empty one", "节点中已有内容：请恢复到空节点")
		}
		return nil, err
	}
	from := 0
	if at.Deposit != "" {
		from = -1
		for i, m := range chain {
			if m.Deposit == at.Deposit {
				from = i
			}
		}
		if from < 0 {
			return nil, problem.New(problem.Exists, "the restoration of another deposit (%s) was begun here: finish that one, or take an empty store",
				"此处已开始恢复另一托管（%s）：请完成该恢复，或使用空的存储", at.Deposit)
		}
		if at.Done {
			from++
			at = note{}
		}
	}
	out := &Restored{Deposits: chain}
	// Everything is looked at before anything is taken: encrypted for us by anybody, it is proved by its digests alone.
	for _, m := range chain[from:] {
		v := &joined{ctx: ctx, place: r.Place, m: m, sum: sha256.New()}
		if _, err := io.Copy(io.Discard, v); err != nil {
			return nil, err
		}
	}
	for i, m := range chain[from:] {
		skip := int64(0)
		if i == 0 {
			skip = at.Lines
		}
		if err := r.one(ctx, m, skip, out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// one takes a deposit, but for the lines that are here already.
func (r *Restoring) one(ctx context.Context, m *Manifest, skip int64, out *Restored) error {
	bad := func(err error, n int64) error {
		return problem.Wrap(err, problem.BadRequest, "the deposit %s is damaged behind line %d; what came before is here: take a good copy and go on",
			"托管 %s 在第 %d 行之后损坏；此前内容已恢复：请换用完好的副本继续", m.Deposit, n)
	}
	v := &joined{ctx: ctx, place: r.Place, m: m, sum: sha256.New()}
	defer v.close()
	plain, err := Open(v, r.IDs)
	if err != nil {
		return err
	}
	z, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return bad(err, 0)
	}
	defer z.Close()
	in := bufio.NewReaderSize(z, 256<<10)
	var batch []record.Entry
	n := int64(0)
	flush := func(done bool) error {
		b, err := json.Marshal(note{Deposit: m.Deposit, Lines: n, Done: done})
		if err != nil {
			return err
		}
		if err := r.Into.Copy(ctx, noteName, batch, b); err != nil {
			return err
		}
		batch = batch[:0]
		return nil
	}
	for {
		text, err := readLine(in)
		if err != nil {
			if problem.Is(err, problem.Unreachable) || problem.Is(err, problem.Canceled) {
				return err
			}
			return bad(err, n)
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return bad(err, n)
		}
		if n == 0 && (l.Escrow != 1 || l.Deposit != m.Deposit || l.Prefix != m.Prefix) {
			return bad(nil, n)
		}
		if l.End > 0 {
			if l.End != n {
				return bad(nil, n)
			}
			if _, err := in.ReadByte(); err != io.EOF {
				return bad(err, n)
			}
			return flush(true)
		}
		e, some, err := l.entry(r.Now())
		if err != nil {
			return bad(err, n)
		}
		if some && n >= skip {
			batch = append(batch, e)
			out.Records++
		}
		n++
		if len(batch) == restoreBatch {
			if err := flush(false); err != nil {
				return err
			}
			if r.Progress != nil {
				r.Progress(out.Records)
			}
		}
	}
}

// readLine is the next line, at most maxLine long.
func readLine(in *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		if err == nil && long == nil {
			return part, nil
		}
		long = append(long, part...)
		if err != bufio.ErrBufferFull {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return long, err
		}
		if len(long) > maxLine {
			return nil, bufio.ErrTooLong
		}
	}
}

// entry is what a line says of a record or a prefix; some is false for a line that says nothing of them.
func (l *line) entry(now time.Time) (e record.Entry, some bool, err error) {
	e.Time, e.By = now, operator
	switch {
	case l.Home != "" || l.Unhome != "":
		v, err := id.ParseHandle(l.Home + l.Unhome)
		if err != nil {
			return e, false, err
		}
		if e.Op = record.Home; l.Unhome != "" {
			e.Op = record.Unhome
		}
		e.ID = id.PrefixRecord(v.Prefix())
		return e, true, nil
	case l.ID != "":
		if e.ID, err = id.ParseHandle(l.ID); err != nil {
			return e, false, err
		}
		if l.Block == "" {
			e.Op = record.Delete
			return e, true, nil
		}
		raw, err := base64.StdEncoding.DecodeString(l.Block)
		if err != nil {
			return e, false, problem.Wrap(err, problem.BadRequest, "the record %s is no base64", "记录 %s 不是 base64", l.ID)
		}
		vs, rest, err := record.DecodeBlock(raw)
		if err != nil || len(rest) > 0 {
			return e, false, problem.Wrap(err, problem.BadRequest, "the record %s is damaged", "记录 %s 已损坏", l.ID)
		}
		e.Op, e.Values = record.Create, append([]record.Value{}, vs...)
		return e, true, nil
	}
	return e, false, nil
}

// joined reads the volumes of a deposit as one stream and checks the digest of each at its end.
type joined struct {
	ctx   context.Context
	place Place
	m     *Manifest

	i   int
	f   io.ReadCloser
	n   int64
	sum hash.Hash
}

func (j *joined) Read(b []byte) (int, error) {
	for {
		if err := j.ctx.Err(); err != nil {
			return 0, problem.Wrap(err, problem.Canceled, "the restoration was given up", "恢复已放弃")
		}
		if j.i == len(j.m.Volumes) {
			return 0, io.EOF
		}
		v := j.m.Volumes[j.i]
		if j.f == nil {
			var err error
			if j.f, err = j.place.Open(j.ctx, v.Name); err != nil {
				return 0, err
			}
			j.n = 0
			j.sum.Reset()
		}
		n, err := j.f.Read(b[:min(int64(len(b)), v.Size-j.n+1)])
		j.sum.Write(b[:n])
		j.n += int64(n)
		wrong := j.n > v.Size
		if err == io.EOF {
			want, _ := hex.DecodeString(v.SHA256)
			wrong = j.n != v.Size || !bytes.Equal(j.sum.Sum(nil), want)
			if !wrong {
				j.close()
				j.i++
				if n > 0 {
					return n, nil
				}
				continue
			}
		}
		if wrong {
			return 0, problem.New(problem.Bogus, "the volume %s is not what its manifest says: it was changed or is not whole; take a good copy", "分卷 %s 与清单不符：被更改或不完整；请换用完好的副本", v.Name)
		}
		if err != nil {
			return 0, problem.Wrap(err, problem.Unreachable, "the volume %s cannot be read", "无法读取分卷 %s", v.Name)
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (j *joined) close() {
	if j.f != nil {
		j.f.Close()
		j.f = nil
	}
}
