package gs1_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id/gs1"
	"github.com/fujie-id/fujie/problem"
)

// TestTagKnown: examples of the Tag Data Standard.
func TestTagKnown(t *testing.T) {
	for urn, hex := range map[string]string{
		"urn:epc:tag:sgtin-96:3.0614141.812345.6789": "3074257BF7194E4000001A85",
		"urn:epc:tag:sscc-96:3.0614141.1234567890":   "3174257BF4499602D2000000",
		"urn:epc:tag:sgln-96:3.0614141.12345.5678":   "3274257BF46072000000162E",
		"urn:epc:tag:grai-96:3.0614141.12345.5678":   "3374257BF40C0E400000162E",
		"urn:epc:tag:giai-96:3.0614141.5678":         "3474257BF40000000000162E",
		"urn:epc:tag:gsrn-96:3.0614141.1234567890":   "2D74257BF4499602D2000000",
		"urn:epc:tag:gdti-96:3.0614141.12345.5678":   "2C74257BF46072000000162E",
		"urn:epc:tag:gid-96:31415.271828.1414":       "350007AB70425D4000000586",
		"urn:epc:tag:usdod-96:3.CAGEY.5678":          "2F320434147455900000162E",
	} {
		tag, err := gs1.ParseTag(urn)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := tag.Hex(); err != nil || got != hex {
			t.Errorf("%s is %s %v, want %s", urn, got, err, hex)
		}
		back, err := gs1.ParseTag(hex)
		if err != nil || back.String() != urn {
			t.Errorf("%s reads as %s %v, want %s", hex, back, err, urn)
		}
		if m, err := tag.Memory(); err != nil || m[0] != 0x30 || len(m) != 14 {
			t.Errorf("%s: the PC word is %x %v; want six words", urn, m[:2], err)
		}
	}
	if raw, err := gs1.ParseTag("AB12"); err != nil || raw.String() != "urn:epc:raw:16.xAB12" {
		t.Error(raw, err)
	}
}

// epc draws an EPC that a scheme can hold.
func epc(t *rapid.T, tag string) string {
	n := rapid.IntRange(6, 12).Draw(t, "company digits")
	num := func(k int, what string) string {
		return rapid.StringMatching(`[0-9]{`+strconv.Itoa(k)+`}`).Draw(t, what)
	}
	company := num(n, "company")
	serial := rapid.SampledFrom([]string{"0", "1", "6789", "1048575", "99999999"}).Draw(t, "serial")
	text := rapid.StringMatching(`[!%-?A-Z_a-z]{1,16}`).Draw(t, "text")
	esc := strings.NewReplacer("%", "%25", "&", "%26", "/", "%2F", "<", "%3C", ">", "%3E", "?", "%3F").Replace(text)
	ref := func(total int) string {
		if total == n {
			return ""
		}
		return num(total-n, "reference")
	}
	switch tag {
	case "sgtin-96":
		return "sgtin:" + company + "." + ref(13) + "." + serial
	case "sgtin-198":
		return "sgtin:" + company + "." + ref(13) + "." + esc
	case "sscc-96":
		return "sscc:" + company + "." + ref(17)
	case "sgln-96":
		return "sgln:" + company + "." + ref(12) + "." + serial
	case "sgln-195":
		return "sgln:" + company + "." + ref(12) + "." + esc
	case "grai-96":
		return "grai:" + company + "." + ref(12) + "." + serial
	case "grai-170":
		return "grai:" + company + "." + ref(12) + "." + esc
	case "giai-96":
		return "giai:" + company + "." + serial
	case "giai-202":
		return "giai:" + company + "." + esc
	case "gsrn-96":
		return "gsrn:" + company + "." + ref(17)
	case "gsrnp-96":
		return "gsrnp:" + company + "." + ref(17)
	case "gdti-96":
		return "gdti:" + company + "." + ref(12) + "." + serial
	case "gdti-113":
		return "gdti:" + company + "." + ref(12) + "." + num(rapid.IntRange(1, 17).Draw(t, "length"), "document")
	case "gdti-174":
		return "gdti:" + company + "." + ref(12) + "." + esc
	case "cpi-96":
		return "cpi:" + company + ".123." + serial
	case "cpi-var":
		return "cpi:" + company + "." + rapid.StringMatching(`([0-9A-Z-]|%2F|%23){1,15}`).Draw(t, "part") + "." + serial
	case "sgcn-96":
		return "sgcn:" + company + "." + ref(12) + "." + num(rapid.IntRange(1, 12).Draw(t, "length"), "coupon")
	case "itip-110":
		return "itip:" + company + "." + ref(13) + ".01.02." + serial
	case "itip-212":
		return "itip:" + company + "." + ref(13) + ".01.99." + esc
	case "gid-96":
		return "gid:31415.271828." + serial
	case "usdod-96":
		return "usdod:" + rapid.StringMatching(`[0-9A-HJ-NP-Z]{5,6}`).Draw(t, "cage") + "." + serial
	default:
		return "adi:" + rapid.StringMatching(`[0-9A-HJ-NP-Z]{5,6}`).Draw(t, "cage") + "." + rapid.StringMatching(`([0-9A-Z-]|%2F){0,12}`).Draw(t, "part") + "." + rapid.StringMatching(`[0-9A-Z-]{1,12}`).Draw(t, "sn")
	}
}

