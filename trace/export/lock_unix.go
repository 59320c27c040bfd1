//go:build unix

package export

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/fujie-id/fujie/problem"
)

// lock keeps a folder for one run; the system lets go of it when the process ends, however it ends.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot write into %s", "无法写入 %s", dir)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, problem.Wrap(err, problem.Busy, "another export is writing into %s: wait for it, or export into another folder", "另一导出正在写入 %s：请等待，或导出到其他目录", dir)
	}
	return func() { f.Close() }, nil
}
