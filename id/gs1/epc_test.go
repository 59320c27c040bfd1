package gs1_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/id/gs1"
	"github.com/fujie-id/fujie/problem"
)

// TestEPCTable: good EPCs with their element string and Digital Link, and bad ones with what the sentence says.
func TestEPCTable(t *testing.T) {
	b, err := os.ReadFile("testdata/epc.txt")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if line[0] == '#' {
			continue
		}
		u, err := gs1.ParseURN(f[0])
		if len(f) == 2 {
			bad++
			if problem.KindOf(err) != problem.BadID || !strings.Contains(err.Error(), f[1]) {
				t.Errorf("%q was read as %v (%v), want a sentence with %q", f[0], u, err, f[1])
			}
			continue
		}
		good++
		if err != nil || u.String() != f[0] {
			t.Errorf("%q was read as %v (%v)", f[0], u, err)
			continue
		}
		link, ok := u.Link()
		if ok != (f[2] != "") || link != f[2] {
			t.Errorf("%s is at %q, want %q", u, link, f[2])
		}
		e, err := u.Elements()
		if (err == nil) != ok || e.String() != f[1] {
			t.Errorf("%s is %s (%v), want %s", u, e, err, f[1])
		}
		if err := e.Check(); ok && err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	if good < 40 || bad < 50 {
		t.Errorf("%d good and %d bad", good, bad)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		pattern, urn string
		want         bool
	}{
		{"urn:epc:idpat:sgtin:0614141.112345.*", "urn:epc:id:sgtin:0614141.112345.400", true},
		{"urn:epc:idpat:sgtin:0614141.*.*", "urn:epc:id:sgtin:0614141.112345.400", true},
		{"urn:epc:idpat:sgtin:*.*.*", "urn:epc:id:sgtin:0614141.112345.400", true},
		{"urn:epc:idpat:sgtin:0614141.*.*", "urn:epc:idpat:sgtin:0614141.112345.*", true},
		{"urn:epc:idpat:sgtin:0614141.112345.*", "urn:epc:idpat:sgtin:0614141.*.*", false},
		{"urn:epc:idpat:sgtin:0614141.112346.*", "urn:epc:id:sgtin:0614141.112345.400", false},
		{"urn:epc:idpat:sgtin:0614141.*.*", "urn:epc:id:upui:0614141.112345.400", false},
		{"urn:epc:idpat:sscc:0614141.*", "urn:epc:id:sscc:0614141.1234567890", true},
		{"urn:epc:id:sscc:0614141.1234567890", "urn:epc:id:sscc:0614141.1234567890", true},
		{"urn:epc:id:sscc:0614141.1234567890", "urn:epc:idpat:sscc:0614141.*", false},
	} {
		p, err := gs1.ParseURN(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		u, err := gs1.ParseURN(c.urn)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Covers(u); got != c.want {
			t.Errorf("%s covers %s: %v", p, u, got)
		}
	}
}

// TestTagMemory: the PC word, both ways.
func TestTagMemory(t *testing.T) {
	for urn, want := range map[string]string{
		"urn:epc:tag:sgtin-96:3.0614141.812345.6789":                  "30003074257bf7194e4000001a85",
		"urn:epc:tag:[att=x01]:sgtin-96:3.0614141.812345.6789":        "30013074257bf7194e4000001a85",
		"urn:epc:tag:[umi=1]:sgtin-96:3.0614141.812345.6789":          "34003074257bf7194e4000001a85",
		"urn:epc:tag:[att=xFF][umi=1]:sgtin-96:3.0614141.812345.6789": "34ff3074257bf7194e4000001a85",
		"urn:epc:raw:96.x0074257BF7194E4000001A85":                    "30000074257bf7194e4000001a85",
		"urn:epc:raw:32.xA1.x0074257B":                                "11a10074257b",
		"urn:epc:raw:16.x0074":                                        "08000074",
	} {
		tag, err := gs1.ParseTag(urn)
		if err != nil || tag.String() != urn {
			t.Errorf("%s was read as %s (%v)", urn, tag, err)
			continue
		}
		m, err := tag.Memory()
		if err != nil || hex.EncodeToString(m) != want {
			t.Errorf("%s is %x (%v), want %s", urn, m, err, want)
		}
		if back, err := gs1.ParseMemory(append(m, 0xAB, 0xCD)); err != nil || back.String() != urn { // a longer bank than the PC word says
			t.Errorf("%s came back as %s (%v)", urn, back, err)
		}
	}
	if tag, err := gs1.ParseTag("urn:epc:raw:14.x3074"); err != nil {
		t.Error(err)
	} else if b, err := tag.Binary(); err != nil || b != "00110000011101" {
		t.Error(b, err)
	} else if h, err := tag.Hex(); err != nil || h != "3074" {
		t.Error(h, err)
	}
	for _, m := range []string{"", "3000", "0000", "30003074257bf7194e4000001a", "30003f74257bf7194e4000001a85", "00003074257bf7194e4000001a85"} {
		b, _ := hex.DecodeString(m)
		if tag, err := gs1.ParseMemory(b); problem.KindOf(err) != problem.BadID {
			t.Errorf("%q is %v (%v)", m, tag, err)
		}
	}
}

// TestTagByHand: a tag that a program puts together wrongly is refused, whatever its fields.
func TestTagByHand(t *testing.T) {
	sgtin := gs1.URN{Kind: "id", Scheme: "sgtin", Fields: []string{"0614141", "812345", "6789"}}
	for _, c := range []struct {
		tag  gs1.Tag
		says string
	}{
		{gs1.Tag{}, "no such binary scheme"},
		{gs1.Tag{Scheme: "sgtin-97", URN: sgtin}, "no such binary scheme"},
		{gs1.Tag{Scheme: "sscc-96", URN: sgtin}, "sscc-96 holds urn:epc:id:sscc"},
		{gs1.Tag{Scheme: "sgtin-96", Filter: 8, URN: sgtin}, "from 0 to 7"},
		{gs1.Tag{Scheme: "sgtin-96", URN: gs1.URN{Kind: "id", Scheme: "sgtin"}}, "needs 3 fields"},
		{gs1.Tag{Scheme: "sgtin-96", URN: gs1.URN{Kind: "id", Scheme: "sgtin", Fields: []string{"", "", ""}}}, "6 to 12 digits"},
		{gs1.Tag{Scheme: "sgtin-96", URN: gs1.URN{Kind: "id", Scheme: "sgtin", Fields: []string{"0614141", "812345", "06789"}}}, "take sgtin-198"},
		{gs1.Tag{Scheme: "sgtin-96", URN: gs1.URN{Kind: "id", Scheme: "sgtin", Fields: []string{"0614141", "812345", "274877906944"}}}, "take sgtin-198"},
		{gs1.Tag{Scheme: "usdod-96", URN: gs1.URN{Kind: "id", Scheme: "usdod", Fields: []string{"CAGEYES", "1"}}}, "CAGE"},
		{gs1.Tag{Scheme: "usdod-96", Filter: 16, URN: gs1.URN{Kind: "id", Scheme: "usdod", Fields: []string{"CAGEY", "1"}}}, "from 0 to 15"},
		{gs1.Tag{Scheme: "gid-96", Filter: 1, URN: gs1.URN{Kind: "id", Scheme: "gid", Fields: []string{"1", "1", "1"}}}, "from 0 to 0"},
		{gs1.Tag{Scheme: "gdti-113", URN: gs1.URN{Kind: "id", Scheme: "gdti", Fields: []string{"0614141", "12345", "4A"}}}, "take gdti-174"},
		{gs1.Tag{URN: gs1.URN{Kind: "raw"}}, "hexadecimal digit"},
		{gs1.Tag{URN: gs1.URN{Kind: "raw", Scheme: "96", Fields: []string{"x30"}}}, "hexadecimal digit"},
		{gs1.Tag{URN: gs1.URN{Kind: "raw", Scheme: "8", Fields: []string{"x3é"}}}, "hexadecimal digit"},
	} {
		if _, err := c.tag.Memory(); problem.KindOf(err) != problem.BadID || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want a sentence with %q", c.tag, err, c.says)
		}
	}
}
