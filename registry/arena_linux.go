package registry

import "golang.org/x/sys/unix"

// widePages asks for pages of 2 MB: at random places in hundreds of megabytes, finding the page costs as much as
// finding the answer. Where the system has none it goes on with small ones.
func widePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
