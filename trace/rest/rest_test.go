package rest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/memory"
)

var start = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

// site is a server with what stands behind it.
type site struct {
	*Server
	http.Handler
	events Events
	store  *memory.Store
}

// identify takes the caller's name from a header, as a test does.
func identify(r *http.Request) (record.Identity, error) {
	switch name := r.Header.Get("Test-Caller"); name {
	case "", "nobody":
		return record.Identity{}, nil
	case "operator":
		return record.Identity{Operator: true}, nil
	case "liar":
		return record.Identity{}, problem.New(problem.AuthFailed, "the proof does not hold", "凭证无效")
	default:
		return record.Identity{Ref: record.Ref{Index: 300, Name: name}}, nil
	}
}

// open makes a site on a real history, or on the one that change sets.
func open(t *testing.T, change func(*Config)) *site {
	t.Helper()
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	cfg := Config{Store: st, Secret: []byte("0123456789abcdef"), Now: func() time.Time { return start }, Identify: identify,
		Send: func(context.Context, *http.Request) (*http.Response, error) { return nil, http.ErrHandlerTimeout }}
	if change != nil {
		change(&cfg)
	}
	if cfg.Events == nil {
		cfg.Events = openHistory(t, st, cfg.Now)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &site{s, s.Handler(), cfg.Events, st}
}

// put captures events by the interface.
func (s *site) put(t *testing.T, events ...string) {
	t.Helper()
	if a := ask(t, s, "POST", "/epcis/capture", documentJSON(events...)); a.StatusCode != 202 {
		t.Fatalf("capture: %d %s", a.StatusCode, a.body)
	}
}

func esc(s string) string { return url.PathEscape(s) }

// TestOperations asks for every operation of the interface's text, and holds each answer against it.
func TestOperations(t *testing.T) {
	c := openContract(t)
	s := open(t, nil)
	s.put(t, many(0, 40, "shipping")...)
	first := strings.Replace(eventJSON(50, "receiving"), `{"type"`, `{"@context":["https://ref.gs1.org/standards/epcis/epcis-context.jsonld"],"eventID":"urn:uuid:831c0292-4de1-430a-8255-2aca821abaab","type"`, 1)
	made := ask(t, s, "POST", "/epcis/events", first)
	if made.StatusCode != 201 {
		t.Fatalf("%d %s", made.StatusCode, made.body)
	}
	job := ask(t, s, "POST", "/epcis/capture", documentJSON(eventJSON(60, "packing")), "Test-Caller", "88.1/a").Header.Get("Location")
	if a := ask(t, s, "POST", "/epcis/queries", `{"name":"was shipped","query":{"EQ_bizStep":["shipping"]}}`, "Test-Caller", "88.1/a"); a.StatusCode != 201 || a.Header.Get("Location") != "/epcis/queries/was%20shipped" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	sub := ask(t, s, "POST", "/epcis/queries/was%20shipped/subscriptions", `{"dest":"https://client.example.com/in","signatureToken":"13df38d8","stream":true}`, "Test-Caller", "88.1/a")
	if sub.StatusCode != 201 || strings.Contains(sub.body, "13df38d8") {
		t.Fatalf("%d %s", sub.StatusCode, sub.body)
	}
	subAt := sub.Header.Get("Location")
	link := ask(t, s, "GET", "/epcis/events?perPage=5", "").Header.Get("Link")
	token := link[strings.Index(link, "nextPageToken=")+14 : strings.Index(link, "&perPage")]

	type row struct {
		operation, target, body string
		status                  int
		allow                   string // of OPTIONS
	}
	epc, step, loc := esc(sgtin+"7"), "shipping", esc(location)
	rows := []row{
		{"OPTIONS /", "/epcis/", "", 204, "OPTIONS, GET"},
		{"GET /", "/epcis/", "", 200, ""},
		{"GET /", "/epcis", "", 200, ""},
		{"OPTIONS /capture", "/epcis/capture", "", 204, "OPTIONS, POST, GET"},
		{"POST /capture", "/epcis/capture", documentJSON(eventJSON(61, "packing")), 202, ""},
		{"GET /capture", "/epcis/capture", "", 200, ""},
		{"OPTIONS /capture/{captureID}", job, "", 204, "OPTIONS, GET"},
		{"GET /capture/{captureID}", job, "", 200, ""},
		{"GET /capture/{captureID}", "/epcis/capture/nothing", "", 404, ""},
		{"OPTIONS /events", "/epcis/events", "", 204, "OPTIONS, GET, POST"},
		{"GET /events", "/epcis/events", "", 200, ""},
		{"GET /events", "/epcis/events?eventType=ObjectEvent&EQ_bizStep=shipping", "", 200, ""},
		{"GET /events", "/epcis/events?EQ_nothing=1", "", 400, ""},
		{"GET /events", "/epcis/events?EQ_bizStep=" + strings.Repeat("x", 20000), "", 414, ""},
		{"POST /events", "/epcis/events", eventJSON(51, "receiving"), 201, ""},
		{"POST /events", "/epcis/events", strings.Replace(first, "receiving", "shipping", 1), 409, ""},
		{"POST /events", "/epcis/events", first, 201, ""},
		{"OPTIONS /events/{eventID}", made.Header.Get("Location"), "", 204, "OPTIONS, GET"},
		{"GET /events/{eventID}", made.Header.Get("Location"), "", 200, ""},
		{"GET /events/{eventID}", "/epcis/events/urn:uuid:0", "", 404, ""},
		{"OPTIONS /events/{eventID}", "/epcis/events/urn:uuid:0", "", 404, ""},
		{"OPTIONS /eventTypes", "/epcis/eventTypes", "", 204, "OPTIONS, GET"},
		{"GET /eventTypes", "/epcis/eventTypes", "", 200, ""},
		{"OPTIONS /eventTypes/{eventType}", "/epcis/eventTypes/ObjectEvent", "", 204, "OPTIONS, GET"},
		{"GET /eventTypes/{eventType}", "/epcis/eventTypes/ObjectEvent", "", 200, ""},
		{"OPTIONS /eventTypes/{eventType}/events", "/epcis/eventTypes/ObjectEvent/events", "", 204, "OPTIONS, GET"},
		{"GET /eventTypes/{eventType}/events", "/epcis/eventTypes/ObjectEvent/events?perPage=3", "", 200, ""},
		{"GET /eventTypes/{eventType}/events", "/epcis/eventTypes/AssociationEvent/events", "", 200, ""},
		{"OPTIONS /epcs", "/epcis/epcs", "", 204, "OPTIONS, GET"},
		{"GET /epcs", "/epcis/epcs?perPage=10", "", 200, ""},
		{"OPTIONS /epcs/{epc}", "/epcis/epcs/" + epc, "", 204, "OPTIONS, GET"},
		{"GET /epcs/{epc}", "/epcis/epcs/" + epc, "", 200, ""},
		{"GET /epcs/{epc}", "/epcis/epcs/" + esc(sgtin+"999"), "", 404, ""},
		{"OPTIONS /epcs/{epc}/events", "/epcis/epcs/" + epc + "/events", "", 204, "OPTIONS, GET"},
		{"GET /epcs/{epc}/events", "/epcis/epcs/" + epc + "/events", "", 200, ""},
		{"GET /epcs/{epc}/events", "/epcis/epcs/" + epc + "/events?perPage=0", "", 400, ""},
		{"OPTIONS /bizSteps", "/epcis/bizSteps", "", 204, "OPTIONS, GET"},
		{"GET /bizSteps", "/epcis/bizSteps", "", 200, ""},
		{"OPTIONS /bizSteps/{bizStep}", "/epcis/bizSteps/" + step, "", 204, "OPTIONS, GET"},
		{"GET /bizSteps/{bizStep}", "/epcis/bizSteps/" + step, "", 200, ""},
		{"OPTIONS /bizSteps/{bizStep}/events", "/epcis/bizSteps/" + step + "/events", "", 204, "OPTIONS, GET"},
		{"GET /bizSteps/{bizStep}/events", "/epcis/bizSteps/" + step + "/events", "", 200, ""},
		{"GET /bizSteps/{bizStep}/events", "/epcis/bizSteps/killing/events", "", 404, ""},
		{"OPTIONS /bizLocations", "/epcis/bizLocations", "", 204, "OPTIONS, GET"},
		{"GET /bizLocations", "/epcis/bizLocations", "", 200, ""},
		{"OPTIONS /bizLocations/{bizLocation}", "/epcis/bizLocations/" + loc, "", 204, "OPTIONS, GET"},
		{"GET /bizLocations/{bizLocation}", "/epcis/bizLocations/" + loc, "", 200, ""},
		{"OPTIONS /bizLocations/{bizLocation}/events", "/epcis/bizLocations/" + loc + "/events", "", 204, "OPTIONS, GET"},
		{"GET /bizLocations/{bizLocation}/events", "/epcis/bizLocations/" + loc + "/events", "", 200, ""},
		{"OPTIONS /readPoints", "/epcis/readPoints", "", 204, "OPTIONS, GET"},
		{"GET /readPoints", "/epcis/readPoints", "", 200, ""},
		{"OPTIONS /readPoints/{readPoint}", "/epcis/readPoints/" + loc, "", 204, "OPTIONS, GET"},
		{"GET /readPoints/{readPoint}", "/epcis/readPoints/" + loc, "", 200, ""},
		{"OPTIONS /readPoints/{readPoint}/events", "/epcis/readPoints/" + loc + "/events", "", 204, "OPTIONS, GET"},
		{"GET /readPoints/{readPoint}/events", "/epcis/readPoints/" + loc + "/events", "", 200, ""},
		{"OPTIONS /dispositions", "/epcis/dispositions", "", 204, "OPTIONS, GET"},
		{"GET /dispositions", "/epcis/dispositions", "", 200, ""},
		{"OPTIONS /dispositions/{disposition}", "/epcis/dispositions/in_progress", "", 204, "OPTIONS, GET"},
		{"GET /dispositions/{disposition}", "/epcis/dispositions/in_progress", "", 200, ""},
		{"OPTIONS /dispositions/{disposition}/events", "/epcis/dispositions/in_progress/events", "", 204, "OPTIONS, GET"},
		{"GET /dispositions/{disposition}/events", "/epcis/dispositions/in_progress/events", "", 200, ""},
		{"OPTIONS /queries", "/epcis/queries", "", 204, "OPTIONS, GET, POST"},
		{"GET /queries", "/epcis/queries", "", 200, ""},
		{"POST /queries", "/epcis/queries", `{"name":"all","query":{}}`, 201, ""},
		{"POST /queries", "/epcis/queries", `{"name":"all","query":{}}`, 409, ""},
		{"POST /queries", "/epcis/queries", `{"query":{"EQ_bizStep":["shipping"]}}`, 200, ""},
		{"POST /queries", "/epcis/queries", `{"name":"bad","query":{"EQ_nothing":1}}`, 400, ""},
		{"OPTIONS /queries/{queryName}", "/epcis/queries/all", "", 204, "OPTIONS, GET, DELETE"},
		{"GET /queries/{queryName}", "/epcis/queries/all", "", 200, ""},
		{"GET /queries/{queryName}", "/epcis/queries/none", "", 404, ""},
		{"OPTIONS /queries/{queryName}/events", "/epcis/queries/all/events", "", 204, "OPTIONS, GET"},
		{"GET /queries/{queryName}/events", "/epcis/queries/all/events?perPage=4", "", 200, ""},
		{"GET /queries/{queryName}/events", "/epcis/queries/all/events?stream=true", "", 400, ""},
		{"OPTIONS /queries/{queryName}/subscriptions", "/epcis/queries/all/subscriptions", "", 204, "OPTIONS, GET, POST"},
		{"GET /queries/{queryName}/subscriptions", "/epcis/queries/was%20shipped/subscriptions", "", 200, ""},
		{"POST /queries/{queryName}/subscriptions", "/epcis/queries/all/subscriptions", `{"dest":"https://client.example.com/in","schedule":{"hour":"1","minute":5}}`, 201, ""},
		{"POST /queries/{queryName}/subscriptions", "/epcis/queries/all/subscriptions", `{"dest":"https://client.example.com/in"}`, 400, ""},
		{"OPTIONS /queries/{queryName}/subscriptions/{subscriptionID}", subAt, "", 204, "OPTIONS, GET, DELETE"},
		{"GET /queries/{queryName}/subscriptions/{subscriptionID}", subAt, "", 200, ""},
		{"DELETE /queries/{queryName}/subscriptions/{subscriptionID}", subAt, "", 204, ""},
		{"DELETE /queries/{queryName}/subscriptions/{subscriptionID}", subAt, "", 404, ""},
		{"DELETE /queries/{queryName}", "/epcis/queries/all", "", 204, ""},
		{"DELETE /queries/{queryName}", "/epcis/queries/all", "", 404, ""},
		{"DELETE /nextPageToken/{token}", "/epcis/nextPageToken/" + token, "", 204, ""},
	}
	asked := map[string]bool{}
	for _, row := range rows {
		asked[row.operation] = true
		method, _, _ := strings.Cut(row.operation, " ")
		a := ask(t, s, method, row.target, row.body, "Test-Caller", "88.1/a")
		if a.StatusCode != row.status {
			t.Errorf("%s at %s: %d, want %d: %s", row.operation, row.target, a.StatusCode, row.status, a.body)
		}
		if got := c.operationOf("/epcis", method, strings.SplitN(row.target, "?", 2)[0]); got != row.operation {
			t.Errorf("the row %s is %s", row.operation, got)
		}
		if got := a.Header.Get("Allow"); row.allow != "" && got != row.allow {
			t.Errorf("%s: Allow: %s, want %s", row.operation, got, row.allow)
		}
	}
	for _, op := range c.operations() {
		if !asked[op] {
			t.Errorf("no row asks for %s", op)
		}
	}
	if n := len(c.operations()); n != 63 {
		t.Errorf("the text has %d operations, 63 were read", n)
	}
	if a := ask(t, s, "GET", "/epcis/events?perPage=5&nextPageToken="+token, ""); a.StatusCode != 400 {
		t.Errorf("a token that was given back is still good: %d", a.StatusCode)
	}
}

// TestRefusals: what is wrong with a request is said by the right number, whoever asks.
func TestRefusals(t *testing.T) {
	s := open(t, func(c *Config) {
		c.Limits.CaptureBytes, c.Limits.CaptureEvents = 3000, 5
		c.May = func(_ context.Context, who record.Identity, act string) error {
			if who.Name == "88.1/reader" && act != ActQuery {
				return problem.New(problem.Forbidden, "you may only read", "您只能读取")
			}
			if who.IsAnonymous() && act == ActCapture {
				return problem.New(problem.NeedAuth, "say who you are", "请表明身份")
			}
			return nil
		}
	})
	event := eventJSON(1, "shipping")
	for _, row := range []struct {
		name, method, target, body string
		head                       []string
		status                     int
		exception                  string
	}{
		{"nowhere", "GET", "/epcis/nothing", "", nil, 404, "NoSuchResourceException"},
		{"outside", "GET", "/other", "", nil, 404, "NoSuchResourceException"},
		{"method", "PUT", "/epcis/events", event, nil, 405, ""},
		{"delete all", "DELETE", "/epcis/capture", "", nil, 405, ""},
		{"liar", "GET", "/epcis/events", "", []string{"Test-Caller", "liar"}, 401, "SecurityException"},
		{"nobody captures", "POST", "/epcis/capture", documentJSON(event), []string{"Test-Caller", "nobody"}, 401, "SecurityException"},
		{"nobody captures one", "POST", "/epcis/events", event, []string{"Test-Caller", "nobody"}, 401, "SecurityException"},
		{"reader captures one", "POST", "/epcis/events", event, []string{"Test-Caller", "88.1/reader"}, 403, "SecurityException"},
		{"nobody keeps a query", "POST", "/epcis/queries", `{"name":"q","query":{}}`, []string{"Test-Caller", "nobody"}, 401, "SecurityException"},
		{"accept", "GET", "/epcis/events", "", []string{"Accept", "text/html"}, 406, "NotAcceptableException"},
		{"accept nothing", "GET", "/epcis/events", "", []string{"Accept", "application/json;q=0"}, 406, "NotAcceptableException"},
		{"collections are JSON", "GET", "/epcis/epcs", "", []string{"Accept", "application/xml"}, 406, "NotAcceptableException"},
		{"old JSON", "GET", "/epcis/events", "", []string{"GS1-EPCIS-Max", "1.2.0", "Accept", "application/json"}, 406, "NotAcceptableException"},
		{"too new", "GET", "/epcis/events", "", []string{"GS1-EPCIS-Min", "2.1"}, 406, "NotAcceptableException"},
		{"no version", "GET", "/epcis/events", "", []string{"GS1-CBV-Min", "two"}, 406, "NotAcceptableException"},
		{"no format", "GET", "/epcis/events", "", []string{"GS1-EPC-Format", "urn"}, 406, "NotAcceptableException"},
		{"type", "POST", "/epcis/capture", documentJSON(event), []string{"Content-Type", "text/csv"}, 415, "UnsupportedMediaTypeException"},
		{"query as XML", "POST", "/epcis/queries", "<q/>", []string{"Content-Type", "application/xml"}, 415, "UnsupportedMediaTypeException"},
		{"GB18030 JSON", "POST", "/epcis/capture", documentJSON(event), []string{"Content-Type", "application/json; charset=GB18030"}, 415, "UnsupportedMediaTypeException"},
		{"not UTF-8", "POST", "/epcis/capture", "{\"a\":\"\xb7\xfb\xbd\xda\"}", nil, 415, "UnsupportedMediaTypeException"},
		{"UTF-16", "POST", "/epcis/capture", "\xff\xfe{\x00}\x00", nil, 415, "UnsupportedMediaTypeException"},
		{"packed strangely", "POST", "/epcis/capture", documentJSON(event), []string{"Content-Encoding", "br"}, 415, "UnsupportedMediaTypeException"},
		{"not packed", "POST", "/epcis/capture", documentJSON(event), []string{"Content-Encoding", "gzip"}, 400, "ValidationException"},
		{"no JSON", "POST", "/epcis/capture", "{", nil, 400, "ValidationException"},
		{"blank", "POST", "/epcis/capture", " ", nil, 400, "ValidationException"},
		{"behaviour", "POST", "/epcis/capture", documentJSON(event), []string{"GS1-Capture-Error-Behaviour", "all"}, 400, "ValidationException"},
		{"bytes", "POST", "/epcis/capture", documentJSON(event) + strings.Repeat(" ", 3000), nil, 413, "CaptureLimitExceededException"},
		{"events", "POST", "/epcis/capture", documentJSON(many(0, 6, "")...), nil, 413, "CaptureLimitExceededException"},
		{"two are not one", "POST", "/epcis/events", documentJSON(many(0, 2, "shipping")...), nil, 400, "ValidationException"},
		{"token", "GET", "/epcis/events?nextPageToken=abc.def", "", nil, 400, "QueryParameterException"},
		{"parameter", "GET", "/epcis/events?EQ_nothing=1", "", nil, 400, "QueryParameterException"},
		{"escape", "GET", "/epcis/events?EQ_bizStep=a;b", "", nil, 400, "QueryParameterException"},
		{"no query", "POST", "/epcis/queries", `{"name":"q"}`, nil, 400, "QueryValidationException"},
		{"no name for one", "POST", "/epcis/queries", `{"name":"a/b","query":{}}`, nil, 400, "QueryValidationException"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, as := range []string{"json", "xml", "zh"} {
				head := append([]string{"Test-Caller", "88.1/a"}, row.head...)
				switch {
				case as == "xml" && (slices.Contains(head, "Accept") || row.exception == "NotAcceptableException"):
					continue
				case as == "xml":
					head = append(head, "Accept", "application/xml")
				case as == "zh":
					head = append(head, "Accept-Language", "zh-CN")
				}
				a := ask(t, s, row.method, row.target, row.body, head...)
				if a.StatusCode != row.status {
					t.Fatalf("%s: %d, want %d: %s", as, a.StatusCode, row.status, a.body)
				}
				want := "application/problem+json"
				if prefersXML(a.accepts(head)) {
					want = "application/problem+xml"
				}
				if got := a.Header.Get("Content-Type"); got != want {
					t.Errorf("%s: Content-Type: %s, want %s", as, got, want)
				}
				name := "epcisException:" + row.exception
				if row.exception == "" {
					name = "about:blank"
					if a.Header.Get("Allow") == "" {
						t.Error("405 without Allow")
					}
				}
				if !strings.Contains(a.body, name) {
					t.Errorf("%s: the answer does not say %s: %s", as, name, a.body)
				}
				if chinese := strings.ContainsFunc(a.body, func(r rune) bool { return r >= 0x4e00 && r < 0xa000 }); as == "zh" && !chinese || as == "json" && chinese {
					t.Errorf("%s: the wrong language: %s", as, a.body)
				}
			}
		})
	}
}

// accepts finds the Accept header among those that were sent.
func (a answer) accepts(head []string) string {
	for i := 0; i+1 < len(head); i += 2 {
		if head[i] == "Accept" {
			return head[i+1]
		}
	}
	return ""
}
