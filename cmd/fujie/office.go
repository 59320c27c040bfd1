package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

type officeCmd struct {
	Info     officeInfoCmd     `cmd:"" help:"${office_info}"`
	Apply    officeApplyCmd    `cmd:"" help:"${office_apply}"`
	Status   officeStatusCmd   `cmd:"" help:"${office_status}"`
	List     officeListCmd     `cmd:"" help:"${office_list}"`
	Submit   officeSubmitCmd   `cmd:"" help:"${office_submit}"`
	Withdraw officeWithdrawCmd `cmd:"" help:"${office_withdraw}"`
	Review   officeReviewCmd   `cmd:"" help:"${office_review}"`
	Approve  officeApproveCmd  `cmd:"" help:"${office_approve}"`
	Refuse   officeRefuseCmd   `cmd:"" help:"${office_refuse}"`
	Suspend  officeSuspendCmd  `cmd:"" help:"${office_suspend}"`
	Resume   officeResumeCmd   `cmd:"" help:"${office_resume}"`
	Renew    officeRenewCmd    `cmd:"" help:"${office_renew}"`
	Revoke   officeRevokeCmd   `cmd:"" help:"${office_revoke}"`
	Move     officeMoveCmd     `cmd:"" help:"${office_move}"`
}

// toOffice is the flags that say which office a command speaks to, and as whom: its operator, by the folder of a
// country; an applicant, by the key of the application; anybody, by --as.
type toOffice struct {
	Data   string `help:"${flag_data}" placeholder:"DIR" xor:"to"`
	Server string `help:"${flag_server}" placeholder:"URL" xor:"to"`
	Office string `help:"${flag_office}" placeholder:"PREFIX"`
	Pin    string `help:"${flag_pin}" placeholder:"SHA256:…"`
	As     string `help:"${flag_as}" placeholder:"INDEX:ID"`
	Key    string `help:"${flag_office_key}" placeholder:"FILE"`
	Token  string `help:"${flag_office_token}" placeholder:"FILE"`
	JSON   bool   `name:"json" help:"${flag_json}"`
}

func (t *toOffice) key() (*trust.PrivateKey, error) {
	if t.Key == "" {
		return nil, nil
	}
	return trust.ReadFile(t.Key, nil)
}

// open finds the office. application is the one that the command is about; it says who the holder of --key is.
func (t *toOffice) open(ctx context.Context, e *env, application string) (*office.Client, error) {
	c := &office.Client{Base: t.Server, Pin: t.Pin, Lang: e.lang}
	var operator *sim.NodeState
	if t.Server == "" {
		dir := t.Data
		if dir == "" {
			dir = defaultData()
		}
		s, err := sim.ReadState(dir)
		if err != nil {
			return nil, err
		}
		operator = s.First(node.SecondLevel)
		for i := range s.Nodes {
			if n := &s.Nodes[i]; t.Office != "" && n.Prefix == t.Office && !n.Mirror {
				operator = n
			}
		}
		if operator == nil || t.Office != "" && operator.Prefix != t.Office {
			return nil, problem.New(problem.NotFound, "the country in %s has no office of %q", "%s 的国家中没有 %q 的登记机构", dir, t.Office)
		}
		c.Base, c.Pin = operator.HTTPS, operator.Pin
	}
	if t.Token != "" {
		b, err := os.ReadFile(t.Token)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "cannot read the token", "无法读取令牌")
		}
		c.Token = strings.TrimSpace(string(b))
		return c, nil
	}
	key, err := t.key()
	if err != nil {
		return nil, err
	}
	switch {
	case t.As != "":
		if key == nil {
			return nil, problem.New(problem.BadRequest, "--as needs --key FILE", "--as 须配合 --key 文件")
		}
		c.Key = key
		c.User, err = record.ParseRef(t.As)
	case key != nil && application != "":
		info, e := c.Info(ctx)
		if e != nil {
			return nil, e
		}
		c = c.As(office.ApplicationID(info.Prefix, application), key)
	case operator != nil && t.Key == "" && application != anybody:
		c.Key, err = sim.PrefixKey(operator)
		c.User = node.PrefixKeyRef(operator.Prefix)
	}
	return c, err
}

// anybody, in the place of an application, is who needs no identity: the applicant before applying.
const anybody = "-"

