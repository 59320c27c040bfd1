// Package web lets anyone with a browser, a phone or any program that speaks HTTP resolve, register and manage
// identifiers, and shows people a page about what they scanned.
//
// It speaks the JSON interface of Handle.Net 9 (handle-protocol §3), so that deployed clients work unchanged:
//
//	GET, POST  /api/handles/{identifier}      resolve
//	PUT        /api/handles/{identifier}      register or change
//	DELETE     /api/handles/{identifier}      delete
//	GET        /api/handles?prefix=…          list
//	GET        /api/prefixes                  the prefixes answered for; POST and DELETE /api/prefixes/{…} to change them
//	GET        /api/site                      where this service is
//	POST       /api/sessions                  prove once who asks; GET, PUT, DELETE /api/sessions/this
//	GET, POST  /api/verifications/{user}      check a proof by a secret key kept here
//
// and beside it: POST /api/register (many writes in one request), GET /api/feed (what changed), GET /healthz, POST of
// application/x-hdl-message under any path (the Handle protocol in HTTP), GET / (a page to enter a code) and
// GET /{identifier} (a page, a redirect or JSON).
//
// HTTP and HTTPS share one port: the first byte of a connection tells. Whoever reads the network sees what is asked over
// plain HTTP, so nobody can prove who they are there.
package web

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
)

// Server answers HTTP. The zero value of each field but Resolver is usable; what it leaves out is refused as not
// offered here.
type Server struct {
	Resolver  record.Resolver // required; one that is a record.Appender too answers plain questions faster
	Registrar record.Registrar
	Lister    record.Lister
	Feed      record.Feed

	// Auth checks who asks. A *trust.Checker also knows client certificates, passwords and signed requests.
	Auth    record.Authenticator
	Secrets record.SecretFinder // for /api/verifications: the secret keys that are kept here

	// Bearer tells who a token in "Authorization: Bearer" stands for; nil: such tokens are not taken. Errors are those of
	// record.Authenticator.
	Bearer func(ctx context.Context, token string) (record.Identity, error)

	// Cookie names the cookie that may hold such a token for a browser; empty: none does. It counts over HTTPS only, and for
	// what this node's own pages ask only, so that no page of another site, or of another port of this machine, acts as the
	// person in front of it. One that does not hold (any more) is nobody's.
	Cookie string

	// Authorities tells whether the host (with its port, as "node.example:8443", lower case, without the port that goes
	// without saying) is a name of this node: a signed request that was made for another is refused, so that nobody who
	// got one can use it elsewhere. Nil: the addresses of Site and the names in Certificate, at the port that the
	// connection came to or at one that Site tells. Set it behind a proxy that shows other names to the world, and where two
	// nodes may have the same private address.
	Authorities func(host string) bool

	Site   func() *record.Site // what /api/site says
	Tunnel http.Handler        // takes messages of the Handle protocol in POST requests

	// Routes gives the handler of paths that other rooms answer (an office, a log's files); nil for those that are none of
	// theirs. It is asked before everything else, except for /api/handles/.
	Routes func(path string) http.Handler

	// Around is put around all answers, when it is given: a trace of each.
	Around func(http.Handler) http.Handler

	// Answered hears of every answer to a resolution: what was asked, as it was spelled (not to be kept), from where, how
	// long it took here, and whether it was answered: an absence is an answer, a failure is not. It must be quick and
	// safe for concurrent use. Nil: nobody counts.
	Answered func(name []byte, from netip.Addr, took time.Duration, ok bool)

	// Certificate is for HTTPS; without one there is no HTTPS, and so nobody can write. Its key also signs for the
	// server in sessions. Browsers do not take Ed25519 in TLS: for them a P-256 certificate is made beside such a one.
	Certificate tls.Certificate

	Name string // what people see as this node's name

	// Redirect sends browsers on to the address in a record at once, as the proxies of Handle.Net do. Else they get the
	// page, which says what is known of the record and shows the way on.
	Redirect bool

	Limits Limits
	Log    *slog.Logger     // slog.Default when nil; requests are not logged, what goes wrong inside is
	Now    func() time.Time // time.Now when nil
	Rand   io.Reader        // crypto/rand when nil

	once     sync.Once
	appender record.Appender
	sessions sessions
	signed   httpsig.Verifier
	reserved atomic.Int64  // bytes of large signed bodies that are in memory
	proofs   chan struct{} // places for checking proofs, which may take a processor's time
	stop     chan struct{} // closed when the server shuts down
}

// Limits bound what one asker may take. A zero field gets its default.
type Limits struct {
	Body     int64         // bytes of a request that carries one record; 2 MiB
	Bulk     int64         // bytes of a request to /api/register; 64 MiB
	Line     int           // bytes of one line of it; 2 MiB
	Conns    int           // connections at a time; 8192
	Header   time.Duration // from the first byte of a connection or request to the end of the headers; 10 s
	Request  time.Duration // to read a request, and to write an answer; 60 s
	Idle     time.Duration // between the requests of a connection; 120 s
	Wait     time.Duration // how long /api/feed waits for news at most; 55 s
	Sessions int           // sessions that are open at a time; 16384
	Session  time.Duration // how long a session is kept unused; 1 h
}

