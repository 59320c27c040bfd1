package web_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// probe fills the book with what the table below asks for.
func probe(w *world) {
	w.book.Put(prefix+"/probe", text(1, "URL", "http://a"))
	private := text(2, "NOTE", "b")
	private.Perm = record.AdminRead | record.AdminWrite
	w.book.Put(prefix+"/mixed", text(1, "URL", "http://a"), private, text(3, "URL.SUB", "x"))
	w.book.Put(prefix+"/closed", private)
	w.book.Put(prefix + "/empty")
	w.book.Put(prefix+"/中文", text(1, "名称", "缸体"))
}

const probeValue = `{"index":1,"type":"URL","data":{"format":"string","value":"http://a"},"ttl":86400,"timestamp":"2026-11-22T15:10:27Z"}`

func TestResolveAsHandleNet(t *testing.T) {
	w := open(t)
	probe(w)
	both := func(path string, status int, body string, head ...string) {
		t.Helper()
		w.want(w.ask("GET", path, "", head...), status, body)
		w.want(w.ask("GET", "https://"+path, "", head...), status, body)
	}
	ok := `{"responseCode":1,"handle":"` + prefix + `/probe","values":[` + probeValue + `]}`
	both("/api/handles/"+prefix+"/probe", 200, ok)
	both("/api/handles/"+prefix+"%2Fprobe", 200, ok)
	both("/api/handles/VAA0881181001/probe", 200, strings.Replace(ok, prefix+"/probe", "VAA0881181001/probe", 1))
	both("/api/handles/"+prefix+"/PROBE", 200, strings.Replace(ok, "/probe", "/PROBE", 1))
	both("/api/handles/"+prefix+"/%E4%B8%AD%E6%96%87", 200, `{"responseCode":1,"handle":"`+prefix+`/中文","values":[{"index":1,"type":"名称","data":{"format":"string","value":"缸体"},"ttl":86400,"timestamp":"2026-11-22T15:10:27Z"}]}`)
	both("/api/handles/"+prefix+"/none", 404, `{"responseCode":100,"handle":"`+prefix+`/none"}`)
	both("/api/handles/99.999/x", 400, `{"responseCode":301,"message":"That prefix doesn't live here","handle":"99.999/x"}`)
	both("/api/handles/"+prefix+"/closed", 200, `{"responseCode":200,"handle":"`+prefix+`/closed","values":[]}`)
	both("/api/handles/"+prefix+"/empty", 200, `{"responseCode":200,"handle":"`+prefix+`/empty","values":[]}`)
	both("/api/handles/"+prefix+"/mixed?type=url", 200, `{"responseCode":1,"handle":"`+prefix+`/mixed","values":[`+probeValue+`]}`)
	both("/api/handles/"+prefix+"/mixed?type=URL&index=9", 200, `{"responseCode":1,"handle":"`+prefix+`/mixed","values":[`+probeValue+`]}`)
	both("/api/handles/"+prefix+"/mixed?index=2", 200, `{"responseCode":200,"handle":"`+prefix+`/mixed","values":[]}`)
	both("/api/handles/"+prefix+"/mixed?type=EMAIL", 200, `{"responseCode":200,"handle":"`+prefix+`/mixed","values":[]}`)
	both("/api/foo", 404, `{"responseCode":4,"message":"Unknown HTTP API endpoint GET /api/foo"}`)
	both("/api/handles/"+prefix+"/", 400, "*")
	both("/api/handles/"+prefix+"/x?index=0", 400, "*")
	both("/api/handles/"+prefix+"/x?publicOnly=maybe", 400, "*")
	both("/api/handles/"+prefix+"/x?a=%zz", 400, "*")

	w.want(w.ask("POST", "/api/handles/"+prefix+"/mixed", "type=url&pretty=false", "Content-Type", "application/x-www-form-urlencoded"), 200, `{"responseCode":1,"handle":"`+prefix+`/mixed","values":[`+probeValue+`]}`)
	w.want(w.ask("PATCH", "/api/handles/"+prefix+"/x", ""), 501, `{"responseCode":4,"message":"Unknown method PATCH"}`)

	// what is not public: dropped by default, asked for when it must be seen
	w.want(w.ask("GET", "/api/handles/"+prefix+"/mixed?publicOnly=false", ""), 403, "*")
	r := w.ask("GET", "https:///api/handles/"+prefix+"/mixed?publicOnly=false", "")
	w.want(r, 401, "*")
	challenges := r.Header.Values("WWW-Authenticate")
	if !strings.HasPrefix(r.body, `{"responseCode":402,`) || len(challenges) != 2 || challenges[0] != `Basic realm="handle"` ||
		!regexp.MustCompile(`^Handle sessionId="[^"]+", nonce="[^"]+"$`).MatchString(challenges[1]) {
		t.Error(r.body, challenges)
	}
	r = w.ask("GET", "https:///api/handles/"+prefix+"/mixed?publicOnly=false", "", "X-Requested-With", "XMLHttpRequest")
	if c := r.Header.Values("WWW-Authenticate"); len(c) != 1 || !strings.HasPrefix(c[0], "Handle ") {
		t.Error("a page's script would make the browser ask for a password:", c)
	}
	r = w.ask("GET", "https:///api/handles/"+prefix+"/mixed", "", "Authorization", basic)
	if r.StatusCode != 200 || !strings.Contains(r.body, `"permissions":"1100"`) || r.Header.Get("Cache-Control") != "no-store" {
		t.Error(r.Status, r.body)
	}
}

