package irp

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

const (
	connRead  = 4096     // bytes of a connection's buffer to begin with
	connBurst = 64 << 10 // bytes of the buffer of one that sends many requests at once
	connFlush = 32 << 10 // bytes of answers that are not held back any longer
	connOut   = 64 << 10 // bytes of a buffer for them

	// smallReads in a row make a connection's buffer small again.
	smallReads = 32
	laneDepth  = 256 // requests that wait for their turn
)

// ServeTCP answers on the connections that l accepts (TLS: pass a TLS listener) until ctx is done, then closes l and
// the connections, waits for the requests under way and returns nil. It returns early only with l's error.
//
// Deployed servers close the connection behind every answer, and deployed clients read an answer by its length and
// close it themselves. Here it stays open: for Limits.Idle when the client asked for that (KC) or speaks the Chinese
// dialect, whose clients log a connection in and keep it; for Limits.Linger otherwise. Nobody waits for the server to
// close, so nobody waits longer for that.
//
// Clients may send requests without waiting for answers. Questions are answered as the answers are there, so match
// them by request id; everything else on a connection is done in the order it came, and answered in that order. The
// messages of one answer (CN) stand together.
func (s *Server) ServeTCP(ctx context.Context, l net.Listener) error {
	s.start()
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	wait := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			// Out of descriptors, or a client that went away: both pass.
			if errors.Is(err, net.ErrClosed) {
				return problem.Wrap(err, problem.Unreachable, "tcp %s accepts no connections any more",
					"tcp %s 不再接受连接", l.Addr())
			}
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.Log.Warn("a connection could not be accepted", "error", err)
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
			}
			continue
		}
		wait = 0
		c := newConn(s, nc)
		if !s.admit(c) {
			s.Stats.Refused.Add(1)
			nc.Close()
			continue
		}
		work.Add(1)
		go func() {
			defer work.Done()
			defer s.leave(c)
			c.run(ctx)
		}()
	}
}

// conn is one connection.
type conn struct {
	channel
	s  *Server
	nc net.Conn

	writing sync.Mutex
	broken  bool // a write failed; guarded by writing

	busy   atomic.Int32 // requests under way
	silent atomic.Int64 // since when nothing is under way and nothing came, in milliseconds; 0: something is

	jobs  chan struct{} // a place for each request under way
	lane  chan job      // those that are done in order; nil until the first
	work  sync.WaitGroup
	extra int64 // of the buffer, counted in Server.large
	small int   // reads in a row that brought little

	names [][]byte // room for expect; nil until requests come together
}

// outBuffers are the buffers of answers. A connection has one only while it writes: most are silent.
var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, connOut); return &b }}

// job is one request on the long way.
type job struct {
	e       Envelope
	payload []byte
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, jobs: make(chan struct{}, max(s.Limits.Pipeline, 1))}
	c.proto, c.proven = record.TCP, true
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		c.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	c.silent.Store(s.Now().UnixMilli())
	return c
}

// admit takes a connection in, if need be in the place of the one that is silent for longest.
func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ip := network(c.peer.Addr())
	if s.perIP[ip] >= s.Limits.ConnectionsPerIP && !s.limiter.free(c.peer.Addr()) {
		return false
	}
	if len(s.conns) >= s.Limits.Connections {
		var oldest *conn
		since := s.Now().UnixMilli() - 1000 // who spoke within the last second is at work
		for o := range s.conns {
			if t := o.silent.Load(); t != 0 && t < since {
				oldest, since = o, t
			}
		}
		if oldest == nil {
			return false
		}
		s.Stats.Refused.Add(1)
		oldest.nc.Close()
		s.forget(oldest)
	}
	s.conns[c] = struct{}{}
	s.perIP[ip]++
	s.Stats.Conns.Add(1)
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
}

func (s *Server) forget(c *conn) {
	if _, ok := s.conns[c]; !ok {
		return
	}
	delete(s.conns, c)
	s.Stats.Conns.Add(-1)
	ip := network(c.peer.Addr())
	if s.perIP[ip]--; s.perIP[ip] <= 0 {
		delete(s.perIP, ip)
	}
}

