package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Transport is how a target is reached.
type Transport string

const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
)

// Target is one address of a server and the protocol it speaks there.
type Target struct {
	Over  Transport
	Addr  netip.AddrPort
	Proto Protocol
	Loose bool // answers do not carry records (ceilings)
}

func (t Target) network() string { return string(t.Over) }

// Server is a subject that runs.
type Server struct {
	Subject *Subject
	Process *Process
	Pid     int               // of the process that answers, when Process is only its parent
	Targets map[string]Target // by scenario group: "udp", "tcp", "http", "recursion"
	Debug   string            // address of its pprof, or ""
	Names   uint64            // how many of the records it holds, when not all
	Close   func()            // more to end than Process; may be nil
}

// Subject is a server of the table: what it is and how it is started.
type Subject struct {
	Name  string
	About string // one phrase for the report
	// Groups of scenarios that it takes part in.
	Groups []string
	// Later starts it after the others: it wants to know what ours answers.
	Later bool
	// Start starts it holding h.Names records. A subject that is not installed returns an absentError.
	Start func(ctx context.Context, h *Host) (*Server, error)
}

// absentError says how to get what is missing.
type absentError string

func (e absentError) Error() string { return string(e) }

// subjects is the table of all servers, in the order of their turns: ceilings, ours, peers.
func subjects() []*Subject {
	return []*Subject{
		{Name: "udp-echo", About: "bare echo, same batched system calls", Groups: []string{"udp", "warm"}, Start: ceiling(UDP, "udp-echo")},
		{Name: "tcp-echo", About: "bare echo of connections", Groups: []string{"tcp"}, Start: ceiling(TCP, "tcp-echo")},
		{Name: "http-bare", About: "bare net/http handler writing the same bytes", Groups: []string{"http"}, Later: true, Start: startBareHTTP},
		{Name: "fujie", About: "an authoritative node", Groups: []string{"udp", "tcp", "http", "warm"}, Start: startFujie},
		{Name: "fujie-recursive", About: "a recursive node under a country of its own", Groups: []string{"cold", "warm"}, Start: startRecursive},
		{Name: "udp-reply", About: "bare reply of as many bytes as ours, same batched system calls", Groups: []string{"udp"}, Later: true, Start: startReply},
		{Name: "udp-plain-echo", About: "bare echo, one system call for each datagram", Groups: []string{"udp"}, Start: ceiling(UDP, "udp-plain-echo")},
		{Name: "nsd", About: "NSD", Groups: []string{"udp"}, Start: startNSD},
		{Name: "knot", About: "Knot DNS", Groups: []string{"udp"}, Start: startKnot},
		{Name: "coredns", About: "CoreDNS, file plugin", Groups: []string{"udp"}, Start: startCoreDNS},
	}
}

// ceiling starts this program as one of Serve's.
func ceiling(over Transport, spec ...string) func(context.Context, *Host) (*Server, error) {
	return func(ctx context.Context, h *Host) (*Server, error) {
		t := Target{Over: over, Proto: IRP{Flags: ClientFlags, Echo: true}, Loose: true}
		groups := []string{"udp", "warm"}
		switch {
		case spec[0] == "http-bare":
			t.Proto, groups = HTTP{Host: "localhost"}, []string{"http"}
		case over == TCP:
			t.Proto, groups = IRP{Flags: ClientFlags | KeepConnected, Echo: true}, []string{"tcp"}
		}
		port, err := h.FreePort()
		if err != nil {
			return nil, err
		}
		t.Addr = loopback(port)
		full := strings.Join(slices.Insert(slices.Clone(spec), 1, t.Addr.String()), " ")
		proc, err := h.Spawn([]string{ceilingEnv + "=" + full}, h.Self...)
		if err != nil {
			return nil, err
		}
		s := &Server{Process: proc, Targets: map[string]Target{}}
		for _, g := range groups {
			s.Targets[g] = t
		}
		return s, h.await(ctx, proc, t, 20*time.Second)
	}
}

// startReply answers with as many bytes as our own server does for a record.
func startReply(ctx context.Context, h *Host) (*Server, error) {
	size := len(h.udpAnswer)
	if size == 0 {
		size = 300
	}
	return ceiling(UDP, "udp-reply", strconv.Itoa(size))(ctx, h)
}

// startBareHTTP answers with the body that our own server answers with for a record.
func startBareHTTP(ctx context.Context, h *Host) (*Server, error) {
	body := jsonAnswer(0)
	if _, b, ok := bytes.Cut(h.httpAnswer, headEnd); ok {
		body = b
	}
	file := filepath.Join(h.dir, "answer.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, err
	}
	return ceiling(TCP, "http-bare", file)(ctx, h)
}

