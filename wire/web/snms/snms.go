// Package snms lets programs that were written for the interface of deployed second-level nodes (SNMS 二级节点 V3 and V5,
// also offered by IDHub) work with this node unchanged: log-in, identifiers with batches, templates, enterprises and
// prefixes (china.md §2.1).
//
// Answers have that interface's shape, {"message","status","data"}, with HTTP status 200 whatever happened: status 1 is
// success, -1 not logged in, -2 refused, -3 no permission, -4 trouble inside. Its quirks are kept where programs may
// rest on them: idIndex is taken as a number or as text, batchDelete as {"handles":[…]} or as a bare array, a batch
// answers status 1 with a verdict for each item, messages are Chinese.
//
// Passwords and tokens are taken over HTTPS only, unless Plain says otherwise.
package snms

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Limits of the deployed interface.
const (
	maxBatch  = 2000
	maxHandle = 255
	maxValue  = 255
	maxType   = 128
	maxBody   = 16 << 20
)

// Server answers the interface. Registrar, Resolver and Accounts are needed; what is nil of the rest is refused as not
// offered here.
type Server struct {
	Resolver    record.Resolver
	Registrar   record.Registrar
	Accounts    Accounts
	Templates   Templates
	Enterprises Enterprises

	// Plain takes passwords and tokens over plain HTTP too, as deployed nodes do. Danger: everybody on the way can read
	// them, and act as whoever sent them.
	Plain bool

	Log *slog.Logger
	Now func() time.Time // time.Now if nil
}

// Accounts is who may come in.
type Accounts interface {
	// Login checks a password and gives a token. Errors: problem.AuthFailed.
	Login(ctx context.Context, username, password string) (token string, err error)
	// LoginDigest checks hex(SHA-256(hex(SHA-256(password)) + day)), day as 2006-01-02, and gives a token. Errors:
	// problem.AuthFailed, also for an account that keeps nothing to check such a digest by.
	LoginDigest(ctx context.Context, username, digest string, days []string) (token string, err error)
	// Bearer says whose token it is. Errors: problem.AuthFailed, problem.SessionTimeout.
	Bearer(ctx context.Context, token string) (record.Identity, error)
}

// Templates is the shelf of templates. Errors of all: problem.NotFound, Exists, BadValue, NeedAuth, Forbidden.
type Templates interface {
	Find(ctx context.Context, by record.Identity, prefix, version string) (*Template, error)
	Create(ctx context.Context, by record.Identity, t *Template) error
	// Extend adds items to a template, or changes the state, names and lengths of those that are there. None goes away.
	Extend(ctx context.Context, by record.Identity, t *Template) error
	Withdraw(ctx context.Context, by record.Identity, prefix, version string) error
	// Identifier is that of the template, which records name at index 1000.
	Identifier(prefix, version string) string
	// Version is the inverse: which version of which prefix an identifier names; ok is false for another maker's template.
	Version(identifier string) (prefix, version string, ok bool)
}

// Template is a template in the interface's words.
type Template struct {
	Prefix           string `json:"prefix"`
	Version          string `json:"version"`
	IndustryCategory string `json:"industryCategory"`
	IndustrySpecific string `json:"industrySpecific"`
	IndustryTrade    string `json:"industryTrade"`
	IndustrySubclass string `json:"industrySubclass"`
	Type             int    `json:"type"` // 1 active carrier, 2 other
	Description      string `json:"description"`
	Items            []Item `json:"items"`
}

// Item is one property.
type Item struct {
	Name     string   `json:"name"`   // in Chinese
	IDType   string   `json:"idType"` // in English: the type of the value
	IDIndex  Number   `json:"idIndex"`
	Required Flag     `json:"required"`
	State    int      `json:"state"` // 0 disabled, 1 enabled
	Metadata Metadata `json:"metadata"`
}

// Metadata says what text an item takes.
type Metadata struct {
	Type      string `json:"type"`
	MinLength Number `json:"minLength"`
	MaxLength Number `json:"maxLength"`
}

// Number is a number that may come as text.
type Number int

