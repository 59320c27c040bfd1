package irp

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/burst"
)

// shelf is a record.Appender without cost: answers by the spelling that was asked.
type shelf map[string][]byte

func (s shelf) AppendPublic(dst, name []byte, now int64) ([]byte, int64, bool) {
	b, ok := s[string(name)]
	return append(dst, b...), now + 86400, ok
}

func (s shelf) Resolve(context.Context, record.Query) (record.Answer, error) {
	return record.Answer{}, nil
}

func newShelf() shelf {
	three := []record.Value{vecValue, vecValue, vecValue}
	three[1].Index, three[1].Type = 2, "URL.MOBILE"
	three[2].Index, three[2].Type, three[2].Refs = 3, "EMAIL", []record.Ref{{Index: 1, Name: "a/b"}}
	return shelf{"88.111.1/t1": record.AppendBlock(nil, []record.Value{vecValue}), "88.111.1/three": record.AppendBlock(nil, three),
		"88.111.1/empty": record.AppendBlock(nil, nil), "88.111.1/bad": {0, 0, 0, 9, 1}}
}

func fastView(s shelf) view {
	return view{now: vecNow.Unix(), serial: 1, primary: true, appender: s, past: Certified | Encrypt | RequestDigest | Continuous}
}

func TestFastVector(t *testing.T) {
	v := fastView(newShelf())
	dst := []byte("before")
	out, ok := appendFast(dst, vectorMessage(t, "OC_RESOLUTION request 88.111.1/t1"), &v)
	if want := vectorMessage(t, "OC_RESOLUTION success response"); !ok || !bytes.Equal(out[6:], want) {
		t.Fatalf("%v\n%x\n%x", ok, out, want)
	}
}

