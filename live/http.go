package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// service is a source that speaks HTTP and JSON.
type service struct {
	cfg    *Config
	s      Source
	base   *url.URL
	client *http.Client
	own    *http.Transport // nil when the transport is the caller's
}

// maxAnswer is how many bytes of JSON are read.
const maxAnswer = 1 << 20

func openHTTP(cfg *Config, s Source, base *url.URL) (source, error) {
	if base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil && !secretRef(s.URL) {
		return nil, bad("url must be an address alone, as https://host/base/: credentials go into password or bearer", "url 只能是地址，例如 https://主机/路径/：凭据请写入 password 或 bearer")
	}
	for k, v := range s.Headers {
		if !secretRef(v) && slices.Contains([]string{"authorization", "cookie", "proxy-authorization", "x-api-key"}, strings.ToLower(k)) {
			return nil, bad("the header %s is a credential: write env:NAME or file:PATH", "请求头 %s 属于凭据：请写 env:名称 或 file:路径", k)
		}
	}
	if (s.BasicUser == "") != (s.Password == "") || s.BasicUser != "" && s.Bearer != "" {
		return nil, bad("basic-user and password go together, without bearer", "basic-user 与 password 须成对使用，且不与 bearer 同用")
	}
	h := &service{cfg: cfg, s: s, base: base}
	transport := cfg.Transport
	if transport == nil {
		h.own = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        s.Concurrency,
			MaxIdleConnsPerHost:    s.Concurrency,
			IdleConnTimeout:        time.Minute,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}
		transport = h.own
	}
	h.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a redirect would carry credentials to somewhere nobody configured
	}}
	return h, nil
}

func (h *service) close() error {
	if h.own != nil {
		h.own.CloseIdleConnections()
	}
	return nil
}

func (h *service) prepare(s *Rule, u *rule) (ask, error) {
	c := s.HTTP
	if c == nil || s.SQL != "" {
		return nil, bad("its source is an HTTP service: write http, and no sql", "其数据源为 HTTP 服务：请写 http，不写 sql")
	}
	method := strings.ToUpper(c.Method)
	switch method {
	case "":
		method = http.MethodGet
	case http.MethodGet, http.MethodPost:
	default:
		return nil, bad("http.method is %q: write GET or POST", "http.method 为 %q：请写 GET 或 POST", c.Method)
	}
	if method == http.MethodGet && c.Body != nil {
		return nil, bad("http.body goes with method POST", "http.body 须与 POST 方法同用")
	}
	if strings.ContainsAny(c.Path, "?#") || strings.Contains(c.Path, "..") || strings.Contains(c.Path, "://") {
		return nil, bad("http.path must be a path below the source's url: put what comes behind ? into http.query", "http.path 须为数据源 url 之下的路径：问号后的内容请写入 http.query")
	}
	body, err := json.Marshal(c.Body)
	if err != nil {
		return nil, bad("http.body cannot be written as JSON: %v", "http.body 无法写成 JSON：%v", err)
	}
	texts := []string{c.Path}
	for _, k := range slices.Sorted(maps.Keys(c.Query)) {
		texts = append(texts, c.Query[k])
	}
	eachText(c.Body, func(s string) string { texts = append(texts, s); return s })
	for _, t := range texts {
		if err := u.pattern.knows(t); err != nil {
			return nil, err
		}
	}
	pointers := slices.Collect(maps.Values(u.confirm))
	for i := range u.props {
		pointers = append(pointers, u.props[i].column)
	}
	for _, p := range pointers {
		if p != "" && !strings.HasPrefix(p, "/") {
			return nil, bad("column %q must be a JSON pointer into the answer, as /data/qty", "column %q 须为指向应答内容的 JSON 指针，例如 /data/qty", p)
		}
	}
	var fill any
	if c.Body != nil {
		if fill, err = decode(body); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, parts map[string]string) (row, error) {
		req, err := h.request(ctx, method, c, fill, parts)
		if err != nil || req == nil {
			return row{}, err
		}
		return h.call(req, u, parts)
	}, nil
}

