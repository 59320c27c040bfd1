package meter_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/meter"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
)

// tower is three nodes above one another: 88 hears of 88.118, which hears of 88.118.1001.
type tower struct {
	meters map[string]*meter.Meter
	keys   map[string]*trust.PrivateKey
	total  map[string]*atomic.Int64
	cut    map[string]*atomic.Bool // who cannot reach the node above
	stop   func()
}

// newTower is three nodes; the way up from those that are named is cut before they begin.
func newTower(t *testing.T, mute ...string) *tower {
	w := &tower{meters: map[string]*meter.Meter{}, keys: map[string]*trust.PrivateKey{}, total: map[string]*atomic.Int64{}, cut: map[string]*atomic.Bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	var ended []chan struct{}
	var begin []*meter.Meter
	keyOf := func(_ context.Context, prefix string) (trust.PublicKey, error) {
		if k := w.keys[prefix]; k != nil {
			return k.Public(), nil
		}
		return trust.PublicKey{}, problem.New(problem.NotFound, "no key", "没有密钥")
	}
	for _, n := range []struct {
		prefix, parent string
		about          meter.About
	}{
		{"88", "", meter.About{Title: "国家", Role: "national", Region: "110000"}},
		{"88.118", "88", meter.About{Title: "器械", Role: "second-level", Region: "320500", Industry: "医疗器械"}},
		{"88.118.1001", "88.118", meter.About{Title: "泵厂", Role: "enterprise", Region: "320100", Industry: "医疗器械"}},
	} {
		k, total, cut := key(t), &atomic.Int64{}, &atomic.Bool{}
		w.keys[n.prefix], w.total[n.prefix], w.cut[n.prefix] = k, total, cut
		cut.Store(slices.Contains(mute, n.prefix))
		c := meter.Config{Prefix: n.prefix, Parent: n.parent, Store: memory.New(), Feed: newFeed(), Key: k, KeyOf: keyOf, About: n.about, Beat: 5 * time.Second,
			Total: func(context.Context) (int64, error) { return total.Load(), nil },
			Push:  func(context.Context, string, meter.Statement) error { return nil }}
		if up := w.meters[n.parent]; up != nil {
			c.Pulse = func(ctx context.Context, s meter.Statement) error {
				if cut.Load() {
					return errors.New("no way")
				}
				return up.Hear(ctx, s)
			}
		}
		m, err := meter.New(c)
		must(t, err)
		w.meters[n.prefix] = m
		begin = append(begin, m)
	}
	// All are there before the first one speaks.
	for _, m := range begin {
		done := make(chan struct{})
		ended = append(ended, done)
		go func() { m.Run(ctx); close(done) }()
	}
	w.stop = func() {
		cancel()
		for _, c := range ended {
			<-c
		}
	}
	return w
}

func kindsOf(s meter.Situation) (out []string) {
	for _, a := range s.Anomalies {
		out = append(out, a.Kind+" "+a.Node)
	}
	return out
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s: %s, wanted %s", what, g, w)
	}
}

