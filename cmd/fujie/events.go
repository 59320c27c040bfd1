package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/rest"
	"github.com/fujie-id/fujie/wire/web"
)

// repository is the EPCIS interface that a command speaks to: that of --server, or of the node of a running country that keeps prefix.
func (d *desk) repository(ctx context.Context, prefix string) (*rest.Client, func(), error) {
	if d.Token != "" {
		do, base, done, err := d.withToken()
		if err != nil {
			return nil, nil, err
		}
		return &rest.Client{URL: base + "/epcis", Do: do}, done, nil
	}
	var c *web.Client
	var done func()
	if d.Server != "" {
		var err error
		if c, err = d.client(); err != nil {
			return nil, nil, err
		}
		done = c.Close
	} else {
		if prefix == "" {
			return nil, nil, problem.New(problem.BadRequest, "say whose events: --prefix 88.118.1001, or --server URL", "请指明企业：--prefix 88.118.1001，或 --server URL")
		}
		v, err := id.ParseHandle(prefix + "/EVENTS")
		if err != nil {
			return nil, nil, err
		}
		to, close, err := d.one(ctx, v)
		if err != nil {
			return nil, nil, err
		}
		done = close
		var ok bool
		if c, ok = to.(*web.Client); !ok {
			done()
			return nil, nil, problem.New(problem.Unsupported, "events are kept by a node that runs: start it, and name it with --server", "事件由运行中的节点保存：请启动节点，并用 --server 指明")
		}
	}
	return &rest.Client{URL: strings.TrimRight(c.Base, "/") + "/epcis", Do: c.Do}, done, nil
}

type captureCmd struct {
	Files  []string `arg:"" help:"FILE…"`
	Prefix string   `help:"${flag_events_prefix}" placeholder:"PREFIX"`
	Errors string   `help:"${flag_capture_errors}" enum:"rollback,proceed" default:"rollback"`
	desk
}

func (c *captureCmd) Run(e *env) error {
	to, done, err := c.repository(e.ctx, c.Prefix)
	if err != nil {
		return err
	}
	defer done()
	failed := 0
	for _, name := range c.Files {
		b, err := readInput(name, 256<<20)
		if err != nil {
			return err
		}
		kind := "application/json"
		if t := bytes.TrimLeft(b, "\xef\xbb\xbf \t\r\n"); len(t) > 0 && t[0] == '<' {
			kind = "application/xml"
		}
		var bar *progressbar.ProgressBar
		job, err := to.Capture(e.ctx, bytes.NewReader(b), kind, c.Errors, func(j rest.FollowedJob) {
			if e.terminal && bar == nil && j.Running {
				bar = progressbar.NewOptions(j.Total, progressbar.OptionSetWriter(e.err), progressbar.OptionSetDescription(name), progressbar.OptionClearOnFinish())
			}
			if bar != nil {
				bar.Set(j.Done)
			}
		})
		var refused *rest.Refusal
		if errors.As(err, &refused) {
			for _, p := range refused.Errors {
				fmt.Fprintf(e.err, "%s: %s: %s\n", name, p.Path, e.say("%[1]s", "%[2]s", p.Detail, cmp.Or(p.ZH, p.Detail)))
			}
		}
		if err != nil {
			return err
		}
		for _, p := range job.Errors {
			fmt.Fprintf(e.err, "%s: %s: %s\n", name, p.Path, e.say("%[1]s", "%[2]s", p.Detail, cmp.Or(p.ZH, p.Detail)))
		}
		if !job.Success {
			failed++
		}
		if c.Json {
			if err := json.NewEncoder(e.out).Encode(job.Job); err != nil {
				return err
			}
			continue
		}
		e.print("%s: %d events captured, %d known before, %d refused", "%s：采集 %d 个事件，已有 %d 个，拒绝 %d 个", name, job.Captured, job.Duplicates, job.Refused)
	}
	if failed > 0 {
		return codeError{code: exitRefused}
	}
	return nil
}

