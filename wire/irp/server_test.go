package irp

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/burst"
)

// vecNow is the time at which answers expire as those of the vectors do.
var vecNow = time.Unix(int64(vecExpires)-lifetime, 0)

var (
	adminRef  = record.Ref{Index: 301, Name: "88.111.1/ADMIN"}
	keyRef    = record.Ref{Index: 300, Name: "88.111.1/ADMIN"}
	adminPass = []byte("secret-123")
)

// serverRig is a server with a Book behind it, on loopback.
type serverRig struct {
	*Server
	book     *recordtest.Book
	site     atomic.Pointer[record.Site]
	tcp, udp netip.AddrPort
	key      *trust.PrivateKey // of keyRef
}

func newServerRig(t testing.TB, change func(*serverRig)) *serverRig {
	t.Helper()
	g := &serverRig{Server: &Server{Now: func() time.Time { return vecNow }}, book: recordtest.NewBook(record.Ref{Name: adminRef.Name}, "88.111.1")}
	var err error
	if g.key, err = trust.Generate(trust.Ed25519, nil); err != nil {
		t.Fatal(err)
	}
	if g.Key, err = trust.Generate(trust.Ed25519, nil); err != nil {
		t.Fatal(err)
	}
	value := func(index uint32, typ string, perm record.Perm, data []byte) record.Value {
		return record.Value{Index: index, Type: typ, Data: data, Perm: perm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000}
	}
	g.book.Put("88.111.1/t1", vecValue)
	g.book.Put("88.111.1/many", value(1, "URL", record.DefaultPerm, []byte("u")), value(2, "URL.MOBILE", record.DefaultPerm, []byte("m")),
		value(3, "EMAIL", record.DefaultPerm, []byte("e")), value(4, "DESC", record.AdminRead|record.AdminWrite, []byte("hidden")))
	g.book.Put("88.111.1/hidden", value(4, "DESC", record.AdminRead, []byte("hidden")))
	g.book.Put("88.111.1/long", value(1, "DESC", record.DefaultPerm, bytes.Repeat([]byte("long "), 300)))
	g.book.Put("0.NA/88.111.1", value(100, "HS_ADMIN", record.DefaultPerm, record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: record.Ref{Index: 300, Name: adminRef.Name}})))
	g.book.Put(adminRef.Name, value(300, "HS_PUBKEY", record.DefaultPerm, g.key.Public().Data()), value(301, "HS_SECKEY", record.AdminRead, adminPass))
	g.site.Store(&record.Site{Version: 1, Major: 2, Minor: 11, Serial: 1, Primary: true,
		Servers: []record.Server{{ID: 1, Addr: netip.MustParseAddr("127.0.0.1"), PublicKey: g.Key.Public().Data()}}})
	g.Site = g.site.Load
	g.Resolver, g.Registrar, g.Lister, g.Secrets = g.book, g.book, g.book, g.book
	g.Auth = &trust.Checker{Resolver: g.book, Secrets: g.book}
	if change != nil {
		change(g)
	}

	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	serve := func(f func() error) {
		work.Add(1)
		go func() {
			defer work.Done()
			if err := f(); err != nil {
				t.Errorf("serving ended: %v", err)
			}
		}()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.tcp = netip.MustParseAddrPort(l.Addr().String())
	c, err := burst.Listen(g.tcp, burst.Options{}) // one port for both, as everywhere
	if err != nil {
		c, err = burst.Listen(netip.MustParseAddrPort("127.0.0.1:0"), burst.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	g.udp = c.LocalAddr()
	serve(func() error { return g.ServeTCP(ctx, l) })
	serve(func() error { return g.ServeUDP(ctx, c) })
	t.Cleanup(func() {
		cancel()
		work.Wait()
		if n := g.Stats.Panics.Load(); n != 0 {
			t.Errorf("%d requests panicked", n)
		}
	})
	return g
}

// line is a raw connection of a test to a server.
type line struct {
	t  testing.TB
	nc net.Conn
}

func (g *serverRig) dial(t testing.TB, network string) *line {
	t.Helper()
	addr := g.tcp
	if network == "udp" {
		addr = g.udp
	}
	nc, err := net.Dial(network, addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &line{t, nc}
}

func (l *line) send(b []byte) {
	l.t.Helper()
	if _, err := l.nc.Write(b); err != nil {
		l.t.Fatal(err)
	}
}

// raw reads one whole message from the connection.
func (l *line) raw() []byte {
	l.t.Helper()
	head := make([]byte, envelopeSize)
	if _, err := io.ReadFull(l.nc, head); err != nil {
		l.t.Fatalf("reading an answer: %v", err)
	}
	msg := append(head, make([]byte, binary.BigEndian.Uint32(head[16:]))...)
	if _, err := io.ReadFull(l.nc, msg[envelopeSize:]); err != nil {
		l.t.Fatalf("reading an answer: %v", err)
	}
	return msg
}

// packet reads one datagram.
func (l *line) packet() []byte {
	l.t.Helper()
	b := make([]byte, 2048)
	n, err := l.nc.Read(b)
	if err != nil {
		l.t.Fatalf("reading a packet: %v", err)
	}
	return b[:n]
}

func (l *line) read() *Message { l.t.Helper(); return decodeWhole(l.t, l.raw()) }

func (l *line) ask(m *Message) *Message { l.t.Helper(); l.send(AppendMessage(nil, m)); return l.read() }

// closed waits until the server closes the connection.
func (l *line) closed() {
	l.t.Helper()
	if n, err := l.nc.Read(make([]byte, 1)); n != 0 || errors.Is(err, context.DeadlineExceeded) || err == nil {
		l.t.Fatalf("the connection is open: %d, %v", n, err)
	}
}

// until waits for a condition that is about to hold.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it is never %s", what)
		}
	}
}

