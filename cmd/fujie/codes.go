package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mint"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/wire/web"
)

type codesCmd struct {
	Rule   codesRuleCmd   `cmd:"" help:"${codes_rule}"`
	Rules  codesRulesCmd  `cmd:"" help:"${codes_rules}"`
	Take   codesTakeCmd   `cmd:"" help:"${codes_take}"`
	Issue  codesIssueCmd  `cmd:"" help:"${codes_issue}"`
	Status codesStatusCmd `cmd:"" help:"${codes_status}"`
	Fetch  codesFetchCmd  `cmd:"" help:"${codes_fetch}"`
	Parse  codesParseCmd  `cmd:"" help:"${codes_parse}"`
}

type codesRuleCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	File   string `arg:"" help:"${arg_rule_file}"`
	room
}

func (c *codesRuleCmd) Run(e *env) error {
	b, err := readInput(c.File, 64<<10)
	if err != nil {
		return err
	}
	if !json.Valid(b) {
		if b, err = yaml.YAMLToJSON(b); err != nil {
			return problem.Wrap(err, problem.BadValue, "the code rule is neither JSON nor YAML: correct the line that is named", "编码规则既不是 JSON 也不是 YAML：请改正所指的行")
		}
	}
	in := mint.NewRule{Prefix: c.Prefix}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in.Rule); err != nil {
		return problem.Wrap(err, problem.BadValue, "this is no code rule: correct what is named", "这不是编码规则：请改正所指之处")
	}
	if err := in.Check(); err != nil {
		return err
	}
	var out mint.RuleView
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/code-rules", in, &out); err != nil || c.Json {
		return err
	}
	e.print("%s has room for %d codes", "%s 共可发 %d 个编码", out.ID, out.Room)
	return nil
}

type codesRulesCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}" placeholder:"ID"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	room
}

func (c *codesRulesCmd) Run(e *env) error {
	q := url.Values{"prefix": {c.Prefix}, "limit": {strconv.Itoa(c.Limit)}}
	if c.After != "" {
		q.Set("after", c.After)
	}
	var page api.Page[mint.RuleView]
	if err := c.ask(e, c.Prefix, http.MethodGet, "/api/code-rules?"+q.Encode(), nil, &page); err != nil || c.Json {
		return err
	}
	for _, r := range page.Items {
		e.print("%s  %d of %d issued  %s", "%s  已发 %d，共 %d  %s", r.ID, r.Issued, r.Room, printable(r.Title))
	}
	if page.Next != "" {
		e.print("more: --after %s", "更多：--after %s", page.Next)
	}
	return nil
}

// order is what is wanted of a rule.
type order struct {
	Prefix string `arg:"" help:"PREFIX"`
	Rule   string `arg:"" help:"${arg_rule}"`
	Count  uint64 `arg:"" help:"${arg_count}"`
	Date   string `help:"${flag_code_date}" placeholder:"2026-11-22"`
	Class  string `help:"${flag_code_class}"`
}

func (o *order) order() (mint.Order, error) {
	out := mint.Order{Prefix: o.Prefix, Rule: o.Rule, Count: o.Count, Class: o.Class}
	if o.Date != "" {
		t, err := time.Parse(time.DateOnly, o.Date)
		if err != nil {
			return out, problem.New(problem.BadRequest, "--date takes a day, as 2026-11-22", "--date 应为日期，例如 2026-11-22")
		}
		out.Date = t
	}
	return out, nil
}

type codesTakeCmd struct {
	order
	room
}

func (c *codesTakeCmd) Run(e *env) error {
	in, err := c.order.order()
	if err != nil {
		return err
	}
	var list []string
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/codes", in, &list); err != nil || c.Json {
		return err
	}
	for _, s := range list {
		fmt.Fprintln(e.out, s)
	}
	return nil
}

type codesIssueCmd struct {
	order
	Format string `help:"${flag_code_format}" enum:"csv,jsonl" default:"csv"`
	Gzip   bool   `help:"${flag_code_gzip}"`
	room
}

