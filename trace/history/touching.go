package history

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
)

// touchStep is how many index entries Touching reads before it yields their events.
const touchStep = 256

// touch is one index entry that Touching came by.
type touch struct {
	ms, number uint64
	event      *epcis.Event
}

// Touching is graph.Source's: the events that name the thing in any role, and those that have it as their readPoint, bizLocation or transformationID, in the order of event time,
// then of ID. Of several events with one ID it yields the one that stands. Sensors, ILMD, certifications and extensions are left out. Events that are captured meanwhile may or may
// not be among them.
func (h *History) Touching(ctx context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) { h.touch(ctx, thing, from, to, yield) }
}

// bounds are the index keys of word from and to, inclusive.
func (h *History) bounds(tag byte, word string, from, to time.Time) (span store.Span, head int) {
	lower := append(appendWord(h.key(make([]byte, 0, len(h.prefix)+len(word)+24), tag), word), 0)
	head = len(lower)
	upper := bytes.Clone(lower)
	if from.IsZero() {
		lower = append48(lower, 0)
	} else {
		lower = append48(lower, millis(from))
	}
	if to.IsZero() {
		upper = append(upper, 0xff)
	} else {
		upper = append48(upper, millis(to)+1)
	}
	return store.Span{From: lower, To: upper}, head
}

