package registry

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkHot is batches of look-ups among more answers than the processor's caches hold, with and without a word
// ahead.
func BenchmarkHot(b *testing.B) {
	const n, batch = 1_000_000, 16
	name := func(dst []byte, i int) []byte {
		dst = append(dst[:0], "88.118.1001/ENG-00000000"...)
		for at := len(dst) - 1; i > 0; at, i = at-1, i/10 {
			dst[at] += byte(i % 10)
		}
		return dst
	}
	h := newHot(512 << 20)
	var buf, keyed [64]byte
	value := make([]byte, 120)
	for i := range n {
		key, _ := appendAskedKey(keyed[:0], name(buf[:0], i))
		h.put(h.stamp(key), key, value, 86400, 0)
	}
	dst := make([]byte, 0, 64<<10)
	for _, expect := range []bool{false, true} {
		b.Run(fmt.Sprintf("expected=%v", expect), func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(1, 2))
			ahead := make([][]byte, batch)
			for i := range ahead {
				ahead[i] = make([]byte, 0, 64)
			}
			for i := 0; i < b.N; i += batch {
				for j := range ahead {
					ahead[j] = name(ahead[j], r.IntN(n))
				}
				if expect {
					h.expect(ahead)
				}
				for j := range ahead {
					key, _ := appendAskedKey(keyed[:0], ahead[j])
					if _, _, ok := h.get(dst, key, 1); !ok {
						b.Fatal("gone")
					}
				}
			}
		})
	}
}
