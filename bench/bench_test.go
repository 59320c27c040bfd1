package bench

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
)

// The test binary serves the ceilings itself, as the program does under `fujie bench`.
func TestMain(m *testing.M) {
	if os.Getenv(ceilingEnv) != "" {
		if err := Run(context.Background(), Options{}, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Count() != 0 || h.Max() != 0 {
		t.Error("an empty histogram is not empty")
	}
	for i := 1; i <= 1000; i++ {
		h.Add(time.Duration(i) * time.Microsecond)
	}
	h.Add(-time.Second)
	if h.Count() != 1001 || h.Max() != time.Millisecond {
		t.Errorf("count %d, max %v", h.Count(), h.Max())
	}
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 500 * time.Microsecond, 0.9: 900 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond} {
		got := h.Quantile(q)
		if got < want-want/32 || got > want+want/32+time.Microsecond {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
}

func TestHistogramErrorIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<62), 1, 200).Draw(t, "values")
		var h, part Histogram
		for i, v := range values {
			if i%2 == 0 {
				h.Add(time.Duration(v))
			} else {
				part.Add(time.Duration(v))
			}
		}
		h.Merge(&part)
		slices.Sort(values)
		if h.Count() != uint64(len(values)) || int64(h.Max()) != values[len(values)-1] {
			t.Fatalf("count %d, max %d", h.Count(), h.Max())
		}
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		exact := values[min(int(q*float64(len(values))), len(values)-1)]
		if got := int64(h.Quantile(q)); got < exact || got-exact > exact/32 {
			t.Fatalf("quantile %v: %d, exactly %d", q, got, exact)
		}
	})
}

func TestBuckets(t *testing.T) {
	for i := range buckets {
		if got := bucketOf(lowest(i)); got != i {
			t.Fatalf("bucket %d begins at %d, which falls into %d", i, lowest(i), got)
		}
		if i > 0 && bucketOf(lowest(i)-1) != i-1 {
			t.Fatalf("bucket %d does not follow %d", i, i-1)
		}
	}
}

func TestNamesAreDifferentAndOfOneLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64Range(0, 1<<40-1).Draw(t, "a"), rapid.Uint64Range(0, 1<<40-1).Draw(t, "b")
		x, y := AppendSuffix(nil, a), AppendSuffix(nil, b)
		if (a == b) != bytes.Equal(x, y) || len(x) != suffixLen {
			t.Fatalf("%d is %s, %d is %s", a, x, b, y)
		}
	})
	if got := string(AppendHandle([]byte("x:"), 0)); got != "x:88.118.1001/SN00000000" {
		t.Errorf("record 0 is %s", got)
	}
}

func TestJSONLines(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSONLines(&b, 7, 10); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(&b)
	for n := uint64(7); n < 10; n++ {
		var r struct {
			ID     string
			Values []struct {
				Index      uint32
				Type, Data string
			}
		}
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.ID != string(AppendHandle(nil, n)) || len(r.Values) != 3 {
			t.Fatalf("line of %d: %+v", n, r)
		}
		for i, v := range valuesOf(n) {
			if w := r.Values[i]; w.Index != v.index || w.Type != v.typ || w.Data != v.data {
				t.Errorf("value %d of %d: %+v, want %+v", i, n, w, v)
			}
		}
	}
	if _, err := d.Token(); err != io.EOF {
		t.Errorf("after the last line: %v", err)
	}
}

