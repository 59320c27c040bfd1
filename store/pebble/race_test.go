//go:build race

package pebble_test

// racing: the race detector allocates on its own account.
const racing = true
