package meter

import (
	"context"
	"encoding/json"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trust"
)

// Statement is the body of POST /api/reports/{table}.
type Statement struct {
	Statement string `json:"statement" maxLength:"8388608" doc:"The report as a compact JWS by the reporting node's key"`
}

// Parcel is a report that the node above has not taken yet.
type Parcel struct {
	Seq       uint64    `json:"seq"`
	Table     string    `json:"table"`
	Period    string    `json:"period,omitempty"`
	Rows      int       `json:"rows"`
	Made      time.Time `json:"made"`
	From      string    `json:"from,omitempty" doc:"The node below whose report this is, when it is forwarded"`
	Tries     int       `json:"tries,omitempty"`
	LastError string    `json:"lastError,omitempty"`
	Refused   bool      `json:"refused,omitempty"` // the node above will not take it
	// What is carried: the node's own Report, or the Statement of a node below as it came.
	Report    json.RawMessage `json:"report,omitempty"`
	Statement string          `json:"statement,omitempty"`
}

var outbox = table.Table[Parcel]{Name: "meter.outbox", Key: func(p Parcel) []byte { return seqKey(p.Seq) }}

const (
	firstWait = time.Second
	longWait  = 5 * time.Minute
	patience  = 10 // tries of a forwarded report whose signature does not hold: the keys kept above may be old ones
)

// deliver carries what is in the outbox to the node above, oldest first; while it is away, less and less often.
func (m *Meter) deliver(ctx context.Context) {
	if m.cfg.Push == nil {
		return
	}
	wait := firstWait
	for {
		err := m.deliverOnce(ctx)
		pause := time.Minute // even when nobody wakes it
		if err != nil {
			pause, wait = wait, min(2*wait, longWait)
		} else {
			wait = firstWait
		}
		if err != nil && ctx.Err() == nil {
			m.cfg.Log.Warn("meter: a report waits, since the node above does not take it now", "error", err.Error(), "again", pause)
		}
		timer := time.NewTimer(pause)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		} else {
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-m.wake:
			}
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func (m *Meter) deliverOnce(ctx context.Context) error {
	for {
		var next *Parcel
		err := outbox.Range(ctx, m.cfg.Store, store.Span{}, func(p Parcel) error {
			if p.Refused {
				return nil
			}
			next = &p
			return store.Stop
		})
		if err != nil || next == nil {
			return err
		}
		body := Statement{next.Statement}
		if next.Report != nil {
			jws, err := trust.SignStatement(m.cfg.Key, next.Report)
			if err != nil {
				return err
			}
			body.Statement = string(jws)
		}
		short, cancel := context.WithTimeout(ctx, time.Minute)
		err = m.cfg.Push(short, next.Table, body)
		cancel()
		if err == nil {
			if err := outbox.Delete(ctx, m.cfg.Store, seqKey(next.Seq)); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch problem.KindOf(err) {
		case problem.Bogus:
			// A node below that changed its key meanwhile cannot sign again what it handed in; one's own will be signed again.
			next.Refused = next.From != "" && next.Tries >= patience
		case problem.BadValue, problem.BadRequest, problem.TooLarge, problem.Forbidden, problem.Conflict, problem.Exists:
			next.Refused = true
		}
		if next.Refused {
			m.cfg.Log.Error("meter: the node above refuses a report; it is kept and the next one is sent", "table", next.Table, "seq", next.Seq, "error", err.Error())
		}
		if next.Tries++; len(err.Error()) < 500 {
			next.LastError = err.Error()
		} else {
			next.LastError = err.Error()[:500]
		}
		if perr := outbox.Put(ctx, m.cfg.Store, *next); perr != nil {
			return perr
		}
		if !next.Refused {
			return err
		}
	}
}

func (m *Meter) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Outbox lists what waits, oldest first, behind after.
func (m *Meter) Outbox(ctx context.Context, after uint64, limit int) ([]Parcel, error) {
	out := []Parcel{}
	err := outbox.Range(ctx, m.cfg.Store, store.Span{From: seqKey(after + 1)}, func(p Parcel) error {
		if len(out) == limit {
			return store.Stop
		}
		p.Statement, p.Report = "", nil
		out = append(out, p)
		return nil
	})
	return out, err
}
