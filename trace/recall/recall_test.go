package recall_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trace/across"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/recall"
)

// net is a few nodes with HTTP servers between them. Who sends stands in a header here: that signatures prove it is across's and wire/web's to test.
type net struct {
	t     *testing.T
	now   time.Time
	nodes map[string]*node
}

type node struct {
	n      *net
	prefix string
	book   *recordtest.Book
	desk   *recall.Desk
	server *httptest.Server
	found  *across.Found
	err    error
	crash  func(when string) // before and after a post

	mu   sync.Mutex
	down bool
	got  map[string]int
}

var admin = record.Identity{Operator: true}

func newNet(t *testing.T, prefixes ...string) *net {
	n := &net{t: t, now: time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC), nodes: map[string]*node{}}
	for _, p := range prefixes {
		x := &node{n: n, prefix: p, book: recordtest.NewBook(record.Ref{}, p), got: map[string]int{}}
		n.nodes[p] = x
		x.open()
		x.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x.mu.Lock()
			x.got[r.URL.Path]++
			down, desk := x.down, x.desk
			x.mu.Unlock()
			if down {
				panic(http.ErrAbortHandler)
			}
			desk.Handler(func(r *http.Request) (record.Identity, error) {
				who := r.Header.Get("X-From")
				if who == "" {
					return record.Identity{}, nil
				}
				ref, err := record.ParseRef(who)
				return record.Identity{Ref: ref}, err
			}).ServeHTTP(w, r)
		}))
		t.Cleanup(x.server.Close)
	}
	return n
}

// open begins, or begins again behind a crash: what is known is in the book.
func (x *node) open() {
	authority := ""
	if p := id.ParentPrefix(x.prefix); x.n.nodes[p] != nil {
		authority = p
	}
	d, err := recall.New(x.n.t.Context(), recall.Config{Prefix: x.prefix, Registry: x.book, Authority: authority, Now: func() time.Time { return x.n.now },
		Find: func(context.Context, graph.RecallQuestion, func(graph.Step)) (*across.Found, error) {
			return x.found, x.err
		},
		Post: x.post})
	if err != nil {
		x.n.t.Fatal(err)
	}
	x.mu.Lock()
	x.desk = d
	x.mu.Unlock()
}

func (x *node) post(ctx context.Context, to, path string, body []byte) ([]byte, error) {
	if x.crash != nil {
		x.crash("before")
	}
	y := x.n.nodes[to]
	if y == nil {
		return nil, problem.New(problem.Unreachable, "%s offers no event service", "%s 未提供事件服务", to)
	}
	r, err := http.NewRequestWithContext(ctx, "POST", y.server.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-From", "300:0.NA/"+x.prefix)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unreachable, "away", "不可达")
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return nil, problem.New(problem.Forbidden, "HTTP %d", "HTTP %d", resp.StatusCode)
	}
	if x.crash != nil {
		x.crash("after")
	}
	return nil, nil
}

func (x *node) as(roles ...api.Role) func(method, path string, in, out any) int {
	a := api.New(api.Config{Title: "t", Version: "1", Identify: func(*http.Request) (api.Caller, error) {
		return api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 300, Name: x.prefix + "/User_x"}, Operator: len(roles) == 0}, Roles: roles}, nil
	}})
	x.desk.Operations(a)
	return func(method, path string, in, out any) int {
		x.n.t.Helper()
		var body bytes.Buffer
		if in != nil {
			if err := json.NewEncoder(&body).Encode(in); err != nil {
				x.n.t.Fatal(err)
			}
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, path, &body)
		r.Header.Set("Content-Type", "application/json")
		a.Handler().ServeHTTP(w, r)
		if out != nil && w.Code < 300 {
			if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
				x.n.t.Fatal(err, w.Body.String())
			}
		}
		return w.Code
	}
}

type m = map[string]any

func found(complete bool, holders map[string][]graph.Affected) *across.Found {
	f := &across.Found{Set: &graph.Set{Complete: complete}, Holders: holders, Complete: complete}
	for _, l := range holders {
		f.Set.Things = append(f.Set.Things, l...)
	}
	return f
}

