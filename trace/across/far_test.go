package across_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
)

// far is a network on which everything takes half a round trip to arrive.
type far struct {
	trip time.Duration

	mu        sync.Mutex
	listeners map[string]*farListener
	conns     []*farConn // those that were asked for
}

type farListener struct {
	at     *net.TCPAddr
	calls  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (n *far) listen() net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &farListener{at: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 20000 + len(n.listeners)}, calls: make(chan net.Conn, 16), closed: make(chan struct{})}
	n.listeners[l.at.String()] = l
	return l
}

func (l *farListener) Addr() net.Addr { return l.at }

func (l *farListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *farListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// dial takes a round trip, as a connection's first packets do.
func (n *far) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrNotExist}
	}
	there, back := newLine(n.trip/2), newLine(n.trip/2)
	select {
	case <-time.After(n.trip / 2):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case l.calls <- &farConn{in: there, out: back, here: l.at}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	select {
	case <-time.After(n.trip / 2):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := &farConn{in: back, out: there, here: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}}
	n.mu.Lock()
	n.conns = append(n.conns, c)
	n.mu.Unlock()
	return c, nil
}

// open is how many connections are not closed by who asked for them.
func (n *far) open() (open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.in.mu.Lock()
		if !c.in.shut {
			open++
		}
		c.in.mu.Unlock()
	}
	return open
}

// serveTLS answers at a listener until the server is closed.
func serveTLS(l net.Listener, cert tls.Certificate, h http.Handler) *http.Server {
	s := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}))
	return s
}

// line is one direction of a connection.
type line struct {
	late time.Duration

	mu       sync.Mutex
	queue    []parcel
	ended    bool // by who writes
	shut     bool // by who reads
	deadline time.Time
	news     chan struct{}
}

type parcel struct {
	at   time.Time
	data []byte
}

func newLine(late time.Duration) *line { return &line{late: late, news: make(chan struct{})} }

// change does something to a line, and wakes who reads.
func (l *line) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.news)
	l.news = make(chan struct{})
}

func (l *line) read(p []byte) (int, error) {
	for {
		l.mu.Lock()
		now := time.Now()
		var next time.Time
		switch {
		case l.shut:
			l.mu.Unlock()
			return 0, net.ErrClosed
		case !l.deadline.IsZero() && !now.Before(l.deadline):
			l.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(l.queue) > 0 && !now.Before(l.queue[0].at):
			first := &l.queue[0]
			if first.data == nil {
				l.mu.Unlock()
				return 0, io.EOF
			}
			n := copy(p, first.data)
			if first.data = first.data[n:]; len(first.data) == 0 {
				l.queue = l.queue[1:]
			}
			l.mu.Unlock()
			return n, nil
		case len(l.queue) > 0:
			next = l.queue[0].at
		}
		if !l.deadline.IsZero() && (next.IsZero() || l.deadline.Before(next)) {
			next = l.deadline
		}
		news := l.news
		l.mu.Unlock()
		if next.IsZero() {
			<-news
			continue
		}
		t := time.NewTimer(next.Sub(now))
		select {
		case <-news:
		case <-t.C:
		}
		t.Stop()
	}
}

func (l *line) write(p []byte) (n int, err error) {
	l.change(func() {
		if l.ended || l.shut {
			err = net.ErrClosed
			return
		}
		n = len(p)
		if n > 0 {
			l.queue = append(l.queue, parcel{time.Now().Add(l.late), append([]byte(nil), p...)})
		}
	})
	return n, err
}

// farConn is one end of a connection.
type farConn struct {
	in, out *line
	here    net.Addr
}

func (c *farConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *farConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *farConn) LocalAddr() net.Addr         { return c.here }
func (c *farConn) RemoteAddr() net.Addr        { return c.here }

func (c *farConn) Close() error {
	c.in.change(func() { c.in.shut = true })
	c.out.change(func() {
		if !c.out.ended {
			c.out.ended = true
			c.out.queue = append(c.out.queue, parcel{at: time.Now().Add(c.out.late)})
		}
	})
	return nil
}

func (c *farConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *farConn) SetWriteDeadline(t time.Time) error { return nil }
func (c *farConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.deadline = t })
	return nil
}

// farResolver costs what a recursor does: a round trip for each delegation that it has not come by, and one for the record; who wants the same waits for who asked.
type farResolver struct {
	w    *world
	trip time.Duration

	mu    sync.Mutex
	known map[string]chan struct{} // closed when it is here
}

func newFarResolver(w *world, trip time.Duration, known ...string) *farResolver {
	r := &farResolver{w: w, trip: trip, known: map[string]chan struct{}{}}
	for _, name := range known {
		c := make(chan struct{})
		close(c)
		r.known[id.MustParse(name).String()] = c
	}
	return r
}

func (r *farResolver) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	way := []string{id.Root.String()}
	prefix, delegated := q.ID.Delegated()
	if !delegated {
		prefix = q.ID.Prefix()
	}
	for i := range prefix {
		if prefix[i] == '.' && q.ID != id.Root {
			way = append(way, id.PrefixRecord(prefix[:i]).String())
		}
	}
	if q.ID != id.Root {
		way = append(way, id.PrefixRecord(prefix).String())
	}
	if !delegated {
		way = append(way, q.ID.String())
	}
	for _, name := range way {
		if err := r.have(ctx, name); err != nil {
			return record.Answer{}, err
		}
	}
	return r.w.Resolve(ctx, q)
}

func (r *farResolver) have(ctx context.Context, name string) error {
	r.mu.Lock()
	here, had := r.known[name]
	if !had {
		here = make(chan struct{})
		r.known[name] = here
		time.AfterFunc(r.trip, func() { close(here) })
	}
	r.mu.Unlock()
	select {
	case <-here:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
