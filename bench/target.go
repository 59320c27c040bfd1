package bench

import "fmt"

// The published rates that older servers are remembered by, measured once with one core and the echo of that day.
const (
	handleNet     = 36_500  // Handle.Net 9.3.1, 32 clients, 10 k handles, UDP: answers per second
	handleNetEcho = 238_000 // udp-echo on that machine on that day
)

// target is a ratio that a release has to reach.
type target struct {
	what        string
	least, most float64
	got         func(r *Report) (float64, bool)
	// byCPU is the same ratio of answers for a second of the servers' processor time. It differs from got where the
	// machine was busy with other things, or the load could not ask as fast as the ceiling answers. May be nil.
	byCPU func(r *Report) (float64, bool)
}

// against is a target on the ratio of two servers' rates in a scenario, times a factor.
func against(what string, least float64, scenario, ours, theirs string, factor float64) target {
	ratio := func(of func(*Row) float64) func(*Report) (float64, bool) {
		return func(r *Report) (float64, bool) {
			a, b := r.row(scenario, ours), r.row(scenario, theirs)
			if a == nil || b == nil || of(b) == 0 {
				return 0, false
			}
			return of(a) / of(b) * factor, true
		}
	}
	return target{what: what, least: least, got: ratio(func(r *Row) float64 { return r.Rate }),
		byCPU: ratio(func(r *Row) float64 { return r.PerCPU })}
}

func figureOf(scenario, subject, what string) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) { return r.figure(scenario, subject, what) }
}

func targets() []target {
	return []target{
		against("UDP, 32 clients: of the bare batched echo (aim 0.8)", 0.6, "udp-32", "fujie", "udp-echo", 1),
		against("UDP, 32 clients: of NSD", 1, "udp-32", "fujie", "nsd", 1),
		against("UDP, 32 clients: of Knot DNS", 1, "udp-32", "fujie", "knot", 1),
		against("UDP, 32 clients: of Handle.Net 9.3.1's published rate, scaled by the echo of the day", 4, "udp-32", "fujie", "udp-echo",
			handleNetEcho/float64(handleNet)),
		against("TCP, 32 kept connections, pipelined: of the bare echo", 0.6, "tcp-32", "fujie", "tcp-echo", 1),
		against("HTTP JSON, 32 connections: of the bare net/http handler", 0.6, "http-32", "fujie", "http-bare", 1),
		against("Recursive answer from the cache: of the authoritative one", 0.9, "recursion-warm", "fujie-recursive", "fujie", 1),
		{what: "Bulk registration, durable per batch: of the raw engine's ingest of the same bytes", least: 0.4, got: func(r *Report) (float64, bool) {
			ours, ok1 := r.figure("bulk", "fujie", "registered")
			bare, ok2 := r.figure("bulk", "pebble-bare", "registered")
			return ours / max(bare, 1), ok1 && ok2
		}},
		{what: "Bytes on disk, of the encoded size of the records", most: 1.5, got: figureOf("large", "fujie", "disk of encoded size")},
		{what: "First answer after the start with all records, seconds", most: 1, got: figureOf("large", "fujie", "first answer")},
		{what: "Resident when idle with all records, MiB", most: 256, got: figureOf("large", "fujie", "resident when idle")},
	}
}

func (r *Report) judge() {
	r.Verdicts = nil
	for _, t := range targets() {
		got, ok := t.got(r)
		j := Judged{Target: t.what, Least: t.least, Most: t.most, Got: got, Absent: !ok}
		j.Met = ok && got >= t.least && (t.most == 0 || got <= t.most)
		if t.byCPU != nil {
			j.ByCPU, _ = t.byCPU(r)
		}
		r.Verdicts = append(r.Verdicts, j)
	}
}

// bounded notes the servers that could have answered more than the load asked.
func (r *Report) bounded(processors int) {
	for _, t := range r.Tables {
		for _, row := range t.Rows {
			if t.Saturating && row.Load > 0.9*float64(processors) && row.CPU < 0.85 {
				r.Notes = append(r.Notes, fmt.Sprintf("%s: the load was the limit of %s, which used %.0f %% of its processor; its answers per processor second say more",
					t.Name, row.Subject, row.CPU*100))
			}
		}
	}
}
