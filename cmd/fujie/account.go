package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fujie-id/fujie/account"
	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/web"
)

type accountCmd struct {
	Login    accountLoginCmd    `cmd:"" help:"${account_login}"`
	Logout   accountLogoutCmd   `cmd:"" help:"${account_logout}"`
	Me       accountMeCmd       `cmd:"" help:"${account_me}"`
	Accept   accountAcceptCmd   `cmd:"" help:"${account_accept}"`
	Password accountPasswordCmd `cmd:"" help:"${account_password}"`
	Totp     accountTotpCmd     `cmd:"" help:"${account_totp}"`
	User     accountUserCmd     `cmd:"" help:"${account_user}"`
	App      accountAppCmd      `cmd:"" help:"${account_app}"`
	Group    accountGroupCmd    `cmd:"" help:"${account_group}"`
}

// desk is the flags that say at which node's interface a command works, and as whom.
type desk struct {
	access
	Token string `help:"${flag_token}" placeholder:"FILE" xor:"proof"`
	Json  bool   `help:"${flag_json}"`
}

// call makes a request of the interface of the node that keeps the accounts of prefix. An answer that is an error comes
// back as one.
func (d *desk) call(e *env, prefix, method, path string, in, out any) error {
	ctx, cancel := e.withTimeout()
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	do, done, err := d.reach(ctx, prefix)
	if err != nil {
		return err
	}
	defer done()
	status, answer, err := do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if status >= 300 {
		return refusal(status, answer)
	}
	if d.Json && len(answer) > 0 {
		if _, err := e.out.Write(append(bytes.TrimSpace(answer), '\n')); err != nil {
			return err
		}
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return problem.Wrap(err, problem.Unreachable, "the node's answer is no JSON: is this a node of Fujie, and of this version?", "节点的应答不是 JSON：请确认它是本版本的符节节点")
	}
	return nil
}

type exchange func(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error)

// reach finds the node: --server, the folder of a node that does not run, or the keeper of prefix in a country that does.
func (d *desk) reach(ctx context.Context, prefix string) (exchange, func(), error) {
	if d.Token != "" {
		return d.bearer()
	}
	if d.Server != "" {
		c, err := d.client()
		if err != nil {
			return nil, nil, err
		}
		return c.Exchange, c.Close, nil
	}
	dir := d.Data
	if dir == "" {
		dir = defaultData()
	}
	if cfg := filepath.Join(dir, "node.yaml"); exists(cfg) {
		return here(ctx, cfg)
	}
	v, err := id.ParseHandle(prefix + "/User_x")
	if err != nil {
		return nil, nil, err
	}
	to, done, err := d.one(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	c, ok := to.(*web.Client)
	if !ok {
		done()
		return nil, nil, problem.New(problem.Unsupported, "accounts are changed at a node: name it with --server", "账户须在节点上更改：请用 --server 指明")
	}
	return c.Exchange, done, nil
}

// bearer speaks to --server with the token of a log-in.
func (d *desk) bearer() (exchange, func(), error) {
	if d.Server == "" {
		return nil, nil, problem.New(problem.BadRequest, "--token needs --server URL", "--token 须配合 --server URL")
	}
	token, err := os.ReadFile(d.Token)
	if err != nil {
		return nil, nil, problem.Wrap(err, problem.BadRequest, "cannot read the token", "无法读取令牌")
	}
	if !strings.HasPrefix(d.Server, "https://") {
		return nil, nil, problem.New(problem.BadRequest, "a token is sent over https only: give the node's https address", "令牌只经 https 发送：请给出节点的 https 地址")
	}
	tr := &http.Transport{TLSClientConfig: web.PinnedTLS(d.Pin)}
	c := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
		r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(d.Server, "/")+path, bytes.NewReader(body))
		if err != nil {
			return 0, nil, problem.Wrap(err, problem.BadRequest, "--server is no address", "--server 不是地址")
		}
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		r.Header.Set("Authorization", "Bearer "+string(trimNewline(token)))
		resp, err := c.Do(r)
		if err != nil {
			return 0, nil, problem.Wrap(err, problem.Unreachable, "the node does not answer", "节点无应答")
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
		if err != nil {
			return 0, nil, problem.Wrap(err, problem.Unreachable, "the node's answer broke off", "节点的应答中断")
		}
		return resp.StatusCode, answer, nil
	}, tr.CloseIdleConnections, nil
}

