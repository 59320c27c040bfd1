package irp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/fujie-id/fujie/wire/burst"
)

// BenchmarkUDP answers bursts of questions in lockstep with their sender, beside an echo of the answer's bytes with the
// same socket calls: what remains between them is the protocol.
func BenchmarkUDP(b *testing.B) {
	shelf := shelf{}
	for i := range 10_000 {
		shelf[fmt.Sprintf("88.111.1/item-%07d", i)] = newShelf()["88.111.1/t1"]
	}
	run := func(b *testing.B, serve func(c *burst.Conn, in []burst.Packet), question func(i int) []byte) {
		server, err := burst.Listen(netip.MustParseAddrPort("127.0.0.1:0"), burst.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer server.Close()
		client, err := burst.Dial(server.LocalAddr(), burst.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		server.SetDeadline(time.Now().Add(time.Minute))
		client.SetDeadline(time.Now().Add(time.Minute))
		out, in := burst.NewBatch(burst.DefaultBatch, 512), burst.NewBatch(burst.DefaultBatch, 2048)
		b.ReportAllocs()
		for i := 0; i < b.N; i += len(out) {
			for j := range out {
				out[j].N = copy(out[j].Buf, question(i+j))
			}
			if _, err := client.Write(out); err != nil {
				b.Fatal(err)
			}
			for got := 0; got < len(out); {
				n, err := server.Read(in)
				if err != nil {
					b.Fatal(err)
				}
				serve(server, in[:n])
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
	}
	questions := make([][]byte, 0, len(shelf))
	for name := range shelf {
		questions = append(questions, AppendMessage(nil, ask1(name, DefaultFlags)))
	}
	s := &Server{Resolver: shelf}
	s.start()
	b.Run("echo", func(b *testing.B) {
		answer := make([]byte, 130)
		run(b, func(c *burst.Conn, in []burst.Packet) { c.Write(in) }, func(int) []byte { return answer })
	})
	for _, limited := range []bool{false, true} {
		if limited {
			s = &Server{Resolver: shelf, Limits: Limits{RateBytes: 1 << 30, RateBurst: 1 << 30, RateExempt: []netip.Prefix{}}}
			s.start()
		}
		b.Run(fmt.Sprintf("resolution,limited=%v", limited), func(b *testing.B) {
			var u *udpServer
			run(b, func(c *burst.Conn, in []burst.Packet) {
				if u == nil {
					u = &udpServer{s: s, c: c, arena: make([]byte, 0, udpArena), pieces: newReassembler()}
				}
				u.burst(context.Background(), in)
			}, func(i int) []byte { return questions[i%len(questions)] })
		})
	}
	if s.Stats.Slow.Load() > 0 {
		b.Error("questions took the long way")
	}
}

// BenchmarkTCP answers kept and pipelined questions, 64 at a time, beside an echo of the answers' bytes.
func BenchmarkTCP(b *testing.B) {
	const window = 64
	s := &Server{Resolver: newShelf()}
	question := AppendMessage(nil, ask1("88.111.1/t1", DefaultFlags|KeepConnection))
	v := fastView(newShelf())
	answer, _ := appendFast(nil, question, &v)
	run := func(b *testing.B, serve func(ctx context.Context, l net.Listener), ask []byte) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() { defer close(done); serve(ctx, l) }()
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		all, got := bytes.Repeat(ask, window), make([]byte, window*len(answer))
		b.ReportAllocs()
		for i := 0; i < b.N; i += window {
			if _, err := nc.Write(all); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(nc, got); err != nil {
				b.Fatal(err)
			}
		}
		nc.Close()
		cancel()
		<-done
	}
	b.Run("echo", func(b *testing.B) {
		run(b, func(_ context.Context, l net.Listener) {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			defer l.Close()
			defer nc.Close()
			buf := make([]byte, 64<<10)
			for {
				n, err := nc.Read(buf)
				if err != nil {
					return
				}
				if _, err := nc.Write(buf[:n]); err != nil {
					return
				}
			}
		}, answer)
	})
	b.Run("resolution", func(b *testing.B) {
		run(b, func(ctx context.Context, l net.Listener) { s.ServeTCP(ctx, l) }, question)
	})
}
