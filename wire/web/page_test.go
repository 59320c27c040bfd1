package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/html"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/web"
)

const firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// find is the first element with the tag and attribute, else nil.
func find(n *html.Node, tag, attr, value string) *html.Node {
	if n.Type == html.ElementNode && n.Data == tag {
		if attr == "" {
			return n
		}
		for _, a := range n.Attr {
			if a.Key == attr && a.Val == value {
				return n
			}
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if f := find(c, tag, attr, value); f != nil {
			return f
		}
	}
	return nil
}

func words(n *html.Node) string {
	if n == nil {
		return ""
	}
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(words(c))
	}
	return b.String()
}

// page gets a page and checks what every page must have.
func (w *world) page(path string, status int, head ...string) (*html.Node, reply) {
	w.t.Helper()
	r := w.ask("GET", path, "", append([]string{"Accept", firefox}, head...)...)
	if r.StatusCode != status || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		w.t.Fatalf("%s: %s %v\n%s", path, r.Status, r.Header, r.body)
	}
	root, err := html.Parse(strings.NewReader(r.body))
	if err != nil {
		w.t.Fatal(err)
	}
	if find(root, "script", "", "") != nil {
		w.t.Errorf("%s has a script", path)
	}
	csp := r.Header.Get("Content-Security-Policy")
	sum := sha256.Sum256([]byte(words(find(root, "style", "", ""))))
	if !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || strings.Contains(csp, "unsafe") {
		w.t.Errorf("%s: the policy does not fit the style: %s", path, csp)
	}
	if r.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(r.Header.Get("Vary"), "Accept-Language") {
		w.t.Errorf("%s: %v", path, r.Header)
	}
	return root, r
}

func TestEntryPage(t *testing.T) {
	w := open(t)
	root, _ := w.page("/", 200)
	if find(root, "input", "name", "id") == nil || find(root, "html", "lang", "en") == nil || !strings.Contains(words(root), "Look up") || !strings.Contains(words(root), "test-node") {
		t.Error(words(root))
	}
	root, _ = w.page("/", 200, "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8")
	if find(root, "html", "lang", "zh-CN") == nil || !strings.Contains(words(root), "查询") {
		t.Error(words(root))
	}
	if root, _ = w.page("/?lang=zh", 200, "Accept-Language", "en"); !strings.Contains(words(root), "查询") {
		t.Error(words(root))
	}
	if root, _ = w.page("/", 200, "Accept-Language", "zh;q=0.3,en;q=0.9"); find(root, "html", "lang", "en") == nil {
		t.Error("English was preferred")
	}
	r := w.ask("GET", "/?id=+88.118.1001%2FENG-42%3Fx+&lang=zh", "", "Accept", firefox)
	w.want(r, http.StatusSeeOther, "")
	if got := r.Header.Get("Location"); got != "/88.118.1001%2FENG-42%3Fx?noredirect&lang=zh" {
		t.Error(got)
	}
	if r = w.ask("GET", "/?id=%2Fevil.example", "", "Accept", firefox); r.StatusCode != 400 {
		t.Error(r.Status, r.Header)
	}
}

