package account

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"encoding/json"
	"io"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
)

var node = record.Identity{Operator: true}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is a second-level node's accounts, with one hosted enterprise, and their HTTP interface.
type world struct {
	t   *testing.T
	reg *registry.Registry
	acc *Accounts
	srv *httptest.Server
	clk *clock
}

// newRegistry keeps 88.118 and 88.118.1001.
func newRegistry(t *testing.T, now func() time.Time) *registry.Registry {
	t.Helper()
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	reg, err := registry.Open(t.Context(), registry.Config{Store: st, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"88.118", "88.118.1001"} {
		if _, err := reg.Write(t.Context(), node, []record.Write{{Op: record.Home, ID: id.PrefixRecord(p)}}); err != nil {
			t.Fatal(err)
		}
	}
	return reg
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	clk := &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	reg := newRegistry(t, clk.now)
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, reg: reg, clk: clk}
	mux := http.NewServeMux()
	w.srv = httptest.NewServer(mux)
	t.Cleanup(w.srv.Close)
	cfg := Config{Prefix: "88.118", Hosted: func() []string { return []string{"88.118.1001"} }, Registry: reg, Key: key, Now: clk.now,
		Origin: strings.Replace(w.srv.URL, "127.0.0.1", "localhost", 1)}
	for _, f := range change {
		f(&cfg)
	}
	if w.acc, err = New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	a := api.New(api.Config{Title: "Accounts", Version: "1", Now: clk.now, Identify: func(r *http.Request) (api.Caller, error) {
		switch auth := r.Header.Get("Authorization"); {
		case auth == "node":
			return api.Caller{Identity: node}, nil
		case strings.HasPrefix(auth, "Bearer "):
			who, err := w.acc.Bearer(r.Context(), auth[7:])
			if err != nil {
				return api.Caller{}, err
			}
			return w.acc.Caller(r.Context(), who)
		case strings.HasPrefix(auth, "As "): // what a signature would prove
			ref, err := record.ParseRef(auth[3:])
			if err != nil {
				return api.Caller{}, err
			}
			return w.acc.Caller(r.Context(), record.Identity{Ref: ref})
		}
		return api.Caller{}, nil
	}})
	w.acc.Register(a)
	mux.Handle("/", a.Handler())
	return w
}

// call makes a request as auth and decodes the answer.
func (w *world) call(method, path, auth string, in, out any) int {
	w.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			w.t.Fatal(err)
		}
		body = strings.NewReader(string(b))
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.srv.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", auth)
	resp, err := w.srv.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if out != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(b, out); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
	if p, ok := out.(*api.Problem); ok && resp.StatusCode >= 300 {
		if err := json.Unmarshal(b, p); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	} else if resp.StatusCode >= 300 {
		w.t.Logf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	return resp.StatusCode
}

func (w *world) want(status int, method, path, auth string, in, out any) {
	w.t.Helper()
	if got := w.call(method, path, auth, in, out); got != status {
		w.t.Fatalf("%s %s: status %d, want %d", method, path, got, status)
	}
}

type m = map[string]any

func (w *world) login(user, password string) string {
	w.t.Helper()
	var r LoginResult
	w.want(200, "POST", "/api/login", "", m{"user": user, "password": password}, &r)
	return "Bearer " + r.Token
}

const goodPassword = "correct horse battery"

// TestOffice is the thin line: the node's own operator makes the first operator, who makes the rest.
func TestOffice(t *testing.T) {
	w := newWorld(t)
	var op UserView
	w.want(201, "POST", "/api/users", "node", m{"name": "wang", "title": "王", "password": goodPassword, "roles": []m{{"name": "operator", "prefix": "88.118"}}}, &op)
	if op.ID != "88.118/USER_WANG" || op.Password != true {
		t.Errorf("%+v", op)
	}
	wang := w.login("wang", goodPassword)
	var me MeView
	w.want(200, "GET", "/api/me", wang, nil, &me)
	if me.Identity != "301:88.118/USER_WANG" || len(me.Roles) != 1 || me.Roles[0] != (api.Role{Name: api.Operator, Prefix: "88.118"}) {
		t.Errorf("%+v", me)
	}
	// An enterprise's administrator comes by invitation.
	var li UserView
	w.want(201, "POST", "/api/users", wang, m{"prefix": "88.118.1001", "name": "li", "roles": []m{{"name": "enterprise-admin", "prefix": "88.118.1001"}}}, &li)
	w.want(204, "POST", "/api/invitations/accept", "", m{"user": "88.118.1001/li", "invitation": li.Invitation, "password": goodPassword + "1"}, nil)
	w.want(401, "POST", "/api/invitations/accept", "", m{"user": "88.118.1001/li", "invitation": li.Invitation, "password": goodPassword + "2"}, nil)
	admin := w.login("88.118.1001/User_li", goodPassword+"1")
	// A program with a key that the node makes, and a group.
	var app AppView
	w.want(201, "POST", "/api/apps", admin, m{"prefix": "88.118.1001", "name": "erp"}, &app)
	private, err := trust.ParsePrivatePEM([]byte(app.PrivateKey), nil)
	if err != nil || app.Keys[0].Fingerprint != private.Public().Fingerprint() || app.Keys[0].Identity != "300:88.118.1001/APP_ERP" {
		t.Fatalf("%v %+v", err, app)
	}
	ans, err := w.reg.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.1001/App_erp"), PublicOnly: true})
	if err != nil || len(ans.Values) != 1 || ans.Values[0].Index != 300 || ans.Values[0].TTL.Seconds != 300 || string(ans.Values[0].Data) != string(private.Public().Data()) {
		t.Errorf("the public face of a program: %v %+v", err, ans.Values)
	}
	w.want(201, "POST", "/api/groups", admin, m{"prefix": "88.118.1001", "name": "partners", "members": []string{"88.118.1002/App_mes", "88.118.1003"}, "roles": []m{{"name": "enterprise-user", "prefix": "88.118.1001"}}}, nil)
	ans, err = w.reg.Resolve(t.Context(), record.Query{ID: id.MustParse("88.118.1001/Group_partners"), PublicOnly: true})
	if err != nil || len(ans.Values) != 1 {
		t.Fatalf("%v %+v", err, ans)
	}
	if refs, err := record.DecodeVList(ans.Values[0].Data); err != nil || len(refs) != 2 || refs[0].Name != "88.118.1002/App_mes" {
		t.Errorf("%v %v", refs, err)
	}
	for name, want := range map[string]int{"88.118.1002/App_mes": 1, "88.118.1002/App_other": 0, "88.118.1003/User_x": 1, "88.118.1001/App_erp": 1, "88.118.1001/App_none": 0, "88.118.10031/User_x": 0} {
		roles, err := w.acc.Roles(t.Context(), record.Identity{Ref: record.Ref{Index: 300, Name: name}})
		if err != nil || len(roles) != want {
			t.Errorf("%s: %v %v", name, roles, err)
		}
	}
	// Log out.
	w.want(204, "POST", "/api/logout", admin, nil, nil)
	w.want(401, "GET", "/api/me", admin, nil, nil)
	// A new process reads it all.
	again, err := New(context.Background(), w.acc.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Bearer(t.Context(), wang[7:]); err != nil {
		t.Error(err)
	}
	if _, err := again.Bearer(t.Context(), admin[7:]); err == nil {
		t.Error("a session that was left comes back")
	}
}

var none id.ID
