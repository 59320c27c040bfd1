// Package mirror keeps a copy of another node that answers when the original cannot: a second site of a prefix, a
// backup in another city. It follows the other node's record.Feed, goes on where it stood after any interruption, and
// says how far behind it is.
//
// What a mirror has is durable together with the note how far it is, in one step, so that nothing is lost and nothing
// copied twice counts twice. It notices when the original was set back to an older state (restored from a backup, or
// put on another disk): then it copies everything again and takes out what is no longer there.
//
// Who is trusted: the original and the way to it. Signed records are proved by those who read them, so that whoever
// changes a mirror can at most withhold signed records or bring back old ones.
package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Keeper is where the copy goes: a registry that refuses other writes.
type Keeper interface {
	record.Lister
	// Copy takes over entries and keeps cursor under name, in one durable step. What is there already is left alone.
	Copy(ctx context.Context, name string, entries []record.Entry, cursor []byte) error
	// Cursor is what Copy last kept under name, nil when there was none.
	Cursor(ctx context.Context, name string) ([]byte, error)
}

// Config says what is followed and where it is kept.
type Config struct {
	Feed record.Feed     // of the original
	By   record.Identity // who asks it, where the feed does not prove that by itself
	Into Keeper
	Name string // under which the place in the feed is kept; "original" if empty
	// From is the number of a change up to which everything is here already, from another source: where a mirror begins
	// that has no place in this feed yet. 0 begins with the first change.
	From uint64
	// Anew makes such a mirror copy everything and take out what the original does not have.
	Anew bool

	Batch        int           // entries at a time; 2000 if 0
	Poll         time.Duration // how long one question waits for news; 30 s if 0
	Probe        time.Duration // how long the original may take to show where the copy stands; 20 s if 0
	Retry, Limit time.Duration // first and longest wait after a failure; 250 ms and 30 s if 0
	// Refresh is how often everything is copied again for the sake of the signatures that come with the records, which
	// run out; 10 days if 0, never if negative.
	Refresh time.Duration

	Now  func() time.Time // time.Now if nil
	Rand *rand.Rand       // for the spread of retries; seeded by the system if nil
	Log  *slog.Logger     // nowhere if nil
}

// State is what a mirror is doing.
type State uint8

const (
	Starting  State = iota // has not heard of the original yet
	Copying                // behind, and catching up
	Following              // had everything when it last asked
	Failing                // the original does not answer, or nothing can be stored; tries again
)

// String is the word that people and metrics see.
func (s State) String() string {
	return [...]string{"starting", "copying", "following", "failing"}[s&3]
}

// Status is how a mirror does.
type Status struct {
	State   State
	Seq     uint64        // the original's number of the last change that is here
	Changed time.Time     // when that change was made there
	Heard   time.Time     // when the original last answered
	Behind  time.Duration // how old what is here may be: since it last had everything
	Copied  int64         // entries since the start
	Resyncs int64         // how often the original was found to have been set back, since the start
	Anew    bool          // everything is being copied again; until that is done what is here may be of two ages
	Err     error         // the last failure, nil when all is well
}

// Mirror follows one node. Make it with New, start it with Run.
type Mirror struct {
	cfg Config

	mu      sync.Mutex
	status  Status
	current time.Time // when it last had everything
}

// New is a mirror that does nothing yet.
func New(cfg Config) *Mirror {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Poll, 30*time.Second)
	def(&cfg.Probe, 20*time.Second)
	def(&cfg.Retry, 250*time.Millisecond)
	def(&cfg.Limit, 30*time.Second)
	def(&cfg.Refresh, 10*24*time.Hour)
	if cfg.Batch <= 0 {
		cfg.Batch = 2000
	}
	if cfg.Name == "" {
		cfg.Name = "original"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Mirror{cfg: cfg, current: cfg.Now()}
}

// Status is how it does now.
func (m *Mirror) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status
	if s.State != Following {
		s.Behind = max(0, m.cfg.Now().Sub(m.current))
	}
	return s
}

// Run follows until ctx ends, whose error it returns. It gives up for no other reason: what fails is tried again, ever
// more slowly. To take over from the original, end Run and let the registry be written to.
func (m *Mirror) Run(ctx context.Context) error {
	wait := m.cfg.Retry
	for {
		err := m.follow(ctx, func() { wait = m.cfg.Retry })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.mu.Lock()
		first := m.status.Err == nil
		m.status.State, m.status.Err = Failing, err
		m.mu.Unlock()
		if first {
			m.cfg.Log.Warn("the mirror cannot follow; it tries again", "name", m.cfg.Name, "error", err)
		}
		// Half to the whole of the wait, so that many mirrors do not come back in step.
		t := time.NewTimer(wait/2 + time.Duration(m.cfg.Rand.Int64N(int64(wait/2)+1)))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		wait = min(2*wait, m.cfg.Limit)
	}
}

