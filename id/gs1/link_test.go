package gs1

import (
	"strings"
	"testing"

	"github.com/fujie-id/fujie/problem"
	"pgregory.net/rapid"
)

func TestCompressed(t *testing.T) {
	for _, c := range lines(t, "compressed.txt") {
		l, err := ParseLink(c[1])
		if err != nil || l.URI() != c[0] {
			t.Errorf("%s: %s, %v, want %s", c[1], l.URI(), err, c[0])
			continue
		}
		short, err := l.Compressed()
		if err != nil {
			t.Errorf("%s: %v", c[0], err)
			continue
		}
		if bestSequence(l.Elements) == 0 && strings.Count(c[1], "/") == 3 && short != c[1] {
			t.Errorf("%s: compressed %s, want %s", c[0], short, c[1])
		}
		back, err := ParseLink(short)
		if err != nil || back.URI() != c[0] {
			t.Errorf("%s: compressed %s, which reads as %s, %v", c[0], short, back.URI(), err)
		}
		if c[0] == l.Canonical() && len(short) > len(c[1]) {
			t.Errorf("%s: compressed %s, longer than %s", c[0], short, c[1])
		}
	}
}

// TestSequences reads what other encoders write with sequences, in both orders of their values.
func TestSequences(t *testing.T) {
	for code, list := range sequences {
		var e Elements
		for _, ai := range list {
			e = append(e, Element{ai, sample[ai]})
		}
		if strings.HasPrefix(list[1], "392") {
			e = append(e, Element{"3103", "000123"})
		}
		for _, order := range [][]string{list, {"01", "10", "17", "21"}, {"254", "414"}} {
			if len(order) != len(list) || code != 0x1a && code != 0x9d && &order[0] != &list[0] {
				continue
			}
			var p packer
			p.put(uint64(code), 8)
			for _, ai := range order {
				p.putValue(ai, sample[ai])
			}
			if strings.HasPrefix(list[1], "392") { // a price goes with a measure
				p.putAI("3103")
				p.putValue("3103", "000123")
			}
			l, err := ParseLink("https://example.com/x/" + p.segment())
			if err != nil || !sameFields(l.Elements, e) || l.Stem != "/x" {
				t.Errorf("%02X %v: %v, %v", code, order, l.Elements, err)
			}
		}
	}
}

// sample is a good value for the identifiers of sequences.
var sample = map[string]string{"01": "09521234543213", "10": "LOT-1", "11": "261231", "15": "261231", "16": "261231", "17": "261231", "21": "S/1", "22": "2A",
	"30": "12", "91": "own", "254": "x", "255": "9521234543213", "414": "9521234543213", "7003": "2612312359", "8010": "9521ABC", "8011": "7",
	"8017": "952123456789123454", "8018": "952123456789123454", "8019": "1"}

func init() {
	for d := range 10 {
		n := string(rune('0' + d))
		sample["310"+n], sample["320"+n], sample["392"+n], sample["390"+n], sample["394"+n] = "000123", "000123", "199", "100", "0100"
	}
}

