package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/irp"
)

type verifyCmd struct {
	What    string   `arg:"" help:"FILE, 88.118.1001/ENG-42"`
	Hints   string   `help:"${flag_hints}" placeholder:"FILE"`
	RootKey []string `help:"${flag_root_key}" placeholder:"FILE"`
	On      string   `help:"${flag_on}" placeholder:"TIME"`
	At      string   `help:"${flag_at}" placeholder:"HOST:PORT"`
	Data    string   `help:"${flag_data}" placeholder:"DIR"`
	JSON    bool     `name:"json" help:"${flag_json}"`
}

func (c *verifyCmd) Run(e *env) error {
	on, err := c.on()
	if err != nil {
		return err
	}
	anchors, err := c.anchors()
	if err != nil {
		return err
	}
	p, err := c.open(e)
	if err != nil {
		return err
	}
	f, err := p.verify(anchors, on)
	if c.JSON {
		e.out.Write(append(f.json(p, err), '\n'))
		return err
	}
	if err != nil {
		return err
	}
	printValues(e, withoutSignatures(p.values))
	for _, s := range f.steps {
		e.print("%s: signed by %s, until %s", "%s：由 %s 签名，有效至 %s", s.name, s.by, s.until.UTC().Format(time.RFC3339))
	}
	if len(f.left) > 0 {
		e.print("left out, and signed too: %s", "已签名但未包含在答案中的值：%s", numbers(f.left))
	}
	e.print("%s: good, every signature from the root's key holds", "%s：核验通过，自根密钥起的每个签名均成立", p.name)
	return nil
}

func (c *verifyCmd) on() (time.Time, error) {
	if c.On == "" {
		return time.Now(), nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, c.On); err == nil {
			return t, nil
		}
	}
	return time.Time{}, problem.New(problem.BadRequest, "%q is no time; write 2026-11-22 or 2026-11-22T08:00:00Z", "%q 不是时间；请写成 2026-11-22 或 2026-11-22T08:00:00Z", c.On)
}

// anchors are the root's keys: nothing else is believed.
func (c *verifyCmd) anchors() ([]trust.PublicKey, error) {
	var keys []trust.PublicKey
	for _, name := range c.RootKey {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "cannot read the root's key", "无法读取根公钥")
		}
		k, err := trust.ParsePublicAny(b)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "%s is no public key", "%s 不是公钥", name)
		}
		keys = append(keys, k)
	}
	if len(keys) > 0 && c.Hints == "" {
		return keys, nil
	}
	path := c.Hints
	if path == "" {
		s, err := country(c.Data)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "to verify, the root's key must be known; give it with --root-key FILE or --hints FILE", "核验须知道根密钥；请用 --root-key 文件 或 --hints 文件 指定")
		}
		path = s.Hints
	}
	h, err := node.ReadHints(path)
	if err != nil {
		return nil, err
	}
	if keys = append(keys, h.Anchors...); len(keys) == 0 {
		return nil, problem.New(problem.BadRequest, "the hints in %s have no root key, so nothing can be verified; give it with --root-key FILE", "%s 中没有根公钥，无法核验；请用 --root-key 文件 指定", path)
	}
	return keys, nil
}

// open reads the file, or asks the world for what such a file would hold.
func (c *verifyCmd) open(e *env) (*proof, error) {
	if exists(c.What) {
		return readProof(c.What)
	}
	v, err := id.Parse(c.What)
	if err != nil {
		return nil, problem.Wrap(err, problem.KindOf(err), "%q is neither a file here nor an identifier", "%q 既不是此处的文件，也不是标识", c.What)
	}
	client := &irp.Client{}
	defer client.Close()
	ctx, cancel := e.withTimeout()
	defer cancel()
	w, done, err := (&resolveCmd{At: c.At, Data: c.Data, Hints: c.Hints}).world(client)
	if err != nil {
		return nil, err
	}
	defer done()
	a, err := w.Resolve(ctx, certified(record.Query{ID: v, PublicOnly: true}))
	if err != nil {
		return nil, err
	}
	return gather(ctx, w, v, a.Values)
}

