package irp

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// udpWait is what deployed clients wait for the first answer; each further one is waited for that much longer.
const udpWait = 500 * time.Millisecond

// schedule is how long to wait after each sending: 500 ms, 1 s, 1.5 s and so on; when that does not fit into left, the
// same proportions of left.
func schedule(attempts int, left time.Duration) []time.Duration {
	waits := make([]time.Duration, attempts)
	total := time.Duration(0)
	for i := range waits {
		waits[i] = udpWait * time.Duration(i+1)
		total += waits[i]
	}
	if left < total {
		for i := range waits {
			waits[i] = time.Duration(float64(waits[i]) * float64(left) / float64(total))
		}
	}
	return waits
}

// overUDP asks from a port of its own, which nobody can guess, and hears only the address that it asked. It goes to TCP
// when the server says so.
func (c *Client) overUDP(ctx context.Context, q *question, each func(*response) error) error {
	conn, err := c.dial(ctx, "udp", q.at.Addr)
	if err != nil {
		return c.noAnswer(ctx, q.at, err)
	}
	defer conn.Close()
	// Reading does not look at ctx; its end is a deadline that is over.
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	attempts := c.Attempts
	if attempts <= 0 {
		attempts = 3
	}
	left := c.timeout()
	if end, ok := ctx.Deadline(); ok {
		left = time.Until(end)
	}
	buf := make([]byte, 2048)
	var last error
	var parts *reassembler
	for _, wait := range schedule(attempts, left) {
		q.sent++
		if err := sendPackets(conn, q.wire, buf[:0]); err != nil {
			return c.noAnswer(ctx, q.at, err)
		}
		conn.SetReadDeadline(time.Now().Add(wait))
		if ctx.Err() != nil {
			break // it may have ended between setting its deadline and setting ours
		}
		for {
			n, err := conn.Read(buf)
			if err != nil {
				var late net.Error
				if errors.As(err, &late) && late.Timeout() {
					break
				}
				return c.noAnswer(ctx, q.at, err)
			}
			packet := buf[:n]
			e, err := DecodeEnvelope(packet)
			if err != nil {
				last = err
				continue
			}
			if e.Request == q.msg.Request && isHint(&e, packet) {
				return c.insteadOverTCP(ctx, q, each)
			}
			if int(e.Length) > n-envelopeSize {
				if e.Request != q.msg.Request {
					continue
				}
				if parts == nil {
					parts = newReassembler()
				}
				whole, err := parts.add(c.now(), q.at.Addr, &e, packet)
				if err != nil {
					last = err
				}
				if whole == nil {
					continue
				}
				packet = whole
			} else {
				packet = append([]byte(nil), packet...) // the answer keeps parts of it
			}
			r, err := c.take(q, packet)
			switch {
			case errors.Is(err, errOther):
				continue
			case err != nil:
				// It may be forged; the true one may still come.
				last = err
				continue
			case r.Code == TooBusy:
				if err := c.insteadOverTCP(ctx, q, each); !problem.Is(err, problem.Unreachable) {
					return err
				}
			}
			return each(r)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return c.noAnswer(ctx, q.at, last)
}

func (c *Client) insteadOverTCP(ctx context.Context, q *question, each func(*response) error) error {
	tcp := *q
	tcp.at.Protocol = record.TCP
	err := c.overTCP(ctx, &tcp, each)
	q.sent = tcp.sent
	return err
}

// sendPackets sends a message in as many packets as it takes.
func sendPackets(conn net.Conn, msg, buf []byte) error {
	for i := range packets(len(msg)) {
		if _, err := conn.Write(appendPacket(buf[:0], msg, i)); err != nil {
			return err
		}
	}
	return nil
}
