package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Provider is a place where people have accounts already (OpenID Connect Core 1.0): the authorization code flow with
// PKCE, state and nonce. Its redirect address is Origin + /api/login/oidc/NAME/callback.
type Provider struct {
	Name         string   // in addresses: corp
	Issuer       string   // https://login.example.com; its discovery document names the rest
	ClientID     string   // what the provider calls this node
	ClientSecret string   // empty for a public client; read it from a file, never from the configuration itself
	Scopes       []string // openid profile email if nil

	// Prefix is whose users they are here; the node's own if empty. With Create an account is made at the first log-in, named
	// by the claim NameClaim ("preferred_username" if empty); else only accounts that were linked get in.
	Prefix    string
	Create    bool
	NameClaim string
	// Roles says which roles a value of a claim gives. They are given anew at each log-in: what the provider no longer
	// says is gone.
	Roles []ClaimRole
}

// ClaimRole gives Role to those whose Claim is, or is a list with, Value: "groups" with "registry-admins". A dot goes into
// a claim that is an object: "realm_access.roles".
type ClaimRole struct {
	Claim, Value string
	Role         api.Role
}

// parties keeps one relying party a provider, made when it is first needed.
type parties struct {
	mu   sync.Mutex
	made map[string]rp.RelyingParty
}

func (a *Accounts) openProviders() error {
	seen := map[string]bool{}
	for i := range a.cfg.Providers {
		p := &a.cfg.Providers[i]
		if p.Prefix == "" {
			p.Prefix = a.cfg.Prefix
		}
		u, err := url.Parse(p.Issuer)
		switch {
		case checkName(p.Name) != nil || seen[p.Name]:
			return problem.New(problem.BadValue, "%.80q is no name for a log-in provider, or stands twice: take letters and digits", "%.80q 不能作登录提供方名称，或重复：请用字母和数字", p.Name)
		case err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1")):
			return problem.New(problem.BadValue, "the issuer of the log-in provider %s is no https address", "登录提供方 %s 的 issuer 不是 https 地址", p.Name)
		case p.ClientID == "":
			return problem.New(problem.BadValue, "the log-in provider %s has no client ID: register this node there", "登录提供方 %s 没有 client ID：请先在那里登记本节点", p.Name)
		case a.cfg.Origin == "":
			return problem.New(problem.BadValue, "log-in at %s needs the address where people reach this node: configure it", "通过 %s 登录需要本节点的访问地址：请配置", p.Name)
		case p.Scopes != nil && !slices.Contains(p.Scopes, oidc.ScopeOpenID):
			p.Scopes = append([]string{oidc.ScopeOpenID}, p.Scopes...)
		case p.Scopes == nil:
			p.Scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}
		}
		for _, r := range p.Roles {
			if !slices.Contains(roleNames, r.Role.Name) || !within(r.Role.Prefix, p.Prefix) || r.Claim == "" {
				return problem.New(problem.BadValue, "the log-in provider %s gives the role %s at %s, which users of %s cannot have", "登录提供方 %s 授予 %s（%s），而 %s 的用户不能具有该角色",
					p.Name, string(r.Role.Name), r.Role.Prefix, p.Prefix)
			}
		}
		seen[p.Name] = true
	}
	return nil
}

func (a *Accounts) provider(name string) (*Provider, error) {
	for i := range a.cfg.Providers {
		if a.cfg.Providers[i].Name == name {
			return &a.cfg.Providers[i], nil
		}
	}
	return nil, problem.New(problem.NotFound, "there is no log-in provider %.80q: GET /api/login/providers lists them", "没有登录提供方 %.80q：GET /api/login/providers 可列出", name)
}

// limited reads no more than a megabyte of what a provider answers.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, 1<<20)
	}
	return resp, err
}

type nonceKey struct{}

// party reads the provider's discovery document, once it answers.
func (a *Accounts) party(ctx context.Context, p *Provider) (rp.RelyingParty, error) {
	a.parties.mu.Lock()
	x := a.parties.made[p.Name]
	a.parties.mu.Unlock()
	if x != nil {
		return x, nil
	}
	// Outside the lock: a provider that hangs holds up nobody else.
	x, err := rp.NewRelyingPartyOIDC(ctx, p.Issuer, p.ClientID, p.ClientSecret, strings.TrimSuffix(a.cfg.Origin, "/")+"/api/login/oidc/"+p.Name+"/callback", p.Scopes,
		rp.WithHTTPClient(a.cfg.HTTP), rp.WithSigningAlgsFromDiscovery(),
		rp.WithVerifierOpts(rp.WithNonce(func(ctx context.Context) string {
			n, _ := ctx.Value(nonceKey{}).(string)
			return n
		})))
	if err != nil {
		a.cfg.Log.Error("a log-in provider does not answer", "provider", p.Name, "err", err)
		return nil, problem.New(problem.Unreachable, "the log-in provider %s does not answer: try again later, or log in with a password", "登录提供方 %s 无应答：请稍后再试，或用密码登录", p.Name)
	}
	a.parties.mu.Lock()
	defer a.parties.mu.Unlock()
	if a.parties.made == nil {
		a.parties.made = map[string]rp.RelyingParty{}
	}
	a.parties.made[p.Name] = x
	return x, nil
}

