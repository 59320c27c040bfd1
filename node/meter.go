package node

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/meter"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// openMeter begins to count, and to report to the node above when the configuration names it.
func (n *Node) openMeter() error {
	c := meter.Config{Prefix: n.cfg.Prefix, Enterprise: n.cfg.Role == Enterprise, Store: n.store, Feed: n.registry, Lister: n.registry, Names: n.registry,
		Homed: func() []string { return append([]string{n.cfg.Prefix}, n.hosted()...) },
		Key:   n.prefixKey, KeyOf: n.prefixKeyOf, Neighbours: n.neighbours, Papers: n.reportable(), Now: n.now, Log: n.log, Total: n.registry.Total,
		Beat: n.cfg.Place.Pulse, About: meter.About{Title: cmp.Or(n.cfg.Place.Title, n.cfg.Name), Role: string(n.cfg.Role), Region: n.cfg.Place.Region, Industry: n.cfg.Place.Industry}}
	if n.outside != nil {
		c.Probe = n.probe
	}
	if p := n.cfg.Parent; p != nil {
		up := &web.Client{Base: p.URL, Pin: p.Key}
		n.closes = append(n.closes, func() error { up.Close(); return nil })
		c.Parent = id.ParentPrefix(n.cfg.Prefix)
		c.Push = func(ctx context.Context, table string, body meter.Statement) error {
			return report(ctx, up, "/api/reports/"+table, body)
		}
		c.Pulse = func(ctx context.Context, body meter.Statement) error { return report(ctx, up, "/api/pulses", body) }
	}
	var err error
	if n.in.meter, err = meter.New(c); err != nil {
		return err
	}
	n.goes("meter", func(ctx context.Context) error { n.in.meter.Run(ctx); return nil })
	return nil
}

// report hands a signed report to the node above.
func report(ctx context.Context, up *web.Client, path string, body meter.Statement) error {
	b, err := json.Marshal(body)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "a report cannot be written", "报表无法写出")
	}
	status, answer, err := up.Exchange(ctx, http.MethodPost, path, b)
	if err != nil {
		return err
	}
	if status < 300 {
		return nil
	}
	var p struct {
		Kind   string `json:"kind"`
		Detail string `json:"detail"`
	}
	json.Unmarshal(answer, &p)
	kind := problem.Unreachable
	switch status {
	case http.StatusBadRequest, http.StatusNotFound:
		kind = problem.BadRequest
	case http.StatusConflict, http.StatusPreconditionFailed:
		kind = problem.Conflict
	case http.StatusBadGateway:
		if p.Kind == problem.Bogus.String() {
			kind = problem.Bogus
		}
	case http.StatusForbidden:
		kind = problem.Forbidden
	case http.StatusRequestEntityTooLarge:
		kind = problem.TooLarge
	}
	return problem.New(kind, "the node above answers HTTP %d: %s", "上级节点应答 HTTP %d：%s", status, p.Detail)
}

// prefixKeyOf is the key of a prefix, by its delegation.
func (n *Node) prefixKeyOf(ctx context.Context, prefix string) (trust.PublicKey, error) {
	a, err := n.keys.Resolve(ctx, record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true, Indexes: []uint32{300}})
	if err != nil {
		return trust.PublicKey{}, err
	}
	for i := range a.Values {
		if a.Values[i].Type == record.TypePubKey {
			return trust.ParsePublic(a.Values[i].Data)
		}
	}
	return trust.PublicKey{}, problem.New(problem.NotFound, "%s has no key", "%s 没有密钥", prefix)
}

// neighbours are the nodes that this one measures: those of the prefixes that its office gave away, and the one above.
func (n *Node) neighbours(context.Context) (list []meter.Neighbour, err error) {
	if p := id.ParentPrefix(n.cfg.Prefix); p != "" && p != id.Root.Prefix() {
		list = append(list, meter.Neighbour{Prefix: p})
	}
	for _, p := range n.given() {
		if p.Paper.Kind == office.SelfHosted && p.Paper.State == office.Active && len(list) < 2000 {
			list = append(list, meter.Neighbour{Prefix: p.Paper.Prefix, Name: p.Paper.Organisation.Name})
		}
	}
	return list, nil
}

// given is the files of the prefixes that this node's office gave.
func (n *Node) given() []office.Paper {
	if n.in.office == nil {
		return nil
	}
	applications, _ := n.in.office.Shelves()
	list, _ := applications.Page("", applications.Len()+1, func(_ id.ID, a office.Application) bool {
		return a.State == office.Active || a.State == office.Suspended
	})
	return list
}

