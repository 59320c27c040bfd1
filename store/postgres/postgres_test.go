package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/pebble"
	"github.com/fujie-id/fujie/store/postgres"
	"github.com/fujie-id/fujie/store/postgres/postgrestest"
	"github.com/fujie-id/fujie/store/storetest"
)

// One server serves the tests that do not kill it. It need not survive a loss of power.
var shared = sync.OnceValues(func() (*postgrestest.Server, error) { return postgrestest.New("fsync=off") })

var started bool

func TestMain(m *testing.M) {
	code := m.Run()
	if started {
		if s, err := shared(); err == nil {
			if err := s.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func server(t testing.TB) *postgrestest.Server {
	t.Helper()
	started = true
	s, err := shared()
	if errors.Is(err, postgrestest.ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fresh(t testing.TB, s *postgrestest.Server) string {
	t.Helper()
	url, err := s.URL()
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), url, postgres.Options{Partitions: 3})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKit(t *testing.T) {
	srv := server(t)
	storetest.Test(t, func(t testing.TB) store.Store { return open(t, fresh(t, srv)) })
}

func TestAllEnginesAgree(t *testing.T) {
	srv := server(t)
	seed := uint64(time.Now().UnixNano())
	steps := 600
	if os.Getenv("FUJIE_SOAK") == "1" {
		steps = 50000
	}
	t.Logf("seeds from %d", seed)
	for i := range uint64(2) {
		url, fs := fresh(t, srv), vfs.NewMem()
		m, g := memory.New(), open(t, url)
		small := pebble.Options{FS: fs, MemTable: 1 << 20, Cache: 1 << 20}
		p, err := pebble.Open("db", small)
		if err != nil {
			t.Fatal(err)
		}
		err = storetest.Agree(t.Context(), []*storetest.Engine{
			{Name: "memory", Store: m},
			{Name: "pebble", Store: p, Reopen: func() (store.Store, error) {
				if err := p.Close(); err != nil {
					return nil, err
				}
				var err error
				p, err = pebble.Open("db", small)
				return p, err
			}},
			{Name: "postgres", Store: g, Reopen: func() (store.Store, error) {
				if err := g.Close(); err != nil {
					return nil, err
				}
				g = open(t, url)
				return g, nil
			}},
		}, seed+i, steps)
		if err := errors.Join(err, m.Close(), p.Close(), g.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// Two processes, or nodes, on the same tables.
func TestTwoWriters(t *testing.T) {
	url := fresh(t, server(t))
	a, b := open(t, url), open(t, url)
	defer a.Close()
	defer b.Close()
	var wg sync.WaitGroup
	ctx := t.Context()
	followed := make(chan error, 1)
	go func() { // sees through b what a appends, too
		followed <- b.Wait(ctx, 199)
	}()
	errs := make(chan error, 4)
	for i := range 4 {
		wg.Go(func() {
			s := []*postgres.Store{a, b}[i%2]
			last := uint64(0)
			for range 50 {
				for {
					old, err := s.Get(ctx, nil, []byte("n"))
					var batch store.Batch
					n := 0
					if errors.Is(err, store.ErrNotFound) {
						batch.Expect([]byte("n"), nil)
					} else {
						batch.Expect([]byte("n"), old)
						fmt.Sscan(string(old), &n)
					}
					batch.Put([]byte("n"), fmt.Append(nil, n+1))
					batch.Append([]byte("log"), fmt.Append(nil, n+1))
					r, err := s.Apply(ctx, &batch)
					if errors.Is(err, store.ErrConflict) {
						continue
					}
					if err == nil && (r.First <= last || r.First != uint64(n+1)) {
						err = fmt.Errorf("receipt %v after %d for n = %d", r, last, n+1)
					}
					if err != nil {
						errs <- err
						return
					}
					last = r.Last
					break
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	if err := <-followed; err != nil {
		t.Fatal(err)
	}
	got, err := a.Get(ctx, nil, []byte("n"))
	if err != nil || string(got) != "200" {
		t.Fatalf("200 increments came to %s, %v", got, err)
	}
}

// TestServerKilled kills the server under load, again and again.
func TestServerKilled(t *testing.T) {
	srv := postgrestest.Start(t)
	rounds := 4
	if os.Getenv("FUJIE_SOAK") == "1" {
		rounds = 100
	}
	s := open(t, fresh(t, srv))
	defer func() { s.Close() }()
	total, uncertain := 0, 0
	for round := range rounds {
		var tally storetest.Tally
		before, err := storetest.Heads(t.Context(), s, 6)
		if err != nil {
			t.Fatal(err)
		}
		for w, n := range before {
			tally.Ack(w, n)
		}
		target := tally.Total() + 40 + 61*round%300
		reached := make(chan struct{})
		var once sync.Once
		load := storetest.Load{Writers: 6, Ack: func(w, n int) {
			tally.Ack(w, n)
			if tally.Total() >= target {
				once.Do(func() { close(reached) })
			}
		}}
		ended := make(chan error, 1)
		go func() { ended <- load.Run(context.Background(), s) }()
		select {
		case <-reached:
		case err := <-ended:
			t.Fatal(err)
		}
		kill := srv.Kill
		if round%2 == 1 {
			kill = srv.Stop
		}
		if err := kill(); err != nil {
			t.Fatal(err)
		}
		err = <-ended
		if err == nil {
			t.Fatal("the load went on without a server")
		}
		if errors.Is(err, store.ErrUncertain) {
			uncertain++
		} else if !problem.Is(err, problem.Unreachable) && !strings.Contains(err.Error(), "reached") {
			t.Fatal("a lost server is said to be:", err)
		}
		if err := srv.Start(); err != nil {
			t.Fatal(err)
		}
		// The same Store finds the server again.
		acked := tally.Acked()
		if err := load.Check(t.Context(), s, acked); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for w := range acked {
			total += acked[w] - before[w]
		}
	}
	t.Logf("%d kills, %d of them with writes of unknown outcome; %d acknowledged writes, none lost", rounds, uncertain, total)
}

func TestOpenExplains(t *testing.T) {
	ctx := t.Context()
	if _, err := postgres.Open(ctx, "postgres://u:secret@[::1/db", postgres.Options{}); !problem.Is(err, problem.BadRequest) || strings.Contains(err.Error(), "secret") {
		t.Error("a malformed address:", err)
	}
	if _, err := postgres.Open(ctx, "postgres://u:secret@127.0.0.1:1/db", postgres.Options{}); !problem.Is(err, problem.Unreachable) || strings.Contains(err.Error(), "secret") {
		t.Error("an address where nobody listens:", err)
	}
	url := fresh(t, server(t))
	s := open(t, url)
	defer s.Close()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "DROP TABLE fujie_kv"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, nil, []byte("k")); !problem.Is(err, problem.Internal) {
		t.Error("without its table:", err)
	}
	var b store.Batch
	b.Put([]byte("k"), nil)
	if _, err := s.Apply(ctx, &b); !problem.Is(err, problem.Internal) {
		t.Error("without its table:", err)
	}
}

func Benchmark(b *testing.B) {
	srv := postgrestest.Start(b)
	storetest.Bench(b, func(t testing.TB) store.Store {
		s, err := postgres.Open(context.Background(), fresh(t, srv), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// Wait is woken by NOTIFY, and without one finds the number by looking.
func TestWaitAcrossProcesses(t *testing.T) {
	url := fresh(t, server(t))
	ctx := t.Context()
	writer := open(t, url)
	defer writer.Close()
	for name, o := range map[string]postgres.Options{"notified": {Poll: time.Hour}, "polling": {Poll: 10 * time.Millisecond}} {
		reader, err := postgres.Open(ctx, url, o)
		if err != nil {
			t.Fatal(err)
		}
		n, err := reader.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		last := n.Sequence()
		n.Close()
		waited := make(chan error, 1)
		go func() { waited <- reader.Wait(ctx, last) }()
		if name == "notified" {
			// The listener may still be connecting: one of these comes after it.
			for done := false; !done; {
				var b store.Batch
				b.Append([]byte("log"), nil)
				if _, err := writer.Apply(ctx, &b); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-waited:
					if err != nil {
						t.Fatal(err)
					}
					done = true
				case <-time.After(10 * time.Millisecond):
				}
			}
		} else {
			c, err := pgx.Connect(ctx, url)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Exec(ctx, "UPDATE fujie_sequence SET last = last + 1")
			if err := errors.Join(err, c.Close(ctx), <-waited); err != nil {
				t.Fatal(err)
			}
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Many entries of a log are copied in as new rows; one that is there against all expectation is overwritten, as by a Put.
func TestCopyMeetsARow(t *testing.T) {
	ctx := t.Context()
	s := open(t, fresh(t, server(t)))
	defer s.Close()
	var b store.Batch
	b.Put(store.LogKey([]byte("log"), 700), []byte("before"))
	if _, err := s.Apply(ctx, &b); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	for i := range 1000 {
		b.Append([]byte("log"), fmt.Append(nil, i+1))
	}
	r, err := s.Apply(ctx, &b)
	if err != nil || r != (store.Receipt{First: 1, Last: 1000}) {
		t.Fatal(r, err)
	}
	n := 0
	if err := s.Range(ctx, store.Under([]byte("log")), func(k, v []byte) error {
		if n++; string(v) != fmt.Sprint(n) {
			return fmt.Errorf("entry %d is %q", n, v)
		}
		return nil
	}); err != nil || n != 1000 {
		t.Fatal(n, err)
	}
}