func TestRecordPage(t *testing.T) {
	var now, stale atomic.Int32
	now.Store(int32(record.Secure))
	w := open(t, func(s *web.Server) {
		inner := s.Resolver
		s.Resolver = resolver(func(q record.Query) (record.Answer, error) {
			a, err := inner.Resolve(t.Context(), q)
			a.Trust, a.Stale = record.Trust(now.Load()), stale.Load() == 1
			return a, err
		})
	})
	w.book.Put(prefix+"/nasty",
		text(1, "<script>alert(1)</script>", "<script>alert(2)</script>"),
		text(2, "URL", "javascript:alert(3)"),
		text(3, "EMAIL", "a@b.cn"), text(4, "EMAIL", "a@b.cn?subject=x"),
		text(5, "BIN", "\x00\x01"), text(6, "LONG", strings.Repeat("长", 5000)),
		text(7, record.TypeAdmin, string(record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: adminKey}))),
		text(8, "LINK", "https://shop.example/a?b=1&c=\"<x>"), text(9, "DESC", "\"'><img src=x onerror=alert(4)>"))
	root, r := w.page("/"+prefix+"/nasty", 200)
	if find(root, "img", "", "") != nil || strings.Contains(r.body, "<script") {
		t.Error(r.body)
	}
	for n, a := range map[string]string{"mail": "mailto:a@b.cn", "link": "https://shop.example/a?b=1&c=%22%3Cx%3E"} {
		if find(root, "a", "href", a) == nil {
			t.Errorf("no %s: %s", n, r.body)
		}
	}
	if regexp.MustCompile(`href="(javascript|mailto:a@b.cn\?)`).MatchString(r.body) {
		t.Error("a link that must not be one")
	}
	said := words(root)
	for _, part := range []string{"Verified", "<script>alert(2)</script>", "javascript:alert(3)", "300:0.NA/88.118.1001 (111111111111)", "AAE=", "1 day", "this node", "VAA0881181001/NASTY"} {
		if !strings.Contains(said, part) {
			t.Errorf("the page does not say %q", part)
		}
	}
	if len(r.body) > 60000 {
		t.Errorf("%d bytes", len(r.body))
	}
	now.Store(int32(record.Unsigned))
	stale.Store(1)
	if root, _ = w.page("/"+prefix+"/nasty", 200, "Accept-Language", "zh"); !strings.Contains(words(root), "未签名") || !strings.Contains(words(root), "旧应答") || !strings.Contains(words(root), "电子邮箱") {
		t.Error(words(root))
	}
	root, r = w.page("/"+prefix+"/%3Cscript%3Ealert(1)%3C%2Fscript%3E", 404)
	if !strings.Contains(words(root), "not registered") || strings.Contains(r.body, "<script") {
		t.Error(r.body)
	}
	if root, _ = w.page("/99.1/x", 400); !strings.Contains(words(root), "does not answer for this prefix") {
		t.Error(words(root))
	}
	if root, _ = w.page("/"+prefix+"/", 400); !strings.Contains(words(root), "ends in its slash") {
		t.Error(words(root))
	}
	// another spelling is as good
	w.page("/VAA0881181001/nasty", 200)
	w.page("/"+prefix+"%2Fnasty", 200)
}

func TestPageOfABogusAnswer(t *testing.T) {
	w := open(t, func(s *web.Server) {
		s.Resolver = resolver(func(record.Query) (record.Answer, error) {
			return record.Answer{Values: []record.Value{text(1, "URL", "https://evil.example/")}}, problem.New(problem.Bogus, "forged", "伪造")
		})
	})
	root, r := w.page("/88.1/x", 502)
	if !strings.Contains(words(root), "signatures do not hold") || strings.Contains(r.body, "evil.example") || r.Header.Get("Location") != "" {
		t.Error(r.body)
	}
}

