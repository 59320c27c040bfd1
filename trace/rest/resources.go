package rest

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/history"
	"github.com/fujie-id/fujie/trace/query"
)

// all is every row of a table.
var all = store.Span{}

// contextURL names the vocabulary of the answers. Nobody here fetches it.
const contextURL = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"

// collection is a kind of names that events tell of.
type collection struct {
	kind  history.ValueKind
	param string // the query parameter that finds its events
	uris  bool   // its members are identifiers, else words
}

// standardTypes are the kinds of events that every repository supports.
var standardTypes = []string{string(epcis.AggregationEvent), string(epcis.AssociationEvent), string(epcis.ObjectEvent),
	string(epcis.TransactionEvent), string(epcis.TransformationEvent)}

// members is a collection as it is answered.
type members struct {
	Context string   `json:"@context"`
	Type    string   `json:"type"`
	Member  []string `json:"member"`
}

// writeMembers answers with a collection.
func (c *call) writeMembers(list []string) error {
	if list == nil {
		list = []string{}
	}
	var body []byte
	if c.out.xml() {
		body = append(body, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<epcis:Collection xmlns:epcis="`+xmlSpace+`">`...)
		for _, m := range list {
			body = element(body, "member", m)
		}
		body = append(body, "</epcis:Collection>"...)
	} else {
		body, _ = json.Marshal(members{contextURL, "Collection", list})
	}
	return c.tagged(body)
}

// tagged answers 200 with a body and its ETag, or 304.
func (c *call) tagged(body []byte) error {
	head := c.w.Header()
	head.Set("ETag", `"`+digest(body)+`"`)
	head.Set("Cache-Control", "private, no-cache")
	if c.unchanged() {
		return nil
	}
	return c.write(200, body)
}

// root is GET /.
func root(c *call) error {
	if err := c.accept(mediaJSON, mediaLD, mediaXML); err != nil {
		return err
	}
	return c.writeMembers([]string{"queries", "capture", "events", "eventTypes", "epcs", "readPoints", "bizLocations", "dispositions", "bizSteps"})
}

// oneValue is the query for one value of one parameter, whatever characters it has.
func oneValue(param, value string) (*query.Query, error) {
	raw, err := json.Marshal(map[string][]string{param: {value}})
	if err != nil {
		return nil, err
	}
	q, err := query.ParseJSON(raw)
	return q, queryError(err, "QueryParameterException")
}

// of is the query for the events of a member.
func (k collection) of(value string) (*query.Query, error) {
	q, err := oneValue(k.param, value)
	return q, err
}

// visible reports whether there is an event of the query that the caller may see.
func (c *call) visible(q *query.Query) (bool, error) {
	if !c.any {
		return false, nil
	}
	c.describe(q)
	cursor := ""
	for looked := 0; looked < c.s.lim.Scan; {
		page, err := c.s.cfg.Events.Query(c.ctx, q, cursor, 32)
		if err != nil {
			return false, err
		}
		for _, e := range page.Events {
			if part, _ := c.eye().see(c.ctx, e, q); part != nil {
				return true, nil
			}
		}
		looked += len(page.Events)
		c.looked += len(page.Events)
		if cursor = page.Next; cursor == "" {
			return false, nil
		}
	}
	return false, nil
}

// exists refuses a member that no event tells of, as far as the caller sees.
func (c *call) exists(k collection, value string) error {
	if k.kind == history.EventTypes && slices.Contains(standardTypes, value) {
		return nil
	}
	q, err := k.of(value)
	if err != nil {
		return err
	}
	ok, err := c.visible(q)
	if err != nil {
		return queryError(err, "QueryParameterException")
	}
	if !ok {
		return problem.New(problem.NotFound, "no event that you may see tells of %s: check its spelling", "您可查看的事件中没有 %s：请检查其写法", value)
	}
	return nil
}

// list is GET of a collection.
func (c *call) list(scope string, k collection) error {
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	v, err := c.values()
	if err != nil {
		return err
	}
	perPage, next, err := c.paging(v, PerPageDefault)
	if err != nil {
		return err
	}
	of := c.question(scope, v)
	t, err := c.open(next, of)
	if err != nil {
		return err
	}
	after, out := t.Cursor, []string{}
	if k.kind == history.EventTypes && next == "" {
		out = append(out, standardTypes...)
		perPage = max(perPage, len(out))
	}
	for looked, done := 0, !c.any; len(out) < perPage && !done; {
		list, more, err := c.s.cfg.Events.Values(c.ctx, k.kind, after, perPage-len(out))
		if err != nil {
			return err
		}
		for _, value := range list {
			if k.kind == history.EventTypes && slices.Contains(standardTypes, value) {
				continue
			}
			if !c.all {
				q, err := k.of(value)
				if err != nil {
					return err
				}
				ok, err := c.visible(q)
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
			}
			if k.uris {
				value = uri(value, c.out.Format)
			}
			if !slices.Contains(out, value) {
				out = append(out, value)
			}
		}
		looked += len(list)
		after, done = more, more == ""
		if looked >= c.s.lim.Scan/16 || c.looked >= c.s.lim.Scan {
			break // a shorter page, with more behind it
		}
	}
	if after != "" {
		c.more(v, token{Cursor: after, Of: of})
	}
	c.formats()
	return c.writeMembers(out)
}

// uri writes an identifier of the index as a URI: ours as hdl:, those of GS1 in the format that is asked for.
func uri(value string, f epcis.Format) string {
	value = f.Identifier(value, false)
	if u, err := url.Parse(value); err == nil && u.Scheme != "" && strings.Contains(value, ":") {
		return value
	}
	return "hdl:" + (&url.URL{Path: value}).EscapedPath()
}

// subResources is GET of a member.
func (c *call) subResources(k collection, value string) error {
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	if err := c.exists(k, value); err != nil {
		return err
	}
	return c.writeMembers([]string{"events"})
}

// eventsOf is GET of a member's events.
func (c *call) eventsOf(k collection, value string) error {
	v, err := c.values()
	if err != nil {
		return err
	}
	more, err := c.parse(v)
	if err != nil {
		return err
	}
	q, err := k.of(value)
	if err != nil {
		return err
	}
	both, err := q.And(more)
	if err != nil {
		return queryError(err, "QueryParameterException")
	}
	both.OrderBy, both.Ascending, both.EventCountLimit, both.MaxEventCount = more.OrderBy, more.Ascending, more.EventCountLimit, more.MaxEventCount
	return c.answer(both, k.param+"="+strconv.Quote(value), "", v, func() error { return c.exists(k, value) })
}
