package rest

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// TestEncodings: XML is read in what it declares, JSON in UTF-8 alone, and what is neither is refused with its place.
func TestEncodings(t *testing.T) {
	doc := func(name string) string {
		return `<?xml version="1.0" encoding="` + name + `" standalone="yes"?>` + "\n<a>符节，酒类 Münch</a>"
	}
	gb, err := simplifiedchinese.GB18030.NewEncoder().String(doc("GB18030"))
	if err != nil {
		t.Fatal(err)
	}
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(strings.Replace(doc("gbk"), "ü", "u", 1))
	if err != nil {
		t.Fatal(err)
	}
	wide := func(e unicode.Endianness, bom unicode.BOMPolicy) string {
		s, err := unicode.UTF16(e, bom).NewEncoder().String(doc("UTF-16"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, row := range []struct {
		name, raw, charset string
		xml                bool
		status             int // 0: read
	}{
		{"UTF-8", doc("UTF-8"), "", true, 0},
		{"with a mark", "\xef\xbb\xbf" + doc("UTF-8"), "", true, 0},
		{"GB18030", gb, "", true, 0},
		{"GB18030 by header", strings.Replace(gb, ` encoding="GB18030"`, "", 1), "gb18030", true, 0},
		{"GBK", gbk, "", true, 0},
		{"UTF-16 BE with mark", wide(unicode.BigEndian, unicode.UseBOM), "", true, 0},
		{"UTF-16 LE with mark", wide(unicode.LittleEndian, unicode.UseBOM), "", true, 0},
		{"UTF-16 LE without", wide(unicode.LittleEndian, unicode.IgnoreBOM), "", true, 0},
		{"GB18030 that says UTF-8", strings.Replace(gb, "GB18030", "UTF-8", 1), "", true, 400},
		{"Big5", strings.Replace(gb, "GB18030", "Big5", 1), "", true, 415},
		{"JSON", `{"a":"符节"}`, "", false, 0},
		{"JSON with a mark", "\xef\xbb\xbf" + `{"a":"符节"}`, "utf-8", false, 0},
		{"JSON as GB18030", gb, "gb18030", false, 415},
		{"JSON in GB18030", gb, "", false, 415},
		{"JSON in UTF-16", wide(unicode.LittleEndian, unicode.UseBOM), "", false, 415},
	} {
		text, err := utf8Text([]byte(row.raw), row.xml, row.charset)
		if row.status == 0 {
			if err != nil || !utf8.Valid(text) || !strings.Contains(string(text), "符节") {
				t.Errorf("%s: %v %q", row.name, err, text)
			}
			if m := declared.FindSubmatch(text); m != nil && string(m[1]) != "UTF-8" {
				t.Errorf("%s: still declares %s", row.name, m[1])
			}
			continue
		}
		if err == nil || classify(err).status != row.status {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// FuzzBody: whatever comes, what is read is UTF-8.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0" encoding="GB18030"?><a>`+"\xb7\xfb"+`</a>`), true, "")
	f.Add([]byte("\xff\xfe<\x00"), true, "utf-16")
	f.Add([]byte(`{}`), false, "utf-8")
	f.Fuzz(func(t *testing.T, raw []byte, xml bool, charset string) {
		if text, err := utf8Text(raw, xml, charset); err == nil && !utf8.Valid(text) {
			t.Fatalf("%q is not UTF-8", text)
		}
	})
}

// FuzzTarget: no request, however strange, is answered with a fault of ours.
func FuzzTarget(f *testing.F) {
	f.Add("GET", "/epcis/events?perPage=3", "", "application/xml;q=0.3, */*;q=x")
	f.Add("POST", "/epcis/queries", `{"name":"x","query":{}}`, "")
	f.Add("POST", "/epcis/queries/q/subscriptions", `{"dest":"http://a/b","schedule":{"second":1}}`, "zh")
	f.Add("DELETE", "/epcis/nextPageToken/a.b", "", "")
	f.Add("GET", "/epcis/epcs/%2f%2f//events/events", "", "text/*")
	f.Fuzz(func(t *testing.T, method, target, body, accept string) {
		s := open(t, func(c *Config) { c.Identify = nil })
		if !strings.HasPrefix(target, "/") || strings.ContainsAny(target, " \x00\r\n") || strings.ContainsAny(method, " \x00\r\n") || method == "" {
			return
		}
		defer func() {
			if p := recover(); p != nil && !strings.Contains(strings.ToLower(sprint(p)), "newrequest") {
				panic(p)
			}
		}()
		if a := ask(t, s, method, target, body, "Accept", accept); a.StatusCode == 500 {
			t.Fatalf("%s %s: %s", method, target, a.body)
		}
	})
}

func sprint(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return ""
}

// TestAccept: the most wanted of what can be had, the most specific range deciding.
func TestAccept(t *testing.T) {
	for _, row := range []struct{ accept, want string }{
		{"", mediaJSON}, {"*/*", mediaJSON}, {"application/*", mediaJSON}, {"text/xml", mediaXML}, {"application/xml", mediaXML},
		{"application/xml, application/json", mediaJSON}, {"application/json;q=0.5, application/xml", mediaXML}, {"application/ld+json", mediaLD},
		{"application/json;q=0, */*", mediaLD}, {"*/*;q=0.1, application/xml;q=0.2", mediaXML}, {"text/html", ""}, {"application/json;q=2", ""}, {"application/json; q=0.000", ""},
	} {
		ranges, best, got := acceptRanges(or(row.accept, "*/*")), 0.0, ""
		for _, o := range []string{mediaJSON, mediaLD, mediaXML} {
			if q := quality(ranges, o); q > best {
				got, best = o, q
			}
		}
		if got != row.want {
			t.Errorf("%q: %q, want %q", row.accept, got, row.want)
		}
	}
}

// TestNextLink: the addresses of next pages among others.
func TestNextLink(t *testing.T) {
	for _, row := range []struct {
		h    []string
		want string
	}{
		{[]string{`<a?x=1>; rel="next"`}, "a?x=1"}, {[]string{`<a>; rel=prev, <b>; rel=next`}, "b"}, {[]string{`<a>; rel="self"`, `<c,d>; title="x"; rel="next"`}, "c,d"},
		{nil, ""}, {[]string{"<a"}, ""}, {[]string{"rel=next"}, ""},
	} {
		if got := nextLink(row.h); got != row.want {
			t.Errorf("%q: %q", row.h, got)
		}
	}
}
