package across

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// ServiceSuffix is the record under a prefix that says where its events are asked for; TypeService the type of the value: an https address that ends in /epcis, and
// behind a space, if the server's TLS key does not stand in the prefix's delegation, that key's fingerprint.
const (
	ServiceSuffix = "Service_epcis"
	TypeService   = "EPCIS"
)

// service is where an enterprise is asked.
type service struct {
	base string   // https://HOST:PORT and what stands before /epcis
	pins []string // fingerprints of its TLS keys
}

// service finds that of an owner: named by the thing's own record if the thing is the owner's, else by that of its prefix. All that has to be looked for is looked for at once, and
// a connection is begun to the server in the owner's delegation, which is where the service mostly is.
func (a *Across) service(ctx context.Context, owner, thing string) (service, error) {
	var keys []string
	var own, common service
	ownErr, commonErr := error(problem.New(problem.NoValues, "the record of the thing was not asked for", "未查询物品的记录")), error(nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		var address string
		if keys, address = a.servers(ctx, owner); address != "" {
			a.http.prepare(address)
		}
	})
	if thing != "" && prefixOf(thing) == owner {
		wg.Go(func() { own, ownErr = a.serviceAt(ctx, thing) })
	}
	wg.Go(func() { common, commonErr = a.serviceAt(ctx, owner+"/"+ServiceSuffix) })
	wg.Wait()
	s, err := own, ownErr
	if err != nil {
		s, err = common, commonErr
	}
	if err == nil {
		s.pins = append(s.pins, keys...)
	}
	return s, err
}

func (a *Across) serviceAt(ctx context.Context, name string) (service, error) {
	v, err := id.ParseHandle(name)
	if err != nil {
		return service{}, err
	}
	ans, err := a.cfg.Resolver.Resolve(ctx, record.Query{ID: v, PublicOnly: true, Types: []string{TypeService}})
	if err != nil {
		return service{}, err
	}
	if ans.Trust != record.Secure {
		return service{}, problem.New(problem.Bogus, "the record %s came without a chain of signatures, so nothing is asked where it leads; ask its operator to have the delegation signed",
			"记录 %s 没有可验证的签名链，故不向其所指地址查询；请其运营者让上级对授权签名", v)
	}
	for i := range ans.Values {
		if !handle.Equal(ans.Values[i].Type, TypeService) {
			continue
		}
		text := strings.Fields(string(ans.Values[i].Data))
		if len(text) == 0 || len(ans.Values[i].Data) > 2048 {
			continue
		}
		u, err := url.Parse(text[0])
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return service{}, problem.New(problem.BadValue, "the record %s names %q, which is no https address of an event service", "记录 %s 中的 %q 不是事件服务的 https 地址", v, clip(text[0]))
		}
		return service{base: "https://" + u.Host + strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), "/"), "/epcis"), pins: slices.Clone(text[1:])}, nil
	}
	return service{}, problem.New(problem.NoValues, "the record %s names no event service", "记录 %s 未指明事件服务", v)
}

// servers are the fingerprints of the servers in a prefix's delegation, and the address where the first of them speaks HTTP, if one does.
func (a *Across) servers(ctx context.Context, prefix string) (pins []string, address string) {
	for p := prefix; p != "" && p != id.Root.Prefix(); p = id.ParentPrefix(p) {
		ans, err := a.cfg.Resolver.Resolve(ctx, record.Query{ID: id.PrefixRecord(p), PublicOnly: true, Types: []string{record.TypeSite, record.TypeSite6}})
		if err != nil || ans.Trust != record.Secure {
			if problem.Is(err, problem.NotFound) || problem.Is(err, problem.NoValues) {
				continue
			}
			return nil, ""
		}
		for i := range ans.Values {
			s, err := record.DecodeSite(ans.Values[i].Data)
			if err != nil {
				continue
			}
			for j := range s.Servers {
				for _, e := range s.Servers[j].Endpoints(false) {
					if address == "" && (e.Protocol == record.HTTP || e.Protocol == record.HTTPS) {
						address = e.Addr.String()
					}
				}
				if k, err := trust.ParsePublic(s.Servers[j].PublicKey); err == nil {
					pins = append(pins, k.Fingerprint())
				}
			}
		}
		return pins, address
	}
	return nil, ""
}

