// Package across follows goods from enterprise to enterprise, each of which keeps its own events: it asks every one that had them, in the asker's name, shows who
// answered, who refused and who was silent, and keeps the signed answers as evidence that anybody can check later without a network.
//
// Between two nodes there are two requests, both below the place of the enterprise's event service (https://HOST/epcis, in the record PREFIX/Service_epcis):
//
//	POST https://HOST/trace/walk          what is known of these things, as far as own events go: Request → Body
//	GET  https://HOST/trace/events/{id}   one event, at the level that the asker sees it
//
// Requests are signed by the asker (RFC 9421). An answer comes with Fujie-Statement, a JWS by the key of the owner's prefix over the SHA-256 of the request and of the answer; the
// key's certificates lead from the owner's prefix record to the root. What is not signed so, or holds an event that is not what its hash says, is shown as bogus and not used.
//
// Who is trusted: an enterprise can hide its own events and invent some; it cannot change another's, deny later what it said, or say one thing in another's name.
package across

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/share"
	"github.com/fujie-id/fujie/trust"
)

// Config is what the room needs of the node.
type Config struct {
	Prefix string // whose events Source has, and who asks
	// Ours tells of other prefixes that are kept on this node, whose events are in Source too; nil: none.
	Ours func(prefix string) bool

	Source graph.Source                                                 // this node's events
	Event  func(ctx context.Context, id string) (*epcis.Event, error)   // one of them, whole, by its ID or hash; problem.NotFound
	Level  func(record.Identity, *epcis.Event, share.Asked) share.Level // how much of it somebody sees: that of a share.Desk
	// Any reports whether somebody could see anything here at all; who could not is refused. Nil: everybody is answered, if with nothing.
	Any func(record.Identity) bool

	// References are those of records, which are followed as events are; nil: none.
	References graph.References

	Resolver record.Resolver   // finds services and certificates: one whose answers have a Trust, as a recursor's
	Anchors  []trust.PublicKey // the root's keys
	User     record.Ref        // whose Key it is: 300:0.NA/88.118.1001
	Key      *trust.PrivateKey // signs requests and answers

	// Identify says who makes a request; nil: nobody is known.
	Identify func(*http.Request) (record.Identity, error)
	// Dial opens connections to other enterprises. It is the only way out, and must refuse what a stranger may not lead this node to.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Limits Limits
	Now    func() time.Time // time.Now when nil
	Rand   io.Reader        // crypto/rand when nil
	Log    *slog.Logger
}

// Limits bound what one trace may take. A zero field gets its default.
type Limits struct {
	Owners   int           // enterprises asked in one trace; 200
	Parallel int           // at a time; 16
	Rounds   int           // hand-overs followed; 30
	Ask      time.Duration // for one answer; 10 s
	Answer   int64         // bytes of one answer; 32 MiB
	Request  int64         // bytes of one question; 8 MiB
	Seeds    int           // things in one question; 50,000
	Events   int           // events in one answer; 20,000
	Things   int           // things in one answer; 100,000
	Walks    int           // questions of others answered at a time; 8
}

func (l *Limits) fill() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Owners, 200)
	set(&l.Parallel, 16)
	set(&l.Rounds, 30)
	set(&l.Seeds, 50_000)
	set(&l.Events, 20_000)
	set(&l.Things, 100_000)
	set(&l.Walks, 8)
	if l.Ask <= 0 {
		l.Ask = 10 * time.Second
	}
	if l.Answer <= 0 {
		l.Answer = 32 << 20
	}
	if l.Request <= 0 {
		l.Request = 8 << 20
	}
}

// Across asks and answers. It is safe for concurrent use.
type Across struct {
	cfg   Config
	http  clients
	walks chan struct{}
	seen  partners
}

// New makes it. Errors: problem.BadRequest when something that it cannot do without is missing.
func New(cfg Config) (*Across, error) {
	if cfg.Source == nil || cfg.Event == nil || cfg.Level == nil || cfg.Resolver == nil || cfg.Key == nil || cfg.User.IsZero() || cfg.Dial == nil {
		return nil, problem.New(problem.BadRequest, "traces across enterprises need events, levels, a resolver, a key and a way out", "跨企业追溯需要事件来源、共享级别、解析器、密钥和外联方式")
	}
	cfg.Limits.fill()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Ours == nil {
		cfg.Ours = func(string) bool { return false }
	}
	cfg.Prefix = handle.Fold(cfg.Prefix)
	a := &Across{cfg: cfg, walks: make(chan struct{}, cfg.Limits.Walks)}
	a.http = clients{dial: cfg.Dial, limit: cfg.Limits.Ask}
	return a, nil
}

// Close lets go of connections.
func (a *Across) Close() error {
	a.http.close()
	return nil
}

// ours reports whether this node has the events of prefix.
func (a *Across) ours(prefix string) bool { return prefix == a.cfg.Prefix || a.cfg.Ours(prefix) }

// prefixOf is the prefix of an identifier of ours, folded; empty for those of other worlds (GS1, URNs, addresses).
func prefixOf(name string) string {
	v, err := id.ParseHandle(name)
	if err != nil || v.IsPrefix() || v.IsGlobal() || strings.ContainsAny(v.Prefix(), ":/ ") {
		return ""
	}
	return v.Prefix()
}

// parties are the prefixes of ours that an event names as party or place.
func parties(e *epcis.Event, yield func(prefix string)) {
	see := func(name string) {
		if p := prefixOf(epcis.Key(name)); p != "" {
			yield(p)
		}
	}
	for _, l := range [][]epcis.Party{e.Sources, e.Destinations} {
		for i := range l {
			see(l[i].ID)
		}
	}
	for _, l := range []*epcis.Location{e.BizLocation, e.ReadPoint} {
		if l != nil {
			see(l.ID)
		}
	}
}

// keysOf are the keys under which an event is found: its things, its places and its transformation.
func keysOf(e *epcis.Event) []string {
	var out []string
	seen := map[string]bool{}
	add := func(name string) {
		if name == "" {
			return
		}
		if k := epcis.Key(name); !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	for _, name := range e.Names() {
		add(name)
	}
	for _, l := range []*epcis.Location{e.BizLocation, e.ReadPoint} {
		if l != nil {
			add(l.ID)
		}
	}
	add(e.TransformationID)
	return out
}

func clip(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}
