package rest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// exception is an error with its place in the interface's own list of errors (EPCIS 2.0, 12.3).
type exception struct {
	status int
	name   string // without "epcisException:"; empty: one that the standard does not name
	err    error
	faults epcis.Faults
}

func (e *exception) Error() string { return e.err.Error() }
func (e *exception) Unwrap() error { return e.err }

// fault makes err the exception of the name.
func fault(status int, name string, err error) error {
	return &exception{status: status, name: name, err: err}
}

var titles = map[string]string{
	"ValidationException":            "The document breaks a rule",
	"QueryValidationException":       "The query breaks a rule",
	"QueryParameterException":        "A query parameter is wrong",
	"SubscriptionControlsException":  "The subscription says wrongly when to report",
	"SecurityException":              "Not allowed",
	"NoSuchNameException":            "No such name",
	"NoSuchResourceException":        "No such resource",
	"NotAcceptableException":         "Not acceptable",
	"ResourceAlreadyExistsException": "It exists already",
	"CaptureLimitExceededException":  "Too much in one capture",
	"QueryTooComplexException":       "The query is too complex",
	"QueryTooLargeException":         "The query has too many results",
	"URITooLongException":            "The address is too long",
	"UnsupportedMediaTypeException":  "Unsupported media type",
	"ImplementationException":        "The repository could not do it",
}

// classify finds the exception of an error that has none yet.
func classify(err error) *exception {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	out := &exception{err: err, status: http.StatusInternalServerError, name: "ImplementationException"}
	switch problem.KindOf(err) {
	case problem.NotFound, problem.NoValues:
		out.status, out.name = http.StatusNotFound, "NoSuchNameException" // the one that the interface's schema allows for every 404
	case problem.BadRequest, problem.BadValue, problem.BadID, problem.NotHere:
		out.status, out.name = http.StatusBadRequest, "ValidationException"
	case problem.Exists, problem.ValueExists, problem.Conflict:
		out.status, out.name = http.StatusConflict, "ResourceAlreadyExistsException"
	case problem.TooLarge:
		out.status, out.name = http.StatusRequestEntityTooLarge, "QueryTooLargeException"
	case problem.TooDeep:
		out.status, out.name = http.StatusRequestEntityTooLarge, "QueryTooComplexException"
	case problem.Forbidden, problem.NotAdmin:
		out.status, out.name = http.StatusForbidden, "SecurityException"
	case problem.NeedAuth, problem.AuthFailed, problem.BadCredential, problem.AuthTimeout, problem.AuthError,
		problem.SessionTimeout, problem.SessionFailed, problem.BadSessionKey, problem.BadSessionSetup, problem.SessionReplay:
		out.status, out.name = http.StatusUnauthorized, "SecurityException"
	case problem.Unsupported:
		out.status = http.StatusNotImplemented
	case problem.Busy, problem.ReadOnly, problem.Full, problem.Canceled:
		out.status = http.StatusServiceUnavailable
	}
	return out
}

// details is a problem of RFC 9457, with what the interface adds to it.
type details struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail,omitempty"`
	Errors []place `json:"errors,omitempty"` // each place at fault
}

// place is one place at fault, itself a problem.
type place struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Event  *int   `json:"event,omitempty"`   // which event of the document, from 0
	ID     string `json:"eventID,omitempty"` // of that event
	Path   string `json:"path,omitempty"`    // JSON pointer or XPath
	Line   int    `json:"line,omitempty"`    // from 1
	Column int    `json:"column,omitempty"`
	Rule   string `json:"rule,omitempty"`
	ZH     string `json:"detailZh,omitempty"` // in a job, which is read by callers of either language
}

func typeOf(name string) string {
	if name == "" {
		return "about:blank"
	}
	return "epcisException:" + name
}

func titleOf(e *exception) string {
	if t, ok := titles[e.name]; ok {
		return t
	}
	return http.StatusText(e.status)
}

