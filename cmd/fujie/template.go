package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/template"
	"github.com/fujie-id/fujie/wire/web"
)

type templateCmd struct {
	List     templateListCmd     `cmd:"" help:"${template_list}"`
	Show     templateShowCmd     `cmd:"" help:"${template_show}"`
	Create   templateCreateCmd   `cmd:"" help:"${template_create}"`
	Revise   templateReviseCmd   `cmd:"" help:"${template_revise}"`
	Publish  templatePublishCmd  `cmd:"" help:"${template_publish}"`
	Withdraw templateWithdrawCmd `cmd:"" help:"${template_withdraw}"`
	Derive   templateDeriveCmd   `cmd:"" help:"${template_derive}"`
	Disable  templateDisableCmd  `cmd:"" help:"${template_disable}"`
	Check    templateCheckCmd    `cmd:"" help:"${template_check}"`
	Schema   templateSchemaCmd   `cmd:"" help:"${template_schema}"`
	Recheck  templateRecheckCmd  `cmd:"" help:"${template_recheck}"`
}

// room is the flags of commands about what stands around the registry of a node that runs.
type room struct{ desk }

// ask is desk.call, at a node that runs: templates and codes are changed under its checks only.
func (r *room) ask(e *env, prefix, method, path string, in, out any) error {
	if err := r.runs(); err != nil {
		return err
	}
	return r.call(e, prefix, method, path, in, out)
}

func (r *room) runs() error {
	dir := r.Data
	if dir == "" {
		dir = defaultData()
	}
	if r.Server == "" && exists(filepath.Join(dir, "node.yaml")) {
		return problem.New(problem.Unsupported, "templates and codes are worked on at a node that runs: start it, and name it with --server", "模板与编码须在运行中的节点上操作：请启动节点，并用 --server 指明")
	}
	return nil
}

// templatePath is where the interface has a template, P/META_X or P/META_X/2.
func templatePath(text string) (prefix, at string, err error) {
	v, err := id.ParseHandle(text)
	if err != nil {
		return "", "", err
	}
	name, version, hasVersion := strings.Cut(v.Suffix(), "/")
	if v.IsPrefix() || len(name) < 6 || !strings.EqualFold(name[:5], "META_") {
		return "", "", problem.New(problem.BadID, "%.80q is no template: write PREFIX/META_NAME, as 88.118.1001/META_PUMP", "%.80q 不是模板：请写成 前缀/META_名称，例如 88.118.1001/META_PUMP", text)
	}
	at = "/api/templates/" + url.PathEscape(v.Prefix()) + "/" + url.PathEscape(name)
	if hasVersion {
		if n, err := strconv.Atoi(version); err != nil || n < 1 {
			return "", "", problem.New(problem.BadID, "%.80q names no version: it ends in /1, /2, …", "%.80q 没有给出版本：以 /1、/2 等结尾", text)
		}
		at += "/versions/" + version
	}
	return v.Prefix(), at, nil
}

// whole is templatePath for what is no single version.
func whole(text string) (prefix, at string, err error) {
	prefix, at, err = templatePath(text)
	if err == nil && strings.Contains(at, "/versions/") {
		err = problem.New(problem.BadID, "%.80q names a version, which never changes: leave it out", "%.80q 带有版本号，而版本不可更改：请去掉", text)
	}
	return prefix, at, err
}

func (r *room) showView(e *env, x *template.View) {
	if r.Json {
		return
	}
	version := ""
	if x.Version > 0 {
		version = e.say("  newest version %d", "  最新版本 %d", x.Version)
	}
	state := map[template.State]text{template.Draft: {"draft", "草稿"}, template.Published: {"published", "已发布"}, template.Withdrawn: {"withdrawn", "已撤回"}}[x.State]
	fmt.Fprintf(e.out, "%s  %s%s\n", x.ID, e.say(state.en, state.zh), version)
	if x.Published != nil {
		showTemplate(e, x.Published)
	}
	if x.Draft != nil {
		e.print("being prepared:", "正在准备：")
		showTemplate(e, x.Draft)
	}
}

