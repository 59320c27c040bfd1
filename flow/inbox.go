package flow

import (
	"context"
	"strings"
	"time"

	"github.com/fujie-id/fujie/store"
)

func ofRun(name string) store.Span {
	return store.Span{From: append([]byte(name), 0), To: append([]byte(name), 1)}
}

// After gives the journal's lines behind a number, oldest first, limit at most (0: 1,000).
func (e *Engine) After(ctx context.Context, seq uint64, limit int) (out []Entry, err error) {
	if limit <= 0 {
		limit = 1000
	}
	err = journal.Range(ctx, e.cfg.Store, store.Span{From: big(seq + 1)}, func(x Entry) error {
		if out = append(out, x); len(out) == limit {
			return store.Stop
		}
		return nil
	})
	return out, err
}

// Last is the number of the journal's newest line.
func (e *Engine) Last(ctx context.Context) (n uint64, err error) {
	err = journal.Range(ctx, e.cfg.Store, store.Span{Reverse: true}, func(x Entry) error { n = x.Seq; return store.Stop })
	return n, err
}

// Count is how many runs of a solution's flows are not over.
func (e *Engine) Count(ctx context.Context, solution string) (n int, err error) {
	err = runs.By(ctx, e.cfg.Store, "flow", store.Span{From: []byte(solution + "/"), To: []byte(solution + "0")}, func(r Run) error {
		if r.State == Open || r.State == Held {
			n++
		}
		return nil
	})
	return n, err
}

// Inbox gives a system's messages behind a number, oldest first; when there is none, it waits so long for the first.
func (e *Engine) Inbox(ctx context.Context, system string, after uint64, limit int, wait time.Duration) ([]Mail, error) {
	patience := time.NewTimer(wait)
	defer patience.Stop()
	for {
		news := e.waiting()
		var out []Mail
		from := append(append([]byte(system), 0), big(after+1)...)
		err := inbox.Range(ctx, e.cfg.Store, store.Span{From: from, To: append([]byte(system), 1)}, func(m Mail) error {
			if out = append(out, m); len(out) == limit {
				return store.Stop
			}
			return nil
		})
		if err != nil || len(out) > 0 || wait <= 0 {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-patience.C:
			return nil, nil
		case <-news:
		}
	}
}

func solutionOf(flow string) string {
	s, _, _ := strings.Cut(flow, "/")
	return s
}
