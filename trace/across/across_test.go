package across_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/across"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/share"
	"github.com/fujie-id/fujie/trust"
)

var up = graph.Question{Things: []string{"88.3/PACK-1"}, Up: true}
var down = graph.Question{Things: []string{"88.1/CARTON"}, Down: true}

func open(w *world) func(string) *firm { return func(p string) *firm { return w.firm(p) } }

// TestChain: each enterprise has its part; the shop finds the farm, and the farm the shop, and the evidence proves it to somebody who has the root's key and nothing else.
func TestChain(t *testing.T) {
	w := newWorld(t)
	farm, _, _, shop := chain(w, open(w))
	a, ev := shop.trace(up)
	if got := keys(a); !strings.Contains(got, "88.1/CARTON") || !a.Complete {
		t.Errorf("up: %s, complete %v, hops %+v", got, a.Complete, a.Hops)
	}
	for _, p := range []string{"88.1", "88.2", "88.3"} {
		if h := hop(a, p); h.Outcome != "answered" || h.URL == "" {
			t.Errorf("hop %s: %+v", p, h)
		}
	}
	d, _ := farm.trace(down)
	if got := keys(d); !strings.Contains(got, "88.3/PACK-1") || !strings.Contains(got, "88.3/PACK-2") || !strings.Contains(got, "88.2/PALLET") || hop(d, "88.4").Outcome != "answered" || !d.Complete {
		t.Errorf("down: %s %+v", got, d.Hops)
	}
	for _, e := range d.Events {
		if e.Owner == "" || e.Level != "" {
			t.Errorf("event %+v", e)
		}
	}
	b, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	if ev, err = across.ParseEvidence(b); err != nil {
		t.Fatal(err)
	}
	roots := []trust.PublicKey{w.root.Public()}
	v, err := across.Verify(ev, roots, w.now())
	if err != nil || len(v) < 4 {
		t.Fatal(len(v), err)
	}
	owners := map[string]bool{}
	for _, x := range v {
		owners[x.Owner] = true
		if !x.Holds || x.Key == "" || x.By == "" || len(x.Chain) == 0 || x.Events+x.Proofs == 0 && x.Owner == "88.4" {
			t.Errorf("%+v", x)
		}
	}
	if len(owners) != 4 {
		t.Error("the asker's own events belong to the evidence:", owners)
	}
	// Years later, when every certificate has ended, it still tells what was said then.
	if _, err := across.Verify(ev, roots, w.now().Add(5*365*24*time.Hour)); err != nil {
		t.Error(err)
	}
	if _, err := across.Verify(ev, []trust.PublicKey{w.top.Public()}, w.now()); !problem.Is(err, problem.Bogus) {
		t.Error("another root:", err)
	}
	if _, err := across.Verify(ev, roots, w.now().Add(-time.Hour)); !problem.Is(err, problem.Bogus) {
		t.Error("before it was signed:", err)
	}
}

// TestEvidenceAltered: whatever is changed in a bundle shows.
func TestEvidenceAltered(t *testing.T) {
	w := newWorld(t)
	_, _, _, shop := chain(w, open(w))
	_, ev := shop.trace(up)
	whole := mustJSON(t, ev)
	roots := []trust.PublicKey{w.root.Public()}
	for name, change := range map[string]func(ev *across.Evidence){
		"body": func(ev *across.Evidence) {
			ev.Answers[1].Body = bytes.Replace(ev.Answers[1].Body, []byte("88.1"), []byte("88.9"), 1)
		},
		"question":     func(ev *across.Evidence) { ev.Answers[1].Request = append(ev.Answers[1].Request, ' ') },
		"owner":        func(ev *across.Evidence) { ev.Answers[1].Owner = "88.4" },
		"asker":        func(ev *across.Evidence) { ev.Asker = "300:0.NA/88.1" },
		"swapped":      func(ev *across.Evidence) { ev.Answers[1].Statement = ev.Answers[2].Statement },
		"unsigned":     func(ev *across.Evidence) { ev.Answers[1].Statement = "" },
		"certificates": func(ev *across.Evidence) { delete(ev.Certificates, ev.Answers[1].Owner) },
		"another's":    func(ev *across.Evidence) { ev.Certificates[ev.Answers[1].Owner] = ev.Certificates["88.4"] },
		"version":      func(ev *across.Evidence) { ev.Version = 2 },
	} {
		ev, err := across.ParseEvidence(whole)
		if err != nil {
			t.Fatal(err)
		}
		change(ev)
		if v, err := across.Verify(ev, roots, w.now()); err == nil {
			t.Errorf("%s: holds: %+v", name, v)
		}
	}
}

