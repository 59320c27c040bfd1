package meter

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Situation is how a node and all below it are now (态势).
type Situation struct {
	At          time.Time      `json:"at"`
	Beat        float64        `json:"beat" doc:"Seconds between two pulses"`
	Nodes       int            `json:"nodes"`
	Silent      int            `json:"silent" doc:"Nodes that were heard of and are not any more"`
	Roles       map[string]int `json:"roles" doc:"Nodes by role"`
	Identifiers int64          `json:"identifiers"`
	Rate        Rate           `json:"rate"`
	Regions     []Share        `json:"regions" doc:"By region, GB/T 2260 codes"`
	Industries  []Share        `json:"industries"`
	Schemes     []Share        `json:"schemes" doc:"By what their identifiers are: VAA under 88, other Handle prefixes"`
	Series      []Point        `json:"series" doc:"The last ten minutes, oldest first"`
	Anomalies   []Anomaly      `json:"anomalies" doc:"Worst first, at most 200"`
}

// Rate is how much is going on, over the last minute.
type Rate struct {
	Registered float64  `json:"registered" doc:"Identifiers more, a second"`
	Resolved   float64  `json:"resolved" doc:"Resolutions a second"`
	Success    *float64 `json:"success,omitempty" doc:"Part of them that succeeded, 0 to 1; absent without any"`

	asked, answered uint64
}

// Share is a part of the country.
type Share struct {
	Key         string `json:"key" doc:"Empty: not known"`
	Nodes       int    `json:"nodes"`
	Silent      int    `json:"silent"`
	Identifiers int64  `json:"identifiers"`
	Rate        Rate   `json:"rate"`
}

// Point is one moment of the last minutes.
type Point struct {
	At         time.Time `json:"at"`
	Registered float64   `json:"registered"`
	Resolved   float64   `json:"resolved"`
}

// Anomaly is what somebody should look at.
type Anomaly struct {
	Kind  string    `json:"kind" enum:"silent,failing,clock,shrinking,surge,restarted"`
	Node  string    `json:"node"`
	Title string    `json:"title,omitempty"`
	Since time.Time `json:"since"`
	Say   string    `json:"say" doc:"In the caller's language"`
}

// NodeView is one node below.
type NodeView struct {
	Pulse
	Via      string    `json:"via" doc:"Who told of it: itself, or the node above it"`
	Received time.Time `json:"received"`
	Silent   bool      `json:"silent"`
	Rate     Rate      `json:"rate"`
}

// anomalies in the order of how bad they are.
var kinds = []string{"silent", "failing", "clock", "shrinking", "surge", "restarted"}

const (
	failingFrom  = 20  // resolutions in a minute, before their success is judged
	failingBelow = 0.9 // part that must succeed
	surgeFrom    = 50  // resolutions a second, before a surge is one
	surgeTimes   = 10  // times the mean of the minutes before
	shrinkFrom   = 100 // identifiers fewer, before a shrinkage is one
	maxAnomalies = 200
)

func (m *Meter) silent(h *heard, now time.Time) bool { return now.Sub(h.received) > 3*m.beat() }

// rate is what went on in the last minute.
func (h *heard) rate(now time.Time) (r Rate) {
	if len(h.past) < 2 {
		return r
	}
	last := h.past[len(h.past)-1]
	first := h.past[h.minute()]
	d := last.at.Sub(first.at).Seconds()
	if d <= 0 || now.Sub(last.at) > time.Minute {
		return r
	}
	r.asked, r.answered = last.requests-min(first.requests, last.requests), last.successes-min(first.successes, last.successes)
	r.Registered, r.Resolved = max(0, float64(last.identifiers-first.identifiers))/d, float64(r.asked)/d
	return r
}

// minute is the sample with which the last minute begins; there are two at least, or it is 0.
func (h *heard) minute() int {
	i := max(0, len(h.past)-2)
	for i > 0 && h.past[len(h.past)-1].at.Sub(h.past[i].at) < time.Minute {
		i--
	}
	return i
}