// maxCerts is how many certificates of one prefix are looked at.
const maxCerts = 8

// certificates are those in the prefix records of owner and of all above it, by prefix. The root's stand under 0.NA.
func (a *Across) certificates(ctx context.Context, owner string) (map[string][]string, error) {
	levels := lineage(owner)
	found := make([][]string, len(levels))
	errs := make([]error, len(levels))
	var wg sync.WaitGroup
	for n, p := range levels {
		wg.Go(func() { found[n], errs[n] = a.certificatesOf(ctx, p) })
	}
	wg.Wait()
	out := map[string][]string{}
	for n, p := range levels {
		if errs[n] != nil {
			return nil, errs[n]
		}
		if len(found[n]) > 0 {
			out[p] = found[n]
		}
	}
	return out, nil
}

// certificatesOf are those in one prefix record.
func (a *Across) certificatesOf(ctx context.Context, prefix string) (out []string, err error) {
	ans, err := a.cfg.Resolver.Resolve(ctx, record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true, Types: []string{record.TypeCert}})
	switch {
	case problem.Is(err, problem.NotFound), problem.Is(err, problem.NoValues), problem.Is(err, problem.NotHere):
		return nil, nil
	case err != nil:
		return nil, err
	}
	for i := range ans.Values {
		if handle.Equal(ans.Values[i].Type, record.TypeCert) && len(out) < maxCerts {
			out = append(out, string(ans.Values[i].Data))
		}
	}
	return out, nil
}

// lineage is a prefix and all above it, the root first.
func lineage(prefix string) []string {
	var out []string
	for p := handle.Fold(prefix); p != "" && len(out) <= record.MaxDepth; p = id.ParentPrefix(p) {
		out = append(out, p)
	}
	slices.Reverse(out)
	return out
}

// prove finds a chain of certificates from one of the root's keys to a key that may sign for owner and that passes the test. It returns the prefixes whose certificates
// it is made of. The error is of kind problem.Bogus.
func prove(anchors []trust.PublicKey, certs map[string][]string, owner string, at time.Time, test func(*trust.Cert) error) (chain []string, err error) {
	levels := lineage(owner)
	tries := 0
	var reason error
	var down func(i int, have [][]byte, names []string) bool
	down = func(i int, have [][]byte, names []string) bool {
		if i == len(levels) {
			if tries++; tries > 64 || len(have) == 0 {
				return false
			}
			c, err := trust.VerifyChain(anchors, at, have...)
			switch {
			case err != nil:
			case !c.Covers(owner+"/x") || !handle.Equal(c.Subject.Name, id.PrefixRecord(owner).String()):
				err = problem.New(problem.Bogus, "the certificate of %s does not let it sign for %s", "%s 的证书不允许其代表 %s 签名", c.Subject, owner)
			default:
				err = test(c)
			}
			if err != nil {
				if reason == nil {
					reason = err
				}
				return false
			}
			chain = slices.Clone(names)
			return true
		}
		list := certs[levels[i]]
		for j, c := range list {
			if j == maxCerts {
				break
			}
			if down(i+1, append(have[:len(have):len(have)], []byte(c)), append(names[:len(names):len(names)], levels[i])) {
				return true
			}
		}
		// A level without certificates is signed for by the one above it; and the root's own certificate is not needed when its key signed the next one.
		if len(list) == 0 || i == 0 && levels[0] == id.Root.Prefix() {
			return down(i+1, have, names)
		}
		return false
	}
	if down(0, nil, nil) {
		return chain, nil
	}
	if reason == nil {
		reason = problem.New(problem.Bogus, "%s has no certificate", "%s 没有证书", owner)
	}
	return nil, problem.Wrap(reason, problem.Bogus, "the key of %s is not proved from the root down", "%s 的密钥无法从根起逐级证明", owner)
}
