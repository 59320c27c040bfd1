package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// nodeInitCmd makes a node and lets it join: keys, configuration, application, approval, start, a look from outside. Run
// again in the same folder, it goes on where it stopped.
type nodeInitCmd struct {
	Data      string          `help:"${flag_node_data}" placeholder:"DIR" required:""`
	Role      node.Role       `help:"${flag_role}" enum:"second-level,enterprise,national" default:"enterprise"`
	Prefix    string          `help:"${flag_prefix}" placeholder:"88.118" required:""`
	Parent    string          `help:"${flag_parent}" placeholder:"URL" required:""`
	ParentKey string          `help:"${flag_parent_key}" placeholder:"SHA256:…"`
	Org       string          `help:"${flag_org}" placeholder:"FILE" required:""`
	IRP       string          `help:"${flag_irp}" placeholder:"ADDR" default:"0.0.0.0:2641"`
	HTTP      string          `help:"${flag_http}" placeholder:"ADDR" default:"0.0.0.0:8080"`
	Public    string          `help:"${flag_public_ip}" placeholder:"IP"`
	Store     string          `help:"${flag_store}" placeholder:"URL"`
	Algorithm trust.Algorithm `help:"${flag_algorithm}" default:"ed25519"`
	Private   bool            `help:"${flag_private}" name:"allow-private"`
	Note      string          `help:"${flag_note}"`
	Wait      time.Duration   `help:"${flag_wait}" default:"0"`
	NoRun     bool            `help:"${flag_no_run}"`
	ReadyFile string          `help:"${flag_ready}" placeholder:"FILE"`
}

// joined is what the folder remembers of the application.
type joined struct {
	Parent      string `json:"parent"`
	ParentKey   string `json:"parentKey,omitempty"`
	Application string `json:"application"`
}

const joinFile = "application.json"

func (c *nodeInitCmd) Run(e *env) error {
	org, err := readOrganisation(c.Org)
	if err != nil {
		return err
	}
	// The node's logs and site are known by its name: it stays when the folder moves, or is restored elsewhere.
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "the data folder %q has no place", "数据目录 %q 无法定位", c.Data)
	}
	cfg := &node.Config{Name: filepath.Base(data), Role: c.Role, Prefix: c.Prefix, Data: c.Data, Store: c.Store, Public: c.Public, Algorithm: c.Algorithm,
		Listen: node.Listen{IRP: c.IRP, HTTP: c.HTTP}, AllowPrivate: c.Private,
		Parent: &node.Peer{URL: c.Parent, Key: c.ParentKey}}
	if _, err := os.Stat(filepath.Join(c.Data, node.ConfigFile)); err != nil {
		// The parent is asked to witness this node's logs, if it does that.
		if vkey, err := c.fetch(e.ctx, "/ledger/witness/vkey"); err == nil {
			cfg.Ledger.Witnesses = []node.WitnessPeer{{URL: c.Parent, Key: c.ParentKey, Vkey: strings.TrimSpace(string(vkey))}}
		} else if !problem.Is(err, problem.NotFound) {
			return err
		}
	}
	if cfg, err = node.Prepare(cfg); err != nil {
		return err
	}
	place, prefixKey, err := node.Describe(cfg)
	if err != nil {
		return err
	}
	e.print("1 keys and %s are in %s; keep keys/prefix.pem as you keep a seal", "1 密钥和 %s 已写入 %s；请像保管印章一样保管 keys/prefix.pem", node.ConfigFile, cfg.Data)

	hints, err := c.hints(e.ctx, cfg)
	if err != nil {
		return err
	}
	e.print("2 the root's key is %s; compare it with what the root's operator publishes", "2 根密钥为 %s；请与根节点运营者公布的核对", hints.Anchors[0].Fingerprint())

	key, err := trust.ReadFile(node.PrefixKeyPath(cfg.Data), nil)
	if err != nil {
		return err
	}
	desk := &office.Client{Base: c.Parent, Pin: c.ParentKey, Lang: e.lang}
	defer desk.Close()
	form := office.Form{Prefix: c.Prefix, Kind: office.SelfHosted, Organisation: org, Key: prefixKey.Data(), Sites: []office.Site{office.SiteOf(place)}, Note: c.Note}
	j, err := c.apply(e, cfg, desk, form, key)
	if err != nil {
		return err
	}
	e.print("3 the application is %s at %s", "3 申请编号 %s，受理方 %s", j.Application, c.Parent)

	ctx := e.ctx
	if c.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Wait)
		defer cancel()
	}
	e.print("4 waiting for its approval; interrupt whenever you like, and run the same command again to go on", "4 等待审批；可随时中断，再次运行同一命令即继续")
	v, err := desk.As(j.Application, key).Wait(ctx, j.Application, 2*time.Second)
	if err != nil {
		if ctx.Err() != nil && e.ctx.Err() == nil {
			return codeError{code: exitInterrupted, err: problem.Wrap(err, problem.Canceled, "%s is not decided on yet; run the same command again later", "%s 尚未审结；请稍后再次运行同一命令", j.Application)}
		}
		return err
	}
	switch v.State {
	case office.Active:
	case office.Refused:
		why := ""
		if n := len(v.Events); n > 0 {
			why = v.Events[n-1].Why
		}
		return problem.New(problem.Forbidden, "the application was refused: %s; correct it with fujie office, or propose another prefix", "申请被驳回：%s；可用 fujie office 更正，或另提前缀", why)
	default:
		return problem.New(problem.Forbidden, "the application is %s", "申请状态为 %s", v.State)
	}
	// The office writes down that the prefix resolves a moment after it is active.
	for range 30 {
		if !v.Timing.Resolvable.IsZero() || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		if now, _, err := desk.As(j.Application, key).Get(ctx, j.Application); err == nil {
			v = now
		}
	}
	if !v.Timing.Resolvable.IsZero() {
		e.print("5 approved; %s resolved %.2f s after the approval", "5 已批准；批准 %[2].2f 秒后 %[1]s 可解析", c.Prefix, v.Timing.Seconds)
	} else {
		e.print("5 approved", "5 已批准")
	}
	if c.NoRun {
		e.print("start it: fujie node run --config %s", "启动：fujie node run --config %s", filepath.Join(cfg.Data, node.ConfigFile))
		return nil
	}
	return c.run(e, cfg)
}

