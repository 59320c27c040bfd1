package history_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
)

func open(t testing.TB, s store.Store, rules ...history.Rule) *history.History {
	t.Helper()
	h, err := history.Open(t.Context(), history.Config{Store: s, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(t testing.TB, v url.Values) *query.Query {
	t.Helper()
	q, err := query.ParseURL(v)
	if err != nil {
		t.Fatal(v, err)
	}
	return q
}

func TestOpenRefuses(t *testing.T) {
	for _, cfg := range []history.Config{{}, {Store: memory.New(), Space: "a b"}, {Store: memory.New(), Rules: []history.Rule{{Name: "now"}}}} {
		if _, err := history.Open(t.Context(), cfg); !problem.Is(err, problem.BadRequest) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// Two spaces of one store know nothing of each other.
func TestSpaces(t *testing.T) {
	s := memory.New()
	a, err := history.Open(t.Context(), history.Config{Store: s, Space: "a"})
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, s)
	got, err := a.Capture(t.Context(), record.Ref{Index: 1, Name: "x"}, []epcis.Event{plainEvent(0)})
	if err != nil || got[0].Sequence != 1 {
		t.Fatal(got, err)
	}
	if n, err := b.Last(t.Context()); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := b.Event(t.Context(), got[0].ID); !problem.Is(err, problem.NotFound) {
		t.Fatal(err)
	}
	feed, err := a.After(t.Context(), 0, 0)
	if err != nil || len(feed) != 1 {
		t.Fatal(feed, err)
	}
	var by record.Ref = feed[0].By
	if by != (record.Ref{Index: 1, Name: "x"}) {
		t.Fatal(by)
	}
}

// An event is declared wrong, its correction comes, and that is declared wrong and corrected too.
func TestCorrectedCorrection(t *testing.T) {
	ctx := t.Context()
	h := open(t, memory.New())
	event := func(id, place string) epcis.Event {
		e := plainEvent(1)
		e.ID, e.BizLocation = id, &epcis.Location{ID: place}
		return e
	}
	wrong := func(e epcis.Event, correction string) epcis.Event {
		e.Error = &epcis.ErrorDeclaration{Time: e.Time.Add(time.Hour), Reason: "incorrect_data", Corrections: []string{correction}}
		return e
	}
	first, second, third := event("urn:1", "urn:place:a"), event("urn:2", "urn:place:b"), event("urn:3", "urn:place:c")
	for i, step := range []struct {
		events   []epcis.Event
		corrects uint64
	}{{[]epcis.Event{first}, 0}, {[]epcis.Event{wrong(first, "urn:2"), second}, 1}, {[]epcis.Event{wrong(second, "urn:3"), third}, 3}} {
		got, err := h.Capture(ctx, history.Ref{}, step.events)
		if err != nil || got[0].Corrects != step.corrects {
			t.Fatal(i, got, err)
		}
	}
	var seen []string
	for e, err := range h.Touching(ctx, epcis.Key(first.EPCs[0]), time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, fmt.Sprint(e.ID, " wrong: ", e.Error != nil))
	}
	if want := []string{"urn:1 wrong: true", "urn:2 wrong: true", "urn:3 wrong: false"}; !slices.Equal(seen, want) {
		t.Fatalf("touching: %v, want %v", seen, want)
	}
	for id, n := range map[string]int{"urn:1": 2, "urn:2": 2, "urn:3": 1} {
		versions, err := h.Versions(ctx, id)
		if err != nil || len(versions) != n {
			t.Fatal(id, versions, err)
		}
		e, err := h.Event(ctx, id)
		if err != nil || (e.Error != nil) != (n == 2) {
			t.Fatal(id, e, err)
		}
	}
	page, err := h.Query(ctx, ask(t, url.Values{}), "", 0)
	if err != nil || len(page.Events) != 5 {
		t.Fatal(len(page.Events), err)
	}
	// The same declaration again is no news.
	got, err := h.Capture(ctx, history.Ref{}, []epcis.Event{wrong(first, "urn:2")})
	if err != nil || !got[0].Duplicate || got[0].Sequence != 2 {
		t.Fatal(got, err)
	}
}

func TestCursors(t *testing.T) {
	ctx := t.Context()
	s := memory.New()
	h := open(t, s)
	var events []epcis.Event
	for i := range 50 {
		events = append(events, plainEvent(i))
	}
	if _, err := h.Capture(ctx, history.Ref{}, events); err != nil {
		t.Fatal(err)
	}
	q := ask(t, url.Values{"eventType": {"ObjectEvent"}})
	page, err := h.Query(ctx, q, "", 5)
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	again, err := open(t, s).Query(ctx, q, page.Next, 5) // a cursor outlives the process
	if err != nil || len(again.Events) != 5 || again.Sequences[0] != 6 {
		t.Fatal(again.Sequences, err)
	}
	other := open(t, memory.New())
	if _, err := other.Query(ctx, q, page.Next, 5); !problem.Is(err, problem.BadRequest) {
		t.Fatalf("a cursor of another history: %v", err)
	}
	if _, err := h.Query(ctx, ask(t, url.Values{"eventType": {"AggregationEvent"}}), page.Next, 5); !problem.Is(err, problem.BadRequest) {
		t.Fatalf("a cursor of another query: %v", err)
	}
	for i := range page.Next {
		b := []byte(page.Next)
		if b[i]++; string(b) == page.Next || i == len(b)-1 {
			continue
		}
		if got, err := h.Query(ctx, q, string(b), 5); !problem.Is(err, problem.BadRequest) {
			t.Fatalf("a cursor with another byte %d: %v, %v", i, got.Sequences, err)
		}
	}
	for _, text := range []string{"x", strings.Repeat("A", 1000), "!", page.Next[:20]} {
		if _, err := h.Query(ctx, q, text, 5); !problem.Is(err, problem.BadRequest) {
			t.Fatal(text, err)
		}
	}
	if _, err := h.Query(ctx, ask(t, url.Values{"maxEventCount": {"49"}}), "", 5); !problem.Is(err, problem.TooLarge) {
		t.Fatal(err)
	}
	if page, err := h.Query(ctx, ask(t, url.Values{"maxEventCount": {"50"}}), "", 5); err != nil || len(page.Events) != 5 || page.Next == "" {
		t.Fatal(page, err)
	}
}

// Many capture at once, through two histories of one store as two processes would: nothing is lost or doubled, and the numbers have no gaps.
func TestTogether(t *testing.T) {
	for _, eng := range engines(t) {
		t.Run(eng.name, func(t *testing.T) {
			ctx := t.Context()
			s := eng.open(t)
			defer s.Close()
			two := []*history.History{open(t, s), open(t, s)}
			const writers, calls, each = 8, 12, 7
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(w), 1))
					for c := range calls {
						var events []epcis.Event
						for i := range each {
							events = append(events, plainEvent((w/2*calls+c)*each+i)) // every event by two writers
						}
						if _, err := two[rnd.IntN(2)].Capture(ctx, history.Ref{}, events); err != nil {
							t.Error(err)
						}
					}
				})
			}
			// One follows meanwhile.
			var followed []uint64
			for want := uint64(writers / 2 * calls * each); uint64(len(followed)) < want; {
				after := uint64(len(followed))
				if err := two[0].Wait(ctx, after); err != nil {
					t.Fatal(err)
				}
				some, err := two[0].After(ctx, after, 50)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range some {
					followed = append(followed, r.Sequence)
				}
			}
			wg.Wait()
			for i, n := range followed {
				if n != uint64(i+1) {
					t.Fatalf("event %d follows %d", n, i)
				}
			}
			if n, err := two[1].Count(ctx); err != nil || n != uint64(len(followed)) {
				t.Fatal(n, err)
			}
			ids := map[string]bool{}
			if err := two[1].Each(ctx, func(r history.Recorded) error { ids[r.Event.ID] = true; return nil }); err != nil || len(ids) != len(followed) {
				t.Fatal(len(ids), err)
			}
		})
	}
}

