package template

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/document"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// The values of a template's record: the paper for those who manage it, and its public face.
const (
	TypePaper  = "FUJIE.TEMPLATE"
	TypePublic = "FUJIE.TEMPLATE.PUBLIC"

	indexPaper  = 1
	indexPublic = 2
	suffix      = "META_"

	worldFor  = 5 * time.Minute // how long a template of another enterprise is taken for the newest
	worldKept = 4096
)

// State of a template.
type State string

// The states. A withdrawn template no longer resolves and takes no new records; those that keep to it stay valid.
const (
	Draft     State = "draft"     // 草稿
	Published State = "published" // 已发布
	Withdrawn State = "withdrawn" // 已撤回
)

// Sheet is what is known of one template: its newest published version, and what is being prepared.
type Sheet struct {
	State   State     `json:"state" enum:"draft,published,withdrawn"`
	Version int       `json:"version,omitempty" doc:"The newest published; 0: none yet"`
	Draft   *Template `json:"draft,omitempty" doc:"What is being prepared"`
	Names   any       `json:"names,omitempty" doc:"Of the newest version, or of the draft"`
	Made    time.Time `json:"made"`
	Changed time.Time `json:"changed"`
	By      string    `json:"by,omitempty" doc:"Who changed it last"`
	// Of is set in the paper of one version, which never changes: the version itself.
	Of *Template `json:"of,omitempty"`
}

// Face is what everybody may read of a template, at index 2 of its record: of P/META_X the newest version's number, of
// P/META_X/2 the version.
type Face struct {
	State    State     `json:"state"`
	Version  int       `json:"version"`
	Template *Template `json:"template,omitempty"`
}

// Config says what templates stand on. Prefix, Registry and Store are needed.
type Config struct {
	Prefix   string            // the node's own
	Hosted   func() []string   // others whose templates are kept here; nil: none
	Registry document.Registry // the node's own, past the checks that guard it from outside
	World    record.Resolver   // finds the templates and records of others; nil: there are only those kept here
	Store    store.Store       // for unique values, and templates fetched from others
	Dir      string            // where the files of rechecks are; empty: there are no rechecks
	Now      func() time.Time
	Log      *slog.Logger
}

// Templates is all templates of one node. Make it with New.
type Templates struct {
	Rechecks *Rechecker // nil: without Config.Dir

	cfg    Config
	mu     sync.Mutex
	places map[string]*document.Shelf[Sheet] // by folded prefix
	world  map[string]seen                   // templates of others, by folded identifier
}

type seen struct {
	face  Face
	until time.Time
}

var operator = record.Identity{Operator: true}

// fetched is the versions of others' templates, so that they hold when their owner is away.
var fetched = table.Table[Face]{Name: "template.fetched", Key: func(f Face) []byte { return []byte(versionName(f.Template)) }}

func versionName(t *Template) string { return handle.Fold(t.ID) + "/" + strconv.Itoa(t.Version) }

// New opens the templates of the node's own prefix; those of hosted prefixes are opened when they are first asked for.
func New(ctx context.Context, cfg Config) (*Templates, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	t := &Templates{cfg: cfg, places: map[string]*document.Shelf[Sheet]{}, world: map[string]seen{}}
	if cfg.Dir != "" {
		t.Rechecks = &Rechecker{Templates: t, Dir: cfg.Dir}
	}
	_, err := t.place(ctx, cfg.Prefix)
	return t, err
}

// place is the shelf of a prefix that is kept here; problem.NotHere for another.
func (t *Templates) place(ctx context.Context, prefix string) (*document.Shelf[Sheet], error) {
	key := handle.Fold(prefix)
	t.mu.Lock()
	s := t.places[key]
	t.mu.Unlock()
	if s != nil {
		return s, nil
	}
	if !t.here(prefix) {
		return nil, problem.New(problem.NotHere, "templates of %s are not kept here: ask its own node", "%s 的模板不在本节点：请访问其自己的节点", prefix)
	}
	s = &document.Shelf[Sheet]{Registry: t.cfg.Registry, Prefix: prefix, Name: suffix, Type: TypePaper, Index: indexPaper, Also: public}
	if err := s.Open(ctx); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if was := t.places[key]; was != nil {
		return was, nil
	}
	t.places[key] = s
	return s, nil
}

