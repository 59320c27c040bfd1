package irp

import (
	"context"
	"slices"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Find says at which endpoints the record of name is kept, best first: it resolves, through r, who answers for its
// prefix (HS_SITE, HS_SITE.6, and over HS_SERV the service's), and picks in each site the server that holds name. With
// admin only primary sites count, their interfaces for administration, and TCP comes before UDP. Where the prefix has
// no record of its own, the nearest prefix above that has one answers. Errors: Unreachable when a site was found but no
// usable interface, NotFound when nobody answers for the prefix, TooDeep for a loop of services, and r's.
func (c *Client) Find(ctx context.Context, r record.Resolver, name id.ID, admin bool) ([]record.Endpoint, error) {
	var sites []*record.Site
	var err error
	if admin {
		// Which site takes changes is not what it was when another one has taken over: what caches say may be old.
		sites, err = sitesFor(ctx, uncached{r}, name)
	}
	if !admin || problem.Is(err, problem.Unreachable) {
		sites, err = sitesFor(ctx, r, name)
	}
	if err != nil {
		return nil, err
	}
	var es []record.Endpoint
	for _, s := range sites {
		if admin && !s.Primary {
			continue
		}
		if server := s.Pick(name.String()); server != nil {
			es = append(es, server.Endpoints(admin)...)
		}
	}
	if admin {
		slices.SortStableFunc(es, func(a, b record.Endpoint) int { return adminRank(a.Protocol) - adminRank(b.Protocol) })
	}
	es = slices.DeleteFunc(es, func(e record.Endpoint) bool { return !e.Addr.IsValid() || e.Addr.Addr().IsUnspecified() })
	if len(es) == 0 {
		what, zh := "questions", "查询"
		if admin {
			what, zh = "changes", "变更"
		}
		return nil, problem.New(problem.Unreachable, "the sites of %[1]s have no server that takes %[2]s", "%[1]s 的站点中没有接受%[3]s的服务器", name, what, zh)
	}
	return es, nil
}

func adminRank(p record.Protocol) int {
	switch p {
	case record.TCP:
		return 0
	case record.UDP:
		return 1
	}
	return 2
}

// uncached asks past every cache.
type uncached struct{ record.Resolver }

func (u uncached) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	q.Authoritative = true
	return u.Resolver.Resolve(ctx, q)
}

// sitesFor finds the sites that keep the record of name.
func sitesFor(ctx context.Context, r record.Resolver, name id.ID) ([]*record.Site, error) {
	types := []string{record.TypeSite, record.TypeSite6, record.TypeServ}
	at := id.PrefixRecord(name.Prefix())
	prefix, about := name.Delegated()
	switch {
	case about && name != id.Root:
		// The record of a prefix is its parent's.
		at = id.PrefixRecord(id.ParentPrefix(prefix))
		if id.ParentPrefix(prefix) != id.Root.Prefix() {
			types = []string{record.TypeSitePrefix, record.TypeDelegate, record.TypeServPrefix}
		}
	case name.IsGlobal():
		at = id.Root
	}
	for {
		sites, err := sitesAt(ctx, r, at, types)
		switch {
		case err == nil && len(sites) > 0:
			return sites, nil
		case err != nil && !problem.Is(err, problem.NotFound) && !problem.Is(err, problem.NoValues):
			return nil, err
		case at == id.Root:
			return nil, problem.Wrap(err, problem.NotFound, "nobody answers for the prefix of %s: neither it nor a prefix above has a site", "没有服务器负责 %s 的前缀：它及其上级前缀均无站点信息", name)
		}
		// The nearest prefix above, as far as it answers for those below it.
		prefix, _ := at.Delegated()
		types = []string{record.TypeSitePrefix, record.TypeDelegate, record.TypeServPrefix}
		if at = id.PrefixRecord(id.ParentPrefix(prefix)); at == id.Root {
			types = []string{record.TypeSite, record.TypeSite6, record.TypeServ}
		}
	}
}

// sitesAt reads the sites that a record names, itself or through services.
func sitesAt(ctx context.Context, r record.Resolver, at id.ID, types []string) ([]*record.Site, error) {
	for range record.MaxDepth {
		ans, err := r.Resolve(ctx, record.Query{ID: at, Types: types, PublicOnly: true})
		if err != nil {
			return nil, err
		}
		var sites []*record.Site
		service := ""
		for i := range ans.Values {
			v := &ans.Values[i]
			switch v.Type {
			case record.TypeServ, record.TypeServPrefix:
				if service == "" {
					service = string(v.Data)
				}
			default:
				// One broken site must not hide the others.
				if s, err := record.DecodeSite(v.Data); err == nil {
					sites = append(sites, s)
				}
			}
		}
		if len(sites) > 0 || service == "" {
			return sites, nil
		}
		if at, err = id.ParseHandle(service); err != nil {
			return nil, problem.Wrap(err, problem.BadValue, "the service that %s names is no identifier", "%s 指明的服务不是标识", at)
		}
		types = []string{record.TypeSite, record.TypeSite6, record.TypeServ}
	}
	return nil, problem.New(problem.TooDeep, "the service of %s leads through more than %d others: a loop of HS_SERV values", "%s 的服务经过了超过 %d 个其他服务：HS_SERV 值出现循环", at, record.MaxDepth)
}
