package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/share"
)

// resultDoc is an EPCISQueryDocument, as far as the tests look.
type resultDoc struct {
	Type string `json:"type"`
	Body struct {
		Results struct {
			Name string `json:"queryName"`
			Body struct {
				Events []struct {
					ID   string   `json:"eventID"`
					Type string   `json:"type"`
					EPCs []string `json:"epcList"`
					Step string   `json:"bizStep"`
				} `json:"eventList"`
			} `json:"resultsBody"`
		} `json:"queryResults"`
	} `json:"epcisBody"`
}

// numbers are the serial numbers of the things in an answer.
func numbers(t *testing.T, body string) (out []int) {
	t.Helper()
	var d resultDoc
	if err := json.Unmarshal([]byte(body), &d); err != nil || d.Type != "EPCISQueryDocument" {
		t.Fatalf("%v: %s", err, body)
	}
	for _, e := range d.Body.Results.Body.Events {
		for _, s := range e.EPCs {
			n, err := strconv.Atoi(s[strings.LastIndexAny(s, "/.")+1:])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	return out
}

// walk follows the pages from an address; between is called after each.
func (s *site) walk(t *testing.T, method, target, body string, between func(), head ...string) (out []int, pages int) {
	t.Helper()
	for target != "" {
		a := ask(t, s, method, target, body, head...)
		if a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", target, a.StatusCode, a.body)
		}
		out = append(out, numbers(t, a.body)...)
		pages++
		target = nextLink(a.Header.Values("Link"))
		if (target != "") != (a.Header.Get("GS1-Next-Page-Token-Expires") != "") {
			t.Error("Link and GS1-Next-Page-Token-Expires do not come together")
		}
		if between != nil {
			between()
		}
		if pages > 1000 {
			t.Fatal("the pages do not end")
		}
	}
	return out, pages
}

// TestPages: every way to ask gives each result once, page by page, however events come in between.
func TestPages(t *testing.T) {
	s := open(t, nil)
	s.put(t, many(0, 25, "shipping")...)
	ask(t, s, "POST", "/epcis/queries", `{"name":"q","query":{"EQ_bizStep":["shipping"]}}`, "Test-Caller", "88.1/a")
	next := 1000
	rapid.Check(t, func(r *rapid.T) {
		perPage := rapid.IntRange(1, 30).Draw(r, "perPage")
		way := rapid.SampledFrom([][3]string{
			{"GET", "/epcis/events?perPage=PER&EQ_bizStep=shipping", ""},
			{"GET", "/epcis/bizSteps/shipping/events?perPage=PER", ""},
			{"GET", "/epcis/queries/q/events?perPage=PER", ""},
			{"POST", "/epcis/queries?perPage=PER", `{"query":{"EQ_bizStep":["shipping"]}}`},
			{"GET", "/epcis/readPoints/" + esc(location) + "/events?perPage=PER&EQ_bizStep=shipping", ""},
		}).Draw(r, "way")
		before, _ := s.walk(t, "GET", "/epcis/events?perPage=1000&EQ_bizStep=shipping", "", nil)
		got, _ := s.walk(t, way[0], strings.Replace(way[1], "PER", strconv.Itoa(perPage), 1), way[2], func() {
			if next < 1060 && rapid.Bool().Draw(r, "capture") {
				s.put(t, eventJSON(next, "shipping"))
				next++
			}
		})
		seen := map[int]bool{}
		for _, n := range got {
			if seen[n] {
				r.Fatalf("event %d twice in %v", n, got)
			}
			seen[n] = true
		}
		for _, n := range before {
			if !seen[n] {
				r.Fatalf("event %d is in a gap of %v", n, got)
			}
		}
	})
	// The default is 30 to a page.
	s2 := open(t, nil)
	s2.put(t, many(0, 70, "shipping")...)
	if got, pages := s2.walk(t, "GET", "/epcis/events", "", nil); len(got) != 70 || pages != 3 {
		t.Errorf("%d events on %d pages", len(got), pages)
	}
	// A token serves its own question, its own caller and no other.
	link := nextLink(ask(t, s, "GET", "/epcis/events?perPage=3&EQ_bizStep=shipping", "").Header.Values("Link"))
	for _, other := range []string{strings.Replace(link, "EQ_bizStep=shipping", "EQ_bizStep=packing", 1), strings.Replace(link, "/events", "/queries/q/events", 1)} {
		if a := ask(t, s, "GET", other, ""); a.StatusCode != 400 {
			t.Errorf("%s: %d", other, a.StatusCode)
		}
	}
	if a := ask(t, s, "GET", link, "", "Test-Caller", "88.1/a"); a.StatusCode != 400 {
		t.Errorf("somebody else's token: %d", a.StatusCode)
	}
}

// TestCounts: eventCountLimit and maxEventCount.
func TestCounts(t *testing.T) {
	s := open(t, nil)
	s.put(t, many(0, 25, "shipping")...)
	if got, pages := s.walk(t, "GET", "/epcis/events?perPage=4&eventCountLimit=10&orderBy=eventTime", "", nil); len(got) != 10 || pages != 3 {
		t.Errorf("eventCountLimit=10: %d events on %d pages", len(got), pages)
	}
	if got, _ := s.walk(t, "GET", "/epcis/events?perPage=4&maxEventCount=25", "", nil); len(got) != 25 {
		t.Errorf("maxEventCount=25: %d events", len(got))
	}
	a := ask(t, s, "GET", "/epcis/events?perPage=4&maxEventCount=24", "")
	if a.StatusCode != 413 || !strings.Contains(a.body, "QueryTooLargeException") {
		t.Errorf("maxEventCount=24: %d %s", a.StatusCode, a.body)
	}
	if a := ask(t, s, "GET", "/epcis/events?eventCountLimit=3&orderBy=eventTime&maxEventCount=24", ""); a.StatusCode != 400 {
		t.Errorf("both: %d", a.StatusCode)
	}
}

// TestOrder: orderBy and orderDirection hold across pages.
func TestOrder(t *testing.T) {
	s := open(t, nil)
	events := many(0, 20, "shipping")
	slices.Reverse(events[5:15])
	s.put(t, events...)
	for target, want := range map[string]func(a, b int) bool{
		"orderBy=eventTime&orderDirection=ASC": func(a, b int) bool { return a < b },
		"orderBy=eventTime":                    func(a, b int) bool { return a > b }, // DESC is the default
	} {
		got, _ := s.walk(t, "GET", "/epcis/events?perPage=3&"+target, "", nil)
		if len(got) != 20 || !slices.IsSortedFunc(got, func(a, b int) int {
			if want(a, b) {
				return -1
			}
			return 1
		}) {
			t.Errorf("%s: %v", target, got)
		}
	}
}

// TestTags: what has not changed is not sent again.
func TestTags(t *testing.T) {
	s := open(t, nil)
	s.put(t, many(0, 5, "shipping")...)
	for _, target := range []string{"/epcis/", "/epcis/events", "/epcis/epcs", "/epcis/bizSteps/shipping", "/epcis/queries", "/epcis/capture"} {
		a := ask(t, s, "GET", target, "")
		tag := a.Header.Get("ETag")
		if tag == "" {
			t.Errorf("%s has no ETag", target)
			continue
		}
		b := ask(t, s, "GET", target, "", "If-None-Match", `"x", `+tag)
		if b.StatusCode != 304 || b.body != "" || b.Header.Get("ETag") != tag {
			t.Errorf("%s: %d", target, b.StatusCode)
		}
		if h := ask(t, s, "HEAD", target, ""); h.StatusCode != 200 || h.body != "" || h.Header.Get("ETag") != tag {
			t.Errorf("HEAD %s: %d %q", target, h.StatusCode, h.body)
		}
	}
	tag := ask(t, s, "GET", "/epcis/events", "").Header.Get("ETag")
	s.put(t, eventJSON(9, "shipping"))
	if a := ask(t, s, "GET", "/epcis/events", "", "If-None-Match", tag); a.StatusCode != 200 {
		t.Errorf("after a capture: %d", a.StatusCode)
	}
	if a := ask(t, s, "GET", "/epcis/events", "", "If-None-Match", tag, "GS1-EPC-Format", "Never_Translates"); a.StatusCode != 200 {
		t.Errorf("in another format: %d", a.StatusCode)
	}
}

// TestSight: what a caller may not see is not there, is not counted, and cannot be found out by asking.
func TestSight(t *testing.T) {
	s := open(t, func(c *Config) {
		c.See = func(_ context.Context, who record.Identity, e *epcis.Event) share.Level {
			switch {
			case who.Operator:
				return share.Contents
			case who.Name == "88.1/part" && e.BizStep == "shipping":
				return share.Trace
			case who.Name == "88.1/part" && e.BizStep == "packing":
				return share.Contents
			case who.Name == "88.1/proof":
				return share.Exists
			}
			return share.Nothing
		}
		c.All = func(_ context.Context, who record.Identity) bool { return who.Operator }
		c.Any = func(_ context.Context, who record.Identity) bool { return !who.IsAnonymous() }
	})
	s.put(t, many(0, 10, "shipping")...)
	s.put(t, many(10, 15, "packing")...)
	s.put(t, many(15, 40, "receiving")...)
	made := ask(t, s, "POST", "/epcis/events", eventJSON(40, "receiving")).Header.Get("Location")
	members := func(target, who string) []string {
		var m members
		a := ask(t, s, "GET", target, "", "Test-Caller", who)
		a.json(t, &m)
		return m.Member
	}
	for who, want := range map[string]int{"operator": 41, "88.1/part": 15, "88.1/proof": 0, "nobody": 0} {
		for _, per := range []int{1, 4, 100} {
			if got, _ := s.walk(t, "GET", "/epcis/events?perPage="+strconv.Itoa(per), "", nil, "Test-Caller", who); len(got) != want {
				t.Errorf("%s, %d a page: %d events, want %d", who, per, len(got), want)
			}
		}
		status := 404
		if who == "operator" {
			status = 200
		}
		for _, target := range []string{made, "/epcis/bizSteps/receiving", "/epcis/epcs/" + esc(sgtin+"40"), "/epcis/epcs/" + esc(sgtin+"40") + "/events"} {
			if a := ask(t, s, "GET", target, "", "Test-Caller", who); a.StatusCode != status {
				t.Errorf("%s: %s: %d, want %d", who, target, a.StatusCode, status)
			}
		}
	}
	// Of a hidden part nothing is matched: the step of what is seen as a trace only cannot be asked for.
	if got, _ := s.walk(t, "GET", "/epcis/events?EQ_bizStep=shipping", "", nil, "Test-Caller", "88.1/part"); len(got) != 0 {
		t.Errorf("hidden steps were matched: %v", got)
	}
	a := ask(t, s, "GET", "/epcis/events?perPage=100", "", "Test-Caller", "88.1/part")
	if strings.Contains(a.body, "shipping") || !strings.Contains(a.body, "packing") {
		t.Errorf("a trace shows contents: %s", a.body)
	}
	if got := members("/epcis/bizSteps", "88.1/part"); !slices.Equal(got, []string{"packing"}) {
		t.Errorf("steps: %v", got)
	}
	if got := members("/epcis/epcs?perPage=100", "88.1/part"); len(got) != 15 {
		t.Errorf("%d things", len(got))
	}
	if a := ask(t, s, "GET", "/epcis/events?maxEventCount=20", "", "Test-Caller", "88.1/part"); a.StatusCode != 200 {
		t.Errorf("hidden events are counted: %d %s", a.StatusCode, a.body)
	}
	if got := members("/epcis/epcs?perPage=100", "operator"); len(got) != 41 {
		t.Errorf("the operator sees %d things", len(got))
	}
}

// TestOwners: queries are for all to use and for their maker to delete; subscriptions are their maker's.
func TestOwners(t *testing.T) {
	s := open(t, nil)
	ask(t, s, "POST", "/epcis/queries", `{"name":"q","query":{}}`, "Test-Caller", "88.1/a")
	sub := ask(t, s, "POST", "/epcis/queries/q/subscriptions", `{"dest":"https://b.example/in","stream":true}`, "Test-Caller", "88.1/b").Header.Get("Location")
	for who, want := range map[string]int{"88.1/a": 404, "88.1/b": 200, "nobody": 404, "operator": 200} {
		if a := ask(t, s, "GET", sub, "", "Test-Caller", who); a.StatusCode != want {
			t.Errorf("%s: %d", who, a.StatusCode)
		}
		var list []subscriptionView
		ask(t, s, "GET", "/epcis/queries/q/subscriptions", "", "Test-Caller", who).json(t, &list)
		if (len(list) == 1) != (want == 200) {
			t.Errorf("%s sees %d subscriptions", who, len(list))
		}
	}
	if a := ask(t, s, "DELETE", "/epcis/queries/q", "", "Test-Caller", "88.1/b"); a.StatusCode != 403 {
		t.Errorf("somebody else deletes: %d", a.StatusCode)
	}
	if a := ask(t, s, "DELETE", "/epcis/queries/q", "", "Test-Caller", "nobody"); a.StatusCode != 401 {
		t.Errorf("nobody deletes: %d", a.StatusCode)
	}
	if a := ask(t, s, "DELETE", "/epcis/queries/q", "", "Test-Caller", "88.1/a"); a.StatusCode != 204 {
		t.Errorf("the maker deletes: %d", a.StatusCode)
	}
	n := 0
	subscriptions.Range(t.Context(), s.store, all, func(subscription) error { n++; return nil })
	if n != 0 {
		t.Error("a subscription outlives its query")
	}
}

// TestSubscriptionRequests: what a subscription must say.
func TestSubscriptionRequests(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.Subscriptions = 5 })
	ask(t, s, "POST", "/epcis/queries", `{"name":"q","query":{}}`, "Test-Caller", "88.1/a")
	for body, want := range map[string]string{
		`{"dest":"https://a.example/in"}`:                                            "SubscriptionControlsException",
		`{"dest":"https://a.example/in","stream":false}`:                             "SubscriptionControlsException",
		`{"dest":"https://a.example/in","stream":true,"schedule":{"hour":"1"}}`:      "SubscriptionControlsException",
		`{"dest":"https://a.example/in","schedule":{}}`:                              "SubscriptionControlsException",
		`{"dest":"https://a.example/in","schedule":{"hour":"24"}}`:                   "SubscriptionControlsException",
		`{"dest":"https://a.example/in","schedule":{"dayOfMonth":"31","month":"2"}}`: "SubscriptionControlsException",
		`{"dest":"https://a.example/in","schedule":{"hours":"2"}}`:                   "SubscriptionControlsException",
		`{"dest":"ftp://a.example/in","stream":true}`:                                "ValidationException",
		`{"dest":"https://u:p@a.example/in","stream":true}`:                          "ValidationException",
		`{"stream":true}`: "ValidationException",
		`{"dest":1}`:      "ValidationException",
		`{"dest":"https://a.example/in","stream":true,"initialRecordTime":"yesterday"}`:                     "ValidationException",
		`{"dest":"https://a.example/in","schedule":{"second":"0/30"},"reportIfEmpty":true}`:                 "",
		`{"dest":"https://a.example/in","stream":true,"initialRecordTime":"2026-01-01T00:00:00.000+08:00"}`: "",
	} {
		a := ask(t, s, "POST", "/epcis/queries/q/subscriptions", body, "Test-Caller", "88.1/a")
		if want == "" && a.StatusCode != 201 || want != "" && (a.StatusCode != 400 || !strings.Contains(a.body, want)) {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	for range 3 {
		ask(t, s, "POST", "/epcis/queries/q/subscriptions", `{"dest":"https://a.example/in","stream":true}`, "Test-Caller", "88.1/a")
	}
	if a := ask(t, s, "POST", "/epcis/queries/q/subscriptions", `{"dest":"https://a.example/in","stream":true}`, "Test-Caller", "88.1/a"); a.StatusCode != 400 {
		t.Errorf("beyond the limit: %d", a.StatusCode)
	}
	seen := 0
	for next := "/epcis/queries/q/subscriptions?perPage=2"; next != ""; {
		a := ask(t, s, "GET", next, "", "Test-Caller", "88.1/a")
		var list []subscriptionView
		a.json(t, &list)
		seen += len(list)
		next = nextLink(a.Header.Values("Link"))
	}
	if seen != 5 {
		t.Errorf("pages show %d of 5 subscriptions", seen)
	}
}

// TestClient: our own client captures, follows a job and reads pages of every kind.
func TestClient(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.Immediate = 10 })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { stop(); <-done }()
	srv := httptest.NewServer(s)
	defer srv.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &Client{URL: srv.URL + "/epcis", Do: (&http.Client{Transport: transport}).Do, Header: http.Header{"Test-Caller": {"88.1/a"}}, Poll: 1}
	looks := 0
	j, err := c.Capture(ctx, strings.NewReader(documentJSON(many(0, 100, "shipping")...)), mediaJSON, "", func(FollowedJob) { looks++ })
	if err != nil || !j.Success || j.Captured != 100 || looks == 0 {
		t.Fatalf("%+v %v", j, err)
	}
	if again, err := c.Follow(ctx, j.ID, nil); err != nil || again.Captured != 100 {
		t.Errorf("%+v %v", again, err)
	}
	if again, err := c.Follow(ctx, j.URL, nil); err != nil || again.Captured != 100 {
		t.Errorf("%+v %v", again, err)
	}
	count := func(ask func(visit func(*epcis.Event) error) error) (n int) {
		t.Helper()
		seen := map[string]bool{}
		if err := ask(func(e *epcis.Event) error {
			if seen[e.ID] {
				t.Errorf("%s twice", e.ID)
			}
			seen[e.ID] = true
			return nil
		}); err != nil {
			t.Error(err)
		}
		return len(seen)
	}
	if n := count(func(v func(*epcis.Event) error) error { return c.Query(ctx, url.Values{"EQ_bizStep": {"shipping"}}, v) }); n != 100 {
		t.Errorf("Query: %d", n)
	}
	if n := count(func(v func(*epcis.Event) error) error {
		return c.QueryJSON(ctx, json.RawMessage(`{"EQ_bizStep":["shipping"]}`), v)
	}); n != 100 {
		t.Errorf("QueryJSON: %d", n)
	}
	ask(t, s, "POST", "/epcis/queries", `{"name":"发货 q","query":{"EQ_bizStep":["shipping"]}}`, "Test-Caller", "88.1/a")
	if n := count(func(v func(*epcis.Event) error) error { return c.Named(ctx, "发货 q", v) }); n != 100 {
		t.Errorf("Named: %d", n)
	}
	err = c.Query(ctx, url.Values{"EQ_nothing": {"1"}}, nil)
	if r, ok := err.(*Refusal); !ok || r.Status != 400 || r.Type != "epcisException:QueryParameterException" {
		t.Errorf("%v", err)
	}
	if _, err := c.Follow(ctx, "https://elsewhere.example/capture/1", nil); err == nil {
		t.Error("credentials would go to another host")
	}
}
