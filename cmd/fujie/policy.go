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
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust/policy"
)

// policyCmd works with rules about who sees what.
type policyCmd struct {
	Test  policyTestCmd  `cmd:"" help:"${policy_test}"`
	List  policyListCmd  `cmd:"" help:"${policy_list}"`
	Trail policyTrailCmd `cmd:"" help:"${policy_trail}"`
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
