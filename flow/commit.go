package flow

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// unit is what one scan writes: all of it or nothing.
type unit struct {
	old   table.Row[Run]
	run   *Run // nil: no run
	entry *Entry
	tasks []Task
	was   []table.Row[Task] // of tasks that there are
	mails []Mail
	acts  []*act
	begun []Run // of other flows, that its step starts
	done  chan error
	taken atomic.Bool // by who writes it, or by who gave it up
}

// commit writes a unit, together with those of others that wait, and returns when it is durable.
func (e *Engine) commit(ctx context.Context, u *unit) error {
	u.done = make(chan error, 1)
	e.life.Lock()
	over := e.life.over
	e.life.Unlock()
	select {
	case e.commits <- u:
	case <-ctx.Done():
		return problem.Wrap(ctx.Err(), problem.Canceled, "the scan was given up", "扫描已放弃")
	case <-over:
		return stopping()
	}
	select {
	case err := <-u.done:
		return err
	case <-over:
	}
	if u.taken.CompareAndSwap(false, true) {
		return stopping()
	}
	return <-u.done // it is in the last group
}

func stopping() error {
	return problem.New(problem.Busy, "the node is stopping, and took nothing of the scan: send it again in a moment", "节点正在停止，未受理本次扫描：请稍后重新发送")
}

// group commits first and whatever else waits, in one batch.
func (e *Engine) group(ctx context.Context, first *unit) {
	var units []*unit
	take := func(u *unit) {
		if u.taken.CompareAndSwap(false, true) {
			units = append(units, u)
		}
	}
	take(first)
	for more := true; more && len(units) < groupSize; {
		select {
		case u := <-e.commits:
			take(u)
		default:
			more = false
		}
	}
	if len(units) == 0 {
		return
	}
	err := e.write(ctx, units)
	if err != nil && len(units) > 1 {
		// One of them may be at fault: each alone.
		for _, u := range units {
			u.done <- e.write(ctx, []*unit{u})
		}
		return
	}
	for _, u := range units {
		u.done <- err
	}
}

func (e *Engine) write(ctx context.Context, units []*unit) error {
	e.last.Lock()
	defer e.last.Unlock()
	if !e.last.known.Load() {
		if err := e.numbers(ctx); err != nil {
			return err
		}
	}
	j, m, o := e.last.journal, e.last.inbox, e.last.outbox
	var b store.Batch
	for _, u := range units {
		if u.run != nil {
			if err := runs.Set(&b, u.old, *u.run); err != nil {
				return err
			}
		}
		for _, r := range u.begun {
			if err := runs.Set(&b, table.Row[Run]{}, r); err != nil {
				return err
			}
		}
		if u.entry != nil {
			j++
			u.entry.Seq = j
			if err := journal.Set(&b, table.Row[Entry]{}, *u.entry); err != nil {
				return err
			}
		}
		for i := range u.tasks {
			var was table.Row[Task]
			if i < len(u.was) {
				was = u.was[i]
			}
			if err := tasks.Set(&b, was, u.tasks[i]); err != nil {
				return err
			}
		}
		for i := range u.mails {
			m++
			u.mails[i].Seq = m
			if err := inbox.Set(&b, table.Row[Mail]{}, u.mails[i]); err != nil {
				return err
			}
		}
		for _, a := range u.acts {
			o++
			a.Seq = o
			if err := outbox.Set(&b, table.Row[act]{}, *a); err != nil {
				return err
			}
		}
	}
	b.Put(metaKey, append(append(big(j), big(m)...), big(o)...))
	e.expect(units, 1)
	if _, err := e.cfg.Store.Apply(context.WithoutCancel(ctx), &b); err != nil {
		defer e.expect(units, -1)
		// It may have been written all the same: what the numbers are is looked up before the next.
		e.last.known.Store(false)
		if errors.Is(err, store.ErrConflict) {
			return problem.Wrap(err, problem.Conflict, "somebody else moved this work on at the same moment: look at it, and scan again if it is still to be done", "他人同时推进了这项工作：请查看后按需重新扫描")
		}
		return err
	}
	e.last.journal, e.last.inbox, e.last.outbox = j, m, o
	for _, u := range units {
		for _, a := range u.acts {
			e.enqueue(a)
		}
	}
	e.expect(units, -1)
	e.announce()
	select {
	case e.out.wake <- struct{}{}:
	default:
	}
	return nil
}

// expect notes that the effects of units are about to be written, or, with -1, that they are in the queue or that nobody knows.
func (e *Engine) expect(units []*unit, by int) {
	e.out.Lock()
	defer e.out.Unlock()
	for _, u := range units {
		for _, a := range u.acts {
			for _, k := range a.Keys {
				if e.out.coming[k] += by; e.out.coming[k] <= 0 {
					delete(e.out.coming, k)
				}
			}
		}
	}
}

// metaKey has the newest numbers of journal, inbox and outbox, eight bytes each, written with the rows that they are of.
var metaKey = []byte("~flow\x00last")

// numbers finds the newest of each; what an uncertain write left in the outbox is taken up.
func (e *Engine) numbers(ctx context.Context) error {
	raw, err := e.cfg.Store.Get(ctx, nil, metaKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	var j, m, o uint64
	if len(raw) == 24 {
		j, m, o = binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:]), binary.BigEndian.Uint64(raw[16:])
	}
	have := map[uint64]bool{}
	e.out.Lock()
	for _, a := range e.out.queue {
		have[a.Seq] = true
	}
	e.out.Unlock()
	if err := outbox.Range(ctx, e.cfg.Store, store.Span{}, func(a act) error {
		if !have[a.Seq] && a.Seq > e.last.outbox {
			e.enqueue(&a)
		}
		return nil
	}); err != nil {
		return err
	}
	e.last.journal, e.last.inbox, e.last.outbox = j, m, o
	e.last.known.Store(true)
	return nil
}
