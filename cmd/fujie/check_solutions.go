package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/fujie-id/fujie/indicator"
	"github.com/fujie-id/fujie/sim"
)

// solutions plays the floors of the installed cases, each of which holds what it is answered against what it did, and then holds the figures against the work that was done.
func (c *checker) solutions(ctx context.Context) (string, error) {
	last := map[string]string{}
	f := &sim.Floor{Access: c.country.Access(), Dir: filepath.Join(c.dir, "country"), Program: c.program, Rand: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7))}
	work := map[string]int{"warranty-claims": 8, "process-parameters": 8, "order-interception": 10, "bottle-to-store": 10, "cold-chain": 4}
	start := time.Now()
	for _, name := range sim.Floors() {
		f.Say = func(en, zh string) { last[name] = c.say(en, zh) }
		if work[name] == 0 {
			return "", wrong("the floor %s is not checked", "车间 %s 未列入检查", name)
		}
		if err := f.Play(ctx, name, work[name]); err != nil {
			return "", err
		}
	}
	took := time.Since(start)
	// Every piece of work stands in a figure.
	for _, x := range []struct {
		solution, party, name, column string
		want                          float64
	}{
		{"warranty-claims", "maker", "claims", "value", float64(work["warranty-claims"])},
		{"process-parameters", "factory", "set-up-time", "set_ups", float64(work["process-parameters"])},
		{"order-interception", "warehouse", "orders", "value", float64(work["order-interception"])},
		{"order-interception", "warehouse", "steps-after-mark", "value", 0},
		{"bottle-to-store", "winery", "line-speed", "value", 6 * float64(work["bottle-to-store"])},
		{"cold-chain", "carrier", "warm", "readings", 11 * float64(work["cold-chain"])},
		{"cold-chain", "supermarket", "time-to-trace", "outbreaks", 1},
	} {
		got, err := c.figure(ctx, x.solution, x.party, x.name, x.column, x.want)
		if err != nil {
			return "", err
		}
		if got != x.want {
			return "", wrong("%s/%s adds up to %v, want %v", "%s/%s 合计为 %v，应为 %v", x.solution, x.name, got, x.want)
		}
	}
	return c.say("in %s: %s; %s; %s", "用时 %s：%s；%s；%s", took.Round(10*time.Millisecond), last["warranty-claims"], last["order-interception"], last["cold-chain"]), nil
}

// figure is the sum of a column of an indicator, when the tables behind it have caught up, or have what is wanted.
func (c *checker) figure(ctx context.Context, solution, party, name, column string, want float64) (sum float64, err error) {
	var at *sim.NodeState
	for i := range c.state.Nodes {
		if c.state.Nodes[i].Solutions[solution] == party {
			at = &c.state.Nodes[i]
		}
	}
	if at == nil {
		return 0, wrong("nobody is %s of %s", "没有企业担任 %[2]s 的 %[1]s", party, solution)
	}
	client, err := c.country.Access().Client(at)
	if err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		var a indicator.Answer
		if err := traced(ctx, client, "/api/indicators/"+solution+"/"+name, nil, &a); err != nil {
			return 0, err
		}
		sum = 0
		for i, col := range a.Columns {
			for _, row := range a.Rows.Rows {
				if v, ok := row[i].(float64); ok && col == column {
					sum += v
				}
			}
		}
		behind := a.Lag.Events + a.Lag.Changes + a.Lag.Steps
		if behind == 0 || sum == want && want != 0 {
			return sum, nil
		}
		if time.Now().After(deadline) {
			return 0, wrong("the tables for indicators are %d entries behind", "指标库落后 %d 条", behind)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