type eventsCmd struct {
	Find   eventsFindCmd   `cmd:"" default:"withargs" help:"${events_find}"`
	Export eventsExportCmd `cmd:"" help:"${events_export}"`
}

type eventsFindCmd struct {
	Query  []string `arg:"" optional:"" help:"MATCH_anyEPC=88.118.1001/ENG-42 EQ_bizStep=shipping …"`
	Prefix string   `help:"${flag_events_prefix}" placeholder:"PREFIX"`
	Limit  int      `help:"${flag_limit}" default:"100"`
	desk
}

func (c *eventsFindCmd) Run(e *env) error {
	v := url.Values{}
	for _, q := range c.Query {
		name, value, ok := strings.Cut(q, "=")
		if !ok {
			return problem.New(problem.BadRequest, "%q is no parameter: write NAME=VALUE, as MATCH_anyEPC=88.118.1001/ENG-42", "%q 不是查询参数：请写成 名称=值，例如 MATCH_anyEPC=88.118.1001/ENG-42", q)
		}
		v.Add(name, value)
	}
	if v.Get("perPage") == "" && c.Limit > 0 {
		v.Set("perPage", fmt.Sprint(min(c.Limit, 1000)))
	}
	to, done, err := c.repository(e.ctx, c.Prefix)
	if err != nil {
		return err
	}
	defer done()
	to.Header = http.Header{"Gs1-Epc-Format": {"Never_Translates"}}
	n := 0
	enough := errors.New("enough")
	err = to.Query(e.ctx, v, func(ev *epcis.Event) error {
		if c.Limit > 0 && n == c.Limit {
			return enough
		}
		n++
		if c.Json {
			_, err := fmt.Fprintf(e.out, "%s\n", epcis.AppendEventJSON(nil, ev, epcis.Format{}))
			return err
		}
		printEvent(e, ev)
		return nil
	})
	if errors.Is(err, enough) {
		e.print("there are more: --limit N", "还有更多：--limit N")
		err = nil
	}
	return err
}

// printEvent is an event in one line: when, what kind, why, what, where.
func printEvent(e *env, ev *epcis.Event) {
	var things []string
	for role, name := range ev.Names() {
		if role <= epcis.RoleOutputClass {
			things = append(things, printable(name))
		}
	}
	more := ""
	if n := len(things) - 4; n > 0 {
		things, more = things[:4], e.say(" and %d more", " 等 %d 个", n)
	}
	place := ""
	if ev.BizLocation != nil {
		place = ev.BizLocation.ID
	} else if ev.ReadPoint != nil {
		place = ev.ReadPoint.ID
	}
	fmt.Fprintf(e.out, "%s  %-19s %-8s %s  %s%s  %s\n", ev.Time.Format(time.RFC3339), ev.Type, ev.Action, printable(ev.BizStep), strings.Join(things, ", "), more, printable(place))
}

// withToken speaks to --server with the token of a log-in.
func (d *desk) withToken() (do func(*http.Request) (*http.Response, error), base string, done func(), err error) {
	if !strings.HasPrefix(d.Server, "https://") {
		return nil, "", nil, problem.New(problem.BadRequest, "a token is sent over https only: give the node's https address with --server", "令牌只经 https 发送：请用 --server 给出节点的 https 地址")
	}
	token, err := os.ReadFile(d.Token)
	if err != nil {
		return nil, "", nil, problem.Wrap(err, problem.BadRequest, "cannot read the token", "无法读取令牌")
	}
	tr := &http.Transport{TLSClientConfig: web.PinnedTLS(d.Pin)}
	c := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(r *http.Request) (*http.Response, error) {
		r.Header.Set("Authorization", "Bearer "+string(trimNewline(token)))
		return c.Do(r)
	}, strings.TrimSuffix(d.Server, "/"), tr.CloseIdleConnections, nil
}