func (r *Rate) add(o Rate) {
	r.Registered += o.Registered
	r.Resolved += o.Resolved
	r.asked += o.asked
	r.answered += o.answered
}

func (r Rate) rounded() Rate {
	r.Registered, r.Resolved = math.Round(r.Registered*100)/100, math.Round(r.Resolved*100)/100
	if r.asked > 0 {
		s := math.Round(10000*float64(r.answered)/float64(r.asked)) / 10000
		r.Success = &s
	}
	return r
}

func (h *heard) scheme() string {
	if h.Node == "88" || strings.HasPrefix(h.Node, "88.") {
		return "vaa"
	}
	return "handle"
}

// Situation sums up what is known, in lang.
func (m *Meter) Situation(lang problem.Lang) Situation {
	now := m.cfg.Now()
	out := Situation{At: now.UTC(), Beat: m.beat().Seconds(), Roles: map[string]int{}, Anomalies: []Anomaly{}}
	regions, industries, schemes := map[string]*Share{}, map[string]*Share{}, map[string]*Share{}
	m.pulsing.mu.Lock()
	defer m.pulsing.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.pulsing.nodes)) {
		h := m.pulsing.nodes[name]
		silent, rate := m.silent(h, now), h.rate(now)
		out.Nodes++
		out.Roles[h.Role]++
		out.Identifiers += h.Identifiers
		out.Rate.add(rate)
		if silent {
			out.Silent++
		}
		for _, x := range []struct {
			in  map[string]*Share
			key string
		}{{regions, province(h.Region)}, {industries, h.Industry}, {schemes, h.scheme()}} {
			s := x.in[x.key]
			if s == nil {
				s = &Share{Key: x.key}
				x.in[x.key] = s
			}
			s.Nodes++
			s.Identifiers += h.Identifiers
			s.Rate.add(rate)
			if silent {
				s.Silent++
			}
		}
		out.Anomalies = append(out.Anomalies, m.odd(h, now, silent, rate, lang)...)
	}
	out.Rate = out.Rate.rounded()
	out.Regions, out.Industries, out.Schemes = shares(regions), shares(industries), shares(schemes)
	out.Series = m.series(now)
	slices.SortStableFunc(out.Anomalies, func(a, b Anomaly) int {
		return cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind))
	})
	out.Anomalies = out.Anomalies[:min(len(out.Anomalies), maxAnomalies)]
	return out
}

// province is the region's first level: its first two digits.
func province(region string) string {
	if len(region) != 6 {
		return ""
	}
	return region[:2] + "0000"
}

func shares(in map[string]*Share) []Share {
	out := make([]Share, 0, len(in))
	for _, s := range in {
		s.Rate = s.Rate.rounded()
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Share) int {
		return cmp.Or(-cmp.Compare(a.Identifiers, b.Identifiers), strings.Compare(a.Key, b.Key))
	})
	return out
}