func lot(thing, n, unit string) graph.Affected {
	return graph.Affected{ID: thing, Key: thing, Class: true, Left: "", Quantity: "", Unit: unit, Place: "88.2/STORE"}
}

// TestStory: opened, found, told, answered in parts, closed; the authority sees it.
func TestStory(t *testing.T) {
	n := newNet(t, "88", "88.1", "88.2", "88.3")
	owner, holder, third, top := n.nodes["88.1"], n.nodes["88.2"], n.nodes["88.3"], n.nodes["88"]
	owner.found = found(true, map[string][]graph.Affected{"88.2": {lot("88.1/LOT-7", "100", "KGM")}, "88.3": {{ID: "88.1/BOX-1", Key: "88.1/BOX-1"}}, "88.1": {{ID: "88.1/BOX-2", Key: "88.1/BOX-2"}}})
	call := owner.as()
	order := m{"name": "2026-7", "title": "Glass in lot 7", "things": []string{"88.1/LOT-7"}, "instructions": "quarantine"}
	if code := call("POST", "/api/recalls", order, nil); code != 201 {
		t.Fatal(code)
	}
	if code := call("POST", "/api/recalls", order, nil); code != 409 {
		t.Error("twice:", code)
	}
	if a, err := owner.book.Resolve(t.Context(), record.Query{ID: id.MustParse("88.1/Recall_2026-7"), PublicOnly: true}); err != nil || len(a.Values) != 1 || a.Values[0].Type != across.TypeRecall || !strings.Contains(string(a.Values[0].Data), `"open"`) || strings.Contains(string(a.Values[0].Data), "quarantine") {
		t.Error("its public face:", err, a.Values)
	}
	third.down = true
	if next := owner.desk.Advance(t.Context()); next.IsZero() {
		t.Error("one holder is silent, and nothing waits")
	}
	var v recall.View
	call("GET", "/api/recalls/2026-7", nil, &v)
	if v.State != recall.Open || len(v.Holders) != 3 || v.Affected != 3 || v.Told != v.Serial {
		t.Errorf("%+v", v)
	}
	owner.desk.Advance(t.Context())
	if third.got[recall.NoticesPath] != 1 {
		t.Error("it is not tried again before its time")
	}
	third.mu.Lock()
	third.down = false
	third.mu.Unlock()
	n.now = n.now.Add(time.Minute)
	owner.desk.Advance(t.Context())
	call("GET", "/api/recalls/2026-7", nil, &v)
	if v.State != recall.Notified {
		t.Errorf("%+v", v)
	}
	var notices api.Page[recall.NoticeView]
	at := holder.as()
	at("GET", "/api/recall-notices", nil, &notices)
	if len(notices.Items) != 1 || notices.Items[0].Title != "Glass in lot 7" || notices.Items[0].Owner != "88.1" || len(notices.Items[0].Items) != 1 || notices.Items[0].Count != 1 {
		t.Fatalf("%+v", notices)
	}
	path := "/api/recall-notices/" + notices.Items[0].Name + "/answers"
	item := func(action, q string) m {
		return m{"thing": "88.1/LOT-7", "quantity": q, "unit": "KGM", "action": action}
	}
	for _, bad := range []m{{}, {"items": []m{item("eaten", "1")}}, {"items": []m{item("sold", "-1")}}, {"items": []m{item("sold", "1e999999999")}}, {"items": []m{{"thing": "", "action": "sold"}}}} {
		if code := at("POST", path, bad, nil); code/100 != 4 {
			t.Errorf("%v: %d", bad, code)
		}
	}
	if code := at("POST", path, m{"items": []m{item("quarantined", "60.5")}}, nil); code != 201 {
		t.Error(code)
	}
	if code := call("POST", "/api/recalls/2026-7/close", m{}, nil); code/100 != 4 {
		t.Error("closed too early:", code)
	}
	if code := at("POST", path, m{"items": []m{item("sold", "39.50")}, "done": true, "note": "rest sold"}, nil); code != 201 {
		t.Error(code)
	}
	holder.desk.Advance(t.Context())
	for _, p := range []string{"88.3", "88.1"} {
		var l api.Page[recall.NoticeView]
		say := n.nodes[p].as()
		say("GET", "/api/recall-notices", nil, &l)
		if code := say("POST", "/api/recall-notices/"+l.Items[0].Name+"/answers", m{"items": []m{{"thing": "88.1/BOX-1", "action": "not-found"}}, "done": true}, nil); code != 201 {
			t.Error(code)
		}
		n.nodes[p].desk.Advance(t.Context())
	}
	owner.desk.Advance(t.Context())
	var copies api.Page[recall.CopyView]
	top.as()("GET", "/api/recalls-below", nil, &copies)
	if len(copies.Items) != 1 || copies.Items[0].State != recall.Notified || len(copies.Items[0].Holders) != 3 {
		t.Fatalf("%+v", copies)
	}
	for _, h := range copies.Items[0].Holders {
		if !h.Done || h.Prefix == "88.2" && (len(h.Found) != 1 || h.Found[0].Quantity != "100.00" || h.Found[0].Unit != "KGM") || h.Prefix == "88.3" && h.Missing != 1 {
			t.Errorf("%+v", h)
		}
	}
	if code := call("POST", "/api/recalls/2026-7/close", m{}, &v); code != 200 || v.State != recall.Closed {
		t.Error(code, v.State)
	}
	owner.desk.Advance(t.Context())
	top.as()("GET", "/api/recalls-below", nil, &copies)
	at("GET", "/api/recall-notices", nil, &notices)
	if copies.Items[0].State != recall.Closed || !notices.Items[0].Closed || len(notices.Items[0].Answers) != 2 {
		t.Errorf("%+v %+v", copies.Items[0], notices.Items[0])
	}
	if code := at("POST", path, m{"note": "late"}, nil); code/100 != 4 {
		t.Error("answered a closed recall:", code)
	}
	if a, err := owner.book.Resolve(t.Context(), record.Query{ID: id.MustParse("88.1/Recall_2026-7"), PublicOnly: true}); err != nil || !strings.Contains(string(a.Values[0].Data), `"closed"`) {
		t.Error(err, a.Values)
	}
}