func (t *Templates) here(prefix string) bool {
	if handle.Equal(prefix, t.cfg.Prefix) {
		return true
	}
	if t.cfg.Hosted != nil {
		for _, p := range t.cfg.Hosted() {
			if handle.Equal(p, prefix) {
				return true
			}
		}
	}
	return false
}

// public is the face of a paper.
func public(v id.ID, s Sheet) []record.Value {
	f := Face{State: s.State, Version: s.Version, Template: s.Of}
	if s.Of == nil && (s.State != Published || s.Version == 0) {
		return nil
	}
	b, err := json.Marshal(f)
	if err != nil {
		return nil
	}
	return []record.Value{{Index: indexPublic, Type: TypePublic, Data: b, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 300}}}
}

// Heard tells that a record changed, as another site or a mirror's copy may have done it.
func (t *Templates) Heard(ctx context.Context, v id.ID) error {
	if !strings.HasPrefix(handle.Fold(v.Suffix()), suffix) {
		return nil
	}
	t.mu.Lock()
	s := t.places[handle.Fold(v.Prefix())]
	t.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Reload(ctx, v)
}

// split takes P/META_X or P/META_X/2 apart; version is 0 when none is named.
func split(name string) (v id.ID, version int, err error) {
	if v, err = id.ParseHandle(name); err != nil {
		return v, 0, err
	}
	x := v.Suffix()
	if v.IsPrefix() || !strings.HasPrefix(handle.Fold(x), suffix) {
		return v, 0, problem.New(problem.BadValue, "%.80q is no template: its name is a prefix, a slash and META_…", "%.80q 不是模板：其名称为前缀、斜线和 META_…", name)
	}
	at := strings.LastIndexByte(x, '/')
	if at < 0 {
		return v, 0, nil
	}
	if version, err = strconv.Atoi(x[at+1:]); err != nil || version < 1 || strconv.Itoa(version) != x[at+1:] {
		return v, 0, problem.New(problem.BadValue, "%.80q names no version of a template: it ends in /1, /2, …", "%.80q 没有给出模板版本：以 /1、/2 等结尾", name)
	}
	v, err = id.ParseHandle(v.Prefix() + "/" + x[:at])
	return v, version, err
}

// Get is the sheet of a template kept here.
func (t *Templates) Get(ctx context.Context, v id.ID) (Sheet, error) {
	s, err := t.place(ctx, v.Prefix())
	if err != nil {
		return Sheet{}, err
	}
	sheet, err := s.Get(v)
	if err == nil && sheet.Of != nil {
		err = problem.New(problem.NotFound, "%s is one version: ask for the template", "%s 是某一版本：请查询模板本身", v)
	}
	return sheet, err
}

// List is a page of the templates of a prefix kept here.
func (t *Templates) List(ctx context.Context, prefix, after string, limit int, keep func(Sheet) bool) ([]document.Paper[Sheet], string, error) {
	s, err := t.place(ctx, prefix)
	if err != nil {
		return nil, "", err
	}
	page, next := s.Page(after, limit, func(_ id.ID, x Sheet) bool { return x.Of == nil && keep(x) })
	return page, next, nil
}

// Create keeps a new draft under its ID. Errors: problem.Exists, Violations.
func (t *Templates) Create(ctx context.Context, who record.Identity, draft Template) (id.ID, error) {
	v, version, err := split(draft.ID)
	if err == nil && (version != 0 || strings.Contains(v.Suffix(), "/") || len(v.Suffix()) == len(suffix) || len(v.Suffix()) > 100) {
		err = problem.New(problem.BadValue, "%.80q is no name for a template: META_ and up to 95 characters without a slash", "%.80q 不能作为模板名：META_ 后接至多 95 个不含斜线的字符", draft.ID)
	}
	if err != nil {
		return v, err
	}
	s, err := t.place(ctx, v.Prefix())
	if err != nil {
		return v, err
	}
	draft.Version = 0
	draft.Fill()
	if err := draft.Check(); err != nil {
		return v, err
	}
	now := t.cfg.Now()
	return v, s.Create(ctx, who, v, Sheet{State: Draft, Draft: &draft, Names: draft.Names, Made: now, Changed: now, By: who.Ref.Name})
}

