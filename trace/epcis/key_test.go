package epcis

import (
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKey(t *testing.T) {
	for _, c := range [][2]string{
		{"urn:epc:id:sgtin:4012345.011111.9876", "https://id.gs1.org/01/04012345111118/21/9876"},
		{"https://id.gs1.de/01/04012345111118/21/9876?x=1#y", "https://id.gs1.org/01/04012345111118/21/9876"},
		{"http://shop.example/a/b/gtin/4012345111118/lot/A/ser/9876", "https://id.gs1.org/01/04012345111118/21/9876"},
		{"https://example.com/01/04012345111118/22/2A/10/LOT%2F1", "https://id.gs1.org/01/04012345111118/10/LOT%2F1"},
		{"https://id.gs1.org/01/04012345111118/21/a+b", "https://id.gs1.org/01/04012345111118/21/a%2Bb"},
		{"https://id.gs1.org/01/04012345111118/", "https://id.gs1.org/01/04012345111118"},
		{"urn:epc:class:lgtin:4012345.012345.Lot.7", "https://id.gs1.org/01/04012345123456/10/Lot.7"},
		{"urn:epc:idpat:sgtin:4012345.044444.*", "https://id.gs1.org/01/04012345444445"},
		{"urn:epc:idpat:sgtin:4012345.*.*", "urn:epc:idpat:sgtin:4012345.*.*"},
		{"urn:epc:id:sgln:4012345.00005.0", "https://id.gs1.org/414/4012345000054"},
		{"urn:epc:id:gdti:987659999999..9", "https://id.gs1.org/253/98765999999929"},
		{"urn:epc:id:sgtin:4012345.11111.9876", "urn:epc:id:sgtin:4012345.11111.9876"},
		{"urn:epc:id:sgtin:4012345.011111.", "urn:epc:id:sgtin:4012345.011111."},
		{"urn:epc:id:sgtin:x.011111.1", "urn:epc:id:sgtin:x.011111.1"},
		{"urn:epc:id:sgtin:4012345.011111.%2", "urn:epc:id:sgtin:4012345.011111.%2"},
		{"urn:epc:id:", "urn:epc:id:"},
		{"88.118.1001/ENG-42", "88.118.1001/ENG-42"},
		{"hdl:88.118.1001/ENG-42", "88.118.1001/ENG-42"},
		{"https://hdl.example.cn/88.118.1001/ENG-42?x", "88.118.1001/ENG-42"},
		{"http://node:8080/88.118.1001/A%20B", "88.118.1001/A B"},
		{"https://x/88.118.1001/01/04012345111118", "88.118.1001/01/04012345111118"},
		{"http://transaction.acme.com/po/12345678", "http://transaction.acme.com/po/12345678"},
		{"https://x.example/01/abc", "https://x.example/01/abc"},
		{"geo:50.9,6.9", "geo:50.9,6.9"}, {"", ""}, {"x", "x"}, {"https://", "https://"}, {"https:///", "https:///"},
	} {
		if got := Key(c[0]); got != c[1] {
			t.Errorf("Key(%q) = %q, want %q", c[0], got, c[1])
		}
		if got := Key(Key(c[0])); got != Key(c[0]) {
			t.Errorf("the key of the key of %q is %q", c[0], got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Key("https://id.gs1.org/01/04012345111118/21/9876") }); n > 0 {
		t.Errorf("a canonical link costs %v allocations", n)
	}
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{"urn:epc:id:sgtin:4012345.011111.9876", "https://id.gs1.de/01/04012345111118/21/9876", "hdl:88.118.1001/ENG-42", "urn:epc:id:itip:4012345.011111.01.02.987"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k := Key(s)
		if again := Key(k); again != k && !strings.HasPrefix(k, "hdl:") {
			t.Errorf("Key(%q) = %q, whose key is %q", s, k, again)
		}
	})
}

func TestWord(t *testing.T) {
	for kind := BizStep; kind < wordKinds; kind++ {
		for _, w := range Words(kind) {
			for _, s := range []string{w, WordURI(kind, w), WordURN(kind, w), vocabularies[kind].curie + w, strings.Replace(WordURI(kind, w), "https:", "http:", 1)} {
				if got := Word(kind, s); got != w {
					t.Errorf("Word(%d, %q) = %q, want %q", kind, s, got, w)
				}
			}
		}
	}
	for _, c := range []struct {
		kind      WordKind
		in, out   string
		uri, isOK string
	}{
		{BizStep, "urn:epcglobal:cbv:bizstep:receiving", "receiving", "https://ref.gs1.org/cbv/BizStep-receiving", ""},
		{BizStep, "https://ns.gs1.org/cbv/BizStep-receiving", "receiving", "https://ref.gs1.org/cbv/BizStep-receiving", ""},
		{BizStep, "https://own.example/steps#frying", "https://own.example/steps#frying", "https://own.example/steps#frying", ""},
		{Disposition, "urn:epcglobal:cbv:disp:non_sellable_expired", "https://ref.gs1.org/cbv/Disp-non_sellable_expired", "https://ref.gs1.org/cbv/Disp-non_sellable_expired", ""},
		{PartyType, "cbv:my_own_party", "https://ref.gs1.org/cbv/my_own_party", "https://ref.gs1.org/cbv/my_own_party", ""},
		{Measurement, "gs1:MT-Humidity", "MT-Humidity", "https://gs1.org/voc/MT-Humidity", ""},
		{0, "https://ref.gs1.org/cbv/BizStep-receiving", "https://ref.gs1.org/cbv/BizStep-receiving", "https://ref.gs1.org/cbv/BizStep-receiving", ""},
	} {
		if got := Word(c.kind, c.in); got != c.out {
			t.Errorf("Word(%q) = %q, want %q", c.in, got, c.out)
		}
		if got := WordURI(c.kind, c.in); got != c.uri {
			t.Errorf("WordURI(%q) = %q, want %q", c.in, got, c.uri)
		}
	}
	if Words(200) != nil || IsWord(200, "x") || Word(200, "a:b") != "a:b" || WordURI(200, "x") != "x" || WordURN(200, "x") != "x" {
		t.Error("a kind that there is not")
	}
}

func TestDecimal(t *testing.T) {
	for in, want := range map[Decimal]Decimal{"26": "26", "13.20": "13.2", "1e3": "1000", "452.0": "452", "0.10": "0.1", "-0": "0", "-1.50e-2": "-0.015", "+5": "5", ".5": "0.5", "5.": "5",
		"000": "0", "1200": "1200", "100.001": "100.001", "1.20e2": "120", "": "", "x": "x", "1e401": "1e401", "1.2.3": "1.2.3", "--1": "--1", ".": ".", "1e": "1e"} {
		if got := in.Normal(); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	if got := Decimal("0.1").Add("0.2"); got != "0.3" {
		t.Errorf("0.1 + 0.2 = %s", got)
	}
	if got := Decimal("1e3").Add("-0.001"); got != "999.999" {
		t.Errorf("1000 - 0.001 = %s", got)
	}
	if Decimal("").Add("5.0") != "5.0" || Decimal("5").Add("") != "5" || Decimal("1e1").Cmp("10.0") != 0 || Decimal("-2").Cmp("1") != -1 {
		t.Error("sums or comparisons")
	}
	if f, ok := Decimal("2.50").Float(); !ok || f != 2.5 {
		t.Error("Float")
	}
	if _, ok := Decimal("two").Float(); ok {
		t.Error("two is a float")
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := Decimal(rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,9})?(e-?[0-9]{1,2})?`).Draw(t, "a")), Decimal(rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,9})?`).Draw(t, "b"))
		if a.Cmp(a.Normal()) != 0 || a.Normal().Normal() != a.Normal() || !a.Normal().isJSON() {
			t.Errorf("%s is not %s", a, a.Normal())
		}
		if sum := a.Add(b); sum != b.Add(a) || sum.Add("-"+b).Cmp(a) != 0 && b[0] != '-' {
			t.Errorf("%s + %s = %s", a, b, sum)
		}
	})
}

