package node

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestFront shows that the interface of every role can be described, and that its page is there in both languages.
func TestFront(t *testing.T) {
	dir := t.TempDir()
	cfg := &Config{Role: SecondLevel, Prefix: "88.118", Data: dir, Listen: Listen{IRP: "127.0.0.1:0", HTTP: "127.0.0.1:0"}}
	n, err := Start(t.Context(), cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	h := n.routes()
	for path, want := range map[string]string{
		"/openapi.json": `"/api/prefix-applications"`, "/docs": "/api/handles/{identifier}", "/api/office": `"prefix":"88.118"`, "/ledger/witness/vkey": "fujie/88.118/",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "https://node"+path, nil)
		route := h(path)
		if route == nil {
			t.Errorf("nobody answers %s", path)
			continue
		}
		route.ServeHTTP(w, r)
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %.300s", path, w.Code, w.Body)
		}
	}
	if h("/api/handles/x") != nil || h("/88.118/x") != nil {
		t.Error("paths of wire/web are taken from it")
	}
}
