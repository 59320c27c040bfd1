package recursor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// TestScenarios plays every testdata/*.txt; testdata/README.md says how to read and write them.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, f, string(text)) })
		})
	}
}

// stage is one scenario being played.
type stage struct {
	t    *testing.T
	file string
	line int
	w    *world
	c    Config
	r    *Recursor
}

func (s *stage) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s:%d: %s", s.file, s.line, fmt.Sprintf(format, args...))
}

func (s *stage) errorf(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("%s:%d: %s", s.file, s.line, fmt.Sprintf(format, args...))
}

// block is a line with the indented lines below it.
type block struct {
	line  int
	words []string
	text  string
	below []block
}

func blocks(text string) []block {
	var out []block
	for i, l := range strings.Split(text, "\n") {
		if j := strings.Index(l, " #"); j >= 0 {
			l = l[:j]
		}
		if strings.TrimSpace(l) == "" || strings.HasPrefix(l, "#") {
			continue
		}
		b := block{line: i + 1, words: strings.Fields(l), text: strings.TrimSpace(l)}
		if l[0] == ' ' || l[0] == '\t' {
			if len(out) > 0 {
				out[len(out)-1].below = append(out[len(out)-1].below, b)
				continue
			}
		}
		out = append(out, b)
	}
	return out
}

func play(t *testing.T, file, text string) {
	s := &stage{t: t, file: file, w: newWorld(trust.Ed25519)}
	s.c.Rand = strings.NewReader(strings.Repeat(file+" ", 4))
	defer func() {
		if s.r != nil {
			s.r.Close()
		}
	}()
	for _, b := range blocks(text) {
		s.line = b.line
		s.do(b)
	}
}

// opts takes the words apart: the plain ones, and those that begin with a word of keys, which has a value behind it.
func (s *stage) opts(words []string, keys ...string) (plain []string, with map[string][]string) {
	with = map[string][]string{}
	for i := 0; i < len(words); i++ {
		if slices.Contains(keys, words[i]) && i+1 < len(words) {
			with[words[i]] = append(with[words[i]], words[i+1])
			i++
			continue
		}
		plain = append(plain, words[i])
	}
	return plain, with
}

func (s *stage) dur(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.fatalf("%v", err)
	}
	return d
}

func (s *stage) num(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.fatalf("%v", err)
	}
	return n
}

func (s *stage) machine(name string) *machine {
	m := s.w.servers[name]
	if m == nil {
		s.fatalf("no server %s", name)
	}
	return m
}

func (s *stage) zone(prefix string) *land {
	if prefix == "root" {
		prefix = ""
	}
	l := s.w.zones[prefix]
	if l == nil {
		s.fatalf("no prefix %s", prefix)
	}
	return l
}