func TestNames(t *testing.T) {
	e := &Event{Type: AggregationEvent, Parent: "p", EPCs: []string{"c"}, Quantities: []Quantity{{Class: "q"}}, InputEPCs: []string{"i"}, OutputQuantities: []Quantity{{Class: "o"}}}
	got := ""
	for role, name := range e.Names() {
		got += role.String() + "=" + name + " "
	}
	if want := "parentID=p childEPC=c inputEPC=i childEPCClass=q outputEPCClass=o "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for stop := range 5 {
		n := 0
		for range e.Names() {
			if n++; n > stop {
				break
			}
		}
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2005-04-03T20:33:31.116-06:00": "2005-04-03T20:33:31.116-06:00", "2020-02-29T00:00:00Z": "2020-02-29T00:00:00Z", "2005-07-11T11:30:47.0Z": "2005-07-11T11:30:47Z",
		"2023-02-12T11:04:03.123456789012+14:00": "2023-02-12T11:04:03.123456789+14:00",
		"22-07-2026":                             "", "2021-02-29T00:00:00Z": "", "2026-07-22T06:45:00": "", "2026-07-22T24:00:00Z": "", "2026-07-22T06:45:00+14:01": "", "2026-07-22T06:45:00.Z": "", "2026-13-22T06:45:00Z": "", "0000-01-01T00:00:00Z": "", "2026-07-22T06:45:00+0200": "",
	} {
		got, ok := ParseTime(in)
		if ok != (want != "") || ok && got.Format("2006-01-02T15:04:05.999999999Z07:00") != want {
			t.Errorf("%s: %v %v", in, got, ok)
		}
	}
}

// text draws text that is nowhere special.
func text(r *rand.Rand) string {
	return []string{"a", "日本", `q"\`, "tab\there", " x ", "5.0"}[r.IntN(6)]
}
