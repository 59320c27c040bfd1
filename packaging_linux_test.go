package fujie_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPackage builds the Debian package as make deb does, and looks at what Debian's own tools make of it.
func TestPackage(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("this is not Debian: no dpkg-deb")
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("make", "deb")
	debs, err := filepath.Glob("dist/fujie_*.deb")
	if err != nil || len(debs) == 0 {
		t.Fatal("make deb left nothing in dist", err)
	}
	deb := debs[0]
	for _, d := range debs {
		if newer(d, deb) {
			deb = d
		}
	}
	if arch := strings.TrimSpace(run("dpkg-deb", "--field", deb, "Architecture")); arch != strings.TrimSpace(run("dpkg", "--print-architecture")) {
		t.Errorf("the package is for %s", arch)
	}
	if dep := strings.TrimSpace(run("dpkg-deb", "--field", deb, "Depends")); dep != "" {
		t.Errorf("the package depends on %s; it should need nothing", dep)
	}
	dir := t.TempDir()
	run("dpkg-deb", "--extract", deb, dir)
	bin := filepath.Join(dir, "usr/bin/fujie")
	if out := run(bin, "version"); !strings.HasPrefix(out, "fujie") {
		t.Errorf("fujie version says %q", out)
	}
	for _, f := range []string{"usr/share/doc/fujie/copyright", "usr/share/doc/fujie/README.zh-CN.md", "lib/systemd/system/fujie@.service"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Error(err)
		}
	}
	t.Run("units", func(t *testing.T) {
		if _, err := exec.LookPath("systemd-analyze"); err != nil {
			t.Skip("no systemd-analyze")
		}
		units := t.TempDir()
		for _, u := range []string{"fujie@.service", "fujie-backup@.service", "fujie-backup@.timer"} {
			b, err := os.ReadFile(filepath.Join(dir, "lib/systemd/system", u))
			if err != nil {
				t.Fatal(err)
			}
			// The program stands elsewhere here.
			b = []byte(strings.ReplaceAll(string(b), "/usr/bin/fujie", bin))
			if err := os.WriteFile(filepath.Join(units, u), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(units, "fujie@.service"), filepath.Join(units, "fujie-backup@.timer"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	})
	t.Run("alone", func(t *testing.T) {
		// As in the image: a root with one file in it.
		if os.Getuid() != 0 {
			t.Skip("only root can change its root")
		}
		root := t.TempDir()
		b, err := os.ReadFile(bin)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "fujie"), b, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/fujie", "node", "config")
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		cmd.Dir = "/"
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "role:") {
			t.Errorf("in an empty root: %v\n%s", err, out)
		}
	})
}

func newer(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && x.ModTime().After(y.ModTime())
}
