package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
)

// row is what a source said of one identifier: data by property, nil where it has none. It does not change.
type row struct {
	found bool
	data  [][]byte
	at    time.Time
}

// source is one kind of system.
type source interface {
	// prepare checks what a rule asks and makes it ready.
	prepare(s *Rule, u *rule) (ask, error)
	close() error
}

// pick makes a row of what cell gives for columns. It is not found when what must be confirmed is something else.
func (u *rule) pick(cell func(column string) ([]byte, error), parts map[string]string) (row, error) {
	for part, column := range u.confirm {
		said, err := cell(column)
		if err != nil {
			return row{}, err
		}
		if fold(string(said)) != fold(parts[part]) {
			return row{}, nil
		}
	}
	got := row{found: true, data: make([][]byte, len(u.props))}
	for i := range u.props {
		p := &u.props[i]
		if p.column == "" {
			continue
		}
		var err error
		if got.data[i], err = cell(p.column); err != nil {
			var m missing
			if p.optional && errors.As(err, &m) {
				continue
			}
			return row{}, err
		}
	}
	return got, nil
}

// ask puts a rule's question. A row that is not found is no error. It ends soon after ctx does, or the caller goes on without it.
type ask func(ctx context.Context, parts map[string]string) (row, error)

// fault is what a source did wrong, for the log alone.
type fault struct {
	shape bool // it answers, but not with what the rule says: somebody changed one of them
	err   error
}

func (f fault) Error() string { return f.err.Error() }
func (f fault) Unwrap() error { return f.err }

// shape is a fault of a source that answers with something else than its rule says.
func shape(format string, args ...any) error { return fault{true, fmt.Errorf(format, args...)} }

var errBusy = errors.New("too many questions wait for it")

// cache keeps what the sources said lately, by canonical name.
type cache struct {
	*otter.Cache[string, entry]
}

type entry struct {
	rule *rule
	row  row
}

func newCache(bytes int64) (cache, error) {
	c, err := otter.New(&otter.Options[string, entry]{
		MaximumWeight: uint64(bytes),
		Weigher: func(key string, e entry) uint32 {
			n := 200 + len(key)
			for _, d := range e.row.data {
				n += 24 + len(d)
			}
			return uint32(n)
		},
	})
	return cache{c}, err
}

// lane is the way to one source: everything that bounds what it is asked.
type lane struct {
	name    string
	source  source
	slots   chan struct{}
	breaker *gobreaker.CircuitBreaker[row]
	flights singleflight.Group
	hide    []string // references of the credentials, whose values must not be logged
	cfg     *Config
	busy    sync.WaitGroup

	mu       sync.Mutex
	said     string // the last complaint
	saidAt   time.Time
	silenced int
	state    State
}

func newLane(cfg *Config, name string, s Source, longest time.Duration) (*lane, error) {
	if s.Concurrency == 0 {
		s.Concurrency = 8
	}
	if s.Failures == 0 {
		s.Failures = 5
	}
	if s.Pause == 0 {
		s.Pause = 5 * time.Second
	}
	if s.Concurrency < 1 || s.Concurrency > 1000 || s.Failures < 1 || s.Pause < 0 {
		return nil, bad("concurrency must be 1 to 1000, failures at least 1, pause not negative", "concurrency 应为 1 至 1000，failures 至少为 1，pause 不得为负")
	}
	for field, ref := range map[string]string{"password": s.Password, "bearer": s.Bearer} {
		if err := checkRef(field, ref); err != nil {
			return nil, err
		}
	}
	l := &lane{name: name, slots: make(chan struct{}, s.Concurrency), cfg: cfg, state: State{Name: name, State: "closed"}}
	for _, ref := range []string{s.URL, s.Password, s.Bearer} {
		if secretRef(ref) {
			l.hide = append(l.hide, ref)
		}
	}
	for _, ref := range s.Headers {
		if secretRef(ref) {
			l.hide = append(l.hide, ref)
		}
	}
	var err error
	if l.source, err = openSource(cfg, s, longest); err != nil {
		return nil, err
	}
	l.breaker = gobreaker.NewCircuitBreaker[row](gobreaker.Settings{
		Name:        name,
		Timeout:     max(s.Pause, time.Millisecond),
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(s.Failures) },
		IsSuccessful: func(err error) bool {
			var f fault
			return err == nil || errors.As(err, &f) && f.shape
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			cfg.Log.Warn("live: the circuit to a source changed", "source", name, "from", from.String(), "to", to.String())
			l.mu.Lock()
			l.state.State = to.String()
			l.mu.Unlock()
		},
	})
	return l, nil
}

func (l *lane) close() error {
	l.busy.Wait()
	return l.source.close()
}