// run reads requests until the connection ends.
func (c *conn) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { c.nc.Close() })
	defer func() {
		// What is under way is still answered, also when the client has closed its side.
		if c.lane != nil {
			close(c.lane)
		}
		c.work.Wait()
		stop()
		cancel()
		c.nc.Close()
		c.s.large.Add(-c.extra)
	}()
	buf := make([]byte, 0, connRead)
	var pooled *[]byte
	var out []byte
	flush := func() error {
		if pooled == nil {
			return nil
		}
		var err error
		if len(out) > 0 {
			err = c.write(out)
		}
		if cap(out) <= 2*connOut {
			*pooled = out[:0]
		}
		outBuffers.Put(pooled)
		pooled, out = nil, nil
		return err
	}
	var begun time.Time // when the message at the buffer's front began to arrive
	for {
		now := c.s.Now()
		v := c.s.view(now)
		used, expected, fast := 0, 0, uint64(0)
		for len(buf)-used >= envelopeSize {
			e, err := DecodeEnvelope(buf[used:])
			if err != nil {
				// Where the next message begins cannot be known.
				c.s.Stats.Malformed.Add(1)
				flush()
				c.write(undecodable(ProtocolError, problem.Say(err, problem.English)))
				return
			}
			total := envelopeSize + int(e.Length)
			if len(buf)-used < total {
				if cap(buf) < total && !c.mayGrow(total) {
					c.s.Stats.Busy.Add(1)
					flush()
					c.write(busy(&e, buf[used:used+envelopeSize], now))
					return
				}
				break
			}
			if used >= expected && c.s.expecter != nil {
				expected = used + c.expect(buf[used:])
			}
			msg := buf[used : used+total]
			used += total
			if total >= envelopeSize+headerSize && Flags(binary.BigEndian.Uint32(msg[envelopeSize+8:]))&KeepConnection != 0 {
				c.keep.Store(true)
			}
			if pooled == nil {
				pooled = outBuffers.Get().(*[]byte)
				out = *pooled
			}
			var ok bool
			if out, ok = appendFast(out, msg, &v); ok {
				fast++
				if c.s.Answered != nil {
					c.s.Answered(askedName(msg), c.peer.Addr(), c.s.Now().Sub(now), true)
				}
				if len(out) >= connFlush && flush() != nil {
					return
				}
				continue
			}
			// The long way may take long, and the answers that are ready should not wait for it.
			if flush() != nil || !c.long(ctx, e, msg[envelopeSize:]) {
				return
			}
		}
		c.s.Stats.Fast.Add(fast)
		if v.chinese {
			c.chinese.Store(true)
		}
		if flush() != nil {
			return
		}
		if used > 0 {
			begun = time.Time{}
		}
		buf = c.room(buf, used)
		if len(buf) > 0 && begun.IsZero() {
			begun = c.s.Now()
		}
		n, err := c.read(ctx, buf[len(buf):cap(buf)], begun)
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
	}
}

// expect tells the Resolver what the next messages in b ask for. It returns how many bytes of them it looked at.
func (c *conn) expect(b []byte) (n int) {
	names := c.names[:0]
	for messages := 0; messages < lookahead && len(b)-n >= envelopeSize; messages++ {
		length := binary.BigEndian.Uint32(b[n+16:])
		if uint64(length) > uint64(len(b)-n-envelopeSize) {
			break
		}
		total := envelopeSize + int(length)
		if messages == 0 && total == len(b) {
			return total // one alone, as most come
		}
		if name := askedName(b[n : n+total]); name != nil {
			if names == nil {
				names = make([][]byte, 0, lookahead)
			}
			names = append(names, name)
		}
		n += total
	}
	if len(names) > 1 {
		c.s.expecter.Expect(names)
	}
	clear(names) // they lie in a buffer that may be let go of
	c.names = names
	return n
}

// mayGrow reports whether the buffer may grow to n bytes. What it takes beyond its first size is counted.
func (c *conn) mayGrow(n int) bool {
	more := int64(n) - connRead - c.extra
	if more <= 0 {
		return true
	}
	if c.s.large.Add(more) > c.s.Limits.Memory {
		c.s.large.Add(-more)
		return false
	}
	c.extra += more
	return true
}

// room moves what is left of the buffer to its front and makes it larger if it is full: it grows as bytes come, not as
// they are announced. Who sends much at once gets a larger one; it shrinks again when little comes.
func (c *conn) room(buf []byte, used int) []byte {
	left := buf[used:]
	if c.small++; used >= connRead/2 {
		c.small = 0
	}
	switch {
	case used > 0 && len(buf) == cap(buf) && cap(buf) < connBurst && c.s.large.Load() < c.s.Limits.Memory/2 && c.mayGrow(connBurst):
		return append(make([]byte, 0, connBurst), left...)
	case len(left) == 0 && cap(buf) > connRead && (cap(buf) > connBurst || c.small > smallReads):
		c.s.large.Add(-c.extra)
		c.extra = 0
		return make([]byte, 0, connRead)
	case used > 0:
		return append(buf[:0], left...)
	case len(buf) == cap(buf):
		// The rest of a message that mayGrow has let in.
		return append(make([]byte, 0, 2*cap(buf)), buf...)
	}
	return buf
}

