package template

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
)

// Guard stands before a Registrar: no write leaves a record that breaks its template. A record without a version at 1001
// gets the newest one. Records that name no template pass as they are.
type Guard struct {
	Templates *Templates
	Next      record.Registrar
	// Reader reads what is there, past the rules: the registry.
	Reader record.Resolver
	// Administers, if not nil, says whether somebody may read what is not public in a record. Who may not is never told
	// that a change breaks the template of a record, nor that a unique value is taken, only that they may not make it.
	Administers func(ctx context.Context, by record.Identity, rec id.ID) error

	locks  [64]sync.Mutex // records, by a hash of their names: what is checked is what is written over
	uniq   sync.Mutex
	flight map[string]string // unique values whose writes are under way, and for whom; under uniq
}

var _ record.Registrar = (*Guard)(nil)

var seed = maphash.MakeSeed()

// reservation is a unique value that a record has, or is about to have.
type reservation struct {
	Key   []byte `json:"key"`
	Owner string `json:"owner"`
	Index uint32 `json:"index"`
}

var reservations = table.Table[reservation]{Name: "template.unique", Key: func(r reservation) []byte { return r.Key }}

// uniqueKey is one value of one property of one template, whichever version.
func uniqueKey(template string, index uint32, data []byte) []byte {
	h := sha256.New()
	h.Write([]byte(handle.Fold(template)))
	h.Write(binary.BigEndian.AppendUint32([]byte{0}, index))
	h.Write(data)
	return h.Sum(nil)
}

// checked is a write with what it needs besides.
type checked struct {
	write record.Write
	err   error
	claim []reservation // unique values to take before it
	free  []reservation // to give back after it
}

// Write is record.Registrar's.
func (g *Guard) Write(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	concerned := false
	for i := range writes {
		if concerns(&writes[i]) {
			concerned = true
			break
		}
	}
	if !concerned {
		return g.Next.Write(ctx, by, writes)
	}
	out := make([]record.Result, 0, len(writes))
	for len(writes) > 0 {
		// A record that is written twice is checked as its first write left it.
		names := map[string]bool{}
		n := 0
		for n < len(writes) && !(names[writes[n].ID.String()] && concerns(&writes[n])) {
			names[writes[n].ID.String()] = true
			n++
		}
		res, err := g.some(ctx, by, writes[:n])
		if err != nil {
			return nil, err
		}
		out = append(out, res...)
		writes = writes[n:]
	}
	return out, nil
}

// concerns reports whether the record that w writes may keep to a template.
func concerns(w *record.Write) bool {
	switch w.Op {
	case record.Create:
		return w.Overwrite || names(w.Values)
	case record.Delete, record.Add, record.Remove, record.Modify:
		return w.ID.IsValid() && !w.ID.IsPrefix()
	}
	return false
}

func names(values []record.Value) bool {
	for i := range values {
		if values[i].Index == record.IndexTemplateID || values[i].Index == record.IndexTemplate {
			return true
		}
	}
	return false
}

// some does writes of which no record has two that concern a template.
func (g *Guard) some(ctx context.Context, by record.Identity, writes []record.Write) ([]record.Result, error) {
	var held []int
	for i := range writes {
		if concerns(&writes[i]) && writes[i].ID.IsValid() {
			held = append(held, int(maphash.String(seed, writes[i].ID.String())%uint64(len(g.locks))))
		}
	}
	slices.Sort(held)
	held = slices.Compact(held)
	for _, i := range held {
		g.locks[i].Lock()
		defer g.locks[i].Unlock()
	}
	results := make([]record.Result, len(writes))
	pass, at := make([]record.Write, 0, len(writes)), make([]int, 0, len(writes))
	all, todo := make([]*checked, 0, len(writes)), make([]*checked, 0, len(writes))
	for i := range writes {
		c := &checked{write: writes[i]}
		if concerns(&writes[i]) {
			g.check(ctx, by, c, writes)
		}
		all = append(all, c)
	}
	if err := g.take(ctx, by, all); err != nil {
		return nil, err
	}
	defer g.landed(all)
	for i, c := range all {
		if c.err != nil {
			results[i] = record.Result{ID: writes[i].ID, Err: c.err}
			continue
		}
		pass, at, todo = append(pass, c.write), append(at, i), append(todo, c)
	}
	if len(pass) == 0 {
		return results, nil
	}
	res, err := g.Next.Write(ctx, by, pass)
	if err != nil {
		// What became of it is not known: the reservations stay, and who comes later looks whether they hold.
		return nil, err
	}
	var free []reservation
	for k := range res {
		results[at[k]] = res[k]
		if res[k].Err == nil {
			free = append(free, todo[k].free...)
		} else if !problem.Is(res[k].Err, problem.Internal) {
			free = append(free, todo[k].claim...)
		}
	}
	g.release(context.WithoutCancel(ctx), free)
	return results, nil
}

