package burst

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	loop4 = netip.MustParseAddrPort("127.0.0.1:0")
	loop6 = netip.MustParseAddrPort("[::1]:0")
	any4  = netip.MustParseAddrPort("0.0.0.0:0")
	any6  = netip.MustParseAddrPort("[::]:0")
)

// eachWay runs f in every way to send and receive.
func eachWay(t *testing.T, f func(t *testing.T, o Options)) {
	t.Run("batched", func(t *testing.T) { f(t, Options{Batch: 8}) })
	t.Run("segmented", func(t *testing.T) { f(t, Options{Batch: 8, Segment: true}) })
	t.Run("plain", func(t *testing.T) { f(t, Options{Plain: true}) })
}

func mustListen(t testing.TB, a netip.AddrPort, o Options) *Conn {
	t.Helper()
	c, err := Listen(a, o)
	if err != nil {
		if a.Addr().Is6() && !hasIPv6() {
			t.Skip("this machine has no IPv6")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustDial(t testing.TB, a netip.AddrPort, o Options) *Conn {
	t.Helper()
	c, err := Dial(a, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// readN collects exactly n packets, in order of arrival.
func readN(t testing.TB, c *Conn, n, size int) []Packet {
	t.Helper()
	all := NewBatch(n, size)
	for got := 0; got < n; {
		k, err := c.Read(all[got:])
		if err != nil {
			t.Fatalf("after %d of %d packets: %v", got, n, err)
		}
		if k == 0 {
			t.Fatal("Read returned no packet and no error")
		}
		got += k
	}
	return all
}

func packet(to netip.AddrPort, payload []byte) Packet {
	return Packet{Buf: payload, N: len(payload), Addr: to}
}

func TestThereAndBack(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		for _, at := range []netip.AddrPort{loop4, loop6, any4, any6} {
			t.Run(at.String(), func(t *testing.T) {
				server := mustListen(t, at, o)
				to := netip.AddrPortFrom(loop4.Addr(), server.LocalAddr().Port())
				if at.Addr().Is6() {
					to = netip.AddrPortFrom(loop6.Addr(), to.Port())
				}
				client := mustListen(t, netip.AddrPortFrom(to.Addr(), 0), o)
				want := []string{"", "one", "two", string(bytes.Repeat([]byte("x"), 9000))}
				var out []Packet
				for _, s := range want {
					out = append(out, packet(to, []byte(s)))
				}
				if n, err := client.Write(out); n != len(out) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
				in := readN(t, server, len(want), 10000)
				for i := range in {
					if string(in[i].Payload()) != want[i] || in[i].Addr != client.LocalAddr() || in[i].Cut {
						t.Fatalf("packet %d: %d bytes from %v, cut %v", i, in[i].N, in[i].Addr, in[i].Cut)
					}
				}
				if n, err := server.Write(in); n != len(in) || err != nil {
					t.Fatalf("answer: %d, %v", n, err)
				}
				for i, p := range readN(t, client, len(want), 10000) {
					if string(p.Payload()) != want[i] || p.Addr != to {
						t.Fatalf("answer %d: %d bytes from %v", i, p.N, p.Addr)
					}
				}
			})
		}
	})
}

func TestIPv4OnASocketForBoth(t *testing.T) {
	if !hasIPv6() {
		t.Skip("this machine has no IPv6")
	}
	eachWay(t, func(t *testing.T, o Options) {
		server := mustListen(t, any6, o)
		client := mustDial(t, netip.AddrPortFrom(loop4.Addr(), server.LocalAddr().Port()), o)
		if _, err := client.Write([]Packet{packet(netip.AddrPort{}, []byte("four"))}); err != nil {
			t.Fatal(err)
		}
		in := readN(t, server, 1, 100)
		if in[0].Addr != client.LocalAddr() || !in[0].Addr.Addr().Is4() {
			t.Fatalf("from %v, want %v", in[0].Addr, client.LocalAddr())
		}
		if _, err := server.Write(in); err != nil {
			t.Fatal(err)
		}
		if p := readN(t, client, 1, 100); string(p[0].Payload()) != "four" {
			t.Fatalf("got %q", p[0].Payload())
		}
	})
}

// A machine with several addresses must answer from the one that was asked; a client's connected socket would not
// take the answer otherwise.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 and reports addresses here")
	}
	for _, at := range []netip.AddrPort{any4, any6} {
		t.Run(at.String(), func(t *testing.T) {
			server := mustListen(t, at, Options{})
			asked := netip.MustParseAddr("127.0.0.53")
			client := mustDial(t, netip.AddrPortFrom(asked, server.LocalAddr().Port()), Options{})
			if _, err := client.Write([]Packet{packet(netip.AddrPort{}, []byte("?"))}); err != nil {
				t.Fatal(err)
			}
			in := readN(t, server, 1, 100)
			if in[0].Local != asked {
				t.Fatalf("came to %v, want %v", in[0].Local, asked)
			}
			// To the loopback client the system would answer from 127.0.0.1 by itself.
			if _, err := server.Write(in); err != nil {
				t.Fatal(err)
			}
			readN(t, client, 1, 100)
		})
	}
}

func TestCut(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		server := mustListen(t, loop4, o)
		client := mustDial(t, server.LocalAddr(), o)
		out := []Packet{packet(netip.AddrPort{}, []byte("0123456789")), packet(netip.AddrPort{}, []byte("01234567"))}
		if _, err := client.Write(out); err != nil {
			t.Fatal(err)
		}
		in := readN(t, server, 2, 8)
		if !in[0].Cut || string(in[0].Payload()) != "01234567" {
			t.Errorf("long: %q, cut %v", in[0].Payload(), in[0].Cut)
		}
		if in[1].Cut || string(in[1].Payload()) != "01234567" {
			t.Errorf("fitting: %q, cut %v", in[1].Payload(), in[1].Cut)
		}
	})
}

