//go:build !amd64 && !arm64

package registry

import "unsafe"

// prefetch does nothing where the processor is not told.
func prefetch(unsafe.Pointer) {}