// here is the interface of a node that does not run, for whoever sits at its folder: its operator.
func here(ctx context.Context, file string) (exchange, func(), error) {
	cfg, err := node.Load(file)
	if err != nil {
		return nil, nil, err
	}
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (exchange, func(), error) {
		n.Close()
		return nil, nil, err
	}
	if err := n.Home(ctx); err != nil {
		return fail(err)
	}
	key, err := node.EnsureKey(node.NodeKeyPath(cfg.Data), cfg.Algorithm)
	if err != nil {
		return fail(err)
	}
	homed, err := n.Prefixes(ctx, record.Identity{Operator: true}, "", 100_000)
	if err != nil {
		return fail(err)
	}
	a, err := account.New(ctx, account.Config{Prefix: cfg.Prefix, Hosted: func() []string { return homed }, Registry: n, Key: key})
	if err != nil {
		return fail(err)
	}
	to := api.New(api.Config{Title: "Fujie", Version: version, Identify: func(*http.Request) (api.Caller, error) {
		return api.Caller{Identity: record.Identity{Operator: true}}, nil
	}})
	a.Register(to)
	h := to.Handler()
	return func(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
		r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
		if err != nil {
			return 0, nil, err
		}
		r.Header.Set("Content-Type", "application/json")
		r.TLS = &tls.ConnectionState{} // it never leaves this process
		w := &answerWriter{head: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(w, r)
		return w.status, w.body.Bytes(), nil
	}, func() { n.Close() }, nil
}

// answerWriter keeps an answer that goes no further than this process.
type answerWriter struct {
	head   http.Header
	status int
	body   bytes.Buffer
}

func (w *answerWriter) Header() http.Header         { return w.head }
func (w *answerWriter) WriteHeader(status int)      { w.status = status }
func (w *answerWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

// refusal is the error that an answer is.
func refusal(status int, answer []byte) error {
	if err := api.Told(answer); err != nil {
		return err
	}
	return problem.New(problem.Unreachable, "the node answers %d: is this a node with accounts, of this version?", "节点应答 %d：请确认它是提供账户的本版本节点", status)
}

// parts takes an account's identifier apart: 88.118.1001/User_li or 88.118.1001/li.
func parts(text, begin string) (prefix, name string, err error) {
	prefix, name, ok := strings.Cut(text, "/")
	if len(name) > len(begin) && strings.EqualFold(name[:len(begin)], begin) {
		name = name[len(begin):]
	}
	if !ok || prefix == "" || name == "" {
		return "", "", problem.New(problem.BadID, "%q is no account: write PREFIX/NAME, as 88.118.1001/%s", "%q 不是账户：请写成 前缀/名称，例如 88.118.1001/%s", text, begin+"li")
	}
	return prefix, name, nil
}

// path is where the interface has an account.
func path(kind, prefix, name string, more ...string) string {
	p := "/api/" + kind + "/" + url.PathEscape(prefix) + "/" + url.PathEscape(name)
	for _, m := range more {
		p += "/" + m
	}
	return p
}

// roles reads --role NAME@PREFIX; without @PREFIX it is at the account's own.
func roles(list []string, prefix string) []api.Role {
	var out []api.Role
	for _, r := range list {
		name, at, ok := strings.Cut(r, "@")
		if !ok {
			at = prefix
		}
		out = append(out, api.Role{Name: api.RoleName(name), Prefix: at})
	}
	return out
}

func roleText(list []api.Role) string {
	var s []string
	for _, r := range list {
		s = append(s, string(r.Name)+"@"+r.Prefix)
	}
	return strings.Join(s, " ")
}

// secretFile reads a password and the like.
func secretFile(name string) (string, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(io.LimitReader(os.Stdin, 4096))
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return "", problem.Wrap(err, problem.BadRequest, "cannot read the password", "无法读取密码")
	}
	return string(trimNewline(b)), nil
}

// keep writes a secret to a new file that only its owner reads.
func keep(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return problem.New(problem.Exists, "%s exists; it is never written over, move it away first", "%s 已存在；不会被覆盖，请先移走", name)
	}
	if err == nil {
		_, err = io.WriteString(f, text)
		if e := f.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		return problem.Wrap(err, problem.Full, "%s could not be written", "%s 无法写入", name)
	}
	return nil
}

