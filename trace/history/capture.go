package history

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Captured says what became of an event that was to be captured.
type Captured struct {
	ID       string // its eventID, given or made
	Hash     string // of CBV 2.0, 8.9
	Sequence uint64 // its number, or that of the event it equals
	// Duplicate: it was captured before, or earlier in the same call; no second event was made.
	Duplicate bool
	// Corrects is the number of the event with the same ID that it declares wrong; 0: none.
	Corrects uint64
	// Err is why it was not captured: only of CaptureEach. problem.Exists: another event has its ID.
	Err error
}

// prepared is an event ready to be written, but for its number.
type prepared struct {
	e      *epcis.Event
	id     string
	hash   string
	packed [32]byte
	links  []byte
	rest   []byte
	fault  []byte // the encoded error declaration; nil: none
	things []named
	inline bool
	size   int // bytes of its keys and values, about
	err    error
	by     Ref

	idDigest, hashDigest [8]byte

	number   uint64 // given when it is written
	recorded uint64
	late     bool // it is superseded as it comes: its error declaration came first
}

// request is one call that waits for its events to be written.
type request struct {
	ctx    context.Context
	events []prepared
	each   bool
	size   int
	out    []Captured
	err    error
	turn   chan bool // true: written, see err; false: lead the next group
}

const (
	groupBytes = 16 << 20 // of the requests that are written together
	mostBytes  = store.MaxBatch * 3 / 4
)

// Capture writes the events, which the caller has validated, in one durable batch: all of them or, when it returns an error, none. It sets their RecordTime, and the ID of
// those that have none to their hash. Errors: problem.Exists when another event has the ID of one of them, with other contents; problem.TooLarge when they do not fit into one
// batch (96 MiB with their index); those of the store. After store.ErrUncertain, capture them again: what was written is then found to be a duplicate.
func (h *History) Capture(ctx context.Context, by Ref, events []epcis.Event) ([]Captured, error) {
	return h.capture(ctx, by, events, false)
}

// CaptureEach is Capture with each event for itself: one that cannot be captured says so in its Err and does not hold up the others. A large number is written in
// several batches; on an error of the store those that have a Sequence are written.
func (h *History) CaptureEach(ctx context.Context, by Ref, events []epcis.Event) ([]Captured, error) {
	return h.capture(ctx, by, events, true)
}

func (h *History) capture(ctx context.Context, by Ref, events []epcis.Event, each bool) ([]Captured, error) {
	if len(events) == 0 {
		return nil, ctx.Err()
	}
	ready := prepareAll(events)
	total := 0
	for i := range ready {
		p := &ready[i]
		p.by = by
		if p.err == nil && (len(p.links)+len(p.rest)+len(by.Name)+64 > store.MaxValue || p.size > mostBytes) {
			p.err = problem.New(problem.TooLarge, "event %s is too large to be stored: leave out what it carries beside its facts, or split it",
				"事件 %s 过大，无法存储：请去除附带内容或拆分", p.id)
		}
		if p.err != nil && !each {
			return nil, p.err
		}
		total += p.size
	}
	if total > mostBytes && !each {
		return nil, problem.New(problem.TooLarge, "the %d events take about %d bytes with their index, more than the %d that are written at once: capture them in parts",
			"这 %d 个事件连同索引约 %d 字节，超过一次写入的上限 %d：请分批采集", len(events), total, mostBytes)
	}
	out := make([]Captured, 0, len(events))
	for len(ready) > 0 {
		n, size := 0, 0
		for n < len(ready) && (n == 0 || size+ready[n].size <= mostBytes) && (!each || n == 0 || size+ready[n].size <= groupBytes) {
			size += ready[n].size
			n++
		}
		q := &request{ctx: ctx, events: ready[:n], each: each, size: size, turn: make(chan bool, 1)}
		if err := h.submit(q); err != nil {
			return append(out, make([]Captured, len(ready))...), err
		}
		for i := range q.events {
			if p := &q.events[i]; q.out[i].Err == nil {
				p.e.ID, p.e.RecordTime = p.id, fromMillis(p.recorded)
			}
		}
		out = append(out, q.out...)
		ready = ready[n:]
	}
	return out, nil
}

