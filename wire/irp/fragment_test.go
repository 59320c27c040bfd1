package irp

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
)

var somebody = netip.MustParseAddrPort("192.0.2.7:1024")

func bigMessage(n int) []byte {
	body := make([]byte, n-envelopeSize-headerSize-4)
	for i := range body {
		body[i] = byte(i * 7)
	}
	return AppendMessage(nil, &Message{Envelope: vecEnvelope, Header: vecHeader(OpCreate, DefaultFlags), Body: body})
}

func pieces(msg []byte) (ps [][]byte) {
	for i := range packets(len(msg)) {
		ps = append(ps, appendPacket(nil, msg, i))
	}
	return ps
}

// TestFragmentCaptured: as captured, 514 bytes of message come as two packets, the first of 512 bytes.
func TestFragmentCaptured(t *testing.T) {
	for n, sizes := range map[int][]int{512: {512}, 513: {512, 21}, 534: {512, 42}, envelopeSize + MaxPiece*2: {512, 512}, envelopeSize + MaxPiece*2 + 1: {512, 512, 21}} {
		ps := pieces(bigMessage(n))
		if len(ps) != len(sizes) {
			t.Fatalf("%d bytes: %d packets", n, len(ps))
		}
		for i, p := range ps {
			if len(p) != sizes[i] {
				t.Errorf("%d bytes: packet %d has %d", n, i, len(p))
			}
			e, err := DecodeEnvelope(p)
			if err != nil || e.Truncated != (len(ps) > 1) || e.Sequence != uint32(i) || e.Length != uint32(n-envelopeSize) || e.Request != vecEnvelope.Request {
				t.Errorf("%d bytes: packet %d: %+v, %v", n, i, e, err)
			}
		}
	}
}

func (r *reassembler) feed(t testing.TB, now time.Time, from netip.AddrPort, p []byte) []byte {
	t.Helper()
	e, err := DecodeEnvelope(p)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := r.add(now, from, &e, p)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// TestReassemble: whatever the order, and whatever comes twice, the message comes once and is the one that was sent.
func TestReassemble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		msg := bigMessage(rapid.IntRange(513, 8000).Draw(t, "size"))
		ps := rapid.Permutation(pieces(msg)).Draw(t, "order")
		twice := rapid.IntRange(0, len(ps)-1).Draw(t, "twice")
		r := newReassembler()
		now := time.Unix(1, 0)
		for i, p := range ps {
			e, _ := DecodeEnvelope(p)
			got, err := r.add(now, somebody, &e, p)
			if err != nil {
				t.Fatal(err)
			}
			if i == len(ps)-1 {
				if !bytes.Equal(got, msg) {
					t.Fatalf("another message:\n%x\n%x", got, msg)
				}
				break
			}
			if got != nil {
				t.Fatal("too early")
			}
			if i == twice {
				if again, err := r.add(now, somebody, &e, p); again != nil || err != nil {
					t.Fatal("a packet counted twice")
				}
			}
		}
		if len(r.partial) != 0 || r.bytes != 0 || len(r.peers) != 0 || r.order.Len() != 0 {
			t.Fatalf("left over: %d messages, %d bytes", len(r.partial), r.bytes)
		}
	})
}

func TestReassembleApart(t *testing.T) {
	r := newReassembler()
	now := time.Unix(1, 0)
	a := pieces(bigMessage(600))
	other := netip.MustParseAddrPort("192.0.2.7:1025")
	r.feed(t, now, somebody, a[0])
	if r.feed(t, now, other, a[1]) != nil {
		t.Fatal("packets of two senders made a message")
	}
	if r.feed(t, now.Add(pieceWait), somebody, a[1]) != nil {
		t.Fatal("a message out of time")
	}
	// A sender that begins anew under the same number.
	b := pieces(bigMessage(700))
	r.feed(t, now.Add(pieceWait), somebody, b[0])
	if r.feed(t, now.Add(pieceWait), somebody, b[1]) == nil {
		t.Fatal("the second message is not there")
	}
}

