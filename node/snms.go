package node

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/account"
	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/template"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web/snms"
)

// desk is the node's rooms as programs of the drop-in interfaces come to them: with a role, which these interfaces know,
// in the place of the key, which the registry knows. Who has a role at a prefix registers and edits under it; its
// administrator also reads what is not public, which the audit trail shows. The papers of the rooms are never written
// this way, nor values that give rights.
type desk struct {
	n         *Node
	templates *template.Templates
	doors     doors

	mu      sync.Mutex
	kept    map[string]int64 // bytes of files that callers without a role left, by who, since the node was started
	minute  time.Time        // in which applications are counted
	applied int
}

// maxApplied is how many applications of nobody known are looked at in a minute: each makes a key and an account.
const maxApplied = 60

// crowded counts one application more, and says when there are too many.
func (d *desk) crowded() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.n.now(); now.Sub(d.minute).Abs() >= time.Minute {
		d.minute, d.applied = now, 0
	}
	if d.applied++; d.applied > maxApplied {
		return problem.New(problem.Busy, "too many apply at once: try again in a minute", "同时申请的人过多：请一分钟后再试")
	}
	return nil
}

// mayWrite are the roles that register and edit.
var mayWrite = []api.RoleName{api.EnterpriseAdmin, api.EnterpriseUser, api.Application}

// caller is who by came, with roles.
func (d *desk) caller(ctx context.Context, by record.Identity) (api.Caller, error) {
	c, err := d.n.in.accounts.Caller(ctx, by)
	c.Lang = problem.Chinese
	return c, err
}

// at is the caller with what holds at prefix: who applied for it with an account of this node manages it, as long as it is
// theirs.
func (d *desk) at(ctx context.Context, by record.Identity, prefix string) (api.Caller, error) {
	c, err := d.caller(ctx, by)
	if err != nil || by.IsAnonymous() || d.n.in.office == nil || c.Has(prefix, api.EnterpriseAdmin) {
		return c, err
	}
	if p, err := d.n.in.office.Prefix(c, prefix); err == nil && p.Paper.State == office.Active && applied(&p, by) {
		c.Roles = append(slices.Clone(c.Roles), api.Role{Name: api.EnterpriseAdmin, Prefix: p.Paper.Prefix})
	}
	return c, nil
}

// applied reports whether an application is that of by's account.
func applied(p *office.Paper, by record.Identity) bool {
	ref, err := record.ParseRef(p.Paper.Applicant)
	return err == nil && ref.Same(by.Ref) && !handle.Equal(ref.Name, p.ID.String())
}

// need is nil when by has one of the roles at prefix, which must be kept here.
func (d *desk) need(ctx context.Context, by record.Identity, prefix string, names ...api.RoleName) (api.Caller, error) {
	c, err := d.at(ctx, by, prefix)
	if err != nil {
		return c, err
	}
	if !d.here(prefix) {
		return c, problem.New(problem.NotHere, "%.80s is not kept here: ask its own node", "%.80s 不在本节点：请访问其自己的节点", prefix)
	}
	return c, c.Need(prefix, names...)
}

func (d *desk) here(prefix string) bool {
	return handle.Equal(prefix, d.n.cfg.Prefix) || slices.ContainsFunc(d.n.hosted(), func(p string) bool { return handle.Equal(p, prefix) })
}

// own is the prefix whose business the caller does: that of the account when it is kept here, else that which it was given
// by the office, else the node's.
func (d *desk) own(ctx context.Context, by record.Identity) string {
	v, err := id.ParseHandle(by.Name)
	if err != nil || !d.here(v.Prefix()) {
		return d.n.cfg.Prefix
	}
	if c, err := d.caller(ctx, by); err == nil && !c.Has(v.Prefix(), mayWrite...) {
		for _, r := range c.Roles {
			if slices.Contains(mayWrite, r.Name) && d.here(r.Prefix) {
				return r.Prefix
			}
		}
		if d.n.in.office != nil {
			for after := ""; ; {
				list, next := d.n.in.office.List(c, after, 1000, []office.State{office.Active}, "")
				for _, p := range list {
					if applied(&p, by) && d.here(p.Paper.Prefix) {
						return p.Paper.Prefix
					}
				}
				if after = next; next == "" || len(list) == 0 {
					break
				}
			}
		}
	}
	return v.Prefix()
}

