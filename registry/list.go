package registry

import (
	"context"
	"encoding/binary"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
)

// maxList is how many names one call gives at most.
const maxList = 100_000

// List is record.Lister's. The prefix may be written as 88.118 or as 0.NA/88.118; of 0.NA, the names are the prefix
// records.
func (r *Registry) List(ctx context.Context, by record.Identity, prefix, after string, limit int) ([]string, error) {
	prefix, err := r.mayList(ctx, by, prefix)
	if err != nil {
		return nil, err
	}
	span := store.Under(under(prefix, ""))
	if after != "" {
		v, err := id.ParseHandle(after)
		if err != nil {
			return nil, err
		}
		span.From = appendRecordKey(nil, recordID(v))
		if v := recordID(v); v.Prefix() != prefix {
			if v.Prefix() > prefix {
				return nil, nil
			}
			span = store.Under(under(prefix, ""))
		}
	}
	from := span.From
	limit = min(max(limit, 0), maxList)
	var names []string
	if limit == 0 {
		return nil, nil
	}
	err = r.store.Range(ctx, span, func(key, _ []byte) error {
		if after != "" && string(key) == string(from) {
			return nil
		}
		names = append(names, nameOf(key))
		if len(names) >= limit {
			return store.Stop
		}
		return nil
	})
	if err != nil {
		return nil, storeProblem(err)
	}
	return names, nil
}

// mayList is the folded prefix, if by may list what is under it.
func (r *Registry) mayList(ctx context.Context, by record.Identity, prefix string) (string, error) {
	v, err := id.ParseHandle(prefixOf(prefix))
	if err != nil {
		return "", err
	}
	if !v.IsPrefix() {
		return "", problem.New(problem.BadID, "%q is no prefix: write it without a slash, as 88.118", "%q 不是前缀：请不带斜杠书写，例如 88.118", clip(prefix))
	}
	prefix = v.Prefix()
	if !homed(r, prefix) && prefix != rootPrefix {
		return "", notHere(v)
	}
	if by.IsAnonymous() {
		return "", needAuth("list the names under", v)
	}
	rec := id.PrefixRecord(prefix)
	err = r.settled(ctx, func(g *rights) error {
		boss, unsure := g.boss(by)
		if boss {
			return nil
		}
		if !homed(r, prefix) {
			return notHere(v)
		}
		p, err := g.permsOf(by.Ref, rec)
		switch {
		case p&record.ListHandles != 0:
			return nil
		case unsure != nil:
			return unsure
		case err != nil:
			return err
		case p == 0:
			return problem.New(problem.NotAdmin, "%s is no administrator of %s: act as one that its HS_ADMIN values list", "%s 不是 %s 的管理员：请以其 HS_ADMIN 值中列出的身份操作", clip(by.Ref.String()), clip(prefix))
		}
		return problem.New(problem.Forbidden, "%s lacks the permission LIST_HANDLES in %s: ask its owner for it", "%s 在 %s 中没有 LIST_HANDLES 权限：请向其所有者申请", clip(by.Ref.String()), clip(prefix))
	})
	return prefix, err
}

// Count is record.Lister's.
func (r *Registry) Count(ctx context.Context, by record.Identity, prefix string) (int64, error) {
	prefix, err := r.mayList(ctx, by, prefix)
	if err != nil {
		return 0, err
	}
	return r.count(ctx, r.store, prefix)
}

func (r *Registry) count(ctx context.Context, s store.Reader, prefix string) (int64, error) {
	b, err := get(ctx, s, nil, countKey(prefix))
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// Total is how many records there are.
func (r *Registry) Total(ctx context.Context) (int64, error) { return r.total(ctx, r.store) }

func (r *Registry) total(ctx context.Context, s store.Reader) (int64, error) {
	n := int64(0)
	err := s.Range(ctx, store.Under([]byte{tagCount}), func(_, value []byte) error {
		if len(value) == 8 {
			n += int64(binary.BigEndian.Uint64(value))
		}
		return nil
	})
	if err != nil {
		return 0, storeProblem(err)
	}
	return n, nil
}

// Prefixes is record.Lister's.
func (r *Registry) Prefixes(ctx context.Context, by record.Identity, after string, limit int) ([]string, error) {
	if by.IsAnonymous() {
		return nil, problem.New(problem.NeedAuth, "who wants to list the prefixes must prove who they are: give a key or a password", "列出前缀须先验证身份：请提供密钥或口令")
	}
	err := r.settled(ctx, func(g *rights) error {
		boss, err := g.boss(by)
		if err != nil || boss {
			return err
		}
		return problem.New(problem.NotAdmin, "%s is no administrator of this node: act as one", "%s 不是本节点的管理员：请以节点管理员身份操作", clip(by.Ref.String()))
	})
	if err != nil {
		return nil, err
	}
	after = prefixOf(after)
	limit = min(max(limit, 0), maxList)
	var out []string
	if limit == 0 {
		return nil, nil
	}
	span := store.Under([]byte{tagHomed})
	span.From = homedKey(after)
	err = r.store.Range(ctx, span, func(key, _ []byte) error {
		if p := string(key[1:]); p != after {
			out = append(out, p)
		}
		if len(out) >= limit {
			return store.Stop
		}
		return nil
	})
	if err != nil {
		return nil, storeProblem(err)
	}
	return out, nil
}

// Homed reports whether this node answers for the prefix, written as 88.118 or 0.NA/88.118.
func (r *Registry) Homed(prefix string) bool { return homed(r, prefixOf(prefix)) }

// Secrets is record.SecretFinder's.
func (r *Registry) Secrets(ctx context.Context, ref record.Ref) (keys [][]byte, held bool, err error) {
	v, err := id.ParseHandle(ref.Name)
	if err != nil {
		return nil, false, err
	}
	rec := recordID(v)
	at := &view{r: r, ctx: ctx}
	vs, found, err := at.values(appendRecordKey(nil, rec))
	if err != nil || !found || !at.answers(rec) {
		return nil, false, err
	}
	for i := range vs {
		if strings.EqualFold(vs[i].Type, record.TypeSecKey) && (ref.Index == 0 || ref.Index == vs[i].Index) {
			keys = append(keys, vs[i].Data)
		}
	}
	return keys, true, nil
}
