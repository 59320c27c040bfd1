package sim

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trace/epcis"
	"github.com/fujie-id/fujie/trust/ledger"
	"github.com/fujie-id/fujie/wire/web"
)

// Options say how to run a country.
type Options struct {
	Data      string   // its folder; the same folder continues the same country
	Processes bool     // every node in a process of its own
	Separate  []string // these nodes in any case, so that they can be killed
	Program   string   // the fujie program, for processes
	Version   string
	NoSamples bool
	Log       *slog.Logger
	// Progress hears each step, in both languages. May be nil.
	Progress func(en, zh string)
}

// Country is a running one.
type Country struct {
	plan   *Plan
	opts   Options
	access *Access
	sites  map[string]*siteGroup // prefix → its sites, where there are several
	chain  *ColdChain            // nil without one

	mu      sync.Mutex
	state   State
	members map[string]member
}

// member is a running node, in this process or in one of its own.
type member interface {
	where() Ready
	stop() error
	kill() error
	failed() <-chan error
}

// Ready is what a node's process tells once it answers.
type Ready struct {
	Name string `json:"name"`
	IRP  string `json:"irp"`
	HTTP string `json:"http"`
	Pin  string `json:"pin"`
	Pid  int    `json:"pid"`
}

// ReadyOf is the Ready of a node in this process.
func ReadyOf(n *node.Node) Ready {
	return Ready{Name: n.Name(), IRP: n.IRP().String(), HTTP: n.HTTP().String(), Pin: n.TLSKey().Fingerprint(), Pid: os.Getpid()}
}

