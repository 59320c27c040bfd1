package share_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/share"
)

var day = time.Date(2026, 10, 8, 6, 0, 0, 0, time.UTC)

func event() *epcis.Event {
	return &epcis.Event{Type: epcis.ObjectEvent, ID: "urn:uuid:6b1d7cd4-6f8a-4f2e-8d3a-0b6b3b8a7a11", Time: day, TimeZoneOffset: "+00:00", Action: epcis.Observe, EPCs: []string{"88.1/Crate-1"},
		Quantities: []epcis.Quantity{{Class: "88.1/LOT-7", Quantity: "12.5", Unit: "KGM"}}, BizStep: "shipping", Disposition: "in_transit",
		BizLocation: &epcis.Location{ID: "88.1/DOCK", Extensions: []epcis.Field{{Name: "gate"}}}, Destinations: []epcis.Party{{Type: "owning_party", ID: "88.2/COMPANY"}},
		Transactions: []epcis.Transaction{{Type: "po", ID: "urn:po:4711"}}, Sensors: []epcis.SensorElement{{Reports: []epcis.SensorReport{{Type: "Temperature", Value: "-18"}}}},
		ILMD: []epcis.Field{{Space: "https://ns.example/", Name: "price", Value: epcis.Value{Kind: epcis.Text, Text: "secret"}}}, Error: &epcis.ErrorDeclaration{Time: day, Reason: "incorrect_data"}}
}

func who(s string) record.Identity {
	if s == "" {
		return record.Identity{}
	}
	r, err := record.ParseRef(s)
	if err != nil {
		panic(err)
	}
	return record.Identity{Ref: r}
}

func TestLevels(t *testing.T) {
	now := day
	for _, c := range []struct {
		share share.Share
		who   string
		asked share.Asked
		want  share.Level
	}{
		{share.Share{To: []string{"88.2"}, Level: share.Contents}, "300:0.NA/88.2", share.Asked{}, share.Contents},
		{share.Share{To: []string{"88.2"}, Level: share.Trace}, "300:88.2/App_erp", share.Asked{}, share.Trace},
		{share.Share{To: []string{"88.2"}, Level: share.Contents}, "300:0.NA/88.20", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"88.2"}, Level: share.Contents}, "300:0.NA/88.2.1", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"88.2.*"}, Level: share.Contents}, "300:0.NA/88.2.1", share.Asked{}, share.Contents},
		{share.Share{To: []string{"88.2.*"}, Level: share.Contents}, "300:0.NA/88.20", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"88.2"}, Level: share.Contents}, "", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"*"}, Level: share.Exists}, "", share.Asked{}, share.Exists},
		{share.Share{To: []string{"88.2/app_ERP"}, Level: share.Contents}, "300:88.2/App_erp", share.Asked{}, share.Contents},
		{share.Share{To: []string{"300:88.2/app_erp"}, Level: share.Contents}, "300:88.2/App_other", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"88.2"}, Level: share.Contents, OnRecall: true}, "300:0.NA/88.2", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"88.2"}, Level: share.Contents, OnRecall: true}, "300:0.NA/88.2", share.Asked{Recall: "88.2/RECALL_1"}, share.Contents},
		{share.Share{To: []string{"88.2"}, Level: share.Contents, Hops: 2}, "300:0.NA/88.2", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"88.2"}, Level: share.Contents, Hops: 2}, "300:0.NA/88.2", share.Asked{Hops: 2}, share.Contents},
		{share.Share{To: []string{"88.2"}, Level: share.Contents, Hops: 2}, "300:0.NA/88.2", share.Asked{Hops: 3}, share.Nothing},
		{share.Share{To: []string{"*"}, Level: share.Contents, Steps: []string{"receiving"}}, "", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"*"}, Level: share.Contents, Steps: []string{"receiving", "shipping"}}, "", share.Asked{}, share.Contents},
		{share.Share{To: []string{"*"}, Level: share.Contents, Things: []string{"hdl:88.1/crate-1"}}, "", share.Asked{}, share.Contents},
		{share.Share{To: []string{"*"}, Level: share.Contents, Things: []string{"88.1/cra*"}}, "", share.Asked{}, share.Contents},
		{share.Share{To: []string{"*"}, Level: share.Contents, Things: []string{"88.1/crate-2", "88.1/Box*"}}, "", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"*"}, Level: share.Contents, Until: day}, "", share.Asked{}, share.Nothing},
		{share.Share{To: []string{"*"}, Level: share.Contents, Until: day.Add(1)}, "", share.Asked{}, share.Contents},
		{share.Share{To: []string{"88.9"}, Level: share.Exists}, "300:0.NA/88.1", share.Asked{}, share.Contents}, // the owner's own key
	} {
		d, err := share.New(t.Context(), share.Config{Prefix: "88.1", Default: []share.Share{c.share}, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Level(who(c.who), event(), c.asked); got != c.want {
			t.Errorf("%+v for %q, %+v: %s, want %s", c.share, c.who, c.asked, got, c.want)
		}
	}
}

// TestMost: several shares show the most of them, in whatever order they stand.
func TestMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []share.Share
		want := share.Nothing
		for range rapid.IntRange(0, 6).Draw(t, "n") {
			s := share.Share{To: []string{rapid.SampledFrom([]string{"*", "88.2", "88.3", "88.*"}).Draw(t, "to")}, Level: share.Level(rapid.IntRange(1, 3).Draw(t, "level"))}
			if s.To[0] != "88.3" {
				want = max(want, s.Level)
			}
			list = append(list, s)
		}
		d, err := share.New(t.Context(), share.Config{Prefix: "88.1", Default: list})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Level(who("300:0.NA/88.2"), event(), share.Asked{}); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		if d.Any(who("300:0.NA/88.2")) != (want > share.Nothing) {
			t.Fatal("Any")
		}
	})
}

