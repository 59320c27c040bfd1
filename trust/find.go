package trust

import (
	"context"
	"strings"
	"sync"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Key is the public key in the HS_PUBKEY value that ref names (its index must be given), wherever that record is. What
// the Resolver keeps of it, and for how long, decides how soon a key that was changed or taken away counts no more: an
// answer past its lifetime is not taken. Errors: problem.BadCredential, problem.AuthError.
func (c *Checker) Key(ctx context.Context, ref record.Ref) (PublicKey, error) {
	if ref.Index == 0 {
		return PublicKey{}, problem.New(problem.BadCredential, "%s does not say which value holds the key; write the index before it, as 300:88.118.1001/ADMIN", "%s 没有指明密钥所在的值；请在前面写出索引，例如 300:88.118.1001/ADMIN", clip(ref.String()))
	}
	values, err := c.keys(ctx, ref)
	if err != nil {
		return PublicKey{}, err
	}
	for i := range values {
		if v := &values[i]; v.Index == ref.Index && strings.EqualFold(v.Type, record.TypePubKey) {
			k, err := c.parsed.get(v.Data)
			if err != nil {
				return PublicKey{}, problem.Wrap(err, problem.AuthError, "the key of %s cannot be used", "%s 的公钥不可用", ref)
			}
			return k, nil
		}
	}
	return PublicKey{}, problem.New(problem.AuthError, "%s is no HS_PUBKEY value; name the index at which the key stands", "%s 不是 HS_PUBKEY 值；请指明密钥所在的索引", ref)
}

// parsedKeys keeps keys taken apart, by their bytes: what is under other bytes is another key, so nothing here is ever
// out of date.
type parsedKeys struct {
	mu   sync.RWMutex
	keys map[string]PublicKey
}

const maxParsed = 4096

func (p *parsedKeys) get(data []byte) (PublicKey, error) {
	p.mu.RLock()
	k, ok := p.keys[string(data)]
	p.mu.RUnlock()
	if ok {
		return k, nil
	}
	k, err := ParsePublic(data)
	if err != nil || len(data) > 2<<10 {
		return k, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.keys) >= maxParsed || p.keys == nil {
		p.keys = map[string]PublicKey{}
	}
	p.keys[string(data)] = k
	return k, nil
}
