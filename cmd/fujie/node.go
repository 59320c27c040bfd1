package main

import (
	"context"
	"encoding/json"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/sim"
)

type nodeCmd struct {
	Init   nodeInitCmd   `cmd:"" help:"${node_init}"`
	Run    nodeRunCmd    `cmd:"" help:"${node}"`
	Config nodeConfigCmd `cmd:"" help:"${flag_config}"`
}

type nodeRunCmd struct {
	Config    string `required:"" help:"${flag_config}" placeholder:"FILE"`
	ReadyFile string `help:"${flag_ready}" placeholder:"FILE"`

	started func(ctx context.Context) // once it answers; nil: nothing more
}

func (c *nodeRunCmd) Run(e *env) error {
	cfg, err := node.Load(c.Config)
	if err != nil {
		return err
	}
	n, err := node.Start(e.ctx, cfg, node.Options{Log: newLog(e.err)})
	if err != nil {
		return err
	}
	ready := sim.ReadyOf(n)
	if c.ReadyFile != "" {
		b, err := json.Marshal(ready)
		if err == nil {
			err = node.WriteFile(c.ReadyFile, b)
		}
		if err != nil {
			n.Close()
			return err
		}
	}
	e.print("%s answers: IRP %s, HTTP and HTTPS %s, server key %s", "%s 已运行：IRP %s，HTTP 与 HTTPS %s，服务器密钥 %s", ready.Name, ready.IRP, ready.HTTP, ready.Pin)
	if c.started != nil {
		c.started(e.ctx)
	}
	select {
	case <-e.ctx.Done():
		return n.Close()
	case err := <-n.Failed():
		n.Close()
		return err
	}
}

type nodeConfigCmd struct{}

func (c *nodeConfigCmd) Run(e *env) error {
	_, err := e.out.Write(node.Sample())
	if err != nil {
		return problem.Wrap(err, problem.Internal, "cannot write", "无法写出")
	}
	return nil
}