// show prints an application.
func (t *toOffice) show(e *env, v *office.View) error {
	if t.JSON {
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%s\n", b)
		return nil
	}
	fmt.Fprintf(e.out, "%s  %s  %s  %s  %s\n", v.ID, v.Form.Prefix, v.State, v.Form.Kind, printable(v.Form.Organisation.Name))
	if v.Pending != "" {
		e.print("under way: %s %s", "进行中：%s %s", v.Pending, v.Trouble)
	}
	if v.Move != nil && v.Pending == "move" {
		e.print("moved: %d records, stage %s", "已迁移 %d 条记录，阶段 %s", v.Move.Copied, v.Move.Stage)
	}
	if !v.Until.IsZero() {
		e.print("until %s", "有效期至 %s", v.Until.Format(time.DateOnly))
	}
	if v.Timing.Seconds > 0 {
		e.print("resolvable %.2f s after the approval", "批准后 %.2f 秒可解析", v.Timing.Seconds)
	}
	for _, w := range v.Warnings {
		e.print("warning %s: %s", "警示 %s：%s", w.Code, e.say(w.EN, w.ZH))
	}
	for _, n := range v.Notices {
		fmt.Fprintf(e.out, "%s  %s\n", n.At.Format(time.RFC3339), printable(e.say(n.EN, n.ZH)))
	}
	for _, x := range v.Events {
		fmt.Fprintf(e.out, "%s  %s  %s → %s  %s  %s\n", x.At.Format(time.RFC3339), x.What, x.From, x.To, printable(x.By), printable(x.Why))
	}
	return nil
}

// with opens the office for one command.
func (t *toOffice) with(e *env, application string, f func(ctx context.Context, c *office.Client) error) error {
	ctx, cancel := e.withTimeout()
	defer cancel()
	c, err := t.open(ctx, e, application)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(ctx, c)
}

// act does one thing to an application and shows what it is then.
func (t *toOffice) act(e *env, application, what string, r office.Reason) error {
	return t.with(e, application, func(ctx context.Context, c *office.Client) error {
		v, err := c.Act(ctx, application, what, r)
		if err != nil {
			return err
		}
		return t.show(e, v)
	})
}

type officeInfoCmd struct{ toOffice }

func (c *officeInfoCmd) Run(e *env) error {
	return c.with(e, anybody, func(ctx context.Context, to *office.Client) error {
		i, err := to.Info(ctx)
		if err != nil {
			return err
		}
		k, err := trust.ParsePublic(i.Key)
		if err != nil {
			return err
		}
		e.print("the office of %s; its key %s is %s; hosting: %v", "%s 的登记机构；其密钥 %s 为 %s；提供托管：%v", i.Prefix, i.Ref, k.Fingerprint(), i.Hosts)
		return nil
	})
}

type officeApplyCmd struct {
	toOffice
	Prefix  string `arg:"" help:"88.118.1002"`
	Form    string `required:"" help:"${flag_form}" placeholder:"FILE"`
	Hosted  bool   `help:"${flag_hosted}" xor:"where"`
	Node    string `help:"${flag_own_node}" placeholder:"URL" xor:"where"`
	NodePin string `help:"${flag_pin}" placeholder:"SHA256:…"`
	Draft   bool   `help:"${flag_draft}"`
}

// readForm reads an organisation's data, YAML or JSON.
func readForm(file string) (f office.Form, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return f, problem.Wrap(err, problem.BadRequest, "cannot read the form", "无法读取表单")
	}
	if len(b) > 1<<20 {
		return f, problem.New(problem.TooLarge, "%s is no form: it is over a megabyte", "%s 不是表单：超过 1 MB", file)
	}
	if b, err = yaml.YAMLToJSON(b); err == nil {
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		err = d.Decode(&f)
	}
	if err != nil {
		return f, problem.Wrap(err, problem.BadValue, "%s is no form of an application", "%s 不是申请表单", file)
	}
	return f, nil
}

// siteOf asks a node where it answers.
func siteOf(ctx context.Context, base, pin string) (office.Site, error) {
	c := &web.Client{Base: base, Pin: pin}
	defer c.Close()
	s, err := c.Site(ctx)
	if err != nil {
		return office.Site{}, err
	}
	return office.SiteOf(s), nil
}