func TestReassembleRefuses(t *testing.T) {
	p := pieces(bigMessage(1500))
	for what, change := range map[string]func(e *Envelope, p []byte) []byte{
		"sequence beyond the end": func(e *Envelope, p []byte) []byte { e.Sequence = 4; return p },
		"huge sequence":           func(e *Envelope, p []byte) []byte { e.Sequence = 1<<32 - 1; return p },
		"short packet":            func(e *Envelope, p []byte) []byte { return p[:len(p)-1] },
		"long packet":             func(e *Envelope, p []byte) []byte { return append(p, 0) },
		"empty":                   func(e *Envelope, p []byte) []byte { return p[:envelopeSize] },
		"too long a message":      func(e *Envelope, p []byte) []byte { e.Length = MaxMessage + 1; return p },
	} {
		r := newReassembler()
		e, _ := DecodeEnvelope(p[0])
		if _, err := r.add(time.Unix(1, 0), somebody, &e, change(&e, bytes.Clone(p[0]))); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%s: %v", what, err)
		}
		if len(r.partial) != 0 {
			t.Errorf("%s is kept", what)
		}
	}
}

// TestReassembleBounds: a flood of beginnings takes bounded memory, and one sender bounded memory of that.
func TestReassembleBounds(t *testing.T) {
	r := newReassembler()
	now := time.Unix(1, 0)
	p := pieces(bigMessage(4000))[0]
	refused := 0
	for i := range 3 * maxPartial {
		e, _ := DecodeEnvelope(p)
		e.Request = uint32(i)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 1)
		if i >= 2*maxPartial {
			from = somebody
		}
		if _, err := r.add(now, from, &e, p); problem.Is(err, problem.Busy) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
		if len(r.partial) > maxPartial || r.bytes > maxPartialBytes || r.peers[somebody.Addr()] > maxPartialPeer {
			t.Fatalf("%d messages, %d bytes, %d of one", len(r.partial), r.bytes, r.peers[somebody.Addr()])
		}
	}
	if refused == 0 {
		t.Error("one sender had no bound")
	}
	r.expire(now.Add(pieceWait))
	if len(r.partial) != 0 || r.bytes != 0 || len(r.peers) != 0 {
		t.Errorf("%d messages, %d bytes left", len(r.partial), r.bytes)
	}
}

func TestHint(t *testing.T) {
	for _, n := range []int{0, 99, 600, 9000} {
		p := appendHint(nil, &vecEnvelope, n)
		e, err := DecodeEnvelope(p)
		if err != nil || len(p) != envelopeSize || !isHint(&e, p) || e.Request != vecEnvelope.Request {
			t.Fatalf("%x: %+v, %v", p, e, err)
		}
		// To those who do not know it, it is a message of which the packets were lost.
		if packets(envelopeSize+int(e.Length)) < 2 {
			t.Errorf("a hint of %d bytes looks complete", e.Length)
		}
	}
	p := pieces(bigMessage(600))[0]
	if e, _ := DecodeEnvelope(p); isHint(&e, p) {
		t.Error("a packet with content is a hint")
	}
}

// FuzzReassemble: no sequence of packets makes the reassembler panic, keep more than it may, or return what is not whole.
func FuzzReassemble(f *testing.F) {
	var seed []byte
	for _, p := range pieces(bigMessage(600)) {
		seed = append(append(seed, byte(len(p)>>8), byte(len(p))), p...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newReassembler()
		now := time.Unix(1, 0)
		for len(b) >= 2 {
			n := int(b[0])<<8 | int(b[1])
			b = b[2:]
			n = min(n, len(b))
			p := b[:n]
			b = b[n:]
			e, err := DecodeEnvelope(p)
			if err != nil {
				continue
			}
			now = now.Add(time.Duration(e.Sequence%3) * time.Second)
			msg, err := r.add(now, somebody, &e, p)
			if err == nil && msg != nil && len(msg) != envelopeSize+int(e.Length) {
				t.Fatalf("%d bytes of %d", len(msg), e.Length)
			}
		}
		sum := 0
		for _, p := range r.partial {
			sum += p.bytes
		}
		if sum != r.bytes || len(r.partial) != r.order.Len() {
			t.Fatalf("%d bytes counted as %d", sum, r.bytes)
		}
	})
}
