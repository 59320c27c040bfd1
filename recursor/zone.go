package recursor

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// zone is what a prefix record says: who answers for the identifiers under the prefix, and who for the records of the
// prefixes below it.
type zone struct {
	own, below authority
}

// authority is who answers for a set of names, and whose signatures stand for them.
type authority struct {
	name     string   // the prefix record that says so, 0.NA/88.118
	sites    []*site  // HS_SITE, HS_SITE.6
	services []string // HS_SERV: identifiers whose HS_SITE values count
	signers  []signer
	trust    record.Trust // Secure: everything must be signed by one of signers
	status   bool         // the record has a FUJIE.STATUS: without sites, that is on purpose
}

// site is a site with what is known of where its description came from.
type site struct {
	*record.Site
	proven bool // its servers' keys are what their operator says, so that what they sign counts
}

// signer is a key, the prefix record in whose name it signs, and the certificate that allows it to; a root key that
// the operator configured has none and needs none.
type signer struct {
	owner string
	key   trust.PublicKey
	cert  *trust.Cert
}

func (s *signer) covers(name string) bool { return s.cert == nil || s.cert.Covers(name) }

// Limits on what one prefix record may make us do.
const (
	maxSites    = 16
	maxServices = 3
	maxSigners  = 8
	maxLabels   = 16 // levels of a prefix that are looked up one by one; behind that the whole prefix is
)

// rootHints is the root zone as configured.
func rootHints(c *Config) *zone {
	a := authority{name: id.Root.String(), trust: record.Unchecked}
	for _, s := range c.Hints {
		a.sites = append(a.sites, &site{Site: s, proven: true})
	}
	for _, k := range c.Anchors {
		a.signers = append(a.signers, signer{owner: a.name, key: k})
		a.trust = record.Secure
	}
	return &zone{a, a}
}

// readZone reads the prefix record name, which up answers for. t is what was proved of the record. until is when the
// least certificate in use ends. The error, of kind problem.Bogus, says why the record's certificates do not hold.
func (r *Recursor) readZone(name id.ID, values []record.Value, up *authority, t record.Trust, now time.Time) (z *zone, until time.Time, err error) {
	z = &zone{own: authority{name: name.String(), trust: t}, below: authority{name: name.String(), trust: t}}
	for i := range values {
		v := &values[i]
		switch strings.ToUpper(v.Type) {
		case record.TypeSite, record.TypeSite6:
			z.own.addSite(v, t)
		case record.TypeSitePrefix, record.TypeDelegate:
			z.below.addSite(v, t)
		case record.TypeServ:
			z.own.addService(v)
		case record.TypeServPrefix:
			z.below.addService(v)
		case record.TypeStatus:
			z.own.status = true
		}
	}
	if t == record.Secure {
		certs, err := r.certificates(name, values, up, now)
		if err != nil {
			return nil, until, err
		}
		prefix, _ := name.Delegated()
		for _, c := range certs {
			s := signer{name.String(), c.Key, c}
			if c.Signs(name.String()) {
				z.own.signers = append(z.own.signers, s)
			}
			if c.Covers(id.PrefixRecord(prefix + ".0").String()) {
				z.below.signers = append(z.below.signers, s)
			}
			if until.IsZero() || c.Until.Before(until) {
				until = c.Until
			}
		}
		if len(z.own.signers) == 0 {
			z.own.trust = record.Unsigned
		}
		if len(z.below.signers) == 0 {
			z.below.trust = record.Unsigned
		}
	}
	switch {
	case name == id.Root:
		// Whatever the root's record says, the configured keys stay.
		for _, a := range []*authority{&z.own, &z.below} {
			a.signers, a.trust = append(slices.Clone(r.hints.own.signers), a.signers...), t
		}
		if !z.own.reachable() {
			z.own.sites = r.hints.own.sites
		}
		if !z.below.reachable() {
			z.below.sites, z.below.services = z.own.sites, z.own.services
		}
	case !z.below.reachable():
		// Nobody in particular keeps the records of the prefixes below: then who keeps this one does.
		signers := z.below.signers
		z.below = *up
		z.below.signers = append(slices.Clone(up.signers), signers...)
	}
	return z, until, nil
}

func (a *authority) reachable() bool { return len(a.sites)+len(a.services) > 0 }

func (a *authority) addSite(v *record.Value, t record.Trust) {
	if len(a.sites) >= maxSites {
		return
	}
	// One unreadable site leaves the others.
	if s, err := record.DecodeSite(v.Data); err == nil && len(s.Servers) > 0 {
		a.sites = append(a.sites, &site{Site: s, proven: t == record.Secure})
	}
}

func (a *authority) addService(v *record.Value) {
	if len(a.services) < maxServices {
		a.services = append(a.services, string(v.Data))
	}
}

// route is the way to a name: who answers for it, and the prefix record that says so, which may be asked for anew.
type route struct {
	authority
	from id.ID // the zero ID for the configured root
	sub  bool  // from's below, not its own
}

