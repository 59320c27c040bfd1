package escrow_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/escrow"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/store/pebble"
)

// folder makes a node's folder.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"node.yaml": "role: enterprise\n", "keys/prefix.pem": "secret", "ledger/tile/0/x001": strings.Repeat("t", 300_000),
		"store/000001.log": "not this", "half.part": "nor this", "empty": "",
	} {
		full := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(full), 0o700)
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func tree(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(dir, path)
		if d.Type().IsRegular() && !strings.HasPrefix(rel, "store") && !strings.HasSuffix(rel, ".part") {
			b, _ := os.ReadFile(path)
			i, _ := d.Info()
			fmt.Fprintln(&out, rel, i.Mode(), len(b), string(b[:min(10, len(b))]))
		}
		return nil
	})
	return out.String()
}

func TestBackup(t *testing.T) {
	ctx := context.Background()
	dir := folder(t)
	s := memory.New()
	r := open(t, s)
	write(t, r, home("88.118"))
	for i := range 500 {
		write(t, r, put(fmt.Sprintf("88.118/m%d", i), strings.Repeat("z", i*7%3000)))
	}
	// What other rooms keep in the store belongs to it.
	var b store.Batch
	b.Put([]byte("t other room"), []byte("row"))
	b.Append([]byte("n numbered "), []byte("entry"))
	if _, err := s.Apply(ctx, &b); err != nil {
		t.Fatal(err)
	}
	want := contents(t, r)
	for _, k := range append(keepers(t), keeper{name: "in the clear"}) {
		t.Run(k.name, func(t *testing.T) {
			var to []escrow.Recipient
			if k.ids != nil {
				to = append(to, k.to)
			}
			var file bytes.Buffer
			sum, err := escrow.Backup(ctx, &file, escrow.Node{Name: "n", Version: "v1", Folder: dir, Skip: []string{"store"}, Store: s}, to)
			if err != nil || sum.Files != 4 {
				t.Fatal(sum, err)
			}
			got, err := escrow.CheckBackup(ctx, bytes.NewReader(file.Bytes()), k.ids)
			if err != nil || got.Keys != sum.Keys || got.Files != sum.Files || got.Version != "v1" || got.Sealed != (to != nil) {
				t.Fatal(got, err)
			}
			for _, engine := range []string{"memory", "pebble"} {
				back := filepath.Join(t.TempDir(), "back")
				var there store.Store
				_, err = escrow.RestoreBackup(ctx, bytes.NewReader(file.Bytes()), back, k.ids, func(d string) (store.Store, error) {
					if engine == "pebble" {
						return pebble.Open(filepath.Join(d, "store"), pebble.Options{})
					}
					there = memory.New()
					return kept{there}, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if engine == "pebble" {
					if there, err = pebble.Open(filepath.Join(back, "store"), pebble.Options{}); err != nil {
						t.Fatal(err)
					}
					defer there.Close()
				}
				if got := contents(t, open(t, there)); got != want {
					t.Errorf("the records came back as %d bytes, were %d", len(got), len(want))
				}
				if a, b := tree(t, dir), tree(t, back); a != b {
					t.Errorf("the folder was\n%s\nis\n%s", a, b)
				}
				if v, err := there.Get(ctx, nil, []byte("t other room")); err != nil || string(v) != "row" {
					t.Error(string(v), err)
				}
				var b store.Batch
				b.Append([]byte("n numbered "), []byte("next"))
				snap, _ := s.Snapshot(ctx)
				last := snap.Sequence()
				snap.Close()
				if rc, err := there.Apply(ctx, &b); err != nil || rc.First != last+1 {
					t.Errorf("numbers go on at %d behind %d: %v", rc.First, last, err)
				}
			}
			// Into something that is not empty.
			if _, err := escrow.RestoreBackup(ctx, bytes.NewReader(file.Bytes()), dir, k.ids, nil); !problem.Is(err, problem.Exists) {
				t.Error(err)
			}
			if _, err := escrow.RestoreBackup(ctx, bytes.NewReader(file.Bytes()), filepath.Join(t.TempDir(), "x"), k.ids,
				func(string) (store.Store, error) { return kept{s}, nil }); !problem.Is(err, problem.Exists) {
				t.Error(err)
			}
			if k.ids != nil {
				if _, err := escrow.CheckBackup(ctx, bytes.NewReader(file.Bytes()), keepers(t)[1].ids); !problem.Is(err, problem.Forbidden) {
					t.Error("read by somebody else:", err)
				}
			}
			rapid.Check(t, func(t *rapid.T) {
				at := rapid.IntRange(0, file.Len()-1).Draw(t, "at")
				if _, err := escrow.CheckBackup(ctx, bytes.NewReader(file.Bytes()[:at]), k.ids); err == nil {
					t.Fatalf("cut off at %d of %d, it passes", at, file.Len())
				}
			})
		})
	}
}

// kept is a store that outlives its Close, to be looked at.
type kept struct{ store.Store }

func (kept) Close() error { return nil }

func FuzzBackup(f *testing.F) {
	var file bytes.Buffer
	if _, err := escrow.Backup(context.Background(), &file, escrow.Node{Folder: f.TempDir(), Store: memory.New()}, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte("fujie backup 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := filepath.Join(t.TempDir(), "x")
		escrow.RestoreBackup(context.Background(), bytes.NewReader(b), dir, nil, func(string) (store.Store, error) { return memory.New(), nil })
	})
}
