package graph

import (
	"context"
	"errors"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// participant is a thing in an event.
type participant struct {
	node   int32
	class  bool
	amount epcis.Decimal
	unit   string
}

// happening is an event as the search needs it: its things are numbers, each is looked up once.
type happening struct {
	e          *epcis.Event
	at         int64
	parent     int32 // -1: none
	kids       []participant
	ins, outs  []participant
	process    int32 // node of the transformationID; -1: none
	transforms bool
	roles      map[int32]role // of an event with many things
}

// role is what a thing is in an event.
type role uint8

const (
	isKid role = 1 << iota
	isKidClass
	isIn
	isInClass
	isOut
	isOutClass
)

// few is how many things are looked through rather than looked up.
const few = 24

// role is what n is in the event, parent aside. A thing of an event with a hundred thousand is looked up, not looked for.
func (h *happening) role(n int32) (r role) {
	if len(h.kids)+len(h.ins)+len(h.outs) > few {
		if h.roles == nil {
			h.roles = make(map[int32]role, len(h.kids)+len(h.ins)+len(h.outs))
			h.every(func(n int32, r role) { h.roles[n] |= r })
		}
		return h.roles[n]
	}
	for k, list := range [3][]participant{h.kids, h.ins, h.outs} {
		for i := range list {
			if list[i].node == n {
				r |= roleOf(k, list[i].class)
			}
		}
	}
	return r
}

func roleOf(list int, class bool) role {
	if class {
		return 2 << (2 * list)
	}
	return 1 << (2 * list)
}

func (h *happening) every(f func(n int32, r role)) {
	for k, list := range [3][]participant{h.kids, h.ins, h.outs} {
		for i := range list {
			f(list[i].node, roleOf(k, list[i].class))
		}
	}
}

// cut is a moment at which whatever was in a thing is in it no more.
type cut struct {
	at int64
	id string
	ev int32
}

// node is a thing.
type node struct {
	key  string
	raw  string // the first spelling that was seen
	many bool   // it is spelled in several ways
	// class: named in lists of quantities only.
	class, instance bool
	fetched         bool
	stop            string

	all    []int32 // happenings that name it, in order, those declared wrong included
	events []int32 // those that stand
	wrong  []int32

	emptied [2][]cut // packed, assembled: when it was emptied as a whole, or came to an end
	ends    []cut
	holds   []int32 // parents, when known
	held    []int32 // children, when known
	within  []inParent
	refs    []reference
}

// inParent is when a thing was in one other.
type inParent struct {
	parent int32
	list   []containment
}

type reference struct {
	from, to   int32
	since      int64
	downstream bool
}

// load is what was read of a source so far.
type load struct {
	ctx      context.Context
	src      Source
	parallel int
	from, to time.Time

	byKey map[string]int32
	byRaw map[string]int32
	nodes []*node
	slab  []node

	byPointer map[*epcis.Event]int32
	byID      map[string]int32
	byNumber  map[uint64]int32          // of a source that numbers its events
	read      []map[uint64]*epcis.Event // by worker: what it was given so far
	events    []happening

	asked int
	room  []participant // where happenings have their things
}

func newLoad(ctx context.Context, src Source, from, to time.Time) *load {
	// The usual question meets some dozens of things, in a dozen events.
	l := &load{ctx: ctx, src: src, parallel: 1, from: from, to: to, byKey: make(map[string]int32, 56), byRaw: map[string]int32{}, nodes: make([]*node, 0, 64),
		byPointer: map[*epcis.Event]int32{}, byID: make(map[string]int32, 14), byNumber: make(map[uint64]int32, 14), events: make([]happening, 0, 14)}
	if p, ok := src.(Parallel); ok {
		l.parallel = min(max(p.Parallel(), 1), 64)
	}
	return l
}

// bounds is the time that the question is about.
func (l *load) bounds() span {
	s := span{always, never}
	if !l.from.IsZero() {
		s.from = micros(l.from)
	}
	if !l.to.IsZero() {
		s.to = micros(l.to)
	}
	return s
}

// at is the node of an identifier as it was written; -1 for none.
func (l *load) at(raw string) int32 {
	if raw == "" {
		return -1
	}
	// What is a key already is its own key: it is looked up once.
	n, ok := l.byKey[raw]
	if !ok {
		if n, ok = l.byRaw[raw]; ok {
			return n
		}
		key := epcis.Key(raw)
		if n, ok = l.byKey[key]; !ok {
			n = l.add(key)
		}
		if key != raw {
			l.byRaw[raw] = n
		}
	}
	switch d := l.nodes[n]; d.raw {
	case raw:
	case "":
		d.raw = raw
	default:
		d.many = true
	}
	return n
}

// key is the node of a key.
func (l *load) key(key string) int32 {
	if n, ok := l.byKey[key]; ok {
		return n
	}
	return l.add(key)
}

func (l *load) add(key string) int32 {
	if len(l.slab) == 0 {
		l.slab = make([]node, min(max(16, len(l.nodes)), 4096))
	}
	n := &l.slab[0]
	l.slab = l.slab[1:]
	n.key = key
	l.nodes = append(l.nodes, n)
	l.byKey[key] = int32(len(l.nodes) - 1)
	return int32(len(l.nodes) - 1)
}

// list turns identifiers and quantities into participants, in room that is shared.
func (l *load) list(ids []string, classes []epcis.Quantity) []participant {
	n := len(ids) + len(classes)
	if n == 0 {
		return nil
	}
	if cap(l.room)-len(l.room) < n {
		l.room = make([]participant, 0, max(n, 256))
	}
	start := len(l.room)
	for _, id := range ids {
		if k := l.at(id); k >= 0 {
			l.nodes[k].instance = true
			l.room = append(l.room, participant{node: k})
		}
	}
	for i := range classes {
		if k := l.at(classes[i].Class); k >= 0 {
			l.nodes[k].class = true
			l.room = append(l.room, participant{node: k, class: true, amount: classes[i].Quantity, unit: classes[i].Unit})
		}
	}
	return l.room[start:len(l.room):len(l.room)]
}

// event is the happening of e, made once. number is 0 when the source does not number its events.
func (l *load) event(e *epcis.Event, number uint64) int32 {
	if number > 0 {
		if i, ok := l.byNumber[number]; ok {
			return i
		}
		i := l.happens(e)
		l.byNumber[number] = i
		return i
	}
	if i, ok := l.byPointer[e]; ok {
		return i
	}
	return l.happens(e)
}

func (l *load) happens(e *epcis.Event) int32 {
	id := e.ID
	if id != "" {
		if e.Error != nil {
			id = "\x00" + id // a declaration has the ID of the event that it is about
		}
		if i, ok := l.byID[id]; ok {
			return i
		}
	}
	h := happening{e: e, at: micros(e.Time), parent: -1, process: -1}
	switch e.Type {
	case epcis.TransformationEvent:
		h.transforms = true
		h.ins, h.outs = l.list(e.InputEPCs, e.InputQuantities), l.list(e.OutputEPCs, e.OutputQuantities)
		h.process = l.at(e.TransformationID)
	default:
		h.parent = l.at(e.Parent)
		if h.parent >= 0 {
			l.nodes[h.parent].instance = true
		}
		h.kids = l.list(e.EPCs, e.Quantities)
	}
	i := int32(len(l.events))
	l.events = append(l.events, h)
	if id == "" {
		l.byPointer[e] = i // nothing else tells it from others, but for its number
	} else {
		l.byID[id] = i
	}
	return i
}

// each yields the things of an event.
func (h *happening) each(yield func(participant) bool) {
	if h.parent >= 0 && !yield(participant{node: h.parent}) {
		return
	}
	for _, list := range [3][]participant{h.kids, h.ins, h.outs} {
		for _, p := range list {
			if !yield(p) {
				return
			}
		}
	}
}

// before is the order of events: time, then ID, then the order in which they came.
func (l *load) before(a, b int32) bool {
	x, y := &l.events[a], &l.events[b]
	if x.at != y.at {
		return x.at < y.at
	}
	if x.e.ID != y.e.ID {
		return x.e.ID < y.e.ID
	}
	return a < b
}

// answered is what the source said about one thing.
type answered struct {
	events  []*epcis.Event
	numbers []uint64 // of the events, when the source numbers them
	refs    []Reference
	err     error
}

// askMany asks for the events of many things at once; worker is who asks, whose memory of what was read nobody else uses. alone says that nothing is read in meanwhile, so that all
// which was read in before is known, too.
func (l *load) askMany(src Many, worker int, alone bool, keys []string, answers []answered) {
	mine := l.read[worker]
	known := func(number uint64) *epcis.Event {
		if alone {
			if i, ok := l.byNumber[number]; ok {
				return l.events[i].e
			}
		}
		return mine[number]
	}
	err := src.TouchingMany(l.ctx, keys, l.from, l.to, known, func(i int, number uint64, e *epcis.Event) {
		mine[number] = e
		a := &answers[i]
		if a.events == nil {
			a.events, a.numbers = make([]*epcis.Event, 0, 8), make([]uint64, 0, 8)
		}
		a.events, a.numbers = append(a.events, e), append(a.numbers, number)
	})
	if err == nil {
		err = l.ctx.Err()
	}
	r, refers := l.src.(Referrer)
	for i := range keys {
		switch {
		case err != nil:
			answers[i] = answered{err: err}
		case refers:
			answers[i].refs, answers[i].err = r.References(l.ctx, keys[i])
		}
	}
}

// readers makes the memories of n workers.
func (l *load) readers(n int) {
	for len(l.read) < n {
		l.read = append(l.read, map[uint64]*epcis.Event{})
	}
}

func (l *load) ask(key string, refs bool, room []*epcis.Event) (a answered) {
	a.events = room
	for e, err := range l.src.Touching(l.ctx, key, l.from, l.to) {
		if err != nil {
			a.err = err
			return a
		}
		if e != nil {
			a.events = append(a.events, e)
		}
	}
	if r, ok := l.src.(Referrer); ok && refs {
		a.refs, a.err = r.References(l.ctx, key)
	}
	return a
}

// fetch reads the events of these nodes, of each once. What other owners refuse is remembered at the node; any other error ends the search.
func (l *load) fetch(list []int32) error {
	todo := list[:0:0]
	var one [1]int32
	if len(list) == 1 {
		todo = one[:0]
	}
	for _, n := range list {
		if d := l.nodes[n]; !d.fetched {
			d.fetched = true
			todo = append(todo, n)
		}
	}
	l.asked += len(todo)
	many, atOnce := l.src.(Many)
	if atOnce && len(todo) > 0 && (l.parallel == 1 || len(todo) <= few) {
		slices.SortFunc(todo, func(a, b int32) int { return strings.Compare(l.nodes[a].key, l.nodes[b].key) })
		for all := todo; len(all) > 0; {
			part := all[:min(pieceSize, len(all))]
			keys := make([]string, len(part))
			for i, n := range part {
				keys[i] = l.nodes[n].key
			}
			// Few things are read one behind the other: to wake another core takes longer than to read one.
			l.readers(1)
			answers := make([]answered, len(part))
			l.askMany(many, 0, true, keys, answers)
			for i, n := range part {
				if err := l.took(n, answers[i]); err != nil {
					return l.unread(all[i:], err)
				}
			}
			all = all[len(part):]
		}
		return nil
	}
	if l.parallel == 1 || len(todo) < 2 {
		var room []*epcis.Event
		for _, n := range todo {
			if err := l.ctx.Err(); err != nil {
				return l.unread(todo, err)
			}
			a := l.ask(l.nodes[n].key, true, room[:0])
			room = a.events
			if err := l.took(n, a); err != nil {
				return l.unread(todo, err)
			}
		}
		return nil
	}
	// Neighbours are asked for one after another: they lie together in most stores. While one piece is read in, the next is asked for.
	if len(todo) > few {
		sort.Slice(todo, func(i, j int) bool { return l.nodes[todo[i]].key < l.nodes[todo[j]].key })
	}
	cur := l.begin(todo)
	for cur != nil {
		todo = todo[len(cur.nodes):]
		cur.wg.Wait()
		var next *piece
		if len(todo) > 0 {
			next = l.begin(todo)
		}
		for i, n := range cur.nodes {
			if err := l.took(n, cur.answers[i]); err != nil {
				if next != nil {
					next.wg.Wait()
				}
				return l.unread(append(cur.nodes[i:len(cur.nodes):len(cur.nodes)], todo...), err)
			}
		}
		cur = next
	}
	return nil
}

// pieceSize is how many answers are held at once, twice.
const pieceSize = 1024

// piece is some questions that are under way.
type piece struct {
	wg      sync.WaitGroup
	nodes   []int32
	answers []answered
}

// begin asks for the first of the list. Its goroutines touch nothing of l that reading answers in changes.
func (l *load) begin(list []int32) *piece {
	list = list[:min(pieceSize, len(list))]
	p := &piece{nodes: list, answers: make([]answered, len(list))}
	keys := make([]string, len(list))
	for i, n := range list {
		keys[i] = l.nodes[n].key
	}
	workers := min(l.parallel, len(list))
	step := (len(list) + workers - 1) / workers
	many, atOnce := l.src.(Many)
	if atOnce {
		l.readers(workers)
	}
	for w := 0; w < len(list); w += step {
		if atOnce {
			p.wg.Go(func() {
				l.askMany(many, w/step, false, keys[w:min(w+step, len(list))], p.answers[w:min(w+step, len(list))])
			})
			continue
		}
		p.wg.Go(func() {
			for i := w; i < min(w+step, len(list)); i++ {
				if p.answers[i].err = l.ctx.Err(); p.answers[i].err == nil {
					p.answers[i] = l.ask(keys[i], true, nil)
				}
			}
		})
	}
	return p
}

// unread says that the events of these were not read after all.
func (l *load) unread(list []int32, err error) error {
	for _, n := range list {
		if l.nodes[n].all == nil {
			l.nodes[n].fetched = false
		}
	}
	return err
}

func (l *load) took(n int32, a answered) error {
	d := l.nodes[n]
	if a.err != nil {
		if l.ctx.Err() != nil {
			return l.ctx.Err()
		}
		switch problem.KindOf(a.err) {
		case problem.Unreachable, problem.Busy:
			d.stop = "unreachable"
		case problem.Forbidden, problem.NeedAuth, problem.NotAdmin, problem.AuthFailed:
			d.stop = "refused"
		case problem.Bogus:
			d.stop = "bogus"
		default:
			return a.err
		}
	}
	if len(a.events) > 0 {
		d.all = make([]int32, 0, len(a.events))
	}
	sorted, wrong := true, false
	for x, e := range a.events {
		number := uint64(0)
		if a.numbers != nil {
			number = a.numbers[x]
		}
		i := l.event(e, number)
		if k := len(d.all); k > 0 && sorted {
			if d.all[k-1] == i {
				continue
			}
			sorted = l.before(d.all[k-1], i)
		}
		wrong = wrong || e.Error != nil
		d.all = append(d.all, i)
	}
	if !sorted {
		sort.Slice(d.all, func(i, j int) bool { return l.before(d.all[i], d.all[j]) })
		k := 0
		for i, ev := range d.all {
			if i == 0 || ev != d.all[k-1] {
				d.all[k] = ev
				k++
			}
		}
		d.all = d.all[:k]
	}
	d.events = d.all
	if wrong {
		bad := map[string]bool{}
		for _, i := range d.all {
			if e := l.events[i].e; e.Error != nil {
				bad[e.ID] = true
			}
		}
		d.events = make([]int32, 0, len(d.all))
		for _, i := range d.all {
			if e := l.events[i].e; e.Error != nil || e.ID != "" && bad[e.ID] {
				d.wrong = append(d.wrong, i)
			} else {
				d.events = append(d.events, i)
			}
		}
	}
	l.lives(n)
	for _, r := range a.refs {
		d.refs = append(d.refs, reference{from: l.key(r.From), to: l.key(r.To), since: fromZero(r.Since), downstream: r.Downstream})
	}
	return nil
}

func fromZero(t time.Time) int64 {
	if t.IsZero() {
		return always
	}
	return micros(t)
}

// lives finds when n came to an end, and when it was emptied.
func (l *load) lives(n int32) {
	d := l.nodes[n]
	for _, i := range d.events {
		h := &l.events[i]
		end := false
		switch {
		case h.transforms:
			end = h.role(n)&isIn != 0
		case h.e.Type == epcis.ObjectEvent && h.e.Action == epcis.Delete:
			end = h.role(n)&isKid != 0
		case h.parent == n && len(h.kids) == 0 && h.e.Action == epcis.Delete && h.kind() != "":
			d.empty(h.kind(), cut{h.at, h.e.ID, i})
		}
		if end {
			c := cut{h.at, h.e.ID, i}
			d.ends = append(d.ends, c)
			d.empty(Packed, c)
			d.empty(Assembled, c)
		}
	}
}

func (k Kind) index() int {
	if k == Assembled {
		return 1
	}
	return 0
}

func (d *node) empty(k Kind, c cut) {
	d.emptied[k.index()] = append(d.emptied[k.index()], c)
}

// kind is what an event does to its parent and children; "" when nothing.
func (h *happening) kind() Kind {
	switch h.e.Type {
	case epcis.AggregationEvent:
		return Packed
	case epcis.AssociationEvent:
		return Assembled
	}
	return ""
}

// bare says whether a key is a class of trade items without lot or serial: all that was ever made of it, which ties nothing together.
func bare(key string) bool {
	rest, ok := strings.CutPrefix(key, "https://id.gs1.org/01/")
	return ok && !strings.Contains(rest, "/")
}

// stopped says whether the search ended because its time was up, and the answer is what was found by then.
func stopped(outer context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && !errors.Is(outer.Err(), context.Canceled)
}

func canceled(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return problem.Wrap(err, problem.Canceled, "the question was given up before its answer was found", "问题在得到答案前已被取消")
	}
	return err
}
