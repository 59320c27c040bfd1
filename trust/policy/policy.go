// Package policy decides who sees and who edits what: public, granted to somebody, or private; for a template, a
// property, or one identifier, the narrower rule winning; under conditions that an operator can read and test before
// anybody depends on them. What somebody may not see is not there for them. Every access to what is not public is in an
// audit trail that the owner reads and nobody rewrites; who is refused may ask for access and is told what became of it.
//
// Rules about a class stand in papers under the owner's prefix (88.118/Policy_x), those about one identifier in its own
// record (values FUJIE.GRANT from index 1100 on), so that mirrors have them too. A rule of a prefix holds for that
// prefix's own records and no others.
package policy

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cryptorand "crypto/rand"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/store"
)

// The value types that are this room's.
const (
	TypePolicy  = "FUJIE.POLICY"
	TypeRequest = "FUJIE.REQUEST"
	TypeGrant   = "FUJIE.GRANT"

	IndexGrant    = 1100 // the first index of a record's own rules
	lastGrant     = 1199
	indexPaper    = 1
	policyName    = "Policy_"
	requestName   = "Request_"
	maxRuleBytes  = 256 << 10
	groupFor      = time.Minute
	groupFailFor  = 2 * time.Second
	maxGroupsKept = 4096
	maxDepth      = 5
	maxMembers    = 20_000
)

// Class is what a template says of who sees the properties of records that keep to it.
type Class struct {
	Default Visibility            // of every property; empty: nothing said
	Items   map[string]Visibility // of one, by its English name folded as handles are (A–Z)
}

// open reports whether the class says nothing but public.
func (c *Class) open() bool {
	if c.Default != "" && c.Default != Public {
		return false
	}
	for _, v := range c.Items {
		if v != "" && v != Public {
			return false
		}
	}
	return true
}

// Classes finds templates. Class looks at what is here; it asks nobody. known is false for one that is not.
type Classes interface {
	Class(ctx context.Context, template string) (c Class, known bool)
}

// Config is what the rules stand on. Store is needed.
type Config struct {
	Prefix string          // the node's own
	Hosted func() []string // others that are kept here; nil: none
	Store  store.Store     // for the audit trail, counts and notices
	// Groups finds groups that are kept elsewhere; one is believed when its chain of signatures holds. Nil: there are
	// only those kept here.
	Groups  record.Resolver
	Classes Classes
	// Elsewhere carries a question about requests for access to the node of another enterprise, in this enterprise's name, for one who may speak in it: problem.NotHere for others.
	// The answer is read into out; the error is that node's. Nil: nothing is carried, and requests are made to what is kept here only.
	Elsewhere func(ctx context.Context, c api.Caller, prefix, method, path string, in, out any) error
	// Changed hears of a prefix whose rules changed: its ready answers are to be forgotten. "" means all.
	Changed func(prefix string)
	Zone    *time.Location // of the hours that conditions speak of; UTC+8 if nil
	Now     func() time.Time
	Rand    io.Reader
	Log     *slog.Logger
}

// Policy is the rules of a node. It is a record.Governor, and what the registry calls Quick and Noter.
type Policy struct {
	Audit *Audit
	cfg   Config
	reg   document.Registry
	world atomic.Pointer[world]

	mu      sync.Mutex
	places  map[string]*place
	randMu  sync.Mutex
	editing sync.Mutex // one change of the rules at a time
	telling sync.Mutex

	groupsMu sync.Mutex
	groups   map[string]*group

	rulesMu sync.Mutex
	rules   map[string]*compiled // of single records, by their text
}

// place is the papers of one prefix.
type place struct {
	prefix   string
	policies *document.Shelf[Paper]
	requests *document.Shelf[Request]
}

// Paper is a rule about a class, as it stands in its document.
type Paper struct {
	Rule
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
}

// world is every class rule, ready to be asked; it is replaced as a whole.
type world struct {
	prefixes map[string]*rulings // by folded prefix

	mu      sync.Mutex
	classes map[string]*learned // by folded template
	// open is the templates that say nothing but public, as records spell them; it is replaced as a whole.
	open atomic.Pointer[map[string]struct{}]
}

type learned struct {
	class Class
	known bool
}

// maxLearned is how many templates are remembered.
const maxLearned = 10_000

type rulings struct {
	of  map[string][]*compiled // by folded template
	all []*compiled
	bad bool // a paper cannot be read as a rule
}

