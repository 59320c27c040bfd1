package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// Client speaks to an EPCIS 2.0 repository, ours or anybody's.
type Client struct {
	URL    string // of the interface's root: "https://events.example.com/epcis"
	Do     func(r *http.Request) (*http.Response, error)
	Header http.Header   // on every request: Authorization, GS1-EPC-Format, …
	Poll   time.Duration // first wait between looks at a job: 100 ms; it doubles up to 5 s
	Most   int64         // bytes of an answer that are read: 64 MiB
}

func (c *Client) do(r *http.Request) (*http.Response, error) {
	if c.Do != nil {
		return c.Do(r)
	}
	return http.DefaultClient.Do(r)
}

// request sends one request and reads its answer; one that is no success is an error with what the repository says.
func (c *Client) request(ctx context.Context, method, address string, body io.Reader, head http.Header) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, nil, problem.Wrap(err, problem.BadRequest, "%q is not the address of an EPCIS interface", "%q 不是 EPCIS 接口的地址", address)
	}
	r.Header.Set("Accept", mediaJSON)
	for _, h := range []http.Header{c.Header, head} {
		for k, v := range h {
			r.Header[http.CanonicalHeaderKey(k)] = v
		}
	}
	resp, err := c.do(r)
	if err != nil {
		kind := problem.Unreachable
		if ctx.Err() != nil {
			kind = problem.Canceled
		}
		return nil, nil, problem.Wrap(err, kind, "the repository at %s could not be asked", "无法访问 %s 处的存储库", c.URL)
	}
	defer resp.Body.Close()
	most := or(c.Most, 64<<20)
	raw, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return resp, nil, problem.Wrap(err, problem.Unreachable, "the answer of %s broke off", "%s 的应答中断", c.URL)
	}
	if int64(len(raw)) > most {
		return resp, nil, problem.New(problem.TooLarge, "the answer of %s has more than %d bytes: ask for smaller pages", "%s 的应答超过 %d 字节：请减小每页数量", c.URL, most)
	}
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusNotModified {
		return resp, raw, refusal(resp.StatusCode, raw)
	}
	return resp, raw, nil
}

// Refusal is a repository's own word on why it did not do something.
type Refusal struct {
	Status int
	Type   string // "epcisException:ValidationException"
	Title  string
	Detail string
	Errors []place // each place at fault
	err    error
}

func (r *Refusal) Error() string { return r.err.Error() }
func (r *Refusal) Unwrap() error { return r.err }

func refusal(status int, raw []byte) error {
	var d details
	out := &Refusal{Status: status}
	if json.Unmarshal(raw, &d) == nil {
		out.Type, out.Title, out.Detail, out.Errors = d.Type, d.Title, d.Detail, d.Errors
	}
	kind := problem.Internal
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusRequestURITooLong:
		kind = problem.BadRequest
	case http.StatusUnauthorized:
		kind = problem.NeedAuth
	case http.StatusForbidden:
		kind = problem.Forbidden
	case http.StatusNotFound, http.StatusGone:
		kind = problem.NotFound
	case http.StatusConflict:
		kind = problem.Exists
	case http.StatusRequestEntityTooLarge:
		kind = problem.TooLarge
	case http.StatusNotImplemented:
		kind = problem.Unsupported
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		kind = problem.Busy
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		kind = problem.Unreachable
	}
	said := or(out.Detail, or(out.Title, http.StatusText(status)))
	out.err = problem.New(kind, "the repository answered %[1]d: %[2]s", "存储库应答 %[1]d：%[2]s", status, said)
	return out
}

// at is the address of what a Location or Link header names.
func (c *Client) at(reference, base string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", problem.Wrap(err, problem.BadRequest, "%q is not an address", "%q 不是地址", base)
	}
	u, err := b.Parse(reference)
	if err != nil {
		return "", problem.Wrap(err, problem.Bogus, "the repository names an address that is none", "存储库给出的地址无效")
	}
	// The caller's credentials go to the repository that it named, and nowhere else.
	if u.Scheme != b.Scheme || u.Host != b.Host {
		return "", problem.New(problem.Bogus, "the repository at %s points to %s: ask that one yourself, if it is yours", "%s 处的存储库指向了 %s：若确属您所有，请直接访问", b.Host, u.Host)
	}
	return u.String(), nil
}

func (c *Client) root(path string) string { return strings.TrimRight(c.URL, "/") + path }

