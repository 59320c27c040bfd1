package web

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/id"
	"go.opentelemetry.io/otel/propagation"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
)

// Client asks and changes one server over HTTP: a Resolver, Registrar, Lister and Feed whose Identity is always the
// client's own, whatever it is given. With servers of Handle.Net it works too, each write a request of its own there, but
// for listing behind a name and the Feed. It is safe for concurrent use.
type Client struct {
	Base string // https://127.0.0.1:8443, or http://… to ask what anybody may ask

	// Pin is the fingerprint of the server's key, as trust writes it (SHA256:…). With it the certificate need not be
	// signed by anybody; without it only certificates that the system trusts are taken.
	Pin string

	// User is who proves what follows, with the private half of that HS_PUBKEY value or with that HS_SECKEY. With a Key and
	// the index of its value each request is signed (RFC 9421).
	User   record.Ref
	Key    *trust.PrivateKey
	Secret []byte

	// Sessions makes a Key prove itself by the challenge of a session instead, for servers that do not know signed
	// requests, as those of Handle.Net. Such an answer could be passed on to another server by one that put it: use it
	// with servers that are trusted. Without an index in User, and with a Secret, it is always done so.
	Sessions bool

	// Purpose is what the data is for, which the owner's rules may ask about; that of a Query goes before it.
	Purpose string

	Now func() time.Time // time.Now when nil; signed requests say when they were made

	Timeout time.Duration // for one request; 30 s when 0. Waiting for news has its own.

	// Dial opens connections, past every proxy; nil: straight, or by the proxy that the environment names. Who asks servers that an outsider chose gives one that goes to no
	// address where it should not.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// MaxAnswer is how long an answer may be, in bytes; 64 MiB when 0.
	MaxAnswer int64

	// Follower is the name under which a site of the same prefix follows: it tells the server that every change which it asks
	// behind is durably here. Empty for all others.
	Follower string

	once    sync.Once
	broken  error
	http    *http.Client
	mu      sync.Mutex
	session string
	single  atomic.Bool // the server knows no /api/register
}

var (
	_ record.Resolver  = (*Client)(nil)
	_ record.Registrar = (*Client)(nil)
	_ record.Lister    = (*Client)(nil)
	_ record.Feed      = (*Client)(nil)
)

const (
	answerLimit = 64 << 20
	writeChunk  = registerBatch // writes of one request: the server writes so many at once
	writeBytes  = 8 << 20
	feedWait    = 25 * time.Second
)

func (c *Client) start() error {
	c.once.Do(func() {
		u, err := url.Parse(c.Base)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			c.broken = problem.New(problem.BadRequest, "%q is no address of a server; write it as in https://127.0.0.1:8443", "%q 不是服务器地址；请写成 https://127.0.0.1:8443", c.Base)
			return
		}
		c.Base = u.Scheme + "://" + u.Host
		if !c.User.IsZero() && u.Scheme != "https" {
			c.broken = problem.New(problem.BadRequest, "over plain HTTP nobody can prove who they are; write https://%s, the same port takes it", "明文 HTTP 无法证明身份；请改用 https://%s，同一端口即可", u.Host)
			return
		}
		if c.Timeout == 0 {
			c.Timeout = 30 * time.Second
		}
		if c.MaxAnswer <= 0 {
			c.MaxAnswer = answerLimit
		}
		t := &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     c.tlsConfig(),
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression:  true,
			ForceAttemptHTTP2:   false,
		}
		if c.Dial != nil {
			t.Proxy, t.DialContext = nil, c.Dial
		}
		c.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	})
	return c.broken
}

func (c *Client) tlsConfig() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Pin == "" {
		return cfg
	}
	// Whose key it is, is known beforehand; who vouches for it and under which name does not matter.
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		got, err := fingerprint(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
		if err != nil || subtle.ConstantTimeCompare([]byte(got), []byte(c.Pin)) != 1 {
			return problem.Wrap(err, problem.Bogus, "the server has the key %s, not %s; somebody may stand between, or the key was changed: ask its operator and give the new one as the pin",
				"服务器的密钥是 %s，而非 %s；可能有人冒充，或密钥已更换：请向运营者核实后更新指纹", got, c.Pin)
		}
		return nil
	}
	return cfg
}

