package across

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/share"
)

var rawURL = base64.RawURLEncoding

// Serves reports whether Handler answers at a path.
func Serves(path string) bool {
	return path == WalkPath || strings.HasPrefix(path, EventsPath)
}

// Handler answers others: POST /trace/walk and GET /trace/events/{id}.
func (a *Across) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		var err error
		switch {
		case r.URL.Path == WalkPath && r.Method == http.MethodPost:
			err = a.walk(w, r)
		case strings.HasPrefix(r.URL.Path, EventsPath) && r.Method == http.MethodGet:
			err = a.event(w, r)
		default:
			w.Header().Set("Allow", "GET, POST")
			err = problem.New(problem.Unsupported, "here are POST %s and GET %s{id}", "此处可用 POST %s 与 GET %s{id}", WalkPath, EventsPath)
		}
		if err != nil {
			refuse(w, r, err)
		}
	})
}

// refuse says no as problem details.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	switch problem.KindOf(err) {
	case problem.BadRequest, problem.BadValue, problem.BadID, problem.BadCredential:
		status = http.StatusBadRequest
	case problem.NeedAuth, problem.AuthFailed, problem.AuthTimeout, problem.AuthError:
		status = http.StatusUnauthorized
	case problem.Forbidden:
		status = http.StatusForbidden
	case problem.NotFound, problem.NotHere:
		status = http.StatusNotFound
	case problem.Unsupported:
		status = http.StatusMethodNotAllowed
	case problem.TooLarge:
		status = http.StatusRequestEntityTooLarge
	case problem.Busy:
		w.Header().Set("Retry-After", "1")
		status = http.StatusServiceUnavailable
	case problem.Canceled:
		status = http.StatusRequestTimeout
	}
	lang := problem.ParseLang(r.Header.Get("Accept-Language"))
	b, _ := json.Marshal(map[string]any{"type": "urn:fujie:problem:" + problem.KindOf(err).String(), "title": http.StatusText(status), "status": status,
		"kind": problem.KindOf(err).String(), "detail": problem.Say(err, lang)})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(b)
}

// who is who asks; an error when that is not proved, or when nothing here is for them, whatever there is.
func (a *Across) who(r *http.Request) (who record.Identity, err error) {
	if a.cfg.Identify != nil {
		if who, err = a.cfg.Identify(r); err != nil {
			return who, err
		}
	}
	if a.cfg.Any != nil && !a.cfg.Any(who) {
		if who.IsAnonymous() {
			return who, problem.New(problem.NeedAuth, "say who you are: sign the request with your prefix's key", "请表明身份：以您前缀的密钥对请求签名")
		}
		return who, problem.New(problem.Forbidden, "%s shares no events with %s: ask it to", "%s 未与 %s 共享事件：请向其申请", a.cfg.Prefix, cmp.Or(share.Prefix(who), who.Ref.Name))
	}
	return who, nil
}

// walk answers POST /trace/walk.
func (a *Across) walk(w http.ResponseWriter, r *http.Request) error {
	who, err := a.who(r)
	if err != nil {
		return err
	}
	sent, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.cfg.Limits.Request))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return problem.New(problem.TooLarge, "the question is over %d bytes; ask about fewer things at once", "查询超过 %d 字节；请减少一次查询的物品", a.cfg.Limits.Request)
		}
		return problem.Wrap(err, problem.BadRequest, "the question broke off", "查询中断")
	}
	var q Request
	if err := json.Unmarshal(sent, &q); err != nil {
		return problem.Wrap(err, problem.BadRequest, "the question is not the JSON that is expected here", "查询不是此处所需的 JSON")
	}
	if err := q.check(&a.cfg.Limits); err != nil {
		return err
	}
	if !a.ours(handle.Fold(q.Owner)) {
		return problem.New(problem.NotHere, "the events of %s are not kept here", "此处不保存 %s 的事件", clip(q.Owner))
	}
	select {
	case a.walks <- struct{}{}:
		defer func() { <-a.walks }()
	case <-r.Context().Done():
		return problem.Wrap(r.Context().Err(), problem.Canceled, "the asker went away", "查询者已离开")
	}
	body, err := a.answer(r.Context(), who, &q)
	if err != nil {
		return err
	}
	return a.reply(w, who, q.Owner, sent, body)
}

// reply signs and sends an answer.
func (a *Across) reply(w http.ResponseWriter, who record.Identity, owner string, sent []byte, v any) error {
	ans, err := json.Marshal(v)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "an answer cannot be written", "应答无法写出")
	}
	st, err := a.sign(owner, who.Ref.String(), sent, ans)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(HeaderStatement, st)
	w.Write(ans)
	return nil
}

// event answers GET /trace/events/{id}: the event as the asker sees it, or the proof that it exists.
func (a *Across) event(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, EventsPath)
	absent := problem.New(problem.NotFound, "there is no event %s here, or it is not for you", "此处没有事件 %s，或您无权查看", clip(name))
	who, err := a.who(r)
	if err != nil {
		return err
	}
	e, err := a.cfg.Event(r.Context(), name)
	if problem.Is(err, problem.NotFound) {
		return absent
	}
	if err != nil {
		return err
	}
	q := share.Asked{}
	if name := r.URL.Query().Get("recall"); name != "" && a.recall(r.Context(), who, name) {
		q.Recall = name
	}
	l := a.cfg.Level(who, e, q)
	if l == share.Nothing {
		return absent
	}
	body := Body{Owner: a.cfg.Prefix, Nonce: "event"}
	body.put(e, l, "", hashOf(e))
	return a.reply(w, who, a.cfg.Prefix, []byte(name), body)
}

// hashOf is an event's hash; its ID when that is one.
func hashOf(e *epcis.Event) string { return epcis.Hash(e) }

