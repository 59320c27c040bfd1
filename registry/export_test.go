package registry

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
)

// dump is all that a node has, for comparison: records, prefixes, counts and changes with their numbers.
func dump(t testing.TB, s store.Reader) string {
	t.Helper()
	var b strings.Builder
	for _, tag := range []byte{tagRecord, tagHomed, tagCount, tagLog} {
		if err := s.Range(context.Background(), store.Under([]byte{tag}), func(k, v []byte) error {
			fmt.Fprintf(&b, "%q=%x\n", k, v)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// wellUsed is a node with a life behind it, whose numbers have gaps.
func wellUsed(t testing.TB, n int) (*memory.Store, *Registry) {
	s := memory.New()
	r := enterprise(t, Config{Store: s})
	for i := range n {
		secret := text(3, "HS_SECKEY", "geheim")
		secret.Perm = record.AdminRead
		must(t, r, admin, create(fmt.Sprintf("88.118.1001/%d", i), text(1, "URL", strings.Repeat("x", i%7*5000)), secret))
		switch i % 5 {
		case 1:
			must(t, r, admin, record.Write{Op: record.Delete, ID: id.MustParse(fmt.Sprintf("88.118.1001/%d", i))})
		case 3:
			var b store.Batch
			b.Append([]byte("x"), []byte("somebody else's log"))
			if _, err := s.Apply(context.Background(), &b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Copy(context.Background(), "elsewhere", nil, []byte("cursor")); err != nil {
		t.Fatal(err)
	}
	return s, r
}

func export(t testing.TB, r *Registry, opts ...ExportOption) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := r.Export(context.Background(), &file, func(Progress) {}, opts...); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestExportImport(t *testing.T) {
	ctx := context.Background()
	from, r := wellUsed(t, 400)
	file := export(t, r)
	for name, to := range map[string]store.Store{"memory": memory.New(), "folder": disk(t)} {
		t.Run(name, func(t *testing.T) {
			q := open(t, Config{Store: to})
			calls := 0
			if err := q.Import(ctx, bytes.NewReader(file), func(Progress) { calls++ }); err != nil {
				t.Fatal(err)
			}
			if dump(t, to) != dump(t, from) || calls == 0 {
				t.Fatal("the copy differs")
			}
			if c, _ := q.Cursor(ctx, "elsewhere"); string(c) != "cursor" {
				t.Fatal("cursor", c)
			}
			if _, _, ok := q.AppendPublic(nil, []byte("88.118.1001/2"), 0); !ok {
				t.Fatal("not answered after the import")
			}
			// Once more does nothing, and another file is refused.
			if err := q.Import(ctx, bytes.NewReader(file), nil); err != nil {
				t.Fatal(err)
			}
			if dump(t, to) != dump(t, from) {
				t.Fatal("doubled")
			}
			if err := q.Import(ctx, bytes.NewReader(export(t, r)), nil); kindOf(err) != "exists" {
				t.Fatal(err)
			}
			must(t, q, admin, create("88.118.1001/after"))
		})
	}
	if err := r.Import(ctx, bytes.NewReader(file), nil); kindOf(err) != "exists" {
		t.Fatal("into a node that is not empty:", err)
	}
	open := bytes.Contains(file, []byte("geheim"))
	bare := memory.New()
	q, err := Open(ctx, Config{Store: bare})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Import(ctx, bytes.NewReader(export(t, r, WithoutSecrets())), nil); err != nil {
		t.Fatal(err)
	}
	if keys, held, err := q.Secrets(ctx, record.Ref{Name: "88.118.1001/2"}); len(keys) != 0 || !held || err != nil || open {
		t.Fatal("secrets", keys, held, err)
	}
}

// TestImportInterrupted crashes the new node at every write of an import, before and after the write took effect, and
// runs the import again.
func TestImportInterrupted(t *testing.T) {
	ctx := context.Background()
	from, r := wellUsed(t, 150)
	file := export(t, r)
	want := dump(t, from)
	for k := 1; ; k++ {
		finished := false
		for _, when := range []memory.When{memory.Before, memory.After} {
			to := memory.New()
			q := open(t, Config{Store: to})
			to.Faults().CrashAt(k, when)
			if err := q.Import(ctx, bytes.NewReader(file), nil); err == nil {
				finished = true
			}
			to = to.Reopen()
			q = open(t, Config{Store: to})
			if err := q.Import(ctx, bytes.NewReader(file), nil); err != nil {
				t.Fatalf("again after a crash at write %d (%d): %v", k, when, err)
			}
			if dump(t, to) != want {
				t.Fatalf("after a crash at write %d (%d) and another run, the copy differs", k, when)
			}
		}
		if finished {
			if k < 4 {
				t.Fatal("the import had only", k, "writes: too few to prove anything")
			}
			return
		}
	}
}

func TestImportDamaged(t *testing.T) {
	ctx := context.Background()
	from, r := wellUsed(t, 60)
	file := export(t, r)
	want := dump(t, from)
	for i := 0; i < len(file); i += 1 + len(file)/150 {
		bad := bytes.Clone(file)
		bad[i] ^= 0x41
		for what, in := range map[string][]byte{"changed": bad, "cut": file[:i]} {
			to := memory.New()
			q := open(t, Config{Store: to})
			err := q.Import(ctx, bytes.NewReader(in), nil)
			if err == nil && dump(t, to) == want {
				continue // a bit that the packing leaves free
			}
			if k := kindOf(err); k != "bad-request" && k != "unsupported" {
				t.Fatalf("%s at byte %d: %v", what, i, err)
			}
			// A good copy mends it.
			if err := q.Import(ctx, bytes.NewReader(file), nil); err != nil {
				t.Fatalf("%s at byte %d, then a good copy: %v", what, i, err)
			}
		}
	}
}

func FuzzImport(f *testing.F) {
	_, r := wellUsed(f, 6)
	file := export(f, r)
	f.Add(file)
	f.Add([]byte(exportMagic))
	f.Add(file[:len(file)/2])
	f.Fuzz(func(t *testing.T, in []byte) {
		q := open(t, Config{})
		if err := q.Import(context.Background(), bytes.NewReader(in), nil); err != nil && kindOf(err) == "internal" {
			t.Fatal(err)
		}
	})
}

func FuzzStored(f *testing.F) {
	f.Add(appendStored(nil, []record.Value{text(1, "URL", "x")}, nil))
	sig := text(401, "HS_SIGNATURE", "y")
	f.Add(appendStored(nil, []record.Value{text(1, "URL", "x")}, &sig))
	f.Add(appendChange(nil, &record.Change{Op: record.Create, ID: id.MustParse("88.1/x"), By: admin, Digest: [32]byte{1}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		if s, err := openStored(in); err == nil {
			vs, err := s.values()
			out, _, ok := s.appendPublic(nil, 0)
			if err == nil && ok && s.flags&storedPublic == 0 {
				got, _, err := record.DecodeBlock(out)
				if err != nil || len(got) > len(vs) {
					t.Fatal("the public part of a good record is bad", err)
				}
			}
			s.sealed()
			lifetime(append(out, 0, 0, 0, 0))
		}
		visitPage(7, in, 8, func(record.Change) error { return nil })
		if c, err := decodeChange(1, in); err == nil {
			if _, err := decodeChange(1, appendChange(nil, &c)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
