package meter

import (
	"context"
	"sync"
	"time"

	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// Neighbour is a node that is measured from outside.
type Neighbour struct {
	Prefix string `json:"prefix"`
	Name   string `json:"name,omitempty"`
}

// Service is what is measured of it.
type Service string

const (
	Resolution   Service = "resolution"   // 解析
	Registration Service = "registration" // 注册
)

// Measured is one day of one service of one neighbour, as seen from here.
type Measured struct {
	Day       string    `json:"day"`
	Prefix    string    `json:"prefix"`
	Service   Service   `json:"service"`
	Probes    uint64    `json:"probes"`
	Answered  uint64    `json:"answered"`
	Times     Latencies `json:"times"`
	LastError string    `json:"lastError,omitempty"`
	LastAt    time.Time `json:"lastAt"`
	Down      bool      `json:"down"` // at the last probe
}

var measured = table.Table[Measured]{Name: "meter.measured", Key: func(d Measured) []byte {
	return append(dayKey(d.Day, d.Prefix), " "+d.Service...)
}}

// probing bounds how many probes run at once.
type probing struct {
	mu   sync.Mutex
	busy map[string]bool
}

const maxProbes = 32

// probe measures each neighbour each interval; one that hangs is not asked again before it has answered or its time is up.
func (m *Meter) probe(ctx context.Context) {
	m.probing.busy = map[string]bool{}
	slots := make(chan struct{}, maxProbes)
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(m.cfg.ProbeEvery)
	defer tick.Stop()
	for {
		list, err := m.cfg.Neighbours(ctx)
		m.grumble(err)
		for _, n := range list {
			for _, what := range []Service{Resolution, Registration} {
				key := n.Prefix + " " + string(what)
				m.probing.mu.Lock()
				busy := m.probing.busy[key]
				m.probing.busy[key] = true
				m.probing.mu.Unlock()
				if busy {
					continue
				}
				select {
				case slots <- struct{}{}:
				case <-ctx.Done():
					return
				}
				wg.Go(func() {
					m.grumble(m.probeOnce(ctx, n, what))
					<-slots
					m.probing.mu.Lock()
					delete(m.probing.busy, key)
					m.probing.mu.Unlock()
				})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *Meter) probeOnce(ctx context.Context, n Neighbour, what Service) error {
	begun := m.cfg.Now()
	short, cancel := context.WithTimeout(ctx, min(m.cfg.ProbeEvery, 10*time.Second))
	err := m.cfg.Probe(short, n, what)
	cancel()
	if ctx.Err() != nil {
		return nil
	}
	now := m.cfg.Now()
	at := now.In(Beijing)
	second := uint32(at.Hour()*3600 + at.Minute()*60 + at.Second())
	key := measured.Key(Measured{Day: dayOf(now), Prefix: n.Prefix, Service: what})
	return measured.Update(ctx, m.cfg.Store, key, func(old table.Row[Measured]) (Measured, error) {
		d := old.Value
		d.Day, d.Prefix, d.Service, d.LastAt, d.Down = dayOf(now), n.Prefix, what, now.UTC(), err != nil
		d.Probes++
		if err != nil {
			d.LastError = clip(err.Error())
			return d, nil
		}
		d.Answered++
		us := uint64(max(0, now.Sub(begun).Microseconds()))
		one := make([]uint64, bucketOf(us)+1)
		one[len(one)-1] = 1
		d.Times.Buckets = append([]uint64(nil), d.Times.Buckets...)
		d.Times.merge(Latencies{Count: 1, OK: 1, Sum: us, Max: us, Min: us, MaxAt: second, MinAt: second, Buckets: one})
		return d, nil
	})
}

func clip(s string) string {
	if len(s) > 300 {
		return s[:300]
	}
	return s
}

// Seen is what was measured of neighbours on the days from to to (2026-11-22, both included; empty: of all).
func (m *Meter) Seen(ctx context.Context, from, to string) ([]Measured, error) {
	out := []Measured{}
	span := store.Span{From: []byte(from)}
	if to != "" {
		span.To = []byte(to + "!")
	}
	err := measured.Range(ctx, m.cfg.Store, span, func(d Measured) error {
		out = append(out, d)
		return nil
	})
	return out, err
}
