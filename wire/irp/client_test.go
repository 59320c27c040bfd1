package irp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net"

	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/burst"
)

const (
	bookPrefix = "88.118.1001"
	adminName  = "88.118.1001/ADMIN"
	adminKeyAt = 300
	secretAt   = 301
	theSecret  = "secret-123"
)

// node is a server with a book behind it, on real sockets of the loopback interface.
type node struct {
	book   *recordtest.Book
	key    *trust.PrivateKey // the server's
	admin  *trust.PrivateKey // of 300:88.118.1001/ADMIN
	server *Server
	at     map[record.Protocol]record.Endpoint
	tls    record.Endpoint
	site   *record.Site
}

var keyring sync.Map // by algorithm; making RSA keys takes time

func testKey(t testing.TB, alg trust.Algorithm, use string) *trust.PrivateKey {
	t.Helper()
	if k, ok := keyring.Load(string(alg) + use); ok {
		return k.(*trust.PrivateKey)
	}
	k, err := trust.Generate(alg, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyring.Store(string(alg)+use, k)
	return k
}

var testCert = sync.OnceValue(func() tls.Certificate {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &k.PublicKey, k)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
})

func value(index uint32, typ string, data []byte) record.Value {
	return record.Value{Index: index, Type: typ, Data: data, TTL: record.TTL{Seconds: 3600}, Perm: record.DefaultPerm}
}

// serve starts a node and ends it with the test. change may alter the server before it starts.
func serve(t testing.TB, alg trust.Algorithm, change ...func(*node)) *node {
	t.Helper()
	n := &node{key: testKey(t, alg, "server"), admin: testKey(t, alg, "admin"), at: map[record.Protocol]record.Endpoint{}}
	n.book = recordtest.NewBook(record.Ref{Name: adminName}, bookPrefix)
	secret := value(secretAt, record.TypeSecKey, []byte(theSecret))
	secret.Perm = record.AdminRead | record.AdminWrite
	// The identities' records live under another prefix's name, so that lists of the book's begin empty.
	n.book.Put("0.NA/"+strings.ReplaceAll(adminName, "/", "."), value(1, "DESC", nil))
	people := recordtest.NewBook(record.Ref{Name: adminName}, bookPrefix)
	people.Put(adminName, value(adminKeyAt, record.TypePubKey, n.admin.Public().Data()), secret)
	n.server = &Server{Resolver: n.book, Registrar: n.book, Lister: n.book, Secrets: people, Key: n.key, UDPAdmin: true,
		Auth: &trust.Checker{Resolver: people, Secrets: people},
		Site: func() *record.Site { return n.site }}
	for _, f := range change {
		f(n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	addr := func(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }
	plain, secure := listen(), listen()
	// UDP and TCP share a port, as they do everywhere: lists and hints go from one to the other.
	u, err := burst.Listen(addr(plain), burst.Options{})
	for tries := 0; err != nil; tries++ {
		if tries > 20 {
			t.Fatal(err)
		}
		plain.Close()
		plain = listen()
		u, err = burst.Listen(addr(plain), burst.Options{})
	}
	web := httptest.NewServer(n.server.Tunnel())
	webTLS := httptest.NewUnstartedServer(n.server.Tunnel())
	webTLS.TLS = &tls.Config{Certificates: []tls.Certificate{testCert()}}
	webTLS.StartTLS()
	pub := n.key.Public().Data()
	n.at[record.UDP] = record.Endpoint{Addr: u.LocalAddr(), Protocol: record.UDP, Key: pub}
	n.at[record.TCP] = record.Endpoint{Addr: addr(plain), Protocol: record.TCP, Key: pub}
	n.at[record.HTTP] = record.Endpoint{Addr: addr(web.Listener), Protocol: record.HTTP, Key: pub}
	n.at[record.HTTPS] = record.Endpoint{Addr: addr(webTLS.Listener), Protocol: record.HTTPS, Key: pub}
	n.tls = record.Endpoint{Addr: addr(secure), Protocol: record.TCP, Key: pub}
	n.site = &record.Site{Version: 1, Major: 2, Minor: 11, Serial: 3, Primary: true, Hash: record.HashAll, Servers: []record.Server{{
		ID: 1, Addr: netip.MustParseAddr("127.0.0.1"), PublicKey: pub, Interfaces: []record.Interface{
			{Query: true, Protocol: record.UDP, Port: uint32(n.at[record.UDP].Addr.Port())},
			{Query: true, Admin: true, Protocol: record.TCP, Port: uint32(n.at[record.TCP].Addr.Port())},
			{Query: true, Admin: true, Protocol: record.HTTP, Port: uint32(n.at[record.HTTP].Addr.Port())}}}}}
	for _, f := range []func() error{
		func() error { return n.server.ServeUDP(ctx, u) },
		func() error { return n.server.ServeTCP(ctx, plain) },
		func() error {
			return n.server.ServeTCP(ctx, tls.NewListener(secure, &tls.Config{Certificates: []tls.Certificate{testCert()}}))
		},
	} {
		wg.Go(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		web.Close()
		webTLS.Close()
		wg.Wait()
	})
	return n
}

func newClient(t testing.TB, change ...func(*Client)) *Client {
	c := &Client{}
	for _, f := range change {
		f(c)
	}
	t.Cleanup(c.Close)
	return c
}

func (n *node) login() Login {
	return Login{As: record.Ref{Index: adminKeyAt, Name: adminName}, Key: n.admin}
}

func (n *node) admin1(t testing.TB, c *Client, at record.Endpoint, l Login, o AdminOptions) *Admin {
	t.Helper()
	a, err := c.Admin(t.Context(), at, l, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(context.Background()) })
	return a
}

// askDoor and anybody make the client's own doors for the kit.
type askDoor struct {
	c  *Client
	at record.Endpoint
}

func (d askDoor) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	return d.c.Ask(ctx, d.at, q)
}

