package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/fujie-id/fujie/intake"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/sim"
)

type upCmd struct {
	Data      string `help:"${flag_data}" placeholder:"DIR"`
	ReadyFile string `help:"${flag_ready}" placeholder:"FILE"`
	Processes bool   `help:"${flag_processes}"`
	Profile   string `help:"${flag_profile}" placeholder:"FILE"`
	Check     bool   `help:"${flag_check}"`
	Input     string `help:"${flag_input}" placeholder:"FILE"`
	Floors    bool   `help:"${flag_floors}" default:"true" negatable:""`
}

func (c *upCmd) Run(e *env) error {
	plan := sim.China()
	if c.Profile != "" {
		var err error
		if plan, err = sim.LoadPlan(c.Profile); err != nil {
			return err
		}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if c.Check {
		return check(e, plan, program, c.Input, c.Processes)
	}
	dir := c.Data
	if dir == "" {
		dir = defaultData()
	}
	log, closeLog, err := logFile(filepath.Join(dir, "country.log"))
	if err != nil {
		return err
	}
	defer closeLog()
	country, err := sim.Start(e.ctx, plan, sim.Options{
		Data: dir, Processes: c.Processes, Program: program, Version: version, Log: log, Progress: e.step,
	})
	if err != nil {
		return err
	}
	defer country.Close()
	e.stepEnd()
	if c.Input != "" {
		samples, err := c.registerInput(e, dir)
		if err != nil {
			return err
		}
		country.AddSamples(samples)
	}
	state := country.State()
	c.show(e, dir, &state)
	if c.ReadyFile != "" {
		if err := country.WriteReady(c.ReadyFile); err != nil {
			return err
		}
	}
	if c.Floors {
		wait := c.floors(e, program, dir, &state, log)
		defer wait()
	}
	if err := country.Wait(e.ctx); err != nil {
		return err
	}
	e.print("stopping; run fujie up again to go on", "正在停止；再次 fujie up 可继续")
	return nil
}

// floors starts the floors of the solutions that run in the country, each a process of its own that knows the public interface only. What one says goes to the log; one that ends
// is not started again.
func (c *upCmd) floors(e *env, program, dir string, s *sim.State, log *slog.Logger) (wait func()) {
	var wg sync.WaitGroup
	for _, name := range sim.Floors() {
		if !slices.ContainsFunc(s.Nodes, func(n sim.NodeState) bool { return n.Solutions[name] != "" }) {
			continue
		}
		cmd := exec.CommandContext(e.ctx, program, "floor", name, "--data", dir, "--every", "3s")
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 5 * time.Second
		var said tail
		cmd.Stderr = &said
		wg.Go(func() {
			if err := cmd.Run(); err != nil && e.ctx.Err() == nil {
				log.Error("a floor has ended", "solution", name, "err", err, "said", string(said))
			}
		})
	}
	return wg.Wait
}

// tail keeps the last that was written.
type tail []byte

func (t *tail) Write(b []byte) (int, error) {
	if *t = append(*t, b...); len(*t) > 4096 {
		*t = append((*t)[:0], (*t)[len(*t)-4096:]...)
	}
	return len(b), nil
}

// registerInput registers --input in the country that has just started: lines of our own form as they are, the openFDA device list
// with its map. Refused lines are reported and keep nothing from running.
func (c *upCmd) registerInput(e *env, dir string) ([]string, error) {
	in, err := intake.Open(c.Input, intake.Options{})
	if err != nil {
		return nil, err
	}
	first, err := in.Next()
	in.Close()
	if err != nil && err != io.EOF {
		return nil, err
	}
	cmd := &registerCmd{access: access{Data: dir}, Files: []string{c.Input}, Encoding: "auto", Batch: 1000}
	if first.As == "" {
		cmd.Map = filepath.Join(dir, "openfda-udi.yaml")
		if err := node.WriteFile(cmd.Map, sim.DeviceMap()); err != nil {
			return nil, err
		}
	}
	r, err := cmd.do(e)
	var code codeError
	if err != nil && !(errors.As(err, &code) && code.code == exitRefused) {
		return nil, err
	}
	return r.first, nil
}

func (c *upCmd) show(e *env, dir string, s *sim.State) {
	e.print("The country answers. Its folder: %s\n", "国家已运行。数据目录：%s\n", dir)
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, e.say("NODE\tROLE\tPREFIX\tIRP\tHTTP, HTTPS", "节点\t角色\t前缀\tIRP\tHTTP、HTTPS"))
	for _, n := range s.Nodes {
		role := string(n.Role)
		if n.Mirror {
			role += e.say(" mirror", " 镜像")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Name, role, n.Prefix, n.IRP, n.HTTP)
	}
	w.Flush()
	rec := s.First(node.Recursive)
	if rec == nil || len(s.Samples) == 0 {
		return
	}
	fmt.Fprintln(e.out)
	e.print("Try, from another terminal:", "可在另一个终端试试：")
	fmt.Fprintf(e.out, "  fujie resolve %s --trace\n  curl %s/api/handles/%s\n", s.Samples[0], rec.HTTP, s.Samples[0])
	if n := s.First(node.Enterprise); n != nil && s.ConsolePassword != "" {
		fmt.Fprintln(e.out)
		e.print("The console of each node is at its HTTPS address, at /console/ (the browser warns once of a certificate that the node made itself).",
			"各节点的控制台在其 HTTPS 地址的 /console/（证书由节点自签，浏览器会提示一次）。")
		fmt.Fprintf(e.out, "  %s/console/\n", n.HTTPS)
		e.print("  user admin or li at an enterprise, admin or wang at a second-level node, admin or zhao at the national node; password %s",
			"  企业节点用户 admin、li，二级节点 admin、wang，国家节点 admin、zhao；口令 %s", s.ConsolePassword)
	}
	e.print("Ctrl-C stops it.", "按 Ctrl-C 停止。")
}

// step shows where a long start has got to: one line that is written over on a terminal, nothing elsewhere.
func (e *env) step(en, zh string) {
	if e.terminal {
		fmt.Fprintf(e.err, "\r\033[K%s", e.say(en, zh))
	}
}

func (e *env) stepEnd() {
	if e.terminal {
		fmt.Fprint(e.err, "\r\033[K")
	}
}

// defaultData is where a country lives that was given no folder.
func defaultData() string {
	if d := os.Getenv("FUJIE_DATA"); d != "" {
		return d
	}
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "fujie", "country")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "fujie-country")
	}
	return filepath.Join(home, ".local", "share", "fujie", "country")
}

// logFile is a structured log in a file.
func logFile(path string) (*slog.Logger, func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, problem.Wrap(err, problem.BadRequest, "cannot make the folder; choose another with --data", "无法创建目录；请用 --data 另选")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return newLog(f), func() { f.Close() }, nil
}

func newLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// country is the state of the country that runs in dir, or in the default place.
func country(dir string) (*sim.State, error) {
	if dir == "" {
		dir = defaultData()
	}
	return sim.ReadState(dir)
}

// withTimeout bounds what a person waits for.
func (e *env) withTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.ctx, askTimeout)
}