// fingerprint is that of the key in an X.509 SubjectPublicKeyInfo.
func fingerprint(info []byte) (string, error) {
	k, err := trust.ParsePublicPEM(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: info}))
	if err != nil {
		return "", err
	}
	return k.Fingerprint(), nil
}

// Close lets go of connections, ending the session if there is one.
func (c *Client) Close() {
	if c.start() != nil {
		return
	}
	c.mu.Lock()
	key := c.session
	c.session = ""
	c.mu.Unlock()
	if key != "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if r, err := c.send(ctx, http.MethodDelete, "/api/sessions/this", nil, nil, `Handle sessionId="`+key+`"`); err == nil {
			r.Body.Close()
		}
	}
	c.http.CloseIdleConnections()
}

// send makes one request. The error is Unreachable, Bogus or Canceled.
func (c *Client) send(ctx context.Context, method, path string, head http.Header, body []byte, auth string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "this cannot be asked over HTTP", "无法通过 HTTP 请求")
	}
	for k, v := range head {
		r.Header[k] = v
	}
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	if c.Purpose != "" && r.Header.Get(headPurpose) == "" {
		r.Header.Set(headPurpose, url.PathEscape(c.Purpose))
	}
	if tag, ok := ctx.Value(languageOf{}).(string); ok {
		r.Header.Set("Accept-Language", tag)
	}
	// The trace that the question belongs to, if it belongs to one, goes on at the other node.
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
	if c.signs() {
		if err := httpsig.Sign(r, c.Key, c.User, httpsig.Options{Now: c.Now}); err != nil {
			return nil, err
		}
	}
	resp, err := c.http.Do(r)
	if err == nil {
		return resp, nil
	}
	var bogus *problem.Error
	switch {
	case errors.As(err, &bogus):
		return nil, bogus
	case errors.Is(err, context.Canceled):
		return nil, problem.Wrap(err, problem.Canceled, "the request to %s was given up", "对 %s 的请求已放弃", c.Base)
	case strings.Contains(err.Error(), "tls: "), strings.Contains(err.Error(), "x509: "):
		return nil, problem.Wrap(err, problem.Unreachable, "no trusted connection to %s; if its certificate is its own, give its key's fingerprint as the pin", "无法与 %s 建立可信连接；若其证书为自签名，请提供其密钥指纹", c.Base)
	}
	return nil, problem.Wrap(err, problem.Unreachable, "%s cannot be reached; see that it runs and that the address is right", "无法访问 %s；请确认其正在运行且地址无误", c.Base)
}

// do makes a request as the user, proving that first where it is needed, and returns the whole answer.
func (c *Client) do(ctx context.Context, timeout time.Duration, method, path string, head http.Header, body []byte) (*http.Response, []byte, error) {
	if err := c.start(); err != nil {
		return nil, nil, err
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for again := false; ; again = true {
		auth, err := c.authorization(limited)
		if err != nil {
			return nil, nil, late(ctx, err)
		}
		resp, err := c.send(limited, method, path, head, body, auth)
		if err != nil {
			return nil, nil, late(ctx, err)
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, c.MaxAnswer+1))
		resp.Body.Close()
		if err != nil || int64(len(b)) > c.MaxAnswer {
			return nil, nil, late(ctx, problem.Wrap(err, problem.Unreachable, "the answer of %s broke off, or is over %d bytes", "%s 的应答中断或超过 %d 字节", c.Base, c.MaxAnswer))
		}
		if c.signs() && !again && method == http.MethodGet && kinds[resp.Header.Get(headProblem)] == problem.AuthFailed {
			// net/http sends a question again, as it was signed, when a connection breaks before the answer came. If the server
			// had got the first one, the second is a repeat to it.
			continue
		}
		if over := resp.StatusCode == http.StatusUnauthorized || kinds[resp.Header.Get(headProblem)] == problem.SessionTimeout; over && auth != "" && !again {
			// The server may have forgotten the session: it was idle, or the server is a new one.
			c.mu.Lock()
			if c.session == strings.TrimSuffix(strings.TrimPrefix(auth, `Handle sessionId="`), `"`) {
				c.session = ""
			}
			c.mu.Unlock()
			continue
		}
		return resp, b, nil
	}
}

