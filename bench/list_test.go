package bench_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// The figures of long lists: `make bench-lists`. What the console asks of a node that keeps a million identifiers, beside one that keeps a thousand, a call of the same
// interface that lists nothing, and the engine's own iterator over the same keys.

// listLength is how many identifiers the long list has.
func listLength() int {
	if n, err := strconv.Atoi(os.Getenv("FUJIE_LIST")); err == nil && n >= 10_000 {
		return n
	}
	return 1_000_000
}

const (
	listPrefix = "88.608.7001"
	listPage   = 25 // rows of a page of the console; it asks for one more, to know whether there is another page
	fewNames   = 1000
)

// listName is the i-th identifier in the order of the list.
func listName(i int) string { return fmt.Sprintf("%s/B%09d", listPrefix, i) }

// lister is a node with identifiers, and who asks it.
type lister struct {
	*web.Client
	n    *node.Node
	data string
}

func listNode(b *testing.B, data string) *lister {
	b.Helper()
	n, err := node.Start(b.Context(), &node.Config{Role: node.Enterprise, Prefix: listPrefix, Data: data, Listen: node.Listen{IRP: "127.0.0.1:0", HTTP: "127.0.0.1:0"}}, node.Options{})
	if err != nil {
		b.Fatal(err)
	}
	own, err := node.EnsureKey(node.PrefixKeyPath(data), trust.Ed25519)
	if err != nil {
		b.Fatal(err)
	}
	l := &lister{&web.Client{Base: "https://" + n.HTTP().String(), Pin: n.TLSKey().Fingerprint(), User: node.PrefixKeyRef(listPrefix), Key: own, Timeout: 5 * time.Minute}, n, data}
	return l
}

func (l *lister) close() {
	l.Close()
	l.n.Close()
}

// register puts n identifiers in, as `fujie register` does, each with a template's values.
func (l *lister) register(b *testing.B, n int) {
	b.Helper()
	var batch []record.Write
	for i := range n {
		v := id.MustParse(listName(i))
		batch = append(batch, record.Write{Op: record.Create, ID: v, Values: []record.Value{
			{Index: 1, Type: "URL", Data: []byte("https://winery.example/b/" + strconv.Itoa(i)), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}},
			{Index: 2000, Type: "product", Data: []byte(`"绍兴黄酒 500 ml"`), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}}}})
		if len(batch) == 20_000 || i == n-1 {
			rs, err := l.Write(b.Context(), record.Identity{}, batch)
			if err != nil {
				b.Fatal(err)
			}
			for _, r := range rs {
				if r.Err != nil {
					b.Fatal(r.Err)
				}
			}
			batch = batch[:0]
		}
	}
}

// page is a request of the console's list; it returns the names.
func (l *lister) page(b *testing.B, after string, size int) []string {
	b.Helper()
	return l.ask(b, "/api/handles?after="+url.QueryEscape(after)+"&prefix="+listPrefix+"&pageSize="+strconv.Itoa(size))
}

func (l *lister) ask(b *testing.B, path string) []string {
	b.Helper()
	status, answer, err := l.Exchange(b.Context(), http.MethodGet, path, nil)
	if err != nil || status != http.StatusOK {
		b.Fatalf("%s: %d %v %.300s", path, status, err, answer)
	}
	var a struct{ Handles []string }
	if err := json.Unmarshal(answer, &a); err != nil {
		b.Fatal(err)
	}
	return a.Handles
}

// rows asks for what stands beside each name of a page, four at a time, as the console does: as anybody may see it, without proof of who asks.
func (l *lister) rows(b *testing.B, anybody *http.Client, names []string) {
	b.Helper()
	work := make(chan string, len(names))
	for _, n := range names {
		work <- n
	}
	close(work)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range work {
				resp, err := anybody.Get(l.Base + "/api/handles/" + n + "?publicOnly=true")
				if err != nil {
					b.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(got, []byte("product")) {
					b.Errorf("%s: %d %v", n, resp.StatusCode, err)
				}
			}
		})
	}
	wg.Wait()
}

// bareList reads as many keys from the engine, from the same place on.
func bareList(b *testing.B, db *pebble.DB, from []byte, n int) int {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from})
	if err != nil {
		b.Fatal(err)
	}
	got := 0
	var key []byte
	for ok := it.First(); ok && got < n; ok = it.Next() {
		key = append(key[:0], it.Key()...)
		got++
	}
	if err := it.Close(); err != nil {
		b.Fatal(err)
	}
	return got
}

