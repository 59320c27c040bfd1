package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/problem"
)

// spoiled is a log whose files somebody altered.
type spoiled struct {
	Fetcher
	spoil func(name string, b []byte) []byte
}

func (s spoiled) Fetch(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, err := s.Fetcher.Fetch(ctx, name, limit)
	if err != nil {
		return b, err
	}
	if b = s.spoil(name, append([]byte{}, b...)); b == nil {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func served(t *testing.T, l *Log) Fetcher {
	s := httptest.NewServer(l.Files())
	t.Cleanup(s.Close)
	return At(s.URL+"/", nil)
}

func look(t *testing.T, a Auditor) (*Findings, error) {
	t.Helper()
	return a.Look(t.Context())
}

// TestAuditGrowth looks at a log, over HTTP and in folders, again and again while it grows.
func TestAuditGrowth(t *testing.T) {
	src := newList(0)
	l := begin(t, Config{Source: src})
	copied := t.TempDir()
	web := served(t, l)
	if _, err := look(t, Auditor{Files: web}); !problem.Is(err, problem.NotFound) {
		t.Fatal("a log before its first checkpoint:", err)
	}
	var seen *Seen
	before := int64(0)
	for _, n := range []int{1, 254, 1, 1, 300, 0, 5000, 256} {
		src.grow(n)
		take(t, l)
		if _, err := Copy(t.Context(), web, copied); err != nil {
			t.Fatal(err)
		}
		var next Seen
		for where, files := range map[string]Fetcher{"web": web, "copy": In(copied), "own": In(l.cfg.Dir)} {
			f, err := look(t, Auditor{Files: files, Seen: seen})
			if err != nil {
				t.Fatal(where, n, err)
			}
			if f.Before != before || f.Looked != int64(n) || f.Checkpoint != l.Published() || f.FirstKey != (seen == nil) {
				t.Fatalf("%s: %+v", where, f)
			}
			if where == "web" {
				continue
			}
			readable, got := 0, 0
			f, err = look(t, Auditor{Files: files, Key: l.Verifier(), Seen: seen, Full: true, Visit: func(seq uint64, line []byte) error {
				if got++; got != int(seq) {
					t.Fatal("out of order:", seq)
				}
				if line != nil {
					readable++
				}
				return nil
			}})
			if err != nil || got != len(src.all) || readable != got/10 || f.Readable != int64(readable) {
				t.Fatal(where, f, err, got, readable)
			}
			if where == "own" {
				next = f.Seen
			}
		}
		seen = &next
		before = l.Published().Size
	}
	// What an auditor remembers goes through JSON.
	b, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	var again Seen
	if err := json.Unmarshal(b, &again); err != nil || again != *seen {
		t.Fatal(again, err)
	}
}

// TestAuditTampering: each of these is shown.
func TestAuditTampering(t *testing.T) {
	src := newList(70_000)
	key := testKey(t)
	l := begin(t, Config{Source: src, Key: key})
	take(t, l)
	files := In(l.cfg.Dir)
	first, err := look(t, Auditor{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		spoil      func(name string, b []byte) []byte
	}{
		{"a rewritten entry", "entry 513 is not the one", func(name string, b []byte) []byte {
			if name == "tile/entries/002" {
				b[10] ^= 1
			}
			return b
		}},
		{"a rewritten tile", "entry 512 is not the one", func(name string, b []byte) []byte {
			if name == "tile/0/001" {
				b[len(b)-1] ^= 1
			}
			return b
		}},
		{"a rewritten tile above", "tile/1/000", func(name string, b []byte) []byte {
			if name == "tile/1/000" {
				b[33] ^= 1
			}
			return b
		}},
		{"a rewritten tile at the top", "tile/2/000", func(name string, b []byte) []byte {
			if strings.HasPrefix(name, "tile/2/") {
				b[0] ^= 1
			}
			return b
		}},
		{"an entry and its tile, rewritten together", "tile/1/000", func(name string, b []byte) []byte {
			switch name {
			case "tile/entries/003":
				b[3] ^= 1
			case "tile/0/003":
				var leaves [][]byte
				e, _ := files.Fetch(t.Context(), "tile/entries/003", maxBundle)
				e[3] ^= 1
				leaves, _ = splitBundle(e, tileWidth)
				h, _ := leafHash(nil, leaves[0])
				copy(b, h[:])
			}
			return b
		}},
		{"a missing bundle", "entries 1025 to 1280", func(name string, b []byte) []byte {
			if name == "tile/entries/004" {
				return nil
			}
			return b
		}},
		{"a missing tile", "entries 1281 to 1536", func(name string, b []byte) []byte {
			if name == "tile/0/005" {
				return nil
			}
			return b
		}},
		{"an entry taken out of a bundle", "an entry is missing", func(name string, b []byte) []byte {
			if name == "tile/entries/006" {
				return b[2+int(b[0])<<8+int(b[1]):]
			}
			return b
		}},
		{"a short tile", "missing or cut off", func(name string, b []byte) []byte {
			if name == "tile/0/007" {
				return b[:len(b)-32]
			}
			return b
		}},
		{"a checkpoint of another size", "not signed", func(name string, b []byte) []byte {
			if name == "checkpoint" {
				return []byte(strings.Replace(string(b), "\n70000\n", "\n69999\n", 1))
			}
			return b
		}},
	} {
		_, err := look(t, Auditor{Files: spoiled{files, c.spoil}, Key: l.Verifier()})
		if !problem.Is(err, problem.Bogus) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := look(t, Auditor{Files: files, Key: l.Verifier()}); err != nil {
		t.Fatal("unspoiled:", err)
	}
	if _, err := look(t, Auditor{Files: files, Key: begin(t, Config{Source: newList(1)}).Verifier()}); !problem.Is(err, problem.Bogus) {
		t.Error("another log's key:", err)
	}

	// The keeper of the key rewrites the past: the same entries but one, all hashes and signatures made anew.
	for name, change := range map[string]func(s *list){
		"rewritten": func(s *list) {
			s.all[99].Public = []byte(`{"seq":100,"op":"create","id":"0.NA/88.118.666","who":"nobody"}`)
		},
		"one taken out": func(s *list) {
			s.all = append(s.all[:50], s.all[51:]...)
			for i := range s.all {
				e := &s.all[i]
				if e.Seq = uint64(i + 1); e.Public != nil {
					e.Public = fmt.Appendf(nil, `{"seq":%d,"op":"create","id":"0.NA/88.118.%d"}`, e.Seq, i)
				}
			}
		},
	} {
		for _, more := range []int{-1000, 0, 1000} {
			if name == "rewritten" && more > 0 {
				continue // that is the slow one, and tried with one taken out
			}
			forged := newList(70_000 + more)
			change(forged)
			if name == "one taken out" && more == 0 {
				forged.grow(1)
			}
			f := begin(t, Config{Source: forged, Key: key, Dir: filepath.Join(t.TempDir(), "forged")})
			take(t, f)
			if _, err := look(t, Auditor{Files: In(f.cfg.Dir)}); err != nil {
				t.Fatal("who looks for the first time cannot know:", err)
			}
			_, err := look(t, Auditor{Files: In(f.cfg.Dir), Seen: &first.Seen})
			var fork *Fork
			if !errors.As(err, &fork) || !problem.Is(err, problem.Bogus) {
				t.Fatalf("%s, %d more: %v", name, more, err)
			}
			for _, note := range []string{fork.A, fork.B} {
				if _, _, err := openCheckpoint([]byte(note), l.Verifier(), nil); err != nil {
					t.Error("the proof of a fork is not signed:", err)
				}
			}
		}
	}

	// A readable entry with another's number.
	gap := newList(20)
	gap.all[9].Public = []byte(`{"seq":11,"op":"create","id":"0.NA/88.118.11"}`)
	g := begin(t, Config{Source: gap})
	take(t, g)
	if _, err := look(t, Auditor{Files: In(g.cfg.Dir)}); !problem.Is(err, problem.Bogus) || !strings.Contains(err.Error(), "missing or out of order") {
		t.Error(err)
	}
}

func TestAuditUnreachable(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }))
	defer s.Close()
	if _, err := look(t, Auditor{Files: At(s.URL, nil)}); !problem.Is(err, problem.Unreachable) {
		t.Error(err)
	}
	if _, err := look(t, Auditor{Files: At("http://127.0.0.1:1", nil)}); !problem.Is(err, problem.Unreachable) {
		t.Error(err)
	}
	if _, err := look(t, Auditor{Files: In(t.TempDir())}); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
	big := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			w.Write(make([]byte, 1000))
		}
	}))
	defer big.Close()
	if _, err := look(t, Auditor{Files: At(big.URL, nil)}); !problem.Is(err, problem.Bogus) {
		t.Error(err)
	}
}
