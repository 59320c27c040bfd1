package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// What a person gets under /{identifier}:
//
//	Accept names JSON before HTML   the JSON of /api/handles/{identifier}
//	Accept names HTML: a browser    the page, with a way on to the record's address if it has one
//	neither                         302 to the record's address if it has one, else the JSON
//	?redirect, ?noredirect          302, or not, whoever asks; Server.Redirect makes the first the rule, as at hdl.handle.net
//
// So a person sees who vouches for what before they go anywhere, and programs find what a redirecting proxy gives them.
// The address is that of 10320/loc, else that of the first URL value; http and https only. It is the record's alone: nothing in the request is ever made part of it.

//go:embed page.html
var pageText string

//go:embed page.css
var pageCSS string

var (
	pages = template.Must(template.New("page").Parse(pageText))

	// Nothing but the page's own style is let in.
	policy = func() string {
		h := sha256.Sum256([]byte(pageCSS))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) +
			"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	}()
)

// view is what the template shows.
type view struct {
	W      *words
	CSS    template.CSS
	Node   string
	Lang   string
	Other  string // the address of this page in the other language
	Code   string // what stands in the field
	Name   string // the identifier, as asked; empty on the entry page
	Error  string
	Hint   string
	Found  bool
	Alias  string
	Go     string // where the record sends people
	Trust  string // class
	Said   string // of the trust
	Source string
	Stale  bool
	Values []shown
	System []shown
	JSON   string
	Print  string
}

type shown struct {
	Index   uint32
	Type    string
	Label   string
	Text    string
	Link    string
	Changed string
	TTL     string
	Bytes   int
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if r.Method == http.MethodOptions {
			w.Header().Set("Allow", "GET, HEAD, OPTIONS")
			return
		}
		c := &call{s: s, w: w, r: r, query: url.Values{}}
		c.unknownMethod()
		return
	}
	switch r.URL.Path {
	case "/favicon.ico":
		http.NotFound(w, r)
		return
	case "/robots.txt":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "User-agent: *\nDisallow: /api/\n")
		return
	}
	query := r.URL.Query()
	lang := prefer(r.Header.Get("Accept-Language"))
	switch query.Get("lang") {
	case "zh":
		lang = problem.Chinese
	case "en":
		lang = problem.English
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		s.entry(w, r, query, lang)
		return
	}
	s.record(w, r, name, query, lang)
}

// entry is the page on which anybody enters a code.
func (s *Server) entry(w http.ResponseWriter, r *http.Request, query url.Values, lang problem.Lang) {
	v := s.view(r, lang)
	code := strings.TrimSpace(query.Get("id"))
	if code == "" {
		s.show(w, r, http.StatusOK, v)
		return
	}
	v.Code = code
	if _, err := id.Parse(code); err != nil {
		v.Error = problem.Say(err, lang)
		s.show(w, r, http.StatusBadRequest, v)
		return
	}
	// What the record says is shown first, so that a person sees where it would lead.
	to := "/" + url.PathEscape(code) + "?noredirect"
	if l := query.Get("lang"); l == "zh" || l == "en" {
		to += "&lang=" + l
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

func (s *Server) record(w http.ResponseWriter, r *http.Request, name string, query url.Values, lang problem.Lang) {
	html, preferJSON := accepts(r.Header.Get("Accept"))
	w.Header().Set("Vary", "Accept, Accept-Language")
	_, stay := query["noredirect"]
	if _, on := query["redirect"]; html && !on && !s.Redirect {
		stay = true
	}
	if preferJSON || stay && !html {
		if preferJSON && s.fast(w, r, name) {
			return
		}
		s.api(w, r, name, s.handles)
		return
	}
	v := s.view(r, lang)
	v.Code, v.Name = name, name
	asked, err := id.Parse(name)
	var a record.Answer
	if err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), s.Limits.Request-s.Limits.Request/10)
		defer cancel()
		_, ignore := query["ignore_aliases"]
		a, err = s.follow(ctx, r, record.Query{ID: asked, As: name, PublicOnly: true}, !ignore, v)
		tell(w.Header(), &a)
	}
	if err == nil {
		to := s.address(a.Values, query)
		if v.Go = to; to != "" && !stay {
			w.Header().Set("Location", to)
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", policy)
			w.WriteHeader(http.StatusFound)
			io.WriteString(w, `<!doctype html><title>`+template.HTMLEscapeString(name)+`</title><a rel="noreferrer" href="`+template.HTMLEscapeString(to)+`">`+template.HTMLEscapeString(to)+"</a>\n")
			return
		}
	}
	if !html {
		s.api(w, r, name, s.handles)
		return
	}
	v.JSON = "/api/handles/" + url.PathEscape(name) + "?pretty"
	if asked.IsValid() {
		if p, err := asked.Printed(); err == nil && !strings.EqualFold(p, name) {
			v.Print = p
		}
	}
	s.fill(v, &a, err, lang)
	status := http.StatusOK
	if err != nil && !problem.Is(err, problem.NoValues) {
		status = statusOf(problem.KindOf(err))
		if status == http.StatusUnauthorized {
			status = http.StatusForbidden
		}
	}
	s.show(w, r, status, v)
}

