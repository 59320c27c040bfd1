package history

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/query"
)

// Explanation says how a query is answered: which index leads to the events, and why that one.
type Explanation struct {
	Index     string     `json:"index"`               // "eventID", "thing", "place", "bizStep", …, "eventTime", "recordTime"; several with " + " are intersected
	Order     string     `json:"order"`               // "recordTime", "eventTime", or "sorted": the answer has to be sorted
	Direct    bool       `json:"direct"`              // the index has the order of the answer, so reading ends with the page
	Estimated int        `json:"estimated"`           // events that the index leads to
	Events    int        `json:"events"`              // events in the history
	Estimates []Estimate `json:"estimates,omitempty"` // what was weighed up, the least cost first
	Read      int        `json:"read"`                // events read for the page
	Matched   int        `json:"matched"`             // events on the page
	EN        string     `json:"en"`
	ZH        string     `json:"zh"`
}

// Estimate is one way that was weighed up.
type Estimate struct {
	Index  string  `json:"index"`
	Events int     `json:"events"` // that it leads to, about
	Cost   float64 `json:"cost"`   // in reads of one event in sequence
}

// Explain runs the first page of q, of 30 events, and says how.
func (h *History) Explain(ctx context.Context, q *query.Query) (Explanation, error) {
	var page Page
	why, err := h.run(ctx, q, "", 0, &page)
	if err == nil && why.EN == "" {
		why.say()
	}
	return why, err
}

// limits are a query's bounds as the indexes know them. The zero sets limit nothing.
type limits struct {
	fromTime, toTime         uint64 // milliseconds, inclusive
	fromRecorded, toRecorded uint64 // milliseconds, inclusive
	timed                    bool   // there is a bound of event time
	fromNumber, toNumber     uint64 // what the record times say of numbers: fromNumber < number <= toNumber; found by plan
	ids                      []string
	names                    []nameLimit
	words                    []wordLimit
	none                     bool // nothing can match
}

// nameLimit is that an event names one of the things in one of the roles.
type nameLimit struct {
	roles    roles
	keys     []string
	prefixes []string // of keys
	place    bool
}

// wordLimit is that an event has one of the words.
type wordLimit struct {
	kind  byte
	words []string
}

var pageNames = map[byte]string{pageType: "eventType", pageStep: "bizStep", pageDisposition: "disposition", pageTransaction: "bizTransaction",
	pageReadPoint: "readPoint", pageBizLocation: "bizLocation"}

var pageNamesZH = map[string]string{"eventType": "事件类型", "bizStep": "业务步骤", "disposition": "处置状态", "bizTransaction": "业务单据", "readPoint": "读取点",
	"bizLocation": "业务位置", "eventID": "事件标识", "thing": "物品", "place": "地点", "eventTime": "事件时间", "recordTime": "记录时间"}

// What reading costs, in reads of one event in sequence.
const (
	costEntry  = 0.15 // an index entry
	costPaged  = 0.02 // a number on a page
	costRandom = 2.0  // an event by its number
	costSort   = 0.3  // keeping an event for sorting
)

// sampled is how many index entries are looked at for an estimate.
const sampled = 256

// way is one way to answer a query.
type way struct {
	index  string
	rows   float64 // events it leads to
	cost   float64
	direct bool
	run    func(ctx context.Context) error
}

