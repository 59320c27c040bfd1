package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// fujieNode is a folder of an enterprise node that keeps Prefix, and its addresses.
type fujieNode struct {
	dir              string
	irp, http, debug netip.AddrPort
}

// hotMB is how much memory the serving node's ready answers may take: as much as the peers take for the same names.
const hotMB = 512

// newNode writes the folder of a node that serves from one socket: it gets one processor.
func (h *Host) newNode(name string, hotMB int) (*fujieNode, error) {
	n := &fujieNode{dir: filepath.Join(h.dir, name)}
	for _, a := range []*netip.AddrPort{&n.irp, &n.http, &n.debug} {
		port, err := h.FreePort()
		if err != nil {
			return nil, err
		}
		*a = loopback(port)
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, err
	}
	// The rate limit guards third parties, who are not here; a source network that asks this much would be held back.
	config := fmt.Sprintf("name: %s\nrole: enterprise\nprefix: %q\nsockets: 1\nrate-bytes: -1\ndebug: %s\nlisten: {irp: %q, http: %q}\n",
		name, Prefix, n.debug, n.irp, n.http)
	return n, os.WriteFile(n.config(), []byte(config), 0o600)
}

func (n *fujieNode) config() string { return filepath.Join(n.dir, "node.yaml") }

// udp is the target over datagrams; requests expire a day from now.
func (n *fujieNode) udp(h *Host) Target {
	return Target{Over: UDP, Addr: n.irp, Proto: IRP{Flags: ClientFlags, Expires: h.expires()}}
}

func (h *Host) expires() uint32 { return uint32(h.Now().Add(24 * time.Hour).Unix()) }

// lines is the file with the first n records as `fujie register` reads them, written once and kept for later runs.
func (h *Host) lines(n uint64) (string, error) {
	name := filepath.Join(h.Work, fmt.Sprintf("records-%d.jsonl", n))
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	return name, writeOnce(name, func(w io.Writer) error { return WriteJSONLines(w, 0, n) })
}

// writeOnce makes a file appear whole.
func writeOnce(name string, write func(io.Writer) error) error {
	f, err := os.Create(name + ".part")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(name+".part", name)
}