type anybody struct {
	c  *Client
	at record.Endpoint
}

// Write sends writes without ever answering a challenge.
func (d anybody) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	a := &Admin{c: d.c, at: d.at, o: AdminOptions{NoSession: true}}
	rs := make([]record.Result, len(writes))
	for i := range writes {
		rs[i] = record.Result{ID: writes[i].ID, Err: writeAsNobody(ctx, a, &writes[i])}
	}
	return rs, nil
}

func writeAsNobody(ctx context.Context, a *Admin, w *record.Write) error {
	ops := map[record.Op]Op{record.Create: OpCreate, record.Add: OpAdd, record.Modify: OpModify, record.Remove: OpRemove, record.Delete: OpDelete, record.Home: OpHome, record.Unhome: OpUnhome}
	body := AppendNamed(nil, w.ID.String())
	switch w.Op {
	case record.Create, record.Add, record.Modify:
		body = AppendValues(nil, w.ID.String(), w.Values)
	case record.Remove:
		body = AppendRemoval(nil, w.ID.String(), w.Indexes)
	}
	q, err := a.c.ask(a.at, ops[w.Op], DefaultFlags, 0, body)
	if err != nil {
		return err
	}
	r, err := a.c.send(ctx, q)
	if err != nil || r.Code == Success {
		return err
	}
	return a.c.failure(r)
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// The whole kit, over every transport and every way to be somebody.
func TestDoors(t *testing.T) {
	type way struct {
		name   string
		at     record.Protocol
		tls    bool
		client func(*Client)
		o      AdminOptions
	}
	ways := []way{
		{name: "TCP", at: record.TCP},
		{name: "UDP", at: record.UDP},
		{name: "TLS", tls: true, o: AdminOptions{NoSession: true}},
		{name: "HTTP", at: record.HTTP, o: AdminOptions{Encrypt: true}},
		{name: "Encrypted", at: record.TCP, o: AdminOptions{Encrypt: true}},
		{name: "Login", at: record.TCP, o: AdminOptions{Channel: true}, client: func(c *Client) { c.Chinese = true }},
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			recordtest.Run(t, func(t *testing.T) recordtest.Doors {
				n := serve(t, trust.Ed25519)
				at := n.at[w.at]
				c := newClient(t, func(c *Client) {
					if w.client != nil {
						w.client(c)
					}
					if w.tls {
						at = n.tls
						c.TLS = &tls.Config{InsecureSkipVerify: true}
					}
				})
				a := n.admin1(t, c, at, n.login(), w.o)
				return recordtest.Doors{Resolver: a, Registrar: a, Lister: a, Prefix: bookPrefix, Homes: true,
					Admin:            record.Identity{Ref: n.login().As},
					AnybodyResolver:  askDoor{c, at},
					AnybodyRegistrar: anybody{c, at}}
			})
		})
	}
}

