package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/query"
)

// feed is what a subscriber is still to be told, in the order in which it was captured.
type feed struct {
	s       *Server
	q       *query.Query
	by      record.Identity
	initial time.Time
	name    string // of the query
	id      string // of the subscription
	out     format

	scanned uint64 // events up to here were looked at
	queue   []pending
}

type pending struct {
	sequence uint64
	event    *epcis.Event
}

// step is how many events are read at a time.
const step = 500

// fill looks at further events, up to the number target, until want of them match.
func (f *feed) fill(ctx context.Context, target uint64, want int) error {
	y := f.s.eyeOf(ctx, f.by)
	f.s.describe(ctx, f.q)
	for len(f.queue) < want && f.scanned < target {
		list, err := f.s.cfg.Events.After(ctx, f.scanned, step)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			f.scanned = target
		}
		for _, r := range list {
			if r.Sequence > target {
				f.scanned = target
				break
			}
			f.scanned = r.Sequence
			if r.Event.RecordTime.Before(f.initial) || !f.q.Match(r.Event) {
				continue
			}
			if part, _ := y.see(ctx, r.Event, f.q); part != nil {
				f.queue = append(f.queue, pending{r.Sequence, part})
			}
		}
	}
	return nil
}

// message is the first n events that wait, as a document.
func (f *feed) message(n int) ([]byte, error) {
	events := make([]epcis.Event, n)
	for i := range events {
		events[i] = *f.queue[i].event
	}
	return f.s.encode(events, f.name, f.id, &f.out)
}

// news waits until there are events that were not looked at, and returns the number of the last.
func (f *feed) news(ctx context.Context) (uint64, error) {
	for {
		last, err := f.s.cfg.Events.Last(ctx)
		if err != nil || last > f.scanned || len(f.queue) > 0 {
			return last, err
		}
		if err := f.s.cfg.Events.Wait(ctx, f.scanned); err != nil {
			return 0, err
		}
		if last, err = f.s.cfg.Events.Last(ctx); err == nil && last <= f.scanned && !sleep(ctx, time.Second) {
			return 0, ctx.Err() // woken for nothing: not again at once
		}
	}
}

// before is the number up to which all events were recorded before t.
func (s *Server) before(ctx context.Context, t time.Time) (uint64, error) {
	high, err := s.cfg.Events.Last(ctx)
	if err != nil {
		return 0, err
	}
	low := uint64(0)
	for low < high {
		middle := low + (high-low)/2
		list, err := s.cfg.Events.After(ctx, middle, 1)
		if err != nil {
			return 0, err
		}
		if len(list) == 0 || !list[0].Event.RecordTime.Before(t) {
			high = middle
		} else {
			low = list[0].Sequence
		}
	}
	return low, nil
}