var lastID atomic.Uint32

// newRequest makes a request as deployed clients do.
func newRequest(op Op, flags Flags, body []byte) *Message {
	h := vecHeader(op, flags)
	return &Message{Envelope: Envelope{Version: Latest, Suggested: Latest, Request: lastID.Add(1)}, Header: h, Body: body}
}

func ask1(name string, flags Flags) *Message {
	return newRequest(OpResolution, flags, AppendResolution(nil, &Resolution{Name: name}))
}

// says fails the test unless m has the code.
func says(t testing.TB, m *Message, want Code) {
	t.Helper()
	if m.Code != want {
		text, _ := DecodeError(m.Body)
		t.Fatalf("%v (%d) %q, want %v (%d)", m.Code, m.Code, text, want, want)
	}
}

// prove answers the challenge m to the request first.
func prove(t testing.TB, m, first *Message, secret []byte, key *trust.PrivateKey) *Message {
	t.Helper()
	says(t, m, AuthenticationNeeded)
	c, err := DecodeChallenge(m.Version, m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.Digest, c.Alg.Digest(first.Content())) || len(c.Nonce) != 16 || m.Session == 0 {
		t.Fatalf("challenge %+v, session %d", c, m.Session)
	}
	if want := first.Flags | RequestDigest | Authoritative; m.Flags != want || m.Op != first.Op {
		t.Fatalf("challenge has op %v and flags %08x, want %v and %08x", m.Op, uint32(m.Flags), first.Op, uint32(want))
	}
	var p record.Proof
	if key != nil {
		p, err = trust.Prove(key, keyRef, c.Nonce, c.Digest)
	} else {
		p, err = trust.ProveSecret(secret, adminRef, c.Nonce, c.Digest, trust.FormPBKDF2)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := newRequest(OpAnswerChallenge, DefaultFlags, AppendProof(nil, &p))
	a.Session = m.Session
	return a
}

// TestServerVectors sends the requests of the shared vectors and compares the answers with those of the vectors, byte
// for byte.
func TestServerVectors(t *testing.T) {
	g := newServerRig(t, nil)
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			l := g.dial(t, network)
			read := l.raw
			if network == "udp" {
				read = l.packet
			}
			l.send(vectorMessage(t, "OC_RESOLUTION request 88.111.1/t1"))
			if got, want := read(), vectorMessage(t, "OC_RESOLUTION success response"); !bytes.Equal(got, want) {
				t.Errorf("got\n%x\nwant\n%x", got, want)
			}
			missing := bytes.Replace(vectorMessage(t, "OC_RESOLUTION request 88.111.1/t1"), []byte("/t1"), []byte("/t9"), 1)
			l.send(missing)
			if got, want := read(), vectorMessage(t, "RC_HANDLE_NOT_FOUND(100)"); !bytes.Equal(got, want) {
				t.Errorf("got\n%x\nwant\n%x", got, want)
			}
		})
	}
}

// TestServerChallengeVector deletes as the vectors do: the challenge is theirs but for nonce and session.
func TestServerChallengeVector(t *testing.T) {
	g := newServerRig(t, nil)
	l := g.dial(t, "tcp")
	l.send(vectorMessage(t, "OC_DELETE_HANDLE request"))
	got, want := l.raw(), vectorMessage(t, "RC_AUTHENTICATION_NEEDED(402)")
	if len(got) != len(want) {
		t.Fatalf("got\n%x\nwant\n%x", got, want)
	}
	nonce := len(want) - 4 - 16
	if bytes.Equal(got[nonce:nonce+16], make([]byte, 16)) {
		t.Error("the nonce is empty")
	}
	copy(got[4:8], want[4:8])
	copy(got[nonce:nonce+16], want[nonce:nonce+16])
	if !bytes.Equal(got, want) {
		t.Fatalf("got\n%x\nwant\n%x", got, want)
	}
}