type accountLoginCmd struct {
	User     string `arg:"" help:"PREFIX/NAME"`
	Password string `required:"" help:"${flag_password}" placeholder:"FILE"`
	Code     string `help:"${flag_code}"`
	Out      string `required:"" help:"${flag_out}" placeholder:"FILE"`
	desk
}

func (c *accountLoginCmd) Run(e *env) error {
	prefix, name, err := parts(c.User, "User_")
	if err != nil {
		return err
	}
	password, err := secretFile(c.Password)
	if err != nil {
		return err
	}
	if exists(c.Out) {
		return problem.New(problem.Exists, "%s exists; it is never written over, move it away first", "%s 已存在；不会被覆盖，请先移走", c.Out)
	}
	c.Json = false // the token is for the file
	var r account.LoginResult
	err = c.call(e, prefix, http.MethodPost, "/api/login", map[string]any{"user": prefix + "/User_" + name, "password": password, "code": c.Code}, &r)
	if err != nil {
		return err
	}
	if r.Token == "" {
		return problem.New(problem.NeedAuth, "the account has one-time codes: give one with --code", "该账户启用了动态口令：请用 --code 给出")
	}
	if err := keep(c.Out, r.Token+"\n"); err != nil {
		return err
	}
	e.print("%s is logged in until %s; the token is in %s", "%s 已登录，有效至 %s；令牌在 %s", r.User, r.Expires.Format(time.RFC3339), c.Out)
	return nil
}

type accountLogoutCmd struct {
	Everywhere bool `help:"${flag_everywhere}"`
	desk
}

func (c *accountLogoutCmd) Run(e *env) error {
	path := "/api/logout"
	if c.Everywhere {
		path += "?everywhere=true"
	}
	if err := c.call(e, "", http.MethodPost, path, nil, nil); err != nil {
		return err
	}
	e.print("logged out", "已退出")
	return nil
}

type accountMeCmd struct{ desk }

func (c *accountMeCmd) Run(e *env) error {
	var me account.MeView
	if err := c.call(e, "", http.MethodGet, "/api/me", nil, &me); err != nil || c.Json {
		return err
	}
	fmt.Fprintln(e.out, strings.TrimSpace(me.Identity+"  "+roleText(me.Roles)))
	return nil
}

type accountAcceptCmd struct {
	User       string `arg:"" help:"PREFIX/NAME"`
	Invitation string `arg:"" help:"${flag_invitation}"`
	Password   string `required:"" help:"${flag_password}" placeholder:"FILE"`
	desk
}

func (c *accountAcceptCmd) Run(e *env) error {
	prefix, name, err := parts(c.User, "User_")
	if err != nil {
		return err
	}
	password, err := secretFile(c.Password)
	if err != nil {
		return err
	}
	err = c.call(e, prefix, http.MethodPost, "/api/invitations/accept", map[string]any{"user": prefix + "/User_" + name, "invitation": c.Invitation, "password": password}, nil)
	if err != nil {
		return err
	}
	e.print("the password is set; log in with fujie account login", "密码已设置；请用 fujie account login 登录")
	return nil
}

type accountPasswordCmd struct {
	Old string `required:"" help:"${flag_old}" placeholder:"FILE"`
	New string `required:"" help:"${flag_password}" placeholder:"FILE"`
	desk
}

func (c *accountPasswordCmd) Run(e *env) error {
	old, err := secretFile(c.Old)
	if err != nil {
		return err
	}
	password, err := secretFile(c.New)
	if err != nil {
		return err
	}
	if err := c.call(e, "", http.MethodPost, "/api/me/password", map[string]any{"old": old, "new": password}, nil); err != nil {
		return err
	}
	e.print("the password is changed; every session is over, log in again", "密码已修改；所有会话已失效，请重新登录")
	return nil
}

type accountTotpCmd struct {
	Ticket string `help:"${flag_ticket}"`
	Code   string `help:"${flag_code}"`
	Off    bool   `help:"${flag_totp_off}"`
	desk
}

