package irp

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trust"
)

// TestServerPipeline sends many requests before it reads an answer.
func TestServerPipeline(t *testing.T) {
	g := newServerRig(t, nil)
	l := g.dial(t, "tcp")
	const n = 500
	var all []byte
	want := map[uint32]Code{}
	for i := range n {
		q := ask1([]string{"88.111.1/t1", "88.111.1/none", "88.111.1/long"}[i%3], DefaultFlags|KeepConnection)
		want[q.Request] = Success
		if i%3 == 1 {
			want[q.Request] = HandleNotFound
		}
		all = AppendMessage(all, q)
	}
	go func() { // a byte here, a lot there
		for i := 0; len(all) > 0; i++ {
			k := min(len(all), 1+i*i%977)
			if _, err := l.nc.Write(all[:k]); err != nil {
				return
			}
			all = all[k:]
		}
	}()
	for range n {
		m := l.read()
		if c, ok := want[m.Request]; !ok || m.Code != c {
			t.Fatalf("%d: %v, want %v", m.Request, m.Code, c)
		}
		delete(want, m.Request)
	}
	if g.Stats.Fast.Load() != 333 || g.Stats.Slow.Load() != 167 {
		t.Errorf("%d fast, %d slow", g.Stats.Fast.Load(), g.Stats.Slow.Load())
	}
}

// TestServerOrder: changes of one connection happen in the order they came.
func TestServerOrder(t *testing.T) {
	g := newServerRig(t, nil)
	l := g.dial(t, "tcp")
	q := newRequest(OpLoginSystem, DefaultFlags, AppendLogin(nil, adminRef))
	says(t, l.ask(prove(t, l.ask(q), q, adminPass, nil)), Success)
	var all []byte
	var ids []uint32
	add := func(m *Message) { all, ids = AppendMessage(all, m), append(ids, m.Request) }
	for i := range 40 {
		name := fmt.Sprintf("88.111.1/order%d", i)
		add(newRequest(OpCreate, DefaultFlags, AppendValues(nil, name, nil)))
		v := vecValue
		for j := range 3 {
			v.Index = uint32(j + 1)
			add(newRequest(OpAdd, DefaultFlags, AppendValues(nil, name, []record.Value{v})))
		}
		add(newRequest(OpRemove, DefaultFlags, AppendRemoval(nil, name, []uint32{2})))
	}
	go l.nc.Write(all)
	for i, id := range ids {
		m := l.read()
		if m.Request != id {
			t.Fatalf("answer %d is to %d, want %d", i, m.Request, id)
		}
		says(t, m, Success)
	}
	for i := range 40 {
		a, err := g.book.Resolve(t.Context(), record.Query{ID: id.MustParse(fmt.Sprintf("88.111.1/order%d", i))})
		if err != nil || len(a.Values) != 2 {
			t.Fatalf("%d values, %v", len(a.Values), err)
		}
	}
}

// gate is a Registrar that counts calls, and holds the first until it is opened.
type gate struct {
	record.Registrar
	begun, open chan struct{}
	mu          sync.Mutex
	calls       []int
	by          []record.Identity
}

func (g *gate) Write(ctx context.Context, by record.Identity, ws []record.Write) ([]record.Result, error) {
	g.mu.Lock()
	g.calls, g.by = append(g.calls, len(ws)), append(g.by, by)
	first := len(g.calls) == 1
	g.mu.Unlock()
	if first {
		close(g.begun)
		<-g.open
	}
	return g.Registrar.Write(ctx, by, ws)
}

