// Package site keeps a prefix answering and registering when a whole site is lost: several sites hold the same records,
// one of them, the primary, takes the changes, and when it is lost another takes over by itself within seconds.
//
// A change is acknowledged when so many other sites hold it durably as you name (Config.Hold). Every site, and whoever
// else is asked to (Config.Neighbours), probes registration and resolution at the primary each Config.Interval and
// publishes its judgement. When at least 51 % of the probes judge either unavailable, the first living site in the
// configured order takes over: it asks the others for their votes, fetches what they hold and it does not, begins a new
// term, takes changes, and has the delegation of the prefix name it as the primary.
//
// Nothing that was acknowledged is lost, as long as no more sites fail at once than Hold counts on: who votes for a new
// term stops to follow the old primary before it says how far it is, so that the old one, if it still runs somewhere,
// finds nobody to hold its changes; and a new primary needs so many votes that at least one of the voters holds every
// acknowledged change. With Hold 0 nobody is waited for, and a take-over may lose what no other site had copied yet.
//
// The old primary, when it comes back, learns of the new term from the others (or from the delegation), takes out what
// it alone holds, which was never acknowledged, sets that aside in a file for people to look at, and becomes a mirror.
//
// Who is trusted: the sites share the key of the prefix, and believe one another. Who holds it can act as any of them.
package site

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Keeper is what a site keeps its records in: its registry.
type Keeper interface {
	mirror.Keeper
	record.Feed
	// Last is the number of the last change, not less than that of any change acknowledged before the call.
	Last(ctx context.Context) (uint64, error)
	// Entry is what a record holds now, secrets included; its Values are nil when there is none.
	Entry(ctx context.Context, v id.ID) (record.Entry, error)
	// Homed reports whether the prefix is answered for.
	Homed(prefix string) bool
	// SetReadOnly says whether writes are refused. When it returns from being switched to true, none is under way.
	SetReadOnly(on bool)
}

// Peer is a site, or somebody else who probes.
type Peer struct {
	Name string // unique among the sites: "beijing"
	URL  string // its HTTPS address: https://192.0.2.1:8000
	Pin  string // the fingerprint of the key that it shows in TLS
	// Key is the fingerprint of the key with which it signs its judgements; Pin if empty.
	Key string
}

// Config says which sites there are, which of them this is, and when one takes over from another.
type Config struct {
	Prefix string // what the sites answer for: 88
	Name   string // of this site, as it stands in Sites
	// Sites is all sites of the prefix, this one included. The first is the primary at the very beginning; the order is
	// that in which they take over. Give every site the same list.
	Sites []Peer
	// Neighbours are probes besides the sites: nodes elsewhere that publish judgements at /api/probes.
	Neighbours []Peer
	// Hold is how many other sites must hold a change before it is acknowledged: the synchronous mode. 0 acknowledges at
	// once. Danger: with 0, a take-over loses what was not copied yet. At most one less than the number of Sites. Half of
	// the others (1 of 3 sites, 3 of 7) lets the most sites be lost before nobody can take over; with fewer, more of the
	// sites that are left must vote, since any of them alone may hold a change.
	Hold int
	// Interval is the time between two probes; 1 s if 0. What failed is probed again after half of one. Window is how many
	// in a row must fail for "unavailable"; 2 if 0. Patience is how long a probe waits for an answer to a resolution; half an
	// Interval if 0. A registration gets twice that.
	Interval, Patience time.Duration
	Window             int
	// Wait is how long a change waits to be held by the others; 10 s if 0.
	Wait time.Duration
	// Manual leaves the taking over to people: POST /api/site/promote.
	Manual bool

	// User is as whom the sites prove themselves to each other, with Key: the prefix's own, 300:0.NA/88.
	User record.Ref
	Key  *trust.PrivateKey
	// Admins may see the state and command a take-over, besides the sites themselves.
	Admins []record.Ref
	// NodeKey signs this site's judgements; nil: they are not signed.
	NodeKey *trust.PrivateKey

	Registry Keeper
	// Next is where writes go that this site takes; everything that guards the registry, or the registry itself.
	Next record.Registrar
	// Folder is where a tail is set aside; the current one if empty.
	Folder string

	// Publish has the delegation of the prefix name this site as its primary; see Redelegate. It is called again until it
	// succeeds. Nil: nobody is told.
	Publish func(ctx context.Context) error
	// Named reports whether the delegation still names this site as a primary; problem.Unreachable when it cannot be
	// asked. Without Hold, a primary that is not named any more stops to take changes. Nil: not looked at.
	Named func(ctx context.Context) (bool, error)
	// Changed hears of the role, when Run begins and at every change, on a goroutine of the site. Nil: nobody does.
	Changed func(State)

	Dial func(Peer) Door // the way to another site; over HTTPS if nil

	Now  func() time.Time // time.Now if nil
	Rand io.Reader        // for the spread of elections that failed; seeded by the system if nil
	Log  *slog.Logger     // nowhere if nil
}

