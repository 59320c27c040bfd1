package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
	"github.com/fujie-id/fujie/trace/share"
)

// PerPageDefault is how many results a page has when the request does not say (EPCIS 2.0, 12.6).
const PerPageDefault = 30

// eye is what somebody sees of events.
type eye struct {
	s   *Server
	who record.Identity
	all bool
	any bool
}

func (c *call) eye() eye { return eye{c.s, c.who, c.all, c.any} }

func (s *Server) eyeOf(ctx context.Context, who record.Identity) eye {
	y := eye{s: s, who: who, all: s.cfg.See == nil || s.cfg.All != nil && s.cfg.All(ctx, who)}
	y.any = y.all || s.cfg.Any == nil || s.cfg.Any(ctx, who)
	return y
}

// see returns what may be seen of an event, nil for nothing. What is hidden is not matched either: who could ask for hidden values would learn them. That
// an event exists, without its contents, is no answer here: proofs of existence are given to traces.
func (y eye) see(ctx context.Context, e *epcis.Event, q *query.Query) (*epcis.Event, share.Level) {
	if y.all {
		return e, share.Contents
	}
	if !y.any {
		return nil, share.Nothing
	}
	level := y.s.cfg.See(ctx, y.who, e)
	switch {
	case level >= share.Contents:
		return e, level
	case level < share.Trace:
		return nil, level
	}
	part := share.Redact(e, level)
	if part == nil || q != nil && !q.Match(part) {
		return nil, level
	}
	return part, level
}

// seen is one event of an answer.
type seen struct {
	event *epcis.Event
	level share.Level
}

// gather collects up to want events that may be seen, from the cursor on; next is where to go on, empty at the end.
func (y eye) gather(ctx context.Context, q *query.Query, cursor string, want int) (out []seen, next string, err error) {
	if !y.any {
		return nil, "", nil
	}
	// Of events that are seen in part, the order by a hidden field would tell its values.
	if by := q.OrderBy; !y.all && by != "" && by != "eventTime" && by != "recordTime" {
		return nil, "", problem.New(problem.BadRequest, "orderBy=%s is for those who see the events in full: order by eventTime or recordTime",
			"orderBy=%s 仅供可查看完整事件者使用：请按 eventTime 或 recordTime 排序", by)
	}
	looked := 0
	for {
		page, err := y.s.cfg.Events.Query(ctx, q, cursor, want-len(out))
		if err != nil {
			return nil, "", err
		}
		looked += len(page.Events)
		for _, e := range page.Events {
			if part, level := y.see(ctx, e, q); part != nil {
				out = append(out, seen{part, level})
			}
		}
		if cursor = page.Next; cursor == "" || len(out) >= want || looked >= y.s.lim.Scan {
			return out, cursor, nil
		}
	}
}

// queryError gives an error of a query its name.
func queryError(err error, name string) error {
	if err == nil {
		return nil
	}
	switch problem.KindOf(err) {
	case problem.BadRequest, problem.BadValue, problem.BadID:
		return fault(http.StatusBadRequest, name, err)
	case problem.TooLarge:
		return fault(http.StatusRequestEntityTooLarge, "QueryTooLargeException", err)
	case problem.TooDeep:
		return fault(http.StatusRequestEntityTooLarge, "QueryTooComplexException", err)
	}
	return err
}

// queryValues are the parameters that belong to the query language, not to paging.
func queryValues(v url.Values) url.Values {
	out := url.Values{}
	for k, list := range v {
		if k != "perPage" && k != "nextPageToken" {
			out[k] = list
		}
	}
	return out
}

// parse reads the query in a request's parameters.
func (c *call) parse(v url.Values) (*query.Query, error) {
	q, err := query.ParseURLIn(queryValues(v), namespaces(c.r.Header.Values("GS1-Extensions")))
	if err != nil {
		return nil, queryError(err, "QueryParameterException")
	}
	return q, nil
}

