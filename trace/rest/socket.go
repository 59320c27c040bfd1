package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/query"
)

// socket is an open WebSocket.
type socket struct {
	query string
	by    record.Identity
	end   context.CancelCauseFunc
}

// isUpgrade reports whether a request wants a WebSocket.
func isUpgrade(r *http.Request) bool {
	for _, part := range r.Header.Values("Connection") {
		for one := range strings.SplitSeq(part, ",") {
			if strings.EqualFold(strings.TrimSpace(one), "upgrade") {
				return strings.EqualFold(strings.TrimSpace(r.Header.Get("Upgrade")), "websocket")
			}
		}
	}
	return false
}

// errDeleted and errStopped are why a socket is closed from this side.
var (
	errDeleted = errors.New("the query was deleted")
	errStopped = errors.New("the repository stops")
)

// once is a parameter's one value.
func once(v url.Values, name string) (string, error) {
	if len(v[name]) > 1 {
		return "", controlsError("%s is given more than once", "%s 重复给出", name)
	}
	return v.Get(name), nil
}

// socket is GET /queries/{queryName}/events with an upgrade: events are sent on the socket, one EPCISQueryDocument a message, at the times of the schedule
// or as they come. It tells of what is captured while it is open; who must miss nothing subscribes with a callback address.
func (c *call) socket(n named, q *query.Query, v url.Values) error {
	for _, name := range controls {
		if _, err := once(v, name); err != nil {
			return err
		}
	}
	schedule := scheduleOf(v)
	stream := v.Get("stream")
	if stream != "" && stream != "true" && stream != "false" {
		return controlsError("stream=%q is neither true nor false", "stream=%q 既非 true 也非 false", stream)
	}
	if err := checkControls(stream == "true", stream == "false", schedule, c.s.cfg.Zone); err != nil {
		return err
	}
	empty := v.Get("reportIfEmpty")
	if empty != "" && empty != "true" && empty != "false" {
		return controlsError("reportIfEmpty=%q is neither true nor false", "reportIfEmpty=%q 既非 true 也非 false", empty)
	}
	initial := c.s.cfg.Now().UTC().Truncate(time.Millisecond)
	if text := v.Get("initialRecordTime"); text != "" {
		t, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+"))
		if err != nil {
			return controlsError("initialRecordTime=%q is no time: write it as 2026-04-04T20:33:31.116+08:00", "initialRecordTime=%q 不是时间：请写作 2026-04-04T20:33:31.116+08:00", text)
		}
		initial = t
	}
	rest := queryValues(v)
	for _, name := range controls {
		rest.Del(name)
	}
	more, err := c.parse(rest)
	if err != nil {
		return err
	}
	if q, err = q.And(more); err != nil {
		return queryError(err, "QueryParameterException")
	}
	f := &feed{s: c.s, q: q, by: c.who, initial: initial, name: n.Name, out: c.out}
	f.out.media, f.out.version = mediaJSON, "2.0"
	if f.scanned, err = c.s.before(c.ctx, initial); err != nil {
		return err
	}
	if f.id, err = c.s.newID(); err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(c.ctx)
	defer end(nil)
	so := &socket{query: n.Name, by: c.who, end: end}
	if err := c.s.enter(so); err != nil {
		return err
	}
	defer c.s.leave(so)
	c.w.Header().Set("GS1-Query-Min-Record-Time", initial.Format(time.RFC3339Nano))
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // Accept has answered
	}
	defer conn.CloseNow()
	stop := context.AfterFunc(c.s.closing, func() { end(errStopped) })
	defer stop()
	read := conn.CloseRead(context.WithoutCancel(ctx)) // ends when the other side closes
	stopRead := context.AfterFunc(read, func() { end(nil) })
	defer stopRead()
	f.serve(ctx, conn, schedule, empty == "true")
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errDeleted):
		conn.Close(websocket.StatusNormalClosure, errDeleted.Error())
	case errors.Is(cause, errStopped):
		conn.Close(websocket.StatusGoingAway, errStopped.Error())
	}
	return nil
}

// serve tells of events until ctx ends or the other side is gone.
func (f *feed) serve(ctx context.Context, conn *websocket.Conn, schedule *Schedule, empty bool) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() { // a connection that died unseen is noticed
		for sleep(ctx, 30*time.Second) {
			// A context that ends breaks the connection off, and the other side should be told why it closes.
			ping, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.s.lim.SendTimeout)
			err := conn.Ping(ping)
			cancel()
			if err != nil {
				end()
			}
		}
	}()
	var strikes clock
	if schedule != nil {
		var err error
		if strikes, err = schedule.parse(f.s.cfg.Zone); err != nil {
			return
		}
	}
	for {
		var target uint64
		var err error
		if schedule == nil {
			target, err = f.news(ctx)
		} else {
			now := f.s.cfg.Now()
			if !sleep(ctx, strikes.next(now.In(f.s.cfg.Zone)).Sub(now)) {
				return
			}
			target, err = f.s.cfg.Events.Last(ctx)
		}
		for told := false; err == nil; {
			if err = f.fill(ctx, target, f.s.lim.Batch); err != nil {
				break
			}
			n := min(len(f.queue), f.s.lim.Batch)
			if n == 0 && (schedule == nil || !empty || told) {
				break
			}
			var body []byte
			if err = f.s.cfg.May(ctx, f.by, ActQuery); err != nil {
				conn.Close(websocket.StatusPolicyViolation, "not allowed any more")
				return
			}
			if body, err = f.message(n); err == nil {
				write, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.s.lim.SendTimeout)
				err = conn.Write(write, websocket.MessageText, body)
				cancel()
				told, f.queue = true, f.queue[n:]
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				f.s.cfg.Log.Debug("a socket ended", "query", f.name, "err", err)
			}
			return
		}
	}
}

// enter counts a socket in.
func (s *Server) enter(so *socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := 0
	for other := range s.sockets {
		if other.by == so.by {
			own++
		}
	}
	if len(s.sockets) >= s.lim.Sockets || own >= s.lim.Subscriptions {
		return problem.New(problem.Busy, "%d sockets are open, %d of them yours: close one, or try again later", "已打开 %d 个连接，其中 %d 个属于您：请关闭一个或稍后重试", len(s.sockets), own)
	}
	if s.closing.Err() != nil {
		return problem.New(problem.Busy, "the repository stops", "存储库正在停止")
	}
	s.sockets[so] = struct{}{}
	return nil
}

func (s *Server) leave(so *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, so)
}

// closeSockets ends those of a query.
func (s *Server) closeSockets(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for so := range s.sockets {
		if so.query == query {
			so.end(errDeleted)
		}
	}
}