// late tells a caller who went away from a server that did not answer.
func late(ctx context.Context, err error) error {
	if ctx.Err() != nil && problem.Is(err, problem.Unreachable) {
		return problem.Wrap(ctx.Err(), problem.Canceled, "the time for asking was up", "请求时间已到")
	}
	return err
}

// signs reports whether each request is signed.
func (c *Client) signs() bool { return c.Key != nil && c.User.Index != 0 && !c.Sessions }

// authorization is the header of the user's session, which is begun if there is none; empty without a user and
// for who signs each request.
func (c *Client) authorization(ctx context.Context) (string, error) {
	if c.User.IsZero() || c.signs() {
		return "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == "" {
		key, err := c.login(ctx)
		if err != nil {
			return "", err
		}
		c.session = key
	}
	return `Handle sessionId="` + c.session + `"`, nil
}

// login opens a session and answers its challenge.
func (c *Client) login(ctx context.Context) (string, error) {
	body, err := c.small(ctx, http.MethodPost, "/api/sessions", "", http.StatusCreated)
	if err != nil {
		return "", err
	}
	var key, nonceText string
	r := record.NewJSONReader(body)
	r.Object(func(name string) {
		switch name {
		case "sessionId":
			key = r.String()
		case "nonce":
			nonceText = r.String()
		default:
			r.Skip()
		}
	})
	nonce, err := unbase64(nonceText)
	if r.Err() != nil || err != nil || len(nonce) == 0 || key == "" || strings.ContainsAny(key, "\"\r\n") {
		return "", problem.Wrap(r.Err(), problem.SessionFailed, "%s answered with no session", "%s 没有返回会话", c.Base)
	}
	auth, err := c.proof(key, nonce)
	if err != nil {
		return "", err
	}
	if _, err := c.small(ctx, http.MethodPut, "/api/sessions/this", auth, http.StatusOK); err != nil {
		return "", err
	}
	return key, nil
}

// small makes a request of a session.
func (c *Client) small(ctx context.Context, method, path, auth string, want int) ([]byte, error) {
	resp, err := c.send(ctx, method, path, nil, nil, auth)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return nil, problem.Wrap(err, problem.Unreachable, "the answer of %s broke off", "%s 的应答中断", c.Base)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, problem.New(problem.AuthFailed, "%s does not take %s for who they say: the key is not the one in their record", "%s 未认可 %s 的身份：密钥与其记录不符", c.Base, c.User)
	case resp.StatusCode != want:
		return nil, c.problem(resp, b)
	}
	return b, nil
}

// proof is the Authorization header that answers a challenge.
func (c *Client) proof(key string, nonce []byte) (string, error) {
	cnonce := sha256.Sum256(append(append([]byte{}, nonce...), key...))
	b64 := base64.StdEncoding.EncodeToString
	head := `Handle version="0", sessionId="` + key + `", id="` + url.PathEscape(c.User.String()) + `", cnonce="` + b64(cnonce[:]) + `", `
	if c.Key != nil {
		p, err := trust.Prove(c.Key, c.User, nonce, cnonce[:])
		if err != nil {
			return "", err
		}
		r := record.NewReader(p.Signed)
		alg, sig := r.String(64), r.Bytes(1<<16)
		return head + `type="HS_PUBKEY", alg="` + strings.ReplaceAll(alg, "SHA-256", "SHA256") + `", signature="` + b64(sig) + `"`, nil
	}
	p, err := trust.ProveSecret(c.Secret, c.User, nonce, cnonce[:], trust.FormPBKDF2)
	if err != nil {
		return "", err
	}
	r := record.NewReader(p.Signed[1:])
	salt, iterations, length, mac := r.Bytes(1<<16), r.U32(), r.U32(), r.Bytes(1<<16)
	return head + `type="HS_SECKEY", alg="PBKDF2-HMAC-SHA1", salt="` + b64(salt) + `", iterations="` + strconv.Itoa(int(iterations)) +
		`", length="` + strconv.Itoa(int(length)) + `", signature="` + b64(mac) + `"`, nil
}

