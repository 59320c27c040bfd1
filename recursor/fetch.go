package recursor

import (
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// fetch finds who answers for name and asks them.
func (r *Recursor) fetch(a asker, name id.ID, h how) (*entry, error) {
	if a.depth > record.MaxDepth {
		return nil, tooDeep([]string{name.String()})
	}
	w, none, err := r.route(a, name, h)
	switch {
	case err != nil:
		return nil, err
	case none != nil:
		// Nobody answers for the prefix, so there is nothing under it. That is remembered under the prefix alone: else
		// made-up names would fill the cache.
		e := &entry{name: name, absent: true, trust: none.trust, primary: none.primary, source: none.source, gone: absence(name)}
		e.expires = none.expires
		e.stored = none.expires
		return e, nil
	}
	e, err := r.consult(a, w, name, h)
	if err == nil || h.fresh || !worthAgain(err) {
		return e, err
	}
	// The delegation may be out of date: keys roll, servers move.
	if next, ok := r.again(a, name, h, w); ok {
		return r.consult(a, next, name, h)
	}
	return nil, err
}

func worthAgain(err error) bool {
	k := problem.KindOf(err)
	return k == problem.Bogus || k == problem.Unreachable
}

// consult asks an authority's own sites, and, if it names none or they give nothing, the sites of its services.
func (r *Recursor) consult(a asker, w *route, name id.ID, h how) (*entry, error) {
	if !w.reachable() && w.status {
		return nil, problem.New(problem.Unreachable, "the prefix of %[2]s is suspended by the office that gave it, as %[1]s says; ask that office",
			"%[2]s 的前缀已被其登记机构停用（见 %[1]s）；请咨询该机构", w.name, name)
	}
	if !w.reachable() {
		return nil, problem.New(problem.Unreachable, "the record %s names no site (HS_SITE) and no service (HS_SERV) that would answer for %s; its owner must add one",
			"记录 %s 没有指明为 %s 提供解析的站点（HS_SITE）或服务（HS_SERV）；须由其所有者补充", w.name, name)
	}
	var reason error
	if len(w.sites) > 0 {
		e, err := r.converse(a, &w.authority, w.sites, name, h)
		if err == nil || !worthAgain(err) {
			return e, err
		}
		reason = err
	}
	for _, s := range w.services {
		sites, err := r.service(a, s, h)
		if err == nil {
			var e *entry
			if e, err = r.converse(a, &w.authority, sites, name, h); err == nil || !worthAgain(err) {
				return e, err
			}
		}
		// A bogus answer is worse news than silence, and a circle is what its makers must hear of.
		if reason == nil || problem.Is(reason, problem.Unreachable) {
			reason = err
		}
	}
	return nil, reason
}

// service finds the sites of the service that an HS_SERV value or a referral names.
func (r *Recursor) service(a asker, name string, h how) ([]*site, error) {
	service, err := id.Parse(name)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unreachable, "a service is named %q, which is no identifier; the owner of the delegation must correct it",
			"服务名 %q 不是标识；须由委派的所有者更正", clip(name))
	}
	if service == id.Root {
		z, _ := r.root(a, h)
		return z.own.sites, nil
	}
	chain := []string{service.String()}
	for {
		a.depth++
		if a.depth > record.MaxDepth {
			return nil, tooDeep(chain)
		}
		if service.IsPrefix() {
			service = id.PrefixRecord(service.Prefix())
		}
		e, _, err := r.get(a, service, how{depth: h.depth})
		if err != nil {
			return nil, err
		}
		var at authority
		var next string
		for i := range e.values {
			v := &e.values[i]
			switch strings.ToUpper(v.Type) {
			case record.TypeSite, record.TypeSite6:
				at.addSite(v, e.trust)
			case record.TypeServ, record.TypeAlias:
				next = string(v.Data)
			}
		}
		switch {
		case len(at.sites) > 0:
			return at.sites, nil
		case next == "":
			return nil, problem.New(problem.Unreachable, "the service %s has no HS_SITE value; its owner must add one", "服务 %s 没有 HS_SITE 值；须由其所有者补充", service)
		}
		if service, err = id.Parse(next); err != nil {
			return nil, problem.Wrap(err, problem.Unreachable, "the service %s goes on to %q, which is no identifier", "服务 %s 指向 %q，而后者不是标识", chain[len(chain)-1], clip(next))
		}
		if slices.Contains(chain, service.String()) {
			return nil, loop("HS_SERV", append(chain, service.String()))
		}
		chain = append(chain, service.String())
	}
}

