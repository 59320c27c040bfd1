package irp

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
)

// limiter keeps UDP answers from being used against third parties: a question may name another as its sender, and the
// answer, often longer than the question, goes there. As DNS servers do it (response-rate limiting), each network, a
// /24 of IPv4 or a /56 of IPv6, has a bucket of bytes that its answers empty and time fills. What finds the bucket
// empty is withheld; every slip-th of those is sent as a hint of 20 bytes, shorter than any question, that makes real
// clients come over TCP (see fragment.go), where the sender's address is proven.
//
// A refusal such as SERVER_TOO_BUSY would be the wrong hint: a deployed client takes it as the answer and reports it to
// its user. An incomplete message it takes as lost, tries again and goes on to the site's next interface.
//
// The table has a fixed size and allocates nothing. Networks share a set of four places; the one unused for longest
// makes room.
type limiter struct {
	rate   uint32 // bytes a second for each network
	burst  uint32 // bytes that a network may have at once after silence
	slip   uint32 // every slip-th withheld answer becomes a hint; 0: none
	exempt []netip.Prefix
	seed   maphash.Seed
	mask   uint64
	sets   []limiterSet
}

const setPlaces = 4

type limiterSet struct {
	mu     sync.Mutex
	places [setPlaces]bucket
}

type bucket struct {
	key    uint64 // the network's hash; 0: empty
	used   int64  // milliseconds, when last used
	tokens int64  // bytes; below 0 it is in debt for a long answer
	missed uint32 // answers withheld
}

// verdict on an answer.
type verdict uint8

const (
	send     verdict = iota // it may go
	withhold                // nothing goes
	hint                    // the hint goes in its place
)

// newLimiter makes one that follows up to networks networks. rate 0 makes it let everything pass.
func newLimiter(rate, burst, slip uint32, networks int, exempt []netip.Prefix) *limiter {
	l := &limiter{rate: rate, burst: max(burst, MaxPacket), slip: slip, exempt: exempt, seed: maphash.MakeSeed()}
	if rate == 0 {
		return l
	}
	n := uint64(1)
	for n*setPlaces < uint64(networks) {
		n *= 2
	}
	l.mask, l.sets = n-1, make([]limiterSet, n)
	return l
}

// free reports whether answers to a are not limited.
func (l *limiter) free(a netip.Addr) bool {
	if l.rate == 0 {
		return true
	}
	for _, p := range l.exempt {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// take asks whether an answer of n bytes may go to a, and if so takes them from its network's bucket. An answer may
// go whenever the bucket is not empty, and may leave it in debt; so long answers keep working, each for its price. now
// is in milliseconds.
func (l *limiter) take(a netip.Addr, n int, now int64) verdict {
	if l.free(a) {
		return send
	}
	key := l.key(a)
	set := &l.sets[key&l.mask]
	set.mu.Lock()
	defer set.mu.Unlock()
	b := set.find(key, now, l.burst)
	if gone := now - b.used; gone > 0 {
		b.tokens = min(int64(l.burst), b.tokens+min(gone, 1<<20)*int64(l.rate)/1000)
		b.used = now
	}
	if b.tokens <= 0 {
		b.missed++
		if l.slip > 0 && b.missed%l.slip == 0 {
			return hint
		}
		return withhold
	}
	b.tokens -= int64(n)
	return send
}

func (s *limiterSet) find(key uint64, now int64, burst uint32) *bucket {
	oldest := &s.places[0]
	for i := range s.places {
		b := &s.places[i]
		if b.key == key {
			return b
		}
		if b.key == 0 || oldest.key != 0 && b.used < oldest.used {
			oldest = b
		}
	}
	*oldest = bucket{key: key, used: now, tokens: int64(burst)}
	return oldest
}

// key hashes a's network, with a seed that nobody outside knows, so that nobody can choose networks of one set.
func (l *limiter) key(a netip.Addr) uint64 {
	var room [9]byte
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		copy(room[:], b[:3])
	} else {
		b := a.As16()
		copy(room[1:8], b[:7])
		room[0] = 6
	}
	return l.hash(binary.LittleEndian.Uint64(room[:8])) | 1<<63
}

func (l *limiter) hash(v uint64) uint64 { return maphash.Comparable(l.seed, v) }
