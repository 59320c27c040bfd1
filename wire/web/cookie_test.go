package web

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Whose request a cookie makes it, by where the browser says that it comes from.
func TestCookieCounts(t *testing.T) {
	s := &Server{Cookie: "fujie-1", Bearer: func(_ context.Context, token string) (record.Identity, error) {
		if token != "good" {
			return record.Identity{}, problem.New(problem.AuthFailed, "over", "失效")
		}
		return record.Identity{Ref: record.Ref{Index: 301, Name: "88.1/USER_LI"}}, nil
	}}
	for _, c := range []struct {
		name, method, token string
		plain               bool
		header              map[string]string
		counts              bool
	}{
		{name: "own page reads", method: "GET", token: "good", header: map[string]string{"Sec-Fetch-Site": "same-origin"}, counts: true},
		{name: "own page writes", method: "POST", token: "good", header: map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "https://node.example"}, counts: true},
		{name: "typed into the bar", method: "GET", token: "good", header: map[string]string{"Sec-Fetch-Site": "none"}, counts: true},
		{name: "another site writes", method: "POST", token: "good", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}},
		{name: "another site reads", method: "GET", token: "good", header: map[string]string{"Sec-Fetch-Site": "cross-site"}},
		{name: "another port of the host writes", method: "POST", token: "good", header: map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "https://node.example:8443"}},
		{name: "another port of the host reads", method: "GET", token: "good", header: map[string]string{"Sec-Fetch-Site": "same-site"}},
		{name: "an old browser, another site writes", method: "POST", token: "good", header: map[string]string{"Origin": "https://evil.example"}},
		{name: "an old browser, own page writes", method: "POST", token: "good", header: map[string]string{"Origin": "https://node.example"}, counts: true},
		{name: "another site opens a socket", method: "GET", token: "good", header: map[string]string{"Upgrade": "websocket", "Origin": "https://evil.example"}},
		{name: "own page opens a socket", method: "GET", token: "good", header: map[string]string{"Upgrade": "websocket", "Origin": "https://node.example"}, counts: true},
		{name: "plain HTTP", method: "GET", token: "good", plain: true},
		{name: "a session that is over", method: "GET", token: "old", header: map[string]string{"Sec-Fetch-Site": "same-origin"}},
	} {
		r := httptest.NewRequest(c.method, "https://node.example/api/me", nil)
		if r.TLS = (&tls.ConnectionState{}); c.plain {
			r.TLS = nil
		}
		r.AddCookie(&http.Cookie{Name: "fujie-1", Value: c.token})
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		by, err := s.identify(&call{s: s, r: r})
		if err != nil || !by.IsZero() != c.counts {
			t.Errorf("%s: %v %v, counts is to be %v", c.name, by, err, c.counts)
		}
	}
}