func TestBadLinks(t *testing.T) {
	for _, c := range [][2]string{
		{"https://id.gs1.org/01/09521234543214", "the check digit is 4 where 3 belongs"},
		{"https://id.gs1.org/01/09521234543213/21/A/10/B", `"10" cannot follow (01) in the path`},
		{"https://id.gs1.org/01/09521234543213/x/A", `"x" cannot follow`},
		{"https://id.gs1.org/01/09521234543213/235/A/21/B", "cannot follow"},
		{"https://id.gs1.org/00/006141411234567890/21/B", "cannot follow"},
		{"https://id.gs1.org/01/09521234543213?21=A", "(21) cannot stand in the query"},
		{"https://id.gs1.org/01/09521234543213?10=A", "(10) cannot stand in the query"},
		{"https://id.gs1.org/01/09521234543213?17=261301", "month 13"},
		{"https://id.gs1.org/01/09521234543213?17=261201&17=261201", "stands twice"},
		{"https://id.gs1.org/01/09521234543213?3100=000001&3101=000001", "must not be on one thing"},
		{"https://id.gs1.org/01/09521234543213?12345=A", "no application identifier"},
		{"https://id.gs1.org/01/09521234543213/21/%00", "character 1"},
		{"https://id.gs1.org/01/09521234543213/21/a b", "character 42 cannot stand in a web address"},
		{"https://id.gs1.org/", "holds no GS1 key"},
		{"https://id.gs1.org", "holds no GS1 key"},
		{"https://id.gs1.org/88.118.1001/ENG-42", "holds no GS1 key"},
		{"https://user@host/01/09521234543213", "no host name"},
		{"https://host:99999/01/09521234543213", "no host name"},
		{"https://[::1/01/09521234543213", "no host name"},
		{"https://[]/01/09521234543213", "no host name"},
		{"ftp://host/01/09521234543213", "begins with https://"},
		{"urn:epc:id:sgtin:1.2.3", "begins with https://"},
		{"https://id.gs1.org/AQnYUc1gmw", "holds no GS1 key"},               // a bit is wrong
		{"https://id.gs1.org/AQnYUc1gm", "holds no GS1 key"},                // too short
		{"https://id.gs1.org/AQnYUc1gmgAAAA", "holds no GS1 key"},           // something behind it
		{"https://id.gs1.org/EEarwSM", "holds no GS1 key"},                  // a lot alone
		{"https://id.gs1.org/________", "holds no GS1 key"},                 // a name of 127
		{"https://id.gs1.org/AQnYUc1gmg/21/X", "holds no GS1 key"},          // not at the end
		{"https://id.gs1.org/AQnYUc1gmg?01=09521234543213", "stands twice"}, // compressed and not
		{"https://id.gs1.org/01/09521234543213/", "holds no GS1 key"},
	} {
		l, err := ParseLink(c[0])
		if err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: %v, %v, want %q", c[0], l, err, c[1])
		} else if p, ok := err.(*problem.Error); !ok || p.Kind != problem.BadID || strings.Contains(p.EN+p.ZH, "%!") {
			t.Errorf("%s: %v", c[0], err)
		}
	}
	for _, c := range [][3]string{
		{"(10)A", "", "needs (01)"},
		{"(99)A", "", "holds no key"},
		{"(01)09521234543213", "https://a/?x=1", "no query"},
		{"(01)09521234543213", "a", "begins with https://"},
		{"(01)09521234543213(8200)x", "", "(8200) cannot stand in a Digital Link with the key (01)"},
	} {
		e, err := ParseElements(c[0])
		if err == nil {
			_, err = e.Link(c[1])
		}
		if err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s under %q: %v, want %q", c[0], c[1], err, c[2])
		}
	}
	if _, err := (Elements{{"01", "1"}}).Link(""); err == nil {
		t.Error("a bad value has a link")
	}
	if _, err := (Elements{{"01", "09521234543213"}, {"01", "09521234543220"}}).Link(""); err == nil {
		t.Error("two GTINs have a link")
	}
	if _, err := (Link{Elements: Elements{{"89", "1"}}}).Compressed(); err == nil {
		t.Error("an unknown identifier is compressed")
	}
	for _, stem := range []string{"/01", "/gtin", "/00/006141411234567890"} {
		l := Link{Scheme: "https", Host: "a", Stem: stem, Elements: Elements{{"01", "09521234543213"}}, Path: 1}
		if s, err := l.Compressed(); err == nil {
			t.Errorf("under %s: %s", stem, s)
		}
	}
	if s := (Link{}).Canonical() + (Link{}).URI(); s == "" {
		t.Error("nothing")
	}
}

func TestCanonical(t *testing.T) {
	const want = "https://id.gs1.org/01/09521234543213/22/2A/10/L%2F1/21/S"
	for _, s := range []string{
		want, "http://example.com/a/b/01/09521234543213/22/2A/10/L%2F1/21/S?17=261231&linkType=all#x",
		"https://example.com:8080/gtin/9521234543213/cpv/2A/lot/L%2f1/ser/S", "HTTPS://[2001:db8::1]/01/9521234543213/22/2A/10/L%2f1/21/S",
	} {
		l, err := ParseLink(s)
		if err != nil || l.Canonical() != want {
			t.Errorf("%s: %s, %v", s, l.Canonical(), err)
		}
		short, err := l.Compressed()
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if l, err = ParseLink(short); err != nil || l.Canonical() != want {
			t.Errorf("%s: %s, %v", short, l.Canonical(), err)
		}
	}
	l, err := ParseLink("https://example.com/a/01/09521234543213?linkType=gs1:pip&17=261231&x#top")
	if err != nil || l.URI() != "https://example.com/a/01/09521234543213?17=261231&linkType=gs1%3Apip&x=#top" || l.Query.Get("linkType") != "gs1:pip" || l.Stem != "/a" {
		t.Errorf("%+v %s %v", l, l.URI(), err)
	}
}

