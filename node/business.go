package node

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/flow"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/indicator"
	"github.com/fujie-id/fujie/label"
	"github.com/fujie-id/fujie/mint"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/solutions"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
)

// Business is about the solutions that an enterprise runs on its node.
type Business struct {
	// Off runs none.
	Off bool `yaml:"off"`
	// Tables is where the SQL tables for indicators are: a file's path, or postgres://… with a schema of their own. Default: indicators.sqlite in the node's folder.
	Tables string `yaml:"tables"`
}

// business is what an enterprise's node does beside answering: flows, solutions, indicators.
type business struct {
	engine     *flow.Engine
	desk       *solutions.Desk
	projection *indicator.Projection
	labels     *label.Desk
	codes      codeStock
}

// openBusiness opens it, on a node that keeps events.
func (n *Node) openBusiness(ctx context.Context) error {
	if n.tracing == nil || n.cfg.Business.Off || n.cfg.Role != Enterprise {
		return nil
	}
	b := &business{}
	b.codes.take = n.in.mint.Take
	var err error
	dsn := n.cfg.Business.Tables
	if dsn == "" {
		dsn = filepath.Join(n.cfg.Data, "indicators.sqlite")
	}
	b.projection, err = indicator.Open(ctx, indicator.Config{DSN: dsn, Now: n.now, Log: n.log,
		Events: func(ctx context.Context, after uint64, limit int) ([]indicator.Event, error) {
			list, err := n.tracing.history.After(ctx, after, limit)
			out := make([]indicator.Event, 0, len(list))
			for _, r := range list {
				out = append(out, indicator.Event{Seq: r.Sequence, Event: r.Event, Hash: r.Hash, By: r.By.Name})
			}
			return out, err
		},
		Changes: n.newChanges,
		Steps: func(ctx context.Context, after uint64, limit int) ([]indicator.Step, error) {
			list, err := b.engine.After(ctx, after, limit)
			out := make([]indicator.Step, 0, len(list))
			for _, x := range list {
				solution, name, _ := strings.Cut(x.Flow, "/")
				out = append(out, indicator.Step{Seq: x.Seq, Run: x.Run, No: x.No, Solution: solution, Flow: name, Step: x.Step, About: x.About, Code: x.Code, Verdict: string(x.Verdict), Say: x.Say.EN, Who: x.Who,
					Device: x.Device, Place: x.Place, At: x.At, Took: time.Duration(x.Micros) * time.Microsecond, Started: x.Started, State: string(x.State)})
			}
			return out, err
		},
		Last: func(ctx context.Context) (events, changes, steps uint64, err error) {
			if events, err = n.tracing.history.Last(ctx); err != nil {
				return
			}
			if changes, err = n.registry.Last(ctx); err != nil {
				return
			}
			steps, err = b.engine.Last(ctx)
			return
		},
	})
	if err != nil {
		return err
	}
	n.closes = append(n.closes, b.projection.Close)
	if b.labels, err = n.openLabels(ctx); err != nil {
		return err
	}
	b.desk, err = solutions.New(ctx, solutions.Config{Prefix: n.cfg.Prefix, Registry: papers{n.registry, n}, Templates: n.templates.Load(), Mint: n.in.mint, Accounts: n.in.accounts,
		Rules: n.rules(), Labels: b.labels, CheckSQL: b.projection.Check, Open: func(ctx context.Context, name string) (int, error) { return b.engine.Count(ctx, name) },
		Dir: filepath.Join(n.cfg.Data, "solutions"), Now: n.now, Log: n.log})
	if err != nil {
		return err
	}
	b.engine, err = flow.New(ctx, flow.Config{Store: n.store, Prefix: n.cfg.Prefix, Programs: b.desk.Programs, Resolve: n.foundFor, Events: n.newest, Write: n.writeFor, Capture: n.captureFor,
		Take: b.codes.Take(n.cfg.Prefix), May: b.desk.May, Now: n.now, Log: n.log})
	if err != nil {
		return err
	}
	n.business = b
	n.goes("flows", n.whilePrimary(b.engine.Go))
	n.goes("indicators", b.projection.Go)
	return nil
}

// rules is where solutions write what a party shows another; nil where the configuration says plain.
func (n *Node) rules() solutions.Rules {
	if n.policy == nil {
		return nil
	}
	return n.policy
}

// newChanges are the changes of records behind a number; none when there are none, without waiting.
func (n *Node) newChanges(ctx context.Context, after uint64, limit int) ([]record.Entry, error) {
	last, err := n.registry.Last(ctx)
	if err != nil || last <= after {
		return nil, err
	}
	return n.registry.Changes(ctx, operator, after, limit, true)
}

