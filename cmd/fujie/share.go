package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/trace/share"
)

type shareCmd struct {
	Put    sharePutCmd    `cmd:"" help:"${share_put}"`
	List   shareListCmd   `cmd:"" help:"${share_list}"`
	Remove shareRemoveCmd `cmd:"" help:"${share_remove}"`
}

type sharePutCmd struct {
	Prefix string    `arg:"" help:"PREFIX"`
	Name   string    `arg:"" help:"partner"`
	To     []string  `help:"${flag_share_to}" required:"" placeholder:"WHO"`
	Level  string    `help:"${flag_share_level}" enum:"exists,trace,contents" default:"trace"`
	Hops   int       `help:"${flag_share_hops}" placeholder:"N"`
	Recall bool      `help:"${flag_share_recall}"`
	Steps  []string  `help:"${flag_share_steps}" placeholder:"STEP"`
	Things []string  `help:"${flag_share_things}" placeholder:"ID"`
	Until  time.Time `help:"${flag_share_until}" placeholder:"TIME"`
	Note   string    `help:"${flag_reason}"`
	room
}

func (c *sharePutCmd) Run(e *env) error {
	level, err := share.ParseLevel(c.Level)
	if err != nil {
		return err
	}
	in := share.Share{To: c.To, Level: level, Hops: c.Hops, OnRecall: c.Recall, Steps: c.Steps, Things: c.Things, Until: c.Until, Note: c.Note}
	var v share.View
	if err := c.ask(e, c.Prefix, http.MethodPut, "/api/shares/"+url.PathEscape(c.Name), in, &v); err != nil || c.Json {
		return err
	}
	e.print("%s holds from the next question on", "%s 自下一次查询起生效", v.ID)
	return nil
}

type shareListCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}" placeholder:"NAME"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	room
}

func (c *shareListCmd) Run(e *env) error {
	var page api.Page[share.View]
	if err := c.ask(e, c.Prefix, http.MethodGet, pagePath("/api/shares", c.After, c.Limit), nil, &page); err != nil || c.Json {
		return err
	}
	for _, v := range page.Items {
		fmt.Fprintf(e.out, "%s  %s  %s  %s\n", v.ID, v.Level, printable(strings.Join(v.To, ", ")), printable(v.Note))
	}
	return nil
}

type shareRemoveCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	Name   string `arg:"" help:"partner"`
	room
}

func (c *shareRemoveCmd) Run(e *env) error {
	if err := c.ask(e, c.Prefix, http.MethodDelete, "/api/shares/"+url.PathEscape(c.Name), nil, nil); err != nil || c.Json {
		return err
	}
	e.print("the share %s is taken back", "共享 %s 已收回", c.Name)
	return nil
}
