package office

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
)

// Client speaks to an office over HTTPS. It is safe for concurrent use.
type Client struct {
	Base string // https://127.0.0.1:8443
	// Pin is the fingerprint of the server's key (SHA256:…); without it only certificates that the system trusts are taken.
	Pin string
	// User and Key say and prove who asks: every request is signed (RFC 9421). Token does in their place (POST /api/login). With none, only what everybody
	// may do can be done: apply with a fresh key.
	User  record.Ref
	Key   *trust.PrivateKey
	Token string
	Lang  problem.Lang
	Now   func() time.Time // time.Now if nil

	once   sync.Once
	broken error
	http   *http.Client
}

func (c *Client) start() error {
	c.once.Do(func() {
		u, err := url.Parse(c.Base)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			c.broken = problem.New(problem.BadRequest, "%q is no address of an office; write it as in https://127.0.0.1:8443", "%q 不是登记机构的地址；请写成 https://127.0.0.1:8443", c.Base)
			return
		}
		c.Base = "https://" + u.Host
		if c.Now == nil {
			c.Now = time.Now
		}
		cfg := &tls.Config{MinVersion: tls.VersionTLS12}
		if c.Pin != "" {
			cfg.InsecureSkipVerify = true // whose key it is, is known beforehand
			cfg.VerifyConnection = func(s tls.ConnectionState) error {
				k, err := trust.ParsePublicPEM(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.PeerCertificates[0].RawSubjectPublicKeyInfo}))
				if err != nil || k.Fingerprint() != c.Pin {
					return problem.Wrap(err, problem.Bogus, "the server's key is not %s; somebody may stand between, or the key was changed: ask its operator", "服务器的密钥不是 %s；可能有人冒充，或密钥已更换：请向运营者核实", c.Pin)
				}
				return nil
			}
		}
		c.http = &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute}}
	})
	return c.broken
}

// Close lets go of connections.
func (c *Client) Close() {
	if c.start() == nil {
		c.http.CloseIdleConnections()
	}
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 32 << 20

// do makes one request. A POST that was not answered is made again once, under one idempotency key.
func (c *Client) do(ctx context.Context, method, path string, in, out any, head ...string) (http.Header, error) {
	if err := c.start(); err != nil {
		return nil, err
	}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "the request could not be written as JSON", "请求无法写成 JSON")
		}
	}
	if method == http.MethodPost {
		var k [16]byte
		rand.Read(k[:])
		head = append(head, "Idempotency-Key", hex.EncodeToString(k[:]))
	}
	var resp *http.Response
	for try := 0; ; try++ {
		r, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "this cannot be asked over HTTP", "无法通过 HTTP 请求")
		}
		r.Header.Set("Accept-Language", [...]string{"en", "zh"}[c.Lang&1])
		if in != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i+1 < len(head); i += 2 {
			r.Header.Set(head[i], head[i+1])
		}
		switch {
		case c.Token != "":
			r.Header.Set("Authorization", "Bearer "+c.Token)
		case c.Key != nil && !c.User.IsZero():
			if err := httpsig.Sign(r, c.Key, c.User, httpsig.Options{Now: c.Now}); err != nil {
				return nil, err
			}
		}
		if resp, err = c.http.Do(r); err == nil {
			break
		}
		var own *problem.Error
		switch {
		case errors.As(err, &own):
			return nil, own
		case ctx.Err() != nil:
			return nil, problem.Wrap(ctx.Err(), problem.Canceled, "the time for asking was up", "请求时间已到")
		case try > 0:
			return nil, problem.Wrap(err, problem.Unreachable, "%s cannot be reached; see that it runs and that the address is right", "无法访问 %s；请确认其正在运行且地址无误", c.Base)
		}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, problem.Wrap(err, problem.Unreachable, "the answer of %s broke off", "%s 的应答中断", c.Base)
	}
	if resp.StatusCode >= 300 {
		return nil, refusal(resp, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			return nil, problem.Wrap(err, problem.Unreachable, "%s answered with something else than was asked for", "%s 的应答不是所请求的内容", c.Base)
		}
	}
	return resp.Header, nil
}

// kinds are those that an office answers with, by name.
var kinds = func() map[string]problem.Kind {
	m := map[string]problem.Kind{}
	for k := problem.Internal; k <= problem.Canceled; k++ {
		m[k.String()] = k
	}
	return m
}()

// refusal is the office's problem details as an error.
func refusal(resp *http.Response, b []byte) error {
	var p api.Problem
	if json.Unmarshal(b, &p) != nil || p.Kind == "" {
		kind := problem.Unreachable
		if resp.StatusCode == http.StatusNotFound {
			kind = problem.Unsupported
		}
		return problem.New(kind, "%s answered %s, and not as an office does", "%s 应答 %s，不像是登记机构", resp.Request.URL.Host, resp.Status)
	}
	text := p.Detail
	for _, d := range p.Errors {
		if d.Message != "" && !strings.Contains(text, d.Message) {
			text += "; " + d.Location + ": " + d.Message
		}
	}
	e := problem.New(kinds[p.Kind], "%s", "%s", text)
	return e
}

