package across_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/across"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/trace/share"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/httpsig"
)

// world is a few enterprises with keys that the root vouches for, each with a server of its own.
type world struct {
	t    testing.TB
	root *trust.PrivateKey
	top  *trust.PrivateKey // of 88
	now  func() time.Time

	mu      sync.Mutex
	records map[string][]record.Value
	bare    map[string]bool // records without a chain of signatures
	dialed  []string
	firms   map[string]*firm
}

type firm struct {
	w      *world
	prefix string
	key    *trust.PrivateKey
	events []epcis.Event
	shares []share.Share
	limits across.Limits
	desk   *share.Desk
	across *across.Across
	server *httptest.Server
	// The way to others; nil: the world's, which takes no time.
	resolver record.Resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	listener net.Listener
	// bend changes what the server says; nil: nothing.
	bend func(next http.Handler) http.Handler
	mu   sync.Mutex
	hits int
}

func newKey(t testing.TB) *trust.PrivateKey {
	k, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, root: newKey(t), top: newKey(t), now: time.Now, records: map[string][]record.Value{}, bare: map[string]bool{}, firms: map[string]*firm{}}
	w.delegate("88", w.root, "300:0.NA/0.NA", w.top)
	return w
}

func value(index uint32, typ string, data []byte) record.Value {
	return record.Value{Index: index, Type: typ, Data: data, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 300}}
}

func ref(s string) record.Ref {
	r, err := record.ParseRef(s)
	if err != nil {
		panic(err)
	}
	return r
}

// delegate writes the prefix record, certified by its parent.
func (w *world) delegate(prefix string, by *trust.PrivateKey, issuer string, key *trust.PrivateKey) {
	name := "0.NA/" + prefix
	cert, err := trust.Issue(by, ref(issuer), ref("300:"+name), key.Public(), trust.PrefixPermissions(name), w.now().Add(-time.Hour), w.now().Add(365*24*time.Hour))
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(name, value(300, record.TypePubKey, key.Public().Data()), value(400, record.TypeCert, cert))
}

func (w *world) put(name string, vs ...record.Value) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[id.MustParse(name).String()] = vs
}

// Resolve is that of a recursor that has looked.
func (w *world) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	vs, ok := w.records[q.ID.String()]
	if !ok {
		return record.Answer{Trust: record.Secure}, problem.New(problem.NotFound, "no record", "无记录")
	}
	a := record.Answer{Trust: record.Secure}
	if w.bare[q.ID.String()] {
		a.Trust = record.Unsigned
	}
	for _, v := range vs {
		if q.Wants(v.Index, v.Type) {
			a.Values = append(a.Values, v)
		}
	}
	if len(a.Values) == 0 {
		return a, problem.New(problem.NoValues, "no values", "无值")
	}
	return a, nil
}

// Dial notes where it is led.
func (w *world) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, address)
	w.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// Touching implements graph.Source.
