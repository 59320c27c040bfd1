package web

import (
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// body reads a whole request of at most limit bytes.
func (c *call) body(limit int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	if _, ok := err.(*http.MaxBytesError); ok {
		return nil, problem.New(problem.TooLarge, "the request is over the limit of %d bytes", "请求超过 %d 字节的上限", limit)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the request broke off", "请求中断")
	}
	return b, nil
}

// write does one write, as the caller.
func (c *call) write(w record.Write) (id.ID, error) {
	if c.s.Registrar == nil {
		return id.ID{}, problem.New(problem.Unsupported, "this node takes no changes", "本节点不接受更改")
	}
	rs, err := c.s.Registrar.Write(c.r.Context(), c.by, []record.Write{w})
	if err != nil {
		return id.ID{}, err
	}
	return rs[0].ID, rs[0].Err
}

// put registers a record, or adds to one and changes it when indexes are named.
func (s *Server) put(c *call) error {
	t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || t != "application/json" {
		return problem.New(problem.BadRequest, "Unsupported media type %s; send Content-Type: application/json", "不支持的内容类型 %s；请发送 Content-Type: application/json", t)
	}
	overwrite, err := c.flag("overwrite", true)
	if err != nil {
		return err
	}
	mint, err := c.flag("mintNewSuffix", false)
	if err != nil {
		return err
	}
	indexes, various, err := c.indexes()
	if err != nil {
		return err
	}
	name := c.rest
	if mint {
		name = strings.TrimSuffix(name, "/") // 88.118.1001/ asks for any suffix
	}
	v, err := id.Parse(name)
	if err != nil {
		return err
	}
	b, err := c.body(s.Limits.Body)
	if err != nil {
		return err
	}
	named, values, err := record.ParseRecordJSON(b)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "Invalid JSON in PUT request", "PUT 请求中的 JSON 有误")
	}
	if named != "" && !mint {
		if n, err := id.Parse(named); err != nil || n != v {
			return problem.New(problem.BadRequest, "Mismatched handle in PUT request", "PUT 请求中的标识与地址不符")
		}
	}
	w := record.Write{Op: record.Create, ID: v, Values: values, Mint: mint}
	again := problem.Exists
	if len(indexes) > 0 || various {
		w.Op, again = record.Add, problem.ValueExists
		if len(indexes) == 1 && len(values) == 1 && values[0].Index == 0 {
			values[0].Index = indexes[0]
		}
		for _, value := range values {
			if !various && !slices.Contains(indexes, value.Index) {
				return problem.New(problem.BadRequest, "Mismatched indexes in PUT request", "PUT 请求中的索引与地址不符")
			}
		}
	}
	// What is new answers 201: so first without overwriting, and only then over what is there.
	status := http.StatusCreated
	got, err := c.write(w)
	if overwrite && !mint && problem.Is(err, again) {
		status, w.Overwrite = http.StatusOK, true
		got, err = c.write(w)
	}
	if err != nil {
		return err
	}
	if !mint {
		c.begin(success, "", c.rest)
	} else {
		c.begin(success, "", got.String())
	}
	c.done(status)
	return nil
}

func (s *Server) delete(c *call) error {
	v, err := c.id()
	if err != nil {
		return err
	}
	w := record.Write{Op: record.Delete, ID: v}
	if w.Indexes, _, err = c.indexes(); err != nil {
		return err
	}
	if len(w.Indexes) > 0 {
		w.Op = record.Remove
	}
	if _, err := c.write(w); err != nil {
		return err
	}
	c.begin(success, "", c.rest)
	c.done(http.StatusOK)
	return nil
}

// listChunk is how many names are fetched at a time.
const listChunk = 1000

// list writes names as they come, so that a prefix with millions of them takes no memory. page and pageSize count names;
// after, which they do not have, names the one behind which to go on, without counting.
func (s *Server) list(c *call) error {
	if s.Lister == nil {
		return problem.New(problem.Unsupported, "this node lists nothing", "本节点不提供列表")
	}
	prefix := c.query.Get("prefix")
	if prefix == "" {
		return problem.New(problem.BadRequest, "name the prefix to list: /api/handles?prefix=88.118.1001", "请指明要列出的前缀：/api/handles?prefix=88.118.1001")
	}
	v, err := id.ParseHandle(prefix)
	if err != nil {
		return err
	}
	p, ok := v.Delegated()
	if !ok {
		return problem.New(problem.BadRequest, "%q is no prefix", "%q 不是前缀", prefix)
	}
	page, err := c.number("page", 0, 1<<40)
	if err != nil {
		return err
	}
	size, err := c.number("pageSize", -1, 1<<31)
	if err != nil {
		return err
	}
	page = max(page, 0)
	ctx := c.r.Context()
	_, cursor := c.query["after"]
	var total int64
	if !cursor {
		if total, err = s.Lister.Count(ctx, c.by, p); err != nil {
			return err
		}
	}
	fetch := func(after string, n int) ([]string, error) { return s.Lister.List(ctx, c.by, p, after, n) }
	return c.stream(fetch, c.query.Get("after"), page, size, func() {
		c.begin(success, "", "")
		c.out = append(c.out, `,"prefix":`...)
		c.out = record.AppendJSONString(c.out, p)
		if !cursor {
			c.out = append(c.out, `,"totalCount":"`...)
			c.out = strconv.AppendInt(c.out, total, 10)
			c.out = append(c.out, '"')
		}
		c.out = append(c.out, `,"page":`...)
		c.out = strconv.AppendInt(c.out, int64(page), 10)
		c.out = append(c.out, `,"pageSize":`...)
		c.out = strconv.AppendInt(c.out, int64(max(size, 0)), 10)
		c.out = append(c.out, `,"handles":[`...)
	}, "")
}

