package meter

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape reads the figures as Prometheus does: name and labels → value; of a histogram its count.
func scrape(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	out := map[string]float64{}
	for name, f := range families {
		if !strings.HasPrefix(name, "fujie_") {
			continue
		}
		for _, x := range f.GetMetric() {
			key := name
			for _, l := range x.GetLabel() {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			switch {
			case x.GetHistogram() != nil:
				out[key] = float64(x.GetHistogram().GetSampleCount())
				for _, b := range x.GetHistogram().GetBucket() {
					out[fmt.Sprintf("%s le=%g", key, b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
			case x.GetCounter() != nil:
				out[key] = x.GetCounter().GetValue()
			default:
				out[key] = x.GetGauge().GetValue()
			}
		}
	}
	return out
}

// TestMetrics: what is counted is told, by prefix and by how long it took; gauges that cannot be read are left out.
func TestMetrics(t *testing.T) {
	rec := NewRecorder()
	rec.SetPrefixes([]string{"88.118.1001", "88.118.1002"})
	broken := errors.New("the disk is away")
	m := NewMetrics(rec, map[string]string{"node": "n1"}, []Gauge{
		{Name: "fujie_records", Help: "Records kept.", Read: func(context.Context) (float64, error) { return 42, nil }},
		{Name: "fujie_changes_total", Help: "Changes.", Rising: true, Read: func(context.Context) (float64, error) { return 7, nil }},
		{Name: "fujie_broken", Help: "Cannot be read.", Read: func(context.Context) (float64, error) { return 0, broken }},
	})
	from := netip.MustParseAddr("192.0.2.1")
	for range 30 {
		rec.ResolvedName("88.118.1001/A", from, 100*time.Microsecond, true)
	}
	for range 10 {
		rec.ResolvedName("88.118.1002/B", from, 3*time.Millisecond, false)
	}
	rec.ResolvedName("99.1/C", from, time.Second, true)
	rec.Registered(100, time.Second, true)
	got := scrape(t, m)
	for key, want := range map[string]float64{
		"fujie_records node=n1": 42, "fujie_changes_total node=n1": 7, "fujie_resolve_seconds node=n1": 41, "fujie_register_seconds node=n1": 1, "fujie_resolve_failed_total node=n1": 10,
		"fujie_prefix_resolutions_total node=n1 of=88.118.1001": 30, "fujie_prefix_resolutions_total node=n1 of=88.118.1002": 10, "fujie_prefix_resolutions_total node=n1 of=other": 1,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if _, ok := got["fujie_broken node=n1"]; ok {
		t.Error("a gauge that cannot be read was told")
	}
	// A question of 100 µs is under every bound above it, and one of 3 ms over those below.
	under := func(seconds float64) (n float64) {
		for key, v := range got {
			var le float64
			if _, err := fmt.Sscanf(key, "fujie_resolve_seconds node=n1 le=%g", &le); err == nil && le <= seconds {
				n = max(n, v)
			}
		}
		return n
	}
	if under(0.00005) != 0 || under(0.002) != 30 || under(0.1) != 40 || under(10) != 41 {
		t.Error("the buckets are wrong:", under(0.00005), under(0.002), under(0.1), under(10))
	}
}

// TestMetricsOnlyRise: figures survive that the meter takes the counts away to write them down, and prefixes that go.
func TestMetricsOnlyRise(t *testing.T) {
	rec := NewRecorder()
	m := NewMetrics(rec, nil, nil)
	rec.ResolvedName("88.118.1001/A", netip.MustParseAddr("192.0.2.1"), time.Millisecond, true)
	before := scrape(t, m)
	rec.take()
	rec.ResolvedName("88.118.1001/A", netip.MustParseAddr("192.0.2.1"), time.Millisecond, true)
	after := scrape(t, m)
	if before["fujie_resolve_seconds"] != 1 || after["fujie_resolve_seconds"] != 2 {
		t.Errorf("%v, then %v", before["fujie_resolve_seconds"], after["fujie_resolve_seconds"])
	}
	for key, v := range before {
		if after[key] < v {
			t.Errorf("%s fell from %v to %v", key, v, after[key])
		}
	}
}