// run starts the node, has it looked at from outside, and stays.
func (c *nodeInitCmd) run(e *env, cfg *node.Config) error {
	run := &nodeRunCmd{Config: filepath.Join(cfg.Data, node.ConfigFile), ReadyFile: c.ReadyFile, started: func(ctx context.Context) {
		parent := &web.Client{Base: c.Parent, Pin: c.ParentKey}
		defer parent.Close()
		var seen struct {
			Reachable bool    `json:"reachable"`
			Millis    float64 `json:"millis"`
			Why       string  `json:"why"`
		}
		status, b, err := parent.Exchange(ctx, http.MethodGet, "/api/reachable/"+url.PathEscape(c.Prefix), nil)
		switch {
		case err != nil:
			e.print("6 %s could not be asked to look from outside: %s", "6 无法请 %s 从外部检查：%s", c.Parent, e.sentence(err))
		case status != http.StatusOK || json.Unmarshal(b, &seen) != nil:
			e.print("6 %s could not look from outside (HTTP %d)", "6 %s 无法从外部检查（HTTP %d）", c.Parent, status)
		case !seen.Reachable:
			e.print("6 from outside it cannot be reached: %s. Open the ports in the firewall, or correct --public", "6 从外部无法访问：%s。请在防火墙放行端口，或更正 --public", seen.Why)
		default:
			e.print("6 seen from outside in %.0f ms, from the root down", "6 外部自根节点起 %.0f 毫秒可达", seen.Millis)
		}
		e.print("next:\n  fujie register --data %[1]s FILE        register identifiers (while the node is stopped), or\n  fujie register --server https://HOST:PORT --as 300:0.NA/%[2]s --key %[1]s/keys/prefix.pem FILE\n  fujie account --help                    people, programs, roles\n  fujie backup --server https://HOST:PORT --as 300:0.NA/%[2]s --key %[1]s/keys/prefix.pem --out FILE   a backup, while it runs\n  /usr/share/doc/fujie, docs/journeys/operator.md",
			"接下来：\n  fujie register --data %[1]s 文件        登记标识（节点停止时），或\n  fujie register --server https://主机:端口 --as 300:0.NA/%[2]s --key %[1]s/keys/prefix.pem 文件\n  fujie account --help                    用户、应用与角色\n  fujie backup --server https://主机:端口 --as 300:0.NA/%[2]s --key %[1]s/keys/prefix.pem --out 文件   运行中备份\n  /usr/share/doc/fujie，docs/journeys/operator.md", cfg.Data, cfg.Prefix)
	}}
	return run.Run(e)
}

