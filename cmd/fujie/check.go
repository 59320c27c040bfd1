package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/intake"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/recursor"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/irp"
	"github.com/fujie-id/fujie/wire/web"
)

// checkDevices is how many lines the check's own sample has.
const checkDevices = 4000

// checkAsked is how many identifiers are resolved through each recursive node on each wire.
const checkAsked = 150

// checker plays the main job and notes whether each part of it held.
type checker struct {
	e     *env
	dir   string
	input string
	// program is fujie itself, for what runs beside the country.
	program string
	own     *sim.Odd // what is odd in the input, when it is our own

	newcomer *newcomer // the enterprise that joined

	country *sim.Country
	state   sim.State
	acked   []string
	lines   int
	start   time.Time
	failed  int
}

// check plays the main job in a temporary folder; it returns nil only if everything held.
func check(e *env, plan *sim.Plan, program, input string, processes bool) error {
	dir, err := os.MkdirTemp("", "fujie-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := &checker{e: e, dir: dir, input: input, program: program, start: time.Now()}
	log, closeLog, err := logFile(filepath.Join(dir, "country.log"))
	if err != nil {
		return err
	}
	defer closeLog()
	ctx := e.ctx
	host := ""
	for _, s := range plan.SecondLevel {
		if s.Hosting != "" {
			host = s.Hosting
			break
		}
	}
	if host == "" {
		return problem.New(problem.BadRequest, "the country hosts no enterprises; the check needs a second-level node with hosting", "该国没有托管节点；检查须有带 hosting 的二级节点")
	}
	plan.IRP, plan.HTTP = 0, 0 // any free ports: a country may be running beside

	if !c.step("every node starts, prefixes are delegated, mirrors follow", "启动全部节点、逐级授权、镜像同步", func() (string, error) {
		var err error
		c.country, err = sim.Start(ctx, plan, sim.Options{Data: filepath.Join(dir, "country"), Processes: processes, Separate: []string{host, plan.National.Sites[0].Name}, Program: program, Version: version, Log: log})
		if err != nil {
			return "", err
		}
		c.state = c.country.State()
		return c.say("%d nodes, root key %s", "%d 个节点，根密钥 %s", len(c.state.Nodes), c.state.RootKey), nil
	}) {
		return c.verdict()
	}
	defer c.country.Close()
	c.step("the samples resolve from the top, chain secure", "样例自顶层解析，签名链可信", func() (string, error) { return c.samples(ctx) })
	if !c.step("devices are there to register", "备好待登记的器械清单", c.devices) {
		return c.verdict()
	}
	c.step("registration, its enterprise node killed in the middle", "登记途中杀掉企业节点", func() (string, error) { return c.registerKilled(ctx, host) })
	c.step("nothing acknowledged is lost", "已确认的登记无一丢失", func() (string, error) { return c.nothingLost(ctx, host) })
	c.step("the rest is registered where it stopped; odd lines are reported", "从中断处续登，异常行均有报告", func() (string, error) { return c.registerRest(ctx) })
	c.step("again: nothing is doubled", "重复登记不产生重复", func() (string, error) { return c.registerAgain(ctx) })
	for _, w := range []string{"IRP/UDP", "IRP/TCP", "HTTP"} {
		c.step("resolved through every recursive node by "+w, "经各递归节点以 "+w+" 解析", func() (string, error) { return c.resolveBy(ctx, w) })
	}
	c.step("chains verified here, from the root's key down", "在本地自根密钥起校验签名链", func() (string, error) { return c.verify(ctx) })
	c.step("an absent identifier is absent, provably", "不存在的标识可证明不存在", func() (string, error) { return c.absent(ctx) })
	c.step("a tampered answer is called bogus", "被篡改的答案判为伪造", func() (string, error) { return c.tampered(ctx) })
	c.step("a new enterprise applies, is approved, and resolves", "新企业申请、获批并可解析", func() (string, error) { return c.admit(ctx) })
	c.step("a partner sees a granted value, a stranger does not; both are in the ledger", "合作方可见授权的值，陌生人不可见；二者均有账本证明", func() (string, error) { return c.share(ctx) })
	c.step("one contaminated package: its source, its siblings, everybody who was near, across eight enterprises", "一件受污染的包装：跨八家企业查明来源、同批次与全部接触者", func() (string, error) { return c.coldChain(ctx, plan) })
	c.step("five floors scan: false claims go back, marked orders stop, parameters are learnt, bottles are packed, a contaminated package is traced; the figures add up", "五个现场扫码：虚假索赔退回、异常订单拦截、参数优化、瓶箱关联、问题产品追溯；指标与作业量相符", func() (string, error) { return c.solutions(ctx) })
	c.step("the national primary killed under load: another site takes over", "负载下杀掉国家顶级主站点，由其他站点接管", func() (string, error) { return c.failover(ctx) })
	return c.verdict()
}

func (c *checker) say(en, zh string, args ...any) string { return c.e.say(en, zh, args...) }

// step does one part and prints what came of it.
func (c *checker) step(en, zh string, f func() (string, error)) bool {
	start := time.Now()
	detail, err := f()
	mark := "ok  "
	if err != nil {
		mark, detail = "FAIL", problem.Say(err, c.e.lang)
		c.failed++
	}
	fmt.Fprintf(c.e.out, "%s %6.2fs  %s\n", mark, time.Since(start).Seconds(), c.say(en, zh))
	if detail != "" {
		fmt.Fprintf(c.e.out, "              %s\n", detail)
	}
	return err == nil
}

func (c *checker) verdict() error {
	took := time.Since(c.start).Seconds()
	if c.failed == 0 {
		c.e.print("everything held, in %.1f s", "全部成立，用时 %.1f 秒", took)
		return nil
	}
	c.e.print("%d parts did not hold, in %.1f s", "%d 项不成立，用时 %.1f 秒", c.failed, took)
	return codeError{code: exitInternal}
}

func wrong(en, zh string, args ...any) error { return problem.New(problem.Internal, en, zh, args...) }

// walker is a recursor of the check's own: it trusts the root's key and nobody else.
func (c *checker) walker(ask record.Asker) (*recursor.Recursor, error) {
	h, err := node.ReadHints(c.state.Hints)
	if err != nil {
		return nil, err
	}
	return recursor.New(recursor.Config{Ask: ask, Hints: h.Sites, Anchors: h.Anchors, AllowPrivate: true})
}

func (c *checker) samples(ctx context.Context) (string, error) {
	w, err := c.walker(c.country.Access().IRP)
	if err != nil {
		return "", err
	}
	defer w.Close()
	for _, s := range c.state.Samples {
		a, err := w.Resolve(ctx, record.Query{ID: id.MustParse(s), PublicOnly: true})
		if err != nil {
			return "", err
		}
		if a.Trust != record.Secure {
			return "", wrong("%s is %s, not secure", "%s 为 %s，而非可信", s, a.Trust)
		}
	}
	return c.say("%d enterprises", "%d 个企业", len(c.state.Samples)), nil
}

// devices makes the input, unless one was given, and counts its lines.
func (c *checker) devices() (string, error) {
	if c.input == "" {
		var b bytes.Buffer
		odd, err := sim.WriteDevices(&b, checkDevices)
		if err != nil {
			return "", err
		}
		c.own = &odd
		c.input = filepath.Join(c.dir, "devices.jsonl")
		if err := os.WriteFile(c.input, b.Bytes(), 0o600); err != nil {
			return "", err
		}
	}
	in, err := intake.Open(c.input, intake.Options{})
	if err != nil {
		return "", err
	}
	defer in.Close()
	for {
		if _, err := in.Next(); err == io.EOF {
			break
		} else if err != nil {
			return "", err
		}
		c.lines++
	}
	if c.lines == 0 {
		return "", wrong("%s has no lines", "%s 没有内容", c.input)
	}
	return c.say("%d lines", "%d 行", c.lines), nil
}

// mapFile writes the map that belongs to the input.
func (c *checker) mapFile() (string, error) {
	path := filepath.Join(c.dir, "openfda-udi.yaml")
	return path, os.WriteFile(path, sim.DeviceMap(), 0o600)
}

// register runs the register command on the input, with a small batch so that there is a middle to be killed in.
func (c *checker) register(ctx context.Context, again bool) (r *registration, report string, err error) {
	m, err := c.mapFile()
	if err != nil {
		return nil, "", err
	}
	var out, errw bytes.Buffer
	e := &env{ctx: ctx, out: &out, err: &errw, lang: c.e.lang}
	cmd := &registerCmd{access: access{Data: filepath.Join(c.dir, "country")}, Files: []string{c.input}, Map: m,
		Acked: filepath.Join(c.dir, "acked.txt"), Report: filepath.Join(c.dir, "refused.jsonl"), Batch: 100, Encoding: "auto", Again: again}
	r, err = cmd.do(e)
	var code codeError
	if errors.As(err, &code) && code.code == exitRefused {
		err = nil
	}
	return r, cmd.Report, err
}

func (c *checker) readAcked() error {
	f, err := os.Open(filepath.Join(c.dir, "acked.txt"))
	if err != nil {
		return err
	}
	defer f.Close()
	seen := map[string]bool{}
	c.acked = c.acked[:0]
	for sc := bufio.NewScanner(f); sc.Scan(); {
		v, err := id.Parse(sc.Text())
		if err != nil {
			return err
		}
		if s := v.String(); !seen[s] {
			seen[s] = true
			c.acked = append(c.acked, s)
		}
	}
	return nil
}

// registerKilled kills the enterprises' node with SIGKILL once a quarter of the lines is acknowledged.
func (c *checker) registerKilled(ctx context.Context, host string) (string, error) {
	kill := make(chan error, 1)
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for stop.Err() == nil {
			b, _ := os.ReadFile(filepath.Join(c.dir, "acked.txt"))
			if bytes.Count(b, []byte{'\n'}) >= c.lines/4 {
				kill <- c.country.Kill(host)
				return
			}
			select {
			case <-stop.Done():
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	_, _, err := c.register(ctx, false)
	cancel()
	wg.Wait()
	select {
	case kerr := <-kill:
		if kerr != nil {
			return "", kerr
		}
	default:
		return "", wrong("the registration ended before its node could be killed: %v", "登记在杀掉节点之前就已结束：%v", err)
	}
	if err == nil {
		return "", wrong("the registration did not notice that its node was gone", "登记没有察觉节点已不在")
	}
	if err := c.readAcked(); err != nil {
		return "", err
	}
	if len(c.acked) >= c.lines {
		return "", wrong("all lines were acknowledged before the kill", "杀掉之前全部行已确认")
	}
	if err := c.country.Restart(ctx, host); err != nil {
		return "", err
	}
	c.state = c.country.State()
	return c.say("%d acknowledged when it was killed; it is back", "被杀时已确认 %d 条；节点已恢复", len(c.acked)), nil
}

// nothingLost lists everything at the enterprises' node and holds the acknowledgements against it.
func (c *checker) nothingLost(ctx context.Context, host string) (string, error) {
	have, err := c.listed(ctx, host)
	if err != nil {
		return "", err
	}
	for _, s := range c.acked {
		if !have[s] {
			return "", wrong("%s was acknowledged and is lost", "%s 已确认却丢失", s)
		}
	}
	return c.say("%d acknowledged, %d found, 0 lost", "已确认 %d 条，找到 %d 条，丢失 0 条", len(c.acked), len(have)), nil
}

// listed is every identifier that the enterprises' node keeps.
func (c *checker) listed(ctx context.Context, host string) (map[string]bool, error) {
	n := c.state.Node(host)
	client, err := c.country.Access().Client(n)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	prefixes, err := client.Prefixes(ctx, record.Identity{}, "", 10000)
	if err != nil {
		return nil, err
	}
	for _, p := range prefixes {
		for after := ""; ; {
			names, err := client.List(ctx, record.Identity{}, p, after, 1000)
			if err != nil {
				return nil, err
			}
			for _, s := range names {
				have[s] = true
				after = s
			}
			if len(names) < 1000 {
				break
			}
		}
	}
	return have, nil
}

func (c *checker) registerRest(ctx context.Context) (string, error) {
	r, _, err := c.register(ctx, true)
	if err != nil {
		return "", err
	}
	if err := c.readAcked(); err != nil {
		return "", err
	}
	if got := r.registered + r.already + r.refused; got != c.lines {
		return "", wrong("%d lines went in, %d were accounted for", "共 %d 行，只交代了 %d 行", c.lines, got)
	}
	if c.own != nil {
		if want := c.own.NoCompany + c.own.Duplicate + c.own.TooLong; r.refused != want {
			return "", wrong("%d lines were refused, %d are odd", "拒绝 %d 行，而异常行有 %d", r.refused, want)
		}
	}
	if len(c.acked) != r.registered+r.already {
		return "", wrong("%d identifiers are listed as acknowledged, %d were", "清单中有 %d 个已确认标识，实为 %d 个", len(c.acked), r.registered+r.already)
	}
	return c.say("%d now, %d before the kill, %d refused with their line numbers", "本次新登记 %d，此前已登记 %d，拒绝 %d 行并列出行号", r.registered, r.already, r.refused), nil
}

func (c *checker) registerAgain(ctx context.Context) (string, error) {
	r, _, err := c.register(ctx, true)
	if err != nil {
		return "", err
	}
	if r.registered != 0 || r.already != len(c.acked) {
		return "", wrong("a second run registered %d more", "第二次运行又登记了 %d 条", r.registered)
	}
	return "", nil
}

// some is a few of what was registered, the same ones in each run.
func (c *checker) some(n int) []id.ID {
	r := rand.New(rand.NewPCG(1, 2))
	var out []id.ID
	for range min(n, len(c.acked)) {
		out = append(out, id.MustParse(c.acked[r.IntN(len(c.acked))]))
	}
	return out
}

func (c *checker) resolveBy(ctx context.Context, wire string) (string, error) {
	asked := 0
	for i := range c.state.Nodes {
		n := &c.state.Nodes[i]
		if n.Role != node.Recursive {
			continue
		}
		var ask func(q record.Query) (record.Answer, error)
		switch wire {
		case "HTTP":
			w := &web.Client{Base: n.HTTP}
			defer w.Close()
			ask = func(q record.Query) (record.Answer, error) { return w.Resolve(ctx, q) }
		default:
			server, err := endpoint(n.IRP, wire == "IRP/TCP")
			if err != nil {
				return "", err
			}
			ask = func(q record.Query) (record.Answer, error) {
				return c.country.Access().IRP.Ask(ctx, server, q)
			}
		}
		for _, v := range c.some(checkAsked) {
			a, err := ask(record.Query{ID: v, PublicOnly: true})
			if err != nil {
				return "", problem.Wrap(err, problem.Internal, "%s at %s", "%s（%s）", v, n.Name)
			}
			if !says(a, v) {
				return "", wrong("%s answers something else for %s", "%s 对 %s 的答案不对", n.Name, v)
			}
			asked++
		}
	}
	return c.say("%d answers", "%d 个答案", asked), nil
}

// says reports whether an answer is the one that was registered: it names the device of the identifier.
func says(a record.Answer, v id.ID) bool {
	for i := range a.Values {
		if a.Values[i].Type == "deviceId" {
			return strings.EqualFold(string(a.Values[i].Data), v.Suffix())
		}
	}
	return false
}

func (c *checker) verify(ctx context.Context) (string, error) {
	w, err := c.walker(c.country.Access().IRP)
	if err != nil {
		return "", err
	}
	defer w.Close()
	ids := c.some(checkAsked)
	for _, v := range ids {
		a, err := w.Resolve(ctx, record.Query{ID: v, PublicOnly: true})
		if err != nil {
			return "", err
		}
		if a.Trust != record.Secure || !says(a, v) {
			return "", wrong("%s is %s, not secure", "%s 为 %s，而非可信", v, a.Trust)
		}
	}
	return c.say("%d secure", "%d 个可信", len(ids)), nil
}

func (c *checker) absent(ctx context.Context) (string, error) {
	w, err := c.walker(c.country.Access().IRP)
	if err != nil {
		return "", err
	}
	defer w.Close()
	v, err := id.Parse(c.state.EnterprisePrefix + "/NO-SUCH-THING")
	if err != nil {
		return "", err
	}
	a, err := w.Resolve(ctx, record.Query{ID: v, PublicOnly: true})
	if !problem.Is(err, problem.NotFound) {
		return "", wrong("%s: %v, not an absence", "%s：%v，而非不存在", v, err)
	}
	if a.Trust != record.Secure {
		return "", wrong("the absence of %s is %s, not secure", "%s 的不存在为 %s，而非可信", v, a.Trust)
	}
	return "", nil
}

// liar answers like the server behind it, but for one value.
type liar struct {
	record.Asker
	server record.Endpoint
}

func (l *liar) Resolve(ctx context.Context, q record.Query) (record.Answer, error) {
	a, err := l.Ask(ctx, l.server, q)
	if err != nil {
		return a, err
	}
	vs := make([]record.Value, len(a.Values))
	copy(vs, a.Values)
	for i := range vs {
		if vs[i].Type == "brandName" {
			vs[i].Data = append([]byte("Genuine "), vs[i].Data...)
		}
	}
	a.Values = vs
	return a, nil
}

// tampered puts a server on the network that changes one value of what it passes on, and asks it.
func (c *checker) tampered(ctx context.Context) (string, error) {
	rec := c.state.First(node.Recursive)
	server, err := endpoint(rec.IRP, true)
	if err != nil {
		return "", err
	}
	key, err := trust.Generate(trust.Ed25519, nil)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	site := &record.Site{}
	s := &irp.Server{Resolver: &liar{c.country.Access().IRP, server}, Site: func() *record.Site { return site }, Key: key, Recursive: true}
	done := make(chan error, 1)
	go func() { done <- s.ServeTCP(ctx, l) }()
	defer func() { cancel(); <-done }()

	v := c.some(1)[0]
	var bogus, honest bytes.Buffer
	ask := func(at string, out *bytes.Buffer) int {
		e := &env{ctx: ctx, out: out, err: out, lang: c.e.lang}
		err := (&resolveCmd{ID: v.String(), At: at, Verify: true, TCP: true, Hints: c.state.Hints}).Run(e)
		if err == nil {
			return exitOK
		}
		fmt.Fprintln(out, e.sentence(err))
		return exitCode(err)
	}
	if code := ask(rec.IRP, &honest); code != exitOK {
		return "", wrong("the honest server's answer was not accepted: %s", "诚实服务器的答案未被接受：%s", honest.String())
	}
	if code := ask(l.Addr().String(), &bogus); code != exitBogus {
		return "", wrong("the tampered answer was taken: exit code %d, %s", "被篡改的答案被接受：退出码 %d，%s", code, bogus.String())
	}
	return strings.TrimSpace(bogus.String()), nil
}
