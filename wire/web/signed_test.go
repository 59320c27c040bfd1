package web_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
	"github.com/fujie-id/fujie/wire/web"
)

// whoami adds a route that tells who asks.
func whoami(s *web.Server) {
	s.Routes = func(path string) http.Handler {
		if path != "/api/whoami" {
			return nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			by, err := s.Identify(r)
			if err != nil {
				io.WriteString(w, problem.KindOf(err).String())
				return
			}
			io.WriteString(w, by.Ref.String())
		})
	}
}

func TestDoorsBySession(t *testing.T) {
	recordtest.Run(t, func(t *testing.T) recordtest.Doors {
		w := open(t)
		c := w.client(func(c *web.Client) { c.Sessions = true })
		any := w.client(nobody)
		return recordtest.Doors{Resolver: c, Registrar: c, Lister: c, Feed: c, AnybodyResolver: any, AnybodyRegistrar: any,
			Admin: record.Identity{Ref: adminKey}, Prefix: prefix, Homes: true}
	})
}

// signed is a request by the administrator.
func (w *world) signed(method, path, body string, o httpsig.Options, head ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "https://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	if err := httpsig.Sign(r, w.key, adminKey, o); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) send(r *http.Request) reply {
	w.t.Helper()
	if r.GetBody != nil {
		r.Body, _ = r.GetBody()
	}
	resp, err := w.browser().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{resp, string(b)}
}

func TestSignedRequests(t *testing.T) {
	w := open(t)
	probe(w)
	// The plain question is answered ready; a signed one never is.
	r := w.signed("GET", "/api/handles/"+prefix+"/mixed", "", httpsig.Options{})
	got := w.send(r)
	if got.StatusCode != 200 || !strings.Contains(got.body, `"permissions":"1100"`) || got.Header.Get("Cache-Control") != "no-store" {
		t.Error(got.Status, got.body)
	}
	got = w.send(r)
	if got.StatusCode != 403 || got.Header.Get("Fujie-Problem") != "authentication-failed" || strings.Contains(got.body, "1100") {
		t.Error("a request is taken twice:", got.Status, got.body)
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		kind   string
		status int
	}{
		"two proofs":     {func(r *http.Request) { r.Header.Set("Authorization", basic) }, "bad-credential", 403},
		"half":           {func(r *http.Request) { r.Header.Del("Signature") }, "bad-credential", 403},
		"the other half": {func(r *http.Request) { r.Header.Del("Signature-Input") }, "bad-credential", 403},
		"open":           {func(r *http.Request) { r.URL.Scheme = "http" }, "authentication-needed", 403},
		"changed":        {func(r *http.Request) { r.URL.RawQuery = "publicOnly=false" }, "authentication-failed", 403},
	} {
		r := w.signed("GET", "/api/handles/"+prefix+"/probe", "", httpsig.Options{})
		c.change(r)
		if got := w.send(r); got.StatusCode != c.status || got.Header.Get("Fujie-Problem") != c.kind || strings.Contains(got.body, `"values"`) {
			t.Errorf("%s: %s %s %s", name, got.Status, got.Header.Get("Fujie-Problem"), got.body)
		}
	}
	old := w.signed("GET", "/api/handles/"+prefix+"/probe", "", httpsig.Options{Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	if got := w.send(old); got.StatusCode != 403 || got.Header.Get("Fujie-Problem") != "authentication-timeout" {
		t.Error(got.Status, got.body)
	}
	// A page of another site cannot make a browser sign; a program that says it is one may.
	post := w.signed("POST", "/api/register", `{"id":"`+prefix+`/by-post","values":[]}`, httpsig.Options{}, "Origin", "https://other.example")
	if got := w.send(post); got.StatusCode != 200 || !strings.Contains(got.body, `"responseCode":1`) {
		t.Error(got.Status, got.body)
	}
}

func TestSignedBodies(t *testing.T) {
	w := open(t, whoami, func(s *web.Server) { s.Limits.Body, s.Limits.Bulk = 1000, 3000 })
	for n, want := range map[int]string{999: "300:0.NA/88.118.1001", 1001: "300:0.NA/88.118.1001", 3000: "300:0.NA/88.118.1001", 3001: "too-large"} {
		if got := w.send(w.signed("POST", "/api/whoami", strings.Repeat("x", n), httpsig.Options{})); got.body != want {
			t.Errorf("%d bytes: %s", n, got.body)
		}
	}
	// Without a length only small ones.
	r := w.signed("POST", "/api/whoami", strings.Repeat("x", 1001), httpsig.Options{})
	r.GetBody, r.ContentLength = nil, -1
	r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 1001)))
	if got := w.send(r); got.body != "too-large" {
		t.Error(got.body)
	}
	// What large bodies took is given back.
	for range 50 {
		if got := w.send(w.signed("POST", "/api/whoami", strings.Repeat("x", 3000), httpsig.Options{})); got.body != "300:0.NA/88.118.1001" {
			t.Fatal(got.body)
		}
	}
}

