package flow

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
)

// enqueue puts an effect behind those that wait.
func (e *Engine) enqueue(a *act) {
	e.out.Lock()
	defer e.out.Unlock()
	e.out.queue = append(e.out.queue, a)
	for _, k := range a.Keys {
		e.out.keys[k]++
	}
}

// settle does the effects that a thing waits for, so that whoever looks at it sees what earlier answers promised.
func (e *Engine) settle(ctx context.Context, key string) error {
	// What is being written is waited for. After a write of which it is not known whether it was done, what it left is taken up first: its answer may be given to whoever sends
	// the scan again.
	e.out.Lock()
	coming := e.out.coming[key] > 0
	e.out.Unlock()
	if coming || !e.last.known.Load() {
		e.last.Lock()
		if !e.last.known.Load() {
			if err := e.numbers(ctx); err != nil {
				e.last.Unlock()
				return err
			}
		}
		e.last.Unlock()
	}
	for {
		e.out.Lock()
		waits := e.out.keys[key] > 0
		e.out.Unlock()
		if !waits {
			return nil
		}
		_, err := e.some(ctx, key)
		e.out.Lock()
		waits = e.out.keys[key] > 0
		e.out.Unlock()
		if err != nil && waits {
			return problem.Wrap(err, problem.Busy, "earlier work on %s is not done yet: try again in a moment", "%s 的前一步操作尚未完成：请稍后重试", key)
		}
	}
}