// TestServerTogether: changes that wait for their turn go to the Registrar in one call, each as whom it is, and are
// answered one by one, in order, with what came in between.
func TestServerTogether(t *testing.T) {
	d := &gate{begun: make(chan struct{}), open: make(chan struct{})}
	g := newServerRig(t, func(g *serverRig) { d.Registrar, g.Registrar = g.book, d })
	l := g.dial(t, "tcp")
	q := newRequest(OpLoginSystem, DefaultFlags, AppendLogin(nil, adminRef))
	says(t, l.ask(prove(t, l.ask(q), q, adminPass, nil)), Success)
	var all []byte
	var ids []uint32
	var codes []Code
	add := func(m *Message, code Code) {
		all, ids, codes = AppendMessage(all, m), append(ids, m.Request), append(codes, code)
	}
	create := func(name string) *Message {
		return newRequest(OpCreate, DefaultFlags, AppendValues(nil, name, nil))
	}
	add(create("88.111.1/first"), Success)
	for i := range 20 {
		add(create(fmt.Sprintf("88.111.1/n%d", i)), Success)
		switch i {
		case 3:
			add(create("88.111.1/first"), HandleExists)
		case 5:
			add(newRequest(OpCreate, DefaultFlags, []byte{1}), ProtocolError)
		case 7: // of a session that is not there
			m := create("88.111.1/never")
			m.Session = 4
			add(m, SessionTimeout)
		case 9:
			m := create("88.111.1/never")
			m.SiteSerial = 0
			add(m, StaleSiteInfo)
		}
	}
	add(newRequest(OpGetSiteInfo, DefaultFlags, AppendNamed(nil, "/")), Success)
	add(newRequest(OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/first")), Success)
	l.send(all)
	<-d.begun
	until(t, "waiting", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for c := range g.conns {
			return int(c.busy.Load()) == len(ids)
		}
		return false
	})
	close(d.open)
	for i, id := range ids {
		m := l.read()
		if m.Request != id {
			t.Fatalf("answer %d is to %d, want %d", i, m.Request, id)
		}
		says(t, m, codes[i])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := 0
	for i, n := range d.calls {
		sum += n
		if d.by[i].Name != adminRef.Name {
			t.Errorf("call %d is by %v", i, d.by[i])
		}
	}
	if sum != 23 || len(d.calls) > 4 {
		t.Errorf("calls of %v changes", d.calls)
	}
}

// TestTogetherByOne: changes of different identities never share a call.
func TestTogetherByOne(t *testing.T) {
	d := &gate{begun: make(chan struct{}), open: make(chan struct{})}
	close(d.open)
	book := recordtest.NewBook(adminRef, "88.111.1")
	d.Registrar = book
	s := &Server{Registrar: d}
	s.start()
	here, there := net.Pipe()
	defer there.Close()
	c := newConn(s, here)
	lane := make(chan job, 8)
	go io.Copy(io.Discard, there)
	// The login changes between changes, which the lane sees as requests of another identity.
	who := []record.Identity{{Ref: adminRef}, {Ref: keyRef}, {Ref: keyRef}, {}}
	for i := range who {
		j := job{Envelope{Version: Latest, Suggested: Latest}, AppendPayload(nil, newRequest(OpCreate, DefaultFlags, AppendValues(nil, fmt.Sprintf("88.111.1/%d", i), nil)))}
		c.jobs <- struct{}{}
		c.s.copies.Acquire(t.Context(), int64(len(j.payload)))
		lane <- j
	}
	close(lane)
	var turns []*turn
	for i := range who {
		c.bind(who[i])
		turns = c.take(t.Context(), turns, <-lane)
	}
	c.settle(t.Context(), turns)
	if fmt.Sprint(d.calls) != "[1 2 1]" || d.by[0] != who[0] || d.by[1] != who[1] || d.by[2] != who[3] {
		t.Errorf("%v by %v", d.calls, d.by)
	}
}

// blocker is a Resolver whose answers to one name wait.
type blocker struct {
	record.Resolver
	asked, open chan struct{}
}

func (b *blocker) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	if strings.HasSuffix(q.As, "/slow") {
		b.asked <- struct{}{}
		select {
		case <-b.open:
		case <-ctx.Done():
			return record.Answer{}, problem.Wrap(ctx.Err(), problem.Canceled, "no time", "没有时间")
		}
	}
	return b.Resolver.Resolve(ctx, q)
}

// TestServerOvertake: a question that takes long does not hold up the others of its connection, nor is it forgotten when
// the client closes its side.
func TestServerOvertake(t *testing.T) {
	b := &blocker{asked: make(chan struct{}, 9), open: make(chan struct{})}
	g := newServerRig(t, func(g *serverRig) {
		b.Resolver, g.Resolver = g.book, b
		g.Limits = Limits{Linger: 50 * time.Millisecond}
	})
	l := g.dial(t, "tcp")
	slow := ask1("88.111.1/slow", DefaultFlags)
	l.send(AppendMessage(nil, slow))
	<-b.asked
	quick := ask1("88.111.1/t1", DefaultFlags)
	if m := l.ask(quick); m.Request != quick.Request {
		t.Fatalf("the answer is to %d", m.Request)
	}
	l.nc.(*net.TCPConn).CloseWrite()
	close(b.open)
	m := l.read()
	says(t, m, HandleNotFound)
	if m.Request != slow.Request {
		t.Errorf("the answer is to %d", m.Request)
	}
	l.closed()
}

// TestServerWaitsForItself: a connection is not silent while its client waits.
func TestServerWaitsForItself(t *testing.T) {
	b := &blocker{asked: make(chan struct{}, 9), open: make(chan struct{})}
	g := newServerRig(t, func(g *serverRig) {
		b.Resolver, g.Resolver = g.book, b
		g.Limits = Limits{Linger: time.Millisecond}
	})
	l := g.dial(t, "tcp")
	l.send(AppendMessage(nil, ask1("88.111.1/slow", DefaultFlags)))
	<-b.asked
	other := g.dial(t, "tcp")
	other.closed() // by then the first has been silent for that long too
	close(b.open)
	says(t, l.read(), HandleNotFound)
}

// TestServerKeepsConnections: who asked for it, or speaks the Chinese dialect, keeps the connection; others lose it when
// they are silent.
func TestServerKeepsConnections(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) { g.Limits = Limits{Linger: 300 * time.Millisecond, Idle: time.Hour} })
	kept := g.dial(t, "tcp")
	kept.ask(ask1("88.111.1/t1", DefaultFlags|KeepConnection))
	chinese := g.dial(t, "tcp")
	chinese.ask(newRequest(OpResolution, DefaultFlags, AppendResolution(nil, &Resolution{Name: "88.111.1/t1", Chinese: true})))
	chineseSlow := g.dial(t, "tcp")
	chineseSlow.ask(newRequest(OpResolution, DefaultFlags, AppendResolution(nil, &Resolution{Name: "88.111.1/none", Chinese: true})))
	slowKept := g.dial(t, "tcp")
	slowKept.ask(ask1("88.111.1/none", DefaultFlags|KeepConnection))
	for range 3 {
		l := g.dial(t, "tcp")
		l.ask(ask1("88.111.1/t1", DefaultFlags))
		l.closed()
	}
	for i, l := range []*line{kept, chinese, chineseSlow, slowKept} {
		if m := l.ask(ask1("88.111.1/t1", DefaultFlags)); m.Code != Success {
			t.Errorf("%d: %v", i, m.Code)
		}
	}
	if g.Stats.Dropped.Load() < 3 {
		t.Errorf("%d dropped", g.Stats.Dropped.Load())
	}
}