// ofRooms reports whether a record is a paper of one of the node's rooms.
func ofRooms(v id.ID) bool {
	if v.IsPrefix() || handle.Equal(v.Prefix(), id.Root.Prefix()) {
		return true
	}
	s := handle.Fold(v.Suffix())
	for _, p := range []string{"USER_", "APP_", "GROUP_", "META_", "POLICY_", "REQUEST_", "JOB_", "ORG_", "APPLY_", "FILE_"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// property reports whether a value at index is data and nothing else.
func property(index uint32) bool {
	return index >= record.IndexProperty || index == record.IndexTemplateID || index == record.IndexTemplate
}

// Resolve implements record.Resolver.
func (d *desk) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	q.NoReferral = true
	if q.By.IsAnonymous() || q.By.Operator || q.PublicOnly || ofRooms(q.ID) {
		return d.doors.resolver.Resolve(ctx, q)
	}
	c, err := d.at(ctx, q.By, q.ID.Prefix())
	if err != nil {
		return record.Answer{}, err
	}
	if !c.Has(q.ID.Prefix(), api.EnterpriseAdmin) {
		return d.doors.resolver.Resolve(ctx, q)
	}
	all := q
	all.By = operator
	a, err := d.doors.resolver.Resolve(ctx, all)
	if err != nil {
		return a, err
	}
	shown, _, err := d.n.policy.Govern(ctx, q.ID, a.Values)
	if err != nil || len(shown) != len(a.Values) {
		return d.doors.resolver.Resolve(ctx, q)
	}
	var out []record.Value
	var places []int
	for i := range a.Values {
		switch v := &a.Values[i]; {
		case shown[i].Perm&record.PublicRead != 0:
		case v.Perm&record.AdminRead == 0:
			continue
		default:
			places = append(places, i)
		}
		out = append(out, a.Values[i])
	}
	if len(places) > 0 {
		if err := d.n.policy.Note(ctx, &q, q.ID, a.Values, places); err != nil {
			return record.Answer{}, problem.Wrap(err, problem.Busy, "the audit trail cannot be written, so nothing that is not public is shown: try again",
				"无法写入审计记录，因此不显示非公开内容：请稍后再试")
		}
	}
	a.Values = out
	return a, nil
}

// Write implements record.Registrar: what the caller's role covers is done in their name, the rest as the registry thinks right.
func (d *desk) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	began := d.n.now()
	roles := map[string]bool{}
	var groups [2][]record.Write
	var places [2][]int
	for i := range writes {
		w := &writes[i]
		as := 0
		if d.plain(w) {
			p := w.ID.Prefix()
			has, known := roles[p]
			if !known {
				c, err := d.at(ctx, by, p)
				if err != nil {
					return nil, err
				}
				has = c.Has(p, mayWrite...)
				roles[p] = has
			}
			if has {
				kept, ok, err := d.keep(ctx, *w)
				if err != nil {
					return nil, err
				}
				if ok {
					w, as = &kept, 1
				}
			}
		}
		groups[as], places[as] = append(groups[as], *w), append(places[as], i)
	}
	out := make([]record.Result, len(writes))
	for as, list := range groups {
		if len(list) == 0 {
			continue
		}
		who := record.Identity{Ref: by.Ref, Operator: as == 1}
		res, err := d.doors.registrar.Write(ctx, who, list)
		if who.Operator && d.n.in.meter != nil {
			d.n.in.meter.Recorder().Registered(len(list), d.n.now().Sub(began), err == nil)
		}
		if err != nil {
			return nil, err
		}
		for i := range res {
			out[places[as][i]] = res[i]
		}
	}
	return out, nil
}

// keep is w with the permissions and times to live of the values that it replaces, since these interfaces have no word for them:
// what is closed stays closed. ok is false when a value is not to be changed.
func (d *desk) keep(ctx context.Context, w record.Write) (out record.Write, ok bool, err error) {
	if w.Op == record.Create {
		return w, true, nil
	}
	a, err := d.n.registry.Resolve(ctx, record.Query{ID: w.ID, By: operator, NoReferral: true})
	switch problem.KindOf(err) {
	case problem.Internal, problem.Canceled, problem.Busy:
		if err != nil {
			return w, false, err
		}
	}
	w.Values = slices.Clone(w.Values)
	for i := range a.Values {
		old := &a.Values[i]
		at := slices.IndexFunc(w.Values, func(v record.Value) bool { return v.Index == old.Index })
		touched := at >= 0 || slices.Contains(w.Indexes, old.Index) || w.Op == record.Delete && property(old.Index)
		if touched && old.Perm&record.AdminWrite == 0 {
			return w, false, nil
		}
		if at >= 0 {
			w.Values[at].Perm, w.Values[at].TTL = old.Perm, old.TTL
		}
	}
	return w, true, nil
}

// plain reports whether w writes data and nothing else.
func (d *desk) plain(w *record.Write) bool {
	switch w.Op {
	case record.Create, record.Delete, record.Add, record.Modify, record.Remove:
	default:
		return false
	}
	return w.ID.IsValid() && !ofRooms(w.ID) && !(w.Op == record.Create && w.Overwrite) &&
		!slices.ContainsFunc(w.Values, func(v record.Value) bool { return !property(v.Index) }) &&
		!slices.ContainsFunc(w.Indexes, func(i uint32) bool { return !property(i) })
}

