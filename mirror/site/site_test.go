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
)

// TestTakeOver is the whole of it: the primary is killed while it takes changes, another site takes over, nothing that
// was acknowledged is lost, changes go on, and the old primary comes back as a mirror with its tail set aside.
func TestTakeOver(t *testing.T) {
	w := newWorld(t, []string{"beijing", "wuhan", "guiyang"}, nil)
	w.start()
	beijing, wuhan, guiyang := w.sites[0], w.sites[1], w.sites[2]
	ctx := context.Background()
	c := beijing.client()
	defer c.Close()
	if err := write(ctx, c, record.Write{Op: record.Home, ID: id.PrefixRecord(prefix)}); err != nil {
		t.Fatal(err)
	}
	var acked []string
	for i := range 20 {
		name := fmt.Sprintf("88/A%d", i)
		if err := write(ctx, c, put(name, "1")); err != nil {
			t.Fatal(err)
		}
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
	killed := time.Now()
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
	took := time.Since(killed)
	t.Logf("writes are back on %s after %v, %.1f probe intervals", back.name, took, took.Seconds()/0.2)
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
	if err := write(ctx, beijing.client(), put("88/C", "1")); !problem.Is(err, problem.ReadOnly) {
		t.Error("a mirror takes changes:", err)
	}
}
