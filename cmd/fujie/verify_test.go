package main

import (
	"slices"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// made is a proof put together by hand: root, 88, 88.118, and a record under it.
type made struct {
	t    testing.TB
	keys map[string]*trust.PrivateKey
	now  time.Time
	life map[string]time.Duration // of each record's signature and certificate
}

func newMade(t testing.TB) *made {
	m := &made{t: t, keys: map[string]*trust.PrivateKey{}, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), life: map[string]time.Duration{}}
	for _, n := range []string{"0.NA/0.NA", "0.NA/88", "0.NA/88.118"} {
		k, err := trust.Generate(trust.Ed25519, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.keys[n] = k
	}
	return m
}

func (m *made) until(name string) time.Time {
	if d, ok := m.life[name]; ok {
		return m.now.Add(d)
	}
	return m.now.Add(time.Hour)
}

func at300(name string) record.Ref { return record.Ref{Index: 300, Name: name} }

func plain(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}
}

// sign puts a signature by the key of who behind the values.
func (m *made) sign(who, name string, opts trust.SignOptions, vs ...record.Value) []record.Value {
	m.t.Helper()
	opts.From, opts.Until = m.now.Add(-time.Hour), m.until(name)
	sig, err := trust.SignRecord(m.keys[who], at300(who), name, vs, opts)
	if err != nil {
		m.t.Fatal(err)
	}
	return append(vs, plain(401, record.TypeSignature, string(sig)))
}

// prefix is the record of a prefix, signed by who, with a certificate unless it signs nothing below.
func (m *made) prefix(who, name string, certified bool, more ...record.Value) link {
	m.t.Helper()
	vs := slices.Clone(more)
	if certified {
		c, err := trust.Issue(m.keys[who], at300(who), at300(name), m.keys[name].Public(), trust.PrefixPermissions(name), m.now.Add(-time.Hour), m.until(name))
		if err != nil {
			m.t.Fatal(err)
		}
		vs = append(vs, plain(400, record.TypeCert, string(c)))
	}
	return link{name, m.sign(who, name, trust.SignOptions{PublicOnly: true}, append(vs, plain(500, "DESC", name))...)}
}

// below says that the records of the prefixes below are kept by the same owner.
var below = plain(11, record.TypeSitePrefix, "x")

func (m *made) proof() *proof {
	const name = "88.118/X"
	return &proof{
		name:   name,
		chain:  []link{m.prefix("0.NA/0.NA", "0.NA/88", true, below), m.prefix("0.NA/88", "0.NA/88.118", true, below)},
		values: m.sign("0.NA/88.118", name, trust.SignOptions{PublicOnly: true}, plain(1, "URL", "a"), plain(2, "NAME", "b")),
	}
}

func (m *made) check(p *proof) (finding, error) {
	return p.verify([]trust.PublicKey{m.keys["0.NA/0.NA"].Public()}, m.now)
}

