package account

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// corp is a true OpenID provider, in this process, on a port of its own.
func corp(t *testing.T, redirect string) *httptest.Server {
	t.Helper()
	var h http.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	users := storage.NewUserStore(srv.URL)
	client := storage.WebClient("fujie", "a secret of both", redirect)
	h = exampleop.SetupServer(srv.URL, storage.NewStorageWithClients(users, map[string]*storage.Client{"fujie": client}), slog.New(slog.DiscardHandler), false)
	return srv
}

// withCorp is a world whose people also log in at corp.
func withCorp(t *testing.T, change func(*Provider)) *world {
	return newWorld(t, func(c *Config) {
		op := corp(t, c.Origin+"/api/login/oidc/corp/callback")
		p := Provider{Name: "corp", Issuer: op.URL, ClientID: "fujie", ClientSecret: "a secret of both", Prefix: "88.118.1001", Create: true,
			Scopes: []string{"profile", "email", "custom_scope"},
			Roles: []ClaimRole{{"custom_claim.client", "fujie", api.Role{Name: api.EnterpriseUser, Prefix: "88.118.1001"}},
				{"custom_claim.client", "other", api.Role{Name: api.EnterpriseAdmin, Prefix: "88.118.1001"}}}}
		if change != nil {
			change(&p)
		}
		c.Providers = []Provider{p}
	})
}

func browser(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 10 || r.URL.Query().Has("stop") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

func body(t *testing.T, resp *http.Response, err error) (*http.Response, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// form fills in corp's page, at which the browser has arrived.
func form(t *testing.T, c *http.Client, at *http.Response, user string) (*http.Response, string) {
	t.Helper()
	to := *at.Request.URL
	to.Path = "/login/username"
	id := to.Query().Get("authRequestID")
	to.RawQuery = ""
	resp, err := c.PostForm(to.String(), url.Values{"username": {user}, "password": {"verysecure"}, "id": {id}})
	return body(t, resp, err)
}

func TestOIDC(t *testing.T) {
	w := withCorp(t, nil)
	c := browser(t)
	resp, err := c.Get(w.acc.cfg.Origin + "/api/login/oidc/corp")
	resp, page := body(t, resp, err)
	if !strings.Contains(page, "password") {
		t.Fatalf("%s %s", resp.Request.URL, page)
	}
	resp, page = form(t, c, resp, "test-user2")
	var r LoginResult
	if err := json.Unmarshal([]byte(page), &r); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, page)
	}
	role := api.Role{Name: api.EnterpriseUser, Prefix: "88.118.1001"}
	if r.User != "88.118.1001/USER_TEST-USER2" || len(r.Roles) != 1 || r.Roles[0] != role {
		t.Errorf("%+v", r)
	}
	var me MeView
	w.want(200, "GET", "/api/me", "Bearer "+r.Token, nil, &me)
	if me.Account.Title != "Test User2" || me.Account.Email != "test-user2@zitadel.ch" || me.Account.Providers[0] != "corp" || me.Account.Password {
		t.Errorf("%+v", me.Account)
	}
	// A password does not open an account that has none.
	if s := w.call("POST", "/api/login", "", m{"user": r.User, "password": ""}, nil); s != 401 {
		t.Errorf("status %d", s)
	}
	// The second time it is the same account, and the way back goes by a ticket.
	resp, err = c.Get(w.acc.cfg.Origin + "/api/login/oidc/corp?return=" + url.QueryEscape("/desk?stop=1"))
	resp, _ = body(t, resp, err)
	resp, _ = form(t, c, resp, "test-user2")
	to, err := resp.Location()
	if err != nil || to.Path != "/desk" || to.Host != strings.TrimPrefix(w.acc.cfg.Origin, "http://") {
		t.Fatalf("%v %v", to, err)
	}
	var r2 LoginResult
	w.want(200, "POST", "/api/login/ticket", "", m{"ticket": to.Query().Get("ticket")}, &r2)
	if r2.User != r.User {
		t.Errorf("%+v", r2)
	}
	w.want(401, "POST", "/api/login/ticket", "", m{"ticket": to.Query().Get("ticket")}, nil)
	// Disabled here means not in, whatever the provider says.
	w.want(200, "PATCH", "/api/users/88.118.1001/test-user2", "node", m{"disabled": true}, nil)
	resp, err = c.Get(w.acc.cfg.Origin + "/api/login/oidc/corp")
	resp, _ = body(t, resp, err)
	if resp, page = form(t, c, resp, "test-user2"); resp.StatusCode != 403 {
		t.Errorf("%d %s", resp.StatusCode, page)
	}
	w.want(401, "GET", "/api/me", "Bearer "+r.Token, nil, nil)
}

