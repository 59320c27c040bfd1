package registry

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// hot keeps answers ready in memory that the garbage collector never looks into: a ring of chunks in each shard, filled
// one behind the other. When the ring is full the oldest chunk is taken again; what was asked for since it was written
// is kept, the rest is dropped, so that a scan over everything does not drive out what is wanted often.
//
// An answer never outlives the record it was made from: whoever fills takes the stamp of the key before reading the
// store, and the fill is dropped if the key was forgotten in between; whoever writes forgets the key after the write took
// effect and before it is acknowledged.
type hot struct {
	seed   maphash.Seed
	shards []hotShard
	stamps [hotStamps]atomic.Uint32
	arenas *arenas
}

type hotShard struct {
	mu     sync.Mutex
	index  []uint64 // tag in the high half, place+1 in the low; 0 is free. A power of two long
	used   int
	chunks [][]byte
	fill   []uint32 // how far each chunk is written
	at     int      // the chunk being written
	limit  int      // chunks at most
	shift  uint8    // a chunk has 1<<shift bytes
	size   int      // the same number

	look atomic.Pointer[[]uint64] // index, for who does not hold mu
}

const (
	hotStamps = 4096
	hotUnit   = 8  // entries begin at multiples of it
	hotHead   = 16 // u16 key length, u8 asked for, u8 free, u32 length, u32 relative TTL, u32 end of life (0: none)
)

func newHot(budget int64) *hot {
	h := &hot{seed: maphash.MakeSeed(), arenas: &arenas{}}
	if budget <= 0 {
		return h
	}
	shards := 1
	for shards < 64 && budget/int64(shards) > 1<<20 {
		shards *= 2
	}
	each := budget / int64(shards) * 15 / 16 // the rest is for the index
	size := 4096
	for size < 256<<10 && each/int64(size) > 16 {
		size *= 2
	}
	h.shards = make([]hotShard, shards)
	for i := range h.shards {
		s := &h.shards[i]
		s.size, s.shift, s.limit = size, uint8(bits.TrailingZeros(uint(size))), max(2, int(each/int64(size)))
		s.setIndex(make([]uint64, 64))
	}
	h.arenas.region = int(min(maxRegion, each*int64(shards)))
	runtime.AddCleanup(h, func(a *arenas) { a.free() }, h.arenas)
	return h
}

// stamp is to be taken before the store is read for a fill.
type stamp struct {
	hash uint64
	seen uint32
}

func (h *hot) hash(key []byte) uint64             { return maphash.Bytes(h.seed, key) }
func (h *hot) shard(hash uint64) *hotShard        { return &h.shards[hash&uint64(len(h.shards)-1)] }
func (h *hot) counter(hash uint64) *atomic.Uint32 { return &h.stamps[hash>>8&(hotStamps-1)] }

func (h *hot) stamp(key []byte) stamp {
	hash := h.hash(key)
	return stamp{hash, h.counter(hash).Load()}
}

// get appends what is kept under key, and the second until which it may be kept.
func (h *hot) get(dst, key []byte, now int64) (out []byte, expires int64, ok bool) {
	if len(h.shards) == 0 {
		return dst, 0, false
	}
	hash := h.hash(key)
	s := h.shard(hash)
	s.mu.Lock()
	_, e := s.find(uint32(hash>>32), key)
	if e == nil {
		s.mu.Unlock()
		return dst, 0, false
	}
	if e[2] == 0 { // what is written has to go back to memory, so only what changes is
		e[2] = 1
	}
	k, n := int(binary.LittleEndian.Uint16(e)), int(binary.LittleEndian.Uint32(e[4:]))
	expires = now + int64(binary.LittleEndian.Uint32(e[8:]))
	if end := int64(binary.LittleEndian.Uint32(e[12:])); end != 0 {
		expires = min(expires, max(now, end))
	}
	dst = append(dst, e[hotHead+k:hotHead+k+n]...)
	s.mu.Unlock()
	runtime.KeepAlive(h) // and with it the memory that was copied from
	return dst, expires, true
}

// put keeps value under key, unless the key was forgotten since st was taken or the value is too large to be worth it.
func (h *hot) put(st stamp, key, value []byte, ttl, end uint32) {
	if len(h.shards) == 0 {
		return
	}
	s := h.shard(st.hash)
	need := (hotHead + len(key) + len(value) + hotUnit - 1) &^ (hotUnit - 1)
	if len(key) >= 1<<16 || need > s.size/4 {
		return
	}
	tag := uint32(st.hash >> 32)
	s.mu.Lock()
	defer runtime.KeepAlive(h)
	defer s.mu.Unlock()
	if h.counter(st.hash).Load() != st.seen {
		return
	}
	if i, e := s.find(tag, key); e != nil {
		s.drop(i)
	}
	if !s.room(h, need) {
		return
	}
	off := int(s.fill[s.at])
	e := s.chunks[s.at][off : off+need]
	binary.LittleEndian.PutUint16(e, uint16(len(key)))
	e[2], e[3] = 0, 0
	binary.LittleEndian.PutUint32(e[4:], uint32(len(value)))
	binary.LittleEndian.PutUint32(e[8:], ttl)
	binary.LittleEndian.PutUint32(e[12:], end)
	copy(e[hotHead:], key)
	copy(e[hotHead+len(key):], value)
	s.fill[s.at] += uint32(need)
	s.insert(uint64(tag)<<32 | uint64((s.at*s.size+off)/hotUnit+1))
}