// Role is what a site does at the moment.
type Role string

const (
	Primary Role = "primary" // takes changes
	Mirror  Role = "mirror"  // follows the primary
	Fenced  Role = "fenced"  // has given its vote, or is about to join: follows nobody, takes nothing
)

// State is what a site knows of itself and of the others.
type State struct {
	Site      string     `json:"site"`
	Prefix    string     `json:"prefix"`
	Role      Role       `json:"role"`
	Term      uint64     `json:"term"`     // goes up by one or more with each take-over
	Primary   string     `json:"primary"`  // of that term
	Promised  uint64     `json:"promised"` // the latest term that it gave its vote for
	Last      uint64     `json:"last"`     // the number of its own last change
	Trail     []Step     `json:"trail"`
	Judgement Judgement  `json:"judgement"`
	Hold      int        `json:"hold"`
	Followers []Follower `json:"followers,omitempty"` // of a primary
	Mirror    *Following `json:"mirror,omitempty"`    // of a mirror
	Tails     []Tail     `json:"tails,omitempty"`     // what was set aside here, ever
	Published bool       `json:"published"`           // the delegation names this primary
	Trouble   string     `json:"trouble,omitempty"`   // why it is not further, in a sentence
}

// Follower is another site as a primary sees it.
type Follower struct {
	Site   string    `json:"site"`
	Seq    uint64    `json:"seq"` // it holds every change up to this one
	Living bool      `json:"living"`
	Heard  time.Time `json:"heard"`
}

// Following is how a mirror does.
type Following struct {
	State  string        `json:"state"`
	Seq    uint64        `json:"seq"`
	Behind time.Duration `json:"behindNanoseconds"`
	Anew   bool          `json:"anew,omitempty"`
}

// state is what a site remembers durably.
type state struct {
	Term     uint64 `json:"term"`
	Primary  string `json:"primary"`
	Promised uint64 `json:"promised"`
	To       string `json:"to,omitempty"` // who was promised
	Trail    []Step `json:"trail"`        // of the terms before
	From     uint64 `json:"from"`         // where the mirror of this term begins
	Anew     bool   `json:"anew,omitempty"`
	Loose    bool   `json:"loose,omitempty"`
}

// noteName is under which the registry keeps a site's state, beside its records.
const noteName = "site"

// Site is one of the sites of a prefix. Make it with New, offer it as the node's Registrar and Feed, mount Handler, and
// Run it.
type Site struct {
	cfg    Config
	me     int
	others []*other

	turn sync.Mutex // held while the role changes
	mu   sync.Mutex
	st   state
	role Role
	// trouble is why the site is not further.
	trouble   error
	published bool
	follower  *following
	tails     []Tail

	sick   atomic.Pointer[error] // why the store took nothing the last time
	track  tracker
	judge  judge
	ready  chan struct{}   // closed when the others have been asked once
	nudge  chan struct{}   // look at once
	again  chan struct{}   // a probe failed
	ctx    context.Context // Run's; nil before
	wg     sync.WaitGroup
	change chan struct{}
}

// other is another site.
type other struct {
	Peer
	door Door
	busy chan struct{} // has room when no question is on its way

	mu    sync.Mutex
	state State
	heard time.Time
	err   error
}