// TestCrash: the node stops before, or behind, each thing that it sends; it goes on where it was, nobody is forgotten, and each holder has one notice.
func TestCrash(t *testing.T) {
	type stop struct{}
	for _, when := range []string{"before", "after"} {
		for at := range 5 {
			n := newNet(t, "88", "88.1", "88.2", "88.3")
			owner := n.nodes["88.1"]
			owner.found = found(true, map[string][]graph.Affected{"88.2": {{ID: "88.1/A", Key: "88.1/A"}}, "88.3": {{ID: "88.1/B", Key: "88.1/B"}}})
			if _, err := owner.desk.Start(t.Context(), admin, "r", recall.Order{Title: "r", Things: []string{"88.1/LOT"}}); err != nil {
				t.Fatal(err)
			}
			k := 0
			owner.crash = func(w string) {
				if w == when {
					if k == at {
						panic(stop{})
					}
					k++
				}
			}
			for range 6 {
				func() {
					defer func() {
						if p := recover(); p != nil {
							if _, ok := p.(stop); !ok {
								panic(p)
							}
							owner.crash = nil
							owner.open()
						}
					}()
					owner.desk.Advance(t.Context())
				}()
				n.now = n.now.Add(time.Hour)
			}
			for _, p := range []string{"88.2", "88.3"} {
				var l api.Page[recall.NoticeView]
				n.nodes[p].as()("GET", "/api/recall-notices", nil, &l)
				if len(l.Items) != 1 || len(l.Items[0].Items) != 1 {
					t.Errorf("%s %d: %s has %+v", when, at, p, l.Items)
				}
			}
			var v recall.View
			owner.as()("GET", "/api/recalls/r", nil, &v)
			if v.State != recall.Notified || v.Told != v.Serial {
				t.Errorf("%s %d: %+v", when, at, v)
			}
		}
	}
}