// TestServerSlowClient: a message has to arrive in time, byte by byte or not.
func TestServerSlowClient(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) {
		g.Limits = Limits{Linger: time.Hour, Read: 30 * time.Millisecond}
	})
	msg := AppendMessage(nil, ask1("88.111.1/t1", DefaultFlags))
	for _, n := range []int{1, 20, len(msg) - 1} {
		l := g.dial(t, "tcp")
		l.send(msg[:n])
		l.closed()
	}
}

// TestServerDeafClient: who does not take its answers is dropped.
func TestServerDeafClient(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) { g.Limits = Limits{Write: 50 * time.Millisecond} })
	big := vecValue
	big.Data = make([]byte, 200_000)
	g.book.Put("88.111.1/big", big)
	l := g.dial(t, "tcp")
	msg := AppendMessage(nil, ask1("88.111.1/big", DefaultFlags))
	for range 100 {
		l.send(msg)
	}
	until(t, "dropped", func() bool { return g.Stats.Dropped.Load() > 0 && g.Stats.Conns.Load() == 0 })
	if got, err := io.Copy(io.Discard, l.nc); got >= 100*200_000 {
		t.Errorf("all %d bytes came, %v", got, err)
	}
}

func TestServerConnectionLimits(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) {
		g.Limits = Limits{ConnectionsPerIP: 2, RateExempt: []netip.Prefix{}, Linger: time.Hour}
	})
	a, b := g.dial(t, "tcp"), g.dial(t, "tcp")
	for _, l := range []*line{a, b} {
		says(t, l.ask(ask1("88.111.1/t1", DefaultFlags)), Success)
	}
	g.dial(t, "tcp").closed()
	if g.Stats.Refused.Load() != 1 || g.Stats.Conns.Load() != 2 {
		t.Errorf("%d refused, %d open", g.Stats.Refused.Load(), g.Stats.Conns.Load())
	}

	// A full house turns out who is silent for longest.
	g = newServerRig(t, func(g *serverRig) { g.Limits = Limits{Connections: 2, Linger: time.Hour} })
	a, b = g.dial(t, "tcp"), g.dial(t, "tcp")
	for _, l := range []*line{a, b} {
		says(t, l.ask(ask1("88.111.1/t1", DefaultFlags)), Success)
	}
	g.dial(t, "tcp").closed() // everybody is at work
	g.mu.Lock()
	for c := range g.conns {
		if c.peer.String() == a.nc.LocalAddr().String() {
			c.silent.Store(1)
		}
	}
	g.mu.Unlock()
	c := g.dial(t, "tcp")
	says(t, c.ask(ask1("88.111.1/t1", DefaultFlags)), Success)
	a.closed()
	says(t, b.ask(ask1("88.111.1/t1", DefaultFlags)), Success)
}

