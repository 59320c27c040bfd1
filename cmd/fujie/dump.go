package main

import (
	"bufio"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/registry"
)

type exportCmd struct {
	Data    string `required:"" help:"${flag_data}" placeholder:"DIR"`
	Out     string `required:"" help:"${flag_out}" placeholder:"FILE"`
	Secrets bool   `help:"${flag_secrets}" default:"true" negatable:""`
}

func openOffline(e *env, dir string) (*node.Offline, error) {
	cfg, err := node.Load(filepath.Join(dir, "node.yaml"))
	if err != nil {
		return nil, err
	}
	return node.Open(e.ctx, cfg)
}

func (c *exportCmd) Run(e *env) error {
	n, err := openOffline(e, c.Data)
	if err != nil {
		return err
	}
	defer n.Close()
	tmp := c.Out + ".part"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "cannot write %s", "无法写入 %s", c.Out)
	}
	defer os.Remove(tmp)
	w := bufio.NewWriterSize(f, 1<<20)
	bar := e.counter()
	total := int64(0)
	var opts []registry.ExportOption
	if !c.Secrets {
		opts = append(opts, registry.WithoutSecrets())
	}
	err = n.Export(e.ctx, w, func(p registry.Progress) { total = p.Done; bar.Set64(p.Done) }, opts...)
	bar.Finish()
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, c.Out)
	}
	if err != nil {
		return problem.Wrap(err, problem.KindOf(err), "the export was not finished; %s was not written", "导出未完成；未写出 %s", c.Out)
	}
	e.print("%d records are in %s", "已将 %d 条记录写入 %s", total, c.Out)
	return nil
}

type importCmd struct {
	Data string `required:"" help:"${flag_data}" placeholder:"DIR"`
	File string `arg:"" help:"FILE"`
}

func (c *importCmd) Run(e *env) error {
	f, err := os.Open(c.File)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", c.File)
	}
	defer f.Close()
	n, err := openOffline(e, c.Data)
	if err != nil {
		return err
	}
	defer n.Close()
	bar := e.counter()
	total := int64(0)
	err = n.Import(e.ctx, bufio.NewReaderSize(f, 1<<20), func(p registry.Progress) { total = p.Done; bar.Set64(p.Done) })
	bar.Finish()
	if err != nil {
		return problem.Wrap(err, problem.KindOf(err), "the import stopped behind %d records, which stay; run it again to go on", "导入在 %d 条记录后停止，已导入的保留；再次运行即可继续", total)
	}
	e.print("%d records were imported", "已导入 %d 条记录", total)
	return nil
}

// still keeps the library from drawing in a goroutine of its own, which goes on beside the last drawing.
var still = progressbar.OptionSetSpinnerChangeInterval(0)

// counter shows how many things a long work has done.
func (e *env) counter() *progressbar.ProgressBar {
	if !e.terminal {
		return progressbar.NewOptions64(-1, progressbar.OptionSetVisibility(false), still)
	}
	return progressbar.NewOptions64(-1, still, progressbar.OptionSetWriter(e.err), progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
}
