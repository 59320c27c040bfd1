package bench

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
}

// ratio of a's rate to b's in a scenario.
func ratio(scenario, a, b string) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		x, ok1 := r.rate(scenario, a)
		y, ok2 := r.rate(scenario, b)
		return x / max(y, 1), ok1 && ok2
	}
}

func figureOf(scenario, subject, what string) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) { return r.figure(scenario, subject, what) }
}

func targets() []target {
	return []target{
		{what: "UDP, 32 clients: of the bare batched echo (aim 0.8)", least: 0.6, got: ratio("udp-32", "fujie", "udp-echo")},
		{what: "UDP, 32 clients: of NSD", least: 1, got: ratio("udp-32", "fujie", "nsd")},
		{what: "UDP, 32 clients: of Knot DNS", least: 1, got: ratio("udp-32", "fujie", "knot")},
		{what: "UDP, 32 clients: of Handle.Net 9.3.1's published rate, scaled by the echo of the day", least: 4,
			got: func(r *Report) (float64, bool) {
				ours, ok1 := r.rate("udp-32", "fujie")
				echo, ok2 := r.rate("udp-32", "udp-echo")
				return ours / (handleNet * max(echo, 1) / handleNetEcho), ok1 && ok2
			}},
		{what: "TCP, 32 kept connections, pipelined: of the bare echo", least: 0.6, got: ratio("tcp-32", "fujie", "tcp-echo")},
		{what: "HTTP JSON, 32 connections: of the bare net/http handler", least: 0.6, got: ratio("http-32", "fujie", "http-bare")},
		{what: "Recursive answer from the cache: of the authoritative one", least: 0.9, got: func(r *Report) (float64, bool) {
			warm, ok1 := r.rate("recursion-warm", "fujie-recursive")
			here, ok2 := r.rate("recursion-warm", "fujie")
			return warm / max(here, 1), ok1 && ok2
		}},
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
		r.Verdicts = append(r.Verdicts, j)
	}
}