// reply is a JSON answer, taken apart.
type reply struct {
	code     code
	message  string
	handle   string
	referral string
	total    string
	values   []record.Value
	handles  []string
	path     []record.Step
	site     *record.Site
}

func (c *Client) parse(b []byte) (*reply, error) {
	a := &reply{}
	r := record.NewJSONReader(b)
	r.Object(func(name string) {
		switch name {
		case "responseCode":
			a.code = code(r.Uint(1 << 16))
		case "message":
			a.message = r.Text()
		case "handle":
			a.handle = r.Text()
		case "referral":
			a.referral = r.Text()
		case "totalCount":
			a.total = r.Text()
		case "values":
			a.values = r.Values()
		case "handles":
			a.handles = []string{}
			r.Array(func() { a.handles = append(a.handles, r.String()) })
		case "path":
			r.Array(func() { a.path = append(a.path, step(r)) })
		case "site":
			a.site = r.Site()
		default:
			r.Skip()
		}
	})
	r.End()
	if r.Err() != nil {
		return nil, problem.Wrap(r.Err(), problem.Unreachable, "%s answered with something else than the JSON of identifiers; is the address right?", "%s 返回的不是标识 JSON；地址是否正确？", c.Base)
	}
	return a, nil
}

func step(r *record.JSONReader) (p record.Step) {
	r.Object(func(name string) {
		switch name {
		case "at":
			p.At = time.Duration(r.Uint(1<<50)) * time.Microsecond
		case "took":
			p.Took = time.Duration(r.Uint(1<<50)) * time.Microsecond
		case "asked":
			p.Asked = r.String()
		case "name":
			p.Name = r.String()
		case "outcome":
			p.Outcome = r.String()
		case "trust":
			p.Trust = parseTrust(r.String())
		default:
			r.Skip()
		}
	})
	return p
}

func parseTrust(s string) record.Trust {
	for t := record.Unchecked; t <= record.Secure; t++ {
		if t.String() == s {
			return t
		}
	}
	return record.Unchecked
}

// problem is the error that an answer tells of.
func (c *Client) problem(resp *http.Response, b []byte) error {
	var a *reply
	if len(b) > 0 {
		var err error
		if a, err = c.parse(b); err != nil && resp.Header.Get(headProblem) == "" {
			return err
		}
	}
	if a == nil {
		a = &reply{code: needAuth}
		if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
			a.code = failure
		}
	}
	kind := kindOf(resp.Header.Get(headProblem), a.code)
	if a.message == "" {
		return problem.New(kind, "%s answered: %s", "%s 返回：%s", c.Base, kind)
	}
	return problem.New(kind, "%s", "%s", a.message)
}

// call is do for answers in JSON; it is an error when the answer tells of one.
func (c *Client) call(ctx context.Context, method, path string, head http.Header, body []byte) (*http.Response, *reply, error) {
	resp, b, err := c.do(ctx, c.Timeout, method, path, head, body)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode >= 400 {
		// What is known beside a refusal comes along.
		a, _ := c.parse(b)
		return resp, a, c.problem(resp, b)
	}
	a, err := c.parse(b)
	return resp, a, err
}

var wantTrust = http.Header{headWant: {"trust"}}

