package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust/httpsig"
)

// What an answer says beside its body, where clients of Handle.Net do not look.
const (
	headTrust   = "Fujie-Trust"   // secure, unsigned or unchecked
	headSource  = "Fujie-Source"  // where the answer came from
	headStale   = "Fujie-Stale"   // 1: past its lifetime, given because every authority is down
	headPrimary = "Fujie-Primary" // 1: from a primary
	headExpires = "Fujie-Expires" // until which second since 1970 it may be kept
	headProblem = "Fujie-Problem" // the kind of problem.Error
	headLive    = "Fujie-Live"    // when the oldest of the fetched values was read from its owner's system, RFC 3339
	headWant    = "Fujie-Want"    // in a request: "trust" asks for the headers above
	headPurpose = "Fujie-Purpose" // in a request: what the data is for, a word, percent-encoded where it is not ASCII
)

// Header values are shared, so that the fast way makes none.
var (
	jsonType   = []string{"application/json;charset=utf-8"}
	scriptType = []string{"application/javascript;charset=utf-8"}
	nosniff    = []string{"nosniff"}
	exposed    = []string{"Content-Length, Fujie-Trust, Fujie-Source, Fujie-Stale, Fujie-Primary, Fujie-Expires, Fujie-Live, Fujie-Problem"}
)

// room is what one answer is put together in.
type room struct{ name, block, out []byte }

var rooms = sync.Pool{New: func() any { return &room{block: make([]byte, 0, 4096), out: make([]byte, 0, 4096)} }}

func (b *room) free() {
	if cap(b.out) <= 1<<20 {
		rooms.Put(b)
	}
}

// fast answers the plain question, everything that anybody may read, if the answer lies ready.
func (s *Server) fast(w http.ResponseWriter, r *http.Request, name string) bool {
	if s.appender == nil || r.URL.RawQuery != "" || r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return false
	}
	h := r.Header
	if len(h["Authorization"]) > 0 || s.Cookie != "" && len(h["Cookie"]) > 0 || len(h[headWant]) > 0 || httpsig.Signed(r) {
		return false
	}
	var began time.Time
	if s.Answered != nil {
		began = s.Now()
	}
	b := rooms.Get().(*room)
	defer b.free()
	b.name = append(b.name[:0], name...)
	var ok bool
	if b.block, _, ok = s.appender.AppendPublic(b.block[:0], b.name, s.Now().Unix()); !ok {
		return false
	}
	b.out = append(b.out[:0], `{"responseCode":1,"handle":`...)
	b.out = record.AppendJSONString(b.out, b.name)
	b.out = append(b.out, `,"values":`...)
	var err error
	if b.out, err = record.AppendBlockJSON(b.out, b.block); err != nil {
		return false
	}
	b.out = append(b.out, '}')
	head := w.Header()
	head["Content-Type"] = jsonType
	head["X-Content-Type-Options"] = nosniff
	cors(head, h)
	if len(b.out) > 2000 { // shorter answers get their length from net/http
		head["Content-Length"] = []string{strconv.Itoa(len(b.out))}
	}
	w.Write(b.out)
	if s.Answered != nil {
		s.Answered(b.name, peerOf(r), s.Now().Sub(began), true)
	}
	return true
}

// peerOf is the address that a request came from.
func peerOf(r *http.Request) netip.Addr {
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr()
}

// ask resolves, and lets who counts know.
func (s *Server) ask(ctx context.Context, r *http.Request, q record.Query) (record.Answer, error) {
	if s.Answered == nil {
		return s.Resolver.Resolve(ctx, q)
	}
	began := s.Now()
	a, err := s.Resolver.Resolve(ctx, q)
	ok := err == nil
	switch problem.KindOf(err) {
	case problem.Unreachable, problem.Bogus, problem.Canceled, problem.Internal, problem.Busy:
	default:
		ok = true // what is not there, or not for the asker, is an answer too
	}
	s.Answered([]byte(q.Name()), peerOf(r), s.Now().Sub(began), ok)
	return a, err
}

