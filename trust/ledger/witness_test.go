package ledger

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/fujie-id/fujie/problem"
)

// bench is a witness that knows the logs it is told of, behind HTTP.
type stand struct {
	*Cosigner
	url  string
	mu   sync.Mutex
	logs map[string]Verifier
}

func (s *stand) know(v Verifier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[v.Name()] = v
}

func newStand(t *testing.T, name string) *stand {
	t.Helper()
	s := &stand{logs: map[string]Verifier{}}
	var err error
	s.Cosigner, err = NewCosigner(CosignerConfig{Dir: filepath.Join(t.TempDir(), "witness"), Name: name, Key: testKey(t),
		Now: func() time.Time { return time.Unix(1_790_000_000, 0) },
		Known: func(_ context.Context, origin string) (Verifier, bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			v, ok := s.logs[origin]
			return v, ok
		}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Cosigner)
	t.Cleanup(srv.Close)
	s.url = srv.URL + "/ledger/witness"
	return s
}

func (s *stand) witness() Witness { return Witness{URL: s.url, Key: s.Verifier()} }

// TestWitnesses: three witnesses, one of them away; what they sign is counted, and what is missing holds publication.
func TestWitnesses(t *testing.T) {
	w1, w2, w3 := newStand(t, "one.example"), newStand(t, "two.example"), newStand(t, "three.example")
	src := newList(500)
	cfg := Config{Source: src, Key: testKey(t), Dir: filepath.Join(t.TempDir(), "changes"), Origin: "log.example/changes",
		Witnesses: []Witness{w1.witness(), w2.witness(), w3.witness()}, Quorum: 2}
	l := begin(t, cfg)
	w1.know(l.Verifier())
	absorb(t, l)
	if err := l.Publish(t.Context()); !problem.Is(err, problem.Unreachable) || l.Published().Size != 0 {
		t.Fatal("published with one witness of two:", err)
	}
	w2.know(l.Verifier())
	if err := l.Publish(t.Context()); err != nil || l.Published().Size != 500 {
		t.Fatal(err)
	}
	keys := []Verifier{w1.Verifier(), w2.Verifier(), w3.Verifier()}
	f, err := look(t, Auditor{Files: In(l.cfg.Dir), Key: l.Verifier(), Witnesses: keys, Quorum: 2})
	if err != nil || len(f.By) != 2 || f.By[0].Time.Unix() != 1_790_000_000 {
		t.Fatal(f, err)
	}
	if _, err := look(t, Auditor{Files: In(l.cfg.Dir), Key: l.Verifier(), Witnesses: keys, Quorum: 3}); !problem.Is(err, problem.Bogus) {
		t.Fatal(err)
	}
	// It grows; the third witness begins in the middle; the log starts anew and does not know where the witnesses are.
	for i, n := range []int{1, 255, 300, 3} {
		src.grow(n)
		take(t, l)
		if i == 1 {
			w3.know(l.Verifier())
		}
		if i == 2 {
			l.Close()
			l = begin(t, cfg)
		}
	}
	p, err := l.Prove(t.Context(), 700, Everything)
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Verify(l.Verifier(), keys, 3)
	if err != nil || len(v.By) != 3 {
		t.Fatal(v, err)
	}
	// A witness's line that does not hold spoils the checkpoint for who trusts it.
	i := strings.Index(p.Checkpoint, "— two.example ")
	p.Checkpoint = p.Checkpoint[:i+40] + "AAAA" + p.Checkpoint[i+44:]
	if _, err := p.Verify(l.Verifier(), keys, 2); !problem.Is(err, problem.Bogus) {
		t.Fatal(err)
	}
	// A log that shows another past to its witnesses is refused by them.
	forged := newList(2000)
	forged.all[3].Private = []byte(`{"seq":4,"op":"delete","id":"88.118.1001/X-4"}`)
	cfg2 := cfg
	cfg2.Source, cfg2.Dir = forged, filepath.Join(t.TempDir(), "changes")
	other := begin(t, cfg2)
	absorb(t, other)
	if err := other.Publish(t.Context()); !problem.Is(err, problem.Unreachable) || other.Published().Size != 0 {
		t.Fatal("a forged log was co-signed:", err)
	}
	// And one that it holds to the same size gives the proof of the fork away.
	cfg2.Source, cfg2.Dir = newList(int(l.Size())), filepath.Join(t.TempDir(), "changes")
	cfg2.Source.(*list).all[3] = forged.all[3]
	other = begin(t, cfg2)
	absorb(t, other)
	if err := other.Publish(t.Context()); err == nil {
		t.Fatal("a forged log was co-signed")
	}
	if b, err := os.ReadFile(w1.path(cfg.Origin) + ".fork"); err != nil || strings.Count(string(b), "— log.example/changes ") != 2 {
		t.Fatal("the proof of the fork was not kept:", string(b), err)
	}
}

// TestAddCheckpoint goes through the answers of C2SP tlog-witness.
func TestAddCheckpoint(t *testing.T) {
	w := newStand(t, "w.example/w1")
	src := newList(300)
	l := begin(t, Config{Source: src, Origin: "log.example/a"})
	take(t, l)
	small := string(l.checkpt)
	smallSize := l.Published().Size
	src.grow(400)
	take(t, l)
	big := string(l.checkpt)
	proof, err := tlog.ProveTree(700, 300, l.reader())
	if err != nil {
		t.Fatal(err)
	}
	lines := ""
	for _, h := range proof {
		lines += h.String() + "\n"
	}
	other := begin(t, Config{Source: newList(300), Origin: "log.example/a"})
	take(t, other)
	unknown := begin(t, Config{Source: newList(1), Origin: "log.example/unknown"})
	take(t, unknown)
	forked := newList(700)
	forked.all[0].Private = []byte(`{"seq":1}`)
	fork := begin(t, Config{Source: forked, Origin: "log.example/a", Key: l.cfg.Key})
	take(t, fork)
	w.know(l.Verifier())
	post := func(method, path, body string) (int, string, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
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
		return resp.StatusCode, resp.Header.Get("Content-Type"), b.String()
	}
	for _, c := range []struct {
		name, body string
		code       int
		answer     string
	}{
		{"nothing", "", 400, ""},
		{"no checkpoint", "old 0\n\n", 400, ""},
		{"unknown log", "old 0\n\n" + string(unknown.checkpt), 404, ""},
		{"another key", "old 0\n\n" + string(other.checkpt), 403, ""},
		{"old larger than new", "old 400\n\n" + small, 400, ""},
		{"not begun", "old 299\n\n" + small, 409, "0\n"},
		{"a proof of nothing", "old 0\n" + lines + "\n" + small, 422, ""},
		{"first", "old 0\n\n" + small, 200, "— w.example/w1 "},
		{"again", "old 300\n\n" + small, 200, "— w.example/w1 "},
		{"from the start again", "old 0\n\n" + big, 409, "300\n"},
		{"no proof", "old 300\n\n" + big, 422, ""},
		{"a bad proof", "old 300\n" + lines[45:] + "\n" + big, 422, ""},
		{"another history", "old 300\n" + lines + "\n" + string(fork.checkpt), 422, ""},
		{"growth", "old 300\n" + lines + "\n" + big, 200, "— w.example/w1 "},
		{"back", "old 300\n\n" + small, 409, "700\n"},
		{"fork", "old 700\n\n" + string(fork.checkpt), 409, "700\n"},
		{"again with a proof", "old 700\n" + lines + "\n" + big, 422, ""},
	} {
		code, typ, answer := post("POST", "/add-checkpoint", c.body)
		if code != c.code || !strings.HasPrefix(answer, c.answer) {
			t.Errorf("%s: %d %q, want %d %q", c.name, code, answer, c.code, c.answer)
		}
		if code == 409 && typ != "text/x.tlog.size" {
			t.Errorf("%s: content type %q", c.name, typ)
		}
		if code == 200 {
			n, err := note.Open(append([]byte(big[:strings.LastIndex(big, "\n\n")+2]), answer...), note.VerifierList(w.Verifier()))
			if c.name == "growth" && (err != nil || len(n.Sigs) != 1) {
				t.Error("the co-signature does not hold:", err)
			}
		}
	}
	_ = smallSize
	if _, err := os.Stat(w.path("log.example/a") + ".fork"); err != nil {
		t.Error("no proof of the fork:", err)
	}
	if code, _, _ := post("GET", "/add-checkpoint", ""); code != 405 {
		t.Error(code)
	}
	if code, _, _ := post("POST", "/other", ""); code != 404 {
		t.Error(code)
	}
	if code, _, _ := post("POST", "/add-checkpoint", strings.Repeat("x", maxRequest+1)); code != 400 {
		t.Error(code)
	}
}

// TestWitnessRace: of many checkpoints at once, a witness never goes back.
func TestWitnessRace(t *testing.T) {
	w := newStand(t, "w")
	src := newList(0)
	l := begin(t, Config{Source: src, Origin: "log.example/a"})
	w.know(l.Verifier())
	var bodies [][]byte
	for i := range 20 {
		src.grow(50)
		take(t, l)
		size := int64(50 * (i + 1))
		for j := range i + 1 {
			old := int64(50 * j)
			body := []byte("old " + strconv.FormatInt(old, 10) + "\n")
			if old > 0 {
				p, err := tlog.ProveTree(size, old, l.reader())
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range p {
					body = append(body, h.String()+"\n"...)
				}
			}
			bodies = append(bodies, append(append(body, '\n'), l.checkpt...))
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, b := range bodies {
				w.add(context.Background(), b)
			}
		})
	}
	wg.Wait()
	for _, b := range bodies {
		w.add(t.Context(), b)
	}
	c, _, err := w.last("log.example/a", l.Verifier())
	if err != nil || c.Size != 1000 && c.Size != 50*int64(len(bodies)) {
		t.Fatal(c, err)
	}
}

