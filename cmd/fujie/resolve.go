package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/recursor"
	"github.com/fujie-id/fujie/wire/irp"
	"github.com/fujie-id/fujie/wire/web"
)

// askTimeout is how long one question may take.
const askTimeout = 15 * time.Second

type resolveCmd struct {
	ID     string   `arg:"" help:"88.118.1001/ENG-42"`
	At     string   `help:"${flag_at}" placeholder:"HOST:PORT"`
	JSON   bool     `name:"json" help:"${flag_json}"`
	Trace  bool     `help:"${flag_trace}"`
	Verify bool     `help:"${flag_verify}"`
	Proof  string   `help:"${flag_proof}" placeholder:"FILE"`
	Type   []string `help:"${flag_type}" placeholder:"TYPE"`
	Index  []uint32 `help:"${flag_index}" placeholder:"N"`
	TCP    bool     `name:"tcp" help:"${flag_tcp}"`
	Data   string   `help:"${flag_data}" placeholder:"DIR"`
	Hints  string   `help:"${flag_hints}" placeholder:"FILE"`
}

func (c *resolveCmd) Run(e *env) error {
	v, err := id.Parse(c.ID)
	if err != nil {
		return err
	}
	q := record.Query{ID: v, Indexes: c.Index, Types: c.Type, PublicOnly: true, Trace: c.Trace}
	if id.MustParse(v.String()) == v && !strings.HasPrefix(strings.ToUpper(c.ID), "VAA") && !strings.HasPrefix(strings.ToLower(c.ID), "hdl:") {
		q.As = c.ID // the answer echoes the spelling
	}
	client := &irp.Client{}
	defer client.Close()
	ctx, cancel := e.withTimeout()
	defer cancel()

	var answer record.Answer
	if c.Verify || c.Trace || c.Proof != "" {
		// Both need the walk to be made here: to see each step, and to trust nobody on the way.
		walk, err := c.walker(client)
		if err != nil {
			return err
		}
		defer walk.Close()
		if c.Proof != "" {
			answer, err = c.kept(ctx, client, walk, v, q)
		} else if c.At == "" {
			answer, err = walk.Resolve(ctx, q)
		} else if answer, err = c.ask(ctx, client, certified(q)); err == nil {
			// Somebody else's answer, held against the chain from the root's key.
			answer.Trust, err = walk.Check(ctx, v, answer.Values)
			answer.Values = withoutMade(answer.Values, q)
		}
		return c.show(e, q, answer, err)
	}
	client.AskTrust = true
	answer, err = c.ask(ctx, client, q)
	return c.show(e, q, answer, err)
}

// kept asks for all that is public, and writes it to a file with the chain of signatures up to the root's key.
func (c *resolveCmd) kept(ctx context.Context, client *irp.Client, walk *recursor.Recursor, v id.ID, q record.Query) (a record.Answer, err error) {
	if c.At == "" {
		a, err = walk.Resolve(ctx, certified(q))
	} else if a, err = c.ask(ctx, client, certified(q)); err == nil {
		a.Trust, err = walk.Check(ctx, v, a.Values)
	}
	if err != nil {
		return a, err
	}
	p, err := gather(ctx, walk, v, a.Values)
	if err == nil {
		err = p.write(c.Proof)
	}
	if a.Values = withoutMade(a.Values, q); q.All() {
		a.Values = withoutSignatures(a.Values)
	}
	return a, err
}

// world is where prefixes are looked up: the server that was named, or a walk of our own from the root.
func (c *resolveCmd) world(client *irp.Client) (record.Resolver, func(), error) {
	if c.At != "" {
		return &server{c, client}, func() {}, nil
	}
	w, err := c.walker(client)
	if err != nil {
		return nil, nil, err
	}
	return w, w.Close, nil
}

// server is one that answers for others.
type server struct {
	c      *resolveCmd
	client *irp.Client
}

func (s *server) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	return s.c.ask(ctx, s.client, q)
}

// certified is q with the signature and everything it covers.
func certified(q record.Query) record.Query {
	q.Certify, q.Indexes, q.Types = true, nil, nil
	return q
}

// withoutMade is the values that q asked for.
func withoutMade(vs []record.Value, q record.Query) []record.Value {
	if q.All() {
		return vs
	}
	var out []record.Value
	for _, v := range vs {
		if q.Wants(v.Index, v.Type) {
			out = append(out, v)
		}
	}
	return out
}

