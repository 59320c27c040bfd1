package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// list is a source in memory.
type list struct {
	mu   sync.Mutex
	all  []Entry
	more chan struct{}
	fail error
}

func newList(n int) *list {
	s := &list{more: make(chan struct{})}
	s.grow(n)
	return s
}

// grow adds n entries: every tenth is public.
func (s *list) grow(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		seq := uint64(len(s.all) + 1)
		e := Entry{Seq: seq, Time: time.Unix(int64(seq), 0), Sealed: []Sealed{{"values", []byte(fmt.Sprint("digest ", seq))}}, Owner: "88.118.1001"}
		line := fmt.Appendf(nil, `{"seq":%d,"op":"create","id":"88.118.1001/X-%d"}`, seq, seq)
		if seq%10 == 0 {
			e.Public = fmt.Appendf(nil, `{"seq":%d,"op":"create","id":"0.NA/88.118.%d"}`, seq, seq)
		} else {
			e.Private = line
			e.Sealed = append(e.Sealed, Sealed{"by", []byte("300:0.NA/88.118")})
		}
		s.all = append(s.all, e)
	}
	close(s.more)
	s.more = make(chan struct{})
}

func (s *list) Entries(ctx context.Context, after uint64, limit int) ([]Entry, error) {
	for {
		s.mu.Lock()
		more, err := s.more, s.fail
		var out []Entry
		if after < uint64(len(s.all)) {
			out = append(out, s.all[after:min(uint64(len(s.all)), after+uint64(limit))]...)
		}
		s.mu.Unlock()
		if err != nil || len(out) > 0 {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-more:
		}
	}
}

func testKey(t testing.TB) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// begin opens a log over the source and takes in all that it has.
func begin(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "changes")
	}
	if cfg.Origin == "" {
		cfg.Origin = "test.example/changes"
	}
	if cfg.Key == nil {
		cfg.Key = testKey(t)
	}
	l, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// take appends what the source has and publishes it.