func TestLargestDatagram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems send smaller ones only")
	}
	eachWay(t, func(t *testing.T, o Options) {
		server := mustListen(t, loop4, o)
		client := mustDial(t, server.LocalAddr(), o)
		big := bytes.Repeat([]byte("b"), MaxDatagram)
		if n, err := client.Write([]Packet{packet(netip.AddrPort{}, big)}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if in := readN(t, server, 1, MaxDatagram); in[0].Cut || !bytes.Equal(in[0].Payload(), big) {
			t.Fatalf("%d bytes, cut %v", in[0].N, in[0].Cut)
		}
	})
}

// One packet that the system refuses costs itself, not its neighbours.
func TestRefusedPacketsAreSkipped(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		for _, at := range []netip.AddrPort{loop4, loop6} {
			t.Run(at.String(), func(t *testing.T) {
				server, client := mustListen(t, at, o), mustListen(t, at, o)
				to := server.LocalAddr()
				tooLong := make([]byte, MaxDatagram+100)
				out := []Packet{
					packet(to, tooLong),
					packet(to, []byte("a")),
					packet(netip.AddrPort{}, []byte("to nobody")),
					packet(netip.AddrPortFrom(to.Addr(), 0), []byte("to no port")),
					packet(to, []byte("b")),
					packet(to, tooLong),
					packet(to, []byte("c")),
				}
				n, err := client.Write(out)
				if n != 3 || err == nil {
					t.Fatalf("Write: %d, %v; want 3 sent and a refusal", n, err)
				}
				got := ""
				for _, p := range readN(t, server, 3, 100) {
					got += string(p.Payload())
				}
				if got != "abc" {
					t.Fatalf("got %q", got)
				}
			})
		}
	})
}

func TestIPv6ReceiverOnAnIPv4SocketIsRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		c := mustListen(t, loop4, o)
		if n, err := c.Write([]Packet{packet(netip.MustParseAddrPort("[::1]:9"), []byte("x"))}); n != 0 || err == nil {
			t.Fatalf("%d, %v", n, err)
		}
	})
}