// Revise puts a draft in the place of the one there is, or beside the published version. An item of the published version
// that the draft leaves out is kept, disabled or not as it was. match is asked about the sheet first (nil: nothing).
func (t *Templates) Revise(ctx context.Context, who record.Identity, v id.ID, draft Template, match func(Sheet) error) (Sheet, error) {
	return t.change(ctx, who, v, func(x *Sheet) error {
		if match != nil {
			if err := match(*x); err != nil {
				return err
			}
		}
		draft.ID, draft.Version = v.String(), 0
		if x.Version > 0 {
			old, err := t.Version(ctx, v, x.Version)
			if err != nil {
				return err
			}
			for i := range old.Items {
				if draft.item(old.Items[i].Index) == nil && draft.Item(old.Items[i].Name) == nil {
					draft.Items = append(draft.Items, old.Items[i])
				} else if it := draft.Item(old.Items[i].Name); it != nil && it.Index == 0 {
					it.Index = old.Items[i].Index
				}
			}
			draft.Fill()
			if err := draft.Follows(old); err != nil {
				return err
			}
		}
		draft.Fill()
		if err := draft.Check(); err != nil {
			return err
		}
		x.Draft = &draft
		return nil
	})
}

func (t *Templates) change(ctx context.Context, who record.Identity, v id.ID, do func(*Sheet) error) (Sheet, error) {
	s, err := t.place(ctx, v.Prefix())
	if err != nil {
		return Sheet{}, err
	}
	return s.Change(ctx, who, v, func(x *Sheet) error {
		if x.Of != nil {
			return problem.New(problem.Forbidden, "%s is published and never changes: revise the template", "%s 已发布，不可更改：请修订模板", v)
		}
		if err := do(x); err != nil {
			return err
		}
		x.Changed, x.By = t.cfg.Now(), who.Ref.Name
		return nil
	})
}

// Publish makes the draft the next version; without a draft it publishes a withdrawn template again. The version is
// written before the template names it: a crash between leaves a version that nobody names, and publishing again takes it
// over when it is the same and replaces it when not.
func (t *Templates) Publish(ctx context.Context, who record.Identity, v id.ID) (Sheet, error) {
	return t.change(ctx, who, v, func(x *Sheet) error {
		if x.Draft == nil {
			if x.Version == 0 || x.State == Published {
				return problem.New(problem.Conflict, "%s has nothing to publish: revise it first", "%s 没有可发布的草稿：请先修订", v)
			}
			x.State = Published
			return nil
		}
		next := *x.Draft
		next.ID, next.Version = v.String(), x.Version+1
		if err := next.Check(); err != nil {
			return err
		}
		if x.Version > 0 {
			old, err := t.Version(ctx, v, x.Version)
			if err != nil {
				return err
			}
			if err := next.Follows(old); err != nil {
				return err
			}
		}
		now := t.cfg.Now()
		paper := Sheet{State: Published, Version: next.Version, Made: now, Changed: now, By: who.Ref.Name, Of: &next}
		if err := t.putVersion(ctx, who, v, paper); err != nil {
			return err
		}
		x.State, x.Version, x.Draft, x.Names = Published, next.Version, nil, next.Names
		return nil
	})
}

// putVersion writes the record of one version. The shelf is being changed by the caller, who alone may do so now.
func (t *Templates) putVersion(ctx context.Context, who record.Identity, v id.ID, paper Sheet) error {
	vv, err := id.ParseHandle(v.String() + "/" + strconv.Itoa(paper.Version))
	if err != nil {
		return err
	}
	data, err := json.Marshal(paper)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "%s cannot be written as JSON", "%s 无法写成 JSON", vv)
	}
	values := append([]record.Value{{Index: indexPaper, Type: TypePaper, Data: data, Perm: record.AdminRead | record.AdminWrite, TTL: record.TTL{Seconds: 300}}}, public(vv, paper)...)
	res, err := t.cfg.Registry.Write(ctx, record.Identity{Ref: who.Ref, Operator: true}, []record.Write{{Op: record.Create, ID: vv, Values: values, Overwrite: true}})
	if err == nil {
		err = res[0].Err
	}
	t.mu.Lock()
	delete(t.world, vv.String())
	t.mu.Unlock()
	return err
}

// Withdraw takes a template out of use: it no longer resolves and takes no new records.
func (t *Templates) Withdraw(ctx context.Context, who record.Identity, v id.ID) (Sheet, error) {
	return t.change(ctx, who, v, func(x *Sheet) error {
		if x.State != Published {
			return problem.New(problem.Conflict, "%s is not published, so there is nothing to withdraw", "%s 未发布，无可撤回", v)
		}
		x.State = Withdrawn
		return nil
	})
}

