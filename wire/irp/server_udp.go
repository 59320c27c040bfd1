package irp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/burst"
)

const (
	udpRead  = 2048      // bytes kept of a datagram; the protocol's packets have at most 512
	udpArena = 256 << 10 // where a burst's answers are written
	udpRoom  = 64 << 10  // what must be left of it for the next answer

	// udpLongest is the longest answer sent over UDP to anybody, in bytes: more packets at once than these overrun the
	// queue that systems give a socket.
	udpLongest = 64 << 10
)

// ServeUDP answers the datagrams that come to c until ctx is done, then closes c, waits for the requests under way and
// returns nil. For several cores call it once for each Conn of burst.ListenN. It returns early only with c's error.
//
// Requests over 512 bytes come, and answers go, as several packets. What takes longer than a look into the Resolver's
// ready answers is handed to workers, Limits.Workers at most; beyond that askers are told that the server is busy.
// Nothing goes out without the response-rate limit's leave, and what cannot be read is answered only when that is no
// longer than what came: a forged question makes less traffic than it took.
func (s *Server) ServeUDP(ctx context.Context, c *burst.Conn) error {
	s.start()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	u := &udpServer{s: s, c: c, arena: make([]byte, 0, udpArena), pieces: newReassembler()}
	defer u.work.Wait()
	defer cancel()
	defer stop()
	in := burst.NewBatch(burst.DefaultBatch, udpRead)
	failed := 0
	for {
		n, err := c.Read(in)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if failed++; errors.Is(err, net.ErrClosed) || failed > 100 {
				return problem.Wrap(err, problem.Unreachable, "udp %s cannot be read any more", "无法再读取 udp %s", c.LocalAddr())
			}
			// It passes: the system is short of memory, or passes on what others on the way said.
			t := time.NewTimer(time.Duration(failed) * time.Millisecond)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
			}
			continue
		}
		failed = 0
		u.burst(ctx, in[:n])
	}
}

// udpServer is one socket's loop.
type udpServer struct {
	s      *Server
	c      *burst.Conn
	arena  []byte // the burst's answers, one behind the other
	out    []burst.Packet
	pieces *reassembler
	names  [lookahead][]byte // room for expect
	told   []int             // which packets of the burst the fast way answered, where somebody counts
	work   sync.WaitGroup
}

// burst answers what came at once, at once.
func (u *udpServer) burst(ctx context.Context, in []burst.Packet) {
	now := u.s.Now()
	v := u.s.view(now)
	ms := now.UnixMilli()
	fast := uint64(0)
	for i := range in {
		if i%lookahead == 0 && u.s.expecter != nil {
			u.expect(in[i:min(len(in), i+lookahead)])
		}
		p := &in[i]
		if p.Cut {
			u.s.Stats.Malformed.Add(1)
			continue
		}
		if cap(u.arena)-len(u.arena) < udpRoom {
			u.flush()
		}
		at := len(u.arena)
		out, ok := appendFast(u.arena, p.Payload(), &v)
		if !ok {
			u.long(ctx, now, ms, p)
			continue
		}
		fast++
		if u.s.Answered != nil {
			u.told = append(u.told, i)
		}
		if cap(out) != cap(u.arena) || len(out)-at > u.s.Limits.UDPAnswer {
			u.sendWhole(p.Addr, p.Local, out[at:], ms) // an unusually long one
			continue
		}
		u.queue(p.Addr, p.Local, out, at, ms)
	}
	u.flush()
	u.s.Stats.Fast.Add(fast)
	if len(u.told) > 0 {
		// What a packet waited for the others of its burst is time that its asker waited.
		took := u.s.Now().Sub(now)
		for _, i := range u.told {
			u.s.Answered(askedName(in[i].Payload()), in[i].Addr.Addr(), took, true)
		}
		u.told = u.told[:0]
	}
}

// expect tells the Resolver what the packets ask for, lookahead of them at most.
func (u *udpServer) expect(in []burst.Packet) {
	names := u.names[:0]
	for i := range in {
		if name := askedName(in[i].Payload()); name != nil {
			names = append(names, name)
		}
	}
	if len(names) > 1 {
		u.s.expecter.Expect(names)
	}
}

// queue puts the answer arena[at:] into the burst that goes out, as one packet or several.
func (u *udpServer) queue(to netip.AddrPort, local netip.Addr, arena []byte, at int, ms int64) {
	size := len(arena) - at
	switch u.s.limiter.take(to.Addr(), size+packets(size)*envelopeSize, ms) {
	case send:
		u.arena = arena
		if size <= MaxPacket {
			u.push(to, local, at)
			return
		}
		msg := arena[at:]
		for i := range packets(size) {
			at = len(u.arena)
			u.arena = appendPacket(u.arena, msg, i)
			u.push(to, local, at)
		}
	case hint:
		e, _ := DecodeEnvelope(arena[at:])
		u.s.Stats.Hints.Add(1)
		u.s.Stats.Withheld.Add(1)
		u.arena = appendHint(arena[:at], &e, size)
		u.push(to, local, at)
	default:
		u.s.Stats.Withheld.Add(1)
	}
}