// The zone must say, to software that others wrote, what our records say; and our questions must ask for it.
func TestZoneAndQuestions(t *testing.T) {
	var zone bytes.Buffer
	const names = 50
	if err := WriteZone(&zone, names); err != nil {
		t.Fatal(err)
	}
	txt := map[string][]string{}
	p := dns.NewZoneParser(&zone, "", "bench.zone")
	soa := 0
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		switch rr := rr.(type) {
		case *dns.SOA:
			soa++
		case *dns.TXT:
			txt[strings.ToUpper(rr.Hdr.Name)] = append(txt[strings.ToUpper(rr.Hdr.Name)], rr.Txt...)
		}
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	if soa != 1 || len(txt) != names {
		t.Fatalf("%d SOA, %d names", soa, len(txt))
	}
	for n := range uint64(names) {
		var m dns.Msg
		if err := m.Unpack(DNS{}.Ask(nil, n, 0x54321)); err != nil {
			t.Fatal(err)
		}
		if m.Id != 0x4321 || m.Response || len(m.Question) != 1 || m.Question[0].Qtype != dns.TypeTXT {
			t.Fatalf("question %v", m)
		}
		got := txt[strings.ToUpper(m.Question[0].Name)]
		for i, v := range valuesOf(n) {
			if len(got) != 3 || got[i] != v.data {
				t.Fatalf("%s has %q, want %q at %d", m.Question[0].Name, got, v.data, i)
			}
		}
	}
}

func TestDNSJudge(t *testing.T) {
	var m dns.Msg
	if err := m.Unpack(DNS{}.Ask(nil, 1, 77)); err != nil {
		t.Fatal(err)
	}
	judge := func(m *dns.Msg) Verdict {
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		id, v := DNS{}.Judge(b)
		if id != 77 {
			t.Errorf("id %d", id)
		}
		return v
	}
	r := new(dns.Msg)
	r.SetReply(&m)
	r.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"x"}}}
	if judge(r) != Right {
		t.Error("an answer is not right")
	}
	r.Truncated = true
	if judge(r) != Wrong {
		t.Error("a truncated answer passes")
	}
	r.Truncated, r.Rcode = false, dns.RcodeRefused
	if judge(r) != Wrong {
		t.Error("a refusal passes")
	}
	r.Rcode, r.Answer = dns.RcodeSuccess, nil
	if judge(r) != Wrong {
		t.Error("an empty answer passes")
	}
	if judge(&m) != Wrong {
		t.Error("a question passes for an answer")
	}
	if _, v := (DNS{}).Judge([]byte{1, 2}); v != Wrong {
		t.Error("rubbish passes")
	}
}

// vectors are messages of the real software, by heading: the bytes of its lines, joined.
func vectors(t *testing.T) map[string][]byte {
	t.Helper()
	b, err := os.ReadFile("../../shared/data/irp-vectors/vectors.txt")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the vectors are not here")
	}
	out := map[string][]byte{}
	title := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "## "); ok {
			title = s
			continue
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if raw, err := hex.DecodeString(f[len(f)-1]); err == nil {
			out[title] = append(out[title], raw...)
		}
	}
	return out
}

func TestResolutionRequestsAreTheRealOnes(t *testing.T) {
	all := vectors(t)
	const expires = 0x6955b900
	for title, got := range map[string][]byte{
		"OC_RESOLUTION request 88.111.1/t1 no types no indexes, v2.11, reqId 0x01020304": AppendResolution(nil,
			0x01020304, ClientFlags, expires, []byte("88.111.1/t1"), nil, nil),
		"OC_RESOLUTION request types URL,EMAIL idx 1,100, AT+CT+RD, no REC, no PO, CA default": AppendResolution(nil,
			0x01020304, 0xc8800000, expires, []byte("88.111.1/t1"), []uint32{1, 100}, []string{"URL", "EMAIL"}),
	} {
		want, ok := all[title]
		if !ok {
			t.Fatalf("no vector %q", title)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", title, got, want)
		}
	}
}