// Every way to prove who one is, with and without a session, and what comes of a wrong key.
func TestLogins(t *testing.T) {
	for _, alg := range []trust.Algorithm{trust.Ed25519, trust.P256, trust.SM2, trust.RSA} {
		n := serve(t, alg)
		c := newClient(t)
		logins := map[string]Login{"key": n.login()}
		if alg == trust.Ed25519 {
			for _, f := range []trust.SecretForm{0, trust.FormMD5, trust.FormSHA1, trust.FormSHA256, trust.FormHMACSHA1, trust.FormHMACSHA256, trust.FormPBKDF2} {
				logins[fmt.Sprintf("secret 0x%02x", uint8(f))] = Login{As: record.Ref{Index: secretAt, Name: adminName}, Secret: []byte(theSecret), Form: f}
			}
		}
		for what, l := range logins {
			for _, o := range []AdminOptions{{}, {NoSession: true}, {Mode: ModeServerCipher, Encrypt: true}, {Channel: true}} {
				t.Run(fmt.Sprintf("%s/%s/%+v", alg, what, o), func(t *testing.T) {
					a := n.admin1(t, c, n.at[record.TCP], l, o)
					v := id.MustParse(bookPrefix + "/" + strings.NewReplacer(" ", "", "{", "", "}", "").Replace(fmt.Sprintf("%s-%s-%v", alg, what, o)))
					rs, err := a.Write(t.Context(), record.Identity{}, []record.Write{
						{Op: record.Create, ID: v, Values: []record.Value{value(1, "URL", []byte("a"))}},
						{Op: record.Add, ID: v, Values: []record.Value{value(2, "URL", []byte("b"))}}})
					if err != nil || rs[0].Err != nil || rs[1].Err != nil {
						t.Fatalf("%v %v", rs, err)
					}
				})
			}
			wrong := l
			if wrong.Key != nil {
				wrong.Key = testKey(t, alg, "another")
			} else {
				wrong.Secret = []byte("Secret-123")
			}
			for _, o := range []AdminOptions{{}, {NoSession: true}} {
				a := n.admin1(t, c, n.at[record.TCP], wrong, o)
				rs, err := a.Write(t.Context(), record.Identity{}, []record.Write{{Op: record.Delete, ID: id.MustParse(bookPrefix + "/x")}})
				if err != nil || !problem.Is(rs[0].Err, problem.AuthFailed) {
					t.Errorf("%s %s %+v with a wrong key: %v %v", alg, what, o, rs, err)
				}
			}
			if _, err := c.Admin(t.Context(), n.at[record.TCP], wrong, AdminOptions{Channel: true}); !problem.Is(err, problem.AuthFailed) {
				t.Errorf("%s %s logged in with a wrong key: %v", alg, what, err)
			}
		}
	}
}

func TestSessionModes(t *testing.T) {
	n := serve(t, trust.Ed25519)
	for name, c := range map[string]*Client{"plain": newClient(t), "Chinese": newClient(t, func(c *Client) { c.Chinese = true })} {
		for _, mode := range []Mode{ModeClientCipher, ModeServerCipher, ModeDH} {
			for _, p := range []record.Protocol{record.UDP, record.TCP, record.HTTP, record.HTTPS} {
				a := n.admin1(t, c, n.at[p], n.login(), AdminOptions{Mode: mode, Encrypt: true})
				v := id.MustParse(fmt.Sprintf("%s/%s-%d-%d", bookPrefix, name, mode, p))
				rs, err := a.Write(t.Context(), record.Identity{}, []record.Write{{Op: record.Create, ID: v, Values: []record.Value{value(1, "URL", []byte(strings.Repeat("long ", 300)))}}})
				if err != nil || rs[0].Err != nil {
					t.Fatalf("mode %d over %d: %v %v", mode, p, rs, err)
				}
				if want := map[bool]cipherID{true: cipherSM4, false: cipherAES}[c.Chinese && mode == ModeClientCipher]; a.session.key.cipher != want {
					t.Errorf("mode %d: cipher %d", mode, a.session.key.cipher)
				}
			}
		}
	}
}