// get is the row of v: from the cache while it is fresh, else from the source. The error is problem.Unreachable,
// problem.Busy or problem.Canceled and tells nothing about the source.
func (l *lane) get(ctx context.Context, r *Resolver, u *rule, v id.ID, parts map[string]string) (_ row, stale bool, err error) {
	key := v.String()
	now := r.cfg.Now()
	old, have := r.entries.GetIfPresent(key)
	have = have && old.rule == u
	if have && now.Before(old.row.at.Add(u.keep)) {
		return old.row, false, nil
	}
	ch := l.flights.DoChan(key, func() (any, error) {
		got, err := l.fetch(r, u, parts)
		if err == nil && (u.keep > 0 || u.stale > 0) {
			r.entries.Set(key, entry{u, got})
		}
		return got, err
	})
	select {
	case res := <-ch:
		if res.Err == nil {
			return res.Val.(row), false, nil
		}
		err = res.Err
	case <-ctx.Done():
		return row{}, false, problem.Wrap(ctx.Err(), problem.Canceled, "the question was given up", "查询已放弃")
	}
	if have && now.Before(old.row.at.Add(u.keep+u.stale)) {
		return old.row, true, nil
	}
	if errors.Is(err, errBusy) {
		return row{}, false, problem.New(problem.Busy, "%s is asked for by too many at once: try again in a moment", "同时查询 %s 的请求过多：请稍后再试", clip(key))
	}
	return row{}, false, away(key)
}

// fetch asks the source once, within every bound. It never takes longer than the rule's timeout, whatever the source's
// driver does; a question that hangs on beyond that keeps its slot, so that a dead source does not gather more of them.
func (l *lane) fetch(r *Resolver, u *rule, parts map[string]string) (row, error) {
	ctx, cancel := context.WithTimeout(r.ctx, u.timeout)
	defer cancel()
	if l.breaker.State() == gobreaker.StateOpen {
		l.count(func(s *State) { s.Refused++ })
		return row{}, gobreaker.ErrOpenState
	}
	if r.ctx.Err() != nil {
		return row{}, r.ctx.Err()
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		l.count(func(s *State) { s.Busy++ })
		return row{}, errBusy
	}
	type outcome struct {
		row row
		err error
	}
	begun := r.cfg.Now()
	got, err := l.breaker.Execute(func() (row, error) {
		done := make(chan outcome, 1)
		l.busy.Go(func() {
			var o outcome
			defer func() {
				if p := recover(); p != nil {
					o.err = fmt.Errorf("its driver ran into a fault: %v", p)
				}
				<-l.slots
				done <- o
			}()
			o.row, o.err = u.ask(ctx, parts)
		})
		select {
		case o := <-done:
			return o.row, o.err
		case <-ctx.Done():
			return row{}, fmt.Errorf("no answer within %s", u.timeout)
		}
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		<-l.slots
		l.count(func(s *State) { s.Refused++ })
		return row{}, err
	}
	took := r.cfg.Now().Sub(begun)
	l.count(func(s *State) {
		s.Asked++
		s.LastMillis = float64(took.Microseconds()) / 1000
		if err != nil {
			s.Failed++
		}
	})
	if err == nil {
		size := 0
		for _, d := range got.data {
			size += len(d)
		}
		if size > u.maxBytes {
			err = shape("it answers with %d bytes, over max-bytes %d", size, u.maxBytes)
		}
	}
	if err != nil {
		l.complain(r, u, err)
		return row{}, err
	}
	got.at = r.cfg.Now()
	return got, nil
}

func (l *lane) count(f func(s *State)) {
	l.mu.Lock()
	f(&l.state)
	l.mu.Unlock()
}

// quiet is for how long a complaint is not repeated.
const quiet = time.Minute

// complain logs what a source did wrong: once a minute while it stays the same.
func (l *lane) complain(r *Resolver, u *rule, err error) {
	var f fault
	text := "the source does not answer"
	if errors.As(err, &f) && f.shape {
		text = "the source no longer answers with what the rule says; change the rule, or the source back"
	}
	said := l.redact(err.Error())
	now := r.cfg.Now()
	l.mu.Lock()
	l.state.LastError, l.state.LastErrorAt, l.state.LastRule = said, now.UTC(), u.name
	again := l.said == u.name+said && now.Sub(l.saidAt) < quiet
	silenced := l.silenced
	if again {
		l.silenced++
	} else {
		l.said, l.saidAt, l.silenced = u.name+said, now, 0
	}
	l.mu.Unlock()
	if !again {
		r.cfg.Log.Error("live: "+text, slog.String("source", l.name), slog.String("rule", u.name), slog.String("error", said), slog.Int("repeated", silenced))
	}
}

// redact takes every credential out of a text that is going to be logged.
func (l *lane) redact(s string) string {
	for _, ref := range l.hide {
		if secret, err := l.cfg.secret("", ref); err == nil && secret != "" {
			s = strings.ReplaceAll(s, secret, "***")
			if p := passwordOf(secret); p != "" {
				s = strings.ReplaceAll(s, p, "***")
			}
		}
	}
	if len(s) > 1000 {
		s = strings.ToValidUTF8(s[:1000], "") + "..."
	}
	return s
}
