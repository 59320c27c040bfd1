package meter

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Gauge is a figure that the node reads when it is asked for: how many records there are, how far something is behind.
type Gauge struct {
	Name   string            // fujie_records
	Help   string            // in English, as Prometheus has it
	Rising bool              // it only rises: a counter
	Labels map[string]string // the same for all of its life
	// Read gives the figure; an error leaves it out of this answer.
	Read func(ctx context.Context) (float64, error)
}

// Metrics is what Prometheus asks for. Names and labels are part of what operators rely on: they are added to, not changed.
type Metrics struct {
	registry *prometheus.Registry
}

// maxPrefixes bounds the series by prefix: the busiest are told one by one, the rest under other.
const maxPrefixes = 200

// bounds are the upper bounds of a histogram in seconds, and the last bucket of the recorder that is below each.
var bounds = func() (list []struct {
	seconds float64
	bucket  int
}) {
	for i := range buckets - 1 {
		us := floorOf(i + 1)
		// One of four between powers of two from 64 µs to 8 s is enough to see by.
		if i%4 == 3 && us >= 64 && us <= 1<<23 {
			list = append(list, struct {
				seconds float64
				bucket  int
			}{float64(us) / 1e6, i})
		}
	}
	return list
}()

// collector tells what a recorder counted.
type collector struct {
	rec                                *Recorder
	resolve, register, requests, found *prometheus.Desc

	mu  sync.Mutex
	own map[string]bool // prefixes that have a series: they keep it, so that every series only rises
}

// NewMetrics collects what rec counts, the gauges, and the figures of the process itself. labels stand at every figure of ours: node, role, prefix.
func NewMetrics(rec *Recorder, labels map[string]string, gauges []Gauge) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, variable, labels)
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if rec != nil {
		m.registry.MustRegister(&collector{rec: rec, own: map[string]bool{},
			resolve:  desc("fujie_resolve_seconds", "How long resolutions took; those that failed are counted in fujie_resolve_failed_total too."),
			register: desc("fujie_register_seconds", "How long registrations took for each record of their batch; a batch counts once."),
			requests: desc("fujie_prefix_resolutions_total", "Resolutions by prefix; the busiest that came first have their own series, the rest are under other.", "of"),
			found:    desc("fujie_resolve_failed_total", "Resolutions that gave no answer: what was asked for does not exist, or an error."),
		})
	}
	for _, g := range gauges {
		all := prometheus.Labels{}
		for k, v := range labels {
			all[k] = v
		}
		for k, v := range g.Labels {
			all[k] = v
		}
		m.registry.MustRegister(&reader{g: g, desc: prometheus.NewDesc(g.Name, g.Help, nil, all)})
	}
	return m
}

// Handler answers Prometheus, and whatever reads its text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second})
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.resolve
	ch <- c.register
	ch <- c.requests
	ch <- c.found
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	t := c.rec.total()
	histogram := func(d *prometheus.Desc, l *Latencies) {
		cumulative := map[float64]uint64{}
		n, next := uint64(0), 0
		for _, b := range bounds {
			for ; next <= b.bucket && next < len(l.Buckets); next++ {
				n += l.Buckets[next]
			}
			cumulative[b.seconds] = n
		}
		// Counts are written one after the other while they are read: the whole is never less than its parts.
		ch <- prometheus.MustNewConstHistogram(d, max(l.Count, n), float64(l.Sum)/1e6, cumulative)
	}
	histogram(c.resolve, &t.resolve)
	histogram(c.register, &t.register)
	ch <- prometheus.MustNewConstMetric(c.found, prometheus.CounterValue, float64(t.resolve.Count-min(t.resolve.OK, t.resolve.Count)))
	c.mu.Lock()
	defer c.mu.Unlock()
	other := uint64(0)
	for _, name := range slices.SortedFunc(maps.Keys(t.prefixes), func(a, b string) int {
		if x, y := t.prefixes[a].requests, t.prefixes[b].requests; x != y {
			return cmp.Compare(y, x)
		}
		return strings.Compare(a, b)
	}) {
		n := t.prefixes[name].requests
		if name == "" || !c.own[name] && len(c.own) >= maxPrefixes {
			other += n
			continue
		}
		c.own[name] = true
		ch <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(n), name)
	}
	ch <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(other), "other")
}

// reader tells one gauge.
type reader struct {
	g    Gauge
	desc *prometheus.Desc
}

func (r *reader) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

func (r *reader) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	v, err := r.g.Read(ctx)
	if err != nil {
		return
	}
	kind := prometheus.GaugeValue
	if r.g.Rising {
		kind = prometheus.CounterValue
	}
	ch <- prometheus.MustNewConstMetric(r.desc, kind, v)
}