func (c *codesIssueCmd) Run(e *env) error {
	in, err := c.order.order()
	if err != nil {
		return err
	}
	in.Format, in.Gzip = c.Format, c.Gzip
	var j mint.JobView
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/code-jobs", in, &j); err != nil {
		return err
	}
	c.showJob(e, &j)
	return nil
}

func (r *room) showJob(e *env, j *mint.JobView) {
	if r.Json {
		return
	}
	state := map[mint.JobState]text{mint.Running: {"running", "进行中"}, mint.Done: {"done", "完成"}, mint.Failed: {"failed", "失败"}}[j.State]
	e.print("%s  %s  %d of %d codes  %d bytes  %s", "%s  %s  编码 %d／%d  %d 字节  %s", j.ID, e.say(state.en, state.zh), j.Done, j.Count, j.Bytes, j.SHA256)
	if j.Trouble != "" {
		fmt.Fprintln(e.out, printable(j.Trouble))
	}
}

// aboutJob is the commands about one job.
type aboutJob struct {
	Job  string        `arg:"" help:"PREFIX/JOB_NUMBER"`
	Wait time.Duration `help:"${flag_job_wait}"`
	room
}

func (c *aboutJob) path() (prefix, at string, err error) {
	v, err := id.ParseHandle(c.Job)
	if err == nil && (v.IsPrefix() || !strings.HasPrefix(strings.ToUpper(v.Suffix()), "JOB_")) {
		err = problem.New(problem.BadID, "%.80q is no job: write PREFIX/JOB_NUMBER, as 88.118.1001/JOB_000001", "%.80q 不是任务：请写成 前缀/JOB_编号，例如 88.118.1001/JOB_000001", c.Job)
	}
	if err != nil {
		return "", "", err
	}
	return v.Prefix(), "/api/code-jobs/" + url.PathEscape(v.Prefix()) + "/" + url.PathEscape(v.Suffix()), nil
}

// look asks how far the job is, until it is over or --wait is.
func (c *aboutJob) look(e *env) (j mint.JobView, err error) {
	prefix, at, err := c.path()
	if err != nil {
		return j, err
	}
	json := c.Json
	c.Json = false
	defer func() { c.Json = json }()
	for end := time.Now().Add(c.Wait); ; {
		j = mint.JobView{}
		if err := c.ask(e, prefix, http.MethodGet, at, nil, &j); err != nil || j.State != mint.Running || !time.Now().Before(end) {
			return j, err
		}
		select {
		case <-e.ctx.Done():
			return j, problem.Wrap(e.ctx.Err(), problem.Canceled, "the job goes on without this command", "任务在此命令之外继续进行")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

type codesStatusCmd struct{ aboutJob }

func (c *codesStatusCmd) Run(e *env) error {
	j, err := c.look(e)
	if err != nil {
		return err
	}
	if c.Json {
		b, err := json.Marshal(j)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%s\n", b)
		return nil
	}
	c.showJob(e, &j)
	return nil
}

type codesFetchCmd struct {
	aboutJob
	Out string `required:"" help:"${flag_out}" placeholder:"FILE"`
}

func (c *codesFetchCmd) Run(e *env) (err error) {
	j, err := c.look(e)
	if err != nil {
		return err
	}
	if j.State != mint.Done {
		return problem.New(problem.Busy, "the file of %s is not complete yet (%d of %d codes): wait with --wait 10m", "%s 的文件尚未完成（%d／%d）：可用 --wait 10m 等待", j.ID, j.Done, j.Count)
	}
	prefix, at, err := c.path()
	if err != nil {
		return err
	}
	body, err := c.download(e.ctx, prefix, at+"/file")
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.OpenFile(c.Out, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return problem.New(problem.Exists, "%s exists; it is never written over, move it away first", "%s 已存在；不会被覆盖，请先移走", c.Out)
	}
	unwritten := func(err error) error {
		return problem.Wrap(err, problem.Full, "%s could not be written", "%s 无法写入", c.Out)
	}
	if err != nil {
		return unwritten(err)
	}
	whole := false
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = unwritten(e)
		}
		if !whole {
			os.Remove(c.Out)
		}
	}()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, sum), body); err != nil {
		return problem.Wrap(err, problem.Unreachable, "the file broke off: fetch it again", "文件传输中断：请重新获取")
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != j.SHA256 {
		return problem.New(problem.Bogus, "the file's SHA-256 is %s, the job says %s: fetch it again", "文件的 SHA-256 为 %s，任务记录为 %s：请重新获取", got, j.SHA256)
	}
	whole = true
	if !c.Json {
		e.print("%s holds %d codes, SHA-256 %s", "%s 中有 %d 个编码，SHA-256 为 %s", c.Out, j.Count, j.SHA256)
	}
	return nil
}

