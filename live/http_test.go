package live_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fujie-id/fujie/live"
	"github.com/fujie-id/fujie/problem"
)

// TestHTTP asks a real server, over TLS, and has it misbehave.
func TestHTTP(t *testing.T) {
	var token atomic.Value
	token.Store("tok-1")
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	mux := http.NewServeMux()
	var got atomic.Value
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token.Load().(string) {
			w.WriteHeader(401)
			return
		}
		got.Store(r.URL.EscapedPath() + " " + r.URL.RawQuery)
		switch strings.TrimPrefix(r.URL.Path, "/api/parts/") {
		case "42":
			io.WriteString(w, `{"data": [{"qty": 7, "big": 12345678901234567890, "a/b": {"x": [1, true]}, "none": null}]}`)
		case "SHORT":
			io.WriteString(w, `{"data": [{"qty": 7}]}`)
		case "HTML":
			io.WriteString(w, `<html>busy</html>`)
		case "HUGE":
			io.WriteString(w, `{"data": [{"qty": "`+strings.Repeat("x", 1<<20)+`"}]}`)
		case "LONG":
			io.WriteString(w, `{"data": [{"qty": "`+strings.Repeat("x", 70000)+`", "big":1, "a/b":1, "none":1}]}`)
		case "MOVED":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "CUT":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"data"`)
		default:
			w.WriteHeader(404)
		}
	})
	mux.HandleFunc("POST /api/ask", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Part  string
			Names []string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			w.WriteHeader(400)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"said": in.Part + "/" + strings.Join(in.Names, ",")})
	})
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	r, book := open(t, live.Config{
		Next: registered(t), Transport: srv.Client().Transport,
		Secret: func(ref string) (string, error) { return token.Load().(string), nil },
		Declaration: live.Declaration{
			Sources: map[string]live.Source{"mes": {URL: srv.URL + "/api/", Bearer: "env:TOKEN", Failures: 100}},
			Rules: []live.Rule{
				{Name: "parts", Prefix: "88.118.1001", Suffix: "ENG-{no:any}", Source: "mes", HTTP: &live.Call{Path: "parts/{no}", Query: map[string]string{"of": "{prefix} & co"}},
					Cache: -1, Timeout: 5 * time.Second, Properties: []live.Property{
						{Index: 1, Type: "qty", Column: "/data/0/qty"}, {Index: 2, Type: "big", Column: "/data/0/big"},
						{Index: 3, Type: "deep", Column: "/data/0/a~1b"}, {Index: 4, Type: "none", Column: "/data/0/none"},
						{Index: 5, Type: "extra", Column: "/data/0/extra", Optional: true}}},
				{Name: "ask", Prefix: "88.118.1001", Suffix: "Q-{no}", Source: "mes", Case: "lower", HTTP: &live.Call{Path: "ask", Method: "POST",
					Body: map[string]any{"part": `x"{no}`, "names": []any{"{no}", "b"}}},
					Cache: -1, Timeout: 5 * time.Second, Properties: []live.Property{{Index: 1, Type: "said", Column: "/said"}}},
			}},
	})
	a, err := ask(r, "88.118.1001/ENG-42")
	if want := `1=7 2=12345678901234567890 3={"x":[1,true]}`; err != nil || texts(a) != want {
		t.Errorf("%s, %v", texts(a), err)
	}
	if got.Load() != "/api/parts/42 of=88.118.1001+%26+co" {
		t.Errorf("asked %s", got.Load())
	}
	if a, err = ask(r, `88.118.1001/Q-AB"C`); err != nil || texts(a) != `1=x"ab"c/ab"c,b` {
		t.Errorf("%s, %v", texts(a), err)
	}
	for suffix, want := range map[string]problem.Kind{
		"ENG-NONE": problem.NotFound, "ENG-..": problem.NotFound, "ENG-../../secret": problem.NotFound, "ENG-a/b?x=1#y": problem.NotFound, "ENG-%2e%2e": problem.NotFound,
		"ENG-SHORT": problem.Unreachable, "ENG-HTML": problem.Unreachable, "ENG-HUGE": problem.Unreachable, "ENG-LONG": problem.Unreachable,
		"ENG-MOVED": problem.Unreachable, "ENG-CUT": problem.Unreachable,
	} {
		a, err := ask(r, "88.118.1001/"+suffix)
		if !problem.Is(err, want) {
			t.Errorf("%s: %s, %v, want %v", suffix, texts(a), err, want)
		}
		if strings.Contains(got.Load().(string), "secret") && !strings.Contains(got.Load().(string), "%2Fsecret") {
			t.Errorf("it was led out of its folder: %s", got.Load())
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	for _, want := range []string{"nothing at /data/0/big", "status 302", "not JSON", "max-bytes"} {
		if !strings.Contains(book.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, book)
		}
	}
	token.Store("tok-2")
	if _, err = ask(r, "88.118.1001/ENG-42"); err != nil {
		t.Errorf("a rotated credential is not taken up: %v", err)
	}
	if strings.Contains(book.String(), "tok-") {
		t.Errorf("a credential is in the log:\n%s", book)
	}
}
