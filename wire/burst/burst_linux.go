package burst

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	canShare = true
	flagCut  = unix.MSG_TRUNC
)

func isCut(error) bool { return false }

// share lets several sockets of one user have the same port (SO_REUSEPORT, Linux 3.9).
func share(_, _ string, rc syscall.RawConn) error {
	var err error
	if cerr := rc.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); cerr != nil {
		return cerr
	}
	return err
}

// mmsghdr is struct mmsghdr of recvmmsg(2): one message, and the length that was moved. The compiler pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// controlSize is room for one IPV6_PKTINFO and one IP_PKTINFO control message, or one of the two and a UDP_SEGMENT.
const controlSize = 96

// The system cuts one long datagram into at most so many.
const maxSegments = 64

// lane is what one direction of a socket needs for its system call: n messages with their vectors, addresses and
// control bytes, made once, and the closure that the poller calls, bound once, so that a call allocates nothing.
type lane struct {
	msgs    []mmsghdr
	iovs    []unix.Iovec
	names   []unix.RawSockaddrInet6 // large enough for IPv4's too
	control [][controlSize]byte
	call    func(fd uintptr) bool

	// The call's argument and results; the closure has no others.
	want  int
	done  int
	errno syscall.Errno
}

func newLane(n int, withControl bool) lane {
	l := lane{msgs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), names: make([]unix.RawSockaddrInet6, n)}
	if withControl {
		l.control = make([][controlSize]byte, n)
	}
	for i := range l.msgs {
		l.msgs[i].hdr.Iov = &l.iovs[i]
		l.msgs[i].hdr.SetIovlen(1)
	}
	return l
}

// batched moves datagrams by recvmmsg and sendmmsg. The Conn's locks guard the lanes.
type batched struct {
	raw       syscall.RawConn
	v6        bool // the socket's own family
	connected bool
	wildcard  bool // listens on all addresses: ask for, and send from, the one that was asked
	segment   bool // hand like neighbours over as one

	in, out lane

	// The interface of the last link-local sender and its name: they repeat, and finding a name costs.
	zoneID uint32
	zone   string
}

func newBatched(udp *net.UDPConn, local netip.AddrPort, connected bool, o Options) (*batched, error) {
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &batched{raw: raw, connected: connected, wildcard: local.Addr().IsUnspecified(), segment: o.Segment}
	var serr error
	if err := raw.Control(func(fd uintptr) {
		var domain int
		if domain, serr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); serr != nil {
			return
		}
		b.v6 = domain == unix.AF_INET6
		if !b.wildcard {
			return
		}
		if b.v6 {
			// On a socket of both families this also reports IPv4 destinations, as mapped addresses.
			serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	}); err != nil {
		return nil, err
	}
	if serr != nil {
		return nil, os.NewSyscallError("setsockopt", serr)
	}
	if b.segment {
		_ = raw.Control(func(fd uintptr) {
			_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
			b.segment = err == nil
		})
	}
	b.in, b.out = newLane(o.Batch, b.wildcard), newLane(o.Batch, b.wildcard || b.segment)
	b.in.call, b.out.call = b.recvmmsg, b.sendmmsg
	return b, nil
}

// recvmmsg is called by the poller; false means wait until the socket is readable and call again.
func (b *batched) recvmmsg(fd uintptr) bool {
	l := &b.in
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&l.msgs[0])), uintptr(l.want),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			l.done, l.errno = int(n), 0
		default:
			l.done, l.errno = 0, errno
		}
		return true
	}
}

func (b *batched) sendmmsg(fd uintptr) bool {
	l := &b.out
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&l.msgs[0])), uintptr(l.want),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			l.done, l.errno = int(n), 0
		default:
			l.done, l.errno = 0, errno
		}
		return true
	}
}

func (b *batched) read(batch []Packet) (int, error) {
	l := &b.in
	n := min(len(batch), len(l.msgs))
	for i := range n {
		h := &l.msgs[i].hdr
		setBase(&l.iovs[i], batch[i].Buf)
		if !b.connected {
			h.Name = (*byte)(unsafe.Pointer(&l.names[i]))
			h.Namelen = unix.SizeofSockaddrInet6
		}
		if b.wildcard {
			h.Control = &l.control[i][0]
			h.SetControllen(controlSize)
		}
	}
	l.want = n
	if err := b.raw.Read(l.call); err != nil {
		return 0, err
	}
	if l.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", l.errno)
	}
	for i := range l.done {
		m, p := &l.msgs[i], &batch[i]
		p.N = int(m.len)
		p.Cut = m.hdr.Flags&unix.MSG_TRUNC != 0
		p.Addr, p.Local = netip.AddrPort{}, netip.Addr{}
		if !b.connected {
			p.Addr = b.addr(&l.names[i])
		}
		if b.wildcard {
			p.Local = localOf(l.control[i][:min(uint64(m.hdr.Controllen), controlSize)])
		}
	}
	return l.done, nil
}

