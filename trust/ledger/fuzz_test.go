package ledger

import (
	"bytes"
	"context"

	"path/filepath"
	"testing"
	"time"

	"github.com/fujie-id/fujie/trust"
)

// The key, so that the seeds' signatures hold.
const fuzzKey = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g
-----END PRIVATE KEY-----
`

func fuzzLog(f *testing.F) *Log {
	key, err := trust.ParsePrivatePEM([]byte(fuzzKey), nil)
	if err != nil {
		f.Fatal(err)
	}
	l, err := Open(context.Background(), Config{Dir: filepath.Join(f.TempDir(), "l"), Origin: "o", Key: key, Source: newList(300),
		Rand: bytes.NewReader(make([]byte, 32))}) // the same in every process of a fuzzing run
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	es, err := l.entries(context.Background(), 300)
	if err != nil {
		f.Fatal(err)
	}
	if err := l.append(es, true); err != nil {
		f.Fatal(err)
	}
	if err := l.Publish(context.Background()); err != nil {
		f.Fatal(err)
	}
	return l
}

func FuzzCheckpoint(f *testing.F) {
	l := fuzzLog(f)
	f.Add(l.checkpt)
	f.Add([]byte("o\n1\nAAAA\n\n— o AAAAAAAA\n"))
	f.Add([]byte("o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\next\n\n— o AAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := openCheckpoint(b, l.Verifier(), nil)
		if err == nil && (c != l.Published() || !bytes.HasPrefix(b, []byte(c.text()))) {
			t.Fatal("a forged checkpoint:", c)
		}
		if c, err := parseCheckpoint(string(b)); err == nil && !bytes.HasPrefix(b, []byte(c.text())) {
			t.Fatalf("%q was read as %q", b, c.text())
		}
	})
}

func FuzzBundle(f *testing.F) {
	l := fuzzLog(f)
	b, err := l.dir.tile(tile{entriesLevel, 0, 256})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, 256)
	f.Add([]byte{0, 1, 'x', 0, 0}, 2)
	f.Fuzz(func(t *testing.T, b []byte, want int) {
		if want < 0 || want > tileWidth {
			return
		}
		leaves, ok := splitBundle(b, want)
		if !ok {
			return
		}
		n := 0
		for _, leaf := range leaves {
			n += 2 + len(leaf)
		}
		if n != len(b) || len(leaves) != want {
			t.Fatal(n, len(b))
		}
		if want > 0 && !bytes.Equal((tile{entriesLevel, 0, want}).cut(append(b[:len(b):len(b)], 1, 2, 3)), b) {
			t.Fatal("cut and split do not agree")
		}
	})
}

func FuzzTilePath(f *testing.F) {
	f.Add("tile/0/x001/234.p/5")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, s string) {
		if x, ok := parseTile(s); ok && (x.path() != s || x.end() <= 0 || x.width < 1 || x.width > 256) {
			t.Fatal(s, x)
		}
	})
}

func FuzzProof(f *testing.F) {
	l := fuzzLog(f)
	for _, seq := range []uint64{5, 10} {
		p, err := l.Prove(context.Background(), seq, Everything)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(p.Text()))
	}
	f.Add([]byte(`{"entry":1,"leaf":"AA==","path":["AA=="],"checkpoint":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			return
		}
		if v, err := p.Verify(l.Verifier(), nil, 0); err == nil {
			// What holds is what the log says of that entry.
			want, err := l.Prove(context.Background(), p.Entry, Everything)
			if err != nil || !bytes.Equal(want.Leaf, p.Leaf) || p.Line != "" && p.Line != want.Line {
				t.Fatal("a forged proof:", v, err)
			}
		}
	})
}

func FuzzWitnessRequest(f *testing.F) {
	l := fuzzLog(f)
	dir := filepath.Join(f.TempDir(), "w")
	w, err := NewCosigner(CosignerConfig{Dir: dir, Name: "w", Key: l.cfg.Key, Now: func() time.Time { return time.Unix(1, 0) },
		Known: func(context.Context, string) (Verifier, bool) { return l.Verifier(), true }})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte("old 0\n\n"), l.checkpt...))
	f.Add(append([]byte("old 300\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n"), l.checkpt...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRequest(b); err == nil && (r.old < 0 || len(r.proof) > maxProof) {
			t.Fatal(r)
		}
		status, _, _ := w.add(context.Background(), b)
		switch status {
		case 200, 400, 403, 404, 409, 422:
		default:
			t.Fatal(status)
		}
		if status == 200 {
			c, _, err := w.last("o", l.Verifier())
			if err != nil || c != l.Published() {
				t.Fatal("co-signed:", c, err)
			}
		}
	})
}

func FuzzVerifier(f *testing.F) {
	l := fuzzLog(f)
	f.Add(l.Verifier().String())
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVerifier(s)
		if err != nil {
			return
		}
		if again, err := ParseVerifier(v.String()); err != nil || again != v {
			t.Fatal(s, again, err)
		}
	})
}
