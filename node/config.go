// Package node runs one node: give it a role and a folder, and it answers. The same program is a root, a national
// top-level, a second-level, an enterprise or a recursive node; a role is a wiring of the same rooms, one file each.
package node

import (
	"bytes"
	_ "embed"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/account"
	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/live"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// Role is what a node is for.
type Role string

const (
	Root        Role = "root"
	National    Role = "national"
	SecondLevel Role = "second-level"
	Enterprise  Role = "enterprise"
	Recursive   Role = "recursive"
)

var regionCode = regexp.MustCompile(`^[1-9][0-9]{5}$`)

// Config is a node's configuration file. `fujie node config` prints one with every field explained.
type Config struct {
	// Name is the node's name in logs and on its pages. Default: the name of its folder.
	Name string `yaml:"name"`
	// Role is root, national, second-level, enterprise or recursive.
	Role Role `yaml:"role"`
	// Prefix is the prefix that the node answers for: 88, 88.118, 88.118.1001. A root takes 0.NA, a recursive node none.
	Prefix string `yaml:"prefix"`
	// Homed are further prefixes that the node keeps for others. `fujie put`-ting a delegation does not home a prefix; this or the HOME operation does.
	Homed []string `yaml:"homed"`

	// Data is the folder for keys, records and caches. Who can read it can act as this node. Default: the folder of this file.
	Data string `yaml:"data"`
	// Store is where records rest: a folder, pebble:///folder?cache=MiB&memtable=MiB, postgres://user@host/database, or
	// memory:, which forgets. Default: <data>/store.
	Store string `yaml:"store"`

	Listen Listen `yaml:"listen"`
	// Public is the address that the node announces in its HS_SITE. Default: the address it listens on. Behind a
	// translator of addresses, the outside one.
	Public string `yaml:"public"`

	// Algorithm is of keys that are made when there are none: ed25519 (default), p256, sm2, rsa.
	Algorithm trust.Algorithm `yaml:"algorithm"`
	// Hints is the file that says where the root is and what its key is. Default: <data>/hints.json. A root needs none.
	Hints string `yaml:"hints"`

	// Admins may do everything here, as index:identifier. Default: 300:0.NA/<prefix>, whose key is <data>/keys/prefix.pem.
	Admins []string `yaml:"admins"`
	// Mirror makes the node follow another one. Admins of that one, as whom a mirror introduces itself, may read its Feed.
	Mirror *Mirror `yaml:"mirror"`

	// Parent is the node above, whose office gave this node its prefix: what must be reported goes there. Default: none.
	Parent *Peer `yaml:"parent"`
	// Place is what the node says of itself to the nodes above, for their situation page.
	Place Place `yaml:"place"`
	// Sites makes the node one of several sites of its prefix that take over from one another. Not together with mirror.
	Sites *Sites `yaml:"sites"`

	// Origin is where people reach this node's pages, https://id.example.com: log-in at a provider comes back there, and
	// passkeys are bound to it. Default: none, and neither is offered.
	Origin string `yaml:"origin"`
	// OIDC are providers at which people may log in (OpenID Connect).
	OIDC []OIDC `yaml:"oidc"`
	// SNMS is about the interfaces of deployed nodes that this one offers beside its own (wire/web/snms, wire/web/idhub).
	SNMS *SNMS `yaml:"snms"`
	// Ledger is about the logs in which every change and every access to what is not public is provable.
	Ledger Ledger `yaml:"ledger"`
	// Live is which values are fetched from the owner's own systems when somebody asks.
	Live live.Declaration `yaml:"live"`
	// Events is about the events of things (EPCIS) that this node keeps, and the traces that it answers.
	Events Events `yaml:"events"`
	// Escrow is where sealed deposits of the records go every day. Default: none are made.
	Escrow *Escrow `yaml:"escrow"`
	// Plain leaves out the institution: office, accounts, templates, rules, ledger, reports. What is left is a registry.
	Plain bool `yaml:"plain"`

	// AllowPrivate lets delegations lead to loopback and private addresses. Danger: whoever controls a delegation can
	// then make this node send questions into your network. Default: false.
	AllowPrivate bool `yaml:"allow-private"`

	// HotMB is how much memory ready answers may take, in MiB. Default: 256 on authoritative roles.
	HotMB int `yaml:"hot-mb"`
	// CacheMB is how much memory a recursive node's cache may take, in MiB. Default: 256; 16 on other roles, which ask
	// little.
	CacheMB int `yaml:"cache-mb"`
	// RateBytes is how many bytes of UDP answers a second one source network (/24, /56) gets before its clients are sent
	// to TCP; loopback is exempt. Default: 131072. Danger: -1 turns it off, which makes the node a weapon against third parties.
	RateBytes int `yaml:"rate-bytes"`
	// Sockets is how many UDP sockets share the port, one a core. Default: the number of cores, at most 8.
	Sockets int `yaml:"sockets"`
	// Business is about the solutions that run on an enterprise's node.
	Business Business `yaml:"business"`
	// Metrics is an address for Prometheus (/metrics) and for whoever watches the process (/livez, /readyz). Danger: it tells who asks how much, without
	// authentication; loopback or an operator's network. Default: off.
	Metrics string `yaml:"metrics"`
	// Traces sends traces of questions, through all the nodes that they pass, to a collector. Default: none.
	Traces *Traces `yaml:"traces"`
	// Debug is an address for profiles and counters (net/http/pprof). Danger: no authentication; loopback only. Default: off.
	Debug string `yaml:"debug"`
}

// Place is whose a node is, and where.
type Place struct {
	// Title is whose it is, in their own words. Default: the node's name.
	Title string `yaml:"title"`
	// Region is the code of its region, six digits of GB/T 2260: 320000.
	Region string `yaml:"region"`
	// Industry is its industry in plain words.
	Industry string `yaml:"industry"`
	// Pulse is the time between two messages to the node above. Default: 10s.
	Pulse time.Duration `yaml:"pulse"`
}

// Traces is where traces go (OpenTelemetry, OTLP over HTTP).
type Traces struct {
	// OTLP is the collector's address, http://127.0.0.1:4318.
	OTLP string `yaml:"otlp"`
	// Ratio is which part of the questions that begin here are traced, 0 to 1; those that come with a trace are always. Default: 1.
	Ratio float64 `yaml:"ratio"`
}

// Listen is where a node listens. An address with port 0 takes any free port; an empty one turns that way in off.
type Listen struct {
	// IRP is the Handle protocol over UDP and TCP, on the same port. Default: 127.0.0.1:2641.
	IRP string `yaml:"irp"`
	// TLS is the Handle protocol in TLS. Default: off.
	TLS string `yaml:"tls"`
	// HTTP is HTTP and HTTPS on one port: the JSON API, the pages, the tunnel. Default: 127.0.0.1:8080.
	HTTP string `yaml:"http"`
}

// Mirror makes the node follow another one and take no writes of its own.
type Mirror struct {
	// Of is the HTTPS address of the node to follow, https://192.0.2.1:8000.
	Of string `yaml:"of"`
	// Key is its server key's fingerprint, as `fujie key show` prints it. Danger: without it anybody on the way can feed you.
	Key string `yaml:"key"`
}

// Escrow is where deposits go and who can open them.
type Escrow struct {
	// Folder is where they are put.
	Folder string `yaml:"folder"`
	// Recipients can open them: age keys (age1…), or the public key of an SM2 key, as fujie escrow --help says.
	Recipients []string `yaml:"recipients"`
}

// OIDC is a provider of OpenID Connect.
type OIDC struct {
	// Name stands in addresses: corp.
	Name string `yaml:"name"`
	// Issuer is its address, whose discovery document names the rest.
	Issuer string `yaml:"issuer"`
	// ClientID is what it calls this node; SecretFile holds the secret that it gave, none for a public client.
	ClientID   string `yaml:"client-id"`
	SecretFile string `yaml:"secret-file"`
	// Scopes to ask for. Default: openid, profile, email.
	Scopes []string `yaml:"scopes"`
	// Prefix is whose users they are. Default: the node's own.
	Prefix string `yaml:"prefix"`
	// Create makes an account at the first log-in, named by NameClaim (default: preferred_username); else only accounts
	// that were linked get in.
	Create    bool   `yaml:"create"`
	NameClaim string `yaml:"name-claim"`
	// Roles gives roles by claims.
	Roles []OIDCRole `yaml:"roles"`
}

// SNMS is what programs written for deployed nodes may do as they did there, although it is weak.
type SNMS struct {
	// Plain takes passwords and tokens of these interfaces over plain HTTP too. Danger: everybody on the way can read them,
	// and act as whoever sent them. Default: false.
	Plain bool `yaml:"plain"`
	// DigestLogin offers the log-in by a digest of the password (/identity/token/v1). Danger: SHA-256 of each password is
	// then kept without salt, readable for the node's own operator only; whoever reads the store can log in with it, and
	// guesses weak passwords fast. Default: false.
	DigestLogin bool `yaml:"digest-login"`
}

// OIDCRole gives a role to those whose claim has the value: groups with registry-admins.
type OIDCRole struct {
	Claim  string       `yaml:"claim"`
	Value  string       `yaml:"value"`
	Role   api.RoleName `yaml:"role"`
	Prefix string       `yaml:"prefix"`
}

// providers are the providers of the configuration, with their secrets.
func (c *Config) providers() ([]account.Provider, error) {
	var out []account.Provider
	for _, o := range c.OIDC {
		p := account.Provider{Name: o.Name, Issuer: o.Issuer, ClientID: o.ClientID, Scopes: o.Scopes, Prefix: o.Prefix, Create: o.Create, NameClaim: o.NameClaim}
		if o.SecretFile != "" {
			b, err := os.ReadFile(o.SecretFile)
			if err != nil {
				return nil, problem.Wrap(err, problem.BadRequest, "oidc %s: its secret-file cannot be read", "oidc %s：无法读取 secret-file", o.Name)
			}
			p.ClientSecret = strings.TrimSpace(string(b))
		}
		for _, r := range o.Roles {
			prefix := r.Prefix
			if prefix == "" {
				prefix = c.Prefix
			}
			p.Roles = append(p.Roles, account.ClaimRole{Claim: r.Claim, Value: r.Value, Role: api.Role{Name: r.Role, Prefix: prefix}})
		}
		out = append(out, p)
	}
	return out, nil
}

//go:embed sample.yaml
var sample []byte

// Sample is a configuration file with every field explained.
func Sample() []byte { return bytes.Clone(sample) }

// Load reads a configuration file, strictly, and fills in the defaults.
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read the configuration; `fujie node config > node.yaml` makes one",
			"无法读取配置；可用 `fujie node config > node.yaml` 生成")
	}
	c, err := Parse(b, filepath.Dir(path))
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the configuration %s is wrong", "配置 %s 有误", path)
	}
	return c, nil
}