// cors lets pages of other origins read what anybody may read.
func cors(head, request http.Header) {
	if o := request["Origin"]; len(o) > 0 {
		head["Access-Control-Allow-Origin"] = o[:1]
		head["Access-Control-Expose-Headers"] = exposed
		head.Add("Vary", "Origin")
	}
}

// call is one request to the JSON interface.
type call struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	rest  string // of the path, behind /api/ or /api/handles/
	query url.Values
	by    record.Identity
	out   []byte
}

// api prepares a call and lets do answer it.
func (s *Server) api(w http.ResponseWriter, r *http.Request, rest string, do func(*call) error) {
	head := w.Header()
	head["X-Content-Type-Options"] = nosniff
	cors(head, r.Header)
	if r.Method == http.MethodOptions {
		head.Set("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
		head.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
		head.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Requested-With, "+headPurpose+", "+headWant)
		head.Set("Access-Control-Max-Age", "3600")
		return
	}
	b := rooms.Get().(*room)
	c := &call{s: s, w: w, r: r, rest: rest, out: b.out[:0]}
	defer func() { b.out = c.out; b.free() }()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		c.refuse(problem.New(problem.BadRequest, "the parameters behind ? are malformed; percent-encode them", "问号后的参数格式错误；请使用百分号编码"), "")
		return
	}
	c.query = query
	if err := do(c); err != nil {
		c.refuse(err, "")
	}
}

// flag is a parameter that is true or false.
func (c *call) flag(name string, def bool) (bool, error) {
	switch v := c.query[name]; {
	case len(v) == 0:
		return def, nil
	case v[0] == "true" || v[0] == "1" || v[0] == "":
		return true, nil
	case v[0] == "false" || v[0] == "0":
		return false, nil
	}
	return def, problem.New(problem.BadRequest, "the parameter %s must be true or false", "参数 %s 应为 true 或 false", name)
}

// number is a parameter that is a whole number.
func (c *call) number(name string, def, limit int) (int, error) {
	v := c.query.Get(name)
	if v == "" {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n > limit {
		return def, problem.New(problem.BadRequest, "the parameter %s must be a number up to %d", "参数 %s 应为不超过 %d 的数字", name, limit)
	}
	return n, nil
}

// indexes are the values of the parameter index; various tells that "various" is among them.
func (c *call) indexes() (list []uint32, various bool, err error) {
	for _, v := range c.query["index"] {
		if v == "various" {
			various = true
			continue
		}
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil || n == 0 {
			return nil, false, problem.New(problem.BadRequest, "the parameter index must be a number from 1", "参数 index 应为从 1 起的数字")
		}
		list = append(list, uint32(n))
	}
	return list, various, nil
}

func (c *call) id() (id.ID, error) { return id.Parse(c.rest) }

// begin starts the JSON of an answer.
func (c *call) begin(rc code, message, handle string) {
	c.out = append(c.out[:0], `{"responseCode":`...)
	c.out = strconv.AppendInt(c.out, int64(rc), 10)
	if message != "" {
		c.out = append(c.out, `,"message":`...)
		c.out = record.AppendJSONString(c.out, message)
	}
	if handle != "" {
		c.out = append(c.out, `,"handle":`...)
		c.out = record.AppendJSONString(c.out, handle)
	}
}

// done ends the JSON and sends it, in the dress that was asked for.
func (c *call) done(status int) {
	c.out = append(c.out, '}')
	out, kind := c.out, jsonType
	if p, err := c.flag("pretty", false); err == nil && p {
		var b bytes.Buffer
		if json.Indent(&b, out, "", "  ") == nil {
			out = b.Bytes()
		}
	}
	// Nobody's page shall read, by a script element, what the browser's password or certificate opens.
	if name := c.query.Get("callback"); name != "" && c.by.IsAnonymous() {
		kind = scriptType
		out = append(append(append([]byte(scrub(name)), '('), out...), ')', ';')
	}
	head := c.w.Header()
	head["Content-Type"] = kind
	head["Content-Length"] = []string{strconv.Itoa(len(out))}
	if !c.by.IsAnonymous() {
		head.Set("Cache-Control", "no-store")
	}
	c.w.WriteHeader(status)
	c.w.Write(out)
}

// scrub makes any text the name of a JavaScript function.
func scrub(name string) string {
	b := []byte(name[:min(len(name), 128)])
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', c == '$', i > 0 && ('0' <= c && c <= '9' || c == '.' && i < len(b)-1):
		default:
			b[i] = '_'
		}
	}
	return string(b)
}

