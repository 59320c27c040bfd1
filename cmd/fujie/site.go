package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/problem"
)

type siteCmd struct {
	State   siteStateCmd   `cmd:"" help:"${site_state}"`
	Promote sitePromoteCmd `cmd:"" help:"${site_promote}"`
}

type siteStateCmd struct {
	access
	JSON bool `name:"json" help:"${flag_json}"`
}

type sitePromoteCmd struct {
	access
	Alone bool `help:"${site_alone}"`
}

// siteState asks a site, and has it take over when in is not nil.
func (a *access) siteState(e *env, method, path string, in any) (st site.State, raw []byte, err error) {
	if a.Server == "" {
		return st, nil, problem.New(problem.BadRequest, "say which site: --server URL --as 300:0.NA/PREFIX --key FILE", "请指明站点：--server 地址 --as 300:0.NA/前缀 --key 文件")
	}
	c, err := a.client()
	if err != nil {
		return st, nil, err
	}
	defer c.Close()
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return st, nil, err
		}
	}
	status, raw, err := c.Exchange(e.ctx, method, path, body)
	if err != nil {
		return st, nil, err
	}
	if status != http.StatusOK {
		var p struct{ Detail string }
		_ = json.Unmarshal(raw, &p)
		kind := problem.Busy
		if status == http.StatusNotFound || status == http.StatusUnauthorized {
			kind = problem.NotAdmin
		}
		return st, raw, problem.New(kind, "%s answered %d: %s", "%s 返回 %d：%s", a.Server, status, p.Detail)
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return st, raw, problem.Wrap(err, problem.Unreachable, "%s is no site of a prefix with several", "%s 不是多站点前缀的站点", a.Server)
	}
	return st, raw, nil
}

func (c *siteStateCmd) Run(e *env) error {
	st, raw, err := c.siteState(e, http.MethodGet, "/api/site-state", nil)
	if err != nil {
		return err
	}
	if c.JSON {
		fmt.Fprintln(e.out, strings.TrimSpace(string(raw)))
		return nil
	}
	showSite(e, &st)
	return nil
}

func showSite(e *env, st *site.State) {
	e.print("%s of %s: %s in term %d, whose primary is %s; its last change is %d", "%[2]s 的站点 %[1]s：%[3]s，任期 %[4]d，主站点为 %[5]s；最后一条变更为 %[6]d",
		st.Site, st.Prefix, st.Role, st.Term, st.Primary, st.Last)
	for _, f := range st.Followers {
		life := e.say("follows", "跟随中")
		if !f.Living {
			life = e.say("is silent", "无响应")
		}
		e.print("  %s %s, up to change %d", "  %s %s，至变更 %d", f.Site, life, f.Seq)
	}
	if j := st.Judgement; st.Role != site.Primary && j.Target != "" {
		e.print("  it finds %s: resolution %s, registration %s", "  对 %s 的探测：解析 %s，注册 %s", j.Target, j.Resolution, j.Registration)
	}
	for _, t := range st.Tails {
		e.print("  set aside before term %d: %d changes, never acknowledged, in %s", "  任期 %d 之前搁置 %d 条未确认的变更，见 %s", t.Term, t.Changes, t.File)
	}
	if st.Trouble != "" {
		e.print("  trouble: %s", "  问题：%s", st.Trouble)
	}
}

func (c *sitePromoteCmd) Run(e *env) error {
	st, _, err := c.siteState(e, http.MethodPost, "/api/site/promote", map[string]bool{"alone": c.Alone})
	if err != nil {
		return err
	}
	showSite(e, &st)
	return nil
}