// showTemplate prints the properties, a line each.
func showTemplate(e *env, t *template.Template) {
	for i := range t.Items {
		it := &t.Items[i]
		var says []string
		say := func(on bool, en, zh string) {
			if on {
				says = append(says, e.say(en, zh))
			}
		}
		say(it.Required, "required", "必填")
		say(it.Unique, "unique", "唯一")
		say(it.Many, "many", "多值")
		say(it.Disabled, "disabled", "已禁用")
		say(it.Unit != "", it.Unit, it.Unit)
		say(it.Visibility == template.Granted, "granted", "授权")
		say(it.Visibility == template.Private, "private", "私有")
		title := printable(it.Title(e.lang))
		if title == it.Name {
			title = ""
		}
		fmt.Fprintln(e.out, strings.TrimRight(fmt.Sprintf("  %d  %s  %s  %s  %s", it.Index, it.Name, it.Type, strings.Join(says, " "), title), " "))
	}
}

// readInput reads a file, or the standard input for -.
func readInput(name string, most int64) ([]byte, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", name)
		}
		defer f.Close()
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read %s", "无法读取 %s", name)
	}
	if int64(len(b)) > most {
		return nil, problem.New(problem.TooLarge, "%s has over %d bytes", "%s 超过 %d 字节", name, most)
	}
	return b, nil
}

type templateListCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}" placeholder:"ID"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	room
}

func (c *templateListCmd) Run(e *env) error {
	var page api.Page[template.View]
	q := url.Values{"prefix": {c.Prefix}, "limit": {strconv.Itoa(c.Limit)}}
	if c.After != "" {
		q.Set("after", c.After)
	}
	if err := c.ask(e, c.Prefix, http.MethodGet, "/api/templates?"+q.Encode(), nil, &page); err != nil || c.Json {
		return err
	}
	for _, x := range page.Items {
		t := x.Published
		if t == nil {
			t = x.Draft
		}
		name := ""
		if t != nil {
			name = t.Names["en"]
			if s := t.Names["zh"]; s != "" && (name == "" || e.lang == problem.Chinese) {
				name = s
			}
		}
		fmt.Fprintf(e.out, "%s  %s  %d  %s\n", x.ID, x.State, x.Version, printable(name))
	}
	if page.Next != "" {
		e.print("more: --after %s", "更多：--after %s", page.Next)
	}
	return nil
}

type templateShowCmd struct {
	Template string `arg:"" help:"PREFIX/META_NAME[/VERSION]"`
	room
}

func (c *templateShowCmd) Run(e *env) error {
	prefix, at, err := templatePath(c.Template)
	if err != nil {
		return err
	}
	if strings.Contains(at, "/versions/") {
		var t template.Template
		if err := c.ask(e, prefix, http.MethodGet, at, nil, &t); err != nil || c.Json {
			return err
		}
		fmt.Fprintf(e.out, "%s/%d\n", t.ID, t.Version)
		showTemplate(e, &t)
		return nil
	}
	var x template.View
	if err := c.ask(e, prefix, http.MethodGet, at, nil, &x); err != nil {
		return err
	}
	c.showView(e, &x)
	return nil
}

type templateCreateCmd struct {
	File string `arg:"" help:"${arg_template_file}"`
	Id   string `help:"${flag_template_id}" placeholder:"PREFIX/META_NAME"`
	room
}

func (c *templateCreateCmd) Run(e *env) error {
	b, err := readInput(c.File, template.MaxBytes)
	if err != nil {
		return err
	}
	var schema struct {
		Schema string `json:"$schema"`
	}
	path, name, body := "/api/templates", c.Id, any(nil)
	if json.Unmarshal(b, &schema) == nil && schema.Schema != "" {
		if name == "" {
			return problem.New(problem.BadRequest, "a JSON Schema does not say which template it becomes: --id PREFIX/META_NAME", "JSON Schema 未注明将成为哪个模板：请用 --id 前缀/META_名称")
		}
		path, body = "/api/template-imports", template.Import{ID: name, Schema: b}
	} else {
		t, err := template.Read(b)
		if err != nil {
			return err
		}
		if name != "" {
			t.ID = name
		}
		name, body = t.ID, t
	}
	prefix, _, err := whole(name)
	if err != nil {
		return err
	}
	var x template.View
	if err := c.ask(e, prefix, http.MethodPost, path, body, &x); err != nil {
		return err
	}
	c.showView(e, &x)
	return nil
}

type templateReviseCmd struct {
	File string `arg:"" help:"${arg_template_file}"`
	room
}