// New reads what the site was when it last ran. The registry is read-only from here on, unless this site is the primary.
func New(ctx context.Context, cfg Config) (*Site, error) {
	if cfg.Interval <= 0 {
		cfg.Interval = time.Second
	}
	if cfg.Patience <= 0 {
		cfg.Patience = cfg.Interval / 2
	}
	if cfg.Window <= 0 {
		cfg.Window = 2
	}
	if cfg.Wait <= 0 {
		cfg.Wait = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("site", cfg.Name)
	s := &Site{cfg: cfg, ready: make(chan struct{}), nudge: make(chan struct{}, 1), again: make(chan struct{}, 1), change: make(chan struct{}, 1)}
	s.me = slices.IndexFunc(cfg.Sites, func(p Peer) bool { return p.Name == cfg.Name })
	switch {
	case s.me < 0:
		return nil, problem.New(problem.BadRequest, "the site %q does not stand in its own list of sites: add it", "站点 %q 不在其站点列表中：请添加", cfg.Name)
	case cfg.Hold < 0 || cfg.Hold >= len(cfg.Sites):
		return nil, problem.New(problem.BadRequest, "%d other sites cannot hold a change, there are %d sites in all: hold takes at most one less",
			"无法由 %d 个其他站点保存变更，站点共 %d 个：hold 最多为站点数减一", cfg.Hold, len(cfg.Sites))
	}
	dial := cfg.Dial
	if dial == nil {
		dial = func(p Peer) Door { return Dial(cfg.User, cfg.Key, p) }
	}
	for i, p := range cfg.Sites {
		for _, q := range cfg.Sites[:i] {
			if q.Name == p.Name {
				return nil, problem.New(problem.BadRequest, "two sites are called %q: give each a name of its own", "有两个站点名为 %q：请各用不同名称", p.Name)
			}
		}
		if i != s.me {
			s.others = append(s.others, &other{Peer: p, door: dial(p), busy: make(chan struct{}, 1)})
		}
	}
	s.judge.init(cfg, dial)
	s.track.init(cfg)
	if err := s.load(ctx); err != nil {
		s.close()
		return nil, err
	}
	s.tails = readTails(cfg.Folder)
	s.role = Mirror
	if s.st.Primary == cfg.Name {
		s.role = Primary
	}
	cfg.Registry.SetReadOnly(s.role != Primary)
	return s, nil
}

func (s *Site) load(ctx context.Context) error {
	b, err := s.cfg.Registry.Cursor(ctx, noteName)
	if err != nil {
		return err
	}
	if b == nil {
		s.st = state{Term: 1, Primary: s.cfg.Sites[0].Name}
		return nil
	}
	if err := json.Unmarshal(b, &s.st); err != nil {
		return problem.Wrap(err, problem.Internal, "the note of which site this is, is damaged: begin the site with an empty store", "站点状态记录已损坏：请用空的存储重新开始该站点")
	}
	return nil
}

// save keeps st durably, then makes it the state.
func (s *Site) save(ctx context.Context, st state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "the state of the site cannot be written", "无法写入站点状态")
	}
	if err := s.cfg.Registry.Copy(ctx, noteName, nil, b); err != nil {
		return err
	}
	s.mu.Lock()
	s.st = st
	s.mu.Unlock()
	return nil
}

func (s *Site) get() (state, Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st, s.role
}

// become sets the role, and tells who wants to know.
func (s *Site) become(r Role) {
	s.mu.Lock()
	was := s.role
	s.role = r
	if r != Primary {
		s.published = false
	}
	s.mu.Unlock()
	if was != r {
		s.cfg.Log.Info("the site changed its role", "role", r, "was", was)
	}
	if s.cfg.Changed != nil {
		select {
		case s.change <- struct{}{}:
		default: // it is about to look
		}
	}
}

// stumble notes why the site is not further; nil when it is.
func (s *Site) stumble(err error) {
	s.mu.Lock()
	was := s.trouble
	s.trouble = err
	s.mu.Unlock()
	if err != nil && (was == nil || was.Error() != err.Error()) {
		s.cfg.Log.Warn("the site cannot go on yet", "err", err)
	}
}

// brief is the state without what must be looked up.
func (s *Site) brief() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{Site: s.cfg.Name, Prefix: s.cfg.Prefix, Role: s.role, Term: s.st.Term, Primary: s.st.Primary, Promised: s.st.Promised,
		Trail: s.st.Trail, Hold: s.cfg.Hold, Tails: slices.Clone(s.tails), Published: s.published}
	if s.trouble != nil {
		st.Trouble = s.trouble.Error()
	}
	return st
}

// State is what the site knows.
func (s *Site) State(ctx context.Context) (State, error) {
	st := s.brief()
	st.Judgement = s.judge.now()
	if st.Role == Primary {
		st.Followers = s.track.followers()
	}
	var err error
	if st.Trail, st.Last, err = s.trail(ctx); err != nil {
		return st, err
	}
	s.mu.Lock()
	f := s.follower
	s.mu.Unlock()
	if f != nil {
		m := f.mirror.Status()
		st.Mirror = &Following{State: m.State.String(), Seq: m.Seq, Behind: m.Behind, Anew: m.Anew}
	}
	return st, nil
}

// Role is what the site does at the moment.
func (s *Site) Role() Role {
	_, r := s.get()
	return r
}

// following is a mirror that runs.
type following struct {
	mirror *mirror.Mirror
	door   Door
	cancel context.CancelFunc
	done   chan struct{}
}

// told is the feed of the primary, which is told how far this site is unless what is here is of two ages.
type told struct {
	door Door
	site string
	anew func() bool
}

