package gs1_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id/gs1"
	"github.com/fujie-id/fujie/problem"
)

// TestTagPublished holds every scheme to the examples of the Tag Data Standard, both ways. They are printed in whole digits; memory is in whole words.
func TestTagPublished(t *testing.T) {
	b, err := os.ReadFile("testdata/tags.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		hex, text, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if !ok || line[0] == '#' {
			continue
		}
		n++
		text, host, _ := strings.Cut(text, "\t")
		whole := hex + strings.Repeat("0", (4-len(hex)%4)%4)
		tag, err := gs1.ParseTag(hex)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := tag.String()
		if tag.Elements != nil {
			got = tag.Elements.String()
		}
		if got != text || tag.Host != host {
			t.Errorf("%s is %s %s, want %s %s", hex, got, tag.Host, text, host)
		}
		if !strings.HasPrefix(text, "urn:") { // no URN: the tag is made of its fields
			e, err := gs1.ParseElements(text)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			tag = gs1.Tag{Scheme: tag.Scheme, Filter: tag.Filter, Elements: e, Host: host}
		} else if tag, err = gs1.ParseTag(text); err != nil {
			t.Error(err)
			continue
		}
		if back, err := tag.Hex(); err != nil || back != whole {
			t.Errorf("%s is %s (%v), want %s", text, back, err, whole)
		}
	}
	if n < 45 {
		t.Errorf("only %d examples", n)
	}
}

// tdt reads a file of the Tag Data Translation, or skips.
func tdt(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("../../../shared/data/gs1-tdt/artefacts/JSON/" + name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the tag data translation files are absent")
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(name, err)
	}
}

type table struct{ Rows []map[string]string }

// TestPackings holds the table of values on tags to GS1's table F, row by row.
func TestPackings(t *testing.T) {
	var f table
	tdt(t, "TDT_TableF.json", &f)
	ways := map[string]byte{"Fixed-length numeric": 'N', "Variable-length alphanumeric": 'A', "6-digit date YYMMDD": 'D', "Fixed-Bit-Length Numeric String": 'I',
		"Variable-length numeric string without encoding indicator": 'V', "Optional minus sign in 1 bit": '-', "Country code (ISO 3166-1 alpha-2)": 'C', "Single data bit": 'B',
		"10-digit date+time YYMMDDhhmm": 'M', "Variable-format date / date range": 'R', "Variable-precision date+time": 'P', "Delimited/terminated numeric": 'T', "Sequence indicator": 'S'}
	seen := map[string]bool{}
	for _, r := range f.Rows {
		seen[r["a"]] = true
		have := gs1.Packings(r["a"])
		var want []gs1.Packing
		for _, col := range [][6]string{{"b", "d", "e", "f", "g", "h"}, {"i", "k", "l", "m", "n", "o"}} {
			if r[col[0]] == "" {
				continue
			}
			p := gs1.Packing{Way: ways[r[col[0]]], N: r[col[1]] + r[col[5]], Bits: r[col[2]], Which: r[col[3]], Length: r[col[4]]}
			switch p.Way {
			case 'R', 'P':
				p.N = "12" // the table names none
			case '-':
				p.Bits, p.N = "1", "1"
			}
			want = append(want, p)
		}
		if !slices.Equal(have, want) {
			t.Errorf("(%s) is %v, want %v", r["a"], have, want)
		}
	}
	if len(seen) < 500 {
		t.Errorf("only %d rows", len(seen))
	}
	for _, ai := range gs1.AllPackings() {
		if !seen[ai] {
			t.Errorf("(%s) is not in the table", ai)
		}
		if !gs1.Known(ai) {
			t.Errorf("(%s) is not in the dictionary", ai)
		}
	}
}

// TestWordings holds the widths of texts to GS1's table B.
func TestWordings(t *testing.T) {
	var b table
	tdt(t, "TDT_TableB.json", &b)
	for _, r := range b.Rows {
		n, err := strconv.Atoi(r["a"])
		if err != nil {
			t.Fatal(err)
		}
		got := gs1.Wordings(n)
		for i, col := range []string{"b", "c", "d", "f", "g", "e"} {
			if r[col] != "" && strconv.Itoa(got[i]) != r[col] {
				t.Errorf("%d characters in way %d take %d bits, want %s", n, i, got[i], r[col])
			}
		}
	}
	if len(b.Rows) < 90 {
		t.Errorf("only %d rows", len(b.Rows))
	}
}

