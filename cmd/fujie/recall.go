package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trace/recall"
)

type recallCmd struct {
	Open    recallOpenCmd    `cmd:"" help:"${recall_open}"`
	List    recallListCmd    `cmd:"" help:"${recall_list}"`
	Show    recallShowCmd    `cmd:"" help:"${recall_show}"`
	Search  recallSearchCmd  `cmd:"" help:"${recall_search}"`
	Close   recallCloseCmd   `cmd:"" help:"${recall_close}"`
	Notices recallNoticesCmd `cmd:"" help:"${recall_notices}"`
	Answer  recallAnswerCmd  `cmd:"" help:"${recall_answer}"`
	Below   recallBelowCmd   `cmd:"" help:"${recall_below}"`
}

type recallOpenCmd struct {
	Prefix       string   `arg:"" help:"PREFIX"`
	Name         string   `arg:"" help:"2026-01"`
	Things       []string `arg:"" help:"88.118.1001/LOT-7 …"`
	Title        string   `help:"${flag_recall_title}" required:""`
	Reason       string   `help:"${flag_reason}"`
	Instructions string   `help:"${flag_recall_instructions}"`
	room
}

func (c *recallOpenCmd) Run(e *env) error {
	in := recall.OpenInput{Name: c.Name, Order: recall.Order{Title: c.Title, Reason: c.Reason, Instructions: c.Instructions, Things: c.Things}}
	var v recall.View
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/recalls", in, &v); err != nil || c.Json {
		return err
	}
	e.print("%s is open: its holders are searched for and told", "%s 已开启：正在查找并通知持有方", v.ID)
	return nil
}

type recallListCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}" placeholder:"NAME"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	room
}

func (c *recallListCmd) Run(e *env) error {
	var page api.Page[recall.View]
	if err := c.ask(e, c.Prefix, http.MethodGet, pagePath("/api/recalls", c.After, c.Limit), nil, &page); err != nil || c.Json {
		return err
	}
	for i := range page.Items {
		v := &page.Items[i]
		e.print("%s  %s  %d things at %d holders  %s", "%s  %s  %[4]d 个持有方共 %[3]d 件  %[5]s", v.ID, v.State, v.Affected, len(v.Holders), printable(v.Title))
	}
	return nil
}

func pagePath(path, after string, limit int) string {
	q := url.Values{"limit": {fmt.Sprint(limit)}}
	if after != "" {
		q.Set("after", after)
	}
	return path + "?" + q.Encode()
}

type recallShowCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	Name   string `arg:"" help:"2026-01"`
	room
}

func (c *recallShowCmd) Run(e *env) error {
	var v recall.View
	if err := c.ask(e, c.Prefix, http.MethodGet, "/api/recalls/"+url.PathEscape(c.Name), nil, &v); err != nil || c.Json {
		return err
	}
	printRecall(e, &v)
	return nil
}

func printRecall(e *env, v *recall.View) {
	state := map[recall.State]text{recall.Open: {"open", "进行中"}, recall.Notified: {"every holder has its notice", "已通知全部持有方"}, recall.Closed: {"closed", "已关闭"}}[v.State]
	fmt.Fprintf(e.out, "%s  %s  %s\n", v.ID, printable(v.Title), e.say(state.en, state.zh))
	whole := e.say("the search came to every end", "已查至所有终点")
	if !v.Complete {
		whole = e.say("the search is not complete", "查找尚不完整")
	}
	e.print("%d things; %s", "%d 件；%s", v.Affected, whole)
	for _, h := range v.Holders {
		how := e.say("not told yet", "尚未通知")
		switch {
		case h.Done:
			how = e.say("accounted for all, %d not found", "已全部反馈，%d 件未找到", h.Missing)
		case !h.Notified.IsZero():
			how = e.say("told", "已通知")
		case h.Error != "":
			how += ": " + printable(h.Error)
		}
		fmt.Fprintf(e.out, "  %s  %d  %s\n", h.Prefix, h.Count, how)
	}
}

type recallSearchCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	Name   string `arg:"" help:"2026-01"`
	room
}