func TestAsk(t *testing.T) {
	n := serve(t, trust.RSA)
	secret := value(9, "NOTE", []byte("inside"))
	secret.Perm = record.AdminRead
	long := value(3, "TEXT", []byte(strings.Repeat("0123456789", 400)))
	n.book.Put(bookPrefix+"/Eng-42", value(1, "URL", []byte("http://a")), value(2, "EMAIL", []byte("a@b")), secret, long)
	c := newClient(t)
	for p, at := range n.at {
		q := record.Query{ID: id.MustParse(bookPrefix + "/eng-42"), As: bookPrefix + "/eNg-42", Types: []string{"URL"}, PublicOnly: true, Certify: true, Trace: true}
		a, err := c.Ask(t.Context(), at, q)
		if err != nil || len(a.Values) != 1 || string(a.Values[0].Data) != "http://a" || !a.Certified || !a.Primary || a.Source != at.Addr.String() || len(a.Path) != 1 {
			t.Errorf("%v: %+v %v", p, a, err)
		}
		q.Certify, q.Types = false, nil
		if a, err = c.Ask(t.Context(), at, q); err != nil || len(a.Values) != 3 || a.Certified {
			t.Errorf("%v, everything: %d values, %v", p, len(a.Values), err)
		}
		q.PublicOnly = false
		if a, err = c.Ask(t.Context(), at, q); !problem.Is(err, problem.NeedAuth) {
			t.Errorf("%v, what is not public: %+v %v", p, a, err)
		}
		q = record.Query{ID: id.MustParse(bookPrefix + "/none"), PublicOnly: true, Certify: true}
		if a, err = c.Ask(t.Context(), at, q); !problem.Is(err, problem.NotFound) || !a.Certified {
			t.Errorf("%v, absent: %+v %v", p, a, err)
		}
		// A server of another key than the site names is not believed.
		at.Key = testKey(t, trust.RSA, "another").Public().Data()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if a, err = c.Ask(ctx, at, q); !problem.Is(err, problem.Bogus) {
			t.Errorf("%v, wrong key: %+v %v", p, a, err)
		}
		cancel()
		if p != record.UDP {
			if _, err := c.Admin(t.Context(), at, n.login(), AdminOptions{}); !problem.Is(err, problem.Bogus) {
				t.Errorf("%v, a session with a server of another key: %v", p, err)
			}
		}
	}
	site, err := c.SiteInfo(t.Context(), n.at[record.UDP])
	if err != nil || site.Serial != 3 || len(site.Servers) != 1 {
		t.Errorf("%+v %v", site, err)
	}
}

func TestVerifyRemote(t *testing.T) {
	n := serve(t, trust.Ed25519)
	c := newClient(t)
	user := record.Ref{Index: secretAt, Name: adminName}
	nonce, digest := []byte("0123456789abcdef"), SHA256.Digest([]byte("request"))
	good, err := trust.ProveSecret([]byte(theSecret), user, nonce, digest, trust.FormPBKDF2)
	if err != nil {
		t.Fatal(err)
	}
	bad, _ := trust.ProveSecret([]byte("other"), user, nonce, digest, trust.FormPBKDF2)
	for p, at := range n.at {
		if ok, err := c.VerifyRemote(t.Context(), at, user, nonce, digest, good.Signed); !ok || err != nil {
			t.Errorf("%v: %v %v", p, ok, err)
		}
		if ok, err := c.VerifyRemote(t.Context(), at, user, nonce, digest, bad.Signed); ok || err != nil {
			t.Errorf("%v, wrong secret: %v %v", p, ok, err)
		}
	}
	at := n.at[record.TCP]
	if _, err := c.VerifyRemote(t.Context(), at, record.Ref{Index: 1, Name: "99.9/x"}, nonce, digest, good.Signed); err == nil {
		t.Error("a record that is elsewhere")
	}
	at.Key = nil
	if _, err := c.VerifyRemote(t.Context(), at, user, nonce, digest, good.Signed); !problem.Is(err, problem.AuthError) {
		t.Errorf("a server without a key: %v", err)
	}
}