// jsonAnswer is about the body with which the HTTP JSON API answers record n, for when our server does not run.
func jsonAnswer(n uint64) []byte {
	b := fmt.Appendf(nil, `{"responseCode":1,"handle":"%s","values":[`, AppendHandle(nil, n))
	for i, v := range valuesOf(n) {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"index":%d,"type":"%s","data":{"format":"string","value":"%s"},"ttl":86400,"timestamp":"2023-11-14T22:13:20Z"}`,
			v.index, v.typ, v.data)
	}
	return append(b, "]}"...)
}

// zoneFile writes the peers' zone once and keeps it for later runs.
func (h *Host) zoneFile() (string, error) {
	name := filepath.Join(h.Work, fmt.Sprintf("bench-%d.zone", h.Names))
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	h.sayf("  writing the zone of %d names", h.Names)
	return name, writeOnce(name, func(w io.Writer) error { return WriteZone(w, h.Names) })
}

// peer starts a DNS server: configuration from the zone file and port, then argv.
func (h *Host) peer(ctx context.Context, name, config string, argv ...string) (*Server, error) {
	port, err := h.FreePort()
	if err != nil {
		return nil, err
	}
	zone, err := h.zoneFile()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(h.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// A peer may drop its rights, and would then not reach a folder that only we may enter.
	if err := os.Chmod(h.dir, 0o755); err != nil {
		return nil, err
	}
	vars := map[string]string{"PORT": strconv.Itoa(port), "ZONE": Zone, "FILE": zone, "DIR": dir}
	expand := func(s string) string { return os.Expand(s, func(k string) string { return vars[k] }) }
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(expand(config)), 0o644); err != nil {
		return nil, err
	}
	for i := range argv {
		argv[i] = expand(argv[i])
	}
	proc, err := h.Spawn(nil, argv...)
	if err != nil {
		return nil, err
	}
	t := Target{Over: UDP, Addr: loopback(port), Proto: DNS{}}
	s := &Server{Process: proc, Targets: map[string]Target{"udp": t}}
	return s, h.await(ctx, proc, t, 3*time.Minute)
}

// installed finds a program in the path or where Debian keeps daemons.
func installed(name, cure string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	if p, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return p, nil
	}
	return "", absentError(cure)
}

func startNSD(ctx context.Context, h *Host) (*Server, error) {
	bin, err := installed("nsd", "apt-get install nsd")
	if err != nil {
		return nil, err
	}
	// Its rate limit would take the load for an attack.
	return h.peer(ctx, "nsd", `
server:
  server-count: 1
  ip-address: 127.0.0.1@${PORT}
  do-ip6: no
  username: ""
  database: ""
  zonesdir: "${DIR}"
  pidfile: "${DIR}/nsd.pid"
  xfrdfile: "${DIR}/xfrd.state"
  zonelistfile: "${DIR}/zone.list"
  xfrdir: "${DIR}"
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  minimal-responses: yes
remote-control:
  control-enable: no
zone:
  name: "${ZONE}"
  zonefile: "${FILE}"
`, bin, "-d", "-c", "${DIR}/config")
}

func startKnot(ctx context.Context, h *Host) (*Server, error) {
	bin, err := installed("knotd", "apt-get install knot")
	if err != nil {
		return nil, err
	}
	return h.peer(ctx, "knot", `
server:
    rundir: "${DIR}"
    listen: 127.0.0.1@${PORT}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "${DIR}"
control:
    listen: "${DIR}/knot.sock"
log:
  - target: stderr
    any: warning
zone:
  - domain: "${ZONE}"
    file: "${FILE}"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
`, bin, "-c", "${DIR}/config")
}

// coreDNS is fetched through the Go module proxy and built, once.
const coreDNS = "github.com/coredns/coredns@v1.15.0"

func startCoreDNS(ctx context.Context, h *Host) (*Server, error) {
	bins := filepath.Join(h.Work, "bin")
	bin := filepath.Join(bins, "coredns")
	if _, err := os.Stat(bin); err != nil {
		if bin, err = exec.LookPath("coredns"); err != nil {
			if h.Quick {
				return nil, absentError("a run that is not quick builds it; or GOBIN=" + bins + " go install " + coreDNS)
			}
			h.sayf("  building %s (some minutes, once)", coreDNS)
			p, err := h.SpawnWide([]string{"GOBIN=" + bins, "CGO_ENABLED=0", "GOFLAGS="}, "go", "install", coreDNS)
			if err != nil {
				return nil, absentError("Go is needed to build it: https://go.dev/dl")
			}
			if _, err := p.Wait(ctx); err != nil {
				return nil, fmt.Errorf("building CoreDNS: %w", err)
			}
			bin = filepath.Join(bins, "coredns")
		}
	}
	return h.peer(ctx, "coredns", `
${ZONE}:${PORT} {
  bind 127.0.0.1
  file ${FILE} {
    reload 0
  }
}
`, bin, "-conf", "${DIR}/config")
}
