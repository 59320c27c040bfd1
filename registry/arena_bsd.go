//go:build unix && !linux

package registry

func widePages([]byte) {}