// A session that the server has forgotten is set up again, once, without the caller noticing.
func TestSessionComesBack(t *testing.T) {
	n := serve(t, trust.Ed25519)
	c := newClient(t)
	for _, o := range []AdminOptions{{}, {Encrypt: true}} {
		a := n.admin1(t, c, n.at[record.TCP], n.login(), o)
		for i := range 3 {
			rs, err := a.Write(t.Context(), record.Identity{}, []record.Write{{Op: record.Create, Overwrite: true, ID: id.MustParse(bookPrefix + "/x"), Values: []record.Value{value(1, "URL", []byte("a"))}}})
			if err != nil || rs[0].Err != nil {
				t.Fatalf("%+v, %d: %v %v", o, i, rs, err)
			}
			if !n.server.sessions.close(a.session.id) {
				t.Fatal("no session")
			}
		}
	}
	// And one that is closed is gone from the server.
	a := n.admin1(t, c, n.at[record.TCP], n.login(), AdminOptions{})
	before := n.server.sessions.len()
	a.Close(t.Context())
	if n.server.sessions.len() != before-1 {
		t.Error("the session stayed")
	}
}

func TestManyWritesAtOnce(t *testing.T) {
	n := serve(t, trust.Ed25519)
	c := newClient(t)
	a := n.admin1(t, c, n.at[record.TCP], n.login(), AdminOptions{InFlight: 64})
	var writes []record.Write
	for i := range 1000 {
		writes = append(writes, record.Write{Op: record.Create, ID: id.MustParse(fmt.Sprintf("%s/%d", bookPrefix, i)), Values: []record.Value{value(1, "N", nil)}})
	}
	rs, err := a.Write(t.Context(), record.Identity{}, writes)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if got, err := a.Count(t.Context(), record.Identity{}, bookPrefix); got != 1000 || err != nil {
		t.Errorf("%d %v", got, err)
	}
	if s := c.server(n.at[record.TCP].Addr); !s.proven || s.open > c.connections() {
		t.Errorf("proven %v, %d connections", s.proven, s.open)
	}
}