// TestSilent: an enterprise that accepts and says nothing, one that is not there, and one that breaks off: what is known from the others is whole.
func TestSilent(t *testing.T) {
	for name, bend := range map[string]func(http.Handler) http.Handler{
		"silent": func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			})
		},
		"gone": func(http.Handler) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
		"broken": func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			farm, _, plant, _ := chain(w, open(w))
			farm.limits.Ask = 500 * time.Millisecond
			farm.reopen()
			plant.bend = bend
			a, ev := farm.trace(down)
			h := hop(a, "88.3")
			if h.Outcome != "unreachable" || h.EN == "" || h.ZH == "" || a.Complete {
				t.Errorf("%+v complete %v", h, a.Complete)
			}
			if got := keys(a); !strings.Contains(got, "88.2/PALLET") || strings.Contains(got, "PACK") || hop(a, "88.2").Outcome != "answered" {
				t.Errorf("%s %+v", got, a.Hops)
			}
			stopped := false
			for _, th := range a.Things {
				stopped = stopped || th.Key == "88.1/CARTON" && th.Stop == "unreachable"
			}
			if !stopped {
				t.Errorf("where it stopped is not said: %+v", a.Things)
			}
			if _, err := across.Verify(ev, []trust.PublicKey{w.root.Public()}, w.now()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLies: what a lying enterprise, or somebody between, can try.
func TestLies(t *testing.T) {
	alter := func(f func(h http.Header, b []byte) []byte) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rec := httptest.NewRecorder()
				next.ServeHTTP(rec, r)
				b := f(rec.Header(), rec.Body.Bytes())
				for k, v := range rec.Header() {
					w.Header()[k] = v
				}
				w.WriteHeader(rec.Code)
				w.Write(b)
			})
		}
	}
	// resign signs a changed answer as its owner would, with a key.
	resign := func(owner string, k func() *trust.PrivateKey, f func(b *across.Body)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(sent))
				rec := httptest.NewRecorder()
				next.ServeHTTP(rec, r)
				var b across.Body
				if err := json.Unmarshal(rec.Body.Bytes(), &b); err != nil {
					t.Error(err)
				}
				f(&b)
				out, st := across.SignForTest(k(), owner, "300:0.NA/88.1", sent, b)
				w.Header().Set(across.HeaderStatement, st)
				w.Write(out)
			})
		}
	}
	w := newWorld(t)
	farm, carrier, plant, _ := chain(w, open(w))
	plantKey := func() *trust.PrivateKey { return plant.key }
	for name, bend := range map[string]func(http.Handler) http.Handler{
		"an event changed, signed again": resign("88.3", plantKey, func(b *across.Body) {
			b.Events = bytes.Replace(b.Events, []byte("PACK-2"), []byte("PACK-9"), 1)
		}),
		"an answer changed on the way": alter(func(_ http.Header, b []byte) []byte { return bytes.Replace(b, []byte("PACK-2"), []byte("PACK-9"), 1) }),
		"no signature":                 alter(func(h http.Header, b []byte) []byte { h.Del(across.HeaderStatement); return b }),
		"someone else's key":           resign("88.3", func() *trust.PrivateKey { return carrier.key }, func(*across.Body) {}),
		"for another owner":            resign("88.2", plantKey, func(*across.Body) {}),
		"an old answer":                resign("88.3", plantKey, func(b *across.Body) { b.Nonce = "another-one" }),
		"events without hashes":        resign("88.3", plantKey, func(b *across.Body) { b.Marks = nil }),
		"a level that is none":         resign("88.3", plantKey, func(b *across.Body) { b.Marks[0].Level = share.Exists }),
		"no JSON":                      alter(func(_ http.Header, b []byte) []byte { return []byte("<html>") }),
	} {
		plant.mu.Lock()
		plant.bend = bend
		plant.mu.Unlock()
		a, ev := farm.trace(down)
		if h := hop(a, "88.3"); h.Outcome != "bogus" || h.EN == "" {
			t.Errorf("%s: %+v", name, h)
		}
		if got := keys(a); strings.Contains(got, "PACK") || a.Complete {
			t.Errorf("%s: its lies are in the answer: %s", name, got)
		}
		if _, err := across.Verify(ev, []trust.PublicKey{w.root.Public()}, w.now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// And an honest answer that was signed again as it is, is taken: the test above can fail.
	plant.bend = resign("88.3", plantKey, func(*across.Body) {})
	if a, _ := farm.trace(down); hop(a, "88.3").Outcome != "answered" || !strings.Contains(keys(a), "PACK-2") {
		t.Errorf("%+v", a.Hops)
	}
}

// TestLevels: what each level shows, and that what is not for the asker is absent.
func TestLevels(t *testing.T) {
	for level, want := range map[share.Level]string{share.Contents: "88.1/CARTON 88.2/PALLET 88.3/PACK-1 88.3/PACK-2", share.Trace: "88.1/CARTON 88.2/PALLET 88.3/PACK-1 88.3/PACK-2",
		share.Exists: "88.1/CARTON 88.2/PALLET"} {
		w := newWorld(t)
		farm, _, _, _ := chain(w, func(p string) *firm {
			if p == "88.3" {
				return w.firm(p, share.Share{To: []string{"88.1"}, Level: level})
			}
			return w.firm(p)
		})
		a, ev := farm.trace(down)
		if got := keys(a); got != want {
			t.Errorf("%s: %s", level, got)
		}
		name := level.String()
		if level == share.Contents {
			name = ""
		}
		if l := levels(a, "88.3"); len(l) != 1 || l[name] == 0 {
			t.Errorf("%s: events at levels %v", level, l)
		}
		for _, e := range a.Events {
			if e.Owner == "88.3" && (e.Step != "") != (level == share.Contents) {
				t.Errorf("%s: %+v", level, e)
			}
		}
		for _, s := range ev.Answers {
			if s.Owner == "88.3" && (bytes.Contains(s.Body, []byte("commissioning")) != (level == share.Contents) || bytes.Contains(s.Body, []byte("PACK-2")) == (level == share.Exists)) {
				t.Errorf("%s tells too much or too little: %s", level, s.Body)
			}
		}
		if _, err := across.Verify(ev, []trust.PublicKey{w.root.Public()}, w.now()); err != nil {
			t.Error(err)
		}
	}
}

// TestRefused: an enterprise that shares nothing refuses, whatever it has.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	farm, _, _, _ := chain(w, func(p string) *firm {
		if p == "88.3" {
			return w.firm(p, share.Share{To: []string{"88.4"}, Level: share.Contents})
		}
		return w.firm(p)
	})
	a, _ := farm.trace(down)
	if h := hop(a, "88.3"); h.Outcome != "refused" || a.Complete || strings.Contains(keys(a), "PACK") {
		t.Errorf("%+v %s", h, keys(a))
	}
	other := graph.Question{Things: []string{"88.3/NO-SUCH-THING"}, Up: true}
	b, _ := farm.trace(other)
	if x, y := hop(a, "88.3"), hop(b, "88.3"); x.EN != y.EN {
		t.Error("a refusal tells whether there is something:", x.EN, y.EN)
	}
}

