package web

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trust"
)

func TestParseAuth(t *testing.T) {
	for in, want := range map[string]map[string]string{
		`sessionId="a", nonce="b=c, d"`: {"sessionId": "a", "nonce": "b=c, d"},
		`a=b,c="d" , e=`:                {"a": "b", "c": "d", "e": ""},
		``:                              {},
		`clientCert="true"`:             {"clientCert": "true"},
		` ,, a = b `:                    {"a": "b"},
	} {
		if got, err := parseAuth(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{`a`, `a="b`, `"`, strings.Repeat("a=b,", 40) + strings.Repeat("x", 1<<15)} {
		if got, err := parseAuth(in); !problem.Is(err, problem.BadCredential) {
			t.Errorf("%.20s: %v, %v", in, got, err)
		}
	}
}

func TestQualities(t *testing.T) {
	for in, want := range map[string][2]bool{
		"":                                     {false, false},
		"*/*":                                  {false, false},
		"text/html":                            {true, false},
		"application/json":                     {false, true},
		"text/html, application/json":          {true, false},
		"text/html;q=0.5, application/json":    {true, true},
		"text/html, application/json;q=0.9":    {true, false},
		"text/html;q=0, application/ld+json":   {false, true},
		"TEXT/HTML;level=1;q=0.1":              {true, false},
		"application/json;q=x":                 {false, false},
		"application/xhtml+xml, */*;q=0.8, \t": {true, false},
	} {
		if html, json := accepts(in); html != want[0] || json != want[1] {
			t.Errorf("%q: %v %v", in, html, json)
		}
	}
	for in, want := range map[string]problem.Lang{"": problem.English, "de, zh;q=0.1": problem.Chinese, "zh-Hant-TW": problem.Chinese, "en, zh": problem.English, "zhx": problem.English, "en;q=0.4, zh;q=0.5": problem.Chinese} {
		if got := prefer(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestWritesThereAndBack(t *testing.T) {
	text := rapid.StringN(1, 20, -1)
	rapid.Check(t, func(t *rapid.T) {
		w := record.Write{
			Op:        record.Op(rapid.IntRange(int(record.Create), int(record.Unhome)).Draw(t, "op")),
			Overwrite: rapid.Bool().Draw(t, "overwrite"), Mint: rapid.Bool().Draw(t, "mint"),
			Indexes: rapid.SliceOfN(rapid.Uint32Range(0, 1<<31-1), 1, 3).Draw(t, "indexes"),
		}
		name := rapid.SampledFrom([]string{"88.118.1/", "VAA0881181001/", "hdl:1/", "HDL:1/", "0.NA/"}).Draw(t, "prefix") + text.Draw(t, "suffix")
		var err error
		if w.ID, err = id.ParseHandle(name); err != nil || w.Mint && strings.HasSuffix(name, "/") {
			return
		}
		for range rapid.IntRange(1, 3).Draw(t, "values") {
			w.Values = append(w.Values, record.Value{Index: rapid.Uint32Range(1, 9).Draw(t, "index"), Type: rapid.SampledFrom([]string{"URL", "HS_SECKEY", "类型"}).Draw(t, "type"),
				Data: rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "data"), Perm: record.Perm(rapid.IntRange(0, 15).Draw(t, "perm")), TTL: record.TTL{Seconds: rapid.Uint32().Draw(t, "ttl")}})
		}
		line := appendWrite(nil, &w)
		back, err := parseWrite(bytes.TrimSpace(line))
		if err != nil || !reflect.DeepEqual(back, w) {
			t.Fatalf("%s: %v\n%+v\n%+v", line, err, w, back)
		}
		e := record.Entry{Change: record.Change{Seq: rapid.Uint64().Draw(t, "seq"), Time: time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "time")).UTC(), Op: w.Op, ID: w.ID,
			By: record.Identity{Ref: record.Ref{Index: 7, Name: "a/b"}, Operator: w.Mint}, Digest: [32]byte{1, 2}}}
		if rapid.Bool().Draw(t, "values") {
			e.Values = w.Values
		} else if rapid.Bool().Draw(t, "empty") {
			e.Values = []record.Value{}
		}
		for _, block := range []bool{true, false} {
			got, err := parseEntry(appendEntry(nil, &e, block))
			if err != nil || !reflect.DeepEqual(got, e) {
				t.Fatalf("%s: %v\n%+v\n%+v", appendEntry(nil, &e, block), err, e, got)
			}
		}
	})
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func book() *recordtest.Book {
	b := recordtest.NewBook(record.Ref{Index: 300, Name: "a/b"}, "88.118.1001")
	b.Put("88.118.1001/ENG-42", record.Value{Index: 1, Type: "URL", Data: []byte("https://shop.example/42"), Perm: record.DefaultPerm})
	return b
}

// FuzzHandler throws requests at a server: whatever comes, it answers, and JSON where it says JSON.
func FuzzHandler(f *testing.F) {
	for _, path := range []string{"/", "/?id=88.1/x", "/api/handles/88.118.1001/ENG-42?type=URL&index=1&callback=f&pretty", "/api/handles?prefix=88.118.1001", "/api/sessions/this", "/api/verifications/301:a/b?nonce=YQ&cnonce=YQ&alg=PBKDF2-HMAC-SHA1&salt=YQ&iterations=1&length=8&signature=YQ",
		"/api/register", "/api/feed?after=1&wait=0", "/88.118.1001/ENG-42?noredirect&lang=zh", "/api/prefixes/0.NA/88.1", "/%00", "//x", "/api/handles/%ff"} {
		f.Add("GET", path, `Handle sessionId="x", signature="YQ==", id="1:a/b", cnonce="YQ=="`, "text/html", "")
		f.Add("PUT", path, "Basic MzAxOmEvYjp4", "application/json", `[{"index":1,"type":"URL","data":"x"}]`)
		f.Add("POST", path, "", "*/*", "{\"id\":\"88.118.1001/x\",\"values\":[]}\nx")
	}
	b := book()
	s := &Server{Resolver: b, Registrar: b, Lister: b, Secrets: b, Auth: &trust.Checker{Resolver: b, Secrets: b}, Log: quiet()}
	h := s.Handler()
	f.Fuzz(func(t *testing.T, method, target, auth, accept, body string) {
		r, err := http.NewRequest(method, "http://h"+target, strings.NewReader(body))
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		r.Header.Set("Authorization", auth)
		r.Header.Set("Accept", accept)
		r.Header.Set("Content-Type", accept)
		if auth != "" {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 {
			t.Fatal(w.Code)
		}
		for name, vs := range w.Header() {
			for _, v := range vs {
				if strings.ContainsAny(v, "\r\n\x00") {
					t.Fatalf("%s: %q", name, v)
				}
			}
		}
		if to := w.Header().Get("Location"); to != "" && !strings.HasPrefix(to, "https://shop.example/") && to != "/api/sessions/this" && (to[0] != '/' || strings.HasPrefix(to, "//") || strings.HasPrefix(to, "/\\")) {
			t.Fatalf("sent to %q", to)
		}
		if ct := w.Header().Get("Content-Type"); strings.HasPrefix(ct, "application/json") && method != "HEAD" {
			if r := record.NewJSONReader(w.Body.Bytes()); true {
				r.Skip()
				if r.End(); r.Err() != nil {
					t.Fatalf("%s %s: %v: %q", method, target, r.Err(), w.Body.String())
				}
			}
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte(`{"id":"88.118.1001/ENG-42","op":"add","overwrite":true,"indexes":[1],"values":[{"index":1,"type":"URL","data":"http://a"}]}`))
	f.Add([]byte(`{"seq":7,"time":"2026-11-22T15:10:27.123Z","op":"create","id":"88.118.1001/ENG-42","by":"300:a/b","digest":"` + strings.Repeat("0", 64) + `","block":"AAAAAA=="}`))
	f.Add([]byte(`{"line":2,"responseCode":101,"id":"88.1/x","problem":"exists","message":"m"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := parseWrite(b); err == nil && !w.ID.IsValid() {
			t.Fatal(w)
		}
		if e, err := parseEntry(b); err == nil {
			if again, err := parseEntry(appendEntry(nil, &e, true)); err != nil || again.Seq != e.Seq || again.ID != e.ID {
				t.Fatal(err)
			}
		}
		parseOutcome(b)
		parseAuth(string(b))
	})
}

// TestSlowOnesHoldUpNobody opens connections that say nothing, up to the limit but one.
func TestSlowOnesHoldUpNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const room = 8
	b := newBothListener(l, nil, room, time.Minute)
	hs := &http.Server{Handler: (&Server{Resolver: book(), Log: quiet()}).Handler()}
	done := make(chan struct{})
	go func() { hs.Serve(b); close(done) }()
	var silent []net.Conn
	for range room - 1 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 5 {
		r, err := client.Get("http://" + l.Addr().String() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	// TLS is not spoken here, and said so by hanging up
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte{22, 3, 1})
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("TLS without a certificate")
	}
	c.Close()
	hs.Close()
	b.Close()
	<-done
	b.wait() // those that said nothing are let go
	for _, c := range silent {
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("a silent connection is still open")
		}
		c.Close()
	}
	if len(b.room) != 0 {
		t.Errorf("%d places are lost", len(b.room))
	}
}

func TestChance(t *testing.T) {
	s := &Server{Rand: rand.NewChaCha8([32]byte{1})}
	low, high := 1.0, 0.0
	for range 1000 {
		c := s.chance()
		low, high = min(low, c), max(high, c)
	}
	if low < 0 || low > 0.1 || high < 0.9 || high >= 1 {
		t.Error(low, high)
	}
}

// sink is a ResponseWriter that keeps nothing.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

// ready is an Appender with one answer, as the registry has them: in memory, encoded.
type ready struct {
	record.Resolver
	block []byte
}

func (r *ready) AppendPublic(dst, name []byte, now int64) ([]byte, int64, bool) {
	return append(dst, r.block...), now + 60, true
}

func readyServer() *Server {
	vs := []record.Value{
		{Index: 1, Type: "URL", Data: []byte("https://www.example.com/products/88.118.1001/ENG-42"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000},
		{Index: 2, Type: "NAME", Data: []byte("发动机缸体"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000},
		{Index: 3, Type: "WEIGHT", Data: []byte("12.5"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000},
		{Index: 100, Type: "HS_ADMIN", Data: record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: record.Ref{Index: 300, Name: "0.NA/88.118.1001"}}), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000},
	}
	return &Server{Resolver: &ready{book(), record.AppendBlock(nil, vs)}, Log: quiet()}
}

func TestFastAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector sync.Pool forgets on purpose")
	}
	h := readyServer().Handler()
	r := httptest.NewRequest("GET", "/api/handles/88.118.1001/ENG-42", nil)
	w := &sink{http.Header{}}
	h.ServeHTTP(w, r)
	if n := testing.AllocsPerRun(200, func() { h.ServeHTTP(w, r) }); n > 0.5 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkServe and BenchmarkBare answer the same bytes over kept connections: ours and a handler that has them ready.
func BenchmarkServe(b *testing.B) { serveBench(b, readyServer().Handler()) }

func BenchmarkBare(b *testing.B) {
	rec := httptest.NewRecorder()
	readyServer().Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/api/handles/88.118.1001/ENG-42", nil))
	out := rec.Body.Bytes()
	serveBench(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		w.Write(out)
	}))
}

func serveBench(b *testing.B, h http.Handler) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	both := newBothListener(l, nil, 100, time.Minute)
	hs := &http.Server{Handler: h}
	go hs.Serve(both)
	defer func() { hs.Close(); both.Close(); both.wait() }()
	req := []byte("GET /api/handles/88.118.1001/ENG-42 HTTP/1.1\r\nHost: x\r\n\r\n")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf := make([]byte, 8192)
		for pb.Next() {
			c.Write(req)
			for n := 0; !bytes.HasSuffix(buf[:n], []byte("]}")); {
				m, err := c.Read(buf[n:])
				if err != nil {
					b.Error(err)
					return
				}
				n += m
			}
		}
	})
}

func TestLabels(t *testing.T) {
	for typ, want := range map[string][2]string{
		"flowRange": {"Flow range", "流量范围"}, "URL": {"Web page", "网页"}, "x": {"X", "x"}, "gmdnURLList": {"GmdnURL list", "gmdnURLList"},
		"名称": {"名称", "名称"}, "HS_FOO": {"HS_FOO", "HS_FOO"}, "a.b": {"a.b", "a.b"}, "": {"", ""},
	} {
		if en, zh := english.label(typ), chinese.label(typ); en != want[0] || zh != want[1] {
			t.Errorf("%s: %q, %q", typ, en, zh)
		}
	}
}
