package site

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// Door is the way to another site. Errors are problem.Unreachable when it does not answer.
type Door interface {
	State(ctx context.Context) (State, error)
	Vote(ctx context.Context, b Ballot) (Vote, error)
	Lead(ctx context.Context, primary State) error
	// Records is what the site holds of some identifiers.
	Records(ctx context.Context, ids []id.ID) ([]record.Entry, error)
	// Feed is the site's feed; site, if not empty, is who follows and holds what it asks behind.
	Feed(site string) record.Feed
	// Resolution and Registration try whether the site answers and takes changes.
	Resolution(ctx context.Context) error
	Registration(ctx context.Context) error
	// Judgement is what the site publishes as a probe.
	Judgement(ctx context.Context, prefix string) (Judgement, error)
	Close()
}

// Dial is the way to a peer over HTTPS, as the holder of the key.
func Dial(user record.Ref, key *trust.PrivateKey, p Peer) Door {
	d := &https{peer: p, user: user, key: key, feeds: map[string]*web.Client{}}
	d.signed = d.client(true)
	d.anybody = d.client(false)
	return d
}

type https struct {
	peer    Peer
	user    record.Ref
	key     *trust.PrivateKey
	signed  *web.Client
	anybody *web.Client
	prefix  string

	mu    sync.Mutex
	feeds map[string]*web.Client
}

func (d *https) client(signed bool) *web.Client {
	c := &web.Client{Base: d.peer.URL, Pin: d.peer.Pin, Timeout: 20 * time.Second}
	if signed {
		c.User, c.Key = d.user, d.key
	}
	return c
}

func (d *https) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.feeds {
		c.Close()
	}
	d.signed.Close()
	d.anybody.Close()
}

// exchange makes one request and reads its answer.
func (d *https) exchange(ctx context.Context, c *web.Client, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return problem.Wrap(err, problem.Internal, "the request cannot be written", "请求无法写成 JSON")
		}
	}
	status, b, err := c.Exchange(ctx, method, path, body)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var p struct{ Kind, Detail string }
		_ = json.Unmarshal(b, &p)
		return problem.New(problem.Unreachable, "%s answered %d to %s: %s", "%s 对 %[3]s 返回 %[2]d：%[4]s", d.peer.Name, status, path, p.Detail)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return problem.Wrap(err, problem.Unreachable, "%s answered with something else than a site does", "%s 的应答不是站点应答", d.peer.Name)
	}
	return nil
}

func (d *https) State(ctx context.Context) (st State, err error) {
	err = d.exchange(ctx, d.signed, http.MethodGet, pathState, nil, &st)
	if err == nil && st.Site != d.peer.Name {
		err = problem.New(problem.Bogus, "%s calls itself %q: the address or the name in the list of sites is wrong", "%s 自称 %q：站点列表中的地址或名称有误", d.peer.Name, st.Site)
	}
	return st, err
}

func (d *https) Vote(ctx context.Context, b Ballot) (v Vote, err error) {
	err = d.exchange(ctx, d.signed, http.MethodPost, pathVote, b, &v)
	return v, err
}

func (d *https) Lead(ctx context.Context, primary State) error {
	return d.exchange(ctx, d.signed, http.MethodPost, pathLead, primary, nil)
}

func (d *https) Records(ctx context.Context, ids []id.ID) (out []record.Entry, err error) {
	for part := range slices.Chunk(ids, maxRecords) {
		names := make([]string, len(part))
		for i, v := range part {
			names[i] = v.String()
		}
		var b []byte
		if err := d.exchange(ctx, d.signed, http.MethodPost, pathRecords, map[string]any{"ids": names}, &b); err != nil {
			return nil, err
		}
		for line := range bytes.Lines(b) {
			e, err := parseHeld(line)
			if err != nil {
				return nil, problem.Wrap(err, problem.Unreachable, "%s answered with something else than records", "%s 返回的不是记录", d.peer.Name)
			}
			out = append(out, e)
		}
	}
	return out, nil
}

