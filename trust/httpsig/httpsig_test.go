package httpsig

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

var (
	user  = record.Ref{Index: 300, Name: "88.118.1002/App_企业 100%"}
	noon  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	where = "https://a.example:8443/api/handles/88.118.1001%2FENG-42?type=URL&type=a%20b"
)

func newKey(t testing.TB, alg trust.Algorithm) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(alg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// desk is a signer and a verifier who has their key, with a clock each.
type desk struct {
	t            testing.TB
	key          *trust.PrivateKey
	v            *Verifier
	signs, reads time.Time
	asked        int // how often the key was looked up
}

func newDesk(t testing.TB, alg trust.Algorithm) *desk {
	d := &desk{t: t, key: newKey(t, alg), signs: noon, reads: noon}
	d.v = &Verifier{
		Key: func(_ context.Context, ref record.Ref) (trust.PublicKey, error) {
			d.asked++
			if ref != user {
				return trust.PublicKey{}, problem.New(problem.AuthError, "no key of %s", "没有 %s 的公钥", ref)
			}
			return d.key.Public(), nil
		},
		Authorities: func(host string) bool { return host == "a.example:8443" },
		Now:         func() time.Time { return d.reads },
	}
	return d
}

// request is a signed one.
func (d *desk) request(method, url, body string, o Options, head ...string) *http.Request {
	d.t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	o.Now = func() time.Time { return d.signs }
	if err := Sign(r, d.key, user, o); err != nil {
		d.t.Fatal(err)
	}
	return r
}

// wire is the request as the server gets it.
func (d *desk) wire(r *http.Request) *http.Request {
	d.t.Helper()
	if r.GetBody != nil {
		r.Body, _ = r.GetBody()
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		d.t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		d.t.Fatal(err)
	}
	got.TLS = &tls.ConnectionState{}
	return got
}

func (d *desk) verify(r *http.Request) (record.Identity, error) { return d.v.Verify(r) }

func TestThereAndBack(t *testing.T) {
	for _, alg := range trust.Algorithms() {
		for _, o := range []Options{{}, {Algorithm: algRSAPSS}} {
			if o.Algorithm != "" && alg != trust.RSA {
				continue
			}
			d := newDesk(t, alg)
			r := d.wire(d.request("PUT", where, `{"a":1}`, o, "Content-Type", "application/json", "Fujie-Purpose", "warranty"))
			by, err := d.verify(r)
			if err != nil || by.Ref != user || by.Operator {
				t.Errorf("%s %s: %v %v", alg, o.Algorithm, by, err)
			}
			if b, err := io.ReadAll(r.Body); err != nil || string(b) != `{"a":1}` {
				t.Errorf("the body is gone: %q %v", b, err)
			}
			if _, err := d.verify(d.wire(d.request("GET", "https://A.example:8443", "", o))); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
	if err := Sign(&http.Request{}, nil, user, Options{}); !problem.Is(err, problem.BadRequest) {
		t.Error(err)
	}
	r, _ := http.NewRequest("GET", where, nil)
	if err := Sign(r, newKey(t, trust.Ed25519), record.Ref{Name: user.Name}, Options{}); !problem.Is(err, problem.BadRequest) {
		t.Error(err)
	}
	if err := Sign(r, newKey(t, trust.Ed25519), user, Options{Algorithm: algP256}); !problem.Is(err, problem.Unsupported) {
		t.Error(err)
	}
}

// TestTampering changes a signed request on its way: each change is found.
func TestTampering(t *testing.T) {
	input := func(r *http.Request, old, new string) {
		r.Header.Set(HeaderInput, strings.Replace(r.Header.Get(HeaderInput), old, new, 1))
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		kind   problem.Kind
	}{
		"another method":        {func(r *http.Request) { r.Method = "DELETE" }, problem.AuthFailed},
		"another path":          {func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/api/handles/88.118.1001/ENG-43", "" }, problem.AuthFailed},
		"decoded path":          {func(r *http.Request) { r.URL.RawPath = "" }, problem.AuthFailed},
		"another query":         {func(r *http.Request) { r.URL.RawQuery = "type=URL" }, problem.AuthFailed},
		"no query":              {func(r *http.Request) { r.URL.RawQuery = "" }, problem.AuthFailed},
		"another host":          {func(r *http.Request) { r.Host = "b.example:8443" }, problem.AuthFailed},
		"plain HTTP's host":     {func(r *http.Request) { r.Host = "a.example" }, problem.AuthFailed},
		"another body":          {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"a":2}`)) }, problem.AuthFailed},
		"shorter body":          {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"a"`)) }, problem.AuthFailed},
		"body and digest":       {func(r *http.Request) { r.Header.Set(HeaderDigest, digest([]byte("x"))) }, problem.AuthFailed},
		"no digest":             {func(r *http.Request) { r.Header.Del(HeaderDigest) }, problem.BadCredential},
		"another type":          {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, problem.AuthFailed},
		"no type":               {func(r *http.Request) { r.Header.Del("Content-Type") }, problem.BadCredential},
		"a second type":         {func(r *http.Request) { r.Header.Add("Content-Type", "application/json") }, problem.AuthFailed},
		"another purpose":       {func(r *http.Request) { r.Header.Set("Fujie-Purpose", "resale") }, problem.AuthFailed},
		"a purpose's end":       {func(r *http.Request) { r.Header.Del("Fujie-Purpose") }, problem.BadCredential},
		"a condition":           {func(r *http.Request) { r.Header.Set("If-Match", "x") }, problem.BadCredential},
		"an encoding":           {func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, problem.BadCredential},
		"no signature":          {func(r *http.Request) { r.Header.Del(HeaderSignature) }, problem.BadCredential},
		"no input":              {func(r *http.Request) { r.Header.Del(HeaderInput) }, problem.BadCredential},
		"another label":         {func(r *http.Request) { input(r, "fujie=", "other=") }, problem.BadCredential},
		"another signer":        {func(r *http.Request) { input(r, `300:`, `301:`) }, problem.AuthError},
		"no signer":             {func(r *http.Request) { input(r, `;keyid="300:`, `;keyid="`) }, problem.BadCredential},
		"another time":          {func(r *http.Request) { input(r, "created=", "created=1;x=") }, problem.BadCredential},
		"a longer life":         {func(r *http.Request) { input(r, "expires=", "expires=1999999999;x=") }, problem.BadCredential},
		"no end":                {func(r *http.Request) { input(r, "expires=", "x=") }, problem.AuthFailed},
		"another nonce":         {func(r *http.Request) { input(r, `nonce="`, `nonce="A`) }, problem.AuthFailed},
		"no nonce":              {func(r *http.Request) { input(r, `nonce=`, `x=`) }, problem.BadCredential},
		"another algorithm":     {func(r *http.Request) { input(r, `"ed25519"`, `"sm2-sm3"`) }, problem.AuthFailed},
		"hmac":                  {func(r *http.Request) { input(r, `"ed25519"`, `"hmac-sha256"`) }, problem.BadCredential},
		"no algorithm":          {func(r *http.Request) { input(r, `;alg="ed25519"`, ``) }, problem.AuthFailed},
		"another tag":           {func(r *http.Request) { input(r, `tag="fujie"`, `tag="x"`) }, problem.BadCredential},
		"less covered":          {func(r *http.Request) { input(r, `"@method" `, ``) }, problem.BadCredential},
		"authority not covered": {func(r *http.Request) { input(r, `"@authority" `, ``) }, problem.BadCredential},
		"query not covered":     {func(r *http.Request) { input(r, ` "@query"`, ``) }, problem.BadCredential},
		"digest not covered":    {func(r *http.Request) { input(r, ` "content-digest"`, ``) }, problem.BadCredential},
		"covered twice":         {func(r *http.Request) { input(r, `"@path"`, `"@path" "@path"`) }, problem.BadCredential},
		"more covered":          {func(r *http.Request) { input(r, `"@path"`, `"@path" "x-none"`) }, problem.BadCredential},
		"of a response":         {func(r *http.Request) { input(r, `"@path"`, `"@path" "@status"`) }, problem.BadCredential},
		"a component's flag":    {func(r *http.Request) { input(r, `"@path"`, `"@path" "content-type";bs`) }, problem.BadCredential},
		"two of ours": {func(r *http.Request) {
			r.Header.Add(HeaderInput, strings.Replace(r.Header.Get(HeaderInput), "fujie=", "second=", 1))
		}, problem.BadCredential},
		"the label twice":    {func(r *http.Request) { r.Header.Add(HeaderInput, r.Header.Get(HeaderInput)) }, problem.BadCredential},
		"an empty signature": {func(r *http.Request) { r.Header.Set(HeaderSignature, "fujie=::") }, problem.BadCredential},
		"a long header":      {func(r *http.Request) { r.Header.Add(HeaderInput, "x="+strings.Repeat("a", 9000)) }, problem.BadCredential},
		"another's signature": {func(r *http.Request) {
			r.Header.Set(HeaderSignature, "fujie=:"+base64.StdEncoding.EncodeToString(make([]byte, 64))+":")
		}, problem.AuthFailed},
	} {
		d := newDesk(t, trust.Ed25519)
		r := d.wire(d.request("PUT", where, `{"a":1}`, Options{}, "Content-Type", "application/json", "Fujie-Purpose", "warranty"))
		c.change(r)
		if by, err := d.verify(r); !problem.Is(err, c.kind) || !by.IsAnonymous() {
			t.Errorf("%s: %v, %v; want %v", name, by, err, c.kind)
		}
	}
}

