package account

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trust"
)

// LoginResult is what POST /api/login answers.
type LoginResult struct {
	Token   string     `json:"token,omitempty" doc:"Send it as Authorization: Bearer (登录令牌)"`
	Expires *time.Time `json:"expires,omitempty"`
	User    string     `json:"user,omitempty" doc:"The account's identifier"`
	Roles   []api.Role `json:"roles,omitempty"`
	Ticket  string     `json:"ticket,omitempty" doc:"The password was right and a one-time code is wanted: POST /api/login/totp with this, within five minutes"`
}

// loginAnswer is a log-in's result, with the cookie when a browser is to keep the token.
type loginAnswer struct {
	Cookie string `header:"Set-Cookie"`
	Body   LoginResult
}

// result answers a log-in. A browser that asks for a cookie never shows the token to scripts.
func (a *Accounts) result(s Step, cookie bool) *loginAnswer {
	r := &loginAnswer{Body: LoginResult{Ticket: s.Ticket}}
	if s.Session == nil {
		return r
	}
	r.Body.Token, r.Body.Expires, r.Body.User, r.Body.Roles = s.Token, &s.Expires, s.User, s.Roles
	if cookie {
		r.Cookie, r.Body.Token = a.sessionCookie(s.Token, int(s.Expires.Sub(a.cfg.Now())/time.Second)).String(), ""
	}
	return r
}

// SessionCookie is the name of the cookie that keeps a session at the node of a prefix: cookies know no ports, and several
// nodes may stand on one host.
func SessionCookie(prefix string) string {
	sum := sha256.Sum256([]byte(prefix))
	return "fujie-" + hex.EncodeToString(sum[:4])
}

// sessionCookie never leaves over plain HTTP, is seen by no script, and comes with no request that another site causes.
func (a *Accounts) sessionCookie(token string, age int) *http.Cookie {
	return &http.Cookie{Name: SessionCookie(a.prefix), Value: token, Path: "/", MaxAge: age, HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode}
}

// loggedOut takes the cookie away.
type loggedOut struct {
	Cookie string `header:"Set-Cookie"`
}

// KeyView is a public key and where it stands.
type KeyView struct {
	Identity    string     `json:"identity" doc:"Who signs with it: 300:88.118.1001/App_erp"`
	Algorithm   string     `json:"algorithm"`
	Fingerprint string     `json:"fingerprint"`
	Made        *time.Time `json:"made,omitempty"`
	Until       *time.Time `json:"until,omitempty" doc:"An old key holds until then"`
}

// PasskeyView is a passkey as its owner sees it.
type PasskeyView struct {
	ID    string    `json:"id"`
	Title string    `json:"title,omitempty"`
	Made  time.Time `json:"made"`
}

// UserView is a user without secrets.
type UserView struct {
	ID         string        `json:"id" doc:"The account's identifier"`
	Title      string        `json:"title,omitempty"`
	Email      string        `json:"email,omitempty"`
	Roles      []api.Role    `json:"roles,omitempty" doc:"Its own roles (角色)"`
	AllRoles   []api.Role    `json:"allRoles,omitempty" doc:"With those of groups and log-in providers"`
	Disabled   bool          `json:"disabled,omitempty"`
	Made       time.Time     `json:"made"`
	Invited    bool          `json:"invited,omitempty" doc:"An invitation is open"`
	Password   bool          `json:"password" doc:"It has a password"`
	TOTP       bool          `json:"totp" doc:"One-time codes are on (动态口令)"`
	Recovery   int           `json:"recoveryCodes,omitempty" doc:"How many recovery codes are left"`
	Passkeys   []PasskeyView `json:"passkeys,omitempty" doc:"通行密钥"`
	Providers  []string      `json:"providers,omitempty" doc:"Where else it logs in"`
	Key        *KeyView      `json:"key,omitempty"`
	Invitation string        `json:"invitation,omitempty" doc:"Shown once: for POST /api/invitations/accept within seven days"`
}

func userView(v id.ID, u User, now time.Time) UserView {
	x := UserView{ID: v.String(), Title: u.Title, Email: u.Email, Roles: u.Roles, Disabled: u.Disabled, Made: u.Made, Password: u.Password != "",
		TOTP: u.TOTP != nil, Invited: u.Invite != nil && now.Before(u.Invite.Until), Key: keyView(v, indexKey, u.Key, time.Time{}, time.Time{})}
	if u.TOTP != nil {
		x.Recovery = len(u.TOTP.Recovery)
	}
	for _, p := range u.Passkeys {
		x.Passkeys = append(x.Passkeys, PasskeyView{base64.RawURLEncoding.EncodeToString(p.Cred.ID), p.Title, p.Made})
	}
	for _, l := range u.Links {
		x.Providers = append(x.Providers, l.Provider)
	}
	return x
}

func keyView(v id.ID, index uint32, data []byte, made, until time.Time) *KeyView {
	k, err := trust.ParsePublic(data)
	if len(data) == 0 || err != nil {
		return nil
	}
	x := &KeyView{Identity: record.Ref{Index: index, Name: v.String()}.String(), Algorithm: string(k.Algorithm()), Fingerprint: k.Fingerprint()}
	if !made.IsZero() {
		x.Made = &made
	}
	if !until.IsZero() {
		x.Until = &until
	}
	return x
}

