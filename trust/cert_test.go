package trust

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"pgregory.net/rapid"
)

var (
	day0  = time.Unix(1_790_000_000, 0)
	day90 = day0.AddDate(0, 0, 90)
	now   = day0.AddDate(0, 0, 10)
)

func ref(s string) record.Ref {
	r, err := record.ParseRef(s)
	if err != nil {
		panic(err)
	}
	return r
}

// country is a chain root → 88 → 88.118 → 88.118.1001 with a key of each kind.
type country struct {
	root, nat, second, ent *PrivateKey
	certs                  [][]byte
}

func newCountry(t testing.TB) *country {
	t.Helper()
	c := &country{root: testKey(t, Ed25519), nat: testKey(t, SM2), second: testKey(t, P256), ent: testKey(t, RSA)}
	issue := func(by *PrivateKey, iss, sub string, pub *PrivateKey, perms []Permission) {
		jws, err := Issue(by, ref(iss), ref(sub), pub.Public(), perms, day0, day90)
		if err != nil {
			t.Fatal(err)
		}
		c.certs = append(c.certs, jws)
	}
	issue(c.root, "300:0.NA/0.NA", "300:0.NA/0.NA", c.root, []Permission{{Perm: Everything}})
	issue(c.root, "300:0.NA/0.NA", "300:0.NA/88", c.nat, PrefixPermissions("0.NA/88"))
	issue(c.nat, "300:0.NA/88", "300:0.NA/88.118", c.second, PrefixPermissions("0.NA/88.118"))
	issue(c.second, "300:0.NA/88.118", "300:0.NA/88.118.1001", c.ent, PrefixPermissions("0.NA/88.118.1001"))
	return c
}

