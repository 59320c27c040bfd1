//go:build !linux

package burst

import (
	"net"
	"net/netip"
	"syscall"
)

// Other systems either do not share a port among sockets or do not spread load among them.
const canShare = false

func share(_, _ string, _ syscall.RawConn) error { return nil }

// batched is never made here: newBatched returns none, and the Conn sends and receives one at a time.
type batched struct{}

func newBatched(*net.UDPConn, netip.AddrPort, bool, Options) (*batched, error) { return nil, nil }

func (*batched) read([]Packet) (int, error)  { return 0, net.ErrClosed }
func (*batched) write([]Packet) (int, error) { return 0, net.ErrClosed }
