package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/gs1"
	"github.com/fujie-id/fujie/problem"
)

type idCmd struct {
	Explain idExplainCmd `cmd:"" help:"${id_explain}"`
}

type idExplainCmd struct {
	Code string `arg:"" help:"${arg_code}"`
	Json bool   `help:"${flag_json}"`
}

// explained is what a code is, for scripts.
type explained struct {
	Code     string     `json:"code"`
	Scheme   string     `json:"scheme"` // handle, vaa, gs1
	ID       string     `json:"id"`
	Prefix   string     `json:"prefix,omitempty"`
	Suffix   string     `json:"suffix,omitempty"`
	Printed  string     `json:"printed,omitempty"` // VAA
	Elements []gs1.Line `json:"elements,omitempty"`
	Element  string     `json:"elementString,omitempty"`
	EPC      string     `json:"epc,omitempty"`
	Tag      string     `json:"tag,omitempty"`
}

// Run takes a code apart: what it is, in which scheme, and how else it is written. Nothing is asked of any node.
func (c *idExplainCmd) Run(e *env) error {
	x := explained{Code: c.Code, Scheme: "handle"}
	code := c.Code
	// What a reader gives of a tag is no identifier by itself: the EPC in it is.
	if t, err := gs1.ParseTag(code); err == nil && t.URN.Kind == "id" {
		x.Tag, x.EPC = t.String(), t.URN.String()
		if link, ok := t.URN.Link(); ok {
			code = link
		} else {
			x.Scheme, x.ID = "gs1", x.EPC
			return c.show(e, &x)
		}
	} else if strings.HasPrefix(code, "urn:epc:") {
		x.EPC = code
	}
	v, err := id.Parse(code)
	if err != nil {
		return err
	}
	x.ID = v.String()
	if v.IsGS1() {
		x.Scheme = "gs1"
		l, err := gs1.ParseLink(x.ID)
		if err != nil {
			return err
		}
		if full, err := gs1.ParseElements(c.Code); err == nil {
			l.Elements = full // with what the name of the thing leaves out
		}
		x.Elements, x.Element = l.Elements.Explain(), l.Elements.String()
		return c.show(e, &x)
	}
	x.Prefix, x.Suffix = v.Prefix(), v.Suffix()
	if printed, err := v.Printed(); err == nil && !v.IsPrefix() {
		x.Printed = printed
		if strings.EqualFold(printed, c.Code) {
			x.Scheme = "vaa"
		}
	}
	return c.show(e, &x)
}

func (c *idExplainCmd) show(e *env, x *explained) error {
	if c.Json {
		b, err := json.Marshal(x)
		if err != nil {
			return problem.Wrap(err, problem.Internal, "the answer cannot be written", "结果无法写出")
		}
		fmt.Fprintln(e.out, string(b))
		return nil
	}
	line := func(en, zh, v string) {
		if v != "" {
			fmt.Fprintf(e.out, "%-14s %s\n", e.say(en, zh), printable(v))
		}
	}
	line("scheme", "编码体系", x.Scheme)
	line("identifier", "标识", x.ID)
	line("prefix", "前缀", x.Prefix)
	line("suffix", "后缀", x.Suffix)
	line("printed", "印制形式", x.Printed)
	line("elements", "单元数据串", x.Element)
	for _, l := range x.Elements {
		title := l.Title
		if e.lang == problem.Chinese && l.TitleZH != "" {
			title = l.TitleZH
		}
		fmt.Fprintf(e.out, "  (%s) %s  %s\n", l.AI, printable(l.Value), printable(title))
	}
	line("EPC", "EPC", x.EPC)
	line("tag", "标签", x.Tag)
	return nil
}