// read is the record as it is; nil when there is none.
func (g *Guard) read(ctx context.Context, v id.ID) ([]record.Value, error) {
	a, err := g.Reader.Resolve(ctx, record.Query{ID: v, By: operator, NoReferral: true})
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) || problem.Is(err, problem.NotHere) {
		return nil, nil
	}
	return a.Values, err
}

// check works out the record as it will be and says what it breaks.
func (g *Guard) check(ctx context.Context, by record.Identity, c *checked, all []record.Write) {
	w := &c.write
	var old []record.Value
	if w.Op != record.Create || w.Overwrite {
		if old, c.err = g.read(ctx, w.ID); c.err != nil {
			return
		}
		if old == nil && w.Op != record.Create {
			return // the registry says that there is none
		}
	}
	after := apply(old, w)
	was, is := find(old, record.IndexTemplateID), find(after, record.IndexTemplateID)
	if was == nil && is == nil {
		if find(after, record.IndexTemplate) != nil {
			var bad Violations
			bad.add("", record.IndexTemplateID, "template", "value 1000", "the record has a version of a template, but names no template: give its identifier at 1000", "记录给出了模板版本但未给出模板：请在 1000 处给出模板标识")
			c.err = &bad
		}
		return
	}
	err := g.against(ctx, c, old, after, all)
	if err != nil && (w.Op != record.Create || w.Overwrite) {
		err = g.discreet(ctx, by, w.ID, err)
	}
	c.err = err
}

// discreet is err, which tells something of a record that is there, for who may know it; for others it is what they
// would hear without the template.
func (g *Guard) discreet(ctx context.Context, by record.Identity, rec id.ID, err error) error {
	if by.Operator || g.Administers == nil {
		return err
	}
	refused := g.Administers(ctx, by, rec)
	if refused == nil {
		return err
	}
	if _, absent := g.Reader.Resolve(ctx, record.Query{ID: rec, By: by, PublicOnly: true, NoReferral: true}); problem.Is(absent, problem.NotFound) {
		return absent
	}
	if by.IsAnonymous() {
		return problem.New(problem.NeedAuth, "who wants to change %s must prove who they are: give a key or a password", "更改 %s 须先验证身份：请提供密钥或口令", rec)
	}
	return refused
}

// apply is the values after w, should it succeed.
func apply(old []record.Value, w *record.Write) []record.Value {
	switch w.Op {
	case record.Create:
		return w.Values
	case record.Delete:
		return nil
	case record.Remove:
		return slices.DeleteFunc(slices.Clone(old), func(v record.Value) bool { return slices.Contains(w.Indexes, v.Index) })
	}
	out := slices.Clone(old)
	for _, v := range w.Values {
		if i := slices.IndexFunc(out, func(x record.Value) bool { return x.Index == v.Index }); i < 0 {
			out = append(out, v)
		} else {
			out[i] = v
		}
	}
	return out
}

func find(values []record.Value, index uint32) *record.Value {
	for i := range values {
		if values[i].Index == index {
			return &values[i]
		}
	}
	return nil
}

