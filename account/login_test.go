package account

import (
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// TestStranger: a wrong password and no such user look the same, and wait the same.
func TestStranger(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/api/users", "node", m{"name": "wang", "password": goodPassword}, nil)
	w.want(201, "POST", "/api/users", "node", m{"name": "invited"}, nil)
	w.want(201, "POST", "/api/users", "node", m{"name": "gone", "password": goodPassword}, nil)
	w.want(200, "PATCH", "/api/users/88.118/gone", "node", m{"disabled": true}, nil)
	users := map[string]string{"wang": "wrong " + goodPassword, "nobody": goodPassword, "invited": "", "gone": goodPassword, "99.1/User_x": goodPassword, "no name!": goodPassword, "": goodPassword}
	for user, password := range users {
		for i := range 6 {
			var p api.Problem
			status := w.call("POST", "/api/login", "", m{"user": user, "password": password}, &p)
			if status != 401 || p.Detail != "user or password is wrong: check both" {
				t.Errorf("%q, time %d: %d %s", user, i, status, p.Detail)
			}
			if i == 4 {
				w.clk.pass(time.Second)
			}
		}
		var p api.Problem
		if status := w.call("POST", "/api/login", "", m{"user": user, "password": password}, &p); status != 503 || p.Kind != "busy" || !strings.Contains(p.Detail, "in 2 s") {
			t.Errorf("%q: %d %s", user, status, p.Detail)
		}
	}
	// Who waits and then knows the password gets in, and nothing is held against them.
	w.clk.pass(2 * time.Second)
	w.login("wang", goodPassword)
	w.login("88.118/USER_wang", goodPassword)
}

// TestBackoff: the waits double to a quarter of an hour, and an hour of peace ends them.
func TestBackoff(t *testing.T) {
	clk := &clock{t: time.Unix(1e9, 0)}
	x := tries{now: clk.now}
	var waited time.Duration
	for range 30 {
		for x.begin("a") != nil {
			clk.pass(time.Second)
			waited += time.Second
		}
	}
	// 1+2+4+…+512 s, then 900 s each.
	if want := 1023*time.Second + 15*maxWait; waited != want {
		t.Errorf("waited %s", waited)
	}
	clk.pass(maxWait + forget)
	for range freeTries {
		if err := x.begin("a"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxTried * 2 {
		x.begin(string(rune(i)) + "x")
	}
	if len(x.names) > maxTried+1 {
		t.Errorf("%d names are remembered", len(x.names))
	}
	if x.begin("a") == nil {
		t.Error("many names push out the one that must wait")
	}
}

func TestTOTP(t *testing.T) {
	// RFC 6238 appendix B, SHA-1, the last six of eight digits.
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := totpAt(secret, at/totpStep); got != want {
			t.Errorf("%d: %s", at, got)
		}
	}
	w := newWorld(t)
	w.want(201, "POST", "/api/users", "node", m{"name": "wang", "password": goodPassword}, nil)
	wang := w.login("wang", goodPassword)
	var e Enrolment
	w.want(200, "POST", "/api/me/totp", wang, nil, &e)
	code := func() string {
		c, err := totp.GenerateCode(e.Secret, w.clk.now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(e.Secret); err != nil || len(b) != 20 || !strings.HasPrefix(e.URI, "otpauth://totp/88.118:") {
		t.Errorf("%+v", e)
	}
	w.want(400, "POST", "/api/me/totp/confirm", wang, m{"ticket": e.Ticket, "code": "000000"}, nil)
	first := code()
	var rc RecoveryCodes
	w.want(200, "POST", "/api/me/totp/confirm", wang, m{"ticket": e.Ticket, "code": first}, &rc)
	if len(rc.Codes) != 10 {
		t.Fatalf("%v", rc)
	}
	// The password alone gives a ticket, no session.
	var r LoginResult
	w.want(200, "POST", "/api/login", "", m{"user": "wang", "password": goodPassword}, &r)
	if r.Token != "" || r.Ticket == "" || r.User != "" {
		t.Fatalf("%+v", r)
	}
	ticket := r.Ticket
	w.want(401, "POST", "/api/login/totp", "", m{"ticket": ticket, "code": first}, nil) // it was used to confirm
	w.clk.pass(30 * time.Second)
	second := code()
	w.want(200, "POST", "/api/login/totp", "", m{"ticket": ticket, "code": second}, &r)
	if r.User != "88.118/USER_WANG" || r.Token == "" {
		t.Errorf("%+v", r)
	}
	w.want(401, "POST", "/api/login/totp", "", m{"ticket": ticket, "code": second}, nil)
	w.want(401, "POST", "/api/login", "", m{"user": "wang", "password": goodPassword, "code": second}, nil) // a code is taken once
	// Recovery codes, in any spelling, once.
	w.want(200, "POST", "/api/login", "", m{"user": "wang", "password": goodPassword, "code": strings.ToLower(strings.ReplaceAll(rc.Codes[3], "-", " "))}, nil)
	w.want(401, "POST", "/api/login", "", m{"user": "wang", "password": goodPassword, "code": rc.Codes[3]}, nil)
	var me MeView
	w.want(200, "GET", "/api/me", wang, nil, &me)
	if !me.Account.TOTP || me.Account.Recovery != 9 {
		t.Errorf("%+v", me.Account)
	}
	// Guessing waits, though the password is right each time.
	status := 0
	for range 10 {
		if status = w.call("POST", "/api/login", "", m{"user": "wang", "password": goodPassword, "code": "123456"}, nil); status == 503 {
			break
		}
	}
	if status != 503 {
		t.Error("codes can be guessed without end")
	}
	w.clk.pass(time.Hour)
	w.want(401, "POST", "/api/login/totp", "", m{"ticket": ticket, "code": code()}, nil)
	w.clk.pass(30 * time.Second)
	w.want(401, "POST", "/api/me/totp/remove", wang, m{"code": "000000"}, nil)
	w.want(204, "POST", "/api/me/totp/remove", wang, m{"code": code()}, nil)
	w.login("wang", goodPassword)
}

// TestSessions: what ends one, and what cannot make one.
func TestSessions(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/api/users", "node", m{"name": "wang", "password": goodPassword}, nil)
	a, b := w.login("wang", goodPassword), w.login("wang", goodPassword)
	in := func(token string) bool {
		_, err := w.acc.Bearer(t.Context(), strings.TrimPrefix(token, "Bearer "))
		if err != nil && !problem.Is(err, problem.AuthFailed) {
			t.Error(err)
		}
		return err == nil
	}
	w.want(204, "POST", "/api/logout", a, nil, nil)
	if in(a) || !in(b) {
		t.Error("the wrong session ended")
	}
	a = w.login("wang", goodPassword)
	w.want(204, "POST", "/api/logout?everywhere=true", a, nil, nil)
	if in(a) || in(b) {
		t.Error("a session is left")
	}
	a = w.login("wang", goodPassword)
	w.want(400, "POST", "/api/me/password", a, m{"old": goodPassword, "new": "short"}, nil)
	w.want(400, "POST", "/api/me/password", a, m{"old": goodPassword, "new": "aaaaaaaaaaaaaaa"}, nil)
	w.want(400, "POST", "/api/me/password", a, m{"old": goodPassword, "new": "i am WANG himself"}, nil)
	w.want(401, "POST", "/api/me/password", a, m{"old": "no", "new": goodPassword + "2"}, nil)
	w.want(204, "POST", "/api/me/password", a, m{"old": goodPassword, "new": goodPassword + "2"}, nil)
	if in(a) {
		t.Error("a session outlives its password")
	}
	a = w.login("wang", goodPassword+"2")
	w.clk.pass(sessionLife - time.Second)
	if !in(a) {
		t.Error("a session ends early")
	}
	w.clk.pass(time.Second)
	if in(a) {
		t.Error("a session does not end")
	}
	a = w.login("wang", goodPassword+"2")[7:]
	// Forgeries.
	parts := strings.Split(a, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	w.want(201, "POST", "/api/users", "node", m{"name": "boss", "password": goodPassword}, nil)
	seal := func(key *trust.PrivateKey, change func(*claims)) string {
		x := c
		change(&x)
		b, err := trust.SignStatement(key, x)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	other, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	swapped, _ := json.Marshal(func() claims { x := c; x.Subject = "88.118/USER_BOSS"; return x }())
	for name, token := range map[string]string{
		"nothing":            "",
		"another payload":    parts[0] + "." + base64.RawURLEncoding.EncodeToString(swapped) + "." + parts[2],
		"no algorithm":       base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"another key":        seal(other, func(*claims) {}),
		"another node":       seal(w.acc.cfg.Key, func(c *claims) { c.Issuer = "88.119" }),
		"another statement":  seal(w.acc.cfg.Key, func(c *claims) { c.Use = "step" }),
		"a generation ahead": seal(w.acc.cfg.Key, func(c *claims) { c.Generation++ }),
		"nobody":             seal(w.acc.cfg.Key, func(c *claims) { c.Subject = "88.118/USER_NOBODY" }),
		"a program":          seal(w.acc.cfg.Key, func(c *claims) { c.Subject = "88.118/APP_X" }),
		"from the future":    seal(w.acc.cfg.Key, func(c *claims) { c.Issued += 3600; c.Expires += 3600 }),
		"long":               strings.Repeat("a.", 10_000),
	} {
		if in(token) {
			t.Errorf("%s gets in", name)
		}
	}
	if !in(a) {
		t.Error("the true one does not")
	}
	w.want(204, "DELETE", "/api/users/88.118/wang", "node", nil, nil)
	if in(a) {
		t.Error("a session outlives its account")
	}
}

// TestRights: who may make and change what.
func TestRights(t *testing.T) {
	w := newWorld(t)
	op := "As 300:0.NA/88.118"
	role := func(name, prefix string) []m { return []m{{"name": name, "prefix": prefix}} }
	w.want(201, "POST", "/api/users", op, m{"name": "chief", "roles": role("operator", "88.118")}, nil)
	w.want(201, "POST", "/api/users", op, m{"name": "desk", "roles": role("enterprise-admin", "88.118")}, nil)
	w.want(201, "POST", "/api/users", op, m{"prefix": "88.118.1001", "name": "li", "roles": role("enterprise-admin", "88.118.1001")}, nil)
	w.want(201, "POST", "/api/users", op, m{"prefix": "88.118.1001", "name": "clerk", "roles": role("enterprise-user", "88.118.1001")}, nil)
	w.want(201, "POST", "/api/users", op, m{"prefix": "88.118.1001", "name": "reviewer", "roles": role("auditor", "88.118.1001")}, nil)
	w.want(201, "POST", "/api/users", op, m{"prefix": "88.118.1001", "name": "root", "roles": role("operator", "88.118.1001")}, nil)
	li, clerk, audit, desk := "As 301:88.118.1001/User_li", "As 301:88.118.1001/User_clerk", "As 301:88.118.1001/User_reviewer", "As 301:88.118/User_desk"
	for _, c := range []struct {
		as, method, path string
		in               m
		want             int
	}{
		{"", "GET", "/api/users?prefix=88.118.1001", nil, 401},
		{clerk, "GET", "/api/users?prefix=88.118.1001", nil, 403},
		{audit, "GET", "/api/users?prefix=88.118.1001", nil, 200},
		{li, "GET", "/api/users?prefix=88.118.1001", nil, 200},
		{li, "GET", "/api/users", nil, 403},
		{li, "GET", "/api/users?prefix=88.119", nil, 403},
		{op, "GET", "/api/users?prefix=88.118.77", nil, 400}, // not kept here
		{audit, "POST", "/api/users", m{"prefix": "88.118.1001", "name": "x"}, 403},
		{li, "POST", "/api/users", m{"prefix": "88.118.1001", "name": "x", "roles": role("operator", "88.118.1001")}, 403},
		{li, "POST", "/api/users", m{"prefix": "88.118.1001", "name": "x", "roles": role("reviewer", "88.118.1001")}, 403},
		{li, "POST", "/api/users", m{"prefix": "88.118.1001", "name": "x", "roles": role("enterprise-user", "88.118")}, 400},
		{op, "POST", "/api/users", m{"prefix": "88.118.1001", "name": "x", "roles": role("operator", "88.118")}, 400},
		{op, "POST", "/api/users", m{"name": "x", "roles": role("king", "88.118")}, 400},
		{li, "POST", "/api/users", m{"prefix": "88.118.1001", "name": "../x"}, 400},
		{li, "POST", "/api/users", m{"prefix": "88.118.1001", "name": "x", "title": "a\nb"}, 400},
		{li, "POST", "/api/users", m{"prefix": "88.118.1001", "name": "LI"}, 409},
		{li, "PATCH", "/api/users/88.118.1001/root", m{"disabled": true}, 403}, // an operator
		{li, "POST", "/api/users/88.118.1001/root/invite", nil, 403},
		{li, "DELETE", "/api/users/88.118.1001/root", nil, 403},
		{desk, "POST", "/api/users/88.118/chief/invite", nil, 403},
		{li, "PATCH", "/api/users/88.118.1001/clerk", m{"roles": role("enterprise-admin", "88.118.1001")}, 200},
		{li, "PATCH", "/api/users/88.118.1001/li", m{"roles": role("operator", "88.118.1001")}, 403},
		{li, "GET", "/api/users/88.118.1001/nobody", nil, 404},
		{li, "GET", "/api/users/88.118.1001/no%20name", nil, 404},
		{"As 300:0.NA/88.118.1001", "GET", "/api/users/88.118.1001/li", nil, 200},
		{"As 300:0.NA/88.118.1001", "GET", "/api/users/88.118/desk", nil, 403},
		{"As 300:0.NA/88.119", "GET", "/api/users", nil, 403},
		{li, "GET", "/api/me", nil, 200},
		{"", "GET", "/api/me", nil, 401},
		{"", "POST", "/api/me/totp", nil, 401},
		{"As 300:88.118.1001/App_x", "POST", "/api/me/totp", nil, 401},
		{"As 300:88.120/User_x", "POST", "/api/me/totp", nil, 400},
		{"", "GET", "/api/roles", nil, 200},
		{"", "GET", "/api/login/providers", nil, 200},
		{"", "POST", "/api/logout", nil, 401},
	} {
		if got := w.call(c.method, c.path, c.as, nilIfEmpty(c.in), nil); got != c.want {
			t.Errorf("%s %s %s %v: %d, want %d", c.as, c.method, c.path, c.in, got, c.want)
		}
	}
	// A group's or a provider's role counts like one's own.
	w.want(201, "POST", "/api/users", op, m{"name": "plain"}, nil)
	w.want(200, "POST", "/api/users/88.118/plain/invite", desk, nil, nil)
	w.want(201, "POST", "/api/groups", op, m{"name": "chiefs", "members": []string{"88.118/User_plain"}, "roles": role("operator", "88.118")}, nil)
	w.want(403, "POST", "/api/users/88.118/plain/invite", desk, nil, nil)
	w.want(403, "PATCH", "/api/groups/88.118/chiefs", desk, m{"add": []string{"88.118/User_desk"}}, nil)
	w.want(200, "GET", "/api/users", "As 301:88.118/User_plain", nil, nil)
	var g GroupView
	w.want(200, "PATCH", "/api/groups/88.118/chiefs", op, m{"remove": []string{"88.118/USER_PLAIN"}, "add": []string{"88.118/User_chief", "88.118/User_CHIEF"}, "private": true}, &g)
	if len(g.Members) != 1 || !g.Private {
		t.Errorf("%+v", g)
	}
	w.want(400, "PATCH", "/api/groups/88.118/chiefs", op, m{"add": []string{"88.118/Group_chiefs"}}, nil)
	w.want(400, "PATCH", "/api/groups/88.118/chiefs", op, m{"add": []string{"/"}}, nil)
	if ans, err := w.reg.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118/Group_chiefs"), PublicOnly: true}); !problem.Is(err, problem.NoValues) {
		t.Errorf("a private group shows %v %v", ans.Values, err)
	}
	w.want(204, "DELETE", "/api/groups/88.118/chiefs", op, nil, nil)
	// What changed meanwhile is not written over.
	r := w.acc
	v := id.MustParse("88.118/User_plain")
	u, err := r.user(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Match(`"old"`, userView(v, u, w.clk.now())); !problem.Is(err, problem.Conflict) {
		t.Errorf("%v", err)
	}
	// A prefix's administrator cannot read the account, nor anybody else but the operator.
	for _, by := range []record.Identity{{}, {Ref: record.Ref{Index: 300, Name: "0.NA/88.118.1001"}}, {Ref: record.Ref{Index: 301, Name: "88.118.1001/User_li"}}} {
		ans, err := w.reg.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.1001/User_li"), By: by, PublicOnly: true})
		for _, x := range ans.Values {
			if x.Type == TypeUser {
				t.Errorf("%v reads the account (%v)", by, err)
			}
		}
	}
}

func nilIfEmpty(x m) any {
	if x == nil {
		return nil
	}
	return x
}

// TestAppKeys: rotation with both keys for a while, self-service, revocation.
func TestAppKeys(t *testing.T) {
	w := newWorld(t)
	op := "As 300:0.NA/88.118.1001"
	var app AppView
	w.want(201, "POST", "/api/apps", op, m{"prefix": "88.118.1001", "name": "erp", "algorithm": "p256"}, &app)
	if len(app.Keys) != 1 || app.Keys[0].Algorithm != "p256" {
		t.Fatalf("%+v", app)
	}
	public := func() map[uint32]string {
		t.Helper()
		out := map[uint32]string{}
		ans, err := w.reg.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.1001/App_erp"), Types: []string{record.TypePubKey}, PublicOnly: true})
		if err != nil && !problem.Is(err, problem.NoValues) {
			t.Fatal(err)
		}
		for _, v := range ans.Values {
			k, err := trust.ParsePublic(v.Data)
			if err != nil {
				t.Fatal(err)
			}
			out[v.Index] = k.Fingerprint()
		}
		return out
	}
	one := app.Keys[0].Fingerprint
	key, err := trust.Generate(trust.SM2, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The program does it for itself.
	w.want(200, "POST", "/api/apps/88.118.1001/erp/rotate", "As 300:88.118.1001/App_erp", m{"publicKey": string(key.Public().MarshalPEM())}, &app)
	if p := public(); len(p) != 2 || p[300] != one || p[301] != key.Public().Fingerprint() || app.PrivateKey != "" && len(app.Keys) != 2 {
		t.Errorf("%v %+v", p, app)
	}
	is := func(index uint32) bool {
		r, err := w.acc.Roles(t.Context(), record.Identity{Ref: record.Ref{Index: index, Name: "88.118.1001/App_erp"}})
		return err == nil && len(r) == 1 && r[0].Name == api.Application
	}
	if !is(300) || !is(301) || is(302) {
		t.Error("keys and roles do not agree")
	}
	w.clk.pass(DefaultOverlap)
	if is(300) {
		t.Error("the old key still holds")
	}
	w.acc.Sweep(t.Context())
	if p := public(); len(p) != 1 || p[301] == "" {
		t.Errorf("after the overlap: %v", p)
	}
	w.want(200, "POST", "/api/apps/88.118.1001/erp/rotate", op, m{"overlapSeconds": 0}, &app)
	if p := public(); len(p) != 1 || p[300] == "" || p[300] == one {
		t.Errorf("a lost key: %v", p)
	}
	w.want(400, "POST", "/api/apps/88.118.1001/erp/rotate", op, m{"publicKey": "nonsense"}, nil)
	w.want(403, "POST", "/api/apps/88.118.1001/erp/rotate", "As 300:88.118.1001/App_other", m{}, nil)
	w.want(403, "POST", "/api/apps/88.118.1001/erp/revoke", "As 300:88.118.1001/App_erp", nil, nil)
	w.want(200, "POST", "/api/apps/88.118.1001/erp/revoke", op, nil, &app)
	if p := public(); len(p) != 0 || !app.Revoked || is(300) {
		t.Errorf("after revocation: %v", p)
	}
	w.want(403, "POST", "/api/apps/88.118.1001/erp/rotate", op, m{}, nil)
}

// TestFollow: what another site writes is known here.
func TestFollow(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w := newWorld(t)
	mirror, err := New(t.Context(), w.acc.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mirror.Follow(ctx, w.reg, 0) }()
	w.want(201, "POST", "/api/users", "node", m{"name": "wang", "password": goodPassword}, nil)
	token := w.login("wang", goodPassword)[7:]
	for { // ends by the test's own limit if it never comes
		if _, err := mirror.Bearer(t.Context(), token); err == nil {
			break
		}
		runtime.Gosched()
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.srv.Close()
}

// TestRolesStayBelow: whatever roles stand in records, none reaches above the prefix that gave it.
func TestRolesStayBelow(t *testing.T) {
	w := newWorld(t)
	p, err := w.acc.place(t.Context(), "88.118.1001")
	if err != nil {
		t.Fatal(err)
	}
	prefixes := []string{"88", "88.118", "88.118.1001", "88.118.1001.5", "88.118.10012", "", "88.118.1"}
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		gen := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) api.Role {
			return api.Role{Name: rapid.SampledFrom(roleNames).Draw(t, "role"), Prefix: rapid.SampledFrom(prefixes).Draw(t, "prefix")}
		}), 0, 4)
		v, err := p.users.ID("u" + base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte{byte(n >> 8), byte(n)}))
		if err != nil {
			t.Fatal(err)
		}
		u := User{Roles: gen.Draw(t, "own"), Links: []link{{Provider: "x", Subject: "y", Roles: gen.Draw(t, "linked")}}}
		if err := p.users.Create(context.Background(), node, v, u); err != nil {
			t.Fatal(err)
		}
		roles, err := w.acc.Roles(context.Background(), record.Identity{Ref: record.Ref{Index: 301, Name: v.String()}})
		if err != nil {
			t.Fatal(err)
		}
		c := api.Caller{Roles: roles}
		for _, above := range []string{"88", "88.118", "88.118.10012", "88.118.1", "0.NA"} {
			if c.Has(above, roleNames...) {
				t.Fatalf("%v reach %s", roles, above)
			}
		}
	})
}

// TestRun: old keys go by themselves.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry(t, time.Now)
		by := api.Caller{Identity: node}
		one, _ := trust.Generate(trust.Ed25519, nil)
		two, _ := trust.Generate(trust.Ed25519, nil)
		acc, err := New(t.Context(), Config{Prefix: "88.118", Registry: reg, Key: one})
		if err != nil {
			t.Fatal(err)
		}
		v, err := acc.CreateApp(t.Context(), by, "88.118", "erp", "", nil, one.Public())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := acc.RotateApp(t.Context(), node, v, two.Public(), 90*time.Second); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- acc.Run(ctx) }()
		keys := func() int {
			synctest.Wait()
			ans, err := reg.Resolve(t.Context(), record.Query{ID: v, Types: []string{record.TypePubKey}, PublicOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			return len(ans.Values)
		}
		<-time.After(61 * time.Second)
		if keys() != 2 {
			t.Error("the old key went too soon")
		}
		<-time.After(60 * time.Second)
		if keys() != 1 {
			t.Error("the old key stays")
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestPlain: no password goes over a connection that others read.
func TestPlain(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Origin = "https://id.example.com" })
	w.want(201, "POST", "/api/users", "node", m{"name": "wang", "password": goodPassword}, nil)
	for _, path := range []string{"/api/login", "/api/login/totp", "/api/login/ticket", "/api/invitations/accept", "/api/login/passkey"} {
		var p api.Problem
		in := m{"user": "wang", "password": goodPassword, "ticket": "x", "code": "1", "invitation": "x", "answer": m{}}
		if s := w.call("POST", path, "", in, &p); s != 401 || !strings.Contains(p.Detail, "HTTPS") {
			t.Errorf("%s: %d %s", path, s, p.Detail)
		}
	}
	for _, path := range []string{"/api/login/oidc/corp", "/api/login/oidc/corp/callback"} {
		w.want(401, "GET", path, "", nil, nil)
	}
}

// TestMoved: accounts of a prefix that is no longer hosted here are no longer ours.
func TestMoved(t *testing.T) {
	homes := []string{"88.118.1001"}
	w := newWorld(t, func(c *Config) { c.Hosted = func() []string { return homes } })
	w.want(201, "POST", "/api/users", "node", m{"prefix": "88.118.1001", "name": "li", "password": goodPassword}, nil)
	token := w.login("88.118.1001/li", goodPassword)
	homes = nil
	w.clk.pass(hostedFor)
	w.want(401, "GET", "/api/me", token, nil, nil)
	w.want(401, "POST", "/api/login", "", m{"user": "88.118.1001/li", "password": goodPassword}, nil)
}

func FuzzHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$AAAA$AAAA")
	f.Add("$2y$05$x")
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := parsePHC(s); ok && (p.memory > maxMemory || p.time > maxTime || p.threads == 0 || len(p.hash) < 16) {
			t.Errorf("%q: %+v", s, p)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"88.118/User_li", "User_", "88.118/App_x/y", "/User_x", "li", "李", "a@b"} {
		f.Add(s)
	}
	a := &Accounts{cfg: Config{Prefix: "88.118"}}
	f.Fuzz(func(t *testing.T, s string) {
		if v, prefix, ok := a.full(s); ok {
			if p, k, name, ok := split(v.String()); !ok || k != userName || name == "" || !strings.EqualFold(p, prefix) {
				t.Errorf("%q is %s under %s", s, v, prefix)
			}
		}
		if name := accountName(s); checkName(name) != nil {
			t.Errorf("%q makes %q", s, name)
		}
		if u := localPath(s); u && (strings.HasPrefix(s, "//") || !strings.HasPrefix(s, "/")) {
			t.Errorf("%q", s)
		}
	})
}
