package bench

import (
	"math/bits"
	"time"
)

// Histogram counts durations with an error of at most 1/32, in a fixed 15 kB. Its zero value is empty. It is not safe
// for concurrent use: each client has its own, and they are added up in the end.
type Histogram struct {
	counts [buckets]uint64
	n      uint64
	max    time.Duration
}

// A duration below 32 ns has a bucket of its own; above, each power of two is cut into 32 equal parts.
const (
	subBits = 5
	sub     = 1 << subBits
	buckets = (64 - subBits) * sub
)

func bucketOf(ns uint64) int {
	if ns < sub {
		return int(ns)
	}
	shift := bits.Len64(ns) - subBits - 1
	return shift*sub + int(ns>>shift)
}

// lowest is the least duration that falls into bucket i.
func lowest(i int) uint64 {
	if i < sub {
		return uint64(i)
	}
	shift := i/sub - 1
	return uint64(i%sub+sub) << shift
}

// Add counts one duration; a negative one counts as zero.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))]++
	h.n++
	h.max = max(h.max, d)
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.n += other.n
	h.max = max(h.max, other.max)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.n }

// Max is the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the duration that the share q of all (0 to 1) does not exceed, rounded up to its bucket's end; 0 when
// the histogram is empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.n)), h.n-1)
	for i, c := range h.counts {
		if rank < c {
			if i == buckets-1 {
				return h.max
			}
			return min(time.Duration(lowest(i+1)-1), h.max)
		}
		rank -= c
	}
	return h.max
}
