// Package burst sends and receives datagrams many at a time, so that one core answers two or three times as many
// questions as it does with one system call for each.
//
// A server opens one Conn for each core with ListenN, and runs this loop on each:
//
//	in := burst.NewBatch(burst.DefaultBatch, 2048)
//	for {
//		n, err := c.Read(in)
//		if err != nil { return err }       // net.ErrClosed after Close
//		out = out[:0]
//		for i := range in[:n] { out = append(out, answer(&in[i])...) }
//		if _, err := c.Write(out); err != nil { count(err) }   // the rest of the batch went out all the same
//	}
//
// On Linux a batch is one recvmmsg(2) or sendmmsg(2) on a non-blocking socket that the runtime's poller watches;
// elsewhere, or with Options.Plain, the same interface sends and receives one datagram per call. Neither way allocates
// memory for a packet.
package burst

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// DefaultBatch is the number of packets that one system call moves at most, when Options does not say. Beyond 64 the
// calls hardly get cheaper, while the first packet of a batch waits for the last one's answer.
const DefaultBatch = 64

// MaxDatagram is the largest payload of a UDP datagram, in bytes (65,535 less the UDP header and the IPv4 header).
const MaxDatagram = 65507

// Packet is one datagram, coming or going.
type Packet struct {
	// Buf holds the payload in Buf[:N]. Read fills it up to len(Buf); Write sends Buf[:N].
	Buf []byte
	N   int

	// Addr is the other end: the sender after Read, the receiver for Write. IPv4 peers have IPv4 addresses, also on
	// a socket that serves both families. A Conn from Dial neither fills nor needs it.
	Addr netip.AddrPort

	// Local is the address of this machine that the datagram came to, filled by Read when the socket listens on all
	// addresses and the system tells; zero otherwise. Write sends from it when it is valid: copy it from question to
	// answer, or a machine with several addresses may answer from one that was not asked.
	Local netip.Addr

	// Cut reports that the datagram was longer than Buf and lost its end. Only Read sets it.
	Cut bool
}

// Payload is the part of Buf that was received, or will be sent.
func (p *Packet) Payload() []byte { return p.Buf[:p.N] }

// NewBatch makes n packets with buffers of size bytes each, cut from one block of memory.
func NewBatch(n, size int) []Packet {
	batch, block := make([]Packet, n), make([]byte, n*size)
	for i := range batch {
		batch[i].Buf = block[i*size : (i+1)*size : (i+1)*size]
	}
	return batch
}

// Options of a socket. The zero value is good.
type Options struct {
	// Batch is the number of packets that one system call moves at most. Default DefaultBatch, at most 1,024.
	Batch int
	// Buffer is the size asked for of the system's receive and send queues, in bytes. Default 4 MiB; the system may
	// grant less, which costs datagrams in a rush and nothing else.
	Buffer int
	// Plain uses one system call for each datagram even where batches are available.
	Plain bool
	// Segment hands neighbours in a batch that have the same length and the same receiver to the system as one long
	// datagram, which it cuts up late (UDP_SEGMENT, Linux 4.18): sending gets about twice as cheap for one who sends
	// many like ones to a few. Where the system cannot, nothing changes. A refused packet takes its like neighbours
	// along.
	Segment bool
}

func (o Options) withDefaults() Options {
	if o.Batch <= 0 {
		o.Batch = DefaultBatch
	}
	o.Batch = min(o.Batch, 1024) // UIO_MAXIOV: Linux takes no more in one call
	if o.Buffer <= 0 {
		o.Buffer = 4 << 20
	}
	return o
}

// Conn is a UDP socket. All methods may be called at the same time from any goroutine; two Reads wait for each other,
// and so do two Writes, but never a Read for a Write.
type Conn struct {
	udp   *net.UDPConn
	local netip.AddrPort
	peer  netip.AddrPort // of Dial; zero otherwise

	batched *batched // nil: one call for each datagram

	reading, writing sync.Mutex
}

// Listen opens a socket on addr. Port 0 means any free one (see LocalAddr); the unspecified IPv6 address serves IPv4
// as well. A port that somebody holds already, be it another socket of this program, is refused with kind Unreachable.
func Listen(addr netip.AddrPort, o Options) (*Conn, error) { return listen(addr, nil, o) }

