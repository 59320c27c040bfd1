package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// signedHeads watches what a log signs: never two of one size, never a smaller one.
type signedHeads map[int64]string

func (s signedHeads) note(t rapid.TB, l *Log) {
	b, err := l.dir.read("head")
	if err != nil {
		t.Fatal(err)
	}
	if b == nil {
		return
	}
	c, _, err := openCheckpoint(b, l.Verifier(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if was, ok := s[c.Size]; ok && was != string(b) {
		t.Fatalf("two checkpoints of size %d:\n%s\n%s", c.Size, was, b)
	}
	for size := range s {
		if size > c.Size {
			t.Fatalf("%d was signed after %d", c.Size, size)
		}
	}
	s[c.Size] = string(b)
}

// TestRandomOperations plays growth, publication, crashes and damage in any order. Whatever happens to files that no
// signature speaks of, or that can be made again, the log goes on as it was.
func TestRandomOperations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root, err := os.MkdirTemp("", "ledger-")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(root)
		key, err := trust.Generate(trust.Ed25519, nil)
		if err != nil {
			rt.Fatal(err)
		}
		ctx := context.Background()
		src := newList(0)
		cfg := Config{Dir: filepath.Join(root, "changes"), Origin: "o", Key: key, Source: src, ID: idOf}
		open := func() *Log {
			l, err := Open(ctx, cfg)
			if err != nil {
				rt.Fatal(err)
			}
			return l
		}
		l := open()
		defer func() { l.Close() }()
		heads := signedHeads{}
		var seen *Seen
		for range rapid.IntRange(3, 12).Draw(rt, "steps") {
			switch op := rapid.SampledFrom([]string{"grow", "grow", "append", "append", "publish", "publish", "crash", "damage", "audit"}).Draw(rt, "op"); op {
			case "grow":
				src.grow(rapid.SampledFrom([]int{1, 2, 100, 255, 256, 257, 700}).Draw(rt, "n"))
			case "append":
				if due := len(src.all) - int(l.Size()); due > 0 {
					es, err := l.entries(ctx, rapid.IntRange(1, due).Draw(rt, "n"))
					if err != nil {
						rt.Fatal(err)
					}
					if err := l.append(es, true); err != nil {
						rt.Fatal(err)
					}
				}
			case "publish":
				if err := l.Publish(ctx); err != nil {
					rt.Fatal(err)
				}
			case "crash":
				l.Close()
				l = open()
			case "damage":
				l.Close()
				damage(rt, cfg.Dir, l.head.Size)
				l = open()
			case "audit":
				if l.Published().Size == 0 {
					break
				}
				f, err := (&Auditor{Files: In(cfg.Dir), Key: l.Verifier(), Seen: seen, Full: rapid.Bool().Draw(rt, "full")}).Look(ctx)
				if err != nil {
					rt.Fatal(err)
				}
				seen = &f.Seen
			}
			heads.note(rt, l)
			if p := l.Published(); p.Size > l.head.Size || p.Size > l.Size() {
				rt.Fatal("published is ahead of signed:", p, l.head, l.Size())
			}
		}
		// In the end everything is there.
		for int(l.Size()) < len(src.all) {
			es, err := l.entries(ctx, batch)
			if err != nil {
				rt.Fatal(err)
			}
			if err := l.append(es, true); err != nil {
				rt.Fatal(err)
			}
		}
		if err := l.Publish(ctx); err != nil {
			rt.Fatal(err)
		}
		heads.note(rt, l)
		n := uint64(len(src.all))
		if n == 0 {
			return
		}
		for _, seq := range []uint64{1, n/2 + 1, n} {
			p, err := l.Prove(ctx, seq, Everything)
			if err != nil {
				rt.Fatal(err)
			}
			if _, err := p.Verify(l.Verifier(), nil, 0); err != nil {
				rt.Fatal(err)
			}
		}
		for id := range uint64(7) {
			want := uint64(0)
			for s := n; s > 0 && want == 0; s-- {
				if s%7 == id {
					want = s
				}
			}
			if got, err := l.Last(fmt.Appendf(nil, "id %d", id)); err != nil || got != want {
				rt.Fatalf("last entry about %d: %d, want %d (%v)", id, got, want, err)
			}
		}
	})
}

// damage does to the files what a lost machine can: what was not synced is cut off, zero or missing; and a little
// more, as all of it can be made again.
func damage(t *rapid.T, dir string, signed int64) {
	switch rapid.SampledFrom([]string{"tail", "edge", "all", "index", "rubbish", "checkpoint"}).Draw(t, "damage") {
	case "tail": // behind what is signed: cut off
		if signed == 0 {
			os.RemoveAll(filepath.Join(dir, "hashes"))
			os.RemoveAll(filepath.Join(dir, "entries"))
			return
		}
		truncate(t, filepath.Join(dir, "hashes/0", fmt.Sprintf("%08d", signed/segment)), signed%segment*32)
	case "edge":
		truncate(t, filepath.Join(dir, "hashes/0", fmt.Sprintf("%08d", signed/segment)), signed%segment*32/2)
	case "all":
		os.RemoveAll(filepath.Join(dir, rapid.SampledFrom([]string{"hashes", "entries", "entries/at"}).Draw(t, "which")))
	case "index":
		os.RemoveAll(filepath.Join(dir, "index"))
	case "checkpoint":
		os.Remove(filepath.Join(dir, "checkpoint"))
	case "rubbish": // behind what is signed
		name := filepath.Join(dir, "hashes/0", fmt.Sprintf("%08d", signed/segment))
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(make([]byte, 999), signed%segment*32); err != nil {
			t.Fatal(err)
		}
	}
}

