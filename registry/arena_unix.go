//go:build unix

package registry

import "golang.org/x/sys/unix"

// takeArena takes size bytes from the system, outside of the heap, whose size would otherwise let the garbage
// collector wait for as much garbage again. It is nil when the system has none.
func takeArena(size int) []byte {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	widePages(b)
	return b
}

// giveArena gives them back. If the system refuses, they stay taken until the program ends.
func giveArena(b []byte) { _ = unix.Munmap(b) }
