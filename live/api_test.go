package live_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/live"
	"github.com/fujie-id/fujie/record"
)

func TestAPI(t *testing.T) {
	who := api.Caller{}
	a := api.New(api.Config{Title: "t", Version: "1", Identify: func(*http.Request) (api.Caller, error) { return who, nil }})
	p := &plant{}
	p.set(says(500, ""))
	d := machine(nil)
	d.Sources["erp"] = live.Source{URL: "sqlite:///nowhere/x.db"}
	r, _ := open(t, live.Config{Next: registered(t), Transport: p, Declaration: d})
	r.API(a, "88.118.1001")
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := get("/api/live-sources"); code != 401 {
		t.Errorf("anybody: %d %s", code, body)
	}
	who.Ref = record.Ref{Index: 300, Name: "88.1/X"}
	if code, body := get("/api/live-sources"); code != 403 || strings.Contains(body, "mes") {
		t.Errorf("a stranger: %d %s", code, body)
	}
	if _, err := query(r, record.Query{ID: m1, PublicOnly: true}); err == nil {
		t.Error("the source is well")
	}
	who.Operator = true
	code, body := get("/api/live-sources?limit=1")
	if code != 200 || !strings.Contains(body, `"name":"erp"`) || !strings.Contains(body, `"next":"erp"`) {
		t.Errorf("the first page: %d %s", code, body)
	}
	if code, body = get("/api/live-sources?after=erp"); code != 200 || !strings.Contains(body, `"failed":1`) || !strings.Contains(body, "status 500") || strings.Contains(body, "next") {
		t.Errorf("the second page: %d %s", code, body)
	}
}
