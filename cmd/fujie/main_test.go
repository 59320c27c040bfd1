package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/solutions"
)

// TestMain lets the stories start the true program by its name.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "node" || os.Args[1] == "floor" || os.Args[1] == "system" || os.Args[1] == "up") {
		// A country under test, its nodes, its floors and its business systems are processes of this binary.
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	testscript.Main(m, map[string]func(){
		"fujie": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
		},
	})
}

// nation is a country that all stories and the README share; it starts when the first one needs it.
var nation struct {
	once    sync.Once
	country *sim.Country
	dir     string
	err     error
}

func startNation(t *testing.T) (dir string, s sim.State) {
	t.Helper()
	nation.once.Do(func() {
		if nation.dir, nation.err = os.MkdirTemp("", "fujie-nation-"); nation.err != nil {
			return
		}
		plan := sim.China()
		plan.IRP, plan.HTTP = 0, 0
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
		defer cancel()
		nation.country, nation.err = sim.Start(ctx, plan, sim.Options{Data: nation.dir, Version: "test"})
	})
	if nation.err != nil {
		t.Fatal(nation.err)
	}
	return nation.dir, nation.country.State()
}

// TestStories plays every file in testdata: each is a page of the manual that runs. The stories run against one country; each keeps to identifiers of its own.
func TestStories(t *testing.T) {
	dir, state := startNation(t)
	t.Cleanup(func() {
		if err := nation.country.Close(); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	rec, ent := state.First(node.Recursive), state.First(node.Enterprise)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	stories := testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("FUJIE_DATA", dir)
			e.Setenv("COUNTRY", dir)
			e.Setenv("HINTS", state.Hints)
			e.Setenv("LC_ALL", "C.UTF-8")
			e.Setenv("REC", rec.IRP)
			e.Setenv("REC_HTTP", rec.HTTP)
			e.Setenv("ENT", ent.IRP)
			e.Setenv("ENT_HTTPS", ent.HTTPS)
			e.Setenv("ENT_PIN", ent.Pin)
			e.Setenv("ENT_KEY", node.PrefixKeyPath(ent.Dir))
			e.Setenv("DEMO_USER", ent.DemoUser)
			e.Setenv("DEMO_PASSWORD", ent.DemoPassword)
			e.Setenv("PROJECT", root)
			return nil
		},
		// testscript itself knows success and failure only.
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "keep": keepSaid},
	}
	testscript.Run(t, stories)
	// The stories of the solutions, one of each that comes with the program.
	stories.Dir = t.TempDir()
	for _, name := range solutions.Builtin() {
		s, err := solutions.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.Story, "fujie scan") {
			t.Errorf("the solution %s has no story", name)
		}
		if err := os.WriteFile(filepath.Join(stories.Dir, name+".txt"), []byte(s.Story), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, stories)
	t.Run("readme", func(t *testing.T) { readme(t, dir, state) })
	t.Run("systems", func(t *testing.T) { ledgers(t, dir) })
	t.Run("strangers", func(t *testing.T) { strangers(t, dir) })
}

// exits CODE fujie ARGS… runs the program and wants this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE fujie ARGS…")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// keepSaid: keep NAME PATTERN sets a variable to what the first group of the pattern matched in what was said last.
func keepSaid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME PATTERN")
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	said := ts.ReadFile("stdout")
	m := re.FindStringSubmatch(said)
	if len(m) < 2 {
		ts.Fatalf("%s is not in\n%s", args[1], said)
	}
	ts.Setenv(args[0], m[1])
}

// readme runs every command of README.md's sh blocks, and holds README.zh-CN.md to the same commands.
func readme(t *testing.T, dir string, state sim.State) {
	commands := func(name string) []string {
		b, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		in := false
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(line)
			switch {
			case line == "```sh":
				in = true
			case strings.HasPrefix(line, "```"):
				in = false
			case in:
				cmd, _, _ := strings.Cut(line, "  #")
				if cmd = strings.TrimSpace(cmd); cmd != "" {
					out = append(out, cmd)
				}
			}
		}
		return out
	}
	en, zh := commands("README.md"), commands("README.zh-CN.md")
	if len(en) < 8 || strings.Join(en, "\n") != strings.Join(zh, "\n") {
		t.Fatalf("the two READMEs do not show the same commands:\n%q\n%q", en, zh)
	}
	t.Setenv("FUJIE_DATA", dir)
	t.Setenv("LC_ALL", "C.UTF-8")
	work := t.TempDir()
	// The files that the README takes for granted.
	products := `{"id": "88.118.1001/README-1", "values": [{"index": 1, "type": "URL", "data": "https://example.com/1"}]}` + "\n"
	var devices bytes.Buffer
	if _, err := sim.WriteDevices(&devices, 90); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"products.jsonl": products, "devices.jsonl.gz": devices.String(), "sim/maps/openfda-udi.yaml": string(sim.DeviceMap())} {
		path := filepath.Join(work, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(work)
	for _, c := range en {
		args := strings.Fields(c)
		if args[0] != "fujie" {
			t.Errorf("%s: the test does not know how to run it", c)
			continue
		}
		if c == "fujie up --check" {
			continue // TestUpCheck runs the true program with it
		}
		var out, errw bytes.Buffer
		if code := run(context.Background(), args[1:], &out, &errw); code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", c, code, out.String(), errw.String())
		}
	}
}
