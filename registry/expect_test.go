package registry

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
)

// What is expected is answered as ever, and what cannot be asked for does no harm, while entries come and go.
func TestExpect(t *testing.T) {
	h := newHot(1 << 20)
	r := &Registry{hot: h}
	var names, keys [][]byte
	for i := range 3000 {
		name := fmt.Appendf(nil, "88.118.1001/ENG-%d", i)
		key, _ := appendAskedKey(nil, name)
		names, keys = append(names, name), append(keys, key)
	}
	names = append(names, nil, []byte("/"), []byte("88.118.1001"), bytes.Repeat([]byte("x/"), 600))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, key := range keys {
			h.put(h.stamp(key), key, bytes.Repeat([]byte{byte(i)}, i%300), 1, 0)
		}
	})
	wg.Go(func() {
		for range 20 {
			r.Expect(names)
		}
	})
	wg.Wait()
	found := 0
	for i, key := range keys {
		if out, _, ok := h.get(nil, key, 1); ok {
			if found++; !bytes.Equal(out, bytes.Repeat([]byte{byte(i)}, i%300)) {
				t.Fatal(i, out)
			}
		}
	}
	if found == 0 {
		t.Error("nothing was kept")
	}
	if n := testing.AllocsPerRun(20, func() { r.Expect(names) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	(&Registry{hot: newHot(0)}).Expect(names)
}
