package registry

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

func newKey(t testing.TB, alg trust.Algorithm) *trust.PrivateKey {
	t.Helper()
	k, err := trust.Generate(alg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func site(port uint32) *record.Site {
	return &record.Site{Version: 1, Major: 2, Minor: 11, Serial: 1, Primary: true, Hash: 2, Servers: []record.Server{{ID: 1, Addr: netip.MustParseAddr("127.0.0.1"),
		Interfaces: []record.Interface{{Admin: true, Query: true, Protocol: record.TCP, Port: port}}}}}
}

func typed(vs []record.Value, typ string) []record.Value {
	var out []record.Value
	for _, v := range vs {
		if v.Type == typ {
			out = append(out, v)
		}
	}
	return out
}

// all is the whole record as anybody sees it, certified.
func all(t testing.TB, r *Registry, name string) []record.Value {
	t.Helper()
	a, err := r.Resolve(context.Background(), record.Query{ID: id.MustParse(name), PublicOnly: true, Certify: true})
	if err != nil {
		t.Fatal(name, err)
	}
	return a.Values
}

// holds checks that the record's values are signed by the last key of the chain.
func holds(t testing.TB, c *trust.Cert, name string, vs []record.Value, now time.Time) {
	t.Helper()
	sigs := typed(vs, record.TypeSignature)
	if len(sigs) == 0 {
		t.Fatal(name, "is not signed")
	}
	var last error
	for _, s := range sigs {
		if _, last = c.VerifyRecord(s.Data, name, vs, true, now); last == nil {
			return
		}
	}
	t.Fatal(name, last)
}

func TestChain(t *testing.T) {
	for _, alg := range []trust.Algorithm{trust.Ed25519, trust.SM2, trust.P256, trust.RSA} {
		t.Run(string(alg), func(t *testing.T) { chain(t, alg) })
	}
}

func chain(t *testing.T, alg trust.Algorithm) {
	now := day0
	clock := func() time.Time { return now }
	rootKey, nationKey, smeKey := newKey(t, alg), newKey(t, alg), newKey(t, alg)
	root := open(t, Config{Now: clock, Keys: []SigningKey{{"0.NA", record.Ref{Index: 300, Name: "0.NA/0.NA"}, rootKey}}})
	if err := root.Bootstrap(context.Background(), Delegation{Sites: []*record.Site{site(1)}, Keys: []trust.PublicKey{rootKey.Public()}}); err != nil {
		t.Fatal(err)
	}
	nation := open(t, Config{Now: clock, Keys: []SigningKey{{"88", record.Ref{Index: 300, Name: "0.NA/88"}, nationKey}}})
	must(t, nation, operator, home("88"))
	d := Delegation{Prefix: "88", Sites: []*record.Site{site(2), site(3)}, Keys: []trust.PublicKey{nationKey.Public()}}
	vs, err := d.Values()
	if err != nil {
		t.Fatal(err)
	}
	must(t, root, operator, create("0.NA/88", vs...))
	d = Delegation{Prefix: "88.118", Sites: []*record.Site{site(4)}, Keys: []trust.PublicKey{smeKey.Public()}}
	vs, _ = d.Values()
	must(t, nation, operator, create("0.NA/88.118", vs...))
	sme := open(t, Config{Now: clock, Keys: []SigningKey{{"0.na/88.118", record.Ref{Index: 300, Name: "0.NA/88.118"}, smeKey}}})
	must(t, sme, operator, home("88.118"), create("88.118/x", text(1, "URL", "http://x"), text(401, "DESC", "in the signature's place")))

	check := func() {
		t.Helper()
		top := all(t, root, "0.NA/0.NA")
		r88 := all(t, root, "0.NA/88")
		r118 := all(t, nation, "0.NA/88.118")
		x := all(t, sme, "88.118/X")
		anchors := []trust.PublicKey{rootKey.Public()}
		certs := [][]byte{typed(top, record.TypeCert)[0].Data}
		c, err := trust.VerifyChain(anchors, now, certs...)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, c, "0.NA/0.NA", top, now)
		holds(t, c, "0.NA/88", r88, now)
		certs = append(certs, typed(r88, record.TypeCert)[0].Data)
		if c, err = trust.VerifyChain(anchors, now, certs...); err != nil {
			t.Fatal(err)
		}
		holds(t, c, "0.NA/88.118", r118, now)
		certs = append(certs, typed(r118, record.TypeCert)[0].Data)
		if c, err = trust.VerifyChain(anchors, now, certs...); err != nil {
			t.Fatal(err)
		}
		holds(t, c, "88.118/X", x, now)
		if !c.Signs("0.NA/88.118") {
			t.Fatal("does not say that it signs")
		}
	}
	check()
	if s := typed(all(t, root, "0.NA/88"), record.TypeSite); len(s) != 2 {
		t.Fatal(len(s), "sites")
	}
	// A change is signed anew.
	must(t, sme, operator, record.Write{Op: record.Modify, ID: id.MustParse("88.118/x"), Values: []record.Value{text(1, "URL", "http://y")}})
	v := text(1, record.TypeSite, "")
	v.Data = record.AppendSite(nil, site(9))
	must(t, nation, operator, record.Write{Op: record.Modify, ID: id.MustParse("0.NA/88.118"), Values: []record.Value{v}})
	check()
	if n, err := nation.Renew(context.Background()); n != 0 || err != nil {
		t.Fatal("renewed before its time", n, err)
	}
	// Time passes.
	now = now.Add(300 * 24 * time.Hour)
	for _, r := range []*Registry{root, nation} {
		if n, err := r.Renew(context.Background()); n == 0 || err != nil {
			t.Fatal("not renewed", n, err)
		}
		if n, err := r.Renew(context.Background()); n != 0 || err != nil {
			t.Fatal("renewed twice", n, err)
		}
	}
	now = now.Add(300 * 24 * time.Hour)
	for _, r := range []*Registry{root, nation} {
		if _, err := r.Renew(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	check()
}

func TestKeyRoll(t *testing.T) {
	now := day0
	clock := func() time.Time { return now }
	parentKey, oldKey, newerKey := newKey(t, ""), newKey(t, ""), newKey(t, "")
	parent := open(t, Config{Now: clock, Keys: []SigningKey{{"88", record.Ref{Index: 300, Name: "0.NA/88"}, parentKey}}})
	d := Delegation{Prefix: "88.118", Sites: []*record.Site{site(4)}, Keys: []trust.PublicKey{oldKey.Public()}}
	vs, _ := d.Values()
	must(t, parent, operator, home("88"), create("0.NA/88.118", vs...))
	old := SigningKey{"88.118", record.Ref{Index: 300, Name: "0.NA/88.118"}, oldKey}
	r := open(t, Config{Now: clock, Keys: []SigningKey{old}})
	must(t, r, operator, home("88.118"), create("88.118/x", text(1, "URL", "x")))
	before := all(t, r, "88.118/X")

	key := text(301, record.TypePubKey, "")
	key.Data = newerKey.Public().Data()
	must(t, parent, operator, record.Write{Op: record.Add, ID: id.MustParse("0.NA/88.118"), Values: []record.Value{key}})
	r.SetKeys([]SigningKey{{"88.118", record.Ref{Index: 301, Name: "0.NA/88.118"}, newerKey}, old})
	after := all(t, r, "88.118/X")

	certs := typed(all(t, parent, "0.NA/88.118"), record.TypeCert)
	if len(certs) != 2 {
		t.Fatal(len(certs), "certificates")
	}
	for i, vs := range [][]record.Value{before, after} {
		c, err := trust.ParseCert(certs[i].Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Verify(parentKey.Public(), now); err != nil {
			t.Fatal(err)
		}
		holds(t, c, "88.118/X", vs, now)
	}
	must(t, parent, operator, record.Write{Op: record.Remove, ID: id.MustParse("0.NA/88.118"), Indexes: []uint32{300}})
	certs = typed(all(t, parent, "0.NA/88.118"), record.TypeCert)
	if len(certs) != 1 {
		t.Fatal("the certificate of a key that is gone is still there")
	}
	if c, _ := trust.ParseCert(certs[0].Data); !c.Key.Equal(newerKey.Public()) {
		t.Fatal("the wrong one is left")
	}
	// The parent's own key rolls: what it signed is signed anew by the new one.
	next := newKey(t, "")
	parent.SetKeys([]SigningKey{{"88", record.Ref{Index: 301, Name: "0.NA/88"}, next}, {"88", record.Ref{Index: 300, Name: "0.NA/88"}, parentKey}})
	if n, err := parent.Renew(context.Background()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	vs = all(t, parent, "0.NA/88.118")
	if len(typed(vs, record.TypeSignature)) != 1 || len(typed(vs, record.TypeCert)) != 1 {
		t.Fatal(shape(vs))
	}
	if err := trust.VerifyRecord(typed(vs, record.TypeSignature)[0].Data, next.Public(), "0.NA/88.118", vs, true, now); err != nil {
		t.Fatal(err)
	}
}

func TestDelegationRights(t *testing.T) {
	key := newKey(t, "")
	r := open(t, Config{Keys: []SigningKey{{"88.118", record.Ref{Index: 300, Name: "0.NA/88.118"}, key}}})
	boss := record.Identity{Ref: record.Ref{Index: 300, Name: "88.118/BOSS"}}
	clerk := record.Identity{Ref: record.Ref{Index: 300, Name: "88.118/CLERK"}}
	owner := record.Identity{Ref: record.Ref{Index: 300, Name: "0.NA/88.118.1001"}}
	must(t, r, operator, home("88.118"), create("0.NA/88.118", adminValue(100, boss.Ref, record.AllPerms), adminValue(101, clerk.Ref, record.AddHandle)))
	d := Delegation{Prefix: "88.118.1001", Sites: []*record.Site{site(4)}, Keys: []trust.PublicKey{newKey(t, "").Public()}}
	vs, _ := d.Values()
	if k := kind(t, r, clerk, create("88.118/thing")); k != "ok" {
		t.Fatal(k)
	}
	if k := kind(t, r, clerk, create("0.NA/88.118.1001", vs...)); k != "forbidden" {
		t.Fatal("a clerk delegates:", k)
	}
	if k := kind(t, r, boss, create("0.NA/88.118.1001", vs...)); k != "ok" {
		t.Fatal(k)
	}
	// The owner rolls their key; the parent's signature follows.
	next := text(300, record.TypePubKey, "")
	next.Data = newKey(t, "").Public().Data()
	if k := kind(t, r, owner, record.Write{Op: record.Modify, ID: id.MustParse("0.NA/88.118.1001"), Values: []record.Value{next}}); k != "ok" {
		t.Fatal(k)
	}
	got := all(t, r, "0.NA/88.118.1001")
	if err := trust.VerifyRecord(typed(got, record.TypeSignature)[0].Data, key.Public(), "0.NA/88.118.1001", got, true, day0); err != nil {
		t.Fatal(err)
	}
	// A certificate of their own making is no use: it is not by the parent's key, and the real one stands beside it.
	if k := kind(t, r, stranger, record.Write{Op: record.Delete, ID: id.MustParse("0.NA/88.118.1001")}); k != "not-admin" {
		t.Fatal(k)
	}
	bad := text(300, record.TypePubKey, "no key")
	if k := kind(t, r, owner, record.Write{Op: record.Modify, ID: id.MustParse("0.NA/88.118.1001"), Values: []record.Value{bad}}); k != "bad-value" {
		t.Fatal(k)
	}
}

// TestStrangersSignature: whoever stores a signature of their own in a record does not make it unprovable.
func TestStrangersSignature(t *testing.T) {
	clock := func() time.Time { return day0 }
	own, stranger := newKey(t, trust.Ed25519), newKey(t, trust.Ed25519)
	ref := record.Ref{Index: 300, Name: "0.NA/88.118"}
	r := open(t, Config{Now: clock, Keys: []SigningKey{{"88.118", ref, own}}})
	vs := []record.Value{text(1, "URL", "http://x")}
	jws, err := trust.SignRecord(stranger, record.Ref{Index: 300, Name: "88.118/SOMEBODY"}, "88.118/X", vs,
		trust.SignOptions{From: day0.Add(-time.Hour), Until: day0.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	must(t, r, operator, home("88.118"), create("88.118/x", vs[0], text(401, record.TypeSignature, string(jws))))
	got := all(t, r, "88.118/X")
	by := map[string]bool{}
	for _, v := range typed(got, record.TypeSignature) {
		s, err := trust.ParseSignature(v.Data)
		if err != nil {
			t.Fatal(err)
		}
		by[s.Issuer.Name] = true
		if s.Issuer.Name == ref.Name {
			if err := trust.VerifyRecord(v.Data, own.Public(), "88.118/X", got, true, day0); err != nil {
				t.Error(err)
			}
		}
	}
	if !by[ref.Name] || !by["88.118/SOMEBODY"] {
		t.Errorf("the answer is signed by %v; want the prefix's key beside the stranger's", by)
	}
}
