//go:build !linux

package bench

import (
	"fmt"
	"os/exec"
	"runtime"
	"time"
)

// Other systems do not say which processors a process may use, or do not let it choose: server and load share them all.
func processors() []int { return nil }

func pinSelf([]int) error { return nil }

func startOn(cmd *exec.Cmd, _ []int) error { return cmd.Start() }

func cpuOf(int) time.Duration { return 0 }

func residentOf(int) uint64 { return 0 }

func ownCPU() time.Duration { return 0 }

func machine() string {
	return fmt.Sprintf("%d processors, %s, %s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