func TestSituation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTower(t)
		defer w.stop()
		top, plant := w.meters["88"], w.meters["88.118.1001"]
		from := netip.MustParseAddr("192.0.2.1")
		step := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		// A steady ten minutes: two resolutions and one registration a second.
		w.total["88.118.1001"].Store(1000)
		for range 120 {
			for i := range 10 {
				plant.Recorder().Resolved([]byte("88.118.1001/A"), from, time.Millisecond, i != 0)
			}
			w.total["88.118.1001"].Add(5)
			step(5 * time.Second)
		}
		s := top.Situation(problem.English)
		equal(t, "nodes", s.Nodes, 3)
		equal(t, "roles", s.Roles, map[string]int{"national": 1, "second-level": 1, "enterprise": 1})
		equal(t, "silent", s.Silent, 0)
		if math.Abs(s.Rate.Resolved-2) > 0.3 || math.Abs(s.Rate.Registered-1) > 0.15 || s.Rate.Success == nil || math.Abs(*s.Rate.Success-0.9) > 0.02 {
			t.Errorf("rates: %+v", s.Rate)
		}
		if s.Identifiers < 1580 || s.Identifiers > 1600 {
			t.Errorf("%d identifiers", s.Identifiers)
		}
		regions := map[string]int{}
		for _, r := range s.Regions {
			regions[r.Key] = r.Nodes
		}
		equal(t, "regions", regions, map[string]int{"110000": 1, "320000": 2})
		equal(t, "industries", len(s.Industries), 2)
		equal(t, "schemes", s.Schemes[0].Key, "vaa")
		var sum float64
		for _, p := range s.Series {
			sum += p.Resolved * s.Beat
		}
		// All resolutions of the window are in it, but for those of the beats at its ends.
		if sum < 1100 || sum > 1200 {
			t.Errorf("the series has %.0f resolutions of 1200", sum)
		}
		equal(t, "anomalies", kindsOf(s), []string(nil))

		// What is asked ten times as often, and fails.
		for range 12 {
			for i := range 500 {
				plant.Recorder().Resolved([]byte("88.118.1001/A"), from, time.Millisecond, i%2 == 0)
			}
			step(5 * time.Second)
		}
		s = top.Situation(problem.Chinese)
		equal(t, "anomalies under load", kindsOf(s), []string{"failing 88.118.1001", "surge 88.118.1001"})

		// Identifiers are lost.
		w.total["88.118.1001"].Add(-600)
		step(11 * time.Minute)
		equal(t, "after the surge", kindsOf(top.Situation(problem.English)), []string(nil))
		w.total["88.118.1001"].Add(-300)
		step(10 * time.Second)
		equal(t, "identifiers are lost", kindsOf(top.Situation(problem.English)), []string{"shrinking 88.118.1001"})
		step(11 * time.Minute)

		// The plant is cut off; then the node between.
		w.cut["88.118.1001"].Store(true)
		step(40 * time.Second)
		equal(t, "the plant is cut off", kindsOf(top.Situation(problem.English)), []string{"silent 88.118.1001"})
		list, next := top.Below("", 2, nil)
		equal(t, "first page", []any{len(list), next}, []any{2, "88.118"})
		list, next = top.Below(next, 2, nil)
		equal(t, "second page", []any{len(list), next, list[0].Node, list[0].Silent, list[0].Via}, []any{1, "", "88.118.1001", true, "88.118"})
		w.cut["88.118"].Store(true)
		step(40 * time.Second)
		equal(t, "both are cut off", kindsOf(top.Situation(problem.English)), []string{"silent 88.118", "silent 88.118.1001"})
		w.cut["88.118"].Store(false)
		w.cut["88.118.1001"].Store(false)
		step(15 * time.Second)
		equal(t, "they are back", kindsOf(top.Situation(problem.English)), []string(nil))
	})
}

