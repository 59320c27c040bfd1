package main

import (
	"context"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// newcomer is the enterprise that the check lets join.
type newcomer struct {
	prefix string
	key    *trust.PrivateKey
	at     *sim.NodeState // the node that hosts it
}

// officeOf is the office of a node, for its operator.
func officeOf(n *sim.NodeState) (*office.Client, error) {
	key, err := sim.PrefixKey(n)
	return &office.Client{Base: n.HTTPS, Pin: n.Pin, User: node.PrefixKeyRef(n.Prefix), Key: key}, err
}

// client is the newcomer at its host.
func (e *newcomer) client() *web.Client {
	return &web.Client{Base: e.at.HTTPS, Pin: e.at.Pin, User: record.Ref{Index: 310, Name: "0.NA/" + e.prefix}, Key: e.key}
}

// admit lets a new enterprise apply at a second-level node, has it approved, and registers its first identifier.
func (c *checker) admit(ctx context.Context) (string, error) {
	at := c.state.First(node.SecondLevel)
	e := &newcomer{prefix: at.Prefix + ".9001", at: at}
	var err error
	if e.key, err = trust.Generate(trust.Ed25519, nil); err != nil {
		return "", err
	}
	stranger := &office.Client{Base: at.HTTPS, Pin: at.Pin}
	defer stranger.Close()
	v, err := stranger.Apply(ctx, office.Form{Prefix: e.prefix, Kind: office.Hosted, Organisation: office.Organisation{
		Name: "检测新企业 Check Newcomer", Nature: 2, CrtType: 2, CrtCode: "CHECK-9001", Contact: office.Person{Name: "检测", Phone: "000", Email: "check@example.com"}}}, e.key, false)
	if err != nil {
		return "", err
	}
	if _, err := stranger.Act(ctx, v.ID, "approve", office.Reason{Reason: "?"}); err == nil {
		return "", wrong("a stranger could approve %s", "陌生人竟可批准 %s", v.ID)
	}
	operator, err := officeOf(at)
	if err != nil {
		return "", err
	}
	defer operator.Close()
	seen, _, err := operator.Get(ctx, v.ID)
	if err != nil {
		return "", err
	}
	var accept []string
	for _, w := range seen.Warnings {
		accept = append(accept, w.Code)
	}
	if _, err := operator.Act(ctx, v.ID, "approve", office.Reason{Reason: "check", Accept: accept}); err != nil {
		return "", err
	}
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	v, err = operator.Wait(wait, v.ID, 20*time.Millisecond)
	if err != nil {
		return "", err
	}
	if v.State != office.Active {
		return "", wrong("%s is %s", "%s 的状态为 %s", v.ID, v.State)
	}
	for v.Timing.Resolvable.IsZero() {
		now, _, err := operator.Get(wait, v.ID)
		if wait.Err() != nil {
			return "", wrong("%s is %s and was not seen to resolve: %s", "%s 为 %s，未见可解析：%s", e.prefix, v.State, v.Trouble)
		}
		if err != nil {
			return "", err
		}
		v = now
		time.Sleep(20 * time.Millisecond)
	}
	client := e.client()
	defer client.Close()
	first := id.MustParse(e.prefix + "/FIRST")
	rs, err := client.Write(ctx, record.Identity{}, []record.Write{{Op: record.Create, ID: first, Values: []record.Value{
		{Index: 1, Type: record.TypeURL, Data: []byte("https://example.com/first"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}}}})
	if err == nil {
		err = rs[0].Err
	}
	if err != nil {
		return "", err
	}
	w, err := c.walker(c.country.Access().IRP)
	if err != nil {
		return "", err
	}
	defer w.Close()
	a, err := w.Resolve(ctx, record.Query{ID: first, PublicOnly: true})
	if err != nil {
		return "", err
	}
	if a.Trust != record.Secure {
		return "", wrong("%s is %s, not secure", "%s 为 %s，而非可信", first, a.Trust)
	}
	// Nobody else gets the prefix.
	other, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		return "", err
	}
	if _, err := stranger.Apply(ctx, office.Form{Prefix: e.prefix, Kind: office.Hosted, Organisation: office.Organisation{
		Name: "另一企业 Other", Nature: 2, CrtType: 2, CrtCode: "CHECK-9002", Contact: office.Person{Name: "检测", Phone: "000", Email: "check@example.com"}}}, other, false); !problem.Is(err, problem.Exists) {
		return "", wrong("a second application for %s got %v", "对 %s 的第二份申请得到 %v", e.prefix, err)
	}
	c.newcomer = e
	return c.say("%s: approved → resolvable in %.2f s; its first identifier is secure from the root down", "%s：批准后 %.2f 秒可解析；其首个标识自根起签名链可信", e.prefix, v.Timing.Seconds), nil
}
