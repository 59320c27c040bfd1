package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestConsole walks the console in a real browser, as people of every role do, through a country with its floors running.
// The pictures stay in dist/screens, to be looked at.
func TestConsole(t *testing.T) {
	if raceDetector {
		t.Skip("the same without the race detector: browsers would wait for it")
	}
	if testing.Short() {
		t.Skip("drives a browser for minutes")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, need := range []string{"/usr/bin/chromium", filepath.Join(root, "console/node_modules/playwright-core"), filepath.Join(root, "console/dist/index.html")} {
		if _, err := os.Stat(need); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v: make test brings it", err)
			}
			t.Skipf("%v: run make test once, which brings it", err)
		}
	}
	shots := filepath.Join(root, "dist", "screens")
	if err := os.RemoveAll(shots); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready.json")
	ctx, cancel := context.WithTimeout(t.Context(), 18*time.Minute)
	defer cancel()
	// The ports of make up may be taken by the developer's own country.
	profile := filepath.Join(dir, "china.yaml")
	text, err := os.ReadFile("../../sim/china.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^(irp|http): \d+`).ReplaceAll(text, []byte("$1: 0"))
	if err := os.WriteFile(profile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	up := exec.CommandContext(ctx, self(t), "up", "--data", filepath.Join(dir, "country"), "--ready-file", ready, "--profile", profile)
	var said bytes.Buffer
	up.Stdout, up.Stderr = &said, &said
	up.Cancel = func() error { return up.Process.Signal(syscall.SIGTERM) }
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	t.Cleanup(func() {
		up.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the country did not start: %v\n%s", err, said.String())
		case <-ctx.Done():
			t.Fatalf("the country did not start in time\n%s", said.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	walk := exec.CommandContext(ctx, "node", "test/run.mjs", "--state", ready, "--shots", shots, "--lang", "zh,en", "--theme", "light", "--turns")
	walk.Dir = filepath.Join(root, "console")
	// Each journey is walked in one language, in turns; what must be right in both, each screen is held to by itself (test/journeys/quality.mjs).
	// What happens can be read while it does: dist/screens.log.
	log, err := os.Create(shots + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var all bytes.Buffer
	walk.Stdout = io.MultiWriter(log, &all)
	walk.Stderr = walk.Stdout
	err = walk.Run()
	out := all.Bytes()
	for line := range strings.Lines(string(out)) {
		t.Log(strings.TrimRight(line, "\n"))
	}
	if err != nil {
		t.Errorf("a journey failed: %v", err)
	}
	if !regexp.MustCompile(`(?m)^[1-9]\d* passed, 0 failed$`).Match(out) {
		t.Error("no journey was walked to its end, or one failed")
	}
}
