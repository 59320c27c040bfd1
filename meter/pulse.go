package meter

import (
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

// About is what a node says of itself beside its numbers.
type About struct {
	Title    string `json:"title,omitempty" doc:"Whose it is, in their own words"`
	Role     string `json:"role,omitempty" enum:"root,national,second-level,enterprise,recursive"`
	Region   string `json:"region,omitempty" doc:"Code of GB/T 2260, six digits: 320000"`
	Industry string `json:"industry,omitempty" doc:"In plain words: 医疗器械"`
}

// Pulse is how a node is at one moment (运行态势): its counts only rise between two starts.
type Pulse struct {
	Node string `json:"node" doc:"Its prefix"`
	About
	At          time.Time `json:"at"`
	Since       time.Time `json:"since" doc:"When its counts began: the node's start"`
	Identifiers int64     `json:"identifiers" doc:"How many are registered there now"`
	Requests    uint64    `json:"requests" doc:"Resolutions asked for, since then"`
	Successes   uint64    `json:"successes" doc:"Of these, answered without a fault of the node's"`
}

// pulses is what a node hands up, signed: its own pulse and the newest of those below it.
type pulses struct {
	Node  string  `json:"node"`
	To    string  `json:"to"`
	At    int64   `json:"at"` // milliseconds since 1970
	Own   Pulse   `json:"own"`
	Below []Pulse `json:"below,omitempty"`
}

const (
	maxBelow   = 5000             // nodes below that one message tells of
	maxHeard   = 20_000           // nodes that one above remembers
	window     = 10 * time.Minute // how far back rates are shown
	pulseSkew  = 5 * time.Minute  // how old or young a message may be
	clockSkew  = 30 * time.Second // from here on a node's clock is an anomaly
	beatUnless = 10 * time.Second
)

// heard is what is known of a node below.
type heard struct {
	Pulse
	via      string // who told of it: itself, or the one above it
	received time.Time
	skew     time.Duration // its clock ahead of ours, when it told itself
	past     []sample      // oldest first, within the window
	most     int64         // of identifiers, within the window
}

// sample is the counts of a moment.
type sample struct {
	at                  time.Time // by our clock
	identifiers         int64
	requests, successes uint64
}

// pulsing is what comes from below, in memory: after a start it is there again within a beat.
type pulsing struct {
	mu    sync.Mutex
	nodes map[string]*heard
	last  map[string]int64 // by who signed: the newest message
}

func (m *Meter) beat() time.Duration { return cmp.Or(m.cfg.Beat, beatUnless) }

// own is the node's own pulse.
func (m *Meter) own(ctx context.Context) Pulse {
	t := m.rec.total()
	p := Pulse{Node: m.cfg.Prefix, About: m.cfg.About, At: m.cfg.Now().UTC(), Since: m.began.UTC(), Requests: t.resolve.Count, Successes: t.resolve.OK}
	if m.cfg.Total != nil {
		if n, err := m.cfg.Total(ctx); err == nil {
			p.Identifiers = n
		}
	}
	return p
}

// pulse tells the node above how this one and those below it are, and remembers its own for its own situation.
func (m *Meter) pulse(ctx context.Context) {
	tick := time.NewTicker(m.beat())
	defer tick.Stop()
	for {
		own := m.own(ctx)
		m.pulsing.mu.Lock()
		m.hear(own, own.Node, m.cfg.Now(), 0)
		m.pulsing.mu.Unlock()
		if m.cfg.Pulse != nil && m.cfg.Parent != "" && m.cfg.Key != nil {
			if err := m.tell(ctx, own); err != nil && ctx.Err() == nil {
				m.cfg.Log.Debug("meter: the node above did not take the pulse", "error", err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *Meter) tell(ctx context.Context, own Pulse) error {
	s := pulses{Node: m.cfg.Prefix, To: m.cfg.Parent, At: m.cfg.Now().UnixMilli(), Own: own}
	fresh := m.cfg.Now().Add(-m.beat() * 3)
	m.pulsing.mu.Lock()
	for node, h := range m.pulsing.nodes {
		// A node that is silent is silent above too: what is old is not told again.
		if node != m.cfg.Prefix && h.received.After(fresh) && len(s.Below) < maxBelow {
			s.Below = append(s.Below, h.Pulse)
		}
	}
	m.pulsing.mu.Unlock()
	slices.SortFunc(s.Below, func(a, b Pulse) int { return strings.Compare(a.Node, b.Node) })
	jws, err := trust.SignStatement(m.cfg.Key, s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.beat())
	defer cancel()
	return m.cfg.Pulse(ctx, Statement{string(jws)})
}

// Hear takes the pulse of a node below, with those of the nodes below that one. A message is good for five minutes and once;
// an older one than the newest is nothing new and no error. Errors: problem.Bogus for a signature that does not hold,
// problem.Forbidden for one from or about a node that is not below, problem.BadValue for its content, problem.Full when there are too many.
func (m *Meter) Hear(ctx context.Context, s Statement) error {
	if m.cfg.KeyOf == nil {
		return problem.New(problem.Unsupported, "this node takes no pulses", "本节点不接收运行状态")
	}
	claimed, err := peek(s.Statement)
	if err != nil {
		return err
	}
	from := handle.Fold(claimed.Node)
	if !within(from, m.cfg.Prefix) || from == m.cfg.Prefix {
		return problem.New(problem.Forbidden, "%s is not below %s: tell the node above it", "%s 不在 %s 之下：请向其上级节点报送", clip(from), m.cfg.Prefix)
	}
	key, err := m.cfg.KeyOf(ctx, from)
	if err != nil {
		return problem.Wrap(err, problem.AuthError, "the key of %s cannot be found now", "目前无法获取 %s 的公钥", clip(from))
	}
	claims, err := trust.OpenStatement([]byte(s.Statement), key)
	if err != nil {
		return err
	}
	var p pulses
	if err := json.Unmarshal(claims, &p); err != nil {
		return problem.New(problem.BadValue, "the pulse is no JSON of the right shape", "运行状态的 JSON 格式不符")
	}
	now := m.cfg.Now()
	at := time.UnixMilli(p.At)
	switch {
	case handle.Fold(p.To) != m.cfg.Prefix:
		return problem.New(problem.Forbidden, "the pulse is to %s, this is %s", "该运行状态的接收方为 %s，而本节点为 %s", clip(p.To), m.cfg.Prefix)
	case handle.Fold(p.Own.Node) != from:
		return problem.New(problem.BadValue, "the pulse is of %s and signed by %s", "运行状态属于 %s，却由 %s 签名", clip(p.Own.Node), clip(from))
	case at.Before(now.Add(-pulseSkew)) || at.After(now.Add(pulseSkew)):
		return problem.New(problem.BadValue, "the pulse is of %s, which is more than five minutes from now: set the node's clock", "运行状态的时间为 %s，与当前相差超过五分钟：请校准该节点的时钟", at.UTC().Format(time.RFC3339))
	case len(p.Below) > maxBelow:
		return problem.New(problem.TooLarge, "the pulse tells of more than %d nodes", "运行状态涉及的节点超过 %d 个", maxBelow)
	}
	for i := range p.Below {
		b := &p.Below[i]
		if b.Node = handle.Fold(b.Node); !within(b.Node, from) || b.Node == from {
			return problem.New(problem.Forbidden, "%s is not below %s, which tells of it", "%s 不在报送方 %s 之下", clip(b.Node), from)
		}
		if err := b.check(); err != nil {
			return err
		}
	}
	p.Own.Node = from
	if err := p.Own.check(); err != nil {
		return err
	}
	m.pulsing.mu.Lock()
	defer m.pulsing.mu.Unlock()
	if m.pulsing.last == nil {
		m.pulsing.last = map[string]int64{}
	}
	if m.pulsing.last[from] >= p.At {
		return nil
	}
	if len(m.pulsing.nodes)+len(p.Below)+1 > maxHeard {
		m.forgetOld(now)
		if len(m.pulsing.nodes)+len(p.Below)+1 > maxHeard {
			return problem.New(problem.Full, "this node already hears of %d others", "本节点已接收 %d 个节点的运行状态", len(m.pulsing.nodes))
		}
	}
	m.pulsing.last[from] = p.At
	m.hear(p.Own, from, now, at.Sub(now))
	for _, b := range p.Below {
		m.hear(b, from, now, 0)
	}
	return nil
}

var regionCode = regexp.MustCompile(`^([1-9][0-9]{5})?$`)

func (p *Pulse) check() error {
	switch {
	case len(p.Node) > 100 || utf8.RuneCountInString(p.Title) > 200 || utf8.RuneCountInString(p.Industry) > 80 || len(p.Role) > 20:
		return problem.New(problem.TooLarge, "the pulse of %s says too much of it", "%s 的自述过长", clip(p.Node))
	case !regionCode.MatchString(p.Region):
		return problem.New(problem.BadValue, "%q is no region of GB/T 2260: six digits, as 320000", "%q 不是 GB/T 2260 行政区划代码：应为六位数字，如 320000", clip(p.Region))
	case p.Identifiers < 0 || p.Successes > p.Requests:
		return problem.New(problem.BadValue, "the counts of %s cannot be: more answered than asked, or fewer than none", "%s 的计数不合理：应答多于请求，或为负数", clip(p.Node))
	}
	return nil
}

// hear remembers a pulse. The lock is held.
func (m *Meter) hear(p Pulse, via string, now time.Time, skew time.Duration) {
	if m.pulsing.nodes == nil {
		m.pulsing.nodes = map[string]*heard{}
	}
	h := m.pulsing.nodes[p.Node]
	if h == nil {
		h = &heard{}
		m.pulsing.nodes[p.Node] = h
	}
	if h.via == p.Node && via != p.Node && now.Sub(h.received) < 3*m.beat() {
		return // what a node says itself counts before what is said of it
	}
	if !h.At.IsZero() && !p.At.After(h.At) {
		return // told again
	}
	if !p.Since.Equal(h.Since) {
		h.past, h.most = nil, 0 // counts began anew
	}
	if via == p.Node {
		h.skew = skew
	}
	h.Pulse, h.via, h.received = p, via, now
	// Samples are at least a beat apart, so that a node that tells more often is not remembered in more detail.
	if n := len(h.past); n == 0 || now.Sub(h.past[n-1].at) >= m.beat()/2 {
		h.past = append(h.past, sample{now, p.Identifiers, p.Requests, p.Successes})
	}
	for len(h.past) > 1 && now.Sub(h.past[0].at) > window {
		h.past = h.past[1:]
	}
	h.most = 0
	for _, s := range h.past {
		h.most = max(h.most, s.identifiers)
	}
}

// forgetOld drops nodes that have been silent for a day. The lock is held.
func (m *Meter) forgetOld(now time.Time) {
	for name, h := range m.pulsing.nodes {
		if now.Sub(h.received) > 24*time.Hour {
			delete(m.pulsing.nodes, name)
			delete(m.pulsing.last, name)
		}
	}
}
