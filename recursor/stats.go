package recursor

import "sync/atomic"

// Stats counts what a Recursor did since it was made.
type Stats struct {
	Questions  uint64 // put by clients
	Hits       uint64 // look-ups, of delegations too, that the cache answered
	Negative   uint64 // of these, with a remembered absence
	Misses     uint64 // look-ups that it did not
	Coalesced  uint64 // of these, the ones that waited for another's
	Upstream   uint64 // questions to other nodes
	Unanswered uint64 // of these, without a usable answer
	Absences   uint64 // look-ups that found that there is no record
	Failures   uint64 // look-ups that failed
	Bogus      uint64 // of these, because signatures did not hold
	Rejected   uint64 // single answers whose signatures did not hold
	Stale      uint64 // answers served past their time
	Prefetches uint64 // answers fetched anew before their end
	Entries    int    // answers in the cache now
	Bytes      uint64 // memory they take, about
	Pending    int    // look-ups under way now
	Servers    int    // servers whose speed is known
}

type counters struct {
	quick atomic.Uint64 // questions that AppendPublic answered; alone in its cache line, since it is counted most
	_     [56]byte

	questions, hits, negative, misses, coalesced, upstream, unanswered atomic.Uint64
	absences, failures, bogus, rejected, stale, prefetches             atomic.Uint64
}

// Stats is the counts now.
func (r *Recursor) Stats() Stats {
	c := &r.stats
	r.mu.Lock()
	pending := len(r.flights)
	r.mu.Unlock()
	return Stats{
		Questions: c.questions.Load() + c.quick.Load(), Hits: c.hits.Load() + c.quick.Load(), Negative: c.negative.Load(), Misses: c.misses.Load(),
		Coalesced: c.coalesced.Load(), Upstream: c.upstream.Load(), Unanswered: c.unanswered.Load(),
		Absences: c.absences.Load(), Failures: c.failures.Load(), Bogus: c.bogus.Load(), Rejected: c.rejected.Load(),
		Stale: c.stale.Load(), Prefetches: c.prefetches.Load(),
		Entries: r.answers.EstimatedSize(), Bytes: r.answers.WeightedSize(), Pending: pending, Servers: r.servers.count(),
	}
}
