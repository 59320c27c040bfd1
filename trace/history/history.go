// Package history remembers every event that a company captured, finds those about a thing, a place, a step or a time at once, and lets none be lost, doubled or
// quietly changed.
//
// A History rests on any store. An event is written once, in one durable batch with all of its index entries; an event that was captured before, by its ID or by the
// hash of its contents, is no second event. One with an error declaration stands beside the event with the same ID that it declares wrong: Query shows both, Event and
// Touching the later. See layout.go for the keys and codec.go for the bytes.
//
// Who can write into the store can change or remove events; the hash of an event that was passed on shows it.
package history

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Config says where a history rests.
type Config struct {
	Store store.Store
	Space string           // the name of the key space: letters, digits, dots and dashes; empty: "event"
	Now   func() time.Time // nil: time.Now
	Rand  io.Reader        // makes the secret that signs cursors, once; nil: crypto/rand
	Log   *slog.Logger     // nil: nowhere
	Cache int64            // bytes of decoded events of many things that are kept for Touching; 0: 32 MiB; negative: none
	Rules []Rule           // which events are removed, and when; see Run

	// Parallel is how many questions at the same time serve the store best: 0 means one for each core; a store behind a network wants more.
	Parallel int
}

// History is the events of one space of a store. Make it with Open. Its methods may be called from many goroutines.
type History struct {
	store  store.Store
	prefix []byte
	now    func() time.Time
	log    *slog.Logger
	secret []byte
	cache  cache
	rules  []Rule

	parallel int

	mu      sync.Mutex // guards the queue
	queue   []*request
	leading bool

	// What follows belongs to the leader, or to who holds write.
	write    sync.Mutex
	state    state
	known    bool   // state is what the store has, as far as this process knows
	lastWake []byte // the key that woke last
	work     work
}

// state is the row "state".
type state struct {
	last     uint64 // the last number
	recorded uint64 // the last record time
	events   uint64 // how many there are
	raw      []byte // as the store has it; nil: none
}

func (s *state) encode() []byte {
	return append48(append48(append48([]byte{layoutVersion}, s.last), s.recorded), s.events)
}

