package irp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// actor is a server that does what a test tells it.
type actor struct {
	at    record.Endpoint
	conns atomic.Int32
}

// actTCP accepts connections and plays each of them; they are closed when play returns.
func actTCP(t *testing.T, play func(n int32, c net.Conn)) *actor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &actor{at: record.Endpoint{Addr: l.Addr().(*net.TCPAddr).AddrPort(), Protocol: record.TCP}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := a.conns.Add(1)
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				play(n, c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return a
}

// actUDP plays every datagram that comes.
func actUDP(t *testing.T, play func(n int, c *net.UDPConn, from netip.AddrPort, packet []byte)) *actor {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for i := 0; ; i++ {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			play(i, c, from, bytes.Clone(buf[:n]))
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return &actor{at: record.Endpoint{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort(), Protocol: record.UDP}}
}

// actUDPRelay stands between a client and a server, and passes on only the answers that pass likes.
func actUDPRelay(t *testing.T, to record.Endpoint, pass func(answer []byte) bool) *actor {
	t.Helper()
	var mu sync.Mutex
	ups := map[netip.AddrPort]net.Conn{}
	var wg sync.WaitGroup
	a := actUDP(t, func(_ int, c *net.UDPConn, from netip.AddrPort, packet []byte) {
		mu.Lock()
		up := ups[from]
		mu.Unlock()
		if up == nil {
			var err error
			if up, err = net.Dial("udp", to.Addr.String()); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			ups[from] = up
			mu.Unlock()
			wg.Go(func() {
				buf := make([]byte, 2048)
				for {
					n, err := up.Read(buf)
					if err != nil {
						return
					}
					mu.Lock()
					ok := pass(buf[:n])
					mu.Unlock()
					if ok {
						c.WriteToUDPAddrPort(buf[:n], from)
					}
				}
			})
		}
		up.Write(packet)
	})
	t.Cleanup(func() {
		mu.Lock()
		for _, up := range ups {
			up.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return a
}

// readRequest reads one request, or gives nil at the end.
func readRequest(c io.Reader) *Message {
	raw, err := readMessage(c)
	if err != nil {
		return nil
	}
	e, err := DecodeEnvelope(raw)
	if err != nil {
		return nil
	}
	m, err := DecodeMessage(e, raw[envelopeSize:])
	if err != nil {
		return nil
	}
	return m
}

// reply makes a good answer to a resolution: one URL value that says data.
func reply(q *Message, data string, change ...func(*Message)) []byte {
	name, _, _ := DecodeNamed(q.Body)
	m := &Message{Envelope: Envelope{Version: Latest, Suggested: Latest, Request: q.Request},
		Header: Header{Op: q.Op, Code: Success, Flags: q.Flags, SiteSerial: 1, Expires: uint32(time.Now().Unix() + lifetime)},
		Body:   AppendValues(nil, name, []record.Value{value(1, "URL", []byte(data))})}
	for _, f := range change {
		f(m)
	}
	if m.Flags&RequestDigest != 0 {
		alg := DigestAlgOf(m.Version)
		m.Body = append(AppendDigest(nil, m.Version, alg, alg.Digest(q.Content())), m.Body...)
	}
	return AppendMessage(nil, m)
}

func idOf(t *testing.T, suffix string) id.ID {
	t.Helper()
	return id.MustParse(bookPrefix + "/" + suffix)
}

func someQuery(suffix string) record.Query {
	return record.Query{ID: id.MustParse(bookPrefix + "/" + suffix), PublicOnly: true}
}

// asks puts a question and checks what came.
func asks(t *testing.T, c *Client, at record.Endpoint, q record.Query, want string) {
	t.Helper()
	a, err := c.Ask(t.Context(), at, q)
	if err != nil || len(a.Values) != 1 || string(a.Values[0].Data) != want {
		t.Errorf("%+v, %v; want %q", a, err, want)
	}
}

// A deployed server closes the connection behind each answer and loses what was sent on it meanwhile.
func TestServerThatClosesEachTime(t *testing.T) {
	a := actTCP(t, func(_ int32, c net.Conn) {
		if q := readRequest(c); q != nil {
			c.Write(reply(q, "here"))
		}
	})
	c := newClient(t)
	for range 5 {
		asks(t, c, a.at, someQuery("x"), "here")
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { asks(t, c, a.at, someQuery("x"), "here") })
	}
	wg.Wait()
	if s := c.server(a.at.Addr); s.proven || !c.now().Before(s.oneShot) {
		t.Error("the client has not learned that this server closes")
	}
}

// Writes to such a server must each get a connection of their own: on a kept one they might be lost.
func TestWritesNeedASureConnection(t *testing.T) {
	var mu sync.Mutex
	ops := map[Op]int{}
	a := actTCP(t, func(_ int32, c net.Conn) {
		q := readRequest(c)
		if q == nil {
			return
		}
		mu.Lock()
		ops[q.Op]++
		mu.Unlock()
		switch q.Op {
		case OpCreate:
			m := &Message{Envelope: Envelope{Version: Latest, Suggested: Latest, Request: q.Request, Session: 5},
				Header: Header{Op: q.Op, Code: AuthenticationNeeded, Flags: q.Flags | RequestDigest},
				Body:   AppendChallenge(nil, Latest, &Challenge{SHA256, SHA256.Digest(q.Content()), make([]byte, 16)})}
			c.Write(AppendMessage(nil, m))
		case OpAnswerChallenge:
			m := &Message{Envelope: Envelope{Version: Latest, Suggested: Latest, Request: q.Request}, Header: Header{Op: OpCreate, Code: Success}, Body: AppendNamed(nil, "x/y")}
			c.Write(AppendMessage(nil, m))
		case OpSessionSetup:
			m := &Message{Envelope: Envelope{Version: Latest, Suggested: Latest, Request: q.Request}, Header: Header{Op: q.Op, Code: NotSupported}, Body: AppendError(nil, "")}
			c.Write(AppendMessage(nil, m))
		}
	})
	c := newClient(t)
	adm, err := c.Admin(t.Context(), a.at, Login{As: record.Ref{Index: 300, Name: adminName}, Key: testKey(t, trust.Ed25519, "admin")}, AdminOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ws []record.Write
	for i := range 30 {
		ws = append(ws, record.Write{Op: record.Create, ID: id.MustParse(fmt.Sprintf("%s/%d", bookPrefix, i)), Values: []record.Value{value(1, "URL", nil)}})
	}
	rs, err := adm.Write(t.Context(), record.Identity{}, ws)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if ops[OpAnswerChallenge] != 30 {
		t.Errorf("%d answers to challenges", ops[OpAnswerChallenge])
	}
}

func TestKeptConnectionIsPipelined(t *testing.T) {
	const n = 40
	all := make(chan *Message, n)
	a := actTCP(t, func(_ int32, c net.Conn) {
		for {
			q := readRequest(c)
			if q == nil {
				return
			}
			name, _, _ := DecodeNamed(q.Body)
			if strings.HasSuffix(name, "FIRST") {
				c.Write(reply(q, "first"))
				continue
			}
			// Answers are held back until all questions are here, then sent in another order.
			if all <- q; len(all) < n {
				continue
			}
			var held []*Message
			for range n {
				held = append(held, <-all)
			}
			rand.Shuffle(n, func(i, j int) { held[i], held[j] = held[j], held[i] })
			for _, q := range held {
				name, _, _ := DecodeNamed(q.Body)
				c.Write(reply(q, name))
			}
		}
	})
	c := newClient(t, func(c *Client) { c.Connections = 1 })
	asks(t, c, a.at, someQuery("FIRST"), "first")
	asks(t, c, a.at, someQuery("FIRST"), "first")
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { asks(t, c, a.at, someQuery(fmt.Sprint(i)), fmt.Sprintf("%s/%d", bookPrefix, i)) })
	}
	wg.Wait()
	if a.conns.Load() != 1 {
		t.Errorf("%d connections", a.conns.Load())
	}
}

func TestConnectionsThatBreak(t *testing.T) {
	good := func(q *Message) []byte { return reply(q, "good") }
	for name, play := range map[string]func(n int32, c net.Conn, q *Message){
		"half a message":  func(n int32, c net.Conn, q *Message) { c.Write(good(q)[:40]) },
		"half closed":     func(n int32, c net.Conn, q *Message) { c.(*net.TCPConn).CloseWrite(); io.Copy(io.Discard, c) },
		"rubbish":         func(n int32, c net.Conn, q *Message) { c.Write(bytes.Repeat([]byte{0xff}, 100)) },
		"reset":           func(n int32, c net.Conn, q *Message) { c.(*net.TCPConn).SetLinger(0) },
		"never an answer": func(n int32, c net.Conn, q *Message) { io.Copy(io.Discard, c) },
		"one byte at a time, too slow": func(n int32, c net.Conn, q *Message) {
			for _, b := range good(q)[:60] {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
			io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := actTCP(t, func(n int32, c net.Conn) {
				if q := readRequest(c); q != nil {
					play(n, c, q)
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if a, err := newClient(t).Ask(ctx, a.at, someQuery("x")); !problem.Is(err, problem.Unreachable) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	// A kept connection that ends before the second answer: the question goes over another.
	a := actTCP(t, func(n int32, c net.Conn) {
		for i := 0; ; i++ {
			q := readRequest(c)
			if q == nil || n == 1 && i == 2 {
				return
			}
			c.Write(good(q))
		}
	})
	c := newClient(t)
	for range 6 {
		asks(t, c, a.at, someQuery("x"), "good")
	}
	if a.conns.Load() != 2 {
		t.Errorf("%d connections", a.conns.Load())
	}
	// Nobody listens.
	nobody := actTCP(t, nil)
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	nobody.at.Addr = l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	for _, p := range []record.Protocol{record.UDP, record.TCP, record.HTTP, record.HTTPS} {
		nobody.at.Protocol = p
		if _, err := c.Ask(t.Context(), nobody.at, someQuery("x")); !problem.Is(err, problem.Unreachable) {
			t.Errorf("%v: %v", nobody.at, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, p := range []record.Protocol{record.UDP, record.TCP, record.HTTP} {
		a.at.Protocol = p
		if _, err := c.Ask(ctx, a.at, someQuery("x")); !problem.Is(err, problem.Canceled) {
			t.Errorf("canceled over %v: %v", a.at, err)
		}
	}
}

// What is no answer to the question is not taken for one, whatever else it is.
func TestAnswersThatAreNot(t *testing.T) {
	other := reply(&Message{Header: Header{Op: OpResolution}, Body: AppendNamed(nil, "88.118.1001/x"), Envelope: Envelope{Request: 1}}, "forged")
	for name, c := range map[string]struct {
		forge func(q *Message) []byte
		kind  problem.Kind
	}{
		"another request's": {func(q *Message) []byte { return other }, problem.Unreachable},
		"another name": {func(q *Message) []byte {
			return reply(q, "x", func(m *Message) { m.Body = AppendValues(nil, "88.118.1001/Y", nil) })
		}, problem.Bogus},
		"another operation": {func(q *Message) []byte { return reply(q, "x", func(m *Message) { m.Op = OpCreate }) }, problem.Unreachable},
		"a request":         {func(q *Message) []byte { return reply(q, "x", func(m *Message) { m.Code = 0 }) }, problem.Unreachable},
		"expired":           {func(q *Message) []byte { return reply(q, "x", func(m *Message) { m.Expires = 1_700_000_000 }) }, problem.Bogus},
		"encrypted": {func(q *Message) []byte {
			return AppendSealed(nil, Envelope{Version: Latest, Suggested: Latest, Request: q.Request}, make([]byte, 64))
		}, problem.Unreachable},
		"malformed values": {func(q *Message) []byte {
			return reply(q, "x", func(m *Message) { m.Body = append(m.Body[:len(m.Body)-4], 255, 255, 255, 255) })
		}, problem.Unreachable},
		"malformed credential": {func(q *Message) []byte { return reply(q, "x", func(m *Message) { m.Credential = []byte{9} }) }, problem.Unreachable},
		"longer than it says":  {func(q *Message) []byte { return append(reply(q, "x"), 1) }, problem.Unreachable},
		"about another question": {func(q *Message) []byte {
			b := reply(q, "x", func(m *Message) { m.Flags |= RequestDigest })
			b[envelopeSize+headerSize+5] ^= 1
			return b
		}, problem.Bogus},
		"unreadable question": {func(q *Message) []byte { return undecodable(Failure, "what?") }, problem.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tcp := actTCP(t, func(_ int32, conn net.Conn) {
				if q := readRequest(conn); q != nil {
					conn.Write(c.forge(q))
					io.Copy(io.Discard, conn)
				}
			})
			kind := c.kind
			if name == "longer than it says" {
				kind = 0 // on a connection what is behind a message is another
			}
			patience := 30 * time.Second
			if name == "another request's" {
				patience = 200 * time.Millisecond // nothing else will come
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			a, err := newClient(t).Ask(ctx, tcp.at, someQuery("x"))
			if kind != 0 && !problem.Is(err, kind) || kind == 0 && err != nil {
				t.Errorf("TCP: %+v, %v", a, err)
			}
			// Over UDP the true answer may still come behind a forged one.
			udp := actUDP(t, func(_ int, conn *net.UDPConn, from netip.AddrPort, packet []byte) {
				q := readRequest(bytes.NewReader(packet))
				conn.WriteToUDPAddrPort(c.forge(q), from)
				conn.WriteToUDPAddrPort(reply(q, "true"), from)
			})
			if name == "another name" || name == "malformed values" {
				return // it has the number that only the one who was asked knows, and is well-formed up to there
			}
			asks(t, newClient(t), udp.at, someQuery("x"), "true")
		})
	}
}

func TestForgedSource(t *testing.T) {
	liar, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	a := actUDP(t, func(_ int, c *net.UDPConn, from netip.AddrPort, packet []byte) {
		q := readRequest(bytes.NewReader(packet))
		liar.WriteToUDPAddrPort(reply(q, "forged"), from)
		c.WriteToUDPAddrPort(reply(q, "true"), from)
	})
	for range 20 {
		asks(t, newClient(t), a.at, someQuery("x"), "true")
	}
}

// Requests must not be guessable: every one has another number, and comes from another port.
func TestQuestionsCannotBeGuessed(t *testing.T) {
	var mu sync.Mutex
	ids, ports := map[uint32]bool{}, map[uint16]bool{}
	a := actUDP(t, func(_ int, c *net.UDPConn, from netip.AddrPort, packet []byte) {
		q := readRequest(bytes.NewReader(packet))
		mu.Lock()
		ids[q.Request], ports[from.Port()] = true, true
		mu.Unlock()
		c.WriteToUDPAddrPort(reply(q, "true"), from)
	})
	c := newClient(t)
	for range 50 {
		asks(t, c, a.at, someQuery("x"), "true")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) != 50 || len(ports) < 30 {
		t.Errorf("%d numbers, %d ports", len(ids), len(ports))
	}
}

func TestLostDatagrams(t *testing.T) {
	long := strings.Repeat("0123456789", 300)
	for name, deliver := range map[string]func(round int, packets [][]byte) [][]byte{
		"reversed":        func(_ int, p [][]byte) [][]byte { return [][]byte{p[6], p[5], p[4], p[3], p[2], p[1], p[0]} },
		"doubled":         func(_ int, p [][]byte) [][]byte { return append(p, p...) },
		"first one lost":  func(n int, p [][]byte) [][]byte { return p[min(1-min(n, 1), 1):] },
		"everything lost": func(n int, p [][]byte) [][]byte { return p[:len(p)*min(n, 1)] },
		"rubbish in between": func(_ int, p [][]byte) [][]byte {
			return [][]byte{{1}, p[0], p[2][:50], p[1], p[2], bytes.Repeat([]byte{7}, 60), p[3], p[4], p[5], p[6]}
		},
		"with other ids": func(_ int, p [][]byte) [][]byte {
			bad := bytes.Clone(p[0])
			bad[8] ^= 1
			return append([][]byte{bad}, p...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			round := map[uint32]int{}
			a := actUDP(t, func(_ int, c *net.UDPConn, from netip.AddrPort, packet []byte) {
				q := readRequest(bytes.NewReader(packet))
				whole := reply(q, long)
				var ps [][]byte
				for i := range packets(len(whole)) {
					ps = append(ps, appendPacket(nil, whole, i))
				}
				if len(ps) != 7 {
					t.Errorf("%d packets", len(ps))
					return
				}
				for _, p := range deliver(round[q.Request], ps) {
					c.WriteToUDPAddrPort(p, from)
				}
				round[q.Request]++
			})
			asks(t, newClient(t), a.at, someQuery("x"), long)
		})
	}
	// A message that announces more than may be is not waited for, and one that never ends does not block the true one.
	a := actUDP(t, func(_ int, c *net.UDPConn, from netip.AddrPort, packet []byte) {
		q := readRequest(bytes.NewReader(packet))
		huge := AppendEnvelope(nil, &Envelope{Version: Latest, Suggested: Latest, Request: q.Request, Truncated: true, Length: 1 << 30})
		c.WriteToUDPAddrPort(append(huge, 1, 2, 3), from)
		c.WriteToUDPAddrPort(append(AppendEnvelope(nil, &Envelope{Version: Latest, Suggested: Latest, Request: q.Request, Truncated: true, Length: MaxMessage}), make([]byte, MaxPiece)...), from)
		c.WriteToUDPAddrPort(reply(q, "true"), from)
	})
	asks(t, newClient(t), a.at, someQuery("x"), "true")
}

// The times at which a question is sent are those of deployed clients, or fit into the time there is.
func TestSchedule(t *testing.T) {
	if got := fmt.Sprint(schedule(3, 10*time.Second)); got != "[500ms 1s 1.5s]" {
		t.Error(got)
	}
	if got := fmt.Sprint(schedule(3, 300*time.Millisecond)); got != "[50ms 100ms 150ms]" {
		t.Error(got)
	}
	tries := atomic.Int32{}
	a := actUDP(t, func(int, *net.UDPConn, netip.AddrPort, []byte) { tries.Add(1) })
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	if _, err := newClient(t, func(c *Client) { c.Attempts = 4 }).Ask(ctx, a.at, someQuery("x")); !problem.Is(err, problem.Unreachable) {
		t.Error(err)
	}
	if n := tries.Load(); n < 1 || n > 4 {
		t.Errorf("%d tries", n)
	}
}

// A server that withholds a UDP answer, or has no time, is asked over TCP at once.
func TestFromUDPToTCP(t *testing.T) {
	for name, answer := range map[string]func(q *Message) []byte{
		"hint": func(q *Message) []byte { return appendHint(nil, &q.Envelope, 2000) },
		"busy": func(q *Message) []byte { return reply(q, "", func(m *Message) { m.Code, m.Body = TooBusy, nil }) },
	} {
		tcp := actTCP(t, func(_ int32, c net.Conn) {
			if q := readRequest(c); q != nil {
				c.Write(reply(q, "over TCP"))
			}
		})
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(tcp.at.Addr))
		if err != nil {
			t.Skip("the port is taken for UDP")
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 2048)
			for {
				n, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				c.WriteToUDPAddrPort(answer(readRequest(bytes.NewReader(buf[:n]))), from)
			}
		}()
		at := tcp.at
		at.Protocol = record.UDP
		t.Run(name, func(t *testing.T) { asks(t, newClient(t), at, someQuery("x"), "over TCP") })
		c.Close()
		<-done
	}
}

// An old server that cannot make sense of a newer message is spoken to in its own version, from then on at once.
func TestOldServer(t *testing.T) {
	var asked atomic.Int32
	a := actTCP(t, func(_ int32, c net.Conn) {
		for {
			q := readRequest(c)
			if q == nil {
				return
			}
			asked.Add(1)
			old := Version{2, 3}
			c.Write(reply(q, "old", func(m *Message) {
				if m.Version, m.Suggested = old, old; q.Version != old {
					m.Code, m.Body = ProtocolError, AppendError(nil, "what is this?")
				}
			}))
		}
	})
	c := newClient(t)
	asks(t, c, a.at, someQuery("x"), "old")
	asks(t, c, a.at, someQuery("x"), "old")
	if asked.Load() != 3 {
		t.Errorf("%d requests", asked.Load())
	}
}

// In every version that was ever deployed an identity can be proved.
func TestOldVersions(t *testing.T) {
	n := serve(t, trust.RSA)
	for _, v := range []Version{{2, 0}, {2, 1}, {2, 3}, {2, 4}, {2, 5}, {2, 6}, {2, 7}, {2, 8}, {2, 11}, {3, 0}} {
		c := newClient(t, func(c *Client) { c.Suggest = v })
		for what, l := range map[string]Login{"key": n.login(), "secret": {As: record.Ref{Index: secretAt, Name: adminName}, Secret: []byte(theSecret)}} {
			at := n.at[record.TCP]
			if v.Minor == 5 || v.Minor == 6 {
				at.Key = nil // nobody can check signatures of these versions
			}
			a := n.admin1(t, c, at, l, AdminOptions{})
			rs, err := a.Write(t.Context(), record.Identity{}, []record.Write{{Op: record.Create, Overwrite: true, ID: id.MustParse(bookPrefix + "/old"), Values: []record.Value{value(1, "URL", nil)}}})
			if err != nil || rs[0].Err != nil {
				t.Errorf("%v, %s: %v %v", v, what, rs, err)
			}
		}
	}
}

// Whoever puts a challenge under another request than ours gets no signature.
func TestNoSignatureForOthers(t *testing.T) {
	for name, forge := range map[string]func(q *Message) Challenge{
		"another request": func(q *Message) Challenge {
			return Challenge{SHA256, SHA256.Digest([]byte("something else")), make([]byte, 16)}
		},
		"short nonce": func(q *Message) Challenge { return Challenge{SHA256, SHA256.Digest(q.Content()), make([]byte, 2)} },
	} {
		var signed atomic.Bool
		a := actTCP(t, func(_ int32, c net.Conn) {
			for q := readRequest(c); q != nil; q = readRequest(c) {
				if q.Op == OpAnswerChallenge {
					signed.Store(true)
				}
				ch := forge(q)
				c.Write(AppendMessage(nil, &Message{Envelope: Envelope{Version: Latest, Suggested: Latest, Request: q.Request, Session: 5},
					Header: Header{Op: q.Op, Code: AuthenticationNeeded, Flags: q.Flags | RequestDigest}, Body: AppendChallenge(nil, Latest, &ch)}))
			}
		})
		adm, err := newClient(t).Admin(t.Context(), a.at, Login{As: record.Ref{Index: 300, Name: adminName}, Key: testKey(t, trust.Ed25519, "admin")}, AdminOptions{NoSession: true})
		if err != nil {
			t.Fatal(err)
		}
		rs, err := adm.Write(t.Context(), record.Identity{}, []record.Write{{Op: record.Delete, ID: id.MustParse(bookPrefix + "/x")}})
		if err != nil || !problem.Is(rs[0].Err, problem.Bogus) || signed.Load() {
			t.Errorf("%s: %v %v, signed %v", name, rs, err, signed.Load())
		}
	}
}

// Whoever takes the signature, the MAC or the encryption off an answer is found out.
func TestStrippedAnswers(t *testing.T) {
	n := serve(t, trust.Ed25519)
	strip := func(b []byte) []byte {
		e, err := DecodeEnvelope(b)
		if err != nil {
			return b
		}
		m, err := DecodeMessage(e, b[envelopeSize:])
		if err != nil || m.Op == OpSessionSetup {
			return b
		}
		m.Credential = nil
		return AppendMessage(nil, m)
	}
	for name, o := range map[string]AdminOptions{"session": {}, "each": {NoSession: true}} {
		between := actTCP(t, func(_ int32, c net.Conn) {
			up, err := net.Dial("tcp", n.at[record.TCP].Addr.String())
			if err != nil {
				return
			}
			defer up.Close()
			for n := 0; ; n++ {
				raw, err := readMessage(c)
				if err != nil {
					return
				}
				up.Write(raw)
				if raw, err = readMessage(up); err != nil {
					return
				}
				// The session's first MACs pass: then the client knows that there must be some.
				if name == "each" || n > 5 {
					raw = strip(raw)
				}
				c.Write(raw)
			}
		})
		at := between.at
		at.Key = n.at[record.TCP].Key
		a, err := newClient(t, func(c *Client) { c.Connections = 1 }).Admin(t.Context(), at, n.login(), o)
		if err != nil {
			t.Fatal(err)
		}
		bogus := 0
		for i := range 20 {
			rs, err := a.Write(t.Context(), record.Identity{}, []record.Write{{Op: record.Create, ID: id.MustParse(fmt.Sprintf("%s/%s-%d", bookPrefix, name, i)), Values: []record.Value{value(1, "URL", nil)}}})
			if err != nil {
				t.Fatal(err)
			}
			if problem.Is(rs[0].Err, problem.Bogus) {
				bogus++
			}
		}
		if bogus == 0 {
			t.Errorf("%s: stripped answers were taken", name)
		}
	}
}

func TestTunnelThatIsNone(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a web page": func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>hello") },
		"404":        http.NotFound,
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			e := AppendEnvelope(nil, &Envelope{Version: Latest, Suggested: Latest, Length: 1<<32 - 1})
			for {
				if _, err := w.Write(e); err != nil {
					return
				}
			}
		},
	} {
		s := httptest.NewServer(h)
		at := record.Endpoint{Addr: s.Listener.Addr().(*net.TCPAddr).AddrPort(), Protocol: record.HTTP}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if a, err := newClient(t).Ask(ctx, at, someQuery("x")); !problem.Is(err, problem.Unreachable) {
			t.Errorf("%s: %+v %v", name, a, err)
		}
		cancel()
		s.Close()
	}
}

// Whatever comes back, the client neither falls nor believes it without reason.
func FuzzAnswer(f *testing.F) {
	c := &Client{Rand: zeroes{}, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	at := record.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:2641"), Protocol: record.UDP, Key: testKey(f, trust.Ed25519, "server").Public().Data()}
	q := record.Query{ID: id.MustParse("88.118.1001/X"), Certify: true}
	ask := func(t testing.TB) *question {
		m, err := c.ask(at, OpResolution, c.flags(&q), 0, AppendResolution(nil, &Resolution{Name: q.Name()}))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := ask(f)
	good := reply(m.msg, "x", func(r *Message) { r.Expires = 1_800_000_100 })
	f.Add(good[8:])
	f.Add(reply(m.msg, "x", func(r *Message) { r.Code, r.Body = ServiceReferral, AppendReferral(nil, &record.Referral{Name: "a/b"}) })[8:])
	f.Add(reply(m.msg, "x", func(r *Message) { r.Code, r.Body = HandleNotFound, nil })[8:])
	cred := AppendCredential(nil, &Credential{Type: CredentialSigned, Algorithm: "Ed25519", Signature: make([]byte, 64)})
	f.Add(reply(m.msg, "x", func(r *Message) { r.Credential = cred })[8:])
	f.Fuzz(func(t *testing.T, tail []byte) {
		raw := append([]byte{2, 11, 2, 11, 0, 0, 0, 0}, tail...)
		if len(raw) >= 12 {
			binary.BigEndian.PutUint32(raw[8:], m.msg.Request)
		}
		r, err := c.take(ask(t), raw)
		if err != nil {
			return
		}
		if r.certified {
			t.Fatal("certified without the server's key")
		}
		if a, err := c.answer(r, &q, at); err == nil && a.Referral == nil && len(a.Values) > record.MaxValues {
			t.Fatal("too many values")
		}
	})
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func FuzzCredential(f *testing.F) {
	f.Add(AppendCredential(nil, &Credential{Signer: "1/2", Counter: 7, Type: CredentialMAC, Algorithm: macSHA256, Signature: make([]byte, 32)}))
	for _, hex := range []string{"00000000000000000000000100000006", ""} {
		f.Add(unhex(f, hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCredential(b)
		if err != nil {
			return
		}
		again, err := DecodeCredential(AppendCredential(nil, &c))
		if err != nil || again.Type != c.Type || again.Counter != c.Counter || !bytes.Equal(again.Signature, c.Signature) || again.Signer != c.Signer {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}

// A list may take as long as it likes, as long as it goes on.
func TestListThatStops(t *testing.T) {
	var silent atomic.Bool
	a := actTCP(t, func(_ int32, c net.Conn) {
		q := readRequest(c)
		if q == nil {
			return
		}
		for i := range 3 {
			c.Write(AppendMessage(nil, &Message{Envelope: Envelope{Version: Latest, Suggested: Latest, Request: q.Request},
				Header: Header{Op: q.Op, Code: Success, Flags: Continuous}, Body: AppendNames(nil, []string{fmt.Sprintf("1/%d", i)})}))
		}
		if silent.Load() {
			io.Copy(io.Discard, c)
			return
		}
		c.Write(AppendMessage(nil, &Message{Envelope: Envelope{Version: Latest, Suggested: Latest, Request: q.Request},
			Header: Header{Op: q.Op, Code: Success}, Body: AppendNames(nil, []string{"1/last"})}))
	})
	c := newClient(t, func(c *Client) { c.Timeout = 100 * time.Millisecond })
	adm := &Admin{c: c, at: a.at, o: AdminOptions{NoSession: true}, setting: make(chan struct{}, 1)}
	if n, err := adm.Count(t.Context(), record.Identity{}, "1"); n != 4 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	silent.Store(true)
	if n, err := adm.Count(t.Context(), record.Identity{}, "1"); n != 3 || !problem.Is(err, problem.Unreachable) {
		t.Errorf("%d %v", n, err)
	}
	stop := errors.New("enough")
	if err := adm.Each(t.Context(), "1", func(string) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}