func TestRedact(t *testing.T) {
	e := event()
	before := string(epcis.AppendEventJSON(nil, e, epcis.Format{}))
	if share.Redact(e, share.Nothing) != nil || share.Redact(e, share.Contents) != e {
		t.Error("the ends")
	}
	text := string(epcis.AppendEventJSON(nil, share.Redact(e, share.Trace), epcis.Format{}))
	for _, secret := range []string{"secret", "12.5", "KGM", "-18", "4711", "in_transit", "shipping", "gate", "incorrect_data"} {
		if strings.Contains(text, secret) {
			t.Errorf("a trace tells %s: %s", secret, text)
		}
	}
	for _, shown := range []string{"Crate-1", "LOT-7", "88.1/DOCK", "88.2/COMPANY", e.ID} {
		if !strings.Contains(text, shown) {
			t.Errorf("a trace does not tell %s: %s", shown, text)
		}
	}
	x := share.Redact(e, share.Exists)
	if x.ID != epcis.Hash(e) || !x.Time.Equal(e.Time) || len(x.EPCs) > 0 || x.Type != "" || x.BizLocation != nil {
		t.Errorf("%+v", x)
	}
	if string(epcis.AppendEventJSON(nil, e, epcis.Format{})) != before {
		t.Error("the event was changed")
	}
}

type m = map[string]any