func (u *udpServer) push(to netip.AddrPort, local netip.Addr, at int) {
	b := u.arena[at:len(u.arena):len(u.arena)]
	u.out = append(u.out, burst.Packet{Buf: b, N: len(b), Addr: to, Local: local})
}

func (u *udpServer) flush() {
	if len(u.out) > 0 {
		if _, err := u.c.Write(u.out); err != nil {
			u.s.Log.Debug("an answer was not sent", "error", err)
		}
	}
	u.out, u.arena = u.out[:0], u.arena[:0]
}

// long takes a packet that the fast way left.
func (u *udpServer) long(ctx context.Context, now time.Time, ms int64, p *burst.Packet) {
	packet := p.Payload()
	e, err := DecodeEnvelope(packet)
	if err == nil && uint64(e.Length) > uint64(len(packet)-envelopeSize) {
		whole, perr := u.pieces.add(now, p.Addr, &e, packet)
		if whole == nil {
			if perr != nil {
				u.s.Stats.Malformed.Add(1)
			}
			return
		}
		packet = whole
		e.Truncated, e.Sequence = false, 0
	} else if err == nil && uint64(e.Length) < uint64(len(packet)-envelopeSize) {
		err = problem.New(problem.BadRequest, "the packet has %d bytes, its envelope says %d",
			"数据包有 %d 字节，信封却声明 %d 字节", len(packet), envelopeSize+int(e.Length))
	}
	if err != nil {
		u.s.Stats.Malformed.Add(1)
		if out := undecodable(ProtocolError, problem.Say(err, problem.English)); len(out) <= len(packet) {
			u.short(p, out, ms)
		}
		return
	}
	// Nothing is worked out for those who would not get it.
	switch u.s.limiter.take(p.Addr.Addr(), 0, ms) {
	case hint:
		u.s.Stats.Hints.Add(1)
		u.s.Stats.Withheld.Add(1)
		at := len(u.arena)
		u.arena = appendHint(u.arena, &e, 0)
		u.push(p.Addr, p.Local, at)
		return
	case withhold:
		u.s.Stats.Withheld.Add(1)
		return
	}
	select {
	case u.s.udpWork <- struct{}{}:
	default:
		u.s.Stats.Busy.Add(1)
		u.short(p, busy(&e, packet, now), ms)
		return
	}
	payload := append([]byte(nil), packet[envelopeSize:]...)
	to, local := p.Addr, p.Local
	u.work.Add(1)
	go func() {
		defer u.work.Done()
		defer func() { <-u.s.udpWork }()
		ch := &channel{peer: to, proto: record.UDP}
		err := u.s.serve(ctx, ch, e, payload, func(msg []byte, _ bool) error {
			u.sendWhole(to, local, msg, u.s.Now().UnixMilli())
			return nil
		})
		if err != nil {
			u.s.Log.Debug("a request was given up", "peer", to, "error", err)
		}
	}()
}

// short sends a small answer in the burst.
func (u *udpServer) short(p *burst.Packet, msg []byte, ms int64) {
	at := len(u.arena)
	u.queue(p.Addr, p.Local, append(u.arena, msg...), at, ms)
}

// sendWhole sends an answer on its own, from any goroutine.
func (u *udpServer) sendWhole(to netip.AddrPort, local netip.Addr, msg []byte, ms int64) {
	l, size := u.s.limiter, len(msg)
	do := hint
	if size <= u.s.Limits.UDPAnswer || size <= udpLongest && l.free(to.Addr()) {
		do = l.take(to.Addr(), size+packets(size)*envelopeSize, ms)
	}
	var b []byte
	batch := make([]burst.Packet, 0, packets(size))
	switch do {
	case withhold:
		u.s.Stats.Withheld.Add(1)
		return
	case hint:
		u.s.Stats.Withheld.Add(1)
		u.s.Stats.Hints.Add(1)
		e, _ := DecodeEnvelope(msg)
		b = appendHint(nil, &e, size)
		batch = append(batch, burst.Packet{Buf: b, N: len(b), Addr: to, Local: local})
	default:
		for i := range packets(size) {
			b = appendPacket(make([]byte, 0, MaxPacket), msg, i)
			batch = append(batch, burst.Packet{Buf: b, N: len(b), Addr: to, Local: local})
		}
	}
	if _, err := u.c.Write(batch); err != nil {
		u.s.Log.Debug("an answer was not sent", "peer", to, "error", err)
	}
}

// busy is the answer to a message that nobody has time for.
func busy(e *Envelope, msg []byte, now time.Time) []byte {
	m := &Message{Envelope: Envelope{Version: e.Speak(), Suggested: Latest, Session: e.Session, Request: e.Request},
		Header: Header{Code: TooBusy, SiteSerial: UnknownSite, Expires: uint32(now.Unix() + lifetime)},
		Body:   AppendError(nil, "")}
	if !e.Encrypted && !e.Compressed {
		var in Message
		if in.decode(msg[envelopeSize:]) == nil {
			m.Op, m.Flags = in.Op, in.Flags&^(Continuous|Authoritative|RequestDigest)
		}
	}
	return AppendMessage(nil, m)
}
