package registry

import (
	"crypto/sha256"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// turn is one caller's writes while they are worked out: what each does to the record, if it may. The order of the
// checks is that of deployed servers (handle-protocol §1.10): what needs no identity first, so that nobody proves who
// they are in vain.
type turn struct {
	g     *group
	by    record.Identity
	undo  map[*cell]cell // what cells were before; nil when nothing is ever undone
	count map[string]int64
	rights
}

func (t *turn) do(w *prepared) error {
	if !w.rec.IsValid() {
		return w.bad
	}
	if w.Op == record.Home || w.Op == record.Unhome {
		return t.home(w)
	}
	home, _, err := t.v.zone(w.rec)
	if err != nil {
		return err
	}
	if p, isPrefix := w.rec.Delegated(); home == "" && !(isPrefix && t.by.Operator && t.v.homed(p)) {
		// The operator may keep a copy of the prefix's own record, so that the node knows its administrators alone.
		return notHere(w.rec)
	}
	switch w.Op {
	case record.Create:
		return t.create(w)
	case record.Delete:
		return t.delete(w)
	case record.Add:
		return t.add(w)
	case record.Remove:
		return t.remove(w)
	case record.Modify:
		return t.modify(w)
	}
	return w.bad
}

func (t *turn) create(w *prepared) error {
	var c *cell
	for w.key != nil {
		var err error
		if c, err = t.v.cell(w.key, !w.Overwrite && w.bad == nil && !t.by.IsAnonymous()); err != nil {
			return err
		}
		if c.now == nil || w.Overwrite && !w.Mint {
			break
		}
		if !w.Mint {
			return t.taken(c, w.rec)
		}
		if err := t.again(w); err != nil { // the made-up suffix is taken, which hardly ever happens
			return err
		}
	}
	if w.bad != nil {
		return w.bad
	}
	if t.by.IsAnonymous() {
		return needAuth("register", w.rec)
	}
	d := demand{above: record.AddHandle}
	what := "ADD_HANDLE"
	if _, isPrefix := w.rec.Delegated(); isPrefix {
		d.above, what = record.AddDerived, "ADD_DERIVED_PREFIX"
	}
	if err := t.check(t.by, w.rec, nil, d, what); err != nil {
		if c.assumed && !c.dirty {
			if c, err2 := t.v.cell(w.key, false); err2 == nil && c.now != nil && !w.Mint {
				return t.taken(c, w.rec)
			}
		}
		return err
	}
	if c.now != nil {
		old, err := storedValues(c.now)
		if err != nil {
			return err
		}
		if err := t.check(t.by, w.rec, old, deletion(w.rec), "DELETE_HANDLE"); err != nil {
			return err
		}
	}
	if w.value != nil {
		t.put(c, w, w.value)
		t.note(w, w.change)
		t.changed(w.Values, false)
		return nil
	}
	vs := append([]record.Value{}, w.Values...)
	for i := range vs {
		vs[i].Timestamp = uint32(w.now.Unix())
	}
	return t.set(c, w, vs)
}

func exists(rec id.ID) error {
	return problem.New(problem.Exists, "%s is registered already: change it, or write with overwrite to replace it", "%s 已注册：请修改，或以覆盖方式写入", clip(rec.String()))
}

// deletion is what it takes to delete rec.
func deletion(rec id.ID) demand {
	if _, isPrefix := rec.Delegated(); isPrefix {
		return demand{record.DeleteHandle, record.DeleteDerived}
	}
	return demand{record.DeleteHandle, record.DeleteHandle}
}

// again makes up another suffix.
func (t *turn) again(w *prepared) error {
	rec, err := t.g.r.mint(w.ID)
	if err != nil {
		return err
	}
	w.rec = rec
	w.key = appendRecordKey(nil, rec)
	if w.change != nil {
		w.change = appendChange(nil, &record.Change{Op: record.Create, ID: rec, By: t.by, Digest: sha256.Sum256(w.value[storedHeader:])})
	}
	return nil
}

// open reads the record that w is about.
func (t *turn) open(w *prepared) (*cell, []record.Value, error) {
	c, err := t.v.cell(w.key, false)
	if err != nil {
		return nil, nil, err
	}
	if c.now == nil {
		return nil, nil, notFound(w.rec)
	}
	vs, err := storedValues(c.now)
	return c, vs, err
}

func (t *turn) delete(w *prepared) error {
	if t.by.IsAnonymous() {
		return needAuth("delete", w.rec)
	}
	c, vs, err := t.open(w)
	if err != nil {
		return err
	}
	if err := t.check(t.by, w.rec, vs, deletion(w.rec), "DELETE_HANDLE"); err != nil {
		return t.hide(err, w.rec, vs)
	}
	t.put(c, w, nil)
	t.note(w, appendChange(nil, &record.Change{Op: record.Delete, ID: w.rec, By: t.by}))
	t.changed(vs, true)
	return nil
}

func (t *turn) add(w *prepared) error {
	if w.bad != nil {
		return w.bad
	}
	if t.by.IsAnonymous() {
		return needAuth("add values to", w.rec)
	}
	c, vs, err := t.open(w)
	if err != nil {
		return err
	}
	var need record.AdminPerm
	taken := uint32(0)
	out := append(make([]record.Value, 0, len(vs)+len(w.Values)), vs...)
	for i := range w.Values {
		v := w.Values[i]
		v.Timestamp = uint32(w.now.Unix())
		if old := find(out, v.Index); old != nil {
			taken = v.Index
			need |= exchange(old, &v)
			*old = v
			continue
		}
		if v.Type == record.TypeAdmin {
			need |= record.AddAdmin
		} else {
			need |= record.AddValue
		}
		out = append(out, v)
	}
	if taken != 0 && !w.Overwrite {
		need = adding(w.Values)
	}
	if err := t.allowed(w, vs, need); err != nil {
		return err
	}
	if taken != 0 {
		if !w.Overwrite {
			return problem.New(problem.ValueExists, "%s has a value at index %d already: modify it, or add with overwrite", "%s 的索引 %d 已有值：请修改该值，或以覆盖方式添加", clip(w.rec.String()), taken)
		}
		if err := t.writable(w, vs, indexesOf(w.Values)); err != nil {
			return err
		}
	}
	return t.set(c, w, out)
}

func adding(vs []record.Value) (need record.AdminPerm) {
	for i := range vs {
		if vs[i].Type == record.TypeAdmin {
			need |= record.AddAdmin
		} else {
			need |= record.AddValue
		}
	}
	return need
}

// exchange is what it takes to put v in the place of old.
func exchange(old, v *record.Value) record.AdminPerm {
	switch was, is := old.Type == record.TypeAdmin, v.Type == record.TypeAdmin; {
	case was && is:
		return record.ModifyAdmin
	case was:
		return record.RemoveAdmin | record.ModifyValue
	case is:
		return record.ModifyValue | record.AddAdmin
	}
	return record.ModifyValue
}

func (t *turn) remove(w *prepared) error {
	if w.bad != nil {
		return w.bad
	}
	if t.by.IsAnonymous() {
		return needAuth("remove values from", w.rec)
	}
	c, vs, err := t.open(w)
	if err != nil {
		return err
	}
	var need record.AdminPerm
	gone := make(map[uint32]bool, len(w.Indexes))
	missing := uint32(0)
	for _, i := range w.Indexes {
		gone[i] = true
		switch old := find(vs, i); {
		case old == nil:
			missing = i
			need |= record.RemoveValue
		case old.Type == record.TypeAdmin:
			need |= record.RemoveAdmin
		default:
			need |= record.RemoveValue
		}
	}
	if err := t.allowed(w, vs, need); err != nil {
		return err
	}
	if missing != 0 {
		return noValue(w.rec, missing)
	}
	if err := t.writable(w, vs, w.Indexes); err != nil {
		return err
	}
	out := make([]record.Value, 0, len(vs))
	for i := range vs {
		if !gone[vs[i].Index] {
			out = append(out, vs[i])
		}
	}
	return t.set(c, w, out)
}

func (t *turn) modify(w *prepared) error {
	if w.bad != nil {
		return w.bad
	}
	c, vs, err := t.open(w)
	if err != nil {
		return err
	}
	var need record.AdminPerm
	missing, everybody := uint32(0), len(w.Values) > 0
	out := append(make([]record.Value, 0, len(vs)), vs...)
	for i := range w.Values {
		v := w.Values[i]
		v.Timestamp = uint32(w.now.Unix())
		old := find(out, v.Index)
		if old == nil {
			missing, everybody = v.Index, false
			need |= record.ModifyValue
			continue
		}
		need |= exchange(old, &v)
		everybody = everybody && old.Perm&record.PublicWrite != 0 && v.Perm == old.Perm && v.Type == old.Type && !strings.HasPrefix(v.Type, "HS_")
		*old = v
	}
	if !everybody { // values that anybody may write, and who may do so does not change
		if t.by.IsAnonymous() {
			return t.hide(needAuth("modify", w.rec), w.rec, vs)
		}
		if err := t.allowed(w, vs, need); err != nil {
			return err
		}
		if missing != 0 {
			return noValue(w.rec, missing)
		}
		if err := t.writable(w, vs, indexesOf(w.Values)); err != nil {
			return err
		}
	}
	if len(w.Values) == 0 {
		out, err := t.g.r.endorse(w.rec, vs, t.now)
		if err != nil || sameBlock(out, vs) {
			return err
		}
	}
	return t.set(c, w, out)
}

func noValue(rec id.ID, index uint32) error {
	return problem.New(problem.NoValues, "%s has no value at index %d: add it first", "%s 的索引 %d 没有值：请先添加", clip(rec.String()), index)
}

func find(vs []record.Value, index uint32) *record.Value {
	for i := range vs {
		if vs[i].Index == index {
			return &vs[i]
		}
	}
	return nil
}

func indexesOf(vs []record.Value) []uint32 {
	out := make([]uint32, len(vs))
	for i := range vs {
		out[i] = vs[i].Index
	}
	return out
}

// allowed is nil when the caller may do to the record what needs these permissions.
func (t *turn) allowed(w *prepared, vs []record.Value, need record.AdminPerm) error {
	return t.hide(t.check(t.by, w.rec, vs, demand{need, need}, permNames(need)), w.rec, vs)
}

// writable is nil when the values at the indexes are ones that administrators may write.
func (t *turn) writable(w *prepared, vs []record.Value, indexes []uint32) error {
	if t.by.Operator {
		return nil
	}
	for _, i := range indexes {
		if old := find(vs, i); old != nil && old.Perm&(record.AdminWrite|record.PublicWrite) == 0 {
			return problem.New(problem.Forbidden, "the value at index %d of %s is not writable: its permissions are %s", "%[2]s 索引 %[1]d 处的值不可写：其权限为 %[3]s", i, clip(w.rec.String()), old.Perm)
		}
	}
	return nil
}

func permNames(p record.AdminPerm) string {
	var names []string
	for _, n := range [...]struct {
		p    record.AdminPerm
		name string
	}{
		{record.ModifyValue, "MODIFY_VALUE"}, {record.RemoveValue, "REMOVE_VALUE"}, {record.AddValue, "ADD_VALUE"},
		{record.ModifyAdmin, "MODIFY_ADMIN"}, {record.RemoveAdmin, "REMOVE_ADMIN"}, {record.AddAdmin, "ADD_ADMIN"},
	} {
		if p&n.p != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, "+")
}

// home starts or stops to answer for a prefix. To say again what is so already changes nothing.
func (t *turn) home(w *prepared) error {
	prefix, ok := w.rec.Delegated()
	if !ok {
		return problem.New(problem.BadID, "%s is no prefix record: write 0.NA/prefix, as 0.NA/88.118", "%s 不是前缀记录：请写成 0.NA/前缀，例如 0.NA/88.118", clip(w.rec.String()))
	}
	if t.by.IsAnonymous() {
		return needAuth("take over", w.rec)
	}
	boss, err := t.boss(t.by)
	if err != nil {
		return err
	}
	if !boss {
		return problem.New(problem.NotAdmin, "%s is no administrator of this node: only those decide for which prefixes it answers", "%s 不是本节点的管理员：只有节点管理员可决定其负责的前缀", clip(t.by.Ref.String()))
	}
	if t.v.homed(prefix) == (w.Op == record.Home) {
		return nil
	}
	t.homing(prefix, w.Op == record.Home)
	t.note(w, appendChange(nil, &record.Change{Op: w.Op, ID: w.rec, By: t.by}))
	t.forget()
	return nil
}

func (t *turn) homing(prefix string, on bool) {
	key := homedKey(prefix)
	c := t.v.cells[string(key)]
	if c == nil {
		c = &cell{key: key}
		if b := t.v.below[string(key)]; b != nil && b.dirty {
			c.was = b.now
		} else if homed(t.g.r, prefix) {
			c.was = []byte{1}
		}
		c.now = c.was
		t.v.cells[string(key)] = c
	}
	var value []byte
	if on {
		value = []byte{1}
	}
	t.write(c, value)
}

// set stores the values, endorsed if it is a prefix record, and logs the change.
func (t *turn) set(c *cell, w *prepared, vs []record.Value) error {
	vs, err := t.g.r.endorse(w.rec, vs, t.now)
	if err != nil {
		return err
	}
	if err := record.CheckAll(vs); err != nil {
		return err
	}
	value := appendStored(nil, vs, nil)
	t.put(c, w, value)
	t.note(w, appendChange(nil, &record.Change{Op: w.Op, ID: w.rec, By: t.by, Digest: sha256.Sum256(value[storedHeader:])}))
	t.changed(vs, w.Op != record.Create)
	return nil
}

// put changes the record in c; nil deletes it.
func (t *turn) put(c *cell, w *prepared, value []byte) {
	t.tally(c, w.rec.Prefix(), value)
	t.write(c, value)
}

func (t *turn) tally(c *cell, prefix string, value []byte) {
	switch {
	case c.now == nil && value != nil:
		t.count[prefix]++
		if t.v.known != nil {
			t.v.known.note(c.key)
		}
	case c.now != nil && value == nil:
		t.count[prefix]--
	}
}

func (t *turn) write(c *cell, value []byte) {
	if t.undo != nil {
		if _, ok := t.undo[c]; !ok {
			t.undo[c] = *c
		}
	}
	if !c.dirty {
		c.dirty = true
		t.g.order = append(t.g.order, c)
	}
	c.now = value
}

// note logs a change, with a time that is never before that of the change before it.
func (t *turn) note(w *prepared, change []byte) {
	t.g.last = max(t.g.last, w.now.UnixMilli())
	putTime(change[changeTime:], t.g.last)
	t.g.log = append(t.g.log, change)
}

// changed forgets what was concluded about rights when it may have changed. Anew says that there was a record before.
func (t *turn) changed(vs []record.Value, anew bool) {
	if anew {
		t.forget()
		return
	}
	for i := range vs {
		if vs[i].Type == record.TypeVList || vs[i].Type == record.TypeAdmin {
			t.forget()
			return
		}
	}
}

// settle adds what the turn counted to the group's.
func (t *turn) settle() {
	for p, n := range t.count {
		t.g.count[p] += n
	}
}