func (c *recallSearchCmd) Run(e *env) error {
	var v recall.View
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/recalls/"+url.PathEscape(c.Name)+"/search", nil, &v); err != nil || c.Json {
		return err
	}
	printRecall(e, &v)
	return nil
}

type recallCloseCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	Name   string `arg:"" help:"2026-01"`
	Reason string `help:"${flag_recall_why}"`
	room
}

func (c *recallCloseCmd) Run(e *env) error {
	var v recall.View
	in := map[string]string{"why": c.Reason}
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/recalls/"+url.PathEscape(c.Name)+"/close", in, &v); err != nil || c.Json {
		return err
	}
	printRecall(e, &v)
	return nil
}

type recallNoticesCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}" placeholder:"NAME"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	room
}

func (c *recallNoticesCmd) Run(e *env) error {
	var page api.Page[recall.NoticeView]
	if err := c.ask(e, c.Prefix, http.MethodGet, pagePath("/api/recall-notices", c.After, c.Limit), nil, &page); err != nil || c.Json {
		return err
	}
	for i := range page.Items {
		n := &page.Items[i]
		e.print("%s  %s  %d things here  %s", "%s  %s  本方 %d 件  %s", n.Name, n.Recall, n.Count, printable(n.Title))
	}
	return nil
}

type recallAnswerCmd struct {
	Prefix string   `arg:"" help:"PREFIX"`
	Notice string   `arg:"" help:"NOTICE"`
	Found  []string `arg:"" optional:"" help:"quarantined:88.118.1001/BOX-7 not-found:88.118.1001/BOX-8 destroyed:LOT=12.5:KGM"`
	Note   string   `help:"${flag_reason}"`
	Done   bool     `help:"${flag_recall_done}"`
	room
}

func (c *recallAnswerCmd) Run(e *env) error {
	in := struct {
		Items []recall.Finding `json:"items,omitempty"`
		Note  string           `json:"note,omitempty"`
		Done  bool             `json:"done,omitempty"`
	}{Note: c.Note, Done: c.Done}
	for _, s := range c.Found {
		action, thing, ok := strings.Cut(s, ":")
		if !ok || thing == "" {
			return problem.New(problem.BadRequest, "%q says not what became of what: write quarantined:88.118.1001/BOX-7", "%q 未写明处置与标识：请写成 quarantined:88.118.1001/BOX-7", s)
		}
		f := recall.Finding{Action: action, Item: recall.Item{Thing: thing}}
		if name, amount, ok := strings.Cut(thing, "="); ok {
			quantity, unit, _ := strings.Cut(amount, ":")
			f.Thing, f.Quantity, f.Unit = name, epcis.Decimal(quantity), unit
		}
		in.Items = append(in.Items, f)
	}
	var v recall.NoticeView
	if err := c.ask(e, c.Prefix, http.MethodPost, "/api/recall-notices/"+url.PathEscape(c.Notice)+"/answers", in, &v); err != nil || c.Json {
		return err
	}
	e.print("answer %d to %s is written and on its way", "对 %[2]s 的第 %[1]d 次反馈已记录并发送", len(v.Answers), v.Recall)
	return nil
}

type recallBelowCmd struct {
	Prefix string `arg:"" help:"PREFIX"`
	After  string `help:"${flag_after}" placeholder:"NAME"`
	Limit  int    `help:"${flag_limit}" default:"100"`
	room
}

func (c *recallBelowCmd) Run(e *env) error {
	var page api.Page[recall.CopyView]
	if err := c.ask(e, c.Prefix, http.MethodGet, pagePath("/api/recalls-below", c.After, c.Limit), nil, &page); err != nil || c.Json {
		return err
	}
	for i := range page.Items {
		v := &page.Items[i]
		done := 0
		for _, h := range v.Holders {
			if h.Done {
				done++
			}
		}
		e.print("%s  %s  %d things, %d of %d holders done  %s", "%s  %s  %d 件，%[5]d 个持有方中 %[4]d 个已完成  %[6]s", v.Recall, v.State, v.Affected, done, len(v.Holders), printable(v.Title))
	}
	return nil
}