func TestIRPJudge(t *testing.T) {
	p := IRP{Flags: ClientFlags}
	q := p.Ask(nil, 5, 0x1234)
	if n := p.Frame(q); n != len(q) {
		t.Errorf("frame of a request of %d bytes: %d", len(q), n)
	}
	for cut := range q {
		if n := p.Frame(q[:cut]); n != 0 {
			t.Fatalf("frame of %d of its bytes: %d", cut, n)
		}
	}
	if _, v := p.Judge(q); v != Wrong {
		t.Error("a question passes for an answer")
	}
	if id, v := (IRP{Echo: true}).Judge(q); v != Right || id != 0x1234 {
		t.Errorf("echo: id %x, verdict %d", id, v)
	}
	if _, v := p.Judge(q[:10]); v != Wrong {
		t.Error("rubbish passes")
	}
	if p.Frame(bytes.Repeat([]byte{0xff}, 40)) != -1 {
		t.Error("a message of 4 GiB passes")
	}
	all := vectors(t)
	for title, want := range map[string]Verdict{
		"OC_RESOLUTION success response (one URL value)":          Right,
		"RC_HANDLE_NOT_FOUND(100), empty message":                 Wrong,
		"RC_PREFIX_REFERRAL(303) response, empty handle + values": Wrong,
	} {
		if _, got := p.Judge(all[title]); got != want || len(all[title]) == 0 {
			t.Errorf("%s (%d bytes): verdict %d", title, len(all[title]), got)
		}
	}
	// An answer of 1,000 bytes in three packets.
	packets := make([][]byte, 3)
	for i := range packets {
		packets[i] = append(make([]byte, 0, 100), all["OC_RESOLUTION success response (one URL value)"]...)
		packets[i][2] |= 0x20
		packets[i][15] = byte(i)
		copy(packets[i][16:], []byte{0, 0, 1000 >> 8, 1000 & 0xff})
	}
	for i, want := range []Verdict{Partial, Partial, Right} {
		if _, v := p.Judge(packets[i]); v != want {
			t.Errorf("packet %d of 3: verdict %d, want %d", i, v, want)
		}
	}
}

func TestHTTPFrames(t *testing.T) {
	p := HTTP{Host: "localhost"}
	if q := string(p.Ask(nil, 0, 1)); q != "GET /api/handles/88.118.1001/SN00000000 HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n" {
		t.Errorf("question %q", q)
	}
	for _, c := range []struct {
		in    string
		frame int
		v     Verdict
	}{
		{"HTTP/1.1 200 OK\r\nX: y\r\nCoNtent-Length: 5\r\n\r\nhelloHTTP/1.1 200", 49, Right},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", 0, Right},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 45, Wrong},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 60, Right},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0, Right},
		{"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n", -1, Right},
		{"HTTP/1.1 200 OK\r\n\r\nuntil it closes", -1, Right},
		{"HTTP/1.1 200 OK\r\nContent-Len", 0, Right},
	} {
		if got := p.Frame([]byte(c.in)); got != c.frame {
			t.Errorf("frame of %q: %d, want %d", c.in, got, c.frame)
		}
		if _, v := p.Judge([]byte(c.in)); v != c.v {
			t.Errorf("verdict of %q: %d", c.in, v)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n"))
	f.Add(IRP{}.Ask(nil, 1, 2))
	f.Add(DNS{}.Ask(nil, 1, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range []Protocol{IRP{}, DNS{}, HTTP{}} {
			if n := p.Frame(b); n > len(b) || n < -1 {
				t.Fatalf("%T: a frame of %d in %d bytes", p, n, len(b))
			}
			p.Judge(b)
		}
	})
}

// ceilingAt runs one of Serve's in this process and returns its address.
func ceilingAt(t *testing.T, spec string, more ...string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, strings.Join(append([]string{spec, addr.String()}, more...), " "), io.Discard)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	})
	return addr
}

func untilAnswers(t *testing.T, target Target) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if _, right, _ := target.ask(t.Context(), 0, 100*time.Millisecond); right {
			return
		}
	}
	t.Fatal("no answer in 20 s")
}

