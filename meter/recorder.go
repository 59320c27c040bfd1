package meter

import (
	"math/bits"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/id/handle"
)

// Recorder counts what wires answer. Its methods may be called from every goroutine for every answer: they take no lock
// and allocate nothing. A nil Recorder counts nothing.
type Recorder struct {
	shards   []*shard
	near     sync.Pool // of shards: who asks gets the one that his processor used last
	next     atomic.Uint32
	second   atomic.Int64 // of the day in Beijing; Run keeps it
	prefixes atomic.Pointer[map[string]uint32]
	current  atomic.Uint32 // which of the tables of sources is in use

	mu    sync.Mutex // of SetPrefixes, take and Total
	names []string   // by number; 0 are those under no known prefix
	life  total      // what was taken so far
}

// shard is the part of the counts that one processor writes, mostly.
type shard struct {
	resolve, register latencies
	pages             atomic.Pointer[[]*page] // by the upper bits of a prefix's number
	sources           [2]*sources
}

// page is the counts of some prefixes. Pages stay where they are when there come to be more.
type page [pageSize]pair

const pageSize = 256

// latencies are how long things took, in microseconds. Four buckets lie between a power of two and the next.
type latencies struct {
	count, ok, sum atomic.Uint64
	max, min       atomic.Uint64 // microseconds << 20 | second of the day; min is inverted, so that 0 means none
	buckets        [buckets]atomic.Uint64
}

const (
	buckets = 34 * 4
	maxTook = 1<<32 - 1 // microseconds: more than an hour
)

func bucketOf(us uint64) int {
	n := bits.Len64(us)
	if n < 3 {
		return int(us) // 0 to 3, one bucket each
	}
	return min((n-2)*4+int(us>>(n-3)&3), buckets-1)
}

// floorOf is the least number of microseconds in bucket i.
func floorOf(i int) uint64 {
	if i < 4 {
		return uint64(i)
	}
	n := i/4 + 2
	return 1<<(n-1) | uint64(i%4)<<(n-3)
}

func (l *latencies) add(took time.Duration, ok bool, second int64) {
	us := uint64(max(0, min(took.Microseconds(), maxTook)))
	l.count.Add(1)
	if ok {
		l.ok.Add(1)
	}
	l.sum.Add(us)
	l.buckets[bucketOf(us)].Add(1)
	raise(&l.max, us<<20|uint64(second))
	raise(&l.min, (maxTook-us)<<20|uint64(second))
}

// raise makes a at least v by its upper bits.
func raise(a *atomic.Uint64, v uint64) {
	for {
		old := a.Load()
		if old != 0 && old>>20 >= v>>20 || a.CompareAndSwap(old, v) {
			return
		}
	}
}

type pair struct{ requests, successes atomic.Uint64 }

// sources are who asked how often: a table of fixed size. Who finds no place in it counts as others.
type sources struct {
	slots  []slot
	others atomic.Uint64
}

type slot struct {
	state  atomic.Uint32 // 0 free, 1 being taken, 2 taken
	prefix atomic.Uint32
	hi, lo atomic.Uint64
	n      atomic.Uint64
}

const (
	sourceSlots = 1 << 12
	sourceTries = 16
)

// NewRecorder is a Recorder that has counted nothing.
func NewRecorder() *Recorder {
	r := &Recorder{names: []string{""}}
	for range min(runtime.GOMAXPROCS(0), 64) {
		s := &shard{sources: [2]*sources{{slots: make([]slot, sourceSlots)}, {slots: make([]slot, sourceSlots)}}}
		s.pages.Store(&[]*page{new(page)})
		r.shards = append(r.shards, s)
	}
	r.near.New = func() any { return r.shards[r.next.Add(1)%uint32(len(r.shards))] }
	r.prefixes.Store(&map[string]uint32{})
	return r
}

// SetPrefixes says which prefixes are counted apart. Counts of those that stay are kept.
func (r *Recorder) SetPrefixes(prefixes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.prefixes.Load()
	next := make(map[string]uint32, len(prefixes))
	same := true
	for _, name := range prefixes {
		name = handle.Fold(name)
		n, known := old[name]
		if !known {
			same = false
			if i := slices.Index(r.names, name); i > 0 {
				n = uint32(i) // one that was gone
			} else {
				n = uint32(len(r.names))
				r.names = append(r.names, name)
			}
		}
		next[name] = n
	}
	if same && len(next) == len(old) {
		return
	}
	for _, s := range r.shards {
		pages := slices.Clone(*s.pages.Load())
		for len(pages)*pageSize < len(r.names) {
			pages = append(pages, new(page))
		}
		s.pages.Store(&pages)
	}
	r.prefixes.Store(&next)
}

// Resolved counts one answer to a question for name (a handle as it was asked; only its prefix matters): from whom it came,
// how long it took, and whether it was answered: an absence is an answer, a failure is not.
func (r *Recorder) Resolved(name []byte, from netip.Addr, took time.Duration, ok bool) {
	if r != nil {
		resolved(r, name, from, took, ok)
	}
}