func TestFind(t *testing.T) {
	n := serve(t, trust.Ed25519)
	mirror := *n.site
	mirror.Primary = false
	mirror.Servers = slices.Clone(n.site.Servers)
	mirror.Servers[0].Addr = netip.MustParseAddr("127.0.0.2")
	site := func(i uint32, typ string, s *record.Site) record.Value {
		return value(i, typ, record.AppendSite(nil, s))
	}
	book := recordtest.NewBook(record.Ref{}, "0.NA", "88.222", "88.223")
	book.Put("0.NA/0.NA", site(1, record.TypeSite, n.site))
	book.Put("0.NA/88", site(1, record.TypeSite, n.site), site(2, record.TypeSitePrefix, &mirror))
	book.Put("0.NA/88.118", site(1, record.TypeSite, n.site), site(2, record.TypeSite, &mirror), value(3, record.TypeSite, []byte("broken")))
	book.Put("0.NA/88.333", value(1, record.TypeServ, []byte("88.222/SERVICE")))
	book.Put("0.NA/88.222", site(1, record.TypeSite, n.site))
	book.Put("88.222/SERVICE", site(1, record.TypeSite, &mirror))
	book.Put("0.NA/88.444", value(1, record.TypeServ, []byte("88.223/A")))
	book.Put("88.223/A", value(1, record.TypeServ, []byte("88.223/B")))
	book.Put("88.223/B", value(1, record.TypeServ, []byte("88.223/A")))
	book.Put("0.NA/88.555", value(1, "DESC", nil))
	c := newClient(t)
	for _, x := range []struct {
		name  string
		admin bool
		want  []string
		kind  problem.Kind
	}{
		{name: "88.118/x", want: []string{"udp:127.0.0.1", "tcp:127.0.0.1", "http:127.0.0.1", "udp:127.0.0.2", "tcp:127.0.0.2", "http:127.0.0.2"}},
		{name: "88.118/x", admin: true, want: []string{"tcp:127.0.0.1", "http:127.0.0.1"}},
		{name: "88.333/x", want: []string{"udp:127.0.0.2", "tcp:127.0.0.2", "http:127.0.0.2"}},
		{name: "88.333/x", admin: true, kind: problem.Unreachable},
		{name: "88.444/x", kind: problem.TooDeep},
		{name: "0.NA/88", admin: true, want: []string{"tcp:127.0.0.1", "http:127.0.0.1"}},
		{name: "0.NA/0.NA", admin: true, want: []string{"tcp:127.0.0.1", "http:127.0.0.1"}},
		{name: "0.NA/88.118", want: []string{"udp:127.0.0.2", "tcp:127.0.0.2", "http:127.0.0.2"}},
		{name: "88.118", want: []string{"udp:127.0.0.2", "tcp:127.0.0.2", "http:127.0.0.2"}},
		{name: "88.555/x", want: []string{"udp:127.0.0.2", "tcp:127.0.0.2", "http:127.0.0.2"}},
		{name: "88.118.7/x", want: []string{"udp:127.0.0.2", "tcp:127.0.0.2", "http:127.0.0.2"}},
	} {
		es, err := c.Find(t.Context(), book, id.MustParse(x.name), x.admin)
		var got []string
		for _, e := range es {
			got = append(got, e.String()[:strings.LastIndexByte(e.String(), ':')])
		}
		if x.want == nil && !problem.Is(err, x.kind) || x.want != nil && (err != nil || !slices.Equal(got, x.want)) {
			t.Errorf("%s %v: %v %v, want %v", x.name, x.admin, got, err, x.want)
		}
	}
	if _, err := c.Find(t.Context(), recordtest.NewBook(record.Ref{}, "0.NA"), id.MustParse("88.9/x"), false); !problem.Is(err, problem.NotFound) {
		t.Errorf("an empty world: %v", err)
	}
}

func TestReferrals(t *testing.T) {
	site := value(1, "HS_SITE.PREFIX", []byte("a site"))
	for name, x := range map[string]struct {
		change func(m *Message)
		want   *record.Referral
		kind   problem.Kind
	}{
		"prefix": {func(m *Message) {
			m.Code, m.Body = PrefixReferral, AppendReferral(nil, &record.Referral{Values: []record.Value{site}})
		}, &record.Referral{Prefix: true, Values: []record.Value{site}}, 0},
		"service": {func(m *Message) {
			m.Code, m.Body = ServiceReferral, AppendReferral(nil, &record.Referral{Name: "88.1/S"})
		}, &record.Referral{Name: "88.1/S"}, 0},
		"backup of an old server": {func(m *Message) {
			m.Version, m.Code, m.Body = Version{2, 4}, PrefixReferral, AppendError(nil, "")
		}, nil, problem.ReadOnly},
		"broken":      {func(m *Message) { m.Code, m.Body = ServiceReferral, []byte{1} }, nil, problem.Unreachable},
		"not here":    {func(m *Message) { m.Code, m.Body = NotResponsible, AppendError(nil, "no") }, nil, problem.NotHere},
		"broken text": {func(m *Message) { m.Code, m.Body = NotResponsible, []byte{0, 0, 1, 1} }, nil, problem.NotHere},
		"no text":     {func(m *Message) { m.Code, m.Body = HandleNotFound, nil }, nil, problem.NotFound},
		"stale site":  {func(m *Message) { m.Code, m.Body = StaleSiteInfo, nil }, nil, problem.StaleSite},
		"unknown":     {func(m *Message) { m.Code, m.Body = 777, nil }, nil, problem.Internal},
	} {
		a := actTCP(t, func(_ int32, c net.Conn) {
			if q := readRequest(c); q != nil {
				c.Write(reply(q, "", x.change))
			}
		})
		ans, err := newClient(t).Ask(t.Context(), a.at, someQuery("x"))
		if x.want == nil && !problem.Is(err, x.kind) || x.want != nil && (err != nil || fmt.Sprint(*ans.Referral) != fmt.Sprint(*x.want)) {
			t.Errorf("%s: %+v %v", name, ans, err)
		}
	}
}

