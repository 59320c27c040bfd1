package node

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/trust/ledger"
	"github.com/fujie-id/fujie/wire/web"
)

// Ledger is about the append-only logs of this node's changes and accesses.
type Ledger struct {
	// Off keeps no logs.
	Off bool `yaml:"off"`
	// Witnesses are nodes that co-sign this node's logs, so that it cannot show different logs to different people.
	Witnesses []WitnessPeer `yaml:"witnesses"`
	// Quorum is how many must have co-signed before a checkpoint is published. Default: 0, those that answer.
	Quorum int `yaml:"quorum"`
}

// WitnessPeer is a node that co-signs logs.
type WitnessPeer struct {
	// URL is its HTTPS address, https://192.0.2.1:8080; Key the fingerprint of the key that it shows in TLS.
	URL string `yaml:"url"`
	Key string `yaml:"key"`
	// Vkey is its witness key, as GET /ledger/witness/vkey gives it.
	Vkey string `yaml:"vkey"`
}

// ledgerKeyFile is the key of the logs and the witness, where the server's key is no Ed25519 one, which their formats need.
const ledgerKeyFile = "keys/ledger.pem"

// LogKey is the key that signs a node's logs and, as a witness, those of others.
func LogKey(data string, alg trust.Algorithm) (*trust.PrivateKey, error) {
	server, _, err := EnsureServerKeys(data, alg)
	if err != nil || server.Algorithm() == trust.Ed25519 {
		return server, err
	}
	return EnsureKey(filepath.Join(data, ledgerKeyFile), trust.Ed25519)
}

// ledgerPatience is how long a log may take to find its place at the start.
const ledgerPatience = 2 * time.Minute

// LogOrigin names a node's logs in the whole world, WitnessName the node as a witness.
func LogOrigin(prefix, name, log string) string { return "fujie/" + prefix + "/" + name + "/" + log }
func WitnessName(prefix, name string) string    { return LogOrigin(prefix, name, "witness") }

// openLedger begins or continues the node's logs.
func (n *Node) openLedger(ctx context.Context) error {
	if n.cfg.Ledger.Off {
		return nil
	}
	key, err := LogKey(n.cfg.Data, n.cfg.Algorithm)
	if err != nil {
		return err
	}
	dir := filepath.Join(n.cfg.Data, "ledger")
	var witnesses []ledger.Witness
	pins := map[string]string{}
	for _, w := range n.cfg.Ledger.Witnesses {
		u, err := url.Parse(w.URL)
		if err != nil || u.Scheme != "https" {
			return problem.New(problem.BadRequest, "ledger.witnesses: %q is no https:// address", "ledger.witnesses：%q 不是 https:// 地址", w.URL)
		}
		vkey, err := ledger.ParseVerifier(w.Vkey)
		if err != nil {
			return err
		}
		pins[u.Host] = w.Key
		witnesses = append(witnesses, ledger.Witness{URL: strings.TrimSuffix(w.URL, "/") + "/ledger/witness", Key: vkey})
	}
	open := func(name string, source ledger.Source, about func(*ledger.Entry) []byte) (*ledger.Log, error) {
		// A log waits for entries that it signed and the store lost; the node does not wait with it for ever.
		wait, cancel := context.WithTimeout(ctx, ledgerPatience)
		defer cancel()
		l, err := ledger.Open(wait, ledger.Config{Dir: filepath.Join(dir, name), Origin: LogOrigin(n.cfg.Prefix, n.cfg.Name, name), Key: key,
			Source: source, Witnesses: witnesses, Quorum: n.cfg.Ledger.Quorum, ID: about, Client: pinned(pins), Now: n.now, Log: n.log})
		if problem.Is(err, problem.Bogus) || err != nil && wait.Err() != nil && ctx.Err() == nil {
			n.log.Error("the log does not match what is stored, and is not continued: see what was restored or altered", "log", name, "err", err)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		n.closes = append(n.closes, l.Close)
		n.goes("ledger of "+name, func(ctx context.Context) error {
			// A log that must not go on is a matter for people; what the node is for goes on.
			if err := l.Run(ctx); err != nil && ctx.Err() == nil {
				n.log.Error("the log no longer matches what is stored, and has stopped: see what was restored or altered", "log", name, "err", err)
			}
			return nil
		})
		return l, nil
	}
	if n.changeLog, err = open("changes", ledger.Changes(n.registry), ledger.EntryID); err != nil {
		return err
	}
	if n.accessLog, err = open("access", accesses{n.policy.Audit}, nil); err != nil {
		return err
	}
	n.witness, err = ledger.NewCosigner(ledger.CosignerConfig{Dir: filepath.Join(dir, "witness"), Name: WitnessName(n.cfg.Prefix, n.cfg.Name), Key: key,
		Known: n.knownLog, Now: n.now, Log: n.log})
	return err
}

// knownLog finds the key of a log that this node co-signs: that of a node of its own prefix or below it, whose server key
// stands in a delegation that every parent signed.
func (n *Node) knownLog(ctx context.Context, origin string) (ledger.Verifier, bool) {
	f := strings.Split(origin, "/")
	if len(f) != 4 || f[0] != "fujie" || n.recursor == nil {
		return ledger.Verifier{}, false
	}
	prefix := handle.Fold(f[1])
	if own := handle.Fold(n.cfg.Prefix); prefix != own && !strings.HasPrefix(prefix, own+".") {
		return ledger.Verifier{}, false
	}
	a, err := n.keys.Resolve(ctx, record.Query{ID: id.PrefixRecord(prefix), PublicOnly: true, Types: []string{record.TypeSite, record.TypeSite6}})
	if err != nil {
		return ledger.Verifier{}, false
	}
	for i := range a.Values {
		s, err := record.DecodeSite(a.Values[i].Data)
		if err != nil || !strings.EqualFold(siteName(s), f[2]) {
			continue
		}
		for j := range s.Servers {
			if key, err := trust.ParsePublic(s.Servers[j].PublicKey); err == nil {
				v, err := ledger.LogVerifier(origin, key)
				return v, err == nil
			}
		}
	}
	return ledger.Verifier{}, false
}

// siteName is the name that describe gave a site.
func siteName(s *record.Site) string {
	for _, a := range s.Attributes {
		if a.Name == "desc" {
			return a.Value
		}
	}
	return ""
}

// pinned is a client for hosts whose TLS key is known; it speaks to no other.
func pinned(pins map[string]string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			pin := pins[addr]
			if pin == "" {
				return nil, problem.New(problem.Bogus, "%s shows no key that this node was told", "未配置 %s 的密钥", addr)
			}
			d := tls.Dialer{Config: web.PinnedTLS(pin)}
			return d.DialContext(ctx, network, addr)
		},
	}}
}
