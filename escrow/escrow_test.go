package escrow_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/escrow"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var operator = record.Identity{Operator: true}

func open(t testing.TB, s store.Store) *registry.Registry {
	t.Helper()
	r, err := registry.Open(context.Background(), registry.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func generate(t testing.TB, alg trust.Algorithm) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(alg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func write(t testing.TB, r *registry.Registry, ws ...record.Write) {
	t.Helper()
	res, err := r.Write(context.Background(), operator, ws)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range res {
		if x.Err != nil {
			t.Fatal(x.ID, x.Err)
		}
	}
}

func home(p string) record.Write { return record.Write{Op: record.Home, ID: id.PrefixRecord(p)} }
func put(name, data string) record.Write {
	return record.Write{Op: record.Create, Overwrite: true, ID: id.MustParse(name), Values: []record.Value{
		{Index: 1, Type: "URL", Data: []byte(data), TTL: record.TTL{Seconds: 60}, Perm: record.DefaultPerm},
		{Index: 300, Type: record.TypeSecKey, Data: []byte("secret of " + name), TTL: record.TTL{Seconds: 60}, Perm: record.AdminRead | record.AdminWrite}}}
}
func del(name string) record.Write { return record.Write{Op: record.Delete, ID: id.MustParse(name)} }

// contents is every record with all its values.
func contents(t testing.TB, r *registry.Registry) string {
	t.Helper()
	ctx := context.Background()
	ps, err := r.Prefixes(ctx, operator, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintln(ps)
	for _, p := range append(ps, "0.NA") {
		ns, err := r.List(ctx, operator, p, "", 100000)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range ns {
			e, err := r.Entry(ctx, id.MustParse(n))
			if err != nil {
				t.Fatal(err)
			}
			out += fmt.Sprintln(n, e.Values)
		}
	}
	return out
}

// keeper is who keeps deposits: by age or by SM2.
type keeper struct {
	name   string
	public string
	to     escrow.Recipient
	ids    []escrow.Identity
}

func keepers(t testing.TB) []keeper {
	t.Helper()
	a, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	ra, err := escrow.ParseRecipient(a.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	ia, err := escrow.ParseIdentities([]byte("# kept offline\n" + a.String() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	k := generate(t, trust.SM2)
	rs, err := escrow.ParseRecipient(string(k.Public().MarshalPEM()))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := k.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	is, err := escrow.ParseIdentities(pem)
	if err != nil {
		t.Fatal(err)
	}
	return []keeper{{"age", a.Recipient().String(), ra, ia}, {"SM2", string(k.Public().MarshalPEM()), rs, is}}
}

func TestSeal(t *testing.T) {
	for _, k := range keepers(t) {
		t.Run(k.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{65535, 65536, 65537, 131072, 200000})).Draw(t, "n")
				plain := bytes.Repeat([]byte{7}, n)
				var b bytes.Buffer
				w, err := escrow.Seal(&b, []escrow.Recipient{k.to}, nil)
				if err != nil {
					t.Fatal(err)
				}
				for rest := plain; len(rest) > 0; {
					step := min(len(rest), rapid.IntRange(1, 100000).Draw(t, "step"))
					if _, err := w.Write(rest[:step]); err != nil {
						t.Fatal(err)
					}
					rest = rest[step:]
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				sealed := b.Bytes()
				read := func(b []byte) ([]byte, error) {
					r, err := escrow.Open(bytes.NewReader(b), k.ids)
					if err != nil {
						return nil, err
					}
					return io.ReadAll(r)
				}
				if got, err := read(sealed); err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%d bytes came back as %d: %v", n, len(got), err)
				}
				// A byte changed anywhere, or the end cut off, is seen.
				at := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
				if got, err := read(sealed[:at]); err == nil {
					t.Fatalf("cut off at %d of %d, it reads as %d bytes", at, len(sealed), len(got))
				}
				changed := bytes.Clone(sealed)
				changed[at] ^= 1
				if got, err := read(changed); err == nil && k.name == "SM2" {
					t.Fatalf("changed at %d of %d, it reads as %d bytes", at, len(sealed), len(got))
				} else if err == nil && !bytes.Equal(got, plain) {
					t.Fatal("changed, it reads as something else")
				}
			})
		})
	}
	ks := keepers(t)
	if _, err := escrow.Seal(io.Discard, []escrow.Recipient{ks[0].to, ks[1].to}, nil); !problem.Is(err, problem.BadRequest) {
		t.Error("two kinds of recipients:", err)
	}
	var b bytes.Buffer
	w, _ := escrow.Seal(&b, []escrow.Recipient{ks[1].to}, nil)
	w.Close()
	if _, err := escrow.Open(&b, keepers(t)[1].ids); !problem.Is(err, problem.Forbidden) {
		t.Error("opened by somebody else:", err)
	}
}

func FuzzOpen(f *testing.F) {
	ks := keepers(f)
	for _, k := range ks {
		var b bytes.Buffer
		w, err := escrow.Seal(&b, []escrow.Recipient{k.to}, nil)
		if err != nil {
			f.Fatal(err)
		}
		w.Write([]byte("hello"))
		w.Close()
		f.Add(b.Bytes())
	}
	f.Add([]byte("fujie sealed 1\n\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, k := range ks {
			if r, err := escrow.Open(bytes.NewReader(b), k.ids); err == nil {
				io.Copy(io.Discard, r)
			}
		}
		escrow.ParseManifest(b, "x")
	})
}

// TestDeposits makes a FULL deposit and two DIFFs while changes go on, and restores each state.
func TestDeposits(t *testing.T) {
	for _, k := range keepers(t) {
		t.Run(k.name, func(t *testing.T) {
			ctx := context.Background()
			r := open(t, memory.New())
			write(t, r, home("88.118"), home("88.118.1001"), home("88.200"), put("88.118/a", "1"), put("88.118/gone", "1"),
				put("88.118.1001/x", "1"), put("88.200/other", "1"), put("0.NA/88.118.1001", "delegation"))
			for i := range 300 {
				write(t, r, put(fmt.Sprintf("88.118/m%d", i), strings.Repeat("z", i*7%200)))
			}
			dir := t.TempDir()
			place, err := escrow.Folder(filepath.Join(dir, "deposits"))
			if err != nil {
				t.Fatal(err)
			}
			key := generate(t, trust.Ed25519)
			cfg := escrow.Config{Source: r, Place: place, Prefix: "88.118", To: []escrow.Recipient{k.to}, Key: key, Volume: 2000, Log: filepath.Join(dir, "log", "escrow.jsonl")}
			deposit := func(want escrow.Kind) *escrow.Manifest {
				t.Helper()
				m, err := escrow.Make(ctx, cfg)
				if err != nil {
					t.Fatal(err)
				}
				if m.Kind != want {
					t.Fatalf("a %s deposit, wanted %s", m.Kind, want)
				}
				return m
			}
			state := func() string { // what of it belongs to the prefix
				c := open(t, memory.New())
				for _, n := range []string{"88.118", "88.118.1001"} {
					write(t, c, home(n))
				}
				var out []string
				for _, l := range strings.Split(contents(t, r), "\n") {
					if strings.HasPrefix(l, "88.118") || strings.HasPrefix(l, "0.NA/88.118") {
						out = append(out, l)
					}
				}
				return strings.Join(out, "\n")
			}
			full := deposit(escrow.Full)
			first := state()
			if len(full.Volumes) < 2 || full.Records != 304 {
				t.Errorf("%d volumes, %d records", len(full.Volumes), full.Records)
			}
			write(t, r, put("88.118/a", "2"), del("88.118/gone"), put("88.118.1001/new", "1"), put("88.200/other", "2"))
			diff := deposit(escrow.Diff)
			second := state()
			if diff.Records != 2 || diff.Gone != 1 || diff.Base != full.Deposit {
				t.Errorf("%+v", diff)
			}
			write(t, r, put("88.118/a", "3"))
			deposit(escrow.Diff)
			third := state()

			restored := func(until string) string {
				t.Helper()
				to := open(t, memory.New())
				_, err := escrow.Restore(ctx, escrow.Restoring{Place: place, Prefix: "88.118", Signer: key.Public().Fingerprint(), IDs: k.ids, Until: until, Into: to})
				if err != nil {
					t.Fatal(err)
				}
				_, list, _ := strings.Cut(contents(t, to), "\n")
				return strings.TrimSpace(list)
			}
			for i, c := range []struct{ until, want string }{{full.Deposit, first}, {diff.Deposit, second}, {"", third}} {
				if got := restored(c.until); got != c.want {
					t.Errorf("state %d restored as\n%s\nwanted\n%s", i, got, c.want)
				}
			}
			// Neither names nor secrets stand in the volumes.
			for _, v := range full.Volumes {
				b, err := os.ReadFile(filepath.Join(dir, "deposits", v.Name))
				if err != nil || bytes.Contains(b, []byte("88.118")) || bytes.Contains(b, []byte("secret")) {
					t.Error("readable:", v.Name, err)
				}
			}
			b, err := os.ReadFile(cfg.Log)
			if err != nil || strings.Count(string(b), `"SUCCESS"`) != 3 {
				t.Errorf("the log: %s %v", b, err)
			}

			// The node was set back: a DIFF would go on from something else.
			other := open(t, memory.New())
			write(t, other, home("88.118"), put("88.118/a", "1"))
			cfg.Source = other
			deposit(escrow.Full)
			cfg.Kind = escrow.Diff
			cfg.Source = open(t, memory.New())
			if _, err := escrow.Make(ctx, cfg); !problem.Is(err, problem.Conflict) {
				t.Error("a DIFF with nothing to go on from:", err)
			}
			if b, _ := os.ReadFile(cfg.Log); strings.Count(string(b), `"FAIL"`) != 1 {
				t.Errorf("the log: %s", b)
			}
		})
	}
}

func TestDamage(t *testing.T) {
	ctx := context.Background()
	k := keepers(t)[1]
	key := generate(t, trust.SM2)
	r := open(t, memory.New())
	write(t, r, home("88.118"))
	for i := range 50 {
		write(t, r, put(fmt.Sprintf("88.118/m%d", i), "x"))
	}
	make := func(t *testing.T) (string, *escrow.Manifest, escrow.Restoring) {
		dir := t.TempDir()
		place, err := escrow.Folder(dir)
		if err != nil {
			t.Fatal(err)
		}
		m, err := escrow.Make(ctx, escrow.Config{Source: r, Place: place, Prefix: "88.118", To: []escrow.Recipient{k.to}, Key: key, Volume: 500})
		if err != nil {
			t.Fatal(err)
		}
		return dir, m, escrow.Restoring{Place: place, Prefix: "88.118", Signer: key.Public().Fingerprint(), IDs: k.ids, Into: open(t, memory.New())}
	}
	for _, c := range []struct {
		name string
		do   func(t *testing.T, dir string, m *escrow.Manifest, r *escrow.Restoring)
		kind problem.Kind
	}{
		{"a byte of a volume", func(t *testing.T, dir string, m *escrow.Manifest, _ *escrow.Restoring) {
			name := filepath.Join(dir, m.Volumes[1].Name)
			b, _ := os.ReadFile(name)
			b[100] ^= 1
			os.WriteFile(name, b, 0o600)
		}, problem.Bogus},
		{"a volume cut short", func(t *testing.T, dir string, m *escrow.Manifest, _ *escrow.Restoring) {
			os.Truncate(filepath.Join(dir, m.Volumes[0].Name), 100)
		}, problem.Bogus},
		{"a volume longer", func(t *testing.T, dir string, m *escrow.Manifest, _ *escrow.Restoring) {
			f, _ := os.OpenFile(filepath.Join(dir, m.Volumes[0].Name), os.O_APPEND|os.O_WRONLY, 0)
			f.WriteString("more")
			f.Close()
		}, problem.Bogus},
		{"a volume missing", func(t *testing.T, dir string, m *escrow.Manifest, _ *escrow.Restoring) {
			os.Remove(filepath.Join(dir, m.Volumes[1].Name))
		}, problem.NotFound},
		{"volumes swapped", func(t *testing.T, dir string, m *escrow.Manifest, _ *escrow.Restoring) {
			a, b := filepath.Join(dir, m.Volumes[0].Name), filepath.Join(dir, m.Volumes[1].Name)
			os.Rename(a, a+"x")
			os.Rename(b, a)
			os.Rename(a+"x", b)
		}, problem.Bogus},
		{"a manifest changed", func(t *testing.T, dir string, _ *escrow.Manifest, _ *escrow.Restoring) {
			names, _ := filepath.Glob(filepath.Join(dir, "*.manifest.json"))
			b, _ := os.ReadFile(names[0])
			os.WriteFile(names[0], bytes.Replace(b, []byte(`"records":50`), []byte(`"records":51`), 1), 0o600)
		}, problem.NotFound},
		{"a manifest by another key", func(t *testing.T, _ string, _ *escrow.Manifest, r *escrow.Restoring) {
			r.Signer = generate(t, trust.SM2).Public().Fingerprint()
		}, problem.NotFound},
		{"another private key", func(t *testing.T, _ string, _ *escrow.Manifest, r *escrow.Restoring) {
			r.IDs = keepers(t)[1].ids
		}, problem.Forbidden},
		{"a node that is not empty", func(t *testing.T, _ string, _ *escrow.Manifest, r *escrow.Restoring) {
			write(t, r.Into.(*registry.Registry), home("88.118"))
		}, problem.Exists},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, m, r := make(t)
			c.do(t, dir, m, &r)
			before, _ := r.Into.Last(ctx)
			_, err := escrow.Restore(ctx, r)
			if !problem.Is(err, c.kind) {
				t.Errorf("%v", err)
			}
			if after, _ := r.Into.Last(ctx); after != before {
				t.Error("something was restored all the same")
			}
		})
	}
}