// download asks for something long.
func (r *room) download(ctx context.Context, prefix, path string) (io.ReadCloser, error) {
	if err := r.runs(); err != nil {
		return nil, err
	}
	if r.Token != "" {
		return r.downloadBearer(ctx, path)
	}
	v, err := id.ParseHandle(prefix + "/User_x")
	if err != nil {
		return nil, err
	}
	to, done, err := r.one(ctx, v)
	if err != nil {
		return nil, err
	}
	c, ok := to.(*web.Client)
	if !ok {
		done()
		return nil, problem.New(problem.Unsupported, "files are fetched from a node that runs: name it with --server", "文件须从运行中的节点获取：请用 --server 指明")
	}
	body, err := c.Download(ctx, path)
	if err != nil {
		done()
		return nil, err
	}
	return &longBody{body, done}, nil
}

func (r *room) downloadBearer(ctx context.Context, path string) (io.ReadCloser, error) {
	if !strings.HasPrefix(r.Server, "https://") {
		return nil, problem.New(problem.BadRequest, "--token needs --server with the node's https address", "--token 须配合 --server，且为节点的 https 地址")
	}
	token, err := os.ReadFile(r.Token)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read the token", "无法读取令牌")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.Server, "/")+path, nil)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "--server is no address", "--server 不是地址")
	}
	req.Header.Set("Authorization", "Bearer "+string(trimNewline(token)))
	tr := &http.Transport{TLSClientConfig: web.PinnedTLS(r.Pin), DisableCompression: true}
	resp, err := (&http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		tr.CloseIdleConnections()
		return nil, problem.Wrap(err, problem.Unreachable, "the node does not answer", "节点无应答")
	}
	if resp.StatusCode != http.StatusOK {
		defer tr.CloseIdleConnections()
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err != nil {
			return nil, problem.Wrap(err, problem.Unreachable, "the node's answer broke off", "节点的应答中断")
		}
		return nil, refusal(resp.StatusCode, b)
	}
	return &longBody{resp.Body, tr.CloseIdleConnections}, nil
}

// longBody gives back what its connection took.
type longBody struct {
	io.ReadCloser
	done func()
}

func (b *longBody) Close() error {
	err := b.ReadCloser.Close()
	b.done()
	return err
}

type codesParseCmd struct {
	Id   string `arg:"" help:"PREFIX/CODE"`
	Rule string `required:"" help:"${arg_rule}"`
	room
}

func (c *codesParseCmd) Run(e *env) error {
	v, err := id.ParseHandle(c.Id)
	if err != nil {
		return err
	}
	var p mint.Parsed
	if err := c.ask(e, v.Prefix(), http.MethodPost, "/api/codes/parse", mint.Question{ID: c.Id, Rule: c.Rule}, &p); err != nil || c.Json {
		return err
	}
	issued := e.say("issued", "已发放")
	if !p.Issued {
		issued = e.say("never issued", "未发放")
	}
	e.print("rule %s, number %d, %s", "规则 %s，序号 %d，%s", p.Rule, p.Serial, issued)
	if !p.Date.IsZero() {
		e.print("date %s", "日期 %s", p.Date.Format(time.DateOnly))
	}
	if p.Class != "" {
		e.print("class %s", "分类 %s", p.Class)
	}
	return nil
}
