package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust/ledger"
)

// auditCmd looks at a node's log from outside, or checks a proof from it.
type auditCmd struct {
	Log     string   `arg:"" help:"${flag_log}" placeholder:"URL|DIR|PROOF"`
	LogKey  string   `help:"${flag_log_key}" placeholder:"VKEY"`
	State   string   `help:"${flag_state}" placeholder:"FILE"`
	Witness []string `help:"${flag_witness}" placeholder:"VKEY" sep:"none"`
	Quorum  int      `help:"${flag_quorum}" default:"-1" placeholder:"N"`
	Prefix  string   `help:"${flag_audit_prefix}" placeholder:"PREFIX"`
	Full    bool     `help:"${flag_full}"`
	Copy    string   `help:"${flag_copy}" placeholder:"DIR"`
	JSON    bool     `help:"${flag_json}"`
}

func (c *auditCmd) Run(e *env) error {
	var key ledger.Verifier
	var err error
	if c.LogKey != "" {
		if key, err = ledger.ParseVerifier(c.LogKey); err != nil {
			return err
		}
	}
	var witnesses []ledger.Verifier
	for _, w := range c.Witness {
		v, err := ledger.ParseVerifier(w)
		if err != nil {
			return err
		}
		if !v.IsWitness() {
			return problem.New(problem.BadValue, "%s is a log's key, not a witness's", "%s 是账本的密钥，而非见证者的密钥", v.Name())
		}
		witnesses = append(witnesses, v)
	}
	if c.Quorum < 0 {
		c.Quorum = len(witnesses)
	}
	web := strings.HasPrefix(c.Log, "http://") || strings.HasPrefix(c.Log, "https://")
	if !web {
		info, err := os.Stat(c.Log)
		if err != nil {
			return problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", c.Log)
		}
		if !info.IsDir() {
			return c.proof(e, key, witnesses)
		}
	}
	return c.look(e, web, key, witnesses)
}

func (c *auditCmd) look(e *env, web bool, key ledger.Verifier, witnesses []ledger.Verifier) error {
	files := ledger.In(c.Log)
	if web {
		// What is read is signed; the connection need not be trusted.
		files = ledger.At(c.Log, &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 32, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}})
	}
	path := c.State
	if path == "" {
		path = defaultSeen(c.Log)
	}
	seen, err := readSeen(path)
	if err != nil {
		return err
	}
	if seen != nil && !key.IsZero() && seen.Key != key {
		return problem.New(problem.BadValue, "the state file %s is about another log: take another one", "状态文件 %s 属于其他账本：请换用其他文件", path)
	}
	a := ledger.Auditor{Files: files, Key: key, Witnesses: witnesses, Quorum: c.Quorum, Seen: seen, Full: c.Full || c.Prefix != ""}
	var delegations []ledger.ChangeOf
	if c.Prefix != "" {
		name := handle.Fold("0.NA/" + c.Prefix)
		a.Visit = func(seq uint64, line []byte) error {
			var d ledger.ChangeOf
			if line == nil || json.Unmarshal(line, &d) != nil {
				return nil
			}
			if got := handle.Fold(d.ID); got == name || strings.HasPrefix(got, name+".") {
				delegations = append(delegations, d)
			}
			return nil
		}
	}
	f, err := a.Look(e.ctx)
	if err != nil {
		var fork *ledger.Fork
		if errors.As(err, &fork) {
			if file, werr := keepEvidence(path, fork); werr == nil {
				fmt.Fprintln(e.err, e.say("the two signed checkpoints that prove it are in %s", "可作证据的两个已签名检查点保存在 %s", file))
			}
		}
		return err
	}
	if c.Copy != "" {
		if _, err := ledger.Copy(e.ctx, files, c.Copy); err != nil {
			return err
		}
	}
	if err := writeSeen(path, &f.Seen); err != nil {
		return err
	}
	if c.JSON {
		out := struct {
			Origin      string               `json:"origin"`
			Key         ledger.Verifier      `json:"key"`
			Entries     int64                `json:"entries"`
			Root        string               `json:"root"`
			Before      int64                `json:"before"`
			Looked      int64                `json:"looked"`
			Readable    int64                `json:"readable"`
			Witnesses   []ledger.Cosignature `json:"witnesses"`
			Delegations []ledger.ChangeOf    `json:"delegations,omitempty"`
		}{f.Checkpoint.Origin, f.Seen.Key, f.Checkpoint.Size, f.Checkpoint.Root.String(), f.Before, f.Looked, f.Readable, f.By, delegations}
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	e.print("%s: %d entries, root %s", "%s：%d 项，根哈希 %s", f.Checkpoint.Origin, f.Checkpoint.Size, f.Checkpoint.Root.String())
	if seen == nil {
		e.print("first look: %d entries were read, and each is in the tree that the log signed", "首次查验：读取 %d 项，均在账本所签的树中", f.Looked)
	} else {
		e.print("%d entries more than at the last look, and those of then unchanged; %d were read now", "比上次查验多 %d 项，此前各项未变；本次读取 %d 项", f.Checkpoint.Size-f.Before, f.Looked)
	}
	if f.FirstKey {
		e.print("its key was taken on trust, and is remembered: %s", "其密钥为首次见到、予以采信并记住：%s", f.Seen.Key.String())
	}
	for _, w := range f.By {
		e.print("co-signed by %s at %s", "由 %s 于 %s 联署", w.Witness, w.Time.Format(time.RFC3339))
	}
	if c.Prefix != "" {
		for _, d := range delegations {
			e.print("entry %d  %s  %s %s by %s", "第 %d 项  %s  %s %s，操作者 %s", d.Seq, d.Time.Format(time.RFC3339), d.Op, d.ID, d.By)
		}
		e.print("these are all %d changes of the delegation of %s that were ever logged", "以上 %d 项是 %s 的委派所有记入账本的变更", len(delegations), c.Prefix)
	}
	return nil
}