// TestServerMemory: announced messages take no memory, and those that come take no more than there is.
func TestServerMemory(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) { g.Limits = Limits{Memory: 300_000, Linger: time.Hour} })
	head := AppendEnvelope(nil, &Envelope{Version: Latest, Suggested: Latest, Request: 5, Length: MaxMessage})
	first := g.dial(t, "tcp")
	first.send(head)
	until(t, "seen", func() bool { return g.large.Load() > 0 })
	second := g.dial(t, "tcp")
	second.send(head)
	m := second.read()
	says(t, m, TooBusy)
	if m.Request != 5 {
		t.Errorf("%+v", m.Envelope)
	}
	second.closed()
	// The first is still welcome to send all of it.
	v := vecValue
	v.Data = make([]byte, 200_000)
	whole := AppendMessage(nil, newRequest(OpCreate, DefaultFlags, AppendValues(nil, "88.111.1/new", []record.Value{v})))
	body := make([]byte, MaxMessage)
	first.send(body)
	says(t, first.read(), ProtocolError) // operation 0
	first.send(whole)
	says(t, first.read(), AuthenticationNeeded)
	first.nc.Close()
	until(t, "released", func() bool { return g.Stats.Conns.Load() == 0 && g.large.Load() == 0 })
}

// TestServerBusy: datagrams beyond the workers are told so.
func TestServerBusy(t *testing.T) {
	b := &blocker{asked: make(chan struct{}, 9), open: make(chan struct{})}
	g := newServerRig(t, func(g *serverRig) {
		b.Resolver, g.Resolver = g.book, b
		g.Limits = Limits{Workers: 1}
	})
	l := g.dial(t, "udp")
	l.send(AppendMessage(nil, ask1("88.111.1/slow", DefaultFlags)))
	<-b.asked
	q := ask1("88.111.1/none", DefaultFlags)
	l.send(AppendMessage(nil, q))
	m := decodeWhole(t, l.packet())
	says(t, m, TooBusy)
	if m.Request != q.Request || m.Op != OpResolution || g.Stats.Busy.Load() != 1 {
		t.Errorf("%+v %+v", m.Envelope, m.Header)
	}
	close(b.open)
	says(t, decodeWhole(t, l.packet()), HandleNotFound)
}

// TestServerFault: a fault of ours is answered and counted, and the server goes on.
func TestServerFault(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) { g.Resolver = faulty{} })
	says(t, g.dial(t, "tcp").ask(ask1("88.111.1/t1", DefaultFlags)), Failure)
	says(t, g.dial(t, "tcp").ask(newRequest(OpGetSiteInfo, DefaultFlags, AppendNamed(nil, "/"))), Success)
	if g.Stats.Panics.Swap(0) != 1 {
		t.Error("the fault was not counted")
	}
}

