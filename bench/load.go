package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/wire/burst"
)

// Load is what the clients do: each keeps Window questions outstanding and asks the next when an answer comes (a closed
// loop), so that no more is asked than is answered.
type Load struct {
	Clients int
	Window  int // at most 256
	// Names is how many records there are to ask for; any, each as likely.
	Names uint64
	// Once, if not nil, counts the records asked for so far: the clients together ask for each record from there to
	// Names once, and end when none is left.
	Once *atomic.Uint64

	Warm, Turn time.Duration
	// Patience is how long an answer over UDP may take before its question counts as lost and another is asked.
	// Default 1 s.
	Patience time.Duration
}

// Outcome is what one turn of a load found.
type Outcome struct {
	Answers uint64        // right ones, in the turn
	All     uint64        // right ones, with those of the warm-up
	Wrong   uint64        // refusals and rubbish, in the turn
	Lost    uint64        // questions without an answer
	Took    time.Duration // the turn
	Latency Histogram
}

// Rate is the answers per second.
func (o *Outcome) Rate() float64 { return float64(o.Answers) / o.Took.Seconds() }

func (o *Outcome) merge(c *client) {
	o.Answers += c.answers
	o.All += c.all
	o.Wrong += c.wrong
	o.Lost += c.lost
	o.Latency.Merge(&c.latency)
}

// client is one of the load's: its outstanding questions, and its counts since the warm-up ended.
type client struct {
	load  *Load
	proto Protocol
	pick  func() (n uint64, more bool)

	slots   []slot
	open    int           // questions without an answer yet
	ended   time.Duration // since base
	head    int           // the oldest slot, for protocols that answer in order
	base    time.Time
	from    time.Duration // counting starts
	until   time.Duration // and ends, since base
	answers uint64
	all     uint64
	wrong   uint64
	lost    uint64
	latency Histogram
}

type slot struct {
	id    uint32 // generation<<8 | place
	asked time.Duration
	open  bool
}

const slotBits = 8

func (l *Load) newClient(i int, p Protocol, base time.Time) *client {
	c := &client{load: l, proto: p, slots: make([]slot, max(1, min(l.Window, 1<<slotBits))),
		base: base, from: l.Warm, until: l.Warm + l.Turn}
	r, names := rand.New(rand.NewPCG(20260101, uint64(i))), max(l.Names, 1)
	c.pick = func() (uint64, bool) { return r.Uint64N(names), true }
	if l.Once != nil {
		c.pick = func() (uint64, bool) {
			n := l.Once.Add(1) - 1
			return n, n < names
		}
	}
	for i := range c.slots {
		c.slots[i].id = uint32(i)
	}
	return c
}

// ask appends a new question for the slot to b; nothing when none is left.
func (c *client) ask(b []byte, place int, now time.Duration) []byte {
	n, more := c.pick()
	if !more {
		return b
	}
	s := &c.slots[place]
	s.id = (s.id + 1<<slotBits) & (firstID - 1)
	s.asked = now
	s.open = true
	c.open++
	return c.proto.Ask(b, n, s.id)
}

// take counts a message. It returns the slot that it freed, and whether it freed one.
func (c *client) take(m []byte, now time.Duration) (place int, freed bool) {
	id, v := c.proto.Judge(m)
	if c.proto.InOrder() {
		place = c.head
		c.head = (c.head + 1) % len(c.slots)
	} else {
		place = int(id & (1<<slotBits - 1))
	}
	if place >= len(c.slots) || !c.slots[place].open || (!c.proto.InOrder() && uint16(c.slots[place].id) != uint16(id)) {
		return 0, false // the answer to a question given up, or no answer of ours
	}
	if v == Partial {
		return 0, false
	}
	c.slots[place].open = false
	c.open--
	if v == Right {
		c.all++
	}
	if now >= c.from && now < c.until {
		if v == Right {
			c.answers++
			c.latency.Add(now - c.slots[place].asked)
		} else {
			c.wrong++
		}
	}
	return place, true
}

