package across

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// clients are HTTP clients by the TLS keys that they take, since connections may be used again only by who knows the same.
type clients struct {
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	limit time.Duration

	mu    sync.Mutex
	open  map[string]*http.Client
	alive map[string]int    // connections by address
	ready map[string]*ready // begun before it was known that they are needed, by address
}

// Bounds: clients kept with their connections, connections begun ahead, and for how long such a one waits for use.
const (
	maxClients = 256
	maxReady   = 64
	readyLife  = 10 * time.Second
)

// ready is a connection whose TLS handshake is made and over which nothing was sent. Whose it is must be checked by who takes it.
type ready struct {
	done chan struct{}
	conn *tls.Conn
	err  error
	stop func() // ends it if nobody takes it
}

func (c *clients) get(pins []string) *http.Client {
	pins = slices.Sorted(slices.Values(pins))
	name := strings.Join(pins, " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.open[name]; h != nil {
		return h
	}
	for k, h := range c.open {
		if len(c.open) < maxClients {
			break
		}
		h.CloseIdleConnections()
		delete(c.open, k)
	}
	h := &http.Client{
		Transport: &http.Transport{DialContext: c.dial, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 256 << 10,
			DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return c.connect(ctx, network, address, pins)
			}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.open == nil {
		c.open = map[string]*http.Client{}
	}
	c.open[name] = h
	return h
}

// connect is a connection to who has one of the keys, or whom the system trusts: one that was begun ahead if there is one.
func (c *clients) connect(ctx context.Context, network, address string, pins []string) (net.Conn, error) {
	c.mu.Lock()
	r := c.ready[address]
	delete(c.ready, address)
	c.mu.Unlock()
	var conn *tls.Conn
	var err error
	if r != nil {
		select {
		case <-r.done:
			conn, err = r.conn, r.err
		case <-ctx.Done():
			r.stop()
			return nil, ctx.Err()
		}
	} else {
		ctx, done := context.WithTimeout(ctx, c.limit)
		defer done()
		conn, err = c.shake(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	if err := proved(conn.ConnectionState(), pins); err != nil {
		conn.Close()
		return nil, err
	}
	c.count(address, 1)
	return &counted{Conn: conn, gone: sync.OnceFunc(func() { c.count(address, -1) })}, nil
}

// shake connects and makes the TLS handshake. Whose the other end is, is not looked at here.
func (c *clients) shake(ctx context.Context, network, address string) (*tls.Conn, error) {
	raw, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		raw.Close()
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, ServerName: host})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// prepare begins a connection that will probably be wanted, unless there is one. Nothing is sent over it before connect has found that it leads to the right one.
func (c *clients) prepare(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alive[address] > 0 || c.ready[address] != nil || len(c.ready) >= maxReady {
		return
	}
	if c.ready == nil {
		c.ready = map[string]*ready{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.limit)
	r := &ready{done: make(chan struct{})}
	unused := time.AfterFunc(c.limit+readyLife, func() { c.drop(address, r) })
	r.stop = func() {
		unused.Stop()
		cancel()
		go func() {
			if <-r.done; r.conn != nil {
				r.conn.Close()
			}
		}()
	}
	c.ready[address] = r
	go func() {
		defer cancel()
		r.conn, r.err = c.shake(ctx, "tcp", address)
		unused.Reset(readyLife)
		close(r.done)
	}()
}

// drop ends a connection that was begun ahead and not wanted.
func (c *clients) drop(address string, r *ready) {
	c.mu.Lock()
	mine := c.ready[address] == r
	if mine {
		delete(c.ready, address)
	}
	c.mu.Unlock()
	if mine {
		r.stop()
	}
}

func (c *clients) count(address string, by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alive == nil {
		c.alive = map[string]int{}
	}
	if c.alive[address] += by; c.alive[address] == 0 {
		delete(c.alive, address)
	}
}

// counted is a connection that tells when it ends.
type counted struct {
	net.Conn
	gone func()
}

func (c *counted) Close() error {
	c.gone()
	return c.Conn.Close()
}

func (c *clients) close() {
	c.mu.Lock()
	open, waiting := c.open, c.ready
	c.open, c.ready = nil, nil
	c.mu.Unlock()
	for _, h := range open {
		h.CloseIdleConnections()
	}
	for _, r := range waiting {
		r.stop()
		<-r.done
	}
}

// proved takes servers with one of the keys, and those whose certificate the system trusts.
func proved(s tls.ConnectionState, pins []string) error {
	leaf := s.PeerCertificates[0]
	if k, err := trust.ParsePublicPEM(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: leaf.RawSubjectPublicKeyInfo})); err == nil {
		for _, p := range pins {
			if subtle.ConstantTimeCompare([]byte(p), []byte(k.Fingerprint())) == 1 {
				return nil
			}
		}
	}
	o := x509.VerifyOptions{DNSName: s.ServerName, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(o); err != nil {
		return problem.Wrap(err, problem.Bogus, "the server shows a key that neither stands in the enterprise's delegation nor is vouched for by an authority that this system trusts",
			"服务器出示的密钥既不在企业的授权记录中，也未经本系统信任的机构签发")
	}
	return nil
}