func TestChain(t *testing.T) {
	c := newCountry(t)
	anchors := []PublicKey{testKey(t, P256).Public(), c.root.Public()}
	last, err := VerifyChain(anchors, now, c.certs...)
	if err != nil {
		t.Fatal(err)
	}
	if !last.Key.Equal(c.ent.Public()) || last.Subject.String() != "300:0.NA/88.118.1001" {
		t.Errorf("the chain ends at %v %v", last.Subject, last.Key)
	}
	if !last.Covers("88.118.1001/x") || last.Covers("88.118.1002/x") || last.Covers("88.118/x") || !last.Signs("0.na/88.118.1001") {
		t.Error("the last certificate covers the wrong records")
	}
	if _, err := VerifyChain(anchors[:1], now, c.certs...); !problem.Is(err, problem.Bogus) {
		t.Errorf("wrong anchor: %v", err)
	}
	for name, tc := range map[string]struct {
		at    time.Time
		certs [][]byte
		want  string
	}{
		"no anchor's":  {now, c.certs[2:], "certificate 1"},
		"gap":          {now, [][]byte{c.certs[0], c.certs[2]}, "certificate 2"},
		"order":        {now, [][]byte{c.certs[0], c.certs[1], c.certs[3], c.certs[2]}, "certificate 3"},
		"expired":      {day90, c.certs, "expired"},
		"not yet":      {day0.Add(-time.Hour), c.certs, "only from"},
		"empty":        {now, nil, "no certificate"},
		"endless":      {now, bytes.Split(bytes.Repeat([]byte("x,"), 40), []byte(",")), "limit"},
		"not a JWS":    {now, [][]byte{[]byte("x.y")}, "malformed"},
		"mere garbage": {now, [][]byte{[]byte("e30.e30.e30")}, "algorithm"},
	} {
		_, err := VerifyChain(anchors, tc.at, tc.certs...)
		if !problem.Is(err, problem.Bogus) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Clocks may differ by a few minutes.
	if _, err := VerifyChain(anchors, day0.Add(-time.Minute), c.certs...); err != nil {
		t.Error(err)
	}
}

func TestNobodyGivesAwayWhatTheyHaveNot(t *testing.T) {
	c := newCountry(t)
	second, err := VerifyChain([]PublicKey{c.root.Public()}, now, c.certs[:3]...)
	if err != nil {
		t.Fatal(err)
	}
	try := func(iss, sub string, perms ...Permission) error {
		jws, err := Issue(c.second, ref(iss), ref(sub), c.ent.Public(), perms, day0, day90)
		if err != nil {
			t.Fatal(err)
		}
		child, err := ParseCert(jws)
		if err != nil {
			t.Fatal(err)
		}
		return second.Admit(child, now)
	}
	me := "300:0.NA/88.118"
	for _, tc := range []struct {
		iss, sub string
		perm     Permission
		ok       bool
	}{
		{me, "300:0.NA/88.118.5", Permission{Perm: HandlesUnder, Handle: "0.NA/88.118.5"}, true},
		{me, "300:0.NA/88.118.5", Permission{Perm: DerivedPrefixes, Handle: "0.na/88.118.5"}, true},
		{me, "300:0.NA/88.118.5", Permission{Perm: ThisHandle, Handle: "0.NA/88.118.5"}, true},
		{me, "301:88.118/SIGNER", Permission{Perm: HandlesUnder, Handle: "0.NA/88.118"}, true},
		{me, "301:88.118/SIGNER", Permission{Perm: ThisHandle, Handle: "88.118/SIGNER"}, true},
		{me, "300:0.NA/88.118.5", Permission{Perm: Everything}, false},
		{me, "300:0.NA/88.118.5", Permission{Perm: HandlesUnder, Handle: "0.NA/88.119"}, false},
		{me, "300:0.NA/88.118.5", Permission{Perm: HandlesUnder, Handle: "0.NA/88.1185"}, false},
		{me, "300:0.NA/88.118.5", Permission{Perm: DerivedPrefixes, Handle: "0.NA/88"}, false},
		{me, "300:0.NA/88.118.5", Permission{Perm: ThisHandle, Handle: "0.NA/88"}, false},
		{me, "300:0.NA/88.119", Permission{Perm: HandlesUnder, Handle: "0.NA/88.118.5"}, false},
		{me, "300:0.NA/88", Permission{Perm: HandlesUnder, Handle: "0.NA/88.118.5"}, false},
		{"301:0.NA/88.118", "300:0.NA/88.118.5", Permission{Perm: HandlesUnder, Handle: "0.NA/88.118.5"}, false},
	} {
		err := try(tc.iss, tc.sub, tc.perm)
		if (err == nil) != tc.ok || (err != nil && !problem.Is(err, problem.Bogus)) {
			t.Errorf("%s issues %s %s: %v", tc.iss, tc.sub, tc.perm, err)
		}
	}
	for i := range second.Perms {
		second.Perms[i].Leaf = true
	}
	if try(me, "300:0.NA/88.118.5", Permission{Perm: HandlesUnder, Handle: "0.NA/88.118.5"}) == nil {
		t.Error("permissions that may not be given away were")
	}
}

func TestSelfSignedRootCarriesItsOwnKey(t *testing.T) {
	root, other := testKey(t, Ed25519), testKey(t, P256)
	jws, err := Issue(root, ref("300:0.NA/0.NA"), ref("300:0.NA/0.NA"), other.Public(), []Permission{{Perm: Everything}}, day0, day90)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyChain([]PublicKey{root.Public()}, now, jws); !problem.Is(err, problem.Bogus) {
		t.Errorf("%v", err)
	}
}

func someValues() []record.Value {
	return []record.Value{
		{Index: 1, Type: "URL", Data: []byte("https://example.cn/泵"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 5},
		{Index: 2, Type: "DESC", Data: []byte("水泵"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}},
		{Index: 7, Type: "PRICE", Data: []byte("9"), Perm: record.AdminRead | record.AdminWrite},
		{Index: 100, Type: "HS_ADMIN", Data: []byte{1}, Perm: record.DefaultPerm, Refs: []record.Ref{{Index: 3, Name: "a/b"}}},
	}
}

func public(vs []record.Value) (out []record.Value) {
	for _, v := range vs {
		if v.Perm&record.PublicRead != 0 {
			out = append(out, v)
		}
	}
	return out
}

func TestSignedRecord(t *testing.T) {
	for _, alg := range Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			k := testKey(t, alg)
			vs := someValues()
			jws, err := SignRecord(k, ref("300:0.NA/88.118.1001"), "88.118.1001/ENG-42", vs, SignOptions{PublicOnly: true, From: day0, Until: day90})
			if err != nil {
				t.Fatal(err)
			}
			check := func(vs []record.Value, complete bool) error {
				return VerifyRecord(jws, k.Public(), "88.118.1001/eng-42", vs, complete, now)
			}
			pub := append(public(vs), record.Value{Index: 401, Type: "HS_SIGNATURE", Data: jws, Perm: record.DefaultPerm})
			if err := check(pub, true); err != nil {
				t.Fatal(err)
			}
			pub[0].Timestamp++ // not covered: the registry sets it
			if err := check(pub, true); err != nil {
				t.Fatal(err)
			}
			if err := check(pub[:1], false); err != nil {
				t.Errorf("a part of the record: %v", err)
			}
			for name, err := range map[string]error{
				"a value withheld":     check(pub[1:], true),
				"a private value":      check(vs, true),
				"an added value":       check(append(public(vs), record.Value{Index: 9, Type: "URL"}), true),
				"an added certificate": check(append(public(vs), record.Value{Index: 400, Type: "HS_CERT"}), true),
				"another record":       VerifyRecord(jws, k.Public(), "88.118.1001/ENG-43", pub, true, now),
				"another key":          VerifyRecord(jws, testKey(t, other(alg)).Public(), "88.118.1001/ENG-42", pub, true, now),
				"too late":             VerifyRecord(jws, k.Public(), "88.118.1001/ENG-42", pub, true, day90),
			} {
				if !problem.Is(err, problem.Bogus) {
					t.Errorf("%s: %v", name, err)
				}
			}
			for name, change := range map[string]func(*record.Value){
				"index": func(v *record.Value) { v.Index = 2 },
				"type":  func(v *record.Value) { v.Type = "URL2" },
				"data":  func(v *record.Value) { v.Data = append([]byte("x"), v.Data...) },
				"ttl":   func(v *record.Value) { v.TTL.Seconds++ },
				"perm":  func(v *record.Value) { v.Perm |= record.PublicWrite },
				"refs":  func(v *record.Value) { v.Refs = []record.Ref{{Index: 1, Name: "x"}} },
			} {
				vs := public(someValues())
				change(&vs[0])
				if err := check(vs, false); !problem.Is(err, problem.Bogus) {
					t.Errorf("%s changed: %v", name, err)
				}
			}
		})
	}
}

