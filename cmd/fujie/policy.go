package main

import (
	"fmt"
	"io"
	"os"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust/policy"
)

// policyCmd works with rules about who sees what.
type policyCmd struct {
	Test policyTestCmd `cmd:"" help:"${policy_test}"`
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