func TestLoads(t *testing.T) {
	echo := IRP{Flags: ClientFlags, Echo: true}
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, jsonAnswer(0), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		over  Transport
		proto Protocol
		addr  func() netip.AddrPort
	}{
		{UDP, echo, func() netip.AddrPort { return ceilingAt(t, "udp-echo") }},
		{UDP, echo, func() netip.AddrPort { return ceilingAt(t, "udp-plain-echo") }},
		{UDP, echo, func() netip.AddrPort { return ceilingAt(t, "udp-reply", "288") }},
		{TCP, echo, func() netip.AddrPort { return ceilingAt(t, "tcp-echo") }},
		{TCP, HTTP{Host: "localhost"}, func() netip.AddrPort { return ceilingAt(t, "http-bare", body) }},
	} {
		target := Target{Over: c.over, Addr: c.addr(), Proto: c.proto}
		untilAnswers(t, target)
		for _, clients := range []int{1, 3} {
			l := Load{Clients: clients, Window: 4, Names: 100, Warm: 10 * time.Millisecond, Turn: 100 * time.Millisecond}
			var o *Outcome
			var err error
			if c.over == UDP {
				o, err = l.RunUDP(t.Context(), target.Addr, c.proto)
			} else {
				o, err = l.RunTCP(t.Context(), target.Addr, c.proto)
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.Answers == 0 || o.Wrong != 0 || o.Lost != 0 || o.All < o.Answers || o.Latency.Count() != o.Answers || o.Rate() <= 0 {
				t.Errorf("%s %T, %d clients: %d answers, %d wrong, %d lost, %d timed", c.over, c.proto, clients, o.Answers, o.Wrong, o.Lost, o.Latency.Count())
			}
		}
	}
}

// A server that answers some questions with an error and leaves some without an answer is found out.
func TestLoadCountsWhatGoesWrong(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for i := 0; ; i++ {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			if i%100 != 99 {
				b[27] = byte(i % 2) // response code: every other answer is one
				pc.WriteTo(b[:n], from)
			}
		}
	}()
	l := Load{Clients: 2, Window: 4, Names: 10, Turn: 400 * time.Millisecond, Patience: 20 * time.Millisecond}
	o, err := l.RunUDP(t.Context(), netip.MustParseAddrPort(pc.LocalAddr().String()), IRP{})
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()
	<-done
	if o.Answers == 0 || o.Wrong == 0 || o.Lost == 0 {
		t.Errorf("%d answers, %d wrong, %d lost: all should be there", o.Answers, o.Wrong, o.Lost)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0") // never answers
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := Load{Clients: 2, Window: 2, Turn: time.Hour}
	if _, err := l.RunUDP(ctx, netip.MustParseAddrPort(pc.LocalAddr().String()), IRP{}); err == nil {
		t.Error("no error")
	}
}

func TestLoadPicksFromItsNames(t *testing.T) {
	l := Load{Names: 3, Window: 1}
	c := l.newClient(0, IRP{}, time.Now())
	seen := map[uint64]bool{}
	for range 200 {
		n, more := c.pick()
		if !more {
			t.Fatal("no more")
		}
		seen[n] = true
	}
	if len(seen) != 3 || !seen[0] || !seen[2] {
		t.Errorf("picked %v", seen)
	}
}

// Asking for each record once ends by itself, and misses none.
func TestLoadOnce(t *testing.T) {
	echo := IRP{Flags: ClientFlags, Echo: true}
	target := Target{Over: UDP, Addr: ceilingAt(t, "udp-echo"), Proto: echo}
	untilAnswers(t, target)
	var asked atomic.Uint64
	l := Load{Clients: 3, Window: 4, Names: 1000, Once: &asked, Turn: time.Hour}
	o, err := l.RunUDP(t.Context(), target.Addr, echo)
	if err != nil {
		t.Fatal(err)
	}
	if o.Answers != 1000 || o.Took >= time.Hour || asked.Load() < 1000 {
		t.Errorf("%d answers in %v", o.Answers, o.Took)
	}
}