type faulty struct{}

func (faulty) Resolve(context.Context, record.Query) (record.Answer, error) { panic("fault") }

// TestServerInternalText: what goes wrong inside is not told.
func TestServerInternalText(t *testing.T) {
	g := newServerRig(t, nil)
	g.book.Fail = func() (error, bool) {
		return problem.New(problem.Internal, "disk /dev/secret is on fire", "磁盘起火"), false
	}
	m := g.dial(t, "tcp").ask(newRequest(OpDelete, DefaultFlags, AppendNamed(nil, "88.111.1/t1")))
	says(t, m, Failure)
	if bytes.Contains(m.Body, []byte("secret")) {
		t.Errorf("%q", m.Body)
	}
}

func TestServerTLS(t *testing.T) {
	g := newServerRig(t, nil)
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.ServeTCP(ctx, l) }()
	nc, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := &line{t, nc}
	says(t, c.ask(ask1("88.111.1/t1", DefaultFlags)), Success)
	says(t, c.ask(ask1("88.111.1/none", DefaultFlags)), HandleNotFound)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.closed()
}

func TestServerTunnel(t *testing.T) {
	g := newServerRig(t, nil)
	h := httptest.NewServer(g.Tunnel())
	defer h.Close()
	post := func(kind string, body []byte) (int, []byte) {
		r, err := http.Post(h.URL+"/88.111.1%2Ft1", kind, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode == 200 && r.Header.Get("Content-Type") != TunnelType {
			t.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
		}
		return r.StatusCode, b
	}
	if code, b := post(TunnelType, vectorMessage(t, "OC_RESOLUTION request 88.111.1/t1")); code != 200 || !bytes.Equal(b, vectorMessage(t, "OC_RESOLUTION success response")) {
		t.Errorf("%d %x", code, b)
	}
	_, b := post(TunnelType, AppendMessage(nil, ask1("88.111.1/none", DefaultFlags)))
	says(t, decodeWhole(t, b), HandleNotFound)
	q := newRequest(OpCreate, DefaultFlags, AppendValues(nil, "88.111.1/new", nil))
	_, b = post(TunnelType, AppendMessage(nil, q))
	_, b = post(TunnelType, AppendMessage(nil, prove(t, decodeWhole(t, b), q, adminPass, nil)))
	says(t, decodeWhole(t, b), Success)
	for i := range 120 {
		g.book.Put(fmt.Sprintf("88.111.1/item%03d", i), vecValue)
	}
	q = newRequest(OpList, DefaultFlags, AppendNamed(nil, "0.NA/88.111.1"))
	_, b = post(TunnelType, AppendMessage(nil, q))
	_, b = post(TunnelType, AppendMessage(nil, prove(t, decodeWhole(t, b), q, adminPass, nil)))
	n := 0
	for more := true; more; n++ {
		size := envelopeSize + int(binary.BigEndian.Uint32(b[16:]))
		m := decodeWhole(t, b[:size])
		says(t, m, Success)
		more, b = m.Flags&Continuous != 0, b[size:]
	}
	if n != 3 || len(b) != 0 {
		t.Errorf("%d messages, %d bytes left", n, len(b))
	}
	for what, body := range map[string][]byte{"nothing": nil, "half": vectorMessage(t, "OC_RESOLUTION request 88.111.1/t1")[:40], "more": append(vectorMessage(t, "OC_RESOLUTION request 88.111.1/t1"), 1)} {
		code, b := post(TunnelType, body)
		if code != 200 {
			t.Fatalf("%s: %d", what, code)
		}
		if m := decodeWhole(t, b); m.Code != ProtocolError || m.Request != 0xffffffff {
			t.Errorf("%s: %+v", what, m.Header)
		}
	}
	if code, _ := post("text/plain", nil); code != http.StatusUnsupportedMediaType {
		t.Error(code)
	}
	if code, _ := post(TunnelType, make([]byte, MaxMessage+100)); code != http.StatusRequestEntityTooLarge {
		t.Error(code)
	}
	r, err := http.Get(h.URL)
	if err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("%v %v", r.StatusCode, err)
	}
	r.Body.Close()
}

