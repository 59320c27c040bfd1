package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/trace/across"
	"github.com/fujie-id/fujie/trace/ask"
	"github.com/fujie-id/fujie/trace/graph"
	"github.com/fujie-id/fujie/wire/web"
)

// traced asks a node's interface about traces.
func traced(ctx context.Context, client *web.Client, path string, q url.Values, out any) error {
	status, body, err := client.Exchange(ctx, http.MethodGet, path+"?"+q.Encode(), nil)
	if err == nil && status != http.StatusOK {
		err = problem.New(problem.Internal, "%s answered %d: %s", "%s 应答 %d：%s", path, status, body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(body, out)
}

// coldChain traces one contaminated package of the cold chain over all enterprises that had it, and holds what is found against what was done to it.
func (c *checker) coldChain(ctx context.Context, plan *sim.Plan) (string, error) {
	chain := plan.ColdChain()
	if chain == nil {
		return "", wrong("the country has no cold chain", "该国没有冷链")
	}
	var at *sim.NodeState
	owner, _, _ := strings.Cut(chain.Contaminated, "/")
	for i := range c.state.Nodes {
		if c.state.Nodes[i].Prefix == owner {
			at = &c.state.Nodes[i]
		}
	}
	client, err := c.country.Access().Client(at)
	if err != nil {
		return "", err
	}
	q := url.Values{"id": {chain.Contaminated}, "evidence": {"true"}}
	start := time.Now()
	var t ask.Traced
	if err := traced(ctx, client, "/api/trace", q, &t); err != nil {
		return "", err
	}
	var contacts graph.ContactAnswer
	if err := traced(ctx, client, "/api/trace/contacts", url.Values{"id": {chain.Contaminated}}, &contacts); err != nil {
		return "", err
	}
	var siblings ask.SiblingList
	if err := traced(ctx, client, "/api/trace/siblings", url.Values{"id": {chain.Contaminated}}, &siblings); err != nil {
		return "", err
	}
	took := time.Since(start)
	if !t.Answer.Complete {
		return "", wrong("the trace is not complete: %+v", "追溯不完整：%+v", t.Answer.Hops)
	}
	things := map[string]bool{}
	for _, x := range t.Answer.Things {
		things[x.ID] = true
	}
	for _, want := range []string{chain.Carton, chain.Container} {
		if !things[want] {
			return "", wrong("the source %s was not found", "未找到来源 %s", want)
		}
	}
	owners := map[string]bool{}
	for _, e := range t.Answer.Events {
		owners[e.Owner] = true
	}
	if len(owners) != len(sim.ColdChainParts) {
		return "", wrong("events of %d enterprises were found, want %d", "找到 %d 家企业的事件，应为 %d 家", len(owners), len(sim.ColdChainParts))
	}
	var people []string
	for _, x := range contacts.Contacts {
		if strings.Contains(x.ID, "/PERSON-") {
			people = append(people, x.ID)
		}
	}
	want := slices.Clone(chain.People)
	slices.Sort(want)
	slices.Sort(people)
	if !slices.Equal(people, want) {
		return "", wrong("contacts are %v, want %v", "接触者为 %v，应为 %v", people, want)
	}
	same := map[string]bool{}
	for _, s := range siblings.Siblings {
		same[s.ID] = true
	}
	for _, s := range chain.Siblings {
		if !same[s] {
			return "", wrong("the sibling %s was not found", "未找到同批次的 %s", s)
		}
	}
	// The evidence holds, and does not when one byte of it is another.
	hints, err := node.ReadHints(c.state.Hints)
	if err != nil {
		return "", err
	}
	ev, err := across.ParseEvidence(t.Evidence)
	if err != nil {
		return "", err
	}
	signed, err := node.Signatures(ev, hints.Anchors, time.Now())
	if err != nil {
		return "", err
	}
	last := &ev.Answers[len(ev.Answers)-1]
	last.Body = bytes.Clone(last.Body)
	last.Body[len(last.Body)/2] ^= 1
	if _, err := node.Signatures(ev, hints.Anchors, time.Now()); err == nil {
		return "", wrong("altered evidence was believed", "被改动的证据竟被采信")
	}
	return c.say("source, %d siblings and %d people over %d enterprises in %.2f s; %d signed answers hold", "来源、%d 件同批次、%d 名接触者，跨 %d 家企业，用时 %.2f 秒；%d 份签名应答成立",
		len(chain.Siblings), len(people), len(owners), took.Seconds(), len(signed)), nil
}