// Start runs a country until Close. When it returns nil every node answers, every prefix is delegated, every mirror is
// up to date, and the samples resolve.
func Start(ctx context.Context, plan *Plan, opts Options) (*Country, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Progress == nil {
		opts.Progress = func(string, string) {}
	}
	dir, err := filepath.Abs(opts.Data)
	if err != nil {
		return nil, err
	}
	opts.Data = dir
	c := &Country{plan: plan, opts: opts, members: map[string]member{}}
	c.state = State{Version: opts.Version, Hints: filepath.Join(dir, "hints.json")}
	c.access = NewAccess(&c.state)
	c.chain = plan.ColdChain()
	if err := c.start(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Country) start(ctx context.Context) error {
	nodes := c.plan.nodes()
	byPrefix := map[string][]placed{}
	primary := map[string]string{}
	started := 0
	if err := c.placeSites(); err != nil {
		return err
	}
	for _, p := range nodes {
		if p.prefix != "" {
			byPrefix[p.prefix] = append(byPrefix[p.prefix], p)
			if !p.mirror {
				primary[p.prefix] = p.name
			}
		}
		if err := c.prepare(p, primary[p.prefix]); err != nil {
			return err
		}
		if err := c.startNode(ctx, p.name); err != nil {
			return err
		}
		if p.role == node.Root {
			if err := c.readRootKey(); err != nil {
				return err
			}
		}
		started++
		c.opts.Progress(fmt.Sprintf("%d of %d nodes answer", started, len(nodes)), fmt.Sprintf("已启动 %d / %d 个节点", started, len(nodes)))
	}
	for _, p := range nodes {
		if p.prefix == "" || p.mirror || p.role == node.Root {
			continue
		}
		if err := c.delegate(ctx, p, byPrefix[p.prefix]); err != nil {
			return problem.Wrap(err, problem.KindOf(err), "the prefix %s could not be delegated to %s", "前缀 %s 未能授权给 %s", p.prefix, p.name)
		}
	}
	c.opts.Progress("every prefix is delegated and signed by its parent", "各级前缀均已授权，并由上级签名")
	if err := c.awaitMirrors(ctx, nodes); err != nil {
		return err
	}
	if err := c.register(ctx, nodes); err != nil {
		return err
	}
	if err := c.captureEvents(ctx, nodes); err != nil {
		return err
	}
	if err := c.makePeople(ctx, nodes); err != nil {
		return err
	}
	if err := c.installSolutions(ctx, nodes); err != nil {
		return err
	}
	for _, p := range nodes {
		if p.sample != "" {
			c.state.Samples = append(c.state.Samples, Sample(p.sample, p.prefix, p.title)[0].ID.String())
		}
	}
	if e := c.state.First(node.Enterprise); e != nil {
		c.state.EnterprisePrefix = e.Prefix
	}
	if err := c.awaitSamples(ctx); err != nil {
		return err
	}
	return c.state.write(filepath.Join(c.opts.Data, stateFile))
}

// dir is a node's folder.
func (c *Country) dir(name string) string { return filepath.Join(c.opts.Data, "nodes", name) }

// prepare writes a node's configuration and lays its keys.
func (c *Country) prepare(p placed, primary string) error {
	dir := c.dir(p.name)
	cfgPath := filepath.Join(dir, "node.yaml")
	cfg := &node.Config{}
	if b, err := os.ReadFile(cfgPath); err == nil {
		old, err := node.Parse(b, dir)
		if err != nil {
			return err
		}
		cfg.Listen = old.Listen // the ports that its delegation names
	} else {
		cfg.Listen = node.Listen{IRP: "127.0.0.1:0", HTTP: "127.0.0.1:0"}
		if p.role == node.Recursive && p.name == c.plan.Recursive[0].Name {
			cfg.Listen = node.Listen{IRP: fmt.Sprintf("127.0.0.1:%d", c.plan.IRP), HTTP: fmt.Sprintf("127.0.0.1:%d", c.plan.HTTP)}
		}
	}
	if sites := c.sites[p.prefix]; p.prefix != "" && sites != nil {
		cfg.Listen.HTTP = sites.addrs[p.name] // which the other sites were told
	}
	cfg.Listen.IRP, cfg.Listen.HTTP = freeOr(cfg.Listen.IRP), freeOr(cfg.Listen.HTTP)
	cfg.Name, cfg.Role, cfg.Prefix, cfg.Data, cfg.Algorithm = p.name, p.role, p.prefix, dir, c.plan.Algorithm
	cfg.Hints, cfg.AllowPrivate = c.state.Hints, true
	cfg.HotMB, cfg.CacheMB, cfg.Sockets = 16, 8, 1
	cfg.Place = p.place
	cfg.Place.Pulse = 3 * time.Second // somebody is looking
	if p.role != node.Recursive {
		// Many nodes share this machine's memory.
		cfg.Store = (&url.URL{Scheme: "pebble", Path: filepath.ToSlash(filepath.Join(dir, "store")), RawQuery: "cache=16&memtable=4"}).String()
	}
	switch p.role {
	case node.Recursive:
		cfg.CacheMB, cfg.Sockets = 256, 2
		cfg.HotMB = 1
	case node.Root:
		cfg.Prefix = ""
	case node.Enterprise:
		cfg.HotMB = 64
		cfg.Admins = []string{node.PrefixKeyRef(p.prefix).String(), demoUser(p.prefix)}
	}
	if p.mirror {
		src := c.state.Node(primary)
		// All sites of one prefix are one operator's and share its key.
		key, err := os.ReadFile(node.PrefixKeyPath(src.Dir))
		if err != nil {
			return err
		}
		if err := node.WriteFile(node.PrefixKeyPath(dir), key); err != nil {
			return err
		}
	}
	if sites := c.sites[p.prefix]; p.prefix != "" && sites != nil {
		cfg.Sites = &node.Sites{Self: p.name, All: sites.peers, Hold: c.plan.National.Hold}
	}
	if p.role == node.SecondLevel || p.role == node.Enterprise {
		if sites := c.sites[c.plan.National.Prefix]; sites != nil {
			cfg.Ledger.Witnesses = sites.witnesses
		}
		if up := c.state.Primary(p.parent); up != nil {
			cfg.Parent = &node.Peer{URL: up.HTTPS, Key: up.Pin}
		}
	}
	b, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	if err := node.WriteFile(cfgPath, b); err != nil {
		return err
	}
	n := NodeState{Name: p.name, Role: p.role, Prefix: p.prefix, Dir: dir, Title: p.title, Mirror: p.mirror, Solutions: p.solutions}
	if p.role == node.Enterprise {
		if n.DemoPassword, err = demoPassword(dir); err != nil {
			return err
		}
		n.DemoUser = demoUser(p.prefix)
	}
	c.state.Nodes = append(c.state.Nodes, n)
	return nil
}

// siteGroup is the sites of one prefix, with their addresses and keys settled before the first of them starts, since each
// is told of all.
type siteGroup struct {
	peers     []node.Peer
	addrs     map[string]string // name → host:port of HTTPS
	witnesses []node.WitnessPeer
}

// placeSites settles where the sites of the national prefix are.
func (c *Country) placeSites() error {
	n := c.plan.National
	if len(n.Sites) < 2 {
		return nil
	}
	g := &siteGroup{addrs: map[string]string{}}
	for _, s := range n.Sites {
		dir := c.dir(s.Name)
		addr := "127.0.0.1:0"
		if b, err := os.ReadFile(filepath.Join(dir, "node.yaml")); err == nil {
			old, err := node.Parse(b, dir)
			if err != nil {
				return err
			}
			addr = old.Listen.HTTP
		}
		l, err := net.Listen("tcp", freeOr(addr))
		if err != nil {
			return problem.Wrap(err, problem.Unreachable, "there is no free port on 127.0.0.1", "127.0.0.1 上没有空闲端口")
		}
		defer l.Close() // held until all have one, so that no two get the same
		server, tls, err := node.EnsureServerKeys(dir, c.plan.Algorithm)
		if err != nil {
			return err
		}
		g.addrs[s.Name] = l.Addr().String()
		// The second and the third site co-sign the logs of everybody below.
		if len(g.peers) == 1 || len(g.peers) == 2 {
			logs, err := node.LogKey(dir, c.plan.Algorithm)
			if err != nil {
				return err
			}
			v, err := ledger.WitnessVerifier(node.WitnessName(n.Prefix, s.Name), logs.Public())
			if err != nil {
				return err
			}
			g.witnesses = append(g.witnesses, node.WitnessPeer{URL: "https://" + l.Addr().String(), Key: tls.Public().Fingerprint(), Vkey: v.String()})
		}
		g.peers = append(g.peers, node.Peer{Name: s.Name, URL: "https://" + l.Addr().String(), Key: tls.Public().Fingerprint(), Signs: server.Public().Fingerprint()})
	}
	c.sites = map[string]*siteGroup{n.Prefix: g}
	return nil
}

// freeOr is the address if nobody listens there, else the same host with any free port.
func freeOr(addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		host, _, _ := net.SplitHostPort(addr)
		return net.JoinHostPort(host, "0")
	}
	l.Close()
	return addr
}

