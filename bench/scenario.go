package bench

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// Scenario is a load that all servers of a group take turns under.
type Scenario struct {
	Name, Group, Title string
	Clients, Window    int
	// Names narrows the records that are asked for to the first so many. Default: all.
	Names uint64
	// Fresh asks for each record once: a turn ends early when none is left.
	Fresh bool
	// Prime asks each server for every one of the records once before the turns.
	Prime bool
}

func scenarios() []Scenario {
	return []Scenario{
		{Name: "udp-1x1", Group: "udp", Title: "UDP, 1 client, one question at a time", Clients: 1, Window: 1},
		{Name: "udp-32x1", Group: "udp", Title: "UDP, 32 clients, each one question at a time", Clients: 32, Window: 1},
		{Name: "udp-1", Group: "udp", Title: "UDP, 1 client, 128 questions outstanding", Clients: 1, Window: 128},
		{Name: "udp-32", Group: "udp", Title: "UDP, 32 clients, 16 questions outstanding each", Clients: 32, Window: 16},
		{Name: "tcp-1", Group: "tcp", Title: "TCP, 1 kept connection, 64 questions in its pipeline", Clients: 1, Window: 64},
		{Name: "tcp-32", Group: "tcp", Title: "TCP, 32 kept connections, 16 questions in each pipeline", Clients: 32, Window: 16},
		{Name: "http-1", Group: "http", Title: "HTTP JSON, 1 kept connection", Clients: 1, Window: 1},
		{Name: "http-32", Group: "http", Title: "HTTP JSON, 32 kept connections", Clients: 32, Window: 1},
		{Name: "recursion-cold", Group: "cold", Title: "Recursion, UDP, 32 clients, names never asked before", Clients: 32, Window: 4, Names: recursionNames, Fresh: true},
		{Name: "recursion-warm", Group: "warm", Title: "Recursion, UDP, 32 clients, 16 questions outstanding each, 50,000 names, in the cache", Clients: 32, Window: 16, Names: 50_000, Prime: true},
	}
}

// startAll starts every server that a wanted scenario needs, and notes those that are absent or did not come up.
func (h *Host) startAll(ctx context.Context, table []*Subject, r *Report) []*Server {
	groups := map[string]bool{}
	for _, s := range scenarios() {
		if wanted(s.Name, h.Only) {
			groups[s.Group] = true
		}
	}
	var servers []*Server
	order := append(slices.DeleteFunc(slices.Clone(table), func(s *Subject) bool { return s.Later }),
		slices.DeleteFunc(slices.Clone(table), func(s *Subject) bool { return !s.Later })...)
	for _, sub := range order {
		needed := slices.ContainsFunc(sub.Groups, func(g string) bool { return groups[g] })
		if !needed || !wanted(sub.Name, h.Subjects) || ctx.Err() != nil {
			continue
		}
		h.sayf("starting %s (%s)", sub.Name, sub.About)
		began := time.Now()
		s, err := sub.Start(ctx, h)
		if s != nil {
			s.Subject = sub
			maps.DeleteFunc(s.Targets, func(g string, _ Target) bool { return !slices.Contains(sub.Groups, g) })
		}
		if err == nil {
			held := h.Names
			if s.Names > 0 {
				held = s.Names
			}
			for _, t := range s.Targets {
				if err = t.check(ctx, held); err != nil {
					break
				}
			}
		}
		if err != nil {
			if s != nil {
				s.stop()
			}
			if ctx.Err() == nil {
				h.sayf("  left out: %v", err)
				r.Absent = append(r.Absent, Absent{Subject: sub.Name, Why: err.Error()})
			}
			continue
		}
		h.sayf("  ready after %s", time.Since(began).Round(time.Millisecond))
		servers = append(servers, s)
	}
	slices.SortFunc(servers, func(a, b *Server) int {
		return slices.Index(table, a.Subject) - slices.Index(table, b.Subject)
	})
	return servers
}

func (s *Server) stop() {
	if s.Process != nil {
		s.Process.Stop()
	}
	if s.Close != nil {
		s.Close()
	}
}

func (h *Host) stopAll(servers []*Server) {
	for _, s := range servers {
		s.stop()
	}
}

// turnOf is what one server did in one turn.
type turnOf struct {
	*Outcome
	cpu  float64 // processors' worth of the server's time
	load float64 // and of the load's
	each float64 // answers for a second of the server's processor time
}

