// Package live answers with what is true now: a value may be declared as fetched (实时取数), and is then read from its
// owner's own system, a database or an HTTP service, at the moment somebody asks. Nothing is copied to where it would
// grow old, and who may see it is decided before the system is asked.
//
// A rule says which identifiers it is about (a prefix and a pattern over the suffix), which source is asked and how,
// and which value of the record each column becomes. See Declaration for a whole one.
//
// A Resolver stands around the registry's. Names that no rule is about go past it at the price of one look into a map.
// What is asked of a source is bounded: a time limit, so many questions at once, one question a name however many ask
// for it, a short cache, and a circuit breaker that stops asking a system that is down.
//
// Who is trusted: the sources' answers are signed with the prefix's key like every other value, so whoever can change
// what the database says changes the record. Credentials come from the environment or from files, and stand in no
// answer, log or error. An asker learns that a source is away, and nothing else about it.
package live

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/registry"
)

// Config says around what a Resolver stands. Next is needed; so is Secret when a source has credentials.
type Config struct {
	Next record.Resolver // the registry: what is stored
	// Ready is Next's fast way, for names that no rule is about; nil: there is none.
	Ready record.Appender
	// Governor decides who sees what; nil: the permissions of the rules' properties do.
	Governor record.Governor
	// Rights is nil when by administers the record rec, else problem.NotAdmin or another reason why not. It is asked for
	// values that are not public: registry.Administers. Nil: only the Governor can let somebody see them, and the node's operator.
	Rights func(ctx context.Context, by record.Identity, rec id.ID) error
	// Sign makes an HS_SIGNATURE over values, which are all that anybody may read of rec. Nil: such answers are not signed.
	Sign func(ctx context.Context, rec id.ID, values []record.Value) (record.Value, error)
	// Check looks at what a source gave before it is shown, as a template's validation does. Nil: no check.
	Check func(ctx context.Context, rec id.ID, values []record.Value) error
	// Secret reads a credential by its reference, env:NAME or file:PATH. It is called for each new connection, so that a
	// changed one is taken up.
	Secret func(ref string) (string, error)

	Declaration
	// CacheBytes bounds what is kept of all sources together; 16 MiB if 0.
	CacheBytes int64
	// Transport carries calls to HTTP sources; a plain one with sane limits if nil.
	Transport http.RoundTripper
	Now       func() time.Time // time.Now if nil
	Log       *slog.Logger     // nothing is logged if nil
}

// Resolver is a record.Resolver and record.Appender. Make it with New, and Close it.
type Resolver struct {
	cfg     Config
	lanes   map[string]*lane
	rules   map[string][]*rule // by folded prefix, in the order of the declaration
	entries cache
	expect  interface{ Expect(names [][]byte) } // Ready, if it has that
	ctx     context.Context                     // of what is asked of sources; ends with Close
	stop    context.CancelFunc
}

var (
	_ record.Resolver = (*Resolver)(nil)
	_ record.Appender = (*Resolver)(nil)
)