func demoUser(prefix string) string { return "301:" + prefix + "/ADMIN" }

// demoPassword is the password of the demonstration administrator: random for each folder.
func demoPassword(dir string) (string, error) {
	path := filepath.Join(dir, "keys", "demo-password")
	if b, err := os.ReadFile(path); err == nil {
		return string(b), nil
	}
	var b [15]byte
	rand.Read(b[:])
	pw := base32.StdEncoding.EncodeToString(b[:])
	return pw, node.WriteFile(path, []byte(pw))
}

// startNode starts or restarts a prepared node, and notes where it is.
func (c *Country) startNode(ctx context.Context, name string) error {
	cfgPath := filepath.Join(c.dir(name), "node.yaml")
	separate := c.opts.Processes
	for _, s := range c.opts.Separate {
		separate = separate || s == name
	}
	var m member
	var err error
	if separate {
		m, err = startProcess(ctx, c.opts.Program, cfgPath, filepath.Join(c.dir(name), "node.log"))
	} else {
		m, err = startInside(ctx, cfgPath, c.opts.Log)
	}
	if err != nil {
		return problem.Wrap(err, problem.KindOf(err), "node %s did not start", "节点 %s 未能启动", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[name] = m
	n := c.state.Node(name)
	w := m.where()
	n.IRP, n.HTTP, n.HTTPS, n.Pin, n.Pid = w.IRP, "http://"+w.HTTP, "https://"+w.HTTP, w.Pin, w.Pid
	if n.Role != node.Root && n.Role != node.Recursive {
		n.EPCIS = n.HTTP + "/epcis"
	}
	return keepPorts(cfgPath, w)
}

// keepPorts writes the ports that a node got into its configuration, so that it comes back where its delegation says.
func keepPorts(cfgPath string, w Ready) error {
	b, err := os.ReadFile(cfgPath)
	if err != nil {
		return err
	}
	var cfg node.Config
	if err := yaml.Unmarshal(b, &cfg); err != nil {
		return err
	}
	if cfg.Listen.IRP == w.IRP && cfg.Listen.HTTP == w.HTTP {
		return nil
	}
	cfg.Listen.IRP, cfg.Listen.HTTP = w.IRP, w.HTTP
	if b, err = yaml.Marshal(&cfg); err != nil {
		return err
	}
	return node.WriteFile(cfgPath, b)
}

// readRootKey takes the root's key from the hints that it wrote.
func (c *Country) readRootKey() error {
	h, err := node.ReadHints(c.state.Hints)
	if err != nil {
		return err
	}
	c.state.RootKey = h.Anchors[0].Fingerprint()
	return nil
}

// delegate makes the parent of p's prefix say where all its sites are.
func (c *Country) delegate(ctx context.Context, p placed, group []placed) error {
	var sites []*record.Site
	for _, g := range group {
		s, err := c.access.site(ctx, c.state.Node(g.name))
		if err != nil {
			return err
		}
		sites = append(sites, s)
	}
	key, err := readKey(node.PrefixKeyPath(c.dir(p.name)))
	if err != nil {
		return err
	}
	return c.access.delegate(ctx, p.prefix, p.title, sites, key.Public())
}

// awaitMirrors waits until every mirror answers for every prefix below it: a mirror that lags would deny what was just delegated.
func (c *Country) awaitMirrors(ctx context.Context, nodes []placed) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, m := range nodes {
		if !m.mirror {
			continue
		}
		client, err := c.access.Client(c.state.Node(m.name))
		if err != nil {
			return err
		}
		for _, p := range nodes {
			if p.parent != m.prefix || p.mirror {
				continue
			}
			if err := poll(ctx, func() error {
				_, err := client.Resolve(ctx, record.Query{ID: id.PrefixRecord(p.prefix), PublicOnly: true, NoReferral: true})
				return err
			}); err != nil {
				return problem.Wrap(err, problem.KindOf(err), "site %s does not follow its primary", "站点 %s 未能与主站点同步", m.name)
			}
		}
	}
	return nil
}

// poll calls f until it returns nil or ctx ends, and then returns f's error.
func poll(ctx context.Context, f func() error) error {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// register puts each enterprise's administrator and first goods into its node, once.
func (c *Country) register(ctx context.Context, nodes []placed) error {
	total := 0
	for _, p := range nodes {
		if p.role != node.Enterprise {
			continue
		}
		n := c.state.Node(p.name)
		client, err := c.access.Client(n)
		if err != nil {
			return err
		}
		admin := id.MustParse(p.prefix + "/ADMIN")
		_, err = client.Resolve(ctx, record.Query{ID: admin, PublicOnly: true, Types: []string{record.TypeAdmin}})
		if err == nil || !problem.Is(err, problem.NotFound) {
			if err != nil {
				return err
			}
			continue // an earlier run did it
		}
		writes := []record.Write{}
		if p.sample != "" && !c.opts.NoSamples {
			writes = Sample(p.sample, p.prefix, p.title)
		}
		if p.part != "" && !c.opts.NoSamples {
			writes = append(writes, c.chain.records(p.part, p.prefix, p.title)...)
		}
		secret := record.Value{Index: 301, Type: record.TypeSecKey, Data: []byte(n.DemoPassword), Perm: record.AdminRead | record.AdminWrite, TTL: record.TTL{Seconds: record.DefaultTTL}}
		self := record.Value{Index: 100, Type: record.TypeAdmin, Perm: record.DefaultPerm, TTL: record.TTL{Seconds: record.DefaultTTL},
			Data: record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: node.PrefixKeyRef(p.prefix)})}
		// Last, since its presence says that the rest is there.
		writes = append(writes, record.Write{Op: record.Create, ID: admin, Values: []record.Value{self, secret}})
		res, err := client.Write(ctx, record.Identity{}, writes)
		if err != nil {
			return err
		}
		for _, r := range res {
			if r.Err != nil && !problem.Is(r.Err, problem.Exists) {
				return r.Err
			}
		}
		total += len(writes) - 1
	}
	if total > 0 {
		c.opts.Progress(fmt.Sprintf("%d sample identifiers are registered at their enterprises", total), fmt.Sprintf("已在各企业登记 %d 个样例标识", total))
	}
	return nil
}