// TestServerOutcomes asks many things without saying who asks.
func TestServerOutcomes(t *testing.T) {
	g := newServerRig(t, nil)
	v := func(index uint32) record.Value {
		x := vecValue
		x.Index = index
		return x
	}
	values := func(name string, vs ...record.Value) []byte { return AppendValues(nil, name, vs) }
	resolution := func(name string, indexes []uint32, types ...string) []byte {
		return AppendResolution(nil, &Resolution{Name: name, Indexes: indexes, Types: types})
	}
	for _, c := range []struct {
		name  string
		op    Op
		flags Flags
		body  []byte
		want  Code
		is    string // indexes of the values that come
	}{
		{"all", OpResolution, DefaultFlags, resolution("88.111.1/many", nil), Success, "1 2 3"},
		{"as asked", OpResolution, DefaultFlags, resolution("88.111.1/MaNy", nil), Success, "1 2 3"},
		{"by index", OpResolution, DefaultFlags, resolution("88.111.1/many", []uint32{3}), Success, "3"},
		{"by type", OpResolution, DefaultFlags, resolution("88.111.1/many", nil, "url"), Success, "1"},
		{"by types below", OpResolution, DefaultFlags, resolution("88.111.1/many", nil, "URL."), Success, "1 2"},
		{"union", OpResolution, DefaultFlags, resolution("88.111.1/many", []uint32{3, 9}, "URL", "X"), Success, "1 3"},
		{"hidden dropped", OpResolution, DefaultFlags, resolution("88.111.1/many", []uint32{3, 4}), Success, "3"},
		{"only hidden", OpResolution, DefaultFlags, resolution("88.111.1/many", []uint32{4}), ValuesNotFound, ""},
		{"all hidden", OpResolution, DefaultFlags, resolution("88.111.1/hidden", nil), ValuesNotFound, ""},
		{"none such", OpResolution, DefaultFlags, resolution("88.111.1/many", nil, "X"), ValuesNotFound, ""},
		{"hidden, not PO", OpResolution, Recursive | CacheOK, resolution("88.111.1/many", nil), AuthenticationNeeded, ""},
		{"public, not PO", OpResolution, Recursive | CacheOK, resolution("88.111.1/many", nil, "URL"), Success, "1"},
		{"absent", OpResolution, DefaultFlags, resolution("88.111.1/none", nil), HandleNotFound, ""},
		{"elsewhere", OpResolution, DefaultFlags, resolution("88.999/x", nil), NotResponsible, ""},
		{"bare prefix", OpResolution, DefaultFlags, resolution("88.111.1", nil), Success, "100"},
		{"no suffix", OpResolution, DefaultFlags, resolution("88.111.1/", nil), InvalidHandle, ""},
		{"empty", OpResolution, DefaultFlags, resolution("", nil), InvalidHandle, ""},
		{"Chinese dialect", OpResolution, DefaultFlags, AppendResolution(nil, &Resolution{Name: "88.111.1/many", Chinese: true}), Success, "1 2 3"},
		{"Chinese dialect, with auth", OpResolution, DefaultFlags | RecursiveAuth, AppendResolution(nil, &Resolution{Name: "88.111.1/many", Chinese: true, Auth: []byte("x")}), Success, "1 2 3"},

		{"create elsewhere", OpCreate, DefaultFlags, values("88.999/x", v(1)), NotResponsible, ""},
		{"create again", OpCreate, DefaultFlags, values("88.111.1/t1", v(1)), HandleExists, ""},
		{"create with one index twice", OpCreate, DefaultFlags, values("88.111.1/new", v(1), v(1)), ValueExists, ""},
		{"create with index 0", OpCreate, DefaultFlags, values("88.111.1/new", v(0)), InvalidValue, ""},
		{"create with index -1", OpCreate, DefaultFlags, values("88.111.1/new", v(1<<32-1)), InvalidValue, ""},
		{"modify what is not there", OpModify, DefaultFlags, values("88.111.1/none", v(1)), HandleNotFound, ""},
		{"create", OpCreate, DefaultFlags, values("88.111.1/new", v(1)), AuthenticationNeeded, ""},
		{"create over", OpCreate, DefaultFlags | Overwrite, values("88.111.1/t1", v(1)), AuthenticationNeeded, ""},
		{"delete", OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/none"), AuthenticationNeeded, ""},
		{"add", OpAdd, DefaultFlags, values("88.111.1/t1", v(1)), AuthenticationNeeded, ""},
		{"remove", OpRemove, DefaultFlags, AppendRemoval(nil, "88.111.1/t1", []uint32{9}), AuthenticationNeeded, ""},
		{"list", OpList, DefaultFlags, AppendNamed(nil, "0.NA/88.111.1"), AuthenticationNeeded, ""},
		{"list homed", OpListHomed, DefaultFlags, AppendNamed(nil, "/"), AuthenticationNeeded, ""},
		{"home", OpHome, DefaultFlags, AppendNamed(nil, "0.NA/88.111.2"), AuthenticationNeeded, ""},
		{"unhome", OpUnhome, DefaultFlags, AppendNamed(nil, "0.NA/88.111.2"), AuthenticationNeeded, ""},
		{"list what is no prefix", OpList, DefaultFlags, AppendNamed(nil, "88.111.1/t1"), InvalidHandle, ""},

		{"session end without session", OpSessionTerminate, DefaultFlags, AppendNamed(nil, "/"), SessionTimeout, ""},
		{"key exchange without session", OpSessionExchangeKey, DefaultFlags, AppendExchange(nil, []byte("x")), SessionTimeout, ""},
		{"session of no mode", OpSessionSetup, DefaultFlags, []byte{0, 9}, InvalidSessionSetup, ""},
		{"transaction id", OpNextTransaction, DefaultFlags, AppendNamed(nil, "/"), NotSupported, ""},
		{"op 0", 0, DefaultFlags, AppendNamed(nil, "/"), ProtocolError, ""},
		{"body too short", OpResolution, DefaultFlags, []byte{0, 0, 0, 9, 'x'}, ProtocolError, ""},
		{"too many values", OpCreate, DefaultFlags, append(AppendNamed(nil, "88.111.1/x"), 0xff, 0xff, 0xff, 0xff), ProtocolError, ""},
		{"answer without challenge", OpAnswerChallenge, DefaultFlags, AppendProof(nil, &record.Proof{Type: "HS_SECKEY", User: adminRef, Signed: []byte{2}}), AuthenticationTimeout, ""},
		{"malformed answer", OpAnswerChallenge, DefaultFlags, []byte{1}, InvalidCredential, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := g.dial(t, "tcp")
			q := newRequest(c.op, c.flags, c.body)
			m := l.ask(q)
			says(t, m, c.want)
			if m.Request != q.Request || m.Op != c.op || m.SiteSerial != 1 || m.Expires != vecExpires {
				t.Errorf("%+v %+v", m.Envelope, m.Header)
			}
			if want := c.flags | Authoritative; m.Flags&^RequestDigest != want {
				t.Errorf("flags %08x, want %08x", uint32(m.Flags), uint32(want))
			}
			if c.is == "" {
				return
			}
			name, vs, err := DecodeValues(m.Body)
			if asked, _, _ := DecodeNamed(c.body); err != nil || name != asked {
				t.Errorf("%q, %v; asked for %q", name, err, asked)
			}
			var got []string
			for _, v := range vs {
				got = append(got, fmt.Sprint(v.Index))
			}
			if s := strings.Join(got, " "); s != c.is {
				t.Errorf("values %s, want %s", s, c.is)
			}
		})
	}
}

