package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust/policy"
)

// policyCmd works with rules about who sees what.
type policyCmd struct {
	Test     policyTestCmd     `cmd:"" help:"${policy_test}"`
	List     policyListCmd     `cmd:"" help:"${policy_list}"`
	Trail    policyTrailCmd    `cmd:"" help:"${policy_trail}"`
	Ask      policyAskCmd      `cmd:"" help:"${policy_ask}"`
	Requests policyRequestsCmd `cmd:"" help:"${policy_requests}"`
	Grant    policyGrantCmd    `cmd:"" help:"${policy_grant}"`
	Refuse   policyRefuseCmd   `cmd:"" help:"${policy_refuse}"`
	Withdraw policyWithdrawCmd `cmd:"" help:"${policy_withdraw}"`
}

type policyAskCmd struct {
	Prefix  string   `arg:"" help:"PREFIX"`
	ID      string   `arg:"" name:"id" help:"ID"`
	Items   []string `help:"${flag_ask_items}" placeholder:"NAME"`
	Purpose string   `required:"" help:"${flag_purpose}" placeholder:"WORD"`
	Text    string   `help:"${flag_ask_text}" placeholder:"TEXT"`
	room
}

// Run asks the owner of an identifier for access, through the asker's own node.
func (c *policyAskCmd) Run(e *env) error {
	v, err := id.Parse(c.ID)
	if err != nil {
		return err
	}
	in := map[string]any{"target": policy.Target{ID: v.String(), Items: c.Items}, "purpose": c.Purpose, "text": c.Text}
	var r policy.RequestView
	if err := c.ask(e, c.Prefix, http.MethodPost, requestsPath, in, &r); err != nil || c.Json {
		return err
	}
	e.print("%s is asked; its owner decides", "已提交申请 %s，由所有者答复", r.ID)
	return nil
}

const requestsPath = "/api/access-requests"

type policyRequestsCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	Of     string `help:"${flag_requests_of}" placeholder:"PREFIX"`
	State  string `help:"${flag_requests_state}" placeholder:"STATE"`
	room
}

// Run lists requests for access: to one's own records, or those that one made of another enterprise.
func (c *policyRequestsCmd) Run(e *env) error {
	of := c.Of
	if of == "" {
		of = c.Prefix
	}
	var page api.Page[policy.RequestView]
	q := url.Values{"prefix": {of}, "limit": {"200"}}
	if c.State != "" {
		q.Set("state", c.State)
	}
	if err := c.ask(e, c.Prefix, http.MethodGet, requestsPath+"?"+q.Encode(), nil, &page); err != nil || c.Json {
		return err
	}
	for _, r := range page.Items {
		target := r.Target.ID
		if target == "" {
			target = r.Target.Template
		}
		reason := ""
		if n := len(r.History); n > 0 {
			reason = r.History[n-1].Reason
		}
		fmt.Fprintf(e.out, "%s  %-9s %s  %s %v  %s  %s\n", printable(r.ID), r.State, printable(r.Asker), printable(target), r.Target.Items, printable(r.Purpose), printable(reason))
	}
	e.print("%d requests", "共 %d 个申请", len(page.Items))
	return nil
}

// decision is what somebody says of a request.
type decision struct {
	Request string `arg:"" help:"${arg_request}"`
	Reason  string `help:"${flag_decide_reason}" placeholder:"TEXT"`
	room
}

func (c *decision) say(e *env, at, verb, en, zh string) error {
	v, err := id.ParseHandle(c.Request)
	name, ok := strings.CutPrefix(v.Suffix(), "REQUEST_")
	if err != nil || !ok {
		return problem.New(problem.BadID, "%.80q is no request: write PREFIX/Request_CODE, as fujie policy requests shows it", "%.80q 不是申请：请写成 前缀/Request_编号，见 fujie policy requests", c.Request)
	}
	if at == "" {
		at = v.Prefix()
	}
	var r policy.RequestView
	path := requestsPath + "/" + url.PathEscape(v.Prefix()) + "/" + url.PathEscape(name) + "/" + verb
	if err := c.ask(e, at, http.MethodPost, path, map[string]string{"reason": c.Reason}, &r); err != nil || c.Json {
		return err
	}
	e.print(en, zh, r.ID)
	return nil
}