// visit is a browser that was sent to a provider.
type visit struct {
	provider, nonce, verifier, back string
	browser                         []byte // SHA-256 of its cookie
	link                            id.ID  // the account to link, if any
}

// Leave is where to send the browser, and the cookie by which it is known again. back is a path of this node to go to
// afterwards, or empty; link, if not zero, is the account that the other one is to be linked to.
func (a *Accounts) Leave(ctx context.Context, provider, back string, link id.ID) (to, cookie string, err error) {
	p, err := a.provider(provider)
	if err != nil {
		return "", "", err
	}
	if back != "" && !localPath(back) {
		return "", "", problem.New(problem.BadRequest, "return is no path of this node: begin it with one slash", "return 不是本节点的路径：请以单个斜杠开头")
	}
	x, err := a.party(ctx, p)
	if err != nil {
		return "", "", err
	}
	state := a.code(24)
	v := visit{provider: provider, nonce: a.code(16), verifier: a.code(32), back: back, link: link}
	cookie = a.code(24)
	v.browser = fingerprint(cookie)
	if err := a.pending.put(state, "oidc", 2*stepLife, v); err != nil {
		return "", "", err
	}
	challenge := sha256.Sum256([]byte(v.verifier))
	to = rp.AuthURL(state, x, rp.WithCodeChallenge(base64.RawURLEncoding.EncodeToString(challenge[:])), func() []oauth2.AuthCodeOption {
		return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("nonce", v.nonce)}
	})
	return to, cookie, nil
}

// localPath reports whether a browser that is sent to s stays here.
func localPath(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.ContainsAny(s, "\\\r\n\t") && len(s) < 2048
}

// Return is the browser back from the provider with its answer: a session, and the path that Leave was given. Errors:
// problem.AuthFailed, problem.Forbidden for somebody without an account here.
func (a *Accounts) Return(ctx context.Context, provider string, answer url.Values, cookie string) (s *Session, back string, err error) {
	failed := func(en, zh string, args ...any) error { return problem.New(problem.AuthFailed, en, zh, args...) }
	got, ok := a.pending.take(answer.Get("state"), "oidc")
	if !ok {
		return nil, "", failed("the log-in took too long, or was begun elsewhere: begin again", "登录已超时，或并非在此发起：请重新开始")
	}
	v := got.(visit)
	if v.provider != provider || subtle.ConstantTimeCompare(fingerprint(cookie), v.browser) != 1 {
		return nil, "", failed("the log-in was begun in another browser: begin again", "登录是在另一浏览器中发起的：请重新开始")
	}
	if e := answer.Get("error"); e != "" {
		return nil, "", failed("the log-in provider %s refused: %.100q", "登录提供方 %s 拒绝：%.100q", provider, e)
	}
	p, err := a.provider(provider)
	if err != nil {
		return nil, "", err
	}
	x, err := a.party(ctx, p)
	if err != nil {
		return nil, "", err
	}
	if iss := answer.Get("iss"); iss != "" && iss != p.Issuer { // RFC 9207
		return nil, "", failed("the answer is from another log-in provider: begin again", "应答来自另一登录提供方：请重新开始")
	}
	tokens, err := rp.CodeExchange[*oidc.IDTokenClaims](context.WithValue(ctx, nonceKey{}, v.nonce), answer.Get("code"), x, rp.WithCodeVerifier(v.verifier))
	if err != nil {
		a.cfg.Log.Warn("a log-in at a provider did not hold", "provider", provider, "err", err)
		return nil, "", failed("the answer of the log-in provider %s does not hold: begin again; the node's log says why", "登录提供方 %s 的应答无效：请重新开始；原因见节点日志", provider)
	}
	c := tokens.IDTokenClaims
	// Groups and the like often stand in the user info only.
	claims := map[string]any{}
	if x.UserinfoEndpoint() != "" && tokens.AccessToken != "" {
		info, err := rp.Userinfo[*oidc.UserInfo](ctx, tokens.AccessToken, tokens.TokenType, c.Subject, x)
		if err == nil {
			for k, val := range info.Claims {
				claims[k] = val
			}
			claims["preferred_username"], claims["email"], claims["name"] = info.PreferredUsername, info.Email, info.Name
		}
	}
	for k, val := range c.Claims {
		claims[k] = val
	}
	u, user, err := a.arrive(ctx, p, c.Subject, claims, v.link)
	if err != nil {
		return nil, "", err
	}
	s, err = a.session(ctx, user, u, "fed")
	return s, v.back, err
}

