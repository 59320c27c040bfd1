package escrow_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/fujie-id/fujie/escrow"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/store/memory"
	"github.com/fujie-id/fujie/trust"
)

// sshKey is a key in OpenSSH form, and the line of its public half.
func sshKey(t testing.TB) (private []byte, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ssh.MarshalPrivateKey(key, "test")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(b), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p)))
}

// sshd starts Debian's server on a port of its own. The test is skipped where there is none.
func sshd(t testing.TB) (address string, login escrow.SSH, dir string) {
	t.Helper()
	bin := "/usr/sbin/sshd"
	if _, err := os.Stat(bin); err != nil {
		t.Skip("there is no sshd here: apt-get install openssh-server")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	hostKey, host := sshKey(t)
	key, public := sshKey(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	for name, b := range map[string][]byte{"host": hostKey, "allowed": []byte(public + "\n"), "config": fmt.Appendf(nil,
		"Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/allowed\nStrictModes no\nUsePAM no\nPidFile none\n"+
			"PermitRootLogin prohibit-password\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n", port, dir, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.MkdirAll("/run/sshd", 0o755) // its own folder, when root runs it
	cmd := exec.Command(bin, "-D", "-e", "-f", filepath.Join(dir, "config"))
	var said lockedBuffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	end := time.Now().Add(10 * time.Second)
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("sshd does not answer: ", said.String())
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return fmt.Sprintf("sftp://%s@127.0.0.1:%d%s/deposits", me.Username, port, dir), escrow.SSH{Key: key, Host: host}, dir
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestSFTP(t *testing.T) {
	ctx := context.Background()
	address, login, dir := sshd(t)
	place, err := escrow.SFTP(ctx, address, login)
	if err != nil {
		t.Fatal(err)
	}
	defer place.Close()
	r := open(t, memory.New())
	write(t, r, home("88.118"))
	for i := range 100 {
		write(t, r, put(fmt.Sprintf("88.118/m%d", i), "x"))
	}
	k := keepers(t)[1]
	key := generate(t, trust.Ed25519)
	cfg := escrow.Config{Source: r, Place: place, Prefix: "88.118", To: []escrow.Recipient{k.to}, Key: key, Volume: 800}
	for range 2 {
		if _, err := escrow.Make(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		write(t, r, put("88.118/m3", "y"))
	}
	if parts, _ := filepath.Glob(filepath.Join(dir, "deposits", "*.part")); len(parts) > 0 {
		t.Error("left behind:", parts)
	}
	to := open(t, memory.New())
	got, err := escrow.Restore(ctx, escrow.Restoring{Place: place, Prefix: "88.118", Signer: key.Public().Fingerprint(), IDs: k.ids, Into: to})
	if err != nil || len(got.Deposits) != 2 {
		t.Fatal(got, err)
	}
	if a, b := contents(t, to), contents(t, r); strings.Count(a, "\n") != strings.Count(b, "\n") {
		t.Errorf("restored\n%s", a)
	}

	// A server that is somebody else, and one that does not know us.
	_, other := sshKey(t)
	wrong := login
	wrong.Host = other
	if _, err := escrow.SFTP(ctx, address, wrong); !problem.Is(err, problem.Unreachable) {
		t.Error("another server was taken for ours:", err)
	}
	wrong = login
	wrong.Key, _ = sshKey(t)
	if _, err := escrow.SFTP(ctx, address, wrong); !problem.Is(err, problem.Unreachable) {
		t.Error(err)
	}
	for _, bad := range []string{"ftp://a@b/c", "sftp://nobody", "sftp:///x", "%"} {
		if _, err := escrow.SFTP(ctx, bad, login); !problem.Is(err, problem.BadRequest) {
			t.Error(bad, err)
		}
	}
	for _, bad := range []string{"", "../x", "a/b", ".x", "a:b"} {
		if _, err := place.Create(ctx, bad); !problem.Is(err, problem.BadRequest) {
			t.Error(bad, err)
		}
	}
}
