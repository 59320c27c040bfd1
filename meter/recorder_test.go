package meter

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBuckets: every time lies in its bucket, and buckets are in order.
func TestBuckets(t *testing.T) {
	for i := 1; i < buckets; i++ {
		if floorOf(i) < floorOf(i-1) {
			t.Fatalf("bucket %d begins at %d, the one before at %d", i, floorOf(i), floorOf(i-1))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Uint64Range(0, maxTook).Draw(t, "us")
		i := bucketOf(us)
		if floorOf(i) > us || i+1 < buckets && us >= floorOf(i+1) && floorOf(i+1) > floorOf(i) {
			t.Fatalf("%d µs is in bucket %d, from %d to %d", us, i, floorOf(i), floorOf(i+1))
		}
	})
}

// TestRecorder: nothing that is recorded by many at once is lost, while somebody takes what there is.
func TestRecorder(t *testing.T) {
	r := NewRecorder()
	r.SetPrefixes([]string{"88.118", "88.118.1001"})
	r.second.Store(3661)
	const each, workers = 5000, 8
	stop := make(chan struct{})
	var sum Latencies
	asked := map[string]*Asked{}
	var others uint64
	add := func(got taken) {
		sum.merge(got.Resolve)
		others += got.Others
		for name, a := range got.Prefixes {
			if asked[name] == nil {
				asked[name] = &Asked{Sources: map[string]uint64{}}
			}
			asked[name].Requests += a.Requests
			asked[name].Successes += a.Successes
			for ip, n := range a.Sources {
				asked[name].Sources[ip] += n
			}
		}
	}
	var wg, taker sync.WaitGroup
	taker.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				add(r.take())
			}
		}
	})
	names := []string{"88.118.1001/a", "88.118.1001.7/b", "88.118.2/c", "88.9/d"}
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				r.Resolved([]byte(names[i%4]), netip.AddrFrom4([4]byte{192, 0, 2, byte(w)}), time.Duration(i+1)*time.Microsecond, i%2 == 0)
			}
		})
	}
	wg.Wait()
	close(stop)
	taker.Wait()
	add(r.take())
	add(r.take())
	const n = each * workers
	if sum.Count != n || sum.OK != n/2 || sum.Max != each || sum.Min != 1 || sum.MaxAt != 3661 {
		t.Errorf("%+v", sum)
	}
	if p := sum.Quantile(0.5); p < each/2*3/4 || p > each/2*5/4 {
		t.Errorf("the median of 1 to %d is %d", each, p)
	}
	for name, want := range map[string]uint64{"88.118.1001": n / 2, "88.118": n / 4, "": n / 4} {
		if asked[name] == nil || asked[name].Requests != want {
			t.Errorf("%q: %+v", name, asked[name])
		}
	}
	var bySource uint64
	for _, a := range asked {
		for _, c := range a.Sources {
			bySource += c
		}
	}
	// An address that was being written while the table was taken may be counted late, never twice.
	if len(asked["88.118"].Sources) != workers || bySource+others > n || bySource+others < n-workers*10 {
		t.Errorf("%d of %d by source, %d others", bySource, n, others)
	}
}

// TestCrowdOfSources: more addresses than there is room for are counted as others.
func TestCrowdOfSources(t *testing.T) {
	r := NewRecorder()
	n := 3 * sourceSlots * len(r.shards)
	for i := range n {
		r.ResolvedName("88.9/d", netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), time.Millisecond, true)
	}
	r.take()
	got := r.take()
	var sum uint64
	for _, c := range got.Prefixes[""].Sources {
		sum += c
	}
	if sum+got.Others != uint64(n) || got.Others == 0 {
		t.Errorf("%d by source and %d others of %d", sum, got.Others, n)
	}
	if r.take(); len(r.take().Prefixes) != 0 {
		t.Error("what was taken is there still")
	}
}

func TestRecordsWithoutAllocating(t *testing.T) {
	r := NewRecorder()
	r.SetPrefixes([]string{"88.118"})
	name, from := []byte("88.118.7/x"), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(1000, func() { r.Resolved(name, from, time.Millisecond, true); r.Registered(3, time.Second, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var none *Recorder
	none.Resolved(name, from, time.Millisecond, true)
}

func TestSetPrefixesKeepsCounts(t *testing.T) {
	r := NewRecorder()
	r.SetPrefixes([]string{"88.118"})
	r.ResolvedName("88.118/x", netip.Addr{}, 0, true)
	r.SetPrefixes([]string{"88.118", "88.119"})
	if got := r.take(); got.Prefixes["88.118"].Requests != 1 {
		t.Errorf("%+v", got.Prefixes["88.118"])
	}
}

func BenchmarkResolved(b *testing.B) {
	r := NewRecorder()
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("88.118.%d", i))
	}
	r.SetPrefixes(list)
	name, from := []byte("88.118.77/ENG-42"), netip.MustParseAddr("192.0.2.7")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Resolved(name, from, 3*time.Microsecond, true)
		}
	})
}