func parseHeld(line []byte) (e record.Entry, err error) {
	var l held
	if err := json.Unmarshal(line, &l); err != nil {
		return e, problem.Wrap(err, problem.BadRequest, "the line is no JSON", "该行不是 JSON")
	}
	if e.ID, err = id.ParseHandle(l.ID); err != nil {
		return e, err
	}
	for _, op := range []record.Op{record.Create, record.Delete, record.Home, record.Unhome} {
		if op.String() == l.Op {
			e.Op = op
		}
	}
	if e.Op == 0 || (e.Op == record.Create) != (l.Block != "") {
		return e, problem.New(problem.BadRequest, "the line says %q of %s, which does not fit what it holds", "该行的操作 %q 与 %s 的内容不符", l.Op, l.ID)
	}
	if l.Block != "" {
		raw, err := base64.StdEncoding.DecodeString(l.Block)
		if err != nil {
			return e, problem.Wrap(err, problem.BadRequest, "the block of %s is no base64", "%s 的数据块不是 base64", l.ID)
		}
		vs, rest, err := record.DecodeBlock(raw)
		if err != nil || len(rest) > 0 {
			return e, problem.Wrap(err, problem.BadRequest, "the block of %s is damaged", "%s 的数据块已损坏", l.ID)
		}
		e.Values = append([]record.Value{}, vs...)
	}
	return e, nil
}

func (d *https) Feed(site string) record.Feed {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.feeds[site]
	if c == nil {
		c = d.client(true)
		c.Follower = site
		d.feeds[site] = c
	}
	return c
}

// ProbeSuffix is what probes ask for. Nothing is ever registered under it.
const ProbeSuffix = "FUJIE.PROBE"

func (d *https) probed(ctx context.Context) (id.ID, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prefix == "" {
		// The name of the key says the prefix: 300:0.NA/88.
		v, err := id.ParseHandle(d.user.Name)
		if err != nil {
			return v, err
		}
		if d.prefix = v.Prefix(); v.Prefix() == id.Root.Prefix() {
			if p, ok := v.Delegated(); ok {
				d.prefix = p
			}
		}
	}
	return id.ParseHandle(d.prefix + "/" + ProbeSuffix)
}

func (d *https) Resolution(ctx context.Context) error {
	v, err := d.probed(ctx)
	if err != nil {
		return err
	}
	_, err = d.anybody.Resolve(ctx, record.Query{ID: v, PublicOnly: true, NoReferral: true})
	return err
}

// Registration asks for a change of a record that is not there: it goes the whole way of a change, and changes nothing.
func (d *https) Registration(ctx context.Context) error {
	v, err := d.probed(ctx)
	if err != nil {
		return err
	}
	rs, err := d.anybody.Write(ctx, record.Identity{}, []record.Write{{Op: record.Modify, ID: v,
		Values: []record.Value{{Index: 1, Type: "TEXT", Data: []byte("probe"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}}}})
	if err != nil {
		return err
	}
	return rs[0].Err
}

func (d *https) Judgement(ctx context.Context, prefix string) (Judgement, error) {
	var e Envelope
	var j Judgement
	if err := d.exchange(ctx, d.anybody, http.MethodGet, pathProbes+"?prefix="+url.QueryEscape(prefix), nil, &e); err != nil {
		return j, err
	}
	return e.Verify(cmp.Or(d.peer.Key, d.peer.Pin))
}

// Verify is the judgement, when it is signed by the key with the fingerprint; problem.Bogus when it is not.
func (e *Envelope) Verify(fingerprint string) (j Judgement, err error) {
	key, err := trust.ParsePublicJWK(e.Key)
	if err != nil {
		return j, problem.Wrap(err, problem.Bogus, "the judgement is not signed", "该判断未签名")
	}
	sig, err := base64.StdEncoding.DecodeString(e.Signature)
	if err == nil {
		err = key.Verify(e.Judgement, sig)
	}
	if err != nil || key.Fingerprint() != fingerprint {
		return j, problem.Wrap(err, problem.Bogus, "the judgement is signed by %s, which is not the probe's key", "该判断由 %s 签名，不是该探测点的密钥", key.Fingerprint())
	}
	if err := json.Unmarshal(e.Judgement, &j); err != nil {
		return j, problem.Wrap(err, problem.Bogus, "the judgement is no JSON", "该判断不是 JSON")
	}
	return j, nil
}
