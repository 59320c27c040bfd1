package web

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// bothListener tells HTTP from HTTPS by the first byte of a connection: 22 begins a TLS handshake and no HTTP request.
// Nobody holds up the others by sending nothing: each connection is looked at on its own, for a while.
type bothListener struct {
	net.Listener
	tls     *tls.Config // nil: no HTTPS
	patient time.Duration
	room    chan struct{} // a place for each connection
	ready   chan net.Conn
	failed  chan error
	closed  chan struct{}
	once    sync.Once
	work    sync.WaitGroup
	mu      sync.Mutex
	looking map[net.Conn]struct{}
}

func newBothListener(l net.Listener, c *tls.Config, conns int, patient time.Duration) *bothListener {
	b := &bothListener{Listener: l, tls: c, patient: patient,
		room: make(chan struct{}, conns), ready: make(chan net.Conn), failed: make(chan error, 1), closed: make(chan struct{}),
		looking: map[net.Conn]struct{}{}}
	b.work.Go(b.accept)
	return b
}

func (b *bothListener) accept() {
	for {
		// At the limit no more are taken, and they wait in the kernel's queue.
		select {
		case b.room <- struct{}{}:
		case <-b.closed:
			return
		}
		c, err := b.Listener.Accept()
		if err != nil {
			<-b.room
			b.failed <- err
			return
		}
		b.work.Go(func() { b.look(&conn{Conn: c, room: b.room}) })
	}
}

func (b *bothListener) look(c *conn) {
	b.mu.Lock()
	b.looking[c] = struct{}{}
	b.mu.Unlock()
	c.SetReadDeadline(time.Now().Add(b.patient))
	_, err := c.Conn.Read(c.first[:])
	b.mu.Lock()
	delete(b.looking, c)
	b.mu.Unlock()
	c.SetReadDeadline(time.Time{})
	c.held = true
	isTLS := c.first[0] == 22
	if err != nil || isTLS && b.tls == nil {
		c.Close()
		return
	}
	var out net.Conn = c
	if isTLS {
		out = tls.Server(c, b.tls)
	}
	select {
	case b.ready <- out:
	case <-b.closed:
		c.Close()
	}
}

// Accept is the next connection of which the kind is known: a *tls.Conn for HTTPS.
func (b *bothListener) Accept() (net.Conn, error) {
	select {
	case c := <-b.ready:
		return c, nil
	case err := <-b.failed:
		return nil, err
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

// Close stops accepting and drops connections that have said nothing yet.
func (b *bothListener) Close() error {
	var err error
	b.once.Do(func() {
		close(b.closed)
		err = b.Listener.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		for c := range b.looking {
			c.SetReadDeadline(time.Unix(1, 0))
		}
	})
	return err
}

func (b *bothListener) wait() { b.work.Wait() }

// conn gives back the byte that was looked at, and its place when it is closed.
type conn struct {
	net.Conn
	first [1]byte
	held  bool
	room  chan struct{}
	once  sync.Once
}

func (c *conn) Read(p []byte) (int, error) {
	if c.held && len(p) > 0 {
		c.held = false
		p[0] = c.first[0]
		return 1, nil
	}
	return c.Conn.Read(p)
}

func (c *conn) Close() error {
	c.once.Do(func() { <-c.room })
	return c.Conn.Close()
}