func (c *accountTotpCmd) Run(e *env) error {
	switch {
	case c.Off:
		if err := c.call(e, "", http.MethodPost, "/api/me/totp/remove", map[string]any{"code": c.Code}, nil); err != nil {
			return err
		}
		e.print("one-time codes are off", "动态口令已关闭")
	case c.Ticket != "":
		var r account.RecoveryCodes
		if err := c.call(e, "", http.MethodPost, "/api/me/totp/confirm", map[string]any{"ticket": c.Ticket, "code": c.Code}, &r); err != nil || c.Json {
			return err
		}
		e.print("one-time codes are on. Each of these is good once in the place of one; print them:", "动态口令已开启。以下恢复码每个可代用一次，请打印保存：")
		fmt.Fprintln(e.out, strings.Join(r.Codes, "\n"))
	default:
		var r account.Enrolment
		if err := c.call(e, "", http.MethodPost, "/api/me/totp", nil, &r); err != nil || c.Json {
			return err
		}
		e.print("put this into an authenticator program, then run fujie account totp --ticket %s --code CODE within five minutes:\n%s", "请将其录入验证器程序，并在五分钟内运行 fujie account totp --ticket %s --code 验证码：\n%s", r.Ticket, r.URI)
	}
	return nil
}

type accountUserCmd struct {
	Add    userAddCmd    `cmd:"" help:"${account_user_add}"`
	List   userListCmd   `cmd:"" help:"${account_list}"`
	Set    userSetCmd    `cmd:"" help:"${account_set}"`
	Invite userInviteCmd `cmd:"" help:"${account_invite}"`
	Remove userRemoveCmd `cmd:"" help:"${account_remove}"`
}

type userAddCmd struct {
	ID       string   `arg:"" help:"PREFIX/NAME"`
	Title    string   `help:"${flag_title}"`
	Email    string   `help:"${flag_email}"`
	Role     []string `help:"${flag_roles}" placeholder:"ROLE@PREFIX"`
	Password string   `help:"${flag_password}" placeholder:"FILE"`
	desk
}

func (c *userAddCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "User_")
	if err != nil {
		return err
	}
	in := account.NewUserInput{Prefix: prefix, Name: name, Title: c.Title, Email: c.Email, Roles: roles(c.Role, prefix)}
	if c.Password != "" {
		if in.Password, err = secretFile(c.Password); err != nil {
			return err
		}
	}
	var u account.UserView
	if err := c.call(e, prefix, http.MethodPost, "/api/users", in, &u); err != nil || c.Json {
		return err
	}
	e.print("%s is made", "%s 已建立", u.ID)
	c.invitation(e, u)
	return nil
}

func (d *desk) invitation(e *env, u account.UserView) {
	if u.Invitation != "" {
		e.print("invitation, good once within seven days: %s", "邀请码，七日内有效一次：%s", u.Invitation)
	}
}

type userListCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	desk
}

// query is the address of a page of a list.
func query(kind, prefix, after string, limit int) string {
	return "/api/" + kind + "?" + url.Values{"prefix": {prefix}, "after": {after}, "limit": {fmt.Sprint(limit)}}.Encode()
}

func (c *userListCmd) Run(e *env) error {
	var p api.Page[account.UserView]
	if err := c.call(e, c.Prefix, http.MethodGet, query("users", c.Prefix, c.After, c.Limit), nil, &p); err != nil || c.Json {
		return err
	}
	for _, u := range p.Items {
		line := u.ID + "  " + roleText(u.Roles)
		if u.Disabled {
			line += "  " + e.say("disabled", "已停用")
		}
		fmt.Fprintln(e.out, strings.TrimSpace(line+"  "+u.Title))
	}
	return nil
}

type userSetCmd struct {
	ID      string   `arg:"" help:"PREFIX/NAME"`
	Title   *string  `help:"${flag_title}"`
	Email   *string  `help:"${flag_email}"`
	Role    []string `help:"${flag_roles}" placeholder:"ROLE@PREFIX"`
	NoRoles bool     `help:"${flag_no_roles}"`
	Disable bool     `help:"${flag_disable}" xor:"state"`
	Enable  bool     `help:"${flag_enable}" xor:"state"`
	desk
}

func (c *userSetCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "User_")
	if err != nil {
		return err
	}
	in := account.UserChange{Title: c.Title, Email: c.Email}
	if len(c.Role) > 0 || c.NoRoles {
		list := roles(c.Role, prefix)
		if list == nil {
			list = []api.Role{}
		}
		in.Roles = &list
	}
	if c.Disable || c.Enable {
		in.Disabled = &c.Disable
	}
	var u account.UserView
	if err := c.call(e, prefix, http.MethodPatch, path("users", prefix, name), in, &u); err != nil || c.Json {
		return err
	}
	e.print("%s is changed", "%s 已更改", u.ID)
	return nil
}

type userInviteCmd struct {
	ID string `arg:"" help:"PREFIX/NAME"`
	desk
}

