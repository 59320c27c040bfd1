package history

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/query"
)

// Page is a part of the answer to a query.
type Page struct {
	Events    []*epcis.Event
	Sequences []uint64 // their numbers
	Next      string   // the cursor of the next page; empty: this is the last one
}

const (
	defaultLimit = 30
	maxLimit     = 100000
)

// below is Descendants for a query, which has no place for errors: what cannot be read is only told to the log.
func (h *History) below(ctx context.Context, id string) []string {
	list, err := h.Descendants(ctx, id)
	if err != nil && ctx.Err() == nil {
		h.log.Warn("the places below a place cannot be read from the master data", "place", id, "error", err)
	}
	return list
}

// attributes is all that the master data says of a thing.
func (h *History) attributes(ctx context.Context, id string) (all []epcis.VocabularyAttribute) {
	list, err := h.Vocabulary(ctx, id)
	if err != nil && ctx.Err() == nil {
		h.log.Warn("the master data of a thing cannot be read", "thing", id, "error", err)
	}
	for i := range list {
		all = append(all, list[i].Attributes...)
	}
	return all
}

// Query answers q, limit events at most (0: 30; up to 100,000), from where cursor stands (empty: from the beginning).
//
// The order is the one in which the events were captured, which is also that of their record times; with orderBy eventTime that of event times to the millisecond; with any
// other orderBy that of q.Less. Events that are equal by it stay in the order in which they were captured, or the reverse of it when q is descending.
// All pages together are what was there when the first one was asked for, but for what rules removed since: an event that is captured between two pages is on none.
//
// Where q has no Descendants or Attributes of its own, they are those of the history's master data.
//
// A cursor is made for one query and one history; it holds its own state, and is good as long as the history is. Errors: problem.BadRequest for a cursor that is not
// one of this query; problem.TooLarge when q has a maxEventCount and more events match.
func (h *History) Query(ctx context.Context, q *query.Query, cursor string, limit int) (Page, error) {
	var page Page
	_, err := h.run(ctx, q, cursor, limit, &page)
	return page, err
}

// order is what a query's events are sorted by.
type order uint8

const (
	byNumber order = iota // the order of capture, of record time
	byTime                // of event time, in milliseconds
	byLess                // of Query.Less
)

// position is where an event stands in an order: time counts only byTime.
type position struct{ ms, number uint64 }

// search is one run of a query.
type search struct {
	h       *History
	r       store.Reader
	q       *query.Query
	b       limits
	st      state
	order   order
	desc    bool
	begun   bool // after is set
	after   position
	last    *epcis.Event // the event at after, byLess
	horizon uint64       // greater numbers are not in the answer
	want    int          // events of this page, and one more
	out     []hit
	read    int // rows read
}

type hit struct {
	position
	event *epcis.Event
}

func (s *search) compare(a, b position) int {
	c := cmp.Compare(a.number, b.number)
	if s.order == byTime {
		c = cmp.Or(cmp.Compare(a.ms, b.ms), c)
	}
	if s.desc {
		return -c
	}
	return c
}

func (s *search) compareHits(a, b hit) int {
	if s.order == byLess {
		switch {
		case s.q.Less(a.event, b.event):
			return -1
		case s.q.Less(b.event, a.event):
			return 1
		}
	}
	return s.compare(a.position, b.position)
}

// run runs a page of a query and says how.
func (h *History) run(ctx context.Context, q *query.Query, cursor string, limit int, page *Page) (Explanation, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	if q.Descendants == nil || q.Attributes == nil {
		own := *q
		if q = &own; own.Descendants == nil {
			own.Descendants = func(id string) []string { return h.below(ctx, id) }
		}
		if own.Attributes == nil {
			own.Attributes = func(id string) []epcis.VocabularyAttribute { return h.attributes(ctx, id) }
		}
	}
	var why Explanation
	err := h.view(ctx, func(r store.Snapshot, st state) error {
		s := &search{h: h, r: r, q: q, b: limitsOf(q), st: st, horizon: st.last, want: limit + 1}
		s.order, s.desc = orderOf(q)
		returned := 0
		if cursor != "" {
			at, err := h.openCursor(q, cursor)
			if err != nil {
				return err
			}
			if at.order != s.order {
				return badCursor()
			}
			s.begun, s.after, s.horizon, returned = true, at.after, min(at.horizon, st.last), at.returned
			if s.order == byLess {
				w, there, err := h.row(ctx, r, s.after.number)
				if err != nil {
					return err
				}
				if !there {
					return problem.New(problem.Conflict, "the event at which the last page ended was removed meanwhile: ask for the first page again",
						"上一页末尾的事件已被删除：请从第一页重新查询")
				}
				if s.last, err = w.event(true); err != nil {
					return err
				}
			}
		}
		if most := eventCountLimit(q); most > 0 {
			if returned >= most {
				return nil
			}
			limit = min(limit, most-returned)
			s.want = limit + 1
			if returned+limit >= most {
				s.want = limit // there is no page after this one
			}
		}
		count := maxEventCount(q)
		if count > 0 && cursor == "" {
			s.want = max(s.want, count+1)
		}
		if err := s.plan(ctx, &why); err != nil {
			return err
		}
		if count > 0 && cursor == "" && len(s.out) > count {
			return problem.New(problem.TooLarge, "more than %d events match, the maxEventCount of the query: narrow the query, or raise the number",
				"匹配的事件超过查询的 maxEventCount（%d 个）：请缩小查询范围或提高该值", count)
		}
		more := len(s.out) > limit
		hits := s.out[:min(limit, len(s.out))]
		page.Events = make([]*epcis.Event, len(hits))
		page.Sequences = make([]uint64, len(hits))
		for i := range hits {
			page.Events[i], page.Sequences[i] = hits[i].event, hits[i].number
		}
		why.Read, why.Matched = s.read, len(hits)
		if more {
			page.Next = h.sealCursor(q, cursorState{order: s.order, after: hits[len(hits)-1].position, horizon: s.horizon, returned: returned + len(hits)})
		}
		return nil
	})
	return why, err
}

