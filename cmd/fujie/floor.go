package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/sim"
)

type floorCmd struct {
	Solution string        `arg:"" help:"${arg_floor}"`
	Data     string        `help:"${flag_data}" placeholder:"DIR"`
	Count    int           `help:"${flag_floor_count}" placeholder:"N"`
	Every    time.Duration `help:"${flag_floor_every}" default:"1s"`
	Seed     uint64        `help:"${flag_floor_seed}" placeholder:"N"`
}

// Run plays a plant's floor against a country that runs here, over the public interface of its enterprises' nodes.
func (c *floorCmd) Run(e *env) error {
	dir := c.Data
	if dir == "" {
		dir = defaultData()
	}
	state, err := sim.ReadState(dir)
	if err != nil {
		return err
	}
	access := sim.NewAccess(state)
	defer access.Close()
	seed := c.Seed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	last, told := "", time.Time{}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	f := &sim.Floor{Access: access, Dir: dir, Program: program, Rand: rand.New(rand.NewPCG(seed, 1)), Every: c.Every, Say: func(en, zh string) {
		last = e.say(strings.ReplaceAll(en, "%", "%%"), strings.ReplaceAll(zh, "%", "%%"))
		if now := time.Now(); c.Count == 0 && now.Sub(told) > 10*time.Second {
			told = now
			fmt.Fprintln(e.out, last)
		}
	}}
	err = f.Play(e.ctx, c.Solution, c.Count)
	if last != "" {
		fmt.Fprintln(e.out, last)
	}
	if e.ctx.Err() != nil && problem.Is(err, problem.Canceled) {
		return nil
	}
	return err
}

type systemCmd struct {
	Solution string `arg:"" help:"${arg_floor}"`
	Name     string `arg:"" help:"${arg_system}"`
	Data     string `help:"${flag_data}" placeholder:"DIR"`
}

// Run plays a party's business system until it is interrupted.
func (c *systemCmd) Run(e *env) error {
	dir := c.Data
	if dir == "" {
		dir = defaultData()
	}
	state, err := sim.ReadState(dir)
	if err != nil {
		return err
	}
	access := sim.NewAccess(state)
	defer access.Close()
	s := &sim.System{Access: access, Solution: c.Solution, Name: c.Name, Dir: dir}
	return s.Run(e.ctx, func(url string) {
		e.print("The system %s keeps its ledger; ask it at %s/stock and %[2]s/entries", "系统 %s 正在记账；查询地址 %s/stock、%[2]s/entries", c.Name, url)
	})
}