// proof is an answer with all that it takes to check it later, far from any node: the records of the prefixes from the
// root down, each signed by the one before it. In a file it is JSON:
//
//	{"fujie-proof": 1, "handle": "88.118.1001/ENG-42", "made": "2026-11-22T08:00:00Z",
//	 "chain": [{"handle": "0.NA/0.NA", "values": […]}, {"handle": "0.NA/88", "values": […]}, …], "values": […]}
//
// with values as in Handle.Net's JSON, signatures among them. Who can alter the file can at most make it fail.
type proof struct {
	name   string
	made   time.Time
	chain  []link
	values []record.Value
}

// link is the record of a prefix.
type link struct {
	name   string
	values []record.Value
}

// Limits on a file from elsewhere.
const (
	maxProof = 16 << 20
	maxLinks = 20
)

// gather adds to the values of v the records of the prefixes above it.
func gather(ctx context.Context, w record.Resolver, v id.ID, values []record.Value) (*proof, error) {
	if v.IsPrefix() {
		v = id.PrefixRecord(v.Prefix())
	}
	p := &proof{name: v.String(), made: time.Now().UTC().Truncate(time.Second), values: values}
	prefix := v.Prefix()
	if of, ok := v.Delegated(); ok {
		prefix = id.ParentPrefix(of)
	}
	names := []id.ID{}
	for prefix != "" && prefix != id.Root.Prefix() && len(names) < maxLinks {
		names = append(names, id.PrefixRecord(prefix))
		prefix = id.ParentPrefix(prefix)
	}
	if v != id.Root {
		names = append(names, id.Root)
	}
	slices.Reverse(names)
	for _, n := range names {
		a, err := w.Resolve(ctx, record.Query{ID: n, PublicOnly: true, Certify: true})
		switch {
		case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues):
			continue // a level without a record of its own
		case err != nil:
			return nil, err
		}
		p.chain = append(p.chain, link{n.String(), a.Values})
	}
	return p, nil
}

func (p *proof) write(path string) error {
	b := record.AppendJSONString([]byte(`{"fujie-proof":1,"handle":`), p.name)
	b = append(b, `,"made":"`...)
	b = p.made.AppendFormat(b, time.RFC3339)
	b = append(b, "\",\n\"chain\":["...)
	for i, l := range p.chain {
		if i > 0 {
			b = append(b, ',')
		}
		b = record.AppendJSONString(append(b, "\n{\"handle\":"...), l.name)
		b = append(record.AppendValuesJSON(append(b, `,"values":`...), l.values), '}')
	}
	b = append(record.AppendValuesJSON(append(b, "],\n\"values\":"...), p.values), "}\n"...)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return problem.Wrap(err, problem.BadRequest, "cannot write the proof", "无法写出证明文件")
	}
	return nil
}

func readProof(path string) (*proof, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read the proof", "无法读取证明文件")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProof+1))
	if err != nil || len(b) > maxProof {
		return nil, problem.Wrap(err, problem.BadRequest, "the proof %s cannot be read, or is over %d bytes", "证明文件 %s 无法读取，或超过 %d 字节", path, maxProof)
	}
	return parseProof(b)
}

// parseProof reads a file's text. The error is of kind BadRequest: what is no proof is not bogus, it is nothing.
func parseProof(b []byte) (*proof, error) {
	p := &proof{}
	version := uint64(0)
	r := record.NewJSONReader(b)
	r.Object(func(key string) {
		switch key {
		case "fujie-proof":
			version = r.Uint(1 << 16)
		case "handle":
			p.name = r.String()
		case "made":
			p.made, _ = time.Parse(time.RFC3339, r.String())
		case "values":
			p.values = r.Values()
		case "chain":
			r.Array(func() {
				var l link
				r.Object(func(key string) {
					switch key {
					case "handle":
						l.name = r.String()
					case "values":
						l.values = r.Values()
					default:
						r.Skip()
					}
				})
				if len(p.chain) == maxLinks {
					r.Fail("over %d records", "超过 %d 条记录", maxLinks)
					return
				}
				p.chain = append(p.chain, l)
			})
		default:
			r.Skip()
		}
	})
	r.End()
	if r.Err() != nil || version != 1 || p.name == "" {
		return nil, problem.Wrap(r.Err(), problem.BadRequest, "this is no answer that was kept with --proof", "这不是用 --proof 保存的答案")
	}
	return p, nil
}