func TestServeRefusesRubbish(t *testing.T) {
	for _, spec := range []string{"", "udp-echo", "udp-echo nowhere", "udp-reply 127.0.0.1:0 5", "udp-reply 127.0.0.1:0 x", "x 127.0.0.1:0",
		"http-bare 127.0.0.1:0 /does/not/exist", "pebble-bare d 0 1", "pebble-bare d 1 0", "pebble-bare d 1"} {
		if err := Serve(t.Context(), spec, io.Discard); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func TestIngest(t *testing.T) {
	var b bytes.Buffer
	if err := Serve(t.Context(), "pebble-bare "+filepath.Join(t.TempDir(), "p")+" 2500 1000", &b); err != nil {
		t.Fatal(err)
	}
	var in Ingest
	if err := json.Unmarshal(b.Bytes(), &in); err != nil {
		t.Fatal(err)
	}
	want := uint64(0)
	for n := range uint64(2500) {
		want += uint64(len(AppendHandle(nil, n)) + len(appendRecord(nil, n)))
	}
	if in.Records != 2500 || in.Bytes != want || in.Seconds <= 0 || in.Disk == 0 {
		t.Errorf("%+v, want %d bytes", in, want)
	}
}

func sample() Report {
	r := Report{Date: time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC), Commit: "abc", Command: "fujie bench", Machine: "two cores",
		Layout: "apart", Names: 1000, Rounds: 2, Turn: "3s", Took: "1m",
		Tables: []Table{{Name: "udp-32", Title: "UDP", Rows: []Row{
			{Subject: "udp-echo", Rate: 200_000, Rates: []float64{190_000, 210_000}, P50: 1500, P99: 12, CPU: 1, PerCPU: 200_000},
			{Subject: "fujie", Rate: 150_000, Rates: []float64{150_000, 150_000}, PerCPU: 160_000},
			{Subject: "nsd", Rate: 160_000, Rates: []float64{160_000}},
		}}},
		Absent: []Absent{{"knot", "apt-get install knot"}},
	}
	r.add("bulk", "pebble-bare", "registered", "/s", 100_000, 300_000, 200_000)
	r.add("bulk", "fujie", "registered", "/s", 90_000)
	r.add("large", "fujie", "first answer", "s", 1.5)
	r.judge()
	return r
}

func TestTargets(t *testing.T) {
	r := sample()
	got := map[string]Judged{}
	for _, v := range r.Verdicts {
		got[v.Target] = v
	}
	for what, want := range map[string]struct {
		got         float64
		met, absent bool
	}{
		"UDP, 32 clients: of the bare batched echo (aim 0.8)": {0.75, true, false},
		"UDP, 32 clients: of NSD":                             {0.9375, false, false},
		"UDP, 32 clients: of Knot DNS":                        {0, false, true},
		"UDP, 32 clients: of Handle.Net 9.3.1's published rate, scaled by the echo of the day": {150_000 / (36_500 * 200_000.0 / 238_000), true, false},
		"Bulk registration, durable per batch: of the raw engine's ingest of the same bytes":   {0.45, true, false},
		"First answer after the start with all records, seconds":                               {1.5, false, false},
		"Resident when idle with all records, MiB":                                             {0, false, true},
	} {
		v, ok := got[what]
		if !ok {
			t.Errorf("no target %q", what)
			continue
		}
		if v.Met != want.met || v.Absent != want.absent || (!v.Absent && (v.Got < want.got-1e-9 || v.Got > want.got+1e-9)) {
			t.Errorf("%s: %+v, want %+v", what, v, want)
		}
	}
}

func TestReportFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	r := sample()
	if err := r.save(dir); err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(filepath.Join(dir, "2026-11-22T1800.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| UDP, 32 clients: of NSD | ≥ 1 | 0.9375 | – | **not reached** |",
		"| UDP, 32 clients: of the bare batched echo (aim 0.8) | ≥ 0.6 | 0.75 | 0.8 | reached |",
		"| UDP, 32 clients: of Knot DNS | ≥ 1 | – | – | not measured |",
		"| First answer after the start with all records, seconds | ≤ 1 | 1.5 | – | **not reached** |",
		"| udp-echo | 200,000 | 190,000 – 210,000 | 100 % | 1.50 ms |",
		"| fujie | 150,000 | 150,000 – 150,000 | 75 % |",
		"| bulk | pebble-bare | registered | 200,000 /s | 100,000, 300,000, 200,000 |",
		"- knot: apt-get install knot",
		"commit `abc`",
	} {
		if !strings.Contains(string(md), want) {
			t.Errorf("the report lacks %q:\n%s", want, md)
		}
	}
	js, err := os.ReadFile(filepath.Join(dir, "2026-11-22T1800.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(js, &back); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(back) != fmt.Sprint(r) {
		t.Errorf("read back:\n%v\nwant\n%v", back, r)
	}
}

func TestBoundedLoadIsNoted(t *testing.T) {
	r := Report{Tables: []Table{{Name: "tcp-1", Saturating: true, Rows: []Row{{Subject: "quick", CPU: 0.5, Load: 0.99}, {Subject: "slow", CPU: 0.99, Load: 0.99}}},
		{Name: "one", Rows: []Row{{Subject: "quick", CPU: 0.5, Load: 0.99}}}}}
	r.bounded(1)
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "limit of quick") {
		t.Errorf("%q", r.Notes)
	}
}

func TestProcessesAreWeighed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems do not say")
	}
	for ownCPU() < 20*time.Millisecond { // until there is something to see
		jsonAnswer(1)
	}
	if r := residentOf(os.Getpid()); r < 1<<20 {
		t.Errorf("%d bytes resident", r)
	}
	if c := cpuOf(os.Getpid()); c <= 0 {
		t.Errorf("%v of processor time", c)
	}
	if r, c := residentOf(1<<30), cpuOf(1<<30); r != 0 || c != 0 {
		t.Errorf("a process that is not there: %d bytes, %v", r, c)
	}
}