// stream writes size names (all when negative) behind the first page·size behind after, each with before in front.
func (c *call) stream(fetch func(after string, n int) ([]string, error), after string, page, size int, begin func(), before string) error {
	left, skip := size, 0
	if size < 0 {
		left = 1<<63 - 1
	} else {
		skip = page * size
	}
	for skip > 0 {
		names, err := fetch(after, min(skip, listChunk))
		if err != nil {
			return err
		}
		if len(names) == 0 {
			break
		}
		skip -= len(names)
		after = names[len(names)-1]
	}
	// The first lot is fetched before anything is said, so that a refusal can still be one.
	var names []string
	var err error
	if left > 0 {
		if names, err = fetch(after, min(left, listChunk)); err != nil {
			return err
		}
	}
	begin()
	dressed := c.query.Get("callback") != "" || c.query.Has("pretty")
	head := c.w.Header()
	streaming := false
	for i := 0; len(names) > 0; {
		for _, n := range names {
			if i++; i > 1 {
				c.out = append(c.out, ',')
			}
			c.out = record.AppendJSONString(c.out, before+n)
		}
		if left -= len(names); left <= 0 {
			break
		}
		if !dressed && len(c.out) > 64<<10 {
			head["Content-Type"] = jsonType
			head.Set("Cache-Control", "no-store")
			streaming = true
			http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.s.Limits.Request))
			if _, err := c.w.Write(c.out); err != nil {
				return nil
			}
			c.out = c.out[:0]
		}
		if names, err = fetch(names[len(names)-1], min(left, listChunk)); err != nil {
			if streaming {
				// Half a list must not look like a whole one.
				c.s.Log.Error("a list broke off", "err", err)
				panic(http.ErrAbortHandler)
			}
			return err
		}
	}
	c.out = append(c.out, ']')
	if streaming {
		c.w.Write(append(c.out, '}'))
		return nil
	}
	c.done(http.StatusOK)
	return nil
}

// other is everything below /api/ but handles/.
func (s *Server) other(c *call) error {
	head, tail, _ := strings.Cut(c.rest, "/")
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	switch head {
	case "sessions":
		return s.session(c, tail)
	case "site":
		if method == http.MethodGet && tail == "" {
			return s.site(c)
		}
	case "verifications":
		if method == http.MethodGet || method == http.MethodPost {
			return s.verify(c, tail)
		}
	case "handles", "prefixes", "register", "feed":
		var err error
		if c.by, err = s.identify(c); err != nil {
			return err
		}
		switch {
		case head == "handles" && method == http.MethodGet && tail == "":
			return s.list(c)
		case head == "prefixes" && method == http.MethodGet && tail == "":
			return s.prefixes(c)
		case head == "prefixes" && tail != "" && (method == http.MethodPost || method == http.MethodDelete):
			return s.home(c, tail)
		case head == "register" && method == http.MethodPost && tail == "":
			return s.register(c)
		case head == "feed" && method == http.MethodGet && tail == "":
			return s.feed(c)
		}
	}
	if c.r.Method == http.MethodPatch {
		c.unknownMethod()
		return nil
	}
	c.w.Header().Set(headProblem, problem.BadRequest.String())
	c.begin(protocolError, "Unknown HTTP API endpoint "+c.r.Method+" "+c.r.URL.Path, "")
	c.done(http.StatusNotFound)
	return nil
}

func (s *Server) site(c *call) error {
	if s.Site == nil || s.Site() == nil {
		return problem.New(problem.Unsupported, "this node has no site information", "本节点没有站点信息")
	}
	c.begin(success, "", "")
	c.out = append(c.out, `,"site":`...)
	c.out = record.AppendSiteJSON(c.out, s.Site())
	c.done(http.StatusOK)
	return nil
}

func (s *Server) prefixes(c *call) error {
	if s.Lister == nil {
		return problem.New(problem.Unsupported, "this node lists nothing", "本节点不提供列表")
	}
	size, err := c.number("pageSize", -1, 1<<31)
	if err != nil {
		return err
	}
	fetch := func(after string, n int) ([]string, error) {
		return s.Lister.Prefixes(c.r.Context(), c.by, after, n)
	}
	return c.stream(fetch, strings.TrimPrefix(c.query.Get("after"), "0.NA/"), 0, size, func() {
		c.begin(success, "", "")
		c.out = append(c.out, `,"handles":[`...)
	}, "0.NA/")
}

// home begins to answer for a prefix, or stops.
func (s *Server) home(c *call, name string) error {
	v, err := id.ParseHandle(name)
	if err != nil {
		return err
	}
	p, ok := v.Delegated()
	if !ok {
		return problem.New(problem.BadRequest, "%q is no prefix; write 0.NA/88.118.1001", "%q 不是前缀；请写成 0.NA/88.118.1001", name)
	}
	w := record.Write{Op: record.Home, ID: id.PrefixRecord(p)}
	if c.r.Method == http.MethodDelete {
		w.Op = record.Unhome
	}
	if _, err := c.write(w); err != nil {
		return err
	}
	c.begin(success, "", name)
	c.done(http.StatusOK)
	return nil
}