func TestRedirects(t *testing.T) {
	w := open(t)
	b := w.book
	b.Put(prefix+"/one", text(2, "url", "https://b.example/"), text(1, "URL", "https://a.example/路?x=1#f"), text(9, "URL", "https://c.example/"), text(3, "DESC", "d"))
	b.Put(prefix+"/query", text(1, "URL", "https://a.example/?q=a b\"<中>&r=%20"))
	b.Put(prefix+"/none", text(1, "DESC", "d"))
	for i, bad := range []string{"javascript:alert(1)", "data:text/html,x", "//evil.example", "/relative", "http:evil.example", "http://", "ftp://a.example", "https://a.example/\r\nSet-Cookie: x", "file:///etc/passwd", "https:\\\\evil.example", ""} {
		b.Put(prefix+"/bad"+string(rune('a'+i)), text(1, "URL", bad))
	}
	b.Put(prefix+"/loc", text(1, "URL", "https://plain.example/"), text(2, record.TypeLoc,
		`<locations><location href="https://cn.example/" country="cn"/><location href="https://any.example/"/><location href="javascript:x" weight="0" country="xx"/></locations>`))
	b.Put(prefix+"/alias", text(1, record.TypeAlias, prefix+"/ONE"))
	b.Put(prefix+"/circle", text(1, record.TypeAlias, prefix+"/CIRCLE2"))
	b.Put(prefix+"/circle2", text(1, record.TypeAlias, prefix+"/CIRCLE"))

	to := func(path, accept, want string) {
		t.Helper()
		r := w.ask("GET", path, "", "Accept", accept)
		if r.StatusCode != http.StatusFound || r.Header.Get("Location") != want {
			t.Errorf("%s: %s to %q, want %q", path, r.Status, r.Header.Get("Location"), want)
		}
	}
	p := "/" + prefix
	// a browser gets the page, with the way on, and goes on at once where that is the rule
	root, _ := w.page(p+"/one", 200)
	if a := find(root, "a", "class", "go"); a == nil || find(root, "a", "href", "https://a.example/%E8%B7%AF?x=1#f") != a {
		t.Error("the page shows no way on")
	}
	to(p+"/one?redirect", firefox, "https://a.example/%E8%B7%AF?x=1#f")
	to(p+"/one?redirect", "*/*", "https://a.example/%E8%B7%AF?x=1#f")
	w = open(t, func(s *web.Server) { s.Redirect, s.Resolver = true, b })
	to(p+"/one", firefox, "https://a.example/%E8%B7%AF?x=1#f")
	to(p+"/query", firefox, "https://a.example/?q=a%20b%22%3C%E4%B8%AD%3E&r=%20")
	to(p+"/one", "*/*", "https://a.example/%E8%B7%AF?x=1#f")
	to(p+"/one?urlappend=.evil.example&hdl=1", firefox, "https://a.example/%E8%B7%AF?x=1#f")
	to(p+"/loc?country=cn", firefox, "https://cn.example/")
	to(p+"/loc?country=fr", firefox, "https://any.example/")
	to(p+"/alias", firefox, "https://a.example/%E8%B7%AF?x=1#f")
	w.page(p+"/one?noredirect", 200)
	w.page(p+"/none", 200)
	for i := range 11 {
		_, r := w.page(p+"/bad"+string(rune('a'+i)), 200)
		if r.Header.Get("Location") != "" || r.Header.Get("Set-Cookie") != "" {
			t.Errorf("%d: %v", i, r.Header)
		}
	}
	w.page(p+"/alias?ignore_aliases", 200)
	if root, _ := w.page(p+"/alias?noredirect", 200); !strings.Contains(words(root), "This is another name of "+prefix+"/ONE") {
		t.Error(words(root))
	}
	if root, _ := w.page(p+"/circle", 500); !strings.Contains(words(root), "circle") {
		t.Error(words(root))
	}
	for _, c := range [][2]string{{p + "/one", "application/json"}, {p + "/one", "application/json, text/html;q=0.5"}, {p + "/one?noredirect", "*/*"}, {p + "/none", "*/*"}, {p + "/none", "application/ld+json"}} {
		r := w.ask("GET", c[0], "", "Accept", c[1])
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || !strings.HasPrefix(r.body, `{"responseCode":1,"handle":"`+prefix) {
			t.Errorf("%v: %s %s", c, r.Status, r.body)
		}
	}
	w.want(w.ask("GET", p+"/absent", "", "Accept", "application/json"), 404, `{"responseCode":100,"handle":"`+prefix+`/absent"}`)
	w.want(w.ask("GET", "/favicon.ico", ""), 404, "*")
	w.want(w.ask("POST", p+"/one", "x"), 501, "*")
	if r := w.ask("HEAD", p+"/none", "", "Accept", firefox); r.StatusCode != 200 || r.body != "" {
		t.Error(r.Status, r.body)
	}
}
