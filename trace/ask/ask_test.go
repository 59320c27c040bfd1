package ask

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/picture"
)

// events are a source in memory.
type events []epcis.Event

func (s events) Touching(_ context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) {
		for i := range s {
			e := &s[i]
			in := false
			for _, name := range e.Names() {
				in = in || epcis.Key(name) == thing
			}
			if in && (from.IsZero() || !e.Time.Before(from)) && (to.IsZero() || !e.Time.After(to)) && !yield(e, nil) {
				return
			}
		}
	}
}

func server(t *testing.T, who api.Caller) *httptest.Server {
	t.Helper()
	day := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	at := func(place string) *epcis.Location { return &epcis.Location{ID: place} }
	src := events{
		{ID: "e1", Type: epcis.ObjectEvent, Action: epcis.Add, Time: day, TimeZoneOffset: "+00:00", EPCs: []string{"88.1.1/A", "88.1.1/B"}, BizLocation: at("88.1.1/PLANT"), ReadPoint: at("geo:36.7,119.1")},
		{ID: "e2", Type: epcis.AggregationEvent, Action: epcis.Add, Time: day.Add(time.Hour), TimeZoneOffset: "+00:00", Parent: "88.1.1/BOX", EPCs: []string{"88.1.1/A"}},
		{ID: "e3", Type: epcis.ObjectEvent, Action: epcis.Observe, Time: day.Add(2 * time.Hour), TimeZoneOffset: "+00:00", EPCs: []string{"88.1.1/BOX", "88.1.1/PERSON-1"}},
	}
	a := New(Config{Prefix: "88.1.1", Now: func() time.Time { return day },
		Trace: func(ctx context.Context, q graph.Question, local bool, found func(graph.Step)) (*graph.Answer, json.RawMessage, []picture.Signature, error) {
			if q.Recall == "broken" {
				return nil, nil, nil, problem.New(problem.Unreachable, "nobody answers", "无应答")
			}
			ans, err := graph.Trace(ctx, src, q, found)
			return ans, json.RawMessage(`{"version":1}`), []picture.Signature{{Owner: "88.1.1", Holds: true}}, err
		},
		Source: func(context.Context, graph.Question, bool) (graph.Source, error) { return src, nil },
		Check: func(_ context.Context, evidence []byte) ([]Verdict, error) {
			if string(evidence) == "{}" {
				return nil, problem.New(problem.BadRequest, "this is no evidence", "这不是证据")
			}
			return []Verdict{{Owner: "88.1.1", Holds: true}, {Owner: "88.1.2", Holds: !strings.Contains(string(evidence), "lie"), EN: "changed"}}, nil
		},
	})
	to := api.New(api.Config{Title: "t", Version: "1", Identify: func(*http.Request) (api.Caller, error) { return who, nil }})
	a.Register(to)
	s := httptest.NewServer(to.Handler())
	t.Cleanup(s.Close)
	return s
}

var auditor = api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 1, Name: "88.1.1/User_x"}}, Roles: []api.Role{{Name: api.Auditor, Prefix: "88.1.1"}}}

