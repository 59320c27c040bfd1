package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/ledger"
)

// parentFeed is the changes of a parent that delegates to two enterprises, and once takes the first one's prefix away.
type parentFeed struct{ all []record.Entry }

func (f *parentFeed) Changes(ctx context.Context, _ record.Identity, after uint64, limit int, _ bool) ([]record.Entry, error) {
	if after >= uint64(len(f.all)) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return f.all[after:min(uint64(len(f.all)), after+uint64(limit))], nil
}

func (f *parentFeed) add(op record.Op, name, by string) {
	n := uint64(len(f.all) + 1)
	f.all = append(f.all, record.Entry{Change: record.Change{Seq: n, Time: time.UnixMilli(1_790_000_000_000 + int64(n)*1000), Op: op,
		ID: id.MustParse(name), By: record.Identity{Ref: record.Ref{Index: 300, Name: by}}, Digest: [32]byte{byte(n)}}})
}

// auditWorld makes logs at several moments: grown by 300 entries, forked, and one that a web server serves.
func auditWorld(t *testing.T) (dir string, env map[string]string) {
	t.Helper()
	dir = t.TempDir()
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	wkey, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	const origin = "id.example.com/ledger/changes"
	vkey, err := ledger.LogVerifier(origin, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	witness, err := ledger.NewCosigner(ledger.CosignerConfig{Dir: filepath.Join(dir, "w"), Name: "witness.example.com", Key: wkey,
		Known: func(context.Context, string) (ledger.Verifier, bool) { return vkey, true }})
	if err != nil {
		t.Fatal(err)
	}
	ws := httptest.NewServer(witness)
	t.Cleanup(ws.Close)
	feed := &parentFeed{}
	grow := func(f *parentFeed, n int) {
		for range n {
			f.add(record.Create, fmt.Sprintf("88.118.1001/PUMP-%d", len(f.all)), "88.118.1001/ADMIN")
		}
	}
	open := func(folder string, f record.Feed, witnesses ...ledger.Witness) *ledger.Log {
		l, err := ledger.Open(t.Context(), ledger.Config{Dir: filepath.Join(dir, folder), Origin: origin, Key: key, Source: ledger.Changes(f), Witnesses: witnesses, ID: ledger.EntryID, Interval: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	catchUp := func(l *ledger.Log, n int) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		if err := l.Wait(ctx, uint64(n)); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-done
	}
	feed.add(record.Home, "0.NA/88.118", "0.NA/88.118")
	feed.add(record.Create, "0.NA/88.118.1001", "0.NA/88.118")
	feed.add(record.Create, "0.NA/88.118.1002", "0.NA/88.118")
	grow(feed, 300)
	web := open("web", feed, ledger.Witness{URL: ws.URL, Key: witness.Verifier()})
	catchUp(web, 303)
	if _, err := ledger.Copy(t.Context(), ledger.In(filepath.Join(dir, "web")), filepath.Join(dir, "day1")); err != nil {
		t.Fatal(err)
	}
	p, err := web.Prove(t.Context(), 42, ledger.Everything)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"proof.json": b, "proof.txt": []byte(p.Text())}
	// Overnight the parent gives the prefix to somebody else, and back.
	feed.add(record.Modify, "0.NA/88.118.1001", "0.NA/88.118")
	feed.add(record.Modify, "0.NA/88.118.1001", "0.NA/88.118")
	grow(feed, 10)
	catchUp(web, 315)
	if _, err := ledger.Copy(t.Context(), ledger.In(filepath.Join(dir, "web")), filepath.Join(dir, "day2")); err != nil {
		t.Fatal(err)
	}
	// And would rather not have: a log without those two, signed with the same key.
	lie := &parentFeed{}
	for _, e := range feed.all {
		if e.Op != record.Modify {
			lie.add(e.Op, e.ID.String(), e.By.Name)
		}
	}
	grow(lie, 10)
	forged := open("forged", lie)
	catchUp(forged, 323)
	if _, err := ledger.Copy(t.Context(), ledger.In(filepath.Join(dir, "forged")), filepath.Join(dir, "lie")); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	site := httptest.NewServer(http.StripPrefix("/ledger/changes/", web.Files()))
	t.Cleanup(site.Close)
	return dir, map[string]string{"LEDGER": dir, "LOG_URL": site.URL + "/ledger/changes", "LOG_KEY": vkey.String(), "WITNESS_KEY": witness.Verifier().String()}
}

// TestAuditStory plays testdata/audit.
func TestAuditStory(t *testing.T) {
	dir, env := auditWorld(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/audit",
		Setup: func(e *testscript.Env) error {
			e.Setenv("LC_ALL", "C.UTF-8")
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			for k, v := range env {
				e.Setenv(k, v)
			}
			return os.CopyFS(filepath.Join(e.WorkDir, "ledger"), os.DirFS(dir))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}
