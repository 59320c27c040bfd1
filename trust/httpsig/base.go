package httpsig

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// message is what of a request can be signed.
type message struct {
	method, scheme, authority, path, query string
	header                                 http.Header
	length                                 int64
}

// sent is a request that a client is about to send.
func sent(r *http.Request) *message {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	m := &message{method: r.Method, scheme: strings.ToLower(r.URL.Scheme), header: r.Header, length: r.ContentLength}
	if m.method == "" {
		m.method = http.MethodGet
	}
	m.authority = authority(host, m.scheme)
	m.where(r.URL)
	return m
}

// received is a request that came to a server.
func received(r *http.Request) *message {
	m := &message{method: r.Method, scheme: "http", header: r.Header, length: r.ContentLength}
	if r.TLS != nil {
		m.scheme = "https"
	}
	m.authority = authority(r.Host, m.scheme)
	m.where(r.URL)
	return m
}

func (m *message) where(u *url.URL) {
	if m.path = u.EscapedPath(); m.path == "" {
		m.path = "/"
	}
	m.query = "?" + u.RawQuery
}

// authority is a host with its port in the form that is signed (RFC 9421 §2.2.3).
func authority(host, scheme string) string {
	host = strings.ToLower(host)
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return strings.TrimSuffix(host, port)
}

// base is what a signature is over (RFC 9421 §2.5).
func (m *message) base(l *list) ([]byte, error) {
	var b []byte
	seen := map[string]bool{}
	for i := range l.items {
		start := len(b)
		b = l.items[i].append(b)
		if id := string(b[start:]); seen[id] {
			return nil, bad("the signature covers %s twice", "签名重复覆盖了 %s", clip(id))
		} else {
			seen[id] = true
		}
		v, err := m.component(&l.items[i])
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, ": "...), v...), '\n')
	}
	b = append(b, `"@signature-params": `...)
	return l.append(b), nil
}

func (m *message) component(it *item) (string, error) {
	if it.name == "@query-param" {
		return m.queryParam(it)
	}
	if len(it.params) > 0 {
		return "", bad("the signature covers %q with the parameter %s, which is not known here; cover it without", "签名覆盖 %q 时带有此处不认识的参数 %s；请去掉该参数", clip(it.name), it.params[0].name)
	}
	switch it.name {
	case "@method":
		return m.method, nil
	case "@authority":
		return m.authority, nil
	case "@scheme":
		return m.scheme, nil
	case "@path":
		return m.path, nil
	case "@query":
		return m.query, nil
	case "@target-uri":
		return m.target(), nil
	case "@request-target":
		return strings.TrimSuffix(m.path+m.query, "?"), nil
	}
	if it.name == "" || it.name[0] == '@' || it.name != strings.ToLower(it.name) {
		return "", bad("the signature covers %q, which is no part of a request; names of headers are in lower case", "签名覆盖的 %q 不是请求的组成部分；头名称须为小写", clip(it.name))
	}
	vs := m.header.Values(it.name)
	if len(vs) == 0 {
		if it.name == "content-length" && m.length >= 0 {
			return strconv.FormatInt(m.length, 10), nil
		}
		return "", bad("the signature covers the header %s, which did not come", "签名覆盖的请求头 %s 没有收到", clip(it.name))
	}
	out := make([]string, len(vs))
	for i, v := range vs {
		if out[i] = strings.Trim(v, " \t"); strings.ContainsAny(v, "\r\n") {
			return "", bad("the header %s has a line break in it", "请求头 %s 中含有换行", clip(it.name))
		}
	}
	return strings.Join(out, ", "), nil
}

func (m *message) target() string {
	return strings.TrimSuffix(m.scheme+"://"+m.authority+m.path+m.query, "?")
}

func (m *message) queryParam(it *item) (string, error) {
	name, ok := find(it.params, "name")
	if !ok || name.kind != kindString || len(it.params) != 1 {
		return "", bad("@query-param needs the parameter name, and no other", "@query-param 须有且仅有参数 name")
	}
	q, err := url.ParseQuery(m.query[1:])
	if err != nil {
		return "", bad("the query of the address is malformed", "地址的查询部分格式错误")
	}
	n, err := url.PathUnescape(name.s)
	if err != nil || len(q[n]) != 1 {
		return "", bad("the query has the parameter %q not exactly once", "查询参数 %q 须恰好出现一次", clip(name.s))
	}
	return formEscape(q[n][0]), nil
}

// formEscape is the percent-encoding of WHATWG forms, but with %20 for a space (RFC 9421 §2.2.8).
func formEscape(s string) string {
	return strings.NewReplacer("+", "%20", "%2A", "*", "~", "%7E").Replace(url.QueryEscape(s))
}
