package rest

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// The versions that are spoken: XML of 1.2 and 2.0, JSON of 2.0.
const (
	newest    = "2.0.0"
	oldest    = "1.2.0"
	newestCBV = "2.0.0"
	oldestCBV = "1.2.0"
)

const (
	mediaJSON = "application/json"
	mediaLD   = "application/ld+json"
	mediaXML  = "application/xml"
)

// format is how an answer is written.
type format struct {
	media   string
	version string // of an XML document: "2.0" or "1.2"
	epcis.Format
}

func (f *format) xml() bool { return f.media == mediaXML }

// common is what every answer carries.
func (s *Server) common(h http.Header) {
	h.Set("GS1-EPCIS-Version", newest)
	h.Set("GS1-CBV-Version", newestCBV)
	h.Set("GS1-Vendor-Version", s.cfg.Vendor)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept, Accept-Language, Authorization, GS1-EPC-Format, GS1-CBV-XML-Format, GS1-EPCIS-Max")
}

// discovery is what every answer to OPTIONS carries besides.
func (s *Server) discovery(h http.Header) {
	h.Set("GS1-EPCIS-Min", oldest)
	h.Set("GS1-EPCIS-Max", newest)
	h.Set("GS1-CBV-Min", oldestCBV)
	h.Set("GS1-CBV-Max", newestCBV)
	h.Set("GS1-EPC-Format", "Always_GS1_Digital_Link")
	h.Set("GS1-CBV-XML-Format", "Always_Web_URI")
}

func (s *Server) captureLimits(h http.Header) {
	h.Set("GS1-EPCIS-Capture-Limit", strconv.Itoa(s.lim.CaptureEvents))
	h.Set("GS1-EPCIS-Capture-File-Size-Limit", strconv.FormatInt(s.lim.CaptureBytes, 10))
}

func (s *Server) captureHeaders(h http.Header) {
	s.captureLimits(h)
	h.Set("GS1-Capture-Error-Behaviour", "all")
}

func notAcceptable(en, zh string, args ...any) error {
	return fault(http.StatusNotAcceptable, "NotAcceptableException", problem.New(problem.BadRequest, en, zh, args...))
}

// compareVersions compares two dotted numbers; ok is false for what is none.
func compareVersions(a, b string) (n int, ok bool) {
	x, y := strings.Split(strings.TrimSpace(a), "."), strings.Split(b, ".")
	if len(x) > 4 {
		return 0, false
	}
	for i := range max(len(x), len(y)) {
		var p, q int
		var err error
		if i < len(x) {
			if p, err = strconv.Atoi(x[i]); err != nil || p < 0 {
				return 0, false
			}
		}
		if i < len(y) {
			q, _ = strconv.Atoi(y[i])
		}
		if n == 0 && p != q {
			if n = 1; p < q {
				n = -1
			}
		}
	}
	return n, true
}

// versions reads the GS1 headers of a request: what the caller can take, and how it wants identifiers and words written.
func (c *call) versions() error {
	c.out.version = "2.0"
	for _, of := range []struct{ name, low, high string }{{"EPCIS", oldest, newest}, {"CBV", oldestCBV, newestCBV}} {
		for _, side := range []string{"Min", "Max", "Version"} {
			h := "GS1-" + of.name + "-" + side
			text := c.r.Header.Get(h)
			if text == "" {
				continue
			}
			low, ok := compareVersions(text, of.low)
			high, _ := compareVersions(text, of.high)
			if !ok {
				return notAcceptable("the header %s: %q is no version: write one as 2.0.0", "标头 %s: %q 不是版本号：请按 2.0.0 的形式填写", h, text)
			}
			if side != "Min" && low < 0 || side != "Max" && high > 0 {
				return notAcceptable("the header %s asks for %s; this repository speaks %s to %s", "标头 %s 要求 %s；本存储库支持 %s 至 %s",
					h, text, of.low, of.high)
			}
			if side == "Max" && of.name == "EPCIS" && high < 0 {
				c.out.version = "1.2"
			}
		}
	}
	c.out.CompanyPrefix = c.s.cfg.CompanyPrefix
	var ok bool
	if c.out.EPC, ok = epcFormat(c.r.Header.Get("GS1-EPC-Format")); !ok {
		return notAcceptable("the header GS1-EPC-Format: %q is unknown: use No_Preference, Always_GS1_Digital_Link, Always_EPC_URN or Never_Translates",
			"标头 GS1-EPC-Format: %q 无法识别：请使用 No_Preference、Always_GS1_Digital_Link、Always_EPC_URN 或 Never_Translates", c.r.Header.Get("GS1-EPC-Format"))
	}
	if c.out.CBV, ok = cbvFormat(c.r.Header.Get("GS1-CBV-XML-Format")); !ok {
		return notAcceptable("the header GS1-CBV-XML-Format: %q is unknown: use No_Preference, Always_Web_URI, Always_URN or Never_Translates",
			"标头 GS1-CBV-XML-Format: %q 无法识别：请使用 No_Preference、Always_Web_URI、Always_URN 或 Never_Translates", c.r.Header.Get("GS1-CBV-XML-Format"))
	}
	return nil
}

