package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/memory"
)

type thing struct {
	Name string `json:"name" minLength:"2" doc:"What it is called"`
	N    int    `json:"n"`
}

// things is an interface with a few operations, and how often its POST was done.
func things(t *testing.T) (*httptest.Server, *int) {
	t.Helper()
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	a := New(Config{Title: "Things", Version: "1", Store: st, Secrets: []string{"/api/secrets"}, Identify: func(r *http.Request) (Caller, error) {
		switch r.Header.Get("Authorization") {
		case "":
			return Caller{}, nil
		case "op":
			return Caller{Identity: record.Identity{Ref: record.Ref{Index: 300, Name: "88.118/User_op"}}, Roles: []Role{{Operator, "88.118"}}}, nil
		}
		return Caller{}, problem.New(problem.AuthFailed, "the token is wrong: log in again", "令牌无效：请重新登录")
	}})
	done := new(int)
	Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/things", Summary: "Make a thing (事物)", Tags: []string{"things"}, DefaultStatus: 201},
		func(ctx context.Context, in *struct{ Body thing }) (*Tagged[thing], error) {
			*done++
			in.Body.N = *done
			if in.Body.Name == "boom" {
				return nil, errors.New("secret detail of the disk")
			}
			return Tag(in.Body), nil
		})
	Do(a, huma.Operation{Method: http.MethodPost, Path: "/api/secrets", Summary: "Make a secret", Tags: []string{"things"}},
		func(ctx context.Context, in *struct{ Body thing }) (*Tagged[thing], error) {
			*done++
			return Tag(thing{Name: "secret", N: *done}), nil
		})
	Do(a, huma.Operation{Method: http.MethodDelete, Path: "/api/things/{name}", Summary: "Remove", Tags: []string{"things"}, DefaultStatus: 204},
		func(ctx context.Context, in *struct {
			Name    string `path:"name"`
			IfMatch string `header:"If-Match"`
		}) (*struct{}, error) {
			if err := From(ctx).Need("88.118.1001", EnterpriseAdmin); err != nil {
				return nil, err
			}
			return nil, Match(in.IfMatch, thing{Name: in.Name})
		})
	Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/things", Summary: "List", Tags: []string{"things"}},
		func(ctx context.Context, in *struct{ PageInput }) (*Body[Page[thing]], error) {
			return &Body[Page[thing]]{Page[thing]{Items: make([]thing, in.Limit), Next: in.After + "x"}}, nil
		})
	s := httptest.NewServer(a.Handler())
	t.Cleanup(s.Close)
	return s, done
}

func call(t *testing.T, s *httptest.Server, method, path, body string, head ...string) (*http.Response, string) {
	t.Helper()
	r, _ := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := s.Client().Do(r)
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

func TestProblems(t *testing.T) {
	s, _ := things(t)
	for _, c := range []struct {
		name, method, path, body string
		head                     []string
		status                   int
		kind, say                string
	}{
		{"nobody", "DELETE", "/api/things/x", "", nil, 401, "authentication-needed", "log in first"},
		{"nobody, in Chinese", "DELETE", "/api/things/x", "", []string{"Accept-Language", "zh-CN,zh;q=0.9,en;q=0.1"}, 401, "authentication-needed", "请先登录"},
		{"a proof that does not hold", "GET", "/api/things", "", []string{"Authorization", "x"}, 401, "authentication-failed", "log in again"},
		{"changed meanwhile", "DELETE", "/api/things/x", "", []string{"Authorization", "op", "If-Match", `"abc"`}, 412, "conflict", "read it again"},
		{"a field too short", "POST", "/api/things", `{"name":"a","n":1}`, nil, 400, "bad-request", ""},
		{"no JSON", "POST", "/api/things", `{`, nil, 400, "bad-request", ""},
		{"a limit over the top", "GET", "/api/things?limit=100000", "", nil, 400, "bad-request", ""},
		{"an inner failure", "POST", "/api/things", `{"name":"boom","n":1}`, nil, 500, "internal", "its log says why"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := call(t, s, c.method, c.path, c.body, c.head...)
			var p Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if resp.StatusCode != c.status || p.Status != c.status || p.Kind != c.kind || !strings.Contains(p.Detail, c.say) {
				t.Errorf("status %d, body %s", resp.StatusCode, body)
			}
			if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("Content-Type %s", ct)
			}
			if strings.Contains(body, "secret detail") {
				t.Error("an inner error leaks")
			}
		})
	}
}

