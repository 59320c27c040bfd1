package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var operator = record.Identity{Operator: true}

func text(index uint32, data string) record.Value {
	return record.Value{Index: index, Type: "URL", Data: []byte(data), TTL: record.TTL{Seconds: 60}, Perm: record.DefaultPerm}
}

func open(t *testing.T, s store.Store, readOnly bool, keys ...registry.SigningKey) *registry.Registry {
	t.Helper()
	r, err := registry.Open(context.Background(), registry.Config{Store: s, ReadOnly: readOnly, Keys: keys, HotBytes: 1 << 18})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t *testing.T, r *registry.Registry, ws ...record.Write) {
	t.Helper()
	res, err := r.Write(context.Background(), operator, ws)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range res {
		if x.Err != nil {
			t.Fatal(x.ID, x.Err)
		}
	}
}

func home(p string) record.Write { return record.Write{Op: record.Home, ID: id.PrefixRecord(p)} }
func put(name, data string) record.Write {
	return record.Write{Op: record.Create, ID: id.MustParse(name), Values: []record.Value{text(1, data)}, Overwrite: true}
}
func del(name string) record.Write { return record.Write{Op: record.Delete, ID: id.MustParse(name)} }

// contents is every record with its values, certified when it can be.
func contents(t *testing.T, r *registry.Registry) string {
	t.Helper()
	ctx := context.Background()
	ps, err := r.Prefixes(ctx, operator, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintln(ps)
	for _, p := range append(ps, "0.NA") {
		ns, err := r.List(ctx, operator, p, "", 100000)
		if err != nil {
			t.Fatal(err)
		}
		n, err := r.Count(ctx, operator, p)
		if err != nil || int(n) != len(ns) {
			t.Fatal("count", p, n, len(ns), err)
		}
		for _, name := range ns {
			a, err := r.Resolve(ctx, record.Query{ID: id.MustParse(name), By: operator})
			out += fmt.Sprintln(name, a.Values, err)
		}
	}
	return out
}

// following is a mirror that runs until the test ends.
func following(t *testing.T, cfg mirror.Config) (*mirror.Mirror, func()) {
	cfg.By = operator
	m := mirror.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := m.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	stop := func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return m, stop
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := open(t, memory.New(), false), open(t, memory.New(), true)
		write(t, from, home("88.118"), put("88.118/a", "1"), put("88.118/b", "1"), del("88.118/a"))
		m, stop := following(t, mirror.Config{Feed: from, Into: to, Batch: 2})
		time.Sleep(time.Second)
		if contents(t, from) != contents(t, to) {
			t.Fatal(contents(t, to))
		}
		write(t, from, put("88.118/c", "2"), put("88.118/b", "2"), home("88.5"), put("88.5/x", "9"))
		time.Sleep(3 * time.Second)
		if contents(t, from) != contents(t, to) {
			t.Fatal(contents(t, to))
		}
		if s := m.Status(); s.State != mirror.Following || s.Err != nil || s.Seq != 8 || s.Behind != 0 {
			t.Fatalf("%+v", s)
		}
		if _, err := to.Write(context.Background(), operator, []record.Write{put("88.118/z", "")}); !problem.Is(err, problem.ReadOnly) {
			t.Fatal(err)
		}
		// Taking over.
		stop()
		to.SetReadOnly(false)
		write(t, to, put("88.118/z", "new"))
		// A mirror of the mirror has the same.
		third := open(t, memory.New(), true)
		_, stop = following(t, mirror.Config{Feed: to, Into: third})
		time.Sleep(time.Second)
		stop()
		if contents(t, to) != contents(t, third) {
			t.Fatal(contents(t, third))
		}
	})
}

// shaky is a feed that fails on command: it says so, or falls silent.
type shaky struct {
	record.Feed
	mu           sync.Mutex
	down, silent bool
}

