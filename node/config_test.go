package node

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// TestSample shows that the printed configuration decodes, and that what it calls defaults are the defaults.
func TestSample(t *testing.T) {
	dir := t.TempDir()
	got, err := Parse(Sample(), dir)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse([]byte("name: my-enterprise\nrole: enterprise\nprefix: '88.118.1001'\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the sample is\n%+v\nits defaults are\n%+v", got, want)
	}
	// Uncommented, every line must still be known, so that the sample cannot fall behind the program.
	var all strings.Builder
	for line := range strings.Lines(string(Sample())) {
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "# "), ":"); ok && strings.HasPrefix(line, "# ") && strings.ToLower(key) == key && !strings.Contains(key, " ") {
			line = strings.TrimPrefix(line, "# ")
		} else if strings.HasPrefix(line, "#   ") {
			line = strings.TrimPrefix(line, "# ")
		} else if strings.HasPrefix(line, "  # ") {
			line = "  " + strings.TrimPrefix(line, "  # ")
		}
		all.WriteString(line)
	}
	c, err := Parse([]byte(all.String()), dir)
	if err != nil {
		t.Fatalf("with everything uncommented: %v\n%s", err, all.String())
	}
	if c.Mirror == nil || c.Debug == "" || c.Listen.TLS == "" || c.Public == "" {
		t.Errorf("uncommenting left things out: %+v", c)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct{ yaml, says string }{
		{"role: emperor\n", "emperor"},
		{"role: enterprise\n", "empty"},
		{"role: enterprise\nprefix: 88.118/x\n", "suffix"},
		{"role: recursive\nprefix: '88'\n", "recursive"},
		{"role: root\nprefix: '88'\n", "0.NA"},
		{"role: enterprise\nprefix: 88.1.2\nport: 1\n", "port"},
		{"role: enterprise\nprefix: 88.1.2\nmirror: {of: 'http://x'}\n", "https"},
		{"role: enterprise\nprefix: 88.1.2\npublic: example.com\n", "example.com"},
		{"role: enterprise\nprefix: 88.1.2\nadmins: ['300:']\n", "300:"},
	} {
		if _, err := Parse([]byte(c.yaml), t.TempDir()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: got %v, want an error that names %q", c.yaml, err, c.says)
		}
	}
}

func TestHints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hints.json")
	for _, alg := range trust.Algorithms() {
		key, err := trust.Generate(alg, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &record.Site{Version: 1, Major: 2, Minor: 11, Serial: 1, Primary: true, Hash: record.HashAll, Servers: []record.Server{{
			ID: 1, Addr: netip.MustParseAddr("192.0.2.1"), PublicKey: key.Public().Data(),
			Interfaces: []record.Interface{{Query: true, Admin: true, Protocol: record.TCP, Port: 2641}}}}}
		h := &Hints{Anchors: []trust.PublicKey{key.Public()}, Sites: []*record.Site{s}}
		if err := h.Write(path); err != nil {
			t.Fatal(err)
		}
		got, err := ReadHints(path)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if !got.Anchors[0].Equal(key.Public()) || string(record.AppendSite(nil, got.Sites[0])) != string(record.AppendSite(nil, s)) {
			t.Errorf("%s: the hints read back are others", alg)
		}
	}
	for _, bad := range []string{"", "{}", `{"keys":["x"],"sites":[]}`, `{"keys":[],"sites":[]}`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadHints(path); err == nil {
			t.Errorf("hints %q were taken", bad)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "node.pem")
	a, err := EnsureKey(path, trust.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	b, err := EnsureKey(path, trust.SM2)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Public().Equal(b.Public()) {
		t.Error("a key that was there was replaced")
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key file's mode is %v, %v", st.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureKey(path, trust.Ed25519); err == nil {
		t.Error("a damaged key file was replaced in silence")
	}
}
