package registry

import (
	"unsafe"
)

// expectAtOnce is how many names are looked ahead for together. What is fetched for more than a few dozen would drive
// itself out of the processor's nearest cache again.
const expectAtOnce = 32

// cacheLine is the least that processors fetch, in bytes.
const cacheLine = 64

// Expect says that AppendPublic is about to be asked for names. Among millions of ready answers each look-up waits
// several times for memory; told of a few dozen names ahead, the processor waits for all of them at once. It changes no
// answer, allocates nothing, and names that are no handles do no harm.
func (r *Registry) Expect(names [][]byte) {
	if len(r.hot.shards) == 0 {
		return
	}
	for len(names) > 1 { // for a single one there is nothing to do meanwhile
		n := min(len(names), expectAtOnce)
		r.hot.expect(names[:n])
		names = names[n:]
	}
}

func (h *hot) expect(names [][]byte) {
	var hashes [expectAtOnce]uint64 // 0: none
	var buf [320]byte
	for i, name := range names {
		if len(name) > 256 {
			continue
		}
		key, ok := appendAskedKey(buf[:0], name)
		if !ok {
			continue
		}
		hash := h.hash(key)
		hashes[i] = hash
		index := *h.shard(hash).look.Load()
		prefetch(unsafe.Pointer(&index[uint32(hash>>32)&uint32(len(index)-1)]))
	}
	for _, hash := range hashes[:len(names)] {
		if hash != 0 {
			h.shard(hash).expect(uint32(hash >> 32))
		}
	}
}

// expect fetches the first entry with the tag: nearly always the right one.
func (s *hotShard) expect(tag uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mask := uint32(len(s.index) - 1)
	for i := tag & mask; s.index[i] != 0; i = (i + 1) & mask {
		if x := s.index[i]; uint32(x>>32) == tag {
			e := s.entry(uint32(x))
			p := unsafe.Pointer(unsafe.SliceData(e))
			prefetch(p)
			for at := cacheLine; at < min(len(e), expectBytes); at += cacheLine {
				prefetch(unsafe.Add(p, at))
			}
			return
		}
	}
}

// expectBytes of an entry are fetched: most are no longer.
const expectBytes = 4 * cacheLine