var schemes = []string{"sgtin-96", "sgtin-198", "sscc-96", "sgln-96", "sgln-195", "grai-96", "grai-170", "giai-96", "giai-202", "gsrn-96", "gsrnp-96", "gdti-96", "gdti-113", "gdti-174", "cpi-96", "cpi-var",
	"sgcn-96", "itip-110", "itip-212", "gid-96", "usdod-96", "adi-var"}

// TestTagRoundTrip: an EPC comes back from its bits, in every scheme; and from its element strings, where it has some.
func TestTagRoundTrip(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				u, err := gs1.ParseURN("urn:epc:id:" + epc(t, scheme))
				if err != nil {
					t.Fatal(err)
				}
				if again, err := gs1.ParseURN(u.String()); err != nil || again.String() != u.String() {
					t.Fatal(again, err)
				}
				filter := uint8(rapid.IntRange(0, 7).Draw(t, "filter"))
				if scheme == "gid-96" {
					filter = 0
				}
				tag := gs1.Tag{Scheme: scheme, Filter: filter, URN: u}
				hex, err := tag.Hex()
				if err != nil {
					t.Fatal(err)
				}
				back, err := gs1.ParseTag(hex)
				if err != nil || back.String() != tag.String() {
					t.Fatalf("%s became %s, and that %s %v", tag, hex, back, err)
				}
				if named, err := gs1.ParseTag(tag.String()); err != nil || named.String() != tag.String() {
					t.Fatal(named, err)
				}
				e, err := u.Elements()
				if err != nil {
					return // checked by TestURNElements
				}
				if v, err := gs1.FromElements(e, len(u.Fields[0])); err != nil || v.String() != u.String() {
					t.Fatalf("%s is %s, and that %s %v", u, e, v, err)
				}
			})
		})
	}
}

// TestURNElements: published pairs of EPC and element string.
func TestURNElements(t *testing.T) {
	for urn, want := range map[string]string{
		"urn:epc:id:sgtin:0614141.112345.400":                    "(01)10614141123459(21)400",
		"urn:epc:id:sscc:0614141.1234567890":                     "(00)106141412345678908",
		"urn:epc:id:sgln:0614141.12345.400":                      "(414)0614141123452(254)400",
		"urn:epc:id:sgln:0614141.12345.0":                        "(414)0614141123452",
		"urn:epc:id:grai:0614141.12345.400":                      "(8003)00614141123452400",
		"urn:epc:id:giai:0614141.12345400":                       "(8004)061414112345400",
		"urn:epc:id:gsrn:0614141.1234567890":                     "(8018)061414112345678902",
		"urn:epc:id:gdti:0614141.12345.400":                      "(253)0614141123452400",
		"urn:epc:id:pgln:0614141.12345":                          "(417)0614141123452",
		"urn:epc:class:lgtin:4012345.012345.998877":              "(01)04012345123456(10)998877",
		"urn:epc:id:cpi:0614141.5PQ7%2FZ43.12345":                "(8010)06141415PQ7/Z43(8011)12345",
		"urn:epc:id:itip:4012345.012345.01.02.987":               "(8006)040123451234560102(21)987",
		"urn:epc:id:upui:1234567.089456.51qIgY)%3C%26Jp3*j7'SDB": "(01)01234567894560(235)51qIgY)<&Jp3*j7'SDB",
	} {
		u, err := gs1.ParseURN(urn)
		if err != nil {
			t.Error(err)
			continue
		}
		e, err := u.Elements()
		if err != nil || e.String() != want {
			t.Errorf("%s is %s %v, want %s", urn, e, err, want)
		}
		if back, err := gs1.FromElements(e, len(u.Fields[0])); err != nil || back.String() != urn {
			t.Errorf("%s is %s %v, want %s", want, back, err, urn)
		}
	}
}