func get(t *testing.T, s *httptest.Server, path string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func TestQuestions(t *testing.T) {
	s := server(t, auditor)
	for _, c := range []struct {
		path   string
		status int
		says   string
	}{
		{"/api/trace?id=88.1.1/A&down=true", 200, `"to":"88.1.1/BOX"`},
		{"/api/trace?id=88.1.1/A&id=88.1.1/B", 200, `"88.1.1/B"`},
		{"/api/trace?id=88.1.1/A&evidence=true", 200, `"evidence":{"version":1}`},
		{"/api/trace", 400, "id"},
		{"/api/trace?id=88.1.1/A&depth=x", 400, "depth"},
		{"/api/trace?id=88.1.1/A&recall=broken", 502, ""},
		{"/api/trace/state?id=88.1.1/A", 200, `"inside":["88.1.1/BOX"]`},
		{"/api/trace/state?id=88.1.1/A&at=2026-11-01T08:30:00Z", 200, `"place":"88.1.1/PLANT"`},
		{"/api/trace/siblings?id=88.1.1/A", 200, `"88.1.1/B"`},
		{"/api/trace/contacts?id=88.1.1/A", 200, `"88.1.1/PERSON-1"`},
		{"/api/trace/contacts?id=88.1.1/A&rounds=11", 400, "rounds"},
		{"/api/trace/path?a=88.1.1/A&b=88.1.1/BOX", 200, `"packed"`},
		{"/api/trace/recall-set?id=88.1.1/A", 200, `"88.1.1/BOX"`},
		{"/api/trace/picture?id=88.1.1/A", 200, "<svg"},
		{"/api/trace/picture?id=88.1.1/A&as=timeline", 200, "<svg"},
		{"/api/trace/picture?id=88.1.1/A&as=map", 200, "<svg"},
		{"/api/trace/picture?id=88.1.1/A&as=geojson", 200, "FeatureCollection"},
		{"/api/trace/picture?id=88.1.1/A&as=pdf", 200, "%PDF-"},
		{"/api/trace/picture?id=88.1.1/A&as=gif", 400, "svg, timeline"},
		{"/api/trace/picture?as=svg", 400, "id="},
		{"/api/trace/picture?id=88.1.1/A&up=perhaps", 400, "up"},
		{"/api/trace/picture?id=88.1.1/A&from=yesterday", 400, "from"},
		{"/api/trace/stream?id=88.1.1/A&depth=-1", 400, "depth"},
	} {
		status, head, body := get(t, s, c.path)
		if status != c.status && !(c.status == 502 && status >= 500) || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d, want %d with %q: %.300s", c.path, status, c.status, c.says, body)
		}
		if strings.HasPrefix(body, "<svg") {
			if !strings.Contains(head.Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("%s: a picture that may run what is in it", c.path)
			}
			d := xml.NewDecoder(strings.NewReader(body))
			for {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s: %v", c.path, err)
				}
			}
		}
	}
}

// TestStream reads an answer as it grows: steps, then the whole.
func TestStream(t *testing.T) {
	s := server(t, auditor)
	_, _, body := get(t, s, "/api/trace/stream?id=88.1.1/A")
	var kinds []string
	r := bufio.NewScanner(strings.NewReader(body))
	for r.Scan() {
		var line map[string]json.RawMessage
		if err := json.Unmarshal(r.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"step", "answer", "problem"} {
			if line[k] != nil {
				kinds = append(kinds, k)
			}
		}
	}
	if n := len(kinds); n < 2 || kinds[0] != "step" || kinds[n-1] != "answer" || slices.Contains(kinds, "problem") {
		t.Errorf("the lines are %v", kinds)
	}
	if _, _, body := get(t, s, "/api/trace/stream?id=88.1.1/A&recall=broken"); !strings.Contains(body, `"problem":"nobody answers"`) {
		t.Errorf("a trace that broke off ends with %s", body)
	}
}

// TestStrangers: nobody asks in the node's name but its own people.
func TestStrangers(t *testing.T) {
	other := api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 1, Name: "88.1.2/User_x"}}, Roles: []api.Role{{Name: api.Operator, Prefix: "88.1.2"}}}
	for who, want := range map[*api.Caller]int{{}: 401, &other: 403} {
		s := server(t, *who)
		for _, path := range []string{"/api/trace?id=a/b", "/api/trace/state?id=a/b", "/api/trace/siblings?id=a/b", "/api/trace/contacts?id=a/b", "/api/trace/path?a=a/b&b=c/d", "/api/trace/recall-set?id=a/b", "/api/trace/picture?id=a/b", "/api/trace/stream?id=a/b"} {
			if status, _, body := get(t, s, path); status != want {
				t.Errorf("%s: %d, want %d: %s", path, status, want, body)
			}
		}
	}
}

// TestEvidence sends bundles to be checked: what was sent is what is checked, byte for byte, and one answer that does not hold spoils the whole.
func TestEvidence(t *testing.T) {
	send := func(s *httptest.Server, body string) (int, string) {
		t.Helper()
		resp, err := http.Post(s.URL+"/api/trace/evidence", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	s := server(t, auditor)
	for _, c := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"version":1}`, 200, `"holds":true}`},
		{`{"version":1,"a":"lie"}`, 200, `"holds":false}`},
		{`{}`, 400, "no evidence"},
		{`{"version":1,"pad":"` + strings.Repeat("x", 2<<20) + `"}`, 200, `"holds":true}`},
		{strings.Repeat("x", mostEvidence+1), 413, ""},
	} {
		if status, body := send(s, c.body); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%.40s: %d, want %d with %q: %.300s", c.body, status, c.status, c.says, body)
		}
	}
	if status, body := send(server(t, api.Caller{}), `{"version":1}`); status != 401 && status != 403 {
		t.Errorf("a stranger's evidence: %d %s", status, body)
	}
}
