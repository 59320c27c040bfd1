package recursor

import (
	mathrand "math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/fujie-id/fujie/record"
)

// servers is what is known of the machines that were asked: how fast they answer, and which to leave alone for a while.
type servers struct {
	known *otter.Cache[spot, *server]
	lame  *otter.Cache[lameKey, time.Time] // until when a server is not asked about a zone that it does not answer for

	mu   sync.Mutex // guards rand and the fields of every server
	rand *mathrand.Rand
}

// spot is one way into one server.
type spot struct {
	addr  netip.AddrPort
	proto record.Protocol
}

type lameKey struct {
	spot
	zone string
}

type server struct {
	measured bool
	srtt     time.Duration // smoothed round-trip (RFC 6298)
	rttvar   time.Duration
	last     time.Time // when it was last asked
	failed   int       // times in a row
	until    time.Time // until when it is asked only when no other is left
}

const (
	maxServers = 1 << 13
	lameTime   = time.Minute

	unknownRTT = 30 * time.Millisecond // what a server that was never asked is taken for, so that it gets its chance
	firstWait  = 400 * time.Millisecond
	leastWait  = 150 * time.Millisecond
	mostWait   = time.Second
	mostRest   = time.Minute
	exploreOne = 32 // one question in so many goes first to a server picked by lot
	forgetting = 5 * time.Minute
)

func (s *servers) init(rnd *mathrand.Rand) (err error) {
	s.rand = rnd
	if s.known, err = otter.New(&otter.Options[spot, *server]{MaximumSize: maxServers}); err != nil {
		return err
	}
	s.lame, err = otter.New(&otter.Options[lameKey, time.Time]{MaximumSize: maxServers})
	return err
}

func (s *servers) count() int { return s.known.EstimatedSize() }

func at(e record.Endpoint) spot { return spot{e.Addr, e.Protocol} }

func (s *servers) get(p spot) *server {
	v, _ := s.known.ComputeIfAbsent(p, func() (*server, bool) { return new(server), false })
	return v
}

// score is the time that an answer is expected to take. An old measurement counts for less and less, so that a server
// that was slow once is tried again. resting tells that it failed of late.
func (s *servers) score(p spot, now time.Time) (score time.Duration, resting bool) {
	v, ok := s.known.GetIfPresent(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	lot := time.Duration(s.rand.Int64N(int64(unknownRTT)))
	if !ok || !v.measured {
		return lot, ok && now.Before(v.until)
	}
	score = v.srtt
	for age := now.Sub(v.last); age > forgetting && score > unknownRTT; age -= forgetting {
		score /= 2
	}
	// Servers about equally near share the load.
	return score + score*lot/(4*unknownRTT), now.Before(v.until)
}

// explore tells, now and then, to take a server by lot from n.
func (s *servers) explore(n int) int {
	if n < 2 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rand.IntN(exploreOne) != 0 {
		return 0
	}
	return s.rand.IntN(n)
}

// patience is how long to wait for a server before another is asked too.
func (s *servers) patience(p spot) time.Duration {
	v, ok := s.known.GetIfPresent(p)
	if !ok {
		return firstWait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !v.measured {
		return firstWait
	}
	return min(max(v.srtt+4*v.rttvar, leastWait), mostWait)
}

// heard notes an answer, of whatever kind, that took rtt.
func (s *servers) heard(p spot, rtt time.Duration, now time.Time) {
	v := s.get(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.last, v.failed, v.until = now, 0, time.Time{}
	if !v.measured {
		v.measured, v.srtt, v.rttvar = true, rtt, rtt/2
		return
	}
	v.rttvar += ((v.srtt - rtt).Abs() - v.rttvar) / 4
	v.srtt += (rtt - v.srtt) / 8
}

// late notes that the server took longer than waited, and was not waited for any further.
func (s *servers) late(p spot, waited time.Duration, now time.Time) {
	v := s.get(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.last = now
	if !v.measured {
		v.measured, v.srtt, v.rttvar = true, waited, waited/2
	} else if waited > v.srtt {
		v.srtt += (waited - v.srtt) / 2
	}
}

// silent notes that nothing usable came. The server rests for a second, doubled each time, a minute at most.
func (s *servers) silent(p spot, now time.Time) {
	v := s.get(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.last = now
	v.until = now.Add(min(mostRest, time.Second<<min(v.failed, 10)))
	v.failed++
}

func (s *servers) isLame(p spot, zone string, now time.Time) bool {
	until, ok := s.lame.GetIfPresent(lameKey{p, zone})
	return ok && now.Before(until)
}

func (s *servers) setLame(p spot, zone string, now time.Time) {
	s.lame.Set(lameKey{p, zone}, now.Add(lameTime))
}

// shuffle puts the equal in random order.
func (s *servers) shuffle(n int, swap func(i, j int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rand.Shuffle(n, swap)
}