// TestPlusTables holds the '+' schemes to their files: header and fields.
func TestPlusTables(t *testing.T) {
	for _, scheme := range []string{"SGTIN+", "DSGTIN+", "SSCC+", "SGLN+", "GRAI+", "GIAI+", "GSRN+", "GSRNP+", "GDTI+", "SGCN+", "CPI+", "ITIP+"} {
		var doc map[string]struct {
			Scheme struct {
				Level []struct {
					Type, PrefixMatch string
					Option            []struct{ EncodedAI []struct{ AI string } }
				}
			}
		}
		tdt(t, scheme+".json", &doc)
		for _, d := range doc {
			l := d.Scheme.Level[0]
			var ais []string
			for _, a := range l.Option[0].EncodedAI {
				ais = append(ais, a.AI)
			}
			header, have := gs1.Plus(strings.ToLower(scheme))
			if l.Type != "BINARY" || header != l.PrefixMatch || !slices.Equal(have, ais) {
				t.Errorf("%s is %s %v, want %s %v", scheme, header, have, l.PrefixMatch, ais)
			}
			if n := len(l.Option); scheme == "DSGTIN+" && n != gs1.Dates {
				t.Errorf("%s has %d kinds of date, want %d", scheme, gs1.Dates, n)
			}
		}
	}
}

// withCheck puts a check digit behind digits.
func withCheck(s string) string {
	sum, weight := 0, 3
	for i := len(s) - 1; i >= 0; i-- {
		sum += weight * int(s[i]-'0')
		weight = 4 - weight
	}
	return s + string(rune('0'+(10-sum%10)%10))
}