func TestConnectionsRest(t *testing.T) {
	n := serve(t, trust.Ed25519)
	n.book.Put(bookPrefix+"/X", value(1, "URL", []byte("a")))
	c := newClient(t, func(c *Client) { c.Idle = time.Millisecond })
	at := n.at[record.TCP]
	for range 3 {
		asks(t, c, at, someQuery("x"), "a")
		s := c.server(at.Addr)
		for open := 1; open > 0; { // until the idle connection is closed
			s.mu.Lock()
			open = s.open
			wake := s.wake
			s.mu.Unlock()
			if open > 0 {
				<-wake
			}
		}
	}
	// Closed clients refuse; those that wait are told.
	c.Close()
	if _, err := c.Ask(t.Context(), at, someQuery("x")); !problem.Is(err, problem.Unreachable) {
		t.Error(err)
	}
	asked := make(chan bool, 1)
	silent := actTCP(t, func(_ int32, c net.Conn) {
		readRequest(c)
		asked <- true
		readRequest(c)
	})
	c2 := newClient(t)
	go func() {
		<-asked
		c2.Close()
	}()
	if _, err := c2.Ask(t.Context(), silent.at, someQuery("x")); !problem.Is(err, problem.Unreachable) {
		t.Error(err)
	}
}

// A client that asks everybody does not remember everybody.
func TestServersAreBounded(t *testing.T) {
	c := newClient(t)
	n := serve(t, trust.Ed25519)
	n.book.Put(bookPrefix+"/X", value(1, "URL", []byte("a")))
	asks(t, c, n.at[record.TCP], someQuery("x"), "a")
	for i := range 2 * maxServers {
		c.server(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1))
	}
	if len(c.servers) > maxServers {
		t.Errorf("%d servers", len(c.servers))
	}
	if c.servers[serverKey{n.at[record.TCP].Addr, false}] == nil {
		t.Error("one with a connection was forgotten")
	}
	asks(t, c, n.at[record.TCP], someQuery("x"), "a")
}

// Every answer over a wire that loses, doubles, reorders and damages is a true one. FUJIE_SOAK=1 makes it long.
func TestBadWire(t *testing.T) {
	n := serve(t, trust.Ed25519)
	long := strings.Repeat("0123456789", 200)
	n.book.Put(bookPrefix+"/X", value(1, "URL", []byte(long)))
	questions := 20
	if os.Getenv("FUJIE_SOAK") != "" {
		questions = 5000
	}
	a := actUDPRelay(t, n.at[record.UDP], func(answer []byte) bool {
		if mrand.IntN(10) == 0 {
			answer[mrand.IntN(len(answer))] ^= byte(1 + mrand.IntN(255))
		}
		return mrand.IntN(50) != 0
	})
	a.at.Key = n.key.Public().Data()
	c := newClient(t)
	var wg sync.WaitGroup
	slots := make(chan bool, 20)
	var good atomic.Int32
	for range questions {
		slots <- true
		wg.Go(func() {
			defer func() { <-slots }()
			q := someQuery("x")
			q.Certify = true
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ans, err := c.Ask(ctx, a.at, q)
			switch {
			case err == nil && ans.Certified:
				good.Add(1)
				if len(ans.Values) != 1 || string(ans.Values[0].Data) != long {
					t.Error("a damaged answer was certified")
				}
			case err == nil || problem.Is(err, problem.Unreachable) || problem.Is(err, problem.Bogus):
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if int(good.Load()) < questions/4 {
		t.Errorf("only %d of %d questions were answered", good.Load(), questions)
	}
}