// List and Count implement record.Lister.
func (d *desk) List(ctx context.Context, by record.Identity, prefix, after string, limit int) ([]string, error) {
	who, err := d.lists(ctx, by, prefix)
	if err != nil {
		return nil, err
	}
	return d.doors.lister.List(ctx, who, prefix, after, limit)
}

func (d *desk) Count(ctx context.Context, by record.Identity, prefix string) (int64, error) {
	who, err := d.lists(ctx, by, prefix)
	if err != nil {
		return 0, err
	}
	return d.doors.lister.Count(ctx, who, prefix)
}

func (d *desk) Prefixes(ctx context.Context, by record.Identity, after string, limit int) ([]string, error) {
	return d.doors.lister.Prefixes(ctx, by, after, limit)
}

func (d *desk) lists(ctx context.Context, by record.Identity, prefix string) (record.Identity, error) {
	c, err := d.at(ctx, by, prefix)
	if err == nil && c.Has(prefix, mayWrite...) {
		by.Operator = true
	}
	return by, err
}

// dropIns is the routes of the interfaces of deployed nodes, which are put together when one is first asked for.
func (n *Node) dropIns() func(path string) http.Handler {
	both := sync.OnceValues(n.dropIn)
	return func(path string) http.Handler {
		for _, p := range []string{"/identity/", "/identityv2/", "/snms/"} {
			if strings.HasPrefix(path, p) {
				old, _ := both()
				return old
			}
		}
		if strings.HasPrefix(path, "/api/v1/") {
			_, hub := both()
			return hub
		}
		return nil
	}
}

// dropIn puts the interfaces of deployed nodes on this node's rooms.
func (n *Node) dropIn() (old, hub http.Handler) {
	d := &desk{n: n, templates: n.templates.Load(), doors: n.authority(), kept: map[string]int64{}}
	weak := SNMS{}
	if n.cfg.SNMS != nil {
		weak = *n.cfg.SNMS
	}
	s := &snms.Server{Resolver: d, Registrar: tagged{d}, Accounts: doorman{n.in.accounts}, Templates: forms{d}, Plain: weak.Plain, Log: n.log, Now: n.now}
	if n.in.office != nil {
		s.Enterprises = counter{d}
	}
	return s.Handler(), d.hub(weak.Plain)
}

// doorman is the accounts behind snms.Accounts.
type doorman struct{ *account.Accounts }

// Login implements snms.Accounts. This way in has no place for a second factor, so an account that has one does not get in.
func (x doorman) Login(ctx context.Context, username, password string) (string, error) {
	step, err := x.Accounts.Login(ctx, username, password, "")
	if err != nil {
		return "", err
	}
	if step.Session == nil {
		return "", problem.New(problem.AuthFailed, "the account has a second factor, which this way in cannot ask for: use POST /api/login", "该账户启用了第二因素，此接口无法验证：请使用 POST /api/login")
	}
	return step.Token, nil
}

// LoginDigest implements snms.Accounts.
func (x doorman) LoginDigest(ctx context.Context, username, digest string, days []string) (string, error) {
	s, err := x.Accounts.LoginDigest(ctx, username, digest, days)
	if err != nil {
		return "", err
	}
	return s.Token, nil
}

// tagged writes records of SNMS templates: programs say a template's version at 1001, which is part of the template's
// identifier here; at 1001 stands the number of the version of that.
type tagged struct{ *desk }

func (x tagged) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	numbers := map[string]string{}
	writes = slices.Clone(writes)
	for i := range writes {
		w := &writes[i]
		at := slices.IndexFunc(w.Values, func(v record.Value) bool { return v.Index == record.IndexTemplateID })
		to := slices.IndexFunc(w.Values, func(v record.Value) bool { return v.Index == record.IndexTemplate })
		if at < 0 || to < 0 {
			continue
		}
		name := string(w.Values[at].Data)
		number, known := numbers[name]
		if !known {
			v, err := id.ParseHandle(name)
			if err != nil {
				return nil, err
			}
			newest, err := x.templates.Newest(ctx, v)
			if err != nil {
				return nil, err
			}
			number = strconv.Itoa(newest)
			numbers[name] = number
		}
		w.Values = slices.Clone(w.Values)
		w.Values[to].Data = []byte(number)
	}
	return x.desk.Write(ctx, by, writes)
}