// TestPlusRoundTrip: what is written on a tag comes back, whatever its characters, with further fields behind it.
func TestPlusRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		num := func(n int) string {
			return withCheck(rapid.StringMatching(`[0-9]{`+strconv.Itoa(n-1)+`}`).Draw(t, "number"))
		}
		text := func(most int) string {
			s := rapid.OneOf(rapid.StringMatching(`[0-9]{1,20}`), rapid.StringMatching(`[0-9A-F]{1,20}`), rapid.StringMatching(`[0-9a-f]{1,20}`), rapid.StringMatching(`[0-9A-Z.:-]{1,20}`),
				rapid.StringMatching(`[0-9A-Za-z_-]{1,20}`), rapid.StringMatching(`[!%-?A-Z_a-z"]{1,20}`)).Draw(t, "text")
			return s[:min(len(s), most)]
		}
		scheme := rapid.SampledFrom([]string{"sgtin+", "dsgtin+", "sscc+", "sgln+", "grai+", "giai+", "gsrn+", "gsrnp+", "gdti+", "sgcn+", "cpi+", "itip+"}).Draw(t, "scheme")
		var e gs1.Elements
		add := func(ai, v string) { e = append(e, gs1.Element{AI: ai, Value: v}) }
		switch scheme {
		case "sgtin+":
			add("01", num(14))
			add("21", text(20))
		case "dsgtin+":
			add("01", num(14))
			add("21", text(20))
			add(rapid.SampledFrom([]string{"11", "13", "15", "16", "17", "7006", "7007"}).Draw(t, "date"), rapid.SampledFrom([]string{"220630", "991231", "000101"}).Draw(t, "day"))
		case "sscc+":
			add("00", num(18))
		case "sgln+":
			add("414", num(13))
			if s := text(20); s != "0" {
				add("254", s)
			}
		case "grai+":
			add("8003", "0"+num(13)+text(16))
		case "giai+":
			add("8004", rapid.StringMatching(`[0-9]{4,12}`).Draw(t, "asset")+text(18))
		case "gsrn+":
			add("8018", num(18))
		case "gsrnp+":
			add("8017", num(18))
		case "gdti+":
			add("253", num(13)+text(17))
		case "sgcn+":
			add("255", num(13)+rapid.StringMatching(`[0-9]{1,12}`).Draw(t, "coupon"))
		case "cpi+":
			add("8010", rapid.StringMatching(`[0-9]{4,12}[0-9A-Z#/-]{1,18}`).Draw(t, "part"))
			add("8011", rapid.StringMatching(`[1-9][0-9]{0,11}`).Draw(t, "serial"))
		case "itip+":
			add("8006", num(14)+"0102")
			add("21", text(20))
		}
		if scheme == "sgtin+" {
			for _, more := range []gs1.Element{{"10", text(20)}, {"17", "301200"}, {"7003", "2612312359"}, {"3103", "001500"}, {"422", "156"}, {"7040", "1ABC"}, {"8008", "26123123"}, {"235", text(28)}, {"3932", "15600100"},
				{"4330", "001500-"}, {"4321", "1"}, {"7007", "261231270101"}, {"8005", "000123"}, {"240", text(20)}} {
				if rapid.Bool().Draw(t, more.AI) {
					add(more.AI, more.Value)
				}
			}
			if e.Check() != nil { // fields that must not stand together
				e = e[:2]
			}
		}
		tag := gs1.Tag{Scheme: scheme, Filter: uint8(rapid.IntRange(0, 7).Draw(t, "filter")), Elements: e}
		hex, err := tag.Hex()
		if err != nil {
			if len(e) > 2 && problem.KindOf(err) == problem.BadID {
				t.Skip("longer than a tag")
			}
			t.Fatal(e, err)
		}
		back, err := gs1.ParseTag(hex)
		if err != nil || back.Scheme != scheme || back.Filter != tag.Filter || back.Elements.String() != e.String() {
			t.Fatalf("%s %d %s became %s, and that %s %d %s %v", scheme, tag.Filter, e, hex, back.Scheme, back.Filter, back.Elements, err)
		}
		if scheme != "dsgtin+" {
			if p, err := gs1.PlusTag(e, tag.Filter); err != nil || p.Scheme != scheme {
				t.Fatal(p, err)
			}
		}
		if m, err := tag.Memory(); err != nil || len(m) != 2+len(hex)/2 || int(m[0]>>3) != len(hex)/4 {
			t.Fatal(m, err)
		}
	})
}

// TestPlusRefused: what a tag cannot hold, and bits that no tag has.
func TestPlusRefused(t *testing.T) {
	for _, c := range []struct {
		scheme, elements, says string
		filter                 uint8
	}{
		{"sgtin+", "(01)79521141123453", "(21)", 0},
		{"dsgtin+", "(01)79521141123453(21)1", "date", 0},
		{"grai+", "(8003)09521141123454", "serial", 0},
		{"sgtin+", "(01)79521141123453(21)1", "filter", 8},
		{"sgtin+", "(01)79521141123453(21)1(91)" + strings.Repeat("!", 61), "496 bits", 0},
		{"sscc+", "(01)79521141123453(21)1", "(00)", 0},
		{"giai+", "(8004)952114132a/b(10)1", "(10)", 0},
	} {
		e, err := gs1.ParseElements(c.elements)
		if err == nil {
			_, err = gs1.Tag{Scheme: c.scheme, Filter: c.filter, Elements: e}.Hex()
		}
		if problem.KindOf(err) != problem.BadID || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v, want a sentence with %q", c.scheme, c.elements, err, c.says)
		}
	}
	for hex, says := range map[string]string{
		"F737952114112345":                   "too early",      // cut short
		"F73795211411234638566CB0AFC4":       "check digit",    // a GTIN that is none
		"F7379521141123453C":                 "too early",      // a way of writing that there is not
		"F73F952114112345":                   "too early",      // a digit that is none
		"F7B795211411234538566CB0AFC4":       "bit 8",          // data promised
		"FB37CDE795211411234538566CB0AFC400": "too early",      // a date of no kind
		"F90095201234567891234":              "check digit",    //
		"F7B795211411234538566CB0AFC50FFF":   "no application", // an identifier that is none
	} {
		if tag, err := gs1.ParseTag(hex); problem.KindOf(err) != problem.BadID || !strings.Contains(err.Error(), says) {
			t.Errorf("%s is %v (%v), want a sentence with %q", hex, tag, err, says)
		}
	}
	e, err := gs1.ParseElements("(01)79521141123453(21)32a/b(10)7")
	if err != nil {
		t.Fatal(err)
	}
	hex, err := gs1.Tag{Scheme: "sgtin+", Filter: 3, Elements: e}.Hex()
	if err != nil || !strings.HasPrefix(hex, "F7B") {
		t.Fatal(hex, err)
	}
	if tag, err := gs1.ParseTag("F73" + hex[3:]); problem.KindOf(err) != problem.BadID || !strings.Contains(err.Error(), "bit 8") { // data not promised
		t.Error(tag, err)
	}
	if _, err := gs1.PlusTag(gs1.Elements{{"10", "A"}}, 0); problem.KindOf(err) != problem.BadID {
		t.Error(err)
	}
}

