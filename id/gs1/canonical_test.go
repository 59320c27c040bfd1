package gs1_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id/gs1"
)

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"https://id.gs1.org/01/04012345111118/21/9876":                       "https://id.gs1.org/01/04012345111118/21/9876",
		"http://example.com/some/stem/01/04012345111118/21/9876?17=301231#x": "https://id.gs1.org/01/04012345111118/21/9876",
		"https://example.com/gtin/4012345111118/ser/9876":                    "https://id.gs1.org/01/04012345111118/21/9876",
		"https://example.com/01/04012345111118/10/L1/21/9876":                "https://id.gs1.org/01/04012345111118/21/9876",
		"https://example.com/01/04012345111118/22/2A/10/L1":                  "https://id.gs1.org/01/04012345111118/10/L1",
		"https://example.com/01/04012345111118/235/T1":                       "https://id.gs1.org/01/04012345111118/235/T1",
		"https://example.com/01/40170725":                                    "https://id.gs1.org/01/00000040170725",
		"https://example.com/01/04012345111118/":                             "https://id.gs1.org/01/04012345111118",
		"https://example.com/01/04012345111119":                              "https://id.gs1.org/01/04012345111119", // a wrong check digit is still one thing
		"https://example.com/00/095201234567891235":                          "https://id.gs1.org/00/095201234567891235",
		"https://example.com/414/9521141123454/254/32a%2fb":                  "https://id.gs1.org/414/9521141123454/254/32a%2Fb",
		"https://example.com/8004/95211415678":                               "https://id.gs1.org/8004/95211415678",
		"https://example.com/8010/0614141123ABC/8011/1":                      "https://id.gs1.org/8010/0614141123ABC/8011/1",
		"https://example.com/255/401234567890104711":                         "https://id.gs1.org/255/401234567890104711",
		"urn:epc:id:sgtin:4012345.011111.9876":                               "https://id.gs1.org/01/04012345111118/21/9876",
		"urn:epc:idpat:sgtin:4012345.011111.*":                               "https://id.gs1.org/01/04012345111118",
		"urn:epc:class:lgtin:4012345.011111.L1":                              "https://id.gs1.org/01/04012345111118/10/L1",
		"https://88.example.com/88.118.1001/01/04012345111118":               "", // ours, whatever stands behind its prefix
		"https://example.com/01/1234567":                                     "",
		"https://example.com/01":                                             "",
		"https://example.com":                                                "",
		"https://example.com/01/04012345111118/xx/1":                         "",
		"https://example.com/01/0401234511111%":                              "",
		"urn:epc:id:gid:1.2.3":                                               "",
		"urn:epc:id:sgtin:4012345.011111":                                    "",
		"urn:epc:idpat:sgtin:4012345.*.*":                                    "",
		"urn:epc:id:lgtin:4012345.011111.L1":                                 "",
		"urn:uuid:5a1d9c4e-0000-0000-0000-000000000000":                      "",
		"88.118.1001/ENG-42":                                                 "",
		"":                                                                   "",
	} {
		if got, ok := gs1.Canonical(in); got != want || ok != (want != "") {
			t.Errorf("%q is %q (%v), want %q", in, got, ok, want)
		}
	}
}

// TestCanonicalOnce: a canonical link is its own canonical link, the same text, for whatever can be read strictly.
func TestCanonicalOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scheme := rapid.SampledFrom(schemes[:19]).Draw(t, "scheme")
		u, err := gs1.ParseURN("urn:epc:id:" + epc(t, scheme))
		if err != nil {
			t.Fatal(err)
		}
		c, ok := u.Link()
		if !ok {
			t.Skip("no key of GS1")
		}
		if again, ok := gs1.Canonical(c); !ok || again != c {
			t.Fatalf("%s is at %s, and that at %s", u, c, again)
		}
		if back, ok := gs1.URNOf(c, len(u.Fields[0]), false); !ok || back != u.String() {
			t.Fatalf("%s is at %s, which is %s", u, c, back)
		}
	})
}

func TestURNOf(t *testing.T) {
	for _, c := range []struct {
		link    string
		company int
		class   bool
		want    string
	}{
		{"https://id.gs1.org/01/04012345111118", 7, true, "urn:epc:idpat:sgtin:4012345.011111.*"},
		{"https://id.gs1.org/01/04012345111118", 7, false, ""},
		{"https://id.gs1.org/01/04012345111119/21/1", 7, false, ""}, // a URN has no check digit that could be wrong
		{"https://id.gs1.org/01/04012345111118/21/1", 5, false, ""},
		{"https://id.gs1.org/01/04012345111118/21/1", 13, false, ""},
		{"urn:epc:id:sgtin:4012345.011111.1", 7, false, ""},
		{"https://example.com/x", 7, false, ""},
		{"https://id.gs1.org/8004/4012A", 6, false, ""},
		{"https://id.gs1.org/8010/0614141123ABC", 7, true, "urn:epc:idpat:cpi:0614141.123ABC.*"},
		{"https://id.gs1.org/417/9521141123454", 7, false, "urn:epc:id:pgln:9521141.12345"},
		{"https://id.gs1.org/402/06141411234567890", 7, false, "urn:epc:id:gsin:0614141.123456789"},
		{"https://id.gs1.org/401/0614141xyz", 7, false, "urn:epc:id:ginc:0614141.xyz"},
		{"https://id.gs1.org/8006/040123451234560102", 7, true, "urn:epc:idpat:itip:4012345.012345.01.02.*"},
		{"https://id.gs1.org/253/4012345123456", 7, true, "urn:epc:idpat:gdti:4012345.12345.*"},
	} {
		if got, ok := gs1.URNOf(c.link, c.company, c.class); got != c.want && ok || ok != (c.want != "") {
			t.Errorf("%s is %q (%v), want %q", c.link, got, ok, c.want)
		}
	}
}
