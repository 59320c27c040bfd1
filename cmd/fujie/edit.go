package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/irp"
	"github.com/fujie-id/fujie/wire/web"
)

type getCmd struct {
	access
	ID      string   `arg:"" help:"88.118.1001/ENG-42"`
	JSON    bool     `name:"json" help:"${flag_json}"`
	Type    []string `help:"${flag_type}" placeholder:"TYPE"`
	Index   []uint32 `help:"${flag_index}" placeholder:"N"`
	At      string   `help:"${flag_at}" placeholder:"HOST:PORT"`
	Hints   string   `help:"${flag_hints}" placeholder:"FILE"`
	Purpose string   `help:"${flag_purpose}" placeholder:"WORD"`
	Proof   string   `help:"${flag_proof}" placeholder:"FILE"`
}

func (c *getCmd) Run(e *env) error {
	v, to, ctx, done, err := c.find(e)
	if err != nil {
		return err
	}
	defer done()
	q := record.Query{ID: v, As: c.ID, Indexes: c.Index, Types: c.Type, Authoritative: true, NoReferral: true, Purpose: c.Purpose, Certify: c.Proof != ""}
	a, err := to.Resolve(ctx, q)
	if err == nil && c.Proof != "" {
		if err = c.keep(ctx, v, a.Values); err != nil {
			return err
		}
		a.Values = withoutMade(a.Values, q)
	}
	if c.JSON {
		e.out.Write(append(answerJSON(q, a, err), '\n'))
		return err
	}
	if err != nil {
		return err
	}
	printValues(e, a.Values)
	return nil
}

// find finds who keeps the identifier: by the folder or the server that was named; else, for somebody who says who they
// are, by asking the world, so that the keeper can be anybody's node.
func (c *getCmd) find(e *env) (v id.ID, to record.Resolver, ctx context.Context, done func(), err error) {
	if c.As == "" || c.Server != "" {
		return c.keeper(e, c.ID)
	}
	if v, err = id.Parse(c.ID); err != nil {
		return v, nil, nil, nil, err
	}
	ctx, cancel := e.withTimeout()
	k, err := c.elsewhere(ctx, v)
	if err != nil {
		cancel()
		return v, nil, nil, nil, err
	}
	return v, k, ctx, func() { k.Close(); cancel() }, nil
}

// elsewhere is a client of the node that keeps v, whoever's that is, with the proof that was given.
func (c *getCmd) elsewhere(ctx context.Context, v id.ID) (*web.Client, error) {
	client := &irp.Client{}
	defer client.Close()
	w, done, err := (&resolveCmd{At: c.At, Data: c.Data, Hints: c.Hints}).world(client)
	if err != nil {
		return nil, err
	}
	defer done()
	servers, err := client.Find(ctx, w, v, false)
	if err != nil {
		return nil, err
	}
	for _, p := range []record.Protocol{record.HTTPS, record.HTTP} {
		for _, s := range servers {
			if s.Protocol != p {
				continue
			}
			to := *c
			to.Server = "https://" + s.Addr.String() // one port takes both
			if to.Pin == "" {
				if k, err := trust.ParsePublic(s.Key); err == nil && k.Algorithm() != trust.SM2 {
					to.Pin = k.Fingerprint()
				}
			}
			return to.client()
		}
	}
	return nil, problem.New(problem.Unreachable, "the node that keeps %s takes no signed questions: it tells no HTTP address; name one with --server", "保存 %s 的节点没有公布 HTTP 地址，无法发送签名查询；请用 --server 指定", v)
}

// keep writes the answer with its chain to a file.
func (c *getCmd) keep(ctx context.Context, v id.ID, values []record.Value) error {
	client := &irp.Client{}
	defer client.Close()
	w, done, err := (&resolveCmd{At: c.At, Data: c.Data, Hints: c.Hints}).world(client)
	if err != nil {
		return err
	}
	defer done()
	p, err := gather(ctx, w, v, values)
	if err != nil {
		return err
	}
	return p.write(c.Proof)
}