// TestHostRoundTrip: the host of a '++' scheme comes back, whatever pieces of it have a short form.
func TestHostRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]string{"id.", "www.", "qr.", ".com", ".org", ".com.cn", ".co.uk", ".cn", ".de", ".tech", ".med", ".com.co", "-", "example", "EXAMPLE", "10.0.0.1"}),
			rapid.StringMatching(`[a-z0-9]{1,8}`), rapid.StringMatching(`[A-Z0-9.-]{1,9}`)), 1, 5).Draw(t, "host"), "")
		if rapid.Bool().Draw(t, "port") {
			host += ":8443"
		}
		scheme := rapid.SampledFrom([]string{"sgtin++", "dsgtin++"}).Draw(t, "scheme")
		e := gs1.Elements{{"01", "79521141123453"}, {"21", "32a/b"}, {"17", "220630"}, {"10", "L7"}}
		tag := gs1.Tag{Scheme: scheme, Filter: 1, Elements: e, Host: host}
		hex, err := tag.Hex()
		if err != nil && problem.KindOf(err) == problem.BadID && (len(host) > 50 || strings.HasPrefix(host, ":")) {
			t.Skip("longer than a tag, or none")
		}
		if err != nil {
			t.Fatal(host, err)
		}
		back, err := gs1.ParseTag(hex)
		if err != nil || back.Host != host || back.Scheme != scheme || back.Elements.String() != e.String() {
			t.Fatalf("%s became %s, and that %s %s %v", host, hex, back.Host, back.Elements, err)
		}
	})
}

func TestLinkTag(t *testing.T) {
	for link, want := range map[string]string{
		"https://id.gs1.org/01/79521141123453/21/32a%2Fb":               "sgtin+",
		"https://id.example.com/01/79521141123453/21/32a%2Fb":           "sgtin++",
		"https://id.example.com/01/79521141123453/21/32a%2Fb?17=220630": "sgtin++",
		"https://id.example.com/00/095201234567891235":                  "sscc++",
		"https://id.example.com/414/9521141123454":                      "sgln++",
		"https://id.example.com/8004/952114132a%2Fb":                    "giai++",
	} {
		l, err := gs1.ParseLink(link)
		if err != nil {
			t.Fatal(err)
		}
		tag, err := gs1.LinkTag(l, 0)
		if err != nil || tag.Scheme != want || tag.String() != link {
			t.Errorf("%s is on %s %s (%v), want %s", link, tag.Scheme, tag, err, want)
			continue
		}
		m, err := tag.Memory()
		if err != nil {
			t.Error(err)
			continue
		}
		if back, err := gs1.ParseMemory(m); err != nil || back.String() != link {
			t.Errorf("%s came back as %s (%v)", link, back, err)
		}
	}
	for link, says := range map[string]string{
		"https://example.com/shop/01/79521141123453/21/1":                    "nothing before the key",
		"http://example.com/01/79521141123453/21/1":                          "https://",
		"https://example.com/01/79521141123453/21/1?linkType=all":            "fields only",
		"https://example.com/01/79521141123453":                              "(21)",
		"https://" + strings.Repeat("x", 64) + ".com/01/79521141123453/21/1": "host of up to 63",
	} {
		l, err := gs1.ParseLink(link)
		if err != nil {
			t.Fatal(err)
		}
		if tag, err := gs1.LinkTag(l, 0); problem.KindOf(err) != problem.BadID || !strings.Contains(err.Error(), says) {
			t.Errorf("%s is %s (%v), want a sentence with %q", link, tag, err, says)
		}
	}
}