// refuse sends an error. Whoever has not said who they are is told how, where it is safe to say.
func (c *call) refuse(err error, handle string) {
	kind := problem.KindOf(err)
	if ctx := c.r.Context().Err(); ctx != nil && kind == problem.Internal {
		kind = problem.Canceled
	}
	if kind == problem.Internal {
		c.s.Log.Error("a request failed", "path", c.r.URL.Path, "err", err)
	}
	status := statusOf(kind)
	switch {
	case errors.Is(err, errBasic):
		c.challenge("")
		c.w.Header().Set(headProblem, problem.AuthFailed.String())
		c.w.WriteHeader(http.StatusUnauthorized)
		return
	case isUnverified(err):
		kind, status = problem.AuthFailed, http.StatusUnauthorized
		c.challenge(notVerified)
		err = problem.Wrap(err, problem.NeedAuth, notVerified, "身份未得到证明")
	case kind == problem.NeedAuth:
		if c.r.TLS == nil {
			status = http.StatusForbidden
		} else {
			c.challenge("")
		}
	}
	c.w.Header().Set(headProblem, kind.String())
	message := problem.Say(err, c.lang())
	switch kind {
	case problem.NotFound, problem.Exists:
		message = ""
	case problem.Internal:
		message = "Server error processing request, see server logs"
	}
	rc := codeOf(err)
	if handle == "" && c.query != nil {
		handle = c.handle()
	}
	c.begin(rc, message, handle)
	c.done(status)
}

// handle is the identifier that the path names, as it was spelled; empty when it names none.
func (c *call) handle() string {
	if path := c.r.URL.Path; strings.HasPrefix(path, "/api/handles/") || !strings.HasPrefix(path, "/api/") {
		return c.rest
	}
	return ""
}

// lang is English unless the asker prefers Chinese.
func (c *call) lang() problem.Lang { return prefer(c.r.Header.Get("Accept-Language")) }

// handles is everything below /api/handles/.
func (s *Server) handles(c *call) error {
	var err error
	if c.by, err = s.identify(c); err != nil {
		return err
	}
	if c.r.Method == http.MethodPost {
		if err := c.form(); err != nil {
			return err
		}
	}
	if c.rest == "" && (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead) {
		return s.list(c)
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return s.resolve(c)
	case http.MethodPut:
		return s.put(c)
	case http.MethodDelete:
		return s.delete(c)
	}
	c.unknownMethod()
	return nil
}

// unknownMethod answers as deployed servers do: with the code of a broken protocol, and the status of what is not offered.
func (c *call) unknownMethod() {
	c.w.Header().Set(headProblem, problem.Unsupported.String())
	c.begin(protocolError, "Unknown method "+c.r.Method, "")
	c.done(http.StatusNotImplemented)
}

// form adds the parameters in a body to those in the address.
func (c *call) form() error {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, 1<<20)
	if err := c.r.ParseForm(); err != nil {
		return problem.New(problem.BadRequest, "the form is malformed or over 1 MiB", "表单格式错误或超过 1 MiB")
	}
	c.query = c.r.Form
	return nil
}

// question is the Query that the parameters make.
func (c *call) question() (record.Query, error) {
	v, err := c.id()
	if err != nil {
		return record.Query{}, err
	}
	q := record.Query{ID: v, As: c.rest, By: c.by, Types: c.query["type"]}
	if q.Purpose, err = c.purpose(); err != nil {
		return q, err
	}
	if q.Indexes, _, err = c.indexes(); err != nil {
		return q, err
	}
	for _, f := range []struct {
		name string
		to   *bool
		def  bool
	}{
		{"publicOnly", &q.PublicOnly, c.by.IsAnonymous()}, {"auth", &q.Authoritative, false}, {"cert", &q.Certify, false},
		{"doNotRefer", &q.NoReferral, false}, {"trace", &q.Trace, false},
	} {
		if *f.to, err = c.flag(f.name, f.def); err != nil {
			return q, err
		}
	}
	return q, nil
}