// TestHops: an owner that answers neighbours only; an owner that answers those two hand-overs away, whom a neighbour of its own introduces.
func TestHops(t *testing.T) {
	for hops, sees := range map[int]bool{1: false, 2: true} {
		w := newWorld(t)
		_, carrier, plant, _ := chain(w, func(p string) *firm {
			if p == "88.4" {
				return w.firm(p, share.Share{To: []string{"88.*"}, Level: share.Contents, Hops: hops})
			}
			return w.firm(p)
		})
		// The plant is named in the shop's events of the packages.
		packs := graph.Question{Things: []string{"88.3/PACK-1"}, Down: true}
		if a, _ := plant.trace(packs); levels(a, "88.4")[""] == 0 {
			t.Errorf("%d: the neighbour does not see: %+v", hops, a.Hops)
		}
		// The carrier is two hand-overs away, through the plant.
		a, _ := carrier.trace(down)
		if got := levels(a, "88.4")[""] > 0; got != sees {
			t.Errorf("%d hops: the carrier sees %v: %+v %+v", hops, got, levels(a, "88.4"), a.Hops)
		}
		// Somebody whom nobody introduces is as far as can be, even when the question is put to the shop alone.
		stranger := w.firm("88.9").hand(20, "88.4", "88.9", "88.3/PACK-1").open()
		if a, _ := stranger.trace(packs); levels(a, "88.4")[""] > 0 {
			t.Errorf("%d: a stranger sees %+v", hops, a.Events)
		}
	}
}