// captureEvents gives every enterprise of the cold chain its events, once: the same event twice is one. Each lets the others of the chain see how
// things hang together, and the second level, as the authority, all of it.
func (c *Country) captureEvents(ctx context.Context, nodes []placed) error {
	if c.chain == nil || c.opts.NoSamples {
		return nil
	}
	total := 0
	for _, p := range nodes {
		if p.part == "" {
			continue
		}
		client, err := c.access.Client(c.state.Node(p.name))
		if err != nil {
			return err
		}
		for name, body := range coldShares(p.parent, c.chain.prefixes) {
			if err := exchange(ctx, client, "PUT", "/api/shares/"+name, body, 200, 201, 204); err != nil {
				return problem.Wrap(err, problem.KindOf(err), "%s could not say who sees its events", "%s 未能设定事件的可见范围", p.name)
			}
		}
		doc := epcis.Document{SchemaVersion: "2.0", Created: coldDay, Events: c.chain.Events[p.part], Namespaces: map[string]string{"cold": coldSpace}}
		if err := exchange(ctx, client, "POST", "/epcis/capture", epcis.AppendJSON(nil, &doc, epcis.Format{}), 202); err != nil {
			return problem.Wrap(err, problem.KindOf(err), "%s could not capture its events", "%s 未能采集事件", p.name)
		}
		total += len(doc.Events)
	}
	c.opts.Progress(fmt.Sprintf("%d events of a cold chain are captured at its %d enterprises", total, len(ColdChainParts)),
		fmt.Sprintf("已在冷链的 %[2]d 家企业采集 %[1]d 个事件", total, len(ColdChainParts)))
	return nil
}

