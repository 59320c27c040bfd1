package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/office"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/ledger"
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

// call makes one request of a node's interface and reads its JSON answer.
func call(ctx context.Context, c *web.Client, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	status, b, err := c.Exchange(ctx, method, path, body)
	if err != nil {
		return err
	}
	if status >= 300 {
		return wrong("%s %s: HTTP %d %s", "%s %s：HTTP %d %s", method, path, status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// partner makes a program's identity at an enterprise's own node, and gives the way from it to the node at.
func (c *checker) partner(ctx context.Context, home *sim.NodeState, name string, at *sim.NodeState) (*web.Client, error) {
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		return nil, err
	}
	client, err := c.country.Access().Client(home)
	if err != nil {
		return nil, err
	}
	v := id.MustParse(home.Prefix + "/App_" + name)
	rs, err := client.Write(ctx, record.Identity{}, []record.Write{{Op: record.Create, ID: v, Values: []record.Value{
		{Index: 300, Type: record.TypePubKey, Data: key.Public().Data(), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 300}}}}})
	if err == nil {
		err = rs[0].Err
	}
	return &web.Client{Base: at.HTTPS, Pin: at.Pin, User: record.Ref{Index: 300, Name: v.String()}, Key: key}, err
}

// share shows a value to a partner of another enterprise and not to a stranger, and proves both its registration and the
// partner's look in the node's logs.
func (c *checker) share(ctx context.Context) (string, error) {
	e := c.newcomer
	if e == nil {
		return "", wrong("there is no new enterprise", "没有新企业")
	}
	owner := e.client()
	defer owner.Close()
	thing := id.MustParse(e.prefix + "/SHARED")
	const price = 2001
	rs, err := owner.Write(ctx, record.Identity{}, []record.Write{{Op: record.Create, ID: thing, Values: []record.Value{
		{Index: 2000, Type: "name", Data: []byte("pump"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}},
		{Index: price, Type: "price", Data: []byte("1280"), Perm: record.AdminRead | record.AdminWrite, TTL: record.TTL{Seconds: 60}}}}})
	if err == nil {
		err = rs[0].Err
	}
	if err != nil {
		return "", err
	}
	var homes []*sim.NodeState
	for i := range c.state.Nodes {
		if n := &c.state.Nodes[i]; n.Role == node.Enterprise && n.DemoUser != "" {
			homes = append(homes, n)
		}
	}
	if len(homes) < 2 {
		return "", wrong("two enterprises are needed", "至少需要两个企业")
	}
	friend, err := c.partner(ctx, homes[0], "friend", e.at)
	if err != nil {
		return "", err
	}
	defer friend.Close()
	stranger, err := c.partner(ctx, homes[1], "stranger", e.at)
	if err != nil {
		return "", err
	}
	defer stranger.Close()
	sees := func(client *web.Client) (bool, error) {
		a, err := client.Resolve(ctx, record.Query{ID: thing, Indexes: []uint32{2000, price}})
		for i := range a.Values {
			if a.Values[i].Index == price {
				return true, err
			}
		}
		return false, err
	}
	if ok, err := sees(friend); ok || err != nil && !problem.Is(err, problem.NotAdmin) {
		return "", wrong("before the grant the partner got %v %v", "授权之前合作方得到 %v %v", ok, err)
	}
	err = call(ctx, owner, "POST", "/api/grants", map[string]any{
		"target": map[string]any{"id": thing.String(), "items": []string{"2001"}}, "to": []string{friend.User.Name}, "actions": []string{"read"}, "purposes": []string{"warranty"}}, nil)
	if err != nil {
		return "", err
	}
	if ok, err := sees(friend); ok || err != nil {
		return "", wrong("without the purpose the partner got %v %v", "未说明用途时合作方得到 %v %v", ok, err)
	}
	friend.Purpose = "warranty"
	if ok, err := sees(friend); !ok || err != nil {
		return "", wrong("the partner does not see what was granted: %v", "合作方看不到已授权的值：%v", err)
	}
	stranger.Purpose = "warranty"
	nobody := &web.Client{Base: e.at.HTTPS, Pin: e.at.Pin}
	defer nobody.Close()
	for _, client := range []*web.Client{stranger, nobody} {
		if ok, err := sees(client); ok || err != nil {
			return "", wrong("a stranger got %v %v", "陌生人得到 %v %v", ok, err)
		}
	}
	// The owner reads who looked; both logs prove what they say.
	var trail struct {
		Items []struct {
			Seq uint64 `json:"seq"`
			Who string `json:"who"`
		} `json:"items"`
	}
	if err := call(ctx, owner, "GET", "/api/audit?prefix="+e.prefix+"&id="+url.QueryEscape(thing.String()), nil, &trail); err != nil {
		return "", err
	}
	if len(trail.Items) != 1 || trail.Items[0].Who != friend.User.String() {
		return "", wrong("the audit trail says %+v", "审计记录为 %+v", trail.Items)
	}
	for _, q := range []string{"log=changes&id=" + url.QueryEscape(thing.String()), fmt.Sprintf("log=access&entry=%d", trail.Items[0].Seq)} {
		if err := c.provedIn(ctx, owner, e.at, q); err != nil {
			return "", err
		}
	}
	// What the log hides from a stranger, it hides from them in the proof too.
	if status, _, err := nobody.Exchange(ctx, "GET", fmt.Sprintf("/api/ledger/proof?log=access&entry=%d", trail.Items[0].Seq), nil); err != nil || status < 400 {
		var proof ledger.Proof
		if err := call(ctx, nobody, "GET", fmt.Sprintf("/api/ledger/proof?log=access&entry=%d", trail.Items[0].Seq), nil, &proof); err != nil || proof.Line != "" {
			return "", wrong("a stranger reads the access log: %s %v", "陌生人可读取访问日志：%s %v", proof.Line, err)
		}
	}
	return c.say("%s sees it for \"warranty\", %s does not; registration and look are proved in the logs", "%s 以“warranty”用途可见，%s 不可见；登记与访问均有日志证明", friend.User.Name, stranger.User.Name), nil
}

// provedIn asks for the proof of a log's entry until it is published, and checks it with the key of the node's server.
func (c *checker) provedIn(ctx context.Context, client *web.Client, at *sim.NodeState, query string) error {
	key, err := trust.ReadFile(node.NodeKeyPath(at.Dir), nil)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		var proof ledger.Proof
		err := call(wait, client, "GET", "/api/ledger/proof?"+query, nil, &proof)
		if err == nil {
			log := "changes"
			if strings.HasPrefix(query, "log=access") {
				log = "access"
			}
			if key.Algorithm() != trust.Ed25519 {
				if key, err = node.LogKey(at.Dir, key.Algorithm()); err != nil {
					return err
				}
			}
			v, err := ledger.LogVerifier(node.LogOrigin(at.Prefix, at.Name, log), key.Public())
			if err != nil {
				return err
			}
			// One of the national sites that co-sign must have seen the log grow up to there.
			var witnesses []ledger.Verifier
			for _, n := range c.nationalSites() {
				k, err := node.LogKey(n.Dir, key.Algorithm())
				if err != nil {
					return err
				}
				w, err := ledger.WitnessVerifier(node.WitnessName(n.Prefix, n.Name), k.Public())
				if err != nil {
					return err
				}
				witnesses = append(witnesses, w)
			}
			if _, err = proof.Verify(v, witnesses, 1); err == nil || wait.Err() != nil {
				return err
			}
		}
		if wait.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
