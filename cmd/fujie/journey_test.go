package main

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// block is one fenced block of a page: commands, or what is seen. In a terminal block the commands stay running.
type block struct {
	kind     string // sh, text
	terminal bool
	text     string
	line     int
}

func blocksOf(t *testing.T, name string) (out []block) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var in *block
	for i, line := range strings.Split(string(b), "\n") {
		fence, is := strings.CutPrefix(line, "```")
		switch {
		case is && in == nil:
			kind, rest, _ := strings.Cut(fence, " ")
			in = &block{kind: kind, terminal: rest == "terminal", line: i + 1}
		case is:
			out = append(out, *in)
			in = nil
		case in != nil:
			in.text += line + "\n"
		}
	}
	return out
}

// expected is the lines of a block as patterns.
func (b *block) expected() (out []*regexp.Regexp) {
	for line := range strings.Lines(b.text) {
		line = strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(line)), "…", ".*")
		out = append(out, regexp.MustCompile(line))
	}
	return out
}

// terminal is a command that stays running, and what it says.
type terminal struct {
	mu    sync.Mutex
	lines []string
	came  chan struct{} // a line came, or the end
	ended bool
	from  int // what was seen before
}

func (x *terminal) read(r *bufio.Scanner) {
	for r.Scan() {
		x.mu.Lock()
		x.lines = append(x.lines, r.Text())
		x.mu.Unlock()
		select {
		case x.came <- struct{}{}:
		default:
		}
	}
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	close(x.came)
}

// await waits until all of the patterns were seen, in their order.
func (x *terminal) await(t *testing.T, want []*regexp.Regexp, patience <-chan time.Time) {
	t.Helper()
	for {
		x.mu.Lock()
		for x.from < len(x.lines) && len(want) > 0 {
			if want[0].MatchString(x.lines[x.from]) {
				want = want[1:]
			}
			x.from++
		}
		ended, said := x.ended, strings.Join(x.lines, "\n")
		x.mu.Unlock()
		if len(want) == 0 {
			return
		}
		if ended {
			t.Fatalf("the terminal ended before it said %s; it said\n%s", want[0], said)
		}
		select {
		case <-x.came:
		case <-patience:
			t.Fatalf("the terminal does not say %s; it says\n%s", want[0], said)
		}
	}
}

// TestOperatorJourney follows docs/journeys/operator.md.
func TestOperatorJourney(t *testing.T) { follow(t, "operator", 30) }

// TestTraceJourney follows docs/journeys/trace.md.
func TestTraceJourney(t *testing.T) { follow(t, "trace", 14) }

// TestSolutionJourney follows docs/journeys/solution.md.
func TestSolutionJourney(t *testing.T) { follow(t, "solution", 14) }

// follow goes through a page of docs/journeys as a reader does: every block of commands in its order, what
// belongs into terminals of its own there, and every line that is said to be seen must be seen. Only the ports differ.
func follow(t *testing.T, name string, least int) {
	if _, err := exec.LookPath("bash"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no bash")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no curl")
	}
	page := blocksOf(t, "../../docs/journeys/"+name+".md")
	other := blocksOf(t, "../../docs/journeys/"+name+".zh-CN.md")
	if len(page) < least {
		t.Fatalf("the page has %d blocks", len(page))
	}
	if !slices.EqualFunc(page, other, func(a, b block) bool {
		return a.kind == b.kind && a.terminal == b.terminal && a.text == b.text
	}) {
		for i := range min(len(page), len(other)) {
			if page[i].kind != other[i].kind || page[i].text != other[i].text || page[i].terminal != other[i].terminal {
				t.Fatalf("the pages differ: line %d of the English one, line %d of the Chinese one", page[i].line, other[i].line)
			}
		}
		t.Fatalf("the pages have %d and %d blocks", len(page), len(other))
	}

	dir := t.TempDir()
	var ports []string
	for _, p := range []string{"12641", "12642", "18118", "18119"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, free, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, "127.0.0.1:"+p, "127.0.0.1:"+free)
		l.Close()
	}
	moved := strings.NewReplacer(ports...)
	env := append(os.Environ(), "LC_ALL=C.UTF-8", "LANGUAGE=", "HOME="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "XDG_DATA_HOME="+filepath.Join(dir, "data"))
	command := func(script string) *exec.Cmd {
		c := exec.Command("bash", "-eu", "-o", "pipefail", "-c", script)
		c.Dir, c.Env = dir, env
		return c
	}
	patience := time.NewTimer(8 * time.Minute)
	defer patience.Stop()
	var last *terminal
	var out bytes.Buffer
	at := 0
	for _, b := range page {
		switch {
		case b.kind == "sh" && b.terminal:
			// The shell gives way to its last command, so that an interrupt reaches that.
			cut := strings.LastIndex(strings.TrimSpace(b.text), "\n") + 1
			c := command(moved.Replace(b.text[:cut] + "exec " + b.text[cut:]))
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			c.Stdout, c.Stderr = w, w
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			last = &terminal{came: make(chan struct{}, 1)}
			read := make(chan struct{})
			go func() { last.read(bufio.NewScanner(r)); close(read) }()
			t.Cleanup(func() {
				c.Process.Signal(syscall.SIGTERM)
				c.Wait()
				r.Close()
				<-read
			})
		case b.kind == "sh":
			// What a block sets, the next ones have: to a reader they are one shell.
			c := command("[ ! -f .shell ] || . ./.shell\n" + moved.Replace(b.text) + "\n{ declare -p | grep -E '^declare -(-|x) (FUJIE_DATA|PARENT|PARENT_KEY|NUMBER|NODE|NODE_KEY|MAKER|PARTNER|WITNESS|NOTICE|BOX)=' || true; declare -f; } > .shell")
			out.Reset()
			c.Stdout, c.Stderr = &out, &out
			if err := c.Run(); err != nil {
				t.Fatalf("line %d: %v\n%s%s", b.line, err, b.text, out.String())
			}
			at = 0
		case b.kind == "text" && b.terminal:
			last.await(t, b.expected(), patience.C)
		case b.kind == "text":
			said := strings.Split(out.String(), "\n")
			for _, want := range b.expected() {
				for at < len(said) && !want.MatchString(said[at]) {
					at++
				}
				if at == len(said) {
					t.Fatalf("line %d: %s is not seen, in its order; seen was\n%s", b.line, want, out.String())
				}
			}
		default:
			t.Fatalf("line %d: the test does not know what a block of %q is", b.line, b.kind)
		}
	}
}