// finding is what was found out about a proof.
type finding struct {
	steps []step
	left  []uint32 // indexes of values that were signed and are not in the answer
}

// step is one record whose signature holds.
type step struct {
	name  string
	by    record.Ref
	until time.Time
}

// signer is a key and what lets it sign: a root's key needs nothing.
type signer struct {
	owner string
	key   trust.PublicKey
	cert  *trust.Cert
}

// verify checks each record by the keys that the one above it certifies, beginning with the root's. The rules are those
// of the recursor: own keys sign what is under a prefix; the records of prefixes below are signed by the same owner, or,
// where nobody in particular keeps those, by whoever signed this one. The error is of kind Bogus.
func (p *proof) verify(anchors []trust.PublicKey, now time.Time) (f finding, err error) {
	var own, below []signer
	for _, k := range anchors {
		own = append(own, signer{owner: id.Root.String(), key: k})
	}
	below = own
	name, err := id.ParseHandle(p.name)
	if err != nil {
		return f, problem.Wrap(err, problem.Bogus, "the proof is about no identifier", "证明所涉不是标识")
	}
	last := ""
	for _, l := range p.chain {
		at, err := id.ParseHandle(l.name)
		prefix, ok := at.Delegated()
		if err != nil || !ok || !above(at, name) || last != "" && !strings.HasPrefix(prefix, last) {
			return f, problem.New(problem.Bogus, "%q does not stand above %s", "%q 不在 %s 的上级链中", l.name, p.name)
		}
		s, err := signed(below, at.String(), l.values, true, now)
		if err != nil {
			return f, err
		}
		f.steps = append(f.steps, step{at.String(), s.Issuer, s.Until})
		certs, err := certificates(below, at.String(), l.values, now)
		if err != nil {
			return f, err
		}
		var mine, under []signer
		for _, c := range certs {
			g := signer{at.String(), c.Key, c}
			if c.Signs(at.String()) {
				mine = append(mine, g)
			}
			if at == id.Root || c.Covers(id.PrefixRecord(prefix+".0").String()) {
				under = append(under, g)
			}
		}
		if at == id.Root {
			own, below = append(slices.Clone(own), mine...), append(slices.Clone(below), under...)
			continue
		}
		if !keepsBelow(l.values) {
			under = append(slices.Clone(below), under...)
		}
		own, below = mine, under
		last = prefix + "."
	}
	by := own
	if _, ok := name.Delegated(); ok {
		by = below
	}
	if len(by) == 0 {
		return f, problem.New(problem.Bogus, "nothing proves %s: who answers for it signs nothing, as the authority above says", "无法证明 %s：其上级表明，负责的机构不签名", p.name)
	}
	s, err := signed(by, p.name, p.values, false, now)
	if err != nil {
		return f, err
	}
	f.steps = append(f.steps, step{p.name, s.Issuer, s.Until})
	for _, i := range s.Indexes() {
		if !slices.ContainsFunc(p.values, func(v record.Value) bool { return v.Index == i }) {
			f.left = append(f.left, i)
		}
	}
	return f, nil
}

// above reports whether the prefix record at is one of those on the way from the root to name.
func above(at, name id.ID) bool {
	if at == id.Root {
		return name != id.Root
	}
	prefix, _ := at.Delegated()
	of, isPrefix := name.Delegated()
	if !isPrefix {
		of = name.Prefix()
		return handle.Equal(of, prefix) || len(of) > len(prefix) && of[len(prefix)] == '.' && handle.Equal(of[:len(prefix)], prefix)
	}
	return len(of) > len(prefix) && of[len(prefix)] == '.' && handle.Equal(of[:len(prefix)], prefix)
}