func (c *userInviteCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "User_")
	if err != nil {
		return err
	}
	var u account.UserView
	if err := c.call(e, prefix, http.MethodPost, path("users", prefix, name, "invite"), nil, &u); err != nil || c.Json {
		return err
	}
	c.invitation(e, u)
	return nil
}

type userRemoveCmd struct {
	ID string `arg:"" help:"PREFIX/NAME"`
	desk
}

func (c *userRemoveCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "User_")
	if err != nil {
		return err
	}
	if err := c.call(e, prefix, http.MethodDelete, path("users", prefix, name), nil, nil); err != nil {
		return err
	}
	e.print("%s is removed", "%s 已删除", c.ID)
	return nil
}

type accountAppCmd struct {
	Add    appAddCmd    `cmd:"" help:"${account_app_add}"`
	List   appListCmd   `cmd:"" help:"${account_list}"`
	Rotate appRotateCmd `cmd:"" help:"${account_rotate}"`
	Revoke appRevokeCmd `cmd:"" help:"${account_revoke}"`
}

// newKey is how a program gets a key: its public half is in a file, or the node makes one for a new file.
type newKey struct {
	PublicKey string `help:"${flag_public_key}" placeholder:"FILE" xor:"key"`
	Out       string `help:"${flag_key_out}" placeholder:"FILE" xor:"key"`
	Algorithm string `help:"${flag_algorithm}" default:"ed25519"`
}

func (k *newKey) input() (in account.KeyInput, err error) {
	switch {
	case k.PublicKey != "":
		_, p, err := readKey(k.PublicKey, "")
		if err != nil {
			return in, err
		}
		in.PublicKey = string(p.MarshalPEM())
	case k.Out == "":
		return in, problem.New(problem.BadRequest, "give the program's --public-key FILE, or --out FILE for a new private key", "请用 --public-key 文件 给出应用的公钥，或用 --out 文件 存放新私钥")
	case exists(k.Out):
		return in, problem.New(problem.Exists, "%s exists; a key is never written over, move it away first", "%s 已存在；密钥不会被覆盖，请先移走", k.Out)
	default:
		in.Algorithm = k.Algorithm
	}
	return in, nil
}

func (k *newKey) show(e *env, d *desk, x account.AppView) error {
	if x.PrivateKey != "" && k.Out != "" {
		if err := keep(k.Out, x.PrivateKey); err != nil {
			return err
		}
	}
	if n := len(x.Keys); n > 0 {
		e.print("it signs as %s from now on", "今后以 %s 签名", x.Keys[n-1].Identity)
		for _, old := range x.Keys[:n-1] {
			if old.Until != nil {
				e.print("%s still holds until %s", "%s 仍有效至 %s", old.Identity, old.Until.Format(time.RFC3339))
			}
		}
	}
	return nil
}

type appAddCmd struct {
	ID    string   `arg:"" help:"PREFIX/NAME"`
	Title string   `help:"${flag_title}"`
	Role  []string `help:"${flag_roles}" placeholder:"ROLE@PREFIX"`
	newKey
	access
	Token string `help:"${flag_token}" placeholder:"FILE" xor:"proof"`
}

func (c *appAddCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "App_")
	if err != nil {
		return err
	}
	in := account.NewAppInput{Prefix: prefix, Name: name, Title: c.Title, Roles: roles(c.Role, prefix)}
	if in.KeyInput, err = c.input(); err != nil {
		return err
	}
	d := desk{access: c.access, Token: c.Token}
	var x account.AppView
	if err := d.call(e, prefix, http.MethodPost, "/api/apps", in, &x); err != nil {
		return err
	}
	e.print("%s is made", "%s 已建立", x.ID)
	return c.show(e, &d, x)
}

type appListCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	desk
}

func (c *appListCmd) Run(e *env) error {
	var p api.Page[account.AppView]
	if err := c.call(e, c.Prefix, http.MethodGet, query("apps", c.Prefix, c.After, c.Limit), nil, &p); err != nil || c.Json {
		return err
	}
	for _, x := range p.Items {
		line := x.ID + "  " + roleText(x.Roles)
		for _, k := range x.Keys {
			line += "  " + k.Identity[:strings.IndexByte(k.Identity, ':')] + ":" + k.Fingerprint
		}
		if x.Revoked {
			line += "  " + e.say("revoked", "已吊销")
		}
		fmt.Fprintln(e.out, strings.TrimSpace(line+"  "+x.Title))
	}
	return nil
}