// RunUDP puts the load on addr, each client on a socket of its own with batched system calls.
func (l Load) RunUDP(ctx context.Context, addr netip.AddrPort, p Protocol) (*Outcome, error) {
	return l.run(ctx, p, func(ctx context.Context, c *client) error {
		conn, err := burst.Dial(addr, burst.Options{Batch: len(c.slots), Segment: true})
		if err != nil {
			return err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		return c.overUDP(conn)
	})
}

// RunTCP puts the load on addr, each client on a kept connection, writing questions together.
func (l Load) RunTCP(ctx context.Context, addr netip.AddrPort, p Protocol) (*Outcome, error) {
	return l.run(ctx, p, func(ctx context.Context, c *client) error {
		conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
		if err != nil {
			return err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		return c.overTCP(conn)
	})
}

func (l Load) run(ctx context.Context, p Protocol, serve func(context.Context, *client) error) (*Outcome, error) {
	if l.Patience == 0 {
		l.Patience = time.Second
	}
	var (
		wg      sync.WaitGroup
		clients = make([]*client, max(l.Clients, 1))
		errs    = make([]error, len(clients))
		base    = time.Now()
	)
	for i := range clients {
		clients[i] = l.newClient(i, p, base)
		wg.Go(func() { errs[i] = serve(ctx, clients[i]) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := &Outcome{Took: time.Millisecond}
	for _, c := range clients {
		out.merge(c)
		out.Took = max(out.Took, min(c.ended, c.until)-c.from)
	}
	if err := errors.Join(errs...); err != nil {
		return out, err
	}
	return out, nil
}

func (c *client) overUDP(conn *burst.Conn) error {
	const room = 512 // of a question; answers may be longer
	out, in := burst.NewBatch(len(c.slots), room), burst.NewBatch(max(len(c.slots), 16), 4096)
	now := time.Since(c.base)
	k := 0
	next := func(place int) {
		if q := c.ask(out[k].Buf[:0], place, now); len(q) > 0 {
			out[k].N = len(q)
			k++
		}
	}
	for i := range c.slots {
		next(i)
	}
	if _, err := conn.Write(out[:k]); err != nil {
		return err
	}
	const look = 50 * time.Millisecond // how often to look for lost questions, and at the clock when nothing comes
	if err := conn.SetReadDeadline(time.Now().Add(look)); err != nil {
		return err
	}
	for {
		if c.ended = now; now >= c.until || c.open == 0 {
			return nil
		}
		n, err := conn.Read(in)
		now = time.Since(c.base)
		k = 0
		switch {
		case err == nil:
			for i := range in[:n] {
				if place, freed := c.take(in[i].Payload(), now); freed {
					next(place)
				}
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			for place := range c.slots {
				if s := &c.slots[place]; s.open && now-s.asked > c.load.Patience {
					s.open = false
					c.open--
					if now >= c.from && now < c.until {
						c.lost++
					}
					next(place)
				}
			}
			if err := conn.SetReadDeadline(time.Now().Add(look)); err != nil {
				return err
			}
		default:
			return fmt.Errorf("reading answers: %w", err)
		}
		if k > 0 && now < c.until {
			if _, err := conn.Write(out[:k]); err != nil {
				return fmt.Errorf("writing questions: %w", err)
			}
		}
	}
}

func (c *client) overTCP(conn *net.TCPConn) error {
	in, out := make([]byte, 64<<10), make([]byte, 0, 64<<10)
	now := time.Since(c.base)
	for i := range c.slots {
		out = c.ask(out, i, now)
	}
	if _, err := conn.Write(out); err != nil {
		return fmt.Errorf("writing questions: %w", err)
	}
	// A server that falls silent ends the turn, not the bench.
	if err := conn.SetReadDeadline(c.base.Add(c.until + 2*time.Second)); err != nil {
		return err
	}
	have := 0
	for {
		if c.ended = now; now >= c.until || c.open == 0 {
			return nil
		}
		n, err := conn.Read(in[have:])
		now = time.Since(c.base)
		have += n
		out = out[:0]
		rest := in[:have]
		for {
			size := c.proto.Frame(rest)
			if size < 0 {
				return fmt.Errorf("the server sent what is no message of the protocol: %.60q", rest)
			}
			if size == 0 {
				break
			}
			if place, freed := c.take(rest[:size], now); freed {
				out = c.ask(out, place, now)
			}
			rest = rest[size:]
		}
		have = copy(in, rest)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.lost += uint64(c.open)
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the server closed a connection that was to be kept")
		}
		if err != nil {
			return fmt.Errorf("reading answers: %w", err)
		}
		if have == len(in) {
			in = append(in, make([]byte, len(in))...)
		}
		if len(out) > 0 && now < c.until {
			if _, err := conn.Write(out); err != nil {
				return fmt.Errorf("writing questions: %w", err)
			}
		}
	}
}
