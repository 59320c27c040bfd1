package irp

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
)

func TestChallengeAnswersOnce(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	table := newChallenges(c.now, nil)
	put := func(session, request uint32, text string) *challenge {
		t.Helper()
		ch, err := table.put(peerA, false, session, request, 0x020b, []byte("digest"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
	ch := put(0, 7, "create")
	if ch.id&1 != 1 || ch.nonce == [nonceSize]byte{} {
		t.Fatalf("%+v", ch)
	}
	if again := put(0, 7, "create"); again != ch {
		t.Error("the same datagram again got another challenge")
	}
	if other := put(0, 7, "delete"); other == ch || other.nonce == ch.nonce {
		t.Error("another request got the same challenge")
	}
	if _, _, err := table.take(peerA, ch.id, 8); !problem.Is(err, problem.AuthTimeout) {
		t.Errorf("the challenge of a request that was replaced: %v", err)
	}

	ch = put(0, 9, "create")
	got, stored, err := table.take(peerB, ch.id, 10)
	if got != ch || stored != nil || err != nil || !bytes.Equal(got.request, []byte("create")) {
		t.Fatalf("%v %q %v", got, stored, err)
	}
	if got, stored, err := table.take(peerB, ch.id, 10); got != nil || stored != nil || err != nil {
		t.Errorf("again while it is worked on: %v %q %v", got, stored, err)
	}
	table.done(ch, []byte("created"), true)
	if got, stored, err := table.take(peerB, ch.id, 10); got != nil || string(stored) != "created" || err != nil {
		t.Errorf("again afterwards: %v %q %v", got, stored, err)
	}
	for name, try := range map[string]func() error{
		"another request id": func() error { _, _, err := table.take(peerB, ch.id, 11); return err },
		"another peer":       func() error { _, _, err := table.take(peerA, ch.id, 10); return err },
		"another challenge":  func() error { _, _, err := table.take(peerB, ch.id^2, 10); return err },
	} {
		if err := try(); !problem.Is(err, problem.AuthTimeout) {
			t.Errorf("%s: %v", name, err)
		}
	}

	ch = put(0, 12, "create")
	c.t = c.t.Add(challengeLifetime)
	if _, _, err := table.take(peerA, ch.id, 13); !problem.Is(err, problem.AuthTimeout) {
		t.Errorf("too old: %v", err)
	}
	if table.len() != 0 || len(table.byAsk) != 0 || len(table.peers) != 0 {
		t.Errorf("%d left", table.len())
	}

	// In a session the challenge has the session's id, and goes from connection to connection.
	ch = put(44, 1, "create")
	if ch.id != 44 {
		t.Fatal(ch.id)
	}
	if again, _ := table.put(peerB, true, 44, 1, 0x020b, nil, []byte("create")); again != ch {
		t.Error("the same request in its session got another challenge")
	}
	next := put(44, 2, "delete")
	if next == ch || table.len() != 1 {
		t.Error("two challenges under one session")
	}
	if got, _, err := table.take(peerB, 44, 3); got != next || err != nil {
		t.Errorf("%v %v", got, err)
	}
	table.done(next, nil, false)
	if table.len() != 0 {
		t.Error("an answered challenge of a connection stays")
	}
}

// Whatever comes, the table keeps its bounds and its books.
func TestChallengesAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &clock{time.Unix(1_800_000_000, 0)}
		table := newChallenges(c.now, nil)
		var known []*challenge
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 3).Draw(t, "peer"))}), 5)
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				ch, err := table.put(peer, rapid.Bool().Draw(t, "proven"), rapid.SampledFrom([]uint32{0, 0, 2, 4}).Draw(t, "session"),
					rapid.Uint32Range(1, 5).Draw(t, "request"), 0x020b, nil, make([]byte, rapid.IntRange(0, 9).Draw(t, "size")))
				if err != nil {
					t.Fatal(err)
				}
				known = append(known, ch)
			case 2:
				if len(known) > 0 {
					ch := rapid.SampledFrom(known).Draw(t, "challenge")
					if got, _, err := table.take(peer, ch.id, 9); err == nil && got != nil {
						table.done(got, make([]byte, 20), rapid.Bool().Draw(t, "keep"))
					}
				}
			case 3:
				c.t = c.t.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
			}
			n, size, own := 0, [2]int{}, 0
			for i := range table.parts {
				n += table.parts[i].n
				for e := table.parts[i].order.Front(); e != nil; e = e.Next() {
					size[i] += e.Value.(*challenge).size()
				}
				if size[i] != table.parts[i].bytes {
					t.Fatalf("part %d: %d bytes, booked %d", i, size[i], table.parts[i].bytes)
				}
			}
			for _, l := range table.peers {
				own += l.Len()
			}
			if n != len(table.byID) || n != own || len(table.byAsk) > n {
				t.Fatalf("%d in parts, %d by id, %d by peer, %d by request", n, len(table.byID), own, len(table.byAsk))
			}
		}
	})
}

func TestForgedSourcesPushOutOnlyForged(t *testing.T) {
	table := newChallenges(nil, nil)
	real, err := table.put(peerA, true, 0, 1, 0x020b, nil, []byte("create"))
	if err != nil {
		t.Fatal(err)
	}
	var first *challenge
	for i := range maxChallenges + 10 {
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5)
		c, err := table.put(peer, false, 0, 1, 0x020b, nil, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = c
		}
	}
	if table.len() != maxChallenges+1 {
		t.Errorf("%d kept", table.len())
	}
	if _, _, err := table.take(peerB, first.id, 2); err == nil {
		t.Error("the oldest forged one stayed")
	}
	if got, _, err := table.take(peerA, real.id, 2); got != real || err != nil {
		t.Error("a forged flood pushed out a connection's challenge")
	}
	for i := range maxPeerChallenges + 1 {
		if _, err := table.put(peerB, true, 0, uint32(i+1), 0x020b, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := table.peers[peerB.Addr()].Len(); n != maxPeerChallenges {
		t.Errorf("%d of one address", n)
	}
}

func TestOneTaker(t *testing.T) {
	table := newChallenges(nil, nil)
	ch, err := table.put(peerA, true, 0, 1, 0x020b, nil, []byte("create"))
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			peer := netip.MustParseAddrPort(fmt.Sprintf("192.0.2.1:%d", 100+i))
			if got, _, err := table.take(peer, ch.id, 2); err == nil && got != nil {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Errorf("taken %d times", taken.Load())
	}
}
