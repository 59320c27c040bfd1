package rest

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/history"
)

// call is one request on its way.
type call struct {
	s   *Server
	w   http.ResponseWriter
	r   *http.Request
	ctx context.Context
	who record.Identity
	all bool // who sees everything
	any bool // who sees something

	looked int // events that were looked at to see what there is
	out    format
}

// handler does one operation. It answers, or returns why not.
type handler func(c *call) error

// resource is what a path stands for: its methods, and what OPTIONS tells besides them.
type resource struct {
	act     string
	methods map[string]handler
	allow   string // as OPTIONS and 405 show it
	options func(h http.Header)
	found   func(c *call) error // refuses OPTIONS on what is not there
}

// collections are the top-level resources that list what the events tell of.
var collections = map[string]collection{
	"eventTypes":   {history.EventTypes, "eventType", false},
	"epcs":         {history.EPCs, "MATCH_anyEPC", true},
	"bizSteps":     {history.BizSteps, "EQ_bizStep", false},
	"bizLocations": {history.BizLocations, "EQ_bizLocation", true},
	"readPoints":   {history.ReadPoints, "EQ_readPoint", true},
	"dispositions": {history.Dispositions, "EQ_disposition", false},
}

// split cuts a target into its segments, still escaped.
func (s *Server) split(r *http.Request) (segments []string, ok bool) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), s.cfg.Base)
	if !ok || rest != "" && rest[0] != '/' {
		return nil, false
	}
	rest = strings.TrimPrefix(rest, "/")
	if rest == "" {
		return nil, true
	}
	return strings.Split(rest, "/"), true
}

// name puts segments together again into the name that they spell: one written without escaping its slashes is understood too.
func name(segments []string) (string, error) {
	text, err := url.PathUnescape(strings.Join(segments, "/"))
	if err != nil || text == "" || len(text) > 2048 {
		return "", fault(http.StatusNotFound, "NoSuchResourceException", problem.New(problem.NotFound,
			"the path holds no name, or one that is not escaped as URLs are: write %%2F for a slash and %%25 for a percent sign",
			"路径中没有名称，或未按 URL 规则转义：斜杠写作 %%2F，百分号写作 %%25"))
	}
	return text, nil
}

// route finds the resource that a path stands for.
func (s *Server) route(r *http.Request) (*resource, error) {
	segments, ok := s.split(r)
	if !ok {
		return nil, errNoPath(r.URL.Path)
	}
	if len(segments) == 0 {
		return &resource{act: ActQuery, allow: "OPTIONS, GET", methods: map[string]handler{"GET": root}}, nil
	}
	last := len(segments) - 1
	switch top := segments[0]; top {
	case "capture":
		switch len(segments) {
		case 1:
			return &resource{act: ActCapture, allow: "OPTIONS, POST, GET", options: s.captureHeaders,
				methods: map[string]handler{"GET": listJobs, "POST": capture}}, nil
		case 2:
			id, err := name(segments[1:])
			if err != nil {
				return nil, err
			}
			return &resource{act: ActCapture, allow: "OPTIONS, GET",
				methods: map[string]handler{"GET": func(c *call) error { return c.showJob(id) }},
				found:   func(c *call) error { _, err := c.job(id); return err }}, nil
		}
	case "events":
		if len(segments) == 1 {
			return &resource{act: ActQuery, allow: "OPTIONS, GET, POST", options: s.captureHeaders,
				methods: map[string]handler{"GET": listEvents, "POST": captureOne}}, nil
		}
		id, err := name(segments[1:])
		if err != nil {
			return nil, err
		}
		return &resource{act: ActQuery, allow: "OPTIONS, GET",
			methods: map[string]handler{"GET": func(c *call) error { return c.showEvent(id) }},
			found:   func(c *call) error { _, err := c.byID(id); return err }}, nil
	case "queries":
		return s.routeQueries(segments[1:])
	case "vocabularies":
		if len(segments) == 1 {
			return &resource{act: ActQuery, allow: "OPTIONS, GET", methods: map[string]handler{"GET": listVocabularies}}, nil
		}
		kind, err := name(segments[1:])
		if err != nil {
			return nil, err
		}
		return &resource{act: ActQuery, allow: "OPTIONS, GET", methods: map[string]handler{"GET": func(c *call) error { return c.vocabulary(kind) }}}, nil
	case "nextPageToken":
		if len(segments) == 2 {
			token, err := name(segments[1:])
			if err != nil {
				return nil, err
			}
			return &resource{act: ActQuery, allow: "DELETE", methods: map[string]handler{"DELETE": func(c *call) error { return c.forget(token) }}}, nil
		}
	default:
		kind, ok := collections[top]
		if !ok {
			break
		}
		if len(segments) == 1 {
			return &resource{act: ActQuery, allow: "OPTIONS, GET",
				methods: map[string]handler{"GET": func(c *call) error { return c.list(top, kind) }}}, nil
		}
		under, events := segments[1:], false
		if last >= 2 && segments[last] == "events" {
			under, events = segments[1:last], true
		}
		value, err := name(under)
		if err != nil {
			return nil, err
		}
		res := &resource{act: ActQuery, allow: "OPTIONS, GET", methods: map[string]handler{"GET": func(c *call) error { return c.subResources(kind, value) }},
			found: func(c *call) error { return c.exists(kind, value) }}
		if events {
			res.methods["GET"] = func(c *call) error { return c.eventsOf(kind, value) }
		}
		return res, nil
	}
	return nil, errNoPath(r.URL.Path)
}

