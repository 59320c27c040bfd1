package node

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// ConfigFile is a node's configuration in its folder.
const ConfigFile = "node.yaml"

// Prepare lays a new node's folder: its keys and its configuration, which says what cfg says and nothing else. A folder
// that is there already is left as it is, and must be of the same node.
func Prepare(cfg *Config) (*Config, error) {
	c := *cfg
	if err := c.fill(); err != nil {
		return nil, err
	}
	path := filepath.Join(c.Data, ConfigFile)
	if _, err := os.Stat(path); err == nil {
		old, err := Load(path)
		if err != nil {
			return nil, err
		}
		if old.Prefix != c.Prefix || old.Role != c.Role {
			return nil, problem.New(problem.Exists, "%s holds the %s node of %s: take another folder, or that one's prefix", "%s 中已有 %[3]s 的 %[2]s 节点：请换一个目录，或使用其前缀", c.Data, old.Role, old.Prefix)
		}
		return old, nil
	}
	if _, _, err := EnsureServerKeys(c.Data, c.Algorithm); err != nil {
		return nil, err
	}
	if c.Role != Recursive {
		if _, err := EnsureKey(PrefixKeyPath(c.Data), c.Algorithm); err != nil {
			return nil, err
		}
	}
	out := *cfg
	out.Data = "" // the folder of the file, so that it can be moved
	b, err := yaml.MarshalWithOptions(&out, yaml.OmitEmpty())
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the configuration cannot be written", "无法写出配置")
	}
	if err := WriteFile(path, b); err != nil {
		return nil, err
	}
	return Load(path)
}

// Describe is the HS_SITE of a node that is configured but does not run; its ports must be settled.
func Describe(cfg *Config) (*record.Site, trust.PublicKey, error) {
	c := *cfg
	if err := c.fill(); err != nil {
		return nil, trust.PublicKey{}, err
	}
	n := newNode(c, Options{})
	var err error
	if n.key, n.tlsKey, err = EnsureServerKeys(c.Data, c.Algorithm); err != nil {
		return nil, trust.PublicKey{}, err
	}
	prefix, err := EnsureKey(PrefixKeyPath(c.Data), c.Algorithm)
	if err != nil {
		return nil, trust.PublicKey{}, err
	}
	for text, to := range map[string]*netip.AddrPort{c.Listen.IRP: &n.irpAddr, c.Listen.HTTP: &n.httpAddr} {
		if text == "" {
			continue
		}
		if *to, err = netip.ParseAddrPort(text); err != nil || to.Port() == 0 {
			return nil, trust.PublicKey{}, problem.New(problem.BadRequest, "listen: %q has to be an IP address and a settled port, as 192.0.2.7:2641, since the delegation will name it", "listen：%q 须为 IP 地址与确定的端口，例如 192.0.2.7:2641，因为授权中将写明", text)
		}
	}
	if ip := n.irpAddr.Addr(); c.Public == "" && ip.IsUnspecified() {
		return nil, trust.PublicKey{}, problem.New(problem.BadRequest, "the node listens on every address, so say with public which of them others reach it at", "节点监听全部地址，请用 public 写明他人访问它的地址")
	}
	return n.describe(true), prefix.Public(), nil
}

// reachable asks from outside, as a stranger would, whether the node that answers for prefix can be reached: what is asked
// for is not there, and the node must prove so.
func (n *Node) reachable(ctx context.Context, prefix string) error {
	if n.outside == nil {
		return problem.New(problem.Unsupported, "this node knows no root, and cannot ask from outside: give it hints.json", "本节点没有根提示，无法从外部查询：请配置 hints.json")
	}
	v, err := id.ParseHandle(prefix + "/" + site.ProbeSuffix)
	if err != nil {
		return err
	}
	a, err := n.outside.Resolve(ctx, record.Query{ID: v, PublicOnly: true, Authoritative: true})
	switch {
	case err != nil && !problem.Is(err, problem.NotFound):
		return err
	case a.Trust != record.Secure:
		return problem.New(problem.Bogus, "the node of %s answers, but its chain of signatures is %s: see that its prefix key is the one in its delegation", "%s 的节点有应答，但其签名链为 %s：请确认其前缀密钥与授权中的一致", prefix, a.Trust)
	}
	return nil
}

// checkReachability adds GET /api/reachable/{prefix}.
func (n *Node) checkReachability(a *api.API) {
	type input struct {
		Prefix string `path:"prefix" maxLength:"64" doc:"A prefix below this node's"`
	}
	type result struct {
		Prefix    string  `json:"prefix"`
		Reachable bool    `json:"reachable"`
		Millis    float64 `json:"millis" doc:"How long it took, from the root down"`
		Why       string  `json:"why,omitempty" doc:"What is wrong"`
	}
	places := make(chan struct{}, 4)
	api.Do(a, huma.Operation{Method: http.MethodGet, Path: "/api/reachable/{prefix}", OperationID: "reachable", Tags: []string{"Prefixes"},
		Summary:     "Ask from outside whether the node of a prefix can be reached (外部可达性检查)",
		Description: "The node is found as a stranger finds it: from the root down, past every cache. Only prefixes below this node's are asked for.",
	}, func(ctx context.Context, in *input) (*api.Body[result], error) {
		if !strings.HasPrefix(handle.Fold(in.Prefix), handle.Fold(n.cfg.Prefix)+".") {
			return nil, problem.New(problem.NotHere, "%s is not below %s: ask the node above it", "%s 不在 %s 之下：请向其上级查询", in.Prefix, n.cfg.Prefix)
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			return nil, problem.New(problem.Busy, "too many ask at once: try again in a moment", "同时查询过多：请稍后再试")
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		start := n.now()
		out := result{Prefix: in.Prefix}
		if err := n.reachable(ctx, in.Prefix); err != nil {
			out.Why = problem.Say(err, api.From(ctx).Lang)
		} else {
			out.Reachable = true
		}
		out.Millis = float64(n.now().Sub(start).Microseconds()) / 1000
		return &api.Body[result]{Body: out}, nil
	})
}
