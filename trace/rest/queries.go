package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/table"
	"github.com/fujie-id/fujie/trace/query"
)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// named is a query that is kept.
type named struct {
	Name    string
	Query   json.RawMessage // as it was sent
	By      record.Identity
	Created time.Time
}

var queries = table.Table[named]{Name: "epcis.query", Key: func(n named) []byte { return []byte(n.Name) }}

// definition is a query as it comes and goes.
type definition struct {
	Name  string          `json:"name"`
	Query json.RawMessage `json:"query"`
}

func (s *Server) routeQueries(under []string) (*resource, error) {
	if len(under) == 0 {
		return &resource{act: ActQuery, allow: "OPTIONS, GET, POST", methods: map[string]handler{"GET": listQueries, "POST": createQuery}}, nil
	}
	query, err := name(under[:1])
	if err != nil {
		return nil, err
	}
	there := func(c *call) error { _, err := c.query(query); return err }
	switch {
	case len(under) == 1:
		return &resource{act: ActQuery, allow: "OPTIONS, GET, DELETE", found: there, methods: map[string]handler{
			"GET":    func(c *call) error { return c.showQuery(query) },
			"DELETE": func(c *call) error { return c.dropQuery(query) },
		}}, nil
	case len(under) == 2 && under[1] == "events":
		return &resource{act: ActQuery, allow: "OPTIONS, GET", found: there, methods: map[string]handler{
			"GET": func(c *call) error { return c.namedEvents(query) },
		}}, nil
	case under[1] == "subscriptions" && len(under) == 2:
		return &resource{act: ActQuery, allow: "OPTIONS, GET, POST", found: there, methods: map[string]handler{
			"GET":  func(c *call) error { return c.listSubscriptions(query) },
			"POST": func(c *call) error { return c.subscribe(query) },
		}}, nil
	case under[1] == "subscriptions" && len(under) == 3:
		id, err := name(under[2:])
		if err != nil {
			return nil, err
		}
		return &resource{act: ActQuery, allow: "OPTIONS, GET, DELETE", methods: map[string]handler{
			"GET":    func(c *call) error { return c.showSubscription(query, id) },
			"DELETE": func(c *call) error { return c.unsubscribe(query, id) },
		}, found: func(c *call) error {
			sub, err := c.subscription(query, id)
			if err == nil {
				c.w.Header().Set("GS1-Query-Min-Record-Time", sub.minRecordTime().Format(time.RFC3339Nano))
			}
			return err
		}}, nil
	}
	return nil, errNoPath("queries/" + strings.Join(under, "/"))
}

// query reads a named query.
func (c *call) query(name string) (named, error) {
	n, err := queries.Get(c.ctx, c.s.cfg.Store, []byte(name))
	if errors.Is(err, store.ErrNotFound) {
		return n, fault(http.StatusNotFound, "NoSuchNameException", problem.New(problem.NotFound,
			"there is no query named %s: GET %s lists those that there are", "没有名为 %s 的查询：可用 GET %s 查看现有查询", name, c.s.url("queries")))
	}
	return n, err
}

// parsed is the query that is kept, ready to run.
func (s *Server) parsed(n named) (*query.Query, error) {
	q, err := query.ParseJSON(n.Query)
	return q, queryError(err, "QueryValidationException")
}