// placeOf is a fault of a document as a problem.
func placeOf(f epcis.Fault, lang problem.Lang) place {
	p := place{Type: "epcisException:ValidationException", Title: titles["ValidationException"], Status: http.StatusBadRequest,
		Detail: f.EN, Path: f.Path, Line: f.Line, Column: f.Column, Rule: f.Rule}
	if lang == problem.Chinese {
		p.Detail = f.ZH
	}
	if f.Event >= 0 {
		n := f.Event
		p.Event = &n
	}
	return p
}

func (c *call) lang() problem.Lang { return problem.ParseLang(c.r.Header.Get("Accept-Language")) }

// refuse answers with an error.
func (c *call) refuse(err error) {
	e := classify(err)
	head := c.w.Header()
	switch e.status {
	case http.StatusUnauthorized:
		if head.Get("WWW-Authenticate") == "" {
			head.Set("WWW-Authenticate", `Basic realm="handle"`)
		}
	case http.StatusServiceUnavailable:
		head.Set("Retry-After", "5")
	case http.StatusRequestEntityTooLarge:
		if e.name == "CaptureLimitExceededException" {
			c.s.captureLimits(head)
		}
	}
	lang := c.lang()
	d := details{Type: typeOf(e.name), Title: titleOf(e), Status: e.status, Detail: problem.Say(e.err, lang)}
	if e.status == http.StatusInternalServerError && problem.KindOf(e.err) == problem.Internal {
		c.s.cfg.Log.Error("an EPCIS request failed", "method", c.r.Method, "path", c.r.URL.Path, "err", e.err)
		d.Detail = problem.Say(problem.New(problem.Internal, "the node could not do it; its log says why", "节点未能完成该操作；原因见其日志"), lang)
	}
	for i, f := range e.faults {
		if i == c.s.lim.JobErrors {
			break
		}
		d.Errors = append(d.Errors, placeOf(f, lang))
	}
	for _, h := range []string{"ETag", "Link", "GS1-Next-Page-Token-Expires", "Location"} {
		head.Del(h)
	}
	var body []byte
	if prefersXML(c.r.Header.Get("Accept")) {
		head.Set("Content-Type", "application/problem+xml")
		body = appendProblemXML(nil, &d)
	} else {
		head.Set("Content-Type", "application/problem+json")
		body, _ = json.Marshal(&d)
	}
	if lang == problem.Chinese {
		head.Set("Content-Language", "zh")
	} else {
		head.Set("Content-Language", "en")
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(e.status)
	if c.r.Method != http.MethodHead {
		c.w.Write(body)
	}
}

const xmlSpace = "urn:epcglobal:epcis:xsd:2"

// element appends <name>text</name>, and nothing for an empty text.
func element(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(append(append(dst, '<'), name...), '>')
	dst = append(dst, escapeXML(text)...)
	return append(append(append(dst, "</"...), name...), '>')
}

func escapeXML(s string) []byte {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(strings.ToValidUTF8(s, "\uFFFD")))
	return b.Bytes()
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func appendPlaceXML(dst []byte, name string, p *place) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	dst = element(dst, "type", p.Type)
	dst = element(dst, "title", p.Title)
	dst = element(dst, "status", number(p.Status))
	dst = element(dst, "detail", p.Detail)
	if p.Event != nil {
		dst = element(dst, "event", strconv.Itoa(*p.Event))
	}
	dst = element(dst, "eventID", p.ID)
	dst = element(dst, "path", p.Path)
	dst = element(dst, "line", number(p.Line))
	dst = element(dst, "column", number(p.Column))
	dst = element(dst, "rule", p.Rule)
	return append(append(append(dst, "</"...), name...), '>')
}

func appendProblemXML(dst []byte, d *details) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<epcis:EPCISException xmlns:epcis="`+xmlSpace+`">`...)
	dst = element(dst, "type", d.Type)
	dst = element(dst, "title", d.Title)
	dst = element(dst, "status", number(d.Status))
	dst = element(dst, "detail", d.Detail)
	if len(d.Errors) > 0 {
		dst = append(dst, "<errors>"...)
		for i := range d.Errors {
			dst = appendPlaceXML(dst, "error", &d.Errors[i])
		}
		dst = append(dst, "</errors>"...)
	}
	return append(dst, "</epcis:EPCISException>"...)
}
