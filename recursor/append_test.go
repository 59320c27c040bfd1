package recursor

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// country is a world of four levels whose servers answer at once.
func country(signed bool) *world {
	w := newWorld(trust.Ed25519)
	for i, n := range []string{"R1", "N1", "S1", "E1"} {
		w.addServer(n, fmt.Sprintf("203.0.113.%d", i+1), 0)
	}
	w.addZone("", signed, "R1")
	w.addZone("88", signed, "N1")
	w.addZone("88.118", signed, "S1")
	w.addZone("88.118.1001", signed, "E1")
	w.put("88.118.1001/ENG-42", val(1, "URL", "https://a.example/42"), val(2, "DESC", "a pump"))
	w.put("88.118.1001/ALIAS", val(1, "HS_ALIAS", "88.118.1001/ENG-42"))
	return w
}

func open(t testing.TB, w *world, change func(*Config)) *Recursor {
	c := Config{Ask: w, Hints: w.hints(), Anchors: w.anchors()}
	if change != nil {
		change(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func mustResolve(t testing.TB, r *Recursor, name string) record.Answer {
	a, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse(name), PublicOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAppendPublic(t *testing.T) {
	w := country(true)
	r := open(t, w, nil)
	now := time.Now().Unix()
	name := []byte("88.118.1001/eng-42")
	if out, _, ok := r.AppendPublic([]byte("x"), name, now); ok || string(out) != "x" {
		t.Fatal("an answer out of nothing")
	}
	a := mustResolve(t, r, "88.118.1001/ENG-42")
	out, until, ok := r.AppendPublic([]byte("x"), name, now)
	if !ok || until != a.Expires.Unix() {
		t.Fatal(ok, until, a.Expires.Unix())
	}
	if want := record.AppendBlock([]byte("x"), a.Values); !bytes.Equal(out, want) {
		t.Fatalf("%q, want %q", out, want)
	}
	if string(name) != "88.118.1001/eng-42" {
		t.Fatal("it changed the name")
	}
	for _, odd := range []string{"", "88.118.1001", "88.118.1001/OTHER", "0.NA/88.118.1001x", string(make([]byte, 4096))} {
		if _, _, ok := r.AppendPublic(nil, []byte(odd), now); ok {
			t.Errorf("%.20q answered", odd)
		}
	}
	if _, _, ok := r.AppendPublic(nil, name, until); ok {
		t.Error("answered when the answer had ended")
	}
	mustResolve(t, r, "88.118.1001/ALIAS")
	if _, _, ok := r.AppendPublic(nil, []byte("88.118.1001/ALIAS"), now); ok {
		t.Error("an alias was answered with itself")
	}
	if _, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118.1001/NONE"), PublicOnly: true}); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
	if _, _, ok := r.AppendPublic(nil, []byte("88.118.1001/NONE"), now); ok {
		t.Error("an absence was answered with values")
	}
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(1000, func() { r.AppendPublic(dst, name, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	short := make([]byte, 0, 8)
	if out, _, ok := r.AppendPublic(short, name, now); !ok || !bytes.Equal(out, record.AppendBlock(nil, a.Values)) {
		t.Error("wrong without room")
	}
}

// The fast way, too, has popular answers fetched anew before they end.
func TestAppendPublicPrefetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := country(true)
		v := val(1, "URL", "https://short.example/")
		v.TTL.Seconds = 100
		w.put("88.118.1001/SHORT", v)
		c := Config{Ask: w, Hints: w.hints(), Anchors: w.anchors()}
		r, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		mustResolve(t, r, "88.118.1001/SHORT")
		<-time.After(95 * time.Second)
		w.take()
		for range 3 {
			if _, _, ok := r.AppendPublic(nil, []byte("88.118.1001/SHORT"), time.Now().Unix()); !ok {
				t.Fatal("not answered")
			}
		}
		synctest.Wait()
		if got := w.take(); len(got) != 1 {
			t.Errorf("asked %v", got)
		}
		<-time.After(50 * time.Second)
		if _, until, ok := r.AppendPublic(nil, []byte("88.118.1001/SHORT"), time.Now().Unix()); !ok || until != time.Now().Unix()+50 {
			t.Error("not fetched anew", ok, until-time.Now().Unix())
		}
	})
}

// What the node itself keeps is answered from there, by either way.
type local struct {
	record.Resolver
	record.Appender
}

type localResolver map[string][]record.Value

func (l localResolver) Resolve(_ context.Context, q record.Query) (record.Answer, error) {
	if q.ID.String() == "0.NA/88.118.1001" {
		// As a registry that gave 88.118 away: who keeps it is said to those who may be told.
		if q.NoReferral {
			return record.Answer{}, problem.New(problem.NotFound, "no", "否")
		}
		return record.Answer{Referral: &record.Referral{Prefix: true}}, nil
	}
	if q.ID.Prefix() != "88.118.7" {
		return record.Answer{}, problem.New(problem.NotHere, "no", "否")
	}
	vs, ok := l[q.ID.String()]
	if !ok {
		return record.Answer{}, problem.New(problem.NotFound, "no", "否")
	}
	var out []record.Value
	for _, v := range vs {
		if q.Wants(v.Index, v.Type) {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return record.Answer{}, problem.New(problem.NoValues, "no", "否")
	}
	return record.Answer{Values: out, Primary: true}, nil
}

func (l localResolver) AppendPublic(dst, name []byte, now int64) ([]byte, int64, bool) {
	if vs, ok := l[string(name)]; ok {
		return record.AppendBlock(dst, vs), now + 5, true
	}
	return dst, 0, false
}

func TestLocal(t *testing.T) {
	w := country(true)
	l := localResolver{
		"88.118.7/A":     {val(1, "URL", "https://home.example/")},
		"88.118.7/ALIAS": {val(1, "HS_ALIAS", "88.118.1001/ENG-42")},
	}
	r := open(t, w, func(c *Config) { c.Local = local{l, l} })
	if a := mustResolve(t, r, "88.118.7/A"); string(a.Values[0].Data) != "https://home.example/" || a.Trust != record.Unchecked || a.Expires.IsZero() {
		t.Error(a)
	}
	if _, until, ok := r.AppendPublic(nil, []byte("88.118.7/A"), 100); !ok || until != 105 {
		t.Error(ok, until)
	}
	if got := w.take(); len(got) != 0 {
		t.Error("asked", got)
	}
	if a := mustResolve(t, r, "88.118.7/ALIAS"); string(a.Values[0].Data) != "https://a.example/42" || a.Trust != record.Unchecked {
		t.Error(a)
	}
	a, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118.7/ALIAS"), Types: []string{"URL"}, PublicOnly: true})
	if err != nil || len(a.Values) != 1 {
		t.Error(a, err)
	}
	if _, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118.7/NONE"), PublicOnly: true}); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
	if a := mustResolve(t, r, "88.118.1001/ENG-42"); a.Trust != record.Secure {
		t.Error(a.Trust)
	}
	// What stands below what was given away is looked up, and not taken for missing.
	if a := mustResolve(t, r, "0.NA/88.118.1001"); a.Trust != record.Secure || len(a.Values) == 0 {
		t.Error(a.Trust, a.Values)
	}
}

// However much is asked for, the cache stays within its bounds.
func TestBoundedMemory(t *testing.T) {
	w := country(false)
	const n = 3000
	for i := range n {
		w.put(fmt.Sprintf("88.118.1001/%d", i), val(1, "DESC", string(make([]byte, 1000))))
	}
	r := open(t, w, func(c *Config) { c.CacheBytes = 1 << 20 })
	for i := range n {
		mustResolve(t, r, fmt.Sprintf("88.118.1001/%d", i))
		r.Resolve(context.Background(), record.Query{ID: id.MustParse(fmt.Sprintf("88.118.1001/none-%d", i)), PublicOnly: true})
	}
	r.answers.CleanUp()
	if s := r.Stats(); s.Bytes > 1<<20 || s.Entries == 0 || s.Entries > 2000 {
		t.Errorf("%d entries, %d bytes", s.Entries, s.Bytes)
	}
}

func TestClosed(t *testing.T) {
	w := country(true)
	w.ail("E1", "down")
	r := open(t, w, nil)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse(fmt.Sprintf("88.118.1001/%d", i)), PublicOnly: true})
			if err == nil {
				t.Error("answered")
			}
		})
	}
	for r.Stats().Upstream < 10 {
		runtime.Gosched()
	}
	r.Close()
	wg.Wait()
	if _, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118.1001/X"), PublicOnly: true}); !problem.Is(err, problem.Canceled) {
		t.Error(err)
	}
	if _, err := r.Resolve(context.Background(), record.Query{}); !problem.Is(err, problem.BadID) {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}); !problem.Is(err, problem.BadRequest) {
		t.Error(err)
	}
	if _, err := New(Config{Ask: country(true)}); !problem.Is(err, problem.BadRequest) {
		t.Error(err)
	}
}

