// Package api holds the manners of Fujie's own HTTP interface, so that each part of it behaves alike: every operation is
// described in /openapi.json and on a readable page at /docs, errors are problem details (RFC 9457) in the caller's
// language, a repeated POST with an Idempotency-Key is done once, lists come in pages with a cursor, and documents have
// ETags.
//
// The operations themselves stand in the rooms that own the words: each has an api.go.
package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
)

// Config says what the interface needs of the node. The zero value of each field is usable.
type Config struct {
	Title, Version string
	// Identify says who makes a request: nobody is no error, a proof that does not hold is one. Nil: everybody is nobody.
	Identify func(r *http.Request) (Caller, error)
	// Store keeps the answers to requests with an Idempotency-Key; nil: such a key is refused.
	Store store.Store
	// Secrets are beginnings of paths whose answers hold secrets (tokens, private keys, invitations): they are never kept,
	// so that a repeated request is done again, or finds what the first one made.
	Secrets []string
	Log     *slog.Logger
	Now     func() time.Time
}

// API is the interface, to which rooms add their operations with Do.
type API struct {
	Huma huma.API
	Mux  *http.ServeMux // for what is no JSON operation: downloads, log-in redirects
	cfg  Config
	keys idempotency
}

// New is an interface without operations.
func New(cfg Config) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := huma.DefaultConfig(cfg.Title, cfg.Version)
	c.OpenAPIPath = "/openapi"
	c.DocsPath = "" // ours needs nothing from outside
	c.CreateHooks = nil
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaNamer)
	c.SchemasPath = ""
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer":    {Type: "http", Scheme: "bearer", Description: "The token of POST /api/login (登录令牌)"},
		"basic":     {Type: "http", Scheme: "basic", Description: "User: index:identifier, as 301:88.118.1001/ADMIN; password: its secret key (口令)"},
		"signature": {Type: "apiKey", In: "header", Name: "Signature-Input", Description: "HTTP Message Signatures, RFC 9421; keyid is the key's index:identifier (消息签名)"},
		"mutualTLS": {Type: "mutualTLS", Description: "A client certificate whose key is in the record that its common name says (客户端证书)"},
	}
	c.Security = []map[string][]string{{}, {"bearer": {}}, {"basic": {}}, {"signature": {}}, {"mutualTLS": {}}}
	mux := http.NewServeMux()
	a := &API{Huma: humago.New(mux, c), Mux: mux, cfg: cfg}
	a.keys = idempotency{store: cfg.Store, now: cfg.Now, secrets: cfg.Secrets}
	mux.HandleFunc("GET /docs", a.page)
	return a
}

// schemaNamer names schemas by room and type, since two rooms may have an Address: OfficeAddress, PageOfAccountUserView.
func schemaNamer(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if name == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	of := func(pkg, name string) string {
		if pkg = pkg[strings.LastIndexByte(pkg, '/')+1:]; pkg == "" || pkg == "api" {
			return name
		}
		return strings.ToUpper(pkg[:1]) + pkg[1:] + strings.ToUpper(name[:1]) + name[1:]
	}
	outer, args, generic := strings.Cut(name, "[")
	out := of(t.PkgPath(), outer)
	if generic {
		for arg := range strings.SplitSeq(strings.TrimSuffix(args, "]"), ",") {
			arg = strings.TrimLeft(arg, "*[]")
			dot := strings.LastIndexByte(arg, '.')
			out += "Of" + of(arg[:max(dot, 0)], arg[dot+1:])
		}
	}
	return out
}

// titles are how the rooms' tags stand on the page.
var titles = map[string]string{
	"Permissions (权限)": "Permissions 权限", "Prefixes": "Prefixes 前缀", "Reports": "Reports 上报", "Live values": "Live values 实时取数",
	"applications": "Programs 应用身份", "codes": "Codes 编码", "office": "Office 登记机构", "groups": "Groups 身份组", "log-in": "Log-in 登录",
	"ledger": "Ledger 账本", "my account": "My account 我的账户", "users": "Users 用户", "templates": "Templates 元数据模板",
}

// Do adds an operation. f gets the caller by From(ctx); its errors are rendered as problem details.
func Do[I, O any](a *API, op huma.Operation, f func(ctx context.Context, in *I) (*O, error)) {
	if op.OperationID == "" {
		op.OperationID = strings.ToLower(op.Method) + strings.NewReplacer("/api/", "-", "/", "-", "{", "", "}", "", ".", "").Replace(op.Path)
	}
	for i, t := range op.Tags {
		if title := titles[t]; title != "" {
			op.Tags[i] = title
		}
	}
	if len(op.Errors) == 0 {
		op.Errors = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict}
	}
	huma.Register(a.Huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, a.render(ctx, err)
		}
		return out, nil
	})
}

// Handler serves every operation.
func (a *API) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				a.cfg.Log.Error("an operation panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				a.Refuse(w, r, problem.New(problem.Internal, "an operation panicked", "操作异常"))
			}
		}()
		lang := prefer(r.Header.Get("Accept-Language"))
		ctx := With(r.Context(), Caller{Lang: lang})
		var c Caller
		if a.cfg.Identify != nil {
			var err error
			if c, err = a.cfg.Identify(r); err != nil {
				a.Refuse(w, r.WithContext(ctx), err)
				return
			}
		}
		c.Lang, c.Purpose = lang, r.Header.Get("Fujie-Purpose")
		r = r.WithContext(With(r.Context(), c))
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		a.keys.serve(w, r, a.Mux, a)
	})
}

// Serves reports whether an operation answers at the path.
func (a *API) Serves(path string) bool {
	for _, m := range [...]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if _, pattern := a.Mux.Handler(&http.Request{Method: m, URL: urlOf(path), Host: "x"}); pattern != "" {
			return true
		}
	}
	return false
}

func prefer(accept string) problem.Lang {
	zh, en := strings.Index(accept, "zh"), strings.Index(accept, "en")
	if zh >= 0 && (en < 0 || zh < en) {
		return problem.Chinese
	}
	return problem.English
}

// PageInput is embedded in the input of a list.
type PageInput struct {
	After string `query:"after" doc:"The cursor: next of the page before; empty for the first page"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many items at most"`
}

// Page is the body of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Give it as after for the next page; absent on the last one"`
}

// Body wraps a body for an operation's output or input.
type Body[T any] struct{ Body T }

// Tagged is an output with an ETag.
type Tagged[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

// Tag is v with its ETag.
func Tag[T any](v T) *Tagged[T] { return &Tagged[T]{ETag: ETag(v), Body: v} }

// ETag is a strong tag of v's JSON.
func ETag(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	h := sha256.Sum256(b)
	return `"` + base64.RawURLEncoding.EncodeToString(h[:12]) + `"`
}

// Match checks the header If-Match against what is there: problem.Conflict when somebody changed it meanwhile. An
// empty header matches.
func Match(ifMatch string, v any) error {
	if ifMatch == "" || ifMatch == "*" {
		return nil
	}
	tag := ETag(v)
	for t := range strings.SplitSeq(ifMatch, ",") {
		if strings.TrimSpace(t) == tag {
			return nil
		}
	}
	return problem.New(problem.Conflict, "it was changed since you read it: read it again, then change it", "自您读取后它已被更改：请重新读取后再修改")
}
