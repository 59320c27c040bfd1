package live_test

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

// mariaDB is a server of the test's own: a fresh folder, a free port, nothing left behind. It can be killed and started again.
type mariaDB struct {
	t     *testing.T
	dir   string
	port  int
	owner *syscall.Credential
	cmd   *exec.Cmd
	ended chan error
}

func startMariaDB(t *testing.T) *mariaDB {
	t.Helper()
	server, install := look("mariadbd"), look("mariadb-install-db")
	if server == "" || install == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("MariaDB is missing: apt-get install mariadb-server")
		}
		t.Skip("MariaDB is missing: apt-get install mariadb-server")
	}
	dir, err := os.MkdirTemp("", "fujie-mariadb-")
	if err != nil {
		t.Fatal(err)
	}
	m := &mariaDB{t: t, dir: dir}
	t.Cleanup(func() {
		m.kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() == 0 {
		// It refuses to run as root.
		u, err := user.Lookup("mysql")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				t.Fatal(err)
			}
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		m.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	init := m.program(install, "--no-defaults", "--datadir="+filepath.Join(dir, "data"), "--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	m.start()
	return m
}

func look(name string) string {
	for _, dir := range []string{"/usr/sbin/", "/usr/bin/"} {
		if _, err := os.Stat(dir + name); err == nil {
			return dir + name
		}
	}
	path, _ := exec.LookPath(name)
	return path
}

func (m *mariaDB) program(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = m.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=" + m.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: m.owner, Setpgid: true}
	return cmd
}

func (m *mariaDB) start() {
	m.t.Helper()
	m.cmd = m.program(look("mariadbd"), "--no-defaults", "--datadir="+filepath.Join(m.dir, "data"), "--socket="+filepath.Join(m.dir, "sock"),
		"--bind-address=127.0.0.1", "--port="+strconv.Itoa(m.port), "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M",
		"--log-error="+filepath.Join(m.dir, "log"), "--pid-file="+filepath.Join(m.dir, "pid"), "--character-set-server=utf8mb4", "--skip-name-resolve")
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended, cmd := make(chan error, 1), m.cmd
	go func() { ended <- cmd.Wait() }()
	m.ended = ended
	db := m.root("")
	defer db.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		err := db.Ping()
		if err == nil {
			return
		}
		if len(ended) > 0 || time.Now().After(deadline) {
			out, _ := os.ReadFile(filepath.Join(m.dir, "log"))
			m.t.Fatalf("MariaDB does not answer: %v\n%s", err, out)
		}
	}
}

// root is a connection of the server's administrator.
func (m *mariaDB) root(database string) *sql.DB {
	db, err := sql.Open("mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s?multiStatements=true", m.port, database))
	if err != nil {
		m.t.Fatal(err)
	}
	return db
}

func (m *mariaDB) kill() {
	if m.cmd == nil {
		return
	}
	m.cmd.Process.Kill()
	<-m.ended
	m.cmd = nil
}