// TestServerUnknownOp: the answer is the one that deployed servers give to what they cannot decode.
func TestServerUnknownOp(t *testing.T) {
	g := newServerRig(t, nil)
	for _, op := range []Op{999, 3, 0xffffffff} {
		m := g.dial(t, "tcp").ask(newRequest(op, DefaultFlags, AppendNamed(nil, "/")))
		if m.Code != Failure || m.Op != 0 || m.Request != 0xffffffff || m.Version != (Version{2, 3}) || m.Suggested != Latest || m.SiteSerial != UnknownSite {
			t.Errorf("%d: %+v %+v", op, m.Envelope, m.Header)
		}
	}
}

// TestServerVersions: answers are in the version that the client suggests, at most 2.11.
func TestServerVersions(t *testing.T) {
	g := newServerRig(t, nil)
	ver := func(s string) Version { b, _ := hex.DecodeString(s); return Version{b[0], b[1]} }
	for _, c := range []struct{ is, suggests, speaks string }{
		{"0203", "020b", "020b"}, {"0300", "0300", "020b"}, {"0205", "0000", "0205"}, {"0201", "0000", "0201"}, {"0500", "0500", "020b"},
		{"020b", "0207", "0207"}, {"0100", "0000", "0203"}, {"020b", "0100", "0203"},
	} {
		for _, name := range []string{"88.111.1/t1", "88.111.1/none"} {
			q := ask1(name, DefaultFlags)
			q.Version, q.Suggested = ver(c.is), ver(c.suggests)
			m := g.dial(t, "tcp").ask(q)
			if m.Version != ver(c.speaks) || m.Suggested != Latest || m.Request != q.Request {
				t.Errorf("%s/%s: %+v", c.is, c.suggests, m.Envelope)
			}
		}
	}
}

