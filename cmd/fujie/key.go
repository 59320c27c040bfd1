package main

import (
	"fmt"
	"os"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
)

type keyCmd struct {
	New     keyNewCmd     `cmd:"" help:"${key_new}"`
	Show    keyShowCmd    `cmd:"" help:"${key_show}"`
	Convert keyConvertCmd `cmd:"" help:"${key_convert}"`
}

type keyNewCmd struct {
	Algorithm string `help:"${flag_algorithm}" default:"ed25519"`
	Out       string `required:"" help:"${flag_out}" placeholder:"FILE"`
	To        string `help:"${flag_to}" default:"pem"`
	Pass      string `help:"${flag_pass}" placeholder:"FILE"`
}

func (c *keyNewCmd) Run(e *env) error {
	alg, err := trust.ParseAlgorithm(c.Algorithm)
	if err != nil {
		return err
	}
	form, err := trust.ParseFormat(c.To)
	if err != nil {
		return err
	}
	pass, err := passphrase(c.Pass)
	if err != nil {
		return err
	}
	if exists(c.Out) {
		return problem.New(problem.Exists, "%s exists; a key is never written over, move it away first", "%s 已存在；密钥不会被覆盖，请先移走", c.Out)
	}
	k, err := trust.Generate(alg, nil)
	if err != nil {
		return err
	}
	if err := k.WriteFile(c.Out, form, pass); err != nil {
		return err
	}
	fmt.Fprintln(e.out, k.Public().Fingerprint())
	return nil
}

type keyShowCmd struct {
	File string `arg:"" help:"FILE"`
	Pass string `help:"${flag_pass}" placeholder:"FILE"`
}

// readKey reads a key file of any form, of either half.
func readKey(file, passFile string) (*trust.PrivateKey, trust.PublicKey, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, trust.PublicKey{}, problem.Wrap(err, problem.BadRequest, "cannot read the key", "无法读取密钥")
	}
	pass, err := passphrase(passFile)
	if err != nil {
		return nil, trust.PublicKey{}, err
	}
	k, err := trust.ParsePrivate(b, pass)
	if err == nil {
		return k, k.Public(), nil
	}
	if p, perr := trust.ParsePublicAny(b); perr == nil {
		return nil, p, nil
	}
	return nil, trust.PublicKey{}, err
}

func passphrase(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read the passphrase", "无法读取口令")
	}
	return trimNewline(b), nil
}

func (c *keyShowCmd) Run(e *env) error {
	k, p, err := readKey(c.File, c.Pass)
	if err != nil {
		return err
	}
	half := e.say("public key", "公钥")
	if k != nil {
		half = e.say("private key", "私钥")
	}
	fmt.Fprintf(e.out, "%s %s\n%s\n%s\n%s", p.Algorithm(), half, p.Fingerprint(), p.MarshalJWK(), p.MarshalPEM())
	return nil
}

type keyConvertCmd struct {
	File   string `arg:"" help:"FILE"`
	To     string `required:"" help:"${flag_to}"`
	Out    string `required:"" help:"${flag_out}" placeholder:"FILE"`
	Public bool   `help:"${flag_public}"`
	Pass   string `help:"${flag_pass}" placeholder:"FILE"`
}

func (c *keyConvertCmd) Run(e *env) error {
	form, err := trust.ParseFormat(c.To)
	if err != nil {
		return err
	}
	k, p, err := readKey(c.File, c.Pass)
	if err != nil {
		return err
	}
	if exists(c.Out) {
		return problem.New(problem.Exists, "%s exists; a key is never written over, move it away first", "%s 已存在；密钥不会被覆盖，请先移走", c.Out)
	}
	if c.Public || k == nil {
		err = node.WriteFile(c.Out, p.Marshal(form))
	} else {
		var pass []byte
		if pass, err = passphrase(c.Pass); err == nil {
			err = k.WriteFile(c.Out, form, pass)
		}
	}
	if err != nil {
		return err
	}
	e.print("%s is written", "已写出 %s", c.Out)
	return nil
}
