package flow

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// program compiles a flow of the solution "s".
func program(t testing.TB, src string) *Program {
	t.Helper()
	d, err := Parse("flow.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Compile(Solution{Name: "s", Version: "1", Roles: []string{"worker", "desk", "manager"}, Systems: []string{"erp"}, Templates: []string{"part", "log"}, Rules: []string{"logs"}, Parties: map[string]string{"maker": partner}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const repair = `flow: repair
name: {en: Repair, zh: 维修}
about: part
vars: {list: []}
steps:
  - step: look
    name: {en: Look, zh: 检查}
    who: [worker]
    scan: {as: part, of: [part], owner: own}
    form:
      - {field: km, label: {en: Mileage, zh: 里程}, type: number, unit: km, min: 0, max: 1000}
      - {field: n, label: {en: Number, zh: 件数}, type: integer, max: 5}
      - {field: on, label: {en: Day, zh: 日期}, type: date}
      - {field: other, label: {en: Other, zh: 其他}, type: id}
    checks:
      - {when: '!part.found', verdict: refused, say: {en: unknown, zh: 未知}, to: look}
      - {when: 'part.state == "bad"', verdict: stopped, say: {en: "it is bad: {{part.note}}", zh: "异常：{{part.note}}"}}
    set: {list: '=vars.list + [part.id]', km: '=has(form.km) ? form.km : 0.0'}
    do:
      - change: {id: =part.id, values: {state: looked}}
      - message: {to: erp, kind: looked, body: {part: =part.id, n: =size(vars.list), km: =vars.km}}
      - event: {type: ObjectEvent, action: OBSERVE, step: inspecting, things: [=part.id], ext: {km: =vars.km}}
      - task: {for: [desk], name: {en: "Look after {{part.note}}", zh: "处理 {{part.note}}"}, about: =part.id, due: 2h, escalate: [manager]}
    undo:
      - change: {id: =part.id, values: {state: =part.state}}
      - event: {type: ObjectEvent, action: OBSERVE, step: other, things: [=part.id]}
    next: mend
  - step: mend
    name: {en: Mend, zh: 维修}
    who: [worker, desk]
    form:
      - {field: hours, label: {en: Hours, zh: 工时}, type: text, required: true}
    set: {hours: =number(form.hours)}
    do:
      - change: {id: =part.id, if: {state: looked}, values: {state: mended}}
      - start: {flow: check, about: =part.id}
    next: pack
    after: {wait: 30m, do: [{message: {to: erp, kind: late, body: {part: =part.id}}}], to: mend}
  - step: pack
    auto: true
    do:
      - message: {to: erp, kind: packed, body: {rate: '=100 / int(vars.hours)'}}
    next: end
    end: {verdict: passed, say: {en: "mended in {{vars.hours}} h", zh: "用时 {{vars.hours}} 小时"}}
`

const check2 = `flow: check
name: {en: Check, zh: 复核}
about: part
steps:
  - step: check
    name: {en: Check, zh: 复核}
    scan: {as: part, of: [part]}
    next: end
    end: {verdict: passed, say: {en: checked, zh: 已复核}}
`

func repairShop(t testing.TB) *world {
	w := memoryWorld(t, program(t, repair), program(t, check2))
	for i := range 9 {
		w.put(fmt.Sprintf("%s/P%d", home, i), "part", map[string]string{"state": "new", "note": `<b>{{who.id}}</b>`})
	}
	return w
}

// A rule that cannot be computed holds the run, says which and why, and leaves nothing half done.
func TestBrokenRule(t *testing.T) {
	w := repairShop(t)
	part := home + "/P1"
	r := w.wants(Passed, "", "W", Scan{Flow: "s/repair", Code: part})
	w.settled()
	before := len(w.mails("s/erp"))
	held := w.wants(Stopped, "hours", "W", Scan{Run: r.Run, Form: map[string]any{"hours": "two"}})
	if held.State != Held || !strings.Contains(held.Say, "no number") || len(held.Explain) == 0 {
		t.Fatalf("%+v", held)
	}
	w.wants(Stopped, "held", "W", Scan{Run: r.Run, Form: map[string]any{"hours": "2"}})
	if _, err := w.engine.Release(context.Background(), boss(), r.Run, "write a number"); err != nil {
		t.Fatal(err)
	}
	// The step that is done by itself divides by nothing: what came before it in the same scan is not done either.
	held = w.wants(Stopped, "division by zero", "W", Scan{Run: r.Run, Form: map[string]any{"hours": "0"}})
	w.settled()
	if s := w.get(part, "state"); s != "looked" || len(w.mails("s/erp")) != before || len(held.Effects) != 0 {
		t.Errorf("half done: %s, %d messages, %+v", s, len(w.mails("s/erp")), held.Effects)
	}
	if run, _, _ := w.engine.Run(context.Background(), boss(), r.Run); run.Step != "mend" || run.State != Held || run.Vars["hours"] != nil {
		t.Errorf("%+v", run)
	}
	if _, err := w.engine.Release(context.Background(), boss(), r.Run, ""); err != nil {
		t.Fatal(err)
	}
	w.wants(Passed, "mended in 4 h", "W", Scan{Run: r.Run, Form: map[string]any{"hours": "4"}})
	w.settled()
	if s := w.get(part, "state"); s != "mended" {
		t.Errorf("it is %s", s)
	}
	// The other flow waits for whoever scans the part.
	list, _, err := w.engine.Runs(context.Background(), boss(), Filter{Flow: "s/check", About: part}, "", 10)
	if err != nil || len(list) != 1 || list[0].State != Open {
		t.Fatalf("%+v %v", list, err)
	}
	if r := w.wants(Passed, "checked", "W", Scan{Flow: "s/check", Code: part}); r.Run != list[0].ID {
		t.Errorf("another run was begun: %+v", r)
	}
}

// A check that stops a run is passed over once somebody lets it go on; a condition that does not hold any more when an effect is done holds the run.
func TestStopped(t *testing.T) {
	w := repairShop(t)
	part := home + "/P2"
	w.put(part, "part", map[string]string{"state": "bad", "note": "=1+1"})
	r := w.wants(Stopped, "it is bad: =1+1", "W", Scan{Flow: "s/repair", Code: part})
	if _, err := w.engine.Release(context.Background(), boss(), r.Run, "mend it all the same"); err != nil {
		t.Fatal(err)
	}
	w.wants(Passed, "", "W", Scan{Run: r.Run, Code: part})
	w.settled()
	w.put(part, "part", map[string]string{"state": "scrapped"})
	w.wants(Passed, "mended", "W", Scan{Run: r.Run, Form: map[string]any{"hours": "4"}})
	w.settled()
	run, list, err := w.engine.Run(context.Background(), boss(), r.Run)
	if err != nil || run.State != Held || !strings.Contains(run.Say.EN, "scrapped") || list[len(list)-1].Kind != "note" {
		t.Fatalf("%+v %v", run, err)
	}
	if run, err := w.engine.Release(context.Background(), boss(), r.Run, "so be it"); err != nil || run.State != Ended {
		t.Errorf("%+v %v", run, err)
	}
}

// What a scan is refused for.
func TestRefused(t *testing.T) {
	w := repairShop(t)
	w.put(home+"/L1", "log", map[string]string{})
	w.roles[home+"/DESK"] = []string{"desk"}
	w.roles[home+"/STRANGER"] = []string{}
	for _, c := range []struct {
		name, code, say string
		form            map[string]any
	}{
		{"of another kind", home + "/L1", "kind", nil},
		{"of another enterprise", partner + "/P1", "another enterprise", nil},
		{"unknown", home + "/P99", "unknown", nil},
		{"unreadable", "\u00ff??", "cannot be read", nil},
		{"nothing", "  ", "nothing was scanned", nil},
		{"over the maximum", home + "/P1", "out of bounds", map[string]any{"km": 1001.0}},
		{"over the maximum in another unit", home + "/P1", "out of bounds", map[string]any{"km": map[string]any{"value": 700, "unit": "[mi_i]"}}},
		{"of another dimension", home + "/P1", "cannot be told in", map[string]any{"km": "5 kg"}},
		{"no whole number", home + "/P1", "no whole number", map[string]any{"n": 1.5}},
		{"a number beyond all", home + "/P1", "", map[string]any{"n": "-1e300"}},
		{"not a number", home + "/P1", "no number", map[string]any{"n": "NaN"}},
		{"no day", home + "/P1", "no day", map[string]any{"on": "2026-02-31"}},
		{"no identifier", home + "/P1", "no identifier", map[string]any{"other": "what?"}},
		{"too long", home + "/P1", "bytes", map[string]any{"other": strings.Repeat("x", 5000)}},
		{"a list for a number", home + "/P1", "no number", map[string]any{"n": []any{1, 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := w.engine.Scan(context.Background(), caller("W"), Scan{Flow: "s/repair", Code: c.code, Form: c.form})
			if err != nil || r.Verdict != Refused || !strings.Contains(r.Say, c.say) || r.Text.ZH == "" {
				t.Errorf("%+v %v", r, err)
			}
		})
	}
	ctx := context.Background()
	for _, c := range []struct {
		name string
		who  api.Caller
		in   Scan
		kind problem.Kind
	}{
		{"nobody", api.Caller{}, Scan{Flow: "s/repair", Code: home + "/P1"}, problem.NeedAuth},
		{"another role", caller("DESK"), Scan{Flow: "s/repair", Code: home + "/P1"}, problem.Forbidden},
		{"no role at all", caller("STRANGER"), Scan{Code: home + "/P1"}, problem.Forbidden},
		{"no such flow", caller("W"), Scan{Flow: "s/none", Code: home + "/P1"}, problem.NotFound},
		{"no such run", caller("W"), Scan{Run: "none", Code: home + "/P1"}, problem.NotFound},
		{"a long code", caller("W"), Scan{Flow: "s/repair", Code: strings.Repeat("x", 3000)}, problem.TooLarge},
		{"control characters", caller("W"), Scan{Flow: "s/repair", Code: home + "/P1\x00"}, problem.BadRequest},
		{"an earlier scan that never came", caller("W"), Scan{Run: "@x", Code: home + "/P1"}, problem.NotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := w.engine.Scan(ctx, c.who, c.in); !problem.Is(err, c.kind) {
				t.Errorf("%v", err)
			}
		})
	}
	w.away[epcis.Key(home+"/P1")] = problem.New(problem.Unreachable, "", "")
	if _, err := w.engine.Scan(ctx, caller("W"), Scan{Flow: "s/repair", Code: home + "/P1"}); !problem.Is(err, problem.Unreachable) {
		t.Errorf("what cannot be asked now is judged: %v", err)
	}
	w.settled()
	if n := len(w.mails("s/erp")); n != 0 {
		t.Errorf("%d messages of scans that were refused", n)
	}
	// A number in another unit is kept in the field's.
	delete(w.away, epcis.Key(home+"/P1"))
	w.wants(Passed, "", "W", Scan{Flow: "s/repair", Code: home + "/P1", Form: map[string]any{"km": "100 [mi_i]"}})
	if m := w.mails("s/erp"); len(m) != 1 || m[0].Body["km"] != 160.9344 {
		t.Errorf("%+v", m)
	}
	if _, _, err := w.engine.Run(ctx, caller("STRANGER"), w.entries()[len(w.entries())-1].Run); !problem.Is(err, problem.NotFound) {
		t.Errorf("a stranger sees a run: %v", err)
	}
}

// A timer fires once; a late task is seen by those it is escalated to; a run that is cancelled is undone, the newest step first.
func TestTimersTasksCancel(t *testing.T) {
	w := repairShop(t)
	w.roles[home+"/MANAGER"], w.roles[home+"/DESK"], w.roles[home+"/DESK2"] = []string{"manager"}, []string{"desk"}, []string{"desk"}
	ctx, part := context.Background(), home+"/P3"
	r := w.wants(Passed, "", "W", Scan{Flow: "s/repair", Code: part})
	w.pass(29 * time.Minute)
	for range 3 {
		if err := w.engine.Due(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.mails("s/erp")); n != 1 {
		t.Fatalf("%d messages before the time", n)
	}
	w.pass(2 * time.Minute)
	for range 3 {
		if err := w.engine.Due(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if m := w.mails("s/erp"); len(m) != 2 || m[1].Kind != "late" || m[1].Body["part"] != part {
		t.Fatalf("%+v", m)
	}
	tasks := func(who string) []Task {
		list, _, err := w.engine.Tasks(ctx, caller(who), "", "", 10)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if len(tasks("MANAGER")) != 0 || len(tasks("DESK")) != 1 {
		t.Fatalf("%+v, %+v", tasks("MANAGER"), tasks("DESK"))
	}
	task := tasks("DESK")[0]
	if task.Name.EN != `Look after <b>{{who.id}}</b>` {
		t.Errorf("another's text is not as it was written: %s", task.Name.EN)
	}
	w.pass(3 * time.Hour)
	if err := w.engine.Due(ctx); err != nil {
		t.Fatal(err)
	}
	if list := tasks("MANAGER"); len(list) != 1 || !list[0].Late {
		t.Fatalf("%+v", list)
	}
	if _, err := w.engine.Handle(ctx, caller("DESK"), task.ID, "take", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine.Handle(ctx, caller("DESK2"), task.ID, "done", ""); !problem.Is(err, problem.Conflict) {
		t.Errorf("a task that another has taken: %v", err)
	}
	if _, err := w.engine.Handle(ctx, caller("NOBODY"), "none", "take", ""); !problem.Is(err, problem.NotFound) {
		t.Errorf("%v", err)
	}
	if _, err := w.engine.Handle(ctx, caller("DESK"), task.ID, "done", "it is well"); err != nil || len(tasks("DESK")) != 0 {
		t.Errorf("%v, %+v", err, tasks("DESK"))
	}

	w.settled()
	if s := w.get(part, "state"); s != "looked" {
		t.Fatalf("it is %s", s)
	}
	if _, err := w.engine.Cancel(ctx, caller("W"), r.Run, "no"); !problem.Is(err, problem.Forbidden) {
		t.Errorf("%v", err)
	}
	if _, err := w.engine.Cancel(ctx, boss(), r.Run, "a mistake"); err != nil {
		t.Fatal(err)
	}
	w.settled()
	if s := w.get(part, "state"); s != "new" {
		t.Errorf("it is %s after it was undone", s)
	}
	if e := w.captured[len(w.captured)-1]; e.BizStep != "other" {
		t.Errorf("%+v", e)
	}
	if _, err := w.engine.Cancel(ctx, boss(), r.Run, "again"); !problem.Is(err, problem.Conflict) {
		t.Errorf("%v", err)
	}
	if _, err := w.engine.Scan(ctx, caller("W"), Scan{Run: r.Run, Form: map[string]any{"hours": 1}}); !problem.Is(err, problem.Conflict) {
		t.Errorf("%v", err)
	}
}

// A scanner's clock that is off is told, and put right when the scanner says what it shows.
func TestClocks(t *testing.T) {
	w := repairShop(t)
	real := w.clock()
	for i, c := range []struct {
		name     string
		at, sent time.Duration // beside the real time
		want     time.Duration
		told     string
	}{
		{"right", 0, 0, 0, ""},
		{"a little off", -time.Minute, -time.Minute, -time.Minute, ""},
		{"an hour ahead", time.Hour, 0, 0, "ahead by 1h0m0s"},
		{"an hour behind, or offline", -time.Hour, 0, -time.Hour, "1h0m0s ago"},
		{"an hour behind, and it says so", -time.Hour, -time.Hour, 0, "off by -1h0m0s"},
		{"an hour ahead, offline for two", -time.Hour, time.Hour, -2 * time.Hour, "off by 1h0m0s"},
		{"right, offline for two", -2 * time.Hour, time.Second, -2 * time.Hour, "2h0m0s ago"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Scan{ID: fmt.Sprint(i), Flow: "s/repair", Code: fmt.Sprintf("%s/P%d", home, i), At: real.Add(c.at)}
			if c.sent != 0 {
				in.Sent = real.Add(c.sent)
			}
			r, err := w.engine.Scan(context.Background(), caller("W"), in)
			if err != nil || r.Verdict != Passed {
				t.Fatalf("%+v %v", r, err)
			}
			told := ""
			for _, x := range r.Explain {
				if x.Check == "clock" {
					told = x.Outcome
				}
			}
			if (told == "") != (c.told == "") || !strings.Contains(told, c.told) {
				t.Errorf("told: %q", told)
			}
			list := w.entries()
			if x := list[len(list)-1]; !x.At.Equal(real.Add(c.want)) || !x.Received.Equal(real) {
				t.Errorf("at %s, received %s", x.At, x.Received)
			}
		})
	}
}

// Private codes are made identifiers by the step that takes them.
func TestPrivateCodes(t *testing.T) {
	w := memoryWorld(t, program(t, check2), program(t, `flow: shelf
name: {en: Shelf, zh: 上架}
about: part
steps:
  - step: shelf
    name: {en: Shelf, zh: 上架}
    scan: {as: part, codes: [{match: '69(\d{11})', id: '=run.prefix + "/SKU-" + match[1]'}]}
    checks:
      - {when: '!part.found', verdict: refused, say: {en: "unknown: {{part.id}}", zh: "未知：{{part.id}}"}, to: end}
    next: end
    end: {verdict: passed, say: {en: "{{part.id}} is there", zh: "{{part.id}} 已上架"}}
`))
	w.put(home+"/SKU-00000000001", "part", map[string]string{})
	w.wants(Passed, home+"/SKU-00000000001 is there", "W", Scan{Flow: "s/shelf", Code: "6900000000001"})
	w.wants(Refused, "unknown: "+home+"/SKU-00000000002", "W", Scan{Flow: "s/shelf", Code: "6900000000002"})
	w.wants(Refused, "cannot be read", "W", Scan{Flow: "s/shelf", Code: "7000000000001"})
	w.wants(Asking, "what is to be done", "W", Scan{Code: "6900000000001"})
}

// A dry run explains, and does nothing.
func TestDryRun(t *testing.T) {
	w := repairShop(t)
	r := w.wants(Passed, "", "W", Scan{ID: "d", Flow: "s/repair", Code: home + "/P1", DryRun: true})
	if len(r.Effects) != 4 || len(r.Explain) != 2 || r.Next == nil || r.Next.Step != "mend" {
		t.Errorf("%+v", r)
	}
	w.settled()
	if list, _, _ := w.engine.Runs(context.Background(), boss(), Filter{}, "", 10); len(list) != 0 || len(w.entries()) != 0 || len(w.mails("s/erp")) != 0 || w.get(home+"/P1", "state") != "new" {
		t.Error("it did something")
	}
	if r := w.wants(Passed, "", "W", Scan{ID: "d", Flow: "s/repair", Code: home + "/P1"}); r.Duplicate {
		t.Error("a dry run counts as the scan")
	}
}

// A queue of scans of a phone that was offline is done in order, run by run; what cannot be taken does not hold up the rest.
func TestBatch(t *testing.T) {
	w := repairShop(t)
	var scans []Scan
	for i := range 5 {
		id := fmt.Sprintf("a%d", i)
		scans = append(scans, Scan{ID: id, Flow: "s/repair", Code: fmt.Sprintf("%s/P%d", home, i)})
		scans = append(scans, Scan{ID: id + "b", Run: "@" + id, Step: "mend", Form: map[string]any{"hours": "4"}})
	}
	scans = append(scans, Scan{ID: "bad", Flow: "s/none", Code: home + "/P1"}, Scan{ID: "after", Run: "@bad", Code: home + "/P1"})
	for round := range 2 {
		out, err := w.engine.ScanBatch(context.Background(), caller("W"), scans)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range out {
			if i >= 10 {
				if r.Error == "" || r.Kind != "not-found" {
					t.Errorf("%+v", r)
				}
				continue
			}
			if r.Error != "" || r.Verdict != Passed || r.ID != scans[i].ID || r.Ended != (i%2 == 1) || r.Duplicate != (round == 1) {
				t.Errorf("%d, %d: %+v", round, i, r)
			}
		}
	}
	w.settled()
	for i := range 5 {
		if s := w.get(fmt.Sprintf("%s/P%d", home, i), "state"); s != "mended" {
			t.Errorf("part %d is %s", i, s)
		}
	}
	if _, err := w.engine.ScanBatch(context.Background(), caller("W"), make([]Scan, 1001)); !problem.Is(err, problem.TooLarge) {
		t.Errorf("%v", err)
	}
}

// An engine that stops leaves nobody waiting.
func TestStopping(t *testing.T) {
	w := repairShop(t)
	w.wants(Passed, "", "W", Scan{Flow: "s/repair", Code: home + "/P1"})
	for i := range 3 {
		w.stop()
		in := Scan{ID: fmt.Sprint(i), Flow: "s/repair", Code: fmt.Sprintf("%s/P%d", home, i+2)}
		if _, err := w.engine.Scan(context.Background(), caller("W"), in); !problem.Is(err, problem.Busy) {
			t.Errorf("%v", err)
		}
		// The node becomes the primary again.
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan struct{})
		go func() { w.engine.Go(ctx); close(over) }()
		w.stop = func() { cancel(); <-over }
		for {
			r, err := w.engine.Scan(context.Background(), caller("W"), in)
			if problem.Is(err, problem.Busy) {
				continue // it has not begun yet
			}
			if err != nil || r.Verdict != Passed || r.Duplicate {
				t.Fatalf("%+v %v", r, err)
			}
			break
		}
	}
}