func TestServerStaleSite(t *testing.T) {
	g := newServerRig(t, nil)
	g.site.Store(&record.Site{Serial: 7, Primary: false})
	for serial, want := range map[uint16]Code{6: StaleSiteInfo, 1: StaleSiteInfo, 7: Success, 8: Success, UnknownSite: Success} {
		q := ask1("88.111.1/t1", DefaultFlags|Authoritative)
		q.SiteSerial = serial
		m := g.dial(t, "tcp").ask(q)
		says(t, m, want)
		if m.SiteSerial != 7 || m.Flags&Authoritative != 0 {
			t.Errorf("serial %d, flags %08x of a mirror", m.SiteSerial, uint32(m.Flags))
		}
		q.Op, q.Body, q.content = OpGetSiteInfo, AppendNamed(nil, "/"), nil
		if m = g.dial(t, "tcp").ask(q); m.Code != Success {
			t.Errorf("site info with serial %d: %v", serial, m.Code)
		}
		if s, err := record.DecodeSite(m.Body); err != nil || s.Serial != 7 {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if stale(0, 0xfffe) || !stale(0xfff0, 2) || stale(2, UnknownSite) {
		t.Error("serials do not go round")
	}
}

func TestServerRecursionLimit(t *testing.T) {
	g := newServerRig(t, nil)
	for n, want := range map[uint8]Code{10: Success, 11: RecursionTooHigh, 255: RecursionTooHigh} {
		q := ask1("88.111.1/t1", DefaultFlags)
		q.Recursion = n
		m := g.dial(t, "tcp").ask(q)
		says(t, m, want)
	}
}

func TestServerAdminInterfaces(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) { g.QueryOnlyTCP = true })
	q := newRequest(OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/t1"))
	for _, network := range []string{"tcp", "udp"} {
		l := g.dial(t, network)
		l.send(AppendMessage(nil, q))
		m := decodeWhole(t, l.packet())
		says(t, m, ProtocolError)
		if text, _ := DecodeError(m.Body); text != "Received admin request on non-admin interface" {
			t.Error(text)
		}
	}
	g = newServerRig(t, func(g *serverRig) { g.UDPAdmin = true })
	l := g.dial(t, "udp")
	l.send(AppendMessage(nil, q))
	says(t, decodeWhole(t, l.packet()), AuthenticationNeeded)
}

// TestServerAdmin plays an administrator's day, each request with a challenge of its own and each on a new connection, as
// deployed clients do.
func TestServerAdmin(t *testing.T) {
	g := newServerRig(t, nil)
	v := vecValue
	two := v
	two.Index, two.Type = 2, "EMAIL"
	for i, c := range []struct {
		op    Op
		flags Flags
		body  []byte
		want  Code
	}{
		{OpCreate, DefaultFlags, AppendValues(nil, "88.111.1/new", []record.Value{v}), Success},
		{OpAdd, DefaultFlags, AppendValues(nil, "88.111.1/new", []record.Value{v}), ValueExists},
		{OpAdd, DefaultFlags, AppendValues(nil, "88.111.1/new", []record.Value{two}), Success},
		{OpModify, DefaultFlags, AppendValues(nil, "88.111.1/new", []record.Value{two}), Success},
		{OpRemove, DefaultFlags, AppendRemoval(nil, "88.111.1/new", []uint32{9}), ValuesNotFound},
		{OpRemove, DefaultFlags, AppendRemoval(nil, "88.111.1/new", []uint32{1}), Success},
		{OpCreate, DefaultFlags | Overwrite, AppendValues(nil, "88.111.1/new", []record.Value{v}), Success},
		{OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/new"), Success},
		{OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/new"), HandleNotFound},
		{OpHome, DefaultFlags, AppendNamed(nil, "0.NA/88.111.2"), Success},
		{OpCreate, DefaultFlags, AppendValues(nil, "88.111.2/x", nil), Success},
		{OpUnhome, DefaultFlags, AppendNamed(nil, "88.111.2"), Success},
	} {
		q := newRequest(c.op, c.flags, c.body)
		var key *trust.PrivateKey
		if i%2 == 0 {
			key = g.key
		}
		a := prove(t, g.dial(t, "tcp").ask(q), q, adminPass, key)
		m := g.dial(t, "tcp").ask(a)
		if m.Code != c.want || m.Op != c.op || m.Request != a.Request || m.Session != a.Session || m.Flags != c.flags|Authoritative {
			t.Fatalf("%d: %v is answered %v: %+v %+v", i, c.op, m.Code, m.Envelope, m.Header)
		}
		if c.op == OpCreate {
			asked, _, _ := DecodeNamed(c.body)
			if name, rest, err := DecodeNamed(m.Body); name != asked || err != nil || len(rest) != 0 {
				t.Errorf("created %q, %v", name, err)
			}
		} else if c.want == Success && len(m.Body) != 0 {
			t.Errorf("%v has body %x", c.op, m.Body)
		}
	}
	if _, err := g.book.List(t.Context(), record.Identity{Operator: true}, "88.111.2", "", 1); !problem.Is(err, problem.NotHere) {
		t.Errorf("after unhoming: %v", err)
	}
}

func TestServerMint(t *testing.T) {
	g := newServerRig(t, nil)
	for _, name := range []string{"88.111.1/x", "88.111.1/"} {
		if name == "88.111.1/" {
			name = "88.111.1/y" // the Book mints behind a suffix only
		}
		q := newRequest(OpCreate, DefaultFlags|MintSuffix, AppendValues(nil, name, []record.Value{vecValue}))
		l := g.dial(t, "tcp")
		m := l.ask(prove(t, l.ask(q), q, adminPass, nil))
		says(t, m, Success)
		if got, _, err := DecodeNamed(m.Body); err != nil || !strings.HasPrefix(got, strings.ToUpper(name)) || len(got) <= len(name) {
			t.Errorf("minted %q, %v", got, err)
		}
	}
	r := &request{Message: &Message{Header: Header{Op: OpCreate, Flags: MintSuffix}, Body: AppendValues(nil, "88.111.1/", nil)}, s: g.Server}
	if _, w, err := r.plan(); err != nil || w.ID.String() != "88.111.1" || !w.Mint {
		t.Errorf("%v, %v", w.ID, err)
	}
}

func TestServerRefusals(t *testing.T) {
	g := newServerRig(t, nil)
	q := newRequest(OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/t1"))
	l := g.dial(t, "tcp")

	a := prove(t, l.ask(q), q, []byte("wrong"), nil)
	says(t, l.ask(a), AuthenticationFailed)
	// A challenge answers once, whatever comes of it.
	right := prove(t, l.ask(newRequest(OpDelete, DefaultFlags, q.Body)), &Message{Header: q.Header, Body: q.Body}, adminPass, nil)
	right.Session = a.Session
	says(t, l.ask(right), AuthenticationTimeout)

	// Somebody known, but no administrator.
	other, _ := trust.Generate(trust.Ed25519, nil)
	g.book.Put("88.111.1/other", record.Value{Index: 300, Type: "HS_PUBKEY", Data: other.Public().Data(), Perm: record.DefaultPerm})
	m := l.ask(q)
	c, _ := DecodeChallenge(m.Version, m.Body)
	p, err := trust.Prove(other, record.Ref{Index: 300, Name: "88.111.1/other"}, c.Nonce, c.Digest)
	if err != nil {
		t.Fatal(err)
	}
	b := newRequest(OpAnswerChallenge, DefaultFlags, AppendProof(nil, &p))
	b.Session = m.Session
	says(t, l.ask(b), InvalidAdmin)

	// A proof for one request does not do for another.
	first, second := l.ask(newRequest(OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/a"))), l.ask(newRequest(OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/b")))
	c1, _ := DecodeChallenge(Latest, first.Body)
	p1, _ := trust.ProveSecret(adminPass, adminRef, c1.Nonce, c1.Digest, trust.FormPBKDF2)
	b = newRequest(OpAnswerChallenge, DefaultFlags, AppendProof(nil, &p1))
	b.Session = second.Session
	says(t, l.ask(b), AuthenticationFailed)
}

// TestServerReplay: an answered challenge does not run its request again; over UDP the same packet gets the same answer.
func TestServerReplay(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) { g.UDPAdmin = true })
	q := newRequest(OpCreate, DefaultFlags, AppendValues(nil, "88.111.1/once", []record.Value{vecValue}))
	l := g.dial(t, "udp")
	l.send(AppendMessage(nil, q))
	first := l.packet()
	l.send(AppendMessage(nil, q)) // sent again: the same challenge
	if again := l.packet(); !bytes.Equal(again, first) {
		t.Fatalf("another challenge\n%x\n%x", again, first)
	}
	a := AppendMessage(nil, prove(t, decodeWhole(t, first), q, adminPass, nil))
	l.send(a)
	done := l.packet()
	says(t, decodeWhole(t, done), Success)
	l.send(a)
	if again := l.packet(); !bytes.Equal(again, done) {
		t.Fatalf("sent again:\n%x\n%x", again, done)
	}
	thief := g.dial(t, "udp")
	thief.send(a)
	says(t, decodeWhole(t, thief.packet()), AuthenticationTimeout)
	thief = g.dial(t, "tcp")
	thief.send(a)
	says(t, thief.read(), AuthenticationTimeout)
}

func TestServerList(t *testing.T) {
	g := newServerRig(t, nil)
	for i := range 120 {
		g.book.Put(fmt.Sprintf("88.111.1/item%03d", i), vecValue)
	}
	l := g.dial(t, "tcp")
	list := func(op Op, name string) (names []string, sizes []int) {
		q := newRequest(op, DefaultFlags, AppendNamed(nil, name))
		m := l.ask(prove(t, l.ask(q), q, adminPass, nil))
		for {
			says(t, m, Success)
			page, err := DecodeNames(m.Body)
			if err != nil {
				t.Fatal(err)
			}
			names, sizes = append(names, page...), append(sizes, len(page))
			if m.Flags&Continuous == 0 {
				return names, sizes
			}
			m = l.read()
		}
	}
	names, sizes := list(OpList, "0.na/88.111.1")
	if len(names) != 125 || fmt.Sprint(sizes) != "[50 50 25]" {
		t.Errorf("%d names as %v", len(names), sizes)
	}
	for i := range names[1:] {
		if names[i] >= names[i+1] || !strings.HasPrefix(names[i], "88.111.1/") {
			t.Fatalf("%q before %q", names[i], names[i+1])
		}
	}
	if names, _ = list(OpListHomed, "/"); fmt.Sprint(names) != "[0.NA/88.111.1]" {
		t.Errorf("homed: %v", names)
	}
	// Over UDP a list has room in one message or is refused.
	g2 := newServerRig(t, func(g *serverRig) { g.UDPAdmin = true })
	for i := range 60 {
		g2.book.Put(fmt.Sprintf("88.111.1/item%03d", i), vecValue)
	}
	u := g2.dial(t, "udp")
	q := newRequest(OpList, DefaultFlags, AppendNamed(nil, "0.NA/88.111.1"))
	u.send(AppendMessage(nil, q))
	u.send(AppendMessage(nil, prove(t, decodeWhole(t, u.packet()), q, adminPass, nil)))
	says(t, decodeWhole(t, u.packet()), NotSupported)
}

func TestServerDerivedList(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) {
		for _, p := range []string{"88.111.1.5", "88.111.1.6", "88.111.2", "88.111"} {
			g.book.Put("0.NA/"+p, vecValue)
		}
	})
	op := record.Identity{Operator: true}
	if _, err := g.book.Write(t.Context(), op, []record.Write{{Op: record.Home, ID: id.PrefixRecord("0.NA")}}); err != nil {
		t.Fatal(err)
	}
	l := g.dial(t, "tcp")
	q := newRequest(OpListDerived, DefaultFlags, AppendNamed(nil, "0.NA/88.111.1"))
	m := l.ask(prove(t, l.ask(q), q, adminPass, nil))
	says(t, m, Success)
	if names, err := DecodeNames(m.Body); err != nil || fmt.Sprint(names) != "[0.NA/88.111.1.5 0.NA/88.111.1.6]" {
		t.Errorf("%v, %v", names, err)
	}
}