// Resolve is the door of record.Resolver.
func (c *Client) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	if q.Depth > record.MaxDepth {
		return record.Answer{}, problem.New(problem.TooDeep, "more than %d hops for %s", "%[2]s 超过 %[1]d 跳", record.MaxDepth, q.Name())
	}
	if err := c.start(); err != nil {
		return record.Answer{}, err
	}
	name := spell(q.ID)
	if v, err := id.Parse(q.As); err == nil && v == q.ID {
		name = q.As
	}
	p := url.Values{}
	for _, i := range q.Indexes {
		p.Add("index", strconv.FormatUint(uint64(i), 10))
	}
	if len(q.Types) > 0 {
		p["type"] = q.Types
	}
	p.Set("publicOnly", strconv.FormatBool(q.PublicOnly))
	for name, set := range map[string]bool{"auth": q.Authoritative, "cert": q.Certify, "doNotRefer": q.NoReferral, "trace": q.Trace} {
		if set {
			p.Set(name, "true")
		}
	}
	head := wantTrust
	if q.Purpose != "" {
		head = http.Header{headWant: {"trust"}, headPurpose: {url.PathEscape(q.Purpose)}}
	}
	resp, r, err := c.call(ctx, http.MethodGet, "/api/handles/"+url.PathEscape(name)+"?"+p.Encode(), head, nil)
	var a record.Answer
	if resp != nil {
		a = c.answer(resp)
	}
	if r != nil {
		a.Path = r.path
	}
	switch {
	case err != nil:
		return a, err
	case r.code == valuesNotFound:
		return a, problem.New(problem.NoValues, "%s has none of these values, or none that you may see", "%s 没有所要的值，或您无权查看", q.Name())
	case r.code == serviceMoved, r.code == prefixMoved:
		a.Referral = &record.Referral{Prefix: r.code == prefixMoved, Name: r.referral, Values: r.values}
	case r.code != success:
		return a, c.problem(resp, nil)
	default:
		a.Values = r.values
	}
	return a, nil
}

func (c *Client) answer(resp *http.Response) record.Answer {
	h := resp.Header
	a := record.Answer{
		Trust:   parseTrust(h.Get(headTrust)),
		Source:  strings.TrimPrefix(strings.TrimPrefix(c.Base, "https://"), "http://"),
		Stale:   h.Get(headStale) == "1",
		Primary: h.Get(headPrimary) == "1",
	}
	a.Live, _ = time.Parse(time.RFC3339Nano, h.Get(headLive))
	if n, err := strconv.ParseInt(h.Get(headExpires), 10, 64); err == nil {
		a.Expires = time.Unix(n, 0)
	}
	return a
}

// Site is where the server's service is, as it says itself.
func (c *Client) Site(ctx context.Context) (*record.Site, error) {
	if err := c.start(); err != nil {
		return nil, err
	}
	_, r, err := c.call(ctx, http.MethodGet, "/api/site", nil, nil)
	if err != nil {
		return nil, err
	}
	if r.site == nil {
		return nil, problem.New(problem.Unreachable, "%s does not tell its site", "%s 没有返回站点信息", c.Base)
	}
	return r.site, nil
}

// Write is the door of record.Registrar. When a request fails on the way, nobody knows what came of it: the error then is
// for all the writes, which may be sent again.
func (c *Client) Write(ctx context.Context, _ record.Identity, writes []record.Write) ([]record.Result, error) {
	results := make([]record.Result, 0, len(writes))
	var body []byte
	for len(writes) > 0 {
		body = body[:0]
		n := 0
		for n < len(writes) && n < writeChunk && (n == 0 || len(body) < writeBytes) {
			body = appendWrite(body, &writes[n])
			n++
		}
		var rs []record.Result
		var err error
		if !c.single.Load() {
			rs, err = c.writeChunk(ctx, writes[:n], body)
		}
		if c.single.Load() {
			rs, err = c.writeSingly(ctx, writes[:n])
		}
		if err != nil {
			return nil, err
		}
		results = append(results, rs...)
		writes = writes[n:]
	}
	return results, nil
}

var linesHead = http.Header{"Content-Type": {linesType}}