// drawElements makes good codes: a key with qualifiers and attributes that may stand with it.
func drawElements(t *rapid.T) Elements {
	x := rapid.StringOfN(rapid.RuneFrom([]rune(set82)), 1, 20, -1)
	n := func(digits int) string {
		return rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), digits, digits, -1).Draw(t, "digits")
	}
	checked := func(digits int) string {
		s := n(digits - 1)
		return s + string(CheckDigit(s))
	}
	var e Elements
	add := func(ai, v string) {
		if rapid.Bool().Draw(t, "with "+ai) {
			e = append(e, Element{ai, v})
		}
	}
	switch rapid.SampledFrom([]string{"01", "00", "414", "8004", "8006", "8018", "253", "8010"}).Draw(t, "key") {
	case "01":
		add("10", x.Draw(t, "lot"))
		e = append(e, Element{"01", checked(14)})
		add("21", x.Draw(t, "serial"))
		add("22", x.Draw(t, "variant"))
		add("17", "261231")
		add("3103", n(6))
		add("8008", "26123123"+rapid.SampledFrom([]string{"", "59", "5959"}).Draw(t, "time"))
		add("422", "156")
	case "00":
		e = append(e, Element{"00", checked(18)})
		add("4309", "0000000000"+"3600000000")
		if rapid.Bool().Draw(t, "content") {
			e = append(e, Element{"02", checked(14)}, Element{"37", n(rapid.IntRange(1, 8).Draw(t, "length"))})
		}
		add("400", x.Draw(t, "order"))
	case "414":
		e = append(e, Element{"414", checked(13)})
		add("254", x.Draw(t, "extension"))
	case "8004":
		e = append(e, Element{"8004", n(4) + x.Draw(t, "asset")})
		add("7040", "1ABC")
		add("01", checked(14))
	case "8006":
		e = append(e, Element{"8006", checked(14) + "0102"})
		add("21", x.Draw(t, "serial"))
		add("10", x.Draw(t, "lot"))
	case "8018":
		e = append(e, Element{"8018", checked(18)})
		add("8019", n(rapid.IntRange(1, 10).Draw(t, "length")))
		add("7253", "%E7%AC%A6")
	case "253":
		e = append(e, Element{"253", checked(13) + rapid.SampledFrom([]string{"", "1", "aZ"}).Draw(t, "serial")})
		add("01", checked(14))
	case "8010":
		e = append(e, Element{"8010", n(4) + rapid.StringOfN(rapid.RuneFrom([]rune(set39)), 0, 20, -1).Draw(t, "part")})
		add("8011", "1"+n(rapid.IntRange(0, 11).Draw(t, "length")))
	}
	for _, ai := range []string{"90", "91", "99"} {
		add(ai, rapid.StringOfN(rapid.RuneFrom([]rune(set82)), 1, 30, -1).Draw(t, "own"))
	}
	return e
}

// TestRoundTrips: a code is the same through every spelling.
func TestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawElements(t)
		if err := e.Check(); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		same := func(how, s string, got Elements, err error) {
			if err != nil || !sameFields(got, e) {
				t.Fatalf("%s as %s, %q, reads as %s, %v", e, how, s, got, err)
			}
		}
		got, err := ParseElements(e.String())
		same("brackets", e.String(), got, err)
		if got.String() != e.String() {
			t.Fatalf("%s reads as %s", e, got)
		}
		got, err = ParseElements(e.Raw())
		same("raw", e.Raw(), got, err)
		if got.Raw() != e.Raw() {
			t.Fatalf("%q reads as %q", e.Raw(), got.Raw())
		}
		l, err := e.Link("https://example.com/stem")
		same("link", "", l.Elements, err)
		plain, err := ParseLink(l.URI())
		same("link", l.URI(), plain.Elements, err)
		if plain.URI() != l.URI() || plain.Path != l.Path {
			t.Fatalf("%s reads as %s", l.URI(), plain.URI())
		}
		short, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		long, err := ParseLink(short)
		same("compressed link", short, long.Elements, err)
		if long.Canonical() != l.Canonical() || long.Stem != l.Stem {
			t.Fatalf("%s compressed is %s, which reads as %s", l.URI(), short, long.URI())
		}
	})
}

func FuzzParseElements(f *testing.F) {
	for _, c := range append(lines(f, "good.txt"), lines(f, "bad.txt")[:40]...) {
		f.Add(c[0])
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseElements(s)
		if err != nil {
			return
		}
		if got, err := ParseElements(e.String()); err != nil || got.String() != e.String() {
			t.Fatalf("%q is %s, which reads as %s, %v", s, e, got, err)
		}
		if got, err := ParseElements(e.Raw()); err != nil || !sameFields(got, e) {
			t.Fatalf("%q is %q, which reads as %s, %v", s, e.Raw(), got, err)
		}
		e.Explain()
		if l, err := e.Link(""); err == nil {
			if _, err := ParseLink(l.URI()); err != nil {
				t.Fatalf("%s: %v", l.URI(), err)
			}
		}
	})
}

func FuzzParseLink(f *testing.F) {
	for _, c := range lines(f, "compressed.txt") {
		f.Add(c[0])
		f.Add(c[1])
	}
	f.Add("https://a/01/09521234543213/235/XYZ?10=ABC&99=x&linkType=all")
	f.Add("https://a/8004/9520614141234567?01=2112345678900")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			return
		}
		again, err := ParseLink(l.URI())
		if err != nil || again.URI() != l.URI() || again.Canonical() != l.Canonical() {
			t.Fatalf("%q is %s, which reads as %s, %v", s, l.URI(), again.URI(), err)
		}
		if c, err := ParseLink(l.Canonical()); err != nil || c.Canonical() != l.Canonical() {
			t.Fatalf("%q: canonical %s reads as %s, %v", s, l.Canonical(), c.Canonical(), err)
		}
		l.Stem = "/s"
		short, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseLink(short); err != nil || back.Canonical() != l.Canonical() || !sameFields(back.Elements, l.Elements) {
			t.Fatalf("%q is %s, compressed %s, which reads as %s, %v", s, l.URI(), short, back.URI(), err)
		}
	})
}
