// Package idhub lets programs that were written for the interface of deployed enterprise nodes (IDHub 企业节点, 2024)
// work with this node unchanged: log-in of an application by challenge, digital-object operations in the shape of DOIP,
// templates, grants, groups, notices and files (china.md §2.2).
//
// Answers are {"code","message","data"} with HTTP status 200; code 1 is success (programs accept 1 and 10000), the others
// are those of the deployed nodes. Two things differ on purpose: a nonce has 128 bits instead of four digits, and is good
// once and for a minute; beside RSA, keys of every kind that the node knows can answer it.
package idhub

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// The codes of answers.
const (
	codeOK          = 1
	codeRequest     = 101
	codeClient      = 102 // the application's proof does not hold
	codeRights      = 103
	codeAbsent      = 104
	codeExists      = 105
	codeInput       = 106
	codeLogin       = 401
	codeNoRead      = 403
	codeNoOperation = 404
	codeUnsupported = 405
	codeNoEdit      = 406
	codeInternal    = 500
	codeUnpublished = 600
	codeNoItem      = 603
	codeNoTemplate  = 604
	codeNoTemplateR = 605
	codeNotOurs     = 701
	codeNotApp      = 901
	codeValidation  = 30000
	codeHandle      = 40508
	codeParameter   = 60001
)

const (
	maxBody    = 16 << 20
	nonceLife  = time.Minute
	maxNonces  = 16384
	maxHandle  = 255
	maxGrants  = 1000
	loginIndex = 300
)

// Server answers the interface. Resolver, Registrar, Keys, Issue and Bearer are needed; what is nil of the rest is
// refused as not offered here.
type Server struct {
	Resolver  record.Resolver
	Registrar record.Registrar
	Lister    record.Lister

	// Keys are the public keys in the record of an application, wherever it is kept; only what came over a chain of
	// signatures that holds. Errors: problem.NotFound.
	Keys func(ctx context.Context, app id.ID) ([]trust.PublicKey, error)
	// Issue makes a token for who proved to be by; Bearer says whose token it is.
	Issue  func(ctx context.Context, by record.Identity) (token string, err error)
	Bearer func(ctx context.Context, token string) (record.Identity, error)

	Metas   Metas
	Grants  Grants
	Files   Files
	Notices func(ctx context.Context, by record.Identity, page, size int) (rows []Notice, total int, err error)
	// Groups are the identities that something can be granted to.
	Groups func(ctx context.Context, by record.Identity) ([]Group, error)

	// Plain takes tokens over plain HTTP too, as deployed nodes do. Danger: everybody on the way can read them, and act
	// as whoever sent them.
	Plain bool

	Log  *slog.Logger
	Now  func() time.Time // time.Now if nil
	Rand io.Reader        // crypto/rand if nil

	nonces nonces
}

// Group is somebody to grant to.
type Group struct {
	Name          string `json:"name"`
	UserHandle    string `json:"userHandle"`
	BelongCompany string `json:"belongCompany"`
}

// Notice tells an application of a grant.
type Notice struct {
	ID         string `json:"id"`
	Title      string `json:"title"`
	Content    string `json:"content"`
	Handle     string `json:"handle"`
	CreateTime string `json:"createTime"`
}

// Handler serves /api/v1/doip and /api/v1/open/.
func (s *Server) Handler() http.Handler {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Rand == nil {
		s.Rand = rand.Reader
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
			if c.by.IsAnonymous() {
				return nil, &refusal{codeLogin, "请先登录"}
			}
			return f(c)
		})
	}
	open("GET /api/v1/doip/public/challenge", s.challenge)
	open("POST /api/v1/doip/public/verify-response", s.verify)
	open("GET /api/v1/doip", s.operation) // anonymous for what is public
	open("POST /api/v1/doip", s.operation)
	closed("POST /api/v1/doip/file-upload", s.fileUpload)
	m.HandleFunc("POST /api/v1/doip/file-acquire", s.fileAcquire)

	s.metaRoutes(closed)
	s.grantRoutes(closed)
	closed("GET /api/v1/open/handle/page", s.handles)
	closed("GET /api/v1/open/handle-user-group/list", func(c *call) (any, error) {
		if s.Groups == nil {
			return []Group{}, nil
		}
		return s.Groups(c.r.Context(), c.by)
	})
	closed("GET /api/v1/open/message/appMessage", func(c *call) (any, error) {
		page, size, err := c.window()
		if err != nil || s.Notices == nil {
			return paged([]Notice{}, 0, page, size), err
		}
		rows, total, err := s.Notices(c.r.Context(), c.by, page, size)
		return paged(rows, total, page, size), err
	})
	return m
}

// call is one request.
type call struct {
	s  *Server
	r  *http.Request
	w  http.ResponseWriter
	by record.Identity
}

// refusal is an error in the interface's words.
type refusal struct {
	code    int
	message string
}

func (e *refusal) Error() string { return e.message }

// invalid is an object that breaks its template.
type invalid struct{ errors []Fault }

func (e *invalid) Error() string { return "数据校验不通过" }

// Fault is one property that breaks its template.
type Fault struct {
	Name     string `json:"name"`
	ErrorMsg string `json:"errorMsg"`
}

