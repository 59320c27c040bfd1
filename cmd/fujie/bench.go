package main

import (
	"os"

	"github.com/fujie-id/fujie/bench"
)

type benchCmd struct {
	Quick bool   `help:"${flag_quick}"`
	Only  string `help:"${flag_only}" placeholder:"TEXT"`
	Out   string `help:"${flag_out}" placeholder:"DIR"`
}

func (c *benchCmd) Run(e *env) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return bench.Run(e.ctx, bench.Options{Program: program, Quick: c.Quick, Only: c.Only, Out: c.Out, Version: version}, e.out)
}
