package registry

import (
	"context"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Who may do what: the node's operator and Config.Admins everything; an administrator whom an HS_ADMIN value of the
// record lists, what that value permits; and an administrator of the record's prefix (HS_ADMIN of 0.NA/prefix; for a
// prefix record, of the prefix above), the same for every record under it. To be listed is to be named, or to be a
// member of the group (HS_VLIST) that is named, or of a group in it.
const (
	maxGroups     = 10   // groups within groups
	maxIdentities = 4096 // looked at for one question
)

// demand is what an act needs: these permissions in the record's own HS_ADMIN, or those in that of its prefix.
type demand struct{ own, above record.AdminPerm }

// errElsewhere is returned when the question cannot be settled without asking another node; which names are missing
// stands in rights.missing.
var errElsewhere = problem.New(problem.AuthError, "the rights depend on a record that is kept elsewhere", "权限取决于存放在别处的记录")

// rights answers who may do what, for one group of writes or one question.
type rights struct {
	v       *view
	known   map[string]*away // what other nodes said, for the caller at hand
	missing []id.ID          // what other nodes must be asked
	memo    map[memoKey]record.AdminPerm
	now     time.Time
}

type memoKey struct {
	rec string
	by  record.Ref
}

// away is what another node said of a record.
type away struct {
	values []record.Value // nil: it does not exist
	err    error
	until  time.Time
}

// check is nil when by may do what needs d to rec, which now holds vs; else problem.NotAdmin, problem.Forbidden or
// problem.AuthError. what names the missing permission.
func (g *rights) check(by record.Identity, rec id.ID, vs []record.Value, d demand, what string) error {
	if by.Operator {
		return nil
	}
	boss, unsure := g.boss(by)
	if boss {
		return nil
	}
	own, err := g.perms(by.Ref, vs)
	if d.own != 0 && own&d.own == d.own {
		return nil
	}
	if unsure == nil {
		unsure = err
	}
	var above record.AdminPerm
	if at, ok := aboveOf(rec); ok {
		above, err = g.permsOf(by.Ref, at)
		if d.above != 0 && above&d.above == d.above {
			return nil
		}
		if unsure == nil {
			unsure = err
		}
	}
	switch {
	case d.own != 0 && d.own == d.above && (own|above)&d.own == d.own:
		return nil // half of it from the record's owner, half from the prefix's
	case unsure != nil:
		return unsure
	case own|above == 0:
		return problem.New(problem.NotAdmin, "%s is no administrator of %s: act as one that its HS_ADMIN values, or those of its prefix, list",
			"%s 不是 %s 的管理员：请以其 HS_ADMIN 值或其前缀的 HS_ADMIN 值中列出的身份操作", clip(by.Ref.String()), clip(rec.String()))
	}
	return problem.New(problem.Forbidden, "%s lacks the permission %s in %s: ask its owner for it",
		"%s 在 %[3]s 中没有 %[2]s 权限：请向其所有者申请", clip(by.Ref.String()), what, clip(rec.String()))
}

// aboveOf is the prefix record whose administrators also rule over rec.
func aboveOf(rec id.ID) (id.ID, bool) {
	p, isPrefix := rec.Delegated()
	if !isPrefix {
		return id.PrefixRecord(rec.Prefix()), true
	}
	if p = id.ParentPrefix(p); p == "" {
		return id.ID{}, false
	}
	return id.PrefixRecord(p), true
}

// boss reports whether by is one of the node's own administrators.
func (g *rights) boss(by record.Identity) (bool, error) {
	if by.Operator {
		return true, nil
	}
	if by.IsZero() {
		return false, nil
	}
	return g.listed(by.Ref, g.v.r.cfg.Admins)
}

// permsOf is what the HS_ADMIN values of rec permit by.
func (g *rights) permsOf(by record.Ref, rec id.ID) (record.AdminPerm, error) {
	key := memoKey{rec.String(), by}
	if p, ok := g.memo[key]; ok {
		return p, nil
	}
	vs, _, err := g.find(rec)
	if err != nil {
		return 0, err
	}
	p, err := g.perms(by, vs)
	if err != nil {
		return p, err
	}
	if g.memo == nil {
		g.memo = map[memoKey]record.AdminPerm{}
	}
	g.memo[key] = p
	return p, nil
}

// forget drops what was concluded, since a group or an administrator may have changed.
func (g *rights) forget() { clear(g.memo) }

// perms is what the HS_ADMIN values among vs permit by. One that cannot be read permits nothing. With an error, what is
// returned is permitted for certain, and there may be more.
func (g *rights) perms(by record.Ref, vs []record.Value) (p record.AdminPerm, unsure error) {
	for i := range vs {
		if vs[i].Type != record.TypeAdmin {
			continue
		}
		a, err := record.DecodeAdmin(vs[i].Data)
		if err != nil || a.Perms&^p == 0 {
			continue
		}
		ok, err := g.listed(by, []record.Ref{a.Ref})
		if ok {
			p |= a.Perms
		} else if unsure == nil {
			unsure = err
		}
	}
	return p, unsure
}

// listed reports whether by is one of refs or a member of a group among them.
func (g *rights) listed(by record.Ref, refs []record.Ref) (bool, error) {
	for _, r := range refs {
		if r.Covers(by) {
			return true, nil
		}
	}
	seen := map[record.Ref]bool{}
	left := maxIdentities
	var ask error
	for depth := 0; depth < maxGroups && len(refs) > 0; depth++ {
		var members []record.Ref
		for _, r := range refs {
			r.Name = handle.Fold(r.Name)
			if left--; left < 0 {
				return false, ask
			}
			if seen[r] {
				continue
			}
			seen[r] = true
			in, err := g.members(r)
			if err != nil {
				if ask == nil {
					ask = err
				}
				continue // another group may settle it
			}
			for _, m := range in {
				if m.Covers(by) {
					return true, nil
				}
			}
			members = append(members, in...)
		}
		refs = members
	}
	return false, ask
}

// members are those of the group that ref names; none when it names something else.
func (g *rights) members(ref record.Ref) ([]record.Ref, error) {
	rec, err := id.ParseHandle(ref.Name)
	if err != nil {
		return nil, nil
	}
	vs, found, err := g.find(recordID(rec))
	if err != nil || !found {
		return nil, err
	}
	var out []record.Ref
	for i := range vs {
		if vs[i].Type == record.TypeVList && (ref.Index == 0 || ref.Index == vs[i].Index) {
			if in, err := record.DecodeVList(vs[i].Data); err == nil {
				out = append(out, in...)
			}
		}
	}
	return out, nil
}

// find is the record rec wherever it is kept.
func (g *rights) find(rec id.ID) ([]record.Value, bool, error) {
	vs, found, err := g.v.values(appendRecordKey(nil, rec))
	if found || err != nil || g.v.r.cfg.Groups == nil {
		return vs, found, err
	}
	if home, _, err := g.v.zone(rec); home != "" || err != nil {
		return nil, false, err // it would be here
	}
	name := rec.String()
	a := g.known[name]
	if a == nil {
		a = g.v.r.elsewhere.get(name, g.now)
	}
	if a == nil {
		g.missing = append(g.missing, rec)
		return nil, false, errElsewhere
	}
	if a.err != nil {
		return nil, false, problem.Wrap(a.err, problem.AuthError, "the record %s, on which the rights depend, cannot be found out: try again when its server answers",
			"无法查得权限所依据的记录 %s：请待其服务器恢复后再试", clip(name))
	}
	return a.values, a.values != nil, nil
}

// elsewhere remembers for a short time what other nodes said of prefix records and groups.
type elsewhere struct {
	mu  sync.Mutex
	all map[string]*away
}

const (
	awayFor     = 30 * time.Second
	awayFailFor = 2 * time.Second
	maxAway     = 4096
)

func (e *elsewhere) get(name string, now time.Time) *away {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.all[name]
	if a == nil || now.After(a.until) {
		return nil
	}
	return a
}

// ask asks for the records and adds them to known.
func (r *Registry) ask(ctx context.Context, recs []id.ID, known map[string]*away) error {
	for _, rec := range recs {
		name := rec.String()
		if known[name] != nil {
			continue
		}
		a := &away{}
		ans, err := r.cfg.Groups.Resolve(ctx, record.Query{ID: rec, Types: []string{record.TypeAdmin, record.TypeVList}, PublicOnly: true})
		now := r.cfg.Now()
		switch {
		case err == nil:
			a.values, a.until = append([]record.Value{}, ans.Values...), now.Add(awayFor)
		case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues):
			a.until = now.Add(awayFor)
		case ctx.Err() != nil:
			return canceled(ctx.Err())
		default:
			a.err, a.until = err, now.Add(awayFailFor)
		}
		known[name] = a
		r.elsewhere.mu.Lock()
		if len(r.elsewhere.all) >= maxAway || r.elsewhere.all == nil {
			r.elsewhere.all = map[string]*away{}
		}
		r.elsewhere.all[name] = a
		r.elsewhere.mu.Unlock()
	}
	return nil
}

// settled runs a question about rights until everything that other nodes must say is known.
func (r *Registry) settled(ctx context.Context, ask func(g *rights) error) error {
	known := map[string]*away{}
	for range maxGroups + 2 {
		g := &rights{v: &view{r: r, ctx: ctx}, known: known, now: r.cfg.Now()}
		err := ask(g)
		if len(g.missing) == 0 || err != errElsewhere {
			return err
		}
		if err := r.ask(ctx, g.missing, known); err != nil {
			return err
		}
	}
	return errElsewhere
}
