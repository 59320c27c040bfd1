package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
)

// sabotage spoils the event n of a list: its action is none.
func sabotage(events []string, n int) {
	events[n] = strings.Replace(events[n], `"action":"OBSERVE",`, `"action":"OBSERVED",`, 1)
}

func (s *site) count(t *testing.T) int {
	t.Helper()
	n, err := s.events.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// job captures a document and returns its job.
func (s *site) job(t *testing.T, body string, head ...string) (j Job) {
	t.Helper()
	a := ask(t, s, "POST", "/epcis/capture", body, head...)
	if a.StatusCode != 202 {
		t.Fatalf("capture: %d %s", a.StatusCode, a.body)
	}
	a = ask(t, s, "GET", a.Header.Get("Location"), "", head...)
	a.json(t, &j)
	return j
}

// TestFaults: of a document with bad events, rollback captures none and says where they are; proceed captures the others and says it in the job.
func TestFaults(t *testing.T) {
	s := open(t, nil)
	events := many(0, 30, "shipping")
	for _, n := range []int{3, 17, 29} {
		sabotage(events, n)
	}
	a := ask(t, s, "POST", "/epcis/capture", documentJSON(events...))
	var d details
	a.json(t, &d)
	if a.StatusCode != 400 || d.Type != "epcisException:ValidationException" || s.count(t) != 0 {
		t.Fatalf("rollback: %d, %d events: %s", a.StatusCode, s.count(t), a.body)
	}
	places := func(list []place) (out []int) {
		for _, p := range list {
			if p.Event == nil || p.Path == "" || p.Rule == "" || p.Detail == "" {
				t.Errorf("a fault without its place: %+v", p)
			} else if !slices.Contains(out, *p.Event) {
				out = append(out, *p.Event)
			}
		}
		return out
	}
	if got := places(d.Errors); !slices.Equal(got, []int{3, 17, 29}) {
		t.Errorf("rollback: faults at %v: %s", got, a.body)
	}
	j := s.job(t, documentJSON(events...), "GS1-Capture-Error-Behaviour", "proceed")
	if j.Success || j.Running || j.Captured != 27 || j.Refused != 3 || j.Total != 30 || j.Done != 30 || j.Finished == nil || j.Behaviour != Proceed || s.count(t) != 27 {
		t.Errorf("proceed: %+v", j)
	}
	if got := places(j.Errors); !slices.Equal(got, []int{3, 17, 29}) {
		t.Errorf("proceed: faults at %v", got)
	}
	// Once more: nothing new.
	if j := s.job(t, documentJSON(events...), "GS1-Capture-Error-Behaviour", "proceed"); j.Captured != 0 || j.Duplicates != 27 || s.count(t) != 27 {
		t.Errorf("again: %+v", j)
	}
}

// TestConflict: an event whose name another one has is refused; with rollback all of its document.
func TestConflict(t *testing.T) {
	s := open(t, nil)
	named := func(n int, step string) string {
		return strings.Replace(eventJSON(n, step), `{"type"`, fmt.Sprintf(`{"eventID":"urn:uuid:00000000-0000-4000-8000-%012d","type"`, n), 1)
	}
	s.put(t, named(1, "shipping"))
	events := []string{named(0, "shipping"), named(1, "receiving"), named(2, "shipping")}
	j := s.job(t, documentJSON(events...))
	if j.Success || j.Captured != 0 || j.Refused != 3 || len(j.Errors) == 0 || j.Errors[0].Status != 409 || j.Errors[0].Event == nil || *j.Errors[0].Event != 1 || s.count(t) != 1 {
		t.Errorf("rollback: %+v", j)
	}
	j = s.job(t, documentJSON(events...), "GS1-Capture-Error-Behaviour", "proceed")
	if j.Success || j.Captured != 2 || j.Refused != 1 || len(j.Errors) != 1 || j.Errors[0].Status != 409 || *j.Errors[0].Event != 1 ||
		!strings.HasSuffix(j.Errors[0].ID, "1") || j.Errors[0].ZH == "" || s.count(t) != 3 {
		t.Errorf("proceed: %+v", j)
	}
}

// TestForms: a document, a query document, a list in a query document, one event, packed or not, are all captured.
func TestForms(t *testing.T) {
	s := open(t, nil)
	event := eventJSON(0, "shipping")
	queryDocument := `{"@context":["https://ref.gs1.org/standards/epcis/epcis-context.jsonld"],"type":"EPCISQueryDocument","schemaVersion":"2.0","creationDate":"2026-03-01T00:00:00Z",` +
		`"epcisBody":{"queryResults":{"queryName":"SimpleEventQuery","resultsBody":{"eventList":[` + event + `]}}}}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(documentJSON(event)))
	z.Close()
	for _, row := range []struct {
		body string
		head []string
	}{
		{documentJSON(event), nil}, {queryDocument, nil}, {event, nil}, {packed.String(), []string{"Content-Encoding", "gzip"}},
		{documentJSON(event), []string{"Content-Type", "application/ld+json; charset=utf-8"}}, {"\xef\xbb\xbf" + event, nil},
	} {
		if j := s.job(t, row.body, row.head...); !j.Success || j.Total != 1 {
			t.Errorf("%.60s: %+v", row.body, j)
		}
	}
	if n := s.count(t); n != 1 {
		t.Errorf("one event, captured in six forms, is %d", n)
	}
}

// TestJobsBelong: a job is there for who made it, and for an administrator.
func TestJobsBelong(t *testing.T) {
	s := open(t, nil)
	a := ask(t, s, "POST", "/epcis/capture", documentJSON(eventJSON(1, "shipping")), "Test-Caller", "88.1/a")
	at := a.Header.Get("Location")
	for who, want := range map[string]int{"88.1/a": 200, "88.1/b": 404, "nobody": 404, "operator": 200} {
		if a := ask(t, s, "GET", at, "", "Test-Caller", who); a.StatusCode != want {
			t.Errorf("%s: %d", who, a.StatusCode)
		}
		var list []Job
		ask(t, s, "GET", "/epcis/capture", "", "Test-Caller", who).json(t, &list)
		if (len(list) == 1) != (want == 200) {
			t.Errorf("%s sees %d jobs", who, len(list))
		}
	}
	for n := range 7 {
		ask(t, s, "POST", "/epcis/capture", documentJSON(eventJSON(n, "packing")), "Test-Caller", "88.1/c")
	}
	seen := 0
	for next := "/epcis/capture?perPage=3"; next != ""; {
		a := ask(t, s, "GET", next, "", "Test-Caller", "88.1/c")
		var list []Job
		a.json(t, &list)
		seen += len(list)
		next = nextLink(a.Header.Values("Link"))
	}
	if seen != 7 {
		t.Errorf("pages show %d of 7 jobs", seen)
	}
}

// slow is a history that lets a capture go on when it is told.
type slow struct {
	*ledger
	mu   sync.Mutex
	hold func(n int) error // called before each batch
	n    int
}

func (l *slow) CaptureEach(ctx context.Context, by history.Ref, events []epcis.Event) ([]history.Captured, error) {
	l.mu.Lock()
	n, hold := l.n, l.hold
	l.n++
	l.mu.Unlock()
	if hold != nil {
		if err := hold(n); err != nil {
			return nil, err
		}
	}
	return l.ledger.CaptureEach(ctx, by, events)
}

// TestLongJob: a large document is captured behind the answer, shows how far it is, and is taken up again after a stop in the middle, with nothing lost and
// nothing doubled.
func TestLongJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := &slow{ledger: newLedger(time.Now)}
		st := memory.New()
		defer st.Close()
		make_ := func() *Server {
			s, err := New(Config{Events: back, Store: st, Secret: make([]byte, 16), Identify: identify, Limits: Limits{Immediate: 10, Chunk: 20}})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := make_()
		events := many(0, 100, "shipping")
		sabotage(events, 45)
		a := ask(t, s.Handler(), "POST", "/epcis/capture", documentJSON(events...), "GS1-Capture-Error-Behaviour", "proceed")
		at := a.Header.Get("Location")
		look := func(s *Server) (j Job) {
			ask(t, s.Handler(), "GET", at, "").json(t, &j)
			return j
		}
		if j := look(s); !j.Running || j.Total != 100 || j.Done != 0 || j.Finished != nil {
			t.Errorf("before: %+v", j)
		}
		// It stops in the middle.
		ctx, stop := context.WithCancel(t.Context())
		back.hold = func(n int) error {
			if n == 3 {
				stop()
				return context.Canceled
			}
			return nil
		}
		if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		if j := look(s); !j.Running || j.Success || j.Done < 40 || j.Captured < 40 {
			t.Errorf("in the middle: %+v", j)
		}
		// And goes on in another process, whose store fails twice.
		back.mu.Lock()
		failed := 0
		back.hold = func(int) error {
			if failed++; failed <= 2 {
				return []error{store.ErrUncertain, problem.New(problem.Busy, "busy", "繁忙")}[failed-1]
			}
			return nil
		}
		back.mu.Unlock()
		s = make_()
		ctx, stop = context.WithCancel(t.Context())
		defer stop()
		go s.Run(ctx)
		time.Sleep(time.Minute)
		j := look(s)
		if j.Running || j.Success || j.Done != 100 || j.Captured+j.Duplicates != 99 || j.Refused != 1 || len(j.Errors) != 1 || *j.Errors[0].Event != 45 {
			t.Errorf("after: %+v", j)
		}
		if n, _ := back.Last(ctx); n != 99 {
			t.Errorf("%d events", n)
		}
		left := 0
		jobParts.Range(ctx, st, all, func(jobPart) error { left++; return nil })
		if left != 0 {
			t.Errorf("%d parts of a finished job are left", left)
		}
		time.Sleep(32 * 24 * time.Hour)
		if a := ask(t, s.Handler(), "GET", at, ""); a.StatusCode != 404 {
			t.Errorf("an old job is not forgotten: %d", a.StatusCode)
		}
		stop()
		synctest.Wait()
	})
}

// TestTooManyJobs: who cannot be served soon is told so.
func TestTooManyJobs(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.Immediate, c.Limits.Jobs = 1, 2 })
	for n := range 3 {
		a := ask(t, s, "POST", "/epcis/capture", documentJSON(many(10*n, 10*n+2, "shipping")...))
		if want := []int{202, 202, 503}[n]; a.StatusCode != want {
			t.Errorf("capture %d: %d", n, a.StatusCode)
		}
	}
}

// TestFullStore: a capture that finds no room fails, and says so; what was there stays.
func TestFullStore(t *testing.T) {
	back := newLedger(func() time.Time { return start })
	s := open(t, func(c *Config) { c.Events = back })
	s.put(t, eventJSON(1, "shipping"))
	back.fail = func() error { return store.ErrFull }
	j := s.job(t, documentJSON(many(2, 5, "shipping")...))
	if j.Success || j.Refused != 3 || j.Captured != 0 || len(j.Errors) != 1 {
		t.Errorf("%+v", j)
	}
	if a := ask(t, s, "POST", "/epcis/events", eventJSON(9, "shipping")); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("one event: %d", a.StatusCode)
	}
}
