package irp

import (
	"container/list"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// A message over 512 bytes goes over UDP as several packets: each has the envelope with the truncated bit, the number
// of the packet as sequence and the length of the whole message, and all but the last carry exactly MaxPiece bytes.
// They may come in any order.
//
// A server that withholds a UDP answer (see limiter) may send the envelope of its first packet alone, with nothing
// behind it and a length of at least MaxPiece+1. To deployed clients that is a message whose packets got lost: they try
// again and then take the next interface of the site, TCP. A client that knows better goes to TCP at once.

// packets is how many UDP packets a message of n bytes, with envelope, takes.
func packets(n int) int {
	if n <= MaxPacket {
		return 1
	}
	return (n - envelopeSize + MaxPiece - 1) / MaxPiece
}

// appendPacket appends the i-th UDP packet of the whole message msg.
func appendPacket(dst, msg []byte, i int) []byte {
	if len(msg) <= MaxPacket {
		return append(dst, msg...)
	}
	at := len(dst)
	dst = append(dst, msg[:envelopeSize]...)
	dst[at+2] |= bitTruncated
	binary.BigEndian.PutUint32(dst[at+12:], uint32(i))
	start := envelopeSize + i*MaxPiece
	return append(dst, msg[start:min(start+MaxPiece, len(msg))]...)
}

// appendHint appends the packet that sends a client to TCP instead of a message of n bytes with envelope. e is the
// envelope of that message, or of the request.
func appendHint(dst []byte, e *Envelope, n int) []byte {
	return AppendEnvelope(dst, &Envelope{Version: e.Version, Suggested: Latest, Truncated: true,
		Session: e.Session, Request: e.Request, Length: uint32(max(n-envelopeSize, MaxPiece+1))})
}

// isHint reports whether a packet with this envelope says "come over TCP": it is of a longer message and carries none
// of it.
func isHint(e *Envelope, packet []byte) bool {
	return e.Truncated && e.Length > 0 && len(packet) == envelopeSize
}

// Bounds of a reassembler.
const (
	pieceWait       = 5 * time.Second // for all packets of a message
	maxPartial      = 4096            // messages of which packets are missing
	maxPartialBytes = 16 << 20        // of their packets
	maxPartialPeer  = 2 << 20         // of those from one address (IPv6: one /64)
	pieceOverhead   = 96              // what a kept packet takes beside its bytes
)

// maxPieces is how many packets the longest message takes.
const maxPieces = (MaxMessage + MaxPiece - 1) / MaxPiece

// reassembler puts messages together from UDP packets. It keeps what has come, never what is only announced, and
// forgets the oldest message when it is full. It is for one goroutine.
type reassembler struct {
	partial map[partialKey]*partial
	peers   map[netip.Addr]int // bytes
	bytes   int
	order   *list.List // of *partial, oldest first
}

type partialKey struct {
	from    netip.AddrPort
	request uint32
}

type partial struct {
	key     partialKey
	length  uint32
	head    [12]byte // the envelope up to the sequence, which all packets share
	seen    [(maxPieces + 63) / 64]uint64
	pieces  []piece
	bytes   int
	expires time.Time
	place   *list.Element
}

type piece struct {
	seq  uint32
	data []byte
}

func newReassembler() *reassembler {
	return &reassembler{partial: map[partialKey]*partial{}, peers: map[netip.Addr]int{}, order: list.New()}
}

// add takes a packet whose envelope e announces more than the packet holds, and returns the whole message, with an
// envelope without sequence and truncated bit, once its last packet is there; nil until then. The packet is copied.
// The error is of kind problem.BadRequest, for a packet that fits no message; problem.Busy when its sender has too
// much on the way.
func (r *reassembler) add(now time.Time, from netip.AddrPort, e *Envelope, packet []byte) ([]byte, error) {
	r.expire(now)
	data := packet[envelopeSize:]
	n := (e.Length + MaxPiece - 1) / MaxPiece
	want := uint32(MaxPiece)
	if e.Sequence+1 == n {
		want = e.Length - e.Sequence*MaxPiece
	}
	if e.Length > MaxMessage || e.Sequence >= n || uint32(len(data)) != want {
		return nil, problem.New(problem.BadRequest, "packet %d with %d bytes does not fit a message of %d",
			"第 %d 个数据包有 %d 字节，与长度为 %d 的消息不符", e.Sequence, len(data), e.Length)
	}
	head := [12]byte(packet)
	head[2] |= bitTruncated
	key := partialKey{from, e.Request}
	p := r.partial[key]
	if p != nil && (p.length != e.Length || p.head != head) {
		r.drop(p) // the sender began anew
		p = nil
	}
	size, who := len(data)+pieceOverhead, network(from.Addr())
	if r.peers[who]+size > maxPartialPeer {
		return nil, problem.New(problem.Busy, "too many long messages from %s are unfinished; use TCP for long messages",
			"来自 %s 的未完成长消息过多；长消息请使用 TCP", from.Addr())
	}
	if p == nil {
		for len(r.partial) >= maxPartial {
			r.drop(r.order.Front().Value.(*partial))
		}
		p = &partial{key: key, length: e.Length, head: head, expires: now.Add(pieceWait)}
		p.place = r.order.PushBack(p)
		r.partial[key] = p
	}
	if bit := uint64(1) << (e.Sequence % 64); p.seen[e.Sequence/64]&bit != 0 {
		return nil, nil // sent twice
	} else {
		p.seen[e.Sequence/64] |= bit
	}
	for r.bytes+size > maxPartialBytes && r.order.Front() != p.place {
		r.drop(r.order.Front().Value.(*partial))
	}
	p.pieces = append(p.pieces, piece{e.Sequence, append([]byte(nil), data...)})
	p.bytes += size
	r.bytes += size
	r.peers[who] += size
	if uint32(len(p.pieces)) < n {
		return nil, nil
	}
	r.drop(p)
	msg := make([]byte, envelopeSize+int(e.Length))
	copy(msg, p.head[:])
	msg[2] &^= bitTruncated
	binary.BigEndian.PutUint32(msg[16:], e.Length)
	for _, x := range p.pieces {
		copy(msg[envelopeSize+x.seq*MaxPiece:], x.data)
	}
	return msg, nil
}

// expire forgets messages whose packets did not all come in time. All wait equally long, so the oldest are in front.
func (r *reassembler) expire(now time.Time) {
	for f := r.order.Front(); f != nil && !now.Before(f.Value.(*partial).expires); f = r.order.Front() {
		r.drop(f.Value.(*partial))
	}
}

func (r *reassembler) drop(p *partial) {
	delete(r.partial, p.key)
	r.order.Remove(p.place)
	r.bytes -= p.bytes
	who := network(p.key.from.Addr())
	if r.peers[who] -= p.bytes; r.peers[who] <= 0 {
		delete(r.peers, who)
	}
}