func TestServerVerifyChallenge(t *testing.T) {
	g := newServerRig(t, nil)
	digest := bytes.Repeat([]byte{7}, 32)
	p, err := trust.ProveSecret(adminPass, adminRef, vecNonce, digest, trust.FormPBKDF2)
	if err != nil {
		t.Fatal(err)
	}
	l := g.dial(t, "tcp")
	for _, c := range []struct {
		v    Verification
		want Code
		yes  byte
	}{
		{Verification{adminRef, vecNonce, digest, p.Signed}, Success, 1},
		{Verification{record.Ref{Name: adminRef.Name}, vecNonce, digest, p.Signed}, Success, 1},
		{Verification{adminRef, vecNonce, make([]byte, 32), p.Signed}, Success, 0},
		{Verification{adminRef, vecNonce, digest, []byte{0x22}}, Success, 0},
		{Verification{record.Ref{Index: 9, Name: adminRef.Name}, vecNonce, digest, p.Signed}, Success, 0},
		{Verification{record.Ref{Index: 1, Name: "88.999/x"}, vecNonce, digest, p.Signed}, NotResponsible, 0},
	} {
		q := newRequest(OpVerifyChallenge, DefaultFlags|Certified|RequestDigest, AppendVerification(nil, &c.v))
		m := l.ask(q)
		says(t, m, c.want)
		signedBy(t, m, g.Key)
		_, d, rest, err := CutDigest(m.Version, m.Body)
		if err != nil || !bytes.Equal(d, SHA256.Digest(q.Content())) || m.Flags&RequestDigest == 0 {
			t.Errorf("digest %x, %v", d, err)
		}
		if c.want == Success && (len(rest) != 1 || rest[0] != c.yes) {
			t.Errorf("%v: %x, want %d", c.v, rest, c.yes)
		}
	}
}

// signedBy fails the test unless the message is signed by the server's key.
func signedBy(t testing.TB, m *Message, key *trust.PrivateKey) {
	t.Helper()
	c, err := DecodeCredential(m.Credential)
	if err != nil {
		t.Fatalf("credential %x: %v", m.Credential, err)
	}
	covered, ok := m.AppendCovered(nil, c.Counter)
	if !ok || c.Type != CredentialSigned || c.Algorithm != key.Public().HashName() {
		t.Fatalf("%+v", c)
	}
	if err := key.Public().Verify(covered, c.Signature); err != nil {
		t.Fatal(err)
	}
}