func TestPapers(t *testing.T) {
	book := recordtest.NewBook(record.Ref{}, "88.1")
	d, err := share.New(t.Context(), share.Config{Prefix: "88.1", Registry: book})
	if err != nil {
		t.Fatal(err)
	}
	caller := api.Caller{Identity: who("300:88.1/User_boss"), Roles: []api.Role{{Name: api.EnterpriseAdmin, Prefix: "88.1"}}}
	a := api.New(api.Config{Title: "t", Version: "1", Identify: func(*http.Request) (api.Caller, error) { return caller, nil }})
	d.Operations(a)
	call := func(method, path string, in, out any, head ...string) (int, string) {
		t.Helper()
		var body bytes.Buffer
		if in != nil {
			json.NewEncoder(&body).Encode(in)
		}
		r := httptest.NewRequest(method, path, &body)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(head); i += 2 {
			r.Header.Set(head[i], head[i+1])
		}
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		if out != nil && w.Code < 300 {
			if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
				t.Fatal(err)
			}
		}
		return w.Code, w.Header().Get("ETag")
	}
	paper := m{"to": []string{"88.2"}, "level": "trace"}
	code, tag := call("PUT", "/api/shares/partners", paper, nil)
	if code != 200 || tag == "" {
		t.Fatal(code, tag)
	}
	partner := who("300:0.NA/88.2")
	if l := d.Level(partner, event(), share.Asked{}); l != share.Trace {
		t.Error(l)
	}
	var v share.View
	if code, _ := call("GET", "/api/shares/Partners", nil, &v); code != 200 || v.Level != share.Trace || !strings.EqualFold(v.Name, "partners") {
		t.Errorf("%d %+v", code, v)
	}
	paper["level"] = "contents"
	if code, _ := call("PUT", "/api/shares/partners", paper, nil, "If-Match", `"other"`); code != 412 {
		t.Error(code)
	}
	if code, _ := call("PUT", "/api/shares/partners", paper, nil, "If-Match", tag); code != 200 {
		t.Error(code)
	}
	if l := d.Level(partner, event(), share.Asked{}); l != share.Contents {
		t.Error(l)
	}
	for _, bad := range []m{{"to": []string{}, "level": "trace"}, {"to": []string{"88.2"}, "level": "nothing"}, {"to": []string{"88.2"}, "level": "all"}, {"to": []string{"no prefix"}, "level": "trace"},
		{"to": []string{"88.2"}, "level": "trace", "hops": -1}, {"to": []string{"88.2"}, "level": "trace", "things": []string{""}}} {
		if code, _ := call("PUT", "/api/shares/bad", bad, nil); code/100 != 4 {
			t.Errorf("%v: %d", bad, code)
		}
	}
	var page api.Page[share.View]
	if code, _ := call("GET", "/api/shares", nil, &page); code != 200 || len(page.Items) != 1 {
		t.Error(code, page)
	}
	// What another process writes is heard of.
	other, err := share.New(t.Context(), share.Config{Prefix: "88.1", Registry: book})
	if err != nil {
		t.Fatal(err)
	}
	if l := other.Level(partner, event(), share.Asked{}); l != share.Contents {
		t.Error("after a restart:", l)
	}
	if err := other.Remove(t.Context(), record.Identity{Operator: true}, "partners"); err != nil {
		t.Fatal(err)
	}
	if err := d.Heard(t.Context(), id.MustParse("88.1/Share_partners")); err != nil {
		t.Error(err)
	}
	if l := d.Level(partner, event(), share.Asked{}); l != share.Nothing {
		t.Error(l)
	}
	if err := d.Remove(t.Context(), record.Identity{Operator: true}, "partners"); !problem.Is(err, problem.NotFound) {
		t.Error(err)
	}
	caller.Roles = []api.Role{{Name: api.EnterpriseUser, Prefix: "88.1"}}
	for _, x := range [][2]string{{"GET", "/api/shares"}, {"GET", "/api/shares/x"}, {"DELETE", "/api/shares/x"}} {
		if code, _ := call(x[0], x[1], nil, nil); code != 403 {
			t.Error(x, code)
		}
	}
	if code, _ := call("PUT", "/api/shares/x", m{"to": []string{"88.2"}, "level": "trace"}, nil); code != 403 {
		t.Error(code)
	}
}

func BenchmarkLevel(b *testing.B) {
	var list []share.Share
	for range 50 {
		list = append(list, share.Share{To: []string{"88.3"}, Level: share.Contents})
	}
	d, err := share.New(b.Context(), share.Config{Prefix: "88.1", Default: append(list, share.Share{To: []string{"88.2"}, Level: share.Contents})})
	if err != nil {
		b.Fatal(err)
	}
	e, w := event(), who("300:0.NA/88.2")
	for b.Loop() {
		d.Level(w, e, share.Asked{})
	}
}
