//go:build !linux && !windows

package burst

import "syscall"

const flagCut = syscall.MSG_TRUNC

func isCut(error) bool { return false }