func (c *officeApplyCmd) Run(e *env) error {
	f, err := readForm(c.Form)
	if err != nil {
		return err
	}
	f.Prefix = c.Prefix
	key, err := c.key()
	if err != nil {
		return err
	}
	who := anybody
	if c.As != "" || c.Token != "" {
		who = ""
	}
	if key == nil && who == anybody {
		return problem.New(problem.BadRequest, "say with --key which key is to be the prefix's: fujie key new makes one", "请用 --key 指明前缀的密钥：可用 fujie key new 生成")
	}
	return c.with(e, who, func(ctx context.Context, to *office.Client) error {
		if who == anybody {
			to.User, to.Key = record.Ref{}, nil
		}
		switch {
		case c.Hosted:
			f.Kind, f.Sites = office.Hosted, nil
		case c.Node != "":
			s, err := siteOf(ctx, c.Node, c.NodePin)
			if err != nil {
				return err
			}
			f.Kind, f.Sites = office.SelfHosted, []office.Site{s}
		case f.Kind == "":
			return problem.New(problem.BadRequest, "say --hosted, or with --node where the prefix's own node answers", "请用 --hosted，或用 --node 指明自建节点的地址")
		}
		v, err := to.Apply(ctx, f, key, c.Draft)
		if err != nil {
			return err
		}
		return c.show(e, v)
	})
}

type officeStatusCmd struct {
	toOffice
	Application string        `arg:"" help:"1, 88.118/Apply_000001"`
	Wait        time.Duration `help:"${flag_decision}" placeholder:"TIME"`
}

func (c *officeStatusCmd) Run(e *env) error {
	return c.with(e, c.Application, func(ctx context.Context, to *office.Client) error {
		if c.Wait > 0 {
			long, cancel := context.WithTimeout(e.ctx, c.Wait)
			defer cancel()
			if v, err := to.Wait(long, c.Application, time.Second); err == nil {
				return c.show(e, v)
			} else if !problem.Is(err, problem.Canceled) {
				return err
			}
		}
		v, _, err := to.Get(ctx, c.Application)
		if err != nil {
			return err
		}
		return c.show(e, v)
	})
}

type officeListCmd struct {
	toOffice
	State  []string `help:"${flag_app_state}" placeholder:"STATE"`
	Prefix string   `help:"${flag_office_prefix}" placeholder:"PREFIX"`
}

func (c *officeListCmd) Run(e *env) error {
	return c.with(e, "", func(ctx context.Context, to *office.Client) error {
		var states []office.State
		for _, s := range c.State {
			states = append(states, office.State(s))
		}
		for after := ""; ; {
			p, err := to.List(ctx, after, 100, states, c.Prefix)
			if err != nil {
				return err
			}
			for _, v := range p.Items {
				if c.JSON {
					b, err := json.Marshal(v)
					if err != nil {
						return err
					}
					fmt.Fprintf(e.out, "%s\n", b)
					continue
				}
				fmt.Fprintf(e.out, "%s  %s  %s  %s  %s\n", v.ID, v.Form.Prefix, v.State, v.Form.Kind, printable(v.Form.Organisation.Name))
			}
			if after = p.Next; after == "" {
				return nil
			}
		}
	})
}

// about is the application that a command is about, and why.
type aboutApplication struct {
	toOffice
	Application string `arg:"" help:"1, 88.118/Apply_000001"`
	Reason      string `help:"${flag_reason}" placeholder:"TEXT"`
}

type (
	officeSubmitCmd   struct{ aboutApplication }
	officeWithdrawCmd struct{ aboutApplication }
	officeReviewCmd   struct{ aboutApplication }
	officeApproveCmd  struct {
		aboutApplication
		Accept []string `help:"${flag_accept}" placeholder:"CODE"`
	}
	officeRefuseCmd  struct{ aboutApplication }
	officeSuspendCmd struct{ aboutApplication }
	officeResumeCmd  struct{ aboutApplication }
	officeRenewCmd   struct {
		aboutApplication
		Days int `help:"${flag_days}" placeholder:"N"`
	}
	officeRevokeCmd struct{ aboutApplication }
)

func (c *aboutApplication) does(e *env, what string) error {
	return c.act(e, c.Application, what, office.Reason{Reason: c.Reason})
}

func (c *officeSubmitCmd) Run(e *env) error   { return c.does(e, "submit") }
func (c *officeWithdrawCmd) Run(e *env) error { return c.does(e, "withdraw") }
func (c *officeReviewCmd) Run(e *env) error   { return c.does(e, "review") }
func (c *officeRefuseCmd) Run(e *env) error   { return c.does(e, "refuse") }
func (c *officeSuspendCmd) Run(e *env) error  { return c.does(e, "suspend") }
func (c *officeResumeCmd) Run(e *env) error   { return c.does(e, "resume") }
func (c *officeRevokeCmd) Run(e *env) error   { return c.does(e, "revoke") }
func (c *officeApproveCmd) Run(e *env) error {
	return c.act(e, c.Application, "approve", office.Reason{Reason: c.Reason, Accept: c.Accept})
}
func (c *officeRenewCmd) Run(e *env) error {
	return c.act(e, c.Application, "renew", office.Reason{Reason: c.Reason, Days: c.Days})
}

