package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/vaa"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/across"
	"github.com/fujie-id/fujie/trace/ask"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/picture"
	"github.com/fujie-id/fujie/trace/recall"
	"github.com/fujie-id/fujie/trace/rest"
	"github.com/fujie-id/fujie/trace/share"
	"github.com/fujie-id/fujie/trust"
)

// Events is about the events that a node keeps (EPCIS 2.0, below /epcis) and the traces that it answers and asks.
type Events struct {
	// Off keeps no events and answers no traces.
	Off bool `yaml:"off"`
	// Keep says which events are removed, and when. Default: none ever is.
	Keep []Keep `yaml:"keep"`
}

// Keep removes events some time after they were recorded. What a recall that is open names stays.
type Keep struct {
	// Name of the rule, in the log.
	Name string `yaml:"name"`
	// Days after which they go, counted from when they were recorded.
	Days int `yaml:"days"`
	// Types and Steps are which events: ObjectEvent, sensor_reporting. Default: all.
	Types []epcis.EventType `yaml:"types"`
	Steps []string          `yaml:"steps"`
}

// rules are the rules of the configuration.
func (e *Events) rules() ([]history.Rule, error) {
	var out []history.Rule
	for _, k := range e.Keep {
		if k.Days <= 0 || k.Name == "" {
			return nil, problem.New(problem.BadRequest, "events.keep: rule %q needs a name and days of at least 1", "events.keep：规则 %q 须有名称，且 days 不小于 1", k.Name)
		}
		out = append(out, history.Rule{Name: k.Name, After: time.Duration(k.Days) * 24 * time.Hour, Types: k.Types, Steps: k.Steps})
	}
	return out, nil
}

// tracing is what a node does with events.
type tracing struct {
	history *history.History
	rest    *rest.Server
	shares  *share.Desk
	across  *across.Across // nil without a root to ask
	recalls *recall.Desk   // as across
	ask     *ask.Ask
}

// heard reads papers about events again that were written elsewhere.
func (t *tracing) heard(ctx context.Context, v id.ID) error {
	err := t.shares.Heard(ctx, v)
	if t.recalls != nil {
		err = errors.Join(err, t.recalls.Heard(ctx, v))
	}
	return err
}

// everyRole is each role that people and programs of an enterprise have there: all of them see its events.
var everyRole = []api.RoleName{api.Operator, api.EnterpriseAdmin, api.EnterpriseUser, api.Application, api.Auditor, api.Regulator}

// secret is random bytes that stay the same as long as the node's folder does.
func (n *Node) secret(name string) ([]byte, error) {
	path := filepath.Join(n.cfg.Data, "keys", name)
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 32 {
		return b, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, problem.Wrap(err, problem.Internal, "cannot read %s", "无法读取 %s", path)
	}
	b = make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	return b, WriteFile(path, b)
}