// register runs `fujie register` on the node's folder with the first n records, and returns how long it took, from
// the start of the process to its end.
func (h *Host) register(ctx context.Context, data string, n uint64) (time.Duration, error) {
	file, err := h.lines(n)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	p, err := h.SpawnWide(nil, h.Program, "register", "--data", data, "--batch", fmt.Sprint(batch), file)
	if err != nil {
		return 0, err
	}
	if _, err := p.Wait(ctx); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// run starts the node and waits for its first answer.
func (h *Host) run(ctx context.Context, n *fujieNode, atMost time.Duration) (*Process, error) {
	p, err := h.Spawn(nil, h.Program, "node", "run", "--config", n.config())
	if err != nil {
		return nil, err
	}
	if err := h.await(ctx, p, n.udp(h), atMost); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// startFujie registers the records with the program's own bulk registration, starts the node, and asks for each record
// once: the peers read everything into memory before they answer, ours when it is asked for.
func startFujie(ctx context.Context, h *Host) (*Server, error) {
	n, err := h.newNode("fujie", hotMB)
	if err != nil {
		return nil, err
	}
	if _, err := h.register(ctx, n.dir, h.Names); err != nil {
		return nil, err
	}
	p, err := h.run(ctx, n, time.Minute)
	if err != nil {
		return nil, err
	}
	udp := n.udp(h)
	s := &Server{Process: p, Debug: n.debug.String(), Targets: map[string]Target{
		"udp":  udp,
		"warm": udp,
		"tcp":  {Over: TCP, Addr: n.irp, Proto: IRP{Flags: ClientFlags | KeepConnected, Expires: h.expires()}},
		"http": {Over: TCP, Addr: n.http, Proto: HTTP{Host: n.http.String()}},
	}}
	// The ceilings are to write what our own server writes.
	for group, keep := range map[string]*[]byte{"udp": &h.udpAnswer, "http": &h.httpAnswer} {
		answer, right, err := s.Targets[group].ask(ctx, 0, 5*time.Second)
		if err != nil || !right {
			return s, fmt.Errorf("no answer over %s: %w; got %.80q", group, err, answer)
		}
		*keep = answer
	}
	return s, h.prime(ctx, "fujie", udp, h.Names)
}

// prime asks a server for each of the first names records once.
func (h *Host) prime(ctx context.Context, name string, t Target, names uint64) error {
	var asked atomic.Uint64
	began := time.Now()
	o, err := Load{Clients: 32, Window: 4, Once: &asked, Names: names, Turn: 5 * time.Minute}.RunUDP(ctx, t.Addr, t.Proto)
	if err == nil {
		h.sayf("  asked %s once for each of %d records: %.0f /s, %d wrong, %d lost", name, names,
			float64(names)/time.Since(began).Seconds(), o.Wrong, o.Lost)
	}
	return err
}

// country is the least hierarchy that a recursion walks: every level once.
const country = `name: bench
root: {name: root}
national:
  prefix: "88"
  sites: [{name: national}]
second-level:
  - name: second-level
    industry: bench
    prefix: "88.118"
    enterprises: [{name: enterprise, title: bench, prefix: "` + Prefix + `"}]
recursive: [{name: recursive}]
`

// recursionNames is how many records the country keeps: enough that each turn of the cold scenario meets names that
// nobody asked for.
const recursionNames = 200_000

// startRecursive starts a country of five processes, which share the server's processor, and is its recursive node.
func startRecursive(ctx context.Context, h *Host) (*Server, error) {
	dir := filepath.Join(h.dir, "country")
	ready, profile := filepath.Join(h.dir, "country.ready"), filepath.Join(h.dir, "country.yaml")
	if err := os.WriteFile(profile, []byte(country), 0o600); err != nil {
		return nil, err
	}
	p, err := h.Spawn(nil, h.Program, "up", "--processes", "--data", dir, "--profile", profile, "--ready-file", ready)
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, Names: min(h.Names, recursionNames)}
	node, err := h.awaitReady(ctx, p, ready)
	if err != nil {
		return s, err
	}
	s.Pid = node.Pid
	addr, err := netip.ParseAddrPort(node.IRP)
	if err != nil {
		return s, err
	}
	if _, err := h.register(ctx, dir, s.Names); err != nil {
		return s, err
	}
	t := Target{Over: UDP, Addr: addr, Proto: IRP{Flags: ClientFlags, Expires: h.expires()}}
	s.Targets = map[string]Target{"cold": t, "warm": t}
	return s, h.await(ctx, p, t, time.Minute)
}

// readyNode is what the bench needs of a node in the ready file.
type readyNode struct {
	Role string `json:"role"`
	IRP  string `json:"irp"`
	Pid  int    `json:"pid"`
}

// awaitReady waits for the ready file, which appears when every node answers, and returns the first recursive node.
func (h *Host) awaitReady(ctx context.Context, p *Process, path string) (readyNode, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(path); err == nil {
			var state struct {
				Nodes []readyNode `json:"nodes"`
			}
			if err := json.Unmarshal(b, &state); err != nil {
				return readyNode{}, fmt.Errorf("the ready file: %w", err)
			}
			for _, n := range state.Nodes {
				if n.Role == "recursive" {
					return n, nil
				}
			}
			return readyNode{}, fmt.Errorf("the ready file names no recursive node")
		}
		select {
		case <-p.done:
			return readyNode{}, fmt.Errorf("fujie up ended: %v; it said: %s", p.err, p.out)
		case <-ctx.Done():
			return readyNode{}, fmt.Errorf("fujie up was not ready in a minute; it said: %s", p.out)
		case <-tick.C:
		}
	}
}

// bulk compares `fujie register` with the bare engine's ingest of the same bytes, in turns. Ours is the whole command:
// it starts, reads and checks JSON lines, registers, and ends.
func bulk(ctx context.Context, h *Host, r *Report) error {
	h.sayf("bulk: registering %d records, durable per %d", h.Names, batch)
	var bare, bareDisk, ours, oursDisk []float64
	for range h.Rounds {
		if wanted("pebble-bare", h.Subjects) {
			in, err := h.bareIngest(ctx, h.Names)
			if err != nil {
				return err
			}
			bare = append(bare, float64(in.Records)/in.Seconds)
			bareDisk = append(bareDisk, float64(in.Disk)/float64(in.Records))
			h.sayf("  %-16s %10.0f /s, %.0f bytes a record on disk", "pebble-bare", bare[len(bare)-1], bareDisk[len(bareDisk)-1])
		}
		if wanted("fujie", h.Subjects) {
			n, err := h.newNode("bulk", 0)
			if err != nil {
				return err
			}
			took, err := h.register(ctx, n.dir, h.Names)
			if err != nil {
				return err
			}
			disk, err := diskUsed(n.dir)
			if err != nil {
				return err
			}
			if err := os.RemoveAll(n.dir); err != nil {
				return err
			}
			ours = append(ours, float64(h.Names)/took.Seconds())
			oursDisk = append(oursDisk, float64(disk)/float64(h.Names))
			h.sayf("  %-16s %10.0f /s, %.0f bytes a record on disk", "fujie", ours[len(ours)-1], oursDisk[len(oursDisk)-1])
		}
	}
	r.add("bulk", "pebble-bare", "registered", "/s", bare...)
	r.add("bulk", "pebble-bare", "on disk, each", "bytes", bareDisk...)
	r.add("bulk", "fujie", "registered", "/s", ours...)
	r.add("bulk", "fujie", "on disk, each", "bytes", oursDisk...)
	return nil
}