// request is the call for these parts; nil when no such thing can be below the base address.
func (h *service) request(ctx context.Context, method string, c *Call, fill any, parts map[string]string) (*http.Request, error) {
	target := *h.base
	target.User = nil
	base := strings.TrimSuffix(h.base.EscapedPath(), "/") + "/"
	raw := base + strings.TrimPrefix(places(c.Path, func(name string) string { return url.PathEscape(parts[name]) }), "/")
	for seg := range strings.SplitSeq(raw, "/") {
		if s, err := url.PathUnescape(seg); err != nil || s == "." || s == ".." {
			return nil, nil
		}
	}
	var err error
	if target.Path, err = url.PathUnescape(raw); err != nil {
		return nil, nil
	}
	target.RawPath = raw
	q := url.Values{}
	for k, v := range c.Query {
		q.Set(k, expand(v, parts))
	}
	target.RawQuery = q.Encode()
	var body io.Reader
	if fill != nil {
		b, err := json.Marshal(eachText(fill, func(s string) string { return expand(s, parts) }))
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, nil
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "fujie")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range h.s.Headers {
		if secretRef(v) {
			if v, err = h.cfg.secret("header "+k, v); err != nil {
				return nil, err
			}
		}
		req.Header.Set(k, v)
	}
	switch {
	case h.s.Bearer != "":
		token, err := h.cfg.secret("bearer", h.s.Bearer)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	case h.s.BasicUser != "":
		password, err := h.cfg.secret("password", h.s.Password)
		if err != nil {
			return nil, err
		}
		req.SetBasicAuth(h.s.BasicUser, password)
	}
	return req, nil
}

func (h *service) call(req *http.Request, u *rule, parts map[string]string) (row, error) {
	resp, err := h.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address, which holds what was asked
		}
		return row{}, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone || resp.StatusCode == http.StatusNoContent:
		return row{}, nil
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return row{}, fmt.Errorf("it answers with status %d: check the credential", resp.StatusCode)
	case resp.StatusCode >= 300 && resp.StatusCode < 500:
		return row{}, shape("it answers with status %d", resp.StatusCode)
	case resp.StatusCode >= 300:
		return row{}, fmt.Errorf("it answers with status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return row{}, err
	}
	if len(b) > maxAnswer {
		return row{}, shape("it answers with more than %d bytes", maxAnswer)
	}
	doc, err := decode(b)
	if err != nil {
		return row{}, shape("it answers with something that is not JSON")
	}
	if doc == nil {
		return row{}, nil
	}
	return u.pick(func(pointer string) ([]byte, error) {
		v, ok := point(doc, pointer)
		if !ok {
			return nil, fault{true, missing(pointer)}
		}
		return jsonText(v)
	}, parts)
}

// missing is what is not in an answer.
type missing string

func (m missing) Error() string { return "the answer has nothing at " + string(m) }

func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err = d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more than one JSON value")
	}
	return v, nil
}

// point follows a JSON pointer (RFC 6901).
func point(v any, pointer string) (any, bool) {
	for tok := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		tok = strings.ReplaceAll(strings.ReplaceAll(tok, "~1", "/"), "~0", "~")
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[tok]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(x) || tok != strconv.Itoa(i) {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// jsonText is a JSON value as a value's data: texts and numbers as they are, nil for null, anything else as JSON.
func jsonText(v any) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case string:
		return append([]byte{}, x...), nil
	case json.Number:
		return []byte(x), nil
	}
	return json.Marshal(v)
}

// eachText is v with every text in it replaced.
func eachText(v any, with func(string) string) any {
	switch x := v.(type) {
	case string:
		return with(x)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = eachText(e, with)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = eachText(e, with)
		}
		return out
	}
	return v
}