// prepareAll prepares the events on all cores.
func prepareAll(events []epcis.Event) []prepared {
	out := make([]prepared, len(events))
	const block = 64
	workers := min(runtime.GOMAXPROCS(0), (len(events)+block-1)/block)
	if workers <= 1 {
		for i := range events {
			out[i].prepare(&events[i])
		}
		return out
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				end := int(next.Add(block))
				for i := end - block; i < min(end, len(events)); i++ {
					out[i].prepare(&events[i])
				}
				if end >= len(events) {
					return
				}
			}
		})
	}
	wg.Wait()
	return out
}

func (p *prepared) prepare(e *epcis.Event) {
	p.e = e
	p.hash = epcis.Hash(e)
	var ok bool
	if p.packed, ok = packHash(p.hash); !ok {
		p.err = problem.New(problem.BadValue, "the event of %s has no hash, so it cannot be told from others: check its fields",
			"%s 的事件无法计算散列值，因而无法与其他事件区分：请检查其字段", offsetOf(e.Time))
		return
	}
	stored := *e
	if p.id = e.ID; p.id == "" {
		p.id = p.hash
		stored.ID = p.id
	}
	p.digest()
	p.links = appendLinks(make([]byte, 0, 256), &stored)
	p.rest = appendRest(nil, &stored)
	if e.Error != nil {
		p.fault = appendFields(appendError(nil, e.Error), e.Error.Extensions)
	}
	p.things = appendNamed(make([]named, 0, 4), e)
	things := 0
	for i := range p.things {
		if p.things[i].roles&^placeRoles != 0 {
			things++
		}
	}
	p.inline = len(p.links) <= inlineLinks && len(p.links)*things <= inlineTotal
	p.size = len(p.links) + len(p.rest) + 400
	for i := range p.things {
		p.size += len(p.things[i].key) + 40
		if p.inline {
			p.size += len(p.links)
		}
	}
}

// digest finds the digests of the event's ID and hash.
func (p *prepared) digest() {
	p.hashDigest = [8]byte(p.packed[:8])
	if p.idDigest = p.hashDigest; p.id != p.hash {
		appendDigest(p.idDigest[:0], p.id)
	}
}

// submit lets q be written, with what others want written at the moment.
func (h *History) submit(q *request) error {
	h.mu.Lock()
	h.queue = append(h.queue, q)
	lead := !h.leading
	h.leading = true
	h.mu.Unlock()
	if !lead {
		select {
		case done := <-q.turn:
			if done {
				return q.err
			}
		case <-q.ctx.Done():
			h.mu.Lock()
			i := slices.Index(h.queue, q)
			if i < 0 {
				// It is being written: what comes of it is told soon.
				h.mu.Unlock()
				<-q.turn
				return q.err
			}
			h.queue = slices.Delete(h.queue, i, i+1)
			h.mu.Unlock()
			select {
			case <-q.turn: // it was to lead
				h.pass()
			default:
			}
			return problem.Wrap(q.ctx.Err(), problem.Canceled, "the capture was called off before it was written", "采集在写入之前已被取消")
		}
	}
	// This call leads: it writes its own request and those behind it that fit.
	h.mu.Lock()
	group, size := []*request{q}, q.size
	rest := h.queue[:0]
	full := false
	for _, other := range h.queue {
		if other == q {
			continue
		}
		if full = full || size+other.size > groupBytes; full {
			rest = append(rest, other)
			continue
		}
		size += other.size
		group = append(group, other)
	}
	clear(h.queue[len(rest):])
	h.queue = rest
	h.mu.Unlock()

	h.write.Lock()
	h.commit(group)
	h.write.Unlock()
	for _, other := range group[1:] {
		other.turn <- true
	}
	h.pass()
	return q.err
}

// pass lets the first in the queue lead, or nobody.
func (h *History) pass() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 {
		h.leading = false
		return
	}
	h.queue[0].turn <- false
}

