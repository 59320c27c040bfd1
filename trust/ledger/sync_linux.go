package ledger

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// few is up to how many files are synced one by one; with more, the whole file system is.
const few = 16

func syncFiles(root string, names []string) error {
	if len(names) <= few {
		return syncEach(names)
	}
	f, err := os.Open(root)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