// Many clients at once, with faults that come and go: meant for the race detector.
func TestCrowd(t *testing.T) {
	w := country(true)
	for i := range 50 {
		v := val(1, "URL", fmt.Sprintf("https://a.example/%d", i))
		v.TTL.Seconds = uint32(i % 3)
		w.put(fmt.Sprintf("88.118.1001/%d", i), v)
	}
	r := open(t, w, nil)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			dst := make([]byte, 0, 4096)
			for i := range 200 {
				n := fmt.Sprintf("88.118.1001/%d", (i*7+g)%60)
				a, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse(n), PublicOnly: true, Trace: i%5 == 0})
				if (i*7+g)%60 < 50 {
					if err != nil || a.Trust != record.Secure {
						t.Error(n, err)
					}
				} else if !problem.Is(err, problem.NotFound) {
					t.Error(n, err)
				}
				r.AppendPublic(dst, []byte(n), time.Now().Unix())
				r.Stats()
			}
		})
	}
	wg.Wait()
}

func BenchmarkAppendPublic(b *testing.B) {
	for _, names := range []int{1, 100000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			r := open(b, country(false), func(c *Config) { c.CacheBytes = 1 << 30 })
			keys := make([][]byte, names)
			for i := range keys {
				n := fmt.Sprintf("88.118.1001/%d", i)
				e := &entry{name: id.MustParse(n), values: []record.Value{val(1, "URL", "https://a.example/"+n)}, expires: 1 << 40}
				e.seal(-1)
				r.answers.Set(e.key, e)
				keys[i] = []byte(n)
			}
			now := time.Now().Unix()
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				dst := make([]byte, 0, 4096)
				i := 0
				for pb.Next() {
					i += 7919
					if _, _, ok := r.AppendPublic(dst, keys[i%names], now); !ok {
						b.Error("not cached")
						return
					}
				}
			})
		})
	}
}

func BenchmarkResolveCached(b *testing.B) {
	r := open(b, country(true), nil)
	q := record.Query{ID: id.MustParse("88.118.1001/ENG-42"), PublicOnly: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Resolve(context.Background(), q); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkColdSecure(b *testing.B) {
	w := country(true)
	w.put("88.118.1001/X", val(1, "URL", "https://a.example/"))
	r := open(b, w, nil)
	mustResolve(b, r, "88.118.1001/X")
	b.ReportAllocs()
	for b.Loop() {
		r.answers.Invalidate("88.118.1001/X")
		mustResolve(b, r, "88.118.1001/X")
	}
}