// Derive makes a draft under name of a published template, this node's or another's (88.118/META_PUMP or
// 88.118/META_PUMP/2), with all its items; add extends it.
func (t *Templates) Derive(ctx context.Context, who record.Identity, base, name string, add []Item) (id.ID, error) {
	from, err := t.Find(ctx, base)
	if err != nil {
		return id.ID{}, err
	}
	draft := *from
	draft.ID, draft.Version, draft.Base = name, 0, versionName(from)
	draft.Items = append(append([]Item(nil), from.Items...), add...)
	return t.Create(ctx, who, draft)
}

// Disable makes the draft of a version in which a property takes no new values, or takes them again.
func (t *Templates) Disable(ctx context.Context, who record.Identity, v id.ID, item string, disabled bool) (Sheet, error) {
	return t.change(ctx, who, v, func(x *Sheet) error {
		if x.Draft == nil {
			old, err := t.Version(ctx, v, x.Version)
			if err != nil {
				return err
			}
			draft := *old
			draft.Version, draft.Items = 0, append([]Item(nil), old.Items...)
			x.Draft = &draft
		}
		it := x.Draft.Item(item)
		if it == nil {
			return problem.New(problem.NotFound, "%s has no property %.60q", "%s 没有属性 %.60q", v, item)
		}
		it.Disabled = disabled
		return nil
	})
}

// Version is one published version, of a template of whomever. It never changes, and is shared: do not change it.
func (t *Templates) Version(ctx context.Context, v id.ID, version int) (*Template, error) {
	if version < 1 {
		return nil, problem.New(problem.NotFound, "%s has no published version yet", "%s 尚无已发布的版本", v)
	}
	vv, err := id.ParseHandle(v.String() + "/" + strconv.Itoa(version))
	if err != nil {
		return nil, err
	}
	if t.here(v.Prefix()) {
		f, err := t.face(ctx, t.cfg.Registry, true, vv)
		return f.Template, err
	}
	name := vv.String()
	t.mu.Lock()
	f, ok := t.world[name]
	t.mu.Unlock()
	if ok {
		return f.face.Template, nil
	}
	if row, err := fetched.Load(ctx, t.cfg.Store, []byte(name)); err != nil {
		return nil, err
	} else if row.Found() {
		t.keep(name, row.Value)
		return row.Value.Template, nil
	}
	face, err := t.face(ctx, t.cfg.World, false, vv)
	if err != nil {
		return nil, err
	}
	if err := fetched.Put(ctx, t.cfg.Store, face); err != nil {
		return nil, err
	}
	t.keep(name, face)
	return face.Template, nil
}

func (t *Templates) keep(name string, f Face) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.world) >= worldKept {
		clear(t.world)
	}
	t.world[name] = seen{f, t.cfg.Now().Add(worldFor)}
}

// face reads what everybody may of a template's record, from the registry or, signed, from the world.
func (t *Templates) face(ctx context.Context, from record.Resolver, local bool, v id.ID) (f Face, err error) {
	absent := func() error {
		return problem.New(problem.NotFound, "there is no published template %s: check its name, or ask its owner to publish it", "没有已发布的模板 %s：请检查名称，或请其所有者发布", v)
	}
	if from == nil {
		return f, absent()
	}
	name := v.String()
	if local {
		t.mu.Lock()
		k, ok := t.world[name]
		t.mu.Unlock()
		if ok && k.face.Template != nil {
			return k.face, nil
		}
	}
	q := record.Query{ID: v, Indexes: []uint32{indexPublic}}
	if local {
		q.By, q.NoReferral = operator, true
	} else {
		q.PublicOnly, q.Certify = true, true
	}
	a, err := from.Resolve(ctx, q)
	switch {
	case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues):
		return f, absent()
	case err != nil:
		return f, err
	case !local && a.Trust != record.Secure:
		return f, problem.New(problem.Bogus, "the template %s came, but its chain of signatures is %s: it is not believed", "模板 %s 的签名链为 %s，不予采信", v, a.Trust)
	}
	for i := range a.Values {
		if a.Values[i].Index != indexPublic || a.Values[i].Type != TypePublic {
			continue
		}
		if err := json.Unmarshal(a.Values[i].Data, &f); err != nil {
			return f, problem.Wrap(err, problem.BadValue, "the template %s cannot be read", "模板 %s 无法读取", v)
		}
		if f.Template == nil {
			return f, nil
		}
		// What others publish is not believed to be well made, nor to be what it was asked for.
		if handle.Fold(f.Template.ID)+"/"+strconv.Itoa(f.Template.Version) != name {
			return f, problem.New(problem.BadValue, "the record %s holds another template, %.80s", "记录 %s 中是另一模板 %.80s", v, f.Template.ID)
		}
		if !local {
			if err := f.Template.Check(); err != nil {
				return f, err
			}
		} else {
			t.keep(name, f)
		}
		return f, nil
	}
	return f, absent()
}