// forms is the shelf of templates behind snms.Templates. The version V1.0 of a prefix's template is the template
// META_SNMS_V1.0 here, and each extension of it the next version of that. What the interface knows of a template and ours
// does not stands among its names, in languages that ISO 639-2 leaves for private use.
type forms struct{ d *desk }

const (
	snmsName = "META_SNMS_"

	tongueCode     = "qaa" // the code that an IDHub gives a template or property
	tongueClassify = "qab" // the code of its classification
	tongueUse      = "qac" // SNMS: 1 active carrier, 2 other; IDHub: which lists a property is in
	tongueKind     = "qad" // IDHub: the kind of data as it was said, where ours has no such difference
)

// Identifier implements snms.Templates. Letters, digits, . _ and - of a version stand for themselves, other bytes as ~ and
// two hexadecimal digits.
func (f forms) Identifier(prefix, version string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString(prefix + "/" + snmsName)
	for i := 0; i < len(version); i++ {
		switch c := version[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			b.WriteByte(c)
		default:
			b.Write([]byte{'~', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// Version implements snms.Templates.
func (f forms) Version(identifier string) (prefix, version string, ok bool) {
	prefix, rest, ok := strings.Cut(identifier, "/")
	if !ok || len(rest) < len(snmsName) || !handle.Equal(rest[:len(snmsName)], snmsName) {
		return "", "", false
	}
	rest = rest[len(snmsName):]
	rest, _, _ = strings.Cut(rest, "/")
	var b []byte
	for i := 0; i < len(rest); i++ {
		if rest[i] != '~' {
			b = append(b, rest[i])
			continue
		}
		if i+2 >= len(rest) {
			return "", "", false
		}
		c, err := strconv.ParseUint(rest[i+1:i+3], 16, 8)
		if err != nil {
			return "", "", false
		}
		b = append(b, byte(c))
		i += 2
	}
	return prefix, string(b), len(b) > 0
}

func (f forms) id(prefix, version string) (id.ID, error) {
	name := f.Identifier(prefix, version)
	if len(name)-len(prefix) > 100 {
		return id.ID{}, problem.New(problem.BadValue, "the version %.80q is too long for a template's identifier: take up to 80 letters and digits", "模板版本 %.80q 过长，无法作为模板标识：请使用至多 80 个字母和数字", version)
	}
	return id.ParseHandle(name)
}

// Find implements snms.Templates.
func (f forms) Find(ctx context.Context, by record.Identity, prefix, version string) (*snms.Template, error) {
	v, err := f.id(prefix, version)
	if err != nil {
		return nil, err
	}
	t, err := f.d.templates.Find(ctx, v.String())
	if problem.Is(err, problem.NotHere) {
		return nil, problem.New(problem.NotFound, "there is no template %s", "没有模板 %s", v)
	}
	if err != nil {
		return nil, err
	}
	return f.form(t)
}

func (f forms) form(t *template.Template) (*snms.Template, error) {
	prefix, version, ok := f.Version(t.ID)
	if !ok {
		return nil, problem.New(problem.NotFound, "%s is no template of this interface", "%s 不是此接口的模板", t.ID)
	}
	out := &snms.Template{Prefix: prefix, Version: version, Description: t.Description, Type: 2}
	if t.Names[tongueUse] == "1" {
		out.Type = 1
	}
	out.IndustryCategory, out.IndustrySpecific, out.IndustryTrade, out.IndustrySubclass = industryParts(t.Industry)
	for i := range t.Items {
		x := &t.Items[i]
		if x.Type != template.String || x.Pattern != "" {
			return nil, problem.New(problem.BadValue, "the template %s has properties that are no text, which this interface cannot show", "模板 %s 含有非字符串属性，此接口无法查询", t.ID)
		}
		item := snms.Item{Name: x.Names["zh"], IDType: x.Name, IDIndex: snms.Number(x.Index), Required: snms.Flag(x.Required), State: 1,
			Metadata: snms.Metadata{Type: "string", MinLength: snms.Number(x.MinLength), MaxLength: snms.Number(x.MaxLength)}}
		if x.Disabled {
			item.State = 0
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}

// industryParts is a class of GB/T 4754 as the interfaces write it: M7517 is M, 75, 751 and 7517.
func industryParts(s string) (category, specific, trade, subclass string) {
	if s != "" && s[0] >= 'A' {
		category, s = s[:1], s[1:]
	}
	for i, to := range []*string{&specific, &trade, &subclass} {
		if len(s) >= i+2 {
			*to = s[:i+2]
		}
	}
	return category, specific, trade, subclass
}

func industryClass(category, specific, trade, subclass string) string {
	narrow := cmp.Or(subclass, trade, specific)
	if narrow != "" && narrow[0] >= 'A' {
		return narrow
	}
	return strings.ToUpper(category) + narrow
}

// draft is a template of the interface in our words.
func (f forms) draft(v id.ID, t *snms.Template) template.Template {
	out := template.Template{ID: f.Identifier(t.Prefix, t.Version), Description: t.Description, Names: map[string]string{"zh": t.Version},
		Industry: industryClass(t.IndustryCategory, t.IndustrySpecific, t.IndustryTrade, t.IndustrySubclass)}
	if t.Type == 1 {
		out.Names[tongueUse] = "1"
	}
	for i := range t.Items {
		x := &t.Items[i]
		most := int(x.Metadata.MaxLength)
		if most == 0 {
			most = 255 // of a value in this interface
		}
		item := template.Item{Index: uint32(x.IDIndex), Name: x.IDType, Type: template.String, Required: bool(x.Required), Disabled: x.State == 0,
			MinLength: int(x.Metadata.MinLength), MaxLength: most}
		if x.Name != "" {
			item.Names = map[string]string{"zh": x.Name}
		}
		out.Items = append(out.Items, item)
	}
	return out
}

// Create implements snms.Templates: a template of this interface is published at once.
func (f forms) Create(ctx context.Context, by record.Identity, t *snms.Template) error {
	if _, err := f.d.need(ctx, by, t.Prefix, api.EnterpriseAdmin); err != nil {
		return err
	}
	v, err := f.id(t.Prefix, t.Version)
	if err != nil {
		return err
	}
	draft := f.draft(v, t)
	if _, err := f.d.templates.Create(ctx, by, draft); err != nil {
		if !problem.Is(err, problem.Exists) {
			return err
		}
		// What was stopped between these two steps goes on.
		s, got := f.d.templates.Get(ctx, v)
		if got != nil || s.Version > 0 {
			return err
		}
		if _, err := f.d.templates.Revise(ctx, by, v, draft, nil); err != nil {
			return err
		}
	}
	_, err = f.d.templates.Publish(ctx, by, v)
	return err
}

// Extend implements snms.Templates.
func (f forms) Extend(ctx context.Context, by record.Identity, t *snms.Template) error {
	if _, err := f.d.need(ctx, by, t.Prefix, api.EnterpriseAdmin); err != nil {
		return err
	}
	v, err := f.id(t.Prefix, t.Version)
	if err != nil {
		return err
	}
	old, err := f.d.templates.Find(ctx, v.String())
	if err != nil {
		return err
	}
	next := f.draft(v, t)
	next.ID, next.Names, next.Visibility, next.Standard, next.Base = old.ID, old.Names, old.Visibility, old.Standard, old.Base
	next.Description, next.Industry = cmp.Or(next.Description, old.Description), cmp.Or(next.Industry, old.Industry)
	items := slices.Clone(old.Items)
	for _, x := range next.Items {
		at := slices.IndexFunc(items, func(o template.Item) bool { return o.Index == x.Index || handle.Equal(o.Name, x.Name) })
		switch {
		case at < 0:
			items = append(items, x)
		case items[at].Index != x.Index || !handle.Equal(items[at].Name, x.Name):
			return problem.New(problem.BadValue, "the property %s has the index %d in the template: index and type of a property never change", "模板中 %s 的索引为 %d：属性的索引和类型不可更改", items[at].Name, items[at].Index)
		default:
			was := &items[at]
			if x.Names["zh"] != "" {
				was.Names = x.Names
			}
			was.Required, was.Disabled, was.MinLength, was.MaxLength = x.Required, x.Disabled, x.MinLength, x.MaxLength
		}
	}
	next.Items = items
	if _, err := f.d.templates.Revise(ctx, by, v, next, nil); err != nil {
		return err
	}
	_, err = f.d.templates.Publish(ctx, by, v)
	return err
}

// Withdraw implements snms.Templates.
func (f forms) Withdraw(ctx context.Context, by record.Identity, prefix, version string) error {
	if _, err := f.d.need(ctx, by, prefix, api.EnterpriseAdmin); err != nil {
		return err
	}
	v, err := f.id(prefix, version)
	if err != nil {
		return err
	}
	_, err = f.d.templates.Withdraw(ctx, by, v)
	if problem.Is(err, problem.Conflict) {
		err = problem.Wrap(err, problem.NotFound, "there is no template %s any more", "模板 %s 已不存在", v)
	}
	return err
}

// counter is the office behind snms.Enterprises.
type counter struct{ d *desk }

func (x counter) office() *office.Office { return x.d.n.in.office }

// Apply implements snms.Enterprises. The applicant is an account that is made for it, sysUser, under the office's own prefix; it
// has no role, so it can do no more than look after its application, until the prefix is its own. The interface knows no
// keys, and a prefix needs one: it is made here, and its private half is kept as a file of that account, under the password
// that was sent; the application's note says its name.
func (x counter) Apply(ctx context.Context, _ record.Identity, a *snms.Application) (string, error) {
	if err := x.d.crowded(); err != nil {
		return "", err
	}
	home := x.d.n.cfg.Prefix
	_, name, cut := strings.Cut(a.User.UserName, "/")
	if !cut {
		name = a.User.UserName
	}
	user, err := id.ParseHandle(home + "/User_" + name)
	if err != nil {
		return "", problem.Wrap(err, problem.BadValue, "the user name %.60q cannot be taken", "用户名 %.60q 不可用", name)
	}
	self := api.Caller{Identity: record.Identity{Ref: record.Ref{Index: 301, Name: user.String()}}, Lang: problem.Chinese}
	// What is wrong with the form is said before an account is made.
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		return "", err
	}
	form := x.form(a)
	form.Key = key.Public().Data()
	switch _, err := x.office().Prefix(api.Caller{Identity: operator}, form.Prefix); {
	case err == nil:
		return "", problem.New(problem.Exists, "the prefix %.80s is taken, or somebody applied for it before; propose another one", "前缀 %.80s 已被占用或已有人先申请；请另行提出", form.Prefix)
	case !problem.Is(err, problem.NotFound):
		return "", err
	}
	v, _, err := x.d.n.in.accounts.CreateUser(ctx, api.Caller{Identity: record.Identity{Ref: self.Ref, Operator: true}}, account.NewUser{Prefix: home, Name: name, Title: clipTitle(a.User.Remarks), Email: a.User.Email, Password: a.User.Password})
	if problem.Is(err, problem.Exists) {
		return "", problem.New(problem.BadValue, "the user name %.60q is taken: take another one", "用户名 %.60q 已被占用：请更换", name)
	}
	if err != nil {
		return "", err
	}
	file := ""
	undo := func() {
		ctx := context.WithoutCancel(ctx)
		writes := []record.Write{{Op: record.Delete, ID: v}}
		if f, err := id.ParseHandle(file); err == nil {
			writes = append(writes, record.Write{Op: record.Delete, ID: f})
		}
		_, err := x.d.n.Write(ctx, operator, writes)
		if err == nil {
			err = x.d.n.in.accounts.Heard(ctx, v)
		}
		if err != nil {
			x.d.n.log.Error("an account without an application stays", "id", v, "err", err)
		}
	}
	sealed, err := key.MarshalEncryptedPEM([]byte(a.User.Password), nil)
	if err == nil {
		if file, err = cabinet(x).keep(ctx, self.Identity, home, name+".pem", sealed, false); err == nil {
			form.Note = "密钥文件 " + file + "，以申请时的口令加密 (the private key, under the password of the application)"
		}
	}
	if err != nil {
		undo()
		return "", err
	}
	p, err := x.office().Apply(ctx, self, form, form.Kind == office.SelfHosted)
	if err != nil {
		undo()
		return "", err
	}
	return p.ID.String(), nil
}

func clipTitle(s string) string {
	r := []rune(strings.TrimSpace(s))
	return string(r[:min(len(r), 100)])
}

// form is an application in the office's words. Without a word about it, the prefix is to be hosted here, where the office
// hosts; /ent/config says otherwise.
func (x counter) form(a *snms.Application) office.Form {
	b := &a.Basic
	f := office.Form{Prefix: b.EntPrefix, Kind: office.SelfHosted, Organisation: office.Organisation{
		Name: b.OrgName, Nature: int(b.OrgNature), Address: office.Address{Province: b.OrgAddrProvince, City: b.OrgAddrCity, County: b.OrgAddrCounty, Street: b.OrgAddr},
		CrtType: int(b.OrgCrtType), CrtCode: b.OrgCrtCode, CrtImage: b.OrgCrtImgRid, Website: b.Website,
		IndustryCategory: b.IndustryCategory, IndustrySpecific: b.IndustrySpecific,
		Contact: office.Person{Name: b.ContactName, Phone: b.ContactPhone, Email: b.ContactEmail},
		Legal:   office.Person{Name: b.LegalName, CrtType: int(b.LegalCrtType), CrtCode: b.LegalCrtCode},
		Manage:  office.Manage{BuildType: int(a.Manage.Build), OperType: int(a.Manage.Operate)},
	}}
	if x.office().Info().Hosts {
		f.Kind = office.Hosted
	}
	for _, s := range a.Manage.Systems {
		f.Organisation.Manage.Systems = append(f.Organisation.Manage.Systems, office.System{Type: int(s.Type), Deploy: int(s.Deploy), Addr: s.Addr})
	}
	return f
}

// find is the application that identifier names, or that of a prefix.
func (x counter) find(c api.Caller, identifier, prefix string) (office.Paper, error) {
	if identifier == "" {
		list, _ := x.office().List(c, "", 1, nil, prefix)
		if len(list) == 0 {
			return office.Paper{}, problem.New(problem.NotFound, "nobody applied for %.80s, or it is not yours", "没有 %.80s 的申请，或该申请不属于您", prefix)
		}
		return x.newest(c, prefix)
	}
	v, err := id.ParseHandle(office.ApplicationID(x.d.n.cfg.Prefix, identifier))
	if err != nil {
		return office.Paper{}, problem.Wrap(err, problem.NotFound, "%.80s is no application", "%.80s 不是申请", identifier)
	}
	return x.office().Get(c, v)
}

// newest is the last application for a prefix that the caller may see.
func (x counter) newest(c api.Caller, prefix string) (office.Paper, error) {
	list := x.all(c, prefix)
	return list[len(list)-1], nil
}

// all is the applications that the caller may see.
func (x counter) all(c api.Caller, prefix string) []office.Paper {
	var out []office.Paper
	for after := ""; ; {
		page, next := x.office().List(c, after, 1000, nil, prefix)
		out = append(out, page...)
		if next == "" || len(page) == 0 {
			return out
		}
		after = next
	}
}

// Change implements snms.Enterprises.
func (x counter) Change(ctx context.Context, by record.Identity, a *snms.Application) error {
	c, err := x.d.caller(ctx, by)
	if err != nil {
		return err
	}
	p, err := x.find(c, a.ID, a.Basic.EntPrefix)
	if err != nil {
		return err
	}
	f := x.form(a)
	f.Key, f.Note, f.Kind, f.Sites = p.Paper.Key, p.Paper.Note, p.Paper.Kind, p.Paper.Sites
	if p, err = x.office().Correct(ctx, c, p.ID, f, ""); err == nil && p.Paper.State == office.Refused {
		_, err = x.office().Submit(ctx, c, p.ID, "")
	}
	return err
}

// Page implements snms.Enterprises.
func (x counter) Page(ctx context.Context, by record.Identity, page, size int) ([]snms.Enterprise, int, error) {
	c, err := x.d.caller(ctx, by)
	if err != nil {
		return nil, 0, err
	}
	all := x.all(c, "")
	var out []snms.Enterprise
	for _, p := range window(all, page, size) {
		o := &p.Paper.Organisation
		out = append(out, snms.Enterprise{ID: p.ID.String(), OrgName: o.Name, OrgNature: o.Nature, OrgCrtType: o.CrtType, OrgCrtCode: o.CrtCode, Website: o.Website,
			EntGeneralID: p.Paper.Prefix, OpenIDs: []string{}, CreateDate: inBeijing(p.Paper.Opened()), UpdateDate: inBeijing(p.Paper.Changed())})
	}
	return out, len(all), nil
}

func window[T any](all []T, page, size int) []T {
	from := min(page*size, len(all))
	return all[from:min(from+size, len(all))]
}

var beijing = time.FixedZone("CST", 8*3600)

func inBeijing(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(beijing).Format(time.DateTime)
}

// Detail implements snms.Enterprises.
func (x counter) Detail(ctx context.Context, by record.Identity, identifier string) (*snms.Application, error) {
	c, err := x.d.caller(ctx, by)
	if err != nil {
		return nil, err
	}
	p, err := x.find(c, identifier, "")
	if err != nil {
		return nil, err
	}
	o := &p.Paper.Organisation
	a := &snms.Application{ID: p.ID.String(), Basic: snms.Basic{
		OrgName: o.Name, OrgNature: snms.Number(o.Nature), OrgAddrProvince: o.Address.Province, OrgAddrCity: o.Address.City, OrgAddrCounty: o.Address.County, OrgAddr: o.Address.Street,
		OrgCrtType: snms.Number(o.CrtType), OrgCrtCode: o.CrtCode, OrgCrtImgRid: o.CrtImage, IndustryCategory: o.IndustryCategory, IndustrySpecific: o.IndustrySpecific, Website: o.Website,
		ContactName: o.Contact.Name, ContactPhone: o.Contact.Phone, ContactEmail: o.Contact.Email,
		LegalName: o.Legal.Name, LegalCrtType: snms.Number(o.Legal.CrtType), LegalCrtCode: o.Legal.CrtCode, EntPrefix: p.Paper.Prefix,
	}, Manage: snms.Manage{Build: snms.Number(o.Manage.BuildType), Operate: snms.Number(o.Manage.OperType)}, Prefixes: []snms.Prefix{x.prefix(&p)}}
	for _, s := range o.Manage.Systems {
		a.Manage.Systems = append(a.Manage.Systems, snms.System{Type: snms.Number(s.Type), Deploy: snms.Number(s.Deploy), Addr: s.Addr})
	}
	return a, nil
}

func (x counter) prefix(p *office.Paper) snms.Prefix {
	a := &p.Paper
	out := snms.Prefix{EntPrefix: a.Prefix, OrgName: a.Organisation.Name, GHRName: x.d.n.cfg.Name, ProxyState: snms.NotHosted, CreateDate: inBeijing(a.Opened())}
	switch a.State {
	case office.Active:
		out.State = snms.PrefixInUse
	case office.Suspended:
		out.State = snms.PrefixStopped
	case office.Revoked, office.Withdrawn:
		out.State = snms.PrefixLeaving
	case office.Refused:
		out.State = snms.PrefixRefused
	case office.InReview, office.Approved:
		out.State = snms.PrefixInReview
	default:
		out.State = snms.PrefixWaiting
	}
	if a.Kind == office.Hosted {
		switch a.State {
		case office.Active, office.Suspended:
			out.ProxyState = snms.Hosted
		case office.Refused:
			out.ProxyState = snms.HostingRefused
		default:
			out.ProxyState = snms.HostingAsked
		}
	}
	return out
}

// Prefixes implements snms.Enterprises.
func (x counter) Prefixes(ctx context.Context, by record.Identity, prefix string, page, size int) ([]snms.Prefix, int, error) {
	c, err := x.d.caller(ctx, by)
	if err != nil {
		return nil, 0, err
	}
	all := x.all(c, prefix)
	if prefix != "" {
		slices.Reverse(all) // what was applied for last counts
	}
	var out []snms.Prefix
	for _, p := range window(all, page, size) {
		out = append(out, x.prefix(&p))
	}
	return out, len(all), nil
}

// Configure implements snms.Enterprises: before the decision it corrects the application, afterwards the prefix moves.
func (x counter) Configure(ctx context.Context, by record.Identity, g *snms.Pointing) error {
	c, err := x.d.caller(ctx, by)
	if err != nil {
		return err
	}
	p, err := x.find(c, "", g.EntPrefix)
	if err != nil {
		return err
	}
	to, sites := office.Hosted, []office.Site(nil)
	if g.ProxyServerID == "" {
		to = office.SelfHosted
		site, err := pointed(g)
		if err != nil {
			return err
		}
		sites = []office.Site{site}
	}
	switch p.Paper.State {
	case office.Active, office.Suspended:
		if to == p.Paper.Kind {
			if to == office.Hosted {
				return nil
			}
			return problem.New(problem.Conflict, "%s points to its own node already; with the prefix's key change the HS_SITE of its record", "%s 已指向其自己的节点；请以该前缀的密钥修改其记录中的 HS_SITE", g.EntPrefix)
		}
		_, err = x.office().Move(ctx, c, p.ID, office.MoveRequest{To: to, Sites: sites}, "")
		return err
	}
	f := p.Paper.Form
	f.Kind, f.Sites = to, sites
	if p, err = x.office().Correct(ctx, c, p.ID, f, ""); err == nil && p.Paper.State == office.Draft {
		_, err = x.office().Submit(ctx, c, p.ID, "")
	}
	return err
}

// pointed is where an enterprise's own server is.
func pointed(g *snms.Pointing) (office.Site, error) {
	addr, err := netip.ParseAddr(g.IP)
	if err != nil || g.IPType != 0 && (g.IPType == 6) != addr.Is6() {
		return office.Site{}, problem.New(problem.BadValue, "%.60q is no IP address of the kind that ipType says (4 or 6)", "%.60q 不是 ipType（4 或 6）所述类型的 IP 地址", g.IP)
	}
	srv := office.Server{ID: 1, Address: addr.String()}
	for _, i := range []struct {
		protocol string
		port     snms.Number
	}{{"udp", g.UDPPort}, {"tcp", g.TCPPort}, {"http", g.HTTPPort}} {
		if i.port > 0 {
			srv.Interfaces = append(srv.Interfaces, office.Interface{Protocol: i.protocol, Port: uint32(i.port), Query: true, Admin: i.protocol != "udp"})
		}
	}
	return office.Site{Primary: true, Servers: []office.Server{srv}}, nil
}

// Upload implements snms.Enterprises.
func (x counter) Upload(ctx context.Context, by record.Identity, name string, data []byte) (string, error) {
	return cabinet(x).keep(ctx, by, x.d.own(ctx, by), name, data, false)
}

var (
	_ snms.Accounts    = doorman{}
	_ snms.Templates   = forms{}
	_ snms.Enterprises = counter{}
	_ record.Registrar = tagged{}
	_ record.Lister    = (*desk)(nil)
)