// TestOIDCLink: without Create only who has linked an account gets in.
func TestOIDCLink(t *testing.T) {
	w := withCorp(t, func(p *Provider) { p.Create = false; p.Prefix = "88.118"; p.Roles = nil })
	c := browser(t)
	resp, err := c.Get(w.acc.cfg.Origin + "/api/login/oidc/corp")
	resp, _ = body(t, resp, err)
	if resp, page := form(t, c, resp, "test-user2"); resp.StatusCode != 403 {
		t.Fatalf("%d %s", resp.StatusCode, page)
	}
	w.want(201, "POST", "/api/users", "node", m{"name": "wang", "password": goodPassword}, nil)
	token := w.login("wang", goodPassword)
	r, _ := http.NewRequest("POST", w.acc.cfg.Origin+"/api/me/links/corp", nil)
	r.Header.Set("Authorization", token)
	resp, err = c.Do(r)
	resp, page := body(t, resp, err)
	var to Address
	if err := json.Unmarshal([]byte(page), &to); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, page)
	}
	resp, err = c.Get(to.URL)
	resp, _ = body(t, resp, err)
	if resp, page = form(t, c, resp, "test-user2"); resp.StatusCode != 200 || !strings.Contains(page, "USER_WANG") {
		t.Fatalf("%d %s", resp.StatusCode, page)
	}
	// From now on without a password; somebody else at corp still not.
	for user, want := range map[string]int{"test-user2": 200, "test-user@127.0.0.1": 403} {
		c := browser(t)
		resp, err = c.Get(w.acc.cfg.Origin + "/api/login/oidc/corp")
		resp, _ = body(t, resp, err)
		if resp, page = form(t, c, resp, user); resp.StatusCode != want {
			t.Errorf("%s: %d %s", user, resp.StatusCode, page)
		}
	}
	w.want(204, "DELETE", "/api/me/links/corp", token, nil, nil)
	w.want(404, "DELETE", "/api/me/links/corp", token, nil, nil)
}

