package recursor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Who joined a look-up that ended because its beginner's questions were used up gets one of their own.
func TestSomebodyElsesBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := country(true)
		w.ail("N1", "down")
		r, err := New(Config{Ask: w, Hints: w.hints(), Anchors: w.anchors(), MaxUpstream: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		first := make(chan error, 1)
		go func() {
			_, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118.1001/ENG-42"), PublicOnly: true})
			first <- err
		}()
		<-time.After(500 * time.Millisecond)
		second := make(chan error, 1)
		go func() {
			_, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse("0.NA/88.118"), PublicOnly: true})
			second <- err
		}()
		<-time.After(time.Second)
		w.ail("N1")
		if err := <-first; !problem.Is(err, problem.TooDeep) || !errors.Is(err, errBudget) {
			t.Error(err)
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
		if r.Stats().Coalesced != 1 {
			t.Error(r.Stats())
		}
	})
}

// A client that came with many hops behind it does not spoil the answer of one that came directly.
func TestHopsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := country(true)
		w.addServer("H1", "203.0.113.9", 0)
		w.servers["R1"].rtt = time.Millisecond
		l := w.addZone("88.118.2", true)
		l.services = []string{"88.118/HOST"}
		site := val(1, record.TypeSite, string(record.AppendSite(nil, w.siteOf([]string{"H1"}, true))))
		w.put("88.118/HOST", site)
		w.put("88.118.2/A", val(1, "URL", "https://a.example/"))
		r, err := New(Config{Ask: w, Hints: w.hints(), Anchors: w.anchors()})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		q := record.Query{ID: id.MustParse("88.118.2/A"), PublicOnly: true, Depth: record.MaxDepth}
		far := make(chan error, 1)
		go func() {
			_, err := r.Resolve(context.Background(), q)
			far <- err
		}()
		synctest.Wait() // it has asked the first server
		q.Depth = 0
		if _, err := r.Resolve(context.Background(), q); err != nil {
			t.Error(err)
		}
		if err := <-far; !problem.Is(err, problem.TooDeep) {
			t.Error(err)
		}
		if _, err := r.Resolve(context.Background(), q); err != nil {
			t.Error(err)
		}
	})
}

// A look-up goes on when all who waited have left, and ends with Close.
func TestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := country(true)
		w.servers["E1"].rtt = time.Second
		r, err := New(Config{Ask: w, Hints: w.hints(), Anchors: w.anchors()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		q := record.Query{ID: id.MustParse("88.118.1001/ENG-42"), PublicOnly: true}
		if _, err := r.Resolve(ctx, q); !problem.Is(err, problem.Canceled) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if r.Stats().Pending != 1 {
			t.Error("given up", r.Stats())
		}
		<-time.After(2 * time.Second)
		w.take()
		if _, err := r.Resolve(context.Background(), q); err != nil || len(w.take()) != 0 {
			t.Error("not kept", err)
		}
		w.ail("E1", "down")
		q.Authoritative = true
		began := time.Now()
		go func() {
			<-time.After(50 * time.Millisecond)
			r.Close()
		}()
		if _, err := r.Resolve(context.Background(), q); err == nil || time.Since(began) > 100*time.Millisecond {
			t.Error(err, time.Since(began))
		}
	})
}

// With as many look-ups under way as are allowed, more are refused at once; what is known is still answered.
func TestCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := country(true)
		r, err := New(Config{Ask: w, Hints: w.hints(), Anchors: w.anchors(), MaxPending: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		mustResolve(t, r, "88.118.1001/ENG-42")
		w.ail("E1", "down")
		busy := 0
		errs := make(chan error, 10)
		for i := range 10 {
			go func() {
				_, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse("88.118.1001/" + string(rune('a'+i))), PublicOnly: true})
				errs <- err
			}()
		}
		<-time.After(time.Millisecond)
		mustResolve(t, r, "88.118.1001/ENG-42")
		for range 10 {
			switch err := <-errs; {
			case problem.Is(err, problem.Busy):
				busy++
			case !problem.Is(err, problem.Unreachable):
				t.Error(err)
			}
		}
		if busy != 6 {
			t.Error(busy, "were refused")
		}
	})
}
