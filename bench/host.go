package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Host starts the servers and knows where everything lies.
type Host struct {
	Options
	layout layout
	say    io.Writer
	dir    string // of this run; removed in the end
	ports  map[int]bool
	procs  int // GOMAXPROCS before the run

	// What our own server answers for record 0, once it runs; the ceilings that start after it write as much.
	udpAnswer, httpAnswer []byte
}

func newHost(o Options, w io.Writer) (*Host, error) {
	if err := os.MkdirAll(o.Work, 0o755); err != nil {
		return nil, problem.Wrap(err, problem.Full, "cannot make the folder %s: make room, or give it to this user", "无法创建目录 %s：请腾出空间或授予权限", o.Work)
	}
	dir, err := os.MkdirTemp(o.Work, "run-")
	if err != nil {
		return nil, problem.Wrap(err, problem.Full, "cannot make a folder in %s: make room, or give it to this user", "无法在 %s 中创建目录：请腾出空间或授予权限", o.Work)
	}
	h := &Host{Options: o, layout: newLayout(), say: w, dir: dir, ports: map[int]bool{}}
	if err := pinSelf(h.layout.load); err != nil {
		h.layout.server, h.layout.load = nil, nil
	}
	if n := len(h.layout.load); n > 0 {
		h.procs = runtime.GOMAXPROCS(n)
	}
	return h, nil
}

func (h *Host) close() {
	if h.procs > 0 {
		runtime.GOMAXPROCS(h.procs)
		_ = pinSelf(h.layout.all)
	}
	_ = os.RemoveAll(h.dir)
}

func (h *Host) sayf(format string, args ...any) { fmt.Fprintf(h.say, format+"\n", args...) }

// FreePort is a loopback port that is free for UDP and TCP, and was not given out before.
func (h *Host) FreePort() (int, error) {
	for range 100 {
		t, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			break
		}
		port := t.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port))
		t.Close()
		if err != nil {
			continue
		}
		u.Close()
		if !h.ports[port] {
			h.ports[port] = true
			return port, nil
		}
	}
	return 0, problem.New(problem.Unreachable, "no free port on 127.0.0.1: end some programs", "127.0.0.1 上没有空闲端口：请关闭一些程序")
}

func loopback(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

// Process is a server that runs.
type Process struct {
	cmd  *exec.Cmd
	out  *tail
	done chan struct{}
	err  error // after done
}

// Spawn starts a server on its processor, with GOMAXPROCS for Go's. Its output is kept for when it fails.
func (h *Host) Spawn(env []string, argv ...string) (*Process, error) {
	if n := len(h.layout.server); n > 0 {
		env = append([]string{"GOMAXPROCS=" + strconv.Itoa(n)}, env...)
	}
	return h.spawn(h.layout.server, env, argv, nil)
}

// SpawnWide starts a program that may use every processor.
func (h *Host) SpawnWide(env []string, argv ...string) (*Process, error) {
	return h.spawn(h.layout.all, env, argv, nil)
}

// spawn starts a program that reads what feed writes, when there is one.
func (h *Host) spawn(cpus []int, env, argv []string, feed func(io.Writer) error) (*Process, error) {
	p := &Process{cmd: exec.Command(argv[0], argv[1:]...), out: &tail{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Dir = h.dir
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	var in io.WriteCloser
	if feed != nil {
		var err error
		if in, err = p.cmd.StdinPipe(); err != nil {
			return nil, err
		}
	}
	if err := startOn(p.cmd, cpus); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "cannot start %s", "无法启动 %s", argv[0])
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		if feed != nil {
			_ = feed(in) // it fails when the program ends before its input, and then says why itself
			in.Close()
		}
	}()
	go func() {
		p.err = p.cmd.Wait()
		<-fed
		close(p.done)
	}()
	return p, nil
}

// Stop asks the process to end, and kills it when it has not after 20 s.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Wait waits for the process to end by itself, and returns its last output and whether it failed.
func (p *Process) Wait(ctx context.Context) (string, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Stop()
		return p.out.String(), ctx.Err()
	}
	if p.err != nil {
		return p.out.String(), fmt.Errorf("%s: %w; it said: %s", filepath.Base(p.cmd.Path), p.err, p.out)
	}
	return p.out.String(), nil
}

// pid is of the process that answers.
func (s *Server) pid() int {
	if s.Pid != 0 {
		return s.Pid
	}
	return s.Process.pid()
}

func (p *Process) pid() int { return p.cmd.Process.Pid }

// tail keeps the last 4 kB that were written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - 4096; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}

// ask sends one question and returns the answer; right says whether it is one.
func (t Target) ask(ctx context.Context, n uint64, patience time.Duration) (answer []byte, right bool, err error) {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, t.network(), t.Addr.String())
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, false, err
	}
	if _, err := conn.Write(t.Proto.Ask(nil, n, 1<<slotBits)); err != nil {
		return nil, false, err
	}
	b := make([]byte, 64<<10)
	for have := 0; have < len(b); {
		k, err := conn.Read(b[have:])
		if err != nil {
			return nil, false, err
		}
		have += k
		if t.Over == UDP {
			_, v := t.Proto.Judge(b[:have])
			return b[:have], v != Wrong, nil
		}
		switch size := t.Proto.Frame(b[:have]); {
		case size < 0:
			return b[:have], false, nil
		case size > 0:
			_, v := t.Proto.Judge(b[:size])
			return b[:size], v == Right, nil
		}
	}
	return b, false, nil
}

// await asks until the right answer comes.
func (h *Host) await(ctx context.Context, p *Process, t Target, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	var last error
	for {
		answer, right, err := t.ask(ctx, 0, 500*time.Millisecond)
		if right {
			return nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("it answers %.80q", answer)
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended: %v; it said: %s", p.err, p.out)
		case <-ctx.Done():
			return fmt.Errorf("no answer in %s: %w; it said: %s", atMost, last, p.out)
		case <-pause.C:
		}
	}
}

// check asks for some records, and demands the data of each in its answer.
func (t Target) check(ctx context.Context, names uint64) error {
	if t.Loose {
		return nil
	}
	const samples = 50
	for i := range uint64(samples) {
		n := i * (names - 1) / (samples - 1)
		answer, right, err := t.ask(ctx, n, 5*time.Second)
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		if !right || !bytes.Contains(answer, []byte(urlOf(n))) {
			return fmt.Errorf("record %d: wrong answer %.200q", n, answer)
		}
	}
	return nil
}

// fetchProfiles keeps what the server's debug address says while a load runs.
func fetchProfiles(ctx context.Context, addr, dir, name string, seconds int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var errs []error
	for what, query := range map[string]string{
		"cpu":  "profile?seconds=" + strconv.Itoa(seconds),
		"heap": "heap",
	} {
		errs = append(errs, func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/debug/pprof/"+query, nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s", req.URL, resp.Status)
			}
			b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, name+"."+what+".pprof"), b, 0o644)
		}())
	}
	return errors.Join(errs...)
}

// builtFrom is the commit that this program was built from, or the one of the repository it runs in.
func builtFrom() string {
	if bi, ok := debug.ReadBuildInfo(); ok {
		rev, dirty := "", ""
		for _, s := range bi.Settings {
			switch {
			case s.Key == "vcs.revision":
				rev = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-dirty"
			}
		}
		if rev != "" {
			return rev + dirty
		}
	}
	if b, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		return string(bytes.TrimSpace(b))
	}
	return "unknown"
}