func (c *templateReviseCmd) Run(e *env) error {
	b, err := readInput(c.File, template.MaxBytes)
	if err != nil {
		return err
	}
	t, err := template.Read(b)
	if err != nil {
		return err
	}
	prefix, at, err := whole(t.ID)
	if err != nil {
		return err
	}
	var x template.View
	if err := c.ask(e, prefix, http.MethodPut, at, t, &x); err != nil {
		return err
	}
	c.showView(e, &x)
	return nil
}

// aboutTemplate is the commands that do one thing to a template.
type aboutTemplate struct {
	Template string `arg:"" help:"PREFIX/META_NAME"`
	room
}

func (c *aboutTemplate) do(e *env, what string) error {
	prefix, at, err := whole(c.Template)
	if err != nil {
		return err
	}
	var x template.View
	if err := c.ask(e, prefix, http.MethodPost, at+"/"+what, struct{}{}, &x); err != nil {
		return err
	}
	c.showView(e, &x)
	return nil
}

type (
	templatePublishCmd  struct{ aboutTemplate }
	templateWithdrawCmd struct{ aboutTemplate }
)

func (c *templatePublishCmd) Run(e *env) error  { return c.do(e, "publish") }
func (c *templateWithdrawCmd) Run(e *env) error { return c.do(e, "withdraw") }

type templateDeriveCmd struct {
	Base  string `arg:"" help:"PREFIX/META_NAME[/VERSION]"`
	Id    string `arg:"" help:"PREFIX/META_NAME"`
	Items string `help:"${flag_template_items}" placeholder:"FILE"`
	room
}

func (c *templateDeriveCmd) Run(e *env) error {
	prefix, _, err := whole(c.Id)
	if err != nil {
		return err
	}
	in := template.Derivation{Base: c.Base, ID: c.Id}
	if c.Items != "" {
		b, err := readInput(c.Items, template.MaxBytes)
		if err != nil {
			return err
		}
		t, err := template.Read(b)
		if err != nil {
			return err
		}
		in.Items = t.Items
	}
	var x template.View
	if err := c.ask(e, prefix, http.MethodPost, "/api/template-derivations", in, &x); err != nil {
		return err
	}
	c.showView(e, &x)
	return nil
}

type templateDisableCmd struct {
	Template string `arg:"" help:"PREFIX/META_NAME"`
	Property string `arg:"" help:"${arg_property}"`
	Enable   bool   `help:"${flag_template_enable}"`
	room
}

func (c *templateDisableCmd) Run(e *env) error {
	prefix, at, err := whole(c.Template)
	if err != nil {
		return err
	}
	var x template.View
	if err := c.ask(e, prefix, http.MethodPut, at+"/items/"+url.PathEscape(c.Property)+"/disabled", map[string]bool{"disabled": !c.Enable}, &x); err != nil {
		return err
	}
	c.showView(e, &x)
	return nil
}

type templateCheckCmd struct {
	Template   string   `arg:"" help:"PREFIX/META_NAME[/VERSION]"`
	Properties []string `arg:"" optional:"" help:"${arg_properties}"`
	File       string   `help:"${flag_properties}" placeholder:"FILE"`
	room
}

func (c *templateCheckCmd) Run(e *env) error {
	prefix, _, err := templatePath(c.Template)
	if err != nil {
		return err
	}
	p := map[string]any{}
	if c.File != "" {
		b, err := readInput(c.File, 1<<20)
		if err != nil {
			return err
		}
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.UseNumber()
		if err := d.Decode(&p); err != nil {
			return problem.Wrap(err, problem.BadRequest, "%s holds no JSON object of properties", "%s 中没有属性的 JSON 对象", c.File)
		}
	}
	for _, s := range c.Properties {
		name, v, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return problem.New(problem.BadRequest, "%.60q is no property: write NAME=VALUE", "%.60q 不是属性：请写成 名称=值", s)
		}
		p[name] = v
	}
	var values []template.Expanded
	if err := c.ask(e, prefix, http.MethodPost, "/api/template-checks", template.Trial{Template: c.Template, Properties: p}, &values); err != nil || c.Json {
		return err
	}
	for _, v := range values {
		fmt.Fprintf(e.out, "%d  %s  %s\n", v.Index, v.Type, printable(v.Data))
	}
	return nil
}

type templateSchemaCmd struct {
	Template string `arg:"" help:"PREFIX/META_NAME"`
	room
}

func (c *templateSchemaCmd) Run(e *env) error {
	prefix, at, err := whole(c.Template)
	if err != nil {
		return err
	}
	c.Json = true
	return c.ask(e, prefix, http.MethodGet, at+"/schema", nil, nil)
}