// cursor is where the copy stands in the feed:
//
//	u8 1 while everything is copied again | u64 number of the last change | 32 bytes: what that change was
type cursor struct {
	anew bool
	seq  uint64
	was  [32]byte
}

func (c cursor) bytes() []byte {
	b := make([]byte, 1, 41)
	if c.anew {
		b[0] = 1
	}
	return append(binary.BigEndian.AppendUint64(b, c.seq), c.was[:]...)
}

// Place is where a copy stands in the feed of its original.
type Place struct {
	Seq  uint64   // the number of the last change that is here
	Mark [32]byte // what that change was, see Mark
	Anew bool     // everything is being copied again
}

// ReadPlace reads what a Mirror keeps under its name, as Keeper.Cursor returns it. ok is false when it has not begun.
func ReadPlace(b []byte) (p Place, ok bool, err error) {
	c, err := readCursor(b)
	return Place{c.seq, c.was, c.anew}, b != nil && err == nil, err
}

// Mark tells a change from another one that has its number in another life of its node.
func Mark(e *record.Change) [32]byte { return mark(e) }

func readCursor(b []byte) (c cursor, err error) {
	switch {
	case b == nil:
		return c, nil
	case len(b) != 41 || b[0] > 1:
		return c, problem.New(problem.Internal, "the note how far the mirror is, is damaged: begin the mirror with an empty store",
			"镜像进度标记已损坏：请用空的存储重新开始镜像")
	}
	c.anew, c.seq = b[0] == 1, binary.BigEndian.Uint64(b[1:])
	copy(c.was[:], b[9:])
	return c, nil
}

// mark is what tells a change from another one that has its number after the original was set back.
func mark(e *record.Change) [32]byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(e.Time.UnixMilli()))
	b = append(b, byte(e.Op))
	b = append(b, e.Digest[:]...)
	b = record.AppendString(b, e.ID.String())
	return sha256.Sum256(b)
}

