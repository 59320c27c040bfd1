package irp

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
)

func TestLimiterRate(t *testing.T) {
	l := newLimiter(1000, 2000, 2, 64, loopback)
	a := netip.MustParseAddr("192.0.2.1")
	near := netip.MustParseAddr("192.0.2.200")
	far := netip.MustParseAddr("192.0.3.1")
	now := int64(1 << 40)
	sent := 0
	for l.take(a, 100, now) == send {
		sent += 100
	}
	if sent != 2000 {
		t.Errorf("%d bytes at once, want 2000", sent)
	}
	if v := l.take(near, 100, now); v != hint {
		t.Errorf("the second withheld answer of the network: %v, want the hint", v)
	}
	if v := l.take(near, 100, now); v != withhold {
		t.Errorf("the third: %v", v)
	}
	if v := l.take(far, 100, now); v != send {
		t.Errorf("another network: %v", v)
	}
	if v := l.take(netip.MustParseAddr("127.0.0.1"), 1<<20, now); v != send {
		t.Errorf("loopback: %v", v)
	}
	// Over a minute, a second's worth each second.
	sent = 0
	for range 60_000 {
		now++
		for l.take(a, 100, now) == send {
			sent += 100
		}
	}
	if sent < 59_000 || sent > 61_000 {
		t.Errorf("%d bytes in a minute, want about 60,000", sent)
	}
	// Long answers go, and are paid for.
	now += 10_000
	if l.take(a, 8000, now) != send || l.take(a, 1, now+5999) == send || l.take(a, 1, now+6001) != send {
		t.Error("a long answer has another price than its length")
	}
}

func TestLimiterIPv6(t *testing.T) {
	l := newLimiter(1000, 1000, 0, 64, nil)
	now := int64(1 << 40)
	l.take(netip.MustParseAddr("2001:db8:0:11::1"), 5000, now)
	if v := l.take(netip.MustParseAddr("2001:db8:0:ff::2"), 1, now); v != withhold {
		t.Errorf("the same /56: %v", v)
	}
	if v := l.take(netip.MustParseAddr("2001:db8:0:100::2"), 1, now); v != send {
		t.Errorf("another /56: %v", v)
	}
	if v := l.take(netip.MustParseAddr("::ffff:192.0.2.1"), 5000, now); v != send {
		t.Errorf("IPv4: %v", v)
	}
	if v := l.take(netip.MustParseAddr("192.0.2.9"), 5000, now); v == send {
		t.Errorf("the same IPv4 network: %v", v)
	}
	if v := newLimiter(0, 0, 0, 64, nil).take(netip.MustParseAddr("192.0.2.9"), 1<<30, now); v != send {
		t.Errorf("switched off: %v", v)
	}
}

// TestLimiterBounded: many networks share the table, those that are active keep their places, and nothing is allocated.
func TestLimiterBounded(t *testing.T) {
	l := newLimiter(1000, 1000, 2, 1024, nil)
	if n := len(l.sets) * setPlaces; n != 1024 {
		t.Fatalf("%d places", n)
	}
	now := int64(1 << 40)
	i := uint32(0)
	if n := testing.AllocsPerRun(20_000, func() {
		i++
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], i<<8)
		l.take(netip.AddrFrom4(b), 50, now+int64(i)/100)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	victim := netip.MustParseAddr("203.0.113.1")
	for range 50 {
		l.take(victim, 1000, now+1000)
	}
	if l.take(victim, 1, now+1000) == send {
		t.Error("a network that is over its rate was forgotten")
	}
}

// TestServerRateLimit floods a server that does not exempt loopback: little comes back, some of it hints, and over TCP
// everything is answered.
func TestServerRateLimit(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) {
		g.Limits = Limits{RateBytes: 1000, RateBurst: 4000, RateExempt: []netip.Prefix{}}
	})
	l := g.dial(t, "udp")
	const n = 400
	sent, done := 0, make(chan struct{})
	got, hints := 0, 0
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, err := l.nc.Read(b)
			if err != nil {
				return
			}
			got += n
			if e, err := DecodeEnvelope(b[:n]); err == nil && isHint(&e, b[:n]) {
				hints++
			}
		}
	}()
	for i := range n {
		name := "88.111.1/t1"
		if i%2 == 0 {
			name = "88.111.1/none" // the long way
		}
		m := AppendMessage(nil, ask1(name, DefaultFlags))
		l.send(m)
		sent += len(m)
	}
	until(t, "worked off", func() bool { return g.Stats.Fast.Load() == n/2 && len(g.udpWork) == 0 })
	l.nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // what was sent is there
	<-done
	if got > sent || hints == 0 || hints > n/2 {
		t.Errorf("%d bytes asked, %d came back, %d hints", sent, got, hints)
	}
	if g.Stats.Withheld.Load() == 0 || g.Stats.Hints.Load() < uint64(hints) {
		t.Errorf("withheld %d, hints %d", g.Stats.Withheld.Load(), g.Stats.Hints.Load())
	}
	c := g.dial(t, "tcp")
	for range n {
		says(t, c.ask(ask1("88.111.1/t1", DefaultFlags)), Success)
	}
}