func (f *firm) Touching(ctx context.Context, thing string, from, to time.Time) iter.Seq2[*epcis.Event, error] {
	return func(yield func(*epcis.Event, error) bool) {
		var list []*epcis.Event
		for i := range f.events {
			e := &f.events[i]
			has := e.BizLocation != nil && epcis.Key(e.BizLocation.ID) == thing
			for _, n := range e.Names() {
				has = has || epcis.Key(n) == thing
			}
			if has && (from.IsZero() || !e.Time.Before(from)) && (to.IsZero() || !e.Time.After(to)) {
				list = append(list, e)
			}
		}
		slices.SortFunc(list, func(a, b *epcis.Event) int { return a.Time.Compare(b.Time) })
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Event is the whole event.
func (f *firm) Event(ctx context.Context, name string) (*epcis.Event, error) {
	for i := range f.events {
		if f.events[i].ID == name || epcis.Hash(&f.events[i]) == name {
			return &f.events[i], nil
		}
	}
	return nil, problem.New(problem.NotFound, "no event", "无事件")
}

// firm adds an enterprise that shares all with everybody who is known, unless shares says otherwise.
func (w *world) firm(prefix string, shares ...share.Share) *firm {
	f := &firm{w: w, prefix: prefix, key: newKey(w.t), shares: shares}
	if shares == nil {
		f.shares = []share.Share{{To: []string{"88.*"}, Level: share.Contents}}
	}
	w.delegate(prefix, w.top, "300:0.NA/88", f.key)
	w.firms[prefix] = f
	return f
}

// open starts its server.
func (f *firm) open() *firm {
	t := f.w.t
	var err error
	if f.desk, err = share.New(t.Context(), share.Config{Prefix: f.prefix, Default: f.shares, Now: f.w.now}); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	cert, err := trust.SelfSigned(f.key, nil, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, f.w.now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.hits++
		bend := f.bend
		f.mu.Unlock()
		h := f.across.Handler()
		if bend != nil {
			h = bend(h)
		}
		h.ServeHTTP(w, r)
	}))
	f.server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	f.server.Config.ErrorLog = nil
	if f.listener != nil {
		f.server.Listener.Close()
		f.server.Listener = f.listener
	}
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	site := record.Site{Version: 1, Servers: []record.Server{{ID: 1, Addr: netip.MustParseAddr("127.0.0.1"), PublicKey: f.key.Public().Data(),
		Interfaces: []record.Interface{{Query: true, Protocol: record.HTTP, Port: uint32(f.server.Listener.Addr().(*net.TCPAddr).Port)}}}}}
	name := "0.NA/" + f.prefix
	f.w.mu.Lock()
	vs := f.w.records[id.MustParse(name).String()]
	f.w.mu.Unlock()
	f.w.put(name, append(vs, value(1, record.TypeSite, record.AppendSite(nil, &site)))...)
	f.w.put(f.prefix+"/"+across.ServiceSuffix, value(1, across.TypeService, []byte(f.server.URL+"/epcis")))
	return f
}

func (f *firm) reopen() {
	v := &httpsig.Verifier{Authorities: func(string) bool { return true }, Now: f.w.now, Key: func(ctx context.Context, r record.Ref) (trust.PublicKey, error) {
		o := f.w.firms[strings.TrimPrefix(r.Name, "0.NA/")]
		if o == nil {
			return trust.PublicKey{}, problem.New(problem.AuthError, "who?", "谁？")
		}
		if f.resolver != nil {
			if _, err := f.resolver.Resolve(ctx, record.Query{ID: id.MustParse(r.Name), PublicOnly: true, Indexes: []uint32{300}}); err != nil {
				return trust.PublicKey{}, err
			}
		}
		return o.key.Public(), nil
	}}
	v.Start()
	var resolver record.Resolver = f.w
	dial := f.w.Dial
	if f.resolver != nil {
		resolver, dial = f.resolver, f.dial
	}
	a, err := across.New(across.Config{Prefix: f.prefix, Source: f, Event: f.Event, Level: f.desk.Level, Any: f.desk.Any, Resolver: resolver, Anchors: []trust.PublicKey{f.w.root.Public()},
		User: ref("300:0.NA/" + f.prefix), Key: f.key, Dial: dial, Limits: f.limits, Now: f.w.now,
		Identify: func(r *http.Request) (record.Identity, error) {
			if !httpsig.Signed(r) {
				return record.Identity{}, nil
			}
			return v.Verify(r)
		}})
	if err != nil {
		f.w.t.Fatal(err)
	}
	f.w.t.Cleanup(func() { a.Close() })
	f.across = a
}

var day = time.Date(2026, 10, 8, 6, 0, 0, 0, time.UTC)

