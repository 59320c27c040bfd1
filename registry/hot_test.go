package registry

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestHotAgainstMap: what is kept is always what was put last, through evictions and moves.
func TestHotAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHot(rapid.SampledFrom([]int64{8 << 10, 40 << 10, 3 << 20}).Draw(t, "budget"))
		want := map[string]string{}
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for i := range 3000 {
			key := "key" + strconv.Itoa(rnd.IntN(300))
			switch rnd.IntN(8) {
			case 0:
				h.forget([]byte(key))
				delete(want, key)
			case 1, 2, 3:
				st := h.stamp([]byte(key))
				value := fmt.Sprint(i, string(make([]byte, rnd.IntN(400))))
				if rnd.IntN(10) == 0 {
					h.forget([]byte(key)) // between the look and the fill
					delete(want, key)
					h.put(st, []byte(key), []byte(value), 1, 0)
					break
				}
				h.put(st, []byte(key), []byte(value), 7, 0)
				want[key] = value
			default:
				got, expires, ok := h.get(nil, []byte(key), 100)
				if ok && (string(got) != want[key] || expires != 107) {
					t.Fatalf("%s: got %q until %d, want %q", key, got, expires, want[key])
				}
			}
			if rnd.IntN(1000) == 0 {
				h.forgetAll()
				clear(want)
			}
		}
		if _, _, ok := h.get(nil, []byte("never put"), 0); ok {
			t.Fatal("found what was never put")
		}
	})
}

// TestHotKeepsWhatIsWanted: a scan over many keys does not drive out the few that are asked for all the time.
func TestHotKeepsWhatIsWanted(t *testing.T) {
	h := newHot(1 << 20)
	value := make([]byte, 200)
	put := func(i int) {
		k := binary.BigEndian.AppendUint64(nil, uint64(i))
		h.put(h.stamp(k), k, value, 1, 0)
	}
	for i := range 100 {
		put(i)
	}
	for i := 100; i < 50_000; i++ {
		put(i)
		h.get(nil, binary.BigEndian.AppendUint64(nil, uint64(i%100)), 0)
	}
	kept := 0
	for i := range 100 {
		if _, _, ok := h.get(nil, binary.BigEndian.AppendUint64(nil, uint64(i)), 0); ok {
			kept++
		}
	}
	if kept < 100 {
		t.Fatalf("only %d of 100 wanted keys are left", kept)
	}
}

// TestReadYourWrite: readers fill and writers change at the same time; nobody ever sees less than what was acknowledged
// before they asked.
func TestReadYourWrite(t *testing.T) {
	for _, hot := range []int64{1 << 20, 9 << 10} {
		r := enterprise(t, Config{HotBytes: hot})
		const keys = 6
		var acked [keys]atomic.Int64
		name := func(k int) string { return fmt.Sprintf("88.118.1001/%d", k) }
		for k := range keys {
			must(t, r, admin, create(name(k), text(1, "N", "0")))
		}
		stop := make(chan struct{})
		var readers, writers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				var dst []byte
				for {
					select {
					case <-stop:
						return
					default:
					}
					k := rand.IntN(keys)
					least := acked[k].Load()
					out, _, ok := r.AppendPublic(dst[:0], []byte(name(k)), 0)
					vs, _, err := record.DecodeBlock(out)
					if !ok || err != nil {
						t.Error("not answered", err)
						return
					}
					if n, _ := strconv.ParseInt(string(vs[0].Data), 10, 64); n < least {
						t.Errorf("%s: saw %d after %d was acknowledged", name(k), n, least)
						return
					}
				}
			})
		}
		for w := range 2 {
			writers.Go(func() {
				for i := 1; i <= 400; i++ {
					k := w*keys/2 + i%(keys/2)
					res, err := r.Write(context.Background(), admin, []record.Write{{Op: record.Modify, ID: id.MustParse(name(k)), Values: []record.Value{text(1, "N", strconv.Itoa(i))}}})
					if err != nil || res[0].Err != nil {
						t.Error(err, res)
						return
					}
					acked[k].Store(int64(i))
				}
			})
		}
		writers.Wait()
		close(stop)
		readers.Wait()
	}
}

func TestExpiry(t *testing.T) {
	r := enterprise(t, Config{})
	short, until := text(1, "A", "x"), text(2, "B", "y")
	short.TTL.Seconds = 60
	until.TTL = record.TTL{Absolute: true, Seconds: 1030}
	must(t, r, admin, create("88.118.1001/s", short, text(3, "C", "z")), create("88.118.1001/u", short, until), create("88.118.1001/a", until))
	for range 2 { // from the store, then ready
		for _, c := range []struct {
			name      string
			now, want int64
		}{{"s", 1000, 1060}, {"u", 900, 960}, {"u", 1000, 1030}, {"u", 1100, 1100}, {"a", 0, 1030}, {"a", 2000, 2000}} {
			_, got, ok := r.AppendPublic(nil, []byte("88.118.1001/"+c.name), c.now)
			if !ok || got != c.want {
				t.Errorf("%s at %d: until %d, want %d", c.name, c.now, got, c.want)
			}
		}
	}
}

func TestGroupsOfWrites(t *testing.T) {
	// While the disk holds one group, the callers behind it become one batch.
	s := memory.New()
	r := enterprise(t, Config{Store: s})
	before := s.Faults().Writes()
	release := s.Faults().Stall()
	var wg sync.WaitGroup
	write := func(i int) {
		wg.Go(func() {
			res, err := r.Write(context.Background(), admin, []record.Write{create(fmt.Sprintf("88.118.1001/%d", i), text(1, "URL", "x"))})
			if err != nil || res[0].Err != nil {
				t.Error(err, res)
			}
		})
	}
	write(0)
	if err := s.Faults().Held(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	waiting := func(n int) { // until somebody leads and n are behind them
		for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
			r.writer.mu.Lock()
			queued, busy := len(r.writer.queue), r.writer.busy
			r.writer.mu.Unlock()
			if busy && queued == n {
				return
			}
			if time.Now().After(deadline) {
				release()
				t.Fatalf("%d calls wait, want %d", queued, n)
			}
		}
	}
	write(1)
	waiting(0)
	for i := 2; i <= 20; i++ {
		write(i)
	}
	waiting(19)
	release()
	wg.Wait()
	if n := s.Faults().Writes() - before; n > 4 {
		t.Errorf("21 writes took %d batches", n)
	}
}

func TestGivenUp(t *testing.T) {
	s := memory.New()
	r := enterprise(t, Config{Store: s})
	release := s.Faults().Stall()
	var wg sync.WaitGroup
	wg.Go(func() { r.Write(context.Background(), admin, []record.Write{create("88.118.1001/1")}) })
	if err := s.Faults().Held(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	// One leads the next group and must see it through; those behind may go.
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan error, 5)
	for i := range 5 {
		wg.Go(func() {
			_, err := r.Write(ctx, admin, []record.Write{create(fmt.Sprintf("88.118.1001/g%d", i))})
			results <- err
		})
	}
	cancel()
	release()
	wg.Wait()
	close(results)
	for err := range results {
		if err != nil && kindOf(err) != "canceled" {
			t.Error(err)
		}
	}
	must(t, r, admin, create("88.118.1001/after"))
}