// UnmarshalJSON takes 2000 and "2000".
func (n *Number) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "" || s == "null" {
		*n = 0
		return nil
	}
	i, err := strconv.Atoi(s)
	*n = Number(i)
	return err
}

// Flag is a boolean that may come as a number or as text.
type Flag bool

// UnmarshalJSON takes true, 1, "1" and "true".
func (f *Flag) UnmarshalJSON(b []byte) error {
	switch s := strings.Trim(string(b), `"`); s {
	case "true", "1":
		*f = true
	case "false", "0", "", "null":
		*f = false
	default:
		return errors.New("not a boolean")
	}
	return nil
}

// Handler serves /identity/, /identityv2/ and /snms/.
func (s *Server) Handler() http.Handler {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	m := http.NewServeMux()
	open := func(pattern string, f func(*call) (any, error)) {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, f) })
	}
	closed := func(pattern string, f func(*call) (any, error)) {
		open(pattern, func(c *call) (any, error) {
			if err := c.login(); err != nil {
				return nil, err
			}
			return f(c)
		})
	}
	open("POST /identity/token", s.token)
	open("POST /identity/token/v1", s.tokenDigest)

	closed("GET /identityv2/data/detail", s.detail)
	closed("POST /identityv2/data", s.create)
	closed("PUT /identityv2/data", s.update)
	closed("DELETE /identityv2/data", s.remove)
	closed("POST /identityv2/data/batchCreate", s.batchCreate)
	closed("PUT /identityv2/data/batchUpdate", s.batchUpdate)
	closed("DELETE /identityv2/data/batchDelete", s.batchDelete)

	for _, v := range []string{"v3", "v5"} {
		closed("GET /snms/api/"+v+"/template", s.template)
		closed("POST /snms/api/"+v+"/template", s.newTemplate)
		closed("DELETE /snms/api/"+v+"/template", s.dropTemplate)
	}
	closed("PUT /snms/api/v5/template", s.extendTemplate)

	open("POST /snms/api/v3/ent/apply", s.apply)
	closed("POST /snms/api/v3/ent/upgrade-apply", s.upgrade)
	closed("GET /snms/api/v3/ent/page", s.enterprises)
	closed("GET /snms/api/v3/ent/detail", s.enterprise)
	closed("GET /snms/api/prefix/query", s.prefix)
	closed("GET /snms/api/prefix/page", s.prefixes)
	closed("POST /snms/api/ent/config", s.configure)
	closed("POST /snms/api/file/upload", s.upload)
	return m
}

// The status of an answer.
const (
	statusOK        = 1
	statusLogin     = -1
	statusRefused   = -2
	statusForbidden = -3
	statusInternal  = -4
)

// call is one request.
type call struct {
	s  *Server
	r  *http.Request
	w  http.ResponseWriter
	by record.Identity
}

// refusal is an error in the interface's words.
type refusal struct {
	status  int
	message string
}

func (e *refusal) Error() string { return e.message }

func refuse(message string) error { return &refusal{statusRefused, message} }

func missing(name string) error { return refuse("缺少必要的请求参数: " + name) }