// ask puts the question to one server: the one named, or the country's first recursive node.
func (c *resolveCmd) ask(ctx context.Context, client *irp.Client, q record.Query) (record.Answer, error) {
	at := c.At
	if at == "" {
		s, err := country(c.Data)
		if err != nil {
			return record.Answer{}, err
		}
		n := s.First(node.Recursive)
		if n == nil {
			return record.Answer{}, problem.New(problem.Unreachable, "the country has no recursive node; name a server with --at", "该国没有递归节点；请用 --at 指定服务器")
		}
		at = n.IRP
	}
	if strings.HasPrefix(at, "http://") || strings.HasPrefix(at, "https://") {
		w := &web.Client{Base: at}
		defer w.Close()
		return w.Resolve(ctx, q)
	}
	server, err := endpoint(at, c.TCP)
	if err != nil {
		return record.Answer{}, err
	}
	return client.Ask(ctx, server, q)
}

// endpoint is where HOST:PORT is.
func endpoint(at string, tcp bool) (record.Endpoint, error) {
	a, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		return record.Endpoint{}, problem.Wrap(err, problem.BadRequest, "%q is no server; write HOST:PORT, as 127.0.0.1:2641", "%q 不是服务器地址；请写成 主机:端口，例如 127.0.0.1:2641", at)
	}
	ap := a.AddrPort()
	e := record.Endpoint{Addr: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}
	if tcp {
		e.Protocol = record.TCP
	}
	return e, nil
}

// walker is a recursor of our own, from the root's hints.
func (c *resolveCmd) walker(client *irp.Client) (*recursor.Recursor, error) {
	path := c.Hints
	if path == "" {
		s, err := country(c.Data)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "to check the chain the root's key must be known; give it with --hints FILE", "校验签名链须知道根密钥；请用 --hints 文件 指定")
		}
		path = s.Hints
	}
	h, err := node.ReadHints(path)
	if err != nil {
		return nil, err
	}
	return recursor.New(recursor.Config{Ask: client, Hints: h.Sites, Anchors: h.Anchors, AllowPrivate: true})
}

func (c *resolveCmd) show(e *env, q record.Query, a record.Answer, err error) error {
	if err == nil && a.Referral != nil {
		err = problem.New(problem.NotHere, "that server does not answer for %s but refers to another; ask a recursive node", "该服务器不负责 %s，只给出转介；请询问递归节点", q.ID)
	}
	switch problem.KindOf(err) {
	case problem.NotFound:
		err = problem.New(problem.NotFound, "%s is not registered; check the spelling", "%s 没有登记；请检查拼写", q.Name())
	case problem.NoValues:
		err = problem.New(problem.NoValues, "%s is registered, but has no value that was asked for and that anybody may read", "%s 已登记，但没有所要的公开值", q.Name())
	}
	if c.Trace && len(a.Path) > 0 {
		c.steps(e, a)
	}
	if c.JSON {
		e.out.Write(append(answerJSON(q, a, err), '\n'))
		return err
	}
	if err != nil {
		return err
	}
	printValues(e, a.Values)
	e.print("%s: %s", "%s：%s", q.Name(), e.trust(a, c.Verify || c.Trace || c.Proof != ""))
	return nil
}

func (c *resolveCmd) steps(e *env, a record.Answer) {
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	for _, s := range a.Path {
		fmt.Fprintf(w, "%8.2f ms\t+%.2f ms\t%s\t%s\t%s\t%s\n", ms(s.At), ms(s.Took), s.Asked, s.Name, s.Outcome, s.Trust)
	}
	w.Flush()
	fmt.Fprintln(e.out)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// trust is what is known of an answer, in words; here tells whether its signatures were checked by this program.
func (e *env) trust(a record.Answer, here bool) string {
	var s string
	switch {
	case a.Trust == record.Secure && !here:
		s = e.say("found; %s says that every signature holds (--verify checks it here)", "已找到；%s 称其签名均成立（--verify 可在本地校验）", a.Source)
	case a.Trust == record.Secure:
		s = e.say("secure, every signature from the root's key holds", "可信：自根密钥起的每个签名均成立")
	case a.Trust == record.Unsigned:
		s = e.say("unsigned, an authority on the way signs nothing", "未签名：途中有机构未签名")
	default:
		s = e.say("found (nobody checked its signatures; --verify does)", "已找到（未校验签名；可用 --verify）")
	}
	if a.Stale {
		s += e.say("; old, since its node cannot be reached", "；为旧数据，因其节点不可达")
	}
	return s
}

func printValues(e *env, vs []record.Value) {
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	for i := range vs {
		fmt.Fprintf(w, "%d\t%s\t%s\n", vs[i].Index, vs[i].Type, shown(&vs[i]))
	}
	w.Flush()
}

// shown is a value's data for people: text as it is, short; the rest as Handle.Net's JSON has it.
func shown(v *record.Value) string {
	s := string(v.Data)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.HasPrefix(v.Type, "HS_") {
		s = string(record.AppendDataJSON(nil, v))
	}
	if r := []rune(s); len(r) > 160 {
		s = string(r[:160]) + "…"
	}
	return s
}
