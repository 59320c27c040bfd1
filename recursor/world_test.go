package recursor

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// world is a small country in memory with real keys and real signatures: a record.Asker whose servers can be slow, down,
// wrong and wicked. What the servers of a prefix answer is worked out from what is registered, as a registry would, and
// then bent by the faults of the one that is asked.
type world struct {
	alg     trust.Algorithm
	zones   map[string]*land
	servers map[string]*machine
	records map[string]*held
	site    uint16 // serial

	mu   sync.Mutex
	log  []asked
	keys int
}

// asked is one question that a server heard.
type asked struct {
	server, name string
	q            record.Query
	at           time.Time
}

// land is a prefix: who answers for it and with which keys it signs. The root is the land "".
type land struct {
	prefix    string
	sites     [][]string // servers; the first site is the primary
	services  []string
	nobelow   bool // no HS_SITE.PREFIX: the records of prefixes below are kept by who keeps this one
	signed    bool
	ttl       uint32
	keys      []*trust.PrivateKey // certified, in this order
	signWith  int                 // which of them signs
	certUntil time.Duration       // from now; 0: a year
	cert      string              // what is odd about the certificate: "own" (signed by the prefix itself), "greedy", "records-only"
}

type machine struct {
	name   string
	addr   netip.Addr
	rtt    time.Duration
	protos []record.Protocol
	key    *trust.PrivateKey
	nokey  bool
	faults []fault
	old    map[string]*held // of a mirror that stopped copying
}

type fault struct {
	kind  string
	arg   string
	d     time.Duration
	index uint32
	proto string
	name  string // only for questions about this
}

type held struct {
	values []record.Value
}

const testPort = 2641

func newWorld(alg trust.Algorithm) *world {
	return &world{
		alg: alg, zones: map[string]*land{}, servers: map[string]*machine{}, records: map[string]*held{}, site: 1,
	}
}

func (w *world) key() *trust.PrivateKey {
	w.keys++
	k, err := trust.Generate(w.alg, nil)
	if err != nil {
		panic(err)
	}
	return k
}

func (w *world) addServer(name, addr string, rtt time.Duration) *machine {
	m := &machine{name: name, addr: netip.MustParseAddr(addr), rtt: rtt, protos: []record.Protocol{record.UDP, record.TCP}, key: w.key()}
	w.servers[name] = m
	return m
}

func (w *world) addZone(prefix string, signed bool, sites ...string) *land {
	l := &land{prefix: prefix, signed: signed, ttl: 86400, keys: []*trust.PrivateKey{w.key()}}
	for _, s := range sites {
		l.sites = append(l.sites, strings.Split(s, "+"))
	}
	w.zones[prefix] = l
	return l
}

func (w *world) put(name string, vs ...record.Value) {
	k := id.MustParse(name).String()
	if w.records[k] == nil {
		w.records[k] = &held{}
	}
	h := &held{values: slices.Clone(w.records[k].values)}
	for _, v := range vs {
		h.values = slices.DeleteFunc(h.values, func(o record.Value) bool { return o.Index == v.Index })
		h.values = append(h.values, v)
	}
	slices.SortFunc(h.values, func(a, b record.Value) int { return int(a.Index) - int(b.Index) })
	w.records[k] = h
}

func val(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), TTL: record.TTL{Seconds: 86400}, Perm: record.DefaultPerm}
}

// siteOf is the n-th site of a list as its HS_SITE says it.
func (w *world) siteOf(servers []string, primary bool) *record.Site {
	s := &record.Site{Version: 1, Major: 2, Minor: 11, Serial: w.site, Primary: primary, Hash: record.HashAll}
	for i, name := range servers {
		m := w.servers[name]
		v := record.Server{ID: uint32(i + 1), Addr: m.addr}
		if !m.nokey {
			v.PublicKey = m.key.Public().Data()
		}
		for _, p := range m.protos {
			v.Interfaces = append(v.Interfaces, record.Interface{Query: true, Protocol: p, Port: testPort})
		}
		s.Servers = append(s.Servers, v)
	}
	return s
}

func (w *world) hints() []*record.Site {
	var out []*record.Site
	for i, s := range w.zones[""].sites {
		out = append(out, w.siteOf(s, i == 0))
	}
	return out
}