func TestAuthorities(t *testing.T) {
	w := open(t, whoami)
	_, port, _ := strings.Cut(w.addr, ":")
	as := func(host string) string {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+w.addr+"/api/whoami", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if err := httpsig.Sign(r, w.key, adminKey, httpsig.Options{}); err != nil {
			t.Fatal(err)
		}
		return w.send(r).body
	}
	check := func(want map[string]bool) {
		t.Helper()
		for host, ok := range want {
			if got := as(host); (got == "300:0.NA/88.118.1001") != ok || !ok && got != "authentication-failed" {
				t.Errorf("%s: %s", host, got)
			}
		}
	}
	check(map[string]bool{
		"127.0.0.1:" + port: true, "localhost:" + port: true, "LOCALHOST:" + port: true, "127.0.0.1": false, "127.0.0.1:443": false,
		"127.0.0.1:1": false, "other.example:" + port: false, "127.0.0.2:" + port: false, "[::1]:" + port: false,
	})
	site := &record.Site{Servers: []record.Server{{Addr: netip.MustParseAddr("192.0.2.7"), Interfaces: []record.Interface{{Protocol: record.HTTP, Port: 443}, {Protocol: record.TCP, Port: 2641}}}}}
	w.server.Site = func() *record.Site { return site }
	check(map[string]bool{"192.0.2.7": true, "192.0.2.7:443": true, "192.0.2.7:" + port: true, "192.0.2.7:2641": false, "127.0.0.1:" + port: true, "192.0.2.8": false})
	w.server.Authorities = func(host string) bool { return host == "a.example" }
	check(map[string]bool{"a.example": true, "A.Example:443": true, "127.0.0.1:" + port: false})
}

func TestBearer(t *testing.T) {
	w := open(t, whoami, func(s *web.Server) {
		s.Bearer = func(_ context.Context, token string) (record.Identity, error) {
			if token != "right" {
				return record.Identity{}, problem.New(problem.AuthFailed, "no", "否")
			}
			return record.Identity{Ref: record.Ref{Index: 301, Name: prefix + "/User_wang"}}, nil
		}
	})
	for token, want := range map[string]string{"Bearer right": "301:88.118.1001/User_wang", "bearer  right": "301:88.118.1001/User_wang", "Bearer wrong": "authentication-failed", "Bearer": "bad-credential",
		"Bearer " + strings.Repeat("x", 17<<10): "bad-credential"} {
		if got := w.ask("GET", "https:///api/whoami", "", "Authorization", token).body; got != want {
			t.Errorf("%.20s: %s", token, got)
		}
	}
	if got := w.ask("GET", "/api/whoami", "", "Authorization", "Bearer right").body; got != "authentication-needed" {
		t.Error("a token in the open:", got)
	}
	// No browser adds such a token by itself.
	if got := w.ask("POST", "https:///api/whoami", "", "Authorization", "Bearer right", "Origin", "https://other.example").body; got != "301:88.118.1001/User_wang" {
		t.Error(got)
	}
}