func TestCloseUnblocksRead(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		c := mustListen(t, loop4, o)
		done := make(chan error, 2)
		for range cap(done) {
			go func() {
				_, err := c.Read(NewBatch(1, 100))
				done <- err
			}()
		}
		c.Close()
		for range cap(done) {
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Fatalf("Read: %v, want net.ErrClosed", err)
			}
		}
		if _, err := c.Write([]Packet{packet(c.LocalAddr(), []byte("x"))}); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Write: %v, want net.ErrClosed", err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		c := mustListen(t, loop4, o)
		past := time.Unix(1, 0)
		c.SetReadDeadline(past)
		if _, err := c.Read(NewBatch(1, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Read: %v", err)
		}
		c.SetDeadline(past)
		if n, err := c.Write([]Packet{packet(c.LocalAddr(), []byte("x"))}); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Write: %d, %v", n, err)
		}
		c.SetDeadline(time.Time{})
		if n, err := c.Write([]Packet{packet(c.LocalAddr(), []byte("x"))}); n != 1 || err != nil {
			t.Fatalf("Write after the deadline was lifted: %d, %v", n, err)
		}
		readN(t, c, 1, 10)
	})
}

func TestEmptyBatch(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		c := mustListen(t, loop4, o)
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Error(n, err)
		}
		if n, err := c.Write(nil); n != 0 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestListenRefusesATakenPort(t *testing.T) {
	c := mustListen(t, loop4, Options{})
	if _, err := Listen(c.LocalAddr(), Options{}); !problem.Is(err, problem.Unreachable) {
		t.Errorf("second socket: %v", err)
	}
	group, err := ListenN(loop4, 2, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range group {
		defer c.Close()
	}
	if _, err := Listen(group[0].LocalAddr(), Options{}); !problem.Is(err, problem.Unreachable) {
		t.Errorf("a socket beside a group: %v", err)
	}
	if _, err := ListenN(group[0].LocalAddr(), 2, Options{}); !problem.Is(err, problem.Unreachable) {
		t.Errorf("a group beside a group: %v", err)
	}
	if _, err := Listen(netip.AddrPort{}, Options{}); !problem.Is(err, problem.BadRequest) {
		t.Errorf("no address: %v", err)
	}
	if _, err := Dial(netip.AddrPort{}, Options{}); !problem.Is(err, problem.BadRequest) {
		t.Errorf("dial to no address: %v", err)
	}
}

func TestListenNServesFromAllItsSockets(t *testing.T) {
	conns, err := ListenN(loop4, 4, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	used := make([]int, len(conns))
	for i, c := range conns {
		if c.LocalAddr() != conns[0].LocalAddr() {
			t.Fatalf("socket %d is on %v, not %v", i, c.LocalAddr(), conns[0].LocalAddr())
		}
		wg.Go(func() {
			in := NewBatch(8, 100)
			for {
				n, err := c.Read(in)
				if err != nil {
					return
				}
				used[i] += n
				c.Write(in[:n])
			}
		})
	}
	const clients = 64
	for range clients {
		c := mustDial(t, conns[0].LocalAddr(), Options{Batch: 1, Buffer: 1 << 16})
		if _, err := c.Write([]Packet{packet(netip.AddrPort{}, []byte("?"))}); err != nil {
			t.Fatal(err)
		}
		readN(t, c, 1, 100)
	}
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
	sum, busy := 0, 0
	for _, n := range used {
		sum += n
		if n > 0 {
			busy++
		}
	}
	if sum != clients {
		t.Errorf("served %d of %d", sum, clients)
	}
	if canShare && busy < 2 { // all 64 senders on one of four sockets: one chance in 10^37
		t.Errorf("load did not spread: %v", used)
	}
}

// Whatever is written arrives once, unchanged and in order, however it falls into batches.
func TestWhateverBatches(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		server, client := mustListen(t, loop4, o), mustListen(t, loop4, o)
		rapid.Check(t, func(t *rapid.T) {
			// Few lengths, so that neighbours often have the same one.
			length := rapid.SampledFrom([]int{0, 1, 60, 61, 600})
			var payloads [][]byte
			for range rapid.IntRange(1, 40).Draw(t, "packets") {
				n := length.Draw(t, "length")
				payloads = append(payloads, rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "payload"))
			}
			var out []Packet
			for _, p := range payloads {
				out = append(out, packet(server.LocalAddr(), p))
			}
			if n, err := client.Write(out); n != len(out) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
			in := NewBatch(rapid.IntRange(1, 20).Draw(t, "batch"), 600)
			for got := 0; got < len(payloads); {
				n, err := server.Read(in)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range in[:n] {
					if !bytes.Equal(p.Payload(), payloads[got]) || p.Addr != client.LocalAddr() {
						t.Fatalf("packet %d: got %x, want %x", got, p.Payload(), payloads[got])
					}
					got++
				}
			}
		})
	})
}