// of is the template that values name; errNoTemplate when none.
func (g *Guard) of(ctx context.Context, values []record.Value) (*Template, error) {
	name := find(values, record.IndexTemplateID)
	if name == nil {
		return nil, errNoTemplate
	}
	wrong := func(index uint32, rule, en, zh string) error {
		var bad Violations
		bad.add("", index, rule, "value "+strconv.Itoa(int(index)), en, zh)
		return &bad
	}
	v, version, err := split(string(name.Data))
	if err != nil || name.Type != record.TypeTemplateID || version != 0 {
		return nil, wrong(record.IndexTemplateID, "template", "it must be of type TEMPLATE_ID and hold a template's identifier without a version", "类型须为 TEMPLATE_ID，内容为不带版本的模板标识")
	}
	if x := find(values, record.IndexTemplate); x != nil {
		if version, err = strconv.Atoi(string(x.Data)); err != nil || version < 1 || x.Type != record.TypeTemplate {
			return nil, wrong(record.IndexTemplate, "version", "it must be of type TEMPLATE and hold the template's version, as 1", "类型须为 TEMPLATE，内容为模板版本号，例如 1")
		}
	} else if version, err = g.Templates.Newest(ctx, v); err != nil {
		return nil, err
	}
	t, err := g.Templates.Version(ctx, v, version)
	if problem.Is(err, problem.NotFound) {
		return nil, wrong(record.IndexTemplateID, "template", fmt.Sprintf("there is no published template %s/%d: check name and version", v, version), fmt.Sprintf("没有已发布的模板 %s/%d：请检查名称与版本", v, version))
	}
	return t, err
}

// against checks what a record will be against its template.
func (g *Guard) against(ctx context.Context, c *checked, old, after []record.Value, all []record.Write) error {
	was, err := g.of(ctx, old)
	if err != nil && !errors.Is(err, errNoTemplate) {
		was = nil // it cannot be found any more; nothing unique is known of it
	}
	is, err := g.of(ctx, after)
	switch {
	case errors.Is(err, errNoTemplate):
		is = nil
	case err != nil:
		return err
	}
	if is != nil {
		v, _, err := split(is.ID)
		if err != nil {
			return err
		}
		if was == nil || !handle.Equal(was.ID, is.ID) { // only a published template takes new records
			if _, err := g.Templates.Newest(ctx, v); err != nil {
				var bad Violations
				bad.add("", record.IndexTemplateID, "published", "value 1000", problem.Say(err, problem.English), problem.Say(err, problem.Chinese))
				if problem.Is(err, problem.NotFound) {
					return &bad
				}
				return err
			}
		}
		if find(after, record.IndexTemplate) == nil && c.write.Op != record.Remove {
			c.write.Values = append(slices.Clone(c.write.Values), is.value(record.IndexTemplate, record.TypeTemplate, strconv.Itoa(is.Version)))
		} else if find(after, record.IndexTemplate) == nil {
			var bad Violations
			bad.add("", record.IndexTemplate, "version", "value 1001", "a record that keeps to a template says which version: leave it there", "使用模板的记录须注明版本：请保留该值")
			return &bad
		}
		fresh := func(index uint32) bool {
			x, y := find(old, index), find(after, index)
			return x == nil || string(x.Data) != string(y.Data)
		}
		bad := Violations{Template: versionName(is), List: is.Validate(after, fresh)}
		if len(bad.List) == 0 {
			if err := g.references(ctx, is, after, fresh, all, &bad); err != nil {
				return err
			}
		}
		if err := bad.err(); err != nil {
			return err
		}
	}
	before, now := uniques(was, old, c.write.ID), uniques(is, after, c.write.ID)
	for _, r := range now {
		if !slices.ContainsFunc(before, r.same) {
			c.claim = append(c.claim, r)
		}
	}
	for _, r := range before {
		if !slices.ContainsFunc(now, r.same) {
			c.free = append(c.free, r)
		}
	}
	return nil
}

func (r reservation) same(o reservation) bool { return string(r.Key) == string(o.Key) }