// forget drops what is kept under key and what is being filled.
func (h *hot) forget(key []byte) {
	if len(h.shards) == 0 {
		return
	}
	hash := h.hash(key)
	s := h.shard(hash)
	s.mu.Lock()
	h.counter(hash).Add(1)
	if i, e := s.find(uint32(hash>>32), key); e != nil {
		s.drop(i)
	}
	s.mu.Unlock()
	runtime.KeepAlive(h)
}

// forgetAll drops everything.
func (h *hot) forgetAll() {
	for i := range h.shards {
		h.shards[i].mu.Lock()
	}
	for i := range h.stamps {
		h.stamps[i].Add(1)
	}
	for i := range h.shards {
		s := &h.shards[i]
		clear(s.index)
		clear(s.fill)
		s.used, s.at = 0, 0
		s.mu.Unlock()
	}
}

// find is the place in the index and the entry of key, nil when there is none.
func (s *hotShard) find(tag uint32, key []byte) (int, []byte) {
	mask := uint32(len(s.index) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		x := s.index[i]
		if x == 0 {
			return 0, nil
		}
		if uint32(x>>32) == tag {
			e := s.entry(uint32(x))
			k := int(binary.LittleEndian.Uint16(e))
			if k == len(key) && bytes.Equal(e[hotHead:hotHead+k], key) {
				return int(i), e
			}
		}
	}
}

func (s *hotShard) entry(place uint32) []byte {
	at := int(place-1) * hotUnit
	return s.chunks[at>>s.shift][at&(s.size-1):]
}

func (s *hotShard) insert(x uint64) {
	if s.used++; s.used > len(s.index)*3/4 {
		old := s.index
		s.setIndex(make([]uint64, 2*len(old)))
		for _, y := range old {
			if y != 0 {
				s.place(y)
			}
		}
	}
	s.place(x)
}

func (s *hotShard) setIndex(index []uint64) {
	s.index = index
	s.look.Store(&index)
}

func (s *hotShard) place(x uint64) {
	mask := uint32(len(s.index) - 1)
	i := uint32(x>>32) & mask
	for s.index[i] != 0 {
		i = (i + 1) & mask
	}
	s.index[i] = x
}

// drop frees place i of the index and closes the gap behind it.
func (s *hotShard) drop(i int) {
	s.used--
	mask := uint32(len(s.index) - 1)
	gap := uint32(i)
	for j := (gap + 1) & mask; s.index[j] != 0; j = (j + 1) & mask {
		home := uint32(s.index[j]>>32) & mask
		if (j-home)&mask >= (j-gap)&mask {
			s.index[gap] = s.index[j]
			gap = j
		}
	}
	s.index[gap] = 0
}

// room makes sure that need bytes fit into the chunk being written.
func (s *hotShard) room(h *hot, need int) bool {
	for range 2 * s.limit {
		if s.at < len(s.chunks) && int(s.fill[s.at])+need <= s.size {
			return true
		}
		if s.at < len(s.chunks) {
			s.at++
		}
		if s.at == len(s.chunks) && s.at < s.limit {
			c := h.arenas.alloc(s.size)
			if c == nil && s.at == 0 {
				return false
			}
			if c != nil {
				s.chunks, s.fill = append(s.chunks, c), append(s.fill, 0)
				continue
			}
			s.limit = s.at // no more memory to be had: live with what there is
		}
		s.at %= len(s.chunks)
		s.sweep(h)
	}
	return false
}

// sweep empties the chunk being written, but for what was asked for since: that moves to its front, up to half of it.
func (s *hotShard) sweep(h *hot) {
	c, end, to := s.chunks[s.at], int(s.fill[s.at]), 0
	base := s.at * s.size
	for off := 0; off < end; {
		e := c[off:]
		k, n := int(binary.LittleEndian.Uint16(e)), int(binary.LittleEndian.Uint32(e[4:]))
		size := (hotHead + k + n + hotUnit - 1) &^ (hotUnit - 1)
		tag := uint32(h.hash(e[hotHead:hotHead+k]) >> 32)
		if i := s.placed(tag, uint32((base+off)/hotUnit+1)); i >= 0 {
			if e[2] != 0 && to+size <= s.size/2 {
				e[2] = 0
				copy(c[to:to+size], c[off:off+size])
				s.index[i] = uint64(tag)<<32 | uint64((base+to)/hotUnit+1)
				to += size
			} else {
				s.drop(i)
			}
		}
		off += size
	}
	s.fill[s.at] = uint32(to)
}

// placed is the place in the index of the entry at place, -1 when it is no longer the one of its key.
func (s *hotShard) placed(tag, place uint32) int {
	mask := uint32(len(s.index) - 1)
	want := uint64(tag)<<32 | uint64(place)
	for i := tag & mask; ; i = (i + 1) & mask {
		switch s.index[i] {
		case 0:
			return -1
		case want:
			return int(i)
		}
	}
}

// arenas are what was taken from the system, in regions that chunks are cut from.
type arenas struct {
	mu     sync.Mutex
	all    [][]byte
	rest   []byte
	region int
}

const maxRegion = 32 << 20

func (a *arenas) alloc(size int) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rest) < size {
		c := takeArena(max(a.region, size))
		if c == nil {
			return nil
		}
		a.all, a.rest = append(a.all, c), c
	}
	c := a.rest[:size:size]
	a.rest = a.rest[size:]
	return c
}

func (a *arenas) free() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.all {
		giveArena(c)
	}
	a.all, a.rest = nil, nil
}