// exchange asks for one thing of a node's interface and wants one of these answers.
func exchange(ctx context.Context, client *web.Client, method, path string, body []byte, want ...int) error {
	status, answer, err := client.Exchange(ctx, method, path, body)
	if err == nil && !slices.Contains(want, status) {
		err = problem.New(problem.BadRequest, "%s %s: status %d: %s", "%s %s：状态 %d：%s", method, path, status, answer)
	}
	return err
}

// awaitSamples resolves a sample through every recursive node.
func (c *Country) awaitSamples(ctx context.Context) error {
	if len(c.state.Samples) == 0 || c.opts.NoSamples {
		return nil
	}
	for i := range c.state.Nodes {
		n := &c.state.Nodes[i]
		if n.Role != node.Recursive {
			continue
		}
		e, err := endpoint(n)
		if err != nil {
			return err
		}
		if _, err := c.access.IRP.Ask(ctx, e, record.Query{ID: id.MustParse(c.state.Samples[0]), PublicOnly: true}); err != nil {
			return problem.Wrap(err, problem.KindOf(err), "%s cannot resolve %s", "%s 无法解析 %s", n.Name, c.state.Samples[0])
		}
	}
	return nil
}

// State is a copy of what scripts see.
func (c *Country) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Nodes = append([]NodeState(nil), s.Nodes...)
	return s
}