// While one capture waits for the disk, others wait behind it; one that is called off is not written, and the rest goes on together.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		h := open(t, s)
		release := s.Faults().Stall()
		var wg sync.WaitGroup
		errs := make([]error, 6)
		ctxs := make([]context.Context, len(errs))
		cancels := make([]func(), len(errs))
		for i := range errs {
			ctxs[i], cancels[i] = context.WithCancel(t.Context())
			wg.Go(func() {
				_, errs[i] = h.Capture(ctxs[i], history.Ref{}, []epcis.Event{plainEvent(i)})
			})
			synctest.Wait()
		}
		cancels[1]()
		cancels[3]()
		synctest.Wait()
		writes := s.Faults().Writes()
		release()
		wg.Wait()
		for i, err := range errs {
			if (i == 1 || i == 3) != (err != nil) || err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("capture %d: %v", i, err)
			}
			cancels[i]()
		}
		if n, err := h.Last(t.Context()); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		if n := s.Faults().Writes() - writes; n != 2 {
			t.Fatalf("%d writes, not one and one for those that waited", n)
		}
		// The leader itself is called off: those behind it go on.
		release = s.Faults().Stall()
		for i := range errs {
			ctxs[i], cancels[i] = context.WithCancel(t.Context())
			wg.Go(func() {
				_, errs[i] = h.Capture(ctxs[i], history.Ref{}, []epcis.Event{plainEvent(100 + i)})
			})
			synctest.Wait()
		}
		cancels[0]()
		synctest.Wait()
		release()
		wg.Wait()
		for i, err := range errs {
			if (i == 0) != (err != nil) {
				t.Errorf("capture %d: %v", i, err)
			}
			cancels[i]()
		}
		_ = s.Close()
	})
}