// foundFor looks a thing up for a flow. Of this enterprise's own records a flow sees everything, since the enterprise installed it; of another's what anybody
// may see, with the signatures checked, and with a purpose what the owner shows this enterprise too.
func (n *Node) foundFor(ctx context.Context, _ api.Caller, code, purpose string) (flow.Found, error) {
	v, err := id.Parse(code)
	if err != nil {
		return flow.Found{}, err
	}
	f := flow.Found{ID: v.String(), Owner: v.Prefix(), Here: n.registry.Homed(v.Prefix())}
	var a record.Answer
	if f.Here {
		a, err = n.registry.Resolve(ctx, record.Query{ID: v, By: operator})
		f.Trust = record.Secure.String()
	} else {
		if n.recursor == nil {
			return f, problem.New(problem.Unsupported, "%s is another enterprise's, and this node has no hints to look it up by", "%s 属于其他企业，本节点没有根提示，无法查询", v)
		}
		if q := (record.Query{ID: v, PublicOnly: true}); purpose == "" || n.partners == nil {
			a, err = n.recursor.Resolve(ctx, q)
		} else {
			q.Purpose = purpose
			var named error
			a, named, err = n.partners.Resolve(ctx, q)
			if f.Shown = shown(named); named != nil {
				n.log.Info("a partner did not answer a flow by name", "id", v.String(), "purpose", purpose, "err", named)
			}
		}
		f.Trust = a.Trust.String()
	}
	if err != nil {
		return f, err
	}
	f.Found = true
	f.Values = map[string]string{}
	for i := range a.Values {
		x := &a.Values[i]
		switch {
		case x.Index == record.IndexTemplateID:
			f.Template = string(x.Data)
		case x.Index >= firstProperty && len(x.Data) <= 4000:
			f.Values[x.Type] = string(x.Data)
		}
	}
	return f, nil
}

// newest are the newest events that name a thing.
func (n *Node) newest(ctx context.Context, thing, step string, last int) ([]*epcis.Event, error) {
	q, err := query.Newest(thing, step, last)
	if err != nil {
		return nil, err
	}
	page, err := n.tracing.history.Query(ctx, q, "", last)
	return page.Events, err
}

// captureFor keeps events of flows.
func (n *Node) captureFor(ctx context.Context, by record.Identity, events []epcis.Event) error {
	for i := range events {
		events[i].RecordTime = time.Time{}
	}
	_, err := n.tracing.history.Capture(ctx, history.Ref{Index: by.Ref.Index, Name: by.Ref.Name}, events)
	return err
}

// writeFor does what flows do to records, in the name of whoever scanned and by the right of the enterprise that installed the flow. The
// records keep to their templates as all others do.
func (n *Node) writeFor(ctx context.Context, by record.Identity, writes []flow.RecordWrite) []error {
	out := make([]error, len(writes))
	by.Operator = true
	for from := 0; from < len(writes); {
		// Those that only make records go in one batch; a change looks at what is there first.
		var batch []record.Write
		var at []int
		to := from
		for ; to < len(writes) && !writes[to].Change; to++ {
			w := &writes[to]
			x, err := n.registerFor(ctx, w)
			if err != nil {
				out[to] = err
				continue
			}
			batch, at = append(batch, x), append(at, to)
		}
		if len(batch) > 0 {
			res, err := n.Write(ctx, by, batch)
			for i, k := range at {
				switch {
				case err != nil:
					out[k] = err
				case problem.Is(res[i].Err, problem.Exists):
					out[k] = n.sameAs(ctx, &writes[k], batch[i].Values)
				default:
					out[k] = res[i].Err
				}
			}
		}
		if to < len(writes) {
			out[to] = n.changeFor(ctx, by, &writes[to])
			to++
		}
		from = to
	}
	return out
}

// templateFor is the template of a solution's short name: this enterprise's own.
func (n *Node) templateFor(short string) string {
	return n.cfg.Prefix + "/META_" + strings.ToUpper(short)
}

func (n *Node) registerFor(ctx context.Context, w *flow.RecordWrite) (record.Write, error) {
	v, err := id.ParseHandle(w.ID)
	if err != nil {
		return record.Write{}, err
	}
	if !handle.Equal(v.Prefix(), n.cfg.Prefix) {
		return record.Write{}, problem.New(problem.Forbidden, "a flow registers under %s only, not %s", "流程只能在 %s 下注册，不能注册 %s", n.cfg.Prefix, v)
	}
	props := map[string]any{}
	for k, x := range w.Values {
		if x != nil {
			props[k] = *x
		}
	}
	values, err := n.templates.Load().Expand(ctx, n.templateFor(w.Template), props)
	if err != nil {
		return record.Write{}, err
	}
	return record.Write{Op: record.Create, ID: v, Values: values, Overwrite: w.Over}, nil
}

// sameAs is nil when what is registered already says what was to be registered: it was done before, or is meant to stay.
func (n *Node) sameAs(ctx context.Context, w *flow.RecordWrite, values []record.Value) error {
	if w.IfAbsent {
		return nil
	}
	v, err := id.ParseHandle(w.ID)
	if err != nil {
		return err
	}
	a, err := n.registry.Resolve(ctx, record.Query{ID: v, By: operator})
	if err != nil {
		return err
	}
	for i := range values {
		x := &values[i]
		k := slices.IndexFunc(a.Values, func(y record.Value) bool { return y.Index == x.Index })
		if k < 0 || string(a.Values[k].Data) != string(x.Data) {
			return problem.New(problem.Conflict, "%s is registered already, and says something else of %s", "%s 已注册，且 %s 的内容不同", v, x.Type)
		}
	}
	return nil
}

