//go:build amd64 || arm64

package registry

import "unsafe"

// prefetch has the processor fetch the cache line at p while it goes on with other work. It reads nothing and cannot
// fail.
//
//go:noescape
func prefetch(p unsafe.Pointer)