// converse puts the question to sites and follows where they refer it to. A referral changes who is asked, never whose
// signature counts.
func (r *Recursor) converse(a asker, by *authority, sites []*site, name id.ID, h how) (*entry, error) {
	places := []string{addresses(sites)}
	chain := []string{by.name + " at " + places[0]}
	for {
		o := r.inquire(a, by, sites, name, h)
		if o.err != nil || o.entry != nil {
			return o.entry, o.err
		}
		if a.depth++; a.depth > record.MaxDepth {
			return nil, tooDeep(chain)
		}
		var err error
		if sites, err = r.referred(a, o.referral, o.certified, h); err != nil {
			return nil, err
		}
		at := addresses(sites)
		if i := slices.Index(places, at); i >= 0 {
			return nil, loop("referral", append(chain, chain[i]))
		}
		places = append(places, at)
		if o.referral.Name != "" {
			at = o.referral.Name + " at " + at
		}
		chain = append(chain, at)
	}
}

// referred finds the sites that a referral leads to.
func (r *Recursor) referred(a asker, f *record.Referral, certified bool, h how) ([]*site, error) {
	var own, below authority
	t := record.Unsigned
	if certified {
		t = record.Secure
	}
	for i := range f.Values {
		v := &f.Values[i]
		switch strings.ToUpper(v.Type) {
		case record.TypeSite, record.TypeSite6:
			own.addSite(v, t)
		case record.TypeSitePrefix, record.TypeDelegate:
			below.addSite(v, t)
		case record.TypeServ:
			own.addService(v)
		case record.TypeServPrefix:
			below.addService(v)
		}
	}
	at := own
	if f.Prefix && below.reachable() || !own.reachable() {
		at = below
	}
	if len(at.sites) > 0 {
		return at.sites, nil
	}
	if len(at.services) == 0 && f.Name != "" {
		at.services = []string{f.Name}
	}
	var reason error
	for _, s := range at.services {
		sites, err := r.service(a, s, h)
		if err == nil {
			return sites, nil
		}
		reason = first(reason, err)
	}
	if reason == nil {
		reason = problem.New(problem.Unreachable, "a server refers to another one, but does not say where it is; its operator must correct that", "服务器转介到其他服务器，却没有给出其位置；须由其运营者更正")
	}
	return nil, reason
}

// addresses tells a set of sites from others, and people where it is.
func addresses(sites []*site) string {
	var all []string
	for _, s := range sites {
		for i := range s.Servers {
			if es := s.Servers[i].Endpoints(false); len(es) > 0 && len(all) < maxSites {
				all = append(all, es[0].Addr.String())
			}
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}

// make turns an answer that was believed into an entry.
func (r *Recursor) make(name id.ID, h how, t *try, an *record.Answer, by *authority, p proof, now time.Time) (*entry, error) {
	e := &entry{name: name, values: an.Values, trust: p.trust, primary: an.Primary, certified: an.Certified, source: t.at.String()}
	e.signed = h.certify || by.trust == record.Secure
	e.open = h.hidden
	e.stored = now.Unix()
	lasting := an.Values
	if p.added >= 0 {
		lasting = slices.Delete(slices.Clone(lasting), p.added, p.added+1) // it says itself until when it holds
	}
	e.expires = e.stored + r.life(lasting, e.stored)
	if len(an.Values) == 0 {
		e.expires = e.stored + int64(r.c.NegativeTTL/time.Second)
	}
	until := p.until
	if isPrefixRecord(name) && len(an.Values) > 0 {
		z, end, err := r.readZone(name, an.Values, by, p.trust, now)
		if err != nil {
			return nil, err
		}
		e.zone = z
		if !end.IsZero() && end.Before(until) {
			until = end
		}
	}
	e.staleUntil = e.expires + int64(r.c.MaxStale/time.Second)
	if !until.IsZero() {
		end := until.Add(r.c.Skew).Unix()
		e.expires, e.staleUntil = min(e.expires, end), min(e.staleUntil, end)
	}
	e.seal(p.added)
	return e, nil
}

// none is the entry of a name that has no record, or, without absent, none that anybody may read.
func (r *Recursor) none(name id.ID, absent bool, t *try, an *record.Answer, by *authority, now time.Time) *entry {
	e := &entry{name: name, absent: absent, trust: by.trust, primary: an.Primary, certified: an.Certified, source: t.at.String()}
	e.signed = by.trust == record.Secure
	e.stored = now.Unix()
	e.expires = e.stored + int64(r.c.NegativeTTL/time.Second)
	if absent {
		e.gone = absence(name)
	}
	e.seal(-1)
	return e
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