func (w *world) anchors() []trust.PublicKey {
	if !w.zones[""].signed {
		return nil
	}
	return []trust.PublicKey{w.zones[""].keys[0].Public()}
}

func zoneRecord(prefix string) string {
	if prefix == "" {
		return "0.NA/0.NA"
	}
	return id.PrefixRecord(prefix).String()
}

// above is the zone that keeps and signs the prefix record of prefix: the nearest registered above it.
func (w *world) above(prefix string) *land {
	for p := prefix; ; {
		i := strings.LastIndexByte(p, '.')
		if i < 0 {
			return w.zones[""]
		}
		p = p[:i]
		if l := w.zones[p]; l != nil {
			return l
		}
	}
}

// keepers is the servers that keep the prefix records below l, and the zone whose key signs them.
func (w *world) keepers(l *land) (servers []string, signer *land) {
	if l.prefix != "" && l.nobelow {
		s, up := w.keepers(w.above(l.prefix))
		if l.signed {
			up = l
		}
		return s, up
	}
	return w.staff(l), l
}

// staff is the servers of a prefix: those of its sites, and those of its services.
func (w *world) staff(l *land) []string {
	all := flat(l.sites)
	for _, s := range l.services {
		h := w.records[id.MustParse(s).String()]
		if h == nil {
			continue
		}
		for _, v := range h.values {
			if v.Type != record.TypeSite {
				continue
			}
			site, err := record.DecodeSite(v.Data)
			if err != nil {
				panic(err)
			}
			for _, srv := range site.Servers {
				all = append(all, w.at(srv.Addr).name)
			}
		}
	}
	return all
}

func flat(sites [][]string) []string {
	var out []string
	for _, s := range sites {
		out = append(out, s...)
	}
	return out
}

// values is the record of name as registered, without signature, and who keeps and signs it; ok is false when there is
// none. kept says by which servers, whether there is one or not.
func (w *world) values(name id.ID, records map[string]*held) (vs []record.Value, signer *land, kept []string, ok bool) {
	if p, is := name.Delegated(); is {
		if p == "0.NA" {
			root := w.zones[""]
			return w.prefixRecord(root, root), root, flat(root.sites), true
		}
		up := w.above(p)
		kept, signer = w.keepers(up)
		l := w.zones[p]
		if l == nil {
			return nil, signer, kept, false
		}
		return w.prefixRecord(l, signer), signer, kept, true
	}
	if name.IsGlobal() {
		signer = w.zones[""]
	} else if signer = w.zones[name.Prefix()]; signer == nil {
		return nil, nil, nil, false
	}
	kept = w.staff(signer)
	h := records[name.String()]
	if h == nil {
		return nil, signer, kept, false
	}
	return slices.Clone(h.values), signer, kept, true
}

func (w *world) prefixRecord(l, signer *land) []record.Value {
	name := zoneRecord(l.prefix)
	ttl := record.TTL{Seconds: l.ttl}
	var vs []record.Value
	add := func(index uint32, typ string, data []byte) {
		vs = append(vs, record.Value{Index: index, Type: typ, Data: data, TTL: ttl, Perm: record.DefaultPerm})
	}
	for i, s := range l.sites {
		data := record.AppendSite(nil, w.siteOf(s, i == 0))
		add(uint32(1+i), record.TypeSite, data)
		if !l.nobelow {
			add(uint32(51+i), record.TypeSitePrefix, data)
		}
	}
	for i, s := range l.services {
		add(uint32(91+i), record.TypeServ, []byte(s))
		add(uint32(95+i), record.TypeServPrefix, []byte(s))
	}
	add(100, record.TypeAdmin, record.AppendAdmin(nil, record.Admin{Perms: 0x0fff, Ref: record.Ref{Index: 300, Name: name}}))
	for i, k := range l.keys {
		add(uint32(300+i), record.TypePubKey, k.Public().Data())
	}
	if l.signed && signer.signed {
		now := time.Now()
		until := l.certUntil
		if until == 0 {
			until = 365 * 24 * time.Hour
		}
		for i, k := range l.keys {
			sk := signer.signWith
			perms, by := trust.PrefixPermissions(name), signer.keys[sk]
			switch l.cert {
			case "own":
				by = k
			case "greedy":
				perms = []trust.Permission{{Perm: trust.Everything}}
			case "records-only":
				perms = perms[2:]
			case "prefixes-only":
				perms = perms[:2]
			}
			jws, err := trust.Issue(by, record.Ref{Index: uint32(300 + sk), Name: zoneRecord(signer.prefix)},
				record.Ref{Index: uint32(300 + i), Name: name}, k.Public(), perms, now.Add(-400*24*time.Hour), now.Add(until))
			if err != nil {
				panic(err)
			}
			add(uint32(400+2*i), record.TypeCert, jws)
		}
	}
	return vs
}