func TestIdempotency(t *testing.T) {
	s, done := things(t)
	first, body := call(t, s, "POST", "/api/things", `{"name":"bolt","n":0}`, "Idempotency-Key", "k1")
	again, body2 := call(t, s, "POST", "/api/things", `{"name":"bolt","n":0}`, "Idempotency-Key", "k1")
	if first.StatusCode != 201 || again.StatusCode != 201 || body != body2 || *done != 1 || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("done %d times; %d %s; %d %s", *done, first.StatusCode, body, again.StatusCode, body2)
	}
	if other, _ := call(t, s, "POST", "/api/things", `{"name":"nut","n":0}`, "Idempotency-Key", "k1"); other.StatusCode != 409 {
		t.Errorf("the key with another body: %d", other.StatusCode)
	}
	// Another caller has keys of their own.
	if own, _ := call(t, s, "POST", "/api/things", `{"name":"nut","n":0}`, "Idempotency-Key", "k1", "Authorization", "op"); own.StatusCode != 201 || *done != 2 {
		t.Errorf("another caller: %d", own.StatusCode)
	}
	if long, _ := call(t, s, "POST", "/api/things", `{"name":"nut","n":0}`, "Idempotency-Key", strings.Repeat("k", 300)); long.StatusCode != 400 {
		t.Errorf("a long key: %d", long.StatusCode)
	}
	// A secret is never kept.
	_, one := call(t, s, "POST", "/api/secrets", `{"name":"nut","n":0}`, "Idempotency-Key", "s")
	if _, two := call(t, s, "POST", "/api/secrets", `{"name":"nut","n":0}`, "Idempotency-Key", "s"); one == two {
		t.Errorf("a secret was kept: %s", two)
	}
	*done = 2
	// What failed inside is done again.
	call(t, s, "POST", "/api/things", `{"name":"boom","n":0}`, "Idempotency-Key", "k2")
	if call(t, s, "POST", "/api/things", `{"name":"boom","n":0}`, "Idempotency-Key", "k2"); *done != 4 {
		t.Errorf("a failed operation was not done again: %d", *done)
	}
}

func TestDescription(t *testing.T) {
	s, _ := things(t)
	_, body := call(t, s, "GET", "/openapi.json", "")
	var d struct {
		OpenAPI string                     `json:"openapi"`
		Paths   map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || !strings.HasPrefix(d.OpenAPI, "3.1") || d.Paths["/api/things/{name}"] == nil {
		t.Errorf("%v: %s", err, body)
	}
	for lang, want := range map[string]string{"en": "cursor", "zh": "游标"} {
		resp, page := call(t, s, "GET", "/docs", "", "Accept-Language", lang)
		if resp.StatusCode != 200 || !strings.Contains(page, want) || !strings.Contains(page, "/api/things/{name}") {
			t.Errorf("%s: %d %s", lang, resp.StatusCode, page)
		}
	}
}

func TestRoles(t *testing.T) {
	c := Caller{Identity: record.Identity{Ref: record.Ref{Index: 300, Name: "x/y"}}, Roles: []Role{{EnterpriseAdmin, "88.118.1001"}, {Operator, "88.200"}}}
	for _, x := range []struct {
		prefix string
		role   RoleName
		want   bool
	}{
		{"88.118.1001", EnterpriseAdmin, true}, {"88.118.10011", EnterpriseAdmin, false}, {"88.118", EnterpriseAdmin, false},
		{"88.118.1001", Reviewer, false}, {"88.200.1", Auditor, true}, {"88.2001", Auditor, false}, {"", Auditor, false},
	} {
		if got := c.Has(x.prefix, x.role); got != x.want {
			t.Errorf("%s at %s: %v", x.role, x.prefix, got)
		}
	}
	if !problem.Is(Caller{}.Need("88", Operator), problem.NeedAuth) || !problem.Is(c.Need("88", Operator), problem.Forbidden) {
		t.Error("the wrong refusal")
	}
	if (Caller{Identity: record.Identity{Operator: true}}).Need("88", Operator) != nil {
		t.Error("the node's own operator is refused")
	}
}