// TestRecallOnly: shown in an open recall of the asker's own, and at no other time.
func TestRecallOnly(t *testing.T) {
	w := newWorld(t)
	farm, _, _, _ := chain(w, func(p string) *firm {
		if p == "88.3" {
			return w.firm(p, share.Share{To: []string{"88.*"}, Level: share.Contents, OnRecall: true})
		}
		return w.firm(p)
	})
	recall := func(name, state string, asking ...string) {
		w.put(name, value(1, across.TypeRecall, mustJSON(t, across.Recall{State: state, Opened: day, Asking: asking})))
	}
	recall("88.1/RECALL_A", "open")
	recall("88.1/RECALL_B", "closed")
	recall("88.2/RECALL_C", "open")
	recall("88.2/RECALL_D", "open", "88.1")
	recall("88.1/RECALL_E", "open")
	w.bare["88.1/RECALL_E"] = true
	for name, sees := range map[string]bool{"": false, "88.1/RECALL_A": true, "88.1/RECALL_B": false, "88.2/RECALL_C": false, "88.2/RECALL_D": true, "88.1/RECALL_E": false, "88.1/RECALL_NONE": false, "%": false} {
		q := down
		q.Recall = name
		a, _ := farm.trace(q)
		if got := strings.Contains(keys(a), "PACK"); got != sees {
			t.Errorf("%q: %v, %+v", name, got, a.Hops)
		}
	}
}

// TestLoops: goods that go round between two enterprises for ever are asked about once in each.
func TestLoops(t *testing.T) {
	w := newWorld(t)
	a := w.firm("88.1")
	b := w.firm("88.2")
	for h := 0; h < 20; h += 2 {
		a.hand(h, "88.2", "88.1", "88.1/CRATE").hand(h+1, "88.1", "88.2", "88.1/CRATE")
		b.hand(h, "88.2", "88.1", "88.1/CRATE").hand(h+1, "88.1", "88.2", "88.1/CRATE")
	}
	a.open()
	b.open()
	ans, _ := a.trace(graph.Question{Things: []string{"88.1/CRATE"}, Up: true, Down: true})
	if !ans.Complete || b.hits != 1 || a.hits != 0 {
		t.Errorf("complete %v, asked %d and %d times: %+v", ans.Complete, a.hits, b.hits, ans.Hops)
	}
}

// TestFanOut: more enterprises than one trace may ask.
func TestFanOut(t *testing.T) {
	w := newWorld(t)
	a := w.firm("88.1")
	for i := range 12 {
		a.hand(i, "88.1", "88.3"+string(rune('a'+i)), "88.1/CRATE")
	}
	a.limits.Owners = 5
	a.open()
	ans, _ := a.trace(graph.Question{Things: []string{"88.1/CRATE"}, Down: true})
	if len(ans.Hops) != 5 || ans.Complete {
		t.Errorf("%d hops, complete %v", len(ans.Hops), ans.Complete)
	}
	for _, h := range ans.Hops {
		if h.Outcome != "unreachable" || !strings.Contains(h.EN, "no event service") {
			t.Errorf("%+v", h)
		}
	}
}

// TestLimits: an answer larger than the asker reads, a question larger than the owner reads, an owner that stops at its limit.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	farm, _, plant, _ := chain(w, open(w))
	farm.limits.Answer = 600
	farm.reopen()
	a, _ := farm.trace(down)
	if h := hop(a, "88.2"); h.Outcome != "bogus" || !strings.Contains(h.EN, "600") {
		t.Errorf("%+v", h)
	}
	farm.limits.Answer = 0
	farm.reopen()
	plant.limits.Request = 40
	plant.reopen()
	a, _ = farm.trace(down)
	if h := hop(a, "88.3"); h.Outcome != "unreachable" || !strings.Contains(h.EN, "413") {
		t.Errorf("%+v", h)
	}
	plant.limits.Request, plant.limits.Events = 0, 1
	plant.reopen()
	a, _ = farm.trace(down)
	if h := hop(a, "88.3"); h.Outcome != "partial" || a.Complete {
		t.Errorf("%+v", h)
	}
}

