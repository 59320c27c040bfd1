package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Rule says which events are removed, and when. An event is removed when one rule with all its conditions says so and no hold names it.
type Rule struct {
	Name  string
	After time.Duration     // since the event was recorded; more than 0
	Types []epcis.EventType // of these kinds; empty: any
	Steps []string          // with one of these business steps; empty: any
}

func (r *Rule) check() error {
	if r.After <= 0 {
		return problem.New(problem.BadRequest, "the retention rule %q has no age: say after how long events are removed",
			"保存规则 %q 没有期限：请指明多久之后删除事件", r.Name)
	}
	return nil
}

func (r *Rule) removes(e *epcis.Event, now time.Time) bool {
	return now.Sub(e.RecordTime) >= r.After && (len(r.Types) == 0 || slices.Contains(r.Types, e.Type)) &&
		(len(r.Steps) == 0 || slices.Contains(r.Steps, e.BizStep))
}

// Removed says what Run did.
type Removed struct {
	Looked  int // events that were looked at
	Removed int
	Held    int // events that a rule would have removed, and a hold kept
}

// removeStep is how many events are looked at for one batch of removals.
const removeStep = 500

// Hold keeps every event that names one of the things, now or later, from being removed by rules: a recall, a lawsuit. Reason is the hold's name; Release ends it.
// The things are as epcis.Key gives them.
func (h *History) Hold(ctx context.Context, reason string, things []string) error {
	if reason == "" || len(reason) > longest {
		return problem.New(problem.BadRequest, "a hold needs a reason of up to %d bytes: name the recall or the case", "保留须注明不超过 %d 字节的原因：请写明召回或案件名称", longest)
	}
	for len(things) > 0 {
		n := min(1000, len(things))
		// A removal that is under way has looked for holds: it begins anew when their number of changes is not what it was.
		for {
			changes, err := h.holdChanges(ctx)
			if err != nil {
				return err
			}
			var b store.Batch
			key := h.meta("holds")
			b.Expect(key, changes)
			b.Put(key, binary.BigEndian.AppendUint64(nil, 1+number(changes)))
			for _, thing := range things[:n] {
				b.Put(h.holdKey(thing, reason), []byte(thing))
			}
			if _, err := h.store.Apply(ctx, &b); errors.Is(err, store.ErrConflict) {
				continue
			} else if err != nil {
				return err
			}
			break
		}
		things = things[n:]
	}
	return nil
}