// New makes the rules. Until Open was called, nothing that may have a rule is shown.
func New(cfg Config) (*Policy, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = cryptorand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Zone == nil {
		cfg.Zone = beijing
	}
	if cfg.Changed == nil {
		cfg.Changed = func(string) {}
	}
	if cfg.Store == nil {
		return nil, problem.New(problem.BadValue, "the rules need a store for their audit trail", "权限规则需要存储来保存审计记录")
	}
	return &Policy{cfg: cfg, Audit: &Audit{store: cfg.Store}, places: map[string]*place{}, groups: map[string]*group{}, rules: map[string]*compiled{}}, nil
}

// Open reads the rules from the registry. It may be called again, when many have changed.
func (p *Policy) Open(ctx context.Context, reg document.Registry) error {
	p.mu.Lock()
	p.reg = reg
	p.places = map[string]*place{}
	p.mu.Unlock()
	prefixes := []string{p.cfg.Prefix}
	if p.cfg.Hosted != nil {
		prefixes = append(prefixes, p.cfg.Hosted()...)
	}
	for _, prefix := range prefixes {
		if _, err := p.place(ctx, prefix); err != nil {
			return err
		}
	}
	p.rebuild()
	p.cfg.Changed("")
	return nil
}

// place is the papers of a prefix that is kept here; problem.NotHere for others.
func (p *Policy) place(ctx context.Context, prefix string) (*place, error) {
	name := handle.Fold(prefix)
	own := name == handle.Fold(p.cfg.Prefix)
	if !own && p.cfg.Hosted != nil {
		own = slices.ContainsFunc(p.cfg.Hosted(), func(h string) bool { return handle.Fold(h) == name })
	}
	if !own {
		return nil, problem.New(problem.NotHere, "the rules of %s are not kept here: ask the node that answers for it", "%s 的规则不在此处：请询问负责它的节点", clip(prefix))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.places[name]; x != nil {
		return x, nil
	}
	if p.reg == nil {
		return nil, problem.New(problem.Busy, "the rules are not read yet: try again", "规则尚未读取：请稍后再试")
	}
	x := &place{
		prefix:   prefix,
		policies: &document.Shelf[Paper]{Registry: p.reg, Prefix: prefix, Name: policyName, Type: TypePolicy, Index: indexPaper},
		requests: &document.Shelf[Request]{Registry: p.reg, Prefix: prefix, Name: requestName, Type: TypeRequest, Index: indexPaper},
	}
	if err := x.policies.Open(ctx); err != nil {
		return nil, err
	}
	if err := x.requests.Open(ctx); err != nil {
		return nil, err
	}
	p.places[name] = x
	return x, nil
}

// rebuild makes the rules ready anew.
func (p *Policy) rebuild() {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &world{prefixes: map[string]*rulings{}, classes: map[string]*learned{}}
	w.open.Store(&map[string]struct{}{})
	for name, x := range p.places {
		papers, _ := x.policies.Page("", x.policies.Len()+1, nil)
		if len(papers) == 0 {
			continue
		}
		r := &rulings{of: map[string][]*compiled{}}
		for _, paper := range papers {
			c, err := paper.Paper.compile(paper.ID.String(), false)
			if err != nil {
				r.bad = true
				p.cfg.Log.Error("a rule cannot be used, so that nothing of its prefix is public", "rule", paper.ID.String(), "err", err)
				continue
			}
			if c.Template == "" {
				r.all = append(r.all, c)
			} else {
				t := handle.Fold(c.Template)
				r.of[t] = append(r.of[t], c)
			}
		}
		w.prefixes[name] = r
	}
	p.world.Store(w)
}

// Heard says that the record v was changed past this room, as a mirror does: a rule of the prefix is read again.
func (p *Policy) Heard(ctx context.Context, v id.ID) error {
	prefix, suffix, _ := cut(v.String())
	isRule := hasPrefixFold(suffix, policyName)
	if hasPrefixFold(suffix, "Group_") {
		p.groupsMu.Lock()
		delete(p.groups, handle.Fold(v.String()))
		p.groupsMu.Unlock()
		return nil
	}
	if !isRule && !hasPrefixFold(suffix, requestName) {
		return nil
	}
	x, err := p.place(ctx, prefix)
	if problem.Is(err, problem.NotHere) {
		return nil
	}
	if err != nil {
		return err
	}
	if !isRule {
		return x.requests.Reload(ctx, v)
	}
	if err := x.policies.Reload(ctx, v); err != nil {
		return err
	}
	p.changed(prefix)
	return nil
}

// Refresh says that templates changed, or prefixes are kept here that were not: what was concluded from them is
// forgotten.
func (p *Policy) Refresh() {
	p.rebuild()
	p.cfg.Changed("")
}

func (p *Policy) changed(prefix string) {
	p.rebuild()
	p.cfg.Changed(prefix)
}

// Free is registry.Quick's: a record without a template, or with one that is all public, and without rules.
func (p *Policy) Free(prefix, _, block []byte) bool {
	w := p.world.Load()
	if w == nil || len(block) < 4 {
		return false
	}
	var r *rulings
	if len(w.prefixes) > 0 {
		if r = w.prefixes[string(prefix)]; r != nil && (r.bad || len(r.all) > 0) {
			return false
		}
	}
	var template []byte
	for b := block[4:]; len(b) > 0; {
		// u32 index, 10 bytes, u32 length and type, u32 length and data, u32 references
		if len(b) < 26 {
			return false
		}
		typ := uint64(binary.BigEndian.Uint32(b[14:]))
		if typ > uint64(len(b)-26) {
			return false
		}
		at := 18 + typ
		data := uint64(binary.BigEndian.Uint32(b[at:]))
		if data > uint64(len(b))-at-8 {
			return false
		}
		switch index := binary.BigEndian.Uint32(b); {
		case index > lastGrant, index > record.IndexTemplateID && index < IndexGrant:
		case index >= IndexGrant:
			return false
		case index == record.IndexTemplateID:
			if string(b[18:at]) == record.TypeTemplateID {
				template = b[at+4 : at+4+data]
			}
		case index == indexPaper && bytes.HasPrefix(b[18:at], []byte("FUJIE.")):
			return false
		}
		at += 4 + data
		refs := binary.BigEndian.Uint32(b[at:])
		b = b[at+4:]
		for ; refs > 0; refs-- {
			if len(b) < 8 {
				return false
			}
			name := uint64(binary.BigEndian.Uint32(b))
			if name > uint64(len(b)-8) {
				return false
			}
			b = b[8+name:]
		}
	}
	if template == nil {
		return true
	}
	if r != nil && len(r.of) > 0 {
		var buf [256]byte
		if len(template) > len(buf) || len(r.of[string(handle.AppendFold(buf[:0], template))]) > 0 {
			return false
		}
	}
	_, open := (*w.open.Load())[string(template)]
	return open
}

// book collects every rule about a record.
func (p *Policy) book(ctx context.Context, rec id.ID, values []record.Value) (b *book, template string, paper bool) {
	b = &book{}
	spelled := ""
	name := rec.String()
	prefix, _, _ := cut(name)
	w := p.world.Load()
	if w == nil {
		b.broken = true
		return b, "", false
	}
	for i := range values {
		v := &values[i]
		switch {
		case v.Index >= IndexGrant && v.Index <= lastGrant && v.Type == TypeGrant:
			c, err := p.own(v.Data)
			if err != nil {
				b.broken = true
				p.cfg.Log.Error("a rule in a record cannot be used, so that nothing of it is public", "id", name, "index", v.Index, "err", err)
				continue
			}
			b.put(c, identifierItem, identifier)
		case v.Index == record.IndexTemplateID && v.Type == record.TypeTemplateID:
			spelled = string(v.Data)
			template = handle.Fold(spelled)
		case v.Index == indexPaper && strings.HasPrefix(v.Type, "FUJIE."):
			paper = true
		}
	}
	if r := w.prefixes[prefix]; r != nil {
		b.broken = b.broken || r.bad
		for _, c := range r.all {
			b.put(c, prefixItem, prefixRule)
		}
		if template != "" {
			for _, c := range r.of[template] {
				b.put(c, propertyRule, templateRule)
			}
		}
	}
	if template != "" && p.cfg.Classes != nil {
		l := w.learn(ctx, p.cfg.Classes, template, spelled)
		b.class, b.known = l.class, l.known
	}
	return b, template, paper
}

// learn is what a template says; spelled is its name as the record has it.
func (w *world) learn(ctx context.Context, classes Classes, template, spelled string) *learned {
	w.mu.Lock()
	l := w.classes[template]
	w.mu.Unlock()
	if l == nil {
		l = &learned{}
		if l.class, l.known = classes.Class(ctx, template); !l.known {
			return l // perhaps it comes
		}
		w.mu.Lock()
		if len(w.classes) >= maxLearned {
			clear(w.classes)
		}
		w.classes[template] = l
		w.mu.Unlock()
	}
	if !l.class.open() {
		return l
	}
	if _, known := (*w.open.Load())[spelled]; !known {
		w.mu.Lock()
		old := *w.open.Load()
		open := make(map[string]struct{}, len(old)+1)
		if len(old) < maxLearned {
			maps.Copy(open, old)
		}
		open[spelled] = struct{}{}
		w.open.Store(&open)
		w.mu.Unlock()
	}
	return l
}

// own reads a rule that stands in a record.
func (p *Policy) own(data []byte) (*compiled, error) {
	p.rulesMu.Lock()
	c := p.rules[string(data)]
	p.rulesMu.Unlock()
	if c != nil {
		return c, nil
	}
	r, err := parseOwn(data)
	if err != nil {
		return nil, err
	}
	c, err = r.compile("", true)
	if err != nil {
		return nil, err
	}
	p.rulesMu.Lock()
	defer p.rulesMu.Unlock()
	if len(p.rules) >= 4096 {
		clear(p.rules)
	}
	p.rules[string(data)] = c
	return c, nil
}

func parseOwn(data []byte) (r Rule, err error) {
	if len(data) > maxRuleBytes {
		return r, badRule("a rule takes at most %d bytes", "一条规则最多 %d 字节", maxRuleBytes)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, problem.Wrap(err, problem.BadValue, "the rule is no JSON of a rule", "规则不是合法的规则 JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return r, badRule("something stands behind the rule", "规则之后还有内容")
	}
	return r, nil
}

// Govern is record.Governor's.
func (p *Policy) Govern(ctx context.Context, rec id.ID, values []record.Value) ([]record.Value, bool, error) {
	if p.world.Load() == nil {
		return nil, true, problem.New(problem.Busy, "the rules are not read yet: try again", "规则尚未读取：请稍后再试")
	}
	b, _, paper := p.book(ctx, rec, values)
	if b.empty() {
		return values, paper, nil
	}
	return b.govern(values), true, nil
}

// govern is the values with PublicRead where the rules say so. A class does not open what its record has closed.
func (b *book) govern(values []record.Value) []record.Value {
	hides := b.hides()
	out := values
	for i := range values {
		v := &values[i]
		perm := v.Perm
		switch {
		case hides || b.broken || hasPrefixFold(v.Type, TypeGrant):
			perm &^= record.PublicRead
		case sealed(v):
		default:
			switch word, level := b.visibility(v); {
			case word == Public && level <= identifier && perm&record.AdminRead != 0:
				perm |= record.PublicRead
			case word == Granted, word == Private:
				perm &^= record.PublicRead
			}
		}
		if perm == v.Perm {
			continue
		}
		if &out[0] == &values[0] {
			out = slices.Clone(values)
		}
		out[i].Perm = perm
	}
	return out
}

// ask is the question that somebody puts about a record.
func (p *Policy) ask(ctx context.Context, action Action, by record.Identity, purpose string, rec id.ID, template string) *question {
	name := rec.String()
	prefix, _, _ := cut(name)
	q := &question{action: action, who: askerOf(by.Ref), purpose: purpose, now: p.cfg.Now(), rec: name, prefix: prefix, template: template, zone: p.cfg.Zone}
	q.in = func(group string) (bool, bool) { return p.member(ctx, group, q.who.name, maxDepth) }
	q.used = func(grant string) int64 { return p.Audit.used(ctx, useKey(grant, prefix, q.who.name)) }
	return q
}

// useKey is under what the answers of an asker by a grant are counted; names of grants are their owner's.
func useKey(grant, prefix, who string) string { return grant + "\x00" + who + "\x00" + prefix }

// Admit is record.Governor's.
func (p *Policy) Admit(ctx context.Context, asked *record.Query, rec id.ID, values []record.Value, hidden []int) ([]int, error) {
	if asked.By.IsZero() {
		return nil, nil
	}
	b, template, paper := p.book(ctx, rec, values)
	if paper {
		return nil, nil // papers have their own ways of being shown
	}
	q := p.ask(ctx, Read, asked.By, asked.Purpose, rec, template)
	spent := map[string]bool{}
	used := q.used
	q.used = func(grant string) int64 {
		if spent[grant] {
			return 1<<63 - 1
		}
		return used(grant)
	}
	for {
		var admitted []int
		access := Access{Time: q.now.UTC(), Who: asked.By.Ref.String(), ID: q.rec, Action: Read, Purpose: asked.Purpose}
		var count []counted
		for _, i := range hidden {
			v := b.decide(q, &values[i])
			if !v.allowed {
				continue
			}
			admitted = append(admitted, i)
			access.Indexes = append(access.Indexes, values[i].Index)
			if v.by == nil {
				continue
			}
			if name := v.source + "#" + v.by.ID; !slices.Contains(access.Grants, name) {
				access.Grants = append(access.Grants, name)
				if v.by.Count > 0 {
					count = append(count, counted{useKey(v.by.ID, q.prefix, q.who.name), v.by.Count})
				}
			}
		}
		if len(admitted) == 0 {
			return nil, nil
		}
		_, over, err := p.Audit.add(ctx, access, count)
		if err != nil {
			return nil, err
		}
		if len(over) == 0 {
			return admitted, nil
		}
		for _, g := range over {
			spent[g] = true // somebody else took the last one meanwhile
		}
	}
}

// Note is registry.Noter's.
func (p *Policy) Note(ctx context.Context, asked *record.Query, rec id.ID, values []record.Value, places []int) error {
	if asked.By.IsZero() {
		return nil
	}
	a := Access{Time: p.cfg.Now().UTC(), Who: asked.By.Ref.String(), ID: rec.String(), Action: Read, Purpose: asked.Purpose, Right: true}
	for _, i := range places {
		a.Indexes = append(a.Indexes, values[i].Index)
	}
	_, _, err := p.Audit.add(ctx, a, nil)
	return err
}

// group is what is known of a group for a short time.
type group struct {
	members map[string]bool // folded names
	inner   []string        // groups in it
	err     error
	until   time.Time
}

// member reports whether who is in the group, or in one within it.
func (p *Policy) member(ctx context.Context, name, who string, depth int) (in, sure bool) {
	g := p.group(ctx, name)
	if g.err != nil {
		return false, false
	}
	if g.members[who] {
		return true, true
	}
	sure = true
	if depth > 0 {
		for _, inner := range g.inner {
			y, s := p.member(ctx, inner, who, depth-1)
			if y {
				return true, true
			}
			sure = sure && s
		}
	}
	return false, sure
}

func (p *Policy) group(ctx context.Context, name string) *group {
	now := p.cfg.Now()
	p.groupsMu.Lock()
	g := p.groups[name]
	p.groupsMu.Unlock()
	if g != nil && now.Before(g.until) {
		return g
	}
	g = &group{members: map[string]bool{}, until: now.Add(groupFor)}
	values, err := p.vlist(ctx, name)
	if err != nil {
		g.err, g.until = err, now.Add(groupFailFor)
	}
	for i := range values {
		refs, err := record.DecodeVList(values[i].Data)
		if values[i].Type != record.TypeVList || err != nil {
			continue
		}
		for _, r := range refs {
			n := handle.Fold(r.Name)
			if len(g.members) < maxMembers {
				g.members[n] = true
			}
			if _, suffix, _ := cut(n); strings.HasPrefix(suffix, "GROUP_") && len(g.inner) < 50 {
				g.inner = append(g.inner, n)
			}
		}
	}
	if ctx.Err() != nil {
		return g // whoever asked went away: nothing is concluded from that
	}
	p.groupsMu.Lock()
	defer p.groupsMu.Unlock()
	if len(p.groups) >= maxGroupsKept {
		clear(p.groups)
	}
	p.groups[name] = g
	return g
}

// vlist reads a group, here or where it is kept.
func (p *Policy) vlist(ctx context.Context, name string) ([]record.Value, error) {
	v, err := id.ParseHandle(name)
	if err != nil {
		return nil, nil
	}
	q := record.Query{ID: v, Types: []string{record.TypeVList}, By: record.Identity{Operator: true}, NoReferral: true}
	p.mu.Lock()
	reg := p.reg
	p.mu.Unlock()
	if reg != nil {
		a, err := reg.Resolve(ctx, q)
		switch {
		case err == nil:
			return a.Values, nil
		case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues):
			return nil, nil
		case !problem.Is(err, problem.NotHere):
			return nil, err
		}
	}
	if p.cfg.Groups == nil {
		return nil, nil
	}
	q.By, q.PublicOnly, q.NoReferral = record.Identity{}, true, false
	a, err := p.cfg.Groups.Resolve(ctx, q)
	switch {
	case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues):
		return nil, nil
	case err != nil:
		return nil, err
	case a.Trust != record.Secure:
		return nil, problem.New(problem.Bogus, "the group %s is not signed, so that anybody could have made it up", "组 %s 未签名，可能为伪造", clip(name))
	}
	return a.Values, nil
}

func cut(name string) (prefix, suffix string, ok bool) { return strings.Cut(name, "/") }

func cutZero(s string) (before, after string, ok bool) { return strings.Cut(s, "\x00") }