func TestDress(t *testing.T) {
	w := open(t)
	probe(w)
	for path, same := range map[string]string{"/api/handles/" + prefix + "/probe": "fast", "/api/handles/" + prefix + "/probe?type=URL": "slow", "/api/handles/" + prefix + "/none": "none"} {
		r := w.ask("GET", path, "", "Origin", "https://shop.example")
		h := r.Header
		if h.Get("Content-Type") != "application/json;charset=utf-8" || h.Get("Access-Control-Allow-Origin") != "https://shop.example" || h.Get("Access-Control-Allow-Credentials") != "" ||
			!strings.HasPrefix(h.Get("Access-Control-Expose-Headers"), "Content-Length") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Length") != strconv.Itoa(len(r.body)) {
			t.Errorf("%s: %v", same, h)
		}
		if r = w.ask("GET", path, ""); r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", same, r.Header)
		}
	}
	r := w.ask("OPTIONS", "/api/handles/"+prefix+"/probe", "", "Origin", "https://shop.example", "Access-Control-Request-Method", "PUT")
	if r.StatusCode != 200 || r.body != "" || !strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Error(r.Status, r.body, r.Header)
	}
	r = w.ask("GET", "/api/handles/"+prefix+"/none?callback=f<x", "")
	w.want(r, 404, `f_x({"responseCode":100,"handle":"`+prefix+`/none"});`)
	if r.Header.Get("Content-Type") != "application/javascript;charset=utf-8" {
		t.Error(r.Header)
	}
	w.want(w.ask("GET", "/api/handles/"+prefix+"/none?callback=1.a.b(", ""), 404, `_.a.b_({"responseCode":100,"handle":"`+prefix+`/none"});`)
	w.want(w.ask("GET", "/api/handles/"+prefix+"/none?pretty", ""), 404, "{\n  \"responseCode\": 100,\n  \"handle\": \""+prefix+"/none\"\n}")
	head := w.ask("HEAD", "/api/handles/"+prefix+"/probe", "")
	if head.StatusCode != 200 || head.body != "" || head.Header.Get("Content-Length") == "0" {
		t.Error(head.Status, head.Header)
	}
	zh := w.ask("GET", "/api/handles/99.999/x", "", "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8")
	w.want(zh, 400, `{"responseCode":301,"message":"该前缀不在此节点","handle":"99.999/x"}`)
}