func other(alg Algorithm) Algorithm {
	if alg == Ed25519 {
		return P256
	}
	return Ed25519
}

func TestCertifiedRecord(t *testing.T) {
	c := newCountry(t)
	cert, err := VerifyChain([]PublicKey{c.root.Public()}, now, c.certs...)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(iss, name string) []byte {
		jws, err := SignRecord(c.ent, ref(iss), name, someValues(), SignOptions{From: day0, Until: day90})
		if err != nil {
			t.Fatal(err)
		}
		return jws
	}
	const good = "300:0.NA/88.118.1001"
	if _, err := cert.VerifyRecord(sign(good, "88.118.1001/a"), "88.118.1001/A", someValues(), true, now); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct{ iss, name string }{{"300:0.NA/88.118", "88.118.1001/a"}, {good, "88.118.1002/a"}, {good, "0.NA/88.118"}} {
		if _, err := cert.VerifyRecord(sign(tc.iss, tc.name), tc.name, someValues(), true, now); !problem.Is(err, problem.Bogus) {
			t.Errorf("%s signs %s: %v", tc.iss, tc.name, err)
		}
	}
}

// TestJWSAlgorithms tries the ways in which other implementations were fooled about the algorithm.
func TestJWSAlgorithms(t *testing.T) {
	k := testKey(t, RSA)
	good, err := Issue(k, ref("1:a/b"), ref("2:c/d"), k.Public(), nil, day0, day90)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(good), ".")
	for _, header := range []string{`{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"RS512"}`, `{"alg":"ES256"}`, `{"alg":""}`, `{}`, `[]`, `{"alg":"RS256","crit":["x"]}`, `{"alg":"RS256","b64":false}`} {
		for _, sig := range []string{parts[2], "", "e30"} {
			jws := b64url.EncodeToString([]byte(header)) + "." + parts[1] + "." + sig
			c, err := ParseCert([]byte(jws))
			if err == nil {
				err = c.Verify(k.Public(), now)
			}
			if !problem.Is(err, problem.Bogus) {
				t.Errorf("%s with signature %q: %v", header, clip(sig), err)
			}
		}
	}
	for _, bad := range []string{string(good) + "=", string(good) + ".x", parts[0] + "." + parts[1], "." + string(good), parts[0] + "=." + parts[1] + "." + parts[2]} {
		if _, err := ParseCert([]byte(bad)); !problem.Is(err, problem.Bogus) {
			t.Errorf("%q: %v", clip(bad), err)
		}
	}
}