// ListenN opens n sockets on one port, among which the system spreads its senders: one for each core that serves. A
// sender stays with its socket. Where the system cannot do that it opens one. The Conns share nothing; close each. A
// port that somebody else holds is refused as Listen does.
func ListenN(addr netip.AddrPort, n int, o Options) ([]*Conn, error) {
	first, err := Listen(addr, o)
	if err != nil {
		return nil, err
	}
	conns := []*Conn{first}
	if !canShare || n <= 1 {
		return conns, nil
	}
	fail := func(err error) ([]*Conn, error) {
		for _, c := range conns {
			c.Close()
		}
		return nil, err
	}
	// The first socket was bound as the port's only one, and opens it to others only now: a port that another
	// program shares in the same way is not joined by mistake.
	raw, err := first.udp.SyscallConn()
	if err == nil {
		err = share("", "", raw)
	}
	if err != nil {
		return fail(problem.Wrap(err, problem.Internal, "cannot share udp %s among several sockets",
			"无法让多个套接字共用 udp %s", first.local))
	}
	for len(conns) < n {
		c, err := listen(first.local, share, o)
		if err != nil {
			return fail(err)
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func listen(addr netip.AddrPort, control func(_, _ string, rc syscall.RawConn) error, o Options) (*Conn, error) {
	if !addr.IsValid() {
		return nil, problem.New(problem.BadRequest, "a socket needs an address to listen on, such as 0.0.0.0:2641",
			"监听需要一个地址，例如 0.0.0.0:2641")
	}
	lc := net.ListenConfig{Control: control}
	pc, err := lc.ListenPacket(context.Background(), network(addr.Addr()), addr.String())
	if err != nil {
		return nil, problem.Wrap(err, problem.Unreachable,
			"cannot listen on udp %s: stop the program that holds the port, or choose another address",
			"无法监听 udp %s：请停止占用该端口的程序，或改用其他地址", addr)
	}
	return newConn(pc.(*net.UDPConn), netip.AddrPort{}, o)
}

// Dial opens a socket that talks to addr only: datagrams from others are not received, and Write needs no Addr.
// A Read or Write on it may fail with ECONNREFUSED after the other end said that nobody listens there; the Conn stays
// usable.
func Dial(addr netip.AddrPort, o Options) (*Conn, error) {
	if !addr.IsValid() {
		return nil, problem.New(problem.BadRequest, "a socket needs an address to talk to, such as 127.0.0.1:2641",
			"连接需要一个地址，例如 127.0.0.1:2641")
	}
	udp, err := net.DialUDP(network(addr.Addr()), nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, problem.Wrap(err, problem.Unreachable, "cannot reach udp %s: check the address and the network",
			"无法连接 udp %s：请检查地址与网络", addr)
	}
	return newConn(udp, addr, o)
}

func newConn(udp *net.UDPConn, peer netip.AddrPort, o Options) (*Conn, error) {
	o = o.withDefaults()
	// What the system does not grant is not asked twice: a smaller queue is no reason not to serve.
	_ = udp.SetReadBuffer(o.Buffer)
	_ = udp.SetWriteBuffer(o.Buffer)
	local := unmap(udp.LocalAddr().(*net.UDPAddr).AddrPort())
	c := &Conn{udp: udp, local: local, peer: peer}
	if !o.Plain {
		b, err := newBatched(udp, local, peer.IsValid(), o)
		if err != nil {
			udp.Close()
			return nil, problem.Wrap(err, problem.Internal, "cannot prepare the socket on udp %s",
				"无法准备 udp %s 上的套接字", local)
		}
		c.batched = b
	}
	return c, nil
}

// LocalAddr is the address that the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Read waits until at least one datagram is there, and takes as many as are there and fit into the batch. It returns
// how many packets of the batch it filled, from the first. An error comes with n = 0 and is net.ErrClosed after Close,
// os.ErrDeadlineExceeded after the deadline (both by errors.Is), or what the system says. An empty batch returns 0 at
// once.
func (c *Conn) Read(batch []Packet) (n int, err error) {
	if len(batch) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.batched != nil {
		return c.batched.read(batch)
	}
	return c.readPlain(batch)
}

// Write sends the batch in order, in as few system calls as it can. It returns how many packets the system took. A
// packet that the system refuses (its receiver's network is unreachable, it is too long, a firewall forbids it) is
// skipped and the rest is sent; err is then the first refusal. After Close or past the deadline it stops.
func (c *Conn) Write(batch []Packet) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.batched != nil {
		return c.batched.write(batch)
	}
	return c.writePlain(batch)
}

// SetDeadline sets the time after which Read and Write fail instead of waiting, also those that wait already. The
// zero time means never.
func (c *Conn) SetDeadline(t time.Time) error { return c.udp.SetDeadline(t) }

// SetReadDeadline is SetDeadline for Read alone.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.udp.SetReadDeadline(t) }

// Close closes the socket. Read and Write that wait return net.ErrClosed.
func (c *Conn) Close() error { return c.udp.Close() }

// readPlain receives one datagram.
func (c *Conn) readPlain(batch []Packet) (int, error) {
	p := &batch[0]
	n, _, flags, from, err := c.udp.ReadMsgUDPAddrPort(p.Buf, nil)
	cut := flags&flagCut != 0
	if err != nil && !isCut(err) { // Windows reports a datagram that does not fit as an error
		return 0, err
	}
	p.N, p.Addr, p.Local, p.Cut = n, netip.AddrPort{}, netip.Addr{}, cut || err != nil
	if !c.peer.IsValid() {
		p.Addr = unmap(from)
	}
	return 1, nil
}

// writePlain sends datagrams one at a time.
func (c *Conn) writePlain(batch []Packet) (n int, first error) {
	for i := range batch {
		p := &batch[i]
		var err error
		if c.peer.IsValid() {
			_, err = c.udp.Write(p.Buf[:p.N])
		} else {
			_, err = c.udp.WriteToUDPAddrPort(p.Buf[:p.N], p.Addr)
		}
		switch {
		case err == nil:
			n++
			continue
		case first == nil:
			first = err
		}
		if errors.Is(err, net.ErrClosed) || isTimeout(err) {
			break
		}
	}
	return n, first
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// network chooses the family by the address: only the unspecified IPv6 address means both.
func network(a netip.Addr) string {
	switch {
	case a.Unmap().Is4():
		return "udp4"
	case a.IsUnspecified():
		return "udp"
	}
	return "udp6"
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