// follow copies until something fails. healthy is called when something went well.
func (m *Mirror) follow(ctx context.Context, healthy func()) error {
	b, err := m.cfg.Into.Cursor(ctx, m.cfg.Name)
	if err != nil {
		return err
	}
	at, err := readCursor(b)
	if err != nil {
		return err
	}
	var seen *names
	if b == nil && (m.cfg.Anew || m.cfg.From > 0) {
		if at, err = m.begin(ctx); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.status.Anew = at.anew
	m.mu.Unlock()
	if at.anew {
		// What was seen before the interruption is not known any more.
		at, seen = cursor{anew: true}, newNames()
	} else if at.seq > 0 {
		same, err := m.same(ctx, at)
		if err != nil {
			return err
		}
		if !same {
			m.cfg.Log.Warn("the original was set back; everything is copied again", "name", m.cfg.Name, "change", at.seq)
			m.mu.Lock()
			m.status.Resyncs++
			m.status.Anew = true
			m.mu.Unlock()
			at, seen = cursor{anew: true}, newNames()
			if err := m.cfg.Into.Copy(ctx, m.cfg.Name, nil, at.bytes()); err != nil {
				return err
			}
		}
	}
	full := false
	for {
		if !at.anew {
			if err := m.refresh(ctx, at.seq); err != nil {
				return err
			}
		}
		wait := m.cfg.Poll
		switch {
		case at.anew: // nothing new within a short time is the end of it
			wait = min(wait, m.cfg.Probe)
		case full: // is that all?
			wait = min(wait, time.Second)
		}
		es, err := m.ask(ctx, at.seq, m.cfg.Batch, true, wait)
		if err != nil {
			return err
		}
		if len(es) == 0 && (at.anew || at.seq > 0 && !full) {
			// Silence may be a dead line, or an original that was set back and has less to say: it must still show where
			// the copy stands.
			same, err := m.same(ctx, at)
			if err != nil {
				return err
			}
			if !same {
				return problem.New(problem.Conflict, "the original was set back: everything is copied again", "原节点已回退：将重新复制全部内容")
			}
		}
		if len(es) > 0 {
			last := &es[len(es)-1].Change
			if err := rising(es, at.seq); err != nil {
				return err
			}
			if seen != nil {
				for i := range es {
					seen.entry(&es[i])
				}
			}
			at.seq, at.was = last.Seq, mark(last)
			if err := m.cfg.Into.Copy(ctx, m.cfg.Name, es, at.bytes()); err != nil {
				return err
			}
		}
		healthy()
		if at.anew && m.short(es) {
			if err := m.sweep(ctx, seen); err != nil {
				return err
			}
			at.anew, seen = false, nil
			if err := m.cfg.Into.Copy(ctx, m.cfg.Name, nil, at.bytes()); err != nil {
				return err
			}
			m.mu.Lock()
			m.status.Anew = false
			m.mu.Unlock()
		}
		full = len(es) >= m.cfg.Batch
		m.note(at, es)
	}
}

// begin notes where a mirror that has no place yet begins.
func (m *Mirror) begin(ctx context.Context) (cursor, error) {
	at := cursor{anew: true}
	if !m.cfg.Anew {
		es, err := m.ask(ctx, m.cfg.From-1, 1, false, m.cfg.Probe)
		if err != nil {
			return at, err
		}
		if len(es) == 0 || es[0].Seq != m.cfg.From {
			return at, problem.New(problem.Conflict, "the original does not show its change %d, behind which the copy goes on", "原节点未给出其第 %d 条变更，镜像无法由此继续", m.cfg.From)
		}
		at = cursor{seq: m.cfg.From, was: mark(&es[0].Change)}
	}
	return at, m.cfg.Into.Copy(ctx, m.cfg.Name, nil, at.bytes())
}

// short reports whether the original had no more to show than es: it gave less than any feed gives at once, not because an
// answer had grown too large. That it goes on to change does not matter: what comes later comes in the feed.
func (m *Mirror) short(es []record.Entry) bool {
	size := 0
	for i := range es {
		for j := range es[i].Values {
			size += es[i].Values[j].Size()
		}
	}
	return len(es) < min(m.cfg.Batch, 1000) && size < 4<<20
}

func rising(es []record.Entry, after uint64) error {
	for i := range es {
		if es[i].Seq <= after {
			return problem.New(problem.BadRequest, "the original's feed goes backwards, from %d to %d: update the original's program", "原节点的变更流编号倒退，从 %d 到 %d：请更新原节点的程序", after, es[i].Seq)
		}
		after = es[i].Seq
	}
	return nil
}

func (m *Mirror) note(at cursor, es []record.Entry) {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.status.Err != nil {
		m.cfg.Log.Info("the mirror follows again", "name", m.cfg.Name)
	}
	m.status.Err, m.status.Heard, m.status.Seq = nil, now, at.seq
	m.status.Copied += int64(len(es))
	if len(es) > 0 {
		m.status.Changed = es[len(es)-1].Time
	}
	if len(es) < m.cfg.Batch && !at.anew {
		m.status.State, m.current = Following, now
	} else {
		m.status.State = Copying
	}
}

// ask is the feed's Changes; none when there were none for as long as wait.
func (m *Mirror) ask(ctx context.Context, after uint64, limit int, values bool, wait time.Duration) ([]record.Entry, error) {
	short, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	es, err := m.cfg.Feed.Changes(short, m.cfg.By, after, limit, values)
	if err != nil && ctx.Err() == nil && short.Err() != nil && (errors.Is(err, context.DeadlineExceeded) || problem.Is(err, problem.Canceled)) {
		return nil, nil
	}
	return es, err
}

// same reports whether the original still has the change where the copy stands.
func (m *Mirror) same(ctx context.Context, at cursor) (bool, error) {
	if at.seq == 0 {
		return false, nothing()
	}
	es, err := m.ask(ctx, at.seq-1, 1, false, m.cfg.Probe)
	if err != nil {
		return false, err
	}
	if len(es) > 0 {
		return es[0].Seq == at.seq && mark(&es[0].Change) == at.was, nil
	}
	// It does not show that change. If it shows any, or says in good time that there is none at all, it was set back.
	es, err = m.ask(ctx, 0, 1, false, m.cfg.Probe)
	switch {
	case err != nil:
		return false, err
	case len(es) > 0:
		return false, nil
	}
	return false, nothing()
}

// nothing keeps a copy from being emptied because a line is dead, or a disk was mounted empty.
func nothing() error {
	return problem.New(problem.Unreachable, "the original does not show any change, though there were some: see that it runs; if it was begun anew on purpose, begin the mirror anew, too",
		"原节点未给出任何变更，而此前已有变更：请检查其是否运行；如原节点确已重新开始，请也重新开始镜像")
}

// sweep takes out what the original does not have.
func (m *Mirror) sweep(ctx context.Context, seen *names) error {
	operator := record.Identity{Operator: true}
	prefixes := []string{"0.NA"}
	var unhomed []record.Entry
	for after := ""; ; {
		ps, err := m.cfg.Into.Prefixes(ctx, operator, after, m.cfg.Batch)
		if err != nil {
			return err
		}
		if len(ps) == 0 {
			break
		}
		after = ps[len(ps)-1]
		prefixes = append(prefixes, ps...)
		for _, p := range ps {
			if !seen.homes[p] {
				unhomed = append(unhomed, record.Entry{Change: record.Change{Op: record.Unhome, Time: m.cfg.Now(), By: operator, ID: id.PrefixRecord(p)}})
			}
		}
	}
	for i, p := range prefixes {
		if i > 0 && p == "0.NA" {
			continue
		}
		for after := ""; ; {
			ns, err := m.cfg.Into.List(ctx, operator, p, after, m.cfg.Batch)
			if err != nil {
				return err
			}
			if len(ns) == 0 {
				break
			}
			after = ns[len(ns)-1]
			var gone []record.Entry
			for _, n := range ns {
				if seen.has(n) {
					continue
				}
				v, err := id.ParseHandle(n)
				if err != nil {
					return err
				}
				gone = append(gone, record.Entry{Change: record.Change{Op: record.Delete, Time: m.cfg.Now(), By: operator, ID: v}})
			}
			if len(gone) > 0 {
				if err := m.cfg.Into.Copy(ctx, m.cfg.Name, gone, cursor{anew: true}.bytes()); err != nil {
					return err
				}
			}
		}
	}
	if len(unhomed) == 0 {
		return nil
	}
	return m.cfg.Into.Copy(ctx, m.cfg.Name, unhomed, cursor{anew: true}.bytes())
}

// refresh copies everything once more when it is time to, for the sake of the signatures.
//
// Its note is u64 when the last one began, milliseconds | u64 how far it is, 0 when it is finished.
func (m *Mirror) refresh(ctx context.Context, upTo uint64) error {
	if m.cfg.Refresh < 0 || upTo == 0 {
		return nil
	}
	name := m.cfg.Name + " refresh"
	b, err := m.cfg.Into.Cursor(ctx, name)
	if err != nil {
		return err
	}
	note := func(began int64, at uint64) []byte {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(began)), at)
	}
	now := m.cfg.Now().UnixMilli()
	if len(b) != 16 {
		return m.cfg.Into.Copy(ctx, name, nil, note(now, 0)) // the first copy is fresh
	}
	began, at := int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])
	if at == 0 && now-began < m.cfg.Refresh.Milliseconds() {
		return nil
	}
	if at == 0 {
		began = now
	}
	for at < upTo {
		es, err := m.ask(ctx, at, m.cfg.Batch, true, m.cfg.Probe)
		if err != nil {
			return err
		}
		var now []record.Entry
		for i := range es {
			at = es[i].Seq
			if es[i].Values != nil && at <= upTo {
				now = append(now, es[i])
			}
		}
		if len(es) == 0 || at >= upTo {
			at = upTo
		}
		if err := m.cfg.Into.Copy(ctx, name, now, note(began, at)); err != nil {
			return err
		}
	}
	return m.cfg.Into.Copy(ctx, name, nil, note(began, 0))
}

// names remembers what there is at the original: records by 16 bytes each, and prefixes.
type names struct {
	records map[[16]byte]struct{}
	homes   map[string]bool
}

func newNames() *names { return &names{map[[16]byte]struct{}{}, map[string]bool{}} }

func (n *names) key(s string) [16]byte {
	h := sha256.Sum256([]byte(s))
	return [16]byte(h[:])
}

func (n *names) entry(e *record.Entry) {
	prefix, _ := e.ID.Delegated()
	switch {
	case e.Op == record.Home:
		n.homes[prefix] = true
	case e.Op == record.Unhome:
		delete(n.homes, prefix)
	case e.Values != nil:
		n.records[n.key(e.ID.String())] = struct{}{}
	}
}

func (n *names) has(s string) bool { _, ok := n.records[n.key(s)]; return ok }