func (b *batched) write(batch []Packet) (sent int, first error) {
	l := &b.out
	for len(batch) > 0 {
		n := min(len(batch), len(l.msgs))
		for i := range n {
			setBase(&l.iovs[i], batch[i].Buf[:batch[i].N])
		}
		l.want = 0
		for i := 0; i < n; l.want++ {
			run := 1
			if b.segment {
				run = like(batch[i:n])
			}
			b.fill(l.want, i, run, &batch[i])
			i += run
		}
		if err := b.raw.Write(l.call); err != nil {
			return sent, err // closed, or past the deadline
		}
		for m := range l.done {
			run := int(l.msgs[m].hdr.Iovlen)
			sent += run
			batch = batch[run:]
		}
		if l.errno == 0 {
			continue
		}
		// sendmmsg reports an error only when it is the first message's.
		run := int(l.msgs[0].hdr.Iovlen)
		if run > 1 && (l.errno == unix.EIO || l.errno == unix.EINVAL || l.errno == unix.EMSGSIZE) {
			b.segment = false // the way out cannot cut, or not this: as ever, from here on
			continue
		}
		if first == nil {
			first = os.NewSyscallError("sendmmsg", l.errno)
		}
		batch = batch[run:]
	}
	return sent, first
}

// like counts the packets at the start of the batch that can be handed over as one: all of one length, the last
// perhaps shorter, to and from the same addresses.
func like(batch []Packet) int {
	p := &batch[0]
	if p.N == 0 {
		return 1
	}
	most := min(len(batch), maxSegments, MaxDatagram/p.N)
	run := 1
	for run < most {
		q := &batch[run]
		if q.Addr != p.Addr || q.Local != p.Local || q.N > p.N || q.N == 0 {
			break
		}
		run++
		if q.N < p.N {
			break
		}
	}
	return run
}

// fill makes message m of the run of packets that begins at i.
func (b *batched) fill(m, i, run int, p *Packet) {
	l := &b.out
	h := &l.msgs[m].hdr
	h.Iov = &l.iovs[i]
	h.SetIovlen(run)
	h.Name, h.Namelen = nil, 0
	if !b.connected && p.Addr.IsValid() {
		h.Namelen = b.setName(&l.names[m], p.Addr)
		h.Name = (*byte)(unsafe.Pointer(&l.names[m]))
	}
	if l.control == nil {
		return
	}
	control := &l.control[m]
	used := 0
	if b.wildcard {
		used = b.setLocal(control, p.Local)
	}
	if run > 1 {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&control[used]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
		*(*uint16)(unsafe.Pointer(&control[used+unix.CmsgLen(0)])) = uint16(p.N)
		used += unix.CmsgSpace(2)
	}
	h.Control = nil
	if used > 0 {
		h.Control = &control[0]
	}
	h.SetControllen(used)
}

func setBase(v *unix.Iovec, p []byte) {
	v.Base = unsafe.SliceData(p)
	v.SetLen(len(p))
}

// addr reads the sender's address. Ports are in network order in either family, and at the same place.
func (b *batched) addr(name *unix.RawSockaddrInet6) netip.AddrPort {
	if !b.v6 {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(n4.Addr), swapped(n4.Port))
	}
	a := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && a.Is6() {
		a = a.WithZone(b.zoneName(name.Scope_id))
	}
	return netip.AddrPortFrom(a, swapped(name.Port))
}

func (b *batched) setName(name *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	a := to.Addr()
	if !b.v6 {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		*n4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swapped(to.Port())}
		if a = a.Unmap(); a.Is4() {
			n4.Addr = a.As4()
		} else {
			n4.Family = unix.AF_INET6 // the system refuses it, by name, instead of sending it somewhere
		}
		return unix.SizeofSockaddrInet4
	}
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swapped(to.Port()), Addr: a.As16()}
	if z := a.Zone(); z != "" {
		name.Scope_id = scopeOf(z)
	}
	return unix.SizeofSockaddrInet6
}

func (b *batched) zoneName(id uint32) string {
	if b.zone == "" || b.zoneID != id {
		b.zoneID, b.zone = id, strconv.Itoa(int(id))
		if ifi, err := net.InterfaceByIndex(int(id)); err == nil {
			b.zone = ifi.Name
		}
	}
	return b.zone
}

func scopeOf(zone string) uint32 {
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}

// swapped turns a port between host and network order, on hosts of either order.
func swapped(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// localOf finds in control messages the address that a datagram came to.
func localOf(control []byte) netip.Addr {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(control) {
			break
		}
		data := control[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Addr)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr).Unmap()
		}
		next := unix.CmsgSpace(size - unix.CmsgLen(0))
		if next >= len(control) {
			break
		}
		control = control[next:]
	}
	return netip.Addr{}
}

// setLocal writes the control message that makes the system send from a, and returns its size; 0 for no such address.
func (b *batched) setLocal(control *[controlSize]byte, a netip.Addr) int {
	if !a.IsValid() || a.IsMulticast() || (!b.v6 && !a.Unmap().Is4()) {
		return 0
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	data := unsafe.Pointer(&control[unix.CmsgLen(0)])
	if b.v6 {
		c.Level, c.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		c.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
		*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: a.As16()}
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	c.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Spec_dst: a.Unmap().As4()}
	return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
}