// pack, cut, ship and get are events in the h-th hour.
func base(f *firm, h int, typ epcis.EventType, action epcis.Action, step string) epcis.Event {
	return epcis.Event{Type: typ, ID: "urn:uuid:" + f.prefix + "-" + time.Duration(h*int(time.Hour)).String(), Time: day.Add(time.Duration(h) * time.Hour), TimeZoneOffset: "+00:00", Action: action, BizStep: step}
}

func (f *firm) add(e epcis.Event) *firm {
	f.events = append(f.events, e)
	return f
}

func (f *firm) make(h int, things ...string) *firm {
	e := base(f, h, epcis.ObjectEvent, epcis.Add, "commissioning")
	e.EPCs = things
	return f.add(e)
}

func (f *firm) pack(h int, parent string, things ...string) *firm {
	e := base(f, h, epcis.AggregationEvent, epcis.Add, "packing")
	e.Parent, e.EPCs = parent, things
	return f.add(e)
}

func (f *firm) unpack(h int, parent string, things ...string) *firm {
	e := base(f, h, epcis.AggregationEvent, epcis.Delete, "unpacking")
	e.Parent, e.EPCs = parent, things
	return f.add(e)
}

func (f *firm) cut(h int, in, out []string) *firm {
	e := base(f, h, epcis.TransformationEvent, "", "commissioning")
	e.InputEPCs, e.OutputEPCs = in, out
	return f.add(e)
}

func (f *firm) hand(h int, from, to string, things ...string) *firm {
	step := "shipping"
	if to == f.prefix {
		step = "receiving"
	}
	e := base(f, h, epcis.ObjectEvent, epcis.Observe, step)
	e.EPCs = things
	e.Sources = []epcis.Party{{Type: "possessing_party", ID: from + "/COMPANY"}}
	e.Destinations = []epcis.Party{{Type: "possessing_party", ID: to + "/COMPANY"}}
	return f.add(e)
}

// chain is a carton of a farm, packed onto a pallet by a carrier, cut by a plant, sold by a shop.
func chain(w *world, of func(prefix string) *firm) (farm, carrier, plant, shop *firm) {
	farm = of("88.1").make(1, "88.1/CARTON").hand(2, "88.1", "88.2", "88.1/CARTON").open()
	carrier = of("88.2").hand(3, "88.1", "88.2", "88.1/CARTON").pack(4, "88.2/PALLET", "88.1/CARTON").unpack(8, "88.2/PALLET", "88.1/CARTON").hand(9, "88.2", "88.3", "88.1/CARTON").open()
	plant = of("88.3").hand(10, "88.2", "88.3", "88.1/CARTON").cut(12, []string{"88.1/CARTON"}, []string{"88.3/PACK-1", "88.3/PACK-2"}).hand(14, "88.3", "88.4", "88.3/PACK-1", "88.3/PACK-2").open()
	shop = of("88.4").hand(16, "88.3", "88.4", "88.3/PACK-1", "88.3/PACK-2").open()
	return
}

func (f *firm) trace(q graph.Question) (*graph.Answer, *across.Evidence) {
	f.w.t.Helper()
	a, ev, err := f.across.Trace(f.w.t.Context(), q, nil)
	if err != nil {
		f.w.t.Fatal(err)
	}
	return a, ev
}

func keys(a *graph.Answer) string {
	var out []string
	for _, t := range a.Things {
		out = append(out, t.Key)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func hop(a *graph.Answer, owner string) graph.Hop {
	var last graph.Hop
	for _, h := range a.Hops {
		if h.Owner == owner {
			last = h
		}
	}
	return last
}

func levels(a *graph.Answer, owner string) map[string]int {
	out := map[string]int{}
	for _, e := range a.Events {
		if e.Owner == owner {
			out[e.Level]++
		}
	}
	return out
}

func mustJSON(t testing.TB, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sold is that things left for good.
func sold(prefix string, h int, things ...string) epcis.Event {
	e := base(&firm{prefix: prefix}, h, epcis.ObjectEvent, epcis.Observe, "retail_selling")
	e.EPCs = things
	return e
}
