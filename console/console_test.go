package console

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

// built skips where the console was not built; make test builds it.
func built(t *testing.T) *httptest.Server {
	t.Helper()
	if read() == nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the console is not built: make test builds it first")
		}
		t.Skip("the console is not built: run make console")
	}
	s := httptest.NewServer(Handler())
	t.Cleanup(s.Close)
	return s
}

func fetch(t *testing.T, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func TestServed(t *testing.T) {
	s := built(t)
	resp, page := fetch(t, s.URL+"/console/")
	if resp.StatusCode != 200 || !bytes.Contains(page, []byte(`id="app"`)) {
		t.Fatalf("the page: %d %.200s", resp.StatusCode, page)
	}
	csp := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "frame-ancestors 'none'", "connect-src 'self'", "base-uri 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy has no %s: %s", want, csp)
		}
	}
	for h, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-cache"} {
		if got := resp.Header.Get(h); got != want {
			t.Errorf("%s: %q, wanted %q", h, got, want)
		}
	}
	// No script stands in the page, and nothing comes from elsewhere.
	if regexp.MustCompile(`<script[^>]*>[^<]`).Match(page) || regexp.MustCompile(`(src|href)="(https?:)?//`).Match(page) {
		t.Errorf("the page has a script of its own or takes something from outside: %s", page)
	}
	asset := regexp.MustCompile(`/console/assets/[^"]+\.js`).FindString(string(page))
	resp, whole := fetch(t, s.URL+asset)
	if resp.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || resp.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("%s: %v", asset, resp.Header)
	}
	resp, small := fetch(t, s.URL+asset, "Accept-Encoding", "gzip, deflate, br")
	if resp.Header.Get("Content-Encoding") != "br" || !strings.HasSuffix(resp.Header.Get("ETag"), `-br"`) || len(small) == 0 || len(small) >= len(whole) {
		t.Errorf("%s does not come as the build pressed it: %v, %d of %d bytes", asset, resp.Header, len(small), len(whole))
	}
	if resp, _ := fetch(t, s.URL+asset+".br"); resp.StatusCode != 404 {
		t.Errorf("%s.br is shown as a file of its own", asset)
	}
	resp, zipped := fetch(t, s.URL+asset, "Accept-Encoding", "gzip, deflate")
	if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%s does not come pressed: %v", asset, resp.Header)
	}
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := io.ReadAll(z); err != nil || !bytes.Equal(again, whole) {
		t.Fatalf("pressed and plain differ: %v", err)
	}
	if resp, _ := fetch(t, s.URL+asset, "Accept-Encoding", "gzip;q=0"); resp.Header.Get("Content-Encoding") != "" {
		t.Error("who refuses gzip got it")
	}
	if resp, b := fetch(t, s.URL+asset, "Accept-Encoding", "gzip", "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != 304 || len(b) != 0 {
		t.Errorf("what the browser has came again: %d", resp.StatusCode)
	}
	if resp, _ := fetch(t, s.URL+"/console"); resp.StatusCode != 301 || resp.Header.Get("Location") != "/console/" {
		t.Errorf("without the slash: %d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	for _, absent := range []string{"/console/nothing", "/console/../console.go", "/console/assets/", "/console/dist/index.html"} {
		if resp, _ := fetch(t, s.URL+absent); resp.StatusCode != 404 {
			t.Errorf("%s: %d", absent, resp.StatusCode)
		}
	}
	post, err := http.Post(s.URL+"/console/", "text/plain", strings.NewReader("x"))
	if err != nil || post.StatusCode != 405 {
		t.Errorf("POST: %v %v", post.StatusCode, err)
	}
	var manifest struct {
		Name     string `json:"name"`
		StartURL string `json:"start_url"`
		Scope    string `json:"scope"`
		Display  string `json:"display"`
		Icons    []struct{ Src, Sizes string }
	}
	resp, b := fetch(t, s.URL+"/console/manifest.webmanifest")
	if err := json.Unmarshal(b, &manifest); err != nil || manifest.Scope != "/console/" || manifest.Display != "standalone" || len(manifest.Icons) == 0 ||
		resp.Header.Get("Content-Type") != "application/manifest+json" {
		t.Errorf("the phone cannot install it: %v %s", err, b)
	}
	for _, i := range manifest.Icons {
		if resp, _ := fetch(t, s.URL+"/console/"+strings.TrimPrefix(i.Src, "/console/")); resp.StatusCode != 200 {
			t.Errorf("the icon %s: %d", i.Src, resp.StatusCode)
		}
	}
}

// The first screen is what a browser loads before anybody clicks: the page, what it names, and what those import. At most
// 300 KB pressed.
func TestFirstScreen(t *testing.T) {
	s := built(t)
	seen := map[string]int{}
	var load func(path string)
	static := regexp.MustCompile(`(?:from|import)\s*["'](\./[^"']+)["']`)
	load = func(path string) {
		if _, ok := seen[path]; ok {
			return
		}
		resp, b := fetch(t, s.URL+path, "Accept-Encoding", "gzip")
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %d", path, resp.StatusCode)
		}
		seen[path] = len(b)
		_, plain := fetch(t, s.URL+path)
		if !strings.HasSuffix(path, ".js") {
			return
		}
		for _, m := range static.FindAllSubmatch(plain, -1) {
			load("/console/assets/" + strings.TrimPrefix(string(m[1]), "./"))
		}
	}
	resp, page := fetch(t, s.URL+"/console/", "Accept-Encoding", "gzip")
	total := len(page)
	_, page = fetch(t, s.URL+"/console/")
	for _, m := range regexp.MustCompile(`/console/assets/[^"]+\.(?:js|css)`).FindAllString(string(page), -1) {
		load(m)
	}
	// The home page's own part, which the router loads at once.
	for name := range read() {
		if regexp.MustCompile(`^assets/(Home|Login)-`).MatchString(name) {
			load("/console/" + name)
		}
	}
	for _, n := range seen {
		total += n
	}
	t.Logf("%d files, %d bytes pressed; %v", len(seen)+1, total, resp.Status)
	if len(seen) < 3 {
		t.Fatalf("the page names nothing: %v", seen)
	}
	if total > 300_000 {
		t.Errorf("the first screen is %d bytes, more than 300,000: %v", total, seen)
	}
}

// TestEarly: a small script asks the node and sends for the first screens while the application comes; what it names is there, the application's beginning is not among it twice.
func TestEarly(t *testing.T) {
	s := built(t)
	_, page := fetch(t, s.URL+"/console/")
	if !regexp.MustCompile(`<script src="/console/early.js" async[^>]*></script>`).Match(page) {
		t.Fatalf("the page does not begin early: %s", page)
	}
	resp, b := fetch(t, s.URL+"/console/early.js")
	if resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	for _, want := range []string{`"/api/node","/api/me"`, `"/":[`, `"/login":[`, `"/phone":[`} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("early.js has no %s: %s", want, b)
		}
	}
	names := regexp.MustCompile(`"(assets/[^"]+)"`).FindAllSubmatch(b, -1)
	if len(names) < 6 {
		t.Fatalf("early.js sends for %d files", len(names))
	}
	for _, n := range names {
		if resp, _ := fetch(t, s.URL+"/console/"+string(n[1])); resp.StatusCode != 200 {
			t.Errorf("%s: %d", n[1], resp.StatusCode)
		}
		if bytes.Contains(page, n[1]) {
			t.Errorf("%s comes with the page already", n[1])
		}
	}
}