func errNoPath(path string) error {
	return fault(http.StatusNotFound, "NoSuchResourceException", problem.New(problem.NotFound,
		"the EPCIS interface has nothing at %s: GET its root for the resources that there are",
		"EPCIS 接口中没有 %s：请对其根路径发送 GET 以查看可用资源", path))
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, ctx: r.Context()}
	s.common(w.Header())
	if err := c.do(); err != nil {
		c.refuse(err)
	}
}

func (c *call) do() error {
	if len(c.r.RequestURI) > c.s.lim.URI || len(c.r.URL.RawQuery) > c.s.lim.URI {
		return fault(http.StatusRequestURITooLong, "URITooLongException", problem.New(problem.TooLarge,
			"the request's address has more than %d bytes: keep the query under a name with POST %s/queries and GET its events",
			"请求地址超过 %d 字节：请用 POST %s/queries 以名称保存查询，再 GET 其事件", c.s.lim.URI, c.s.cfg.Base))
	}
	res, err := c.s.route(c.r)
	if err != nil {
		return err
	}
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, known := res.methods[method]
	if !known && (method != http.MethodOptions || !strings.Contains(res.allow, "OPTIONS")) {
		c.w.Header().Set("Allow", res.allow)
		return fault(http.StatusMethodNotAllowed, "", problem.New(problem.BadRequest,
			"%s does nothing here: %s does", "此处不支持 %s：支持 %s", c.r.Method, res.allow))
	}
	if c.s.cfg.Identify != nil {
		if c.who, err = c.s.cfg.Identify(c.r); err != nil {
			return err
		}
	}
	act := res.act
	if method == http.MethodPost && act == ActQuery && strings.HasSuffix(strings.TrimRight(c.r.URL.Path, "/"), "/events") {
		act = ActCapture // POST /events
	}
	if err = c.s.cfg.May(c.ctx, c.who, act); err != nil {
		return err
	}
	y := c.s.eyeOf(c.ctx, c.who)
	c.all, c.any = y.all, y.any
	if err = c.versions(); err != nil {
		return err
	}
	if method == http.MethodOptions {
		if res.found != nil {
			if err := res.found(c); err != nil {
				return err
			}
		}
		head := c.w.Header()
		head.Set("Allow", res.allow)
		c.s.discovery(head)
		if res.options != nil {
			res.options(head)
		}
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return h(c)
}

// mine reports whether somebody who made a thing is who asks.
func (c *call) mine(by record.Identity) bool {
	if by.Operator || c.who.Operator {
		return c.who.Operator
	}
	return by.Ref.Same(c.who.Ref)
}

// admin reports whether who asks may look at what others have.
func (c *call) admin() bool { return c.s.cfg.May(c.ctx, c.who, ActAdmin) == nil }

// known refuses who did not say who they are: what is kept for somebody needs somebody.
func (c *call) known() error {
	if c.who.IsAnonymous() {
		return problem.New(problem.NeedAuth,
			"queries and subscriptions are kept for somebody: say who you are",
			"保存查询与订阅需要表明身份：请先进行身份认证")
	}
	return nil
}

// url is the address of something in the interface, from names that are not escaped.
func (s *Server) url(names ...string) string {
	out := s.cfg.Public + s.cfg.Base
	for _, n := range names {
		out += "/" + url.PathEscape(n)
	}
	return out
}