// read waits for more, no longer than the connection may be silent or a message may take.
func (c *conn) read(ctx context.Context, p []byte, begun time.Time) (int, error) {
	l := &c.s.Limits
	for {
		wait, kept := l.Linger, c.keep.Load() || c.chinese.Load()
		switch {
		case !begun.IsZero():
			wait = l.Read - c.s.Now().Sub(begun)
		case kept:
			wait = l.Idle
		}
		if err := c.nc.SetReadDeadline(time.Now().Add(max(wait, 0))); err != nil {
			return 0, err
		}
		if begun.IsZero() {
			c.silent.Store(c.s.Now().UnixMilli())
		}
		n, err := c.nc.Read(p)
		c.silent.Store(0)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// It waits for us, or the request under way was the one that said to keep the connection.
			if begun.IsZero() && (c.busy.Load() > 0 || !kept && (c.keep.Load() || c.chinese.Load())) && ctx.Err() == nil {
				continue
			}
			c.s.Stats.Dropped.Add(1)
		}
		return 0, err
	}
}

// write sends answers. The first failure, or a client that does not accept them in time, closes the connection.
func (c *conn) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.writeLocked(b)
}

func (c *conn) writeLocked(b []byte) error {
	if c.broken {
		return net.ErrClosed
	}
	err := c.nc.SetWriteDeadline(time.Now().Add(c.s.Limits.Write))
	if err == nil {
		_, err = c.nc.Write(b)
	}
	if err != nil {
		c.broken = true
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.s.Stats.Dropped.Add(1)
		}
		c.nc.Close()
	}
	return err
}

// long hands a request to a worker. It waits for one, and for room for the request, which keeps the client from
// sending more; false when the connection is over.
func (c *conn) long(ctx context.Context, e Envelope, payload []byte) bool {
	select {
	case c.jobs <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if c.s.copies.Acquire(ctx, int64(len(payload))) != nil {
		<-c.jobs
		return false
	}
	c.busy.Add(1)
	j := job{e, append([]byte(nil), payload...)}
	if overtakes(e, payload) {
		c.work.Add(1)
		go func() {
			defer c.work.Done()
			c.do(ctx, j)
		}()
		return true
	}
	if c.lane == nil {
		c.lane = make(chan job, laneDepth)
		c.work.Add(1)
		go func(lane <-chan job) {
			defer c.work.Done()
			c.follow(ctx, lane)
		}(c.lane)
	}
	select {
	case c.lane <- j:
		return true
	case <-ctx.Done():
		c.done(j)
		return false
	}
}

// overtakes reports whether the message changes nothing, so that it need not wait for others.
func overtakes(e Envelope, payload []byte) bool {
	return !e.Encrypted && len(payload) >= 4 && Op(binary.BigEndian.Uint32(payload)) == OpResolution
}

func (c *conn) done(j job) {
	c.busy.Add(-1)
	c.s.copies.Release(int64(len(j.payload)))
	<-c.jobs
}

// do answers one request.
func (c *conn) do(ctx context.Context, j job) {
	defer c.done(j)
	if !c.worker(ctx) {
		return
	}
	defer func() { <-c.s.connWork }()
	emit, let := c.emitter()
	defer let()
	c.gone(c.s.serve(ctx, &c.channel, j.e, j.payload, emit))
}

// worker waits for leave to work; whoever got it gives it back to connWork.
func (c *conn) worker(ctx context.Context) bool {
	select {
	case c.s.connWork <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// gone closes the connection if err says that its client does not take answers any more.
func (c *conn) gone(err error) {
	if err != nil {
		c.s.Log.Debug("a request was given up", "peer", c.peer, "error", err)
		c.nc.Close()
	}
}

// emitter writes the messages of one answer so that they stand together: from the first that others follow, nobody
// else writes. let ends that whatever happened.
func (c *conn) emitter() (emit emitter, let func()) {
	held := false
	emit = func(msg []byte, more bool) error {
		if !held {
			c.writing.Lock()
			held = true
		}
		err := c.writeLocked(msg)
		if !more {
			c.writing.Unlock()
			held = false
		}
		return err
	}
	return emit, func() {
		if held {
			c.writing.Unlock()
		}
	}
}