// arrive finds or makes the account of somebody who proved at p to be subject, and writes down what p says of their
// roles.
func (a *Accounts) arrive(ctx context.Context, p *Provider, subject string, claims map[string]any, to id.ID) (User, id.ID, error) {
	if subject == "" || len(subject) > 255 {
		return User{}, to, problem.New(problem.AuthFailed, "the log-in provider %s does not say who it is", "登录提供方 %s 未说明身份", p.Name)
	}
	at, err := a.place(ctx, p.Prefix)
	if err != nil {
		return User{}, to, err
	}
	l := link{Provider: p.Name, Subject: subject, Roles: rolesOf(p, claims)}
	same := func(o link) bool { return o.Provider == l.Provider && o.Subject == l.Subject }
	found, is := at.users.Find(func(_ id.ID, u User) bool { return slices.ContainsFunc(u.Links, same) })
	who := func(v id.ID) record.Identity {
		return record.Identity{Ref: record.Ref{Index: indexLogin, Name: v.String()}}
	}
	set := func(u *User) error {
		if u.Disabled {
			return problem.New(problem.Forbidden, "this account is not in use: ask its operator", "该账户已停用：请联系运营者")
		}
		u.Links = append(slices.DeleteFunc(u.Links, same), l)
		return nil
	}
	switch {
	case is && to != (id.ID{}) && found.ID != to:
		return User{}, to, problem.New(problem.Exists, "that account at %s is linked to another one here: log in with it, and remove the link", "在 %s 的该账户已关联此处另一账户：请用它登录后解除关联", p.Name)
	case is:
		for _, o := range found.Paper.Links {
			if same(o) && slices.Equal(o.Roles, l.Roles) && !found.Paper.Disabled {
				return found.Paper, found.ID, nil
			}
		}
		u, err := at.users.Change(ctx, who(found.ID), found.ID, set)
		return u, found.ID, err
	case to != (id.ID{}):
		u, err := a.changeUser(ctx, who(to), to, set)
		return u, to, err
	case !p.Create:
		return User{}, to, problem.New(problem.Forbidden, "there is no account here for you: ask the operator for an invitation, then link it with %s", "此处没有您的账户：请向运营者索取邀请，再与 %s 关联", p.Name)
	}
	name := accountName(text(claims[first(p.NameClaim, "preferred_username")]), text(claims["email"]), subject)
	u := User{Title: clip(text(claims["name"]), 200), Email: clip(text(claims["email"]), 200), Made: a.cfg.Now(), Links: []link{l}}
	if checkTitle(u.Title, u.Email) != nil {
		u.Title, u.Email = "", ""
	}
	for n := 1; ; n++ {
		try := name
		if n > 1 {
			try = fmt.Sprintf("%s-%d", name, n)
		}
		v, err := at.users.ID(try)
		if err != nil {
			return User{}, v, err
		}
		switch err := at.users.Create(ctx, who(v), v, u); {
		case err == nil:
			return u, v, nil
		case !problem.Is(err, problem.Exists) || n == 100:
			return User{}, v, err
		}
	}
}

// accountName makes a name that checkName takes out of the first of texts that gives one.
func accountName(texts ...string) string {
	for _, t := range texts {
		t, _, _ = strings.Cut(t, "@")
		var b strings.Builder
		for _, r := range t {
			if b.Len() >= 56 {
				break
			}
			if nameRule.MatchString(string(r)) || b.Len() > 0 && strings.ContainsRune("._-", r) {
				b.WriteRune(r)
			}
		}
		if name := b.String(); checkName(name) == nil {
			return name
		}
	}
	return "guest"
}

// rolesOf is the roles that a provider's claims give.
func rolesOf(p *Provider, claims map[string]any) []api.Role {
	var roles []api.Role
	for _, m := range p.Roles {
		var at any = claims
		for part := range strings.SplitSeq(m.Claim, ".") {
			o, _ := at.(map[string]any)
			at = o[part]
		}
		if at == nil {
			at = claims[m.Claim] // a claim whose name has dots, as addresses do
		}
		list, ok := at.([]any)
		if !ok {
			list = []any{at}
		}
		for _, val := range list {
			if val != nil && fmt.Sprint(val) == m.Value && !slices.Contains(roles, m.Role) {
				roles = append(roles, m.Role)
			}
		}
	}
	return roles
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n/4 {
		return string(r[:n/4])
	}
	return s
}

// unlink removes the links of an account with a provider. The last way in stays.
func (a *Accounts) unlink(ctx context.Context, by record.Identity, v id.ID, provider string) error {
	_, err := a.changeUser(ctx, by, v, func(u *User) error {
		n := len(u.Links)
		u.Links = slices.DeleteFunc(u.Links, func(l link) bool { return l.Provider == provider })
		switch {
		case len(u.Links) == n:
			return problem.New(problem.NotFound, "the account is not linked with %.80q", "该账户未与 %.80q 关联", provider)
		case len(u.Links) == 0 && u.Password == "" && len(u.Passkeys) == 0:
			return problem.New(problem.BadRequest, "this is the only way into the account: make a passkey or a password first", "这是进入该账户的唯一方式：请先建立通行密钥或密码")
		}
		return nil
	})
	return err
}