// put adds one event to an answer, as somebody at level l sees it.
func (b *Body) put(e *epcis.Event, l share.Level, thing, hash string) {
	if l == share.Exists {
		b.Proofs = append(b.Proofs, Proof{Hash: hash, Time: e.Time, Thing: thing})
		return
	}
	b.Events = eventsJSON([]epcis.Event{*share.Redact(e, l)})
	b.Marks = append(b.Marks, Mark{hash, l})
}

// eventsJSON writes events as a JSON array.
func eventsJSON(list []epcis.Event) []byte {
	out := []byte{'['}
	for i := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = epcis.AppendEventJSON(out, &list[i], epcis.Format{})
	}
	return append(out, ']')
}

// seen is this node's events as one asker sees them, and what the asker has come by. It is a graph.Source.
type seen struct {
	a     *Across
	who   record.Identity
	q     share.Asked
	limit int

	mu      sync.Mutex
	events  map[string]*sight // by ID
	order   []string
	over    bool
	things  map[string]bool // that were walked
	wanted  map[string]bool // IDs of events that belong to the answer; others were looked at on the way
	named   map[string]bool // prefixes that events which the asker sees name
	nearest int             // the fewest hand-overs that are proved; 0: none is
}

type sight struct {
	event *epcis.Event // redacted; nil for Nothing and Exists
	level share.Level
	thing string // under which it was come by
	time  time.Time
}

// Touching implements graph.Source.
func (s *seen) Touching(ctx context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) {
		for e, err := range s.a.cfg.Source.Touching(ctx, thing, from, to) {
			if err != nil {
				yield(nil, err)
				return
			}
			if v := s.look(e, thing); v != nil && !yield(v, nil) {
				return
			}
		}
	}
}

// look is an event as the asker sees it, nil when it cannot be followed.
func (s *seen) look(e *epcis.Event, thing string) *epcis.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.events[e.ID]; v != nil {
		return v.event
	}
	if len(s.events) >= s.limit {
		s.over = true
		return nil
	}
	v := &sight{level: s.a.cfg.Level(s.who, e, s.q), thing: thing, time: e.Time}
	if v.level >= share.Trace {
		v.event = share.Redact(e, v.level)
		parties(v.event, func(p string) { s.named[p] = true })
	}
	s.events[e.ID] = v
	if v.level > share.Nothing {
		s.order = append(s.order, e.ID)
	}
	return v.event
}

// answer is what who sees of what the question asks.
func (a *Across) answer(ctx context.Context, who record.Identity, q *Request) (*Body, error) {
	src := &seen{a: a, who: who, limit: a.cfg.Limits.Events, events: map[string]*sight{}, things: map[string]bool{}, wanted: map[string]bool{}, named: map[string]bool{}}
	if q.Recall != "" && a.recall(ctx, who, q.Recall) {
		src.q.Recall = q.Recall
	}
	out := &Body{Owner: q.Owner, Nonce: q.Nonce}
	if err := a.follow(ctx, src, q, out); err != nil {
		return nil, err
	}
	var list []epcis.Event
	for _, name := range src.order {
		v := src.events[name]
		if !src.wanted[name] && (v.level > share.Exists || !src.things[v.thing]) {
			continue
		}
		e, err := a.cfg.Event(ctx, name)
		switch {
		case problem.Is(err, problem.NotFound):
			continue // removed meanwhile
		case err != nil:
			return nil, err
		}
		h := hashOf(e)
		if v.level == share.Exists {
			out.Proofs = append(out.Proofs, Proof{Hash: h, Time: v.time, Thing: v.thing})
			continue
		}
		list = append(list, *share.Redact(e, v.level))
		out.Marks = append(out.Marks, Mark{h, v.level})
	}
	if len(list) > 0 {
		out.Events = eventsJSON(list)
	}
	out.Partial = out.Partial || src.over
	a.introduce(who, q, src, out)
	return out, nil
}

// follow walks own events from the seeds.
func (a *Across) follow(ctx context.Context, src *seen, q *Request, out *Body) error {
	groups := map[int][]graph.Seed{}
	known := map[string]int{}
	for _, s := range q.Seeds {
		hops, had := known[s.Key]
		if !had {
			hops = a.hops(ctx, src.who, s.Key, q.Via)
			known[s.Key] = hops
		}
		groups[hops] = append(groups[hops], s)
	}
	limit := a.cfg.Limits.Things
	if q.Limit > 0 {
		limit = min(limit, q.Limit)
	}
	// Nearer askers first: an event is shown at the level at which it was come by first.
	for _, hops := range nearest(groups) {
		src.q.Hops = hops
		if hops > 0 && (src.nearest == 0 || hops < src.nearest) {
			src.nearest = hops
		}
		part, err := graph.Walk(ctx, src, graph.WalkQuestion{Frontier: groups[hops], From: q.From, To: q.To, Depth: q.Depth, Limit: limit, FanOut: q.FanOut})
		if err != nil {
			return err
		}
		for _, e := range part.Events {
			src.wanted[e.ID] = true
		}
		for _, key := range part.Known {
			if part.Stop[key] != "" {
				continue
			}
			if !src.things[key] {
				src.things[key] = true
				out.Walked = append(out.Walked, key)
			}
		}
		out.Partial = out.Partial || len(part.Known) >= limit || ctx.Err() != nil
	}
	return ctx.Err()
}

// nearest are the numbers of hand-overs, the fewest first; 0, not known, is the farthest.
func nearest(groups map[int][]graph.Seed) []int {
	out := slices.Collect(maps.Keys(groups))
	slices.SortFunc(out, func(x, y int) int {
		if (x == 0) != (y == 0) {
			return y - x
		}
		return x - y
	})
	return out
}