// TestPackEveryField: values of every field that tags hold, of every length, come back, and all their bits with them.
func TestPackEveryField(t *testing.T) {
	ais := gs1.AllPackings()
	slices.Sort(ais)
	sample := func(t *rapid.T, p gs1.Packing) string {
		n, _ := strconv.Atoi(p.N)
		some := func(set string, least, most int) string {
			return rapid.StringMatching(`[`+set+`]{`+strconv.Itoa(least)+`,`+strconv.Itoa(most)+`}`).Draw(t, string(p.Way))
		}
		time := func(pairs int) string {
			return []string{"991231", "99123123", "9912312359", "991231235958"}[pairs-3]
		}
		switch p.Way {
		case 'N', 'I':
			return some("0-9", n, n)
		case 'V':
			return some("0-9", 1, n)
		case 'A':
			return some(rapid.SampledFrom([]string{"0-9", "0-9A-F", "0-9a-f", "0-9A-Z.:-", "0-9A-Za-z_-", "!%-?A-Z_a-z\""}).Draw(t, "letters"), 1, n)
		case 'T':
			s := some("0-9", 4, n-1)
			return s + some("A-Z/#-", 0, n-len(s))
		case 'C':
			return some("A-Z", 2, 2)
		case 'D':
			return time(3)
		case 'M':
			return time(5)
		case 'P':
			return time(rapid.IntRange(3, 6).Draw(t, "precision"))
		case 'R':
			return rapid.SampledFrom([]string{"991231", "991231000101"}).Draw(t, "range")
		case 'B':
			return some("01", 1, 1)
		case '-':
			return some("-", 0, 1)
		}
		return some("1-9", 1, 1) + "/" + some("1-9", 1, 1)
	}
	rapid.Check(t, func(t *rapid.T) {
		ai := rapid.SampledFrom(ais).Draw(t, "ai")
		value := ""
		for _, p := range gs1.Packings(ai) {
			value += sample(t, p)
		}
		if back, ok, all := gs1.PackUnpack(ai, value); !ok || !all || back != value {
			t.Fatalf("(%s)%s came back as %s (%v, %v)", ai, value, back, ok, all)
		}
	})
	for _, f := range []gs1.Element{{"4309", "12345678901234567890"}, {"4309", "00000000000000000000"}, {"235", "9999999999999999999999999999"}, {"91", strings.Repeat("9", 90)}, {"253", "4012345678901"}} {
		if back, ok, all := gs1.PackUnpack(f.AI, f.Value); !ok || !all || back != f.Value {
			t.Errorf("(%s)%s came back as %s (%v, %v)", f.AI, f.Value, back, ok, all)
		}
	}
	for _, f := range []gs1.Element{{"01", "1"}, {"01", "1234567890123x"}, {"4309", "1"}, {"11", "99123"}, {"11", "9912xx"}, {"8008", "9912312"}, {"7007", "9912312"}, {"7003", "991231"}, {"4307", "CNX"}, {"4321", "2"}, {"4330", "001500+"},
		{"7258", "12"}, {"8004", "A1"}, {"30", "123456789"}, {"30", "1a"}, {"10", strings.Repeat("1", 21)}, {"10", "é"}, {"253", "401"}, {"03", "1"}, {"8004", "1234" + strings.Repeat("A", 27)}} {
		if back, ok, _ := gs1.PackUnpack(f.AI, f.Value); ok {
			t.Errorf("(%s)%s was written, and came back as %s", f.AI, f.Value, back)
		}
	}
}