func TestServerCertified(t *testing.T) {
	g := newServerRig(t, nil)
	for name, want := range map[string]Code{"88.111.1/t1": Success, "88.111.1/none": HandleNotFound} {
		m := g.dial(t, "tcp").ask(ask1(name, DefaultFlags|Certified))
		says(t, m, want)
		signedBy(t, m, g.Key)
	}
	rsa, err := trust.Generate(trust.RSA, nil)
	if err != nil {
		t.Fatal(err)
	}
	g = newServerRig(t, func(g *serverRig) { g.Key = rsa })
	m := g.dial(t, "tcp").ask(ask1("88.111.1/t1", DefaultFlags|Certified))
	signedBy(t, m, rsa)
	if len(m.Credential) != 300 { // as measured at a deployed server with such a key
		t.Errorf("the credential has %d bytes", len(m.Credential))
	}
}

// referrer is a Resolver that always refers.
type referrer struct{ record.Referral }

func (r *referrer) Resolve(_ context.Context, q record.Query) (record.Answer, error) {
	if q.NoReferral {
		return record.Answer{}, problem.New(problem.NotFound, "no", "无")
	}
	return record.Answer{Referral: &r.Referral}, nil
}

func TestServerReferral(t *testing.T) {
	for _, prefix := range []bool{true, false} {
		g := newServerRig(t, func(g *serverRig) {
			g.Resolver = &referrer{record.Referral{Prefix: prefix, Name: "", Values: []record.Value{vecValue}}}
		})
		l := g.dial(t, "tcp")
		want := ServiceReferral
		if prefix {
			want = PrefixReferral
		}
		m := l.ask(ask1("0.NA/88.111.1.9", DefaultFlags))
		says(t, m, want)
		if f, err := DecodeReferral(m.Body, prefix); err != nil || f.Name != "" || len(f.Values) != 1 {
			t.Errorf("%+v, %v", f, err)
		}
		says(t, l.ask(ask1("0.NA/88.111.1.9", DefaultFlags|NoReferral)), HandleNotFound)
		old := ask1("0.NA/88.111.1.9", DefaultFlags)
		old.Version, old.Suggested = Version{2, 4}, Version{2, 4}
		says(t, l.ask(old), ServiceReferral) // 303 meant something else then
	}
}