func (s *stage) do(b block) {
	w := s.w
	args := b.words[1:]
	if len(args) == 0 && b.words[0] != "settle" && b.words[0] != "restart" {
		s.fatalf("%s of what?", b.words[0])
	}
	switch b.words[0] {
	case "algorithm":
		alg, err := trust.ParseAlgorithm(args[0])
		if err != nil {
			s.fatalf("%v", err)
		}
		w.alg = alg
	case "config":
		s.config(args)
	case "server":
		plain, with := s.opts(args[2:], "rtt", "only")
		m := w.addServer(args[0], args[1], 10*time.Millisecond)
		for _, d := range with["rtt"] {
			m.rtt = s.dur(d)
		}
		for _, p := range with["only"] {
			m.protos = []record.Protocol{map[string]record.Protocol{"udp": record.UDP, "tcp": record.TCP}[p]}
		}
		m.nokey = slices.Contains(plain, "nokey")
	case "root", "prefix":
		prefix := ""
		if b.words[0] == "prefix" {
			prefix, args = args[0], args[1:]
		}
		plain, with := s.opts(args, "ttl", "cert-for", "cert", "service")
		signed := !slices.Contains(plain, "unsigned")
		if prefix != "" && !w.above(prefix).signed {
			signed = false
		}
		var sites []string
		for i, p := range plain {
			if p == "at" {
				for _, x := range plain[i+1:] {
					if x == "unsigned" || x == "nobelow" {
						break
					}
					sites = append(sites, x)
				}
			}
		}
		for _, site := range sites {
			for _, m := range strings.Split(site, "+") {
				s.machine(m)
			}
		}
		l := w.addZone(prefix, signed, sites...)
		l.nobelow = slices.Contains(plain, "nobelow")
		l.services = with["service"]
		for _, d := range with["ttl"] {
			l.ttl = uint32(s.dur(d).Seconds())
		}
		for _, c := range with["cert"] {
			l.cert = c
		}
		for _, d := range with["cert-for"] {
			l.certUntil = s.dur(d)
		}
	case "record":
		_, with := s.opts(args[1:], "ttl", "until")
		for _, v := range b.below {
			s.line = v.line
			w.put(args[0], s.value(v, with))
		}
		if len(b.below) == 0 {
			w.put(args[0])
		}
	case "put":
		v := b.below
		if len(v) != 1 {
			s.fatalf("put one value below the line")
		}
		w.put(args[0], s.value(v[0], nil))
	case "drop":
		delete(w.records, id.MustParse(args[0]).String())
	case "wait":
		<-time.After(s.dur(args[0]))
	case "fault":
		s.fault(args)
	case "heal":
		s.machine(args[0]).faults, s.machine(args[0]).old = nil, nil
	case "freeze":
		w.freeze(s.machine(args[0]))
	case "roll":
		l := s.zone(args[0])
		switch args[1] {
		case "introduce":
			l.keys = append(l.keys, w.key())
		case "switch":
			l.signWith = len(l.keys) - 1
		case "retire":
			l.keys, l.signWith = l.keys[len(l.keys)-1:], 0
		default:
			s.fatalf("roll what?")
		}
		w.site++
	case "move":
		l := s.zone(args[0])
		l.sites = nil
		for _, x := range args[2:] {
			l.sites = append(l.sites, strings.Split(x, "+"))
		}
		w.site++
	case "ask":
		s.ask(b, args)
	case "settle":
		s.start()
		s.settle()
		s.expectAsked(b.below)
	case "restart":
		if s.r != nil {
			s.r.Close()
		}
		s.r = nil
	case "stats":
		s.start()
		s.stats(args)
	default:
		s.fatalf("what is %q?", b.words[0])
	}
}

func (s *stage) config(args []string) {
	d := time.Duration(0)
	if len(args) > 1 && strings.Trim(args[1], "0123456789") != "" {
		d = s.dur(args[1])
	}
	switch args[0] {
	case "allow-private":
		s.c.AllowPrivate = true
	case "stale-after":
		s.c.StaleAfter = d
	case "max-stale":
		s.c.MaxStale = d
	case "no-stale":
		s.c.MaxStale = -1
	case "negative-ttl":
		s.c.NegativeTTL = d
	case "failure-ttl":
		s.c.FailureTTL = d
	case "timeout":
		s.c.Timeout = d
	case "skew":
		s.c.Skew = d
	case "max-upstream":
		s.c.MaxUpstream = s.num(args[1])
	case "max-pending":
		s.c.MaxPending = s.num(args[1])
	default:
		s.fatalf("no setting %q", args[0])
	}
}

func (s *stage) value(b block, with map[string][]string) record.Value {
	index := s.num(b.words[0])
	words := b.words[1:]
	v := val(uint32(index), "", "")
	if words[0] == "hidden" {
		v.Perm = record.AdminRead | record.AdminWrite
		words = words[1:]
	}
	v.Type = words[0]
	data := strings.Join(words[1:], " ")
	if at, ok := strings.CutPrefix(data, "@"); ok {
		v.Data = record.AppendSite(nil, s.w.siteOf(strings.Split(at, "+"), true))
	} else {
		v.Data = []byte(data)
	}
	for _, d := range with["ttl"] {
		v.TTL.Seconds = uint32(s.dur(d).Seconds())
	}
	for _, d := range with["until"] {
		v.TTL = record.TTL{Absolute: true, Seconds: uint32(time.Now().Add(s.dur(d)).Unix())}
	}
	return v
}