func TestReplay(t *testing.T) {
	d := newDesk(t, trust.Ed25519)
	r := d.request("GET", where, "", Options{})
	if _, err := d.verify(d.wire(r)); err != nil {
		t.Fatal(err)
	}
	for at := noon; at.Before(noon.Add(95 * time.Second)); at = at.Add(3 * time.Second) {
		d.reads = at
		if _, err := d.verify(d.wire(r)); err == nil {
			t.Fatalf("it is taken again after %s", at.Sub(noon))
		}
	}
	// A second one of the same second is another.
	d.reads = noon
	if _, err := d.verify(d.wire(d.request("GET", where, "", Options{}))); err != nil {
		t.Error(err)
	}
	// A body of another's does not use up a nonce for nothing: the signature is what is checked first.
	bad := d.wire(d.request("GET", where, "", Options{}))
	bad.Header.Set(HeaderSignature, "fujie=:"+base64.StdEncoding.EncodeToString(make([]byte, 64))+":")
	before := d.v.taken.count
	if _, err := d.verify(bad); !problem.Is(err, problem.AuthFailed) || d.v.taken.count != before {
		t.Error("a forged request takes memory:", err)
	}
}

func TestMemoryOfReplaysIsBounded(t *testing.T) {
	d := newDesk(t, trust.Ed25519)
	d.v.Nonces = 64
	taken := 0
	for range 100 {
		if _, err := d.verify(d.wire(d.request("GET", where, "", Options{}))); err == nil {
			taken++
		} else if !problem.Is(err, problem.Busy) {
			t.Fatal(err)
		}
	}
	if taken != 32 {
		t.Errorf("one signer got %d of 64 places, want half", taken)
	}
	// Later there is room again.
	d.signs, d.reads = noon.Add(5*time.Minute), noon.Add(5*time.Minute)
	if _, err := d.verify(d.wire(d.request("GET", where, "", Options{}))); err != nil || d.v.taken.count != 1 {
		t.Error(err, d.v.taken.count)
	}
}