func uniques(t *Template, values []record.Value, owner id.ID) (out []reservation) {
	if t == nil {
		return nil
	}
	for i := range t.Items {
		it := &t.Items[i]
		if !it.Unique {
			continue
		}
		if v := find(values, it.Index); v != nil {
			out = append(out, reservation{uniqueKey(t.ID, it.Index, v.Data), owner.String(), it.Index})
		}
	}
	return out
}

// maxLookups is how many references to other records one write may have looked at.
const maxLookups = 200

// references looks at what fresh references with a target name: here, in the same request, or through the hierarchy.
func (g *Guard) references(ctx context.Context, t *Template, values []record.Value, fresh func(uint32) bool, all []record.Write, bad *Violations) error {
	looked := 0
	for i := range t.Items {
		it := &t.Items[i]
		v := find(values, it.Index)
		if it.Type != Reference || it.Target == "" || v == nil || !fresh(it.Index) {
			continue
		}
		target, want, err := split(it.Target)
		if err != nil {
			return err
		}
		list, _ := it.texts(string(v.Data))
		for _, name := range list {
			ref, err := id.Parse(name)
			if err != nil {
				continue // Validate said so
			}
			place := "value " + strconv.Itoa(int(it.Index))
			if looked++; looked > maxLookups {
				bad.add(it.Name, it.Index, "max", place, fmt.Sprintf("there are over %d references in one record: write them in parts", maxLookups), fmt.Sprintf("一条记录中的引用超过 %d 个：请分次写入", maxLookups))
				return nil
			}
			got, err := g.templateOf(ctx, ref, all)
			if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) {
				bad.add(it.Name, it.Index, "target", place, fmt.Sprintf("%s does not exist, or does not say that it keeps to %s", ref, it.Target), fmt.Sprintf("%s 不存在，或未注明使用模板 %s", ref, it.Target))
				continue
			}
			if err != nil {
				return problem.Wrap(err, problem.Unreachable, "%s, which the property %s names, could not be looked at, so nothing was written: try again later", "属性 %[2]s 引用的 %[1]s 无法查询，未写入任何内容：请稍后重试", ref, it.Name)
			}
			if x, version, err := split(got); err != nil || x != target || want != 0 && version != 0 && want != version {
				bad.add(it.Name, it.Index, "target", place, fmt.Sprintf("%s does not keep to the template %s", ref, it.Target), fmt.Sprintf("%s 使用的模板不是 %s", ref, it.Target))
			}
		}
	}
	return nil
}

// templateOf is the identifier of the template that another record keeps to.
func (g *Guard) templateOf(ctx context.Context, ref id.ID, all []record.Write) (string, error) {
	for i := range all {
		if all[i].ID == ref && all[i].Op == record.Create {
			if v := find(all[i].Values, record.IndexTemplateID); v != nil {
				return string(v.Data), nil
			}
		}
	}
	q := record.Query{ID: ref, Indexes: []uint32{record.IndexTemplateID}, NoReferral: true, PublicOnly: true}
	from := g.Reader
	if !g.Templates.here(ref.Prefix()) {
		if g.Templates.cfg.World == nil {
			return "", problem.New(problem.Unreachable, "this node asks no other one", "本节点不查询其他节点")
		}
		from, q.NoReferral, q.Certify = g.Templates.cfg.World, false, true
	}
	a, err := from.Resolve(ctx, q)
	if err != nil {
		return "", err
	}
	if from != g.Reader && a.Trust != record.Secure {
		return "", problem.New(problem.Bogus, "the chain of signatures of %s is %s: it is not believed", "%s 的签名链为 %s，不予采信", ref, a.Trust)
	}
	if v := find(a.Values, record.IndexTemplateID); v != nil {
		return string(v.Data), nil
	}
	return "", problem.New(problem.NoValues, "the record names no template", "记录未注明模板")
}