func truncate(t *rapid.T, name string, size int64) {
	if info, err := os.Stat(name); err != nil || info.Size() <= size {
		return
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}

// TestAlteredStore: a log whose source no longer gives what was signed signs nothing more.
func TestAlteredStore(t *testing.T) {
	src := newList(1000)
	cfg := Config{Dir: filepath.Join(t.TempDir(), "changes"), Origin: "o", Key: testKey(t), Source: src}
	l := begin(t, cfg)
	take(t, l)
	l.Close()
	// Restored from an older backup, and gone on with: the numbers are those of other entries now.
	older := newList(900)
	older.all[899].Private, older.all[899].Public = []byte(`{"seq":900,"op":"other"}`), nil
	older.grow(200)
	older.all[999].Private, older.all[999].Public = []byte(`{"seq":1000,"op":"other"}`), nil
	cfg.Source = older
	if _, err := Open(t.Context(), cfg); !problem.Is(err, problem.Bogus) {
		t.Fatal("a log goes on over other entries:", err)
	}
	cfg.Source = src
	os.RemoveAll(filepath.Join(cfg.Dir, "hashes"))
	src.all[500].Private = []byte(`{"seq":501,"op":"delete"}`)
	src.all[500].Public = nil
	if _, err := Open(t.Context(), cfg); !problem.Is(err, problem.Bogus) {
		t.Fatal(err)
	}
	head, err := os.ReadFile(filepath.Join(cfg.Dir, "head"))
	if err != nil || !strings.Contains(string(head), "\n1000\n") {
		t.Fatal(string(head), err)
	}
	// Restored to an older state: the source waits for what the log already has; nothing is signed meanwhile.
	src = newList(400)
	cfg.Source = src
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, cfg); err == nil {
		t.Fatal("a log was opened over a store that lost entries")
	}
	// Without its secret nothing can be appended, and nothing pretends to be.
	os.Remove(filepath.Join(filepath.Dir(cfg.Dir), "secret"))
	if _, err := Open(t.Context(), cfg); !problem.Is(err, problem.Internal) {
		t.Fatal(err)
	}
	// A head of another log, or a damaged one.
	if err := os.WriteFile(filepath.Join(cfg.Dir, "head"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(filepath.Dir(cfg.Dir), "secret"), make([]byte, 32), 0o600)
	if _, err := Open(t.Context(), cfg); !problem.Is(err, problem.Bogus) {
		t.Fatal(err)
	}
}

// TestFullDisk: what cannot be written is not signed, and is written when it can be.
func TestFullDisk(t *testing.T) {
	src := newList(300)
	l := begin(t, Config{Source: src})
	take(t, l)
	// A folder where the next file of a level should be makes writing fail.
	blocked := filepath.Join(l.cfg.Dir, "hashes", "1", "00000000")
	l.dir.hashes[1].close()
	if err := os.Rename(blocked, blocked+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	src.grow(600)
	es, err := l.entries(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.append(es, true); err == nil {
		t.Fatal("written into a folder")
	}
	if err := l.Publish(t.Context()); err == nil || l.Published().Size != 300 {
		t.Fatal("published what was not written:", err, l.Published())
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(blocked+".away", blocked); err != nil {
		t.Fatal(err)
	}
	take(t, l)
	if f, err := look(t, Auditor{Files: In(l.cfg.Dir), Key: l.Verifier(), Full: true}); err != nil || f.Looked != 900 {
		t.Fatal(f, err)
	}
}

// The child of TestKill follows an endless source until it is killed.
const childEnv = "FUJIE_LEDGER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

func child(dir string) {
	pem, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		panic(err)
	}
	key, err := trust.ParsePrivatePEM(pem, nil)
	if err != nil {
		panic(err)
	}
	l, err := Open(context.Background(), Config{Dir: filepath.Join(dir, "changes"), Origin: "o", Key: key, Source: endless{}, Interval: time.Millisecond, ID: idOf})
	if err != nil {
		panic(err)
	}
	fmt.Println("open")
	panic(l.Run(context.Background()))
}

// endless always gives the next entries.
type endless struct{}

func (endless) Entries(_ context.Context, after uint64, limit int) ([]Entry, error) {
	limit = min(limit, 97)
	out := make([]Entry, limit)
	for i := range out {
		seq := after + uint64(i) + 1
		out[i] = Entry{Seq: seq, Private: fmt.Appendf(nil, `{"seq":%d,"op":"create"}`, seq)}
	}
	return out, nil
}

// TestKill kills the process that appends, at any moment, and looks from outside in between.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	key := testKey(t)
	pem, err := key.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), pem, 0o600); err != nil {
		t.Fatal(err)
	}
	rounds := 6
	if os.Getenv("FUJIE_SOAK") == "1" {
		rounds = 200
	}
	var seen *Seen
	for round := range rounds {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var errText strings.Builder
		cmd.Stderr = &errText
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var b [8]byte
		if n, err := out.Read(b[:]); err != nil {
			cmd.Wait()
			t.Fatal("the log does not open after a kill: ", hex.EncodeToString(b[:n]), errText.String())
		}
		timer := time.NewTimer(time.Duration(rand.IntN(120)) * time.Millisecond)
		<-timer.C
		cmd.Process.Kill()
		cmd.Wait()
		f, err := (&Auditor{Files: In(filepath.Join(dir, "changes")), Seen: seen, Full: true}).Look(t.Context())
		if problem.Is(err, problem.NotFound) && seen == nil {
			continue // killed before the first checkpoint
		}
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		seen = &f.Seen
	}
}