// Newest is the number of the newest published version; problem.NotFound when the template is none or withdrawn.
func (t *Templates) Newest(ctx context.Context, v id.ID) (int, error) {
	if t.here(v.Prefix()) {
		s, err := t.Get(ctx, v)
		if err != nil {
			return 0, err
		}
		if s.State != Published {
			return 0, problem.New(problem.NotFound, "%s is not published: publish it first", "%s 未发布：请先发布", v)
		}
		return s.Version, nil
	}
	name := v.String()
	t.mu.Lock()
	k, ok := t.world[name]
	t.mu.Unlock()
	if ok && t.cfg.Now().Before(k.until) {
		return k.face.Version, nil
	}
	f, err := t.face(ctx, t.cfg.World, false, v)
	if err != nil {
		return 0, err
	}
	if f.State != Published || f.Version < 1 {
		return 0, problem.New(problem.NotFound, "%s is not published", "%s 未发布", v)
	}
	t.keep(name, f)
	return f.Version, nil
}

// Find is the template that a text names: the newest published version of P/META_X, or P/META_X/2.
func (t *Templates) Find(ctx context.Context, name string) (*Template, error) {
	v, version, err := split(name)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		if version, err = t.Newest(ctx, v); err != nil {
			return nil, err
		}
	}
	return t.Version(ctx, v, version)
}

// Class is what the newest version kept here says of who sees what: of every property, and of single ones by folded name.
// It asks nobody else; known is false for a template that is not here.
func (t *Templates) Class(ctx context.Context, name string) (all Visibility, items map[string]Visibility, known bool) {
	v, version, err := split(name)
	if err != nil {
		return "", nil, false
	}
	var tpl *Template
	if t.here(v.Prefix()) {
		if version == 0 {
			s, err := t.Get(ctx, v)
			if err != nil || s.Version == 0 {
				return "", nil, false
			}
			version = s.Version // withdrawn or not: its records stay what they are
		}
		if tpl, err = t.Version(ctx, v, version); err != nil {
			return "", nil, false
		}
	} else {
		t.mu.Lock()
		k, ok := t.world[v.String()]
		if version == 0 && ok {
			version = k.face.Version
		}
		k, ok = t.world[v.String()+"/"+strconv.Itoa(version)]
		t.mu.Unlock()
		if ok {
			tpl = k.face.Template
		} else if row, err := fetched.Load(ctx, t.cfg.Store, []byte(v.String()+"/"+strconv.Itoa(version))); err == nil && row.Found() {
			tpl = row.Value.Template
		}
		if tpl == nil {
			return "", nil, false
		}
	}
	items = map[string]Visibility{}
	for i := range tpl.Items {
		if x := tpl.Items[i].Visibility; x != "" {
			items[handle.Fold(tpl.Items[i].Name)] = x
		}
	}
	return tpl.Visibility, items, true
}

// Fetch reads a published template, the newest version of P/META_X or P/META_X/2, from whoever keeps it and is believed:
// the folder of a node, say.
func Fetch(ctx context.Context, from record.Resolver, name string) (*Template, error) {
	v, version, err := split(name)
	if err != nil {
		return nil, err
	}
	t := &Templates{cfg: Config{Now: time.Now}, world: map[string]seen{}}
	if version == 0 {
		f, err := t.face(ctx, from, true, v)
		if err != nil {
			return nil, err
		}
		version = f.Version
	}
	vv, err := id.ParseHandle(v.String() + "/" + strconv.Itoa(version))
	if err != nil {
		return nil, err
	}
	f, err := t.face(ctx, from, true, vv)
	return f.Template, err
}