// TestFastAllocates: nothing.
func TestFastAllocates(t *testing.T) {
	v := fastView(newShelf())
	dst := make([]byte, 0, 4096)
	for _, r := range []Resolution{{Name: "88.111.1/t1"}, {Name: "88.111.1/three", Types: []string{"url.", "x"}},
		{Name: "88.111.1/three", Indexes: []uint32{3, 7}, Chinese: true}} {
		msg := AppendMessage(nil, newRequest(OpResolution, DefaultFlags, AppendResolution(nil, &r)))
		if n := testing.AllocsPerRun(200, func() {
			if out, ok := appendFast(dst, msg, &v); !ok || len(out) < 100 {
				t.Fatal("not answered")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", r.Name, n)
		}
	}
	if !v.chinese {
		t.Error("the Chinese dialect was not noticed")
	}
}

// TestServerAllocates: nothing for plain questions, all the way from socket to socket, limited or not.
func TestServerAllocates(t *testing.T) {
	s := &Server{Resolver: newShelf(), Limits: Limits{RateBytes: 1 << 30, RateBurst: 1 << 30, RateExempt: []netip.Prefix{}}}
	s.start()
	c, err := burst.Listen(netip.MustParseAddrPort("127.0.0.1:0"), burst.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client, err := burst.Dial(c.LocalAddr(), burst.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.SetDeadline(time.Now().Add(20 * time.Second))
	c.SetDeadline(time.Now().Add(20 * time.Second))
	u := &udpServer{s: s, c: c, arena: make([]byte, 0, udpArena), pieces: newReassembler()}
	msg := AppendMessage(nil, ask1("88.111.1/three", DefaultFlags))
	out, in, got := burst.NewBatch(16, 512), burst.NewBatch(16, 2048), burst.NewBatch(16, 2048)
	for i := range out {
		out[i].N = copy(out[i].Buf, msg)
	}
	if n := testing.AllocsPerRun(50, func() {
		client.Write(out)
		for n := 0; n < len(out); {
			k, err := c.Read(in)
			if err != nil {
				t.Fatal(err)
			}
			u.burst(t.Context(), in[:k])
			n += k
		}
		for n := 0; n < len(out); {
			k, err := client.Read(got)
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
	}); n != 0 {
		t.Errorf("UDP: %v allocations for %d questions", n, len(out))
	}

	// Over TCP, with the questions of both ends in one process; the connection's goroutine counts too.
	here, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.ServeTCP(ctx, here) }()
	nc, err := net.Dial("tcp", here.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	all := bytes.Repeat(msg, 100)
	one, _ := appendFast(nil, msg, &view{serial: UnknownSite, appender: s.appender})
	answers := make([]byte, 100*len(one))
	if n := testing.AllocsPerRun(50, func() {
		if _, err := nc.Write(all); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, answers); err != nil {
			t.Fatal(err)
		}
	}); n > 5 { // a collection may have emptied the pool of buffers
		t.Errorf("TCP: %v allocations for 100 questions", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s.Stats.Slow.Load() != 0 {
		t.Errorf("%d questions took the long way", s.Stats.Slow.Load())
	}
}

// TestFastFilters: the fast way and Query.Wants agree.
func TestFastFilters(t *testing.T) {
	v := fastView(newShelf())
	all, _, _ := record.DecodeBlock(newShelf()["88.111.1/three"])
	for _, q := range []record.Query{{}, {Indexes: []uint32{1}}, {Indexes: []uint32{3, 2}}, {Types: []string{"URL"}}, {Types: []string{"Url."}},
		{Types: []string{"url.mobile"}}, {Types: []string{"EMAIL."}, Indexes: []uint32{1}}, {Types: []string{"E"}}, {Indexes: []uint32{9}}, {Types: []string{""}}, {Types: []string{"."}}} {
		msg := AppendMessage(nil, newRequest(OpResolution, DefaultFlags, AppendResolution(nil, &Resolution{Name: "88.111.1/three", Indexes: q.Indexes, Types: q.Types})))
		var want []record.Value
		for _, x := range all {
			if q.Wants(x.Index, x.Type) {
				want = append(want, x)
			}
		}
		out, ok := appendFast(nil, msg, &v)
		if ok != (len(want) > 0) {
			t.Fatalf("%+v: %v", q, ok)
		}
		if !ok {
			continue
		}
		m := decodeWhole(t, out)
		if _, got, err := DecodeValues(m.Body); err != nil || !bytes.Equal(record.AppendBlock(nil, got), record.AppendBlock(nil, want)) {
			t.Errorf("%+v: %+v, %v", q, got, err)
		}
	}
}

// TestFastGivesUp: the fast way leaves alone what it must not answer.
func TestFastGivesUp(t *testing.T) {
	v := fastView(newShelf())
	good := func() []byte { return AppendMessage(nil, ask1("88.111.1/t1", DefaultFlags)) }
	set := func(at int, b ...byte) []byte { m := good(); copy(m[at:], b); return m }
	flags := func(f Flags) []byte { return AppendMessage(nil, ask1("88.111.1/t1", f)) }
	h := envelopeSize
	for what, msg := range map[string][]byte{
		"nothing": nil, "an envelope": good()[:20], "half": good()[:50], "one byte short": good()[:len(good())-1], "one byte more": append(good(), 0),
		"version 1": set(0, 1), "version 4": set(0, 4), "suggests version 1": set(2, 1), "compressed": set(2, 0x82), "encrypted": set(2, 0x42), "truncated": set(2, 0x22),
		"session": set(7, 1), "another op": set(h+3, 2), "an answer": set(h+7, 1), "old site": set(h+12, 0, 0), "deep": set(h+14, 11),
		"not public only": flags(Recursive), "certified": flags(DefaultFlags | Certified), "encrypt": flags(DefaultFlags | Encrypt), "digest": flags(DefaultFlags | RequestDigest),
		"credential":    AppendMessage(nil, &Message{Envelope: vecEnvelope, Header: vecHeader(OpResolution, DefaultFlags), Body: AppendResolution(nil, &Resolution{Name: "88.111.1/t1"}), Credential: []byte{1}}),
		"body too long": set(h+20, 0, 0, 1), "body too short": set(h+20, 0, 0, 0, 4),
		"unknown":      AppendMessage(nil, ask1("88.111.1/none", DefaultFlags)),
		"nothing left": AppendMessage(nil, ask1("88.111.1/empty", DefaultFlags)),
		"bare prefix":  AppendMessage(nil, ask1("88.111.1", DefaultFlags)),
		"long name":    AppendMessage(nil, ask1("88.111.1/"+strings.Repeat("x", handle.MaxLen), DefaultFlags)),
		"auth":         AppendMessage(nil, newRequest(OpResolution, DefaultFlags, AppendResolution(nil, &Resolution{Name: "88.111.1/t1", Chinese: true, Auth: []byte{1}}))),
		"bad block":    AppendMessage(nil, newRequest(OpResolution, DefaultFlags, AppendResolution(nil, &Resolution{Name: "88.111.1/bad", Indexes: []uint32{1}}))),
	} {
		if out, ok := appendFast([]byte("x"), msg, &v); ok || string(out) != "x" {
			t.Errorf("%s: %v %x", what, ok, out)
		}
	}
	if _, ok := appendFast(nil, good(), &v); !ok {
		t.Error("the good one is not answered")
	}
	v.past |= Authoritative
	if _, ok := appendFast(nil, flags(DefaultFlags|Authoritative), &v); ok {
		t.Error("an answer past every cache came the fast way")
	}
}

// FuzzFast: no message makes the fast way panic, and what it answers, it answers as the long way reads the request.
func FuzzFast(f *testing.F) {
	for _, s := range vectorSeeds(f) {
		f.Add(s)
	}
	for _, r := range []Resolution{{Name: "88.111.1/three", Indexes: []uint32{1, 3}, Types: []string{"URL.", "EMAIL"}}, {Name: "88.111.1/t1", Chinese: true},
		{Name: "88.111.1/bad", Types: []string{"X"}}} {
		f.Add(AppendMessage(nil, &Message{Envelope: vecEnvelope, Header: vecHeader(OpResolution, DefaultFlags), Body: AppendResolution(nil, &r)}))
	}
	s := newShelf()
	f.Fuzz(func(t *testing.T, msg []byte) {
		v := fastView(s)
		out, ok := appendFast(nil, msg, &v)
		if !ok {
			return
		}
		e, err := DecodeEnvelope(msg)
		if err != nil {
			t.Fatal(err)
		}
		q, err := DecodeMessage(e, msg[envelopeSize:])
		if err != nil {
			t.Fatal(err)
		}
		b, err := DecodeResolution(q.Body)
		if err != nil && !strings.Contains(err.Error(), "UTF-8") {
			t.Fatal(err)
		}
		m := decodeWhole(t, out)
		if m.Request != e.Request || m.Version != e.Speak() || m.Code != Success || m.Op != q.Op || int(binary.BigEndian.Uint32(out[16:])) != len(out)-envelopeSize {
			t.Fatalf("%+v %+v", m.Envelope, m.Header)
		}
		if err != nil {
			return
		}
		name, vs, err := DecodeValues(m.Body)
		if err != nil || name != b.Name {
			t.Fatalf("%q, %v", name, err)
		}
		query := record.Query{Indexes: b.Indexes, Types: b.Types}
		all, _, _ := record.DecodeBlock(s[name])
		n := 0
		for _, x := range all {
			if query.Wants(x.Index, x.Type) {
				n++
			}
		}
		if n != len(vs) {
			t.Fatalf("%d values, want %d", len(vs), n)
		}
	})
}

func BenchmarkFast(b *testing.B) {
	v := fastView(newShelf())
	msg := AppendMessage(nil, ask1("88.111.1/t1", DefaultFlags))
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := appendFast(dst, msg, &v); !ok {
			b.Fatal("not answered")
		}
	}
}

// eager is an appender that is told of what comes.
type eager struct {
	shelf
	heard *[]string
}

func (e eager) Expect(names [][]byte) {
	for _, n := range names {
		*e.heard = append(*e.heard, string(n))
	}
}

// Whoever wants to know hears of all names that come together, before the answers, by UDP and over connections alike.
func TestExpect(t *testing.T) {
	const n = 2*lookahead + 3
	var heard, want []string
	s := &Server{Resolver: eager{newShelf(), &heard}}
	s.start()
	var all []byte
	batch := burst.NewBatch(n+2, 512)
	for i := range n {
		name := []string{"88.111.1/t1", "88.111.1/three", "88.111.1/none"}[i%3]
		want = append(want, name)
		msg := AppendMessage(nil, ask1(name, DefaultFlags))
		all = append(all, msg...)
		batch[i].N = copy(batch[i].Buf, msg)
	}
	check := func(way string) {
		t.Helper()
		if !slices.Equal(heard, want) {
			t.Errorf("%s: heard of %d names of %d: %q", way, len(heard), len(want), heard)
		}
		heard = nil
	}

	u := &udpServer{s: s}
	odd := [][]byte{{}, []byte("no message"), AppendMessage(nil, newRequest(OpCreate, 0, nil))}
	batch[n].N, batch[n+1].N = copy(batch[n].Buf, odd[1]), copy(batch[n+1].Buf, odd[2])
	for i := 0; i < len(batch); i += lookahead {
		u.expect(batch[i:min(len(batch), i+lookahead)])
	}
	check("udp")

	c := &conn{s: s}
	rest := append(append(all[:len(all):len(all)], odd[2]...), all[:30]...)
	for used := 0; ; {
		k := c.expect(rest[used:])
		if used += k; k == 0 {
			if used != len(all)+len(odd[2]) {
				t.Errorf("looked at %d bytes of %d", used, len(all))
			}
			break
		}
	}
	check("tcp")
	first := batch[0].N
	if k := c.expect(all[:first]); k != first || heard != nil {
		t.Error("one question alone was told of", k, heard)
	}
	for _, b := range odd {
		c.expect(b)
	}
	if allocs := testing.AllocsPerRun(100, func() { heard = heard[:0]; s.expecter = quiet{}; c.expect(all); u.expect(batch[:lookahead]) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

type quiet struct{}

func (quiet) Expect([][]byte) {}