// TestServerLogin: the Chinese dialect binds an identity to a connection.
func TestServerLogin(t *testing.T) {
	for _, alg := range []trust.Algorithm{trust.SM2, trust.Ed25519} {
		g := newServerRig(t, nil)
		key, err := trust.Generate(alg, nil)
		if err != nil {
			t.Fatal(err)
		}
		g.book.Put(adminRef.Name, record.Value{Index: 300, Type: "HS_PUBKEY", Data: key.Public().Data(), Perm: record.DefaultPerm})
		l := g.dial(t, "tcp")
		says(t, l.ask(newRequest(OpGetSiteInfo, DefaultFlags, AppendNamed(nil, "/"))), Success)
		for range 2 { // also somebody known is challenged
			q := newRequest(OpLoginSystem, DefaultFlags|RequestDigest, AppendLogin(nil, keyRef))
			m := l.ask(prove(t, l.ask(q), q, nil, key))
			says(t, m, Success)
		}
		says(t, l.ask(newRequest(OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/t1"))), Success)
		m := l.ask(ask1("88.111.1/hidden", Recursive))
		says(t, m, Success)
		// It is the connection's, and no other's.
		says(t, g.dial(t, "tcp").ask(ask1("88.111.1/hidden", Recursive)), AuthenticationNeeded)
	}
	g := newServerRig(t, nil)
	u := g.dial(t, "udp")
	u.send(AppendMessage(nil, newRequest(OpLoginSystem, DefaultFlags, AppendLogin(nil, keyRef))))
	says(t, decodeWhole(t, u.packet()), NotSupported)
}

// TestServerCompressed and others: what a message may not be.
func TestServerMalformed(t *testing.T) {
	g := newServerRig(t, nil)
	good := ask1("88.111.1/t1", DefaultFlags)

	q := *good
	q.Compressed = true
	m := g.dial(t, "tcp").ask(&q)
	says(t, m, ProtocolError)

	q = *good
	q.Encrypted = true
	says(t, g.dial(t, "tcp").ask(&q), SessionFailed)
	q.Session = 4
	says(t, g.dial(t, "tcp").ask(&q), SessionTimeout)
	q.Encrypted = false
	says(t, g.dial(t, "tcp").ask(&q), SessionTimeout)

	// A length that cannot be: the stream is lost.
	b := AppendMessage(nil, good)
	binary.BigEndian.PutUint32(b[16:], MaxMessage+1)
	l := g.dial(t, "tcp")
	l.send(b)
	m = l.read()
	if m.Code != ProtocolError || m.Request != 0xffffffff || m.Version != oldest {
		t.Errorf("%+v %+v", m.Envelope, m.Header)
	}
	l.closed()

	// A header that is cut off, in a frame that is whole: the next message is answered.
	b = AppendEnvelope(nil, &Envelope{Version: Latest, Suggested: Latest, Request: 77, Length: 10})
	l = g.dial(t, "tcp")
	l.send(append(append(b, make([]byte, 10)...), AppendMessage(nil, good)...))
	got := map[uint32]Code{}
	for range 2 {
		m := l.read()
		got[m.Request] = m.Code
	}
	if got[77] != ProtocolError || got[good.Request] != Success {
		t.Errorf("%v", got)
	}
	// A body longer than the message.
	b = AppendMessage(nil, good)
	binary.BigEndian.PutUint32(b[envelopeSize+20:], 1<<31)
	l = g.dial(t, "tcp")
	l.send(b)
	says(t, l.read(), ProtocolError)
	if g.Stats.Malformed.Load() < 3 {
		t.Errorf("%d counted", g.Stats.Malformed.Load())
	}
}

// TestServerUDPMalformed: what cannot be read is answered only when that makes no more traffic than it took.
func TestServerUDPMalformed(t *testing.T) {
	g := newServerRig(t, nil)
	l := g.dial(t, "udp")
	good := AppendMessage(nil, ask1("88.111.1/t1", DefaultFlags))
	for n := range 20 {
		l.send(make([]byte, n)) // silence
	}
	for _, cut := range []int{20, 30, len(good) - 1} {
		l.send(good[:cut]) // a piece of something longer, or not: silence
	}
	l.send(append(append([]byte(nil), good...), 1, 2, 3)) // longer than its length
	long := append(append([]byte(nil), good...), make([]byte, 200)...)
	l.send(long)
	m := decodeWhole(t, l.packet()) // the first thing that comes answers the last but the good
	if m.Code != ProtocolError || m.Request != 0xffffffff {
		t.Errorf("%+v %+v", m.Envelope, m.Header)
	}
	l.send(good)
	says(t, decodeWhole(t, l.packet()), Success)
}

// FuzzServe: whatever a peer sends, over whatever it sends it, every answer is a whole message, and nothing panics.
func FuzzServe(f *testing.F) {
	for _, s := range vectorSeeds(f) {
		f.Add(s, byte(1))
		f.Add(s, byte(0))
	}
	for op, body := range map[Op][]byte{OpSessionSetup: AppendSetup(nil, &Setup{Mode: ModeDH, Key: dhPublic(two, oakley2)}), OpLoginSystem: AppendLogin(nil, keyRef),
		OpListDerived: AppendNamed(nil, "88.111.1"), OpSessionTerminate: AppendNamed(nil, "/"), OpSessionExchangeKey: AppendExchange(nil, []byte("x")), 999: nil} {
		f.Add(AppendMessage(nil, newRequest(op, DefaultFlags, body)), byte(1))
	}
	book := recordtest.NewBook(record.Ref{Name: adminRef.Name}, "88.111.1")
	book.Put("88.111.1/t1", vecValue)
	book.Put(adminRef.Name, record.Value{Index: 301, Type: "HS_SECKEY", Data: adminPass, Perm: record.AdminRead})
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		f.Fatal(err)
	}
	s := &Server{Resolver: book, Registrar: book, Lister: book, Secrets: book, Auth: &trust.Checker{Resolver: book, Secrets: book}, Key: key,
		Site: func() *record.Site { return &record.Site{Serial: 1, Primary: true} }, UDPAdmin: true}
	s.start()
	f.Fuzz(func(t *testing.T, msg []byte, proto byte) {
		e, err := DecodeEnvelope(msg)
		if err != nil {
			return
		}
		ch := &channel{peer: somebody, proto: record.Protocol(proto % 3), proven: proto%3 != 0}
		n := 0
		err = s.serve(t.Context(), ch, e, msg[envelopeSize:], func(b []byte, more bool) error {
			e, err := DecodeEnvelope(b)
			if err != nil || int(e.Length) != len(b)-envelopeSize {
				t.Fatalf("%x: %v", b, err)
			}
			if m, err := DecodeMessage(e, b[envelopeSize:]); !e.Encrypted && (err != nil || m.Code == 0 || m.Code >= ChannelError && !ch.chinese.Load()) {
				t.Fatalf("%x: %v", b, err)
			}
			n++
			return nil
		})
		if err != nil || s.Stats.Panics.Load() != 0 || n == 0 && Op(binary.BigEndian.Uint32(msg[envelopeSize:])) != OpAnswerChallenge {
			t.Fatalf("%d answers, %v, %d panics", n, err, s.Stats.Panics.Load())
		}
	})
}

// TestTrustedResult asks a server for its word on the signatures: it gives it only when it is asked, and only when they hold.
func TestTrustedResult(t *testing.T) {
	for _, c := range []struct {
		trust record.Trust
		ask   bool
		want  record.Trust
	}{
		{record.Secure, true, record.Secure},
		{record.Secure, false, record.Unchecked},
		{record.Unsigned, true, record.Unchecked},
	} {
		s := &Server{Resolver: trusting{c.trust}, Recursive: true, Site: func() *record.Site { return nil }}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.ServeTCP(ctx, l) }()
		client := &Client{AskTrust: c.ask}
		a, err := client.Ask(ctx, record.Endpoint{Addr: netip.MustParseAddrPort(l.Addr().String()), Protocol: record.TCP},
			record.Query{ID: id.MustParse("88.1/x"), PublicOnly: true})
		if err != nil || a.Trust != c.want {
			t.Errorf("%+v: %v, %v", c, a.Trust, err)
		}
		client.Close()
		cancel()
		<-done
	}
}

type trusting struct{ trust record.Trust }

func (r trusting) Resolve(context.Context, record.Query) (record.Answer, error) {
	v := record.Value{Index: 1, Type: "T", Data: []byte("d"), Perm: record.DefaultPerm}
	return record.Answer{Values: []record.Value{v}, Trust: r.trust}, nil
}
