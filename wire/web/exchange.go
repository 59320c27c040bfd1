package web

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/fujie-id/fujie/problem"
)

// Exchange makes one request of the server's other interfaces (/api/…), proving first who asks, and returns the status
// and the body as they came. body is JSON, or nil. The error is of kind Unreachable, Bogus, Canceled, or one of proving.
func (c *Client) Exchange(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	if err := c.start(); err != nil {
		return 0, nil, err
	}
	var head http.Header
	if body != nil {
		head = http.Header{"Content-Type": {"application/json"}}
	}
	resp, answer, err := c.do(ctx, c.Timeout, method, path, head, body)
	if err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, answer, nil
}

// languageOf is where a context has the language that answers are wanted in.
type languageOf struct{}

// InLanguage makes requests ask for answers in a person's language, as Accept-Language says it: zh, en.
func InLanguage(ctx context.Context, tag string) context.Context {
	return context.WithValue(ctx, languageOf{}, tag)
}

// Download asks for something long, as a backup, and returns it as it comes; the caller closes it. A body that breaks off
// ends in an error other than io.EOF. Errors: those of Exchange, and what the server refuses with.
func (c *Client) Download(ctx context.Context, path string) (io.ReadCloser, error) {
	if err := c.start(); err != nil {
		return nil, err
	}
	auth, err := c.authorization(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(ctx, http.MethodGet, path, nil, nil, auth)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var p struct{ Detail string }
	if json.Unmarshal(b, &p) == nil && p.Detail != "" {
		return nil, problem.New(problem.Unreachable, "%s answered %d: %s", "%s 返回 %d：%s", c.Base, resp.StatusCode, p.Detail)
	}
	return nil, c.problem(resp, b)
}

// Do makes any request of the server as the user, as an http.Client would: the address's scheme and host must be the client's own, and the proof of who asks is
// put on it. The answer is whole when it returns. Errors: those of Exchange.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	if err := c.start(); err != nil {
		return nil, err
	}
	if r.URL.Scheme+"://"+r.URL.Host != c.Base {
		return nil, problem.New(problem.BadRequest, "%s is not on the server %s", "%s 不在服务器 %s 上", r.URL.Redacted(), c.Base)
	}
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "what is to be sent cannot be read", "无法读取要发送的内容")
		}
	}
	resp, answer, err := c.do(r.Context(), c.Timeout, r.Method, r.URL.RequestURI(), r.Header, body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, nil
}