func TestPurposeAndLive(t *testing.T) {
	read := time.Date(2026, 11, 22, 8, 0, 0, 123_000_000, time.UTC)
	var purpose string
	w := open(t, func(s *web.Server) {
		s.Resolver = resolver(func(q record.Query) (record.Answer, error) {
			purpose = q.Purpose
			return record.Answer{Values: []record.Value{text(1, "price", "9")}, Live: read}, nil
		})
	})
	c := w.client(nobody)
	a, err := c.Resolve(t.Context(), record.Query{ID: idOf(prefix + "/x"), PublicOnly: true, Purpose: "质保 / warranty"})
	if err != nil || purpose != "质保 / warranty" || !a.Live.Equal(read) {
		t.Error(a, purpose, err)
	}
	c = w.client(nobody, func(c *web.Client) { c.Purpose = "recall" })
	if _, err := c.Resolve(t.Context(), record.Query{ID: idOf(prefix + "/x"), PublicOnly: true}); err != nil || purpose != "recall" {
		t.Error(purpose, err)
	}
	r := w.ask("GET", "/api/handles/"+prefix+"/x", "", "Fujie-Purpose", "warranty")
	if r.Header.Get("Fujie-Live") != "2026-11-22T08:00:00.123Z" || !strings.HasSuffix(r.body, `,"live":"2026-11-22T08:00:00.123Z"}`) || purpose != "warranty" {
		t.Error(r.Header, r.body, purpose)
	}
	mustJSON(t, r.body)
	for _, bad := range []string{"%zz", "%01", "%ff", strings.Repeat("x", 129)} {
		if r := w.ask("GET", "/api/handles/"+prefix+"/x", "", "Fujie-Purpose", bad); r.StatusCode != 400 {
			t.Errorf("%q: %s", bad, r.Status)
		}
	}
}

// TestBrokenConnections breaks the connection behind a question that was taken: the client asks anew, and is no forger.
func TestBrokenConnections(t *testing.T) {
	w := open(t)
	probe(w)
	broke := false
	w.server.Routes = nil
	inner := w.server.Handler()
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(strings.ToLower(r.URL.Path), "/mixed") && !broke {
			broke = true
			inner.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		inner.ServeHTTP(rw, r)
	}))
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{w.server.Certificate}}
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	c := w.client(func(c *web.Client) { c.Base = proxy.URL })
	for _, name := range []string{"/probe", "/mixed"} { // the first leaves a connection for the second
		if _, err := c.Resolve(t.Context(), record.Query{ID: idOf(prefix + name)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !broke {
		t.Error("nothing broke")
	}
}

// TestStaleKeysDoNotCount has a key that only the cache still knows.
func TestStaleKeysDoNotCount(t *testing.T) {
	var stale bool
	w := open(t, whoami)
	w.server.Auth = &trust.Checker{Resolver: resolver(func(q record.Query) (record.Answer, error) {
		a, err := w.book.Resolve(context.Background(), q)
		a.Stale = stale
		return a, err
	})}
	if got := w.send(w.signed("GET", "/api/whoami", "", httpsig.Options{})); got.body != "300:0.NA/88.118.1001" {
		t.Error(got.body)
	}
	stale = true
	if got := w.send(w.signed("GET", "/api/whoami", "", httpsig.Options{})); got.body != "authentication-error" {
		t.Error(got.body)
	}
}

// BenchmarkSignedQuestion is a question over HTTPS by somebody whose key is known, beside the same one by nobody, and one
// bare check of a signature: what signing adds is at most three of those.
func BenchmarkSignedQuestion(b *testing.B) {
	w := open(b)
	w.book.Put(prefix+"/probe", text(1, "URL", "http://a"))
	run := func(b *testing.B, c *web.Client, q record.Query) {
		for b.Loop() {
			if _, err := c.Resolve(b.Context(), q); err != nil {
				b.Fatal(err)
			}
		}
	}
	q := record.Query{ID: idOf(prefix + "/probe")}
	open := q
	open.PublicOnly = true
	b.Run("unsigned", func(b *testing.B) { run(b, w.client(nobody), open) })
	b.Run("signed", func(b *testing.B) { run(b, w.client(), q) })
	b.Run("verify", func(b *testing.B) {
		m := make([]byte, 300)
		sig, err := w.key.Sign(m)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if w.key.Public().Verify(m, sig) != nil {
				b.Fatal()
			}
		}
	})
	b.Run("sign", func(b *testing.B) {
		m := []byte(strconv.Itoa(300))
		for b.Loop() {
			if _, err := w.key.Sign(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