// holdChanges is how often holds were added, as the store has it; nil: never.
func (h *History) holdChanges(ctx context.Context) ([]byte, error) {
	raw, err := h.store.Get(ctx, nil, h.meta("holds"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return raw, err
}

func number(raw []byte) uint64 {
	if len(raw) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

// Release ends the hold of that reason.
func (h *History) Release(ctx context.Context, reason string) error {
	end := append([]byte{0}, appendEscaped(nil, reason)...)
	var keys [][]byte
	err := h.store.Range(ctx, store.Under(h.key(nil, tagHold)), func(key, _ []byte) error {
		_, _, rest, ok := cutWord(key[len(h.prefix)+1:])
		if ok && bytes.Equal(rest, end[1:]) {
			keys = append(keys, bytes.Clone(key))
		}
		return nil
	})
	for len(keys) > 0 && err == nil {
		var b store.Batch
		n := min(1000, len(keys))
		for _, key := range keys[:n] {
			b.Delete(key)
		}
		_, err = h.store.Apply(ctx, &b)
		keys = keys[n:]
	}
	return err
}

func (h *History) holdKey(thing, reason string) []byte {
	return appendEscaped(append(appendWord(h.key(nil, tagHold), thing), 0), reason)
}

// held reports whether a hold names one of the things.
func (h *History) held(ctx context.Context, r store.Reader, things []named) (held bool, err error) {
	for i := range things {
		err = r.Range(ctx, store.Under(append(appendWord(h.key(nil, tagHold), things[i].key), 0)), func(_, _ []byte) error {
			held = true
			return store.Stop
		})
		if held || err != nil {
			return held, err
		}
	}
	return false, nil
}

// Run removes the events that the rules name, in batches, oldest first. It may be called at any time and again; an error or the end of ctx leaves what was removed removed and
// the rest as it is.
func (h *History) Run(ctx context.Context) (Removed, error) {
	var out Removed
	if len(h.rules) == 0 {
		return out, nil
	}
	shortest := h.rules[0].After
	for _, rule := range h.rules {
		shortest = min(shortest, rule.After)
	}
	now := h.now()
	old := millis(now.Add(-shortest))
	after := uint64(0)
	for {
		type doomed struct {
			number uint64
			event  *epcis.Event
			hash   string
		}
		var step []doomed
		looked := 0
		err := h.view(ctx, func(r store.Snapshot, st state) error {
			return h.rows(ctx, r, after, st.last, false, func(number uint64, w *row) error {
				if w.recorded > old {
					return store.Stop // record times rise with the numbers
				}
				after = number
				looked++
				e, err := w.event(false)
				if err != nil {
					return err
				}
				if slices.ContainsFunc(h.rules, func(rule Rule) bool { return rule.removes(e, now) }) {
					step = append(step, doomed{number, e, w.hashText()})
				}
				if looked == removeStep {
					return store.Stop
				}
				return nil
			})
		})
		if err != nil {
			return out, err
		}
		out.Looked += looked
		for len(step) > 0 {
			n := min(removeStep, len(step))
			removed := 0
			held := 0
			var numbers []uint64
			err := h.retry(ctx, func(b *store.Batch, st *state) error {
				removed, held, numbers = 0, 0, numbers[:0]
				changes, err := h.holdChanges(ctx)
				if err != nil {
					return err
				}
				rub := eraser{h: h, b: b, ids: map[string]*idRow{}, pages: map[string][]uint64{}}
				for _, d := range step[:n] {
					things := appendNamed(nil, d.event)
					is, err := h.held(ctx, h.store, things)
					if err != nil {
						return err
					}
					if is {
						held++
						continue
					}
					if _, there, err := h.row(ctx, h.store, d.number); err != nil || !there {
						if err != nil {
							return err
						}
						continue
					}
					if err := rub.event(ctx, d.number, d.event, d.hash, things); err != nil {
						return err
					}
					numbers = append(numbers, d.number)
					removed++
				}
				if removed == 0 {
					return nil
				}
				st.events -= uint64(removed)
				b.Expect(h.meta("holds"), changes)
				return rub.done(ctx)
			})
			if err != nil {
				return out, err
			}
			h.cache.drop(numbers)
			out.Removed += removed
			out.Held += held
			step = step[n:]
		}
		if looked < removeStep {
			return out, nil
		}
	}
}

// retry applies what build puts into a batch, under the condition that no event was captured or removed meanwhile, and begins anew when one was.
func (h *History) retry(ctx context.Context, build func(b *store.Batch, st *state) error) error {
	h.write.Lock()
	defer h.write.Unlock()
	for range patience {
		st, err := h.load(ctx, h.store)
		if err != nil {
			return err
		}
		before := st.events
		var b store.Batch
		if err := build(&b, &st); err != nil {
			return err
		}
		if b.Len() == 0 {
			return nil
		}
		b.Expect(h.meta("state"), st.raw)
		if st.events != before {
			b.Put(h.meta("state"), st.encode())
		}
		h.known = false
		if _, err := h.store.Apply(ctx, &b); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// eraser collects what removes events.
type eraser struct {
	h     *History
	b     *store.Batch
	ids   map[string]*idRow   // by key
	pages map[string][]uint64 // by "kind word" → numbers to take out
}

func (r *eraser) event(ctx context.Context, number uint64, e *epcis.Event, hash string, things []named) error {
	h := r.h
	r.b.Delete(h.rowKey(number))
	at := millis(e.Time)
	for i := range things {
		r.b.Delete(append48(append48(append(appendWord(h.key(nil, tagThing), things[i].key), 0), at), number))
	}
	r.b.Delete(append48(append48(h.key(nil, tagTime), at), number))
	for _, id := range []string{e.ID, hash} {
		if id == "" {
			continue
		}
		key := appendDigest(h.key(nil, tagID), id)
		row := r.ids[string(key)]
		if row == nil {
			raw, err := h.store.Get(ctx, nil, key)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			row = &idRow{raw: raw}
			if row.numbers, err = readNumbers(raw); err != nil {
				return err
			}
			r.ids[string(key)] = row
		}
		row.numbers = slices.DeleteFunc(row.numbers, func(n uint64) bool { return n == number })
	}
	words(e, func(kind byte, word string) {
		key := string(append(appendWord(append(h.key(nil, tagPage), kind), word), 0))
		r.pages[key] = append(r.pages[key], number)
	})
	return nil
}

// done adds what the removed events leave of ID rows and pages.
func (r *eraser) done(ctx context.Context) error {
	for key, row := range r.ids {
		r.b.Expect([]byte(key), row.raw)
		if len(row.numbers) == 0 {
			r.b.Delete([]byte(key))
		} else {
			r.b.Put([]byte(key), appendNumbers(nil, row.numbers))
		}
	}
	for prefix, numbers := range r.pages {
		slices.Sort(numbers)
		for len(numbers) > 0 {
			// The last page that begins at or before the number.
			var key, page []byte
			span := store.Span{From: []byte(prefix), To: append48([]byte(prefix), numbers[0]+1), Reverse: true}
			if err := r.h.store.Range(ctx, span, func(k, v []byte) error {
				key, page = bytes.Clone(k), append([]byte{}, v...)
				return store.Stop
			}); err != nil {
				return err
			}
			if key == nil {
				numbers = numbers[1:]
				continue
			}
			first := read48(key[len(prefix):])
			held, err := readPage(nil, first, page)
			if err != nil {
				return err
			}
			last := numbers[0]
			if len(held) > 0 {
				last = max(last, held[len(held)-1])
			}
			left := held[:0]
			at := 0
			for _, n := range held {
				for at < len(numbers) && numbers[at] < n {
					at++
				}
				if at < len(numbers) && numbers[at] == n {
					continue
				}
				left = append(left, n)
			}
			r.b.Expect(key, page)
			if len(left) == 0 {
				r.b.Delete(key)
			} else {
				r.b.Put(key, appendPage(nil, first, left))
			}
			// What is beyond this page is on later ones.
			beyond, _ := slices.BinarySearch(numbers, last+1)
			numbers = numbers[beyond:]
		}
	}
	return nil
}