func (n *Node) changeFor(ctx context.Context, by record.Identity, w *flow.RecordWrite) error {
	v, err := id.ParseHandle(w.ID)
	if err != nil {
		return err
	}
	if !handle.Equal(v.Prefix(), n.cfg.Prefix) {
		return problem.New(problem.Forbidden, "a flow changes records under %s only, not %s", "流程只能修改 %s 下的标识，不能修改 %s", n.cfg.Prefix, v)
	}
	a, err := n.registry.Resolve(ctx, record.Query{ID: v, By: operator})
	if err != nil {
		return err
	}
	now := map[string]string{}
	name := ""
	for i := range a.Values {
		x := &a.Values[i]
		if x.Index == record.IndexTemplateID {
			name = string(x.Data)
		}
		if x.Index >= firstProperty {
			now[x.Type] = string(x.Data)
		}
	}
	done := true // by this very effect, before
	for k, x := range w.Values {
		if got, ok := now[k]; x == nil && ok || x != nil && (!ok || got != *x) {
			done = false
		}
	}
	if done {
		return nil
	}
	for k, want := range w.If {
		if now[k] != want {
			return problem.New(problem.Conflict, "%s of %s is %q, not %q any more", "%[2]s 的 %[1]s 已是 %[3]q，不再是 %[4]q", k, v, now[k], want)
		}
	}
	t, err := n.templates.Load().Find(ctx, name)
	if err != nil {
		return err
	}
	// All the values that are set go in one write: a record is never seen half changed.
	set := record.Write{Op: record.Add, ID: v, Overwrite: true}
	gone := record.Write{Op: record.Remove, ID: v}
	for _, k := range sortedKeys(w.Values) {
		x, it := w.Values[k], t.Item(k)
		if it == nil {
			return problem.New(problem.BadValue, "the template %s has no property %s", "模板 %s 没有属性 %s", name, k)
		}
		if x != nil {
			set.Values = append(set.Values, record.Value{Index: it.Index, Type: it.Name, Data: []byte(*x), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: record.DefaultTTL}})
		} else if _, there := now[k]; there {
			gone.Indexes = append(gone.Indexes, it.Index)
		}
	}
	var rest []record.Write
	if len(set.Values) > 0 {
		rest = append(rest, set)
	}
	if len(gone.Indexes) > 0 {
		rest = append(rest, gone)
	}
	res, err := n.Write(ctx, by, rest)
	if err != nil {
		return err
	}
	for _, r := range res {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// codeStock takes codes some at a time, since each taking is a write. What was taken and not used when the node ends is never used.
type codeStock struct {
	take func(ctx context.Context, who record.Identity, o mint.Order) ([]string, error)

	mu   sync.Mutex
	have map[string][]string
}

const codesAtOnce = 200

// Take is flow's door to the code rules of prefix.
func (c *codeStock) Take(prefix string) func(ctx context.Context, by record.Identity, rule string, count int, class string, at time.Time) ([]string, error) {
	return func(ctx context.Context, by record.Identity, rule string, count int, class string, at time.Time) ([]string, error) {
		o := mint.Order{Prefix: prefix, Rule: rule, Count: uint64(count), Class: class, Date: at}
		by.Operator = true
		if count > codesAtOnce/4 {
			return c.take(ctx, by, o)
		}
		key := rule + "\x00" + class + "\x00" + at.Format(time.DateOnly)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.have == nil {
			c.have = map[string][]string{}
		}
		if len(c.have[key]) < count {
			o.Count = codesAtOnce
			more, err := c.take(ctx, by, o)
			if err != nil {
				return nil, err
			}
			if len(c.have) > 1000 {
				clear(c.have) // rules of other days
			}
			c.have[key] = append(c.have[key], more...)
		}
		out := c.have[key][:count:count]
		c.have[key] = c.have[key][count:]
		return out, nil
	}
}

// figures are the indicators that somebody sees: those of the solutions in which they have a role.
func (b *business) figures(ctx context.Context, who api.Caller) []indicator.Figure {
	var out []indicator.Figure
	b.desk.Each(func(s *solutions.Solution, in solutions.Installed) {
		sees := who.Has(b.desk.Prefix(), api.EnterpriseAdmin, api.Auditor, api.Regulator)
		for role, r := range s.Roles {
			sees = sees || (r.Party == "" || r.Party == in.Party) && b.desk.May(ctx, who, s.Solution, role)
		}
		if !sees {
			return
		}
		for _, name := range s.Parties[in.Party].Indicators {
			x := s.Indicators[name]
			out = append(out, indicator.Figure{Solution: s.Solution, Name: name, Title: x.Name.In(who.Lang), Unit: x.Unit, Better: x.Better, Every: x.Every, Seed: x.Seed, Drills: x.Drill != "", SQL: x.SQL, Drill: x.Drill})
		}
	})
	return out
}
