package record_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// golden calls each for every pair of testdata/json.txt: the hex of one value and its JSON.
func golden(t testing.TB, each func(name, text string, binary []byte)) {
	b, err := os.ReadFile("testdata/json.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(b), "\n\n") {
		lines := strings.Split(strings.TrimSpace(part), "\n")
		if len(lines) != 3 {
			continue
		}
		v, err := hex.DecodeString(strings.ReplaceAll(lines[1], " ", ""))
		if err != nil {
			t.Fatal(lines[0], err)
		}
		each(strings.TrimPrefix(lines[0], "# "), lines[2], v)
	}
}

func TestJSONGolden(t *testing.T) {
	n := 0
	golden(t, func(name, text string, binary []byte) {
		n++
		v, rest, err := record.DecodeValue(binary)
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: %v, %d bytes left", name, err, len(rest))
			return
		}
		if got := string(record.AppendValueJSON(nil, &v)); got != text {
			t.Errorf("%s\n got %s\nwant %s", name, got, text)
		}
		block := append([]byte{0, 0, 0, 2}, append(bytes.Clone(binary), binary...)...)
		got, err := record.AppendBlockJSON([]byte("x"), block)
		if want := "x[" + text + "," + text + "]"; err != nil || string(got) != want {
			t.Errorf("%s: the block gives %s, %v", name, got, err)
		}
		back, err := record.ParseValuesJSON([]byte(text))
		if err != nil || len(back) != 1 {
			t.Errorf("%s: reading back: %v", name, err)
			return
		}
		if again := record.AppendValue(nil, &back[0]); !bytes.Equal(again, binary) {
			t.Errorf("%s\n back %x\nwant %x", name, again, binary)
		}
	})
	if n < 15 {
		t.Errorf("only %d golden values", n)
	}
}

