package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/flow"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/partner"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/wire/web"
)

// openPartners opens the way on which this enterprise asks others in its own name.
func (n *Node) openPartners() (err error) {
	if n.recursor == nil || n.prefixKey == nil || n.cfg.Role == Root || n.cfg.Mirror != nil {
		return nil
	}
	n.partners, err = partner.New(partner.Config{Resolver: n.recursor, User: PrefixKeyRef(n.cfg.Prefix), Key: n.prefixKey, Dial: n.dialStranger, Now: n.now,
		Find: func(ctx context.Context, r record.Resolver, v id.ID) ([]record.Endpoint, error) {
			return n.client.Find(ctx, r, v, false)
		}})
	if err == nil {
		n.closes = append(n.closes, func() error { n.partners.Close(); return nil })
	}
	return err
}

// speaks is who may ask another enterprise in this one's name. Auditors and regulators look at what is here.
var speaks = []api.RoleName{api.Operator, api.EnterpriseAdmin, api.EnterpriseUser, api.Application}

// carry makes a request of another enterprise's node in this enterprise's name, for one who may speak in it.
func (n *Node) carry(ctx context.Context, c api.Caller, prefix, method, path string, in, out any) error {
	if n.partners == nil {
		return problem.New(problem.NotHere, "%s is another enterprise's, and this node has no hints to find it by", "%s 属于其他企业，本节点没有根提示，无法查询", prefix)
	}
	if !c.Has(n.cfg.Prefix, speaks...) {
		// Another enterprise among them, which came to the wrong door: nothing goes from node to node to node.
		return problem.New(problem.NotHere, "requests about %s are not kept here: ask the node that answers for it", "%s 的申请不在此处：请询问负责它的节点", prefix)
	}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return problem.Wrap(err, problem.Internal, "the request cannot be written", "请求无法写出")
		}
	}
	if c.Lang == problem.Chinese {
		ctx = web.InLanguage(ctx, "zh")
	}
	status, answer, err := n.partners.Exchange(ctx, prefix, method, path, body)
	if err != nil {
		return err
	}
	if method != http.MethodGet {
		n.log.Info("another enterprise was asked by name", "prefix", prefix, "what", method+" "+path, "who", c.Ref.String(), "status", status)
	}
	if status >= 300 {
		if err := api.Told(answer); err != nil {
			return err
		}
	}
	if status >= 300 || json.Unmarshal(answer, out) != nil {
		return problem.New(problem.Unreachable, "the node of %s answers %d with something that this one does not understand", "%s 的节点应答 %d，本节点无法理解其内容", prefix, status)
	}
	return nil
}

// abroad answers those who have a role here about other enterprises' things: with what anybody may see and, where they say a purpose, what the owner shows this enterprise for it.
// Strangers are told where to ask instead: a node that looked everything up for everybody would be misused. done is false when the question is not one for this.
func (s *staff) abroad(ctx context.Context, q record.Query) (a record.Answer, done bool, err error) {
	n := s.n
	if n.recursor == nil || q.ID.IsPrefix() || handle.Equal(q.ID.Prefix(), id.Root.Prefix()) || q.NoReferral && q.Purpose == "" {
		return a, false, nil
	}
	c, err := n.in.accounts.Caller(ctx, q.By)
	if err != nil {
		return a, false, err
	}
	if q.Purpose != "" && n.partners != nil && c.Has(n.cfg.Prefix, speaks...) {
		a, err = n.byName(ctx, q)
		return a, true, err
	}
	ours := slices.ContainsFunc(c.Roles, func(r api.Role) bool { return handle.Equal(r.Prefix, n.cfg.Prefix) || n.registry.Homed(r.Prefix) })
	if q.NoReferral || !ours {
		return a, false, nil
	}
	q.By, q.Purpose, q.PublicOnly = record.Identity{}, "", true
	a, err = n.recursor.Resolve(ctx, q)
	return a, true, err
}

// byName asks the owner in this enterprise's name, beside what anybody may see.
func (n *Node) byName(ctx context.Context, q record.Query) (record.Answer, error) {
	began := n.now()
	a, named, err := n.partners.Resolve(ctx, q)
	if q.Trace {
		outcome := fmt.Sprintf("asked in the name of %s, for %s", n.cfg.Prefix, q.Purpose)
		if named != nil {
			outcome += ": " + problem.Say(named, problem.English)
		}
		a.Path = append(a.Path, record.Step{Took: n.now().Sub(began), Asked: q.ID.Prefix(), Name: q.ID.String(), Outcome: outcome, Trust: a.Trust})
	}
	// The owner's trail says which enterprise looked; who of its people did is for its own.
	n.log.Info("another enterprise was asked by name", "id", q.ID.String(), "who", q.By.Ref.String(), "purpose", q.Purpose, "err", named)
	return a, err
}

// shown is what became of a question in this enterprise's own name.
func shown(err error) flow.Shown {
	if err == nil {
		return flow.ShownAnswered
	}
	switch problem.KindOf(err) {
	case problem.AuthFailed, problem.NeedAuth, problem.Forbidden:
		return flow.ShownRefused
	}
	return flow.ShownSilent
}