// TestAnsweringWitness: whatever a witness answers, the log only takes its signature.
func TestAnsweringWitness(t *testing.T) {
	good := newStand(t, "w.example")
	for name, h := range map[string]http.HandlerFunc{
		"500":        func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"nothing":    func(w http.ResponseWriter, r *http.Request) {},
		"rubbish":    func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("— w.example AAAA\n")) },
		"other name": func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("— v.example AAAAAAAA\n")) },
		"long": func(w http.ResponseWriter, r *http.Request) {
			for range 1000 {
				w.Write(bytes.Repeat([]byte("— w.example AAAAAAAA\n"), 100))
			}
		},
		"always 409": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", sizeType)
			w.WriteHeader(409)
			w.Write([]byte(strconv.Itoa(1+int(r.ContentLength)%7) + "\n"))
		},
		"409 and rubbish": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", sizeType)
			w.WriteHeader(409)
			w.Write([]byte("-5\n"))
		},
	} {
		s := httptest.NewServer(h)
		l := begin(t, Config{Source: newList(10), Witnesses: []Witness{{URL: s.URL, Key: good.Verifier()}}})
		take(t, l) // without a quorum it is published all the same
		if len(l.cosigned) != 0 || l.Published().Size != 10 {
			t.Errorf("%s: %v", name, l.cosigned)
		}
		s.Close()
	}
}

func TestVerifierText(t *testing.T) {
	key := testKey(t)
	for _, make_ := range []func() (Verifier, error){
		func() (Verifier, error) { return LogVerifier("a.example/x", key.Public()) },
		func() (Verifier, error) { return WitnessVerifier("a.example/x", key.Public()) },
	} {
		v, err := make_()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseVerifier(v.String() + "\n")
		if err != nil || got != v {
			t.Fatal(got, err)
		}
		for _, bad := range []string{"", "a", "a+b", "a+b+c", strings.Replace(v.String(), "x+", "y+", 1), v.String()[:len(v.String())-8], "+" + v.String()} {
			if _, err := ParseVerifier(bad); !problem.Is(err, problem.BadValue) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	// The log's key is one that Go's own tools read.
	v, err := LogVerifier("a.example/x", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := note.NewVerifier(v.String())
	if err != nil || theirs.KeyHash() != v.KeyHash() {
		t.Fatal(err)
	}
	sig, err := (&signer{Verifier: v, key: key}).Sign([]byte("text\n"))
	if err != nil || !theirs.Verify([]byte("text\n"), sig) {
		t.Fatal("Go's tools do not accept the signature", err)
	}
}
