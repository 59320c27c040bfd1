package irp

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Server answers the protocol from the doors behind it. Fill the fields, then call ServeUDP, ServeTCP (with a TLS
// listener for TLS) and Tunnel as often as there are interfaces; change nothing afterwards. A nil door makes its
// operations "not supported".
type Server struct {
	Resolver  record.Resolver // if it is a record.Appender too, plain questions take the fast way
	Registrar record.Registrar
	Lister    record.Lister
	Auth      record.Authenticator // nil: nobody can prove who they are
	Secrets   record.SecretFinder  // for other servers' VERIFY_CHALLENGE

	// Site is this server's site information as it is now; it may return nil while there is none.
	Site func() *record.Site
	// Key signs certified answers. nil: they go unsigned.
	Key *trust.PrivateKey
	// SessionKey finds the public key that a session of mode 3 names, in HS_PUBKEY form. nil: mode 3 is refused.
	SessionKey func(context.Context, record.Ref) ([]byte, error)
	// Recursive says that the Resolver asks others: its answers count as authoritative only if they say so, and
	// questions past every cache do not take the fast way.
	Recursive bool

	// UDPAdmin lets changes and lists come over UDP too, which deployed sites do not offer. QueryOnlyTCP and
	// QueryOnlyHTTP refuse them there.
	UDPAdmin, QueryOnlyTCP, QueryOnlyHTTP bool

	// Answered hears of every answer to a resolution: what was asked, as it was spelled (not to be kept), from where, how
	// long it took here, and whether it was answered: an absence is an answer, a failure is not. It must be quick and
	// safe for concurrent use. Nil: nobody counts.
	Answered func(name []byte, from netip.Addr, took time.Duration, ok bool)
	Limits   Limits
	Now      func() time.Time // default time.Now
	Rand     io.Reader        // default the system's
	Log      *slog.Logger     // default: nothing is logged

	// Stats counts what happened since the start.
	Stats Stats

	once       sync.Once
	appender   record.Appender
	expecter   expecter // the appender, if it wants to know what comes
	challenges *challenges
	sessions   *sessions
	limiter    *limiter
	udpWork    chan struct{}       // one for each datagram that takes the long way
	connWork   chan struct{}       // the same for connections
	proofWork  chan struct{}       // one for each proof that is checked, which costs most
	copies     *semaphore.Weighted // bytes of messages from connections that take the long way
	large      atomic.Int64        // bytes of connections' buffers beyond their first size

	mu    sync.Mutex
	conns map[*conn]struct{}
	perIP map[netip.Addr]int
}

// Limits keep one asker from taking what belongs to all. Zero fields get the defaults.
type Limits struct {
	// UDP answers: RateBytes a second (default 131,072) to each /24 of IPv4 and /56 of IPv6, RateBurst at once after
	// silence (default 4 times that); every Slip-th withheld answer (default 2) becomes a hint that makes clients come
	// over TCP. Negative RateBytes switches the limit off, negative Slip the hints. RateNetworks is how many networks
	// are followed (default 65,536, about 2.5 MB).
	RateBytes, RateBurst, Slip, RateNetworks int
	// RateExempt networks are not limited. Default: loopback. An empty list that is not nil exempts nobody.
	RateExempt []netip.Prefix
	// UDPAnswer is the longest answer sent over UDP to networks that are not exempt, in bytes; askers are sent to TCP
	// for longer ones. Default 8,192.
	UDPAnswer int

	// Workers is how many requests that take the long way are worked on at once, for UDP and for connections each;
	// datagrams beyond that are told that the server is busy, connections wait. Default 1,024.
	Workers int
	// Request is the time one request may take. Default 30 s.
	Request time.Duration

	// Connections at once (default 16,384) and from one address (default 1,024; networks of RateExempt: no limit).
	Connections, ConnectionsPerIP int
	// Idle is how long a connection may be silent that asked to be kept (the KC flag) or speaks the Chinese dialect,
	// whose clients keep their connections; Linger is that for all others. Defaults 11 minutes and 10 s.
	Idle, Linger time.Duration
	// Read is how long a message may take to arrive once it has begun, Write how long a client may take to accept what
	// it asked for. Defaults 30 s.
	Read, Write time.Duration
	// Pipeline is how many requests of one connection are worked on at once. Default 256.
	Pipeline int
	// Memory is how many bytes all unfinished long messages of connections may hold. Default 64 MiB.
	Memory int64
}

func or[T int | int64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// loopback is exempt from rate limits unless Limits says otherwise.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func (l Limits) withDefaults() Limits {
	l.RateBytes = or(l.RateBytes, 128<<10)
	l.RateBurst = or(l.RateBurst, 4*l.RateBytes)
	l.Slip = or(l.Slip, 2)
	l.RateNetworks = or(l.RateNetworks, 65536)
	if l.RateExempt == nil {
		l.RateExempt = loopback
	}
	l.UDPAnswer = or(l.UDPAnswer, 8192)
	l.Workers = or(l.Workers, 1024)
	l.Request = or(l.Request, 30*time.Second)
	l.Connections = or(l.Connections, 16384)
	l.ConnectionsPerIP = or(l.ConnectionsPerIP, 1024)
	l.Idle = or(l.Idle, 11*time.Minute)
	l.Linger = or(l.Linger, 10*time.Second)
	l.Read = or(l.Read, 30*time.Second)
	l.Write = or(l.Write, 30*time.Second)
	l.Pipeline = or(l.Pipeline, 256)
	l.Memory = or(l.Memory, 64<<20)
	return l
}

// Stats counts events since the start.
type Stats struct {
	Fast      atomic.Uint64 // answered the fast way
	Slow      atomic.Uint64 // answered the long way
	Malformed atomic.Uint64 // could not be taken apart
	Busy      atomic.Uint64 // turned away for lack of workers
	Withheld  atomic.Uint64 // UDP answers not sent, over the rate of their network
	Hints     atomic.Uint64 // of those, replaced by the hint to come over TCP
	Conns     atomic.Int64  // connections open now
	Refused   atomic.Uint64 // connections not taken, or closed to make room
	Dropped   atomic.Uint64 // connections closed for being slow or silent
	Panics    atomic.Uint64 // requests that ran into a fault of ours
}

func (s *Server) start() {
	s.once.Do(func() {
		s.Limits = s.Limits.withDefaults()
		if s.Now == nil {
			s.Now = time.Now
		}
		if s.Rand == nil {
			s.Rand = rand.Reader
		}
		if s.Log == nil {
			s.Log = slog.New(slog.DiscardHandler)
		}
		s.appender, _ = s.Resolver.(record.Appender)
		s.expecter, _ = s.Resolver.(expecter)
		s.challenges = newChallenges(s.Now, s.Rand)
		s.sessions = newSessions(s.Now, s.Rand)
		l := &s.Limits
		s.limiter = newLimiter(uint32(max(l.RateBytes, 0)), uint32(max(l.RateBurst, 0)), uint32(max(l.Slip, 0)),
			l.RateNetworks, l.RateExempt)
		s.udpWork, s.connWork = make(chan struct{}, l.Workers), make(chan struct{}, l.Workers)
		s.proofWork = make(chan struct{}, 8)
		s.copies = semaphore.NewWeighted(max(l.Memory, 2*(MaxMessage+envelopeSize)))
		s.conns, s.perIP = map[*conn]struct{}{}, map[netip.Addr]int{}
	})
}

func (s *Server) site() *record.Site {
	if s.Site == nil {
		return nil
	}
	return s.Site()
}

// view is what a burst of requests shares: looked up once for all of them.
type view struct {
	now      int64 // seconds since 1970
	serial   uint16
	primary  bool
	appender record.Appender
	past     Flags // flags that forbid the fast way
	chinese  bool  // set when a request was of the Chinese dialect
}

func (s *Server) view(now time.Time) view {
	v := view{now: now.Unix(), serial: UnknownSite, appender: s.appender,
		past: Certified | Encrypt | RequestDigest | Continuous | TrustedQuery | TrustedResult}
	if site := s.site(); site != nil {
		v.serial, v.primary = site.Serial, site.Primary && !s.Recursive
	}
	if s.Recursive {
		v.past |= Authoritative
	}
	return v
}

// stale reports whether an asker with site information serial theirs should get ours anew. Serials go round.
func stale(theirs, ours uint16) bool {
	return theirs != UnknownSite && ours != UnknownSite && int16(theirs-ours) < 0
}
