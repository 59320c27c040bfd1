//go:build !linux

package bench

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"
)

// Other systems do not say which processors a process may use, or do not let it choose: server and load share them all.
func processors() []int { return nil }

func pinSelf([]int) error { return nil }

func startOn(cmd *exec.Cmd, _ []int) error { return cmd.Start() }

type procStat struct {
	cpu      time.Duration
	resident uint64
}

func statOf(int) (procStat, error) { return procStat{}, errors.ErrUnsupported }

func ownCPU() time.Duration { return 0 }

func machine() string {
	return fmt.Sprintf("%d processors, %s, %s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