// New checks the declaration and gets ready. No source is asked yet: one that is away keeps nobody from starting. The
// error, problem.BadValue, names the rule or source and the field at fault.
func New(cfg Config) (*Resolver, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = 16 << 20
	}
	r := &Resolver{cfg: cfg, lanes: map[string]*lane{}, rules: map[string][]*rule{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.expect, _ = cfg.Ready.(interface{ Expect(names [][]byte) })
	err := r.compile()
	if err == nil {
		r.entries, err = newCache(cfg.CacheBytes)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close ends what is being asked and lets go of every connection.
func (r *Resolver) Close() error {
	r.stop()
	var errs []error
	for _, l := range r.lanes {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

// match finds the first rule about v.
func (r *Resolver) match(v id.ID) (*rule, map[string]string) {
	for _, u := range r.rules[v.Prefix()] {
		if parts := u.match(v); parts != nil {
			return u, parts
		}
	}
	return nil, nil
}

// AppendPublic is record.Appender's. It says no for every name that a rule may be about.
func (r *Resolver) AppendPublic(dst, name []byte, now int64) (out []byte, expires int64, ok bool) {
	if r.cfg.Ready == nil || r.mayMatch(name) {
		return dst, 0, false
	}
	return r.cfg.Ready.AppendPublic(dst, name, now)
}

// Expect passes on to Ready, if it cares to hear, which names AppendPublic is about to be asked for.
func (r *Resolver) Expect(names [][]byte) {
	if r.expect != nil {
		r.expect.Expect(names)
	}
}

// mayMatch is match for a name as it was asked; it allocates nothing and may be wrong in the safe direction.
func (r *Resolver) mayMatch(name []byte) bool {
	var buf [maxPrefix]byte
	n := 0
	for n < len(name) && name[n] != '/' {
		if n == len(buf) {
			return false
		}
		buf[n] = upper(name[n])
		n++
	}
	suffix := name[n:]
	for _, u := range r.rules[string(buf[:n])] {
		if len(suffix) > 1 && startsFolded(suffix[1:], u.head) {
			return true
		}
	}
	return false
}

func startsFolded(b []byte, head string) bool {
	if len(b) < len(head) {
		return false
	}
	for i := range len(head) {
		if upper(b[i]) != head[i] {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// operator asks the registry for all of a record, so that the rules can be asked about it. What it sees goes nowhere else.
var operator = record.Identity{Operator: true}

// Resolve is record.Resolver's. Beside its errors: problem.Unreachable when the source of a value that was asked for
// does not answer or no longer has it, problem.Busy when too many ask it already.
func (r *Resolver) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	u, parts := r.match(q.ID)
	if u == nil {
		return r.cfg.Next.Resolve(ctx, q)
	}
	all, err := r.cfg.Next.Resolve(ctx, record.Query{ID: q.ID, By: operator, NoReferral: q.NoReferral, Depth: q.Depth})
	registered := err == nil || problem.Is(err, problem.NoValues)
	if all.Referral != nil || !registered && (u.registered || !problem.Is(err, problem.NotFound)) {
		return r.cfg.Next.Resolve(ctx, q)
	}
	p, err := r.plan(ctx, u, parts, &q, all.Values)
	if err != nil {
		return record.Answer{Source: "live"}, err
	}
	if len(p.show) == 0 {
		return r.cfg.Next.Resolve(ctx, q)
	}

	row, stale, err := u.lane.get(ctx, r, u, q.ID, parts)
	switch {
	case err == nil && !row.found && !registered:
		return r.cfg.Next.Resolve(ctx, q)
	case err != nil && !(u.partial && registered && problem.Is(err, problem.Unreachable)):
		return record.Answer{Source: "live"}, err
	}
	// The record changes when a fetched value does, so none of it may be kept longer than that.
	left := u.left(row.at, r.cfg.Now())
	if err != nil || stale {
		left = min(u.cache, 1)
	}

	stored := q
	stored.Certify = false
	ans, storedErr := r.cfg.Next.Resolve(ctx, stored)
	if storedErr != nil && !problem.Is(storedErr, problem.NotFound) && !problem.Is(storedErr, problem.NoValues) {
		return ans, storedErr
	}
	out := p.stored(ans.Values, left)
	for _, i := range p.show {
		if v, ok := p.value(i, row, left); ok {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return ans, storedErr
	}
	slices.SortStableFunc(out, byIndex)
	if r.cfg.Check != nil && row.found {
		if err := r.cfg.Check(ctx, q.ID, out); err != nil {
			u.lane.complain(r, u, fault{shape: true, err: err})
			return record.Answer{Source: "live"}, away(q.Name())
		}
	}
	if q.Certify && r.cfg.Sign != nil {
		if out, err = r.certify(ctx, &q, p, row, left, out); err != nil {
			return ans, err
		}
	}
	ans.Values, ans.Stale = out, ans.Stale || stale
	if row.found {
		ans.Source, ans.Live = "live", row.at
	}
	return ans, nil
}

func byIndex(a, b record.Value) int { return int(int64(a.Index) - int64(b.Index)) }

// certify adds the signature over everything that anybody may read of the record, which is more than what was asked.
func (r *Resolver) certify(ctx context.Context, q *record.Query, p *plan, row row, left uint32, out []record.Value) ([]record.Value, error) {
	open, err := r.cfg.Next.Resolve(ctx, record.Query{ID: q.ID, PublicOnly: true, NoReferral: true, Depth: q.Depth})
	if err != nil && !problem.Is(err, problem.NotFound) && !problem.Is(err, problem.NoValues) {
		return nil, err
	}
	public := p.stored(open.Values, left)
	for i := range p.places {
		if p.places[i].Perm&record.PublicRead != 0 {
			if v, ok := p.value(i, row, left); ok {
				public = append(public, v)
			}
		}
	}
	slices.SortStableFunc(public, byIndex)
	sig, err := r.cfg.Sign(ctx, q.ID, public)
	if err != nil && !problem.Is(err, problem.NotHere) { // without a key the prefix is unsigned
		return nil, err
	}
	if sig.Type != "" {
		sig.TTL.Seconds = min(sig.TTL.Seconds, left)
		out = append(out, sig)
	}
	return out, nil
}

// plan is what one question means for one rule: which values it stands for, with the permissions that hold by the
// rules, and which of them are to be shown.
type plan struct {
	rule   *rule
	parts  map[string]string
	places []record.Value // one for each property of the rule, without data; Index 0 where the stored value stands
	show   []int          // in places
}

func (r *Resolver) plan(ctx context.Context, u *rule, parts map[string]string, q *record.Query, stored []record.Value) (*plan, error) {
	p := &plan{rule: u, parts: parts, places: make([]record.Value, len(u.props))}
	rest := p.stored(stored, math.MaxUint32)
	merged := slices.Clip(rest)
	at := make([]int, len(u.props)) // of each place in merged
	for i := range u.props {
		at[i] = -1
		prop := &u.props[i]
		if prop.yields && slices.ContainsFunc(rest, func(v record.Value) bool { return v.Index == prop.index }) {
			continue
		}
		p.places[i] = record.Value{Index: prop.index, Type: prop.typ, Perm: prop.perm, TTL: record.TTL{Seconds: u.cache}}
		if prop.column == "" {
			p.places[i].Data = []byte(expand(prop.text, parts))
		}
		at[i] = len(merged)
		merged = append(merged, p.places[i])
	}
	governed := false
	ruled := merged
	if r.cfg.Governor != nil {
		var err error
		if ruled, governed, err = r.cfg.Governor.Govern(ctx, q.ID, merged); err != nil {
			return nil, err
		}
	}
	var hidden []int // in ruled
	for i := range p.places {
		if at[i] < 0 {
			continue
		}
		v := &p.places[i]
		v.Perm = ruled[at[i]].Perm
		switch {
		case !q.Wants(v.Index, v.Type):
		case v.Perm&record.PublicRead != 0 || q.By.Operator:
			p.show = append(p.show, i)
		case q.PublicOnly, governed && q.By.IsAnonymous(), !governed && v.Perm&record.AdminRead == 0:
			// Not for everybody, or for nobody.
		default:
			hidden = append(hidden, at[i])
		}
	}
	if len(hidden) == 0 {
		return p, nil
	}
	if q.By.IsAnonymous() {
		return nil, problem.New(problem.NeedAuth, "who wants to read what is not public in %s must prove who they are: give a key or a password",
			"读取 %s 中的非公开内容须先验证身份：请提供密钥或口令", q.Name())
	}
	admitted, err := r.admit(ctx, q, ruled, hidden, governed)
	if err != nil {
		return nil, err
	}
	for i, k := range at {
		if k >= 0 && slices.Contains(admitted, k) && !slices.Contains(p.show, i) {
			p.show = append(p.show, i)
		}
	}
	slices.Sort(p.show)
	return p, nil
}

// admit says which of the hidden values the asker sees: those that the rules grant, and all for administrators, whose
// looking is noted.
func (r *Resolver) admit(ctx context.Context, q *record.Query, vs []record.Value, hidden []int, governed bool) ([]int, error) {
	var seen []int
	if governed {
		var err error
		if seen, err = r.cfg.Governor.Admit(ctx, q, q.ID, vs, hidden); err != nil || len(seen) == len(hidden) {
			return seen, err
		}
	}
	err := error(problem.New(problem.NotAdmin, "%s is no administrator of %s: ask its owner for a grant", "%s 不是 %s 的管理员：请向其所有者申请授权", q.By.Ref, q.Name()))
	if r.cfg.Rights != nil {
		err = r.cfg.Rights(ctx, q.By, q.ID)
	}
	switch {
	case err == nil:
	case governed:
		return seen, ctx.Err() // what remains is absent, whatever the reason
	default:
		return nil, err
	}
	if n, ok := r.cfg.Governor.(registry.Noter); ok {
		rest := slices.DeleteFunc(slices.Clone(hidden), func(i int) bool { return slices.Contains(seen, i) })
		if err := n.Note(ctx, q, q.ID, vs, rest); err != nil {
			return nil, problem.Wrap(err, problem.Busy, "the audit trail cannot be written, so nothing that is not public is shown: try again", "无法写入审计记录，因此不显示非公开内容：请稍后再试")
		}
	}
	return hidden, nil
}

// stored is what stands beside the fetched values, to be kept no longer than left seconds. A stored signature is over
// another record than the one with fetched values in it, and so is left out.
func (p *plan) stored(vs []record.Value, left uint32) []record.Value {
	out := make([]record.Value, 0, len(vs)+len(p.places)+1)
	for _, v := range vs {
		if v.Type == record.TypeSignature || p.rule.fetches(v.Index) {
			continue
		}
		if !v.TTL.Absolute {
			v.TTL.Seconds = min(v.TTL.Seconds, left)
		}
		out = append(out, v)
	}
	return out
}

// value is the value of place i by row; ok is false when the source has none there.
func (p *plan) value(i int, row row, left uint32) (v record.Value, ok bool) {
	v = p.places[i]
	if v.Index == 0 || !row.found {
		return v, false
	}
	if c := p.rule.props[i].column; c != "" {
		if v.Data = row.data[i]; v.Data == nil {
			return v, false
		}
	}
	v.TTL = record.TTL{Seconds: left}
	v.Timestamp = uint32(row.at.Unix())
	return v, true
}

func away(name string) error {
	return problem.New(problem.Unreachable, "a value of %s is fetched from its owner's system, which does not answer as it should: try again later, or ask its owner",
		"%s 的一个值需从其所有者的系统实时获取，该系统目前未能正常应答：请稍后再试或联系其所有者", clip(name))
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:77], "") + "..."
	}
	return s
}

func fold(s string) string { return handle.Fold(s) }