// proof checks a proof that was saved.
func (c *auditCmd) proof(e *env, key ledger.Verifier, witnesses []ledger.Verifier) error {
	if key.IsZero() {
		return problem.New(problem.BadRequest, "a proof is checked with the log's key: give --log-key, as GET /ledger/changes/vkey of its node shows it", "校验证明需要账本的密钥：请用 --log-key 给出，见节点的 GET /ledger/changes/vkey")
	}
	b, err := os.ReadFile(c.Log)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", c.Log)
	}
	p, err := ledger.ParseProof(b)
	if err != nil {
		return err
	}
	v, err := p.Verify(key, witnesses, c.Quorum)
	if err != nil {
		return err
	}
	e.print("entry %d of %s is in the tree of %d entries that the log signed", "%[2]s 的第 %[1]d 项在账本所签的 %[3]d 项的树中", p.Entry, v.Checkpoint.Origin, v.Checkpoint.Size)
	for _, w := range v.By {
		e.print("co-signed by %s at %s", "由 %s 于 %s 联署", w.Witness, w.Time.Format(time.RFC3339))
	}
	line := p.Line
	if line == "" && v.Members != nil {
		line = string(p.Leaf)
	}
	if line == "" {
		e.print("what it says was not shown", "其内容未出示")
		return nil
	}
	fmt.Fprintln(e.out, line)
	for _, o := range p.Opened {
		text := string(o.Value)
		if o.Name == "values" {
			text = hex.EncodeToString(o.Value)
		}
		fmt.Fprintf(e.out, "%s = %s\n", o.Name, text)
	}
	return nil
}

// defaultSeen is where it is remembered what was seen of a log.
func defaultSeen(log string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	if abs, err := filepath.Abs(log); err == nil && !strings.Contains(log, "://") {
		log = abs
	}
	h := sha256.Sum256([]byte(strings.TrimSuffix(log, "/")))
	return filepath.Join(dir, "fujie", "audit", hex.EncodeToString(h[:8])+".json")
}

func readSeen(path string) (*ledger.Seen, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var s ledger.Seen
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the state file %s cannot be read; take another one, and look from the start", "状态文件 %s 无法读取；请换用其他文件，从头查验", path)
	}
	return &s, nil
}

func writeSeen(path string, s *ledger.Seen) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = writeNew(path, append(b, '\n'))
	}
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "what was seen cannot be kept in %s; name a file with --state", "无法把查验结果保存到 %s；请用 --state 指定文件", path)
	}
	return nil
}

func keepEvidence(path string, f *ledger.Fork) (string, error) {
	if path == "" {
		return "", context.Canceled
	}
	path += ".evidence"
	return path, writeNew(path, []byte(f.A+"\n"+f.B))
}

// writeNew replaces a file at once.
func writeNew(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".part"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