// odd is what is odd about a node.
func (m *Meter) odd(h *heard, now time.Time, silent bool, rate Rate, lang problem.Lang) (list []Anomaly) {
	add := func(kind string, since time.Time, en, zh string, args ...any) {
		list = append(list, Anomaly{kind, h.Node, h.Title, since.UTC(), problem.Say(problem.New(problem.Internal, en, zh, args...), lang)})
	}
	if silent {
		add("silent", h.received, "%s has told nothing for %v: look whether it runs, and whether it reaches %s", "%s 已 %v 没有报送运行状态：请检查其是否运行、能否连到 %s", h.Node, now.Sub(h.received).Round(time.Second), m.above(h))
		return list
	}
	if rate.asked >= failingFrom && float64(rate.answered) < failingBelow*float64(rate.asked) {
		add("failing", now.Add(-time.Minute), "%s answered %d of the last %d questions", "%s 在最近 %[3]d 次解析中仅成功 %[2]d 次", h.Node, rate.answered, rate.asked)
	}
	if h.skew > clockSkew || h.skew < -clockSkew {
		add("clock", h.received, "the clock of %s is off by %v", "%s 的时钟偏差 %v", h.Node, h.skew.Round(time.Second))
	}
	if lost := h.most - h.Identifiers; lost >= shrinkFrom && lost*10 >= h.most {
		add("shrinking", now.Add(-window), "%s has %d identifiers fewer than ten minutes ago, of %d", "%s 的标识在十分钟内由 %[3]d 个减少了 %[2]d 个", h.Node, lost, h.most)
	}
	// The mean of what was before the last minute.
	if first, last := h.past[0], h.past[h.minute()]; last.at.Sub(first.at) >= 2*time.Minute {
		mean := float64(last.requests-min(first.requests, last.requests)) / last.at.Sub(first.at).Seconds()
		if rate.Resolved >= surgeFrom && rate.Resolved > surgeTimes*mean {
			add("surge", now.Add(-time.Minute), "%s is asked %.0f times a second, and was %.1f times on average of the minutes before", "%s 每秒被解析 %.0f 次，而此前数分钟平均每秒 %.1f 次", h.Node, rate.Resolved, mean)
		}
	}
	if now.Sub(h.Since) < window && now.Sub(m.began) > window {
		add("restarted", h.Since, "%s started %v ago", "%s 在 %v 前启动", h.Node, now.Sub(h.Since).Round(time.Second))
	}
	return list
}

func (m *Meter) above(h *heard) string {
	if h.via == h.Node {
		return m.cfg.Prefix
	}
	return h.via
}

// series is what went on in each beat of the window, over all nodes.
func (m *Meter) series(now time.Time) []Point {
	step := max(m.beat(), 5*time.Second)
	n := int(window / step)
	out := make([]Point, n)
	end := now.Truncate(step)
	for i := range out {
		out[i].At = end.Add(-time.Duration(n-1-i) * step).UTC()
	}
	for _, h := range m.pulsing.nodes {
		for i := 1; i < len(h.past); i++ {
			a, b := h.past[i-1], h.past[i]
			// What came between two samples is spread over the steps between them.
			from, to := a.at, b.at
			total := to.Sub(from).Seconds()
			if total <= 0 {
				continue
			}
			resolved := float64(b.requests-min(a.requests, b.requests)) / total
			registered := max(0, float64(b.identifiers-a.identifiers)) / total
			begin := end.Add(-time.Duration(n) * step)
			for k := max(0, int(from.Sub(begin)/step)); k < n && out[k].At.Add(-step).Before(to); k++ {
				stepEnd := out[k].At
				overlap := minTime(stepEnd, to).Sub(maxTime(stepEnd.Add(-step), from)).Seconds()
				if overlap > 0 {
					out[k].Resolved += resolved * overlap / step.Seconds()
					out[k].Registered += registered * overlap / step.Seconds()
				}
			}
		}
	}
	for i := range out {
		out[i].Resolved, out[i].Registered = math.Round(out[i].Resolved*100)/100, math.Round(out[i].Registered*100)/100
	}
	return out
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Below lists the nodes that are known, in the order of their prefixes, after one.
func (m *Meter) Below(after string, limit int, keep func(*NodeView) bool) (list []NodeView, next string) {
	now := m.cfg.Now()
	m.pulsing.mu.Lock()
	defer m.pulsing.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.pulsing.nodes)) {
		if name <= after {
			continue
		}
		h := m.pulsing.nodes[name]
		v := NodeView{Pulse: h.Pulse, Via: h.via, Received: h.received.UTC(), Silent: m.silent(h, now), Rate: h.rate(now).rounded()}
		if keep != nil && !keep(&v) {
			continue
		}
		if len(list) == limit {
			return list, list[len(list)-1].Node
		}
		list = append(list, v)
	}
	return list, ""
}