// listEvents is GET /events.
func listEvents(c *call) error {
	v, err := c.values()
	if err != nil {
		return err
	}
	q, err := c.parse(v)
	if err != nil {
		return err
	}
	return c.answer(q, "events", "", v, nil)
}

// answer writes a page of a query's results. scope says which question it is, for the page's token; name is the query's own, empty when it has none;
// empty, when not nil, is asked before an answer without events.
func (c *call) answer(q *query.Query, scope, name string, v url.Values, empty func() error) error {
	if err := c.accept(mediaJSON, mediaLD, mediaXML); err != nil {
		return err
	}
	perPage, next, err := c.paging(v, or(q.PerPage, PerPageDefault))
	if err != nil {
		return err
	}
	of := c.question(scope, v)
	t, err := c.open(or(next, q.NextPageToken), of)
	if err != nil {
		return err
	}
	plain, most, limit := *q, q.MaxEventCount, q.EventCountLimit
	plain.MaxEventCount, plain.EventCountLimit, plain.PerPage, plain.NextPageToken = 0, 0, 0, ""
	c.describe(&plain)
	if most > 0 && t.Cursor == "" {
		if err := c.countUpTo(&plain, most); err != nil {
			return err
		}
	}
	want := perPage
	if limit > 0 {
		want = min(want, max(limit-t.Count, 0))
	}
	var found []seen
	var cursor string
	if want > 0 {
		if found, cursor, err = c.eye().gather(c.ctx, &plain, t.Cursor, want); err != nil {
			return queryError(err, "QueryParameterException")
		}
	}
	if len(found) == 0 && cursor == "" && t.Cursor == "" && empty != nil {
		if err := empty(); err != nil {
			return err
		}
	}
	if count := t.Count + len(found); cursor != "" && (limit == 0 || count < limit) {
		c.more(v, token{Cursor: cursor, Count: count, Of: of})
	}
	return c.document(found, name, "")
}

