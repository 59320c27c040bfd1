package mint_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mint"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/registry"
	"github.com/fujie-id/fujie/store/memory"
)

var operator = record.Identity{Operator: true}

func papers(t testing.TB) *registry.Registry {
	t.Helper()
	st := memory.New()
	r, err := registry.Open(context.Background(), registry.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	if _, err := r.Write(context.Background(), operator, []record.Write{{Op: record.Home, ID: id.PrefixRecord("88.118")}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t testing.TB, r document.Registry, dir string) *mint.Mint {
	t.Helper()
	m, err := mint.New(context.Background(), mint.Config{Prefix: "88.118", Registry: r, Dir: dir, Now: func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var serial = mint.Rule{Name: "pump", Template: "88.118/META_PUMP", Parts: []mint.Part{{Kind: "text", Text: "PUMP-"}, {Kind: "date", Layout: "YYMMDD"}, {Kind: "class", Width: 2}, {Kind: "serial", Width: 9}, {Kind: "check", Scheme: mint.Mod37_36}}}
var random = mint.Rule{Name: "label", Parts: []mint.Part{{Kind: "random", Width: 10}, {Kind: "check", Scheme: mint.Mod37_2}}}

// The examples that stand in the standards and in the places that use them.
func TestSchemes(t *testing.T) {
	for _, c := range []struct {
		s          mint.Scheme
		text, want string
	}{
		{mint.Mod11_2, "0794", "0"},               // ISO 7064
		{mint.Mod11_2, "000000021825009", "7"},    // ORCID 0000-0002-1825-0097
		{mint.Mod11_2, "0000-0002-1694-233", "X"}, // ORCID
		{mint.Mod11_10, "0794", "5"},              // ISO 7064
		{mint.Mod97_10, "794", "44"},              // ISO 7064
		{mint.Mod37_36, "A12425GABC1234002", "M"}, // GRid
		{mint.GS1, "629104150021", "3"},           // GTIN-13
		{mint.GS1, "37610425002123456", "9"},      // SSCC-18
		{mint.Luhn, "7992739871", "3"},            // ISO/IEC 7812-1
		{mint.Mod37_2, "G123489654321", "Y"},      // ISBT 128
	} {
		if got := c.s.Check(c.text); got != c.want || !c.s.Verify(c.text+got) {
			t.Errorf("%s of %s: %s, want %s", c.s, c.text, got, c.want)
		}
	}
	// Each finds every single wrong digit.
	for _, s := range []mint.Scheme{mint.Mod11_2, mint.Mod37_2, mint.Mod97_10, mint.Mod11_10, mint.Mod37_36, mint.GS1, mint.Luhn} {
		text := "90417305826"
		good := text + s.Check(text)
		for i := range text {
			for d := byte('0'); d <= '9'; d++ {
				b := []byte(good)
				if b[i] != d {
					if b[i] = d; s.Verify(string(b)) {
						t.Errorf("%s takes %s for %s", s, b, good)
					}
				}
			}
		}
	}
}

func TestTakeAndParse(t *testing.T) {
	m := open(t, papers(t), t.TempDir())
	for _, r := range []mint.Rule{serial, random} {
		if _, err := m.Define(t.Context(), operator, "88.118", r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Define(t.Context(), operator, "88.118", random); !problem.Is(err, problem.Exists) {
		t.Error("a rule was defined twice:", err)
	}
	seen := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, o := range []mint.Order{{Prefix: "88.118", Rule: "pump", Class: "A7", Count: 200}, {Prefix: "88.118", Rule: "label", Count: 200}} {
				list, err := m.Take(context.Background(), operator, o)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, c := range list {
					if seen[c] {
						t.Error("issued twice:", c)
					}
					seen[c] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 3200 {
		t.Fatal(len(seen))
	}
	serials := map[string]map[uint64]bool{"pump": {}, "label": {}}
	for c := range seen {
		rule := "label"
		if strings.Contains(c, "PUMP") {
			rule = "pump"
		}
		p, err := m.Parse(t.Context(), rule, id.MustParse(c))
		if err != nil || !p.Issued || serials[rule][p.Serial] || p.Serial >= 1600 || rule == "pump" && (p.Class != "A7" || p.Date.Format(time.DateOnly) != "2026-11-22") {
			t.Fatalf("%s: %+v %v", c, p, err)
		}
		serials[rule][p.Serial] = true
		// A misread character is found.
		b := []byte(c)
		i := strings.IndexByte(c, '/') + 1
		if b[len(b)-2] != '7' {
			b[len(b)-2] = '7'
		} else {
			b[len(b)-2] = '8'
		}
		if _, err := m.Parse(t.Context(), rule, id.MustParse(string(b))); !problem.Is(err, problem.BadValue) {
			t.Errorf("%s passes for %s (%d): %v", b, c, i, err)
		}
	}
	list, err := m.Take(t.Context(), operator, mint.Order{Prefix: "88.118", Rule: "pump", Class: "A7", Count: 1})
	if err != nil || !strings.HasPrefix(list[0], "88.118/PUMP-261122A7000001600") {
		t.Error(list, err)
	}
}

func TestRules(t *testing.T) {
	for _, p := range [][]mint.Part{
		nil,
		{{Kind: "text", Text: "x"}},
		{{Kind: "serial"}, {Kind: "date"}},
		{{Kind: "serial"}, {Kind: "random", Width: 8}},
		{{Kind: "check", Scheme: mint.GS1}, {Kind: "serial"}},
		{{Kind: "serial"}, {Kind: "check", Scheme: "crc"}},
		{{Kind: "random", Width: 7}},
		{{Kind: "text", Text: "a,b"}, {Kind: "serial"}},
		{{Kind: "serial", Width: 13, Base: 32}},
	} {
		if err := (&mint.Rule{Name: "x", Parts: p}).Check(); !problem.Is(err, problem.BadValue) {
			t.Errorf("%v: %v", p, err)
		}
	}
	m := open(t, papers(t), t.TempDir())
	if _, err := m.Define(t.Context(), operator, "88.118", mint.Rule{Name: "few", Parts: []mint.Part{{Kind: "serial", Width: 1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Take(t.Context(), operator, mint.Order{Prefix: "88.118", Rule: "few", Count: 8}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Take(t.Context(), operator, mint.Order{Prefix: "88.118", Rule: "few", Count: 3}); !problem.Is(err, problem.Full) {
		t.Error("more codes than there are:", err)
	}
}

// dying is a registry that stops after some writes, as a killed node does.
type dying struct {
	*registry.Registry
	left   int
	cancel func()
}

func (d *dying) Write(ctx context.Context, by record.Identity, w []record.Write) ([]record.Result, error) {
	if d.left--; d.left < 0 {
		d.cancel()
		return nil, context.Canceled
	}
	return d.Registry.Write(ctx, by, w)
}

func TestJobGoesOn(t *testing.T) {
	for _, zip := range []bool{false, true} {
		r, dir := papers(t), t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		m := open(t, &dying{Registry: r, left: 4, cancel: cancel}, dir)
		if _, err := m.Define(ctx, operator, "88.118", serial); err != nil {
			t.Fatal(err)
		}
		const count = 600_000
		v, _, err := m.Issue(ctx, operator, mint.Order{Prefix: "88.118", Rule: "pump", Class: "B1", Count: count, Gzip: zip})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Work(ctx); err == nil {
			t.Fatal("it should have been killed")
		}
		m = open(t, r, dir)
		j, err := m.Job(t.Context(), v)
		if err != nil || j.Done == 0 || j.Done == count {
			t.Fatalf("%+v %v", j, err)
		}
		// What was written behind the checkpoint is not trusted.
		f, _ := os.OpenFile(m.Path(v, j)+".part", os.O_APPEND|os.O_WRONLY, 0)
		f.WriteString("half a li")
		f.Close()
		if err := m.Work(t.Context()); err != nil {
			t.Fatal(err)
		}
		j, _ = m.Job(t.Context(), v)
		b, err := os.ReadFile(m.Path(v, j))
		sum := sha256.Sum256(b)
		if err != nil || j.State != mint.Done || j.SHA256 != hex.EncodeToString(sum[:]) || int64(len(b)) != j.Bytes {
			t.Fatalf("%+v %v", j, err)
		}
		var in io.Reader = bytes.NewReader(b)
		if zip {
			if in, err = gzip.NewReader(in); err != nil {
				t.Fatal(err)
			}
		}
		s := bufio.NewScanner(in)
		s.Scan()
		if s.Text() != "id,template" {
			t.Error(s.Text())
		}
		n, last := 0, ""
		for s.Scan() {
			if s.Text() <= last || !strings.HasSuffix(s.Text(), ",88.118/META_PUMP") {
				t.Fatalf("%q behind %q", s.Text(), last)
			}
			last = s.Text()
			n++
		}
		if n != count {
			t.Errorf("%d codes in the file", n)
		}
	}
}

func size() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("FUJIE_CODES"), 10, 64); err == nil {
		return n
	}
	return 200_000
}

// BenchmarkIssue is a job, from the order to the file that is durable.
func BenchmarkIssue(b *testing.B) {
	for _, rule := range []mint.Rule{serial, random} {
		b.Run(rule.Name, func(b *testing.B) {
			m := open(b, papers(b), b.TempDir())
			if _, err := m.Define(b.Context(), operator, "88.118", rule); err != nil {
				b.Fatal(err)
			}
			class := ""
			if rule.Name == "pump" {
				class = "A1"
			}
			for b.Loop() {
				if _, _, err := m.Issue(b.Context(), operator, mint.Order{Prefix: "88.118", Rule: rule.Name, Class: class, Count: size()}); err != nil {
					b.Fatal(err)
				}
				if err := m.Work(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size())*float64(b.N)/b.Elapsed().Seconds(), "codes/s")
		})
	}
}

// quiet is a log that nobody reads.
type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// BenchmarkIngest is what it is measured against: the same codes, sorted, into a table of the bare engine, and that ingested.
func BenchmarkIngest(b *testing.B) {
	m := open(b, papers(b), b.TempDir())
	if _, err := m.Define(b.Context(), operator, "88.118", serial); err != nil {
		b.Fatal(err)
	}
	v, _, err := m.Issue(b.Context(), operator, mint.Order{Prefix: "88.118", Rule: "pump", Class: "A1", Count: size()})
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Work(b.Context()); err != nil {
		b.Fatal(err)
	}
	j, _ := m.Job(b.Context(), v)
	text, err := os.ReadFile(m.Path(v, j))
	if err != nil {
		b.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))[1:]
	value := lines[0][bytes.IndexByte(lines[0], ','):]
	for b.Loop() {
		dir := b.TempDir()
		db, err := cockroach.Open(filepath.Join(dir, "db"), &cockroach.Options{FormatMajorVersion: cockroach.FormatNewest, Logger: quiet{}})
		if err != nil {
			b.Fatal(err)
		}
		path := filepath.Join(dir, "in.sst")
		f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			b.Fatal(err)
		}
		w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{TableFormat: sstable.TableFormatPebblev4})
		for _, l := range lines {
			if err := w.Set(l[:bytes.IndexByte(l, ',')], value); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		if err := db.Ingest(b.Context(), []string{path}); err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(lines))*float64(b.N)/b.Elapsed().Seconds(), "codes/s")
}