// ResolvedName is Resolved for who has a string.
func (r *Recorder) ResolvedName(name string, from netip.Addr, took time.Duration, ok bool) {
	if r != nil {
		resolved(r, name, from, took, ok)
	}
}

func resolved[T string | []byte](r *Recorder, name T, from netip.Addr, took time.Duration, ok bool) {
	s := r.near.Get().(*shard)
	s.resolve.add(took, ok, r.second.Load())
	n := find(r, name)
	p := &(*s.pages.Load())[n/pageSize][n%pageSize]
	p.requests.Add(1)
	if ok {
		p.successes.Add(1)
	}
	s.sources[r.current.Load()&1].add(n, from)
	r.near.Put(s)
}

// Registered counts one batch of n registrations that took so long together.
func (r *Recorder) Registered(n int, took time.Duration, ok bool) {
	if r == nil || n <= 0 {
		return
	}
	s := r.near.Get().(*shard)
	s.register.add(took/time.Duration(n), ok, r.second.Load())
	r.near.Put(s)
}

// find is the number of the nearest known prefix at or above that of name; 0 when there is none.
func find[T string | []byte](r *Recorder, name T) uint32 {
	var buf [64]byte
	n := 0
	for n < len(name) && name[n] != '/' {
		if n == len(buf) {
			return 0
		}
		c := name[n]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		buf[n] = c
		n++
	}
	known := *r.prefixes.Load()
	for n > 0 {
		if p, ok := known[string(buf[:n])]; ok {
			return p
		}
		for n--; n > 0 && buf[n] != '.'; n-- {
		}
	}
	return 0
}

func (s *sources) add(prefix uint32, from netip.Addr) {
	b := from.As16()
	var hi, lo uint64
	for i := range 8 {
		hi, lo = hi<<8|uint64(b[i]), lo<<8|uint64(b[8+i])
	}
	h := hi*0x9e3779b97f4a7c15 ^ lo*0xc2b2ae3d27d4eb4f ^ uint64(prefix)*0x165667b19e3779f9
	h ^= h >> 29
	for i := range uint64(sourceTries) {
		sl := &s.slots[(h+i)%sourceSlots]
		switch sl.state.Load() {
		case 0:
			if !sl.state.CompareAndSwap(0, 1) {
				continue // somebody took it for another; the same one twice is added up when it is read
			}
			sl.hi.Store(hi)
			sl.lo.Store(lo)
			sl.prefix.Store(prefix)
			sl.n.Add(1)
			sl.state.Store(2)
			return
		case 2:
			if sl.lo.Load() == lo && sl.hi.Load() == hi && sl.prefix.Load() == prefix {
				sl.n.Add(1)
				return
			}
		}
	}
	s.others.Add(1)
}

// taken is what was counted since the last time.
type taken struct {
	Resolve, Register Latencies
	Prefixes          map[string]*Asked // "" are those under no known prefix
	Others            uint64
}

// Asked is how often one prefix was asked for, and by whom.
type Asked struct {
	Requests  uint64            `json:"requests,omitempty"`
	Successes uint64            `json:"successes,omitempty"`
	Sources   map[string]uint64 `json:"sources,omitempty"`
}

// Latencies are how long things took: in microseconds, and when of the day in seconds.
type Latencies struct {
	Count, OK, Sum uint64
	Max, Min       uint64
	MaxAt, MinAt   uint32
	Buckets        []uint64 `json:",omitempty"`
}

func (l *Latencies) merge(o Latencies) {
	if o.Count == 0 {
		return
	}
	if l.Count == 0 || o.Max > l.Max {
		l.Max, l.MaxAt = o.Max, o.MaxAt
	}
	if l.Count == 0 || o.Min < l.Min {
		l.Min, l.MinAt = o.Min, o.MinAt
	}
	l.Count, l.OK, l.Sum = l.Count+o.Count, l.OK+o.OK, l.Sum+o.Sum
	if len(l.Buckets) < len(o.Buckets) {
		l.Buckets = append(l.Buckets, make([]uint64, len(o.Buckets)-len(l.Buckets))...)
	}
	for i, n := range o.Buckets {
		l.Buckets[i] += n
	}
}

// Quantile is a time in microseconds that the share q of them did not exceed by more than a quarter; 0 when there are none.
func (l *Latencies) Quantile(q float64) uint64 {
	rank := uint64(q * float64(l.Count))
	for i, n := range l.Buckets {
		if rank < n {
			return floorOf(i)
		}
		rank -= n
	}
	return l.Max
}