func (h *History) touch(ctx context.Context, thing string, from, to time.Time, yield func(*epcis.Event, error) bool) {
	span, head := h.bounds(tagThing, thing, from, to)
	var few [8]touch
	step := few[:0]
	for {
		step = step[:0]
		more := false
		var last uint64
		err := h.store.Range(ctx, span, func(key, value []byte) error {
			if len(key) != head+12 {
				return damaged()
			}
			ms, number := tail(key)
			if len(step) >= touchStep && ms != last {
				more = true
				span.From = bytes.Clone(key)
				return store.Stop
			}
			last = ms
			n, err := readEntry(string(value))
			if err != nil || n.flags&entrySuperseded != 0 {
				return err
			}
			t := touch{ms: ms, number: number}
			if n.flags&entryLinks != 0 {
				if t.event, err = n.event(); err != nil {
					return err
				}
			}
			step = append(step, t)
			return nil
		})
		if err == nil {
			err = h.fill(ctx, step, from, to, yield)
		}
		if err == errStopped {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if !more {
			return
		}
	}
}

// TouchingMany is graph.Many's.
func (h *History) TouchingMany(ctx context.Context, things []string, from, to time.Time, known func(number uint64) *epcis.Event, visit func(i int, number uint64, e *epcis.Event)) error {
	var low, high []byte
	head := 0
	span := func(i int) store.Span {
		low = append(appendWord(h.key(low[:0], tagThing), things[i]), 0)
		head = len(low)
		high = append(high[:0], low...)
		if from.IsZero() {
			low = append48(low, 0)
		} else {
			low = append48(low, millis(from))
		}
		if to.IsZero() {
			high = append(high, 0xff)
		} else {
			high = append48(high, millis(to)+1)
		}
		return store.Span{From: low, To: high}
	}
	var step []touch
	at := 0
	give := func() error {
		if len(step) == 0 {
			return nil
		}
		full, err := h.full(ctx, step, from, to, known)
		for k := range full {
			visit(at, full[k].number, full[k].event)
		}
		step = step[:0]
		return err
	}
	err := store.Ranges(ctx, h.store, len(things), span, func(i int, key, value []byte) error {
		if len(key) != head+12 {
			return damaged()
		}
		ms, number := tail(key)
		if i != at || len(step) >= touchStep && ms != step[len(step)-1].ms {
			if err := give(); err != nil {
				return err
			}
			at = i
		}
		if len(value) > 0 && value[0]&entrySuperseded != 0 {
			return nil
		}
		t := touch{ms: ms, number: number, event: known(number)}
		if t.event == nil {
			n, err := readEntry(string(value))
			if err != nil {
				return err
			}
			if n.flags&entryLinks != 0 {
				if t.event, err = n.event(); err != nil {
					return err
				}
			}
		}
		step = append(step, t)
		return nil
	})
	if err == nil {
		err = give()
	}
	return err
}

type stopped struct{}

func (stopped) Error() string { return "history: stopped" }

// errStopped says that yield wants no more.
var errStopped error = stopped{}

// fill reads the events that are missing in step, puts those of the same millisecond in order, and yields all.
func (h *History) fill(ctx context.Context, step []touch, from, to time.Time, yield func(*epcis.Event, error) bool) error {
	step, err := h.full(ctx, step, from, to, nil)
	if err != nil {
		return err
	}
	for i := range step {
		if !yield(step[i].event, nil) {
			return errStopped
		}
	}
	return nil
}

// full reads the events that are missing in step, leaves out what is not of the time, and puts those of the same millisecond in order.
func (h *History) full(ctx context.Context, step []touch, from, to time.Time, known func(number uint64) *epcis.Event) ([]touch, error) {
	for i := range step {
		if step[i].event != nil {
			continue
		}
		// Another of the thing's entries may have brought it meanwhile.
		if known != nil {
			if step[i].event = known(step[i].number); step[i].event != nil {
				continue
			}
		}
		var err error
		if step[i].event, err = h.linksOf(ctx, step[i].number); err != nil {
			return nil, err
		}
	}
	step = slices.DeleteFunc(step, func(t touch) bool {
		return t.event == nil || !from.IsZero() && t.event.Time.Before(from) || !to.IsZero() && t.event.Time.After(to)
	})
	for i := 1; i < len(step); i++ {
		if step[i].ms == step[i-1].ms {
			slices.SortStableFunc(step, func(a, b touch) int {
				return cmp.Or(cmp.Compare(a.ms, b.ms), a.event.Time.Compare(b.event.Time), cmp.Compare(a.event.ID, b.event.ID), cmp.Compare(a.number, b.number))
			})
			break
		}
	}
	return step, nil
}

// linksOf reads an event's links; nil when it was removed. The event is shared: nobody changes it.
func (h *History) linksOf(ctx context.Context, number uint64) (*epcis.Event, error) {
	if e := h.cache.get(number); e != nil {
		return e, nil
	}
	w, there, err := h.row(ctx, h.store, number)
	if err != nil || !there {
		return nil, err
	}
	e, err := w.event(false)
	if err == nil {
		h.cache.put(number, e, int64(2*len(w.links)+600))
	}
	return e, err
}

// cache keeps the links of events that several index entries point at: an event that packs a thousand things is asked for by each of them. What was put in first goes first.
// A stored event never changes, so nothing in it grows old; Run takes out what it removes.
type cache struct {
	mu    sync.Mutex
	room  int64
	used  int64
	held  map[uint64]cached
	order []uint64 // ring of numbers in the order they came
	first int
}

type cached struct {
	event *epcis.Event
	size  int64
}

func (c *cache) get(number uint64) *epcis.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[number].event
}

func (c *cache) put(number uint64, e *epcis.Event, size int64) {
	if size > c.room/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.held[number]; there {
		return
	}
	if c.held == nil {
		c.held = map[uint64]cached{}
	}
	for c.used+size > c.room && c.first < len(c.order) {
		c.out(c.order[c.first])
		c.first++
	}
	if c.first > 1024 && c.first > len(c.order)/2 {
		c.order = append(c.order[:0], c.order[c.first:]...)
		c.first = 0
	}
	c.held[number] = cached{e, size}
	c.order = append(c.order, number)
	c.used += size
}

func (c *cache) out(number uint64) {
	if old, there := c.held[number]; there {
		c.used -= old.size
		delete(c.held, number)
	}
}

func (c *cache) drop(numbers []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range numbers {
		c.out(n)
	}
}