// AppView is a program's account.
type AppView struct {
	ID         string     `json:"id"`
	Title      string     `json:"title,omitempty"`
	Roles      []api.Role `json:"roles,omitempty"`
	Made       time.Time  `json:"made"`
	Revoked    bool       `json:"revoked,omitempty"`
	Keys       []KeyView  `json:"keys,omitempty"`
	PrivateKey string     `json:"privateKey,omitempty" doc:"Shown once, when the node made it: PKCS #8 in PEM. Keep it; the node does not"`
}

func appView(v id.ID, x App) AppView {
	out := AppView{ID: v.String(), Title: x.Title, Roles: x.Roles, Made: x.Made, Revoked: x.Disabled}
	for _, k := range x.Keys {
		if kv := keyView(v, k.Index, k.Data, k.Made, k.Until); kv != nil {
			out.Keys = append(out.Keys, *kv)
		}
	}
	return out
}

// GroupView is a group.
type GroupView struct {
	ID      string     `json:"id"`
	Title   string     `json:"title,omitempty"`
	Roles   []api.Role `json:"roles,omitempty" doc:"What every member is"`
	Members []string   `json:"members,omitempty" doc:"Identifiers of users and programs, of any enterprise; a bare prefix is everybody under it"`
	Private bool       `json:"private,omitempty" doc:"Who is in it is not shown to everybody"`
	Made    time.Time  `json:"made"`
}

func groupView(v id.ID, g Group) GroupView {
	return GroupView{v.String(), g.Title, g.Roles, g.Members, g.Private, g.Made}
}

// Named is an account in an address.
type Named struct {
	Prefix string `path:"prefix" doc:"The account's prefix, as 88.118.1001"`
	Name   string `path:"name" doc:"What stands behind User_, App_ or Group_"`
}

type prefixed struct {
	Prefix string `query:"prefix" doc:"Accounts of this prefix; the node's own when absent"`
	api.PageInput
}

// KeyInput is how an interface takes a public key: PEM, JWK text, or none and an algorithm.
type KeyInput struct {
	PublicKey string `json:"publicKey,omitempty" doc:"PEM or JSON Web Key; absent: the node makes a pair and shows the private half once"`
	Algorithm string `json:"algorithm,omitempty" enum:"ed25519,p256,sm2,rsa" doc:"Of the pair that the node makes; ed25519 when absent"`
}

// read gives the public key, and the private one if it was made here.
func (a *Accounts) readKey(in KeyInput) (pub trust.PublicKey, private string, err error) {
	if in.PublicKey != "" {
		pub, err = trust.ParsePublicAny([]byte(in.PublicKey))
		return pub, "", err
	}
	alg := trust.Ed25519
	if in.Algorithm != "" {
		if alg, err = trust.ParseAlgorithm(in.Algorithm); err != nil {
			return pub, "", err
		}
	}
	a.randMu.Lock()
	k, err := trust.Generate(alg, a.cfg.Rand)
	a.randMu.Unlock()
	if err != nil {
		return pub, "", err
	}
	pem, err := k.MarshalPEM()
	return k.Public(), string(pem), err
}

// managers may change the accounts of a prefix; readers may look at them.
var (
	managers = []api.RoleName{api.Operator, api.EnterpriseAdmin}
	readers  = []api.RoleName{api.Operator, api.EnterpriseAdmin, api.Auditor}
)

func (a *Accounts) at(ctx context.Context, prefix string, roles []api.RoleName) (*place, api.Caller, error) {
	if prefix == "" {
		prefix = a.cfg.Prefix
	}
	c := api.From(ctx)
	if err := c.Need(prefix, roles...); err != nil {
		return nil, c, err
	}
	p, err := a.place(ctx, prefix)
	return p, c, err
}

func list[T, V any](s *document.Shelf[T], in *prefixed, view func(id.ID, T) V) *api.Body[api.Page[V]] {
	page, next := s.Page(in.After, in.Limit, nil)
	out := api.Page[V]{Items: make([]V, 0, len(page)), Next: next}
	for _, x := range page {
		out.Items = append(out.Items, view(x.ID, x.Paper))
	}
	return &api.Body[api.Page[V]]{Body: out}
}

const (
	tagLogin  = "log-in"
	tagMe     = "my account"
	tagUsers  = "users"
	tagApps   = "applications"
	tagGroups = "groups"
)

// Register adds the operations about accounts to the node's interface.
func (a *Accounts) Register(to *api.API) {
	a.registerLogin(to)
	a.registerMe(to)
	a.registerUsers(to)
	a.registerApps(to)
	a.registerGroups(to)
}