// runSubscriptions keeps one goroutine for each subscription.
func (s *Server) runSubscriptions(ctx context.Context) {
	if s.cfg.Send == nil {
		return
	}
	running := map[string]context.CancelFunc{}
	var all_ sync.WaitGroup
	defer all_.Wait()
	var mu sync.Mutex
	ended := map[string]bool{}
	for {
		there := map[string]bool{}
		err := subscriptions.Range(ctx, s.cfg.Store, all, func(sub subscription) error {
			there[sub.ID] = true
			return nil
		})
		mu.Lock()
		for id := range ended {
			running[id]()
			delete(running, id)
			delete(ended, id)
		}
		mu.Unlock()
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("the subscriptions cannot be read", "err", err)
		} else {
			for id, stop := range running {
				if !there[id] {
					stop()
				}
			}
			for id := range there {
				if running[id] == nil {
					sctx, stop := context.WithCancel(ctx)
					running[id] = stop
					all_.Go(func() {
						s.follow(sctx, id)
						mu.Lock()
						ended[id] = true
						mu.Unlock()
					})
				}
			}
		}
		t := time.NewTimer(time.Minute) // what another process added
		select {
		case <-ctx.Done():
			t.Stop()
			for _, stop := range running {
				stop()
			}
			return
		case <-s.changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// errGone ends a subscription that was deleted.
var errGone = errors.New("rest: the subscription is gone")

// save keeps a subscription's progress; it is gone when somebody deleted it.
func (s *Server) save(ctx context.Context, sub *subscription) error {
	return subscriptions.Update(ctx, s.cfg.Store, []byte(sub.ID), func(old table.Row[subscription]) (subscription, error) {
		if !old.Found() {
			return *sub, errGone
		}
		return *sub, nil
	})
}

// follow serves one subscription until it is gone.
func (s *Server) follow(ctx context.Context, id string) {
	for ctx.Err() == nil {
		err := s.followOnce(ctx, id)
		if errors.Is(err, errGone) || ctx.Err() != nil {
			return
		}
		s.cfg.Log.Error("a subscription could not go on", "subscription", id, "err", err)
		if !sleep(ctx, s.lim.RetryMax) {
			return
		}
	}
}

func (s *Server) followOnce(ctx context.Context, id string) error {
	row, err := subscriptions.Load(ctx, s.cfg.Store, []byte(id))
	if err != nil {
		return err
	}
	if !row.Found() {
		return errGone
	}
	sub := row.Value
	n, err := queries.Get(ctx, s.cfg.Store, []byte(sub.Query))
	if err != nil {
		return err
	}
	q, err := s.parsed(n)
	if err != nil {
		return err
	}
	f := &feed{s: s, q: q, by: sub.By, initial: sub.Initial, name: sub.Query, id: sub.ID, scanned: sub.Sent, out: format{media: mediaJSON, version: "2.0"}}
	f.out.CompanyPrefix = s.cfg.CompanyPrefix
	f.out.EPC, _ = epcFormat(sub.EPC)
	f.out.CBV, _ = cbvFormat(sub.CBV)
	var strikes clock
	if sub.Schedule != nil {
		if strikes, err = sub.Schedule.parse(s.cfg.Zone); err != nil {
			return err
		}
	}
	if sub.Failures > 0 {
		if wait := sub.NextTry.Sub(s.cfg.Now()); wait > 0 && !sleep(ctx, min(wait, s.lim.RetryMax)) {
			return ctx.Err()
		}
	}
	for {
		target := sub.Target
		if sub.Schedule == nil {
			if target, err = f.news(ctx); err != nil {
				return err
			}
		} else if !sub.Owed {
			due := strikes.next(sub.Tick.In(s.cfg.Zone))
			if wait := due.Sub(s.cfg.Now()); wait > 0 && !sleep(ctx, wait) {
				return ctx.Err()
			}
			if sub.Target, err = s.cfg.Events.Last(ctx); err != nil {
				return err
			}
			target = sub.Target
			// Strikes that were missed are one report.
			if sub.Owed, sub.Tick = true, due; s.cfg.Now().After(due) {
				sub.Tick = s.cfg.Now().UTC().Truncate(time.Second)
			}
			if err := s.save(ctx, &sub); err != nil {
				return err
			}
		}
		if err := s.deliver(ctx, f, &sub, target); err != nil {
			return err
		}
		if sub.Schedule != nil {
			sub.Owed, sub.Sent = false, max(sub.Sent, target)
			if err := s.save(ctx, &sub); err != nil {
				return err
			}
		} else if f.scanned-sub.Sent > 10*step {
			sub.Sent = f.scanned // nothing for it for a while: a restart need not look again
			if err := s.save(ctx, &sub); err != nil {
				return err
			}
		}
	}
}

// errSmaller is a receiver's wish for smaller messages.
var errSmaller = problem.New(problem.TooLarge, "the receiver wants smaller messages (413)", "接收方要求更小的消息（413）")

// deliver sends everything up to the number target, in order, however long it takes.
func (s *Server) deliver(ctx context.Context, f *feed, sub *subscription, target uint64) error {
	told := false
	for {
		size := or(sub.Size, s.lim.Batch)
		if err := f.fill(ctx, target, size); err != nil {
			return err
		}
		n := min(len(f.queue), size)
		if n == 0 && (sub.Schedule == nil || !sub.ReportIfEmpty || told) {
			return nil
		}
		body, err := f.message(n)
		if err != nil {
			return err
		}
		if row, err := subscriptions.Load(ctx, s.cfg.Store, []byte(sub.ID)); err != nil {
			return err
		} else if !row.Found() {
			return errGone // who has unsubscribed hears nothing more
		}
		err = s.cfg.May(ctx, sub.By, ActQuery)
		if err == nil {
			err = s.send(ctx, sub, body)
		}
		switch {
		case err == nil:
			if n > 0 {
				sub.Sent = f.queue[n-1].sequence
				f.queue = f.queue[n:]
			}
			told = true
			sub.Notified, sub.Failures, sub.Trouble, sub.NextTry = s.cfg.Now().UTC(), 0, "", time.Time{}
			if err := s.save(ctx, sub); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errSmaller) && n > 1:
			sub.Size = n / 2
			if err := s.save(ctx, sub); err != nil {
				return err
			}
		default:
			sub.Failures++
			wait := s.backoff(sub.Failures)
			sub.Trouble, sub.NextTry = problem.Say(err, problem.English), s.cfg.Now().Add(wait).UTC()
			if err := s.save(ctx, sub); err != nil {
				return err
			}
			if !sleep(ctx, wait) {
				return ctx.Err()
			}
		}
	}
}

// backoff is how long to wait after so many failures: twice as long each time, up to a limit, a little shorter or longer so that receivers that come back are
// not asked by all at once.
func (s *Server) backoff(failures int) time.Duration {
	d := s.lim.RetryMax
	if failures < 30 {
		d = min(d, s.lim.RetryMin<<(failures-1))
	}
	var b [1]byte
	if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
		return d
	}
	return d - d/10 + d*time.Duration(b[0])/1280
}

// send sends one message, signed anew. Why it failed is told in few words only: what a callback address answers, or that there is none, would otherwise let
// an outsider look around the node's networks.
func (s *Server) send(ctx context.Context, sub *subscription, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.lim.SendTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.Dest, bytes.NewReader(body))
	if err != nil {
		return problem.New(problem.BadRequest, "dest is no address", "dest 不是地址")
	}
	r.Header.Set("Content-Type", mediaJSON)
	r.Header.Set("User-Agent", s.cfg.Vendor)
	r.Header.Set("GS1-EPCIS-Version", newest)
	r.Header.Set("GS1-CBV-Version", newestCBV)
	r.Header.Set("GS1-EPC-Format", or(sub.EPC, "Always_GS1_Digital_Link"))
	r.Header.Set("GS1-Query-Min-Record-Time", sub.minRecordTime().Format(time.RFC3339Nano))
	if sub.Token != "" {
		r.Header.Set(SignatureHeader, Sign(sub.Token, s.cfg.Now(), body))
	}
	resp, err := s.cfg.Send(ctx, r)
	if err != nil {
		s.cfg.Log.Debug("a subscriber was not reached", "subscription", sub.ID, "err", err)
		return problem.New(problem.Unreachable, "the receiver could not be reached", "无法连接接收方")
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusRequestEntityTooLarge:
		return errSmaller
	}
	return problem.New(problem.Unreachable, "the receiver answered %d", "接收方应答 %d", resp.StatusCode)
}