func TestChangesAsHandleNet(t *testing.T) {
	w := open(t)
	path := "https:///api/handles/" + prefix + "/new"
	auth := []string{"Authorization", basic, "Content-Type", "application/json"}
	ok := `{"responseCode":1,"handle":"` + prefix + `/new"}`
	one := `{"index":1,"type":"URL","data":{"format":"string","value":"http://a"}}`
	w.want(w.ask("PUT", path+"?overwrite=false", `{"values":[`+one+`]}`, auth...), 201, ok)
	w.want(w.ask("PUT", path+"?overwrite=false", `{"values":[`+one+`]}`, auth...), 409, `{"responseCode":101,"handle":"`+prefix+`/new"}`)
	w.want(w.ask("PUT", path+"?overwrite=true", `[`+one+`]`, auth...), 200, ok)
	w.want(w.ask("PUT", path, `{"handle":"`+strings.ToUpper(prefix)+`/NEW","values":[`+one+`]}`, auth...), 200, ok)

	// with indexes only those are added and changed
	w.want(w.ask("PUT", path+"?index=2", `{"index":2,"type":"X","data":"b"}`, auth...), 201, ok)
	w.want(w.ask("PUT", path+"?index=2", `{"index":2,"type":"X","data":"c"}`, auth...), 200, ok)
	w.want(w.ask("PUT", path+"?index=2&overwrite=false", `{"index":2,"type":"X","data":"d"}`, auth...), 409, "*")
	w.want(w.ask("PUT", path+"?index=3", `{"type":"X","data":"e"}`, auth...), 201, ok)
	w.want(w.ask("PUT", path+"?index=various", `[{"index":4,"type":"X","data":"f"},{"index":2,"type":"X","data":"g"}]`, auth...), 200, ok)
	w.want(w.ask("PUT", path+"?index=3", `{"index":4,"type":"X","data":"e"}`, auth...), 400, "*")
	w.want(w.ask("PUT", "https:///api/handles/"+prefix+"/absent?index=3", `{"index":3,"type":"X","data":"e"}`, auth...), 404, "*")
	got := w.ask("GET", path, "")
	for _, part := range []string{`"value":"http://a"`, `"value":"g"`, `"value":"e"`, `"value":"f"`} {
		if !strings.Contains(got.body, part) {
			t.Errorf("%s lacks %s", got.body, part)
		}
	}

	w.want(w.ask("DELETE", path+"?index=2&index=3", "", auth...), 200, ok)
	w.want(w.ask("DELETE", path+"?index=2", "", auth...), 400, "*")
	w.want(w.ask("DELETE", path, "", auth...), 200, ok)
	w.want(w.ask("DELETE", path, "", auth...), 404, `{"responseCode":100,"handle":"`+prefix+`/new"}`)
	w.want(w.ask("GET", path, ""), 404, "*")

	minted := w.ask("PUT", "https:///api/handles/"+prefix+"/part-?mintNewSuffix=true", `[`+one+`]`, auth...)
	if m := regexp.MustCompile(`^\{"responseCode":1,"handle":"(` + prefix + `/PART-[^"]+)"\}$`).FindStringSubmatch(minted.body); minted.StatusCode != 201 || m == nil {
		t.Error(minted.Status, minted.body)
	} else {
		w.want(w.ask("GET", "/api/handles/"+m[1], ""), 200, "*")
	}

	for name, c := range map[string]struct {
		method, query, body string
		head                []string
		status              int
		part                string
	}{
		"bad JSON":         {"PUT", "", `{"values":[`, auth, 400, `"responseCode":4,`},
		"no values":        {"PUT", "", `{}`, auth, 400, "Invalid JSON in PUT request"},
		"empty":            {"PUT", "", ``, auth, 400, "Invalid JSON in PUT request"},
		"another handle":   {"PUT", "", `{"handle":"` + prefix + `/other","values":[` + one + `]}`, auth, 400, "Mismatched handle in PUT request"},
		"no content type":  {"PUT", "", `[` + one + `]`, []string{"Authorization", basic}, 400, `"responseCode":4,"message":"Unsupported media type`},
		"index twice":      {"PUT", "", `[` + one + `,` + one + `]`, auth, 409, `"responseCode":201,"message":"Index conflict for 1`},
		"index zero":       {"PUT", "", `[{"index":0,"type":"X","data":""}]`, auth, 400, `"responseCode":202,`},
		"too long":         {"PUT", "", strings.Repeat(" ", 3<<20), auth, 413, `"responseCode":202,`},
		"nobody":           {"PUT", "", `[` + one + `]`, auth[2:], 401, `"responseCode":402,`},
		"nobody deletes":   {"DELETE", "", ``, nil, 401, `"responseCode":402,`},
		"overwrite what":   {"PUT", "?overwrite=perhaps", `[` + one + `]`, auth, 400, `"responseCode":4,`},
		"wrong password":   {"PUT", "", `[` + one + `]`, []string{"Content-Type", jsonHead, "Authorization", "Basic " + b64("301%3A0.NA/"+prefix+":wrong")}, 401, ""},
		"unknown user":     {"PUT", "", `[` + one + `]`, []string{"Content-Type", jsonHead, "Authorization", "Basic " + b64("301%3A99.1/x:x")}, 500, `"responseCode":406,`},
		"malformed Basic":  {"DELETE", "", ``, []string{"Authorization", "Basic !!!"}, 401, ""},
		"unknown scheme":   {"DELETE", "", ``, []string{"Authorization", "Bearer x"}, 403, `"responseCode":404,`},
		"malformed Handle": {"DELETE", "", ``, []string{"Authorization", `Handle sessionId="x`}, 403, `"responseCode":404,`},
		"no certificate":   {"DELETE", "", ``, []string{"Authorization", `Handle clientCert="true"`}, 401, `"responseCode":402,`},
	} {
		r := w.ask(c.method, path+c.query, c.body, c.head...)
		if r.StatusCode != c.status || !strings.Contains(r.body, c.part) || c.part == "" && r.body != "" {
			t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
		}
	}
	// over plain HTTP even the right proof is refused
	r := w.ask("PUT", "/api/handles/"+prefix+"/new", `[`+one+`]`, auth...)
	if r.StatusCode != 403 || !strings.HasPrefix(r.body, `{"responseCode":402,`) || r.Header.Get("WWW-Authenticate") != "" {
		t.Error(r.Status, r.body, r.Header)
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestOtherSites sends what a hostile page can make a browser send, whose user once gave it a password.
func TestOtherSites(t *testing.T) {
	w := open(t)
	probe(w)
	line := `{"id":"` + prefix + `/csrf","values":[]}`
	w.want(w.ask("POST", "https:///api/register", line, "Authorization", basic, "Origin", "https://evil.example", "Content-Type", "text/plain"), 403, "*")
	w.want(w.ask("POST", "https:///api/prefixes/0.NA/88.7", "", "Authorization", basic, "Origin", "null"), 403, "*")
	w.want(w.ask("GET", "/api/handles/"+prefix+"/csrf", ""), 404, "*")
	w.want(w.ask("POST", "https:///api/register", line, "Authorization", basic, "Origin", "https://"+w.addr), 200, "*")
	r := w.ask("GET", "https:///api/handles/"+prefix+"/mixed?callback=steal", "", "Authorization", basic, "Origin", "https://evil.example")
	if strings.HasPrefix(r.body, "steal") || r.Header.Get("Content-Type") != "application/json;charset=utf-8" || r.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error(r.Header, r.body)
	}
}

func TestLists(t *testing.T) {
	w := open(t)
	for i := range 12 {
		w.book.Put(prefix+"/L"+strconv.Itoa(i+10), text(1, "N", "x"))
	}
	auth := []string{"Authorization", basic}
	list := func(query string) reply { return w.ask("GET", "https:///api/handles?"+query, "", auth...) }
	w.want(list("prefix="+prefix+"&page=0&pageSize=0"), 200, `{"responseCode":1,"prefix":"`+prefix+`","totalCount":"12","page":0,"pageSize":0,"handles":[]}`)
	w.want(list("prefix=0.NA/"+prefix+"&page=1&pageSize=2"), 200, `{"responseCode":1,"prefix":"`+prefix+`","totalCount":"12","page":1,"pageSize":2,"handles":["`+prefix+`/L12","`+prefix+`/L13"]}`)
	w.want(list("prefix="+prefix+"&page=9&pageSize=2"), 200, `{"responseCode":1,"prefix":"`+prefix+`","totalCount":"12","page":9,"pageSize":2,"handles":[]}`)
	if r := list("prefix=" + prefix); strings.Count(r.body, prefix+"/L") != 12 {
		t.Error(r.body)
	}
	w.want(list("prefix=99.1"), 400, "*")
	w.want(list(""), 400, "*")
	w.want(list("prefix="+prefix+"&pageSize=x"), 400, "*")
	w.want(w.ask("GET", "https:///api/handles?prefix="+prefix, ""), 401, "*")
	w.want(w.ask("GET", "/api/handles?prefix="+prefix, ""), 403, "*")

	w.want(w.ask("GET", "https:///api/prefixes", "", auth...), 200, `{"responseCode":1,"handles":["0.NA/`+prefix+`"]}`)
	w.want(w.ask("POST", "https:///api/prefixes/0.NA/"+prefix+".9", "", auth...), 200, `{"responseCode":1,"handle":"0.NA/`+prefix+`.9"}`)
	w.want(w.ask("GET", "https:///api/prefixes", "", auth...), 200, `{"responseCode":1,"handles":["0.NA/`+prefix+`","0.NA/`+prefix+`.9"]}`)
	w.want(w.ask("DELETE", "https:///api/prefixes/0.NA/"+prefix+".9", "", auth...), 200, "*")
	w.want(w.ask("POST", "https:///api/prefixes/a/b", "", auth...), 400, "*")
	w.want(w.ask("GET", "https:///api/prefixes", ""), 401, "*")

	r := w.ask("GET", "/api/site", "")
	w.want(r, 200, `{"responseCode":1,"site":{"version":1,"protocolVersion":"2.11","serialNumber":1,"primarySite":true,"multiPrimary":false,"attributes":[],"servers":[{"serverId":1,"address":"127.0.0.1","interfaces":[]}]}}`)
	if s, err := w.client(nobody).Site(t.Context()); err != nil || !s.Primary || len(s.Servers) != 1 {
		t.Error(s, err)
	}
	w.want(w.ask("GET", "/healthz", ""), 200, "{\"status\":\"ok\"}\n")
}

func TestLongListStreams(t *testing.T) {
	w := open(t)
	const n = 5000
	for i := range n {
		w.book.Put(prefix+"/"+strings.Repeat("x", 100)+strconv.Itoa(i), text(1, "N", "x"))
	}
	r := w.ask("GET", "https:///api/handles?prefix="+prefix, "", "Authorization", basic)
	mustJSON(t, r.body)
	if strings.Count(r.body, prefix+"/X") != n || r.ContentLength != -1 {
		t.Error(strings.Count(r.body, prefix+"/X"), r.ContentLength)
	}
}

func TestSessions(t *testing.T) {
	now := time.Now()
	w := open(t, func(s *web.Server) { s.Now = func() time.Time { return now } })
	this := "https:///api/sessions/this"
	w.want(w.ask("POST", "/api/sessions", ""), 403, "")
	w.want(w.ask("GET", "https:///api/sessions", ""), 405, "*")
	w.want(w.ask("GET", this, ""), 200, `{"authenticated":false}`)
	w.want(w.ask("GET", this, "", "Authorization", `Handle sessionId="nonsense"`), 403, "")

	start := func() (id string, nonce []byte) {
		r := w.ask("POST", "https:///api/sessions", "")
		m := regexp.MustCompile(`^\{"sessionId":"([^"]+)","nonce":"([^"]+)"\}$`).FindStringSubmatch(r.body)
		if r.StatusCode != 201 || r.Header.Get("Location") != "/api/sessions/this" || m == nil {
			t.Fatal(r.Status, r.body)
		}
		nonce, err := base64.StdEncoding.DecodeString(m[2])
		if err != nil || len(nonce) != 16 {
			t.Fatal(m[2], err)
		}
		return m[1], nonce
	}
	answer := func(id string, nonce []byte, secret string) string {
		cnonce := []byte("0123456789abcdef")
		h := hmac.New(sha256.New, []byte(secret))
		h.Write(nonce)
		h.Write(cnonce)
		return `Handle version="0", sessionId="` + id + `", id="` + url.PathEscape(adminSec.String()) + `", type="HS_SECKEY", cnonce="` + b64(string(cnonce)) + `", alg="HMAC-SHA256", signature="` + b64(string(h.Sum(nil))) + `"`
	}
	id, nonce := start()
	again, nonce2 := start()
	if id == again || string(nonce) == string(nonce2) {
		t.Error("two sessions are the same")
	}
	short := `Handle sessionId="` + id + `"`
	w.want(w.ask("GET", this, "", "Authorization", short), 200, `{"sessionId":"`+id+`","nonce":"`+base64.StdEncoding.EncodeToString(nonce)+`","authenticated":false}`)
	w.want(w.ask("PUT", this, "", "Authorization", answer(id, nonce, "wrong")), 401, `{"sessionId":"`+id+`","nonce":"`+base64.StdEncoding.EncodeToString(nonce)+`","error":"Identity not verified"}`)
	w.want(w.ask("PUT", this, "", "Authorization", answer(id, nonce2, secret)), 401, "*")
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", short), 401, "*")
	w.want(w.ask("PUT", this, "", "Authorization", answer(id, nonce, secret)), 200, `{"sessionId":"`+id+`","nonce":"`+base64.StdEncoding.EncodeToString(nonce)+`","authenticated":true,"id":"301:0.NA/`+prefix+`"}`)
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", short), 200, "*")
	now = now.Add(50 * time.Minute)
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", short), 200, "*")
	now = now.Add(50 * time.Minute)
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", short), 200, "*")
	w.want(w.ask("DELETE", this, "", "Authorization", short), 204, "")
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", short), 401, "*")
	w.want(w.ask("GET", this, "", "Authorization", short), 401, "*")

	// a proof on the request itself will do, and holds for the session
	id, nonce = start()
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", answer(id, nonce, secret)), 200, "*")
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", `Handle sessionId="`+id+`"`), 200, "*")
	now = now.Add(2 * time.Hour)
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", `Handle sessionId="`+id+`"`), 500, "*")
	id, nonce = start()
	r := w.ask("GET", "https:///api/prefixes", "", "Authorization", answer(id, nonce, "wrong"))
	if r.StatusCode != 401 || !strings.Contains(r.Header.Values("WWW-Authenticate")[1], `error="Identity not verified"`) || !strings.HasPrefix(r.body, `{"responseCode":402,`) {
		t.Error(r.Status, r.Header, r.body)
	}
	// a challenge does not wait for ever
	now = now.Add(6 * time.Minute)
	w.want(w.ask("PUT", this, "", "Authorization", answer(id, nonce, secret)), 403, "")

	// the server proves who it is, when asked
	r = w.ask("POST", "https:///api/sessions", `{"cnonce":"`+b64("client-nonce")+`"}`, "Content-Type", "application/json")
	m := regexp.MustCompile(`"nonce":"([^"]+)","serverAlg":"Ed25519","serverSignature":"([^"]+)"\}$`).FindStringSubmatch(r.body)
	if m == nil {
		t.Fatal(r.body)
	}
	nonce, _ = base64.StdEncoding.DecodeString(m[1])
	sig, _ := base64.StdEncoding.DecodeString(m[2])
	key, err := trust.FromKeyData(record.KeyData{Type: record.KeyEd25519, Fields: [][]byte{w.server.Certificate.Leaf.PublicKey.(ed25519.PublicKey)}})
	if err == nil {
		err = key.Verify(append(nonce, "client-nonce"...), sig)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	w := open(t, func(s *web.Server) { s.Limits.Sessions = 3 })
	var clients []*web.Client
	for range 6 {
		c := w.client()
		if _, err := c.Prefixes(t.Context(), record.Identity{}, "", 1); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	// whoever was pushed out logs in again without noticing
	for i, c := range clients {
		if _, err := c.Prefixes(t.Context(), record.Identity{}, "", 1); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	for _, alg := range []trust.Algorithm{trust.Ed25519, trust.P256, trust.RSA} {
		w := open(t)
		w.key = newKey(t, alg)
		w.book.Put("0.NA/"+prefix, record.Value{Index: 300, Type: record.TypePubKey, Data: w.key.Public().Data(), Perm: record.DefaultPerm})
		cert, err := trust.ClientCertificate(w.key, adminKey, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		c := w.browser(cert)
		w.want(w.askWith(c, "GET", "https:///api/prefixes", "", "Authorization", `Handle clientCert="true"`), 200, "*")
		w.want(w.askWith(c, "GET", "https:///api/prefixes", ""), 200, "*")
		stranger, _ := trust.ClientCertificate(newKey(t, alg), adminKey, time.Now(), time.Hour)
		w.want(w.askWith(w.browser(stranger), "GET", "https:///api/prefixes", ""), 403, "*")
	}
}

func TestVerifications(t *testing.T) {
	w := open(t)
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("nonceCNONCE"))
	q := url.Values{"nonce": {b64("nonce")}, "cnonce": {b64("CNONCE")}, "alg": {"HMAC-SHA256"}, "signature": {b64(string(h.Sum(nil)))}}
	path := "/api/verifications/301:0.NA/" + prefix
	w.want(w.ask("GET", path+"?"+q.Encode(), ""), 200, `{"responseCode":1,"verificationResult":true}`)
	w.want(w.ask("POST", path, q.Encode(), "Content-Type", "application/x-www-form-urlencoded"), 200, `{"responseCode":1,"verificationResult":true}`)
	w.want(w.ask("GET", "/api/verifications/301%3A0.NA%2F"+prefix+"?"+q.Encode(), ""), 200, `{"responseCode":1,"verificationResult":true}`)
	q.Set("cnonce", b64("other"))
	w.want(w.ask("GET", path+"?"+q.Encode(), ""), 200, `{"responseCode":1,"verificationResult":false}`)
	w.want(w.ask("GET", "/api/verifications/301:99.1/x?"+q.Encode(), ""), 400, "*")
	q.Del("nonce")
	w.want(w.ask("GET", path+"?"+q.Encode(), ""), 403, "*")
	w.want(w.ask("GET", path+"?nonce=YQ&cnonce=YQ&signature=YQ&alg=CRC", ""), 403, "*")
}

func TestReferral(t *testing.T) {
	site := record.Value{Index: 1, Type: record.TypeSite, Data: record.AppendSite(nil, &record.Site{Version: 1}), Perm: record.DefaultPerm}
	for _, c := range []struct {
		prefix bool
		code   string
	}{{false, "302"}, {true, "303"}} {
		w := open(t, func(s *web.Server) {
			s.Resolver = resolver(func(q record.Query) (record.Answer, error) {
				return record.Answer{Referral: &record.Referral{Prefix: c.prefix, Name: "88.1/svc", Values: []record.Value{site}}, Trust: record.Secure, Stale: true, Primary: true, Expires: time.Unix(2e9, 0),
					Path: []record.Step{{At: time.Millisecond, Took: time.Second, Asked: "udp:127.0.0.1:1", Name: q.Name(), Outcome: "referral", Trust: record.Unsigned}}}, nil
			})
		})
		r := w.ask("GET", "/api/handles/88.2/x", "")
		if r.StatusCode != 300 || !strings.HasPrefix(r.body, `{"responseCode":`+c.code+`,"handle":"88.2/x"`) {
			t.Error(r.Status, r.body)
		}
		a, err := w.client(nobody).Resolve(t.Context(), record.Query{ID: idOf("88.2/x"), PublicOnly: true, Trace: true})
		if err != nil || a.Referral == nil || a.Referral.Prefix != c.prefix || a.Referral.Name != "88.1/svc" || len(a.Referral.Values) != 1 || a.Values != nil {
			t.Errorf("%+v %v", a, err)
		}
		if a.Trust != record.Secure || !a.Stale || !a.Primary || a.Expires.Unix() != 2e9 || len(a.Path) != 1 ||
			a.Path[0] != (record.Step{At: time.Millisecond, Took: time.Second, Asked: "udp:127.0.0.1:1", Name: "88.2/X", Outcome: "referral", Trust: record.Unsigned}) {
			t.Errorf("%+v", a)
		}
	}
}

func TestEveryKindComesBack(t *testing.T) {
	for k := problem.NotFound; k <= problem.Canceled; k++ {
		if k == problem.NeedAuth || k == problem.SessionTimeout || k == problem.Referral {
			continue // those have meanings of their own on the way
		}
		h := (&web.Server{Resolver: resolver(func(record.Query) (record.Answer, error) {
			return record.Answer{Trust: record.Secure}, problem.New(k, "said", "说")
		})}).Handler()
		s := httptest.NewServer(h)
		c := &web.Client{Base: s.URL}
		a, err := c.Resolve(t.Context(), record.Query{ID: idOf("88.1/x"), PublicOnly: true})
		if !problem.Is(err, k) || a.Trust != record.Secure {
			t.Errorf("%v came back as %v: %v", k, problem.KindOf(err), err)
		}
		c.Close()
		s.Close()
	}
}

func TestRegister(t *testing.T) {
	w := open(t)
	body := `{"id":"VAA0881181001/one","template":"t","values":[{"index":1,"type":"URL","data":"http://a"}]}` + "\n" +
		`{"id":"` + prefix + `/one","values":[{"index":1,"type":"URL","data":"again"}]}` + "\r\n\n" +
		`{"id":"` + prefix + `/two","values":[{"index":0,"type":"URL","data":"x"}]}` + "\n" +
		`not json` + "\n" +
		`{"id":"` + prefix + `/one","op":"add","values":[{"index":2,"type":"X","data":"y"}]}` + "\n" +
		`{"id":"` + prefix + `/","op":"delete"}` + "\n" +
		`{"id":"` + prefix + `/one","op":"fly"}` + "\n" +
		`{"id":"` + prefix + `/one","op":"remove"}` + "\n" +
		`{"id":"99.1/x","values":[]}`
	r := w.ask("POST", "https:///api/register", body, "Authorization", basic)
	var got []string
	for _, l := range strings.Split(strings.TrimSpace(r.body), "\n") {
		mustJSON(t, l)
		got = append(got, regexp.MustCompile(`,"message":.*\}`).ReplaceAllString(l, "}"))
	}
	want := []string{
		`{"line":1,"responseCode":1,"id":"88.118.1001/ONE"}`,
		`{"line":2,"responseCode":101,"id":"88.118.1001/ONE","problem":"exists"}`,
		`{"line":4,"responseCode":202,"id":"88.118.1001/TWO","problem":"bad-value"}`,
		`{"line":5,"responseCode":202,"problem":"bad-value"}`,
		`{"line":6,"responseCode":1,"id":"88.118.1001/ONE"}`,
		`{"line":7,"responseCode":102,"problem":"bad-identifier"}`,
		`{"line":8,"responseCode":4,"problem":"bad-request"}`,
		`{"line":9,"responseCode":4,"problem":"bad-request"}`,
		`{"line":10,"responseCode":301,"id":"99.1/X","problem":"not-here"}`,
	}
	if r.StatusCode != 200 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d\n%s\nwant\n%s", r.StatusCode, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(w.ask("GET", "/api/handles/"+prefix+"/one", "").body, "again") {
		t.Error("a refused line was written")
	}
	w.want(w.ask("POST", "https:///api/register", strings.Repeat("x", 3<<20), "Authorization", basic), 413, "*")
	w.want(w.ask("POST", "https:///api/register", strings.Repeat("x\n", 1<<20), "X", "y"), 401, "*") // nobody's are read only so far
	if r := w.ask("POST", "/api/register", `{"id":"`+prefix+`/three","values":[]}`); r.StatusCode != 200 || !strings.Contains(r.body, `"responseCode":402`) {
		t.Error(r.Status, r.body)
	}
	w.want(w.ask("POST", "https:///api/register", "", "Authorization", basic), 200, "")
	// other makes of the same name in other rooms
	w.want(w.ask("GET", "https:///api/register", "", "Authorization", basic), 404, "*")
}

func TestRegisterWhenNothingCanBeWritten(t *testing.T) {
	w := open(t)
	calls := 0
	w.book.Fail = func() (error, bool) {
		if calls++; calls == 1 {
			return nil, false
		}
		return problem.New(problem.Full, "the disk is full", "磁盘已满"), false
	}
	var body strings.Builder
	for i := range 1500 {
		body.WriteString(`{"id":"` + prefix + `/f` + strconv.Itoa(i) + `","values":[]}` + "\n")
	}
	r := w.ask("POST", "https:///api/register", body.String(), "Authorization", basic)
	if n, full := strings.Count(r.body, `"responseCode":1,`), strings.Count(r.body, `"problem":"full"`); r.StatusCode != 200 || n != 1000 || full != 500 {
		t.Errorf("%d: %d written, %d refused", r.StatusCode, n, full)
	}
	r = w.ask("POST", "https:///api/register", `{"id":"`+prefix+`/g","values":[]}`, "Authorization", basic)
	w.want(r, 507, `{"responseCode":7,"message":"the disk is full"}`)
	rs, err := w.client().Write(t.Context(), record.Identity{}, []record.Write{{Op: record.Create, ID: idOf(prefix + "/h")}})
	if !problem.Is(err, problem.Full) || rs != nil {
		t.Error(rs, err)
	}
	w.want(w.ask("GET", "/api/handles/"+prefix+"/g", ""), 404, "*")
}

func TestFeedLines(t *testing.T) {
	w := open(t)
	c := w.client()
	v := idOf(prefix + "/feed")
	if _, err := c.Write(t.Context(), record.Identity{}, []record.Write{
		{Op: record.Create, ID: v, Values: []record.Value{text(1, "URL", "http://a")}}, {Op: record.Delete, ID: v}}); err != nil {
		t.Fatal(err)
	}
	r := w.ask("GET", "https:///api/feed", "", "Authorization", basic)
	lines := strings.Split(strings.TrimSpace(r.body), "\n")
	if r.StatusCode != 200 || len(lines) != 2 || r.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatal(r.Status, r.body)
	}
	if !regexp.MustCompile(`^\{"seq":1,"time":"[-0-9T:.]+Z","op":"create","id":"88.118.1001/FEED","by":"300:0.NA/88.118.1001","digest":"[0-9a-f]{64}"\}$`).MatchString(lines[0]) {
		t.Error(lines[0])
	}
	w.want(w.ask("GET", "https:///api/feed?after=2", "", "Authorization", basic), 200, "")
	w.want(w.ask("GET", "https:///api/feed", ""), 401, "*")
	w.want(w.ask("GET", "/api/feed", ""), 403, "*")
	w.want(w.ask("GET", "https:///api/feed?after=x", "", "Authorization", basic), 400, "*")
}

func TestWaitersLeaveWhenTheServerStops(t *testing.T) {
	w := open(t)
	c := w.client()
	if _, err := c.Prefixes(t.Context(), record.Identity{}, "", 1); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Changes(t.Context(), record.Identity{}, 1000, 1, true)
	}()
	t.Cleanup(func() { <-done }) // after the server is shut, which open's cleanup does before
}

func TestWithoutDoors(t *testing.T) {
	w := open(t, func(s *web.Server) {
		s.Registrar, s.Lister, s.Feed, s.Site, s.Auth, s.Secrets = nil, nil, nil, nil, nil, nil
	})
	for _, c := range [][3]string{{"PUT", "/api/handles/88.1/x", `[]`}, {"DELETE", "/api/handles/88.1/x", ""}, {"GET", "/api/handles?prefix=88.1", ""}, {"GET", "/api/prefixes", ""},
		{"POST", "/api/prefixes/0.NA/88.1", ""}, {"GET", "/api/feed", ""}, {"POST", "/api/register", "{}"}, {"GET", "/api/site", ""}} {
		r := w.ask(c[0], "https://"+c[1], c[2], "Content-Type", "application/json")
		if r.StatusCode != http.StatusNotImplemented || !strings.Contains(r.body, `"responseCode":5,`) {
			t.Errorf("%v: %d %s", c, r.StatusCode, r.body)
		}
	}
	w.want(w.ask("GET", "https:///api/prefixes", "", "Authorization", basic), 500, "*")
}