// follow resolves, and goes on from aliases to what they name.
func (s *Server) follow(ctx context.Context, r *http.Request, q record.Query, aliases bool, v *view) (record.Answer, error) {
	seen := map[id.ID]bool{}
	for {
		a, err := s.ask(ctx, r, q)
		if err != nil || !aliases {
			return a, err
		}
		i := slices.IndexFunc(a.Values, func(v record.Value) bool { return strings.EqualFold(v.Type, record.TypeAlias) })
		if i < 0 {
			return a, nil
		}
		seen[q.ID] = true
		next, err := id.Parse(strings.TrimSpace(string(a.Values[i].Data)))
		if err != nil {
			return a, nil // an alias that names nothing is shown as it is
		}
		if seen[next] || q.Depth >= record.MaxDepth {
			return record.Answer{}, problem.New(problem.TooDeep, "the aliases of %s lead in a circle, or too far: %s", "%s 的别名形成循环或层次过多：%s", q.Name(), next)
		}
		q = record.Query{ID: next, PublicOnly: true, Depth: q.Depth + 1}
		v.Alias = next.String()
	}
}

// address is where the record sends people; empty when nowhere.
func (s *Server) address(vs []record.Value, query url.Values) string {
	var url string
	var at uint32
	for i := range vs {
		v := &vs[i]
		switch {
		case strings.EqualFold(v.Type, record.TypeLoc):
			l, err := record.ParseLocations(v.Data)
			if err != nil {
				continue
			}
			visitor := record.Visitor{LocAtt: query.Get("locatt"), Country: query.Get("country"), Chance: s.chance()}
			if loc := l.Choose(visitor); loc != nil {
				if to := webAddress(loc.Href); to != "" {
					return to
				}
			}
		case strings.EqualFold(v.Type, record.TypeURL) && (url == "" || v.Index < at):
			if to := webAddress(string(v.Data)); to != "" {
				url, at = to, v.Index
			}
		}
	}
	return url
}

func (s *Server) chance() float64 {
	var b [8]byte
	if _, err := io.ReadFull(s.Rand, b[:]); err != nil {
		return 0
	}
	return float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53)
}

// webAddress is text if it is an absolute address of the web, in the form that a Location header takes; else empty.
func webAddress(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 8192 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" {
		return ""
	}
	u.RawQuery = encodeRest(u.RawQuery)
	return u.String()
}

