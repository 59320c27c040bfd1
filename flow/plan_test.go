package flow

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

func TestPlans(t *testing.T) {
	w := repairShop(t)
	w.roles[home+"/STRANGER"] = []string{}
	call := site(t, w)
	read := func(who, lang string) []Plan {
		t.Helper()
		status, body := call(who, "GET", "/api/flow-plans", nil, "Accept-Language", lang)
		if status != 200 {
			t.Fatalf("%d %v", status, body)
		}
		b, err := json.Marshal(body["items"])
		if err != nil {
			t.Fatal(err)
		}
		var out []Plan
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if status, _ := call("", "GET", "/api/flow-plans", nil); status != 401 {
		t.Errorf("nobody: %d", status)
	}
	if list := read("STRANGER", "en"); len(list) != 0 {
		t.Errorf("somebody without a role sees %v", list)
	}
	for _, id := range []string{"/P1", "/P2"} {
		if r := w.scan("W", Scan{Flow: "s/repair", Code: home + id}); r.Verdict != Passed {
			t.Fatalf("%+v", r)
		}
	}
	// In a run's journal, what is done is said to be done.
	r := w.scan("W", Scan{Flow: "s/repair", Code: home + "/P3"})
	w.engine.Follow(t.Context(), r.Run, time.Minute)
	_, shown := call("W", "GET", "/api/flow-runs/"+r.Run, nil)
	for _, x := range shown["journal"].([]any)[0].(map[string]any)["effects"].([]any) {
		if x.(map[string]any)["state"] != "done" {
			t.Errorf("%v", x)
		}
	}
	call("BOSS", "POST", "/api/flow-runs/"+r.Run+"/cancel", map[string]any{"why": "a test"})
	list := read("W", "zh-CN")
	i := slices.IndexFunc(list, func(p Plan) bool { return p.Name == "s/repair" })
	if len(list) != 2 || i < 0 {
		t.Fatalf("%+v", list)
	}
	p := list[i]
	if p.Title != "维修" || !p.Begin || p.Open != 2 || p.Held != 0 || p.Least || len(p.Steps) < 2 || p.Start != p.Steps[0].Step {
		t.Errorf("%+v", p)
	}
	names := []string{End}
	for _, s := range p.Steps {
		names = append(names, s.Step)
		if want := map[string]int{"mend": 2}[s.Step]; s.Open != want {
			t.Errorf("%d runs stand at %s, not %d", s.Open, s.Step, want)
		}
	}
	effects := 0
	for _, s := range p.Steps {
		effects += len(s.Effects)
		if len(s.Ways) == 0 {
			t.Errorf("no way on from %s", s.Step)
		}
		for _, x := range s.Ways {
			if !slices.Contains(names, x.To) {
				t.Errorf("%s goes to %q", s.Step, x.To)
			}
		}
		for _, x := range s.Effects {
			if x.Kind == "" || x.What == "" {
				t.Errorf("%s does %+v", s.Step, x)
			}
		}
	}
	if effects == 0 {
		t.Error("no step does anything")
	}
	// Who administers sees the same, and a run that is over stands nowhere.
	status, body := call("BOSS", "GET", "/api/flow-runs?flow=s/repair&state=open", nil)
	if status != 200 {
		t.Fatal(status)
	}
	run := body["items"].([]any)[0].(map[string]any)["run"].(string)
	if status, _ := call("BOSS", "POST", "/api/flow-runs/"+run+"/cancel", map[string]any{"why": "a test"}); status != 200 {
		t.Fatal(status)
	}
	if list := read("BOSS", "en"); list[i].Open != 1 {
		t.Errorf("%d runs are open", list[i].Open)
	}
}
