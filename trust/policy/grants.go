package policy

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// ruledRecord is a record that has rules of its own.
type ruledRecord struct{ ID string }

var owned = table.Table[ruledRecord]{
	Name: "policy.owned",
	Key:  func(r ruledRecord) []byte { return []byte(r.ID) },
}

// Stated is a rule and where it stands.
type Stated struct {
	Source string `json:"source" doc:"The paper, or the record, that it stands in"`
	Index  uint32 `json:"index,omitempty" doc:"In a record: of the value"`
	Rule
	Text string `json:"text,omitempty" doc:"The same in the Cedar language, for people"`
}

func (p *Policy) registry() (document.Registry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reg == nil {
		return nil, problem.New(problem.Busy, "the rules are not read yet: try again", "规则尚未读取：请稍后再试")
	}
	return p.reg, nil
}

func parsePaper(data []byte) (r Rule, err error) {
	if len(data) > maxRuleBytes {
		return r, badRule("a rule takes at most %d bytes", "一条规则最多 %d 字节", maxRuleBytes)
	}
	var x Paper
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		return r, problem.Wrap(err, problem.BadValue, "the rule is no JSON of a rule", "规则不是合法的规则 JSON")
	}
	return x.Rule, nil
}

// code is a made-up name of 16 letters and digits.
func (p *Policy) code() (string, error) {
	var b [10]byte
	p.randMu.Lock()
	defer p.randMu.Unlock()
	if _, err := io.ReadFull(p.cfg.Rand, b[:]); err != nil {
		return "", problem.Wrap(err, problem.Internal, "there is no randomness to name it by", "没有可用的随机数来命名")
	}
	return base32.StdEncoding.EncodeToString(b[:]), nil
}

// named gives the grants of a rule that have no name one.
func (p *Policy) named(r *Rule, who record.Identity) error {
	r.Grants = slices.Clone(r.Grants)
	for i := range r.Grants {
		g := &r.Grants[i]
		if g.ID != "" {
			continue
		}
		var err error
		if g.ID, err = p.code(); err != nil {
			return err
		}
		at := p.cfg.Now().UTC().Truncate(time.Second)
		g.By, g.At = who.Ref.String(), &at
	}
	return nil
}

// ownRules are the rules that stand in a record. Errors: problem.NotFound when it has none, or is not here.
func (p *Policy) ownRules(ctx context.Context, v id.ID) ([]Stated, error) {
	reg, err := p.registry()
	if err != nil {
		return nil, err
	}
	none := problem.New(problem.NotFound, "%s has no rules of its own", "%s 没有自己的规则", clip(v.String()))
	a, err := reg.Resolve(ctx, record.Query{ID: v, By: record.Identity{Operator: true}, Types: []string{TypeGrant}, NoReferral: true})
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) || problem.Is(err, problem.NotHere) {
		return nil, none
	}
	if err != nil {
		return nil, err
	}
	var out []Stated
	for i := range a.Values {
		x := &a.Values[i]
		if x.Index < IndexGrant || x.Index > lastGrant || x.Type != TypeGrant {
			continue
		}
		r, err := parseOwn(x.Data)
		if err != nil {
			return nil, err
		}
		out = append(out, Stated{v.String(), x.Index, r, r.Cedar(v.String())})
	}
	if len(out) == 0 {
		return nil, none
	}
	return out, nil
}

// SetOwn puts rules in the place of those that stand in the record v, on behalf of who; none takes them all out. The
// caller has checked that who may.
func (p *Policy) SetOwn(ctx context.Context, who record.Identity, v id.ID, rules []Rule) error {
	reg, err := p.registry()
	if err != nil {
		return err
	}
	if len(rules) > lastGrant-IndexGrant+1 {
		return badRule("a record takes at most %d rules", "一条记录最多 %d 条规则", lastGrant-IndexGrant+1)
	}
	var values []record.Value
	for i := range rules {
		if err := p.named(&rules[i], who); err != nil {
			return err
		}
		if _, err := rules[i].compile("", true); err != nil {
			return err
		}
		data, err := json.Marshal(rules[i])
		if err != nil || len(data) > maxRuleBytes {
			return badRule("a rule takes at most %d bytes", "一条规则最多 %d 字节", maxRuleBytes)
		}
		values = append(values, record.Value{Index: IndexGrant + uint32(i), Type: TypeGrant, Data: data,
			Perm: record.AdminRead | record.AdminWrite, TTL: record.TTL{Seconds: 300}})
	}
	a, err := reg.Resolve(ctx, record.Query{ID: v, By: record.Identity{Operator: true}, NoReferral: true})
	if err != nil {
		return err
	}
	var gone []uint32
	for i := range a.Values {
		if x := a.Values[i].Index; x >= IndexGrant+uint32(len(rules)) && x <= lastGrant {
			gone = append(gone, x)
		}
	}
	// The new rules before the old ones go: in between both hold, and the stricter word of one level wins.
	var writes []record.Write
	if len(values) > 0 {
		writes = append(writes, record.Write{Op: record.Add, ID: v, Values: values, Overwrite: true})
	}
	if len(gone) > 0 {
		writes = append(writes, record.Write{Op: record.Remove, ID: v, Indexes: gone})
	}
	if len(writes) == 0 {
		return nil
	}
	res, err := reg.Write(ctx, record.Identity{Ref: who.Ref, Operator: true}, writes)
	if err != nil {
		return err
	}
	for i := range res {
		if res[i].Err != nil {
			return res[i].Err
		}
	}
	p.ruled(ctx, v)
	return nil
}

