package flow

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site serves a world's engine; the header Who says who asks.
func site(t *testing.T, w *world) func(who, method, path string, body any, head ...string) (int, map[string]any) {
	t.Helper()
	a := api.New(api.Config{Title: "t", Version: "1", Identify: func(r *http.Request) (api.Caller, error) {
		switch who := r.Header.Get("Who"); who {
		case "":
			return api.Caller{}, nil
		case "BOSS":
			return boss(), nil
		case "ERP":
			c := caller(who)
			c.Roles = []api.Role{{Name: api.Application, Prefix: home}}
			return c, nil
		default:
			return caller(who), nil
		}
	}})
	w.engine.Register(a)
	s := httptest.NewServer(a.Handler())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(s.Close)
	return func(who, method, path string, body any, head ...string) (int, map[string]any) {
		t.Helper()
		var in io.Reader
		if body != nil {
			b, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			in = strings.NewReader(string(b))
		}
		r, _ := http.NewRequest(method, s.URL+path, in)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Who", who)
		for i := 0; i < len(head); i += 2 {
			r.Header.Set(head[i], head[i+1])
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out
	}
}

func TestAPI(t *testing.T) {
	w := repairShop(t)
	w.roles[home+"/STRANGER"] = []string{}
	call := site(t, w)
	ok := func(status int, body map[string]any) map[string]any {
		t.Helper()
		if status != 200 {
			t.Fatalf("%d %v", status, body)
		}
		return body
	}
	items := func(m map[string]any) []any { return m["items"].([]any) }

	// Who may begin what.
	if status, _ := call("", "GET", "/api/flows", nil); status != 401 {
		t.Errorf("nobody: %d", status)
	}
	flows := items(ok(call("W", "GET", "/api/flows", nil, "Accept-Language", "zh-CN")))
	if len(flows) != 2 || flows[1].(map[string]any)["title"] != "维修" || len(flows[1].(map[string]any)["start"].(map[string]any)["form"].([]any)) != 4 {
		t.Fatalf("%v", flows)
	}
	if list := items(ok(call("STRANGER", "GET", "/api/flows", nil))); len(list) != 0 {
		t.Errorf("%v", list)
	}

	// A code alone: two flows take it, so which is asked.
	r := ok(call("W", "POST", "/api/flow-scans", map[string]any{"id": "1", "code": home + "/P1"}))
	if r["verdict"] != "asking" || len(r["choices"].([]any)) != 2 {
		t.Fatalf("%v", r)
	}
	r = ok(call("W", "POST", "/api/flow-scans", map[string]any{"id": "1", "code": home + "/P1", "flow": "s/repair"}))
	if r["verdict"] != "passed" || r["next"].(map[string]any)["step"] != "mend" {
		t.Fatalf("%v", r)
	}
	states := map[any]any{}
	for _, x := range r["effects"].([]any) {
		states[x.(map[string]any)["kind"]] = x.(map[string]any)["state"]
	}
	// The answer to a single scan comes when its effects are done.
	if states["change"] != "done" || states["event"] != "done" || states["message"] != "done" || states["task"] != "done" {
		t.Errorf("%v", states)
	}
	run := r["run"].(string)
	if r := ok(call("W", "POST", "/api/flow-scans", map[string]any{"id": "1", "code": home + "/P1", "flow": "s/repair"})); r["duplicate"] != true || r["run"] != run {
		t.Errorf("%v", r)
	}
	r = ok(call("W", "POST", "/api/flow-scans", map[string]any{"code": home + "/P99", "flow": "s/repair"}, "Accept-Language", "zh-CN"))
	if r["verdict"] != "refused" || r["say"] != "未知" {
		t.Errorf("%v", r)
	}
	if status, p := call("STRANGER", "POST", "/api/flow-scans", map[string]any{"code": home + "/P2", "flow": "s/repair"}); status != 403 || p["kind"] != "forbidden" {
		t.Errorf("%d %v", status, p)
	}
	status, p := call("W2", "POST", "/api/flow-scans", map[string]any{"run": run, "step": "look", "code": home + "/P1"})
	if status != 409 && status != 412 || !strings.Contains(p["detail"].(string), home+"/W did") {
		t.Errorf("%d %v", status, p)
	}

	// A batch.
	var scans []map[string]any
	for i := 2; i < 9; i++ {
		scans = append(scans, map[string]any{"id": fmt.Sprint("b", i), "flow": "s/repair", "code": fmt.Sprintf("%s/P%d", home, i), "at": w.clock().Add(-time.Second)})
		w.pass(time.Millisecond)
	}
	out := ok(call("W", "POST", "/api/flow-scan-batches", map[string]any{"scans": scans}))["results"].([]any)
	if len(out) != 7 || out[6].(map[string]any)["verdict"] != "passed" {
		t.Fatalf("%v", out)
	}

	// Runs, in pages, each once.
	seen := map[string]bool{}
	for next := ""; ; {
		page := ok(call("W", "GET", "/api/flow-runs?limit=3&state=open&after="+next, nil))
		for _, x := range items(page) {
			id := x.(map[string]any)["run"].(string)
			if seen[id] {
				t.Errorf("%s is there twice", id)
			}
			seen[id] = true
		}
		if next, _ = page["next"].(string); next == "" {
			break
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d runs", len(seen))
	}
	if list := items(ok(call("STRANGER", "GET", "/api/flow-runs", nil))); len(list) != 0 {
		t.Errorf("%v", list)
	}
	one := ok(call("W", "GET", "/api/flow-runs/"+run, nil))
	if len(one["journal"].([]any)) != 1 || one["next"].(map[string]any)["step"] != "mend" {
		t.Errorf("%v", one)
	}
	if status, _ := call("STRANGER", "GET", "/api/flow-runs/"+run, nil); status != 404 {
		t.Errorf("a stranger: %d", status)
	}
	if status, _ := call("W", "GET", "/api/flow-runs?after=zzz", nil); status != 400 {
		t.Errorf("a cursor that is none: %d", status)
	}

	// Tasks, in pages.
	tasks := 0
	for next := ""; ; {
		page := ok(call("W", "GET", "/api/flow-tasks?limit=3&after="+next, nil))
		tasks += len(items(page))
		if next, _ = page["next"].(string); next == "" {
			break
		}
	}
	if tasks != 8 {
		t.Errorf("%d tasks", tasks)
	}
	task := items(ok(call("W", "GET", "/api/flow-tasks", nil)))[0].(map[string]any)["task"].(string)
	for _, x := range []struct{ what, state string }{{"take", "taken"}, {"give-back", "open"}, {"done", "done"}} {
		if v := ok(call("W", "POST", "/api/flow-tasks/"+task+"/"+x.what, map[string]any{"note": "n"})); v["state"] != x.state {
			t.Errorf("%s: %v", x.what, v)
		}
	}

	// The inbox, from where the system has read to, and waiting for more.
	box := ok(call("ERP", "GET", "/api/flow-messages?to=erp&limit=5", nil))
	if len(items(box)) != 5 {
		t.Fatalf("%v", box)
	}
	box = ok(call("ERP", "GET", "/api/flow-messages?to=s/erp&after="+box["next"].(string), nil))
	if len(items(box)) != 3 {
		t.Fatalf("%v", box)
	}
	answer := make(chan map[string]any)
	go func() {
		_, m := call("ERP", "GET", "/api/flow-messages?to=erp&wait=20&after="+box["next"].(string), nil)
		answer <- m
	}()
	ok(call("W", "POST", "/api/flow-scans", map[string]any{"code": home + "/P1", "run": run, "form": map[string]any{"hours": "4"}}))
	if m := <-answer; len(items(m)) != 1 || items(m)[0].(map[string]any)["kind"] != "packed" {
		t.Errorf("%v", m)
	}
	for _, x := range []struct {
		who, to string
		status  int
	}{{"W", "erp", 403}, {"", "erp", 401}, {"ERP", "crm", 404}} {
		if status, _ := call(x.who, "GET", "/api/flow-messages?to="+x.to, nil); status != x.status {
			t.Errorf("%+v: %d", x, status)
		}
	}

	// Cancelling, and the schemas.
	other := out[0].(map[string]any)["run"].(string)
	if v := ok(call("BOSS", "POST", "/api/flow-runs/"+other+"/cancel", map[string]any{"why": "a mistake"})); v["state"] != "cancelled" {
		t.Errorf("%v", v)
	}
	if status, _ := call("BOSS", "POST", "/api/flow-runs/"+other+"/release", map[string]any{}); status != 409 && status != 412 {
		t.Errorf("%d", status)
	}
	for _, name := range []string{"flow", "decision-table"} {
		if s := ok(call("", "GET", "/api/schemas/"+name+".json", nil)); s["$defs"] == nil {
			t.Errorf("%s: %v", name, s)
		}
	}
}