// bareIngest runs the bare engine once, in a folder of its own.
func (h *Host) bareIngest(ctx context.Context, n uint64) (Ingest, error) {
	var in Ingest
	dir := filepath.Join(h.dir, "pebble-bare")
	defer os.RemoveAll(dir)
	p, err := h.SpawnWide([]string{fmt.Sprintf("%s=pebble-bare %s %d %d", ceilingEnv, dir, n, batch)}, h.Self...)
	if err != nil {
		return in, err
	}
	out, err := p.Wait(ctx)
	if err != nil {
		return in, err
	}
	line := out[strings.LastIndexByte(out, '\n')+1:]
	if err := json.Unmarshal([]byte(line), &in); err != nil || in.Records != n || in.Seconds <= 0 {
		return in, fmt.Errorf("the bare engine reported %q", out)
	}
	return in, nil
}

// large registers many records, then starts the node on them some times over: how much room they take, how long until
// the first answer, how much memory an idle node holds.
func large(ctx context.Context, h *Host, r *Report) error {
	h.sayf("large: registering %d records", h.Large)
	n, err := h.newNode("large", 0)
	if err != nil {
		return err
	}
	defer os.RemoveAll(n.dir)
	began := time.Now()
	p, err := h.spawn(h.layout.all, nil, []string{h.Program, "register", "--data", n.dir, "--batch", fmt.Sprint(batch), "-"},
		func(w io.Writer) error { return WriteJSONLines(w, 0, h.Large) })
	if err != nil {
		return err
	}
	if _, err := p.Wait(ctx); err != nil {
		return err
	}
	r.add("large", "fujie", "registered", "/s", float64(h.Large)/time.Since(began).Seconds())
	disk, err := diskUsed(n.dir)
	if err != nil {
		return err
	}
	var encoded uint64
	for i := range min(h.Large, 1000) {
		encoded += uint64(len(AppendHandle(nil, i)) + len(appendRecord(nil, i)))
	}
	each := float64(encoded) / float64(min(h.Large, 1000))
	r.add("large", "fujie", "records", "", float64(h.Large))
	r.add("large", "fujie", "encoded, each", "bytes", each)
	r.add("large", "fujie", "on disk, each", "bytes", float64(disk)/float64(h.Large))
	r.add("large", "fujie", "disk of encoded size", "×", float64(disk)/float64(h.Large)/each)
	var first, idle, asked []float64
	for range h.Rounds {
		began := time.Now()
		p, err := h.run(ctx, n, 5*time.Minute)
		if err != nil {
			return err
		}
		first = append(first, time.Since(began).Seconds())
		err = func() error {
			defer p.Stop()
			if err := rest(ctx, h.restFor()); err != nil {
				return err
			}
			idle = append(idle, float64(residentOf(p.pid()))/(1<<20))
			t := n.udp(h)
			if err := t.check(ctx, h.Large); err != nil {
				return err
			}
			if _, err := (Load{Clients: 32, Window: 16, Names: h.Large, Turn: h.Turn}).RunUDP(ctx, t.Addr, t.Proto); err != nil {
				return err
			}
			asked = append(asked, float64(residentOf(p.pid()))/(1<<20))
			return nil
		}()
		if err != nil {
			return err
		}
		h.sayf("  %-16s first answer after %.3f s, %.0f MiB when idle, %.0f MiB after a turn of questions", "fujie",
			first[len(first)-1], idle[len(idle)-1], asked[len(asked)-1])
	}
	r.add("large", "fujie", "first answer", "s", first...)
	r.add("large", "fujie", "resident when idle", "MiB", idle...)
	r.add("large", "fujie", "resident after a turn of questions", "MiB", asked...)
	return nil
}

// restFor is how long a node is left alone before it counts as idle.
func (h *Host) restFor() time.Duration {
	if h.Quick {
		return 200 * time.Millisecond
	}
	return 5 * time.Second
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