func TestMedian(t *testing.T) {
	for want, v := range map[float64][]float64{0: nil, 3: {3}, 2.5: {4, 1, 3, 2}, 5: {9, 5, 1}} {
		if got := median(v); got != want {
			t.Errorf("median of %v: %v, want %v", v, got, want)
		}
	}
}

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		name string
		list string
		want bool
	}{
		{"udp-32", "", true}, {"udp-32", "udp", true}, {"udp-32", "udp-*", true}, {"udp-32", "udp-32", true},
		{"udp-32x1", "udp-32", false}, {"tcp-1", "udp, tcp-1", true}, {"tcp-1", "http", false},
	} {
		if got := wanted(c.name, c.list); got != c.want {
			t.Errorf("wanted(%q, %q) = %v", c.name, c.list, got)
		}
	}
}

// The whole way on the ceilings, whose processes this test binary serves.
func TestRun(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	o := Options{Quick: true, Names: 2000, Only: "udp-32,tcp-1,http-1,bulk", Subjects: "udp-echo,tcp-echo,http-bare,pebble-bare",
		Turn: 50 * time.Millisecond, Warm: 10 * time.Millisecond, Rounds: 2, Work: filepath.Join(dir, "work"), Out: filepath.Join(dir, "results"),
		Self: []string{exe}, Version: "c0ffee", Command: "go test", Now: func() time.Time { return now }}
	var said bytes.Buffer
	if err := Run(t.Context(), o, &said); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	js, err := os.ReadFile(filepath.Join(dir, "results", "2026-11-22T1800-quick.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(js, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Tables) != 3 {
		t.Fatalf("%d tables: %s", len(r.Tables), said.String())
	}
	for _, table := range r.Tables {
		if len(table.Rows) != 1 || len(table.Rows[0].Rates) != 2 || table.Rows[0].Rate <= 0 {
			t.Errorf("%s: %+v", table.Name, table.Rows)
		}
	}
	if v, ok := r.figure("bulk", "pebble-bare", "registered"); !ok || v <= 0 {
		t.Errorf("bulk: %v", r.Figures)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "work", "run-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRunRefusesBadPatterns(t *testing.T) {
	if err := Run(t.Context(), Options{Only: "["}, io.Discard); !problem.Is(err, problem.BadRequest) {
		t.Errorf("%v", err)
	}
}
