// Package postgrestest runs a PostgreSQL server of a test's own: a fresh data folder, a free port, and nothing left
// behind. It needs the Debian package postgresql, or the programs initdb and postgres in PATH.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running server. It can be killed and started again; what was committed stays.
type Server struct {
	dir, bin string
	port     int
	owner    *syscall.Credential // when this process is root, who runs the server
	cmd      *exec.Cmd
	exited   chan error
	schemas  atomic.Int64
	settings []string
}

// ErrMissing: PostgreSQL is not installed here.
var ErrMissing = errors.New("postgrestest: no PostgreSQL found: apt-get install postgresql")

// find returns the folder of PostgreSQL's programs.
func find() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(folders, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(path))
		}
	}
	for _, dir := range folders {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
				return dir, nil
			}
		}
	}
	return "", ErrMissing
}

func version(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	return n
}

// Start makes and starts a server that ends with t. It skips t when PostgreSQL is not installed, but fails it under CI.
// Each setting is one of postgresql.conf, as in "fsync=off".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := New(settings...)
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// New makes and starts a server, for a TestMain that Closes it.
func New(settings ...string) (s *Server, err error) {
	s = &Server{settings: settings}
	if s.bin, err = find(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "fujie-postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if os.Geteuid() == 0 {
		// PostgreSQL refuses to run as root.
		u, err := user.Lookup("postgres")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				return s, err
			}
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return s, err
		}
	}
	init := s.program("initdb", "-D", s.data(), "-U", "fujie", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		return s, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.port, err = freePort(); err != nil {
		return s, err
	}
	return s, s.Start()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	return cmd
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Start starts the server after Stop or Kill and waits until it answers.
func (s *Server) Start() error {
	deadline := time.Now().Add(time.Minute)
	var last error
	for time.Now().Before(deadline) {
		log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		args := []string{"-D", s.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", s.dir}
		for _, set := range append([]string{"max_connections=200", "shared_buffers=64MB", "log_min_messages=warning",
			"max_wal_size=512MB", "restart_after_crash=off"}, s.settings...) {
			args = append(args, "-c", set)
		}
		s.cmd = s.program("postgres", args...)
		s.cmd.Stdout, s.cmd.Stderr = log, log
		err = s.cmd.Start()
		_ = log.Close()
		if err != nil {
			return err
		}
		exited := make(chan error, 1)
		cmd := s.cmd
		go func() { exited <- cmd.Wait() }()
		s.exited = exited
		for time.Now().Before(deadline) {
			if last = s.ping(); last == nil {
				return nil
			}
			select {
			case err := <-exited:
				// After a kill, the orphans of the old server hold its memory for a moment.
				last = fmt.Errorf("the server ended: %w", err)
				s.cmd = nil
			case <-time.After(20 * time.Millisecond):
			}
			if s.cmd == nil {
				time.Sleep(50 * time.Millisecond)
				break
			}
		}
	}
	out, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return fmt.Errorf("postgrestest: the server does not answer: %w\n%s", last, out)
}

func (s *Server) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.url(""))
	if err != nil {
		return err
	}
	return c.Close(ctx)
}

func (s *Server) url(schema string) string {
	u := fmt.Sprintf("postgres://fujie@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	if schema != "" {
		u += "&search_path=" + schema
	}
	return u
}

// URL is the address of a new, empty schema on the server.
func (s *Server) URL() (string, error) {
	schema := fmt.Sprintf("t%d", s.schemas.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, s.url(""))
	if err != nil {
		return "", err
	}
	_, err = c.Exec(ctx, "CREATE SCHEMA "+schema)
	return s.url(schema), errors.Join(err, c.Close(ctx))
}

// Kill ends the server at once, as a crash does: nothing is written any more.
func (s *Server) Kill() error {
	if s.cmd == nil {
		return nil
	}
	// Each of the postmaster's children has a session of its own, and answers until it notices that it is an orphan: they are killed one by one, and gone when Kill returns.
	children := childrenOf(s.cmd.Process.Pid)
	err := s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
	for _, pid := range children {
		err = errors.Join(err, ignoreGone(syscall.Kill(pid, syscall.SIGKILL)))
	}
	for _, pid := range children {
		for range 1000 {
			if _, state := parentOf(pid); state == "" || state == "Z" || state == "X" {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return err
}

// childrenOf are the processes whose parent is pid.
func childrenOf(pid int) (out []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if child, err := strconv.Atoi(e.Name()); err == nil {
			if parent, _ := parentOf(child); parent == pid {
				out = append(out, child)
			}
		}
	}
	return out
}

// parentOf is a process's parent, and its state; an empty one when it is gone.
func parentOf(pid int) (parent int, state string) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, ""
	}
	// The name before the state stands in brackets, and may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 2 {
		return 0, ""
	}
	parent, _ = strconv.Atoi(fields[1])
	return parent, fields[0]
}

// Stop ends the server in the way of `pg_ctl stop -m immediate`: connections are cut, and the next start recovers.
func (s *Server) Stop() error {
	if s.cmd == nil {
		return nil
	}
	err := s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.exited
	s.cmd = nil
	return err
}

func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Close ends the server and removes its data.
func (s *Server) Close() error {
	return errors.Join(s.Kill(), os.RemoveAll(s.dir))
}