// TestOIDCForged: answers that this node did not ask for, or not from this browser.
func TestOIDCForged(t *testing.T) {
	w := withCorp(t, nil)
	origin := w.acc.cfg.Origin
	// code runs a log-in up to the provider's answer, and stops there.
	code := func(c *http.Client) url.Values {
		resp, err := c.Get(origin + "/api/login/oidc/corp")
		resp, _ = body(t, resp, err)
		hold := *c
		hold.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasSuffix(r.URL.Path, "/callback") && strings.HasPrefix(r.URL.Path, "/api/") {
				return http.ErrUseLastResponse
			}
			return nil
		}
		resp, _ = form(t, &hold, resp, "test-user2")
		to, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		return to.Query()
	}
	come := func(c *http.Client, q url.Values) int {
		resp, err := c.Get(origin + "/api/login/oidc/corp/callback?" + q.Encode())
		resp, _ = body(t, resp, err)
		return resp.StatusCode
	}
	set := func(q url.Values, k, v string) url.Values {
		q.Set(k, v)
		return q
	}
	victim := browser(t)
	if s := come(browser(t), code(victim)); s != 401 {
		t.Errorf("another browser: %d", s)
	}
	if s := come(victim, set(code(victim), "state", "made-up")); s != 401 {
		t.Errorf("a made-up state: %d", s)
	}
	if s := come(victim, set(code(victim), "code", "made-up")); s != 401 {
		t.Errorf("a made-up code: %d", s)
	}
	if s := come(victim, set(code(victim), "iss", "https://evil.example")); s != 401 {
		t.Errorf("another issuer: %d", s)
	}
	q := code(victim)
	q.Del("code")
	if s := come(victim, set(q, "error", "access_denied")); s != 401 {
		t.Errorf("a refusal: %d", s)
	}
	// A code of another log-in has another nonce and another verifier.
	one, two := code(victim), code(victim)
	if s := come(victim, set(two, "code", one.Get("code"))); s != 401 {
		t.Errorf("a code of another log-in: %d", s)
	}
	q = code(victim)
	if s := come(victim, q); s != 200 {
		t.Errorf("the true one: %d", s)
	}
	if s := come(victim, q); s != 401 {
		t.Errorf("the true one again: %d", s)
	}
	q = code(victim)
	w.clk.pass(2*stepLife + 1)
	if s := come(victim, q); s != 401 {
		t.Errorf("too late: %d", s)
	}
	for _, back := range []string{"//evil.example", "https://evil.example", `/\evil.example`, "desk", "/\tx", "javascript:1"} {
		if _, _, err := w.acc.Leave(t.Context(), "corp", back, none); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%q: %v", back, err)
		}
	}
	if _, _, err := w.acc.Leave(t.Context(), "nobody", "", none); !problem.Is(err, problem.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestProviderAway(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	w := newWorld(t, func(c *Config) {
		c.Providers = []Provider{{Name: "corp", Issuer: dead.URL, ClientID: "x"}}
	})
	if _, _, err := w.acc.Leave(t.Context(), "corp", "", none); !problem.Is(err, problem.Unreachable) {
		t.Errorf("%v", err)
	}
	for _, p := range []Provider{{Name: "corp", Issuer: "http://login.example.com", ClientID: "x"}, {Name: "a b", Issuer: "https://login.example.com", ClientID: "x"},
		{Name: "corp", Issuer: "https://login.example.com"},
		{Name: "corp", Issuer: "https://login.example.com", ClientID: "x", Roles: []ClaimRole{{"g", "v", api.Role{Name: api.Operator, Prefix: "88"}}}}} {
		cfg := w.acc.cfg
		cfg.Providers = []Provider{p}
		if _, err := New(t.Context(), cfg); !problem.Is(err, problem.BadValue) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// TestClaims: roles follow what the provider says, each time.
func TestClaims(t *testing.T) {
	w := withCorp(t, nil)
	user, admin := api.Role{Name: api.EnterpriseUser, Prefix: "88.118.1001"}, api.Role{Name: api.EnterpriseAdmin, Prefix: "88.118.1001"}
	p := &Provider{Name: "corp", Prefix: "88.118.1001", Create: true, NameClaim: "login", Roles: []ClaimRole{{"groups", "staff", user}, {"groups", "chiefs", admin}, {"https://corp.example/level", "3", admin}}}
	for i, c := range []struct {
		claims map[string]any
		want   int
	}{
		{map[string]any{"groups": []any{"staff", "chiefs"}, "login": "Zhao"}, 2},
		{map[string]any{"groups": []any{"staff"}}, 1},
		{map[string]any{"groups": "chiefs"}, 1},
		{map[string]any{"groups": map[string]any{"staff": true}}, 0},
		{map[string]any{"https://corp.example/level": 3.0}, 1},
		{nil, 0},
	} {
		_, v, err := w.acc.arrive(t.Context(), p, "sub-1", c.claims, none)
		if err != nil || v.String() != "88.118.1001/USER_ZHAO" {
			t.Fatalf("%d: %v %v", i, v, err)
		}
		roles, err := w.acc.Roles(t.Context(), record.Identity{Ref: record.Ref{Index: 301, Name: v.String()}})
		if err != nil || len(roles) != c.want {
			t.Errorf("%d: %v %v", i, roles, err)
		}
	}
	// Another person of the same name gets another account.
	if _, v, err := w.acc.arrive(t.Context(), p, "sub-2", map[string]any{"login": "zhao"}, none); err != nil || v.String() != "88.118.1001/USER_ZHAO-2" {
		t.Errorf("%v %v", v, err)
	}
	for in, want := range map[string]string{"li.ming@corp": "li.ming", "李明": "李明", "../../x": "x", "  ": "guest", "a/b": "ab"} {
		if got := accountName(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