// sign adds an HS_SIGNATURE over the values of name in signer's name.
func (w *world) sign(name id.ID, vs []record.Value, signer *land, with *trust.PrivateKey, issuer string, scoped bool, from, until time.Time) []record.Value {
	jws, err := trust.SignRecord(with, record.Ref{Index: uint32(300 + signer.signWith), Name: issuer}, name.String(), vs,
		trust.SignOptions{PublicOnly: scoped, From: from, Until: until})
	if err != nil {
		panic(err)
	}
	index := uint32(401)
	for slices.ContainsFunc(vs, func(v record.Value) bool { return v.Index == index }) {
		index++
	}
	return append(vs, record.Value{Index: index, Type: record.TypeSignature, Data: jws, TTL: record.TTL{Seconds: 86400}, Perm: record.DefaultPerm})
}

func (w *world) at(a netip.Addr) *machine {
	for _, m := range w.servers {
		if m.addr == a {
			return m
		}
	}
	return nil
}

func (m *machine) fault(kind string, e record.Endpoint, name id.ID) *fault {
	for i := range m.faults {
		f := &m.faults[i]
		if f.kind == kind && (f.proto == "" || strings.HasPrefix(e.String(), f.proto+":")) && (f.name == "" || id.MustParse(f.name) == name) {
			return f
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return problem.Wrap(ctx.Err(), problem.Unreachable, "no answer came", "没有答复")
	}
}

// Ask is record.Asker.
func (w *world) Ask(ctx context.Context, e record.Endpoint, q record.Query) (record.Answer, error) {
	m := w.at(e.Addr.Addr())
	w.mu.Lock()
	name := "nobody"
	if m != nil {
		name = m.name
		if e.Protocol == record.TCP {
			name += "/tcp"
		}
	}
	w.log = append(w.log, asked{name, q.ID.String(), q, time.Now()})
	d, silent := time.Duration(0), m == nil || e.Addr.Port() != testPort || m.fault("down", e, q.ID) != nil
	if !silent {
		d = m.rtt
		if f := m.fault("slow", e, q.ID); f != nil {
			d += f.d
		}
	}
	w.mu.Unlock()
	if silent {
		<-ctx.Done()
		return record.Answer{}, problem.Wrap(ctx.Err(), problem.Unreachable, "no answer came", "没有答复")
	}
	if err := pause(ctx, d); err != nil {
		return record.Answer{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reply(m, e, q)
}

func (w *world) reply(m *machine, e record.Endpoint, q record.Query) (record.Answer, error) {
	now := time.Now()
	a := record.Answer{Certified: q.Certify && !m.nokey && string(e.Key) == string(m.key.Public().Data())}
	for _, kind := range []string{"refused", "busy", "lame", "moved"} {
		if m.fault(kind, e, q.ID) != nil {
			k := map[string]problem.Kind{"refused": problem.Unreachable, "busy": problem.Busy, "lame": problem.NotHere, "moved": problem.StaleSite}[kind]
			return a, problem.New(k, kind, kind)
		}
	}
	if m.fault("unsigned-messages", e, q.ID) != nil {
		a.Certified = false
	}
	if f := m.fault("deny", e, q.ID); f != nil {
		a.Certified = false
		return a, problem.New(problem.NotFound, "none", "无")
	}
	if f := m.fault("refer", e, q.ID); f != nil {
		a.Referral = &record.Referral{Values: []record.Value{val(1, record.TypeSite, string(record.AppendSite(nil, w.siteOf(strings.Split(f.arg, "+"), true))))}}
		return a, nil
	}
	if f := m.fault("refer-to", e, q.ID); f != nil {
		a.Referral = &record.Referral{Name: f.arg}
		return a, nil
	}
	records := w.records
	if m.old != nil {
		records = m.old
	}
	name := q.ID
	if f := m.fault("swap", e, q.ID); f != nil {
		name = id.MustParse(f.arg)
	}
	vs, signer, kept, ok := w.values(name, records)
	if f := m.fault("guest", e, q.ID); f == nil && !slices.Contains(kept, m.name) {
		if _, is := name.Delegated(); is && m.fault("handle-net", e, q.ID) != nil {
			// A Handle.Net server refers to the site of the nearest prefix above.
			p, _ := name.Delegated()
			if up := w.above(p); up.prefix != "" {
				var site []record.Value
				for i, s := range up.sites {
					site = append(site, val(uint32(i+1), record.TypeSitePrefix, string(record.AppendSite(nil, w.siteOf(s, i == 0)))))
				}
				a.Referral = &record.Referral{Prefix: true, Values: site}
				return a, nil
			}
		}
		return a, problem.New(problem.NotHere, "that prefix is not kept here", "此处不保存该前缀")
	}
	a.Primary = len(signer.sites) == 0 || slices.Contains(signer.sites[0], m.name)
	if !ok {
		return a, problem.New(problem.NotFound, "none", "无")
	}
	careless := m.fault("careless", e, q.ID) != nil
	if !careless && !q.PublicOnly && slices.ContainsFunc(vs, func(v record.Value) bool { return v.Perm&record.PublicRead == 0 }) {
		return a, problem.New(problem.NeedAuth, "who asks?", "请表明身份")
	}
	vs = slices.DeleteFunc(vs, func(v record.Value) bool { return v.Perm&record.PublicRead == 0 && !careless })
	if f := m.fault("invent", e, q.ID); f != nil {
		vs = append(vs, val(f.index, "URL", f.arg))
	}
	with, from, until := signer.keys[signer.signWith], now.Add(-time.Hour), now.Add(30*24*time.Hour)
	if f := m.fault("expired", e, q.ID); f != nil {
		from, until = now.Add(-f.d-time.Hour), now.Add(-f.d)
	}
	if f := m.fault("early", e, q.ID); f != nil {
		from = now.Add(f.d)
	}
	if f := m.fault("signed-for", e, q.ID); f != nil {
		until = now.Add(f.d)
	}
	if f := m.fault("forge", e, q.ID); f != nil {
		with = w.zones[f.arg].keys[0]
		if len(vs) > 0 {
			vs[0].Data = append(slices.Clone(vs[0].Data), "-forged"...)
		}
	}
	if f := m.fault("old-key", e, q.ID); f != nil {
		with = signer.keys[0]
	}
	if len(vs) == 0 {
		return a, problem.New(problem.NoValues, "none", "无")
	}
	_, isPrefix := name.Delegated()
	if signer.signed && (q.Certify || isPrefix) {
		issuer := zoneRecord(signer.prefix)
		if f := m.fault("issuer", e, q.ID); f != nil {
			issuer = f.arg
		}
		vs = w.sign(name, vs, signer, with, issuer, m.fault("unscoped", e, q.ID) == nil, from, until)
	}
	if f := m.fault("wrong", e, q.ID); f != nil {
		vs[0].Data = []byte(f.arg)
	}
	if f := m.fault("omit", e, q.ID); f != nil {
		vs = slices.DeleteFunc(vs, func(v record.Value) bool { return v.Index == f.index })
	}
	if m.fault("strip", e, q.ID) != nil {
		vs = slices.DeleteFunc(vs, func(v record.Value) bool { return v.Type == record.TypeSignature })
	}
	if m.fault("twice", e, q.ID) != nil {
		vs = append(vs, vs[0])
	}
	a.Values = vs
	return a, nil
}

// ail gives a server faults while others may be asking it.
func (w *world) ail(name string, kinds ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.servers[name]
	m.faults = nil
	for _, k := range kinds {
		m.faults = append(m.faults, fault{kind: k})
	}
}

// freeze makes m a mirror that hears of nothing new.
func (w *world) freeze(m *machine) { m.old = maps.Clone(w.records) }

func (w *world) take() []asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.log
	w.log = nil
	return out
}

func (a asked) String() string { return fmt.Sprintf("%s %s", a.server, a.name) }