// Info says whose office it is.
func (c *Client) Info(ctx context.Context) (*Info, error) {
	out := &Info{}
	_, err := c.do(ctx, http.MethodGet, "/api/office", nil, out)
	return out, err
}

// Apply sends a form. When the client is nobody, it is signed with key, whose public half is put into the form; the
// applicant is then As(view, key).
func (c *Client) Apply(ctx context.Context, f Form, key *trust.PrivateKey, draft bool) (*View, error) {
	in := NewApplication{Draft: draft}
	if key != nil {
		f.Key = key.Public().Data()
	}
	if c.User.IsZero() && c.Token == "" {
		if key == nil {
			return nil, problem.New(problem.NeedAuth, "who has no account applies with a key of their own", "没有账号的申请者须用自己的密钥申请")
		}
		if err := c.start(); err != nil {
			return nil, err
		}
		info, err := c.Info(ctx)
		if err != nil {
			return nil, err
		}
		if in.Signed, err = SignForm(&f, info.Prefix, key, c.Now()); err != nil {
			return nil, err
		}
	} else {
		in.Form = &f
	}
	out := &View{}
	_, err := c.do(ctx, http.MethodPost, "/api/prefix-applications", in, out)
	return out, err
}

// HolderRef is where the key of a prefix's holder stands, by which they are known everywhere: at 300 of the prefix record
// when self-hosted; at 310 when hosted, since the key at 300, which signs answers, is the host's.
func HolderRef(prefix string, kind Kind) record.Ref {
	r := record.Ref{Index: indexKey, Name: id.PrefixRecord(prefix).String()}
	if kind == Hosted {
		r.Index = indexHostedKey
	}
	return r
}

// ApplicationID is the identifier of an application at the office of prefix: from its number, suffix or identifier.
func ApplicationID(prefix, application string) string {
	s := application[strings.LastIndexByte(application, '/')+1:]
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		s = "Apply_" + number(n)
	}
	return prefix + "/" + s
}

// As is a client of the same office in the name of an application's applicant.
func (c *Client) As(application string, key *trust.PrivateKey) *Client {
	return &Client{Base: c.Base, Pin: c.Pin, User: record.Ref{Index: indexKey, Name: application}, Key: key, Lang: c.Lang, Now: c.Now}
}

// part is the application as it stands in paths: its identifier, suffix or number.
func part(application string) string {
	return url.PathEscape(application[strings.LastIndexByte(application, '/')+1:])
}

// Get is an application; tag is what Act may be given.
func (c *Client) Get(ctx context.Context, application string) (v *View, tag string, err error) {
	v = &View{}
	h, err := c.do(ctx, http.MethodGet, "/api/prefix-applications/"+part(application), nil, v)
	if err != nil {
		return nil, "", err
	}
	return v, h.Get("ETag"), nil
}

// List is a page of the applications that the caller may see.
func (c *Client) List(ctx context.Context, after string, limit int, states []State, prefix string) (*api.Page[View], error) {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	for _, s := range states {
		q.Add("state", string(s))
	}
	if prefix != "" {
		q.Set("prefix", prefix)
	}
	out := &api.Page[View]{}
	_, err := c.do(ctx, http.MethodGet, "/api/prefix-applications?"+q.Encode(), nil, out)
	return out, err
}

// Correct replaces the form.
func (c *Client) Correct(ctx context.Context, application string, f Form) (*View, error) {
	out := &View{}
	_, err := c.do(ctx, http.MethodPut, "/api/prefix-applications/"+part(application), f, out)
	return out, err
}

// Act does submit, withdraw, review, approve, refuse, suspend, resume, revoke or renew.
func (c *Client) Act(ctx context.Context, application, what string, r Reason) (*View, error) {
	out := &View{}
	_, err := c.do(ctx, http.MethodPost, "/api/prefix-applications/"+part(application)+"/"+what, r, out)
	return out, err
}

// Move begins, finishes or gives up a move.
func (c *Client) Move(ctx context.Context, application string, m MoveRequest) (*View, error) {
	out := &View{}
	_, err := c.do(ctx, http.MethodPost, "/api/prefix-applications/"+part(application)+"/move", m, out)
	return out, err
}

// Freeze makes the node refuse writes under prefix for a time; 0 lets them in again.
func (c *Client) Freeze(ctx context.Context, prefix string, d time.Duration) error {
	_, err := c.do(ctx, http.MethodPost, "/api/freezes", FreezeRequest{Prefix: prefix, Seconds: int(d / time.Second)}, nil)
	return err
}

// Wait asks until the application is decided on and what was decided is done, or ctx ends.
func (c *Client) Wait(ctx context.Context, application string, every time.Duration) (*View, error) {
	if every <= 0 {
		every = 2 * time.Second
	}
	for {
		v, _, err := c.Get(ctx, application)
		switch {
		case err != nil && !problem.Is(err, problem.Unreachable):
			return nil, err
		case err == nil && v.Pending == "" && v.State != Draft && v.State != Submitted && v.State != InReview && v.State != Approved:
			return v, nil
		}
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
			if v == nil {
				v = &View{}
			}
			return v, problem.Wrap(ctx.Err(), problem.Canceled, "%s is not decided yet; ask again later", "%s 尚未审结；请稍后再查询", application)
		case <-t.C:
		}
	}
}
