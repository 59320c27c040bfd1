package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/sim"
	"github.com/fujie-id/fujie/trust"
)

// TestUpCheck plays the main job with the check's own devices.
func TestUpCheck(t *testing.T) {
	var out bytes.Buffer
	e := &env{ctx: t.Context(), out: &out, err: &out}
	err := check(e, sim.China(), self(t), "", false)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "ok  "); n != 18 || strings.Contains(out.String(), "FAIL") {
		t.Errorf("%d parts held, want 18", n)
	}
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// small is a country of one node of each role, and two national sites.
func small(t *testing.T, alg trust.Algorithm) *sim.Plan {
	t.Helper()
	p, err := sim.ParsePlan([]byte(`
name: small
root: {name: root}
national: {prefix: "88", sites: [{name: north}, {name: south}]}
second-level:
  - {name: machinery, prefix: "88.101", enterprises: [{name: engine, title: E, prefix: "88.101.0042", sample: engines}]}
recursive: [{name: rec}]
`))
	if err != nil {
		t.Fatal(err)
	}
	p.Algorithm = alg
	return p
}

// resolveSample asks the country's recursive node and checks the chain from the root's key.
func resolveSample(t *testing.T, s *sim.State) {
	t.Helper()
	var out bytes.Buffer
	e := &env{ctx: t.Context(), out: &out, err: &out}
	cmd := &resolveCmd{ID: s.Samples[0], At: s.First(node.Recursive).IRP, Verify: true, Hints: s.Hints}
	if err := cmd.Run(e); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "secure") {
		t.Errorf("%s is not secure:\n%s", s.Samples[0], out.String())
	}
}

// TestProcesses runs a country as separate processes, kills one and continues the same country from its folder.
func TestProcesses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	opts := sim.Options{Data: t.TempDir(), Processes: true, Program: self(t), Version: "test"}
	c, err := sim.Start(ctx, small(t, trust.Ed25519), opts)
	if err != nil {
		t.Fatal(err)
	}
	first := c.State()
	resolveSample(t, &first)
	if err := c.Kill("engine"); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(ctx, "engine"); err != nil {
		t.Fatal(err)
	}
	again := c.State()
	resolveSample(t, &again)
	if a, b := first.Node("engine"), again.Node("engine"); a.Pid == b.Pid || a.IRP != b.IRP {
		t.Errorf("the node came back as process %d at %s; it was %d at %s", b.Pid, b.IRP, a.Pid, a.IRP)
	}
	ready := filepath.Join(t.TempDir(), "ready.json")
	if err := c.WriteReady(ready); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(ready); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the ready file: %v, %v", st, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	// The same folder continues the same country.
	opts.Processes = false
	c, err = sim.Start(ctx, small(t, trust.Ed25519), opts)
	if err != nil {
		t.Fatal(err)
	}
	next := c.State()
	resolveSample(t, &next)
	if next.RootKey != first.RootKey || next.Node("engine").DemoPassword != first.Node("engine").DemoPassword {
		t.Error("the second start made another country")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAlgorithms runs a whole country with each kind of key.
func TestAlgorithms(t *testing.T) {
	for _, alg := range []trust.Algorithm{trust.SM2, trust.P256, trust.RSA} {
		t.Run(string(alg), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			c, err := sim.Start(ctx, small(t, alg), sim.Options{Data: t.TempDir(), Version: "test"})
			if err != nil {
				t.Fatal(err)
			}
			s := c.State()
			resolveSample(t, &s)
			// A write by the enterprise's key, which is of this kind.
			client, err := c.Access().Client(s.Node("engine"))
			if err != nil {
				t.Fatal(err)
			}
			v := id.MustParse("88.101.0042/" + string(alg))
			res, err := client.Write(ctx, record.Identity{}, []record.Write{{Op: record.Create, ID: v, Values: sim.Sample("engines", "88.101.0042", "E")[0].Values}})
			if err != nil || res[0].Err != nil {
				t.Errorf("writing with a key of %s: %v %v", alg, res, err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestUpInput starts a country with a file to register, and finds it in the ready file.
func TestUpInput(t *testing.T) {
	dir := t.TempDir()
	profile, input, ready := filepath.Join(dir, "small.yaml"), filepath.Join(dir, "parts.jsonl"), filepath.Join(dir, "ready.json")
	for name, data := range map[string]string{
		profile: "name: s\nroot: {name: root}\nnational: {prefix: '88', sites: [{name: n}]}\nsecond-level: [{name: m, prefix: '88.101', enterprises: [{name: e, prefix: '88.101.1'}]}]\nrecursive: [{name: rec}]\n",
		input:   `{"id": "88.101.1/part-1", "values": [{"index": 1, "type": "URL", "data": "https://example.com/1"}]}` + "\n" + `{"id": "99.1/x"}` + "\n",
	} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 4*time.Minute)
	defer stop()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		e := &env{ctx: ctx, out: &out, err: &out}
		done <- (&upCmd{Data: filepath.Join(dir, "country"), Profile: profile, Input: input, ReadyFile: ready}).Run(e)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(ready); err == nil {
			if !strings.Contains(string(b), `"88.101.1/PART-1"`) {
				t.Errorf("the ready file does not name what was registered:\n%s", b)
			}
			break
		}
		select {
		case err := <-done:
			t.Fatalf("it ended: %v\n%s", err, out.String())
		case <-tick.C:
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "parts.jsonl:2: ") {
		t.Errorf("the refused line is not reported:\n%s", out.String())
	}
}