func (c *Client) writeChunk(ctx context.Context, writes []record.Write, body []byte) ([]record.Result, error) {
	if err := c.start(); err != nil {
		return nil, err
	}
	resp, b, err := c.do(ctx, 2*c.Timeout, http.MethodPost, "/api/register", linesHead, body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNotFound {
		c.single.Store(true)
		return nil, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.problem(resp, b)
	}
	rs := make([]record.Result, len(writes))
	told := make([]bool, len(writes))
	for text := range bytes.Lines(b) {
		n, res, err := parseOutcome(text)
		if err != nil || n < 1 || n > len(writes) {
			return nil, problem.Wrap(err, problem.Unreachable, "%s answered a registration with something else", "%s 对注册请求的应答无法识别", c.Base)
		}
		rs[n-1], told[n-1] = res, true
		if !res.ID.IsValid() || res.Err != nil {
			rs[n-1].ID = writes[n-1].ID
		}
	}
	if slices.Contains(told, false) {
		return nil, problem.New(problem.Unreachable, "%s did not tell what came of every write; send them again", "%s 没有答复每一条写入；请重新提交", c.Base)
	}
	return rs, nil
}

// writeSingly does each write by a request of its own, as every server of this interface takes them. What cannot be known
// of one ends the call.
func (c *Client) writeSingly(ctx context.Context, writes []record.Write) ([]record.Result, error) {
	rs := make([]record.Result, len(writes))
	for i := range writes {
		v, err := c.writeOne(ctx, &writes[i])
		switch problem.KindOf(err) {
		case problem.Unreachable, problem.Canceled, problem.Busy, problem.ReadOnly, problem.Full:
			return nil, err
		}
		rs[i] = record.Result{ID: writes[i].ID, Err: err}
		if err == nil && v.IsValid() {
			rs[i].ID = v
		}
	}
	return rs, nil
}

func (c *Client) writeOne(ctx context.Context, w *record.Write) (id.ID, error) {
	path := "/api/handles/" + url.PathEscape(spell(w.ID))
	p := url.Values{}
	method, body := http.MethodPut, []byte(nil)
	switch w.Op {
	case record.Create:
		p.Set("overwrite", strconv.FormatBool(w.Overwrite))
		if w.Mint {
			p.Set("mintNewSuffix", "true")
			if w.ID.IsPrefix() {
				path += "%2F"
			}
		}
	case record.Add:
		p.Set("overwrite", strconv.FormatBool(w.Overwrite))
		p.Set("index", "various")
	case record.Modify:
		// Here a value that is not there would be added: so first it is looked for.
		if err := c.has(ctx, w); err != nil {
			return id.ID{}, err
		}
		p.Set("overwrite", "true")
		p.Set("index", "various")
	case record.Delete:
		method = http.MethodDelete
	case record.Remove:
		method = http.MethodDelete
		for _, i := range w.Indexes {
			p.Add("index", strconv.FormatUint(uint64(i), 10))
		}
	case record.Home, record.Unhome:
		path = "/api/prefixes/" + url.PathEscape(w.ID.String())
		method = http.MethodPost
		if w.Op == record.Unhome {
			method = http.MethodDelete
		}
	}
	var head http.Header
	if method == http.MethodPut {
		head = http.Header{"Content-Type": {"application/json"}}
		body = append(record.AppendValuesJSON([]byte(`{"values":`), w.Values), '}')
	}
	_, a, err := c.call(ctx, method, path+"?"+p.Encode(), head, body)
	if err != nil {
		return id.ID{}, err
	}
	if a.code != success {
		return id.ID{}, problem.New(kindOf("", a.code), "%s", "%s", a.message)
	}
	v, _ := id.ParseHandle(a.handle)
	return v, nil
}

// has is the error that w, which changes values, meets when one of them is not there.
func (c *Client) has(ctx context.Context, w *record.Write) error {
	q := record.Query{ID: w.ID, Authoritative: true}
	for _, v := range w.Values {
		q.Indexes = append(q.Indexes, v.Index)
	}
	a, err := c.Resolve(ctx, q)
	if err != nil {
		return err
	}
	for _, i := range q.Indexes {
		if !slices.ContainsFunc(a.Values, func(v record.Value) bool { return v.Index == i }) {
			return problem.New(problem.NoValues, "%s has no value %d to change", "%s 没有可修改的值 %d", w.ID, i)
		}
	}
	return nil
}

func parseOutcome(b []byte) (number int, res record.Result, err error) {
	var rc code
	var name, kind, message string
	r := record.NewJSONReader(b)
	r.Object(func(key string) {
		switch key {
		case "line":
			number = int(r.Uint(1 << 31))
		case "responseCode":
			rc = code(r.Uint(1 << 16))
		case "id":
			name = r.String()
		case "problem":
			kind = r.String()
		case "message":
			message = r.String()
		default:
			r.Skip()
		}
	})
	r.End()
	if r.Err() != nil {
		return 0, res, r.Err()
	}
	if name != "" {
		res.ID, _ = id.ParseHandle(name)
	}
	if rc != success {
		res.Err = problem.New(kindOf(kind, rc), "%s", "%s", message)
	}
	return number, res, nil
}

// List is the door of record.Lister.
func (c *Client) List(ctx context.Context, _ record.Identity, prefix, after string, limit int) ([]string, error) {
	if err := c.start(); err != nil {
		return nil, err
	}
	p := url.Values{"prefix": {prefix}, "after": {after}, "pageSize": {strconv.Itoa(limit)}}
	_, r, err := c.call(ctx, http.MethodGet, "/api/handles?"+p.Encode(), nil, nil)
	if err != nil {
		return nil, err
	}
	return r.handles, nil
}

// Count is the door of record.Lister.
func (c *Client) Count(ctx context.Context, _ record.Identity, prefix string) (int64, error) {
	if err := c.start(); err != nil {
		return 0, err
	}
	p := url.Values{"prefix": {prefix}, "page": {"0"}, "pageSize": {"0"}}
	_, r, err := c.call(ctx, http.MethodGet, "/api/handles?"+p.Encode(), nil, nil)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(r.total, 10, 64)
	if err != nil {
		return 0, problem.New(problem.Unreachable, "%s did not count the names", "%s 没有返回数量", c.Base)
	}
	return n, nil
}

// Prefixes is the door of record.Lister.
func (c *Client) Prefixes(ctx context.Context, _ record.Identity, after string, limit int) ([]string, error) {
	if err := c.start(); err != nil {
		return nil, err
	}
	p := url.Values{"pageSize": {strconv.Itoa(limit)}}
	if after != "" {
		p.Set("after", after)
	}
	_, r, err := c.call(ctx, http.MethodGet, "/api/prefixes?"+p.Encode(), nil, nil)
	if err != nil {
		return nil, err
	}
	for i, h := range r.handles {
		r.handles[i] = strings.TrimPrefix(h, "0.NA/")
	}
	return r.handles, nil
}

// Changes is the door of record.Feed.
func (c *Client) Changes(ctx context.Context, _ record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	if err := c.start(); err != nil {
		return nil, err
	}
	p := url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(min(max(limit, 1), listChunk))}, "values": {"none"}}
	if values {
		p.Set("values", "block")
	}
	if c.Follower != "" {
		p.Set("site", c.Follower)
	}
	for {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		wait := feedWait
		if at, ok := ctx.Deadline(); ok {
			wait = min(wait, time.Until(at))
		}
		p.Set("wait", strconv.Itoa(int(wait/time.Second)))
		resp, b, err := c.do(ctx, wait+c.Timeout, http.MethodGet, "/api/feed?"+p.Encode(), nil, nil)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, c.problem(resp, b)
		}
		es := []record.Entry{}
		in := bufio.NewReader(bytes.NewReader(b))
		for {
			text, err := in.ReadBytes('\n')
			if len(bytes.TrimSpace(text)) > 0 {
				e, err := parseEntry(text)
				if err != nil {
					return nil, problem.Wrap(err, problem.Unreachable, "%s sent something else than a feed", "%s 返回的不是变更订阅", c.Base)
				}
				es = append(es, e)
			}
			if err != nil {
				break
			}
		}
		if len(es) > 0 {
			return es, nil
		}
		if wait < time.Second {
			// The server counts in whole seconds; asking it over and over for the last part of one helps nobody.
			<-ctx.Done()
		}
	}
}