// Capture sends a document and waits until its job is done. contentType is application/json or application/xml; behaviour Rollback or Proceed, empty for
// Rollback. progress, when not nil, is told of the job each time it is looked at; job.URL, which Follow takes, is set from the first time on. The error is
// nil for a job that ended, with or without errors in it: see Job.Success.
func (c *Client) Capture(ctx context.Context, body io.Reader, contentType, behaviour string, progress func(FollowedJob)) (FollowedJob, error) {
	head := http.Header{"Content-Type": {contentType}, "Gs1-Capture-Error-Behaviour": {or(behaviour, Rollback)}}
	resp, _, err := c.request(ctx, http.MethodPost, c.root("/capture"), body, head)
	if err != nil {
		return FollowedJob{}, err
	}
	where := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusAccepted || where == "" {
		return FollowedJob{}, problem.New(problem.Bogus, "the repository took the document and names no capture job: it is no EPCIS 2.0 repository", "存储库接收了文档却未给出采集任务：它不是 EPCIS 2.0 存储库")
	}
	// Some write it from the root of the interface and not from that of the host.
	if strings.HasPrefix(where, "/capture/") && !strings.HasSuffix(strings.TrimRight(c.URL, "/"), "/capture") {
		where = c.root(where)
	}
	return c.Follow(ctx, where, progress)
}

// FollowedJob is a job with its address.
type FollowedJob struct {
	URL string
	Job
}

// Follow waits for a job that was begun before: job is its address, or its captureID.
func (c *Client) Follow(ctx context.Context, job string, progress func(FollowedJob)) (FollowedJob, error) {
	if !strings.Contains(job, "/") {
		job = c.root("/capture/" + url.PathEscape(job))
	}
	out := FollowedJob{}
	address, err := c.at(job, c.root("/"))
	if err != nil {
		return out, err
	}
	out.URL = address
	wait, failures := or(c.Poll, 100*time.Millisecond), 0
	for {
		_, raw, err := c.request(ctx, http.MethodGet, address, nil, nil)
		switch kind := problem.KindOf(err); {
		case err == nil:
			failures = 0
			var j Job
			if json.Unmarshal(raw, &j) != nil {
				return out, problem.New(problem.Bogus, "the repository's answer is no capture job", "存储库的应答不是采集任务")
			}
			out.Job = j
			if progress != nil {
				progress(out)
			}
			if !j.Running {
				return out, nil
			}
		case (kind == problem.Unreachable || kind == problem.Busy) && failures < 5:
			failures++ // the job goes on without us
		default:
			return out, err
		}
		if !sleep(ctx, wait) {
			return out, problem.Wrap(ctx.Err(), problem.Canceled, "the job goes on; follow it again at %s", "任务仍在继续；可再次跟踪 %s", address)
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// Query visits the results of a query in the URL form of the query language, page by page. An error of visit ends it and is returned.
func (c *Client) Query(ctx context.Context, v url.Values, visit func(*epcis.Event) error) error {
	address := c.root("/events")
	if len(v) > 0 {
		address += "?" + v.Encode()
	}
	return c.pages(ctx, http.MethodGet, address, nil, visit)
}

// Named visits the results of a named query.
func (c *Client) Named(ctx context.Context, name string, visit func(*epcis.Event) error) error {
	return c.pages(ctx, http.MethodGet, c.root("/queries/"+url.PathEscape(name)+"/events"), nil, visit)
}

// QueryJSON visits the results of a query in the JSON form, of any length. It needs a repository that answers queries without a name, as this one does.
func (c *Client) QueryJSON(ctx context.Context, query json.RawMessage, visit func(*epcis.Event) error) error {
	body, err := json.Marshal(map[string]json.RawMessage{"query": query})
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "the query is no JSON", "查询不是 JSON")
	}
	return c.pages(ctx, http.MethodPost, c.root("/queries"), body, visit)
}

func (c *Client) pages(ctx context.Context, method, address string, body []byte, visit func(*epcis.Event) error) error {
	for {
		var r io.Reader
		head := http.Header{}
		if body != nil {
			r = bytes.NewReader(body)
			head.Set("Content-Type", mediaJSON)
		}
		resp, raw, err := c.request(ctx, method, address, r, head)
		if err != nil {
			return err
		}
		doc, faults, err := epcis.ReadJSON(bytes.NewReader(raw), epcis.Limits{})
		if err == nil && len(faults) > 0 {
			err = errors.New(faults[0].EN)
		}
		if err != nil {
			return problem.Wrap(err, problem.Bogus, "the repository's answer is no EPCISQueryDocument", "存储库的应答不是 EPCISQueryDocument")
		}
		for i := range doc.Events {
			if err := visit(&doc.Events[i]); err != nil {
				return err
			}
		}
		next := nextLink(resp.Header.Values("Link"))
		if next == "" {
			return nil
		}
		before := address
		if address, err = c.at(next, address); err != nil {
			return err
		}
		if address == before {
			return problem.New(problem.Bogus, "the repository names the same page as the next one", "存储库给出的下一页与本页相同")
		}
	}
}

// nextLink finds the address of the next page (RFC 8288).
func nextLink(headers []string) string {
	for _, h := range headers {
		for h != "" {
			_, rest, ok := strings.Cut(h, "<")
			if !ok {
				break
			}
			target, rest, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			params, more, _ := strings.Cut(rest, ",")
			for p := range strings.SplitSeq(params, ";") {
				k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
				if strings.EqualFold(k, "rel") && strings.EqualFold(strings.Trim(v, `" `), "next") {
					return target
				}
			}
			h = more
		}
	}
	return ""
}
