package rest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(judged{m}) }

// ledger is a history in a slice, to see the interface by itself.
type ledger struct {
	now func() time.Time

	mu   sync.Mutex
	list []history.Recorded
	wake chan struct{}
	fail func() error // an error of the store to come
}

func newLedger(now func() time.Time) *ledger { return &ledger{now: now, wake: make(chan struct{})} }

func (l *ledger) trouble() error {
	if l.fail != nil {
		return l.fail()
	}
	return nil
}

func (l *ledger) capture(by history.Ref, events []epcis.Event, each bool) ([]history.Captured, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.trouble(); err != nil {
		return nil, err
	}
	var out []history.Captured
	list := l.list
	for i := range events {
		e := events[i]
		got := history.Captured{Hash: epcis.Hash(&e)}
		got.ID = cmp.Or(e.ID, got.Hash)
		for _, r := range list {
			if r.Event.ID == got.ID {
				if got.Duplicate, got.Sequence = r.Hash == got.Hash, r.Sequence; !got.Duplicate && e.Error == nil {
					got.Err = problem.New(problem.Exists, "another event is called %s", "另一事件已名为 %s", got.ID)
				}
			}
		}
		if got.Err != nil && !each {
			return nil, got.Err
		}
		if got.Err == nil && !got.Duplicate {
			e.ID, e.RecordTime = got.ID, l.now().UTC().Truncate(time.Millisecond)
			got.Sequence = uint64(len(list) + 1)
			list = append(list, history.Recorded{Sequence: got.Sequence, Event: &e, Hash: got.Hash, By: by})
			events[i] = e
		}
		out = append(out, got)
	}
	l.list = list
	close(l.wake)
	l.wake = make(chan struct{})
	return out, nil
}

func (l *ledger) Capture(_ context.Context, by history.Ref, events []epcis.Event) ([]history.Captured, error) {
	return l.capture(by, events, false)
}

func (l *ledger) CaptureEach(_ context.Context, by history.Ref, events []epcis.Event) ([]history.Captured, error) {
	return l.capture(by, events, true)
}

func (l *ledger) all() []history.Recorded {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list
}

func (l *ledger) Event(_ context.Context, id string) (*epcis.Event, error) {
	for _, r := range l.all() {
		if r.Event.ID == id || r.Hash == id {
			return r.Event, nil
		}
	}
	return nil, problem.New(problem.NotFound, "no event %s", "没有事件 %s", id)
}

func (l *ledger) Versions(_ context.Context, id string) (out []history.Recorded, err error) {
	for _, r := range l.all() {
		if r.Event.ID == id {
			out = append(out, r)
		}
	}
	return out, nil
}

func (l *ledger) Query(_ context.Context, q *query.Query, cursor string, limit int) (p history.Page, err error) {
	after, _ := strconv.Atoi(cursor)
	for i, r := range l.all() {
		if i < after || !q.Match(r.Event) {
			continue
		}
		if len(p.Events) == limit {
			p.Next = strconv.Itoa(i)
			break
		}
		e := *r.Event
		p.Events = append(p.Events, &e)
	}
	return p, nil
}

func (l *ledger) Values(_ context.Context, kind history.ValueKind, after string, limit int) ([]string, string, error) {
	seen := map[string]bool{}
	for _, r := range l.all() {
		e := r.Event
		switch kind {
		case history.EventTypes:
			seen[string(e.Type)] = true
		case history.EPCs:
			for _, s := range e.Names() {
				seen[epcis.Key(s)] = true
			}
		case history.BizSteps:
			seen[e.BizStep] = true
		case history.Dispositions:
			seen[e.Disposition] = true
		case history.ReadPoints:
			if e.ReadPoint != nil {
				seen[epcis.Key(e.ReadPoint.ID)] = true
			}
		case history.BizLocations:
			if e.BizLocation != nil {
				seen[epcis.Key(e.BizLocation.ID)] = true
			}
		}
	}
	var out []string
	for s := range seen {
		if s > after && s != "" {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	if len(out) > limit {
		return out[:limit], out[limit-1], nil
	}
	return out, "", nil
}

func (l *ledger) After(_ context.Context, sequence uint64, limit int) ([]history.Recorded, error) {
	list := l.all()
	list = list[min(int(sequence), len(list)):]
	return slices.Clone(list[:min(limit, len(list))]), nil
}

func (l *ledger) Last(context.Context) (uint64, error) { return uint64(len(l.all())), nil }

func (l *ledger) Wait(ctx context.Context, sequence uint64) error {
	for {
		l.mu.Lock()
		n, wake := len(l.list), l.wake
		l.mu.Unlock()
		if uint64(n) > sequence {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

// Things of the tests.
const (
	sgtin    = "https://id.gs1.org/01/09524000000004/21/"
	location = "https://id.gs1.org/414/9524000000004"
	oursName = "88.118.1001/ENG-42"
)

// eventJSON is an event as JSON; n tells it from others.
func eventJSON(n int, step string) string {
	return fmt.Sprintf(`{"type":"ObjectEvent","action":"OBSERVE","eventTime":"2026-03-01T08:%02d:%02d.000+08:00","eventTimeZoneOffset":"+08:00","epcList":["%s%d"],"bizStep":"%s",`+
		`"disposition":"in_progress","readPoint":{"id":"%s"},"bizLocation":{"id":"%s"}}`, n/60%60, n%60, sgtin, n, step, location, location)
}

// documentJSON is a document of events.
func documentJSON(events ...string) string {
	list := ""
	for i, e := range events {
		if i > 0 {
			list += ","
		}
		list += e
	}
	return `{"@context":["https://ref.gs1.org/standards/epcis/epcis-context.jsonld"],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-03-01T00:00:00.000Z",` +
		`"epcisBody":{"eventList":[` + list + `]}}`
}

func many(from, to int, step string) []string {
	var out []string
	for n := from; n < to; n++ {
		out = append(out, eventJSON(n, step))
	}
	return out
}