// A store that refuses, fills up or leaves a write in doubt: what Capture says is true, and the next one finds its way.
func TestFaults(t *testing.T) {
	ctx := t.Context()
	s := memory.New()
	h := open(t, s)
	events := func(n int) (out []epcis.Event) {
		for i := range 3 {
			out = append(out, plainEvent(3*n+i))
		}
		return out
	}
	s.Faults().Full(true)
	if _, err := h.Capture(ctx, history.Ref{}, events(0)); !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
	s.Faults().Full(false)
	s.Faults().Doubt(true)
	if _, err := h.Capture(ctx, history.Ref{}, events(1)); !errors.Is(err, store.ErrUncertain) {
		t.Fatal(err)
	}
	got, err := h.Capture(ctx, history.Ref{}, events(1))
	if err != nil || !got[0].Duplicate || got[2].Sequence != 3 {
		t.Fatal(got, err)
	}
	s.Faults().Doubt(false)
	if _, err := h.Capture(ctx, history.Ref{}, events(2)); !errors.Is(err, store.ErrUncertain) {
		t.Fatal(err)
	}
	if got, err = h.Capture(ctx, history.Ref{}, events(2)); err != nil || got[0].Duplicate || got[0].Sequence != 4 {
		t.Fatal(got, err)
	}
	s.Faults().Refuse(store.ErrConflict)
	if got, err = h.Capture(ctx, history.Ref{}, events(3)); err != nil || got[0].Sequence != 7 {
		t.Fatal(got, err)
	}
}

func TestVocabulary(t *testing.T) {
	ctx := t.Context()
	h := open(t, memory.New())
	const kind = "urn:epcglobal:epcis:vtype:BusinessLocation"
	text := func(s string) epcis.Value { return epcis.Value{Kind: epcis.Text, Text: s} }
	list := []epcis.Vocabulary{{Type: kind, Elements: []epcis.VocabularyElement{
		{ID: "urn:site", Attributes: []epcis.VocabularyAttribute{{ID: "name", Value: text("Site")}}, Children: []string{"urn:hall:1", "urn:hall:2"}},
		{ID: "urn:hall:1", Children: []string{"urn:dock", "urn:site"}}, // a loop
		{ID: "urn:hall:2"},
	}}, {Type: "urn:other", Elements: []epcis.VocabularyElement{{ID: "urn:site"}}}}
	if err := h.PutVocabulary(ctx, record.Ref{Index: 300, Name: "88.118.1001/A"}, list); err != nil {
		t.Fatal(err)
	}
	got, err := h.Vocabulary(ctx, "urn:site")
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[0].VocabularyElement, list[0].Elements[0]) || got[0].By.Index != 300 {
		t.Fatal(got, err)
	}
	below, err := h.Descendants(ctx, "urn:site")
	slices.Sort(below)
	if want := []string{"urn:dock", "urn:hall:1", "urn:hall:2", "urn:site"}; err != nil || !slices.Equal(below, want) {
		t.Fatal(below, err)
	}
	// What is put anew takes the place of the old.
	list[0].Elements = []epcis.VocabularyElement{{ID: "urn:site", Children: []string{"urn:hall:2"}}}
	if err := h.PutVocabulary(ctx, history.Ref{}, list[:1]); err != nil {
		t.Fatal(err)
	}
	if below, err = h.Descendants(ctx, "urn:site"); err != nil || len(below) != 2 {
		t.Fatal(below, err)
	}
	var ids []string
	for next := ""; ; {
		var page []history.Master
		if page, next, err = h.VocabularyOf(ctx, kind, next, 2); err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			ids = append(ids, m.ID)
		}
		if next == "" {
			break
		}
	}
	if want := []string{"urn:hall:1", "urn:hall:2", "urn:site"}; !slices.Equal(ids, want) {
		t.Fatal(ids)
	}
	types, _, err := h.Values(ctx, history.Vocabularies, "", 0)
	if err != nil || !slices.Equal(types, []string{kind, "urn:other"}) {
		t.Fatal(types, err)
	}
}