// consider looks at one event: when it matches and belongs behind where the last page ended, it is put into the answer. full is true when no more are wanted, which ends a walk
// in the order of the answer.
func (s *search) consider(number uint64, w *row) (full bool, err error) {
	s.read++
	e, err := w.event(true)
	if err != nil {
		return false, err
	}
	if !s.q.Match(e) {
		return false, nil
	}
	s.out = append(s.out, hit{position{millis(e.Time), number}, e})
	return len(s.out) >= s.want, nil
}

// considerAny is consider for a walk in another order than the answer's: it keeps the first of the answer only.
func (s *search) considerAny(number uint64, w *row) error {
	if number > s.horizon {
		return nil
	}
	had := len(s.out)
	if _, err := s.consider(number, w); err != nil || len(s.out) == had {
		return err
	}
	if s.begun && s.compareHits(s.out[had], hit{s.after, s.last}) <= 0 {
		s.out = s.out[:had]
		return nil
	}
	if len(s.out) >= 2*s.want+64 {
		s.settle()
	}
	return nil
}

// settle sorts the answer and cuts it.
func (s *search) settle() {
	slices.SortFunc(s.out, s.compareHits)
	if len(s.out) > s.want {
		clear(s.out[s.want:])
		s.out = s.out[:s.want]
	}
}

// listStep is how many events are read at once.
const listStep = 64

// take considers events in the order in which they are given, those that are not there any more aside. One iterator reads them: the events of one thing were mostly captured near one
// another, and so they lie.
func (s *search) take(ctx context.Context, part []position) (full bool, err error) {
	var room [2][80]byte
	low, high := room[0][:0], room[1][:0]
	err = store.Ranges(ctx, s.r, len(part), func(i int) store.Span {
		low, high = append48(s.h.key(low[:0], tagEvent), part[i].number), append48(s.h.key(high[:0], tagEvent), part[i].number+1)
		return store.Span{From: low, To: high}
	}, func(i int, _, value []byte) error {
		w, err := openRow(string(value))
		switch {
		case err != nil:
			return err
		case s.order == byLess:
			err = s.considerAny(part[i].number, &w)
		default:
			if full, err = s.consider(part[i].number, &w); full {
				return errStopped
			}
		}
		if err != nil {
			return err
		}
		return store.Stop
	})
	if err == errStopped {
		err = nil
	}
	return full, err
}

// list answers from positions in any order.
func (s *search) list(ctx context.Context, found []position) error {
	found = slices.DeleteFunc(found, func(p position) bool {
		return p.number > s.horizon || s.order != byLess && s.begun && s.compare(p, s.after) <= 0
	})
	slices.SortFunc(found, s.compare)
	found = slices.CompactFunc(found, func(a, b position) bool { return a.number == b.number })
	for len(found) > 0 {
		part := found[:min(listStep, len(found))]
		found = found[len(part):]
		if full, err := s.take(ctx, part); full || err != nil {
			return err
		}
	}
	if s.order == byLess {
		s.settle()
	}
	return nil
}

// numbers answers from events whose numbers next gives, rising, or falling in a descending search byNumber; next returns 0 at the end.
func (s *search) numbers(ctx context.Context, next func() (uint64, error)) error {
	for {
		number, err := next()
		if err != nil {
			return err
		}
		if number == 0 {
			break
		}
		w, there, err := s.h.row(ctx, s.r, number)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if s.order != byNumber {
			if err := s.considerAny(number, &w); err != nil {
				return err
			}
			continue
		}
		if full, err := s.consider(number, &w); full || err != nil {
			return err
		}
	}
	if s.order != byNumber {
		s.settle()
	}
	return nil
}

