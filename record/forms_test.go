package record_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"net/netip"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

func TestSiteRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSite(t)
		back, err := record.DecodeSite(record.AppendSite(nil, s))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, back, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		text := record.AppendSiteJSON(nil, s)
		from, err := record.ParseSiteJSON(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !bytes.Equal(record.AppendSite(nil, from), record.AppendSite(nil, s)) {
			t.Fatalf("%s", text)
		}
	})
}

func TestSiteCut(t *testing.T) {
	s := &record.Site{Version: 1, HashFilter: []byte{1}, Attributes: []record.Attribute{{Name: "a", Value: "b"}},
		Servers: []record.Server{{ID: 1, Addr: netip.IPv6Loopback(), PublicKey: []byte{1}, Interfaces: []record.Interface{{Query: true, Port: 1}}}}}
	b := record.AppendSite(nil, s)
	for i := range b {
		if _, err := record.DecodeSite(b[:i]); !problem.Is(err, problem.BadValue) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := record.DecodeSite(append(b, 0)); !problem.Is(err, problem.BadValue) {
		t.Error("a byte too many is taken")
	}
	b[7] = 3
	if _, err := record.DecodeSite(b); !problem.Is(err, problem.BadValue) {
		t.Error("hash option 3 is taken")
	}
}

func TestEndpoints(t *testing.T) {
	v := record.Server{Addr: netip.MustParseAddr("192.0.2.1"), Interfaces: []record.Interface{
		{Query: true, Protocol: record.HTTPS, Port: 443}, {Admin: true, Protocol: record.TCP, Port: 2641},
		{Query: true, Protocol: record.UDP, Port: 2641}, {Query: true, Protocol: 9, Port: 1}, {Query: true, Port: 0}, {Query: true, Port: 70000}}}
	if got := fmt.Sprint(v.Endpoints(false)); strings.Count(got, "192.0.2.1") != 2 || !strings.Contains(got, "udp:192.0.2.1:2641 ") && !strings.HasPrefix(got, "[udp") {
		t.Error(got)
	}
	if es := v.Endpoints(true); len(es) != 1 || es[0].Protocol != record.TCP {
		t.Error(es)
	}
}

func TestPick(t *testing.T) {
	s := &record.Site{Hash: record.HashAll}
	if s.Pick("a/b") != nil {
		t.Error("a site without servers has one")
	}
	s.Servers = make([]record.Server, 3)
	for i := range s.Servers {
		s.Servers[i].ID = uint32(i)
	}
	// 2089183490 mod 3 is 2
	if got := s.Pick("88.111.1/t1").ID; got != 2 {
		t.Error(got)
	}
	if s.Pick("88.111.1/t1") != s.Pick("88.111.1/T1") {
		t.Error("case decides the server")
	}
	seen := map[uint32]bool{}
	rapid.Check(t, func(t *rapid.T) { seen[s.Pick(rapid.String().Draw(t, "name")).ID] = true })
	if len(seen) != 3 {
		t.Errorf("only servers %v are ever picked", seen)
	}
}

func TestAdminPerms(t *testing.T) {
	if record.AllPerms.String() != "111111111111" || (record.AddHandle|record.ListDerived).String() != "1000000000001" {
		t.Error(record.AllPerms, record.ListDerived)
	}
	if p, err := record.ParseAdminPerm("011111110011"); err != nil || p != 0x7f3 {
		t.Errorf("%x %v", p, err)
	}
	for _, bad := range []string{"", "2", "01111111111 ", "11111111111111111"} {
		if _, err := record.ParseAdminPerm(bad); !problem.Is(err, problem.BadValue) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := record.AdminPerm(rapid.Uint16().Draw(t, "p"))
		if back, err := record.ParseAdminPerm(p.String()); err != nil || back != p {
			t.Fatal(p, back, err)
		}
	})
}