// route walks down the prefixes to who answers for name. An absent entry comes back instead when the prefix is not
// registered, so that nobody does.
func (r *Recursor) route(a asker, name id.ID, h how) (*route, *entry, error) {
	if name == id.Root {
		w := &route{authority: r.hints.own}
		if old, ok := r.answers.GetIfPresent(name.String()); ok && old.zone != nil {
			// A key that the root's last record certified may sign its next one: so keys roll while the node runs.
			w.signers = old.zone.own.signers
		}
		return w, nil, nil
	}
	z, from := r.root(a, h)
	prefix, isPrefix := name.Delegated()
	if !isPrefix {
		prefix = name.Prefix()
		if name.IsGlobal() {
			return &route{authority: z.own, from: from}, nil, nil
		}
	}
	found := true
	var last *entry
	for n, p := range levels(prefix) {
		if isPrefix && len(p) == len(prefix) || n >= maxLabels && len(p) < len(prefix) {
			continue
		}
		e, _, err := r.get(a, id.PrefixRecord(p), how{depth: h.depth})
		if err != nil {
			return nil, nil, onTheWay(err, name, p)
		}
		if found, last = e.zone != nil, e; found {
			z, from = e.zone, e.name
		}
	}
	if isPrefix {
		return &route{authority: z.below, from: from, sub: true}, nil, nil
	}
	if !found {
		return nil, last, nil
	}
	return &route{authority: z.own, from: from}, nil, nil
}

// root is the root's zone by its own record, or, when that cannot be had, as configured.
func (r *Recursor) root(a asker, h how) (*zone, id.ID) {
	if e, _, err := r.get(a, id.Root, how{depth: h.depth}); err == nil && e.zone != nil {
		return e.zone, id.Root
	}
	return r.hints, id.ID{}
}

// again is the same route after its prefix record was fetched anew, or false when that made no difference.
func (r *Recursor) again(a asker, name id.ID, h how, w *route) (*route, bool) {
	if r.appeared(a, name, h) {
		next, _, err := r.route(a, name, h)
		return next, err == nil && next != nil
	}
	if !w.from.IsValid() {
		return nil, false
	}
	old, ok := r.answers.GetIfPresent(w.from.String())
	if ok && r.c.Now().Unix()-old.stored < leastAge {
		return nil, false
	}
	e, _, err := r.get(a, w.from, how{fresh: true, depth: h.depth})
	if err != nil || e.zone == nil || ok && old.zone != nil && e.zone.same(old.zone) {
		return nil, false
	}
	next, _, err := r.route(a, name, h)
	return next, err == nil && next != nil
}

// appeared reports whether a prefix on the way to name that was not delegated when it was last asked for is so now.
func (r *Recursor) appeared(a asker, name id.ID, h how) bool {
	prefix, isPrefix := name.Delegated()
	if !isPrefix {
		prefix = name.Prefix()
	}
	for _, p := range levels(prefix) {
		if isPrefix && len(p) == len(prefix) {
			continue
		}
		rec := id.PrefixRecord(p)
		old, ok := r.answers.GetIfPresent(rec.String())
		if !ok || old.zone != nil || r.c.Now().Unix()-old.stored < leastAge {
			continue
		}
		if e, _, err := r.get(a, rec, how{fresh: true, depth: h.depth}); err == nil && e.zone != nil {
			return true
		}
	}
	return false
}

// same reports whether both lead to the same servers and keys.
func (z *zone) same(o *zone) bool { return z.own.same(&o.own) && z.below.same(&o.below) }

func (a *authority) same(o *authority) bool {
	return a.trust == o.trust && slices.Equal(a.services, o.services) &&
		slices.EqualFunc(a.sites, o.sites, func(x, y *site) bool {
			return bytes.Equal(record.AppendSite(nil, x.Site), record.AppendSite(nil, y.Site))
		}) &&
		slices.EqualFunc(a.signers, o.signers, func(x, y signer) bool { return x.owner == y.owner && x.key.Equal(y.key) })
}

// leastAge is how old, in seconds, a delegation must be before a failure makes us ask for it again.
const leastAge = 10

// levels is the prefixes on the way to prefix, itself included: 88, 88.118, 88.118.1001. Prefixes of the root itself
// (0.x) have no level above.
func levels(prefix string) []string {
	var all []string
	if prefix != "0" && !strings.HasPrefix(prefix, "0.") {
		for i := range len(prefix) {
			if prefix[i] == '.' {
				all = append(all, prefix[:i])
			}
		}
	}
	return append(all, prefix)
}

// onTheWay says at which level a walk ended.
func onTheWay(err error, name id.ID, prefix string) error {
	return problem.Wrap(err, problem.KindOf(err), "on the way to %s, at prefix %s", "在解析 %s 途中，前缀 %s 处", name, prefix)
}