// readOrganisation reads who applies from YAML or JSON, by the names of the application form.
func readOrganisation(path string) (o office.Organisation, err error) {
	b, err := os.ReadFile(path)
	if err == nil {
		// The form's names are those of its JSON.
		if b, err = yaml.YAMLToJSON(b); err == nil {
			err = json.Unmarshal(b, &o)
		}
	}
	if err != nil {
		return o, problem.Wrap(err, problem.BadRequest, "the organisation in %s cannot be read; it holds orgName, orgCrtType, orgCrtCode, contact …", "无法读取 %s 中的单位信息；应含 orgName、orgCrtType、orgCrtCode、contact 等", path)
	}
	return o, nil
}

// hints fetches where the root is from the parent, once.
func (c *nodeInitCmd) hints(ctx context.Context, cfg *node.Config) (*node.Hints, error) {
	h, err := node.ReadHints(cfg.Hints)
	if err == nil || !errors.Is(err, os.ErrNotExist) && problem.KindOf(err) != problem.BadRequest {
		return h, err
	}
	b, err := c.fetch(ctx, "/api/hints")
	if err != nil {
		return nil, err
	}
	if err := node.WriteFile(cfg.Hints, b); err != nil {
		return nil, err
	}
	return node.ReadHints(cfg.Hints)
}

// fetch gets a small file that the parent shows to everybody.
func (c *nodeInitCmd) fetch(ctx context.Context, path string) ([]byte, error) {
	t := &http.Transport{TLSClientConfig: web.PinnedTLS(c.ParentKey)}
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Parent, "/")+path, nil)
	if err != nil || req.URL.Scheme != "https" {
		return nil, problem.Wrap(err, problem.BadRequest, "%q is no address; write it as in https://192.0.2.1:8080", "%q 不是地址；请写成 https://192.0.2.1:8080", c.Parent)
	}
	resp, err := (&http.Client{Transport: t, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unreachable, "%s cannot be reached, or shows another key than --parent-key says; its operator prints that with fujie key show", "无法访问 %s，或其密钥与 --parent-key 不符；其运营者可用 fujie key show 显示指纹", c.Parent)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return nil, problem.Wrap(err, problem.Unreachable, "the answer of %s broke off", "%s 的应答中断", c.Parent)
	case resp.StatusCode != http.StatusOK:
		return nil, problem.New(problem.NotFound, "%s has nothing at %s (HTTP %d)", "%s 处没有 %s（HTTP %d）", c.Parent, path, resp.StatusCode)
	}
	return b, nil
}

// apply sends the application, once for a folder.
func (c *nodeInitCmd) apply(e *env, cfg *node.Config, desk *office.Client, form office.Form, key *trust.PrivateKey) (j joined, err error) {
	path := filepath.Join(cfg.Data, joinFile)
	if b, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(b, &j); err != nil || j.Application == "" {
			return j, problem.New(problem.BadRequest, "%s is damaged; remove it to apply anew", "%s 已损坏；删除后可重新申请", path)
		}
		if j.Parent != c.Parent {
			return j, problem.New(problem.Conflict, "this folder's application is at %s, not at %s", "此目录的申请由 %s 受理，而非 %s", j.Parent, c.Parent)
		}
		return j, nil
	}
	v, err := desk.Apply(e.ctx, form, key, false)
	if err != nil {
		return j, err
	}
	j = joined{Parent: c.Parent, ParentKey: c.ParentKey, Application: v.ID}
	b, err := json.Marshal(j)
	if err != nil {
		return j, err
	}
	return j, node.WriteFile(path, b)
}