func (a *Accounts) registerLogin(to *api.API) {
	private := huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		if r, w := humago.Unwrap(ctx); a.plain(r) {
			to.Refuse(w, r, overPlain())
			return
		}
		next(ctx)
	}}
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/login", Middlewares: private, Summary: "Log in with a password (登录)", Tags: []string{tagLogin},
		Description: "Answers a token for a day, or, when the account has one-time codes and none was given, a ticket for POST /api/login/totp. After five wrong attempts the next ones have to wait, longer each time."},
		func(ctx context.Context, in *struct {
			Body struct {
				User     string `json:"user" maxLength:"512" doc:"88.118.1001/User_li, or li at the node's own prefix"`
				Password string `json:"password" maxLength:"2048"`
				Code     string `json:"code,omitempty" maxLength:"64" doc:"One-time or recovery code"`
				Cookie   bool   `json:"cookie,omitempty" doc:"Keep the token in a cookie that no script reads, for the node's own pages (浏览器会话)"`
			}
		}) (*loginAnswer, error) {
			s, err := a.Login(ctx, in.Body.User, in.Body.Password, in.Body.Code)
			if err != nil {
				return nil, err
			}
			return a.result(s, in.Body.Cookie), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/login/totp", Middlewares: private, Summary: "Finish a log-in with a one-time code (动态口令)", Tags: []string{tagLogin}},
		func(ctx context.Context, in *struct {
			Body struct {
				Ticket string `json:"ticket" maxLength:"64"`
				Code   string `json:"code" maxLength:"64" doc:"One-time or recovery code"`
				Cookie bool   `json:"cookie,omitempty" doc:"As for POST /api/login"`
			}
		}) (*loginAnswer, error) {
			s, err := a.Second(ctx, in.Body.Ticket, in.Body.Code)
			if err != nil {
				return nil, err
			}
			return a.result(s, in.Body.Cookie), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/login/ticket", Middlewares: private, Summary: "Turn the ticket of a log-in elsewhere into a token", Tags: []string{tagLogin},
		Description: "A log-in at a provider that was begun with ?return=/path ends there with ?ticket=…, good once within a minute."},
		func(ctx context.Context, in *struct {
			Body struct {
				Ticket string `json:"ticket" maxLength:"64"`
				Cookie bool   `json:"cookie,omitempty" doc:"As for POST /api/login"`
			}
		}) (*loginAnswer, error) {
			x, ok := a.pending.take(in.Body.Ticket, "ticket")
			if !ok {
				return nil, problem.New(problem.AuthFailed, "the ticket is used or over: log in again", "票据已使用或已过期：请重新登录")
			}
			return a.result(Step{Session: x.(*Session)}, in.Body.Cookie), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/logout", Summary: "End a session (退出)", Tags: []string{tagLogin}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			Authorization string `header:"Authorization"`
			Cookie        string `header:"Cookie" hidden:"true"`
			Everywhere    bool   `query:"everywhere" doc:"End all sessions of the account"`
		}) (*loggedOut, error) {
			scheme, token, ok := strings.Cut(in.Authorization, " ")
			if ok && strings.EqualFold(scheme, "Bearer") {
				return &loggedOut{}, a.Logout(ctx, token, in.Everywhere)
			}
			// The caller is somebody only when the cookie came from this node's own page.
			kept, err := (&http.Request{Header: http.Header{"Cookie": {in.Cookie}}}).Cookie(SessionCookie(a.prefix))
			if err != nil || api.From(ctx).IsAnonymous() {
				return nil, problem.New(problem.NeedAuth, "there is no session to end: send its token as Authorization: Bearer", "没有可结束的会话：请以 Authorization: Bearer 发送其令牌")
			}
			return &loggedOut{a.sessionCookie("", -1).String()}, a.Logout(ctx, kept.Value, in.Everywhere)
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/invitations/accept", Middlewares: private, Summary: "Set a password with an invitation (邀请)", Tags: []string{tagLogin}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			Body struct {
				User       string `json:"user" maxLength:"512"`
				Invitation string `json:"invitation" maxLength:"128"`
				Password   string `json:"password" maxLength:"2048" doc:"10 to 256 characters"`
			}
		}) (*struct{}, error) {
			return nil, a.AcceptInvite(ctx, in.Body.User, in.Body.Invitation, in.Body.Password)
		})
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/login/providers", Summary: "Where else one can log in (单点登录)", Tags: []string{tagLogin}},
		func(ctx context.Context, _ *struct{}) (*api.Body[api.Page[ProviderView]], error) {
			page := api.Page[ProviderView]{Items: []ProviderView{}}
			for _, p := range a.cfg.Providers {
				page.Items = append(page.Items, ProviderView{p.Name, p.Issuer, "/api/login/oidc/" + p.Name})
			}
			return &api.Body[api.Page[ProviderView]]{Body: page}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/roles", Summary: "The roles there are (角色)", Tags: []string{tagUsers},
		Description: "A role holds at a prefix and below it. Accounts are given them by PATCH /api/users, /api/groups, and when they are made."},
		func(ctx context.Context, _ *struct{}) (*api.Body[api.Page[RoleView]], error) {
			return &api.Body[api.Page[RoleView]]{Body: api.Page[RoleView]{Items: roleViews}}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/login/passkey/begin", Summary: "Begin a log-in with a passkey (通行密钥)", Tags: []string{tagLogin}},
		func(ctx context.Context, _ *struct{}) (*api.Body[Ceremony], error) {
			options, ticket, err := a.BeginPasskeyLogin()
			if err != nil {
				return nil, err
			}
			return &api.Body[Ceremony]{Body: Ceremony{ticket, options}}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/login/passkey", Middlewares: private, Summary: "Log in with a passkey", Tags: []string{tagLogin}},
		func(ctx context.Context, in *struct{ Body PasskeyLogin }) (*loginAnswer, error) {
			answer, err := json.Marshal(in.Body.Answer)
			if err != nil {
				return nil, err
			}
			s, err := a.PasskeyLogin(ctx, in.Body.Ticket, answer)
			if err != nil {
				return nil, err
			}
			return a.result(Step{Session: s}, in.Body.Cookie), nil
		})
	to.Mux.HandleFunc("GET /api/login/oidc/{provider}", func(w http.ResponseWriter, r *http.Request) {
		if a.plain(r) {
			to.Refuse(w, r, overPlain())
			return
		}
		address, cookie, err := a.Leave(r.Context(), r.PathValue("provider"), r.URL.Query().Get("return"), id.ID{})
		if err != nil {
			to.Refuse(w, r, err)
			return
		}
		http.SetCookie(w, a.cookie(cookie, int(2*stepLife/time.Second)))
		http.Redirect(w, r, address, http.StatusSeeOther)
	})
	to.Mux.HandleFunc("GET /api/login/oidc/{provider}/callback", func(w http.ResponseWriter, r *http.Request) {
		if a.plain(r) {
			to.Refuse(w, r, overPlain())
			return
		}
		c, err := r.Cookie(cookieName)
		if err != nil {
			c = &http.Cookie{}
		}
		s, back, err := a.Return(r.Context(), r.PathValue("provider"), r.URL.Query(), c.Value)
		http.SetCookie(w, a.cookie("", -1))
		if err != nil {
			to.Refuse(w, r, err)
			return
		}
		if back == "" {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(a.result(Step{Session: s}, false).Body)
			return
		}
		ticket := a.code(16)
		if err := a.pending.put(ticket, "ticket", time.Minute, s); err != nil {
			to.Refuse(w, r, err)
			return
		}
		u, _ := url.Parse(back) // Leave has read it
		q := u.Query()
		q.Set("ticket", ticket)
		u.RawQuery = q.Encode()
		http.Redirect(w, r, u.String(), http.StatusSeeOther)
	})
}