func TestVerifyProofs(t *testing.T) {
	m := newMade(t)
	f, err := m.check(m.proof())
	if err != nil || len(f.steps) != 3 || len(f.left) != 0 {
		t.Fatal(f, err)
	}
	// Through the file, nothing changes.
	path := t.TempDir() + "/p.json"
	if err := m.proof().write(path); err != nil {
		t.Fatal(err)
	}
	p, err := readProof(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.check(p); err != nil {
		t.Error(err)
	}
	p.values = p.values[1:]
	if f, err := m.check(p); err != nil || !slices.Equal(f.left, []uint32{1}) {
		t.Error(f, err)
	}

	for name, change := range map[string]func(m *made, p *proof){
		"a changed value":         func(m *made, p *proof) { p.values[0].Data = []byte("z") },
		"a changed type":          func(m *made, p *proof) { p.values[0].Type = "EMAIL" },
		"a changed permission":    func(m *made, p *proof) { p.values[0].Perm = record.AdminRead },
		"a value more":            func(m *made, p *proof) { p.values = append(p.values, plain(9, "URL", "a")) },
		"another name":            func(m *made, p *proof) { p.name = "88.118/Y" },
		"no name":                 func(m *made, p *proof) { p.name = "" },
		"no signature":            func(m *made, p *proof) { p.values = p.values[:2] },
		"a broken signature":      func(m *made, p *proof) { p.values[2].Data[40] ^= 1 },
		"no chain":                func(m *made, p *proof) { p.chain = nil },
		"a level left out":        func(m *made, p *proof) { p.chain = p.chain[1:] },
		"the last level left out": func(m *made, p *proof) { p.chain = p.chain[:1] },
		"the wrong way round":     func(m *made, p *proof) { slices.Reverse(p.chain) },
		"a level twice":           func(m *made, p *proof) { p.chain = append(p.chain, p.chain[1]) },
		"a level of another":      func(m *made, p *proof) { p.chain[1].name = "0.NA/88.11" },
		"a level that is none":    func(m *made, p *proof) { p.chain[1].name = "88.118/Z" },
		"a prefix record's value": func(m *made, p *proof) { p.chain[1].values[2].Data = []byte("z") },
		"a certificate taken out": func(m *made, p *proof) { p.chain[1].values = p.chain[1].values[1:] },
		"another certificate":     func(m *made, p *proof) { p.chain[1].values[1] = p.chain[0].values[1] },
		"signed by the one above": func(m *made, p *proof) {
			p.values = m.sign("0.NA/88", p.name, trust.SignOptions{PublicOnly: true}, plain(1, "URL", "a"))
		},
		"a delegation by the root": func(m *made, p *proof) { p.chain[1] = m.prefix("0.NA/0.NA", "0.NA/88.118", true, below) },
		"a delegation by itself":   func(m *made, p *proof) { p.chain[1] = m.prefix("0.NA/88.118", "0.NA/88.118", true, below) },
		"nothing signed below":     func(m *made, p *proof) { p.chain[1] = m.prefix("0.NA/88", "0.NA/88.118", false, below) },
		"an old record":            func(m *made, p *proof) { m.life["88.118/X"] = -time.Minute; *p = *m.proof() },
		"an old certificate":       func(m *made, p *proof) { m.life["0.NA/88"] = -time.Minute; *p = *m.proof() },
		"not yet":                  func(m *made, p *proof) { m.now = m.now.Add(-2 * time.Hour) },
		"another root":             func(m *made, p *proof) { m.keys["0.NA/0.NA"] = m.keys["0.NA/88"] },
	} {
		m := newMade(t)
		p := m.proof()
		change(m, p)
		if _, err := m.check(p); !problem.Is(err, problem.Bogus) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Where nobody in particular keeps the records of the prefixes below, who signs this one signs those.
	m = newMade(t)
	p = m.proof()
	p.chain[0] = m.prefix("0.NA/0.NA", "0.NA/88", true)
	p.chain[1] = m.prefix("0.NA/0.NA", "0.NA/88.118", true, below)
	if _, err := m.check(p); err != nil {
		t.Error(err)
	}
	// A delegation is proved by the ones above it, and alone by the root's key.
	p = &proof{name: "0.NA/88.118", chain: m.proof().chain[:1], values: m.proof().chain[1].values}
	if _, err := m.check(p); err != nil {
		t.Error(err)
	}
	p = &proof{name: "0.NA/88", values: m.proof().chain[0].values}
	if _, err := m.check(p); err != nil {
		t.Error(err)
	}
	// An owner's signature over more than is shown: what is not shown is named, and the rest still holds.
	m = newMade(t)
	p = m.proof()
	secret := plain(7, "price", "9")
	secret.Perm = record.AdminRead | record.AdminWrite
	all := m.sign("0.NA/88.118", p.name, trust.SignOptions{}, plain(1, "URL", "a"), secret)
	p.values = []record.Value{all[0], all[2]}
	if f, err := m.check(p); err != nil || !slices.Equal(f.left, []uint32{7}) {
		t.Error(f, err)
	}
}

func FuzzProof(f *testing.F) {
	m := newMade(f)
	path := f.TempDir() + "/p.json"
	if err := m.proof().write(path); err != nil {
		f.Fatal(err)
	}
	p, err := readProof(path)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{`{"fujie-proof":1,"handle":"88.1/x","chain":[{"handle":"0.NA/88","values":[]}],"values":[]}`, `{}`, `{"fujie-proof":1,"handle":"0.NA/0.NA","chain":[{"handle":"0.NA/0.NA"}]}`, string(record.AppendValuesJSON(nil, p.values))} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseProof(b)
		if err != nil {
			if !problem.Is(err, problem.BadRequest) {
				t.Fatal(err)
			}
			return
		}
		if _, err := m.check(p); !problem.Is(err, problem.Bogus) {
			t.Fatalf("%v", err)
		}
	})
}