func (sc Scenario) measure(ctx context.Context, h *Host, servers []*Server, r *Report) error {
	var field []*Server
	for _, s := range servers {
		if _, ok := s.Targets[sc.Group]; ok {
			field = append(field, s)
		}
	}
	if len(field) == 0 {
		return nil
	}
	h.sayf("%s: %s", sc.Name, sc.Title)
	turns := make([][]turnOf, len(field))
	failed := make([]error, len(field))
	asked := make([]atomic.Uint64, len(field)) // of fresh records
	if sc.Prime {
		for _, s := range field {
			if err := h.prime(ctx, s.Subject.Name, s.Targets[sc.Group], sc.names(h)); err != nil {
				return err
			}
		}
	}
	for range h.Rounds {
		for i, s := range field {
			if failed[i] != nil {
				continue
			}
			t, err := sc.turn(ctx, h, s, &asked[i], h.Turn)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				failed[i] = err
				r.Notes = append(r.Notes, fmt.Sprintf("%s: %s failed: %v", sc.Name, s.Subject.Name, err))
				h.sayf("  %-16s failed: %v", s.Subject.Name, err)
				continue
			}
			turns[i] = append(turns[i], t)
			h.sayf("  %-16s %10.0f /s  p50 %-9v p99 %-9v processor %3.0f %%, load %3.0f %%", s.Subject.Name, t.Rate(),
				t.Latency.Quantile(0.5), t.Latency.Quantile(0.99), t.cpu*100, t.load*100)
		}
	}
	table := Table{Name: sc.Name, Title: sc.Title, Saturating: sc.Clients*sc.Window > 32}
	for i, s := range field {
		if len(turns[i]) > 0 {
			table.Rows = append(table.Rows, row(s, turns[i]))
		}
	}
	r.Tables = append(r.Tables, table)
	if h.Out != "" && !h.Quick {
		for i, s := range field {
			if s.Debug != "" && failed[i] == nil {
				sc.profile(ctx, h, s, &asked[i], r)
			}
		}
	}
	return nil
}

// names is how many records the scenario asks for.
func (sc Scenario) names(h *Host) uint64 {
	if sc.Names > 0 {
		return min(sc.Names, h.Names)
	}
	return h.Names
}

// turn puts the load on one server once.
func (sc Scenario) turn(ctx context.Context, h *Host, s *Server, asked *atomic.Uint64, length time.Duration) (turnOf, error) {
	t := s.Targets[sc.Group]
	l := Load{Clients: sc.Clients, Window: sc.Window, Names: sc.names(h), Warm: h.Warm, Turn: length}
	if sc.Fresh {
		// Each turn has its share of the names, so that the last one is as cold as the first.
		share := l.Names / uint64(h.Rounds+1)
		from := asked.Load()
		l.Names = min(l.Names, from+share)
		l.Once = asked
		defer func() { asked.Store(l.Names) }()
	}
	before, loadBefore := cpuOf(s.pid()), ownCPU()
	began := time.Now()
	var o *Outcome
	var err error
	if t.Over == UDP {
		o, err = l.RunUDP(ctx, t.Addr, t.Proto)
	} else {
		o, err = l.RunTCP(ctx, t.Addr, t.Proto)
	}
	if err != nil {
		return turnOf{}, err
	}
	took, cpu := time.Since(began), cpuOf(s.pid())-before
	out := turnOf{Outcome: o, cpu: float64(cpu) / float64(took), load: float64(ownCPU()-loadBefore) / float64(took)}
	if cpu > 0 {
		out.each = float64(o.All) / cpu.Seconds()
	}
	return out, nil
}

// profile runs the load once more and keeps the server's profiles.
func (sc Scenario) profile(ctx context.Context, h *Host, s *Server, asked *atomic.Uint64, r *Report) {
	const seconds = 5
	done := make(chan error, 1)
	dir := filepath.Join(h.Out, "profiles")
	go func() { done <- fetchProfiles(ctx, s.Debug, dir, sc.Name+"-"+s.Subject.Name, seconds) }()
	_, err := sc.turn(ctx, h, s, asked, (seconds+1)*time.Second)
	if perr := <-done; err == nil {
		err = perr
	}
	if err != nil && ctx.Err() == nil {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: no profile of %s: %v", sc.Name, s.Subject.Name, err))
	}
}

func row(s *Server, turns []turnOf) Row {
	out := Row{Subject: s.Subject.Name, Resident: residentOf(s.pid())}
	var p50, p90, p99, cpu, load, each []float64
	for _, t := range turns {
		out.Rates = append(out.Rates, t.Rate())
		p50 = append(p50, micros(t.Latency.Quantile(0.5)))
		p90 = append(p90, micros(t.Latency.Quantile(0.9)))
		p99 = append(p99, micros(t.Latency.Quantile(0.99)))
		cpu, load, each = append(cpu, t.cpu), append(load, t.load), append(each, t.each)
		out.Wrong += t.Wrong
		out.Lost += t.Lost
	}
	out.Rate, out.P50, out.P90, out.P99 = median(out.Rates), median(p50), median(p90), median(p99)
	out.CPU, out.Load, out.PerCPU = median(cpu), median(load), median(each)
	return out
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }

// median of the values: the middle one, or the mean of the middle two; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
