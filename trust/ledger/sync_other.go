//go:build !linux

package ledger

func syncFiles(_ string, names []string) error { return syncEach(names) }

func isFull(error) bool { return false }