func (s *shaky) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *shaky) Changes(ctx context.Context, by record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	s.mu.Lock()
	down, silent, feed := s.down, s.silent, s.Feed
	s.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if down {
		return nil, problem.New(problem.Unreachable, "away", "离线")
	}
	return feed.Changes(ctx, by, after, limit, values)
}

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := open(t, memory.New(), false)
		s := memory.New()
		to := open(t, s, true)
		feed := &shaky{Feed: from, down: true}
		m, stop := following(t, mirror.Config{Feed: feed, Into: to, Batch: 3})
		write(t, from, home("88.118"), put("88.118/a", "1"))
		time.Sleep(time.Hour)
		if st := m.Status(); st.State != mirror.Failing || !problem.Is(st.Err, problem.Unreachable) || st.Behind < time.Hour {
			t.Fatalf("%+v", st)
		}
		feed.set(false)
		time.Sleep(time.Minute)
		if st := m.Status(); st.State != mirror.Following || contents(t, from) != contents(t, to) {
			t.Fatalf("%+v", st)
		}
		feed.mu.Lock()
		feed.silent = true
		feed.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if st := m.Status(); st.State != mirror.Failing || st.Behind < 3*time.Minute {
			t.Fatalf("on a dead line: %+v", st)
		}
		feed.mu.Lock()
		feed.silent = false
		feed.mu.Unlock()
		time.Sleep(time.Minute)
		if st := m.Status(); st.State != mirror.Following || st.Err != nil {
			t.Fatalf("%+v", st)
		}
		s.Faults().Full(true)
		write(t, from, put("88.118/b", "1"))
		time.Sleep(time.Minute)
		if st := m.Status(); !problem.Is(st.Err, problem.Full) {
			t.Fatalf("%+v", st)
		}
		s.Faults().Full(false)
		s.Faults().Doubt(true)
		time.Sleep(2 * time.Minute)
		if contents(t, from) != contents(t, to) {
			t.Fatal(contents(t, to))
		}
		stop()
	})
}

// dying is a feed that answers so many questions with values, then falls silent.
type dying struct {
	record.Feed
	mu   sync.Mutex
	left int
	on   bool
}

func (d *dying) set(f record.Feed, left int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Feed, d.left, d.on = f, left, true
}

func (d *dying) Changes(ctx context.Context, by record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	d.mu.Lock()
	feed := d.Feed
	silent := false
	if d.on {
		if d.left--; d.left < 0 {
			silent = true
		}
	}
	d.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return feed.Changes(ctx, by, after, limit, values)
}

// TestCrashes crashes the mirror at each of its writes and starts it again.
func TestCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := open(t, memory.New(), false)
		write(t, from, home("88.118"))
		for i := range 20 {
			write(t, from, put(fmt.Sprintf("88.118/%d", i%13), fmt.Sprint(i)))
			if i%4 == 3 {
				write(t, from, del(fmt.Sprintf("88.118/%d", i%13)))
			}
		}
		want := contents(t, from)
		for k := 1; k < 12; k++ {
			for _, when := range []memory.When{memory.Before, memory.After} {
				s := memory.New()
				to := open(t, s, true)
				s.Faults().CrashAt(k, when)
				_, stop := following(t, mirror.Config{Feed: from, Into: to, Batch: 4})
				time.Sleep(time.Second)
				stop()
				to = open(t, s.Reopen(), true)
				_, stop = following(t, mirror.Config{Feed: from, Into: to, Batch: 4})
				time.Sleep(time.Second)
				stop()
				if contents(t, to) != want {
					t.Fatalf("crash at write %d (%d): %s", k, when, contents(t, to))
				}
				es, err := to.Changes(context.Background(), operator, 0, 1000, false)
				if err != nil {
					t.Fatal(err)
				}
				for i := range es {
					if i > 0 && es[i].ID == es[i-1].ID && es[i].Digest == es[i-1].Digest && es[i].Op == es[i-1].Op {
						t.Fatal("logged twice", es[i])
					}
				}
			}
		}
	})
}

