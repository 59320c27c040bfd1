package site_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/memory"
)

// TestTakeOver: the primary is killed while it takes changes, another site takes over, nothing that was acknowledged is
// lost, and the old primary comes back as a mirror.
func TestTakeOver(t *testing.T) {
	w := newWorld(t, []string{"beijing", "wuhan", "guiyang"}, nil)
	w.begin()
	w.agree("beijing", "wuhan", "guiyang")
	l := w.load(2)
	defer l.end()
	until(t, "changes are taken", func() bool { return l.n.Load() > 50 })
	_, wuhan := w.sites[1].now()
	_, guiyang := w.sites[2].now()
	killed := time.Now()
	w.sites[0].kill()
	for wuhan.Role() != site.Primary && guiyang.Role() != site.Primary {
		if time.Since(killed) > 30*time.Second {
			t.Fatal("nobody takes over")
		}
		wait(time.Millisecond)
	}
	took := time.Since(killed)
	at := l.n.Load()
	until(t, "changes are taken again", func() bool { return l.n.Load() > at })
	t.Logf("%d changes acknowledged before; another site takes changes after %v (%.1f probe intervals), the first is acknowledged after %v",
		at, took.Round(time.Millisecond), took.Seconds()/0.2, time.Since(killed).Round(time.Millisecond))
	w.sites[0].start()
	until(t, "all follow", w.whole)
	l.end()
	w.agree("beijing", "wuhan", "guiyang")
	for _, p := range w.sites {
		l.check(p)
	}
	if w.primary().name == "beijing" {
		t.Error("it went back by itself")
	}
}

// TestTail: what the primary alone held when it was killed was never acknowledged; it is set aside when it comes back.
func TestTail(t *testing.T) {
	w := newWorld(t, []string{"beijing", "wuhan", "guiyang"}, func(c *site.Config) { c.Wait = 2 * time.Second })
	w.start()
	beijing, wuhan, guiyang := w.sites[0], w.sites[1], w.sites[2]
	ctx := context.Background()
	c := beijing.client()
	defer c.Close()
	w.must(c, record.Write{Op: record.Home, ID: id.PrefixRecord(prefix)})
	var acked []string
	for i := range 20 {
		name := fmt.Sprintf("88/A%d", i)
		w.must(c, put(name, "1"))
		acked = append(acked, name)
	}
	// What the primary alone holds: written past the sites.
	r, _ := beijing.now()
	wuhan.kill()
	guiyang.kill()
	_, s := beijing.now()
	until(t, "the mirrors follow no more", func() bool {
		st, err := s.State(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range st.Followers {
			if f.Living {
				return false
			}
		}
		return true
	})
	if err := write(ctx, c, put("88/NEVER", "x")); !problem.Is(err, problem.Busy) {
		t.Fatalf("acknowledged though nobody holds it: %v", err)
	}
	if _, err := r.Write(ctx, operator, []record.Write{put("88/TAIL", "x"), put("88/A3", "changed by nobody")}); err != nil {
		t.Fatal(err)
	}
	beijing.kill()
	wuhan.start()
	guiyang.start()

	// Writes are back on one of the others.
	c2, c3 := wuhan.client(), guiyang.client()
	defer c2.Close()
	defer c3.Close()
	var back *place
	until(t, "writes are back", func() bool {
		for i, c := range []record.Registrar{c2, c3} {
			if write(ctx, c, put("88/B", "2")) == nil {
				back = w.sites[1+i]
				return true
			}
		}
		return false
	})
	r, _ = back.now()
	for _, n := range acked {
		if a, err := r.Resolve(ctx, record.Query{ID: id.MustParse(n)}); err != nil || string(a.Values[0].Data) != "1" {
			t.Fatal("acknowledged and lost:", n, a.Values, err)
		}
	}
	w.agree("wuhan", "guiyang")

	// The old one returns.
	beijing.start()
	_, s = beijing.now()
	until(t, "the old primary follows", func() bool { return s.Role() == site.Mirror })
	w.agree("beijing", "wuhan", "guiyang")
	st, err := s.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Tails) != 1 || st.Tails[0].Changes != 2 || fmt.Sprint(st.Tails[0].IDs) != "[88/TAIL 88/A3]" {
		t.Errorf("set aside: %+v", st.Tails)
	}
	if _, err := s.Write(ctx, operator, []record.Write{put("88/C", "1")}); !problem.Is(err, problem.ReadOnly) {
		t.Error("a mirror takes changes:", err)
	}
}

// TestTailCrash crashes the old primary at each of its writes while it sets its tail aside, and starts it again.
func TestTailCrash(t *testing.T) {
	ctx := context.Background()
	for k := 1; k <= 4; k++ {
		w := newWorld(t, []string{"a", "b", "c"}, func(c *site.Config) { c.Interval, c.Wait = 60*time.Millisecond, 5*time.Second })
		c := w.begin()
		w.must(c, put("88/A", "1"), put("88/B", "1"))
		w.agree("a", "b", "c")
		a := w.sites[0]
		w.sites[1].kill()
		w.sites[2].kill()
		r, _ := a.now()
		if _, err := r.Write(ctx, operator, []record.Write{put("88/TAIL", "x"), {Op: record.Delete, ID: id.MustParse("88/A")}, put("88/B", "x"),
			{Op: record.Home, ID: id.PrefixRecord("88.7")}}); err != nil {
			t.Fatal(err)
		}
		a.kill()
		w.sites[1].start()
		w.sites[2].start()
		until(t, "another takes over", func() bool { return w.primary() != nil })
		a.store.Faults().CrashAt(k, memory.When(k%2))
		a.start()
		_, s := a.now()
		crashed := false
		until(t, "the old primary joins or crashes", func() bool {
			_, err := s.State(ctx)
			crashed = err != nil
			return crashed || s.Role() == site.Mirror
		})
		a.kill()
		a.start()
		until(t, "all follow", w.whole)
		w.agree("a", "b", "c")
		_, s = a.now()
		st, err := s.State(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Tails) != 1 || st.Tails[0].Changes != 4 {
			t.Errorf("crash %d (%v): set aside %+v", k, crashed, st.Tails)
		}
		for _, p := range w.sites {
			p.stop()
		}
	}
}