// answerJSON is an answer in the JSON form of Handle.Net, and what is known of it beside.
func answerJSON(q record.Query, a record.Answer, err error) []byte {
	b := []byte(`{"handle":`)
	b = record.AppendJSONString(b, q.Name())
	if err != nil {
		b = append(b, `,"error":`...)
		b = record.AppendJSONString(b, problem.KindOf(err).String())
		b = append(b, `,"message":`...)
		b = record.AppendJSONString(b, err.Error())
		return append(b, '}')
	}
	b = append(b, `,"values":`...)
	b = record.AppendValuesJSON(b, a.Values)
	b = append(b, `,"trust":`...)
	b = record.AppendJSONString(b, a.Trust.String())
	if a.Stale {
		b = append(b, `,"stale":true`...)
	}
	if !a.Live.IsZero() {
		b = append(b, `,"live":"`...)
		b = append(a.Live.UTC().AppendFormat(b, time.RFC3339Nano), '"')
	}
	if a.Source != "" {
		b = append(b, `,"source":`...)
		b = record.AppendJSONString(b, a.Source)
	}
	if len(a.Path) > 0 {
		b = append(b, `,"path":[`...)
		for i, s := range a.Path {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"at_ms":%.3f,"took_ms":%.3f,"asked":`, ms(s.At), ms(s.Took))
			b = record.AppendJSONString(b, s.Asked)
			b = append(b, `,"name":`...)
			b = record.AppendJSONString(b, s.Name)
			b = append(b, `,"outcome":`...)
			b = record.AppendJSONString(b, s.Outcome)
			b = append(b, `,"trust":`...)
			b = record.AppendJSONString(b, s.Trust.String())
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

type putCmd struct {
	access
	ID      string   `arg:"" help:"88.118.1001/ENG-42"`
	Values  []string `arg:"" optional:"" help:"TYPE=TEXT, INDEX:TYPE=TEXT"`
	JSON    string   `name:"json" help:"${flag_stdin}" placeholder:"FILE"`
	NewOnly bool     `help:"${flag_new}"`
}

func (c *putCmd) Run(e *env) error {
	vs, err := c.values()
	if err != nil {
		return err
	}
	if err := record.CheckAll(vs); err != nil {
		return err
	}
	v, to, ctx, done, err := c.keeper(e, c.ID)
	if err != nil {
		return err
	}
	defer done()
	res, err := to.Write(ctx, record.Identity{}, []record.Write{{Op: record.Create, ID: v, Values: vs, Overwrite: !c.NewOnly}})
	if err == nil {
		err = res[0].Err
	}
	if err != nil {
		return err
	}
	e.print("%s is written, with %d values", "%s 已写入，共 %d 个值", res[0].ID, len(vs))
	return nil
}

func (c *putCmd) values() ([]record.Value, error) {
	if c.JSON != "" {
		if len(c.Values) > 0 {
			return nil, problem.New(problem.BadRequest, "give values or --json, not both", "值与 --json 只能选其一")
		}
		var b []byte
		var err error
		if c.JSON == "-" {
			b, err = io.ReadAll(io.LimitReader(os.Stdin, 4<<20))
		} else {
			b, err = os.ReadFile(c.JSON)
		}
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "cannot read the record", "无法读取记录")
		}
		_, vs, err := record.ParseRecordJSON(b)
		return vs, err
	}
	if len(c.Values) == 0 {
		return nil, problem.New(problem.BadRequest, "there is nothing to write; give values as TYPE=TEXT", "没有要写的值；请按 类型=内容 给出")
	}
	var vs []record.Value
	next := uint32(1)
	for _, s := range c.Values {
		head, data, ok := strings.Cut(s, "=")
		if !ok || head == "" {
			return nil, problem.New(problem.BadValue, "%q is no value; write TYPE=TEXT or INDEX:TYPE=TEXT", "%q 不是值；请写成 类型=内容 或 索引:类型=内容", s)
		}
		index, typ := next, head
		if n, t, ok := strings.Cut(head, ":"); ok {
			if i, err := strconv.ParseUint(n, 10, 31); err == nil {
				index, typ = uint32(i), t
			}
		}
		vs = append(vs, record.Value{Index: index, Type: typ, Data: []byte(data), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: record.DefaultTTL}})
		next = index + 1
	}
	slices.SortFunc(vs, func(a, b record.Value) int { return int(a.Index) - int(b.Index) })
	return vs, nil
}

type deleteCmd struct {
	access
	ID    string   `arg:"" help:"88.118.1001/ENG-42"`
	Index []uint32 `help:"${flag_index}" placeholder:"N"`
}

func (c *deleteCmd) Run(e *env) error {
	v, to, ctx, done, err := c.keeper(e, c.ID)
	if err != nil {
		return err
	}
	defer done()
	w := record.Write{Op: record.Delete, ID: v}
	if len(c.Index) > 0 {
		w.Op, w.Indexes = record.Remove, c.Index
	}
	res, err := to.Write(ctx, record.Identity{}, []record.Write{w})
	if err == nil {
		err = res[0].Err
	}
	if err != nil {
		return err
	}
	if w.Op == record.Remove {
		e.print("%d values of %s are deleted", "已删除 %[2]s 的 %[1]d 个值", len(c.Index), v)
	} else {
		e.print("%s is deleted", "%s 已删除", v)
	}
	return nil
}

type listCmd struct {
	access
	Prefix string `arg:"" help:"88.118.1001"`
	After  string `help:"${flag_after}" placeholder:"ID"`
	Limit  int    `help:"${flag_limit}" default:"0" placeholder:"N"`
}

func (c *listCmd) Run(e *env) error {
	p, err := id.ParseHandle(c.Prefix)
	if err != nil {
		return err
	}
	if !p.IsPrefix() {
		return problem.New(problem.BadID, "%q has a suffix; give the prefix alone", "%q 带有后缀；只给前缀即可", c.Prefix)
	}
	after := ""
	if c.After != "" {
		v, err := id.Parse(c.After)
		if err != nil {
			return err
		}
		after = v.String()
	}
	// Whose records these are decides who is asked: any suffix will do.
	some, err := id.ParseHandle(p.String() + "/-")
	if err != nil {
		return err
	}
	to, done, err := c.one(e.ctx, some)
	if err != nil {
		return err
	}
	defer done()
	for left := c.Limit; ; {
		n := 1000
		if c.Limit > 0 {
			n = min(n, left)
		}
		names, err := to.List(e.ctx, record.Identity{}, p.String(), after, n)
		if err != nil {
			return err
		}
		for _, name := range names {
			fmt.Fprintln(e.out, printable(name))
			after = name
		}
		left -= len(names)
		if len(names) < n || c.Limit > 0 && left == 0 {
			return nil
		}
	}
}

// printable is a name on one line, whatever it holds.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return strconv.Quote(name)
	}
	return name
}
