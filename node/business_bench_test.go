package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// lineNode is an enterprise's node with the winery's case, and who scans there.
func lineNode(b *testing.B) (*Node, *web.Client) {
	b.Helper()
	const prefix = "88.608.7001"
	n, err := Start(b.Context(), &Config{Role: Enterprise, Prefix: prefix, Data: b.TempDir(), Listen: Listen{IRP: "127.0.0.1:0", HTTP: "127.0.0.1:0"}}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { n.Close() })
	own, err := EnsureKey(PrefixKeyPath(n.cfg.Data), trust.Ed25519)
	if err != nil {
		b.Fatal(err)
	}
	c := &web.Client{Base: "https://" + n.HTTP().String(), Pin: n.TLSKey().Fingerprint(), User: PrefixKeyRef(prefix), Key: own}
	b.Cleanup(c.Close)
	post(b, c, "/api/solutions/bottle-to-store/install", map[string]any{"party": "winery"}, nil)
	return n, c
}

func post(b *testing.B, c *web.Client, path string, in, out any) {
	b.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	status, answer, err := c.Exchange(b.Context(), http.MethodPost, path, body)
	if err != nil || status > 299 {
		b.Fatalf("%s: %d %v %.300s", path, status, err, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLine packs bottles into boxes through the node's own interface, over HTTPS with signed requests, as lines do: each
// answer says that its scans are durable. Reported: scans a second, and how long the effects and the tables for indicators
// went on after the last scan.
func BenchmarkLine(b *testing.B) {
	for _, lines := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			n, c := lineNode(b)
			const boxes = 20 // a batch; seven scans each
			type result struct {
				Verdict string `json:"verdict"`
				Say     string `json:"say"`
				Error   string `json:"error"`
				Problem any    `json:"problem"`
			}
			var no, refused atomic.Int64
			batch := func() {
				var scans []map[string]any
				for range boxes {
					k := no.Add(1)
					box := fmt.Sprintf("x%d", k)
					scans = append(scans, map[string]any{"id": box, "flow": "bottle-to-store/pack-box", "code": fmt.Sprintf("88.608.7001/X%011d", k), "form": map[string]any{"product": "X"}, "device": "88.608.7001/L1"})
					for i := range 6 {
						scans = append(scans, map[string]any{"id": fmt.Sprintf("%s-%d", box, i), "run": "@" + box, "code": fmt.Sprintf("88.608.7001/B%012d%d", k, i), "device": "88.608.7001/L1"})
					}
				}
				var out struct{ Results []result }
				post(b, c, "/api/flow-scan-batches", map[string]any{"scans": scans}, &out)
				for _, r := range out.Results {
					if r.Verdict != "passed" && r.Verdict != "asking" {
						if refused.Add(1) == 1 {
							b.Errorf("a scan: %+v", r)
						}
					}
				}
			}
			batch()
			b.ResetTimer()
			began := time.Now()
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range lines {
				wg.Go(func() {
					for range work {
						batch()
					}
				})
			}
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			took := time.Since(began)
			b.StopTimer()
			for {
				last, err := n.tracing.history.Last(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if last >= 2*uint64(no.Load()) { // each box is two events
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			effects := time.Since(began)
			for {
				lag, err := n.business.projection.Lag(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if lag.Events == 0 && lag.Changes == 0 && lag.Steps == 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			all := time.Since(began)
			scans := float64(b.N * boxes * 7)
			b.ReportMetric(scans/took.Seconds(), "scans/s")
			b.ReportMetric(scans/effects.Seconds(), "scans/s-with-effects")
			b.ReportMetric(scans/all.Seconds(), "scans/s-with-tables")
		})
	}
}

// BenchmarkStep asks 500 steps a second of a node, each a request of its own, and reports the 99th percentile.
func BenchmarkStep(b *testing.B) {
	_, c := lineNode(b)
	var mu sync.Mutex
	var took []time.Duration
	runs := make(chan string, 100000)
	var no atomic.Int64
	step := func() {
		var run string
		select {
		case run = <-runs:
		default:
		}
		k := no.Add(1)
		scan := map[string]any{"id": fmt.Sprintf("s%d", k), "code": fmt.Sprintf("88.608.7001/B%013d", k), "run": run}
		if run == "" {
			scan = map[string]any{"id": fmt.Sprintf("s%d", k), "code": fmt.Sprintf("88.608.7001/X%011d", k), "flow": "bottle-to-store/pack-box", "form": map[string]any{"product": "X"}}
		}
		var out struct {
			Run   string `json:"run"`
			Ended bool   `json:"ended"`
		}
		began := time.Now()
		post(b, c, "/api/flow-scans", scan, &out)
		d := time.Since(began)
		if !out.Ended {
			runs <- out.Run
		}
		mu.Lock()
		took = append(took, d)
		mu.Unlock()
	}
	for range 200 {
		step()
	}
	took = nil
	b.ResetTimer()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var wg sync.WaitGroup
	for range b.N {
		<-tick.C
		wg.Go(step)
	}
	wg.Wait()
	b.StopTimer()
	slices.SortFunc(took, cmp.Compare)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
}
