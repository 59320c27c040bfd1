package web

import (
	"context"
	"net/http"
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