func (t told) Changes(ctx context.Context, by record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	name := t.site
	if t.anew() {
		name = ""
	}
	return t.door.Feed(name).Changes(ctx, by, after, limit, values)
}

func cursorName(term uint64) string {
	return "site " + hex.EncodeToString([]byte{byte(term >> 24), byte(term >> 16), byte(term >> 8), byte(term)})
}

// follow begins to mirror the primary of the term. The turn is held.
func (s *Site) follow() {
	st, _ := s.get()
	i := slices.IndexFunc(s.others, func(o *other) bool { return o.Name == st.Primary })
	if i < 0 || s.ctx == nil {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	f := &following{door: s.others[i].door, cancel: cancel, done: make(chan struct{})}
	feed := told{f.door, s.cfg.Name, func() bool { return f.mirror.Status().Anew }}
	f.mirror = mirror.New(mirror.Config{
		Feed: feed, Into: s.cfg.Registry, Name: cursorName(st.Term), From: st.From, Anew: st.Anew,
		Retry: s.cfg.Interval / 8, Limit: s.cfg.Interval, Now: s.cfg.Now, Log: s.cfg.Log,
	})
	s.mu.Lock()
	s.follower = f
	s.mu.Unlock()
	s.wg.Go(func() {
		defer close(f.done)
		f.mirror.Run(ctx)
	})
}

// halt stops to follow. The turn is held.
func (s *Site) halt() {
	s.mu.Lock()
	f := s.follower
	s.follower = nil
	s.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
		if f.mirror.Status().Resyncs > 0 {
			s.mu.Lock()
			s.st.Loose = true
			s.mu.Unlock()
		}
	}
}

// trail is how far this site holds each term, and the number of its own last change. It stands still only while nothing
// is followed and nothing is written.
func (s *Site) trail(ctx context.Context) ([]Step, uint64, error) {
	st, _ := s.get()
	// First where the copy stands, then what that made here: so a number of our own is never too small for its place.
	b, err := s.cfg.Registry.Cursor(ctx, cursorName(st.Term))
	if err != nil {
		return nil, 0, err
	}
	p, begun, err := mirror.ReadPlace(b)
	if err != nil {
		return nil, 0, err
	}
	last, err := s.cfg.Registry.Last(ctx)
	if err != nil {
		return nil, 0, err
	}
	trail := slices.Clone(st.Trail)
	switch {
	case st.Primary == s.cfg.Name:
		m, err := s.markOf(ctx, last)
		if err != nil {
			return nil, 0, err
		}
		trail = append(trail, Step{Term: st.Term, Seq: last, Own: last, Mark: m})
	case begun:
		trail = append(trail, Step{Term: st.Term, Seq: p.Seq, Own: last, Mark: p.Mark[:], Partial: p.Anew, Loose: st.Loose || st.Anew || p.Anew})
	}
	return trail, last, nil
}

// markOf is what this site's own change n was; nil for 0.
func (s *Site) markOf(ctx context.Context, n uint64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	es, err := s.cfg.Registry.Changes(short, operator, n-1, 1, false)
	if short.Err() != nil && ctx.Err() == nil {
		return nil, nil // not durable yet
	}
	if err != nil || es[0].Seq != n {
		return nil, err
	}
	m := mirror.Mark(&es[0].Change)
	return m[:], nil
}

var operator = record.Identity{Operator: true}

// Run does what a site does until ctx ends, whose error it returns.
func (s *Site) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.close()
	defer s.wg.Wait()
	defer cancel()
	s.turn.Lock()
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	if _, role := s.get(); role == Mirror {
		st, _ := s.get()
		if st.Promised > st.Term {
			s.become(Fenced)
		} else {
			s.follow()
		}
	}
	s.turn.Unlock()
	_, role := s.get()
	s.become(role) // who wants to know hears of the first one too
	s.wg.Go(func() { s.probe(ctx) })
	s.wg.Go(func() { s.publish(ctx) })
	s.wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.change:
				s.cfg.Changed(s.brief())
			}
		}
	})
	s.watch(ctx)
	// Votes and joins that are under way end with ctx; none begins after this.
	s.turn.Lock()
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	s.halt()
	s.track.shut()
	s.turn.Unlock()
	return ctx.Err()
}

func (s *Site) close() {
	for _, o := range s.others {
		o.door.Close()
	}
	s.judge.close()
}

// folder is where files of this site are kept.
func (s *Site) folder() (string, error) {
	dir := s.cfg.Folder
	if dir == "" {
		dir = "."
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", problem.Wrap(err, problem.Internal, "the folder %s cannot be made", "无法建立目录 %s", dir)
	}
	return filepath.Clean(dir), nil
}
