package site

import (
	"bytes"
	"context"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Parent is who keeps the delegation of the prefix.
type Parent interface {
	record.Resolver
	record.Registrar
}

// Redelegate makes the site with own's server keys the primary in the delegation of prefix, and the others mirrors of it.
// A site that does not stand there yet is added. The holder of the prefix's key may do so. Errors are the parent's.
func Redelegate(ctx context.Context, parent Parent, prefix string, own *record.Site) error {
	rec := id.PrefixRecord(prefix)
	a, err := parent.Resolve(ctx, record.Query{ID: rec, PublicOnly: true, Authoritative: true, NoReferral: true})
	if err != nil {
		return err
	}
	taken := map[uint32]bool{}
	for i := range a.Values {
		taken[a.Values[i].Index] = true
	}
	var change, add []record.Value
	for _, types := range [][]string{{record.TypeSite, record.TypeSite6}, {record.TypeSitePrefix}} {
		found, any := false, false
		for i := range a.Values {
			v := a.Values[i]
			if v.Type != types[0] && (len(types) == 1 || v.Type != types[1]) {
				continue
			}
			any = true
			s, err := record.DecodeSite(v.Data)
			if err != nil {
				return problem.Wrap(err, problem.BadValue, "the site at index %d of %s cannot be read", "%[2]s 索引 %[1]d 处的站点无法读取", v.Index, rec)
			}
			mine := sameServers(s, own)
			found = found || mine
			if data := turned(s, mine); data != nil {
				v.Data = data
				change = append(change, v)
			}
		}
		if any && !found {
			at := uint32(1)
			if types[0] == record.TypeSitePrefix {
				at = 11
			}
			for taken[at] {
				at++
			}
			taken[at] = true
			s := *own
			turned(&s, true)
			add = append(add, record.Value{Index: at, Type: types[0], Data: record.AppendSite(nil, &s), TTL: record.TTL{Seconds: record.DefaultTTL}, Perm: record.DefaultPerm})
		}
	}
	var writes []record.Write
	if len(change) > 0 {
		writes = append(writes, record.Write{Op: record.Modify, ID: rec, Values: change})
	}
	if len(add) > 0 {
		writes = append(writes, record.Write{Op: record.Add, ID: rec, Values: add})
	}
	if len(writes) == 0 {
		return nil
	}
	rs, err := parent.Write(ctx, record.Identity{}, writes)
	for i := range rs {
		if err == nil {
			err = rs[i].Err
		}
	}
	return err
}

// NamedPrimary reports whether the delegation of prefix, as its keeper has it now, names the site with own's server keys
// as a primary.
func NamedPrimary(ctx context.Context, parent record.Resolver, prefix string, own *record.Site) (bool, error) {
	a, err := parent.Resolve(ctx, record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true, Authoritative: true, NoReferral: true})
	if err != nil {
		return false, err
	}
	for i := range a.Values {
		if t := a.Values[i].Type; t != record.TypeSite && t != record.TypeSite6 {
			continue
		}
		if s, err := record.DecodeSite(a.Values[i].Data); err == nil && s.Primary && sameServers(s, own) {
			return true, nil
		}
	}
	return false, nil
}

func sameServers(a, b *record.Site) bool {
	for i := range a.Servers {
		for j := range b.Servers {
			if len(a.Servers[i].PublicKey) > 0 && bytes.Equal(a.Servers[i].PublicKey, b.Servers[j].PublicKey) {
				return true
			}
		}
	}
	return false
}

// turned makes s a primary or none; its new form, nil when it is so already.
func turned(s *record.Site, primary bool) []byte {
	before := record.AppendSite(nil, s)
	s.Primary = primary
	servers := append([]record.Server{}, s.Servers...)
	for i := range servers {
		servers[i].Interfaces = append([]record.Interface{}, servers[i].Interfaces...)
		for j := range servers[i].Interfaces {
			f := &servers[i].Interfaces[j]
			f.Admin = primary && f.Protocol != record.UDP
			f.Query = f.Query || !f.Admin
		}
	}
	s.Servers = servers
	if bytes.Equal(before, record.AppendSite(nil, s)) {
		return nil
	}
	s.Serial++
	return record.AppendSite(nil, s)
}