// plan chooses a way and goes it.
func (s *search) plan(ctx context.Context, why *Explanation) error {
	why.Events = int(s.st.events)
	why.Order = [...]string{"recordTime", "eventTime", "sorted"}[s.order]
	if err := s.bounds(ctx); err != nil {
		return err
	}
	if s.b.none || s.b.fromNumber >= s.b.toNumber {
		why.EN = "No event can match: the bounds of the query exclude each other, or nothing was captured between them."
		why.ZH = "不可能有匹配的事件：查询条件互相排斥，或其范围内没有采集过事件。"
		why.Index = "recordTime"
		return nil
	}
	ways, err := s.ways(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(ways, func(a, b way) int {
		switch {
		case a.cost < b.cost:
			return -1
		case a.cost > b.cost:
			return 1
		}
		return 0
	})
	best := &ways[0]
	for _, w := range ways {
		why.Estimates = append(why.Estimates, Estimate{w.index, round(w.rows), w.cost})
	}
	why.Index, why.Estimated, why.Direct = best.index, round(best.rows), best.direct
	if err := best.run(ctx); err != nil {
		return err
	}
	return nil
}

func round(f float64) int { return int(math.Round(min(f, 1<<53))) }

func (x *Explanation) say() {
	zh := strings.Split(x.Index, " + ")
	for i := range zh {
		zh[i] = pageNamesZH[zh[i]]
	}
	var en, cn strings.Builder
	fmt.Fprintf(&en, "The index of %s leads to about %d of %d events", x.Index, x.Estimated, x.Events)
	fmt.Fprintf(&cn, "%s索引指向约 %d 个事件（共 %d 个）", strings.Join(zh, "、"), x.Estimated, x.Events)
	if x.Direct {
		en.WriteString(", and has them in the order of the answer")
		cn.WriteString("，其顺序即结果顺序")
	} else {
		en.WriteString(", which are put into the order of the answer")
		cn.WriteString("，再按结果顺序排列")
	}
	if len(x.Estimates) > 1 {
		next := x.Estimates[1]
		zh := strings.Split(next.Index, " + ")
		for i := range zh {
			zh[i] = pageNamesZH[zh[i]]
		}
		// A way that leads to nothing costs a look into its index.
		times := next.Cost / max(x.Estimates[0].Cost, 1)
		fmt.Fprintf(&en, "; the next best way, by %s, would cost about %.1f times as much", next.Index, times)
		fmt.Fprintf(&cn, "；次优的%s索引代价约为其 %.1f 倍", strings.Join(zh, "、"), times)
	} else {
		en.WriteString("; no other index applies")
		cn.WriteString("；没有其他适用的索引")
	}
	fmt.Fprintf(&en, ". %d events were read for this page.", x.Read)
	fmt.Fprintf(&cn, "。本页共读取 %d 个事件。", x.Read)
	x.EN, x.ZH = en.String(), cn.String()
}

// bounds finds the numbers that the record times allow.
func (s *search) bounds(ctx context.Context) error {
	s.b.fromNumber, s.b.toNumber = 0, s.st.last
	if s.b.fromRecorded > 0 {
		n, err := s.firstRecorded(ctx, s.b.fromRecorded)
		if err != nil {
			return err
		}
		s.b.fromNumber = n - 1
	}
	if s.b.toRecorded < maxMillis {
		n, err := s.firstRecorded(ctx, s.b.toRecorded+1)
		if err != nil {
			return err
		}
		s.b.toNumber = n - 1
	}
	return nil
}

// firstRecorded is the number of the first event recorded at or after ms; one more than the last when there is none.
func (s *search) firstRecorded(ctx context.Context, ms uint64) (uint64, error) {
	prefix := s.h.key(nil, tagRecorded)
	first := s.st.last + 1
	err := s.r.Range(ctx, store.Span{From: append48(bytes.Clone(prefix), ms), To: store.Under(prefix).To}, func(key, _ []byte) error {
		_, first = tail(key)
		return store.Stop
	})
	return first, err
}

// ways lists the ways with their costs. When there is one that leads to next to nothing, the others are not looked at.
func (s *search) ways(ctx context.Context) ([]way, error) {
	if s.b.ids != nil {
		return []way{s.byIDs()}, nil
	}
	total := float64(s.b.toNumber - s.b.fromNumber)
	var ways []way
	for i := range s.b.names {
		w, found, err := s.estimateNames(ctx, &s.b.names[i])
		if err != nil {
			return nil, err
		}
		if found != nil {
			w.run = func(ctx context.Context) error { return s.list(ctx, found) }
			if len(found) <= 64 {
				w.cost = float64(len(found)) * costRandom
				return []way{w}, nil
			}
		}
		ways = append(ways, w)
	}
	least := max(total, 1)
	for i := range ways {
		least = min(least, ways[i].rows)
	}
	// A word that all events have is no help: only what cuts their number down is intersected.
	var paged []int
	share, entries := 1.0, 0.0
	for i := range s.b.words {
		rows, err := s.estimateWords(ctx, &s.b.words[i])
		if err != nil {
			return nil, err
		}
		w := way{index: pageNames[s.b.words[i].kind], rows: rows, run: func(ctx context.Context) error { return s.walkWords(ctx, s.b.words[i:i+1]) }}
		least = min(least, rows)
		ways = append(ways, w)
		if rows < total*0.7 {
			paged = append(paged, i)
			share *= rows / max(total, 1)
			entries += rows
		}
	}
	if len(paged) > 1 {
		names := make([]string, len(paged))
		sets := make([]wordLimit, len(paged))
		for i, at := range paged {
			names[i], sets[i] = pageNames[s.b.words[at].kind], s.b.words[at]
		}
		ways = append(ways, way{index: strings.Join(names, " + "), rows: share * total, cost: entries * costPaged,
			run: func(ctx context.Context) error { return s.walkWords(ctx, sets) }})
		least = min(least, share*total)
	}
	if s.b.timed || s.order == byTime {
		rows, err := s.estimateTime(ctx)
		if err != nil {
			return nil, err
		}
		ways = append(ways, way{index: "eventTime", rows: rows, run: s.walkEventTime})
		least = min(least, rows)
	}
	ways = append(ways, way{index: "recordTime", rows: total, run: s.walkRows})
	least = max(least, 1)

	want := float64(s.want)
	for i := range ways {
		w := &ways[i]
		// In the order of the answer, reading ends when the page is full: after so many events, if those that match lie evenly.
		some := min(w.rows, want*max(w.rows/least, 1))
		paged := strings.Contains(w.index, " + ") || slices.ContainsFunc(s.b.words, func(l wordLimit) bool { return pageNames[l.kind] == w.index })
		switch {
		case w.index == "recordTime":
			if w.direct = s.order == byNumber; w.direct {
				w.cost = some
			} else {
				w.cost = w.rows * (1 + costSort)
			}
		case w.index == "eventTime":
			if w.direct = s.order == byTime; w.direct {
				w.cost = some * (costEntry + costRandom)
			} else if s.order == byNumber {
				w.cost = w.rows*costEntry + some*costRandom
			} else {
				w.cost = w.rows * (costEntry + costRandom + costSort)
			}
		case paged:
			if w.direct = s.order == byNumber; w.direct {
				w.cost = w.cost*some/max(w.rows, 1) + some*(costPaged+costRandom)
			} else {
				w.cost += w.rows * (costPaged + costRandom + costSort)
			}
		default: // names
			switch {
			case w.direct && s.order == byTime:
				w.cost = some * (costEntry + costRandom)
			case s.order == byLess:
				w.direct = false
				w.cost = w.rows * (costEntry + costRandom + costSort)
			default:
				w.direct = false
				w.cost = w.rows*costEntry + some*costRandom
			}
		}
	}
	return ways, nil
}

// byIDs is the way by eventID.
func (s *search) byIDs() way {
	n := float64(len(s.b.ids))
	return way{index: "eventID", rows: n, cost: n * costRandom, run: func(ctx context.Context) error {
		var found []position
		for _, id := range s.b.ids {
			numbers, err := s.h.numbersOf(ctx, s.r, id)
			if err != nil {
				return err
			}
			for _, number := range numbers {
				p := position{number: number}
				if s.order == byTime {
					w, there, err := s.h.row(ctx, s.r, number)
					if err != nil {
						return err
					}
					if !there {
						continue
					}
					e, err := w.event(false)
					if err != nil {
						return err
					}
					p.ms = millis(e.Time)
				}
				found = append(found, p)
			}
		}
		return s.list(ctx, found)
	}}
}

// thingSpans are the parts of the index of things for a limit; one is that of a single thing, whose entries are in the order of time.
func (s *search) thingSpans(l *nameLimit) (spans []store.Span, single []byte) {
	for _, key := range l.keys {
		prefix := append(appendWord(s.h.key(nil, tagThing), key), 0)
		spans = append(spans, s.timeSpan(prefix))
		if len(l.keys) == 1 && len(l.prefixes) == 0 {
			single = prefix
		}
	}
	for _, p := range l.prefixes {
		spans = append(spans, store.Under(appendWord(s.h.key(nil, tagThing), p)), store.Under(appendEscaped(append(s.h.key(nil, tagThing), 3), p))) // and the long ones
	}
	return spans, single
}

// collect gathers the positions that the spans lead to, most at most; all says whether that is all of them.
func (s *search) collect(ctx context.Context, spans []store.Span, roles roles, most int) (found []position, all bool, err error) {
	all = true
	seen := 0
	for _, span := range spans {
		err = s.r.Range(ctx, span, func(key, value []byte) error {
			if seen++; seen > most {
				all = false
				return store.Stop
			}
			ms, number := tail(key)
			if ms < s.b.fromTime || ms > s.b.toTime || number <= s.b.fromNumber || number > min(s.b.toNumber, s.horizon) {
				return nil
			}
			if ok, err := hasRole(value, roles); err != nil || !ok {
				return err
			}
			found = append(found, position{ms, number})
			return nil
		})
		if err != nil || !all {
			return found, false, err
		}
	}
	if found == nil {
		found = []position{}
	}
	return found, true, nil
}

func hasRole(value []byte, want roles) (bool, error) {
	if len(value) < 2 {
		return false, damaged()
	}
	has := roles(value[1] & 0x7f)
	for i := 2; value[i-1] >= 0x80; i++ {
		if i >= len(value) || i > 3 {
			return false, damaged()
		}
		has |= roles(value[i]&0x7f) << (7 * (i - 1))
	}
	return has&want != 0, nil
}

// estimateNames weighs up a limit of names. found is all it leads to, when that is little.
func (s *search) estimateNames(ctx context.Context, l *nameLimit) (w way, found []position, err error) {
	w.index = "thing"
	if l.place {
		w.index = "place"
	}
	spans, single := s.thingSpans(l)
	found, all, err := s.collect(ctx, spans, l.roles, sampled)
	if err != nil {
		return w, nil, err
	}
	if all {
		w.rows = float64(len(found))
		return w, found, nil
	}
	// There are more: their times say how dense they lie.
	w.rows = 0
	for _, span := range spans {
		n, err := s.density(ctx, span)
		if err != nil {
			return w, nil, err
		}
		if w.rows += n; w.rows > float64(s.st.last) {
			w.rows = float64(s.st.last)
			break
		}
	}
	w.run = func(ctx context.Context) error {
		found, _, err := s.collect(ctx, spans, l.roles, math.MaxInt)
		if err != nil {
			return err
		}
		return s.list(ctx, found)
	}
	if single != nil && s.order == byTime {
		w.direct = true
		w.run = func(ctx context.Context) error {
			return s.walkTime(ctx, single, func(value []byte) (bool, error) { return hasRole(value, l.roles) })
		}
	}
	return w, nil, nil
}

// density is about how many entries a span has: it is walked a little from both ends, and what lies between is taken to be as dense in time.
func (s *search) density(ctx context.Context, span store.Span) (float64, error) {
	var times [2][]uint64
	for i := range times {
		span.Reverse = i == 1
		if err := s.r.Range(ctx, span, func(key, _ []byte) error {
			if len(key) < 12 {
				return damaged()
			}
			ms, _ := tail(key)
			if times[i] = append(times[i], ms); len(times[i]) == sampled {
				return store.Stop
			}
			return nil
		}); err != nil {
			return 0, err
		}
	}
	low, high := times[0], times[1]
	if len(low) < sampled || len(high) < sampled {
		return float64(len(low)), nil
	}
	from, to := low[0], high[0]
	head, tail := absent(low[len(low)-1], from), absent(to, high[len(high)-1])
	between := float64(absent(to, from)) - float64(head) - float64(tail)
	if between <= 0 {
		return 2 * sampled, nil
	}
	return 2*sampled + between*2*sampled/float64(max(head+tail, 1)), nil
}

// absent is a - b, 0 when b is the greater: keys of several things are not in the order of time.
func absent(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

// estimateTime is about how many events have an event time within the query's.
func (s *search) estimateTime(ctx context.Context) (float64, error) {
	if !s.b.timed {
		return float64(s.st.events), nil
	}
	n, err := s.density(ctx, s.timeSpan(s.h.key(nil, tagTime)))
	return min(n, float64(s.st.events)), err
}

// walkEventTime answers from the index of event times.
func (s *search) walkEventTime(ctx context.Context) error {
	prefix := s.h.key(nil, tagTime)
	if s.order == byTime {
		return s.walkTime(ctx, prefix, nil)
	}
	var found []position
	low, high := s.b.fromNumber, min(s.b.toNumber, s.horizon)
	if err := s.r.Range(ctx, s.timeSpan(prefix), func(key, _ []byte) error {
		if ms, number := tail(key); number > low && number <= high {
			found = append(found, position{ms, number})
		}
		return nil
	}); err != nil {
		return err
	}
	return s.list(ctx, found)
}

func (s *search) pagePrefix(kind byte, word string) []byte {
	return append(appendWord(append(s.h.key(nil, tagPage), kind), word), 0)
}

// estimateWords is about how many events have one of the words: some pages are looked at, and the rest taken to be as dense.
func (s *search) estimateWords(ctx context.Context, l *wordLimit) (float64, error) {
	total := float64(s.b.toNumber - s.b.fromNumber)
	rows := 0.0
	for _, word := range l.words {
		prefix := s.pagePrefix(l.kind, word)
		seen, pages, reached, cut := 0, 0, uint64(0), false
		span := store.Span{From: append48(bytes.Clone(prefix), s.b.fromNumber), To: append48(bytes.Clone(prefix), s.b.toNumber+1)}
		first := uint64(0)
		if err := s.r.Range(ctx, span, func(key, page []byte) error {
			number := read48(key[len(key)-6:])
			if pages == 0 {
				first = number
			}
			if pages++; pages > 64 {
				cut = true
				reached = number
				return store.Stop
			}
			for _, c := range page {
				if c < 0x80 {
					seen++
				}
			}
			return nil
		}); err != nil {
			return 0, err
		}
		if cut && reached > first {
			rows += float64(seen) * float64(s.b.toNumber-first+1) / float64(reached-first)
		} else {
			rows += float64(seen)
		}
		if rows >= total {
			return total, nil
		}
	}
	return rows, nil
}

// wordStream is the numbers of the events that have one word, in order.
type wordStream struct {
	s      *search
	prefix []byte
	desc   bool
	after  uint64 // after < number <= last
	last   uint64
	from   []byte // where the next pages are, the end of them when desc
	buf    []uint64
	at     int
	end    bool
}

func (w *wordStream) fill(ctx context.Context) error {
	for w.at == len(w.buf) && !w.end {
		w.buf, w.at = w.buf[:0], 0
		span := store.Span{From: w.prefix, To: append48(bytes.Clone(w.prefix), w.last+1), Reverse: w.desc}
		if w.from == nil && !w.desc {
			// The page that holds the number after after may begin before it.
			back := store.Span{From: w.prefix, To: append48(bytes.Clone(w.prefix), w.after+2), Reverse: true}
			span.From = append48(bytes.Clone(w.prefix), w.after+1)
			if err := w.s.r.Range(ctx, back, func(key, _ []byte) error {
				span.From = bytes.Clone(key)
				return store.Stop
			}); err != nil {
				return err
			}
		} else if w.from != nil {
			if w.desc {
				span.To = w.from
			} else {
				span.From = w.from
			}
		}
		w.end = true
		if bytes.Compare(span.From, span.To) >= 0 {
			return nil
		}
		if err := w.s.r.Range(ctx, span, func(key, page []byte) error {
			if len(w.buf) >= 2048 {
				w.end = false
				w.from = bytes.Clone(key)
				if w.desc {
					w.from = append(w.from, 0)
				}
				return store.Stop
			}
			begin := len(w.buf)
			var err error
			if w.buf, err = readPage(w.buf, read48(key[len(key)-6:]), page); err != nil {
				return err
			}
			fresh := slices.DeleteFunc(w.buf[begin:], func(n uint64) bool { return n <= w.after || n > w.last })
			if w.desc {
				slices.Reverse(fresh)
			}
			w.buf = w.buf[:begin+len(fresh)]
			if w.desc && read48(key[len(key)-6:]) <= w.after {
				return store.Stop
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// head is the stream's next number, 0 at its end.
func (w *wordStream) head(ctx context.Context) (uint64, error) {
	if w.at == len(w.buf) {
		if err := w.fill(ctx); err != nil {
			return 0, err
		}
		if w.at == len(w.buf) {
			return 0, nil
		}
	}
	return w.buf[w.at], nil
}

// seek moves on to the first number that is not before n.
func (w *wordStream) seek(ctx context.Context, n uint64) error {
	for {
		at, _ := slices.BinarySearchFunc(w.buf[w.at:], n, func(have, want uint64) int {
			if w.desc {
				have, want = want, have
			}
			switch {
			case have < want:
				return -1
			case have > want:
				return 1
			}
			return 0
		})
		w.at += at
		if w.at < len(w.buf) || w.end {
			return nil
		}
		if err := w.fill(ctx); err != nil {
			return err
		}
	}
}

// wordSet is the numbers of the events that have any of several words.
type wordSet struct{ streams []*wordStream }

func (u *wordSet) head(ctx context.Context) (best uint64, err error) {
	for _, w := range u.streams {
		n, err := w.head(ctx)
		if err != nil {
			return 0, err
		}
		if n != 0 && (best == 0 || !w.desc && n < best || w.desc && n > best) {
			best = n
		}
	}
	return best, nil
}

func (u *wordSet) seek(ctx context.Context, n uint64) error {
	for _, w := range u.streams {
		if err := w.seek(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// walkWords answers from the events that have a word of each limit.
func (s *search) walkWords(ctx context.Context, limits []wordLimit) error {
	after, last := s.numberSpan()
	desc := s.desc && s.order == byNumber
	if after >= last {
		return nil
	}
	sets := make([]wordSet, len(limits))
	for i := range limits {
		for _, word := range limits[i].words {
			sets[i].streams = append(sets[i].streams, &wordStream{s: s, prefix: s.pagePrefix(limits[i].kind, word), desc: desc, after: after, last: last})
		}
	}
	given := uint64(0)
	return s.numbers(ctx, func() (uint64, error) {
		if given != 0 {
			next := given + 1
			if desc {
				next = given - 1
			}
			if err := sets[0].seek(ctx, next); err != nil {
				return 0, err
			}
		}
		for {
			n, err := sets[0].head(ctx)
			if err != nil || n == 0 {
				return 0, err
			}
			all := true
			for i := 1; i < len(sets) && all; i++ {
				if err := sets[i].seek(ctx, n); err != nil {
					return 0, err
				}
				m, err := sets[i].head(ctx)
				if err != nil || m == 0 {
					return 0, err
				}
				if m != n {
					all = false
					if err := sets[0].seek(ctx, m); err != nil {
						return 0, err
					}
				}
			}
			if all {
				given = n
				return n, nil
			}
		}
	})
}