// plain reports whether everybody on the way can read the request, at a node that people reach by HTTPS.
func (a *Accounts) plain(r *http.Request) bool {
	return r.TLS == nil && !strings.HasPrefix(a.cfg.Origin, "http:")
}

func overPlain() error {
	return problem.New(problem.NeedAuth, "log in over HTTPS; the same port takes it", "请通过 HTTPS 登录；同一端口即可")
}

const cookieName = "fujie-login"

func (a *Accounts) cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/api/login/oidc/", MaxAge: age, HttpOnly: true, Secure: strings.HasPrefix(a.cfg.Origin, "https:"), SameSite: http.SameSiteLaxMode}
}

// ProviderView is a place to log in.
type ProviderView struct {
	Name   string `json:"name"`
	Issuer string `json:"issuer"`
	Path   string `json:"path" doc:"Where to send the browser; with ?return=/path it comes back there"`
}

// Ceremony is what a browser needs to make or use a passkey (WebAuthn).
type Ceremony struct {
	Ticket  string `json:"ticket"`
	Options any    `json:"options" doc:"For navigator.credentials.create or get"`
}

// CeremonyAnswer is the browser's answer.
type CeremonyAnswer struct {
	Ticket string         `json:"ticket" maxLength:"64"`
	Title  string         `json:"title,omitempty" maxLength:"256" doc:"What to call a new passkey"`
	Answer map[string]any `json:"answer" doc:"PublicKeyCredential.toJSON()"`
}

// PasskeyLogin is the browser's answer at a log-in.
type PasskeyLogin struct {
	CeremonyAnswer
	Cookie bool `json:"cookie,omitempty" doc:"As for POST /api/login"`
}

// RoleView is a role and what it is for.
type RoleView struct {
	Name    api.RoleName `json:"name"`
	Chinese string       `json:"chinese"`
	Meaning string       `json:"meaning"`
}

var roleViews = []RoleView{
	{api.Operator, "运营者", "runs the node: everything at its prefix and below"},
	{api.Reviewer, "审核员", "vets applications for prefixes"},
	{api.EnterpriseAdmin, "企业管理员", "manages one enterprise's prefix: its accounts, templates, rules"},
	{api.EnterpriseUser, "企业用户", "registers and edits under it"},
	{api.Application, "应用", "a program of the enterprise"},
	{api.Auditor, "审计员", "reads accounts, audit trails and ledgers, changes nothing"},
	{api.Regulator, "监管", "sees reports and states of all below, changes nothing"},
}

