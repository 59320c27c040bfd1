package irp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// tunnelType is the media type of messages in HTTP.
const tunnelType = "application/x-hdl-message"

// tunnel is the HTTP client for messages, made when it is first needed.
func (c *Client) tunnel() *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.web == nil {
		t := &http.Transport{
			DisableCompression: true, MaxConnsPerHost: c.connections(), MaxIdleConnsPerHost: c.connections(),
			MaxIdleConns: 256, IdleConnTimeout: c.idle(), MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: c.TLS,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				to, err := netip.ParseAddrPort(address)
				if err != nil {
					return nil, err
				}
				return c.dial(ctx, "tcp", to)
			},
		}
		if t.TLSClientConfig == nil {
			// Servers have addresses, not names, and certificates of their own making. What must be trusted is
			// signed, and what must be secret is encrypted, in the message itself.
			t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		}
		c.web = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return c.web
}

// overHTTP asks through the HTTP tunnel: POST /{handle} with the message as body, and the messages of the answer as
// the answer's.
func (c *Client) overHTTP(ctx context.Context, q *question, each func(*response) error) error {
	scheme := "http"
	if q.at.Protocol == record.HTTPS {
		scheme = "https"
	}
	// Every request begins with a handle; caches and logs on the way may like to see it.
	name, _, err := DecodeNamed(q.msg.Body)
	if err != nil || q.session != nil && q.session.encrypt {
		name = ""
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+q.at.Addr.String()+"/"+url.PathEscape(name), bytes.NewReader(q.wire))
	if err != nil {
		return c.noAnswer(ctx, q.at, err)
	}
	req.Header.Set("Content-Type", tunnelType)
	req.Header.Set("Accept", tunnelType)
	q.sent++
	res, err := c.tunnel().Do(req)
	if err != nil {
		return c.noAnswer(ctx, q.at, err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	for {
		raw, err := readMessage(in)
		if err != nil {
			if res.StatusCode != http.StatusOK {
				err = problem.New(problem.Unreachable, "HTTP status %s, no message; is this the port of a web page?", "HTTP 状态 %s，没有消息；这是网页的端口吗？", res.Status)
			} else if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return c.noAnswer(ctx, q.at, err)
		}
		r, err := c.take(q, raw)
		if err != nil {
			return c.unusable(ctx, q.at, err)
		}
		if err := each(r); err != nil {
			return err
		}
		if r.Flags&Continuous == 0 || !q.many {
			// The connection is only kept when the body was read to its end.
			io.CopyN(io.Discard, in, 1)
			return nil
		}
	}
}