// TestSearchFails: a search that fails, or does not come to every end, is made again; what is found later is told.
func TestSearchFails(t *testing.T) {
	n := newNet(t, "88.1", "88.2")
	owner, holder := n.nodes["88.1"], n.nodes["88.2"]
	owner.err = errors.New("broken")
	v, err := owner.desk.Start(t.Context(), admin, "r", recall.Order{Title: "r", Things: []string{"88.1/LOT"}})
	if err != nil {
		t.Fatal(err)
	}
	if owner.desk.Advance(t.Context()).IsZero() {
		t.Error("nothing waits")
	}
	owner.err, owner.found = nil, found(false, map[string][]graph.Affected{"88.2": {{ID: "88.1/A", Key: "88.1/A"}}})
	n.now = n.now.Add(time.Hour)
	owner.desk.Advance(t.Context())
	owner.found = found(true, map[string][]graph.Affected{"88.2": {{ID: "88.1/A", Key: "88.1/A"}, {ID: "88.1/B", Key: "88.1/B"}}})
	n.now = n.now.Add(time.Hour)
	owner.desk.Advance(t.Context())
	var l api.Page[recall.NoticeView]
	holder.as()("GET", "/api/recall-notices", nil, &l)
	if len(l.Items) != 1 || l.Items[0].Count != 2 {
		t.Errorf("%+v", l.Items)
	}
	if _, err := owner.desk.Close(t.Context(), admin, v, ""); !problem.Is(err, problem.Conflict) {
		t.Error(err)
	}
	if _, err := owner.desk.Close(t.Context(), admin, v, "sold out"); err != nil {
		t.Error(err)
	}
	if _, err := owner.desk.SearchAgain(t.Context(), admin, v); !problem.Is(err, problem.Conflict) {
		t.Error(err)
	}
}

// TestStrangers: what others may not send, and who may not look.
func TestStrangers(t *testing.T) {
	n := newNet(t, "88", "88.1", "88.2")
	send := func(to, from, path, body string) int {
		r, err := http.NewRequest("POST", n.nodes[to].server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if from != "" {
			r.Header.Set("X-From", from)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	good := `{"recall":"88.1/Recall_x","serial":1,"title":"t","things":["88.1/LOT"],"items":[],"count":0}`
	for _, c := range []struct {
		from, path, body string
		want             int
	}{
		{"", recall.NoticesPath, good, 401},
		{"300:88.1/App_erp", recall.NoticesPath, good, 401},
		{"300:0.NA/88.9", recall.NoticesPath, good, 403},
		{"300:0.NA/88.1", recall.NoticesPath, "{", 400},
		{"300:0.NA/88.1", recall.NoticesPath, strings.Replace(good, "88.1/LOT", "", 1), 400},
		{"300:0.NA/88.1", recall.NoticesPath, `{"x":"` + strings.Repeat("x", 300<<10) + `"}`, 413},
		{"300:0.NA/88.1", recall.AcknowledgementsPath, `{"recall":"88.2/Recall_none","answers":[{"number":1,"done":true}]}`, 404},
		{"300:0.NA/88.1", recall.RecallsPath, `{"recall":"88.1/Recall_x","serial":1,"title":"t","things":["l"],"state":"open"}`, 403},
		{"300:0.NA/88.1", recall.NoticesPath, good, 200},
		{"300:0.NA/88.1", recall.NoticesPath, good, 200},
	} {
		if got := send("88.2", c.from, c.path, c.body); got != c.want {
			t.Errorf("%s %s %.60s: %d, want %d", c.from, c.path, c.body, got, c.want)
		}
	}
	var l api.Page[recall.NoticeView]
	n.nodes["88.2"].as()("GET", "/api/recall-notices", nil, &l)
	if len(l.Items) != 1 {
		t.Error("a notice that comes twice is one:", len(l.Items))
	}
	reader := n.nodes["88.2"].as(api.Role{Name: api.Auditor, Prefix: "88.2"})
	if code := reader("GET", "/api/recall-notices", nil, nil); code != 200 {
		t.Error(code)
	}
	if code := reader("POST", "/api/recalls", m{"name": "x", "title": "x", "things": []string{"x"}}, nil); code != 403 {
		t.Error(code)
	}
	other := n.nodes["88.2"].as(api.Role{Name: api.EnterpriseAdmin, Prefix: "88.1"})
	for _, p := range []string{"/api/recalls", "/api/recall-notices", "/api/recalls-below", "/api/recalls/none"} {
		if code := other("GET", p, nil, nil); code != 403 {
			t.Error(p, code)
		}
	}
}