type policyGrantCmd struct{ decision }

// Run grants a request for access as it was asked for.
func (c *policyGrantCmd) Run(e *env) error {
	return c.say(e, "", "grant", "%s is granted", "已同意申请 %s")
}

type policyRefuseCmd struct{ decision }

// Run refuses one.
func (c *policyRefuseCmd) Run(e *env) error {
	return c.say(e, "", "refuse", "%s is refused", "已拒绝申请 %s")
}

type policyWithdrawCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	decision
}

// Run withdraws one that this enterprise made.
func (c *policyWithdrawCmd) Run(e *env) error {
	return c.say(e, c.Prefix, "withdraw", "%s is withdrawn", "已撤回申请 %s")
}

type policyListCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	room
}

// Run shows every rule of an enterprise, in the words of the Cedar language.
func (c *policyListCmd) Run(e *env) error {
	var page api.Page[policy.Stated]
	if err := c.ask(e, c.Prefix, http.MethodGet, "/api/policies?limit=200&prefix="+url.QueryEscape(c.Prefix), nil, &page); err != nil || c.Json {
		return err
	}
	for _, r := range page.Items {
		fmt.Fprintf(e.out, "%s\n", printable(r.Source))
		for line := range strings.Lines(r.Text) {
			fmt.Fprintf(e.out, "    %s\n", printable(strings.TrimRight(line, "\n")))
		}
	}
	e.print("%d rules", "共 %d 条规则", len(page.Items))
	return nil
}

type policyTrailCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	ID     string `name:"id" help:"${flag_trail_id}" placeholder:"ID"`
	Limit  int    `default:"50" help:"${flag_trail_limit}" placeholder:"N"`
	room
}

// Run shows who saw or changed what is not public, the newest first.
func (c *policyTrailCmd) Run(e *env) error {
	var page api.Page[policy.Access]
	q := url.Values{"prefix": {c.Prefix}, "limit": {strconv.Itoa(c.Limit)}}
	if c.ID != "" {
		q.Set("id", c.ID)
	}
	if err := c.ask(e, c.Prefix, http.MethodGet, "/api/audit?"+q.Encode(), nil, &page); err != nil || c.Json {
		return err
	}
	for _, a := range page.Items {
		by := strings.Join(a.Grants, " ")
		if a.Right {
			by = e.say("as its administrator", "以管理员身份")
		}
		purpose := a.Purpose
		if purpose == "" {
			purpose = "-"
		}
		fmt.Fprintf(e.out, "%s  %-5s %s  %v  %s  %s  %s\n", a.Time.Local().Format(time.DateTime), a.Action, printable(a.ID), a.Indexes, printable(a.Who), printable(purpose), printable(by))
	}
	if page.Next != "" {
		e.print("there are older ones: take a higher --limit, up to 200", "还有更早的记录：可用 --limit 加大，至多 200")
	}
	return nil
}

type policyTestCmd struct {
	File string `arg:"" help:"FILE"`
}

// Run asks the rules in a file its cases; no node is needed.
func (c *policyTestCmd) Run(e *env) error {
	var b []byte
	var err error
	if c.File == "-" {
		b, err = io.ReadAll(io.LimitReader(os.Stdin, 8<<20))
	} else {
		b, err = os.ReadFile(c.File)
	}
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "%s cannot be read", "无法读取 %s", c.File)
	}
	verdicts, err := policy.Test(b)
	if err != nil {
		return err
	}
	text, wrong := policy.Report(verdicts, e.lang)
	fmt.Fprint(e.out, text)
	if wrong > 0 {
		return codeError{exitRefused, problem.New(problem.BadValue, "%d of %d verdicts are not as expected", "%[2]d 个判定中有 %[1]d 个与预期不符", wrong, len(verdicts))}
	}
	fmt.Fprintln(e.out, e.say("%d verdicts, all as expected", "共 %d 个判定，均符合预期", len(verdicts)))
	return nil
}