// TestHear: who may tell of whom, and what.
func TestHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTower(t, "88.118")
		defer w.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		top := w.meters["88"]
		type own = map[string]any
		pulse := func(change func(p own)) own {
			p := own{"node": "88.118", "to": "88", "at": time.Now().UnixMilli(), "own": own{"node": "88.118", "at": time.Now().UTC().Format(time.RFC3339Nano), "since": "2026-01-01T00:00:00Z", "identifiers": 5, "requests": 3, "successes": 2}}
			if change != nil {
				change(p)
			}
			return p
		}
		for name, x := range map[string]struct {
			by     string
			change func(p own)
			want   problem.Kind
		}{
			"another's key":      {"88", nil, problem.Bogus},
			"to another":         {"88.118", func(p own) { p["to"] = "10" }, problem.Forbidden},
			"of another":         {"88.118", func(p own) { p["own"].(own)["node"] = "88.119" }, problem.BadValue},
			"from above":         {"88", func(p own) { p["node"] = "88"; p["own"].(own)["node"] = "88" }, problem.Forbidden},
			"from beside":        {"88.118", func(p own) { p["node"] = "10.1" }, problem.Forbidden},
			"about another":      {"88.118", func(p own) { p["below"] = []own{{"node": "88.119.1"}} }, problem.Forbidden},
			"about itself again": {"88.118", func(p own) { p["below"] = []own{{"node": "88.118"}} }, problem.Forbidden},
			"old":                {"88.118", func(p own) { p["at"] = time.Now().Add(-6 * time.Minute).UnixMilli() }, problem.BadValue},
			"from the future":    {"88.118", func(p own) { p["at"] = time.Now().Add(6 * time.Minute).UnixMilli() }, problem.BadValue},
			"no region":          {"88.118", func(p own) { p["own"].(own)["region"] = "江苏" }, problem.BadValue},
			"more than asked":    {"88.118", func(p own) { p["own"].(own)["successes"] = 9 }, problem.BadValue},
			"fewer than none":    {"88.118", func(p own) { p["own"].(own)["identifiers"] = -1 }, problem.BadValue},
			"too long":           {"88.118", func(p own) { p["own"].(own)["industry"] = string(make([]rune, 200)) }, problem.TooLarge},
			"no shape":           {"88.118", func(p own) { p["below"] = 7 }, problem.BadValue},
			"unknown":            {"88.118", func(p own) { p["node"] = "88.120"; p["own"].(own)["node"] = "88.120" }, problem.AuthError},
		} {
			jws, err := trust.SignStatement(w.keys[x.by], pulse(x.change))
			must(t, err)
			if err := top.Hear(t.Context(), meter.Statement{Statement: string(jws)}); problem.KindOf(err) != x.want {
				t.Errorf("%s: %v, wanted %v", name, err, x.want)
			}
		}
		before := top.Situation(problem.English)
		equal(t, "what was refused is nowhere", before.Nodes, 1)

		// Told twice, and an older one after a newer: the newest counts.
		tell := func(n int, at time.Time) {
			jws, err := trust.SignStatement(w.keys["88.118"], pulse(func(p own) {
				p["at"] = at.UnixMilli()
				p["own"].(own)["identifiers"], p["own"].(own)["at"] = n, at.UTC().Format(time.RFC3339Nano)
			}))
			must(t, err)
			must(t, top.Hear(t.Context(), meter.Statement{Statement: string(jws)}))
		}
		now := time.Now()
		tell(7, now)
		tell(6, now.Add(-time.Second))
		list, _ := top.Below("88", 10, nil)
		equal(t, "the newest counts", list[0].Identifiers, int64(7))

		// A clock that is a minute ahead is told of.
		tell(8, now.Add(time.Minute))
		equal(t, "anomalies", kindsOf(top.Situation(problem.English)), []string{"clock 88.118"})
	})
}

// TestSituationSums: whatever comes, the parts add up to the whole.
func TestSituationSums(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTower(t)
		defer w.stop()
		for i := range int64(30) {
			w.total["88"].Store(i * 7 % 11)
			w.total["88.118"].Store(i * 13 % 17 * 100)
			w.total["88.118.1001"].Store(i * i % 1000)
			w.cut["88.118"].Store(i%5 == 4)
			time.Sleep(time.Duration(i%4) * 5 * time.Second)
			synctest.Wait()
			s := w.meters["88"].Situation(problem.English)
			for name, list := range map[string][]meter.Share{"regions": s.Regions, "industries": s.Industries, "schemes": s.Schemes} {
				var nodes, silent int
				var ids int64
				for _, x := range list {
					nodes, silent, ids = nodes+x.Nodes, silent+x.Silent, ids+x.Identifiers
				}
				equal(t, name, []any{nodes, silent, ids}, []any{s.Nodes, s.Silent, s.Identifiers})
			}
			var roles int
			for _, n := range slices.Collect(maps.Values(s.Roles)) {
				roles += n
			}
			equal(t, "roles", roles, s.Nodes)
		}
	})
}