// engineOf copies a closed node's engine and opens the copy; prefixKey is what the keys of the identifiers begin with.
func engineOf(b *testing.B, data string) (db *pebble.DB, prefixKey []byte) {
	b.Helper()
	var from string
	filepath.WalkDir(data, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), "OPTIONS-") {
			from = filepath.Dir(p)
		}
		return nil
	})
	to := b.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		b.Fatal(err)
	}
	db, err := pebble.Open(to, &pebble.Options{Logger: quiet{}, Cache: pebble.NewCache(64 << 20)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	it, err := db.NewIter(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if i := bytes.Index(it.Key(), []byte("\x00B000000000")); i > 0 && bytes.HasSuffix(it.Key()[:i], []byte(listPrefix)) && i == 1+len(listPrefix) {
			return db, bytes.Clone(it.Key()[:i+1])
		}
	}
	b.Fatal("the engine has no such keys")
	return nil, nil
}

// BenchmarkList asks for pages of a list of FUJIE_LIST identifiers.
func BenchmarkList(b *testing.B) {
	n := listLength()
	few := listNode(b, b.TempDir())
	b.Cleanup(few.close)
	few.register(b, fewNames)
	dir := b.TempDir()
	many := listNode(b, dir)
	began := time.Now()
	many.register(b, n)
	b.Logf("%d identifiers registered in %s", n, time.Since(began).Round(time.Second))
	many.close()
	db, key := engineOf(b, dir)
	many = listNode(b, dir)
	b.Cleanup(many.close)
	anybody := &http.Client{Transport: &http.Transport{ // this machine's own
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 8}}
	b.Cleanup(anybody.CloseIdleConnections)

	r := rand.New(rand.NewPCG(5, 6))
	var place int
	suffix := func(name string) []byte { return append(bytes.Clone(key), strings.TrimPrefix(name, listPrefix+"/")...) }
	want := func(names []string, first, size int) {
		if len(names) != size || size > 0 && (!strings.EqualFold(names[0], listName(first)) || !strings.EqualFold(names[size-1], listName(first+size-1))) {
			b.Fatalf("%d names from %v; want %d from %s", len(names), names[:min(1, len(names))], size, listName(first))
		}
	}
	kinds := []struct {
		name string
		do   func()
	}{
		{"nothing", func() { want(many.page(b, "", 0), 0, 0) }},
		{"first-of-1000", func() { want(few.page(b, "", listPage+1), 0, listPage+1) }},
		{"first", func() { want(many.page(b, "", listPage+1), 0, listPage+1) }},
		{"first-engine", func() { bareList(b, db, key, listPage+1) }},
		{"middle-of-1000", func() { want(few.page(b, listName(fewNames/2), listPage+1), fewNames/2+1, listPage+1) }},
		{"middle", func() { want(many.page(b, listName(place), listPage+1), place+1, listPage+1) }},
		{"middle-engine", func() { bareList(b, db, suffix(listName(place)), listPage+2) }},
		{"last", func() {
			// Behind the bottles stands what the node keeps for itself.
			names := many.page(b, listName(n-listPage-1), listPage+1)
			want(names[:listPage], n-listPage, listPage)
		}},
		{"last-engine", func() { bareList(b, db, suffix(listName(n-listPage-1)), listPage+1) }},
		{"beginning-with", func() {
			// The first characters of a suffix: here of a thousand bottles.
			begin := listPrefix + fmt.Sprintf("/B%06d", place/1000)
			want(many.page(b, begin, listPage+1), place/1000*1000, listPage+1)
		}},
		{"count", func() {
			_, answer, err := many.Exchange(b.Context(), http.MethodGet, "/api/handles?prefix="+listPrefix+"&pageSize=0", nil)
			if err != nil || !bytes.Contains(answer, []byte(`"totalCount":"`)) {
				b.Fatalf("%v %.200s", err, answer)
			}
		}},
		{"rows", func() {
			var names []string
			for i := range listPage {
				names = append(names, listName(place+i))
			}
			many.rows(b, anybody, names)
		}},
	}
	took := make([][]time.Duration, len(kinds))
	order := r.Perm(len(kinds))
	turn := func() {
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		place = 1000 + r.IntN(n-3000)
		for _, k := range order {
			t0 := time.Now()
			kinds[k].do()
			took[k] = append(took[k], time.Since(t0))
		}
	}
	for range 30 {
		turn()
	}
	for k := range took {
		took[k] = took[k][:0]
	}
	for b.Loop() {
		turn()
	}
	for k := range kinds {
		b.ReportMetric(quantile(took[k], 0.5).Seconds()*1e3, kinds[k].name+"-ms-p50")
		b.ReportMetric(quantile(took[k], 0.99).Seconds()*1e3, kinds[k].name+"-ms-p99")
	}
	// The whole list, page behind page, and by the number of a page, as deployed programs ask.
	t0 := time.Now()
	seen, after := 0, ""
	for {
		names := many.page(b, after, 1000)
		if len(names) == 0 {
			break
		}
		seen, after = seen+len(names), names[len(names)-1]
	}
	b.ReportMetric(time.Since(t0).Seconds(), "all-s")
	if seen < n {
		b.Fatalf("%d of %d names", seen, n)
	}
	t0 = time.Now()
	want(many.ask(b, "/api/handles?prefix="+listPrefix+"&pageSize=25&page="+strconv.Itoa(n/50)), n/50*25, 25)
	b.ReportMetric(time.Since(t0).Seconds()*1e3, "numbered-ms")
}
