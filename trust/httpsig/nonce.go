package httpsig

import (
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// replays remembers the signatures that were taken, until they no longer hold by themselves. What is forgotten too early
// could be sent again: so, when it is full, new ones are refused instead.
type replays struct {
	mu      sync.Mutex
	max     int
	count   int
	by      map[string]int    // of each signer, so that one does not fill it for all
	buckets map[int64]*bucket // by the end of life
}

type bucket struct {
	seen map[[16]byte]struct{}
	by   map[string]int
}

// bucketSpan is seconds: whole buckets are forgotten.
const bucketSpan = 16

// add takes the signature id of a signer, which holds until then; taken is false when it was there.
func (m *replays) add(signer string, id [16]byte, until, now time.Time) (taken bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.buckets == nil {
		m.buckets, m.by = map[int64]*bucket{}, map[string]int{}
	}
	at := until.Unix()/bucketSpan + 1
	if b := m.buckets[at]; b != nil {
		if _, ok := b.seen[id]; ok {
			return false, nil
		}
	}
	// There are few buckets: signatures hold for minutes.
	for end, b := range m.buckets {
		if end <= now.Unix()/bucketSpan {
			m.forget(end, b)
		}
	}
	if m.count >= m.max || m.by[signer] >= max(1, m.max/2) {
		return false, problem.New(problem.Busy, "more signed requests came than can be remembered to refuse repeats; try again in a minute, or open a session at /api/sessions",
			"签名请求过多，无法全部记住以防重放；请一分钟后再试，或在 /api/sessions 新建会话")
	}
	b := m.buckets[at]
	if b == nil {
		b = &bucket{seen: map[[16]byte]struct{}{}, by: map[string]int{}}
		m.buckets[at] = b
	}
	b.seen[id] = struct{}{}
	b.by[signer]++
	m.by[signer]++
	m.count++
	return true, nil
}

func (m *replays) forget(end int64, b *bucket) {
	for signer, n := range b.by {
		if m.by[signer] -= n; m.by[signer] <= 0 {
			delete(m.by, signer)
		}
	}
	m.count -= len(b.seen)
	delete(m.buckets, end)
}