func (l *latencies) take(into *Latencies) {
	got := Latencies{Count: l.count.Swap(0), OK: l.ok.Swap(0), Sum: l.sum.Swap(0)}
	if m := l.max.Swap(0); m != 0 {
		got.Max, got.MaxAt = m>>20, uint32(m&(1<<20-1))
	}
	if m := l.min.Swap(0); m != 0 {
		got.Min, got.MinAt = maxTook-m>>20, uint32(m&(1<<20-1))
	}
	last := 0
	all := make([]uint64, buckets)
	for i := range l.buckets {
		if all[i] = l.buckets[i].Swap(0); all[i] != 0 {
			last = i + 1
		}
	}
	got.Buckets = slices.Clip(all[:last])
	into.merge(got)
}

// requests is how many questions there were since the last take.
func (r *Recorder) requests() uint64 {
	var n uint64
	for i := range r.shards {
		n += r.shards[i].resolve.count.Load()
	}
	return n
}

// take returns what was counted since the last take and begins anew. Sources are those of the time before: the table
// in use becomes the one that is read the next time, when nobody writes to it any more.
func (r *Recorder) take() taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := taken{Prefixes: map[string]*Asked{}}
	for i := range r.shards {
		r.shards[i].resolve.take(&out.Resolve)
		r.shards[i].register.take(&out.Register)
	}
	entry := func(number int) *Asked {
		name := ""
		if number < len(r.names) {
			name = r.names[number]
		}
		a := out.Prefixes[name]
		if a == nil {
			a = &Asked{}
			out.Prefixes[name] = a
		}
		return a
	}
	now := r.current.Load() & 1
	for _, s := range r.shards {
		for i, pg := range *s.pages.Load() {
			for k := range pg {
				if n := pg[k].requests.Swap(0); n > 0 {
					entry(i*pageSize + k).Requests += n
				}
				if n := pg[k].successes.Swap(0); n > 0 {
					entry(i*pageSize + k).Successes += n
				}
			}
		}
		old := s.sources[1-now]
		for i := range old.slots {
			sl := &old.slots[i]
			if sl.state.Load() != 2 {
				continue
			}
			var b [16]byte
			hi, lo := sl.hi.Load(), sl.lo.Load()
			for k := range 8 {
				b[7-k], b[15-k] = byte(hi>>(8*k)), byte(lo>>(8*k))
			}
			a := entry(int(sl.prefix.Load()))
			if a.Sources == nil {
				a.Sources = map[string]uint64{}
			}
			a.Sources[netip.AddrFrom16(b).Unmap().String()] += sl.n.Swap(0)
			sl.state.Store(0)
		}
		out.Others += old.others.Swap(0)
	}
	r.current.Store(1 - now)
	r.life.resolve.merge(out.Resolve)
	r.life.register.merge(out.Register)
	for name, a := range out.Prefixes {
		if a.Requests > 0 {
			r.life.of(name).add(a.Requests, a.Successes)
		}
	}
	return out
}

// total is what was counted since the start.
type total struct {
	resolve, register Latencies
	prefixes          map[string]*share
}

type share struct{ requests, successes uint64 }

func (s *share) add(requests, successes uint64) {
	s.requests += requests
	s.successes += successes
}

func (t *total) of(prefix string) *share {
	if t.prefixes == nil {
		t.prefixes = map[string]*share{}
	}
	if t.prefixes[prefix] == nil {
		t.prefixes[prefix] = &share{}
	}
	return t.prefixes[prefix]
}

// see adds what was counted and not taken yet.
func (l *latencies) see(into *Latencies) {
	got := Latencies{Count: l.count.Load(), OK: l.ok.Load(), Sum: l.sum.Load(), Buckets: make([]uint64, buckets)}
	for i := range l.buckets {
		got.Buckets[i] = l.buckets[i].Load()
	}
	into.merge(got)
}

// total is everything since the start, and takes nothing away: the figures only rise.
func (r *Recorder) total() total {
	r.mu.Lock()
	defer r.mu.Unlock()
	var t total
	t.resolve.merge(r.life.resolve)
	t.register.merge(r.life.register)
	for name, s := range r.life.prefixes {
		t.of(name).add(s.requests, s.successes)
	}
	for i := range r.shards {
		r.shards[i].resolve.see(&t.resolve)
		r.shards[i].register.see(&t.register)
		for k, pg := range *r.shards[i].pages.Load() {
			for j := range pg {
				if n := pg[j].requests.Load(); n > 0 {
					name := ""
					if at := k*pageSize + j; at < len(r.names) {
						name = r.names[at]
					}
					t.of(name).add(n, pg[j].successes.Load())
				}
			}
		}
	}
	return t
}

// topSources are the n busiest, busiest first; what is left over is the count of the others.
func topSources(all map[string]uint64, n int) (top []SourceCount, rest uint64) {
	for ip, c := range all {
		top = append(top, SourceCount{IP: ip, Count: c})
	}
	slices.SortFunc(top, func(a, b SourceCount) int {
		if a.Count != b.Count {
			return int(int64(b.Count) - int64(a.Count))
		}
		return strings.Compare(a.IP, b.IP)
	})
	if len(top) > n {
		for _, s := range top[n:] {
			rest += s.Count
		}
		top = top[:n]
	}
	return top, rest
}