// TestInterrupted crashes the restoring node at each of its writes and goes on.
func TestInterrupted(t *testing.T) {
	ctx := context.Background()
	k := keepers(t)[0]
	key := generate(t, trust.Ed25519)
	r := open(t, memory.New())
	write(t, r, home("88.118"))
	var ws []record.Write
	for i := range 3500 {
		ws = append(ws, put(fmt.Sprintf("88.118/m%d", i), "x"))
	}
	write(t, r, ws...)
	place, err := escrow.Folder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg := escrow.Config{Source: r, Place: place, Prefix: "88.118", To: []escrow.Recipient{k.to}, Key: key}
	for i := range 2 {
		if _, err := escrow.Make(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		write(t, r, put("88.118/m5", "y"), del(fmt.Sprintf("88.118/m%d", 6+i)))
	}
	if _, err := escrow.Make(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	want := contents(t, r)
	for crash := 2; crash < 9; crash++ {
		s := memory.New()
		s.Faults().CrashAt(crash, memory.When(crash%2))
		to := escrow.Restoring{Place: place, Prefix: "88.118", Signer: key.Public().Fingerprint(), IDs: k.ids, Into: open(t, s)}
		if _, err := escrow.Restore(ctx, to); err == nil && crash < 7 {
			t.Fatalf("crash %d did not happen", crash)
		}
		again := open(t, s.Reopen())
		to.Into = again
		if _, err := escrow.Restore(ctx, to); err != nil {
			t.Fatalf("going on after crash %d: %v", crash, err)
		}
		if got := contents(t, again); got != want {
			t.Fatalf("after crash %d: %d bytes, wanted %d", crash, len(got), len(want))
		}
		// Once more changes nothing.
		last, _ := again.Last(ctx)
		if _, err := escrow.Restore(ctx, to); err != nil {
			t.Fatal(err)
		}
		if now, _ := again.Last(ctx); now != last {
			t.Error("restoring again changed something")
		}
	}
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ now, want string }{
		{"2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z"}, {"2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"}, {"2026-11-22T10:00:00Z", "2026-11-23T00:00:00Z"},
	} {
		now, _ := time.Parse(time.RFC3339, c.now)
		if got := escrow.Next(now).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s", c.now, got, c.want)
		}
	}
}