func TestAdminRefuses(t *testing.T) {
	good := record.AppendAdmin(nil, record.Admin{Perms: 1, Ref: record.Ref{Index: 1, Name: "a/b"}})
	for i := range good {
		if _, err := record.DecodeAdmin(good[:i]); !problem.Is(err, problem.BadValue) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	for _, tail := range []string{"\x00", "\x00\x01", "\x00\x00\x00"} {
		if _, err := record.DecodeAdmin(append(bytes.Clone(good), tail...)); !problem.Is(err, problem.BadValue) {
			t.Errorf("with %q behind: %v", tail, err)
		}
	}
	if _, err := record.DecodeVList([]byte{0xff, 0xff, 0xff, 0xff}); !problem.Is(err, problem.BadValue) {
		t.Error(err)
	}
}

func TestKeyForms(t *testing.T) {
	rsa := record.KeyData{Type: record.KeyRSA, Fields: [][]byte{{1, 0, 1}, {0x80, 1}}}
	if got, want := hex.EncodeToString(record.AppendKey(nil, rsa)), "0000000b5253415f5055425f4b455900000000000301000100000003008001"+"00000000"; got != want {
		t.Errorf("%s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		k := drawKey(t)
		back, err := record.DecodeKey(record.AppendKey(nil, k))
		if err != nil || !reflect.DeepEqual(k, back) {
			t.Fatalf("%v %v %v", k, back, err)
		}
		if text, ok := record.AppendJWK(nil, k); ok {
			if back, err = record.ParseJWK(text); err != nil || !reflect.DeepEqual(k, back) {
				t.Fatalf("%s %v %v", text, back, err)
			}
		} else if len(text) != 0 {
			t.Fatalf("%q left behind", text)
		}
	})
	// an RSA key without the four bytes, and one whose integer has no sign byte, are keys too
	for _, text := range []string{"0000000b5253415f5055425f4b455900000000000301000100000003008001", "0000000b5253415f5055425f4b4559000000000003010001000000028001"} {
		if k, err := record.DecodeKey(unhex(t, text)); err != nil || !reflect.DeepEqual(k, rsa) {
			t.Errorf("%v %v", k, err)
		}
	}
	pem := "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
	k, err := record.DecodeKey([]byte(pem))
	if err != nil || k.Type != record.KeyPEM || string(record.AppendKey(nil, k)) != pem {
		t.Error(k, err)
	}
	long := append([]byte("\x00\x00\x00\x0bSM2_PUB_KEY\x00\x00\x00\x00\x00"), byte(len(pem)))
	if k, err = record.DecodeKey(append(long, pem...)); err != nil || string(k.Fields[0]) != pem {
		t.Error(k, err)
	}
	for _, bad := range []string{"", "\x00", "\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x03PEM\x00\x00", "-----BEGIN PUBLIC KEY-----\n", "\x00\x00\x00\x0bRSA_PUB_KEY\x00\x00\x00\x00",
		string(record.AppendKey(nil, rsa)) + "x"} {
		if _, err := record.DecodeKey([]byte(bad)); !problem.Is(err, problem.BadValue) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if got := record.AppendKey(nil, record.KeyData{Type: record.KeyRSA}); len(got) != 0 {
		t.Errorf("a key without numbers gives %x", got)
	}
}

func TestNamespace(t *testing.T) {
	const text = `<namespace><contact>a@b.cn</contact><status>active</status><locs chooseby="weighted"><location href="https://x/" weight="2"/></locs><template delimiter="@"><foreach><value data="${data}"/></foreach></template></namespace>`
	n, err := record.ParseNamespace([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if n.Contact != "a@b.cn" || n.Status != "active" || len(n.Templates) != 1 || n.Templates[0].Delimiter != "@" ||
		!strings.Contains(n.Templates[0].Rules, "${data}") || n.Locs == nil || n.Locs.List[0].Href != "https://x/" {
		t.Errorf("%+v", n)
	}
	back, err := record.ParseNamespace(record.AppendNamespace(nil, n))
	if err != nil || !reflect.DeepEqual(n, back) {
		t.Errorf("%s %v", record.AppendNamespace(nil, n), err)
	}
	for _, bad := range []string{"", "<a/>", "<namespace>", "active", "<namespace>&unknown;</namespace>"} {
		if _, err := record.ParseNamespace([]byte(bad)); !problem.Is(err, problem.BadValue) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestLocations(t *testing.T) {
	const text = `<?xml version="1.0"?><locations>
		<location id="0" href="https://a/" weight="1" country="cn"/>
		<location id="1" href="https://b/" weight="3" country="CN" cr_type="MR"/>
		<location id="2" href="https://c/" weight="0"><x/></location>
		<location id="3"/>
	</locations>`
	l, err := record.ParseLocations([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		v    record.Visitor
		want string
	}{
		{record.Visitor{Country: "cn"}, "https://a/"},
		{record.Visitor{Country: "cn", Chance: 0.24}, "https://a/"},
		{record.Visitor{Country: "cn", Chance: 0.26}, "https://b/"},
		{record.Visitor{Country: "cn", Chance: 0.999999}, "https://b/"},
		{record.Visitor{Country: "fr"}, "https://c/"}, // nothing for France: those that are for nobody in particular
		{record.Visitor{LocAtt: "id:2"}, "https://c/"},
		{record.Visitor{LocAtt: "cr_type:mr", Country: "cn"}, "https://b/"},
		{record.Visitor{LocAtt: "none:x", Country: "cn"}, "https://a/"},
		{record.Visitor{LocAtt: "garbage", Country: "cn"}, "https://a/"},
	} {
		if got := l.Choose(c.v); got == nil || got.Href != c.want {
			t.Errorf("%+v: %v, want %s", c.v, got, c.want)
		}
	}
	back, err := record.ParseLocations(record.AppendLocations(nil, l))
	if err != nil || !reflect.DeepEqual(l, back) {
		t.Errorf("%s %v", record.AppendLocations(nil, l), err)
	}
	order, err := record.ParseLocations([]byte(`<locations chooseby="Weighted, country"><location href="a" weight="NaN"/><location href="b" weight="-1"/><location href="c" weight="1e999"/></locations>`))
	if err != nil || !reflect.DeepEqual(order.ChooseBy, []string{"weighted", "country"}) {
		t.Error(order, err)
	}
	if got := order.Choose(record.Visitor{}); got == nil || got.Href != "a" {
		t.Error("weights that are no numbers count as nothing, and the first stays:", got)
	}
	if got := (&record.Locations{}).Choose(record.Visitor{}); got != nil {
		t.Error(got)
	}
	rapid.Check(t, func(t *rapid.T) {
		chance := rapid.Float64Range(0, 0.9999999).Draw(t, "chance")
		if got := l.Choose(record.Visitor{Chance: chance, Country: rapid.SampledFrom([]string{"", "cn", "de"}).Draw(t, "country")}); got == nil {
			t.Fatal("nothing chosen")
		}
	})
}

func FuzzForms(f *testing.F) {
	golden(f, func(_, _ string, b []byte) {
		if v, _, err := record.DecodeValue(b); err == nil {
			f.Add(v.Data)
		}
	})
	f.Add([]byte(`<locations chooseby="country"><location href="https://a/" weight="1"/></locations>`))
	f.Add([]byte(`<namespace><locs><location href="a"/></locs><template delimiter="@"/></namespace>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := record.DecodeSite(b); err == nil {
			again, err := record.DecodeSite(record.AppendSite(nil, s))
			if err != nil || !bytes.Equal(record.AppendSite(nil, s), record.AppendSite(nil, again)) {
				t.Fatal(err)
			}
			s.Pick(string(b))
			for i := range s.Servers {
				s.Servers[i].Endpoints(true)
			}
		}
		if a, err := record.DecodeAdmin(b); err == nil && !bytes.HasPrefix(b, record.AppendAdmin(nil, a)) {
			t.Fatal(a)
		}
		if l, err := record.DecodeVList(b); err == nil && !bytes.Equal(b, record.AppendVList(nil, l)) {
			t.Fatal(l)
		}
		if k, err := record.DecodeKey(b); err == nil {
			again, err := record.DecodeKey(record.AppendKey(nil, k))
			if err != nil || !reflect.DeepEqual(k, again) {
				t.Fatalf("%q %v %v %v", b, k, again, err)
			}
			record.AppendJWK(nil, k)
		}
		if l, err := record.ParseLocations(b); err == nil {
			l.Choose(record.Visitor{Country: "cn", LocAtt: "id:1", Chance: 0.5})
		}
		if n, err := record.ParseNamespace(b); err == nil {
			record.AppendNamespace(nil, n)
		}
		if _, err := record.ParseSiteJSON(b); err != nil && !problem.Is(err, problem.BadValue) {
			t.Fatal(err)
		}
		if _, err := record.ParseJWK(b); err != nil && !problem.Is(err, problem.BadValue) {
			t.Fatal(err)
		}
	})
}