// TestNoOtherWayOut: nobody is asked at an address that no signed record gave, whatever events and answers say.
func TestNoOtherWayOut(t *testing.T) {
	w := newWorld(t)
	asked := 0
	trap := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer trap.Close()
	host := strings.TrimPrefix(trap.URL, "https://")
	farm := w.firm("88.1")
	e := base(farm, 1, epcis.ObjectEvent, epcis.Observe, "shipping")
	e.EPCs = []string{"88.1/CARTON", trap.URL + "/01/09521568251204/21/1"}
	e.Destinations = []epcis.Party{{Type: "possessing_party", ID: trap.URL}, {Type: "owning_party", ID: "88.7/COMPANY"}, {Type: "location", ID: "88.8/COMPANY"}, {Type: "location", ID: "88.6/COMPANY"}}
	farm.add(e).open()
	// Records that are unsigned, that name plain HTTP, or a host with a key that the delegation does not have.
	w.put("88.7/"+across.ServiceSuffix, value(1, across.TypeService, []byte(trap.URL+"/epcis")))
	w.bare["88.7/SERVICE_EPCIS"] = true
	w.put("88.8/"+across.ServiceSuffix, value(1, across.TypeService, []byte("http://"+host+"/epcis")))
	w.put("88.6/"+across.ServiceSuffix, value(1, across.TypeService, []byte(trap.URL+"/epcis")))
	a, _ := farm.trace(graph.Question{Things: []string{"88.1/CARTON"}, Up: true, Down: true})
	for _, p := range []string{"88.6", "88.7", "88.8"} {
		if h := hop(a, p); h.Outcome != "bogus" {
			t.Errorf("%+v", h)
		}
	}
	if asked != 0 {
		t.Error("an address was asked that nobody vouches for")
	}
	for _, d := range w.dialed {
		if d != host {
			t.Error("dialed", d)
		}
	}
	if len(w.dialed) > 2 { // only 88.6's, whose key is refused before anything is said
		t.Error(w.dialed)
	}
}

// TestStrangers: requests that are unsigned, malformed, or about somebody else's events.
func TestStrangers(t *testing.T) {
	w := newWorld(t)
	f := w.firm("88.1").make(1, "88.1/CARTON").open()
	h := f.across.Handler()
	ask := func(method, path, body string) (int, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader(body)))
		return rec.Code, rec.Body.String()
	}
	whole := `{"owner":"88.1","nonce":"12345678","seeds":[{"key":"88.1/CARTON","direction":"up"}]}`
	if code, body := ask("POST", across.WalkPath, whole); code != 401 || strings.Contains(body, "CARTON") {
		t.Error(code, body)
	}
	if code, body := ask("GET", across.EventsPath+f.events[0].ID, ""); code != 401 {
		t.Error(code, body)
	}
	f.shares = []share.Share{{To: []string{"*"}, Level: share.Trace}}
	var err error
	if f.desk, err = share.New(t.Context(), share.Config{Prefix: f.prefix, Default: f.shares}); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	h = f.across.Handler()
	for body, want := range map[string]int{
		whole: 200, "": 400, "{": 400, "[]": 400, `{"owner":"88.1","nonce":"12345678","seeds":[]}`: 400, `{"owner":"88.1","nonce":"1","seeds":[{"key":"x"}]}`: 400,
		`{"owner":"88.2","nonce":"12345678","seeds":[{"key":"x"}]}`: 404, `{"owner":"88.1","nonce":"12345678","seeds":[{"key":""}]}`: 400,
		`{"owner":"88.1","nonce":"12345678","seeds":[{"key":"x","direction":"sideways"}]}`: 400, `{"owner":"88.1","nonce":"12345678","depth":-2,"seeds":[{"key":"x"}]}`: 400, strings.Repeat(" ", 9<<20): 413,
	} {
		if code, got := ask("POST", across.WalkPath, body); code != want {
			t.Errorf("%.80s: %d %s", body, code, got)
		}
	}
	if code, body := ask("GET", across.EventsPath+f.events[0].ID, ""); code != 200 || strings.Contains(body, "commissioning") || !strings.Contains(body, "CARTON") {
		t.Error(code, body)
	}
	if code, _ := ask("GET", across.EventsPath+"urn:uuid:none", ""); code != 404 {
		t.Error(code)
	}
	if code, _ := ask("PUT", across.WalkPath, whole); code != 405 {
		t.Error(code)
	}
}