type appRotateCmd struct {
	ID   string `arg:"" help:"PREFIX/NAME"`
	Lost bool   `help:"${flag_lost}"`
	newKey
	access
	Token string `help:"${flag_token}" placeholder:"FILE" xor:"proof"`
}

func (c *appRotateCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "App_")
	if err != nil {
		return err
	}
	var in struct {
		Overlap *int `json:"overlapSeconds,omitempty"`
		account.KeyInput
	}
	if in.KeyInput, err = c.input(); err != nil {
		return err
	}
	if c.Lost {
		in.Overlap = new(int)
	}
	d := desk{access: c.access, Token: c.Token}
	var x account.AppView
	if err := d.call(e, prefix, http.MethodPost, path("apps", prefix, name, "rotate"), in, &x); err != nil {
		return err
	}
	return c.show(e, &d, x)
}

type appRevokeCmd struct {
	ID string `arg:"" help:"PREFIX/NAME"`
	desk
}

func (c *appRevokeCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "App_")
	if err != nil {
		return err
	}
	if err := c.call(e, prefix, http.MethodPost, path("apps", prefix, name, "revoke"), nil, nil); err != nil {
		return err
	}
	e.print("%s is revoked; within five minutes no node believes it any more", "%s 已吊销；五分钟内所有节点不再承认", c.ID)
	return nil
}

type accountGroupCmd struct {
	Add    groupAddCmd    `cmd:"" help:"${account_group_add}"`
	List   groupListCmd   `cmd:"" help:"${account_list}"`
	Set    groupSetCmd    `cmd:"" help:"${account_group_set}"`
	Remove groupRemoveCmd `cmd:"" help:"${account_remove}"`
}

type groupAddCmd struct {
	ID      string   `arg:"" help:"PREFIX/NAME"`
	Title   string   `help:"${flag_title}"`
	Role    []string `help:"${flag_roles}" placeholder:"ROLE@PREFIX"`
	Member  []string `help:"${flag_member}" placeholder:"ID"`
	Private bool     `help:"${flag_hidden_members}"`
	desk
}

func (c *groupAddCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "Group_")
	if err != nil {
		return err
	}
	var g account.GroupView
	in := account.NewGroupInput{Prefix: prefix, Name: name, Title: c.Title, Roles: roles(c.Role, prefix), Members: c.Member, Private: c.Private}
	if err := c.call(e, prefix, http.MethodPost, "/api/groups", in, &g); err != nil || c.Json {
		return err
	}
	e.print("%s is made, with %d members", "%s 已建立，成员 %d 个", g.ID, len(g.Members))
	return nil
}

type groupListCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	desk
}

func (c *groupListCmd) Run(e *env) error {
	var p api.Page[account.GroupView]
	if err := c.call(e, c.Prefix, http.MethodGet, query("groups", c.Prefix, c.After, c.Limit), nil, &p); err != nil || c.Json {
		return err
	}
	for _, g := range p.Items {
		fmt.Fprintln(e.out, strings.TrimSpace(g.ID+"  "+roleText(g.Roles)+"  "+strings.Join(g.Members, " ")))
	}
	return nil
}

type groupSetCmd struct {
	ID     string   `arg:"" help:"PREFIX/NAME"`
	Title  *string  `help:"${flag_title}"`
	Add    []string `help:"${flag_member}" placeholder:"ID"`
	Remove []string `help:"${flag_member_out}" placeholder:"ID"`
	desk
}

func (c *groupSetCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "Group_")
	if err != nil {
		return err
	}
	var g account.GroupView
	if err := c.call(e, prefix, http.MethodPatch, path("groups", prefix, name), account.GroupChange{Title: c.Title, Add: c.Add, Remove: c.Remove}, &g); err != nil || c.Json {
		return err
	}
	e.print("%s has %d members", "%s 有 %d 个成员", g.ID, len(g.Members))
	return nil
}

type groupRemoveCmd struct {
	ID string `arg:"" help:"PREFIX/NAME"`
	desk
}

func (c *groupRemoveCmd) Run(e *env) error {
	prefix, name, err := parts(c.ID, "Group_")
	if err != nil {
		return err
	}
	if err := c.call(e, prefix, http.MethodDelete, path("groups", prefix, name), nil, nil); err != nil {
		return err
	}
	e.print("%s is removed", "%s 已删除", c.ID)
	return nil
}
