package sim

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// systems finds the doors of a solution's business systems; one that does not run yet is started, as a process of its own that ends with the floor.
func (f *Floor) systems(ctx context.Context, solution string, names ...string) ([]*book, error) {
	var out []*book
	for _, name := range names {
		l := openDoor(ctx, f.Dir, solution, name)
		if l == nil {
			var err error
			if l, err = f.startSystem(ctx, solution, name); err != nil {
				return nil, err
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// said keeps the last that a process wrote.
type said struct {
	mu sync.Mutex
	b  []byte
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.b = append(s.b, b...); len(s.b) > 2048 {
		s.b = append(s.b[:0], s.b[len(s.b)-2048:]...)
	}
	return len(b), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.b)
}

func (f *Floor) startSystem(ctx context.Context, solution, name string) (*book, error) {
	if f.Program == "" || f.Dir == "" {
		return nil, problem.New(problem.BadRequest, "the system %s/%s does not run: start it with fujie system", "系统 %s/%s 未运行：请用 fujie system 启动", solution, name)
	}
	os.Remove(systemFile(f.Dir, solution, name, ".door")) // of a process that died
	cmd := exec.CommandContext(ctx, f.Program, "system", solution, name, "--data", f.Dir)
	// It has little to do, and there are several of them.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=50")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	words := &said{}
	cmd.Stderr = words
	if err := cmd.Start(); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the system %s/%s could not be started", "系统 %s/%s 无法启动", solution, name)
	}
	ended := make(chan struct{})
	f.children.Go(func() { cmd.Wait(); close(ended) })
	wait, done := context.WithTimeout(ctx, 30*time.Second)
	defer done()
	l, err := await(wait, f.Dir, solution, name, ended)
	if err != nil && ctx.Err() == nil {
		return nil, problem.New(problem.Internal, "the system %s/%s did not open its door: %s", "系统 %s/%s 未能打开端口：%s", solution, name, words)
	}
	return l, err
}