func TestClocks(t *testing.T) {
	for name, c := range map[string]struct {
		signs time.Duration
		life  time.Duration
		kind  problem.Kind // 0 when it is taken
	}{
		"together":            {0, 0, 0},
		"a little slow":       {-59 * time.Second, 0, 0},
		"a little fast":       {60 * time.Second, 0, 0},
		"fast":                {61 * time.Second, 0, problem.AuthTimeout},
		"slow":                {-90 * time.Second, 0, problem.AuthTimeout},
		"slow, but long":      {-340 * time.Second, 5 * time.Minute, 0},
		"slower than its end": {-360 * time.Second, 5 * time.Minute, problem.AuthTimeout},
		"too long":            {0, 301 * time.Second, problem.BadCredential},
	} {
		d := newDesk(t, trust.Ed25519)
		d.reads = noon.Add(-time.Hour)
		d.v.start() // an hour ago
		d.reads, d.signs = noon, noon.Add(c.signs)
		_, err := d.verify(d.wire(d.request("GET", where, "", Options{Life: c.life})))
		if (err == nil) != (c.kind == 0) || err != nil && !problem.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What was made before the verifier began may have been taken by the one before it.
	d := newDesk(t, trust.Ed25519)
	r := d.request("GET", where, "", Options{})
	d.reads = noon.Add(2 * time.Second)
	if _, err := d.verify(d.wire(r)); !problem.Is(err, problem.AuthTimeout) {
		t.Error(err)
	}
}

func TestAudience(t *testing.T) {
	d := newDesk(t, trust.Ed25519)
	if _, err := d.verify(d.wire(d.request("GET", "https://b.example:8443/x", "", Options{}))); !problem.Is(err, problem.AuthFailed) || d.asked != 0 {
		t.Error(err, d.asked)
	}
	d.v.Authorities = nil
	if _, err := d.verify(d.wire(d.request("GET", where, "", Options{}))); !problem.Is(err, problem.AuthFailed) {
		t.Error("a verifier that knows no names takes any:", err)
	}
	for host, want := range map[string]string{"A.Example:443": "a.example", "a.example": "a.example", "a.example:8443": "a.example:8443", "[::1]:443": "[::1]"} {
		if got := authority(host, "https"); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
}

func TestBodies(t *testing.T) {
	d := newDesk(t, trust.Ed25519)
	long := strings.Repeat("x", MaxBody+1)
	if _, err := d.verify(d.wire(d.request("PUT", where, long, Options{}))); !problem.Is(err, problem.TooLarge) {
		t.Error(err)
	}
	// A body whose length is not told must be signed too.
	r := d.wire(d.request("POST", where, "", Options{}))
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1
	if _, err := d.verify(r); !problem.Is(err, problem.BadCredential) {
		t.Error(err)
	}
	// A body that can be read only once is signed, and sent.
	once, _ := http.NewRequest("PUT", where, io.NopCloser(strings.NewReader("once")))
	if err := Sign(once, d.key, user, Options{Now: func() time.Time { return noon }}); err != nil || once.ContentLength != 4 {
		t.Fatal(err, once.ContentLength)
	}
	if _, err := d.verify(d.wire(once)); err != nil {
		t.Error(err)
	}
}

// TestOthersSignatures takes what clients of another make send: more components, other ones for the address, no
// expires, no alg, another order, another label.
func TestOthersSignatures(t *testing.T) {
	for _, items := range [][]string{
		{"@target-uri", "@method"},
		{"@query", "@path", "@authority", "@method", "accept"},
		{"@method", "@authority", "@request-target", "@scheme"},
	} {
		d := newDesk(t, trust.P256)
		r := d.request("GET", where, "", Options{}, "Accept", "a", "Accept", " b ")
		l := &list{params: []param{{"keyid", value{kind: kindString, s: escapeRef(user)}}, {"nonce", value{kind: kindString, s: "12345678"}},
			{"tag", value{kind: kindString, s: Tag}}, {"created", value{kind: kindInt, n: noon.Unix()}}}}
		for _, name := range items {
			l.items = append(l.items, item{name: name})
		}
		base, err := sent(r).base(l)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := sign(d.key, algP256, base)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(HeaderInput, `other=("date");tag="x", sig1=`+strings.Replace(string(l.append(nil)), " ", "   ", 1))
		r.Header.Set(HeaderSignature, "sig1=:"+base64.StdEncoding.EncodeToString(sig)+":, other=:AAAA:")
		if by, err := d.verify(d.wire(r)); err != nil || by.Ref != user {
			t.Errorf("%v: %v", items, err)
		}
	}
}

func TestReferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ref := record.Ref{Index: rapid.Uint32Range(1, 1<<31-1).Draw(t, "index"), Name: rapid.StringN(1, 30, -1).Draw(t, "name")}
		s := escapeRef(ref)
		got, err := unescapeRef(s)
		if err != nil || got != ref {
			t.Fatalf("%q: %v %v", s, got, err)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("%q cannot stand in a header", s)
		}
	})
	for _, s := range []string{"", "88.1/x", "0:88.1/x", "300:", "300:a%", "300:a%4", "300:a%zz", "x:y"} {
		if _, err := unescapeRef(s); !problem.Is(err, problem.BadCredential) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestFieldsThereAndBack(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune(` ab"\%:;=()/~`)))
	rapid.Check(t, func(t *rapid.T) {
		l := &list{}
		params := func(label string) (ps []param) {
			for i, k := range rapid.SliceOfN(rapid.SampledFrom([]kind{kindString, kindToken, kindBytes, kindInt, kindBool}), 0, 4).Draw(t, label) {
				p := param{name: string(rune('a' + i)), value: value{kind: k}}
				switch k {
				case kindString:
					p.s = text.Draw(t, "text")
				case kindToken:
					p.s = rapid.StringMatching(`[A-Za-z*][A-Za-z0-9:/!#_.-]{0,9}`).Draw(t, "token")
				case kindBytes:
					p.s = string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
				case kindInt:
					p.n = rapid.Int64Range(-999_999_999_999_999, 999_999_999_999_999).Draw(t, "int")
				case kindBool:
					p.n = int64(rapid.IntRange(0, 1).Draw(t, "bool"))
				}
				ps = append(ps, p)
			}
			return ps
		}
		for range rapid.IntRange(0, 4).Draw(t, "items") {
			l.items = append(l.items, item{text.Draw(t, "name"), params("params")})
		}
		l.params = params("outer")
		want := string(l.append(nil))
		ms, ok := dictionary([]string{"x=" + want})
		if !ok || len(ms) != 1 || string(ms[0].list.append(nil)) != want {
			t.Fatalf("%s", want)
		}
	})
	for _, s := range []string{"a", "a=1", `a=(), b=:AA==:`, `a=("x" "y");b;c="d";e=-1;f=tok/en;g=?0`, "a=?1", ` a=()  ,	b=()`} {
		if _, ok := dictionary([]string{s}); !ok {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{"A=1", "a=", "a=(", `a=("x`, `a=("x""y")`, "a=1,", ",a", "a=1.5", "a=1234567890123456", `a="\x"`, "a=\"\x01\"", "a=:A:", "a=:AA==", "a=1,a=2", "a;b;b", "a=?2", "a=(x)", "a=@1", "a=() b=()"} {
		if _, ok := dictionary([]string{s}); ok {
			t.Errorf("%q is taken", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`fujie=("@method" "@authority" "@path" "@query");created=1795360227;expires=1795360257;nonce="Jx0pC3aaaa";keyid="300:88.118.1002/App_erp";alg="ed25519";tag="fujie"`, "fujie=:AAAA:", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:")
	f.Add(`sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`, "sig-b22=:AAAA:, x=?1", "")
	f.Add(`a=(" \"\\");b=tok;c=:AA==:;d=-1`, "a", "x=1")
	f.Fuzz(func(t *testing.T, input, sig, dig string) {
		d := newDesk(t, trust.Ed25519)
		d.v.Key = func(context.Context, record.Ref) (trust.PublicKey, error) { return d.key.Public(), nil }
		r, _ := http.NewRequest("POST", where, strings.NewReader("x"))
		r.TLS = &tls.ConnectionState{}
		r.Header[HeaderInput], r.Header[HeaderSignature], r.Header[HeaderDigest] = []string{input}, []string{sig}, []string{dig}
		if by, err := d.verify(r); err == nil || !by.IsAnonymous() {
			t.Fatalf("taken as %v", by)
		}
		// What is understood is written so that it is understood the same.
		if ms, ok := dictionary([]string{input}); ok {
			for _, m := range ms {
				if m.list == nil {
					continue
				}
				once := m.list.append([]byte(m.label + "="))
				again, ok := dictionary([]string{string(once)})
				if !ok && len(once) <= maxField || ok && string(again[0].list.append([]byte(m.label+"="))) != string(once) {
					t.Fatalf("%q became %q", input, once)
				}
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	d := newDesk(b, trust.Ed25519)
	for b.Loop() {
		d.request("GET", where, "", Options{})
	}
}

// BenchmarkVerify is beside the bare operation, one check of an Ed25519 signature.
func BenchmarkVerify(b *testing.B) {
	b.Run("request", func(b *testing.B) {
		d := newDesk(b, trust.Ed25519)
		rs := make([]*http.Request, b.N)
		for i := range rs {
			rs[i] = d.wire(d.request("GET", where, "", Options{}))
		}
		b.ResetTimer()
		for _, r := range rs {
			if _, err := d.verify(r); err != nil && !problem.Is(err, problem.Busy) {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		k := newKey(b, trust.Ed25519)
		m := make([]byte, 300)
		sig, _ := k.Sign(m)
		for b.Loop() {
			if k.Public().Verify(m, sig) != nil {
				b.Fatal()
			}
		}
	})
}