// countUpTo refuses a query that has more than so many results.
func (c *call) countUpTo(q *query.Query, most int) error {
	n, cursor := 0, ""
	for {
		found, next, err := c.eye().gather(c.ctx, q, cursor, min(1000, most+1-n))
		if err != nil {
			return queryError(err, "QueryParameterException")
		}
		if n += len(found); n > most {
			return fault(http.StatusRequestEntityTooLarge, "QueryTooLargeException", problem.New(problem.TooLarge,
				"the query has more than maxEventCount=%d results: ask for less, or take pages without maxEventCount",
				"查询结果多于 maxEventCount=%d：请缩小范围，或去掉 maxEventCount 后分页获取", most))
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// describe gives a query what it needs to know of places within places.
func (c *call) describe(q *query.Query) { c.s.describe(c.ctx, q) }

func (s *Server) describe(ctx context.Context, q *query.Query) {
	if tree, ok := s.cfg.Events.(interface {
		Descendants(ctx context.Context, id string) ([]string, error)
	}); ok && q.Descendants == nil {
		q.Descendants = func(id string) []string {
			below, err := tree.Descendants(ctx, id)
			if err != nil {
				s.cfg.Log.Error("the places below one cannot be read", "place", id, "err", err)
			}
			return below
		}
	}
	if known, ok := s.cfg.Events.(interface {
		Vocabulary(ctx context.Context, id string) ([]history.Master, error)
	}); ok && q.Attributes == nil {
		q.Attributes = func(id string) []epcis.VocabularyAttribute {
			list, err := known.Vocabulary(ctx, id)
			if err != nil {
				s.cfg.Log.Error("master data cannot be read", "id", id, "err", err)
			}
			var out []epcis.VocabularyAttribute
			for i := range list {
				out = append(out, list[i].Attributes...)
			}
			return out
		}
	}
}

// document writes events as an EPCISQueryDocument, or 304 when the caller has them.
func (c *call) document(found []seen, queryName, subscription string) error {
	head := c.w.Header()
	h := sha256.New()
	for _, s := range []string{c.out.media, c.out.version, c.r.Header.Get("GS1-EPC-Format"), c.r.Header.Get("GS1-CBV-XML-Format"),
		strconv.FormatBool(head.Get("Link") != ""), queryName} {
		h.Write([]byte(s + "\x00"))
	}
	for _, f := range found {
		h.Write([]byte(f.event.ID))
		h.Write([]byte{0, byte(f.level)})
		h.Write([]byte(f.event.RecordTime.UTC().Format(time.RFC3339Nano)))
	}
	head.Set("ETag", `W/"`+hex.EncodeToString(h.Sum(nil)[:16])+`"`)
	head.Set("Cache-Control", "private, no-cache")
	c.formats()
	if c.unchanged() {
		return nil
	}
	events := make([]epcis.Event, len(found))
	for i, f := range found {
		events[i] = *f.event
	}
	if ext := extensions(events); ext != "" {
		head.Set("GS1-Extensions", ext)
	}
	body, err := c.s.encode(events, queryName, subscription, &c.out)
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, body)
}

// encode makes an EPCISQueryDocument.
func (s *Server) encode(events []epcis.Event, queryName, subscription string, f *format) ([]byte, error) {
	doc := &epcis.Document{SchemaVersion: f.version, Created: s.cfg.Now().UTC().Truncate(time.Millisecond), Events: events,
		Query: &epcis.QueryResult{QueryName: or(queryName, "SimpleEventQuery"), SubscriptionID: subscription}}
	if f.xml() {
		return appendXML(doc, f)
	}
	return epcis.AppendJSON(nil, doc, f.Format), nil
}

// namespaces reads GS1-Extensions of a request: what the prefixes in its parameters stand for.
func namespaces(headers []string) map[string]string {
	out := map[string]string{}
	for _, h := range headers {
		for pair := range strings.SplitSeq(h, ",") {
			if prefix, uri, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && prefix != "" && uri != "" && len(out) < 100 {
				out[prefix] = uri
			}
		}
	}
	return out
}

// extensions is GS1-Extensions: the namespaces that the events use, prefix=URI.
func extensions(events []epcis.Event) string {
	var out []string
	for i := range events {
		for prefix, uri := range events[i].Namespaces {
			pair := prefix + "=" + uri
			if len(out) < 20 && !slices.Contains(out, pair) && !strings.ContainsAny(pair, ",\r\n") && isPlain(pair) {
				out = append(out, pair)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// unchanged answers 304 when the caller has what the ETag says.
func (c *call) unchanged() bool {
	have, tag := c.r.Header.Get("If-None-Match"), strings.TrimPrefix(c.w.Header().Get("ETag"), "W/")
	if have == "" || tag == "" {
		return false
	}
	for one := range strings.SplitSeq(have, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			c.w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

// write answers with a body of the chosen media type.
func (c *call) write(status int, body []byte) error {
	head := c.w.Header()
	head.Set("Content-Type", c.out.media)
	head.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		c.w.Write(body)
	}
	return nil
}

// byID finds the events with an eventID, or the one with a hash: an event and those that declare it an error share the name.
func (c *call) byID(id string) ([]seen, error) {
	var found []seen
	show := func(e *epcis.Event) {
		if part, level := c.eye().see(c.ctx, e, nil); part != nil {
			found = append(found, seen{part, level})
		}
	}
	versions, err := c.s.cfg.Events.Versions(c.ctx, id)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return nil, err
	}
	for _, v := range versions {
		show(v.Event)
	}
	if len(versions) == 0 {
		e, err := c.s.cfg.Events.Event(c.ctx, id)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return nil, err
		}
		if err == nil && e != nil {
			show(e)
		}
	}
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "there is no event %s that you may see: check its identifier", "没有您可查看的事件 %s：请检查其标识", id)
	}
	return found, nil
}

// showEvent is GET /events/{eventID}.
func (c *call) showEvent(id string) error {
	if err := c.accept(mediaJSON, mediaLD, mediaXML); err != nil {
		return err
	}
	found, err := c.byID(id)
	if err != nil {
		return err
	}
	return c.document(found, "", "")
}
