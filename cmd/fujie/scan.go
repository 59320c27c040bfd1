package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/fujie-id/fujie/flow"
)

type scanCmd struct {
	Prefix string            `arg:"" help:"PREFIX"`
	Code   string            `arg:"" optional:"" help:"${arg_code}"`
	Flow   string            `help:"${flag_flow}" placeholder:"SOLUTION/FLOW"`
	Of     string            `name:"run" help:"${flag_run}" placeholder:"RUN"`
	Form   map[string]string `help:"${flag_scan_form}" placeholder:"FIELD=VALUE"`
	Finish bool              `help:"${flag_finish}"`
	Device string            `help:"${flag_device}" placeholder:"ID"`
	Where  string            `help:"${flag_where}" placeholder:"ID"`
	ID     string            `name:"id" help:"${flag_scan_id}" placeholder:"ID"`
	Dry    bool              `name:"dry-run" help:"${flag_dry}"`
	room
}

// Run scans a code at an enterprise's node, as a handheld would. A scan that is refused, stopped or diverted ends with exit code 3.
func (c *scanCmd) Run(e *env) error {
	in := flow.Scan{ID: c.ID, Flow: c.Flow, Run: c.Of, Code: c.Code, Finish: c.Finish, Device: c.Device, Where: c.Where, DryRun: c.Dry}
	for k, v := range c.Form {
		if in.Form == nil {
			in.Form = map[string]any{}
		}
		in.Form[k] = v
	}
	var r flow.Result
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/flow-scans", in, &r); err != nil {
		return err
	}
	if !c.Json {
		c.show(e, &r)
	}
	switch r.Verdict {
	case flow.Refused, flow.Stopped, flow.Diverted:
		return codeError{code: exitRefused}
	}
	return nil
}

func (c *scanCmd) show(e *env, r *flow.Result) {
	// A warning and the end stand on lines of their own.
	for i, line := range strings.Split(r.Say, "\n") {
		if i == 0 {
			fmt.Fprintf(e.out, "%s: ", r.Verdict)
		} else {
			fmt.Fprint(e.out, "  ")
		}
		fmt.Fprintln(e.out, printable(line))
	}
	for _, f := range r.Choices {
		fmt.Fprintf(e.out, "  --flow %s  %s\n", f.Flow, printable(f.Title))
	}
	for _, f := range r.Form {
		need := ""
		if f.Required {
			need = " *"
		}
		fmt.Fprintf(e.out, "  --form %s=  %s %s%s\n", f.Field, printable(f.Label), f.Unit, need)
	}
	for _, x := range r.Effects {
		fmt.Fprintf(e.out, "  %s %s\n", x.Kind, printable(x.What))
	}
	if r.Next != nil {
		title := printable(r.Next.Title)
		if r.Next.Hint != "" {
			title += ": " + printable(r.Next.Hint)
		}
		fmt.Fprintf(e.out, "  --run %s  %s\n", r.Run, title)
	}
}