func TestCertClaims(t *testing.T) {
	k := testKey(t, Ed25519)
	jws, err := Issue(k, ref("300:0.NA/88"), ref("300:0.NA/88.118"), k.Public(), []Permission{{Perm: HandlesUnder, Handle: "0.NA/88.118"}, {Perm: ThisHandle, Handle: "x/y", Leaf: true}}, day0, day90)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := b64url.DecodeString(strings.Split(string(jws), ".")[1])
	want := fmt.Sprintf(`{"perms":[{"handle":"0.NA/88.118","perm":"handlesUnderThisPrefix"},{"handle":"x/y","perm":"thisHandle","ca":false}],"publicKey":%s,"iss":"300:0.NA/88","sub":"300:0.NA/88.118","exp":%d,"nbf":%d,"iat":%d}`,
		k.Public().MarshalJWK(), day90.Unix(), day0.Unix(), day0.Unix())
	if string(payload) != want {
		t.Errorf("claims\n%s\nwant\n%s", payload, want)
	}
	c, err := ParseCert(jws)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Perms) != 2 || c.Perms[0].Leaf || !c.Perms[1].Leaf || !c.From.Equal(day0) || !c.Until.Equal(day90) {
		t.Errorf("read as %+v", c)
	}
	for name, change := range map[string]string{
		"no exp":        `"exp":null`,
		"exp far away":  `"exp":99999999999999`,
		"no key":        `"publicKey":null`,
		"no subject":    `"sub":""`,
		"bad issuer":    `"iss":"1:"`,
		"wrong types":   `"perms":"everything"`,
		"text as dates": `"nbf":"tomorrow"`,
		"bad chain":     `"chain":["300:"]`,
	} {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(payload, &m); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte("{"+change+"}"), &m); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(m)
		bad := b64url.EncodeToString([]byte(`{"alg":"EdDSA"}`)) + "." + b64url.EncodeToString(b) + ".AA"
		if _, err := ParseCert([]byte(bad)); !problem.Is(err, problem.Bogus) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	k := testKey(t, Ed25519)
	for name, err := range map[string]error{
		"nothing": func() error { _, err := Issue(k, record.Ref{}, ref("1:a/b"), k.Public(), nil, day0, day90); return err }(),
		"no key": func() error {
			_, err := Issue(k, ref("1:a/b"), ref("1:a/b"), PublicKey{}, nil, day0, day90)
			return err
		}(),
		"no time": func() error { _, err := Issue(k, ref("1:a/b"), ref("1:a/b"), k.Public(), nil, day0, day0); return err }(),
		"bad perms": func() error {
			_, err := Issue(k, ref("1:a/b"), ref("1:a/b"), k.Public(), []Permission{{Perm: "all"}}, day0, day90)
			return err
		}(),
		"no signer": func() error {
			_, err := Issue(nil, ref("1:a/b"), ref("1:a/b"), k.Public(), nil, day0, day90)
			return err
		}(),
		"record": func() error {
			_, err := SignRecord(k, record.Ref{}, "a/b", nil, SignOptions{From: day0, Until: day90})
			return err
		}(),
		"no days": func() error { _, err := SignRecord(k, ref("1:a/b"), "a/b", nil, SignOptions{}); return err }(),
	} {
		if !problem.Is(err, problem.BadValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenIndexes: issuer and subject may be named without an index, and beside them hints where to look.
func TestOpenIndexes(t *testing.T) {
	k := testKey(t, Ed25519)
	jws, err := Issue(k, ref("0.NA/0.NA"), ref("0.NA/88"), k.Public(), PrefixPermissions("0.NA/88"), day0, day90)
	if err != nil {
		t.Fatal(err)
	}
	c, err := VerifyChain([]PublicKey{k.Public()}, now, jws)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := SignRecord(k, ref("300:0.NA/88"), "88/x", someValues(), SignOptions{From: day0, Until: day90})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.VerifyRecord(sig, "88/x", someValues(), true, now); err != nil {
		t.Error(err)
	}
	exp := day90.Unix()
	hinted, err := signJWS(k, certClaims{PublicKey: k.Public().MarshalJWK(), Iss: "0.NA/88", Sub: "300:0.NA/88.1", Exp: &exp, Chain: []string{"400:0.NA/88", "0.NA/0.NA"}})
	if err != nil {
		t.Fatal(err)
	}
	child, err := ParseCert(hinted)
	if err != nil || len(child.Chain) != 2 || child.Chain[0] != ref("400:0.NA/88") || !child.Issued.IsZero() {
		t.Fatalf("%+v, %v", child, err)
	}
	if err := c.Admit(child, now); err != nil {
		t.Error(err)
	}
}

func TestPermissionsCover(t *testing.T) {
	for _, tc := range []struct {
		perm, handle, name string
		want               bool
	}{
		{Everything, "", "anything/at-all", true},
		{ThisHandle, "88.118/A", "88.118/a", true},
		{ThisHandle, "88.118/A", "88.118/ab", false},
		{DerivedPrefixes, "0.NA/88", "0.NA/88.118", true},
		{DerivedPrefixes, "0.NA/88", "0.na/88.118.1001", true},
		{DerivedPrefixes, "0.NA/88", "0.NA/88", false},
		{DerivedPrefixes, "0.NA/88", "0.NA/881", false},
		{DerivedPrefixes, "0.NA/88", "88.118/x", false},
		{DerivedPrefixes, "0.NA/0.NA", "0.NA/88", true},
		{HandlesUnder, "0.NA/88", "88/x", true},
		{HandlesUnder, "0.NA/88", "88.118/x", false},
		{HandlesUnder, "0.NA/88", "0.NA/88", false},
		{HandlesUnder, "0.NA/0.NA", "0.NA/88", true},
		{HandlesUnder, "0.NA/88", "88", false},
		{"unknown", "0.NA/88", "88/x", false},
	} {
		if got := (Permission{Perm: tc.perm, Handle: tc.handle}).Covers(tc.name); got != tc.want {
			t.Errorf("%s %s covers %s: %v", tc.perm, tc.handle, tc.name, got)
		}
	}
}

func TestSignedRecordProperty(t *testing.T) {
	k := testKey(t, Ed25519)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 8).Draw(t, "n")
		var vs []record.Value
		for i := range n {
			vs = append(vs, record.Value{Index: uint32(i + 1), Type: rapid.SampledFrom([]string{"URL", "DESC", "X"}).Draw(t, "type"),
				Data: rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "data"), TTL: record.TTL{Absolute: rapid.Bool().Draw(t, "abs"), Seconds: rapid.Uint32().Draw(t, "ttl")},
				Perm: record.Perm(rapid.IntRange(0, 15).Draw(t, "perm"))})
		}
		opts := SignOptions{PublicOnly: rapid.Bool().Draw(t, "public"), From: day0, Until: day90}
		jws, err := SignRecord(k, ref("300:0.NA/1"), "1/x", vs, opts)
		if err != nil {
			t.Fatal(err)
		}
		all := vs
		if opts.PublicOnly {
			all = public(vs)
		}
		if err := VerifyRecord(jws, k.Public(), "1/x", all, true, now); err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			return
		}
		i := rapid.IntRange(0, len(all)-1).Draw(t, "i")
		changed := append([]record.Value(nil), all...)
		changed[i].TTL.Seconds++
		if VerifyRecord(jws, k.Public(), "1/x", changed, true, now) == nil {
			t.Fatal("a changed value holds")
		}
		if missing := append(append([]record.Value(nil), all[:i]...), all[i+1:]...); opts.PublicOnly && VerifyRecord(jws, k.Public(), "1/x", missing, true, now) == nil {
			t.Fatal("a missing value does not show")
		}
	})
}

func FuzzCert(f *testing.F) {
	for _, c := range newCountry(f).certs {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCert(b)
		if err != nil {
			if !problem.Is(err, problem.Bogus) {
				t.Fatal(err)
			}
			return
		}
		c.Covers("88.118/x")
		_ = c.Verify(c.Key, now)
		_ = c.Admit(c, now)
	})
}

func FuzzSignature(f *testing.F) {
	for _, alg := range Algorithms() {
		jws, err := SignRecord(testKey(f, alg), ref("300:0.NA/1"), "1/x", someValues(), SignOptions{From: day0, Until: day90})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(jws)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignature(b)
		if err != nil {
			if !problem.Is(err, problem.Bogus) {
				t.Fatal(err)
			}
			return
		}
		_ = s.CheckValues(s.Name, someValues(), true)
	})
}
