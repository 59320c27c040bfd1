package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/pebble"
)

// TestListWhileItChanges: who reads a list page by page, behind the last name of the page before, gets each identifier that was there all the time exactly once, in order, whatever
// else is registered and removed meanwhile, the name under the cursor among them.
func TestListWhileItChanges(t *testing.T) {
	s, err := pebble.Open(filepath.Join(t.TempDir(), "db"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := enterprise(t, Config{Store: s})
	ctx := context.Background()
	const lasting = 20_000
	name := func(i int) string { return fmt.Sprintf("88.118.1001/N%05d", i) }
	var writes []record.Write
	for i := range lasting {
		writes = append(writes, create(name(i), text(1, "URL", "x")))
		if len(writes) == 2000 {
			must(t, r, admin, writes...)
			writes = writes[:0]
		}
	}
	// Others come and go between them: a batch of each turn, from all over the list and right where somebody reads.
	passing := func(i int) string { return name(i) + "-P" }
	done, begun := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	var mu sync.Mutex
	at := 0 // where somebody reads
	changed := 0
	var changing sync.WaitGroup
	changing.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 2))
		here := map[int]bool{}
		defer begin()
		for {
			select {
			case <-done:
				return
			default:
			}
			mu.Lock()
			near := at
			mu.Unlock()
			var batch []record.Write
			in := map[int]bool{}
			for k := range 200 {
				i := rnd.IntN(lasting)
				if k%2 == 0 {
					i = min(lasting-1, near+rnd.IntN(120))
				}
				if in[i] {
					continue
				}
				in[i] = true
				if here[i] {
					batch = append(batch, record.Write{Op: record.Delete, ID: id.MustParse(passing(i))})
				} else {
					batch = append(batch, create(passing(i), text(1, "URL", "y")))
				}
				here[i] = !here[i]
			}
			res, err := r.Write(ctx, admin, batch)
			if err != nil {
				t.Error(err)
				return
			}
			for k := range res {
				if res[k].Err != nil {
					t.Error(batch[k].Op, batch[k].ID, res[k].Err)
				}
			}
			mu.Lock()
			changed += len(batch)
			mu.Unlock()
			begin()
		}
	})
	<-begun
	var reading sync.WaitGroup
	for _, size := range []int{25, 101, 1000} {
		reading.Go(func() {
			next, passed, last := 0, 0, ""
			for {
				page, err := r.List(ctx, admin, "88.118.1001", last, size)
				if err != nil {
					t.Error(err)
					return
				}
				if len(page) == 0 {
					break
				}
				if len(page) > size || page[0] <= last || !slices.IsSorted(page) {
					t.Errorf("a page of %d behind %s has %d names, from %s on", size, last, len(page), page[0])
					return
				}
				for _, n := range page {
					switch {
					case strings.HasSuffix(n, "-P"):
						passed++
					case n != name(next):
						t.Errorf("by %d: %s comes where %s is due", size, n, name(next))
						return
					default:
						next++
					}
				}
				last = page[len(page)-1]
				mu.Lock()
				at = next
				mu.Unlock()
			}
			if next != lasting {
				t.Errorf("by %d: %d of %d names", size, next, lasting)
			}
			if passed == 0 {
				t.Errorf("by %d: nothing that came meanwhile was seen, so that nothing was tried", size)
			}
		})
	}
	reading.Wait()
	close(done)
	changing.Wait()
	t.Logf("%d changes meanwhile", changed)
}