type reply struct {
	Code    int     `json:"code"`
	Message string  `json:"message"`
	Data    any     `json:"data"`
	Errors  []Fault `json:"errors,omitempty"`
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, f func(*call) (any, error)) {
	data, err := f(&call{s: s, r: r, w: w})
	a := reply{Code: codeOK, Message: "success", Data: data}
	if err != nil {
		a = s.verdict(err, r)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(a)
}

// Faults is an error that knows which properties are at fault; the templates' checks return it.
type Faults interface {
	error
	Faults() []Fault
}

// verdict is what an error is called here.
func (s *Server) verdict(err error, r *http.Request) reply {
	var own *refusal
	if errors.As(err, &own) {
		return reply{Code: own.code, Message: own.message}
	}
	var inv *invalid
	if errors.As(err, &inv) {
		return reply{Code: codeValidation, Message: inv.Error(), Errors: inv.errors}
	}
	var faults Faults
	if errors.As(err, &faults) {
		return reply{Code: codeValidation, Message: "数据校验不通过", Errors: faults.Faults()}
	}
	say := problem.Say(err, problem.Chinese)
	switch problem.KindOf(err) {
	case problem.NotFound, problem.NoValues:
		return reply{Code: codeAbsent, Message: "标识不存在"}
	case problem.Exists:
		return reply{Code: codeExists, Message: "标识已存在"}
	case problem.NotHere:
		return reply{Code: codeNotOurs, Message: "非本企业标识"}
	case problem.BadID:
		return reply{Code: codeHandle, Message: "标识格式异常"}
	case problem.NotAdmin, problem.Forbidden:
		return reply{Code: codeNoEdit, Message: say}
	case problem.NeedAuth, problem.AuthFailed, problem.SessionTimeout, problem.AuthError, problem.BadCredential:
		return reply{Code: codeLogin, Message: say}
	case problem.Internal:
		s.Log.Error("a request failed", "path", r.URL.Path, "err", err)
		return reply{Code: codeInternal, Message: "系统内部错误"}
	}
	return reply{Code: codeInput, Message: say}
}

func bad(parameter string) error {
	return &refusal{codeParameter, "参数 " + parameter + " 缺失或有误"}
}

var errTemplates = &refusal{codeUnsupported, "本节点不提供模板"}

// login finds out whose token came; none at all is nobody.
func (c *call) login() error {
	h := c.r.Header.Get("Authorization")
	if h == "" {
		return nil
	}
	if c.r.TLS == nil && !c.s.Plain {
		return &refusal{codeLogin, "请使用 HTTPS（同一端口即可）：令牌不能以明文传输"}
	}
	by, err := c.s.Bearer(c.r.Context(), strings.TrimSpace(strings.TrimPrefix(h, "Bearer ")))
	if err != nil {
		switch problem.KindOf(err) {
		case problem.Internal, problem.Canceled:
			return err
		}
		return &refusal{codeLogin, "登录已失效，请重新登录"}
	}
	c.by = by
	return nil
}

// body reads the request's JSON.
func (c *call) body(to any) error {
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		return &refusal{codeRequest, "请求过大或已中断"}
	}
	if err := json.Unmarshal(b, to); err != nil {
		return &refusal{codeRequest, "请求体不是有效的 JSON"}
	}
	return nil
}

func parse(handle string) (id.ID, error) {
	if len(handle) > maxHandle {
		return id.ID{}, &refusal{codeHandle, "标识格式异常"}
	}
	v, err := id.ParseHandle(handle)
	if err != nil || v.IsPrefix() {
		return id.ID{}, &refusal{codeHandle, "标识格式异常"}
	}
	return v, nil
}

// challenge gives an application something to sign.
func (s *Server) challenge(c *call) (any, error) {
	v, err := parse(c.r.URL.Query().Get("handle"))
	if err != nil {
		return nil, err
	}
	b := make([]byte, 16)
	if _, err := io.ReadFull(s.Rand, b); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "there is no randomness for a challenge", "没有可用的随机数来生成质询")
	}
	nonce := hex.EncodeToString(b)
	s.nonces.put(v, nonce, s.Now())
	return nonce, nil
}

// verify takes the signature and gives a token.
func (s *Server) verify(c *call) (any, error) {
	var in struct {
		Handle    string `json:"handle"`
		Signature string `json:"signature"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	v, err := parse(in.Handle)
	if err != nil {
		return nil, err
	}
	if c.r.TLS == nil && !s.Plain {
		return nil, &refusal{codeLogin, "请使用 HTTPS（同一端口即可）：令牌不能以明文传输"}
	}
	sig, err := base64.StdEncoding.DecodeString(in.Signature)
	if err != nil || len(sig) == 0 {
		return nil, bad("signature")
	}
	wrong := &refusal{codeClient, "身份验证失败"}
	nonce := s.nonces.take(v, s.Now())
	if nonce == "" {
		return nil, wrong
	}
	keys, err := s.Keys(c.r.Context(), v)
	if err != nil {
		if k := problem.KindOf(err); k == problem.Internal || k == problem.Canceled {
			return nil, err
		}
		return nil, wrong
	}
	for i, k := range keys {
		if k.Verify([]byte(nonce), sig) == nil {
			token, err := s.Issue(c.r.Context(), record.Identity{Ref: record.Ref{Index: loginIndex + uint32(i), Name: v.String()}})
			if err != nil {
				return nil, err
			}
			return struct {
				Token string `json:"token"`
			}{token}, nil
		}
	}
	return nil, wrong
}

// nonces are the challenges that wait for an answer: one for each application.
type nonces struct {
	mu  sync.Mutex
	all map[id.ID]nonce
}

type nonce struct {
	text  string
	until time.Time
}

func (n *nonces) put(v id.ID, text string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[id.ID]nonce{}
	}
	if len(n.all) >= maxNonces {
		for k, x := range n.all {
			if now.After(x.until) || len(n.all) >= maxNonces {
				delete(n.all, k)
			}
		}
	}
	n.all[v] = nonce{text, now.Add(nonceLife)}
}

// take is the challenge of v, which is good once.
func (n *nonces) take(v id.ID, now time.Time) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	x, ok := n.all[v]
	delete(n.all, v)
	if !ok || now.After(x.until) {
		return ""
	}
	return x.text
}