// TestURNRefused: what no EPC looks like, with a sentence.
func TestURNRefused(t *testing.T) {
	for _, s := range []string{"", "urn:epc:", "urn:epc:id:sgtin:0614141.112345", "urn:epc:id:sgtin:061414.112345.1", "urn:epc:id:sgtin:0614141.11234a.1", "urn:epc:id:sgtin:0614141.112345.", "urn:epc:id:sgtin:0614141.112345.a/b",
		"urn:epc:id:sgtin:0614141.112345.a%2", "urn:epc:id:sgtin:0614141.112345.%41", "urn:epc:idpat:sgtin:0614141.112345.1", "urn:epc:idpat:sgtin:0614141.*.1", "urn:epc:id:lgtin:4012345.012345.1",
		"urn:epc:class:sgtin:4012345.012345.1", "urn:epc:id:nothing:1", "urn:epc:id:gid:1.02.3", "urn:epc:id:gid:268435456.1.1", "urn:epc:id:usdod:CAGIO.1", "urn:epc:id:bic:CSQX3054383", "urn:epc:id:bic:csqu3054383", "urn:epc:id:imovn:123456", "urn:epc:raw:96.30",
		"urn:epc:id:sgcn:4012345.67890.1234567890123", "urn:epc:id:cpi:0614141.a.1", "urn:epc:id:giai:0614141." + strings.Repeat("x", 24), "urn:epc:id:sgtin:0614141.112345." + strings.Repeat("1", 21), "urn:epc:id:sgtin:0614141.112345.é"} {
		if u, err := gs1.ParseURN(s); problem.KindOf(err) != problem.BadID {
			t.Errorf("%q was read as %v: %v", s, u, err)
		}
	}
	for _, s := range []string{"", "3", "3g", "urn:epc:tag:sgtin-96:8.0614141.812345.6789", "urn:epc:tag:sgtin-96:3.0614141.812345.06789", "urn:epc:tag:sgtin-96:3.0614141.812345.999999999999", "urn:epc:tag:none:1.1", "urn:epc:tag:sgtin-96:0614141.812345.1",
		"307C257BF7194E4000001A85", "3074257BF7194E4000001A", "30F4257BF7194E4000001A850000000001", strings.Repeat("30", 63)} {
		if u, err := gs1.ParseTag(s); problem.KindOf(err) != problem.BadID {
			t.Errorf("%q was read as %v: %v", s, u, err)
		}
	}
	if tag, err := gs1.BestTag(gs1.URN{Kind: "id", Scheme: "sgtin", Fields: []string{"0614141", "812345", "6789A"}}, 1); err != nil || tag.Scheme != "sgtin-198" {
		t.Error(tag, err)
	}
}