func (l *Limits) fill() {
	def(&l.Body, 2<<20)
	def(&l.Bulk, 64<<20)
	def(&l.Line, 2<<20)
	def(&l.Conns, 8192)
	def(&l.Header, 10*time.Second)
	def(&l.Request, time.Minute)
	def(&l.Idle, 2*time.Minute)
	def(&l.Wait, 55*time.Second)
	def(&l.Sessions, 16384)
	def(&l.Session, time.Hour)
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (s *Server) start() {
	s.once.Do(func() {
		s.Limits.fill()
		if s.Log == nil {
			s.Log = slog.Default()
		}
		if s.Now == nil {
			s.Now = time.Now
		}
		if s.Rand == nil {
			s.Rand = rand.Reader
		}
		s.appender, _ = s.Resolver.(record.Appender)
		s.sessions.init(s.Limits.Sessions, s.Limits.Session, s.Rand)
		s.signed = httpsig.Verifier{Key: s.keyOf, Now: s.Now, Read: s.signedBody}
		s.signed.Start()
		s.proofs = make(chan struct{}, 2*runtime.GOMAXPROCS(0))
		s.stop = make(chan struct{})
	})
}

// Serve answers on l, HTTP and HTTPS alike, until ctx is done; then it lets running requests end, for a few seconds,
// and returns nil. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.start()
	hs := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.Limits.Header,
		ReadTimeout:       s.Limits.Request,
		WriteTimeout:      s.Limits.Request,
		IdleTimeout:       s.Limits.Idle,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	both := newBothListener(l, s.tlsConfig(), s.Limits.Conns, s.Limits.Header)
	served := make(chan error, 1)
	go func() { served <- hs.Serve(both) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		s.shut()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if hs.Shutdown(grace) != nil {
			hs.Close()
		}
		err = <-served
	}
	both.Close()
	both.wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return problem.Wrap(err, problem.Internal, "the HTTP server stopped", "HTTP 服务已停止")
	}
	return nil
}

// shut wakes those who wait for news.
func (s *Server) shut() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
}

// tlsConfig is nil without a certificate.
func (s *Server) tlsConfig() *tls.Config {
	if len(s.Certificate.Certificate) == 0 {
		return nil
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{s.Certificate},
		// Any client certificate will do: what counts is that its key is one in the user's record.
		ClientAuth: tls.RequestClientCert,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
	}
	if other, ok := s.forBrowsers(); ok {
		c.Certificates = append(c.Certificates, other)
	}
	return c
}

// forBrowsers is a P-256 certificate under the same names, for clients that do not take the node's own.
func (s *Server) forBrowsers() (tls.Certificate, bool) {
	leaf := s.Certificate.Leaf
	if leaf == nil || leaf.PublicKeyAlgorithm.String() != "Ed25519" {
		return tls.Certificate{}, false
	}
	key, err := trust.Generate(trust.P256, s.Rand)
	if err != nil {
		s.Log.Error("no TLS certificate for browsers", "err", err)
		return tls.Certificate{}, false
	}
	names := append([]string{leaf.Subject.CommonName}, leaf.DNSNames...)
	var addrs []netip.Addr
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a)
		}
	}
	now := s.Now()
	cert, err := trust.SelfSigned(key, names, addrs, now, leaf.NotAfter.Sub(now))
	if err != nil {
		s.Log.Error("no TLS certificate for browsers", "err", err)
		return tls.Certificate{}, false
	}
	return cert, true
}

// Handler is the server without its listeners, for those that bring their own.
func (s *Server) Handler() http.Handler {
	s.start()
	if s.Around != nil {
		return s.Around(http.HandlerFunc(s.serve))
	}
	return http.HandlerFunc(s.serve)
}

// Identify finds out who makes a request, for the handlers of Routes: nobody is no error, a proof that does not hold is
// one.
func (s *Server) Identify(r *http.Request) (record.Identity, error) {
	s.start()
	return s.identify(&call{s: s, r: r})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	// No mux: identifiers hold slashes and dots that a mux would clean away.
	path := r.URL.Path
	if name, ok := strings.CutPrefix(path, "/api/handles/"); ok {
		if r.Method == http.MethodGet && s.fast(w, r, name) {
			return
		}
		s.api(w, r, name, s.handles)
		return
	}
	if s.Routes != nil {
		if h := s.Routes(path); h != nil {
			h.ServeHTTP(w, r)
			return
		}
	}
	if s.Tunnel != nil && r.Method == http.MethodPost && isTunnel(r.Header.Get("Content-Type")) {
		s.Tunnel.ServeHTTP(w, r)
		return
	}
	if name, ok := strings.CutPrefix(path, "/api/"); ok {
		s.api(w, r, name, s.other)
		return
	}
	if path == "/healthz" {
		w.Header()["Content-Type"] = jsonType
		io.WriteString(w, `{"status":"ok"}`+"\n")
		return
	}
	s.page(w, r)
}

const tunnelType = "application/x-hdl-message"

func isTunnel(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(t), tunnelType)
}