func take(t testing.TB, l *Log) {
	t.Helper()
	absorb(t, l)
	if err := l.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func absorb(t testing.TB, l *Log) {
	t.Helper()
	src := l.cfg.Source.(*list)
	for int(l.Size()) < len(src.all) {
		es, err := l.entries(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.append(es, true); err != nil {
			t.Fatal(err)
		}
	}
}

func idOf(e *Entry) []byte { return []byte(fmt.Sprintf("id %d", e.Seq%7)) }

// TestRootAgainstReference compares every size with golang.org/x/mod's tree.
func TestRootAgainstReference(t *testing.T) {
	var e edge
	var stored []Hash
	reader := tlog.HashReaderFunc(func(ix []int64) ([]Hash, error) {
		out := make([]Hash, len(ix))
		for i, x := range ix {
			out[i] = stored[x]
		}
		return out, nil
	})
	for n := range int64(1200) {
		want, err := tlog.TreeHash(n, reader)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.root(); got != want {
			t.Fatalf("root of %d entries: %v, want %v", n, got, want)
		}
		leaf := fmt.Append(nil, "leaf ", n)
		hs, err := tlog.StoredHashes(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hs...)
		h, _ := leafHash(nil, leaf)
		if h != tlog.RecordHash(leaf) {
			t.Fatal("leaf hash")
		}
		e.push(h, nil)
	}
	for n := int64(1); n <= 1200; n += 37 {
		root, _ := tlog.TreeHash(n, reader)
		for i := int64(0); i < n; i += 11 {
			p, err := tlog.ProveRecord(n, i, reader)
			if err != nil {
				t.Fatal(err)
			}
			h := tlog.RecordHash(fmt.Append(nil, "leaf ", i))
			if !climbs(h, i, n, p, root) {
				t.Fatalf("a good path of %d in %d is refused", i, n)
			}
			if len(p) > 0 {
				p[len(p)/2][3] ^= 1
				if climbs(h, i, n, p, root) {
					t.Fatalf("a bad path of %d in %d is taken", i, n)
				}
			}
		}
	}
}

func TestTilePaths(t *testing.T) {
	for _, c := range []struct {
		t    tile
		path string
	}{
		{tile{0, 0, 256}, "tile/0/000"},
		{tile{0, 1234067, 256}, "tile/0/x001/x234/067"},
		{tile{entriesLevel, 999, 12}, "tile/entries/999.p/12"},
		{tile{2, 1000, 1}, "tile/2/x001/000.p/1"},
	} {
		if got := c.t.path(); got != c.path {
			t.Errorf("%v: %s, want %s", c.t, got, c.path)
		}
		if got, ok := parseTile(c.path); !ok || got != c.t {
			t.Errorf("%s: %v %v", c.path, got, ok)
		}
	}
	for _, bad := range []string{"", "tile/", "tile/0", "tile/0/", "tile/0/00", "tile/0/0000", "tile/00/000", "tile/-1/000", "tile/6/000", "tile/0/000.p/0", "tile/0/000.p/256",
		"tile/0/000.p/01", "tile/0/x000/000", "tile/0/001/000", "tile/0/x001/x000", "tile/0/../000", "tile/entries/000/", "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/0/+01", "/tile/0/000"} {
		if got, ok := parseTile(bad); ok {
			t.Errorf("%s was taken for %v", bad, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		x := tile{rapid.IntRange(-1, 4).Draw(t, "level"), rapid.Int64Range(0, 1<<15).Draw(t, "n"), rapid.IntRange(1, 256).Draw(t, "width")}
		if x.level > 3 {
			x.n %= 256
		}
		if got, ok := parseTile(x.path()); !ok || got != x {
			t.Fatal(x, x.path(), got, ok)
		}
	})
}

// TestProofs takes a log through sizes around the edges of tiles, closes and opens it in between, and proves entries.
func TestProofs(t *testing.T) {
	src := newList(0)
	key, dir := testKey(t), filepath.Join(t.TempDir(), "changes")
	cfg := Config{Dir: dir, Key: key, Source: src, ID: idOf}
	for _, size := range []int{1, 2, 255, 256, 257, 511, 513, 1000, 66_000} {
		src.grow(size - len(src.all))
		l := begin(t, cfg)
		take(t, l)
		if got := l.Published(); int(got.Size) != size {
			t.Fatal(got)
		}
		for _, seq := range []int{1, 2, size / 2, size - 1, size, 10} {
			if seq < 1 || seq > size {
				continue
			}
			p, err := l.Prove(t.Context(), uint64(seq), Everything)
			if err != nil {
				t.Fatal(size, seq, err)
			}
			v, err := p.Verify(l.Verifier(), nil, 0)
			if err != nil {
				t.Fatal(size, seq, err)
			}
			if string(v.Members["op"]) != `"create"` || v.Checkpoint.Size != int64(size) {
				t.Fatal(v)
			}
			text, err := ParseProof([]byte(p.Text()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := text.Verify(l.Verifier(), nil, 0); err != nil {
				t.Fatal(err)
			}
		}
		if last, err := l.Last([]byte("id 3")); err != nil || size >= 3 && (last%7 != 3 || int(last) <= size-7) {
			t.Fatal(last, err)
		}
		l.Close()
	}
}

// TestNotProved: everything that is changed in a proof makes it bogus.
func TestNotProved(t *testing.T) {
	src := newList(700)
	l := begin(t, Config{Source: src})
	take(t, l)
	other := begin(t, Config{Source: newList(700), Origin: "test.example/changes"})
	take(t, other)
	for name, spoil := range map[string]func(p *Proof){
		"line":       func(p *Proof) { p.Line = strings.Replace(p.Line, "X-5", "X-6", 1) },
		"nonce":      func(p *Proof) { p.Nonce[0] ^= 1 },
		"no nonce":   func(p *Proof) { p.Nonce = nil },
		"leaf":       func(p *Proof) { p.Leaf[0] ^= 1 },
		"entry":      func(p *Proof) { p.Entry++ },
		"entry 0":    func(p *Proof) { p.Entry = 0 },
		"beyond":     func(p *Proof) { p.Entry = 701 },
		"path":       func(p *Proof) { p.Path[3][1] ^= 1 },
		"short path": func(p *Proof) { p.Path = p.Path[1:] },
		"long path":  func(p *Proof) { p.Path = append(p.Path, Hash{}) },
		"opened":     func(p *Proof) { p.Opened[0].Value = []byte("digest 6") },
		"renamed":    func(p *Proof) { p.Opened[0].Name = "by" },
		"unknown":    func(p *Proof) { p.Opened[0].Name = "who" },
		"size":       func(p *Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n700\n", "\n701\n", 1) },
		"unsigned":   func(p *Proof) { p.Checkpoint = p.Checkpoint[:strings.Index(p.Checkpoint, "\n\n")+2] },
		"other key": func(p *Proof) {
			o, err := other.Prove(t.Context(), 5, Everything)
			if err != nil {
				t.Fatal(err)
			}
			*p = *o
		},
	} {
		p, err := l.Prove(t.Context(), 5, Everything)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Verify(l.Verifier(), nil, 0); err != nil {
			t.Fatal(err)
		}
		spoil(p)
		if _, err := p.Verify(l.Verifier(), nil, 0); !problem.Is(err, problem.Bogus) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := l.Prove(t.Context(), 5, Nothing)
	if err != nil || p.Line != "" || p.Nonce != nil || p.Opened != nil {
		t.Fatal("something is shown:", p, err)
	}
	if v, err := p.Verify(l.Verifier(), nil, 0); err != nil || v.Members != nil {
		t.Fatal(v, err)
	}
	if _, err := p.Verify(l.Verifier(), nil, 1); !problem.Is(err, problem.Bogus) {
		t.Fatal("a witness that did not sign is counted:", err)
	}
	for seq, kind := range map[uint64]problem.Kind{0: problem.NotFound, 701: problem.NotFound} {
		if _, err := l.Prove(t.Context(), seq, Everything); !problem.Is(err, kind) {
			t.Error(seq, err)
		}
	}
	src.grow(1)
	absorb(t, l)
	if _, err := l.Prove(t.Context(), 701, Everything); !problem.Is(err, problem.Busy) {
		t.Error(err)
	}
	// The store is altered behind the log.
	src.all[4].Private = []byte(`{"seq":5,"op":"delete","id":"88.118.1001/X-5"}`)
	if _, err := l.Prove(t.Context(), 5, Everything); !problem.Is(err, problem.Bogus) {
		t.Error("an altered entry is proved:", err)
	}
}

// TestCommitments: a leaf tells nothing of its entry, and those of equal entries differ.
func TestCommitments(t *testing.T) {
	m := maker{secret: secret{origin: "o"}}
	seen := map[string]bool{}
	for seq := range uint64(600) {
		leaf, _, err := m.leaf(&Entry{Seq: seq + 1, Private: []byte(`{"a":1}`), Sealed: []Sealed{{"v", []byte("x")}}})
		if err != nil || len(leaf) != blinded || seen[string(leaf)] {
			t.Fatal(seq, leaf, err)
		}
		seen[string(leaf)] = true
	}
	one := maker{secret: secret{origin: "o", single: true}}
	for _, seq := range []uint64{1, 255, 256, 257, 600} {
		e := &Entry{Seq: seq, Private: []byte(`{"a":1}`), Sealed: []Sealed{{"v", []byte("x")}, {"w", nil}}}
		a, _, err := m.leaf(e)
		b, _, err2 := one.leaf(e)
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Fatal("one entry alone gets other nonces:", seq, a, b, err, err2)
		}
	}
	short, _, err := m.leaf(&Entry{Seq: 1, Public: []byte(`{"a":1}`)})
	if err != nil || len(short) <= blinded {
		t.Fatal("a public leaf that could be a commitment:", short, err)
	}
	for _, bad := range [][]byte{nil, {}, []byte("{}"), []byte("[1]"), []byte("null"), bytes.Repeat([]byte("{"), 100)} {
		if _, _, err := m.leaf(&Entry{Seq: 1, Public: bad}); err == nil {
			t.Errorf("%q became a leaf", bad)
		}
	}
	if _, _, err := m.leaf(&Entry{Seq: 1, Public: []byte(`{"a":"` + strings.Repeat("x", maxLeaf) + `"}`)}); !problem.Is(err, problem.TooLarge) {
		t.Error(err)
	}
}

// TestGaps: what the source leaves out is not passed over.
func TestGaps(t *testing.T) {
	src := newList(20)
	src.all[10].Seq = 12
	l := begin(t, Config{Source: src})
	err := l.Run(t.Context())
	if !problem.Is(err, problem.Bogus) || l.Published().Size != 0 {
		t.Fatal(err, l.Published())
	}
}

// TestRun follows a source while it grows, and publishes the last entries when it ends.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	src := newList(3)
	l := begin(t, Config{Source: src, Interval: time.Millisecond, ID: idOf})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	for n := 3; n < 3000; n += 271 {
		if err := l.Wait(ctx, uint64(n)); err != nil {
			t.Fatal(err)
		}
		src.grow(271)
	}
	if err := l.Wait(ctx, uint64(len(src.all))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if l.Published().Size != int64(len(src.all)) {
		t.Fatal(l.Published())
	}
}

// TestInterval: however often entries come, a checkpoint comes at most once a second, and none waits longer.
func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newList(1)
		l := begin(t, Config{Source: src})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		sizes := map[int64]bool{}
		for range 100 {
			time.Sleep(100 * time.Millisecond) // of the bubble's own time
			synctest.Wait()
			if p := l.Published().Size; p < l.Size()-10 {
				t.Fatalf("%d of %d entries are published", p, l.Size())
			}
			sizes[l.Published().Size] = true
			src.grow(1)
		}
		if n := len(sizes); n < 9 || n > 12 {
			t.Errorf("%d checkpoints in ten seconds", n)
		}
		cancel()
		<-done
		if l.Published().Size != l.Size() {
			t.Error("the last entries were not published")
		}
	})
}

// TestManyFiles: a log of many files keeps few of them open, and reads and writes all of them all the same.
func TestManyFiles(t *testing.T) {
	c := &column{dir: t.TempDir()}
	defer c.close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range int64(300) {
				if err := c.write(i, int64(g), []byte{byte(i)}); err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					if err := c.sync(); err != nil {
						t.Error(err)
					}
				}
				if b, err := c.read(i/2, int64(g), 1); err != nil || len(b) != 1 || b[0] != byte(i/2) {
					t.Error(i, b, err)
				}
			}
		})
	}
	wg.Wait()
	if err := c.sync(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(300) {
		if b, err := c.read(i, 0, 10); err != nil || len(b) != 4 {
			t.Fatal(i, b, err)
		}
	}
	if n := len(c.files); n > maxFiles {
		t.Errorf("%d files are open", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	src, key := newList(1), testKey(t)
	sm2, err := trust.Generate(trust.SM2, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Dir: filepath.Join(t.TempDir(), "l"), Origin: "o", Key: key, Source: src}
	for name, c := range map[string]func(c *Config){
		"no key":     func(c *Config) { c.Key = nil },
		"sm2":        func(c *Config) { c.Key = sm2 },
		"no source":  func(c *Config) { c.Source = nil },
		"no dir":     func(c *Config) { c.Dir = "" },
		"space":      func(c *Config) { c.Origin = "a b" },
		"plus":       func(c *Config) { c.Origin = "a+b" },
		"no origin":  func(c *Config) { c.Origin = "" },
		"quorum":     func(c *Config) { c.Quorum = 1 },
		"no witness": func(c *Config) { c.Witnesses = []Witness{{URL: "http://x"}} },
	} {
		bad := good
		c(&bad)
		if _, err := Open(t.Context(), bad); !problem.Is(err, problem.BadValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFiles(t *testing.T) {
	src := newList(300)
	l := begin(t, Config{Source: src})
	s := httptest.NewServer(http.StripPrefix("/ledger/changes/", l.Files()))
	defer s.Close()
	get := func(method, path string) (int, http.Header, int) {
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/ledger/changes/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		return resp.StatusCode, resp.Header, b.Len()
	}
	if code, _, _ := get("GET", "checkpoint"); code != 404 {
		t.Fatal("a checkpoint before there is one:", code)
	}
	absorb(t, l)
	if code, _, _ := get("GET", "tile/0/000"); code != 404 {
		t.Fatal("a tile that no checkpoint covers is served:", code)
	}
	take(t, l)
	for path, want := range map[string]int{
		"checkpoint": 200, "vkey": 200, "tile/0/000": 200, "tile/entries/000": 200, "tile/1/000.p/1": 200, "tile/0/001.p/44": 200, "tile/entries/001.p/44": 200,
		"tile/0/001": 404, "tile/0/001.p/45": 404, "tile/0/001.p/43": 200, "head": 404, "../secret": 404, "index/": 404, "": 404, "tile/0/../../head": 404,
	} {
		if code, _, _ := get("GET", path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if code, h, n := get("GET", "tile/0/000"); code != 200 || n != tileBytes || !strings.Contains(h.Get("Cache-Control"), "immutable") {
		t.Error(code, h, n)
	}
	if _, h, _ := get("GET", "checkpoint"); h.Get("Cache-Control") != "no-cache" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
		t.Error(h)
	}
	if code, _, n := get("HEAD", "checkpoint"); code != 200 || n != 0 {
		t.Error(code, n)
	}
	if code, _, _ := get("POST", "checkpoint"); code != 405 {
		t.Error(code)
	}
}
