package recall

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
)

var operator = record.Identity{Operator: true}

// How long to wait before something is tried again.
const (
	firstWait = 10 * time.Second
	longWait  = 30 * time.Minute
	searchGap = 15 * time.Minute // an incomplete search is made again
)

func wait(tries int) time.Duration {
	return min(longWait, firstWait<<min(max(tries-1, 0), 12))
}

// Run goes on with every recall until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	for {
		next := d.Advance(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := time.Minute
		if !next.IsZero() {
			pause = min(pause, max(next.Sub(d.cfg.Now()), time.Second))
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-d.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// Advance does all that is due now, and returns when something will be next; zero: nothing waits.
func (d *Desk) Advance(ctx context.Context) (next time.Time) {
	d.turn.Lock()
	defer d.turn.Unlock()
	later := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	page, _ := d.recalls.Page("", d.recalls.Len()+1, nil)
	for _, p := range page {
		if ctx.Err() != nil {
			return
		}
		r := p.Paper
		if r.State != Closed {
			if now := d.cfg.Now(); (r.Searched.IsZero() || !r.Complete) && !now.Before(r.Again) {
				r = d.search(ctx, p.ID, r)
			}
			if r.Searched.IsZero() || !r.Complete {
				later(r.Again)
			}
		}
		waiting := false
		for _, h := range d.of(p.ID) {
			later(d.notify(ctx, p.ID, &r, h, &waiting))
		}
		if r.State == Open && !r.Searched.IsZero() && !waiting {
			r = d.change(ctx, p.ID, r, func(r *Recall) error { r.State = Notified; r.Serial++; return nil })
		}
		later(d.tell(ctx, p.ID, r))
	}
	notices, _ := d.notices.Page("", d.notices.Len()+1, func(_ id.ID, n Notice) bool { return n.Delivered < len(n.Answers) })
	for _, p := range notices {
		if ctx.Err() != nil {
			return
		}
		later(d.deliver(ctx, p))
	}
	return next
}

// change writes a change of a recall, and returns the recall as it is then.
func (d *Desk) change(ctx context.Context, v id.ID, r Recall, f func(*Recall) error) Recall {
	out, err := d.recalls.Change(ctx, operator, v, f)
	if err != nil {
		d.cfg.Log.Error("a recall could not be written", "recall", v, "err", err)
		return r
	}
	return out
}

// search looks for what is affected and writes down who holds it.
func (d *Desk) search(ctx context.Context, v id.ID, r Recall) Recall {
	found, err := d.cfg.Find(ctx, graph.RecallQuestion{Things: r.Things, From: r.From, To: r.To, Recall: v.String()}, nil)
	now := d.cfg.Now().UTC()
	if err != nil {
		d.cfg.Log.Warn("the search of a recall failed and is made again", "recall", v, "err", err)
		return d.change(ctx, v, r, func(r *Recall) error {
			r.Search, r.Again = clip(problem.Say(err, problem.English)), now.Add(firstWait)
			return nil
		})
	}
	changed := false
	for i, prefix := range slices.Sorted(maps.Keys(found.Holders)) {
		if i == maxHolders {
			found.Complete = false
			break
		}
		new, err := d.holder(ctx, v, prefix, found.Holders[prefix])
		if err != nil {
			d.cfg.Log.Error("a holder of a recall could not be written", "recall", v, "holder", prefix, "err", err)
			return d.change(ctx, v, r, func(r *Recall) error {
				r.Search, r.Again = clip(problem.Say(err, problem.English)), now.Add(firstWait)
				return nil
			})
		}
		changed = changed || new
	}
	return d.change(ctx, v, r, func(r *Recall) error {
		changed = changed || r.Searched.IsZero() || r.Affected != len(found.Set.Things) || r.Complete != found.Complete
		r.Searched, r.Search, r.Complete, r.Affected = now, "", found.Complete, len(found.Set.Things)
		r.Totals, r.Hops = found.Set.Totals[:min(len(found.Set.Totals), 20)], found.Hops[:min(len(found.Hops), 200)]
		if !r.Complete {
			r.Again = now.Add(searchGap)
		}
		if changed {
			r.Serial++
		}
		return nil
	})
}

// holder writes down what one holder has, and reports whether that is news.
func (d *Desk) holder(ctx context.Context, v id.ID, prefix string, things []graph.Affected) (bool, error) {
	name, err := d.holders.ID(holderName(v, prefix))
	if err != nil {
		return false, err
	}
	h := Holder{Recall: v.String(), Prefix: prefix, Count: len(things), Serial: 1}
	size := 0
	for _, t := range things {
		it := Item{Thing: t.ID, Quantity: cmp.Or(t.Left, t.Quantity), Unit: t.Unit, Place: t.Place}
		if size += len(it.Thing) + len(it.Place) + 80; len(h.Items) == maxItems || size > 100<<10 {
			break
		}
		h.Items = append(h.Items, it)
	}
	_, err = d.holders.Get(name)
	if problem.Is(err, problem.NotFound) {
		return true, d.holders.Create(ctx, operator, name, h)
	}
	if err != nil {
		return false, err
	}
	news := false
	_, err = d.holders.Change(ctx, operator, name, func(old *Holder) error {
		if old.Count == h.Count && slices.Equal(old.Items, h.Items) {
			return document.ErrNoChange
		}
		news = true
		old.Items, old.Count, old.Done = h.Items, h.Count, false
		old.Serial++
		old.Again = time.Time{}
		return nil
	})
	return news, err
}

// notify sends a holder its notice, when it has not got it and it is time. That it is tried is written before it is.
func (d *Desk) notify(ctx context.Context, v id.ID, r *Recall, p document.Paper[Holder], waiting *bool) (again time.Time) {
	h := p.Paper
	serial := h.Serial
	if r.State == Closed {
		serial = -1 // the last word
	}
	if h.Sent == serial {
		return time.Time{}
	}
	*waiting = true
	if d.cfg.Now().Before(h.Again) {
		return h.Again
	}
	h, err := d.holders.Change(ctx, operator, p.ID, func(h *Holder) error {
		h.Tries++
		h.Again = d.cfg.Now().UTC().Add(wait(h.Tries))
		return nil
	})
	if err != nil {
		d.cfg.Log.Error("a notice could not be written down, and is not sent", "recall", v, "holder", h.Prefix, "err", err)
		return d.cfg.Now().Add(firstWait)
	}
	n := Notice{Recall: v.String(), Owner: d.cfg.Prefix, Serial: h.Serial, Title: r.Title, Reason: r.Reason, Instructions: r.Instructions, Contact: r.Contact,
		Things: r.Things, Items: h.Items, Count: h.Count, Closed: r.State == Closed}
	if r.State == Closed {
		n.Serial = h.Serial + 1
	}
	if h.Prefix == d.cfg.Prefix {
		err = d.receive(ctx, d.cfg.Prefix, n)
	} else {
		_, err = d.cfg.Post(ctx, h.Prefix, NoticesPath, mustJSON(n))
	}
	out, werr := d.holders.Change(ctx, operator, p.ID, func(h *Holder) error {
		if err != nil {
			h.Error = clip(problem.Say(err, problem.English))
			return nil
		}
		h.Error, h.Tries, h.Again = "", 0, time.Time{}
		h.Sent = serial
		if h.Notified.IsZero() {
			h.Notified = d.cfg.Now().UTC()
		}
		return nil
	})
	if werr != nil {
		d.cfg.Log.Error("what became of a notice could not be written down; it is sent again", "recall", v, "holder", h.Prefix, "err", werr)
		return h.Again
	}
	if err != nil {
		d.cfg.Log.Warn("a holder could not be notified; it is tried again", "recall", v, "holder", h.Prefix, "again", out.Again, "err", err)
		return out.Again
	}
	*waiting = false
	d.bump(ctx, v)
	return time.Time{}
}

// bump lets the authority hear that something changed.
func (d *Desk) bump(ctx context.Context, v id.ID) {
	if _, err := d.recalls.Change(ctx, operator, v, func(r *Recall) error { r.Serial++; return nil }); err != nil {
		d.cfg.Log.Error("a recall could not be written", "recall", v, "err", err)
	}
}

// tell sends the authority its copy, when it has an older one and it is time.
func (d *Desk) tell(ctx context.Context, v id.ID, r Recall) (again time.Time) {
	r, err := d.recalls.Get(v)
	if err != nil || d.cfg.Authority == "" || r.Told >= r.Serial {
		return time.Time{}
	}
	if d.cfg.Now().Before(r.TellAgain) {
		return r.TellAgain
	}
	if d.cfg.Authority == d.cfg.Prefix {
		err = d.receiveCopy(ctx, d.cfg.Prefix, d.copyOf(v, r))
	} else {
		_, err = d.cfg.Post(ctx, d.cfg.Authority, RecallsPath, mustJSON(d.copyOf(v, r)))
	}
	serial := r.Serial
	out := d.change(ctx, v, r, func(r *Recall) error {
		if err != nil {
			r.ToldError, r.TellAgain = clip(problem.Say(err, problem.English)), d.cfg.Now().UTC().Add(time.Minute)
			return nil
		}
		r.Told, r.ToldError, r.TellAgain = serial, "", time.Time{}
		return nil
	})
	return out.TellAgain
}

// copyOf is what the authority gets.
func (d *Desk) copyOf(v id.ID, r Recall) Copy {
	c := Copy{Recall: v.String(), Owner: d.cfg.Prefix, Serial: r.Serial, Title: r.Title, Reason: r.Reason, Things: r.Things, State: r.State, Opened: r.Opened, Closed: r.Closed, Why: r.Why,
		Complete: r.Complete, Affected: r.Affected, Totals: r.Totals}
	for _, h := range d.of(v) {
		c.Holders = append(c.Holders, standing(&h.Paper))
	}
	return c
}

// standing sums up a holder's answers: the last word about each thing counts.
func standing(h *Holder) Standing {
	s := Standing{Prefix: h.Prefix, Count: h.Count, Notified: h.Notified, Error: h.Error, Done: h.Done}
	last := map[string]Finding{}
	for _, a := range h.Acknowledged {
		for _, f := range a.Items {
			last[epcis.Key(f.Thing)+"\x00"+f.Unit+"\x00"+f.Action] = f
		}
	}
	sums := map[string]epcis.Decimal{}
	for _, k := range slices.Sorted(maps.Keys(last)) {
		f := last[k]
		if f.Action == "not-found" {
			s.Missing++
			continue
		}
		n := f.Quantity
		if n == "" {
			n = "1"
		}
		sum, ok := add(sums[f.Unit], n)
		if ok {
			sums[f.Unit] = sum
		}
	}
	for _, unit := range slices.Sorted(maps.Keys(sums)) {
		s.Found = append(s.Found, graph.Total{Quantity: sums[unit], Unit: unit})
	}
	return s
}

// deliver sends a recall's owner the answers that it has not got.
func (d *Desk) deliver(ctx context.Context, p document.Paper[Notice]) (again time.Time) {
	n := p.Paper
	if d.cfg.Now().Before(n.Again) {
		return n.Again
	}
	a := Acknowledgement{Recall: n.Recall, Answers: n.Answers[n.Delivered:]}
	var err error
	if n.Owner == d.cfg.Prefix {
		err = d.acknowledge(ctx, d.cfg.Prefix, a)
	} else {
		_, err = d.cfg.Post(ctx, n.Owner, AcknowledgementsPath, mustJSON(a))
	}
	sent := len(n.Answers)
	n, werr := d.notices.Change(ctx, operator, p.ID, func(n *Notice) error {
		if err != nil {
			n.Tries++
			n.Error, n.Again = clip(problem.Say(err, problem.English)), d.cfg.Now().UTC().Add(wait(n.Tries))
			return nil
		}
		n.Tries, n.Error, n.Again, n.Delivered = 0, "", time.Time{}, sent
		return nil
	})
	if werr != nil {
		d.cfg.Log.Error("what became of an acknowledgement could not be written down; it is sent again", "notice", p.ID, "err", werr)
		return d.cfg.Now().Add(firstWait)
	}
	return n.Again
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("recall: " + err.Error()) // plain structs with texts, numbers and times of this century
	}
	return b
}