// Open opens the history in the store, and makes it if it is not there. It is problem.BadRequest for a malformed Config and problem.Internal for a history that another
// version of the program wrote.
func Open(ctx context.Context, cfg Config) (*History, error) {
	if cfg.Space == "" {
		cfg.Space = "event"
	}
	if cfg.Store == nil || len(cfg.Space) > 64 || strings.Trim(cfg.Space, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
		return nil, problem.New(problem.BadRequest,
			"an event history needs a store and a space named by up to 64 letters, digits, dots and dashes, not %q: name it so",
			"事件历史需要一个存储，并以不超过 64 个字母、数字、点和短横线命名其空间，而不是 %q：请改正", cfg.Space)
	}
	h := &History{store: cfg.Store, prefix: spacePrefix(cfg.Space), now: cfg.Now, log: cfg.Log, rules: cfg.Rules}
	if h.now == nil {
		h.now = time.Now
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	for i := range h.rules {
		if err := h.rules[i].check(); err != nil {
			return nil, err
		}
	}
	if h.parallel = cfg.Parallel; h.parallel <= 0 {
		h.parallel = runtime.GOMAXPROCS(0)
	}
	if cfg.Cache == 0 {
		cfg.Cache = 32 << 20
	}
	h.cache.room = cfg.Cache
	if _, err := h.load(ctx, h.store); err != nil {
		return nil, err
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	return h, h.openSecret(ctx, cfg.Rand)
}

// Parallel is graph.Parallel's.
func (h *History) Parallel() int { return h.parallel }

func (h *History) meta(name string) []byte { return append(h.key(nil, tagMeta), name...) }

// openSecret reads the secret of the cursors, or makes it.
func (h *History) openSecret(ctx context.Context, random io.Reader) error {
	key := h.meta("secret")
	for {
		secret, err := h.store.Get(ctx, nil, key)
		if err == nil && len(secret) == 32 {
			h.secret = secret
			return nil
		}
		if err == nil {
			return damaged()
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		secret = make([]byte, 32)
		if _, err := io.ReadFull(random, secret); err != nil {
			return problem.Wrap(err, problem.Internal, "no random numbers can be had for the secret that signs cursors: check the machine's source of them",
				"无法取得用于签署游标的随机数：请检查本机的随机数来源")
		}
		var b store.Batch
		b.Expect(key, nil)
		b.Put(key, secret)
		if _, err := h.store.Apply(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrUncertain) {
			return err
		}
	}
}

// load reads the state.
func (h *History) load(ctx context.Context, r store.Reader) (state, error) {
	raw, err := r.Get(ctx, nil, h.meta("state"))
	if errors.Is(err, store.ErrNotFound) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	if len(raw) != 19 || raw[0] != layoutVersion {
		return state{}, problem.New(problem.Internal,
			"the event history was not written by this version of the program: open it with the version that wrote it, or restore a backup",
			"事件历史不是由本版本程序写入的：请用原版本打开，或从备份恢复")
	}
	return state{last: read48(raw[1:]), recorded: read48(raw[7:]), events: read48(raw[13:]), raw: raw}, nil
}

// view calls look with what is durable at this moment.
func (h *History) view(ctx context.Context, look func(r store.Snapshot, st state) error) error {
	r, err := h.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	st, err := h.load(ctx, r)
	if err != nil {
		return err
	}
	return look(r, st)
}

// Ref names who captured an event: the value with the index in the record of the name. It has the shape of a record.Ref, which can be given and taken in its place as it is: this room
// does not know of records.
type Ref = struct {
	Index uint32
	Name  string
}

// Recorded is an event as it was captured.
type Recorded struct {
	Sequence uint64 // rises by one from event to event, from 1
	Event    *epcis.Event
	Hash     string // of CBV 2.0, 8.9
	By       Ref    // who captured it
}

// Last is the number of the last durable event, 0 when there is none.
func (h *History) Last(ctx context.Context) (last uint64, err error) {
	err = h.view(ctx, func(_ store.Snapshot, st state) error {
		last = st.last
		return nil
	})
	return last, err
}

// Count is how many events there are.
func (h *History) Count(ctx context.Context) (events uint64, err error) {
	err = h.view(ctx, func(_ store.Snapshot, st state) error {
		events = st.events
		return nil
	})
	return events, err
}

// Wait returns nil once there is an event with a number greater than sequence, or ctx's error.
func (h *History) Wait(ctx context.Context, sequence uint64) error {
	for {
		var last, stored uint64
		err := h.view(ctx, func(r store.Snapshot, st state) error {
			last, stored = st.last, r.Sequence()
			return nil
		})
		if err != nil || last > sequence {
			return err
		}
		if err := h.store.Wait(ctx, stored); err != nil {
			return err
		}
	}
}

// After returns the durable events with numbers greater than sequence, in their order, limit at most (0: 1,000). Events that were removed since are not among them.
func (h *History) After(ctx context.Context, sequence uint64, limit int) ([]Recorded, error) {
	if limit <= 0 {
		limit = 1000
	}
	var out []Recorded
	err := h.view(ctx, func(r store.Snapshot, st state) error {
		return h.rows(ctx, r, sequence, st.last, false, func(number uint64, w *row) error {
			n, err := recorded(number, w)
			if err != nil {
				return err
			}
			if out = append(out, n); len(out) == limit {
				return store.Stop
			}
			return nil
		})
	})
	return out, err
}

// Each visits all events there are at this moment, in the order in which they were captured: an export. It holds a snapshot of the store open meanwhile. store.Stop, returned
// by visit, ends it without an error.
func (h *History) Each(ctx context.Context, visit func(Recorded) error) error {
	return h.view(ctx, func(r store.Snapshot, st state) error {
		return store.ReadAhead(ctx, r, h.span(0, st.last, false), func(key, value []byte) error {
			w, err := openRow(string(value))
			if err != nil {
				return err
			}
			n, err := recorded(read48(key[len(key)-6:]), &w)
			if err != nil {
				return err
			}
			return visit(n)
		})
	})
}

func recorded(number uint64, w *row) (Recorded, error) {
	e, err := w.event(true)
	return Recorded{Sequence: number, Event: e, Hash: w.hashText(), By: w.by}, err
}

func (h *History) rowKey(number uint64) []byte {
	return append48(h.key(make([]byte, 0, len(h.prefix)+7), tagEvent), number)
}

// span is the rows with after < number <= last.
func (h *History) span(after, last uint64, reverse bool) store.Span {
	return store.Span{From: h.rowKey(after + 1), To: h.rowKey(last + 1), Reverse: reverse}
}

// rows visits the rows with after < number <= last.
func (h *History) rows(ctx context.Context, r store.Reader, after, last uint64, reverse bool, visit func(number uint64, w *row) error) error {
	return r.Range(ctx, h.span(after, last, reverse), func(key, value []byte) error {
		w, err := openRow(string(value))
		if err != nil {
			return err
		}
		return visit(read48(key[len(key)-6:]), &w)
	})
}

// row reads one row; there is false when it was removed.
func (h *History) row(ctx context.Context, r store.Reader, number uint64) (w row, there bool, err error) {
	var room [1024]byte
	var keyRoom [80]byte
	value, err := r.Get(ctx, room[:0], append48(h.key(keyRoom[:0], tagEvent), number))
	if errors.Is(err, store.ErrNotFound) {
		return row{}, false, nil
	}
	if err != nil {
		return row{}, false, err
	}
	w, err = openRow(string(value))
	return w, err == nil, err
}

// numbersOf reads what the ID index has for an ID or a hash. raw is nil when it has nothing.
func (h *History) numbersOf(ctx context.Context, r store.Reader, id string) (numbers []uint64, err error) {
	raw, err := r.Get(ctx, nil, appendDigest(h.key(nil, tagID), id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readNumbers(raw)
}

// Lookup is the event with this eventID or this hash, whole, with its number. Of several with the ID it is the one that stands: the last error declaration, if there
// is one. It is problem.NotFound when there is none.
func (h *History) Lookup(ctx context.Context, id string) (Recorded, error) {
	numbers, err := h.numbersOf(ctx, h.store, id)
	if err != nil {
		return Recorded{}, err
	}
	best := Recorded{}
	byID := false
	for _, number := range numbers {
		w, there, err := h.row(ctx, h.store, number)
		if err != nil {
			return Recorded{}, err
		}
		if !there {
			continue
		}
		n, err := recorded(number, &w)
		if err != nil {
			return Recorded{}, err
		}
		isID := n.Event.ID == id
		switch {
		case !isID && n.Hash != id: // another one with this digest
		case best.Event == nil, isID && !byID:
			best, byID = n, isID
		case isID == byID && supersedes(n.Event, best.Event):
			best = n
		}
	}
	if best.Event == nil {
		return Recorded{}, problem.New(problem.NotFound, "there is no event %s here: check its ID or hash", "此处没有事件 %s：请检查其标识或散列值", id)
	}
	return best, nil
}

// supersedes reports whether an event stands before one with the same ID that was captured earlier.
func supersedes(later, earlier *epcis.Event) bool { return later.Error != nil || earlier.Error == nil }

// Event is Lookup for who needs the event alone.
func (h *History) Event(ctx context.Context, id string) (*epcis.Event, error) {
	n, err := h.Lookup(ctx, id)
	return n.Event, err
}

// Versions are all events with this eventID, in the order in which they were captured: the event, and its error declarations.
func (h *History) Versions(ctx context.Context, id string) ([]Recorded, error) {
	numbers, err := h.numbersOf(ctx, h.store, id)
	if err != nil {
		return nil, err
	}
	var out []Recorded
	for _, number := range numbers {
		w, there, err := h.row(ctx, h.store, number)
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		n, err := recorded(number, &w)
		if err != nil {
			return nil, err
		}
		if n.Event.ID == id {
			out = append(out, n)
		}
	}
	return out, nil
}

// wakeKey is the log whose numbers wake.
func (h *History) wakeKey() []byte { return h.key(nil, tagWake) }

func wakeNumber(log []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), log...), n)
}
