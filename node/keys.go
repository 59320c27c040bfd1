package node

import (
	"context"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// keyring resolves the records that hold people's keys, so that a proof of identity can be checked: the node's own
// prefix key from its own file, since its administrator must get in when all the world is down; then the node's own
// records; then anything in the world whose chain of signatures holds. A key that arrives over an unsigned path proves
// nothing about who sent it, so it is not used.
type keyring struct {
	own   map[id.ID]record.Value
	local record.Resolver // nil on a recursive node
	world record.Resolver // nil when there is no root to ask
}

func (k *keyring) add(prefix string, key *trust.PrivateKey) {
	if k.own == nil {
		k.own = map[id.ID]record.Value{}
	}
	ref := PrefixKeyRef(prefix)
	k.own[id.MustParse(ref.Name)] = record.Value{
		Index: ref.Index, Type: record.TypePubKey, Data: key.Public().Data(), Perm: record.DefaultPerm,
		TTL: record.TTL{Seconds: record.DefaultTTL},
	}
}

// Resolve implements record.Resolver.
func (k *keyring) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	if v, ok := k.own[q.ID]; ok && q.Wants(v.Index, v.Type) {
		return record.Answer{Values: []record.Value{v}, Trust: record.Secure, Primary: true, Source: "own key"}, nil
	}
	if k.local != nil {
		a, err := k.local.Resolve(ctx, q)
		if !problem.Is(err, problem.NotHere) && a.Referral == nil {
			return a, err
		}
	}
	if k.world == nil {
		return record.Answer{}, problem.New(problem.AuthError, "the key of %s cannot be looked up: this node knows no root; give it hints.json",
			"无法查到 %s 的密钥：本节点没有根提示；请配置 hints.json", q.ID)
	}
	a, err := k.world.Resolve(ctx, q)
	if err == nil && a.Trust != record.Secure {
		return record.Answer{}, problem.New(problem.AuthError,
			"the key of %s came without a chain of signatures and is not believed; ask its node's operator to have the delegation signed",
			"%s 的密钥没有可验证的签名链，不予采信；请其节点运营者让上级对授权签名", q.ID)
	}
	return a, err
}
