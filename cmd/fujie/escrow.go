package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fujie-id/fujie/escrow"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

type escrowCmd struct {
	Deposit escrowDepositCmd `cmd:"" help:"${escrow_deposit}"`
	List    escrowListCmd    `cmd:"" help:"${escrow_list}"`
	Restore escrowRestoreCmd `cmd:"" help:"${escrow_restore}"`
}

// depot is where deposits lie, and of which prefix they are.
type depot struct {
	Place   string `required:"" help:"${esc_place}" placeholder:"DIR|sftp://…"`
	Prefix  string `required:"" help:"${esc_prefix}" placeholder:"88.118"`
	SSHKey  string `help:"${esc_sshkey}" placeholder:"FILE"`
	SSHHost string `help:"${esc_sshhost}" placeholder:"FILE"`
}

func (d *depot) open(ctx context.Context) (escrow.Place, error) {
	if !strings.HasPrefix(d.Place, "sftp:") {
		return escrow.Folder(d.Place)
	}
	var login escrow.SSH
	for _, f := range []struct {
		name string
		set  func([]byte)
	}{{d.SSHKey, func(b []byte) { login.Key = b }}, {d.SSHHost, func(b []byte) { login.Host = string(b) }}} {
		if f.name == "" {
			return nil, problem.New(problem.BadRequest, "an SFTP server needs --ssh-key and --ssh-host", "SFTP 服务器须配合 --ssh-key 与 --ssh-host")
		}
		b, err := os.ReadFile(f.name)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", f.name)
		}
		f.set(b)
	}
	return escrow.SFTP(ctx, d.Place, login)
}

type escrowDepositCmd struct {
	depot
	Data   string   `required:"" help:"${flag_data}" placeholder:"DIR"`
	To     []string `required:"" help:"${esc_seal}" placeholder:"age1…|FILE"`
	Kind   string   `help:"${esc_kind}" enum:"auto,full,diff" default:"auto"`
	Volume int64    `help:"${esc_volume}" default:"1024" placeholder:"MiB"`
	Key    string   `help:"${esc_key}" placeholder:"FILE"`
	Log    string   `help:"${esc_log}" placeholder:"FILE"`
}

func (c *escrowDepositCmd) Run(e *env) error {
	to, err := recipients(c.To)
	if err != nil {
		return err
	}
	if c.Volume < 1 {
		return problem.New(problem.BadRequest, "--volume takes 1 MiB or more", "--volume 至少为 1 MiB")
	}
	n, err := openOffline(e, c.Data)
	if err != nil {
		return problem.Wrap(err, problem.KindOf(err), "the node cannot be opened; one that runs makes its deposits itself: POST /api/escrow", "无法打开节点；运行中的节点自行托管：POST /api/escrow")
	}
	defer n.Close()
	file := c.Key
	if file == "" {
		file = node.PrefixKeyPath(c.Data)
	}
	key, err := trust.ReadFile(file, nil)
	if err != nil {
		return err
	}
	place, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer place.Close()
	log := c.Log
	if log == "" {
		log = filepath.Join(c.Data, "escrow-log.jsonl")
	}
	kind := escrow.Kind(strings.ToUpper(c.Kind))
	if c.Kind == "auto" {
		kind = escrow.Auto
	}
	bar := e.counter()
	m, err := escrow.Make(e.ctx, escrow.Config{Source: n.Registry, Place: place, Prefix: c.Prefix, Kind: kind, To: to, Key: key, Volume: c.Volume << 20, Log: log,
		Progress: func(n int64) { bar.Set64(n) }})
	bar.Finish()
	if err != nil {
		return err
	}
	e.print("%s deposit %s: %d records, %d gone, %d volumes of %d bytes in all; signed by %s", "%s 托管 %s：%d 条记录，%d 条已删除，%d 个分卷共 %d 字节；签名 %s",
		m.Kind, m.Deposit, m.Records, m.Gone, len(m.Volumes), m.Size, key.Public().Fingerprint())
	return nil
}

type escrowListCmd struct {
	depot
	Signer string `required:"" help:"${esc_signer}" placeholder:"SHA256:…"`
	JSON   bool   `name:"json" help:"${flag_json}"`
}

func (c *escrowListCmd) Run(e *env) error {
	place, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer place.Close()
	all, err := escrow.Deposits(e.ctx, place, c.Prefix, c.Signer)
	if err != nil {
		return err
	}
	for _, m := range all {
		if c.JSON {
			b, err := json.Marshal(m)
			if err != nil {
				return err
			}
			fmt.Fprintln(e.out, string(b))
			continue
		}
		fmt.Fprintf(e.out, "%4d  %s  %s  %s  %d\n", m.Rev, m.Made.Local().Format("2006-01-02 15:04"), m.Kind, m.Deposit, m.Records)
	}
	if len(all) == 0 {
		return codeError{exitAbsent, problem.New(problem.NotFound, "there is no deposit of %s here that %s signed", "此处没有 %[2]s 签名的 %[1]s 托管", c.Prefix, c.Signer)}
	}
	return nil
}

type escrowRestoreCmd struct {
	depot
	Data     string `required:"" help:"${flag_data}" placeholder:"DIR"`
	Identity string `required:"" help:"${esc_identity}" placeholder:"FILE"`
	Signer   string `required:"" help:"${esc_signer}" placeholder:"SHA256:…"`
	Until    string `help:"${esc_until}" placeholder:"DEPOSIT"`
}

func (c *escrowRestoreCmd) Run(e *env) error {
	ids, err := identities(c.Identity)
	if err != nil {
		return err
	}
	place, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer place.Close()
	n, err := openOffline(e, c.Data)
	if err != nil {
		return err
	}
	defer n.Close()
	bar := e.counter()
	got, err := escrow.Restore(e.ctx, escrow.Restoring{Place: place, Prefix: c.Prefix, Signer: c.Signer, IDs: ids, Until: c.Until, Into: n.Registry,
		Progress: func(n int64) { bar.Set64(n) }})
	bar.Finish()
	if err != nil {
		return err
	}
	last := got.Deposits[len(got.Deposits)-1]
	e.print("%s is back as of %s: %d records from %d deposits", "%s 已恢复到 %s：%d 条记录，来自 %d 次托管", c.Prefix, last.Made.Local().Format("2006-01-02 15:04:05"), got.Records, len(got.Deposits))
	return nil
}