// fetchTemplate asks the keeper of some records for a template that they name, its own or another enterprise's.
func fetchTemplate(ctx context.Context, from record.Resolver, name string) (*template.Template, error) {
	_, at, err := templatePath(name)
	if err != nil {
		return nil, err
	}
	c, ok := from.(*web.Client)
	if !ok {
		return template.Fetch(ctx, from, name)
	}
	status, answer, err := c.Exchange(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	if status >= 300 {
		return nil, refusal(status, answer)
	}
	bad := func(err error) error {
		return problem.Wrap(err, problem.Unreachable, "the node's answer is no template: is this a node of Fujie, and of this version?", "节点的应答不是模板：请确认它是本版本的符节节点")
	}
	if strings.Contains(at, "/versions/") {
		var t template.Template
		if err := json.Unmarshal(answer, &t); err != nil {
			return nil, bad(err)
		}
		return &t, nil
	}
	var x template.View
	if err := json.Unmarshal(answer, &x); err != nil {
		return nil, bad(err)
	}
	if x.Published == nil || x.State != template.Published {
		return nil, problem.New(problem.NotFound, "%s is not published: publish it first", "%s 未发布：请先发布", name)
	}
	return x.Published, nil
}

type templateRecheckCmd struct {
	Template string        `arg:"" help:"PREFIX/META_NAME[/VERSION]"`
	Prefix   string        `help:"${flag_recheck_prefix}" placeholder:"PREFIX"`
	Number   string        `help:"${flag_recheck_number}" placeholder:"NUMBER"`
	Wait     time.Duration `help:"${flag_job_wait}" default:"1h"`
	Out      string        `help:"${flag_out}" placeholder:"FILE"`
	room
}

func (c *templateRecheckCmd) Run(e *env) error {
	prefix, _, err := templatePath(c.Template)
	if err != nil {
		return err
	}
	if c.Prefix != "" {
		prefix = c.Prefix
	}
	if c.Out != "" && exists(c.Out) {
		return problem.New(problem.Exists, "%s exists; it is never written over, move it away first", "%s 已存在；不会被覆盖，请先移走", c.Out)
	}
	json := c.Json
	c.Json = false
	var x template.Recheck
	if c.Number == "" {
		if err := c.ask(e, prefix, http.MethodPost, "/api/template-rechecks", template.RecheckOrder{Prefix: prefix, Template: c.Template}, &x); err != nil {
			return err
		}
		c.Number = x.ID
	}
	at := "/api/template-rechecks/" + url.PathEscape(c.Number)
	for end := time.Now().Add(c.Wait); ; {
		x = template.Recheck{}
		if err := c.ask(e, prefix, http.MethodGet, at, nil, &x); err != nil {
			return err
		}
		if e.terminal {
			fmt.Fprintf(e.err, "\r%d / %d", x.Seen, x.Total)
		}
		if x.State != template.Rechecking || !time.Now().Before(end) {
			break
		}
		select {
		case <-e.ctx.Done():
			return problem.Wrap(e.ctx.Err(), problem.Canceled, "the recheck goes on without this command; --number %s shows how far it is", "复核在此命令之外继续进行；用 --number %s 查看进度", c.Number)
		case <-time.After(300 * time.Millisecond):
		}
	}
	if e.terminal {
		fmt.Fprintln(e.err)
	}
	if c.Json = json; json {
		if err := c.ask(e, prefix, http.MethodGet, at, nil, nil); err != nil {
			return err
		}
	} else {
		state := e.say("done", "完成")
		if x.State == template.Rechecking {
			state = e.say("running", "进行中")
		}
		e.print("recheck %s of %s: %s, %d of %d records read, %d hold, %d would break it", "复核 %s（%s）：%s，已读 %d／%d 条记录，符合 %d 条，不符合 %d 条", x.ID, x.Template, state, x.Seen, x.Total, x.Kept, x.Broken)
	}
	if c.Out == "" || x.State == template.Rechecking {
		return nil
	}
	body, err := c.download(e.ctx, prefix, at+"/file")
	if err != nil {
		return err
	}
	defer body.Close()
	b, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = io.Copy(b, body)
		if e := b.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		os.Remove(c.Out)
		return problem.Wrap(err, problem.Full, "%s could not be written whole", "%s 未能完整写入", c.Out)
	}
	return nil
}