func (s *stage) fault(args []string) {
	m := s.machine(args[0])
	plain, with := s.opts(args[1:], "on", "by")
	f := fault{kind: plain[0]}
	for _, n := range with["on"] {
		f.name = n
	}
	for _, p := range with["by"] {
		f.proto = p
	}
	if len(plain) > 1 {
		f.arg = strings.Join(plain[1:], " ")
		if d, err := time.ParseDuration(plain[1]); err == nil {
			f.d = d
		}
		if n, err := strconv.Atoi(plain[1]); err == nil {
			f.index, f.arg = uint32(n), strings.Join(plain[2:], " ")
		}
	}
	known := "down refused slow busy lame moved deny refer refer-to swap wrong omit strip forge expired early signed-for invent unsigned-messages twice guest handle-net old-key issuer unscoped careless"
	if !slices.Contains(strings.Fields(known), f.kind) {
		s.fatalf("no fault %q", f.kind)
	}
	m.faults = append(m.faults, f)
}

func (s *stage) start() {
	if s.r != nil {
		return
	}
	c := s.c
	c.Ask, c.Hints, c.Anchors = s.w, s.w.hints(), s.w.anchors()
	r, err := New(c)
	if err != nil {
		s.fatalf("%v", err)
	}
	s.r = r
}

// settle lets time pass until nothing is under way.
func (s *stage) settle() {
	for range 100000 {
		synctest.Wait()
		if s.r.Stats().Pending == 0 {
			return
		}
		<-time.After(time.Millisecond)
	}
	s.fatalf("it never settles")
}

func (s *stage) ask(b block, args []string) {
	s.start()
	plain, with := s.opts(args[1:], "type", "index", "clients", "depth", "patience")
	q := record.Query{ID: id.MustParse(args[0]), PublicOnly: true, Types: with["type"]}
	// Without a trace an answer may come a quicker way; FUJIE_TRACE=1 shows the way of those that go wrong.
	q.Trace = os.Getenv("FUJIE_TRACE") != "" || slices.ContainsFunc(b.below, func(b block) bool { return b.words[0] == "path" })
	for _, i := range with["index"] {
		q.Indexes = append(q.Indexes, uint32(s.num(i)))
	}
	for _, p := range plain {
		switch p {
		case "authoritative":
			q.Authoritative = true
		case "certify":
			q.Certify = true
		case "hidden-too":
			q.PublicOnly = false
		case "known":
			q.By.Ref = record.Ref{Index: 300, Name: "88.1/ADMIN"}
		default:
			s.fatalf("ask how: %q?", p)
		}
	}
	for _, d := range with["depth"] {
		q.Depth = s.num(d)
	}
	clients := 1
	for _, n := range with["clients"] {
		clients = s.num(n)
	}
	ctx := context.Background()
	for _, d := range with["patience"] {
		c, cancel := context.WithTimeout(ctx, s.dur(d))
		defer cancel()
		ctx = c
	}
	s.w.take()
	began := time.Now()
	answers, errs := make([]record.Answer, clients), make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { answers[i], errs[i] = s.r.Resolve(ctx, q) })
	}
	wg.Wait()
	took := time.Since(began)
	synctest.Wait()
	bad := s.t.Failed()
	s.expectAsked(b.below)
	for i := range clients {
		s.expect(b.below, answers[i], errs[i], took)
	}
	if s.t.Failed() && !bad {
		var story strings.Builder
		for _, p := range answers[0].Path {
			fmt.Fprintf(&story, "\n    %8v +%-8v %-24s %-24s %-9s %s", p.At, p.Took, p.Asked, p.Name, p.Trust, p.Outcome)
		}
		s.t.Logf("%s:%d: got trust %v, stale %v, err %v, took %v, %d values; the way was:%s", s.file, b.line, answers[0].Trust, answers[0].Stale, errs[0], took, len(answers[0].Values), story.String())
	}
}