func (s *Server) answer(w http.ResponseWriter, r *http.Request, f func(*call) (any, error)) {
	data, err := f(&call{s: s, r: r, w: w})
	status, message := statusOK, "success"
	if err != nil {
		data = nil
		status, message = s.verdict(err, r)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(struct {
		Message string `json:"message"`
		Status  int    `json:"status"`
		Data    any    `json:"data"`
	}{message, status, data})
}

// verdict is what an error is called here.
func (s *Server) verdict(err error, r *http.Request) (status int, message string) {
	var own *refusal
	if errors.As(err, &own) {
		return own.status, own.message
	}
	switch problem.KindOf(err) {
	case problem.NotFound, problem.NoValues:
		return statusRefused, "没有找到标识"
	case problem.Exists:
		return statusRefused, "标识已存在"
	case problem.NotAdmin, problem.Forbidden, problem.NotHere:
		return statusForbidden, problem.Say(err, problem.Chinese)
	case problem.NeedAuth, problem.AuthFailed, problem.SessionTimeout, problem.AuthError, problem.BadCredential:
		return statusLogin, problem.Say(err, problem.Chinese)
	case problem.Busy, problem.Full, problem.ReadOnly, problem.Canceled, problem.Unreachable:
		return statusLogin, "系统繁忙" // with this status in deployed systems too
	case problem.Internal:
		s.Log.Error("a request failed", "path", r.URL.Path, "err", err)
		return statusInternal, "系统内部错误"
	}
	return statusRefused, problem.Say(err, problem.Chinese)
}

// secure refuses what must not be read on the way.
func (c *call) secure() error {
	if c.r.TLS == nil && !c.s.Plain {
		return &refusal{statusLogin, "请使用 HTTPS（同一端口即可）：口令和令牌不能以明文传输"}
	}
	return nil
}

// login finds out whose token came.
func (c *call) login() error {
	h := c.r.Header.Get("Authorization")
	token, ok := strings.CutPrefix(h, "Bearer ")
	if !ok || token == "" {
		return &refusal{statusLogin, "未登录"}
	}
	if err := c.secure(); err != nil {
		return err
	}
	by, err := c.s.Accounts.Bearer(c.r.Context(), strings.TrimSpace(token))
	if err != nil {
		switch problem.KindOf(err) {
		case problem.Internal, problem.Canceled:
			return err
		}
		return &refusal{statusLogin, "登录已失效，请重新登录"}
	}
	c.by = by
	return nil
}

// body reads the request's JSON.
func (c *call) body(to any) error {
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		return refuse("请求过大或已中断")
	}
	if len(b) == 0 {
		return refuse("缺少请求体")
	}
	if err := json.Unmarshal(b, to); err != nil {
		return refuse("请求体不是有效的 JSON: " + place(err))
	}
	return nil
}

// place says where the JSON went wrong, in a few words.
func place(err error) string {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return "字段 " + t.Field + " 的类型有误"
	}
	var x *json.SyntaxError
	if errors.As(err, &x) {
		return "第 " + strconv.FormatInt(x.Offset, 10) + " 字节处有误"
	}
	return "字段有误"
}

type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

func (c *call) credentials() (x credentials, err error) {
	if err := c.secure(); err != nil {
		return x, err
	}
	if err := c.body(&x); err != nil {
		return x, err
	}
	switch {
	case x.Username == "":
		return x, missing("username")
	case x.Password == "":
		return x, missing("password")
	case len(x.Username) > 50*4 || len(x.Password) > 64*4:
		return x, refuse("用户名/密码错误！")
	}
	return x, nil
}

type tokenData struct {
	Token string `json:"token"`
}

func (s *Server) token(c *call) (any, error) {
	x, err := c.credentials()
	if err != nil {
		return nil, err
	}
	return s.given(s.Accounts.Login(c.r.Context(), x.Username, x.Password))
}

func (s *Server) tokenDigest(c *call) (any, error) {
	x, err := c.credentials()
	if err != nil {
		return nil, err
	}
	// The client's day may have begun, or not, in Beijing.
	now := s.Now().In(beijing)
	var days []string
	for _, d := range []int{0, -1, 1} {
		days = append(days, now.AddDate(0, 0, d).Format(time.DateOnly))
	}
	return s.given(s.Accounts.LoginDigest(c.r.Context(), x.Username, strings.ToLower(x.Password), days))
}

var beijing = time.FixedZone("CST", 8*3600)

func (s *Server) given(token string, err error) (any, error) {
	if err != nil {
		switch problem.KindOf(err) {
		case problem.Internal, problem.Canceled, problem.Busy:
			return nil, err
		}
		return nil, refuse("用户名/密码错误！")
	}
	return tokenData{token}, nil
}

func parse(handle string) (id.ID, error) {
	if handle == "" {
		return id.ID{}, missing("handle")
	}
	if len(handle) > maxHandle {
		return id.ID{}, refuse("标识长度不能超过 255")
	}
	v, err := id.ParseHandle(handle)
	if err != nil || v.IsPrefix() {
		return id.ID{}, refuse("标识格式异常: " + handle)
	}
	return v, nil
}