// take reserves the unique values of writes, in one batch: a write gets all of its own or an error. Writes made past
// their administrator's rights take none: the registry refuses them, and gives nothing back that was not theirs.
func (g *Guard) take(ctx context.Context, by record.Identity, all []*checked) error {
	if !slices.ContainsFunc(all, func(c *checked) bool { return c.err == nil && len(c.claim) > 0 }) {
		return nil
	}
	g.uniq.Lock()
	defer g.uniq.Unlock()
	if g.flight == nil {
		g.flight = map[string]string{}
	}
	for try := 0; ; try++ {
		var b store.Batch
		mine := map[string]string{}
		for _, c := range all {
			if c.err != nil {
				continue
			}
			rows := make([]table.Row[reservation], len(c.claim))
			for i, r := range c.claim {
				row, taken, err := g.taken(ctx, r, mine)
				if err != nil {
					return err
				}
				if rows[i] = row; taken {
					bad := Violations{}
					name := ""
					if v := find(c.write.Values, r.Index); v != nil {
						name = v.Type
					}
					bad.add(name, r.Index, "unique", "value "+strconv.Itoa(int(r.Index)), "another record of this template has this value: it must be unique", "该模板下已有记录使用此值：须唯一")
					if c.err = g.discreet(ctx, by, c.write.ID, &bad); problem.Is(c.err, problem.NotFound) {
						// It is not there, so this is no news: who asks may not create it.
						c.err = problem.New(problem.NotAdmin, "%s may not register %s: ask the administrator of its prefix", "%s 无权登记 %s：请联系其前缀的管理员", by.Ref.Name, c.write.ID)
						if by.IsAnonymous() {
							c.err = problem.New(problem.NeedAuth, "who wants to register %s must prove who they are: give a key or a password", "登记 %s 须先验证身份：请提供密钥或口令", c.write.ID)
						}
					}
					break
				}
			}
			if c.err != nil {
				continue
			}
			for i, r := range c.claim {
				mine[string(r.Key)] = r.Owner
				if err := reservations.Set(&b, rows[i], r); err != nil {
					return err
				}
			}
		}
		_, err := g.Templates.cfg.Store.Apply(ctx, &b)
		if errors.Is(err, store.ErrConflict) && try < 16 {
			continue
		}
		if err == nil {
			for key, owner := range mine {
				g.flight[key] = owner
			}
		}
		return err
	}
}

// taken reads who has a unique value, and whether that is somebody else.
func (g *Guard) taken(ctx context.Context, r reservation, mine map[string]string) (row table.Row[reservation], taken bool, err error) {
	if owner, ok := mine[string(r.Key)]; ok {
		return row, owner != r.Owner, nil
	}
	if row, err = reservations.Load(ctx, g.Templates.cfg.Store, r.Key); err != nil || !row.Found() || row.Value.Owner == r.Owner {
		return row, false, err
	}
	if g.flight[string(r.Key)] == row.Value.Owner {
		return row, true, nil
	}
	// The owner may have lost it while nobody looked: in a crash, or by a write that was given up.
	v, err := id.ParseHandle(row.Value.Owner)
	if err != nil {
		return row, false, nil
	}
	values, err := g.read(ctx, v)
	if err != nil {
		return row, false, err
	}
	name, x := find(values, record.IndexTemplateID), find(values, r.Index)
	return row, name != nil && x != nil && string(uniqueKey(string(name.Data), r.Index, x.Data)) == string(r.Key), nil
}

// landed tells that writes are done: their reservations hold by what is in the records.
func (g *Guard) landed(all []*checked) {
	g.uniq.Lock()
	defer g.uniq.Unlock()
	for _, c := range all {
		for _, r := range c.claim {
			if g.flight[string(r.Key)] == r.Owner {
				delete(g.flight, string(r.Key))
			}
		}
	}
}

// release gives unique values back. What fails here is found out when somebody else wants the value.
func (g *Guard) release(ctx context.Context, free []reservation) {
	for _, r := range free {
		row, err := reservations.Load(ctx, g.Templates.cfg.Store, r.Key)
		if err != nil || !row.Found() || row.Value.Owner != r.Owner {
			continue
		}
		var b store.Batch
		reservations.Remove(&b, row)
		if _, err := g.Templates.cfg.Store.Apply(ctx, &b); err != nil {
			g.Templates.cfg.Log.Warn("a unique value stays reserved until somebody else wants it", "err", err)
			return
		}
	}
}
