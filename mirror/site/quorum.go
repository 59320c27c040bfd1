package site

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/web"
)

var (
	_ record.Registrar = (*Site)(nil)
	_ record.Feed      = (*Site)(nil)
	_ web.FeedWatcher  = (*Site)(nil)
)

// Write is record.Registrar's: what it acknowledges is held here and by Config.Hold other sites. Its error is
// problem.ReadOnly when this site is not the primary; problem.Busy when too few sites follow, and nothing was written,
// or when they did not hold it in time: then it is stored here, and may stay or be set aside after a take-over.
func (s *Site) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	select {
	case <-s.ready:
	default:
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, problem.Wrap(ctx.Err(), problem.Canceled, "the request was given up before it was done: ask again", "请求在完成前被放弃：请重试")
		case <-time.After(s.cfg.Wait):
			return nil, problem.New(problem.Busy, "this site has not heard yet whether another took over: try again", "本站点尚未确认是否已有其他站点接管：请稍后重试")
		}
	}
	st, role := s.get()
	if role != Primary {
		return nil, problem.New(problem.ReadOnly, "this site does not take changes now; the primary is %s: write there", "本站点现不接受更改；主站点为 %s：请向其写入", st.Primary)
	}
	if err := s.sick.Load(); err != nil && isProbe(writes) {
		return nil, *err
	}
	if s.cfg.Hold == 0 {
		return s.next(ctx, by, writes)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	defer cancel()
	life, err := s.track.gather(ctx)
	if err != nil {
		return nil, err
	}
	rs, err := s.next(ctx, by, writes)
	if err != nil || !slices.ContainsFunc(rs, func(r record.Result) bool { return r.Err == nil }) {
		return rs, err
	}
	last, err := s.cfg.Registry.Last(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	if err := s.track.held(ctx, life, last); err != nil {
		return nil, err
	}
	return rs, nil
}

// next writes here, and remembers when the store takes nothing any more: a probe, which changes nothing, would not see it.
func (s *Site) next(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	rs, err := s.cfg.Next.Write(ctx, by, writes)
	switch {
	case err == nil && slices.ContainsFunc(rs, func(r record.Result) bool { return r.Err == nil }):
		s.sick.Store(nil)
	case problem.Is(err, problem.Full) || problem.Is(err, problem.Internal):
		s.sick.Store(&err)
	}
	return rs, err
}

func isProbe(ws []record.Write) bool {
	return len(ws) == 1 && ws[0].Op == record.Modify && ws[0].ID.Suffix() == ProbeSuffix
}

// Changes is record.Feed's.
func (s *Site) Changes(ctx context.Context, by record.Identity, after uint64, limit int, values bool) ([]record.Entry, error) {
	return s.cfg.Registry.Changes(ctx, by, after, limit, values)
}

// Followed is web.FeedWatcher's.
func (s *Site) Followed(by record.Identity, name string, after uint64) (left func()) {
	i := slices.IndexFunc(s.others, func(o *other) bool { return strings.EqualFold(o.Name, name) })
	if i < 0 || !s.isSite(by) {
		return func() {}
	}
	return s.track.followed(s.others[i].Name, after)
}

func (s *Site) isSite(by record.Identity) bool { return by.Operator || by.Ref.Same(s.cfg.User) }

// tracker knows how far the others are.
type tracker struct {
	hold  int
	grace time.Duration
	now   func() time.Time

	mu    sync.Mutex
	sites map[string]*progress
	wake  chan struct{} // closed when something changed
	life  uint64        // goes up when the site stops to be the primary
	over  bool
}

type progress struct {
	known bool
	seq   uint64
	open  int // requests that wait for news now
	heard time.Time
}

func (t *tracker) init(cfg Config) {
	t.hold, t.grace, t.now = cfg.Hold, 3*cfg.Interval, cfg.Now
	t.sites, t.wake = map[string]*progress{}, make(chan struct{})
}

func (t *tracker) changed() {
	close(t.wake)
	t.wake = make(chan struct{})
}

func (t *tracker) followed(site string, after uint64) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.sites[site]
	if p == nil {
		p = &progress{}
		t.sites[site] = p
	}
	// Questions about older changes are asked beside; what was held stays held.
	p.known, p.seq, p.heard = true, max(p.seq, after), t.now()
	p.open++
	t.changed()
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		p.open--
		p.heard = t.now()
	})
}

// reset forgets how far the others are, and ends the waiting of who waits. It is called when a term begins or ends.
func (t *tracker) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sites = map[string]*progress{}
	t.life++
	t.changed()
}

func (t *tracker) shut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.life++
	t.changed()
}

func (t *tracker) living(p *progress) bool {
	return p.known && (p.open > 0 || t.now().Sub(p.heard) < t.grace)
}

// gather waits until enough sites follow to hold a change.
func (t *tracker) gather(ctx context.Context) (life uint64, err error) {
	first := true
	var began uint64
	for {
		t.mu.Lock()
		n := 0
		for _, p := range t.sites {
			if t.living(p) {
				n++
			}
		}
		life, wake, over := t.life, t.wake, t.over
		t.mu.Unlock()
		if first {
			first, began = false, life
		}
		switch {
		case over || life != began:
			return 0, problem.New(problem.Busy, "this site just stopped to take changes: ask for the primary and write there", "本站点刚刚停止接受更改：请查询主站点后向其写入")
		case n >= t.hold:
			return life, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, problem.New(problem.Busy, "only %d of %d other sites that must hold a change follow: nothing was written; see to them, then try again",
				"须保存变更的其他站点为 %[2]d 个，目前仅有 %[1]d 个跟随：未写入任何内容；请检查这些站点后重试", n, t.hold)
		}
	}
}

// held waits until enough sites hold change n.
func (t *tracker) held(ctx context.Context, began, n uint64) error {
	for {
		t.mu.Lock()
		have := 0
		for _, p := range t.sites {
			if p.known && p.seq >= n {
				have++
			}
		}
		life, wake := t.life, t.wake
		t.mu.Unlock()
		switch {
		case life != began:
			return problem.New(problem.Busy, "the primary changed before other sites held this: ask the new one whether it is there before you repeat it",
				"在其他站点保存之前主站点已变更：请先向新的主站点查询是否已存在再重试")
		case have >= t.hold:
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return problem.New(problem.Busy, "not yet held by %d other sites, only by %d; it is stored here: ask whether it is there before you repeat it",
				"尚未由 %d 个其他站点保存（现为 %d 个）；本站点已存储：请先查询是否已存在再重试", t.hold, have)
		}
	}
}

func (t *tracker) followers() (out []Follower) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.sites {
		out = append(out, Follower{Site: name, Seq: p.seq, Living: t.living(p), Heard: p.heard})
	}
	slices.SortFunc(out, func(a, b Follower) int { return strings.Compare(a.Site, b.Site) })
	return out
}