// TestServerCaptured plays the session that was captured between deployed software, with the key that this run agrees
// on, and compares the answers in everything but what is random.
func TestServerCaptured(t *testing.T) {
	lines := vectorLines(t)
	caught := map[string][]byte{}
	for _, l := range lines {
		if f := strings.Fields(l); len(f) == 3 && len(f[0]) == 3 && f[0][0] == 'c' {
			caught[f[0]] = unhex(t, f[2])
		}
	}
	serverKey, err := trust.Generate(trust.RSA, nil)
	if err != nil {
		t.Fatal(err)
	}
	adminKey, err := trust.Generate(trust.RSA, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := decodeWhole(t, caught["c2<"]).Expires
	g := newServerRig(t, func(g *serverRig) {
		g.Key = serverKey
		g.Now = func() time.Time { return time.Unix(int64(at)-lifetime, 0) }
		g.book.Put(adminRef.Name, record.Value{Index: 300, Type: "HS_PUBKEY", Data: adminKey.Public().Data(), Perm: record.DefaultPerm})
	})
	// The setup is sent as it was, but for the public number, whose secret nobody has.
	setup := decodeWhole(t, caught["c1>"])
	s, err := DecodeSetup(setup.Body)
	if err != nil {
		t.Fatal(err)
	}
	x := hexInt(strings.Repeat("3", 64))
	ours := dhPublic(x, oakley2)
	for len(ours) != len(s.Key) { // its number begins with a zero byte or does not
		x.Add(x, two)
		ours = dhPublic(x, oakley2)
	}
	raw := bytes.Replace(caught["c1>"], s.Key, ours, 1)
	l := g.dial(t, "tcp")
	l.send(raw)
	got, want := l.raw(), caught["c1<"]
	// Modulo: session, expiry (a second apart there), digest of the request, the server's number, its counter (the
	// captured server counts what it signs), the signature.
	session := binary.BigEndian.Uint32(got[4:])
	if session == 0 {
		t.Fatal("no session")
	}
	blank := func(b []byte, from, n int) { copy(b[from:from+n], make([]byte, n)) }
	h := envelopeSize
	number := bytes.Index(want, []byte("DH_PUB_KEY")) + 10 + 2 // u32 length and the number
	length := int(binary.BigEndian.Uint32(want[number:]))
	if n := int(binary.BigEndian.Uint32(got[number:])); n != length && n != 129 && n != 128 {
		t.Fatalf("a number of %d bytes", n)
	}
	if len(got) == len(want) {
		for _, b := range [][]byte{got, want} {
			blank(b, 4, 4)
			blank(b, h+16, 4)
			blank(b, h+headerSize+1, 32)
			blank(b, number+4, length)
			blank(b, len(b)-256, 256)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("setup is answered\n%x\ncaptured\n%x", got, want)
		}
	}
	m := decodeWhole(t, l.replay(t, g, raw))
	session = m.Session
	if m.Flags != decodeWhole(t, caught["c1<"]).Flags {
		t.Errorf("flags %08x", uint32(m.Flags))
	}
	signedBy(t, m, serverKey)
	_, digest, rest, err := CutDigest(m.Version, m.Body)
	if err != nil || !bytes.Equal(digest, SHA256.Digest(decodeWhole(t, raw).Content())) {
		t.Fatalf("digest %x, %v", digest, err)
	}
	offer, err := DecodeSetupAnswer(rest)
	if err != nil || offer.Mode != ModeDH {
		t.Fatalf("%+v, %v", offer, err)
	}
	key, err := finishDH(x, oakley2, offer.Data)
	if err != nil {
		t.Fatal(err)
	}

	// One connection for each message, as it was.
	send := func(m *Message, counter uint32) []byte {
		m.Session = session
		if counter > 0 {
			covered, _ := m.AppendCovered(nil, counter)
			c := Credential{Counter: counter, Type: CredentialMAC}
			c.Algorithm, c.Signature = key.mac(m.Version, covered)
			m.Credential = AppendCredential(nil, &c)
		}
		l := g.dial(t, "tcp")
		l.send(AppendMessage(nil, m))
		return l.raw()
	}
	same := func(what string, got, want []byte, modulo ...[2]int) {
		t.Helper()
		got, want = slices.Clone(got), slices.Clone(want)
		if len(got) != len(want) {
			t.Fatalf("%s:\n%x\ncaptured\n%x", what, got, want)
		}
		modulo = append(modulo, [2]int{4, 4}, [2]int{h + 16, 4}) // session; seconds
		for _, r := range modulo {
			blank(got, r[0], r[1])
			blank(want, r[0], r[1])
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n%x\ncaptured\n%x", what, got, want)
		}
	}
	create := decodeWhole(t, caught["c2>"])
	got = send(create, 1)
	same("create", got, caught["c2<"], [2]int{len(got) - 4 - 16, 16})
	if m := decodeWhole(t, got); m.Session != session {
		t.Errorf("the challenge has id %d, the session %d", m.Session, session)
	}
	c, err := DecodeChallenge(Latest, decodeWhole(t, got).Body)
	if err != nil {
		t.Fatal(err)
	}
	proof := decodeWhole(t, caught["c3>"])
	was, err := DecodeProof(proof.Body)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trust.Prove(adminKey, was.User, c.Nonce, c.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Signed) != len(was.Signed) || !bytes.Equal(p.Signed[:15], was.Signed[:15]) || p.Type != was.Type {
		t.Errorf("the proof is %x, captured %x", p.Signed, was.Signed)
	}
	proof.Body = AppendProof(nil, &p)
	proof.content = nil
	same("proof", send(proof, 0), caught["c3<"])
	remove := decodeWhole(t, caught["c4>"])
	same("delete", send(remove, 2), caught["c4<"])

	// What the session saw once it does not take again, from whomever.
	says(t, decodeWhole(t, send(remove, 2)), SessionReplay)
	says(t, decodeWhole(t, send(remove, 1)), SessionReplay)
	remove.Credential = nil
	says(t, decodeWhole(t, send(remove, 0)), AuthenticationNeeded) // without MAC it is anybody's
	bad := decodeWhole(t, caught["c4>"])
	says(t, decodeWhole(t, send(bad, 3)), HandleNotFound)
	bad.Credential[len(bad.Credential)-1] ^= 1
	says(t, decodeWhole(t, send(bad, 0)), SessionReplay)
}

// replay sends raw on a new connection and returns the answer.
func (l *line) replay(t testing.TB, g *serverRig, raw []byte) []byte {
	n := g.dial(t, "tcp")
	n.send(raw)
	return n.raw()
}

// TestServerEncrypted: in a session, what comes encrypted is answered so.
func TestServerEncrypted(t *testing.T) {
	g := newServerRig(t, nil)
	x := hexInt(strings.Repeat("5", 64))
	l := g.dial(t, "tcp")
	q := newRequest(OpSessionSetup, DefaultFlags|RequestDigest|Certified, AppendSetup(nil, &Setup{Mode: ModeDH, Timeout: 60, User: record.Ref{Index: 1<<32 - 1}, Key: dhPublic(x, oakley2)}))
	m := l.ask(q)
	says(t, m, Success)
	session := m.Session
	_, _, rest, _ := CutDigest(m.Version, m.Body)
	offer, err := DecodeSetupAnswer(rest)
	if err != nil {
		t.Fatal(err)
	}
	key, err := finishDH(x, oakley2, offer.Data)
	if err != nil {
		t.Fatal(err)
	}
	talk := func(m *Message, counter uint32) (*Message, Envelope) {
		m.Session = session
		covered, _ := m.AppendCovered(nil, counter)
		c := Credential{Counter: counter, Type: CredentialMAC}
		c.Algorithm, c.Signature = key.mac(m.Version, covered)
		m.Credential = AppendCredential(nil, &c)
		sealed, err := key.seal(g.Rand, AppendPayload(nil, m))
		if err != nil {
			t.Fatal(err)
		}
		l.send(AppendSealed(nil, m.Envelope, sealed))
		raw := l.raw()
		e, _ := DecodeEnvelope(raw)
		if !e.Encrypted {
			return decodeWhole(t, raw), e
		}
		plain, err := key.open(raw[envelopeSize:])
		if err != nil {
			t.Fatal(err)
		}
		a, err := DecodeMessage(e, plain)
		if err != nil {
			t.Fatal(err)
		}
		return a, e
	}
	a, e := talk(ask1("88.111.1/t1", DefaultFlags|Certified), 1)
	says(t, a, Success)
	if !e.Encrypted {
		t.Error("the answer came in clear")
	}
	c, err := DecodeCredential(a.Credential)
	if err != nil || c.Type != CredentialMAC {
		t.Fatalf("%+v, %v", c, err)
	}
	if covered, ok := a.AppendCovered(nil, c.Counter); !ok || !key.verify(c.Algorithm, covered, c.Signature) {
		t.Error("the answer's MAC does not hold")
	}
	a, _ = talk(ask1("88.111.1/t1", DefaultFlags), 1)
	says(t, a, SessionReplay)
	// Cipher text that was tampered with.
	m = ask1("88.111.1/t1", DefaultFlags)
	m.Session = session
	sealed, _ := key.seal(g.Rand, AppendPayload(nil, m))
	l.send(AppendSealed(nil, m.Envelope, sealed[:len(sealed)-16]))
	if code := decodeWhole(t, l.raw()).Code; code != SessionFailed && code != ProtocolError {
		t.Error(code)
	}
	a, _ = talk(newRequest(OpSessionTerminate, DefaultFlags, AppendNamed(nil, "/")), 9)
	says(t, a, Success)
	l.send(AppendMessage(nil, m))
	says(t, l.read(), SessionTimeout)
}

// TestServerGarbage throws damaged messages at every interface; afterwards all is well.
func TestServerGarbage(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) { g.UDPAdmin = true })
	h := httptest.NewServer(g.Tunnel())
	defer h.Close()
	var good [][]byte
	for _, title := range []string{"OC_RESOLUTION request 88.111.1/t1", "OC_RESOLUTION request types", "OC_GET_SITE_INFO request", "OC_CREATE_HANDLE request",
		"OC_DELETE_HANDLE request", "OC_REMOVE_VALUE request", "OC_LIST_HANDLES request", "OC_RESPONSE_TO_CHALLENGE(200)", "OC_VERIFY_CHALLENGE(201)", "HS_MAC credential"} {
		good = append(good, vectorMessage(t, title))
	}
	rounds := 300
	if os.Getenv("FUJIE_SOAK") != "" {
		rounds = 100_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	u := g.dial(t, "udp")
	for i := range rounds {
		b := slices.Clone(good[r.IntN(len(good))])
		for range 1 + r.IntN(4) {
			switch r.IntN(4) {
			case 0:
				b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			case 1:
				copy(b[r.IntN(len(b)):], []byte{0xff, 0xff, 0xff, 0xff})
			case 2:
				b = b[:1+r.IntN(len(b))]
			case 3:
				b = append(b, good[r.IntN(len(good))]...)
			}
		}
		switch i % 3 {
		case 0:
			u.nc.Write(b[:min(len(b), 1400)])
		case 1:
			nc, err := net.Dial("tcp", g.tcp.String())
			if err != nil {
				t.Fatal(err)
			}
			nc.Write(b)
			nc.(*net.TCPConn).CloseWrite()
			nc.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%x: the connection hangs", b)
			}
			nc.Close()
		case 2:
			p, err := http.Post(h.URL, TunnelType, bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, p.Body)
			p.Body.Close()
			if p.StatusCode != 200 {
				t.Fatalf("%x: %s", b, p.Status)
			}
		}
	}
	says(t, g.dial(t, "tcp").ask(ask1("88.111.1/t1", DefaultFlags)), Success)
	u = g.dial(t, "udp")
	u.send(AppendMessage(nil, ask1("88.111.1/t1", DefaultFlags)))
	says(t, decodeWhole(t, u.packet()), Success)
	until(t, "empty", func() bool {
		return g.Stats.Conns.Load() <= 1 && g.large.Load() == 0 && len(g.udpWork) == 0 && len(g.connWork) == 0
	})
}