func keepsBelow(values []record.Value) bool {
	return slices.ContainsFunc(values, func(v record.Value) bool {
		switch strings.ToUpper(v.Type) {
		case record.TypeSitePrefix, record.TypeDelegate, record.TypeServPrefix:
			return true
		}
		return false
	})
}

// signed finds the signature by one of the signers that stands for the values. With whole, all that was signed must be
// there.
func signed(by []signer, name string, values []record.Value, whole bool, now time.Time) (*trust.Signature, error) {
	reason := error(problem.New(problem.Bogus, "%s has no signature by who answers for it", "%s 没有负责机构的签名", name))
	tried := 0
	for i := range values {
		if !handle.Equal(values[i].Type, record.TypeSignature) || tried == 8 {
			continue
		}
		tried++
		s, err := trust.ParseSignature(values[i].Data)
		if err != nil {
			reason = err
			continue
		}
		for _, g := range by {
			if !handle.Equal(s.Issuer.Name, g.owner) || g.cert != nil && !g.cert.Covers(name) {
				continue
			}
			err := s.Verify(g.key, now)
			if err == nil {
				all := *s
				all.Public = all.Public || whole
				err = all.CheckValues(name, values, whole)
			}
			if err == nil {
				return s, nil
			}
			reason = err
		}
	}
	return nil, problem.Wrap(reason, problem.Bogus, "%s does not hold", "%s 核验不通过", name)
}

// certificates are those in the record of a prefix that its signers issued for its own key. One that is about it and
// does not hold makes the record bogus, if none does.
func certificates(by []signer, name string, values []record.Value, now time.Time) (held []*trust.Cert, err error) {
	for i := range values {
		if !handle.Equal(values[i].Type, record.TypeCert) || len(held) == 8 {
			continue
		}
		c, e := trust.ParseCert(values[i].Data)
		if e != nil {
			err = e
			continue
		}
		if !handle.Equal(c.Subject.Name, name) {
			continue
		}
		e = problem.New(problem.Bogus, "the certificate of %s is by %s, who does not stand above it", "%s 的证书由 %s 签发，而其并非上级", c.Subject, c.Issuer)
		for _, g := range by {
			if !handle.Equal(c.Issuer.Name, g.owner) {
				continue
			}
			if g.cert != nil {
				e = g.cert.Admit(c, now)
			} else {
				e = c.Verify(g.key, now)
			}
			if e == nil {
				held = append(held, c)
				break
			}
		}
		if e != nil {
			err = e
		}
	}
	if len(held) > 0 {
		err = nil
	}
	return held, err
}

func withoutSignatures(vs []record.Value) []record.Value {
	return slices.DeleteFunc(slices.Clone(vs), func(v record.Value) bool { return handle.Equal(v.Type, record.TypeSignature) })
}

func numbers(ns []uint32) string {
	var out []string
	for _, n := range ns {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ", ")
}

func (f *finding) json(p *proof, err error) []byte {
	b := record.AppendJSONString([]byte(`{"handle":`), p.name)
	b = fmt.Appendf(b, `,"good":%t`, err == nil)
	if err != nil {
		b = record.AppendJSONString(append(b, `,"error":`...), problem.KindOf(err).String())
		b = record.AppendJSONString(append(b, `,"message":`...), err.Error())
	}
	b = append(b, `,"chain":[`...)
	for i, s := range f.steps {
		if i > 0 {
			b = append(b, ',')
		}
		b = record.AppendJSONString(append(b, `{"handle":`...), s.name)
		b = record.AppendJSONString(append(b, `,"signedBy":`...), s.by.String())
		b = fmt.Appendf(b, `,"until":%q}`, s.until.UTC().Format(time.RFC3339))
	}
	b = append(b, `],"leftOut":[`...)
	b = append(b, strings.ReplaceAll(numbers(f.left), " ", "")...)
	b = append(b, ']')
	if err == nil {
		b = record.AppendValuesJSON(append(b, `,"values":`...), p.values)
	}
	return append(b, '}')
}