// Follow waits until what a run's scans promised is done, so that whoever is told of it finds it, at other nodes too; it does not wait longer than patience, since it is certain
// all the same. It reports whether it is done.
func (e *Engine) Follow(ctx context.Context, run string, patience time.Duration) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		e.out.Lock()
		gone := e.out.gone
		waits := slices.ContainsFunc(e.out.queue, func(a *act) bool { return a.Run == run })
		e.out.Unlock()
		if !waits {
			return true
		}
		select {
		case <-gone:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

const atOnce = 500

// some does the oldest effects that wait, and takes them away. What cannot be done now stays, and everything behind it that touches the same
// things; what can never be done holds its run, with the reason.
// With a key, it does what that thing waits for, and nothing else.
func (e *Engine) some(ctx context.Context, key string) (n int, err error) {
	e.perform.Lock()
	defer e.perform.Unlock()
	e.out.Lock()
	var todo []*act
	if key == "" {
		todo = slices.Clone(e.out.queue[:min(len(e.out.queue), atOnce)])
	} else if e.out.keys[key] > 0 {
		// From the newest back: whatever an effect touches must be as it was when that was decided.
		wanted := map[string]bool{key: true}
		for i := len(e.out.queue) - 1; i >= 0; i-- {
			if a := e.out.queue[i]; anyOf(a.Keys, wanted) {
				todo = append(todo, a)
				for _, k := range a.Keys {
					wanted[k] = true
				}
			}
		}
		slices.Reverse(todo)
	}
	e.out.Unlock()
	if len(todo) == 0 {
		return 0, nil
	}
	failed := make([]error, len(todo))
	for _, round := range rounds(todo) {
		var wg sync.WaitGroup
		for _, some := range round {
			wg.Go(func() { e.doAll(ctx, todo, some, failed) })
		}
		wg.Wait()
	}
	var b store.Batch
	gone := map[*act]bool{}
	blocked := map[string]bool{}
	var later error
	for i, a := range todo {
		// Something before it on the same thing waits: this was done too early, and is done once more behind it.
		if anyOf(a.Keys, blocked) {
			continue
		}
		switch k := problem.KindOf(failed[i]); {
		case failed[i] == nil:
		case k == problem.Unreachable || k == problem.Busy || k == problem.Canceled || k == problem.Internal || k == problem.Full || k == problem.ReadOnly || ctx.Err() != nil:
			for _, k := range a.Keys {
				blocked[k] = true
			}
			later = failed[i]
			continue
		default:
			if err := e.hold(ctx, a, failed[i]); err != nil {
				later = err
				continue
			}
		}
		row, err := outbox.Load(ctx, e.cfg.Store, big(a.Seq))
		if err != nil {
			later = err
			continue
		}
		if row.Found() {
			outbox.Remove(&b, row)
		}
		gone[a] = true
	}
	if len(gone) > 0 {
		if _, err := e.cfg.Store.Apply(context.WithoutCancel(ctx), &b); err != nil {
			return 0, err // done, but not taken away: done again, to the same end
		}
		e.out.Lock()
		kept := e.out.queue[:0]
		for _, a := range e.out.queue {
			if !gone[a] {
				kept = append(kept, a)
				continue
			}
			for _, k := range a.Keys {
				if e.out.keys[k]--; e.out.keys[k] <= 0 {
					delete(e.out.keys, k)
				}
			}
		}
		clear(e.out.queue[len(kept):])
		e.out.queue = kept
		close(e.out.gone)
		e.out.gone = make(chan struct{})
		e.out.Unlock()
	}
	return len(gone), later
}

// rounds arranges effects so that those of one round can be done at the same time, for each actor in one call: what touches the same record is in order, and events do
// not look at records. The numbers are places in todo.
func rounds(todo []*act) [][][]int {
	type last struct {
		round int
		by    Actor
	}
	type call struct {
		round int
		by    Actor
	}
	touched := map[string]last{}
	calls := map[call]int{}
	var out [][][]int
	for i, a := range todo {
		r := 0
		if a.Write != nil {
			for _, k := range a.Keys {
				if was, ok := touched[k]; ok && was.by == a.By {
					r = max(r, was.round)
				} else if ok {
					r = max(r, was.round+1)
				}
			}
			for _, k := range a.Keys {
				touched[k] = last{r, a.By}
			}
		}
		for len(out) <= r {
			out = append(out, nil)
		}
		at, ok := calls[call{r, a.By}]
		if !ok {
			at = len(out[r])
			calls[call{r, a.By}] = at
			out[r] = append(out[r], nil)
		}
		out[r][at] = append(out[r][at], i)
	}
	return out
}

// doAll does effects of one actor: of todo those at the places some.
func (e *Engine) doAll(ctx context.Context, todo []*act, some []int, failed []error) {
	by := todo[some[0]].By.identity()
	var writes []RecordWrite
	var at []int
	for _, i := range some {
		if a := todo[i]; a.Write != nil {
			writes, at = append(writes, *a.Write), append(at, i)
		}
	}
	if len(writes) > 0 {
		for i, err := range e.cfg.Write(ctx, by, writes) {
			failed[at[i]] = err
		}
	}
	var events []epcis.Event
	at = at[:0]
	for _, i := range some {
		a := todo[i]
		if len(a.Event) == 0 {
			continue
		}
		doc, faults, err := epcis.ReadJSON(bytes.NewReader(a.Event), epcis.Limits{})
		if err == nil && len(faults) > 0 {
			err = problem.New(problem.BadValue, "the event is not valid: %s", "事件不合规范：%s", faults[0].EN)
		}
		if err != nil {
			failed[i] = err
			continue
		}
		events, at = append(events, doc.Events...), append(at, i)
	}
	if len(events) == 0 {
		return
	}
	if err := e.cfg.Capture(ctx, by, events); err != nil {
		if len(events) == 1 {
			failed[at[0]] = err
			return
		}
		for k := range events {
			failed[at[k]] = e.cfg.Capture(ctx, by, events[k:k+1])
		}
	}
}

// hold stops a run of which an effect can never be done, and says why. The effect is kept in the journal's words; nothing of it is tried again.
func (e *Engine) hold(ctx context.Context, a *act, why error) error {
	e.cfg.Log.Warn("an effect of a flow cannot be done", "run", a.Run, "flow", a.Flow, "err", why)
	what := "the event"
	if a.Write != nil {
		what = a.Write.ID
	}
	t := Text{EN: fmt.Sprintf("%s could not be done: %s", what, problem.Say(why, problem.English)), ZH: fmt.Sprintf("%s 未能完成：%s", what, problem.Say(why, problem.Chinese))}
	now := e.cfg.Now()
	err := runs.Update(ctx, e.cfg.Store, []byte(a.Run), func(old table.Row[Run]) (Run, error) {
		r := old.Value
		if !old.Found() {
			r = Run{ID: a.Run, Flow: a.Flow, Started: now}
		}
		if r.State == Open || r.State == Ended {
			r.State, r.Verdict, r.Say, r.Last = Held, Stopped, t, now
		}
		return r, nil
	})
	if err != nil {
		return err
	}
	return e.note(ctx, Entry{Kind: "note", Run: a.Run, No: a.No, Flow: a.Flow, Verdict: Stopped, Say: t, At: now, Received: now, State: Held})
}

// note writes a line of the journal that no scan made. It does not go the way of scans, since it may be called within one.
func (e *Engine) note(ctx context.Context, x Entry) error {
	return e.write(ctx, []*unit{{entry: &x}})
}

// performer does effects as they come.
func (e *Engine) performer(ctx context.Context) {
	pause := time.Millisecond
	for {
		n, err := e.some(ctx, "")
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil:
			e.cfg.Log.Warn("effects of flows wait: they are tried again", "err", err)
			pause = min(max(pause*2, 50*time.Millisecond), 30*time.Second)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		case n > 0:
			pause = time.Millisecond
		default:
			pause = time.Millisecond
			select {
			case <-ctx.Done():
				return
			case <-e.out.wake:
			}
		}
	}
}

func anyOf(keys []string, blocked map[string]bool) bool {
	for _, k := range keys {
		if blocked[k] {
			return true
		}
	}
	return false
}
