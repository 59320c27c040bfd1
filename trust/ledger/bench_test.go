package ledger

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
)

// fakeFeed gives changes as a registry does.
type fakeFeed struct{ all []record.Entry }

func (f *fakeFeed) Changes(ctx context.Context, _ record.Identity, after uint64, limit int, _ bool) ([]record.Entry, error) {
	return f.all[after:min(uint64(len(f.all)), after+uint64(limit))], nil
}

func feedOf(n int) *fakeFeed {
	f := &fakeFeed{}
	for i := range n {
		f.all = append(f.all, record.Entry{Change: record.Change{Seq: uint64(i + 1), Time: time.UnixMilli(1_790_000_000_000 + int64(i)/50), Op: record.Create,
			ID: id.MustParse(fmt.Sprintf("88.118.1001/ENG-%08d", i)), By: record.Identity{Ref: record.Ref{Index: 300, Name: "0.NA/88.118.1001"}}}})
	}
	return f
}

// BenchmarkAppend is what a follower does for each change: read, commit, hash, write.
func BenchmarkAppend(b *testing.B) {
	const n = 200_000
	feed := feedOf(n)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l, err := Open(b.Context(), Config{Dir: filepath.Join(b.TempDir(), fmt.Sprint(i), "changes"), Origin: "bench", Key: testKey(b), Source: Changes(feed), ID: EntryID})
		if err != nil {
			b.Fatal(err)
		}
		for l.Size() < n {
			es, err := l.entries(b.Context(), batch)
			if err != nil {
				b.Fatal(err)
			}
			if err := l.append(es, true); err != nil {
				b.Fatal(err)
			}
		}
		if err := l.Publish(b.Context()); err != nil {
			b.Fatal(err)
		}
		l.Close()
		if i == 0 {
			total := int64(0)
			err := filepath.WalkDir(l.cfg.Dir, func(_ string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				info, err := d.Info()
				total += info.Size()
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			defer b.ReportMetric(float64(total)/n, "disk-B/entry")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/entry")
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "entries/s")
}

// The four that "an inclusion proof is cheaper than a signature" is measured by.
func benchLog(b *testing.B) (*Log, int) {
	const n = 100_000
	l, err := Open(b.Context(), Config{Dir: filepath.Join(b.TempDir(), "changes"), Origin: "bench", Key: testKey(b), Source: Changes(feedOf(n)), ID: EntryID})
	if err != nil {
		b.Fatal(err)
	}
	for l.Size() < n {
		es, err := l.entries(b.Context(), batch)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.append(es, true); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Publish(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l, n
}

func BenchmarkProof(b *testing.B) {
	l, n := benchLog(b)
	ctx := b.Context()
	text := make([]byte, 200)
	sig, err := l.cfg.Key.Sign(text)
	if err != nil {
		b.Fatal(err)
	}
	p, err := l.Prove(ctx, uint64(n/2), Everything)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("prove", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := l.Prove(ctx, uint64(i*7919%n)+1, Everything); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.cfg.Key.Sign(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check-path", func(b *testing.B) {
		c, h := l.Published(), Hash{}
		h, _ = leafHash(nil, p.Leaf)
		for b.Loop() {
			if !climbs(h, int64(p.Entry-1), c.Size, p.Path, c.Root) {
				b.Fatal("bad")
			}
		}
	})
	b.Run("check-proof", func(b *testing.B) {
		c := l.Published()
		for b.Loop() {
			if _, err := p.VerifyIn(c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check-signature", func(b *testing.B) {
		for b.Loop() {
			if err := l.cfg.Key.Public().Verify(text, sig); err != nil {
				b.Fatal(err)
			}
		}
	})
}
