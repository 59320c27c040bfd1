package node

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/web"
)

type silentAsker struct{}

func (silentAsker) Ask(context.Context, record.Endpoint, record.Query) (record.Answer, error) {
	return record.Answer{}, problem.New(problem.Unreachable, "nobody answers", "无人应答")
}

// TestSpans: a question that goes on from node to node is one trace; each node's part hangs below the one that asked it.
func TestSpans(t *testing.T) {
	out := tracetest.NewInMemoryExporter()
	var nodes []*spans
	for range 3 {
		nodes = append(nodes, newSpans(syncing{out}, 1, Config{Name: "n", Role: Enterprise}))
	}
	// Each node asks the next one; the last one asks over the Handle protocol and gets no answer.
	var at []*httptest.Server
	for i := range nodes {
		at = append(at, httptest.NewServer(nodes[i].around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if i == 0 {
				asking{silentAsker{}, nodes[i]}.Ask(r.Context(), record.Endpoint{}, record.Query{ID: id.MustParse("88.1/X")})
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			c := &web.Client{Base: at[i-1].URL}
			defer c.Close()
			if _, _, err := c.Exchange(r.Context(), http.MethodGet, "/api/handles/88.1/X", nil); err != nil {
				t.Error(err)
			}
		}))))
		defer at[i].Close()
	}
	r, _ := http.NewRequest(http.MethodGet, at[2].URL+"/epcis/events/1", nil)
	r.Header.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, s := range nodes {
		if err := s.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	list := out.GetSpans()
	if len(list) != 4 {
		t.Fatalf("%d spans, want one of each node and one of the last question", len(list))
	}
	parents := map[trace.SpanID]trace.SpanID{}
	names := map[string]int{}
	for _, s := range list {
		if s.SpanContext.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
			t.Errorf("%s is in another trace", s.Name)
		}
		parents[s.SpanContext.SpanID()] = s.Parent.SpanID()
		names[s.Name]++
		for _, a := range s.Attributes {
			if a.Key == "fujie.id" && a.Value.AsString() != "88.1/X" {
				t.Errorf("%s is about %s", s.Name, a.Value.AsString())
			}
		}
	}
	if names["GET /epcis/events"] != 1 || names["GET /api/handles/{id}"] != 2 || names["ask"] != 1 {
		t.Errorf("the spans are %v", names)
	}
	// They hang in one row, the asker's own span at its head.
	depth := func(s trace.SpanID) (n int) {
		for ; parents[s].IsValid(); s = parents[s] {
			n++
		}
		return n
	}
	longest := 0
	for s := range parents {
		longest = max(longest, depth(s))
	}
	if longest != 4 {
		t.Errorf("the longest row has %d spans below the asker's, want 4", longest)
	}
	// A question that belongs to no trace makes no span, and sends no header.
	head := http.Header{}
	propagation.TraceContext{}.Inject(t.Context(), propagation.HeaderCarrier(head))
	if len(head) != 0 {
		t.Error(head)
	}
}

// syncing keeps what was exported when its provider is shut down; the in-memory exporter forgets it.
type syncing struct{ *tracetest.InMemoryExporter }

func (syncing) Shutdown(context.Context) error { return nil }

var _ sdk.SpanExporter = syncing{}

// TestTracesWrong: a collector's address that is none is told at the start.
func TestTracesWrong(t *testing.T) {
	for _, c := range []Traces{{}, {OTLP: "127.0.0.1:4318"}, {OTLP: "ftp://x"}, {OTLP: "http://127.0.0.1:4318", Ratio: 2}} {
		n := newNode(Config{Traces: &c}, Options{})
		if err := n.openSpans(t.Context()); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