// together is a context that ends when those of all requests have ended.
func together(group []*request) (context.Context, func()) {
	if len(group) == 1 {
		return group[0].ctx, func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var left atomic.Int64
	left.Store(int64(len(group)))
	stops := make([]func() bool, 0, len(group))
	for _, q := range group {
		stops = append(stops, context.AfterFunc(q.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// work is what writing a group needs, kept for the next one.
type work struct {
	batch   store.Batch
	mem     arena
	digests map[[8]byte]int // → ids
	ids     []idRow
	pages   map[pageKey]int // → words
	words   []wordPage

	fresh       []*prepared // what is new, in the order of numbers
	corrections []correction
}

// correction is an event that is declared wrong: a stored one, or one of the same batch.
type correction struct {
	number uint64
	batch  *prepared
}

// idRow is one row of the ID index as the batch will leave it.
type idRow struct {
	digest  [8]byte
	raw     []byte // as the store has it; nil: nothing
	numbers []uint64
	fresh   []*prepared
	asked   bool // the store was asked
}

type pageKey struct {
	kind byte
	word string
}

type wordPage struct {
	key     pageKey
	numbers []uint64
}

// arena is memory for many small pieces.
type arena struct{ chunk []byte }

const chunkBytes = 256 << 10

// room returns an empty piece that can hold n bytes.
func (a *arena) room(n int) []byte {
	if cap(a.chunk)-len(a.chunk) < n {
		a.chunk = make([]byte, 0, max(chunkBytes, n))
	}
	return a.chunk[len(a.chunk):len(a.chunk):cap(a.chunk)]
}

// keep makes what was appended to the last room permanent.
func (a *arena) keep(b []byte) []byte {
	if end := len(a.chunk) + len(b); len(b) > 0 && cap(a.chunk)-len(a.chunk) >= len(b) && &a.chunk[:end][end-len(b)] == &b[0] {
		a.chunk = a.chunk[:end]
	}
	return b[:len(b):len(b)]
}

// patience is how often others may come first before a capture is given up.
const patience = 1000

// commit writes the group and sets each request's outcome. h.write is held.
func (h *History) commit(group []*request) {
	ctx, done := together(group)
	defer done()
	fail := func(err error) {
		for _, q := range group {
			if q.err == nil {
				q.err = err
			}
		}
	}
	// At first the store is not asked whether the events are new: the batch's conditions say so. Only when they do not hold is each asked for.
	careful := false
	for range patience {
		if !h.known {
			st, err := h.load(ctx, h.store)
			if err != nil {
				fail(err)
				return
			}
			h.state, h.known = st, true
		}
		next, err := h.build(ctx, group, careful)
		if err != nil {
			fail(err)
			return
		}
		if next.last == h.state.last {
			return // all of them were known, or refused
		}
		receipt, err := h.store.Apply(ctx, &h.work.batch)
		switch {
		case err == nil:
			h.state = next
			h.lastWake = wakeNumber(h.wakeKey(), receipt.Last)
			return
		case errors.Is(err, store.ErrConflict):
			h.known, careful = false, true
		default:
			h.known, h.lastWake = false, nil
			fail(err)
			return
		}
	}
	fail(store.ErrConflict)
}

// build makes the batch of a group, and the state after it.
func (h *History) build(ctx context.Context, group []*request, careful bool) (state, error) {
	w := &h.work
	w.batch.Reset()
	w.mem = arena{}
	if w.digests == nil {
		w.digests, w.pages = map[[8]byte]int{}, map[pageKey]int{}
	}
	clear(w.digests)
	clear(w.pages)
	w.ids, w.words = w.ids[:0], w.words[:0]
	clear(w.fresh)
	w.fresh, w.corrections = w.fresh[:0], w.corrections[:0]

	next := h.state
	next.recorded = max(millis(h.now()), h.state.recorded)
	stateKey := h.meta("state")
	w.batch.Expect(stateKey, h.state.raw)
	for _, q := range group {
		if err := h.place(ctx, q, &next, careful); err != nil {
			return state{}, err
		}
	}
	if next.last == h.state.last {
		return next, nil
	}
	if err := h.putAll(ctx); err != nil {
		return state{}, err
	}
	w.batch.Put(append48(append48(h.key(nil, tagRecorded), next.recorded), h.state.last+1), []byte{})
	next.raw = next.encode()
	w.batch.Put(stateKey, next.raw)
	w.batch.Append(h.wakeKey(), []byte{})
	if h.lastWake != nil {
		w.batch.Delete(h.lastWake)
	}
	return next, nil
}

// place decides about the events of a request and puts those that are new into the batch.
func (h *History) place(ctx context.Context, q *request, next *state, careful bool) error {
	w := &h.work
	q.out = make([]Captured, len(q.events))
	q.err = nil
	first := *next
	corrections, fresh := len(w.corrections), len(w.fresh)
	for i := range q.events {
		p, out := &q.events[i], &q.out[i]
		out.ID, out.Hash = p.id, p.hash
		p.number, p.late = 0, false
		if p.e.ID == "" {
			p.id, p.idDigest = p.hash, p.hashDigest
		}
		if p.err != nil {
			out.Err = p.err
			continue
		}
		byID, err := h.idRow(ctx, p.idDigest, careful)
		if err != nil {
			return err
		}
		byHash := byID
		if p.id != p.hash {
			if byHash, err = h.idRow(ctx, p.hashDigest, careful); err != nil {
				return err
			}
		}
		// Which events have this ID, and which these contents?
		var duplicate, duplicateAt uint64
		var declared, plain, last uint64 // the last with the ID, declared wrong or not
		var lastInBatch *prepared
		look := func(number, recorded uint64, id string, packed []byte, fault []byte, in *prepared) {
			same := bytes.Equal(packed, p.packed[:]) && bytes.Equal(fault, p.fault)
			if id == p.id {
				if fault != nil {
					declared = number
				} else {
					plain = number
				}
				if number > last && (last == 0 || fault != nil || declared == 0) {
					last, lastInBatch = number, in
				}
			}
			// An event without an ID is any with its contents; one with an ID only the one with that ID.
			if same && (id == p.id || p.e.ID == "") && duplicate == 0 {
				duplicate, duplicateAt = number, recorded
				out.ID = id
			}
		}
		for _, at := range []int{byID, byHash} {
			for _, number := range w.ids[at].numbers {
				stored, there, err := h.row(ctx, h.store, number)
				if err != nil {
					return err
				}
				if !there {
					continue
				}
				e, err := stored.event(true)
				if err != nil {
					return err
				}
				var fault []byte
				if e.Error != nil {
					fault = appendFields(appendError(nil, e.Error), e.Error.Extensions)
				}
				look(number, stored.recorded, e.ID, []byte(stored.hash), fault, nil)
			}
			for _, other := range w.ids[at].fresh {
				look(other.number, other.recorded, other.id, other.packed[:], other.fault, other)
			}
			if byID == byHash {
				break
			}
		}
		switch {
		case duplicate != 0:
			out.Duplicate, out.Sequence = true, duplicate
			p.recorded = duplicateAt
			p.id = out.ID
			continue
		case last == 0:
		case p.fault != nil:
			out.Corrects = last
			w.corrections = append(w.corrections, correction{last, lastInBatch})
		case plain != 0:
			err := problem.New(problem.Exists,
				"another event has the ID %s, with other contents: give this one an ID of its own, or declare the other wrong with an errorDeclaration",
				"已有内容不同的事件使用标识 %s：请为此事件另取标识，或以 errorDeclaration 声明原事件有误", p.id)
			if q.each {
				out.Err = err
				continue
			}
			// Nothing of the request is written: what it has put down so far is taken back.
			q.err = err
			for _, p := range w.fresh[fresh:] {
				h.forget(p)
			}
			w.fresh, w.corrections = w.fresh[:fresh], w.corrections[:corrections]
			*next = first
			return nil
		default:
			p.late = true // its error declaration came first
		}
		next.last++
		next.events++
		p.number, p.recorded = next.last, next.recorded
		out.Sequence = p.number
		w.ids[byID].fresh = append(w.ids[byID].fresh, p)
		if byHash != byID {
			w.ids[byHash].fresh = append(w.ids[byHash].fresh, p)
		}
		w.fresh = append(w.fresh, p)
	}
	return nil
}

// putAll adds the new events and their index entries to the batch, one index after the other: an engine that sorts keys in memory finds neighbours faster.
func (h *History) putAll(ctx context.Context) error {
	w := &h.work
	for _, p := range w.fresh {
		h.putRow(p)
	}
	for _, p := range w.fresh {
		flags := byte(0)
		if p.late {
			flags = entrySuperseded
		}
		h.putThings(p, flags)
	}
	for _, c := range w.corrections {
		if c.batch != nil {
			h.putThings(c.batch, entrySuperseded)
			continue
		}
		if err := h.supersede(ctx, c.number); err != nil {
			return err
		}
	}
	for _, p := range w.fresh {
		k := h.key(w.mem.room(len(h.prefix)+16), tagTime)
		w.batch.Put(w.mem.keep(append48(append48(k, millis(p.e.Time)), p.number)), []byte{})
		words(p.e, func(kind byte, word string) { w.putWord(pageKey{kind, word}, p.number) })
	}
	for i := range w.words {
		page := &w.words[i]
		key := append(h.key(w.mem.room(len(h.prefix)+2*len(page.key.word)+32), tagPage), page.key.kind)
		key = append48(append(appendWord(key, page.key.word), 0), page.numbers[0])
		key = w.mem.keep(key)
		w.batch.Put(key, w.mem.keep(appendPage(w.mem.room(10*len(page.numbers)), page.numbers[0], page.numbers)))
	}
	slices.SortFunc(w.ids, func(a, b idRow) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	for i := range w.ids {
		row := &w.ids[i]
		if len(row.fresh) == 0 {
			continue
		}
		key := w.mem.keep(append(h.key(w.mem.room(len(h.prefix)+9), tagID), row.digest[:]...))
		w.batch.Expect(key, row.raw)
		value := appendNumbers(w.mem.room(6*(len(row.numbers)+len(row.fresh))), row.numbers)
		for _, p := range row.fresh {
			value = append48(value, p.number)
		}
		w.batch.Put(key, w.mem.keep(value))
	}
	return nil
}

// idRow is the index in work.ids of the row for the digest of an ID or a hash.
func (h *History) idRow(ctx context.Context, digest [8]byte, careful bool) (int, error) {
	w := &h.work
	at, there := w.digests[digest]
	if !there {
		at = len(w.ids)
		w.digests[digest] = at
		if at < cap(w.ids) {
			w.ids = w.ids[:at+1]
			w.ids[at] = idRow{digest: digest, fresh: w.ids[at].fresh[:0]}
		} else {
			w.ids = append(w.ids, idRow{digest: digest})
		}
	}
	row := &w.ids[at]
	if careful && !row.asked {
		row.asked = true
		raw, err := h.store.Get(ctx, nil, append(h.key(nil, tagID), digest[:]...))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		if err == nil {
			row.raw = raw
			if row.numbers, err = readNumbers(raw); err != nil {
				return 0, err
			}
		}
	}
	return at, nil
}

// forget takes an event out of the ID rows.
func (h *History) forget(p *prepared) {
	w := &h.work
	for _, digest := range [][8]byte{p.idDigest, p.hashDigest} {
		row := &w.ids[w.digests[digest]]
		row.fresh = slices.DeleteFunc(row.fresh, func(other *prepared) bool { return other == p })
	}
	p.number = 0
}

// putRow adds an event itself to the batch.
func (h *History) putRow(p *prepared) {
	b, mem := &h.work.batch, &h.work.mem
	key := mem.keep(append48(h.key(mem.room(len(h.prefix)+8), tagEvent), p.number))
	value := appendHead(mem.room(64+len(p.by.Name)+len(p.links)+len(p.rest)), p.recorded, p.packed, p.by)
	value = append(append(appendUvarint(value, uint64(len(p.links))), p.links...), p.rest...)
	b.Put(key, mem.keep(value))
}

// putWord notes that an event has a word.
func (w *work) putWord(k pageKey, number uint64) {
	i, there := w.pages[k]
	if !there {
		i = len(w.words)
		w.pages[k] = i
		if i < cap(w.words) {
			w.words = w.words[:i+1]
			w.words[i] = wordPage{key: k, numbers: w.words[i].numbers[:0]}
		} else {
			w.words = append(w.words, wordPage{key: k})
		}
	}
	w.words[i].numbers = append(w.words[i].numbers, number)
}

// putThings adds an event's entries in the index of things.
func (h *History) putThings(p *prepared, flags byte) {
	mem := &h.work.mem
	at := millis(p.e.Time)
	for i := range p.things {
		t := &p.things[i]
		flags := flags &^ entryLinks
		if p.inline && t.roles&^placeRoles != 0 {
			flags |= entryLinks
		}
		k := appendWord(h.key(mem.room(len(h.prefix)+2*len(t.key)+48), tagThing), t.key)
		k = mem.keep(append48(append48(append(k, 0), at), p.number))
		h.work.batch.Put(k, mem.keep(appendEntry(mem.room(16+len(p.links)), flags, t.roles, p.recorded, p.links)))
	}
}

// supersede marks the entries of a stored event.
func (h *History) supersede(ctx context.Context, number uint64) error {
	w, there, err := h.row(ctx, h.store, number)
	if err != nil || !there {
		return err
	}
	e, err := w.event(false)
	if err != nil {
		return err
	}
	at := millis(e.Time)
	for _, t := range appendNamed(nil, e) {
		key := append48(append48(append(appendWord(h.key(nil, tagThing), t.key), 0), at), number)
		old, err := h.store.Get(ctx, nil, key)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if len(old) == 0 {
			return damaged()
		}
		marked := bytes.Clone(old)
		marked[0] |= entrySuperseded
		h.work.batch.Expect(key, old)
		h.work.batch.Put(key, marked)
	}
	return nil
}