func (s *stage) expectAsked(below []block) {
	var want []string
	check := false
	for _, b := range below {
		if b.words[0] == "asks" {
			check = true
			if b.words[1] != "nothing" {
				for _, x := range strings.Split(strings.Join(b.words[1:], " "), ",") {
					want = append(want, strings.TrimSpace(x))
				}
			}
		}
	}
	got := s.w.take()
	if !check {
		return
	}
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		servers, name, _ := strings.Cut(want[i], " ")
		if !slices.Contains(strings.Split(servers, "|"), got[i].server) || !strings.EqualFold(name, got[i].name) {
			same = false
		}
	}
	if !same {
		s.errorf("asked %v, want %v", got, want)
	}
}

func (s *stage) expect(below []block, a record.Answer, err error, took time.Duration) {
	var values []string
	stale, checkValues := false, false
	for _, b := range below {
		s.line = b.line
		rest := strings.Join(b.words[1:], " ")
		switch b.words[0] {
		case "asks":
		case "secure", "unsigned", "unchecked":
			if err != nil {
				s.errorf("failed: %v", err)
			}
			if a.Trust.String() != b.words[0] {
				s.errorf("trust is %s", a.Trust)
			}
			checkValues = true
		case "absent", "empty":
			kind := map[string]problem.Kind{"absent": problem.NotFound, "empty": problem.NoValues}[b.words[0]]
			if !problem.Is(err, kind) {
				s.errorf("got %v", err)
			}
			if a.Trust.String() != b.words[1] {
				s.errorf("trust is %s", a.Trust)
			}
		case "fails":
			kind, text, _ := strings.Cut(rest, " ")
			if err == nil || problem.KindOf(err).String() != kind || !strings.Contains(err.Error(), text) {
				s.errorf("got %v (%v)", err, problem.KindOf(err))
			}
			if err != nil && problem.Say(err, problem.Chinese) == problem.Say(err, problem.English) {
				s.errorf("nothing in Chinese: %v", err)
			}
		case "stale":
			stale = true
		case "value":
			values = append(values, rest)
		case "any":
			checkValues = false
		case "took":
			op, d := rest[0], s.dur(rest[1:])
			if op == '<' && took >= d || op == '>' && took <= d || op == '=' && took != d {
				s.errorf("took %v", took)
			}
		case "left":
			if left := time.Until(a.Expires).Round(time.Second); left != s.dur(rest) {
				s.errorf("%v left", left)
			}
		case "path":
			found := false
			for _, p := range a.Path {
				line := p.Asked + " " + p.Name + " " + p.Outcome + " " + p.Trust.String()
				all := true
				for _, w := range b.words[1:] {
					all = all && strings.Contains(line, w)
				}
				found = found || all
			}
			if !found {
				s.errorf("no such step in %v", a.Path)
			}
		case "primary":
			if !a.Primary {
				s.errorf("not from a primary")
			}
		default:
			s.fatalf("what is %q?", b.words[0])
		}
	}
	if a.Stale != stale {
		s.errorf("stale is %v", a.Stale)
	}
	if !checkValues || slices.ContainsFunc(below, func(b block) bool { return b.words[0] == "any" }) {
		return
	}
	var got []string
	for _, v := range a.Values {
		if v.Type == record.TypeSignature {
			got = append(got, fmt.Sprintf("%d %s", v.Index, v.Type))
			continue
		}
		got = append(got, fmt.Sprintf("%d %s %s", v.Index, v.Type, v.Data))
	}
	if !slices.Equal(got, values) {
		s.errorf("values %q, want %q", got, values)
	}
}

func (s *stage) stats(args []string) {
	st := s.r.Stats()
	all := map[string]uint64{
		"questions": st.Questions, "hits": st.Hits, "negative": st.Negative, "misses": st.Misses, "coalesced": st.Coalesced, "upstream": st.Upstream,
		"unanswered": st.Unanswered, "absences": st.Absences, "failures": st.Failures, "bogus": st.Bogus, "rejected": st.Rejected,
		"stale": st.Stale, "prefetches": st.Prefetches,
	}
	for i := 0; i+1 < len(args); i += 2 {
		got, ok := all[args[i]]
		if !ok || got != uint64(s.num(args[i+1])) {
			s.errorf("%s is %d", args[i], got)
		}
	}
}