// numberSpan is the numbers that are left to answer from: after < number <= last.
func (s *search) numberSpan() (after, last uint64) {
	after, last = s.b.fromNumber, min(s.horizon, s.b.toNumber)
	if s.begun && s.order == byNumber {
		if s.desc {
			last = min(last, s.after.number-1)
		} else {
			after = max(after, s.after.number)
		}
	}
	return after, last
}

// walkRows answers from the events themselves, in the order of their numbers.
func (s *search) walkRows(ctx context.Context) error {
	after, last := s.numberSpan()
	if after >= last {
		return nil
	}
	err := s.h.rows(ctx, s.r, after, last, s.desc && s.order == byNumber, func(number uint64, w *row) error {
		if s.order != byNumber {
			return s.considerAny(number, w)
		}
		full, err := s.consider(number, w)
		if full {
			return store.Stop
		}
		return err
	})
	if err == nil && s.order != byNumber {
		s.settle()
	}
	return err
}

// walkTime answers from an index whose keys end with time and number, in its order, which is the answer's. good says whether an entry is one.
func (s *search) walkTime(ctx context.Context, prefix []byte, good func(value []byte) (bool, error)) error {
	span := s.timeSpan(prefix)
	if s.begun {
		at := append48(append48(bytes.Clone(prefix), s.after.ms), s.after.number)
		if s.desc {
			if bytes.Compare(at, span.To) < 0 {
				span.To = at
			}
		} else if at = append(at, 0); bytes.Compare(at, span.From) > 0 {
			span.From = at
		}
	}
	if bytes.Compare(span.From, span.To) >= 0 {
		return nil
	}
	span.Reverse = s.desc
	var few [8]position
	for part := few[:0]; ; part = part[:0] {
		// No more than are wanted are read, unless some turn out not to match.
		most, more := min(max(s.want-len(s.out), 8), listStep), false
		err := s.r.Range(ctx, span, func(key, value []byte) error {
			ms, number := tail(key)
			if number > s.horizon {
				return nil
			}
			if good != nil {
				if ok, err := good(value); err != nil || !ok {
					return err
				}
			}
			if len(part) == most {
				more = true
				if s.desc {
					span.To = append(bytes.Clone(key), 0)
				} else {
					span.From = bytes.Clone(key)
				}
				return store.Stop
			}
			part = append(part, position{ms, number})
			return nil
		})
		if err != nil {
			return err
		}
		if full, err := s.take(ctx, part); full || err != nil || !more {
			return err
		}
	}
}

// timeSpan is the keys under prefix within the query's event times.
func (s *search) timeSpan(prefix []byte) store.Span {
	return store.Span{From: append48(bytes.Clone(prefix), s.b.fromTime), To: append(append48(bytes.Clone(prefix), s.b.toTime), bytes.Repeat([]byte{0xff}, 7)...)}
}

// cursorState is what a cursor says.
type cursorState struct {
	order    order
	after    position
	horizon  uint64
	returned int
}

const (
	cursorVersion = 1
	cursorBody    = 1 + 1 + 4*8
	cursorMAC     = 16
)

func badCursor() error {
	return problem.New(problem.BadRequest, "the cursor is not one of this query: send the query as it was with the cursor of its last page, or none to begin anew",
		"游标与此查询不符：请用原查询及其上一页给出的游标，或不带游标从头开始")
}

// seal is the proof that this history made a cursor, for this query.
func (h *History) seal(q *query.Query, body []byte) []byte {
	mac := hmac.New(sha256.New, h.secret)
	mac.Write(h.prefix)
	mac.Write(body)
	mac.Write(fingerprint(q))
	return mac.Sum(nil)[:cursorMAC]
}

func (h *History) sealCursor(q *query.Query, c cursorState) string {
	b := append(make([]byte, 0, cursorBody+cursorMAC), cursorVersion, byte(c.order))
	for _, v := range []uint64{c.after.ms, c.after.number, c.horizon, uint64(c.returned)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return base64.RawURLEncoding.EncodeToString(append(b, h.seal(q, b)...))
}

func (h *History) openCursor(q *query.Query, text string) (c cursorState, err error) {
	if len(text) > 2*(cursorBody+cursorMAC) {
		return c, badCursor()
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != cursorBody+cursorMAC || b[0] != cursorVersion || !hmac.Equal(b[cursorBody:], h.seal(q, b[:cursorBody])) {
		return c, badCursor()
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[2+8*i:]) }
	c = cursorState{order: order(b[1]), after: position{n(0), n(1)}, horizon: n(2), returned: int(min(n(3), math.MaxInt32))}
	return c, nil
}