// Parse reads a configuration; relative paths in it are under dir.
func Parse(b []byte, dir string) (*Config, error) {
	var c Config
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		return nil, problem.New(problem.BadRequest, "%s", "%s", yaml.FormatError(err, false, false))
	}
	if c.Listen == (Listen{}) {
		c.Listen = Listen{IRP: "127.0.0.1:2641", HTTP: "127.0.0.1:8080"}
	}
	if c.Data == "" {
		c.Data = "."
	}
	if !filepath.IsAbs(c.Data) {
		c.Data = filepath.Join(dir, c.Data)
	}
	if c.Hints != "" && !filepath.IsAbs(c.Hints) {
		c.Hints = filepath.Join(dir, c.Hints)
	}
	return &c, c.fill()
}

// fill checks the configuration and sets the defaults.
func (c *Config) fill() error {
	abs, err := filepath.Abs(c.Data)
	if err != nil {
		return problem.Wrap(err, problem.BadRequest, "the data folder %q has no place", "数据目录 %q 无法定位", c.Data)
	}
	c.Data = abs
	if c.Name == "" {
		c.Name = filepath.Base(c.Data)
	}
	switch c.Role {
	case Root:
		if c.Prefix == "" {
			c.Prefix = id.Root.Prefix()
		}
		if handle.Fold(c.Prefix) != id.Root.Prefix() {
			return problem.New(problem.BadRequest, "a root's prefix is 0.NA, not %s; leave it out", "根节点的前缀为 0.NA，而不是 %s；请删去", c.Prefix)
		}
	case National, SecondLevel, Enterprise:
		v, err := id.ParseHandle(c.Prefix)
		if err != nil {
			return err
		}
		if !v.IsPrefix() {
			return problem.New(problem.BadRequest, "prefix %q has a suffix; write the prefix alone, as 88.118", "prefix %q 带有后缀；只写前缀，例如 88.118", c.Prefix)
		}
		c.Prefix = v.String()
	case Recursive:
		if c.Prefix != "" || c.Mirror != nil || len(c.Homed) > 0 {
			return problem.New(problem.BadRequest, "a recursive node answers for no prefix; leave out prefix, homed and mirror",
				"递归节点不负责任何前缀；请删去 prefix、homed 和 mirror")
		}
	default:
		return problem.New(problem.BadRequest, "role %q is not known; take root, national, second-level, enterprise or recursive",
			"不认识角色 %q；可用 root、national、second-level、enterprise、recursive", c.Role)
	}
	if c.Algorithm == "" {
		c.Algorithm = trust.Ed25519
	}
	if c.Store == "" {
		c.Store = filepath.Join(c.Data, "store")
	}
	if c.Hints == "" {
		c.Hints = filepath.Join(c.Data, "hints.json")
	}
	if len(c.Admins) == 0 && c.Role != Recursive {
		c.Admins = []string{PrefixKeyRef(c.Prefix).String()}
	}
	for _, a := range c.Admins {
		if r, err := record.ParseRef(a); err != nil || r.IsZero() {
			return problem.New(problem.BadRequest, "admins: %q is no reference; write index:identifier", "admins：%q 不是引用；请写成 索引:标识", a)
		}
	}
	if r := c.Place.Region; r != "" && !regionCode.MatchString(r) {
		return problem.New(problem.BadRequest, "place.region: %q is no region of GB/T 2260; write six digits in quotes, as \"320000\"", "place.region：%q 不是 GB/T 2260 行政区划代码；请写六位数字并加引号，例如 \"320000\"", r)
	}
	if p := c.Place.Pulse; p != 0 && (p < time.Second || p > time.Hour) {
		return problem.New(problem.BadRequest, "place.pulse: %v is not between a second and an hour", "place.pulse：%v 不在一秒与一小时之间", p)
	}
	if m := c.Mirror; m != nil && !strings.HasPrefix(m.Of, "https://") {
		return problem.New(problem.BadRequest, "mirror.of must be an https:// address: a Feed carries secrets", "mirror.of 须为 https:// 地址：同步流中含有秘密")
	}
	if c.Sites != nil {
		if c.Mirror != nil || c.Role == Recursive || c.Role == Root {
			return problem.New(problem.BadRequest, "sites is for nodes that answer for a prefix below the root, and not beside mirror; leave one out",
				"sites 仅用于根以下负责前缀的节点，且不能与 mirror 同用；请删去其一")
		}
		if err := c.Sites.check(); err != nil {
			return err
		}
	}
	if c.HotMB == 0 {
		c.HotMB = 256
	}
	if c.CacheMB == 0 {
		c.CacheMB = 16
		if c.Role == Recursive {
			c.CacheMB = 256
		}
	}
	if c.Public != "" {
		if _, err := netip.ParseAddr(c.Public); err != nil {
			return problem.New(problem.BadRequest, "public: %q is no IP address", "public：%q 不是 IP 地址", c.Public)
		}
	}
	return nil
}

// PrefixKeyRef is the value that holds a prefix's own key: 300:0.NA/88.118. The holder of the key signs for the prefix and,
// unless configured otherwise, administers it.
func PrefixKeyRef(prefix string) record.Ref {
	if handle.Fold(prefix) == id.Root.Prefix() {
		return record.Ref{Index: 300, Name: id.Root.String()}
	}
	return record.Ref{Index: 300, Name: id.PrefixRecord(prefix).String()}
}

// renewEvery is how often signatures near their end are looked for.
const renewEvery = time.Hour