// SetPaper makes or replaces the class rule called name under prefix. Errors: problem.BadValue, problem.NotHere.
func (p *Policy) SetPaper(ctx context.Context, who record.Identity, prefix, name string, r Rule) (Stated, error) {
	x, err := p.place(ctx, prefix)
	if err != nil {
		return Stated{}, err
	}
	if name == "" || len(name) > 100 || strings.ContainsAny(name, "/?#% \t\n") {
		return Stated{}, badRule("%q is no name for a rule: take letters, digits, - and _", "%q 不能作规则名：请用字母、数字、- 与 _", clip(name))
	}
	v, err := x.policies.ID(name)
	if err != nil {
		return Stated{}, err
	}
	if err := p.named(&r, who); err != nil {
		return Stated{}, err
	}
	if _, err := r.compile(v.String(), false); err != nil {
		return Stated{}, err
	}
	paper := Paper{r, who.Ref.String(), p.cfg.Now().UTC()}
	_, err = x.policies.Change(ctx, who, v, func(old *Paper) error { *old = paper; return nil })
	if problem.Is(err, problem.NotFound) {
		err = x.policies.Create(ctx, who, v, paper)
	}
	if err != nil {
		return Stated{}, err
	}
	p.changed(prefix)
	return Stated{Source: v.String(), Rule: r, Text: r.Cedar(v.String())}, nil
}

// RemovePaper takes a class rule away.
func (p *Policy) RemovePaper(ctx context.Context, who record.Identity, v id.ID) error {
	prefix, _, _ := cut(v.String())
	x, err := p.place(ctx, prefix)
	if err != nil {
		return err
	}
	if _, err := x.policies.Get(v); err != nil {
		return err
	}
	if err := x.policies.Remove(ctx, who, v); err != nil {
		return err
	}
	p.changed(prefix)
	return nil
}

// Target is what a grant is about: one identifier, or a class of a prefix's records.
type Target struct {
	ID       string   `json:"id,omitempty" maxLength:"2048" doc:"One record; else template, with prefix"`
	Template string   `json:"template,omitempty" maxLength:"512" doc:"All records that keep to it"`
	Prefix   string   `json:"prefix,omitempty" maxLength:"255" doc:"Whose records, when a template is named; absent: the template's prefix"`
	Items    []string `json:"items,omitempty" maxItems:"500" doc:"Properties; absent: all"`
}

// owner is the prefix whose business the target is, and the record if it is one.
func (t *Target) owner() (prefix string, rec id.ID, err error) {
	if (t.ID == "") == (t.Template == "") {
		return "", rec, problem.New(problem.BadRequest, "name either an identifier (id) or a template: one of the two", "请指明一个标识（id）或一个模板（template），二者择一")
	}
	if t.ID != "" {
		rec, err = id.ParseHandle(t.ID)
		if err != nil {
			return "", rec, err
		}
		if rec.IsPrefix() || rec.Prefix() == "0.NA" {
			return "", rec, problem.New(problem.BadRequest, "%s is a prefix: rules are about records under it", "%s 是前缀：规则针对其下的记录", clip(t.ID))
		}
		return rec.Prefix(), rec, nil
	}
	if t.Prefix != "" {
		return handle.Fold(t.Prefix), rec, nil
	}
	v, err := id.ParseHandle(t.Template)
	if err != nil {
		return "", rec, err
	}
	return v.Prefix(), rec, nil
}

// Add makes a grant about the target, on behalf of who, and tells whom it names.
func (p *Policy) Add(ctx context.Context, who record.Identity, t Target, g Grant) (Grant, error) {
	prefix, rec, err := t.owner()
	if err != nil {
		return g, err
	}
	g.ID = ""
	r := Rule{Items: t.Items, Grants: []Grant{g}}
	if err := p.named(&r, who); err != nil {
		return g, err
	}
	g = r.Grants[0]
	if t.ID != "" {
		p.editing.Lock()
		defer p.editing.Unlock()
		stated, err := p.ownRules(ctx, rec)
		if err != nil && !problem.Is(err, problem.NotFound) {
			return g, err
		}
		var rules []Rule
		joined := false
		for i := range stated {
			x := stated[i].Rule
			if !joined && x.Visibility != Private && sameItems(x.Items, t.Items) && len(x.Grants) < maxGrants {
				x.Grants, joined = append(slices.Clone(x.Grants), g), true
			}
			rules = append(rules, x)
		}
		if !joined {
			rules = append(rules, r)
		}
		err = p.SetOwn(ctx, who, rec, rules)
		if err == nil {
			p.tell(ctx, g.To, Notice{Kind: "granted", Target: t, Grant: g.ID, From: prefix})
		}
		return g, err
	}
	r.Template = t.Template
	if _, err := p.SetPaper(ctx, who, prefix, "grant-"+g.ID, r); err != nil {
		return g, err
	}
	p.tell(ctx, g.To, Notice{Kind: "granted", Target: t, Grant: g.ID, From: prefix})
	return g, nil
}

