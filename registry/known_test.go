package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
)

// TestTwoWriters: two registries on one store take turns, through failures; what each believes to know of names never
// makes it overwrite what the other registered.
func TestTwoWriters(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := memory.New()
		var rs [2]*Registry
		for i := range rs {
			rs[i] = open(t, Config{Store: s, HotBytes: -1})
		}
		must(t, rs[0], operator, home("88.1"), home("88.2"))
		rs[1] = open(t, Config{Store: s, HotBytes: -1})
		m := map[string]string{}
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for step := range 150 {
			r := rs[rnd.IntN(2)]
			fault := rnd.IntN(12)
			next := map[string]string{}
			for k, v := range m {
				next[k] = v
			}
			var ws []record.Write
			var want []string
			for range 1 + rnd.IntN(4) {
				name := fmt.Sprintf("88.%d/%d", 1+rnd.IntN(2), rnd.IntN(25))
				w := create(name, text(1, "N", fmt.Sprint(step)))
				_, there := next[name]
				k := "ok"
				switch rnd.IntN(4) {
				case 0:
					w = record.Write{Op: record.Delete, ID: id.MustParse(name)}
					if delete(next, name); !there {
						k = "not-found"
					}
				case 1:
					w.Overwrite = true
					next[name] = fmt.Sprint(step)
				default:
					if there {
						k = "exists"
					} else {
						next[name] = fmt.Sprint(step)
					}
				}
				ws, want = append(ws, w), append(want, k)
			}
			switch fault {
			case 0:
				s.Faults().Refuse(store.ErrFull)
			case 1:
				s.Faults().Doubt(true)
			case 2:
				s.Faults().Doubt(false)
			}
			res, err := r.Write(context.Background(), operator, ws)
			if err != nil {
				if fault > 2 {
					rt.Fatal(err)
				}
				if fault == 1 {
					m = next
				}
				continue
			}
			for i := range res {
				if k := kindOf(res[i].Err); k != want[i] {
					rt.Fatalf("step %d: %s %s: %s, want %s", step, ws[i].Op, ws[i].ID, k, want[i])
				}
			}
			m = next
			if fault <= 2 { // nothing was written, so that the fault is still to come
				_, _ = s.Apply(context.Background(), &store.Batch{Ops: []store.Op{{Kind: store.OpPut, Key: []byte("z"), Value: []byte("z")}}})
			}
		}
		for _, r := range rs {
			n := map[string]int64{}
			for name, v := range m {
				n[id.MustParse(name).Prefix()]++
				vs, k := resolve(t, r, record.Query{ID: id.MustParse(name)})
				if k != "ok" || string(vs[0].Data) != v {
					rt.Fatalf("%s: %s %s, want %s", name, k, shape(vs), v)
				}
			}
			for p, want := range n {
				if got, err := r.Count(context.Background(), operator, p); got != want || err != nil {
					rt.Fatal(p, got, want, err)
				}
			}
		}
	})
}

// TestTwoWritersAtOnce: of two registries that register the same names at the same time, one wins each.
func TestTwoWritersAtOnce(t *testing.T) {
	s := memory.New()
	var rs [2]*Registry
	rs[0] = open(t, Config{Store: s})
	must(t, rs[0], operator, home("88.1"))
	rs[1] = open(t, Config{Store: s})
	const names, callers = 300, 2
	var won [names]atomic.Int32
	var wg sync.WaitGroup
	for _, r := range rs {
		for range callers {
			wg.Go(func() {
				for i := range names {
					for {
						res, err := r.Write(context.Background(), operator, []record.Write{create(fmt.Sprintf("88.1/%d", i), text(1, "URL", "x"))})
						if kindOf(err) == "busy" {
							continue // too much contention: as told, again
						}
						if err != nil {
							t.Error(err)
							return
						}
						switch kindOf(res[0].Err) {
						case "ok":
							won[i].Add(1)
						case "exists":
						default:
							t.Error(res[0].Err)
						}
						break
					}
				}
			})
		}
	}
	wg.Wait()
	for i := range won {
		if n := won[i].Load(); n != 1 {
			t.Fatalf("name %d was registered %d times", i, n)
		}
	}
	if n, _ := rs[0].Count(context.Background(), operator, "88.1"); n != names {
		t.Fatal(n)
	}
}

// TestKnownNames: what is remembered is never wrong about a name that is there, and hardly ever about one that is not.
func TestKnownNames(t *testing.T) {
	r := enterprise(t, Config{})
	k := &known{}
	v := &view{r: r, ctx: context.Background()}
	key := func(i int) []byte { return appendRecordKey(nil, id.MustParse(fmt.Sprintf("88.118.1001/%d", i))) }
	if g, err := k.guess(v, []byte("88.118.1001"), key(0)); g != nameFree || err != nil {
		t.Fatal(g, err)
	}
	const n = 20_000
	for i := range n {
		k.note(key(i))
	}
	wrong := 0
	for i := range 2 * n {
		g, err := k.guess(v, []byte("88.118.1001"), key(i))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case i < n && g == nameFree:
			t.Fatal("forgot", i)
		case i >= n && g != nameFree:
			wrong++
		}
	}
	if wrong > n/20 {
		t.Errorf("%d of %d free names are taken for taken ones", wrong, n)
	}
}