func (a *Accounts) registerMe(to *api.API) {
	me := func(ctx context.Context) (id.ID, api.Caller, error) {
		c := api.From(ctx)
		v, err := own(c)
		return v, c, err
	}
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/me", Summary: "Who I am, and my roles (我的账户)", Tags: []string{tagMe}},
		func(ctx context.Context, _ *struct{}) (*api.Body[MeView], error) {
			c := api.From(ctx)
			if c.IsAnonymous() {
				return nil, problem.New(problem.NeedAuth, "log in first, or sign the request", "请先登录或对请求签名")
			}
			out := MeView{Roles: c.Roles, Operator: c.Operator}
			if !c.IsZero() {
				out.Identity = c.Ref.String()
			}
			if v, err := own(c); err == nil {
				if u, err := a.user(ctx, v); err == nil {
					x := userView(v, u, a.cfg.Now())
					out.Account = &x
				}
			}
			return &api.Body[MeView]{Body: out}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/me/password", Summary: "Change my password; ends all my sessions (修改密码)", Tags: []string{tagMe}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			Body struct {
				Old string `json:"old" maxLength:"2048"`
				New string `json:"new" maxLength:"2048"`
			}
		}) (*struct{}, error) {
			v, _, err := me(ctx)
			if err != nil {
				return nil, err
			}
			return nil, a.SetPassword(ctx, v, in.Body.Old, in.Body.New)
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/me/totp", Summary: "Begin with one-time codes", Tags: []string{tagMe}},
		func(ctx context.Context, _ *struct{}) (*api.Body[Enrolment], error) {
			v, _, err := me(ctx)
			if err != nil {
				return nil, err
			}
			e, err := a.BeginTOTP(ctx, v)
			return &api.Body[Enrolment]{Body: e}, err
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/me/totp/confirm", Summary: "Turn one-time codes on; answers recovery codes (恢复码)", Tags: []string{tagMe}},
		func(ctx context.Context, in *struct {
			Body struct {
				Ticket string `json:"ticket" maxLength:"64"`
				Code   string `json:"code" maxLength:"16"`
			}
		}) (*api.Body[RecoveryCodes], error) {
			v, _, err := me(ctx)
			if err != nil {
				return nil, err
			}
			codes, err := a.ConfirmTOTP(ctx, v, in.Body.Ticket, in.Body.Code)
			return &api.Body[RecoveryCodes]{Body: RecoveryCodes{codes}}, err
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/me/totp/remove", Summary: "Turn one-time codes off", Tags: []string{tagMe}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			Body struct {
				Code string `json:"code" maxLength:"64"`
			}
		}) (*struct{}, error) {
			v, _, err := me(ctx)
			if err != nil {
				return nil, err
			}
			return nil, a.RemoveTOTP(ctx, v, in.Body.Code)
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/me/passkeys/begin", Summary: "Begin a new passkey", Tags: []string{tagMe}},
		func(ctx context.Context, _ *struct{}) (*api.Body[Ceremony], error) {
			v, _, err := me(ctx)
			if err != nil {
				return nil, err
			}
			options, ticket, err := a.BeginPasskey(ctx, v)
			if err != nil {
				return nil, err
			}
			return &api.Body[Ceremony]{Body: Ceremony{ticket, options}}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/me/passkeys", Summary: "Keep a new passkey", Tags: []string{tagMe}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct{ Body CeremonyAnswer }) (*struct{}, error) {
			v, _, err := me(ctx)
			if err != nil {
				return nil, err
			}
			answer, err := json.Marshal(in.Body.Answer)
			if err != nil {
				return nil, err
			}
			return nil, a.FinishPasskey(ctx, v, in.Body.Ticket, in.Body.Title, answer)
		})
	api.Do(to, huma.Operation{Method: http.MethodDelete, Path: "/api/me/passkeys/{id}", Summary: "Forget a passkey", Tags: []string{tagMe}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"2048"`
		}) (*struct{}, error) {
			v, _, err := me(ctx)
			if err != nil {
				return nil, err
			}
			return nil, a.RemovePasskey(ctx, v, in.ID)
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/me/links/{provider}", Summary: "Link my account with one elsewhere", Tags: []string{tagMe}},
		func(ctx context.Context, in *struct {
			Provider string `path:"provider"`
			Return   string `query:"return" doc:"A path of this node to go to afterwards"`
		}) (*linking, error) {
			v, _, err := me(ctx)
			if err != nil {
				return nil, err
			}
			address, cookie, err := a.Leave(ctx, in.Provider, in.Return, v)
			if err != nil {
				return nil, err
			}
			return &linking{Cookie: a.cookie(cookie, int(2*stepLife/time.Second)).String(), Body: Address{address}}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodDelete, Path: "/api/me/links/{provider}", Summary: "Remove such a link", Tags: []string{tagMe}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			Provider string `path:"provider"`
		}) (*struct{}, error) {
			v, c, err := me(ctx)
			if err != nil {
				return nil, err
			}
			return nil, a.unlink(ctx, c.Identity, v, in.Provider)
		})
}

type linking struct {
	Cookie string `header:"Set-Cookie"`
	Body   Address
}

// Address is where to send a browser.
type Address struct {
	URL string `json:"url"`
}

// RecoveryCodes are shown once.
type RecoveryCodes struct {
	Codes []string `json:"recoveryCodes" doc:"Each is good once in the place of a one-time code. Shown once: print them"`
}

// MeView is who the caller is.
type MeView struct {
	Identity string     `json:"identity,omitempty" doc:"index:identifier"`
	Operator bool       `json:"operator,omitempty" doc:"The node's own operator"`
	Roles    []api.Role `json:"roles,omitempty"`
	Account  *UserView  `json:"account,omitempty" doc:"When it is a user's account of this node"`
}

// NewUserInput makes a user.
type NewUserInput struct {
	Prefix    string     `json:"prefix,omitempty" doc:"The account's prefix; the node's own when absent"`
	Name      string     `json:"name" doc:"li, for User_li"`
	Title     string     `json:"title,omitempty"`
	Email     string     `json:"email,omitempty"`
	Roles     []api.Role `json:"roles,omitempty"`
	Password  string     `json:"password,omitempty" maxLength:"2048" doc:"Absent: an invitation is made"`
	PublicKey string     `json:"publicKey,omitempty" doc:"PEM or JSON Web Key, for who signs requests"`
}

// UserChange changes a user; what is absent stays.
type UserChange struct {
	Title    *string     `json:"title,omitempty"`
	Email    *string     `json:"email,omitempty"`
	Roles    *[]api.Role `json:"roles,omitempty"`
	Disabled *bool       `json:"disabled,omitempty" doc:"true ends every session; the account cannot log in"`
}

func (a *Accounts) registerUsers(to *api.API) {
	view := func(v id.ID, u User) UserView { return userView(v, u, a.cfg.Now()) }
	full := func(ctx context.Context, v id.ID, u User) (UserView, error) {
		x := view(v, u)
		var err error
		x.AllRoles, err = a.Roles(ctx, record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}})
		return x, err
	}
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/users", Summary: "List users (用户)", Tags: []string{tagUsers}},
		func(ctx context.Context, in *prefixed) (*api.Body[api.Page[UserView]], error) {
			p, _, err := a.at(ctx, in.Prefix, readers)
			if err != nil {
				return nil, err
			}
			return list(p.users, in, view), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/users", Summary: "Make a user", Tags: []string{tagUsers}, DefaultStatus: http.StatusCreated,
		Description: "An operator gives any role at the node's prefix and below, an enterprise's administrator those of an enterprise. Without a password the answer has an invitation for the person."},
		func(ctx context.Context, in *struct{ Body NewUserInput }) (*api.Tagged[UserView], error) {
			n := NewUser{Prefix: first(in.Body.Prefix, a.cfg.Prefix), Name: in.Body.Name, Title: in.Body.Title, Email: in.Body.Email, Roles: in.Body.Roles, Password: in.Body.Password}
			p, c, err := a.at(ctx, n.Prefix, managers)
			if err != nil {
				return nil, err
			}
			if in.Body.PublicKey != "" {
				if n.Key, err = trust.ParsePublicAny([]byte(in.Body.PublicKey)); err != nil {
					return nil, err
				}
			}
			v, invitation, err := a.CreateUser(ctx, c, n)
			if err != nil {
				return nil, err
			}
			u, err := p.users.Get(v)
			if err != nil {
				return nil, err
			}
			x := view(v, u)
			tag := api.ETag(x)
			x.Invitation = invitation
			return &api.Tagged[UserView]{ETag: tag, Body: x}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/users/{prefix}/{name}", Summary: "Show a user", Tags: []string{tagUsers}},
		func(ctx context.Context, in *Named) (*api.Tagged[UserView], error) {
			p, _, err := a.at(ctx, in.Prefix, readers)
			if err != nil {
				return nil, err
			}
			v, u, err := find(p.users, in.Name)
			if err != nil {
				return nil, err
			}
			x, err := full(ctx, v, u)
			return &api.Tagged[UserView]{ETag: api.ETag(view(v, u)), Body: x}, err
		})
	api.Do(to, huma.Operation{Method: http.MethodPatch, Path: "/api/users/{prefix}/{name}", Summary: "Change a user", Tags: []string{tagUsers}},
		func(ctx context.Context, in *struct {
			Named
			IfMatch string `header:"If-Match"`
			Body    UserChange
		}) (*api.Tagged[UserView], error) {
			p, c, err := a.at(ctx, in.Prefix, managers)
			if err != nil {
				return nil, err
			}
			v, _, err := find(p.users, in.Name)
			if err != nil {
				return nil, err
			}
			b := in.Body
			u, err := p.users.Change(ctx, c.Identity, v, func(u *User) error {
				if err := api.Match(in.IfMatch, view(v, *u)); err != nil {
					return err
				}
				if err := a.mayTouch(c, p, v); err != nil {
					return err
				}
				if b.Title != nil {
					u.Title = *b.Title
				}
				if b.Email != nil {
					u.Email = *b.Email
				}
				if b.Roles != nil {
					if err := mayGive(c, in.Prefix, *b.Roles); err != nil {
						return err
					}
					u.Roles = *b.Roles
				}
				if b.Disabled != nil && u.Disabled != *b.Disabled {
					u.Disabled = *b.Disabled
					u.Generation++
				}
				return checkTitle(u.Title, u.Email)
			})
			if err != nil {
				return nil, err
			}
			return api.Tag(view(v, u)), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/users/{prefix}/{name}/invite", Summary: "Invite a user again, who forgot the password or lost the second factor", Tags: []string{tagUsers}},
		func(ctx context.Context, in *Named) (*api.Body[UserView], error) {
			p, c, err := a.at(ctx, in.Prefix, managers)
			if err != nil {
				return nil, err
			}
			v, _, err := find(p.users, in.Name)
			if err != nil {
				return nil, err
			}
			if err := a.mayTouch(c, p, v); err != nil {
				return nil, err
			}
			invitation, err := a.Invite(ctx, c.Identity, v)
			if err != nil {
				return nil, err
			}
			u, err := p.users.Get(v)
			if err != nil {
				return nil, err
			}
			x := view(v, u)
			x.Invitation = invitation
			return &api.Body[UserView]{Body: x}, nil
		})
	api.Do(to, huma.Operation{Method: http.MethodDelete, Path: "/api/users/{prefix}/{name}", Summary: "Remove a user", Tags: []string{tagUsers}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *Named) (*struct{}, error) {
			p, c, err := a.at(ctx, in.Prefix, managers)
			if err != nil {
				return nil, err
			}
			v, _, err := find(p.users, in.Name)
			if err != nil {
				return nil, err
			}
			if err := a.mayTouch(c, p, v); err != nil {
				return nil, err
			}
			return nil, p.users.Remove(ctx, c.Identity, v)
		})
}

func find[T any](s *document.Shelf[T], name string) (v id.ID, paper T, err error) {
	if err := checkName(name); err != nil {
		return v, paper, problem.New(problem.NotFound, "there is no account called %.80q: list what there is", "没有名为 %.80q 的账户：请列出已有的", name)
	}
	if v, err = s.ID(name); err != nil {
		return v, paper, err
	}
	paper, err = s.Get(v)
	return v, paper, err
}

// NewAppInput makes a program's account.
type NewAppInput struct {
	Prefix string     `json:"prefix,omitempty" doc:"The account's prefix; the node's own when absent"`
	Name   string     `json:"name" doc:"erp, for App_erp"`
	Title  string     `json:"title,omitempty"`
	Roles  []api.Role `json:"roles,omitempty" doc:"Absent: application at its prefix"`
	KeyInput
}

func (a *Accounts) registerApps(to *api.API) {
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/apps", Summary: "List programs' accounts (应用)", Tags: []string{tagApps}},
		func(ctx context.Context, in *prefixed) (*api.Body[api.Page[AppView]], error) {
			p, _, err := a.at(ctx, in.Prefix, readers)
			if err != nil {
				return nil, err
			}
			return list(p.apps, in, appView), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/apps", Summary: "Make a program's account with its key", Tags: []string{tagApps}, DefaultStatus: http.StatusCreated,
		Description: "The program signs its requests, to any node in the country, as 300:PREFIX/App_NAME (RFC 9421)."},
		func(ctx context.Context, in *struct{ Body NewAppInput }) (*api.Tagged[AppView], error) {
			prefix := first(in.Body.Prefix, a.cfg.Prefix)
			p, c, err := a.at(ctx, prefix, managers)
			if err != nil {
				return nil, err
			}
			key, private, err := a.readKey(in.Body.KeyInput)
			if err != nil {
				return nil, err
			}
			v, err := a.CreateApp(ctx, c, prefix, in.Body.Name, in.Body.Title, in.Body.Roles, key)
			if err != nil {
				return nil, err
			}
			return showApp(p, v, private)
		})
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/apps/{prefix}/{name}", Summary: "Show a program's account", Tags: []string{tagApps}},
		func(ctx context.Context, in *Named) (*api.Tagged[AppView], error) {
			p, _, err := a.at(ctx, in.Prefix, readers)
			if err != nil {
				return nil, err
			}
			v, _, err := find(p.apps, in.Name)
			if err != nil {
				return nil, err
			}
			return showApp(p, v, "")
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/apps/{prefix}/{name}/rotate", Summary: "Give a program a new key (轮换密钥)", Tags: []string{tagApps},
		Description: "The new key stands at index 300 or 301, whichever is free: the program signs as that from now on. Both hold for the overlap. A program may do this for itself, signing with its old key."},
		func(ctx context.Context, in *struct {
			Named
			Body struct {
				Overlap *int `json:"overlapSeconds,omitempty" minimum:"0" maximum:"2592000" doc:"How long the old key still holds, an hour when absent; 0 for a key that was lost"`
				KeyInput
			}
		}) (*api.Tagged[AppView], error) {
			p, c, v, err := a.appFor(ctx, in.Named, true)
			if err != nil {
				return nil, err
			}
			key, private, err := a.readKey(in.Body.KeyInput)
			if err != nil {
				return nil, err
			}
			overlap := DefaultOverlap
			if in.Body.Overlap != nil {
				if overlap = time.Duration(*in.Body.Overlap) * time.Second; overlap == 0 {
					overlap = -1
				}
			}
			if _, err := a.RotateApp(ctx, c.Identity, v, key, overlap); err != nil {
				return nil, err
			}
			return showApp(p, v, private)
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/apps/{prefix}/{name}/revoke", Summary: "Take a program's keys and roles away for good (吊销)", Tags: []string{tagApps},
		Description: "Within five minutes no node believes it any more."},
		func(ctx context.Context, in *Named) (*api.Tagged[AppView], error) {
			p, c, v, err := a.appFor(ctx, *in, false)
			if err != nil {
				return nil, err
			}
			if err := a.RevokeApp(ctx, c.Identity, v); err != nil {
				return nil, err
			}
			return showApp(p, v, "")
		})
}

// appFor is the program that a caller wants to change: its managers, and itself if self.
func (a *Accounts) appFor(ctx context.Context, in Named, self bool) (*place, api.Caller, id.ID, error) {
	c := api.From(ctx)
	if prefix, k, name, ok := split(c.Name); self && ok && k == appName && handle.Equal(prefix, in.Prefix) && handle.Equal(name, in.Name) {
		p, err := a.place(ctx, in.Prefix)
		if err != nil {
			return nil, c, id.ID{}, err
		}
		v, _, err := find(p.apps, in.Name)
		return p, c, v, err
	}
	p, c, err := a.at(ctx, in.Prefix, managers)
	if err != nil {
		return nil, c, id.ID{}, err
	}
	v, _, err := find(p.apps, in.Name)
	if err == nil {
		err = a.mayTouch(c, p, v)
	}
	return p, c, v, err
}

func showApp(p *place, v id.ID, private string) (*api.Tagged[AppView], error) {
	x, err := p.apps.Get(v)
	if err != nil {
		return nil, err
	}
	out := api.Tag(appView(v, x))
	out.Body.PrivateKey = private
	return out, nil
}

// NewGroupInput makes a group.
type NewGroupInput struct {
	Prefix  string     `json:"prefix,omitempty" doc:"The group's prefix; the node's own when absent"`
	Name    string     `json:"name" doc:"partners, for Group_partners"`
	Title   string     `json:"title,omitempty"`
	Roles   []api.Role `json:"roles,omitempty" doc:"What every member is"`
	Members []string   `json:"members,omitempty"`
	Private bool       `json:"private,omitempty"`
}

// GroupChange changes a group; what is absent stays.
type GroupChange struct {
	Title   *string     `json:"title,omitempty"`
	Roles   *[]api.Role `json:"roles,omitempty"`
	Members *[]string   `json:"members,omitempty" doc:"All of them"`
	Add     []string    `json:"add,omitempty" doc:"Members to add"`
	Remove  []string    `json:"remove,omitempty" doc:"Members to remove"`
	Private *bool       `json:"private,omitempty"`
}

func (a *Accounts) registerGroups(to *api.API) {
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/groups", Summary: "List groups (群组)", Tags: []string{tagGroups}},
		func(ctx context.Context, in *prefixed) (*api.Body[api.Page[GroupView]], error) {
			p, _, err := a.at(ctx, in.Prefix, readers)
			if err != nil {
				return nil, err
			}
			return list(p.groups, in, groupView), nil
		})
	api.Do(to, huma.Operation{Method: http.MethodPost, Path: "/api/groups", Summary: "Make a group", Tags: []string{tagGroups}, DefaultStatus: http.StatusCreated},
		func(ctx context.Context, in *struct{ Body NewGroupInput }) (*api.Tagged[GroupView], error) {
			b := in.Body
			prefix := first(b.Prefix, a.cfg.Prefix)
			p, c, err := a.at(ctx, prefix, managers)
			if err != nil {
				return nil, err
			}
			v, err := a.CreateGroup(ctx, c, prefix, b.Name, Group{Title: b.Title, Roles: b.Roles, Members: b.Members, Private: b.Private})
			if err != nil {
				return nil, err
			}
			g, err := p.groups.Get(v)
			return api.Tag(groupView(v, g)), err
		})
	api.Do(to, huma.Operation{Method: http.MethodGet, Path: "/api/groups/{prefix}/{name}", Summary: "Show a group", Tags: []string{tagGroups}},
		func(ctx context.Context, in *Named) (*api.Tagged[GroupView], error) {
			p, _, err := a.at(ctx, in.Prefix, readers)
			if err != nil {
				return nil, err
			}
			v, g, err := find(p.groups, in.Name)
			return api.Tag(groupView(v, g)), err
		})
	api.Do(to, huma.Operation{Method: http.MethodPatch, Path: "/api/groups/{prefix}/{name}", Summary: "Change a group", Tags: []string{tagGroups}},
		func(ctx context.Context, in *struct {
			Named
			IfMatch string `header:"If-Match"`
			Body    GroupChange
		}) (*api.Tagged[GroupView], error) {
			p, c, err := a.at(ctx, in.Prefix, managers)
			if err != nil {
				return nil, err
			}
			v, _, err := find(p.groups, in.Name)
			if err != nil {
				return nil, err
			}
			g, err := a.changeGroup(ctx, c.Identity, v, func(g *Group) error {
				if err := api.Match(in.IfMatch, groupView(v, *g)); err != nil {
					return err
				}
				if err := mayGive(c, in.Prefix, g.Roles); err != nil {
					return err
				}
				return in.Body.apply(c, in.Prefix, g)
			})
			return api.Tag(groupView(v, g)), err
		})
	api.Do(to, huma.Operation{Method: http.MethodDelete, Path: "/api/groups/{prefix}/{name}", Summary: "Remove a group", Tags: []string{tagGroups}, DefaultStatus: http.StatusNoContent},
		func(ctx context.Context, in *Named) (*struct{}, error) {
			p, c, err := a.at(ctx, in.Prefix, managers)
			if err != nil {
				return nil, err
			}
			v, g, err := find(p.groups, in.Name)
			if err != nil {
				return nil, err
			}
			if err := mayGive(c, in.Prefix, g.Roles); err != nil {
				return nil, err
			}
			return nil, p.groups.Remove(ctx, c.Identity, v)
		})
}

func (b GroupChange) apply(c api.Caller, home string, g *Group) error {
	if b.Title != nil {
		if err := checkTitle(*b.Title); err != nil {
			return err
		}
		g.Title = *b.Title
	}
	if b.Roles != nil {
		if err := mayGive(c, home, *b.Roles); err != nil {
			return err
		}
		g.Roles = *b.Roles
	}
	if b.Private != nil {
		g.Private = *b.Private
	}
	members := g.Members
	if b.Members != nil {
		members = *b.Members
	}
	var left []string
	for _, m := range append(append([]string{}, members...), b.Add...) {
		gone := false
		for _, r := range b.Remove {
			gone = gone || handle.Equal(m, r)
		}
		if !gone {
			left = append(left, m)
		}
	}
	var err error
	g.Members, err = checkMembers(left)
	return err
}
