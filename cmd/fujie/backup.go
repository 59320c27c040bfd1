package main

import (
	"context"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/fujie-id/fujie/escrow"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/store/open"
)

type backupCmd struct {
	access
	Out string   `required:"" help:"${flag_out}" placeholder:"FILE"`
	To  []string `help:"${esc_seal}" placeholder:"age1…|FILE"`
}

// recipients reads age keys as they are, and others from files.
func recipients(list []string) (out []escrow.Recipient, err error) {
	for _, s := range list {
		if !strings.HasPrefix(s, "age1") {
			b, err := os.ReadFile(s)
			if err != nil {
				return nil, problem.Wrap(err, problem.BadRequest, "%q is neither an age public key nor a file that can be read", "%q 既不是 age 公钥，也不是可读取的文件", s)
			}
			s = string(b)
		}
		r, err := escrow.ParseRecipient(s)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// identities reads the private keys that open what was sealed; none without a file.
func identities(file string) ([]escrow.Identity, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", file)
	}
	return escrow.ParseIdentities(b)
}

func (c *backupCmd) Run(e *env) error {
	to, err := recipients(c.To)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.Out+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "cannot write %s", "无法写入 %s", c.Out)
	}
	defer os.Remove(c.Out + ".part")
	defer f.Close()
	if c.Server != "" {
		err = c.download(e.ctx, f, to)
	} else {
		err = c.offline(e, f, to)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(c.Out+".part", c.Out)
	}
	if err != nil {
		return problem.Wrap(err, problem.KindOf(err), "the backup was not finished; %s was not written", "备份未完成；未写出 %s", c.Out)
	}
	info, err := os.Stat(c.Out)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "cannot read %s", "无法读取 %s", c.Out)
	}
	e.print("the node is in %s (%d bytes)", "节点已备份到 %s（%d 字节）", c.Out, info.Size())
	if len(to) == 0 {
		e.print("it holds the node's keys in the clear: keep it like a key, or give --to", "其中含有未加密的节点密钥：请像密钥一样保管，或使用 --to 加密")
	}
	return nil
}

// download asks a node that runs.
func (c *backupCmd) download(ctx context.Context, w io.Writer, to []escrow.Recipient) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	q := url.Values{}
	for i, s := range c.To {
		if !strings.HasPrefix(s, "age1") {
			b, err := os.ReadFile(s)
			if err != nil {
				return problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", s)
			}
			s = string(b)
		}
		q.Add("to", s)
		_ = to[i]
	}
	body, err := client.Download(ctx, "/api/backup?"+q.Encode())
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil {
		return problem.Wrap(err, problem.Unreachable, "the backup broke off on the way", "备份在传输中中断")
	}
	return nil
}

// offline reads the folder of a node that does not run.
func (c *backupCmd) offline(e *env, w io.Writer, to []escrow.Recipient) error {
	dir := c.Data
	if dir == "" {
		return problem.New(problem.BadRequest, "say which node: --data DIR, or --server URL while it runs", "请指明节点：--data 目录；运行中的节点用 --server 地址")
	}
	cfg, err := node.Load(filepath.Join(dir, "node.yaml"))
	if err != nil {
		return err
	}
	s, err := open.Open(e.ctx, cfg.Store, nil)
	if err != nil {
		return problem.Wrap(err, problem.KindOf(err), "the node's store cannot be opened; if the node runs, ask it: --server URL --as … --key …",
			"无法打开节点的存储；若节点正在运行，请用 --server 地址 --as … --key …")
	}
	defer s.Close()
	bar := e.counter()
	defer bar.Finish()
	_, err = escrow.Backup(e.ctx, w, escrow.Node{Name: cfg.Name, Version: version, Folder: dir, Skip: []string{storeFolder(cfg.Store)}, Store: s,
		Progress: func(n int64) { bar.Set64(n) }}, to)
	return err
}

// storeFolder is where a store's address leads, when it is a folder.
func storeFolder(address string) string {
	if rest, ok := strings.CutPrefix(address, "pebble://"); ok {
		address, _, _ = strings.Cut(rest, "?")
	}
	if abs, err := filepath.Abs(address); err == nil {
		return abs
	}
	return address
}

type restoreCmd struct {
	File     string `arg:"" help:"FILE"`
	Data     string `required:"" help:"${esc_data}" placeholder:"DIR"`
	Identity string `help:"${esc_identity}" placeholder:"FILE"`
}

func (c *restoreCmd) Run(e *env) error {
	ids, err := identities(c.Identity)
	if err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", c.File)
	}
	defer f.Close()
	if _, err := escrow.CheckBackup(e.ctx, f, ids); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return problem.Wrap(err, problem.BadRequest, "cannot read %s twice: it must be a file", "无法再次读取 %s：须为文件", c.File)
	}
	final, err := filepath.Abs(c.Data)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "the folder %q has no place", "目录 %q 无法定位", c.Data)
	}
	s, err := escrow.RestoreBackup(e.ctx, f, final, ids, func(dir string) (store.Store, error) {
		cfg, err := node.Load(filepath.Join(dir, "node.yaml"))
		if err != nil {
			return nil, err
		}
		address := cfg.Store
		// A configuration that says its folder in full means the one that is not there yet.
		if rel, err := filepath.Rel(final, storeFolder(address)); err == nil && filepath.IsLocal(rel) {
			address = filepath.Join(dir, rel)
		}
		return open.Open(e.ctx, address, nil)
	})
	if err != nil {
		return err
	}
	e.print("%s of %s is back in %s: %d files, %d entries of its store", "%[2]s 的 %[1]s 已恢复到 %[3]s：%[4]d 个文件，%[5]d 条存储项",
		s.Name, s.Made.Local().Format("2006-01-02 15:04"), c.Data, s.Files, s.Keys)
	e.print("what was changed since then is lost here; let it catch up from another site, if there is one, before it takes changes",
		"此后的更改不在其中；若有其他站点，请先同步再接受更改")
	return nil
}

type upgradeCmd struct {
	Data string `required:"" help:"${flag_data}" placeholder:"DIR"`
}

// Run opens everything that a start would open, and says whether this version can work with it. What an older version
// wrote is brought to the present form by that; so far there is one form.
func (c *upgradeCmd) Run(e *env) error {
	n, err := openOffline(e, c.Data)
	if err != nil {
		return problem.Wrap(err, problem.KindOf(err), "version %s cannot work with %s yet", "版本 %s 尚不能使用 %s", version, c.Data)
	}
	defer n.Close()
	last, err := n.Last(e.ctx)
	if err != nil {
		return err
	}
	e.print("%s is in the form of this version (%s): configuration, keys and store open, change %d is the last; start it", "%s 已符合本版本（%s）的格式：配置、密钥与存储均可打开，最后一条变更为 %d；可以启动",
		c.Data, version, last)
	return nil
}