func TestNoAllocations(t *testing.T) {
	for i, at := range []netip.AddrPort{loop4, loop6, any4, any6, loop4, any6} {
		t.Run(fmt.Sprint(at, i), func(t *testing.T) {
			o := Options{Segment: i >= 4}
			server := mustListen(t, at, o)
			to := netip.AddrPortFrom(loop4.Addr(), server.LocalAddr().Port())
			if at.Addr().Is6() {
				to = netip.AddrPortFrom(loop6.Addr(), to.Port())
			}
			client := mustDial(t, to, o)
			out, in := NewBatch(16, 64), NewBatch(64, 512)
			for i := range out {
				out[i].N = 64
			}
			turn := func(from, to *Conn, batch []Packet) int {
				if _, err := from.Write(batch); err != nil {
					t.Fatal(err)
				}
				got := 0
				for got < len(batch) {
					n, err := to.Read(in[got:])
					if err != nil {
						t.Fatal(err)
					}
					got += n
				}
				return got
			}
			allocs := testing.AllocsPerRun(200, func() {
				n := turn(client, server, out)
				copy(out, in[:n]) // answer to where it came from
				turn(server, client, out)
			})
			if allocs != 0 {
				t.Errorf("%v allocations for 32 packets, want 0", allocs)
			}
		})
	}
}

func TestConcurrentWriters(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		server, client := mustListen(t, loop4, o), mustListen(t, loop4, o)
		const writers, each = 4, 50
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					p := packet(server.LocalAddr(), []byte{byte(w), byte(i)})
					if n, err := client.Write([]Packet{p}); n != 1 || err != nil {
						t.Errorf("Write: %d, %v", n, err)
					}
				}
			})
		}
		seen := map[string]bool{}
		for _, p := range readN(t, server, writers*each, 10) {
			seen[string(p.Payload())] = true
		}
		wg.Wait()
		if len(seen) != writers*each {
			t.Errorf("%d different packets, want %d", len(seen), writers*each)
		}
	})
}

// BenchmarkEcho is one question and one answer through both system calls of both ends, for each packet.
func BenchmarkEcho(b *testing.B) {
	for _, o := range []Options{{}, {Segment: true}, {Plain: true}} {
		b.Run(fmt.Sprintf("plain=%v,segment=%v", o.Plain, o.Segment), func(b *testing.B) {
			server := mustListen(b, loop4, o)
			client := mustDial(b, server.LocalAddr(), o)
			out, in := NewBatch(DefaultBatch, 100), NewBatch(DefaultBatch, 512)
			for i := range out {
				out[i].N = 100
			}
			b.ReportAllocs()
			for i := 0; i < b.N; i += len(out) {
				client.Write(out)
				for got := 0; got < len(out); {
					n, err := server.Read(in)
					if err != nil {
						b.Fatal(err)
					}
					server.Write(in[:n])
					got += n
				}
				for got := 0; got < len(out); {
					n, err := client.Read(in)
					if err != nil {
						b.Fatal(err)
					}
					got += n
				}
			}
		})
	}
}
