package recursor

import (
	mathrand "math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/fujie-id/fujie/record"
)

func someServers(t *testing.T) *servers {
	var s servers
	if err := s.init(mathrand.New(mathrand.NewPCG(1, 2))); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestServerMemory(t *testing.T) {
	s := someServers(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := spot{netip.MustParseAddrPort("203.0.113.1:2641"), record.UDP}
	if d := s.patience(p); d != firstWait {
		t.Error(d)
	}
	for range 30 {
		s.heard(p, 100*time.Millisecond, now)
	}
	if d := s.patience(p); d != leastWait {
		t.Error("a steady server is given", d)
	}
	if d, rest := s.score(p, now); rest || d < 100*time.Millisecond || d > 130*time.Millisecond {
		t.Error(d, rest)
	}
	// It jitters: it is given longer.
	for i := range 30 {
		s.heard(p, time.Duration(i%2)*600*time.Millisecond, now)
	}
	if d := s.patience(p); d < 500*time.Millisecond || d > mostWait {
		t.Error("a jittery server is given", d)
	}
	// It is silent: it rests longer and longer, up to a limit, and is forgiven by its next answer.
	rest := time.Duration(0)
	for i := range 12 {
		s.silent(p, now)
		d := time.Duration(0)
		for {
			if _, resting := s.score(p, now.Add(d)); !resting {
				break
			}
			d += 100 * time.Millisecond
		}
		if d < rest || i < 5 && d != time.Second<<i || d > mostRest {
			t.Error("after", i+1, "failures it rests", d)
		}
		rest = d
	}
	s.heard(p, 10*time.Millisecond, now)
	if _, resting := s.score(p, now); resting {
		t.Error("it is not forgiven")
	}
	// What was measured long ago counts for less.
	slow := spot{netip.MustParseAddrPort("203.0.113.2:2641"), record.UDP}
	s.heard(slow, 800*time.Millisecond, now)
	before, _ := s.score(slow, now)
	after, _ := s.score(slow, now.Add(time.Hour))
	if after > before/4 {
		t.Error(before, after)
	}
	// Who was not waited for is not known to be fast.
	s.late(slow, 2*time.Second, now)
	if d, _ := s.score(slow, now); d < 1300*time.Millisecond {
		t.Error(d)
	}
	if s.count() != 2 {
		t.Error(s.count())
	}
}

func TestExploring(t *testing.T) {
	s := someServers(t)
	n, other := 32000, 0
	for range n {
		if s.explore(5) != 0 {
			other++
		}
	}
	if want := n / exploreOne * 4 / 5; other < want*8/10 || other > want*12/10 {
		t.Error(other, want)
	}
	if s.explore(1) != 0 || s.explore(0) != 0 {
		t.Error("explores nothing")
	}
}

func TestMayAsk(t *testing.T) {
	r := &Recursor{hinted: map[netip.Addr]bool{netip.MustParseAddr("10.0.0.9"): true}}
	r.c.Refuse = []netip.Prefix{netip.MustParsePrefix("203.0.113.128/25")}
	for addr, want := range map[string][2]bool{ // normally, and with AllowPrivate
		"203.0.113.1": {true, true}, "203.0.113.200": {false, false}, "::ffff:203.0.113.200": {false, false}, "2001:db8::1": {true, true},
		"127.0.0.1": {false, true}, "::1": {false, true}, "::ffff:127.0.0.1": {false, true}, "10.0.0.1": {false, true}, "10.0.0.9": {true, true},
		"172.16.0.1": {false, true}, "192.168.1.1": {false, true}, "169.254.169.254": {false, true}, "fe80::1": {false, true}, "fd00::1": {false, true},
		"0.0.0.0": {false, false}, "::": {false, false}, "224.0.0.1": {false, false}, "ff02::1": {false, false}, "255.255.255.255": {false, true},
		"100.64.1.1": {false, true}, "64:ff9b::7f00:1": {false, true}, "2002:7f00:1::": {false, true}, "fe80::1%eth0": {false, false},
	} {
		a := netip.MustParseAddr(addr)
		r.c.AllowPrivate = false
		if r.mayAsk(a) != want[0] {
			t.Errorf("%s: %v", addr, !want[0])
		}
		r.c.AllowPrivate = true
		if r.mayAsk(a) != want[1] {
			t.Errorf("%s when private ones are allowed: %v", addr, !want[1])
		}
	}
	if r.mayAsk(netip.Addr{}) {
		t.Error("no address at all")
	}
}