// TestSetBack restores the original from an older export; the mirror must become its copy again.
func TestSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		from := open(t, s, false)
		write(t, from, home("88.118"), put("88.118/a", "1"), put("88.118/b", "1"))
		toStore := memory.New()
		to := open(t, toStore, true)
		_, stop := following(t, mirror.Config{Feed: from, Into: to})
		time.Sleep(time.Second)

		// What is written now is lost with the original's disk; another life begins from the backup.
		backup := open(t, memory.New(), false)
		write(t, backup, home("88.118"), put("88.118/a", "1"), put("88.118/b", "1"))
		write(t, from, put("88.118/lost", "x"), put("88.118/a", "lost"), home("88.7"), put("88.7/lost", "x"))
		time.Sleep(time.Second)
		stop()
		write(t, backup, put("88.118/new", "y"), put("88.118/b", "2"))
		for range 10 {
			write(t, backup, put("88.118/c", "z"))
		}
		m, stop := following(t, mirror.Config{Feed: backup, Into: to, Batch: 3})
		time.Sleep(2 * time.Minute)
		if m.Status().Resyncs != 1 || contents(t, to) != contents(t, backup) {
			t.Fatalf("%+v\n%s", m.Status(), contents(t, to))
		}
		stop()
		// Set back to fewer changes than the mirror has.
		short := open(t, memory.New(), false)
		write(t, short, home("88.118"), put("88.118/q", "1"))
		m, stop = following(t, mirror.Config{Feed: short, Into: to, Batch: 3})
		time.Sleep(2 * time.Minute)
		if m.Status().Resyncs != 1 || contents(t, to) != contents(t, short) {
			t.Fatalf("%+v\n%s", m.Status(), contents(t, to))
		}
		stop()
		// While it runs.
		feed := &shaky{Feed: short}
		m, stop = following(t, mirror.Config{Feed: feed, Into: to, Batch: 3})
		time.Sleep(time.Minute)
		other := open(t, memory.New(), false)
		write(t, other, home("88.118"), put("88.118/r", "1"))
		feed.mu.Lock()
		feed.Feed = other
		feed.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if m.Status().Resyncs != 1 || contents(t, to) != contents(t, other) {
			t.Fatalf("%+v\n%s", m.Status(), contents(t, to))
		}
		stop()
		short = other
		// The line dies in the middle of the new copy: what was not seen yet is not taken out.
		long := open(t, memory.New(), false)
		write(t, long, home("88.118"))
		for i := range 9 {
			write(t, long, put(fmt.Sprintf("88.118/l%d", i), "1"))
		}
		write(t, other, put("88.118/l7", "1"))
		dying := &dying{Feed: other}
		m, stop = following(t, mirror.Config{Feed: dying, Into: to, Batch: 3})
		time.Sleep(2 * time.Minute)
		dying.set(long, 3)
		time.Sleep(5 * time.Minute)
		if vs, err := to.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118/l7")}); err != nil || len(vs.Values) != 1 {
			t.Fatal("taken out while the line was dead", err)
		}
		dying.set(long, 1000)
		time.Sleep(5 * time.Minute)
		if contents(t, to) != contents(t, long) {
			t.Fatalf("%+v\n%s", m.Status(), contents(t, to))
		}
		stop()
		short = long
		// An original with nothing in it does not wipe the copy.
		empty := open(t, memory.New(), false)
		m, stop = following(t, mirror.Config{Feed: empty, Into: to, Batch: 3})
		time.Sleep(time.Hour)
		if m.Status().State != mirror.Failing || contents(t, to) != contents(t, short) {
			t.Fatalf("%+v\n%s", m.Status(), contents(t, to))
		}
		stop()
	})
}

// TestSignatures: what a mirror without the key answers is proved by the original's signature, also when months have
// passed without a change.
func TestSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := trust.Generate("", nil)
		if err != nil {
			t.Fatal(err)
		}
		from := open(t, memory.New(), false, registry.SigningKey{Prefix: "88.118", Ref: record.Ref{Index: 300, Name: "0.NA/88.118"}, Key: key})
		to := open(t, memory.New(), true)
		write(t, from, home("88.118"))
		for i := range 10 {
			write(t, from, put(fmt.Sprintf("88.118/%d", i), "x"))
		}
		_, stop := following(t, mirror.Config{Feed: from, Into: to, Batch: 4})
		defer stop()
		for range 4 {
			time.Sleep(25 * 24 * time.Hour)
			a, err := to.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118/3"), Certify: true})
			if err != nil || len(a.Values) != 2 {
				t.Fatal(a, err)
			}
			if err := trust.VerifyRecord(a.Values[1].Data, key.Public(), "88.118/3", a.Values, true, time.Now()); err != nil {
				t.Fatal(err)
			}
			a, _ = to.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118/3")})
			if len(a.Values) != 1 {
				t.Fatal("the signature shows though nobody asked")
			}
		}
	})
}
