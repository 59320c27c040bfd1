package main

import (
	"os"
	"time"

	"github.com/fujie-id/fujie/bench"
)

type benchCmd struct {
	Quick    bool          `help:"${flag_quick}"`
	Only     string        `help:"${flag_only}" placeholder:"NAMES"`
	Subjects string        `help:"${flag_subjects}" placeholder:"NAMES"`
	Out      string        `help:"${flag_out}" placeholder:"DIR"`
	Names    uint64        `help:"${flag_names}" placeholder:"N"`
	Large    uint64        `help:"${flag_large}" placeholder:"N"`
	Rounds   int           `help:"${flag_rounds}" placeholder:"N"`
	Turn     time.Duration `help:"${flag_turn}" placeholder:"3s"`
	Work     string        `help:"${flag_work}" placeholder:"DIR"`
}

func (c *benchCmd) Run(e *env) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	o := bench.Options{Program: program, Version: version, Quick: c.Quick, Only: c.Only, Subjects: c.Subjects, Out: c.Out,
		Names: c.Names, Large: c.Large, Rounds: c.Rounds, Turn: c.Turn, Work: c.Work}
	return bench.Run(e.ctx, o, e.out)
}