// isName reports whether a text can name a query: it must stand in a URL and in a line.
func isName(s string) bool {
	if s == "" || len(s) > 200 || s == "." || s == ".." {
		return false
	}
	for _, r := range s {
		if r == '/' || r == unicode.ReplacementChar || unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// readJSON reads one JSON value into v and nothing behind it.
func readJSON(raw []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	err := d.Decode(v)
	if err == nil {
		if _, e := d.Token(); e != io.EOF {
			err = errors.New("something follows the JSON value")
		}
	}
	if err == nil {
		return nil
	}
	at := d.InputOffset()
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	} else if errors.As(err, &kind) {
		at = kind.Offset
	}
	at = min(max(at, 0), int64(len(raw)))
	line := 1 + strings.Count(string(raw[:at]), "\n")
	return problem.New(problem.BadRequest, "the body is not the JSON that is expected (line %[1]d, byte %[2]d): %[3]v",
		"请求正文不是所需的 JSON（第 %[1]d 行，第 %[2]d 字节）：%[3]v", line, at, err)
}

// createQuery is POST /queries. A definition without a name is not kept: its results are the answer, page by page, which serves queries too long for an
// address.
func createQuery(c *call) error {
	raw, _, err := c.body(c.s.lim.QueryBytes, "QueryTooComplexException", false)
	if err != nil {
		return err
	}
	var d definition
	if err := readJSON(raw, &d); err != nil {
		return fault(http.StatusBadRequest, "QueryValidationException", err)
	}
	if len(d.Query) == 0 || d.Query[0] != '{' {
		return fault(http.StatusBadRequest, "QueryValidationException", problem.New(problem.BadRequest,
			"the definition has no query object: send {\"name\": …, \"query\": {…}}", "定义中缺少 query 对象：请发送 {\"name\": …, \"query\": {…}}"))
	}
	q, err := query.ParseJSON(d.Query)
	if err != nil {
		return queryError(err, "QueryValidationException")
	}
	if d.Name == "" {
		v, err := c.values()
		if err != nil {
			return err
		}
		return c.answer(q, "anonymous "+digest(compact(d.Query)), "", v, nil)
	}
	if err := c.known(); err != nil {
		return err
	}
	if err := c.accept(mediaJSON, mediaLD, mediaXML); err != nil {
		return err
	}
	if !isName(d.Name) {
		return fault(http.StatusBadRequest, "QueryValidationException", problem.New(problem.BadRequest,
			"%q is no name for a query: use at most 200 bytes without slashes and control characters", "%q 不能作为查询名称：最多 200 字节，不含斜杠与控制字符", d.Name))
	}
	n := 0
	if err := queries.Range(c.ctx, c.s.cfg.Store, all, func(named) error { n++; return nil }); err != nil {
		return err
	}
	if n >= c.s.lim.Queries {
		return fault(http.StatusRequestEntityTooLarge, "QueryTooComplexException", problem.New(problem.TooLarge,
			"the repository keeps %d named queries already: delete one that is no longer used", "存储库已保存 %d 个命名查询：请先删除不再使用的查询", n))
	}
	row := named{Name: d.Name, Query: compact(d.Query), By: c.who, Created: c.s.cfg.Now().UTC()}
	err = queries.Update(c.ctx, c.s.cfg.Store, []byte(d.Name), func(old table.Row[named]) (named, error) {
		if old.Found() {
			return row, problem.New(problem.Exists, "there is a query named %s already: choose another name, or delete that one", "已有名为 %s 的查询：请另选名称，或先删除它", d.Name)
		}
		return row, nil
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.s.url("queries", d.Name))
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// compact is JSON without its spaces.
func compact(raw json.RawMessage) json.RawMessage {
	out, err := json.Marshal(raw)
	if err != nil {
		return raw
	}
	return out
}

// listQueries is GET /queries.
func listQueries(c *call) error {
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	out := []definition{}
	err := page(c, "queries", func(span store.Span, visit func(key string) error) error {
		return queries.Range(c.ctx, c.s.cfg.Store, span, func(n named) error {
			if err := visit(n.Name); err != nil {
				return err
			}
			out = append(out, definition{n.Name, n.Query})
			return nil
		})
	})
	if err != nil {
		return err
	}
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return c.tagged(body)
}

// page walks rows in the order of their keys, a page of them; visit returns store.Stop where the page ends.
func page(c *call, scope string, walk func(span store.Span, visit func(key string) error) error) error {
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
	var span store.Span
	if t.Cursor != "" {
		span.From = append([]byte(t.Cursor), 0)
	}
	n, last := 0, ""
	return walk(span, func(key string) error {
		if n == perPage {
			c.more(v, token{Cursor: last, Of: of})
			return store.Stop
		}
		n++
		last = key
		return nil
	})
}

// showQuery is GET /queries/{queryName}: a list of the one definition, as the interface's text has it.
func (c *call) showQuery(name string) error {
	if err := c.accept(mediaJSON, mediaLD); err != nil {
		return err
	}
	n, err := c.query(name)
	if err != nil {
		return err
	}
	body, err := json.Marshal([]definition{{n.Name, n.Query}})
	if err != nil {
		return err
	}
	return c.tagged(body)
}

// dropQuery is DELETE /queries/{queryName}: its subscriptions end with it.
func (c *call) dropQuery(name string) error {
	n, err := c.query(name)
	if err != nil {
		return err
	}
	if err := c.known(); err != nil {
		return err
	}
	if !c.mine(n.By) && !c.admin() {
		return problem.New(problem.Forbidden, "the query %s belongs to somebody else: ask who made it, or an administrator, to delete it",
			"查询 %s 属于他人：请由其创建者或管理员删除", name)
	}
	if err := c.s.dropSubscriptions(c.ctx, name); err != nil {
		return err
	}
	if err := queries.Delete(c.ctx, c.s.cfg.Store, []byte(name)); err != nil {
		return err
	}
	// Again, for those that came in between: nobody can subscribe any more.
	if err := c.s.dropSubscriptions(c.ctx, name); err != nil {
		return err
	}
	c.s.closeSockets(name)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) dropSubscriptions(ctx context.Context, query string) error {
	var ids []string
	err := subscriptions.By(ctx, s.cfg.Store, "query", table.Is([]byte(query)), func(sub subscription) error {
		ids = append(ids, sub.ID)
		return nil
	})
	for _, id := range ids {
		if err == nil {
			err = subscriptions.Delete(ctx, s.cfg.Store, []byte(id))
		}
	}
	poke(s.changed)
	return err
}

// controls are the parameters of an open socket's request.
var controls = []string{"stream", "second", "minute", "hour", "dayOfMonth", "month", "dayOfWeek", "reportIfEmpty", "initialRecordTime"}

// namedEvents is GET /queries/{queryName}/events: results, or a socket on which they come.
func (c *call) namedEvents(name string) error {
	n, err := c.query(name)
	if err != nil {
		return err
	}
	q, err := c.s.parsed(n)
	if err != nil {
		return err
	}
	v, err := c.values()
	if err != nil {
		return err
	}
	if isUpgrade(c.r) {
		return c.socket(n, q, v)
	}
	narrower := url.Values{}
	for k, list := range v {
		narrower[k] = list
	}
	for _, k := range controls {
		if v.Has(k) {
			return fault(http.StatusBadRequest, "SubscriptionControlsException", problem.New(problem.BadRequest,
				"the parameter %s belongs to a WebSocket: send the headers Upgrade: websocket and Connection: Upgrade, or subscribe with POST",
				"参数 %s 用于 WebSocket：请发送 Upgrade: websocket 与 Connection: Upgrade 标头，或用 POST 订阅", k))
		}
	}
	more, err := c.parse(narrower)
	if err != nil {
		return err
	}
	both, err := q.And(more)
	if err != nil {
		return queryError(err, "QueryParameterException")
	}
	both.OrderBy, both.Ascending = or(more.OrderBy, q.OrderBy), more.Ascending || q.Ascending
	both.EventCountLimit, both.MaxEventCount = or(more.EventCountLimit, q.EventCountLimit), or(more.MaxEventCount, q.MaxEventCount)
	both.PerPage, both.NextPageToken = q.PerPage, ""
	return c.answer(both, "query "+strconv.Quote(name)+" "+n.Created.Format(time.RFC3339Nano), name, v, nil)
}