type officeMoveCmd struct {
	aboutApplication
	To      string `required:"" enum:"self-hosted,hosted" help:"${flag_move_to}"`
	Node    string `help:"${flag_move_node}" placeholder:"URL"`
	NodePin string `help:"${flag_pin}" placeholder:"SHA256:…"`
	Cancel  bool   `help:"${flag_cancel}"`
}

func (c *officeMoveCmd) Run(e *env) error {
	// Copying may take long; the caller's patience is the limit.
	to, err := c.open(e.ctx, e, c.Application)
	if err != nil {
		return err
	}
	defer to.Close()
	ask := office.MoveRequest{To: office.Kind(c.To), Reason: c.Reason, Cancel: c.Cancel}
	if c.Cancel {
		v, err := to.Move(e.ctx, c.Application, ask)
		if err != nil {
			return err
		}
		return c.show(e, v)
	}
	if c.Node == "" {
		return problem.New(problem.BadRequest, "say with --node where the prefix's own node answers", "请用 --node 指明自建节点的地址")
	}
	if ask.To == office.SelfHosted {
		s, err := siteOf(e.ctx, c.Node, c.NodePin)
		if err != nil {
			return err
		}
		ask.Sites = []office.Site{s}
		if _, err := to.Move(e.ctx, c.Application, ask); err != nil {
			return err
		}
		return c.follow(e, to)
	}
	v, err := to.Move(e.ctx, c.Application, ask)
	if err != nil {
		return err
	}
	if err := c.copy(e, to, v); err != nil {
		return err
	}
	ask.Finish = true
	if v, err = to.Move(e.ctx, c.Application, ask); err != nil {
		return err
	}
	e.print("the old node may stop after %s", "旧节点可在 %s 之后停止", v.Move.Linger.Format(time.RFC3339))
	return c.show(e, v)
}

// follow shows how far the office is until the move is done.
func (c *officeMoveCmd) follow(e *env, to *office.Client) error {
	trouble := ""
	for {
		v, _, err := to.Get(e.ctx, c.Application)
		if err != nil {
			return err
		}
		if v.Pending != "move" {
			return c.show(e, v)
		}
		if v.Trouble != "" && v.Trouble != trouble {
			trouble = v.Trouble
			fmt.Fprintln(e.err, trouble)
		}
		select {
		case <-e.ctx.Done():
			return problem.Wrap(e.ctx.Err(), problem.Canceled, "the move goes on without this command; fujie office status %s shows how far it is", "迁移在此命令之外继续进行；用 fujie office status %s 查看进度", c.Application)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// copy brings everything from the prefix's own node to its host, as the holder of the prefix's key.
func (c *officeMoveCmd) copy(e *env, to *office.Client, v *office.View) error {
	key, err := c.key()
	if err != nil {
		return err
	}
	if key == nil {
		return problem.New(problem.BadRequest, "moving to the host takes the key of the prefix: --key FILE", "迁往托管须提供前缀密钥：--key 文件")
	}
	if u, err := url.Parse(c.Node); err != nil || u.Scheme != "https" {
		return problem.New(problem.BadRequest, "--node is the https address of the prefix's own node", "--node 应为自建节点的 https 地址")
	}
	own := office.HolderRef(v.Form.Prefix, office.SelfHosted)
	from := &web.Client{Base: c.Node, Pin: c.NodePin, User: own, Key: key}
	into := &web.Client{Base: to.Base, Pin: to.Pin, User: own, Key: key}
	desk := &office.Client{Base: c.Node, Pin: c.NodePin, User: own, Key: key, Lang: e.lang}
	defer from.Close()
	defer into.Close()
	defer desk.Close()
	t := &office.Transfer{Prefix: v.Form.Prefix, From: from, Names: from, To: into, ToBy: record.Identity{Ref: own}, News: 3 * time.Second,
		Freeze: func(ctx context.Context, on bool) error {
			d := time.Duration(0)
			if on {
				d = 10 * 24 * time.Hour
			}
			return desk.Freeze(ctx, v.Form.Prefix, d)
		}}
	n, err := t.Run(e.ctx, 0)
	if err != nil {
		return err
	}
	e.print("%d records are at the host", "已有 %d 条记录迁至托管节点", n)
	return nil
}
