package recursor

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// mad is an Asker whose servers answer anything, signed or not, without end.
type mad struct {
	w       *world
	answers [][]record.Value
	refer   byte
	n       int
	asked   map[netip.Addr]bool
}

func (m *mad) Ask(_ context.Context, e record.Endpoint, q record.Query) (record.Answer, error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.n++
	m.asked[e.Addr.Addr()] = true
	a := record.Answer{Certified: true, Primary: m.n%2 == 0}
	vs := m.answers[m.n%len(m.answers)]
	switch {
	case m.refer>>(m.n%8)&1 == 1:
		a.Referral = &record.Referral{Prefix: m.n%3 == 0, Values: vs}
		for _, v := range vs {
			if v.Type == record.TypeServ {
				a.Referral.Name = string(v.Data)
			}
		}
		return a, nil
	case len(vs) == 0:
		return a, problem.New(problem.NotFound, "", "")
	}
	root := m.w.zones[""]
	now := time.Now()
	a.Values = m.w.sign(q.ID, vs[:len(vs):len(vs)], root, root.keys[0], "0.NA/0.NA", m.n%5 != 0, now.Add(-time.Hour), now.Add(time.Hour))
	return a, nil
}

// FuzzAnswers: whatever servers answer, every look-up ends, within its limits, and nobody is asked at an address that
// is refused.
func FuzzAnswers(f *testing.F) {
	w := country(true)
	root := w.zones[""]
	for _, p := range []string{"", "88", "88.118"} {
		l := w.zones[p]
		f.Add(record.AppendBlock(nil, w.prefixRecord(l, root)), []byte{0}, "88.118.1001/A", byte(0))
	}
	hosted := &land{prefix: "88", signed: true, ttl: 60, services: []string{"88/SERVICE", "0.NA/0.NA", "88"}, keys: root.keys}
	w.zones["88"] = hosted
	f.Add(record.AppendBlock(nil, w.prefixRecord(hosted, root)), record.AppendBlock(nil, []record.Value{val(1, "HS_ALIAS", "88/B"), val(2, "HS_SERV", "88/B")}), "88/A", byte(0))
	private := newWorld(trust.Ed25519)
	private.addServer("P", "127.0.0.1", 0)
	site := val(1, record.TypeSite, string(record.AppendSite(nil, private.siteOf([]string{"P"}, false))))
	f.Add(record.AppendBlock(nil, []record.Value{site}), record.AppendBlock(nil, []record.Value{site, val(3, "HS_SITE.PREFIX", "x")}), "0.NA/88.1", byte(0x55))
	f.Add([]byte{}, []byte{}, "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a/b", byte(0xff))
	f.Fuzz(func(t *testing.T, one, two []byte, name string, refer byte) {
		q, err := id.Parse(name)
		if err != nil {
			return
		}
		m := &mad{w: w, refer: refer, asked: map[netip.Addr]bool{}}
		for _, b := range [][]byte{one, two} {
			vs, _, err := record.DecodeBlock(b)
			if err != nil || len(vs) > 64 {
				vs = nil
			}
			m.answers = append(m.answers, vs)
		}
		for _, anchors := range [][]trust.PublicKey{nil, w.anchors()} {
			r, err := New(Config{Ask: m, Hints: w.hints(), Anchors: anchors})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			m.n = 0
			a, err := r.Resolve(ctx, record.Query{ID: q, PublicOnly: true, Trace: true})
			if err == nil && len(a.Values) == 0 {
				t.Error("neither values nor an error")
			}
			if problem.Is(err, problem.Internal) {
				t.Error(err)
			}
			if ctx.Err() != nil {
				t.Error("it took too long", err)
			}
			r.Close()
			cancel()
			if m.n > DefaultMaxUpstream {
				t.Errorf("%d upstream questions", m.n)
			}
			for addr := range m.asked {
				if addr.IsLoopback() || addr.IsPrivate() {
					t.Errorf("asked %s", addr)
				}
			}
		}
	})
}
