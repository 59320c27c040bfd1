//go:build unix

package sim

import (
	"os/exec"
	"syscall"
)

// detach keeps the terminal's Ctrl-C from the node's process: the country stops its nodes itself, in order.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