// maxPurpose is how long the word for a purpose may be, in bytes.
const maxPurpose = 128

// purpose is what the asker says that the data is for.
func (c *call) purpose() (string, error) {
	v := c.r.Header.Get(headPurpose)
	if v == "" {
		return "", nil
	}
	p, err := url.PathUnescape(v)
	if err != nil || len(p) > maxPurpose || !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) {
		return "", problem.New(problem.BadRequest, "the header %s must be a word of at most %d bytes, percent-encoded where it is not ASCII", "请求头 %s 应为不超过 %d 字节的词，非 ASCII 字符须百分号编码", headPurpose, maxPurpose)
	}
	return p, nil
}

func (s *Server) resolve(c *call) error {
	q, err := c.question()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), s.Limits.Request-s.Limits.Request/10)
	defer cancel()
	a, err := s.ask(ctx, c.r, q)
	tell(c.w.Header(), &a)
	rc, status := success, http.StatusOK
	switch {
	case problem.Is(err, problem.NoValues):
		c.w.Header().Set(headProblem, problem.NoValues.String())
		rc = valuesNotFound
	case err != nil:
		if q.Trace && a.Path != nil {
			return c.refuseTraced(err, a.Path)
		}
		return err
	case a.Referral != nil:
		rc, status = serviceMoved, http.StatusMultipleChoices
		if a.Referral.Prefix {
			rc = prefixMoved
		}
		a.Values = a.Referral.Values
	}
	c.begin(rc, "", c.rest)
	if a.Referral != nil && a.Referral.Name != "" {
		c.out = append(c.out, `,"referral":`...)
		c.out = record.AppendJSONString(c.out, a.Referral.Name)
	}
	c.out = append(c.out, `,"values":`...)
	c.out = record.AppendValuesJSON(c.out, a.Values)
	if !a.Live.IsZero() {
		c.out = append(c.out, `,"live":"`...)
		c.out = a.Live.UTC().AppendFormat(c.out, time.RFC3339Nano)
		c.out = append(c.out, '"')
	}
	if q.Trace {
		c.path(a.Path)
	}
	c.done(status)
	return nil
}

func (c *call) refuseTraced(err error, path []record.Step) error {
	c.w.Header().Set(headProblem, problem.KindOf(err).String())
	c.begin(codeOf(err), problem.Say(err, c.lang()), c.rest)
	c.path(path)
	c.done(statusOf(problem.KindOf(err)))
	return nil
}

// tell puts into headers what the body has no place for.
func tell(head http.Header, a *record.Answer) {
	head.Set(headTrust, a.Trust.String())
	if a.Source != "" {
		head.Set(headSource, asciiOnly(a.Source))
	}
	if a.Stale {
		head.Set(headStale, "1")
	}
	if a.Primary {
		head.Set(headPrimary, "1")
	}
	if !a.Expires.IsZero() {
		head.Set(headExpires, strconv.FormatInt(a.Expires.Unix(), 10))
	}
	if !a.Live.IsZero() {
		head.Set(headLive, a.Live.UTC().Format(time.RFC3339Nano))
	}
}

func asciiOnly(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}

// path appends the steps of a lookup, times in microseconds.
func (c *call) path(steps []record.Step) {
	c.out = append(c.out, `,"path":[`...)
	for i, p := range steps {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, `{"at":`...)
		c.out = strconv.AppendInt(c.out, p.At.Microseconds(), 10)
		c.out = append(c.out, `,"took":`...)
		c.out = strconv.AppendInt(c.out, p.Took.Microseconds(), 10)
		c.out = append(c.out, `,"asked":`...)
		c.out = record.AppendJSONString(c.out, p.Asked)
		c.out = append(c.out, `,"name":`...)
		c.out = record.AppendJSONString(c.out, p.Name)
		c.out = append(c.out, `,"outcome":`...)
		c.out = record.AppendJSONString(c.out, p.Outcome)
		c.out = append(c.out, `,"trust":"`...)
		c.out = append(c.out, p.Trust.String()...)
		c.out = append(c.out, '"', '}')
	}
	c.out = append(c.out, ']')
}