// TestServerLongUDP: long answers come as packets to those who are exempt; others are sent to TCP for the longest.
func TestServerLongUDP(t *testing.T) {
	g := newServerRig(t, nil)
	l := g.dial(t, "udp")
	whole := func(q *Message) *Message {
		l.send(AppendMessage(nil, q))
		r := newReassembler()
		for {
			p := l.packet()
			if len(p) > MaxPacket {
				t.Fatalf("a packet of %d bytes", len(p))
			}
			if msg := r.feed(t, time.Unix(1, 0), somebody, p); msg != nil {
				return decodeWhole(t, msg)
			}
		}
	}
	for _, flags := range []Flags{DefaultFlags, DefaultFlags | Certified} { // the fast way and the long way
		m := whole(ask1("88.111.1/long", flags))
		says(t, m, Success)
		if _, vs, err := DecodeValues(m.Body); err != nil || len(vs[0].Data) != 1500 {
			t.Errorf("%d values, %v", len(vs), err)
		}
	}
	big := vecValue
	big.Data = make([]byte, 50_000)
	g.book.Put("88.111.1/big", big)
	m := whole(ask1("88.111.1/big", DefaultFlags))
	if _, vs, err := DecodeValues(m.Body); err != nil || len(vs[0].Data) != 50_000 {
		t.Errorf("%d values, %v", len(vs), err)
	}

	big.Data = make([]byte, 100_000)
	g.book.Put("88.111.1/big", big)
	l.send(AppendMessage(nil, ask1("88.111.1/big", DefaultFlags)))
	p := l.packet()
	if e, err := DecodeEnvelope(p); err != nil || !isHint(&e, p) || e.Length < 100_000 {
		t.Errorf("%d bytes came over UDP, %+v", len(p), e)
	}

	g = newServerRig(t, func(g *serverRig) { g.Limits = Limits{RateExempt: []netip.Prefix{}, UDPAnswer: 1000} })
	l = g.dial(t, "udp")
	for _, flags := range []Flags{DefaultFlags, DefaultFlags | Certified} {
		l.send(AppendMessage(nil, ask1("88.111.1/long", flags)))
		p := l.packet()
		if e, err := DecodeEnvelope(p); err != nil || !isHint(&e, p) {
			t.Errorf("%d bytes came over UDP", len(p))
		}
	}
}

// TestServerLongUDPRequest sends a request of several packets, last one first, as was tried with deployed servers.
func TestServerLongUDPRequest(t *testing.T) {
	g := newServerRig(t, func(g *serverRig) { g.UDPAdmin = true })
	v := vecValue
	v.Data = make([]byte, 3000)
	q := newRequest(OpCreate, DefaultFlags, AppendValues(nil, "88.111.1/new", []record.Value{v}))
	ps := pieces(AppendMessage(nil, q))
	l := g.dial(t, "udp")
	for i := range ps {
		l.send(ps[len(ps)-1-i])
	}
	says(t, decodeWhole(t, l.packet()), AuthenticationNeeded)
}

// TestRateLimitedClient: whoever is over the rate gets every answer all the same, over TCP.
func TestRateLimitedClient(t *testing.T) {
	for slip, n := range map[int]int{1: 100, 2: 12} {
		g := newServerRig(t, func(g *serverRig) {
			g.Limits = Limits{RateBytes: 100, RateBurst: 600, Slip: slip, RateExempt: []netip.Prefix{}}
		})
		if g.tcp != g.udp {
			t.Skip("no port is free for both")
		}
		c := &Client{Now: func() time.Time { return vecNow }}
		for i := range n {
			a, err := c.Ask(t.Context(), record.Endpoint{Addr: g.udp, Protocol: record.UDP}, record.Query{ID: id.MustParse("88.111.1/t1"), PublicOnly: true})
			if err != nil || len(a.Values) != 1 {
				t.Fatalf("question %d: %d values, %v", i, len(a.Values), err)
			}
		}
		c.Close()
		if g.Stats.Hints.Load() == 0 || g.Stats.Fast.Load() < uint64(n) {
			t.Errorf("%d hints, %d answers", g.Stats.Hints.Load(), g.Stats.Fast.Load())
		}
	}
}