// AddSamples adds identifiers that resolve to those that the state names.
func (c *Country) AddSamples(samples []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Samples = append(c.state.Samples, samples...)
}

// WriteReady writes the ready file.
func (c *Country) WriteReady(path string) error {
	s := c.State()
	return s.write(path)
}

// Access works on the country from outside.
func (c *Country) Access() *Access { return c.access }

// Kill ends a node's process at once, as a crash does. Only nodes that run in a process of their own can be killed.
func (c *Country) Kill(name string) error {
	c.mu.Lock()
	m := c.members[name]
	c.mu.Unlock()
	return m.kill()
}

// Restart starts a node again that was killed.
func (c *Country) Restart(ctx context.Context, name string) error { return c.startNode(ctx, name) }

// Wait returns when ctx ends (nil), or when a node cannot go on (its error).
func (c *Country) Wait(ctx context.Context) error {
	failed := make(chan error, len(c.members))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	for _, m := range c.members {
		go func() {
			select {
			case err := <-m.failed():
				failed <- err
			case <-ctx.Done():
			}
		}()
	}
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// Close stops every node, children before parents.
func (c *Country) Close() error {
	c.access.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for i := len(c.state.Nodes) - 1; i >= 0; i-- {
		if m := c.members[c.state.Nodes[i].Name]; m != nil {
			errs = append(errs, m.stop())
		}
	}
	return errors.Join(errs...)
}

// inside is a node in this process.
type inside struct{ n *node.Node }

func startInside(ctx context.Context, cfgPath string, log *slog.Logger) (member, error) {
	cfg, err := node.Load(cfgPath)
	if err != nil {
		return nil, err
	}
	n, err := node.Start(ctx, cfg, node.Options{Log: log})
	if err != nil {
		return nil, err
	}
	return inside{n}, nil
}

func (m inside) where() Ready         { return ReadyOf(m.n) }
func (m inside) stop() error          { return m.n.Close() }
func (m inside) failed() <-chan error { return m.n.Failed() }
func (m inside) kill() error {
	return problem.New(problem.Unsupported, "node %s runs inside this process and cannot be killed alone", "节点 %s 运行在本进程内，无法单独杀掉", m.n.Name())
}

// process is a node in a process of its own.
type process struct {
	cmd   *exec.Cmd
	ready Ready
	done  chan error
}

func startProcess(ctx context.Context, program, cfgPath, logPath string) (member, error) {
	readyPath := filepath.Join(filepath.Dir(cfgPath), "ready.json")
	os.Remove(readyPath)
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	cmd := exec.Command(program, "node", "run", "--config", cfgPath, "--ready-file", readyPath)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = poll(ctx, func() error {
		select {
		case err := <-p.done:
			p.done <- err
			cancel()
			return problem.New(problem.Internal, "its process ended; see %s", "其进程已退出；见 %s", logPath)
		default:
		}
		b, err := os.ReadFile(readyPath)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &p.ready)
	})
	if err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

func (p *process) where() Ready { return p.ready }

func (p *process) stop() error {
	p.cmd.Process.Signal(os.Interrupt)
	select {
	case err := <-p.done:
		p.done <- err
		return nil
	case <-time.After(10 * time.Second):
		return p.kill()
	}
}

func (p *process) kill() error {
	p.cmd.Process.Kill()
	err := <-p.done
	p.done <- err
	return nil
}

func (p *process) failed() <-chan error {
	out := make(chan error, 1)
	go func() {
		err := <-p.done
		p.done <- err
		out <- problem.Wrap(err, problem.Internal, "the process of node %s ended", "节点 %s 的进程已退出", p.ready.Name)
	}()
	return out
}