func sameItems(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y string) bool { return handle.Equal(x, y) }) {
			return false
		}
	}
	return true
}

// change finds the grant called name under prefix and puts what change makes of it in its place; nil takes it out.
func (p *Policy) change(ctx context.Context, who record.Identity, prefix, name string, change func(Grant) *Grant) (Grant, Target, error) {
	p.editing.Lock()
	defer p.editing.Unlock()
	edit := func(grants []Grant) (out []Grant, old Grant, found bool) {
		for _, g := range grants {
			if g.ID != name || name == "" {
				out = append(out, g)
				continue
			}
			old, found = g, true
			if n := change(g); n != nil {
				out = append(out, *n)
			}
		}
		return out, old, found
	}
	all, err := p.All(ctx, prefix)
	if err != nil {
		return Grant{}, Target{}, err
	}
	for _, s := range all {
		grants, old, found := edit(s.Grants)
		if !found {
			continue
		}
		v, err := id.ParseHandle(s.Source)
		if err != nil {
			return old, Target{}, err
		}
		if s.Index == 0 {
			r := s.Rule
			r.Grants = grants
			t := Target{Template: r.Template, Prefix: prefix, Items: r.Items}
			if len(grants) == 0 && r.Visibility == "" && !r.Hidden {
				return old, t, p.RemovePaper(ctx, who, v)
			}
			_, suffix, _ := cut(s.Source)
			_, err := p.SetPaper(ctx, who, prefix, suffix[len(policyName):], r)
			return old, t, err
		}
		stated, err := p.ownRules(ctx, v)
		if err != nil {
			return old, Target{}, err
		}
		var rules []Rule
		for _, x := range stated {
			r := x.Rule
			if x.Index == s.Index {
				r.Grants, _, _ = edit(r.Grants)
			}
			if len(r.Grants) > 0 || r.Visibility != "" || r.Hidden {
				rules = append(rules, r)
			}
		}
		return old, Target{ID: s.Source, Items: s.Items}, p.SetOwn(ctx, who, v, rules)
	}
	return Grant{}, Target{}, problem.New(problem.NotFound, "there is no grant %s: list what there is", "没有授权 %s：请列出已有的授权", clip(name))
}

// Revoke takes a grant away, on behalf of who, and tells whom it named.
func (p *Policy) Revoke(ctx context.Context, who record.Identity, prefix, name, reason string) error {
	g, t, err := p.change(ctx, who, prefix, name, func(Grant) *Grant { return nil })
	if err != nil {
		return err
	}
	p.tell(ctx, g.To, Notice{Kind: "revoked", Target: t, Grant: g.ID, From: prefix, Reason: reason})
	if g.Request != "" {
		if v, err := id.ParseHandle(g.Request); err == nil {
			if _, err := p.move(ctx, who, v, Revoked, reason, ""); err != nil && !problem.Is(err, problem.NotFound) && !problem.Is(err, problem.Conflict) {
				return err
			}
		}
	}
	return nil
}

// Pay puts a receipt into a grant.
func (p *Policy) Pay(ctx context.Context, who record.Identity, prefix, name string, r Receipt) error {
	if err := checkWho(r.Who); err != nil {
		return err
	}
	_, _, err := p.change(ctx, who, prefix, name, func(g Grant) *Grant {
		g.Receipts = append(slices.Clone(g.Receipts), r)
		return &g
	})
	return err
}

// All is every rule of a prefix: its papers, and those in its records.
func (p *Policy) All(ctx context.Context, prefix string) ([]Stated, error) {
	x, err := p.place(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var out []Stated
	papers, _ := x.policies.Page("", x.policies.Len()+1, nil)
	for _, paper := range papers {
		out = append(out, Stated{paper.ID.String(), 0, paper.Paper.Rule, paper.Paper.Rule.Cedar(paper.ID.String())})
	}
	var names []string
	err = owned.Range(ctx, p.cfg.Store, store.Under([]byte(handle.Fold(prefix)+"/")), func(r ruledRecord) error {
		names = append(names, r.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		v, err := id.ParseHandle(name)
		if err != nil {
			continue
		}
		rules, err := p.ownRules(ctx, v)
		if problem.Is(err, problem.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, rules...)
	}
	return out, nil
}
