package node

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/meter"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// metrics serves what Prometheus and a supervisor ask for, when the configuration says where.
func (n *Node) metrics() {
	if n.cfg.Metrics == "" {
		return
	}
	var rec *meter.Recorder
	if n.in != nil {
		rec = n.in.meter.Recorder()
	}
	labels := map[string]string{"node": n.cfg.Name, "role": string(n.cfg.Role), "prefix": n.cfg.Prefix}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", meter.NewMetrics(rec, labels, n.gauges()).Handler())
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := n.Ready(ctx); err != nil {
			n.log.Warn("not ready", "err", err)
			http.Error(w, problem.Say(err, problem.English), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	n.goes("metrics", func(ctx context.Context) error {
		l, err := net.Listen("tcp", n.cfg.Metrics)
		if err != nil {
			return err
		}
		s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute}
		stop := context.AfterFunc(ctx, func() { s.Close() })
		defer stop()
		return s.Serve(l)
	})
}

// Ready is nil when the node can do its work: its store answers, and it can look up what it is asked to.
func (n *Node) Ready(ctx context.Context) error {
	if n.registry != nil {
		if _, err := n.registry.Last(ctx); err != nil {
			return problem.Wrap(err, problem.Internal, "the store does not answer", "存储没有应答")
		}
	}
	if n.recursor != nil {
		if _, err := n.recursor.Resolve(ctx, record.Query{ID: id.Root, PublicOnly: true, Types: []string{record.TypeSite}}); err != nil && !problem.Is(err, problem.NotFound) {
			return problem.Wrap(err, problem.KindOf(err), "the root cannot be asked", "无法查询根节点")
		}
	}
	return nil
}

// gauges are the figures that are read when somebody asks.
func (n *Node) gauges() (list []meter.Gauge) {
	add := func(name, help string, rising bool, read func(ctx context.Context) (float64, error)) {
		list = append(list, meter.Gauge{Name: name, Help: help, Rising: rising, Read: read})
	}
	if n.registry != nil {
		add("fujie_records", "Records kept, papers of the office among them.", false, func(ctx context.Context) (float64, error) {
			v, err := n.registry.Total(ctx)
			return float64(v), err
		})
		add("fujie_changes_total", "Changes of records written so far.", true, func(ctx context.Context) (float64, error) {
			v, err := n.registry.Last(ctx)
			return float64(v), err
		})
	}
	if n.tracing != nil {
		add("fujie_events", "Events kept.", false, func(ctx context.Context) (float64, error) {
			v, err := n.tracing.history.Count(ctx)
			return float64(v), err
		})
		add("fujie_events_captured_total", "Events captured so far.", true, func(ctx context.Context) (float64, error) {
			v, err := n.tracing.history.Last(ctx)
			return float64(v), err
		})
	}
	return list
}