// TestSource: questions of other kinds are put to everybody's events as to one's own.
func TestSource(t *testing.T) {
	w := newWorld(t)
	farm, _, _, _ := chain(w, open(w))
	src := farm.across.Source("")
	for range 2 {
		owners := map[string]bool{}
		for e, err := range src.Touching(t.Context(), "88.1/CARTON", time.Time{}, time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			owners[strings.TrimPrefix(e.ID, "urn:uuid:")[:4]] = true
		}
		if len(owners) != 3 {
			t.Error(owners)
		}
	}
	if len(src.Hops()) != 2 {
		t.Errorf("%+v", src.Hops())
	}
	about, err := farm.across.About(t.Context(), down)
	if err != nil {
		t.Fatal(err)
	}
	state, err := graph.StateAt(t.Context(), about, "88.1/CARTON", day.Add(5*time.Hour))
	if err != nil || len(state.Inside) != 1 || state.Inside[0] != "88.2/PALLET" {
		t.Errorf("%+v %v", state, err)
	}
}

// FuzzEvidence: no bundle makes Verify panic, and none that was not signed holds.
func FuzzEvidence(f *testing.F) {
	k := newKey(f)
	f.Add([]byte(`{"version":1,"answers":[{"owner":"88.1","request":"e30=","body":"e30=","statement":"e30.e30.AA"}],"certificates":{"88":["a.b.c"]}}`))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		ev, err := across.ParseEvidence(b)
		if err != nil {
			return
		}
		v, err := across.Verify(ev, []trust.PublicKey{k.Public()}, day)
		if err == nil && len(v) > 0 {
			t.Errorf("holds: %+v", v)
		}
	})
}

var _ record.Resolver = (*world)(nil)

// TestRecallSet: what came of a carton is found at whoever has it now, and each holder with its own.
func TestRecallSet(t *testing.T) {
	w := newWorld(t)
	farm, carrier, _, shop := chain(w, func(p string) *firm {
		f := w.firm(p)
		if p == "88.3" { // one package stays
			f.cut(13, []string{"88.1/CARTON-X"}, []string{"88.3/PACK-X"})
		}
		return f
	})
	f, err := farm.across.RecallSet(t.Context(), graph.RecallQuestion{Things: []string{"88.1/CARTON"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var at []string
	for _, x := range f.Holders["88.4"] {
		at = append(at, x.Key)
	}
	if strings.Join(at, " ") != "88.3/PACK-1 88.3/PACK-2" || !f.Complete || len(f.Holders) != 1 {
		t.Errorf("%v %+v", at, f)
	}
	if _, err := farm.across.Post(t.Context(), "88.4", "/trace/notices", []byte("{}")); !problem.Is(err, problem.Unreachable) || !strings.Contains(err.Error(), "405") {
		t.Error(err)
	}
	if _, err := farm.across.Post(t.Context(), "88.77", "/trace/notices", []byte("{}")); !problem.Is(err, problem.Unreachable) {
		t.Error(err)
	}
	if _, err := farm.across.Post(t.Context(), "https://x", "/trace/notices", []byte("{}")); !problem.Is(err, problem.BadValue) {
		t.Error(err)
	}
	// Both directions at once, and the question that ends by time.
	a, _ := carrier.trace(graph.Question{Things: []string{"88.1/CARTON"}})
	if !strings.Contains(keys(a), "PACK-1") {
		t.Error(keys(a))
	}
	shop.bend = func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	}
	q := down
	q.Timeout = 400 * time.Millisecond
	if a, _ = farm.trace(q); a.Complete || !strings.Contains(keys(a), "PACK-1") || hop(a, "88.4").Outcome != "unreachable" {
		t.Errorf("%+v", a.Hops)
	}
}

// FuzzWalk: no question makes the answering side fail otherwise than by saying no.
func FuzzWalk(f *testing.F) {
	w := newWorld(f)
	x := w.firm("88.1", share.Share{To: []string{"*"}, Level: share.Contents}).make(1, "88.1/CARTON").pack(2, "88.1/PALLET", "88.1/CARTON").open()
	h := x.across.Handler()
	f.Add(`{"owner":"88.1","nonce":"12345678","seeds":[{"key":"88.1/CARTON","direction":"up"},{"key":"88.1/PALLET","carrier":true,"direction":"down"}],"via":["a.b.c"],"recall":"88.1/RECALL_X"}`)
	f.Add(`{"owner":"88.1","nonce":"12345678","depth":1,"limit":1,"fanOut":1,"from":"2026-10-08T06:00:00Z","seeds":[{"key":"88.1/carton","depth":3}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("POST", across.WalkPath, strings.NewReader(body)))
		if rec.Code >= 500 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		if rec.Code == 200 && rec.Header().Get(across.HeaderStatement) == "" {
			t.Error("an answer without a signature")
		}
	})
}