func TestTooLarge(t *testing.T) {
	ctx := t.Context()
	h := open(t, memory.New())
	big := plainEvent(0)
	big.ILMD = []epcis.Field{{Space: "https://example.com/", Name: "x", Prefix: "ex", Value: epcis.Value{Kind: epcis.Text, Text: strings.Repeat("x", store.MaxValue)}}}
	if _, err := h.Capture(ctx, history.Ref{}, []epcis.Event{big, plainEvent(1)}); !problem.Is(err, problem.TooLarge) {
		t.Fatal(err)
	}
	got, err := h.CaptureEach(ctx, history.Ref{}, []epcis.Event{big, plainEvent(1)})
	if err != nil || !problem.Is(got[0].Err, problem.TooLarge) || got[1].Err != nil || got[1].Sequence != 1 {
		t.Fatal(got, err)
	}
	// Words that are longer than keys keep.
	long := "urn:example:" + strings.Repeat("long", 300)
	e := plainEvent(2)
	e.EPCs, e.BizStep, e.BizLocation = []string{long + "1", long + "2"}, long+"step", &epcis.Location{ID: long + "place"}
	if _, err := h.Capture(ctx, history.Ref{}, []epcis.Event{e}); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[history.ValueKind]string{history.EPCs: long + "2", history.BizSteps: long + "step", history.BizLocations: long + "place"} {
		got, _, err := h.Values(ctx, kind, "", 0)
		if err != nil || !slices.Contains(got, want) {
			t.Fatalf("%s: %.100q, %v", kind, got, err)
		}
	}
	n := 0
	for _, err := range h.Touching(ctx, long+"1", time.Time{}, time.Time{}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	page, err := h.Query(ctx, ask(t, url.Values{"EQ_bizStep": {long + "step"}}), "", 0)
	if n != 1 || err != nil || len(page.Events) != 1 {
		t.Fatal(n, len(page.Events), err)
	}
	if _, _, err := h.Values(ctx, "colours", "", 0); !problem.Is(err, problem.Unsupported) {
		t.Fatal(err)
	}
}

func TestExplain(t *testing.T) {
	ctx := t.Context()
	h := open(t, memory.New())
	for n := range 4 {
		var events []epcis.Event
		for i := range 1000 {
			events = append(events, plainEvent(1000*n+i))
		}
		if _, err := h.Capture(ctx, history.Ref{}, events); err != nil {
			t.Fatal(err)
		}
	}
	at := func(n int) string { return plainEvent(n).Time.Format(time.RFC3339Nano) }
	for _, c := range []struct {
		v      url.Values
		index  string
		direct bool
		read   int // at most
	}{
		{url.Values{}, "recordTime", true, 31},
		{url.Values{"MATCH_anyEPC": {plainEvent(7).EPCs[0]}}, "thing", false, 2},
		{url.Values{"EQ_bizStep": {"packing"}}, "bizStep", true, 31},
		{url.Values{"EQ_bizStep": {"nothing"}}, "bizStep", true, 0},
		{url.Values{"EQ_bizStep": {"packing"}, "GE_eventTime": {at(100)}, "LT_eventTime": {at(130)}}, "eventTime", false, 31},
		{url.Values{"orderBy": {"eventTime"}}, "eventTime", true, 31},
		{url.Values{"EQ_eventID": {"urn:nothing"}}, "eventID", false, 0},
	} {
		x, err := h.Explain(ctx, ask(t, c.v))
		if err != nil || x.Index != c.index || x.Direct != c.direct || x.Read > c.read {
			t.Errorf("%v: %+v, %v", c.v, x, err)
		}
		if x.EN == "" || x.ZH == "" {
			t.Errorf("%v: says nothing", c.v)
		}
	}
}