// encodeRest percent-encodes what may not stand in a query as it is.
func encodeRest(s string) string {
	const hex = "0123456789ABCDEF"
	var b []byte
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>`{|}^", c) >= 0 {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// accepts reads an Accept header: whether HTML is taken, and whether JSON is preferred to it.
func accepts(header string) (html, preferJSON bool) {
	qHTML, qJSON := -1.0, -1.0
	for part := range strings.SplitSeq(header, ",") {
		t, params, _ := strings.Cut(part, ";")
		q := quality(params)
		switch t = strings.ToLower(strings.TrimSpace(t)); t {
		case "text/html", "application/xhtml+xml":
			qHTML = max(qHTML, q)
		case "application/json", "text/json":
			qJSON = max(qJSON, q)
		default:
			if strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json") {
				qJSON = max(qJSON, q)
			}
		}
	}
	return qHTML > 0, qJSON > 0 && qJSON > qHTML
}

// quality is the q of a header's element; 1 when it has none.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			if q, err := strconv.ParseFloat(v, 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
			return 0
		}
	}
	return 1
}

// prefer is the language that an Accept-Language header likes better.
func prefer(header string) problem.Lang {
	zh, en := 0.0, 0.0
	for part := range strings.SplitSeq(header, ",") {
		t, params, _ := strings.Cut(part, ";")
		q := quality(params)
		t = strings.ToLower(strings.TrimSpace(t))
		if t == "zh" || strings.HasPrefix(t, "zh-") {
			zh = max(zh, q)
		} else if t == "en" || strings.HasPrefix(t, "en-") {
			en = max(en, q)
		}
	}
	if zh > en {
		return problem.Chinese
	}
	return problem.English
}

func (s *Server) view(r *http.Request, lang problem.Lang) *view {
	v := &view{W: &english, CSS: template.CSS(pageCSS), Node: s.Name, Lang: "en"}
	other := "zh"
	if lang == problem.Chinese {
		v.W, v.Lang, other = &chinese, "zh-CN", "en"
	}
	q := r.URL.Query()
	q.Set("lang", other)
	if r.URL.Path != "/" {
		q.Del("redirect")
		q.Set("noredirect", "")
	}
	v.Other = "?" + q.Encode()
	return v
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, v *view) {
	var b bytes.Buffer
	if err := pages.Execute(&b, v); err != nil {
		s.Log.Error("a page could not be made", "err", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Vary", "Accept, Accept-Language")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes())
	}
}

// fill puts an answer, or why there is none, into plain words.
func (s *Server) fill(v *view, a *record.Answer, err error, lang problem.Lang) {
	w := v.W
	switch kind := problem.KindOf(err); {
	case err == nil:
		v.Found = true
	case kind == problem.NoValues:
		v.Found, v.Hint = true, w.NothingPublic
	case kind == problem.NotFound:
		v.Error, v.Hint = w.NotFound, w.NotFoundHint
	case kind == problem.NotHere:
		v.Error, v.Hint = w.NotHere, w.NotHereHint
	case kind == problem.Bogus:
		v.Error, v.Hint = w.Bogus, w.BogusHint
	case kind == problem.Unreachable, kind == problem.Busy, kind == problem.Canceled:
		v.Error, v.Hint = w.Away, w.AwayHint
	case kind == problem.Internal:
		s.Log.Error("a page failed", "name", v.Name, "err", err)
		v.Error, v.Hint = w.Broken, w.AwayHint
	default:
		v.Error = problem.Say(err, lang)
	}
	if !v.Found {
		return
	}
	v.Trust = a.Trust.String()
	v.Said = w.Trust[a.Trust]
	if a.Trust == record.Unchecked && a.Primary {
		v.Said = w.Keeper
	}
	v.Source = source(a.Source, w)
	v.Stale = a.Stale
	values := a.Values
	if a.Referral != nil {
		v.Hint = w.Referred + " " + a.Referral.Name
		values = a.Referral.Values
	}
	for i := range values {
		x := showValue(&values[i], w, s.Now())
		if len(values[i].Type) > 3 && strings.EqualFold(values[i].Type[:3], "HS_") || strings.EqualFold(values[i].Type, record.TypeLoc) {
			v.System = append(v.System, x)
		} else {
			v.Values = append(v.Values, x)
		}
	}
}

func source(s string, w *words) string {
	switch s {
	case "store", "":
		return w.FromStore
	case "cache":
		return w.FromCache
	}
	return s
}

const shownBytes = 4000

func showValue(v *record.Value, w *words, now time.Time) shown {
	x := shown{Index: v.Index, Type: v.Type, Label: w.label(v.Type), Bytes: len(v.Data)}
	if v.Timestamp != 0 {
		x.Changed = time.Unix(int64(v.Timestamp), 0).UTC().Format("2006-01-02 15:04:05 UTC")
	}
	if v.TTL.Absolute {
		x.TTL = w.Until + " " + time.Unix(int64(v.TTL.Seconds), 0).UTC().Format("2006-01-02 15:04:05 UTC")
	} else {
		x.TTL = w.duration(v.TTL.Seconds)
	}
	switch text := string(v.Data); {
	case strings.EqualFold(v.Type, record.TypeAdmin):
		if a, err := record.DecodeAdmin(v.Data); err == nil {
			x.Text = a.Ref.String() + " (" + a.Perms.String() + ")"
		}
	case strings.EqualFold(v.Type, record.TypeVList):
		if l, err := record.DecodeVList(v.Data); err == nil {
			for i, r := range l {
				if i > 0 {
					x.Text += ", "
				}
				x.Text += r.String()
			}
		}
	case strings.EqualFold(v.Type, record.TypeSite), strings.EqualFold(v.Type, record.TypeSitePrefix), strings.EqualFold(v.Type, record.TypeSite6):
		if site, err := record.DecodeSite(v.Data); err == nil {
			for _, srv := range site.Servers {
				for _, e := range srv.Endpoints(false) {
					x.Text += e.String() + " "
				}
			}
		}
	case strings.EqualFold(v.Type, record.TypeEmail) && strings.Count(text, "@") == 1 && !strings.ContainsAny(text, " <>\"?&\r\n"):
		x.Text, x.Link = text, "mailto:"+text
	case utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' && r != '\r' }):
		x.Text = text
		x.Link = webAddress(text)
	}
	if x.Text == "" && len(v.Data) > 0 {
		x.Text = base64.StdEncoding.EncodeToString(v.Data[:min(len(v.Data), shownBytes/2)])
		if len(v.Data) > shownBytes/2 {
			x.Text += "…"
		}
	}
	if len(x.Text) > shownBytes {
		n := shownBytes
		for !utf8.RuneStart(x.Text[n]) {
			n--
		}
		x.Text = x.Text[:n] + "…"
	}
	return x
}
