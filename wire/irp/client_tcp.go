package irp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// How many answers a connection waits for before another one is opened, if more are allowed.
const fullPipe = 16

// oneShotFor is how long a server is remembered to close its connections after each answer.
const oneShotFor = 10 * time.Minute

// writeTime is how long the system may take no bytes for a connection before it is given up.
const writeTime = 10 * time.Second

// server is what a Client learned of one address, and its TCP connections to it.
//
// Deployed servers close a connection after each answer, whatever the request says, and lose what was sent on it
// meanwhile. So a new server gets one request at a time on each connection; once it has answered a second one on the
// same connection it is proven, and requests are pipelined.
type server struct {
	client *Client
	addr   netip.AddrPort

	mu      sync.Mutex
	conns   []*tcpConn
	open    int // conns and those being dialed
	proven  bool
	oneShot time.Time // until then it is taken to close after each answer
	version Version   // zero, or what it was found to speak
	wake    chan struct{}
	dead    bool
}

// errForgotten says that the Client no longer keeps the server: it was closed, or it made room.
var errForgotten = errors.New("irp: the client is closed")

func (s *server) speaks() Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

func (s *server) speak(v Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = v
}

func (s *server) forgettable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == 0 {
		s.dead = true
	}
	return s.open == 0
}

func (s *server) close() {
	s.mu.Lock()
	s.dead = true
	conns := slices.Clone(s.conns)
	s.mu.Unlock()
	for _, t := range conns {
		t.fail(net.ErrClosed)
		<-t.done
	}
}

// changed tells those who wait for a connection to look again. s.mu is held.
func (s *server) changed() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// tcpConn is one connection, with the answers that are waited for on it. Its lock is the server's.
type tcpConn struct {
	net.Conn
	server *server
	alone  bool // one exchange's own, or if pinned one Admin's
	pinned bool
	done   chan struct{}

	waiting  map[uint32]*waiter
	answered int
	used     time.Time // when the last answer came
	err      error
	idle     *time.Timer

	wmu     sync.Mutex
	pending []byte // to be written by whoever is writing
	spare   []byte
	writing bool
}

// waiter is one request on a connection.
type waiter struct {
	id   uint32
	got  chan []byte   // whole messages
	gone chan struct{} // closed when nobody listens any more
}

func newWaiter(q *question) *waiter {
	return &waiter{id: q.msg.Request, got: make(chan []byte, 8), gone: make(chan struct{})}
}

