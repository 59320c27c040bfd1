package node

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// spans tells a collector which way a question took, and how long each node was at it. A question that another node passed
// on names its trace in the header traceparent (W3C Trace Context), and so one scan is seen through all of them.
type spans struct {
	tracer trace.Tracer
	close  func(context.Context) error
}

// openSpans begins to tell; without a collector nothing is made and nothing costs anything.
func (n *Node) openSpans(ctx context.Context) error {
	c := n.cfg.Traces
	if c == nil {
		return nil
	}
	u, err := url.Parse(c.OTLP)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || c.Ratio < 0 || c.Ratio > 1 {
		return problem.New(problem.BadRequest, "traces: otlp is the address of a collector, http://127.0.0.1:4318, and ratio lies between 0 and 1", "traces：otlp 应为采集器地址，如 http://127.0.0.1:4318，ratio 须在 0 与 1 之间")
	}
	out, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(c.OTLP, "/")+"/v1/traces"), otlptracehttp.WithTimeout(10*time.Second))
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "traces cannot be sent to %s", "无法向 %s 发送链路数据", c.OTLP)
	}
	ratio := c.Ratio
	if ratio == 0 {
		ratio = 1
	}
	n.spans = newSpans(out, ratio, n.cfg)
	n.closes = append(n.closes, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.spans.close(ctx); err != nil {
			n.log.Warn("the last traces were not sent", "err", err)
		}
		return nil
	})
	return nil
}

func newSpans(out sdk.SpanExporter, ratio float64, c Config) *spans {
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(out),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(ratio))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "fujie"), attribute.String("service.instance.id", c.Name),
			attribute.String("fujie.role", string(c.Role)), attribute.String("fujie.prefix", c.Prefix))))
	return &spans{tracer: provider.Tracer("github.com/fujie-id/fujie"), close: provider.Shutdown}
}

// around makes a span of each request over HTTP. Its name is the kind of question, never an identifier, so that they can be counted;
// what was asked for is the attribute fujie.id.
func (s *spans) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		kind, name := question(r.URL.Path)
		ctx, span := s.tracer.Start(ctx, r.Method+" "+kind, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("http.request.method", r.Method)))
		defer span.End()
		if name != "" {
			span.SetAttributes(attribute.String("fujie.id", name))
		}
		watched := &watched{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(watched, r.WithContext(ctx))
		span.SetAttributes(attribute.Int("http.response.status_code", watched.status))
		if watched.status >= 500 {
			span.SetStatus(codes.Error, http.StatusText(watched.status))
		}
	})
}

// question is the kind of question that a path asks, and the identifier in it.
func question(path string) (kind, id string) {
	for _, p := range []string{"/api/handles/", "/epcis/", "/trace/", "/api/"} {
		rest, ok := strings.CutPrefix(path, p)
		if !ok {
			continue
		}
		if p == "/api/handles/" {
			return p + "{id}", rest
		}
		first, _, _ := strings.Cut(rest, "/")
		return p + first, ""
	}
	if strings.Contains(strings.TrimPrefix(path, "/"), "/") {
		return "/{id}", strings.TrimPrefix(path, "/")
	}
	return "/", ""
}

// watched remembers the status; what the writer beneath can do beside writing stays reachable.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// asking makes a span of each question that a node puts to another over the Handle protocol, which has no place for a trace's name.
type asking struct {
	record.Asker
	spans *spans
}

func (a asking) Ask(ctx context.Context, server record.Endpoint, q record.Query) (record.Answer, error) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return a.Asker.Ask(ctx, server, q)
	}
	ctx, span := a.spans.tracer.Start(ctx, "ask", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("fujie.id", q.ID.String()), attribute.String("server.address", server.String())))
	defer span.End()
	ans, err := a.Asker.Ask(ctx, server, q)
	if err != nil {
		span.SetStatus(codes.Error, problem.KindOf(err).String())
	}
	return ans, err
}