// TestTagTables holds our schemes to the tag data translation files of GS1: header, bits of each field, for each length of company prefix.
func TestTagTables(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/data/gs1-tdt/artefacts/JSON/*-*.json")
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the tag data translation files are absent")
		}
		t.Skip("the tag data translation files are absent")
	}
	checked := 0
	for _, file := range files {
		name := strings.ToLower(strings.TrimSuffix(filepath.Base(file), ".json"))
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]struct {
			Scheme json.RawMessage `json:"scheme"`
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatal(name, err)
		}
		type scheme struct {
			Level []struct {
				Type        string `json:"type"`
				PrefixMatch string `json:"prefixMatch"`
				Option      []struct {
					OptionKey string `json:"optionKey"`
					Grammar   string `json:"grammar"`
					Field     []struct {
						Name      string `json:"name"`
						BitLength int    `json:"bitLength"`
					} `json:"field"`
				} `json:"option"`
			} `json:"level"`
		}
		for _, x := range doc {
			var list []scheme
			if json.Unmarshal(x.Scheme, &list) != nil {
				list = make([]scheme, 1)
				if err := json.Unmarshal(x.Scheme, &list[0]); err != nil {
					t.Fatal(name, err)
				}
			}
			for _, l := range list[0].Level {
				if l.Type != "BINARY" {
					continue
				}
				for _, o := range l.Option {
					widths := gs1.Widths(name, o.OptionKey)
					if widths == nil {
						t.Errorf("%s: there is no such scheme, or no company prefix of %s digits", name, o.OptionKey)
						continue
					}
					if got := gs1.Header(name); got != l.PrefixMatch {
						t.Errorf("%s has header %s, want %s", name, got, l.PrefixMatch)
					}
					for i, f := range o.Field {
						if f.BitLength == 0 || i >= len(widths) || name == "adi-var" && i > 0 {
							continue // of variable length; a CAGE code has a blank in front, which stands there by itself
						}
						if widths[i] != f.BitLength {
							t.Errorf("%s with %s digits: %s has %d bits, want %d", name, o.OptionKey, f.Name, widths[i], f.BitLength)
						}
						checked++
					}
				}
			}
		}
	}
	if checked < 300 {
		t.Errorf("only %d widths were compared", checked)
	}
	t.Log(checked, "widths compared")
}

func FuzzParseURN(f *testing.F) {
	for _, s := range []string{"urn:epc:id:sgtin:0614141.112345.400", "urn:epc:idpat:sgtin:0614141.*.*", "urn:epc:class:lgtin:4012345.012345.99%2F8877", "urn:epc:raw:96.x30", "urn:epc:id:cpi:0614141.5PQ7%2FZ43.12345"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := gs1.ParseURN(s)
		if err != nil {
			return
		}
		if u.String() != s {
			t.Errorf("%q is written %q", s, u)
		}
		if e, err := u.Elements(); err == nil && u.Kind == "id" && len(e) > 0 {
			if v, err := gs1.FromElements(e, len(u.Fields[0])); err != nil || v.String() != s {
				t.Errorf("%q is %s, and that %s %v", s, e, v, err)
			}
		}
	})
}

func FuzzParseTag(f *testing.F) {
	for _, s := range []string{"3074257BF7194E4000001A85", "urn:epc:tag:sgtin-198:3.0614141.812345.a%2Fb", "3B0E0CF5E76C9047759AD00373DC7602E7200000", "AB12", "F7B795211411234538566CB0AFC4207", "FB342CDE795211411234538566CB0AFC4", "urn:epc:tag:[att=x01][umi=1]:gid-96:1.2.3", "urn:epc:raw:32.xA1.x0074257B", "FD3795211411234538566CB0AFC525065F1876F0D996D800"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tag, err := gs1.ParseTag(s)
		if err != nil {
			return
		}
		m, err := tag.Memory()
		if err != nil {
			t.Fatalf("%q is %s: %v", s, tag, err)
		}
		back, err := gs1.ParseMemory(m)
		if tag.URN.Kind == "raw" { // its bits may be of a tag, or of none; its length need not be whole words
			if again, _ := back.Memory(); err == nil && string(again) != string(m) && len(back.Elements) == 0 {
				t.Errorf("%q is %s, %x, and that %s, %x", s, tag, m, back, again)
			}
			return
		}
		if err != nil || back.String() != tag.String() || back.Scheme != tag.Scheme || back.Filter != tag.Filter {
			t.Errorf("%q is %s, %x, and that %s %v", s, tag, m, back, err)
		}
	})
}