// conn returns a connection with w registered on it; fresh tells that nothing was sent on it before. For requests that
// must not be lost half-way (safe is false) it returns one of a proven server, or a fresh one.
func (s *server) conn(ctx context.Context, w *waiter, safe, alone bool) (t *tcpConn, fresh bool, err error) {
	for {
		s.mu.Lock()
		if s.dead {
			s.mu.Unlock()
			return nil, false, errForgotten
		}
		if !alone {
			if t := s.pick(safe); t != nil {
				t.wait(w)
				s.mu.Unlock()
				return t, false, nil
			}
		}
		if s.open >= s.client.connections() {
			// An idle connection that will not do makes room.
			for _, t := range s.conns {
				if len(t.waiting) == 0 && t.err == nil && !t.alone {
					s.drop(t, net.ErrClosed)
					break
				}
			}
		}
		if s.open < s.client.connections() {
			s.open++
			s.mu.Unlock()
			t, err := s.dial(ctx, w, alone)
			return t, true, err
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// pick is the connection to use, or nil when another should be opened. s.mu is held.
func (s *server) pick(safe bool) *tcpConn {
	if s.client.now().Before(s.oneShot) {
		return nil
	}
	var best *tcpConn
	for _, t := range s.conns {
		if t.err == nil && !t.alone && (best == nil || len(t.waiting) < len(best.waiting)) {
			best = t
		}
	}
	switch {
	case best == nil:
		return nil
	case !s.proven:
		if len(best.waiting) > 0 || !safe {
			return nil
		}
	case len(best.waiting) >= fullPipe && s.open < s.client.connections():
		return nil
	}
	return best
}

// dial opens a connection; s.open counts it already.
func (s *server) dial(ctx context.Context, w *waiter, alone bool) (*tcpConn, error) {
	raw, err := s.client.dial(ctx, "tcp", s.addr)
	if err == nil && s.client.TLS != nil {
		cfg := s.client.TLS
		if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
			cfg = cfg.Clone()
			cfg.ServerName = s.addr.Addr().String()
		}
		secure := tls.Client(raw, cfg)
		if err = secure.HandshakeContext(ctx); err != nil {
			raw.Close()
		}
		raw = secure
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.dead {
		raw.Close()
		err = errForgotten
	}
	if err != nil {
		s.open--
		s.changed()
		return nil, err
	}
	t := &tcpConn{Conn: raw, server: s, alone: alone, done: make(chan struct{}), waiting: map[uint32]*waiter{}}
	t.wait(w)
	s.conns = append(s.conns, t)
	go t.read()
	return t, nil
}

// wait registers w. s.mu is held.
func (t *tcpConn) wait(w *waiter) {
	t.waiting[w.id] = w
	if t.idle != nil {
		t.idle.Stop()
	}
}

// leave takes w off, and lets the connection rest if it was the last.
func (t *tcpConn) leave(w *waiter) {
	s := t.server
	s.mu.Lock()
	defer s.mu.Unlock()
	close(w.gone)
	if t.waiting[w.id] == w {
		delete(t.waiting, w.id)
	}
	if len(t.waiting) == 0 && t.err == nil {
		switch {
		case t.pinned:
		case t.alone || s.client.now().Before(s.oneShot):
			s.drop(t, net.ErrClosed)
		case t.idle == nil:
			t.idle = time.AfterFunc(s.client.idle(), t.rest)
		default:
			t.idle.Reset(s.client.idle())
		}
	}
	s.changed()
}

// rest closes a connection that nobody used for long.
func (t *tcpConn) rest() {
	s := t.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(t.waiting) == 0 {
		s.drop(t, net.ErrClosed)
	}
}

func (t *tcpConn) fail(err error) {
	t.server.mu.Lock()
	defer t.server.mu.Unlock()
	t.server.drop(t, err)
}

// drop closes t; who waits on it finds out by its done channel. s.mu is held.
func (s *server) drop(t *tcpConn, err error) {
	if t.err != nil {
		return
	}
	t.err = err
	t.Conn.Close()
	if t.idle != nil {
		t.idle.Stop()
	}
	s.open--
	s.conns = slices.DeleteFunc(s.conns, func(o *tcpConn) bool { return o == t })
	s.changed()
}

// read gives out the messages that arrive until the connection ends.
func (t *tcpConn) read() {
	defer close(t.done)
	in := bufio.NewReaderSize(t.Conn, 16<<10)
	for {
		raw, err := readMessage(in)
		if err != nil {
			t.ended(err)
			return
		}
		s := t.server
		id := be32(raw[8:])
		s.mu.Lock()
		w := t.waiting[id]
		if w == nil && id == 1<<32-1 && len(t.waiting) == 1 {
			// The server could not read the request, nor therefore repeat its number.
			for _, w = range t.waiting {
			}
		}
		t.answered++
		t.used = s.client.now()
		if t.answered == 2 && !t.alone {
			s.proven = true
			s.oneShot = time.Time{}
			s.changed()
		}
		s.mu.Unlock()
		if w == nil {
			continue // whoever asked has gone
		}
		select {
		case w.got <- raw:
		case <-w.gone:
		}
	}
}

// ended notes how the connection ended, and learns from it.
func (t *tcpConn) ended(err error) {
	s := t.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.err == nil && t.answered == 1 && !t.alone && s.client.now().Sub(t.used) < 2*time.Second {
		// It closed right behind its first answer.
		s.oneShot = s.client.now().Add(oneShotFor)
		s.proven = false
	}
	s.drop(t, err)
}

// readMessage reads one message with its envelope.
func readMessage(in io.Reader) ([]byte, error) {
	var head [envelopeSize]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	e, err := DecodeEnvelope(head[:])
	if err != nil {
		return nil, err
	}
	raw := make([]byte, envelopeSize+int(e.Length))
	copy(raw, head[:])
	if _, err := io.ReadFull(in, raw[envelopeSize:]); err != nil {
		return nil, err
	}
	return raw, nil
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// write sends b. While one is writing, what others send is put together and goes in one piece behind.
func (t *tcpConn) write(b []byte) {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	t.pending = append(t.pending, b...)
	if t.writing {
		return
	}
	t.writing = true
	for len(t.pending) > 0 {
		out := t.pending
		t.pending = t.spare[:0]
		t.wmu.Unlock()
		t.SetWriteDeadline(time.Now().Add(writeTime))
		_, err := t.Write(out)
		t.wmu.Lock()
		if t.spare = out[:0]; cap(out) > 1<<20 {
			t.spare = nil
		}
		if err != nil {
			t.pending = nil
			t.fail(err)
		}
	}
	t.writing = false
}

// overTCP asks over a kept connection or a new one.
func (c *Client) overTCP(ctx context.Context, q *question, each func(*response) error) error {
	var last error
	for range 3 {
		w := newWaiter(q)
		t, fresh, err := c.server(q.at.Addr).conn(ctx, w, q.safe, q.many)
		if errors.Is(err, errForgotten) {
			continue // it made room for another between the two calls; now it is back
		}
		if err != nil {
			return c.noAnswer(ctx, q.at, err)
		}
		lost, any, err := c.onConn(ctx, t, w, q, each)
		t.leave(w)
		if !lost {
			return err
		}
		last = err
		// A kept connection that ends may have been closed before the request came; a fresh one that ends means that
		// the server does not like it.
		if fresh || any || !q.safe {
			break
		}
	}
	return c.noAnswer(ctx, q.at, last)
}

// onConn sends q on t and hears its answers. lost says that the connection ended before the answer was complete; any
// that a part of it had come.
func (c *Client) onConn(ctx context.Context, t *tcpConn, w *waiter, q *question, each func(*response) error) (lost, any bool, err error) {
	q.sent++
	t.write(q.wire)
	for {
		var raw []byte
		select {
		case raw = <-w.got:
		case <-t.done:
			select {
			case raw = <-w.got: // it came just before the end
			default:
				t.server.mu.Lock()
				err := t.err
				t.server.mu.Unlock()
				if errors.Is(err, io.EOF) {
					err = problem.New(problem.Unreachable, "the connection was closed before the answer came", "连接在应答到达之前被关闭")
				}
				return true, any, err
			}
		case <-ctx.Done():
			return false, any, c.noAnswer(ctx, q.at, ctx.Err())
		}
		r, err := c.take(q, raw)
		if err != nil {
			return false, any, c.unusable(ctx, q.at, err)
		}
		any = true
		if err := each(r); err != nil {
			return false, any, err
		}
		if r.Flags&Continuous == 0 || !q.many {
			return false, any, nil
		}
	}
}

// unusable is the error for an answer that take refuses, where no other can come.
func (c *Client) unusable(ctx context.Context, at record.Endpoint, err error) error {
	switch problem.KindOf(err) {
	case problem.Bogus, problem.SessionFailed, problem.SessionTimeout:
		return err
	}
	return c.noAnswer(ctx, at, err)
}