// dialStranger opens connections to addresses that somebody else chose: callbacks of subscriptions, event services of other enterprises. It goes to no address of this
// machine or its networks, whatever a name resolves to at that moment, unless the configuration allows private ones.
func (n *Node) dialStranger(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if a := at.Addr().Unmap(); !n.cfg.AllowPrivate && (!a.IsGlobalUnicast() || a.IsPrivate()) {
			return problem.New(problem.Forbidden, "%s is an address of a private network; allow-private lets this node go there", "%s 是内网地址；配置 allow-private 后方可访问", a)
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

// openTracing opens the node's events.
func (n *Node) openTracing(ctx context.Context) error {
	if n.in == nil || n.cfg.Events.Off || n.cfg.Role == Root || n.cfg.Mirror != nil {
		return nil
	}
	rules, err := n.cfg.Events.rules()
	if err != nil {
		return err
	}
	t := &tracing{}
	if t.history, err = history.Open(ctx, history.Config{Store: n.store, Now: n.now, Log: n.log, Rules: rules}); err != nil {
		return err
	}
	if t.shares, err = share.New(ctx, share.Config{Prefix: n.cfg.Prefix, Registry: papers{n.registry, n}, Now: n.now}); err != nil {
		return err
	}
	identify := func(r *http.Request) (record.Identity, error) { return n.web.Identify(r) }
	secret, err := n.secret("pages")
	if err != nil {
		return err
	}
	// The node's people and programs; a stranger is nobody's.
	ours := func(ctx context.Context, who record.Identity, roles ...api.RoleName) error {
		c, err := n.in.accounts.Caller(ctx, who)
		if err != nil {
			return err
		}
		return c.Need(n.cfg.Prefix, roles...)
	}
	callbacks := &http.Client{Transport: &http.Transport{DialContext: n.dialStranger, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.rest, err = rest.New(rest.Config{
		Events: t.history, Store: n.store, Secret: secret, Now: n.now, Log: n.log, Vendor: "fujie",
		Identify: identify,
		May: func(ctx context.Context, who record.Identity, act string) error {
			switch act {
			case rest.ActCapture:
				return ours(ctx, who, api.Operator, api.EnterpriseAdmin, api.EnterpriseUser, api.Application)
			case rest.ActAdmin:
				return ours(ctx, who, api.Operator, api.EnterpriseAdmin)
			}
			return nil // whoever may see nothing finds nothing
		},
		All: func(ctx context.Context, who record.Identity) bool { return ours(ctx, who, everyRole...) == nil },
		Any: func(ctx context.Context, who record.Identity) bool {
			return ours(ctx, who, everyRole...) == nil || t.shares.Any(who)
		},
		See: func(ctx context.Context, who record.Identity, e *epcis.Event) share.Level {
			if ours(ctx, who, everyRole...) == nil {
				return share.Contents
			}
			return t.shares.Level(who, e, share.Asked{})
		},
		Send: func(ctx context.Context, r *http.Request) (*http.Response, error) {
			return callbacks.Do(r.WithContext(ctx))
		},
	})
	if err != nil {
		return err
	}
	n.goes("events", t.rest.Run)
	n.every(time.Hour, func(ctx context.Context) {
		if gone, err := t.history.Run(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("events could not be removed", "err", err)
		} else if gone.Removed > 0 {
			n.log.Info("events were removed", "events", gone.Removed)
		}
	})
	references := n.references
	if hints, err := ReadHints(n.cfg.Hints); err == nil && n.recursor != nil {
		t.across, err = across.New(across.Config{
			Prefix: n.cfg.Prefix, Source: t.history, Event: t.history.Event, Level: t.shares.Level, Any: t.shares.Any, References: references,
			Resolver: n.recursor, Anchors: hints.Anchors, User: PrefixKeyRef(n.cfg.Prefix), Key: n.prefixKey,
			Identify: identify, Dial: n.dialStranger, Now: n.now, Log: n.log,
		})
		if err != nil {
			return err
		}
		n.closes = append(n.closes, t.across.Close)
		authority := id.ParentPrefix(n.cfg.Prefix)
		if authority == id.Root.Prefix() {
			authority = ""
		}
		t.recalls, err = recall.New(ctx, recall.Config{Prefix: n.cfg.Prefix, Registry: papers{n.registry, n}, Find: t.across.RecallSet, Post: t.across.Post, Authority: authority,
			Hold: t.history.Hold, Release: t.history.Release, Now: n.now, Log: n.log})
		if err != nil {
			return err
		}
		n.goes("recalls", n.whilePrimary(t.recalls.Run))
	}
	local := graph.WithReferences(t.history, references)
	t.ask = ask.New(ask.Config{Prefix: n.cfg.Prefix, Now: n.now,
		Trace: func(ctx context.Context, q graph.Question, here bool, found func(graph.Step)) (*graph.Answer, json.RawMessage, []picture.Signature, error) {
			if here || t.across == nil {
				a, err := graph.Trace(ctx, local, q, found)
				return a, nil, nil, err
			}
			a, evidence, err := t.across.Trace(ctx, q, found)
			if err != nil {
				return nil, nil, nil, err
			}
			hints, err := ReadHints(n.cfg.Hints)
			if err != nil {
				return nil, nil, nil, err
			}
			chain, err := Signatures(evidence, hints.Anchors, n.now())
			if err != nil {
				n.log.Warn("evidence that does not hold", "err", err)
			}
			b, err := json.Marshal(evidence)
			return a, b, chain, err
		},
		Source: func(ctx context.Context, q graph.Question, here bool) (graph.Source, error) {
			if here || t.across == nil {
				return local, nil
			}
			return t.across.About(ctx, q)
		},
		Check: n.checkEvidence})
	n.tracing = t
	return nil
}

// Signatures checks evidence, and says of each owner's answer whether it holds. The error is that of the first that does not.
func Signatures(evidence *across.Evidence, roots []trust.PublicKey, now time.Time) ([]picture.Signature, error) {
	verdicts, err := across.Verify(evidence, roots, now)
	var chain []picture.Signature
	for _, v := range verdicts {
		chain = append(chain, picture.Signature{Owner: v.Owner, By: v.By, Key: v.Key, Time: v.Time, Digest: v.Digest, Holds: v.Holds})
	}
	return chain, err
}

// checkEvidence says of each answer in a bundle whether it holds, by the root's keys that this node trusts.
func (n *Node) checkEvidence(_ context.Context, b []byte) ([]ask.Verdict, error) {
	e, err := across.ParseEvidence(b)
	if err != nil {
		return nil, err
	}
	hints, err := ReadHints(n.cfg.Hints)
	if err != nil {
		return nil, err
	}
	verdicts, err := across.Verify(e, hints.Anchors, n.now())
	if err != nil && !problem.Is(err, problem.Bogus) {
		return nil, err
	}
	var out []ask.Verdict
	for _, v := range verdicts {
		out = append(out, ask.Verdict(v))
	}
	return out, nil
}

// references are the identifiers that a thing's own record names in its properties: a package's container, an engine's bearing. Only what everybody may read counts.
func (n *Node) references(ctx context.Context, thing string) ([]graph.Reference, error) {
	v, err := id.ParseHandle(thing)
	if err != nil || v.IsPrefix() {
		return nil, nil
	}
	a, err := n.registry.Resolve(ctx, record.Query{ID: v, PublicOnly: true})
	if err != nil {
		return nil, nil // not registered here
	}
	var out []graph.Reference
	for i := range a.Values {
		x := &a.Values[i]
		if x.Index < firstProperty || len(x.Data) > 2048 {
			continue
		}
		to, err := id.ParseHandle(string(x.Data))
		if err != nil || to.IsPrefix() || to == v {
			continue
		}
		if _, err := vaa.ParsePrefix(to.Prefix()); err == nil {
			out = append(out, graph.Reference{From: epcis.Key(thing), To: epcis.Key(to.String())})
		}
	}
	return out, nil
}

// firstProperty is the index from which on a record holds properties.
const firstProperty = 2000

// beginEvents announces the events, at once where this node alone decides; else as soon as enough other sites hold the change.
func (n *Node) beginEvents(ctx context.Context) error {
	switch {
	case n.tracing == nil:
		return nil
	case n.cfg.Sites == nil:
		return n.announceEvents(ctx)
	}
	n.goes("event service", n.whilePrimary(func(ctx context.Context) error {
		for {
			err := n.announceEvents(ctx)
			if err == nil {
				return nil
			}
			n.log.Debug("the event service is not announced yet", "err", err)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Second):
			}
		}
	}))
	return nil
}

// announceEvents registers where this enterprise's events are asked for, if that is not what is registered.
func (n *Node) announceEvents(ctx context.Context) error {
	at := netip.AddrPortFrom(n.place.Load().Servers[0].Addr, n.httpAddr.Port())
	v, err := id.ParseHandle(n.cfg.Prefix + "/" + across.ServiceSuffix)
	if err != nil || !n.httpAddr.IsValid() {
		return err
	}
	data := "https://" + at.String() + "/epcis " + n.tlsKey.Public().Fingerprint()
	if a, err := n.registry.Resolve(ctx, record.Query{ID: v, PublicOnly: true, Types: []string{across.TypeService}}); err == nil && len(a.Values) == 1 && string(a.Values[0].Data) == data {
		return nil
	}
	res, err := n.Write(ctx, operator, []record.Write{{Op: record.Create, ID: v, Overwrite: true, Values: []record.Value{
		{Index: 1, Type: across.TypeService, Data: []byte(data), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 300}}}}})
	if err == nil {
		err = res[0].Err
	}
	return err
}

// eventRoutes answers EPCIS programs and other enterprises' traces.
func (n *Node) eventRoutes(path string) http.Handler {
	switch {
	case path == "/epcis" || strings.HasPrefix(path, "/epcis/"):
		return n.tracing.rest.Handler()
	case n.tracing.recalls != nil && recall.Serves(path):
		return n.tracing.recalls.Handler(func(r *http.Request) (record.Identity, error) { return n.web.Identify(r) })
	case n.tracing.across != nil && across.Serves(path):
		return n.tracing.across.Handler()
	}
	return nil
}