func TestJSONInput(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`[{"index":1,"type":"URL","data":"http://a"}]`, `[{"index":1,"type":"URL","data":{"format":"string","value":"http://a"},"ttl":86400}]`},
		{`{"index":"1","type":"URL","data":{"value":"http://a","format":"string"}}`, `[{"index":1,"type":"URL","data":{"format":"string","value":"http://a"},"ttl":86400}]`},
		{`{"handle":"a/b","values":[{"index":1,"type":"N","data":17}]}`, `[{"index":1,"type":"N","data":{"format":"string","value":"17"},"ttl":86400}]`},
		{` { "values" : [ ] } `, `[]`},
		{`[]`, `[]`},
		{`{"index":1,"type":"X","data":{"format":"hex","value":"00fF"}}`, `[{"index":1,"type":"X","data":{"format":"base64","value":"AP8="},"ttl":86400}]`},
		{`{"index":1,"type":"X","data":{"format":"base64","value":"_-8"}}`, `[{"index":1,"type":"X","data":{"format":"base64","value":"/+8="},"ttl":86400}]`},
		// four digits count as they stand; of five the second means nothing
		{`{"index":1,"type":"X","data":"","permissions":"1100"}`, `[{"index":1,"type":"X","data":{"format":"string","value":""},"permissions":"1100","ttl":86400}]`},
		{`{"index":1,"type":"X","data":"","permissions":"11110"}`, `[{"index":1,"type":"X","data":{"format":"string","value":""},"ttl":86400}]`},
		{`{"index":1,"type":"X","data":"","permissions":"10110"}`, `[{"index":1,"type":"X","data":{"format":"string","value":""},"ttl":86400}]`},
		{`{"index":1,"type":"X","data":"","permissions":"01110"}`, `[{"index":1,"type":"X","data":{"format":"string","value":""},"permissions":"0110","ttl":86400}]`},
		{`{"index":1,"type":"HS_SECKEY","data":"s","permissions":"1110"}`, `[{"index":1,"type":"HS_SECKEY","data":{"format":"string","value":"s"},"permissions":"1110","ttl":86400}]`},
		// nobody shall publish a secret because he said nothing
		{`{"index":1,"type":"HS_SECKEY","data":"s"}`, `[{"index":1,"type":"HS_SECKEY","data":{"format":"string","value":"s"},"permissions":"1100","ttl":86400}]`},
		{`{"index":1,"type":"X","data":"","ttl":"2027-01-15T09:00:00+01:00"}`, `[{"index":1,"type":"X","data":{"format":"string","value":""},"ttl":"2027-01-15T08:00:00Z"}]`},
		{`{"index":1,"type":"X","data":"","ttl":"300"}`, `[{"index":1,"type":"X","data":{"format":"string","value":""},"ttl":300}]`},
		{`{"index":1,"type":"X","data":"\u4e2d\ud83d\ude00\/\t"}`, `[{"index":1,"type":"X","data":{"format":"string","value":"中😀/\t"},"ttl":86400}]`},
		{`{"index":100,"type":"HS_ADMIN","data":{"format":"admin","value":{"index":"200","handle":"0.NA/88.1","permissions":"011111110011"}}}`,
			`[{"index":100,"type":"HS_ADMIN","data":{"format":"admin","value":{"handle":"0.NA/88.1","index":200,"permissions":"011111110011"}},"ttl":86400}]`},
		{`{"index":1,"type":"X","data":"a","unknown":{"deep":[1,-2.5e3,true,false,null,"s",{}]}}`, `[{"index":1,"type":"X","data":{"format":"string","value":"a"},"ttl":86400}]`},
	} {
		vs, err := record.ParseValuesJSON([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got := string(record.AppendValuesJSON(nil, vs)); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestJSONRefuses(t *testing.T) {
	deep := strings.Repeat("[", 100000)
	for _, in := range []string{
		``, ` `, `{`, `[`, `[1]`, `{}`, `{"a":1}`, `"x"`, `null`, `[{"index":1}]`, `[{}] x`, `[{}`, `[,]`, `{"values":[]`,
		`{"index":1,"type":"X","data":{"format":"string"}}`,
		`{"index":1,"type":"X","data":{"format":"what","value":"x"}}`,
		`{"index":1,"type":"X","data":{"format":"hex","value":"0"}}`,
		`{"index":1,"type":"X","data":{"format":"base64","value":"***"}}`,
		`{"index":1,"type":"X","data":null}`,
		`{"index":-1,"type":"X","data":""}`, `{"index":4294967296,"type":"X","data":""}`, `{"index":1.5,"type":"X","data":""}`,
		`{"index":01,"type":"X","data":""}`, `{"index":1,"type":7,"data":""}`,
		`{"index":1,"type":"X","data":"","permissions":"111111"}`, `{"index":1,"type":"X","data":"","permissions":"rwr-"}`,
		`{"index":1,"type":"X","data":"","ttl":-1}`, `{"index":1,"type":"X","data":"","ttl":"tomorrow-ish"}`,
		`{"index":1,"type":"X","data":"","timestamp":"1969-12-31T23:59:59Z"}`,
		`{"index":1,"type":"X","data":"\ud800"}`, `{"index":1,"type":"X","data":"\u12"}`, `{"index":1,"type":"X","data":"\x"}`,
		"{\"index\":1,\"type\":\"X\",\"data\":\"\x01\"}", "{\"index\":1,\"type\":\"X\",\"data\":\"\xff\"}", "{\"index\":1,\"type\":\"X\",\"data\":\"\\n\xff\"}",
		`{"index":1,"type":"X","data":"open`, `{"index":1,"type":"X","data":"open\`,
		`{"index":1,"type":"HS_PUBKEY","data":{"format":"key","value":{"kty":"RSA","n":"AQ"}}}`,
		`{"index":1,"type":"HS_PUBKEY","data":{"format":"key","value":{"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ"}}}`,
		`{"index":1,"type":"HS_PUBKEY","data":{"format":"key","value":{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}}}`,
		`{"index":1,"type":"HS_PUBKEY","data":{"format":"key","value":{"kty":"oct"}}}`,
		`{"index":1,"type":"HS_ADMIN","data":{"format":"admin","value":{"handle":"a","index":1,"permissions":"012"}}}`,
		`{"index":1,"type":"HS_SITE","data":{"format":"site","value":{"servers":[{"address":"nowhere"}]}}}`,
		`{"index":1,"type":"HS_SITE","data":{"format":"site","value":{"protocolVersion":"2"}}}`,
		deep, `{"x":` + deep,
	} {
		vs, err := record.ParseValuesJSON([]byte(in))
		var e *problem.Error
		if err == nil || !errors.As(err, &e) || e.Kind != problem.BadValue || vs != nil {
			if len(in) > 100 {
				in = in[:100]
			}
			t.Errorf("%s: %v, %v", in, vs, err)
		}
	}
}

// drawValue makes any value that a record may hold; of the system's own types now and then well formed data.
func drawValue(t *rapid.T) record.Value {
	v := record.Value{
		Index:     rapid.Uint32Range(1, 1<<31-1).Draw(t, "index"),
		TTL:       record.TTL{Absolute: rapid.Bool().Draw(t, "absolute"), Seconds: rapid.Uint32().Draw(t, "ttl")},
		Perm:      record.Perm(rapid.IntRange(0, 15).Draw(t, "perm")),
		Timestamp: rapid.Uint32().Draw(t, "timestamp"),
	}
	ref := rapid.Custom(func(t *rapid.T) record.Ref {
		return record.Ref{Index: rapid.Uint32().Draw(t, "index"), Name: rapid.StringN(1, 20, -1).Draw(t, "name")}
	})
	v.Refs = rapid.SliceOfN(ref, 0, 3).Draw(t, "refs")
	if len(v.Refs) == 0 {
		v.Refs = nil
	}
	v.Type = rapid.SampledFrom([]string{"URL", "X", "类型", record.TypeAdmin, record.TypeVList, record.TypeSite, record.TypeSite6, record.TypePubKey, record.TypeSecKey, "hs_admin"}).Draw(t, "type")
	v.Data = rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "data")
	if rapid.Bool().Draw(t, "text") {
		v.Data = []byte(rapid.String().Draw(t, "string"))
	}
	if rapid.Bool().Draw(t, "formed") {
		switch strings.ToUpper(v.Type) {
		case record.TypeAdmin:
			v.Data = record.AppendAdmin(nil, record.Admin{Perms: record.AdminPerm(rapid.Uint16().Draw(t, "p")), Ref: ref.Draw(t, "admin")})
		case record.TypeVList:
			v.Data = record.AppendVList(nil, rapid.SliceOfN(ref, 0, 4).Draw(t, "vlist"))
		case record.TypeSite, record.TypeSite6:
			v.Data = record.AppendSite(nil, drawSite(t))
		case record.TypePubKey:
			v.Data = record.AppendKey(nil, drawKey(t))
		}
	}
	if len(v.Data) == 0 {
		v.Data = nil
	}
	return v
}

func drawKey(t *rapid.T) record.KeyData {
	integer := func(name string) []byte {
		b := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, name)
		b[0] |= 1
		return b
	}
	fixed := func(n int) []byte { return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "fixed") }
	switch rapid.IntRange(0, 5).Draw(t, "key") {
	case 0:
		return record.KeyData{Type: record.KeyRSA, Fields: [][]byte{integer("e"), integer("n")}}
	case 1:
		return record.KeyData{Type: record.KeyDSA, Fields: [][]byte{integer("q"), integer("p"), integer("g"), integer("y")}}
	case 2:
		return record.KeyData{Type: record.KeyDH, Fields: [][]byte{integer("y"), integer("p"), integer("g")}}
	case 3:
		return record.KeyData{Type: record.KeyEd25519, Fields: [][]byte{fixed(32)}}
	case 4:
		return record.KeyData{Type: record.KeyEC, Fields: [][]byte{[]byte("P-256"), append([]byte{4}, fixed(64)...)}}
	}
	return record.KeyData{Type: "SM9_PUB_KEY", Flags: 1, Fields: [][]byte{fixed(9)}}
}

func drawSite(t *rapid.T) *record.Site {
	s := &record.Site{
		Version: 1, Major: 2, Minor: rapid.Uint8().Draw(t, "minor"), Serial: rapid.Uint16().Draw(t, "serial"),
		Primary: rapid.Bool().Draw(t, "primary"), MultiPrimary: rapid.Bool().Draw(t, "multi"),
		Hash: record.HashOption(rapid.IntRange(0, 2).Draw(t, "hash")),
	}
	if rapid.Bool().Draw(t, "filter") {
		s.HashFilter = []byte{1, 2, 3}
	}
	for range rapid.IntRange(0, 2).Draw(t, "attributes") {
		s.Attributes = append(s.Attributes, record.Attribute{Name: rapid.String().Draw(t, "name"), Value: rapid.String().Draw(t, "value")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "servers") {
		v := record.Server{ID: rapid.Uint32().Draw(t, "id")}
		v.Addr = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
		if v.Addr == netip.MustParseAddr("0.0.0.1") || rapid.Bool().Draw(t, "six") {
			v.Addr = netip.MustParseAddr(rapid.SampledFrom([]string{"::1", "2001:db8::1", "fe80::1:2"}).Draw(t, "v6"))
		}
		if rapid.Bool().Draw(t, "keyed") {
			v.PublicKey = record.AppendKey(nil, drawKey(t))
		}
		for range rapid.IntRange(0, 3).Draw(t, "interfaces") {
			v.Interfaces = append(v.Interfaces, record.Interface{
				Admin: rapid.Bool().Draw(t, "admin"), Query: rapid.Bool().Draw(t, "query"),
				Protocol: record.Protocol(rapid.IntRange(0, 4).Draw(t, "protocol")), Port: rapid.Uint32().Draw(t, "port")})
		}
		s.Servers = append(s.Servers, v)
	}
	return s
}

func TestJSONLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := rapid.SliceOfN(rapid.Custom(drawValue), 0, 4).Draw(t, "values")
		text := record.AppendValuesJSON(nil, vs)
		if !json.Valid(text) {
			t.Fatalf("no JSON: %s", text)
		}
		block := record.AppendBlock(nil, vs)
		fast, err := record.AppendBlockJSON(nil, block)
		if err != nil || !bytes.Equal(fast, text) {
			t.Fatalf("fast path %s\nslow path %s\n%v", fast, text, err)
		}
		back, err := record.ParseValuesJSON(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for i := range back {
			// The two zero bytes of old writers are the one thing that may go.
			if !bytes.Equal(vs[i].Data, back[i].Data) && bytes.Equal(vs[i].Data, append(bytes.Clone(back[i].Data), 0, 0)) {
				vs[i].Data = back[i].Data
			}
		}
		if !bytes.Equal(record.AppendBlock(nil, back), record.AppendBlock(nil, vs)) {
			t.Fatalf("%s\n%s", text, cmp.Diff(vs, back))
		}
	})
}

func TestJSONTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.Uint32Range(1, 1<<32-1).Draw(t, "seconds")
		v := record.Value{Index: 1, Type: "X", Timestamp: s}
		want := `"timestamp":"` + time.Unix(int64(s), 0).UTC().Format(time.RFC3339) + `"`
		if got := record.AppendValueJSON(nil, &v); !bytes.Contains(got, []byte(want)) {
			t.Fatalf("%s has no %s", got, want)
		}
	})
}

func TestBlockJSONAllocatesNothing(t *testing.T) {
	var block []byte
	n := 0
	golden(t, func(_, _ string, b []byte) { block = append(block, b...); n++ })
	block = append([]byte{0, 0, 0, byte(n)}, block...)
	dst := make([]byte, 0, 1<<16)
	if a := testing.AllocsPerRun(100, func() {
		var err error
		if dst, err = record.AppendBlockJSON(dst[:0], block); err != nil {
			t.Fatal(err)
		}
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
}

func TestBlockJSONRefuses(t *testing.T) {
	golden(t, func(name, _ string, b []byte) {
		for i := range b {
			got, err := record.AppendBlockJSON([]byte("kept"), append([]byte{0, 0, 0, 1}, b[:i]...))
			if string(got) != "kept" || !problem.Is(err, problem.BadRequest) {
				t.Fatalf("%s cut at %d: %q, %v", name, i, got, err)
			}
		}
	})
	got, err := record.AppendBlockJSON(nil, []byte{0xff, 0xff, 0xff, 0xff})
	if len(got) != 0 || err == nil {
		t.Error(got, err)
	}
}

func FuzzBlockJSON(f *testing.F) {
	golden(f, func(_, _ string, b []byte) { f.Add(append([]byte{0, 0, 0, 1}, b...)) })
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := record.AppendBlockJSON(nil, b)
		vs, _, slow := record.DecodeBlock(b)
		if (err == nil) != (slow == nil) && len(b) < 1<<20 && slow == nil {
			t.Fatalf("fast %v, slow %v", err, slow)
		}
		if err == nil && !json.Valid(text) {
			t.Fatalf("no JSON: %s", text)
		}
		if err == nil && slow == nil && string(record.AppendValuesJSON(nil, vs)) != string(text) {
			t.Fatalf("%s\n%s", text, record.AppendValuesJSON(nil, vs))
		}
	})
}

func FuzzParseValuesJSON(f *testing.F) {
	golden(f, func(_, text string, _ []byte) { f.Add([]byte(text)) })
	f.Add([]byte(`{"handle":"a/b","values":[{"index":1,"type":"N","data":17}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		vs, err := record.ParseValuesJSON(b)
		if err != nil {
			if !problem.Is(err, problem.BadValue) {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatalf("took what is no JSON: %q", b)
		}
		for i := range vs {
			if vs[i].Check() != nil {
				return
			}
		}
		back, err := record.ParseValuesJSON(record.AppendValuesJSON(nil, vs))
		if err != nil {
			t.Fatal(err)
		}
		for i := range back {
			if strings.EqualFold(vs[i].Type, record.TypeAdmin) {
				vs[i].Data = back[i].Data
			}
		}
		if !bytes.Equal(record.AppendBlock(nil, back), record.AppendBlock(nil, vs)) {
			t.Fatalf("%q: %s", b, cmp.Diff(vs, back))
		}
	})
}

func BenchmarkBlockJSON(b *testing.B) {
	vs := []record.Value{
		{Index: 1, Type: "URL", Data: []byte("https://www.example.com/products/88.118.1001/ENG-42"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000},
		{Index: 2, Type: "NAME", Data: []byte("发动机缸体"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000},
		{Index: 3, Type: "WEIGHT", Data: []byte("12.5"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000},
		{Index: 100, Type: "HS_ADMIN", Data: record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: record.Ref{Index: 300, Name: "0.NA/88.118.1001"}}), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 86400}, Timestamp: 1700000000},
	}
	block := record.AppendBlock(nil, vs)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = record.AppendBlockJSON(dst[:0], block)
	}
}

func BenchmarkParseValuesJSON(b *testing.B) {
	in := []byte(`[{"index":1,"type":"URL","data":{"format":"string","value":"https://www.example.com/products/88.118.1001/ENG-42"},"ttl":86400},{"index":2,"type":"NAME","data":"发动机缸体"},{"index":3,"type":"WEIGHT","data":{"format":"string","value":"12.5"}}]`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := record.ParseValuesJSON(in); err != nil {
			b.Fatal(err)
		}
	}
}