// range_ is one entry of an Accept header.
type mediaRange struct {
	media string
	q     float64
}

func acceptRanges(header string) []mediaRange {
	var out []mediaRange
	for part := range strings.SplitSeq(header, ",") {
		media, params, _ := strings.Cut(part, ";")
		m := mediaRange{strings.ToLower(strings.TrimSpace(media)), 1}
		if m.media == "" {
			continue
		}
		for p := range strings.SplitSeq(params, ";") {
			if v, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(p), " ", ""), "q="); ok {
				q, err := strconv.ParseFloat(v, 64)
				if err != nil || q < 0 || q > 1 {
					q = 0
				}
				m.q = q
			}
		}
		if m.media == "text/xml" {
			m.media = mediaXML
		}
		out = append(out, m)
	}
	return out
}

// quality is how much a client wants a media type: the most specific range that names it decides (RFC 9110, 12.5.1).
func quality(ranges []mediaRange, media string) float64 {
	best, q := -1, 0.0
	major, _, _ := strings.Cut(media, "/")
	for _, r := range ranges {
		specific := -1
		switch r.media {
		case media:
			specific = 2
		case major + "/*":
			specific = 1
		case "*/*":
			specific = 0
		}
		if specific > best {
			best, q = specific, r.q
		}
	}
	return q
}

// accept chooses among the media types that an answer can have, the first of equal ones.
func (c *call) accept(offers ...string) error {
	header := strings.Join(c.r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		header = "*/*"
	}
	ranges, best := acceptRanges(header), 0.0
	for _, o := range offers {
		if c.out.version == "1.2" && o != mediaXML {
			continue // there was no JSON before 2.0
		}
		if q := quality(ranges, o); q > best {
			c.out.media, best = o, q
		}
	}
	if best == 0 {
		return notAcceptable("this answer can be had as %[1]s, in EPCIS versions %[3]s to %[4]s (before 2.0 as XML alone); the request's Accept header takes only %[2]q",
			"该应答可以 %[1]s 形式提供（EPCIS %[3]s 至 %[4]s，2.0 之前仅有 XML）；请求的 Accept 标头只接受 %[2]q",
			strings.Join(offers, ", "), header, oldest, newest)
	}
	return nil
}

// prefersXML reports whether an error is better written as XML.
func prefersXML(accept string) bool {
	ranges := acceptRanges(accept)
	forXML := max(quality(ranges, mediaXML), quality(ranges, "application/problem+xml"))
	return forXML > max(quality(ranges, mediaJSON), quality(ranges, mediaLD), quality(ranges, "application/problem+json"))
}

// epcFormat reads a GS1-EPC-Format header.
func epcFormat(s string) (epcis.EPCFormat, bool) {
	switch s {
	case "", "Always_GS1_Digital_Link":
		return epcis.AlwaysDigitalLink, true
	case "No_Preference":
		return epcis.NoPreference, true
	case "Always_EPC_URN":
		return epcis.AlwaysURN, true
	case "Never_Translates":
		return epcis.NeverTranslate, true
	}
	return 0, false
}

// cbvFormat reads a GS1-CBV-XML-Format header.
func cbvFormat(s string) (epcis.CBVFormat, bool) {
	switch s {
	case "", "Always_Web_URI":
		return epcis.CBVWebURI, true
	case "No_Preference":
		return epcis.CBVNoPreference, true
	case "Always_URN":
		return epcis.CBVURN, true
	case "Never_Translates":
		return epcis.CBVNeverTranslate, true
	}
	return 0, false
}

// formats tells which forms an answer has.
func (c *call) formats() {
	head := c.w.Header()
	head.Set("GS1-EPC-Format", or(c.r.Header.Get("GS1-EPC-Format"), "Always_GS1_Digital_Link"))
	if c.out.xml() {
		head.Set("GS1-CBV-XML-Format", or(c.r.Header.Get("GS1-CBV-XML-Format"), "Always_Web_URI"))
		if c.out.version == "1.2" {
			head.Set("GS1-EPCIS-Version", "1.2.0")
			head.Set("GS1-CBV-Version", "1.2.0")
		}
	}
}