// probe asks a neighbour once, as a stranger would.
func (n *Node) probe(ctx context.Context, to meter.Neighbour, what meter.Service) error {
	if what == meter.Resolution {
		return n.reachable(ctx, to.Prefix)
	}
	// A registration by nobody is refused by who takes registrations, before anything is written.
	servers, err := n.client.Find(ctx, n.outside, id.MustParse(to.Prefix+"/PROBE"), true)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.Protocol != record.HTTP && s.Protocol != record.HTTPS {
			continue
		}
		pub, err := trust.ParsePublic(s.Key)
		if err != nil {
			continue
		}
		c := &web.Client{Base: "https://" + s.Addr.String(), Pin: pub.Fingerprint()}
		defer c.Close()
		_, err = c.Write(ctx, record.Identity{}, []record.Write{{Op: record.Delete, ID: id.MustParse(to.Prefix + "/PROBE")}})
		switch problem.KindOf(err) {
		case problem.Unreachable, problem.Bogus, problem.Canceled, problem.Internal, problem.ReadOnly, problem.Full, problem.Busy:
			return err
		}
		return nil
	}
	return problem.New(problem.Unreachable, "%s has no server that takes registrations over HTTPS", "%s 没有通过 HTTPS 受理注册的服务器", to.Prefix)
}

// reportable is what the office knows, in the words of the tables.
func (n *Node) reportable() meter.Papers {
	p := meter.Papers{
		Routes: func(context.Context) ([]meter.Route, error) {
			return routesOf(n.cfg.Prefix, []*record.Site{n.place.Load()}), nil
		},
	}
	if n.in.office == nil {
		return p
	}
	p.Enterprises = func(context.Context) (rows []meter.Entity, err error) {
		for _, x := range n.given() {
			rows = append(rows, entityOf(&x.Paper))
		}
		return rows, nil
	}
	p.EnterpriseWays = func(context.Context) (rows []meter.Route, err error) {
		for _, x := range n.given() {
			if x.Paper.State != office.Active {
				continue
			}
			sites := []*record.Site{n.place.Load()}
			if x.Paper.Kind == office.SelfHosted {
				sites = nil
				for i := range x.Paper.Sites {
					if s, err := x.Paper.Sites[i].Site(); err == nil {
						sites = append(sites, s)
					}
				}
			}
			rows = append(rows, routesOf(x.Paper.Prefix, sites)...)
		}
		return rows, nil
	}
	p.Effective = func(_ context.Context, from, to time.Time) (list []time.Duration, err error) {
		for _, x := range n.given() {
			if t := x.Paper.Timing; !t.Resolvable.IsZero() && !t.Approved.Before(from) && t.Approved.Before(to) {
				list = append(list, t.Resolvable.Sub(t.Approved))
			}
		}
		return list, nil
	}
	return p
}

func routesOf(prefix string, sites []*record.Site) (rows []meter.Route) {
	for _, s := range sites {
		for i := range s.Servers {
			srv := &s.Servers[i]
			r := meter.Route{CodeType: "Handle", Prefix: prefix, SiteType: record.TypeSite, IPType: 4, IP: srv.Addr.String()}
			if srv.Addr.Is6() && !srv.Addr.Is4In6() {
				r.IPType = 6
			}
			for _, f := range srv.Interfaces {
				switch f.Protocol {
				case record.UDP:
					r.UDPPort = int(f.Port)
				case record.TCP:
					r.TCPPort = int(f.Port)
				case record.HTTP:
					r.HTTPPort = int(f.Port)
				}
			}
			rows = append(rows, r)
		}
	}
	return rows
}

func entityOf(a *office.Application) meter.Entity {
	o := &a.Organisation
	e := meter.Entity{Prefix: a.Prefix, Name: o.Name, Nature: o.Nature, Province: o.Address.Province, City: o.Address.City, County: o.Address.County, Street: o.Address.Street,
		CrtType: o.CrtType, CrtCode: o.CrtCode, CrtImage: o.CrtImage, Website: o.Website, IndustryCategory: o.IndustryCategory, IndustrySpecific: o.IndustrySpecific,
		ContactName: o.Contact.Name, ContactPhone: o.Contact.Phone, ContactEmail: o.Contact.Email, ContactCrtType: o.Contact.CrtType, ContactCrtCode: o.Contact.CrtCode,
		LegalName: o.Legal.Name, LegalPhone: o.Legal.Phone, LegalEmail: o.Legal.Email, LegalCrtType: o.Legal.CrtType, LegalCrtCode: o.Legal.CrtCode,
		BuildType: o.Manage.BuildType, OperType: o.Manage.OperType, Domain: o.Manage.Domain, DataHost: o.Manage.DataHost, ServiceHost: o.Manage.ServiceHost, Licenses: o.Manage.Licenses,
		Status: string(a.State), CreateDate: a.Opened().In(meter.Beijing).Format(time.DateTime), UpdateDate: a.Changed().In(meter.Beijing).Format(time.DateTime)}
	for _, s := range o.Manage.Systems {
		e.Systems = append(e.Systems, meter.InfoSystem{Type: s.Type, Deploy: s.Deploy, Addr: s.Addr})
	}
	return e
}

// answered is what the wires tell of every answer; nil where nobody counts.
func (n *Node) answered() func(name []byte, from netip.Addr, took time.Duration, ok bool) {
	if n.in == nil || n.in.meter == nil {
		return nil
	}
	return n.in.meter.Recorder().Resolved
}
